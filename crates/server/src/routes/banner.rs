//! `GET /`: peerjs-server's banner, or a page for people.

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};

/// Byte for byte: some clients compare it.
const BANNER: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;

const PAGE: &str = include_str!("banner.html");

pub(super) async fn get(headers: HeaderMap) -> Response {
    let html = headers.get_all(ACCEPT).iter().any(|accept| {
        accept
            .to_str()
            .is_ok_and(|accept| accept.contains("text/html"))
    });
    let common = [
        (VARY, "Accept"),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if html {
        let own = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
        ];
        (common, own, PAGE).into_response()
    } else {
        (
            common,
            [(CONTENT_TYPE, "application/json; charset=utf-8")],
            BANNER,
        )
            .into_response()
    }
}
