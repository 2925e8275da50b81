//! The username protocol: its WebSocket at the root path, and at `/username` the page that speaks it.

use axum::Router;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use peerage_proto::signal::{ConnId, Departure};
use peerage_proto::wire::username::{MAX_MESSAGE, Message, MessageError};
use serde::Serialize;

use super::not_found;
use crate::config::IceServer;
use crate::server::Arrival;
use crate::state::State;
use crate::websocket::{self, Ending, Service};

/// Accepts the request as a WebSocket, if it asks for one.
pub(super) fn open(state: &State, parts: &mut Parts) -> Option<Response> {
    if !websocket::is_upgrade(&parts.headers) {
        return None;
    }
    if state.config().names.is_none() {
        return Some(StatusCode::BAD_REQUEST.into_response());
    }
    let (response, upgrade) = match websocket::upgrade(parts) {
        Ok(accepted) => accepted,
        Err(refusal) => return Some(refusal.into_response()),
    };
    let arrival = parts.extensions.get::<Arrival>();
    let place = arrival.map(|arrival| arrival.place.clone());
    let owner = state.clone();
    state.spawn_socket(upgrade, MAX_MESSAGE, place, move || {
        (owner.directory().open(), Somebody(owner))
    });
    Some(response)
}

/// The socket of one who talks by name.
struct Somebody(State);

impl Service for Somebody {
    fn received(&self, conn: ConnId, text: &str) -> Result<(), Ending> {
        self.0.directory().received(conn, Message::from_text(text));
        Ok(())
    }

    fn unreadable(&self, conn: ConnId) {
        self.0
            .directory()
            .received(conn, Err(MessageError::NotUtf8));
    }

    fn beat(&self, conn: ConnId) {
        self.0.directory().beat(conn);
    }

    fn closed(self, conn: ConnId, _: Departure) {
        self.0.directory().closed(conn);
    }
}

/// Its own scripts, styles and socket, nothing else; and no script of its own can make markup of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Path, type and content. The paths are relative in the page, so that it works below a prefix and from another server's folder.
const FILES: [(&str, &str, &str); 8] = [
    ("/username", HTML, include_str!("username/index.html")),
    (
        "/username/page.css",
        STYLE,
        include_str!("username/page.css"),
    ),
    (
        "/username/icon.svg",
        IMAGE,
        include_str!("username/icon.svg"),
    ),
    (
        "/username/page.js",
        SCRIPT,
        include_str!("username/page.js"),
    ),
    (
        "/username/settings.js",
        SCRIPT,
        include_str!("username/settings.js"),
    ),
    (
        "/username/server.js",
        SCRIPT,
        include_str!("username/server.js"),
    ),
    (
        "/username/talk.js",
        SCRIPT,
        include_str!("username/talk.js"),
    ),
    (
        "/username/file.js",
        SCRIPT,
        include_str!("username/file.js"),
    ),
];

/// The page, its files and its settings. Each path stands alone: `username` may be a key as well.
pub(super) fn routes() -> Router<State> {
    let mut routes = Router::new()
        .route("/username/", get(slash).fallback(not_found))
        .route("/username/config.json", get(settings).fallback(not_found));
    for (path, content_type, content) in FILES {
        let file = async move || serve(content_type, content);
        routes = routes.route(path, get(file).fallback(not_found));
    }
    routes
}

fn serve(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    (headers, content).into_response()
}

/// Relative addresses in the page count from the path without the slash.
async fn slash() -> Redirect {
    Redirect::permanent("../username")
}

/// What the page has to know of this server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    version: u8,
    ice_servers: Vec<&'a IceServer>,
}

async fn settings(Shared(state): Shared<State>) -> Response {
    let settings = Settings {
        version: 1,
        ice_servers: state.config().known_ice_servers(),
    };
    match serde_json::to_string(&settings) {
        Ok(json) => (
            [
                (CACHE_CONTROL, "no-store"),
                (CONTENT_TYPE, "application/json"),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            json,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
