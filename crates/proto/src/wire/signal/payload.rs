//! What two peers tell each other inside `OFFER`, `ANSWER` and `CANDIDATE`. Member order on emission is that of PeerJS 1.5; unknown members are ignored.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::wire::id::ConnectionId;

/// Longest label in octets: 65,535, as DCEP has room for (RFC 8832 section 5.1).
const MAX_LABEL: usize = 65_535;
/// Longest SDP in octets: 64 KiB. A browser's data offer has about 600, one with many media sections some 20,000.
const MAX_SDP: usize = 65_536;
/// Longest candidate line in octets: 4 KiB. Usual are 100.
const MAX_CANDIDATE: usize = 4_096;

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
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferPayload {
    /// The caller's description.
    pub sdp: Description,
    /// Data or media.
    #[serde(rename = "type")]
    pub connection_type: ConnectionType,
    /// The caller's name for the connection.
    pub connection_id: ConnectionId,
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
    /// Which description of the connection this is: 0 for the first one of who can restart ICE, 1 and more for restarts, none from who cannot.
    #[serde(
        default,
        deserialize_with = "generation",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation: Option<u32>,
    /// What the caller says under its key, still JSON: [`Evidence`](crate::wire::evidence::Evidence) reads it, at most 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peerage: Option<Box<RawValue>>,
}

impl OfferPayload {
    /// Reads a frame's payload.
    ///
    /// # Errors
    /// A member is missing, of the wrong type or longer than its limit.
    pub fn parse(payload: &RawValue) -> Result<Self, PayloadError> {
        let offer: Self = read(payload)?;
        within("sdp", offer.sdp.sdp.len(), MAX_SDP)?;
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
        Ok(offer)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
}

/// Without the description, the metadata and the proof: they hold addresses and what could be used again.
impl fmt::Debug for OfferPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfferPayload")
            .field("connection_type", &self.connection_type)
            .field("connection_id", &self.connection_id)
            .field("generation", &self.generation)
            .field("peerage", &self.peerage.is_some())
            .finish_non_exhaustive()
    }
}

/// Payload of an `ANSWER`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerPayload {
    /// The callee's description; a refusal has none, and who asks for a restart neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<Description>,
    /// As in the offer.
    #[serde(rename = "type")]
    pub connection_type: ConnectionType,
    /// As in the offer.
    pub connection_id: ConnectionId,
    /// The offer's again. An answer with nothing else in it asks the caller for a restart (`docs/protocol/restart.md`).
    #[serde(
        default,
        deserialize_with = "generation",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation: Option<u32>,
    /// What the callee says under its key, or why it refuses, still JSON: [`Reply`](crate::wire::evidence::Reply) reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peerage: Option<Box<RawValue>>,
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
        Ok(answer)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
}

/// Without the description, the metadata and the proof: they hold addresses and what could be used again.
impl fmt::Debug for AnswerPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerPayload")
            .field("connection_type", &self.connection_type)
            .field("connection_id", &self.connection_id)
            .field("generation", &self.generation)
            .field("peerage", &self.peerage.is_some())
            .finish_non_exhaustive()
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
    pub connection_id: ConnectionId,
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
        Ok(candidate)
    }

    /// The payload for a frame.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        write(self)
    }
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
}

/// A member that is there is a number: `null` is none, as everything else.
fn generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    u32::deserialize(deserializer).map(Some)
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
    fn a_generation_is_a_plain_number_or_not_there() {
        let offer = |member: &str| {
            let text = format!(
                r#"{{"sdp":{{"sdp":"v=0","type":"offer"}},"type":"data","connectionId":"dc_x","label":"l"{member}}}"#
            );
            let offer = OfferPayload::parse(&raw(&text));
            offer.map(|offer| {
                assert_eq!(offer.to_raw().get(), text);
                offer.generation
            })
        };
        assert_eq!(offer("").unwrap(), None);
        assert_eq!(offer(r#","generation":0"#).unwrap(), Some(0));
        assert_eq!(
            offer(r#","generation":4294967295"#).unwrap(),
            Some(u32::MAX)
        );
        for text in ["null", "-1", "1.5", "\"1\"", "4294967296", "1e3", "[1]"] {
            assert!(
                offer(&format!(r#","generation":{text}"#)).is_err(),
                "{text}"
            );
        }
        let request = r#"{"type":"data","connectionId":"dc_x","generation":3}"#;
        let answer = AnswerPayload::parse(&raw(request)).unwrap();
        assert!(answer.sdp.is_none() && answer.generation == Some(3));
        assert_eq!(answer.to_raw().get(), request);
    }

    #[test]
    fn a_refusal_has_no_sdp() {
        let refusal = r#"{"type":"data","connectionId":"dc_x","peerage":{"refusal":"denied"}}"#;
        let answer = AnswerPayload::parse(&raw(refusal)).unwrap();
        assert!(answer.sdp.is_none());
        assert_eq!(answer.to_raw().get(), refusal);
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
        assert!(AnswerPayload::parse(&raw(&id)).is_err());
        assert!(AnswerPayload::parse(&raw(r#"{"type":"data","connectionId":""}"#)).is_err());
    }

    #[test]
    fn debug_output_shows_neither_addresses_nor_proofs() {
        let text = r#"{"sdp":{"sdp":"192.0.2.1","type":"answer"},"type":"data","connectionId":"c","peerage":{"mac":"AAAA"}}"#;
        let shown = format!("{:?}", AnswerPayload::parse(&raw(text)).unwrap());
        assert!(
            !shown.contains("192.0.2.1") && !shown.contains("AAAA"),
            "{shown}"
        );
    }
}
