//! What is known about a connection, and goes on being known after its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerage_proto::identity::PublicKey;
use peerage_proto::wire::id::{ConnectionId, PeerId};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::Serialization;
use crate::engine::Meter;

/// The way a connection's packets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// From one peer straight to the other.
    Direct,
    /// Through a TURN server.
    Relayed,
}

/// What a connection has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Time to the peer and back, as ICE last measured it (every few seconds); `None` before the first answer.
    pub round_trip: Option<Duration>,
    /// Octets of UDP payload that came in.
    pub received: u64,
    /// Octets of UDP payload that went out.
    pub sent: u64,
    /// How long nothing has come from the peer, once that is 5 s or more.
    pub silent: Option<Duration>,
    /// How often the path was negotiated anew, under the same channel: nothing is lost by that.
    pub restarts: u32,
    /// How often a lost connection was made anew, under the same handle: what was under way is lost then.
    pub renewals: u32,
}

/// How a connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It is open, and the peer is heard.
    Open,
    /// It is open, but nothing has come from the peer for some seconds, or this machine's addresses changed: the path may be lost. What is sent waits.
    Silent,
    /// Another path is being negotiated (ICE restart, RFC 8445 section 9). Nothing is lost.
    Restarting,
    /// The path is lost, and a new connection is being made under the old handle. What was under way is lost.
    Renewing,
    /// It is over.
    Closed(CloseReason),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The peer closed it.
    #[error("closed by the peer")]
    Remote,
    /// Nothing came from the peer for 30 s, or what [`Builder::lost_after`](crate::Builder::lost_after) says.
    #[error("lost the peer: nothing is heard from it any more")]
    Lost,
    /// No pair of addresses led to the peer in time.
    #[error("no route to the peer: no pair of addresses answered")]
    NoRoute,
    /// The certificate of the handshake is not the announced one: somebody sits in between.
    #[error("the peer's certificate is not the announced one")]
    WrongCertificate,
    /// This side's reader took nothing for 30 s while its queue was full.
    #[error("slow reader: received messages were not taken for 30 s")]
    SlowReader,
    /// The peer took too little of what waited for it: see [`DirectConfig::untaken_after`](crate::direct::DirectConfig::untaken_after).
    #[error("slow peer: what was sent was not taken in time")]
    SlowPeer,
    /// The rights that the connection lived by were revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// The peer broke a rule of WebRTC, or the handshake failed.
    #[error("the connection failed: {0}")]
    Failed(String),
}

/// What is known about a connection; goes on telling after it ended.
#[derive(Debug, Clone)]
pub struct About(pub(super) Arc<Facts>);

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: PeerId,
    pub(crate) label: String,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) serialization: Serialization,
    /// The peer's key, where it is known by one.
    pub(crate) key: Option<PublicKey>,
    /// Whether the peer has proven who it is.
    pub(crate) verified: bool,
    pub(crate) stage: Mutex<Stage>,
    pub(crate) state: watch::Receiver<ConnectionState>,
}

/// What is another one after a renewal.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) connection: ConnectionId,
    pub(crate) meter: Arc<Meter>,
    pub(crate) renewals: u32,
}

impl About {
    /// The other peer's id at the server.
    pub fn peer(&self) -> &PeerId {
        &self.0.peer
    }

    /// The connection's name, made by the caller; another one after a renewal.
    pub fn connection_id(&self) -> ConnectionId {
        self.stage().connection
    }

    /// The channel's label.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// What the caller's application said about the connection, as JSON.
    pub fn metadata(&self) -> Option<&RawValue> {
        self.0.metadata.as_deref()
    }

    /// How values travel.
    pub fn serialization(&self) -> &Serialization {
        &self.0.serialization
    }

    /// Whether the peer has proven who it is. Otherwise it is who the server says it is.
    pub fn is_verified(&self) -> bool {
        self.0.verified
    }

    /// The caller's key, on a device's side of a verified connection: [`Access::grants_of`](crate::Access::grants_of) says what it may do.
    pub fn key(&self) -> Option<&PublicKey> {
        self.0.key.as_ref()
    }

    /// The way that packets take now.
    pub fn route(&self) -> Route {
        self.stage().meter.route()
    }

    /// The way that packets take, and every change of it, until the connection is made anew: a direct path may be found after a relay, and lost again.
    pub fn routes(&self) -> watch::Receiver<Route> {
        self.stage().meter.routes()
    }

    /// What the connection has done so far.
    pub fn stats(&self) -> Stats {
        let stage = self.stage();
        Stats {
            renewals: stage.renewals,
            ..stage.meter.stats()
        }
    }

    /// How the connection does, and every change of it.
    pub fn states(&self) -> watch::Receiver<ConnectionState> {
        self.0.state.clone()
    }

    /// Whether the connection ended, and why.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match &*self.0.state.borrow() {
            ConnectionState::Closed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Waits for the end of the connection. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut state = self.0.state.clone();
        let over = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
        match over.await.as_deref() {
            Ok(ConnectionState::Closed(reason)) => reason.clone(),
            // The peer itself is gone, and took its connections along.
            _ => CloseReason::Local,
        }
    }

    pub(super) fn set_stage(&self, connection: ConnectionId, meter: Arc<Meter>) {
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let renewals = stage.renewals + 1;
        *stage = Stage {
            connection,
            meter,
            renewals,
        };
    }

    pub(super) fn stage(&self) -> Stage {
        self.0
            .stage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
