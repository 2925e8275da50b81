//! A STUN and TURN server (RFC 8489, RFC 8656) without sockets: relays UDP for clients that come by UDP, TCP or TLS.
//!
//! The shell hands in what came ([`Server::handle_client`], [`Server::handle_peer`]) and sends what it gets back: data at once, as a borrowed value and
//! without a copy; answers, and sockets to be opened and closed, by [`Server::poll_output`].
//!
//! Who asks has [credentials that expire](super::credentials); they are looked at with every request. Nothing is kept for who has shown none: nonces prove
//! themselves, and what is answered to forged addresses is bounded ([`Config`] has the limits that can be set). Which peers may be spoken with says
//! [`Peers`], once for a permission and again, as to the port, for each datagram to one of our own addresses.
//!
//! Not spoken: TCP to peers (RFC 6062, refused with 442), MESSAGE-INTEGRITY-SHA256, user names as hashes, mobility.

mod allocation;
mod chance;
mod ports;
mod refusal;
mod replies;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use rand_core::CryptoRng;

use super::credentials::Secret;
use super::peers::Peers;
use crate::wire::forwarded::Household;
use crate::wire::statement::Time;
use crate::wire::stun::{self, Class, Message, Method, TransactionId};
use crate::wire::turn::{self, Channel, attribute};

use allocation::{Allocation, Leg};
use chance::Chance;
use ports::Ports;
pub use refusal::Refusal;
use replies::Replies;

/// What a [`Server`] is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The realm of all users.
    pub realm: String,
    /// What credentials are checked by.
    pub secret: Secret,
    /// Where peers are spoken with by IPv4; none: not at all.
    pub relay_v4: Option<Relay>,
    /// The same by IPv6.
    pub relay_v6: Option<Relay>,
    /// All addresses of this machine, as it and others see them: no peers, but for the ports of live relays.
    pub own: Vec<IpAddr>,
    /// Ports of relays, in each family.
    pub ports: RangeInclusive<u16>,
    /// Allocations at a time of one user: of one name behind the expiry. One more is refused with 486.
    pub user_quota: usize,
    /// Allocations at a time of one address, an IPv6 /64 counting as one. The same.
    pub address_quota: Option<usize>,
    /// Allocations at a time in all. The same. An address has no more than are free at the time: alone it comes to half of all.
    pub total_quota: usize,
    /// Octets a second that one allocation may carry, each way; 64 KiB at least may go at once. What is more is dropped, as a slow line would.
    pub bandwidth: Option<u32>,
    /// Whom relays may speak with.
    pub peers: Peers,
}

/// Where relays are, in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The address that sockets are bound to.
    pub bind: IpAddr,
    /// The address that peers see: the same, unless a translator of addresses (one to one) stands before this machine.
    pub external: IpAddr,
}

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream within TLS.
    Tls,
}

impl Transport {
    const fn is_stream(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// A client, as the standard tells clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiveTuple {
    /// By what.
    pub transport: Transport,
    /// Our address, as the client used it: answers leave from there.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
}

/// Every datagram of a client is hashed: in as few pieces as its addresses allow.
impl Hash for FiveTuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.local.port()) << 16 | u64::from(self.remote.port());
        state.write_u64((self.transport as u64) << 32 | ports);
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                state.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
            }
            (local, remote) => {
                local.hash(state);
                remote.hash(state);
            }
        }
    }
}

/// Names a relay's socket; never used for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(u64);

impl RelayId {
    fn new(slot: usize, is_v6: bool, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | (slot as u64) << 1 | u64::from(is_v6))
    }

    fn slot(self) -> usize {
        (self.0 as u32 >> 1) as usize
    }

    fn family(self) -> usize {
        (self.0 & 1) as usize
    }
}

impl fmt::Debug for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayId({:x})", self.0)
    }
}

/// Data to be sent on, at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forward<'a> {
    /// To a peer, from a relay's socket.
    Peer {
        /// Which socket.
        relay: RelayId,
        /// Where to.
        to: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// To another client: the peer is one of our own relays.
    Client(ToClient<'a>),
}

/// Data for a client: head, data and filling are to be sent as one datagram, or one after the other on its stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToClient<'a> {
    /// Which.
    pub to: FiveTuple,
    head: [u8; MAX_HEAD],
    head_length: u8,
    filling: u8,
    data: &'a [u8],
}

/// Octets of a Data indication before its data, with an IPv6 address.
const MAX_HEAD: usize = stun::HEADER + 24 + 4;

impl<'a> ToClient<'a> {
    /// What comes first.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_length.into()]
    }

    /// The peer's data.
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// What comes last: zeros, fewer than four.
    #[must_use]
    pub fn filling(&self) -> &'static [u8] {
        &[0; 3][..self.filling.into()]
    }

    /// Octets of all three.
    #[must_use]
    pub fn length(&self) -> usize {
        usize::from(self.head_length) + self.data.len() + usize::from(self.filling)
    }
}

/// What the shell is to do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Send these octets to a client.
    Reply {
        /// Which.
        to: FiveTuple,
        /// One message.
        octets: Vec<u8>,
    },
    /// Open a socket there, and say how it went by [`Server::handle_opened`].
    Open {
        /// Its name from now on.
        relay: RelayId,
        /// Where.
        address: SocketAddr,
    },
    /// Close it.
    Close {
        /// Which.
        relay: RelayId,
    },
}

/// Why a relay's socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The port is somebody else's: another one will do.
    Taken,
    /// No port will do.
    Failed,
}

/// What has happened so far. Only ever grows, but for `allocations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Live allocations by UDP, TCP and TLS.
    pub allocations: [usize; 3],
    /// Allocations made so far, in the same order.
    pub allocated: [u64; 3],
    /// Binding requests answered.
    pub bindings: u64,
    /// Requests refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Datagrams of clients sent on.
    pub up: Traffic,
    /// Datagrams of peers sent on.
    pub down: Traffic,
    /// What was neither a message nor channel data.
    pub malformed: u64,
    /// Answers withheld, that might have gone to a forged address too often.
    pub withheld: u64,
    /// Data dropped: no allocation or channel.
    pub homeless: u64,
    /// Data dropped: no permission for the peer.
    pub unpermitted: u64,
    /// Data dropped: one of our own addresses, and no live relay's.
    pub forbidden: u64,
    /// Data dropped: more than [`Config::bandwidth`].
    pub excess: u64,
}

/// Datagrams and their octets, without what TURN adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub datagrams: u64,
    /// Octets.
    pub octets: u64,
}

impl Traffic {
    const fn count(&mut self, octets: usize) {
        self.datagrams += 1;
        self.octets += octets as u64;
    }
}

/// The machine.
pub struct Server {
    config: Config,
    chance: Chance,
    replies: Option<Replies>,
    ports: [Ports; 2],
    /// By the slot in a [`RelayId`].
    slots: Vec<Slot>,
    free: Vec<usize>,
    clients: HashMap<FiveTuple, usize>,
    /// Live relays by the address that peers see.
    externals: HashMap<SocketAddr, RelayId>,
    users: HashMap<Arc<str>, usize>,
    households: HashMap<Household, usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    outputs: VecDeque<Output>,
    indications: u64,
    stats: Stats,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    allocation: Option<Box<Allocation>>,
}

impl Server {
    /// A server without allocations. What must not be guessed is drawn from a generator that must be cryptographically secure.
    pub fn new<R: CryptoRng + ?Sized>(config: Config, rng: &mut R) -> Self {
        let ports = [Ports::new(&config.ports), Ports::new(&config.ports)];
        Self {
            config,
            chance: Chance::new(rng),
            replies: None,
            ports,
            slots: Vec::new(),
            free: Vec::new(),
            clients: HashMap::new(),
            externals: HashMap::new(),
            users: HashMap::new(),
            households: HashMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            indications: 0,
            stats: Stats::default(),
        }
    }

    /// What has happened so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// A client's datagram, or one whole frame of its stream, with or without what fills it up. What is to be sent on at once is the answer; all else comes
    /// by [`Server::poll_output`].
    pub fn handle_client<'a>(
        &mut self,
        from: FiveTuple,
        octets: &'a [u8],
        now: Instant,
        time: Time,
    ) -> Option<Forward<'a>> {
        if octets.first().is_some_and(|first| first & 0xc0 == 0x40) {
            return self.handle_channel_data(from, octets, now);
        }
        let Ok(message) = Message::parse(octets) else {
            self.stats.malformed += 1;
            return None;
        };
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => return self.handle_send(from, &message, now),
            (Class::Request, _) => self.handle_request(from, &message, now, time),
            // Indications are not answered, and we ask for nothing.
            _ => {}
        }
        None
    }

    /// A datagram that came to a relay's socket.
    pub fn handle_peer<'a>(
        &mut self,
        relay: RelayId,
        from: SocketAddr,
        data: &'a [u8],
        now: Instant,
    ) -> Option<ToClient<'a>> {
        let from = SocketAddr::new(from.ip(), from.port());
        let permission = self.permission(relay, from.ip(), now)?;
        if permission.relays_only {
            // What live relays send does not come by sockets.
            self.stats.forbidden += 1;
            return None;
        }
        self.deliver(relay, from, data, now)
    }

    /// A socket that [`Output::Open`] asked for is there, or is not.
    pub fn handle_opened(&mut self, relay: RelayId, outcome: Result<(), OpenError>, now: Instant) {
        self.socket_opened(relay, outcome, now);
    }

    /// A client's connection has ended, and with it what it had.
    pub fn handle_closed(&mut self, client: FiveTuple) {
        if let Some(slot) = self.clients.get(&client) {
            self.remove(*slot);
        }
    }

    /// Whether a client has an allocation, or one in the making.
    #[must_use]
    pub fn has_allocation(&self, client: FiveTuple) -> bool {
        self.clients.contains_key(&client)
    }

    /// When to call [`Server::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Ends allocations whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, slot)) = self.deadlines.first().copied()
            && at <= now
        {
            self.remove(slot);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_channel_data<'a>(
        &mut self,
        from: FiveTuple,
        octets: &'a [u8],
        now: Instant,
    ) -> Option<Forward<'a>> {
        let Some((channel, data)) = turn::channel_data(octets) else {
            self.stats.malformed += 1;
            return None;
        };
        let found = self.clients.get(&from).and_then(|index| {
            let allocation = self.slots[*index].allocation.as_deref()?;
            Some((*index, allocation.peers.peer(channel, now)?))
        });
        let Some((index, peer)) = found else {
            self.stats.homeless += 1;
            return None;
        };
        self.forward(index, peer, data, now)
    }

    /// RFC 8656 section 11.2.
    fn handle_send<'a>(
        &mut self,
        from: FiveTuple,
        message: &Message<'a>,
        now: Instant,
    ) -> Option<Forward<'a>> {
        const KNOWN: [u16; 3] = [
            attribute::XOR_PEER_ADDRESS,
            attribute::DATA,
            attribute::DONT_FRAGMENT,
        ];
        let peer = message.xor_address(attribute::XOR_PEER_ADDRESS);
        let data = message.attribute(attribute::DATA);
        let (Some(peer), Some(data), None) = (peer, data, message.unknown(&KNOWN).next()) else {
            self.stats.malformed += 1;
            return None;
        };
        let Some(index) = self.clients.get(&from).copied() else {
            self.stats.homeless += 1;
            return None;
        };
        self.forward(index, peer, data, now)
    }

    /// From the client in a slot to a peer.
    fn forward<'a>(
        &mut self,
        index: usize,
        peer: SocketAddr,
        data: &'a [u8],
        now: Instant,
    ) -> Option<Forward<'a>> {
        let rate = self.config.bandwidth;
        let is_ours = self.is_external(peer.ip());
        let allocation = self.slots[index].allocation.as_deref_mut();
        let leg = allocation.as_ref().and_then(|allocation| {
            allocation.legs[usize::from(peer.is_ipv6())].filter(|leg| leg.is_open)
        });
        let (Some(allocation), Some(leg)) = (allocation, leg) else {
            self.stats.homeless += 1;
            return None;
        };
        let Some(permission) = allocation.peers.permission(peer.ip(), now) else {
            self.stats.unpermitted += 1;
            return None;
        };
        let relay = is_ours
            .then(|| self.externals.get(&peer).copied())
            .flatten();
        if (relay.is_none() && permission.relays_only) || peer.port() == 0 {
            self.stats.forbidden += 1;
            return None;
        }
        if !allocation.up.take(data.len(), rate, now) {
            self.stats.excess += 1;
            return None;
        }
        self.stats.up.count(data.len());
        match relay {
            None => Some(Forward::Peer {
                relay: leg.relay,
                to: peer,
                data,
            }),
            Some(relay) => {
                self.permission(relay, leg.external.ip(), now)?;
                self.deliver(relay, leg.external, data, now)
                    .map(Forward::Client)
            }
        }
    }

    /// Whether a relay's client wants to hear from an address.
    fn permission(
        &mut self,
        relay: RelayId,
        ip: IpAddr,
        now: Instant,
    ) -> Option<allocation::Permission> {
        let permission = match self.owner(relay) {
            Some((allocation, _)) => allocation.peers.permission(ip, now),
            None => {
                self.stats.homeless += 1;
                return None;
            }
        };
        if permission.is_none() {
            self.stats.unpermitted += 1;
        }
        permission
    }

    /// From a peer, who has permission, to a client.
    fn deliver<'a>(
        &mut self,
        relay: RelayId,
        peer: SocketAddr,
        data: &'a [u8],
        now: Instant,
    ) -> Option<ToClient<'a>> {
        let rate = self.config.bandwidth;
        let indication = self.indications;
        let slot = self.slots.get_mut(relay.slot())?;
        let allocation = slot.allocation.as_deref_mut()?;
        if !allocation.down.take(data.len(), rate, now) {
            self.stats.excess += 1;
            return None;
        }
        let to = allocation.client;
        let forward = match allocation.peers.channel(peer, now) {
            Some(channel) => channel_data(to, channel, data),
            None => {
                self.indications += 1;
                data_indication(to, peer, data, indication)
            }
        };
        match forward {
            Some(_) => self.stats.down.count(data.len()),
            None => self.stats.malformed += 1,
        }
        forward
    }

    /// Whether relays are there.
    fn is_external(&self, ip: IpAddr) -> bool {
        [self.config.relay_v4, self.config.relay_v6]
            .iter()
            .flatten()
            .any(|relay| relay.external == ip)
    }

    /// Whose relay it is, if it still is anybody's.
    fn owner(&self, relay: RelayId) -> Option<(&Allocation, Leg)> {
        let allocation = self.slots.get(relay.slot())?.allocation.as_deref()?;
        let leg = allocation.legs[relay.family()].filter(|leg| leg.relay == relay)?;
        Some((allocation, leg))
    }

    /// Ends an allocation.
    fn remove(&mut self, index: usize) {
        let Some(allocation) = self.slots[index].allocation.take() else {
            return;
        };
        self.slots[index].generation += 1;
        self.free.push(index);
        self.clients.remove(&allocation.client);
        self.deadlines.remove(&(allocation.expires, index));
        for leg in allocation.legs.into_iter().flatten() {
            self.close(leg);
        }
        release(&mut self.users, &allocation.name);
        release(
            &mut self.households,
            &Household::of(allocation.client.remote.ip()),
        );
        if allocation.opening.is_none() {
            self.stats.allocations[allocation.client.transport as usize] -= 1;
        }
    }

    fn close(&mut self, leg: Leg) {
        if leg.is_open {
            self.externals.remove(&leg.external);
            self.outputs.push_back(Output::Close { relay: leg.relay });
        }
        self.ports[leg.relay.family()].free(leg.port);
    }
}

/// Counts one less.
fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// None for what the length field cannot say.
fn channel_data(to: FiveTuple, channel: Channel, data: &[u8]) -> Option<ToClient<'_>> {
    let header = channel.header(data.len().try_into().ok()?);
    let mut head = [0; MAX_HEAD];
    head[..turn::CHANNEL_HEADER].copy_from_slice(&header);
    let filling = if to.transport.is_stream() {
        filling(data)
    } else {
        0
    };
    Some(ToClient {
        to,
        head,
        head_length: turn::CHANNEL_HEADER as u8,
        filling,
        data,
    })
}

/// RFC 8656 section 11.3; none for what the length field cannot say.
fn data_indication(
    to: FiveTuple,
    peer: SocketAddr,
    data: &[u8],
    number: u64,
) -> Option<ToClient<'_>> {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let id = TransactionId(id);
    let (address, address_length) = stun::xor_address(peer, id);
    let filling = filling(data);
    let head_length = stun::HEADER + 4 + address_length + 4;
    let length = head_length - stun::HEADER + data.len() + usize::from(filling);
    let length = u16::try_from(length).ok()?;
    let mut head = [0; MAX_HEAD];
    let mut rest = &mut head[..];
    let parts: [&[u8]; 6] = [
        &stun::header(Class::Indication, Method::DATA, id, length),
        &attribute::XOR_PEER_ADDRESS.to_be_bytes(),
        &(address_length as u16).to_be_bytes(),
        &address[..address_length],
        &attribute::DATA.to_be_bytes(),
        &(data.len() as u16).to_be_bytes(),
    ];
    for part in parts {
        let (to, after) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = after;
    }
    Some(ToClient {
        to,
        head,
        head_length: head_length as u8,
        filling,
        data,
    })
}

fn filling(data: &[u8]) -> u8 {
    (data.len().next_multiple_of(4) - data.len()) as u8
}

/// What may be learned from outside: counts.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Without the data.
impl fmt::Debug for Forward<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer { relay, to, data } => f
                .debug_struct("Peer")
                .field("relay", relay)
                .field("to", to)
                .field("octets", &data.len())
                .finish(),
            Self::Client(to) => to.fmt(f),
        }
    }
}

/// Without the data.
impl fmt::Debug for ToClient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToClient")
            .field("to", &self.to)
            .field("octets", &self.length())
            .finish_non_exhaustive()
    }
}

/// Without what is sent.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { to, octets } => f
                .debug_struct("Reply")
                .field("to", to)
                .field("octets", &octets.len())
                .finish(),
            Self::Open { relay, address } => f
                .debug_struct("Open")
                .field("relay", relay)
                .field("address", address)
                .finish(),
            Self::Close { relay } => f.debug_struct("Close").field("relay", relay).finish(),
        }
    }
}
