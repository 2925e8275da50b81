//! Two connections without sockets: virtual time, and a network that loses, repeats, garbles and blocks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::channel::{Far, Signal};
use crate::connection::CloseReason;
use crate::engine::certificate::Certificate;
use crate::engine::conn::{CONNECT, Conn, Ingredients, Sink};
use crate::engine::flow::{Flows, Queues};
use crate::engine::record::Outcomes;
use crate::engine::{ChannelInit, ConnFacts, Event, Made, Path, consent};
use crate::{Channel, Message};

/// What the network does to a datagram: what is delivered in its place.
type Weather = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>;

pub(super) const ADDRESSES: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2)];

pub(super) struct World {
    pub(super) ends: [End; 2],
    pub(super) now: Instant,
    pub(super) network: VecDeque<(usize, SocketAddr, SocketAddr, Vec<u8>)>,
    pub(super) weather: Weather,
    /// Whether nothing passes from one address to another.
    pub(super) blocked: Box<dyn Fn(SocketAddr, SocketAddr) -> bool>,
}

pub(super) struct End {
    pub(super) conn: Conn,
    /// `None`: over.
    pub(super) due: Option<Instant>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) facts: ConnFacts,
    pub(super) candidate: Option<String>,
    pub(super) channel: Option<Channel>,
    /// Those that opened after it.
    pub(super) others: Vec<Channel>,
    /// What was told, and when.
    pub(super) paths: Vec<(Path, Instant)>,
    /// Candidates that were told, all of them.
    pub(super) told: Vec<String>,
}

/// The world looks at pipes in every turn.
struct Nobody;

impl Far for Nobody {
    fn changed(&self, _: &[u64]) {}
}

#[derive(Default)]
pub(super) struct Outbox(Vec<(SocketAddr, SocketAddr, Vec<u8>)>);

impl Sink for Outbox {
    fn send(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8], _: bool) {
        self.0.push((source, destination, datagram.to_vec()));
    }
}

impl World {
    /// Two ends that know each other's descriptions and addresses, before the first datagram.
    pub(super) fn new(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let mut world = Self::strangers(weather);
        world.meet();
        world
    }

    fn meet(&mut self) {
        for end in [0, 1] {
            let candidate = self.add_address(end, ADDRESSES[end]);
            self.tell(1 - end, &candidate);
        }
    }

    /// Two ends that know each other's descriptions alone.
    pub(super) fn strangers(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        Self::strangers_with(Queues::default(), weather)
    }

    fn strangers_with(
        queues: Queues,
        weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static,
    ) -> Self {
        let now = Instant::now();
        let ingredients = || Ingredients {
            crypto: Arc::new(str0m::crypto::from_feature_flags()),
            certificate: Certificate::new(now).expect("made").current(now),
            relay_only: false,
            silent_after: consent::SILENCE,
            lost_after: crate::engine::LOST_AFTER,
            connect: CONNECT,
        };
        let flows = || Flows::new(queues, Signal::new(Arc::new(Nobody), 0));
        let channels = (0..queues.channels)
            .map(|_| ChannelInit::reliable("x"))
            .collect();
        let (reports, events_a, facts_a) = Made::reports(Arc::default(), Outcomes::default());
        let (a, offer) =
            Conn::offer(channels, 0, ingredients(), flows(), reports, now).expect("offered");
        let (reports, events_b, facts_b) = Made::reports(Arc::default(), Outcomes::default());
        let (b, answer) =
            Conn::answer(&offer, 0, ingredients(), flows(), reports, now).expect("answered");
        let end = |conn, events, facts| End {
            conn,
            due: Some(now),
            events,
            facts,
            candidate: None,
            channel: None,
            others: Vec::new(),
            paths: Vec::new(),
            told: Vec::new(),
        };
        let mut world = Self {
            ends: [end(a, events_a, facts_a), end(b, events_b, facts_b)],
            now,
            network: VecDeque::new(),
            weather: Box::new(weather),
            blocked: Box::new(|_, _| false),
        };
        world.act(0, |conn, now| {
            conn.set_remote(&answer, now).expect("applied")
        });
        world
    }

    /// Returns the line that tells of it.
    pub(super) fn add_address(&mut self, end: usize, address: ([u8; 4], u16)) -> String {
        self.act(end, |conn, _| conn.add_address(address.into()));
        self.ends[end].candidate.take().expect("of the address")
    }

    pub(super) fn tell(&mut self, end: usize, candidate: &str) {
        self.act(end, |conn, now| {
            conn.add_candidate(candidate, now);
            conn.handle_timeout(now);
        });
    }

    /// Two ends with an open channel.
    pub(super) fn connected(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let mut world = Self::new(weather);
        assert!(world.run(secs(20), |world| {
            world.ends.iter().all(|end| end.channel.is_some())
        }));
        world
    }

    /// Two ends with these queues, and all channels that they allow.
    pub(super) fn connected_with(queues: Queues) -> Self {
        let mut world = Self::strangers_with(queues, clear);
        world.meet();
        assert!(world.run(secs(20), |world| {
            let channels = |end: &End| usize::from(end.channel.is_some()) + end.others.len();
            world
                .ends
                .iter()
                .all(|end| channels(end) == queues.channels)
        }));
        world
    }

    pub(super) fn act(&mut self, end: usize, action: impl FnOnce(&mut Conn, Instant)) {
        self.act_with(end, |conn, _, now| action(conn, now));
    }

    pub(super) fn act_with(
        &mut self,
        end: usize,
        action: impl FnOnce(&mut Conn, &mut Outbox, Instant),
    ) {
        let mut outbox = Outbox::default();
        let now = self.now;
        let this = &mut self.ends[end];
        action(&mut this.conn, &mut outbox, now);
        this.due = this.conn.drive(&mut outbox, now);
        while let Ok(event) = this.events.try_recv() {
            match event {
                Event::Candidate(candidate) => {
                    this.told.push(candidate.clone());
                    this.candidate = Some(candidate);
                }
                Event::Path(path) => this.paths.push((path, now)),
                Event::Open(channel) if this.channel.is_some() => this.others.push(channel),
                Event::Open(channel) => this.channel = Some(channel),
                Event::Certificate(_) => {}
            }
        }
        for (source, destination, datagram) in outbox.0 {
            if (self.blocked)(source, destination) {
                continue;
            }
            for datagram in (self.weather)(&datagram) {
                self.network
                    .push_back((1 - end, source, destination, datagram));
            }
        }
    }

    /// Lets things happen until `done`, for at most `limit` of virtual time. Whether it was done.
    pub(super) fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            while let Some((end, source, destination, datagram)) = self.network.pop_front() {
                if self.ends[end].due.is_some() {
                    self.act(end, |conn, now| {
                        conn.receive(source, destination, &datagram, now);
                    });
                }
            }
            // What users did is looked at in every turn, as the bell would have it.
            for end in [0, 1] {
                if self.ends[end].due.is_some() {
                    self.act_with(end, |conn, outbox, now| conn.pipes_changed(outbox, now));
                }
            }
            if done(self) {
                return true;
            }
            if !self.network.is_empty() {
                continue;
            }
            let due = self.ends.iter().filter_map(|end| end.due).min();
            let Some(due) = due.filter(|due| *due <= until) else {
                self.now = until;
                return false;
            };
            self.now = self.now.max(due);
            for end in [0, 1] {
                if self.ends[end].due.is_some_and(|due| due <= self.now) {
                    self.act(end, |conn, now| conn.handle_timeout(now));
                }
            }
        }
    }

    pub(super) fn reason(&self, end: usize) -> Option<CloseReason> {
        self.ends[end].facts.closed.borrow().clone()
    }

    /// Sends without waiting; whether there was room.
    pub(super) fn send(&mut self, end: usize, message: Message) -> bool {
        let channel = self.ends[end].channel.as_ref().expect("open");
        channel
            .send(message)
            .now_or_never()
            .is_some_and(|sent| sent.is_ok())
    }

    /// Takes what came, without waiting.
    pub(super) fn received(&mut self, end: usize) -> Option<Message> {
        let channel = self.ends[end].channel.as_mut().expect("open");
        channel.recv().now_or_never().flatten()
    }
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn numbered(number: u32, len: usize) -> Message {
    let mut octets = vec![0; len];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Message::Binary(octets.into())
}

/// A generator that needs no crate.
pub(super) fn random(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    }
}

pub(super) fn clear(datagram: &[u8]) -> Vec<Vec<u8>> {
    vec![datagram.to_vec()]
}
