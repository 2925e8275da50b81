//! Looking for a way to the peer anew (RFC 8445 section 9) while the old one goes on.
//!
//! The stack applies a restart as a whole or, where a description turns out to be unusable half-way, in part. So it never sees the peer's text: a description
//! is read by a strict grammar, held against the handshake's certificate, and written anew from the few values that count.

use std::net::SocketAddr;
use std::time::Instant;

use peerage_proto::wire::sdp::{DataDescription, Fingerprint, Setup};
use str0m::IceCreds;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};

use super::{Conn, Phase};
use crate::engine::{EngineError, Event, sdp};

/// Candidates of a generation that is not there yet.
const MAX_EARLY: usize = 32;

/// An offer of ours that waits for its answer.
pub(super) enum Pending {
    First(SdpPendingOffer),
    Restart(Restart),
}

pub(super) struct Restart {
    offer: SdpPendingOffer,
    /// Our user fragment in it.
    ufrag: String,
}

/// What came of the peer's candidates before, or with, its description.
#[derive(Default)]
pub(super) struct Early {
    /// They name a user fragment that the peer has not told of yet.
    candidates: Vec<String>,
    /// Addresses of those that take part now.
    permits: Vec<SocketAddr>,
}

impl Conn {
    /// Makes the offer of a new generation. Nothing changes before it is answered.
    pub(in crate::engine) fn restart(&mut self) -> Result<String, EngineError> {
        self.check_open()?;
        if matches!(self.pending, Some(Pending::First(_))) {
            return Err(EngineError::Restart("it is not connected yet"));
        }
        let mut changes = self.rtc.sdp_api();
        let ufrag = changes.ice_restart(true).ufrag;
        let (offer, pending) = changes
            .apply()
            .ok_or(EngineError::Restart("there is nothing to offer"))?;
        self.pending = Some(Pending::Restart(Restart {
            offer: pending,
            ufrag: ufrag.clone(),
        }));
        let offer = self.tell_generation(&offer.to_sdp_string(), &ufrag);
        Ok(sdp::outgoing(&offer, &self.mid))
    }

    /// Answers the peer's offer of a new generation. What is wrong with it is found before anything changes.
    pub(in crate::engine) fn answer_restart(
        &mut self,
        offer: &str,
        now: Instant,
    ) -> Result<String, EngineError> {
        self.check_open()?;
        if self.pending.is_some() {
            return Err(EngineError::Restart("its own offer waits for an answer"));
        }
        let (description, text) = self.check(offer, Setup::ActPass)?;
        let offer = SdpOffer::from_sdp_string(&text).map_err(unusable)?;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(unusable)?;
        let ufrag = self.ufrag();
        let answer = self.tell_generation(&answer.to_sdp_string(), &ufrag);
        self.began(&description, now);
        Ok(answer)
    }

    /// Applies the answer to [`restart`](Self::restart). One that is not usable leaves the restart waiting for another.
    pub(super) fn apply_restart(
        &mut self,
        restart: Restart,
        answer: &str,
        now: Instant,
    ) -> Result<(), EngineError> {
        let checked = self
            .check_open()
            .and_then(|()| self.check(answer, Setup::Passive))
            .and_then(|(description, text)| {
                let answer = SdpAnswer::from_sdp_string(&text).map_err(unusable)?;
                Ok((description, answer))
            });
        let (description, answer) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                tracing::debug!(%error, "the answer to a restart is not usable");
                self.pending = Some(Pending::Restart(restart));
                return Err(EngineError::Restart("the answer is not usable"));
            }
        };
        self.rtc
            .sdp_api()
            .accept_answer(restart.offer, answer)
            .map_err(unusable)?;
        self.began(&description, now);
        Ok(())
    }

    /// The user fragments by which checks find this connection, when they have changed since the last call.
    pub(in crate::engine) fn renamed(&mut self) -> Option<Vec<String>> {
        std::mem::take(&mut self.renamed).then(|| self.consent.our_ufrags())
    }

    /// Addresses of the peer's that take part since the last call, without having come through [`add_candidate`](Self::add_candidate).
    pub(in crate::engine) fn take_permits(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.early.permits)
    }

    /// Tells the peer of a candidate of ours, in the generation that it may be in already as well.
    pub(super) fn tell_candidate(&self, line: String) {
        if let Some(Pending::Restart(Restart { ufrag, .. })) = &self.pending {
            let next = sdp::with_ufrag(&line, ufrag);
            self.reports.event(Event::Candidate(next));
        }
        self.reports.event(Event::Candidate(line));
    }

    /// Whether a candidate of the peer's belongs to a generation that is not there yet: it is kept for it.
    pub(super) fn is_early(&mut self, candidate: &str) -> bool {
        let current = self.consent.their_ufrag();
        let is_early = current.is_some()
            && sdp::candidate_ufrag(candidate).is_some_and(|ufrag| Some(ufrag) != current);
        if is_early && self.early.candidates.len() < MAX_EARLY {
            self.early.candidates.push(candidate.to_owned());
        }
        is_early
    }

    fn check_open(&self) -> Result<(), EngineError> {
        match self.phase {
            Phase::Open | Phase::Flushing { .. } => Ok(()),
            Phase::Connecting { .. } => Err(EngineError::Restart("it is not open yet")),
            Phase::Leaving { .. } | Phase::Gone => Err(EngineError::Restart("it is over")),
        }
    }

    /// Reads a description of a new generation; with the text for the stack.
    fn check(
        &mut self,
        text: &str,
        setup: Setup,
    ) -> Result<(DataDescription, String), EngineError> {
        let description = DataDescription::parse_stock(text)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        let ours = self.certificate();
        if ours != Some(*description.fingerprint().as_bytes()) {
            return Err(EngineError::Description(
                "another certificate than the handshake's".into(),
            ));
        }
        if Some(description.ice_ufrag()) == self.consent.their_ufrag() {
            return Err(EngineError::Description("the generation is known".into()));
        }
        let fingerprint = Fingerprint::new(*description.fingerprint().as_bytes());
        let text = sdp::incoming(&description.emit(fingerprint, setup), &self.mid);
        Ok((description, text))
    }

    /// Takes the candidates out of a description of ours, and tells of all that there are, in their new generation.
    fn tell_generation(&self, description: &str, ufrag: &str) -> String {
        let (text, candidates) = sdp::without_candidates(description);
        for candidate in candidates {
            // What the peer saw it can see again; relays have lines of their own, and may still be waiting.
            if ["host", "srflx"].contains(&sdp::candidate_kind(&candidate)) {
                let line = sdp::with_ufrag(&candidate, ufrag);
                self.reports.event(Event::Candidate(line));
            }
        }
        for line in self.relays.lines(ufrag) {
            self.reports.event(Event::Candidate(line));
        }
        text
    }

    /// Both sides' descriptions of a new generation are there.
    fn began(&mut self, description: &DataDescription, now: Instant) {
        self.begin_generation(IceCreds {
            ufrag: description.ice_ufrag().to_owned(),
            pass: description.ice_pwd().to_owned(),
        });
        self.theirs.clear();
        self.relays
            .forget_theirs(self.nominated.map(|(_, remote)| remote));
        let told = description.candidates().iter().map(ToString::to_string);
        let early = std::mem::take(&mut self.early.candidates);
        for candidate in told.chain(early) {
            let added = self.add_candidate(&candidate, now);
            self.early.permits.extend(added);
        }
        // Of generations that were passed over.
        self.early.candidates.clear();
    }
}

fn unusable(error: impl ToString) -> EngineError {
    EngineError::Description(error.to_string())
}
