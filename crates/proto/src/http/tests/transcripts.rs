//! The sessions of the vectors: each is a promise of the protocol, played by one side.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::script::{Script, data, get, http, of, websocket, whole};
use crate::http::{Config, End, Role};
use crate::wire::http::{Frame, Head, Hello, ResetCode};

const FULL: usize = 16_376;

pub(super) fn transcripts() -> Value {
    let greeted = |name: &str, role: Role, play: fn(&mut Script)| {
        let mut script = Script::greeted(role);
        play(&mut script);
        session(name, role, script)
    };
    let caller = |name, play| greeted(name, Role::Caller, play);
    let callee = |name, play| greeted(name, Role::Callee, play);
    Value::Array(vec![
        hello_comes_first(),
        raised_window(),
        caller("a request and its response", a_request),
        caller(
            "an upload goes as far as its credit, and on when more is granted",
            an_upload,
        ),
        caller("control frames first, then turns, filled messages", turns),
        caller(
            "a long head is continued, others take turns meanwhile",
            a_long_head,
        ),
        caller("interim responses, trailers", trailers),
        caller("a response that ends before its request", early_response),
        caller(
            "reset by the requester, before and after the peer heard of it",
            resets,
        ),
        caller("answers that break the rules", malformed_answers),
        caller("a websocket: messages, their cost, close", a_websocket),
        caller("a refused websocket", a_refused_websocket),
        callee("interim responses and trailers are sent", interim),
        callee(
            "a download is granted as it is read, and its window grows",
            grants,
        ),
        callee("requests that break the rules", malformed_requests),
        callee("answers without a body end at their head", bodyless),
        callee("the rest of a request is not needed", unwanted),
        callee("more exchanges than are accepted are busy", busy),
        callee("kinds that are not supported", unsupported),
        callee("frames of ended exchanges are dropped", ended),
        callee("the peer drains", peer_drains),
        callee("draining: what runs goes on, then the link closes", drains),
        caller("silence", silence),
        caller("a lost channel", lost),
        callee("more than was granted", flow),
        callee("a frame of an exchange that was never begun", never_begun),
        caller("a second hello", second_hello),
    ])
}

fn session(name: &str, role: Role, script: Script) -> Value {
    let role = if role == Role::Caller {
        "caller"
    } else {
        "callee"
    };
    json!({ "name": name, "role": role, "accepts": { "exchanges": 256, "websocket": true, "tcp": false }, "steps": script.steps() })
}

fn hello_comes_first() -> Value {
    let mut s = Script::new(
        Role::Callee,
        Config {
            websocket: true,
            ..Config::default()
        },
    );
    s.receive(&[Frame::Ping([0; 8])]);
    session("a frame before the hello", Role::Callee, s)
}

fn raised_window() -> Value {
    let mut s = Script::new(
        Role::Caller,
        Config {
            websocket: true,
            ..Config::default()
        },
    );
    let id = s
        .open(http("PUT", "/", &[]), false)
        .expect("before the hello");
    for _ in 0..4 {
        s.write(id, vec![b'a'; FULL]);
    }
    s.write(id, vec![b'b'; 100]);
    s.receive(&[Frame::Hello(Hello {
        window: 100_000,
        ..Hello::default()
    })]);
    session(
        "a raised window counts for what was begun before the hello",
        Role::Caller,
        s,
    )
}

fn a_request(s: &mut Script) {
    let id = s.open(get("/index.html"), true).expect("room");
    s.receive(&[
        whole(
            1,
            Head::Response {
                status: 200,
                fields: of(&[("content-length", "5")]),
            },
            false,
        ),
        data(1, "hello", true),
    ]);
    s.take(id);
    s.take(id);
    let id = s.open(get("/again"), true).expect("room");
    s.receive(&[whole(
        3,
        Head::Response {
            status: 404,
            fields: of(&[]),
        },
        true,
    )]);
    assert!(s.session.read(id, 1).is_err());
}

fn an_upload(s: &mut Script) {
    let id = s
        .open(http("PUT", "/file", &[("content-length", "65600")]), false)
        .expect("room");
    for _ in 0..4 {
        s.write(id, vec![b'a'; FULL]);
    }
    s.write(id, vec![b'b'; 96]);
    s.finish(id, End::Plain);
    s.receive(&[Frame::Credit {
        id: 1,
        octets: 32_752,
    }]);
    s.receive(&[whole(
        1,
        Head::Response {
            status: 201,
            fields: of(&[]),
        },
        true,
    )]);
}

fn turns(s: &mut Script) {
    let a = s.hold().open_in(http("PUT", "/a", &[]));
    let b = s.hold().open_in(http("PUT", "/b", &[]));
    s.hold().write(a, vec![b'a'; 20_000]);
    s.hold().write(b, vec![b'b'; 300]);
    s.hold().write(b, vec![b'c'; 15_000]);
    s.hold().write(a, vec![b'd'; 300]);
    s.receive(&[Frame::Ping(*b"12345678")]);
    s.receive(&[Frame::Ping(*b"12345678"), Frame::Ping(*b"abcdefgh")]);
}

fn a_long_head(s: &mut Script) {
    let long = "x".repeat(20_000);
    let _ = s.hold().open_in(http("GET", "/a", &[("x-long", &long)]));
    let _ = s.hold().open_in(http("GET", "/b", &[]));
    let _ = s.open(
        http("GET", "/c", &[("x-long", &long), ("x-longer", &long)]),
        true,
    );
    s.receive(&[whole(
        3,
        Head::Response {
            status: 200,
            fields: of(&[]),
        },
        false,
    )]);
    let block = Head::Response {
        status: 200,
        fields: of(&[("a", "b")]),
    }
    .emit()
    .expect("a good head");
    s.receive(&[
        Frame::Head {
            id: 1,
            end: false,
            more: true,
            block: block.slice(..3),
        },
        data(3, "between", false),
        Frame::Head {
            id: 1,
            end: true,
            more: true,
            block: Bytes::new(),
        },
        Frame::Head {
            id: 1,
            end: false,
            more: false,
            block: block.slice(3..),
        },
    ]);
}

fn interim(s: &mut Script) {
    let id = s.requested(1, get("/"), true);
    s.inform(id, 103, of(&[("link", "</a.css>")]));
    s.respond(id, 200, of(&[]), false);
    s.write(id, "x");
    s.finish(id, End::Trailers(of(&[("server-timing", "a")])));
}

fn trailers(s: &mut Script) {
    let id = s.open(http("POST", "/", &[]), false).expect("room");
    s.write(id, "body");
    s.finish(id, End::Trailers(of(&[("x-sum", "1")])));
    let hints = Head::Interim {
        status: 103,
        fields: of(&[("link", "</a.css>")]),
    };
    s.receive(&[
        whole(1, hints, false),
        whole(
            1,
            Head::Response {
                status: 200,
                fields: of(&[]),
            },
            false,
        ),
    ]);
    s.receive(&[
        data(1, "x", false),
        whole(1, Head::Trailers(of(&[("server-timing", "a")])), true),
    ]);
    s.take(id);
    s.take(id);
}

fn early_response(s: &mut Script) {
    let id = s.open(http("PUT", "/", &[]), false).expect("room");
    s.write(id, "first");
    s.receive(&[
        whole(
            1,
            Head::Response {
                status: 413,
                fields: of(&[]),
            },
            false,
        ),
        data(1, "too much", true),
    ]);
    s.receive(&[Frame::Reset {
        id: 1,
        code: ResetCode::None,
    }]);
    s.take(id);
    s.take(id);
}

fn resets(s: &mut Script) {
    let id = s.hold().open_in(get("/never-mentioned"));
    s.reset(id, ResetCode::Cancelled);
    let id = s.open(http("PUT", "/", &[]), false).expect("room");
    s.hold().write(id, "queued, and freed");
    s.reset(id, ResetCode::Cancelled);
    let id = s.open(get("/read"), true).expect("room");
    s.receive(&[
        whole(
            5,
            Head::Response {
                status: 200,
                fields: of(&[]),
            },
            false,
        ),
        data(5, "some", false),
    ]);
    s.discard(id);
    s.receive(&[
        data(5, "under way", false),
        Frame::Reset {
            id: 5,
            code: ResetCode::Broken,
        },
    ]);
    let _ = s.open(get("/broken"), true);
    s.receive(&[
        whole(
            7,
            Head::Response {
                status: 200,
                fields: of(&[]),
            },
            false,
        ),
        data(7, "unread, and lost", false),
    ]);
    s.receive(&[Frame::Reset {
        id: 7,
        code: ResetCode::Broken,
    }]);
}

fn malformed_answers(s: &mut Script) {
    let ok = |fields: &[(&str, &str)]| Head::Response {
        status: 200,
        fields: of(fields),
    };
    let answer = |s: &mut Script, request, make: &dyn Fn(u32) -> Vec<Frame>| {
        let id = s.open(request, true).expect("room").number();
        s.receive(&make(id));
    };
    answer(s, get("/data-first"), &|id| vec![data(id, "x", false)]);
    answer(s, get("/two-heads"), &|id| {
        vec![whole(id, ok(&[]), false), whole(id, ok(&[]), false)]
    });
    answer(s, get("/short"), &|id| {
        vec![
            whole(id, ok(&[("content-length", "3")]), false),
            data(id, "ab", true),
        ]
    });
    answer(s, get("/long"), &|id| {
        vec![
            whole(id, ok(&[("content-length", "3")]), false),
            data(id, "abcd", false),
        ]
    });
    answer(s, get("/empty"), &|id| {
        vec![whole(id, ok(&[("content-length", "3")]), true)]
    });
    answer(s, get("/204"), &|id| {
        vec![whole(
            id,
            Head::Response {
                status: 204,
                fields: of(&[]),
            },
            false,
        )]
    });
    answer(s, http("HEAD", "/", &[]), &|id| {
        vec![whole(id, ok(&[("content-length", "3")]), false)]
    });
    answer(s, get("/101"), &|id| {
        vec![whole(
            id,
            Head::Response {
                status: 101,
                fields: of(&[]),
            },
            false,
        )]
    });
    answer(s, get("/a-request"), &|id| {
        let request = Head::Request(get("/"));
        vec![whole(id, request, true)]
    });
    answer(s, get("/trailers-without-end"), &|id| {
        vec![
            whole(id, ok(&[]), false),
            whole(id, Head::Trailers(of(&[])), false),
        ]
    });
    answer(s, get("/trailers-first"), &|id| {
        vec![whole(id, Head::Trailers(of(&[])), true)]
    });
    answer(s, get("/nine-interim"), &|id| {
        let interim = Head::Interim {
            status: 103,
            fields: of(&[]),
        };
        (0..9).map(|_| whole(id, interim.clone(), false)).collect()
    });
    answer(s, get("/data-in-a-head"), &|id| {
        let part = Frame::Head {
            id,
            end: true,
            more: true,
            block: Bytes::from_static(&[18]),
        };
        vec![whole(id, ok(&[]), false), part, data(id, "x", false)]
    });
    answer(s, get("/after-the-end"), &|id| {
        vec![
            whole(id, ok(&[]), false),
            data(id, "x", true),
            data(id, "y", false),
        ]
    });
    answer(s, http("HEAD", "/fine", &[]), &|id| {
        vec![whole(id, ok(&[("content-length", "3")]), true)]
    });
    answer(s, get("/304-fine"), &|id| {
        vec![whole(
            id,
            Head::Response {
                status: 304,
                fields: of(&[("content-length", "3")]),
            },
            true,
        )]
    });
}

fn a_websocket(s: &mut Script) {
    let message = |bytes: &'static str, fin, text| Frame::Data {
        id: 1,
        end: false,
        fin,
        text,
        bytes: bytes.into(),
    };
    let id = s.open(websocket("/chat"), false).expect("room");
    s.receive(&[whole(
        1,
        Head::Response {
            status: 101,
            fields: of(&[("sec-websocket-protocol", "chat")]),
        },
        false,
    )]);
    s.write_message(id, "hi", true);
    s.write_message(id, "", false);
    // 65,536 less 2, 16, 0 and 16 leaves 65,502: four full frames fill it but for the FIN, which waits for its 16.
    for _ in 0..3 {
        s.write_message(id, vec![b'a'; FULL - 16], false);
    }
    s.write_message(id, vec![b'a'; 16_374], false);
    s.receive(&[Frame::Credit { id: 1, octets: 15 }]);
    s.receive(&[Frame::Credit { id: 1, octets: 1 }]);
    s.receive(&[message("one", true, true)]);
    s.take(id);
    s.receive(&[message("two, in ", false, false)]);
    s.take(id);
    s.receive(&[message("parts", true, false), message("", true, true)]);
    s.take(id);
    s.take(id);
    s.finish(id, End::Close(Bytes::from_static(&[0x03, 0xe8])));
    s.receive(&[Frame::Credit { id: 1, octets: 2 }]);
    s.receive(&[Frame::Data {
        id: 1,
        end: true,
        fin: true,
        text: false,
        bytes: Bytes::from_static(b"\x03\xe8bye"),
    }]);
    s.take(id);
    let _ = s.open(websocket("/one-octet-of-close"), false);
    s.receive(&[
        whole(
            3,
            Head::Response {
                status: 101,
                fields: of(&[]),
            },
            false,
        ),
        data(3, "x", true),
    ]);
    let _ = s.open(websocket("/end-in-a-message"), false);
    s.receive(&[
        whole(
            5,
            Head::Response {
                status: 101,
                fields: of(&[]),
            },
            false,
        ),
        data(5, "x", false),
        data(5, "", true),
    ]);
}

fn a_refused_websocket(s: &mut Script) {
    let id = s.open(websocket("/secret"), false).expect("room");
    s.receive(&[
        whole(
            1,
            Head::Response {
                status: 403,
                fields: of(&[("content-length", "2")]),
            },
            false,
        ),
        data(1, "no", true),
    ]);
    s.take(id);
    s.take(id);
    s.finish(id, End::Plain);
}

fn grants(s: &mut Script) {
    let id = s.requested(1, http("PUT", "/file", &[]), false);
    for _ in 0..4 {
        s.receive(&[data(1, vec![b'a'; FULL], false)]);
    }
    for _ in 0..4 {
        s.take(id);
    }
    // 65,504 were taken: the next 32 fill the run, and the window doubles.
    s.receive(&[data(1, vec![b'b'; 32], false)]);
    s.take(id);
    for _ in 0..3 {
        s.receive(&[data(1, vec![b'c'; FULL], false)]);
        s.take(id);
    }
    s.receive(&[data(1, vec![b'd'; 1_000], true)]);
    s.take(id);
    s.take(id);
    s.respond(id, 200, of(&[]), true);
}

fn malformed_requests(s: &mut Script) {
    let head = |id, block: &'static [u8], end| Frame::Head {
        id,
        end,
        more: false,
        block: Bytes::from_static(block),
    };
    s.receive(&[head(1, &[0, 0, 3, b'G', b'E', b'T', 0, 0, 0, 0], true)]);
    s.receive(&[head(3, &[16, 0, 200, 0, 0], true)]);
    s.receive(&[whole(
        5,
        Head::Request(http("PUT", "/", &[("content-length", "1")])),
        true,
    )]);
    s.receive(&[
        whole(7, Head::Request(http("PUT", "/", &[])), false),
        whole(7, Head::Request(get("/")), true),
    ]);
    s.receive(&[data(7, "under way", true)]);
    for _ in 0..9 {
        s.receive(&[Frame::Head {
            id: 9,
            end: false,
            more: true,
            block: Bytes::from_static(b""),
        }]);
    }
    for _ in 0..5 {
        s.receive(&[Frame::Head {
            id: 11,
            end: false,
            more: true,
            block: Bytes::from(vec![0; FULL]),
        }]);
    }
}

fn bodyless(s: &mut Script) {
    let id = s.requested(1, http("HEAD", "/", &[]), true);
    s.respond(id, 200, of(&[("content-length", "5")]), false);
    let id = s.requested(3, get("/"), true);
    s.respond(id, 304, of(&[]), false);
    let id = s.requested(5, get("/"), true);
    s.respond(id, 204, of(&[]), false);
}

fn unwanted(s: &mut Script) {
    let id = s.requested(1, http("PUT", "/", &[]), false);
    s.receive(&[data(1, "some", false)]);
    s.discard(id);
    s.respond(id, 413, of(&[]), true);
    s.receive(&[data(1, "more, under way", false)]);
    let id = s.requested(3, http("PUT", "/", &[]), false);
    s.respond(id, 200, of(&[]), true);
    s.receive(&[data(3, "all of it", true)]);
    s.discard(id);
}

fn busy(s: &mut Script) {
    for n in 0..256 {
        s.hold().requested(2 * n + 1, get("/"), true);
    }
    let id = s.requested(513, get("/one-too-many"), true);
    s.respond(super::super::ExchangeId(1), 204, of(&[]), true);
    s.receive(&[data(id.number(), "", true)]);
    s.requested(515, get("/room-again"), true);
}

fn unsupported(s: &mut Script) {
    s.receive(&[Frame::Head {
        id: 1,
        end: false,
        more: false,
        block: Bytes::from_static(&[2, 0, 3, b's', b's', b'h']),
    }]);
    s.receive(&[Frame::Head {
        id: 3,
        end: false,
        more: false,
        block: Bytes::from_static(&[15, 1, 2, 3]),
    }]);
    s.requested(5, websocket("/chat"), false);
    let _ = s.open(
        crate::wire::http::Request::Tcp { name: "ssh".into() },
        false,
    );
}

fn ended(s: &mut Script) {
    let id = s.requested(5, get("/"), true);
    s.respond(id, 204, of(&[]), true);
    s.receive(&[
        data(5, "late", true),
        Frame::Credit { id: 5, octets: 1 },
        Frame::Reset {
            id: 5,
            code: ResetCode::Cancelled,
        },
    ]);
    s.receive(&[whole(3, Head::Request(get("/left-out")), true)]);
    s.requested(7, get("/"), true);
}

fn peer_drains(s: &mut Script) {
    let a = s.open(get("/a"), true).expect("room");
    let _ = s.open(get("/b"), true);
    s.receive(&[Frame::Drain { highest: 2 }]);
    let _ = s.open(get("/c"), true);
    s.receive(&[
        whole(
            2,
            Head::Response {
                status: 200,
                fields: of(&[]),
            },
            false,
        ),
        data(2, "x", true),
    ]);
    s.take(a);
    s.take(a);
    s.receive(&[Frame::Drain { highest: 2 }]);
}

fn drains(s: &mut Script) {
    let id = s.requested(3, get("/runs"), true);
    s.drain();
    s.requested(5, get("/too-late"), true);
    let _ = s.open(get("/"), true);
    s.respond(id, 200, of(&[]), true);
}

fn silence(s: &mut Script) {
    s.wait(Duration::from_secs(60));
    let _ = s.open(get("/"), true);
    s.wait(Duration::from_millis(9_999));
    s.wait(Duration::from_millis(1));
    s.receive(&[Frame::Pong([0, 0, 0, 0, 0, 0, 0, 1])]);
    s.wait(Duration::from_secs(10));
    s.wait(Duration::from_secs(10));
    s.wait(Duration::from_secs(10));
}

fn lost(s: &mut Script) {
    let _ = s.open(get("/"), true);
    s.lost();
    let _ = s.open(get("/"), true);
}

fn flow(s: &mut Script) {
    s.requested(1, http("PUT", "/", &[]), false);
    for _ in 0..4 {
        s.receive(&[data(1, vec![b'a'; FULL], false)]);
    }
    s.receive(&[data(1, vec![b'a'; 33], false)]);
}

fn never_begun(s: &mut Script) {
    s.receive(&[data(1, "x", false)]);
}

fn second_hello(s: &mut Script) {
    s.receive(&[Frame::Hello(Hello::default())]);
}
