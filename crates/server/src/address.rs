//! Whose request it is, and how many connections each address may have.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Extensions, HeaderMap, StatusCode};
use ipnet::IpNet;
use peerage_proto::wire::forwarded::{self, Header, Household};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use crate::config::Config;
use crate::server::Arrival;
use crate::state::State;

/// The client's address: the other end of the connection, or what believed proxies say. In a foreign application it is known only if that application
/// serves with axum's `ConnectInfo<SocketAddr>`.
pub(crate) fn of_client(config: &Config, parts: &Parts) -> Option<IpAddr> {
    behind(&config.proxies, &config.proxy_header, parts)
}

/// The same with the proxies that are believed.
pub(crate) fn behind(proxies: &[IpNet], header: &Header, parts: &Parts) -> Option<IpAddr> {
    let remote = remote(&parts.extensions)?;
    Some(told(proxies, header, remote, &parts.headers))
}

fn remote(extensions: &Extensions) -> Option<IpAddr> {
    if let Some(arrival) = extensions.get::<Arrival>() {
        return Some(arrival.remote);
    }
    let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip())
}

fn told(proxies: &[IpNet], header: &Header, remote: IpAddr, headers: &HeaderMap) -> IpAddr {
    let values = headers.get_all(header.name()).iter();
    forwarded::client(
        remote,
        header,
        values.map(|value| value.as_bytes()),
        proxies,
    )
}

/// One of the connections that the server takes at a time, and a seat of its address. To be held as long as the connection lives.
#[derive(Clone, Debug)]
pub(crate) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    seat: Mutex<Option<Seat>>,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, seat: Option<Seat>) -> Self {
        Self(Arc::new(Held {
            _permit: permit,
            seat: Mutex::new(seat),
        }))
    }

    fn sit(&self, seat: Option<Seat>) {
        // What sat here before is dropped after the lock.
        let _former = std::mem::replace(&mut *lock(&self.0.seat), seat);
    }
}

/// How many connections each household has.
#[derive(Debug)]
pub(crate) struct Seats {
    /// For each; none: they are not counted.
    limit: Option<usize>,
    taken: Mutex<HashMap<Household, usize>>,
}

/// One of a household's connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    household: Household,
}

/// A household has as many connections as it may.
#[derive(Debug)]
pub(crate) struct Full;

impl Seats {
    pub(crate) fn new(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: Mutex::default(),
        })
    }

    /// A seat for a client; none where they are not counted.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Option<Seat>, Full> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let household = Household::of(address);
        let mut taken = lock(&self.taken);
        let count = taken.entry(household).or_default();
        if *count >= limit {
            return Err(Full);
        }
        *count += 1;
        Ok(Some(Seat {
            seats: self.clone(),
            household,
        }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.seats.taken);
        if let Some(count) = taken.get_mut(&self.household) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.household);
            }
        }
    }
}

/// Seats clients that a believed proxy brings: for as long as the request takes, or the socket that it becomes. The proxy's own connections are not counted, and
/// those that wait for the next request belong to nobody.
pub(crate) async fn layer(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let config = state.config();
    let Some(Arrival { remote, place, .. }) = request
        .extensions()
        .get()
        .filter(|arrival: &&Arrival| forwarded::is_among(arrival.remote, &config.proxies))
        .cloned()
    else {
        return next.run(request).await;
    };
    let client = told(
        &config.proxies,
        &config.proxy_header,
        remote,
        request.headers(),
    );
    let Ok(seat) = state.seats().take(client) else {
        debug!(%client, "too many connections");
        return (StatusCode::TOO_MANY_REQUESTS, "Too many connections").into_response();
    };
    place.sit(seat);
    let response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        place.sit(None);
    }
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic happens while it is held; a poisoned count would be as true as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
