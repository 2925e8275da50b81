//! Who comes, who goes, who is host: seats and the connections of them.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use crate::wire::room::{FromHub, LeftReason, MemberNumber, RefusedCode, UnackedReason, legacy};

use super::machine::{Conn, Room, State, millis};
use super::seat::{Leaving, Seat};
use super::{Closing, ConnKey, Kind, Output, Payload, Recipients, Told, Way};

impl Room {
    /// Whether there is a place, and room for so much metadata. Takes that of the one whose place was held longest, if there is none else.
    pub(super) fn has_place(&mut self, metadata: usize) -> bool {
        if !self.has_room(self.beyond_part(metadata)) {
            return false;
        }
        if self.seats.len() < self.config.members {
            return true;
        }
        let held = self.seats.values().filter(|seat| !seat.is_present());
        let Some(oldest) = held.min_by_key(|seat| seat.held_until) else {
            return false;
        };
        let number = oldest.number;
        self.remove_seat(number);
        true
    }

    /// Whether there is room for so much more of what members have beyond their parts. Takes that of those whose places were held longest, if there is none else.
    pub(super) fn has_room(&mut self, more: usize) -> bool {
        let all = self.config.metadata - self.part() * self.config.members;
        while self.metadata + more > all {
            let held = self.seats.values().filter(|seat| {
                !seat.is_present() && self.beyond_part(seat.metadata.as_str().len()) > 0
            });
            let Some(oldest) = held.min_by_key(|seat| seat.held_until) else {
                return false;
            };
            let number = oldest.number;
            self.remove_seat(number);
        }
        true
    }

    /// Octets of metadata that others might have had.
    pub(super) fn beyond_part(&self, metadata: usize) -> usize {
        metadata.saturating_sub(self.part())
    }

    /// Octets of metadata that each place has to itself.
    fn part(&self) -> usize {
        self.config.metadata / 2 / self.config.members.max(1)
    }

    pub(super) fn next_number(&mut self) -> Option<MemberNumber> {
        self.last_number += 1;
        MemberNumber::new(self.last_number)
    }

    pub(super) fn add_seat(&mut self, mut seat: Seat) {
        self.metadata += self.beyond_part(seat.metadata.as_str().len());
        if seat.kind == Kind::Native {
            self.native_seats += 1;
        }
        seat.since = self.seq;
        self.names.insert(seat.name.clone(), seat.number);
        self.seats.insert(seat.number, seat);
    }

    /// The connection is the member's from now on: it gets what is said.
    pub(super) fn connect(&mut self, conn: ConnKey, number: MemberNumber) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.conn = Some(conn);
        seat.away_until = None;
        seat.held_until = None;
        seat.leaving = None;
        seat.is_suspected = false;
        let (name, kind) = (seat.name.clone(), seat.kind);
        let state = State::In(number);
        self.conns.insert(conn, Conn { name, kind, state });
        Arc::make_mut(self.list(kind)).push(conn);
    }

    /// Others see it from now on. `original` is an old client's `PEER_JOIN`, as others may have it.
    pub(super) fn join(
        &mut self,
        number: MemberNumber,
        original: Option<ByteString>,
        now: Duration,
    ) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if seat.is_present() {
            return;
        }
        self.last_order += 1;
        let order = self.last_order;
        seat.order = Some(order);
        self.present.insert(order, number);
        let entry = seat.entry();
        let (name, kind, joined) = (seat.name.clone(), seat.kind, seat.joined);
        let metadata = seat.metadata.clone();
        let join = match kind {
            Kind::Native => legacy::join,
            Kind::Legacy => legacy::join_again,
        };
        let text = || original.unwrap_or_else(|| join(name.as_str(), &metadata, millis(joined)));
        self.announce_old(text, Some(number));
        self.announce(
            |seq| FromHub::Joined { seq, member: entry },
            Some(number),
            now,
        );
        self.outputs.push_back(Output::Told(Told::Joined {
            name,
            kind,
            metadata,
            joined,
        }));
    }

    /// Whoever has been there for the longest time, if the host is not.
    pub(super) fn elect(&mut self, now: Duration) {
        let is_there = |host| {
            self.seats
                .get(&host)
                .is_some_and(|seat: &Seat| seat.is_present())
        };
        if self.host.is_some_and(is_there) {
            return;
        }
        let next = self.present.values().next().copied();
        if self.host == next {
            return;
        }
        self.host = next;
        let name = next.and_then(|host| Some(self.seats.get(&host)?.name.clone()));
        if let Some(name) = &name {
            self.announce_old(|| legacy::host_change(name.as_str(), millis(now)), None);
        }
        self.announce(|seq| FromHub::Host { seq, member: next }, None, now);
        self.outputs.push_back(Output::Told(Told::Host(name)));
    }

    /// A member goes, once everything that it said is judged.
    pub(super) fn depart(
        &mut self,
        number: MemberNumber,
        reason: LeftReason,
        is_held: bool,
        original: Option<Payload>,
        now: Duration,
    ) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        let leaving = Leaving {
            reason,
            is_held: is_held && seat.kind == Kind::Native,
            original,
        };
        seat.away_until = None;
        if seat.pending.is_empty() {
            self.finish(number, leaving, now);
        } else {
            // Its verdicts have their own time.
            seat.held_until = None;
            seat.leaving = Some(leaving);
        }
    }

    pub(super) fn finish(&mut self, number: MemberNumber, leaving: Leaving, now: Duration) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        let order = seat.order.take();
        let (name, metadata, joined) = (seat.name.clone(), seat.metadata.clone(), seat.joined);
        if leaving.is_held {
            let until = now + self.config.hold;
            seat.held_until = Some(until);
            self.wake_at(until);
        } else {
            self.remove_seat(number);
        }
        let Some(order) = order else {
            return;
        };
        self.present.remove(&order);
        let reason = leaving.reason;
        let text = || match leaving.original {
            Some(Payload::Text(text)) => text,
            _ => legacy::leave(name.as_str(), millis(now)),
        };
        self.announce_old(text, Some(number));
        let left = |seq| FromHub::Left {
            seq,
            member: number,
            reason,
        };
        self.announce(left, Some(number), now);
        self.outputs.push_back(Output::Told(Told::Left {
            name,
            reason,
            metadata,
            joined,
        }));
        for unanswered in self.acks.lose(number) {
            self.tell_unanswered(&unanswered, UnackedReason::Left);
        }
        self.elect(now);
    }

    pub(super) fn remove_seat(&mut self, number: MemberNumber) {
        let Some(seat) = self.seats.remove(&number) else {
            return;
        };
        self.metadata -= self.beyond_part(seat.metadata.as_str().len());
        self.names.remove(&seat.name);
        for pending in &seat.pending {
            self.tickets.remove(&pending.ticket);
        }
        self.acks.forget(number);
        if seat.kind == Kind::Native {
            self.native_seats -= 1;
            if self.native_seats == 0 {
                self.window.clear();
            }
        }
    }

    /// Ends a connection for what it did.
    pub(super) fn drop_conn(&mut self, conn: ConnKey, code: RefusedCode, now: Duration) {
        let Some(kind) = self.conns.get(&conn).map(|it| it.kind) else {
            return;
        };
        let number = self.forget_conn(conn);
        self.refuse(conn, kind, code);
        if let Some(number) = number {
            let reason = match code {
                RefusedCode::Rate => LeftReason::Rate,
                _ => LeftReason::Protocol,
            };
            // Who says too much may come back and say less.
            self.depart(number, reason, code == RefusedCode::Rate, None, now);
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnKey, kind: Kind, code: RefusedCode) {
        if kind == Kind::Native {
            let frame = FromHub::Refused(code).emit();
            self.send(Recipients::one(conn), Payload::Bytes(frame), Way::Reliable);
        }
        self.outputs.push_back(Output::Close {
            conn,
            why: Closing::Refused(code),
        });
    }

    /// Whose it was.
    pub(super) fn forget_conn(&mut self, conn: ConnKey) -> Option<MemberNumber> {
        let Conn { kind, state, .. } = self.conns.remove(&conn)?;
        let State::In(number) = state else {
            return None;
        };
        let list = Arc::make_mut(self.list(kind));
        if let Some(at) = list.iter().position(|it| *it == conn) {
            list.remove(at);
        }
        let seat = self.seats.get_mut(&number)?;
        seat.conn.take_if(|it| *it == conn)?;
        Some(number)
    }
}
