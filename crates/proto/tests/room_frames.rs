//! `vectors/room-frames.json`: frames of rooms, good and bad, for every language that speaks them.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use peerage_proto::wire::room::*;
use serde_json::{Value, json};

mod vectors;

#[test]
fn frames_are_read_and_written_as_the_vectors_say() {
    let good: Vec<_> = from_members()
        .into_iter()
        .map(|frame| {
            let octets = frame.emit();
            let again = FromMember::parse(octets.clone(), FROM_MEMBER_MAX);
            assert_eq!(again, Ok(Some(frame.clone())));
            cut(&octets, |octets| {
                FromMember::parse(octets, FROM_MEMBER_MAX).map(|it| it.map(|it| it.emit()))
            });
            json!({"from": "member", "hex": hex(&octets), "frame": member_frame(&frame)})
        })
        .chain(from_hubs().into_iter().map(|frame| {
            let octets = frame.emit();
            assert_eq!(FromHub::parse(octets.clone()), Ok(Some(frame.clone())));
            // Codes of a later version are read as one that is known.
            if !matches!(frame, FromHub::Refused(_)) {
                cut(&octets, |octets| {
                    FromHub::parse(octets).map(|it| it.map(|it| it.emit()))
                });
            }
            json!({"from": "hub", "hex": hex(&octets), "frame": hub_frame(&frame)})
        }))
        .collect();
    let bad: Vec<_> = BAD
        .iter()
        .map(|(from, text, error, why)| {
            let octets = unhex(text);
            let written = hex(&octets);
            let read = match *from {
                "member" => FromMember::parse(octets, FROM_MEMBER_MAX).map(|_| ()),
                _ => FromHub::parse(octets).map(|_| ()),
            };
            assert_eq!(read, Err(*error), "{why}");
            json!({"from": from, "hex": written, "error": name_of(*error), "why": why})
        })
        .collect();
    let ignored: Vec<_> = [
        ("member", "00"),
        ("member", "0fff"),
        ("hub", "ff"),
        ("hub", "0100"),
    ]
    .into_iter()
    .map(|(from, text)| {
        let octets = unhex(text);
        match from {
            "member" => assert_eq!(FromMember::parse(octets, 9), Ok(None)),
            _ => assert_eq!(FromHub::parse(octets), Ok(None)),
        }
        json!({"from": from, "hex": text})
    })
    .collect();
    let current = json!({
        "about": [
            "Frames of rooms over data channels, docs/protocol/rooms.md. Each is one binary message. Octets are hex.",
            "good: a frame both ways; its reader gives 'frame', and its writer gives 'hex' for it. A 'json' member holds JSON as the text that was written; 'bytes' holds octets as hex.",
            "bad: what no reader takes, and why. ignored: types that nobody knows yet.",
            "'to': 'others', 'hub' or a list of members' numbers. 'member' and 'from' null: nobody, or the server.",
        ],
        "good": good,
        "bad": bad,
        "ignored": ignored,
        "refusals": RefusedCode::ALL.map(|it| json!({"code": it.name(), "may_return": it.may_return()})),
        "left": LeftReason::ALL.map(|it| json!({"number": it.number(), "name": it.name()})),
        "unacked": UnackedReason::ALL.map(|it| json!({"number": it.number(), "name": it.name()})),
    });
    vectors::assert_current("room-frames.json", &current);
}

#[test]
fn a_frame_of_the_hubs_may_fill_a_message_of_the_channel() {
    let message = |octets: usize| {
        let body = Body::Bytes(Bytes::from(vec![7; octets]));
        FromHub::Message(Message {
            seq: 1,
            from: None,
            ack: None,
            said: Said::Chat(body),
        })
    };
    let beside = message(0).emit().len();
    let largest = message(256 * 1024 - beside);
    assert_eq!(FromHub::parse(largest.emit()), Ok(Some(largest)));
    let larger = message(256 * 1024 - beside + 1).emit();
    assert_eq!(FromHub::parse(larger), Err(FrameError::TooLong));
}

/// No beginning of a frame is read as the frame, and most are read as none.
fn cut(octets: &Bytes, read: impl Fn(Bytes) -> Result<Option<Bytes>, FrameError>) {
    for end in 0..octets.len() {
        if let Ok(Some(again)) = read(octets.slice(..end)) {
            assert_eq!(again, octets.slice(..end), "another frame in shorter form");
        }
    }
}

/// From, frame, error, why.
const BAD: &[(&str, &str, FrameError, &str)] = &[
    ("member", "", FrameError::Length, "empty"),
    (
        "member",
        "01 01 00000000000000000000000000000000 02 7b7c 0000000000000000 00",
        FrameError::Json,
        "metadata that is no JSON",
    ),
    (
        "member",
        "01 01 00000000000000000000000000000000 02 7b",
        FrameError::Length,
        "metadata that ends too early",
    ),
    (
        "member",
        "01 02",
        FrameError::Version,
        "HELLO of another version",
    ),
    ("member", "05 00", FrameError::Length, "LEAVE with more"),
    (
        "member",
        "06 01020304050607",
        FrameError::Length,
        "PONG of seven octets",
    ),
    ("member", "07", FrameError::Length, "GOT of nothing"),
    ("member", "07 4001", FrameError::Integer, "1 in two octets"),
    (
        "member",
        "07 ffffffffffffffff",
        FrameError::Integer,
        "above 2^53 - 1",
    ),
    (
        "member",
        "02 14 00 00 31",
        FrameError::Flags,
        "a flag that nobody knows",
    ),
    (
        "member",
        "02 0d 00 01 00 31",
        FrameError::Flags,
        "fast, and an answer wanted",
    ),
    (
        "member",
        "02 04 00 01 61 31",
        FrameError::Flags,
        "chat with an event",
    ),
    (
        "member",
        "02 00 00 00 31",
        FrameError::Flags,
        "neither chat nor event",
    ),
    (
        "member",
        "02 04 00 00",
        FrameError::Json,
        "no JSON in nothing",
    ),
    (
        "member",
        "02 04 00 00 31 2c",
        FrameError::Json,
        "something behind the JSON",
    ),
    (
        "member",
        "02 04 00 00 ff",
        FrameError::Text,
        "JSON that is not UTF-8",
    ),
    (
        "member",
        "02 00 00 01 ff 31",
        FrameError::Text,
        "an event that is not UTF-8",
    ),
    (
        "member",
        "02 04 01 00 00 31",
        FrameError::Value,
        "to member 0",
    ),
    (
        "member",
        "02 04 4401",
        FrameError::TooLong,
        "to 1,025 members",
    ),
    (
        "member",
        "03 01 01 04 31",
        FrameError::Flags,
        "ACK with the flags of a message",
    ),
    (
        "member",
        "03 00 01 00 31",
        FrameError::Value,
        "ACK for nobody",
    ),
    ("hub", "", FrameError::Length, "empty"),
    (
        "hub",
        "81 02",
        FrameError::Version,
        "WELCOME of another version",
    ),
    (
        "hub",
        "81 01 0102030405060708 01 04 03 00 00 00 00",
        FrameError::Value,
        "WELCOME, resumed in a fourth way",
    ),
    (
        "hub",
        "82 04 01 06 736572766572 01 30 00",
        FrameError::Name,
        "a member called server",
    ),
    (
        "hub",
        "82 04 01 00 01 30 00",
        FrameError::Name,
        "a member without a name",
    ),
    (
        "hub",
        "82 04 01 01 0a 01 30 00",
        FrameError::Name,
        "a member called by a line's end",
    ),
    (
        "hub",
        "82 04 01 01 62 01 78 00",
        FrameError::Json,
        "metadata x",
    ),
    ("hub", "83 04 00 01", FrameError::Value, "nobody left"),
    (
        "hub",
        "86 00 01 04 00 31",
        FrameError::Flags,
        "no place in the order, and not fast",
    ),
    (
        "hub",
        "86 01 01 0c 00 31",
        FrameError::Flags,
        "fast, and a place in the order",
    ),
    (
        "hub",
        "8c 01 02 01",
        FrameError::Length,
        "fewer members than counted",
    ),
    ("hub", "89 00", FrameError::Length, "PING of one octet"),
];

fn number(number: u64) -> MemberNumber {
    MemberNumber::new(number).expect("as it was written")
}

fn text(text: &str) -> Body {
    Body::Json(Json::parse(text.into()).expect("as it was written"))
}

fn event(name: &str) -> Event {
    Event::parse(name.into()).expect("as it was written")
}

fn octets() -> Body {
    Body::Bytes(Bytes::from_static(&[0, 255, 1]))
}

fn from_members() -> Vec<FromMember> {
    let emit = |to, ack, fast, said| {
        FromMember::Emit(Emit {
            to,
            ack,
            fast,
            said,
        })
    };
    let token: [u8; 16] = std::array::from_fn(|at| at as u8);
    vec![
        FromMember::Hello(Hello {
            token: Token::new(token),
            metadata: Json::NULL,
            epoch: Epoch::default(),
            last: 0,
        }),
        FromMember::Hello(Hello {
            token: Token::new([255; 16]),
            metadata: Json::parse("{\"colour\": \"türkis\"}".into()).expect("as it was written"),
            epoch: Epoch([1, 2, 3, 4, 5, 6, 7, 8]),
            last: 16_384,
        }),
        emit(To::Others, None, false, Said::Chat(text("\"hi\""))),
        emit(To::Others, None, false, Said::Chat(octets())),
        emit(
            To::Others,
            None,
            true,
            Said::Event(event("cursor"), text("{\"x\":1,\"y\":2}")),
        ),
        emit(
            To::Others,
            Some(1),
            false,
            Said::Event(event("Zählen"), text(" [1 ,2]")),
        ),
        emit(
            To::Hub,
            Some(64),
            false,
            Said::Event(event("save"), octets()),
        ),
        emit(
            To::Members([1, 70, 16_400].map(number).into()),
            None,
            false,
            Said::Event(event("draw"), Body::Bytes(Bytes::new())),
        ),
        emit(
            To::Members([INTEGER_MAX].map(number).into()),
            Some(INTEGER_MAX),
            false,
            Said::Chat(text("null")),
        ),
        FromMember::Ack(Answer {
            to: number(2),
            ack: 1,
            body: text("true"),
        }),
        FromMember::Ack(Answer {
            to: number(300),
            ack: 0,
            body: octets(),
        }),
        FromMember::Metadata(Json::parse("{\"name\":\"Bob\"}".into()).expect("as it was written")),
        FromMember::Leave,
        FromMember::Pong([0, 1, 2, 3, 4, 5, 6, 7]),
        FromMember::Got(1_073_741_824),
    ]
}

fn from_hubs() -> Vec<FromHub> {
    let entry = |at: u64, name: &str, metadata: &str| Entry {
        number: number(at),
        name: Name::parse(name).expect("as it was written"),
        metadata: Json::parse(metadata.into()).expect("as it was written"),
        joined: 1_795_204_884_188,
    };
    let epoch = Epoch([1, 2, 3, 4, 5, 6, 7, 8]);
    let mut frames = vec![
        FromHub::Welcome(Welcome {
            epoch,
            you: number(1),
            seq: 2,
            resumed: Resumed::New,
            heard: 0,
            host: Some(number(1)),
            total: 1,
            members: vec![entry(1, "alice", "null")],
        }),
        FromHub::Welcome(Welcome {
            epoch,
            you: number(7),
            seq: 90,
            resumed: Resumed::Whole,
            heard: 64,
            host: None,
            total: 0,
            members: vec![],
        }),
        FromHub::Welcome(Welcome {
            epoch,
            you: number(3),
            seq: 70_000,
            resumed: Resumed::Missed,
            heard: 1,
            host: Some(number(2)),
            total: 3,
            members: vec![entry(2, "Zoë \"\\", "{\"a\":[]}"), entry(3, "carol", "7")],
        }),
        FromHub::Members(Members(vec![entry(4, "日本語", "\"x\"")])),
        FromHub::Members(Members(vec![])),
        FromHub::Joined {
            seq: 3,
            member: entry(2, "bob", "{\"userAgent\":\"x\"}"),
        },
        FromHub::Host {
            seq: 5,
            member: Some(number(2)),
        },
        FromHub::Host {
            seq: 6,
            member: None,
        },
        FromHub::Metadata {
            seq: 7,
            member: number(2),
            metadata: Json::NULL,
        },
        FromHub::Message(Message {
            seq: 8,
            from: Some(number(2)),
            ack: None,
            said: Said::Chat(text("\"hi\"")),
        }),
        FromHub::Message(Message {
            seq: 9,
            from: None,
            ack: None,
            said: Said::Event(event("notice"), text("{}")),
        }),
        FromHub::Message(Message {
            seq: 10,
            from: Some(number(2)),
            ack: Some(1),
            said: Said::Event(event("count"), octets()),
        }),
        FromHub::Message(Message {
            seq: 0,
            from: Some(number(2)),
            ack: None,
            said: Said::Event(event("cursor"), text("{\"x\":1,\"y\":2}")),
        }),
        FromHub::Ack(Answered {
            ack: 1,
            from: Some(number(2)),
            body: text("true"),
        }),
        FromHub::Ack(Answered {
            ack: 64,
            from: None,
            body: text("null"),
        }),
        FromHub::Ack(Answered {
            ack: 65,
            from: Some(number(2)),
            body: octets(),
        }),
        FromHub::Asked {
            ack: 1,
            members: vec![],
        },
        FromHub::Asked {
            ack: 2,
            members: vec![number(2), number(300)],
        },
        FromHub::Heard(32),
        FromHub::Ping([7, 6, 5, 4, 3, 2, 1, 0]),
    ];
    frames.extend(LeftReason::ALL.map(|reason| FromHub::Left {
        seq: 4,
        member: number(1),
        reason,
    }));
    frames.extend(UnackedReason::ALL.map(|reason| FromHub::Unacked {
        ack: 3,
        from: (reason != UnackedReason::Dropped).then(|| number(2)),
        reason,
    }));
    frames.extend(RefusedCode::ALL.map(FromHub::Refused));
    frames
}

fn member_frame(frame: &FromMember) -> Value {
    match frame {
        FromMember::Hello(it) => json!({
            "type": "hello", "token": hex(it.token.expose()), "metadata": it.metadata.as_str(), "epoch": hex(&it.epoch.0), "last": it.last,
        }),
        FromMember::Emit(it) => {
            let to = match &it.to {
                To::Others => json!("others"),
                To::Hub => json!("hub"),
                To::Members(members) => members.iter().map(|it| it.get()).collect(),
            };
            let mut json = json!({"type": "emit", "to": to, "ack": it.ack, "fast": it.fast});
            said(&mut json, &it.said);
            json
        }
        FromMember::Ack(it) => {
            let mut json = json!({"type": "ack", "member": it.to.get(), "ack": it.ack});
            body(&mut json, &it.body);
            json
        }
        FromMember::Metadata(it) => json!({"type": "metadata", "metadata": it.as_str()}),
        FromMember::Leave => json!({"type": "leave"}),
        FromMember::Pong(octets) => json!({"type": "pong", "octets": hex(octets)}),
        FromMember::Got(seq) => json!({"type": "got", "seq": seq}),
    }
}

fn hub_frame(frame: &FromHub) -> Value {
    let entry = |it: &Entry| json!({"number": it.number.get(), "name": it.name.as_str(), "metadata": it.metadata.as_str(), "joined": it.joined});
    let entries = |them: &[Entry]| them.iter().map(entry).collect::<Value>();
    let maybe = |member: &Option<MemberNumber>| member.map(MemberNumber::get);
    match frame {
        FromHub::Welcome(it) => json!({
            "type": "welcome", "epoch": hex(&it.epoch.0), "you": it.you.get(), "seq": it.seq,
            "resumed": match it.resumed { Resumed::New => "new", Resumed::Whole => "whole", Resumed::Missed => "missed" }, "heard": it.heard,
            "host": maybe(&it.host), "total": it.total, "members": entries(&it.members),
        }),
        FromHub::Members(Members(them)) => json!({"type": "members", "members": entries(them)}),
        FromHub::Joined { seq, member } => {
            json!({"type": "joined", "seq": seq, "member": entry(member)})
        }
        FromHub::Left {
            seq,
            member,
            reason,
        } => {
            json!({"type": "left", "seq": seq, "member": member.get(), "reason": reason.name()})
        }
        FromHub::Host { seq, member } => {
            json!({"type": "host", "seq": seq, "member": maybe(member)})
        }
        FromHub::Metadata {
            seq,
            member,
            metadata,
        } => {
            json!({"type": "metadata", "seq": seq, "member": member.get(), "metadata": metadata.as_str()})
        }
        FromHub::Message(it) => {
            let mut json =
                json!({"type": "message", "seq": it.seq, "from": maybe(&it.from), "ack": it.ack});
            said(&mut json, &it.said);
            json
        }
        FromHub::Ack(it) => {
            let mut json = json!({"type": "ack", "ack": it.ack, "from": maybe(&it.from)});
            body(&mut json, &it.body);
            json
        }
        FromHub::Unacked { ack, from, reason } => {
            json!({"type": "unacked", "ack": ack, "from": maybe(from), "reason": reason.name()})
        }
        FromHub::Asked { ack, members } => {
            json!({"type": "asked", "ack": ack, "members": members.iter().map(|it| it.get()).collect::<Vec<_>>()})
        }
        FromHub::Heard(count) => json!({"type": "heard", "count": count}),
        FromHub::Ping(octets) => json!({"type": "ping", "octets": hex(octets)}),
        FromHub::Refused(code) => json!({"type": "refused", "code": code.name()}),
    }
}

fn said(json: &mut Value, said: &Said) {
    json["event"] = json!(said.event().map(Event::as_str));
    body(json, said.body());
}

fn body(json: &mut Value, body: &Body) {
    match body {
        Body::Json(it) => json["json"] = json!(it.as_str()),
        Body::Bytes(it) => json["bytes"] = json!(hex(it)),
    }
}

fn name_of(error: FrameError) -> &'static str {
    match error {
        FrameError::Length => "length",
        FrameError::TooLong => "too-long",
        FrameError::Integer => "integer",
        FrameError::Text => "text",
        FrameError::Json => "json",
        FrameError::Name => "name",
        FrameError::Flags => "flags",
        FrameError::Value => "value",
        FrameError::Version => "version",
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<_> = text.bytes().filter(|it| *it != b' ').collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(str::from_utf8(pair).expect("as it was written"), 16)
                .expect("as it was written")
        })
        .collect()
}
