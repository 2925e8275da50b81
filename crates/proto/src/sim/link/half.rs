//! One end of a connection: its link machine and an engine that is made up.

use std::time::Instant;

use super::book::Visit;
use crate::identity::fixture::sdp;
use crate::identity::gate::Granted;
use crate::identity::{Fingerprint, LinkProof, Nonce, StatementHash};
use crate::link::Link;
use crate::wire::sdp::DataDescription;

pub(super) const CANDIDATE: &str = "candidate:1 1 udp 2122194687 192.0.2.1 40000 typ host";

pub(super) struct Half {
    pub(super) link: Link,
    pub(super) side: Side,
    pub(super) began: Instant,
    /// The engine's own: no two engines have the same.
    pub(super) certificate: Fingerprint,
    pub(super) ufrag: String,
    /// The offer that this end made or let in.
    pub(super) offer: Option<StatementHash>,
    /// What the engine was given.
    pub(super) remote: Option<DataDescription>,
    pub(super) candidates: usize,
    /// The certificate of its only handshake.
    pub(super) shown: Option<Fingerprint>,
    pub(super) partner: Option<usize>,
    pub(super) opened: bool,
    pub(super) closed: bool,
    /// Its end has a reason: the engine's, or its grant's.
    pub(super) ending: bool,
}

pub(super) enum Side {
    Caller {
        visit: Visit,
        proof: Option<LinkProof>,
        /// On a second try.
        retry: Option<Nonce>,
    },
    Device {
        granted: Box<Granted>,
    },
}

impl Half {
    pub(super) fn new(number: usize, link: Link, side: Side, now: Instant) -> Self {
        let mut certificate = [0xce; 32];
        certificate[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Self {
            link,
            side,
            began: now,
            certificate: Fingerprint::new(certificate),
            ufrag: format!("half{number}"),
            offer: None,
            remote: None,
            candidates: 0,
            shown: None,
            partner: None,
            opened: false,
            closed: false,
            ending: false,
        }
    }

    pub(super) fn is_caller(&self) -> bool {
        matches!(self.side, Side::Caller { .. })
    }

    /// The engine's description, with a candidate that is not to be told to everybody.
    pub(super) fn sdp(&self) -> String {
        let setup = if self.is_caller() {
            "actpass"
        } else {
            "active"
        };
        let text = sdp(self.certificate, setup).replace("hrFr", &self.ufrag);
        format!("{text}a={CANDIDATE}\r\n")
    }

    /// Whether the engines can find each other: both know the other's description, and one has an address to try.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let knows = |one: &Self, two: &Self| {
            one.remote
                .as_ref()
                .is_some_and(|remote| remote.ice_ufrag() == two.ufrag)
        };
        let free = |half: &Self| !half.closed && half.shown.is_none();
        self.is_caller() != other.is_caller()
            && free(self)
            && free(other)
            && knows(self, other)
            && knows(other, self)
            && self.candidates + other.candidates > 0
    }
}
