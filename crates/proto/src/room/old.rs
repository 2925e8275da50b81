//! What PeerPyRTC's clients say.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use crate::wire::room::legacy::{self, Heard, Refused};
use crate::wire::room::{Body, Json, LeftReason, MemberNumber, Name, RefusedCode, Said, To};

use super::machine::{Conn, Room, State, millis};
use super::seat::{Message, Seat};
use super::{Closing, ConnKey, Kind, Output, Payload, Recipients, Way};

/// How often an old client is told again who is there.
const STATE_EVERY: Duration = Duration::from_secs(1);

impl Room {
    /// The first message: `PEER_JOIN`, or whatever, which then means that it has come.
    pub(super) fn handle_first(
        &mut self,
        conn: ConnKey,
        name: Name,
        payload: Payload,
        now: Duration,
    ) {
        if let Payload::Text(text) = &payload
            && let Heard::Join { metadata, is_plain } = Heard::parse(text, &name)
        {
            let original = is_plain.then(|| text.clone());
            self.join_old(conn, name, metadata, original, now);
            return;
        }
        if self.join_old(conn, name, Json::NULL, None, now) {
            self.handle_message(conn, payload, Way::Reliable, now);
        }
    }

    /// Whether it is in now.
    pub(super) fn join_old(
        &mut self,
        conn: ConnKey,
        name: Name,
        metadata: Json,
        original: Option<ByteString>,
        now: Duration,
    ) -> bool {
        if let Some(&holder) = self.names.get(&name) {
            self.conns.remove(&conn);
            self.take_over(conn, name, holder, now);
            return self.conns.contains_key(&conn);
        }
        let number = match self.has_place(metadata.as_str().len()) {
            true => self.next_number(),
            false => None,
        };
        let Some(number) = number else {
            self.drop_conn(conn, RefusedCode::Full, now);
            return false;
        };
        let seat = Seat::new(number, name, None, metadata, conn, now);
        self.add_seat(seat);
        self.join(number, original, now);
        self.connect(conn, number);
        self.tell_state(number, now);
        self.elect(now);
        true
    }

    /// The same name once more: the new connection takes the old one's place, and nobody is told, as nobody has left. Not that of a native member.
    pub(super) fn take_over(
        &mut self,
        conn: ConnKey,
        name: Name,
        holder: MemberNumber,
        now: Duration,
    ) {
        let Some(seat) = self.seats.get_mut(&holder) else {
            return;
        };
        if seat.kind == Kind::Native {
            return self.refuse(conn, Kind::Legacy, RefusedCode::NameTaken);
        }
        if let Some(former) = seat.conn {
            self.forget_conn(former);
            self.refuse(former, Kind::Legacy, RefusedCode::Replaced);
        }
        let (kind, state) = (Kind::Legacy, State::In(holder));
        self.conns.insert(conn, Conn { name, kind, state });
        self.connect(conn, holder);
        if let Some(seat) = self.seats.get_mut(&holder) {
            seat.seen = now;
            seat.state_at = None;
        }
        self.tell_state(holder, now);
    }

    /// Says who is there, and who is host, to an old client.
    fn tell_state(&mut self, number: MemberNumber, now: Duration) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if seat.state_at.is_some_and(|at| at + STATE_EVERY > now) {
            return;
        }
        seat.state_at = Some(now);
        let (Some(conn), name) = (seat.conn, seat.name.clone()) else {
            return;
        };
        // Whoever will be elected in a moment.
        let host = self.host.or_else(|| self.present.values().next().copied());
        let host_name = host.and_then(|host| Some(self.seats.get(&host)?.name.clone()));
        let peers = self.present.values().filter_map(|number| {
            let seat = self.seats.get(number)?;
            Some(legacy::Peer {
                name: seat.name.as_str(),
                metadata: &seat.metadata,
                joined: millis(seat.joined),
                seen: millis(seat.seen),
                is_host: host == Some(*number),
            })
        });
        let host_text = host_name.as_ref().map(Name::as_str);
        let state = legacy::room_state(peers, host_text, name.as_str(), millis(now));
        let to = Recipients::one(conn);
        self.send(to.clone(), Payload::Text(state), Way::Reliable);
        if let (Some(_), Some(host)) = (self.host, host_name) {
            let text = legacy::host_change(host.as_str(), millis(now));
            self.send(to, Payload::Text(text), Way::Reliable);
        }
    }

    pub(super) fn handle_old(
        &mut self,
        conn: ConnKey,
        number: MemberNumber,
        payload: Payload,
        now: Duration,
    ) {
        let Some(seat) = self.seats.get(&number) else {
            return;
        };
        let octets = payload.len();
        let mut to = To::Others;
        let said = match &payload {
            Payload::Bytes(bytes) => Said::Chat(Body::Bytes(bytes.clone())),
            Payload::Text(text) => match Heard::parse(text, &seat.name) {
                Heard::Chat(message) => Said::Chat(Body::Json(message)),
                Heard::Event {
                    event,
                    data,
                    target,
                } => {
                    if let Some(target) = target {
                        match self.names.get(&*target) {
                            Some(target)
                                if *target != number
                                    && self.seats.get(target).is_some_and(Seat::is_present) =>
                            {
                                to = To::Members(Arc::from([*target]));
                            }
                            _ => {
                                self.dropped.unaddressed += 1;
                                return;
                            }
                        }
                    }
                    Said::Event(event, Body::Json(data))
                }
                Heard::Join { metadata, .. } => {
                    self.change_metadata(conn, number, metadata, now);
                    return self.tell_state(number, now);
                }
                Heard::Leave { is_plain } => {
                    self.forget_conn(conn);
                    self.outputs.push_back(Output::Close {
                        conn,
                        why: Closing::Left,
                    });
                    let original = is_plain.then_some(payload);
                    return self.depart(number, LeftReason::Left, false, original, now);
                }
                Heard::Refused(refused) => {
                    *match refused {
                        Refused::Forged => &mut self.dropped.forged,
                        Refused::HostChange => &mut self.dropped.host_changes,
                        Refused::RoomState => &mut self.dropped.room_states,
                    } += 1;
                    return;
                }
                Heard::Value(json) => Said::Chat(Body::Json(json)),
                Heard::Text => Said::Chat(Body::Json(Json::string(text))),
            },
        };
        let message = Message {
            said,
            to,
            ack: None,
            fast: false,
            original: Some(payload),
        };
        self.say(conn, number, message, octets, now);
    }
}
