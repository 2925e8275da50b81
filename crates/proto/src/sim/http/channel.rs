//! One direction of a data channel: in order, without loss, with a delay, a rate and little room; until it dies.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sim::Rng;

#[derive(Debug)]
pub(super) struct Channel {
    delay: Duration,
    /// Octets a second.
    rate: u64,
    /// Octets under way at most, give or take a message.
    room: usize,
    under_way: usize,
    last: Instant,
    queue: VecDeque<(Instant, Bytes)>,
    dead: bool,
}

impl Channel {
    pub(super) fn new(rng: &mut Rng, now: Instant) -> Self {
        Self {
            delay: Duration::from_micros(rng.size(80_000)),
            rate: rng.pick(2_000_000..60_000_000),
            room: rng.pick(16_384..300_000) as usize,
            under_way: 0,
            last: now,
            queue: VecDeque::new(),
            dead: false,
        }
    }

    /// How long an octet waits at most that is handed over when there is room.
    pub(super) fn latency(&self) -> Duration {
        self.delay + self.airtime(self.room + 16_384)
    }

    /// How long the channel is busy with so many octets.
    pub(super) fn airtime(&self, octets: usize) -> Duration {
        Duration::from_nanos(octets as u64 * 1_000_000_000 / self.rate)
    }

    pub(super) fn has_room(&self) -> bool {
        self.under_way < self.room
    }

    pub(super) fn send(&mut self, message: Bytes, now: Instant) {
        if self.dead || message.is_empty() {
            return;
        }
        self.last = self.last.max(now + self.delay) + self.airtime(message.len());
        self.under_way += message.len();
        self.queue.push_back((self.last, message));
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    pub(super) fn receive(&mut self, now: Instant) -> Option<Bytes> {
        let (_, message) = self.queue.pop_front_if(|(at, _)| *at <= now)?;
        self.under_way -= message.len();
        Some(message)
    }

    /// Nothing arrives any more, of what is under way neither.
    pub(super) fn die(&mut self) {
        self.dead = true;
        self.queue.clear();
        self.under_way = 0;
    }
}
