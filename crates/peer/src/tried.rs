//! What was tried to reach a peer: told when nothing led there, or nothing does any more.

use std::fmt;
use std::net::SocketAddr;

/// What was tried to reach a peer, for whoever has to find out why it failed.
///
/// `Display` takes a few lines. Addresses are the peer's and this machine's own; no credentials are in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tried {
    /// This side's addresses, as the peer was told of them; at most 32.
    pub local: Vec<TriedCandidate>,
    /// The peer's addresses, as it told of them; at most 64.
    pub remote: Vec<TriedCandidate>,
    /// The STUN and TURN servers that were to help.
    pub servers: Vec<TriedServer>,
    /// Connectivity checks that were sent.
    pub sent: u64,
    /// Connectivity checks that were answered.
    pub answered: u64,
}

/// One address that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriedCandidate {
    /// How it was learnt.
    pub kind: TriedKind,
    /// The address with its port; for a peer that hides it, the one-time name under `.local` that stands for it.
    pub address: String,
    /// Whether a check between it and the other side was answered.
    pub answered: bool,
}

/// How an address was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TriedKind {
    /// An interface has it.
    Host,
    /// A server sees it: the outer side of a NAT.
    Reflexive,
    /// A TURN server lends it.
    Relayed,
    /// Hidden behind a name of multicast DNS that could not be looked up.
    Hidden,
}

/// One STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriedServer {
    /// Its URL, such as `turn:example.org:3478?transport=udp`. Without credentials.
    pub url: String,
    /// What came of it.
    pub outcome: ServerOutcome,
}

/// What came of asking a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerOutcome {
    /// It was not asked: another one had answered before its turn, or nothing needed it.
    NotAsked,
    /// It was asked and has not answered.
    NoAnswer,
    /// It says that it sees this side at this address.
    Sees(SocketAddr),
    /// It lends this address.
    Lends(SocketAddr),
    /// It was not reached, or it refused.
    Failed(String),
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "our addresses: ")?;
        list(f, &self.local)?;
        write!(f, "\ntheir addresses: ")?;
        list(f, &self.remote)?;
        for server in &self.servers {
            write!(f, "\n{server}")?;
        }
        let Self { sent, answered, .. } = self;
        write!(f, "\nconnectivity checks: {sent} sent, {answered} answered")
    }
}

fn list(f: &mut fmt::Formatter<'_>, candidates: &[TriedCandidate]) -> fmt::Result {
    if candidates.is_empty() {
        return f.write_str("none");
    }
    for (index, candidate) in candidates.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{candidate}")?;
    }
    Ok(())
}

impl fmt::Display for TriedCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, address, .. } = self;
        let answered = if self.answered { ", answered" } else { "" };
        write!(f, "{address} ({kind}{answered})")
    }
}

impl fmt::Display for TriedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "own",
            Self::Reflexive => "seen by a server",
            Self::Relayed => "relay",
            Self::Hidden => "hidden, not found",
        })
    }
}

impl fmt::Display for TriedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, outcome } = self;
        write!(f, "{url}: {outcome}")
    }
}

impl fmt::Display for ServerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Sees(address) => write!(f, "sees us at {address}"),
            Self::Lends(address) => write!(f, "lends {address}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_reads_as_a_few_lines() {
        let tried = Tried {
            local: vec![
                TriedCandidate {
                    kind: TriedKind::Host,
                    address: "192.168.1.5:5000".into(),
                    answered: false,
                },
                TriedCandidate {
                    kind: TriedKind::Relayed,
                    address: "192.0.2.1:61000".into(),
                    answered: true,
                },
            ],
            remote: Vec::new(),
            servers: vec![TriedServer {
                url: "turn:example.org:3478?transport=udp".into(),
                outcome: ServerOutcome::Failed("the server does not answer".into()),
            }],
            sent: 9,
            answered: 1,
        };
        assert_eq!(
            tried.to_string(),
            "our addresses: 192.168.1.5:5000 (own), 192.0.2.1:61000 (relay, answered)\n\
             their addresses: none\n\
             turn:example.org:3478?transport=udp: the server does not answer\n\
             connectivity checks: 9 sent, 1 answered"
        );
    }
}
