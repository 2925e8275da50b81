//! Heads between the `http` crate and the wire.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{
        CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    },
    request::Parts,
    uri::{self, PathAndQuery},
};
use peerage_proto::wire::http::{Fields, Request};

use super::{Error, ResetCode};

/// Fields of the WebSocket handshake of one hop: each makes its own.
pub(crate) const HOP_OF_WEBSOCKET: [HeaderName; 4] = [
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
];

/// The request to send. Fields that never travel are left out.
pub(super) fn outgoing(parts: &Parts) -> Result<Request, Error> {
    if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
        let text =
            "a request over a link names a path only: where it goes is the device owner's choice";
        return Err(Error::new(ResetCode::Malformed, text));
    }
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let fields = outgoing_fields(&parts.headers);
    Ok(Request::Http {
        method: parts.method.as_str().into(),
        path: path.into(),
        fields,
    })
}

/// The request for a WebSocket, with the fields that concern both ends of it and not a hop.
pub(super) fn outgoing_websocket(mut parts: Parts) -> Result<Request, Error> {
    if parts.method != Method::GET {
        return Err(Error::new(
            ResetCode::Malformed,
            "a WebSocket is opened by GET",
        ));
    }
    for name in HOP_OF_WEBSOCKET {
        parts.headers.remove(name);
    }
    match outgoing(&parts)? {
        Request::Http { path, fields, .. } => Ok(Request::WebSocket { path, fields }),
        other => Ok(other),
    }
}

/// The request that arrived; `None` if it is none that the `http` crate can hold.
pub(super) fn incoming(method: &str, path: &str, fields: Fields) -> Option<http::Request<()>> {
    let mut target = uri::Parts::default();
    target.path_and_query = Some(path.parse().ok()?);
    let mut request = http::Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_parts(target).ok()?;
    *request.headers_mut() = incoming_fields(fields)?;
    Some(request)
}

/// The fields to send, without those that never travel.
pub(super) fn outgoing_fields(headers: &HeaderMap) -> Fields {
    fields(headers, Fields::travels)
}

/// The trailers to send, without those that could change what the head said.
pub(super) fn outgoing_trailers(headers: &HeaderMap) -> Fields {
    fields(headers, Fields::travels_in_trailers)
}

fn fields(headers: &HeaderMap, travels: fn(&str) -> bool) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in headers {
        if travels(name.as_str()) {
            fields.push(
                name.as_str(),
                Bytes::copy_from_slice(value.as_bytes().trim_ascii()),
            );
        }
    }
    fields
}

/// The fields that arrived; the wire's rules are narrower than the `http` crate's, so `None` is not expected.
pub(super) fn incoming_fields(fields: Fields) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.0.len());
    for field in fields.0 {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(field.value).ok()?);
    }
    Some(headers)
}

/// Whether the subprotocol that a response names, if any, is one of those that the request did.
pub(crate) fn is_offered(request: &HeaderMap, response: &HeaderMap) -> bool {
    let mut chosen = response.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    match (chosen.next(), chosen.next()) {
        (None, _) => true,
        (Some(chosen), None) => request
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .flat_map(|offered| offered.as_bytes().split(|&octet| octet == b','))
            .any(|offered| offered.trim_ascii() == chosen.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// States the length of a body that knows it and whose sender did not say.
pub(super) fn measure(headers: &mut HeaderMap, body: &impl http_body::Body) {
    if let Some(length) = body
        .size_hint()
        .exact()
        .filter(|_| !headers.contains_key(CONTENT_LENGTH))
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
