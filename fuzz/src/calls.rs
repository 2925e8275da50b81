//! Paths of the calls over HTTP, and what proxies and clients write about addresses.

use std::net::IpAddr;

use peerage_proto::wire::call_path::CallPath;
use peerage_proto::wire::forwarded::{Header, Household, client};
use peerage_proto::wire::id::MAX_ID;

/// A path.
pub fn call_path(octets: &[u8]) {
    let Ok(path) = str::from_utf8(octets) else {
        return;
    };
    if let Some(path) = CallPath::parse(path) {
        let lengths = [path.id.as_str().len(), path.token.expose().len()];
        assert!(lengths.iter().all(|length| (1..=MAX_ID).contains(length)));
        assert!(!path.key.is_empty());
    }
}

/// What a client writes into the header before a believed proxy adds the client's address: the result is what the proxy says, or unknown, and never
/// anything that the client made up.
pub fn forwarded(octets: &[u8]) {
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    let [proxy, stranger, v4, v6] = ["10.0.0.1", "198.51.100.1", "203.0.113.7", "2001:db8::9"]
        .map(|address| address.parse::<IpAddr>().expect("an address"));
    let added = [
        (Header::ForwardedFor, "203.0.113.7", v4),
        (Header::Forwarded, "for=203.0.113.7;proto=https", v4),
        (
            Header::Forwarded,
            "for=\"[2001:db8::9]:4711\";by=\"_p\"",
            v6,
        ),
    ];
    for (header, added, truth) in added {
        let joined = [octets, b", ", added.as_bytes()].concat();
        let own_line = [octets, added.as_bytes()];
        let seen = [
            client(proxy, &header, [joined.as_slice()].into_iter(), &proxies),
            client(proxy, &header, own_line.into_iter(), &proxies),
        ];
        assert!(seen[0] == truth || header == Header::Forwarded && seen[0] == proxy);
        assert_eq!(seen[1], truth);
    }
    // A header that the proxy sets anew, or does not.
    let single = "x-real-ip".parse().expect("a name");
    for header in [Header::ForwardedFor, Header::Forwarded, single] {
        let one = |remote| client(remote, &header, [octets].into_iter(), &proxies);
        assert_eq!(one(stranger), stranger);
        let seen = one(proxy);
        assert_eq!(seen, seen.to_canonical());
        let household = Household::of(seen);
        assert!(household.is_ipv6() == (seen.is_ipv6() && !seen.is_loopback()));
        assert!(household.to_string().len() <= 42);
    }
}
