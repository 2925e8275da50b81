//! Scripts for pages of any site, as the whole interface is.

use std::sync::LazyLock;

use axum::routing::{MethodRouter, get};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{device, not_found};
use crate::bundle::File;
use crate::state::State;

pub(super) fn route(file: &'static LazyLock<File>) -> MethodRouter<State> {
    let answer = async move |headers: HeaderMap| {
        let mut response = device::serve(file, &headers);
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
        response
    };
    get(answer).fallback(not_found)
}
