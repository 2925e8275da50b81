//! The STUN and TURN servers that the signalling server tells who is registered: `GET {path}{key}/ice?id=`.

use http::StatusCode;
use peerage_proto::wire::ice_servers::{IceServers, MAX_ANSWER};

use super::ask::ask;
use super::{Registration, SignallingError};
use crate::net::Roots;

/// Asks. `None` when the server does not know the question: an older one, or a stock PeerJS server.
pub(crate) async fn ice_servers(
    registration: &Registration,
    roots: &Roots,
) -> Result<Option<IceServers>, SignallingError> {
    match ask(registration, roots, "ice", true, MAX_ANSWER).await? {
        (StatusCode::OK, body) => IceServers::parse(&body)
            .map(Some)
            .map_err(|error| SignallingError::Protocol(error.to_string())),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, _) => Err(SignallingError::Protocol(format!("it answers {status}"))),
    }
}
