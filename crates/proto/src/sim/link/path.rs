//! Paths that come and go under open connections, and what engines and shells do about it.

use std::time::{Duration, Instant};

use super::book::{Made, wall};
use super::half::{CANDIDATE, Side};
use super::world::{Event, World};
use super::{Broken, Bug, Promise};
use crate::identity::{Nonce, StatementHash, gate::Granted};
use crate::link::{Input, RETRY};
use crate::wire::sdp::DataDescription;
use crate::wire::signal::{Candidate, CandidatePayload, ConnectionType, Frame, Kind};

/// An engine says that it hears nothing after that long, and gives up after that much more.
const SILENCE: Duration = Duration::from_secs(3);
const END: Duration = Duration::from_secs(30);
/// What a restart may take at worst over a server that delivers: noticed, a pause, a second try for a wrong clock, candidates.
const ENOUGH: Duration = Duration::from_secs(25);

impl World {
    /// What a caller's connection goes through while it lasts.
    pub(super) fn plan_troubles(&mut self, id: usize) {
        self.later(90_000, Event::EngineEnds(id));
        for _ in 0..self.rng.pick(0..4) {
            let device = self.halves[id].partner;
            let who = device.filter(|_| self.rng.one_in(2)).unwrap_or(id);
            let event = match self.rng.pick(0..3) {
                0 => Event::Cut(id, Duration::from_millis(self.rng.size(40_000))),
                _ => Event::Move(who),
            };
            self.later(60_000, event);
        }
    }

    /// An interface comes or goes: what was described before leads here no more.
    pub(super) fn moves(&mut self, id: usize) -> Result<(), Broken> {
        let (now, noticed) = (self.now, !self.rng.one_in(3));
        let half = &mut self.halves[id];
        half.place += 1;
        half.troubled = half.troubled.max(now);
        if noticed && half.opened.is_some() {
            self.feed(id, Input::PathChanged)?;
        }
        Ok(())
    }

    /// Nothing passes for a while, and then all as before.
    pub(super) fn cut(&mut self, id: usize, span: Duration) {
        let until = self.now + span;
        let half = &mut self.halves[id];
        half.cut_until = half.cut_until.max(until);
        half.troubled = half.troubled.max(until);
    }

    /// An engine looks whether it hears its peer.
    pub(super) fn listen(&mut self, id: usize) -> Result<(), Broken> {
        let now = self.now;
        if self.halves[id].closed {
            return Ok(());
        }
        self.at(now + Duration::from_secs(1), Event::Listen(id));
        let Some(other) = self.halves[id].partner else {
            return Ok(());
        };
        if self.is_heard(id, other) {
            let half = &mut self.halves[id];
            half.heard = now;
            if std::mem::take(&mut half.lost) {
                self.report.back += 1;
                return self.feed(id, Input::PathBack);
            }
            return Ok(());
        }
        let half = &mut self.halves[id];
        let silent = now - half.heard;
        if silent >= END {
            self.report.silent += 1;
            if let Some(since) = self.could_be_back(id, other)
                && now - since >= ENOUGH
            {
                let detail = format!("connection {id} could be back for {:?}", now - since);
                return Err((Promise::Return, detail));
            }
            self.halves[id].ending = true;
            return self.feed(id, Input::EngineClosed);
        }
        if silent < SILENCE {
            return Ok(());
        }
        half.lost = true;
        if self.bug == Some(Bug::RestartAtOnce) {
            half.link.handle_timeout(now + silent * 4);
            self.pump(id)?;
        }
        match self.bug {
            Some(Bug::ForgetPath) => Ok(()),
            _ => self.feed(id, Input::PathLost),
        }
    }

    pub(super) fn is_heard(&self, id: usize, other: usize) -> bool {
        let (one, two) = (&self.halves[id], &self.halves[other]);
        let is_cut = self.now < one.cut_until.max(two.cut_until);
        !two.closed && !is_cut && one.reaches(two)
    }

    /// Since when nothing is in the way of a new path.
    fn could_be_back(&self, id: usize, other: usize) -> Option<Instant> {
        let (one, two) = (&self.halves[id], &self.halves[other]);
        if two.closed {
            return None;
        }
        let open = one.opened?.max(two.opened?);
        let calm = one.troubled.max(two.troubled).max(self.server.calm());
        Some(open.max(calm))
    }

    /// The machine wants a restart; the engine takes a moment.
    pub(super) fn begin(&mut self, id: usize, generation: u32, retry: Option<Nonce>) {
        self.halves[id].second = retry.is_some();
        let retry = retry.filter(|_| self.bug != Some(Bug::ForgetNonce));
        self.later(1_000, Event::Offering(id, generation, retry));
    }

    pub(super) fn offering(
        &mut self,
        id: usize,
        generation: u32,
        retry: Option<Nonce>,
    ) -> Result<(), Broken> {
        let half = &mut self.halves[id];
        let Side::Caller { visit, .. } = &half.side else {
            return Ok(());
        };
        let visit = *visit;
        if half.closed {
            return Ok(());
        }
        half.describe_anew();
        let sdp = half.sdp();
        let visitor = &self.book.callers[visit.caller];
        let time = wall(self.now - self.start, visitor.skew);
        let first = half.link.sent_offer().unwrap();
        let (key, rng) = (&visitor.key, &mut self.chance);
        let sent = first
            .restart(key, generation, retry, &sdp, time, rng)
            .unwrap();
        let made = Made {
            caller: visit.caller,
            offer: sent.statement().clone(),
            evidence: sent.evidence().clone(),
        };
        let hash = StatementHash::of(&made.evidence.statement);
        self.book.made.insert(hash, made);
        self.look_for_candidates(id);
        let sent = Some(Box::new(sent));
        self.feed(id, Input::LocalRestart { sdp, sent })
    }

    /// The machine wants a restart answered; the engine takes a moment.
    pub(super) fn answer_restart(
        &mut self,
        id: usize,
        sdp: &str,
        granted: Box<Granted>,
    ) -> Result<(), Broken> {
        self.known(id, sdp)?;
        self.halves[id].given = Some(granted);
        self.later(1_000, Event::Answering(id));
        Ok(())
    }

    pub(super) fn answering(&mut self, id: usize) -> Result<(), Broken> {
        let now = self.wall();
        let half = &mut self.halves[id];
        let Some(granted) = half.given.take().filter(|_| !half.closed) else {
            return Ok(());
        };
        half.describe_anew();
        let ufrag = granted.description.ice_ufrag().to_owned();
        half.way().remote = Some(ufrag);
        let sdp = half.sdp();
        let evidence = self
            .gate
            .answer_restart(&granted, &sdp, now, &mut self.chance);
        let evidence = evidence.unwrap();
        self.look_for_candidates(id);
        self.feed(id, Input::LocalAnswer { sdp, evidence })
    }

    /// The caller's engine gets the answer to its last description.
    pub(super) fn apply_restart(&mut self, id: usize, sdp: &str) -> Result<(), Broken> {
        let ufrag = self.known(id, sdp)?;
        let half = &self.halves[id];
        let other = half.partner.map(|other| &self.halves[other]);
        let is_ours = |other: &super::half::Half| {
            let way = other.ways.iter().find(|way| way.ufrag == ufrag);
            way.and_then(|way| way.remote.as_deref()) == Some(half.ufrag())
        };
        if !other.is_some_and(is_ours) {
            let detail = format!("connection {id} applies an answer to something else");
            return Err((Promise::Identity, detail));
        }
        self.halves[id].way().remote = Some(ufrag);
        self.report.restarted += u64::from(!self.server.lossy);
        self.report.restarted_lossy += u64::from(self.server.lossy);
        Ok(())
    }

    /// A later description must be the other end's, word for word, and not an older one than the last.
    fn known(&mut self, id: usize, sdp: &str) -> Result<String, Broken> {
        let false_ = |what: &str| {
            let detail = format!("connection {id} is given {what}");
            (Promise::Identity, detail)
        };
        let description = DataDescription::parse(sdp).map_err(|_| false_("what cannot be read"))?;
        let half = &self.halves[id];
        let first = half.remote.as_ref().map(DataDescription::fingerprint);
        let other = half.partner.map(|other| &self.halves[other]);
        let ways = other.map(|other| &other.ways[..]).unwrap_or_default();
        let ufrag = description.ice_ufrag();
        let Some(index) = ways.iter().position(|way| way.ufrag == ufrag) else {
            return Err(false_("a description that the other end did not make"));
        };
        if first != Some(description.fingerprint()) {
            return Err(false_("another certificate"));
        }
        if index <= half.known {
            let detail = format!("connection {id} goes back to description {index}");
            return Err((Promise::Forward, detail));
        }
        self.halves[id].known = index;
        Ok(ufrag.to_owned())
    }

    fn look_for_candidates(&mut self, id: usize) {
        for _ in 0..self.rng.pick(1..4) {
            self.later(2_000, Event::Found(id));
        }
    }

    /// What the engine finds, with or without the name of its description.
    pub(super) fn candidate(&mut self, id: usize) -> String {
        match self.rng.one_in(2) {
            true => format!("{CANDIDATE} ufrag {}", self.halves[id].ufrag()),
            false => CANDIDATE.to_owned(),
        }
    }

    /// A candidate of a restart that is not answered yet.
    pub(super) fn trickle_restart(&mut self, id: usize) -> Result<(), Broken> {
        let half = &self.halves[id];
        let payload = CandidatePayload {
            candidate: Candidate {
                candidate: CANDIDATE.to_owned(),
                sdp_mid: None,
                sdp_m_line_index: None,
                username_fragment: Some(half.ufrag().to_owned()),
            },
            connection_type: ConnectionType::Data,
            connection_id: half.link.connection().clone(),
        };
        let frame = Frame::to(
            half.link.remote().clone(),
            Kind::Candidate,
            Some(payload.to_raw()),
        );
        self.send(id, frame)
    }

    /// Counts restarts that are offered or asked for; whether a frame of a caller's tells what it must not yet.
    pub(super) fn judge_restart(&mut self, id: usize, frame: &Frame) -> Result<(), Broken> {
        let now = self.now;
        let half = &mut self.halves[id];
        if half.opened.is_none() {
            return Ok(());
        }
        let text = frame.payload.as_deref().map_or("", |payload| payload.get());
        if frame.kind == Kind::Offer || (frame.kind == Kind::Answer && !text.contains("\"sdp\"")) {
            // A second try, with the device's nonce, follows at once.
            let is_second = std::mem::take(&mut half.second);
            let last = half.told.replace(now);
            if !is_second && last.is_some_and(|last| now - last < RETRY) {
                let detail = format!("connection {id} tells restart upon restart");
                return Err((Promise::Bounded, detail));
            }
        }
        let way = half.ways.last().unwrap();
        let pending = half.is_caller() && way.remote.is_none();
        if pending && frame.kind == Kind::Candidate && text.contains(&format!("\"{}\"", way.ufrag))
        {
            let detail = format!("connection {id} tells an address of an unanswered restart");
            return Err((Promise::Silence, detail));
        }
        Ok(())
    }
}
