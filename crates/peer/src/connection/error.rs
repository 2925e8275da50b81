//! How receiving fails, and sending without waiting.

use crate::SendError;

/// Something could not be received. The connection stays open, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// A message is no value of the connection's serialization; it is lost. On [`Serialization::MsgPack`](crate::Serialization::MsgPack), where nobody can
    /// tell any more where a value begins, the connection is closed.
    #[error("a message cannot be read: {0}")]
    Malformed(String),
    /// A value in slices is lost: it was too large, or its peer did not finish it.
    #[error("a message in slices is lost: {0}")]
    Dropped(String),
    /// The value is none of the type that was asked for; it is lost.
    #[error("a value is not of the wanted type: {0}")]
    Type(String),
    /// The connection was lost and made anew: what was under way either way may not have arrived. What comes next is from the new one.
    #[error("the connection was made anew: messages may be missing")]
    Renewed,
}

/// A value could not be sent at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// Too much is on its way already. May be tried again.
    #[error("too much is on its way already")]
    Full,
    /// The value cannot be sent.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// A stream ended before its end. The connection stays open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer did not finish it in time, or the rest cannot be taken.
    #[error("the stream broke off: {0}")]
    Dropped(String),
    /// The connection ended, or was made anew, in the middle.
    #[error("the connection ended in the middle of a stream")]
    Closed,
}
