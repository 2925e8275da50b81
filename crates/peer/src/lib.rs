//! The native peer of Peerage: direct, encrypted connections to browsers, devices and programs that a PeerJS server only introduces.
//!
//! ```no_run
//! use peerage_peer::{ConnectOptions, Message, Peer};
//!
//! # async fn hello() -> Result<(), Box<dyn std::error::Error>> {
//! let peer = Peer::builder().server("https://example.org").build().await?;
//! let mut friend = peer.connect(&"alice".parse()?, ConnectOptions::default()).await?;
//! friend.send(Message::Text("hello".into())).await?;
//! println!("{:?} over {:?}", friend.recv().await, friend.route());
//! peer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Peer`] calls ([`Peer::connect`]) and is called ([`Peer::incoming`]). One whose id is its key's is a *device*: who calls it knows that nobody
//! answers in its place, and it lets in nobody who has no link or grant ([`Access`]). [`http`] carries HTTP over a connection, [`proxy`] puts a
//! device in front of a web app.
//!
//! Everything waits for a bounded time, holds a bounded number of octets and fails with a typed reason; everything ends with its [`Peer`].
//! Addresses are learnt from the STUN servers, and relays lent by the TURN servers, that the signalling server tells of; a relay is used where no direct path
//! is found ([`Route`]). Not here: media. A pair of peers that no address leads between gets [`ConnectError::NoRoute`].
//!
//! One thread per peer drives all its connections over one UDP port (calls to the same peer at the same time take one more each).
//! `.local` candidates of browsers are looked up by multicast DNS, which listens on all interfaces from the first such candidate on.

mod access;
mod channel;
mod clock;
mod connection;
pub mod doctor;
mod engine;
pub mod http;
mod net;
mod peer;
pub mod proxy;
mod random;
mod signalling;
mod totals;
mod tried;

pub use access::Access;
pub use channel::{Channel, ChannelReceiver, ChannelSender, MAX_MESSAGE, Message, SendError};
pub use connection::{About, CloseReason, Connection, JsonError, Route, Serialization, Stats};
pub use peer::{BuildError, Builder, ConnectError, ConnectOptions, Peer};
pub use signalling::{SignallingError, State as ServerState};
pub use totals::{Counters, PeerStats, RouteStats};
pub use tried::{ServerOutcome, Tried, TriedCandidate, TriedKind, TriedServer};
