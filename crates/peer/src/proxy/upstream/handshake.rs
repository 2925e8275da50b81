//! How a WebSocket is opened at the target (RFC 6455 section 4.1).

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    request::Parts,
};
use hyper::upgrade::Upgraded;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::{RequestBody, Upstream, accept, failure::Failure, fields::strip};
use crate::{
    http::{HOP_OF_WEBSOCKET, is_offered},
    proxy::{Body, site::Sites},
};

impl Upstream {
    /// Opens a WebSocket at the target: the head of its response (101) and the connection. An answer that opens none is
    /// the error.
    pub(in crate::proxy) async fn open_socket(
        &self,
        mut parts: Parts,
        sites: &Sites,
    ) -> Result<(HeaderMap, Upgraded), Box<Response<Body>>> {
        let asked = self.aim(&mut parts, sites)?;
        let key = generate_key();
        let fields = &mut parts.headers;
        for name in HOP_OF_WEBSOCKET.iter().chain(&[CONTENT_LENGTH]) {
            fields.remove(name);
        }
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::try_from(&key) {
            fields.insert(SEC_WEBSOCKET_KEY, key);
        }
        let offered = fields.clone();
        let progress = Arc::default();
        let body = RequestBody::empty(&progress);
        let request = Request::from_parts(parts, body);
        let mut response = match self.ask(request, &progress).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => response,
            Ok(response) => return Err(Box::new(accept(response, sites, &asked))),
            Err(failure) => return Err(Box::new(failure.into_response())),
        };
        let upgraded = hyper::upgrade::on(&mut response);
        let mut fields = std::mem::take(response.headers_mut());
        if !is_websocket(&fields, &key) || !is_offered(&offered, &fields) {
            return Err(Box::new(Failure::Handshake.into_response()));
        }
        let upgraded = upgraded.await.map_err(|error| {
            tracing::debug!(%error, "target broke off as it changed to WebSocket");
            Box::new(Failure::Handshake.into_response())
        })?;
        strip(&mut fields);
        for name in &HOP_OF_WEBSOCKET {
            fields.remove(name);
        }
        Ok((fields, upgraded))
    }
}

/// Whether the target really changed to WebSocket, without an extension that nobody asked for.
fn is_websocket(fields: &HeaderMap, key: &str) -> bool {
    let names = |name: HeaderName, expected: &str| {
        let values = fields.get_all(name).into_iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|token| token.trim().eq_ignore_ascii_case(expected))
    };
    let accept = fields.get(SEC_WEBSOCKET_ACCEPT);
    names(UPGRADE, "websocket")
        && names(CONNECTION, "upgrade")
        && accept.is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()))
        && !fields.contains_key(SEC_WEBSOCKET_EXTENSIONS)
}
