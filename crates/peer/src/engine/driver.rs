//! The engine's thread: sockets in, connections, sockets out.
//!
//! One turn: sleep until something is due, then take commands, what users changed, one batch of datagrams per socket and the timers, and send
//! what came of it. A busy socket gets no more than a batch before the others had theirs.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use str0m::config::CryptoProvider;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::bell::Bell;
use super::certificate::Certificate;
use super::conn::{Conn, Ingredients, Sink};
use super::demux::{Demux, PortIndex, Way};
use super::flow::Flows;
use super::gather::{Action, Found, Gatherer, Policy};
use super::outside::{LegId, News, Outside};
use super::port::{Port, Receiver, Socket};
use super::servers::Servers;
use super::{Answer, Command, ConnId, EngineConfig, EngineError, Made, Reply};
use crate::channel::Signal;
use crate::connection::CloseReason;

const BELL: Token = Token(usize::MAX);
/// Connections to one peer at a time that this side began: each needs a port of its own.
const MAX_SLOTS: usize = 256;
/// The port of incoming connections.
const MAIN_PORT: PortIndex = 0;
/// How often the machine's addresses are looked at while there are connections.
const LOOK: Duration = Duration::from_secs(1);
/// Goodbyes get this long when the engine stops.
const SHUTDOWN: Duration = Duration::from_millis(200);

/// What users know of a driver.
pub(super) struct Started {
    pub(super) bell: Arc<Bell>,
    /// Closed when the thread has ended.
    pub(super) running: watch::Receiver<()>,
    pub(super) port: u16,
}

/// Binds the port and starts the thread.
pub(super) fn start(
    config: EngineConfig,
    commands: mpsc::Receiver<Command>,
) -> Result<Started, EngineError> {
    let poll = Poll::new().map_err(EngineError::Bind)?;
    let bell = Arc::new(Bell::new(
        Waker::new(poll.registry(), BELL).map_err(EngineError::Bind)?,
    ));
    let (alive, running) = watch::channel(());
    let (outside, news) = Outside::new(bell.clone(), config.roots.clone());
    let mut driver = Driver {
        poll,
        bell: bell.clone(),
        commands,
        outside,
        news,
        servers: Arc::default(),
        ports: Vec::new(),
        addresses: config.addresses.list(),
        look_at: None,
        certificate: Certificate::new(Instant::now())?,
        crypto: Arc::new(str0m::crypto::from_feature_flags()),
        table: Table::default(),
        next_id: 0,
        config,
        _running: alive,
    };
    driver.open_port(driver.config.port)?;
    let port = driver.ports[MAIN_PORT].number();
    std::thread::Builder::new()
        .name("peerage-engine".into())
        .spawn(move || driver.run())
        .map_err(EngineError::Bind)?;
    Ok(Started {
        bell,
        running,
        port,
    })
}

struct Driver {
    poll: Poll,
    bell: Arc<Bell>,
    commands: mpsc::Receiver<Command>,
    outside: Outside,
    news: mpsc::Receiver<News>,
    servers: Arc<Servers>,
    ports: Vec<Port>,
    addresses: Vec<IpAddr>,
    /// When they are looked at next; `None` while nobody needs them.
    look_at: Option<Instant>,
    certificate: Certificate,
    crypto: Arc<CryptoProvider>,
    table: Table,
    next_id: u64,
    config: EngineConfig,
    /// Dropped with the driver, for who waits for its end.
    _running: watch::Sender<()>,
}

/// All connections, how to find them, and when they want to be called.
#[derive(Default)]
struct Table {
    conns: HashMap<ConnId, Entry>,
    demux: Demux,
    timers: BTreeSet<(Instant, ConnId)>,
}

struct Entry {
    conn: Box<Conn>,
    /// By which the demux knows it.
    ufrags: Vec<String>,
    due: Option<Instant>,
}

impl Driver {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut receiver = Receiver::new();
        loop {
            self.wait(&mut events);
            if !self.take_commands() {
                return self.shut_down(&mut events, &mut receiver);
            }
            self.take_calls();
            self.take_news();
            self.turn(&mut receiver);
            self.look(Instant::now());
        }
    }

    /// Looks at the machine's addresses when it is time.
    fn look(&mut self, now: Instant) {
        if self.table.conns.is_empty() {
            self.look_at = None;
        } else if self.look_at.is_none_or(|at| now >= at) {
            self.refresh(now);
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let idle = !self.ports.iter().any(Port::is_readable);
        let may_sleep = self.bell.sleep(|| {
            idle && self.commands.is_empty() && !self.commands.is_closed() && self.news.is_empty()
        });
        let timeout = if may_sleep {
            let gatherers = self.ports.iter().map(|port| port.gatherer.poll_timeout());
            let conn = self.table.timers.first().map(|(due, _)| *due);
            let due = gatherers.chain([conn, self.look_at]).flatten().min();
            due.map(|due| due.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "cannot wait for sockets");
        }
        self.bell.awake();
        for event in events.iter().filter(|event| event.token() != BELL) {
            let Some(socket) = socket_of(&mut self.ports, event.token()) else {
                continue;
            };
            if event.is_readable() || event.is_error() {
                socket.set_readable();
            }
            if event.is_writable() {
                socket.set_writable();
            }
        }
    }

    /// Carries out what is queued; `false` when there is nobody left to ask.
    fn take_commands(&mut self) -> bool {
        // What is queued now, and no more: datagrams come next.
        for _ in 0..=super::COMMANDS {
            match self.commands.try_recv() {
                Ok(Command::Stop) => return false,
                Ok(command) => self.handle_command(command, Instant::now()),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Offer {
                channels,
                slot,
                reply,
            } => {
                self.make(
                    reply,
                    now,
                    Some(slot),
                    |port, ingredients, flows, reports| {
                        Conn::offer(channels, port, ingredients, flows, reports, now)
                    },
                );
            }
            Command::Answer { offer, reply } => {
                if self.table.is_busy(self.config.half_open) {
                    return drop(reply.send(Err(EngineError::Busy)));
                }
                self.make(reply, now, None, |port, ingredients, flows, reports| {
                    Conn::answer(&offer, port, ingredients, flows, reports, now)
                });
            }
            Command::SetIceServers(servers) => {
                self.servers = Arc::new(Servers::new(&servers));
                for port in 0..self.ports.len() {
                    let servers = self.servers.clone();
                    let gatherer = &mut self.ports[port].gatherer;
                    gatherer.set_servers(servers, &mut self.outside, now);
                    self.tend(port, now);
                }
            }
            Command::SetRemote {
                conn,
                answer,
                reply,
            } => self.ask(conn, reply, now, |conn| conn.set_remote(&answer, now)),
            Command::Restart { conn, reply } => {
                self.ask(conn, reply, now, Conn::restart);
            }
            Command::AnswerRestart { conn, offer, reply } => {
                self.ask(conn, reply, now, |conn| conn.answer_restart(&offer, now));
            }
            Command::AddCandidate { conn, candidate } => {
                let mut added = None;
                self.table.act(conn, &mut self.ports, now, |conn, _| {
                    added = conn
                        .add_candidate(&candidate, now)
                        .map(|address| (conn.port(), address));
                    // Tried at once: a peer that cannot reach us first would wait for a timer otherwise.
                    conn.handle_timeout(now);
                });
                if let Some((port, address)) = added {
                    let gatherer = &mut self.ports[port].gatherer;
                    gatherer.permit(conn, address.ip(), now);
                }
            }
            Command::Refresh => self.refresh(now),
            // Taken by who reads the queue.
            Command::Stop => {}
        }
    }

    fn make(
        &mut self,
        reply: Reply,
        now: Instant,
        slot: Option<usize>,
        make: impl FnOnce(
            PortIndex,
            Ingredients,
            Flows,
            super::Reports,
        ) -> Result<(Conn, String), EngineError>,
    ) {
        let port = match slot {
            None => MAIN_PORT,
            Some(slot) => match self.slot(slot) {
                Ok(port) => port,
                // The caller may have left; then so has its interest in the error.
                Err(error) => return drop(reply.send(Err(error))),
            },
        };
        if self.look_at.is_none() {
            // They may have changed while nobody looked.
            self.refresh(now);
        }
        let id = ConnId(self.next_id);
        self.next_id += 1;
        let ingredients = Ingredients {
            crypto: self.crypto.clone(),
            certificate: self.certificate.current(now),
            relay_only: self.config.relay_only,
            silent_after: self.config.silent_after,
            lost_after: self.config.lost_after,
            connect: self.config.connect,
        };
        let signal = Signal::new(self.bell.clone(), id.0);
        let flows = Flows::new(self.config.queues, signal);
        let (reports, events, facts) = Made::reports(
            self.config.totals.clone(),
            self.ports[port].gatherer.outcomes().clone(),
        );
        let made = catch_unwind(AssertUnwindSafe(|| {
            let (mut conn, sdp) = make(port, ingredients, flows, reports)?;
            let fingerprint = conn
                .fingerprint()
                .ok_or_else(|| EngineError::Certificate("no SHA-256 fingerprint".into()))?;
            let number = self.ports[port].number();
            for address in self
                .addresses
                .iter()
                .filter(|address| self.ports[port].serves(**address))
            {
                conn.add_address(SocketAddr::new(*address, number));
            }
            for (outside, base) in self.config.addresses.mapped(&self.addresses) {
                let [outside, base] = [outside, base].map(|ip| SocketAddr::new(ip, number));
                conn.add_reflexive(outside, base);
            }
            Ok((conn, sdp, fingerprint))
        }))
        .unwrap_or_else(|_| Err(EngineError::Description("the engine failed on it".into())));
        let (mut conn, sdp, fingerprint) = match made {
            Ok(made) => made,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let ufrags = vec![conn.ufrag()];
        self.table.demux.rename(id, &[], &ufrags);
        self.table.conns.insert(
            id,
            Entry {
                conn: Box::new(conn),
                ufrags,
                due: None,
            },
        );
        if reply
            .send(Ok(Made {
                id,
                sdp,
                fingerprint,
                events,
                facts,
            }))
            .is_err()
        {
            // Nobody waits for it any more, and no handle will ever close it.
            self.bell.end(id, CloseReason::Local);
        }
        let gatherer = &mut self.ports[port].gatherer;
        let known = gatherer.join(id, &mut self.outside, now);
        // The stack sets no timer before its clock was moved once.
        self.table
            .act(id, &mut self.ports, now, |conn, _| conn.handle_timeout(now));
        for found in known {
            self.found(port, Some(id), found, now);
        }
        self.tend(port, now);
    }

    /// Has a connection do what its owner waits for.
    fn ask<T>(
        &mut self,
        id: ConnId,
        reply: Answer<T>,
        now: Instant,
        action: impl FnOnce(&mut Conn) -> Result<T, EngineError>,
    ) {
        let mut outcome = Err(EngineError::Restart("it is over"));
        self.table.act(id, &mut self.ports, now, |conn, _| {
            outcome = action(conn);
            // What became possible is tried at once.
            conn.handle_timeout(now);
        });
        // The peer's addresses that stood in the description, or came before it.
        if let Some(entry) = self.table.conns.get_mut(&id) {
            let port = entry.conn.port();
            for address in entry.conn.take_permits() {
                self.ports[port].gatherer.permit(id, address.ip(), now);
            }
        }
        // Who asked may not wait any more.
        let _ = reply.send(outcome);
    }

    /// Lets a port's gatherer do what is due, and does what it asks for.
    fn tend(&mut self, port: PortIndex, now: Instant) {
        let outside = &mut self.outside;
        self.ports[port].gatherer.handle_timeout(outside, now);
        while let Some(action) = self.ports[port].gatherer.poll_output() {
            match action {
                Action::Send(server, octets) => {
                    let any = match server {
                        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                    };
                    self.ports[port].send_direct(any, server, &octets);
                }
                Action::Found(found) => self.found(port, None, found, now),
                Action::Lost(found) => self.lost(port, found, now),
            }
        }
    }

    /// Tells one connection of a port, or all, of something that it can be reached by.
    fn found(&mut self, port: PortIndex, id: Option<ConnId>, found: Found, now: Instant) {
        // A connection has no candidate that an address behind a NAT's could belong to but those of its interfaces.
        if let Found::Reflexive { base, .. } = found
            && (base.port() != self.ports[port].number() || !self.addresses.contains(&base.ip()))
        {
            return;
        }
        self.tell(port, id, now, |conn| match found {
            Found::Reflexive { address, base } => conn.add_reflexive(address, base),
            Found::Relayed { address, transport } => conn.add_relayed(address, transport, now),
        });
    }

    fn lost(&mut self, port: PortIndex, found: Found, now: Instant) {
        self.tell(port, None, now, |conn| match found {
            Found::Reflexive { address, base } => conn.remove_reflexive(address, base),
            Found::Relayed { address, .. } => conn.remove_relayed(address),
        });
    }

    fn tell(
        &mut self,
        port: PortIndex,
        id: Option<ConnId>,
        now: Instant,
        word: impl Fn(&mut Conn),
    ) {
        let ids = match id {
            Some(id) => vec![id],
            None => self.ports[port].gatherer.conns(),
        };
        for id in ids {
            self.table.act(id, &mut self.ports, now, |conn, _| {
                word(conn);
                conn.handle_timeout(now);
            });
        }
    }

    /// What was done elsewhere for the gatherers.
    fn take_news(&mut self) {
        for _ in 0..self.news.len() {
            let Ok(news) = self.news.try_recv() else {
                return;
            };
            let now = Instant::now();
            let port = match news {
                News::Resolved { port, round, found } => {
                    self.ports[port].gatherer.resolved(round, found, now);
                    port
                }
                News::Connected { leg, outgoing } => {
                    self.ports[leg.port()]
                        .gatherer
                        .connected(leg, outgoing, now);
                    leg.port()
                }
                News::Frame { leg, octets } => {
                    let gatherer = &mut self.ports[leg.port()].gatherer;
                    if let Some((relay, peer, data)) = gatherer.framed(leg, &octets, now) {
                        self.relayed(relay, peer, data, now);
                        continue;
                    }
                    leg.port()
                }
                News::Closed { leg, error } => {
                    self.ports[leg.port()].gatherer.closed(leg, &error, now);
                    leg.port()
                }
            };
            self.tend(port, now);
        }
    }

    /// Data that a peer sent to an address at a server that stands for us.
    fn relayed(&mut self, relay: SocketAddr, peer: SocketAddr, data: &[u8], now: Instant) {
        let Some(id) = self.table.demux.find(Way::Relay(relay), peer, data) else {
            return tracing::trace!(target: "wire", %peer, len = data.len(), "relayed data for nobody");
        };
        self.table.act(id, &mut self.ports, now, |conn, _| {
            conn.receive(peer, relay, data, now)
        });
    }

    /// The port for outgoing connections of this slot.
    fn slot(&mut self, slot: usize) -> Result<PortIndex, EngineError> {
        let port = slot + 1;
        if slot >= MAX_SLOTS {
            return Err(EngineError::Slots);
        }
        while self.ports.len() <= port {
            self.open_port(0)?;
        }
        Ok(port)
    }

    fn open_port(&mut self, number: u16) -> Result<(), EngineError> {
        let index = self.ports.len();
        let registry = self.poll.registry().try_clone();
        let registry = registry.map_err(EngineError::Bind)?;
        let servers = self.servers.clone();
        let policy = Policy {
            relay_only: self.config.relay_only,
            linger: self.config.relay_linger,
        };
        let gatherer = Gatherer::new(index, registry, servers, policy);
        let port = Port::bind(
            number,
            self.config.addresses.is_loopback(),
            self.poll.registry(),
            [Token(2 * index), Token(2 * index + 1)],
            gatherer,
        )
        .map_err(EngineError::Bind)?;
        self.ports.push(port);
        Ok(())
    }

    fn refresh(&mut self, now: Instant) {
        self.look_at = Some(now + LOOK);
        let fresh = self.config.addresses.list();
        let old = std::mem::replace(&mut self.addresses, fresh);
        if old == self.addresses {
            return;
        }
        let mapped = self.config.addresses.mapped(&self.addresses);
        let mapped_before = self.config.addresses.mapped(&old);
        let ids: Vec<_> = self.table.conns.keys().copied().collect();
        for id in ids {
            let Some(port) = self.table.conns.get(&id).map(|entry| entry.conn.port()) else {
                continue;
            };
            let (number, addresses) = (self.ports[port].number(), &self.addresses);
            self.table.act(id, &mut self.ports, now, |conn, _| {
                for address in addresses.iter().filter(|address| !old.contains(address)) {
                    conn.add_address(SocketAddr::new(*address, number));
                }
                for address in old.iter().filter(|address| !addresses.contains(address)) {
                    conn.remove_address(SocketAddr::new(*address, number));
                }
                for (outside, base) in mapped.iter().filter(|it| !mapped_before.contains(it)) {
                    let [outside, base] = [*outside, *base].map(|ip| SocketAddr::new(ip, number));
                    conn.add_reflexive(outside, base);
                }
                for (outside, base) in mapped_before.iter().filter(|it| !mapped.contains(it)) {
                    let [outside, base] = [*outside, *base].map(|ip| SocketAddr::new(ip, number));
                    conn.remove_reflexive(outside, base);
                }
                conn.addresses_changed();
                conn.handle_timeout(now);
            });
        }
        for port in 0..self.ports.len() {
            self.ports[port].gatherer.moved(now);
            self.tend(port, now);
        }
    }

    fn take_calls(&mut self) {
        let calls = self.bell.answer();
        let now = Instant::now();
        for (id, reason) in calls.ended {
            self.table
                .act(id, &mut self.ports, now, |conn, _| conn.end(reason, now));
        }
        for id in calls.changed {
            self.table.act(id, &mut self.ports, now, |conn, sink| {
                conn.pipes_changed(sink, now)
            });
        }
    }

    /// One batch from each socket that has some, the timers that are due, and out with the answers.
    fn turn(&mut self, receiver: &mut Receiver) {
        for port in 0..self.ports.len() {
            for socket in 0..self.ports[port].sockets_mut().len() {
                let Some(socket) = self.ports[port]
                    .sockets_mut()
                    .get_mut(socket)
                    .filter(|socket| socket.is_readable())
                else {
                    continue;
                };
                socket.receive(receiver);
                let now = Instant::now();
                for (source, destination, datagram) in receiver.datagrams() {
                    let gatherer = &mut self.ports[port].gatherer;
                    if gatherer.takes(source, destination, datagram, now) {
                        continue;
                    }
                    let way = Way::Direct(port);
                    let Some(id) = self.table.demux.find(way, source, datagram) else {
                        tracing::trace!(target: "wire", %source, len = datagram.len(), "datagram for nobody");
                        continue;
                    };
                    self.table.act(id, &mut self.ports, now, |conn, _| {
                        conn.receive(source, destination, datagram, now)
                    });
                }
            }
        }
        for port in 0..self.ports.len() {
            self.turn_relays(port, receiver);
        }
        let now = Instant::now();
        // Each once a turn: one that is due again at once must not keep the others waiting.
        let later = self.table.timers.split_off(&(now, ConnId(u64::MAX)));
        for (_, id) in std::mem::replace(&mut self.table.timers, later) {
            self.table
                .act(id, &mut self.ports, now, |conn, _| conn.handle_timeout(now));
        }
        for port in 0..self.ports.len() {
            self.tend(port, now);
            self.ports[port].flush();
        }
    }

    fn turn_relays(&mut self, port: PortIndex, receiver: &mut Receiver) {
        for leg in self.ports[port].gatherer.readable() {
            self.ports[port].gatherer.receive(leg, receiver);
            let now = Instant::now();
            for (source, _, datagram) in receiver.datagrams() {
                let gatherer = &mut self.ports[port].gatherer;
                if let Some((relay, peer, data)) = gatherer.received(leg, source, datagram, now) {
                    self.relayed(relay, peer, data, now);
                }
            }
        }
    }

    /// The last handle is gone: every peer is told, and what it takes to tell it.
    fn shut_down(mut self, events: &mut Events, receiver: &mut Receiver) {
        let now = Instant::now();
        self.take_calls();
        let ids: Vec<_> = self.table.conns.keys().copied().collect();
        for id in ids {
            self.table.act(id, &mut self.ports, now, |conn, _| {
                conn.end(CloseReason::Local, now);
            });
        }
        let until = now + SHUTDOWN;
        loop {
            self.take_news();
            self.turn(receiver);
            if self.table.conns.is_empty() || Instant::now() >= until {
                break;
            }
            if self
                .poll
                .poll(events, Some(Duration::from_millis(10)))
                .is_err()
            {
                break;
            }
            for port in &mut self.ports {
                for socket in port.sockets_mut() {
                    socket.set_readable();
                }
            }
        }
        let now = Instant::now();
        for entry in self.table.conns.values_mut() {
            entry.conn.end(CloseReason::Local, now);
        }
        // Allocations are given back, once: what gets lost ends by itself.
        for port in &mut self.ports {
            port.gatherer.stop(now);
            port.flush();
        }
    }
}

/// The socket that a token stands for.
fn socket_of(ports: &mut [Port], token: Token) -> Option<&mut Socket> {
    match LegId::of_token(token) {
        Some(leg) => ports.get_mut(leg.port())?.gatherer.leg(leg)?.socket(),
        None => ports
            .get_mut(token.0 / 2)?
            .sockets_mut()
            .get_mut(token.0 % 2),
    }
}

impl Table {
    /// Whether this many connections have no open channel yet.
    fn is_busy(&self, half_open: usize) -> bool {
        let waiting = self.conns.values().filter(|it| it.conn.is_connecting());
        waiting.take(half_open).count() >= half_open
    }

    /// Lets a connection do something, drains it and sets its timer. A panic in the stack ends this connection alone.
    fn act(
        &mut self,
        id: ConnId,
        ports: &mut [Port],
        now: Instant,
        action: impl FnOnce(&mut Conn, &mut Outlet<'_>),
    ) {
        let Some(entry) = self.conns.get_mut(&id) else {
            return;
        };
        let port = entry.conn.port();
        let mut outlet = Outlet {
            id,
            port,
            ports,
            demux: &mut self.demux,
            now,
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            action(&mut entry.conn, &mut outlet);
            entry.conn.drive(&mut outlet, now)
        }));
        let due = outcome.unwrap_or_else(|_| {
            tracing::error!("the WebRTC stack panicked; the connection is ended");
            entry
                .conn
                .report_end(CloseReason::Failed("internal error".into()));
            None
        });
        if let Some(ufrags) = entry.conn.renamed() {
            self.demux.rename(id, &entry.ufrags, &ufrags);
            entry.ufrags = ufrags;
        }
        if due != entry.due {
            if let Some(old) = entry.due {
                self.timers.remove(&(old, id));
            }
            entry.due = due;
        }
        match due {
            // Again even when it is the same: a timer that fired is no longer in the set.
            Some(due) => drop(self.timers.insert((due, id))),
            None => {
                if let Some(entry) = self.conns.remove(&id) {
                    self.demux.remove(id, &entry.ufrags);
                    ports[port].gatherer.leave(id, now);
                }
            }
        }
    }
}

/// Where a connection's datagrams leave; and how the way back is remembered.
struct Outlet<'a> {
    id: ConnId,
    port: PortIndex,
    ports: &'a mut [Port],
    demux: &'a mut Demux,
    now: Instant,
}

impl Sink for Outlet<'_> {
    fn send(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
        nominated: bool,
    ) {
        let (port, now) = (&mut self.ports[self.port], self.now);
        let gatherer = &mut port.gatherer;
        let way = if gatherer.send(source, destination, datagram, nominated, now) {
            Way::Relay(source)
        } else {
            port.send(source, destination, datagram);
            Way::Direct(self.port)
        };
        self.demux
            .learn(self.id, way, destination, datagram, nominated);
    }
}
