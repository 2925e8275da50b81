//! Frames of rooms, old clients' texts, and the machines of both ends between hostile others.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use peerage_proto::room::Told as RoomTold;
use peerage_proto::room::member::{self, Member, Target, Told};
use peerage_proto::room::{
    Closed, Config, ConnKey, Kind, Output, Payload, Room, SendTo, Tap, Ticket, Verdict, Way,
};
use peerage_proto::wire::room::legacy::{self, Heard};
use peerage_proto::wire::room::{
    Body, Emit, Epoch, Event, FROM_HUB_MAX, FROM_MEMBER_MAX, FromHub, FromMember, Hello, Json,
    MemberNumber, Name, Said, To, Token,
};
use serde_json::Value;

use crate::script::Script;

const START: Duration = Duration::from_secs(1_795_000_000);

/// A frame of either side: what was read and written is the same.
pub fn room_frames(octets: &[u8]) {
    let Some((side, octets)) = octets.split_first() else {
        return;
    };
    let octets = Bytes::copy_from_slice(octets);
    if side % 2 == 0 {
        if let Ok(Some(frame)) = FromMember::parse(octets.clone(), FROM_MEMBER_MAX) {
            assert_eq!(frame.emit(), octets);
        }
    } else if let Ok(Some(frame)) = FromHub::parse(octets.clone()) {
        // Numbers of a later version are read as others.
        match frame {
            FromHub::Refused(_) | FromHub::Left { .. } | FromHub::Unacked { .. } => {}
            frame => assert_eq!(frame.emit(), octets),
        }
    }
}

/// A text of an old client: who names another is refused, as another reader of JSON sees it; what is made of it is JSON.
pub fn room_legacy(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    let own = Name::parse("alice").expect("a name");
    let heard = Heard::parse(&ByteString::from(text), &own);
    if let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) {
        let is_own = match object.get("peer_id") {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::String(id)) => id.is_empty() || id == "alice",
            Some(Value::Number(number)) => number.as_f64() == Some(0.0),
            Some(_) => false,
        };
        let is_refused = matches!(heard, Heard::Refused(legacy::Refused::Forged));
        assert_eq!(is_refused, !is_own, "{text}");
    }
    let made = match heard {
        Heard::Chat(message) => legacy::chat("a\"b", &message),
        Heard::Event { event, data, .. } => legacy::event("a\"b", &event, &data, 1),
        Heard::Join { metadata, .. } => legacy::join_again("a\"b", &metadata, 1),
        Heard::Value(json) => legacy::join("a\"b", &json, 1),
        _ => return,
    };
    assert!(Json::parse(made).is_some());
}

fn said(script: &mut Script<'_>) -> Said {
    let body = match script.u8() % 2 {
        0 => Body::Bytes(Bytes::copy_from_slice(script.octets())),
        _ => Body::Json(Json::string(&String::from_utf8_lossy(script.octets()))),
    };
    match Event::parse(ByteString::from(
        ["", "e", "joined"][usize::from(script.u8() % 3)],
    )) {
        Some(event) => Said::Event(event, body),
        None => Said::Chat(body),
    }
}

fn number(script: &mut Script<'_>) -> MemberNumber {
    MemberNumber::new(1 + u64::from(script.u8() % 8)).expect("from 1")
}

/// What a member says: a frame that is right in form, or anything.
fn frame(script: &mut Script<'_>) -> Payload {
    let frame = match script.u8() % 10 {
        0 => FromMember::Hello(Hello {
            token: Token::new([script.u8() % 3; 16]),
            metadata: Json::string(&"x".repeat(script.u8().into())),
            epoch: Epoch([script.u8() % 2; 8]),
            last: script.u8().into(),
        }),
        1..=4 => FromMember::Emit(Emit {
            to: match script.u8() % 4 {
                0 => To::Hub,
                1 => To::Members((0..1 + script.u8() % 3).map(|_| number(script)).collect()),
                _ => To::Others,
            },
            ack: (script.u8() % 2 == 0).then(|| u64::from(script.u8() % 8)),
            fast: false,
            said: said(script),
        }),
        5 => FromMember::Ack(peerage_proto::wire::room::Answer {
            to: number(script),
            ack: u64::from(script.u8() % 8),
            body: Body::Json(Json::NULL),
        }),
        6 => FromMember::Metadata(Json::string(&String::from_utf8_lossy(script.octets()))),
        7 => FromMember::Got(script.u16().into()),
        8 => return Payload::Bytes(Bytes::copy_from_slice(script.long())),
        _ => match script.u8() % 4 {
            0 => FromMember::Leave,
            _ => return Payload::Text(script.text().into()),
        },
    };
    Payload::Bytes(frame.emit())
}

/// Members of a room that say anything, in any order. Nothing is sent to a connection that is closed, each is closed once, one host is there whenever somebody is,
/// and when all have gone nothing is left.
pub fn room_inputs(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = START;
    let config = Config {
        members: 4,
        metadata: 600,
        kept_messages: 5,
        acks: 2,
        pending_messages: 3,
        barred: 2,
        tap: [Tap::Nothing, Tap::Tell, Tap::Moderate][usize::from(script.u8() % 3)],
        ..Config::default()
    };
    let mut room = Room::new(config, Epoch([1; 8]));
    let names = ["a", "b", "c", "d"].map(|name| Name::parse(name).expect("a name"));
    let (mut open, mut opened) = (BTreeSet::new(), 0);
    let mut tickets: Vec<Ticket> = Vec::new();
    let mut is_shut = false;
    while !script.is_empty() {
        let conn = ConnKey(u64::from(script.u8() % 16));
        let name = &names[usize::from(script.u8() % 4)];
        match script.u8() % 16 {
            0..=2 => {
                let kind = [Kind::Native, Kind::Legacy][usize::from(script.u8() % 2)];
                open.insert(ConnKey(opened));
                room.handle_opened(ConnKey(opened), name.clone(), kind, now);
                opened += 1;
            }
            3 => {
                let why = [Closed::Left, Closed::Ended, Closed::Lost, Closed::Slow];
                open.remove(&conn);
                room.handle_closed(conn, why[usize::from(script.u8() % 4)], now);
            }
            4 => {
                now += Duration::from_millis(u64::from(script.u16()) * 4);
                room.handle_timeout(now);
            }
            5 => room.handle_suspected(conn, script.u8() % 2 == 0),
            6 => {
                room.handle_kick(name, now);
            }
            7 => {
                let to = [SendTo::All, SendTo::One(name), SendTo::AllBut(name)];
                let to = to[usize::from(script.u8() % 3)];
                let said = said(&mut script);
                assert!(room.handle_send(to, said, now) <= room.len());
            }
            8 if !tickets.is_empty() => {
                let ticket = tickets[usize::from(script.u8()) % tickets.len()];
                let verdict = match script.u8() % 3 {
                    0 => Verdict::Drop,
                    1 => Verdict::Replace(Body::Json(Json::NULL)),
                    _ => Verdict::Relay,
                };
                room.handle_verdict(ticket, verdict, now);
            }
            9 if script.u8() == 0 => {
                is_shut = true;
                room.handle_shutdown(now);
            }
            11 => {
                let token = Token::new([script.u8() % 3; 16]);
                let is_gone = room.handle_goodbye(name, &token, now);
                // What waits for verdicts comes before.
                if is_gone && !tickets.iter().any(|it| room.awaits(*it)) {
                    assert!(room.members().all(|it| it.name != name));
                }
            }
            it => {
                let payload = frame(&mut script);
                let way = if it == 10 { Way::Fast } else { Way::Reliable };
                room.handle_message(conn, payload, way, now);
            }
        }
        drain(&mut room, &mut open, &mut tickets);
        assert!(room.len() <= 4);
        assert_eq!(room.host().is_some(), !room.is_empty());
        assert!(room.members().filter(|it| it.is_host).count() == usize::from(!room.is_empty()));
        assert!(!is_shut || room.is_over());
    }
    while let Some(conn) = open.pop_first() {
        room.handle_closed(conn, Closed::Lost, now);
        drain(&mut room, &mut open, &mut tickets);
    }
    for _ in 0..100 {
        drain(&mut room, &mut open, &mut tickets);
        let Some(due) = room.poll_timeout() else {
            break;
        };
        assert!(
            due <= now + Duration::from_secs(120),
            "nothing takes so long"
        );
        now = now.max(due);
        room.handle_timeout(now);
        assert!(
            room.poll_timeout().is_none_or(|next| next > now),
            "time moves on"
        );
    }
    assert!(
        room.is_over(),
        "{room:?}, due {:?}",
        room.poll_timeout().map(|due| due.saturating_sub(now))
    );
    assert_eq!(room.poll_timeout(), None);
}

fn drain(room: &mut Room, open: &mut BTreeSet<ConnKey>, tickets: &mut Vec<Ticket>) {
    while let Some(output) = room.poll_output() {
        match output {
            Output::Send { to, payload, .. } => {
                let mut before = BTreeSet::new();
                for conn in to.iter() {
                    assert!(open.contains(&conn), "{conn:?} is closed");
                    assert!(before.insert(conn), "once each");
                }
                assert!(!before.is_empty());
                if let Payload::Bytes(bytes) = &payload {
                    assert!(bytes.len() <= FROM_HUB_MAX);
                }
            }
            Output::Close { conn, .. } => assert!(open.remove(&conn), "closed once"),
            Output::Told(RoomTold::Message(incoming)) => tickets.extend(incoming.ticket),
            Output::Told(_) => {}
        }
    }
}

/// A hub that says anything to a member whose application says anything. Nobody is heard who is not there; answers come once.
pub fn room_member(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = START;
    let mut config = member::Config::new(Token::new([1; 16]), Json::NULL);
    config.kept_messages = 8;
    config.asks = 3;
    let mut member = Member::new(config);
    let mut asked = BTreeSet::new();
    let mut questions = Vec::new();
    let (name, text) = (Name::parse("b").expect("a name"), || {
        Said::Chat(Body::Json(Json::NULL))
    });
    while !script.is_empty() {
        match script.u8() % 12 {
            0 => member.handle_opened(now),
            1 => member.handle_closed(),
            2 => {
                now += Duration::from_millis(script.u16().into());
                member.handle_timeout(now);
            }
            3 => {
                let to = [
                    Target::Others,
                    Target::Hub,
                    Target::Members(std::slice::from_ref(&name)),
                ];
                let fast = script.u8() % 2 == 0;
                let _ = member.handle_emit(to[usize::from(script.u8() % 3)], text(), fast, now);
            }
            4 => {
                let within = Duration::from_millis(script.u16().into());
                if let Ok(id) = member.handle_ask(Target::Others, text(), within, now) {
                    asked.insert(id);
                }
            }
            5 => {
                if let Some(question) = questions.pop() {
                    let _ = member.handle_answer(question, Body::Json(Json::NULL), now);
                }
            }
            6 => {
                let _ = member.handle_metadata(Json::string(script.text()), now);
            }
            7 if script.u8() == 0 => member.handle_leave(now),
            it => {
                let way = if it == 8 { Way::Fast } else { Way::Reliable };
                member.handle_message(Bytes::copy_from_slice(script.octets()), way, now);
            }
        }
        while let Some(output) = member.poll_output() {
            match output {
                member::Output::Send { frame, .. } => {
                    assert!(matches!(
                        FromMember::parse(frame, FROM_MEMBER_MAX),
                        Ok(Some(_))
                    ));
                }
                member::Output::Told(Told::Answers(answers)) => {
                    assert!(asked.remove(&answers.id), "once");
                }
                member::Output::Told(Told::Message { question, .. }) => questions.extend(question),
                _ => {}
            }
        }
        assert!(asked.len() <= 3);
        assert!(member.me().is_some() || member.members().next().is_none());
    }
    // Whatever is asked has an end.
    now += Duration::from_secs(100);
    member.handle_timeout(now);
    while let Some(output) = member.poll_output() {
        if let member::Output::Told(Told::Answers(answers)) = output {
            assert!(asked.remove(&answers.id));
        }
    }
    assert!(asked.is_empty());
}
