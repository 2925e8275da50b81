//! One client at one TURN server: a way to it of its own, so that a new allocation never meets an old one on the same pair of addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use getrandom::SysRng;
use mio::Registry;
use peerage_proto::turn::client::{Carrier, Client, Config, Received};
use peerage_proto::turn::credentials::Credentials;
use peerage_proto::wire::ice_url::Transport;
use rand_core::UnwrapErr;
use tokio::sync::mpsc;

use super::outside::LegId;
use super::port::{Receiver, Socket};
use crate::random;

pub(super) type TurnClient = Client<UnwrapErr<SysRng>>;

pub(super) struct Leg {
    pub(super) id: LegId,
    /// The server's.
    pub(super) url: String,
    pub(super) way: Way,
    pub(super) client: TurnClient,
    pub(super) transport: Transport,
    pub(super) state: State,
    /// The addresses at the server that stand for us.
    pub(super) relays: Vec<SocketAddr>,
    pub(super) since: Instant,
    credentials: Credentials,
    scratch: Vec<u8>,
}

/// What a leg is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// One of those that are tried.
    Tried,
    /// The port's.
    Chosen,
    /// It was, under other credentials; connections may still use it.
    Retired,
    /// Gives its allocation back.
    Leaving,
}

/// How a leg reaches its server.
pub(super) enum Way {
    Datagrams {
        socket: Box<Socket>,
        server: SocketAddr,
    },
    Connecting,
    Stream(mpsc::Sender<Vec<u8>>),
}

impl Leg {
    /// Over UDP, from a port of its own; asks for the allocation at once.
    pub(super) fn datagrams(
        id: LegId,
        url: String,
        server: SocketAddr,
        credentials: Credentials,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<Self> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut socket = Box::new(Socket::bind(SocketAddr::new(any, 0))?);
        socket.register(registry, id.token())?;
        let way = Way::Datagrams { socket, server };
        let mut leg = Self::new(id, url, way, Transport::Udp, credentials, now);
        leg.allocate(now);
        // Keeps the NAT's mapping too.
        leg.client.learn_mapping(now);
        Ok(leg)
    }

    /// Over a connection that is being made.
    pub(super) fn stream(
        id: LegId,
        url: String,
        transport: Transport,
        credentials: Credentials,
        now: Instant,
    ) -> Self {
        Self::new(id, url, Way::Connecting, transport, credentials, now)
    }

    fn new(
        id: LegId,
        url: String,
        way: Way,
        transport: Transport,
        credentials: Credentials,
        now: Instant,
    ) -> Self {
        let carrier = match transport {
            Transport::Udp => Carrier::Datagrams,
            _ => Carrier::Stream,
        };
        Self {
            id,
            url,
            way,
            client: Client::new(Config::new(carrier), random::os()),
            transport,
            state: State::Tried,
            relays: Vec::new(),
            since: now,
            credentials,
            scratch: Vec::new(),
        }
    }

    /// The connection is there.
    pub(super) fn connected(&mut self, outgoing: mpsc::Sender<Vec<u8>>, now: Instant) {
        self.way = Way::Stream(outgoing);
        self.allocate(now);
    }

    fn allocate(&mut self, now: Instant) {
        self.client.allocate(self.credentials.clone(), now);
    }

    /// Sends to the server. What a full queue or the network loses is lost.
    pub(super) fn transmit(&mut self, octets: Vec<u8>) {
        match &mut self.way {
            Way::Datagrams { socket, server } => {
                let server = *server;
                socket.send(unspecified(server), server, &octets);
            }
            Way::Stream(outgoing) => drop(outgoing.try_send(octets)),
            Way::Connecting => {}
        }
    }

    /// Sends data to a peer through the server; `nominated` is worth a channel.
    pub(super) fn send(&mut self, peer: SocketAddr, data: &[u8], nominated: bool, now: Instant) {
        if nominated {
            self.client.bind(peer, now);
        }
        if !self.client.send(peer, data, &mut self.scratch) {
            return;
        }
        match &mut self.way {
            Way::Datagrams { socket, server } => {
                let server = *server;
                socket.send(unspecified(server), server, &self.scratch);
            }
            Way::Stream(outgoing) => drop(outgoing.try_send(self.scratch.clone())),
            Way::Connecting => {}
        }
    }

    pub(super) fn socket(&mut self) -> Option<&mut Socket> {
        match &mut self.way {
            Way::Datagrams { socket, .. } => Some(socket),
            Way::Connecting | Way::Stream(_) => None,
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        matches!(&self.way, Way::Datagrams { socket, .. } if socket.is_readable())
    }

    pub(super) fn receive(&mut self, receiver: &mut Receiver) {
        if let Some(socket) = self.socket() {
            socket.receive(receiver);
        }
    }

    /// What a peer sent to one of our relays, if that is what came: the relay, the peer, the data.
    pub(super) fn received<'a>(
        &mut self,
        source: Option<SocketAddr>,
        octets: &'a [u8],
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
        if let (Way::Datagrams { server, .. }, Some(source)) = (&self.way, source)
            && *server != source
        {
            return None;
        }
        match self.client.handle_datagram(octets, now) {
            Received::Data { peer, data } => {
                let relay = self
                    .relays
                    .iter()
                    .find(|relay| relay.is_ipv4() == peer.is_ipv4())?;
                Some((*relay, peer, data))
            }
            Received::Taken | Received::Unknown => None,
        }
    }
}

fn unspecified(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
