//! This machine's addresses: from which to relay, and with which nobody is to speak.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use peerage_proto::turn::peers::{Peers, Verdict};
use peerage_proto::turn::server::Relay;
use tracing::{debug, warn};

use super::{TurnConfig, TurnError};

/// Where to relay from.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) v4: Option<Relay>,
    pub(super) v6: Option<Relay>,
}

impl Addresses {
    /// Those that are named; else, in a family, the one that clients use; else the one by which this machine speaks to the internet.
    pub(super) fn find(config: &TurnConfig, listen: &[SocketAddr]) -> Result<Self, TurnError> {
        let relay = |is_v6: bool| -> Result<Option<Relay>, TurnError> {
            let of_family = |addresses: &[IpAddr]| {
                let mut addresses = addresses.iter().copied();
                addresses.find(|address| address.is_ipv6() == is_v6)
            };
            let listen: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).collect();
            let named = of_family(&config.relay_addresses);
            let bind = match named {
                Some(address) => Some(address),
                None => match of_family(&listen) {
                    Some(address) if address.is_unspecified() => outward(is_v6),
                    other => other,
                },
            };
            let Some(bind) = bind else {
                return Ok(None);
            };
            match UdpSocket::bind((bind, 0)) {
                Ok(_) => {}
                Err(source) if named.is_some() => {
                    return Err(TurnError::Relay {
                        address: bind,
                        source,
                    });
                }
                Err(error) => {
                    debug!(%error, address = %bind, "nothing is relayed in this address family");
                    return Ok(None);
                }
            }
            let external = of_family(&config.external_addresses);
            if external.is_none() && !bind.is_loopback() && is_special(bind) {
                warn!(
                    address = %bind,
                    "peers elsewhere cannot reach the address that is relayed from: name the one that they see with --turn-external-address"
                );
            }
            Ok(Some(Relay {
                bind,
                external: external.unwrap_or(bind),
            }))
        };
        Ok(Self {
            v4: relay(false)?,
            v6: relay(true)?,
        })
    }

    /// All addresses under which this machine is reached.
    pub(super) fn own(&self, listen: &[SocketAddr]) -> Vec<IpAddr> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            warn!(%error, "cannot list this machine's addresses: name those that nobody may be relayed to with --turn-deny-peer");
            Vec::new()
        });
        let relays = [self.v4, self.v6].into_iter().flatten();
        let mut own: Vec<IpAddr> = interfaces
            .iter()
            .map(if_addrs::Interface::ip)
            .chain(relays.flat_map(|relay| [relay.bind, relay.external]))
            .chain(listen.iter().map(SocketAddr::ip))
            .filter(|address| !address.is_unspecified())
            .collect();
        own.sort_unstable();
        own.dedup();
        own
    }
}

/// Whether the internet has no way there.
fn is_special(address: IpAddr) -> bool {
    Peers::default().judge(address) == Verdict::Special
}

/// The address by which this machine speaks to the internet. Nothing is sent: to connect a UDP socket only chooses a way.
fn outward(is_v6: bool) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849) take the default route, and belong to nobody.
    let (any, far): (IpAddr, IpAddr) = if is_v6 {
        let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        (Ipv6Addr::UNSPECIFIED.into(), far.into())
    } else {
        let far = Ipv4Addr::new(192, 0, 2, 1);
        (Ipv4Addr::UNSPECIFIED.into(), far.into())
    };
    let find = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((far, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    let address = find().ok()?;
    let is_here_only = match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    (!is_here_only && !address.is_loopback() && !address.is_unspecified()).then_some(address)
}
