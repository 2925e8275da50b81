//! One WebSocket: reads at its pace, writes what its queue holds, closes with a reason. One task, no lock across an await.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::SinkExt;
use peerage_proto::signal::{ConnId, Hello};
use peerage_proto::wire::signal::MAX_FRAME;
use peerage_proto::wire::statement::Time;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, error::CapacityError};
use tracing::debug;

use crate::address::Place;
use crate::outbox::{Ending, Outbox};
use crate::pace::Pace;
use crate::state::State;

/// What the URL of a socket said, owned, and where the socket arrived.
#[derive(Default)]
pub(crate) struct Parameters {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) proof: String,
    /// Names by which this server may be meant in a proof.
    pub(crate) hosts: Vec<String>,
    /// Held as long as the socket lives.
    pub(crate) place: Option<Place>,
}

/// How long a closing socket may take to read the rest and to close in turn.
const CLOSING: Duration = Duration::from_secs(1);

/// Of one idle socket: one segment in, nothing out. The library's own 128 KiB would be most of what a socket costs.
const READ_BUFFER: usize = 1_460;
const WRITE_BUFFER: usize = 16 * 1024;

/// Accepts a socket.
pub(crate) fn accept(upgrade: WebSocketUpgrade, state: State, parameters: Parameters) -> Response {
    let socket = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    socket.on_upgrade(move |socket| state.clone().own(run(socket, state, parameters)))
}

async fn run(mut socket: WebSocket, state: State, mut parameters: Parameters) {
    let (conn, outbox) = open(&state, &parameters);
    let _place = parameters.place.take();
    // An idle socket, of which there are many, needs none of it.
    drop(parameters);
    if state.is_closing() {
        outbox.end(Ending::Shutdown);
    }
    let ending = talk(&mut socket, &state, conn, &outbox).await;
    state.switchboard().closed(conn);
    debug!(conn = conn.0, ?ending, "socket closed");
    if let Some(ending) = ending {
        close(socket, ending).await;
    }
}

fn open(state: &State, parameters: &Parameters) -> (ConnId, Arc<Outbox>) {
    let Parameters {
        key,
        id,
        token,
        proof,
        hosts,
        ..
    } = parameters;
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let at = Time(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
    state.switchboard().open(Hello {
        key,
        id,
        token,
        proof,
        hosts: &hosts,
        at,
    })
}

/// Until the client goes (none) or is to be closed.
async fn talk(
    socket: &mut WebSocket,
    state: &State,
    conn: ConnId,
    outbox: &Outbox,
) -> Option<Ending> {
    let config = state.config();
    let mut pace = Pace::new(
        config.message_rate,
        config.message_burst,
        config.octet_rate,
        Instant::now(),
    );
    let mut resume = None;
    loop {
        let read = async {
            if let Some(resume) = resume {
                sleep_until(tokio::time::Instant::from_std(resume)).await;
            }
            socket.recv().await
        };
        let message = tokio::select! {
            biased;
            next = outbox.next() => match next {
                Ok(batch) => {
                    write(socket, batch, outbox).await?;
                    continue;
                }
                Err(ending) => return Some(ending),
            },
            message = read => message?,
        };
        let message = match message {
            Ok(message) => message,
            Err(error) if is_too_long(&error) => return Some(Ending::TooLong),
            Err(_) => return None,
        };
        let octets = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(octets) | Message::Ping(octets) | Message::Pong(octets) => octets,
            Message::Close(_) => return None,
        };
        resume = pace.spend(octets.len(), Instant::now());
        match &message {
            Message::Text(_) | Message::Binary(_) => state.switchboard().received(conn, octets),
            _ => state.switchboard().beat(conn),
        }
    }
}

/// None when the socket is of no more use: broken, too slow, or closed meanwhile and still not read empty.
async fn write(socket: &mut WebSocket, batch: Vec<Utf8Bytes>, outbox: &Outbox) -> Option<()> {
    let all = async {
        for text in batch {
            socket.feed(Message::Text(text)).await?;
        }
        socket.flush().await
    };
    let given_up = async {
        if outbox.ended().await != Ending::Slow {
            sleep(CLOSING).await;
        }
    };
    tokio::select! {
        biased;
        written = all => written.ok(),
        () = given_up => None,
    }
}

/// Says why, and lets the client close in turn: what it still sends counts for nothing.
async fn close(mut socket: WebSocket, ending: Ending) {
    let frame = ending.code().map(|(code, reason)| CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    });
    let closing = async {
        if socket.send(Message::Close(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Whoever does not close in time is cut.
    let _ = timeout(CLOSING, closing).await;
}

fn is_too_long(error: &axum::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    matches!(
        cause,
        Some(tungstenite::Error::Capacity(
            CapacityError::MessageTooLong { .. }
        ))
    )
}
