//! What native members say.

use std::time::Duration;

use crate::wire::room::{
    Answer, Answered, Emit, Entry, Epoch, FrameError, FromHub, FromMember, Hello, Json, LeftReason,
    MemberNumber, Members, Name, RefusedCode, Resumed, UnackedReason, Welcome,
};

use super::machine::{Room, TIDY, millis};
use super::seat::{Message, Seat};
use super::{Closing, ConnKey, Kind, Output, Payload, Recipients, Told, Way};

/// Octets of a list of members in one frame, at most: below what one message of any engine takes.
const LIST_MAX: usize = 48 * 1024;

/// After how many counted frames a member is told that they have come.
const HEARD_EVERY: u64 = 32;

impl Room {
    pub(super) fn handle_hello(
        &mut self,
        conn: ConnKey,
        name: Name,
        payload: Payload,
        way: Way,
        now: Duration,
    ) {
        let Payload::Bytes(bytes) = payload else {
            return self.drop_conn(conn, RefusedCode::Protocol, now);
        };
        let hello = match FromMember::parse(bytes, self.config.message) {
            // What may be lost may also come too early.
            _ if way == Way::Fast => return,
            Ok(Some(FromMember::Hello(hello))) => hello,
            Err(FrameError::Version) => return self.drop_conn(conn, RefusedCode::Version, now),
            _ => return self.drop_conn(conn, RefusedCode::Protocol, now),
        };
        match self.names.get(&name).and_then(|it| self.seats.get(it)) {
            Some(seat) if seat.token.as_ref() == Some(&hello.token) => {
                let number = seat.number;
                self.come_back(conn, number, hello, now);
            }
            Some(_) => self.drop_conn(conn, RefusedCode::NameTaken, now),
            None => self.come(conn, name, hello, now),
        }
    }

    /// Somebody new.
    fn come(&mut self, conn: ConnKey, name: Name, hello: Hello, now: Duration) {
        let Hello {
            token,
            metadata,
            epoch,
            ..
        } = hello;
        if !self.has_place(metadata.as_str().len()) {
            return self.drop_conn(conn, RefusedCode::Full, now);
        }
        let Some(number) = self.next_number() else {
            return self.drop_conn(conn, RefusedCode::Full, now);
        };
        let seat = Seat::new(number, name, Some(token), metadata, conn, now);
        self.add_seat(seat);
        self.join(number, None, now);
        self.elect(now);
        self.welcome(conn, number, resumed(epoch));
        self.connect(conn, number);
    }

    /// The owner of a seat, from a new connection.
    fn come_back(&mut self, conn: ConnKey, number: MemberNumber, hello: Hello, now: Duration) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if let Some(former) = seat.conn {
            self.forget_conn(former);
            self.refuse(former, Kind::Native, RefusedCode::Replaced);
        }
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.seen = now;
        let last = hello.last;
        let is_whole = hello.epoch == self.epoch
            && (seat.since..=self.seq).contains(&last)
            && self.window.covers(last);
        let owed = seat.take_owed();
        if is_whole {
            seat.got = seat.got.max(last);
            let welcome = Welcome {
                epoch: self.epoch,
                you: number,
                seq: last,
                resumed: Resumed::Whole,
                heard: seat.heard,
                host: None,
                total: 0,
                members: Vec::new(),
            };
            let to = Recipients::one(conn);
            let frames = std::iter::once(FromHub::Welcome(welcome).emit());
            let missed = self.window.after(last, number).cloned();
            for frame in frames.chain(missed).chain(owed) {
                self.outputs.push_back(Output::Send {
                    to: to.clone(),
                    payload: Payload::Bytes(frame),
                    way: Way::Reliable,
                });
            }
            self.connect(conn, number);
            self.join(number, None, now);
            self.elect(now);
        } else {
            seat.since = self.seq;
            let resumed = resumed(hello.epoch);
            if resumed == Resumed::New {
                // Another life of the client: it waits for nothing that the former one asked.
                (seat.heard, seat.heard_told) = (0, 0);
                for pending in &mut seat.pending {
                    pending.message.ack = None;
                }
                self.acks.forget(number);
            }
            for unanswered in self.acks.lose(number) {
                self.tell_unanswered(&unanswered, UnackedReason::Left);
            }
            self.join(number, None, now);
            self.elect(now);
            self.welcome(conn, number, resumed);
            if let Some(seat) = self.seats.get_mut(&number) {
                seat.since = self.seq;
            }
            if resumed == Resumed::Missed {
                for frame in owed {
                    self.send(Recipients::one(conn), Payload::Bytes(frame), Way::Reliable);
                }
            }
            self.connect(conn, number);
        }
        self.change_metadata(conn, number, hello.metadata, now);
    }

    fn welcome(&mut self, conn: ConnKey, number: MemberNumber, resumed: Resumed) {
        let mut lists = vec![Vec::new()];
        let mut octets = 0;
        for number in self.present.values() {
            let Some(entry) = self.seats.get(number).map(Seat::entry) else {
                continue;
            };
            octets += entry.octets();
            if octets > LIST_MAX {
                octets = entry.octets();
                lists.push(Vec::new());
            }
            if let Some(list) = lists.last_mut() {
                list.push(entry);
            }
        }
        let mut lists = lists.into_iter();
        let welcome = Welcome {
            epoch: self.epoch,
            you: number,
            seq: self.seq,
            resumed,
            heard: self.seats.get(&number).map_or(0, |seat| seat.heard),
            host: self.host,
            total: self.present.len() as u64,
            members: lists.next().unwrap_or_default(),
        };
        let more = lists.map(|list| FromHub::Members(Members(list)));
        for frame in std::iter::once(FromHub::Welcome(welcome)).chain(more) {
            let payload = Payload::Bytes(frame.emit());
            self.send(Recipients::one(conn), payload, Way::Reliable);
        }
    }

    pub(super) fn handle_native(
        &mut self,
        conn: ConnKey,
        number: MemberNumber,
        payload: Payload,
        way: Way,
        now: Duration,
    ) {
        let Payload::Bytes(bytes) = payload else {
            return self.drop_conn(conn, RefusedCode::Protocol, now);
        };
        let octets = bytes.len();
        let frame = match FromMember::parse(bytes, self.config.message) {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => return self.drop_conn(conn, RefusedCode::Protocol, now),
        };
        let is_counted = match &frame {
            FromMember::Emit(emit) => !emit.fast,
            FromMember::Ack(_) | FromMember::Metadata(_) => true,
            _ => false,
        };
        if is_counted && way == Way::Reliable {
            self.count(number);
        }
        match frame {
            FromMember::Emit(Emit {
                to,
                ack,
                fast,
                said,
            }) => {
                let message = Message {
                    said,
                    to,
                    // What may be lost on its way to the hub has no answer.
                    ack: ack.filter(|_| way == Way::Reliable),
                    fast: fast || way == Way::Fast,
                    original: None,
                };
                if message.ack.is_some_and(|ack| self.is_asked(number, ack)) {
                    return self.drop_conn(conn, RefusedCode::Protocol, now);
                }
                self.say(conn, number, message, octets, now);
            }
            // Only messages go by the fast channel.
            _ if way == Way::Fast => {}
            FromMember::Ack(Answer { to, ack, body }) => {
                if self.acks.answer(to, ack, number) {
                    let from = Some(number);
                    self.send_one(to, &FromHub::Ack(Answered { ack, from, body }));
                }
            }
            FromMember::Metadata(metadata) => self.change_metadata(conn, number, metadata, now),
            FromMember::Leave => {
                self.forget_conn(conn);
                self.outputs.push_back(Output::Close {
                    conn,
                    why: Closing::Left,
                });
                self.depart(number, LeftReason::Left, false, None, now);
            }
            FromMember::Got(seq) => {
                if let Some(seat) = self.seats.get_mut(&number) {
                    seat.got = seat.got.max(seq.min(self.seq));
                    // Perhaps something is not needed any more.
                    self.wake_at(now + TIDY);
                }
            }
            FromMember::Pong(_) => {}
            FromMember::Hello(_) => self.drop_conn(conn, RefusedCode::Protocol, now),
        }
    }

    /// One more frame came that its sender keeps until it knows so.
    fn count(&mut self, number: MemberNumber) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.heard += 1;
        if seat.heard - seat.heard_told >= HEARD_EVERY {
            seat.heard_told = seat.heard;
            let heard = FromHub::Heard(seat.heard);
            self.send_one(number, &heard);
        }
    }

    pub(super) fn change_metadata(
        &mut self,
        conn: ConnKey,
        number: MemberNumber,
        metadata: Json,
        now: Duration,
    ) {
        let Some(seat) = self.seats.get(&number) else {
            return;
        };
        if seat.metadata == metadata {
            return;
        }
        let before = self.beyond_part(seat.metadata.as_str().len());
        let after = self.beyond_part(metadata.as_str().len());
        if after > before && !self.has_room(after - before) {
            return self.drop_conn(conn, RefusedCode::Full, now);
        }
        self.metadata = self.metadata - before + after;
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.metadata = metadata.clone();
        let name = seat.name.clone();
        let changed = metadata.clone();
        let frame = |seq| FromHub::Metadata {
            seq,
            member: number,
            metadata: changed,
        };
        self.announce(frame, Some(number), now);
        let told = Told::Metadata { name, metadata };
        self.outputs.push_back(Output::Told(told));
    }
}

/// What a member is told when not all that it missed can follow.
fn resumed(epoch: Epoch) -> Resumed {
    if epoch == Epoch::default() {
        Resumed::New
    } else {
        Resumed::Missed
    }
}

impl Seat {
    pub(super) fn entry(&self) -> Entry {
        Entry {
            number: self.number,
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            joined: millis(self.joined),
        }
    }
}
