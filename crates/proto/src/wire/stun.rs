//! STUN messages (RFC 8489 section 5): what ICE and TURN are spoken in.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+---------------------------+-------------------------------+
//! |0 0| method and class          | length without these 20 octets|
//! +-+-+---------------------------+-------------------------------+
//! | magic cookie 0x2112A442                                       |
//! +---------------------------------------------------------------+
//! | transaction id, 96 bits …                                     |
//! +-------------------------------+-------------------------------+
//! | attribute: type               | length                        |
//! +-------------------------------+-------------------------------+
//! | value, filled up to 4 octets …                                |
//! +---------------------------------------------------------------+
//! ```
//!
//! A message is read where it lies; nothing of it is copied. Only MESSAGE-INTEGRITY by HMAC-SHA1 is spoken, which every client of TURN has.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha1::Sha1;

/// Octets before the attributes.
pub const HEADER: usize = 20;
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
/// What a message's CRC is mixed with (section 14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;
/// Octets of an HMAC-SHA1.
const INTEGRITY: usize = 20;

/// Types of attributes (RFC 8489 section 18.3; those of TURN are in [`turn`](super::turn)).
pub mod attribute {
    /// MAPPED-ADDRESS, of clients before RFC 5389.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// REALM.
    pub const REALM: u16 = 0x0014;
    /// NONCE.
    pub const NONCE: u16 = 0x0015;
    /// MESSAGE-INTEGRITY-SHA256: not spoken.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// SOFTWARE.
    pub const SOFTWARE: u16 = 0x8022;
    /// FINGERPRINT.
    pub const FINGERPRINT: u16 = 0x8028;
}

/// What a message is to who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// To be answered.
    Request,
    /// Not to be answered.
    Indication,
    /// An answer.
    Success,
    /// A refusal.
    Error,
}

/// What a message is about; 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// Which address do you see?
    pub const BINDING: Self = Self(0x001);
    /// TURN: give me a relayed address.
    pub const ALLOCATE: Self = Self(0x003);
    /// TURN: keep it for me, or not.
    pub const REFRESH: Self = Self(0x004);
    /// TURN: to a peer.
    pub const SEND: Self = Self(0x006);
    /// TURN: from a peer.
    pub const DATA: Self = Self(0x007);
    /// TURN: let these peers send to me.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// TURN: a short form for one peer.
    pub const CHANNEL_BIND: Self = Self(0x009);
}

/// Chosen by who asks, and in the answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// Draws one from a generator that must be cryptographically secure: who guesses it can answer in the server's place.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut octets = [0; 12];
        rng.fill_bytes(&mut octets);
        Self(octets)
    }
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No header of STUN: too short, other first bits, another cookie.
    #[error("not a STUN message")]
    Header,
    /// The length is not that of what came.
    #[error("the length is wrong")]
    Length,
    /// An attribute does not end within the message.
    #[error("an attribute is cut off")]
    Attribute,
    /// The CRC is wrong: STUN by chance only.
    #[error("the fingerprint is wrong")]
    Fingerprint,
}

/// A message that was read. Attributes after the integrity do not count (section 14.5), but for FINGERPRINT.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    octets: &'a [u8],
    class: Class,
    method: Method,
    /// Where the attributes that count end.
    end: usize,
    has_integrity: bool,
    has_fingerprint: bool,
}

/// One attribute. `Debug` shows no value: there are names among them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type.
    pub kind: u16,
    /// Its value, without what fills it up.
    pub value: &'a [u8],
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute")
            .field("kind", &self.kind)
            .field("octets", &self.value.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Message<'a> {
    /// Takes exactly one message. A FINGERPRINT is checked where there is one.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(octets: &'a [u8]) -> Result<Self, Malformed> {
        let header = octets.first_chunk::<HEADER>().ok_or(Malformed::Header)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        if kind & 0xc000 != 0 || header[4..8] != COOKIE {
            return Err(Malformed::Header);
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length % 4 != 0 || HEADER + length != octets.len() {
            return Err(Malformed::Length);
        }
        let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
            (false, false) => Class::Request,
            (false, true) => Class::Indication,
            (true, false) => Class::Success,
            (true, true) => Class::Error,
        };
        let method = Method(kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2);
        let mut message = Self {
            octets,
            class,
            method,
            end: octets.len(),
            has_integrity: false,
            has_fingerprint: false,
        };
        let mut at = HEADER;
        while at < octets.len() {
            let (attribute, next) = attribute_at(octets, at).ok_or(Malformed::Attribute)?;
            match attribute.kind {
                attribute::MESSAGE_INTEGRITY if !message.has_integrity => {
                    if attribute.value.len() != INTEGRITY {
                        return Err(Malformed::Attribute);
                    }
                    message.has_integrity = true;
                    message.end = at;
                }
                attribute::FINGERPRINT => {
                    if attribute.value != fingerprint(&octets[..at]) || next != octets.len() {
                        return Err(Malformed::Fingerprint);
                    }
                    message.has_fingerprint = true;
                    message.end = message.end.min(at);
                }
                _ => {}
            }
            at = next;
        }
        Ok(message)
    }

    /// What it is to us.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What it is about.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Which transaction it belongs to.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.octets[8..HEADER]);
        TransactionId(id)
    }

    /// The attributes that count, in order, without integrity and fingerprint.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let octets = &self.octets[..self.end];
        let mut at = HEADER;
        std::iter::from_fn(move || {
            let (attribute, next) = attribute_at(octets, at)?;
            at = next;
            Some(attribute)
        })
    }

    /// The value of the first attribute of a type: further ones do not count (section 5).
    #[must_use]
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes()
            .find(|attribute| attribute.kind == kind)
            .map(|attribute| attribute.value)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.attribute(kind)?).ok()
    }

    /// The same as a number of 32 bits.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.attribute(kind)?.try_into().ok()?))
    }

    /// An address that is XORed (section 14.2), as in XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn xor_address(&self, kind: u16) -> Option<SocketAddr> {
        read_xor_address(self.attribute(kind)?, self.transaction_id())
    }

    /// All addresses of a type; none for one that is no address.
    pub fn xor_addresses(&self, kind: u16) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
        let id = self.transaction_id();
        self.attributes()
            .filter(move |attribute| attribute.kind == kind)
            .map(move |attribute| read_xor_address(attribute.value, id))
    }

    /// Code and reason of a refusal (section 14.8).
    #[must_use]
    pub fn error(&self) -> Option<(u16, &'a str)> {
        let (head, reason) = self
            .attribute(attribute::ERROR_CODE)?
            .split_first_chunk::<4>()?;
        let (class, number) = (u16::from(head[2] & 0x07), u16::from(head[3]));
        let is_code = (3..=6).contains(&class) && number < 100;
        is_code.then_some((
            class * 100 + number,
            std::str::from_utf8(reason).unwrap_or_default(),
        ))
    }

    /// Types of attributes that must be understood (section 14) and are not among `known`.
    pub fn unknown<'b>(&self, known: &'b [u16]) -> impl Iterator<Item = u16> + use<'a, 'b> {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(|kind| *kind < 0x8000 && !known.contains(kind))
    }

    /// Whether there is a MESSAGE-INTEGRITY at all.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.has_integrity
    }

    /// Whether it came with a FINGERPRINT, which then is right.
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Whether who has this key wrote it, up to the integrity (section 14.5). Takes the same time wherever the first difference is.
    #[must_use]
    pub fn is_signed_with(&self, key: &[u8]) -> bool {
        let Some((attribute, _)) = attribute_at(self.octets, self.end) else {
            return false;
        };
        self.has_integrity
            && integrity(key, &self.octets[..self.end])
                .verify_slice(attribute.value)
                .is_ok()
    }
}

/// Without the values: there may be names among them.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("class", &self.class)
            .field("method", &self.method)
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

fn attribute_at(octets: &[u8], at: usize) -> Option<(Attribute<'_>, usize)> {
    let (head, rest) = octets.get(at..)?.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let attribute = Attribute {
        kind: u16::from_be_bytes([head[0], head[1]]),
        value: rest.get(..length)?,
    };
    let next = at + 4 + length.next_multiple_of(4);
    (next <= octets.len()).then_some((attribute, next))
}

/// The HMAC over a message that is to end with the integrity after these octets.
fn integrity(key: &[u8], octets: &[u8]) -> Hmac<Sha1> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(&octets[..2]);
    mac.update(&length_with(octets, 4 + INTEGRITY).to_be_bytes());
    mac.update(&octets[4..]);
    mac
}

/// The CRC of a message that is to end with the fingerprint after these octets.
fn fingerprint(octets: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&octets[..2]);
    crc.update(&length_with(octets, 8).to_be_bytes());
    crc.update(&octets[4..]);
    (crc.finalize() ^ FINGERPRINT_MASK).to_be_bytes()
}

/// The length field of a message that gets so many more octets.
fn length_with(octets: &[u8], more: usize) -> u16 {
    (octets.len() - HEADER + more) as u16
}

/// Reads an address that is XORed with cookie and transaction.
#[must_use]
pub fn read_xor_address(value: &[u8], TransactionId(id): TransactionId) -> Option<SocketAddr> {
    let (head, rest) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2] ^ COOKIE[0], head[3] ^ COOKIE[1]]);
    let ip = match head[1] {
        1 => {
            let octets: [u8; 4] = rest.try_into().ok()?;
            IpAddr::V4((u32::from_be_bytes(octets) ^ u32::from_be_bytes(COOKIE)).into())
        }
        2 => {
            let octets: [u8; 16] = rest.try_into().ok()?;
            IpAddr::V6((u128::from_be_bytes(octets) ^ mask(id)).into())
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Writes it; the second is how many octets count.
pub(crate) fn xor_address(
    address: SocketAddr,
    TransactionId(id): TransactionId,
) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    let port = address.port().to_be_bytes();
    (value[2], value[3]) = (port[0] ^ COOKIE[0], port[1] ^ COOKIE[1]);
    match address.ip() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            let octets = u32::from(ip) ^ u32::from_be_bytes(COOKIE);
            value[4..8].copy_from_slice(&octets.to_be_bytes());
            (value, 8)
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..].copy_from_slice(&(u128::from(ip) ^ mask(id)).to_be_bytes());
            (value, 20)
        }
    }
}

fn mask(id: [u8; 12]) -> u128 {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&COOKIE);
    octets[4..].copy_from_slice(&id);
    u128::from_be_bytes(octets)
}

/// The header of a message with so many octets of attributes.
pub(crate) fn header(
    class: Class,
    Method(method): Method,
    TransactionId(id): TransactionId,
    length: u16,
) -> [u8; HEADER] {
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    let kind = method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | class;
    let mut octets = [0; HEADER];
    octets[..2].copy_from_slice(&kind.to_be_bytes());
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets[4..8].copy_from_slice(&COOKIE);
    octets[8..].copy_from_slice(&id);
    octets
}

/// Writes a message, attribute by attribute. MESSAGE-INTEGRITY and FINGERPRINT come last, in this order.
#[derive(Clone)]
pub struct Builder {
    octets: Vec<u8>,
    id: TransactionId,
}

impl Builder {
    /// A message without attributes.
    #[must_use]
    pub fn new(class: Class, method: Method, id: TransactionId) -> Self {
        let mut octets = Vec::with_capacity(128);
        octets.extend_from_slice(&header(class, method, id, 0));
        Self { octets, id }
    }

    /// Adds an attribute.
    ///
    /// # Panics
    /// When the message would be longer than its length field can say: 65,535 octets.
    #[must_use]
    pub fn put(mut self, kind: u16, value: &[u8]) -> Self {
        let padded = value.len().next_multiple_of(4);
        let length = self.octets.len() - HEADER + 4 + padded;
        let length = u16::try_from(length).expect("a message has at most 65,535 octets");
        self.octets.extend_from_slice(&kind.to_be_bytes());
        self.octets
            .extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(value);
        self.octets.resize(HEADER + usize::from(length), 0);
        self.octets[2..4].copy_from_slice(&length.to_be_bytes());
        self
    }

    /// Adds a number of 32 bits.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds an address, XORed (section 14.2).
    #[must_use]
    pub fn xor_address(self, kind: u16, address: SocketAddr) -> Self {
        let (value, length) = xor_address(address, self.id);
        self.put(kind, &value[..length])
    }

    /// Adds an ERROR-CODE (section 14.8).
    #[must_use]
    pub fn error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.put(attribute::ERROR_CODE, &value)
    }

    /// Adds a MESSAGE-INTEGRITY: what comes after it is not covered.
    #[must_use]
    pub fn sign(self, key: &[u8]) -> Self {
        let mac = integrity(key, &self.octets).finalize().into_bytes();
        self.put(attribute::MESSAGE_INTEGRITY, &mac)
    }

    /// Adds a FINGERPRINT, which must be the last.
    #[must_use]
    pub fn fingerprint(self) -> Self {
        let crc = fingerprint(&self.octets);
        self.put(attribute::FINGERPRINT, &crc)
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.octets
    }
}

/// Without the values.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::turn::credentials::Key;

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        section: String,
        hex: String,
        username: Option<String>,
        realm: Option<String>,
        password: String,
        address: Option<SocketAddr>,
    }

    impl Vector {
        fn octets(&self) -> Vec<u8> {
            let pair = |at| u8::from_str_radix(&self.hex[at..at + 2], 16).unwrap();
            (0..self.hex.len()).step_by(2).map(pair).collect()
        }

        fn key(&self) -> Vec<u8> {
            match (&self.username, &self.realm) {
                (Some(username), Some(realm)) => Key::new(username, realm, &self.password)
                    .as_bytes()
                    .to_vec(),
                _ => self.password.as_bytes().to_vec(),
            }
        }
    }

    fn vectors() -> Vec<Vector> {
        let text = include_str!("../../../../vectors/stun.json");
        serde_json::from_str::<Vectors>(text).unwrap().vectors
    }

    const ID: TransactionId = TransactionId([7; 12]);

    #[test]
    fn the_messages_of_rfc_5769_are_read_and_their_signatures_hold() {
        for vector in vectors() {
            let octets = vector.octets();
            let message = Message::parse(&octets).unwrap();
            assert_eq!(message.method(), Method::BINDING, "{}", vector.section);
            assert!(message.is_signed_with(&vector.key()), "{}", vector.section);
            assert!(!message.is_signed_with(b"another"), "{}", vector.section);
            let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS);
            assert_eq!(mapped, vector.address, "{}", vector.section);
            assert_eq!(message.text(attribute::REALM), vector.realm.as_deref());
        }
    }

    #[test]
    fn the_last_message_of_rfc_5769_is_written_octet_by_octet() {
        // The others fill up attributes with spaces.
        let vectors = vectors();
        let vector = vectors.last().unwrap();
        let octets = vector.octets();
        let read = Message::parse(&octets).unwrap();
        let written = read
            .attributes()
            .fold(
                Builder::new(read.class(), read.method(), read.transaction_id()),
                |builder, attribute| builder.put(attribute.kind, attribute.value),
            )
            .sign(&vector.key())
            .finish();
        assert_eq!(written, octets);
    }

    #[test]
    fn a_changed_octet_is_noticed_by_fingerprint_or_signature() {
        for vector in vectors() {
            let whole = vector.octets();
            // A fingerprint that is no longer called one is not missed: it comes after all that counts.
            let covered = Message::parse(&whole).unwrap().end + 4 + INTEGRITY;
            for at in 0..covered {
                let mut octets = whole.clone();
                octets[at] ^= 1;
                let holds = Message::parse(&octets)
                    .is_ok_and(|message| message.is_signed_with(&vector.key()));
                assert!(!holds, "{} at {at}", vector.section);
            }
        }
    }

    #[test]
    fn every_class_and_method_survives_the_wire() {
        for class in [
            Class::Request,
            Class::Indication,
            Class::Success,
            Class::Error,
        ] {
            for number in [0, 1, 8, 0x7f, 0x80, 0xf80, 0xfff] {
                let octets = Builder::new(class, Method(number), ID).finish();
                let message = Message::parse(&octets).unwrap();
                assert_eq!((message.class(), message.method()), (class, Method(number)));
            }
        }
    }

    #[test]
    fn addresses_of_both_families_survive_the_wire() {
        for text in ["192.0.2.1:1", "0.0.0.0:0", "[2001:db8::7]:65535", "[::]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let octets = Builder::new(Class::Success, Method::BINDING, ID)
                .xor_address(attribute::XOR_MAPPED_ADDRESS, address)
                .finish();
            let message = Message::parse(&octets).unwrap();
            let read = message.xor_address(attribute::XOR_MAPPED_ADDRESS);
            assert_eq!(read, Some(address));
        }
    }

    #[test]
    fn what_follows_the_integrity_does_not_count() {
        let octets = Builder::new(Class::Request, Method::ALLOCATE, ID)
            .put(attribute::USERNAME, b"ann")
            .sign(b"key")
            .put(attribute::REALM, b"smuggled")
            .fingerprint()
            .finish();
        let message = Message::parse(&octets).unwrap();
        assert!(message.is_signed_with(b"key") && message.has_fingerprint());
        assert_eq!(message.text(attribute::USERNAME), Some("ann"));
        assert_eq!(message.attribute(attribute::REALM), None);
        assert_eq!(message.attributes().count(), 1);
    }

    #[test]
    fn an_unsigned_message_is_signed_with_no_key() {
        let octets = Builder::new(Class::Request, Method::ALLOCATE, ID).finish();
        let message = Message::parse(&octets).unwrap();
        assert!(!message.has_integrity() && !message.is_signed_with(b""));
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let octets = Builder::new(Class::Request, Method::BINDING, ID)
            .put(attribute::USERNAME, b"ann")
            .put(0x7777, b"")
            .put(0x8777, b"")
            .finish();
        let message = Message::parse(&octets).unwrap();
        let unknown: Vec<_> = message.unknown(&[attribute::USERNAME]).collect();
        assert_eq!(unknown, [0x7777]);
    }

    #[test]
    fn a_message_that_is_cut_lengthened_or_of_another_protocol_is_refused() {
        let whole = Builder::new(Class::Request, Method::BINDING, ID)
            .put(attribute::USERNAME, b"annabel")
            .finish();
        for end in 0..whole.len() {
            assert!(Message::parse(&whole[..end]).is_err(), "{end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(Message::parse(&longer).unwrap_err(), Malformed::Length);
        let mut other = whole.clone();
        other[5] ^= 1;
        assert_eq!(Message::parse(&other).unwrap_err(), Malformed::Header);
        let mut beyond = whole;
        beyond[23] = 9;
        assert_eq!(Message::parse(&beyond).unwrap_err(), Malformed::Attribute);
    }

    #[test]
    fn a_refusal_has_a_code_and_a_reason() {
        let octets = Builder::new(Class::Error, Method::ALLOCATE, ID)
            .error(486, "Allocation Quota Reached")
            .finish();
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.error(), Some((486, "Allocation Quota Reached")));
    }
}
