//! A service that is told what happens, and may have its word.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use peerage_server::hub::{Hub, HubBuilder, Otherwise, Webhook};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::common::soon;
use crate::members::{Table, eventually};

const SECRET: &str = "a-secret-of-both-of-them";

/// What it answers next; else 200 and nothing.
type Answers = Arc<Mutex<VecDeque<(u16, String, Duration)>>>;

struct Service {
    url: String,
    told: mpsc::UnboundedReceiver<Value>,
    answers: Answers,
    task: JoinHandle<()>,
}

impl Service {
    async fn start() -> Self {
        let (mouth, told) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let app = Router::new()
            .route("/hook", post(take))
            .with_state((mouth, answers.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            told,
            answers,
            task,
        }
    }

    fn hub(&self, moderate: bool) -> HubBuilder {
        let mut webhook = Webhook::new(self.url.parse().unwrap(), SECRET.parse().unwrap());
        webhook.moderate = moderate;
        Hub::builder().webhook(webhook)
    }

    fn answer(&self, status: u16, body: &str) {
        self.answer_after(Duration::ZERO, status, body);
    }

    fn answer_after(&self, wait: Duration, status: u16, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.push_back((status, body.to_owned(), wait));
    }

    async fn next(&mut self) -> Value {
        soon("a request", self.told.recv()).await.unwrap()
    }

    async fn until(&mut self, event: &str) -> Value {
        loop {
            let told = self.next().await;
            if told["event"] == event {
                return told;
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State((mouth, answers)): State<(mpsc::UnboundedSender<Value>, Answers)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signature = headers["peerage-signature"].to_str().unwrap();
    let (time, mac) = signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(time.parse::<u64>().unwrap().abs_diff(now) < 60);
    assert_eq!(mac, hmac(&[time.as_bytes(), b".", &body].concat()));
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let answer = answers.lock().unwrap().pop_front();
    mouth.send(told).unwrap();
    match answer {
        Some((status, body, wait)) => {
            tokio::time::sleep(wait).await;
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        None => StatusCode::OK.into_response(),
    }
}

/// By another implementation than the server's.
fn hmac(text: &[u8]) -> String {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("a suite of TLS 1.3");
    let key = suite.hkdf_provider.hmac_sign(
        &rustls::crypto::tls13::OkmBlock::new(SECRET.as_bytes()),
        text,
    );
    key.as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[tokio::test]
async fn a_service_is_told_who_joins_leaves_and_says_what_in_order_and_signed() {
    let mut service = Service::start().await;
    let table = Table::with(service.hub(false)).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.native("r", "ben", 1).await;
    ann.chat(json!({ "a": 1.0 })).await;
    ann.emit("draw", json!([1])).await;
    ann.bytes(&[1, 2, 255]).await;
    ann.leave().await;
    let mut told = Vec::new();
    let mut ids = std::collections::HashSet::new();
    let mut order = 1_700_000_000_000_000;
    for _ in 0..8 {
        let mut next = service.next().await;
        assert_eq!(next["room"], "r");
        assert!(next["time"].as_u64() > Some(1_700_000_000_000));
        assert!(ids.insert(next["id"].as_str().unwrap().to_owned()));
        // Microseconds, below what JavaScript can count.
        let place = next["order"].as_u64().unwrap();
        assert!((order + 1..1 << 53).contains(&place));
        order = place;
        for name in ["id", "time", "order", "room"] {
            next.as_object_mut().unwrap().remove(name);
        }
        told.push(next);
    }
    assert_eq!(
        told,
        [
            json!({ "event": "joined", "peer_id": "ann", "metadata": { "userAgent": "test", "timestamp": 1 } }),
            json!({ "event": "host", "peer_id": "ann" }),
            json!({ "event": "joined", "peer_id": "ben" }),
            json!({ "event": "message", "peer_id": "ann", "message": { "a": 1.0 } }),
            json!({ "event": "message", "peer_id": "ann", "name": "draw", "message": [1] }),
            json!({ "event": "message", "peer_id": "ann", "bytes": "AQL/" }),
            json!({ "event": "left", "peer_id": "ann", "reason": "left", "metadata": { "userAgent": "test", "timestamp": 1 } }),
            json!({ "event": "host", "peer_id": "ben" }),
        ]
    );
    ben.until(|frame| matches!(frame, peerage_proto::wire::room::FromHub::Host { .. }))
        .await;
}

#[tokio::test]
async fn a_service_that_fails_for_a_moment_is_told_again_and_one_that_does_not_want_it_is_not() {
    let mut service = Service::start().await;
    service.answer(503, "");
    service.answer(500, "");
    service.answer(200, "");
    service.answer(400, "");
    let table = Table::with(service.hub(false)).await;
    let _ann = table.old("r", "ann").await;
    let first = service.next().await;
    assert_eq!(first["event"], "joined");
    // The same, with the same id.
    assert_eq!(service.next().await, first);
    assert_eq!(service.next().await, first);
    assert_eq!(service.next().await["event"], "host");
    eventually("a count", || table.hub.stats().untold == 1).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_holds_up_nobody() {
    let nowhere = Webhook::new(
        "http://127.0.0.1:1/".parse().unwrap(),
        SECRET.parse().unwrap(),
    );
    let table = Table::with(Hub::builder().webhook(nowhere)).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    ann.chat("hi").await;
    assert_eq!(ben.hear().await["message"], "hi");
}

#[tokio::test]
async fn a_service_relays_drops_and_replaces_and_hears_each_message_once() {
    let mut service = Service::start().await;
    let table = Table::with(service.hub(true)).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    service.until("joined").await;
    service.until("joined").await;
    for (word, answer) in [
        ("hi", ""),
        ("spam", r#"{"action":"drop"}"#),
        ("damn", r#"{"action":"replace","message":"d***"}"#),
        ("bye", r#"{"action":"relay"}"#),
    ] {
        service.answer(200, answer);
        ann.chat(word).await;
        let asked = service.until("message").await;
        assert_eq!(
            (&asked["message"], &asked["moderate"]),
            (&json!(word), &json!(true))
        );
    }
    for word in ["hi", "d***", "bye"] {
        assert_eq!(ben.hear().await["message"], word);
    }
    ann.leave().await;
    // No message in between.
    loop {
        let told = service.next().await;
        assert!(told["event"] != "message", "{told}");
        if told["event"] == "left" {
            break;
        }
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_or_wrongly_gives_way_to_the_policy_and_is_told_later()
 {
    for (otherwise, arrives) in [(Otherwise::Relay, true), (Otherwise::Drop, false)] {
        let mut service = Service::start().await;
        let hub = service
            .hub(true)
            .moderation(Duration::from_millis(200), otherwise);
        let table = Table::with(hub).await;
        let ann = table.old("r", "ann").await;
        let mut ben = table.old("r", "ben").await;
        service.until("joined").await;
        service.until("joined").await;
        service.answer_after(Duration::from_secs(2), 200, r#"{"action":"relay"}"#);
        ann.chat("slow").await;
        let asked = service.until("message").await;
        assert_eq!(asked["moderate"], true);
        ann.chat("end").await;
        if arrives {
            assert_eq!(ben.hear().await["message"], "slow");
        }
        assert_eq!(ben.hear().await["message"], "end");
        let mut later = vec![service.until("message").await];
        if arrives {
            // It was relayed after all: the service is told, and not asked. It may have kept what it was asked about: it is the same.
            later.push(service.until("message").await);
            let told = later.iter().find(|told| told["message"] == "slow").unwrap();
            assert_eq!(
                (&told["id"], &told["order"]),
                (&asked["id"], &asked["order"])
            );
        }
        let later: Vec<_> = later
            .iter()
            .map(|told| (&told["message"], &told["moderate"]))
            .collect();
        assert!(later.contains(&(&json!("end"), &json!(true))), "{later:?}");
        assert_eq!(
            arrives,
            later.contains(&(&json!("slow"), &Value::Null)),
            "{later:?}"
        );
        assert_eq!(table.hub.stats().unmoderated, 1, "{otherwise:?}");
    }
}
