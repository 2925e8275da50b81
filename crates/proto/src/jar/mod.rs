//! The cookies of a device's target, apart for each caller (`docs/protocol/http.md`, section 9).
//!
//! A browser cannot keep the cookies of an app behind a link: to the browser they would belong to whoever served the page. So the device does,
//! as a browser would (RFC 6265bis). Callers are told apart by their keys; nobody ever gets another's cookie, and scripts get none that is
//! `HttpOnly`. Time is an argument, nothing here waits, and nothing shows a value but to its caller.

mod cookie;
mod shelf;
mod site;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::{cookie::Cookie, shelf::Shelf};
use crate::{
    identity::{DeviceId, Time},
    wire::cookie::{Changes, CookieState, Listing, SetCookie},
};

pub use self::{
    shelf::{MAX_COOKIES, MAX_OCTETS},
    site::{Asked, Relation, Site},
    state::{State, StateError},
};

/// Most callers with cookies.
pub const MAX_CALLERS: usize = 256;
/// Most octets of all cookies, counted as for [`MAX_OCTETS`].
pub const MAX_ALL_OCTETS: usize = 8 * 1024 * 1024;

/// Who has cookies: a key, by its id.
pub type Caller = DeviceId;

/// Everybody's cookies of one target.
#[derive(Debug)]
pub struct Jar {
    site: Site,
    shelves: BTreeMap<Caller, Shelf>,
    /// How many connections each caller has now; an absent one has none.
    present: BTreeMap<Caller, usize>,
    changes: u64,
}

impl Jar {
    /// The jar of a target, with what was remembered of this one. What exceeds the bounds goes as it would have gone then.
    pub fn new(site: Site, state: State, now: Time) -> Self {
        let mut jar = Self {
            shelves: state.into_shelves(&site.target, now),
            site,
            present: BTreeMap::new(),
            changes: 0,
        };
        jar.make_room(None, now);
        jar
    }

    /// A connection of this caller began: its session goes on for as long as it lives.
    pub fn arrived(&mut self, caller: &Caller, now: Time) {
        self.sweep(caller, now);
        *self.present.entry(caller.clone()).or_default() += 1;
    }

    /// A connection of this caller ended.
    pub fn left(&mut self, caller: &Caller, now: Time) {
        self.sweep(caller, now);
        if let Some(count) = self.present.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                self.present.remove(caller);
            }
        }
    }

    /// The value of the `Cookie` field for a request: longer paths first, then the older. `None`: no cookie goes along.
    pub fn header(&mut self, caller: &Caller, asked: &Asked<'_>, now: Time) -> Option<Vec<u8>> {
        self.sweep(caller, now);
        self.shelves.get_mut(caller)?.header(asked, now)
    }

    /// Takes in the `Set-Cookie` values of a response. Returns what changed for scripts.
    pub fn receive<'a>(
        &mut self,
        caller: &Caller,
        asked: &Asked<'_>,
        lines: impl IntoIterator<Item = &'a [u8]>,
        now: Time,
    ) -> Vec<CookieState> {
        let cookies: Vec<Cookie> = lines
            .into_iter()
            .filter_map(|line| SetCookie::parse(line).ok())
            .filter_map(|set| self.site.accept_from_target(set, asked, now))
            .collect();
        if cookies.is_empty() {
            return Vec::new();
        }
        self.with(caller, now, |shelf| {
            let mut touched = Vec::new();
            for cookie in cookies {
                shelf.put(cookie, now, &mut touched);
            }
            shelf.states(touched)
        })
    }

    /// The cookies that scripts may read.
    pub fn list(&mut self, caller: &Caller, now: Time) -> Listing {
        self.sweep(caller, now);
        match self.shelves.get(caller) {
            Some(shelf) => shelf.list(now),
            // Whatever was told before a jar was lost is older than this.
            None => Listing {
                stamp: now.0,
                now,
                cookies: Vec::new(),
            },
        }
    }

    /// Does what scripts did, in their order. Returns the state of every cookie that was named, and of what had to go for it.
    pub fn script(&mut self, caller: &Caller, changes: &Changes, now: Time) -> Listing {
        let Self { site, .. } = self;
        let wishes: Vec<_> = changes
            .changes
            .iter()
            .filter_map(|change| {
                let set = SetCookie::parse(change.cookie.as_bytes()).ok()?;
                Some(site.accept_from_script(set, change.path.as_bytes(), now))
            })
            .collect();
        if wishes.is_empty() {
            return Listing {
                cookies: Vec::new(),
                ..self.list(caller, now)
            };
        }
        self.with(caller, now, |shelf| {
            let mut named = Vec::new();
            for wish in wishes {
                match wish {
                    Ok(cookie) => {
                        named.push(cookie.key.clone());
                        shelf.put_by_script(cookie, now, &mut named);
                    }
                    Err(key) => named.push(key),
                }
            }
            Listing {
                cookies: shelf.states(named),
                ..shelf.list(now)
            }
        })
    }

    /// What to remember. Holds secrets.
    pub fn state(&self, now: Time) -> State {
        let is_present = |caller: &Caller| self.present.contains_key(caller);
        State::of(&self.site.target, &self.shelves, is_present, now)
    }

    /// Rises when there is something new to remember.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Works on the shelf of a caller, made if there is none, and keeps the bounds.
    fn with<T>(&mut self, caller: &Caller, now: Time, act: impl FnOnce(&mut Shelf) -> T) -> T {
        self.sweep(caller, now);
        let shelf = self
            .shelves
            .entry(caller.clone())
            .or_insert_with(|| Shelf::new(now));
        let outcome = act(shelf);
        if shelf.take_changed() {
            self.changes += 1;
        }
        self.make_room(Some(caller), now);
        outcome
    }

    /// Removes what of a caller's has ended, and notes that the caller was heard of.
    fn sweep(&mut self, caller: &Caller, now: Time) {
        let present = self.present.contains_key(caller);
        if let Some(shelf) = self.shelves.get_mut(caller) {
            shelf.sweep(present, now);
            if shelf.hear(now) {
                self.changes += 1;
            }
        }
    }

    /// Keeps the number of callers and of octets: what has ended goes first, then who is not connected and was not heard of for longest.
    fn make_room(&mut self, newest: Option<&Caller>, now: Time) {
        if !self.is_too_full() {
            return;
        }
        for (caller, shelf) in &mut self.shelves {
            shelf.sweep(self.present.contains_key(caller), now);
        }
        self.shelves.retain(|_, shelf| !shelf.is_empty());
        while self.is_too_full() {
            let others = self
                .shelves
                .iter()
                .filter(|(caller, _)| newest != Some(*caller));
            // Who is connected goes last: others cannot log somebody out who is at work.
            let Some((oldest, _)) = others
                .min_by_key(|(caller, shelf)| (self.present.contains_key(*caller), shelf.heard()))
            else {
                return;
            };
            let oldest = oldest.clone();
            self.shelves.remove(&oldest);
            self.changes += 1;
        }
    }

    fn is_too_full(&self) -> bool {
        self.shelves.len() > MAX_CALLERS
            || self.shelves.values().map(Shelf::octets).sum::<usize>() > MAX_ALL_OCTETS
    }
}
