//! A connection to one peer: values go in at one end and come out at the other.

mod about;
mod error;
mod intake;
mod outlet;
mod serializer;
mod stream;

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use futures_util::stream::Stream;
use peerage_proto::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;

use crate::Channel;
pub use about::{About, CloseReason, ConnectionState, Route, Stats};
pub(crate) use about::{Facts, Stage};
pub use error::{RecvError, StreamError, TrySendError};
use intake::Intake;
use outlet::Outlet;
pub(crate) use serializer::{Codec, Serializers};
pub use serializer::{Decoder, Serialization, Serializer, SerializerError};
pub use stream::ByteStream;

use crate::SendError;

/// What a connection takes from its peer; what is above is dropped, and [`Connection::recv`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one value, as it travels. Default 256 MiB. Values of this size are held whole; see [`stream_from`](Self::stream_from).
    pub message: usize,
    /// Octets from which bytes or text that come in slices are handed out as they come, by [`Connection::next`]. Such a stream may have any length, and costs no
    /// more than its reader is behind. Several may come at once, and values in between: give each a task of its own, and go on asking for the next. When 4 MiB
    /// wait that nobody takes for 30 s, the connection ends. Default `None`: all values come whole.
    pub stream_from: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 256 * 1024 * 1024,
            stream_from: None,
        }
    }
}

/// What came: see [`Connection::next`].
#[derive(Debug)]
pub enum Incoming {
    /// A value.
    Value(Value),
    /// The beginning of a large one.
    Stream(ByteStream),
}

/// An open connection to a peer; clones are the same one. With the last of them, or by [`close`](Self::close), it ends; what was sent before is still
/// delivered while the peer takes it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

/// What all handles of a connection share.
pub(crate) struct Shared {
    about: About,
    codec: Codec,
    outlet: Outlet,
    intake: Intake,
}

/// A channel that opened, and what is known about it.
pub(crate) struct Opened {
    pub(crate) channel: Channel,
    pub(crate) facts: Facts,
}

/// How a connection reads and writes.
pub(crate) struct Setup {
    pub(crate) codec: Codec,
    pub(crate) limits: Limits,
}

impl Connection {
    pub(crate) fn new(opened: Opened, setup: Setup) -> Self {
        Self::build(opened, setup, false)
    }

    /// One that a keeper makes anew when it is lost.
    pub(crate) fn kept(opened: Opened, setup: Setup) -> Self {
        Self::build(opened, setup, true)
    }

    fn build(Opened { channel, facts }: Opened, setup: Setup, kept: bool) -> Self {
        let channel = Arc::new(channel);
        Self(Arc::new(Shared {
            about: About(Arc::new(facts)),
            intake: Intake::new(channel.clone(), &setup.codec, setup.limits),
            outlet: Outlet::new(channel, kept),
            codec: setup.codec,
        }))
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.0)
    }

    /// Sends a value; waits while too much is on its way already, or while the connection is being made anew.
    ///
    /// What one task sends arrives in the order of its calls, on an ordered connection. What several tasks send is interleaved: a value in many slices keeps nobody
    /// else waiting. Not cancel-safe for such a value: given up halfway, it never arrives, and its peer forgets it after a while; on
    /// [`Serialization::MsgPack`], where nobody could tell any more where the next value begins, the connection ends.
    ///
    /// # Errors
    /// The connection is closed, or the value cannot travel: see [`SendError`].
    ///
    /// ```no_run
    /// # async fn example(connection: peerage_peer::Connection) -> Result<(), peerage_peer::SendError> {
    /// connection.send("text").await?;
    /// connection.send(vec![1_u8, 2, 3]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, value: impl Into<Value>) -> Result<(), SendError> {
        self.0.outlet.send(&self.0.codec, value.into()).await
    }

    /// Sends what a type's `Serialize` makes of it.
    ///
    /// # Errors
    /// As [`send`](Self::send); the type has no such form.
    pub async fn send_as<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), SendError> {
        let value =
            Value::from_serialize(value).map_err(|error| SendError::Encode(error.to_string()))?;
        self.send(value).await
    }

    /// Sends a value if there is room for it at once.
    ///
    /// # Errors
    /// [`TrySendError::Full`]: try again when [`send`](Self::send) would not wait; otherwise as [`send`](Self::send). A value that needs slices is refused with
    /// [`SendError::TooLarge`].
    pub fn try_send(&self, value: impl Into<Value>) -> Result<(), TrySendError> {
        self.0.outlet.try_send(&self.0.codec, value.into())
    }

    /// Sends `length` octets from a reader as one value of bytes, without holding them: on [`Serialization::Binary`] and [`Serialization::MsgPack`].
    ///
    /// The other side receives them as it receives bytes of that size: a browser holds them whole. Not cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send); the reader fails, or ends before `length` octets ([`SendError::Source`]); the connection was made anew meanwhile
    /// ([`SendError::Interrupted`]). The value never arrives then; the connection stays open, but for [`Serialization::MsgPack`], as with [`send`](Self::send).
    pub async fn send_stream(
        &self,
        length: u64,
        reader: impl AsyncRead + Unpin + Send,
    ) -> Result<(), SendError> {
        self.0
            .outlet
            .send_stream(&self.0.codec, length, reader)
            .await
    }

    /// The next value; `None` when the connection is over and everything before that was read. Cancel-safe, as long as no streams were asked for.
    ///
    /// Where several tasks ask, each value goes to one of them. Nothing is read from the network while nobody asks, but for a queue of 4 MiB: a reader that takes
    /// nothing for 30 s while it is full loses the connection.
    ///
    /// # Errors
    /// Something was lost, for the reason given. The connection stays open.
    pub async fn recv(&self) -> Option<Result<Value, RecvError>> {
        Some(match self.next().await? {
            Ok(Incoming::Value(value)) => Ok(value),
            Ok(Incoming::Stream(stream)) => stream.collect().await,
            Err(error) => Err(error),
        })
    }

    /// The next value as a type. `None` as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv); the value is none of this type, and lost.
    pub async fn recv_as<T: DeserializeOwned>(&self) -> Option<Result<T, RecvError>> {
        let value = self.recv().await?;
        Some(value.and_then(|value| {
            value
                .deserialize()
                .map_err(|error| RecvError::Type(error.to_string()))
        }))
    }

    /// The next value, or the beginning of one that is handed out as it comes: see [`Limits::stream_from`]. Cancel-safe.
    ///
    /// Other values come in between. Streams and values that are neither taken nor dropped hold everything up after 4 MiB.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn next(&self) -> Option<Result<Incoming, RecvError>> {
        let next = Intake::next(&self.0).await?;
        Some(next.map(|next| match next {
            intake::Next::Value(value) => Incoming::Value(value),
            intake::Next::Stream(part) => Incoming::Stream(ByteStream::new(self.0.clone(), part)),
        }))
    }

    /// [`recv`](Self::recv) as a stream, which is a handle of the connection too.
    pub fn values(&self) -> impl Stream<Item = Result<Value, RecvError>> + Send + use<> {
        futures_util::stream::unfold(self.clone(), |connection| async move {
            Some((connection.recv().await?, connection))
        })
    }

    /// Closes the connection. What was sent before is delivered while the peer takes it, what was received can still be read.
    pub fn close(&self) {
        self.0.outlet.close();
    }

    /// What is known about the connection, to be kept beside it.
    pub fn about(&self) -> &About {
        &self.0.about
    }

    /// The channel alone: messages as they are, for a protocol of its own. Meant for a connection that nothing was received from yet; other handles go on
    /// reading from the same channel. A connection with no other handle is not made anew any more.
    pub fn into_channel(self) -> Channel {
        self.0.outlet.channel()
    }
}

impl Shared {
    /// The connection is lost, and a new one is on the way.
    pub(crate) fn renewing(&self) {
        self.outlet.renewing();
    }

    /// It is there.
    pub(crate) fn renew(&self, Opened { channel, facts }: Opened) {
        let Stage {
            connection, meter, ..
        } = facts
            .stage
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        self.about.set_stage(connection, meter);
        self.outlet.renew(Arc::new(channel));
    }

    /// It is over for good.
    pub(crate) fn give_up(&self) {
        self.outlet.give_up();
    }

    /// Whether the application closed it.
    pub(crate) fn is_closing(&self) -> bool {
        self.outlet.is_closing()
    }
}

impl std::ops::Deref for Connection {
    type Target = About;

    fn deref(&self) -> &About {
        self.about()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.0.about).finish()
    }
}
