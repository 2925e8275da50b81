//! Those who come: native members with their machine, and old clients as their library sees a room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytestring::ByteString;
use serde_json::{Value, json};

use crate::room::ConnKey;
use crate::room::member::{AckId, Config, Member};
use crate::wire::room::{Json, Name, Token};

/// One client: a page from its loading to its end.
pub(super) struct Guest {
    pub(super) name: Name,
    pub(super) token: u8,
    pub(super) speaks: Speaks,
    pub(super) conn: Option<ConnKey>,
    pub(super) returns_at: Option<Duration>,
    /// Takes nothing before.
    pub(super) paused_until: Duration,
    /// Numbers all that it says, and what it says to everybody.
    pub(super) said: u64,
    pub(super) spoken: u64,
    /// The last that it heard of each.
    pub(super) seen: BTreeMap<u64, Seen>,
    pub(super) asks: BTreeMap<AckId, Duration>,
    /// What a native member says of itself.
    pub(super) metadata: Json,
}

pub(super) enum Speaks {
    Native(Box<Member>),
    Old(View),
}

/// What an old client knows.
#[derive(Default)]
pub(super) struct View {
    pub(super) names: BTreeSet<String>,
    pub(super) host: Option<String>,
}

#[derive(Default, Clone, Copy)]
pub(super) struct Seen {
    pub(super) said: u64,
    pub(super) spoken: Option<u64>,
}

/// What the messages of the simulation say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) sender: u64,
    pub(super) number: u64,
    /// Among those to everybody.
    pub(super) spoken: Option<u64>,
    pub(super) is_fast: bool,
    pub(super) to: Option<Vec<String>>,
}

impl Word {
    pub(super) fn json(&self) -> Value {
        json!({"sender": self.sender, "number": self.number, "spoken": self.spoken, "fast": self.is_fast, "to": self.to})
    }

    pub(super) fn of(json: &Value) -> Option<Self> {
        let to = json.get("to").and_then(Value::as_array);
        Some(Self {
            sender: json.get("sender")?.as_u64()?,
            number: json.get("number")?.as_u64()?,
            spoken: json.get("spoken").and_then(Value::as_u64),
            is_fast: json.get("fast")?.as_bool()?,
            to: to.map(|to| {
                to.iter()
                    .filter_map(|it| it.as_str().map(str::to_owned))
                    .collect()
            }),
        })
    }
}

impl Guest {
    pub(super) fn new(name: Name, token: u8, is_native: bool) -> Self {
        Self {
            speaks: if is_native {
                let token = Token::new([token; 16]);
                Speaks::Native(Box::new(Member::new(Config::new(token, Json::NULL))))
            } else {
                Speaks::Old(View::default())
            },
            name,
            token,
            conn: None,
            returns_at: None,
            paused_until: Duration::ZERO,
            said: 0,
            spoken: 0,
            seen: BTreeMap::new(),
            asks: BTreeMap::new(),
            metadata: Json::NULL,
        }
    }

    pub(super) fn is_native(&self) -> bool {
        matches!(self.speaks, Speaks::Native(_))
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        match &self.speaks {
            Speaks::Native(member) => member.members().map(|it| it.name.to_string()).collect(),
            Speaks::Old(view) => view.names.clone(),
        }
    }

    pub(super) fn host(&self) -> Option<String> {
        match &self.speaks {
            Speaks::Native(member) => member.host().map(|it| it.name.to_string()),
            Speaks::Old(view) => view.host.clone(),
        }
    }

    pub(super) fn is_in(&self) -> bool {
        match &self.speaks {
            Speaks::Native(member) => member.is_in(),
            Speaks::Old(view) => !view.names.is_empty(),
        }
    }
}

impl View {
    /// Takes a text; who says what in it, if it is a message.
    pub(super) fn read(&mut self, own: &str, text: &ByteString) -> Option<(String, Word)> {
        let json: Value = serde_json::from_str(text).ok()?;
        let peer = json.get("peer_id")?.as_str()?.to_owned();
        match json.get("action").and_then(Value::as_str) {
            Some("PEER_JOIN") => {
                self.names.insert(peer);
            }
            Some("PEER_LEAVE") => {
                self.names.remove(&peer);
            }
            Some("HOST_CHANGE") => self.host = json["payload"].as_str().map(str::to_owned),
            Some("ROOM_STATE") => {
                let peers = json["payload"]["peers"].as_array().into_iter().flatten();
                self.names = peers
                    .filter_map(|peer| peer["id"].as_str().map(str::to_owned))
                    .collect();
                self.names.insert(own.to_owned());
                self.host = json["payload"]["hostId"].as_str().map(str::to_owned);
            }
            Some(_) => return Some((peer, Word::of(&json["payload"]["data"])?)),
            None => return Some((peer, Word::of(&json["message"])?)),
        }
        None
    }
}
