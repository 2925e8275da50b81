//! Two allocations at one TURN server that meet: what one relay sends is to arrive at the other, and back.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use peerage_proto::turn::client::{Carrier, Error, Output, Received};
use peerage_proto::turn::credentials::Credentials;
use peerage_proto::wire::ice_url::{IceUrl, Transport};
use peerage_proto::wire::turn::frame_length;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use super::finding::{Finding, NoWay, plain};
use super::mapping::{TurnClient, any, client};
use super::server::{silence, tls_problem};
use crate::net::{self, Roots, Stream};
use crate::random;

/// For a connection over TCP or TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// For what one relay sends to arrive at the other and come back.
const MEET: Duration = Duration::from_secs(3);
/// Between two datagrams of which one is to arrive.
const AGAIN: Duration = Duration::from_millis(100);
/// For the server to take both allocations back.
const GOODBYE: Duration = Duration::from_millis(500);
/// Read at once.
const READ: usize = 4_096;

/// Has two relays of one server meet.
pub(super) async fn meet(url: &IceUrl, credentials: &Credentials, roots: &Roots) -> Finding {
    let begun = Instant::now();
    let (mut a, mut b) = match both(url, credentials, roots).await {
        Ok(both) => both,
        Err(finding) => return finding,
    };
    let allocated = begun.elapsed();
    let mut found = Finding::NotAllocated(Error::Malformed);
    // Of one family first, then of the other where both have it.
    for from in a.relays.clone() {
        let Some(to) = b.relay_like(from) else {
            continue;
        };
        found = match there_and_back(&mut a, from, &mut b, to).await {
            Ok(round_trip) => Finding::Relayed {
                relays: a.relays.clone(),
                allocated,
                round_trip,
            },
            Err(finding) => {
                found = finding;
                break;
            }
        };
    }
    let _ = timeout(GOODBYE, async { tokio::join!(a.leave(), b.leave()) }).await;
    found
}

async fn both(
    url: &IceUrl,
    credentials: &Credentials,
    roots: &Roots,
) -> Result<(Leg, Leg), Finding> {
    if url.transport != Transport::Udp {
        let open = || async {
            let leg = Leg::stream(url, roots).await.map_err(Finding::NoWay)?;
            leg.allocate(credentials.clone()).await
        };
        return tokio::try_join!(open(), open());
    }
    let host = net::host(&url.host);
    let unknown = |error: &dyn ToString| Finding::NoWay(NoWay::NotResolved(error.to_string()));
    let addresses = match net::addresses(&host, url.port).await {
        Ok(addresses) => addresses,
        Err(error) => return Err(unknown(&error)),
    };
    let mut last = unknown(&"the name has no address");
    // One after the other: what a family without a way costs is no time.
    for server in addresses {
        let open = || async move {
            let leg = Leg::datagrams(server).await.map_err(Finding::NoWay)?;
            leg.allocate(credentials.clone()).await
        };
        match tokio::try_join!(open(), open()) {
            Ok(both) => return Ok(both),
            // Where the one answers, it is the server's word that counts.
            Err(finding) => {
                let no_way = matches!(finding, Finding::NoWay(_));
                let is_first = matches!(last, Finding::NoWay(NoWay::NotResolved(_)));
                if is_first || !no_way {
                    last = finding;
                }
            }
        }
    }
    Err(last)
}

/// How long it takes to the other relay and back.
async fn there_and_back(
    a: &mut Leg,
    from: SocketAddr,
    b: &mut Leg,
    to: SocketAddr,
) -> Result<Duration, Finding> {
    let begun = Instant::now();
    a.client.permit(to.ip(), begun);
    b.client.permit(from.ip(), begun);
    let exchange = async {
        // The first finds the permissions being made, and is not measured.
        let mut round_trip = Duration::ZERO;
        for _ in 0..2 {
            round_trip = echo(a, from, b, to).await?;
        }
        Ok(round_trip)
    };
    timeout(MEET, exchange)
        .await
        .unwrap_or(Err(Finding::NotRelayed(to)))
}

async fn echo(
    a: &mut Leg,
    from: SocketAddr,
    b: &mut Leg,
    to: SocketAddr,
) -> Result<Duration, Finding> {
    let word = random::name().into_bytes();
    let mut sent = Instant::now();
    a.send(to, &word);
    loop {
        tokio::select! {
            event = a.next() => match event.map_err(|error| lost(&error))? {
                Event::Data(peer, data) if peer == to && data == word => return Ok(sent.elapsed()),
                event => refusal(event, to)?,
            },
            event = b.next() => match event.map_err(|error| lost(&error))? {
                Event::Data(peer, data) if peer == from => b.send(from, &data),
                event => refusal(event, from)?,
            },
            () = sleep_until((sent + AGAIN).into()) => {
                sent = Instant::now();
                a.send(to, &word);
            }
        }
    }
}

fn refusal(event: Event, relay: SocketAddr) -> Result<(), Finding> {
    match event {
        Event::Told(Output::Refused(_, code)) => Err(Finding::PeerRefused { relay, code }),
        Event::Told(Output::Failed(error)) => Err(Finding::NotAllocated(error)),
        _ => Ok(()),
    }
}

fn lost(error: &io::Error) -> Finding {
    Finding::NoWay(match error.kind() {
        io::ErrorKind::ConnectionRefused => NoWay::Closed,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable => NoWay::NotSent(plain(error)),
        io::ErrorKind::UnexpectedEof => NoWay::Lost("the server closed it".into()),
        _ => NoWay::Lost(plain(error)),
    })
}

/// One client at the server, over a way of its own.
struct Leg {
    client: TurnClient,
    way: Way,
    relays: Vec<SocketAddr>,
    scratch: Vec<u8>,
}

enum Way {
    Datagrams {
        socket: UdpSocket,
        waiting: VecDeque<Vec<u8>>,
        buffer: Box<[u8; READ]>,
    },
    Stream {
        stream: Box<dyn Stream>,
        outgoing: BytesMut,
        incoming: BytesMut,
    },
}

/// What happens on a leg.
enum Event {
    Told(Output),
    Data(SocketAddr, Vec<u8>),
}

impl Leg {
    async fn datagrams(server: SocketAddr) -> Result<Self, NoWay> {
        let socket = async {
            let socket = UdpSocket::bind((any(server), 0)).await?;
            // Then the word that a port is closed comes back to this socket.
            socket.connect(server).await?;
            Ok(socket)
        };
        let socket = socket
            .await
            .map_err(|error: io::Error| NoWay::NotSent(plain(&error)))?;
        let way = Way::Datagrams {
            socket,
            waiting: VecDeque::new(),
            buffer: Box::new([0; READ]),
        };
        Ok(Self::new(Carrier::Datagrams, way))
    }

    async fn stream(url: &IceUrl, roots: &Roots) -> Result<Self, NoWay> {
        let host = net::host(&url.host);
        let not_reached = |error: io::Error| NoWay::NotReached(plain(&error));
        let connected = timeout(CONNECT, net::connect(&host, url.port)).await;
        let connected = connected.unwrap_or_else(|_| Err(silence()));
        let stream: Box<dyn Stream> = match url.transport {
            Transport::Tls => {
                let stream = connected.map_err(not_reached)?;
                let secured = timeout(CONNECT, net::secure(stream, &host, roots)).await;
                let secured = secured.unwrap_or_else(|_| Err(silence()));
                Box::new(secured.map_err(|error| {
                    let (problem, words) = tls_problem(&error);
                    NoWay::NotSecured(problem, words)
                })?)
            }
            _ => Box::new(connected.map_err(not_reached)?),
        };
        let way = Way::Stream {
            stream,
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
        };
        Ok(Self::new(Carrier::Stream, way))
    }

    fn new(carrier: Carrier, way: Way) -> Self {
        Self {
            client: client(carrier),
            way,
            relays: Vec::new(),
            scratch: Vec::new(),
        }
    }

    async fn allocate(mut self, credentials: Credentials) -> Result<Self, Finding> {
        self.client.allocate(credentials, Instant::now());
        loop {
            match self.next().await.map_err(|error| lost(&error))? {
                Event::Told(Output::Allocated(relays)) => {
                    self.relays = relays;
                    return Ok(self);
                }
                Event::Told(Output::Failed(error)) => return Err(Finding::NotAllocated(error)),
                _ => {}
            }
        }
    }

    fn relay_like(&self, other: SocketAddr) -> Option<SocketAddr> {
        let mut relays = self.relays.iter();
        relays.find(|at| at.is_ipv4() == other.is_ipv4()).copied()
    }

    /// Has data for a peer sent, once that is permitted.
    fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut octets = std::mem::take(&mut self.scratch);
        if self.client.send(peer, data, &mut octets) {
            self.way.put(&octets);
        }
        self.scratch = octets;
    }

    /// Gives the allocation back.
    async fn leave(&mut self) {
        self.client.delete(Instant::now());
        while !self.client.is_idle() && self.next().await.is_ok() {}
    }

    /// What happens next. Cancel-safe.
    async fn next(&mut self) -> io::Result<Event> {
        loop {
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Send(octets) => self.way.put(&octets),
                    told => return Ok(Event::Told(told)),
                }
            }
            let due = self.client.poll_timeout();
            let idle = due.is_none() && self.client.is_idle();
            if idle {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let taken = tokio::select! {
                frame = self.way.take() => Some(frame?),
                () = at(due) => None,
            };
            let now = Instant::now();
            match taken {
                None => self.client.handle_timeout(now),
                Some(frame) => {
                    if let Received::Data { peer, data } = self.client.handle_datagram(&frame, now)
                    {
                        return Ok(Event::Data(peer, data.to_vec()));
                    }
                }
            }
        }
    }
}

impl Way {
    fn put(&mut self, octets: &[u8]) {
        match self {
            Self::Datagrams { waiting, .. } => waiting.push_back(octets.to_vec()),
            Self::Stream { outgoing, .. } => outgoing.extend_from_slice(octets),
        }
    }

    /// Sends what waits, and gives the next frame that comes. Cancel-safe.
    async fn take(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Datagrams {
                socket,
                waiting,
                buffer,
            } => {
                while let Some(octets) = waiting.front() {
                    socket.send(octets).await?;
                    waiting.pop_front();
                }
                let length = socket.recv(&mut buffer[..]).await?;
                Ok(buffer[..length].to_vec())
            }
            Self::Stream {
                stream,
                outgoing,
                incoming,
            } => {
                while outgoing.has_remaining() {
                    stream.write_buf(outgoing).await?;
                }
                stream.flush().await?;
                loop {
                    if let Some(length) = frame_length(incoming).map_err(io::Error::other)?
                        && incoming.len() >= length
                    {
                        return Ok(incoming.split_to(length).to_vec());
                    }
                    incoming.reserve(READ);
                    if stream.read_buf(incoming).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
