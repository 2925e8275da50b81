//! Whatever becomes of a request, it is answered, and by the target alone.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use peerage_peer::{
    Channel, Message,
    proxy::{Proxy, serve_legacy},
};
use peerage_proto::{legacy::MAX_WAITING, wire::legacy::LABEL};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{Client, PATIENCE, device::Device};
use crate::target::{WebApp, proxy};

/// A web app that is not there.
async fn down() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy(&format!("http://{}", listener.local_addr().unwrap()))
}

#[tokio::test]
async fn a_target_that_is_down_is_an_answer_and_the_connection_goes_on() {
    let mut client = Client::of(down().await);
    for _ in 0..2 {
        let (status, text) = client.get("http://localhost:8778/api/json?").await;
        assert_eq!(status, 502);
        assert!(text.contains("connection refused"), "{text}");
    }
    assert!(client.all(|_| {}).await.is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_a_short_body() {
    let app =
        WebApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nabc")
            .await;
    let (status, text) = Client::of(app.proxy()).get("http://h/").await;
    assert_eq!(status, 502);
    assert!(text.contains("broke off"), "{text}");
}

#[tokio::test]
async fn a_body_is_read_only_as_far_as_a_client_could_take_it() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let app = WebApp::running(move |mut socket| {
        let count = count.clone();
        async move {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            // Without end: only a reader that stops ends it.
            while let Ok(octets) = socket.write(&[0; 16 * 1024]).await {
                count.fetch_add(octets, Ordering::Relaxed);
            }
        }
    })
    .await;
    let (status, text) = Client::of(app.proxy()).get("http://h/").await;
    assert_eq!(status, 502);
    assert!(text.contains("262144"), "{text}");
    // The rest is what the kernel's buffers hold.
    let written = written.load(Ordering::Relaxed);
    assert!(written < 16 << 20, "{written} octets were read");
    let app = WebApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n").await;
    let (_, text) = Client::of(app.proxy()).get("http://h/").await;
    assert!(text.contains("300000") && text.contains("262144"), "{text}");
}

#[tokio::test]
async fn nothing_in_an_address_leads_away_from_the_target_or_above_its_path() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = elsewhere.local_addr().unwrap();
    let app = WebApp::answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nmine").await;
    let mut client = Client::of(proxy(&format!("{}/app/", app.url())));
    let here = app.address;
    let addresses = [
        format!("http://{other}/"),
        format!("http://{here}@{other}/"),
        format!("http://{other}@{here}/"),
        format!("http://user:password@{other}/"),
        format!("HTTPS://{other}"),
        format!("//{other}/"),
        format!("/\\{other}/"),
        format!("http://{other}#@{here}/"),
        format!("http://{other}\\@{here}/"),
        format!("/http://{other}/"),
        format!("http:///http://{other}/"),
    ];
    for address in &addresses {
        let (status, body) = client.get(address).await;
        assert_eq!((status, body.as_str()), (200, "mine"), "{address}");
    }
    assert!(
        app.seen().iter().all(
            |head| head.starts_with("GET /app/") && head.contains(&format!("host: {here}\r\n"))
        )
    );
    let asked = app.seen().len();
    for path in [
        "/..",
        "/../x",
        "/%2e%2e/x",
        "/..%2fx",
        "\\..\\x",
        "/a/../../x",
        "/%252e%252e/x",
        "/..;/x",
        "/%c0%ae%c0%ae/x",
        "/a%00",
        "/a%0d%0ax:y",
        "/a\r\nx:y",
    ] {
        let (status, _) = client.get(&format!("http://h{path}")).await;
        assert_eq!(status, 400, "{path}");
    }
    assert_eq!(
        app.seen().len(),
        asked,
        "refused before the target saw anything"
    );
    let nobody = timeout(std::time::Duration::ZERO, elsewhere.accept()).await;
    assert!(nobody.is_err(), "somebody was asked who is not the target");
}

#[tokio::test]
async fn redirects_are_followed_within_the_target_and_no_further() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = elsewhere.local_addr().unwrap();
    let app = WebApp::running(move |mut socket| async move {
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{other}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let (status, text) = Client::of(app.proxy()).get("http://h/").await;
    assert_eq!(status, 502);
    assert!(
        text.contains("not expose") && !text.contains(&other.to_string()),
        "{text}"
    );
    for outside in [
        "//127.0.0.1:1/",
        "/above",
        "/application",
        "https://evil.example/",
    ] {
        let app = WebApp::running(move |mut socket| async move {
            let answer = format!("HTTP/1.1 307 See\r\nlocation: {outside}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let (status, _) = Client::of(proxy(&format!("{}/app", app.url())))
            .get("http://h/")
            .await;
        assert_eq!((status, app.seen().len()), (502, 1), "{outside}");
    }
    let circle = WebApp::answering("HTTP/1.1 302 Found\r\nlocation: /again#x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let (status, text) = Client::of(circle.proxy()).get("http://h/").await;
    assert_eq!(status, 502);
    assert!(text.contains("without end"), "{text}");
    assert_eq!(circle.seen().len(), 11);
    assert!(circle.seen()[10].starts_with("GET /again HTTP/1.1\r\n"));
    assert!(
        timeout(std::time::Duration::ZERO, elsewhere.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_redirected_post_becomes_a_get_and_a_preserved_one_stays() {
    for (code, second) in [(302, "GET "), (303, "GET "), (307, "POST ")] {
        let app = WebApp::running(move |mut socket| async move {
            let answer = format!("HTTP/1.1 {code} See\r\nlocation: /next\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        Client::of(app.proxy())
            .ask(json!({ "url": "/", "method": "POST", "data": "x" }))
            .await;
        assert!(app.seen()[1].starts_with(second), "{code}");
    }
}

#[tokio::test]
async fn requests_sent_without_waiting_are_answered_one_after_the_other_in_their_order() {
    let device = Device::start().await;
    let mut client = Client::of(device.proxy());
    client.send(r#"{"url":"/api/slow"}"#).await;
    for _ in 0..MAX_WAITING - 1 {
        client.send(r#"{"url":"/api/noct"}"#).await;
    }
    let answers = client.all(|_| device.slow.add_permits(1)).await;
    let bodies: Vec<_> = answers
        .iter()
        .filter(|message| matches!(message, Message::Binary(_)))
        .map(Message::as_bytes)
        .collect();
    assert_eq!(bodies.len(), MAX_WAITING);
    assert_eq!(bodies[0], b"slow done");
    assert!(bodies[1..].iter().all(|body| *body == b"x"));
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let gone = Arc::new(Notify::new());
    let noticed = gone.clone();
    let app = WebApp::running(move |mut socket| {
        let gone = gone.clone();
        async move {
            let _ = tokio::io::AsyncReadExt::read_u8(&mut socket).await;
            gone.notify_one();
        }
    })
    .await;
    let mut client = Client::of(app.proxy());
    client.send(r#"{"url":"/"}"#).await;
    client.next().await.expect("a keep-alive");
    drop(client);
    timeout(PATIENCE, noticed.notified())
        .await
        .expect("the target notices");
}

#[tokio::test]
async fn what_was_asked_is_answered_before_a_device_that_ends_closes() {
    let device = Device::start().await;
    let (client, served) = Channel::pair(LABEL);
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve_legacy(served, device.proxy(), async {
        let _ = ended.await;
    }));
    let mut client = Client(client);
    client.send(r#"{"url":"/api/slow"}"#).await;
    client.next().await.expect("a keep-alive");
    drop(end);
    client.send(r#"{"url":"/api/json"}"#).await;
    device.slow.add_permits(1);
    let mut last = None;
    while let Some(message) = client.next().await {
        last = Some(message);
    }
    assert_eq!(last, Some(Message::Binary("slow done".into())));
    timeout(PATIENCE, serving).await.expect("ends").unwrap();
}
