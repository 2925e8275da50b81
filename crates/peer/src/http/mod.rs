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
mod link;
mod server;
mod writer;

pub use body::Body;
pub use client::Client;
pub use error::{Error, ResetCode, Retry};
pub use peerage_proto::http::CloseReason;
pub use server::{serve, serve_until};
