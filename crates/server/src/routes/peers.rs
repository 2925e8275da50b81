//! `GET /KEY/peers`: all ids, where the owner allows it.

use axum::extract::{RawPathParams, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::key_of;
use crate::state::State;

pub(super) async fn get(Shared(state): Shared<State>, params: RawPathParams) -> Response {
    let config = state.config();
    if !config.discovery || key_of(&params) != config.signal.key {
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
