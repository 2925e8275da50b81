//! The sockets that clients use.

use std::io;
use std::net::SocketAddr;

use peerage_proto::turn::server::Transport;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::TcpListener;
use tracing::debug;

use super::socket::Socket;
use super::{TurnError, TurnPlaces};
use crate::config::Config;

/// Kernel buffers of the sockets that all clients use, in octets, each way: some 15 ms of a gigabit line. The system may grant less.
const BUFFERS: usize = 2 * 1024 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What is listened to.
#[derive(Debug, Default)]
pub(super) struct Listening {
    pub(super) datagrams: Vec<(SocketAddr, Socket)>,
    pub(super) streams: Vec<(Transport, TcpListener)>,
    pub(super) places: TurnPlaces,
}

impl Listening {
    /// Opens all that is named or else there by default. What is named must be had.
    pub(super) fn bind(config: &Config) -> Result<Self, TurnError> {
        let mut listening = Self::default();
        let Some(turn) = &config.turn else {
            return Ok(listening);
        };
        let kinds = [
            (Transport::Udp, config.turn_listen(), &turn.listen),
            (Transport::Tcp, config.turn_listen(), &turn.listen),
            (Transport::Tls, config.turn_tls_listen(), &turn.tls_listen),
        ];
        for (transport, addresses, named) in kinds {
            let mut missed = Vec::new();
            for address in &addresses {
                match listening.open(transport, *address) {
                    Ok(()) => {}
                    Err(error) if named.is_empty() => missed.push((*address, error)),
                    Err(error) => return Err(told(transport, *address, error)),
                }
            }
            let has_some = missed.len() < addresses.len();
            for (address, error) in missed {
                if has_some && lacks_family(&error) {
                    debug!(%error, %address, "one address family only");
                } else {
                    let error = told(transport, address, error);
                    listening.places.missed.push(error);
                }
            }
        }
        Ok(listening)
    }

    fn open(&mut self, transport: Transport, address: SocketAddr) -> io::Result<()> {
        if transport == Transport::Udp {
            let socket = Socket::bind(address, Some(BUFFERS))?;
            let address = socket.local_addr()?;
            self.places.udp.push(address);
            self.datagrams.push((address, socket));
            return Ok(());
        }
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        match transport {
            Transport::Tls => self.places.tls.push(address),
            _ => self.places.tcp.push(address),
        }
        self.streams.push((transport, listener));
        Ok(())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let raw = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // The other family has a socket of its own.
        raw.set_only_v6(true)?;
    }
    // Elsewhere it would let two listen at one port.
    #[cfg(unix)]
    raw.set_reuse_address(true)?;
    raw.bind(&address.into())?;
    raw.listen(BACKLOG)?;
    raw.set_nonblocking(true)?;
    TcpListener::from_std(raw.into())
}

/// Whether the reason may be that the machine lacks the address, as one without IPv6 lacks `::1`: nobody else has it then.
fn lacks_family(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

fn told(transport: Transport, address: SocketAddr, source: io::Error) -> TurnError {
    match source.kind() {
        io::ErrorKind::AddrInUse => TurnError::InUse { transport, address },
        _ => TurnError::Listen {
            transport,
            address,
            source,
        },
    }
}
