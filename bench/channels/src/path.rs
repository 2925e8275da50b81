//! A simulated network path: delay, a bottleneck with a finite queue, random loss from a seed. Time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a path does to datagrams, in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// One-way delay.
    pub delay: Duration,
    /// Bottleneck, in bytes per second.
    pub rate: f64,
    /// Longest wait in front of the bottleneck; what would wait longer is dropped.
    pub queue: Duration,
    /// Share of datagrams lost at random, 0.0 to 1.0.
    pub loss: f64,
}

/// One direction of a path. Never reorders.
#[derive(Debug)]
pub struct Path {
    conditions: Conditions,
    chance: Xorshift,
    free_at: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Path {
    pub fn new(conditions: Conditions, seed: u64, now: Instant) -> Self {
        Self { conditions, chance: Xorshift::new(seed), free_at: now, under_way: VecDeque::new() }
    }

    pub fn send(&mut self, datagram: Vec<u8>, now: Instant) {
        let start = self.free_at.max(now);
        if start - now > self.conditions.queue {
            return;
        }
        // 28 bytes of IPv4 and UDP headers pass the bottleneck too.
        let serialised = Duration::from_secs_f64((datagram.len() + 28) as f64 / self.conditions.rate);
        self.free_at = start + serialised;
        if self.chance.unit() >= self.conditions.loss {
            self.under_way.push_back((self.free_at + self.conditions.delay, datagram));
        }
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        (self.next_arrival()? <= now).then(|| self.under_way.pop_front().map(|(_, d)| d))?
    }
}

/// xorshift64*: enough for loss, the same on every machine.
#[derive(Debug)]
struct Xorshift(u64);

impl Xorshift {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}
