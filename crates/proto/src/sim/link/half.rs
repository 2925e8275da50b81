//! One end of a connection: its link machine and an engine that is made up.

use std::time::Instant;

use super::book::Visit;
use crate::identity::fixture::sdp;
use crate::identity::gate::Granted;
use crate::identity::{Fingerprint, LinkProof, Nonce, StatementHash};
use crate::link::Link;
use crate::wire::candidate::Candidate;
use crate::wire::sdp::DataDescription;

pub(super) const CANDIDATE: &str = "candidate:1 1 udp 2122194687 192.0.2.1 40000 typ host";

pub(super) struct Half {
    pub(super) link: Link,
    pub(super) side: Side,
    pub(super) began: Instant,
    /// The engine's own: no two engines have the same.
    pub(super) certificate: Fingerprint,
    /// What the engine described: the first one, and one for each restart.
    pub(super) ways: Vec<Way>,
    /// Counts the changes of its addresses.
    pub(super) place: u32,
    /// The offer that this end made or let in.
    pub(super) offer: Option<StatementHash>,
    /// What the engine was given first.
    pub(super) remote: Option<DataDescription>,
    /// How many of the other end's descriptions are known: no older one may come any more.
    pub(super) known: usize,
    /// The certificate of its only handshake.
    pub(super) shown: Option<Fingerprint>,
    pub(super) partner: Option<usize>,
    pub(super) opened: Option<Instant>,
    pub(super) closed: bool,
    /// Its end has a reason: the engine's, or its grant's.
    pub(super) ending: bool,
    /// When the partner was last heard.
    pub(super) heard: Instant,
    pub(super) lost: bool,
    /// No datagram passes before that.
    pub(super) cut_until: Instant,
    /// When something last happened to its path.
    pub(super) troubled: Instant,
    /// When a restart was last offered or asked for, and whether the next one is a second try.
    pub(super) told: Option<Instant>,
    pub(super) second: bool,
    /// What a device's end was last given to answer, and with what leave.
    pub(super) given: Option<Box<Granted>>,
    /// The last restart that the gate let in.
    pub(super) taken: Option<Box<Granted>>,
}

/// A description that the engine made, and what it got in return.
pub(super) struct Way {
    pub(super) ufrag: String,
    /// The user fragment of the description that goes with it.
    pub(super) remote: Option<String>,
    /// Where the engine was when it made this.
    place: u32,
    pub(super) candidates: usize,
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
        let mut half = Self {
            link,
            side,
            began: now,
            certificate: Fingerprint::new(certificate),
            ways: Vec::new(),
            place: 0,
            offer: None,
            remote: None,
            known: 0,
            shown: None,
            partner: None,
            opened: None,
            closed: false,
            ending: false,
            heard: now,
            lost: false,
            cut_until: now,
            troubled: now,
            told: None,
            second: false,
            given: None,
            taken: None,
        };
        half.describe(format!("half{number}"));
        half
    }

    pub(super) fn is_caller(&self) -> bool {
        matches!(self.side, Side::Caller { .. })
    }

    /// A restart begins in the engine.
    pub(super) fn describe_anew(&mut self) {
        let ufrag = format!("{}x{}", self.ways[0].ufrag, self.ways.len());
        self.describe(ufrag);
    }

    fn describe(&mut self, ufrag: String) {
        self.ways.push(Way {
            ufrag,
            remote: None,
            place: self.place,
            candidates: 0,
        });
    }

    /// The last that it described.
    pub(super) fn way(&mut self) -> &mut Way {
        self.ways.last_mut().unwrap()
    }

    pub(super) fn ufrag(&self) -> &str {
        &self.ways.last().unwrap().ufrag
    }

    /// The engine's last description, with a candidate that is not to be told to everybody.
    pub(super) fn sdp(&self) -> String {
        let setup = if self.is_caller() {
            "actpass"
        } else {
            "active"
        };
        let text = sdp(self.certificate, setup).replace("hrFr", self.ufrag());
        format!("{text}a={CANDIDATE}\r\n")
    }

    /// The engine gets a candidate of the other's; whether it can be of any use.
    pub(super) fn add(&mut self, candidate: &Candidate) -> bool {
        let fits = |way: &&mut Way| match &candidate.ufrag {
            None => way.remote.is_some(),
            ufrag => way.remote == *ufrag,
        };
        let way = self.ways.iter_mut().rev().find(fits);
        way.map(|way| way.candidates += 1).is_some()
    }

    /// Whether the engines can find each other: both know the other's description, and one has an address to try.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let free = |half: &Self| !half.closed && half.shown.is_none();
        self.is_caller() != other.is_caller()
            && free(self)
            && free(other)
            && self.ways[0].meets(&other.ways[0])
    }

    /// Whether there is a path: by two descriptions that belong together, of where the ends are now. Which of several does not matter.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        let here = |half: &Self, way: &&Way| way.place == half.place;
        self.ways.iter().filter(|way| here(self, way)).any(|one| {
            other
                .ways
                .iter()
                .any(|two| here(other, &two) && one.meets(two))
        })
    }
}

impl Way {
    fn meets(&self, other: &Self) -> bool {
        self.remote.as_ref() == Some(&other.ufrag)
            && other.remote.as_ref() == Some(&self.ufrag)
            && self.candidates + other.candidates > 0
    }
}
