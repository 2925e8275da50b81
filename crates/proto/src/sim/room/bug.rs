//! Faults planted around the room, to prove that the simulation notices.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::room::{
    Closed, Closing, Config, ConnKey, Kind, Output, Payload, Room, SendTo, Ticket, Told, Verdict,
    Way,
};
use crate::wire::room::{Epoch, FromHub, FromMember, Message, Name, Said, Token};

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Nobody is told that the host is another.
    LoseHost,
    /// Nobody is told of who comes.
    LoseJoined,
    /// Nobody is told of who goes.
    LoseLeft,
    /// Nobody is told of what members say of themselves.
    LoseMetadata,
    /// The room is not told of connections that are lost.
    ForgetLost,
    /// A message waits for the next.
    Swap,
    /// A message is sent twice.
    Repeat,
    /// A message is lost.
    LoseMessage,
    /// Members that come back are told that all that they said has come.
    ForgetHeard,
    /// Members' time does not pass.
    LoseTimeouts,
    /// The application is told of answers twice.
    AnswerTwice,
    /// What comes by a connection that is closed is taken for what comes by its name's present one.
    BelieveClosed,
    /// What names another as its sender is relayed.
    BelieveForged,
    /// Messages go to their senders too.
    Echo,
    /// Messages to some go to all.
    TargetAll,
    /// While somebody is slow everybody waits.
    WaitForSlow,
    /// All is relayed before it is judged.
    SkipVerdicts,
    /// What was not to be relayed is.
    RelayDropped,
    /// Whoever names a name has it.
    BelieveAnyToken,
    /// The room's time does not pass once it is empty.
    NeverFree,
}

/// What the world is to do.
#[derive(Debug)]
pub(super) enum Act {
    Send(Vec<ConnKey>, Payload, Way),
    Close(ConnKey, Closing),
    Told(Told),
}

/// A room, and what is wrong with it.
pub(super) struct Hub {
    pub(super) room: Room,
    pub(super) bug: Option<Bug>,
    acts: VecDeque<Act>,
    held: Option<Act>,
    /// Somebody takes nothing just now.
    pub(super) is_somebody_slow: bool,
    waiting: VecDeque<Act>,
    pub(super) is_ending: bool,
    conns: BTreeMap<ConnKey, (Name, Kind)>,
    /// And those that are closed.
    all: BTreeMap<ConnKey, (Name, Kind)>,
    tokens: BTreeMap<String, FromMember>,
    count: u64,
    now: Duration,
}

impl Hub {
    pub(super) fn new(config: Config, bug: Option<Bug>) -> Self {
        Self {
            room: Room::new(config, Epoch([5; 8])),
            bug,
            acts: VecDeque::new(),
            held: None,
            is_somebody_slow: false,
            waiting: VecDeque::new(),
            is_ending: false,
            conns: BTreeMap::new(),
            all: BTreeMap::new(),
            tokens: BTreeMap::new(),
            count: 0,
            now: Duration::ZERO,
        }
    }

    pub(super) fn opened(&mut self, conn: ConnKey, name: Name, kind: Kind, now: Duration) {
        self.conns.insert(conn, (name.clone(), kind));
        self.all.insert(conn, (name.clone(), kind));
        self.room.handle_opened(conn, name, kind, now);
        self.drain(None);
    }

    pub(super) fn message(
        &mut self,
        mut conn: ConnKey,
        payload: Payload,
        way: Way,
        is_closed: bool,
        now: Duration,
    ) {
        let Some((name, kind)) = self.all.get(&conn).cloned() else {
            return;
        };
        self.now = now;
        let mut payload = payload;
        if is_closed && self.bug == Some(Bug::BelieveClosed) {
            let mut others = self.conns.iter().rev();
            let same = others.find(|(_, (it, other))| *it == name && *other == kind);
            if let Some((same, _)) = same {
                conn = *same;
            }
        }
        match (self.bug, &payload) {
            (Some(Bug::BelieveForged), Payload::Text(text)) if text.contains("\"forged\"") => {
                let to = self.others(conn, Kind::Legacy);
                self.acts.push_back(Act::Send(to, payload, Way::Reliable));
                return;
            }
            (Some(Bug::BelieveAnyToken), Payload::Bytes(bytes)) => {
                if let Ok(Some(frame @ FromMember::Hello(_))) =
                    FromMember::parse(bytes.clone(), 65_536)
                {
                    let first = self.tokens.entry(name.to_string()).or_insert(frame);
                    payload = Payload::Bytes(first.emit());
                }
            }
            _ => {}
        }
        self.room.handle_message(conn, payload, way, now);
        self.drain(Some(conn));
    }

    pub(super) fn verdict(&mut self, ticket: Ticket, verdict: Verdict, now: Duration) {
        let verdict = match self.bug {
            Some(Bug::RelayDropped) => Verdict::Relay,
            _ => verdict,
        };
        self.room.handle_verdict(ticket, verdict, now);
        self.drain(None);
    }

    pub(super) fn closed(&mut self, conn: ConnKey, why: Closed, now: Duration) {
        if self.bug != Some(Bug::ForgetLost) || why != Closed::Lost {
            self.room.handle_closed(conn, why, now);
        }
        self.drain(None);
    }

    pub(super) fn send(&mut self, to: SendTo<'_>, said: Said, now: Duration) {
        self.room.handle_send(to, said, now);
        self.drain(None);
    }

    pub(super) fn kick(&mut self, name: &Name, now: Duration) {
        self.room.handle_kick(name, now);
        self.drain(None);
    }

    /// Whether it counted.
    pub(super) fn goodbye(&mut self, name: &Name, token: &Token, now: Duration) -> bool {
        let counted = self.room.handle_goodbye(name, token, now);
        self.drain(None);
        counted
    }

    pub(super) fn timeout(&mut self, now: Duration) {
        if self.bug != Some(Bug::NeverFree) || !self.is_ending {
            self.room.handle_timeout(now);
        }
        self.drain(None);
    }

    pub(super) fn due(&self) -> Option<Duration> {
        let due = self.room.poll_timeout();
        due.filter(|_| self.bug != Some(Bug::NeverFree) || !self.is_ending)
    }

    pub(super) fn poll(&mut self) -> Option<Act> {
        if self.bug == Some(Bug::WaitForSlow) {
            if self.is_somebody_slow {
                self.waiting.append(&mut self.acts);
            } else {
                self.waiting.append(&mut self.acts);
                self.acts.append(&mut self.waiting);
            }
        }
        self.acts.pop_front()
    }

    fn others(&self, conn: ConnKey, of: Kind) -> Vec<ConnKey> {
        let conns = self.conns.iter();
        conns
            .filter(|(it, (_, kind))| **it != conn && *kind == of)
            .map(|(it, _)| *it)
            .collect()
    }

    fn drain(&mut self, from: Option<ConnKey>) {
        while let Some(output) = self.room.poll_output() {
            let act = match output {
                Output::Send { to, payload, way } => Act::Send(to.iter().collect(), payload, way),
                Output::Close { conn, why } => {
                    self.conns.remove(&conn);
                    Act::Close(conn, why)
                }
                Output::Told(told) => Act::Told(told),
            };
            self.take(act, from);
        }
    }

    fn take(&mut self, mut act: Act, from: Option<ConnKey>) {
        if let Act::Send(to, payload, _) = &mut act {
            let what = What::of(payload);
            self.count += 1;
            let sometimes = self.count.is_multiple_of(16);
            match (self.bug, what) {
                (Some(Bug::LoseHost), What::Host)
                | (Some(Bug::LoseJoined), What::Joined)
                | (Some(Bug::LoseLeft), What::Left)
                | (Some(Bug::LoseMetadata), What::Metadata) => return,
                (Some(Bug::LoseMessage), What::Message) if sometimes => return,
                (Some(Bug::Repeat), What::Message) if sometimes => {
                    let again = Act::Send(to.clone(), payload.clone(), Way::Reliable);
                    self.acts.push_back(again);
                }
                (Some(Bug::Echo), What::Message) if sometimes => {
                    let is_native = matches!(payload, Payload::Bytes(_));
                    let kind = if is_native {
                        Kind::Native
                    } else {
                        Kind::Legacy
                    };
                    let sender = from.and_then(|from| self.conns.get_key_value(&from));
                    if let Some((sender, (_, it))) = sender
                        && *it == kind
                    {
                        to.push(*sender);
                    }
                }
                (Some(Bug::TargetAll), What::Message) if to.len() == 1 => {
                    let is_native = matches!(payload, Payload::Bytes(_));
                    let kind = if is_native {
                        Kind::Native
                    } else {
                        Kind::Legacy
                    };
                    *to = self.others(from.unwrap_or(ConnKey(u64::MAX)), kind);
                }
                (Some(Bug::Swap), What::Message) => {
                    if self.held.is_none() && sometimes {
                        self.held = Some(act);
                        return;
                    }
                    self.acts.push_back(act);
                    self.acts.extend(self.held.take());
                    return;
                }
                (Some(Bug::ForgetHeard), What::Welcome) => {
                    if let Payload::Bytes(bytes) = payload
                        && let Ok(Some(FromHub::Welcome(mut welcome))) =
                            FromHub::parse(bytes.clone())
                        && welcome.heard > 0
                    {
                        // More than has come, but perhaps not more than was sent.
                        welcome.heard += 1;
                        *payload = Payload::Bytes(FromHub::Welcome(welcome).emit());
                    }
                }
                _ => {}
            }
        }
        if self.bug == Some(Bug::SkipVerdicts)
            && let Act::Told(Told::Message(incoming)) = &act
            && let Some(ticket) = incoming.ticket
        {
            self.acts.push_back(act);
            self.room.handle_verdict(ticket, Verdict::Relay, self.now);
            return;
        }
        self.acts.push_back(act);
    }
}

/// What a payload is.
enum What {
    Welcome,
    Joined,
    Left,
    Host,
    Metadata,
    Message,
    Other,
}

impl What {
    fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Text(text) if text.contains("\"PEER_JOIN\"") => Self::Joined,
            Payload::Text(text) if text.contains("\"PEER_LEAVE\"") => Self::Left,
            Payload::Text(text) if text.contains("\"HOST_CHANGE\"") => Self::Host,
            Payload::Text(text) if text.contains("\"ROOM_STATE\"") => Self::Other,
            Payload::Text(_) => Self::Message,
            Payload::Bytes(bytes) => match FromHub::parse(bytes.clone()) {
                Ok(Some(FromHub::Welcome(_))) => Self::Welcome,
                Ok(Some(FromHub::Joined { .. })) => Self::Joined,
                Ok(Some(FromHub::Left { .. })) => Self::Left,
                Ok(Some(FromHub::Host { .. })) => Self::Host,
                Ok(Some(FromHub::Metadata { .. })) => Self::Metadata,
                Ok(Some(FromHub::Message(Message { seq: 1.., .. }))) => Self::Message,
                _ => Self::Other,
            },
        }
    }
}
