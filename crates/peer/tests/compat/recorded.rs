//! The recording, in the lines that it is compared by: members of frames, messages written, values read, and ends.

use std::collections::BTreeSet;
use std::path::Path;

use peerage_peer::{Message, Value};
use serde_json::Value as Json;

pub(crate) struct Scene {
    pub(crate) name: String,
    scene: Json,
}

pub(crate) fn scenes() -> Vec<Scene> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let text = std::fs::read_to_string(path.join(crate::VECTORS)).unwrap();
    let vectors: Json = serde_json::from_str(&text).unwrap();
    let scenes = vectors["scenarios"].as_array().unwrap().iter();
    let scene = |scene: &Json| Scene {
        name: scene["name"].as_str().unwrap().to_owned(),
        scene: scene.clone(),
    };
    scenes.map(scene).collect()
}

impl Scene {
    fn all(&self, who: &str, k: &str) -> Vec<&Json> {
        let entries = self.scene[who].as_array().into_iter().flatten();
        entries.filter(|entry| entry["k"] == k).collect()
    }

    /// What Alice wrote to the channel, as recorded.
    pub(crate) fn written(&self) -> Vec<&Json> {
        self.all("alice", "dc-send")
    }

    /// The payloads of Alice's offers.
    pub(crate) fn offers(&self) -> Vec<Json> {
        let sent = self.all("alice", "ws-send").into_iter();
        let sent = sent.map(|sent| serde_json::from_str::<Json>(text(sent)).unwrap());
        let offers = sent.filter(|frame| frame["type"] == "OFFER");
        offers.map(|frame| frame["payload"].clone()).collect()
    }

    /// Whether the recording tells of a call.
    pub(crate) fn is_media(&self) -> bool {
        self.offers().iter().any(|offer| offer["type"] == "media")
    }

    pub(crate) fn has_closed(&self) -> bool {
        self.lines().contains(&"bob conn close".to_owned())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        if self.is_media() {
            return vec!["a call".into()];
        }
        let mut frames = BTreeSet::new();
        let mut lines = Vec::new();
        for who in ["alice", "bob"] {
            for sent in self.all(who, "ws-send") {
                let frame: Json = serde_json::from_str(text(sent)).unwrap();
                // The page that was recorded sent LEAVE with its own hands.
                if frame["type"] != "LEAVE" {
                    frames.extend(members(who, &frame));
                }
            }
            for sent in self.all(who, "dc-send") {
                lines.push(format!("{who} writes {}", recorded_message(sent)));
            }
            let asked = self.all(who, "http").len();
            lines.extend(vec![format!("{who} asks the server"); asked]);
            let thrown = self.all(who, "exception").len();
            lines.extend(vec![format!("{who} exception"); thrown]);
            lines.extend(self.all(who, "event").into_iter().map(|e| event(who, e)));
        }
        lines.extend(frames);
        lines
    }
}

fn text(entry: &Json) -> &str {
    entry["text"].as_str().unwrap()
}

/// An event of a library's object. Which of several of a kind it was is not told.
fn event(who: &str, entry: &Json) -> String {
    let arg = &entry["arg"];
    let on = match entry["on"].as_str().unwrap() {
        "conn" | "c1" | "c2" | "one" | "two" => "conn",
        "listAllPeers" => "list",
        _ => "peer",
    };
    match entry["event"].as_str().unwrap() {
        "data" => format!("{who} reads {}", told(arg)),
        "connection" => connection(
            who,
            (arg["label"] != arg["connectionId"]).then(|| arg["label"].as_str().unwrap()),
            arg["serialization"].as_str().unwrap(),
            arg.get("metadata"),
        ),
        "error" => format!("{who} {on} error {}", arg["type"].as_str().unwrap()),
        "result" => format!("{who} list {arg}"),
        other => format!("{who} {on} {other}"),
    }
}

/// A connection that came in; its label only where it is not the connection's id.
pub(crate) fn connection(
    who: &str,
    label: Option<&str>,
    serialization: &str,
    metadata: Option<&Json>,
) -> String {
    let label = label.unwrap_or("(id)");
    let metadata = metadata.map(|metadata| format!(" {metadata}"));
    let metadata = metadata.unwrap_or_default();
    format!("{who} connection {label} {serialization}{metadata}")
}

/// The members of a frame. What is made up for each connection is `(text)`.
pub(crate) fn members(who: &str, frame: &Json) -> Vec<String> {
    fn walk(path: &str, value: &Json, id: &Json, lines: &mut Vec<String>) {
        let name = path.rsplit(['.', ' ']).next().unwrap();
        let is_free = matches!(name, "connectionId" | "candidate" | "usernameFragment")
            || name == "sdp"
            || (name == "label" && value == id);
        match value {
            Json::Object(object) if !object.is_empty() && name != "metadata" => {
                for (member, value) in object {
                    walk(&format!("{path}.{member}"), value, id, lines);
                }
            }
            Json::String(_) if is_free => lines.push(format!("{path}: (text)")),
            value => lines.push(format!("{path}: {value}")),
        }
    }
    let mut lines = Vec::new();
    let kind = frame["type"].as_str().unwrap();
    let payload = &frame["payload"];
    walk(
        &format!("{who} {kind}"),
        payload,
        &payload["connectionId"],
        &mut lines,
    );
    lines
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A message on the channel; of long ones how it begins.
pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Text(text) if text.len() > 300 => format!("text of {}", text.len()),
        Message::Text(text) => format!("text {text}"),
        Message::Binary(octets) if octets.len() > 300 => {
            format!("{} octets {}", octets.len(), hex(&octets[..62]))
        }
        Message::Binary(octets) => format!("octets {}", hex(octets)),
    }
}

pub(crate) fn recorded_message(sent: &Json) -> String {
    if let Some(text) = sent["text"].as_str() {
        return match sent["chars"].as_u64() {
            Some(chars) if chars > 300 => format!("text of {chars}"),
            _ => format!("text {text}"),
        };
    }
    let binary = &sent["binary"];
    match binary["hex"].as_str() {
        Some(hex) => format!("octets {hex}"),
        None => {
            let prefix = binary["prefix_hex"].as_str().unwrap();
            format!("{} octets {}", binary["bytes"], &prefix[..124])
        }
    }
}

/// The octets of a message that was recorded whole.
pub(crate) fn whole(sent: &Json) -> Option<Message> {
    if let Some(text) = sent["text"].as_str() {
        let is_whole = sent["chars"] == text.len();
        return is_whole.then(|| Message::Text(text.into()));
    }
    let hex = sent["binary"]["hex"].as_str()?;
    let octets = (0..hex.len()).step_by(2);
    let octets = octets.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    Some(Message::Binary(octets.collect::<Vec<_>>().into()))
}

/// A value that was read, as the recorder told it: octets within a value are an object of its own making there.
fn told(arg: &Json) -> String {
    match arg {
        Json::Object(object) if object.contains_key("js") => match arg["js"].as_str().unwrap() {
            "string" => format!("text of {}", arg["length"]),
            _ => {
                let begin = arg.get("hex").unwrap_or(&arg["prefix_hex"]);
                octets(
                    arg["bytes"].as_u64().unwrap() as usize,
                    begin.as_str().unwrap(),
                )
            }
        },
        // It wrote no octets of an ArrayBuffer within an object.
        Json::Object(object) if object.is_empty() => octets(1, "02"),
        Json::Object(object) if object.contains_key("0") => {
            let all: Vec<_> = object.values().map(|n| n.as_u64().unwrap() as u8).collect();
            octets(all.len(), &hex(&all))
        }
        Json::Object(object) => {
            let members = object.iter();
            let members: BTreeSet<_> = members.map(|(k, v)| format!("{k}: {}", told(v))).collect();
            format!("{members:?}")
        }
        Json::Array(items) => format!("{:?}", items.iter().map(told).collect::<Vec<_>>()),
        Json::String(text) if text == "<20000 x>" => "text of 20000".into(),
        Json::String(text) if text.starts_with("Uint8Array ") => octets(2, &text[11..]),
        Json::String(text) => format!("text {text}"),
        Json::Number(number) => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    }
}

pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Text(text) if text.len() > 300 => format!("text of {}", text.len()),
        Value::Text(text) => format!("text {text}"),
        Value::Bytes(bytes) => octets(bytes.len(), &hex(&bytes[..bytes.len().min(32)])),
        Value::Array(items) => {
            format!("{:?}", items.iter().map(self::value).collect::<Vec<_>>())
        }
        Value::Map(members) => {
            let members = members.iter();
            let members: BTreeSet<_> = members
                .map(|(k, v)| format!("{k}: {}", self::value(v)))
                .collect();
            format!("{members:?}")
        }
        number => number.as_f64().unwrap().to_string(),
    }
}

fn octets(count: usize, begin: &str) -> String {
    format!("{count} octets {begin}")
}
