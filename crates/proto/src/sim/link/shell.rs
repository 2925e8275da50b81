//! What the shells do: they carry between machines, engines and server, for the callers and the device alike.

use super::book::{Made, Visit, wall};
use super::half::{Half, Side};
use super::server::MALLORY;
use super::world::{Event, World};
use super::{Broken, Bug, Promise};
use crate::identity::caller::{Call, SentOffer};
use crate::identity::gate::{Event as GateEvent, Gate, HTTP_LABEL, IncomingOffer};
use crate::identity::{Code, Fingerprint, Reply, StatementHash, Time};
use crate::link::{CallOptions, CloseReason, Config, Input, Link, Output, Signal};
use crate::wire::id::{ConnectionId, PeerId};
use crate::wire::sdp::DataDescription;
use crate::wire::signal::{AnswerPayload, Description, Frame, Kind, OfferPayload};

impl World {
    pub(super) fn visit(&mut self, caller: usize) {
        let visitor = &self.book.callers[caller];
        // Who was in needs the secret no more, and may bring it all the same.
        let by_key = visitor.was_in && !self.rng.one_in(3);
        let proof = visitor.proof.clone().filter(|_| !by_key);
        let kid = proof.as_ref().map(|proof| proof.kid);
        let visit = Visit {
            caller,
            began: self.now,
            entitled: self.book.is_entitled(caller, kid, self.wall()),
        };
        self.call(
            visit,
            Side::Caller {
                visit,
                proof,
                retry: None,
            },
        );
    }

    fn call(&mut self, visit: Visit, side: Side) {
        let visitor = &mut self.book.callers[visit.caller];
        visitor.calls += 1;
        let options = CallOptions {
            connection: ConnectionId::parse(&format!("dc_{}", visitor.calls)).unwrap(),
            label: HTTP_LABEL.to_owned(),
            serialization: "raw".to_owned(),
            reliable: true,
            metadata: None,
        };
        let link = Link::call(self.device(), options, Config::default(), self.now);
        let id = self.engine(link, side);
        // Some engines never say anything.
        if self.server.honest || !self.rng.one_in(20) {
            self.later(2_000, Event::Described(id));
        }
    }

    /// A connection, and an engine that looks for candidates.
    fn engine(&mut self, link: Link, side: Side) -> usize {
        let id = self.halves.len();
        self.halves.push(Half::new(id, link, side, self.now));
        for _ in 0..self.rng.pick(1..4) {
            self.later(4_000, Event::Found(id));
        }
        id
    }

    pub(super) fn described(&mut self, id: usize) -> Result<(), Broken> {
        let now = self.wall();
        let half = &mut self.halves[id];
        if half.closed {
            return Ok(());
        }
        let sdp = half.sdp();
        let input = match &half.side {
            Side::Device { granted } => {
                let evidence = self
                    .gate
                    .answer(granted, half.certificate, now, &mut self.chance);
                Input::LocalAnswer { sdp, evidence }
            }
            Side::Caller {
                visit,
                proof,
                retry,
            } => {
                let visitor = &self.book.callers[visit.caller];
                let call = Call {
                    device: self.key.device_id(),
                    from: visitor.id.clone(),
                    connection: half.link.connection().clone(),
                    label: HTTP_LABEL.to_owned(),
                    fingerprint: half.certificate,
                    retry: *retry,
                };
                let time = wall(self.now - self.start, visitor.skew);
                let sent =
                    SentOffer::new(&visitor.key, call, proof.as_ref(), time, &mut self.chance)
                        .unwrap();
                let made = Made {
                    caller: visit.caller,
                    offer: sent.statement().clone(),
                    evidence: sent.evidence().clone(),
                };
                let hash = StatementHash::of(&made.evidence.statement);
                half.offer = Some(hash);
                self.book.made.insert(hash, made);
                Input::LocalOffer {
                    sdp,
                    sent: Some(Box::new(sent)),
                }
            }
        };
        self.feed(id, input)
    }

    pub(super) fn found(&mut self, id: usize) -> Result<(), Broken> {
        let half = &self.halves[id];
        if self.bug == Some(Bug::TrickleAtOnce) && half.offer.is_some() && !half.closed {
            return self.send(id, Frame::to(self.device(), Kind::Candidate, None));
        }
        if self.bug == Some(Bug::TrickleRestart) && half.opened.is_some() && !half.closed {
            return self.trickle_restart(id);
        }
        let candidate = self.candidate(id);
        self.feed(id, Input::LocalCandidate(candidate))
    }

    pub(super) fn certificate(&mut self, id: usize, shown: Fingerprint) -> Result<(), Broken> {
        let compared = match &self.halves[id].remote {
            Some(remote) if self.bug == Some(Bug::CompareNothing) => remote.fingerprint(),
            _ => shown,
        };
        self.feed(id, Input::RemoteCertificate(compared))
    }

    pub(super) fn arrives(&mut self, mut frame: Frame) -> Result<(), Broken> {
        if let Some(bug) = self.bug {
            let (state, callers) = (self.gate.state(), &self.book.callers);
            bug.on_arrival(&mut frame, &self.key, state, callers);
        }
        let (Some(src), Some(dst)) = (&frame.src, &frame.dst) else {
            return Ok(());
        };
        let at_device = *dst == self.device();
        if frame.kind == Kind::Offer {
            return match frame.payload.as_deref().map(OfferPayload::parse) {
                Some(Ok(payload)) if at_device => self.offered(src, &payload),
                _ => Ok(()),
            };
        }
        let Some((name, signal)) = Signal::parse(&frame) else {
            return Ok(());
        };
        for id in 0..self.halves.len() {
            let half = &self.halves[id];
            let is_here = match &half.side {
                Side::Device { .. } => at_device,
                Side::Caller { visit, .. } => self.book.callers[visit.caller].id == *dst,
            };
            let is_named = name
                .as_ref()
                .is_none_or(|name| name == half.link.connection());
            if half.closed || !is_here || !is_named || half.link.remote() != src {
                continue;
            }
            if self.bug == Some(Bug::ApplyUnread)
                && let Signal::Answer(answer) = &signal
                && let Some(sdp) = &answer.sdp
            {
                self.apply(id, &sdp.sdp)?;
                continue;
            }
            let input = match signal {
                Signal::Leave if self.bug == Some(Bug::BelieveLeave) => Input::EngineClosed,
                Signal::Answer(ref answer)
                    if self.bug == Some(Bug::BelieveGone)
                        && half.opened.is_some()
                        && is_gone(answer) =>
                {
                    Input::EngineClosed
                }
                _ => Input::Received(signal.clone()),
            };
            self.feed(id, input)?;
        }
        Ok(())
    }

    fn offered(&mut self, src: &PeerId, payload: &OfferPayload) -> Result<(), Broken> {
        let now = self.wall();
        if self.bug == Some(Bug::ForgetSeen) && self.registry.is_empty() {
            let state = self.gate.state().clone();
            self.gate = Gate::new(self.key.clone(), state, self.limits.clone(), Time(0));
        }
        let proven = self.book.proven(src, payload, now);
        let name = (src.clone(), payload.connection_id.clone());
        let incoming = IncomingOffer { src, payload };
        let granted = match self.gate.verify_offer(&incoming, now, &mut self.chance) {
            Ok(granted) => Box::new(granted),
            Err(refused) => {
                self.report.refused += 1;
                let mut reply = refused.reply;
                if self.bug == Some(Bug::RefuseAlways) {
                    reply = reply.or_else(|| Some(denied(payload)));
                }
                let Some(mut reply) = reply else {
                    return Ok(());
                };
                if self.bug == Some(Bug::DescribeRefused) {
                    reply.sdp = Some(Description::answer(payload.sdp.sdp.clone()));
                }
                let frame = Frame::to(src.clone(), Kind::Answer, Some(reply.to_raw()));
                self.relay(&self.device(), frame);
                let generation = payload.generation.unwrap_or(0);
                let proven = proven.is_some();
                return self
                    .book
                    .refused(name, generation, proven, &reply, self.now);
            }
        };
        if granted.generation.is_some_and(|generation| generation > 0) {
            let id = self.registry[&name];
            let again = self.halves[id].taken.replace(granted.clone());
            self.feed(id, Input::RestartOffered(granted.clone()))?;
            if self.bug == Some(Bug::RestartAgain)
                && let Some(mut again) = again
            {
                again.generation = granted.generation.map(|generation| generation + 1);
                self.feed(id, Input::RestartOffered(again))?;
            }
            return self.book.granted(proven).map(|_| ());
        }
        if let Some(&earlier) = self.registry.get(&name) {
            // The later one has its name, and its place in the gate.
            if self.halves[earlier].opened.is_some() {
                let detail = format!("connection {earlier} was replaced");
                return Err((Promise::Standing, detail));
            }
            self.over(earlier);
        }
        self.book.granted(proven)?;
        let link = Link::accept(
            name.0.clone(),
            name.1.clone(),
            &granted,
            Config::default(),
            self.now,
        );
        let id = self.engine(link, Side::Device { granted });
        self.halves[id].offer = proven;
        self.registry.insert(name, id);
        self.later(2_000, Event::Described(id));
        self.pump(id)
    }

    pub(super) fn hear_gate(&mut self) {
        while let Some(event) = self.gate.poll_event() {
            if let GateEvent::End(name) = event
                && self.bug != Some(Bug::IgnoreEnd)
                && let Some(id) = self.registry.remove(&name)
            {
                self.report.revoked += 1;
                self.over(id);
            }
        }
    }

    pub(super) fn feed(&mut self, id: usize, input: Input) -> Result<(), Broken> {
        if self.halves[id].closed {
            return Ok(());
        }
        self.halves[id].link.handle_input(input, self.now);
        self.pump(id)
    }

    pub(super) fn pump(&mut self, id: usize) -> Result<(), Broken> {
        while let Some(output) = self.halves[id].link.poll_output() {
            match output {
                Output::Send(frame) => self.send(id, frame)?,
                Output::ApplyRemote { sdp } => self.apply(id, &sdp)?,
                Output::AddCandidate(candidate) => {
                    if !self.halves[id].add(&candidate) {
                        let detail = format!("connection {id} gets a candidate too early");
                        return Err((Promise::Once, detail));
                    }
                    self.meet(id);
                }
                Output::Opened => self.opened(id)?,
                Output::Restart { generation, retry } => self.begin(id, generation, retry),
                Output::AnswerRestart { sdp, granted } => {
                    self.answer_restart(id, &sdp, granted)?;
                }
                Output::Restarted => {}
                Output::Disbelieved(_) => self.report.disbelieved += 1,
                Output::Closed(reason) => self.closed(id, reason)?,
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, id: usize, mut frame: Frame) -> Result<(), Broken> {
        let half = &self.halves[id];
        let src = match &half.side {
            Side::Device { .. } => self.device(),
            Side::Caller { visit, .. } => self.book.callers[visit.caller].id.clone(),
        };
        if self.bug == Some(Bug::CandidatesInOffer) && frame.kind == Kind::Offer {
            let payload = frame.payload.as_deref();
            let mut offer = OfferPayload::parse(payload.unwrap()).unwrap();
            offer.sdp.sdp = half.sdp();
            frame.payload = Some(offer.to_raw());
        }
        let tells = frame.kind == Kind::Candidate
            || frame
                .payload
                .as_ref()
                .is_some_and(|payload| payload.get().contains("candidate:"));
        let early = half.remote.is_none() || frame.kind == Kind::Offer;
        if tells && half.is_caller() && early {
            let detail = format!("connection {id} tells an address in its {}", frame.kind);
            return Err((Promise::Silence, detail));
        }
        self.judge_restart(id, &frame)?;
        self.relay(&src, frame);
        Ok(())
    }

    fn apply(&mut self, id: usize, sdp: &str) -> Result<(), Broken> {
        if self.halves[id].opened.is_some() {
            return self.apply_restart(id, sdp);
        }
        let description = DataDescription::parse(sdp).map_err(|error| {
            let detail = format!("connection {id} applies what cannot be read: {error}");
            (Promise::Identity, detail)
        })?;
        if !self.is_true(id, description.fingerprint()) {
            let detail = format!("connection {id} applies another's description");
            return Err((Promise::Identity, detail));
        }
        self.halves[id].ways[0].remote = Some(description.ice_ufrag().to_owned());
        if self.halves[id].remote.replace(description).is_some() {
            return Err((Promise::Once, format!("connection {id} applies twice")));
        }
        self.meet(id);
        Ok(())
    }

    fn opened(&mut self, id: usize) -> Result<(), Broken> {
        let half = &mut self.halves[id];
        let verified = half.link.is_verified();
        half.heard = self.now;
        if half.opened.replace(self.now).is_some() {
            return Err((Promise::Once, format!("connection {id} opens twice")));
        }
        let shown = half.shown;
        if let Side::Caller { visit, retry, .. } = &half.side {
            self.book.callers[visit.caller].was_in = true;
            self.report.second += u64::from(retry.is_some());
            self.report.opened += u64::from(!self.server.honest);
            self.report.opened_honest += u64::from(self.server.honest);
            self.plan_troubles(id);
        }
        self.at(self.now, Event::Listen(id));
        if verified && shown.is_some_and(|shown| self.is_true(id, shown)) {
            Ok(())
        } else {
            Err((
                Promise::Identity,
                format!("connection {id} opens with {shown:?}"),
            ))
        }
    }

    fn closed(&mut self, id: usize, reason: CloseReason) -> Result<(), Broken> {
        let half = &self.halves[id];
        let gone = reason == CloseReason::Refused(Code::Gone) && self.is_gone(id);
        if half.opened.is_some() && !half.ending && !gone {
            return Err((Promise::Standing, format!("connection {id}: {reason}")));
        }
        self.report.gone += u64::from(gone);
        self.report.exposed += u64::from(reason == CloseReason::WrongCertificate);
        match &half.side {
            Side::Device { .. } => {
                let name = (half.link.remote().clone(), half.link.connection().clone());
                self.registry.remove(&name);
                if self.bug != Some(Bug::ForgetClosed) {
                    self.gate.closed(&name.0, &name.1);
                }
            }
            Side::Caller { visit, proof, .. } if half.opened.is_none() => {
                let (visit, proof) = (*visit, proof.clone());
                if let CloseReason::TryAgain(nonce) = reason
                    && self.bug != Some(Bug::NoSecondTry)
                {
                    let retry = Some(nonce);
                    self.call(
                        visit,
                        Side::Caller {
                            visit,
                            proof,
                            retry,
                        },
                    );
                } else {
                    self.report.failed += 1;
                    if self.server.honest && self.book.should_be_in(visit, self.wall()) {
                        let detail = format!("caller {} stays outside: {reason}", visit.caller);
                        return Err((Promise::Welcome, detail));
                    }
                }
            }
            Side::Caller { .. } => {}
        }
        self.over(id);
        Ok(())
    }

    /// The connection is gone, which its peer's engine notices where a path leads to it.
    pub(super) fn over(&mut self, id: usize) {
        if let Some(partner) = self.halves[id].partner
            && (self.halves[id].opened.is_none() || self.is_heard(partner, id))
        {
            self.later(5_000, Event::EngineEnds(partner));
        }
        self.halves[id].closed = true;
    }

    /// Whether the device has this caller's connection no more.
    fn is_gone(&self, id: usize) -> bool {
        let half = &self.halves[id];
        half.is_caller() && half.partner.is_some_and(|other| self.halves[other].closed)
    }

    /// Whether the certificate is that of the other end of this very offer.
    fn is_true(&self, id: usize, certificate: Fingerprint) -> bool {
        let half = &self.halves[id];
        half.offer.is_some()
            && self.halves.iter().any(|other| {
                other.is_caller() != half.is_caller()
                    && other.offer == half.offer
                    && other.certificate == certificate
            })
    }

    /// Engines that have found each other shake hands, unless somebody steps in between.
    fn meet(&mut self, id: usize) {
        let half = &self.halves[id];
        let Some(other) = self.halves.iter().position(|other| half.meets(other)) else {
            return;
        };
        if !self.server.honest && !self.server.lossy && self.rng.one_in(6) {
            return self.shake_hands(id, MALLORY);
        }
        for (one, two) in [(id, other), (other, id)] {
            self.halves[one].partner = Some(two);
            self.shake_hands(one, self.halves[two].certificate);
        }
    }

    pub(super) fn shake_hands(&mut self, id: usize, certificate: Fingerprint) {
        self.halves[id].shown = Some(certificate);
        self.later(1_000, Event::Certificate(id, certificate));
        self.later(1_000, Event::ChannelOpen(id));
    }

    fn relay(&mut self, src: &PeerId, frame: Frame) {
        for (at, frame) in self.server.relay(src, frame, self.now) {
            self.at(at, Event::Arrives(frame));
        }
    }

    fn device(&self) -> PeerId {
        self.gate.device().clone().into()
    }
}

fn is_gone(answer: &AnswerPayload) -> bool {
    let member = answer.peerage.as_ref().map(|member| member.get());
    let gone = Code::Gone;
    matches!(member.map(Reply::parse), Some(Ok(Reply::Refusal { code, .. })) if code == gone)
}

fn denied(payload: &OfferPayload) -> AnswerPayload {
    let refusal = Reply::Refusal {
        code: Code::Denied,
        evidence: None,
    };
    AnswerPayload {
        sdp: None,
        connection_type: payload.connection_type,
        connection_id: payload.connection_id.clone(),
        generation: None,
        peerage: Some(refusal.emit()),
    }
}
