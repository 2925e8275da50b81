//! The bare data channel: no HTTP, no credit, messages of the size that HTTP uses.

use bytes::Bytes;
use peerage_peer::{Message, Peer};

use crate::Outcome;

/// The largest message of HTTP over a channel.
pub const MESSAGE: usize = 16_384;

pub async fn run(server: &str) -> Outcome<()> {
    let peer = Peer::builder().server(server).allow_unverified(true).open().await?;
    println!("id: {}", peer.id());
    while let Some(connection) = peer.incoming().await {
        let mut connection = connection.into_channel();
        tokio::spawn(async move {
            while let Some(message) = connection.recv().await {
                let Some(mut left) = std::str::from_utf8(message.as_bytes()).ok().and_then(|text| text.parse::<usize>().ok()) else { return };
                while left > 0 {
                    let size = left.min(MESSAGE);
                    if connection.send(Message::Binary(Bytes::from_static(&[0x5a; MESSAGE][..size]))).await.is_err() {
                        return;
                    }
                    left -= size;
                }
            }
        });
    }
    Ok(())
}
