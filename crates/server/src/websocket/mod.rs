//! WebSockets: the handshake (RFC 6455 section 4.2), and one task for each connection from then on.

mod budget;
mod connection;
mod outbox;
mod pace;

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use sha1::{Digest as _, Sha1};

pub(crate) use budget::{Budget, Share};
pub(crate) use connection::{Connection, Service};
pub(crate) use outbox::{Ending, Outbox, Overflow};
pub(crate) use pace::Pace;

/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket, whatever else is wrong with it.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The response that makes the request's connection a WebSocket, and the promise of it: it is kept when the response has been sent.
///
/// # Errors
/// The response to what is no handshake: 400, or 426 for another version.
pub(crate) fn upgrade(parts: &mut Parts) -> Result<(Response, OnUpgrade), Response> {
    let refuse = || StatusCode::BAD_REQUEST.into_response();
    let is_asked = parts.method == Method::GET
        && is_upgrade(&parts.headers)
        && has_token(&parts.headers, &CONNECTION, "upgrade");
    if !is_asked {
        return Err(refuse());
    }
    let version = HeaderValue::from_static("13");
    if parts.headers.get(SEC_WEBSOCKET_VERSION) != Some(&version) {
        let supported = [(SEC_WEBSOCKET_VERSION, version)];
        return Err((StatusCode::UPGRADE_REQUIRED, supported).into_response());
    }
    let key = parts
        .headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_nonce(key));
    let Some(key) = key else { return Err(refuse()) };
    let accept = BASE64_STANDARD.encode(
        Sha1::new()
            .chain_update(key.as_bytes())
            .chain_update(GUID)
            .finalize(),
    );
    let Ok(accept) = HeaderValue::try_from(accept) else {
        return Err(refuse());
    };
    // Absent where a server does not speak HTTP/1.1 over a connection of its own.
    let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        return Err(StatusCode::NOT_IMPLEMENTED.into_response());
    };
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response(),
        upgrade,
    ))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value
                .split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(token))
        })
    })
}

/// 16 octets in base64.
fn is_nonce(key: &HeaderValue) -> bool {
    BASE64_STANDARD
        .decode(key.as_bytes())
        .is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(change: impl FnOnce(&mut HeaderMap)) -> Result<StatusCode, StatusCode> {
        let request = http::Request::builder()
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        change(&mut parts.headers);
        upgrade(&mut parts)
            .map(|(response, _)| response.status())
            .map_err(|response| response.status())
    }

    #[test]
    fn what_is_no_handshake_is_refused_before_a_connection_is_looked_for() {
        assert_eq!(answer(|_| ()), Err(StatusCode::NOT_IMPLEMENTED));
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY] {
            let refused = answer(|headers| drop(headers.remove(&name)));
            assert_eq!(refused, Err(StatusCode::BAD_REQUEST), "{name}");
        }
        let short = answer(|headers| {
            headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("c2hvcnQ="));
        });
        assert_eq!(short, Err(StatusCode::BAD_REQUEST));
        let old = answer(|headers| {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        });
        assert_eq!(old, Err(StatusCode::UPGRADE_REQUIRED));
    }
}
