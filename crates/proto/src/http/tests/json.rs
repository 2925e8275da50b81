//! Frames, heads and events as the vectors write them.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::{End, Event, Incoming};
use crate::wire::http::{Fields, Frame, Head, Hello, Request};

/// Lower-case hex; a run of 16 octets or more of one value is written `[61*16376]`.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut text = String::new();
    for run in octets.chunk_by(|a, b| a == b) {
        if run.len() >= 16 {
            text += &format!("[{:02x}*{}]", run[0], run.len());
        } else {
            run.iter().for_each(|octet| text += &format!("{octet:02x}"));
        }
    }
    text
}

pub(super) fn unhex(text: &str) -> Bytes {
    let mut octets = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((run, after)) = rest.strip_prefix('[').and_then(|run| run.split_once(']')) {
            let (octet, count) = run.split_once('*').expect("[octet*count]");
            let octet = u8::from_str_radix(octet, 16).expect("hex");
            octets.resize(octets.len() + count.parse::<usize>().expect("count"), octet);
            rest = after;
        } else {
            octets.push(u8::from_str_radix(&rest[..2], 16).expect("hex"));
            rest = &rest[2..];
        }
    }
    octets.into()
}

/// Values are octets: each is the character of the same number.
fn latin1(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

pub(super) fn fields(fields: &Fields) -> Value {
    fields
        .0
        .iter()
        .map(|field| json!([field.name, latin1(&field.value)]))
        .collect()
}

pub(super) fn request(request: &Request) -> Value {
    match request {
        Request::Http {
            method,
            path,
            fields: f,
        } => {
            json!({ "kind": "http", "method": method, "path": path, "fields": fields(f) })
        }
        Request::WebSocket { path, fields: f } => {
            json!({ "kind": "websocket", "path": path, "fields": fields(f) })
        }
        Request::Tcp { name } => json!({ "kind": "tcp", "name": name }),
    }
}

pub(super) fn head(head: &Head) -> Value {
    match head {
        Head::Request(r) => request(r),
        Head::Response { status, fields: f } => {
            json!({ "kind": "response", "status": status, "fields": fields(f) })
        }
        Head::Interim { status, fields: f } => {
            json!({ "kind": "interim", "status": status, "fields": fields(f) })
        }
        Head::Trailers(f) => json!({ "kind": "trailers", "fields": fields(f) }),
    }
}

fn hello(hello: &Hello) -> Map<String, Value> {
    let Value::Object(map) = json!({
        "version": hello.version, "exchanges": hello.exchanges, "window": hello.window,
        "head": hello.head, "websocket": hello.websocket, "tcp": hello.tcp,
    }) else {
        unreachable!("an object")
    };
    map
}

fn tagged(tag: &str, name: &str, mut map: Map<String, Value>) -> Value {
    map.insert(tag.to_owned(), name.into());
    Value::Object(map)
}

pub(super) fn frame(frame: &Frame) -> Value {
    match frame {
        Frame::Hello(h) => tagged("type", "hello", hello(h)),
        Frame::Head {
            id,
            end,
            more,
            block,
        } => {
            json!({ "type": "head", "id": id, "end": end, "more": more, "block": hex(block) })
        }
        Frame::Data {
            id,
            end,
            fin,
            text,
            bytes,
        } => {
            json!({ "type": "data", "id": id, "end": end, "fin": fin, "text": text, "bytes": hex(bytes) })
        }
        Frame::Credit { id, octets } => json!({ "type": "credit", "id": id, "octets": octets }),
        Frame::Reset { id, code } => json!({ "type": "reset", "id": id, "code": code.name() }),
        Frame::Drain { highest } => json!({ "type": "drain", "highest": highest }),
        Frame::Ping(octets) => json!({ "type": "ping", "octets": hex(octets) }),
        Frame::Pong(octets) => json!({ "type": "pong", "octets": hex(octets) }),
    }
}

/// `None` for what only wakes a reader or writer: when that happens is each implementation's own affair.
pub(super) fn event(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Hello(h) => tagged("event", "hello", hello(h)),
        Event::Opened {
            id,
            request: r,
            end,
        } => {
            json!({ "event": "opened", "id": id.number(), "head": request(r), "end": end })
        }
        Event::Interim {
            id,
            status,
            fields: f,
        } => {
            json!({ "event": "interim", "id": id.number(), "status": status, "fields": fields(f) })
        }
        Event::Response {
            id,
            status,
            fields: f,
            end,
        } => {
            json!({ "event": "response", "id": id.number(), "status": status, "fields": fields(f), "end": end })
        }
        Event::Readable { .. } | Event::Writable { .. } => return None,
        Event::Stopped { id } => json!({ "event": "stopped", "id": id.number() }),
        Event::Ended { id } => json!({ "event": "ended", "id": id.number() }),
        Event::Reset { id, code, by_peer } => {
            json!({ "event": "reset", "id": id.number(), "code": code.name(), "byPeer": by_peer })
        }
        Event::Draining => json!({ "event": "draining" }),
        Event::Closed(reason) => {
            use crate::http::CloseReason::{Drained, Lost, Silent, Violation};
            let reason = match reason {
                Violation(violation) => violation.name(),
                Silent => "silent",
                Drained => "drained",
                Lost => "lost",
            };
            json!({ "event": "closed", "reason": reason })
        }
    })
}

pub(super) fn incoming(incoming: &Incoming) -> Value {
    match incoming {
        Incoming::Data {
            bytes, fin: false, ..
        } => json!({ "bytes": hex(bytes) }),
        Incoming::Data { bytes, text, .. } => {
            json!({ "bytes": hex(bytes), "fin": true, "text": text })
        }
        Incoming::End(End::Plain) => json!({ "end": true }),
        Incoming::End(End::Trailers(f)) => json!({ "end": true, "trailers": fields(f) }),
        Incoming::End(End::Close(payload)) => json!({ "end": true, "close": hex(payload) }),
    }
}

#[test]
fn hex_with_runs_survives() {
    for octets in [
        &b""[..],
        b"abc",
        &[0; 40],
        &[b'a'; 15],
        b"xyyyyyyyyyyyyyyyyyyyyyz",
    ] {
        assert_eq!(unhex(&hex(octets)), octets);
    }
    assert_eq!(hex(&[0x61; 20]), "[61*20]");
}
