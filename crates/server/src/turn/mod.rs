//! STUN and TURN, beside the signalling.

mod addresses;
mod bell;
mod config;
mod connection;
mod listen;
mod many;
mod outgoing;
mod service;
mod socket;
mod stats;
mod stream;
mod thread;

use std::io;
use std::net::{IpAddr, SocketAddr};

use peerage_proto::turn::server::Transport;

pub use config::TurnConfig;
pub(crate) use service::Turn;
pub use stats::TurnStats;
pub(crate) use stats::{Shared as SharedStats, lock as lock_stats};

/// Where a server answers STUN and TURN.
#[derive(Debug, Default)]
pub struct TurnPlaces {
    /// By UDP; the ports are the true ones where 0 was asked for.
    pub udp: Vec<SocketAddr>,
    /// By TCP.
    pub tcp: Vec<SocketAddr>,
    /// Over TLS.
    pub tls: Vec<SocketAddr>,
    /// Of what nobody named: what could not be had, and is off.
    pub missed: Vec<TurnError>,
}

impl TurnPlaces {
    /// Whether anything is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.tcp.is_empty() && self.tls.is_empty()
    }

    /// Whether another program has a port at one of the places where it would have been ours: who is told of it by the server's name may come to that one.
    pub(crate) fn is_shared(&self, transport: Transport, port: u16) -> bool {
        self.missed.iter().any(|missed| match missed {
            TurnError::InUse {
                transport: by,
                address,
            } => *by == transport && address.port() == port,
            _ => false,
        })
    }

    /// Whether TURN is among it: without an address to relay from there is STUN alone.
    #[must_use]
    pub fn relays(&self) -> bool {
        let no_relay = |missed: &TurnError| matches!(missed, TurnError::NoRelay);
        !self.is_empty() && !self.missed.iter().any(no_relay)
    }
}

/// Why STUN and TURN cannot be served, at one place or at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// Another process listens there.
    #[error("{} {address}, for STUN and TURN, is in use", name(*transport))]
    InUse {
        /// How it would be asked for.
        transport: Transport,
        /// Where.
        address: SocketAddr,
    },
    /// The system refuses for another reason: an address that is not ours, a port that needs rights.
    #[error("cannot listen on {} {address}, for STUN and TURN", name(*transport))]
    Listen {
        /// How it would be asked for.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No socket can be opened at the address that was named for relaying.
    #[error("cannot relay from {address}")]
    Relay {
        /// Which.
        address: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// None was named, and this machine has none that peers could be told.
    #[error("this machine has no address to relay from")]
    NoRelay,
    /// The system has no thread or no timer for it.
    #[error("STUN and TURN cannot be started")]
    Start(#[source] io::Error),
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    }
}
