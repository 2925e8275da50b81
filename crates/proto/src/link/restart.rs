//! ICE restarts of an open link: `docs/protocol/restart.md`.
//!
//! Only the caller offers; a callee asks it to. Each offer has a generation of its own, and nothing of an earlier one is used after it. The old path
//! goes on until a new one works, so a restart that fails costs nothing, and the server's word alone ends no link here.

use std::time::{Duration, Instant};

use super::{CloseReason, Link, Ours, Output, Phase, Role, stock_verdict};
use crate::{
    identity::{
        Code, Evidence, Nonce, Reply,
        caller::{FalseAnswer, SentOffer, Verdict},
        gate::{Caller, Granted},
    },
    wire::{
        candidate::Candidate,
        sdp::DataDescription,
        signal::{AnswerPayload, ConnectionType, Description, Kind, OfferPayload},
    },
};

/// Between two restarts, and from an offer or a request that is not answered to the next one.
pub const RETRY: Duration = Duration::from_secs(3);

/// Between two restarts that a callee takes. Callers keep [`RETRY`], less what delays one offer and not the next; who hurries has its newest one taken then.
pub(super) const PACE: Duration = Duration::from_secs(1);

/// From the two descriptions of a generation to the next restart, where the peer is still not heard: what checking all pairs takes.
const SETTLE: Duration = Duration::from_secs(5);

/// The longest time between two tries: reached by doubling after `PATIENCE` of them, for a server that is away for hours.
pub const SLOWEST: Duration = Duration::from_secs(60);

/// So many tries at [`RETRY`]: as long as an engine bears silence.
const PATIENCE: u32 = 10;

/// How far ahead of the last known generation another may be: a false one must not use up those that are left.
pub const MAX_AHEAD: u32 = 1024;

/// What is known of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Lost,
    Moved,
    Back,
}

/// Where a link stands that can restart.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// The highest generation that was offered or taken here, answered or not.
    begun: u32,
    step: Step,
    /// The peer is not heard: restarts go on until it is.
    lost: bool,
    /// One restart is wanted, by either end.
    wanted: bool,
    /// The device's, for a caller whose clock is wrong.
    nonce: Option<Nonce>,
    /// Restarts and requests since the peer was last heard of anew.
    tries: u32,
    /// No restart or request before that.
    not_before: Option<Instant>,
    /// Ours for the generation that is begun.
    ours: Ours,
    /// Callee: when the last restart was taken, and the newest that came too soon after it.
    taken_at: Option<Instant>,
    next: Option<Box<Granted>>,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// Caller: the engine makes a description.
    Describing,
    /// Caller: the offer is sent.
    Offered {
        local: DataDescription,
        sent: Option<Box<SentOffer>>,
    },
    /// Callee: the engine makes its answer.
    Answering { description: Box<DataDescription> },
}

impl Restarts {
    /// Whether another restart, or a request for one, is due once its time has come.
    fn is_due(&self) -> bool {
        match self.step {
            Step::Idle => self.lost || self.wanted,
            Step::Describing | Step::Offered { .. } => true,
            Step::Answering { .. } => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ours = self.not_before.filter(|_| self.is_due());
        let theirs = self.next.as_ref().and_then(|_| self.takes_from());
        ours.into_iter().chain(theirs).min()
    }

    /// From when on a callee takes another restart; an engine that has not answered one by [`RETRY`] could not.
    fn takes_from(&self) -> Option<Instant> {
        let pause = match self.step {
            Step::Answering { .. } => RETRY,
            _ => PACE,
        };
        self.taken_at.map(|at| at + pause)
    }

    /// A restart or a request goes out.
    fn try_at(&mut self, now: Instant) {
        let doublings = self.tries.saturating_sub(PATIENCE).min(8);
        self.not_before = Some(now + (RETRY * 2_u32.pow(doublings)).min(SLOWEST));
        self.tries = self.tries.saturating_add(1);
    }

    fn is_next(&self, generation: u32) -> bool {
        generation > self.begun && generation - self.begun <= MAX_AHEAD
    }
}

impl Link {
    /// Whether both ends said that they can restart ICE. Where not, a lost path is mended by a new connection alone.
    pub fn can_restart(&self) -> bool {
        self.restarts
            .as_ref()
            .is_some_and(|restarts| restarts.begun < u32::MAX)
    }

    /// The first offer's statement: what a restart's is made from ([`SentOffer::restart`]). `None` at a callee and on a stock link.
    pub fn sent_offer(&self) -> Option<&SentOffer> {
        match &self.role {
            Role::Caller { sent, .. } => sent.as_deref(),
            Role::Callee => None,
        }
    }

    /// The peer's first description says 0 if it can.
    pub(super) fn both_can_restart(&mut self, generation: Option<u32>) {
        if self.config.restart && generation == Some(0) {
            self.restarts = Some(Restarts::default());
        }
    }

    pub(super) fn path(&mut self, change: Change, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        match change {
            // What was tried while it was heard must not slow down what is needed now.
            Change::Lost if !restarts.lost => {
                restarts.lost = true;
                restarts.tries = 0;
                restarts.not_before = restarts.not_before.map(|at| at.min(now + RETRY));
            }
            Change::Lost => {}
            Change::Moved => restarts.wanted = true,
            Change::Back => {
                restarts.lost = false;
                restarts.tries = 0;
            }
        }
        if matches!(restarts.step, Step::Idle) {
            self.next_restart(now);
        }
    }

    /// Begins a restart, or asks for one, if that is due.
    pub(super) fn next_restart(&mut self, now: Instant) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        let is_early = restarts.not_before.is_some_and(|at| now < at);
        let generation = restarts.begun.checked_add(1);
        let (true, false, Some(generation)) = (restarts.is_due(), is_early, generation) else {
            return;
        };
        restarts.try_at(now);
        match self.role {
            Role::Caller { .. } => self.begin(generation),
            Role::Callee => {
                let request = AnswerPayload {
                    sdp: None,
                    connection_type: ConnectionType::Data,
                    connection_id: self.connection.clone(),
                    generation: Some(generation),
                    peerage: None,
                };
                self.send(Kind::Answer, request.to_raw());
            }
        }
    }

    fn begin(&mut self, generation: u32) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        restarts.begun = generation;
        restarts.step = Step::Describing;
        restarts.wanted = false;
        restarts.ours = Ours::default();
        let retry = restarts.nonce.take();
        self.outputs
            .push_back(Output::Restart { generation, retry });
    }

    pub(super) fn local_restart(&mut self, sdp: &str, sent: Option<Box<SentOffer>>, now: Instant) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        let (Role::Caller { options, .. }, Step::Describing) = (&self.role, &restarts.step) else {
            return;
        };
        let stated = sent.as_ref().map(|sent| sent.statement());
        let generation = stated.map_or(Some(restarts.begun), |offer| {
            offer.restart.map(|restart| restart.generation)
        });
        // What does not fit is of no use: the engine is asked again, as if it had not been able to.
        let Ok(local) = DataDescription::parse(sdp) else {
            return;
        };
        let fits = self.verified == sent.is_some()
            && generation == Some(restarts.begun)
            && self.local.as_ref().map(DataDescription::fingerprint) == Some(local.fingerprint());
        if !fits {
            return;
        }
        let payload = OfferPayload {
            sdp: Description::offer(local.to_text()),
            connection_type: ConnectionType::Data,
            connection_id: options.connection.clone(),
            metadata: options.metadata.clone(),
            label: Some(options.label.clone()),
            reliable: Some(options.reliable),
            serialization: Some(options.serialization.clone()),
            generation,
            peerage: sent.as_ref().map(|sent| sent.evidence().emit()),
        };
        restarts.step = Step::Offered { local, sent };
        // The engine may have taken its time.
        restarts.not_before = restarts.not_before.max(Some(now + RETRY));
        self.send(Kind::Offer, payload.to_raw());
        if !self.verified {
            self.release_ours_of_restart();
        }
    }

    /// An answer on an open link: to a restart, or from a callee that asks for one.
    pub(super) fn restart_answered(&mut self, answer: &AnswerPayload, now: Instant) {
        let (Phase::Open, Role::Caller { .. }, Some(restarts), Some(generation)) = (
            self.phase,
            &self.role,
            &mut self.restarts,
            answer.generation,
        ) else {
            return;
        };
        if answer.sdp.is_none() && answer.peerage.is_none() {
            // A hint, like a candidate: it is not signed, and leads to one restart at most, not sooner than any other would.
            if restarts.is_next(generation) {
                restarts.wanted = true;
                if matches!(restarts.step, Step::Idle) {
                    self.next_restart(now);
                }
            }
            return;
        }
        let Step::Offered { sent, .. } = &restarts.step else {
            return;
        };
        if generation != restarts.begun {
            return;
        }
        let verdict = match sent {
            Some(sent) => sent.verify(&self.remote, answer),
            None => match stock_verdict(answer) {
                Ok(verdict) => Ok(verdict),
                Err(_) => return,
            },
        };
        let first = self.description.as_ref().map(DataDescription::fingerprint);
        match verdict {
            Ok(Verdict::Accepted(description)) if Some(description.fingerprint()) == first => {
                self.restart_accepted(description, now);
            }
            Ok(Verdict::Accepted(_)) => {
                let answer = FalseAnswer::Fingerprint;
                self.outputs.push_back(Output::Disbelieved(answer));
            }
            Ok(Verdict::Refused(Code::Gone)) => self.close(CloseReason::Refused(Code::Gone)),
            // Whoever says so, the path may be good: a later restart finds out.
            Ok(Verdict::Refused(_)) => {
                restarts.step = Step::Idle;
                restarts.wanted = true;
            }
            Ok(Verdict::TryAgain(nonce)) => {
                restarts.nonce = Some(nonce);
                restarts.step = Step::Idle;
                restarts.wanted = true;
                restarts.not_before = None;
                self.next_restart(now);
            }
            Err(answer) => self.outputs.push_back(Output::Disbelieved(answer)),
        }
    }

    fn restart_accepted(&mut self, description: DataDescription, now: Instant) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        let Step::Offered { local, .. } = std::mem::take(&mut restarts.step) else {
            return;
        };
        let sdp = self.believe(description);
        self.outputs.push_back(Output::ApplyRemote { sdp });
        self.restarted(local, now);
    }

    /// A restart of this link came through the gate. The newest counts, once.
    pub(super) fn restart_offered(&mut self, granted: Box<Granted>, now: Instant) {
        let (Phase::Connecting { .. } | Phase::Open, Role::Callee, Some(restarts)) =
            (self.phase, &self.role, &mut self.restarts)
        else {
            return;
        };
        let is_same = matches!(granted.caller, Caller::Verified(_)) == self.verified
            && self.description.as_ref().map(DataDescription::fingerprint)
                == Some(granted.description.fingerprint());
        if !is_same || !granted.generation.is_some_and(|it| restarts.is_next(it)) {
            return;
        }
        let known = restarts.next.as_ref().and_then(|next| next.generation);
        if known < granted.generation {
            restarts.next = Some(granted);
        }
        self.next_taken(now);
    }

    /// Takes the restart that waits, if its time has come.
    pub(super) fn next_taken(&mut self, now: Instant) {
        if let Some(restarts) = &mut self.restarts
            && restarts.takes_from().is_none_or(|from| now >= from)
            && let Some(granted) = restarts.next.take()
        {
            self.take_restart(granted, now);
        }
    }

    fn take_restart(&mut self, granted: Box<Granted>, now: Instant) {
        let (Some(restarts), Some(generation)) = (&mut self.restarts, granted.generation) else {
            return;
        };
        restarts.begun = generation;
        restarts.wanted = false;
        restarts.ours = Ours::default();
        restarts.taken_at = Some(now);
        restarts.step = Step::Answering {
            description: Box::new(granted.description.clone()),
        };
        self.outputs.push_back(Output::AnswerRestart {
            sdp: granted.description.to_text(),
            granted,
        });
    }

    pub(super) fn answer_restart(&mut self, sdp: &str, evidence: Option<Evidence>, now: Instant) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        let Step::Answering { description } = std::mem::take(&mut restarts.step) else {
            return;
        };
        let generation = restarts.begun;
        let first = self.local.as_ref().map(DataDescription::fingerprint);
        match DataDescription::parse(sdp) {
            Ok(local)
                if Some(local.fingerprint()) == first && evidence.is_some() == self.verified =>
            {
                let payload = AnswerPayload {
                    sdp: Some(Description::answer(local.to_text())),
                    connection_type: ConnectionType::Data,
                    connection_id: self.connection.clone(),
                    generation: Some(generation),
                    peerage: evidence.map(|evidence| Reply::Answer(evidence).emit()),
                };
                self.send(Kind::Answer, payload.to_raw());
                self.believe(*description);
                self.restarted(local, now);
            }
            // The engine could not: the caller tries again.
            _ => {}
        }
        self.next_taken(now);
    }

    fn restarted(&mut self, local: DataDescription, now: Instant) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        restarts.not_before = restarts.not_before.max(Some(now + SETTLE));
        self.ours = std::mem::take(&mut restarts.ours);
        self.local = Some(local);
        self.release_ours();
        self.release_theirs();
        self.outputs.push_back(Output::Restarted);
    }

    /// Keeps a candidate of ours that belongs to a restart; gives back one that does not.
    pub(super) fn candidate_of_restart(&mut self, candidate: Candidate) -> Option<Candidate> {
        let (Some(restarts), Some(local)) = (&mut self.restarts, &self.local) else {
            return Some(candidate);
        };
        let is_current = candidate.ufrag.as_deref().map(|it| it == local.ice_ufrag());
        match (&restarts.step, is_current) {
            (_, Some(true)) | (Step::Idle, None) => Some(candidate),
            // Of a generation that is over.
            (Step::Idle, Some(false)) => None,
            _ => {
                restarts.ours.push(candidate);
                if !self.verified {
                    self.release_ours_of_restart();
                }
                None
            }
        }
    }

    /// A stock caller's are told with its offer, as at first; a verified one's wait for the answer.
    fn release_ours_of_restart(&mut self) {
        if let Some(restarts) = &mut self.restarts
            && let Step::Offered { local, .. } = &restarts.step
        {
            let of = super::name_of(local);
            let candidates = restarts.ours.take();
            self.tell(candidates, &of);
        }
    }
}
