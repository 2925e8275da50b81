//! Machines against each other in virtual time: one seed decides everything, so a failure can be replayed.
//!
//! `SEED=17 cargo test -p peerage-proto sim` replays one seed; without it some hundreds are run.

pub mod http;
#[cfg(test)]
mod link;
mod rng;
#[cfg(test)]
mod signal;

pub use rng::Rng;

/// Where virtual time begins.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be made from nothing, and which one it is does not show"
)]
pub(crate) fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
