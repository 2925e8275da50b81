//! A large value that is handed out as it comes.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::Stream;
use peerage_proto::value::Value;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::Shared;
use super::error::{RecvError, StreamError};
use super::intake::{Intake, Part};

/// Bytes or text of a known length, in pieces as they come from the peer. Dropping it gives up the rest.
pub struct ByteStream {
    shared: Arc<Shared>,
    part: Arc<Part>,
}

impl ByteStream {
    pub(super) fn new(shared: Arc<Shared>, part: Arc<Part>) -> Self {
        Self { shared, part }
    }

    /// Octets in all.
    pub fn length(&self) -> u64 {
        self.part.length
    }

    /// Whether the value is text, in UTF-8; a character may lie on both sides of a cut.
    pub fn is_text(&self) -> bool {
        self.part.text
    }

    /// The next piece, never empty; `None` after the last. Cancel-safe.
    ///
    /// # Errors
    /// The stream broke off; there are no more pieces then.
    pub async fn next(&mut self) -> Option<Result<Bytes, StreamError>> {
        Intake::piece(&self.shared, &self.part).await
    }

    /// The pieces as a reader.
    pub fn into_reader(self) -> impl AsyncRead + Send {
        StreamReader::new(Box::pin(self.into_pieces()))
    }

    fn into_pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut stream| async move {
            let piece = stream.next().await?;
            Some((piece.map_err(io::Error::other), stream))
        })
    }

    /// The whole value.
    pub(super) async fn collect(mut self) -> Result<Value, RecvError> {
        let limit = self.shared.intake.limits.message as u64;
        if self.length() > limit {
            return Err(RecvError::Dropped(format!(
                "it has {} octets; at most {limit} are taken whole",
                self.length()
            )));
        }
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await {
            whole.extend_from_slice(&piece.map_err(|error| RecvError::Dropped(error.to_string()))?);
        }
        if !self.is_text() {
            return Ok(Value::Bytes(whole.into()));
        }
        String::from_utf8(whole)
            .map(Value::Text)
            .map_err(|error| RecvError::Malformed(error.to_string()))
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        self.shared.intake.abandon(&self.part);
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("length", &self.length())
            .field("text", &self.is_text())
            .finish_non_exhaustive()
    }
}
