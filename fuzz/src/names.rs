//! Messages of the username protocol, and its server between hostile clients.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_proto::names::{Config, ConnId, Input, Names, Output};
use peerage_proto::wire::username::{Message, Name};
use serde_json::Value;

use crate::script::{Script, epoch};

/// A message. What is passed on says what was said, but for the sender.
pub fn username_frame(octets: &[u8]) {
    let Ok(Message::Relay(relay)) = Message::parse(octets) else {
        return;
    };
    let sender = Name::parse("\"anna\"").expect("a name");
    let text = relay.sent_by(&sender);
    let Ok(Message::Relay(again)) = Message::parse(text.as_bytes()) else {
        // It grew by the sender's name.
        assert!(text.len() > 1024 * 1024, "what is passed on is a message");
        return;
    };
    assert!(again.to == relay.to && again.claimed == Some(sender));
    // Deeper than this library reads, or with numbers and halves of pairs that it does not, it is passed on all the same.
    if let (Ok(mut before), Ok(after)) = (
        serde_json::from_slice::<Value>(octets),
        serde_json::from_str::<Value>(&text),
    ) {
        before["from"] = "anna".into();
        assert_eq!(before, after);
    }
}

/// Clients of a server that say anything, in any order. Nothing is sent to a socket that is closed.
pub fn names(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let mut names = Names::new(Config {
        names: 4,
        names_per_socket: 2,
        ..Config::default()
    });
    let mut open = BTreeSet::new();
    let mut opened = 0;
    while !script.is_empty() {
        match script.u8() % 8 {
            0 => {
                open.insert(ConnId(opened));
                names.handle_input(Input::Opened(ConnId(opened)), now);
                opened += 1;
            }
            1 => {
                let conn = ConnId(script.u8().into());
                open.remove(&conn);
                names.handle_input(Input::Closed(conn), now);
            }
            2 => {
                now += Duration::from_millis(script.u16().into());
                names.handle_timeout(now);
            }
            3 => names.handle_input(Input::Beat(ConnId(script.u8().into())), now),
            4 | 5 => {
                let texts = ["\"a\"", "\"\\u0061\"", "7", "\"7\"", "null", "{}"];
                let [name, from] =
                    [script.u8(), script.u8()].map(|n| texts[usize::from(n) % texts.len()]);
                let text = if script.u8() & 1 == 0 {
                    format!(r#"{{"action":"login","data":{name}}}"#)
                } else {
                    format!(r#"{{"action":"x","from":{from},"to":{name}}}"#)
                };
                let conn = ConnId(script.u8().into());
                names.handle_input(Input::Received(conn, Message::from_text(&text)), now);
            }
            _ => {
                let conn = ConnId(script.u8().into());
                names.handle_input(Input::Received(conn, Message::parse(script.long())), now);
            }
        }
        assert!(names.held() <= 4 && names.held() <= 2 * open.len());
        while let Some(output) = names.poll_output() {
            match output {
                Output::Send(conn, _) | Output::Ping(conn) => {
                    assert!(open.contains(&conn), "nothing is sent to a closed socket");
                }
                Output::Close(conn, _) => assert!(open.remove(&conn), "a socket is closed once"),
            }
        }
    }
}
