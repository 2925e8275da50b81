//! The TURN server between hostile clients and peers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_proto::turn::credentials::{Credentials, Secret};
use peerage_proto::turn::peers::{Peers, Verdict};
use peerage_proto::turn::server::{
    Config, FiveTuple, Forward, OpenError, Output, Relay, RelayId, Server, Transport,
};
use peerage_proto::wire::statement::Time;
use peerage_proto::wire::stun::{self, Builder, Class, Message, Method, TransactionId};
use peerage_proto::wire::turn::{Channel, attribute};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::script::{Script, epoch};

const REALM: &str = "example.org";
const METHODS: [Method; 5] = [
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::BINDING,
];
const PEERS: [&str; 8] = [
    "30.0.0.1:7000",
    "30.0.0.2:0",
    "127.0.0.1:80",
    "10.0.0.1:80",
    "5.5.5.5:61000",
    "5.5.5.5:53",
    "[::ffff:127.0.0.1]:80",
    "[2a00::30]:7000",
];

/// Clients with and without credentials, and peers, that say anything in any order. Sockets are opened and closed once; nothing goes to a peer that is not
/// allowed, or from a socket that is not there.
pub fn turn_server(octets: &[u8]) {
    let mut script = Script(octets);
    let mut world = World::new();
    while !script.is_empty() {
        world.step(&mut script);
    }
    world.now += Duration::from_secs(4_000);
    world.server.handle_timeout(world.now);
    world.drain(0);
    assert!(world.sockets.is_empty(), "all comes to an end");
}

struct World {
    server: Server,
    secret: Secret,
    sockets: BTreeMap<RelayId, SocketAddr>,
    nonces: [String; 4],
    now: std::time::Instant,
    time: Time,
}

impl World {
    fn new() -> Self {
        let secret: Secret = "north".parse().expect("a secret");
        let relay = |ip: &str| {
            let ip = ip.parse().expect("an address");
            Some(Relay {
                bind: ip,
                external: ip,
            })
        };
        let config = Config {
            realm: REALM.into(),
            secret: secret.clone(),
            relay_v4: relay("5.5.5.5"),
            relay_v6: relay("2a00::5"),
            own: vec!["5.5.5.5".parse().expect("an address")],
            ports: 61_000..=61_004,
            user_quota: 2,
            address_quota: None,
            total_quota: 3,
            bandwidth: None,
            peers: Peers::default(),
        };
        Self {
            server: Server::new(config, &mut StdRng::seed_from_u64(1)),
            secret,
            sockets: BTreeMap::new(),
            nonces: Default::default(),
            now: epoch(),
            time: Time(1_795_300_000_000),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let who = usize::from(script.u8() % 4);
        match script.u8() % 8 {
            0 => {
                let octets = script.long();
                self.client(who, octets, 0);
            }
            1 | 2 => {
                let octets = self.request(who, script);
                self.client(who, &octets, script.u8());
            }
            3 => {
                let peer = PEERS[usize::from(script.u8() % 8)]
                    .parse()
                    .expect("an address");
                let octets = Builder::new(Class::Indication, Method::SEND, TransactionId([0; 12]))
                    .xor_address(attribute::XOR_PEER_ADDRESS, peer)
                    .put(attribute::DATA, script.long())
                    .finish();
                self.client(who, &octets, 0);
            }
            4 => {
                let mut octets = vec![0x40, script.u8() % 4, 0, 5];
                octets.extend(b"hello");
                self.client(who, &octets, 0);
            }
            5 => {
                let peer = PEERS[usize::from(script.u8() % 8)]
                    .parse()
                    .expect("an address");
                let relay = self.sockets.keys().nth(who).copied();
                if let Some(relay) = relay {
                    let data = script.long();
                    if let Some(to) = self.server.handle_peer(relay, peer, data, self.now) {
                        assert_eq!(to.data(), data);
                    }
                }
            }
            6 => {
                let span = Duration::from_secs(script.u16().into());
                self.now += span;
                self.time = self.time.after(span);
                self.server.handle_timeout(self.now);
            }
            _ => self.server.handle_closed(five_tuple(who)),
        }
        self.drain(0);
    }

    /// A request that is signed, and sane by its outside.
    fn request(&mut self, who: usize, script: &mut Script<'_>) -> Vec<u8> {
        let method = METHODS[usize::from(script.u8() % 5)];
        let id = TransactionId([script.u8() % 4; 12]);
        let mut request = Builder::new(Class::Request, method, id);
        for _ in 0..script.u8() % 4 {
            let peer = PEERS[usize::from(script.u8() % 8)]
                .parse()
                .expect("an address");
            request = match script.u8() % 9 {
                0 | 1 => request.xor_address(attribute::XOR_PEER_ADDRESS, peer),
                2 => request.put(
                    attribute::REQUESTED_ADDRESS_FAMILY,
                    &[script.u8() % 4, 0, 0, 0],
                ),
                3 => request.put(
                    attribute::ADDITIONAL_ADDRESS_FAMILY,
                    &[script.u8() % 4, 0, 0, 0],
                ),
                4 => request.put(attribute::EVEN_PORT, &[script.u8()]),
                5 => request.number(attribute::LIFETIME, script.u16().into()),
                6 => request.put(attribute::RESERVATION_TOKEN, &[script.u8(); 8]),
                7 => request.put(attribute::CHANNEL_NUMBER, &Channel::FIRST.value()),
                _ => request.put(script.u16(), script.long()),
            };
            if stun::HEADER + script.0.len() > 60_000 {
                break;
            }
        }
        if method == Method::ALLOCATE {
            request = request.put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        }
        let Credentials { username, password } = self.secret.mint(
            Some("ann"),
            Time(1_795_300_000_000 + 3_600_000 * (who as u64 + 1)),
        );
        let key = Credentials {
            username: username.clone(),
            password,
        }
        .key(REALM);
        request
            .put(stun::attribute::USERNAME, username.as_bytes())
            .put(stun::attribute::REALM, REALM.as_bytes())
            .put(stun::attribute::NONCE, self.nonces[who].as_bytes())
            .sign(key.as_bytes())
            .finish()
    }

    fn client(&mut self, who: usize, octets: &[u8], refuse: u8) {
        let forward = self
            .server
            .handle_client(five_tuple(who), octets, self.now, self.time);
        match forward {
            Some(Forward::Peer { relay, to, .. }) => {
                assert!(
                    self.sockets.contains_key(&relay),
                    "from a socket that is there"
                );
                assert_eq!(Peers::default().judge(to.ip()), Verdict::Public);
                assert_ne!(to.ip().to_string(), "5.5.5.5");
            }
            Some(Forward::Client(to)) => assert!(to.length() >= to.data().len()),
            None => {}
        }
        self.drain(refuse);
    }

    fn drain(&mut self, mut refuse: u8) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { to, octets } => {
                    let reply = Message::parse(&octets).expect("answers are messages");
                    if let Some(nonce) = reply.text(stun::attribute::NONCE) {
                        let who = usize::from(to.remote.port()) - 5_000;
                        self.nonces[who] = nonce.to_owned();
                    }
                }
                Output::Open { relay, address } => {
                    let outcome = match refuse % 4 {
                        1 => Err(OpenError::Taken),
                        2 => Err(OpenError::Failed),
                        _ => Ok(()),
                    };
                    refuse /= 4;
                    if outcome.is_ok() {
                        assert!(!self.sockets.values().any(|open| *open == address));
                        assert!(self.sockets.insert(relay, address).is_none());
                    }
                    self.server.handle_opened(relay, outcome, self.now);
                }
                Output::Close { relay } => {
                    assert!(self.sockets.remove(&relay).is_some(), "closed once");
                }
            }
        }
        let live: usize = self.server.stats().allocations.iter().sum();
        assert!(live <= 3 && live <= self.sockets.len());
    }
}

fn five_tuple(who: usize) -> FiveTuple {
    FiveTuple {
        transport: [
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Udp,
        ][who],
        local: SocketAddr::from(([5, 5, 5, 5], 3_478)),
        remote: SocketAddr::from(([20, 0, 0, 1], 5_000 + who as u16)),
    }
}
