//! Nothing that a client sends changes the target, and nothing of another site gets through.

use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;

use crate::target::{ORIGIN, WebApp, ask, field, get, post, text};

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";

#[tokio::test]
async fn an_absolute_url_is_refused_and_nothing_is_fetched() {
    let (app, other) = (WebApp::answering(FINE).await, WebApp::answering(FINE).await);
    for uri in [
        format!("{}/x", other.url()),
        format!("{}/x", app.url()),
        "http://169.254.169.254/".to_owned(),
    ] {
        let response = app.proxy().answer(get(&uri)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{uri}");
    }
    let authority = Request::builder()
        .uri(other.address.to_string())
        .body(Empty::new())
        .unwrap();
    assert_eq!(
        app.proxy().answer(authority).await.status(),
        StatusCode::BAD_REQUEST
    );
    let star = Request::builder()
        .method(Method::OPTIONS)
        .uri("*")
        .body(Empty::new())
        .unwrap();
    assert_eq!(
        app.proxy().answer(star).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert!(app.seen().is_empty() && other.seen().is_empty());
}

#[tokio::test]
async fn paths_that_look_like_hosts_stay_paths_of_the_target() {
    let (app, other) = (WebApp::answering(FINE).await, WebApp::answering(FINE).await);
    for path in [
        format!("//{}/x", other.address),
        format!("/@{}/x", other.address),
        format!("/:80@{}/", other.address),
    ] {
        let response = app.proxy().answer(get(&path)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let seen = app.seen().pop().unwrap();
        assert!(
            seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn the_target_sees_its_own_host_and_no_address_of_the_clients_making() {
    let app = WebApp::answering(FINE).await;
    let forged = [
        ("host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-real-ip", "127.0.0.1"),
        ("connection", "keep-alive, x-secret"),
        ("x-secret", "1"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eDp5"),
    ];
    app.proxy().answer(ask(Method::GET, "/", &forged)).await;
    let seen = app.seen().pop().unwrap().to_ascii_lowercase();
    assert!(
        seen.contains(&format!("host: {}\r\n", app.address)),
        "{seen}"
    );
    assert_eq!(seen.matches("host:").count(), 1, "{seen}");
    for name in [
        "evil",
        "forwarded",
        "x-real-ip",
        "x-secret",
        "chunked",
        "upgrade",
        "te:",
        "proxy-",
    ] {
        assert!(!seen.contains(name), "{name} in {seen}");
    }
}

#[tokio::test]
async fn paths_that_climb_in_any_encoding_are_refused_before_the_target() {
    let app = WebApp::answering(FINE).await;
    let proxy = crate::target::proxy(&format!("{}/app", app.url()));
    for path in [
        "/../admin",
        "/%2e%2e/admin",
        "/.%2E/admin",
        "/..%2fadmin",
        "/..%5cadmin",
        "/x/..%2f..%2fadmin",
        "/%252e%252e/admin",
        "/..;/admin",
        "/%c0%ae%c0%ae/admin",
        "/x%2fy/../../admin",
        "/..",
    ] {
        let response = proxy.answer(get(path)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(field(&response, "peerage-error"), Some("refused"), "{path}");
    }
    // hyper's own parser lets this one through as well
    if let Ok(uri) = Uri::try_from("/..\\admin") {
        let response = proxy
            .answer(Request::builder().uri(uri).body(Empty::new()).unwrap())
            .await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let app = WebApp::answering(FINE).await;
    for method in [Method::CONNECT, Method::TRACE] {
        let response = app.proxy().answer(ask(method, "/", &[])).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn redirects_are_never_followed_by_the_device() {
    let other = WebApp::answering(FINE).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        other.url()
    );
    let app = WebApp::answering(answer.leak()).await;
    let response = app.proxy().answer(get("/")).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(
        field(&response, "location"),
        Some(&*format!("{}/x", other.url()))
    );
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_post_from_another_sites_page_never_reaches_the_target() {
    let app = WebApp::answering(FINE).await;
    for fields in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://other.localhost:9000")],
        &[("sec-fetch-site", "cross-site")],
        &[
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "navigate"),
        ],
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let response = app.proxy().answer(ask(method, "/account", fields)).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{fields:?}");
            assert_eq!(field(&response, "peerage-error"), Some("refused"));
        }
    }
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn a_post_of_the_apps_own_page_arrives_with_the_targets_origin() {
    let app = WebApp::answering(FINE).await;
    let fields = [
        ("origin", ORIGIN),
        ("referer", "http://device.localhost:9000/form?x=1"),
    ];
    let response = app.proxy().answer(post("/account", &fields, "a=b")).await;
    assert_eq!(text(response).await, "fine");
    let seen = app.seen().pop().unwrap();
    assert!(
        seen.contains(&format!("origin: {}\r\n", app.url())),
        "{seen}"
    );
    assert!(
        seen.contains(&format!("referer: {}/form?x=1\r\n", app.url())),
        "{seen}"
    );
}
