//! The server's own voice in rooms.

use std::sync::Weak;

use bytes::Bytes;

use super::Shared;
use super::message::Json;

/// Speaks to the members of rooms as the server. Cheap to clone; for handlers, too: it does not keep the hub alive, and after its end reaches nobody.
///
/// What is said is a value: a text, a number, a `serde_json::json!`. Old clients hear `{"peer_id": "server", "message": …}`, new ones a `message` or an event
/// from nobody. Each function gives the number of members that are there to hear it, among them who is being waited for after a lost connection.
///
/// Whoever listens hears it in one order with what members say. A value of more than 240 KiB reaches nobody: no data channel carries it.
#[derive(Clone, Debug)]
pub struct Broadcaster(pub(super) Weak<Shared>);

/// Whom something is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ear<'a> {
    All,
    One(&'a str),
    AllBut(&'a str),
}

/// What is said.
#[derive(Clone, Debug)]
pub(super) enum Speech<'a> {
    Message(Json),
    Event(&'a str, Json),
    Bytes(Bytes),
}

impl Broadcaster {
    /// To all members of a room.
    pub fn room(&self, room: &str, message: impl Into<Json>) -> usize {
        self.say(room, Ear::All, Speech::Message(message.into()))
    }

    /// To one member.
    pub fn to(&self, room: &str, name: &str, message: impl Into<Json>) -> usize {
        self.say(room, Ear::One(name), Speech::Message(message.into()))
    }

    /// To all members but one.
    pub fn all_but(&self, room: &str, name: &str, message: impl Into<Json>) -> usize {
        self.say(room, Ear::AllBut(name), Speech::Message(message.into()))
    }

    /// An event, to all members of a room. Its name has 1 to 256 octets, and is none of the room's own (`joined`, `left`, `host`, …): else nobody is reached.
    pub fn emit(&self, room: &str, event: &str, data: impl Into<Json>) -> usize {
        self.say(room, Ear::All, Speech::Event(event, data.into()))
    }

    /// An event, to one member.
    pub fn emit_to(&self, room: &str, name: &str, event: &str, data: impl Into<Json>) -> usize {
        self.say(room, Ear::One(name), Speech::Event(event, data.into()))
    }

    /// An event, to all members but one.
    pub fn emit_all_but(
        &self,
        room: &str,
        name: &str,
        event: &str,
        data: impl Into<Json>,
    ) -> usize {
        let speech = Speech::Event(event, data.into());
        self.say(room, Ear::AllBut(name), speech)
    }

    /// Bytes, to all members of a room.
    pub fn bytes(&self, room: &str, bytes: impl Into<Bytes>) -> usize {
        self.say(room, Ear::All, Speech::Bytes(bytes.into()))
    }

    /// Bytes, to one member.
    pub fn bytes_to(&self, room: &str, name: &str, bytes: impl Into<Bytes>) -> usize {
        self.say(room, Ear::One(name), Speech::Bytes(bytes.into()))
    }

    fn say(&self, room: &str, to: Ear<'_>, speech: Speech<'_>) -> usize {
        match self.0.upgrade() {
            Some(hub) => hub.say(room, to, &speech),
            None => 0,
        }
    }
}
