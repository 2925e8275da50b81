//! What a peer's connections have come to, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::connection::Route;

/// Upper ends of the classes of [`Totals::opened`], in milliseconds; the last class has none.
pub(crate) const CLASSES: [u64; 9] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// Counters that connections and their tasks write.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    direct: PerRoute,
    relayed: PerRoute,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct PerRoute {
    opened: AtomicU64,
    /// Microseconds.
    time: AtomicU64,
    slowest: AtomicU64,
    classes: [AtomicU64; CLASSES.len() + 1],
    sent: AtomicU64,
    received: AtomicU64,
}

/// Tells what a peer's connections have come to. See [`Peer::counters`](crate::Peer::counters).
#[derive(Debug, Clone)]
pub struct Counters(pub(crate) Arc<Totals>);

impl Counters {
    /// What they have come to so far.
    pub fn stats(&self) -> PeerStats {
        self.0.stats()
    }
}

/// What a peer's connections have come to since it was built, those that are over included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Of connections while they were direct.
    pub direct: RouteStats,
    /// Of connections while they went through a TURN server, of either side.
    pub relayed: RouteStats,
    /// Connections that were begun and never opened, refused ones included.
    pub failed: u64,
}

/// What went one way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteStats {
    /// Connections that were this way when they opened.
    pub opened: u64,
    /// How long these took, all together: for a caller from the call on, else from the answer on.
    pub opening_time: Duration,
    /// The longest that one took.
    pub slowest: Duration,
    /// How many of them took at most so long; each is counted in the longer ones as well.
    pub within: Vec<(Duration, u64)>,
    /// Octets of UDP payload that went out this way; without what TURN adds.
    pub sent: u64,
    /// Octets that came in.
    pub received: u64,
}

impl Totals {
    pub(crate) fn count_sent(&self, octets: usize, relayed: bool) {
        add(&self.way(relayed).sent, octets as u64);
    }

    pub(crate) fn count_received(&self, octets: usize, relayed: bool) {
        add(&self.way(relayed).received, octets as u64);
    }

    pub(crate) fn opened(&self, route: Route, after: Duration) {
        let way = self.way(route == Route::Relayed);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        add(&way.opened, 1);
        add(&way.time, micros);
        way.slowest.fetch_max(micros, Ordering::Relaxed);
        let class = CLASSES
            .iter()
            .position(|end| after <= Duration::from_millis(*end));
        add(&way.classes[class.unwrap_or(CLASSES.len())], 1);
    }

    pub(crate) fn failed(&self) {
        add(&self.failed, 1);
    }

    pub(crate) fn stats(&self) -> PeerStats {
        PeerStats {
            direct: self.direct.stats(),
            relayed: self.relayed.stats(),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn way(&self, relayed: bool) -> &PerRoute {
        match relayed {
            true => &self.relayed,
            false => &self.direct,
        }
    }
}

impl PerRoute {
    fn stats(&self) -> RouteStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sum = 0;
        let within = CLASSES.iter().zip(&self.classes).map(|(end, class)| {
            sum += read(class);
            (Duration::from_millis(*end), sum)
        });
        RouteStats {
            within: within.collect(),
            opened: read(&self.opened),
            opening_time: Duration::from_micros(read(&self.time)),
            slowest: Duration::from_micros(read(&self.slowest)),
            sent: read(&self.sent),
            received: read(&self.received),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_and_relayed_are_counted_apart_and_times_in_classes() {
        let totals = Totals::default();
        totals.opened(Route::Direct, Duration::from_millis(50));
        totals.opened(Route::Direct, Duration::from_millis(51));
        totals.opened(Route::Relayed, Duration::from_secs(60));
        totals.count_sent(3, true);
        totals.count_received(4, false);
        totals.failed();
        let stats = totals.stats();
        assert_eq!((stats.direct.opened, stats.relayed.opened), (2, 1));
        assert_eq!(stats.direct.within[0].1, 1);
        assert!(
            stats.direct.within[1..]
                .iter()
                .all(|(_, count)| *count == 2)
        );
        assert!(stats.relayed.within.iter().all(|(_, count)| *count == 0));
        assert_eq!(stats.relayed.slowest, Duration::from_secs(60));
        assert_eq!(stats.direct.opening_time, Duration::from_millis(101));
        assert_eq!((stats.relayed.sent, stats.relayed.received), (3, 0));
        assert_eq!((stats.direct.sent, stats.direct.received), (0, 4));
        assert_eq!(stats.failed, 1);
    }
}
