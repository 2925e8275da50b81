//! A WebSocket between a link and the target: two hops, each with its own framing, pings and masks.

use std::{pin::pin, time::Duration};

use futures_util::{
    SinkExt as _, StreamExt as _,
    future::{Either, select},
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use crate::{
    Message,
    http::{
        Close, Error, MAX_SOCKET_MESSAGE, Received, ResetCode, WebSocket, WebSocketReceiver,
        WebSocketSender,
    },
};

/// How long one side may take to answer the close of the other.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a target may take to accept the goodbye of a caller that is gone already.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// Octets read from and written to the target at once. Small, because most sockets are idle most of the time.
const BUFFER: usize = 16 * 1024;

type Target = WebSocketStream<TokioIo<Upgraded>>;

/// Carries messages until both sides have closed, or one is gone. Holds a place among the requests for as long.
pub(super) async fn relay(socket: WebSocket, target: Upgraded, _place: OwnedSemaphorePermit) {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MAX_SOCKET_MESSAGE))
        .max_frame_size(Some(MAX_SOCKET_MESSAGE));
    let target = Target::from_raw_socket(TokioIo::new(target), Role::Client, Some(config)).await;
    let (to_target, from_target) = target.split();
    let (to_caller, from_caller) = socket.split();
    let up = pin!(up(from_caller, to_target));
    let down = pin!(down(from_target, to_caller));
    // When one direction has ended, the other has something to say yet: its close, or why there is none.
    match select(up, down).await {
        Either::Left((patience, down)) => drop(timeout(patience, down).await),
        Either::Right((_, up)) => drop(timeout(CLOSE_TIMEOUT, up).await),
    }
}

/// From the caller to the target. Returns how long the target may take to answer what it was told last.
async fn up(
    mut caller: WebSocketReceiver,
    mut target: SplitSink<Target, tungstenite::Message>,
) -> Duration {
    // A target that takes nothing more says so in the other direction; then only the caller's close is awaited.
    let mut takes = true;
    loop {
        let message = match caller.recv().await {
            Ok(Received::Message(Message::Text(text))) => String::from(text).into(),
            Ok(Received::Message(Message::Binary(bytes))) => bytes.into(),
            Ok(Received::Close(close)) => {
                let close = tungstenite::Message::Close(close.as_ref().map(close_frame));
                let _ = timeout(CLOSE_TIMEOUT, target.send(close)).await;
                return CLOSE_TIMEOUT;
            }
            Err(error) => return say_goodbye(target, &error).await,
        };
        if !takes {
            continue;
        }
        tokio::select! {
            sent = target.send(message) => takes = sent.is_ok(),
            error = caller.broken() => return say_goodbye(target, &error).await,
        }
    }
}

/// From the target to the caller.
async fn down(mut target: SplitStream<Target>, mut caller: WebSocketSender) {
    loop {
        let message = match target.next().await {
            Some(Ok(tungstenite::Message::Text(text))) => Message::Text(text.as_str().into()),
            Some(Ok(tungstenite::Message::Binary(bytes))) => Message::Binary(bytes),
            Some(Ok(tungstenite::Message::Close(close))) => {
                let _ = caller.close(close.as_ref().and_then(read_close)).await;
                return finish(target).await;
            }
            // Pings are answered beneath, and stay on this hop.
            Some(Ok(_)) => continue,
            Some(Err(error)) => {
                tracing::debug!(%error, "target broke its WebSocket off");
                return caller.break_off(match error {
                    tungstenite::Error::Capacity(_) => ResetCode::TooLarge,
                    _ => ResetCode::Broken,
                });
            }
            None => return caller.break_off(ResetCode::Broken),
        };
        if caller.send(message).await.is_err() {
            // The exchange is over: the other direction tells the target.
            return;
        }
    }
}

/// Sends what answers the target's close, and lets it close the connection, as RFC 6455 section 7.1.1 has it.
async fn finish(mut target: SplitStream<Target>) {
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    while let Ok(Some(Ok(_))) = timeout_at(deadline, target.next()).await {}
}

/// Tells the target why its caller is gone, if it takes that: nobody waits for its answer any more.
async fn say_goodbye(
    mut target: SplitSink<Target, tungstenite::Message>,
    error: &Error,
) -> Duration {
    let code = match error.code() {
        ResetCode::TooLarge => Close::TOO_LARGE,
        ResetCode::Malformed => Close::NOT_TEXT,
        _ => Close::AWAY,
    };
    let close = tungstenite::Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: "".into(),
    }));
    match timeout(GOODBYE_TIMEOUT, target.send(close)).await {
        Ok(Ok(())) => GOODBYE_TIMEOUT,
        _ => Duration::ZERO,
    }
}

fn close_frame(close: &Close) -> CloseFrame {
    CloseFrame {
        code: close.code().into(),
        reason: close.reason().into(),
    }
}

/// `None`: without a code, or with one that nobody may send.
fn read_close(close: &CloseFrame) -> Option<Close> {
    Close::new(close.code.into(), close.reason.as_str()).ok()
}
