//! A native member's view of its room: who is there, what is said, in one order and once, also after a break.
//!
//! Feed one input, drain [`Member::poll_output`] to `None`, re-arm at [`Member::poll_timeout`]. Never blocks; no input can panic it. One member outlives its
//! connections: for each new one the shell says [`Member::handle_opened`], and the machine goes on where it was.
//!
//! What the application says is kept until the hub has it, and goes no faster than a hub takes: see [`Config`].

mod asks;
mod news;
mod outbox;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::room::{
    Answer, Body, Emit, Entry, Epoch, FROM_MEMBER_MAX, FromHub, FromMember, Hello, Json,
    LeftReason, MemberNumber, Name, RefusedCode, Resumed, Said, TARGETS_MAX, To, Token,
    UnackedReason, Welcome,
};

use super::Way;
use asks::Asks;
use outbox::{Kept, Outbox};

/// Who a member is, and how much it keeps.
#[derive(Debug, Clone)]
pub struct Config {
    /// Proves its name.
    pub token: Token,
    /// What it says of itself.
    pub metadata: Json,
    /// Most messages that are kept until the hub has them. Default 1,000. One more is refused to the application.
    pub kept_messages: usize,
    /// Most octets of these. Default 1 MiB.
    pub kept_octets: usize,
    /// Messages that go out a second in the long run: fewer than a hub takes. Default 190; the others wait among those that are kept.
    pub rate: u32,
    /// Messages that go out at once. Default 450.
    pub burst: u32,
    /// Messages that wait for answers. Default 256, as many as a hub remembers. One more is refused to the application.
    pub asks: usize,
    /// How long WELCOME is waited for. Default 10 s; then the connection is given up.
    pub welcome_within: Duration,
    /// How soon after a message the hub is told that the application has it. Default 5 s: it only lets the hub forget earlier.
    pub got_within: Duration,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub const fn new(token: Token, metadata: Json) -> Self {
        Self {
            token,
            metadata,
            kept_messages: 1_000,
            kept_octets: 1024 * 1024,
            rate: 190,
            burst: 450,
            asks: 256,
            welcome_within: Duration::from_secs(10),
            got_within: Duration::from_secs(5),
        }
    }
}

/// To whom the application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Everybody else.
    Others,
    /// The hub alone.
    Hub,
    /// These: 1 to [`TARGETS_MAX`].
    Members(&'a [Name]),
}

/// Why something is not said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too much waits for the hub already.
    #[error("too much waits to be sent: say less, or say it later")]
    Full,
    /// Too many answers are waited for.
    #[error("too many messages wait for their answers")]
    Asks,
    /// It has more octets than a message may have.
    #[error("a message has at most 64 KiB")]
    TooLong,
    /// The event's name is one of the room's own.
    #[error("the event {0:?} is the room's own: choose another name")]
    Reserved(String),
    /// Nobody there is called so.
    #[error("nobody in the room is called {0:?}")]
    Unknown(Name),
    /// No receivers, or too many.
    #[error("a message names 1 to {TARGETS_MAX} receivers, or everybody")]
    Targets,
    /// The member has left, or was put out.
    #[error("this member has left the room")]
    Over,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this binary message. Where there is no fast channel, and it is not full, by the other.
    Send {
        /// The message.
        frame: Bytes,
        /// By which channel.
        way: Way,
    },
    /// Tell the application.
    Told(Told),
    /// Close the connection after what was sent before. Make another one, unless it is over: [`Member::is_over`].
    Close,
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is in the room, for the first time or again. What follows is news; after [`Resumed::Missed`] some is missing before it.
    Entered(Resumed),
    /// A member came.
    Joined(Entry),
    /// A member is gone.
    Left(Entry, LeftReason),
    /// The host is another.
    Host(Option<Entry>),
    /// A member says something else of itself.
    Metadata(Entry),
    /// Somebody said something.
    Message {
        /// Who; none: the server.
        from: Option<Name>,
        /// What.
        said: Said,
        /// Whether it may have been lost, and is in no order.
        fast: bool,
        /// To be answered by [`Member::handle_answer`].
        question: Option<Question>,
    },
    /// A message's answers are complete, or its time is over.
    Answers(Answers),
    /// The hub ends this connection. Whether to come back: [`RefusedCode::may_return`].
    Refused(RefusedCode),
}

/// Names a message that waits for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(pub(crate) u64);

/// Answers to a message. Where a name is missing it is the hub that is meant, or nobody in particular.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Of which.
    pub id: AckId,
    /// Who answered what.
    pub answers: Vec<(Option<Name>, Body)>,
    /// Who did not, and why.
    pub missing: Vec<(Option<Name>, UnackedReason)>,
}

/// A message that wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    from: MemberNumber,
    ack: u64,
    life: u64,
}

/// The machine of one native member.
pub struct Member {
    config: Config,
    state: State,
    epoch: Epoch,
    you: Option<MemberNumber>,
    /// The last place in the room's order that is known.
    last: u64,
    /// What of it the hub was told.
    got: u64,
    host: Option<MemberNumber>,
    members: BTreeMap<MemberNumber, Entry>,
    /// Counts the rooms that it was in.
    life: u64,
    outbox: Outbox,
    asks: Asks,
    last_ack: u64,
    welcome_until: Option<Duration>,
    got_at: Option<Duration>,
    outputs: VecDeque<Output>,
}

enum State {
    /// Without a connection, or with one that is being closed.
    Out,
    /// HELLO is said; the beginning of the answer may be there.
    Coming(Option<Box<Welcome>>),
    In,
    Over,
}

impl Member {
    /// A member that was nowhere yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let outbox = Outbox::new(&config);
        Self {
            config,
            state: State::Out,
            epoch: Epoch::default(),
            you: None,
            last: 0,
            got: 0,
            host: None,
            members: BTreeMap::new(),
            life: 0,
            outbox,
            asks: Asks::default(),
            last_ack: 0,
            welcome_until: None,
            got_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// The reliable channel of a new connection is open.
    pub fn handle_opened(&mut self, now: Duration) {
        if matches!(self.state, State::Over) {
            self.outputs.push_back(Output::Close);
            return;
        }
        self.state = State::Coming(None);
        self.outbox.disconnected();
        self.welcome_until = Some(now + self.config.welcome_within);
        let hello = FromMember::Hello(Hello {
            token: self.config.token.clone(),
            metadata: self.config.metadata.clone(),
            epoch: self.epoch,
            last: self.last,
        });
        self.send(hello.emit(), Way::Reliable);
    }

    /// The connection is gone.
    pub fn handle_closed(&mut self) {
        if !matches!(self.state, State::Over) {
            self.state = State::Out;
        }
        self.outbox.disconnected();
        self.welcome_until = None;
        self.got_at = None;
    }

    /// A binary message came.
    pub fn handle_message(&mut self, message: Bytes, way: Way, now: Duration) {
        if matches!(self.state, State::Out | State::Over) {
            return;
        }
        match FromHub::parse(message) {
            // What may be lost is no reason to end anything.
            Ok(Some(FromHub::Message(message))) if way == Way::Fast => {
                if matches!(self.state, State::In) && message.seq == 0 {
                    self.message(message);
                }
            }
            _ if way == Way::Fast => {}
            Ok(Some(frame)) => self.handle_frame(frame, now),
            Ok(None) => {}
            Err(_) => self.give_up(),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.welcome_until.is_some_and(|until| until <= now) {
            self.give_up();
        }
        if self.got_at.is_some_and(|at| at <= now) {
            self.got_at = None;
            if self.got < self.last {
                self.got = self.last;
                self.send(FromMember::Got(self.last).emit(), Way::Reliable);
            }
        }
        for answers in self.asks.expire(now) {
            self.tell(Told::Answers(answers));
        }
        self.flush(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Member::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let paced = match self.state {
            State::In => self.outbox.due(),
            _ => None,
        };
        [self.welcome_until, self.got_at, paced, self.asks.due()]
            .into_iter()
            .flatten()
            .min()
    }

    // What the application says.

    /// Says something. What is fast is dropped when there is no way for it just now; anything else is kept until the hub has it, and said again after a break.
    ///
    /// # Errors
    /// See [`Error`]; nothing is said then.
    pub fn handle_emit(
        &mut self,
        to: Target<'_>,
        said: Said,
        fast: bool,
        now: Duration,
    ) -> Result<(), Error> {
        let frame = self.frame(to, said, None, fast)?;
        if fast {
            if matches!(self.state, State::In) && self.outbox.takes_fast(now) {
                self.send(frame, Way::Fast);
            }
            return Ok(());
        }
        let is_bound = matches!(to, Target::Members(_));
        self.keep(frame, is_bound, None, now)
    }

    /// Says something that wants answers, and waits for them for so long: [`Told::Answers`] comes once.
    ///
    /// # Errors
    /// See [`Error`]; nothing is said then.
    pub fn handle_ask(
        &mut self,
        to: Target<'_>,
        said: Said,
        within: Duration,
        now: Duration,
    ) -> Result<AckId, Error> {
        if self.asks.len() >= self.config.asks {
            return Err(Error::Asks);
        }
        let ack = self.last_ack + 1;
        let frame = self.frame(to, said, Some(ack), false)?;
        let is_bound = matches!(to, Target::Members(_));
        self.keep(frame, is_bound, Some(ack), now)?;
        self.last_ack = ack;
        let asked = match to {
            Target::Others => None,
            Target::Hub => Some(vec![(None, None)]),
            Target::Members(names) => {
                // Who is named twice answers once.
                let names: BTreeSet<_> = names.iter().collect();
                let asked = names.into_iter();
                let asked = asked.map(|name| (self.number(name), Some(name.clone())));
                Some(asked.collect())
            }
        };
        self.asks.add(AckId(ack), asked, now + within);
        Ok(AckId(ack))
    }

    /// Answers a message. Once; what comes too late is ignored.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn handle_answer(
        &mut self,
        question: Question,
        body: Body,
        now: Duration,
    ) -> Result<(), Error> {
        if question.life != self.life {
            return Ok(());
        }
        let answer = Answer {
            to: question.from,
            ack: question.ack,
            body,
        };
        let frame = FromMember::Ack(answer).emit();
        if frame.len() > FROM_MEMBER_MAX {
            return Err(Error::TooLong);
        }
        self.keep(frame, true, None, now)
    }

    /// Says something else of itself, at most [`crate::wire::room::METADATA_MAX`] octets.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn handle_metadata(&mut self, metadata: Json, now: Duration) -> Result<(), Error> {
        if metadata.as_str().len() > crate::wire::room::METADATA_MAX {
            return Err(Error::TooLong);
        }
        // Kept in its order whatever the next HELLO says: one that was said before may still be on its way.
        let frame = FromMember::Metadata(metadata.clone()).emit();
        self.keep(frame, false, None, now)?;
        if let Some(own) = self.you.and_then(|you| self.members.get_mut(&you)) {
            own.metadata = metadata.clone();
        }
        self.config.metadata = metadata;
        Ok(())
    }

    /// Leaves the room for good. What was said before is sent before, as far as it may go at once; not by who comes back, as long as the hub has not said
    /// what of it it has.
    pub fn handle_leave(&mut self, now: Duration) {
        if matches!(self.state, State::In | State::Coming(_)) {
            if matches!(self.state, State::In) || self.you.is_none() {
                self.send_due(now);
            }
            self.send(FromMember::Leave.emit(), Way::Reliable);
            self.outputs.push_back(Output::Close);
        }
        self.over();
    }

    // What is known.

    /// Whether the member is in the room just now.
    #[must_use]
    pub const fn is_in(&self) -> bool {
        matches!(self.state, State::In)
    }

    /// Whether it will never be again.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether everything that was said was sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outbox.is_drained()
    }

    /// Who is there, as far as is known, this member among them.
    pub fn members(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.members.values()
    }

    /// Itself, once it was in the room.
    #[must_use]
    pub fn me(&self) -> Option<&Entry> {
        self.members.get(&self.you?)
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Option<&Entry> {
        self.members.get(&self.host?)
    }

    // To the hub.

    fn frame(
        &self,
        to: Target<'_>,
        said: Said,
        ack: Option<u64>,
        fast: bool,
    ) -> Result<Bytes, Error> {
        if let Some(event) = said.event().filter(|event| event.is_reserved()) {
            return Err(Error::Reserved(event.as_str().to_owned()));
        }
        let to = match to {
            Target::Others => To::Others,
            Target::Hub => To::Hub,
            Target::Members(names) => {
                if names.is_empty() || names.len() > TARGETS_MAX {
                    return Err(Error::Targets);
                }
                let number = |name: &Name| self.number(name).ok_or(Error::Unknown(name.clone()));
                let numbers: Result<Arc<[_]>, _> = names.iter().map(number).collect();
                To::Members(numbers?)
            }
        };
        let emit = FromMember::Emit(Emit {
            to,
            ack,
            fast,
            said,
        });
        let frame = emit.emit();
        if frame.len() > FROM_MEMBER_MAX {
            return Err(Error::TooLong);
        }
        Ok(frame)
    }

    fn number(&self, name: &Name) -> Option<MemberNumber> {
        let entry = self.members.values().find(|entry| entry.name == *name)?;
        Some(entry.number)
    }

    fn keep(
        &mut self,
        frame: Bytes,
        is_bound: bool,
        ack: Option<u64>,
        now: Duration,
    ) -> Result<(), Error> {
        if matches!(self.state, State::Over) {
            return Err(Error::Over);
        }
        let kept = Kept {
            frame,
            is_bound,
            ack,
        };
        if !self.outbox.push(kept) {
            return Err(Error::Full);
        }
        self.flush(now);
        Ok(())
    }

    fn flush(&mut self, now: Duration) {
        if matches!(self.state, State::In) {
            self.send_due(now);
        }
    }

    fn send_due(&mut self, now: Duration) {
        while let Some(frame) = self.outbox.next(now) {
            self.send(frame, Way::Reliable);
        }
    }

    fn send(&mut self, frame: Bytes, way: Way) {
        self.outputs.push_back(Output::Send { frame, way });
    }

    fn tell(&mut self, told: Told) {
        self.outputs.push_back(Output::Told(told));
    }

    /// The hub makes no sense, or says nothing: perhaps the next connection's does.
    fn give_up(&mut self) {
        self.outputs.push_back(Output::Close);
        self.handle_closed();
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.handle_closed();
        for answers in self.asks.end() {
            self.tell(Told::Answers(answers));
        }
    }
}

/// Without names, and without what is said.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("you", &self.you)
            .field("last", &self.last)
            .field("members", &self.members.len())
            .field("is_in", &self.is_in())
            .finish_non_exhaustive()
    }
}
