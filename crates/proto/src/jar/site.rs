//! What the jar must know of the target to judge a cookie, and of a request to choose some.

use std::net::IpAddr;

use super::cookie::{Cookie, Key};
use crate::{
    identity::Time,
    wire::cookie::{MAX_ATTRIBUTE, SameSite, SetCookie},
};

/// The one target that all cookies belong to.
#[derive(Debug, Clone, Default)]
pub struct Site {
    pub(super) target: String,
    hosts: Vec<String>,
    base: String,
}

/// A request, as far as cookies go.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its path at the device, without the query.
    pub path: &'a str,
    /// Who caused it.
    pub relation: Relation,
}

/// Whose page caused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The app's own, the person, or a caller without pages.
    Same,
    /// Another site's, by a link that was followed (GET).
    Followed,
    /// Another site's, otherwise.
    Foreign,
}

impl Site {
    /// `target` tells this target from every other. `hosts` are those that cookies may name, in lower case: the target's and the device's own.
    /// `base` is the target's path under which everything lies, without a slash at the end, mostly empty: it comes off the paths of cookies, as
    /// it comes off those of redirects.
    pub fn new<'a>(target: &str, hosts: impl IntoIterator<Item = &'a str>, base: &str) -> Self {
        Self {
            target: target.to_owned(),
            hosts: hosts.into_iter().map(str::to_owned).collect(),
            base: base.to_owned(),
        }
    }

    /// The cookie that the target may set with an answer to this request.
    pub(super) fn accept_from_target(
        &self,
        set: SetCookie,
        asked: &Asked<'_>,
        now: Time,
    ) -> Option<Cookie> {
        if asked.relation == Relation::Foreign && set.same_site != SameSite::None {
            return None;
        }
        self.accept(set, asked.path.as_bytes(), now).ok()
    }

    /// The cookie that a script of this document may set, or what it names without being allowed to.
    pub(super) fn accept_from_script(
        &self,
        set: SetCookie,
        document: &[u8],
        now: Time,
    ) -> Result<Cookie, Key> {
        let http_only = set.http_only;
        let cookie = self.accept(set, document, now)?;
        if http_only {
            Err(cookie.key)
        } else {
            Ok(cookie)
        }
    }

    /// RFC 6265bis 5.7, as far as it is about the cookie alone.
    fn accept(&self, set: SetCookie, at: &[u8], now: Time) -> Result<Cookie, Key> {
        let path = match &set.path {
            Some(path) => self.below_base(path).to_vec(),
            None => default_path(at).to_vec(),
        };
        let (domain, known) = match &set.domain {
            None => (None, true),
            Some(domain) => {
                let domain = String::from_utf8_lossy(domain).into_owned();
                match self.place(&domain) {
                    Place::Host => (None, true),
                    Place::Above => (Some(domain), true),
                    Place::Elsewhere => (Some(domain), false),
                }
            }
        };
        let allowed = known
            && path.len() <= MAX_ATTRIBUTE
            && (set.same_site != SameSite::None || set.secure)
            && keeps_prefix(&set);
        let ends = set.ends(now);
        let key = Key {
            name: set.name,
            path,
            domain,
        };
        if !allowed {
            return Err(key);
        }
        Ok(Cookie {
            key,
            value: set.value,
            expires: ends,
            http_only: set.http_only,
            same_site: set.same_site,
            created: 0,
            stamp: 0,
            used: now,
        })
    }

    fn place(&self, domain: &str) -> Place {
        let is_ip = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if self.hosts.iter().any(|host| host == domain && is_ip(host)) {
            // An address is nobody's parent: the attribute says what goes without saying.
            return Place::Host;
        }
        let above = |host: &String| {
            host == domain
                || (!is_ip(host)
                    && host
                        .strip_suffix(domain)
                        .is_some_and(|rest| rest.ends_with('.')))
        };
        if self.hosts.iter().any(above) {
            Place::Above
        } else {
            Place::Elsewhere
        }
    }

    /// A path of the target as the device's origin has it. What lies above the base covers all of it.
    fn below_base<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let base = self.base.as_bytes();
        match path.strip_prefix(base) {
            Some([]) => b"/",
            Some(rest @ [b'/', ..]) => rest,
            _ if matches(path, base) => b"/",
            _ => path,
        }
    }
}

enum Place {
    /// An address: host only.
    Host,
    /// A host that cookies may name, or a parent of one.
    Above,
    Elsewhere,
}

/// Whether a cookie of this path goes along with a request for that one (RFC 6265bis 5.1.4).
pub(super) fn matches(cookie: &[u8], asked: &[u8]) -> bool {
    asked
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || cookie.ends_with(b"/"))
}

/// The folder of a path, without a slash at the end (RFC 6265bis 5.1.4).
fn default_path(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|octet| *octet == b'/') {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// Whether a name that makes a promise is set in the way that keeps it (RFC 6265bis 4.1.3, 5.7).
fn keeps_prefix(set: &SetCookie) -> bool {
    let begins = |text: &[u8], prefix: &[u8]| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    const SECURE: &[u8] = b"__Secure-";
    const HOST: &[u8] = b"__Host-";
    if set.name.is_empty() {
        // Servers read a nameless `__Host-a=b` as if it had that name.
        return !begins(&set.value, SECURE) && !begins(&set.value, HOST);
    }
    if begins(&set.name, HOST) {
        return set.secure && set.domain.is_none() && set.path.as_deref() == Some(b"/");
    }
    !begins(&set.name, SECURE) || set.secure
}
