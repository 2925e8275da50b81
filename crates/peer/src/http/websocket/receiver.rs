//! The receiving half of a WebSocket.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use peerage_proto::http::{End, Incoming};

use super::Close;
use crate::{
    Message,
    http::{Error, ResetCode, body::Reader},
};

/// Octets of a message that is received at most: what tungstenite takes as one frame by default.
pub const MAX_SOCKET_MESSAGE: usize = 16 << 20;

/// What [`WebSocketReceiver::recv`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Message),
    /// The peer closed the socket: nothing follows. `None`: without a code.
    Close(Option<Close>),
}

/// The receiving half of a WebSocket.
#[derive(Debug)]
pub struct WebSocketReceiver {
    reader: Reader,
    /// The message that is being put together.
    parts: BytesMut,
    /// Room that it takes of the link's, until the one after it is asked for.
    reserved: usize,
    end: Option<Ended>,
}

#[derive(Debug)]
enum Ended {
    Closed(Option<Close>),
    Failed,
}

impl WebSocketReceiver {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            parts: BytesMut::new(),
            reserved: 0,
            end: None,
        }
    }

    /// See [`WebSocket::recv`](super::WebSocket::recv).
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Result<Received, Error> {
        if self.parts.is_empty() {
            self.unreserve();
        }
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits until the socket breaks off, for who is busy with something else than receiving.
    pub async fn broken(&self) -> Error {
        std::future::poll_fn(|cx| self.reader.shared.poll_broken(self.reader.id, cx)).await
    }

    /// How the peer closed the socket, once that was received.
    pub(super) fn closed(&self) -> Option<Option<Close>> {
        match &self.end {
            Some(Ended::Closed(close)) => Some(close.clone()),
            _ => None,
        }
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Result<Received, Error>> {
        if self.end.is_some() {
            return Poll::Ready(Err(Error::new(ResetCode::Gone, "the socket is closed")));
        }
        loop {
            let read = match ready!(self.reader.poll_read(cx)) {
                Ok(read) => read,
                Err(error) => return Poll::Ready(self.end(Err(error))),
            };
            return Poll::Ready(match read {
                Incoming::Data { bytes, fin, text } => match self.take(bytes, fin, text) {
                    Ok(None) => continue,
                    Ok(Some(message)) => Ok(Received::Message(message)),
                    Err(error) => self.end(Err(error)),
                },
                Incoming::End(End::Close(payload)) => match Close::parse(&payload) {
                    Some(close) => {
                        self.reader.shared.peer_closed(self.reader.id, payload);
                        self.end(Ok(Received::Close(close)))
                    }
                    None => {
                        let code = ResetCode::Malformed;
                        self.reader.shared.reset(self.reader.id, code);
                        self.end(Err(Error::new(code, "no close of a WebSocket")))
                    }
                },
                Incoming::End(_) => self.end(Ok(Received::Close(None))),
            });
        }
    }

    /// Takes a part of a message; the whole when this was the last.
    fn take(&mut self, bytes: Bytes, fin: bool, text: bool) -> Result<Option<Message>, Error> {
        // Most messages come in one piece: those cost no room and no copy.
        let whole = if self.parts.is_empty() && fin {
            bytes
        } else {
            if self.parts.len() + bytes.len() > MAX_SOCKET_MESSAGE {
                return Err(self.refuse(Close::TOO_LARGE, "a message above 16 MiB"));
            }
            if !self.reader.shared.reserve(bytes.len()) {
                return Err(self.refuse(Close::TOO_LARGE, "too many large messages at once"));
            }
            self.reserved += bytes.len();
            self.parts.extend_from_slice(&bytes);
            if !fin {
                return Ok(None);
            }
            std::mem::take(&mut self.parts).freeze()
        };
        if !text {
            return Ok(Some(Message::Binary(whole)));
        }
        match whole.try_into() {
            Ok(text) => Ok(Some(Message::Text(text))),
            Err(_) => Err(self.refuse(Close::NOT_TEXT, "text that is no UTF-8")),
        }
    }

    fn refuse(&self, close: u16, reason: &'static str) -> Error {
        let code = match close {
            Close::TOO_LARGE => ResetCode::TooLarge,
            _ => ResetCode::Malformed,
        };
        let payload = Close::emit(Close::new(close, reason).ok().as_ref());
        self.reader.shared.refuse(self.reader.id, code, payload);
        Error::new(code, reason)
    }

    fn end(&mut self, last: Result<Received, Error>) -> Result<Received, Error> {
        self.end = Some(match &last {
            Ok(Received::Close(close)) => Ended::Closed(close.clone()),
            _ => Ended::Failed,
        });
        self.reader.end();
        self.parts = BytesMut::new();
        self.unreserve();
        last
    }

    fn unreserve(&mut self) {
        if self.reserved > 0 {
            self.reader
                .shared
                .unreserve(std::mem::take(&mut self.reserved));
        }
    }
}

impl Drop for WebSocketReceiver {
    fn drop(&mut self) {
        self.unreserve();
    }
}
