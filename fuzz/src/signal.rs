//! Frames of the signalling socket, their payloads, and the router between hostile clients.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::signal::{Config, ConnId, Departure, Hello, Input, Output, Router};
use peerage_proto::wire::signal::{AnswerPayload, CandidatePayload, Frame, FrameRef, OfferPayload};
use peerage_proto::wire::socket_query::SocketQuery;
use peerage_proto::wire::statement::Time;

use crate::script::{Script, epoch};

/// A message of the signalling socket, with whatever payload it has.
pub fn signal_frame(octets: &[u8]) {
    let Ok(frame) = Frame::parse(octets) else {
        return;
    };
    if let Some(payload) = &frame.payload {
        if let Ok(offer) = OfferPayload::parse(payload) {
            assert!(OfferPayload::parse(&offer.to_raw()).is_ok());
        }
        let _ = AnswerPayload::parse(payload);
        let _ = CandidatePayload::parse(payload);
    }
    let _ = peerage_proto::link::Signal::parse(&frame);
}

/// Clients of a server that say anything, in any order. Nothing is sent to a socket that is closed.
pub fn router(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let config = Config {
        peers: 4,
        waiting_messages: 3,
        watched: 2,
        watchers: 2,
        ..Config::default()
    };
    let mut router = Router::new(config, Arc::default());
    let mut open = BTreeSet::new();
    let mut opened = 0;
    while !script.is_empty() {
        match script.u8() % 8 {
            0 | 1 => {
                let names = [
                    "a",
                    "b",
                    "c",
                    "",
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ];
                let (id, token) = (script.u8(), script.u8());
                let hello = Hello {
                    key: "peerjs",
                    id: names[usize::from(id) % names.len()],
                    token: names[usize::from(token) % 3],
                    proof: script.text(),
                    hold: Duration::from_secs((script.u8() % 3).into()),
                    visible: script.u8() % 2 == 0,
                    hosts: &["localhost"],
                    at: Time(0),
                };
                open.insert(ConnId(opened));
                router.handle_input(Input::Opened(ConnId(opened), hello), now);
                opened += 1;
            }
            2 => {
                let conn = ConnId(script.u8().into());
                open.remove(&conn);
                let departure = if script.u8() % 2 == 0 {
                    Departure::Clean
                } else {
                    Departure::Lost
                };
                router.handle_input(Input::Closed(conn, departure), now);
            }
            3 => {
                now += Duration::from_millis(script.u16().into());
                router.handle_timeout(now);
            }
            4 | 5 => {
                let kind = [
                    "OFFER",
                    "ANSWER",
                    "CANDIDATE",
                    "LEAVE",
                    "EXPIRE",
                    "HEARTBEAT",
                    "SUBSCRIBE",
                    "UNSUBSCRIBE",
                ][usize::from(script.u8() % 8)];
                let dst = ["a", "b", "c"][usize::from(script.u8() % 3)];
                let text = format!(r#"{{"type":"{kind}","dst":"{dst}","payload":{{}}}}"#);
                say(&mut router, script.u8(), text.as_bytes(), now);
            }
            _ => {
                let conn = script.u8();
                say(&mut router, conn, script.long(), now);
            }
        }
        while let Some(output) = router.poll_output() {
            match output {
                Output::Send(conn, text) => {
                    assert!(open.contains(&conn), "nothing is sent to a closed socket");
                    assert!(
                        Frame::parse(text.as_bytes()).is_ok(),
                        "what is sent is a frame"
                    );
                }
                Output::Close(conn, _) => assert!(open.remove(&conn), "a socket is closed once"),
                Output::Route(routed) => router.handle_input(Input::Routed(routed), now),
                Output::Came(_) | Output::Went(_) => {}
            }
        }
        assert!(router.peers().count() <= 4, "more ids are held than may be");
    }
}

fn say(router: &mut Router, conn: u8, octets: &[u8], now: Instant) {
    let conn = ConnId(conn.into());
    let input = match FrameRef::parse(octets) {
        Ok(frame) => Input::Received(conn, frame),
        Err(_) => Input::Beat(conn),
    };
    router.handle_input(input, now);
}

/// What stands behind the `?` of a socket's URL.
pub fn socket_query(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let query = SocketQuery::parse(text);
    // Three characters of the text for each of what it can mean.
    assert!(query.id.len() <= text.len() * 3 && query.token.len() <= text.len() * 3);
}
