//! Names on the wire. Each is a type of its own, made only by parsing, so that swapping two of them does not compile.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::base32;

/// Longest peer id, connection id or token, in bytes. The stock server has no limit; its clients use about 36 characters.
pub const MAX_ID: usize = 512;

/// Characters of a device id: 256 bits, 5 a character, the last 4 bits zero.
pub const DEVICE_ID_LEN: usize = 52;

/// Characters of a secret: 130 bits, 5 a character.
pub const SECRET_LEN: usize = 26;

/// A text is no id, token or secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Ids and tokens have 1 to [`MAX_ID`] bytes.
    #[error("an id or token has 1 to {MAX_ID} bytes, not {0}")]
    Length(usize),
    /// Not the base32 of 32 bytes.
    #[error("a device id is {DEVICE_ID_LEN} characters of a-z and 2-7, ending in four zero bits")]
    NotADevice,
    /// Not a secret. The text itself is not repeated: it may be nearly one.
    #[error("a secret is {SECRET_LEN} characters of a-z and 2-7")]
    NotASecret,
    /// Not the name of a link.
    #[error("a kid is 16 hexadecimal digits")]
    NotAKid,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text of 1 to [`MAX_ID`] bytes.
            ///
            /// # Errors
            /// The text is empty or longer.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                match text.len() {
                    1..=MAX_ID => Ok(Self(text.into())),
                    length => Err(IdError::Length(length)),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
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

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parse_from(deserializer)
            }
        }
    };
}

text_id! {
    /// Under what a peer is reached at a server. Any text: ids received from others are not held to the grammar that clients apply to their own.
    PeerId
}

text_id! {
    /// PeerJS's `connectionId`, made by the caller; unique only together with the caller's id.
    ConnectionId
}

/// Proves at the server that a socket may hold its id. `Debug` shows dots; comparison takes the same time wherever the texts differ.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes a text of 1 to [`MAX_ID`] bytes.
    ///
    /// # Errors
    /// The text is empty or longer.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        match text.len() {
            1..=MAX_ID => Ok(Self(text.into())),
            length => Err(IdError::Length(length)),
        }
    }

    /// The text itself: for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// The id of a device: the SHA-256 of its public key as [`DEVICE_ID_LEN`] base32 characters. Valid as a PeerJS id and as a DNS label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(PeerId);

impl DeviceId {
    /// The id that belongs to the SHA-256 of a public key's uncompressed point. [`PublicKey::device_id`](crate::identity::PublicKey::device_id) hashes.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        Self(PeerId(base32::encode(digest).into()))
    }

    /// Takes a key-shaped text.
    ///
    /// # Errors
    /// The text is not key-shaped.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !is_key_shaped(text) {
            return Err(IdError::NotADevice);
        }
        Ok(Self(PeerId(text.into())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same id as what a server routes by.
    pub fn as_peer_id(&self) -> &PeerId {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<DeviceId> for PeerId {
    fn from(device: DeviceId) -> Self {
        device.0
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_from(deserializer)
    }
}

/// Whether a text has the shape of a device id, so that only the owner of a key may register it.
pub fn is_key_shaped(text: &str) -> bool {
    text.len() == DEVICE_ID_LEN && base32::decode(text).is_some()
}

/// The part of a link that grants access: 130 random bits, written as [`SECRET_LEN`] base32 characters. `Debug` shows dots, dropping it
/// overwrites it, and it serialises only where the owner's state says so by name.
#[derive(Clone)]
pub struct Secret([u8; SECRET_LEN]);

impl Secret {
    /// Takes the characters of a link's secret; upper case is refused.
    ///
    /// # Errors
    /// The text is no secret.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let characters: [u8; SECRET_LEN] = text
            .as_bytes()
            .try_into()
            .map_err(|_| IdError::NotASecret)?;
        if !characters.iter().copied().all(base32::is_symbol) {
            return Err(IdError::NotASecret);
        }
        Ok(Self(characters))
    }

    /// Draws 130 bits from a generator that must be cryptographically secure.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 17];
        rng.fill_bytes(&mut bytes);
        let text = base32::encode(&bytes);
        let mut characters = [0; SECRET_LEN];
        // 17 bytes make 28 characters; the last two, which are not whole, are left out.
        characters.copy_from_slice(&text.as_bytes()[..SECRET_LEN]);
        bytes.zeroize();
        Self(characters)
    }

    /// The characters themselves: for the link and the owner's state only.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base32 characters are ASCII")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// Names a link without revealing its secret: 8 bytes derived from it. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; 8]);

impl Kid {
    /// The name with these bytes.
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes, as a statement carries them.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Kid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(IdError::NotAKid);
        }
        u64::from_str_radix(text, 16)
            .map(|value| Self(value.to_be_bytes()))
            .map_err(|_| IdError::NotAKid)
    }
}

fn parse_from<'de, D: Deserializer<'de>, T: FromStr<Err = IdError>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn ids_have_1_to_512_bytes_of_any_text() {
        assert_eq!(PeerId::parse(""), Err(IdError::Length(0)));
        assert_eq!(PeerId::parse(&"x".repeat(513)), Err(IdError::Length(513)));
        let longest = "ü".repeat(256);
        assert_eq!(
            PeerId::parse(&longest).map(|id| id.to_string()),
            Ok(longest)
        );
    }

    #[test]
    fn a_device_id_is_the_base32_of_32_bytes_and_nothing_else() {
        let id = DeviceId::from_digest(&[0xff; 32]);
        assert_eq!(
            id.as_str(),
            "777777777777777777777777777777777777777777777777777q"
        );
        assert_eq!(DeviceId::parse(id.as_str()).as_ref(), Ok(&id));
        assert!(
            !is_key_shaped("7777777777777777777777777777777777777777777777777777"),
            "padding bits set"
        );
        assert!(!is_key_shaped(&id.as_str().to_uppercase()));
        assert!(!is_key_shaped(&id.as_str()[1..]));
        assert!(!is_key_shaped("alice"));
    }

    #[test]
    fn secrets_and_tokens_print_as_dots() {
        let secret =
            Secret::parse("abcdefghijklmnopqrstuvwxyz").expect("26 characters of the alphabet");
        let token = Token::parse("hunter2").expect("short text");
        assert_eq!(format!("{secret:?} {token:?}"), "Secret(…) Token(…)");
    }

    #[test]
    fn a_shortened_lengthened_or_upper_case_secret_is_none() {
        for text in [
            "",
            "abcdefghijklmnopqrstuvwxy",
            "abcdefghijklmnopqrstuvwxyza",
            "Abcdefghijklmnopqrstuvwxyz",
            "abcdefghijklmnopqrstuvwxy1",
        ] {
            assert_eq!(Secret::parse(text), Err(IdError::NotASecret), "{text}");
        }
    }

    #[test]
    fn a_secret_takes_all_its_bits_from_the_generator() {
        let mut rng = StdRng::seed_from_u64(1);
        let secrets: Vec<_> = (0..200).map(|_| Secret::generate(&mut rng)).collect();
        for position in 0..SECRET_LEN {
            let seen: std::collections::BTreeSet<u8> = secrets
                .iter()
                .map(|s| s.expose().as_bytes()[position])
                .collect();
            assert!(seen.len() > 20, "character {position} hardly varies");
        }
        assert!(Secret::parse(secrets[0].expose()).is_ok());
    }

    #[test]
    fn ids_read_from_json_are_checked() {
        assert!(serde_json::from_str::<PeerId>(r#""a\u0062""#).is_ok_and(|id| &id == "ab"));
        assert!(serde_json::from_str::<PeerId>(r#""""#).is_err());
        assert!(serde_json::from_str::<DeviceId>(r#""alice""#).is_err());
    }

    #[test]
    fn a_kid_reads_back_from_its_digits() {
        let kid = Kid::new([0, 1, 2, 3, 4, 5, 6, 255]);
        assert_eq!(kid.to_string(), "00010203040506ff");
        assert_eq!(kid.to_string().parse(), Ok(kid));
        assert_eq!("+0010203040506ff".parse::<Kid>(), Err(IdError::NotAKid));
    }
}
