//! Conversations recorded from peerjs-server 1.0.2 (`vectors/peerjs-server.json`), replayed against the router in virtual time.
//!
//! [`DIFFERENCES`] is the whole list of what the router does otherwise, entry by entry. What it does not name must come out as recorded, in the
//! recorded order; the rest of the vectors (HTTP, paths, framing) is replayed over sockets by `peerage-server`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::signal::{Config, ConnId, Departure, Hello, Input, Output, Router};
use peerage_proto::wire::signal::FrameRef;
use peerage_proto::wire::statement::Time;
use serde::Deserialize;

/// Scenario, whether the recording has the event or we do, the event, and why.
const DIFFERENCES: &[(&str, Side, &str, &str)] = &[
    (
        "reconnect with the same token while the old socket is open",
        Side::Ours,
        r#"alice-2 recv {"type":"OPEN"}"#,
        "a stock client becomes open only on OPEN: without it a reconnecting one waits for ever",
    ),
    (
        "reconnect with the same token while the old socket is open",
        Side::Ours,
        "alice-1 close",
        "two live sockets under one id: the older is half dead in practice, and its owner should know",
    ),
    (
        "reconnect with the same token while the old socket is open",
        Side::Theirs,
        r#"bob recv {"type":"ANSWER","src":"re","dst":"bob","payload":{"from":"old socket"}}"#,
        "what a replaced socket says counts no more",
    ),
    (
        "leave without dst",
        Side::Theirs,
        r#"bob recv {"type":"OFFER","src":"alice","dst":"bob","payload":"the removed socket can still send under its old id"}"#,
        "the id may be another's by then: nobody speaks under a name that is not his",
    ),
    (
        "leave without dst",
        Side::Ours,
        r#"mallory recv {"type":"OFFER","src":"bob","dst":"alice","payload":2}"#,
        "the end of a socket that gave up its id must not take it from the next holder",
    ),
    (
        "alive timeout",
        Side::Theirs,
        "silent close",
        "messages and pings are signs of life as good as HEARTBEAT: hidden pages' timers are throttled",
    ),
    (
        "concurrent limit",
        Side::Ours,
        r#"two-again recv {"type":"OPEN"}"#,
        "as in the reconnection above",
    ),
    (
        "concurrent limit",
        Side::Ours,
        "two close",
        "as in the reconnection above",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

#[derive(Deserialize)]
struct Vectors {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    config: Options,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Options {
    key: Option<String>,
    expire_timeout: Option<u64>,
    alive_timeout: Option<u64>,
    concurrent_limit: Option<usize>,
}

#[derive(Deserialize)]
struct Event {
    t: u64,
    who: String,
    event: String,
    path: Option<String>,
    text: Option<String>,
}

#[test]
fn recorded_conversations_come_out_the_same_but_for_the_table() {
    let vectors = vectors();
    let mut replayed = 0;
    for scenario in vectors
        .scenarios
        .iter()
        .filter(|scenario| !is_about_paths(scenario))
    {
        replayed += 1;
        let expected = without(scenario, Side::Theirs, recorded(scenario));
        let seen = without(scenario, Side::Ours, Replay::run(scenario));
        assert_eq!(seen, expected, "{}", scenario.name);
    }
    assert_eq!(
        replayed, 19,
        "scenarios of the vectors that are the router's"
    );
}

#[test]
fn every_difference_in_the_table_is_one() {
    let vectors = vectors();
    for (name, side, line, _) in DIFFERENCES {
        let scenario = vectors
            .scenarios
            .iter()
            .find(|scenario| scenario.name == *name);
        let scenario = scenario.expect("the table names scenarios of the vectors");
        let (recorded, replayed) = (recorded(scenario), Replay::run(scenario));
        let has = |seen: &Seen| seen.values().flatten().any(|seen| seen == line);
        assert_eq!(
            (has(&recorded), has(&replayed)),
            (*side == Side::Theirs, *side == Side::Ours),
            "{name}: {line}"
        );
    }
}

/// What each client saw, in its own order; clients' orders among each other are not the server's to keep.
type Seen = HashMap<String, Vec<String>>;

fn is_about_paths(scenario: &Scenario) -> bool {
    scenario.name.contains("path")
}

fn vectors() -> Vectors {
    let text = include_str!("../../../vectors/peerjs-server.json");
    serde_json::from_str(text).expect("the vectors are well-formed")
}

fn recorded(scenario: &Scenario) -> Seen {
    let closed_by_client = closed_by_client(scenario);
    let mut seen = Seen::new();
    for event in &scenario.events {
        let line = match (event.event.as_str(), &event.text) {
            ("recv", Some(text)) => format!("{} recv {text}", event.who),
            ("close", _) if !closed_by_client.contains(&event.who.as_str()) => {
                format!("{} close", event.who)
            }
            _ => continue,
        };
        seen.entry(event.who.clone()).or_default().push(line);
    }
    seen
}

fn without(scenario: &Scenario, side: Side, mut seen: Seen) -> Seen {
    let differs = |line: &str| {
        DIFFERENCES
            .iter()
            .any(|(name, of, event, _)| *name == scenario.name && *of == side && *event == line)
    };
    for lines in seen.values_mut() {
        lines.retain(|line| !differs(line));
    }
    seen.retain(|_, lines| !lines.is_empty());
    seen
}

/// The recordings do not say who closed. Clients did at the end of a scenario; servers refused or timed out.
fn closed_by_client(scenario: &Scenario) -> Vec<&str> {
    let refused = |who: &str| {
        scenario.events.iter().any(|event| {
            let text = event.text.as_deref().unwrap_or_default();
            event.who == who
                && event.event == "recv"
                && (text.contains(r#""ERROR""#) || text.contains(r#""ID-TAKEN""#))
        })
    };
    let clients = scenario.events.iter().map(|event| event.who.as_str());
    clients
        .filter(|who| !refused(who) && *who != "silent")
        .collect()
}

struct Replay {
    router: Router,
    conns: HashMap<String, ConnId>,
    names: HashMap<ConnId, String>,
    seen: Seen,
}

impl Replay {
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary beginning: nothing here asks what time it is again"
    )]
    fn run(scenario: &Scenario) -> Seen {
        let options = &scenario.config;
        let defaults = Config::default();
        let config = Config {
            key: options.key.clone().unwrap_or_else(|| key_of(scenario)),
            expire_after: options
                .expire_timeout
                .map_or(defaults.expire_after, Duration::from_millis),
            alive_for: options
                .alive_timeout
                .map_or(defaults.alive_for, Duration::from_millis),
            peers: options.concurrent_limit.unwrap_or(defaults.peers),
            ..defaults
        };
        let mut replay = Self {
            router: Router::new(config, Arc::default()),
            conns: HashMap::new(),
            names: HashMap::new(),
            seen: Seen::new(),
        };
        let start = Instant::now();
        for event in &scenario.events {
            let now = start + Duration::from_millis(event.t);
            replay.router.handle_timeout(now);
            replay.drain(now);
            replay.apply(scenario, event, now);
            replay.drain(now);
        }
        replay.seen
    }

    fn apply(&mut self, scenario: &Scenario, event: &Event, now: Instant) {
        let who = event.who.clone();
        match event.event.as_str() {
            "connect" => {
                let conn = ConnId(self.names.len() as u64);
                self.conns.insert(who.clone(), conn);
                self.names.insert(conn, who);
                let query = query(event.path.as_deref().expect("a connect event has a path"));
                let value = |name: &str| query.get(name).map_or("", String::as_str);
                let hello = Hello {
                    key: value("key"),
                    id: value("id"),
                    token: value("token"),
                    proof: "",
                    hold: Duration::ZERO,
                    visible: false,
                    hosts: &[],
                    at: Time(0),
                };
                self.router.handle_input(Input::Opened(conn, hello), now);
            }
            "send" => {
                let text = event.text.as_deref().expect("a send event has a text");
                let conn = self.conns[&who];
                let input = match FrameRef::parse(text.as_bytes()) {
                    Ok(frame) => Input::Received(conn, frame),
                    Err(_) => Input::Beat(conn),
                };
                self.router.handle_input(input, now);
            }
            "note"
                if event
                    .text
                    .as_deref()
                    .is_some_and(|text| text.contains("ping")) =>
            {
                self.router.handle_input(Input::Beat(self.conns[&who]), now);
            }
            "close" if closed_by_client(scenario).contains(&who.as_str()) => {
                self.router
                    .handle_input(Input::Closed(self.conns[&who], Departure::Clean), now);
            }
            _ => {}
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.router.poll_output() {
            let (conn, line) = match output {
                Output::Send(conn, text) => (conn, format!("{} recv {text}", self.names[&conn])),
                Output::Close(conn, _) => (conn, format!("{} close", self.names[&conn])),
                Output::Route(routed) => {
                    self.router.handle_input(Input::Routed(routed), now);
                    continue;
                }
                Output::Came(_) | Output::Went(_) => continue,
            };
            self.seen
                .entry(self.names[&conn].clone())
                .or_default()
                .push(line);
        }
    }
}

/// The key that the scenario's server was started with, where the recording leaves it to its clients.
fn key_of(scenario: &Scenario) -> String {
    let mykey = scenario.events.iter().any(|event| {
        event
            .path
            .as_deref()
            .is_some_and(|path| path.contains("key=mykey"))
    });
    if mykey { "mykey" } else { "peerjs" }.to_owned()
}

/// Of a repeated parameter the last counts.
fn query(path: &str) -> HashMap<String, String> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let hex = |octet: Option<u8>| {
            octet
                .and_then(|octet| char::from(octet).to_digit(16))
                .expect("the vectors' escapes are whole")
        };
        octets.push(match octet {
            b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next()))
                .expect("two hexadecimal digits"),
            other => other,
        });
    }
    String::from_utf8(octets).expect("the vectors' ids are UTF-8")
}
