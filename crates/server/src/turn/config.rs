//! What can be set of STUN and TURN.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use peerage_proto::turn::credentials::Secret;

use crate::config::{Config, ConfigError, LONGEST};
use crate::host::UrlHost;

/// STUN and TURN (RFC 8489, RFC 8656): where, for whom, how much.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// Where both are asked for, by UDP and by TCP. Default empty: port 3478 at [`Config::listen`]'s address, of both families where that is a wildcard or
    /// loopback. What is taken of the default stays off; a place that is named must be free.
    pub listen: Vec<SocketAddr>,
    /// Where TURN is asked for over TLS, with [`Config::tls`]. Default empty: port 5349 as above, where there is a certificate.
    pub tls_listen: Vec<SocketAddr>,
    /// This machine's addresses that peers see of who is relayed, one of a family at most. Default empty: found.
    pub relay_addresses: Vec<IpAddr>,
    /// What the internet calls them, where a NAT gives each an address of its own and keeps ports (a cloud's 1:1 NAT); one of a family at most. Default empty:
    /// the same.
    pub external_addresses: Vec<IpAddr>,
    /// UDP ports of relay addresses. Default 61000 to 62999: beyond those that Linux gives to other programs' sockets, and as many as there may be
    /// allocations ([`TurnConfig::total_quota`]).
    pub relay_ports: RangeInclusive<u16>,
    /// What clients are told to log in to (RFC 8489 section 9.2). Default none: [`Config::domain`], else `peerage`.
    pub realm: Option<String>,
    /// The name or address under which clients are told to find this server. Default none: [`Config::domain`], else the host by which the client came.
    pub host: Option<String>,
    /// What credentials are made with. Default none: one that is drawn at the start, so that a restart ends all credentials.
    pub secret: Option<Secret>,
    /// How long credentials are good, in whole seconds. Default 24 h: a page that stays open for a day.
    pub lifetime: Duration,
    /// Allocations of one user, which is the name behind the expiry: an id. Default 10: a browser makes some for each of its addresses.
    pub user_quota: usize,
    /// Allocations of one client address, an IPv6 /64 counting as one. Default none: behind carriers' NAT thousands of people have one. In any case an
    /// address has no more than are free at the time, so that nobody takes the last one from who has none.
    pub address_quota: Option<usize>,
    /// Allocations in all. Default 2,000: each has a port of its own.
    pub total_quota: usize,
    /// Octets a second of one allocation, each way. Default 8 MiB, a film in 4K and as much again. What is more is dropped, as a network does.
    pub bandwidth: Option<u32>,
    /// Peers that may be relayed to although they are not of the public internet: private networks, this machine. Default none.
    pub allow_peers: Vec<IpNet>,
    /// Peers that may not. Default none. Of all networks that hold an address the longest prefix decides, and between two alike this one.
    pub deny_peers: Vec<IpNet>,
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls_listen: Vec::new(),
            relay_addresses: Vec::new(),
            external_addresses: Vec::new(),
            relay_ports: 61_000..=62_999,
            realm: None,
            host: None,
            secret: None,
            lifetime: Duration::from_secs(24 * 60 * 60),
            user_quota: 10,
            address_quota: None,
            total_quota: 2_000,
            bandwidth: Some(8 * 1024 * 1024),
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
        }
    }
}

/// RFC 8489 section 18.6.
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// RFC 8489 section 14.9: a realm has fewer characters.
const REALM: usize = 128;

impl Config {
    /// Where STUN and TURN are asked for, by UDP and by TCP: what [`TurnConfig::listen`] names, else its default. Nothing where they are off.
    #[must_use]
    pub fn turn_listen(&self) -> Vec<SocketAddr> {
        match &self.turn {
            None => Vec::new(),
            Some(turn) if turn.listen.is_empty() => at_own_host(self.listen.ip(), PORT),
            Some(turn) => turn.listen.clone(),
        }
    }

    /// Where TURN is asked for over TLS. Nothing where it is off, or there is no certificate.
    #[must_use]
    pub fn turn_tls_listen(&self) -> Vec<SocketAddr> {
        match &self.turn {
            Some(turn) if self.tls.is_some() && turn.tls_listen.is_empty() => {
                at_own_host(self.listen.ip(), TLS_PORT)
            }
            Some(turn) if self.tls.is_some() => turn.tls_listen.clone(),
            _ => Vec::new(),
        }
    }

    /// What clients of TURN log in to.
    #[must_use]
    pub fn turn_realm(&self) -> &str {
        let named = self.turn.as_ref().and_then(|turn| turn.realm.as_deref());
        let domain = self.domain.as_deref();
        named
            .or(domain.filter(|domain| domain.len() < REALM))
            .unwrap_or("peerage")
    }
}

/// A client that knows this host by its name may come by either family.
fn at_own_host(ip: IpAddr, port: u16) -> Vec<SocketAddr> {
    let addresses: &[IpAddr] = match ip {
        _ if ip.is_unspecified() => &[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
        IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => &[
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ],
        _ => &[ip],
    };
    let places = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
    places.collect()
}

impl TurnConfig {
    pub(crate) fn check(&self, has_certificate: bool) -> Result<(), ConfigError> {
        let wrong = |key, value: String, expected| {
            Err(ConfigError {
                key,
                value,
                expected,
            })
        };
        if let Some(place) = self.tls_listen.first().filter(|_| !has_certificate) {
            let expected = "a certificate as well: TURN over TLS is served with that of https";
            return wrong("turn.tls_listen", place.to_string(), expected);
        }
        for (key, addresses) in [
            ("turn.relay_addresses", &self.relay_addresses),
            ("turn.external_addresses", &self.external_addresses),
        ] {
            if let Some(address) = addresses.iter().find(|address| !is_one_host(address)) {
                let expected = "the address of one machine, without a family's other notation";
                return wrong(key, address.to_string(), expected);
            }
            let of_family = |is_ipv6| addresses.iter().filter(move |at| at.is_ipv6() == is_ipv6);
            if let Some(second) = [false, true]
                .into_iter()
                .find_map(|is_ipv6| of_family(is_ipv6).nth(1))
            {
                let expected = "one IPv4 and one IPv6 address at most";
                return wrong(key, second.to_string(), expected);
            }
        }
        let (first, last) = (*self.relay_ports.start(), *self.relay_ports.end());
        if first == 0 || first > last {
            let expected = "ports from 1 on, the lower one first, such as 61000-62999";
            return wrong("turn.relay_ports", format!("{first}-{last}"), expected);
        }
        // It stands between quotes (RFC 8489 section 14.9).
        let is_realm = |realm: &String| {
            (1..REALM).contains(&realm.chars().count())
                && !realm.contains(|at: char| at.is_control() || at == '"' || at == '\\')
        };
        if let Some(realm) = self.realm.as_ref().filter(|realm| !is_realm(realm)) {
            let expected = "1 to 127 characters, without quotes and backslashes";
            return wrong("turn.realm", realm.clone(), expected);
        }
        let is_host = |host: &String| UrlHost::parse(host).is_some();
        if let Some(host) = self.host.as_ref().filter(|host| !is_host(host)) {
            let expected = "a DNS name or an address, without port";
            return wrong("turn.host", host.clone(), expected);
        }
        if !(Duration::from_secs(1)..=LONGEST).contains(&self.lifetime) {
            let expected = "a second at least, a year at most";
            return wrong("turn.lifetime", format!("{:?}", self.lifetime), expected);
        }
        let numbers = [
            ("turn.user_quota", self.user_quota),
            ("turn.address_quota", self.address_quota.unwrap_or(1)),
            ("turn.total_quota", self.total_quota),
            ("turn.bandwidth", self.bandwidth.unwrap_or(1) as usize),
        ];
        match numbers.into_iter().find(|(_, value)| *value == 0) {
            Some((key, value)) => wrong(key, value.to_string(), "at least 1"),
            None => Ok(()),
        }
    }
}

fn is_one_host(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(Ipv4Addr::BROADCAST));
    !address.is_unspecified()
        && !address.is_multicast()
        && !is_broadcast
        && address.to_canonical() == *address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsFiles;

    fn config(turn: TurnConfig) -> Config {
        Config {
            turn: Some(turn),
            ..Config::default()
        }
    }

    fn texts(places: &[SocketAddr]) -> Vec<String> {
        places.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn unless_told_otherwise_it_is_where_the_server_is() {
        let at = |listen: &str| {
            let config = Config {
                listen: listen.parse().unwrap(),
                ..config(TurnConfig::default())
            };
            texts(&config.turn_listen())
        };
        assert_eq!(at("192.0.2.1:9000"), ["192.0.2.1:3478"]);
        assert_eq!(at("[2001:db8::1]:443"), ["[2001:db8::1]:3478"]);
        for wildcard in ["0.0.0.0:9000", "[::]:9000"] {
            assert_eq!(at(wildcard), ["0.0.0.0:3478", "[::]:3478"]);
        }
        for loopback in ["127.0.0.1:9000", "[::1]:9000"] {
            assert_eq!(at(loopback), ["127.0.0.1:3478", "[::1]:3478"]);
        }
        let off = Config {
            turn: None,
            ..Config::default()
        };
        assert!(off.turn_listen().is_empty() && off.turn_tls_listen().is_empty());
    }

    #[test]
    fn tls_is_where_there_is_a_certificate_and_cannot_be_named_without_one() {
        let tls = TlsFiles {
            cert: "c".into(),
            key: "k".into(),
        };
        let with = |tls_listen: Vec<SocketAddr>, tls: Option<&TlsFiles>| Config {
            listen: "192.0.2.1:443".parse().unwrap(),
            tls: tls.cloned(),
            ..config(TurnConfig {
                tls_listen,
                ..TurnConfig::default()
            })
        };
        assert!(with(vec![], None).turn_tls_listen().is_empty());
        let default = with(vec![], Some(&tls));
        assert_eq!(texts(&default.turn_tls_listen()), ["192.0.2.1:5349"]);
        let place = "192.0.2.1:444".parse().unwrap();
        assert_eq!(with(vec![place], Some(&tls)).turn_tls_listen(), [place]);
        assert_eq!(with(vec![place], Some(&tls)).check(), Ok(()));
        let refused = with(vec![place], None).check().unwrap_err();
        assert_eq!(refused.key, "turn.tls_listen");
    }

    #[test]
    fn the_realm_is_the_domain_unless_told_otherwise_or_too_long() {
        let realm = |realm: Option<&str>, domain: Option<&str>| {
            let config = Config {
                domain: domain.map(str::to_owned),
                ..config(TurnConfig {
                    realm: realm.map(str::to_owned),
                    ..TurnConfig::default()
                })
            };
            config.turn_realm().to_owned()
        };
        assert_eq!(realm(None, None), "peerage");
        assert_eq!(realm(None, Some("x.example")), "x.example");
        assert_eq!(realm(Some("r"), Some("x.example")), "r");
        assert_eq!(realm(None, Some(&"a.".repeat(64))), "peerage");
    }

    #[test]
    fn what_cannot_be_is_told_by_its_key() {
        fn refused(change: impl FnOnce(&mut TurnConfig)) -> &'static str {
            let mut turn = TurnConfig::default();
            change(&mut turn);
            config(turn).check().map_or_else(|error| error.key, |()| "")
        }
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(refused(|_| ()), "");
        assert_eq!(
            refused(|turn| turn.relay_addresses = vec![ip("192.0.2.1"), ip("2001:db8::1")]),
            ""
        );
        for addresses in [
            vec![ip("192.0.2.1"), ip("192.0.2.2")],
            vec![ip("0.0.0.0")],
            vec![ip("::")],
            vec![ip("224.0.0.1")],
            vec![ip("255.255.255.255")],
            vec![ip("::ffff:192.0.2.1")],
        ] {
            let relay = addresses.clone();
            assert_eq!(
                refused(|turn| turn.relay_addresses = relay),
                "turn.relay_addresses"
            );
            assert_eq!(
                refused(|turn| turn.external_addresses = addresses),
                "turn.external_addresses"
            );
        }
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        for ports in [0..=10, 11..=10] {
            assert_eq!(refused(|turn| turn.relay_ports = ports), "turn.relay_ports");
        }
        for realm in ["", "a\"b", "a\\b", "a\nb", &"x".repeat(128)] {
            assert_eq!(
                refused(|turn| turn.realm = Some(realm.to_owned())),
                "turn.realm"
            );
        }
        for host in ["", "a b", "x.example:3478", "https://x.example", "1.2.3"] {
            assert_eq!(
                refused(|turn| turn.host = Some(host.to_owned())),
                "turn.host"
            );
        }
        for lifetime in [Duration::ZERO, Duration::MAX] {
            assert_eq!(refused(|turn| turn.lifetime = lifetime), "turn.lifetime");
        }
        assert_eq!(refused(|turn| turn.user_quota = 0), "turn.user_quota");
        assert_eq!(
            refused(|turn| turn.address_quota = Some(0)),
            "turn.address_quota"
        );
        assert_eq!(refused(|turn| turn.total_quota = 0), "turn.total_quota");
        assert_eq!(refused(|turn| turn.bandwidth = Some(0)), "turn.bandwidth");
    }
}
