//! Messages whose senders wait for answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::room::MemberNumber;

use super::Config;

/// By sender and the sender's number.
#[derive(Debug, Default)]
pub(super) struct Acks {
    asks: BTreeMap<(MemberNumber, u64), Ask>,
    /// That all of them wait for.
    answers: usize,
}

#[derive(Debug)]
struct Ask {
    /// In order.
    waiting: Vec<MemberNumber>,
    until: Duration,
}

/// Nobody who was asked is waited for any more.
pub(super) struct Unanswered {
    pub(super) asker: MemberNumber,
    pub(super) ack: u64,
    pub(super) from: MemberNumber,
}

impl Acks {
    /// `waiting` is in order. Nothing is kept of who waits for nobody.
    pub(super) fn ask(
        &mut self,
        asker: MemberNumber,
        ack: u64,
        waiting: Vec<MemberNumber>,
        until: Duration,
    ) {
        if !waiting.is_empty() {
            self.answers += waiting.len();
            let ask = Ask { waiting, until };
            if let Some(former) = self.asks.insert((asker, ack), ask) {
                self.answers -= former.waiting.len();
            }
        }
    }

    /// Whether one more of `asker`'s may wait for so many answers.
    pub(super) fn takes(&self, asker: MemberNumber, answers: usize, config: &Config) -> bool {
        let (mut asks, mut own) = (0, 0);
        for (_, ask) in self.asks.range(Self::range(asker)) {
            asks += 1;
            own += ask.waiting.len();
        }
        asks < config.acks
            && own + answers <= config.answers / 4
            && self.answers + answers <= config.answers
    }

    pub(super) fn has(&self, asker: MemberNumber, ack: u64) -> bool {
        self.asks.contains_key(&(asker, ack))
    }

    /// Whether this answer was waited for.
    pub(super) fn answer(&mut self, asker: MemberNumber, ack: u64, from: MemberNumber) -> bool {
        let Some(ask) = self.asks.get_mut(&(asker, ack)) else {
            return false;
        };
        let Ok(at) = ask.waiting.binary_search(&from) else {
            return false;
        };
        ask.waiting.remove(at);
        self.answers -= 1;
        if ask.waiting.is_empty() {
            self.asks.remove(&(asker, ack));
        }
        true
    }

    /// No answer comes from this one any more.
    pub(super) fn lose(&mut self, from: MemberNumber) -> Vec<Unanswered> {
        let mut unanswered = Vec::new();
        self.asks.retain(|&(asker, ack), ask| {
            if let Ok(at) = ask.waiting.binary_search(&from) {
                ask.waiting.remove(at);
                unanswered.push(Unanswered { asker, ack, from });
            }
            !ask.waiting.is_empty()
        });
        self.answers -= unanswered.len();
        unanswered
    }

    /// Nobody waits for the answers to this one any more.
    pub(super) fn forget(&mut self, asker: MemberNumber) {
        let asked: Vec<_> = self
            .asks
            .range(Self::range(asker))
            .map(|(key, _)| *key)
            .collect();
        for key in asked {
            if let Some(ask) = self.asks.remove(&key) {
                self.answers -= ask.waiting.len();
            }
        }
    }

    /// Those that were waited for too long.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Unanswered> {
        let mut unanswered = Vec::new();
        self.asks.retain(|&(asker, ack), ask| {
            if ask.until > now {
                return true;
            }
            unanswered.extend(
                ask.waiting
                    .iter()
                    .map(|&from| Unanswered { asker, ack, from }),
            );
            false
        });
        self.answers -= unanswered.len();
        unanswered
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.asks.values().map(|ask| ask.until).min()
    }

    fn range(asker: MemberNumber) -> std::ops::RangeInclusive<(MemberNumber, u64)> {
        (asker, 0)..=(asker, u64::MAX)
    }
}
