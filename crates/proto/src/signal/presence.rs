//! Who is told when an id comes and goes (`docs/protocol/presence.md`).
//!
//! The watched id's shard holds who watches; the watcher's shard holds what is watched. Where the two do not agree, because a socket went while its
//! subscription was on the way, the next thing told mends it: it is answered by an end of the subscription. What overtakes on the way between the two is told
//! apart by its number: neither does an older word replace a newer one, nor the end of one subscription end the next.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::{ConnId, Holder, Matter, Router, Watcher, reserve};
use crate::wire::id::PeerId;
use crate::wire::signal::{self, Presence};

/// Who watches the ids of a shard, whether or not these are held.
#[derive(Debug)]
pub(super) struct Watchers {
    of: HashMap<PeerId, Vec<Watcher>>,
    limit: usize,
}

/// An id that a socket watches.
#[derive(Debug)]
pub(super) struct Watch {
    of: PeerId,
    number: u64,
    /// The newest that was told of it.
    heard: u64,
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
        let Some(watchers) = self.of.get_mut(id) else {
            let room = self.limit > 0;
            if room {
                self.of.insert(id.clone(), vec![watcher.clone()]);
            }
            return room;
        };
        if let Some(known) = watchers.iter_mut().find(|known| known.conn == watcher.conn) {
            known.number = known.number.max(watcher.number);
            return true;
        }
        let room = watchers.len() < self.limit;
        if room {
            watchers.push(watcher.clone());
        }
        room
    }

    pub(super) fn remove(&mut self, id: &PeerId, watcher: &Watcher) {
        let Some(watchers) = self.of.get_mut(id) else {
            return;
        };
        watchers.retain(|known| known.conn != watcher.conn || known.number > watcher.number);
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
        let known = state.watches.iter_mut().find(|watch| watch.of == of);
        let number = if let Some(watch) = known {
            // Whoever asks again is answered, whatever was heard before.
            watch.heard = 0;
            watch.number
        } else {
            if state.watches.len() >= limit
                || !reserve(&self.totals.watches, 1, self.config.all_watched)
            {
                let text = signal::presence(of.as_str(), id.as_str(), Presence::Refused);
                return self.send(conn, text.into());
            }
            self.serial += 1;
            state.watches.push(Watch {
                of: of.clone(),
                number: self.serial,
                heard: 0,
            });
            self.serial
        };
        let watcher = Watcher { id, conn, number };
        self.route(of, Matter::Watch { watcher });
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, id: PeerId, of: &str) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(at) = state.watches.iter().position(|watch| watch.of == *of) {
            let Watch { of, number, .. } = state.watches.swap_remove(at);
            self.totals.watches.fetch_sub(1, Ordering::Relaxed);
            let watcher = Watcher { id, conn, number };
            self.route(of, Matter::Unwatch { watcher });
        }
    }

    pub(super) fn unwatch_all(&mut self, conn: ConnId) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        let watches = std::mem::take(&mut state.watches);
        self.totals
            .watches
            .fetch_sub(watches.len(), Ordering::Relaxed);
        let id = state.id.clone();
        for Watch { of, number, .. } in watches {
            let watcher = Watcher {
                id: id.clone(),
                conn,
                number,
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
    pub(super) fn told(&mut self, watcher: Watcher, of: PeerId, serial: u64, presence: Presence) {
        let Watcher { id, conn, number } = &watcher;
        let is_refused = presence == Presence::Refused;
        let state = self.conns.get_mut(conn);
        let found = state.and_then(|state| {
            let at = state.watches.iter().position(|watch| watch.of == of)?;
            Some((&mut state.watches, at))
        });
        let Some((watches, at)) = found else {
            // It is gone, or wants to hear no more. (A refusal means that it was not taken in.)
            if !is_refused {
                self.route(of, Matter::Unwatch { watcher });
            }
            return;
        };
        let watch = &mut watches[at];
        if serial < watch.heard || is_refused && *number != watch.number {
            return;
        }
        watch.heard = serial;
        if is_refused {
            watches.swap_remove(at);
            self.totals.watches.fetch_sub(1, Ordering::Relaxed);
        }
        let text = signal::presence(of.as_str(), id.as_str(), presence);
        self.send(*conn, text.into());
    }

    fn tell(&mut self, of: &PeerId, watcher: Watcher, presence: Presence) {
        self.serial += 1;
        let Watcher { id, conn, number } = watcher;
        let told = Matter::Told {
            watcher: conn,
            number,
            of: of.clone(),
            serial: self.serial,
            presence,
        };
        self.route(id, told);
    }

    fn is_visible(&self, id: &PeerId) -> bool {
        match self.holders.get(id) {
            Some(Holder::Conn(conn)) => self.conns.get(conn).is_some_and(|conn| conn.visible),
            Some(Holder::Absent(absent)) => absent.visible,
            None => false,
        }
    }
}
