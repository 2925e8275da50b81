//! Which ports of the relay's range are free, in one address family.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a port is kept for who has its token (RFC 8656 section 7.2).
const RESERVED_FOR: Duration = Duration::from_secs(30);
/// Ports that are kept so at a time; one more is refused.
pub(super) const MAX_RESERVED: usize = 64;

pub(super) struct Ports {
    first: u16,
    is_used: Vec<bool>,
    reserved: Vec<Reservation>,
}

struct Reservation {
    token: u64,
    port: u16,
    until: Instant,
}

impl Ports {
    pub(super) fn new(range: &RangeInclusive<u16>) -> Self {
        Self {
            first: *range.start(),
            is_used: vec![false; range.len()],
            reserved: Vec::new(),
        }
    }

    /// Takes a free port, chosen by chance: who knows one must not know the next. `even`: an even one; `pair`: whose successor is free too.
    pub(super) fn take(
        &mut self,
        chance: u64,
        even: bool,
        pair: bool,
        now: Instant,
    ) -> Option<u16> {
        self.expire(now);
        let all = self.is_used.len();
        let start = (chance % all.max(1) as u64) as usize;
        let at = (0..all).map(|step| (start + step) % all).find(|at| {
            let is_even = (usize::from(self.first) + at).is_multiple_of(2);
            !self.is_used[*at]
                && (!even || is_even)
                && (!pair || self.is_used.get(at + 1) == Some(&false))
        })?;
        self.is_used[at] = true;
        Some(self.first + at as u16)
    }

    pub(super) fn free(&mut self, port: u16) {
        if let Some(is_used) = self.is_used.get_mut(usize::from(port - self.first)) {
            *is_used = false;
        }
    }

    /// Keeps the port after this one for who shows the token.
    pub(super) fn reserve_after(&mut self, port: u16, token: u64, now: Instant) -> bool {
        self.expire(now);
        let at = usize::from(port - self.first) + 1;
        if self.reserved.len() >= MAX_RESERVED || self.is_used.get(at) != Some(&false) {
            return false;
        }
        self.is_used[at] = true;
        self.reserved.push(Reservation {
            token,
            port: port + 1,
            until: now + RESERVED_FOR,
        });
        true
    }

    /// Whether one more port may be kept.
    pub(super) fn may_reserve(&mut self, now: Instant) -> bool {
        self.expire(now);
        self.reserved.len() < MAX_RESERVED
    }

    /// Whether a port is kept for a token.
    pub(super) fn has(&mut self, token: u64, now: Instant) -> bool {
        self.expire(now);
        self.reserved.iter().any(|kept| kept.token == token)
    }

    /// Takes the port that is kept for a token.
    pub(super) fn redeem(&mut self, token: u64, now: Instant) -> Option<u16> {
        self.expire(now);
        let at = self.reserved.iter().position(|kept| kept.token == token)?;
        Some(self.reserved.swap_remove(at).port)
    }

    fn expire(&mut self, now: Instant) {
        let (first, is_used) = (self.first, &mut self.is_used);
        self.reserved.retain(|kept| {
            let is_kept = kept.until > now;
            if !is_kept {
                is_used[usize::from(kept.port - first)] = false;
            }
            is_kept
        });
    }
}
