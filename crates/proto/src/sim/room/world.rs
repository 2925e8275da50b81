//! The network between, and what is checked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::bug::{Act, Bug, Hub};
use super::guest::{Guest, Seen, Speaks, Word};
use super::{Broken, Failure, Promise, Report};
use crate::room::member::{Output, Told};
use crate::room::{self, Closed, Closing, Config, ConnKey, Kind, Payload, Tap, Verdict, Way};
use crate::sim::Rng;
use crate::wire::room::{Body, FromHub, Json, Name, Resumed, Said};

const START: Duration = Duration::from_secs(1_795_000_000);

/// Messages that wait for one guest before it is too slow: more than a room keeps for who comes back, or it would be too slow again.
const QUEUE: usize = 130;

/// One run. What it did, or what it broke.
pub(super) fn run(seed: u64, bug: Option<Bug>) -> Result<Report, Failure> {
    let mut world = World::new(seed, bug);
    let result = world.live();
    let at = world.now - START;
    match result {
        Ok(()) => Ok(world.report),
        Err((promise, detail)) => Err(Failure {
            seed,
            at,
            promise,
            detail,
        }),
    }
}

/// When, of what, how; and the message that it is about.
pub(super) type Judged = (Duration, room::Ticket, Verdict, Option<(u64, u64)>);

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Duration,
    pub(super) hub: Hub,
    pub(super) bug: Option<Bug>,
    pub(super) is_moderated: bool,
    pub(super) guests: BTreeMap<u64, Guest>,
    pub(super) pipes: BTreeMap<ConnKey, Pipe>,
    pub(super) last_guest: u64,
    pub(super) last_conn: u64,
    /// Who is called how: for ever.
    pub(super) called: BTreeMap<u64, Name>,
    /// When the hub heard a message, and whether from a connection that was in the room.
    pub(super) heard: BTreeMap<(u64, u64), (Duration, bool)>,
    pub(super) verdicts: Vec<Judged>,
    /// Whether it may be relayed.
    pub(super) judged: BTreeMap<(u64, u64), bool>,
    /// Senders of whom something may be lost.
    pub(super) lossy: BTreeSet<u64>,
    pub(super) is_quiet: bool,
    pub(super) report: Report,
}

/// A connection, from either end.
pub(super) struct Pipe {
    pub(super) guest: u64,
    pub(super) up: VecDeque<(Duration, Payload, Way)>,
    pub(super) down: VecDeque<(Duration, Payload, Way)>,
    /// Nothing passes any more.
    pub(super) is_dead: bool,
    /// The hub has closed it, or knows that it is closed.
    pub(super) is_closed: bool,
    pub(super) hub_notices: Option<(Duration, Closed)>,
    pub(super) guest_notices: Option<Duration>,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed);
        let is_moderated = rng.one_in(3);
        let config = Config {
            tap: if is_moderated {
                Tap::Moderate
            } else {
                Tap::Tell
            },
            kept_messages: if rng.one_in(2) { 30 } else { 100 },
            hold: Duration::from_secs(30),
            barred_for: Duration::from_secs(20),
            ..Config::default()
        };
        Self {
            rng,
            now: START,
            hub: Hub::new(config, bug),
            bug,
            is_moderated,
            guests: BTreeMap::new(),
            pipes: BTreeMap::new(),
            last_guest: 0,
            last_conn: 0,
            called: BTreeMap::new(),
            heard: BTreeMap::new(),
            verdicts: Vec::new(),
            judged: BTreeMap::new(),
            lossy: BTreeSet::new(),
            is_quiet: false,
            report: Report::default(),
        }
    }

    pub(super) fn live(&mut self) -> Result<(), Broken> {
        let end = START + Duration::from_secs(self.rng.pick(20..90));
        while self.now < end {
            self.act()?;
            let pause = self.rng.pick(1..400);
            self.pass(Duration::from_millis(pause))?;
        }
        self.is_quiet = true;
        for guest in self.guests.values_mut() {
            guest.paused_until = self.now;
            guest.returns_at = guest.returns_at.map(|at| at.min(self.now));
        }
        self.pass(Duration::from_secs(50))?;
        self.agree()?;
        // And all of them are heard by all.
        for uid in self.guests.keys().copied().collect::<Vec<_>>() {
            self.say(uid, false)?;
        }
        self.pass(Duration::from_secs(20))?;
        self.all_heard()?;
        self.hub.is_ending = true;
        for uid in self.guests.keys().copied().collect::<Vec<_>>() {
            match self.rng.pick(0..3) {
                0 => self.leave(uid)?,
                1 => self.vanish(uid),
                _ => self.reload(uid, false),
            }
        }
        self.pass(Duration::from_secs(200))?;
        if !self.hub.room.is_over() || self.hub.room.poll_timeout().is_some() {
            let room = format!("{:?}", self.hub.room);
            return Err((Promise::Release, room));
        }
        Ok(())
    }

    // Time.

    pub(super) fn pass(&mut self, time: Duration) -> Result<(), Broken> {
        let until = self.now + time;
        for _ in 0..1_000_000 {
            let Some(due) = self.due().filter(|due| *due <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(due);
            self.step()?;
        }
        Err((Promise::Release, "time does not pass".into()))
    }

    pub(super) fn due(&self) -> Option<Duration> {
        let pipes = self.pipes.values().flat_map(|pipe| {
            let paused = self
                .guests
                .get(&pipe.guest)
                .map_or(Duration::ZERO, |it| it.paused_until);
            let down = pipe.down.front().map(|(at, ..)| (*at).max(paused));
            let up = pipe.up.front().map(|(at, ..)| *at);
            let passes = [down, up].map(|at| at.filter(|_| !pipe.is_dead));
            let notices = [pipe.hub_notices.map(|(at, _)| at), pipe.guest_notices];
            passes.into_iter().chain(notices).flatten()
        });
        let guests = self.guests.values().flat_map(|guest| {
            let own = match &guest.speaks {
                Speaks::Native(member) if self.bug != Some(Bug::LoseTimeouts) => {
                    member.poll_timeout()
                }
                _ => None,
            };
            let returns = guest.returns_at.filter(|_| guest.conn.is_none());
            let asks = guest
                .asks
                .values()
                .min()
                .map(|at| *at + Duration::from_millis(2));
            [own, returns, asks].into_iter().flatten()
        });
        let verdicts = self.verdicts.iter().map(|(at, ..)| *at);
        pipes
            .chain(guests)
            .chain(verdicts)
            .chain(self.hub.due())
            .min()
    }

    pub(super) fn step(&mut self) -> Result<(), Broken> {
        let now = self.now;
        self.hub.timeout(now);
        self.perform()?;
        while let Some(at) = self.verdicts.iter().position(|(at, ..)| *at <= now) {
            let (_, ticket, verdict, word) = self.verdicts.remove(at);
            if let Some(word) = word {
                self.judged.insert(word, verdict != Verdict::Drop);
            }
            self.report.judged += 1;
            self.hub.verdict(ticket, verdict, now);
            self.perform()?;
        }
        for conn in self.pipes.keys().copied().collect::<Vec<_>>() {
            self.flow_up(conn)?;
            self.flow_down(conn)?;
            self.notice(conn)?;
        }
        for uid in self.guests.keys().copied().collect::<Vec<_>>() {
            let Some(guest) = self.guests.get_mut(&uid) else {
                continue;
            };
            if let Speaks::Native(member) = &mut guest.speaks
                && self.bug != Some(Bug::LoseTimeouts)
            {
                member.handle_timeout(now);
            }
            let is_back = guest.conn.is_none() && guest.returns_at.is_some_and(|at| at <= now);
            self.serve(uid)?;
            let Some(guest) = self.guests.get(&uid) else {
                continue;
            };
            if let Some((id, at)) = guest
                .asks
                .iter()
                .find(|(_, at)| **at + Duration::from_millis(2) <= now)
            {
                return Err((
                    Promise::Answers,
                    format!("{id:?} of {uid} was due at {at:?}"),
                ));
            }
            if is_back {
                self.connect(uid);
            }
        }
        let room = &self.hub.room;
        let is_there = room
            .host()
            .is_some_and(|host| room.members().any(|it| it.name == host));
        if room.is_empty() == is_there || room.members().filter(|it| it.is_host).count() > 1 {
            return Err((
                Promise::Host,
                format!("{:?} among {}", room.host(), room.len()),
            ));
        }
        Ok(())
    }

    pub(super) fn flow_up(&mut self, conn: ConnKey) -> Result<(), Broken> {
        while let Some(pipe) = self.pipes.get_mut(&conn) {
            let is_due = pipe.up.front().is_some_and(|(at, ..)| *at <= self.now);
            if pipe.is_dead || !is_due {
                return Ok(());
            }
            let Some((_, payload, way)) = pipe.up.pop_front() else {
                return Ok(());
            };
            let is_closed = pipe.is_closed;
            if let Some(word) = word_of(&payload) {
                let key = (word.sender, word.number);
                let entry = self.heard.entry(key).or_insert((self.now, false));
                entry.1 |= !is_closed;
            }
            self.hub.message(conn, payload, way, is_closed, self.now);
            self.perform()?;
        }
        Ok(())
    }

    pub(super) fn flow_down(&mut self, conn: ConnKey) -> Result<(), Broken> {
        while let Some(pipe) = self.pipes.get_mut(&conn) {
            let uid = pipe.guest;
            let paused = self
                .guests
                .get(&uid)
                .map_or(Duration::ZERO, |it| it.paused_until);
            let is_due = pipe.down.front().is_some_and(|(at, ..)| *at <= self.now);
            if pipe.is_dead || !is_due || paused > self.now {
                return Ok(());
            }
            let Some((_, payload, way)) = pipe.down.pop_front() else {
                return Ok(());
            };
            self.arrive(uid, conn, payload, way)?;
        }
        Ok(())
    }

    pub(super) fn notice(&mut self, conn: ConnKey) -> Result<(), Broken> {
        let Some(pipe) = self.pipes.get_mut(&conn) else {
            return Ok(());
        };
        if let Some((_, why)) = pipe.hub_notices.take_if(|(at, _)| *at <= self.now) {
            pipe.is_dead = true;
            if !std::mem::replace(&mut pipe.is_closed, true) {
                self.hub.closed(conn, why, self.now);
                self.perform()?;
            }
        }
        let Some(pipe) = self.pipes.get_mut(&conn) else {
            return Ok(());
        };
        let is_drained = pipe.is_dead || pipe.down.is_empty();
        if is_drained && pipe.guest_notices.take_if(|at| *at <= self.now).is_some() {
            let uid = pipe.guest;
            pipe.is_dead = true;
            self.closed(uid, conn);
        } else if let Some(at) = pipe.guest_notices.filter(|at| *at <= self.now) {
            // After what was sent before.
            pipe.guest_notices = Some(at.max(self.now) + Duration::from_millis(100));
        }
        if self
            .pipes
            .get(&conn)
            .is_some_and(|it| it.is_dead && it.is_closed && it.guest_notices.is_none())
        {
            let uid = self.pipes[&conn].guest;
            if self.guests.get(&uid).is_none_or(|it| it.conn != Some(conn)) {
                self.pipes.remove(&conn);
            }
        }
        Ok(())
    }

    /// A guest learns that its connection is gone.
    pub(super) fn closed(&mut self, uid: u64, conn: ConnKey) {
        let pause = Duration::from_millis(self.rng.pick(0..3_000));
        let Some(guest) = self.guests.get_mut(&uid) else {
            return;
        };
        if guest.conn != Some(conn) {
            return;
        }
        guest.conn = None;
        let returns = guest.returns_at.unwrap_or(self.now + pause);
        guest.returns_at = Some(returns.max(self.now));
        match &mut guest.speaks {
            Speaks::Native(member) => {
                member.handle_closed();
                if member.is_over() {
                    self.guests.remove(&uid);
                }
            }
            Speaks::Old(_) => {
                // A page that is loaded anew after a break; one that was let go stays away.
                let is_let_go = self
                    .pipes
                    .get(&conn)
                    .is_some_and(|pipe| pipe.hub_notices.is_none() && pipe.is_closed);
                if let Some(guest) = self.guests.remove(&uid)
                    && !is_let_go
                    && !self.called_now(&guest.name)
                {
                    self.add(guest.name, guest.token, false);
                }
            }
        }
    }

    pub(super) fn up(&mut self, conn: ConnKey, payload: Payload, way: Way) {
        let delay = Duration::from_millis(self.rng.pick(1..60));
        let is_lost = way == Way::Fast && self.rng.one_in(4);
        if let Some(pipe) = self.pipes.get_mut(&conn)
            && !is_lost
        {
            let last = pipe.up.back().map_or(Duration::ZERO, |(at, ..)| *at);
            pipe.up
                .push_back(((self.now + delay).max(last), payload, way));
        }
    }

    // What the hub does.

    pub(super) fn perform(&mut self) -> Result<(), Broken> {
        self.hub.is_somebody_slow = self.pipes.values().any(|pipe| pipe.down.len() > 30);
        while let Some(act) = self.hub.poll() {
            match act {
                Act::Send(to, payload, way) => self.send(&to, &payload, way)?,
                Act::Close(conn, why) => {
                    if let Closing::Refused(_) = why {
                        self.report.refused += 1;
                    }
                    let at = self.now + Duration::from_millis(self.rng.pick(60..200));
                    if let Some(pipe) = self.pipes.get_mut(&conn) {
                        pipe.is_closed = true;
                        pipe.guest_notices.get_or_insert(at);
                    }
                }
                Act::Told(room::Told::Message(incoming)) => {
                    if let Some(ticket) = incoming.ticket {
                        self.judge(ticket, &incoming.said);
                    }
                }
                Act::Told(room::Told::Host(_)) => self.report.hosts += 1,
                Act::Told(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn judge(&mut self, ticket: room::Ticket, said: &Said) {
        let word = word_in(said).map(|word| (word.sender, word.number));
        let is_bad = !self.is_quiet && word.is_some() && self.rng.one_in(6);
        let verdict = if is_bad {
            Verdict::Drop
        } else {
            Verdict::Relay
        };
        let after = self.now + Duration::from_millis(self.rng.pick(0..1_500));
        self.verdicts.push((after, ticket, verdict, word));
    }

    pub(super) fn send(
        &mut self,
        to: &[ConnKey],
        payload: &Payload,
        way: Way,
    ) -> Result<(), Broken> {
        if let Some(word) = word_of(payload) {
            let key = (word.sender, word.number);
            let heard = self.heard.get(&key).copied();
            if self.is_moderated {
                let relayed = self.judged.get(&key).copied();
                // A goodbye hastens nothing, but the room's own time for verdicts is above ours.
                if relayed != Some(true) {
                    return Err((
                        Promise::Verdict,
                        format!("{word:?} was relayed, judged {relayed:?}"),
                    ));
                }
            } else if let Some((at, _)) = heard
                && at != self.now
                && to.len() > 1
            {
                return Err((
                    Promise::Delay,
                    format!("{word:?}, heard at {at:?}, went at {:?}", self.now),
                ));
            }
        }
        for conn in to {
            let delay = Duration::from_millis(self.rng.pick(1..60));
            let is_lost = way == Way::Fast && self.rng.one_in(4);
            let Some(pipe) = self.pipes.get_mut(conn) else {
                continue;
            };
            if pipe.is_closed || is_lost {
                continue;
            }
            let last = pipe.down.back().map_or(Duration::ZERO, |(at, ..)| *at);
            pipe.down
                .push_back(((self.now + delay).max(last), payload.clone(), way));
            if pipe.down.len() > QUEUE {
                self.report.slow += 1;
                pipe.is_dead = true;
                let at = self.now + Duration::from_secs(1);
                pipe.hub_notices = Some((self.now, Closed::Slow));
                pipe.guest_notices.get_or_insert(at);
            }
        }
        Ok(())
    }

    // What guests hear.

    pub(super) fn arrive(
        &mut self,
        uid: u64,
        conn: ConnKey,
        payload: Payload,
        way: Way,
    ) -> Result<(), Broken> {
        let Some(guest) = self.guests.get_mut(&uid).filter(|it| it.conn == Some(conn)) else {
            return Ok(());
        };
        match (&mut guest.speaks, payload) {
            (Speaks::Native(member), Payload::Bytes(bytes)) => {
                member.handle_message(bytes, way, self.now);
                self.serve(uid)
            }
            (Speaks::Old(view), Payload::Text(text)) => {
                match view.read(guest.name.as_str(), &text) {
                    Some((from, word)) => self.hear(uid, &from, &word),
                    None => Ok(()),
                }
            }
            (Speaks::Native(_), Payload::Text(_)) => {
                Err((Promise::Stranger, "a native member got a text".into()))
            }
            (Speaks::Old(_), Payload::Bytes(_)) => Ok(()),
        }
    }

    /// Does what a member's machine wants.
    pub(super) fn serve(&mut self, uid: u64) -> Result<(), Broken> {
        while let Some(guest) = self.guests.get_mut(&uid) {
            let Speaks::Native(member) = &mut guest.speaks else {
                return Ok(());
            };
            let Some(output) = member.poll_output() else {
                return Ok(());
            };
            match output {
                Output::Send { frame, way } => {
                    if let Some(conn) = guest.conn {
                        self.up(conn, Payload::Bytes(frame), way);
                    }
                }
                Output::Close => {
                    let Some(conn) = guest.conn else {
                        continue;
                    };
                    if let Some(pipe) = self.pipes.get_mut(&conn) {
                        let at = self.now + Duration::from_millis(200);
                        pipe.hub_notices.get_or_insert((at, Closed::Ended));
                        pipe.guest_notices.get_or_insert(at);
                    }
                }
                Output::Told(told) => self.told(uid, told)?,
            }
        }
        Ok(())
    }

    pub(super) fn told(&mut self, uid: u64, told: Told) -> Result<(), Broken> {
        match told {
            Told::Entered(resumed) => {
                match resumed {
                    Resumed::New => {}
                    Resumed::Whole => self.report.whole += 1,
                    Resumed::Missed => {
                        self.report.missed += 1;
                        self.lossy.insert(uid);
                        if let Some(guest) = self.guests.get_mut(&uid) {
                            guest.seen.values_mut().for_each(|seen| seen.spoken = None);
                        }
                    }
                }
                self.owns(uid)
            }
            Told::Message {
                from: Some(from),
                said,
                question,
                ..
            } => {
                if let Some(question) = question {
                    let is_willing = self.rng.pick(0..4) > 0;
                    if let Some(guest) = self.guests.get_mut(&uid)
                        && let Speaks::Native(member) = &mut guest.speaks
                        && is_willing
                    {
                        let body = Body::Json(Json::string("me"));
                        let _ = member.handle_answer(question, body, self.now);
                    }
                }
                match word_in(&said) {
                    Some(word) => self.hear(uid, from.as_str(), &word),
                    None => Ok(()),
                }
            }
            Told::Answers(answers) => {
                let times = if self.bug == Some(Bug::AnswerTwice) {
                    2
                } else {
                    1
                };
                for _ in 0..times {
                    let Some(guest) = self.guests.get_mut(&uid) else {
                        return Ok(());
                    };
                    if guest.asks.remove(&answers.id).is_none() {
                        return Err((Promise::Answers, format!("{answers:?} again")));
                    }
                }
                self.report.answered += answers.answers.len() as u64;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Nobody else with another token is in under the name of who comes in.
    pub(super) fn owns(&self, uid: u64) -> Result<(), Broken> {
        let Some(guest) = self.guests.get(&uid) else {
            return Ok(());
        };
        let thief = self.guests.iter().find(|(other, it)| {
            let is_open = it
                .conn
                .and_then(|conn| self.pipes.get(&conn))
                .is_some_and(|pipe| !pipe.is_dead && pipe.hub_notices.is_none());
            **other != uid
                && it.name == guest.name
                && it.is_native()
                && it.token != guest.token
                && it.is_in()
                && is_open
                && it.paused_until <= self.now
        });
        match thief {
            Some((other, _)) => Err((
                Promise::Owner,
                format!("{uid} is in as {}, and so is {other}", guest.name),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn hear(&mut self, uid: u64, from: &str, word: &Word) -> Result<(), Broken> {
        self.report.heard += 1;
        let Some(guest) = self.guests.get_mut(&uid) else {
            return Ok(());
        };
        let broken = |promise| {
            Err((
                promise,
                format!("{word:?} came to {uid} ({}) from {from}", guest.name),
            ))
        };
        let sender = self.called.get(&word.sender);
        let is_heard = self
            .heard
            .get(&(word.sender, word.number))
            .is_some_and(|(_, it)| *it);
        if sender.is_none_or(|name| *name != *from) || !is_heard {
            return broken(Promise::Stranger);
        }
        if from == guest.name.as_str() {
            return broken(Promise::Echo);
        }
        if word
            .to
            .as_ref()
            .is_some_and(|to| !to.iter().any(|it| it == guest.name.as_str()))
        {
            return broken(Promise::Target);
        }
        if word.is_fast {
            self.report.fast += 1;
            return Ok(());
        }
        let seen = guest.seen.entry(word.sender).or_insert(Seen::default());
        if word.number == seen.said {
            return broken(Promise::Once);
        }
        if word.number < seen.said {
            return broken(Promise::Order);
        }
        seen.said = word.number;
        if let Some(spoken) = word.spoken {
            let before = seen.spoken.replace(spoken);
            let is_next = before.is_none_or(|before| before + 1 == spoken);
            if !is_next && !self.is_moderated && !self.lossy.contains(&word.sender) {
                return Err((
                    Promise::Loss,
                    format!("{word:?} came to {uid} after {before:?}"),
                ));
            }
        }
        Ok(())
    }

    // What must be so when it is quiet.

    pub(super) fn agree(&self) -> Result<(), Broken> {
        let there: BTreeSet<_> = self.guests.values().map(|it| it.name.to_string()).collect();
        let room: BTreeSet<_> = self
            .hub
            .room
            .members()
            .map(|it| it.name.to_string())
            .collect();
        if room != there {
            return Err((
                Promise::Membership,
                format!("the room has {room:?}, there are {there:?}"),
            ));
        }
        let host = self.hub.room.host().map(|it| it.to_string());
        for (uid, guest) in &self.guests {
            if guest.names() != there {
                return Err((
                    Promise::Membership,
                    format!("{uid} sees {:?}, there are {there:?}", guest.names()),
                ));
            }
            if let Speaks::Native(member) = &guest.speaks {
                let seen = member.members().map(|it| (&it.name, &it.metadata));
                let seen: BTreeMap<_, _> = seen.collect();
                let own = seen.get(&guest.name).copied();
                let says = self.hub.room.members().map(|it| (it.name, it.metadata));
                let says: BTreeMap<_, _> = says.collect();
                if seen != says || own != Some(&guest.metadata) {
                    return Err((
                        Promise::Metadata,
                        format!("{uid} sees {seen:?}, it is {says:?}"),
                    ));
                }
            }
            if guest.host() != host {
                return Err((
                    Promise::Host,
                    format!("{uid} says {:?}, it is {host:?}", guest.host()),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn all_heard(&self) -> Result<(), Broken> {
        for (uid, guest) in &self.guests {
            for (other, sender) in &self.guests {
                let heard = guest.seen.get(other).map_or(0, |it| it.said);
                if uid != other && heard != sender.said {
                    return Err((
                        Promise::Loss,
                        format!("{uid} heard {heard} of {} of {other}", sender.said),
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Guest {
    pub(super) fn kind(&self) -> Kind {
        if self.is_native() {
            Kind::Native
        } else {
            Kind::Legacy
        }
    }
}

fn word_in(said: &Said) -> Option<Word> {
    match said.body() {
        Body::Json(json) => Word::of(&serde_json::from_str(json.as_str()).ok()?),
        Body::Bytes(_) => None,
    }
}

/// The message of the simulation in a payload of either kind and direction.
fn word_of(payload: &Payload) -> Option<Word> {
    match payload {
        Payload::Text(text) => {
            let json: serde_json::Value = serde_json::from_str(text).ok()?;
            let message = json
                .get("message")
                .or_else(|| json.get("payload")?.get("data"))?;
            Word::of(message)
        }
        Payload::Bytes(bytes) => word_of_frame(bytes.clone()),
    }
}

fn word_of_frame(bytes: Bytes) -> Option<Word> {
    use crate::wire::room::FromMember;
    if let Ok(Some(FromHub::Message(message))) = FromHub::parse(bytes.clone()) {
        return word_in(&message.said);
    }
    match FromMember::parse(bytes, usize::MAX) {
        Ok(Some(FromMember::Emit(emit))) => word_in(&emit.said),
        _ => None,
    }
}
