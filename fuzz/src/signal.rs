//! Frames of the signalling socket, their payloads, and the router between hostile clients.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_proto::signal::{Config, ConnId, Hello, Input, Output, Router};
use peerage_proto::wire::signal::{AnswerPayload, CandidatePayload, Frame, OfferPayload};
use peerage_proto::wire::statement::Time;
use rand::{SeedableRng, rngs::StdRng};

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
        ..Config::default()
    };
    let mut router = Router::new(config, StdRng::seed_from_u64(1));
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
                router.handle_input(Input::Closed(conn), now);
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
                ][usize::from(script.u8() % 6)];
                let dst = ["a", "b", "c"][usize::from(script.u8() % 3)];
                let text = format!(r#"{{"type":"{kind}","dst":"{dst}","payload":{{}}}}"#);
                router.handle_input(
                    Input::Received(ConnId(script.u8().into()), text.as_bytes()),
                    now,
                );
            }
            _ => {
                let conn = ConnId(script.u8().into());
                router.handle_input(Input::Received(conn, script.long()), now);
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
            }
        }
    }
}
