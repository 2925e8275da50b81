//! The cookies of one caller.

use std::{cmp::Reverse, time::Duration};

use super::{
    cookie::{Cookie, Key},
    site::Asked,
};
use crate::{
    identity::Time,
    wire::cookie::{CookieState, Listing},
};

/// Most cookies of a caller, as in browsers those of a site.
pub const MAX_COOKIES: usize = 180;
/// Most octets of a caller's cookies: name, value, path, domain, and 256 for each.
pub const MAX_OCTETS: usize = 256 * 1024;

/// How long a session outlives the last that was heard of its caller.
const SESSION: Duration = Duration::from_secs(24 * 3600);
/// Being heard of is worth remembering this often: the end of a session may be this much early after a crash.
const HEARD_AGAIN: Duration = Duration::from_secs(10 * 60);

#[derive(Debug)]
pub(super) struct Shelf {
    cookies: Vec<Cookie>,
    octets: usize,
    stamp: u64,
    heard: Time,
    /// The `heard` that was told last.
    told: Time,
    changed: bool,
}

impl Shelf {
    pub(super) fn new(now: Time) -> Self {
        Self {
            cookies: Vec::new(),
            octets: 0,
            stamp: 0,
            heard: now,
            told: now,
            changed: false,
        }
    }

    /// As remembered; of cookies that are the same the last counts.
    pub(super) fn remembered(stamp: u64, heard: Time, cookies: Vec<Cookie>) -> Self {
        let mut shelf = Self::new(heard);
        for cookie in cookies {
            shelf.stamp = shelf.stamp.max(cookie.stamp);
            if let Some(at) = shelf.find(&cookie.key) {
                shelf.remove(at);
            }
            shelf.push(cookie);
            while let Some(at) = shelf.surplus(None) {
                shelf.remove(at);
            }
        }
        shelf.stamp = shelf.stamp.max(stamp);
        shelf
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn heard(&self) -> Time {
        self.heard
    }

    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    pub(super) fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// Whether anything changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Notes that the caller was heard of; whether that is worth remembering.
    pub(super) fn hear(&mut self, now: Time) -> bool {
        self.heard = now;
        let worth = now.since(self.told) >= HEARD_AGAIN;
        if worth {
            self.told = now;
        }
        worth
    }

    /// Removes what has ended.
    pub(super) fn sweep(&mut self, present: bool, now: Time) {
        let session_ended = !present && now.since(self.heard) >= SESSION;
        self.cookies.retain(|cookie| match cookie.expires {
            Some(_) => !cookie.has_ended(now),
            None => !session_ended,
        });
        self.octets = self.cookies.iter().map(Cookie::octets).sum();
    }

    pub(super) fn header(&mut self, asked: &Asked<'_>, now: Time) -> Option<Vec<u8>> {
        let mut chosen: Vec<&mut Cookie> = self
            .cookies
            .iter_mut()
            .filter(|cookie| cookie.goes_with(asked))
            .collect();
        chosen.sort_by_key(|cookie| (Reverse(cookie.key.path.len()), cookie.created));
        let mut field = Vec::new();
        for cookie in chosen {
            cookie.used = now;
            if !field.is_empty() {
                field.extend_from_slice(b"; ");
            }
            cookie.write(&mut field);
        }
        (!field.is_empty()).then_some(field)
    }

    /// Sets a cookie, or removes it if it has ended; `touched` gets what changed for scripts.
    pub(super) fn put(&mut self, mut cookie: Cookie, now: Time, touched: &mut Vec<Key>) {
        let old = self.find(&cookie.key);
        let ended = cookie.has_ended(now);
        match old {
            None if ended => return,
            Some(at) if self.cookies[at].says_the_same(&cookie) => {
                self.cookies[at].used = now;
                return;
            }
            _ => {}
        }
        self.changed = true;
        self.stamp = self.stamp.saturating_add(1).max(now.0);
        cookie.stamp = self.stamp;
        cookie.created = self.stamp;
        let mut visible = !ended && !cookie.http_only;
        let key = cookie.key.clone();
        if let Some(at) = old {
            let old = self.remove(at);
            visible |= !old.http_only;
            cookie.created = old.created;
        }
        if visible {
            touched.push(key.clone());
        }
        if ended {
            return;
        }
        self.push(cookie);
        while let Some(at) = self.surplus(Some(&key)) {
            let gone = self.remove(at);
            if !gone.http_only {
                touched.push(gone.key);
            }
        }
    }

    /// As [`put`](Self::put), for a script: it cannot reach what is `HttpOnly`.
    pub(super) fn put_by_script(&mut self, cookie: Cookie, now: Time, touched: &mut Vec<Key>) {
        let hidden = self
            .find(&cookie.key)
            .is_some_and(|at| self.cookies[at].http_only);
        if !hidden {
            self.put(cookie, now, touched);
        }
    }

    pub(super) fn list(&self, now: Time) -> Listing {
        Listing {
            stamp: self.stamp,
            now,
            cookies: self.cookies.iter().filter_map(Cookie::state).collect(),
        }
    }

    /// What scripts may know of these, each once.
    pub(super) fn states(&self, mut keys: Vec<Key>) -> Vec<CookieState> {
        keys.sort();
        keys.dedup();
        let state = |key: &Key| {
            let known = self.find(key).and_then(|at| self.cookies[at].state());
            known.unwrap_or_else(|| key.gone(self.stamp))
        };
        keys.iter().map(state).collect()
    }

    fn find(&self, key: &Key) -> Option<usize> {
        self.cookies.iter().position(|cookie| cookie.key == *key)
    }

    fn push(&mut self, cookie: Cookie) {
        self.octets += cookie.octets();
        self.cookies.push(cookie);
    }

    fn remove(&mut self, at: usize) -> Cookie {
        let cookie = self.cookies.remove(at);
        self.octets -= cookie.octets();
        cookie
    }

    /// Which cookie has to go, if there are too many: the one that was not used for longest, but not the one that came just now.
    fn surplus(&self, newest: Option<&Key>) -> Option<usize> {
        if self.cookies.len() <= MAX_COOKIES && self.octets <= MAX_OCTETS {
            return None;
        }
        let others = self.cookies.iter().enumerate();
        others
            .filter(|(_, cookie)| newest != Some(&cookie.key))
            .min_by_key(|(_, cookie)| (cookie.used, cookie.created))
            .map(|(at, _)| at)
    }
}
