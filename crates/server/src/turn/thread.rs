//! The thread of STUN and TURN: sockets in, the machine, sockets out.
//!
//! One turn: sleep until something is due; read one batch from each socket that has some, those that clients use in between; take what connections said;
//! timers; send what came of it. Only sockets that have something are touched, however many there are.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use mio::{Events, Poll, Registry, Token, Waker};
use peerage_proto::turn::server::{
    Config, FiveTuple, Forward, OpenError, Output, RelayId, Server, ToClient, Transport,
};
use peerage_proto::wire::statement::Time;
use peerage_proto::wire::turn::frame_length;
use rand_core::UnwrapErr;
use slab::Slab;
use tokio::sync::watch;

use super::bell::{Bell, Call};
use super::outgoing::{Outgoing, Way};
use super::socket::{Datagram, Receiver, Rest, Socket, most_files};
use super::stats::{self, Shared};
use super::stream::Stream;

const BELL: Token = Token(usize::MAX);
/// Sockets that one turn reads.
const EVENTS: usize = 256;
/// Relays whose batches are read between two batches of clients: all clients come by few sockets.
const RELAYS_BETWEEN: usize = 8;
/// Messages that are read in a row from a socket of clients: the more have been read, the more leave together.
const OF_CLIENTS: usize = 128;
/// The same from a relay's.
const OF_RELAY: usize = 32;
/// Connections whose frames one turn takes.
const CALLS: usize = 64;
/// Octets after which it takes no more of them, so that datagrams get their turn again within a millisecond or two; and for how many a short frame counts: what
/// is answered costs the same however short.
const TAKEN: usize = 128 * 1024;
const FRAME: usize = 256;
/// How old counts may be that others see.
const PUBLISH: Duration = Duration::from_millis(100);

/// The thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    bell: Arc<Bell>,
    stats: Shared,
    start: Option<mpsc::SyncSender<()>>,
    running: watch::Receiver<()>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Makes the thread, which waits for [`Thread::start`].
    pub(super) fn new(config: Config, sockets: Vec<(SocketAddr, Socket)>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(Waker::new(poll.registry(), BELL)?));
        let (start, starting) = mpsc::sync_channel(1);
        let (alive, running) = watch::channel(());
        let stats = Shared::default();
        let listeners = sockets.len();
        let mut entries = Slab::new();
        for (address, socket) in sockets {
            let vacant = entries.vacant_entry();
            let (key, mut entry) = (vacant.key(), Entry::new(socket, Role::Clients(address)));
            entry.socket.register(poll.registry(), Token(key))?;
            vacant.insert(entry);
        }
        let (shared, rung) = (stats.clone(), bell.clone());
        let handle = std::thread::Builder::new()
            .name("peerage-turn".into())
            .spawn(move || {
                if starting.recv().is_err() {
                    return;
                }
                let server = Server::new(config, &mut UnwrapErr(SysRng));
                let sockets = Sockets::new(entries, listeners, most_files() / 4 * 3);
                let driver = Driver::new(poll, rung, server, sockets, shared, alive);
                driver.run();
            })?;
        Ok(Self {
            bell,
            stats,
            start: Some(start),
            running,
            handle: Some(handle),
        })
    }

    pub(super) const fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    pub(super) const fn stats(&self) -> &Shared {
        &self.stats
    }

    pub(super) fn start(&mut self) {
        if let Some(start) = self.start.take() {
            // It waits for nothing else.
            let _ = start.send(());
        }
    }

    /// Until it has ended, which it does not by itself.
    pub(super) async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes with the thread.
        let _ = self.running.changed().await;
    }
}

/// A thread ends within a turn, which takes some milliseconds at most.
impl Drop for Thread {
    fn drop(&mut self) {
        self.start = None;
        self.bell.stop();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

struct Driver {
    poll: Poll,
    bell: Arc<Bell>,
    server: Server,
    sockets: Sockets,
    out: Out,
    stats: Shared,
    /// When they were last copied, and whether something has happened since.
    published: Instant,
    is_stale: bool,
    _running: watch::Sender<()>,
}

/// All sockets.
struct Sockets {
    /// By token; those that clients use come first.
    entries: Slab<Entry>,
    listeners: usize,
    relays: HashMap<RelayId, usize>,
    /// Relays that may have something, each once.
    ready: Vec<usize>,
    /// Open files up to which relays may be opened: the rest is for who signals.
    last: u64,
}

struct Entry {
    socket: Socket,
    role: Role,
    is_ready: bool,
}

#[derive(Clone, Copy)]
enum Role {
    /// Clients send here.
    Clients(SocketAddr),
    /// Peers do.
    Relay(RelayId),
}

/// Where things go.
struct Out {
    datagrams: Outgoing,
    streams: HashMap<FiveTuple, Arc<Stream>>,
    /// Connections that are to be woken.
    told: Vec<Arc<Stream>>,
    /// Data for connections that do not read.
    overflown: u64,
}

impl Driver {
    fn new(
        poll: Poll,
        bell: Arc<Bell>,
        server: Server,
        sockets: Sockets,
        stats: Shared,
        alive: watch::Sender<()>,
    ) -> Self {
        Self {
            poll,
            bell,
            server,
            sockets,
            out: Out {
                datagrams: Outgoing::new(),
                streams: HashMap::new(),
                told: Vec::new(),
                overflown: 0,
            },
            stats,
            published: Instant::now(),
            is_stale: false,
            _running: alive,
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut receiver = Receiver::new();
        let mut turn = Vec::with_capacity(EVENTS);
        while !self.bell.is_stopping() {
            self.wait(&mut events);
            let time = wall_time();
            self.read(&mut receiver, &mut turn, time);
            self.take_calls(time);
            let now = Instant::now();
            if self.server.poll_timeout().is_some_and(|due| due <= now) {
                self.server.handle_timeout(now);
                self.perform(now);
                self.is_stale = true;
            }
            self.out.flush(&self.sockets);
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let now = Instant::now();
        if self.is_stale && now >= self.published + PUBLISH {
            self.publish(now);
        }
        let is_idle = self.sockets.are_idle();
        let timeout = if is_idle && self.bell.sleep() {
            let publish = self.is_stale.then_some(self.published + PUBLISH);
            let due = self.server.poll_timeout().into_iter().chain(publish).min();
            due.map(|due| due.saturating_duration_since(now))
        } else {
            Some(Duration::ZERO)
        };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "cannot wait for sockets");
        }
        self.bell.awake();
        self.is_stale |= !is_idle || !events.is_empty();
        for event in events.iter().filter(|event| event.token() != BELL) {
            self.sockets.set_ready(event.token().0);
        }
    }

    /// Some from each socket that has some.
    fn read(&mut self, receiver: &mut Receiver, turn: &mut Vec<usize>, time: Time) {
        turn.clear();
        turn.append(&mut self.sockets.ready);
        self.read_clients(receiver, time);
        for relays in turn.chunks(RELAYS_BETWEEN) {
            for relay in relays {
                self.read_relay(*relay, receiver);
            }
            if turn.len() > RELAYS_BETWEEN {
                self.read_clients(receiver, time);
            }
        }
    }

    fn read_clients(&mut self, receiver: &mut Receiver, time: Time) {
        for key in 0..self.sockets.listeners {
            let mut read = 0;
            while read < OF_CLIENTS
                && let Some(entry) = self.sockets.entries.get_mut(key)
                && entry.is_ready
                && let Role::Clients(local) = entry.role
            {
                entry.is_ready = entry.socket.receive(receiver) == Rest::Maybe;
                read += receiver.messages().max(1);
                let now = Instant::now();
                for Datagram { from, to, octets } in receiver.datagrams() {
                    if from.port() == 0 {
                        // Nothing could be sent there.
                        continue;
                    }
                    let ip = to.filter(|_| local.ip().is_unspecified());
                    let tuple = FiveTuple {
                        transport: Transport::Udp,
                        local: SocketAddr::new(ip.unwrap_or(local.ip()), local.port()),
                        remote: from,
                    };
                    self.handle_client(tuple, octets, now, time);
                }
            }
        }
    }

    fn read_relay(&mut self, key: usize, receiver: &mut Receiver) {
        let mut read = 0;
        let mut is_ready = true;
        while is_ready
            && read < OF_RELAY
            && let Some(entry) = self.sockets.entries.get_mut(key)
            && let Role::Relay(relay) = entry.role
        {
            is_ready = entry.socket.receive(receiver) == Rest::Maybe;
            entry.is_ready = is_ready;
            read += receiver.messages().max(1);
            let now = Instant::now();
            for Datagram { from, octets, .. } in receiver.datagrams() {
                if let Some(data) = self.server.handle_peer(relay, from, octets, now) {
                    self.out.deliver(&self.sockets, &data);
                }
            }
        }
        if read >= OF_RELAY && is_ready {
            self.sockets.ready.push(key);
        }
    }

    fn handle_client(&mut self, from: FiveTuple, octets: &[u8], now: Instant, time: Time) {
        match self.server.handle_client(from, octets, now, time) {
            Some(Forward::Peer { relay, to, data }) => {
                if let Some(socket) = self.sockets.relays.get(&relay) {
                    let way = Way {
                        socket: *socket,
                        source: None,
                        destination: to,
                    };
                    self.out
                        .datagrams
                        .push(&self.sockets.entries, way, [data, &[], &[]]);
                }
            }
            Some(Forward::Client(data)) => self.out.deliver(&self.sockets, &data),
            None => self.perform(now),
        }
    }

    fn perform(&mut self, now: Instant) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { to, octets } => {
                    let is_known = to.transport != Transport::Udp && self.server.has_allocation(to);
                    self.out.reply(&self.sockets, to, &octets, is_known);
                }
                Output::Open { relay, address } => {
                    let outcome = self.sockets.open(relay, address, self.poll.registry());
                    self.server.handle_opened(relay, outcome, now);
                }
                Output::Close { relay } => {
                    // What it was to send goes first.
                    self.out.datagrams.flush(&self.sockets.entries);
                    self.sockets.close(relay, self.poll.registry());
                }
            }
        }
    }

    /// What some connections said, in the order in which they did.
    fn take_calls(&mut self, time: Time) {
        let now = Instant::now();
        let mut taken = 0;
        for _ in 0..CALLS {
            if taken >= TAKEN {
                break;
            }
            match self.bell.answer() {
                None => break,
                Some(Call::Spoke(stream)) => {
                    let frames = stream.take();
                    let mut rest = &frames[..];
                    self.meet(&stream, now);
                    while let Ok(Some(length)) = frame_length(rest)
                        && let Some((frame, after)) = rest.split_at_checked(length)
                    {
                        self.handle_client(stream.tuple, frame, now, time);
                        taken += length.max(FRAME);
                        rest = after;
                    }
                    // It may wait to hand over more.
                    self.out.tell(&stream);
                }
                Some(Call::Quiet(stream)) => {
                    if !self.server.has_allocation(stream.tuple) {
                        stream.close();
                        self.out.tell(&stream);
                    }
                }
                Some(Call::Ended(stream)) => {
                    // Unless another one has the same addresses by now, and has spoken already.
                    let streams = &mut self.out.streams;
                    let held = streams.get(&stream.tuple);
                    if held.is_some_and(|held| Arc::ptr_eq(held, &stream)) {
                        streams.remove(&stream.tuple);
                        self.server.handle_closed(stream.tuple);
                        self.perform(now);
                    }
                }
            }
        }
    }

    /// What goes to these addresses goes by this connection from now on.
    fn meet(&mut self, stream: &Arc<Stream>, now: Instant) {
        let streams = &mut self.out.streams;
        let held = streams.get(&stream.tuple);
        if held.is_some_and(|held| Arc::ptr_eq(held, stream)) {
            return;
        }
        if streams.insert(stream.tuple, stream.clone()).is_some() {
            // One that had them before is over, and has not said so yet. What it had is not this client's.
            self.server.handle_closed(stream.tuple);
            self.perform(now);
        }
    }

    fn publish(&mut self, now: Instant) {
        (self.published, self.is_stale) = (now, false);
        let lost = self.out.datagrams.lost();
        stats::lock(&self.stats).update(self.server.stats(), lost, self.out.overflown);
    }
}

impl Sockets {
    fn new(entries: Slab<Entry>, listeners: usize, last: u64) -> Self {
        Self {
            entries,
            listeners,
            relays: HashMap::new(),
            ready: Vec::new(),
            last,
        }
    }

    fn are_idle(&self) -> bool {
        let listeners = (0..self.listeners).filter_map(|key| self.entries.get(key));
        self.ready.is_empty() && listeners.into_iter().all(|entry| !entry.is_ready)
    }

    fn set_ready(&mut self, key: usize) {
        if let Some(entry) = self.entries.get_mut(key)
            && !std::mem::replace(&mut entry.is_ready, true)
            && key >= self.listeners
        {
            self.ready.push(key);
        }
    }

    fn open(
        &mut self,
        relay: RelayId,
        address: SocketAddr,
        registry: &Registry,
    ) -> Result<(), OpenError> {
        let vacant = self.entries.vacant_entry();
        let key = vacant.key();
        let opened = Socket::bind(address, None).and_then(|mut socket| {
            socket.register(registry, Token(key))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) if socket.number() > self.last => {
                tracing::debug!("no relay is opened: too few files are left to be opened");
                Err(OpenError::Failed)
            }
            Ok(socket) => {
                vacant.insert(Entry::new(socket, Role::Relay(relay)));
                self.relays.insert(relay, key);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(OpenError::Taken),
            Err(error) => {
                tracing::debug!(%error, %address, "cannot open a relay's socket");
                Err(OpenError::Failed)
            }
        }
    }

    fn close(&mut self, relay: RelayId, registry: &Registry) {
        if let Some(key) = self.relays.remove(&relay)
            && let Some(mut entry) = self.entries.try_remove(key)
        {
            entry.socket.deregister(registry);
            if entry.is_ready {
                self.ready.retain(|ready| *ready != key);
            }
        }
    }

    /// By which socket a client is answered, and from which address where it has several.
    fn way_to(&self, client: FiveTuple) -> Option<Way> {
        (0..self.listeners).find_map(|key| {
            let Role::Clients(at) = self.entries.get(key)?.role else {
                return None;
            };
            let is_wildcard = at.ip().is_unspecified();
            let same_family = at.is_ipv4() == client.local.is_ipv4();
            let is_ours = at == client.local || (is_wildcard && same_family);
            (is_ours && at.port() == client.local.port()).then_some(Way {
                socket: key,
                source: is_wildcard.then_some(client.local.ip()),
                destination: client.remote,
            })
        })
    }
}

impl Entry {
    /// What came before it was registered gives an event too.
    const fn new(socket: Socket, role: Role) -> Self {
        Self {
            socket,
            role,
            is_ready: false,
        }
    }
}

impl AsRef<Socket> for Entry {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl Out {
    fn deliver(&mut self, sockets: &Sockets, data: &ToClient<'_>) {
        let parts = [data.head(), data.data(), data.filling()];
        if data.to.transport == Transport::Udp {
            if let Some(way) = sockets.way_to(data.to) {
                self.datagrams.push(&sockets.entries, way, parts);
            }
        } else if let Some(stream) = self.streams.get(&data.to).cloned() {
            match stream.push(parts) {
                Ok(()) => self.tell(&stream),
                Err(_) => self.overflown += 1,
            }
        }
    }

    fn reply(&mut self, sockets: &Sockets, to: FiveTuple, octets: &[u8], is_known: bool) {
        if to.transport == Transport::Udp {
            if let Some(way) = sockets.way_to(to) {
                self.datagrams
                    .push(&sockets.entries, way, [octets, &[], &[]]);
            }
        } else if let Some(stream) = self.streams.get(&to).cloned() {
            if stream.answer(octets, is_known).is_err() {
                tracing::debug!(client = %to.remote, "a connection is closed that does not read its answers");
            }
            self.tell(&stream);
        }
    }

    fn tell(&mut self, stream: &Arc<Stream>) {
        if stream.list() {
            self.told.push(stream.clone());
        }
    }

    fn flush(&mut self, sockets: &Sockets) {
        self.datagrams.flush(&sockets.entries);
        for stream in self.told.drain(..) {
            stream.wake();
        }
    }
}

fn wall_time() -> Time {
    // Before 1970 nothing has expired.
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    Time(passed.unwrap_or_default().as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use peerage_proto::turn::credentials::Key;
    use peerage_proto::wire::stun::{
        self, Builder, Class, Message, Method, TransactionId, attribute as stun_attribute,
    };
    use peerage_proto::wire::turn::attribute;

    use super::*;

    const CLIENT: &str = "192.0.2.7:5000";

    fn driver() -> Driver {
        let poll = Poll::new().unwrap();
        let bell = Arc::new(Bell::new(Waker::new(poll.registry(), BELL).unwrap()));
        let localhost = std::net::Ipv4Addr::LOCALHOST.into();
        let config = Config {
            realm: "test".to_owned(),
            secret: "sesame".parse().unwrap(),
            relay_v4: Some(peerage_proto::turn::server::Relay {
                bind: localhost,
                external: localhost,
            }),
            relay_v6: None,
            own: Vec::new(),
            ports: 1_024..=65_535,
            user_quota: 1,
            address_quota: None,
            total_quota: 1,
            bandwidth: None,
            peers: peerage_proto::turn::peers::Peers::default(),
        };
        let server = Server::new(config, &mut UnwrapErr(SysRng));
        let sockets = Sockets::new(Slab::new(), 0, u64::MAX);
        let alive = watch::channel(()).0;
        Driver::new(poll, bell, server, sockets, Shared::default(), alive)
    }

    fn stream(remote: &str) -> Arc<Stream> {
        Arc::new(Stream::new(FiveTuple {
            transport: Transport::Tcp,
            local: "192.0.2.1:3478".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }))
    }

    fn request(method: Method) -> Builder {
        Builder::new(Class::Request, method, TransactionId([7; 12]))
    }

    fn written(stream: &Stream) -> Vec<u8> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut octets = Vec::new();
        let _ = stream.poll_take(&mut context, &mut octets);
        octets
    }

    impl Driver {
        fn say(&mut self, stream: &Arc<Stream>, frames: Vec<u8>) {
            stream.hand_over(frames);
            self.bell.call(Call::Spoke(stream.clone()));
        }

        fn ask(&mut self, stream: &Arc<Stream>, request: Builder) -> Vec<u8> {
            self.say(stream, request.finish());
            self.take_calls(wall_time());
            written(stream)
        }

        fn allocate(&mut self, stream: &Arc<Stream>) {
            assert_eq!(self.refusal(stream), None);
        }

        /// Of an allocation; none when it is made.
        fn refusal(&mut self, stream: &Arc<Stream>) -> Option<u16> {
            let made = "sesame"
                .parse::<peerage_proto::turn::credentials::Secret>()
                .unwrap()
                .mint(Some("ann"), wall_time().after(Duration::from_secs(60)));
            let allocate =
                || request(Method::ALLOCATE).put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            let refused = self.ask(stream, allocate());
            let nonce = Message::parse(&refused)
                .unwrap()
                .attribute(stun::attribute::NONCE)
                .unwrap()
                .to_vec();
            let signed = allocate()
                .put(stun_attribute::USERNAME, made.username.as_bytes())
                .put(stun_attribute::REALM, b"test")
                .put(stun_attribute::NONCE, &nonce)
                .sign(Key::new(&made.username, "test", &made.password).as_bytes());
            let answer = self.ask(stream, signed);
            let answer = Message::parse(&answer).unwrap();
            answer.error().map(|(code, _)| code)
        }
    }

    #[test]
    fn of_the_silent_only_who_has_no_allocation_is_closed() {
        let mut driver = driver();
        let (client, stranger) = (stream(CLIENT), stream("192.0.2.8:5000"));
        driver.allocate(&client);
        for one in [&client, &stranger] {
            driver.bell.call(Call::Quiet(one.clone()));
        }
        driver.take_calls(wall_time());
        assert!(!client.is_closing());
        assert!(stranger.is_closing());
    }

    #[test]
    fn relays_leave_open_files_to_who_signals() {
        let mut driver = driver();
        let client = stream(CLIENT);
        driver.sockets.last = 0;
        assert_eq!(driver.refusal(&client), Some(508));
        driver.sockets.last = u64::MAX;
        assert_eq!(driver.refusal(&client), None);
    }

    #[test]
    fn a_turn_takes_so_much_of_what_connections_say_and_the_rest_later() {
        let mut driver = driver();
        let hello = request(Method::BINDING).finish();
        let many: Vec<_> = (0..CALLS)
            .map(|port| stream(&format!("192.0.2.7:{}", 5000 + port)))
            .collect();
        for stream in &many {
            driver.say(stream, hello.repeat(200));
        }
        driver.take_calls(wall_time());
        let answered = driver.server.stats().bindings as usize;
        assert!(
            answered > 0 && answered <= TAKEN / FRAME + 200,
            "{answered}"
        );
        for _ in 0..CALLS {
            driver.take_calls(wall_time());
        }
        assert_eq!(driver.server.stats().bindings as usize, 200 * CALLS);
    }

    #[test]
    fn a_connection_gets_nothing_of_one_that_had_its_addresses_before_and_loses_nothing_to_it() {
        let mut driver = driver();
        let (old, new) = (stream(CLIENT), stream(CLIENT));
        driver.allocate(&old);
        assert!(driver.server.has_allocation(old.tuple) && old.is_known());
        // The old one ends, but says so late.
        let answer = driver.ask(&new, request(Method::BINDING));
        assert_eq!(Message::parse(&answer).unwrap().error(), None);
        assert!(!driver.server.has_allocation(new.tuple) && !new.is_known());
        driver.allocate(&new);
        driver.bell.call(Call::Ended(old));
        driver.take_calls(wall_time());
        assert!(driver.server.has_allocation(new.tuple));
        assert_eq!(driver.ask(&new, request(Method::BINDING)).len(), 32);
        driver.bell.call(Call::Ended(new.clone()));
        driver.take_calls(wall_time());
        assert!(!driver.server.has_allocation(new.tuple) && driver.out.streams.is_empty());
    }
}
