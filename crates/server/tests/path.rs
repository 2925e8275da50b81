//! A server whose routes lie below a path, as peerjs-server's option `path` has it.

mod common;

use common::{Answer, Client, ask};
use peerage_server::Config;
use peerage_server::testing::{TestServer, config};
use tokio_tungstenite::tungstenite;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

async fn server(path: &str) -> TestServer {
    let mut config = Config {
        path: path.to_owned(),
        discovery: true,
        ..config()
    };
    config.signal.key = "mykey".to_owned();
    TestServer::with(config).await.expect("the server starts")
}

async fn get(server: &TestServer, path: &str) -> Answer {
    ask(server.address(), "GET", path, &[]).await
}

/// The status that an upgrade is refused with.
async fn refusal(server: &TestServer, host: &str, path: &str) -> u16 {
    match Client::try_dial(server, host, path).await {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        _ => panic!("{path} was accepted"),
    }
}

#[tokio::test]
async fn the_banner_is_at_the_path_with_a_slash_and_without_and_the_root_is_404() {
    let server = server("/myapp").await;
    for path in ["/myapp", "/myapp/"] {
        let banner = get(&server, path).await;
        assert_eq!(banner.status, 200, "{path}");
        assert!(
            banner.body.starts_with(r#"{"name":"PeerJS Server""#),
            "{path}"
        );
    }
    for path in [
        "/",
        "/myapplication",
        "/mykey/id",
        "/mykey/peers",
        "/peerjs",
        "/x/myapp",
    ] {
        let missing = get(&server, path).await;
        assert_eq!(missing.status, 404, "{path}");
        assert_eq!(
            missing.header("content-security-policy"),
            "default-src 'none'"
        );
    }
}

#[tokio::test]
async fn ids_peers_and_preflights_are_below_the_path() {
    let server = server("/myapp").await;
    assert_eq!(get(&server, "/myapp/mykey/id?ts=1").await.body.len(), 36);
    assert_eq!(get(&server, "/myapp/mykey/peers").await.body, "[]");
    assert_eq!(get(&server, "/myapp/myapp/id").await.status, 401);
    let preflight = async |path| {
        ask(
            server.address(),
            "OPTIONS",
            path,
            &[("origin", "https://a.example")],
        )
        .await
        .status
    };
    assert_eq!(preflight("/myapp/mykey/id").await, 204);
    assert_eq!(preflight("/mykey/id").await, 404);
}

#[tokio::test]
async fn sockets_open_at_the_path_and_peerjs_exactly() {
    let server = server("/my/app/").await;
    let query = "?key=mykey&id=alice&token=t";
    let mut alice = Client::dial(&server, &format!("/my/app/peerjs{query}")).await;
    assert_eq!(alice.receive().await, r#"{"type":"OPEN"}"#);
    for path in [
        "/peerjs",
        "/my/app/peerjs/",
        "/my/app//peerjs",
        "/my/app/x",
        "/my/peerjs",
        "/my/apppeerjs",
    ] {
        assert_eq!(
            refusal(&server, "localhost", &format!("{path}{query}")).await,
            400,
            "{path}"
        );
    }
    assert_eq!(get(&server, "/my/app/peerjs").await.status, 404);
}

#[tokio::test]
async fn a_path_without_its_first_slash_is_the_same_path() {
    let server = server("app").await;
    assert_eq!(get(&server, "/app").await.status, 200);
    assert_eq!(get(&server, "/app/mykey/id").await.status, 200);
    let mut client = Client::dial(&server, "/app/peerjs?key=mykey&id=x&token=t").await;
    assert_eq!(client.receive().await, r#"{"type":"OPEN"}"#);
}

#[tokio::test]
async fn devices_origins_know_no_path() {
    let server = server("/myapp").await;
    let host = format!("{ID}.localhost");
    let page = async |path| {
        ask(server.address(), "GET", path, &[("host", &host)])
            .await
            .status
    };
    assert_eq!(page("/").await, 200);
    assert_eq!(page("/__peerage/worker.js").await, 200);
    assert_eq!(page("/myapp").await, 404);
    assert_eq!(page("/myapp/__peerage/worker.js").await, 404);
    let socket = "/__peerage/peerjs?key=mykey&id=page&token=t";
    let mut client = Client::try_dial(&server, &host, socket).await.unwrap();
    assert_eq!(client.receive().await, r#"{"type":"OPEN"}"#);
    assert_eq!(
        refusal(&server, &host, &format!("/myapp{socket}")).await,
        404
    );
}
