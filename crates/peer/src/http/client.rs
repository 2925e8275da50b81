//! Requests over a link.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use peerage_proto::http::Role;
use tokio::{task::AbortHandle, time::timeout};

use super::{
    Body, Error, Features, ResetCode, WebSocket, WebSocketError, WebSocketSender,
    body::Reader,
    driver,
    error::BoxError,
    head,
    interim::OnInterim,
    link::{Answer, Shared},
    writer::Writer,
};
use crate::Channel;

/// How long a peer may take to say what it answers, on a channel that is open.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests over one channel. Clones share it.
///
/// The link stays open while a client, or the body of a response, lives.
#[derive(Debug, Clone)]
pub struct Client(Arc<Link>);

/// The link's task, which ends with the last who needs it.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Client {
    /// A client on a channel that this side made. Must be called within a tokio runtime.
    pub fn new(channel: Channel) -> Self {
        let shared = Arc::new(Shared::new(Role::Caller, Features::default()));
        let driven = shared.clone();
        let task = tokio::spawn(async move {
            driver::drive(&driven, channel, |_, _| {}, std::future::pending()).await;
        });
        Self(Arc::new(Link {
            shared,
            task: task.abort_handle(),
        }))
    }

    /// Whether a request would go out at once: the link is open, and the peer accepts one more.
    pub fn is_ready(&self) -> bool {
        self.0.shared.lock().session.openings() > 0
    }

    /// Sends a request and waits for the head of its response. The request's body goes on being sent after that.
    ///
    /// The request names a path and no host. Fields that concern a single connection are left out; a length that the
    /// body knows is stated. Waits while the peer accepts no more exchanges. Dropping the future cancels the request.
    ///
    /// # Errors
    /// The exchange was reset, the link closed, or the request breaks a rule of the protocol. [`Error::retry`] says
    /// whether the same request may be sent again.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let shared = &self.0.shared;
        let end = body.is_end_stream();
        if !end || matches!(parts.method, Method::POST | Method::PUT) {
            // No body has a length too where one is expected (RFC 9110 8.6): many servers insist.
            head::measure(&mut parts.headers, &body);
        }
        let interim = parts.extensions.remove();
        let id = shared
            .open(head::outgoing(&parts)?, end, interim.is_some())
            .await?;
        let reader = Reader::new(shared.clone(), id, Some(self.0.clone()));
        if end {
            shared.transmit.notify_one();
        } else {
            shared.hold(id);
            let mut pump =
                Box::pin(Writer::new(shared.clone(), id, ResetCode::Cancelled).send(body));
            // Most bodies are short and go at once; the others go on beside the response.
            if futures_util::poll!(&mut pump).is_pending() {
                shared.take_over(pump);
            }
        }
        let (response, reader) = self.response(reader, interim.as_ref()).await?;
        let has_body = parts.method != Method::HEAD;
        Ok(response.map(|()| match reader {
            Some((reader, length)) => Body::new(reader, length.filter(|_| has_body)),
            None => Body::empty(),
        }))
    }

    /// Opens a WebSocket: `GET` of a path, with the subprotocols to choose from in `sec-websocket-protocol`. Returns it
    /// with the head of the response, which names the one chosen.
    ///
    /// Fields of the handshake of a single connection (key, version, extensions) are left out. Dropping the future
    /// cancels the request.
    ///
    /// # Errors
    /// [`WebSocketError::Refused`] has the ordinary response of a target that opened none. Otherwise as
    /// [`Client::request`]; `unsupported` is a peer that answers no WebSockets.
    pub async fn open_websocket(
        &self,
        request: Request<()>,
    ) -> Result<(WebSocket, Response<()>), WebSocketError> {
        let (mut parts, ()) = request.into_parts();
        let interim = parts.extensions.remove();
        let offered = parts.headers.clone();
        let head = head::outgoing_websocket(parts)?;
        let shared = &self.0.shared;
        timeout(HELLO_TIMEOUT, shared.hello())
            .await
            .map_err(|_| Error::new(ResetCode::Timeout, "the other side does not say hello"))?;
        let id = shared.open(head, false, interim.is_some()).await?;
        let reader = Reader::new(shared.clone(), id, Some(self.0.clone()));
        shared.hold(id);
        let link = Some(self.0.clone());
        let sender = WebSocketSender::new(shared.clone(), id, ResetCode::Cancelled, link);
        shared.transmit.notify_one();
        let (response, reader) = self.response(reader, interim.as_ref()).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            sender.withdraw();
            let response = response.map(|()| match reader {
                Some((reader, length)) => Body::new(reader, length),
                None => Body::empty(),
            });
            return Err(WebSocketError::Refused(Box::new(response)));
        }
        let malformed = |text| Error::new(ResetCode::Malformed, text);
        if !head::is_offered(&offered, response.headers()) {
            return Err(malformed("a subprotocol that was not asked for").into());
        }
        let (reader, _) = reader.ok_or(malformed("a socket that ends with its head"))?;
        Ok((WebSocket::new(sender, reader), response))
    }

    /// Waits for the head of a response. With it comes the reader of what follows, if something does, and its stated
    /// length.
    async fn response(
        &self,
        mut reader: Reader,
        interim: Option<&OnInterim>,
    ) -> Result<(Response<()>, Option<(Reader, Option<u64>)>), Error> {
        let head = loop {
            match std::future::poll_fn(|cx| self.0.shared.poll_answer(reader.id, cx)).await {
                Ok(Answer::Interim { status, fields }) => {
                    if let Some(interim) = interim {
                        interim.call(status, fields);
                    }
                }
                Ok(Answer::Response(head)) => break head,
                Err(error) => {
                    reader.end();
                    return Err(error);
                }
            }
        };
        if head.end {
            reader.end();
        }
        let unreadable = || Error::new(ResetCode::Malformed, "the response's head cannot be read");
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| unreadable())?;
        *response.headers_mut() = head::incoming_fields(head.fields).ok_or_else(unreadable)?;
        let length = length(response.headers());
        Ok((response, (!head.end).then_some((reader, length))))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The stated length of a body.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
