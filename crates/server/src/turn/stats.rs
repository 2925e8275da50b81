//! What has happened, for who asks while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_proto::turn::server::{Stats, Transport};

use super::outgoing::Lost;

/// What has happened to STUN and TURN so far. Up to a tenth of a second old.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TurnStats {
    /// What the protocol counts: allocations, refusals, what was relayed and what was not.
    pub relay: Stats,
    /// Connections at the moment, by TCP and by TLS.
    pub connections: [usize; 2],
    /// Connections so far, in the same order.
    pub connected: [u64; 2],
    /// Datagrams dropped: the system had no room for them.
    pub full: u64,
    /// Datagrams dropped: the system could not send them, for want of a way or because they were too long for the network.
    pub unsendable: u64,
    /// Data dropped: for a connection whose client reads too slowly.
    pub unread: u64,
}

/// Filled by the thread and by connections.
pub(crate) type Shared = Arc<Mutex<TurnStats>>;

pub(crate) fn lock(stats: &Shared) -> MutexGuard<'_, TurnStats> {
    // No panic happens while it is held; counts would be as true as any.
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TurnStats {
    pub(super) fn update(&mut self, relay: &Stats, lost: Lost, unread: u64) {
        self.relay.clone_from(relay);
        self.full = lost.full;
        self.unsendable = lost.refused;
        self.unread = unread;
    }
}

/// Counts a connection until it is dropped.
pub(super) struct Counted(Shared, usize);

impl Counted {
    pub(super) fn new(stats: &Shared, transport: Transport) -> Self {
        let kind = usize::from(transport == Transport::Tls);
        let mut counts = lock(stats);
        counts.connections[kind] += 1;
        counts.connected[kind] += 1;
        Self(stats.clone(), kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.0).connections[self.1] -= 1;
    }
}
