//! Answers of the proxy's own: what went wrong, for people and for programs.

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::Body;
use crate::http::ResetCode;

/// Names the reason of an answer that the device made itself, in the words of the RESET codes.
pub(super) const PEERAGE_ERROR: HeaderName = HeaderName::from_static("peerage-error");

/// Marks an answer whose `Location` is a path of the exposed target, and was made one by this proxy: it may be followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct WithinTarget;

/// An answer that the device made itself, instead of the target.
pub(super) fn refusal(
    status: StatusCode,
    code: ResetCode,
    text: impl Into<String>,
) -> Response<Body> {
    let mut response = plain(status, text);
    response
        .headers_mut()
        .insert(PEERAGE_ERROR, HeaderValue::from_static(code.name()));
    response
}

/// A short text.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut text = text.into();
    text.push('\n');
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
