//! Old clients: their requests, and a session between one that says anything and a busy shell.

use std::time::Duration;

use bytes::Bytes;
use peerage_proto::legacy::{Answer, Body, MAX_REFUSED, Output, Received, Session};
use peerage_proto::wire::legacy::{Ask, Header, MAX_BODY};

use crate::script::{Script, epoch};

/// A text message. What passes names a path that a request line can carry, and nothing of another host.
pub fn legacy_ask(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    if let Ok(Ask::Request(request)) = Ask::parse(text) {
        assert!(request.path.starts_with('/'));
        assert!(
            request
                .path
                .bytes()
                .all(|octet| octet.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&octet))
        );
    }
    let header = Header {
        status: 200,
        content_type: Some(text),
        content_length: 0,
    }
    .emit();
    assert!(header.is_ascii());
    let read: serde_json::Value = serde_json::from_str(&header).expect("what is written is JSON");
    assert!(read["content-type"] == *text || read["content-type"] == "None");
}

/// Messages of a client between answers of the target, timeouts, and a shell that is slow to drain.
pub fn legacy_session(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let mut client = Client::default();
    let limit = [MAX_BODY, 1_000, 200][usize::from(script.u8()) % 3];
    let mut session = Session::new(limit, now);
    while !script.is_empty() {
        match script.u8() % 10 {
            0 => session.handle_message(Received::Text(script.text()), now),
            1 | 2 => session.handle_message(
                Received::Text(r#"{"url":"http://h/x?","method":"GET"}"#),
                now,
            ),
            3 => session.handle_message(Received::Text(r#"{"url":"ping?"}"#), now),
            4 => session.handle_message(Received::Binary, now),
            5 => {
                // A flood, without looking at what comes.
                for _ in 0..u32::from(script.u8()) * 8 {
                    session.handle_message(Received::Binary, now);
                }
            }
            6 | 7 => {
                let status = script.u16() % 600;
                let body = match script.u8() % 4 {
                    0 => Body::TooLarge(Some(script.u16().into())),
                    1 => Body::TooLarge(None),
                    _ => Body::Whole(Bytes::copy_from_slice(script.octets())),
                };
                session.handle_answer(
                    Answer {
                        status,
                        content_type: None,
                        body,
                    },
                    now,
                );
            }
            8 => {
                now += Duration::from_millis(u64::from(script.u16()));
                session.handle_timeout(now);
            }
            _ => {
                if let Some(due) = session.poll_timeout() {
                    now = now.max(due);
                    session.handle_timeout(now);
                }
            }
        }
        while let Some(output) = session.poll_output() {
            client.take(output, limit);
        }
        assert!(client.closed || client.asked == session.is_busy());
        assert!(client.closed == session.poll_timeout().is_none());
        assert!(client.answers <= u64::from(MAX_REFUSED) * octets.len() as u64);
    }
}

/// What an old client understands, and where it would be lost.
#[derive(Default)]
struct Client {
    asked: bool,
    /// A header came, and its body is due.
    body_due: bool,
    answers: u64,
    closed: bool,
}

impl Client {
    fn take(&mut self, output: Output, limit: usize) {
        assert!(!self.closed, "nothing comes after the end");
        match output {
            Output::Text(text) if self.body_due => {
                assert_eq!(text, "pong", "only a ping's body is a text");
                self.body_due = false;
            }
            Output::Text(text) => {
                let header: serde_json::Value = serde_json::from_str(&text).expect("a header");
                let status = header["status"].as_u64().expect("a status");
                let answers = status != 202;
                self.answers += u64::from(answers);
                self.body_due = answers && status != 204;
                self.asked &= !answers;
            }
            Output::Binary(octets) => {
                assert!(self.body_due && !octets.is_empty() && octets.len() <= limit.max(200));
                self.body_due = false;
            }
            Output::Ask(_) => {
                assert!(!self.asked && !self.body_due, "one at a time");
                self.asked = true;
            }
            Output::Cancel => {
                assert!(self.asked);
                self.asked = false;
            }
            Output::Close => self.closed = true,
        }
    }
}
