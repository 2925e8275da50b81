//! What was said lately, for who comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::room::MemberNumber;

use super::Config;

/// Octets that an entry is counted for beside its frame.
const OVERHEAD: usize = 64;

/// Frames in the room's order, with their receivers.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    octets: usize,
    /// The highest place in the order that is no longer here.
    gone: u64,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    at: Duration,
    frame: Bytes,
    audience: Audience,
}

/// Who a frame is for.
#[derive(Debug, Clone)]
pub(super) enum Audience {
    /// Everybody but this one.
    AllBut(Option<MemberNumber>),
    /// These, in order.
    These(Arc<[MemberNumber]>),
}

impl Audience {
    pub(super) fn has(&self, member: MemberNumber) -> bool {
        match self {
            Self::AllBut(but) => *but != Some(member),
            Self::These(members) => members.binary_search(&member).is_ok(),
        }
    }
}

impl Window {
    pub(super) fn push(
        &mut self,
        seq: u64,
        frame: Bytes,
        audience: Audience,
        config: &Config,
        now: Duration,
    ) {
        self.octets += frame.len() + OVERHEAD;
        self.entries.push_back(Entry {
            seq,
            at: now,
            frame,
            audience,
        });
        while self.entries.len() > config.kept_messages || self.octets > config.kept_octets {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    /// Forgets what is too old, and what everybody has: up to `got`.
    pub(super) fn trim(&mut self, got: u64, config: &Config, now: Duration) {
        while let Some(oldest) = self.entries.front() {
            if oldest.at + config.kept_for > now && oldest.seq > got {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Nobody could come back: forgets all.
    pub(super) fn clear(&mut self) {
        while self.drop_oldest() {}
        self.entries.shrink_to_fit();
    }

    /// When the oldest is too old.
    pub(super) fn due(&self, config: &Config) -> Option<Duration> {
        Some(self.entries.front()?.at + config.kept_for)
    }

    /// Whether all that came after `last` is here.
    pub(super) const fn covers(&self, last: u64) -> bool {
        last >= self.gone
    }

    /// What came after `last` for a member.
    pub(super) fn after(
        &self,
        last: u64,
        member: MemberNumber,
    ) -> impl Iterator<Item = &Bytes> + '_ {
        let begin = self.entries.partition_point(|entry| entry.seq <= last);
        self.entries
            .range(begin..)
            .filter(move |entry| entry.audience.has(member))
            .map(|entry| &entry.frame)
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else {
            return false;
        };
        self.octets -= oldest.frame.len() + OVERHEAD;
        self.gone = oldest.seq;
        true
    }
}
