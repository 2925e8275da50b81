//! What a session promises its shell and the machine it runs on. (What it promises its peer stands in the transcripts.)

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::script::{data, get, http, of, websocket, whole};
use crate::http::{
    CloseReason, Config, End, Event, ExchangeId, Framing, GROWTH, Incoming, OpenError, Role,
    SEND_QUEUE, SendError, Session,
};
use crate::wire::http::{DATA_MAX, Frame, Frames, Head, Hello, Request, ResetCode};

/// A session whose peer is the test.
struct Table {
    session: Session,
    now: Instant,
}

impl Table {
    fn new(role: Role) -> Self {
        let now = crate::sim::epoch();
        let mut session = Session::new(
            role,
            Config {
                websocket: true,
                ..Config::default()
            },
            now,
        );
        while session.poll_transmit().is_some() {}
        let mut table = Self { session, now };
        table.receive(Frame::Hello(Hello {
            websocket: true,
            ..Hello::default()
        }));
        assert!(matches!(table.events()[..], [Event::Hello(_)]));
        table
    }

    fn receive(&mut self, frame: Frame) {
        let mut message = BytesMut::new();
        frame.emit(&mut message);
        self.session.handle_message(message.freeze(), self.now);
    }

    fn request(&mut self, id: u32, request: Request, end: bool) -> ExchangeId {
        self.receive(whole(id, Head::Request(request), end));
        ExchangeId(id)
    }

    fn open(&mut self, request: Request, end: bool) -> Result<ExchangeId, OpenError> {
        self.session.open(request, end, self.now)
    }

    fn respond(&mut self, id: ExchangeId) {
        self.session
            .respond(id, 200, of(&[]), false)
            .expect("a response may be sent");
    }

    fn write(&mut self, id: ExchangeId, octets: usize) -> usize {
        let mut bytes = Bytes::from(vec![0; octets]);
        let all = self
            .session
            .write(id, &mut bytes, Framing::Stream)
            .expect("a body may be written");
        assert_eq!(all, bytes.is_empty());
        octets - bytes.len()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn sent(&mut self) -> Vec<Frame> {
        let messages: Vec<_> = std::iter::from_fn(|| self.session.poll_transmit()).collect();
        let frames = messages
            .into_iter()
            .flat_map(|message| Frames::new(message).expect("not empty"));
        frames.map(|frame| frame.expect("well-formed")).collect()
    }

    /// What the peer may send more than the first window, by what was granted just now.
    fn granted(&mut self) -> u64 {
        let octets = |frame| {
            if let Frame::Credit { octets, .. } = frame {
                u64::from(octets)
            } else {
                0
            }
        };
        self.sent().into_iter().map(octets).sum()
    }
}

#[test]
fn windows_grow_to_one_mebibyte_and_by_no_more_than_the_links_pool() {
    let mut t = Table::new(Role::Callee);
    let mut grown = Vec::new();
    for n in 0..40 {
        let id = t.request(2 * n + 1, http("PUT", "/", &[]), false);
        let (mut read, mut granted) = (0, 0);
        // More than one needs to grow to the end, by reading 64, 128, 256 and 512 KiB.
        while read < 1 << 20 {
            t.receive(data(id.number(), vec![0; 16_000], false));
            assert!(matches!(
                t.session.read(id, usize::MAX),
                Ok(Some(Incoming::Data { .. }))
            ));
            read += 16_000;
            granted += t.granted();
        }
        grown.push((granted as i64 - read as i64).max(0) / 65_536);
    }
    let whole = ((1 << 20) - 65_536) / 65_536 - 1;
    assert!(grown.iter().all(|grown| *grown <= whole + 1), "{grown:?}");
    assert!(
        grown[..30].iter().all(|grown| *grown >= whole - 2),
        "{grown:?}"
    );
    assert_eq!(grown[36..], [0; 4], "the pool is empty");
    assert!(t.session.holdings().0 < 65_536);
    for n in 0..40 {
        t.receive(Frame::Reset {
            id: 2 * n + 1,
            code: ResetCode::Cancelled,
        });
    }
    assert_eq!(
        t.session.holdings(),
        (GROWTH, 0, 0),
        "what ended gave back what it had grown"
    );
}

#[test]
fn a_stalled_download_does_not_hold_up_another() {
    let mut t = Table::new(Role::Callee);
    let slow = t.request(1, get("/slow"), true);
    t.respond(slow);
    assert_eq!(t.write(slow, 65_536), SEND_QUEUE);
    t.sent();
    // Its credit is used up, and its queue fills.
    assert_eq!(t.write(slow, 65_536), SEND_QUEUE);
    let quick = t.request(3, get("/quick"), true);
    t.respond(quick);
    t.write(quick, 10);
    t.session
        .finish(quick, End::Plain)
        .expect("the body may end");
    let sent = t.sent();
    assert!(matches!(
        sent[..],
        [
            Frame::Head { id: 3, .. },
            Frame::Data { id: 3, .. },
            Frame::Data {
                id: 3,
                end: true,
                ..
            }
        ]
    ));
}

#[test]
fn bulk_and_small_exchanges_take_turns() {
    let mut t = Table::new(Role::Callee);
    for n in 0..4 {
        let id = t.request(2 * n + 1, get("/"), true);
        t.respond(id);
        t.write(id, 50_000);
    }
    let order: Vec<_> = t
        .sent()
        .iter()
        .filter_map(|frame| {
            if let Frame::Data { id, .. } = frame {
                Some(*id)
            } else {
                None
            }
        })
        .collect();
    for turn in order[..12].windows(4) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, [1, 3, 5, 7], "each once before any twice: {order:?}");
    }
}

#[test]
fn a_writer_is_refused_beyond_its_queue_and_told_once_when_there_is_room() {
    let mut t = Table::new(Role::Caller);
    let id = t.open(http("PUT", "/", &[]), false).expect("room");
    assert_eq!(t.write(id, 100_000), SEND_QUEUE);
    assert_eq!(t.session.writable(id), 0);
    assert_eq!(t.write(id, 1), 0);
    assert!(t.events().is_empty());
    t.sent();
    assert_eq!(t.events(), [Event::Writable { id }]);
    assert_eq!(t.session.writable(id), SEND_QUEUE);
    t.sent();
    assert!(t.events().is_empty());
}

#[test]
fn tiny_writes_are_bounded_too() {
    let mut t = Table::new(Role::Caller);
    let id = t.open(http("PUT", "/", &[]), false).expect("room");
    let written = std::iter::repeat_with(|| t.write(id, 1))
        .take_while(|written| *written == 1)
        .count();
    assert!(written < 2_000, "{written}");
}

#[test]
fn a_reader_is_woken_once_and_reads_pieces_as_small_as_it_likes() {
    let mut t = Table::new(Role::Callee);
    let id = t.request(1, http("PUT", "/", &[]), false);
    t.events();
    t.receive(data(1, "hello", false));
    t.receive(data(1, " world", true));
    assert_eq!(t.events(), [Event::Readable { id }]);
    let mut read = Vec::new();
    while let Some(Incoming::Data { bytes, .. }) = t.session.read(id, 4).expect("live") {
        assert!((1..=4).contains(&bytes.len()));
        read.extend_from_slice(&bytes);
    }
    assert_eq!(read, b"hello world");
    assert!(t.session.read(id, 4).is_err(), "the end is read once");
}

#[test]
fn single_octets_are_kept_together() {
    let mut t = Table::new(Role::Callee);
    let id = t.request(1, http("PUT", "/", &[]), false);
    for _ in 0..4_096 {
        t.receive(data(1, "x", false));
    }
    let Ok(Some(Incoming::Data { bytes, .. })) = t.session.read(id, usize::MAX) else {
        panic!("something to read")
    };
    assert_eq!(bytes.len(), 4_096, "one piece, not one for each octet");
}

#[test]
fn empty_websocket_messages_use_up_credit() {
    let mut t = Table::new(Role::Callee);
    t.request(1, websocket("/"), false);
    let empty = || Frame::Data {
        id: 1,
        end: false,
        fin: true,
        text: false,
        bytes: Bytes::new(),
    };
    for _ in 0..4_096 {
        t.receive(empty());
    }
    assert!(t.session.closed().is_none());
    t.receive(empty());
    assert!(
        matches!(t.session.closed(), Some(CloseReason::Violation(violation)) if violation.name() == "flow")
    );
}

#[test]
fn what_nobody_reads_counts_until_it_is_read() {
    let mut t = Table::new(Role::Callee);
    for n in 0..256 {
        let id = t.request(2 * n + 1, http("PUT", "/", &[]), false);
        t.receive(data(id.number(), "unread", true));
        t.session
            .respond(id, 204, of(&[]), true)
            .expect("a response may be sent");
    }
    t.sent();
    assert_eq!(t.session.live(), 256);
    t.request(513, get("/"), true);
    assert_eq!(
        t.sent(),
        [Frame::Reset {
            id: 513,
            code: ResetCode::Busy
        }]
    );
    t.session.discard(ExchangeId(1));
    t.events();
    t.request(515, get("/"), true);
    assert!(matches!(t.events()[..], [Event::Opened { .. }]));
}

#[test]
fn unfinished_heads_of_all_exchanges_together_are_bounded() {
    let mut t = Table::new(Role::Callee);
    let part = |id| Frame::Head {
        id,
        end: true,
        more: true,
        block: Bytes::from(vec![0; DATA_MAX]),
    };
    let mut refused = None;
    for n in 0..256 {
        (0..4).for_each(|_| t.receive(part(2 * n + 1)));
        if refused.is_none() && !t.sent().is_empty() {
            refused = Some(n);
        }
    }
    assert_eq!(refused, Some((4 << 20) / (4 * DATA_MAX as u32)));
    let ids: Vec<_> = (0..256).map(|n| 2 * n + 1).collect();
    ids.into_iter().for_each(|id| {
        t.receive(Frame::Reset {
            id,
            code: ResetCode::Cancelled,
        })
    });
    assert_eq!(t.session.holdings(), (GROWTH, 0, 0));
}

#[test]
fn a_flood_that_causes_answers_and_takes_none_ends_the_link() {
    let mut t = Table::new(Role::Callee);
    for n in 0..10_000 {
        // Malformed: each is answered with a reset.
        t.receive(Frame::Head {
            id: 2 * n + 1,
            end: true,
            more: false,
            block: Bytes::from_static(&[0]),
        });
        if t.session.closed().is_some() {
            assert!(n > 4_000, "an honest peer may be slow");
            return;
        }
    }
    panic!("answers are queued without bound");
}

#[test]
fn any_number_of_pings_has_one_answer_waiting() {
    let mut t = Table::new(Role::Callee);
    for n in 0..10_000u64 {
        t.receive(Frame::Ping(n.to_be_bytes()));
    }
    assert_eq!(t.sent(), [Frame::Pong(9_999u64.to_be_bytes())]);
}

#[test]
fn a_reset_frees_what_was_queued_and_nothing_of_it_is_sent() {
    let mut t = Table::new(Role::Caller);
    let id = t.open(http("PUT", "/", &[]), false).expect("room");
    assert!(matches!(t.sent()[..], [Frame::Head { .. }]));
    t.write(id, 50_000);
    t.session.reset(id, ResetCode::Cancelled);
    assert_eq!(
        t.sent(),
        [Frame::Reset {
            id: 1,
            code: ResetCode::Cancelled
        }]
    );
    assert_eq!(
        (t.session.live(), t.session.holdings()),
        (0, (GROWTH, 0, 0))
    );
    assert_eq!(t.session.finish(id, End::Plain), Err(SendError::Gone));
}

#[test]
fn a_sender_cannot_break_its_own_content_length() {
    let mut t = Table::new(Role::Caller);
    let put = || http("PUT", "/", &[("content-length", "3")]);
    assert_eq!(t.open(put(), true), Err(OpenError::ContentLength));
    let id = t.open(put(), false).expect("room");
    let long = t
        .session
        .write(id, &mut Bytes::from_static(b"four"), Framing::Stream);
    assert_eq!(long, Err(SendError::ContentLength));
    t.write(id, 2);
    assert_eq!(
        t.session.finish(id, End::Plain),
        Err(SendError::ContentLength)
    );
    t.write(id, 1);
    assert_eq!(t.session.finish(id, End::Plain), Ok(()));
}

#[test]
fn a_request_that_a_receiver_would_refuse_is_not_sent() {
    let mut t = Table::new(Role::Caller);
    for bad in [
        http("CONNECT", "/", &[]),
        get("http://elsewhere/"),
        http("GET", "/", &[("host", "elsewhere")]),
        http("GET", "/", &[("transfer-encoding", "chunked")]),
        http("GET", "/", &[("a", "b\r\nc: d")]),
    ] {
        assert!(matches!(t.open(bad, true), Err(OpenError::Head(_))));
    }
    assert!(t.sent().is_empty());
    assert_eq!(
        t.open(get("/"), true),
        Ok(ExchangeId(1)),
        "and no id was spent"
    );
}

#[test]
fn both_sides_together_begin_no_more_exchanges_than_a_link_can_hold() {
    let now = crate::sim::epoch();
    let mut session = Session::new(
        Role::Caller,
        Config {
            exchanges: 448,
            ..Config::default()
        },
        now,
    );
    assert_eq!(session.openings(), 64);
    let opened = std::iter::repeat_with(|| session.open(get("/"), true, now))
        .take_while(Result::is_ok)
        .count();
    assert_eq!(opened, 64);
    assert_eq!(session.open(get("/"), true, now), Err(OpenError::Busy));
}

#[test]
fn a_side_whose_ids_run_out_drains() {
    let mut t = Table::new(Role::Caller);
    t.session.next_id = Some(u32::MAX);
    let id = t.open(get("/"), true).expect("the last one");
    assert_eq!(t.open(get("/"), true), Err(OpenError::Draining));
    assert!(matches!(
        t.sent()[..],
        [
            Frame::Drain { highest: 0 },
            Frame::Head { id: u32::MAX, .. }
        ]
    ));
    t.receive(whole(
        id.number(),
        Head::Response {
            status: 204,
            fields: of(&[]),
        },
        true,
    ));
    t.sent();
    assert!(matches!(
        t.events()[..],
        [.., Event::Closed(CloseReason::Drained)]
    ));
}

#[test]
fn a_machine_that_slept_asks_before_it_gives_up() {
    let mut t = Table::new(Role::Caller);
    t.open(get("/"), true).expect("room");
    t.sent();
    t.now += Duration::from_secs(3_600);
    t.session.handle_timeout(t.now);
    assert!(matches!(t.sent()[..], [Frame::Ping(_)]));
    assert!(t.session.closed().is_none());
}

#[test]
fn an_idle_link_asks_for_no_timer() {
    let mut t = Table::new(Role::Caller);
    assert_eq!(t.session.poll_timeout(), None);
    t.open(get("/"), true).expect("room");
    assert_eq!(
        t.session.poll_timeout(),
        Some(t.now + Duration::from_secs(10))
    );
}

#[test]
fn after_the_link_everything_fails_and_nothing_waits() {
    let mut t = Table::new(Role::Caller);
    let id = t.open(get("/"), true).expect("room");
    t.session.close(CloseReason::Lost);
    t.session.close(CloseReason::Silent);
    let gone = Event::Reset {
        id,
        code: ResetCode::Gone,
        by_peer: false,
    };
    assert_eq!(t.events(), [gone, Event::Closed(CloseReason::Lost)]);
    t.receive(Frame::Ping([0; 8]));
    assert_eq!(t.sent(), []);
    assert_eq!(t.session.poll_timeout(), None);
    assert!(t.session.read(id, 1).is_err());
    assert_eq!(t.open(get("/"), true), Err(OpenError::Closed));
}

#[test]
fn secrets_in_paths_and_fields_are_not_shown() {
    let request = http("GET", "/?token=hush", &[("cookie", "hush")]);
    let event = Event::Opened {
        id: ExchangeId(1),
        request,
        end: true,
    };
    assert!(!format!("{event:?}").contains("hush"));
}
