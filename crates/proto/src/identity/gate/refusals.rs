//! How often a device says no: once for a connection id and generation, and not too often in all, so that it is nobody's amplifier and hardly a probe's.

use std::collections::{BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use super::IncomingOffer;
use crate::identity::Time;

/// One refusal in this many milliseconds, over time.
const INTERVAL: u64 = 100;

/// So many at once, before that.
const BURST: u64 = 50;

/// Connection ids remembered as refused: more than a minute's worth at the full rate.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When the allowance is whole again: the theoretical arrival time of GCRA (ITU-T I.371).
    whole_at: u64,
    answered: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Refusals {
    /// Whether a refusal may be sent for this generation of this connection; counts it as sent.
    pub(super) fn allow(&mut self, offer: &IncomingOffer<'_>, now: Time) -> bool {
        let name = name_of(offer);
        if self.answered.contains(&name) || !self.take(now) {
            return false;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answered.remove(&oldest);
        }
        self.answered.insert(name);
        self.order.push_back(name);
        true
    }

    fn take(&mut self, Time(now): Time) -> bool {
        let ahead = self.whole_at.saturating_sub(now);
        if ahead > BURST * INTERVAL {
            // The clock went back: begin anew, or nobody would be answered until it has caught up.
            self.whole_at = now;
        } else if ahead > (BURST - 1) * INTERVAL {
            return false;
        }
        self.whole_at = self.whole_at.max(now) + INTERVAL;
        true
    }
}

fn name_of(offer: &IncomingOffer<'_>) -> [u8; 32] {
    let src = offer.src.as_str();
    let mut hash = Sha256::new();
    hash.update(offer.payload.generation.unwrap_or(0).to_be_bytes());
    hash.update((src.len() as u64).to_be_bytes());
    hash.update(src);
    hash.update(offer.payload.connection_id.as_str());
    hash.finalize().into()
}
