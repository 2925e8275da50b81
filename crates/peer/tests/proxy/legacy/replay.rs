//! What was recorded, sent once more.

use peerage_peer::Message;
use peerage_proto::wire::legacy::KEEP_ALIVE;
use serde_json::Value;

use super::{
    Client,
    compat::{Row, rows, steps},
    device::Device,
};

/// Keep-alives that were recorded while the slow answer was made.
const WHILE_SLOW: usize = 3;

#[tokio::test]
async fn every_recorded_message_is_answered_as_recorded_or_as_the_table_says() {
    let (device, rows) = (Device::start().await, rows());
    let mut replayed = 0;
    for (name, step) in steps() {
        let Some(exchange) = step["exchange"].as_array() else {
            continue;
        };
        let row = rows.iter().find(|row| row.entry == name).unwrap();
        let mut client = Client::of(device.proxy());
        for message in exchange
            .iter()
            .filter(|message| message["dir"] == "to proxy")
        {
            client.send(message["text"].as_str().unwrap()).await;
        }
        let mut keep_alives = 0;
        let answer = client
            .all(|message| {
                keep_alives += usize::from(is_keep_alive(message));
                if name.ends_with(": slow") && keep_alives == WHILE_SLOW {
                    device.slow.add_permits(1);
                }
            })
            .await;
        let answer: Vec<_> = answer.iter().map(shown).collect();
        let recorded: Vec<_> = exchange.iter().filter_map(recorded).collect();
        let wanted = if row.same { &recorded } else { &row.instead };
        // How many keep-alives there are is a matter of time.
        assert_eq!(once(&answer), once(wanted), "{name}");
        assert_ne!(
            row.same,
            once(&answer) != once(&recorded),
            "{name}: the table is wrong"
        );
        same_upstream(row, &step, &device, &name);
        replayed += 1;
    }
    assert_eq!(replayed, 22);
}

fn same_upstream(row: &Row, step: &Value, device: &Device, name: &str) {
    let seen = device.seen();
    if !row.same {
        return;
    }
    let asked = step["upstream_request"].as_array().unwrap();
    let wanted: Vec<_> = asked
        .iter()
        .map(|request| {
            let text = |member: &Value| member.as_str().unwrap().to_owned();
            // The old HTTP client named a type for no body as well.
            let content_type = request["headers"]["content-type"].as_str();
            let content_type = content_type
                .filter(|_| request["body"] != "")
                .map(ToOwned::to_owned);
            (
                text(&request["method"]),
                text(&request["url"]),
                content_type,
                text(&request["body"]),
            )
        })
        .collect();
    assert_eq!(seen, wanted, "{name}");
}

fn is_keep_alive(message: &Message) -> bool {
    *message == Message::Text(KEEP_ALIVE.into())
}

/// As the table writes it.
fn shown(message: &Message) -> String {
    match message {
        Message::Text(text) => text.to_string(),
        Message::Binary(octets) => bracketed(octets),
    }
}

/// As [`shown`], of what was recorded from the proxy.
fn recorded(message: &Value) -> Option<String> {
    if message["dir"] != "from proxy" {
        return None;
    }
    if let Some(text) = message["text"].as_str() {
        return Some(text.to_owned());
    }
    let body = &message["binary"];
    let octets = match body["hex"].as_str() {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
        // Of the large one only the beginning was kept: all of it is the same letter.
        None => vec![b'A'; usize::try_from(body["bytes"].as_u64().unwrap()).unwrap()],
    };
    assert_eq!(octets.len() as u64, body["bytes"].as_u64().unwrap());
    Some(bracketed(&octets))
}

fn bracketed(octets: &[u8]) -> String {
    match str::from_utf8(octets) {
        Ok(text) => format!("[{}]", text.replace('\n', "\\n")),
        Err(_) => format!("[{}]", octets.escape_ascii()),
    }
}

fn once(messages: &[String]) -> Vec<&String> {
    let mut kept: Vec<&String> = messages.iter().collect();
    kept.dedup_by(|a, b| a == b && *a == KEEP_ALIVE);
    kept
}
