//! What may be answered to who has not shown to be where it says: answers are longer than what asks for them, and who forges an address would have us
//! send them to another.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::wire::forwarded::Household;

/// Octets to one address at once: a browser's gathering takes some hundred, a household's some thousand.
pub(super) const BURST: u32 = 16 * 1024;
/// Octets a second to one address in the long run.
pub(super) const RATE: u32 = 4 * 1024;
/// Counts; addresses that fall on the same one share it. Half a megabyte.
const COUNTS: usize = 65_536;

/// Counts octets by address, in a table that does not grow.
pub(super) struct Replies {
    seed: u64,
    begun: Instant,
    counts: Box<[Count]>,
}

#[derive(Clone, Copy)]
struct Count {
    left: u32,
    /// Milliseconds since the beginning; after 49 days they begin anew, which costs an address one wait at most.
    at: u32,
}

impl Replies {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        let full = Count { left: BURST, at: 0 };
        Self {
            seed,
            begun: now,
            counts: vec![full; COUNTS].into_boxed_slice(),
        }
    }

    /// Whether so many octets may go to this address now.
    pub(super) fn admit(&mut self, ip: IpAddr, octets: usize, now: Instant) -> bool {
        let at = now.saturating_duration_since(self.begun).as_millis() as u32;
        let slot = self.slot(ip);
        let count = &mut self.counts[slot];
        let passed = Duration::from_millis(at.wrapping_sub(count.at).into());
        let earned = passed.as_millis() * u128::from(RATE) / 1000;
        // What is less than an octet is kept for the next time.
        if earned > 0 {
            let left = u128::from(count.left) + earned;
            (count.left, count.at) = (left.min(BURST.into()) as u32, at);
        }
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let is_admitted = count.left >= octets;
        if is_admitted {
            count.left -= octets;
        }
        is_admitted
    }

    /// Which addresses share a count is not for strangers to know: they could silence one by way of another.
    fn slot(&self, ip: IpAddr) -> usize {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        Household::of(ip).hash(&mut hasher);
        hasher.finish() as usize % COUNTS
    }
}
