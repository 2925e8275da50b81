//! How making a peer or a connection fails.

use std::io;

use peerage_proto::identity::Code;
use peerage_proto::identity::caller::FalseAnswer;
use peerage_proto::link;

use crate::Tried;
use crate::connection::CloseReason;
use crate::engine::EngineError;
use crate::signalling::SignallingError;

/// A peer cannot be made, or does not get to its server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server cannot be reached, or refuses.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// No UDP port is to be had.
    #[error("cannot open a UDP port: {0}")]
    Bind(#[source] io::Error),
    /// The key for the connections' certificates cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

/// A connection was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// This peer has no connection to the server now. May be tried again.
    #[error("{0}")]
    Signalling(#[from] SignallingError),
    /// Nobody has this id at the server. May be tried again.
    #[error("the peer is not there")]
    PeerUnavailable,
    /// The peer refused; see [`Code`] for whether to try again.
    #[error("the peer refused: {0}")]
    Refused(Code),
    /// The server has somebody there, who does not answer. May be tried again.
    #[error("the peer does not answer")]
    NoAnswer,
    /// Answers came, but none that the called device signed: somebody else answers under this id.
    #[error("no answer from the called device: {0}")]
    WrongDevice(FalseAnswer),
    /// The handshake's certificate is not the announced one: somebody sits in between.
    #[error("the peer's certificate is not the announced one")]
    WrongCertificate,
    /// The peer answered, but no pair of addresses led to it in time; with what was tried.
    #[error("no route to the peer: no pair of addresses answered")]
    NoRoute(Box<Tried>),
    /// The connection ended before it was open.
    #[error("the connection ended before it was open: {0}")]
    Closed(CloseReason),
    /// Neither PeerJS nor the application knows a serialization of this name: see [`Builder::serializer`](crate::Builder::serializer).
    #[error("no serialization is called `{0}` here")]
    UnknownSerialization(String),
    /// The label or the peer's description cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// There are as many connections to this peer as can be told apart.
    #[error("too many connections to this peer")]
    TooMany,
    /// The peer was dropped.
    #[error("the peer has stopped")]
    Stopped,
}

impl OpenError {
    /// The `type` of the error by which PeerJS tells the same.
    pub fn peerjs_type(&self) -> &'static str {
        match self {
            Self::Signalling(error) => error.peerjs_type(),
            Self::Bind(_) | Self::Certificate(_) => "webrtc",
        }
    }
}

impl ConnectError {
    /// The `type` of the error by which PeerJS tells the same, on its peer or on its connection.
    pub fn peerjs_type(&self) -> &'static str {
        match self {
            Self::Signalling(error) => error.peerjs_type(),
            Self::PeerUnavailable | Self::NoAnswer => "peer-unavailable",
            Self::NoRoute(_) | Self::WrongCertificate | Self::WrongDevice(_) => {
                "negotiation-failed"
            }
            Self::Closed(_) => "connection-closed",
            Self::Stopped => "disconnected",
            Self::Refused(_) | Self::UnknownSerialization(_) | Self::Invalid(_) | Self::TooMany => {
                "webrtc"
            }
        }
    }
}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Bind(error) => Self::Bind(error),
            error => Self::Certificate(error.to_string()),
        }
    }
}

impl From<EngineError> for ConnectError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::Stopped,
            EngineError::Slots => Self::TooMany,
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl ConnectError {
    /// Why a link ended before it was open; `engine` is what the engine says, where it was the engine that ended it.
    pub(super) fn of_link(
        reason: link::CloseReason,
        engine: Option<CloseReason>,
        tried: Tried,
    ) -> Self {
        match (reason, engine) {
            (link::CloseReason::PeerUnavailable, _) => Self::PeerUnavailable,
            (link::CloseReason::Refused(code), _) => Self::Refused(code),
            // Only a second try's refusal comes here: the first is answered with one.
            (link::CloseReason::TryAgain(_), _) => Self::Refused(Code::Stale),
            (link::CloseReason::NoAnswer, _) => Self::NoAnswer,
            (link::CloseReason::WrongDevice(answer), _) => Self::WrongDevice(answer),
            (link::CloseReason::NoRoute, _) | (_, Some(CloseReason::NoRoute)) => {
                Self::NoRoute(Box::new(tried))
            }
            (link::CloseReason::WrongCertificate, _) | (_, Some(CloseReason::WrongCertificate)) => {
                Self::WrongCertificate
            }
            (link::CloseReason::PeerLeft, _) => Self::Closed(CloseReason::Remote),
            (_, Some(engine)) => Self::Closed(engine),
            (reason, None) => Self::Invalid(reason.to_string()),
        }
    }
}
