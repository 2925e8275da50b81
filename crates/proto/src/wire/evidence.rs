//! The `peerage` member of OFFER and ANSWER payloads: a statement with what proves it, or a refusal.
//!
//! `docs/protocol/identity.md` section 4. Stock servers pass the member on, stock clients ignore it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::statement::MAX_STATEMENT;

/// Longest member, in bytes of JSON: a statement in base64 and the rest.
pub const MAX_MEMBER: usize = 8192;

/// A statement with its signature and, on a first visit, the MAC of the link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The statement's bytes, at most [`MAX_STATEMENT`].
    #[serde(with = "base64_bytes")]
    pub statement: Vec<u8>,
    /// Raw `r ‖ s` over the statement's bytes.
    #[serde(with = "base64_bytes")]
    pub signature: [u8; 64],
    /// HMAC-SHA256 over the statement's bytes under the link's MAC key.
    #[serde(
        with = "base64_option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub mac: Option<[u8; 32]>,
}

/// What an ANSWER says: the device accepts, or refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Accepted.
    Answer(Evidence),
    /// Refused; evidence comes with [`Code::Stale`] and, to a proven caller, [`Code::Gone`] alone.
    Refusal {
        /// Why.
        code: Code,
        /// A signed refusal statement.
        evidence: Option<Evidence>,
    },
}

/// Why a device refuses an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The offer breaks the protocol.
    Malformed,
    /// Unknown, expired, revoked or wrong link; unknown key; false signature or fingerprint.
    Denied,
    /// Proven, but old, early or repeated: may be tried once more with the nonce.
    Stale,
    /// The device has no room for another connection: later.
    Busy,
    /// A restart is for a connection that the device does not have, or not any more: a new one may be made.
    Gone,
}

/// A JSON text is no `peerage` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the `peerage` member is malformed")]
pub struct MemberError;

impl Evidence {
    /// Reads the member of an OFFER. Unknown members are ignored, repeated ones refused.
    ///
    /// # Errors
    /// The member is longer than [`MAX_MEMBER`] or malformed.
    pub fn parse(json: &str) -> Result<Self, MemberError> {
        parse(json)
    }

    /// Writes the member.
    pub fn emit(&self) -> Box<RawValue> {
        emit(self)
    }
}

impl Reply {
    /// Reads the member of an ANSWER. A code that is not in the list counts as [`Code::Denied`], so that a later one does not hang a caller.
    ///
    /// # Errors
    /// The member is longer than [`MAX_MEMBER`] or malformed.
    pub fn parse(json: &str) -> Result<Self, MemberError> {
        let member: ReplyMember = parse(json)?;
        let evidence = match (member.statement, member.signature) {
            (Some(Statement(statement)), Some(Signature(signature))) => Some(Evidence {
                statement,
                signature,
                mac: None,
            }),
            (None, None) => None,
            _ => return Err(MemberError),
        };
        match (member.refusal, evidence) {
            (Some(code), evidence) => Ok(Self::Refusal {
                code: Code::from_wire(&code),
                evidence,
            }),
            (None, Some(evidence)) => Ok(Self::Answer(evidence)),
            (None, None) => Err(MemberError),
        }
    }

    /// Writes the member.
    pub fn emit(&self) -> Box<RawValue> {
        match self {
            Self::Answer(evidence) => evidence.emit(),
            Self::Refusal { code, evidence } => emit(&ReplyMember {
                refusal: Some(code.as_str().to_owned()),
                statement: evidence
                    .as_ref()
                    .map(|evidence| Statement(evidence.statement.clone())),
                signature: evidence
                    .as_ref()
                    .map(|evidence| Signature(evidence.signature)),
            }),
        }
    }
}

impl Code {
    /// The code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Gone => "gone",
        }
    }

    fn from_wire(text: &str) -> Self {
        match text {
            "malformed" => Self::Malformed,
            "stale" => Self::Stale,
            "busy" => Self::Busy,
            "gone" => Self::Gone,
            _ => Self::Denied,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("statement", &self.statement.len())
            .field("mac", &self.mac.is_some())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct ReplyMember {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<Statement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Statement(#[serde(with = "base64_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Signature(#[serde(with = "base64_bytes")] [u8; 64]);

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, MemberError> {
    if json.len() > MAX_MEMBER {
        return Err(MemberError);
    }
    serde_json::from_str(json).map_err(|_| MemberError)
}

fn emit<T: Serialize>(member: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(member).expect("texts and nothing else always serialise")
}

/// Bytes as base64 text with padding.
mod base64_bytes {
    use std::borrow::Cow;

    use super::{Deserialize, Deserializer, Engine, MAX_STATEMENT, STANDARD, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(&*text)
            .map_err(|_| de::Error::custom("not base64"))?;
        if bytes.len() > MAX_STATEMENT {
            return Err(de::Error::custom("too long"));
        }
        T::try_from(bytes).map_err(|_| de::Error::custom("wrong length"))
    }
}

mod base64_option {
    use super::{Deserializer, Serializer, base64_bytes};

    pub(super) fn serialize<S: Serializer>(
        mac: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => base64_bytes::serialize(mac, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        base64_bytes::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn evidence(mac: Option<[u8; 32]>) -> Evidence {
        Evidence {
            statement: vec![1, 2, 3],
            signature: [5; 64],
            mac,
        }
    }

    #[test]
    fn the_member_of_an_offer_reads_back() {
        for evidence in [evidence(None), evidence(Some([6; 32]))] {
            assert_eq!(Evidence::parse(evidence.emit().get()), Ok(evidence));
        }
    }

    #[test]
    fn answers_and_refusals_read_back() {
        for reply in [
            Reply::Answer(evidence(None)),
            Reply::Refusal {
                code: Code::Denied,
                evidence: None,
            },
            Reply::Refusal {
                code: Code::Stale,
                evidence: Some(evidence(None)),
            },
        ] {
            assert_eq!(Reply::parse(reply.emit().get()), Ok(reply));
        }
        assert_eq!(
            Reply::Refusal {
                code: Code::Busy,
                evidence: None
            }
            .emit()
            .get(),
            r#"{"refusal":"busy"}"#
        );
    }

    #[test]
    fn a_code_of_a_later_version_counts_as_denied() {
        assert_eq!(
            Reply::parse(r#"{"refusal":"teapot","hint":1}"#),
            Ok(Reply::Refusal {
                code: Code::Denied,
                evidence: None
            })
        );
    }

    #[test]
    fn wrong_sizes_encodings_and_halves_are_malformed() {
        let signature = STANDARD.encode([5; 64]);
        let long = STANDARD.encode(vec![0; MAX_STATEMENT + 1]);
        for json in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"statement":"AQID"}"#,
            r#"{"statement":"AQI","signature":"SIG"}"#,
            r#"{"statement":"AQID","signature":"AQID"}"#,
            r#"{"statement":"AQI_","signature":"SIG"}"#,
            r#"{"statement":"AQID","signature":"SIG","mac":"AQID"}"#,
            r#"{"statement":"AQID","statement":"AQID","signature":"SIG"}"#,
            r#"{"statement":[1,2,3],"signature":"SIG"}"#,
            r#"{"statement":"LONG","signature":"SIG"}"#,
        ] {
            let json = json.replace("SIG", &signature).replace("LONG", &long);
            assert_eq!(Evidence::parse(&json), Err(MemberError), "{json}");
        }
        assert!(Reply::parse(&format!(r#"{{"signature":"{signature}"}}"#)).is_err());
        assert!(
            Evidence::parse(&format!(
                r#"{{"statement":"AQID","signature":"{signature}","mac":null}}"#
            ))
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = (Evidence::parse(&text), Reply::parse(&text));
        }
    }
}
