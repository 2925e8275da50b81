//! The native peer of Peerage.

mod access;
mod channel;
mod clock;
mod connection;
mod engine;
pub mod http;
mod peer;
pub mod proxy;
mod random;
mod signalling;

pub use access::Access;
pub use channel::{Channel, ChannelReceiver, ChannelSender, MAX_MESSAGE, Message, SendError};
pub use connection::{About, CloseReason, Connection, JsonError, Route, Serialization, Stats};
pub use peer::{BuildError, Builder, ConnectError, ConnectOptions, Peer};
pub use signalling::{SignallingError, State as ServerState};
