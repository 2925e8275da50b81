//! `POST /offer`, `/candidate`, `/leave`: PeerPyRTC's signalling, and its words.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Injected};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::Hub;
use super::signaling::{Description, SignalingError, SignalingManager};
use crate::routes::body::whole;
use crate::routes::not_found;
use crate::websocket::Share;

/// Octets of a request's body.
const BODY: usize = 64 * 1024;
/// For it to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// `POST /offer`, `/candidate` and `/leave`, as PeerPyRTC's clients call them. Where the application serves with axum's `ConnectInfo<SocketAddr>` (or behind
/// [proxies](super::HubBuilder::proxies) that it named), there are limits by address; without it `/leave` ends nothing.
pub fn routes(hub: &Hub) -> Router {
    bare_routes(hub).layer(from_fn_with_state(hub.clone(), cors))
}

/// Without the headers for pages.
pub(crate) fn bare_routes(hub: &Hub) -> Router {
    Router::new()
        .route("/offer", post(offer).fallback(not_found))
        .route("/candidate", post(candidate).fallback(not_found))
        .route("/leave", post(leave).fallback(not_found))
        .with_state(hub.clone())
}

pub(super) async fn cors(Injected(hub): Injected<Hub>, request: Request, next: Next) -> Response {
    crate::routes::cors::shared(hub.cors(), request, next).await
}

async fn offer(Injected(hub): Injected<Hub>, request: Request) -> Response {
    let missing = "Missing required fields: room, peer_id, offer";
    let (manager, room, peer_id, offer, _) = match call(&hub, request, "offer", missing).await {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    let offer: Description = match serde_json::from_value(offer) {
        Ok(offer) => offer,
        Err(_) => {
            let what = "it needs the texts sdp and type".to_owned();
            return SignalingError::Offer(what).into_response();
        }
    };
    match manager.offer(&room, &peer_id, &offer).await {
        Ok(answer) => ok(&json!({ "answer": answer })),
        Err(error) => error.into_response(),
    }
}

async fn candidate(Injected(hub): Injected<Hub>, request: Request) -> Response {
    let missing = "Missing required fields";
    match call(&hub, request, "candidate", missing).await {
        Ok((manager, room, peer_id, candidate, _)) => {
            done(manager.candidate(&room, &peer_id, &candidate).await)
        }
        Err(refused) => refused,
    }
}

async fn leave(Injected(hub): Injected<Hub>, request: Request) -> Response {
    // Nothing but who and where; native members add what proves them.
    match call(&hub, request, "peer_id", "Missing required fields").await {
        Ok((manager, room, peer_id, _, body)) => match body.get("token") {
            Some(Value::String(token)) => done(manager.goodbye(&room, &peer_id, token).await),
            _ => done(manager.leave(&room, &peer_id).await),
        },
        Err(refused) => refused,
    }
}

fn done(result: Result<(), SignalingError>) -> Response {
    match result {
        Ok(()) => ok(&json!({ "status": "ok" })),
        Err(error) => error.into_response(),
    }
}

/// What all three have: a room, an id, and one thing more.
async fn call(
    hub: &Hub,
    request: Request,
    more: &str,
    missing: &str,
) -> Result<(SignalingManager, String, String, Value, Map<String, Value>), Response> {
    let (parts, body) = request.into_parts();
    let body = object(hub, body).await?;
    let of = |name: &str| body.get(name).filter(|value| is_something(value)).cloned();
    let (Some(room), Some(peer_id), Some(more)) = (of("room"), of("peer_id"), of(more)) else {
        return Err(error(StatusCode::BAD_REQUEST, missing));
    };
    let Value::String(room) = room else {
        return Err(SignalingError::RoomName.into_response());
    };
    let Value::String(peer_id) = peer_id else {
        return Err(SignalingError::PeerId.into_response());
    };
    let manager = SignalingManager::of_client(hub, hub.address_of(&parts));
    Ok((manager, room, peer_id, more, body))
}

/// As Python has it: an empty text is none.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// A body that is a JSON object, whatever its content type.
pub(super) async fn object(hub: &Hub, body: Body) -> Result<Map<String, Value>, Response> {
    let mut share = Share::new(hub.bodies());
    let read = timeout(PATIENCE, whole(body, BODY, &mut share)).await;
    let text = read
        .unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
        .map_err(|status| {
            let what = match status {
                StatusCode::PAYLOAD_TOO_LARGE => "The body is larger than 64 KiB",
                StatusCode::SERVICE_UNAVAILABLE => "The server is full",
                StatusCode::REQUEST_TIMEOUT => "The body took too long",
                _ => "The body broke off",
            };
            error(status, what)
        })?;
    let no_data = || error(StatusCode::BAD_REQUEST, "No JSON data received");
    if text.trim_ascii().is_empty() {
        return Err(no_data());
    }
    match serde_json::from_slice(&text) {
        Ok(Value::Object(members)) if !members.is_empty() => Ok(members),
        Ok(Value::Object(_) | Value::Null) => Err(no_data()),
        Ok(_) => Err(error(
            StatusCode::BAD_REQUEST,
            "The body is not a JSON object",
        )),
        Err(_) => Err(error(StatusCode::BAD_REQUEST, "The body is not JSON")),
    }
}

impl IntoResponse for SignalingError {
    fn into_response(self) -> Response {
        let (status, text) = (self.status(), self.to_string());
        match self.retry_after() {
            None => error(status, &text),
            Some(after) => wait(status, &text, after),
        }
    }
}

pub(super) fn ok(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => answer(StatusCode::OK, text),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
    }
}

pub(super) fn error(status: StatusCode, what: &str) -> Response {
    answer(status, json!({ "error": what }).to_string())
}

pub(super) fn wait(status: StatusCode, what: &str, after: Duration) -> Response {
    let seconds = HeaderValue::from(after.as_secs() + 1);
    ([(RETRY_AFTER, seconds)], error(status, what)).into_response()
}

fn answer(status: StatusCode, text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

impl Hub {
    pub(super) fn address_of(&self, parts: &Parts) -> Option<std::net::IpAddr> {
        let doors = self.doors();
        crate::address::behind(&doors.proxies, &doors.proxy_header, parts)
    }
}
