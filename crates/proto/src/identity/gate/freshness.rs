//! Whether a proven statement is new: by its time and a memory of those seen, or by a nonce that the device gave out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    identity::{Nonce, StatementHash, Time},
    wire::statement::{KeyBytes, Offer},
};

/// How far the clocks of caller and device may differ.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long a statement is remembered at least: as long as its time could pass, on either side of the clock.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Most statements remembered; when full, new ones are stale and come in by a nonce.
pub(super) const MAX_SEEN: usize = 4096;

/// How long a caller may take for its second try.
const CHALLENGE_LIFE: Duration = Duration::from_secs(60);

/// Most nonces that wait for a second try; the oldest goes first.
pub(super) const MAX_CHALLENGES: usize = 1024;

/// Why a proven offer is not fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StaleReason {
    /// More than 5 minutes old, or from before the device started.
    #[error("too old: is the caller's clock right?")]
    Old,
    /// More than 5 minutes early.
    #[error("too early: is the device's clock right?")]
    Early,
    /// Seen before: somebody sends it again.
    #[error("seen before")]
    Repeated,
    /// Too many new statements to remember another.
    #[error("too many statements were seen lately")]
    Full,
    /// The nonce in it was not given to this caller, is older than a minute, or spent.
    #[error("its nonce is unknown or spent")]
    Nonce,
}

#[derive(Debug)]
pub(super) struct Freshness {
    started: Time,
    seen: BTreeMap<StatementHash, Time>,
    /// The hashes of `seen`, in the order in which they came.
    order: VecDeque<StatementHash>,
    challenges: VecDeque<Challenge>,
}

#[derive(Debug)]
struct Challenge {
    nonce: Nonce,
    key: KeyBytes,
    given: Time,
}

impl Freshness {
    pub(super) fn new(started: Time) -> Self {
        Self {
            started,
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            challenges: VecDeque::new(),
        }
    }

    /// Accepts each statement once.
    pub(super) fn accept(
        &mut self,
        offer: &Offer,
        hash: StatementHash,
        now: Time,
    ) -> Result<(), StaleReason> {
        match offer.reply {
            Some(nonce) => self.spend(nonce, &offer.key, now),
            None => self.see(offer.time, hash, now),
        }
    }

    /// Lets the holder of `key` try once more with this nonce.
    pub(super) fn remember_challenge(&mut self, nonce: Nonce, key: KeyBytes, now: Time) {
        if self.challenges.len() >= MAX_CHALLENGES {
            self.challenges.pop_front();
        }
        self.challenges.push_back(Challenge {
            nonce,
            key,
            given: now,
        });
    }

    fn spend(&mut self, nonce: Nonce, key: &KeyBytes, now: Time) -> Result<(), StaleReason> {
        let index = self
            .challenges
            .iter()
            .position(|c| c.nonce == nonce && c.key == *key)
            .ok_or(StaleReason::Nonce)?;
        let challenge = self.challenges.remove(index).ok_or(StaleReason::Nonce)?;
        if now.since(challenge.given) > CHALLENGE_LIFE {
            Err(StaleReason::Nonce)
        } else {
            Ok(())
        }
    }

    fn see(&mut self, time: Time, hash: StatementHash, now: Time) -> Result<(), StaleReason> {
        if now.since(time) > TOLERANCE || time < self.started {
            return Err(StaleReason::Old);
        }
        if time.since(now) > TOLERANCE {
            return Err(StaleReason::Early);
        }
        if self.seen.contains_key(&hash) {
            return Err(StaleReason::Repeated);
        }
        if self.seen.len() >= MAX_SEEN {
            self.forget(now);
        }
        if self.seen.len() >= MAX_SEEN {
            return Err(StaleReason::Full);
        }
        self.seen.insert(hash, now);
        self.order.push_back(hash);
        Ok(())
    }

    /// Only where room is needed: a clock that was wrong for a while and is put right must not let a statement in again.
    fn forget(&mut self, now: Time) {
        while let Some(oldest) = self.order.front() {
            if self
                .seen
                .get(oldest)
                .is_some_and(|&seen| now.since(seen) <= REMEMBERED)
            {
                break;
            }
            self.seen.remove(oldest);
            self.order.pop_front();
        }
    }
}
