//! One run: a device, its callers, the server between them, one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng};

use super::book::{Book, Caller, LinkTruth, wall};
use super::half::Half;
use super::server::{MALLORY, Server};
use super::{Broken, Bug, Failure, Promise, Report};
use crate::identity::gate::{Config, ConnectionKey, Gate, State, Terms};
use crate::identity::{Fingerprint, Nonce, Secret, SigningKey, Time, fixture};
use crate::link::{Input, MAX_CANDIDATES};
use crate::sim::Rng;
use crate::wire::id::PeerId;
use crate::wire::signal::Frame;

/// Clocks are off by that much: not at all, within what is tolerated, far more, days.
const SKEWS: [i64; 8] = [0, 0, 0, 0, 100_000, 1_200_000, -1_200_000, 200_000_000];
/// All has ended by then: visits begin within two minutes and last half of one, twice, a minute and a half open, and half of one in silence.
const LIMIT: Duration = Duration::from_secs(420);

pub(super) enum Event {
    Visit(usize),
    /// The engine has made its description.
    Described(usize),
    /// The engine has found a candidate.
    Found(usize),
    Arrives(Frame),
    Certificate(usize, Fingerprint),
    ChannelOpen(usize),
    EngineEnds(usize),
    Mischief,
    /// Whoever has the network shakes hands with some engine.
    Intrusion,
    Revoke(usize),
    Clock(i64),
    Restart,
    Listen(usize),
    Move(usize),
    Cut(usize, Duration),
    /// The engine has made the description of a restart.
    Offering(usize, u32, Option<Nonce>),
    /// The engine has answered one.
    Answering(usize),
}

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) events: BTreeMap<(Instant, u64), Event>,
    pub(super) count: u64,
    pub(super) rng: Rng,
    pub(super) chance: StdRng,
    pub(super) key: SigningKey,
    pub(super) gate: Gate,
    pub(super) limits: Config,
    /// Milliseconds by which the device's clock is off.
    pub(super) skew: i64,
    pub(super) halves: Vec<Half>,
    /// The device's connections.
    pub(super) registry: BTreeMap<ConnectionKey, usize>,
    pub(super) server: Server,
    pub(super) book: Book,
    pub(super) bug: Option<Bug>,
    pub(super) report: Report,
}

/// Runs a seed to its end, with a bug planted or without; `start` is any instant.
pub(super) fn run(seed: u64, bug: Option<Bug>, start: Instant) -> Result<Report, Failure> {
    let mut world = World::new(seed, bug, start);
    world.run().map_err(|(promise, detail)| Failure {
        seed,
        at: world.now - start,
        promise,
        detail,
    })?;
    Ok(world.report)
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, start: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let mut chance = StdRng::seed_from_u64(seed);
        let honest = rng.one_in(4);
        let lossy = !honest && rng.one_in(4);
        let skew = SKEWS[rng.pick(0..8) as usize];
        let now = wall(Duration::ZERO, skew);
        let limits = Config {
            connections: if honest {
                256
            } else {
                rng.pick(2..12) as usize
            },
            ..Config::default()
        };
        let key = fixture::key(100);
        let device = key.device_id();
        let mut gate = Gate::new(key.clone(), State::default(), limits.clone(), now);
        let mut links = Vec::new();
        for _ in 0..rng.pick(1..4) {
            let secret = Secret::generate(&mut chance);
            let life = Duration::from_millis(rng.pick(20_000..200_000));
            let terms = Terms {
                expires: rng.one_in(3).then(|| now.after(life)),
                uses: rng.one_in(3).then(|| rng.pick(1..3) as u32),
            };
            gate.add_link(secret.clone(), terms, now).unwrap();
            links.push(LinkTruth {
                kid: secret.kid(),
                secret,
                terms,
                revoked: false,
                grants: BTreeSet::new(),
            });
        }
        let mut callers = Vec::new();
        for number in 0..rng.pick(2..7) {
            let link = rng.pick(0..links.len() as u64) as usize;
            let proof = links[link].secret.proof(&device);
            let mut wrong = Secret::generate(&mut chance).proof(&device);
            let (holds, proof) = match rng.pick(0..12) {
                0 => (None, None),
                1 => (None, Some(wrong)),
                2 => {
                    wrong.kid = proof.kid;
                    (None, Some(wrong))
                }
                _ => (Some(link), Some(proof)),
            };
            callers.push(Caller {
                key: fixture::key(number),
                id: PeerId::parse(&format!("caller{number}")).unwrap(),
                skew: SKEWS[rng.pick(0..8) as usize],
                holds,
                proof,
                calls: 0,
                was_in: false,
            });
        }
        let mut peers = vec![PeerId::from(device)];
        peers.extend(callers.iter().map(|caller| caller.id.clone()));
        let book = Book::new(callers, links, now, start);
        let reform = start + Duration::from_millis(rng.pick(100_000..200_000));
        let chances = Rng::new(rng.any());
        let server = Server::new(honest, lossy, reform, chances, fixture::key(66), peers);
        let mut world = Self {
            start,
            now: start,
            events: BTreeMap::new(),
            count: 0,
            rng,
            chance,
            key,
            gate,
            limits,
            skew,
            halves: Vec::new(),
            registry: BTreeMap::new(),
            server,
            book,
            bug,
            report: Report::default(),
        };
        world.plan();
        world
    }

    /// What will happen of itself.
    fn plan(&mut self) {
        for caller in 0..self.book.callers.len() {
            for _ in 0..self.rng.pick(1..5) {
                self.later(120_000, Event::Visit(caller));
            }
        }
        if self.server.honest || self.server.lossy {
            return;
        }
        for _ in 0..self.rng.size(60) {
            self.later(180_000, Event::Mischief);
        }
        for _ in 0..self.rng.pick(0..10) {
            self.later(180_000, Event::Intrusion);
        }
        for link in 0..self.book.links.len() {
            if self.rng.one_in(4) {
                self.later(120_000, Event::Revoke(link));
            }
        }
        if self.rng.one_in(2) {
            for _ in 0..self.rng.pick(1..5) {
                // To where a caller's is: its statements are then in time.
                let caller = self.rng.pick(0..self.book.callers.len() as u64) as usize;
                let skew = self.book.callers[caller].skew;
                self.later(120_000, Event::Clock(skew));
            }
        }
        if self.rng.one_in(3) {
            self.later(120_000, Event::Restart);
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        while let Some(at) = self.next() {
            self.now = self.now.max(at);
            if self.now - self.start > LIMIT {
                return Err((Promise::End, "something goes on for ever".to_owned()));
            }
            while let Some(next) = self.events.first_entry()
                && next.key().0 <= self.now
            {
                let event = next.remove();
                self.happen(event)?;
            }
            for id in 0..self.halves.len() {
                if self.bug != Some(Bug::LoseTimeouts) && !self.halves[id].closed {
                    self.halves[id].link.handle_timeout(self.now);
                    self.pump(id)?;
                }
            }
            self.gate.handle_timeout(self.wall());
            self.hear_gate();
            self.check()?;
        }
        if self.halves.iter().all(|half| half.closed) {
            Ok(())
        } else {
            Err((Promise::End, "a connection is left".to_owned()))
        }
    }

    fn next(&self) -> Option<Instant> {
        let wall = self.wall();
        let expiry = self.gate.poll_timeout(wall);
        let links = self.halves.iter().filter(|half| !half.closed);
        let times = links.filter_map(|half| half.link.poll_timeout());
        let times = times.chain(self.events.first_key_value().map(|(key, _)| key.0));
        times
            .chain(expiry.map(|at| self.now + at.since(wall)))
            .min()
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Visit(caller) => self.visit(caller),
            Event::Described(id) => return self.described(id),
            Event::Found(id) => return self.found(id),
            Event::Arrives(frame) => return self.arrives(frame),
            Event::Certificate(id, certificate) => return self.certificate(id, certificate),
            Event::ChannelOpen(id) => return self.feed(id, Input::ChannelOpened),
            Event::EngineEnds(id) => {
                self.halves[id].ending = true;
                return self.feed(id, Input::EngineClosed);
            }
            Event::Mischief => {
                for frame in self.server.mischief(self.now) {
                    self.later(50, Event::Arrives(frame));
                }
            }
            Event::Intrusion => {
                let victim = self.rng.pick(0..self.halves.len() as u64) as usize;
                if let Some(half) = self.halves.get(victim)
                    && half.remote.is_some()
                    && half.shown.is_none()
                {
                    self.shake_hands(victim, MALLORY);
                }
            }
            Event::Revoke(link) => {
                self.book.links[link].revoked = true;
                self.book.disturbed = Some(self.now);
                if self.bug != Some(Bug::ForgetRevocation) {
                    self.gate.revoke(self.book.links[link].kid, self.wall());
                }
                self.hear_gate();
            }
            Event::Clock(skew) => {
                self.skew = skew;
                self.book.clock_jumped(self.now);
            }
            Event::Restart => self.restart(),
            Event::Listen(id) => return self.listen(id),
            Event::Move(id) => return self.moves(id),
            Event::Cut(id, span) => self.cut(id, span),
            Event::Offering(id, generation, retry) => return self.offering(id, generation, retry),
            Event::Answering(id) => return self.answering(id),
        }
        Ok(())
    }

    /// The device starts again from what it stored; its connections are gone.
    fn restart(&mut self) {
        let stored = serde_json::to_string(self.gate.state()).unwrap();
        let state = serde_json::from_str(&stored).unwrap();
        self.gate = Gate::new(self.key.clone(), state, self.limits.clone(), self.wall());
        for id in std::mem::take(&mut self.registry).into_values() {
            self.over(id);
        }
        self.book.restarted(self.wall(), self.now);
    }

    fn check(&self) -> Result<(), Broken> {
        for (id, half) in self
            .halves
            .iter()
            .enumerate()
            .filter(|(_, half)| !half.closed)
        {
            let seconds = if half.remote.is_some() { 30 } else { 15 };
            if half.opened.is_none() && self.now >= half.began + Duration::from_secs(seconds) {
                return Err((Promise::End, format!("connection {id} is late")));
            }
            let caller = half.offer.and_then(|offer| self.book.made.get(&offer));
            if half.opened.is_some()
                && !half.is_caller()
                && !caller.is_some_and(|made| self.book.has_grant(made.caller, self.wall()))
            {
                return Err((Promise::Grant, format!("connection {id} has none")));
            }
            for way in &half.ways {
                if way.candidates > MAX_CANDIDATES {
                    return Err((Promise::Once, format!("{} candidates", way.candidates)));
                }
            }
        }
        let (counted, live) = (self.gate.live(), self.registry.len());
        if counted != live || live > self.limits.connections {
            return Err((Promise::Release, format!("{counted} counted, {live} live")));
        }
        Ok(())
    }

    /// What the device's clock shows.
    pub(super) fn wall(&self) -> Time {
        wall(self.now - self.start, self.skew)
    }

    /// Within so many milliseconds.
    pub(super) fn later(&mut self, most: u64, event: Event) {
        let at = self.now + Duration::from_millis(self.rng.pick(0..most));
        self.at(at, event);
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }
}
