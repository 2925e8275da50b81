//! HTTP over a data channel (`docs/protocol/http.md`): any number of requests at once on one [`Channel`](crate::Channel).
//!
//! ```no_run
//! # async fn example(channel: peerage_peer::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use http_body_util::{BodyExt as _, Empty};
//! use peerage_peer::http::Client;
//!
//! let client = Client::new(channel);
//! let request = http::Request::get("/status").body(Empty::<bytes::Bytes>::new())?;
//! let response = client.request(request).await?;
//! let octets = response.into_body().collect().await?.to_bytes();
//! # drop(octets);
//! # Ok(())
//! # }
//! ```
//!
//! A WebSocket is opened on the same link, beside the requests:
//!
//! ```no_run
//! # async fn example(client: peerage_peer::http::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use peerage_peer::{Message, http::Received};
//!
//! let request = http::Request::get("/live").header("sec-websocket-protocol", "chat").body(())?;
//! let (mut socket, _response) = client.open_websocket(request).await?;
//! socket.send(Message::Text("hello".into())).await?;
//! while let Received::Message(message) = socket.recv().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Bodies stream both ways, with backpressure end to end: the peer may send no more than a window of octets beyond what
//! the reader of a [`Body`] has taken, and a body that is sent is polled only while there is room for it.
//! Dropping a response, or the future of one, resets its exchange and nothing else.
//!
//! One task moves the messages of a link; the protocol's machine is behind one lock, taken for single steps, and all
//! other tasks work on it directly.

mod body;
mod client;
mod driver;
mod error;
mod head;
mod interim;
mod link;
mod server;
mod upgrade;
mod websocket;
mod writer;

pub use body::Body;
pub use client::Client;
pub use error::{Error, ResetCode, Retry, WebSocketError};
pub(crate) use head::{HOP_OF_WEBSOCKET, is_offered};
pub use interim::{Informer, on_interim};
pub use peerage_proto::http::CloseReason;
pub use server::{Features, serve, serve_until, serve_with};
pub use upgrade::Upgrade;
pub use websocket::{
    Close, CloseError, MAX_SOCKET_MESSAGE, Received, WebSocket, WebSocketReceiver, WebSocketSender,
};
