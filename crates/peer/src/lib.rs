//! The native peer of Peerage.

mod channel;
mod engine;
pub mod http;
pub mod proxy;
mod signalling;

pub use channel::{Channel, ChannelClosed, Message};
