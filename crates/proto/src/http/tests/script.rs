//! A session driven step by step, with everything it sends and tells written down.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::json::{event, fields, head, hex, incoming};
use crate::http::{CloseReason, Config, End, Event, ExchangeId, Framing, OpenError, Role, Session};
use crate::wire::http::{Fields, Frame, Head, Request, ResetCode};

/// One side, whose peer is the script. Every step is recorded with the messages (`sends`) and events (`tells`) that it caused.
pub(super) struct Script {
    pub(super) session: Session,
    now: Instant,
    steps: Vec<Value>,
    held: bool,
    /// The events of the last step.
    pub(super) told: Vec<Event>,
    /// The frames of the last step.
    pub(super) sent: Vec<Frame>,
}

impl Script {
    pub(super) fn new(role: Role, config: Config) -> Self {
        let now = crate::sim::epoch();
        let session = Session::new(role, config, now);
        let mut script = Self {
            session,
            now,
            steps: Vec::new(),
            held: false,
            told: Vec::new(),
            sent: Vec::new(),
        };
        script.record(json!({ "do": "start" }));
        script
    }

    /// A session that has its peer's default hello, nothing recorded so far.
    pub(super) fn greeted(role: Role) -> Self {
        let mut script = Self::new(
            role,
            Config {
                websocket: true,
                ..Config::default()
            },
        );
        script.receive(&[Frame::Hello(crate::wire::http::Hello {
            websocket: true,
            ..Default::default()
        })]);
        script
    }

    /// The next step's messages and events are recorded with the step after it.
    pub(super) fn hold(&mut self) -> &mut Self {
        self.held = true;
        self
    }

    pub(super) fn steps(self) -> Value {
        Value::Array(self.steps)
    }

    pub(super) fn receive(&mut self, frames: &[Frame]) {
        let mut message = BytesMut::new();
        frames.iter().for_each(|frame| frame.emit(&mut message));
        self.receive_message(message.freeze());
    }

    pub(super) fn receive_message(&mut self, message: Bytes) {
        let step = json!({ "do": "receive", "message": hex(&message) });
        self.session.handle_message(message, self.now);
        self.record(step);
    }

    /// The peer begins an exchange.
    pub(super) fn requested(&mut self, id: u32, request: Request, end: bool) -> ExchangeId {
        let block = Head::Request(request).emit().expect("a good request");
        self.receive(&[Frame::Head {
            id,
            end,
            more: false,
            block,
        }]);
        ExchangeId(id)
    }

    pub(super) fn open(&mut self, request: Request, end: bool) -> Result<ExchangeId, OpenError> {
        let mut step =
            json!({ "do": "open", "head": head(&Head::Request(request.clone())), "end": end });
        let opened = self.session.open(request, end, self.now);
        step["gives"] = match opened {
            Ok(id) => id.number().into(),
            Err(error) => format!("{error:?}").to_lowercase().into(),
        };
        self.record(step);
        opened
    }

    /// Begins an exchange without a body, or with one that is to follow, where that must work.
    pub(super) fn open_in(&mut self, request: Request) -> ExchangeId {
        let end = matches!(&request, Request::Http { method, .. } if &**method == "GET");
        self.open(request, end).expect("room for an exchange")
    }

    pub(super) fn inform(&mut self, id: ExchangeId, status: u16, sent: Fields) {
        let step =
            json!({ "do": "inform", "id": id.number(), "status": status, "fields": fields(&sent) });
        self.session
            .inform(id, status, sent)
            .expect("an interim response may be sent");
        self.record(step);
    }

    pub(super) fn respond(&mut self, id: ExchangeId, status: u16, sent: Fields, end: bool) {
        let step = json!({ "do": "respond", "id": id.number(), "status": status, "fields": fields(&sent), "end": end });
        self.session
            .respond(id, status, sent, end)
            .expect("a response may be sent");
        self.record(step);
    }

    pub(super) fn write(&mut self, id: ExchangeId, bytes: impl Into<Bytes>) {
        let mut bytes = bytes.into();
        let step = json!({ "do": "write", "id": id.number(), "bytes": hex(&bytes) });
        assert!(
            self.session
                .write(id, &mut bytes, Framing::Stream)
                .expect("a body may be written"),
            "room for all"
        );
        self.record(step);
    }

    pub(super) fn write_message(&mut self, id: ExchangeId, bytes: impl Into<Bytes>, text: bool) {
        let mut bytes = bytes.into();
        let step = json!({ "do": "write", "id": id.number(), "bytes": hex(&bytes), "fin": true, "text": text });
        let framing = Framing::Message { text, fin: true };
        assert!(
            self.session
                .write(id, &mut bytes, framing)
                .expect("a message may be written"),
            "room for all"
        );
        self.record(step);
    }

    pub(super) fn finish(&mut self, id: ExchangeId, end: End) {
        let mut step = json!({ "do": "finish", "id": id.number() });
        match &end {
            End::Plain => {}
            End::Trailers(trailers) => step["trailers"] = fields(trailers),
            End::Close(payload) => step["close"] = hex(payload).into(),
        }
        self.session.finish(id, end).expect("the direction may end");
        self.record(step);
    }

    /// The reader takes the next piece.
    pub(super) fn take(&mut self, id: ExchangeId) {
        let taken = self
            .session
            .read(id, usize::MAX)
            .expect("a live exchange")
            .expect("something to read");
        self.record(json!({ "do": "take", "id": id.number(), "gives": incoming(&taken) }));
    }

    pub(super) fn discard(&mut self, id: ExchangeId) {
        self.session.discard(id);
        self.record(json!({ "do": "discard", "id": id.number() }));
    }

    pub(super) fn reset(&mut self, id: ExchangeId, code: ResetCode) {
        self.session.reset(id, code);
        self.record(json!({ "do": "reset", "id": id.number(), "code": code.name() }));
    }

    pub(super) fn drain(&mut self) {
        self.session.drain();
        self.record(json!({ "do": "drain" }));
    }

    pub(super) fn lost(&mut self) {
        self.session.close(CloseReason::Lost);
        self.record(json!({ "do": "lost" }));
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.record(json!({ "do": "wait", "ms": time.as_millis() as u64 }));
    }

    fn record(&mut self, mut step: Value) {
        if std::mem::take(&mut self.held) {
            step["hold"] = true.into();
        } else {
            let members = step.as_object_mut().expect("a step is an object");
            self.drain_into(members);
        }
        self.steps.push(step);
    }

    fn drain_into(&mut self, step: &mut Map<String, Value>) {
        let messages: Vec<_> = std::iter::from_fn(|| self.session.poll_transmit()).collect();
        self.told = std::iter::from_fn(|| self.session.poll_event()).collect();
        let frames = |message: &Bytes| -> Vec<Frame> {
            let frames = crate::wire::http::Frames::new(message.clone()).expect("a good message");
            frames.map(|frame| frame.expect("a good frame")).collect()
        };
        self.sent = messages.iter().flat_map(frames).collect();
        if !messages.is_empty() {
            let hexes: Vec<_> = messages.iter().map(|message| hex(message)).collect();
            step.insert("sends".to_owned(), hexes.into());
        }
        let told: Vec<_> = self.told.iter().filter_map(event).collect();
        if !told.is_empty() {
            step.insert("tells".to_owned(), told.into());
        }
    }
}

/// `GET path`.
pub(super) fn get(path: &str) -> Request {
    http("GET", path, &[])
}

pub(super) fn http(method: &str, path: &str, fields: &[(&str, &str)]) -> Request {
    Request::Http {
        method: method.into(),
        path: path.into(),
        fields: of(fields),
    }
}

pub(super) fn websocket(path: &str) -> Request {
    Request::WebSocket {
        path: path.into(),
        fields: of(&[("sec-websocket-protocol", "chat")]),
    }
}

pub(super) fn of(fields: &[(&str, &str)]) -> Fields {
    let mut made = Fields::new();
    for (name, value) in fields {
        made.push(*name, Bytes::copy_from_slice(value.as_bytes()));
    }
    made
}

/// A DATA frame of a body.
pub(super) fn data(id: u32, bytes: impl Into<Bytes>, end: bool) -> Frame {
    Frame::Data {
        id,
        end,
        fin: false,
        text: false,
        bytes: bytes.into(),
    }
}

/// A whole head in one frame.
pub(super) fn whole(id: u32, head: Head, end: bool) -> Frame {
    Frame::Head {
        id,
        end,
        more: false,
        block: head.emit().expect("a good head"),
    }
}
