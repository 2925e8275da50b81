//! What the device remembers of its jar across restarts.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    Caller, MAX_CALLERS,
    cookie::{Cookie, Key},
    shelf::Shelf,
};
use crate::{
    identity::Time,
    wire::cookie::{MAX_ATTRIBUTE, MAX_COOKIE, SameSite, is_control},
};

const VERSION: u32 = 1;
/// What a number in JSON can hold everywhere.
const MAX_STAMP: u64 = (1 << 53) - 1;

/// All cookies of all callers of a target. Holds secrets: for a file that only the owner reads; `Debug` shows none.
#[derive(Clone, Default)]
pub struct State {
    target: String,
    callers: Vec<Stored>,
}

/// A text that holds no state. Says where, never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not the JSON that is wanted.
    #[error("cannot be read at line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Of another release.
    #[error("is of version {0}, made by another release of peerage")]
    Version(u32),
    /// No cookie could be like this.
    #[error("holds what is no cookie")]
    Cookie,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    version: u32,
    target: Cow<'a, str>,
    callers: Cow<'a, [Stored]>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    caller: String,
    heard: Time,
    stamp: u64,
    cookies: Vec<StoredCookie>,
}

/// Octets are texts here: each is the character of the same number.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCookie {
    name: String,
    value: String,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    http_only: bool,
    same_site: StoredSameSite,
    created: u64,
    stamp: u64,
    used: Time,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredSameSite {
    Strict,
    Lax,
    None,
}

impl State {
    /// Reads what [`emit`](Self::emit) wrote.
    ///
    /// # Errors
    /// It is not what was written, or of another version.
    pub fn parse(text: &str) -> Result<Self, StateError> {
        let damaged = |error: serde_json::Error| StateError::Json {
            line: error.line(),
            column: error.column(),
        };
        let Versioned { version } = serde_json::from_str(text).map_err(damaged)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let File {
            target, callers, ..
        } = serde_json::from_str(text).map_err(damaged)?;
        let is_whole = |stored: &Stored| {
            Caller::parse(&stored.caller).is_ok()
                && stored.stamp <= MAX_STAMP
                && stored.cookies.iter().all(StoredCookie::is_one)
        };
        if !callers.iter().all(is_whole) {
            return Err(StateError::Cookie);
        }
        Ok(Self {
            target: target.into_owned(),
            callers: callers.into_owned(),
        })
    }

    /// The text to keep.
    pub fn emit(&self) -> String {
        let file = File {
            version: VERSION,
            target: Cow::Borrowed(&self.target),
            callers: Cow::Borrowed(&self.callers),
        };
        // Texts and numbers have no reason to fail.
        serde_json::to_string(&file).unwrap_or_default()
    }

    pub(super) fn of(
        target: &str,
        shelves: &BTreeMap<Caller, Shelf>,
        is_present: impl Fn(&Caller) -> bool,
        now: Time,
    ) -> Self {
        let stored = |(caller, shelf): (&Caller, &Shelf)| Stored {
            caller: caller.to_string(),
            heard: if is_present(caller) {
                now
            } else {
                shelf.heard()
            },
            stamp: shelf.stamp(),
            cookies: shelf.cookies().iter().map(StoredCookie::of).collect(),
        };
        let callers = shelves.iter().filter(|(_, shelf)| !shelf.is_empty());
        Self {
            target: target.to_owned(),
            callers: callers.map(stored).collect(),
        }
    }

    /// What is there of this target; what was another's is nobody's any more.
    pub(super) fn into_shelves(self, target: &str, now: Time) -> BTreeMap<Caller, Shelf> {
        let shelf = |stored: Stored| {
            let caller = Caller::parse(&stored.caller).ok()?;
            let cookies = stored
                .cookies
                .into_iter()
                .filter_map(StoredCookie::into_cookie);
            let mut shelf =
                Shelf::remembered(stored.stamp, stored.heard.min(now), cookies.collect());
            shelf.sweep(false, now);
            Some((caller, shelf))
        };
        if self.target != target {
            return BTreeMap::new();
        }
        // Written by this program there are no more; by another hand there shall be no more either.
        let callers = self.callers.into_iter().take(MAX_CALLERS);
        callers.filter_map(shelf).collect()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} callers)", self.callers.len())
    }
}

impl StoredCookie {
    fn of(cookie: &Cookie) -> Self {
        let Key { name, path, domain } = &cookie.key;
        Self {
            name: to_text(name),
            value: to_text(&cookie.value),
            path: to_text(path),
            domain: domain.clone(),
            expires: cookie.expires,
            http_only: cookie.http_only,
            same_site: match cookie.same_site {
                SameSite::Strict => StoredSameSite::Strict,
                SameSite::Lax => StoredSameSite::Lax,
                SameSite::None => StoredSameSite::None,
            },
            created: cookie.created,
            stamp: cookie.stamp,
            used: cookie.used,
        }
    }

    fn is_one(&self) -> bool {
        self.clone().into_cookie().is_some()
    }

    fn into_cookie(self) -> Option<Cookie> {
        let (name, value) = (to_octets(&self.name)?, to_octets(&self.value)?);
        let path = to_octets(&self.path).filter(|path| path.starts_with(b"/"))?;
        let size = name.len() + value.len();
        let fits = (1..=MAX_COOKIE).contains(&size)
            && path.len() <= MAX_ATTRIBUTE
            && self.stamp.max(self.created) <= MAX_STAMP
            && self
                .domain
                .as_ref()
                .is_none_or(|d| d.len() <= MAX_ATTRIBUTE);
        fits.then_some(Cookie {
            key: Key {
                name,
                path,
                domain: self.domain,
            },
            value,
            expires: self.expires,
            http_only: self.http_only,
            same_site: match self.same_site {
                StoredSameSite::Strict => SameSite::Strict,
                StoredSameSite::Lax => SameSite::Lax,
                StoredSameSite::None => SameSite::None,
            },
            created: self.created,
            stamp: self.stamp,
            used: self.used,
        })
    }
}

fn to_text(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// `None` for what no line could have held.
fn to_octets(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| {
            u8::try_from(c)
                .ok()
                .filter(|octet| !is_control(*octet) && *octet != b';')
        })
        .collect()
}
