//! A connection to one peer: its channel, and what is known about it.

use std::sync::Arc;
use std::time::Duration;

use peerage_proto::identity::PublicKey;
use peerage_proto::wire::id::{ConnectionId, PeerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::engine::Meter;
use crate::{Channel, Message, SendError};

/// Octets of the longest JSON text: PeerJS 1.5 sends none of 16,300 or more.
const MAX_JSON: usize = 16_299;

/// How values travel on a channel of a stock PeerJS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Serialization {
    /// Text and binary messages, unchanged.
    #[default]
    Raw,
    /// JSON text as UTF-8 in binary messages, each below 16,300 octets, as PeerJS 1.5 sends it.
    Json,
}

impl Serialization {
    /// The name in an OFFER.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
        }
    }

    /// The serialization of this name; `None` for one that this peer does not speak.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "raw" => Some(Self::Raw),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The way a connection's packets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// From one peer straight to the other.
    Direct,
    /// Through a TURN server.
    Relayed,
}

/// What a connection has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Time to the peer and back, as ICE last measured it (every few seconds); `None` before the first answer.
    pub round_trip: Option<Duration>,
    /// Octets of UDP payload that came in.
    pub received: u64,
    /// Octets of UDP payload that went out.
    pub sent: u64,
    /// How long nothing has come from the peer, once that is 5 s or more. After 30 s the connection ends.
    pub silent: Option<Duration>,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The peer closed it.
    #[error("closed by the peer")]
    Remote,
    /// Nothing came from the peer for 30 s.
    #[error("lost the peer: nothing heard for 30 s")]
    Lost,
    /// No pair of addresses led to the peer in time.
    #[error("no route to the peer: no pair of addresses answered")]
    NoRoute,
    /// The certificate of the handshake is not the announced one: somebody sits in between.
    #[error("the peer's certificate is not the announced one")]
    WrongCertificate,
    /// This side's reader took nothing for 30 s while its queue was full.
    #[error("slow reader: received messages were not taken for 30 s")]
    SlowReader,
    /// The rights that the connection lived by were revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// The peer broke a rule of WebRTC, or the handshake failed.
    #[error("the connection failed: {0}")]
    Failed(String),
}

/// An open connection: a [`Channel`] to a peer, and what is known about it.
///
/// Dropping it closes the channel; what was sent before is still delivered while the peer takes it.
#[derive(Debug)]
pub struct Connection {
    channel: Channel,
    about: About,
    /// Whether the peer's last JSON came as text, as clients before 1.5 send it: it is answered in kind.
    text_json: bool,
}

/// What is known about a connection; goes on telling after it ended.
#[derive(Debug, Clone)]
pub struct About(Arc<Facts>);

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) label: String,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) serialization: Serialization,
    /// The peer's key, where it is known by one.
    pub(crate) key: Option<PublicKey>,
    /// Whether the peer has proven who it is.
    pub(crate) verified: bool,
    pub(crate) meter: Arc<Meter>,
    pub(crate) closed: watch::Receiver<Option<CloseReason>>,
}

/// Why a JSON value was not received.
#[derive(Debug, thiserror::Error)]
#[error("a message is not the JSON that is wanted here: {0}")]
pub struct JsonError(#[from] serde_json::Error);

impl Connection {
    pub(crate) fn new(channel: Channel, facts: Facts) -> Self {
        Self {
            channel,
            about: About(Arc::new(facts)),
            text_json: false,
        }
    }

    /// Sends a message; waits while too much is on its way already. See [`ChannelSender::send`](crate::ChannelSender::send).
    ///
    /// # Errors
    /// The connection is closed, or the message empty or too large for the peer.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        self.channel.send(message).await
    }

    /// The next message; `None` when the connection ended and everything before that was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Message> {
        self.channel.recv().await
    }

    /// Sends a value as [`Serialization::Json`] has it.
    ///
    /// # Errors
    /// As [`send`](Self::send); the text has 16,300 octets or more, or the value is none that JSON can express.
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), SendError> {
        let text = serde_json::to_string(value).map_err(|_| SendError::NotJson)?;
        if text.len() > MAX_JSON {
            return Err(SendError::TooLarge {
                size: text.len(),
                limit: MAX_JSON,
            });
        }
        let message = if self.text_json {
            Message::Text(text)
        } else {
            Message::Binary(text.into())
        };
        self.channel.send(message).await
    }

    /// The next value of [`Serialization::Json`]; `None` as [`recv`](Self::recv). Takes text messages too, as PeerJS before 1.5 sends them. Cancel-safe.
    ///
    /// # Errors
    /// A message is not JSON, or not of this type. The connection stays open, the message is lost.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, JsonError>> {
        let message = self.channel.recv().await?;
        self.text_json = matches!(message, Message::Text(_));
        Some(serde_json::from_slice(message.as_bytes()).map_err(JsonError))
    }

    /// Closes the connection. What was sent before is delivered while the peer takes it, what was received can still be read.
    pub fn close(&self) {
        self.channel.close();
    }

    /// What is known about the connection, to be kept beside it.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The channel alone: raw messages, for a protocol of its own.
    pub fn into_channel(self) -> Channel {
        self.channel
    }
}

impl std::ops::Deref for Connection {
    type Target = About;

    fn deref(&self) -> &About {
        &self.about
    }
}

impl About {
    /// The other peer's id at the server.
    pub fn peer(&self) -> &PeerId {
        &self.0.peer
    }

    /// The connection's name, made by the caller.
    pub fn connection_id(&self) -> &ConnectionId {
        &self.0.connection
    }

    /// The channel's label.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// What the caller's application said about the connection, as JSON.
    pub fn metadata(&self) -> Option<&RawValue> {
        self.0.metadata.as_deref()
    }

    /// How values travel.
    pub fn serialization(&self) -> Serialization {
        self.0.serialization
    }

    /// Whether the peer has proven who it is. Otherwise it is who the server says it is.
    pub fn is_verified(&self) -> bool {
        self.0.verified
    }

    /// The caller's key, on a device's side of a verified connection: [`Access::grants_of`](crate::Access::grants_of) says what it may do.
    pub fn key(&self) -> Option<&PublicKey> {
        self.0.key.as_ref()
    }

    /// The way that packets take now.
    pub fn route(&self) -> Route {
        self.0.meter.route()
    }

    /// The way that packets take, and every change of it: a direct path may be found after a relay, and lost again.
    pub fn routes(&self) -> watch::Receiver<Route> {
        self.0.meter.routes()
    }

    /// What the connection has done so far.
    pub fn stats(&self) -> Stats {
        self.0.meter.stats()
    }

    /// Whether the connection ended, and why.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.closed.borrow().clone()
    }

    /// Waits for the end of the connection. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.0.closed.clone();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
            // The peer itself is gone, and took its connections along.
            Err(_) => CloseReason::Local,
        }
    }
}
