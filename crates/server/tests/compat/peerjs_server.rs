//! `vectors/peerjs-server.json`: npm `peer` 1.0.2.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerage_proto::wire::socket_query::SocketQuery;
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, Cors, SignalConfig};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::compare::{Judge, Observed};
use crate::http::{self, ERROR_PAGE, EVERY_ANSWER, Fields, HTML_ERROR};
use crate::replay::{Event, Stage, line_of, recorded};
use crate::table;

const FILE: &str = "peerjs-server.json";

#[derive(Deserialize)]
struct Vectors {
    http: Vec<Exchange>,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Exchange {
    desc: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    headers: Fields,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Fields,
    body: String,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    config: Options,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Options {
    path: Option<String>,
    expire_timeout: Option<u64>,
    alive_timeout: Option<u64>,
    concurrent_limit: Option<usize>,
}

#[tokio::test]
async fn everything_recorded_of_peerjs_server_comes_out_as_the_document_says() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../vectors/peerjs-server.json")).unwrap();
    let mut judge = Judge::new(FILE, table::section(FILE));
    exchanges(&vectors.http, &mut judge).await;
    for scenario in &vectors.scenarios {
        converse(scenario, &mut judge).await;
    }
    judge.finish();
}

async fn exchanges(exchanges: &[Exchange], judge: &mut Judge) {
    let servers = Servers::start().await;
    let _clients = servers.clients().await;
    let told: BTreeSet<String> = exchanges
        .iter()
        .flat_map(|exchange| exchange.response.headers.keys().cloned())
        .collect();
    for Exchange {
        desc,
        request,
        response,
    } in exchanges
    {
        let address = servers.of(desc).address();
        let (answer, fields) = http::ask(
            address,
            &request.method,
            &request.path,
            &request.headers,
            "",
        )
        .await;
        let mut kinds = vec![EVERY_ANSWER];
        if response.body == HTML_ERROR {
            kinds.push(ERROR_PAGE);
        }
        let body = http::without_chance(&answer.body);
        judge.take(
            desc,
            &kinds,
            http::lines(response.status, &response.headers, &response.body, &told),
            http::lines(answer.status, &fields, &body, &told),
        );
    }
}

/// The recordings do not say how the server was set; their descriptions do.
struct Servers {
    plain: TestServer,
    listed: TestServer,
    below: TestServer,
    slashless: TestServer,
}

impl Servers {
    async fn start() -> Self {
        let origins = ["https://a.example", "https://b.example"].map(str::to_owned);
        Self {
            plain: run(config()).await,
            listed: run(Config {
                cors: Cors::Origins(origins.to_vec()),
                ..config()
            })
            .await,
            below: run(below("/myapp", "mykey", |config| config.discovery = true)).await,
            slashless: run(below("app", "peerjs", |_| {})).await,
        }
    }

    /// `one` and `two`, registered in this order.
    async fn clients(&self) -> Stage<'_> {
        let mut stage = Stage::new(&self.below);
        for id in ["one", "two"] {
            stage
                .connect(id, &format!("/myapp/peerjs?key=mykey&id={id}&token=t"))
                .await;
            stage.settle(id).await;
        }
        stage
    }

    fn of(&self, desc: &str) -> &TestServer {
        match desc {
            desc if desc.starts_with("cors option") => &self.listed,
            desc if desc.starts_with("path option") => &self.slashless,
            desc if desc.starts_with("peers with ")
                || desc.starts_with("banner under path")
                || desc == "root when path is /myapp" =>
            {
                &self.below
            }
            _ => &self.plain,
        }
    }
}

async fn run(config: Config) -> TestServer {
    TestServer::with(config).await.expect("the server starts")
}

fn below(path: &str, key: &str, set: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        path: path.to_owned(),
        ..config()
    };
    key.clone_into(&mut config.signal.key);
    set(&mut config);
    config
}

async fn converse(scenario: &Scenario, judge: &mut Judge) {
    let by_server = |event: &Event| is_closed_by_server(scenario, event);
    // Where time itself is the subject, a machine that lost some proves nothing, and tries again.
    for tries in 1.. {
        match replay(scenario, judge).await {
            Ok(mut seen) => {
                let mut recorded = recorded(&scenario.events, by_server);
                order_expiries(&mut recorded);
                order_expiries(&mut seen);
                return judge.take(&scenario.name, &[], recorded, seen);
            }
            Err(Late) => assert!(tries < 5, "{}: the machine is too slow", scenario.name),
        }
    }
}

/// Two ids that do not come within the same millisecond have no order.
fn order_expiries(observed: &mut Observed) {
    let is_expiry = |line: &String| line.contains(r#" recv {"type":"EXPIRE","#);
    for lines in observed.values_mut() {
        lines
            .chunk_by_mut(|one, next| is_expiry(one) && is_expiry(next))
            .for_each(<[_]>::sort);
    }
}

/// The replay fell behind the recording's clock.
struct Late;

async fn replay(scenario: &Scenario, judge: &Judge) -> Result<Observed, Late> {
    let server = run(settings(scenario)).await;
    let by_server = |event: &Event| is_closed_by_server(scenario, event);
    let is_timed = scenario
        .events
        .iter()
        .any(|event| event.event == "close" && is_timeout(scenario, event));
    let started = Instant::now();
    let mut stage = Stage::new(&server);
    let mut ids = BTreeMap::new();
    stage.begin(judge.changes(&scenario.name));
    for event in &scenario.events {
        if is_timed {
            let due = started + Duration::from_millis(event.t);
            tokio::time::sleep_until(due).await;
            if due.elapsed() > Duration::from_millis(300) && !stage.is_failing() {
                return Err(Late);
            }
        }
        let who = &event.who;
        match event.event.as_str() {
            "connect" => {
                stage.connect(who, &event.path).await;
                ids.insert(who.clone(), id_of(&event.path));
            }
            "send" => {
                let message = if event.binary {
                    Message::binary(event.text.clone())
                } else {
                    Message::text(event.text.clone())
                };
                // A ping is a sign of life: where these are the subject there is none but the recorded ones.
                if is_timed {
                    stage.say(who, message).await;
                } else {
                    stage.send(who, message).await;
                }
                if event.text == r#"{"type":"LEAVE"}"# {
                    ids.remove(who);
                }
            }
            "note" if event.text.contains("ping frame") => {
                stage.say(who, Message::Ping(Vec::new().into())).await;
            }
            "close" if !by_server(event) => {
                mark(&mut stage, &ids).await;
                stage.leave(who).await;
            }
            _ => {
                if let Some(line) = line_of(event, by_server) {
                    stage.expect(&line).await;
                }
            }
        }
    }
    for who in ids.keys() {
        stage.expect_gained(who).await;
    }
    if scenario.config.expire_timeout.is_some() {
        for who in stage.open() {
            // Waits as long as what waited before it, so all that expires has expired.
            let sent = r#"{"type":"OFFER","dst":"marker"}"#;
            let received = format!(
                r#"{{"type":"EXPIRE","src":"marker","dst":"{}"}}"#,
                ids[&who]
            );
            stage.mark(&who, sent, &who, &received).await;
        }
    }
    mark(&mut stage, &ids).await;
    Ok(stage.seen())
}

/// From everybody to everybody, so that nothing is on its way any more.
async fn mark(stage: &mut Stage<'_>, ids: &BTreeMap<String, String>) {
    let mut open = stage.open();
    for who in &open {
        stage.settle(who).await;
    }
    open.retain(|who| ids.contains_key(who) && stage.is_open(who));
    for from in &open {
        for to in &open {
            let (src, dst) = (&ids[from], &ids[to]);
            let sent = format!(r#"{{"type":"OFFER","dst":"{dst}","payload":"marker"}}"#);
            let received =
                format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":"marker"}}"#);
            stage.mark(from, &sent, to, &received).await;
        }
    }
}

fn settings(scenario: &Scenario) -> Config {
    let says = |text: &str| {
        scenario
            .events
            .iter()
            .any(|event| event.path.contains(text))
    };
    let options = &scenario.config;
    let path = match &options.path {
        Some(path) => path,
        None if says("/myapp/") => "/myapp",
        None => "/",
    };
    let key = if says("key=mykey") { "mykey" } else { "peerjs" };
    below(path, key, |config| {
        let defaults = SignalConfig::default();
        let millis = |given: Option<u64>, default| given.map_or(default, Duration::from_millis);
        config.signal.expire_after = millis(options.expire_timeout, defaults.expire_after);
        config.signal.alive_for = millis(options.alive_timeout, defaults.alive_for);
        config.signal.peers = options.concurrent_limit.unwrap_or(defaults.peers);
    })
}

/// Servers close whom they refuse and who was silent too long. All other closes are the end of a scenario, or noted as the client's.
fn is_closed_by_server(scenario: &Scenario, event: &Event) -> bool {
    let refused = scenario.events.iter().any(|other| {
        other.who == event.who
            && other.event == "recv"
            && [r#""ERROR""#, r#""ID-TAKEN""#]
                .iter()
                .any(|refusal| other.text.contains(refusal))
    });
    refused || is_timeout(scenario, event)
}

fn is_timeout(scenario: &Scenario, close: &Event) -> bool {
    let last_life = scenario
        .events
        .iter()
        .filter(|event| {
            event.who == close.who
                && (event.event == "open" || event.text == r#"{"type":"HEARTBEAT"}"#)
        })
        .map(|event| event.t)
        .max();
    let timeout = scenario.config.alive_timeout;
    matches!((last_life, timeout), (Some(last), Some(timeout)) if close.t >= last + timeout)
}

fn id_of(path: &str) -> String {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    SocketQuery::parse(query).id.into_owned()
}
