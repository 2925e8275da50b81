//! Which addresses a relay may speak with.
//!
//! A relay stands inside of its owner's network: what it reaches there is not for everybody with credentials. So all that IANA's registries of special
//! purpose addresses do not list as globally reachable is refused, in every notation, unless the owner allows it by name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The owner's word in it, over what is refused by default.
///
/// Of several networks that hold an address the longest prefix decides; between two of the same length, denial.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Networks that may be relayed to, this machine's own addresses included. Default none.
    pub allow: Vec<IpNet>,
    /// Networks that may not. Default none, beyond those that are not globally reachable.
    pub deny: Vec<IpNet>,
}

/// What the owner or the registries say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The owner named it.
    Allowed,
    /// Nobody named it, and it is globally reachable.
    Public,
    /// Nobody named it, and it is not.
    Special,
    /// The owner denied it.
    Denied,
}

impl Peers {
    /// Judges an address. One in a notation of the other family ([`inner`]) must pass in both.
    #[must_use]
    pub fn judge(&self, ip: IpAddr) -> Verdict {
        let outer = self.judge_one(ip);
        match inner(ip) {
            None => outer,
            Some(ip) => match (outer, self.judge_one(ip.into())) {
                (Verdict::Denied, _) | (_, Verdict::Denied) => Verdict::Denied,
                // By its own name, or by that of the network which translates.
                (Verdict::Allowed, _) => Verdict::Allowed,
                (Verdict::Special, _) => Verdict::Special,
                (_, inner) => inner,
            },
        }
    }

    fn judge_one(&self, ip: IpAddr) -> Verdict {
        let longest = |nets: &[IpNet]| {
            nets.iter()
                .filter(|net| net.contains(&ip))
                .map(IpNet::prefix_len)
                .max()
        };
        match (longest(&self.allow), longest(&self.deny)) {
            (Some(allow), Some(deny)) if allow > deny => Verdict::Allowed,
            (_, Some(_)) => Verdict::Denied,
            (Some(_), None) => Verdict::Allowed,
            (None, None) if is_global(ip) => Verdict::Public,
            (None, None) => Verdict::Special,
        }
    }
}

/// The IPv4 address within an IPv6 one that is, or may be, carried to it: mapped (RFC 4291 section 2.5.5.2) and compatible forms, NAT64 (RFC 6052, RFC 8215),
/// 6to4 (RFC 3056).
#[must_use]
pub fn inner(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else {
        return None;
    };
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Not `::` and `::1`, which are no forms of anything.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(v4(high, low))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// What IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890) list as globally reachable, and what they do not list at all: less the exceptions
/// within 192.0.0.0/24 and 2001::/23 (anycast of network operators), 6to4 and multicast.
#[must_use]
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let is_special = match ip.octets() {
        // This network, private, loopback, link-local.
        [0 | 10 | 127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => true,
        // Shared by a carrier's clients, benchmarking.
        [100, 64..=127, ..] | [198, 18 | 19, ..] => true,
        // Protocol assignments, documentation, relays of 6to4.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !is_special
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // The well-known prefix of NAT64: as global as what is within.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(ip.into()).is_some_and(is_global_v4),
        // Protocol assignments, Teredo among them; documentation; 6to4.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // The only block that is given out: not local, multicast, mapped or unspecified.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const SPECIAL: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.1.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.31.196.1",
        "192.167.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2620:4f:8000::1",
        "2a00::1",
        "3ffe::1",
    ];

    #[test]
    fn what_is_not_globally_reachable_is_special_in_every_notation() {
        for text in SPECIAL {
            assert_eq!(Peers::default().judge(ip(text)), Verdict::Special, "{text}");
        }
        for text in PUBLIC {
            assert_eq!(Peers::default().judge(ip(text)), Verdict::Public, "{text}");
        }
    }

    #[test]
    fn the_owner_s_word_goes_before_the_registries() {
        let peers = Peers {
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            deny: vec!["10.1.2.0/24".parse().unwrap(), "8.0.0.0/8".parse().unwrap()],
        };
        for (text, verdict) in [
            ("10.1.1.1", Verdict::Allowed),
            ("10.1.2.1", Verdict::Denied),
            ("10.2.1.1", Verdict::Special),
            ("8.8.8.8", Verdict::Denied),
            ("9.9.9.9", Verdict::Public),
        ] {
            assert_eq!(peers.judge(ip(text)), verdict, "{text}");
        }
    }

    #[test]
    fn of_two_networks_the_narrower_decides_and_of_two_equal_ones_denial() {
        let all: IpNet = "0.0.0.0/0".parse().unwrap();
        let peers = Peers {
            allow: vec!["192.168.1.0/24".parse().unwrap()],
            deny: vec![all],
        };
        assert_eq!(peers.judge(ip("192.168.1.7")), Verdict::Allowed);
        assert_eq!(peers.judge(ip("8.8.8.8")), Verdict::Denied);
        let equal = Peers {
            allow: vec![all],
            deny: vec![all],
        };
        assert_eq!(equal.judge(ip("8.8.8.8")), Verdict::Denied);
    }

    #[test]
    fn a_denied_address_is_denied_in_its_other_notations_too() {
        let peers = Peers {
            allow: vec!["::/0".parse().unwrap()],
            deny: vec!["10.0.0.0/8".parse().unwrap()],
        };
        for text in ["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1"] {
            assert_eq!(peers.judge(ip(text)), Verdict::Denied, "{text}");
        }
    }

    #[test]
    fn allowing_an_address_does_not_open_its_translated_forms() {
        let peers = Peers {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            deny: vec![],
        };
        assert_eq!(peers.judge(ip("127.0.0.1")), Verdict::Allowed);
        for text in ["::ffff:127.0.0.1", "64:ff9b:1::127.0.0.1", "2002:7f00:1::1"] {
            assert_eq!(peers.judge(ip(text)), Verdict::Special, "{text}");
        }
    }
}
