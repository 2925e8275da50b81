//! Writes and checks `vectors/identity.json`: every encoding of `docs/protocol/identity.md` with examples, good and bad.
//!
//! Each bad case names the error that this implementation gives; another one need only refuse it.

#![allow(clippy::unwrap_used)]

mod encodings;
mod payloads;
mod statements;
#[path = "../vectors/mod.rs"]
mod vectors;

use peerage_proto::{
    identity::{
        Code, Fingerprint, LinkProof, Nonce, PublicKey, Secret, SigningKey, StatementHash, Time,
    },
    wire::{
        id::{ConnectionId, DeviceId, PeerId, Token},
        statement::{Answer, Offer, Refusal, Register, Statement},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;

const NOW: Time = Time(1_800_000_000_000);
const CALLER: &str = "caller-5c1e";
const SECRET: &str = "k3vq7n2xw5tz4mabcdefghij6y";

#[test]
fn the_file_is_current_and_every_case_in_it_holds() {
    let current = json!({
        "about": "Identity and access, docs/protocol/identity.md. Written by crates/proto/tests/identity; replayed in every language.",
        "notation": {
            "hex": "members whose name ends in Hex are lower-case hexadecimal",
            "base64": "members of payloads are RFC 4648 section 4 with padding; proofs of registration are section 5 without",
            "time": "milliseconds since 1970-01-01T00:00Z; all below 2^53",
            "signature": "raw r || s. Deterministic (RFC 6979) where this file was written, so it is reproducible there; other implementations only verify",
            "error": "what the Rust implementation says; others need only refuse",
        },
        "base32": encodings::base32_cases(),
        "keys": encodings::keys(),
        "ids": encodings::ids(),
        "secrets": encodings::secrets(),
        "links": encodings::links(),
        "badLinks": encodings::bad_links(),
        "statements": statements::statements(),
        "badStatements": statements::bad_statements(),
        "signatures": encodings::signatures(),
        "offers": payloads::offers(),
        "answers": payloads::answers(),
        "registrations": payloads::registrations(),
    });
    vectors::assert_current("identity.json", &current);
}

fn device() -> SigningKey {
    SigningKey::from_bytes(&scalar(1)).unwrap()
}

fn caller() -> SigningKey {
    SigningKey::from_bytes(&scalar(2)).unwrap()
}

fn thief() -> SigningKey {
    SigningKey::from_bytes(&scalar(3)).unwrap()
}

/// A recognisable private key: not for use.
fn scalar(name: u8) -> [u8; 32] {
    std::array::from_fn(|index| name.wrapping_mul(16).wrapping_add(index as u8))
}

fn device_certificate() -> Fingerprint {
    Fingerprint::of_certificate(b"the device's certificate")
}

fn caller_certificate() -> Fingerprint {
    Fingerprint::of_certificate(b"the caller's certificate")
}

fn secret() -> Secret {
    Secret::parse(SECRET).unwrap()
}

fn proof() -> LinkProof {
    secret().proof(&device().device_id())
}

fn connection() -> ConnectionId {
    ConnectionId::parse("dc_f8t1vx7pu2p").unwrap()
}

fn nonce(fill: u8) -> Nonce {
    Nonce([fill; 16])
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn offer() -> Offer {
    Offer {
        key: *caller().public_key().as_bytes(),
        fingerprint: caller_certificate(),
        from: PeerId::parse(CALLER).unwrap(),
        to: device().device_id().into(),
        connection: connection(),
        label: "peerage-http".into(),
        kid: Some(secret().kid()),
        time: NOW,
        nonce: nonce(0x11),
        reply: None,
        restart: None,
    }
}

fn answer_to(offer: &Offer) -> Answer {
    Answer {
        key: *device().public_key().as_bytes(),
        fingerprint: device_certificate(),
        from: offer.to.clone(),
        to: offer.from.clone(),
        connection: offer.connection.clone(),
        label: offer.label.clone(),
        kid: offer.kid,
        time: Time(NOW.0 + 40),
        nonce: nonce(0x22),
        reply: StatementHash::of(&Statement::Offer(offer.clone()).emit()),
        description: None,
    }
}

fn refusal_of(offer: &Offer) -> Refusal {
    Refusal {
        key: *device().public_key().as_bytes(),
        from: offer.to.clone(),
        to: offer.from.clone(),
        connection: offer.connection.clone(),
        code: Code::Stale.as_str().into(),
        time: Time(NOW.0 + 40),
        nonce: nonce(0x33),
        reply: StatementHash::of(&Statement::Offer(offer.clone()).emit()),
    }
}

fn register() -> Register {
    Register {
        key: *device().public_key().as_bytes(),
        host: "example.org".into(),
        id: device().device_id().into(),
        token: Token::parse("4nnba2z6mav").unwrap(),
        time: NOW,
    }
}

#[test]
fn ids_and_keys_in_the_file_belong_together() {
    for key in [device(), caller(), thief()] {
        let read = PublicKey::parse(key.public_key().as_bytes()).unwrap();
        assert_eq!(
            DeviceId::parse(read.device_id().as_str()),
            Ok(key.device_id())
        );
        assert_eq!(
            SigningKey::from_pem(&key.to_pem().unwrap())
                .unwrap()
                .device_id(),
            key.device_id()
        );
    }
}
