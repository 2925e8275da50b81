//! One client at one server, over one pair of addresses: which address the server sees it at (STUN), and an address there that stands for it (TURN).
//!
//! Tell [`Client`] what is wanted, hand it what comes from the server, drain [`Client::poll_output`] to `None`, re-arm at [`Client::poll_timeout`]. The shell
//! owns the socket. Requests are repeated over UDP (RFC 8489 section 6.2.1, but from 250 ms on instead of 500: who waits is a person), and everything that
//! must be asked for again is, in time: the mapping of a NAT, the allocation, the permissions, the channels.
//!
//! Once the server wants signatures, an answer without one does not count, but for the refusals that can have none (400, 401, 438). USERHASH is never sent: a
//! server of credentials that expire could not know the name.

mod allocation;
mod peers;
mod transaction;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod with_server;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use self::allocation::{Auth, Phase};
use self::peers::Peers;
use self::transaction::{Purpose, Transaction, Unanswered};
use super::credentials::Credentials;
use crate::wire::stun::{self, Class, Message, Method, TransactionId};
use crate::wire::turn::{self, Channel};

/// Peers that an allocation has permissions for at a time, and as many channels. One more is not asked for.
pub const MAX_PEERS: usize = 64;
/// Datagrams that wait for their permissions. One more is dropped, as a network would.
pub const MAX_WAITING: usize = 32;
/// Longest data in one datagram: what goes into a message of STUN beside an address.
pub const MAX_DATA: usize = 65_000;

/// Requests on their way at a time; one more for a peer is put off.
const MAX_TRANSACTIONS: usize = 4 * MAX_PEERS;
/// How a NAT on the way is kept from forgetting: below what is usual for UDP, 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What fell through for a passing reason is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP: what is lost is sent again.
    Datagrams,
    /// TCP or TLS: nothing is lost, and ChannelData is filled up to 4 octets.
    Stream,
}

/// Times of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How the server is spoken to.
    pub carrier: Carrier,
    /// How long one request may go without an answer. Default 7 s.
    pub answer_within: Duration,
}

impl Config {
    /// The usual times.
    #[must_use]
    pub const fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            answer_within: Duration::from_secs(7),
        }
    }
}

/// What a client wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// These octets go to the server: a datagram, or a piece of the stream.
    Send(Vec<u8>),
    /// The server sees us at this address: for the first time, or since the last word on it another one.
    Mapped(SocketAddr),
    /// It does not tell any more.
    Unmapped(Error),
    /// These addresses at the server stand for us: one, or one of each family.
    Allocated(Vec<SocketAddr>),
    /// There is no allocation, or not any more. What was permitted will be asked for again with the next one.
    Failed(Error),
    /// The server does not relay to this peer.
    Refused(IpAddr, u16),
}

/// Why a server gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No answer.
    #[error("the server does not answer")]
    Silent,
    /// It does not know name and password, or not any more.
    #[error("the server does not accept the credentials")]
    WrongCredentials,
    /// It refuses, with a code of RFC 8489 or 8656 and a reason.
    #[error("the server refuses: {code} {reason}")]
    Refused {
        /// Such as 486: the quota is used up.
        code: u16,
        /// In the server's words, cut to 128 octets.
        reason: String,
    },
    /// It answers something that makes no sense.
    #[error("the server's answer makes no sense")]
    Malformed,
}

/// What came from the server's address.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Not for this client.
    Unknown,
    /// The server's own word.
    Taken,
    /// What a peer sent to the address that stands for us.
    Data {
        /// Who.
        peer: SocketAddr,
        /// What.
        data: &'a [u8],
    },
}

/// The machine. See the [module](self).
pub struct Client<R> {
    config: Config,
    rng: R,
    heard: bool,
    mapping: Mapping,
    phase: Phase,
    auth: Option<Auth>,
    peers: Peers,
    transactions: Vec<Transaction>,
    outputs: VecDeque<Output>,
}

/// What is known of the address that the server sees.
#[derive(Debug, Default)]
struct Mapping {
    wanted: bool,
    address: Option<SocketAddr>,
    /// Whether it was told that there is none.
    missing: bool,
    /// When to ask again; none while an answer is waited for.
    next: Option<Instant>,
}

impl<R: CryptoRng> Client<R> {
    /// A client that wants nothing yet. The generator makes the ids of transactions: who guesses one can answer in the server's place.
    pub fn new(config: Config, rng: R) -> Self {
        Self {
            config,
            rng,
            heard: false,
            mapping: Mapping::default(),
            phase: Phase::None,
            auth: None,
            peers: Peers::default(),
            transactions: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Asks which address the server sees, now and every 20 s, which holds the NAT's mapping as well.
    pub fn learn_mapping(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.mapping.wanted, true) {
            self.request(Purpose::Binding, now);
        }
    }

    /// Asks for an allocation, of both families if it may be, and keeps it. Does nothing while there is one, or one is asked for.
    pub fn allocate(&mut self, credentials: Credentials, now: Instant) {
        if self.phase != Phase::None {
            return;
        }
        self.phase = Phase::Asking;
        self.auth = Some(Auth::new(credentials));
        self.request(Purpose::ALLOCATE, now);
    }

    /// Gives the allocation back. What follows from its end is not told: whoever ends it knows.
    pub fn delete(&mut self, now: Instant) {
        // One that is being asked for may be made all the same: the two requests arrive in this order, mostly.
        let may_exist = match self.phase {
            Phase::Allocated { .. } => true,
            Phase::Asking => self.auth.as_ref().is_some_and(|auth| auth.key().is_some()),
            Phase::None | Phase::Deleting => return,
        };
        self.forget_allocation();
        if may_exist {
            self.phase = Phase::Deleting;
            self.request(Purpose::Refresh { delete: true }, now);
        }
    }

    /// Asks whether the allocation is still there, by refreshing it: before something is built upon it. A server that was started anew has forgotten it.
    pub fn verify(&mut self, now: Instant) {
        if let Phase::Allocated { refresh, .. } = &mut self.phase
            && refresh.take().is_some()
        {
            self.request(Purpose::Refresh { delete: false }, now);
        }
    }

    /// Lets a peer's address send to us, and us to it. Counted: each is to be taken back by [`forget`](Self::forget). False beyond [`MAX_PEERS`].
    pub fn permit(&mut self, peer: IpAddr, now: Instant) -> bool {
        let known = self.peers.permit(peer);
        self.ask_for_permissions(now);
        known
    }

    /// A peer is of no interest any more: its permission is left to expire.
    pub fn forget(&mut self, peer: IpAddr) {
        self.peers.forget(peer);
    }

    /// Asks for a channel to a peer that is permitted: the short form for what is sent much. Until there is one, indications carry it.
    pub fn bind(&mut self, peer: SocketAddr, now: Instant) {
        if !matches!(self.phase, Phase::Allocated { .. }) || !self.serves(peer.ip()) {
            return;
        }
        if let Some(channel) = self.peers.bind(peer, now) {
            self.request(Purpose::Bind(peer, channel), now);
        }
    }

    /// Puts what carries `data` to a peer into `out`, which is emptied first. False when there is nothing to send now: the data waits for its permission,
    /// or is dropped where there will be none.
    pub fn send(&mut self, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if data.len() > MAX_DATA || !self.peers.may_send(peer, data) {
            return false;
        }
        self.wrap(peer, data, out);
        true
    }

    /// Takes what came from the server: one datagram, or one frame of the stream. May be anything.
    pub fn handle_datagram<'a>(&mut self, octets: &'a [u8], now: Instant) -> Received<'a> {
        if let Some((channel, data)) = turn::channel_data(octets) {
            return match self.peers.of_channel(channel) {
                Some(peer) => Received::Data { peer, data },
                None => Received::Unknown,
            };
        }
        let Ok(message) = Message::parse(octets) else {
            return Received::Unknown;
        };
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) => self.data(&message),
            (Class::Success | Class::Error, _) => self.answer(&message, now),
            _ => Received::Unknown,
        }
    }

    /// Repeats, gives up, and asks again what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let config = self.config;
        let mut lost = Vec::new();
        self.transactions.retain_mut(|transaction| {
            match transaction.handle_timeout(&config, now) {
                Unanswered::Wait => true,
                Unanswered::Again(octets) => {
                    self.outputs.push_back(Output::Send(octets));
                    true
                }
                Unanswered::Lost => {
                    lost.push(transaction.purpose.clone());
                    false
                }
            }
        });
        for purpose in lost {
            self.failed(purpose, Error::Silent, now);
        }
        if self.mapping.next.is_some_and(|next| now >= next) {
            self.mapping.next = None;
            self.request(Purpose::Binding, now);
        }
        self.keep_allocation(now);
    }

    /// What is to be done or told next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The same where only sending is possible just now: `None` as soon as something else comes next, which is kept for [`poll_output`](Self::poll_output).
    pub fn poll_send(&mut self) -> Option<Vec<u8>> {
        match self.outputs.pop_front()? {
            Output::Send(octets) => Some(octets),
            told => {
                self.outputs.push_front(told);
                None
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.transactions
            .iter()
            .map(Transaction::due)
            .chain(self.mapping.next)
            .chain(self.allocation_due())
            .min()
    }

    /// Whether the server has answered anything at all.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.heard
    }

    /// Whether there is no allocation, none is asked for, and none being given back.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::None
    }

    /// Sends a request: signed, once it is known how.
    fn request(&mut self, purpose: Purpose, now: Instant) {
        self.request_again(purpose, false, now);
    }

    fn request_again(&mut self, purpose: Purpose, stale: bool, now: Instant) {
        let can_wait = matches!(purpose, Purpose::Permit(_) | Purpose::Bind(..));
        if can_wait && self.transactions.len() >= MAX_TRANSACTIONS {
            return self.failed(purpose, Error::Silent, now);
        }
        let id = TransactionId::generate(&mut self.rng);
        let signature = match purpose {
            Purpose::Binding => None,
            _ => self.auth.as_ref().and_then(Auth::signature),
        };
        let transaction = Transaction::new(purpose, id, signature, stale, &self.config, now);
        self.outputs
            .push_back(Output::Send(transaction.octets.clone()));
        self.transactions.push(transaction);
    }

    fn answer<'a>(&mut self, message: &Message<'_>, now: Instant) -> Received<'a> {
        let id = message.transaction_id();
        let Some(at) = self
            .transactions
            .iter()
            .position(|transaction| transaction.id == id)
        else {
            return Received::Unknown;
        };
        let transaction = &self.transactions[at];
        let refusal = message.error();
        let comprehensible = transaction.purpose.method() == message.method()
            && (message.class() == Class::Success) == refusal.is_none();
        if !comprehensible || !self.is_authentic(transaction, message, refusal) {
            return Received::Taken;
        }
        self.heard = true;
        let transaction = self.transactions.swap_remove(at);
        match refusal {
            None => self.succeeded(transaction.purpose, message, now),
            Some(refusal) => self.refused(transaction, message, refusal, now),
        }
        Received::Taken
    }

    fn is_authentic(
        &self,
        transaction: &Transaction,
        message: &Message<'_>,
        refusal: Option<(u16, &str)>,
    ) -> bool {
        if !transaction.signed || matches!(refusal, Some((400 | 401 | 438, _))) {
            return true;
        }
        self.auth
            .as_ref()
            .and_then(Auth::key)
            .is_some_and(|key| message.is_signed_with(key))
    }

    fn succeeded(&mut self, purpose: Purpose, message: &Message<'_>, now: Instant) {
        match purpose {
            Purpose::Binding => {
                self.mapping.next = Some(now + KEEP_ALIVE);
                match message.xor_address(stun::attribute::XOR_MAPPED_ADDRESS) {
                    Some(address) => self.mapped(address),
                    None => self.unmapped(Error::Malformed),
                }
            }
            Purpose::Allocate { .. } => self.allocated(message, now),
            Purpose::Refresh { delete } => self.refreshed(delete, message, now),
            Purpose::Permit(ips) => {
                for ip in ips {
                    for (peer, data) in self.peers.permitted(ip, now) {
                        let mut out = Vec::new();
                        self.wrap(peer, &data, &mut out);
                        self.outputs.push_back(Output::Send(out));
                    }
                }
            }
            Purpose::Bind(peer, _) => self.peers.bound(peer, now),
        }
    }

    /// No answer, or a refusal that nothing can be done about.
    fn failed(&mut self, purpose: Purpose, error: Error, now: Instant) {
        // Of these the allocation itself is the matter, whatever was asked.
        let ends_allocation = error.code() == Some(437) || error == Error::WrongCredentials;
        match purpose {
            Purpose::Binding => {
                self.mapping.next = Some(now + KEEP_ALIVE);
                self.unmapped(error);
            }
            Purpose::Refresh { delete: true } => self.deleted(error, now),
            Purpose::Refresh { delete: false } if error == Error::Silent => {
                self.refresh_later(now);
            }
            Purpose::Permit(ips) if !ends_allocation => match (error, ips.as_slice()) {
                (Error::Refused { code, .. }, [ip]) => {
                    self.peers.refused(*ip);
                    self.outputs.push_back(Output::Refused(*ip, code));
                }
                // One of them is refused: which is found out one by one.
                (Error::Refused { .. }, _) => {
                    for ip in ips {
                        self.request(Purpose::Permit(vec![ip]), now);
                    }
                }
                (_, ips) => self.peers.ask_again(ips, now + AGAIN),
            },
            Purpose::Bind(peer, _) if !ends_allocation => self.peers.unbound(peer, now),
            Purpose::Allocate { .. }
            | Purpose::Refresh { .. }
            | Purpose::Permit(_)
            | Purpose::Bind(..) => {
                self.forget_allocation();
                self.outputs.push_back(Output::Failed(error));
            }
        }
    }

    fn mapped(&mut self, address: SocketAddr) {
        self.mapping.missing = false;
        if self.mapping.address.replace(address) != Some(address) {
            self.outputs.push_back(Output::Mapped(address));
        }
    }

    fn unmapped(&mut self, error: Error) {
        self.mapping.address = None;
        if !std::mem::replace(&mut self.mapping.missing, true) {
            self.outputs.push_back(Output::Unmapped(error));
        }
    }

    /// What carries data to a peer, by its channel or else by an indication.
    fn wrap(&mut self, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>) {
        match self.peers.channel_of(peer) {
            Some(channel) => channel_data(channel, data, self.config.carrier, out),
            None => {
                let id = TransactionId::generate(&mut self.rng);
                let message = stun::Builder::new(Class::Indication, Method::SEND, id)
                    .xor_address(turn::attribute::XOR_PEER_ADDRESS, peer)
                    .put(turn::attribute::DATA, data)
                    .finish();
                out.extend_from_slice(&message);
            }
        }
    }

    fn data<'a>(&self, message: &Message<'a>) -> Received<'a> {
        let peer = message.xor_address(turn::attribute::XOR_PEER_ADDRESS);
        match (peer, message.attribute(turn::attribute::DATA)) {
            (Some(peer), Some(data)) if self.peers.is_known(peer.ip()) => {
                Received::Data { peer, data }
            }
            _ => Received::Unknown,
        }
    }
}

fn channel_data(channel: Channel, data: &[u8], carrier: Carrier, out: &mut Vec<u8>) {
    out.extend_from_slice(&channel.header(data.len() as u16));
    out.extend_from_slice(data);
    if carrier == Carrier::Stream {
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("phase", &self.phase)
            .field("mapping", &self.mapping)
            .finish_non_exhaustive()
    }
}
