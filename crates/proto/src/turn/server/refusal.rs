/// Why a request is refused (RFC 8489 section 14.8, RFC 8656 section 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Something is missing, or makes no sense.
    BadRequest,
    /// No credentials, wrong ones, or expired ones.
    Unauthorized,
    /// The peer is not one to be relayed to.
    Forbidden,
    /// An attribute that would have to be understood is not.
    UnknownAttribute,
    /// There is no allocation, or there is one already.
    AllocationMismatch,
    /// The nonce is too old, or was another's.
    StaleNonce,
    /// There is no relay of this family here.
    AddressFamily,
    /// The allocation is another user's.
    WrongCredentials,
    /// Relayed is UDP alone.
    UnsupportedTransport,
    /// The allocation has no address of the peer's family.
    PeerFamily,
    /// The user, the address or the server has as many allocations as it may.
    Quota,
    /// No port is left, or the allocation has as many peers as it may.
    Capacity,
}

impl Refusal {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamily => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerFamily => 443,
            Self::Quota => 486,
            Self::Capacity => 508,
        }
    }

    /// The reason beside it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::AddressFamily => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerFamily => "Peer Address Family Mismatch",
            Self::Quota => "Allocation Quota Reached",
            Self::Capacity => "Insufficient Capacity",
        }
    }
}
