//! How an application's values travel: the serializations of PeerJS, and those that an application adds.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use peerage_proto::value::Value;

use crate::Message;

/// How values travel on a connection, by the name in its OFFER.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Serialization {
    /// BinaryPack, in slices above 16,300 octets: what PeerJS uses unless told otherwise.
    #[default]
    Binary,
    /// JSON text as UTF-8 in binary messages, as PeerJS 1.5 sends it; to who sends it in text messages, as PeerJS 1.4, it is sent in text messages.
    Json,
    /// Text and bytes as messages, unchanged; no other values.
    Raw,
    /// A stream of MessagePack values, as PeerJS's optional `MsgPack` serializer. Always ordered.
    MsgPack,
    /// A serialization of the application's own: see [`Serializer`].
    Custom(Arc<str>),
}

impl Serialization {
    /// The name in an OFFER.
    pub fn name(&self) -> &str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::Raw => "raw",
            Self::MsgPack => "MsgPack",
            Self::Custom(name) => name,
        }
    }

    /// The serialization of this name; one that PeerJS does not know is the application's.
    pub fn from_name(name: &str) -> Self {
        match name {
            "binary" | "binary-utf8" | "default" => Self::Binary,
            "json" => Self::Json,
            "raw" => Self::Raw,
            "MsgPack" => Self::MsgPack,
            name => Self::Custom(name.into()),
        }
    }
}

/// What goes wrong in an application's serializer.
pub type SerializerError = Box<dyn Error + Send + Sync>;

/// A serialization of the application's own, as PeerJS's `serializers` option. Both sides must have it, or the connection is refused.
///
/// ```
/// use peerage_peer::{Decoder, Message, Serializer, SerializerError, Value};
///
/// /// Text in capitals.
/// struct Loud;
///
/// impl Serializer for Loud {
///     fn name(&self) -> &str {
///         "loud"
///     }
///
///     fn encode(&self, value: &Value) -> Result<Vec<Message>, SerializerError> {
///         let text = value.as_str().ok_or("text alone is loud")?;
///         Ok(vec![Message::Text(text.to_uppercase().into())])
///     }
///
///     fn decoder(&self) -> Box<dyn Decoder> {
///         Box::new(Loud)
///     }
/// }
///
/// impl Decoder for Loud {
///     fn decode(&mut self, message: Message) -> Result<Vec<Value>, SerializerError> {
///         match message {
///             Message::Text(text) => Ok(vec![String::from(text).into()]),
///             Message::Binary(_) => Err("bytes are silent".into()),
///         }
///     }
/// }
/// ```
pub trait Serializer: Send + Sync + 'static {
    /// The name in an OFFER.
    fn name(&self) -> &str;

    /// Whether messages must arrive in the order they were sent in. Default no.
    fn needs_order(&self) -> bool {
        false
    }

    /// The messages of one value, none of them empty and each at most what the peer takes at once (256 KiB with browsers).
    ///
    /// # Errors
    /// The value is none that can travel: [`SendError::Encode`](crate::SendError::Encode).
    fn encode(&self, value: &Value) -> Result<Vec<Message>, SerializerError>;

    /// What reads the messages of one connection.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// The reading half of a [`Serializer`], one for each connection. What it keeps between messages is its own to bound.
pub trait Decoder: Send {
    /// The values that are complete with this message.
    ///
    /// # Errors
    /// The message is no part of a value; it is lost, the connection stays open.
    fn decode(&mut self, message: Message) -> Result<Vec<Value>, SerializerError>;
}

/// The serializations that a peer speaks.
#[derive(Clone, Default)]
pub(crate) struct Serializers(HashMap<String, Arc<dyn Serializer>>);

impl Serializers {
    /// Adds one, in place of an earlier one of the name, also of those built in.
    pub(crate) fn add(&mut self, serializer: Arc<dyn Serializer>) {
        self.0.insert(serializer.name().to_owned(), serializer);
    }

    pub(crate) fn codec(&self, name: &str) -> Option<Codec> {
        if let Some(custom) = self.0.get(name) {
            return Some(Codec::Custom(custom.clone()));
        }
        match Serialization::from_name(name) {
            Serialization::Binary => Some(Codec::Binary),
            Serialization::Json => Some(Codec::Json),
            Serialization::Raw => Some(Codec::Raw),
            Serialization::MsgPack => Some(Codec::MsgPack),
            Serialization::Custom(_) => None,
        }
    }
}

impl fmt::Debug for Serializers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One connection's way of writing and reading.
#[derive(Clone)]
pub(crate) enum Codec {
    Binary,
    Json,
    Raw,
    MsgPack,
    Custom(Arc<dyn Serializer>),
}

impl Codec {
    pub(crate) fn needs_order(&self) -> bool {
        match self {
            Self::MsgPack => true,
            Self::Custom(serializer) => serializer.needs_order(),
            Self::Binary | Self::Json | Self::Raw => false,
        }
    }
}
