use std::fmt::{self, Write as _};
use std::str::FromStr;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The least and the most characters of a [`Secret`].
const LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;

/// A token of the operator, or what webhooks are signed with: 16 to 1,024 printable ASCII characters without spaces. Compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// A text that is no [`Secret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret has 16 to 1024 printable ASCII characters without spaces; `openssl rand -hex 32` makes one"
)]
pub struct NotASecret;

impl Secret {
    /// Draws one of 256 bits: 64 hexadecimal digits.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(64));
        for _ in 0..4 {
            // Strings take everything.
            let _ = write!(text, "{:016x}", rng.next_u64());
        }
        Self(text)
    }

    /// The text itself: not for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a text of a client's is this one.
    pub(crate) fn is(&self, told: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(told).into()
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let is_good =
            LENGTH.contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
        is_good
            .then(|| Self(Zeroizing::new(text.to_owned())))
            .ok_or(NotASecret)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_enough_to_be_one_and_is_not_shown() {
        for text in [
            "",
            "short",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdef\n",
        ] {
            assert!(text.parse::<Secret>().is_err(), "{text:?}");
        }
        let secret: Secret = "0123456789abcdef".parse().unwrap();
        assert!(secret.is(b"0123456789abcdef"));
        assert!(
            !secret.is(b"0123456789abcdeg") && !secret.is(b"") && !secret.is(b"0123456789abcdef0")
        );
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
