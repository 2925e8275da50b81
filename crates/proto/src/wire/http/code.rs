//! Why an exchange ended before its time: a closed list, the same numbers in every language.

/// The code of a RESET (section 6 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ResetCode {
    /// No error: the rest is not needed.
    None = 0,
    /// The requester gave up.
    Cancelled = 1,
    /// The owner's rules forbid this request.
    Refused = 2,
    /// A rule for heads, bodies or their order was broken.
    Malformed = 3,
    /// A head or a limit was exceeded.
    TooLarge = 4,
    /// Too many exchanges, or the side is draining; nothing was done.
    Busy = 5,
    /// The target could not be reached; nothing was done.
    Unreachable = 6,
    /// The target broke off, or answered with what is no HTTP.
    Broken = 7,
    /// The target did not answer in the owner's time.
    Timeout = 8,
    /// This kind of exchange is not supported.
    Unsupported = 9,
    /// The link closed while the exchange was under way.
    Gone = 10,
    /// A fault of the sender, and what unknown codes are read as.
    Internal = 11,
}

/// What a requester may do after a RESET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request would fare the same.
    Never,
    /// Something may have been done: only methods that are safe (RFC 9110 section 9.2.1) go again.
    Safe,
    /// Nothing was done: any method may go again, later.
    Always,
}

impl ResetCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Cancelled,
        Self::Refused,
        Self::Malformed,
        Self::TooLarge,
        Self::Busy,
        Self::Unreachable,
        Self::Broken,
        Self::Timeout,
        Self::Unsupported,
        Self::Gone,
        Self::Internal,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number; `Internal` for a number that is not in the list.
    pub fn from_number(number: u16) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Internal)
    }

    /// The name in documents, logs and the `peerage-error` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Gone => "gone",
            Self::Internal => "internal",
        }
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Whether the request may be sent again.
    pub fn retry(self) -> Retry {
        match self {
            Self::Busy | Self::Unreachable => Retry::Always,
            Self::Broken | Self::Timeout | Self::Gone => Retry::Safe,
            Self::None
            | Self::Cancelled
            | Self::Refused
            | Self::Malformed
            | Self::TooLarge
            | Self::Unsupported
            | Self::Internal => Retry::Never,
        }
    }
}

impl std::fmt::Display for ResetCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_number_and_its_own_name() {
        for (number, code) in (0..).zip(ResetCode::ALL) {
            assert_eq!(code.number(), number);
            assert_eq!(ResetCode::from_number(number), code);
            assert_eq!(ResetCode::from_name(code.name()), Some(code));
        }
    }

    #[test]
    fn an_unknown_code_is_read_as_internal() {
        assert_eq!(ResetCode::from_number(12), ResetCode::Internal);
        assert_eq!(ResetCode::from_number(u16::MAX), ResetCode::Internal);
    }
}
