//! `GET /KEY/id`: a fresh id, not reserved.

use axum::extract::{RawPathParams, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::key_of;
use crate::state::State;

pub(super) async fn get(Shared(state): Shared<State>, params: RawPathParams) -> Response {
    if key_of(&params) != state.config().signal.key {
        return (StatusCode::UNAUTHORIZED, "Invalid key provided").into_response();
    }
    // The content type is peerjs-server's; an id has nothing in it that a browser could take for markup.
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, state.switchboard().fresh_id()).into_response()
}
