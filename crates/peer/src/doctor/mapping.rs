//! Where STUN servers see this machine, and what kind of NAT that tells of.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use getrandom::SysRng;
use peerage_proto::turn::client::{Carrier, Client, Config, Error, Output, Received};
use peerage_proto::turn::credentials::Credentials;
use rand_core::UnwrapErr;
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use super::finding::{Finding, Nat, plain};
use crate::net::is_no_family;
use crate::random;

/// For a server to answer, over UDP: four requests.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// For the question to a relay.
const BY_RELAY: Duration = Duration::from_millis(2_500);
/// Between two datagrams that are to be seen there.
const AGAIN: Duration = Duration::from_millis(150);
/// Longest datagram that is read.
const DATAGRAM: usize = 2_048;

pub(super) type TurnClient = Client<UnwrapErr<SysRng>>;

/// A client that gives up early: a person waits.
pub(super) fn client(carrier: Carrier) -> TurnClient {
    let config = Config {
        answer_within: ANSWER,
        ..Config::new(carrier)
    };
    Client::new(config, random::os())
}

/// Any address of a family.
pub(super) const fn any(like: SocketAddr) -> IpAddr {
    match like {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// What a server said.
pub(super) struct Answer {
    pub(super) server: SocketAddr,
    pub(super) took: Duration,
    pub(super) said: Result<SocketAddr, Unheard>,
}

pub(super) enum Unheard {
    Refused(Error),
    Closed,
    NotSent(io::Error),
}

impl Unheard {
    /// Whether there is no way from this machine to that family of addresses at all.
    pub(super) fn is_no_family(&self) -> bool {
        matches!(self, Self::NotSent(error) if is_no_family(error))
    }

    pub(super) fn finding(&self, other_family: bool) -> Finding {
        match self {
            Self::Closed => Finding::NotListening { other_family },
            Self::Refused(error) => Finding::NotMapped {
                error: error.clone(),
                other_family,
            },
            Self::NotSent(error) => Finding::NotSent {
                error: plain(error),
                other_family,
            },
        }
    }
}

/// One port of this machine, and what servers of one family say of it.
pub(super) struct Port {
    socket: UdpSocket,
    pub(super) answers: Vec<Answer>,
}

impl Port {
    /// Asks all these servers, of one family, from one port.
    pub(super) async fn ask(servers: &[SocketAddr]) -> io::Result<Self> {
        let any = any(*servers.first().ok_or(io::ErrorKind::InvalidInput)?);
        let socket = UdpSocket::bind((any, 0)).await?;
        let begun = Instant::now();
        let mut asked: Vec<_> = servers
            .iter()
            .map(|server| {
                let mut client = client(Carrier::Datagrams);
                client.learn_mapping(begun);
                (*server, client)
            })
            .collect();
        let mut answers = Vec::new();
        let mut buffer = [0; DATAGRAM];
        let mut closed: FuturesUnordered<_> = servers.iter().copied().map(closed).collect();
        loop {
            let mut open = Vec::new();
            for (server, mut client) in asked {
                match told(&socket, server, &mut client).await {
                    Some(said) => answers.push(Answer {
                        server,
                        took: begun.elapsed(),
                        said,
                    }),
                    None => open.push((server, client)),
                }
            }
            asked = open;
            let due = asked.iter().filter_map(|(_, client)| client.poll_timeout());
            let Some(due) = due.min() else {
                break;
            };
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received.ok(),
                Some(Some(server)) = closed.next() => {
                    asked.retain(|(asked, _)| *asked != server);
                    answers.push(Answer {
                        server,
                        took: begun.elapsed(),
                        said: Err(Unheard::Closed),
                    });
                    continue;
                }
                () = sleep_until(due.into()) => None,
            };
            let now = Instant::now();
            for (server, client) in &mut asked {
                match received {
                    Some((length, from)) if from == *server => {
                        client.handle_datagram(&buffer[..length], now);
                    }
                    _ => client.handle_timeout(now),
                }
            }
        }
        Ok(Self { socket, answers })
    }

    /// Where the machine sends from to this server.
    pub(super) async fn local(&self, server: SocketAddr) -> io::Result<SocketAddr> {
        let port = self.socket.local_addr()?.port();
        // Connecting sends nothing: the system chooses an address.
        let probe = UdpSocket::bind((any(server), 0)).await?;
        probe.connect(server).await?;
        Ok(SocketAddr::new(probe.local_addr()?.ip(), port))
    }

    /// What is in between, as far as the answers tell.
    ///
    /// A NAT is known by two destinations. Where only one server answered, a relay of its own is the other one.
    pub(super) async fn nat(&self, relays: &[(SocketAddr, Credentials)]) -> Option<Nat> {
        let mut seen = self
            .answers
            .iter()
            .filter_map(|answer| Some((answer.server, *answer.said.as_ref().ok()?)));
        let (server, first) = seen.next()?;
        if self.local(server).await.is_ok_and(|local| local == first) {
            return Some(Nat::None);
        }
        let second = match seen.map(|(_, address)| address).find(|at| *at != first) {
            Some(other) => Some(other),
            None if self.answers.iter().filter(|one| one.said.is_ok()).count() > 1 => Some(first),
            None => self.by_relays(relays, first).await,
        };
        Some(match second {
            None => Nat::Unknown(first),
            Some(second) if second == first => Nat::Keeps(first),
            Some(second) => Nat::Symmetric(first, second),
        })
    }

    async fn by_relays(
        &self,
        relays: &[(SocketAddr, Credentials)],
        seen: SocketAddr,
    ) -> Option<SocketAddr> {
        for (server, credentials) in relays {
            if server.is_ipv4() != seen.is_ipv4() {
                continue;
            }
            let mut client = client(Carrier::Datagrams);
            client.allocate(credentials.clone(), Instant::now());
            let asked = self.by_relay(*server, &mut client, seen);
            let found = timeout(BY_RELAY, asked).await.ok().flatten();
            client.delete(Instant::now());
            while let Some(output) = client.poll_output() {
                if let Output::Send(octets) = output {
                    // One that is lost expires by itself.
                    let _ = self.socket.send_to(&octets, *server).await;
                }
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Sends to a relay that is our own from the port in question: the relay tells where that came from.
    async fn by_relay(
        &self,
        server: SocketAddr,
        client: &mut TurnClient,
        seen: SocketAddr,
    ) -> Option<SocketAddr> {
        let word = random::name();
        let mut relay = None;
        let mut buffer = [0; DATAGRAM];
        let mut again = Instant::now();
        loop {
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Send(octets) => {
                        self.socket.send_to(&octets, server).await.ok()?;
                    }
                    Output::Allocated(relays) => {
                        relay = relays.into_iter().find(|at| at.is_ipv4() == seen.is_ipv4());
                        relay?;
                        client.permit(seen.ip(), Instant::now());
                    }
                    Output::Failed(_) | Output::Refused(..) => return None,
                    Output::Mapped(_) | Output::Unmapped(_) => {}
                }
            }
            if let Some(relay) = relay.filter(|_| Instant::now() >= again) {
                self.socket.send_to(word.as_bytes(), relay).await.ok()?;
                again = Instant::now() + AGAIN;
            }
            let due = relay
                .map(|_| again)
                .into_iter()
                .chain(client.poll_timeout());
            let due = due.min()?;
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let Ok((length, from)) = received else {
                        continue;
                    };
                    if from != server {
                        continue;
                    }
                    let received = client.handle_datagram(&buffer[..length], Instant::now());
                    if let Received::Data { peer, data } = received
                        && data == word.as_bytes()
                    {
                        return Some(peer);
                    }
                }
                () = sleep_until(due.into()) => client.handle_timeout(Instant::now()),
            }
        }
    }
}

/// The server, if a word comes back that nobody listens there. Only a socket of its own is told.
async fn closed(server: SocketAddr) -> Option<SocketAddr> {
    let socket = UdpSocket::bind((any(server), 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    let mut client = client(Carrier::Datagrams);
    client.learn_mapping(Instant::now());
    while let Some(output) = client.poll_output() {
        if let Output::Send(octets) = output {
            socket.send(&octets).await.ok()?;
        }
    }
    let heard = socket.recv(&mut [0; DATAGRAM]).await;
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    heard.err().filter(refused).map(|_| server)
}

/// Sends what a client wants sent; and what it has been told, once it was.
async fn told(
    socket: &UdpSocket,
    server: SocketAddr,
    client: &mut TurnClient,
) -> Option<Result<SocketAddr, Unheard>> {
    while let Some(output) = client.poll_output() {
        match output {
            Output::Send(octets) => {
                if let Err(error) = socket.send_to(&octets, server).await {
                    return Some(Err(Unheard::NotSent(error)));
                }
            }
            Output::Mapped(address) => return Some(Ok(address)),
            Output::Unmapped(error) => return Some(Err(Unheard::Refused(error))),
            _ => {}
        }
    }
    None
}
