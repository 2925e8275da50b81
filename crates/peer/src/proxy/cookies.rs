//! The jar of a device's target, around each request (`docs/protocol/http.md`, section 9).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{COOKIE, SET_COOKIE},
};
use peerage_proto::{
    identity::{DeviceId, PublicKey},
    jar::{Asked, Jar, Relation, Site, State},
    wire::cookie::{Changes, Listing, announce},
};
use tokio::sync::watch;

use super::site;
use crate::clock;

/// By which a caller opts in for a request.
const PEERAGE_COOKIES: HeaderName = HeaderName::from_static("peerage-cookies");
/// What a response changed for scripts; never the target's to say.
const PEERAGE_COOKIE: HeaderName = HeaderName::from_static("peerage-cookie");

/// The cookies of all callers of one target, to be stored while the proxy works. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cookies(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    jar: Mutex<Jar>,
    changes: watch::Sender<u64>,
}

/// The cookies of one caller, for as long as one of its connections lives.
#[derive(Debug, Clone)]
pub(super) struct CallersCookies(Arc<Presence>);

#[derive(Debug)]
struct Presence {
    cookies: Cookies,
    caller: DeviceId,
}

/// What the response to a request has to do with the jar; made [`before`] the request is sent, to be told what came [`after`](Self::after) it.
#[derive(Debug)]
#[must_use = "the response may set cookies"]
pub(super) struct Exchange(Option<(CallersCookies, String, Relation)>);

impl Cookies {
    pub(super) fn new(site: Site, state: State) -> Self {
        let jar = Mutex::new(Jar::new(site, state, clock::wall()));
        Self(Arc::new(Shared {
            jar,
            changes: watch::Sender::new(0),
        }))
    }

    /// All cookies as they are now, to be stored. Holds secrets.
    pub fn state(&self) -> State {
        self.jar().state(clock::wall())
    }

    /// Changes when there is something to be stored.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Jar) -> T) -> T {
        let mut jar = self.jar();
        let outcome = act(&mut jar);
        let changes = jar.changes();
        drop(jar);
        self.0.changes.send_if_modified(|told| {
            let news = changes > *told;
            *told = changes.max(*told);
            news
        });
        outcome
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        // Nothing in it is half done between two cookies.
        self.0.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallersCookies {
    pub(super) fn new(cookies: Cookies, key: &PublicKey) -> Self {
        let caller = key.device_id();
        cookies.with(|jar| jar.arrived(&caller, clock::wall()));
        Self(Arc::new(Presence { cookies, caller }))
    }

    pub(super) fn list(&self) -> Listing {
        self.with(|jar, caller| jar.list(caller, clock::wall()))
    }

    pub(super) fn script(&self, changes: &Changes) -> Listing {
        self.with(|jar, caller| jar.script(caller, changes, clock::wall()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Jar, &DeviceId) -> T) -> T {
        let Presence { cookies, caller } = &*self.0;
        cookies.with(|jar| act(jar, caller))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.cookies
            .with(|jar| jar.left(&self.caller, clock::wall()));
    }
}

/// Whether a request asks for the jar.
pub(super) fn wants_jar(fields: &HeaderMap) -> bool {
    fields
        .get(PEERAGE_COOKIES)
        .is_some_and(|value| value == "jar")
}

/// Puts the caller's cookies into a request that asks for them. Whatever it asks for, the target does not see that it asked.
pub(super) fn before<B>(caller: Option<&CallersCookies>, request: &mut Request<B>) -> Exchange {
    let wanted = wants_jar(request.headers());
    request.headers_mut().remove(PEERAGE_COOKIES);
    let Some(caller) = caller.filter(|_| wanted) else {
        return Exchange(None);
    };
    let relation = match site::is_cross_site(request.headers()) {
        false => Relation::Same,
        true if *request.method() == Method::GET && site::is_navigation(request.headers()) => {
            Relation::Followed
        }
        true => Relation::Foreign,
    };
    let path = request.uri().path().to_owned();
    let asked = Asked {
        path: &path,
        relation,
    };
    let cookies = caller.with(|jar, caller| jar.header(caller, &asked, clock::wall()));
    request.headers_mut().remove(COOKIE);
    if let Some(cookies) = cookies.and_then(secret) {
        request.headers_mut().insert(COOKIE, cookies);
    }
    Exchange(Some((caller.clone(), path, relation)))
}

impl Exchange {
    /// Takes the target's cookies out of its response and into the jar, and tells what changed for scripts.
    pub(super) fn after(self, fields: &mut HeaderMap) {
        fields.remove(PEERAGE_COOKIE);
        let Some((caller, path, relation)) = self.0 else {
            return;
        };
        let lines = match fields.entry(SET_COOKIE) {
            http::header::Entry::Occupied(lines) => lines.remove_entry_mult().1.collect(),
            http::header::Entry::Vacant(_) => Vec::new(),
        };
        if lines.is_empty() {
            return;
        }
        let asked = Asked {
            path: &path,
            relation,
        };
        let lines = lines.iter().map(HeaderValue::as_bytes);
        let news = caller.with(|jar, caller| jar.receive(caller, &asked, lines, clock::wall()));
        for state in announce(&news) {
            if let Some(value) = secret(state.into_bytes()) {
                fields.append(PEERAGE_COOKIE, value);
            }
        }
    }
}

/// A value that `Debug` does not show; the jar holds none that a field cannot.
fn secret(octets: Vec<u8>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(octets).ok()?;
    value.set_sensitive(true);
    Some(value)
}
