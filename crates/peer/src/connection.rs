//! A connection to one peer: its channel, and what is known about it.

use std::time::Duration;

/// How values travel on a channel of a stock PeerJS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Serialization {
    /// Text and binary messages, unchanged.
    #[default]
    Raw,
    /// JSON text as UTF-8 in binary messages, each below 16,300 octets, as PeerJS 1.5 sends it.
    Json,
}

impl Serialization {
    /// The name in an OFFER.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
        }
    }

    /// The serialization of this name; `None` for one that this peer does not speak.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "raw" => Some(Self::Raw),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

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
    /// How long nothing has come from the peer, once that is 5 s or more. After 30 s the connection ends.
    pub silent: Option<Duration>,
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
    /// Nothing came from the peer for 30 s.
    #[error("lost the peer: nothing heard for 30 s")]
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
    /// The rights that the connection lived by were revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// The peer broke a rule of WebRTC, or the handshake failed.
    #[error("the connection failed: {0}")]
    Failed(String),
}
