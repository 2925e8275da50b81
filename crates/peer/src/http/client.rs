//! Requests over a link.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use peerage_proto::http::Role;
use tokio::task::AbortHandle;

use super::{
    Body, Error, ResetCode,
    body::Reader,
    driver,
    error::BoxError,
    head,
    link::{ResponseHead, Shared},
    writer::Writer,
};
use crate::Channel;

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
        let shared = Arc::new(Shared::new(Role::Caller));
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
        if !end {
            head::measure(&mut parts.headers, &body);
        }
        let id = shared.open(head::outgoing(&parts)?, end).await?;
        let mut reader = Reader::new(shared.clone(), id, Some(self.0.clone()));
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
        let head = std::future::poll_fn(|cx| shared.poll_response(id, cx)).await;
        let ResponseHead {
            status,
            fields,
            end,
        } = match head {
            Ok(head) => head,
            Err(error) => {
                reader.end();
                return Err(error);
            }
        };
        if end {
            reader.end();
        }
        let unreadable = || Error::new(ResetCode::Malformed, "the response's head cannot be read");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).map_err(|_| unreadable())?;
        *response.headers_mut() = head::incoming_fields(fields).ok_or_else(unreadable)?;
        if !end {
            let length = length(response.headers()).filter(|_| parts.method != Method::HEAD);
            *response.body_mut() = Body::new(reader, length);
        }
        Ok(response)
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
