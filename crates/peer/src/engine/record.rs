//! What is remembered of a connection's attempts, to be told when it fails.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_proto::wire::ice_url::{Host, IceUrl, Service, Transport};
use str0m::{Candidate, CandidateKind};

use super::servers::Servers;
use crate::{ServerOutcome, Tried, TriedCandidate, TriedKind, TriedServer};

/// Addresses of ours that are remembered.
const MAX_LOCAL: usize = 32;
/// The peer's.
const MAX_REMOTE: usize = 64;
/// Names of the peer's that were not found.
const MAX_HIDDEN: usize = 8;

/// One connection's candidates and checks.
#[derive(Debug, Default)]
pub(super) struct Record {
    local: Vec<Entry>,
    remote: Vec<Entry>,
    hidden: Vec<String>,
    sent: u64,
    answered: u64,
}

#[derive(Debug)]
struct Entry {
    kind: TriedKind,
    address: SocketAddr,
    answered: bool,
}

impl Record {
    pub(super) fn add_local(&mut self, kind: TriedKind, address: SocketAddr) {
        add(&mut self.local, MAX_LOCAL, kind, address);
    }

    pub(super) fn add_remote(&mut self, candidate: &Candidate) {
        let kind = match candidate.kind() {
            CandidateKind::Host => TriedKind::Host,
            CandidateKind::ServerReflexive | CandidateKind::PeerReflexive => TriedKind::Reflexive,
            CandidateKind::Relayed => TriedKind::Relayed,
        };
        add(&mut self.remote, MAX_REMOTE, kind, candidate.addr());
    }

    /// A name that hides an address of the peer's was not found.
    pub(super) fn add_hidden(&mut self, place: String) {
        if self.hidden.len() < MAX_HIDDEN && !self.hidden.contains(&place) {
            self.hidden.push(place);
        }
    }

    pub(super) fn check_sent(&mut self) {
        self.sent += 1;
    }

    /// A check from one address to another was answered.
    pub(super) fn check_answered(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.answered += 1;
        for (list, address) in [(&mut self.local, local), (&mut self.remote, remote)] {
            for entry in list.iter_mut().filter(|entry| entry.address == address) {
                entry.answered = true;
            }
        }
    }

    pub(super) fn tried(&self, servers: Vec<TriedServer>) -> Tried {
        let hidden = self.hidden.iter().map(|name| TriedCandidate {
            kind: TriedKind::Hidden,
            address: name.clone(),
            answered: false,
        });
        Tried {
            local: self.local.iter().map(Entry::told).collect(),
            remote: self.remote.iter().map(Entry::told).chain(hidden).collect(),
            servers,
            sent: self.sent,
            answered: self.answered,
        }
    }
}

impl Entry {
    fn told(&self) -> TriedCandidate {
        TriedCandidate {
            kind: self.kind,
            address: self.address.to_string(),
            answered: self.answered,
        }
    }
}

fn add(list: &mut Vec<Entry>, limit: usize, kind: TriedKind, address: SocketAddr) {
    let is_known = |entry: &Entry| (entry.kind, entry.address) == (kind, address);
    if list.len() < limit && !list.iter().any(is_known) {
        list.push(Entry {
            kind,
            address,
            answered: false,
        });
    }
}

/// What came of the servers that one port asks; its connections share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcomes(Arc<Mutex<Vec<TriedServer>>>);

impl Outcomes {
    /// These are asked from now on.
    pub(super) fn begin(&self, servers: &Servers) {
        let mappers = servers
            .mappers
            .iter()
            .map(|(host, port)| (stun_url(host, *port), ServerOutcome::NoAnswer));
        let relays = servers
            .relays
            .iter()
            .map(|relay| (relay.url.to_string(), ServerOutcome::NotAsked));
        *self.list() = mappers
            .chain(relays)
            .map(|(url, outcome)| TriedServer { url, outcome })
            .collect();
    }

    pub(super) fn set(&self, url: &str, outcome: ServerOutcome) {
        for server in self.list().iter_mut().filter(|server| server.url == url) {
            server.outcome = outcome.clone();
        }
    }

    pub(super) fn all(&self) -> Vec<TriedServer> {
        self.list().clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<TriedServer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The URL of a server that is asked for our own address.
pub(super) fn stun_url(host: &Host, port: u16) -> String {
    IceUrl {
        service: Service::Stun,
        host: host.clone(),
        port,
        transport: Transport::Udp,
    }
    .to_string()
}
