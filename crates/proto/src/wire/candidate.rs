//! One ICE candidate as CANDIDATE frames and descriptions carry it (RFC 8839 section 5.1, RFC 6544 section 4.5 for TCP).
//!
//! Candidates are not authenticated: they are hints. A strict grammar and fresh text keep what else a sender put into the line away from the engine.

use std::{fmt, net::IpAddr, str::FromStr};

/// Longest candidate line, in bytes. Browsers write about 200.
pub const MAX_CANDIDATE: usize = 512;

/// A candidate for the one component that a data connection has. `Display` writes `candidate:…` without `a=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// 1 to 32 ICE characters; candidates with the same base and server share it.
    pub foundation: String,
    /// UDP, or TCP with the sender's role.
    pub transport: Transport,
    /// Larger is better (RFC 8445 section 5.1.2).
    pub priority: u32,
    /// Where to send.
    pub address: Address,
    /// Port; 9 stands for none in active TCP.
    pub port: u16,
    /// How the address was learnt.
    pub kind: Kind,
    /// The address it was learnt from; browsers mask it.
    pub related: Option<(IpAddr, u16)>,
    /// The description it belongs to, where the sender says so.
    pub ufrag: Option<String>,
}

/// A candidate's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, with who opens the connection.
    Tcp(TcpRole),
}

/// Who opens a TCP connection (RFC 6544 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpRole {
    /// The candidate's owner.
    Active,
    /// The other side.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

/// A candidate's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Numeric.
    Ip(IpAddr),
    /// A one-time name under `.local` that browsers put in place of a private address; to be resolved by multicast DNS. Lower case, no final dot.
    Mdns(String),
}

/// How a candidate's address was learnt (RFC 8445 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of an interface.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the other peer.
    PeerReflexive,
    /// Allocated at a TURN server.
    Relayed,
}

/// A line is no candidate that a data connection can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a candidate of a data connection: {0}")]
pub struct CandidateError(&'static str);

impl Candidate {
    /// Reads a line, with or without `a=` before `candidate:`. Extensions but `tcptype` and `ufrag` are dropped.
    ///
    /// # Errors
    /// The line is too long, breaks the grammar, is for another component than 1, or names a host outside `.local`.
    pub fn parse(line: &str) -> Result<Self, CandidateError> {
        if line.len() > MAX_CANDIDATE || !line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(CandidateError("too long, or with control characters"));
        }
        let line = line.strip_prefix("a=").unwrap_or(line);
        let mut words = line
            .strip_prefix("candidate:")
            .ok_or(CandidateError("no `candidate:`"))?
            .split(' ');
        let mut next = |what| {
            words
                .next()
                .filter(|word| !word.is_empty())
                .ok_or(CandidateError(what))
        };

        let foundation = next("no foundation")?;
        if foundation.len() > 32 || !is_ice_text(foundation) {
            return Err(CandidateError("foundation"));
        }
        if next("no component")? != "1" {
            return Err(CandidateError("component is not 1"));
        }
        let transport = next("no transport")?;
        let priority = number(next("no priority")?, "priority")?;
        let address = next("no address")?.parse()?;
        let port = number(next("no port")?, "port")?;
        if next("no type")? != "typ" {
            return Err(CandidateError("no `typ`"));
        }
        let kind = next("no type")?.parse()?;

        let (mut raddr, mut rport, mut tcp, mut ufrag) = (None, None, None, None);
        while let Some(name) = words.next() {
            let value = words
                .next()
                .ok_or(CandidateError("extension without value"))?;
            match name {
                "raddr" => raddr = value.parse::<IpAddr>().ok(),
                "rport" => rport = value.parse::<u16>().ok(),
                "tcptype" => tcp = Some(value.parse()?),
                "ufrag" if (4..=256).contains(&value.len()) && is_ice_text(value) => {
                    ufrag = Some(value.to_owned())
                }
                _ => {}
            }
        }
        let transport = match (transport.to_ascii_lowercase().as_str(), tcp) {
            ("udp", None) => Transport::Udp,
            ("tcp", Some(role)) => Transport::Tcp(role),
            _ => return Err(CandidateError("transport")),
        };
        Ok(Self {
            foundation: foundation.to_owned(),
            transport,
            priority,
            address,
            port,
            kind,
            related: raddr.zip(rport),
            ufrag,
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp(_) => "tcp",
        };
        write!(
            f,
            "candidate:{} 1 {transport} {} {} {} typ {}",
            self.foundation, self.priority, self.address, self.port, self.kind
        )?;
        if let Some((address, port)) = self.related {
            write!(f, " raddr {address} rport {port}")?;
        }
        if let Transport::Tcp(role) = self.transport {
            write!(f, " tcptype {role}")?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        Ok(())
    }
}

impl FromStr for Candidate {
    type Err = CandidateError;

    fn from_str(line: &str) -> Result<Self, CandidateError> {
        Self::parse(line)
    }
}

impl FromStr for Address {
    type Err = CandidateError;

    fn from_str(text: &str) -> Result<Self, CandidateError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.to_ascii_lowercase();
        let label = name
            .strip_suffix(".local")
            .ok_or(CandidateError("address"))?;
        let plain = (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plain {
            Ok(Self::Mdns(name))
        } else {
            Err(CandidateError("address"))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Mdns(name) => f.write_str(name),
        }
    }
}

impl FromStr for Kind {
    type Err = CandidateError;

    fn from_str(text: &str) -> Result<Self, CandidateError> {
        Ok(match text {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relayed,
            _ => return Err(CandidateError("type")),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        })
    }
}

impl FromStr for TcpRole {
    type Err = CandidateError;

    fn from_str(text: &str) -> Result<Self, CandidateError> {
        Ok(match text {
            "active" => Self::Active,
            "passive" => Self::Passive,
            "so" => Self::SimultaneousOpen,
            _ => return Err(CandidateError("tcptype")),
        })
    }
}

impl fmt::Display for TcpRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        })
    }
}

/// Whether a text is made of `ice-char` alone (RFC 8839 section 5.1).
pub(super) fn is_ice_text(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// A number in plain digits.
pub(super) fn number<T: FromStr>(text: &str, what: &'static str) -> Result<T, CandidateError> {
    let plain = text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or(CandidateError(what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_browsers_are_read_and_written_without_their_extensions() {
        for (line, written) in [
            (
                "candidate:2714696733 1 udp 2122194687 192.0.2.2 33855 typ host generation 0 ufrag hrFr network-id 1",
                "candidate:2714696733 1 udp 2122194687 192.0.2.2 33855 typ host ufrag hrFr",
            ),
            (
                "a=candidate:1 1 UDP 1685987071 198.51.100.7 5000 typ srflx raddr 0.0.0.0 rport 0 generation 0",
                "candidate:1 1 udp 1685987071 198.51.100.7 5000 typ srflx raddr 0.0.0.0 rport 0",
            ),
            (
                "candidate:0 1 UDP 2122252543 D2B5c6a0-0000-4000-8000-1234567890ab.local 40715 typ host",
                "candidate:0 1 udp 2122252543 d2b5c6a0-0000-4000-8000-1234567890ab.local 40715 typ host",
            ),
            (
                "candidate:9 1 tcp 1518214911 2001:db8::2 9 typ host tcptype active generation 0",
                "candidate:9 1 tcp 1518214911 2001:db8::2 9 typ host tcptype active",
            ),
        ] {
            let candidate = Candidate::parse(line).expect(line);
            assert_eq!(candidate.to_string(), written);
            assert_eq!(Candidate::parse(written), Ok(candidate));
        }
    }

    #[test]
    fn what_is_no_candidate_of_a_data_connection_is_refused() {
        for line in [
            "",
            "candidate:",
            "candidate:1 2 udp 1 192.0.2.2 1 typ host",
            "candidate:1 1 udp 1 192.0.2.2 65536 typ host",
            "candidate:1 1 udp -1 192.0.2.2 1 typ host",
            "candidate:1 1 udp 1 example.org 1 typ host",
            "candidate:1 1 udp 1 a.b.local 1 typ host",
            "candidate:1 1 udp 1 .local 1 typ host",
            "candidate:1 1 udp 1 fe80::1%eth0 1 typ host",
            "candidate:1 1 tcp 1 192.0.2.2 1 typ host",
            "candidate:1 1 sctp 1 192.0.2.2 1 typ host",
            "candidate:1 1 udp 1 192.0.2.2 1 typ other",
            "candidate:1 1 udp 1 192.0.2.2 1 host typ",
            "candidate:1 1 udp 1 192.0.2.2 1 typ host generation",
            "candidate:1  1 udp 1 192.0.2.2 1 typ host",
            "candidate:1 1 udp 1 192.0.2.2 1 typ host\r\na=fingerprint:sha-256 00",
        ] {
            assert!(Candidate::parse(line).is_err(), "{line}");
        }
        assert!(
            Candidate::parse(&format!(
                "candidate:1 1 udp 1 192.0.2.2 1 typ host x {}",
                "y".repeat(MAX_CANDIDATE)
            ))
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_line_panics_and_what_parses_is_stable(noise in ".{0,100}", tail in "[ -~]{0,60}") {
            for line in [noise, format!("candidate:1 1 udp 1 192.0.2.2 1 typ host {tail}"), format!("candidate:1 1 {tail}")] {
                if let Ok(candidate) = Candidate::parse(&line) {
                    prop_assert_eq!(Candidate::parse(&candidate.to_string()), Ok(candidate));
                }
            }
        }
    }
}
