//! One cookie of one caller.

use std::fmt;

use super::{
    Relation,
    site::{Asked, matches},
};
use crate::{
    identity::Time,
    wire::cookie::{CookieState, SameSite},
};

/// What a cookie costs beside its octets, in memory and on the disk.
const OVERHEAD: usize = 256;

/// What makes two cookies the same one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// `None`: host only.
    pub(super) domain: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) key: Key,
    pub(super) value: Vec<u8>,
    /// `None`: with the session.
    pub(super) expires: Option<Time>,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) created: u64,
    pub(super) stamp: u64,
    pub(super) used: Time,
}

impl Cookie {
    pub(super) fn has_ended(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(super) fn goes_with(&self, asked: &Asked<'_>) -> bool {
        let may = match asked.relation {
            Relation::Same => true,
            Relation::Followed => self.same_site != SameSite::Strict,
            Relation::Foreign => false,
        };
        may && matches(&self.key.path, asked.path.as_bytes())
    }

    pub(super) fn octets(&self) -> usize {
        let Key { name, path, domain } = &self.key;
        let domain = domain.as_ref().map_or(0, String::len);
        name.len() + self.value.len() + path.len() + domain + OVERHEAD
    }

    /// `name=value`, or the value of one without a name.
    pub(super) fn write(&self, field: &mut Vec<u8>) {
        if !self.key.name.is_empty() {
            field.extend_from_slice(&self.key.name);
            field.push(b'=');
        }
        field.extend_from_slice(&self.value);
    }

    /// Whether a server that says it once more has said nothing new.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let said = |cookie: &Self| (cookie.expires, cookie.http_only, cookie.same_site);
        self.key == other.key && self.value == other.value && said(self) == said(other)
    }

    /// What scripts may know; `None` for `HttpOnly`.
    pub(super) fn state(&self) -> Option<CookieState> {
        (!self.http_only).then(|| CookieState {
            value: Some(text(&self.value)),
            expires: self.expires,
            created: self.created,
            stamp: self.stamp,
            ..self.key.gone(self.stamp)
        })
    }
}

impl Key {
    /// The news that there is no such cookie.
    pub(super) fn gone(&self, stamp: u64) -> CookieState {
        CookieState {
            name: text(&self.name),
            value: None,
            path: text(&self.path),
            domain: self.domain.clone(),
            expires: None,
            created: 0,
            stamp,
        }
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({} octets)", self.octets() - OVERHEAD)
    }
}
