//! The engine's thread: sockets in, connections, sockets out.
//!
//! One turn: sleep until something is due, then take commands, what users changed, one batch of datagrams per socket and the timers, and send
//! what came of it. A busy socket gets no more than a batch before the others had theirs.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
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
use super::demux::{Demux, PortIndex};
use super::flow::Flow;
use super::port::{Port, Receiver};
use super::{Command, ConnId, EngineConfig, EngineError, Made, Reply, interfaces};
use crate::connection::CloseReason;

const BELL: Token = Token(usize::MAX);
/// Connections to one peer at a time that this side began: each needs a port of its own.
const MAX_SLOTS: usize = 256;
/// The port of incoming connections.
const MAIN_PORT: PortIndex = 0;
/// Goodbyes get this long when the engine stops.
const SHUTDOWN: Duration = Duration::from_millis(200);

/// Binds the port and starts the thread.
pub(super) fn start(
    config: EngineConfig,
    commands: mpsc::Receiver<Command>,
) -> Result<(Arc<Bell>, watch::Receiver<()>), EngineError> {
    let poll = Poll::new().map_err(EngineError::Bind)?;
    let bell = Arc::new(Bell::new(
        Waker::new(poll.registry(), BELL).map_err(EngineError::Bind)?,
    ));
    let (alive, running) = watch::channel(());
    let mut driver = Driver {
        poll,
        bell: bell.clone(),
        commands,
        ports: Vec::new(),
        addresses: interfaces::addresses(config.loopback),
        certificate: Certificate::new(Instant::now())?,
        crypto: Arc::new(str0m::crypto::from_feature_flags()),
        table: Table::default(),
        next_id: 0,
        config,
        _running: alive,
    };
    driver.open_port(driver.config.port)?;
    std::thread::Builder::new()
        .name("peerage-engine".into())
        .spawn(move || driver.run())
        .map_err(EngineError::Bind)?;
    Ok((bell, running))
}

struct Driver {
    poll: Poll,
    bell: Arc<Bell>,
    commands: mpsc::Receiver<Command>,
    ports: Vec<Port>,
    addresses: Vec<IpAddr>,
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
    conn: Conn,
    ufrag: String,
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
            self.turn(&mut receiver);
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let idle = self.ports.iter_mut().all(|port| {
            port.sockets_mut()
                .iter()
                .all(|socket| !socket.is_readable())
        });
        let may_sleep = self
            .bell
            .sleep(|| idle && self.commands.is_empty() && !self.commands.is_closed());
        let timeout = if may_sleep {
            self.table
                .timers
                .first()
                .map(|(due, _)| due.saturating_duration_since(Instant::now()))
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
            let (port, socket) = (event.token().0 / 2, event.token().0 % 2);
            let Some(socket) = self
                .ports
                .get_mut(port)
                .and_then(|port| port.sockets_mut().get_mut(socket))
            else {
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
                label,
                ordered,
                slot,
                reply,
            } => {
                self.make(
                    reply,
                    now,
                    Some(slot),
                    |port, ingredients, flow, reports| {
                        Conn::offer(label, ordered, port, ingredients, flow, reports, now)
                    },
                );
            }
            Command::Answer { offer, reply } => {
                self.make(reply, now, None, |port, ingredients, flow, reports| {
                    Conn::answer(&offer, port, ingredients, flow, reports, now)
                });
            }
            Command::SetRemote { conn, answer } => {
                self.table.act(conn, &mut self.ports, now, |conn, _| {
                    conn.set_remote(&answer, now)
                })
            }
            Command::AddCandidate { conn, candidate } => {
                self.table.act(conn, &mut self.ports, now, |conn, _| {
                    conn.add_candidate(&candidate);
                    // Tried at once: a peer that cannot reach us first would wait for a timer otherwise.
                    conn.handle_timeout(now);
                });
            }
            Command::Refresh => self.refresh(now),
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
            Flow,
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
        let id = ConnId(self.next_id);
        self.next_id += 1;
        let ingredients = Ingredients {
            crypto: self.crypto.clone(),
            certificate: self.certificate.current(now),
        };
        let bell = self.bell.clone();
        let flow = Flow::new(move || bell.changed(id));
        let (reports, events, facts) = Made::reports();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let (mut conn, sdp) = make(port, ingredients, flow, reports)?;
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
            Ok((conn, sdp, fingerprint))
        }))
        .unwrap_or_else(|_| Err(EngineError::Description("the engine failed on it".into())));
        let (mut conn, sdp, fingerprint) = match made {
            Ok(made) => made,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let ufrag = conn.ufrag();
        self.table.demux.insert(id, ufrag.clone());
        self.table.conns.insert(
            id,
            Entry {
                conn,
                ufrag,
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
        // The stack sets no timer before its clock was moved once.
        self.table
            .act(id, &mut self.ports, now, |conn, _| conn.handle_timeout(now));
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
        let port = Port::bind(
            number,
            self.poll.registry(),
            [Token(2 * index), Token(2 * index + 1)],
        )
        .map_err(EngineError::Bind)?;
        self.ports.push(port);
        Ok(())
    }

    fn refresh(&mut self, now: Instant) {
        let fresh = interfaces::addresses(self.config.loopback);
        let old = std::mem::replace(&mut self.addresses, fresh);
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
            });
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
                    let Some(id) = self.table.demux.find(port, source, datagram) else {
                        tracing::trace!(target: "wire", %source, len = datagram.len(), "datagram for nobody");
                        continue;
                    };
                    self.table.act(id, &mut self.ports, now, |conn, _| {
                        conn.receive(source, destination, datagram, now)
                    });
                }
            }
        }
        let now = Instant::now();
        // Each once a turn: one that is due again at once must not keep the others waiting.
        let later = self.table.timers.split_off(&(now, ConnId(u64::MAX)));
        for (_, id) in std::mem::replace(&mut self.table.timers, later) {
            self.table
                .act(id, &mut self.ports, now, |conn, _| conn.handle_timeout(now));
        }
        self.ports.iter_mut().for_each(Port::flush);
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
        for entry in self.table.conns.values_mut() {
            entry.conn.end(CloseReason::Local, Instant::now());
        }
    }
}

impl Table {
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
                    self.demux.remove(id, &entry.ufrag);
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
}

impl Sink for Outlet<'_> {
    fn send(&mut self, source: IpAddr, destination: SocketAddr, datagram: &[u8], nominated: bool) {
        self.demux.learn(self.id, self.port, destination, nominated);
        self.ports[self.port].send(source, destination, datagram);
    }
}
