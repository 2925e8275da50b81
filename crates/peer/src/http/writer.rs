//! A body that is sent over a link.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use peerage_proto::http::{End, ExchangeId, Framing, SendError};

use super::{Error, ResetCode, WebSocketSender, error::BoxError, head, link::Shared};

/// The sending side of an exchange. Dropped before its end, it resets the exchange.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    id: ExchangeId,
    /// The code of the reset, should this end before the body did.
    unfinished: Option<ResetCode>,
}

impl Writer {
    /// Takes over a hold on the exchange.
    pub(super) fn new(shared: Arc<Shared>, id: ExchangeId, unfinished: ResetCode) -> Self {
        Self {
            shared,
            id,
            unfinished: Some(unfinished),
        }
    }

    /// Ends with a reset.
    pub(super) fn reset(mut self, code: ResetCode) {
        self.unfinished = Some(code);
    }

    /// Leaves the direction to the sender of a WebSocket.
    pub(super) fn into_sender(mut self) -> WebSocketSender {
        self.unfinished = None;
        self.shared.hold(self.id);
        WebSocketSender::new(self.shared.clone(), self.id, ResetCode::Broken, None)
    }

    /// Sends the head of a response; `end`: there is no body.
    pub(super) fn respond(
        &mut self,
        status: u16,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<(), Error> {
        let fields = head::outgoing_fields(headers);
        self.shared
            .lock()
            .session
            .respond(self.id, status, fields, end)?;
        if end {
            self.unfinished = None;
            self.shared.transmit.notify_one();
        }
        Ok(())
    }

    /// What a future gives, unless the exchange is over before.
    pub(super) async fn unless_over<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match self.shared.poll_over(self.id, cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// Sends a body, as fast as the peer takes it, to its end or that of the exchange.
    pub(super) async fn send<B>(mut self, body: B)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut body = pin!(body);
        let mut rest = Bytes::new();
        std::future::poll_fn(|cx| self.poll_send(body.as_mut(), &mut rest, cx)).await;
    }

    fn poll_send<B>(
        &mut self,
        mut body: Pin<&mut B>,
        rest: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let sent = loop {
            // Watched while the body is awaited and while there is no room: one waker serves both.
            if self.shared.poll_over(self.id, cx).is_ready() {
                self.unfinished = None;
                break Poll::Ready(());
            }
            if !rest.is_empty() {
                match self.write(rest) {
                    Ok(true) => {}
                    Ok(false) => break Poll::Pending,
                    Err(error) => {
                        self.give_up(&error);
                        break Poll::Ready(());
                    }
                }
            }
            let ended = match body.as_mut().poll_frame(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(mut data) => {
                        *rest = data.copy_to_bytes(data.remaining());
                        if !body.is_end_stream() {
                            continue;
                        }
                        match self.write(rest) {
                            Ok(true) => self.finish(End::Plain),
                            Ok(false) => break Poll::Pending,
                            Err(error) => Err(error),
                        }
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => {
                            self.finish(End::Trailers(head::outgoing_trailers(&trailers)))
                        }
                        Err(_) => continue,
                    },
                },
                Poll::Ready(Some(Err(error))) => {
                    let error: BoxError = error.into();
                    tracing::debug!(id = %self.id, %error, "body broke off");
                    self.unfinished = Some(Error::code_of(&error));
                    break Poll::Ready(());
                }
                Poll::Ready(None) => self.finish(End::Plain),
            };
            if let Err(error) = ended {
                self.give_up(&error);
            }
            break Poll::Ready(());
        };
        self.shared.transmit.notify_one();
        sent
    }

    fn write(&self, bytes: &mut Bytes) -> Result<bool, SendError> {
        self.shared
            .lock()
            .session
            .write(self.id, bytes, Framing::Stream)
    }

    fn finish(&mut self, end: End) -> Result<(), SendError> {
        self.shared.lock().session.finish(self.id, end)?;
        self.unfinished = None;
        Ok(())
    }

    fn give_up(&mut self, error: &SendError) {
        self.unfinished = match error {
            SendError::Gone => None,
            // The body is not what its head promised: whose fault that is, the log tells.
            error => {
                tracing::debug!(id = %self.id, %error, "body cannot be sent");
                Some(ResetCode::Broken)
            }
        };
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(code) = self.unfinished {
            self.shared.reset(self.id, code);
        }
        self.shared.release(self.id, false);
    }
}
