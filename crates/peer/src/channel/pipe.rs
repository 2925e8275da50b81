//! A queue of messages, bounded in octets, between a task and the engine's thread.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Message;
use super::batch::{Batch, Signal};

/// What each message costs beside its octets, so that empty ones are not free.
const MESSAGE_COST: usize = 64;

/// One direction of a channel.
///
/// A message enters while fewer than `capacity` octets are queued; so at most `capacity` and one message are held.
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// Wakes the reader: a message came, or the pipe closed.
    arrived: Notify,
    /// Wakes writers: there is room, or the pipe closed.
    drained: Notify,
    capacity: AtomicUsize,
    /// Tells the far thread that there is something for it: a first message, room again, or the end.
    changed: Option<Signal>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Message>,
    octets: usize,
    closed: bool,
}

impl Pipe {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            drained: Notify::new(),
            capacity: AtomicUsize::new(capacity),
            changed: None,
        }
    }

    /// A pipe that gives the signal when its first message was sent, when a full one was drained by half, and when its user closes it.
    pub(crate) fn with_signal(capacity: usize, changed: Signal) -> Self {
        Self {
            changed: Some(changed),
            ..Self::new(capacity)
        }
    }

    /// Waits for room and appends; `Err` when the pipe is closed. Cancel-safe: the message is either in or dropped.
    pub(crate) async fn send(&self, message: Message) -> Result<(), Message> {
        let mut message = message;
        loop {
            message = match self.try_send(message) {
                Sent::Done(result) => return result,
                Sent::Full(message) => message,
            };
            let mut room = pin!(self.drained.notified());
            // Registered before looking again: a wake-up in between would be lost otherwise.
            room.as_mut().enable();
            message = match self.try_send(message) {
                Sent::Done(result) => return result,
                Sent::Full(message) => message,
            };
            room.await;
        }
    }

    fn try_send(&self, message: Message) -> Sent {
        match self.try_push(message) {
            Pushed::First => {
                self.arrived.notify_one();
                self.signal();
            }
            Pushed::Behind => {}
            Pushed::Full(message) => return Sent::Full(message),
            Pushed::Closed(message) => return Sent::Done(Err(message)),
        }
        Sent::Done(Ok(()))
    }

    fn try_push(&self, message: Message) -> Pushed {
        let mut state = self.state();
        if state.closed {
            Pushed::Closed(message)
        } else if state.octets >= self.capacity() {
            Pushed::Full(message)
        } else if state.push(message) {
            Pushed::First
        } else {
            Pushed::Behind
        }
    }

    /// Appends if there is room, and says whether; `None` when the pipe is closed. The far thread is told with the batch.
    pub(crate) fn try_send_in(&self, batch: &mut Batch, message: Message) -> Option<bool> {
        match self.try_push(message) {
            Pushed::First => {
                self.arrived.notify_one();
                if let Some(signal) = &self.changed {
                    batch.add(signal);
                }
                Some(true)
            }
            Pushed::Behind => Some(true),
            Pushed::Full(_) => Some(false),
            Pushed::Closed(_) => None,
        }
    }

    /// Appends all of them if there is room for the first, and says whether; `None` when the pipe is closed.
    pub(crate) fn try_send_all(&self, messages: Vec<Message>) -> Option<bool> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        if state.octets >= self.capacity() {
            return Some(false);
        }
        let first = messages
            .into_iter()
            .fold(false, |first, message| state.push(message) | first);
        drop(state);
        if first {
            self.arrived.notify_one();
            self.signal();
        }
        Some(true)
    }

    /// Appends without waiting, for the engine, and returns whether the pipe is over its capacity now. A closed pipe swallows.
    pub(crate) fn push(&self, message: Message) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let first = state.push(message);
        let over = state.octets >= self.capacity();
        drop(state);
        if first {
            self.arrived.notify_one();
        }
        over
    }

    /// The next message; `None` when the pipe is closed and empty. Cancel-safe.
    pub(crate) async fn recv(&self) -> Option<Message> {
        loop {
            {
                let mut state = self.state();
                if let Some(message) = state.queue.pop_front() {
                    self.release_in(state, cost(&message));
                    return Some(message);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Moves everything queued to `into`. The octets stay accounted for until [`release`](Self::release).
    pub(crate) fn take(&self, into: &mut VecDeque<Message>) {
        let mut state = self.state();
        into.append(&mut state.queue);
    }

    /// Gives back the room of messages that went on.
    pub(crate) fn release(&self, cost: usize) {
        self.release_in(self.state(), cost);
    }

    fn release_in(&self, mut state: MutexGuard<'_, State>, cost: usize) {
        let half = self.capacity() / 2;
        let before = state.octets;
        state.octets = before.saturating_sub(cost);
        let drained = before > half && state.octets <= half;
        drop(state);
        if drained {
            self.drained.notify_waiters();
            self.signal();
        }
    }

    /// The capacity in use.
    pub(crate) fn octets(&self) -> usize {
        self.state().octets
    }

    /// Whether no more than half of the capacity is in use, or nobody will read.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.state();
        state.closed || state.octets <= self.capacity() / 2
    }

    /// Whether the capacity is in use.
    pub(crate) fn is_full(&self) -> bool {
        self.state().octets >= self.capacity()
    }

    /// Whether twice the capacity is in use: pushing goes beyond it.
    pub(crate) fn is_overfull(&self) -> bool {
        self.state().octets / 2 >= self.capacity()
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Ends the pipe: nothing enters any more, what is queued can still be read.
    pub(crate) fn close(&self) {
        let first = {
            let mut state = self.state();
            !std::mem::replace(&mut state.closed, true)
        };
        if first {
            // All who read now, and who comes later.
            self.arrived.notify_waiters();
            self.arrived.notify_one();
            self.drained.notify_waiters();
            self.signal();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn signal(&self) {
        if let Some(changed) = &self.changed {
            changed.give();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave it half-done, so a poisoned one is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pipe")
            .field("octets", &state.octets)
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Appends; whether it was empty before.
    fn push(&mut self, message: Message) -> bool {
        let first = self.queue.is_empty();
        self.octets += cost(&message);
        self.queue.push_back(message);
        first
    }
}

enum Pushed {
    /// The queue was empty.
    First,
    Behind,
    Full(Message),
    Closed(Message),
}

enum Sent {
    Done(Result<(), Message>),
    Full(Message),
}

/// The room that a message takes.
pub(crate) fn cost(message: &Message) -> usize {
    message.len() + MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::channel::batch::Far;

    struct Count(Arc<AtomicUsize>);

    impl Far for Count {
        fn changed(&self, conns: &[u64]) {
            assert_eq!(conns, [7]);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn message(len: usize) -> Message {
        Message::Binary(Bytes::from(vec![0; len]))
    }

    #[tokio::test]
    async fn a_full_pipe_makes_the_writer_wait_until_half_is_read() {
        let pipe = Arc::new(Pipe::new(1000));
        pipe.send(message(600)).await.ok();
        pipe.send(message(600)).await.ok();
        let writer = tokio::spawn({
            let pipe = pipe.clone();
            async move { pipe.send(message(1)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        assert!(pipe.recv().await.is_some());
        tokio::task::yield_now().await;
        assert!(!writer.is_finished(), "more than half is queued still");
        assert!(pipe.recv().await.is_some());
        assert!(writer.await.is_ok_and(|sent| sent));
    }

    #[tokio::test]
    async fn closing_keeps_what_is_queued_and_refuses_the_rest() {
        let pipe = Pipe::new(1000);
        pipe.send(message(3)).await.ok();
        pipe.close();
        assert!(pipe.send(message(1)).await.is_err());
        assert_eq!(pipe.recv().await, Some(message(3)));
        assert_eq!(pipe.recv().await, None);
    }

    #[tokio::test]
    async fn the_far_thread_is_told_of_the_first_message_of_room_and_of_the_end() {
        let told = Arc::new(AtomicUsize::new(0));
        let pipe = Pipe::with_signal(100, Signal::new(Arc::new(Count(told.clone())), 7));
        pipe.send(message(10)).await.ok();
        assert_eq!(told.load(Ordering::Relaxed), 1);
        pipe.send(message(10)).await.ok();
        assert_eq!(
            told.load(Ordering::Relaxed),
            1,
            "the second finds the first unread"
        );
        pipe.recv().await;
        pipe.recv().await;
        assert_eq!(told.load(Ordering::Relaxed), 2, "once below half");
        pipe.close();
        pipe.close();
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }
}
