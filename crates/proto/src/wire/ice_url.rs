//! Addresses of STUN and TURN servers (RFC 7064, RFC 7065): `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]`, and `stuns:`, `turns:` for TLS.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Octets of the longest name of a host (RFC 1035 2.3.4, as text).
const MAX_NAME: usize = 253;
/// RFC 8489 18.6; RFC 8656 has the same.
const PORT: u16 = 3478;
/// The same over TLS.
const TLS_PORT: u16 = 5349;

/// Where a STUN or TURN server is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IceUrl {
    /// What it is asked for.
    pub service: Service,
    /// Its name or address.
    pub host: Host,
    /// Its port; the usual one where the text names none.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The address that it sees us at.
    Stun,
    /// An address of its own that stands for us.
    Turn,
}

/// A host, as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// How a server is reached. A relay's other side is UDP whatever is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// `stun:`, `turn:`, where nothing else is said.
    Udp,
    /// `turn:…?transport=tcp`.
    Tcp,
    /// `stuns:`, `turns:` and `turns:…?transport=tcp`.
    Tls,
    /// `turns:…?transport=udp` (RFC 7350).
    Dtls,
}

/// A text is not the URL of a STUN or TURN server. What it was is not repeated: people paste passwords into such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IceUrlError {
    /// It begins with something else.
    #[error("a STUN or TURN server is stun:HOST[:PORT], turn:HOST[:PORT] or turns:HOST[:PORT]")]
    Scheme,
    /// The host is missing, or none.
    #[error(
        "the host of a STUN or TURN server is a name, an IPv4 address, or an IPv6 address in brackets"
    )]
    Host,
    /// The port is none.
    #[error("the port of a STUN or TURN server is a number from 1 to 65535")]
    Port,
    /// What follows `?` is not a transport, or a STUN server has one.
    #[error("only a TURN server may be followed by ?transport=udp or ?transport=tcp")]
    Transport,
}

impl FromStr for IceUrl {
    type Err = IceUrlError;

    fn from_str(text: &str) -> Result<Self, IceUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(IceUrlError::Scheme)?;
        let (service, secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (Service::Stun, false),
            "stuns" => (Service::Stun, true),
            "turn" => (Service::Turn, false),
            "turns" => (Service::Turn, true),
            _ => return Err(IceUrlError::Scheme),
        };
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let transport = match (query, service) {
            (None, _) => None,
            (Some("transport=udp"), Service::Turn) => Some(Transport::Udp),
            (Some("transport=tcp"), Service::Turn) => Some(Transport::Tcp),
            (Some(_), _) => return Err(IceUrlError::Transport),
        };
        let (host, port) = place_of(place)?;
        Ok(Self {
            service,
            host,
            port: port.unwrap_or(if secure { TLS_PORT } else { PORT }),
            transport: match (secure, transport) {
                (false, None | Some(Transport::Udp)) => Transport::Udp,
                (false, Some(_)) => Transport::Tcp,
                (true, Some(Transport::Udp)) => Transport::Dtls,
                (true, _) => Transport::Tls,
            },
        })
    }
}

fn place_of(text: &str) -> Result<(Host, Option<u16>), IceUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(IceUrlError::Host)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| IceUrlError::Host)?;
            let port = match port {
                "" => None,
                _ => Some(port.strip_prefix(':').ok_or(IceUrlError::Port)?),
            };
            (Host::Ip(ip.into()), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (name(host)?, port)
        }
    };
    let port = match port {
        None => None,
        // `parse` would take a sign.
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse().map_err(|_| IceUrlError::Port)?;
            if port == 0 {
                return Err(IceUrlError::Port);
            }
            Some(port)
        }
        Some(_) => return Err(IceUrlError::Port),
    };
    Ok((host, port))
}

fn name(text: &str) -> Result<Host, IceUrlError> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    let labels = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last label of digits would be an address in some notation (RFC 1123 2.1).
    let address = labels
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if text.len() > MAX_NAME || address || !labels.split('.').all(fits) {
        return Err(IceUrlError::Host);
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.service, self.transport) {
            (Service::Stun, Transport::Tls | Transport::Dtls) => "stuns",
            (Service::Stun, _) => "stun",
            (Service::Turn, Transport::Tls | Transport::Dtls) => "turns",
            (Service::Turn, _) => "turn",
        };
        write!(f, "{scheme}:{}:{}", self.host, self.port)?;
        match (self.service, self.transport) {
            (Service::Stun, _) => Ok(()),
            (_, Transport::Udp | Transport::Dtls) => f.write_str("?transport=udp"),
            (_, Transport::Tcp | Transport::Tls) => f.write_str("?transport=tcp"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> IceUrl {
        text.parse().expect(text)
    }

    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        // RFC 7064 appendix A, RFC 7065 appendix A.
        for (text, service, port, transport) in [
            ("stun:example.org", Service::Stun, 3478, Transport::Udp),
            ("stuns:example.org", Service::Stun, 5349, Transport::Tls),
            ("stun:example.org:8000", Service::Stun, 8000, Transport::Udp),
            ("turn:example.org", Service::Turn, 3478, Transport::Udp),
            ("turns:example.org", Service::Turn, 5349, Transport::Tls),
            ("turn:example.org:8000", Service::Turn, 8000, Transport::Udp),
            (
                "turn:example.org?transport=udp",
                Service::Turn,
                3478,
                Transport::Udp,
            ),
            (
                "turn:example.org?transport=tcp",
                Service::Turn,
                3478,
                Transport::Tcp,
            ),
            (
                "turns:example.org?transport=tcp",
                Service::Turn,
                5349,
                Transport::Tls,
            ),
            (
                "turns:example.org?transport=udp",
                Service::Turn,
                5349,
                Transport::Dtls,
            ),
            ("TURN:Example.ORG.:1", Service::Turn, 1, Transport::Udp),
        ] {
            let read = url(text);
            assert_eq!(
                (read.service, read.port, read.transport),
                (service, port, transport),
                "{text}"
            );
            assert!(matches!(&read.host, Host::Name(name) if name.starts_with("example.org")));
            assert_eq!(url(&read.to_string()), read, "{text}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        assert_eq!(url("stun:192.0.2.1").host, Host::Ip([192, 0, 2, 1].into()));
        let six = url("turn:[2001:db8::1]:3479?transport=tcp");
        assert_eq!(
            six.host,
            Host::Ip("2001:db8::1".parse::<IpAddr>().expect("an address"))
        );
        assert_eq!(six.to_string(), "turn:[2001:db8::1]:3479?transport=tcp");
        assert_eq!(url("turns:[::1]").port, 5349);
    }

    #[test]
    fn everything_else_is_refused_without_repeating_it() {
        for (text, error) in [
            ("", IceUrlError::Scheme),
            ("example.org", IceUrlError::Scheme),
            ("http://example.org", IceUrlError::Scheme),
            ("stun:", IceUrlError::Host),
            ("stun://example.org", IceUrlError::Host),
            ("turn:user:secret@example.org", IceUrlError::Port),
            ("turn:user@example.org", IceUrlError::Host),
            ("turn:a b", IceUrlError::Host),
            ("turn:a..b", IceUrlError::Host),
            ("turn:1.2.3", IceUrlError::Host),
            ("turn:300.1.1.1", IceUrlError::Host),
            ("turn:2001:db8::1", IceUrlError::Host),
            ("turn:[192.0.2.1]", IceUrlError::Host),
            ("turn:[::1", IceUrlError::Host),
            ("turn:[::1]3478", IceUrlError::Port),
            ("turn:a:0", IceUrlError::Port),
            ("turn:a:+1", IceUrlError::Port),
            ("turn:a:", IceUrlError::Port),
            ("turn:a:65536", IceUrlError::Port),
            ("turn:a?", IceUrlError::Transport),
            ("turn:a?transport=tls", IceUrlError::Transport),
            ("turn:a?transport=udp&x", IceUrlError::Transport),
            ("stun:a?transport=udp", IceUrlError::Transport),
        ] {
            assert_eq!(text.parse::<IceUrl>(), Err(error), "{text}");
        }
        let long = format!("stun:{}", "a.".repeat(130));
        assert_eq!(long.parse::<IceUrl>(), Err(IceUrlError::Host));
    }
}
