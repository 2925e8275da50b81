//! Which ways a connection has that lead through servers: our relays, held back for a moment so that a direct path is found first, and the peer's.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_proto::wire::candidate::{self, Address, Kind};
use peerage_proto::wire::ice_url::Transport;
use str0m::{Candidate, CandidateKind};

/// How much later than our own addresses a relay is tried, counted from the first candidate of the peer: two checks of a direct path. The peer is told of it at
/// once, and the relay is made ready meanwhile.
pub(super) const HEAD_START: Duration = Duration::from_millis(500);
/// Relays of ours at a time: one for each family, and as many of each earlier set of credentials.
const MAX_OURS: usize = 8;
/// The peer's.
const MAX_THEIRS: usize = 64;

#[derive(Default)]
pub(super) struct Relays {
    ours: Vec<Ours>,
    theirs: HashSet<SocketAddr>,
    /// When our relays take part; `None` while nothing is known of the peer.
    begin: Option<Instant>,
}

struct Ours {
    address: SocketAddr,
    transport: Transport,
    candidate: Candidate,
    waits: bool,
}

impl Relays {
    /// A relay of ours. Returns the line for the peer; `None` for one that is known or cannot be used.
    pub(super) fn add_ours(
        &mut self,
        address: SocketAddr,
        transport: Transport,
        ufrag: &str,
    ) -> Option<String> {
        if self.ours.len() >= MAX_OURS || self.is_ours(address) {
            return None;
        }
        let line = line(address, transport, ufrag);
        let candidate = Candidate::from_sdp_string(&line).ok()?;
        self.ours.push(Ours {
            address,
            transport,
            candidate,
            waits: true,
        });
        Some(line)
    }

    /// The lines that tell the peer of our relays in a new generation.
    pub(super) fn lines(&self, ufrag: &str) -> impl Iterator<Item = String> {
        self.ours
            .iter()
            .map(move |ours| line(ours.address, ours.transport, ufrag))
    }

    /// The peer tells its candidates anew. `kept` is the one that is in use meanwhile.
    pub(super) fn forget_theirs(&mut self, kept: Option<SocketAddr>) {
        self.theirs.retain(|address| Some(*address) == kept);
    }

    /// A relay of ours is gone. Returns what took part.
    pub(super) fn remove_ours(&mut self, address: SocketAddr) -> Option<Candidate> {
        let at = self.ours.iter().position(|ours| ours.address == address)?;
        let ours = self.ours.swap_remove(at);
        (!ours.waits).then_some(ours.candidate)
    }

    /// Notes a candidate of the peer's. True for a relay that is new.
    pub(super) fn add_theirs(
        &mut self,
        candidate: &Candidate,
        head_start: Duration,
        now: Instant,
    ) -> bool {
        self.begin.get_or_insert(now + head_start);
        candidate.kind() == CandidateKind::Relayed
            && self.theirs.len() < MAX_THEIRS
            && self.theirs.insert(candidate.addr())
    }

    /// Relays of ours that take part from now on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Candidate> {
        if self.begin.is_none_or(|begin| now < begin) {
            return Vec::new();
        }
        let waiting = self.ours.iter_mut().filter(|ours| ours.waits);
        waiting
            .map(|ours| {
                ours.waits = false;
                ours.candidate.clone()
            })
            .collect()
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.begin
            .filter(|_| self.ours.iter().any(|ours| ours.waits))
    }

    pub(super) fn is_ours(&self, address: SocketAddr) -> bool {
        self.ours.iter().any(|ours| ours.address == address)
    }

    /// Whether packets between these two go through a server.
    pub(super) fn is_relayed(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.is_ours(local) || self.theirs.contains(&remote)
    }
}

/// The line that tells of a relay, with its priority (RFC 8445 section 5.1.2.1) below all else, and the lower the more stands between us and the server.
///
/// The stack takes the priority from it. One of the stack's own making would be far higher in checks (110 as type preference, section 7.1.1), which the peer
/// sees before it sees this line: it would prefer the relay to a direct path.
fn line(address: SocketAddr, transport: Transport, ufrag: &str) -> String {
    let preference = match transport {
        Transport::Udp => 2,
        Transport::Tcp => 1,
        Transport::Tls | Transport::Dtls => 0,
    };
    let masked = match address {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    let family = u32::from(address.is_ipv6());
    candidate::Candidate {
        foundation: format!("relay{preference}{family}"),
        transport: candidate::Transport::Udp,
        priority: preference << 24 | (0xfffe | family) << 8 | 0xff,
        address: Address::Ip(address.ip()),
        port: address.port(),
        kind: Kind::Relayed,
        related: Some((masked.ip(), masked.port())),
        ufrag: Some(ufrag.to_owned()),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_told_at_once_and_tried_after_the_head_start() {
        let now = Instant::now();
        let relay = SocketAddr::from(([192, 0, 2, 1], 61_000));
        let mut relays = Relays::default();
        let line = relays.add_ours(relay, Transport::Tcp, "abcd").expect("new");
        assert!(line.contains(" 192.0.2.1 61000 typ relay raddr 0.0.0.0 rport 0"));
        assert_eq!(relays.add_ours(relay, Transport::Tcp, "abcd"), None);
        assert_eq!(relays.due_at(), None, "there is nobody yet");
        let peer = Candidate::host(([10, 0, 0, 1], 1).into(), "udp").expect("fine");
        assert!(!relays.add_theirs(&peer, HEAD_START, now));
        assert_eq!(relays.due_at(), Some(now + HEAD_START));
        assert!(relays.due(now).is_empty());
        assert_eq!(relays.due(now + HEAD_START).len(), 1);
        assert_eq!(relays.due_at(), None);
        assert!(relays.is_relayed(relay, peer.addr()));
        assert!(!relays.is_relayed(peer.addr(), peer.addr()));
        assert!(relays.remove_ours(relay).is_some());
    }

    #[test]
    fn the_further_away_a_server_is_the_lower_is_its_relays_priority() {
        let relay = SocketAddr::from(([192, 0, 2, 1], 61_000));
        let priority = |transport| {
            Candidate::from_sdp_string(&line(relay, transport, "abcd"))
                .expect("a candidate")
                .prio()
        };
        let host = Candidate::host(([10, 0, 0, 1], 1).into(), "udp").expect("fine");
        assert!(host.prio() > priority(Transport::Udp));
        assert!(priority(Transport::Udp) > priority(Transport::Tcp));
        assert!(priority(Transport::Tcp) > priority(Transport::Tls));
    }
}
