//! When to ask whether the peer is still there, and when to give up.

use std::time::{Duration, Instant};

/// Silence after which a side with live exchanges sends PING.
pub const PING_AFTER: Duration = Duration::from_secs(10);
/// Silence after which it closes the link.
pub const CLOSE_AFTER: Duration = Duration::from_secs(30);

/// What an expired deadline asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    Close,
}

/// Counts steps of silence rather than comparing times: after a machine slept, the peer still gets two PINGs and 20 s to answer.
#[derive(Debug)]
pub(super) struct Liveness {
    deadline: Instant,
    pings: u32,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            deadline: now + PING_AFTER,
            pings: 0,
        }
    }

    /// A message arrived, or an idle link got work.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn expire(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline {
            return None;
        }
        self.deadline = now + PING_AFTER;
        self.pings += 1;
        Some(if PING_AFTER * self.pings < CLOSE_AFTER {
            Due::Ping
        } else {
            Due::Close
        })
    }
}
