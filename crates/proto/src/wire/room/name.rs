//! Who is who, and where: names, numbers, tokens.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::INTEGER_MAX;

/// Most octets of a room's name.
pub const ROOM_NAME_MAX: usize = 256;

/// Most octets of a member's name.
pub const NAME_MAX: usize = 512;

/// Names that no member has: old clients show what the server says, and what nobody signed, under them.
pub const RESERVED: [&str; 2] = ["server", "unknown"];

/// Why a text names no room or member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or too long.
    #[error("a room's name has 1 to {ROOM_NAME_MAX} octets, a member's 1 to {NAME_MAX}")]
    Length,
    /// A control character.
    #[error("a name has no control characters")]
    Control,
    /// One of [`RESERVED`].
    #[error("no member is called server or unknown")]
    Reserved,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $most:expr, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text for a name.
            ///
            /// # Errors
            /// See [`NameError`].
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if text.is_empty() || text.len() > $most {
                    return Err(NameError::Length);
                }
                if text.chars().any(char::is_control) {
                    return Err(NameError::Control);
                }
                let reserved: &[&str] = &$reserved;
                if reserved.contains(&text) {
                    return Err(NameError::Reserved);
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

name! {
    /// The name of a room: 1 to [`ROOM_NAME_MAX`] octets of any text without control characters.
    RoomName, ROOM_NAME_MAX, []
}

name! {
    /// The name of a member, unique in its room at a time: 1 to [`NAME_MAX`] octets of any text without control characters, and none of [`RESERVED`].
    Name, NAME_MAX, RESERVED
}

/// Stands for a member in frames: from 1, unique within a room's epoch, never another's again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberNumber(NonZeroU64);

impl MemberNumber {
    /// Not 0, and at most [`INTEGER_MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= INTEGER_MAX => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for MemberNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for MemberNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Tells one life of a room from the next: drawn anew whenever a room begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch(pub [u8; 8]);

/// Proves that a connection may have a name: 16 octets that its client drew and tells nobody but the hub. `Debug` shows dots; comparison takes the same time wherever
/// two differ.
#[derive(Clone)]
pub struct Token([u8; 16]);

impl Token {
    /// Octets from a generator that must be cryptographically secure.
    #[must_use]
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets themselves: for the hub, and for what a client keeps.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
