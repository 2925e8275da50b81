//! The ids that are registered at the server: `GET {path}{key}/peers`, where its owner allows the question.

use http::StatusCode;
use peerage_proto::wire::id::PeerId;

use super::ask::ask;
use super::{Registration, SignallingError};
use crate::net::Roots;

/// Octets of the longest list that is taken: 100,000 ids of a device's length and more.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// Why there is no list of peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListPeersError {
    /// The server does not list its peers (401, as peerjs-server without `--allow_discovery`).
    #[error(
        "the server does not list its peers: it would have to be started with --allow-discovery"
    )]
    NotAllowed,
    /// The server cannot be asked.
    #[error("{0}")]
    Signalling(#[from] SignallingError),
}

/// Asks. Ids that no client of ours could call are left out.
pub(crate) async fn list_peers(
    registration: &Registration,
    roots: &Roots,
) -> Result<Vec<PeerId>, ListPeersError> {
    match ask(registration, roots, "peers", false, MAX_LIST).await? {
        (StatusCode::OK, body) => {
            let ids: Vec<String> = serde_json::from_slice(&body)
                .map_err(|error| SignallingError::Protocol(error.to_string()))?;
            Ok(ids.iter().filter_map(|id| PeerId::parse(id).ok()).collect())
        }
        (StatusCode::UNAUTHORIZED, _) => Err(ListPeersError::NotAllowed),
        (status, _) => Err(SignallingError::Protocol(format!("it answers {status}")).into()),
    }
}
