//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use peerage_proto::room::Dropped;

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) offers: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) unhandled: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) unmoderated: AtomicU64,
    pub(crate) withheld: AtomicU64,
    pub(crate) untold: AtomicU64,
    pub(crate) slow: AtomicU64,
    pub(crate) candidates: AtomicU64,
    pub(crate) never_opened: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(super) fn stats(
        &self,
        (rooms, members): (usize, usize),
        half_open: usize,
        dropped: Dropped,
    ) -> HubStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HubStats {
            rooms,
            members,
            half_open,
            offers: of(&self.offers),
            refused: of(&self.refused),
            joined: of(&self.joined),
            received: of(&self.received),
            sent: of(&self.sent),
            unhandled: of(&self.unhandled),
            panicked: of(&self.panicked),
            unmoderated: of(&self.unmoderated),
            withheld: of(&self.withheld),
            untold: of(&self.untold),
            slow: of(&self.slow),
            candidates: of(&self.candidates),
            never_opened: of(&self.never_opened),
            forged: dropped.forged + dropped.host_changes + dropped.room_states,
            unaddressed: dropped.unaddressed + dropped.reserved,
            rate: dropped.rate,
        }
    }
}

/// What a hub has and what happened to it so far, as `/metrics` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Rooms.
    pub rooms: usize,
    /// Members of all of them.
    pub members: usize,
    /// Connections that are being made.
    pub half_open: usize,
    /// Offers answered.
    pub offers: u64,
    /// Offers refused.
    pub refused: u64,
    /// Members that joined.
    pub joined: u64,
    /// Messages that came from members.
    pub received: u64,
    /// Messages that went to members, one for each of them.
    pub sent: u64,
    /// Happenings that a handler or the webhook had no place for any more.
    pub unhandled: u64,
    /// Handlers' and moderators' panics.
    pub panicked: u64,
    /// Messages whose moderator failed or took too long.
    pub unmoderated: u64,
    /// Messages that a moderator withheld.
    pub withheld: u64,
    /// Happenings that the webhook did not take.
    pub untold: u64,
    /// Members that were dropped because they were too slow.
    pub slow: u64,
    /// Candidates that nobody came for, or that were too many.
    pub candidates: u64,
    /// Offers whose connection never opened.
    pub never_opened: u64,
    /// Messages that claim another sender, or say what is the hub's alone to say.
    pub forged: u64,
    /// Messages to who is not there, and events under names that are the room's own.
    pub unaddressed: u64,
    /// Messages above the rate, of those that may be lost.
    pub rate: u64,
}
