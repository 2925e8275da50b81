//! The task of a link: messages in, messages out, time, and the exchanges that it serves.

use std::sync::Arc;

use peerage_proto::{http::CloseReason, wire::http::Violation};
use tokio::task::JoinSet;

use super::link::{Begun, Shared};
use crate::{Channel, ChannelReceiver, ChannelSender, Message};

/// Runs a link until it closes. Everything that runs for it ends with this future.
pub(super) async fn drive(
    shared: &Arc<Shared>,
    channel: Channel,
    serve: impl Fn(&mut JoinSet<()>, Begun),
    shutdown: impl Future<Output = ()>,
) -> CloseReason {
    let (sender, receiver) = channel.split();
    let drain = async {
        shutdown.await;
        shared.lock().session.drain();
        shared.transmit.notify_one();
        std::future::pending().await
    };
    // Receiving first: what it causes is transmitted in the same turn.
    tokio::select! {
        biased;
        never = receive(shared, receiver) => match never {},
        () = transmit(shared, &sender) => {}
        never = work(shared, serve) => match never {},
        never = watch(shared) => match never {},
        never = drain => never,
    }
    shared.close(CloseReason::Lost);
    let closed = shared.lock().session.closed();
    closed.unwrap_or(CloseReason::Lost)
}

enum Never {}

async fn receive(shared: &Shared, mut receiver: ChannelReceiver) -> Never {
    while let Some(message) = receiver.recv().await {
        match message {
            Message::Binary(octets) => shared.received(octets),
            Message::Text(_) => shared.close(Violation::Protocol("a text message").into()),
        }
    }
    shared.close(CloseReason::Lost);
    std::future::pending().await
}

/// Ends when the session is closed, or the channel.
async fn transmit(shared: &Shared, sender: &ChannelSender) {
    loop {
        while let Some(message) = shared.next_message() {
            if sender.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        if shared.lock().session.closed().is_some() {
            return;
        }
        shared.transmit.notified().await;
    }
}

/// Fires the session's timeout. It moves further away with every message, so it is read again only when it is due.
async fn watch(shared: &Shared) -> Never {
    loop {
        let deadline = shared.lock().session.poll_timeout();
        match deadline {
            Some(deadline) => {
                tokio::time::sleep_until(deadline.into()).await;
                shared.timed_out();
            }
            None => shared.armed.notified().await,
        }
    }
}

/// Runs exchanges that the peer began, and bodies that this side sends.
async fn work(shared: &Shared, serve: impl Fn(&mut JoinSet<()>, Begun)) -> Never {
    let mut tasks = JoinSet::new();
    loop {
        let (begun, pumps) = {
            let mut state = shared.lock();
            (
                std::mem::take(&mut state.begun),
                std::mem::take(&mut state.pumps),
            )
        };
        for exchange in begun {
            serve(&mut tasks, exchange);
        }
        for pump in pumps {
            tasks.spawn(pump);
        }
        tokio::select! {
            () = shared.work.notified() => {}
            Some(ended) = tasks.join_next() => {
                // The exchange itself was reset as the task unwound.
                if let Err(error) = ended {
                    tracing::error!(%error, "an exchange's task failed");
                }
            }
        }
    }
}
