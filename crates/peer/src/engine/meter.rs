//! What can be read of a connection at any time, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::connection::{Route, Stats};
use crate::totals::Totals;

/// Nothing heard for this long is worth telling: the peer is asked every 3 s or sooner.
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
    route: watch::Sender<Route>,
    restarts: AtomicU32,
    totals: Arc<Totals>,
}

impl Meter {
    pub(super) fn new(totals: Arc<Totals>) -> Self {
        Self {
            start: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            round_trip: AtomicU64::new(UNKNOWN),
            heard: AtomicU64::new(0),
            route: watch::Sender::new(Route::Direct),
            restarts: AtomicU32::new(0),
            totals,
        }
    }

    pub(super) fn count_received(&self, octets: usize, relayed: bool) {
        self.totals.count_received(octets, relayed);
        self.received.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Something came that only the peer can have sent.
    pub(super) fn hear(&self, now: Instant) {
        self.heard.store(
            millis(now.saturating_duration_since(self.start)),
            Ordering::Relaxed,
        );
    }

    pub(super) fn count_sent(&self, octets: usize, relayed: bool) {
        self.totals.count_sent(octets, relayed);
        self.sent.fetch_add(octets as u64, Ordering::Relaxed);
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip.store(
            u64::try_from(round_trip.as_micros()).unwrap_or(UNKNOWN),
            Ordering::Relaxed,
        );
    }

    pub(super) fn set_relayed(&self, relayed: bool) {
        let route = match relayed {
            true => Route::Relayed,
            false => Route::Direct,
        };
        self.route
            .send_if_modified(|known| std::mem::replace(known, route) != route);
    }

    pub(crate) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// When the peer was last heard.
    pub(super) fn heard(&self) -> Instant {
        self.start + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    pub(crate) fn route(&self) -> Route {
        *self.route.borrow()
    }

    /// The route, and every change of it.
    pub(crate) fn routes(&self) -> watch::Receiver<Route> {
        self.route.subscribe()
    }

    pub(crate) fn stats(&self) -> Stats {
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        let silent = self.heard().elapsed();
        Stats {
            round_trip: (round_trip != UNKNOWN).then(|| Duration::from_micros(round_trip)),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            silent: (silent >= SILENCE).then_some(silent),
            restarts: self.restarts.load(Ordering::Relaxed),
            renewals: 0,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
