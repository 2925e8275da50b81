//! The ids that a device is reached by: its own, and one that old clients know.

use peerage_peer::{Connection, Peer, ServerState, SignallingError};
use peerage_proto::wire::id::PeerId;

/// The device at its server.
#[derive(Debug)]
pub(super) struct Reach {
    /// Under its own id.
    pub(super) peer: Peer,
    /// Under another one. A peer beside the first: an id is one registration, and what comes by it is answered by it.
    pub(super) alias: Option<Peer>,
    /// Whether channels of old clients are answered.
    pub(super) old_clients: bool,
}

impl Reach {
    /// The ids by which old clients may come in.
    pub(super) fn old_ids(&self) -> Vec<&PeerId> {
        self.peers()
            .filter(|_| self.old_clients)
            .map(Peer::id)
            .collect()
    }

    /// One peer for each id.
    pub(super) fn peers(&self) -> impl Iterator<Item = &Peer> {
        std::iter::once(&self.peer).chain(&self.alias)
    }

    /// Who comes next, by whichever id. Cancel-safe.
    pub(super) async fn incoming(&self) -> Option<Connection> {
        let aliased = async {
            match &self.alias {
                Some(alias) => alias.incoming().await,
                None => None,
            }
        };
        tokio::select! {
            connection = self.peer.incoming() => connection,
            Some(connection) = aliased => Some(connection),
        }
    }

    /// Resolves when the other id is lost while the first may not be.
    pub(super) async fn alias_lost(&self) -> SignallingError {
        let Some(alias) = &self.alias else {
            return std::future::pending().await;
        };
        let mut state = alias.server();
        // One word when it goes, however many attempts to come back lie between.
        let is_open = |state: &ServerState| *state == ServerState::Open;
        if state.wait_for(is_open).await.is_ok()
            && let Ok(state) = state.wait_for(|state| !is_open(state)).await
            && let ServerState::Down(error) = &*state
        {
            return error.clone();
        }
        std::future::pending().await
    }

    pub(super) async fn close(self) {
        let alias = async {
            if let Some(alias) = &self.alias {
                alias.destroy().await;
            }
        };
        tokio::join!(self.peer.destroy(), alias);
    }
}
