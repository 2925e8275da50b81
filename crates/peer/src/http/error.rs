//! Why an exchange failed.

use std::borrow::Cow;

use http::Response;
use peerage_proto::http::{OpenError, SendError};
pub use peerage_proto::wire::http::{ResetCode, Retry};

use super::Body;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an exchange failed: the closed code of the protocol, and words for a person.
///
/// Bodies may fail with it too: its code then goes into the RESET that the other side gets. Any other error of a body
/// is `internal` there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Error {
    code: ResetCode,
    detail: Cow<'static, str>,
}

impl Error {
    /// An error with a code, and words that say what happened.
    pub fn new(code: ResetCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The code of the protocol's closed list.
    pub fn code(&self) -> ResetCode {
        self.code
    }

    /// What happened, without the code's name.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the same request may be sent again.
    pub fn retry(&self) -> Retry {
        self.code.retry()
    }

    /// The code that a body's or handler's error stands for on the wire.
    pub(super) fn code_of(error: &BoxError) -> ResetCode {
        error
            .downcast_ref::<Self>()
            .map_or(ResetCode::Internal, Self::code)
    }
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The other side answered with an ordinary response: 404, 401, a redirect.
    #[error("the answer was {} instead of a WebSocket", .0.status())]
    Refused(Box<Response<Body>>),
    /// The exchange failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Closed => ResetCode::Gone,
            OpenError::Draining | OpenError::Busy => ResetCode::Busy,
            OpenError::Unsupported => ResetCode::Unsupported,
            OpenError::Head(head) => head.code(),
            OpenError::ContentLength => ResetCode::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::Gone => ResetCode::Gone,
            SendError::Head(head) => head.code(),
            SendError::Order(_) => ResetCode::Internal,
            SendError::ContentLength => ResetCode::Malformed,
        };
        Self::new(code, error.to_string())
    }
}
