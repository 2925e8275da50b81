//! The addresses of this machine that peers may reach it at.

use std::net::IpAddr;

/// Candidates for at most this many addresses: each is paired with each of the peer's.
const MAX_ADDRESSES: usize = 16;

/// Which addresses peers are told of. Link-local ones never are: they need a zone that does not travel in a description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addresses {
    /// Those of all interfaces but loopback.
    #[default]
    All,
    /// Loopback alone: nothing but this machine can reach the port.
    Loopback,
    /// Those of all interfaces, for peers on this machine too.
    AllAndLoopback,
    /// Of the interfaces' addresses, these.
    Only(Vec<IpAddr>),
    /// Those of all interfaces but loopback; and these, which a NAT in front of this machine passes on to it, port by port (1:1 NAT).
    Mapped(Vec<IpAddr>),
}

impl Addresses {
    /// The machine's addresses that are told, one per interface and family, for host candidates (RFC 8445 5.1.1.1).
    pub(super) fn list(&self) -> Vec<IpAddr> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list network interfaces");
            Vec::new()
        });
        let mut addresses: Vec<_> = interfaces
            .iter()
            .filter(|interface| interface.is_oper_up() && !interface.is_link_local())
            .map(if_addrs::Interface::ip)
            .filter(|ip| !ip.is_unspecified() && !ip.is_multicast() && self.takes(*ip))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    fn takes(&self, ip: IpAddr) -> bool {
        match self {
            Self::All | Self::Mapped(_) => !ip.is_loopback(),
            Self::Loopback => ip.is_loopback(),
            Self::AllAndLoopback => true,
            Self::Only(these) => these.contains(&ip),
        }
    }

    /// What stands for these addresses of the machine's outside: each mapped one, and the first address of its family.
    pub(super) fn mapped(&self, addresses: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
        let Self::Mapped(mapped) = self else {
            return Vec::new();
        };
        let base = |outside: &IpAddr| {
            let is_alike = |ip: &&IpAddr| ip.is_ipv4() == outside.is_ipv4();
            addresses
                .iter()
                .find(is_alike)
                .map(|base| (*outside, *base))
        };
        mapped.iter().take(MAX_ADDRESSES).filter_map(base).collect()
    }

    /// Whether nothing but this machine is to reach the port.
    pub(super) fn is_loopback(&self) -> bool {
        *self == Self::Loopback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_only_when_asked_for() {
        assert!(
            Addresses::AllAndLoopback
                .list()
                .iter()
                .any(IpAddr::is_loopback)
        );
        assert!(!Addresses::All.list().iter().any(IpAddr::is_loopback));
        let loopback = Addresses::Loopback.list();
        assert!(!loopback.is_empty() && loopback.iter().all(IpAddr::is_loopback));
        let one = loopback[0];
        assert_eq!(Addresses::Only(vec![one]).list(), [one]);
        assert!(
            Addresses::Only(vec![[192, 0, 2, 1].into()])
                .list()
                .is_empty()
        );
    }

    #[test]
    fn a_mapped_address_stands_for_one_of_its_family() {
        let outside: IpAddr = [192, 0, 2, 1].into();
        let mapped = Addresses::Mapped(vec![outside, [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()]);
        let inside = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        assert_eq!(mapped.mapped(&inside), [(outside, inside[0])]);
        assert_eq!(Addresses::All.mapped(&inside), []);
    }
}
