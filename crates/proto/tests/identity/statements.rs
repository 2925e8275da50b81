//! Statements, well formed and not.

use super::{answer_to, caller, device, hex, nonce, offer, proof, refusal_of, register};
use base64::{Engine, engine::general_purpose::STANDARD};
use peerage_proto::{
    identity::{Kid, StatementHash, Time},
    wire::{
        id::{ConnectionId, PeerId},
        statement::{Answer, Offer, Refusal, Register, Statement},
    },
};
use serde_json::{Value, json};

pub(super) fn statements() -> Value {
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

pub(super) fn fields_of(statement: &Statement) -> (&'static str, Value) {
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
                restart: _,
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
                description: _,
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

pub(super) fn bad_statements() -> Value {
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
    let mut register = split(&Statement::Register(register()).emit());
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
