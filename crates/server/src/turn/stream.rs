//! A client's connection as the thread sees it: whole frames in, frames out, neither side ever waits for the other.

use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use peerage_proto::turn::server::FiveTuple;

/// Octets of relayed data that may wait to be written, beside as many that are being written. What is more is dropped, as it would be on a slow line.
pub(super) const WAITING: usize = 128 * 1024;
/// Octets of answers that may wait, beside data: who asks and does not read is closed. A read's worth of the shortest requests has less of them.
const ANSWERS: usize = 32 * 1024;

/// Shared by the connection's task and the thread.
pub(super) struct Stream {
    pub(super) tuple: FiveTuple,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whole frames. The thread takes them all at once; only then may there be more.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// How much of that are answers.
    answers: usize,
    /// Its client has an allocation, or had one when it was last answered.
    is_known: bool,
    /// It ends once all is written.
    is_closing: bool,
    /// It ends at once.
    is_cut: bool,
    /// The thread has it on the list of those to be woken at the end of its turn.
    is_listed: bool,
    task: Option<Waker>,
}

/// The outbox has no room.
#[derive(Debug)]
pub(super) struct Full;

/// The thread ended the connection.
#[derive(Debug)]
pub(super) struct Closed;

impl Stream {
    pub(super) fn new(tuple: FiveTuple) -> Self {
        Self {
            tuple,
            state: Mutex::default(),
        }
    }

    /// The task may hand over frames once the thread has taken the ones before.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.inbox.is_empty() {
            return Poll::Ready(());
        }
        state.task = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether the client has an allocation: who has none has no data to send either. The answer that tells it is not there before.
    pub(super) fn is_known(&self) -> bool {
        self.state().is_known
    }

    /// The task hands over whole frames.
    pub(super) fn hand_over(&self, frames: Vec<u8>) {
        self.state().inbox = frames;
    }

    /// The task takes what is to be written, in exchange for an empty buffer.
    pub(super) fn poll_take(
        &self,
        context: &mut Context<'_>,
        writing: &mut Vec<u8>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.state();
        if !state.outbox.is_empty() {
            mem::swap(&mut state.outbox, writing);
            state.answers = 0;
            return Poll::Ready(Ok(()));
        }
        if state.is_closing || state.is_cut {
            return Poll::Ready(Err(Closed));
        }
        // Idle connections hold nothing.
        state.outbox = Vec::new();
        state.task = Some(context.waker().clone());
        Poll::Pending
    }

    /// While the network takes nothing of what is being written: whether the thread wants no more of it.
    pub(super) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_cut {
            return Poll::Ready(());
        }
        state.task = Some(context.waker().clone());
        Poll::Pending
    }

    /// The thread takes what came.
    pub(super) fn take(&self) -> Vec<u8> {
        mem::take(&mut self.state().inbox)
    }

    /// The thread has relayed data, in parts.
    pub(super) fn push(&self, parts: [&[u8]; 3]) -> Result<(), Full> {
        let mut state = self.state();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if state.outbox.len() + length > WAITING {
            return Err(Full);
        }
        for part in parts {
            state.outbox.extend_from_slice(part);
        }
        Ok(())
    }

    /// The thread has an answer, for a client that has an allocation (`is_known`) or none. Without room for it the connection is cut.
    pub(super) fn answer(&self, octets: &[u8], is_known: bool) -> Result<(), Full> {
        let mut state = self.state();
        state.is_known = is_known;
        if state.is_cut {
            return Ok(());
        }
        state.answers += octets.len();
        if state.answers > ANSWERS {
            state.outbox = Vec::new();
            state.is_cut = true;
            return Err(Full);
        }
        state.outbox.extend_from_slice(octets);
        Ok(())
    }

    /// The thread closes it once it has written what waits.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    #[cfg(test)]
    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Whether the thread must put it on its list.
    pub(super) fn list(&self) -> bool {
        !mem::replace(&mut self.state().is_listed, true)
    }

    /// At the end of the thread's turn.
    pub(super) fn wake(&self) {
        let task = {
            let mut state = self.state();
            state.is_listed = false;
            state.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("tuple", &self.tuple)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use peerage_proto::turn::server::Transport;

    use super::*;

    fn stream() -> Stream {
        Stream::new(FiveTuple {
            transport: Transport::Tcp,
            local: "192.0.2.1:3478".parse().unwrap(),
            remote: "192.0.2.7:5000".parse().unwrap(),
        })
    }

    #[test]
    fn answers_wait_up_to_their_own_bound_whatever_data_waits_with_them() {
        let stranger = stream();
        for _ in 0..ANSWERS / 32 {
            stranger.answer(&[1; 32], false).unwrap();
        }
        assert!(stranger.answer(&[1; 32], false).is_err());
        let client = stream();
        while client.push([&[1; 1000], &[], &[]]).is_ok() {}
        for _ in 0..ANSWERS / 32 {
            client.answer(&[1; 32], true).unwrap();
        }
        assert!(client.answer(&[1; 32], true).is_err());
    }
}
