//! What goes in, what comes out, and when.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use crate::wire::room::{
    Epoch, FromHub, Json, LeftReason, MemberNumber, Name, RefusedCode, Token, UnackedReason,
};

use super::acks::{Acks, Unanswered};
use super::seat::Seat;
use super::window::{Audience, Window};
use super::{
    Closed, Closing, Config, ConnKey, Conns, Dropped, Kind, Output, Payload, Recipients, Ticket,
    Told, Unjudged, Verdict, View, Way,
};

/// How often what nobody needs is forgotten.
pub(super) const TIDY: Duration = Duration::from_secs(1);

/// The machine of one room.
///
/// A message costs the same however large the room is; coming and going is O(members). Memory is bounded by [`Config`]: members with their metadata, what is kept for
/// who comes back, what waits for verdicts.
pub struct Room {
    pub(super) config: Config,
    pub(super) epoch: Epoch,
    // Hashed, not ordered: nothing is ever done in these maps' order.
    pub(super) conns: HashMap<ConnKey, Conn>,
    pub(super) names: HashMap<Name, MemberNumber>,
    pub(super) tickets: HashMap<Ticket, MemberNumber>,
    pub(super) seats: BTreeMap<MemberNumber, Seat>,
    /// Who others see, in the order of their joining.
    pub(super) present: BTreeMap<u64, MemberNumber>,
    pub(super) host: Option<MemberNumber>,
    /// The connections of those, by what they speak.
    pub(super) natives: Arc<Vec<ConnKey>>,
    pub(super) legacies: Arc<Vec<ConnKey>>,
    /// Seats of native members.
    pub(super) native_seats: usize,
    /// Octets of all metadata, each without what no other could have.
    pub(super) metadata: usize,
    pub(super) last_number: u64,
    pub(super) last_order: u64,
    pub(super) last_ticket: u64,
    /// The last place in the room's order.
    pub(super) seq: u64,
    pub(super) window: Window,
    pub(super) acks: Acks,
    barred: VecDeque<(Name, Duration)>,
    pub(super) outputs: VecDeque<Output>,
    /// Nothing is due before.
    wake: Option<Duration>,
    pub(super) dropped: Dropped,
    is_shut: bool,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// For HELLO or `PEER_JOIN`, until then.
    Waiting(Duration),
    In(MemberNumber),
}

impl Room {
    /// An empty room. `epoch` is drawn at random.
    #[must_use]
    pub fn new(config: Config, epoch: Epoch) -> Self {
        Self {
            config,
            epoch,
            conns: HashMap::new(),
            names: HashMap::new(),
            tickets: HashMap::new(),
            seats: BTreeMap::new(),
            present: BTreeMap::new(),
            host: None,
            natives: Arc::default(),
            legacies: Arc::default(),
            native_seats: 0,
            metadata: 0,
            last_number: 0,
            last_order: 0,
            last_ticket: 0,
            seq: 0,
            window: Window::default(),
            acks: Acks::default(),
            barred: VecDeque::new(),
            outputs: VecDeque::new(),
            wake: None,
            dropped: Dropped::default(),
            is_shut: false,
        }
    }

    /// The channel of a connection is open, and its client called itself so in signalling.
    pub fn handle_opened(&mut self, conn: ConnKey, name: Name, kind: Kind, now: Duration) {
        if self.conns.contains_key(&conn) {
            return;
        }
        if self.is_shut {
            return self.refuse(conn, kind, RefusedCode::Closed);
        }
        if self
            .barred
            .iter()
            .any(|(barred, until)| *barred == name && *until > now)
        {
            return self.refuse(conn, kind, RefusedCode::Kicked);
        }
        if self.conns.len() >= 2 * self.config.members {
            return self.refuse(conn, kind, RefusedCode::Full);
        }
        let within = match kind {
            Kind::Native => self.config.hello_within,
            Kind::Legacy => match self.names.get(&name).copied() {
                Some(holder) => return self.take_over(conn, name, holder, now),
                None if !self.has_place(Json::NULL.as_str().len()) => {
                    return self.refuse(conn, kind, RefusedCode::Full);
                }
                None => self.config.join_within,
            },
        };
        let state = State::Waiting(now + within);
        self.conns.insert(conn, Conn { name, kind, state });
        self.wake_at(now + within);
    }

    /// A message came by a connection's channel.
    pub fn handle_message(&mut self, conn: ConnKey, payload: Payload, way: Way, now: Duration) {
        let Some(Conn { kind, state, name }) = self.conns.get(&conn) else {
            return;
        };
        let (kind, state) = (*kind, *state);
        if payload.len() > self.config.message {
            return self.drop_conn(conn, RefusedCode::Protocol, now);
        }
        let number = match state {
            State::In(number) => number,
            State::Waiting(_) => {
                let name = name.clone();
                return match kind {
                    Kind::Native => self.handle_hello(conn, name, payload, way, now),
                    Kind::Legacy => self.handle_first(conn, name, payload, now),
                };
            }
        };
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.seen = now;
        seat.is_suspected = false;
        if !seat.rate.takes(self.config.rate, self.config.burst, now) {
            if way == Way::Fast {
                self.dropped.rate += 1;
                return;
            }
            return self.drop_conn(conn, RefusedCode::Rate, now);
        }
        match kind {
            Kind::Native => self.handle_native(conn, number, payload, way, now),
            Kind::Legacy => self.handle_old(conn, number, payload, now),
        }
    }

    /// What becomes of a message that [`Told::Message`] told of. Those of one sender are relayed in their order, so that one waits for the verdicts on all before it.
    pub fn handle_verdict(&mut self, ticket: Ticket, verdict: Verdict, now: Duration) {
        let Some(number) = self.tickets.remove(&ticket) else {
            return;
        };
        if let Some(seat) = self.seats.get_mut(&number)
            && let Some(pending) = seat.pending.iter_mut().find(|it| it.ticket == ticket)
        {
            pending.verdict = Some(verdict);
        }
        self.relay_judged(number, now);
    }

    /// Whether the message waits for its verdict.
    #[must_use]
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.tickets.contains_key(&ticket)
    }

    /// Nothing is heard of a connection just now, or is again. It shows in [`Room::members`], and nowhere else.
    pub fn handle_suspected(&mut self, conn: ConnKey, is_suspected: bool) {
        if let Some(seat) = self.seat_of(conn) {
            seat.is_suspected = is_suspected;
        }
    }

    /// A connection is gone that the room has not closed itself.
    pub fn handle_closed(&mut self, conn: ConnKey, why: Closed, now: Duration) {
        let Some(number) = self.forget_conn(conn) else {
            return;
        };
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        let reason = match why {
            Closed::Left => LeftReason::Left,
            Closed::Ended if seat.kind == Kind::Legacy => LeftReason::Left,
            Closed::Ended => {
                // Perhaps it comes back.
                seat.is_suspected = true;
                let (away, held) = (now + self.config.away, now + self.config.hold);
                seat.away_until = Some(away.min(held));
                seat.held_until = Some(held);
                return self.wake_at(away.min(held));
            }
            Closed::Lost => LeftReason::Lost,
            Closed::Slow => LeftReason::Slow,
        };
        self.depart(number, reason, why != Closed::Left, None, now);
    }

    /// A native member says goodbye by another way than its connection: a page that goes may not get it out there any more. The token proves whose word it is.
    /// Whether there was such a member.
    pub fn handle_goodbye(&mut self, name: &Name, token: &Token, now: Duration) -> bool {
        let seat = self.names.get(name).and_then(|it| self.seats.get(it));
        let Some(seat) = seat.filter(|seat| seat.token.as_ref() == Some(token)) else {
            return false;
        };
        let number = seat.number;
        if let Some(conn) = seat.conn {
            self.forget_conn(conn);
            self.outputs.push_back(Output::Close {
                conn,
                why: Closing::Left,
            });
        }
        self.depart(number, LeftReason::Left, false, None, now);
        true
    }

    /// Puts a member out; its name may not come back for [`Config::barred_for`]. Whether there was one.
    pub fn handle_kick(&mut self, name: &Name, now: Duration) -> bool {
        let mut conns: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, it)| it.name == *name && matches!(it.state, State::Waiting(_)))
            .map(|(conn, it)| (*conn, it.kind))
            .collect();
        conns.sort_by_key(|(conn, _)| *conn);
        let Some(&number) = self.names.get(name) else {
            return false;
        };
        for (conn, kind) in conns {
            self.conns.remove(&conn);
            self.refuse(conn, kind, RefusedCode::Kicked);
        }
        if self.config.barred > 0 {
            self.barred
                .retain(|(barred, until)| barred != name && *until > now);
            if self.barred.len() >= self.config.barred {
                self.barred.pop_front();
            }
            let until = now + self.config.barred_for;
            self.barred.push_back((name.clone(), until));
            self.wake_at(until);
        }
        let mut was_present = false;
        if let Some(seat) = self.seats.get_mut(&number) {
            was_present = seat.is_present();
            for pending in seat.pending.drain(..) {
                self.tickets.remove(&pending.ticket);
            }
            seat.pending_octets = 0;
            if let Some(conn) = seat.conn {
                let kind = seat.kind;
                self.forget_conn(conn);
                self.refuse(conn, kind, RefusedCode::Kicked);
            }
        }
        self.depart(number, LeftReason::Kicked, false, None, now);
        was_present
    }

    /// The room ends: all are told, and let go.
    pub fn handle_shutdown(&mut self, _now: Duration) {
        self.is_shut = true;
        let mut conns: Vec<_> = self.conns.drain().collect();
        conns.sort_by_key(|(conn, _)| *conn);
        for (conn, Conn { kind, .. }) in conns {
            self.refuse(conn, kind, RefusedCode::Closed);
        }
        self.names.clear();
        self.tickets.clear();
        let mut seats = std::mem::take(&mut self.seats);
        for seat in self.present.values().filter_map(|it| seats.remove(it)) {
            self.outputs.push_back(Output::Told(Told::Left {
                name: seat.name,
                reason: LeftReason::Kicked,
                metadata: seat.metadata,
                joined: seat.joined,
            }));
        }
        self.present.clear();
        self.host = None;
        self.natives = Arc::default();
        self.legacies = Arc::default();
        self.native_seats = 0;
        self.metadata = 0;
        self.window.clear();
        self.acks = Acks::default();
        self.barred.clear();
        self.wake = None;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.wake.is_none_or(|wake| wake > now) {
            return;
        }
        let mut late: Vec<_> = self
            .conns
            .iter()
            .filter_map(|(conn, it)| match it.state {
                State::Waiting(until) if until <= now => Some(*conn),
                _ => None,
            })
            .collect();
        late.sort();
        for conn in late {
            match self.conns.get(&conn).map(|it| (it.kind, it.name.clone())) {
                Some((Kind::Native, _)) => self.drop_conn(conn, RefusedCode::Protocol, now),
                Some((Kind::Legacy, name)) => {
                    self.join_old(conn, name, Json::NULL, None, now);
                }
                None => {}
            }
        }
        let due: Vec<_> = self
            .seats
            .values()
            .filter(|seat| seat.due().is_some_and(|due| due <= now))
            .map(|seat| seat.number)
            .collect();
        for number in due {
            self.seat_is_due(number, now);
        }
        for unanswered in self.acks.expire(now) {
            self.tell_unanswered(&unanswered, UnackedReason::Late);
        }
        self.barred.retain(|(_, until)| *until > now);
        self.tidy(now);
        self.wake = self.next_due(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Room::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.wake
    }

    /// Who is there, in the order of joining.
    pub fn members(&self) -> impl Iterator<Item = View<'_>> + '_ {
        self.present.values().filter_map(|number| {
            let seat = self.seats.get(number)?;
            Some(View {
                name: &seat.name,
                number: seat.number,
                kind: seat.kind,
                metadata: &seat.metadata,
                joined: seat.joined,
                seen: seat.seen,
                is_host: self.host == Some(seat.number),
                is_suspected: seat.is_suspected,
            })
        })
    }

    /// How many are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Who is host: of those who are there the one that has been for the longest time, since the last host left.
    #[must_use]
    pub fn host(&self) -> Option<&Name> {
        Some(&self.seats.get(&self.host?)?.name)
    }

    /// Whether there is neither a member nor a connection, and no place is held: it may be forgotten.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.conns.is_empty() && self.seats.is_empty() && self.barred.is_empty()
    }

    /// What was not passed on.
    #[must_use]
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    // Saying.

    /// The next thing in the room's order, to all native members but the one that it is about.
    pub(super) fn announce(
        &mut self,
        frame: impl FnOnce(u64) -> FromHub,
        about: Option<MemberNumber>,
        now: Duration,
    ) {
        self.seq += 1;
        if self.native_seats == 0 {
            return;
        }
        let frame = frame(self.seq).emit();
        let audience = Audience::AllBut(about);
        self.keep(frame.clone(), audience, now);
        self.send_to(Kind::Native, about, Payload::Bytes(frame), Way::Reliable);
    }

    /// To all old clients but the one that it is about.
    pub(super) fn announce_old(
        &mut self,
        text: impl FnOnce() -> ByteString,
        about: Option<MemberNumber>,
    ) {
        if !self.legacies.is_empty() {
            let payload = Payload::Text(text());
            self.send_to(Kind::Legacy, about, payload, Way::Reliable);
        }
    }

    pub(super) fn keep(&mut self, frame: bytes::Bytes, audience: Audience, now: Duration) {
        self.window
            .push(self.seq, frame, audience, &self.config, now);
        let due = self.window.due(&self.config);
        if let Some(due) = due {
            self.wake_at(due.max(now + TIDY));
        }
    }

    pub(super) fn send_to(
        &mut self,
        kind: Kind,
        but: Option<MemberNumber>,
        payload: Payload,
        way: Way,
    ) {
        let except = but.and_then(|but| self.seats.get(&but)?.conn);
        let conns = self.list(kind).clone();
        if conns.iter().any(|it| Some(*it) != except) {
            let conns = Conns::Shared(conns);
            self.send(Recipients { conns, except }, payload, way);
        }
    }

    pub(super) fn send(&mut self, to: Recipients, payload: Payload, way: Way) {
        self.outputs.push_back(Output::Send { to, payload, way });
    }

    /// To one native member, now or when it is back.
    pub(super) fn send_one(&mut self, number: MemberNumber, frame: &FromHub) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        let frame = frame.emit();
        match seat.conn {
            Some(conn) => self.send(Recipients::one(conn), Payload::Bytes(frame), Way::Reliable),
            None => seat.owe(frame),
        }
    }

    pub(super) fn tell_unanswered(&mut self, unanswered: &Unanswered, reason: UnackedReason) {
        let frame = FromHub::Unacked {
            ack: unanswered.ack,
            from: Some(unanswered.from),
            reason,
        };
        self.send_one(unanswered.asker, &frame);
    }

    // Times.

    pub(super) fn wake_at(&mut self, due: Duration) {
        self.wake = Some(self.wake.map_or(due, |wake| wake.min(due)));
    }

    fn seat_is_due(&mut self, number: MemberNumber, now: Duration) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if seat.away_until.is_some_and(|until| until <= now) {
            // Held since its connection went.
            let held = seat.held_until;
            self.depart(number, LeftReason::Lost, true, None, now);
            if let Some(seat) = self.seats.get_mut(&number)
                && seat.leaving.is_none()
            {
                seat.held_until = held;
            }
        }
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if !seat.is_present() && seat.held_until.is_some_and(|until| until <= now) {
            return self.remove_seat(number);
        }
        let verdict = match self.config.unjudged {
            Unjudged::Relay => Verdict::Relay,
            Unjudged::Drop => Verdict::Drop,
        };
        let mut unjudged = 0;
        for pending in &mut seat.pending {
            if pending.until <= now && pending.verdict.is_none() {
                pending.verdict = Some(verdict.clone());
                self.tickets.remove(&pending.ticket);
                unjudged += 1;
            }
        }
        self.dropped.unjudged += unjudged;
        self.relay_judged(number, now);
    }

    fn tidy(&mut self, now: Duration) {
        let natives = self.seats.values().filter(|it| it.kind == Kind::Native);
        let got = natives.map(|it| it.got.max(it.since)).min().unwrap_or(0);
        self.window.trim(got, &self.config, now);
    }

    fn next_due(&self, now: Duration) -> Option<Duration> {
        let conns = self.conns.values().filter_map(|it| match it.state {
            State::Waiting(until) => Some(until),
            State::In(_) => None,
        });
        let seats = self.seats.values().filter_map(Seat::due);
        let window = self.window.due(&self.config).map(|due| due.max(now + TIDY));
        let barred = self.barred.front().map(|(_, until)| *until);
        let others = [self.acks.due(), window, barred];
        conns.chain(seats).chain(others.into_iter().flatten()).min()
    }

    // Small things.

    pub(super) fn list(&mut self, kind: Kind) -> &mut Arc<Vec<ConnKey>> {
        match kind {
            Kind::Native => &mut self.natives,
            Kind::Legacy => &mut self.legacies,
        }
    }

    fn seat_of(&mut self, conn: ConnKey) -> Option<&mut Seat> {
        match self.conns.get(&conn)?.state {
            State::In(number) => self.seats.get_mut(&number),
            State::Waiting(_) => None,
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Without names: who meets where is nobody's business.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("members", &self.present.len())
            .field("conns", &self.conns.len())
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
