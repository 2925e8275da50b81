//! One file for each thing that can be asked for.

mod banner;
pub(crate) mod body;
mod call;
pub(crate) mod cors;
mod device;
mod ice;
mod id;
mod peers;
mod prefix;
mod room;
mod script;
mod socket;
mod username;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, RawPathParams, Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};

use crate::address;
use crate::bundle;
use crate::host::device_of;
#[cfg(feature = "hub")]
use crate::hub;
use crate::state::State;
use crate::websocket::{Share, is_upgrade};

/// All routes. Requests for a device's origin (by `Host`) get the shell page and nothing else; the others get peerjs-server's interface.
///
/// Mounted in another application by `nest` or `nest_service`, PeerJS clients reach it below that path; [`Config::path`](crate::Config::path) comes after
/// it. (`nest` leaves the path with a slash at its end to the application, which only a banner is at.) [`State::run`] must run beside it. Limits of
/// connections and heads are then that application's, and so is what its root shows: for devices' origins it needs [`device_origins`] around all of it.
///
/// ```
/// # fn example(state: peerage_server::State) -> axum::Router {
/// use axum::middleware::from_fn_with_state;
///
/// axum::Router::new()
///     .nest_service("/signal", peerage_server::router(state.clone()))
///     .layer(from_fn_with_state(state, peerage_server::device_origins))
/// # }
/// ```
pub fn router(state: State) -> Router {
    let path = state.config().path.clone();
    prefix::mount(&path, routes(state.clone()))
        .layer(from_fn_with_state(state.clone(), device_origins))
        .layer(from_fn_with_state(state, address::layer))
}

/// What lies below [`Config::path`](crate::Config::path).
fn routes(state: State) -> Router {
    let by_name = match &state.config().names {
        Some(_) => username::routes(),
        None => Router::new(),
    };
    Router::new()
        .route("/", get(root).fallback(not_found))
        .route("/peerjs", get(socket::get).fallback(not_found))
        .route("/{key}/id", get(id::get).fallback(not_found))
        .route("/{key}/ice", get(ice::get).fallback(not_found))
        .route("/{key}/ice.js", script::route(&bundle::PEERJS_ICE))
        .route("/{key}/rooms.js", script::route(&bundle::ROOMS))
        .route("/{key}/peerpyrtc.js", script::route(&bundle::PEERPYRTC))
        .route("/{key}/peers", get(peers::get).fallback(not_found))
        .merge(by_name)
        .merge(rooms(&state))
        .route("/{key}/{id}/{token}/{*call}", any(call::answer))
        .fallback(not_found)
        .layer(from_fn_with_state(state.clone(), cors::layer))
        .with_state(state)
}

#[cfg(feature = "hub")]
fn rooms(state: &State) -> Router<State> {
    match (state.hub(), &state.config().hub) {
        (Some(hub), Some(config)) => {
            let admin = hub::bare_admin_routes(hub, config.admin.clone());
            hub::bare_routes(hub).merge(admin).with_state(())
        }
        _ => Router::new(),
    }
}

#[cfg(not(feature = "hub"))]
fn rooms(_: &State) -> Router<State> {
    Router::new()
}

/// A WebSocket here is somebody's who talks by name.
async fn root(Shared(state): Shared<State>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match username::open(&state, &mut parts) {
        Some(response) => response,
        None => banner::get(parts.headers).await,
    }
}

/// A layer that answers requests for devices' origins, whatever the path, and lets all others by: for applications in which [`router`] is mounted below
/// a path.
pub async fn device_origins(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Response {
    if device_of(&request, state.config().domain.as_deref()).is_none() {
        return next.run(request).await;
    }
    // An origin is whole: wherever this is mounted, the path is the one that the browser asked for.
    if let Some(OriginalUri(whole)) = request.extensions_mut().remove() {
        *request.uri_mut() = whole;
    }
    device::answer(state, request).await
}

/// The `key` of a path, which may be mounted below parameters of others.
fn key_of(params: &RawPathParams) -> &str {
    params
        .iter()
        .filter_map(|(name, value)| (name == "key").then_some(value))
        .last()
        .unwrap_or_default()
}

/// What peerjs-server says: 400 to a WebSocket, 404 to the rest.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    if is_upgrade(&headers) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let headers = [
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::NOT_FOUND, headers, "Not found").into_response()
}

/// A JSON answer, which counts among what the server holds until it has been sent or given up: who asks need not read.
fn json(state: &State, text: String) -> Response {
    struct Held {
        text: String,
        _share: Share,
    }

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            self.text.as_bytes()
        }
    }

    let mut share = Share::new(state.budget().clone());
    if !share.resize(text.len()) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let octets = Bytes::from_owner(Held {
        text,
        _share: share,
    });
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8")];
    (headers, octets).into_response()
}
