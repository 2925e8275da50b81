//! The native peer of Peerage.

mod channel;
mod connection;
mod engine;
pub mod http;
pub mod proxy;
mod random;
mod signalling;

pub use channel::{Channel, ChannelReceiver, ChannelSender, MAX_MESSAGE, Message, SendError};
pub use connection::{CloseReason, Route, Stats};
pub use signalling::SignallingError;
