//! Who comes to the server, and what for.

use std::sync::LazyLock;
use std::time::Duration;

use super::book::{Ask, Said};
use crate::identity::registration::prove;
use crate::identity::{SigningKey, fixture};
use crate::signal::ConnId;
use crate::sim::Rng;
use crate::wire::id::{PeerId, Token};
use crate::wire::signal::Kind;

/// The name that proofs are made for.
pub(super) const HOST: &str = "devices.example";

static KEYS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| [1, 2].map(fixture::key));

/// The key whose hash the id is.
pub(super) fn key_of(id: &str) -> Option<&'static SigningKey> {
    KEYS.iter().find(|key| key.device_id().as_str() == id)
}

/// What it may be proven with for a token.
pub(super) fn proof(key: &SigningKey, token: &str) -> String {
    let token = Token::parse(token).unwrap();
    prove(key, HOST, &token, fixture::NOW)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// As PeerJS: no hold, seen by nobody, a new token for each page.
    Stock,
    /// Asks for a hold, keeps its token, watches others and may let itself be seen.
    Ours,
    /// Has a key's id, and a new token after each restart.
    Device,
    /// Wants others' ids.
    Thief,
    /// Sends much to nobody.
    Flooder,
    /// Sends garbage, forgeries, and whatever else is not to be sent.
    Noisy,
    /// Says nothing.
    Mute,
}

impl Kin {
    pub(super) const fn is_honest(self) -> bool {
        matches!(self, Self::Stock | Self::Ours | Self::Device)
    }
}

pub(super) struct Client {
    pub(super) kin: Kin,
    number: usize,
    pages: u32,
    pub(super) id: String,
    pub(super) token: String,
    proof: String,
    hold: Duration,
    pub(super) visible: bool,
    pub(super) conn: Option<ConnId>,
    /// Has had `OPEN` on that socket.
    pub(super) open: bool,
    /// Wants to be there.
    pub(super) wants: bool,
}

impl Client {
    pub(super) fn new(kin: Kin, number: usize, rng: &mut Rng) -> Self {
        let id = match (kin, number % 5) {
            (Kin::Device, _) => KEYS[number % KEYS.len()].device_id().to_string(),
            (_, 0) => format!("peer \"{number}\"\\ü"),
            _ => format!("peer{number}"),
        };
        let mut client = Self {
            kin,
            number,
            pages: 0,
            id,
            token: String::new(),
            proof: String::new(),
            hold: Duration::ZERO,
            visible: false,
            conn: None,
            open: false,
            wants: true,
        };
        if kin != Kin::Stock {
            client.hold = Duration::from_secs(rng.size(100));
            client.visible = !rng.one_in(3);
        }
        client.reload();
        client
    }

    /// Begins anew, with another token.
    pub(super) fn reload(&mut self) {
        self.pages += 1;
        self.token = format!("token {} of {}", self.pages, self.number);
        if let Some(key) = key_of(&self.id) {
            self.proof = proof(key, &self.token);
        }
    }

    /// What it opens its next socket with.
    pub(super) fn ask(&mut self, ids: &[String], rng: &mut Rng) -> Ask {
        let mut ask = Ask {
            key: "peerjs".to_owned(),
            id: self.id.clone(),
            token: self.token.clone(),
            proof: self.proof.clone(),
            key_shaped: self.kin == Kin::Device,
            proven: true,
            hold: self.hold,
            visible: self.visible,
        };
        if self.kin == Kin::Thief {
            ask.id = ids[rng.pick(0..ids.len() as u64) as usize].clone();
            if let Some(owner) = key_of(&ask.id) {
                ask.key_shaped = true;
                ask.proven = false;
                ask.proof = match rng.pick(0..3) {
                    0 => String::new(),
                    1 => proof(owner, "another token"),
                    _ => {
                        let other = KEYS.iter().find(|key| key.device_id() != owner.device_id());
                        other.map_or(String::new(), |key| proof(key, &ask.token))
                    }
                };
            }
            self.id.clone_from(&ask.id);
        }
        if self.kin == Kin::Noisy {
            match rng.pick(0..12) {
                0 => ask.key.clear(),
                1 => ask.key = "other".to_owned(),
                2 => ask.token.clear(),
                3 => ask.id = "x".repeat(513),
                4 => ask.id.clear(),
                _ => {}
            }
        }
        ask
    }

    /// Something to say to `dst`: what it means, and how it is written. `number` is not used twice.
    pub(super) fn message(&self, dst: PeerId, number: u64, rng: &mut Rng) -> (Said, Vec<u8>) {
        use Kind::{Answer, Candidate, Expire, Leave, Offer};
        let kind = [Offer, Offer, Answer, Candidate, Candidate, Leave, Expire]
            [rng.pick(0..if self.kin == Kin::Noisy { 7 } else { 6 }) as usize];
        let filler = "x".repeat(rng.size(400) as usize);
        let payload =
            format!(r#"{{ "say":"number {number}!",  "more":[1e400,"{filler}","\u00fc"] }}"#);
        let dst_text = serde_json::Value::from(dst.as_str()).to_string();
        let claim = if self.kin == Kin::Noisy {
            r#","src":"peer1""#
        } else {
            ""
        };
        let text = if rng.one_in(3) {
            format!(
                r#"{{"payload":{payload},"dst":{dst_text},"type":"{kind}"{claim},"extra":[{{}}]}}"#
            )
        } else {
            format!(r#"{{"type":"{kind}"{claim},"dst":{dst_text}, "payload": {payload}}}"#)
        };
        let payload = Some(payload);
        (Said::Message { kind, dst, payload }, text.into_bytes())
    }
}

/// What is not to be said, and counts for nothing.
pub(super) fn noise(dst: &str, rng: &mut Rng) -> Vec<u8> {
    let dst = serde_json::Value::from(dst).to_string();
    let texts = [
        "{not json".to_owned(),
        "[]".to_owned(),
        String::new(),
        r#"{"type":"HEARTBEAT"}"#.to_owned(),
        format!(r#"{{"type":"PRESENCE","src":"peer1","dst":{dst},"payload":{{"online":true}}}}"#),
        format!(r#"{{"type":"OPEN","dst":{dst}}}"#),
        format!(r#"{{"type":"ID-TAKEN","dst":{dst},"payload":{{"msg":"x"}}}}"#),
        format!(r#"{{"type":"CHAT","dst":{dst}}}"#),
        format!(r#"{{"dst":{dst}}}"#),
        r#"{"type":"OFFER","payload":1}"#.to_owned(),
        r#"{"type":"OFFER","dst":""}"#.to_owned(),
        format!(r#"{{"type":"OFFER","dst":"{}"}}"#, "y".repeat(513)),
        r#"{"type":"SUBSCRIBE"}"#.to_owned(),
        r#"{"type":"EXPIRE","src":"peer1"}"#.to_owned(),
    ];
    match rng.pick(0..texts.len() as u64 + 1) as usize {
        choice if choice < texts.len() => texts[choice].clone().into_bytes(),
        _ => (0..rng.size(20)).map(|_| rng.any() as u8).collect(),
    }
}
