//! What STUN and TURN servers give to one port: the addresses that it is seen at, and one allocation, which its connections share.
//!
//! Nothing is asked for before the first connection of the port begins, and nothing kept for long after the last: a device that waits for visitors holds no
//! allocation, and who has not proven anything causes none. UDP is tried first; what does not answer soon has TCP and then TLS tried beside it, and the
//! first allocation is taken.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Registry;
use peerage_proto::turn::client::{Carrier, Client, Config, Error, Output, Received};
use peerage_proto::wire::ice_url::Transport;

use super::ConnId;
use super::demux::PortIndex;
use super::leg::{Leg, State, TurnClient};
use super::outside::{LegId, Outside};
use super::port::Receiver;
use super::record::{Outcomes, stun_url};
use super::servers::{Relay, Servers};
use crate::{ServerOutcome, random};

/// How long one way to the servers has to answer before the next is tried beside it.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same for a server's address of the other family.
const FAMILY_PATIENCE: Duration = Duration::from_millis(200);
/// Wait before a search that found no relay is made again; doubled each time.
const BACKOFF: Duration = Duration::from_secs(5);
/// The longest of these waits.
const MAX_BACKOFF: Duration = Duration::from_secs(120);
/// An allocation that lived this long ended for a reason of its own: the next search is made at once.
const LASTING: Duration = Duration::from_secs(60);
/// Peers' addresses that one connection may have permissions for.
const MAX_PEERS: usize = 64;
/// Allocations under older credentials that are kept for connections which may use them.
const MAX_RETIRED: usize = 2;

pub(super) struct Gatherer {
    port: PortIndex,
    registry: Registry,
    servers: Arc<Servers>,
    policy: Policy,
    /// Connections, and the addresses that each may have to reach.
    conns: BTreeMap<ConnId, Vec<IpAddr>>,
    mappers: Vec<Mapper>,
    legs: Vec<Leg>,
    search: Option<Search>,
    round: u64,
    next_leg: usize,
    /// Searches that found nothing, since one did.
    failures: u32,
    again: Option<Instant>,
    idle_until: Option<Instant>,
    outputs: VecDeque<Action>,
    outcomes: Outcomes,
}

/// What does not change in an engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Whether our own addresses are of no use.
    pub(super) relay_only: bool,
    /// How long what was found is kept after the last connection, for the next one.
    pub(super) linger: Duration,
}

/// Something that others may reach us by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// An address of ours as a server sees it, and the one behind.
    Reflexive {
        address: SocketAddr,
        base: SocketAddr,
    },
    /// An address at a server, and how that is reached.
    Relayed {
        address: SocketAddr,
        transport: Transport,
    },
}

/// What a gatherer wants done.
#[derive(Debug)]
pub(super) enum Action {
    /// To be sent from the port itself.
    Send(SocketAddr, Vec<u8>),
    /// To be told to all connections of the port.
    Found(Found),
    Lost(Found),
}

/// Who tells us one address, over the port itself.
struct Mapper {
    server: SocketAddr,
    client: TurnClient,
    url: String,
    /// Where its last answer arrived.
    base: Option<SocketAddr>,
    found: Option<Found>,
}

/// Looking for a relay.
struct Search {
    resolving: bool,
    /// What is still to be tried, and from when on.
    attempts: VecDeque<(Instant, Attempt)>,
}

enum Attempt {
    Datagrams(SocketAddr, Relay),
    Stream(Relay),
}

impl Gatherer {
    pub(super) fn new(
        port: PortIndex,
        registry: Registry,
        servers: Arc<Servers>,
        policy: Policy,
    ) -> Self {
        Self {
            port,
            registry,
            servers,
            policy,
            conns: BTreeMap::new(),
            mappers: Vec::new(),
            legs: Vec::new(),
            search: None,
            round: 0,
            next_leg: 0,
            failures: 0,
            again: None,
            idle_until: None,
            outputs: VecDeque::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// What came of the servers.
    pub(super) fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// A connection begins. Returns what is known for it already; more comes as [`Action::Found`].
    pub(super) fn join(&mut self, conn: ConnId, outside: &mut Outside, now: Instant) -> Vec<Found> {
        let is_first = self.idle_until.take().is_none() && self.conns.is_empty();
        self.conns.insert(conn, Vec::new());
        let is_searching = self.search.is_some() || self.again.is_some();
        let is_served = self.legs.iter().any(|leg| leg.state == State::Chosen);
        if is_first || !is_searching && !is_served && !self.servers.relays.is_empty() {
            self.begin(outside, now);
        }
        for leg in &mut self.legs {
            if leg.state == State::Chosen {
                leg.client.verify(now);
            }
        }
        let mapped = self.mappers.iter().filter_map(|mapper| mapper.found);
        let chosen = self.legs.iter().filter(|leg| leg.state == State::Chosen);
        mapped.chain(chosen.flat_map(Leg::found)).collect()
    }

    /// A connection is over.
    pub(super) fn leave(&mut self, conn: ConnId, now: Instant) {
        let Some(peers) = self.conns.remove(&conn) else {
            return;
        };
        for leg in &mut self.legs {
            for peer in &peers {
                leg.client.forget(*peer);
            }
        }
        if self.conns.is_empty() {
            self.idle_until = Some(now + self.policy.linger);
        }
    }

    /// A connection has to reach this address, perhaps through a relay.
    pub(super) fn permit(&mut self, conn: ConnId, peer: IpAddr, now: Instant) {
        let Some(peers) = self.conns.get_mut(&conn) else {
            return;
        };
        if peers.contains(&peer) {
            return;
        }
        if peers.len() >= MAX_PEERS {
            // Where the peer was longest ago.
            peers.remove(0);
        }
        peers.push(peer);
        for leg in &mut self.legs {
            leg.client.permit(peer, now);
        }
        self.pump(now);
    }

    /// The machine's addresses are others: what servers say of them is asked anew, and allocations may not be ours any more.
    pub(super) fn moved(&mut self, now: Instant) {
        self.failures = 0;
        for mapper in &mut self.mappers {
            mapper.ask_anew(now);
            mapper.pump(&mut self.outputs, &self.outcomes);
        }
        for leg in &mut self.legs {
            leg.client.verify(now);
        }
        self.pump(now);
    }

    /// Other servers, or other credentials. What connections use by the old ones goes on while the server lets it.
    pub(super) fn set_servers(
        &mut self,
        servers: Arc<Servers>,
        outside: &mut Outside,
        now: Instant,
    ) {
        if *self.servers == *servers {
            return;
        }
        self.servers = servers;
        if self.conns.is_empty() && self.idle_until.is_none() {
            return;
        }
        let old = |leg: &Leg| matches!(leg.state, State::Chosen | State::Retired);
        let excess = self.legs.iter().filter(|leg| old(leg)).count();
        let mut excess = excess.saturating_sub(MAX_RETIRED);
        for leg in &mut self.legs {
            match leg.state {
                State::Chosen | State::Retired if excess == 0 => leg.state = State::Retired,
                State::Chosen | State::Retired => {
                    excess -= 1;
                    self.outputs.extend(leg.found().map(Action::Lost));
                    leg.leave(now);
                }
                State::Tried | State::Leaving => leg.leave(now),
            }
        }
        self.failures = 0;
        self.begin(outside, now);
    }

    /// Whether data for peers leaves by this address.
    pub(super) fn send(
        &mut self,
        source: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
        nominated: bool,
        now: Instant,
    ) -> bool {
        let by_it = |leg: &&mut Leg| leg.relays.contains(&source);
        let Some(leg) = self.legs.iter_mut().find(by_it) else {
            return false;
        };
        leg.send(peer, data, nominated, now);
        // A channel may have been asked for.
        while let Some(octets) = leg.client.poll_send() {
            leg.transmit(octets);
        }
        true
    }

    /// Whether a datagram at the port itself was a server's answer.
    pub(super) fn takes(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        octets: &[u8],
        now: Instant,
    ) -> bool {
        let Some(mapper) = self
            .mappers
            .iter_mut()
            .find(|mapper| mapper.server == source)
        else {
            return false;
        };
        if mapper.client.handle_datagram(octets, now) != Received::Taken {
            return false;
        }
        mapper.base = Some(destination);
        mapper.pump(&mut self.outputs, &self.outcomes);
        true
    }

    /// Legs that have something to read, by their place in the list.
    pub(super) fn readable(&self) -> impl Iterator<Item = usize> + use<> {
        let readable: Vec<_> = (0..self.legs.len())
            .filter(|at| self.legs[*at].is_readable())
            .collect();
        readable.into_iter()
    }

    pub(super) fn is_readable(&self) -> bool {
        self.legs.iter().any(Leg::is_readable)
    }

    pub(super) fn receive(&mut self, leg: usize, receiver: &mut Receiver) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.receive(receiver);
        }
    }

    /// What came at a leg's own socket: a peer's data, with the relay that it was sent to and who sent it.
    pub(super) fn received<'a>(
        &mut self,
        leg: usize,
        source: SocketAddr,
        octets: &'a [u8],
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
        self.legs.get_mut(leg)?.received(Some(source), octets, now)
    }

    /// The same for a frame of a leg's connection.
    pub(super) fn framed<'a>(
        &mut self,
        leg: LegId,
        octets: &'a [u8],
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
        self.leg(leg)?.received(None, octets, now)
    }

    pub(super) fn conns(&self) -> Vec<ConnId> {
        self.conns.keys().copied().collect()
    }

    pub(super) fn leg(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// The addresses of the servers in [`Servers::mappers`] and then of those over UDP in [`Servers::relays`].
    pub(super) fn resolved(&mut self, round: u64, found: Vec<Vec<SocketAddr>>, now: Instant) {
        let Some(search) = self.search.as_mut().filter(|_| round == self.round) else {
            return;
        };
        search.resolving = false;
        let mut found = found.into_iter();
        let named = self.servers.mappers.iter().zip(found.by_ref());
        for ((host, port), addresses) in named {
            let url = stun_url(host, *port);
            if addresses.is_empty() {
                self.outcomes.set(&url, not_found());
            }
            for server in one_of_each_family(&addresses) {
                let is_known = self.mappers.iter().any(|mapper| mapper.server == server);
                if !is_known && !self.policy.relay_only {
                    self.mappers.push(Mapper::new(server, url.clone(), now));
                }
            }
        }
        let over_udp = self.servers.relays.iter().filter(|relay| relay.is_udp());
        let mut first = Vec::new();
        for (relay, addresses) in over_udp.zip(found) {
            if addresses.is_empty() {
                self.outcomes.set(&relay.url.to_string(), not_found());
            }
            for (index, server) in one_of_each_family(&addresses).enumerate() {
                let at = now + FAMILY_PATIENCE * index as u32;
                first.push((at, Attempt::Datagrams(server, relay.clone())));
            }
        }
        first.sort_by_key(|(at, _)| *at);
        for attempt in first.into_iter().rev() {
            search.attempts.push_front(attempt);
        }
    }

    pub(super) fn connected(
        &mut self,
        leg: LegId,
        outgoing: tokio::sync::mpsc::Sender<Vec<u8>>,
        now: Instant,
    ) {
        if let Some(leg) = self.leg(leg) {
            leg.connected(outgoing, now);
        }
    }

    pub(super) fn closed(&mut self, leg: LegId, error: &std::io::Error, now: Instant) {
        if let Some(at) = self.legs.iter().position(|other| other.id == leg) {
            tracing::debug!(%error, transport = ?self.legs[at].transport, "no connection to a TURN server");
            self.note_failure(at, error.to_string());
            self.lose(at, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, outside: &mut Outside, now: Instant) {
        for mapper in &mut self.mappers {
            mapper.client.handle_timeout(now);
            mapper.pump(&mut self.outputs, &self.outcomes);
        }
        for leg in &mut self.legs {
            leg.client.handle_timeout(now);
        }
        self.pump(now);
        if self.idle_until.is_some_and(|until| now >= until) {
            self.stop(now);
        }
        if self.again.is_some_and(|again| now >= again) {
            self.begin(outside, now);
        }
        self.go_on(outside, now);
    }

    pub(super) fn poll_output(&mut self) -> Option<Action> {
        self.outputs.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let mappers = self.mappers.iter().map(|mapper| &mapper.client);
        let clients = mappers.chain(self.legs.iter().map(|leg| &leg.client));
        let attempt = self.search.as_ref().and_then(|search| {
            let (at, _) = search.attempts.front()?;
            (!self.is_promising()).then_some(*at)
        });
        clients
            .filter_map(Client::poll_timeout)
            .chain([attempt, self.again, self.idle_until].into_iter().flatten())
            .min()
    }

    pub(super) fn flush(&mut self) {
        self.legs
            .iter_mut()
            .filter_map(Leg::socket)
            .for_each(|socket| socket.flush());
    }

    /// The engine ends: allocations are given back at once.
    pub(super) fn stop(&mut self, now: Instant) {
        self.idle_until = None;
        self.again = None;
        self.search = None;
        self.round += 1;
        self.mappers.clear();
        for leg in &mut self.legs {
            leg.leave(now);
        }
        self.pump(now);
    }

    fn begin(&mut self, outside: &mut Outside, now: Instant) {
        self.again = None;
        if self.policy.relay_only && self.servers.relays.is_empty() {
            tracing::warn!("no server offers a relay, and nothing else is to be used");
        }
        if self.servers.is_empty() {
            self.search = None;
            return;
        }
        self.round += 1;
        self.outcomes.begin(&self.servers);
        let over_udp = self.servers.relays.iter().filter(|relay| relay.is_udp());
        let names: Vec<_> = over_udp
            .map(|relay| (relay.url.host.clone(), relay.url.port))
            .collect();
        let mut at = now;
        let mut last = names.first().map(|_| Transport::Udp);
        let mut attempts = VecDeque::new();
        for relay in self.servers.relays.iter().filter(|relay| !relay.is_udp()) {
            if last
                .replace(relay.url.transport)
                .is_some_and(|last| last != relay.url.transport)
            {
                at += PATIENCE;
            }
            attempts.push_back((at, Attempt::Stream(relay.clone())));
        }
        let wanted = [self.servers.mappers.clone(), names].concat();
        self.search = Some(Search {
            resolving: !wanted.is_empty(),
            attempts,
        });
        if !wanted.is_empty() {
            outside.resolve(self.port, self.round, wanted);
        }
    }

    /// Begins what is due in a search, and ends one that has nothing left.
    fn go_on(&mut self, outside: &mut Outside, now: Instant) {
        loop {
            let is_promising = self.is_promising();
            let any_tried = self.legs.iter().any(|leg| leg.state == State::Tried);
            let Some(search) = &mut self.search else {
                return;
            };
            let due = match search.attempts.front() {
                Some((at, _)) => !is_promising && (*at <= now || !any_tried && !search.resolving),
                None if any_tried || search.resolving => false,
                None => {
                    self.search = None;
                    if self.servers.relays.is_empty() {
                        return;
                    }
                    let wait = BACKOFF * 2_u32.saturating_pow(self.failures.min(8));
                    self.failures += 1;
                    self.again = Some(now + wait.min(MAX_BACKOFF));
                    if self.policy.relay_only {
                        tracing::warn!("no relay to be had, and nothing else is to be used");
                    } else {
                        tracing::info!("no relay to be had: connections are direct, or none");
                    }
                    return;
                }
            };
            if !due {
                return;
            }
            if let Some((_, attempt)) = search.attempts.pop_front() {
                self.attempt(attempt, outside, now);
            }
        }
    }

    fn attempt(&mut self, attempt: Attempt, outside: &mut Outside, now: Instant) {
        let id = LegId::new(self.port, self.next_leg);
        self.next_leg += 1;
        let (Attempt::Datagrams(_, relay) | Attempt::Stream(relay)) = &attempt;
        let url = relay.url.to_string();
        self.outcomes.set(&url, ServerOutcome::NoAnswer);
        let mut leg = match attempt {
            Attempt::Datagrams(server, relay) => {
                match Leg::datagrams(id, url, server, relay.credentials, &self.registry, now) {
                    Ok(leg) => leg,
                    Err(error) => return tracing::debug!(%error, "no socket for a TURN server"),
                }
            }
            Attempt::Stream(relay) => {
                let transport = relay.url.transport;
                outside.connect(id, relay.url);
                Leg::stream(id, url, transport, relay.credentials, now)
            }
        };
        for peer in self.conns.values().flatten() {
            leg.client.permit(*peer, now);
        }
        self.legs.push(leg);
        self.pump(now);
    }

    /// Whether one that is tried has answered: then no other is begun.
    fn is_promising(&self) -> bool {
        self.legs
            .iter()
            .any(|leg| leg.state == State::Tried && leg.client.is_heard())
    }

    /// Carries out what the legs' machines want.
    pub(super) fn pump(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(leg) = self.legs.get_mut(at) {
            match leg.client.poll_output() {
                Some(Output::Send(octets)) => leg.transmit(octets),
                Some(Output::Allocated(relays)) if leg.state == State::Tried => {
                    leg.relays = relays;
                    leg.since = now;
                    self.choose(at, now);
                }
                // Too late.
                Some(Output::Allocated(_)) => leg.leave(now),
                Some(Output::Failed(error)) => {
                    report(leg, &error);
                    self.note_failure(at, error.to_string());
                    self.lose(at, now);
                }
                Some(Output::Refused(peer, code)) => {
                    tracing::info!(%peer, code, "the TURN server does not relay to an address");
                }
                Some(Output::Mapped(_) | Output::Unmapped(_)) => {}
                None if leg.is_over() => drop(self.legs.swap_remove(at)),
                None => at += 1,
            }
        }
    }

    fn note_failure(&self, at: usize, why: String) {
        if let Some(leg) = self.legs.get(at).filter(|leg| leg.state != State::Leaving) {
            self.outcomes.set(&leg.url, ServerOutcome::Failed(why));
        }
    }

    fn choose(&mut self, chosen: usize, now: Instant) {
        self.search = None;
        let leg = &self.legs[chosen];
        if let Some(relay) = leg.relays.first() {
            self.outcomes.set(&leg.url, ServerOutcome::Lends(*relay));
        }
        for (at, leg) in self.legs.iter_mut().enumerate() {
            if at == chosen {
                leg.state = State::Chosen;
                self.outputs.extend(leg.found().map(Action::Found));
            } else if leg.state == State::Tried {
                leg.leave(now);
            }
        }
    }

    /// A leg's allocation, or the way to it, is no more.
    fn lose(&mut self, at: usize, now: Instant) {
        let leg = self.legs.swap_remove(at);
        self.outputs.extend(leg.found().map(Action::Lost));
        if leg.state != State::Chosen {
            return;
        }
        if now.saturating_duration_since(leg.since) >= LASTING {
            self.failures = 0;
        }
        if self.conns.is_empty() {
            return;
        }
        let wait = match self.failures {
            0 => Duration::ZERO,
            failures => BACKOFF * 2_u32.saturating_pow(failures.min(8) - 1),
        };
        self.failures += 1;
        self.again = Some(now + wait.min(MAX_BACKOFF));
    }
}

impl Leg {
    fn found(&self) -> impl Iterator<Item = Found> + use<> {
        let transport = self.transport;
        let is_there = matches!(self.state, State::Chosen | State::Retired);
        let relays = if is_there {
            self.relays.clone()
        } else {
            Vec::new()
        };
        relays
            .into_iter()
            .map(move |address| Found::Relayed { address, transport })
    }

    /// Gives back what there may be.
    fn leave(&mut self, now: Instant) {
        if self.state != State::Leaving {
            self.state = State::Leaving;
            self.relays.clear();
            self.client.delete(now);
        }
    }

    /// Whether there is nothing more to do. A connection that is closed takes its allocation along.
    fn is_over(&self) -> bool {
        self.state == State::Leaving && (self.transport != Transport::Udp || self.client.is_idle())
    }
}

impl Relay {
    fn is_udp(&self) -> bool {
        self.url.transport == Transport::Udp
    }
}

impl Mapper {
    fn new(server: SocketAddr, url: String, now: Instant) -> Self {
        let mut mapper = Self {
            server,
            url,
            client: Client::new(Config::new(Carrier::Datagrams), random::os()),
            base: None,
            found: None,
        };
        mapper.client.learn_mapping(now);
        mapper
    }

    fn ask_anew(&mut self, now: Instant) {
        self.client = Client::new(Config::new(Carrier::Datagrams), random::os());
        self.client.learn_mapping(now);
    }

    fn pump(&mut self, outputs: &mut VecDeque<Action>, outcomes: &Outcomes) {
        while let Some(output) = self.client.poll_output() {
            if let Output::Mapped(address) = output {
                outcomes.set(&self.url, ServerOutcome::Sees(address));
            }
            let found = match (output, self.base) {
                (Output::Send(octets), _) => {
                    outputs.push_back(Action::Send(self.server, octets));
                    continue;
                }
                // Without a NAT it is the host's own, which is told anyway.
                (Output::Mapped(address), Some(base)) if address != base => {
                    Some(Found::Reflexive { address, base })
                }
                _ => None,
            };
            if found != self.found {
                outputs.extend(self.found.take().map(Action::Lost));
                outputs.extend(found.map(Action::Found));
                self.found = found;
            }
        }
    }
}

fn not_found() -> ServerOutcome {
    ServerOutcome::Failed("its name has no address".into())
}

fn one_of_each_family(addresses: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
    let four = addresses.iter().find(|address| address.is_ipv4());
    let six = addresses.iter().find(|address| address.is_ipv6());
    four.into_iter().chain(six).copied()
}

fn report(leg: &Leg, error: &Error) {
    match leg.state {
        State::Chosen | State::Retired => {
            tracing::info!(%error, transport = ?leg.transport, "a relay is lost");
        }
        State::Tried => tracing::info!(%error, transport = ?leg.transport, "no relay"),
        State::Leaving => {}
    }
}
