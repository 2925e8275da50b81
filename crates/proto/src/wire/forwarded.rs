//! Where a request comes from, as proxies in front of a server tell it.
//!
//! Anybody can write any header. What a proxy says counts only if the proxy is one that the server's owner believes, and only in the one header that
//! this proxy is known to set: whatever else is in the request came through it from the client. A proxy that adds `X-Forwarded-For` leaves an
//! `X-Real-IP`, `X-Client-IP` or `Forwarded` of the client's own as it is, so a list of headers to try would let clients choose their address by naming one
//! that stands before the proxy's in the list. Therefore the owner names the header; the default is the one that nearly every proxy sets.
//!
//! Within a list the entries to the right are those of the nearest proxies. The walk begins at the socket's own address and goes left for as long as the
//! address it is at is believed: the first that is not is the client. What is to the left of it is the client's own text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// The header in which believed proxies name the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// `X-Forwarded-For`: a list to which each proxy adds the address that it was called from.
    #[default]
    ForwardedFor,
    /// `Forwarded` (RFC 7239): the same with more about each step.
    Forwarded,
    /// A header with one address, which the proxy sets anew, such as `X-Real-IP` or `CF-Connecting-IP`. In lower case.
    Single(HeaderName),
}

/// A header's name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

/// A text is no name of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header's name has 1 to 64 letters, digits, `-` and `_`")]
pub struct NotAHeader;

impl Header {
    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::Single(name) => &name.0,
        }
    }
}

impl FromStr for Header {
    type Err = NotAHeader;

    fn from_str(name: &str) -> Result<Self, NotAHeader> {
        let symbol = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(symbol) {
            return Err(NotAHeader);
        }
        let name = name.to_ascii_lowercase();
        Ok(match name.as_str() {
            "x-forwarded-for" => Self::ForwardedFor,
            "forwarded" => Self::Forwarded,
            _ => Self::Single(HeaderName(name)),
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address of the client, in canonical form: an IPv4 address mapped into IPv6 is an IPv4 address.
///
/// `remote` is the other end of the connection, `values` are those of [`Header::name`] in the order in which they came. Where a believed proxy says
/// nothing, or nothing that is an address (`unknown`, an obfuscated name, a broken value), the client counts as being that proxy: it is the last that is known.
pub fn client<'a>(
    remote: IpAddr,
    header: &Header,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    proxies: &[IpNet],
) -> IpAddr {
    let remote = remote.to_canonical();
    if !is_among(remote, proxies) {
        return remote;
    }
    match header {
        Header::ForwardedFor => walk(remote, values.rev().flat_map(hops_of_list), proxies),
        Header::Forwarded => walk(remote, values.rev().flat_map(hops_of_forwarded), proxies),
        Header::Single(_) => only(values)
            .and_then(|value| str::from_utf8(value).ok())
            .and_then(|text| node(text.trim()))
            .unwrap_or(remote),
    }
}

/// Whether an address, in canonical form, is in one of these networks.
#[must_use]
pub fn is_among(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Who shares a way to the internet: an IPv4 address, an IPv6 /64, or this machine, by whichever loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Household(IpAddr);

impl Household {
    /// Whose address this is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            address if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }

    /// Whether it is an IPv6 network.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.0.is_ipv6()
    }
}

/// `192.0.2.1` or `2001:db8:0:1::/64`.
impl fmt::Display for Household {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        f.write_str(if self.is_ipv6() { "/64" } else { "" })
    }
}

/// From the socket's address leftwards, to the first that is not believed or beyond which nothing is known.
fn walk(remote: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, proxies: &[IpNet]) -> IpAddr {
    let mut at = remote;
    for hop in hops {
        match hop {
            Some(address) if is_among(at, proxies) => at = address,
            _ => break,
        }
    }
    at
}

fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The entries of an `X-Forwarded-For`, the last first. Empty ones do not count (RFC 9110 section 5.6.1).
fn hops_of_list(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    value
        .rsplit(|octet| *octet == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        .map(|entry| node(str::from_utf8(entry).ok()?))
}

/// The elements of a `Forwarded`, the last first. A value that is malformed anywhere is one unknown step: where an element ends could not be told.
fn hops_of_forwarded(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let elements = str::from_utf8(value).ok().and_then(elements);
    elements.unwrap_or_else(|| vec![None]).into_iter().rev()
}

/// The `for` of each element. RFC 7239 section 4, with white space around `;` and unquoted addresses let through, as proxies write them.
fn elements(mut rest: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    loop {
        let mut named = None;
        let mut pairs = 0;
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with([',', ';']) {
                let (name, after) = rest.split_once('=')?;
                if name.is_empty() || name.contains([',', ';', '"', ' ', '\t']) {
                    return None;
                }
                let (value, after) = value(after)?;
                if name.eq_ignore_ascii_case("for") && named.replace(value).is_some() {
                    return None;
                }
                pairs += 1;
                rest = after.trim_start_matches([' ', '\t']);
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        if pairs > 0 {
            elements.push(named.and_then(|value| node(&value)));
        }
        if rest.is_empty() {
            return Some(elements);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// A token or a quoted string (RFC 9110 section 5.6.4), and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find([',', ';', '"', '=', ' ', '\t'])
            .unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (!token.is_empty()).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

/// An address, maybe with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80` (RFC 7239 section 6).
fn node(text: &str) -> Option<IpAddr> {
    let is_port = |port: &str| {
        let symbol = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
        !port.is_empty() && port.bytes().all(symbol)
    };
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        if !rest.is_empty() && !rest.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        IpAddr::V6(address.parse().ok()?)
    } else if let Ok(address) = text.parse() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";
    const BEFORE_IT: &str = "10.0.0.2";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seen(header: &str, remote: &str, values: &[&str]) -> String {
        let proxies = ["10.0.0.0/24", "fd00::/64"].map(|network| network.parse().unwrap());
        let values = values.iter().map(|value| value.as_bytes());
        client(ip(remote), &header.parse().unwrap(), values, &proxies).to_string()
    }

    fn listed(values: &[&str]) -> String {
        seen("X-Forwarded-For", PROXY, values)
    }

    fn forwarded(values: &[&str]) -> String {
        seen("Forwarded", PROXY, values)
    }

    #[test]
    fn who_is_no_believed_proxy_is_the_client_whatever_it_says() {
        for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
            for remote in ["198.51.100.9", "10.0.1.1", "::ffff:198.51.100.9"] {
                let at = ip(remote).to_canonical().to_string();
                assert_eq!(seen(header, remote, &["203.0.113.7"]), at);
                assert_eq!(seen(header, remote, &["for=203.0.113.7"]), at);
            }
        }
    }

    #[test]
    fn of_a_list_the_rightmost_that_is_no_believed_proxy_is_the_client() {
        assert_eq!(listed(&["203.0.113.7"]), "203.0.113.7");
        assert_eq!(listed(&["198.51.100.9, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            listed(&[&format!("198.51.100.9,203.0.113.7, {BEFORE_IT}")]),
            "203.0.113.7"
        );
        assert_eq!(
            listed(&["198.51.100.9", "203.0.113.7", BEFORE_IT]),
            "203.0.113.7"
        );
        assert_eq!(
            seen("X-Forwarded-For", "fd00::9", &["2001:db8::1, fd00::8"]),
            "2001:db8::1"
        );
        assert_eq!(
            seen("X-Forwarded-For", "::ffff:10.0.0.1", &["203.0.113.7"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn a_client_among_the_believed_addresses_is_the_leftmost() {
        assert_eq!(listed(&["10.0.0.77, 10.0.0.2"]), "10.0.0.77");
    }

    #[test]
    fn a_proxy_that_says_nothing_usable_is_as_far_as_it_goes() {
        for values in [
            &[][..],
            &[""],
            &[" , "],
            &["203.0.113.7, unknown"],
            &["203.0.113.7, _hidden"],
            &["203.0.113.7, \u{fffd}"],
            &["203.0.113.7, 1.2.3"],
            &["203.0.113.7, 1.2.3.4.5"],
            &["203.0.113.7, fe80::1%eth0"],
            &["203.0.113.7, [::1"],
            &["203.0.113.7, [192.0.2.1]"],
            &["203.0.113.7, 192.0.2.1:"],
            &["203.0.113.7, 192.0.2.1:8 0"],
        ] {
            assert_eq!(listed(values), PROXY, "{values:?}");
        }
        assert_eq!(
            listed(&[&format!("203.0.113.7, nonsense, {BEFORE_IT}")]),
            BEFORE_IT
        );
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        for (text, address) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("192.0.2.1:_hidden", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ] {
            assert_eq!(listed(&[text]), address, "{text}");
            assert_eq!(
                forwarded(&[&format!("for=\"{text}\"")]),
                address,
                "for {text}"
            );
            assert_eq!(seen("X-Real-IP", PROXY, &[text]), address, "single {text}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_says() {
        for (value, address) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; FOR=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            (
                "for=192.0.2.43,for=\"198.51.100.17\" , for=10.0.0.2",
                "198.51.100.17",
            ),
            ("for=192.0.2.43;host=\"a,b;for=1.1.1.1\\\"\"", "192.0.2.43"),
            ("for=192.0.2.43,,", "192.0.2.43"),
            ("for=192.0.2.43, for=unknown", PROXY),
            ("for=192.0.2.43, for=_hidden, for=10.0.0.2", BEFORE_IT),
            ("for=192.0.2.43, by=10.0.0.9", PROXY),
        ] {
            assert_eq!(forwarded(&[value]), address, "{value}");
        }
        assert_eq!(
            forwarded(&["for=192.0.2.1", "for=192.0.2.2, for=10.0.0.3"]),
            "192.0.2.2"
        );
    }

    #[test]
    fn an_open_quote_before_the_proxys_own_element_hides_the_client_and_makes_up_none() {
        for forged in [
            "for=\"1.2.3.4, for=203.0.113.7",
            "for=1.2.3.4, x=\", for=203.0.113.7",
            "for=1.2.3.4;x=\", for=\"[2001:db8::9]\"",
            "for=1.2.3.4;x=\"\\, for=203.0.113.7;by=\"_p\"",
            "for=1.2.3.4;for=1.2.3.5",
            "for=1.2.3.4 for=1.2.3.5",
            "for",
            "=1.2.3.4",
            "for=",
        ] {
            assert_eq!(forwarded(&[forged]), PROXY, "{forged}");
        }
    }

    #[test]
    fn a_header_of_one_address_counts_only_if_it_is_there_once() {
        assert_eq!(
            seen("CF-Connecting-IP", PROXY, &[" 192.0.2.1 "]),
            "192.0.2.1"
        );
        assert_eq!(seen("x-real-ip", PROXY, &["192.0.2.1", "192.0.2.1"]), PROXY);
        assert_eq!(seen("x-real-ip", PROXY, &["192.0.2.1, 192.0.2.2"]), PROXY);
        assert_eq!(seen("x-real-ip", PROXY, &[]), PROXY);
    }

    #[test]
    fn a_headers_name_is_taken_in_any_case_and_nothing_else_is_one() {
        assert_eq!("X-FORWARDED-FOR".parse(), Ok(Header::ForwardedFor));
        assert_eq!("forwarded".parse(), Ok(Header::Forwarded));
        assert_eq!(
            "X-Real-IP"
                .parse::<Header>()
                .map(|header| header.to_string()),
            Ok("x-real-ip".to_owned())
        );
        for text in ["", "a b", "a:", "ü", &"x".repeat(65)] {
            assert_eq!(text.parse::<Header>(), Err(NotAHeader), "{text}");
        }
    }

    #[test]
    fn a_household_is_an_ipv4_address_an_ipv6_64_or_this_machine() {
        let of = |text: &str| Household::of(ip(text)).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:0:1:aaaa::1"), "2001:db8:0:1::/64");
        assert_eq!(of("2001:db8:0:1:bbbb::2"), "2001:db8:0:1::/64");
        assert_eq!(of("2001:db8:0:2::1"), "2001:db8:0:2::/64");
        assert_eq!(of("::1"), of("127.0.0.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
