//! Two ends of a link that restarts, led one step at a time.

use super::*;
use crate::identity::gate::{Config as GateConfig, State, Unverified};

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;

/// Two ends of an open link, the gate of the called one, and what was sent and is not delivered yet.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) elapsed: Duration,
    pub(super) ends: [Link; 2],
    /// What each end's machine wanted done, but for frames.
    pub(super) done: [Vec<Output>; 2],
    /// From each end, in order.
    pub(super) wire: [Vec<Frame>; 2],
    pub(super) device: Device,
    pub(super) visitor: Visitor,
    /// What the engines have written.
    pub(super) descriptions: u32,
}

impl Pair {
    pub(super) fn verified() -> Self {
        let mut device = Device::new();
        let secret = device.link(7, Terms::default());
        let mut pair = Self::calling(device, "peerage-http", Config::default());
        let proof = secret.proof(pair.device.gate.device());
        let (sent, _) = pair.visitor.call(&pair.device, Some(&proof), NOW);
        pair.open(Some(Box::new(sent)));
        pair
    }

    pub(super) fn stock() -> Self {
        let mut pair = Self::calling(stock_device(), "chat", Config::default());
        pair.open(None);
        pair
    }

    /// The callee is no link yet; it becomes one with the offer.
    pub(super) fn calling(device: Device, label: &str, config: Config) -> Self {
        let now = any_instant();
        let visitor = Visitor::new(1);
        let options = CallOptions {
            label: label.into(),
            ..options(visitor.next_connection())
        };
        let link = || {
            let device = device.gate.device().clone().into();
            Link::call(device, options.clone(), config, now)
        };
        Self {
            now,
            elapsed: Duration::ZERO,
            ends: [link(), link()],
            done: Default::default(),
            wire: Default::default(),
            device,
            visitor,
            descriptions: 0,
        }
    }

    pub(super) fn open(&mut self, sent: Option<Box<SentOffer>>) {
        let sdp = sdp(self.visitor.fingerprint, "actpass");
        self.feed(CALLER, Input::LocalOffer { sdp, sent });
        let offer = self.wire[CALLER].remove(0);
        self.accept(&offer, Config::default());
        self.shake_hands();
        assert!(self.ends.iter().all(Link::can_restart));
    }

    pub(super) fn accept(&mut self, offer: &Frame, config: Config) {
        let payload = payload(offer);
        let granted = self
            .device
            .receive(&self.visitor.id, &payload, self.wall())
            .unwrap();
        let id = self.visitor.id.clone();
        let name = payload.connection_id.clone();
        self.ends[CALLEE] = Link::accept(id, name, &granted, config, self.now);
        let evidence = self.device.gate.answer(
            &granted,
            DEVICE_CERTIFICATE,
            self.wall(),
            &mut self.device.rng,
        );
        let sdp = sdp(DEVICE_CERTIFICATE, "active");
        self.feed(CALLEE, Input::LocalAnswer { sdp, evidence });
    }

    pub(super) fn shake_hands(&mut self) {
        self.deliver_all();
        self.feed(CALLER, Input::RemoteCertificate(DEVICE_CERTIFICATE));
        self.feed(CALLEE, Input::RemoteCertificate(self.visitor.fingerprint));
        for end in [CALLER, CALLEE] {
            self.feed(end, Input::ChannelOpened);
            let opened = |output: &Output| matches!(output, Output::Opened);
            assert!(self.done[end].iter().any(opened));
            self.done[end].clear();
        }
    }

    pub(super) fn feed(&mut self, end: usize, input: Input) {
        self.ends[end].handle_input(input, self.now);
        self.drain(end);
    }

    pub(super) fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Send(frame) => self.wire[end].push(frame),
                output => self.done[end].push(output),
            }
        }
    }

    pub(super) fn advance(&mut self, span: Duration) {
        self.now += span;
        self.elapsed += span;
        for end in [CALLER, CALLEE] {
            self.ends[end].handle_timeout(self.now);
            self.drain(end);
        }
    }

    pub(super) fn wall(&self) -> Time {
        NOW.after(self.elapsed)
    }

    /// A description of a new ICE generation; its user fragment is returned too.
    pub(super) fn described(&mut self, certificate: Fingerprint, setup: &str) -> (String, String) {
        self.descriptions += 1;
        let ufrag = format!("gen{}x", self.descriptions);
        (sdp(certificate, setup).replace("hrFr", &ufrag), ufrag)
    }

    /// The caller's engine does what it was told last.
    pub(super) fn describe(&mut self) -> String {
        let (sdp, ufrag) = self.described(self.visitor.fingerprint, "actpass");
        self.describe_as(sdp, self.wall());
        ufrag
    }

    pub(super) fn describe_as(&mut self, sdp: String, clock: Time) {
        let asked = self.asked();
        let (generation, retry) = *asked.last().expect("a restart is asked for");
        let sent = self.ends[CALLER].sent_offer().map(|first| {
            let (key, rng) = (&self.visitor.key, &mut self.device.rng);
            Box::new(
                first
                    .restart(key, generation, retry, &sdp, clock, rng)
                    .unwrap(),
            )
        });
        self.feed(CALLER, Input::LocalRestart { sdp, sent });
    }

    /// The callee's engine answers what it was given last.
    pub(super) fn answer(&mut self) -> String {
        let (sdp, ufrag) = self.described(DEVICE_CERTIFICATE, "active");
        self.answer_as(sdp);
        ufrag
    }

    pub(super) fn answer_as(&mut self, sdp: String) {
        let granted = self.done[CALLEE]
            .iter()
            .rev()
            .find_map(|output| match output {
                Output::AnswerRestart { granted, .. } => Some(granted.clone()),
                _ => None,
            })
            .expect("a restart is to be answered");
        let wall = self.wall();
        let evidence = self
            .device
            .gate
            .answer_restart(&granted, &sdp, wall, &mut self.device.rng)
            .unwrap();
        self.feed(CALLEE, Input::LocalAnswer { sdp, evidence });
    }

    /// The caller makes a restart, as far as its offer.
    pub(super) fn offer(&mut self) -> Frame {
        self.feed(CALLER, Input::PathLost);
        self.describe();
        self.take(CALLER, Kind::Offer)
    }

    /// What the gate says to an offer; a refusal goes to the wire.
    pub(super) fn gate(&mut self, offer: &Frame) -> Option<Box<Granted>> {
        let payload = payload(offer);
        let src = self.visitor.id.clone();
        match self.device.receive(&src, &payload, self.wall()) {
            Ok(granted) => Some(Box::new(granted)),
            Err(refused) => {
                if let Some(reply) = refused.reply {
                    self.wire[CALLEE].push(Frame::to(src, Kind::Answer, Some(reply.to_raw())));
                }
                None
            }
        }
    }

    pub(super) fn deliver(&mut self, from: usize, frame: &Frame) {
        let to = 1 - from;
        if frame.kind == Kind::Offer {
            if let Some(granted) = self.gate(frame) {
                self.feed(to, Input::RestartOffered(granted));
            }
        } else if let Some((_, signal)) = Signal::parse(frame) {
            self.feed(to, Input::Received(signal));
        }
    }

    pub(super) fn deliver_all(&mut self) {
        while let Some(from) = (0..2).find(|&end| !self.wire[end].is_empty()) {
            let frame = self.wire[from].remove(0);
            self.deliver(from, &frame);
        }
    }

    /// The one frame of this kind that is on its way, and no other of it.
    pub(super) fn take(&mut self, from: usize, kind: Kind) -> Frame {
        let mut frames: Vec<_> = self.wire[from]
            .extract_if(.., |frame| frame.kind == kind)
            .collect();
        assert_eq!(frames.len(), 1, "{kind} from {from}");
        frames.remove(0)
    }

    /// A whole restart, after the caller was told to make one.
    pub(super) fn finish(&mut self) {
        self.describe();
        self.deliver_all();
        self.answer();
        self.deliver_all();
    }

    pub(super) fn asked(&self) -> Vec<(u32, Option<Nonce>)> {
        let asked = |output: &Output| match output {
            Output::Restart { generation, retry } => Some((*generation, *retry)),
            _ => None,
        };
        self.done[CALLER].iter().filter_map(asked).collect()
    }

    pub(super) fn generations(&self) -> Vec<u32> {
        self.asked().into_iter().map(|(asked, _)| asked).collect()
    }

    pub(super) fn restarts(&self) -> [usize; 2] {
        let restarted = |output: &&Output| matches!(output, Output::Restarted);
        [CALLER, CALLEE].map(|end| self.done[end].iter().filter(restarted).count())
    }

    pub(super) fn ends_of(&self, end: usize) -> Option<CloseReason> {
        self.done[end].iter().find_map(|output| match output {
            Output::Closed(reason) => Some(*reason),
            _ => None,
        })
    }

    pub(super) fn added(&self, end: usize) -> usize {
        let added = |output: &&Output| matches!(output, Output::AddCandidate(_));
        self.done[end].iter().filter(added).count()
    }

    pub(super) fn disbelieved(&self) -> Vec<FalseAnswer> {
        let disbelieved = |output: &Output| match output {
            Output::Disbelieved(answer) => Some(*answer),
            _ => None,
        };
        self.done[CALLER].iter().filter_map(disbelieved).collect()
    }

    pub(super) fn request(&self, generation: u32) -> Input {
        Input::Received(Signal::Answer(request(generation)))
    }
}

pub(super) fn stock_device() -> Device {
    let config = GateConfig {
        unverified: Unverified::Any,
        ..GateConfig::default()
    };
    Device::with(State::default(), config, NOW)
}

pub(super) fn payload(offer: &Frame) -> OfferPayload {
    OfferPayload::parse(offer.payload.as_ref().unwrap()).unwrap()
}

pub(super) fn answer_of(frame: &Frame) -> AnswerPayload {
    AnswerPayload::parse(frame.payload.as_ref().unwrap()).unwrap()
}

pub(super) fn offer_frame(payload: &OfferPayload) -> Frame {
    Frame {
        kind: Kind::Offer,
        src: None,
        dst: None,
        payload: Some(payload.to_raw()),
    }
}

pub(super) fn request(generation: u32) -> AnswerPayload {
    AnswerPayload {
        sdp: None,
        connection_type: ConnectionType::Data,
        connection_id: ConnectionId::parse("dc_1").unwrap(),
        generation: Some(generation),
        peerage: None,
    }
}

/// On verified and on stock links.
pub(super) fn both(test: impl Fn(Pair)) {
    test(Pair::verified());
    test(Pair::stock());
}
