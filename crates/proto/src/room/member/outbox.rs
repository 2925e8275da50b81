//! What the hub may not have yet.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Config;
use crate::room::seat::Rate;

/// Counted frames in their order, each kept until the hub has it.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: VecDeque<Kept>,
    octets: usize,
    most_frames: usize,
    most_octets: usize,
    /// How many the hub has had, under the present number.
    heard: u64,
    /// How many of those that are kept were sent, by this connection and by any.
    sent: usize,
    sent_ever: usize,
    rate: Rate,
    every: (u32, u32),
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) frame: Bytes,
    /// It says something only in this life of the room.
    pub(super) is_bound: bool,
    /// The sender's number for answers.
    pub(super) ack: Option<u64>,
}

impl Outbox {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            frames: VecDeque::new(),
            octets: 0,
            most_frames: config.kept_messages,
            most_octets: config.kept_octets,
            heard: 0,
            sent: 0,
            sent_ever: 0,
            rate: Rate::default(),
            every: (config.rate, config.burst),
        }
    }

    /// Whether there is room.
    pub(super) fn push(&mut self, kept: Kept) -> bool {
        if self.frames.len() >= self.most_frames
            || self.octets + kept.frame.len() > self.most_octets
        {
            return false;
        }
        self.octets += kept.frame.len();
        self.frames.push_back(kept);
        true
    }

    /// The next to be sent, if it may be now.
    pub(super) fn next(&mut self, now: Duration) -> Option<Bytes> {
        let kept = self.frames.get(self.sent)?;
        let (rate, burst) = self.every;
        if !self.rate.takes(rate, burst, now) {
            return None;
        }
        self.sent += 1;
        self.sent_ever = self.sent_ever.max(self.sent);
        Some(kept.frame.clone())
    }

    /// Whether all of them were sent.
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.frames.len()
    }

    /// Whether a fast message may go now.
    pub(super) fn takes_fast(&mut self, now: Duration) -> bool {
        let (rate, burst) = self.every;
        self.rate.takes(rate, burst, now)
    }

    /// When the next may go.
    pub(super) fn due(&self) -> Option<Duration> {
        let (rate, burst) = self.every;
        self.frames.get(self.sent)?;
        Some(self.rate.due(rate, burst))
    }

    pub(super) fn disconnected(&mut self) {
        self.sent = 0;
    }

    /// The hub has had so many. Whether that can be.
    pub(super) fn heard(&mut self, count: u64) -> bool {
        let Some(more) = count.checked_sub(self.heard) else {
            return false;
        };
        if more > self.sent_ever as u64 {
            return false;
        }
        for _ in 0..more {
            let Some(kept) = self.frames.pop_front() else {
                break;
            };
            self.octets -= kept.frame.len();
            self.sent = self.sent.saturating_sub(1);
            self.sent_ever -= 1;
        }
        self.heard = count;
        true
    }

    /// The hub knows nothing of before: gives up what was sent, and what says nothing any more. Those of it that waited for answers. `heard` is where the hub
    /// begins to count.
    pub(super) fn begin_anew(&mut self, is_first: bool, heard: u64) -> Vec<u64> {
        let mut lost = Vec::new();
        let sent = std::mem::take(&mut self.sent_ever);
        let mut at = 0;
        self.frames.retain(|kept| {
            at += 1;
            let stays = at > sent && (is_first || !kept.is_bound);
            if !stays {
                lost.extend(kept.ack);
            }
            stays
        });
        self.octets = self.frames.iter().map(|kept| kept.frame.len()).sum();
        (self.sent, self.heard) = (0, heard);
        lost
    }
}
