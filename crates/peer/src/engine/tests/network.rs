//! Two connections without sockets: virtual time, and a network that loses, repeats and garbles.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::connection::CloseReason;
use crate::engine::certificate::Certificate;
use crate::engine::conn::{Conn, Ingredients, Sink};
use crate::engine::flow::Flow;
use crate::engine::record::Outcomes;
use crate::engine::{ConnFacts, Event, Made};
use crate::{Channel, Message, Route};

/// What the network does to a datagram: what is delivered in its place.
type Weather = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>;

const ADDRESSES: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2)];

struct World {
    ends: [End; 2],
    now: Instant,
    network: VecDeque<(usize, SocketAddr, SocketAddr, Vec<u8>)>,
    weather: Weather,
}

struct End {
    conn: Conn,
    /// `None`: over.
    due: Option<Instant>,
    events: mpsc::Receiver<Event>,
    facts: ConnFacts,
    candidate: Option<String>,
    channel: Option<Channel>,
}

#[derive(Default)]
struct Outbox(Vec<(SocketAddr, SocketAddr, Vec<u8>)>);

impl Sink for Outbox {
    fn send(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8], _: bool) {
        self.0.push((source, destination, datagram.to_vec()));
    }
}

impl World {
    /// Two ends that know each other's descriptions and addresses, before the first datagram.
    fn new(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let mut world = Self::strangers(weather);
        for end in [0, 1] {
            let candidate = world.add_address(end, ADDRESSES[end]);
            world.tell(1 - end, &candidate);
        }
        world
    }

    /// Two ends that know each other's descriptions alone.
    fn strangers(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let now = Instant::now();
        let ingredients = || Ingredients {
            crypto: Arc::new(str0m::crypto::from_feature_flags()),
            certificate: Certificate::new(now).expect("made").current(now),
            relay_only: false,
        };
        let flow = || Flow::new(|| ());
        let (reports, events_a, facts_a) = Made::reports(Arc::default(), Outcomes::default());
        let (a, offer) =
            Conn::offer("x".into(), true, 0, ingredients(), flow(), reports, now).expect("offered");
        let (reports, events_b, facts_b) = Made::reports(Arc::default(), Outcomes::default());
        let (b, answer) =
            Conn::answer(&offer, 0, ingredients(), flow(), reports, now).expect("answered");
        let end = |conn, events, facts| End {
            conn,
            due: Some(now),
            events,
            facts,
            candidate: None,
            channel: None,
        };
        let mut world = Self {
            ends: [end(a, events_a, facts_a), end(b, events_b, facts_b)],
            now,
            network: VecDeque::new(),
            weather: Box::new(weather),
        };
        world.act(0, |conn, now| {
            conn.set_remote(&answer, now).expect("applied")
        });
        world
    }

    /// Returns the line that tells of it.
    fn add_address(&mut self, end: usize, address: ([u8; 4], u16)) -> String {
        self.act(end, |conn, _| conn.add_address(address.into()));
        self.ends[end].candidate.take().expect("of the address")
    }

    fn tell(&mut self, end: usize, candidate: &str) {
        self.act(end, |conn, now| {
            conn.add_candidate(candidate, now);
            conn.handle_timeout(now);
        });
    }

    /// Two ends with an open channel.
    fn connected(weather: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let mut world = Self::new(weather);
        assert!(world.run(secs(20), |world| {
            world.ends.iter().all(|end| end.channel.is_some())
        }));
        world
    }

    fn act(&mut self, end: usize, action: impl FnOnce(&mut Conn, Instant)) {
        self.act_with(end, |conn, _, now| action(conn, now));
    }

    fn act_with(&mut self, end: usize, action: impl FnOnce(&mut Conn, &mut Outbox, Instant)) {
        let mut outbox = Outbox::default();
        let now = self.now;
        let this = &mut self.ends[end];
        action(&mut this.conn, &mut outbox, now);
        this.due = this.conn.drive(&mut outbox, now);
        while let Ok(event) = this.events.try_recv() {
            match event {
                Event::Candidate(candidate) => this.candidate = Some(candidate),
                Event::Open(channel) => this.channel = Some(channel),
                Event::Certificate(_) | Event::Path(_) => {}
            }
        }
        for (source, destination, datagram) in outbox.0 {
            for datagram in (self.weather)(&datagram) {
                self.network
                    .push_back((1 - end, source, destination, datagram));
            }
        }
    }

    /// Lets things happen until `done`, for at most `limit` of virtual time. Whether it was done.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
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

    fn reason(&self, end: usize) -> Option<CloseReason> {
        self.ends[end].facts.closed.borrow().clone()
    }

    /// Sends without waiting; whether there was room.
    fn send(&mut self, end: usize, message: Message) -> bool {
        let channel = self.ends[end].channel.as_ref().expect("open");
        channel
            .send(message)
            .now_or_never()
            .is_some_and(|sent| sent.is_ok())
    }

    /// Takes what came, without waiting.
    fn received(&mut self, end: usize) -> Option<Message> {
        let channel = self.ends[end].channel.as_mut().expect("open");
        channel.recv().now_or_never().flatten()
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn numbered(number: u32, len: usize) -> Message {
    let mut octets = vec![0; len];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Message::Binary(octets.into())
}

/// A generator that needs no crate.
fn random(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    }
}

fn clear(datagram: &[u8]) -> Vec<Vec<u8>> {
    vec![datagram.to_vec()]
}

#[test]
fn everything_arrives_in_order_over_a_network_that_loses_and_repeats() {
    for seed in 0..4 {
        let mut chance = random(seed);
        let mut world = World::connected(move |datagram| match chance() % 20 {
            0 => vec![],
            1 => vec![datagram.to_vec(); 2],
            _ => clear(datagram),
        });
        let (mut sent, mut received) = (0, 0);
        let all = world.run(secs(120), |world| {
            while sent < 300 && world.send(0, numbered(sent, 3000)) {
                sent += 1;
            }
            while let Some(message) = world.received(1) {
                assert_eq!(message, numbered(received, 3000));
                received += 1;
            }
            received == 300
        });
        assert!(all, "seed {seed}: {received} of {sent}");
    }
}

#[test]
fn garbled_datagrams_from_the_peers_own_address_neither_panic_nor_end_the_connection() {
    for seed in 0..8 {
        let mut chance = random(seed);
        let mut world = World::connected(clear);
        world.weather = Box::new(move |datagram| {
            let mut garbled = datagram.to_vec();
            match chance() % 4 {
                0 => garbled.truncate(chance() as usize % (datagram.len() + 1)),
                1 => garbled = (0..chance() % 1500).map(|_| chance() as u8).collect(),
                _ => {
                    for _ in 0..=chance() % 8 {
                        let at = chance() as usize % garbled.len();
                        garbled[at] = chance() as u8;
                    }
                }
            }
            vec![garbled, datagram.to_vec()]
        });
        let (mut sent, mut received) = (0, 0);
        let all = world.run(secs(60), |world| {
            // One at a time, so that there is much to garble.
            if sent == received && world.send(0, numbered(sent, 500)) {
                sent += 1;
            }
            while let Some(message) = world.received(1) {
                assert_eq!(message, numbered(received, 500));
                received += 1;
            }
            received == 40
        });
        assert!(
            all,
            "seed {seed}: {:?} {:?}",
            world.reason(0),
            world.reason(1)
        );
    }
}

#[test]
fn garbled_handshakes_do_not_panic() {
    for seed in 0..20 {
        let mut chance = random(seed);
        let mut world = World::new(move |datagram| {
            let mut garbled = datagram.to_vec();
            if chance().is_multiple_of(3) {
                let at = chance() as usize % garbled.len();
                garbled[at] ^= 1 << (chance() % 8);
            }
            vec![garbled]
        });
        // Open or failed with a reason: both are fine.
        let settled = world.run(secs(90), |world| {
            (0..2).all(|end| world.ends[end].channel.is_some() || world.reason(end).is_some())
        });
        assert!(settled, "seed {seed}");
    }
}

#[test]
fn a_peer_that_falls_silent_is_lost_after_30_seconds_and_not_before() {
    let mut world = World::connected(clear);
    world.weather = Box::new(|_| vec![]);
    assert!(!world.run(secs(27), |world| world.reason(0).is_some()));
    assert!(world.run(secs(4), |world| world.reason(0).is_some()
        && world.reason(1).is_some()));
    assert_eq!(world.reason(0), Some(CloseReason::Lost));
    assert_eq!(world.reason(1), Some(CloseReason::Lost));
}

#[test]
fn a_gap_of_20_seconds_is_survived() {
    let mut world = World::connected(clear);
    world.weather = Box::new(|_| vec![]);
    assert!(world.send(0, numbered(7, 100)));
    assert!(!world.run(secs(20), |world| world.reason(0).is_some()));
    world.weather = Box::new(clear);
    assert!(world.run(secs(20), |world| world.received(1)
        == Some(numbered(7, 100))));
}

#[test]
fn peers_without_a_path_end_with_no_route() {
    let mut world = World::new(|_| vec![]);
    assert!(world.run(secs(61), |world| {
        (0..2).all(|end| world.reason(end).is_some())
    }));
    assert_eq!(world.reason(0), Some(CloseReason::NoRoute));
    assert_eq!(world.reason(1), Some(CloseReason::NoRoute));
}

#[test]
fn a_reader_that_takes_nothing_for_30_seconds_ends_its_connection_as_slow() {
    let mut world = World::connected(clear);
    let mut sent = 0u32;
    let fill = |world: &mut World| {
        while world.send(0, numbered(0, 60_000)) {
            sent += 1;
        }
        false
    };
    world.run(secs(20), fill);
    assert_eq!(world.reason(1), None, "it may still catch up");
    assert!(world.run(secs(20), |world| world.reason(0).is_some()
        && world.reason(1).is_some()));
    assert_eq!(world.reason(1), Some(CloseReason::SlowReader));
    assert_eq!(world.reason(0), Some(CloseReason::Remote));
    assert!(
        (60..100).contains(&sent),
        "bounded: {sent} messages of 60 kB"
    );
}

#[test]
fn a_reader_that_catches_up_in_time_loses_nothing() {
    let mut world = World::connected(clear);
    let mut sent = 0;
    world.run(secs(20), |world| {
        while world.send(0, numbered(sent, 60_000)) {
            sent += 1;
        }
        false
    });
    let mut received = 0;
    let all = world.run(secs(60), |world| {
        while let Some(message) = world.received(1) {
            assert_eq!(message, numbered(received, 60_000));
            received += 1;
        }
        received == sent
    });
    assert!(all, "{received} of {sent}: {:?}", world.reason(1));
}

#[test]
fn a_relay_that_is_seen_before_it_is_told_does_not_go_before_a_direct_path() {
    let mut world = World::strangers(clear);
    // Stands for a relay of a peer that gives its checks the high priority of the standard, as browsers do.
    let relay = world.add_address(1, ([10, 0, 0, 9], 9));
    let caller = world.add_address(0, ADDRESSES[0]);
    world.tell(1, &caller);
    assert!(world.run(secs(5), |world| world.ends[0].channel.is_some()));
    let as_told = |line: &str, kind: &str, preference: u32| {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words[3] = (preference << 24 | 0xfffe << 8 | 0xff).to_string();
        words[7] = kind.to_owned();
        words.join(" ") + " raddr 0.0.0.0 rport 0"
    };
    world.tell(
        0,
        &as_told(
            &relay[..relay.find(" ufrag").unwrap_or(relay.len())],
            "relay",
            2,
        ),
    );
    assert_eq!(world.ends[0].facts.meter.route(), Route::Relayed);
    let direct = world.add_address(1, ADDRESSES[1]);
    world.tell(
        0,
        &as_told(
            &direct[..direct.find(" ufrag").unwrap_or(direct.len())],
            "srflx",
            100,
        ),
    );
    let is_direct = world.run(secs(10), |world| {
        world.send(0, numbered(0, 10));
        let _ = world.received(1);
        world.ends[0].facts.meter.route() == Route::Direct
    });
    assert!(is_direct);
}
