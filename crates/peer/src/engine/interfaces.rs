//! The addresses of this machine that peers may reach it at.

use std::net::IpAddr;

/// Candidates for at most this many addresses: each is paired with each of the peer's.
const MAX_ADDRESSES: usize = 16;

/// One address per interface and family, for host candidates (RFC 8445 5.1.1.1).
///
/// Left out: link-local addresses (they need a zone that does not travel in SDP) and, unless asked for, loopback.
pub(super) fn addresses(loopback: bool) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list network interfaces");
        Vec::new()
    });
    let mut addresses: Vec<_> = interfaces
        .iter()
        .filter(|interface| {
            interface.is_oper_up()
                && !interface.is_link_local()
                && (loopback || !interface.is_loopback())
        })
        .map(if_addrs::Interface::ip)
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_only_when_asked_for() {
        assert!(addresses(true).iter().any(IpAddr::is_loopback));
        assert!(!addresses(false).iter().any(IpAddr::is_loopback));
    }
}
