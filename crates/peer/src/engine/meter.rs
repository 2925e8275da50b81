//! What can be read of a connection at any time, from any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::connection::{Route, Stats};

/// Nothing heard for this long is worth telling; ICE asks every 3 s or sooner.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

const UNKNOWN: u64 = u64::MAX;

/// Counters of one connection, written by the driver.
#[derive(Debug)]
pub(crate) struct Meter {
    start: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// Microseconds, or `UNKNOWN`.
    round_trip: AtomicU64,
    /// Milliseconds after `start`.
    heard: AtomicU64,
    relayed: AtomicBool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            round_trip: AtomicU64::new(UNKNOWN),
            heard: AtomicU64::new(0),
            relayed: AtomicBool::new(false),
        }
    }

    pub(super) fn count_received(&self, octets: usize, now: Instant) {
        self.received.fetch_add(octets as u64, Ordering::Relaxed);
        self.heard.store(
            millis(now.saturating_duration_since(self.start)),
            Ordering::Relaxed,
        );
    }

    pub(super) fn count_sent(&self, octets: usize) {
        self.sent.fetch_add(octets as u64, Ordering::Relaxed);
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip.store(
            u64::try_from(round_trip.as_micros()).unwrap_or(UNKNOWN),
            Ordering::Relaxed,
        );
    }

    pub(super) fn set_relayed(&self, relayed: bool) {
        self.relayed.store(relayed, Ordering::Relaxed);
    }

    /// When something last came in.
    pub(super) fn heard(&self) -> Instant {
        self.start + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    pub(crate) fn route(&self) -> Route {
        if self.relayed.load(Ordering::Relaxed) {
            Route::Relayed
        } else {
            Route::Direct
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        let silent = self.heard().elapsed();
        Stats {
            round_trip: (round_trip != UNKNOWN).then(|| Duration::from_micros(round_trip)),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            silent: (silent >= SILENCE).then_some(silent),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
