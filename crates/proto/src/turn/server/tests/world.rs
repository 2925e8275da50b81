//! A server, its clients, and a shell that opens every socket at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::super::*;
use crate::turn::credentials::{Credentials, Key};
use crate::wire::stun::{Builder, attribute as stun_attribute};

pub(super) const START: Time = Time(1_795_300_000_000);
pub(super) const REALM: &str = "example.org";
pub(super) const ALICE: &str = "20.0.0.1:5000";
pub(super) const BOB: &str = "20.0.0.2:5000";
pub(super) const PEER: &str = "30.0.0.1:7000";
pub(super) const PEER6: &str = "[2a00::30]:7000";

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn udp(remote: &str) -> FiveTuple {
    FiveTuple {
        transport: Transport::Udp,
        local: address("5.5.5.5:3478"),
        remote: address(remote),
    }
}

pub(super) fn tcp(remote: &str) -> FiveTuple {
    FiveTuple {
        transport: Transport::Tcp,
        ..udp(remote)
    }
}

pub(super) fn config() -> Config {
    let relay = |ip: &str| {
        let ip = ip.parse().unwrap();
        Some(Relay {
            bind: ip,
            external: ip,
        })
    };
    Config {
        realm: REALM.into(),
        secret: "north".parse().unwrap(),
        relay_v4: relay("5.5.5.5"),
        relay_v6: relay("2a00::5"),
        own: vec!["5.5.5.5".parse().unwrap(), "5.5.5.6".parse().unwrap()],
        ports: 61_000..=61_099,
        user_quota: 3,
        address_quota: None,
        total_quota: 50,
        bandwidth: None,
        peers: Peers::default(),
    }
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) now: Instant,
    pub(super) time: Time,
    /// Sockets that are open.
    pub(super) sockets: BTreeMap<RelayId, SocketAddr>,
    /// Ports that another process has.
    pub(super) taken: Vec<u16>,
    pub(super) opens: usize,
    pub(super) replies: Vec<(FiveTuple, Vec<u8>)>,
    ids: u64,
}

/// What a client remembers.
pub(super) struct Client {
    pub(super) at: FiveTuple,
    pub(super) credentials: Credentials,
    pub(super) nonce: String,
}

impl Client {
    pub(super) fn key(&self) -> Key {
        self.credentials.key(REALM)
    }
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        Self {
            server: Server::new(config, &mut StdRng::seed_from_u64(7)),
            now: begin(),
            time: START,
            sockets: BTreeMap::new(),
            taken: Vec::new(),
            opens: 0,
            replies: Vec::new(),
            ids: 0,
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        let span = Duration::from_secs(seconds);
        self.now += span;
        self.time = self.time.after(span);
        if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
        }
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { to, octets } => self.replies.push((to, octets)),
                Output::Open { relay, address } => {
                    self.opens += 1;
                    let is_taken = self.taken.contains(&address.port())
                        || self.sockets.values().any(|open| *open == address);
                    let outcome = if is_taken {
                        Err(OpenError::Taken)
                    } else {
                        self.sockets.insert(relay, address);
                        Ok(())
                    };
                    self.server.handle_opened(relay, outcome, self.now);
                }
                Output::Close { relay } => {
                    assert!(self.sockets.remove(&relay).is_some(), "closed twice");
                }
            }
        }
    }

    pub(super) fn id(&mut self) -> TransactionId {
        self.ids += 1;
        let mut id = [1; 12];
        id[..8].copy_from_slice(&self.ids.to_be_bytes());
        TransactionId(id)
    }

    pub(super) fn request(&mut self, method: Method) -> Builder {
        let id = self.id();
        Builder::new(Class::Request, method, id)
    }

    /// Sends octets that are no data; the answers.
    pub(super) fn send(&mut self, from: FiveTuple, octets: &[u8]) -> Vec<Vec<u8>> {
        let forward = self.server.handle_client(from, octets, self.now, self.time);
        assert_eq!(forward, None);
        self.drain();
        let replies = std::mem::take(&mut self.replies);
        replies
            .into_iter()
            .map(|(to, octets)| {
                assert_eq!(to, from, "an answer goes to who asked");
                octets
            })
            .collect()
    }

    /// The one answer to a request.
    pub(super) fn ask(&mut self, from: FiveTuple, request: Builder) -> Vec<u8> {
        let mut replies = self.send(from, &request.finish());
        assert_eq!(replies.len(), 1, "one answer");
        replies.remove(0)
    }

    /// A client with a nonce.
    pub(super) fn client(&mut self, at: FiveTuple, name: &str) -> Client {
        self.client_until(at, name, START.after(Duration::from_secs(24 * 60 * 60)))
    }

    pub(super) fn client_until(&mut self, at: FiveTuple, name: &str, expires: Time) -> Client {
        let credentials = self.server.config.secret.mint(Some(name), expires);
        let mut client = Client {
            at,
            credentials,
            nonce: String::new(),
        };
        self.renew(&mut client);
        client
    }

    /// Fetches a nonce.
    pub(super) fn renew(&mut self, client: &mut Client) {
        let request = self.request(Method::REFRESH);
        let reply = self.ask(client.at, request);
        let reply = Message::parse(&reply).unwrap();
        assert_eq!(reply.error().unwrap().0, 401);
        assert_eq!(reply.text(stun_attribute::REALM), Some(REALM));
        client.nonce = reply.text(stun_attribute::NONCE).unwrap().to_owned();
    }

    pub(super) fn signed(client: &Client, request: Builder) -> Builder {
        request
            .put(
                stun_attribute::USERNAME,
                client.credentials.username.as_bytes(),
            )
            .put(stun_attribute::REALM, REALM.as_bytes())
            .put(stun_attribute::NONCE, client.nonce.as_bytes())
            .sign(client.key().as_bytes())
    }

    /// The answer to a signed request, with its code if it is a refusal.
    pub(super) fn ask_signed(
        &mut self,
        client: &Client,
        request: Builder,
    ) -> (Option<u16>, Vec<u8>) {
        let reply = self.ask(client.at, Self::signed(client, request));
        let message = Message::parse(&reply).unwrap();
        (message.error().map(|(code, _)| code), reply)
    }

    pub(super) fn code(&mut self, client: &Client, request: Builder) -> Option<u16> {
        self.ask_signed(client, request).0
    }

    pub(super) fn allocate_request(&mut self) -> Builder {
        self.request(Method::ALLOCATE)
            .put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    }

    /// The relayed address.
    pub(super) fn allocate(&mut self, client: &Client) -> SocketAddr {
        let request = self.allocate_request();
        let (code, reply) = self.ask_signed(client, request);
        assert_eq!(code, None);
        let reply = Message::parse(&reply).unwrap();
        assert!(reply.is_signed_with(client.key().as_bytes()));
        reply.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap()
    }

    pub(super) fn permit(&mut self, client: &Client, peers: &[&str]) -> Option<u16> {
        let request = self.request(Method::CREATE_PERMISSION);
        let request = peers.iter().fold(request, |request, peer| {
            request.xor_address(attribute::XOR_PEER_ADDRESS, address(peer))
        });
        self.code(client, request)
    }

    pub(super) fn bind(&mut self, client: &Client, number: u16, peer: &str) -> Option<u16> {
        let [high, low] = number.to_be_bytes();
        let request = self
            .request(Method::CHANNEL_BIND)
            .put(attribute::CHANNEL_NUMBER, &[high, low, 0, 0])
            .xor_address(attribute::XOR_PEER_ADDRESS, address(peer));
        self.code(client, request)
    }

    pub(super) fn refresh(&mut self, client: &Client, seconds: Option<u32>) -> Option<u16> {
        let mut request = self.request(Method::REFRESH);
        if let Some(seconds) = seconds {
            request = request.number(attribute::LIFETIME, seconds);
        }
        self.code(client, request)
    }

    /// Where data of a Send indication leaves, and to whom.
    pub(super) fn say(&mut self, from: FiveTuple, peer: &str, data: &[u8]) -> Option<Said> {
        let id = self.id();
        let octets = Builder::new(Class::Indication, Method::SEND, id)
            .xor_address(attribute::XOR_PEER_ADDRESS, address(peer))
            .put(attribute::DATA, data)
            .finish();
        self.said(from, &octets)
    }

    pub(super) fn say_on(&mut self, from: FiveTuple, channel: u16, data: &[u8]) -> Option<Said> {
        let mut octets = channel.to_be_bytes().to_vec();
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
        self.said(from, &octets)
    }

    fn said(&mut self, from: FiveTuple, octets: &[u8]) -> Option<Said> {
        let forward = self
            .server
            .handle_client(from, octets, self.now, self.time)?;
        Some(match forward {
            Forward::Peer { relay, to, data } => {
                Said::ToPeer(self.sockets[&relay], to, data.into())
            }
            Forward::Client(to) => Said::ToClient(to.to, heard(to)),
        })
    }

    /// What a client gets of a peer's datagram.
    pub(super) fn hear(&mut self, relay: SocketAddr, peer: &str, data: &[u8]) -> Option<Heard> {
        let id = *self.sockets.iter().find(|(_, at)| **at == relay)?.0;
        let to = self.server.handle_peer(id, address(peer), data, self.now)?;
        Some(heard(to))
    }
}

/// Where data went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// From a socket to a peer.
    ToPeer(SocketAddr, SocketAddr, Vec<u8>),
    /// To another client.
    ToClient(FiveTuple, Heard),
}

/// How data comes to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Channel(u16, Vec<u8>, usize),
    Indication(SocketAddr, Vec<u8>),
}

fn heard(to: ToClient<'_>) -> Heard {
    let octets = [to.head(), to.data(), to.filling()].concat();
    assert_eq!(octets.len(), to.length());
    if let Some((channel, data)) = turn::channel_data(&octets) {
        return Heard::Channel(channel.number(), data.to_vec(), to.filling().len());
    }
    let message = Message::parse(&octets).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::DATA)
    );
    Heard::Indication(
        message.xor_address(attribute::XOR_PEER_ADDRESS).unwrap(),
        message.attribute(attribute::DATA).unwrap().to_vec(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "some instant to count from; the machine is given it"
)]
fn begin() -> Instant {
    Instant::now()
}
