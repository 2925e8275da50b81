//! `GET /KEY/peers`: all ids, where the owner allows it.

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::state::State;

pub(super) async fn get(Shared(state): Shared<State>, Path(key): Path<String>) -> Response {
    let config = state.config();
    if !config.discovery || key != config.signal.key {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    }
    match serde_json::to_string(&state.switchboard().peers()) {
        Ok(ids) => (
            [
                (CONTENT_TYPE, "application/json; charset=utf-8"),
                (CACHE_CONTROL, "no-store"),
            ],
            ids,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
