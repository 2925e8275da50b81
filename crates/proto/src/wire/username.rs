//! Messages of the username protocol: one JSON object a WebSocket message, text or binary. See `docs/protocol/username.md`.
//!
//! ```json
//! {"action":"login","data":"anna"}
//! {"from":"anna","to":"ben","action":"offer","data":{…}}
//! ```
//!
//! A message with a receiver is passed on with the octets that it came with, but for the value of `from`. No other member is looked into.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longest message in octets: 1 MiB, as the server that this replaces.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Longest name in octets of its JSON text, quotes and escapes included.
pub const MAX_NAME: usize = 512;

/// Who is logged in: a JSON scalar, kept as its JSON text.
///
/// `7` and `"7"` are two names. Texts are compared by what they say, not by how it was escaped; numbers by how they are written: `7` and `7.0` are two
/// names. `true`, `false`, `null` and `""` are names too. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// Not JSON, an array or an object, longer than [`MAX_NAME`], or a text with half a surrogate pair.
    pub fn parse(json: &str) -> Result<Self, MessageError> {
        let value: &RawValue = serde_json::from_str(json).map_err(MessageError::Json)?;
        Self::from_raw(value)
    }

    fn from_raw(value: &RawValue) -> Result<Self, MessageError> {
        let json = value.get();
        let json = match json.as_bytes().first() {
            Some(b'{' | b'[') => return Err(MessageError::NotAName),
            Some(b'"') => {
                let Text(text) = serde_json::from_str(json).map_err(MessageError::Json)?;
                Cow::Owned(json_string(&text))
            }
            _ => Cow::Borrowed(json),
        };
        if json.len() > MAX_NAME {
            return Err(MessageError::LongName(json.len()));
        }
        Ok(Self(json.into()))
    }

    /// The JSON text: a text with quotes, and with no escapes but those that it needs.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

/// What a client says.
#[derive(Debug)]
pub enum Message<'a> {
    /// `{"action":"login","data":NAME}`: let me be reached under this name.
    Login(Name),
    /// Anything else that has an action and a receiver.
    Relay(Relay<'a>),
}

impl<'a> Message<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(octets: &'a [u8]) -> Result<Self, MessageError> {
        Self::from_text(str::from_utf8(octets).map_err(|_| MessageError::NotUtf8)?)
    }

    /// As [`Message::parse`], for what is known to be text.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn from_text(text: &'a str) -> Result<Self, MessageError> {
        if text.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong(text.len()));
        }
        let members: Members<'a> = serde_json::from_str(text).map_err(MessageError::Json)?;
        let action = members.action.ok_or(MessageError::Missing("action"))?;
        if is_login(action) {
            let data = members.data.ok_or(MessageError::Missing("data"))?;
            return Name::from_raw(data).map(Self::Login);
        }
        let to = Name::from_raw(members.to.ok_or(MessageError::Missing("to"))?)?;
        let from = match members.from {
            Some(value) => Place::Value(range_in(text, value.get())),
            // An object that has an action ends in a brace, and has a member before it.
            None => Place::Before(text.trim_end().len() - 1),
        };
        // A sender that calls itself by what is no name is set right like any other.
        let claimed = members.from.and_then(|value| Name::from_raw(value).ok());
        Ok(Self::Relay(Relay {
            to,
            claimed,
            text,
            from,
        }))
    }
}

/// A message with a receiver.
pub struct Relay<'a> {
    /// Whom it is for.
    pub to: Name,
    /// Who sent it, as it claims itself.
    pub claimed: Option<Name>,
    text: &'a str,
    from: Place,
}

impl Relay<'_> {
    /// The message as `sender` sent it: octet for octet, but for the value of `from`. A message without the member gets it as its last.
    #[must_use]
    pub fn sent_by(&self, sender: &Name) -> String {
        let (before, label, after) = match &self.from {
            Place::Value(range) => (&self.text[..range.start], "", &self.text[range.end..]),
            Place::Before(end) => (&self.text[..*end], r#","from":"#, &self.text[*end..]),
        };
        [before, label, sender.as_json(), after].concat()
    }
}

/// Without the text: it holds addresses.
impl fmt::Debug for Relay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("to", &self.to)
            .field("claimed", &self.claimed)
            .field("octets", &self.text.len())
            .finish()
    }
}

/// Where the sender's name goes.
#[derive(Clone)]
enum Place {
    /// In the stead of this value.
    Value(Range<usize>),
    /// As a member of its own before the closing brace, which is here.
    Before(usize),
}

/// The server's word on a message that it could not follow: `{"action":"error","data":{"code":…,"message":…}}`, without `from` and `to`.
///
/// A message of another client's that looks like it has a `from`: relayed messages always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// Not a message.
    Malformed,
    /// Somebody else holds the name.
    NameTaken(&'a Name),
    /// Nobody holds the name that the message is for.
    UnknownReceiver(&'a Name),
    /// Nobody could answer: the sender has no name.
    NotLoggedIn,
    /// The sender holds as many names as one socket may.
    TooManyNames,
    /// All senders together hold as many names as the server takes.
    Full,
}

impl Fault<'_> {
    /// What programs tell it by.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NameTaken(_) => "name-taken",
            Self::UnknownReceiver(_) => "unknown-receiver",
            Self::NotLoggedIn => "not-logged-in",
            Self::TooManyNames => "too-many-names",
            Self::Full => "full",
        }
    }

    /// What people are told.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Malformed => {
                "not understood: a JSON object with an action and a receiver (to), or a login with a name (data), is expected"
            }
            Self::NameTaken(_) => "this name is taken: choose another one",
            Self::UnknownReceiver(_) => "nobody is logged in under this name",
            Self::NotLoggedIn => "log in with a name first, so that you can be answered",
            Self::TooManyNames => "this connection has as many names as it may have",
            Self::Full => "the server has as many names as it takes: try again later",
        }
    }

    /// The text to send.
    #[must_use]
    pub fn to_text(self) -> String {
        // Neither code nor message needs an escape.
        let (code, message) = (self.code(), self.message());
        let name = match self {
            Self::NameTaken(name) => format!(r#","name":{name}"#),
            Self::UnknownReceiver(name) => format!(r#","to":{name}"#),
            _ => String::new(),
        };
        format!(r#"{{"action":"error","data":{{"code":"{code}","message":"{message}"{name}}}}}"#)
    }
}

/// Why octets are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// More than [`MAX_MESSAGE`].
    #[error("message of {0} octets; at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// Not text.
    #[error("message is not UTF-8")]
    NotUtf8,
    /// Not JSON, its root is no object, a member that decides stands twice in it, or a name has half a surrogate pair.
    #[error("message is not a JSON object, or one that can be read in two ways")]
    Json(#[source] serde_json::Error),
    /// A member that it needs.
    #[error("message without `{0}`")]
    Missing(&'static str),
    /// An array or an object where a name is expected.
    #[error("a name is a JSON text, number, true, false or null")]
    NotAName,
    /// More than [`MAX_NAME`].
    #[error("name of {0} octets; at most {MAX_NAME} are allowed")]
    LongName(usize),
}

fn is_login(action: &RawValue) -> bool {
    action.get() == r#""login""#
        || serde_json::from_str(action.get()).is_ok_and(|Text(text)| text == "login")
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where a part of a text stands in it.
fn range_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// The four members that decide. Each at most once: the receiver gets the text as it is, and must not read another one than we did.
#[derive(Default)]
struct Members<'a> {
    action: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Text(name)) = map.next_key()? {
            let member = match name.as_ref() {
                "action" => &mut members.action,
                "data" => &mut members.data,
                "to" => &mut members.to,
                "from" => &mut members.from,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if member.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(members)
    }
}

/// A string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(json: &str) -> Name {
        Name::parse(json).unwrap()
    }

    fn relayed(text: &str) -> String {
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Relay(relay) => relay.sent_by(&name("\"anna\"")),
            Message::Login(_) => panic!("{text} is a login"),
        }
    }

    #[test]
    fn a_relayed_message_is_octet_for_octet_the_senders_but_for_from() {
        let sent = "\t{ \"from\" : \"forged\",\"to\":\"ben\" , \"action\":\"offer\", \"data\":{\"b\":1e400,\"a\":\"\\ud800\u{e9}\\/\"}}\n";
        assert_eq!(relayed(sent), sent.replace("\"forged\"", "\"anna\""));
        let other = r#"{"\u0066rom":{"a":[1]},"to":7,"action":null,"extra":"from"}"#;
        assert_eq!(relayed(other), other.replace(r#"{"a":[1]}"#, r#""anna""#));
    }

    #[test]
    fn a_message_without_from_gets_it_as_its_last_member() {
        assert_eq!(
            relayed("{\"to\":\"ben\",\"action\":\"x\" } \n"),
            "{\"to\":\"ben\",\"action\":\"x\" ,\"from\":\"anna\"} \n"
        );
    }

    #[test]
    fn a_login_needs_a_name_and_nothing_else() {
        for text in [
            r#"{"action":"login","data":"anna"}"#,
            r#"{"data":"\u0061nna","x":1,"to":{},"action":"log\u0069n"}"#,
        ] {
            assert!(
                matches!(Message::parse(text.as_bytes()), Ok(Message::Login(login)) if login == name("\"anna\"")),
                "{text}"
            );
        }
    }

    #[test]
    fn an_action_that_is_not_the_text_login_is_relayed_whatever_it_is() {
        for action in ["\"Login\"", "\"\"", "5", "null", "[\"login\"]", "{}"] {
            let text = format!(r#"{{"action":{action},"data":"anna","to":"ben","from":"anna"}}"#);
            assert_eq!(relayed(&text), text);
        }
    }

    #[test]
    fn a_name_is_any_scalar_and_seven_is_not_the_text_seven() {
        let names = ["7", "\"7\"", "7.0", "true", "\"true\"", "null", "\"\""].map(name);
        for (n, one) in names.iter().enumerate() {
            assert!(names[n + 1..].iter().all(|other| other != one), "{one}");
        }
        assert_eq!(name(r#""\u00e9\/""#), name("\"\u{e9}/\""));
        assert_eq!(name(r#""\u0022\u0001""#).as_json(), r#""\"\u0001""#);
    }

    #[test]
    fn what_is_no_scalar_or_has_half_a_pair_is_no_name() {
        for json in ["{}", "[]", r#"{"a":1}"#, r#""\ud800""#, "", "oops", "1 2"] {
            assert!(Name::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_name_has_512_octets_at_most_counted_in_json() {
        let quoted = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert!(Name::parse(&quoted(MAX_NAME)).is_ok());
        assert!(matches!(
            Name::parse(&quoted(MAX_NAME + 1)),
            Err(MessageError::LongName(513))
        ));
        assert!(Name::parse(&"7".repeat(MAX_NAME + 1)).is_err());
        // As we write it, not as it came.
        assert!(Name::parse(&format!("\"{}\"", "\\u0078".repeat(MAX_NAME - 2))).is_ok());
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for text in [
            "",
            "{oops",
            "5",
            "null",
            "[]",
            "\"action\"",
            "{}",
            r#"{"to":"ben"}"#,
            r#"{"action":"offer","data":1}"#,
            r#"{"action":"login"}"#,
            r#"{"action":"login","data":{"a":1}}"#,
            r#"{"action":"x","to":["ben"]}"#,
            r#"{"action":"x","to":"ben"} {}"#,
            "\u{feff}{\"action\":\"x\",\"to\":\"ben\"}",
        ] {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
        }
        let octets = b"{\"action\":\"x\",\"to\":\"ben\",\"y\":\"\xff\"}";
        assert!(matches!(Message::parse(octets), Err(MessageError::NotUtf8)));
    }

    #[test]
    fn a_member_that_decides_and_stands_twice_is_refused() {
        for twice in ["action", "to", "from", "data"] {
            let text =
                format!(r#"{{"action":"x","to":"ben","from":"a","data":1,"{twice}":"other"}}"#);
            assert!(Message::parse(text.as_bytes()).is_err(), "{twice}");
        }
        let others = r#"{"action":"x","to":"ben","other":1,"other":2,"from":"anna"}"#;
        assert_eq!(relayed(others), others);
    }

    #[test]
    fn a_message_has_1_mib_at_most() {
        let sized = |octets: usize| {
            let mut text = String::from(r#"{"action":"x","to":"ben","data":""#);
            text.push_str(&"x".repeat(octets - text.len() - 2));
            text + "\"}"
        };
        assert!(Message::parse(sized(MAX_MESSAGE).as_bytes()).is_ok());
        assert!(matches!(
            Message::parse(sized(MAX_MESSAGE + 1).as_bytes()),
            Err(MessageError::TooLong(_))
        ));
    }

    #[test]
    fn what_is_deeply_nested_is_passed_on_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text =
            format!(r#"{{"action":{deep},"to":"ben","data":{deep},"x":{deep},"from":"anna"}}"#);
        assert_eq!(relayed(&text), text);
    }

    #[test]
    fn a_fault_tells_programs_and_people() {
        let anna = name("\"an\\\"na\"");
        assert_eq!(
            Fault::NameTaken(&anna).to_text(),
            r#"{"action":"error","data":{"code":"name-taken","message":"this name is taken: choose another one","name":"an\"na"}}"#
        );
        let faults = [
            Fault::Malformed,
            Fault::UnknownReceiver(&anna),
            Fault::NotLoggedIn,
            Fault::TooManyNames,
            Fault::Full,
        ];
        for fault in faults {
            let value: serde_json::Value = serde_json::from_str(&fault.to_text()).unwrap();
            assert_eq!(value["action"], "error");
            assert_eq!(value["data"]["code"], fault.code());
            assert_eq!(value["data"]["message"], fault.message());
        }
    }

    #[test]
    fn debug_output_does_not_show_what_is_said() {
        let text = r#"{"action":"secret","to":"ben","data":"secret"}"#;
        let message = Message::parse(text.as_bytes()).unwrap();
        assert!(!format!("{message:?}").contains("secret"));
    }
}
