//! The whole way: client, channel, proxy, target.

use std::time::Duration;

use http_body_util::BodyExt as _;
use peerage_peer::{Channel, http::Client, http::serve, proxy::Proxy};
use tokio::{io::AsyncWriteExt as _, net::TcpSocket, sync::oneshot, time::timeout};

use crate::target::{WebApp, get, post, proxy};

const PATIENCE: Duration = Duration::from_secs(20);

fn through(proxy: Proxy) -> Client {
    let (caller, callee) = Channel::pair("peerage-http");
    tokio::spawn(serve(callee, proxy));
    Client::new(caller)
}

#[tokio::test]
async fn requests_and_answers_cross_a_link_unchanged() {
    let app = WebApp::answering(
        "HTTP/1.1 201 Made\r\nx-a: 1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine",
    )
    .await;
    let client = through(app.proxy());
    let response = client
        .request(post("/a?b", &[("x-b", "2")], "hello"))
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-a"]),
        (201, &"1".parse().unwrap())
    );
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "fine"
    );
    let seen = app.seen().pop().unwrap();
    assert!(
        seen.starts_with("POST /a?b HTTP/1.1\r\n") && seen.contains("x-b: 2\r\n"),
        "{seen}"
    );
    assert!(seen.contains("content-length: 5\r\n"), "{seen}");
}

#[tokio::test]
async fn a_reader_that_pauses_pauses_the_target() {
    let (stalled, seen) = oneshot::channel();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut taken = 0;
        // Nothing taken for a second: it stalls.
        while let Ok(written) = timeout(Duration::from_secs(1), socket.write(&[0; 16 * 1024])).await
        {
            taken += written.unwrap();
        }
        stalled.send(taken).unwrap();
        socket.writable().await.unwrap();
    });
    let client = through(proxy(&url));
    let response = client.request(get("/")).await.unwrap();
    let taken = timeout(PATIENCE, seen).await.unwrap().unwrap();
    // The window (64 KiB), the queue before it (64 KiB), hyper's buffer (64 KiB), and what the two kernel buffers hold.
    assert!(
        taken < 1_500_000,
        "{taken} octets were taken from the target although nobody reads"
    );
    drop(response);
}

#[tokio::test]
async fn a_target_that_breaks_off_resets_its_exchange_and_no_other() {
    let app =
        WebApp::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nabc")
            .await;
    let client = through(app.proxy());
    for _ in 0..2 {
        let response = client.request(get("/")).await.unwrap();
        let error = timeout(PATIENCE, response.into_body().collect())
            .await
            .unwrap()
            .expect_err("three of ten octets");
        assert_eq!(error.code().name(), "broken");
    }
}
