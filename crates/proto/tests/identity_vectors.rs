//! Writes and checks `vectors/identity.json`: every encoding of `docs/protocol/identity.md` with examples, good and bad.
//!
//! Each bad case names the error that this implementation gives; another one need only refuse it.

#![allow(clippy::unwrap_used)]

mod vectors;

use base64::{Engine, engine::general_purpose::STANDARD};
use peerage_proto::{
    identity::{
        Code, Evidence, Fingerprint, Kid, LinkProof, Nonce, PublicKey, Reply, Secret, SigningKey,
        StatementHash, Time,
        caller::{Call, SentOffer, Verdict},
        gate::{Config, Gate, IncomingOffer, State, Terms},
        registration,
    },
    wire::{
        base32,
        id::{ConnectionId, DeviceId, PeerId, Token, is_key_shaped},
        link_url::Link,
        sdp::DataDescription,
        signal::{AnswerPayload, ConnectionType, Description, OfferPayload},
        statement::{Answer, Offer, Refusal, Register, Statement},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

const NOW: Time = Time(1_800_000_000_000);
const CALLER: &str = "caller-5c1e";
const SECRET: &str = "k3vq7n2xw5tz4mabcdefghij6y";

#[test]
fn the_file_is_current_and_every_case_in_it_holds() {
    let current = json!({
        "about": "Identity and access, docs/protocol/identity.md. Written by crates/proto/tests/identity_vectors.rs; replayed in every language.",
        "notation": {
            "hex": "members whose name ends in Hex are lower-case hexadecimal",
            "base64": "members of payloads are RFC 4648 section 4 with padding; proofs of registration are section 5 without",
            "time": "milliseconds since 1970-01-01T00:00Z; all below 2^53",
            "signature": "raw r || s. Deterministic (RFC 6979) where this file was written, so it is reproducible there; other implementations only verify",
            "error": "what the Rust implementation says; others need only refuse",
        },
        "base32": base32_cases(),
        "keys": keys(),
        "ids": ids(),
        "secrets": secrets(),
        "links": links(),
        "badLinks": bad_links(),
        "statements": statements(),
        "badStatements": bad_statements(),
        "signatures": signatures(),
        "offers": offers(),
        "answers": answers(),
        "registrations": registrations(),
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

fn base32_cases() -> Value {
    let good: Vec<_> = [
        "",
        "66",
        "666f",
        "666f6f",
        "666f6f62",
        "666f6f6261",
        "ff",
        "0000000000",
        "0102030405060708",
    ]
    .iter()
    .map(|hex| {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        json!({ "bytesHex": hex, "text": base32::encode(&bytes) })
    })
    .collect();
    let bad: Vec<_> = [
        ("MY", "upper case"),
        ("my======", "padding characters"),
        ("mz", "unused bits are not zero"),
        ("a", "no whole byte"),
        ("abc", "a length that no byte string has"),
        ("m1", "1 is not in the alphabet"),
        ("m8", "8 is not in the alphabet"),
    ]
    .iter()
    .map(|(text, why)| {
        assert_eq!(base32::decode(text), None, "{text}");
        json!({ "text": text, "why": why })
    })
    .collect();
    json!({ "good": good, "bad": bad })
}

fn keys() -> Value {
    [
        ("device", device(), scalar(1)),
        ("caller", caller(), scalar(2)),
        ("thief", thief(), scalar(3)),
    ]
    .into_iter()
    .map(|(name, key, scalar)| {
        json!({
            "name": name,
            "privateHex": hex(scalar),
            "pkcs8Pem": key.to_pem().unwrap().as_str(),
            "publicHex": hex(key.public_key().as_bytes()),
            "id": key.device_id(),
        })
    })
    .collect()
}

fn ids() -> Value {
    let id = device().device_id().to_string();
    let last_bit = format!("{}b", &id[..51]);
    [
        (id.clone(), true, "a device id"),
        (
            "a".repeat(52),
            true,
            "any 52 characters with zero padding bits have the shape",
        ),
        (last_bit, false, "padding bits are not zero"),
        (id.to_uppercase(), false, "upper case"),
        (id[..51].to_owned(), false, "one character short"),
        (format!("{id}a"), false, "one character too many"),
        (
            id.replacen(&id[..1], "1", 1),
            false,
            "a character outside the alphabet",
        ),
        ("alice".to_owned(), false, "any other id"),
    ]
    .into_iter()
    .map(|(text, key_shaped, why)| {
        assert_eq!(is_key_shaped(&text), key_shaped, "{why}");
        json!({ "text": text, "keyShaped": key_shaped, "why": why })
    })
    .collect()
}

fn secrets() -> Value {
    let derive = |secret: &str, info: &[u8], out: &mut [u8]| {
        hkdf::Hkdf::<sha2::Sha256>::new(None, secret.as_bytes())
            .expand(info, out)
            .unwrap();
    };
    let good: Vec<_> = [(SECRET, device()), (SECRET, thief()), ("aaaaaaaaaaaaaaaaaaaaaaaaaa", device())]
        .into_iter()
        .map(|(text, key)| {
            let (secret, id) = (Secret::parse(text).unwrap(), key.device_id());
            // Derived a second time, by the words of the document.
            let (mut kid, mut mac_key) = ([0; 8], [0; 32]);
            derive(text, b"peerage/1 kid", &mut kid);
            derive(text, &[b"peerage/1 mac\0", id.as_str().as_bytes()].concat(), &mut mac_key);
            assert_eq!(secret.kid(), Kid::new(kid));
            let mac = secret.mac_key(&id).mac(b"statement");
            let check = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&mac_key);
            let check = hmac::Mac::finalize(hmac::Mac::chain_update(check.unwrap(), b"statement")).into_bytes();
            assert_eq!(mac, check.as_slice());
            json!({ "secret": text, "device": id, "kidHex": hex(kid), "macKeyHex": hex(mac_key), "macOfTextStatementHex": hex(mac) })
        })
        .collect();
    let bad: Vec<_> = [
        ("", "empty"),
        ("k3vq7n2xw5tz4mabcdefghij6", "one character short"),
        ("k3vq7n2xw5tz4mabcdefghij6yy", "one character too many"),
        ("K3vq7n2xw5tz4mabcdefghij6y", "upper case"),
        ("k3vq7n2xw5tz4mabcdefghij61", "1 is not in the alphabet"),
        ("k3vq7n2xw5tz4mabcdefghij6ä", "outside ASCII"),
    ]
    .iter()
    .map(|(text, why)| {
        assert!(Secret::parse(text).is_err());
        json!({ "text": text, "why": why })
    })
    .collect();
    json!({ "good": good, "bad": bad })
}

fn links() -> Value {
    let id = device().device_id();
    let upper = id.as_str().to_uppercase();
    [
        format!("https://{id}.example.org/#1.{SECRET}"),
        format!("https://{id}.example.org:8443/#1.{SECRET}/docs/?q=a%20b&c#top"),
        format!("http://{id}.localhost:9000/#1.{SECRET}"),
        format!("http://{id}.localhost/#1.{SECRET}/"),
        format!("http://{id}.pi.localhost/#1.{SECRET}"),
        format!("HTTPS://{upper}.Example.ORG:443/#1.{SECRET}"),
        format!("https://{id}.example.org#1.{SECRET}"),
        format!("https://{id}.example.org/"),
        format!("https://{id}.example.org"),
        format!("https://{id}.example.org/docs/page.html?x=1#section"),
        format!("https://{id}.example.org/#section"),
        format!("https://{id}.example.org/#1.{SECRET}/a#1.b"),
    ]
    .into_iter()
    .map(|text| {
        let link = Link::parse(&text).unwrap();
        let Link {
            secure,
            device,
            domain,
            port,
            secret,
            path,
        } = &link;
        json!({
            "text": text,
            "secure": secure,
            "device": device,
            "domain": domain,
            "port": port,
            "secret": secret.as_ref().map(Secret::expose),
            "path": path,
            "canonical": link.to_string(),
            "origin": link.origin(),
            "server": link.server_url(),
        })
    })
    .collect()
}

fn bad_links() -> Value {
    let id = device().device_id();
    [
        (String::new(), "empty"),
        (format!("ftp://{id}.example.org/#1.{SECRET}"), "scheme"),
        (format!("{id}.example.org/#1.{SECRET}"), "no scheme"),
        (
            format!("http://{id}.example.org/#1.{SECRET}"),
            "plain http to another machine",
        ),
        (
            format!("http://{id}.localhost.example.org/#1.{SECRET}"),
            "plain http to a name that only begins with localhost",
        ),
        (format!("https://{id}/#1.{SECRET}"), "no domain"),
        (format!("https://{id}./#1.{SECRET}"), "empty domain"),
        (
            format!("https://{id}.example..org/#1.{SECRET}"),
            "empty label",
        ),
        (
            format!("https://{id}.127.0.0.1/#1.{SECRET}"),
            "an address cannot have a name before it",
        ),
        (
            format!("https://{id}.exa_mple.org/"),
            "a character that no domain has",
        ),
        (
            format!("https://user@{id}.example.org/"),
            "user information",
        ),
        (
            format!("https://{}.example.org/#1.{SECRET}", &id.as_str()[1..]),
            "device id one character short",
        ),
        (
            format!("https://{}b.example.org/#1.{SECRET}", &id.as_str()[..51]),
            "device id with padding bits",
        ),
        (format!("https://{id}.example.org:0/"), "port 0"),
        (format!("https://{id}.example.org:65536/"), "port too large"),
        (format!("https://{id}.example.org:/"), "empty port"),
        (format!("https://{id}.example.org:+80/"), "port with a sign"),
        (
            format!("https://{id}.example.org:0443/"),
            "port with a leading zero",
        ),
        (
            format!("https://{id}.example.org/#2.{SECRET}"),
            "another version",
        ),
        (format!("https://{id}.example.org/#1."), "no secret"),
        (
            format!("https://{id}.example.org/#1.{}", &SECRET[1..]),
            "shortened secret",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}a"),
            "lengthened secret",
        ),
        (
            format!("https://{id}.example.org/#1.{}", SECRET.to_uppercase()),
            "upper-case secret",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}?q"),
            "something else than / after the secret",
        ),
        (
            format!("https://{id}.example.org/a#1.{SECRET}"),
            "a path that a server would see",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}//evil.example"),
            "a path that names a host",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/\\evil.example"),
            "a path that names a host to a browser",
        ),
        (
            format!("https://{id}.example.org//evil.example"),
            "a path that names a host",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/a b"),
            "a space",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/a\nb"),
            "a line break",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/ä"),
            "outside ASCII",
        ),
    ]
    .into_iter()
    .map(|(text, why)| {
        let error = Link::parse(&text)
            .map(|link| link.to_string())
            .expect_err(why);
        json!({ "text": text, "why": why, "error": error.to_string() })
    })
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

fn statements() -> Value {
    let later = Offer {
        kid: None,
        nonce: nonce(0x12),
        ..offer()
    };
    let retry = Offer {
        time: Time(0),
        reply: Some(nonce(0x33)),
        ..offer()
    };
    let longest = Offer {
        from: PeerId::parse(&"ü".repeat(256)).unwrap(),
        connection: ConnectionId::parse(&"c".repeat(512)).unwrap(),
        label: "\u{1f680}".repeat(128),
        ..offer()
    };
    [
        (
            "offer of a first visit",
            Statement::Offer(offer()),
            "caller",
            true,
        ),
        (
            "offer of a later visit",
            Statement::Offer(later),
            "caller",
            false,
        ),
        (
            "offer of a second try, by a caller without a clock",
            Statement::Offer(retry),
            "caller",
            true,
        ),
        (
            "offer with texts of 512 octets",
            Statement::Offer(longest),
            "caller",
            false,
        ),
        (
            "answer to the first",
            Statement::Answer(answer_to(&offer())),
            "device",
            false,
        ),
        (
            "refusal of the first",
            Statement::Refusal(refusal_of(&offer())),
            "device",
            false,
        ),
        ("register", Statement::Register(register()), "device", false),
    ]
    .into_iter()
    .map(|(name, statement, signer, with_mac)| {
        let bytes = statement.emit();
        assert_eq!(Statement::parse(&bytes).as_ref(), Ok(&statement));
        let key = if signer == "device" {
            device()
        } else {
            caller()
        };
        let (kind, fields) = fields_of(&statement);
        json!({
            "name": name,
            "kind": kind,
            "fields": fields,
            "bytesHex": hex(&bytes),
            "bytesBase64": STANDARD.encode(&bytes),
            "sha256Hex": hex(StatementHash::of(&bytes).0),
            "signer": signer,
            "signatureHex": hex(key.sign(&bytes)),
            "macHex": with_mac.then(|| hex(proof().mac_key.mac(&bytes))),
        })
    })
    .collect()
}

fn fields_of(statement: &Statement) -> (&'static str, Value) {
    let kid = |kid: Option<Kid>| kid.map(|kid| hex(kid.as_bytes()));
    match statement {
        Statement::Offer(offer) => {
            let Offer {
                key,
                fingerprint,
                from,
                to,
                connection,
                label,
                kid: name,
                time,
                nonce,
                reply,
            } = offer;
            let reply = reply.map(|nonce| hex(nonce.0));
            let fields = json!({ "keyHex": hex(key), "fingerprintHex": hex(fingerprint.as_bytes()), "from": from, "to": to, "connection": connection,
                "label": label, "kidHex": kid(*name), "time": time, "nonceHex": hex(nonce.0), "replyHex": reply });
            ("offer", fields)
        }
        Statement::Answer(answer) => {
            let Answer {
                key,
                fingerprint,
                from,
                to,
                connection,
                label,
                kid: name,
                time,
                nonce,
                reply,
            } = answer;
            let fields = json!({ "keyHex": hex(key), "fingerprintHex": hex(fingerprint.as_bytes()), "from": from, "to": to, "connection": connection,
                "label": label, "kidHex": kid(*name), "time": time, "nonceHex": hex(nonce.0), "replyHex": hex(reply.0) });
            ("answer", fields)
        }
        Statement::Refusal(refusal) => {
            let Refusal {
                key,
                from,
                to,
                connection,
                code,
                time,
                nonce,
                reply,
            } = refusal;
            let fields = json!({ "keyHex": hex(key), "from": from, "to": to, "connection": connection, "code": code, "time": time,
                "nonceHex": hex(nonce.0), "replyHex": hex(reply.0) });
            ("refusal", fields)
        }
        Statement::Register(register) => {
            let Register {
                key,
                host,
                id,
                token,
                time,
            } = register;
            let fields = json!({ "keyHex": hex(key), "host": host, "id": id, "token": token.expose(), "time": time });
            ("register", fields)
        }
    }
}

/// The fields of a statement, as byte strings.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut fields, mut rest) = (Vec::new(), bytes);
    while let Some((length, tail)) = rest.split_first_chunk() {
        let (field, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        fields.push(field.to_vec());
        rest = tail;
    }
    fields
}

fn join(fields: &[Vec<u8>]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| {
            (field.len() as u16)
                .to_be_bytes()
                .into_iter()
                .chain(field.iter().copied())
        })
        .collect()
}

fn bad_statements() -> Value {
    let good = Statement::Offer(offer()).emit();
    let with = |index: usize, field: Vec<u8>| {
        let mut fields = split(&good);
        fields[index] = field;
        join(&fields)
    };
    let mut cases = vec![
        ("empty".to_owned(), Vec::new()),
        ("one octet".to_owned(), vec![0]),
        (
            "cut in the last field".to_owned(),
            good[..good.len() - 1].to_vec(),
        ),
        (
            "a field longer than what is left".to_owned(),
            [&good[..], &[0xff, 0xff, 1]].concat(),
        ),
        ("left-over field".to_owned(), [&good[..], &[0, 0]].concat()),
        ("left-over octet".to_owned(), [&good[..], &[0]].concat()),
        ("longer than 4096 octets".to_owned(), vec![0; 4097]),
        (
            "another version".to_owned(),
            with(0, b"peerage/2 offer".to_vec()),
        ),
        (
            "context in another case".to_owned(),
            with(0, b"peerage/1 Offer".to_vec()),
        ),
        (
            "context of an answer over an offer's fields".to_owned(),
            with(0, b"peerage/1 answer".to_vec()),
        ),
        ("empty context".to_owned(), with(0, Vec::new())),
        ("compressed key".to_owned(), with(1, vec![2; 33])),
        ("fingerprint of SHA-1".to_owned(), with(2, vec![0; 20])),
        (
            "text that is not UTF-8".to_owned(),
            with(6, vec![0xff, 0xfe]),
        ),
        (
            "text that is an overlong encoding".to_owned(),
            with(6, vec![0xc0, 0xaf]),
        ),
    ];
    for (index, name) in ["from", "to", "connection", "label"]
        .into_iter()
        .enumerate()
    {
        cases.push((format!("empty {name}"), with(3 + index, Vec::new())));
        cases.push((
            format!("{name} of 513 octets"),
            with(3 + index, vec![b'x'; 513]),
        ));
    }
    for (index, name, lengths) in [
        (7, "kid", &[1usize, 7, 9][..]),
        (8, "time", &[0, 7, 9]),
        (9, "nonce", &[0, 15, 17]),
        (10, "reply", &[1, 15, 32]),
    ] {
        for &length in lengths {
            cases.push((
                format!("{name} of {length} octets"),
                with(index, vec![1; length]),
            ));
        }
    }
    let mut missing = split(&good);
    missing.remove(9);
    cases.push(("without nonce".to_owned(), join(&missing)));
    let mut answer = split(&Statement::Answer(answer_to(&offer())).emit());
    answer[10].clear();
    cases.push(("answer without reply".to_owned(), join(&answer)));
    let mut refusal = split(&Statement::Refusal(refusal_of(&offer())).emit());
    refusal[5].clear();
    cases.push(("refusal without code".to_owned(), join(&refusal)));
    let mut register = split(&Statement::Register(self::register()).emit());
    register[4].clear();
    cases.push(("register without token".to_owned(), join(&register)));
    cases
        .into_iter()
        .map(|(why, bytes)| {
            let error = Statement::parse(&bytes).expect_err(&why);
            json!({ "why": why, "bytesHex": hex(&bytes), "error": error.to_string() })
        })
        .collect()
}

fn signatures() -> Value {
    let bytes = b"peerage";
    let honest = device().sign(bytes);
    let high = high_s(&honest);
    let mut altered = honest;
    altered[10] ^= 1;
    let swapped: Vec<u8> = honest[32..].iter().chain(&honest[..32]).copied().collect();
    [
        ("as signed", "device", bytes.to_vec(), honest.to_vec(), true),
        ("the other of the two values of s", "device", bytes.to_vec(), high.to_vec(), true),
        ("another key", "thief", bytes.to_vec(), honest.to_vec(), false),
        ("other bytes", "device", b"Peerage".to_vec(), honest.to_vec(), false),
        ("one bit altered", "device", bytes.to_vec(), altered.to_vec(), false),
        ("s before r", "device", bytes.to_vec(), swapped, false),
        ("zero", "device", bytes.to_vec(), vec![0; 64], false),
        ("the group order", "device", bytes.to_vec(), [ORDER, ORDER].concat(), false),
    ]
    .into_iter()
    .map(|(name, key, bytes, signature, good)| {
        let public = if key == "device" { device() } else { thief() };
        let signature: [u8; 64] = signature.try_into().unwrap();
        assert_eq!(public.public_key().verify(&bytes, &signature).is_ok(), good, "{name}");
        json!({ "name": name, "publicHex": hex(public.public_key().as_bytes()), "bytesHex": hex(bytes), "signatureHex": hex(signature), "good": good })
    })
    .collect()
}

/// Order of the group of P-256 (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same signature with order − s for s.
fn high_s(signature: &[u8; 64]) -> [u8; 64] {
    let mut other = *signature;
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i32::from(ORDER[index]) - i32::from(signature[32 + index]) - borrow;
        borrow = i32::from(difference < 0);
        other[32 + index] = difference.rem_euclid(256) as u8;
    }
    other
}

fn sdp(fingerprint: Fingerprint, setup: &str, ufrag: &str) -> String {
    format!(
        "v=0\r\no=- 2157023314015382834 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\n\
         a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
}

fn signed(statement: &Statement, key: &SigningKey, mac: bool) -> Evidence {
    let statement = statement.emit();
    let signature = key.sign(&statement);
    let mac = mac.then(|| proof().mac_key.mac(&statement));
    Evidence {
        statement,
        signature,
        mac,
    }
}

fn offer_payload(evidence: Option<&Evidence>) -> OfferPayload {
    OfferPayload {
        sdp: Description::offer(sdp(caller_certificate(), "actpass", "hrFr")),
        connection_type: ConnectionType::Data,
        connection_id: connection(),
        metadata: None,
        label: Some("peerage-http".into()),
        reliable: Some(true),
        serialization: Some("raw".into()),
        peerage: evidence.map(Evidence::emit),
    }
}

/// Offers to the device, which has one link, with the vectors' secret, made at `NOW`, and has not seen the caller.
fn offers() -> Value {
    let honest = signed(&Statement::Offer(offer()), &caller(), true);
    let say = |change: &dyn Fn(&mut Offer)| {
        let mut offer = offer();
        change(&mut offer);
        signed(&Statement::Offer(offer), &caller(), true)
    };
    let evil = Fingerprint::of_certificate(b"the server's certificate");
    let mut swapped = offer_payload(Some(&honest));
    swapped.sdp = Description::offer(sdp(evil, "actpass", "hrFr"));
    let mut second_line = offer_payload(Some(&honest));
    second_line
        .sdp
        .sdp
        .push_str(&format!("a=fingerprint:sha-256 {evil}\r\n"));
    let mut relabelled = offer_payload(Some(&honest));
    relabelled.label = Some("chat".into());
    let mut wrong_mac = honest.clone();
    wrong_mac.mac = Some([0; 32]);
    let no_mac = signed(
        &Statement::Offer(Offer {
            kid: None,
            ..offer()
        }),
        &caller(),
        false,
    );
    let stolen = Evidence {
        signature: thief().sign(&honest.statement),
        ..honest.clone()
    };
    let answer = signed(&Statement::Answer(answer_to(&offer())), &device(), false);
    let cases = [
        ("a first visit", CALLER, offer_payload(Some(&honest)), None),
        (
            "no statement",
            CALLER,
            offer_payload(None),
            Some(Code::Denied),
        ),
        (
            "no proof, unknown key",
            CALLER,
            offer_payload(Some(&no_mac)),
            Some(Code::Denied),
        ),
        (
            "wrong MAC",
            CALLER,
            offer_payload(Some(&wrong_mac)),
            Some(Code::Denied),
        ),
        (
            "unknown kid",
            CALLER,
            offer_payload(Some(&say(&|o| o.kid = Some(Kid::new([0; 8]))))),
            Some(Code::Denied),
        ),
        (
            "MAC without kid",
            CALLER,
            offer_payload(Some(&say(&|o| o.kid = None))),
            Some(Code::Malformed),
        ),
        (
            "somebody else's signature",
            CALLER,
            offer_payload(Some(&stolen)),
            Some(Code::Denied),
        ),
        (
            "another src",
            "mallory",
            offer_payload(Some(&honest)),
            Some(Code::Malformed),
        ),
        (
            "another device",
            CALLER,
            offer_payload(Some(&say(&|o| o.to = thief().device_id().into()))),
            Some(Code::Malformed),
        ),
        ("another label", CALLER, relabelled, Some(Code::Malformed)),
        (
            "an answer's statement",
            CALLER,
            offer_payload(Some(&answer)),
            Some(Code::Malformed),
        ),
        (
            "fingerprint swapped in the SDP",
            CALLER,
            swapped,
            Some(Code::Denied),
        ),
        (
            "second fingerprint in the SDP",
            CALLER,
            second_line,
            Some(Code::Denied),
        ),
        (
            "5 minutes and 1 ms old",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 - 300_001)))),
            Some(Code::Stale),
        ),
        (
            "5 minutes and 1 ms early",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 + 300_001)))),
            Some(Code::Stale),
        ),
        (
            "5 minutes old",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 - 300_000)))),
            None,
        ),
        (
            "a nonce that was not given out",
            CALLER,
            offer_payload(Some(&say(&|o| o.reply = Some(nonce(9))))),
            Some(Code::Stale),
        ),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(name, src, payload, code)| {
            let mut gate = Gate::new(device(), State::default(), Config::default(), Time(NOW.0 - 3_600_000));
            gate.add_link(secret(), Terms::default(), NOW).unwrap();
            let incoming = IncomingOffer { src: &PeerId::parse(src).unwrap(), payload: &payload };
            let expect = match gate.verify_offer(&incoming, NOW, &mut rng()) {
                Ok(_) => {
                    assert_eq!(code, None, "{name}");
                    json!({ "granted": true })
                }
                Err(refused) => {
                    let reply = refused.reply.unwrap();
                    let Reply::Refusal { code: given, .. } = Reply::parse(reply.peerage.as_ref().unwrap().get()).unwrap() else {
                        panic!("{name}: not a refusal");
                    };
                    assert_eq!(Some(given), code, "{name}");
                    json!({ "granted": false, "code": given.as_str(), "reason": refused.reason.to_string(), "answerPayload": reply })
                }
            };
            json!({ "name": name, "src": src, "payload": payload, "expect": expect })
        })
        .collect();
    json!({
        "about": "OFFER payloads as the device judges them: it has one link, with this secret, has seen nobody, and its clock says `now`",
        "secret": SECRET, "device": device().device_id(), "now": NOW, "cases": cases,
    })
}

/// Answers to the caller, who sent the first statement of the file.
fn answers() -> Value {
    let call = Call {
        device: device().device_id(),
        from: PeerId::parse(CALLER).unwrap(),
        connection: connection(),
        label: "peerage-http".into(),
        fingerprint: caller_certificate(),
        retry: None,
    };
    let sent = SentOffer::new(&caller(), call, Some(&proof()), NOW, &mut rng()).unwrap();
    let stated = sent.statement().clone();
    let payload = |reply: &Reply, fingerprint: Fingerprint| AnswerPayload {
        sdp: matches!(reply, Reply::Answer(_))
            .then(|| Description::answer(sdp(fingerprint, "passive", "Og8G"))),
        connection_type: ConnectionType::Data,
        connection_id: connection(),
        peerage: Some(reply.emit()),
    };
    let say = |change: &dyn Fn(&mut Answer)| {
        let mut answer = answer_to(&stated);
        change(&mut answer);
        let evidence = signed(&Statement::Answer(answer), &device(), false);
        payload(&Reply::Answer(evidence), device_certificate())
    };
    let honest = say(&|_| {});
    let (device_id, evil) = (
        device().device_id().to_string(),
        Fingerprint::of_certificate(b"the server's certificate"),
    );
    let by_thief = |key: &SigningKey| {
        let answer = Answer {
            key: *key.public_key().as_bytes(),
            ..answer_to(&stated)
        };
        payload(
            &Reply::Answer(signed(&Statement::Answer(answer), &thief(), false)),
            device_certificate(),
        )
    };
    let refuse = |code, evidence| payload(&Reply::Refusal { code, evidence }, device_certificate());
    let challenge = signed(&Statement::Refusal(refusal_of(&stated)), &device(), false);
    let false_challenge = signed(&Statement::Refusal(refusal_of(&stated)), &thief(), false);
    let with_sdp = |change: &dyn Fn(String) -> String| {
        let mut payload = honest.clone();
        payload.sdp = payload.sdp.map(|sdp| Description::answer(change(sdp.sdp)));
        payload
    };
    let line = |fingerprint: Fingerprint| format!("a=fingerprint:sha-256 {fingerprint}\r\n");
    let mut stock = honest.clone();
    stock.peerage = None;
    let mut offer_kind = honest.clone();
    offer_kind.sdp.as_mut().unwrap().kind = "offer".into();
    let earlier = Offer {
        nonce: nonce(0x77),
        ..stated.clone()
    };
    let cases = [
        (
            "the device's answer",
            device_id.as_str(),
            honest.clone(),
            "accepted",
        ),
        ("from another id", "mallory", honest.clone(), "false"),
        ("no statement", &device_id, stock, "false"),
        (
            "another key, its own signature",
            &device_id,
            by_thief(&thief()),
            "false",
        ),
        (
            "the device's key, another signature",
            &device_id,
            by_thief(&device()),
            "false",
        ),
        (
            "an answer to an earlier offer",
            &device_id,
            say(&|a| a.reply = answer_to(&earlier).reply),
            "false",
        ),
        (
            "to another caller",
            &device_id,
            say(&|a| a.to = PeerId::parse("mallory").unwrap()),
            "false",
        ),
        (
            "in another's name",
            &device_id,
            say(&|a| a.from = PeerId::parse("mallory").unwrap()),
            "false",
        ),
        (
            "for another connection",
            &device_id,
            say(&|a| a.connection = ConnectionId::parse("dc_other").unwrap()),
            "false",
        ),
        (
            "for another label",
            &device_id,
            say(&|a| a.label = "chat".into()),
            "false",
        ),
        (
            "without the kid",
            &device_id,
            say(&|a| a.kid = None),
            "false",
        ),
        (
            "fingerprint swapped on all lines",
            &device_id,
            with_sdp(&|sdp| sdp.replace(&line(device_certificate()), &line(evil))),
            "false",
        ),
        (
            "second fingerprint",
            &device_id,
            with_sdp(&|sdp| sdp + &line(evil)),
            "false",
        ),
        (
            "another hash beside",
            &device_id,
            with_sdp(&|sdp| {
                sdp + "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\r\n"
            }),
            "false",
        ),
        (
            "session against media level",
            &device_id,
            with_sdp(&|sdp| sdp.replace("t=0 0\r\n", &format!("t=0 0\r\n{}", line(evil)))),
            "false",
        ),
        (
            "another fingerprint stated than written",
            &device_id,
            say(&|a| a.fingerprint = evil),
            "false",
        ),
        (
            "set-up role left open",
            &device_id,
            with_sdp(&|sdp| sdp.replace("a=setup:passive", "a=setup:actpass")),
            "false",
        ),
        (
            "a description of type offer",
            &device_id,
            offer_kind,
            "false",
        ),
        ("denied", &device_id, refuse(Code::Denied, None), "refused"),
        ("busy", &device_id, refuse(Code::Busy, None), "refused"),
        (
            "malformed",
            &device_id,
            refuse(Code::Malformed, None),
            "refused",
        ),
        (
            "denied, from another id",
            "mallory",
            refuse(Code::Denied, None),
            "false",
        ),
        (
            "stale, signed",
            &device_id,
            refuse(Code::Stale, Some(challenge)),
            "tryAgain",
        ),
        (
            "stale, unsigned",
            &device_id,
            refuse(Code::Stale, None),
            "false",
        ),
        (
            "stale, signed by somebody else",
            &device_id,
            refuse(Code::Stale, Some(false_challenge)),
            "false",
        ),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(name, src, payload, outcome)| {
            let expect = match sent.verify(&PeerId::parse(src).unwrap(), &payload) {
                Ok(Verdict::Accepted(description)) => {
                    assert_eq!(outcome, "accepted", "{name}");
                    let sdp = description.emit(description.fingerprint(), description.setup());
                    assert_eq!(
                        DataDescription::parse(&sdp).map(|d| d.fingerprint()),
                        Ok(device_certificate())
                    );
                    json!({ "outcome": outcome, "remoteSdp": sdp })
                }
                Ok(Verdict::Refused(code)) => {
                    assert_eq!(outcome, "refused", "{name}");
                    json!({ "outcome": outcome, "code": code.as_str() })
                }
                Ok(Verdict::TryAgain(nonce)) => {
                    assert_eq!(outcome, "tryAgain", "{name}");
                    json!({ "outcome": outcome, "nonceHex": hex(nonce.0) })
                }
                Err(error) => {
                    assert_eq!(outcome, "false", "{name}: {error}");
                    json!({ "outcome": outcome, "error": error.to_string() })
                }
            };
            json!({ "name": name, "src": src, "payload": payload, "expect": expect })
        })
        .collect();
    let (_, fields) = fields_of(&Statement::Offer(stated));
    json!({
        "about": "ANSWER payloads as the caller judges them, who sent the statement `sent`. `false` is ignored: the caller waits on; the others end the wait",
        "device": device().device_id(),
        "sent": { "fields": fields, "statementBase64": STANDARD.encode(&sent.evidence().statement), "offerPayload": offer_payload(Some(sent.evidence())) },
        "cases": cases,
    })
}

fn registrations() -> Value {
    let token = Token::parse("4nnba2z6mav").unwrap();
    let id = PeerId::from(device().device_id());
    let honest = registration::prove(&device(), "example.org", &token, NOW);
    let url = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let claim = |key: &SigningKey, signer: &SigningKey| {
        let statement = Statement::Register(Register {
            key: *key.public_key().as_bytes(),
            ..register()
        })
        .emit();
        format!("{}.{}", url(&statement), url(&signer.sign(&statement)))
    };
    let cases: Vec<_> = [
        ("the key's owner", honest.clone(), id.clone(), token.clone(), NOW, true),
        ("5 minutes later", honest.clone(), id.clone(), token.clone(), Time(NOW.0 + 300_000), true),
        ("5 minutes and 1 ms later", honest.clone(), id.clone(), token.clone(), Time(NOW.0 + 300_001), false),
        ("5 minutes and 1 ms early", honest.clone(), id.clone(), token.clone(), Time(NOW.0 - 300_001), false),
        ("for another token", honest.clone(), id.clone(), Token::parse("other").unwrap(), NOW, false),
        ("for another id", honest.clone(), thief().device_id().into(), token.clone(), NOW, false),
        ("for another server", registration::prove(&device(), "example.net", &token, NOW), id.clone(), token.clone(), NOW, false),
        ("another key, which claims the id", claim(&thief(), &thief()), id.clone(), token.clone(), NOW, false),
        ("another key's signature", claim(&device(), &thief()), id.clone(), token.clone(), NOW, false),
        ("no signature", honest.split('.').next().unwrap().to_owned(), id.clone(), token.clone(), NOW, false),
        ("empty", String::new(), id.clone(), token.clone(), NOW, false),
    ]
    .into_iter()
    .map(|(name, proof, id, token, now, good)| {
        let result = registration::verify(&proof, &id, &token, |host| host == "example.org", now);
        assert_eq!(result.is_ok(), good, "{name}: {result:?}");
        let error = result.err().map(|error| error.to_string());
        json!({ "name": name, "proof": proof, "id": id, "token": token.expose(), "now": now, "good": good, "error": error })
    })
    .collect();
    json!({ "about": "the `proof` parameter of a socket that asks for a key-shaped id, at the server example.org", "host": "example.org", "cases": cases })
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
