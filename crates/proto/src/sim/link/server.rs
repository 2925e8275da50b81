//! The signalling server between callers and device: an honest one, or one that does whatever a server could.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json, value::RawValue};

use super::half::CANDIDATE;
use crate::identity::{Fingerprint, SigningKey};
use crate::sim::Rng;
use crate::wire::id::PeerId;
use crate::wire::signal::{Frame, Kind};
use crate::wire::statement::Statement;

/// The certificate of who sits in between.
pub(super) const MALLORY: Fingerprint = Fingerprint::new([0x66; 32]);

pub(super) struct Server {
    pub(super) honest: bool,
    /// It loses, repeats and turns round, and does no worse.
    pub(super) lossy: bool,
    /// From then on it delivers.
    reform: Instant,
    /// It loses all before that.
    dark: bool,
    pub(super) rng: Rng,
    key: SigningKey,
    /// The device first.
    peers: Vec<PeerId>,
    seen: Vec<Frame>,
    last: BTreeMap<(PeerId, PeerId), Instant>,
    forged: u32,
}

impl Server {
    pub(super) fn new(
        honest: bool,
        lossy: bool,
        reform: Instant,
        mut rng: Rng,
        key: SigningKey,
        peers: Vec<PeerId>,
    ) -> Self {
        Self {
            honest,
            lossy,
            reform,
            dark: rng.one_in(3),
            rng,
            key,
            peers,
            seen: Vec::new(),
            last: BTreeMap::new(),
            forged: 0,
        }
    }

    /// Since when it delivers; long ago where it always did.
    pub(super) fn calm(&self) -> Instant {
        match self.honest {
            true => self.reform - Duration::from_secs(200),
            false => self.reform,
        }
    }

    /// What becomes of a frame: what arrives, and when.
    pub(super) fn relay(
        &mut self,
        src: &PeerId,
        frame: Frame,
        now: Instant,
    ) -> Vec<(Instant, Frame)> {
        let frame = Frame {
            src: Some(src.clone()),
            ..frame
        };
        if self.honest || now >= self.reform {
            let line = (
                src.clone(),
                frame.dst.clone().unwrap_or_else(|| src.clone()),
            );
            let last = self.last.entry(line).or_insert(now);
            *last = (*last).max(now + Duration::from_millis(self.rng.size(800)));
            return vec![(*last, frame)];
        }
        let mut arrivals = Vec::new();
        if self.lossy {
            // Calls begin before it is dark.
            let dark = self.dark && self.reform - now < Duration::from_secs(40);
            if !dark && !self.rng.one_in(4) {
                arrivals.push(frame.clone());
            }
            if !dark && self.rng.one_in(4) {
                arrivals.push(frame);
            }
            let mut arrive = |frame| (now + Duration::from_millis(self.rng.size(3_000)), frame);
            return arrivals.into_iter().map(&mut arrive).collect();
        }
        if !self.rng.one_in(20) {
            arrivals.push(frame.clone());
        }
        while self.rng.one_in(5) {
            arrivals.push(frame.clone());
        }
        if self.rng.one_in(3) {
            arrivals.extend(self.tamper(&frame));
        }
        self.seen.push(frame);
        let mut arrive = |frame| {
            let slow = if self.rng.one_in(20) { 25_000 } else { 1_000 };
            (now + Duration::from_millis(self.rng.size(slow)), frame)
        };
        arrivals.into_iter().map(&mut arrive).collect()
    }

    /// What it sends unasked.
    pub(super) fn mischief(&mut self, now: Instant) -> Vec<Frame> {
        if now >= self.reform {
            return Vec::new();
        }
        let device = self.peers[0].clone();
        // Offers are the frames most worth sending again.
        let kind = self.rng.one_in(2).then_some(Kind::Offer);
        let Some(old) = self.old(kind) else {
            return Vec::new();
        };
        let forged = |kind, payload: Option<Value>| Frame {
            kind,
            payload: payload.map(raw),
            ..old.clone()
        };
        let name = payload_of(&old)["connectionId"].clone();
        // To the caller of an old offer.
        let back = |payload: Value| Frame {
            kind: Kind::Answer,
            src: old.dst.clone(),
            dst: old.src.clone(),
            payload: Some(raw(payload)),
        };
        let generation = self.rng.size(u64::from(u32::MAX));
        match self.rng.pick(0..14) {
            10 => {
                let asks = |generation: u64| json!({"type": "data", "connectionId": name, "generation": generation});
                (0..self.rng.size(40))
                    .map(|more| back(asks(generation + more)))
                    .collect()
            }
            11 | 12 => {
                let no = |generation: u64| json!({"type": "data", "connectionId": name, "generation": generation, "peerage": {"refusal": "gone"}});
                (0..8).map(|generation| back(no(generation))).collect()
            }
            0..4 => vec![old],
            4 => vec![Frame {
                src: Some(self.peer()),
                dst: Some(self.peer()),
                ..old
            }],
            5 => vec![forged(Kind::Expire, None)],
            6 => vec![forged(Kind::Leave, None)],
            7 => {
                let codes = ["malformed", "denied", "stale", "busy", "gone", "else"];
                let code = codes[self.rng.pick(0..6) as usize];
                let no =
                    json!({"type": "data", "connectionId": name, "peerage": {"refusal": code}});
                vec![forged(Kind::Answer, Some(no))]
            }
            8 => {
                let candidate = json!({"candidate": CANDIDATE});
                let hint = json!({"type": "data", "connectionId": name, "candidate": candidate});
                vec![forged(Kind::Candidate, Some(hint)); self.rng.size(200) as usize]
            }
            9 => {
                let kind =
                    [Kind::Offer, Kind::Answer, Kind::Candidate][self.rng.pick(0..3) as usize];
                vec![forged(
                    kind,
                    Some(json!({"type": "data", "connectionId": name, "sdp": 7})),
                )]
            }
            _ => {
                let mut flood = Vec::new();
                for _ in 0..self.rng.size(80) {
                    let mut payload = payload_of(&old);
                    self.forged += 1;
                    payload["connectionId"] = json!(format!("flood{}", self.forged));
                    flood.push(Frame {
                        dst: Some(device.clone()),
                        payload: Some(raw(payload)),
                        ..old.clone()
                    });
                }
                flood
            }
        }
    }

    /// The frame with something else in it.
    fn tamper(&mut self, frame: &Frame) -> Option<Frame> {
        let mut payload = payload_of(frame);
        let other = payload_of(&self.old(Some(frame.kind))?);
        let mut src = frame.src.clone();
        // Restarts are rare, and what is new in them more worth a try.
        let is_restart = payload["generation"].as_u64() > Some(0);
        match self.rng.pick(if is_restart { 6..13 } else { 0..9 }) {
            9 => payload["generation"] = json!(self.rng.size(u64::from(u32::MAX))),
            10 => drop(payload.as_object_mut()?.remove("generation")),
            11 | 12 => {
                let sdp = payload["sdp"]["sdp"].as_str()?;
                payload["sdp"]["sdp"] = json!(sdp.replace("ice-ufrag:half", "ice-ufrag:evil"));
            }
            0 => payload["peerage"] = other["peerage"].clone(),
            1 => payload["sdp"] = other["sdp"].clone(),
            2 => payload["connectionId"] = other["connectionId"].clone(),
            3 => payload["label"] = json!("another"),
            4 => src = Some(self.peer()),
            5 => drop(payload.as_object_mut()?.remove("peerage")),
            6 => {
                let member = ["statement", "signature", "mac"][self.rng.pick(0..3) as usize];
                let member = &mut payload["peerage"][member];
                let mut bytes = STANDARD.decode(member.as_str()?).ok()?;
                let at = self.rng.pick(0..bytes.len() as u64) as usize;
                *bytes.get_mut(at)? ^= 1 << self.rng.pick(0..8);
                *member = json!(STANDARD.encode(bytes));
            }
            7 => put_certificate(&mut payload)?,
            // All that agrees with itself, but for the keys that it does not have.
            _ => {
                put_certificate(&mut payload)?;
                let statement = STANDARD
                    .decode(payload["peerage"]["statement"].as_str()?)
                    .ok()?;
                let own_key = self.rng.one_in(2);
                let key = *self.key.public_key().as_bytes();
                let statement = match Statement::parse(&statement).ok()? {
                    Statement::Offer(mut offer) => {
                        offer.fingerprint = MALLORY;
                        offer.key = if own_key { key } else { offer.key };
                        Statement::Offer(offer)
                    }
                    Statement::Answer(mut answer) => {
                        answer.fingerprint = MALLORY;
                        answer.key = if own_key { key } else { answer.key };
                        Statement::Answer(answer)
                    }
                    other => other,
                }
                .emit();
                payload["peerage"]["signature"] = json!(STANDARD.encode(self.key.sign(&statement)));
                payload["peerage"]["statement"] = json!(STANDARD.encode(statement));
            }
        }
        Some(Frame {
            src,
            payload: Some(raw(payload)),
            ..frame.clone()
        })
    }

    fn old(&mut self, kind: Option<Kind>) -> Option<Frame> {
        let fits = |frame: &&Frame| kind.is_none_or(|kind| frame.kind == kind);
        let count = self.seen.iter().filter(fits).count() as u64;
        let index = self.rng.pick(0..count) as usize;
        self.seen.iter().filter(fits).nth(index).cloned()
    }

    fn peer(&mut self) -> PeerId {
        self.peers[self.rng.pick(0..self.peers.len() as u64) as usize].clone()
    }
}

fn put_certificate(payload: &mut Value) -> Option<()> {
    let lines = payload["sdp"]["sdp"].as_str()?.lines();
    let changed = lines.map(|line| match line.strip_prefix("a=fingerprint:") {
        Some(_) => format!("a=fingerprint:sha-256 {MALLORY}\r\n"),
        None => format!("{line}\r\n"),
    });
    payload["sdp"]["sdp"] = json!(changed.collect::<String>());
    Some(())
}

fn payload_of(frame: &Frame) -> Value {
    let text = frame.payload.as_deref().map_or("{}", RawValue::get);
    serde_json::from_str(text).unwrap()
}

fn raw(value: Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(&value).unwrap()
}
