//! One file for each thing that can be asked for.

mod banner;
mod call;
mod cors;
mod device;
mod id;
mod peers;
mod room;
mod socket;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};

use crate::address;
use crate::host::device_of;
use crate::state::State;
use crate::websocket::is_upgrade;

/// All routes. Requests for a device's origin (by `Host`) get the shell page and nothing else; the others get peerjs-server's interface.
///
/// Mounted in another application, it must see the whole path, and head limits and time-outs are that application's.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(banner::get).fallback(not_found))
        .route("/peerjs", get(socket::get).fallback(not_found))
        .route("/{key}/id", get(id::get).fallback(not_found))
        .route("/{key}/peers", get(peers::get).fallback(not_found))
        .route("/{key}/{id}/{token}/{*call}", any(call::answer))
        .fallback(not_found)
        .layer(from_fn_with_state(state.clone(), cors::layer))
        .layer(from_fn_with_state(state.clone(), by_host))
        .layer(from_fn_with_state(state.clone(), address::layer))
        .with_state(state)
}

async fn by_host(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    match device_of(&request, state.config().domain.as_deref()) {
        Some(_) => device::answer(state, request).await,
        None => next.run(request).await,
    }
}

/// What peerjs-server says: 400 to a WebSocket, 404 to the rest.
async fn not_found(headers: HeaderMap) -> Response {
    if is_upgrade(&headers) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let headers = [
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::NOT_FOUND, headers, "Not found").into_response()
}
