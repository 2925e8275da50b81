//! What a device's origin serves, and that it serves nothing else.

mod common;

use common::{Answer, Client, ask};
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, Cors, IceServer};
use tokio_tungstenite::tungstenite;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

async fn get(server: &TestServer, path: &str) -> Answer {
    get_with(server, path, &[]).await
}

async fn get_with(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    let host = format!("{ID}.localhost:{}", server.address().port());
    let headers: Vec<_> = [("host", host.as_str())]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
    ask(server.address(), "GET", path, &headers).await
}

#[tokio::test]
async fn the_shell_page_may_load_only_its_own_origin_and_be_framed_only_by_it() {
    let server = TestServer::start().await.unwrap();
    let page = get(&server, "/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self' ws: wss:",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    ] {
        assert!(
            policy.split("; ").any(|given| given == directive),
            "{directive} in {policy}"
        );
    }
}

#[tokio::test]
async fn bundle_files_have_their_types_and_are_never_sniffed_or_kept_unasked() {
    let server = TestServer::start().await.unwrap();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/__peerage/shell.js", "text/javascript; charset=utf-8"),
        ("/__peerage/worker.js", "text/javascript; charset=utf-8"),
        ("/__peerage/shim.js", "text/javascript; charset=utf-8"),
        ("/__peerage/shell.css", "text/css; charset=utf-8"),
    ] {
        let file = get(&server, path).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, content_type),
            "{path}"
        );
        assert_eq!(file.header("cache-control"), "no-cache", "{path}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(file.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(
            file.header("service-worker-allowed"),
            if path.ends_with("worker.js") { "/" } else { "" },
            "{path}"
        );
        let again = get_with(&server, path, &[("if-none-match", file.header("etag"))]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(
            again.header("content-security-policy"),
            file.header("content-security-policy"),
            "{path}"
        );
    }
    assert_eq!(server.state().misses(), 0);
}

#[tokio::test]
async fn the_page_is_told_the_ice_servers_and_the_key() {
    let turn = IceServer {
        urls: vec!["turn:turn.example:3478".into()],
        username: Some("u".into()),
        credential: Some("c".into()),
    };
    let stun = IceServer {
        urls: vec!["stun:stun.example".into()],
        username: None,
        credential: None,
    };
    let server = TestServer::with(Config {
        ice_servers: vec![stun, turn],
        ..config()
    })
    .await
    .unwrap();
    let settings = get(&server, "/__peerage/config.json").await;
    assert_eq!(
        (settings.status, settings.header("cache-control")),
        (200, "no-store")
    );
    assert_eq!(
        settings.body,
        r#"{"version":1,"iceServers":[{"urls":["stun:stun.example"]},{"urls":["turn:turn.example:3478"],"username":"u","credential":"c"}],"key":"peerjs"}"#
    );
}

#[tokio::test]
async fn everything_else_is_refused_and_counted() {
    let server = TestServer::start().await.unwrap();
    let paths = [
        "/index.html",
        "/peerjs/id",
        "/peerjs?key=peerjs&id=x&token=t",
        "/__peerage/",
        "/__peerage/shell.html",
        "//",
        "/__peerage/../etc/passwd",
    ];
    for path in paths {
        let refused = get(&server, path).await;
        assert_eq!(
            (refused.status, refused.header("content-security-policy")),
            (404, "default-src 'none'"),
            "{path}"
        );
    }
    let host = format!("{ID}.localhost");
    assert_eq!(
        ask(
            server.address(),
            "POST",
            "/",
            &[("host", &host), ("content-length", "0")]
        )
        .await
        .status,
        404
    );
    assert_eq!(server.state().misses(), paths.len() as u64 + 1);
}

#[tokio::test]
async fn the_signalling_socket_is_at_its_own_path_and_other_upgrades_are_refused() {
    let server = TestServer::start().await.unwrap();
    let host = format!("{ID}.localhost");
    let mut page = Client::try_dial(
        &server,
        &host,
        "/__peerage/peerjs?key=peerjs&id=page&token=t",
    )
    .await
    .unwrap();
    assert_eq!(page.receive().await, r#"{"type":"OPEN"}"#);
    let mut device = Client::open(&server, "device").await;
    page.send(r#"{"type":"OFFER","dst":"device"}"#).await;
    assert_eq!(
        device.receive().await,
        r#"{"type":"OFFER","src":"page","dst":"device"}"#
    );
    for path in [
        "/peerjs?key=peerjs&id=x&token=t",
        "/",
        "/app/socket",
        "/__peerage/config.json",
    ] {
        match Client::try_dial(&server, &host, path).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 404, "{path}"),
            _ => panic!("{path} was accepted"),
        }
    }
}

#[tokio::test]
async fn a_domain_has_device_origins_of_its_own_and_other_names_have_none() {
    let server = TestServer::with(Config {
        domain: Some("devices.example".into()),
        ..config()
    })
    .await
    .unwrap();
    let status = async |host: &str| {
        let page = ask(
            server.address(),
            "GET",
            "/__peerage/shell.js",
            &[("host", host)],
        )
        .await;
        page.status
    };
    assert_eq!(status(&format!("{ID}.devices.example")).await, 200);
    assert_eq!(
        status(&format!("{}.Devices.Example:9000", ID.to_uppercase())).await,
        200
    );
    assert_eq!(status("devices.example").await, 404);
    assert_eq!(status(&format!("{ID}.other.example")).await, 404);
    assert_eq!(status(&format!("{}.devices.example", &ID[1..])).await, 404);
}

#[tokio::test]
async fn pages_of_other_origins_may_read_the_settings_as_far_as_cors_allows() {
    let server = TestServer::with(Config {
        cors: Cors::Origins(vec!["https://app.example".into()]),
        ..config()
    })
    .await
    .unwrap();
    for (origin, allowed) in [
        ("https://app.example", "https://app.example"),
        ("https://evil.example", ""),
    ] {
        let settings = get_with(&server, "/__peerage/config.json", &[("origin", origin)]).await;
        assert_eq!(settings.header("access-control-allow-origin"), allowed);
        assert_eq!(settings.header("vary"), "Origin");
    }
}

#[tokio::test]
async fn no_page_of_another_origin_may_read_anything_else_of_a_device_origin() {
    let server = TestServer::start().await.unwrap();
    for path in ["/", "/__peerage/shell.js", "/__peerage/worker.js", "/app"] {
        let page = get_with(&server, path, &[("origin", "https://evil.example")]).await;
        assert_eq!(page.header("access-control-allow-origin"), "", "{path}");
        assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    }
}
