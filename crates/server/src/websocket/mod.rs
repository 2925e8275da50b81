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

/// Why a request is no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// Something is missing, or has not its form.
    Malformed,
    /// It is for another version of the protocol than 13, the only one there is.
    Version,
    /// The connection cannot become one: it is not HTTP/1.1's own.
    Connection,
}

impl IntoResponse for NoHandshake {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST.into_response(),
            Self::Version => {
                let supported = [(SEC_WEBSOCKET_VERSION, "13")];
                (StatusCode::UPGRADE_REQUIRED, supported).into_response()
            }
            Self::Connection => StatusCode::NOT_IMPLEMENTED.into_response(),
        }
    }
}

/// The response that makes the request's connection a WebSocket, and the promise of it: it is kept when the response has been sent.
///
/// # Errors
/// See [`NoHandshake`].
pub(crate) fn upgrade(parts: &mut Parts) -> Result<(Response, OnUpgrade), NoHandshake> {
    let is_asked = parts.method == Method::GET
        && is_upgrade(&parts.headers)
        && has_token(&parts.headers, &CONNECTION, "upgrade");
    if !is_asked {
        return Err(NoHandshake::Malformed);
    }
    if parts
        .headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(NoHandshake::Version);
    }
    let key = parts
        .headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_nonce(key));
    let key = key.ok_or(NoHandshake::Malformed)?;
    let accept = BASE64_STANDARD.encode(
        Sha1::new()
            .chain_update(key.as_bytes())
            .chain_update(GUID)
            .finalize(),
    );
    let accept = HeaderValue::try_from(accept).map_err(|_| NoHandshake::Malformed)?;
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(NoHandshake::Connection)?;
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

    fn refused(change: impl FnOnce(&mut HeaderMap)) -> Option<NoHandshake> {
        let request = http::Request::builder()
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        change(&mut parts.headers);
        upgrade(&mut parts).err()
    }

    #[test]
    fn what_is_no_handshake_is_refused_before_a_connection_is_looked_for() {
        assert_eq!(refused(|_| ()), Some(NoHandshake::Connection));
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY] {
            let refused = refused(|headers| drop(headers.remove(&name)));
            assert_eq!(refused, Some(NoHandshake::Malformed), "{name}");
        }
        let with = |name, value| {
            refused(|headers| drop(headers.insert(name, HeaderValue::from_static(value))))
        };
        let short = with(SEC_WEBSOCKET_KEY, "c2hvcnQ=");
        assert_eq!(short, Some(NoHandshake::Malformed));
        assert_eq!(with(SEC_WEBSOCKET_VERSION, "8"), Some(NoHandshake::Version));
        let answer = NoHandshake::Version.into_response();
        assert_eq!(answer.headers()[SEC_WEBSOCKET_VERSION], "13");
    }
}
