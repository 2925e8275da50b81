//! What two peers tell each other inside `OFFER`, `ANSWER` and `CANDIDATE`. Member order on emission is that of PeerJS 1.5; unknown members are ignored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Longest connection id in octets: 512, as a statement has room for. PeerJS makes 15.
const MAX_CONNECTION_ID: usize = 512;
/// Longest label in octets: 65,535, as DCEP has room for (RFC 8832 section 5.1).
const MAX_LABEL: usize = 65_535;
/// Longest SDP in octets: 64 KiB. A browser's data offer has about 600, one with many media sections some 20,000.
const MAX_SDP: usize = 65_536;
/// Longest candidate line in octets: 4 KiB. Usual are 100.
const MAX_CANDIDATE: usize = 4_096;
/// Longest base64 text of a `peerage` member: that of a statement of 4 KiB.
const MAX_ENCODED: usize = 5_464;

/// What a connection carries: the payload's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionType {
    /// One data channel.
    Data,
    /// Audio and video.
    Media,
}

/// A session description as browsers write it to JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// At most 64 KiB.
    pub sdp: String,
    /// `offer` or `answer`; checked by who applies it.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Description {
    /// An offer's description.
    #[must_use]
    pub fn offer(sdp: String) -> Self {
        Self {
            sdp,
            kind: "offer".to_owned(),
        }
    }

    /// An answer's description.
    #[must_use]
    pub fn answer(sdp: String) -> Self {
        Self {
            sdp,
            kind: "answer".to_owned(),
        }
    }
}

/// Payload of an `OFFER`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferPayload {
    /// The caller's description.
    pub sdp: Description,
    /// Data or media.
    #[serde(rename = "type")]
    pub connection_type: ConnectionType,
    /// The caller's name for the connection. 1 to 512 octets.
    pub connection_id: String,
    /// What the caller's application says about the connection: any JSON, not looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// The data channel's label; media offers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the data channel is ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliable: Option<bool>,
    /// `binary`, `json`, `raw`, `MsgPack`, or a name that the application gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialization: Option<String>,
    /// What the caller says under its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peerage: Option<PeerageMember>,
}

impl OfferPayload {
    /// Reads a frame's payload.
    ///
    /// # Errors
    /// A member is missing, of the wrong type or longer than its limit.
    pub fn parse(payload: &RawValue) -> Result<Self, PayloadError> {
        let offer: Self = read(payload)?;
        within("sdp", offer.sdp.sdp.len(), MAX_SDP)?;
        connection_id(&offer.connection_id)?;
        within(
            "label",
            offer.label.as_ref().map_or(0, String::len),
            MAX_LABEL,
        )?;
        within(
            "serialization",
            offer.serialization.as_ref().map_or(0, String::len),
            MAX_LABEL,
        )?;
        member(offer.peerage.as_ref())?;
        Ok(offer)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
}

/// Payload of an `ANSWER`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerPayload {
    /// The callee's description; a refusal has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<Description>,
    /// As in the offer.
    #[serde(rename = "type")]
    pub connection_type: ConnectionType,
    /// As in the offer.
    pub connection_id: String,
    /// What the callee says under its key, or why it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peerage: Option<PeerageMember>,
}

impl AnswerPayload {
    /// Reads a frame's payload.
    ///
    /// # Errors
    /// As [`OfferPayload::parse`].
    pub fn parse(payload: &RawValue) -> Result<Self, PayloadError> {
        let answer: Self = read(payload)?;
        within(
            "sdp",
            answer.sdp.as_ref().map_or(0, |sdp| sdp.sdp.len()),
            MAX_SDP,
        )?;
        connection_id(&answer.connection_id)?;
        member(answer.peerage.as_ref())?;
        Ok(answer)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
}

/// An ICE candidate as browsers write it to JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// `candidate:…`, at most 4 KiB; empty text marks the end of candidates.
    pub candidate: String,
    /// The media section it belongs to.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// The same by number.
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE generation it belongs to; some senders leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// Payload of a `CANDIDATE`. It carries no statement: candidates are hints, not promises.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidatePayload {
    /// The candidate.
    pub candidate: Candidate,
    /// As in the offer.
    #[serde(rename = "type")]
    pub connection_type: ConnectionType,
    /// As in the offer.
    pub connection_id: String,
}

impl CandidatePayload {
    /// Reads a frame's payload.
    ///
    /// # Errors
    /// As [`OfferPayload::parse`].
    pub fn parse(payload: &RawValue) -> Result<Self, PayloadError> {
        let candidate: Self = read(payload)?;
        let Candidate {
            candidate: line,
            sdp_mid,
            username_fragment,
            ..
        } = &candidate.candidate;
        within("candidate", line.len(), MAX_CANDIDATE)?;
        within(
            "sdpMid",
            sdp_mid.as_ref().map_or(0, String::len),
            MAX_CANDIDATE,
        )?;
        within(
            "usernameFragment",
            username_fragment.as_ref().map_or(0, String::len),
            MAX_CANDIDATE,
        )?;
        connection_id(&candidate.connection_id)?;
        Ok(candidate)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
}

/// The `peerage` member of an offer or answer, as in `docs/protocol/identity.md` section 4. Base64 texts stay as they came until asked for, so that
/// who receives a badly encoded one still knows which connection to refuse.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerageMember {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl PeerageMember {
    /// A statement, its signature and, in the offer of a first visit, the link's MAC.
    #[must_use]
    pub fn signed(statement: &[u8], signature: &[u8; 64], mac: Option<&[u8; 32]>) -> Self {
        Self {
            statement: Some(STANDARD.encode(statement)),
            signature: Some(STANDARD.encode(signature)),
            mac: mac.map(|mac| STANDARD.encode(mac)),
            refusal: None,
        }
    }

    /// A refusal with nothing signed.
    pub fn refused(code: impl Into<String>) -> Self {
        Self {
            refusal: Some(code.into()),
            ..Self::default()
        }
    }

    /// A refusal that is signed: `stale`.
    pub fn refused_signed(code: impl Into<String>, statement: &[u8], signature: &[u8; 64]) -> Self {
        Self {
            refusal: Some(code.into()),
            ..Self::signed(statement, signature, None)
        }
    }

    /// The statement's octets, if there is one.
    ///
    /// # Errors
    /// Not base64 with padding.
    pub fn statement(&self) -> Result<Option<Vec<u8>>, PeerageMemberError> {
        decode("statement", self.statement.as_ref())
    }

    /// The signature, if there is one.
    ///
    /// # Errors
    /// Not base64 with padding, or not 64 octets.
    pub fn signature(&self) -> Result<Option<[u8; 64]>, PeerageMemberError> {
        exact("signature", self.signature.as_ref())
    }

    /// The link's MAC, if there is one.
    ///
    /// # Errors
    /// Not base64 with padding, or not 32 octets.
    pub fn mac(&self) -> Result<Option<[u8; 32]>, PeerageMemberError> {
        exact("mac", self.mac.as_ref())
    }

    /// The refusal's code, if this is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}

/// Names what is there: a MAC must not reach a log, where whoever reads it could use it again.
impl fmt::Debug for PeerageMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerageMember")
            .field("statement", &self.statement.is_some())
            .field("signature", &self.signature.is_some())
            .field("mac", &self.mac.is_some())
            .field("refusal", &self.refusal)
            .finish()
    }
}

/// Why a part of a `peerage` member cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerageMemberError {
    /// The named part is not base64 with padding.
    #[error("{0} is not base64")]
    Encoding(&'static str),
    /// The named part has another length than it must have.
    #[error("{0} has the wrong length")]
    Length(&'static str),
}

/// Why a payload cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A member is missing or of the wrong type.
    #[error("payload is not what its frame's type asks for")]
    Json(#[source] serde_json::Error),
    /// A member is longer than its limit.
    #[error("{member} has {length} octets; at most {limit} are allowed")]
    TooLong {
        /// Which.
        member: &'static str,
        /// How long it is, in octets.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The connection id is empty.
    #[error("the connection id is empty")]
    NoConnectionId,
}

fn read<'a, T: Deserialize<'a>>(payload: &'a RawValue) -> Result<T, PayloadError> {
    serde_json::from_str(payload.get()).map_err(PayloadError::Json)
}

fn write<T: Serialize>(payload: &T) -> Box<RawValue> {
    // Structs of strings, numbers and raw JSON have no way to fail: no map keys, no foreign Serialize.
    serde_json::value::to_raw_value(payload).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn within(member: &'static str, length: usize, limit: usize) -> Result<(), PayloadError> {
    if length > limit {
        Err(PayloadError::TooLong {
            member,
            length,
            limit,
        })
    } else {
        Ok(())
    }
}

fn connection_id(id: &str) -> Result<(), PayloadError> {
    if id.is_empty() {
        return Err(PayloadError::NoConnectionId);
    }
    within("connectionId", id.len(), MAX_CONNECTION_ID)
}

fn member(member: Option<&PeerageMember>) -> Result<(), PayloadError> {
    let Some(PeerageMember {
        statement,
        signature,
        mac,
        refusal,
    }) = member
    else {
        return Ok(());
    };
    for (name, text) in [
        ("statement", statement),
        ("signature", signature),
        ("mac", mac),
        ("refusal", refusal),
    ] {
        within(name, text.as_ref().map_or(0, String::len), MAX_ENCODED)?;
    }
    Ok(())
}

fn decode(
    name: &'static str,
    text: Option<&String>,
) -> Result<Option<Vec<u8>>, PeerageMemberError> {
    text.map(|text| STANDARD.decode(text))
        .transpose()
        .map_err(|_| PeerageMemberError::Encoding(name))
}

fn exact<const N: usize>(
    name: &'static str,
    text: Option<&String>,
) -> Result<Option<[u8; N]>, PeerageMemberError> {
    let octets = decode(name, text)?;
    octets
        .map(|octets| {
            octets
                .try_into()
                .map_err(|_| PeerageMemberError::Length(name))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_offer_of_a_stock_client_reads_and_writes_back_the_same() {
        let text = r#"{"sdp":{"sdp":"v=0\r\n","type":"offer"},"type":"data","connectionId":"dc_f8t1vx7pu2p","metadata":{"room": 7},"label":"dc_f8t1vx7pu2p","reliable":false,"serialization":"binary"}"#;
        assert_eq!(
            OfferPayload::parse(&raw(text)).unwrap().to_raw().get(),
            text
        );
        let media = r#"{"sdp":{"sdp":"v=0","type":"offer"},"type":"media","connectionId":"mc_1"}"#;
        assert_eq!(
            OfferPayload::parse(&raw(media)).unwrap().to_raw().get(),
            media
        );
    }

    #[test]
    fn an_answer_and_a_candidate_of_a_stock_client_read_and_write_back_the_same() {
        let answer = r#"{"sdp":{"sdp":"v=0","type":"answer"},"type":"data","connectionId":"dc_x"}"#;
        assert_eq!(
            AnswerPayload::parse(&raw(answer)).unwrap().to_raw().get(),
            answer
        );
        let candidate = r#"{"candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"hrFr"},"type":"data","connectionId":"dc_x"}"#;
        assert_eq!(
            CandidatePayload::parse(&raw(candidate))
                .unwrap()
                .to_raw()
                .get(),
            candidate
        );
    }

    #[test]
    fn unknown_members_of_older_clients_are_ignored() {
        let text = r#"{"browser":"chrome","sdp":{"type":"answer","sdp":"v=0"},"type":"data","connectionId":"dc_x"}"#;
        assert!(AnswerPayload::parse(&raw(text)).is_ok());
    }

    #[test]
    fn a_refusal_has_a_code_and_no_sdp() {
        let refusal = AnswerPayload {
            sdp: None,
            connection_type: ConnectionType::Data,
            connection_id: "dc_x".to_owned(),
            peerage: Some(PeerageMember::refused("denied")),
        };
        let text = refusal.to_raw();
        assert_eq!(
            text.get(),
            r#"{"type":"data","connectionId":"dc_x","peerage":{"refusal":"denied"}}"#
        );
        assert_eq!(
            AnswerPayload::parse(&text)
                .unwrap()
                .peerage
                .unwrap()
                .refusal(),
            Some("denied")
        );
    }

    #[test]
    fn a_signed_member_keeps_its_octets() {
        let member = PeerageMember::signed(b"said", &[7; 64], Some(&[9; 32]));
        let back: PeerageMember =
            serde_json::from_str(&serde_json::to_string(&member).unwrap()).unwrap();
        assert_eq!(back.statement(), Ok(Some(b"said".to_vec())));
        assert_eq!(back.signature(), Ok(Some([7; 64])));
        assert_eq!(back.mac(), Ok(Some([9; 32])));
    }

    #[test]
    fn a_badly_encoded_part_is_known_for_what_it_is() {
        let member: PeerageMember =
            serde_json::from_str(r#"{"statement":"a","signature":"AAAA"}"#).unwrap();
        assert_eq!(
            member.statement(),
            Err(PeerageMemberError::Encoding("statement"))
        );
        assert_eq!(
            member.signature(),
            Err(PeerageMemberError::Length("signature"))
        );
        assert_eq!(member.mac(), Ok(None));
    }

    #[test]
    fn members_beyond_their_limits_are_refused() {
        let long = "x".repeat(MAX_SDP + 1);
        let sdp = format!(
            r#"{{"sdp":{{"sdp":"{long}","type":"answer"}},"type":"data","connectionId":"c"}}"#
        );
        assert!(matches!(
            AnswerPayload::parse(&raw(&sdp)),
            Err(PayloadError::TooLong { member: "sdp", .. })
        ));
        let id = format!(r#"{{"type":"data","connectionId":"{}"}}"#, "x".repeat(513));
        assert!(matches!(
            AnswerPayload::parse(&raw(&id)),
            Err(PayloadError::TooLong {
                member: "connectionId",
                ..
            })
        ));
        assert!(matches!(
            AnswerPayload::parse(&raw(r#"{"type":"data","connectionId":""}"#)),
            Err(PayloadError::NoConnectionId)
        ));
    }

    #[test]
    fn debug_output_does_not_show_a_mac() {
        let member = PeerageMember::signed(b"said", &[7; 64], Some(&[9; 32]));
        assert!(!format!("{member:?}").contains(&STANDARD.encode([9; 32])));
    }
}
