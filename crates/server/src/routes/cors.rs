//! Which pages may read what: as the `cors` package does for peerjs-server.

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::config::Cors;
use crate::state::State;

pub(super) async fn layer(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    shared(&state.config().cors, request, next).await
}

/// The same with the pages that may.
pub(crate) async fn shared(cors: &Cors, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        next.run(request).await
    };
    permit(cors, origin, &mut response);
    response
}

/// Lets the page that asked read the response, if its origin is one of those allowed.
pub(super) fn permit(cors: &Cors, origin: Option<HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| is_allowed(cors, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

fn is_allowed(cors: &Cors, origin: &HeaderValue) -> bool {
    match cors {
        Cors::Any => true,
        Cors::Origins(origins) => origins
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes()),
    }
}

/// What a page may send that asks first: everything. It is in the answers that a page's origin counts.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
    let length = HeaderValue::from_static("0");
    let mut response = (
        StatusCode::NO_CONTENT,
        [
            (ACCESS_CONTROL_ALLOW_METHODS, methods),
            (CONTENT_LENGTH, length),
        ],
    )
        .into_response();
    if let Some(asked) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        response.headers_mut().append(
            VARY,
            HeaderValue::from_static("Access-Control-Request-Headers"),
        );
    }
    response
}
