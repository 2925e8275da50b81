//! One member's place in a room.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::room::{Json, LeftReason, MemberNumber, Name, Said, To, Token};

use super::{ConnKey, Kind, Payload, Ticket, Verdict};

/// Most frames outside of the room's order that wait for a member that is away, and their octets.
const OWED_FRAMES: usize = 256;
const OWED_OCTETS: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) number: MemberNumber,
    pub(super) name: Name,
    pub(super) kind: Kind,
    /// Whose it is; old clients have none.
    pub(super) token: Option<Token>,
    pub(super) metadata: Json,
    pub(super) conn: Option<ConnKey>,
    /// Its place among the members that are there; none once others were told that it left.
    pub(super) order: Option<u64>,
    pub(super) joined: Duration,
    pub(super) seen: Duration,
    pub(super) is_suspected: bool,
    /// The place in the room's order that it has come to know all before.
    pub(super) since: u64,
    /// What its application has, in the room's order.
    pub(super) got: u64,
    /// How many counted frames came from it, and of how many it knows.
    pub(super) heard: u64,
    pub(super) heard_told: u64,
    /// When others are told that it left.
    pub(super) away_until: Option<Duration>,
    /// When its place is free.
    pub(super) held_until: Option<Duration>,
    /// When an old client was told who is there.
    pub(super) state_at: Option<Duration>,
    /// It has left; what it said before still waits for verdicts.
    pub(super) leaving: Option<Leaving>,
    pub(super) rate: Rate,
    pub(super) pending: VecDeque<Pending>,
    pub(super) pending_octets: usize,
    owed: VecDeque<Bytes>,
    owed_octets: usize,
}

/// How it goes once everything it said is judged.
#[derive(Debug, Clone)]
pub(super) struct Leaving {
    pub(super) reason: LeftReason,
    pub(super) is_held: bool,
    /// What an old client said, as others may have it.
    pub(super) original: Option<Payload>,
}

/// A message that waits for its verdict, or for those before it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) verdict: Option<Verdict>,
    pub(super) until: Duration,
    pub(super) octets: usize,
    pub(super) message: Message,
}

/// What a member wants others to get.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) said: Said,
    pub(super) to: To,
    pub(super) ack: Option<u64>,
    pub(super) fast: bool,
    /// As an old client wrote it.
    pub(super) original: Option<Payload>,
}

impl Seat {
    pub(super) fn new(
        number: MemberNumber,
        name: Name,
        token: Option<Token>,
        metadata: Json,
        conn: ConnKey,
        now: Duration,
    ) -> Self {
        Self {
            number,
            name,
            kind: if token.is_some() {
                Kind::Native
            } else {
                Kind::Legacy
            },
            token,
            metadata,
            conn: Some(conn),
            order: None,
            joined: now,
            seen: now,
            is_suspected: false,
            since: 0,
            got: 0,
            heard: 0,
            heard_told: 0,
            away_until: None,
            held_until: None,
            state_at: None,
            leaving: None,
            rate: Rate::default(),
            pending: VecDeque::new(),
            pending_octets: 0,
            owed: VecDeque::new(),
            owed_octets: 0,
        }
    }

    /// Whether others see it.
    pub(super) const fn is_present(&self) -> bool {
        self.order.is_some()
    }

    /// Keeps a frame for when it is back. The oldest goes: its sender waits no longer for it than for any other.
    pub(super) fn owe(&mut self, frame: Bytes) {
        self.owed_octets += frame.len();
        self.owed.push_back(frame);
        while self.owed.len() > OWED_FRAMES || self.owed_octets > OWED_OCTETS {
            let Some(oldest) = self.owed.pop_front() else {
                break;
            };
            self.owed_octets -= oldest.len();
        }
    }

    pub(super) fn take_owed(&mut self) -> VecDeque<Bytes> {
        self.owed_octets = 0;
        std::mem::take(&mut self.owed)
    }

    /// The next time something is due for it.
    pub(super) fn due(&self) -> Option<Duration> {
        let verdict = self.pending.front().map(|pending| pending.until);
        [self.away_until, self.held_until, verdict]
            .into_iter()
            .flatten()
            .min()
    }
}

/// How much a member says: the generic cell rate algorithm (ITU-T I.371), whose state is one time.
#[derive(Debug, Default)]
pub(super) struct Rate {
    next: Duration,
}

impl Rate {
    /// Whether one more is within `rate` a second, and `burst` at once.
    pub(super) fn takes(&mut self, rate: u32, burst: u32, now: Duration) -> bool {
        let each = Duration::from_secs(1) / rate.max(1);
        let next = self.next.max(now) + each;
        if next > now + each * burst.max(1) {
            return false;
        }
        self.next = next;
        true
    }

    /// When one more is.
    pub(super) fn due(&self, rate: u32, burst: u32) -> Duration {
        let each = Duration::from_secs(1) / rate.max(1);
        (self.next + each).saturating_sub(each * burst.max(1))
    }
}
