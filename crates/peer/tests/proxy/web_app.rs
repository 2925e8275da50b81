//! The ordinary life of a proxy in front of a web app.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use peerage_peer::proxy::Settings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

use crate::target::{WebApp, ask, field, get, post, proxy, proxy_with, text};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn status_fields_and_body_come_back_and_hop_by_hop_fields_do_not() {
    let app = WebApp::answering(
        "HTTP/1.1 418 Teapot\r\ncontent-type: text/x\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nconnection: close, x-hop\r\n\
         x-hop: 1\r\nkeep-alive: timeout=5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    let response = app.proxy().answer(get("/a?b=c")).await;
    assert_eq!(response.status(), 418);
    assert_eq!(field(&response, "content-type"), Some("text/x"));
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert_eq!(field(&response, gone), None, "{gone}");
    }
    assert_eq!(text(response).await, "abc");
    assert!(app.seen()[0].starts_with("GET /a?b=c HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_base_path_goes_before_every_path_and_comes_off_every_redirect() {
    let app = WebApp::answering("HTTP/1.1 303 See\r\nlocation: /app/next?x#y\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let response = proxy(&format!("{}/app/", app.url()))
        .answer(get("/here"))
        .await;
    assert_eq!(field(&response, "location"), Some("/next?x#y"));
    assert!(app.seen()[0].starts_with("GET /app/here HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_target_that_is_down_is_a_clear_502() {
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let response = proxy(&format!("http://{address}")).answer(get("/")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(field(&response, "peerage-error"), Some("unreachable"));
    let text = text(response).await;
    assert!(text.contains("connection refused"), "{text}");
    assert!(
        !text.contains("127.0.0.1"),
        "the device's own addresses are nobody's business: {text}"
    );
}

#[tokio::test]
async fn a_target_that_speaks_no_http_is_a_502_that_says_so() {
    let app = WebApp::answering("SSH-2.0-OpenSSH_9.2\r\n").await;
    let response = app.proxy().answer(get("/")).await;
    assert_eq!(
        (response.status(), field(&response, "peerage-error")),
        (StatusCode::BAD_GATEWAY, Some("broken"))
    );
}

#[tokio::test]
async fn a_target_that_never_answers_is_a_504_after_the_owners_time() {
    let app = WebApp::running(|mut socket| async move { drop(socket.read_u8().await) }).await;
    let settings = Settings {
        head_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let response = timeout(PATIENCE, proxy_with(&app.url(), &settings).answer(get("/")))
        .await
        .unwrap();
    assert_eq!(
        (response.status(), field(&response, "peerage-error")),
        (StatusCode::GATEWAY_TIMEOUT, Some("timeout"))
    );
}

#[tokio::test]
async fn a_slow_upload_does_not_use_up_the_targets_time() {
    let app = WebApp::running(|mut socket| async move {
        let mut body = vec![0; 3];
        socket.read_exact(&mut body).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
            .await
            .unwrap();
    })
    .await;
    let head_timeout = Duration::from_millis(20);
    let drops = stream::iter(["a", "b", "c"]).then(move |drop| async move {
        // the client's own pace, well above the target's time
        tokio::time::sleep(4 * head_timeout).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from(drop)))
    });
    let request =
        ask(Method::PUT, "/", &[("content-length", "3")]).map(|_| StreamBody::new(Box::pin(drops)));
    let settings = Settings {
        head_timeout,
        ..Settings::default()
    };
    let response = proxy_with(&app.url(), &settings).answer(request).await;
    assert_eq!(text(response).await, "fine");
}

#[tokio::test]
async fn a_request_body_of_known_length_is_sent_with_it_and_any_other_in_chunks() {
    let app = WebApp::answering("HTTP/1.1 204 No\r\nconnection: close\r\n\r\n").await;
    app.proxy().answer(post("/known", &[], "12345")).await;
    let body = StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(
        Bytes::from("12345"),
    ))]));
    app.proxy()
        .answer(ask(Method::POST, "/unknown", &[]).map(|_| body))
        .await;
    let seen = app.seen();
    assert!(seen[0].contains("content-length: 5\r\n"), "{}", seen[0]);
    assert!(
        seen[1].contains("transfer-encoding: chunked\r\n"),
        "{}",
        seen[1]
    );
}

#[tokio::test]
async fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let app =
        WebApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n")
            .await;
    let response = app.proxy().answer(ask(Method::HEAD, "/", &[])).await;
    assert_eq!(field(&response, "content-length"), Some("1000"));
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_not_a_short_answer() {
    let app =
        WebApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nabc")
            .await;
    let response = app.proxy().answer(get("/")).await;
    let error = response
        .into_body()
        .collect()
        .await
        .expect_err("three of ten octets");
    assert_eq!(error.code().name(), "broken");
}

#[tokio::test]
async fn a_slow_target_shows_up_octet_by_octet() {
    let (next, turns) = mpsc::channel::<()>(1);
    let turns = std::sync::Arc::new(tokio::sync::Mutex::new(turns));
    let app = WebApp::running(move |mut socket| {
        let turns = turns.clone();
        async move {
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                .await
                .unwrap();
            let mut turns = turns.lock().await;
            while turns.recv().await.is_some() {
                socket.write_all(b"x").await.unwrap();
            }
        }
    })
    .await;
    let mut body = app.proxy().answer(get("/")).await.into_body();
    for _ in 0..5 {
        // The target waits for this: an octet that is held back anywhere would hang the test.
        next.send(()).await.unwrap();
        let frame = timeout(PATIENCE, body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), "x");
    }
    drop(next);
    assert!(timeout(PATIENCE, body.frame()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_reader_that_goes_away_is_noticed_by_the_target() {
    let (gone, mut noticed) = mpsc::channel::<()>(1);
    let app = WebApp::running(move |mut socket| {
        let gone = gone.clone();
        async move {
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nx").await.unwrap();
            // the end of the connection, from the other side
            let _ = socket.read_u8().await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let mut body = app.proxy().answer(get("/")).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    timeout(PATIENCE, noticed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_beyond_what_the_device_can_answer_is_told_so_until_one_has_ended() {
    let app = WebApp::answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfine").await;
    let settings = Settings {
        requests: 1,
        ..Settings::default()
    };
    let proxy = proxy_with(&app.url(), &settings);
    let first = proxy.answer(get("/")).await;
    let second = proxy.answer(get("/")).await;
    assert_eq!(
        (second.status(), field(&second, "peerage-error")),
        (StatusCode::SERVICE_UNAVAILABLE, Some("busy"))
    );
    assert_eq!(text(first).await, "fine");
    assert_eq!(text(proxy.answer(get("/")).await).await, "fine");
}
