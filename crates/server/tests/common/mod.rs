//! Plain clients over real sockets. Every wait is bounded.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peerage_server::testing::TestServer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes, shorter than anybody waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took longer than {PATIENCE:?}"))
}

/// A stock client, as far as the server can tell.
pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Connects with a query and without waiting for `OPEN`.
    pub(crate) async fn dial(server: &TestServer, path: &str) -> Self {
        soon("connecting", Self::try_dial(server, "localhost", path))
            .await
            .expect("the handshake succeeds")
    }

    pub(crate) async fn try_dial(
        server: &TestServer,
        host: &str,
        path: &str,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", server.address()).into_client_request()?;
        let host = format!("{host}:{}", server.address().port())
            .parse()
            .expect("a host is a header value");
        request.headers_mut().insert("host", host);
        connect_async(request).await.map(|(socket, _)| Self(socket))
    }

    /// Registers an id under the token `t`.
    pub(crate) async fn open(server: &TestServer, id: &str) -> Self {
        let mut client = Self::dial(
            server,
            &format!("/peerjs?key=peerjs&id={id}&token=t&version=1.5.5"),
        )
        .await;
        assert_eq!(client.receive().await, r#"{"type":"OPEN"}"#);
        client
    }

    pub(crate) async fn send(&mut self, text: &str) {
        soon("sending", self.0.send(Message::text(text)))
            .await
            .expect("the socket is open");
    }

    /// Sends a ping frame and waits for its answer.
    pub(crate) async fn ping(&mut self) {
        let ping = Message::Ping("x".into());
        soon("sending", self.0.send(ping))
            .await
            .expect("the socket is open");
        match soon("a pong", self.0.next()).await {
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("no pong but {other:?}"),
        }
    }

    /// The next text message.
    pub(crate) async fn receive(&mut self) -> String {
        match soon("receiving", self.0.next()).await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("no text message but {other:?}"),
        }
    }

    /// The close code, when the server closes: 1005 stands for none, 1006 for an end without a close frame.
    pub(crate) async fn closed(&mut self) -> u16 {
        let close = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        break frame.map_or(1005, |frame| frame.code.into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break 1006,
                }
            }
        };
        soon("closing", close).await
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// One request over a connection of its own; of a repeated header the values are joined.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let stream = soon("connecting", TcpStream::connect(address))
        .await
        .expect("the server listens");
    ask_over(stream, method, path, headers).await
}

/// The same with a body.
pub(crate) async fn ask_with_body(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let stream = soon("connecting", TcpStream::connect(address))
        .await
        .expect("the server listens");
    let length = body.len().to_string();
    let headers = [headers, &[("content-length", length.as_str())]].concat();
    converse(stream, method, path, &headers, body).await
}

pub(crate) async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    converse(stream, method, path, headers, "").await
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut octets = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut octets).await
    };
    soon("an answer", exchange)
        .await
        .expect("the connection lasts");
    let text = String::from_utf8(octets).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .expect("a status line");
    let mut headers = HashMap::<String, String>::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let value = value.to_owned();
        headers
            .entry(name.to_lowercase())
            .and_modify(|old| *old = format!("{old}, {value}"))
            .or_insert(value);
    }
    Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}
