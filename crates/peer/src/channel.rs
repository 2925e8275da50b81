//! One data channel as its user sees it: messages in order, with backpressure.

use bytes::Bytes;
use tokio::sync::mpsc;

/// A message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text (PPID 51).
    Text(String),
    /// Bytes (PPID 53).
    Binary(Bytes),
}

/// The channel is closed: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data channel is closed")]
pub struct ChannelClosed;

/// One end of a data channel. Dropping it closes the channel.
#[derive(Debug)]
pub struct Channel {
    label: String,
    outgoing: mpsc::Sender<Message>,
    incoming: mpsc::Receiver<Message>,
}

impl Channel {
    /// Two ends joined in memory, for tests: what one sends, the other receives.
    pub fn pair(label: &str) -> (Self, Self) {
        let (a, from_a) = mpsc::channel(8);
        let (b, from_b) = mpsc::channel(8);
        let end = |outgoing, incoming| Self { label: label.to_owned(), outgoing, incoming };
        (end(a, from_b), end(b, from_a))
    }

    /// The channel's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Hands a message to the channel; waits while too much is on its way already.
    ///
    /// # Errors
    /// The channel is closed.
    pub async fn send(&self, message: Message) -> Result<(), ChannelClosed> {
        self.outgoing.send(message).await.map_err(|_| ChannelClosed)
    }

    /// The next message, or `None` when the channel is closed and everything before that was read.
    pub async fn recv(&mut self) -> Option<Message> {
        self.incoming.recv().await
    }
}
