//! What an application hears in a room.

use std::fmt;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use bytestring::ByteString;
use peerage_proto::room::member::Question;
use peerage_proto::wire::room::{Body, Json, LeftReason, Name};
use serde::{Serialize, de::DeserializeOwned};

use super::shared::Shared;
use super::{EmitError, RoomError, UnackedReason};

/// What happens in a room.
#[derive(Debug)]
#[non_exhaustive]
pub enum Happening {
    /// Somebody said something without an event's name.
    Message {
        /// Who.
        from: Sender,
        /// What.
        data: Data,
        /// Where an answer is wanted.
        ack: Option<Ack>,
    },
    /// Somebody said something under an event's name, which is none of the room's own.
    Event {
        /// The name.
        event: ByteString,
        /// Who.
        from: Sender,
        /// What.
        data: Data,
        /// Where an answer is wanted.
        ack: Option<Ack>,
    },
    /// A member came. Not told of those who were there before.
    Joined(RoomMember),
    /// A member is gone. Who comes back within ten seconds never was.
    Left {
        /// Who.
        member: RoomMember,
        /// How.
        reason: LeftReason,
    },
    /// A member says something else of itself; this one too.
    Metadata(RoomMember),
    /// Another is host.
    Host(Option<Name>),
    /// The connection is lost and looked for again, or is back.
    State(RoomState),
    /// The connection is back, but messages were said meanwhile that the hub no longer has, or it has forgotten this member. Ask somebody for the state, as at
    /// the beginning.
    Missed,
    /// An attempt to come back failed. The next one follows.
    Failed(RoomError),
}

/// Who said something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The server, which is no member.
    Server,
    /// A member.
    Member(Name),
}

/// How a room does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomState {
    /// What is said goes out.
    Joined,
    /// The connection is lost; what is said waits.
    Reconnecting,
    /// It is over.
    Closed,
}

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomMember {
    /// Its name, unique in the room.
    pub name: Name,
    /// What it says of itself.
    pub metadata: Json,
    /// When it joined, by the hub's clock.
    pub joined: SystemTime,
}

/// What was said: a value, or octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data(pub(super) Body);

/// The way back to one who wants an answer. The first answer counts; dropping it gives none.
pub struct Ack {
    pub(super) shared: Weak<Shared>,
    pub(super) question: Question,
}

/// What was answered to a question for several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// Who answered, and what, in the order in which they came.
    pub answers: Vec<(Sender, Data)>,
    /// Who was asked and will not answer.
    pub missing: Vec<(Sender, UnackedReason)>,
}

impl Data {
    /// The value, if it is one of this type.
    ///
    /// # Errors
    /// It is octets, or another kind of value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json().unwrap_or_default())
    }

    /// The value's JSON text; `None` for octets.
    pub fn json(&self) -> Option<&str> {
        match &self.0 {
            Body::Json(json) => Some(json.as_str()),
            Body::Bytes(_) => None,
        }
    }

    /// The octets; `None` for a value.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Body::Json(_) => None,
            Body::Bytes(bytes) => Some(bytes),
        }
    }

    pub(super) fn of(value: &(impl Serialize + ?Sized)) -> Result<Body, EmitError> {
        let json =
            serde_json::to_string(value).map_err(|error| EmitError::Json(error.to_string()))?;
        let json = Json::parse(json.into()).ok_or_else(|| EmitError::Json("it is none".into()))?;
        Ok(Body::Json(json))
    }
}

impl Sender {
    /// The member's name; `None` for the server.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Server => None,
            Self::Member(name) => Some(name),
        }
    }
}

/// `server`, which no member is called, or the name.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().map_or("server", Name::as_str))
    }
}

impl RoomMember {
    pub(super) fn new(name: Name, metadata: Json, joined: u64) -> Self {
        Self {
            name,
            metadata,
            joined: SystemTime::UNIX_EPOCH + Duration::from_millis(joined),
        }
    }
}

impl Ack {
    /// Answers with a value.
    ///
    /// # Errors
    /// The value cannot be written as JSON or is too large, too much waits to be sent, or the room is over.
    pub async fn answer(self, value: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.give(Data::of(value)?).await
    }

    /// Answers with octets.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn answer_bytes(self, bytes: impl Into<Bytes>) -> Result<(), EmitError> {
        self.give(Body::Bytes(bytes.into())).await
    }

    async fn give(self, body: Body) -> Result<(), EmitError> {
        let shared = self.shared.upgrade().ok_or(EmitError::Closed)?;
        shared.answer(self.question, &body).await
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").finish_non_exhaustive()
    }
}
