//! Two clients and the server's own machine, over a network that loses, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_core::Rng;

use super::{Carrier, Client, Config, Error, Output, Received};
use crate::turn::credentials::Secret;
use crate::turn::peers::Peers;
use crate::turn::server::{self, FiveTuple, Forward, Relay, RelayId, Server, Transport};
use crate::wire::statement::Time;

const START: Time = Time(1_795_300_000_000);

struct World {
    server: Server,
    clients: Vec<End>,
    sockets: BTreeMap<RelayId, SocketAddr>,
    now: Instant,
    began: Instant,
    chance: StdRng,
    /// One of so many is lost.
    loss: u32,
}

struct End {
    client: Client<StdRng>,
    at: FiveTuple,
    relays: Vec<SocketAddr>,
    mapped: Option<SocketAddr>,
    failed: Option<Error>,
    got: Vec<(SocketAddr, Vec<u8>)>,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    fn new(transport: Transport, loss: u32, seed: u64) -> Self {
        let relay = |ip: &str| {
            let ip = ip.parse().unwrap();
            Some(Relay {
                bind: ip,
                external: ip,
            })
        };
        let config = server::Config {
            realm: "example.org".into(),
            secret: secret(),
            relay_v4: relay("5.5.5.5"),
            relay_v6: relay("2a00::5"),
            own: vec!["5.5.5.5".parse().unwrap(), "2a00::5".parse().unwrap()],
            ports: 61_000..=61_099,
            user_quota: 3,
            address_quota: None,
            total_quota: 50,
            bandwidth: None,
            peers: Peers::default(),
        };
        let mut chance = StdRng::seed_from_u64(seed);
        let carrier = match transport {
            Transport::Udp => Carrier::Datagrams,
            _ => Carrier::Stream,
        };
        let clients = ["20.0.0.1:5000", "20.0.0.2:5000"].map(|remote| End {
            client: Client::new(
                Config::new(carrier),
                StdRng::seed_from_u64(chance.next_u64()),
            ),
            at: FiveTuple {
                transport,
                local: "5.5.5.5:3478".parse().unwrap(),
                remote: remote.parse().unwrap(),
            },
            relays: Vec::new(),
            mapped: None,
            failed: None,
            got: Vec::new(),
        });
        let now = Instant::now();
        Self {
            server: Server::new(config, &mut chance),
            clients: Vec::from(clients),
            sockets: BTreeMap::new(),
            now,
            began: now,
            chance,
            loss,
        }
    }

    fn is_lost(&mut self) -> bool {
        self.loss > 0 && self.chance.next_u32().is_multiple_of(self.loss)
    }

    fn act(&mut self, end: usize, action: impl FnOnce(&mut Client<StdRng>, Instant)) {
        action(&mut self.clients[end].client, self.now);
        self.carry();
    }

    /// Carries all that is on its way, and what comes of it.
    fn carry(&mut self) {
        let mut to_server = VecDeque::new();
        loop {
            for end in &mut self.clients {
                while let Some(output) = end.client.poll_output() {
                    match output {
                        Output::Send(octets) => to_server.push_back((end.at, octets)),
                        Output::Mapped(address) => end.mapped = Some(address),
                        Output::Unmapped(_) => end.mapped = None,
                        Output::Allocated(relays) => end.relays = relays,
                        Output::Failed(error) => end.failed = Some(error),
                        Output::Refused(..) => {}
                    }
                }
            }
            let Some((from, octets)) = to_server.pop_front() else {
                return;
            };
            if !self.is_lost() {
                self.serve(from, &octets);
            }
        }
    }

    fn serve(&mut self, from: FiveTuple, octets: &[u8]) {
        let time = START.after(self.now - self.began);
        if let Some(Forward::Client(data)) = self.server.handle_client(from, octets, self.now, time)
        {
            let frame = [data.head(), data.data(), data.filling()].concat();
            let to = data.to;
            self.deliver(to, &frame);
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                server::Output::Reply { to, octets } => {
                    if !self.is_lost() {
                        self.deliver(to, &octets);
                    }
                }
                server::Output::Open { relay, address } => {
                    self.sockets.insert(relay, address);
                    self.server.handle_opened(relay, Ok(()), self.now);
                }
                server::Output::Close { relay } => drop(self.sockets.remove(&relay)),
            }
        }
    }

    fn deliver(&mut self, to: FiveTuple, octets: &[u8]) {
        let Some(end) = self.clients.iter_mut().find(|end| end.at == to) else {
            return;
        };
        if let Received::Data { peer, data } = end.client.handle_datagram(octets, self.now) {
            end.got.push((peer, data.to_vec()));
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timers = self.clients.iter().map(|end| end.client.poll_timeout());
            let due = timers.chain([self.server.poll_timeout()]).flatten().min();
            let Some(due) = due.filter(|due| *due <= until) else {
                break;
            };
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            for end in &mut self.clients {
                end.client.handle_timeout(self.now);
            }
            self.carry();
        }
        self.now = until;
    }

    fn allocate(&mut self, lasting: Duration) {
        for end in 0..2 {
            let credentials = secret().mint(Some(&end.to_string()), START.after(lasting));
            self.act(end, |client, now| {
                client.learn_mapping(now);
                client.allocate(credentials, now);
            });
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, data: &[u8]) {
        let mut out = Vec::new();
        if self.clients[from].client.send(to, data, &mut out) {
            let at = self.clients[from].at;
            self.serve(at, &out);
        }
        self.carry();
    }
}

fn secret() -> Secret {
    "north".parse().unwrap()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[test]
fn two_clients_meet_relay_to_relay_and_stay_in_touch_for_hours() {
    for (transport, loss) in [
        (Transport::Udp, 0),
        (Transport::Udp, 10),
        (Transport::Tcp, 0),
    ] {
        let mut world = World::new(transport, loss, 7);
        world.allocate(hours(24));
        world.pass(Duration::from_secs(7));
        let relays: Vec<_> = world.clients.iter().map(|end| end.relays.clone()).collect();
        assert_eq!(relays[0].len(), 2, "{transport:?} {loss}");
        for end in 0..2 {
            assert_eq!(
                world.clients[end].mapped,
                Some(world.clients[end].at.remote)
            );
            let peers = relays[1 - end].clone();
            world.act(end, |client, now| {
                for peer in peers {
                    client.permit(peer.ip(), now);
                    client.bind(peer, now);
                }
            });
        }
        world.pass(Duration::from_secs(10));
        for round in 0..30_u8 {
            for (ours, theirs) in relays[0].iter().zip(&relays[1]) {
                world.send(0, *theirs, &[round; 101]);
                let got = std::mem::take(&mut world.clients[1].got);
                assert_eq!(
                    got,
                    [(*ours, vec![round; 101])],
                    "{transport:?} {loss}, round {round}"
                );
            }
            world.pass(Duration::from_secs(611));
        }
        for end in 0..2 {
            assert_eq!(world.clients[end].failed, None);
            world.act(end, |client, now| client.delete(now));
        }
        world.pass(Duration::from_secs(7));
        assert!(world.sockets.is_empty(), "given back");
        assert!(world.clients.iter().all(|end| end.client.is_idle()));
    }
}

#[test]
fn credentials_that_expire_end_an_allocation_with_their_own_reason() {
    let mut world = World::new(Transport::Udp, 0, 1);
    world.allocate(hours(1));
    world.pass(hours(1) - Duration::from_secs(61));
    assert_eq!(world.clients[0].failed, None);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.clients[0].failed, Some(Error::WrongCredentials));
}

#[test]
fn the_quota_is_told_with_its_code() {
    let mut world = World::new(Transport::Udp, 0, 1);
    for port in 0..4 {
        let at = FiveTuple {
            remote: SocketAddr::from(([20, 0, 0, 9], 5000 + port)),
            ..world.clients[0].at
        };
        let client = Client::new(
            Config::new(Carrier::Datagrams),
            StdRng::seed_from_u64(port.into()),
        );
        world.clients.push(End {
            client,
            at,
            relays: Vec::new(),
            mapped: None,
            failed: None,
            got: Vec::new(),
        });
        let end = world.clients.len() - 1;
        let credentials = secret().mint(Some("ann"), START.after(hours(1)));
        world.act(end, |client, now| client.allocate(credentials, now));
    }
    let failed: Vec<_> = world.clients[2..]
        .iter()
        .map(|end| end.failed.as_ref().and_then(Error::code))
        .collect();
    assert_eq!(failed, [None, None, None, Some(486)]);
}

#[test]
fn a_new_process_on_the_same_port_gives_the_old_allocation_back() {
    let mut world = World::new(Transport::Udp, 0, 1);
    world.allocate(hours(1));
    let old = world.clients[0].relays.clone();
    world.clients[0].client =
        Client::new(Config::new(Carrier::Datagrams), StdRng::seed_from_u64(99));
    world.allocate(hours(1));
    assert_eq!(world.clients[0].failed, None);
    assert_ne!(world.clients[0].relays, old);
    assert_eq!(world.sockets.len(), 4);
}
