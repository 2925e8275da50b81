//! Machines against each other in virtual time: one seed decides everything, so a failure can be replayed.
//!
//! `SEED=17 cargo test -p peerage-proto sim` replays one seed, `SEEDS=12000` runs as many; without them some hundreds are run.

use std::fmt;
use std::time::Duration;

pub mod http;
#[cfg(test)]
mod link;
mod rng;
#[cfg(test)]
mod room;
#[cfg(test)]
mod signal;

pub use rng::Rng;

/// A broken promise, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<P> {
    /// Replays the run.
    pub seed: u64,
    /// Virtual time since the start.
    pub at: Duration,
    /// What was broken.
    pub promise: P,
    /// By what.
    pub detail: String,
}

impl<P: fmt::Debug> fmt::Display for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            at,
            promise,
            detail,
        } = self;
        write!(f, "SEED={seed}: {promise:?} broken after {at:?}: {detail}")
    }
}

impl<P: fmt::Debug> std::error::Error for Failure<P> {}

/// The seeds to run, where `usual` is how many.
#[cfg(test)]
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(usual),
    }
}

/// Where virtual time begins.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be made from nothing, and which one it is does not show"
)]
pub(crate) fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
