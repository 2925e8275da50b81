//! The native peer of Peerage: direct, encrypted connections to browsers, devices and programs that a PeerJS server only introduces.
//!
//! Says hello to a page: `new Peer().connect('greeter').on('data', console.log)`.
//!
//! ```no_run
//! use peerage_peer::Peer;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Peer::builder().server("http://localhost:9000").id("greeter".parse()?);
//!     let peer = server.allow_unverified(true).open().await?;
//!     while let Some(page) = peer.incoming().await {
//!         page.send("hello from Rust").await?;
//!         println!("{}: {:?}", page.peer(), page.recv().await);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A [`Peer`] calls ([`Peer::connect`]) and is called ([`Peer::incoming`]). One whose id is its key's is a *device*: who calls it knows that nobody
//! answers in its place, and it lets in nobody who has no link or grant ([`Access`]). [`http`] carries HTTP over a connection, [`proxy`] puts a
//! device in front of a web app.
//!
//! Everything waits for a bounded time, holds a bounded number of octets and fails with a typed reason; everything ends with its [`Peer`].
//! Addresses are learnt from the STUN servers, and relays lent by the TURN servers, that the signalling server tells of; a relay is used where no direct path
//! is found ([`Route`]). Not here: media. A pair of peers that no address leads between gets [`ConnectError::NoRoute`], with what was tried.
//!
//! One thread per peer drives all its connections over one UDP port (calls to the same peer at the same time take one more each).
//! `.local` candidates of browsers are looked up by multicast DNS, which listens on all interfaces from the first such candidate on.

mod access;
mod channel;
mod clock;
mod connection;
pub mod direct;
pub mod doctor;
mod engine;
pub mod http;
mod net;
mod peer;
pub mod proxy;
mod random;
pub mod room;
mod signalling;
mod totals;
mod tried;

pub use access::Access;
pub use channel::{
    Batch, ByteString, Channel, ChannelReceiver, ChannelSender, MAX_MESSAGE, Message, SendError,
};
pub use connection::{
    About, ByteStream, CloseReason, Connection, ConnectionState, Decoder, Incoming, Limits,
    RecvError, Route, Serialization, Serializer, SerializerError, Stats, StreamError, TrySendError,
};
pub use peer::{Builder, ConnectError, ConnectOptions, Offer, OpenError, Peer, Refusal};
pub use peerage_proto::value::Value;
pub use signalling::{ListPeersError, SignallingError, State as ServerState};
pub use totals::{Counters, PeerStats, RouteStats};
pub use tried::{ServerOutcome, Tried, TriedCandidate, TriedKind, TriedServer};
