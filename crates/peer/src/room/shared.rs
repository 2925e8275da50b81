//! What a room's handle and its task share: the machine, what waits for the application, and what waits for the hub.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_proto::room::Way;
use peerage_proto::room::member::{self, AckId, Member, Output, Question, Target, Told};
use peerage_proto::wire::room::{
    Body, Entry, Json, Name, RefusedCode, Resumed, Said, TARGETS_MAX, Token, UnackedReason,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

use super::happening::{Ack, Answers, Data, Happening, RoomMember, RoomState, Sender};
use super::{AckError, EmitError, RoomError};

/// Happenings that wait for the application; then the hub is not heard any more.
const HAPPENINGS: usize = 1_024;
/// Frames that wait for the channel; then nothing is heard that might be answered.
const FRAMES: usize = 2_048;
/// How long room is waited for.
const ROOM: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Shared {
    name: Name,
    begun: Instant,
    core: Mutex<Core>,
    /// For the task: there is something to do.
    work: Notify,
    /// For the application: something happened.
    arrived: Notify,
    /// For who waits for room.
    room: Notify,
}

#[derive(Debug)]
struct Core {
    member: Member,
    state: RoomState,
    end: Option<RoomError>,
    is_leaving: bool,
    /// Whether the hub has let it in, ever.
    was_in: bool,
    happenings: VecDeque<Happening>,
    asks: BTreeMap<AckId, oneshot::Sender<member::Answers>>,
    /// Of the connection that there is: what may not be lost, and what may.
    frames: VecDeque<Bytes>,
    fast: VecDeque<Bytes>,
    refused: Option<RefusedCode>,
    is_closing: bool,
}

/// To whom.
#[derive(Debug, Clone)]
pub(super) enum To {
    Others,
    Hub,
    Members(Vec<String>),
}

/// How the connection stands.
pub(super) struct Standing {
    pub(super) is_in: bool,
    /// Nothing is to be said any more but what waits.
    pub(super) is_closing: bool,
    pub(super) is_leaving: bool,
    /// Nothing waits to be said.
    pub(super) is_drained: bool,
    /// Whether there is room for what might come.
    pub(super) may_hear: bool,
    pub(super) due: Option<Instant>,
}

impl Shared {
    pub(super) fn new(name: Name, token: Token, metadata: Json) -> Self {
        let core = Core {
            member: Member::new(member::Config::new(token, metadata)),
            state: RoomState::Reconnecting,
            end: None,
            is_leaving: false,
            was_in: false,
            happenings: VecDeque::new(),
            asks: BTreeMap::new(),
            frames: VecDeque::new(),
            fast: VecDeque::new(),
            refused: None,
            is_closing: false,
        };
        Self {
            name,
            begun: Instant::now(),
            core: Mutex::new(core),
            work: Notify::new(),
            arrived: Notify::new(),
            room: Notify::new(),
        }
    }

    // For the application.

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn members(&self) -> Vec<RoomMember> {
        let core = self.core();
        let mut members: Vec<_> = core.member.members().collect();
        members.sort_by_key(|entry| (entry.joined, entry.number));
        members.into_iter().map(shown).collect()
    }

    pub(super) fn host(&self) -> Option<Name> {
        let core = self.core();
        core.member.host().map(|entry| entry.name.clone())
    }

    pub(super) fn state(&self) -> RoomState {
        self.core().state
    }

    pub(super) fn end(&self) -> Option<RoomError> {
        self.core().end.clone()
    }

    pub(super) async fn next(&self) -> Option<Happening> {
        loop {
            {
                let mut core = self.core();
                if let Some(happening) = core.happenings.pop_front() {
                    if core.happenings.len() == HAPPENINGS / 2 {
                        self.work.notify_one();
                    }
                    return Some(happening);
                }
                if core.end.is_some() {
                    return None;
                }
            }
            // Remembered if it comes before; and there is one who waits.
            self.arrived.notified().await;
        }
    }

    pub(super) async fn say(&self, to: &To, said: &Said, fast: bool) -> Result<(), EmitError> {
        self.when_room(|core, now| {
            let names = core.names(to)?;
            let (to, said) = (names.target(), said.clone());
            core.member
                .handle_emit(to, said, fast, now)
                .map_err(Refusal::of)
        })
        .await
    }

    pub(super) async fn set_metadata(&self, metadata: &Json) -> Result<(), EmitError> {
        self.when_room(|core, now| {
            let metadata = metadata.clone();
            core.member
                .handle_metadata(metadata, now)
                .map_err(Refusal::of)?;
            if let Some(me) = core.member.me().map(shown) {
                core.happenings.push_back(Happening::Metadata(me));
                self.arrived.notify_one();
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn answer(&self, question: Question, body: &Body) -> Result<(), EmitError> {
        self.when_room(|core, now| {
            let body = body.clone();
            core.member
                .handle_answer(question, body, now)
                .map_err(Refusal::of)
        })
        .await
    }

    pub(super) async fn ask(
        &self,
        to: &To,
        said: &Said,
        within: Duration,
    ) -> Result<Answers, AckError> {
        let mut absent = Vec::new();
        let asked = self
            .when_room(|core, now| {
                let names = core.names(to)?;
                let ack = core
                    .member
                    .handle_ask(names.target(), said.clone(), within, now)
                    .map_err(Refusal::of)?;
                absent.clone_from(&names.absent);
                let (answered, answers) = oneshot::channel();
                core.asks.insert(ack, answered);
                Ok(answers)
            })
            .await;
        let is_one = matches!(to, To::Members(names) if names.len() == 1);
        let answers = match asked {
            // The machine keeps the time.
            Ok(answers) => answers.await.map_err(|_| AckError::Closed)?,
            Err(EmitError::NoSuchMember(_)) => return Err(AckError::NoSuchMember),
            Err(error) => return Err(error.into()),
        };
        let from = |name: Option<Name>| name.map_or(Sender::Server, Sender::Member);
        let mut told = Answers {
            answers: answers
                .answers
                .into_iter()
                .map(|(name, body)| (from(name), Data(body)))
                .collect(),
            missing: absent
                .into_iter()
                .map(|name| (Sender::Member(name), UnackedReason::Unknown))
                .collect(),
        };
        let mut is_late = false;
        let mut why = None;
        for (name, reason) in answers.missing {
            is_late |= reason == UnackedReason::Late;
            why = Some(reason);
            told.missing.push((from(name), reason));
        }
        if self.end().is_some() && why.is_some() {
            return Err(AckError::Closed);
        }
        match why {
            _ if is_late => Err(AckError::Timeout { answers: told }),
            Some(UnackedReason::Dropped) => Err(AckError::Dropped),
            Some(UnackedReason::Unknown) if is_one => Err(AckError::NoSuchMember),
            Some(UnackedReason::Left) if is_one => Err(AckError::Left),
            Some(UnackedReason::Mute) if is_one => Err(AckError::Mute),
            _ => Ok(told),
        }
    }

    /// Waits until the hub was sent everything that was said.
    pub(super) async fn drained(&self) -> Result<(), EmitError> {
        self.when(None, |core, _| match core.is_drained() {
            true => Ok(()),
            false => Err(Refusal::Full),
        })
        .await
    }

    pub(super) fn leave(&self) {
        self.core().is_leaving = true;
        self.work.notify_one();
    }

    async fn when_room<T>(
        &self,
        say: impl FnMut(&mut Core, Duration) -> Result<T, Refusal>,
    ) -> Result<T, EmitError> {
        self.when(Some(ROOM), say).await
    }

    /// Does it once there is room.
    async fn when<T>(
        &self,
        within: Option<Duration>,
        mut say: impl FnMut(&mut Core, Duration) -> Result<T, Refusal>,
    ) -> Result<T, EmitError> {
        let until = within.map(|within| tokio::time::Instant::now() + within);
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Registered before looking: what comes in between would be missed otherwise.
            room.as_mut().enable();
            {
                let mut core = self.core();
                if core.end.is_some() || core.is_leaving {
                    return Err(EmitError::Closed);
                }
                match say(&mut core, self.begun.elapsed()) {
                    Err(Refusal::Full) => {}
                    Err(Refusal::Never(error)) => return Err(error),
                    Ok(done) => {
                        drop(core);
                        self.work.notify_one();
                        return Ok(done);
                    }
                }
            }
            match until {
                Some(until) => {
                    let waited = timeout_at(until, room).await;
                    waited.map_err(|_| EmitError::Overflow)?;
                }
                None => room.await,
            }
        }
    }

    // For the task.

    /// A connection is there.
    pub(super) fn opened(self: &Arc<Self>) {
        self.feed(|core, now| {
            core.forget_frames();
            (core.refused, core.is_closing) = (None, false);
            core.member.handle_opened(now);
        });
    }

    /// It is gone. Returns what the hub said last, if it was an end.
    pub(super) fn closed(self: &Arc<Self>) -> Option<RefusedCode> {
        self.feed(|core, _| {
            core.member.handle_closed();
            core.forget_frames();
        });
        self.core().refused
    }

    pub(super) fn heard(self: &Arc<Self>, message: Bytes, way: Way) {
        self.feed(|core, now| core.member.handle_message(message, way, now));
        self.room.notify_waiters();
    }

    pub(super) fn say_goodbye(self: &Arc<Self>) {
        self.feed(|core, now| core.member.handle_leave(now));
    }

    /// Does what is due, and says how it stands.
    pub(super) fn look(self: &Arc<Self>) -> Standing {
        self.feed(|core, now| {
            if core.member.poll_timeout().is_some_and(|due| due <= now) {
                core.member.handle_timeout(now);
            }
        });
        let core = self.core();
        Standing {
            is_in: core.member.is_in(),
            is_closing: core.is_closing,
            is_leaving: core.is_leaving,
            is_drained: core.is_drained(),
            may_hear: core.happenings.len() < HAPPENINGS && core.frames.len() < FRAMES,
            due: core.member.poll_timeout().map(|due| self.begun + due),
        }
    }

    /// The next frame for the reliable channel.
    pub(super) fn frame(&self) -> Option<Bytes> {
        self.core().frames.front().cloned()
    }

    /// Takes the next that may be lost: it does not wait behind the others.
    pub(super) fn fast_frame(&self) -> Option<Bytes> {
        let mut core = self.core();
        let frame = core.fast.pop_front()?;
        if core.is_drained() {
            drop(core);
            self.room.notify_waiters();
        }
        Some(frame)
    }

    pub(super) fn frame_sent(&self) {
        let mut core = self.core();
        core.frames.pop_front();
        if core.frames.is_empty() {
            drop(core);
            self.room.notify_waiters();
        }
    }

    pub(super) async fn worked(&self) {
        self.work.notified().await;
    }

    /// The connection is lost, and looked for.
    pub(super) fn lost(&self) {
        let mut core = self.core();
        if core.state == RoomState::Joined {
            core.state = RoomState::Reconnecting;
            core.happenings
                .push_back(Happening::State(RoomState::Reconnecting));
            self.arrived.notify_one();
        }
    }

    /// An attempt to come back failed. Told as long as somebody listens.
    pub(super) fn failed(&self, error: RoomError) {
        let mut core = self.core();
        if core.happenings.len() < HAPPENINGS {
            core.happenings.push_back(Happening::Failed(error));
            self.arrived.notify_one();
        }
    }

    /// The room is over.
    pub(super) fn over(&self, why: RoomError) {
        let mut core = self.core();
        core.state = RoomState::Closed;
        core.end.get_or_insert(why);
        core.asks.clear();
        drop(core);
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    /// Feeds the machine, and takes what comes of it.
    fn feed(self: &Arc<Self>, input: impl FnOnce(&mut Core, Duration)) {
        let mut core = self.core();
        let before = core.happenings.len();
        input(&mut core, self.begun.elapsed());
        while let Some(output) = core.member.poll_output() {
            match output {
                Output::Send { frame, way } => match way {
                    Way::Reliable => core.frames.push_back(frame),
                    Way::Fast => core.fast.push_back(frame),
                },
                Output::Close => core.is_closing = true,
                Output::Told(told) => self.told(&mut core, told),
            }
        }
        if core.happenings.len() > before {
            drop(core);
            self.arrived.notify_one();
        }
    }

    fn told(self: &Arc<Self>, core: &mut Core, told: Told) {
        let happening = match told {
            Told::Entered(resumed) => {
                let is_back = std::mem::replace(&mut core.was_in, true);
                core.state = RoomState::Joined;
                if is_back {
                    core.happenings
                        .push_back(Happening::State(RoomState::Joined));
                }
                if !is_back || resumed == Resumed::Whole {
                    return;
                }
                Happening::Missed
            }
            Told::Joined(entry) => Happening::Joined(shown(&entry)),
            Told::Left(entry, reason) => Happening::Left {
                member: shown(&entry),
                reason,
            },
            Told::Host(entry) => Happening::Host(entry.map(|entry| entry.name)),
            Told::Metadata(entry) => Happening::Metadata(shown(&entry)),
            Told::Message {
                from,
                said,
                question,
                ..
            } => {
                let from = from.map_or(Sender::Server, Sender::Member);
                let ack = question.map(|question| Ack {
                    shared: Arc::downgrade(self),
                    question,
                });
                match said {
                    Said::Chat(body) => Happening::Message {
                        from,
                        data: Data(body),
                        ack,
                    },
                    Said::Event(event, body) => Happening::Event {
                        event: event.text().clone(),
                        from,
                        data: Data(body),
                        ack,
                    },
                }
            }
            Told::Answers(answers) => {
                if let Some(asked) = core.asks.remove(&answers.id) {
                    // Who asked may not wait any more.
                    let _ = asked.send(answers);
                }
                return;
            }
            Told::Refused(code) => {
                core.refused = Some(code);
                return;
            }
        };
        core.happenings.push_back(happening);
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // Nothing under the lock leaves it half-done.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Whether the channels have all that was said.
    fn is_drained(&self) -> bool {
        self.member.is_drained() && self.frames.is_empty() && self.fast.is_empty()
    }

    fn forget_frames(&mut self) {
        self.frames.clear();
        self.fast.clear();
    }

    /// Those of the receivers who are there.
    fn names(&self, to: &To) -> Result<Receivers, Refusal> {
        let mut receivers = Receivers {
            to: to.clone(),
            present: Vec::new(),
            absent: Vec::new(),
        };
        let To::Members(wanted) = to else {
            return Ok(receivers);
        };
        if wanted.is_empty() || wanted.len() > TARGETS_MAX {
            return Err(Refusal::Never(EmitError::Receivers));
        }
        for wanted in wanted {
            let is_it = |entry: &&Entry| entry.name == **wanted;
            match self.member.members().find(is_it) {
                Some(entry) => receivers.present.push(entry.name.clone()),
                None => receivers.absent.extend(Name::parse(wanted)),
            }
        }
        if receivers.present.is_empty() {
            let first = wanted.first().cloned().unwrap_or_default();
            return Err(Refusal::Never(EmitError::NoSuchMember(first)));
        }
        Ok(receivers)
    }
}

struct Receivers {
    to: To,
    present: Vec<Name>,
    absent: Vec<Name>,
}

impl Receivers {
    fn target(&self) -> Target<'_> {
        match self.to {
            To::Others => Target::Others,
            To::Hub => Target::Hub,
            To::Members(_) => Target::Members(&self.present),
        }
    }
}

/// Why something is not said.
enum Refusal {
    /// There is no room now.
    Full,
    Never(EmitError),
}

impl Refusal {
    fn of(error: member::Error) -> Self {
        Self::Never(match error {
            member::Error::Full | member::Error::Asks => return Self::Full,
            member::Error::TooLong => EmitError::TooLarge,
            member::Error::Reserved(event) => EmitError::EventName(event),
            member::Error::Unknown(name) => EmitError::NoSuchMember(name.to_string()),
            member::Error::Targets => EmitError::Receivers,
            _ => EmitError::Closed,
        })
    }
}

fn shown(entry: &Entry) -> RoomMember {
    RoomMember::new(entry.name.clone(), entry.metadata.clone(), entry.joined)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use peerage_proto::wire::room::{Epoch, FromHub, MemberNumber, Welcome};

    use super::*;

    /// A room's shared part, alone in the room.
    fn entered() -> Arc<Shared> {
        let name = Name::parse("ann").expect("a name");
        let shared = Shared::new(name.clone(), Token::new([1; 16]), Json::NULL);
        let shared = Arc::new(shared);
        shared.opened();
        let you = MemberNumber::new(1).expect("from 1");
        let me = Entry {
            number: you,
            name,
            metadata: Json::NULL,
            joined: 0,
        };
        let welcome = FromHub::Welcome(Welcome {
            epoch: Epoch([1; 8]),
            you,
            seq: 1,
            resumed: Resumed::New,
            heard: 0,
            host: Some(you),
            total: 1,
            members: vec![me],
        });
        shared.heard(welcome.emit(), Way::Reliable);
        while shared.frame().is_some() {
            shared.frame_sent();
        }
        assert_eq!(shared.state(), RoomState::Joined);
        shared
    }

    async fn say(shared: &Arc<Shared>, fast: bool) {
        let said = Said::Chat(Body::Json(Json::NULL));
        shared.say(&To::Others, &said, fast).await.expect("said");
        shared.look();
    }

    #[tokio::test]
    async fn what_may_be_lost_does_not_wait_behind_what_may_not() {
        let shared = entered();
        say(&shared, false).await;
        say(&shared, true).await;
        assert!(shared.fast_frame().is_some());
        assert!(shared.fast_frame().is_none());
        assert!(shared.frame().is_some());
    }

    #[tokio::test]
    async fn all_is_sent_once_the_channels_have_it() {
        let shared = entered();
        say(&shared, false).await;
        say(&shared, true).await;
        let mut drained = std::pin::pin!(shared.drained());
        assert!(!shared.look().is_drained);
        assert_eq!(drained.as_mut().now_or_never(), None);
        shared.frame_sent();
        assert_eq!(drained.as_mut().now_or_never(), None);
        shared.fast_frame();
        assert_eq!(drained.now_or_never(), Some(Ok(())));
        assert!(shared.look().is_drained);
    }
}
