//! The HTTP interface beyond what was recorded from peerjs-server, which `compat` asks again.

mod common;

use common::ask;
use peerage_server::Config;
use peerage_server::testing::{TestServer, config};

#[tokio::test]
async fn a_browser_that_comes_by_gets_a_page() {
    let server = TestServer::start().await.unwrap();
    let page = ask(
        server.address(),
        "GET",
        "/",
        &[("accept", "text/html,*/*;q=0.8")],
    )
    .await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.body.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn ids_are_listed_only_where_the_owner_allows_it() {
    let server = TestServer::with(Config {
        discovery: true,
        ..config()
    })
    .await
    .unwrap();
    let _one = common::Client::open(&server, "one").await;
    let _two = common::Client::open(&server, "two").await;
    let peers = ask(server.address(), "GET", "/peerjs/peers", &[]).await;
    assert_eq!(
        (peers.status, peers.body.as_str()),
        (200, r#"["one","two"]"#)
    );
    assert_eq!(
        ask(server.address(), "GET", "/other/peers", &[])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    let server = TestServer::start().await.unwrap();
    let long = "x".repeat(200_000);
    assert_eq!(
        ask(server.address(), "GET", "/", &[("x-long", &long)])
            .await
            .status,
        431
    );
    let names: Vec<String> = (0..130).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(ask(server.address(), "GET", "/", &many).await.status, 431);
}

#[tokio::test]
async fn paths_count_as_they_are_written() {
    let server = TestServer::with(Config {
        path: "/myapp".to_owned(),
        ..config()
    })
    .await
    .unwrap();
    let status = async |path| ask(server.address(), "GET", path, &[]).await.status;
    assert_eq!(status("/myapp/peerjs/id").await, 200);
    for path in [
        "/MYAPP/peerjs/id",
        "/myapp/peerjs/ID",
        "/myapp/peerjs/id/",
        "/myapp//peerjs/id",
        "//myapp/peerjs/id",
    ] {
        assert_eq!(status(path).await, 404, "{path}");
    }
}
