//! What a shard holds, for tests to count.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{ConnId, Router, Totals};
use crate::wire::id::PeerId;

/// Of one shard, or of several together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Messages and octets that wait for each id.
    pub(crate) waiting: BTreeMap<PeerId, (usize, usize)>,
    /// Octets of each sender in each shard, what is counted beside its texts included.
    pub(crate) senders: Vec<(PeerId, usize)>,
    /// How many watch each id.
    pub(crate) watchers: BTreeMap<PeerId, usize>,
    /// How many each socket watches.
    pub(crate) watches: BTreeMap<ConnId, usize>,
}

impl Router {
    /// Adds this shard.
    pub(crate) fn count(&self, census: &mut Census) {
        for (id, messages, octets) in self.waiting.by_receiver() {
            census.waiting.insert(id.clone(), (messages, octets));
        }
        let senders = self.waiting.by_sender().iter();
        census
            .senders
            .extend(senders.map(|(id, octets)| (id.clone(), *octets)));
        for (id, count) in self.watchers.counts() {
            census.watchers.insert(id.clone(), count);
        }
        for (conn, state) in &self.conns {
            census.watches.insert(*conn, state.watches.len());
        }
    }
}

impl Totals {
    /// Ids held, and octets that wait.
    pub(crate) fn read(&self) -> (usize, usize) {
        (
            self.peers.load(Ordering::Relaxed),
            self.waiting.load(Ordering::Relaxed),
        )
    }
}
