//! WebSockets of the app behind the device: two hops that look like one.

mod endings;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use http::{HeaderMap, Request, Uri};
use http_body_util::BodyExt as _;
use peerage_peer::{
    Channel, Message,
    http::{Client, Close, Received, ResetCode, WebSocket, WebSocketError, serve_with},
    proxy::{Proxy, Settings},
};
use peerage_proto::identity::SigningKey;
use rand_core::UnwrapErr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        self,
        handshake::{
            derive_accept_key,
            server::{Request as Handshake, Response as Accepted},
        },
    },
};

use crate::target::{ORIGIN, WebApp, field, proxy, proxy_with};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

/// A web app of WebSockets, which remembers how they were asked for.
struct SocketApp {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(Uri, HeaderMap)>>>,
}

impl SocketApp {
    async fn running<F, R>(run: F) -> Self
    where
        F: Fn(Socket) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, run)
    }

    fn on<F, R>(listener: TcpListener, run: F) -> Self
    where
        F: Fn(Socket) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (run, log) = (run.clone(), log.clone());
                tokio::spawn(async move {
                    #[allow(clippy::result_large_err, reason = "tungstenite's own type")]
                    let answer = |asked: &Handshake, mut accepted: Accepted| {
                        let fields = asked.headers().clone();
                        log.lock().unwrap().push((asked.uri().clone(), fields));
                        if let Some(offered) = asked.headers().get("sec-websocket-protocol") {
                            let last = offered.to_str().unwrap().rsplit(',').next().unwrap();
                            let chosen = last.trim().parse().unwrap();
                            accepted
                                .headers_mut()
                                .insert("sec-websocket-protocol", chosen);
                        }
                        let cookie = "a=1".parse().unwrap();
                        accepted.headers_mut().insert("set-cookie", cookie);
                        Ok(accepted)
                    };
                    let socket = accept_hdr_async(socket, answer).await.unwrap();
                    run(socket).await;
                });
            }
        });
        Self { address, seen }
    }

    async fn echo() -> Self {
        Self::running(echo).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> Client {
        through(proxy(&self.url()))
    }
}

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

pub(crate) fn through(proxy: Proxy) -> Client {
    let (caller, callee) = Channel::pair("peerage-http");
    let features = proxy.features();
    tokio::spawn(serve_with(callee, proxy, features, std::future::pending()));
    Client::new(caller)
}

pub(crate) fn asked(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

pub(crate) async fn opened(client: &Client) -> WebSocket {
    soon(client.open_websocket(asked("/live", &[("origin", ORIGIN)])))
        .await
        .unwrap()
        .0
}

/// The answer of a proxy that opened no socket, and its body.
pub(crate) async fn refused(client: &Client, request: Request<()>) -> (u16, HeaderMap, String) {
    match soon(client.open_websocket(request)).await {
        Err(WebSocketError::Refused(response)) => {
            let (parts, body) = response.into_parts();
            let body = soon(body.collect()).await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            (parts.status.as_u16(), parts.headers, text)
        }
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Received {
    Received::Message(Message::Text(text.into()))
}

fn close(code: u16, reason: &str) -> Option<Close> {
    Some(Close::new(code, reason).unwrap())
}

fn noise(octets: usize) -> Bytes {
    (0..octets).map(|n| (n * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn messages_of_every_kind_and_size_come_back_from_the_app() {
    let app = SocketApp::echo().await;
    let (mut sender, mut receiver) = opened(&app.client()).await.split();
    let messages = [
        Message::Text("hello".into()),
        Message::Binary(noise(10)),
        Message::Text(String::new().into()),
        Message::Binary(Bytes::new()),
        Message::Text("grüße ".repeat(200_000).into()),
        Message::Binary(noise(8 << 20)),
        Message::Text("end".into()),
    ];
    let send = async {
        for message in &messages {
            sender.send(message.clone()).await.unwrap();
        }
    };
    let receive = async {
        for message in &messages {
            let received = receiver.recv().await.unwrap();
            let expected = Received::Message(message.clone());
            assert!(received == expected, "of {}", message.len());
        }
    };
    soon(futures_util::future::join(send, receive)).await;
}

#[tokio::test]
async fn the_app_sees_its_own_handshake_host_and_origin_and_the_subprotocols_of_the_caller() {
    let app = SocketApp::echo().await;
    let client = through(proxy(&format!("{}/base", app.url())));
    let fields = [
        ("origin", ORIGIN),
        ("cookie", "s=1"),
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("sec-websocket-version", "12"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("connection", "close"),
        ("x-forwarded-host", "evil.example"),
        ("content-length", "5"),
    ];
    let request = asked("/live?x=1", &fields);
    let (mut socket, response) = soon(client.open_websocket(request)).await.unwrap();
    assert_eq!(field(&response, "sec-websocket-protocol"), Some("chat.v2"));
    assert_eq!(field(&response, "set-cookie"), Some("a=1"));
    for hop in [
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "upgrade",
        "connection",
    ] {
        assert_eq!(field(&response, hop), None, "{hop}");
    }
    let (uri, seen) = app.seen.lock().unwrap()[0].clone();
    assert_eq!(uri, "/base/live?x=1");
    assert_eq!(seen["host"], app.address.to_string());
    assert_eq!(seen["origin"], app.url());
    assert_eq!(seen["cookie"], "s=1");
    assert_eq!(seen["sec-websocket-protocol"], "chat.v1, chat.v2");
    assert_eq!(seen["sec-websocket-version"], "13");
    assert_ne!(seen["sec-websocket-key"], "AAAAAAAAAAAAAAAAAAAAAA==");
    for gone in [
        "sec-websocket-extensions",
        "x-forwarded-host",
        "content-length",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    // A length that the request stated would have swallowed the first octets of this.
    soon(socket.send(Message::Text("first".into())))
        .await
        .unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), text("first"));
}

#[tokio::test]
async fn a_handshake_takes_its_cookies_from_the_callers_jar_and_leaves_those_of_its_answer_there() {
    let app = SocketApp::echo().await;
    let key = SigningKey::generate(&mut UnwrapErr(getrandom::SysRng));
    let client = through(proxy(&app.url()).for_caller(key.public_key()));
    let fields = [("peerage-cookies", "jar"), ("cookie", "forged=1")];
    for expected in [None, Some("a=1")] {
        let asked = client.open_websocket(asked("/live", &fields));
        let (socket, response) = soon(asked).await.unwrap();
        assert_eq!(field(&response, "set-cookie"), None);
        let seen = app.seen.lock().unwrap().pop().unwrap().1;
        let cookie = seen.get("cookie").map(|cookie| cookie.to_str().unwrap());
        assert_eq!(cookie, expected);
        assert_eq!(seen.get("peerage-cookies"), None);
        soon(socket.close(None)).await.unwrap();
    }
}

#[tokio::test]
async fn a_handshake_of_another_sites_page_never_reaches_the_app() {
    let app = SocketApp::echo().await;
    let client = app.client();
    for fields in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://other.localhost:9000")],
        &[("origin", ORIGIN), ("origin", "https://evil.example")],
        &[("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
        &[
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "websocket"),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ],
    ] {
        let (status, answer, _) = refused(&client, asked("/", fields)).await;
        assert_eq!(
            (status, &answer["peerage-error"]),
            (403, &"refused".parse().unwrap()),
            "{fields:?}"
        );
    }
    let (status, answer, _) = refused(&client, asked("/..%2fadmin", &[])).await;
    assert_eq!(
        (status, &answer["peerage-error"]),
        (400, &"refused".parse().unwrap())
    );
    assert!(app.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_app_that_opens_no_socket_answers_as_it_would_anybody() {
    for (answer, status) in [
        (
            "HTTP/1.1 404 No\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone",
            404,
        ),
        (
            "HTTP/1.1 401 Who\r\nwww-authenticate: Basic\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone",
            401,
        ),
        (
            "HTTP/1.1 302 There\r\nlocation: /login\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone",
            302,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nnone\r\n0\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 426 More\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone",
            426,
        ),
    ] {
        let app = WebApp::answering(answer).await;
        let client = through(app.proxy());
        let (found, fields, body) = refused(&client, asked("/live", &[])).await;
        assert_eq!((found, &*body), (status, "none"));
        assert_eq!(fields.get("upgrade"), None);
        if status == 302 {
            assert_eq!(fields["location"], "/login");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_is_wrong_is_a_502_and_no_socket() {
    for answer in [
        "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {wrong}\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nupgrade: h2c\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: x\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let client = through(proxy(&by_hand(answer, b"").await));
        let (status, fields, text) = refused(&client, asked("/", &[])).await;
        assert_eq!(
            (status, &fields["peerage-error"]),
            (502, &"broken".parse().unwrap()),
            "{answer} {text}"
        );
    }
}

/// An app that answers one handshake by hand, sends octets after it and holds the connection. Its URL.
async fn by_hand(answer: &'static str, then: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .unwrap();
        let answer = answer
            .replace("{accept}", &derive_accept_key(key.as_bytes()))
            .replace("{wrong}", &derive_accept_key(b"another"));
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.write_all(then).await.unwrap();
        while socket.read_u8().await.is_ok() {}
    });
    url
}

#[tokio::test]
async fn messages_that_come_with_the_handshake_are_not_lost() {
    let answer = "HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n";
    let client = through(proxy(&by_hand(answer, b"\x81\x05early").await));
    let mut socket = opened(&client).await;
    assert_eq!(soon(socket.recv()).await.unwrap(), text("early"));
}

#[tokio::test]
async fn pings_stay_on_their_hop_and_are_answered_there() {
    let app = SocketApp::running(|mut socket| async move {
        let ping = tungstenite::Message::Ping(Bytes::from_static(b"there?"));
        socket.send(ping).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        let told = format!(
            "{}",
            pong == tungstenite::Message::Pong(Bytes::from_static(b"there?"))
        );
        socket.send(told.into()).await.unwrap();
        while socket.next().await.is_some() {}
    })
    .await;
    let mut socket = opened(&app.client()).await;
    assert_eq!(soon(socket.recv()).await.unwrap(), text("true"));
}

#[tokio::test]
async fn many_sockets_at_once_each_hear_their_own_and_hold_a_place_each() {
    let app = SocketApp::echo().await;
    let settings = Settings {
        requests: 100,
        ..Settings::default()
    };
    let client = through(proxy_with(&app.url(), &settings));
    let sockets = join_all((0..100).map(|number| {
        let client = client.clone();
        async move {
            let mut socket = opened(&client).await;
            for turn in 0..5 {
                let word = format!("{number} {turn}");
                socket
                    .send(Message::Text(word.clone().into()))
                    .await
                    .unwrap();
                assert_eq!(socket.recv().await.unwrap(), text(&word));
            }
            socket
        }
    }));
    let sockets = soon(sockets).await;
    let (status, fields, _) = refused(&client, asked("/", &[])).await;
    assert_eq!(
        (status, &fields["peerage-error"]),
        (503, &"busy".parse().unwrap())
    );
    soon(join_all(
        sockets.into_iter().map(|socket| socket.close(None)),
    ))
    .await;
    // Places come back when the target has closed its connection as well.
    let again = async {
        loop {
            match client.open_websocket(asked("/", &[])).await {
                Ok((socket, _)) => return socket,
                Err(WebSocketError::Refused(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon(soon(again).await.close(None)).await.unwrap();
}

#[tokio::test]
async fn an_app_that_never_answers_a_handshake_is_a_504() {
    let app = WebApp::running(|mut socket| async move { drop(socket.read_u8().await) }).await;
    let settings = Settings {
        head_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let client = through(proxy_with(&app.url(), &settings));
    let (status, fields, _) = refused(&client, asked("/", &[])).await;
    assert_eq!(
        (status, &fields["peerage-error"]),
        (504, &"timeout".parse().unwrap())
    );
}

#[tokio::test]
async fn a_folder_has_no_websockets_and_does_not_say_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let client = through(proxy(dir.path().to_str().unwrap()));
    match soon(client.open_websocket(asked("/", &[]))).await {
        Err(WebSocketError::Failed(error)) => assert_eq!(error.code(), ResetCode::Unsupported),
        other => panic!("{other:?}"),
    }
}
