//! Old clients: what the old proxies were recorded to do (`vectors/peerfetch.json`), what is done otherwise (`docs/compat-peerfetch.md`), and how
//! requests and connections end.

mod compat;
mod device;
mod endings;
mod replay;

use std::time::Duration;

use peerage_peer::{
    Channel, Message,
    proxy::{Proxy, serve_legacy},
};
use peerage_proto::wire::legacy::{AskError, KEEP_ALIVE, LABEL};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// An old client, connected to a proxy.
struct Client(Channel);

impl Client {
    fn of(proxy: Proxy) -> Self {
        let (client, served) = Channel::pair(LABEL);
        tokio::spawn(serve_legacy(served, proxy, std::future::pending()));
        Self(client)
    }

    async fn send(&self, text: &str) {
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.0.recv()).await.expect("soon")
    }

    /// All that comes for what was sent so far; `seen` is told of each. A request that is refused in its own words marks the end.
    async fn all(&mut self, mut seen: impl FnMut(&Message)) -> Vec<Message> {
        self.send(r#"{"url":"/","method":"POST","json":1,"data":""}"#)
            .await;
        let end = Message::Binary(format!("{}\n", AskError::Bodies).into());
        let mut messages = Vec::new();
        loop {
            let message = self.next().await.expect("an answer");
            seen(&message);
            if message == end {
                messages.pop().expect("its header");
                return messages;
            }
            messages.push(message);
        }
    }

    /// Status and body of the answer to a request.
    async fn ask(&mut self, members: serde_json::Value) -> (u64, String) {
        self.send(&members.to_string()).await;
        let header = loop {
            match self.next().await.expect("an answer") {
                Message::Text(text) if text == KEEP_ALIVE => {}
                Message::Text(text) => break text,
                Message::Binary(_) => panic!("a body before its header"),
            }
        };
        let header: serde_json::Value = serde_json::from_str(&header).unwrap();
        let status = header["status"].as_u64().unwrap();
        if status == 204 {
            return (status, String::new());
        }
        let body = self.next().await.expect("a body");
        assert!(matches!(body, Message::Binary(_)));
        assert_eq!(header["content-length"], body.len());
        (
            status,
            String::from_utf8_lossy(body.as_bytes()).into_owned(),
        )
    }

    async fn get(&mut self, url: &str) -> (u64, String) {
        self.ask(serde_json::json!({ "url": url, "method": "GET" }))
            .await
    }
}
