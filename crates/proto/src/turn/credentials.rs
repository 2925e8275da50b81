//! Credentials that expire by themselves, as "A REST API For Access To TURN Services" has them (draft-uberti-behave-turn-rest, what coturn calls
//! `use-auth-secret`): whoever shares the secret can make and check them, and nobody keeps a list.
//!
//! The user name is `EXPIRY` or `EXPIRY:NAME`, EXPIRY in seconds since 1970; the password is base64(HMAC-SHA1(secret, user name)).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use rand_core::CryptoRng;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::wire::statement::Time;

/// Longest secret, in octets.
pub const MAX_SECRET: usize = 1024;
/// Longest user name, in octets: RFC 8489 section 14.3 has fewer than 509.
pub const MAX_USERNAME: usize = 508;

/// What credentials are made with and checked by. `Debug` shows dots.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 1 to {MAX_SECRET} printable characters without spaces at its ends")]
pub struct NotASecret;

impl Secret {
    /// Draws 256 bits from a generator that must be cryptographically secure.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut octets = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *octets);
        Self(Zeroizing::new(crate::wire::base32::encode(&*octets)))
    }

    /// The text itself: for the owner's state, and for another server that is to honour the same credentials.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Credentials for a name, good until `expires`. A name that would make the user name too long is cut.
    #[must_use]
    pub fn mint(&self, name: Option<&str>, expires: Time) -> Credentials {
        let mut username = (expires.0 / 1000).to_string();
        if let Some(name) = name {
            username.push(':');
            let room = MAX_USERNAME - username.len();
            username.push_str(&name[..name.floor_char_boundary(room)]);
        }
        let password = self.password(&username);
        Credentials { username, password }
    }

    /// The password that belongs to a user name.
    #[must_use]
    pub fn password(&self, username: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.0.as_bytes())
            .expect("an HMAC takes keys of any length");
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let is_good = (1..=MAX_SECRET).contains(&text.len())
            && text.trim() == text
            && !text.contains(char::is_control);
        if !is_good {
            return Err(NotASecret);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a client needs. `Debug` shows the name alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `EXPIRY:NAME`.
    pub username: String,
    /// In base64.
    pub password: String,
}

impl Credentials {
    /// The key of both in a realm.
    #[must_use]
    pub fn key(&self, realm: &str) -> Key {
        Key::new(&self.username, realm, &self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What a user name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Username<'a> {
    /// Good until then.
    pub expires: Time,
    /// Whose it is; empty where none is named.
    pub name: &'a str,
}

impl<'a> Username<'a> {
    /// None for what [`Secret::mint`] does not make.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (expiry, name) = text.split_once(':').unwrap_or((text, ""));
        let is_number = !expiry.is_empty() && expiry.bytes().all(|octet| octet.is_ascii_digit());
        if !is_number || text.len() > MAX_USERNAME {
            return None;
        }
        let seconds: u64 = expiry.parse().ok()?;
        Some(Self {
            expires: Time(seconds.saturating_mul(1000)),
            name,
        })
    }
}

/// What messages are signed with under long-term credentials (RFC 8489 section 9.2.2): MD5 of `username:realm:password`. `Debug` shows dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// All three are taken as they are: names and passwords of ours are plain ASCII or ids, which SASLprep leaves alone.
    #[must_use]
    pub fn new(username: &str, realm: &str, password: &str) -> Self {
        let mut hash = Md5::new();
        for (index, part) in [username, realm, password].into_iter().enumerate() {
            if index > 0 {
                hash.update(b":");
            }
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// For signing and checking.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        "north".parse().unwrap()
    }

    #[test]
    fn passwords_are_those_of_other_implementations() {
        // printf 1795300000:ann | openssl dgst -sha1 -hmac north -binary | base64
        let made = secret().mint(Some("ann"), Time(1_795_300_000_999));
        assert_eq!(made.username, "1795300000:ann");
        assert_eq!(made.password, "esLCA6FlI9IP4CE/AANXUydHO8A=");
        let unnamed = secret().mint(None, Time(1_795_300_000_000));
        assert_eq!(unnamed.username, "1795300000");
        assert_eq!(unnamed.password, "j9uV3sBVfBmfsIa/Nka32lXeZ6A=");
    }

    #[test]
    fn a_name_is_read_as_it_was_minted_with_colons_and_all() {
        let made = secret().mint(Some("a:b c"), Time(5_000));
        let read = Username::parse(&made.username).unwrap();
        assert_eq!((read.expires, read.name), (Time(5_000), "a:b c"));
        assert_eq!(Username::parse("7").map(|read| read.name), Some(""));
    }

    #[test]
    fn a_long_name_is_cut_to_what_the_attribute_takes() {
        let made = secret().mint(Some(&"é".repeat(400)), Time(1_795_300_000_000));
        assert!(made.username.len() <= MAX_USERNAME);
        assert!(Username::parse(&made.username).is_some());
    }

    #[test]
    fn what_nobody_minted_is_no_name() {
        for text in [
            "",
            ":",
            ":ann",
            "ann",
            "+5:ann",
            " 5",
            "5x",
            "-1",
            "99999999999999999999:a",
        ] {
            assert_eq!(Username::parse(text), None, "{text:?}");
        }
        assert_eq!(Username::parse(&format!("5:{}", "x".repeat(600))), None);
    }

    #[test]
    fn secrets_and_passwords_are_not_shown() {
        let made = secret().mint(Some("ann"), Time(0));
        let shown = format!("{:?} {:?} {:?}", secret(), made, made.key("r"));
        assert!(
            !shown.contains("north") && !shown.contains(&made.password),
            "{shown}"
        );
    }

    #[test]
    fn a_secret_is_one_printable_line() {
        for text in ["", " x", "x\n", "a\0b", &"x".repeat(1025)] {
            assert_eq!(text.parse::<Secret>(), Err(NotASecret), "{text:?}");
        }
    }
}
