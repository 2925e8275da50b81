//! Machines against each other in virtual time: one seed decides everything, so a failure can be replayed.
//!
//! `SEED=17 cargo test -p peerage-proto sim` replays one seed; without it some hundreds are run.

pub mod http;
mod rng;

pub use rng::Rng;
