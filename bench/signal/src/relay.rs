//! The limit: the product's WebSocket library and nothing else. No JSON, no router, no limits, no liveness.
//! Whom a message is for is in the name: what `a17` sends goes to `b17`.
//!
//! The library's default read buffer of 128 KiB is filled with zeros before every read, which costs more than all the rest of a small message and makes
//! an idle socket hold it whole. So the limit is measured with the defaults and with a small buffer.

use std::net::Ipv4Addr;

use dashmap::DashMap;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::Outcome;
use crate::frames::HEARTBEAT;

/// Messages that are handed to a socket before it is flushed.
const BATCH: usize = 64;

type Peers = DashMap<String, UnboundedSender<Message>>;

#[tokio::main]
pub async fn run(port: u16, config: WebSocketConfig) -> Outcome<()> {
    let peers: &'static Peers = Box::leak(Box::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!(
        "{{\"event\":\"listening\",\"address\":\"{}\"}}",
        listener.local_addr()?
    );
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // What a client breaks off is its own affair.
            let _ = relay(stream, peers, config).await;
        });
    }
}

async fn relay(stream: TcpStream, peers: &'static Peers, config: WebSocketConfig) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut id = String::new();
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let read_id = |request: &Request, response: Response| {
        let query = request.uri().query().unwrap_or_default();
        id = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("id="))
            .unwrap_or_default()
            .to_owned();
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(stream, read_id, Some(config)).await?;
    let other = match id.split_at_checked(1) {
        Some(("a", rest)) => format!("b{rest}"),
        Some(("b", rest)) => format!("a{rest}"),
        _ => return Err("no id".into()),
    };
    let (sender, mut queue) = unbounded_channel();
    peers.insert(id.clone(), sender);
    socket.send(Message::text(r#"{"type":"OPEN"}"#)).await?;

    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = queue.recv_many(&mut batch, BATCH) => {
                if count == 0 { break }
                for message in batch.drain(..) {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
            }
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if message.to_text().is_ok_and(|text| text == HEARTBEAT) { continue }
                    if let Some(peer) = peers.get(&other) {
                        let _ = peer.send(message);
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break,
            },
        }
    }
    peers.remove(&id);
    Ok(())
}
