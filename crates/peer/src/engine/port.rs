//! One UDP port, a socket per family, read and written in batches.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::gather::Gatherer;

/// Kernel buffers, in octets, each way. The system may grant less.
const SOCKET_BUFFER: usize = 2 << 20;
/// A GRO batch is at most one IP packet's length.
const RECEIVE_BUFFER: usize = 64 << 10;
/// Room for one GSO batch.
const MAX_BATCH: usize = 60_000;
/// Batches kept while the kernel's buffer is full; more are dropped as a router would: SCTP sends them again.
const MAX_BACKLOG: usize = 64;
/// Tries to find a port number that is free in both families.
const BIND_ATTEMPTS: usize = 16;

pub(super) struct Port {
    number: u16,
    sockets: Vec<Socket>,
    /// What servers give to it.
    pub(super) gatherer: Gatherer,
}

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    v6: bool,
    number: u16,
    readable: bool,
    batch: Batch,
    backlog: VecDeque<Batch>,
}

/// Datagrams of one size between the same two addresses; the last may be shorter (UDP_SEGMENT).
#[derive(Debug, Clone)]
struct Batch {
    source: IpAddr,
    destination: SocketAddr,
    segment: usize,
    count: usize,
    octets: Vec<u8>,
}

impl Port {
    /// Binds `number` (0: any) in both families, for all of the machine's addresses or its loopback ones alone; one family is enough where the other is
    /// not to be had.
    pub(super) fn bind(
        number: u16,
        loopback: bool,
        registry: &Registry,
        tokens: [Token; 2],
        gatherer: Gatherer,
    ) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..BIND_ATTEMPTS {
            match Self::try_bind(number, loopback) {
                Ok((number, mut sockets)) => {
                    for (socket, token) in sockets.iter_mut().zip(tokens) {
                        socket.register(registry, token)?;
                    }
                    return Ok(Self {
                        number,
                        sockets,
                        gatherer,
                    });
                }
                Err(error) if number == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                    last = error
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn try_bind(number: u16, loopback: bool) -> io::Result<(u16, Vec<Socket>)> {
        let (v4, v6) = match loopback {
            true => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            false => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        };
        // Where one family has the number taken by somebody else, it is not ours in the other either.
        let bind = |ip: IpAddr, number| match Socket::bind(SocketAddr::new(ip, number)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            other => Ok(other),
        };
        let v4 = bind(v4.into(), number)?;
        let number = v4.as_ref().map_or(number, |socket| socket.number);
        let v6 = bind(v6.into(), number)?;
        let number = v6.as_ref().map_or(number, |socket| socket.number);
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok((number, vec![v4, v6])),
            (Ok(one), Err(error)) | (Err(error), Ok(one)) => {
                tracing::debug!(%error, "one address family only");
                Ok((number, vec![one]))
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn sockets_mut(&mut self) -> &mut [Socket] {
        &mut self.sockets
    }

    /// Whether host candidates of this address can be served.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        self.sockets
            .iter()
            .any(|socket| socket.v6 == address.is_ipv6())
    }

    /// Queues one datagram from an address with this port; [`flush`](Self::flush) sends what has been queued. What is to go from any other port, a relay that is
    /// gone, is dropped.
    pub(super) fn send(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        if source.port() == self.number {
            self.send_direct(source.ip(), destination, datagram);
        }
    }

    /// The same from an address alone; an unspecified one is the system's to choose.
    pub(super) fn send_direct(&mut self, source: IpAddr, destination: SocketAddr, datagram: &[u8]) {
        if let Some(socket) = self
            .sockets
            .iter_mut()
            .find(|socket| socket.v6 == destination.is_ipv6())
        {
            socket.send(source, destination, datagram);
        }
    }

    pub(super) fn flush(&mut self) {
        self.sockets.iter_mut().for_each(Socket::flush);
        self.gatherer.flush();
    }

    /// Whether there may be something to read at once.
    pub(super) fn is_readable(&self) -> bool {
        self.sockets.iter().any(Socket::is_readable) || self.gatherer.is_readable()
    }
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            raw.set_only_v6(true)?;
        }
        raw.bind(&address.into())?;
        let std: std::net::UdpSocket = raw.into();
        let state = UdpSocketState::new((&std).into())?;
        for granted in [
            state.set_recv_buffer_size((&std).into(), SOCKET_BUFFER),
            state.set_send_buffer_size((&std).into(), SOCKET_BUFFER),
        ] {
            if let Err(error) = granted {
                tracing::debug!(%error, "the socket keeps its default buffers");
            }
        }
        let number = std.local_addr()?.port();
        Ok(Self {
            io: UdpSocket::from_std(std),
            state,
            v6: address.is_ipv6(),
            number,
            readable: true,
            batch: Batch::new(),
            backlog: VecDeque::new(),
        })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.io, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn set_readable(&mut self) {
        self.readable = true;
    }

    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads one batch. Readiness is edge-triggered: a socket stays readable until it said that it has no more.
    pub(super) fn receive(&mut self, into: &mut Receiver) {
        into.number = self.number;
        into.fill(
            |buffers, metas| {
                self.io
                    .try_io(|| self.state.recv((&self.io).into(), buffers, metas))
            },
            &mut self.readable,
        );
    }

    /// Queues one datagram; an unspecified source is the system's to choose.
    pub(super) fn send(&mut self, source: IpAddr, destination: SocketAddr, datagram: &[u8]) {
        if !self.batch.takes(
            source,
            destination,
            datagram.len(),
            self.state.max_gso_segments(),
        ) {
            self.flush_batch();
            self.batch.begin(source, destination, datagram.len());
        }
        self.batch.push(datagram);
    }

    /// The socket takes more again.
    pub(super) fn set_writable(&mut self) {
        while let Some(mut batch) = self.backlog.pop_front() {
            if self.transmit(&mut batch).is_err() {
                self.backlog.push_front(batch);
                return;
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.flush_batch();
    }

    fn flush_batch(&mut self) {
        if self.batch.count == 0 {
            return;
        }
        let mut batch = std::mem::replace(&mut self.batch, Batch::new());
        if self.backlog.is_empty() && self.transmit(&mut batch).is_ok() {
            batch.clear();
            self.batch = batch;
        } else if self.backlog.len() < MAX_BACKLOG {
            self.backlog.push_back(batch);
        }
    }

    /// Sends a batch; `Err` when the kernel's buffer is full. Any other error loses the datagrams, as the network may.
    fn transmit(&self, batch: &mut Batch) -> Result<(), WouldBlock> {
        match self.try_send(&batch.transmit()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(WouldBlock),
            // Segmentation was refused, and is switched off from now on: this batch goes one by one.
            Err(_) if batch.count > 1 => {
                for datagram in batch.octets.chunks(batch.segment) {
                    let _ = self.try_send(&Transmit {
                        contents: datagram,
                        segment_size: None,
                        ..batch.transmit()
                    });
                }
                Ok(())
            }
            Err(error) => {
                tracing::trace!(target: "wire", %error, destination = %batch.destination, "datagram lost");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io
            .try_io(|| self.state.try_send((&self.io).into(), transmit))
    }
}

struct WouldBlock;

impl Batch {
    fn new() -> Self {
        Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination: (Ipv4Addr::UNSPECIFIED, 0).into(),
            segment: 0,
            count: 0,
            octets: Vec::new(),
        }
    }

    fn begin(&mut self, source: IpAddr, destination: SocketAddr, segment: usize) {
        self.octets.clear();
        (self.source, self.destination, self.segment, self.count) =
            (source, destination, segment, 0);
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.count = 0;
    }

    fn takes(&self, source: IpAddr, destination: SocketAddr, len: usize, segments: usize) -> bool {
        self.count > 0
            && self.count < segments
            && (self.source, self.destination) == (source, destination)
            && len <= self.segment
            // A shorter one was the last.
            && self.octets.len() == self.count * self.segment
            && self.octets.len() + len <= MAX_BATCH
    }

    fn push(&mut self, datagram: &[u8]) {
        self.octets.extend_from_slice(datagram);
        self.count += 1;
    }

    fn transmit(&self) -> Transmit<'_> {
        Transmit {
            destination: self.destination,
            ecn: None,
            contents: &self.octets,
            segment_size: (self.count > 1).then_some(self.segment),
            src_ip: (!self.source.is_unspecified()).then_some(self.source),
        }
    }
}

/// Buffers for one batch of received datagrams.
pub(super) struct Receiver {
    buffers: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
    number: u16,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH_SIZE * RECEIVE_BUFFER],
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            number: 0,
        }
    }

    fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
        readable: &mut bool,
    ) {
        let mut chunks = self.buffers.chunks_exact_mut(RECEIVE_BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = match receive(&mut slices, &mut self.metas) {
            Ok(count) => count,
            Err(error) => {
                // Other errors are those of datagrams sent before (ICMP); the next read works again.
                *readable = error.kind() != io::ErrorKind::WouldBlock;
                0
            }
        };
    }

    /// What the last batch held: where each datagram came from, where it went, and its octets.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        self.metas[..self.filled]
            .iter()
            .zip(self.buffers.chunks_exact(RECEIVE_BUFFER))
            .flat_map(|(meta, buffer)| {
                let source = canonical(meta.addr);
                let ip = meta.dst_ip.unwrap_or(match source {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                });
                let destination = SocketAddr::new(ip, self.number);
                buffer[..meta.len.min(RECEIVE_BUFFER)]
                    .chunks(meta.stride.max(1))
                    .map(move |datagram| (source, destination, datagram))
            })
    }
}

/// Flow label and zone say nothing about who it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0).into(),
    }
}
