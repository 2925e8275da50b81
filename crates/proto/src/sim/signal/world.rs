//! One run: a server of several shards, its clients, the network between them, one clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Ask, Fate, Said};
use super::bug::Shard;
use super::client::{Client, HOST, Kin};
use super::{Book, Broken, Bug, Failure, Promise, Report};
use crate::identity::fixture;
use crate::signal::census::Census;
use crate::signal::{
    CloseReason, Config, ConnId, Departure, Hello, Input, Matter, Output, Routed, Totals,
};
use crate::sim::Rng;
use crate::wire::signal::{FrameRef, OPEN};

/// Longest way of a message between a client and the server.
pub(super) const SLOWEST: u64 = 2_000;
/// How long things are left alone before what subscribers heard is looked at.
const CALM: Duration = Duration::from_secs(40);

pub(super) enum Event {
    Act(usize),
    Beat(usize, ConnId),
    Up(ConnId, Up),
    Down(ConnId, Down),
    Parcel {
        life: u32,
        routed: Routed,
        uid: Option<u64>,
    },
    Restart,
    Sleep,
    Calm,
    Look,
    End,
}

/// What comes to the server from a socket.
pub(super) enum Up {
    Hello(Box<Ask>),
    Said(Said, Vec<u8>),
    Ping,
    Gone(Departure),
}

/// What comes to a client.
pub(super) enum Down {
    Opened,
    Closed,
}

/// What both sides and the network know of a socket.
pub(super) struct Socket {
    pub(super) client: usize,
    pub(super) shard: usize,
    /// In which of the server's lives it was opened.
    pub(super) life: u32,
    pub(super) up: Instant,
    pub(super) down: Instant,
    /// Longest delay in milliseconds.
    pub(super) slow: u64,
    /// Nothing gets through any more.
    pub(super) cut: bool,
    /// Its client has turned to another one.
    pub(super) abandoned: bool,
    /// The server's shell knows of it.
    pub(super) known: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Busy,
    Calm,
    End,
}

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) events: BTreeMap<(Instant, u64), Event>,
    pub(super) count: u64,
    pub(super) rng: Rng,
    pub(super) config: Config,
    pub(super) shards: Vec<Shard>,
    pub(super) totals: Arc<Totals>,
    pub(super) life: u32,
    pub(super) down_until: Instant,
    pub(super) asleep_until: Instant,
    /// How late the server's timers fire.
    pub(super) late: Duration,
    pub(super) sockets: BTreeMap<ConnId, Socket>,
    pub(super) clients: Vec<Client>,
    pub(super) ids: Vec<String>,
    /// From shard to shard: when what was last said arrives.
    pub(super) lines: BTreeMap<(usize, usize), Instant>,
    /// How long it takes at most, in milliseconds.
    pub(super) slow: u64,
    /// Some of it is lost.
    pub(super) lossy: bool,
    pub(super) phase: Phase,
    /// How often it was looked whether all honest clients are back.
    pub(super) looks: u32,
    pub(super) said: u64,
    pub(super) book: Book,
    pub(super) bug: Option<Bug>,
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
    Ok(world.book.report)
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, start: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let config = limits(&mut rng);
        let shards = rng.pick(1..6);
        let (lossy, jumbled) = match rng.pick(0..8) {
            0 | 1 => (true, false),
            2 | 3 => (false, true),
            _ => (false, false),
        };
        let mut clients = Vec::new();
        for number in 0..rng.pick(4..15) as usize {
            let kin = match rng.pick(0..16) {
                0..4 => Kin::Stock,
                4..9 => Kin::Ours,
                9..11 => Kin::Device,
                11..13 => Kin::Thief,
                13 => Kin::Flooder,
                14 => Kin::Noisy,
                _ => Kin::Mute,
            };
            // A key has one device.
            let kin = if kin == Kin::Device && number > 1 {
                Kin::Ours
            } else {
                kin
            };
            clients.push(Client::new(kin, number, &mut rng));
        }
        let ids = clients.iter().map(|client| client.id.clone()).collect();
        let totals = Arc::default();
        let mut world = Self {
            start,
            now: start,
            events: BTreeMap::new(),
            count: 0,
            shards: (0..shards)
                .map(|_| Shard::new(&config, &totals, bug))
                .collect(),
            totals,
            life: 0,
            down_until: start,
            asleep_until: start,
            late: Duration::from_millis([0, 0, 50, 2_000][rng.pick(0..4) as usize]),
            sockets: BTreeMap::new(),
            clients,
            ids,
            lines: BTreeMap::new(),
            slow: match rng.pick(0..4) {
                _ if jumbled => 4_000,
                0 | 1 => 0,
                2 => 20,
                _ => 1_000,
            },
            lossy,
            phase: Phase::Busy,
            looks: 0,
            said: 0,
            book: Book::new(config.clone(), shards, jumbled),
            bug,
            config,
            rng,
        };
        world.plan();
        world
    }

    /// What will happen of itself.
    fn plan(&mut self) {
        for client in 0..self.clients.len() {
            self.later(10_000, Event::Act(client));
        }
        let busy = self.rng.pick(40_000..120_000);
        if self.rng.one_in(3) {
            self.later(busy, Event::Restart);
        }
        if self.rng.one_in(3) {
            self.later(busy, Event::Sleep);
        }
        let calm = self.now + Duration::from_millis(busy);
        self.at(calm, Event::Calm);
        self.at(calm + CALM, Event::Look);
    }

    fn run(&mut self) -> Result<(), Broken> {
        let long = self.config.alive_for * 6 + Duration::from_secs(600);
        while let Some(at) = self.next() {
            self.now = self.now.max(at);
            if self.now - self.start > long {
                return Err((Promise::Release, "something goes on for ever".to_owned()));
            }
            while let Some(next) = self.events.first_entry()
                && next.key().0 <= self.now
            {
                let ((_, count), event) = next.remove_entry();
                let is_servers = matches!(event, Event::Up(..) | Event::Parcel { .. });
                if is_servers && self.now < self.asleep_until {
                    self.events.insert((self.asleep_until, count), event);
                } else {
                    self.happen(event)?;
                }
            }
            if self.now >= self.asleep_until {
                for shard in 0..self.shards.len() {
                    self.time_passes(shard)?;
                }
            }
            if let Some(by) = self.now.checked_sub(self.late)
                && self.now > self.asleep_until
            {
                self.book.overdue(by)?;
            }
            if self.count.is_multiple_of(4) {
                self.audit()?;
            }
        }
        self.end()
    }

    fn next(&self) -> Option<Instant> {
        let times = self.shards.iter().filter_map(Shard::poll_timeout);
        let times = times.map(|due| (due + self.late).max(self.asleep_until));
        times
            .chain(self.events.first_key_value().map(|(key, _)| key.0))
            .min()
    }

    fn time_passes(&mut self, shard: usize) -> Result<(), Broken> {
        let due = self.shards[shard].poll_timeout();
        // Now and then it is told the time although nothing is due.
        if due.is_none_or(|due| due + self.late > self.now) && !self.count.is_multiple_of(16) {
            return Ok(());
        }
        self.book.time_passed(shard, self.now);
        self.shards[shard].handle_timeout(self.now);
        self.perform(shard)?;
        match self.shards[shard].poll_timeout() {
            Some(due) if due <= self.now => {
                Err((Promise::Wait, "a deadline is left behind".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Act(client) => self.act(client),
            Event::Beat(client, conn) => self.beat(client, conn),
            Event::Up(conn, up) => return self.comes_up(conn, up),
            Event::Down(conn, down) => self.comes_down(conn, &down),
            Event::Parcel { life, routed, uid } if life == self.life => {
                let shard = self.book.shard_of(routed.to().as_str());
                self.book.arrived(&routed, uid, self.now);
                self.shards[shard].handle_input(Input::Routed(routed), self.now);
                return self.perform(shard);
            }
            Event::Parcel { .. } => {}
            Event::Restart => return self.restart(),
            Event::Sleep => {
                self.book.report.sleeps += 1;
                let most = self.config.alive_for.as_millis() as u64 * 2;
                self.asleep_until = self.now + Duration::from_millis(self.rng.size(most));
            }
            Event::Calm => self.calm_down(),
            Event::Look => return self.look(),
            Event::End => self.all_go(),
        }
        Ok(())
    }

    fn comes_up(&mut self, conn: ConnId, up: Up) -> Result<(), Broken> {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return Ok(());
        };
        let gets_through = !socket.cut || matches!(up, Up::Gone(Departure::Lost));
        if socket.life != self.life || !gets_through {
            return Ok(());
        }
        let shard = socket.shard;
        if let Up::Hello(ask) = up {
            socket.known = true;
            self.book.opened(conn, &ask, self.now);
            let hello = Hello {
                key: &ask.key,
                id: &ask.id,
                token: &ask.token,
                proof: &ask.proof,
                hold: ask.hold,
                visible: ask.visible,
                hosts: &[HOST],
                at: fixture::NOW,
            };
            self.shards[shard].handle_input(Input::Opened(conn, hello), self.now);
            return self.perform(shard);
        }
        if !socket.known {
            return Ok(());
        }
        match up {
            Up::Said(said, text) => {
                self.book.said(conn, &said, self.now);
                // As the shell does.
                let input = match FrameRef::parse(&text) {
                    Ok(frame) => Input::Received(conn, frame),
                    Err(_) => Input::Beat(conn),
                };
                self.shards[shard].handle_input(input, self.now);
            }
            Up::Gone(departure) => {
                socket.known = false;
                self.book.closed(conn, departure, self.now);
                let closed = Input::Closed(conn, departure);
                self.shards[shard].handle_input(closed, self.now);
                if let Some(socket) = self.book.sockets.get_mut(&conn) {
                    socket.closed = true;
                }
            }
            Up::Hello(_) | Up::Ping => {
                self.book.said(conn, &Said::Nothing, self.now);
                self.shards[shard].handle_input(Input::Beat(conn), self.now);
            }
        }
        self.perform(shard)
    }

    /// Does what a shard wants done.
    fn perform(&mut self, shard: usize) -> Result<(), Broken> {
        while let Some(output) = self.shards[shard].poll_output() {
            let uid = self.book.done(&output)?;
            match output {
                Output::Send(conn, text) if text == OPEN => self.send_down(conn, Down::Opened),
                Output::Close(conn, reason) => {
                    let Some(socket) = self.sockets.get(&conn) else {
                        continue;
                    };
                    let client = &self.clients[socket.client];
                    let alive = !socket.cut && !socket.abandoned && client.kin != Kin::Mute;
                    if reason == CloseReason::Silent && alive && self.phase < Phase::End {
                        let detail = format!("{} was cut though it said something", client.id);
                        return Err((Promise::Alive, detail));
                    }
                    self.send_down(conn, Down::Closed);
                }
                Output::Route(routed) => self.carry(shard, routed, uid),
                Output::Send(..) | Output::Came(_) | Output::Went(_) => {}
            }
        }
        self.book.settled()
    }

    /// From one shard to another.
    fn carry(&mut self, from: usize, routed: Routed, uid: Option<u64>) {
        if Shard::loses(self.bug, &routed) {
            return;
        }
        if self.lossy && self.rng.one_in(12) {
            self.book.report.lost += 1;
            if let Some(uid) = uid {
                self.book.messages[uid as usize].fate = Fate::Lost;
            }
            return;
        }
        let line = (from, self.book.shard_of(routed.to().as_str()));
        let last = self.lines.entry(line).or_insert(self.now);
        let overtakes = self.book.jumbled || self.bug == Some(Bug::Overtake);
        let delay = if overtakes {
            self.rng.pick(0..self.slow.max(1))
        } else {
            self.rng.size(self.slow)
        };
        let at = self.now + Duration::from_millis(delay);
        let at = if overtakes { at } else { at.max(*last) };
        *last = at;
        let life = self.life;
        self.at(at, Event::Parcel { life, routed, uid });
    }

    fn restart(&mut self) -> Result<(), Broken> {
        let count = self.shards.len();
        for shard in self.shards.drain(..) {
            shard.end();
        }
        if self.totals.read() != (0, 0) {
            return Err((
                Promise::Release,
                "a server that ended still counts".to_owned(),
            ));
        }
        self.totals = Arc::default();
        self.life += 1;
        let new = |_| Shard::new(&self.config, &self.totals, self.bug);
        self.shards = (0..count).map(new).collect();
        self.lines.clear();
        self.down_until = self.now + Duration::from_millis(self.rng.size(5_000));
        self.book.restarted();
        let old: Vec<_> = self.sockets.keys().copied().collect();
        for conn in old {
            self.later(3_000, Event::Down(conn, Down::Closed));
        }
        Ok(())
    }

    fn calm_down(&mut self) {
        self.phase = Phase::Calm;
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            client.wants = client.kin.is_honest();
            if let Some(conn) = client.conn
                && !client.wants
            {
                client.conn = None;
                self.send_up(conn, Up::Gone(Departure::Clean));
            }
        }
    }

    /// Quiet at last, unless some word on who is there is still on its way.
    fn look(&mut self) -> Result<(), Broken> {
        let on_the_way = |event: &Event| match event {
            Event::Parcel { routed, .. } => {
                !matches!(routed.matter, Matter::Frame { .. } | Matter::Expired { .. })
            }
            _ => false,
        };
        if self.events.values().any(on_the_way) || self.now < self.asleep_until + CALM {
            self.at(self.now + Duration::from_millis(100), Event::Look);
            return Ok(());
        }
        if !self.lossy {
            self.book.is_quietly_true()?;
        }
        let mut clients = self.clients.iter();
        let outside = clients.find(|client| {
            client.wants && !client.open && self.book.is_free_for(&client.id, &client.token)
        });
        if let Some(client) = outside {
            // Its id may have become free just now.
            self.looks += 1;
            if self.looks > 4 {
                let detail = format!("{} did not get back in", client.id);
                return Err((Promise::Return, detail));
            }
            self.at(self.now + CALM / 2, Event::Look);
            return Ok(());
        }
        self.at(self.now, Event::End);
        Ok(())
    }

    /// Each in its way; some without a word.
    fn all_go(&mut self) {
        self.phase = Phase::End;
        for number in 0..self.clients.len() {
            self.clients[number].wants = false;
            let Some(conn) = self.clients[number].conn.take() else {
                continue;
            };
            match self.rng.pick(0..3) {
                0 => self.send_up(conn, Up::Gone(Departure::Clean)),
                1 => self.cut(conn),
                _ => {}
            }
        }
    }

    fn audit(&self) -> Result<(), Broken> {
        let routers = self.shards.iter().map(|shard| &shard.router);
        self.book.audit(routers, &self.totals)
    }

    /// All have gone, and no deadline is left.
    fn end(&mut self) -> Result<(), Broken> {
        self.audit()?;
        let mut census = Census::default();
        for shard in &self.shards {
            shard.router.count(&mut census);
        }
        let left = |what: &str| Err((Promise::Release, format!("{what} left: {census:?}")));
        if self.totals.read() != (0, 0) || !census.waiting.is_empty() || !census.watches.is_empty()
        {
            return left("something is");
        }
        // A lost end of a subscription is mended when the id next comes or goes.
        if !self.lossy && !census.watchers.is_empty() {
            return left("watchers are");
        }
        let open = |fate| matches!(fate, Fate::OnItsWay | Fate::Waiting);
        match self.book.messages.iter().find(|message| open(message.fate)) {
            Some(message) => Err((Promise::Once, format!("nothing became of {}", message.text))),
            None => Ok(()),
        }
    }

    pub(super) fn send_up(&mut self, conn: ConnId, up: Up) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let delay = Duration::from_millis(self.rng.size(socket.slow));
        socket.up = socket.up.max(self.now + delay);
        let at = socket.up;
        self.at(at, Event::Up(conn, up));
    }

    pub(super) fn send_down(&mut self, conn: ConnId, down: Down) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        if socket.cut {
            return;
        }
        let delay = Duration::from_millis(self.rng.size(socket.slow));
        socket.down = socket.down.max(self.now + delay);
        let at = socket.down;
        self.at(at, Event::Down(conn, down));
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

/// As they are by default, or so low that they are met.
fn limits(rng: &mut Rng) -> Config {
    let mut config = Config {
        alive_for: Duration::from_secs([10, 30, 90][rng.pick(0..3) as usize]),
        ..Config::default()
    };
    if rng.one_in(2) {
        return config;
    }
    let mut some = |limit: &mut usize, most: u64| {
        if rng.one_in(2) {
            *limit = rng.pick(0..most) as usize;
        }
    };
    some(&mut config.peers, 12);
    some(&mut config.waiting_messages, 6);
    some(&mut config.waiting_octets, 2_000);
    some(&mut config.sender_waiting_octets, 4_000);
    some(&mut config.all_waiting_octets, 8_000);
    some(&mut config.watched, 4);
    some(&mut config.watchers, 4);
    config.hold_at_most = Duration::from_secs(rng.pick(0..40));
    config
}
