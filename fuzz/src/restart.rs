//! Both ends of an open link and the device's gate, between them a server that does anything, while engines restart.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerage_proto::identity::caller::SentOffer;
use peerage_proto::identity::gate::{
    Config as GateConfig, Gate, Granted, IncomingOffer, Unverified,
};
use peerage_proto::identity::{Fingerprint, Nonce};
use peerage_proto::link::{CallOptions, CloseReason, Config, Input, Link, Output, RETRY, Signal};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::{Frame, Kind, OfferPayload};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;

use crate::identity::{CALLER_CERTIFICATE, DEVICE_CERTIFICATE, HONEST, NOW, gate, sdp};
use crate::script::{Script, epoch};

const CERTIFICATES: [Fingerprint; 2] = [CALLER_CERTIFICATE, DEVICE_CERTIFICATE];
const SETUPS: [&str; 2] = ["actpass", "active"];
/// Frames kept for the server to send again.
const MAX_SEEN: usize = 64;

struct Pair {
    verified: bool,
    start: Instant,
    now: Instant,
    /// The caller's, the device's.
    ends: [Link; 2],
    gate: Gate,
    rng: StdRng,
    wire: [VecDeque<Frame>; 2],
    seen: Vec<(usize, Frame)>,
    /// How many descriptions each engine has made, and the last one of the other's that it was given.
    made: [usize; 2],
    given: [usize; 2],
    asked: Option<(u32, Option<Nonce>)>,
    granted: Option<Box<Granted>>,
    /// Whether the caller's last description is answered.
    answered: bool,
    offers: u64,
}

/// On a verified link the server leads no end to a description that the other did not make, nor back to an older one, ends nothing, and learns no
/// address before an answer; on any, restarts are paced.
pub fn link_restarts(octets: &[u8]) {
    let mut script = Script(octets);
    let mut pair = Pair::open(script.u8() & 1 == 0);
    while !script.is_empty() {
        pair.step(&mut script);
    }
}

impl Pair {
    fn open(verified: bool) -> Self {
        let honest = &*HONEST;
        let now = epoch();
        let mut offer = honest.offer.clone();
        offer.generation = Some(0);
        let mut gate = gate(&honest.device, &honest.secret);
        if !verified {
            let config = GateConfig {
                unverified: Unverified::Any,
                ..GateConfig::default()
            };
            gate = Gate::new(honest.device.clone(), gate.state().clone(), config, NOW);
            offer.peerage = None;
            offer.label = Some("chat".into());
        }
        let mut rng = StdRng::seed_from_u64(3);
        let incoming = IncomingOffer {
            src: &honest.caller,
            payload: &offer,
        };
        let granted = gate
            .verify_offer(&incoming, NOW, &mut rng)
            .expect("an honest offer is let in");
        let options = CallOptions {
            connection: offer.connection_id.clone(),
            label: offer.label.clone().unwrap_or_default(),
            serialization: "raw".into(),
            reliable: true,
            metadata: None,
        };
        let device: PeerId = honest.device.device_id().into();
        let caller = Link::call(device, options, Config::default(), now);
        let (name, id) = (offer.connection_id, honest.caller.clone());
        let callee = Link::accept(id, name, &granted, Config::default(), now);
        let evidence = gate.answer(&granted, DEVICE_CERTIFICATE, NOW, &mut rng);
        let mut pair = Self {
            verified,
            start: now,
            now,
            ends: [caller, callee],
            gate,
            rng,
            wire: Default::default(),
            seen: Vec::new(),
            made: [1, 1],
            given: [0, 0],
            asked: None,
            granted: None,
            answered: true,
            offers: 0,
        };
        let sent = verified.then(|| Box::new(honest.sent.clone()));
        let sdp = |end: usize| sdp(CERTIFICATES[end], SETUPS[end]);
        pair.feed(0, Input::LocalOffer { sdp: sdp(0), sent });
        pair.wire[0].clear();
        pair.offers = 0;
        pair.feed(
            1,
            Input::LocalAnswer {
                sdp: sdp(1),
                evidence,
            },
        );
        while let Some(frame) = pair.wire[1].pop_front() {
            pair.deliver(1, &frame);
        }
        for end in [0, 1] {
            pair.feed(end, Input::RemoteCertificate(CERTIFICATES[1 - end]));
            pair.feed(end, Input::ChannelOpened);
            assert!(pair.ends[end].can_restart());
        }
        pair
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let what = script.u8();
        let end = usize::from(what >> 7);
        match what % 14 {
            0 => self.feed(end, Input::PathLost),
            1 => self.feed(end, Input::PathChanged),
            2 => self.feed(end, Input::PathBack),
            3 => {
                self.now += Duration::from_millis(u64::from(script.u8()) * 100);
                for end in [0, 1] {
                    self.ends[end].handle_timeout(self.now);
                    self.drain(end);
                }
            }
            4 => self.describe(),
            5 => self.answer(),
            6 | 7 => {
                if let Some(frame) = self.wire[end].pop_front() {
                    self.deliver(end, &frame);
                }
            }
            8 => drop(self.wire[end].pop_front()),
            9 => {
                let index = usize::from(script.u8());
                if let Some((from, frame)) = self.seen.get(index).cloned() {
                    self.deliver(from, &frame);
                }
            }
            10 => {
                // Any octets of a payload changed, as long as it stays JSON.
                let Some(frame) = self.wire[end].pop_front() else {
                    return;
                };
                let mut text = frame
                    .payload
                    .as_deref()
                    .map_or(String::new(), |payload| payload.get().to_owned());
                let at = usize::from(script.u16()) % (text.len() + 1);
                let until = (at + usize::from(script.u8())).min(text.len());
                if text.get(at..until).is_some() {
                    text.replace_range(at..until, script.text());
                }
                let changed = Frame {
                    payload: RawValue::from_string(text).ok(),
                    ..frame
                };
                self.deliver(end, &changed);
            }
            11 => {
                if let Ok(frame) = Frame::parse(script.long()) {
                    self.deliver(end, &frame);
                }
            }
            12 => {
                let candidate = "candidate:1 1 udp 2122194687 192.0.2.1 40000 typ host";
                self.feed(end, Input::LocalCandidate(candidate.to_owned()));
            }
            _ => {
                let sdp = script.text().to_owned();
                if script.u8() & 1 == 0 {
                    self.feed(0, Input::LocalRestart { sdp, sent: None });
                } else {
                    let evidence = None;
                    self.feed(1, Input::LocalAnswer { sdp, evidence });
                }
            }
        }
    }

    fn engine(&mut self, end: usize) -> String {
        let number = self.made[end];
        self.made[end] += 1;
        sdp(CERTIFICATES[end], SETUPS[end]).replace("hrFr", &ufrag(end, number))
    }

    fn describe(&mut self) {
        let Some((generation, retry)) = self.asked.take() else {
            return;
        };
        let sdp = self.engine(0);
        let (key, rng) = (&HONEST.key, &mut self.rng);
        let restart = |first: &SentOffer| {
            let sent = first.restart(key, generation, retry, &sdp, NOW, rng);
            Box::new(sent.expect("an honest description"))
        };
        let sent = self.ends[0].sent_offer().map(restart);
        self.answered = false;
        self.feed(0, Input::LocalRestart { sdp, sent });
    }

    fn answer(&mut self) {
        let Some(granted) = self.granted.take() else {
            return;
        };
        let sdp = self.engine(1);
        let evidence = self
            .gate
            .answer_restart(&granted, &sdp, NOW, &mut self.rng)
            .expect("an honest description");
        self.feed(1, Input::LocalAnswer { sdp, evidence });
    }

    fn deliver(&mut self, from: usize, frame: &Frame) {
        if frame.kind != Kind::Offer {
            if let Some((_, signal)) = Signal::parse(frame) {
                self.feed(1 - from, Input::Received(signal));
            }
            return;
        }
        let payload = frame.payload.as_deref().map(OfferPayload::parse);
        let (1, Some(Ok(payload))) = (1 - from, payload) else {
            return;
        };
        let incoming = IncomingOffer {
            src: &HONEST.caller,
            payload: &payload,
        };
        match self.gate.verify_offer(&incoming, NOW, &mut self.rng) {
            Ok(granted) if granted.generation > Some(0) => {
                self.feed(1, Input::RestartOffered(Box::new(granted)));
            }
            Ok(_) => assert!(!self.verified, "nothing takes an open connection's place"),
            Err(refused) => {
                if let Some(reply) = refused.reply {
                    let frame =
                        Frame::to(HONEST.caller.clone(), Kind::Answer, Some(reply.to_raw()));
                    self.sent(1, frame);
                }
            }
        }
    }

    fn feed(&mut self, end: usize, input: Input) {
        self.ends[end].handle_input(input, self.now);
        self.drain(end);
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Send(frame) => self.sent(end, frame),
                Output::ApplyRemote { sdp } => {
                    self.known(end, &sdp);
                    self.answered = self.answered || end == 0;
                }
                Output::AnswerRestart { sdp, granted } => {
                    self.known(end, &sdp);
                    self.granted = Some(granted);
                }
                Output::Restart { generation, retry } => self.asked = Some((generation, retry)),
                Output::Closed(reason) => {
                    assert!(!self.verified, "the server ends a verified link: {reason}");
                    assert!(matches!(
                        reason,
                        CloseReason::PeerLeft | CloseReason::Refused(_)
                    ));
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, end: usize, frame: Frame) {
        let text = frame.payload.as_deref().map_or("", RawValue::get);
        if frame.kind == Kind::Offer {
            self.offers += 1;
            let elapsed = (self.now - self.start).as_secs() / RETRY.as_secs();
            assert!(self.offers <= 2 * (2 + elapsed), "restarts are paced");
        }
        let pending = ufrag(0, self.made[0] - 1);
        if self.verified && end == 0 && !self.answered && frame.kind == Kind::Candidate {
            assert!(!text.contains(&pending), "an address before the answer");
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.push((end, frame.clone()));
        }
        self.wire[end].push_back(frame);
    }

    /// What an engine is given has the certificate of the first one; on a verified link it is the other engine's, and later than the last.
    fn known(&mut self, end: usize, sdp: &str) {
        let other = 1 - end;
        assert!(sdp.contains(&CERTIFICATES[other].to_string()));
        if !self.verified || sdp.contains("ufrag:hrFr\r") {
            assert!(!self.verified || self.given[end] == 0);
            return;
        }
        let later = self.given[end] + 1..self.made[other];
        let found = later.into_iter().find(|&number| {
            let line = format!("a=ice-ufrag:{}\r\n", ufrag(other, number));
            sdp.contains(&line)
        });
        self.given[end] = found.expect("a description of the other engine's, later than the last");
    }
}

fn ufrag(end: usize, number: usize) -> String {
    format!("end{end}n{number}")
}
