//! WebSockets over a link, at either end.

mod close;
mod receiver;
mod sender;

use std::time::Duration;

pub use self::{
    close::{Close, CloseError},
    receiver::{MAX_SOCKET_MESSAGE, Received, WebSocketReceiver},
    sender::WebSocketSender,
};
use super::{Error, ResetCode, body::Reader};
use crate::Message;

/// How long [`WebSocket::close`] waits for the other side to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// One end of a WebSocket: whole messages both ways, until one side closes it and the other answers.
///
/// The peer may send what was received here and a window more, so who does not receive slows its peer, and nothing else
/// on the link. Dropped after the peer has closed, it answers with the same close; dropped before, it breaks the socket
/// off ([`WebSocket::close`] says goodbye).
#[derive(Debug)]
pub struct WebSocket {
    // Dropped first: an answer to a close goes out before the rest is let go.
    sender: WebSocketSender,
    receiver: WebSocketReceiver,
}

impl WebSocket {
    /// Takes over two holds on the exchange, the reader's and the sender's.
    pub(super) fn new(sender: WebSocketSender, reader: Reader) -> Self {
        Self {
            sender,
            receiver: WebSocketReceiver::new(reader),
        }
    }

    /// The next message, or how the peer closed the socket. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The socket broke off. It does so here (`too-large`, `malformed`) where a message is longer than
    /// [`MAX_SOCKET_MESSAGE`], or text that is no UTF-8.
    pub async fn recv(&mut self) -> Result<Received, Error> {
        self.receiver.recv().await
    }

    /// Sends a message, as soon as the peer has taken enough of those before it.
    ///
    /// A future that is dropped may have sent a part; the rest goes out with the next call.
    ///
    /// # Errors
    /// The socket broke off, or this side has closed it.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Closes the socket, waits for the peer's close and returns that. What the peer sends until then is dropped.
    ///
    /// # Errors
    /// The socket broke off, or the peer did not close within 10 s; then it is broken off.
    pub async fn close(mut self, close: Option<Close>) -> Result<Option<Close>, Error> {
        let (sender, receiver) = (&mut self.sender, &mut self.receiver);
        if let Some(answered) = receiver.closed() {
            sender.close(close).await?;
            return Ok(answered);
        }
        let answered = async {
            loop {
                if let Received::Close(close) = receiver.recv().await? {
                    return Ok(close);
                }
            }
        };
        // Together: the rest of a message may have to wait for a peer that waits for us.
        let both = futures_util::future::try_join(sender.close(close), answered);
        match tokio::time::timeout(CLOSE_TIMEOUT, both).await {
            Ok(closed) => closed.map(|((), close)| close),
            Err(_) => Err(Error::new(
                ResetCode::Timeout,
                "the other side did not answer the close",
            )),
        }
    }

    /// Two halves, for sending and receiving at the same time. The socket ends with either of them.
    pub fn split(self) -> (WebSocketSender, WebSocketReceiver) {
        (self.sender, self.receiver)
    }
}
