//! Conversations recorded from peerjs-server 1.0.2 (`vectors/peerjs-server.json`), replayed against the router in virtual time.
//!
//! What may differ stands in `docs/compat.md` alone. HTTP, paths and framing, and these conversations as well, are replayed over sockets by
//! `peerage-server`; here no machine is too slow for the times of the recording.

#[path = "../../server/tests/compat/compare.rs"]
#[allow(dead_code, reason = "the other test replays whole files")]
mod compare;
#[path = "../../server/tests/compat/table.rs"]
#[allow(dead_code, reason = "behaviour is the other test's to check")]
mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compare::{Judge, Observed};
use peerage_proto::signal::{Config, ConnId, Departure, Hello, Input, Output, Router};
use peerage_proto::wire::signal::FrameRef;
use peerage_proto::wire::socket_query::SocketQuery;
use peerage_proto::wire::statement::Time;
use serde::Deserialize;

/// Where the rows are.
const PAGE: &str = "docs/compat.md";

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
fn recorded_conversations_come_out_of_the_router_as_the_document_says() {
    let text = include_str!("../../../vectors/peerjs-server.json");
    let vectors: Vectors = serde_json::from_str(text).expect("the vectors are well-formed");
    let mut judge = Judge::new("peerjs-server.json", section());
    for scenario in vectors
        .scenarios
        .iter()
        .filter(|scenario| !is_about_paths(scenario))
    {
        judge.take(
            &scenario.name,
            &[],
            recorded(scenario),
            Replay::run(scenario),
        );
    }
    judge.finish_part();
}

/// The document's, without close codes: they are the shell's.
fn section() -> Result<table::Section, Vec<String>> {
    let mut section = table::section("peerjs-server.json")?;
    for row in &mut section.rows {
        let changes = &mut row.changes;
        for line in changes.lost.iter_mut().chain(&mut changes.gained) {
            if let Some((before, _)) = line.rsplit_once(" close ") {
                *line = format!("{before} close");
            }
        }
    }
    Ok(section)
}

fn is_about_paths(scenario: &Scenario) -> bool {
    scenario.name.contains("path")
}

fn recorded(scenario: &Scenario) -> Observed {
    let closed_by_client = closed_by_client(scenario);
    let mut seen = Observed::new();
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
    seen: Observed,
}

impl Replay {
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary beginning: nothing here asks what time it is again"
    )]
    fn run(scenario: &Scenario) -> Observed {
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
            seen: Observed::new(),
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
                let path = event.path.as_deref().expect("a connect event has a path");
                let query = path.split_once('?').map_or("", |(_, query)| query);
                let said = SocketQuery::parse(query);
                let hello = Hello {
                    key: &said.key,
                    id: &said.id,
                    token: &said.token,
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
