//! Whatever a peer sends, and whatever the shell does meanwhile: no panic, and nothing without bound.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::script::{get, http, of, websocket};
use crate::http::{Config, End, ExchangeId, Framing, Role, Session};
use crate::wire::http::{Frame, Head, Hello, ResetCode};

#[derive(Debug, Clone)]
enum Step {
    Raw(Vec<u8>),
    Frame(Frame),
    Open(u8),
    Respond(u8, u16, bool),
    Write(u8, usize, bool),
    Finish(u8, u8),
    Read(u8, usize),
    Discard(u8),
    Reset(u8),
    Drain,
    Wait(u64),
    Transmit,
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 1u32..12;
    let bytes = proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let block = prop_oneof![
        Just(Head::Request(get("/"))),
        Just(Head::Request(http("HEAD", "/", &[]))),
        Just(Head::Request(http("PUT", "/", &[("content-length", "10")]))),
        Just(Head::Request(websocket("/"))),
        Just(Head::Response {
            status: 200,
            fields: of(&[("content-length", "10")])
        }),
        Just(Head::Response {
            status: 101,
            fields: of(&[])
        }),
        Just(Head::Interim {
            status: 103,
            fields: of(&[])
        }),
        Just(Head::Trailers(of(&[]))),
    ];
    let block = block.prop_map(|head| head.emit().expect("a good head"));
    let flags = any::<[bool; 3]>();
    prop_oneof![
        (id.clone(), flags, block, 0usize..40).prop_map(|(id, [end, more, cut], block, at)| {
            let at = if cut {
                at.min(block.len())
            } else {
                block.len()
            };
            Frame::Head {
                id,
                end,
                more: more && cut,
                block: block.slice(..at),
            }
        }),
        (id.clone(), flags, bytes).prop_map(|(id, [end, fin, text], bytes)| Frame::Data {
            id,
            end,
            fin,
            text,
            bytes
        }),
        (id.clone(), 0u32..100_000).prop_map(|(id, octets)| Frame::Credit { id, octets }),
        (id, 0u16..14).prop_map(|(id, code)| Frame::Reset {
            id,
            code: ResetCode::from_number(code)
        }),
        (0u32..8).prop_map(|highest| Frame::Drain { highest }),
        any::<[u8; 8]>().prop_map(Frame::Ping),
        any::<[u8; 8]>().prop_map(Frame::Pong),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1u8..12;
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Raw),
        12 => frame().prop_map(Step::Frame),
        2 => (0u8..4).prop_map(Step::Open),
        2 => (id.clone(), prop_oneof![Just(101u16), Just(200), Just(204)], any::<bool>()).prop_map(|(id, status, end)| Step::Respond(id, status, end)),
        2 => (id.clone(), 0usize..100_000, any::<bool>()).prop_map(|(id, octets, messages)| Step::Write(id, octets, messages)),
        1 => (id.clone(), 0u8..3).prop_map(|(id, end)| Step::Finish(id, end)),
        2 => (id.clone(), 0usize..50).prop_map(|(id, max)| Step::Read(id, max)),
        1 => id.clone().prop_map(Step::Discard),
        1 => id.prop_map(Step::Reset),
        1 => Just(Step::Drain),
        1 => (0u64..40).prop_map(Step::Wait),
        3 => Just(Step::Transmit),
    ]
}

fn play(caller: bool, steps: Vec<Step>) {
    let mut now = crate::sim::epoch();
    let role = if caller { Role::Caller } else { Role::Callee };
    let mut session = Session::new(
        role,
        Config {
            websocket: true,
            ..Config::default()
        },
        now,
    );
    receive(
        &mut session,
        &Frame::Hello(Hello {
            websocket: true,
            ..Hello::default()
        }),
        now,
    );
    for step in steps {
        match step {
            Step::Raw(octets) => session.handle_message(octets.into(), now),
            Step::Frame(frame) => receive(&mut session, &frame, now),
            Step::Open(kind) => {
                let request = [
                    get("/"),
                    http("PUT", "/", &[("content-length", "10")]),
                    websocket("/"),
                    http("HEAD", "/", &[]),
                ];
                let _ = session.open(request[usize::from(kind)].clone(), kind % 2 == 1, now);
            }
            Step::Respond(id, status, end) => {
                let _ = session.respond(ExchangeId(id.into()), status, of(&[]), end);
            }
            Step::Write(id, octets, messages) => {
                let framing = if messages {
                    Framing::Message {
                        text: false,
                        fin: octets % 2 == 0,
                    }
                } else {
                    Framing::Stream
                };
                let _ = session.write(
                    ExchangeId(id.into()),
                    &mut Bytes::from(vec![0; octets]),
                    framing,
                );
            }
            Step::Finish(id, end) => {
                let end = [End::Plain, End::Trailers(of(&[])), End::Close(Bytes::new())]
                    [usize::from(end)]
                .clone();
                let _ = session.finish(ExchangeId(id.into()), end);
            }
            Step::Read(id, max) => {
                let _ = session.read(ExchangeId(id.into()), max);
            }
            Step::Discard(id) => session.discard(ExchangeId(id.into())),
            Step::Reset(id) => session.reset(ExchangeId(id.into()), ResetCode::Cancelled),
            Step::Drain => session.drain(),
            Step::Wait(secs) => {
                now += Duration::from_secs(secs);
                session.handle_timeout(now);
            }
            Step::Transmit => while session.poll_transmit().is_some() {},
        }
        while session.poll_event().is_some() {}
    }
    let ids: Vec<_> = (1..12).map(ExchangeId).collect();
    ids.into_iter()
        .for_each(|id| session.reset(id, ResetCode::Cancelled));
    if session.live() == 0 && session.closed().is_none() {
        assert_eq!(
            session.holdings(),
            (crate::http::GROWTH, 0, 0),
            "everything was given back"
        );
    }
}

fn receive(session: &mut Session, frame: &Frame, now: Instant) {
    let mut message = BytesMut::new();
    frame.emit(&mut message);
    session.handle_message(message.freeze(), now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_frames_and_commands_panics_or_leaks(caller: bool, steps in proptest::collection::vec(step(), 0..80)) {
        play(caller, steps);
    }
}
