//! The operator's routes: who is where, and a word to a room.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawPathParams, Request, State as Injected};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, CACHE_CONTROL, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use super::routes::{self, error, ok, wait};
use super::{Admin, Hub};
use crate::host;
use crate::rations::{PerHousehold, Ration, TooOften};
use crate::routes::not_found;

/// Wrong tokens from one address: so many at once, then one each second.
const GUESSES: Ration = Ration {
    burst: 20,
    every: Duration::from_secs(1),
};

#[derive(Clone, Debug)]
struct Desk {
    hub: Hub,
    admin: Admin,
    guesses: Arc<PerHousehold>,
}

/// `GET /rooms`, `GET /room-status/{room}` and `POST /broadcast {"room", "message"}`, for who may use them.
///
/// With [`Admin::Open`] a page of another origin still cannot: requests that name another `Origin`, or that a browser says come from another site, are refused,
/// and so is every host but `localhost` and IP addresses, to which no foreign name can be led.
pub fn admin_routes(hub: &Hub, admin: Admin) -> Router {
    bare_admin_routes(hub, admin).layer(from_fn_with_state(hub.clone(), routes::cors))
}

/// Without the headers for pages.
pub(crate) fn bare_admin_routes(hub: &Hub, admin: Admin) -> Router {
    let desk = Desk {
        hub: hub.clone(),
        admin,
        guesses: Arc::new(PerHousehold::new(GUESSES)),
    };
    Router::new()
        .route("/rooms", get(rooms).fallback(not_found))
        .route("/room-status/{room}", get(room_status).fallback(not_found))
        .route("/broadcast", post(broadcast).fallback(not_found))
        .layer(from_fn_with_state(desk.clone(), guard))
        .layer(from_fn(no_store))
        .with_state(desk)
}

async fn rooms(Injected(desk): Injected<Desk>) -> Response {
    ok(&desk.hub.rooms_info())
}

async fn room_status(Injected(desk): Injected<Desk>, params: RawPathParams) -> Response {
    // It may be mounted below parameters of others.
    let room = params.iter().filter(|(name, _)| *name == "room").last();
    let info = desk.hub.room_info(room.map_or("", |(_, room)| room));
    let (peers, host) = info.map_or((Vec::new(), None), |info| (info.peers, info.host_id));
    ok(&json!({ "count": peers.len(), "host_id": host, "peers": peers }))
}

async fn broadcast(Injected(desk): Injected<Desk>, request: Request) -> Response {
    let mut body = match routes::object(&desk.hub, request.into_body()).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let (room, message) = (body.remove("room"), body.remove("message"));
    let (Some(Value::String(room)), Some(message)) = (room, message) else {
        return error(
            StatusCode::BAD_REQUEST,
            "Missing required fields: room, message",
        );
    };
    let reached = desk.hub.broadcaster().room(&room, message);
    ok(&json!({ "status": "ok", "reached": reached }))
}

async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn guard(Injected(desk): Injected<Desk>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let address = desk.hub.address_of(&parts);
    match desk.refuses(&parts.uri, &parts.headers, address) {
        None => next.run(Request::from_parts(parts, body)).await,
        Some(refused) => refused,
    }
}

impl Desk {
    fn refuses(&self, uri: &Uri, headers: &HeaderMap, address: Option<IpAddr>) -> Option<Response> {
        match &self.admin {
            Admin::Nobody => Some(error(
                StatusCode::NOT_FOUND,
                "Off: the operator may turn it on with --rooms-admin-token-file or, for play on one machine, --rooms-admin-open",
            )),
            Admin::Open if is_from_here(uri, headers) => None,
            Admin::Open => Some(error(
                StatusCode::FORBIDDEN,
                "Open to this machine's own requests only: not to pages of other origins, and by no name but localhost. Others need --rooms-admin-token-file",
            )),
            Admin::Token(token) => {
                let told = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
                // Who may not guess any more does not learn that it was right, either.
                let now = Instant::now();
                if let Some(address) = address
                    && let Err(TooOften(after)) = self.guesses.may(address, now)
                {
                    return Some(wait(
                        StatusCode::TOO_MANY_REQUESTS,
                        "Too many wrong tokens",
                        after,
                    ));
                }
                if told.and_then(bearer).is_some_and(|told| token.is(told)) {
                    return None;
                }
                if let (Some(address), Some(_)) = (address, told) {
                    // It may: that was asked above.
                    let _ = self.guesses.take(address, now);
                }
                let bearer = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
                let refused = error(
                    StatusCode::UNAUTHORIZED,
                    "Send authorization: Bearer TOKEN, with the token of the operator",
                );
                Some((bearer, refused).into_response())
            }
        }
    }
}

/// RFC 6750 section 2.1; the scheme's case does not count.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether the request can be no foreign web page's: by a name that nobody else can lead here, and from no other origin.
fn is_from_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = host::authority(uri, headers);
    let Some(authority) = authority.filter(|at| !at.as_str().contains('@')) else {
        return false;
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_ours = host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok();
    let is_same_origin = headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let rest = origin.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(authority.as_str()))
    });
    // What browsers say of every request, also of those that have no Origin.
    let is_same_site = headers
        .get_all("sec-fetch-site")
        .iter()
        .all(|site| site == "same-origin" || site == "none");
    is_ours && is_same_origin && is_same_site
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_here(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        is_from_here(&Uri::from_static("/rooms"), &map)
    }

    #[test]
    fn open_routes_are_for_programs_and_pages_of_the_same_origin_by_a_name_that_cannot_be_led_here()
    {
        for headers in [
            &[("host", "localhost:9000")][..],
            &[("host", "127.0.0.1:9000")],
            &[("host", "[::1]:9000")],
            &[("host", "192.0.2.1")],
            &[
                ("host", "localhost:9000"),
                ("origin", "http://localhost:9000"),
            ],
            &[
                ("host", "localhost:9000"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("host", "localhost:9000"), ("sec-fetch-site", "none")],
        ] {
            assert!(from_here(headers), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("host", "evil.example:9000")],
            &[("host", "evil.example"), ("origin", "http://evil.example")],
            &[("host", "x.localhost:9000")],
            &[("host", "u@localhost:9000")],
            &[
                ("host", "localhost:9000"),
                ("origin", "http://evil.example"),
            ],
            &[("host", "localhost:9000"), ("origin", "null")],
            &[
                ("host", "localhost:9000"),
                ("origin", "http://localhost:9001"),
            ],
            &[
                ("host", "localhost:9000"),
                ("origin", "http://localhost:9000"),
                ("origin", "http://evil.example"),
            ],
            &[("host", "localhost:9000"), ("sec-fetch-site", "cross-site")],
            &[("host", "localhost:9000"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!from_here(headers), "{headers:?}");
        }
    }

    #[test]
    fn a_token_stands_behind_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for value in [&b"abc"[..], b"Basic abc", b"Bearer", b""] {
            assert_eq!(bearer(value), None);
        }
    }
}
