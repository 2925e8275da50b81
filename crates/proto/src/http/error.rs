//! Why commands fail, and why a link ends.

use crate::wire::http::{HeadError, Violation};

/// Why a session is closed. Every exchange that was live then ended as `gone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer broke the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// Nothing arrived for 30 s although exchanges were live.
    #[error("the peer has been silent for 30 s")]
    Silent,
    /// This side drained and its last exchange is over.
    #[error("drained")]
    Drained,
    /// The channel closed beneath the session.
    #[error("the channel closed")]
    Lost,
}

/// The exchange is over, or never was: nothing can be read from it or done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the exchange is over")]
pub struct Gone;

/// Why an exchange could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is closed.
    #[error("the link is closed")]
    Closed,
    /// One of the sides drains, or the ids ran out: a new link is needed.
    #[error("the link is draining")]
    Draining,
    /// As many exchanges are live as the peer accepts; try again when one has ended.
    #[error("too many exchanges are live")]
    Busy,
    /// The peer has not said, or not yet, that it answers this kind of exchange.
    #[error("the peer does not answer this kind of exchange")]
    Unsupported,
    /// The request breaks a rule for heads.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// `content-length` promises a body, and there is none.
    #[error("content-length does not match the body")]
    ContentLength,
}

/// Why something could not be sent on an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The exchange is over, or this direction of it.
    #[error("the exchange is over")]
    Gone,
    /// The protocol allows something else here: the text says what.
    #[error("out of order: {0}")]
    Order(&'static str),
    /// The head breaks a rule for heads.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// More, or fewer, octets than `content-length` promised.
    #[error("content-length does not match the body")]
    ContentLength,
}

impl From<Gone> for SendError {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}
