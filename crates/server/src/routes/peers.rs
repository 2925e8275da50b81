//! `GET /KEY/peers`: all ids, where the owner allows it.

use axum::extract::{RawPathParams, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;

use super::key_of;
use crate::state::State;

pub(super) async fn get(Shared(state): Shared<State>, params: RawPathParams) -> Response {
    let config = state.config();
    if !config.discovery || key_of(&params) != config.signal.key {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    }
    let no_store = [(CACHE_CONTROL, "no-store")];
    match serde_json::to_string(&state.switchboard().peers()) {
        Ok(ids) => (no_store, super::json(&state, ids)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
