//! `vectors/http.json` is what this code does. `UPDATE_VECTORS=1 cargo test -p peerage-proto vectors` writes it anew.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::json::{frame, head, hex, unhex};
use super::print::pretty;
use super::script::of;
use super::transcripts::transcripts;
use crate::wire::http::{Frame, Frames, Head, Hello, Request, ResetCode};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/http.json");

#[test]
fn the_vectors_say_what_the_code_does() {
    let made = json!({
        "about": [
            "HTTP over a channel, docs/protocol/http.md. Octets are hex; [61*20] in it means twenty octets 61.",
            "Field values are octets: the character of the same number stands for each.",
            "messages.good: one channel message and its frames. messages.bad: the link violation that the message causes.",
            "heads.good: a head block both ways. heads.bad: the rule it breaks, and the code of the RESET.",
            "sessions: one side, driven step by step from its start; each step may have 'sends' (the channel messages that it causes, all of them, in order) \
             and 'tells' (events). After a step with 'hold' nothing is asked for; what it caused shows at the next step without.",
            "Steps: start; receive a message; open, inform (interim), respond, write, finish (END; with trailers or a WebSocket close), discard and reset an \
             exchange; take: the reader takes the next piece, which is the payload of one DATA frame or the end; drain; wait: the clock advances; lost: \
             the channel closed. 'gives' is what the step returns.",
        ],
        "codes": ResetCode::ALL.map(|code| json!({ "number": code.number(), "name": code.name(), "retry": format!("{:?}", code.retry()).to_lowercase() })),
        "messages": { "good": good_messages(), "bad": bad_messages() },
        "heads": { "good": good_heads(), "bad": bad_heads() },
        "sessions": transcripts(),
    });
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(PATH, pretty(&made)).expect("the vectors can be written");
    }
    let text = std::fs::read_to_string(PATH).expect("vectors/http.json is there");
    let kept: Value = serde_json::from_str(&text).expect("vectors/http.json is JSON");
    for part in ["about", "codes", "messages", "heads"] {
        assert_eq!(
            kept[part], made[part],
            "{part}: UPDATE_VECTORS=1 if this change of the protocol is meant"
        );
    }
    let (kept, made) = (&kept["sessions"], &made["sessions"]);
    for (kept, made) in kept
        .as_array()
        .into_iter()
        .flatten()
        .zip(made.as_array().into_iter().flatten())
    {
        assert_eq!(
            kept, made,
            "session {}: UPDATE_VECTORS=1 if this change of the protocol is meant",
            made["name"]
        );
    }
    assert_eq!(
        kept, made,
        "sessions: UPDATE_VECTORS=1 if this change of the protocol is meant"
    );
}

fn good_messages() -> Value {
    let data = |id, end, fin, text, bytes: &'static [u8]| Frame::Data {
        id,
        end,
        fin,
        text,
        bytes: Bytes::from_static(bytes),
    };
    let cases = [
        ("hello with defaults", vec![Frame::Hello(Hello::default())]),
        (
            "hello with everything",
            vec![Frame::Hello(Hello {
                version: 2,
                exchanges: 448,
                window: 1 << 20,
                head: 131_008,
                websocket: true,
                tcp: true,
            })],
        ),
        (
            "head, whole and last",
            vec![Frame::Head {
                id: 1,
                end: true,
                more: false,
                block: Bytes::from_static(&[16, 0, 200, 0, 0]),
            }],
        ),
        (
            "head to be continued",
            vec![Frame::Head {
                id: 0xffff_ffff,
                end: false,
                more: true,
                block: Bytes::from_static(&[16]),
            }],
        ),
        ("data", vec![data(3, false, false, false, b"hello")]),
        (
            "data that is only the end",
            vec![data(3, true, false, false, b"")],
        ),
        (
            "text message",
            vec![data(5, false, true, true, "gr\u{fc}\u{df}".as_bytes())],
        ),
        (
            "largest data",
            vec![Frame::Data {
                id: 3,
                end: false,
                fin: false,
                text: false,
                bytes: Bytes::from(vec![0x61; 16_376]),
            }],
        ),
        (
            "credit",
            vec![Frame::Credit {
                id: 3,
                octets: 65_536,
            }],
        ),
        (
            "reset",
            vec![Frame::Reset {
                id: 3,
                code: ResetCode::Timeout,
            }],
        ),
        ("drain", vec![Frame::Drain { highest: 7 }]),
        ("ping", vec![Frame::Ping([0, 0, 0, 0, 0, 0, 0, 1])]),
        (
            "several frames in one message",
            vec![
                Frame::Pong(*b"abcdefgh"),
                Frame::Credit { id: 2, octets: 1 },
                data(4, true, false, false, b"x"),
            ],
        ),
    ];
    let mut made: Vec<_> = cases
        .into_iter()
        .map(|(name, frames)| {
            let mut message = BytesMut::new();
            frames.iter().for_each(|frame| frame.emit(&mut message));
            good_message(name, &message)
        })
        .collect();
    // What this side does not emit, and reads all the same.
    made.push(good_message(
        "unknown type and unknown flags are ignored",
        &unhex(
            "ff01000300000000010203 02f8000100000003 78"
                .replace(' ', "")
                .as_str(),
        ),
    ));
    made.push(good_message(
        "unknown reset code, with a text",
        &unhex("04000006000000030400")
            .iter()
            .chain(b"oops")
            .copied()
            .collect::<Vec<_>>(),
    ));
    made.push(good_message(
        "unknown key in a hello",
        &unhex("000000070000000001 0909 00000001".replace(' ', "").as_str()),
    ));
    made.push(good_message(
        "a limit above its largest value",
        &unhex("000000070000000001 0001 ffffffff".replace(' ', "").as_str()),
    ));
    made.into()
}

fn good_message(name: &str, message: &[u8]) -> Value {
    let frames = Frames::new(Bytes::copy_from_slice(message)).expect("a good message");
    let frames: Vec<_> = frames
        .map(|read| frame(&read.expect("a good frame")))
        .collect();
    json!({ "name": name, "hex": hex(message), "frames": frames })
}

fn bad_messages() -> Value {
    let cases = [
        ("empty", String::new()),
        (
            "more than 16,384 octets",
            "0200 3ff9 00000001 [61*16377]".to_owned(),
        ),
        ("half a header", "02000000000000".to_owned()),
        (
            "frame longer than the message",
            "0200 0002 00000001 61".to_owned(),
        ),
        ("exchange 0 in DATA", "0200 0000 00000000".to_owned()),
        ("exchange 0 in RESET", "0400 0002 00000000 0001".to_owned()),
        (
            "an exchange in PING",
            "0600 0008 00000001 0000000000000000".to_owned(),
        ),
        ("an exchange in HELLO", "0000 0001 00000001 01".to_owned()),
        (
            "CREDIT of three octets",
            "0300 0003 00000001 000001".to_owned(),
        ),
        ("RESET of one octet", "0400 0001 00000001 00".to_owned()),
        (
            "RESET with a text of 257 octets",
            "0400 0103 00000001 0001 [61*257]".to_owned(),
        ),
        (
            "DRAIN of eight octets",
            "0500 0008 00000000 0000000000000000".to_owned(),
        ),
        (
            "PONG of seven octets",
            "0700 0007 00000000 00000000000000".to_owned(),
        ),
        (
            "good frame, then a bad one",
            "0200 0001 00000001 61 0600 0000 00000000".to_owned(),
        ),
        ("HELLO without version", "0000 0000 00000000".to_owned()),
        ("HELLO with version 0", "0000 0001 00000000 00".to_owned()),
        (
            "HELLO with half an item",
            "0000 0006 00000000 01 0010 0000 00".to_owned(),
        ),
        (
            "HELLO with a key twice",
            "0000 000d 00000000 01 0010 00000001 0010 00000001".to_owned(),
        ),
        (
            "HELLO with fewer exchanges than the default",
            "0000 0007 00000000 01 0001 000000ff".to_owned(),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, message)| {
            let message = unhex(&message.replace(' ', ""));
            let read = Frames::new(message.clone())
                .and_then(|frames| frames.collect::<Result<Vec<_>, _>>());
            let violation = read.expect_err(name);
            json!({ "name": name, "hex": hex(&message), "error": violation.name() })
        })
        .collect()
}

fn http(method: &str, path: &str, fields: &[(&str, &str)]) -> Head {
    Head::Request(Request::Http {
        method: method.into(),
        path: path.into(),
        fields: of(fields),
    })
}

fn good_heads() -> Value {
    let cases = [
        ("plain request", http("GET", "/", &[])),
        (
            "request with query and fields",
            http(
                "POST",
                "/a/b%20c?x=1&y=%23",
                &[("accept", "*/*"), ("content-length", "5"), ("x-empty", "")],
            ),
        ),
        ("a method of one's own", http("pro.pfind!", "/", &[])),
        (
            "a name twice, order kept",
            http(
                "GET",
                "/",
                &[("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2")],
            ),
        ),
        (
            "dots and slashes are the target's affair",
            http("GET", "//../%2e%2e/./\\", &[]),
        ),
        (
            "websocket",
            Head::Request(Request::WebSocket {
                path: "/chat".into(),
                fields: of(&[("sec-websocket-protocol", "a, b")]),
            }),
        ),
        (
            "tcp stream",
            Head::Request(Request::Tcp { name: "ssh".into() }),
        ),
        (
            "response",
            Head::Response {
                status: 200,
                fields: of(&[
                    ("content-type", "text/html"),
                    ("set-cookie", "a=1"),
                    ("set-cookie", "b=2"),
                ]),
            },
        ),
        (
            "accepted websocket",
            Head::Response {
                status: 101,
                fields: of(&[("sec-websocket-protocol", "a")]),
            },
        ),
        (
            "largest content-length",
            Head::Response {
                status: 599,
                fields: of(&[("content-length", "9999999999999999999")]),
            },
        ),
        (
            "interim response",
            Head::Interim {
                status: 103,
                fields: of(&[("link", "</a.css>; rel=preload")]),
            },
        ),
        (
            "trailers",
            Head::Trailers(of(&[("server-timing", "db;dur=2.5")])),
        ),
        ("no trailers at all", Head::Trailers(of(&[]))),
        (
            "128 fields",
            Head::Response {
                status: 204,
                fields: of(&[("a", "b"); 128]),
            },
        ),
        (
            "a value with tabs, spaces and octets above 7f",
            Head::Response {
                status: 200,
                fields: of(&[("x", "a\t b\u{e9}")]),
            },
        ),
    ];
    cases
        .into_iter()
        .map(|(name, made)| {
            let block = made.emit().expect(name);
            assert_eq!(Head::parse(block.clone()).as_ref(), Ok(&made), "{name}");
            json!({ "name": name, "hex": hex(&block), "head": head(&made) })
        })
        .collect()
}

/// A block made by hand, with whatever is in it.
struct Raw(BytesMut);

impl Raw {
    fn new(kind: u8) -> Self {
        Self(BytesMut::from(&[kind][..]))
    }

    fn u16(mut self, number: u16) -> Self {
        self.0.put_u16(number);
        self
    }

    fn text(self, text: impl AsRef<[u8]>) -> Self {
        let mut raw = self.u16(text.as_ref().len() as u16);
        raw.0.put_slice(text.as_ref());
        raw
    }

    fn fields(mut self, fields: &[(&str, &[u8])]) -> Self {
        self = self.u16(fields.len() as u16);
        for (name, value) in fields {
            self = self.text(name).text(value);
        }
        self
    }
}

fn bad_heads() -> Value {
    let get = |path: &str| Raw::new(0).text("GET").text(path);
    let method = |method: &str| Raw::new(0).text(method).text("/").fields(&[]);
    let field = |name: &str, value: &[u8]| get("/").fields(&[(name, value)]);
    let response = |status: u16| Raw::new(16).u16(status);
    let long = "a".repeat(257);
    let many = vec![("a", &b"b"[..]); 129];
    let mut cases = vec![
        ("nothing", Raw(BytesMut::new())),
        ("no fields", get("/")),
        ("fewer fields than announced", get("/").u16(1)),
        (
            "a text longer than the block",
            Raw::new(0).text("GET").u16(5),
        ),
        ("octets left over", get("/").fields(&[]).u16(0)),
        ("unknown kind", Raw::new(3).text("/").fields(&[])),
        (
            "unknown kind of response",
            Raw::new(19).u16(200).fields(&[]),
        ),
        ("empty method", method("")),
        ("method with a space", method("GET /")),
        ("method with a line break", method("GET\r\n")),
        ("method of 33 octets", method(&"A".repeat(33))),
        ("CONNECT", method("CONNECT")),
        ("TRACE", method("TRACE")),
        ("empty path", get("").fields(&[])),
        ("absolute-form", get("http://other/").fields(&[])),
        ("authority-form", get("other:80").fields(&[])),
        ("asterisk-form", get("*").fields(&[])),
        ("path with a space", get("/a b").fields(&[])),
        (
            "path with a line break",
            get("/ HTTP/1.1\r\nx: y").fields(&[]),
        ),
        ("path with a fragment", get("/#a").fields(&[])),
        ("path with an octet above 7e", get("/\u{e9}").fields(&[])),
        ("websocket without a path", Raw::new(1).text("").fields(&[])),
        ("stream without a name", Raw::new(2).text("")),
        ("stream name with a space", Raw::new(2).text("a b")),
        (
            "stream name of 129 octets",
            Raw::new(2).text("a".repeat(129)),
        ),
        ("fields of a stream", Raw::new(2).text("ssh").fields(&[])),
        ("status 199 as a response", response(199).fields(&[])),
        ("status 600", response(600).fields(&[])),
        ("status 100 as a response", response(100).fields(&[])),
        ("interim 101", Raw::new(17).u16(101).fields(&[])),
        ("interim 200", Raw::new(17).u16(200).fields(&[])),
        ("empty name", field("", b"")),
        ("upper-case name", field("Accept", b"")),
        ("name with a colon", field(":path", b"/")),
        ("name with a space", field("a ", b"")),
        ("name with an octet above 7f", field("\u{e9}", b"")),
        ("name of 257 octets", field(&long, b"")),
        ("value with a line feed", field("a", b"b\nc: d")),
        ("value with a carriage return", field("a", b"b\rc")),
        ("value with a zero", field("a", b"\0")),
        ("value with a delete", field("a", b"\x7f")),
        ("value with a leading space", field("a", b" b")),
        ("value with a trailing tab", field("a", b"b\t")),
        (
            "content-length twice",
            get("/").fields(&[("content-length", b"1"), ("content-length", b"1")]),
        ),
        ("empty content-length", field("content-length", b"")),
        ("content-length with a sign", field("content-length", b"+1")),
        (
            "content-length with a list",
            field("content-length", b"1, 1"),
        ),
        (
            "content-length of 20 digits",
            field("content-length", b"00000000000000000001"),
        ),
        (
            "content-length of an interim response",
            Raw::new(17).u16(103).fields(&[("content-length", b"0")]),
        ),
        ("129 fields", get("/").fields(&many)),
        (
            "more than 65,536 octets",
            get("/").fields(&[("a", &[b'b'; 65_521])]),
        ),
    ];
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "host",
    ] {
        cases.push((name, field(name, b"x")));
    }
    for name in [
        "content-length",
        "authorization",
        "cookie",
        "set-cookie",
        "content-encoding",
        "content-type",
        "content-range",
    ] {
        cases.push((name, Raw::new(18).fields(&[(name, b"1")])));
    }
    cases
        .into_iter()
        .map(|(name, Raw(block))| {
            let error = Head::parse(block.clone().freeze()).expect_err(name);
            json!({ "name": name, "hex": hex(&block), "error": error.name(), "code": error.code().name() })
        })
        .collect()
}
