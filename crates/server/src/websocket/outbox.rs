//! What waits for one socket to read it. Bounded in octets: who is slower than its senders is closed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use peerage_proto::wire::websocket::{Violation, push_ping, push_pong, push_text, text_size};

use super::budget::{Budget, Share};

/// As much as is handed to the system at a time, but for longer messages.
const CHUNK: usize = 64 * 1024;

/// Beyond the limit, for what the server itself has to say: who does not read as much as that does not read.
const OWN: usize = 64 * 1024;

/// One socket's queue of frames: many push, the socket's task takes.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Debug)]
struct Inner {
    /// Frames, many small ones in one piece: they leave in one write.
    chunks: VecDeque<Vec<u8>>,
    /// Of all chunks, and of the one that was taken, what has not been written.
    octets: usize,
    share: Share,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was not let in, and has been told why.
    Refused,
    /// Another socket has its id.
    Replaced,
    /// Nothing came from it for too long.
    Silent,
    /// It reads more slowly than others send to it.
    Slow,
    /// It began a message and did not go on.
    Stalled,
    /// All sockets together hold as much as they may.
    Full,
    /// It broke the protocol.
    Violation(Violation),
    /// A hook of the application panicked over it.
    Hook,
    /// The server goes down.
    Shutdown,
    /// The server is gone: no goodbye.
    Cut,
}

impl Ending {
    /// Close code and reason (RFC 6455 section 7.4). None where peerjs-server sends none: some clients take any code for a failure.
    pub(super) const fn code(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Refused | Self::Silent | Self::Cut => None,
            Self::Replaced => Some((4001, "replaced by another socket")),
            Self::Slow => Some((1013, "reads too slowly")),
            Self::Stalled => Some((1008, "message not completed in time")),
            Self::Full => Some((1013, "server is out of memory for messages")),
            Self::Violation(violation) => Some((
                violation.code(),
                match violation {
                    Violation::Protocol => "protocol error",
                    Violation::Utf8 => "text is not UTF-8",
                    Violation::TooLong => "message too long",
                },
            )),
            Self::Hook => Some((1011, "internal error")),
            Self::Shutdown => Some((1001, "server is going down")),
        }
    }
}

/// The queue is over its limit, or all queues are over theirs.
#[derive(Debug)]
pub(crate) struct Overflow;

impl Outbox {
    pub(crate) fn new(limit: usize, budget: Arc<Budget>) -> Self {
        let inner = Inner {
            chunks: VecDeque::new(),
            octets: 0,
            share: Share::new(budget),
            ending: None,
            waker: None,
        };
        Self {
            inner: Mutex::new(inner),
            limit,
        }
    }

    /// Adds a text message; nothing is added after [`Outbox::end`].
    pub(crate) fn push(&self, text: &str) -> Result<(), Overflow> {
        let size = text_size(text.len());
        self.append(size, self.limit, |chunk| push_text(chunk, text))
    }

    /// Adds one of the messages that waited for a socket that has just opened: bounded where they waited, and no fault of its own.
    pub(crate) fn push_welcome(&self, text: &str) -> Result<(), Overflow> {
        let size = text_size(text.len());
        self.append(size, usize::MAX, |chunk| push_text(chunk, text))
    }

    /// Adds a message of the server's own, for which there is room where there is none for others'.
    pub(crate) fn push_own(&self, text: &str) -> Result<(), Overflow> {
        let (size, limit) = (text_size(text.len()), self.limit + OWN);
        self.append(size, limit, |chunk| push_text(chunk, text))
    }

    /// Adds a ping.
    pub(crate) fn push_ping(&self) -> Result<(), Overflow> {
        self.append(2, self.limit + OWN, push_ping)
    }

    /// Adds the answer to a ping.
    pub(super) fn push_pong(&self, payload: &[u8]) -> Result<(), Overflow> {
        let size = text_size(payload.len());
        self.append(size, self.limit + OWN, |chunk| push_pong(chunk, payload))
    }

    fn append(
        &self,
        size: usize,
        limit: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Overflow> {
        let mut inner = self.lock();
        if inner.ending.is_some() {
            return Ok(());
        }
        let octets = inner.octets + size;
        if octets > limit || !inner.share.resize(octets) {
            return Err(Overflow);
        }
        inner.octets = octets;
        match inner.chunks.back_mut() {
            Some(chunk) if chunk.len() + size <= CHUNK => write(chunk),
            _ => {
                let mut chunk = Vec::new();
                write(&mut chunk);
                inner.chunks.push_back(chunk);
            }
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Closes the queue; the first reason stays, unless it is cut.
    pub(crate) fn end(&self, ending: Ending) {
        let mut inner = self.lock();
        if inner.ending.is_none() || ending == Ending::Cut {
            inner.ending = Some(ending);
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next frames, or why there will be none. To be called by one task.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Result<Vec<u8>, Ending>> {
        let mut inner = self.lock();
        if let Some(ending) = inner.urgent() {
            return Poll::Ready(Err(ending));
        }
        if let Some(chunk) = inner.chunks.pop_front() {
            if inner.chunks.is_empty() {
                // An idle socket keeps no buffer from its busy days.
                inner.chunks = VecDeque::new();
            }
            return Poll::Ready(Ok(chunk));
        }
        if let Some(ending) = inner.ending {
            return Poll::Ready(Err(ending));
        }
        inner.wake_later(context);
        Poll::Pending
    }

    /// An ending that does not wait for what was pushed before. To be called by the task of [`Outbox::poll_next`] while it writes.
    pub(super) fn poll_urgent(&self, context: &Context<'_>) -> Poll<Ending> {
        let mut inner = self.lock();
        match inner.urgent() {
            Some(ending) => Poll::Ready(ending),
            None => {
                inner.wake_later(context);
                Poll::Pending
            }
        }
    }

    /// So many octets of what was taken have been written.
    pub(super) fn written(&self, octets: usize) {
        let mut inner = self.lock();
        inner.octets = inner.octets.saturating_sub(octets);
        let octets = inner.octets;
        inner.share.resize(octets);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic happens while it is held; a poisoned queue would be as whole as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn urgent(&self) -> Option<Ending> {
        self.ending
            .filter(|ending| matches!(ending, Ending::Slow | Ending::Full | Ending::Cut))
    }

    fn wake_later(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(limit: usize) -> Outbox {
        Outbox::new(limit, Budget::new(1 << 20))
    }

    fn next(outbox: &Outbox) -> Option<Result<usize, Ending>> {
        let context = Context::from_waker(Waker::noop());
        match outbox.poll_next(&context) {
            Poll::Ready(next) => Some(next.map(|chunk| chunk.len())),
            Poll::Pending => None,
        }
    }

    fn text(size: usize) -> String {
        let header = text_size(size) - size;
        "x".repeat(size - header)
    }

    #[test]
    fn what_was_pushed_before_the_end_is_taken_before_it() {
        let outbox = outbox(1_000);
        assert_eq!(next(&outbox), None);
        outbox.push(&text(10)).unwrap();
        outbox.end(Ending::Shutdown);
        outbox.end(Ending::Silent);
        outbox.push(&text(20)).unwrap();
        assert_eq!(next(&outbox), Some(Ok(10)));
        assert_eq!(next(&outbox), Some(Err(Ending::Shutdown)));
    }

    #[test]
    fn a_slow_reader_is_ended_without_what_waits_for_it() {
        let outbox = outbox(1_000);
        outbox.push(&text(10)).unwrap();
        outbox.end(Ending::Slow);
        assert_eq!(next(&outbox), Some(Err(Ending::Slow)));
    }

    #[test]
    fn the_limit_counts_what_was_not_written() {
        let outbox = outbox(200);
        outbox.push(&text(100)).unwrap();
        outbox.push(&text(100)).unwrap();
        assert!(outbox.push("").is_err());
        assert_eq!(next(&outbox), Some(Ok(200)));
        assert!(outbox.push("").is_err());
        outbox.written(100);
        outbox.push(&text(100)).unwrap();
        assert!(outbox.push("").is_err());
    }

    #[test]
    fn small_messages_leave_together_and_a_large_one_alone() {
        let outbox = outbox(1 << 20);
        for size in [CHUNK * 2, 1_000, CHUNK - 1_000, 10] {
            outbox.push(&text(size)).unwrap();
        }
        let taken = std::iter::from_fn(|| next(&outbox)).map(Result::unwrap);
        assert_eq!(taken.collect::<Vec<_>>(), [CHUNK * 2, CHUNK, 10]);
    }

    #[test]
    fn all_queues_together_are_bounded_but_not_for_who_holds_little() {
        let budget = Budget::new(1_000);
        let big = Outbox::new(1 << 20, budget.clone());
        let small = Outbox::new(1 << 20, budget.clone());
        big.push(&text(17_000)).unwrap();
        assert!(big.push(&text(1_000)).is_err());
        small.push(&text(16_000)).unwrap();
        drop(big);
        small.push(&text(1_000)).unwrap();
    }
}
