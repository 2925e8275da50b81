//! One data channel as its user sees it: messages in order, with backpressure.

mod batch;
mod pipe;

use std::sync::Arc;

use bytes::Bytes;
pub use bytestring::ByteString;

use crate::connection::TrySendError;
pub use batch::Batch;
pub(crate) use batch::{Far, Signal};
pub(crate) use pipe::{Pipe, cost};

/// Largest message that a channel carries, in octets, both ways: what browsers announce and accept as `a=max-message-size`.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Octets that wait for the engine's thread before `send` does, beside the 128 KiB that SCTP holds until they are acknowledged.
pub(crate) const SEND_QUEUE: usize = 128 * 1024;

/// A message of a data channel. Cloning one costs nothing: the clones share the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text (PPID 51).
    Text(ByteString),
    /// Bytes (PPID 53).
    Binary(Bytes),
}

impl Message {
    /// Octets of the payload.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no payload. Such messages arrive, but cannot be sent: see [`SendError::Empty`].
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The payload, whatever its kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closed: nothing can be sent any more.
    #[error("the data channel is closed")]
    Closed,
    /// The other side does not take messages of this size. Nothing was sent, the channel stays open.
    #[error("a message of {size} octets is above the peer's limit of {limit}: send it in pieces")]
    TooLarge {
        /// Octets of the message.
        size: usize,
        /// Octets that the peer takes at once.
        limit: usize,
    },
    /// The message is empty. The SCTP beneath loses such messages instead of sending them (RFC 8831 6.6), so they are refused. Nothing was sent, the
    /// channel stays open.
    #[error("an empty message cannot be sent")]
    Empty,
    /// The value has bytes in it, which JSON has no form for.
    #[error("the value cannot be written as JSON")]
    NotJson,
    /// A raw connection carries text and bytes, nothing else.
    #[error("a raw connection carries text and bytes alone")]
    NotRaw,
    /// The connection's serialization has no form for the value.
    #[error("the value cannot be written: {0}")]
    Encode(String),
    /// The connection's serialization has no values that could be sent as a stream.
    #[error("only binary and MsgPack connections send streams")]
    NoStreams,
    /// What was to be sent could not be read to its stated length.
    #[error("what was to be sent cannot be read: {0}")]
    Source(std::io::ErrorKind),
    /// The connection was lost and made anew in the middle.
    #[error("the connection was made anew in the middle")]
    Interrupted,
}

/// One end of a data channel.
///
/// Dropping it (or both [halves](Channel::split)) closes the channel; what was sent before is still delivered while the peer takes it.
#[derive(Debug)]
pub struct Channel {
    sender: ChannelSender,
    receiver: ChannelReceiver,
}

/// The sending half of a [`Channel`]; clones send into the same channel, in the order of their calls.
#[derive(Debug, Clone)]
pub struct ChannelSender(Arc<End>);

/// The receiving half of a [`Channel`].
#[derive(Debug)]
pub struct ChannelReceiver(Arc<End>);

#[derive(Debug)]
struct End {
    label: String,
    reliable: bool,
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    /// Largest message in octets that the peer takes.
    limit: usize,
}

impl Channel {
    /// Two ends joined in memory, for tests: what one sends, the other receives.
    pub fn pair(label: &str) -> (Self, Self) {
        let there = Arc::new(Pipe::new(SEND_QUEUE));
        let back = Arc::new(Pipe::new(SEND_QUEUE));
        (
            Self::new(
                label.to_owned(),
                true,
                there.clone(),
                back.clone(),
                MAX_MESSAGE,
            ),
            Self::new(label.to_owned(), true, back, there, MAX_MESSAGE),
        )
    }

    pub(crate) fn new(
        label: String,
        reliable: bool,
        outgoing: Arc<Pipe>,
        incoming: Arc<Pipe>,
        limit: usize,
    ) -> Self {
        let end = Arc::new(End {
            label,
            reliable,
            outgoing,
            incoming,
            limit,
        });
        Self {
            sender: ChannelSender(end.clone()),
            receiver: ChannelReceiver(end),
        }
    }

    /// The channel's label.
    pub fn label(&self) -> &str {
        self.sender.label()
    }

    /// Whether messages are sent again until they arrive; the other kind may lose some.
    pub fn is_reliable(&self) -> bool {
        self.sender.is_reliable()
    }

    /// Hands a message to the channel; waits while too much is on its way already. See [`ChannelSender::send`].
    ///
    /// # Errors
    /// The channel is closed, or the message is too large for the peer.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// The next message, or `None` when the channel is closed and everything before that was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// Closes the channel. What was sent before is delivered while the peer takes it, what was received can still be read.
    pub fn close(&self) {
        self.sender.close();
    }

    /// Another handle of this end.
    pub(crate) fn share(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            receiver: ChannelReceiver(self.receiver.0.clone()),
        }
    }

    pub(crate) fn sender(&self) -> &ChannelSender {
        &self.sender
    }

    /// As [`recv`](Self::recv), for who shares the end: each message goes to one of them.
    pub(crate) async fn receive(&self) -> Option<Message> {
        self.receiver.0.incoming.recv().await
    }

    /// The two halves, for a task each. The channel closes when all of them are dropped.
    pub fn split(self) -> (ChannelSender, ChannelReceiver) {
        (self.sender, self.receiver)
    }
}

impl ChannelSender {
    /// The channel's label.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// As [`Channel::is_reliable`].
    pub fn is_reliable(&self) -> bool {
        self.0.reliable
    }

    /// Octets of the largest message that the peer takes; at most [`MAX_MESSAGE`].
    pub fn max_message(&self) -> usize {
        self.0.limit
    }

    /// Hands a message to the channel; waits while 256 KiB are on their way already. Cancel-safe: a message goes whole or not at all.
    ///
    /// # Errors
    /// The channel is closed, or the message is empty or larger than [`max_message`](Self::max_message).
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        self.check(&message)?;
        self.0
            .outgoing
            .send(message)
            .await
            .map_err(|_| SendError::Closed)
    }

    /// Hands a message to the channel if there is room for it, without waiting: fewer octets than its queue takes are on their way. [`Batch::try_send`] does
    /// so for many channels.
    ///
    /// # Errors
    /// There is no room; or as [`send`](Self::send).
    pub fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        Batch::default().try_send(self, message)
    }

    /// Hands several messages over at once, or none of them.
    pub(crate) fn try_send_all(&self, messages: Vec<Message>) -> Result<(), TrySendError> {
        for message in &messages {
            self.check(message)?;
        }
        match self.0.outgoing.try_send_all(messages) {
            Some(true) => Ok(()),
            Some(false) => Err(TrySendError::Full),
            None => Err(SendError::Closed.into()),
        }
    }

    fn outgoing(&self) -> &Pipe {
        &self.0.outgoing
    }

    fn check(&self, message: &Message) -> Result<(), SendError> {
        let (size, limit) = (message.len(), self.0.limit);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        if size == 0 {
            return Err(SendError::Empty);
        }
        Ok(())
    }

    /// Octets that wait here to be sent; a message of n octets counts n + 64.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outgoing().octets()
    }

    /// Closes the channel, as [`Channel::close`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.0.outgoing.is_closed()
    }
}

impl ChannelReceiver {
    /// The next message, or `None` when the channel is closed and everything before that was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Message> {
        self.0.incoming.recv().await
    }
}

impl End {
    fn close(&self) {
        self.outgoing.close();
        self.incoming.close();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_end_sends_the_other_receives_until_either_is_dropped() {
        let (a, mut b) = Channel::pair("x");
        a.send(Message::Text("hello".into())).await.expect("open");
        drop(a);
        assert_eq!(b.recv().await, Some(Message::Text("hello".into())));
        assert_eq!(b.recv().await, None);
        assert_eq!(
            b.send(Message::Text("?".into())).await,
            Err(SendError::Closed)
        );
    }

    #[tokio::test]
    async fn a_message_above_the_peers_limit_is_refused_and_the_channel_stays_open() {
        let (a, _b) = Channel::pair("x");
        let large = Message::Binary(vec![0; MAX_MESSAGE + 1].into());
        assert_eq!(
            a.send(large).await,
            Err(SendError::TooLarge {
                size: MAX_MESSAGE + 1,
                limit: MAX_MESSAGE
            })
        );
        assert_eq!(
            a.send(Message::Binary(Bytes::new())).await,
            Err(SendError::Empty)
        );
        assert_eq!(a.send(Message::Text("fits".into())).await, Ok(()));
    }

    #[tokio::test]
    async fn halves_keep_the_channel_open_until_the_last_is_gone() {
        let (a, mut b) = Channel::pair("x");
        let (sender, receiver) = a.split();
        drop(receiver);
        sender
            .send(Message::Text("still here".into()))
            .await
            .expect("open");
        assert!(b.recv().await.is_some());
        drop(sender);
        assert_eq!(b.recv().await, None);
    }
}
