//! WebSockets of the app behind the device: two hops that look like one.

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
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
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
        protocol::CloseFrame,
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

fn through(proxy: Proxy) -> Client {
    let (caller, callee) = Channel::pair("peerage-http");
    let features = proxy.features();
    tokio::spawn(serve_with(callee, proxy, features, std::future::pending()));
    Client::new(caller)
}

fn asked(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

async fn opened(client: &Client) -> WebSocket {
    soon(client.open_websocket(asked("/live", &[("origin", ORIGIN)])))
        .await
        .unwrap()
        .0
}

/// How a socket breaks off at once: before its head has gone out, or after.
async fn broken(client: &Client) -> ResetCode {
    let first = match soon(client.open_websocket(asked("/live", &[]))).await {
        Ok((mut socket, _)) => soon(socket.recv()).await,
        Err(WebSocketError::Failed(error)) => Err(error),
        Err(refused) => panic!("{refused}"),
    };
    first.expect_err("a reset").code()
}

/// The answer of a proxy that opened no socket, and its body.
async fn refused(client: &Client, request: Request<()>) -> (u16, HeaderMap, String) {
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

fn frame(code: u16, reason: &'static str) -> Option<CloseFrame> {
    Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    })
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
        Message::Text(String::new()),
        Message::Binary(Bytes::new()),
        Message::Text("grüße ".repeat(200_000)),
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
async fn what_no_websocket_sends_breaks_the_exchange_off() {
    let answer = "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n";
    for (octets, code) in [
        (&b"\x81\x02\xc3\x28"[..], ResetCode::Broken),
        (b"\xc1\x01x", ResetCode::Broken),
        (b"\x80\x01x", ResetCode::Broken),
        (b"\x81\x81\0\0\0\0x", ResetCode::Broken),
        (b"\x83\x01x", ResetCode::Broken),
        (b"\x82\x7f\0\0\0\0\x7f\xff\xff\xff", ResetCode::TooLarge),
    ] {
        let client = through(proxy(&by_hand(answer, octets).await));
        assert_eq!(broken(&client).await, code, "{octets:?}");
    }
}

#[tokio::test]
async fn closes_pass_through_both_ways_with_code_and_reason_or_without() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move {
            match socket.next().await {
                Some(Ok(tungstenite::Message::Text(word))) => {
                    let close = match word.as_str() {
                        "coded" => frame(4001, "grüße"),
                        _ => None,
                    };
                    socket.close(close).await.unwrap();
                    let answer = socket.next().await.unwrap().unwrap();
                    heard.send(answer).await.unwrap();
                }
                Some(Ok(close)) => heard.send(close).await.unwrap(),
                other => panic!("{other:?}"),
            }
            while socket.next().await.is_some() {}
        }
    })
    .await;
    let client = app.client();
    for (mine, theirs) in [
        (close(4000, "bye"), frame(4000, "bye")),
        (close(1000, ""), frame(1000, "")),
        (None, None),
    ] {
        let socket = opened(&client).await;
        assert_eq!(soon(socket.close(mine.clone())).await.unwrap(), mine);
        let heard = soon(hears.recv()).await.unwrap();
        assert_eq!(heard, tungstenite::Message::Close(theirs));
    }
    for (word, mine, theirs) in [
        ("coded", close(4001, "grüße"), frame(4001, "grüße")),
        ("plain", None, None),
    ] {
        let mut socket = opened(&client).await;
        soon(socket.send(Message::Text(word.into()))).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Received::Close(mine));
        let heard = soon(hears.recv()).await.unwrap();
        assert_eq!(heard, tungstenite::Message::Close(theirs));
    }
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
async fn an_app_that_dies_breaks_the_socket_off_and_no_other() {
    let app = SocketApp::running(|mut socket| async move {
        if socket.next().await.unwrap().unwrap().to_text().unwrap() == "die" {
            return;
        }
        while socket.next().await.is_some() {}
    })
    .await;
    let client = app.client();
    let (mut first, mut second) = (opened(&client).await, opened(&client).await);
    soon(second.send(Message::Text("live".into())))
        .await
        .unwrap();
    soon(first.send(Message::Text("die".into()))).await.unwrap();
    let error = soon(first.recv()).await.unwrap_err();
    assert_eq!(error.code(), ResetCode::Broken);
    assert_eq!(soon(second.close(None)).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_a_going_away_for_the_app_and_a_lost_link_a_lost_connection() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move {
            let last = socket.next().await.unwrap();
            heard.send(last.ok()).await.unwrap();
        }
    })
    .await;
    let client = app.client();
    drop(opened(&client).await);
    let away = soon(hears.recv()).await.unwrap();
    assert_eq!(away, Some(tungstenite::Message::Close(frame(1001, ""))));

    let (caller, callee) = Channel::pair("peerage-http");
    let proxy = proxy(&app.url());
    let features = proxy.features();
    let served = tokio::spawn(serve_with(callee, proxy, features, std::future::pending()));
    let _socket = opened(&Client::new(caller)).await;
    served.abort();
    assert_eq!(soon(hears.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_noticed_while_the_app_does_not_read() {
    let (gone, mut is_gone) = mpsc::channel(1);
    let app = SocketApp::running(move |socket| {
        let gone = gone.clone();
        async move {
            let socket = socket.into_inner();
            // Nothing is read: the connection's end shows as an error of a write.
            while socket.try_write(b"\x89\x00").map_or_else(
                |error| error.kind() == std::io::ErrorKind::WouldBlock,
                |_| true,
            ) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let (mut sender, receiver) = opened(&app.client()).await.split();
    let stuck = timeout(Duration::from_millis(500), async {
        while sender.send(Message::Binary(noise(1 << 20))).await.is_ok() {}
    });
    assert!(stuck.await.is_err(), "it would have read");
    drop((sender, receiver));
    soon(is_gone.recv()).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_does_not_receive_stops_the_app() {
    let (stalled, mut seen) = mpsc::channel(1);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let app = SocketApp::on(socket.listen(8).unwrap(), move |mut socket| {
        let stalled = stalled.clone();
        async move {
            let mut taken = 0;
            // Nothing taken for a second: it stalls.
            loop {
                let piece = socket.send(noise(16 * 1024).into());
                match timeout(Duration::from_secs(1), piece).await {
                    Ok(sent) => sent.unwrap(),
                    Err(_) => break,
                }
                taken += 16 * 1024;
            }
            stalled.send(taken).await.unwrap();
            socket.flush().await.unwrap();
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    let mut socket = opened(&app.client()).await;
    let taken = soon(seen.recv()).await.unwrap();
    // The window and the queue before it (64 KiB each), and what the two kernel buffers hold.
    assert!(taken < 1_500_000, "{taken} octets were taken from the app");
    let mut received = 0;
    while let Received::Message(message) = soon(socket.recv()).await.unwrap() {
        received += message.len();
    }
    assert!(received >= taken, "{received} of {taken} arrived");
}

#[tokio::test]
async fn an_app_that_does_not_read_stops_the_caller() {
    let (go_on, turns) = mpsc::channel::<()>(1);
    let turns = Arc::new(tokio::sync::Mutex::new(turns));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let app = SocketApp::on(socket.listen(8).unwrap(), move |socket| {
        let turns = turns.clone();
        async move {
            turns.lock().await.recv().await;
            echo(socket).await;
        }
    });
    let (mut sender, mut receiver) = opened(&app.client()).await.split();
    let mut sent: usize = 0;
    let send = async |sender: &mut peerage_peer::http::WebSocketSender| {
        sender
            .send(Message::Binary(noise(16 * 1024)))
            .await
            .unwrap();
    };
    while timeout(Duration::from_secs(1), send(&mut sender))
        .await
        .is_ok()
    {
        sent += 1;
    }
    assert!(
        sent * 16 * 1024 < 2_000_000,
        "{sent} messages were taken for nobody"
    );
    go_on.send(()).await.unwrap();
    for _ in 0..sent {
        let received = soon(receiver.recv()).await.unwrap();
        assert!(received == Received::Message(Message::Binary(noise(16 * 1024))));
    }
}

#[tokio::test]
async fn a_message_of_the_app_above_the_limit_breaks_the_socket_off() {
    let app = SocketApp::running(|mut socket| async move {
        // The connection may end before all of it was taken.
        let _ = socket.send(vec![0; (16 << 20) + 1].into()).await;
        while socket.next().await.is_some_and(|heard| heard.is_ok()) {}
    })
    .await;
    assert_eq!(broken(&app.client()).await, ResetCode::TooLarge);
}

#[tokio::test]
async fn a_caller_whose_message_is_too_large_reads_1009_and_the_app_hears_it_too() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move { heard.send(socket.next().await).await.unwrap() }
    })
    .await;
    let (mut sender, mut receiver) = opened(&app.client()).await.split();
    let large = Message::Binary(Bytes::from(vec![0; 17 << 20]));
    let (_, received) = soon(futures_util::future::join(
        sender.send(large),
        receiver.recv(),
    ))
    .await;
    assert!(matches!(received.unwrap(), Received::Close(Some(close)) if close.code() == 1009));
    let heard = soon(hears.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(heard, tungstenite::Message::Close(frame(1009, "")));
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
                socket.send(Message::Text(word.clone())).await.unwrap();
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
