//! Paths of the device's own: answered here, and never passed on.

use http::{Method, StatusCode};
use peerage_peer::proxy::Proxy;
use peerage_proto::identity::SigningKey;

use crate::target::{WebApp, ask, field, post, proxy, text};

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";
const JAR: (&str, &str) = ("peerage-cookies", "jar");

fn known(proxy: &Proxy) -> Proxy {
    proxy.for_caller(SigningKey::from_bytes(&[1; 32]).unwrap().public_key())
}

#[tokio::test]
async fn nothing_of_the_devices_own_reaches_the_target_in_any_spelling() {
    let app = WebApp::answering(FINE).await;
    let proxy = known(&app.proxy());
    for path in [
        "/__peerage",
        "/__peerage/",
        "/__peerage/cookies/",
        "/__peerage/cookies/x",
        "/__peerage/other?q",
        "/__peerage?x",
        "//__peerage/cookies",
        "/./__peerage/cookies",
        "/a/../__peerage/cookies",
        "/a/%2e%2e/__peerage/cookies",
        "/a/..%2f__peerage/cookies",
        "/%5f_peerage/cookies",
        "/%5F%5Fpeerage/cookies",
        "/%255f%255fpeerage/cookies",
        "/__peerage%2fcookies",
        "/__peerage%5ccookies",
        "/__peerage\\cookies",
        "/%2f__peerage/cookies",
        "/__PEERAGE/cookies",
        "/__peerage;x=1/cookies",
        "/;x/__peerage/cookies",
        "/;%2f__peerage/cookies",
        "/__peerage./cookies",
        "/__peerage%20/cookies",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let response = proxy.answer(ask(method.clone(), path, &[JAR])).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

#[tokio::test]
async fn paths_that_only_look_like_it_are_the_targets() {
    let app = WebApp::answering(FINE).await;
    let proxy = known(&app.proxy());
    for path in [
        "/__peerage2",
        "/__peerag",
        "/a/__peerage/cookies",
        "/a%2f__peerage",
        "/_peerage/cookies",
        "/?/__peerage/cookies",
        "/x__peerage",
    ] {
        let response = proxy.answer(ask(Method::GET, path, &[JAR])).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(app.seen().len(), 7);
}

#[tokio::test]
async fn a_folder_has_no_jar_and_its_files_do_not_show_under_the_devices_own_paths() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("__peerage")).unwrap();
    std::fs::write(dir.path().join("__peerage/cookies"), "file").unwrap();
    let proxy = known(&proxy(&dir.path().display().to_string()));
    assert!(proxy.cookies().is_none());
    for path in ["/__peerage/cookies", "/__peerage", "/%5f_peerage/cookies"] {
        let response = proxy.answer(ask(Method::GET, path, &[JAR])).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!text(response).await.contains("file"));
    }
}

#[tokio::test]
async fn what_is_no_request_for_cookies_is_refused_with_its_reason() {
    let app = WebApp::answering(FINE).await;
    let proxy = known(&app.proxy());
    let path = "/__peerage/cookies";
    let refused = async |request, status: u16, reason| {
        let response = proxy.answer(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(field(&response, "peerage-error"), reason);
        text(response).await
    };
    refused(post(path, &[], "{}"), 400, Some("malformed")).await;
    refused(post(path, &[JAR], "{}"), 400, Some("malformed")).await;
    let body = r#"{"changes":[{"path":"/","cookie":["hush"]}]}"#;
    let said = refused(post(path, &[JAR], body), 400, Some("malformed")).await;
    assert!(said.contains("line 1") && !said.contains("hush"), "{said}");
    let large = String::leak(format!(
        r#"{{"changes":[],"x":"{}"}}"#,
        "x".repeat(64 * 1024)
    ));
    refused(post(path, &[JAR], large), 413, Some("too-large")).await;
    let foreign = [JAR, ("origin", "https://evil.example")];
    refused(post(path, &foreign, "{}"), 403, Some("refused")).await;
    let response = proxy.answer(ask(Method::PUT, path, &[JAR])).await;
    assert_eq!(
        (response.status().as_u16(), field(&response, "allow")),
        (405, Some("GET, POST"))
    );
    let response = proxy.answer(ask(Method::GET, path, &[JAR])).await;
    assert_eq!(
        (
            response.status().as_u16(),
            field(&response, "content-type"),
            field(&response, "cache-control")
        ),
        (200, Some("application/json"), Some("no-store"))
    );
    assert!(app.seen().is_empty());
}
