//! Which connections a peer has or makes, and how the server's frames find them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peerage_proto::identity::gate::Granted;
use peerage_proto::link::Signal;
use peerage_proto::wire::id::{ConnectionId, PeerId};
use tokio::sync::mpsc;

/// Signals that wait for one connection; a peer sends an answer and some candidates. More are dropped: they are hints, or a flood.
const SIGNALS: usize = 128;

/// What a connection's task is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// Something came from the server for it.
    Signal(Box<Signal>),
    /// The gate let the caller's restart in.
    Restart(Box<Granted>),
    /// Its grant is gone.
    Revoked,
}

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    links: HashMap<PeerId, HashMap<ConnectionId, Entry>>,
    /// Ports taken by connections that this side began, for each peer called.
    slots: HashMap<PeerId, Vec<usize>>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    notices: mpsc::Sender<Notice>,
    /// Tells a connection from a later one of the same name.
    generation: u64,
}

/// A connection's entry.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) generation: u64,
}

impl Registry {
    /// Enters a connection; an earlier one of the same name loses its notices, which ends it.
    pub(super) fn insert(&self, peer: &PeerId, connection: &ConnectionId) -> Registered {
        let (sender, notices) = mpsc::channel(SIGNALS);
        let mut tables = self.tables();
        tables.next += 1;
        let generation = tables.next;
        let entry = Entry {
            notices: sender,
            generation,
        };
        tables
            .links
            .entry(peer.clone())
            .or_default()
            .insert(connection.clone(), entry);
        Registered {
            notices,
            generation,
        }
    }

    /// Takes a connection out; `false` when a later one has its name.
    pub(super) fn remove(&self, peer: &PeerId, connection: &ConnectionId, generation: u64) -> bool {
        let mut tables = self.tables();
        let Some(links) = tables.links.get_mut(peer) else {
            return false;
        };
        let current = links
            .get(connection)
            .is_some_and(|entry| entry.generation == generation);
        if current {
            links.remove(connection);
            if links.is_empty() {
                tables.links.remove(peer);
            }
        }
        current
    }

    /// Gives a notice to one connection with a peer, or to all of them.
    pub(super) fn notify(
        &self,
        peer: &PeerId,
        connection: Option<&ConnectionId>,
        notice: impl Fn() -> Notice,
    ) {
        let tables = self.tables();
        let Some(links) = tables.links.get(peer) else {
            return;
        };
        let wanted = links
            .iter()
            .filter(|(name, _)| connection.is_none_or(|connection| *name == connection));
        for (_, entry) in wanted {
            if entry.notices.try_send(notice()).is_err() {
                tracing::debug!(%peer, "a connection takes no more signals");
            }
        }
    }

    /// The lowest port slot that no other connection to this peer uses. See [`Engine::offer`](crate::engine::Engine::offer).
    pub(super) fn take_slot(&self, peer: &PeerId) -> usize {
        let mut tables = self.tables();
        let taken = tables.slots.entry(peer.clone()).or_default();
        let slot = (0..)
            .find(|slot| !taken.contains(slot))
            .unwrap_or(usize::MAX);
        taken.push(slot);
        slot
    }

    pub(super) fn free_slot(&self, peer: &PeerId, slot: usize) {
        let mut tables = self.tables();
        if let Some(taken) = tables.slots.get_mut(peer) {
            taken.retain(|other| *other != slot);
            if taken.is_empty() {
                tables.slots.remove(peer);
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (PeerId, ConnectionId) {
        (
            PeerId::parse("alice").expect("an id"),
            ConnectionId::parse("dc_1").expect("a name"),
        )
    }

    #[test]
    fn a_later_connection_of_the_same_name_takes_over_and_is_not_removed_by_the_earlier() {
        let (peer, connection) = names();
        let registry = Registry::default();
        let mut first = registry.insert(&peer, &connection);
        let mut second = registry.insert(&peer, &connection);
        assert!(first.notices.blocking_recv().is_none());
        assert!(!registry.remove(&peer, &connection, first.generation));
        registry.notify(&peer, None, || Notice::Revoked);
        assert!(matches!(
            second.notices.blocking_recv(),
            Some(Notice::Revoked)
        ));
        assert!(registry.remove(&peer, &connection, second.generation));
        assert!(registry.tables().links.is_empty());
    }

    #[test]
    fn connections_to_one_peer_take_slots_apart_and_give_them_back() {
        let (alice, _) = names();
        let bob = PeerId::parse("bob").expect("an id");
        let registry = Registry::default();
        assert_eq!(
            [
                registry.take_slot(&alice),
                registry.take_slot(&alice),
                registry.take_slot(&bob)
            ],
            [0, 1, 0]
        );
        registry.free_slot(&alice, 0);
        assert_eq!(registry.take_slot(&alice), 0);
        for (peer, slot) in [(&alice, 0), (&alice, 1), (&bob, 0)] {
            registry.free_slot(peer, slot);
        }
        assert!(registry.tables().slots.is_empty());
    }
}
