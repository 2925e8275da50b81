use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use peerage_proto::turn::credentials::Secret;
use peerage_proto::wire::forwarded::Header;
use peerage_proto::{names, nearby, signal};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::turn::TurnConfig;

/// Everything that can be set. Checked once, by [`Server::bind`](crate::Server::bind) or [`State::new`](crate::State::new).
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:9000`: the stock server's port, but open to this machine only until its owner says otherwise. Port 0 takes
    /// any free one. Where `localhost` leads to it, the other loopback address is taken too, with the same port.
    pub listen: SocketAddr,
    /// The name under which the server is reached, without port; devices are then at `<device id>.<domain>`. Default none: only at
    /// `<device id>.localhost`, which always works on this machine. Behind a proxy it is also what device keys are proven against.
    pub domain: Option<String>,
    /// Serves https and wss. Default none: browsers treat `*.localhost` as secure without it, any other name needs it.
    pub tls: Option<TlsFiles>,
    /// Prefix of every route but those of devices' origins, such as `/myapp`; slashes at its ends make no difference. Default `/`, as the stock server.
    pub path: String,
    /// Proxies in front of this server: from them alone forwarding headers (`X-Forwarded-For` and its like) are believed. Default none.
    pub proxies: Vec<IpNet>,
    /// The one header in which those proxies name the client. Default `X-Forwarded-For`. It must be one that each of them sets or adds to: any other goes
    /// through them as the client wrote it.
    pub proxy_header: Header,
    /// Rooms of those who share an address: their limit, and what names them.
    pub nearby: nearby::Config,
    /// Limits and times of the signalling itself.
    pub signal: signal::Config,
    /// The username protocol at the root path, and its page: limits and times. None turns it off; [`Hooks`](crate::Hooks) have no word in it.
    pub names: Option<names::Config>,
    /// Whether `GET /KEY/peers` lists all ids. Default no, as the stock server: an id is what it takes to call someone.
    pub discovery: bool,
    /// Which web pages may use the HTTP interface. Default all, as the stock server: it holds nothing that a page's user would have to protect.
    pub cors: Cors,
    /// STUN and TURN servers of others that clients are told of, beside our own. Default none: no third party hears of a connection unasked.
    pub ice_servers: Vec<IceServer>,
    /// For those of [`Config::ice_servers`] that are TURN servers and have no credentials of their own: makes some for each client that asks. Default none:
    /// each of them must have its own.
    pub ice_secret: Option<IceSecret>,
    /// STUN and TURN, served by [`Server`](crate::Server): where, for whom, how much. None turns both off. Mounted in another application nothing is served.
    pub turn: Option<TurnConfig>,
    /// Rooms whose members all connect to this server, served by [`Server`](crate::Server). Default none: they are off. Mounted in another application nothing is
    /// served: that has a [`Hub`](crate::hub::Hub) of its own.
    #[cfg(feature = "hub")]
    pub hub: Option<crate::hub::HubConfig>,
    /// Where to tell Prometheus what is counted, at `/metrics`, without asking who wants to know. Default none: nowhere.
    pub metrics: Option<SocketAddr>,
    /// TCP connections at a time. Default 100,000, an idle WebSocket holds about 8 kB, more with TLS. Further ones are closed at once.
    pub connections: usize,
    /// TCP connections at a time from one address, an IPv6 /64 counting as one. Default none: behind carriers' NAT and proxies that are not named in
    /// [`Config::proxies`] thousands of people have one address. Further ones are closed at once, or refused with 429 where a proxy brings them.
    pub connections_per_address: Option<usize>,
    /// Longest time for a TLS handshake, and again for the head of a request. Default 10 s: enough for a phone at the edge of its network.
    pub handshake: Duration,
    /// Longest life of a connection that is no WebSocket. Default 60 s: it lets no client hold a connection by reading slowly, and a browser that
    /// wants another one opens it.
    pub http_lifetime: Duration,
    /// Messages a second that are taken from one WebSocket in the long run. Default 200, some 15 connections set up at a time. What comes faster is
    /// read later, not lost: TCP holds the sender back.
    pub message_rate: u32,
    /// Messages that may come at once beyond that. Default 2,000: a page that calls a hundred peers.
    pub message_burst: u32,
    /// Octets a second, and at once, that are taken from one WebSocket. Default 8 MiB. Held back as above.
    pub octet_rate: u32,
    /// Octets that may wait for one WebSocket to read them. Default 4 MiB: two messages of the largest size. A slower reader is closed (1013), and
    /// what waited for it is lost.
    pub send_queue: usize,
    /// Octets held for all WebSockets together: what waits to be read by clients, and messages that have not come whole. Default 256 MiB. Beyond it a socket
    /// that holds more than 16 KiB and needs more is closed (1013).
    pub buffered: usize,
    /// How long a WebSocket may take to send the rest of a message that it began, and to take anything of what waits for it. Default 30 s: a phone in a
    /// tunnel. Then it is closed.
    pub stall: Duration,
    /// How long the end may take: connections first get to finish, then are cut. Default 2 s.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000),
            domain: None,
            tls: None,
            path: "/".to_owned(),
            proxies: Vec::new(),
            proxy_header: Header::default(),
            nearby: nearby::Config::default(),
            signal: signal::Config::default(),
            names: Some(names::Config::default()),
            discovery: false,
            cors: Cors::Any,
            ice_servers: Vec::new(),
            ice_secret: None,
            turn: Some(TurnConfig::default()),
            #[cfg(feature = "hub")]
            hub: None,
            metrics: None,
            connections: 100_000,
            connections_per_address: None,
            handshake: Duration::from_secs(10),
            http_lifetime: Duration::from_secs(60),
            message_rate: 200,
            message_burst: 2_000,
            octet_rate: 8 * 1024 * 1024,
            send_queue: 4 * 1024 * 1024,
            buffered: 256 * 1024 * 1024,
            stall: Duration::from_secs(30),
            drain: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// What pages may be told that named no token: not those whose credentials are made for each client, which browsers would refuse without.
    pub(crate) fn known_ice_servers(&self) -> Vec<&IceServer> {
        let servers = self.ice_servers.iter();
        servers
            .filter(|server| !server.needs_credentials())
            .collect()
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(domain) = self.domain.as_deref().filter(|domain| !is_dns_name(domain)) {
            let expected = "a DNS name without port, such as devices.example.org";
            return Err(ConfigError {
                key: "domain",
                value: domain.to_owned(),
                expected,
            });
        }
        if prefix(&self.path).is_none() {
            return Err(ConfigError {
                key: "path",
                value: self.path.clone(),
                expected: "a path such as /myapp: letters, digits, `-`, `_`, `.` and `~` between single slashes, and neither `.` nor `..`",
            });
        }
        if let Some(turn) = &self.turn {
            turn.check(self.tls.is_some())?;
        }
        #[cfg(feature = "hub")]
        if let Some(hub) = &self.hub {
            hub.check()?;
        }
        let mints = self.ice_secret.is_some();
        if let Some(server) = self.ice_servers.iter().find(|server| {
            let is_bare = server.needs_credentials();
            is_bare && (!mints || server.username.is_some() || server.credential.is_some())
        }) {
            return Err(ConfigError {
                key: "ice_servers",
                value: server.urls.join(" "),
                expected: "both username and credential for a TURN server, or neither and a secret to make them with",
            });
        }
        let names = self.names.clone().unwrap_or_default();
        let ice_lifetime = self.ice_secret.as_ref().map(|secret| secret.lifetime);
        let times = [
            ("signal.expire_after", self.signal.expire_after),
            ("signal.alive_for", self.signal.alive_for),
            ("signal.hold_at_most", self.signal.hold_at_most),
            ("names.ping_after", names.ping_after),
            ("names.alive_for", names.alive_for),
            ("handshake", self.handshake),
            ("http_lifetime", self.http_lifetime),
            ("stall", self.stall),
            ("drain", self.drain),
            ("ice_secret.lifetime", ice_lifetime.unwrap_or_default()),
        ];
        if let Some((key, value)) = times.into_iter().find(|(_, value)| *value > LONGEST) {
            return Err(ConfigError {
                key,
                value: format!("{value:?}"),
                expected: "at most a year",
            });
        }
        if self.connections > Semaphore::MAX_PERMITS {
            return Err(ConfigError {
                key: "connections",
                value: self.connections.to_string(),
                expected: "fewer",
            });
        }
        let numbers = [
            ("connections", self.connections),
            ("signal.peers", self.signal.peers),
            ("names.names", names.names),
            ("names.names_per_socket", names.names_per_socket),
            ("names.ping_after", names.ping_after.as_millis() as usize),
            ("nearby.members", self.nearby.members),
            ("message_rate", self.message_rate as usize),
            ("message_burst", self.message_burst as usize),
            ("octet_rate", self.octet_rate as usize),
            ("send_queue", self.send_queue),
            ("buffered", self.buffered),
            (
                "connections_per_address",
                self.connections_per_address.unwrap_or(1),
            ),
        ];
        if let Some((key, value)) = numbers.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError {
                key,
                value: value.to_string(),
                expected: "at least 1",
            });
        }
        let key = &self.signal.key;
        if key.is_empty()
            || !key
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
        {
            let expected = "letters, digits, `-` and `_`: it is part of a path";
            return Err(ConfigError {
                key: "signal.key",
                value: key.clone(),
                expected,
            });
        }
        Ok(())
    }
}

/// What is added to the clock must not leave its range.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// [`Config::path`] without a slash at its end: empty for `/`. None if it is no path that clients could ask for.
pub(crate) fn prefix(path: &str) -> Option<String> {
    if matches!(path, "" | "/") {
        return Some(String::new());
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-_.~".contains(&octet))
    };
    inner
        .split('/')
        .all(is_segment)
        .then(|| format!("/{inner}"))
}

/// PEM files for TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first. Browsers need the domain and, for devices, `*.` of it.
    pub cert: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Which web pages may use the HTTP interface.
#[derive(Clone, Debug, Default)]
pub enum Cors {
    /// All: the request's origin is named back.
    #[default]
    Any,
    /// These, such as `https://app.example`.
    Origins(Vec<String>),
}

/// One STUN or TURN server, as browsers' `RTCIceServer`.
#[derive(Clone, Serialize)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=tcp`, …
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN. Every visitor of a device origin is told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl IceServer {
    /// Whether it is a TURN server without all that browsers want to have of one.
    #[must_use]
    pub fn needs_credentials(&self) -> bool {
        let is_turn = |url: &String| url.starts_with("turn:") || url.starts_with("turns:");
        self.urls.iter().any(is_turn) && (self.username.is_none() || self.credential.is_none())
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// What a TURN server of somebody else's shares with us (coturn: `use-auth-secret`, `static-auth-secret`).
#[derive(Clone, Debug)]
pub struct IceSecret {
    /// The same at both.
    pub secret: Secret,
    /// How long credentials are good, in whole seconds.
    pub lifetime: Duration,
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is `{value}`; expected {expected}")]
pub struct ConfigError {
    /// Which.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

/// RFC 1123 section 2.1, and not an address.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A device's label and a dot must fit before it (RFC 1035 section 2.3.4: 253 characters).
    name.len() <= 200 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_open_to_this_machine_only() {
        assert_eq!(Config::default().check(), Ok(()));
        assert!(Config::default().listen.ip().is_loopback());
    }

    #[test]
    fn a_domain_is_a_name_without_scheme_port_or_wildcard() {
        let with = |domain: &str| {
            Config {
                domain: Some(domain.to_owned()),
                ..Config::default()
            }
            .check()
        };
        for domain in ["devices.example.org", "Example.ORG", "x", "a-b.c"] {
            assert_eq!(with(domain), Ok(()), "{domain}");
        }
        for domain in [
            "",
            "https://x.org",
            "x.org:443",
            "*.x.org",
            ".x.org",
            "x.org.",
            "-x.org",
            "192.0.2.1",
            "[::1]",
        ] {
            assert_eq!(with(domain).unwrap_err().key, "domain", "{domain}");
        }
    }

    #[test]
    fn a_path_has_one_form_whatever_slashes_stand_at_its_ends() {
        for path in ["/my/app", "my/app", "/my/app/", "my/app/"] {
            assert_eq!(prefix(path).as_deref(), Some("/my/app"), "{path}");
        }
        for path in ["", "/"] {
            assert_eq!(prefix(path).as_deref(), Some(""), "{path}");
        }
    }

    #[test]
    fn a_path_is_what_clients_can_ask_for() {
        for path in [
            "//", "/a//b", "/a b", "/..", "/a/../b", "/./a", "/a?b", "/a#b", "/a%20b", "/\u{e4}",
            "/{a}", "/a\n",
        ] {
            let config = Config {
                path: path.to_owned(),
                ..Config::default()
            };
            assert_eq!(config.check().unwrap_err().key, "path", "{path}");
        }
    }

    #[test]
    fn no_time_is_beyond_what_clocks_can_count() {
        let mut config = Config::default();
        config.signal.alive_for = Duration::MAX;
        assert_eq!(config.check().unwrap_err().key, "signal.alive_for");
    }

    #[test]
    fn an_error_names_key_value_and_expectation() {
        let error = Config {
            send_queue: 0,
            ..Config::default()
        }
        .check()
        .unwrap_err();
        assert_eq!(error.to_string(), "send_queue is `0`; expected at least 1");
    }

    #[test]
    fn debug_output_hides_credentials() {
        let server = IceServer {
            urls: vec![],
            username: Some("u".into()),
            credential: Some("hidden".into()),
        };
        assert!(!format!("{server:?}").contains("hidden"));
    }
}
