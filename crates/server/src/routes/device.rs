//! A device's origin: the shell page, its files, its settings, its signalling socket. Everything else is the device's own, and the page's worker is to
//! fetch it from there: a request for it that arrives here is refused and counted, never guessed at.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::bundle::{self, File};
use crate::config::IceServer;
use crate::state::State;
use crate::websocket::is_upgrade;

/// Scripts, styles and worker of this origin alone. Frames may also be what an app makes itself (`blob:`, `data:`); `ws:` and `wss:` are there for browsers
/// whose `'self'` does not cover them. A page of another site must not frame the shell: it could lure clicks into the device's app.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self' ws: wss:; frame-src 'self' blob: data:; worker-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'self'";

pub(super) async fn answer(state: State, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let mut response = match parts.uri.path() {
        "/__peerage/peerjs" => match super::socket::open(&state, &mut parts).await {
            Some(response) => return response,
            None => miss(&state),
        },
        // Pages of other sites call the device too. Who is to be told is known by a token, which such a page asks to send first.
        "/__peerage/ice" if parts.method == Method::OPTIONS => {
            let mut response = super::cors::preflight(&parts.headers);
            super::cors::permit(
                &state.config().cors,
                parts.headers.remove(ORIGIN),
                &mut response,
            );
            response
        }
        _ if !matches!(parts.method, Method::GET | Method::HEAD) || is_upgrade(&parts.headers) => {
            miss(&state)
        }
        "/__peerage/ice" => {
            let mut response = super::ice::answer(&state, &parts, true);
            super::cors::permit(
                &state.config().cors,
                parts.headers.remove(ORIGIN),
                &mut response,
            );
            response
        }
        "/__peerage/config.json" => {
            // Pages of other sites call the device too, and need this for it: it is public, and the same for every device.
            let mut response = settings(&state);
            super::cors::permit(
                &state.config().cors,
                parts.headers.remove(ORIGIN),
                &mut response,
            );
            response
        }
        path => match bundle::at(path) {
            Some(file) => serve(file, &parts.headers),
            None => miss(&state),
        },
    };
    for (name, value) in COMMON {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// To other sites pages of this origin send nothing of themselves: not even the device's id.
const COMMON: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

pub(super) fn serve(file: &'static File, headers: &HeaderMap) -> Response {
    let tag = HeaderValue::from_str(&file.tag).unwrap_or(HeaderValue::from_static("\"\""));
    // Asked for anew each time, so that page, worker and server are of one version; the tag makes that cheap.
    let caching = [
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ETAG, tag.clone()),
    ];
    let mut response = if headers.get(IF_NONE_MATCH) == Some(&tag) {
        (StatusCode::NOT_MODIFIED, caching).into_response()
    } else {
        (caching, [(CONTENT_TYPE, file.content_type)], file.content).into_response()
    };
    let own = match file.path {
        "/" => Some((CONTENT_SECURITY_POLICY, POLICY)),
        // The worker lies below /__peerage/ and rules the whole origin (Service Workers, section on the `Service-Worker-Allowed` header).
        "/__peerage/worker.js" => Some((HeaderName::from_static("service-worker-allowed"), "/")),
        _ => None,
    };
    if let Some((name, value)) = own {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What the page has to know of this server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    version: u8,
    ice_servers: Vec<&'a IceServer>,
    key: &'a str,
}

fn settings(state: &State) -> Response {
    let config = state.config();
    let settings = Settings {
        version: 1,
        ice_servers: config.known_ice_servers(),
        key: &config.signal.key,
    };
    match serde_json::to_string(&settings) {
        Ok(json) => (
            [
                (CACHE_CONTROL, "no-store"),
                (CONTENT_TYPE, "application/json"),
            ],
            json,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn miss(state: &State) -> Response {
    state.missed();
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    (
        StatusCode::NOT_FOUND,
        headers,
        "Not found on this server: open the device's own page first",
    )
        .into_response()
}
