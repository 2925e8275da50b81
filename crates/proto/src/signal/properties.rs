//! What holds whatever clients do and in whatever order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::*;
use crate::wire::signal::Frame;
use crate::wire::statement::Time;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Open { id: u8, token: u8 },
    Close { conn: u8, lost: bool },
    Send { conn: u8, kind: u8, dst: u8 },
    Leave { conn: u8 },
    Noise { conn: u8, octets: Vec<u8> },
    Wait { millis: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5u8, 0..2u8).prop_map(|(id, token)| Step::Open { id, token }),
        (0..12u8, any::<bool>()).prop_map(|(conn, lost)| Step::Close { conn, lost }),
        (0..12u8, 0..7u8, 0..5u8).prop_map(|(conn, kind, dst)| Step::Send { conn, kind, dst }),
        (0..12u8).prop_map(|conn| Step::Leave { conn }),
        (0..12u8, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(conn, octets)| Step::Noise { conn, octets }),
        (0..30_000u16).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// A router with what its shell knows: which sockets are open, under which id.
struct Shell {
    router: Router,
    open: HashMap<ConnId, String>,
    now: Instant,
    opened: u64,
}

impl Shell {
    fn take(&mut self, step: Step) {
        match step {
            Step::Open { id, token } => {
                let conn = ConnId(self.opened);
                self.opened += 1;
                let (id, token) = (format!("p{id}"), format!("t{token}"));
                self.open.insert(conn, id.clone());
                let hello = Hello {
                    key: "peerjs",
                    id: &id,
                    token: &token,
                    proof: "",
                    hold: Duration::from_secs((self.opened % 3) * 10),
                    visible: self.opened.is_multiple_of(2),
                    hosts: &[],
                    at: Time(0),
                };
                self.router
                    .handle_input(Input::Opened(conn, hello), self.now);
            }
            Step::Close { conn, lost } => {
                let departure = if lost {
                    Departure::Lost
                } else {
                    Departure::Clean
                };
                self.open.remove(&ConnId(conn.into()));
                self.router
                    .handle_input(Input::Closed(ConnId(conn.into()), departure), self.now);
            }
            Step::Send { conn, kind, dst } => {
                let kind = [
                    "OFFER",
                    "ANSWER",
                    "CANDIDATE",
                    "LEAVE",
                    "EXPIRE",
                    "SUBSCRIBE",
                    "UNSUBSCRIBE",
                ][usize::from(kind)];
                self.say(
                    conn,
                    format!(r#"{{"type":"{kind}","dst":"p{dst}","payload":{conn}}}"#).as_bytes(),
                );
            }
            Step::Leave { conn } => self.say(conn, br#"{"type":"LEAVE"}"#),
            Step::Noise { conn, octets } => self.say(conn, &octets),
            Step::Wait { millis } => {
                let end = self.now + Duration::from_millis(millis.into());
                while let Some(due) = self.router.poll_timeout().filter(|due| *due <= end) {
                    assert!(due >= self.now, "a deadline was missed");
                    self.now = due;
                    self.router.handle_timeout(due);
                    self.drain();
                }
                self.now = end;
            }
        }
        self.drain();
    }

    fn say(&mut self, conn: u8, text: &[u8]) {
        let conn = ConnId(conn.into());
        let input = match FrameRef::parse(text) {
            Ok(frame) => Input::Received(conn, frame),
            Err(_) => Input::Beat(conn),
        };
        self.router.handle_input(input, self.now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Send(conn, text) => {
                    let id = self
                        .open
                        .get(&conn)
                        .expect("nothing is sent to a closed socket");
                    let frame = Frame::parse(text.as_bytes()).expect("what is sent is a frame");
                    assert!(
                        frame.dst.is_none_or(|dst| dst.as_str() == id),
                        "a message went to a stranger"
                    );
                }
                Output::Close(conn, _) => {
                    assert!(self.open.remove(&conn).is_some(), "a socket is closed once")
                }
                Output::Route(routed) => {
                    self.router.handle_input(Input::Routed(routed), self.now);
                }
                Output::Came(_) | Output::Went(_) => {}
            }
        }
        let held = self.router.peers().count();
        assert_eq!(self.router.totals.peers.load(Ordering::Relaxed), held);
        assert!(held <= 4, "more ids are held than may be");
    }
}

proptest! {
    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary beginning: nothing here asks what time it is again")]
    fn nothing_reaches_a_stranger_and_nothing_is_left_behind(steps in prop::collection::vec(step(), 0..80)) {
        let config = Config { peers: 4, waiting_messages: 3, ..Config::default() };
        let router = Router::new(config, Arc::default());
        let mut shell = Shell { router, open: HashMap::new(), now: Instant::now(), opened: 0 };
        for step in steps {
            shell.take(step);
        }
        // Long enough for every queue to expire and every socket to be silent.
        for _ in 0..7 {
            shell.take(Step::Wait { millis: 30_000 });
        }
        prop_assert!(shell.open.is_empty());
        prop_assert_eq!(shell.router.poll_timeout(), None);
        prop_assert_eq!(shell.router.peers().count(), 0);
        prop_assert!(shell.router.waiting.is_empty() && shell.router.watchers.is_empty());
    }
}
