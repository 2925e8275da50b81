//! What a step has found, in measures and in words.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerage_proto::turn::client::Error as TurnError;
use peerage_proto::wire::ice_url::{IceUrl, Service, Transport};

use crate::net::is_no_family;
use crate::{ConnectError, OpenError, Route, SignallingError};

/// How far two clocks may be apart: statements beyond are taken for replays (`docs/protocol/identity.md`).
pub const CLOCK_LIMIT: Duration = Duration::from_secs(300);
/// From here on a clock is worth a word.
const CLOCK_NOTABLE: Duration = Duration::from_secs(30);

/// What a finding means for who wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Works.
    Ok,
    /// Was not looked at, for the reason in the finding.
    Skipped,
    /// Works, or may work, with less than there could be.
    Warning,
    /// Does not work.
    Failed,
}

impl Status {
    /// `ok`, `skipped`, `warning` or `failed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was found. `Display` says it in one line, with what was measured, without a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Finding {
    /// It was not looked at.
    Skipped(Skipped),
    /// It took longer than this and was given up.
    Late(Duration),
    /// The name has these addresses.
    Resolved(Vec<IpAddr>),
    /// The name has no address, in the resolver's words.
    NotResolved(String),
    /// What became of a TCP connection to each address: how long it took, or why there is none.
    Reached(Vec<(SocketAddr, io::Result<Duration>)>),
    /// The TLS handshake was done, in this version.
    Secured(&'static str),
    /// It was not, for this reason, in words.
    NotSecured(TlsProblem, String),
    /// The server's clock against ours.
    Clock(ClockDifference),
    /// The server's answer to HTTP has no time in it.
    NoTime,
    /// The server gives no answer to HTTP.
    NoHttp(String),
    /// The WebSocket is open, and the server has said OPEN.
    Registered,
    /// The server cannot be used for signalling.
    NotRegistered(SignallingError),
    /// What the server tells of, for how long, and how many URLs were given beside.
    IceServers {
        /// STUN and TURN servers, without their credentials.
        told: Vec<IceUrl>,
        /// How long the credentials are good for.
        lifetime: Duration,
        /// How many were named by who asked.
        given: usize,
    },
    /// The server tells of no STUN or TURN server; so many were named by who asked.
    NoIceServers(usize),
    /// The server does not know the question: a stock PeerJS server, or an older one. So many were named by who asked.
    IceServersUnknown(usize),
    /// The server gives no usable answer.
    NoIceAnswer(SignallingError),
    /// The server sees this machine at an address.
    Mapped {
        /// The address that it sees.
        address: SocketAddr,
        /// The one that this machine sent from.
        local: SocketAddr,
    },
    /// It does not tell.
    NotMapped {
        /// Why.
        error: TurnError,
        /// Whether the same server tells it over the other family of addresses.
        other_family: bool,
    },
    /// Nobody listens at the server's port: a word to that effect came back.
    NotListening {
        /// Whether the same server answers over the other family of addresses.
        other_family: bool,
    },
    /// Nothing can be sent to the server.
    NotSent {
        /// Why.
        error: String,
        /// Whether the same server is reached over the other family of addresses.
        other_family: bool,
    },
    /// What is between this machine and the servers.
    Nat(Nat),
    /// The relay carried octets there and back.
    Relayed {
        /// The relays' addresses, one or one of each family.
        relays: Vec<SocketAddr>,
        /// Until there was an allocation.
        allocated: Duration,
        /// From one allocation to another one and back.
        round_trip: Duration,
    },
    /// No connection to the TURN server.
    NoWay(NoWay),
    /// It gives no allocation.
    NotAllocated(TurnError),
    /// It lends a relay, which does not relay to the other one.
    PeerRefused {
        /// The other relay.
        relay: SocketAddr,
        /// The error of RFC 8656, such as 403.
        code: u16,
    },
    /// Both relays are lent, and what one sends does not reach the other.
    NotRelayed(SocketAddr),
    /// A data channel between two peers here was opened, and what was sent came back.
    Echoed {
        /// The way that it took.
        route: Route,
        /// Until it was open.
        opened: Duration,
        /// For a message.
        round_trip: Duration,
    },
    /// One of the two peers could not be made.
    NoPeer(OpenError),
    /// There is no connection.
    NotConnected(ConnectError),
    /// The channel was open, and what was sent did not come back.
    NotEchoed,
    /// The device is there and has let us in.
    Admitted {
        /// The way to it.
        route: Route,
        /// For a message there and back, where it is known yet.
        round_trip: Option<Duration>,
    },
}

/// Why something was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// The server's URL is `http`.
    PlainHttp,
    /// There is no connection to the server.
    NoServer,
    /// The server does not take this machine as a peer.
    NotRegistered,
    /// No server for it is known.
    NoIceServer,
    /// This machine has no address of the server's family.
    NoFamily,
    /// The server, on this machine itself, listens at its address of the other family.
    OtherFamily,
    /// DTLS, and STUN over TLS, are not spoken here.
    NotSpoken,
    /// More were told of than are looked at.
    TooMany,
    /// No server has told where it sees this machine.
    NoMapping,
    /// No relay works.
    NoRelay,
    /// Only relays were asked for.
    RelayOnly,
}

/// Why TLS has no trust in the server, or the server none in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// Nobody who is trusted here has signed the certificate.
    UnknownAuthority,
    /// It is for another name.
    WrongName,
    /// It is not valid any more, or not yet: by our clock.
    OutOfDate,
    /// What answers does not speak TLS.
    NoTls,
    /// No answer to the handshake in time.
    Silent,
    /// Something else.
    Other,
}

/// How far the server's clock is from ours. HTTP tells whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDifference {
    /// How far.
    pub by: Duration,
    /// Whether ours is the one ahead.
    pub ahead: bool,
}

/// What is in between, as far as two destinations can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nat {
    /// Nothing: servers see the address that this machine has.
    None,
    /// A NAT that keeps one port for all destinations.
    Keeps(SocketAddr),
    /// A NAT that takes another port for each destination: two that were seen.
    Symmetric(SocketAddr, SocketAddr),
    /// A NAT; there was nobody else to ask what it is like.
    Unknown(SocketAddr),
}

/// Why there is no connection to a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoWay {
    /// Its name has no address.
    NotResolved(String),
    /// Over TCP: no connection.
    NotReached(String),
    /// Over TLS: no handshake.
    NotSecured(TlsProblem, String),
    /// Over UDP: a word came back that nobody listens there.
    Closed,
    /// Nothing can be sent to it from here.
    NotSent(String),
    /// The connection was lost.
    Lost(String),
    /// The server's URL came without the credentials that TURN needs.
    NoCredentials,
}

impl Finding {
    /// What it means.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Skipped(_) => Status::Skipped,
            Self::Resolved(_)
            | Self::Secured(_)
            | Self::Registered
            | Self::IceServers { .. }
            | Self::Mapped { .. }
            | Self::Relayed { .. }
            | Self::Echoed { .. }
            | Self::Admitted { .. } => Status::Ok,
            Self::Reached(each) => {
                // Which of a machine's own two addresses a server listens on is its own affair, and what family of addresses this network has is not the server's.
                let is_fine = |(to, outcome): &(SocketAddr, io::Result<Duration>)| match outcome {
                    Ok(_) => true,
                    Err(error) => to.ip().is_loopback() || is_no_family(error),
                };
                if each.iter().all(|(_, outcome)| outcome.is_err()) {
                    Status::Failed
                } else if each.iter().all(is_fine) {
                    Status::Ok
                } else {
                    Status::Warning
                }
            }
            Self::Clock(ClockDifference { by, .. }) if *by > CLOCK_LIMIT => Status::Failed,
            Self::Clock(ClockDifference { by, .. }) if *by > CLOCK_NOTABLE => Status::Warning,
            Self::Clock(_) | Self::Nat(Nat::None | Nat::Keeps(_) | Nat::Unknown(_)) => Status::Ok,
            Self::IceServersUnknown(given) | Self::NoIceServers(given) if *given > 0 => Status::Ok,
            Self::NoTime
            | Self::IceServersUnknown(_)
            | Self::NoIceServers(_)
            | Self::Nat(Nat::Symmetric(..))
            | Self::NotMapped {
                other_family: true, ..
            }
            | Self::NotListening { other_family: true }
            | Self::NotSent {
                other_family: true, ..
            } => Status::Warning,
            // A server of this machine alone, where no relay is needed.
            Self::PeerRefused { relay, .. } if relay.ip().is_loopback() => Status::Warning,
            Self::Late(_)
            | Self::NotResolved(_)
            | Self::NotSecured(..)
            | Self::NoHttp(_)
            | Self::NotRegistered(_)
            | Self::NoIceAnswer(_)
            | Self::NotMapped { .. }
            | Self::NotListening { .. }
            | Self::NotSent { .. }
            | Self::NoWay(_)
            | Self::NotAllocated(_)
            | Self::PeerRefused { .. }
            | Self::NotRelayed(_)
            | Self::NoPeer(_)
            | Self::NotConnected(_)
            | Self::NotEchoed => Status::Failed,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(why) => why.fmt(f),
            Self::Late(after) => write!(f, "not done after {}", Span(*after)),
            Self::Resolved(addresses) => listed(f, addresses),
            Self::NotResolved(error) | Self::NoHttp(error) => f.write_str(error),
            Self::Reached(each) => {
                for (at, (address, outcome)) in each.iter().enumerate() {
                    let separator = if at == 0 { "" } else { ", " };
                    match outcome {
                        Ok(took) => write!(f, "{separator}{address} in {}", Span(*took))?,
                        Err(error) => write!(f, "{separator}{address}: {}", plain(error))?,
                    }
                }
                Ok(())
            }
            Self::Secured(version) => f.write_str(version),
            Self::NotSecured(_, error) => f.write_str(error),
            Self::Clock(difference) => difference.fmt(f),
            Self::NoTime => f.write_str("the server does not tell the time"),
            Self::Registered => f.write_str("WebSocket open, registered"),
            Self::NotRegistered(error) | Self::NoIceAnswer(error) => error.fmt(f),
            Self::IceServers {
                told,
                lifetime,
                given,
            } => {
                listed(f, &places(told))?;
                match lifetime.as_secs() / 60 {
                    minutes @ ..120 => write!(f, ", for {minutes} min")?,
                    minutes => write!(f, ", for {} h", minutes / 60)?,
                }
                beside(f, *given)
            }
            Self::NoIceServers(given) => {
                f.write_str("the server tells of none")?;
                beside(f, *given)
            }
            Self::IceServersUnknown(given) => {
                f.write_str("the server cannot be asked for any")?;
                beside(f, *given)
            }
            Self::Mapped { address, local } if address == local => {
                write!(f, "seen at {address}, as it is")
            }
            Self::Mapped { address, .. } => write!(f, "seen at {address}"),
            Self::NotMapped { error, .. } | Self::NotAllocated(error) => error.fmt(f),
            Self::NotListening { .. } => f.write_str("nobody listens at this port"),
            Self::NotSent { error, .. } => write!(f, "nothing can be sent: {error}"),
            Self::Nat(nat) => nat.fmt(f),
            Self::Relayed {
                relays,
                allocated,
                round_trip,
            } => {
                f.write_str("relay at ")?;
                let addresses: Vec<_> = relays.iter().map(SocketAddr::ip).collect();
                listed(f, &addresses)?;
                let (allocated, round_trip) = (Span(*allocated), Span(*round_trip));
                write!(f, ", lent in {allocated}, there and back in {round_trip}")
            }
            Self::NoWay(error) => error.fmt(f),
            Self::PeerRefused { relay, code } => {
                write!(f, "the server does not relay to {}: {code}", relay.ip())
            }
            Self::NotRelayed(relay) => {
                write!(f, "what was sent to the relay {relay} did not arrive")
            }
            Self::Echoed {
                route,
                opened,
                round_trip,
            } => {
                let (opened, round_trip) = (Span(*opened), Span(*round_trip));
                let way = way(*route);
                write!(
                    f,
                    "between two peers here: {way}, open in {opened}, echoed in {round_trip}"
                )
            }
            Self::NoPeer(error) => error.fmt(f),
            Self::NotConnected(error) => {
                error.fmt(f)?;
                let ConnectError::NoRoute(tried) = error else {
                    return Ok(());
                };
                let (ours, theirs) = (tried.local.len(), tried.remote.len());
                let (sent, answered) = (tried.sent, tried.answered);
                write!(
                    f,
                    "; addresses: {ours} here, {theirs} there; checks: {sent} sent, {answered} answered"
                )
            }
            Self::NotEchoed => f.write_str("open, but nothing comes back"),
            Self::Admitted { route, round_trip } => {
                write!(f, "let in, {}", way(*route))?;
                match round_trip {
                    Some(round_trip) => write!(f, ", round trip {}", Span(*round_trip)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainHttp => "not asked for: plain http",
            Self::NoServer => "no connection to the server",
            Self::NotRegistered => "the server does not take this machine as a peer",
            Self::NoIceServer => "no server for it is known",
            Self::NoFamily => "this machine has no address of that family",
            Self::OtherFamily => "the server listens at this machine's other address",
            Self::NotSpoken => "not spoken here",
            Self::TooMany => "one of too many",
            Self::NoMapping => "no server tells where it sees this machine",
            Self::NoRelay => "no relay works",
            Self::RelayOnly => "relays alone were asked for",
        })
    }
}

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.by.as_secs();
        let side = if self.ahead { "ahead of" } else { "behind" };
        match seconds {
            0 | 1 => f.write_str("the same as the server's, to the second"),
            2..120 => write!(f, "{seconds} s {side} the server's"),
            120..7_200 => write!(f, "{} min {side} the server's", seconds / 60),
            7_200..172_800 => write!(f, "{} h {side} the server's", seconds / 3_600),
            _ => write!(f, "{} days {side} the server's", seconds / 86_400),
        }
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none in between"),
            Self::Keeps(_) => f.write_str("one port for all destinations"),
            Self::Symmetric(first, second) => {
                let (first, second) = (first.port(), second.port());
                write!(f, "another port for each destination: {first}, {second}")
            }
            Self::Unknown(_) => f.write_str("there is one; nobody else to ask what it is like"),
        }
    }
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotResolved(error) | Self::NotReached(error) | Self::NotSecured(_, error) => {
                f.write_str(error)
            }
            Self::Closed => f.write_str("nobody listens at this port"),
            Self::NotSent(error) => write!(f, "nothing can be sent: {error}"),
            Self::Lost(error) => write!(f, "the connection was lost: {error}"),
            Self::NoCredentials => f.write_str("it came without credentials"),
        }
    }
}

/// A span of time with two digits: `0.42 ms`, `23 ms`, `1.2 s`.
#[derive(Clone, Copy, Debug)]
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1_000.0;
        match ms {
            ..10.0 => write!(f, "{ms:.1} ms"),
            ..1_000.0 => write!(f, "{ms:.0} ms"),
            _ => write!(f, "{:.1} s", ms / 1_000.0),
        }
    }
}

/// What each host and port is there for: `example.org:3478 (STUN, TURN over UDP and TCP)`.
fn places(urls: &[IceUrl]) -> Vec<String> {
    let place = |url: &IceUrl| format!("{}:{}", url.host, url.port);
    let mut places: Vec<String> = Vec::new();
    for name in urls.iter().map(place) {
        if !places.contains(&name) {
            places.push(name);
        }
    }
    let with_uses = |name: String| {
        let here: Vec<_> = urls.iter().filter(|url| place(url) == name).collect();
        let over: Vec<_> = here
            .iter()
            .filter(|url| url.service == Service::Turn)
            .map(|url| transport(url.transport))
            .collect();
        let stun = here.iter().any(|url| url.service == Service::Stun);
        let uses = match (stun, over.is_empty()) {
            (_, true) => "STUN".to_owned(),
            (true, false) => format!("STUN, TURN over {}", over.join(" and ")),
            (false, false) => format!("TURN over {}", over.join(" and ")),
        };
        format!("{name} ({uses})")
    };
    places.into_iter().map(with_uses).collect()
}

/// An error in words, without the system's number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn listed(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        write!(f, "{separator}{item}")?;
    }
    Ok(())
}

fn beside(f: &mut fmt::Formatter<'_>, given: usize) -> fmt::Result {
    match given {
        0 => Ok(()),
        1 => f.write_str("; one given beside"),
        _ => write!(f, "; {given} given beside"),
    }
}

const fn way(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Relayed => "relayed",
    }
}

/// A transport's name for people.
pub(super) const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Dtls => "DTLS",
    }
}
