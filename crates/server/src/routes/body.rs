//! Bodies of requests.

use axum::body::Body;
use futures_util::StreamExt;
use http::StatusCode;

use crate::websocket::Share;

/// A whole body, of so many octets at most, which count in the share. 400 where it breaks off, 413 where it is larger, 503 where there is no room.
pub(crate) async fn whole(
    body: Body,
    most: usize,
    share: &mut Share,
) -> Result<Vec<u8>, StatusCode> {
    let mut pieces = body.into_data_stream();
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| StatusCode::BAD_REQUEST)?;
        let octets = text.len() + piece.len();
        if octets > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if !share.resize(octets) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}
