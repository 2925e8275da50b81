//! UDP sockets, read and written in batches.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

/// Longest that the kernel hands over at once: datagrams put together (GRO) are as long as one IP packet.
const RECEIVE: usize = 64 * 1024;
/// From one buffer to the next: at a distance of 64 KiB all would fall on the same few places of the processor's caches.
const STRIDE: usize = RECEIVE + 17 * 64;
/// Messages asked for at once of a socket that has been quiet: one to be had, and one to see that there is no more.
const QUIET: usize = 2;

/// A socket, and how much it has been giving.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// Messages to ask for next time.
    width: u8,
}

/// What a turn's read told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is no more for now: readiness comes again by itself.
    None,
    /// There may be more.
    Maybe,
}

impl Socket {
    /// Opens a socket at an address. `buffers` are the kernel's, in octets, each way: the system may grant less, and without it has its own default.
    pub(super) fn bind(address: SocketAddr, buffers: Option<usize>) -> io::Result<Self> {
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
        tell_less(&std, address);
        if let Some(octets) = buffers {
            for granted in [
                state.set_recv_buffer_size((&std).into(), octets),
                state.set_send_buffer_size((&std).into(), octets),
            ] {
                if let Err(error) = granted {
                    tracing::debug!(%error, "the socket keeps its default buffers");
                }
            }
        }
        Ok(Self {
            io: UdpSocket::from_std(std),
            state,
            width: QUIET as u8,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.io, token, Interest::READABLE)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) {
        // Closing it does the same.
        let _ = registry.deregister(&mut self.io);
    }

    /// Reads one batch. Readiness is edge-triggered: until [`Rest::None`] the socket must be asked again.
    pub(super) fn receive(&mut self, into: &mut Receiver) -> Rest {
        let width = usize::from(self.width);
        let received = into.fill(width, |buffers, metas| {
            self.io
                .try_io(|| self.state.recv((&self.io).into(), buffers, metas))
        });
        match received {
            Ok(count) => {
                self.width = match count {
                    count if count == width => (2 * width).min(BATCH_SIZE) as u8,
                    count if 2 * count < width => (width / 2).max(QUIET) as u8,
                    _ => self.width,
                };
                // Linux gives fewer than it is asked for only when there are no more; an error in between comes with an event of its own.
                if cfg!(target_os = "linux") && count < width {
                    Rest::None
                } else {
                    Rest::Maybe
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Rest::None,
            // Of a datagram sent before (ICMP): it is told once, and the next read works again.
            Err(error) => {
                tracing::trace!(target: "wire", %error, "a socket reported an error");
                Rest::Maybe
            }
        }
    }

    /// How many datagrams of one size may be sent at once (GSO).
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends datagrams of `segment` octets each, the last one may be shorter, from `source` or the socket's own address.
    pub(super) fn send(
        &self,
        source: Option<IpAddr>,
        destination: SocketAddr,
        segment: Option<usize>,
        octets: &[u8],
    ) -> io::Result<()> {
        if source.is_none() && segment.is_none() {
            // Nothing is to be said beside the octets: the shorter call.
            return self.io.send_to(octets, destination).map(drop);
        }
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: octets,
            segment_size: segment,
            src_ip: source,
        };
        self.state.try_send((&self.io).into(), &transmit)
    }

    /// How many files are open at least, as the system gives the lowest number that is free; 0 where that is not known.
    pub(super) fn number(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return self.as_raw_fd().try_into().unwrap_or_default();
        #[cfg(not(target_os = "linux"))]
        0
    }

    #[cfg(target_os = "linux")]
    pub(super) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.io)
    }
}

/// Buffers for one batch of received datagrams: one for all sockets.
pub(super) struct Receiver {
    buffers: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

/// One datagram of a batch.
pub(super) struct Datagram<'a> {
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// Our address as they used it, where the system tells.
    pub(super) to: Option<IpAddr>,
    /// What it says.
    pub(super) octets: &'a [u8],
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH_SIZE * STRIDE],
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    fn fill(
        &mut self,
        width: usize,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.filled = 0;
        let mut chunks = self.buffers.chunks_exact_mut(STRIDE);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = receive(&mut slices[..width], &mut self.metas)?;
        Ok(self.filled)
    }

    /// How many messages the last batch had; one may hold several datagrams.
    pub(super) const fn messages(&self) -> usize {
        self.filled
    }

    /// What the last batch held.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.metas[..self.filled]
            .iter()
            .zip(self.buffers.chunks_exact(STRIDE))
            .flat_map(|(meta, buffer)| {
                let octets = &buffer[..meta.len.min(STRIDE)];
                // One without any octets is one, too.
                let empty = octets.is_empty().then_some(octets);
                octets
                    .chunks(meta.stride.max(1))
                    .chain(empty)
                    .map(move |octets| Datagram {
                        from: without_flow(meta.addr),
                        to: meta.dst_ip,
                        octets,
                    })
            })
    }
}

/// How many files this process may have open.
#[cfg(target_os = "linux")]
pub(super) fn most_files() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(now, _)| now)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn most_files() -> u64 {
    u64::MAX
}

/// quinn-udp asks the kernel to tell with each datagram when it came, and to which of our addresses: what nobody looks at only costs.
#[cfg(target_os = "linux")]
fn tell_less(socket: &std::net::UdpSocket, address: SocketAddr) {
    use nix::sys::socket::{setsockopt, sockopt};
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &false);
    if !address.ip().is_unspecified() {
        let _ = match address {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &false),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false),
        };
    }
}

#[cfg(not(target_os = "linux"))]
fn tell_less(_: &std::net::UdpSocket, _: SocketAddr) {}

/// The flow label says nothing about who it is.
fn without_flow(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
    }
}
