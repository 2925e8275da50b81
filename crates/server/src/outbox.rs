//! What waits for one socket to read it. Bounded in octets: who is slower than its senders is closed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use peerage_proto::signal::CloseReason;
use tokio::sync::Notify;

/// As much as is handed to the socket at a time: a few segments, so that what is counted as waiting is most of what waits.
const BATCH: usize = 64 * 1024;

/// Counted for each message beside its text.
const OVERHEAD: usize = 64;

/// One socket's queue: many push, the socket's task takes.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    changed: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    texts: VecDeque<Utf8Bytes>,
    octets: usize,
    ending: Option<Ending>,
}

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The router says so.
    Router(CloseReason),
    /// It reads more slowly than others send to it.
    Slow,
    /// It sent a message that is too long.
    TooLong,
    /// A hook of the application panicked over it.
    Hook,
    /// The server goes down.
    Shutdown,
}

/// The queue is over its limit.
#[derive(Debug)]
pub(crate) struct Overflow;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            limit,
        }
    }

    /// Adds a message; nothing is added after [`Outbox::end`].
    pub(crate) fn push(&self, text: Utf8Bytes) -> Result<(), Overflow> {
        let mut inner = self.lock();
        if inner.ending.is_some() {
            return Ok(());
        }
        let octets = inner.octets + text.len() + OVERHEAD;
        if octets > self.limit {
            return Err(Overflow);
        }
        inner.octets = octets;
        inner.texts.push_back(text);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// Closes the queue; the first reason stays.
    pub(crate) fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
        self.changed.notify_one();
    }

    /// The next messages, or why there will be none. To be called by one task; forgets nothing when dropped.
    pub(crate) async fn next(&self) -> Result<Vec<Utf8Bytes>, Ending> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.changed.notified().await;
        }
    }

    /// Why the queue was closed, as soon as it is, whether or not something still waits. To be called by the task of [`Outbox::next`].
    pub(crate) async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.lock().ending {
                // Somebody may have to be told again: this may have used up the notice of what was pushed before.
                self.changed.notify_one();
                return ending;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Result<Vec<Utf8Bytes>, Ending>> {
        let mut inner = self.lock();
        if inner.texts.is_empty() {
            return inner.ending.map(Err);
        }
        let mut batch = Vec::new();
        let mut octets = 0;
        while octets < BATCH
            && let Some(text) = inner.texts.pop_front()
        {
            octets += text.len() + OVERHEAD;
            batch.push(text);
        }
        inner.octets -= octets;
        if inner.texts.is_empty() {
            // An idle socket keeps no buffer from its busy days.
            inner.texts = VecDeque::new();
        }
        Some(Ok(batch))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic happens while it is held; a poisoned queue would be as whole as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ending {
    /// Close code and reason (RFC 6455 section 7.4). None where peerjs-server sends none: some clients take any code for a failure.
    pub(crate) const fn code(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Router(CloseReason::Refused(_) | CloseReason::Silent) => None,
            Self::Router(CloseReason::Replaced) => Some((4001, "replaced by another socket")),
            Self::Slow => Some((1013, "reads too slowly")),
            Self::TooLong => Some((1009, "message too long")),
            Self::Hook => Some((1011, "internal error")),
            Self::Shutdown => Some((1001, "server is going down")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Utf8Bytes {
        "x".repeat(length).into()
    }

    #[tokio::test]
    async fn what_was_pushed_before_the_end_is_taken_before_it() {
        let outbox = Outbox::new(1_000);
        outbox.push(text(1)).unwrap();
        outbox.end(Ending::Shutdown);
        outbox.end(Ending::Slow);
        outbox.push(text(2)).unwrap();
        assert_eq!(outbox.next().await, Ok(vec![text(1)]));
        assert_eq!(outbox.ended().await, Ending::Shutdown);
        assert_eq!(outbox.next().await, Err(Ending::Shutdown));
    }

    #[tokio::test]
    async fn the_limit_counts_what_was_not_taken() {
        let outbox = Outbox::new(2 * (100 + OVERHEAD));
        outbox.push(text(100)).unwrap();
        outbox.push(text(100)).unwrap();
        assert!(outbox.push(text(100)).is_err());
        assert_eq!(outbox.next().await.map(|batch| batch.len()), Ok(2));
        assert!(outbox.push(text(100)).is_ok());
    }

    #[tokio::test]
    async fn a_batch_is_bounded_but_for_one_large_message() {
        let outbox = Outbox::new(1 << 20);
        for length in [BATCH * 2, 10, 10] {
            outbox.push(text(length)).unwrap();
        }
        assert_eq!(outbox.next().await.map(|batch| batch.len()), Ok(1));
        assert_eq!(outbox.next().await.map(|batch| batch.len()), Ok(2));
    }
}
