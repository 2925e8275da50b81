//! A body that arrives over a link.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use peerage_proto::http::{End, ExchangeId, Incoming};

use super::{Error, ResetCode, client::Link, head, link::Shared};

/// A body that arrives over a link: of a response at the client, of a request at the server.
///
/// The peer may send what was taken from here and a window more, so a reader that pauses pauses its sender, and nothing
/// else on the link. Dropping a response's body before its end resets the exchange; what is left of a request's body is
/// thrown away.
#[derive(Debug)]
pub struct Body {
    /// `None`: everything was read.
    reader: Option<Reader>,
    /// What is left by `content-length`.
    left: Option<u64>,
}

impl Body {
    /// No octets.
    pub fn empty() -> Self {
        Self {
            reader: None,
            left: Some(0),
        }
    }

    pub(super) fn new(reader: Reader, length: Option<u64>) -> Self {
        Self {
            reader: Some(reader),
            left: length,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        let read = ready!(reader.poll_read(cx));
        if let Ok(Incoming::Data { bytes, .. }) = read {
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(bytes.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.reader = None;
        Poll::Ready(match read {
            Ok(Incoming::End(End::Trailers(fields))) => Some(match head::incoming_fields(fields) {
                Some(trailers) => Ok(Frame::trailers(trailers)),
                None => Err(Error::new(
                    ResetCode::Malformed,
                    "the trailers cannot be read",
                )),
            }),
            Err(error) => Some(Err(error)),
            Ok(_) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.reader.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.reader, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

/// The receiving side of an exchange. Dropped before the end, it says that nobody reads any more.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ExchangeId,
    ended: bool,
    /// Keeps the client's link open while somebody reads from it.
    _link: Option<Arc<Link>>,
}

impl Reader {
    /// Takes over a hold on the exchange.
    pub(super) fn new(shared: Arc<Shared>, id: ExchangeId, link: Option<Arc<Link>>) -> Self {
        Self {
            shared,
            id,
            ended: false,
            _link: link,
        }
    }

    /// The head was all that came.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn poll_read(&mut self, cx: &Context<'_>) -> Poll<Result<Incoming, Error>> {
        let read = ready!(self.shared.poll_read(self.id, cx));
        self.ended = !matches!(read, Ok(Incoming::Data { .. }));
        Poll::Ready(read)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.release(self.id, !self.ended);
    }
}
