//! The sending half of a WebSocket.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use peerage_proto::http::{End, ExchangeId};

use super::Close;
use crate::{
    Message,
    http::{Error, ResetCode, client::Link, link::Shared},
};

/// The sending half of a WebSocket.
#[derive(Debug)]
pub struct WebSocketSender {
    shared: Arc<Shared>,
    id: ExchangeId,
    /// What is left of a message, and whether it is text.
    rest: Option<(Bytes, bool)>,
    /// The code of the reset, should this be dropped before the socket was closed.
    unfinished: ResetCode,
    /// Keeps the client's link open.
    _link: Option<Arc<Link>>,
}

impl WebSocketSender {
    /// Takes over a hold on the exchange.
    pub(in crate::http) fn new(
        shared: Arc<Shared>,
        id: ExchangeId,
        unfinished: ResetCode,
        link: Option<Arc<Link>>,
    ) -> Self {
        Self {
            shared,
            id,
            rest: None,
            unfinished,
            _link: link,
        }
    }

    /// See [`WebSocket::send`](super::WebSocket::send).
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.flush().await?;
        self.rest = Some(match message {
            Message::Text(text) => (text.into_bytes(), true),
            Message::Binary(bytes) => (bytes, false),
        });
        self.flush().await
    }

    /// Closes the socket without waiting for the peer, whose close is still to be received. A second close is none.
    ///
    /// # Errors
    /// The socket broke off.
    pub async fn close(&mut self, close: Option<Close>) -> Result<(), Error> {
        self.flush().await?;
        self.shared
            .finish(self.id, End::Close(Close::emit(close.as_ref())))
    }

    /// Breaks the socket off with a code; if the peer has closed it, that is answered instead.
    pub fn break_off(mut self, code: ResetCode) {
        self.unfinished = code;
    }

    /// Ends without a close: there is no socket.
    pub(in crate::http) fn withdraw(self) {
        // The exchange may be over, which is as well.
        let _ = self.shared.finish(self.id, End::Plain);
    }

    async fn flush(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let Some((bytes, text)) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        // Before the write: who is refused is told of room, and of the end.
        let _ = self.shared.poll_over(self.id, cx);
        match self.shared.write_message(self.id, bytes, *text) {
            Ok(false) => return Poll::Pending,
            Ok(true) => self.rest = None,
            Err(error) => {
                self.rest = None;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for WebSocketSender {
    fn drop(&mut self) {
        self.shared.abandon(self.id, self.unfinished);
        self.shared.release(self.id, false);
    }
}
