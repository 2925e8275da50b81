//! From one to many.

use std::sync::Arc;
use std::time::Duration;

use crate::wire::room::{
    Answered, Body, FromHub, Json, MemberNumber, Message as Frame, Name, RefusedCode, Said, To,
    UnackedReason, legacy,
};

use super::machine::{Room, millis};
use super::seat::{Message, Pending, Seat};
use super::window::Audience;
use super::{
    Addressed, ConnKey, Conns, Incoming, Kind, Output, Payload, Recipients, SendTo, Tap, Ticket,
    Told, Verdict, Way,
};

impl Room {
    /// The server speaks. How many members hear it, or will when they are back.
    pub fn handle_send(&mut self, to: SendTo<'_>, said: Said, now: Duration) -> usize {
        let number = |name: &Name| {
            let number = self.names.get(name)?;
            self.seats.get(number)?.order.map(|_| *number)
        };
        let (audience, reached) = match to {
            SendTo::All => (Audience::AllBut(None), self.present.len()),
            SendTo::AllBut(name) => {
                let but = number(name);
                let reached = self.present.len() - usize::from(but.is_some());
                (Audience::AllBut(but), reached)
            }
            SendTo::One(name) => match number(name) {
                Some(number) => (Audience::These(Arc::from([number])), 1),
                None => return 0,
            },
        };
        self.relay_to(None, audience, &said, None, false, None, now);
        reached
    }

    /// A member says something: to be judged before, or relayed at once.
    pub(super) fn say(
        &mut self,
        conn: ConnKey,
        number: MemberNumber,
        message: Message,
        octets: usize,
        now: Duration,
    ) {
        if self.config.tap != Tap::Moderate {
            if self.config.tap == Tap::Tell || message.to == To::Hub {
                self.tell(number, &message, None, Told::Message);
            }
            return self.relay(number, message, now);
        }
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if seat.pending.len() >= self.config.pending_messages
            || seat.pending_octets + octets > self.config.pending_octets
        {
            if message.fast {
                self.dropped.rate += 1;
                return;
            }
            return self.drop_conn(conn, RefusedCode::Rate, now);
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let until = now + self.config.verdict_within;
        seat.pending_octets += octets;
        seat.pending.push_back(Pending {
            ticket,
            verdict: None,
            until,
            octets,
            message: message.clone(),
        });
        self.tickets.insert(ticket, number);
        self.wake_at(until);
        self.tell(number, &message, Some(ticket), Told::Message);
    }

    fn tell(
        &mut self,
        number: MemberNumber,
        message: &Message,
        ticket: Option<Ticket>,
        told: fn(Incoming) -> Told,
    ) {
        let Some(seat) = self.seats.get(&number) else {
            return;
        };
        let to = match &message.to {
            To::Others => Addressed::Others,
            To::Hub => Addressed::Hub,
            To::Members(members) => {
                let seats = members.iter().filter_map(|it| self.seats.get(it));
                let present = seats.filter(|seat| seat.is_present());
                Addressed::Members(present.map(|seat| seat.name.clone()).collect())
            }
        };
        let incoming = Incoming {
            from: seat.name.clone(),
            to,
            said: message.said.clone(),
            fast: message.fast,
            ticket,
        };
        self.outputs.push_back(Output::Told(told(incoming)));
    }

    /// Relays what is judged, up to what is not, and lets go who waited for it.
    pub(super) fn relay_judged(&mut self, number: MemberNumber, now: Duration) {
        while let Some(seat) = self.seats.get_mut(&number) {
            let Some(Pending { verdict, .. }) = seat.pending.front() else {
                if let Some(leaving) = seat.leaving.take() {
                    self.finish(number, leaving, now);
                }
                return;
            };
            if verdict.is_none() {
                return;
            }
            let Some(pending) = seat.pending.pop_front() else {
                return;
            };
            seat.pending_octets -= pending.octets;
            let mut message = pending.message;
            match pending.verdict {
                Some(Verdict::Drop) | None => {
                    self.dropped.judged += 1;
                    if let Some(ack) = message.ack {
                        let frame = FromHub::Unacked {
                            ack,
                            from: None,
                            reason: UnackedReason::Dropped,
                        };
                        self.send_one(number, &frame);
                    }
                    continue;
                }
                Some(Verdict::Replace(body)) => {
                    message.said = message.said.with(body);
                    message.original = None;
                }
                Some(Verdict::Relay) => {}
            }
            self.tell(number, &message, Some(pending.ticket), Told::Relayed);
            self.relay(number, message, now);
        }
    }

    /// Whether the sender waits for answers under this number already.
    pub(super) fn is_asked(&self, number: MemberNumber, ack: u64) -> bool {
        self.acks.has(number, ack)
            || self.seats.get(&number).is_some_and(|seat| {
                let mut pending = seat.pending.iter();
                pending.any(|it| it.message.ack == Some(ack))
            })
    }

    fn relay(&mut self, number: MemberNumber, message: Message, now: Duration) {
        let Message {
            said,
            to,
            mut ack,
            fast,
            original,
        } = message;
        let audience = match to {
            To::Others => Audience::AllBut(Some(number)),
            To::Hub => {
                if let Some(ack) = ack {
                    let answered = Answered {
                        ack,
                        from: None,
                        body: Body::Json(Json::NULL),
                    };
                    self.send_one(number, &FromHub::Ack(answered));
                }
                return;
            }
            To::Members(members) => {
                let mut there: Vec<_> = members.to_vec();
                there.sort_unstable();
                there.dedup();
                there
                    .retain(|it| *it != number && self.seats.get(it).is_some_and(Seat::is_present));
                if let Some(ack) = ack {
                    self.tell_unknown(number, ack, &members, &there);
                }
                if there.is_empty() {
                    return;
                }
                Audience::These(there.into())
            }
        };
        if let Some(asked) = ack
            && !self.ask(number, asked, &audience, now)
        {
            ack = None;
        }
        self.relay_to(Some(number), audience, &said, ack, fast, original, now);
    }

    /// Tells the sender which of those it named are not there.
    fn tell_unknown(
        &mut self,
        number: MemberNumber,
        ack: u64,
        named: &[MemberNumber],
        there: &[MemberNumber],
    ) {
        let mut unknown: Vec<_> = named
            .iter()
            .filter(|it| there.binary_search(it).is_err())
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        for from in unknown {
            let frame = FromHub::Unacked {
                ack,
                from: Some(*from),
                reason: UnackedReason::Unknown,
            };
            self.send_one(number, &frame);
        }
    }

    /// Notes who is to answer, and tells the sender what it cannot know. Whether anybody is waited for.
    fn ask(&mut self, number: MemberNumber, ack: u64, audience: &Audience, now: Duration) -> bool {
        let is_native = |it: &MemberNumber| {
            let seat = self.seats.get(it);
            seat.is_some_and(|seat| seat.kind == Kind::Native)
        };
        let (waiting, mute) = match audience {
            Audience::AllBut(_) => {
                let there = self.present.values().copied();
                let mut waiting: Vec<_> =
                    there.filter(|it| *it != number && is_native(it)).collect();
                waiting.sort_unstable();
                (waiting, Vec::new())
            }
            Audience::These(members) => members.iter().partition::<Vec<_>, _>(|it| is_native(it)),
        };
        if !self.acks.takes(number, waiting.len(), &self.config) {
            let frame = FromHub::Unacked {
                ack,
                from: None,
                reason: UnackedReason::Late,
            };
            self.send_one(number, &frame);
            return false;
        }
        if matches!(audience, Audience::AllBut(_)) {
            let members = waiting.clone();
            self.send_one(number, &FromHub::Asked { ack, members });
        }
        for from in mute {
            let frame = FromHub::Unacked {
                ack,
                from: Some(from),
                reason: UnackedReason::Mute,
            };
            self.send_one(number, &frame);
        }
        let until = now + self.config.ack_within;
        let is_any = !waiting.is_empty();
        self.acks.ask(number, ack, waiting, until);
        if is_any {
            self.wake_at(until);
        }
        is_any
    }

    /// Writes a message once for each kind of member, and sends it.
    #[expect(clippy::too_many_arguments, reason = "what a message is, each once")]
    fn relay_to(
        &mut self,
        from: Option<MemberNumber>,
        audience: Audience,
        said: &Said,
        ack: Option<u64>,
        fast: bool,
        original: Option<Payload>,
        now: Duration,
    ) {
        let way = if fast { Way::Fast } else { Way::Reliable };
        let (natives, legacies) = self.recipients(&audience);
        if let Some(to) = legacies {
            let payload = original.unwrap_or_else(|| self.as_old(from, said, now));
            self.send(to, payload, Way::Reliable);
        }
        if self.native_seats == 0 || (fast && natives.is_none()) {
            return;
        }
        if from.is_some() && said.event().is_some_and(|event| event.is_reserved()) {
            self.dropped.reserved += 1;
            return;
        }
        let seq = if fast {
            0
        } else {
            self.seq += 1;
            self.seq
        };
        let frame = Frame::write(seq, from, ack, said);
        if !fast {
            self.keep(frame.clone(), audience, now);
        }
        if let Some(to) = natives {
            self.send(to, Payload::Bytes(frame), way);
        }
    }

    /// The connections of each kind that a message goes to.
    fn recipients(&self, audience: &Audience) -> (Option<Recipients>, Option<Recipients>) {
        match audience {
            Audience::AllBut(but) => {
                let except = but.and_then(|but| self.seats.get(&but)?.conn);
                let all = |list: &Arc<Vec<ConnKey>>| {
                    let is_any = match list.as_slice() {
                        [] => false,
                        [one] => Some(*one) != except,
                        _ => true,
                    };
                    is_any.then(|| Recipients {
                        conns: Conns::Shared(list.clone()),
                        except,
                    })
                };
                (all(&self.natives), all(&self.legacies))
            }
            Audience::These(members) => {
                let of = |kind| {
                    let seats = members.iter().filter_map(|it| self.seats.get(it));
                    let conns = seats.filter(|it| it.kind == kind).filter_map(|it| it.conn);
                    let conns: Vec<_> = conns.collect();
                    match conns.as_slice() {
                        [] => None,
                        [one] => Some(Recipients::one(*one)),
                        _ => Some(Recipients {
                            conns: Conns::Shared(Arc::new(conns)),
                            except: None,
                        }),
                    }
                };
                (of(Kind::Native), of(Kind::Legacy))
            }
        }
    }

    fn as_old(&self, from: Option<MemberNumber>, said: &Said, now: Duration) -> Payload {
        let name = from.and_then(|from| self.seats.get(&from));
        let name = name.map_or(legacy::SERVER, |seat| seat.name.as_str());
        match said {
            Said::Chat(Body::Json(message)) => Payload::Text(legacy::chat(name, message)),
            Said::Event(event, Body::Json(data)) => {
                Payload::Text(legacy::event(name, event, data, millis(now)))
            }
            Said::Chat(Body::Bytes(bytes)) | Said::Event(_, Body::Bytes(bytes)) => {
                Payload::Bytes(bytes.clone())
            }
        }
    }
}
