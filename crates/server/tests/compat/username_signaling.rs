//! `vectors/username-signaling.json`: the Python server of 2017. One server, and clients that stay from one scenario to the next.

use peerage_server::testing::TestServer;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use crate::compare::Judge;
use crate::replay::{Event, Stage, line_of, recorded};
use crate::table;

const FILE: &str = "username-signaling.json";

/// What the recording says in place of a message of 1.1 million characters.
const BIG: &str = "(a JSON message of 1100000 characters)";

#[derive(Deserialize)]
struct Vectors {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    events: Vec<Event>,
}

#[tokio::test]
async fn everything_recorded_of_the_username_server_comes_out_as_the_document_says() {
    let mut vectors: Vectors =
        serde_json::from_str(include_str!("../../../../vectors/username-signaling.json")).unwrap();
    let mut judge = Judge::new(FILE, table::section(FILE));
    let server = TestServer::start().await.unwrap();
    let mut stage = Stage::new(&server);
    for scenario in &mut vectors.scenarios {
        for event in &mut scenario.events {
            if event.event == "recv" {
                event.text = unspaced(&event.text);
            }
        }
        converse(scenario, &mut stage, &judge).await;
        let recorded = recorded(&scenario.events, by_server);
        judge.take(&scenario.name, &[], recorded, stage.seen());
    }
    judge.finish();
}

async fn converse(scenario: &Scenario, stage: &mut Stage<'_>, judge: &Judge) {
    stage.begin(judge.changes(&scenario.name));
    for event in &scenario.events {
        let who = &event.who;
        match event.event.as_str() {
            "connect" => stage.connect(who, &event.path).await,
            "send" => {
                let message = match event.text.as_str() {
                    BIG => Message::text(big()),
                    text if event.binary => Message::binary(text.to_owned()),
                    text => Message::text(text),
                };
                stage.send(who, message).await;
            }
            "close" if !by_server(event) => stage.leave(who).await,
            _ => {
                if let Some(line) = line_of(event, by_server) {
                    stage.expect(&line).await;
                }
            }
        }
    }
    for who in stage.open() {
        stage.expect_gained(&who).await;
        stage.settle(&who).await;
    }
}

/// Clients closed without a code, the server never.
fn by_server(event: &Event) -> bool {
    event.code != 1005
}

fn big() -> String {
    let around = r#"{"action":"x","to":"anna","data":""}"#.len();
    let filler = "x".repeat(1_100_000 - around);
    format!(r#"{{"action":"x","to":"anna","data":"{filler}"}}"#)
}

/// Python wrote each message anew, with a space after commas and colons and without a letter beyond ASCII. The document has that once for all entries,
/// so the recording is read as the same message without either.
fn unspaced(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            ' ' if !quoted => {}
            '"' => {
                quoted = !quoted;
                plain.push(c);
            }
            '\\' => match rest.next() {
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).expect("four digits");
                    plain.push(char::from_u32(code).expect("a letter"));
                }
                escaped => plain.extend(Some('\\').into_iter().chain(escaped)),
            },
            c => plain.push(c),
        }
    }
    plain
}
