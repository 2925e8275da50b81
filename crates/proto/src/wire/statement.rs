//! What a peer says under its key: one byte string, made once, signed and carried exactly as it is.
//!
//! ```text
//!  0               1               2
//!  0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 ...
//! +---------------+---------------+----------------
//! |        length (u16 BE)        | octets ...        repeated, one per field, in order, none left out
//! +---------------+---------------+----------------
//! ```
//!
//! The first field is the context (`peerage/1 offer`, …) and decides the others; `docs/protocol/identity.md` section 3 has the table.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    id::{ConnectionId, Kid, PeerId, Token},
    sdp::Fingerprint,
};

/// Longest statement, in bytes.
pub const MAX_STATEMENT: usize = 4096;

/// Longest text field, in bytes.
pub const MAX_TEXT: usize = 512;

/// A public key as statements carry it: the uncompressed point of SEC 1 section 2.3.3, not yet known to be on the curve.
pub type KeyBytes = [u8; 65];

/// Wall-clock time: milliseconds since 1970-01-01T00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// This time plus a span; saturates.
    pub fn after(self, span: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was, zero when it is in the future.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// 16 random bytes that make a statement unlike any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// Draws a nonce.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({:032x})", u128::from_be_bytes(self.0))
    }
}

/// SHA-256 of a statement's bytes: how an answer names its offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementHash(pub [u8; 32]);

impl StatementHash {
    /// Hashes a statement's bytes.
    pub fn of(statement: &[u8]) -> Self {
        Self(Sha256::digest(statement).into())
    }
}

/// Any statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A caller asks for a connection.
    Offer(Offer),
    /// A device accepts one.
    Answer(Answer),
    /// A device asks a proven caller to try again.
    Refusal(Refusal),
    /// The owner of a key asks a server for its id.
    Register(Register),
}

/// What a caller states in its OFFER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The caller's public key.
    pub key: KeyBytes,
    /// Hash of the caller's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// The caller's id.
    pub from: PeerId,
    /// The called id.
    pub to: PeerId,
    /// The connection this is about.
    pub connection: ConnectionId,
    /// Label of the data channel, 1 to [`MAX_TEXT`] bytes.
    pub label: String,
    /// The link whose MAC comes along, on a first visit.
    pub kid: Option<Kid>,
    /// When the statement was made, by the caller's clock.
    pub time: Time,
    /// Makes the statement unique.
    pub nonce: Nonce,
    /// The nonce of the refusal that asked for this second try.
    pub reply: Option<Nonce>,
    /// That this is a restart of a connection that stands: the context is another then, and no link's MAC comes along.
    pub restart: Option<Restart>,
}

/// What a caller states beside the rest when it restarts ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Which one of the connection's: rises with each, from 1.
    pub generation: u32,
    /// The description that goes with it: nobody may change that on its way.
    pub description: DescriptionHash,
}

/// SHA-256 of a description's text as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptionHash(pub [u8; 32]);

impl DescriptionHash {
    /// Hashes a description's text.
    pub fn of(sdp: &str) -> Self {
        Self(Sha256::digest(sdp).into())
    }
}

/// What a device states in its ANSWER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The device's public key.
    pub key: KeyBytes,
    /// Hash of the device's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// The device's id.
    pub from: PeerId,
    /// The caller's id.
    pub to: PeerId,
    /// The connection this is about.
    pub connection: ConnectionId,
    /// Label of the data channel, as in the offer.
    pub label: String,
    /// The offer's kid again.
    pub kid: Option<Kid>,
    /// When the statement was made, by the device's clock.
    pub time: Time,
    /// Makes the statement unique.
    pub nonce: Nonce,
    /// The offer that is answered.
    pub reply: StatementHash,
    /// In the answer to a restart, whose context is another: the description that goes with it.
    pub description: Option<DescriptionHash>,
}

/// What a device states in a signed refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The device's public key.
    pub key: KeyBytes,
    /// The device's id.
    pub from: PeerId,
    /// The caller's id.
    pub to: PeerId,
    /// The connection this is about.
    pub connection: ConnectionId,
    /// A code of `docs/protocol/identity.md` section 9; only `stale` is ever signed.
    pub code: String,
    /// When the statement was made, by the device's clock.
    pub time: Time,
    /// What the second try must bring in `reply`.
    pub nonce: Nonce,
    /// The offer that is refused.
    pub reply: StatementHash,
}

/// What the owner of a key states to a server to get the key's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The public key whose id is asked for.
    pub key: KeyBytes,
    /// The server's name, without port.
    pub host: String,
    /// The id that is asked for.
    pub id: PeerId,
    /// The token that will hold the id.
    pub token: Token,
    /// When the statement was made.
    pub time: Time,
}

/// A byte string is no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Longer than [`MAX_STATEMENT`].
    #[error("a statement has at most {MAX_STATEMENT} bytes")]
    TooLong,
    /// The bytes end inside a field, or before the last one.
    #[error("the statement ends early")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the statement's last field")]
    LeftOver,
    /// The first field is no context of this version.
    #[error("the statement's context is unknown")]
    Context,
    /// A field's length is outside its column.
    #[error("field `{0}` of the statement has a wrong length")]
    Length(&'static str),
    /// A restart of generation 0, which is the first description's.
    #[error("a restart's generation is 1 or more")]
    Generation,
    /// A text field is not UTF-8.
    #[error("field `{0}` of the statement is not UTF-8")]
    Utf8(&'static str),
}

const OFFER: &[u8] = b"peerage/1 offer";
const ANSWER: &[u8] = b"peerage/1 answer";
const RESTART: &[u8] = b"peerage/1 restart";
const RESTARTED: &[u8] = b"peerage/1 restarted";
const REFUSAL: &[u8] = b"peerage/1 refusal";
const REGISTER: &[u8] = b"peerage/1 register";

impl Statement {
    /// Reads a statement. Does not verify anything: key, MAC and signature are judged over these same bytes by `identity`.
    ///
    /// # Errors
    /// The bytes are malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::TooLong);
        }
        let mut fields = Fields(bytes);
        let statement = match fields.next()? {
            context @ (OFFER | RESTART) => Self::Offer(Offer {
                key: fields.array("key")?,
                fingerprint: Fingerprint::new(fields.array("fingerprint")?),
                from: fields.peer("from")?,
                to: fields.peer("to")?,
                connection: fields.connection()?,
                label: fields.text("label")?.to_owned(),
                kid: fields.optional("kid")?.map(Kid::new),
                time: fields.time()?,
                nonce: Nonce(fields.array("nonce")?),
                reply: fields.optional("reply")?.map(Nonce),
                restart: if context == RESTART {
                    Some(fields.restart()?)
                } else {
                    None
                },
            }),
            context @ (ANSWER | RESTARTED) => Self::Answer(Answer {
                key: fields.array("key")?,
                fingerprint: Fingerprint::new(fields.array("fingerprint")?),
                from: fields.peer("from")?,
                to: fields.peer("to")?,
                connection: fields.connection()?,
                label: fields.text("label")?.to_owned(),
                kid: fields.optional("kid")?.map(Kid::new),
                time: fields.time()?,
                nonce: Nonce(fields.array("nonce")?),
                reply: StatementHash(fields.array("reply")?),
                description: if context == RESTARTED {
                    Some(fields.description()?)
                } else {
                    None
                },
            }),
            REFUSAL => Self::Refusal(Refusal {
                key: fields.array("key")?,
                from: fields.peer("from")?,
                to: fields.peer("to")?,
                connection: fields.connection()?,
                code: fields.text("code")?.to_owned(),
                time: fields.time()?,
                nonce: Nonce(fields.array("nonce")?),
                reply: StatementHash(fields.array("reply")?),
            }),
            REGISTER => Self::Register(Register {
                key: fields.array("key")?,
                host: fields.text("host")?.to_owned(),
                id: fields.peer("id")?,
                token: Token::parse(fields.text("token")?)
                    .map_err(|_| StatementError::Length("token"))?,
                time: fields.time()?,
            }),
            _ => return Err(StatementError::Context),
        };
        if fields.0.is_empty() {
            Ok(statement)
        } else {
            Err(StatementError::LeftOver)
        }
    }

    /// Writes the statement. Texts longer than [`MAX_TEXT`] make bytes that [`parse`](Self::parse) refuses.
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(384));
        match self {
            Self::Offer(offer) => {
                let reply: &[u8] = offer.reply.as_ref().map_or(&[], |nonce| &nonce.0);
                out.field(if offer.restart.is_some() {
                    RESTART
                } else {
                    OFFER
                })
                .field(&offer.key)
                .field(offer.fingerprint.as_bytes());
                out.text(offer.from.as_str())
                    .text(offer.to.as_str())
                    .text(offer.connection.as_str())
                    .text(&offer.label);
                out.kid(offer.kid)
                    .time(offer.time)
                    .field(&offer.nonce.0)
                    .field(reply);
                if let Some(restart) = &offer.restart {
                    out.field(&restart.generation.to_be_bytes())
                        .field(&restart.description.0);
                }
            }
            Self::Answer(answer) => {
                let is_restart = answer.description.is_some();
                out.field(if is_restart { RESTARTED } else { ANSWER })
                    .field(&answer.key)
                    .field(answer.fingerprint.as_bytes());
                out.text(answer.from.as_str())
                    .text(answer.to.as_str())
                    .text(answer.connection.as_str())
                    .text(&answer.label);
                out.kid(answer.kid)
                    .time(answer.time)
                    .field(&answer.nonce.0)
                    .field(&answer.reply.0);
                if let Some(description) = &answer.description {
                    out.field(&description.0);
                }
            }
            Self::Refusal(refusal) => {
                out.field(REFUSAL).field(&refusal.key);
                out.text(refusal.from.as_str())
                    .text(refusal.to.as_str())
                    .text(refusal.connection.as_str())
                    .text(&refusal.code);
                out.time(refusal.time)
                    .field(&refusal.nonce.0)
                    .field(&refusal.reply.0);
            }
            Self::Register(register) => {
                out.field(REGISTER).field(&register.key);
                out.text(&register.host)
                    .text(register.id.as_str())
                    .text(register.token.expose())
                    .time(register.time);
            }
        }
        out.0
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a [u8], StatementError> {
        let (length, rest) = self
            .0
            .split_first_chunk()
            .ok_or(StatementError::Truncated)?;
        let (field, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(StatementError::Truncated)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], StatementError> {
        self.next()?
            .try_into()
            .map_err(|_| StatementError::Length(name))
    }

    fn optional<const N: usize>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<[u8; N]>, StatementError> {
        match self.next()? {
            [] => Ok(None),
            field => field
                .try_into()
                .map(Some)
                .map_err(|_| StatementError::Length(name)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<&'a str, StatementError> {
        let field = self.next()?;
        if !(1..=MAX_TEXT).contains(&field.len()) {
            return Err(StatementError::Length(name));
        }
        std::str::from_utf8(field).map_err(|_| StatementError::Utf8(name))
    }

    fn peer(&mut self, name: &'static str) -> Result<PeerId, StatementError> {
        PeerId::parse(self.text(name)?).map_err(|_| StatementError::Length(name))
    }

    fn connection(&mut self) -> Result<ConnectionId, StatementError> {
        ConnectionId::parse(self.text("connection")?)
            .map_err(|_| StatementError::Length("connection"))
    }

    /// Generation 0 is no restart.
    fn restart(&mut self) -> Result<Restart, StatementError> {
        let generation = u32::from_be_bytes(self.array("generation")?);
        if generation == 0 {
            return Err(StatementError::Generation);
        }
        Ok(Restart {
            generation,
            description: self.description()?,
        })
    }

    fn description(&mut self) -> Result<DescriptionHash, StatementError> {
        self.array("description").map(DescriptionHash)
    }

    fn time(&mut self) -> Result<Time, StatementError> {
        self.array("time")
            .map(|bytes| Time(u64::from_be_bytes(bytes)))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn field(&mut self, octets: &[u8]) -> &mut Self {
        // No field comes near 64 KiB: ids are bounded by their types, labels by MAX_TEXT; what is longer is cut and refused when read.
        let length = octets.len().min(usize::from(u16::MAX));
        self.0.extend_from_slice(&(length as u16).to_be_bytes());
        self.0.extend_from_slice(&octets[..length]);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.field(text.as_bytes())
    }

    fn kid(&mut self, kid: Option<Kid>) -> &mut Self {
        self.field(kid.as_ref().map_or(&[], |kid| kid.as_bytes()))
    }

    fn time(&mut self, time: Time) -> &mut Self {
        self.field(&time.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer() -> Offer {
        Offer {
            key: [4; 65],
            fingerprint: Fingerprint::new([1; 32]),
            from: PeerId::parse("alice").expect("short"),
            to: PeerId::parse("bob").expect("short"),
            connection: ConnectionId::parse("dc_1").expect("short"),
            label: "peerage-http".into(),
            kid: Some(Kid::new([7; 8])),
            time: Time(1_800_000_000_000),
            nonce: Nonce([9; 16]),
            reply: None,
            restart: None,
        }
    }

    fn restart() -> Offer {
        Offer {
            kid: None,
            restart: Some(Restart {
                generation: 0x0102_0304,
                description: DescriptionHash([6; 32]),
            }),
            ..offer()
        }
    }

    /// The fields of a statement as byte strings, to be broken one by one.
    fn fields(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = Fields(bytes);
        let mut fields = Vec::new();
        while !rest.0.is_empty() {
            fields.push(rest.next().expect("well formed").to_vec());
        }
        fields
    }

    fn joined(fields: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        for field in fields {
            out.field(field);
        }
        out.0
    }

    #[test]
    fn every_kind_reads_back() {
        let answer = Answer {
            key: [4; 65],
            fingerprint: Fingerprint::new([1; 32]),
            from: offer().to,
            to: offer().from,
            connection: offer().connection,
            label: "peerage-http".into(),
            kid: None,
            time: Time(1),
            nonce: Nonce([2; 16]),
            reply: StatementHash([3; 32]),
            description: None,
        };
        let restarted = Answer {
            description: Some(DescriptionHash([5; 32])),
            ..answer.clone()
        };
        let refusal = Refusal {
            key: [4; 65],
            from: offer().to,
            to: offer().from,
            connection: offer().connection,
            code: "stale".into(),
            time: Time(u64::MAX),
            nonce: Nonce([2; 16]),
            reply: StatementHash([3; 32]),
        };
        let register = Register {
            key: [4; 65],
            host: "localhost".into(),
            id: offer().to,
            token: Token::parse("t").expect("short"),
            time: Time(0),
        };
        for statement in [
            Statement::Offer(offer()),
            Statement::Offer(restart()),
            Statement::Answer(answer),
            Statement::Answer(restarted),
            Statement::Refusal(refusal),
            Statement::Register(register),
        ] {
            assert_eq!(Statement::parse(&statement.emit()), Ok(statement));
        }
    }

    #[test]
    fn every_field_has_its_length_and_none_may_be_missing_or_added() {
        let good = fields(&Statement::Offer(offer()).emit());
        for index in 1..good.len() {
            for length in [1usize, 3, 7, 9, 15, 17, 31, 33, 64, 66, 513] {
                let mut broken = good.clone();
                broken[index] = vec![b'x'; length];
                let text = (3..=6).contains(&index);
                let fine = text && length <= MAX_TEXT;
                assert_eq!(
                    Statement::parse(&joined(&broken)).is_ok(),
                    fine,
                    "field {index} of {length}"
                );
            }
            let mut missing = good.clone();
            missing.remove(index);
            assert!(
                Statement::parse(&joined(&missing)).is_err(),
                "without field {index}"
            );
        }
        let mut added = good;
        added.push(Vec::new());
        assert_eq!(
            Statement::parse(&joined(&added)),
            Err(StatementError::LeftOver)
        );
    }

    #[test]
    fn a_restart_is_no_first_offer_and_the_reverse() {
        let mut first = fields(&Statement::Offer(offer()).emit());
        let mut later = fields(&Statement::Offer(restart()).emit());
        assert_eq!(later.len(), first.len() + 2);
        std::mem::swap(&mut first[0], &mut later[0]);
        assert_eq!(
            Statement::parse(&joined(&first)),
            Err(StatementError::Truncated)
        );
        assert_eq!(
            Statement::parse(&joined(&later)),
            Err(StatementError::LeftOver)
        );
        let mut zero = fields(&Statement::Offer(restart()).emit());
        zero[11] = vec![0; 4];
        assert_eq!(
            Statement::parse(&joined(&zero)),
            Err(StatementError::Generation)
        );
    }

    #[test]
    fn an_unknown_context_is_refused_whatever_follows() {
        let mut fields = fields(&Statement::Offer(offer()).emit());
        for context in ["peerage/2 offer", "peerage/1 offer ", "peerage/1 Offer", ""] {
            fields[0] = context.as_bytes().to_vec();
            assert_eq!(
                Statement::parse(&joined(&fields)),
                Err(StatementError::Context),
                "{context:?}"
            );
        }
    }

    #[test]
    fn an_offer_read_as_an_answer_fails() {
        let mut fields = fields(&Statement::Offer(offer()).emit());
        fields[0] = ANSWER.to_vec();
        assert_eq!(
            Statement::parse(&joined(&fields)),
            Err(StatementError::Length("reply"))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_parses_is_written_alike(noise in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400, cut in 0usize..400) {
            let good = Statement::Offer(offer()).emit();
            let mut flipped = good.clone();
            if let (Some(byte), Some(first)) = (flipped.get_mut(at), noise.first()) {
                *byte = *first;
            }
            for bytes in [&noise[..], &flipped, &good[..cut.min(good.len())]] {
                if let Ok(statement) = Statement::parse(bytes) {
                    prop_assert_eq!(statement.emit(), bytes);
                }
            }
        }
    }
}
