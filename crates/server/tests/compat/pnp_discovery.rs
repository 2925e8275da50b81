//! `vectors/pnp-discovery.json`: ambianic-pnp 1.0.14, one log of calls and sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerage_server::Config;
use peerage_server::testing::{TestServer, config};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use crate::common::PATIENCE;
use crate::compare::{Judge, Observed};
use crate::http::{self, ERROR_PAGE, EVERY_ANSWER, Fields, HTML_ERROR};
use crate::replay::{Event, Stage, line_of, recorded};
use crate::table::{self, Changes};

const FILE: &str = "pnp-discovery.json";

/// The recording's 2,500 ms, shorter: nothing else here takes time.
const ALIVE: Duration = Duration::from_millis(1_500);

#[derive(Deserialize)]
struct Vectors {
    log: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry {
    Http(Call),
    Ws(Event),
}

#[derive(Deserialize)]
struct Call {
    desc: String,
    method: String,
    path: String,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    request_body: String,
    status: u16,
    response_headers: Fields,
    response_body: String,
}

#[tokio::test]
async fn everything_recorded_of_ambianic_pnp_comes_out_as_the_document_says() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../vectors/pnp-discovery.json")).unwrap();
    let mut judge = Judge::new(FILE, table::section(FILE));
    let mut config = Config {
        discovery: true,
        ..config()
    };
    config.signal.alive_for = ALIVE;
    let server = TestServer::with(config).await.unwrap();
    let mut replay = Replay::new(&vectors.log, &server, &judge);
    for entry in &vectors.log {
        match entry {
            Entry::Http(call) => replay.call(call, &mut judge).await,
            Entry::Ws(event) => replay.event(event).await,
        }
    }
    let mut seen = replay.end().await;
    let mut recorded = recorded(sockets(&vectors.log), |_| true);
    for who in participants(&vectors.log) {
        let of = |observed: &mut Observed| {
            Observed::from_iter(observed.remove(&who).map(|lines| (who.clone(), lines)))
        };
        judge.take(&socket_of(&who), &[], of(&mut recorded), of(&mut seen));
    }
    judge.finish();
}

/// How the document names what one client saw on its socket.
fn socket_of(who: &str) -> String {
    format!("the socket of {who}")
}

fn sockets(log: &[Entry]) -> impl Iterator<Item = &Event> {
    log.iter().filter_map(|entry| match entry {
        Entry::Ws(event) if event.event != "note" => Some(event),
        _ => None,
    })
}

fn participants(log: &[Entry]) -> BTreeSet<String> {
    sockets(log).map(|event| event.who.clone()).collect()
}

struct Replay<'a> {
    stage: Stage<'a>,
    server: &'a TestServer,
    told: BTreeSet<String>,
    /// Recorded and to be waited for before the next thing is done.
    due: Vec<String>,
    /// Who did something last.
    last: String,
    /// Who pings before each call, so that a slow machine is not taken for a silent client.
    lively: &'static [&'static str],
    rooms: Rooms,
}

impl<'a> Replay<'a> {
    fn new(log: &[Entry], server: &'a TestServer, judge: &Judge) -> Self {
        let mut stage = Stage::new(server);
        let mut changes = Changes::default();
        for who in participants(log) {
            let of_socket = judge.changes(&socket_of(&who));
            changes.lost.extend(of_socket.lost);
            changes.gained.extend(of_socket.gained);
        }
        stage.begin(changes);
        let fields = log.iter().filter_map(|entry| match entry {
            Entry::Http(call) => Some(call.response_headers.keys().cloned()),
            Entry::Ws(_) => None,
        });
        Self {
            stage,
            server,
            told: fields.flatten().collect(),
            due: Vec::new(),
            last: String::new(),
            lively: &["edge", "ui"],
            rooms: Rooms::default(),
        }
    }

    async fn call(&mut self, call: &Call, judge: &mut Judge) {
        // What an offer by HTTP led to was recorded before its answer.
        if call.request_body.is_empty() {
            self.catch_up().await;
        }
        for who in self.lively {
            self.stage.settle(who).await;
        }
        let path = self.rooms.in_path(&call.path);
        let patience = Instant::now() + PATIENCE;
        let (answer, fields, body) = loop {
            let (answer, fields) = http::ask(
                self.server.address(),
                &call.method,
                &path,
                &call.headers,
                &call.request_body,
            )
            .await;
            let body = self
                .rooms
                .named(&http::without_chance(&answer.body), &call.response_body);
            // A room is swept in time, and not at a moment that a client could know.
            let swept = answer.status != call.status
                || !call.desc.contains("sweep")
                || body == call.response_body;
            if swept || Instant::now() > patience {
                break (answer, fields, body);
            }
            self.stage.settle("edge").await;
            sleep(Duration::from_millis(20)).await;
        };
        self.catch_up().await;
        let mut kinds = vec![EVERY_ANSWER];
        if call.response_body == HTML_ERROR {
            kinds.push(ERROR_PAGE);
        }
        judge.take(
            &call.desc,
            &kinds,
            http::lines(
                call.status,
                &call.response_headers,
                &call.response_body,
                &self.told,
            ),
            http::lines(answer.status, &fields, &body, &self.told),
        );
    }

    async fn event(&mut self, event: &Event) {
        let who = &event.who;
        match event.event.as_str() {
            "connect" => {
                self.catch_up().await;
                self.stage.connect(who, &event.path).await;
                self.last.clone_from(who);
            }
            "send" => {
                self.catch_up().await;
                self.stage
                    .send(who, Message::text(event.text.clone()))
                    .await;
                self.last.clone_from(who);
            }
            // From here on nobody but `edge` says a word of its own accord.
            "note" if event.text.contains("ping frames") => {
                self.lively = &["edge"];
                self.stage.beat("edge");
            }
            // What upstream did wrong: what is done instead comes here.
            "note" => {
                self.catch_up().await;
                self.stage.expect_gained(&self.last).await;
            }
            _ => self.due.extend(line_of(event, |_| true)),
        }
    }

    async fn catch_up(&mut self) {
        for line in std::mem::take(&mut self.due) {
            self.stage.expect(&line).await;
        }
    }

    async fn end(mut self) -> Observed {
        self.catch_up().await;
        for who in self.stage.open() {
            self.stage.expect_gained(&who).await;
            self.stage.settle(&who).await;
        }
        self.stage.seen()
    }
}

/// Which id the letters of the recording stand for here.
#[derive(Default)]
struct Rooms(BTreeMap<String, String>);

impl Rooms {
    fn in_path(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for (letter, id) in &self.0 {
            path = path.replace(letter, id);
        }
        path
    }

    /// The body with letters in place of ids. An id not seen before gets the letter that was recorded here, unless another has it.
    fn named(&mut self, body: &str, recorded: &str) -> String {
        let id = body
            .split('"')
            .find(|word| word.len() == 40 && word.bytes().all(|c| c.is_ascii_hexdigit()));
        let Some(id) = id else {
            return body.to_owned();
        };
        let known = self.0.iter().find(|(_, known)| *known == id);
        let letter = match known {
            Some((letter, _)) => letter.clone(),
            None => {
                let letter = recorded
                    .split('"')
                    .find(|word| word.starts_with("<room-") && !self.0.contains_key(*word))
                    .unwrap_or("<another room>")
                    .to_owned();
                self.0.insert(letter.clone(), id.to_owned());
                letter
            }
        };
        body.replace(id, &letter)
    }
}
