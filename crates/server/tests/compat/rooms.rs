//! `vectors/rooms.json`: PeerPyRTC's chat example, and pages with its client. One server, and members that stay from one scenario to the next.
//!
//! What the client library made of it in the page (its callbacks, its own idea of the host) is not the server's, and compared where that library's successor is.

#![allow(clippy::unwrap_used, reason = "by a panic a test fails")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use peerage_peer::direct::{Addresses, ChannelInit, Direct, DirectConfig, Link, LinkEvent};
use peerage_peer::{ChannelSender, Message};
use peerage_server::Config;
use peerage_server::hub::{Admin, Data, Hub, HubConfig};
use peerage_server::testing::{TestServer, config};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::common::{ask_with_body, soon};
use crate::compare::{Judge, Observed};
use crate::table;

const FILE: &str = "rooms.json";
/// For what should come: once it has not, the test fails and is to say how.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Vectors {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    #[serde(flatten)]
    parts: BTreeMap<String, Value>,
}

impl Scenario {
    /// What a participant sent, one after the other.
    fn sent(&self, part: &str) -> Vec<&str> {
        let events = self.parts[part].as_array().unwrap().iter();
        let sent = events.filter(|event| event["k"] == "dc-send");
        sent.map(|event| event["text"].as_str().unwrap()).collect()
    }

    /// What the old server did: what each participant got, what its handlers were told, what its lists said.
    fn recorded(&self) -> Observed {
        let mut observed = Observed::new();
        for (part, value) in &self.parts {
            let who = participant(part);
            let mut add = |who: &str, line: String| {
                observed.entry(who.to_owned()).or_default().push(line);
            };
            match who {
                "server" => {
                    for told in value.as_array().into_iter().flatten() {
                        let what = told[0].as_str().unwrap();
                        add(what, handled(what, &told[1], &told[2], &told[3]));
                    }
                }
                _ if who.starts_with("room") => add(who, listed(value)),
                _ => {
                    for event in value.as_array().into_iter().flatten() {
                        if event["k"] == "dc-recv" {
                            let text = unspaced(event["text"].as_str().unwrap());
                            add(who, format!("{who} recv {}", plain(&text)));
                        }
                    }
                }
            }
        }
        observed
    }
}

/// Whose part it is; later parts of the same have a number.
fn participant(part: &str) -> &str {
    part.trim_end_matches(|last: char| last.is_ascii_digit())
}

#[tokio::test]
async fn everything_recorded_of_peerpyrtc_comes_out_as_the_document_says() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../vectors/rooms.json")).unwrap();
    let mut judge = Judge::new(FILE, table::section(FILE));
    let hub = HubConfig {
        admin: Admin::Open,
        ..HubConfig::default()
    };
    let config = Config {
        hub: Some(hub),
        ..config()
    };
    let server = TestServer::with(config).await.unwrap();
    let mut stage = Stage::new(&server);
    for (index, scenario) in vectors.scenarios.iter().enumerate() {
        if let Some(calls) = scenario.parts.get("http") {
            stage.ask_all(calls, &mut judge).await;
            continue;
        }
        play(index, scenario, &mut stage).await;
        let recorded = scenario.recorded();
        let changes = judge.changes(&scenario.name);
        let lost = |line: &&String| !changes.lost.contains(line);
        let due: Vec<_> = recorded.values().flatten().filter(lost).cloned().collect();
        stage.await_lines(due.iter().chain(&changes.gained)).await;
        let seen = stage.seen(scenario);
        judge.take(&scenario.name, &[], recorded, seen);
    }
    judge.finish();
}

/// What was done, as the recording's own words have it.
async fn play(index: usize, scenario: &Scenario, stage: &mut Stage<'_>) {
    match index {
        0 => {
            for (who, others) in [
                ("alice", &[][..]),
                ("bob", &["alice2"]),
                ("carol", &["bob3", "alice3"]),
            ] {
                stage.connect(who, "r1").await;
                stage.join(who, "r1", scenario.sent(who)[0]).await;
                stage.settle("r1").await;
                // Those who were there said what they knew.
                for part in others {
                    let state = json!({ "type": "SYSTEM", "action": "ROOM_STATE", "payload": { "peers": [], "hostId": part }, "peer_id": part[..part.len() - 1], "target": who, "timestamp": 1 });
                    let who = &part[..part.len() - 1];
                    stage.say(who, "r1", &state.to_string()).await;
                }
                stage.settle("r1").await;
            }
            stage.list("rooms", "/rooms").await;
            stage.list("room_status", "/room-status/r1").await;
        }
        1 => {
            for text in scenario.sent("alice") {
                stage.say("alice", "r1", text).await;
            }
            stage.settle("r1").await;
        }
        2 => {
            stage.hub.broadcaster().room("r1", "hello from the server");
            stage.settle("r1").await;
        }
        3 => {
            stage.say("alice", "r1", scenario.sent("alice")[0]).await;
            stage.leave("alice", "r1").await;
            stage.settle("r1").await;
            stage.list("rooms", "/rooms").await;
        }
        4 => {
            stage.vanish("carol", "r1");
            stage.until_gone("carol", "r1").await;
            stage.settle("r1").await;
            stage.list("rooms", "/rooms").await;
        }
        5 => {
            stage.say("bob", "r1", scenario.sent("bob")[0]).await;
            stage.leave("bob", "r1").await;
            stage.until_gone("bob", "r1").await;
            stage.list("rooms", "/rooms").await;
        }
        6 => {
            stage.come("frank", "m1").await;
            let [join_m1, join_m2, welcome, first, second, chat] = scenario.sent("dave")[..] else {
                panic!("another recording");
            };
            stage.connect("dave", "m1").await;
            stage.join("dave", "m1", join_m1).await;
            stage.settle("m1").await;
            stage.connect("dave", "m2").await;
            stage.join("dave", "m2", join_m2).await;
            for (room, text) in [("m1", welcome), ("m1", first), ("m2", second), ("m1", chat)] {
                stage.say("dave", room, text).await;
            }
            stage.settle("m1").await;
            // The first is what frank knew of who is there: cut short in the recording.
            for text in &scenario.sent("frank")[1..] {
                stage.say("frank", "m1", text).await;
            }
            stage.settle("m1").await;
            stage.settle("m2").await;
        }
        7 => {
            for room in ["m1", "m2"] {
                let leave = json!({ "type": "SYSTEM", "action": "PEER_LEAVE", "payload": {}, "peer_id": "dave", "target": null, "timestamp": 1 });
                stage.say("dave", room, &leave.to_string()).await;
                stage.leave("dave", room).await;
                stage.until_gone("dave", room).await;
            }
            let old = stage.players.remove(&("frank".to_owned(), "m1".to_owned()));
            stage.come("frank", "m1").await;
            stage.settle("m1").await;
            stage.list("rooms_before", "/rooms").await;
            drop(old);
            stage.settle("m1").await;
            stage.list("rooms_after_old_page_closed", "/rooms").await;
            stage.vanish("frank", "m1");
            stage.until_gone("frank", "m1").await;
            // That it is there no more is not the recording's.
            stage.forget("left m1 frank");
        }
        8 => {
            stage.come("xena", "p1").await;
            stage.come("yuri", "p1").await;
            stage.settle("p1").await;
            // Nor is how they came.
            stage.forget("");
            for text in scenario.sent("xena") {
                stage.say("xena", "p1", text).await;
            }
            stage.settle("p1").await;
            stage.hub.broadcaster().room("p1", "still there?");
            stage.settle("p1").await;
        }
        _ => panic!("another recording"),
    }
}

/// What a handler is told, in one line.
fn handled(what: &str, room: &Value, who: &Value, message: &Value) -> String {
    let (room, who) = (room.as_str().unwrap(), who.as_str().unwrap());
    match what {
        "message" => format!("message {room} {who} {message}"),
        _ => format!("{what} {room} {who}"),
    }
}

/// Lists of rooms and members, without times.
fn listed(value: &Value) -> String {
    fn without_times(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "joinTime" | "lastSeen" => *value = json!(0),
                        _ => without_times(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(without_times),
            _ => {}
        }
    }
    let mut value = value.clone();
    without_times(&mut value);
    value.to_string()
}

/// A message as it came, but for the two whose texts have times of the server's or are cut short in the recording.
fn plain(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    match value["action"].as_str() {
        Some("HOST_CHANGE") => format!("HOST_CHANGE {}", value["payload"]),
        Some("ROOM_STATE") => {
            let peers = value["payload"]["peers"].as_array().into_iter().flatten();
            let ids: Vec<_> = peers.filter_map(|peer| peer["id"].as_str()).collect();
            format!(
                "ROOM_STATE {}, host {}",
                ids.join(" "),
                value["payload"]["hostId"]
            )
        }
        None if text.contains(r#""action":"ROOM_STATE""#) => "ROOM_STATE of a member".to_owned(),
        _ => timeless(text),
    }
}

/// With 0 for each time of sending: some the server itself says.
fn timeless(text: &str) -> String {
    let mut parts = text.split("\"timestamp\":");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("\"timestamp\":0");
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    plain
}

/// Python put a space after commas and colons in what the server itself said. The document has that once for all entries.
fn unspaced(text: &str) -> String {
    match text.strip_prefix(r#"{"peer_id": "server", "message": "#) {
        Some(rest) => format!(r#"{{"peer_id":"server","message":{rest}"#),
        None => text.to_owned(),
    }
}

struct Stage<'a> {
    server: &'a TestServer,
    hub: Hub,
    engine: Direct,
    players: HashMap<(String, String), Player>,
    log: Arc<Log>,
    marks: usize,
}

struct Player {
    sender: ChannelSender,
    reader: JoinHandle<()>,
    /// It said goodbye: what becomes of its connection is its own doing.
    leaving: Arc<AtomicBool>,
    _link: Link,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Who saw what, in order.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<(String, String)>>,
    changed: Notify,
}

impl Log {
    fn read(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.lines.lock().expect("no reader panics")
    }

    fn write(&self, who: &str, line: String) {
        self.read().push((who.to_owned(), line));
        self.changed.notify_one();
    }
}

impl<'a> Stage<'a> {
    fn new(server: &'a TestServer) -> Self {
        let hub = server.state().hub().unwrap().clone();
        let log = Arc::<Log>::default();
        hub.on("message", {
            let log = log.clone();
            move |said| {
                let message = match &said.data {
                    Data::Json(json) => json.value(),
                    other => panic!("{other:?}"),
                };
                log.write(
                    "message",
                    format!("message {} {} {message}", said.room, said.from),
                );
                async {}
            }
        });
        hub.on_joined({
            let log = log.clone();
            move |who| {
                log.write("joined", format!("joined {} {}", who.room, who.name));
                async {}
            }
        });
        hub.on_left({
            let log = log.clone();
            move |who, _| {
                log.write("left", format!("left {} {}", who.room, who.name));
                async {}
            }
        });
        let engine = Direct::open(DirectConfig {
            addresses: Addresses::Loopback,
            ..DirectConfig::default()
        });
        Self {
            server,
            hub,
            engine: engine.unwrap(),
            players: HashMap::new(),
            log,
            marks: 0,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer =
            ask_with_body(self.server.address(), "POST", path, &[], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    async fn connect(&mut self, who: &str, room: &str) {
        let chat = ChannelInit {
            label: "chat".to_owned(),
            ordered: true,
            max_retransmits: Some(3),
        };
        let (mut link, sdp) = self.engine.offer(&[chat]).await.unwrap();
        let offer = json!({ "sdp": sdp, "type": "offer" });
        let body = json!({ "room": room, "peer_id": who, "offer": offer });
        let answer = self.post("/offer", body).await;
        link.accept(answer["answer"]["sdp"].as_str().unwrap())
            .await
            .unwrap();
        let Some(LinkEvent::Open(channel)) = soon("a channel", link.event()).await else {
            panic!("{who} is not let in: {:?}", link.closed());
        };
        let (sender, mut receiver) = channel.split();
        let (log, name) = (self.log.clone(), who.to_owned());
        let leaving = Arc::<AtomicBool>::default();
        let is_leaving = leaving.clone();
        let reader = tokio::spawn(async move {
            while let Some(message) = receiver.recv().await {
                let line = match message {
                    Message::Text(text) => format!("{name} recv {}", plain(&text)),
                    Message::Binary(octets) => format!("{name} recv octets {octets:?}"),
                };
                log.write(&name, line);
            }
            if !is_leaving.load(Ordering::Relaxed) {
                log.write(&name, format!("{name} cut off"));
            }
        });
        let player = Player {
            sender,
            reader,
            leaving,
            _link: link,
        };
        self.players
            .insert((who.to_owned(), room.to_owned()), player);
    }

    /// Connects and says so, as the recording does where it does not tell of it.
    async fn come(&mut self, who: &str, room: &str) {
        self.connect(who, room).await;
        let join = json!({ "type": "SYSTEM", "action": "PEER_JOIN", "payload": { "userAgent": "<user agent>", "timestamp": 1 }, "peer_id": who, "target": null, "timestamp": 1 });
        self.say(who, room, &join.to_string()).await;
        let host_change = format!("{who} recv HOST_CHANGE");
        self.await_that(|lines| lines.iter().any(|(_, line)| line.starts_with(&host_change)))
            .await;
        self.log.read().retain(|(of, _)| of != who);
    }

    /// Says `PEER_JOIN`, and waits until it is in: it is told then who is host.
    async fn join(&self, who: &str, room: &str, text: &str) {
        let told = format!("{who} recv HOST_CHANGE");
        let count = |lines: &[(String, String)]| {
            let told = lines.iter().filter(|(_, line)| line.starts_with(&told));
            told.count()
        };
        let before = count(&self.log.read());
        self.say(who, room, text).await;
        self.await_that(|lines| count(lines) > before).await;
    }

    async fn say(&self, who: &str, room: &str, text: &str) {
        let player = &self.players[&(who.to_owned(), room.to_owned())];
        if text.contains("PEER_LEAVE") {
            player.leaving.store(true, Ordering::Relaxed);
        }
        let sent = player.sender.send(Message::Text(text.to_owned().into()));
        // One that was cut off says nothing; that it was is seen already.
        let _ = soon("sending", sent).await;
    }

    /// Says goodbye over HTTP, and is gone.
    async fn leave(&mut self, who: &str, room: &str) {
        let said = self
            .post("/leave", json!({ "room": room, "peer_id": who }))
            .await;
        assert_eq!(said, json!({ "status": "ok" }));
        self.vanish(who, room);
    }

    fn vanish(&mut self, who: &str, room: &str) {
        self.players.remove(&(who.to_owned(), room.to_owned()));
    }

    async fn until_gone(&self, who: &str, room: &str) {
        let line = format!("left {room} {who}");
        self.await_that(|lines| lines.iter().any(|(_, seen)| *seen == line))
            .await;
    }

    /// Has every member of a room hear something after all else, and takes it out again.
    async fn settle(&mut self, room: &str) {
        // What members said is with the hub when what they say of themselves last is.
        for (who, _) in self.players.keys().filter(|(_, in_room)| in_room == room) {
            self.marks += 1;
            let mark = format!("mark {}", self.marks);
            let event = json!({ "type": "SYSTEM", "action": "EVENT", "payload": { "event": mark, "data": 1 }, "peer_id": who, "target": null, "timestamp": 1 });
            self.say(who, room, &event.to_string()).await;
            let others = self
                .players
                .keys()
                .filter(|(other, in_room)| in_room == room && other != who);
            let due = others.count();
            self.await_that(|lines| {
                lines
                    .iter()
                    .filter(|(_, line)| line.contains(&mark))
                    .count()
                    >= due
            })
            .await;
        }
        self.log
            .read()
            .retain(|(_, line)| !line.contains("\"event\":\"mark "));
    }

    async fn list(&self, part: &str, path: &str) {
        let answer = crate::common::ask(self.server.address(), "GET", path, &[]).await;
        self.log
            .write(part, listed(&serde_json::from_str(&answer.body).unwrap()));
    }

    async fn ask_all(&self, calls: &Value, judge: &mut Judge) {
        for call in calls.as_array().unwrap() {
            let of = |name: &str| call[name].as_str().unwrap_or_default();
            let answer = ask_with_body(
                self.server.address(),
                of("method"),
                of("path"),
                &[],
                of("body"),
            )
            .await;
            let line = |status: u64, body: &str| {
                let body = match serde_json::from_str::<Value>(body) {
                    Ok(mut value) => {
                        if let Some(sdp) = value.pointer_mut("/answer/sdp") {
                            *sdp = json!("<sdp>");
                        }
                        listed(&value)
                    }
                    Err(_) => body.to_owned(),
                };
                Observed::from([(String::new(), vec![format!("{status} {body}")])])
            };
            let recorded = line(call["status"].as_u64().unwrap(), of("response"));
            let seen = line(answer.status.into(), &answer.body);
            judge.take(of("desc"), &[], recorded, seen);
        }
    }

    /// This line, or all.
    fn forget(&self, one: &str) {
        self.log
            .read()
            .retain(|(_, line)| !one.is_empty() && line != one);
    }

    /// Lines of those of whom the recording tells here, and of the server's own. What others see is left for the scenario that does.
    fn seen(&self, scenario: &Scenario) -> Observed {
        let mut observed = Observed::new();
        self.log.read().retain(|(who, line)| {
            let is_told = matches!(who.as_str(), "joined" | "left" | "message")
                || scenario.parts.keys().any(|part| participant(part) == who);
            if is_told {
                observed.entry(who.clone()).or_default().push(line.clone());
            }
            !is_told
        });
        observed
    }

    async fn await_lines(&self, due: impl Iterator<Item = &String>) {
        let mut counts = HashMap::<&str, usize>::new();
        for line in due {
            *counts.entry(line).or_default() += 1;
        }
        let are_there = |lines: &[(String, String)]| {
            let count = |line: &str| lines.iter().filter(|(_, seen)| seen == line).count();
            counts.iter().all(|(line, due)| count(line) >= *due)
        };
        self.await_that(are_there).await;
    }

    /// Or not: the judge then says what is missing.
    async fn await_that(&self, is_so: impl Fn(&[(String, String)]) -> bool) {
        let waiting = async {
            while !is_so(&self.log.read()) {
                self.log.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }
}
