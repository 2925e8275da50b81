//! Who is told when an id comes and goes (`docs/protocol/presence.md`).
//!
//! The watched id's shard holds who watches; the watcher's shard holds what is watched. Where the two do not agree, because a socket went while its
//! subscription was on the way, the next thing told mends it: it is answered by an end of the subscription.

use std::collections::HashMap;

use super::{ConnId, Holder, Matter, Router, Watcher};
use crate::wire::id::PeerId;
use crate::wire::signal::{self, Presence};

/// Who watches the ids of a shard, whether or not these are held.
#[derive(Debug)]
pub(super) struct Watchers {
    of: HashMap<PeerId, Vec<Watcher>>,
    limit: usize,
}

impl Watchers {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            of: HashMap::new(),
            limit,
        }
    }

    /// False when the id has as many as it may.
    fn add(&mut self, id: &PeerId, watcher: &Watcher) -> bool {
        let known = self.of.get(id).map_or(&[][..], Vec::as_slice);
        if known.iter().any(|known| known.conn == watcher.conn) {
            return true;
        }
        let room = known.len() < self.limit;
        if room {
            let watchers = self.of.entry(id.clone()).or_default();
            watchers.push(watcher.clone());
        }
        room
    }

    pub(super) fn remove(&mut self, id: &PeerId, conn: ConnId) {
        let Some(watchers) = self.of.get_mut(id) else {
            return;
        };
        watchers.retain(|watcher| watcher.conn != conn);
        if watchers.is_empty() {
            self.of.remove(id);
        }
    }

    /// How many watch each id.
    #[cfg(test)]
    pub(super) fn counts(&self) -> impl Iterator<Item = (&PeerId, usize)> {
        self.of.iter().map(|(id, watchers)| (id, watchers.len()))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

impl Router {
    pub(super) fn subscribe(&mut self, conn: ConnId, id: PeerId, of: &str) {
        let limit = self.config.watched;
        let (Some(state), Ok(of)) = (self.conns.get_mut(&conn), PeerId::parse(of)) else {
            return;
        };
        if !state.watches.contains(&of) {
            if state.watches.len() >= limit {
                let text = signal::presence(of.as_str(), id.as_str(), Presence::Refused);
                return self.send(conn, text.into());
            }
            state.watches.push(of.clone());
        }
        let watcher = Watcher { id, conn };
        self.route(of, Matter::Watch { watcher });
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, id: PeerId, of: &str) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(at) = state.watches.iter().position(|watched| *watched == *of) {
            let of = state.watches.swap_remove(at);
            let watcher = Watcher { id, conn };
            self.route(of, Matter::Unwatch { watcher });
        }
    }

    pub(super) fn unwatch_all(&mut self, conn: ConnId) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        let watches = std::mem::take(&mut state.watches);
        let id = state.id.clone();
        for of in watches {
            let watcher = Watcher {
                id: id.clone(),
                conn,
            };
            self.route(of, Matter::Unwatch { watcher });
        }
    }

    /// A subscription is answered by what is true now.
    pub(super) fn watch(&mut self, of: PeerId, watcher: Watcher) {
        let presence = if !self.watchers.add(&of, &watcher) {
            Presence::Refused
        } else if self.is_visible(&of) {
            Presence::Online
        } else {
            Presence::Offline
        };
        self.tell(&of, watcher, presence);
    }

    pub(super) fn tell_watchers(&mut self, of: &PeerId, online: bool) {
        let presence = if online {
            Presence::Online
        } else {
            Presence::Offline
        };
        let watchers = self.watchers.of.get(of).cloned().unwrap_or_default();
        for watcher in watchers {
            self.tell(of, watcher, presence);
        }
    }

    /// At the watcher's shard.
    pub(super) fn told(&mut self, to: &PeerId, conn: ConnId, of: PeerId, presence: Presence) {
        let watches = self
            .conns
            .get_mut(&conn)
            .map(|state| &mut state.watches)
            .filter(|watches| watches.contains(&of));
        match watches {
            Some(watches) => {
                if presence == Presence::Refused {
                    watches.retain(|watched| *watched != of);
                }
                let text = signal::presence(of.as_str(), to.as_str(), presence);
                self.send(conn, text.into());
            }
            // It is gone, or wants to hear no more. (A refusal means that it was not taken in.)
            None if presence != Presence::Refused => {
                let watcher = Watcher {
                    id: to.clone(),
                    conn,
                };
                self.route(of, Matter::Unwatch { watcher });
            }
            None => {}
        }
    }

    fn tell(&mut self, of: &PeerId, watcher: Watcher, presence: Presence) {
        let Watcher { id, conn } = watcher;
        let of = of.clone();
        self.route(
            id,
            Matter::Told {
                watcher: conn,
                of,
                presence,
            },
        );
    }

    fn is_visible(&self, id: &PeerId) -> bool {
        match self.holders.get(id) {
            Some(Holder::Conn(conn)) => self.conns.get(conn).is_some_and(|conn| conn.visible),
            Some(Holder::Absent(absent)) => absent.visible,
            None => false,
        }
    }
}
