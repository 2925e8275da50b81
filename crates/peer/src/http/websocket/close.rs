//! How a WebSocket is closed (RFC 6455 sections 5.5.1 and 7.4).

use bytes::Bytes;

/// Octets of a reason: what the frame leaves beside the code.
const REASON_MAX: usize = 123;

/// Why a WebSocket is closed: a code, and words that may be empty. A close without either is `None` wherever this stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    code: u16,
    reason: String,
}

/// A code or reason that no close frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Below 1000, above 4999, or one that only says what was not sent (1004, 1005, 1006, 1015).
    #[error("{0} is no code to close with: 1000, or 3000 to 4999")]
    Code(u16),
    /// Too long.
    #[error("a reason of {0} octets is above {REASON_MAX}")]
    Reason(usize),
}

impl Close {
    /// The normal end.
    pub const NORMAL: u16 = 1000;
    /// This side goes away.
    pub const AWAY: u16 = 1001;
    /// Text that is no UTF-8.
    pub const NOT_TEXT: u16 = 1007;
    /// A message that is too large.
    pub const TOO_LARGE: u16 = 1009;

    /// A close with a code that may be sent and a reason of at most 123 octets.
    ///
    /// # Errors
    /// See [`CloseError`].
    pub fn new(code: u16, reason: impl Into<String>) -> Result<Self, CloseError> {
        let reason = reason.into();
        if !(1000..=4999).contains(&code) || matches!(code, 1004..=1006 | 1015) {
            return Err(CloseError::Code(code));
        }
        if reason.len() > REASON_MAX {
            return Err(CloseError::Reason(reason.len()));
        }
        Ok(Self { code, reason })
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The payload on the wire.
    pub(super) fn emit(close: Option<&Self>) -> Bytes {
        close.map_or_else(Bytes::new, |close| {
            [&close.code.to_be_bytes(), close.reason.as_bytes()]
                .concat()
                .into()
        })
    }

    /// Reads a payload; `None` if it is not what may be sent.
    pub(super) fn parse(payload: &[u8]) -> Option<Option<Self>> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return payload.is_empty().then_some(None);
        };
        let reason = std::str::from_utf8(reason).ok()?;
        Self::new(u16::from_be_bytes(*code), reason).ok().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_read_as_it_was_written() {
        for close in [
            None,
            Close::new(1000, "").ok(),
            Close::new(4999, "a reason").ok(),
            Close::new(3000, "x".repeat(123)).ok(),
        ] {
            assert_eq!(Close::parse(&Close::emit(close.as_ref())), Some(close));
        }
    }

    #[test]
    fn codes_that_say_what_was_not_sent_are_never_sent() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000, 65_535] {
            assert_eq!(Close::new(code, ""), Err(CloseError::Code(code)));
            assert_eq!(Close::parse(&code.to_be_bytes()), None, "{code}");
        }
        assert_eq!(
            Close::new(1000, "x".repeat(124)),
            Err(CloseError::Reason(124))
        );
        assert_eq!(Close::parse(b"\x03\xe8\xff"), None, "a reason is UTF-8");
        assert_eq!(Close::parse(b"\x03"), None);
    }
}
