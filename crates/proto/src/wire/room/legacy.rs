//! What PeerPyRTC's clients say: JSON texts, and whatever else, on a channel of any other label.
//!
//! A hub relays what they say as it came, so nothing here judges more than what it must know: who the text claims to be from, and whether it is one of the few that
//! are the hub's own business. Read as JavaScript reads it (the last of several members of one name counts), and as Python does where that is more
//! (`NaN`, `Infinity`): a text that others understand otherwise than the hub could claim anything.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Event, Json, METADATA_MAX, Name};

/// Under what name the hub itself speaks.
pub const SERVER: &str = "server";

/// What a text is, to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// `{"peer_id":own,"message":…}`.
    Chat(Json),
    /// `EVENT` or `BROADCAST`.
    Event {
        /// Its name.
        event: Event,
        /// What it carries; `null` when there is nothing.
        data: Json,
        /// The member that is to get it; none: all.
        target: Option<ByteString>,
    },
    /// `PEER_JOIN`.
    Join {
        /// What the client says of itself: `{userAgent, timestamp}` as far as it said so.
        metadata: Json,
        /// Whether others may have the text as it is: it names its sender, and claims nothing that is the hub's to say.
        is_plain: bool,
    },
    /// `PEER_LEAVE`.
    Leave {
        /// Whether others may have the text as it is.
        is_plain: bool,
    },
    /// Not to be passed on.
    Refused(Refused),
    /// Any other JSON.
    Value(Json),
    /// No JSON.
    Text,
}

/// Why a text is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It names another as its sender.
    Forged,
    /// `HOST_CHANGE`: the hub says who is host.
    HostChange,
    /// `ROOM_STATE`: the hub says who is there.
    RoomState,
}

impl Heard {
    /// Reads a text of the member `own`.
    #[must_use]
    pub fn parse(text: &ByteString, own: &Name) -> Self {
        match Object::parse(text) {
            Parsed::Object(object) => object.heard(text, own),
            Parsed::Other => Self::Value(Json(text.clone())),
            Parsed::None if text.trim_start().starts_with('{') => Self::nearly(text, own),
            Parsed::None => Self::Text,
        }
    }

    /// A text that begins as an object and is no JSON: Python's reader may take it.
    fn nearly(text: &str, own: &Name) -> Self {
        if !text.contains("NaN") && !text.contains("Infinity") {
            return Self::Text;
        }
        let changed = with_json_numbers(text);
        match Object::parse(&changed) {
            Parsed::Object(object) => match object.heard(&changed, own) {
                refused @ Self::Refused(_) => refused,
                // What only some can read is no news of members.
                Self::Join { .. } | Self::Leave { .. } => Self::Refused(Refused::Forged),
                _ => Self::Text,
            },
            _ => Self::Text,
        }
    }
}

/// `NaN` and `Infinity` as numbers that JSON has; what stands in strings stays.
fn with_json_numbers(text: &str) -> ByteString {
    let mut changed = String::with_capacity(text.len());
    // Quotes are no part of any other character, and a backslash takes the next with it.
    let (mut rest, mut is_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        match first {
            '"' => is_string = !is_string,
            '\\' if is_string => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => {}
        }
        let number = ["NaN", "Infinity"]
            .into_iter()
            .find(|it| rest.starts_with(it));
        if let Some(number) = number.filter(|_| !is_string) {
            changed.push('0');
            taken = number.len();
        } else {
            changed.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    changed.into()
}

enum Parsed<'a> {
    Object(Object<'a>),
    Other,
    None,
}

/// The members that mean something, raw.
#[derive(Default)]
struct Object<'a> {
    kind: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    peer_id: Option<&'a RawValue>,
    target: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    /// Those of a payload.
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    user_agent: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    /// One that says what only the hub knows of a member.
    claim: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Parsed<'a> {
        // Members' names are read as octets below, and control characters would pass there.
        if serde_json::from_str::<&RawValue>(text).is_err() {
            return Parsed::None;
        }
        if text.trim_start().starts_with('{') {
            let mut reader = serde_json::Deserializer::from_str(text);
            match reader.deserialize_map(Members) {
                Ok(object) if reader.end().is_ok() => Parsed::Object(object),
                _ => Parsed::None,
            }
        } else {
            Parsed::Other
        }
    }

    fn payload(&self) -> Self {
        match self.payload.map(|payload| Self::parse(payload.get())) {
            Some(Parsed::Object(payload)) => payload,
            _ => Self::default(),
        }
    }

    fn heard(&self, text: &ByteString, own: &Name) -> Heard {
        let json = |raw: Option<&RawValue>| raw.map(|raw| Json(text.slice_ref(raw.get())));
        let is_signed = self.peer_id.is_some_and(is_truthy);
        if is_signed && !self.peer_id.is_some_and(|id| is_text(id, own.as_str())) {
            return Heard::Refused(Refused::Forged);
        }
        let value = || Heard::Value(Json(text.clone()));
        if !self.kind.is_some_and(|kind| is_text(kind, "SYSTEM")) {
            return match json(self.message) {
                Some(message) if is_signed => Heard::Chat(message),
                _ => value(),
            };
        }
        let action = self.action.and_then(string).unwrap_or_default();
        match &*action {
            b"EVENT" | b"BROADCAST" => {
                let payload = self.payload();
                match payload.event.and_then(text_of).and_then(Event::parse) {
                    Some(event) => Heard::Event {
                        event,
                        data: json(payload.data).unwrap_or(Json::NULL),
                        target: self.target.filter(|it| is_truthy(it)).map(|target| {
                            // No member is called by what is no text.
                            text_of(target).unwrap_or_default()
                        }),
                    },
                    None => value(),
                }
            }
            b"PEER_JOIN" => {
                let payload = self.payload();
                Heard::Join {
                    metadata: metadata(&payload),
                    is_plain: is_signed && payload.claim.is_none(),
                }
            }
            b"PEER_LEAVE" => Heard::Leave {
                is_plain: is_signed,
            },
            b"HOST_CHANGE" => Heard::Refused(Refused::HostChange),
            b"ROOM_STATE" => Heard::Refused(Refused::RoomState),
            _ => value(),
        }
    }
}

fn metadata(payload: &Object<'_>) -> Json {
    let mut text = String::from("{");
    let known = [
        ("userAgent", payload.user_agent),
        ("timestamp", payload.timestamp),
    ];
    for (name, raw) in known {
        if let Some(raw) = raw {
            let comma = if text.len() > 1 { "," } else { "" };
            text.extend([comma, "\"", name, "\":", raw.get()]);
        }
    }
    text.push('}');
    if text.len() > METADATA_MAX {
        return Json("{}".into());
    }
    Json(text.into())
}

/// As JavaScript and Python see it.
fn is_truthy(raw: &RawValue) -> bool {
    match raw.get() {
        "null" | "false" | "\"\"" => false,
        number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            // What is written with zeros alone is zero, and so is what is too small for either to tell from it.
            number.parse::<f64>() != Ok(0.0)
        }
        _ => true,
    }
}

fn is_text(raw: &RawValue, text: &str) -> bool {
    string(raw).is_some_and(|string| *string == *text.as_bytes())
}

fn text_of(raw: &RawValue) -> Option<ByteString> {
    String::from_utf8(string(raw)?.into_owned())
        .ok()
        .map(ByteString::from)
}

/// The octets of a JSON string; half a surrogate pair is no UTF-8 in them.
fn string(raw: &RawValue) -> Option<Cow<'_, [u8]>> {
    struct Octets;

    impl<'de> Visitor<'de> for Octets {
        type Value = Cow<'de, [u8]>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_bytes<E>(self, octets: &'de [u8]) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(octets))
        }

        fn visit_bytes<E>(self, octets: &[u8]) -> Result<Self::Value, E> {
            Ok(Cow::Owned(octets.to_vec()))
        }
    }

    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_bytes(Octets)
        .ok()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let place = match key {
                Known::Kind => &mut object.kind,
                Known::Action => &mut object.action,
                Known::Payload => &mut object.payload,
                Known::PeerId => &mut object.peer_id,
                Known::Target => &mut object.target,
                Known::Message => &mut object.message,
                Known::Event => &mut object.event,
                Known::Data => &mut object.data,
                Known::UserAgent => &mut object.user_agent,
                Known::Timestamp => &mut object.timestamp,
                Known::Claim => &mut object.claim,
                Known::Other => {
                    map.next_value::<&RawValue>()?;
                    continue;
                }
            };
            *place = Some(map.next_value()?);
        }
        Ok(object)
    }
}

enum Known {
    Kind,
    Action,
    Payload,
    PeerId,
    Target,
    Message,
    Event,
    Data,
    UserAgent,
    Timestamp,
    Claim,
    Other,
}

/// Reads a member's name as octets: half a surrogate pair, which is no text, is no reason to read another object than JavaScript does.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Known;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Known, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Known, E> {
        Ok(match name {
            b"type" => Known::Kind,
            b"action" => Known::Action,
            b"payload" => Known::Payload,
            b"peer_id" => Known::PeerId,
            b"target" => Known::Target,
            b"message" => Known::Message,
            b"event" => Known::Event,
            b"data" => Known::Data,
            b"userAgent" => Known::UserAgent,
            b"timestamp" => Known::Timestamp,
            b"id" | b"isHost" | b"joinTime" | b"lastSeen" | b"__proto__" => Known::Claim,
            _ => Known::Other,
        })
    }
}

/// A chat message.
#[must_use]
pub fn chat(from: &str, message: &Json) -> ByteString {
    let mut text = String::with_capacity(32 + from.len() + message.as_str().len());
    text.push_str("{\"peer_id\":");
    push_string(&mut text, from);
    text.extend([",\"message\":", message.as_str(), "}"]);
    text.into()
}

/// An `EVENT`; `now` in milliseconds since 1970.
#[must_use]
pub fn event(from: &str, event: &Event, data: &Json, now: u64) -> ByteString {
    let mut payload = String::with_capacity(32 + event.as_str().len() + data.as_str().len());
    payload.push_str("{\"event\":");
    push_string(&mut payload, event.as_str());
    payload.extend([",\"data\":", data.as_str(), "}"]);
    system("EVENT", &payload, from, None, now)
}

/// A `PEER_JOIN` of a native member's.
#[must_use]
pub fn join(from: &str, metadata: &Json, now: u64) -> ByteString {
    let payload = format!(
        "{{\"userAgent\":\"peerage\",\"timestamp\":{now},\"metadata\":{}}}",
        metadata.as_str()
    );
    system("PEER_JOIN", &payload, from, None, now)
}

/// A `PEER_JOIN` of an old client's, as far as others may have it: `metadata` is what [`Heard::Join`] has kept of it; [`Json::NULL`] where it said nothing.
#[must_use]
pub fn join_again(from: &str, metadata: &Json, now: u64) -> ByteString {
    match Object::parse(metadata.as_str()) {
        Parsed::Object(_) => system("PEER_JOIN", metadata.as_str(), from, None, now),
        _ => join(from, metadata, now),
    }
}

/// A `PEER_LEAVE`.
#[must_use]
pub fn leave(from: &str, now: u64) -> ByteString {
    system("PEER_LEAVE", "{}", from, None, now)
}

/// A `HOST_CHANGE`; an empty name says that there is none.
#[must_use]
pub fn host_change(host: &str, now: u64) -> ByteString {
    let mut payload = String::new();
    push_string(&mut payload, host);
    system("HOST_CHANGE", &payload, SERVER, None, now)
}

/// What a `ROOM_STATE` says of a member.
#[derive(Debug, Clone)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says of itself.
    pub metadata: &'a Json,
    /// In milliseconds since 1970.
    pub joined: u64,
    /// In milliseconds since 1970.
    pub seen: u64,
    /// Whether it is the host.
    pub is_host: bool,
}

/// Octets of a list of members; those that would come after are left out, so that one message carries it.
const STATE_MAX: usize = 200 * 1024;

/// Octets of a member's `userAgent`.
const USER_AGENT_MAX: usize = 256;

/// A `ROOM_STATE` for one newcomer. What is too much for one message leaves members out, but neither the newcomer nor the host.
#[must_use]
pub fn room_state<'a>(
    peers: impl Iterator<Item = Peer<'a>>,
    host: Option<&str>,
    to: &str,
    now: u64,
) -> ByteString {
    let mut payload = String::from("{\"peers\":[");
    let mut comma = "";
    for peer in peers {
        if payload.len() > STATE_MAX && !peer.is_host && peer.name != to {
            continue;
        }
        payload.push_str(std::mem::replace(&mut comma, ","));
        peer.push(&mut payload);
    }
    payload.push_str("],\"hostId\":");
    match host {
        Some(host) => push_string(&mut payload, host),
        None => payload.push_str("null"),
    }
    payload.push('}');
    system("ROOM_STATE", &payload, SERVER, Some(to), now)
}

impl Peer<'_> {
    /// `{"id","joinTime","lastSeen","userAgent","timestamp","isHost"}`.
    pub fn push(&self, text: &mut String) {
        text.push_str("{\"id\":");
        push_string(text, self.name);
        text.push_str(&format!(
            ",\"joinTime\":{},\"lastSeen\":{},\"userAgent\":",
            self.joined, self.seen
        ));
        text.push_str(&user_agent(self.metadata));
        text.push_str(&format!(
            ",\"timestamp\":{},\"isHost\":{}}}",
            self.joined, self.is_host
        ));
    }
}

/// The JSON of `userAgent` in a member's metadata; `"peerage"` where there is none. A long text is cut, and what is long otherwise left out.
#[must_use]
pub fn user_agent(metadata: &Json) -> String {
    let none = || "\"peerage\"".to_owned();
    let Parsed::Object(object) = Object::parse(metadata.as_str()) else {
        return none();
    };
    match object.user_agent {
        Some(raw) if raw.get().len() <= USER_AGENT_MAX => raw.get().to_owned(),
        Some(raw) => text_of(raw).map_or_else(none, |text| {
            let fits = |at: &usize| *at <= USER_AGENT_MAX && text.is_char_boundary(*at);
            let end = (0..=text.len()).rev().find(fits).unwrap_or(0);
            Json::string(&text[..end]).as_str().to_owned()
        }),
        None => none(),
    }
}

fn system(action: &str, payload: &str, from: &str, target: Option<&str>, now: u64) -> ByteString {
    let mut text = String::with_capacity(112 + payload.len() + from.len());
    text.extend([
        "{\"type\":\"SYSTEM\",\"action\":\"",
        action,
        "\",\"payload\":",
    ]);
    text.extend([payload, ",\"peer_id\":"]);
    push_string(&mut text, from);
    text.push_str(",\"target\":");
    match target {
        Some(target) => push_string(&mut text, target),
        None => text.push_str("null"),
    }
    text.push_str(&format!(",\"timestamp\":{now}}}"));
    text.into()
}

fn push_string(text: &mut String, string: &str) {
    text.push_str(Json::string(string).as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Heard {
        Heard::parse(&text.into(), &Name::parse("alice").unwrap())
    }

    fn json(text: &str) -> Json {
        Json::parse(text.into()).unwrap()
    }

    const FORGED: Heard = Heard::Refused(Refused::Forged);

    #[test]
    fn what_old_clients_say_is_understood() {
        assert_eq!(
            heard(r#"{"peer_id":"alice","message":"hi"}"#),
            Heard::Chat(json("\"hi\""))
        );
        assert_eq!(
            heard(
                r#" {"type":"SYSTEM","action":"EVENT","payload":{"event":"move","data":{"x":5}},"peer_id":"alice","target":null,"timestamp":1}"#
            ),
            Heard::Event {
                event: Event::parse("move".into()).unwrap(),
                data: json(r#"{"x":5}"#),
                target: None
            }
        );
        assert_eq!(
            heard(
                r#"{"type":"SYSTEM","action":"BROADCAST","payload":{"event":"e"},"peer_id":"alice","target":"b\u006fb"}"#
            ),
            Heard::Event {
                event: Event::parse("e".into()).unwrap(),
                data: Json::NULL,
                target: Some("bob".into())
            }
        );
        assert_eq!(
            heard(
                r#"{"type":"SYSTEM","action":"PEER_JOIN","payload":{"userAgent":"x","timestamp":7},"peer_id":"alice"}"#
            ),
            Heard::Join {
                metadata: json(r#"{"userAgent":"x","timestamp":7}"#),
                is_plain: true
            }
        );
        let leave = r#"{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"alice"}"#;
        assert_eq!(heard(leave), Heard::Leave { is_plain: true });
        for value in [
            r#"{"event":"chat-list-update","items":[1]}"#,
            r#"{"foo":1}"#,
            "[1,2]",
            "5",
            "\"x\"",
            "null",
            r#"{"message":"unsigned"}"#,
            r#"{"peer_id":null,"message":"unsigned"}"#,
            r#"{"peer_id":"alice"}"#,
            r#"{"type":"SYSTEM","action":"SING","peer_id":"alice"}"#,
            r#"{"type":"SYSTEM","action":"EVENT","payload":7,"peer_id":"alice"}"#,
            r#"{"\ud800":1}"#,
        ] {
            assert_eq!(heard(value), Heard::Value(json(value)), "{value}");
        }
        for text in [
            "plain text",
            "",
            "{\"broken",
            "{} {}",
            "\u{feff}{}",
            "{NaN}",
            "{\"peer_id\":\"alice\",\"mess\u{14}age\":1}",
        ] {
            assert_eq!(heard(text), Heard::Text, "{text}");
        }
    }

    #[test]
    fn who_names_another_as_sender_is_not_heard_however_it_is_written() {
        for forged in [
            r#"{"peer_id":"bob","message":"hi"}"#,
            r#"{"peer_id":"alice","message":"hi","peer_id":"bob"}"#,
            r#"{"peer\u005fid":"bob","message":"hi"}"#,
            r#"{"peer_id":"\u0062ob","message":"hi"}"#,
            r#"{"peer_id":"bob","message":"hi","\ud800":1}"#,
            r#"{"peer_id":"\ud800","message":"hi"}"#,
            r#"{"peer_id":5,"message":"hi"}"#,
            r#"{"peer_id":["bob"],"message":"hi"}"#,
            r#"{"peer_id":"server","message":"hi"}"#,
            r#"{"peer_id":"bob","event":"x"}"#,
            r#"{"peer_id":"bob","message":NaN}"#,
            r#"{"message":[-Infinity],"peer_id":"bob"}"#,
            r#"{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"bob"}"#,
            r#"{"type":"SYSTEM","action":"EVENT","payload":{"event":"x"},"peer_id":"bob"}"#,
        ] {
            assert_eq!(heard(forged), FORGED, "{forged}");
        }
        // Honest, though not JSON: as it came for old clients, a text for others.
        assert_eq!(heard(r#"{"peer_id":"alice","message":NaN}"#), Heard::Text);
        let nancy = Name::parse("NaNcy").unwrap();
        let text = r#"{"peer_id":"NaNcy","message":NaN}"#;
        assert_eq!(Heard::parse(&text.into(), &nancy), Heard::Text);
        let in_texts = r#"{"peer_id":"alice","NaN \\\" NaN":["Infinity",Infinity,-Infinity,NaN]}"#;
        assert_eq!(heard(in_texts), Heard::Text);
        // Whose name has it in it is not who has another number there.
        let own = Name::parse("userNaN").unwrap();
        let text = r#"{"peer_id":"user0","message":NaN}"#;
        assert_eq!(Heard::parse(&text.into(), &own), FORGED);
    }

    #[test]
    fn what_is_the_hubs_to_say_is_not_heard() {
        let system = |action: &str, more: &str| {
            heard(&format!(
                r#"{{"type":"SYSTEM","action":"{action}","payload":{more},"peer_id":"alice"}}"#
            ))
        };
        let refused = |why| Heard::Refused(why);
        assert_eq!(
            system("HOST_CHANGE", "\"alice\""),
            refused(Refused::HostChange)
        );
        assert_eq!(
            system("ROOM_STATE", "{\"peers\":[]}"),
            refused(Refused::RoomState)
        );
        for claim in ["id", "isHost", "joinTime", "lastSeen", "__proto__"] {
            let joined = system("PEER_JOIN", &format!(r#"{{"{claim}":"bob"}}"#));
            let metadata = json("{}");
            assert_eq!(
                joined,
                Heard::Join {
                    metadata,
                    is_plain: false
                }
            );
        }
    }

    #[test]
    fn what_is_made_is_json_whatever_the_name() {
        let name = "Zoë \"\\\u{2028}";
        let parse = |text: ByteString| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let made = parse(chat(name, &json("[1]")));
        assert_eq!(made["peer_id"], name);
        let event_name = Event::parse("dr\"aw".into()).unwrap();
        let made = parse(event(name, &event_name, &json("{\"x\":1}"), 17));
        assert_eq!(made["payload"]["event"], "dr\"aw");
        assert_eq!(made["payload"]["data"]["x"], 1);
        assert_eq!(made["timestamp"], 17);
        let made = parse(join(name, &json("[7]"), 17));
        assert_eq!(made["payload"]["metadata"][0], 7);
        assert_eq!(made["payload"]["userAgent"], "peerage");
        let kept = json(r#"{"userAgent":"x","timestamp":3}"#);
        let made = parse(join_again(name, &kept, 17));
        assert_eq!(made["payload"]["timestamp"], 3);
        let made = parse(join_again(name, &Json::NULL, 17));
        assert_eq!(made["payload"]["timestamp"], 17);
        assert_eq!(parse(leave(name, 17))["action"], "PEER_LEAVE");
        assert_eq!(parse(host_change(name, 17))["payload"], name);
        let metadata = json(r#"{"userAgent":"x"}"#);
        let peer = |is_host| Peer {
            name,
            metadata: &metadata,
            joined: 5,
            seen: 6,
            is_host,
        };
        let made = parse(room_state(
            [peer(true), peer(false)].into_iter(),
            Some(name),
            "bob",
            17,
        ));
        assert_eq!(made["payload"]["hostId"], name);
        assert_eq!(made["payload"]["peers"][0]["isHost"], true);
        assert_eq!(made["payload"]["peers"][1]["userAgent"], "x");
        assert_eq!(made["target"], "bob");
    }
}
