//! What handlers are told.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use peerage_proto::wire::room::Json as Text;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A message of a member, as it is relayed. Who sent it is who came by that connection, whatever the message says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// Where it was said.
    pub room: Arc<str>,
    /// Who said it.
    pub from: Arc<str>,
    /// For whom.
    pub to: Audience,
    /// The event that was emitted; none for a message without one (`send` of new clients, `sendMessage` of PeerPyRTC's).
    pub event: Option<Arc<str>>,
    /// What was said.
    pub data: Data,
    /// Grows with everything that happens in a room.
    pub(crate) order: u64,
    /// Whether the webhook was asked about it, and so knows of it.
    pub(crate) asked: bool,
}

impl Incoming {
    /// The data as a value of yours.
    ///
    /// # Errors
    /// It is no JSON, or another one.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match &self.data {
            Data::Json(json) => json.parse(),
            Data::Bytes(_) => Err(serde::de::Error::custom("bytes, and no JSON")),
        }
    }

    /// The data, if it is a text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.json().ok()
    }
}

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// All other members.
    All,
    /// These alone: nothing for a history that others read.
    Members(Vec<Arc<str>>),
    /// The server.
    Server,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// A JSON value; of an old client that says a text that is no JSON, the text.
    Json(Json),
    /// Bytes.
    Bytes(Bytes),
}

impl Data {
    /// Octets of it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(json) => json.raw().len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A JSON value as it was written, shared and read only when asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Text);

impl Json {
    pub(super) const fn new(text: Text) -> Self {
        Self(text)
    }

    /// Of any value.
    ///
    /// # Errors
    /// It has no form in JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(Self::from)
    }

    /// As it was written.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.0.as_str()
    }

    /// Read.
    ///
    /// # Errors
    /// It is another type's, or nested deeper than 128 levels.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.raw())
    }

    /// Read as any value; null for what is nested deeper than 128 levels.
    #[must_use]
    pub fn value(&self) -> Value {
        self.parse().unwrap_or_default()
    }

    pub(super) const fn text(&self) -> &Text {
        &self.0
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(Text::from(&value))
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl From<$type> for Json {
            fn from(value: $type) -> Self {
                Value::from(value).into()
            }
        }
    )*};
}

plain!(bool, i32, i64, u32, u64, f64);

/// A JSON string.
impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self(Text::string(text))
    }
}

/// A JSON string.
impl From<String> for Json {
    fn from(text: String) -> Self {
        Self(Text::string(&text))
    }
}

/// A member, for those who are told of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Presence {
    /// Where.
    pub room: Arc<str>,
    /// Who.
    pub name: Arc<str>,
    /// What it says of itself, if anything.
    pub metadata: Option<Json>,
    /// Since when.
    pub joined_at: SystemTime,
    /// As of messages.
    pub(crate) order: u64,
}

/// Why a member is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// It said so.
    Left,
    /// It is not heard any more.
    Lost,
    /// [`Hub::kick`](super::Hub::kick), or the end of the hub.
    Kicked,
    /// It took what was for it too slowly.
    Slow,
    /// It broke the protocol.
    Protocol,
    /// It said too much.
    Rate,
}

/// A room has another host, or none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostChange {
    /// Where.
    pub room: Arc<str>,
    /// Who; none when nobody is there.
    pub host: Option<Arc<str>>,
    /// As of messages.
    pub(crate) order: u64,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is relayed.
    Relay,
    /// It is forgotten. Nobody is told, but for who waits for an answer to it.
    Drop,
    /// This is relayed in its place, from the same member, to the same members, as the same event.
    Replace(Value),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(data: Data) -> Incoming {
        Incoming {
            room: "r".into(),
            from: "ann".into(),
            to: Audience::All,
            event: None,
            data,
            order: 1,
            asked: false,
        }
    }

    #[test]
    fn data_is_read_as_what_it_is_or_not_at_all() {
        let json = incoming(Data::Json(Json::of(&[1, 2]).unwrap()));
        assert_eq!(json.json::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(json.text(), None);
        assert_eq!(
            incoming(Data::Json("hi".into())).text().as_deref(),
            Some("hi")
        );
        assert!(
            incoming(Data::Bytes(Bytes::from_static(b"1")))
                .json::<Value>()
                .is_err()
        );
    }
}
