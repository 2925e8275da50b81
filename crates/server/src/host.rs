//! By what name a client came. Decided by the `Host` header alone: it is what the browser isolates origins by.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Request, Uri};
use peerage_proto::wire::id::DeviceId;

use crate::config::is_dns_name;

/// The device whose origin is meant: `<device id>.<domain>` or `<device id>.localhost`, with any port.
pub(crate) fn device_of<B>(request: &Request<B>, domain: Option<&str>) -> Option<DeviceId> {
    let authority = authority(request.uri(), request.headers())?;
    let host = authority.host().to_ascii_lowercase();
    split(&host, domain).map(|(device, _)| device)
}

/// What the server is called by who came, by way of a device's origin or not. None for what is neither a name nor an address.
pub(crate) fn server_of(uri: &Uri, headers: &HeaderMap, domain: Option<&str>) -> Option<UrlHost> {
    let authority = authority(uri, headers).filter(|at| !at.as_str().contains('@'))?;
    let host = authority.host().to_ascii_lowercase();
    let server = split(&host, domain).map_or(&*host, |(_, server)| server);
    UrlHost::parse(server)
}

/// Whom a request is for.
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    // An absolute-form target counts for more than Host (RFC 9112 section 3.2.2).
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => Authority::try_from(headers.get(HOST)?.as_bytes()).ok(),
    }
}

/// Into the device and what it is a part of, if that is us.
fn split<'a>(host: &'a str, domain: Option<&str>) -> Option<(DeviceId, &'a str)> {
    let (label, rest) = host.split_once('.')?;
    let ours =
        rest == "localhost" || domain.is_some_and(|domain| domain.eq_ignore_ascii_case(rest));
    let device = ours.then(|| DeviceId::parse(label).ok())??;
    Some((device, rest))
}

/// A host as URLs have it: a DNS name, an IPv4 address, an IPv6 address in brackets (RFC 7064 section 3.1, RFC 3986 section 3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlHost(String);

impl UrlHost {
    /// Takes a name in lower case or not, or an address with or without brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let in_brackets = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Some(address) = in_brackets {
            return Self::of(address.parse::<Ipv6Addr>().ok()?.into());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::of(address);
        }
        // To URLs a name with such an end is an IPv4 address, if it is anything (WHATWG URL, "ends in a number").
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number = last.starts_with(|first: char| first.is_ascii_digit())
            && (last.starts_with("0x") || last.bytes().all(|octet| octet.is_ascii_digit()));
        (is_dns_name(text) && !is_number).then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether it means the machine that asks (RFC 6761 section 6.3).
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.0.as_str();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || name.ends_with(".localhost")
            || address
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// None for the address that is all of them.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_unspecified() => None,
            IpAddr::V4(address) => Some(Self(address.to_string())),
            IpAddr::V6(address) => Some(Self(format!("[{address}]"))),
        }
    }
}

impl fmt::Display for UrlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn is_device(host: &str) -> bool {
        let request = Request::builder()
            .uri("/")
            .header(HOST, host)
            .body(())
            .unwrap();
        device_of(&request, Some("Devices.example")).is_some()
    }

    #[test]
    fn a_key_shaped_label_before_the_domain_or_localhost_is_a_device() {
        for rest in [
            "localhost",
            "localhost:9000",
            "devices.example",
            "DEVICES.example:443",
        ] {
            assert!(is_device(&format!("{ID}.{rest}")), "{rest}");
            assert!(
                is_device(&format!("{}.{rest}", ID.to_uppercase())),
                "{rest}"
            );
        }
    }

    #[test]
    fn anything_else_is_the_server_itself() {
        let short = &ID[1..];
        let bits = format!("{}b.localhost", &ID[1..]);
        for host in [
            "localhost",
            "devices.example",
            ID,
            "",
            "[::1]:9000",
            "a b",
            bits.as_str(),
        ] {
            assert!(!is_device(host), "{host}");
        }
        for host in [
            format!("{short}.localhost"),
            format!("{ID}.other.example"),
            format!("x.{ID}.localhost"),
            format!("{ID}..localhost"),
        ] {
            assert!(!is_device(&host), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_counts_for_more_than_the_host_header() {
        let request = Request::builder()
            .uri(format!("http://{ID}.localhost/"))
            .header(HOST, "localhost")
            .body(())
            .unwrap();
        assert!(device_of(&request, None).is_some());
    }

    fn server(host: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        let server = server_of(&Uri::from_static("/"), &headers, Some("devices.example"));
        server.map(|server| server.to_string())
    }

    #[test]
    fn the_server_is_called_as_the_client_called_it() {
        for (host, name) in [
            ("localhost:9000", "localhost"),
            ("Peers.Example", "peers.example"),
            ("192.0.2.1:9000", "192.0.2.1"),
            ("[2001:DB8::1]:9000", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ] {
            assert_eq!(server(host).as_deref(), Some(name), "{host}");
        }
        for rest in ["localhost", "devices.example"] {
            assert_eq!(server(&format!("{ID}.{rest}:1")).as_deref(), Some(rest));
        }
    }

    #[test]
    fn what_is_neither_a_name_nor_an_address_is_nobodys() {
        for host in [
            "",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@example.org",
            "x_y",
            "example.org.",
            "-x",
            "1.2.3",
            "x.0x7f",
            "[::1",
            "::1",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "0.0.0.0",
            "[::]",
            "<script>",
            &"x".repeat(300),
        ] {
            assert_eq!(server(host), None, "{host:?}");
        }
    }
}
