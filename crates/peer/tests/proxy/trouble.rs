//! Targets that answer wrongly, and requests that could be read as two: a named failure, and never another's answer.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use peerage_peer::{
    Channel,
    http::{Client, serve},
    proxy::{Body, Proxy, Settings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::target::{WebApp, ask, field, get, proxy, proxy_with, text};

const PATIENCE: Duration = Duration::from_secs(20);
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

/// A target that keeps every octet it reads, by connection, and answers by a script.
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// `answer` says what follows on the head of a request: by numbers of connection and of request on it. `None`: the
    /// connection ends.
    async fn answering(
        answer: impl Fn(usize, usize) -> Option<String> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                log.lock().unwrap().push(Vec::new());
                let (answer, log) = (answer.clone(), log.clone());
                tokio::spawn(record(socket, connection, log, answer));
            }
        });
        Self { url, seen }
    }

    fn proxy(&self) -> Proxy {
        proxy(&self.url)
    }

    /// What each connection carried.
    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|octets| String::from_utf8_lossy(octets).into_owned())
            .collect()
    }

    /// Requests that a naive target would have found in all that came.
    fn requests(&self) -> usize {
        let all = self.seen().concat();
        all.matches(" HTTP/1.1\r\n").count()
    }
}

async fn record(
    mut socket: TcpStream,
    connection: usize,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    answer: impl Fn(usize, usize) -> Option<String>,
) {
    let mut answered = 0;
    while let Ok(octet) = socket.read_u8().await {
        let ended = {
            let mut log = log.lock().unwrap();
            log[connection].push(octet);
            log[connection].ends_with(b"\r\n\r\n")
        };
        if ended {
            let Some(answer) = answer(connection, answered) else {
                return;
            };
            answered += 1;
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

/// The status and `peerage-error` of an answer; a body that breaks off counts as `broken` too.
async fn outcome(response: Response<Body>) -> (u16, Option<String>) {
    let named = field(&response, "peerage-error").map(str::to_owned);
    let status = response.status().as_u16();
    match soon(response.into_body().collect()).await {
        Ok(_) => (status, named),
        Err(error) => (status, Some(format!("body {}", error.code()))),
    }
}

#[tokio::test]
async fn an_answer_whose_framing_can_be_read_two_ways_is_a_named_failure() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 30\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfine!",
        "HTTP/1.1 200 OK\r\ncontent-length: 4, 5\r\n\r\nfine!",
        "HTTP/1.1 200 OK\r\ncontent-length: +4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n folded: 2\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n\tcontent-length: 0\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx-a: 1\rx-b: 2\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx-a\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\ncontent-length : 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nx-a: \0\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nfine\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfineX\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nfine",
        "HTTP/9.9 200 OK\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 20 OK\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 099 OK\r\ncontent-length: 4\r\n\r\nfine",
    ] {
        // The second connection is in order: what the first one left behind must not show.
        let target = Recorder::answering(move |connection, _| {
            Some(if connection == 0 { answer } else { FINE }.to_owned())
        })
        .await;
        let proxy = target.proxy();
        let (status, error) = outcome(proxy.answer(get("/first")).await).await;
        assert!(
            (status, error.as_deref()) == (502, Some("broken"))
                || error.as_deref() == Some("body broken"),
            "{answer:?}: {status} {error:?}"
        );
        // Nothing is left on that connection that another request could meet.
        let second = soon(proxy.answer(get("/second"))).await;
        assert_eq!(second.status(), 200, "{answer:?}");
        assert_eq!(text(second).await, "fine", "{answer:?}");
        let seen = target.seen();
        assert!(!seen[0].contains("/second"), "{answer:?}: {seen:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_in_its_body_is_an_error_and_not_a_short_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let app = WebApp::answering(answer).await;
        let outcome = outcome(app.proxy().answer(get("/")).await).await;
        assert_eq!(outcome, (200, Some("body broken".into())), "{answer:?}");
    }
}

#[tokio::test]
async fn a_flood_of_interim_responses_ends_with_the_owners_time() {
    let (stopped, mut stops) = mpsc::channel(2);
    let app = WebApp::running(move |mut socket| {
        let stopped = stopped.clone();
        async move {
            while socket
                .write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
                .await
                .is_ok()
            {}
            stopped.send(()).await.unwrap();
        }
    })
    .await;
    let settings = Settings {
        head_timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let response = soon(proxy_with(&app.url(), &settings).answer(get("/"))).await;
    assert_eq!(outcome(response).await, (504, Some("timeout".into())));
    soon(stops.recv()).await.unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_large_is_a_502() {
    for (count, octets) in [(1, 200_000), (90, 3_000), (200, 1)] {
        let fields: String = (0..count)
            .map(|number| format!("x-{number}: {}\r\n", "x".repeat(octets)))
            .collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 4\r\n\r\nfine");
        let app = WebApp::answering(answer.leak()).await;
        let outcome = outcome(soon(app.proxy().answer(get("/"))).await).await;
        assert_eq!(outcome, (502, Some("broken".into())), "{count} of {octets}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_is_never_taken_for_the_next() {
    const EXTRA: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    for first in [
        format!("{FINE}{EXTRA}"),
        format!("HTTP/1.1 204 No\r\n\r\n{EXTRA}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{EXTRA}"),
        format!("HTTP/1.1 304 Same\r\ncontent-length: 4\r\n\r\n{EXTRA}"),
    ] {
        let target = Recorder::answering({
            let first = first.clone();
            move |connection, _| {
                Some(if connection == 0 {
                    first.clone()
                } else {
                    FINE.to_owned()
                })
            }
        })
        .await;
        let proxy = target.proxy();
        drop(outcome(proxy.answer(get("/")).await).await);
        for _ in 0..5 {
            assert_eq!(
                text(soon(proxy.answer(get("/next"))).await).await,
                "fine",
                "{first:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_that_has_a_body_is_never_taken_for_the_next() {
    let target = Recorder::answering(|connection, _| {
        let poison = "HTTP/1.1 200 OK\r\ncontent-length: 46\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
        Some(if connection == 0 { poison } else { FINE }.to_owned())
    })
    .await;
    let proxy = target.proxy();
    let response = proxy.answer(ask(Method::HEAD, "/", &[])).await;
    assert_eq!(response.status(), 200);
    drop(outcome(response).await);
    for _ in 0..5 {
        assert_eq!(text(soon(proxy.answer(get("/next"))).await).await, "fine");
    }
}

#[tokio::test]
async fn octets_on_a_connection_that_nobody_uses_are_no_answer() {
    let (go_on, turns) = mpsc::channel::<()>(1);
    let turns = Arc::new(tokio::sync::Mutex::new(turns));
    let (told, mut tells) = mpsc::channel::<()>(1);
    let app = WebApp::running(move |mut socket| {
        let (turns, told) = (turns.clone(), told.clone());
        async move {
            socket.write_all(FINE.as_bytes()).await.unwrap();
            if turns.lock().await.recv().await.is_some() {
                let early = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
                socket.write_all(early).await.unwrap();
                // The proxy has seen it when it has closed this connection.
                let _ = socket.read_u8().await;
                told.send(()).await.unwrap();
            }
        }
    })
    .await;
    let proxy = app.proxy();
    assert_eq!(text(proxy.answer(get("/")).await).await, "fine");
    go_on.send(()).await.unwrap();
    soon(tells.recv()).await.unwrap();
    drop(go_on);
    for _ in 0..3 {
        assert_eq!(text(soon(proxy.answer(get("/next"))).await).await, "fine");
    }
}

/// The first connection answers once, and ends when it is used again, without an answer: what a target does that
/// closes an idle connection at the wrong moment.
async fn closing() -> Recorder {
    Recorder::answering(|connection, request| {
        ((connection, request) != (0, 1)).then(|| FINE.to_owned())
    })
    .await
}

#[tokio::test]
async fn a_safe_request_that_meets_a_closing_connection_is_asked_again() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let target = closing().await;
        let proxy = target.proxy();
        assert_eq!(text(proxy.answer(get("/")).await).await, "fine");
        let response = soon(proxy.answer(ask(method.clone(), "/again", &[]))).await;
        assert_eq!(response.status(), 200, "{method}");
        let seen = target.seen();
        assert_eq!(seen.len(), 2);
        assert!(
            seen[0].contains("/again") && seen[1].contains("/again"),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn what_may_have_had_its_effect_is_never_sent_twice() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let target = closing().await;
        let proxy = target.proxy();
        assert_eq!(text(proxy.answer(get("/")).await).await, "fine");
        let response = soon(proxy.answer(ask(method.clone(), "/once", &[]))).await;
        assert_eq!(
            outcome(response).await,
            (502, Some("broken".into())),
            "{method}"
        );
        let all = target.seen().concat();
        assert_eq!(all.matches("/once").count(), 1, "{method}: {all}");
    }
    // A body makes a GET one that cannot be repeated: it is gone.
    let target = closing().await;
    let proxy = target.proxy();
    assert_eq!(text(proxy.answer(get("/")).await).await, "fine");
    let request = Request::get("/once")
        .body(Full::<Bytes>::from("body"))
        .unwrap();
    assert_eq!(outcome(soon(proxy.answer(request)).await).await.0, 502);
    assert_eq!(target.seen().concat().matches("/once").count(), 1);
}

#[tokio::test]
async fn a_target_that_never_answers_but_closes_is_asked_twice_and_no_more() {
    let target = Recorder::answering(|_, _| None).await;
    let response = soon(target.proxy().answer(get("/"))).await;
    assert_eq!(outcome(response).await, (502, Some("broken".into())));
    assert_eq!(target.requests(), 2);
}

#[tokio::test]
async fn a_length_that_the_body_does_not_have_never_reaches_into_the_next_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for (method, fields, body) in [
        (Method::GET, &[("content-length", "40")][..], ""),
        (Method::POST, &[("content-length", "40")], ""),
        (Method::POST, &[("content-length", "0")], smuggled),
        (Method::GET, &[("content-length", "0")], smuggled),
        (
            Method::POST,
            &[("content-length", "4"), ("content-length", "0")],
            "body",
        ),
        (
            Method::POST,
            &[("content-length", "0"), ("content-length", "4")],
            "body",
        ),
        (Method::POST, &[("content-length", "4, 0")], "body"),
        (Method::POST, &[("content-length", "+4")], "body"),
        (Method::POST, &[("content-length", "0x4")], "body"),
        (
            Method::POST,
            &[("content-length", "4"), ("transfer-encoding", "chunked")],
            "body",
        ),
        (
            Method::POST,
            &[("transfer-encoding", "chunked, identity")],
            "0\r\n\r\n",
        ),
        (
            Method::POST,
            &[("transfer-encoding", "\x0bchunked")],
            "0\r\n\r\n",
        ),
        (Method::GET, &[("transfer-encoding", "chunked")], ""),
        (
            Method::POST,
            &[("connection", "content-length, close")],
            "body",
        ),
        (Method::POST, &[("expect", "100-continue")], "body"),
    ] {
        let mut request = Request::builder().method(method).uri("/only");
        for (name, value) in fields {
            // What the `http` crate refuses cannot come this far.
            let Ok(value) = http::HeaderValue::try_from(*value) else {
                continue;
            };
            request = request.header(*name, value);
        }
        let target = Recorder::answering(|_, _| Some(FINE.to_owned())).await;
        let proxy = target.proxy();
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let _ = outcome(soon(proxy.answer(request)).await).await;
        // As a target reads it: each head, with exactly the body that it states.
        let next = soon(proxy.answer(get("/next"))).await;
        assert_eq!(next.status(), 200, "{fields:?}");
        let all = target.seen();
        let paths: Vec<_> = all.iter().flat_map(|octets| paths(octets)).collect();
        assert_eq!(paths, ["/only", "/next"], "{fields:?} {body:?}: {all:?}");
    }
}

/// The paths of the requests of a connection, by the framing that their heads state.
fn paths(mut octets: &str) -> Vec<String> {
    let mut paths = Vec::new();
    while let Some((head, rest)) = octets.split_once("\r\n\r\n") {
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        paths.push(head.split(' ').nth(1).unwrap().to_owned());
        let body = match (field("content-length"), field("transfer-encoding")) {
            (Some(length), None) => length.parse().unwrap(),
            (None, Some("chunked")) => rest.find("0\r\n\r\n").unwrap() + 5,
            (None, None) => 0,
            both => panic!("{both:?}"),
        };
        octets = rest.get(body..).unwrap_or_default();
    }
    paths
}

#[tokio::test]
async fn a_body_of_unknown_length_arrives_whatever_the_method() {
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let app = WebApp::running(|mut socket| async move {
            let mut chunks = Vec::new();
            while !chunks.ends_with(b"0\r\n\r\n") {
                chunks.push(socket.read_u8().await.unwrap());
            }
            let echo = format!(
                "HTTP/1.1 200 OK\r\nx-chunks: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                chunks.len()
            );
            socket.write_all(echo.as_bytes()).await.unwrap();
        })
        .await;
        let pieces =
            ["search", "this"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(stream::iter(pieces));
        let request = Request::builder()
            .method(method.clone())
            .uri("/")
            .body(body)
            .unwrap();
        let response = soon(app.proxy().answer(request)).await;
        // 6 and 4 octets, each with its length and two line ends, and the last chunk.
        assert_eq!(field(&response, "x-chunks"), Some("25"), "{method}");
    }
}

#[tokio::test]
async fn a_body_longer_or_shorter_than_its_stated_length_is_cut_or_fails_and_never_spills() {
    for (stated, status) in [("3", 200), ("9", 502)] {
        let target = Recorder::answering(|_, _| Some(FINE.to_owned())).await;
        let proxy = target.proxy();
        let pieces =
            ["bo", "dy", "GET"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(stream::iter(pieces));
        let request = Request::post("/only").header("content-length", stated);
        // The target answers as soon as it has the head; what then becomes of the body does not change that.
        let response = soon(proxy.answer(request.body(body).unwrap())).await;
        assert!(
            [status, 200].contains(&response.status().as_u16()),
            "{stated}"
        );
        drop(outcome(response).await);
        assert_eq!(soon(proxy.answer(get("/next"))).await.status(), 200);
        for octets in target.seen() {
            let whole = octets.contains("/only") && octets.contains("/next");
            assert!(
                !whole || octets.contains("\r\n\r\nbodGET /next"),
                "{octets}"
            );
        }
    }
}

#[tokio::test]
async fn early_hints_of_the_app_cross_the_link_and_100_and_hop_fields_do_not() {
    let app = WebApp::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nkeep-alive: timeout=5\r\nset-cookie: a=1\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine",
    )
    .await;
    let (caller, callee) = Channel::pair("peerage-http");
    tokio::spawn(serve(callee, app.proxy()));
    let client = Client::new(caller);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    peerage_peer::http::on_interim(&mut request, {
        let heard = heard.clone();
        move |interim| {
            let link = field(&interim, "link").map(str::to_owned);
            assert_eq!(field(&interim, "keep-alive"), None);
            assert_eq!(field(&interim, "set-cookie"), None);
            heard
                .lock()
                .unwrap()
                .push((interim.status().as_u16(), link));
        }
    });
    let response = soon(client.request(request)).await.unwrap();
    let body = soon(response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "fine");
    assert_eq!(
        *heard.lock().unwrap(),
        [(102, None), (103, Some("</a.css>".to_owned()))]
    );
}
