//! Deadlines, earliest first, each of which can be taken back.

use std::collections::BTreeMap;
use std::time::Instant;

/// Deadlines in order of time, and of arming where times are equal.
#[derive(Debug)]
pub(super) struct Timers<T> {
    due: BTreeMap<TimerKey, T>,
    armed: u64,
}

/// Names an armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey {
    at: Instant,
    serial: u64,
}

impl<T> Timers<T> {
    pub(super) fn arm(&mut self, at: Instant, timer: T) -> TimerKey {
        self.armed += 1;
        let key = TimerKey {
            at,
            serial: self.armed,
        };
        self.due.insert(key, timer);
        key
    }

    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.due.remove(&key);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(key, _)| key.at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.due.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove())
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            armed: 0,
        }
    }
}
