mod answers;
mod coming_back;
mod moderation;
mod natives;
mod old_clients;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::room::*;

use super::*;

const START: Duration = Duration::from_secs(1_795_204_884);
const EPOCH: Epoch = Epoch([7; 8]);

/// A room, and what each connection heard.
struct Stage {
    room: Room,
    now: Duration,
    heard: BTreeMap<u64, Vec<(Way, Payload)>>,
    closed: Vec<(u64, Closing)>,
    told: Vec<Told>,
}

impl Stage {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self {
            room: Room::new(config, EPOCH),
            now: START,
            heard: BTreeMap::new(),
            closed: Vec::new(),
            told: Vec::new(),
        }
    }

    fn usual() -> Self {
        Self::new(|_| {})
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Send { to, payload, way } => {
                    for conn in to.iter() {
                        let heard = self.heard.entry(conn.0).or_default();
                        heard.push((way, payload.clone()));
                    }
                }
                Output::Close { conn, why } => self.closed.push((conn.0, why)),
                Output::Told(told) => self.told.push(told),
            }
        }
    }

    /// Time passes; the room is woken when it wants to be.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.room.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.room.handle_timeout(self.now);
            self.drain();
            assert!(self.room.poll_timeout().is_none_or(|next| next > self.now));
        }
        self.now = until;
    }

    fn open(&mut self, conn: u64, name: &str, kind: Kind) {
        let name = Name::parse(name).unwrap();
        self.room.handle_opened(ConnKey(conn), name, kind, self.now);
        self.drain();
    }

    fn says(&mut self, conn: u64, payload: Payload, way: Way) {
        self.room
            .handle_message(ConnKey(conn), payload, way, self.now);
        self.drain();
    }

    fn frame(&mut self, conn: u64, frame: FromMember) {
        self.says(conn, Payload::Bytes(frame.emit()), Way::Reliable);
    }

    fn hello(&mut self, conn: u64, name: &str, token: u8, epoch: Epoch, last: u64) {
        self.open(conn, name, Kind::Native);
        let token = Token::new([token; 16]);
        self.frame(
            conn,
            FromMember::Hello(Hello {
                token,
                metadata: Json::NULL,
                epoch,
                last,
            }),
        );
    }

    /// A native member whose token is its connection's first number.
    fn native(&mut self, conn: u64, name: &str) {
        self.hello(conn, name, conn as u8, Epoch::default(), 0);
    }

    fn old(&mut self, conn: u64, name: &str) {
        self.open(conn, name, Kind::Legacy);
        let join = format!(
            r#"{{"type":"SYSTEM","action":"PEER_JOIN","payload":{{"userAgent":"{name}'s","timestamp":1}},"peer_id":"{name}","target":null,"timestamp":1}}"#
        );
        self.text(conn, &join);
    }

    fn text(&mut self, conn: u64, text: &str) {
        self.says(conn, Payload::Text(text.into()), Way::Reliable);
    }

    fn chat(&mut self, conn: u64, text: &str) {
        self.frame(conn, emit(To::Others, None, chat(text)));
    }

    fn closes(&mut self, conn: u64, why: Closed) {
        self.room.handle_closed(ConnKey(conn), why, self.now);
        self.drain();
    }

    /// What a native connection heard since it was asked the last time.
    fn frames(&mut self, conn: u64) -> Vec<FromHub> {
        let heard = self.heard.remove(&conn).unwrap_or_default();
        heard
            .into_iter()
            .map(|(_, payload)| match payload {
                Payload::Bytes(bytes) => FromHub::parse(bytes).unwrap().unwrap(),
                Payload::Text(text) => panic!("a native member gets no text: {text}"),
            })
            .collect()
    }

    /// What an old client heard.
    fn texts(&mut self, conn: u64) -> Vec<String> {
        let heard = self.heard.remove(&conn).unwrap_or_default();
        heard
            .into_iter()
            .map(|(_, payload)| match payload {
                Payload::Text(text) => text.to_string(),
                Payload::Bytes(bytes) => format!("{bytes:?}"),
            })
            .collect()
    }

    /// The actions and chat messages among it, in short.
    fn short(&mut self, conn: u64) -> Vec<String> {
        let texts = self.texts(conn);
        texts
            .into_iter()
            .map(|text| {
                let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else {
                    return text;
                };
                let of = |name: &str| json.get(name).and_then(|it| it.as_str()).unwrap_or("");
                match of("action") {
                    "" => text,
                    "HOST_CHANGE" => format!("HOST_CHANGE {}", json["payload"]),
                    action => format!("{action} {}", of("peer_id")),
                }
            })
            .collect()
    }

    fn forget(&mut self) {
        self.heard.clear();
        self.told.clear();
        self.closed.clear();
    }

    fn names(&self) -> Vec<String> {
        let members = self.room.members();
        members.map(|view| view.name.to_string()).collect()
    }

    fn host(&self) -> Option<&str> {
        self.room.host().map(Name::as_str)
    }
}

fn emit(to: To, ack: Option<u64>, said: Said) -> FromMember {
    FromMember::Emit(Emit {
        to,
        ack,
        fast: false,
        said,
    })
}

fn chat(text: &str) -> Said {
    Said::Chat(Body::Json(Json::string(text)))
}

fn event(name: &str, json: &str) -> Said {
    let json = Json::parse(json.into()).unwrap();
    Said::Event(Event::parse(name.into()).unwrap(), Body::Json(json))
}

fn number(number: u64) -> MemberNumber {
    MemberNumber::new(number).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The texts of the chat messages among frames.
fn said(frames: &[FromHub]) -> Vec<String> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            FromHub::Message(Message {
                said: Said::Chat(Body::Json(json)),
                ..
            }) => serde_json::from_str(json.as_str()).ok(),
            _ => None,
        })
        .collect()
}

fn refused(code: RefusedCode) -> Closing {
    Closing::Refused(code)
}
