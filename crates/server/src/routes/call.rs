//! Calls of a registered client over HTTP, as ambianic-pnp has them: `/KEY/ID/TOKEN/...`. Who calls is checked here, before anything of the body is read.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use peerage_proto::signal::{ConnId, Unauthorized};
use peerage_proto::wire::call_path::{Call, CallPath};
use peerage_proto::wire::signal::{FrameError, FrameRef, MAX_FRAME};
use tokio::time::timeout;

use super::body::whole;
use super::{not_found, room};
use crate::address;
use crate::callers::TooFast;
use crate::config::Cors;
use crate::state::State;
use crate::websocket::Share;

pub(super) async fn answer(Shared(state): Shared<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = CallPath::parse(parts.uri.path()).filter(|path| {
        if path.call.is_post() {
            parts.method == Method::POST
        } else {
            matches!(parts.method, Method::GET | Method::HEAD)
        }
    });
    let Some(path) = path else {
        return not_found(parts.headers).await;
    };
    let mut response = match admit(&state, &path) {
        Ok(conn) => perform(&state, &path, conn, &parts, body).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if matches!(state.config().cors, Cors::Any) {
        // As ambianic-pnp to who names no origin; to who names one it is named back.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// Does what a client wants that was admitted.
async fn perform(
    state: &State,
    path: &CallPath<'_>,
    conn: ConnId,
    parts: &Parts,
    body: Body,
) -> Response {
    let response = match &path.call {
        Call::Send => send(state, path, conn, body).await,
        call => {
            let callers = state.nearby().callers();
            callers.spend(&path.id, 0, state.config(), Instant::now());
            let address = address::of_client(state.config(), parts);
            room::answer(state, &path.id, call, address)
        }
    };
    // Its registration may have ended meanwhile, before something was kept for it: nothing awaits from there to here.
    if authorize(state, path).is_err() {
        state.nearby().forget(&path.id);
    }
    response
}

/// The socket for which the caller may speak.
fn admit(state: &State, path: &CallPath<'_>) -> Result<ConnId, Refused> {
    if path.key != state.config().signal.key {
        return Err(Refused::WrongKey);
    }
    let conn = authorize(state, path)?;
    let paced = state.nearby().callers().check(&path.id, Instant::now());
    paced.map(|()| conn).map_err(Refused::TooFast)
}

fn authorize(state: &State, path: &CallPath<'_>) -> Result<ConnId, Unauthorized> {
    let (id, token) = (path.id.as_str(), path.token.expose());
    state.switchboard().authorize(id, token)
}

/// Why a call is not looked at. The first three are ambianic-pnp's words, and its content types.
enum Refused {
    WrongKey,
    Unknown,
    WrongToken,
    TooFast(TooFast),
}

impl From<Unauthorized> for Refused {
    fn from(reason: Unauthorized) -> Self {
        match reason {
            Unauthorized::UnknownId => Self::Unknown,
            Unauthorized::WrongToken => Self::WrongToken,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // The texts are ours, and hold no markup.
        let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        let status = StatusCode::UNAUTHORIZED;
        match self {
            Self::WrongKey => (status, html, "Invalid key provided").into_response(),
            Self::Unknown => (status, "Unauthorized").into_response(),
            Self::WrongToken => (status, html, "Invalid token provided").into_response(),
            Self::TooFast(TooFast(wait)) => {
                let wait = [(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))];
                (StatusCode::TOO_MANY_REQUESTS, wait, "Too many calls").into_response()
            }
        }
    }
}

/// Takes a frame as if the client's WebSocket had brought it.
async fn send(state: &State, path: &CallPath<'_>, conn: ConnId, body: Body) -> Response {
    let config = state.config();
    if state.hooks().is_some() {
        // The application has its word in what a socket says; it must not be passed by.
        let refusal = "Messages are taken from the WebSocket alone";
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let mut share = Share::new(state.budget().clone());
    let text = match timeout(config.stall, whole(body, MAX_FRAME, &mut share)).await {
        Ok(Ok(text)) => text,
        Ok(Err(status)) => return status.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let callers = state.nearby().callers();
    callers.spend(&path.id, text.len(), config, Instant::now());
    let (id, switchboard) = (path.id.as_str(), state.switchboard());
    let text = str::from_utf8(&text).map_err(|_| FrameError::Utf8);
    match text.and_then(FrameRef::from_text) {
        Ok(frame) => switchboard.received(id, conn, frame),
        // Ignored, as on the socket.
        Err(FrameError::UnknownType) => switchboard.beat(id, conn),
        Err(_) => {
            let refusal = "The body is not a JSON object";
            return (StatusCode::BAD_REQUEST, refusal).into_response();
        }
    }
    "OK".into_response()
}
