//! Wire formats and machines of Peerage. No IO, no async, no clock, no randomness of its own: time comes in as an argument, chance as a generator.
//!
//! Every machine is driven the same way: feed one input, drain its outputs to `None`, re-arm at `poll_timeout`.

pub mod chunks;
pub mod file;
pub mod http;
pub mod identity;
pub mod jar;
pub mod legacy;
pub mod link;
pub mod names;
pub mod nearby;
pub mod room;
pub mod signal;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod turn;
pub mod value;
pub mod wire;
