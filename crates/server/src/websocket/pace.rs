//! How fast one socket may talk: token buckets for messages and octets (RFC 2697's idea, one rate).

use std::time::{Duration, Instant};

/// What is left of a socket's allowance.
#[derive(Debug)]
pub(crate) struct Pace {
    messages: Bucket,
    octets: Bucket,
}

impl Pace {
    pub(crate) fn new(
        message_rate: u32,
        message_burst: u32,
        octet_rate: u32,
        now: Instant,
    ) -> Self {
        Self {
            messages: Bucket::new(message_rate, message_burst, now),
            octets: Bucket::new(octet_rate, octet_rate, now),
        }
    }

    /// Counts a message that was read; until when not to read another one, if it was too much.
    pub(crate) fn spend(&mut self, octets: usize, now: Instant) -> Option<Instant> {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.messages
            .spend(1, now)
            .max(self.octets.spend(octets, now))
    }
}

#[derive(Debug)]
struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self {
            rate: rate.into(),
            burst: burst.into(),
            level: burst.into(),
            at: now,
        }
    }

    fn spend(&mut self, amount: u32, now: Instant) -> Option<Instant> {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.level = (self.level + refilled).min(self.burst) - f64::from(amount);
        self.at = now;
        (self.level < 0.0).then(|| now + Duration::from_secs_f64(-self.level / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_follows_waits_for_its_turn() {
        let start = Instant::now();
        let mut pace = Pace::new(200, 3, 1_000, start);
        assert_eq!([(); 3].map(|()| pace.spend(1, start)), [None; 3]);
        assert_eq!(pace.spend(1, start), Some(start + Duration::from_millis(5)));
        assert_eq!(pace.spend(1, start + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_large_message_is_paid_for_by_the_ones_after_it() {
        let start = Instant::now();
        let mut pace = Pace::new(200, 200, 1_000, start);
        assert_eq!(
            pace.spend(3_000, start),
            Some(start + Duration::from_secs(2))
        );
    }
}
