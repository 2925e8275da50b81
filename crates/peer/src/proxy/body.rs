//! The body of an answer, wherever it comes from.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    fs::File,
    io::{AsyncReadExt, Take},
    sync::OwnedSemaphorePermit,
};
use tokio_util::io::ReaderStream;

use crate::http::{Error, ResetCode};

/// Octets read from a file at once.
const FILE_CHUNK: usize = 64 * 1024;

/// The body of an answer: from a web app, from a file, or a short text of the proxy's own. Read as it is polled.
#[derive(Debug)]
pub struct Body {
    source: Source,
    /// A place among the requests that are answered at once, given back with the last octet.
    place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Source {
    Text(Option<Bytes>),
    App(Incoming),
    File {
        octets: ReaderStream<Take<File>>,
        left: u64,
    },
}

impl Body {
    /// No octets.
    pub fn empty() -> Self {
        Self::new(Source::Text(None))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            place: None,
        }
    }

    /// Keeps a place for as long as the body lives.
    pub(super) fn keep(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::new(Source::Text(
            Some(text.into()).filter(|text| !text.is_empty()),
        ))
    }

    pub(super) fn app(body: Incoming) -> Self {
        Self::new(Source::App(body))
    }

    /// `length` octets of a file from its current position.
    pub(super) fn file(file: File, length: u64) -> Self {
        let octets = ReaderStream::with_capacity(file.take(length), FILE_CHUNK);
        Self::new(Source::File {
            octets,
            left: length,
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match &mut self.source {
            Source::Text(text) => text.take().map(|text| Ok(Frame::data(text))),
            Source::App(body) => ready!(Pin::new(body).poll_frame(cx))
                .map(|frame| frame.map_err(|e| broken(format!("the app broke off: {e}")))),
            Source::File { octets, left } => match ready!(Pin::new(octets).poll_next(cx)) {
                Some(Ok(chunk)) => {
                    *left = left.saturating_sub(chunk.len() as u64);
                    Some(Ok(Frame::data(chunk)))
                }
                Some(Err(e)) => Some(Err(broken(format!("the file cannot be read: {e}")))),
                None if *left > 0 => {
                    *left = 0;
                    Some(Err(broken(
                        "the file became shorter while it was read".to_owned(),
                    )))
                }
                None => None,
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Text(text) => text.is_none(),
            Source::App(body) => body.is_end_stream(),
            Source::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Source::App(body) => body.size_hint(),
            Source::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

fn broken(detail: String) -> Error {
    Error::new(ResetCode::Broken, detail)
}
