//! How connections reach the thread without waiting for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::stream::Stream;

/// Rung by connections, heard by the thread.
pub(super) struct Bell {
    waker: Waker,
    /// Whether the thread sleeps, or is about to: a system call is made only then.
    asleep: AtomicBool,
    stopping: AtomicBool,
    calls: Mutex<VecDeque<Call>>,
}

/// What a connection wants. Bounded by the number of connections: each has at most one of a kind waiting.
#[derive(Debug)]
pub(super) enum Call {
    /// Frames came.
    Spoke(Arc<Stream>),
    /// None came for a while: may it stay?
    Quiet(Arc<Stream>),
    /// It is over.
    Ended(Arc<Stream>),
}

impl Bell {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            waker,
            asleep: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            calls: Mutex::default(),
        }
    }

    /// A connection calls.
    pub(super) fn call(&self, call: Call) {
        self.calls().push_back(call);
        self.ring();
    }

    /// The thread is to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "cannot wake the thread of STUN and TURN");
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The thread takes the oldest call.
    pub(super) fn answer(&self) -> Option<Call> {
        self.calls().pop_front()
    }

    /// The thread is about to sleep. Returns whether it may: what was called before is seen here, what comes after wakes it.
    pub(super) fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        self.calls().is_empty() && !self.is_stopping()
    }

    /// The thread is awake again.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
