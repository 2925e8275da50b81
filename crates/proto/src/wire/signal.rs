//! PeerJS frames: the JSON objects that clients and the signalling server send each other, one a WebSocket message.
//!
//! ```json
//! {"type":"OFFER","src":"alice","dst":"bob","payload":{…}}
//! ```
//!
//! A frame is written with exactly these members in this order, absent ones left out, as peerjs-server writes them. The payload stays raw
//! text: a server relays it untouched, only the two ends parse it ([`OfferPayload`], [`AnswerPayload`], [`CandidatePayload`]).

mod payload;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use payload::{
    AnswerPayload, Candidate, CandidatePayload, ConnectionType, Description, OfferPayload,
    PayloadError,
};

use super::id::{MAX_ID, PeerId};

/// Longest frame in octets, either direction: 2 MiB. An SDP is a few kilobytes; the rest is room for the application's `metadata`.
pub const MAX_FRAME: usize = 2 * 1024 * 1024;

/// Longest frame that a server sends: it relays up to [`MAX_FRAME`] and puts in the sender's id, each octet of which may be six in JSON. Whoever takes less can
/// be cut from its server by anyone who sends it the longest frame.
pub const MAX_RELAYED: usize = MAX_FRAME + 6 * MAX_ID + r#","src":"""#.len();

/// What a frame is for: its `type` member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Server to client: registered; what waited for the id follows.
    Open,
    /// Server to client: refused, the payload's `msg` says why.
    Error,
    /// Server to client: another token holds this id.
    IdTaken,
    /// Server to client: wrong key. Only servers before 1.0 send it.
    InvalidKey,
    /// Client to server: still here.
    Heartbeat,
    /// A caller's description.
    Offer,
    /// A callee's description, or its refusal.
    Answer,
    /// One ICE candidate.
    Candidate,
    /// The sender ends its connections with the receiver; without `dst`, gives up its id.
    Leave,
    /// `src` did not come in time for what was sent to it.
    Expire,
    /// Client to server: wants to hear whether `dst` is there, and of each change. Not in peerjs-server: `docs/protocol/presence.md`.
    Subscribe,
    /// Client to server: no longer.
    Unsubscribe,
    /// Server to client: `src` is there, or not.
    Presence,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Open,
        Self::Error,
        Self::IdTaken,
        Self::InvalidKey,
        Self::Heartbeat,
        Self::Offer,
        Self::Answer,
        Self::Candidate,
        Self::Leave,
        Self::Expire,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Presence,
    ];

    /// The text of the `type` member.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Error => "ERROR",
            Self::IdTaken => "ID-TAKEN",
            Self::InvalidKey => "INVALID-KEY",
            Self::Heartbeat => "HEARTBEAT",
            Self::Offer => "OFFER",
            Self::Answer => "ANSWER",
            Self::Candidate => "CANDIDATE",
            Self::Leave => "LEAVE",
            Self::Expire => "EXPIRE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Presence => "PRESENCE",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One frame, owned: what a peer reads and writes. Either direction; a client leaves `src` out, the server sets it.
#[derive(Clone)]
pub struct Frame {
    /// What it is for.
    pub kind: Kind,
    /// Who sent it, as the server says.
    pub src: Option<PeerId>,
    /// Whom it is for.
    pub dst: Option<PeerId>,
    /// JSON text, not looked into.
    pub payload: Option<Box<RawValue>>,
}

impl Frame {
    /// Reads one frame from a text or binary WebSocket message. Members other than the four are dropped; of a repeated one the last counts.
    ///
    /// # Errors
    /// Longer than [`MAX_RELAYED`], not a JSON object, or a `type` that is not in [`Kind`].
    pub fn parse(text: &[u8]) -> Result<Self, FrameError> {
        FrameRef::parse(text).map(|frame| frame.to_owned())
    }

    /// A frame from a client to the peer `dst`.
    pub const fn to(dst: PeerId, kind: Kind, payload: Option<Box<RawValue>>) -> Self {
        Self {
            kind,
            src: None,
            dst: Some(dst),
            payload,
        }
    }

    /// A client's sign of life; without one for 60 to 90 seconds servers drop the client.
    #[must_use]
    pub const fn heartbeat() -> Self {
        Self {
            kind: Kind::Heartbeat,
            src: None,
            dst: None,
            payload: None,
        }
    }

    /// The text to send, without white space.
    #[must_use]
    pub fn to_text(&self) -> String {
        emit(
            self.kind,
            self.src.as_ref().map(PeerId::as_str),
            self.dst.as_ref().map(PeerId::as_str),
            self.payload.as_deref(),
        )
    }

    /// The `msg` of an `ERROR` or `ID-TAKEN` frame.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Reason {
            msg: String,
        }
        let payload = self.payload.as_ref()?;
        serde_json::from_str(payload.get())
            .ok()
            .map(|Reason { msg }| msg)
    }
}

/// Without the payload: it holds addresses and proofs.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("src", &self.src)
            .field("dst", &self.dst)
            .field(
                "payload",
                &self.payload.as_ref().map(|payload| payload.get().len()),
            )
            .finish()
    }
}

/// One frame as a view of its text: what a server needs to pass it on with one copy.
#[derive(Clone)]
pub struct FrameRef<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Who sent it, as the frame claims. 1 to 512 octets.
    pub src: Option<Cow<'a, str>>,
    /// Whom it is for. 1 to 512 octets.
    pub dst: Option<Cow<'a, str>>,
    /// JSON text, not looked into.
    pub payload: Option<&'a RawValue>,
}

impl<'a> FrameRef<'a> {
    /// As [`Frame::parse`].
    ///
    /// An id that is no text, empty or longer than [`MAX_ID`] counts as absent: there is nobody it could name.
    ///
    /// # Errors
    /// As [`Frame::parse`].
    pub fn parse(text: &'a [u8]) -> Result<Self, FrameError> {
        if text.len() > MAX_RELAYED {
            return Err(FrameError::TooLong(text.len()));
        }
        Self::from_text(str::from_utf8(text).map_err(|_| FrameError::Utf8)?)
    }

    /// As [`FrameRef::parse`], for what is known to be text.
    ///
    /// # Errors
    /// As [`FrameRef::parse`].
    pub fn from_text(text: &'a str) -> Result<Self, FrameError> {
        if text.len() > MAX_RELAYED {
            return Err(FrameError::TooLong(text.len()));
        }
        let members: Members<'a> = serde_json::from_str(text).map_err(FrameError::Json)?;
        let kind = members
            .kind
            .as_deref()
            .and_then(Kind::parse)
            .ok_or(FrameError::UnknownType)?;
        let id = |id: Option<Cow<'a, str>>| id.filter(|id| (1..=MAX_ID).contains(&id.len()));
        Ok(Self {
            kind,
            src: id(members.src),
            dst: id(members.dst),
            payload: members.payload,
        })
    }

    /// Whether a server writes such frames only for another peer.
    #[must_use]
    pub const fn is_relayed(&self) -> bool {
        matches!(
            self.kind,
            Kind::Offer | Kind::Answer | Kind::Candidate | Kind::Leave
        )
    }

    /// The text of this frame as `src` sent it.
    #[must_use]
    pub fn relayed_from(&self, src: &str) -> String {
        emit(self.kind, Some(src), self.dst.as_deref(), self.payload)
    }

    /// The frame without the text it was read from.
    #[must_use]
    pub fn to_owned(&self) -> Frame {
        let id = |id: Option<&str>| id.and_then(|id| PeerId::parse(id).ok());
        Frame {
            kind: self.kind,
            src: id(self.src.as_deref()),
            dst: id(self.dst.as_deref()),
            payload: self.payload.map(ToOwned::to_owned),
        }
    }
}

impl fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_owned().fmt(f)
    }
}

/// `{"type":"OPEN"}`
pub const OPEN: &str = r#"{"type":"OPEN"}"#;

/// What a server refuses a client with, in the words of peerjs-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// `id`, `token` or `key` is missing, empty or too long.
    MissingParameter,
    /// Not this server's key.
    WrongKey,
    /// Another token holds the id.
    IdTaken,
    /// The server has as many ids as it takes.
    Full,
    /// The id is the hash of a key, and there is no proof of owning it. Not in peerjs-server.
    ProofRequired,
}

impl Refused {
    /// The text of the frame.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingParameter => {
                r#"{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}"#
            }
            Self::WrongKey => r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#,
            Self::IdTaken => r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#,
            Self::Full => {
                r#"{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}"#
            }
            Self::ProofRequired => {
                r#"{"type":"ERROR","payload":{"msg":"This id belongs to a key: proof required"}}"#
            }
        }
    }
}

/// A refusal in other words than [`Refused`] has: `{"type":"ERROR","payload":{"msg":TEXT}}`.
#[must_use]
pub fn refusal(text: &str) -> String {
    let mut payload = r#"{"msg":"#.to_owned();
    push_json_string(&mut payload, text);
    payload.push('}');
    write(Kind::Error, None, None, Some(&payload))
}

/// The server's word that `missing` did not come: to whom it had sent something.
#[must_use]
pub fn expire(missing: &str, sender: &str) -> String {
    emit(Kind::Expire, Some(missing), Some(sender), None)
}

/// What a subscriber is told of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Connected, and lets others know.
    Online,
    /// Not connected, or does not let others know.
    Offline,
    /// The subscription was not taken: the subscriber, or the id, has as many as it may.
    Refused,
}

/// The server's word to `watcher` on `of`.
#[must_use]
pub fn presence(of: &str, watcher: &str, presence: Presence) -> String {
    let payload = match presence {
        Presence::Online => r#"{"online":true}"#,
        Presence::Offline => r#"{"online":false}"#,
        Presence::Refused => r#"{"online":false,"refused":"too many subscriptions"}"#,
    };
    write(Kind::Presence, Some(of), Some(watcher), Some(payload))
}

/// Why a message is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More than [`MAX_RELAYED`].
    #[error("frame of {0} octets; at most {MAX_RELAYED} are allowed")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("frame is not UTF-8")]
    Utf8,
    /// Not JSON, or its root is no object.
    #[error("frame is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// No `type`, or one that is not known.
    #[error("frame of an unknown type")]
    UnknownType,
}

fn emit(kind: Kind, src: Option<&str>, dst: Option<&str>, payload: Option<&RawValue>) -> String {
    write(kind, src, dst, payload.map(RawValue::get))
}

fn write(kind: Kind, src: Option<&str>, dst: Option<&str>, payload: Option<&str>) -> String {
    let length = |part: Option<&str>| part.map_or(0, |part| part.len() + 16);
    let mut text = String::with_capacity(32 + length(src) + length(dst) + length(payload));
    text.push_str(r#"{"type":""#);
    text.push_str(kind.as_str());
    text.push('"');
    for (name, id) in [(r#","src":"#, src), (r#","dst":"#, dst)] {
        if let Some(id) = id {
            text.push_str(name);
            push_json_string(&mut text, id);
        }
    }
    if let Some(payload) = payload {
        text.push_str(r#","payload":"#);
        text.push_str(payload);
    }
    text.push('}');
    text
}

fn push_json_string(text: &mut String, value: &str) {
    // Ids hardly ever need an escape; where one does, serde_json's are those of JSON.stringify.
    if value
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}

/// The four members, each absent when it is missing or of another JSON type: as lenient as a JavaScript server reading them.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Cow<'a, str>>,
    src: Option<Cow<'a, str>>,
    dst: Option<Cow<'a, str>>,
    payload: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Text(name)) = map.next_key()? {
            match name.as_ref() {
                "type" => members.kind = text_of(map.next_value()?),
                "src" => members.src = text_of(map.next_value()?),
                "dst" => members.dst = text_of(map.next_value()?),
                "payload" => members.payload = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get())
        .ok()
        .map(|Text(text)| text)
}

/// A string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(text: &str) -> String {
        FrameRef::parse(text.as_bytes())
            .unwrap()
            .relayed_from("alice")
    }

    #[test]
    fn a_relayed_frame_has_the_four_members_in_order_and_its_payload_untouched() {
        let sent = r#"{"type":"OFFER","payload":{ "b":1, "a":[1e400, "\ud800"] },"dst":"bob","src":"forged","extra":1}"#;
        assert_eq!(
            relayed(sent),
            r#"{"type":"OFFER","src":"alice","dst":"bob","payload":{ "b":1, "a":[1e400, "\ud800"] }}"#
        );
    }

    #[test]
    fn the_longest_frame_from_the_longest_id_is_as_long_as_a_client_must_take() {
        let frame = |filler: usize| {
            let filler = "x".repeat(filler);
            format!(r#"{{"type":"OFFER","dst":"bob","payload":"{filler}"}}"#)
        };
        let longest = frame(MAX_FRAME - frame(0).len());
        let relayed = FrameRef::parse(longest.as_bytes())
            .unwrap()
            .relayed_from(&"\u{1}".repeat(MAX_ID));
        assert_eq!(relayed.len(), MAX_RELAYED);
    }

    #[test]
    fn a_null_payload_is_a_payload_and_a_missing_one_is_left_out() {
        assert_eq!(
            relayed(r#"{"type":"OFFER","dst":"b","payload":null}"#),
            r#"{"type":"OFFER","src":"alice","dst":"b","payload":null}"#
        );
        assert_eq!(
            relayed(r#"{"type":"OFFER","dst":"b"}"#),
            r#"{"type":"OFFER","src":"alice","dst":"b"}"#
        );
    }

    #[test]
    fn ids_are_escaped_as_a_javascript_server_escapes_them() {
        assert_eq!(
            relayed(r#"{"type":"LEAVE","dst":"a\"\\\n\u0001é\u2028"}"#),
            "{\"type\":\"LEAVE\",\"src\":\"alice\",\"dst\":\"a\\\"\\\\\\n\\u0001é\u{2028}\"}"
        );
    }

    #[test]
    fn of_a_repeated_member_the_last_counts() {
        assert_eq!(
            relayed(r#"{"type":"ERROR","type":"LEAVE","dst":"x","\u0064st":"y"}"#),
            r#"{"type":"LEAVE","src":"alice","dst":"y"}"#
        );
    }

    #[test]
    fn an_id_that_names_nobody_counts_as_absent() {
        let long = "x".repeat(MAX_ID + 1);
        for dst in [
            "\"\"".to_owned(),
            "5".to_owned(),
            "null".to_owned(),
            "{\"a\":1}".to_owned(),
            format!("\"{long}\""),
        ] {
            let text = format!(r#"{{"type":"OFFER","dst":{dst}}}"#);
            assert_eq!(Frame::parse(text.as_bytes()).unwrap().dst, None, "{dst}");
        }
    }

    #[test]
    fn what_is_no_object_or_of_no_known_type_is_an_error() {
        for text in [
            "",
            "5",
            "null",
            "[]",
            "\"OPEN\"",
            "{not json",
            "{}",
            r#"{"type":"CHAT"}"#,
            r#"{"type":5}"#,
            "\u{feff}{}",
        ] {
            assert!(Frame::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Frame::parse(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']).is_err());
        assert!(matches!(
            Frame::parse(&vec![b' '; MAX_RELAYED + 1]),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn a_deeply_nested_payload_is_passed_on_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"type":"OFFER","dst":"b","payload":{deep}}}"#);
        assert_eq!(
            Frame::parse(text.as_bytes())
                .unwrap()
                .payload
                .unwrap()
                .get(),
            deep
        );
        let ignored = format!(r#"{{"type":"OFFER","dst":"b","other":{deep}}}"#);
        assert!(Frame::parse(ignored.as_bytes()).is_ok());
    }

    #[test]
    fn the_servers_own_frames_read_back() {
        for refused in [
            Refused::MissingParameter,
            Refused::WrongKey,
            Refused::Full,
            Refused::ProofRequired,
        ] {
            let frame = Frame::parse(refused.as_str().as_bytes()).unwrap();
            assert_eq!((frame.kind, frame.message().is_some()), (Kind::Error, true));
        }
        assert_eq!(
            Frame::parse(Refused::IdTaken.as_str().as_bytes())
                .unwrap()
                .kind,
            Kind::IdTaken
        );
        let other = Frame::parse(refusal("not \"you\"").as_bytes()).unwrap();
        assert_eq!(other.message().as_deref(), Some("not \"you\""));
        assert_eq!(Frame::parse(OPEN.as_bytes()).unwrap().to_text(), OPEN);
        assert_eq!(
            expire("late", "alice"),
            r#"{"type":"EXPIRE","src":"late","dst":"alice"}"#
        );
        assert_eq!(Frame::heartbeat().to_text(), r#"{"type":"HEARTBEAT"}"#);
    }

    #[test]
    fn debug_output_does_not_show_the_payload() {
        let frame =
            Frame::parse(br#"{"type":"OFFER","dst":"b","payload":{"mac":"secret"}}"#).unwrap();
        assert!(!format!("{frame:?}").contains("secret"));
    }
}
