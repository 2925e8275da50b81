//! How other threads reach the driver without waiting: which connections want attention, and a wake-up when it sleeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::ConnId;
use crate::channel::Far;
use crate::connection::CloseReason;

/// Rung by users, heard by the driver.
pub(super) struct Bell {
    waker: Waker,
    /// Whether the driver sleeps, or is about to: a system call is made only then.
    asleep: AtomicBool,
    calls: Mutex<Calls>,
}

/// Bounded by the number of connections: each is in a set once.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Connections whose pipes changed.
    pub(super) changed: BTreeSet<ConnId>,
    /// Connections that their owner ended; the first reason stands.
    pub(super) ended: BTreeMap<ConnId, CloseReason>,
}

impl Bell {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            waker,
            asleep: AtomicBool::new(false),
            calls: Mutex::default(),
        }
    }

    /// The connection's owner ends it.
    pub(super) fn end(&self, conn: ConnId, reason: CloseReason) {
        self.calls().ended.entry(conn).or_insert(reason);
        self.ring();
    }

    /// Wakes the driver.
    pub(super) fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "cannot wake the engine");
        }
    }

    /// The driver takes what was called for.
    pub(super) fn answer(&self) -> Calls {
        std::mem::take(&mut *self.calls())
    }

    /// The driver is about to sleep. Returns whether it may: what was called before is seen here, what comes after wakes it.
    pub(super) fn sleep(&self, otherwise_idle: impl FnOnce() -> bool) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let calls = self.calls();
        calls.changed.is_empty() && calls.ended.is_empty() && otherwise_idle()
    }

    /// The driver is awake again.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Far for Bell {
    fn changed(&self, conns: &[u64]) {
        self.calls()
            .changed
            .extend(conns.iter().copied().map(ConnId));
        self.ring();
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
