//! Rooms over data channels (`docs/protocol/rooms.md`): what members and hub say to each other.
//!
//! ```text
//! frame = type u8 ‖ what the type has      one binary message of the channel each
//! integer: RFC 9000, section 16, in its shortest form, at most 2^53 - 1
//! text: length integer ‖ UTF-8             json: a text that is JSON
//! body: the rest of the frame
//! ```
//!
//! [`FromMember`] and [`FromHub`] are the two directions; [`legacy`] is what PeerPyRTC's clients say instead.

mod codec;
mod from_hub;
mod from_member;
pub mod legacy;
mod name;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

pub use from_hub::{
    Answered, Entry, FromHub, LeftReason, Members, Message, RefusedCode, Resumed, UnackedReason,
    Welcome,
};
pub use from_member::{Answer, Emit, FromMember, Hello, To};
pub use name::{
    Epoch, MemberNumber, NAME_MAX, Name, NameError, RESERVED, ROOM_NAME_MAX, RoomName, Token,
};

/// Label of the channel: ordered, reliable, binary messages.
pub const LABEL: &str = "peerage-room";

/// Label of the channel that may lose and reorder: unordered, no retransmission.
pub const FAST_LABEL: &str = "peerage-room-fast";

/// Of the protocol.
pub const VERSION: u8 = 1;

/// Largest integer: what JavaScript counts exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Most octets of a frame from a member, unless a hub allows less.
pub const FROM_MEMBER_MAX: usize = 64 * 1024;

/// Most octets of a frame from the hub: what one message of a channel carries.
pub const FROM_HUB_MAX: usize = 256 * 1024;

/// Most octets of a member's metadata.
pub const METADATA_MAX: usize = 16 * 1024;

/// Most octets of an event's name.
pub const EVENT_MAX: usize = 256;

/// Most members that one message names as its receivers.
pub const TARGETS_MAX: usize = 1_024;

/// Events that are the room's own: a peer's message under one of these names is never delivered.
pub const RESERVED_EVENTS: [&str; 9] = [
    "joined", "left", "host", "metadata", "message", "state", "missed", "closed", "error",
];

/// Why octets are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It ends too early, or something is left over.
    #[error("a frame that ends elsewhere than its fields do")]
    Length,
    /// It, or a text in it, is longer than allowed.
    #[error("a frame, name, event or metadata that is too long")]
    TooLong,
    /// An integer above 2^53 - 1, or in more octets than it needs.
    #[error("an integer too large, or not in its shortest form")]
    Integer,
    /// A text that is no UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// A body or metadata that is not JSON.
    #[error("what should be JSON is none")]
    Json,
    /// No name for a member.
    #[error("what should be a member's name is none")]
    Name,
    /// Flags that this version does not know, or that exclude each other.
    #[error("flags that are not known, or exclude each other")]
    Flags,
    /// A number that stands for nothing here.
    #[error("a number that has no meaning here")]
    Value,
    /// HELLO or WELCOME of another version.
    #[error("another version of the protocol")]
    Version,
}

/// A text that is JSON (RFC 8259), as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(ByteString);

impl Json {
    /// `null`.
    pub const NULL: Self = Self(ByteString::from_static("null"));

    /// Takes a text if it is JSON.
    #[must_use]
    pub fn parse(text: ByteString) -> Option<Self> {
        serde_json::from_str::<&RawValue>(&text).ok()?;
        Some(Self(text))
    }

    /// A text as a JSON string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    #[must_use]
    pub fn text(&self) -> &ByteString {
        &self.0
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an event: a text of 1 to [`EVENT_MAX`] octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event(ByteString);

impl Event {
    /// Takes a text of the right length. Those of [`RESERVED_EVENTS`] pass: old clients may use them among themselves.
    #[must_use]
    pub fn parse(text: ByteString) -> Option<Self> {
        (1..=EVENT_MAX).contains(&text.len()).then_some(Self(text))
    }

    /// Whether it is one of the room's own.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        RESERVED_EVENTS.contains(&&*self.0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    #[must_use]
    pub fn text(&self) -> &ByteString {
        &self.0
    }
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A value.
    Json(Json),
    /// Octets.
    Bytes(Bytes),
}

impl Body {
    /// What is said, as it stands in a frame.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Json(json) => json.as_str().as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    fn flag(&self) -> u8 {
        match self {
            Self::Json(_) => 0,
            Self::Bytes(_) => flags::BYTES,
        }
    }

    fn parse(octets: Bytes, flags: u8) -> Result<Self, FrameError> {
        if flags & flags::BYTES != 0 {
            return Ok(Self::Bytes(octets));
        }
        let json = Json::parse(codec::text(octets)?).ok_or(FrameError::Json)?;
        Ok(Self::Json(json))
    }
}

/// What is said in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A message without an event's name.
    Chat(Body),
    /// An event.
    Event(Event, Body),
}

impl Said {
    /// What it carries.
    #[must_use]
    pub const fn body(&self) -> &Body {
        match self {
            Self::Chat(body) | Self::Event(_, body) => body,
        }
    }

    /// The event's name.
    #[must_use]
    pub const fn event(&self) -> Option<&Event> {
        match self {
            Self::Chat(_) => None,
            Self::Event(event, _) => Some(event),
        }
    }

    /// The same with another body.
    #[must_use]
    pub fn with(self, body: Body) -> Self {
        match self {
            Self::Chat(_) => Self::Chat(body),
            Self::Event(event, _) => Self::Event(event, body),
        }
    }

    fn flags(&self) -> u8 {
        let chat = match self {
            Self::Chat(_) => flags::CHAT,
            Self::Event(..) => 0,
        };
        chat | self.body().flag()
    }

    fn octets(&self) -> usize {
        self.event().map_or(0, |event| event.as_str().len()) + self.body().octets().len()
    }

    /// `event text ‖ body`, at the end of a frame.
    fn read(reader: &mut codec::Reader, flags: u8) -> Result<Self, FrameError> {
        let event = reader.text(EVENT_MAX)?;
        let body = Body::parse(reader.rest(), flags)?;
        match (flags & flags::CHAT != 0, Event::parse(event)) {
            (true, None) => Ok(Self::Chat(body)),
            (false, Some(event)) => Ok(Self::Event(event, body)),
            _ => Err(FrameError::Flags),
        }
    }

    fn write(&self, writer: &mut codec::Writer) {
        writer.text(self.event().map_or("", Event::as_str));
        writer.octets(self.body().octets());
    }
}

/// Bits of the octet `flags`.
mod flags {
    /// The sender wants an acknowledgement, and its number follows.
    pub(super) const ACK: u8 = 1;
    /// The body is octets, else JSON.
    pub(super) const BYTES: u8 = 2;
    /// No event: its text is empty.
    pub(super) const CHAT: u8 = 4;
    /// May be lost.
    pub(super) const FAST: u8 = 8;

    /// Of EMIT and MESSAGE.
    pub(super) const fn are_known(flags: u8) -> bool {
        flags & !(ACK | BYTES | CHAT | FAST) == 0 && flags & (ACK | FAST) != ACK | FAST
    }
}
