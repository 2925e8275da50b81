//! What holds whatever clients do and in whatever order: the machine beside a model of it that fits on a screen.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close { conn: u8 },
    Login { conn: u8, name: u8 },
    Send { conn: u8, from: Option<u8>, to: u8 },
    Noise { conn: u8, octets: Vec<u8> },
    Beat { conn: u8 },
    Wait { millis: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let conn = || 0..10u8;
    let name = || 0..6u8;
    prop_oneof![
        2 => Just(Step::Open),
        1 => conn().prop_map(|conn| Step::Close { conn }),
        3 => (conn(), name()).prop_map(|(conn, name)| Step::Login { conn, name }),
        4 => (conn(), prop::option::of(name()), name()).prop_map(|(conn, from, to)| Step::Send { conn, from, to }),
        1 => (conn(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(conn, octets)| Step::Noise { conn, octets }),
        1 => conn().prop_map(|conn| Step::Beat { conn }),
        1 => (0..50_000u16).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// Numbers and texts that look alike.
const NAMES: [&str; 6] = ["7", "\"7\"", "\"a\"", "\"\\u00e9\"", "null", "\"null\""];

const LIMITS: (usize, usize) = (4, 2);

/// The machine, and what its shell and its clients know.
struct World {
    names: Names,
    /// Open sockets, each with its names in the order of their logins.
    open: BTreeMap<ConnId, Vec<Name>>,
    now: Instant,
    opened: u64,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Open => {
                let conn = ConnId(self.opened);
                self.opened += 1;
                self.open.insert(conn, Vec::new());
                self.input(Input::Opened(conn), &[]);
            }
            Step::Close { conn } => {
                self.open.remove(&ConnId(conn.into()));
                self.input(Input::Closed(ConnId(conn.into())), &[]);
            }
            Step::Login { conn, name } => {
                let (conn, json) = (ConnId(conn.into()), NAMES[usize::from(name)]);
                let expected = self.log_in(conn, &Name::parse(json).unwrap());
                let text = format!(r#"{{"action":"login","data":{json}}}"#);
                self.input(Input::Received(conn, Message::from_text(&text)), &expected);
            }
            Step::Send { conn, from, to } => {
                let conn = ConnId(conn.into());
                let from = from.map(|from| NAMES[usize::from(from)]);
                let to = NAMES[usize::from(to)];
                let member = from.map_or(String::new(), |from| format!(r#""from":{from},"#));
                let text = format!(r#"{{{member}"x":[1.50],"to":{to},"action":"x"}}"#);
                let expected = self.send(conn, from, to, &text);
                self.input(Input::Received(conn, Message::from_text(&text)), &expected);
            }
            Step::Noise { conn, octets } => {
                let conn = ConnId(conn.into());
                // Twenty octets are too few for a message with action and receiver but by miracle.
                let expected: Vec<_> = self
                    .open
                    .contains_key(&conn)
                    .then(|| (conn, Fault::Malformed.to_text()))
                    .into_iter()
                    .collect();
                self.input(Input::Received(conn, Message::parse(&octets)), &expected);
            }
            Step::Beat { conn } => self.input(Input::Beat(ConnId(conn.into())), &[]),
            Step::Wait { millis } => {
                let end = self.now + Duration::from_millis(millis.into());
                while let Some(due) = self.names.poll_timeout().filter(|due| *due <= end) {
                    assert!(due >= self.now, "a deadline was missed");
                    self.now = due;
                    self.names.handle_timeout(due);
                    self.drain(&[]);
                }
                self.now = end;
            }
        }
    }

    fn holder(&self, name: &Name) -> Option<ConnId> {
        let holds = |(_, names): &(&ConnId, &Vec<Name>)| names.contains(name);
        let mut holders = self.open.iter().filter(holds).map(|(conn, _)| *conn);
        let holder = holders.next();
        assert_eq!(holders.next(), None, "a name has two holders");
        holder
    }

    fn log_in(&mut self, conn: ConnId, name: &Name) -> Vec<(ConnId, String)> {
        let all: usize = self.open.values().map(Vec::len).sum();
        let holder = self.holder(name);
        let Some(names) = self.open.get_mut(&conn) else {
            return Vec::new();
        };
        let fault = match holder {
            Some(holder) if holder == conn => return Vec::new(),
            Some(_) => Fault::NameTaken(name),
            None if names.len() == LIMITS.1 => Fault::TooManyNames,
            None if all == LIMITS.0 => Fault::Full,
            None => {
                names.push(name.clone());
                return Vec::new();
            }
        };
        vec![(conn, fault.to_text())]
    }

    fn send(
        &self,
        conn: ConnId,
        from: Option<&str>,
        to: &str,
        text: &str,
    ) -> Vec<(ConnId, String)> {
        let Some(names) = self.open.get(&conn) else {
            return Vec::new();
        };
        let Some(first) = names.first() else {
            return vec![(conn, Fault::NotLoggedIn.to_text())];
        };
        let to = Name::parse(to).unwrap();
        let Some(receiver) = self.holder(&to) else {
            return vec![(conn, Fault::UnknownReceiver(&to).to_text())];
        };
        let claimed = from.map(|from| Name::parse(from).unwrap());
        let speaker = claimed
            .filter(|name| names.contains(name))
            .unwrap_or(first.clone());
        // As any other implementation would write it: compared by content below.
        let mut value: Value = serde_json::from_str(text).unwrap();
        value["from"] = serde_json::from_str(speaker.as_json()).unwrap();
        vec![(receiver, value.to_string())]
    }

    fn input(&mut self, input: Input<'_>, expected: &[(ConnId, String)]) {
        self.names.handle_input(input, self.now);
        self.drain(expected);
    }

    fn drain(&mut self, expected: &[(ConnId, String)]) {
        let mut sent = Vec::new();
        while let Some(output) = self.names.poll_output() {
            match output {
                Output::Send(conn, text) => sent.push((conn, text)),
                Output::Ping(conn) => assert!(
                    self.open.contains_key(&conn),
                    "nothing is sent to a closed socket"
                ),
                Output::Close(conn, CloseReason::Silent) => {
                    assert!(self.open.remove(&conn).is_some(), "a socket is closed once");
                }
            }
        }
        let content =
            |(conn, text): &(ConnId, String)| (*conn, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(
            sent.iter().map(content).collect::<Vec<_>>(),
            expected.iter().map(content).collect::<Vec<_>>()
        );
        let held: HashMap<_, _> = self
            .open
            .iter()
            .flat_map(|(conn, names)| names.iter().map(|name| (name.clone(), *conn)))
            .collect();
        assert_eq!(
            self.names.holders, held,
            "names are held by who logged in, and by nobody else"
        );
    }
}

proptest! {
    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary beginning: nothing here asks what time it is again")]
    fn everybody_gets_what_is_theirs_and_nothing_is_left_behind(steps in prop::collection::vec(step(), 0..80)) {
        let config = Config { names: LIMITS.0, names_per_socket: LIMITS.1, ..Config::default() };
        let mut world = World { names: Names::new(config), open: BTreeMap::new(), now: Instant::now(), opened: 0 };
        for step in steps {
            world.take(step);
        }
        // Long enough for every socket to be silent.
        for _ in 0..2 {
            world.take(Step::Wait { millis: 50_000 });
        }
        prop_assert!(world.open.is_empty());
        prop_assert_eq!(world.names.poll_timeout(), None);
        prop_assert!(world.names.held() == 0 && world.names.conns.is_empty());
    }
}
