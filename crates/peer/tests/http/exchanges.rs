//! Requests, responses, and many of them at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use peerage_peer::http::{Error, ResetCode, Retry};
use tokio::sync::Notify;

use crate::service::{fixed, get, link, soon, text};

#[tokio::test]
async fn method_path_fields_and_status_cross_and_fields_of_one_hop_do_not() {
    let (client, _) = link(|request| async move {
        assert_eq!(request.method(), "PROPFIND");
        assert_eq!(request.uri(), "/a/b?c=d&e=%20");
        assert_eq!(request.headers()["x-twice"], "1");
        assert_eq!(request.headers().get_all("x-twice").iter().count(), 2);
        assert_eq!(request.headers().get("host"), None);
        assert_eq!(request.headers().get("te"), None);
        let mut response = Response::new(fixed("body"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
            .headers_mut()
            .insert("x-bytes", HeaderValue::from_bytes(b"\xe9\t!").unwrap());
        response
            .headers_mut()
            .insert("keep-alive", HeaderValue::from_static("timeout=5"));
        Ok(response)
    });
    let request = Request::builder()
        .method("PROPFIND")
        .uri("/a/b?c=d&e=%20")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .header("host", "evil.example")
        .header("te", "trailers")
        .body(fixed(""))
        .unwrap();
    let response = soon(client.request(request)).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-bytes"].as_bytes(), b"\xe9\t!");
    assert_eq!(response.headers().get("keep-alive"), None);
    assert_eq!(
        response.headers()["content-length"],
        "4",
        "a known length is stated"
    );
    assert_eq!(text(response).await, "body");
}

#[tokio::test]
async fn answers_without_a_body_are_at_their_end_from_the_start() {
    let (client, _) = link(|request| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        Ok(Response::builder()
            .status(status)
            .header("content-length", "9")
            .body(fixed("x"))
            .unwrap())
    });
    for request in [
        Request::head("/200").body(fixed("")).unwrap(),
        Request::get("/304").body(fixed("")).unwrap(),
    ] {
        let response = soon(client.request(request)).await.unwrap();
        assert_eq!(response.headers()["content-length"], "9");
        assert!(response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(0));
    }
}

#[tokio::test]
async fn a_request_that_names_a_host_is_refused_before_it_is_sent() {
    let (client, _) = link(|_| async { Ok(Response::new(fixed(""))) });
    let error = soon(client.request(get("http://evil.example/")))
        .await
        .expect_err("a host");
    assert_eq!(
        (error.code(), error.retry()),
        (ResetCode::Malformed, Retry::Never)
    );
}

#[tokio::test]
async fn connect_and_trace_do_not_exist() {
    let (client, _) = link(|_| async { Ok(Response::new(fixed(""))) });
    for method in [Method::CONNECT, Method::TRACE] {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .body(fixed(""))
            .unwrap();
        assert_eq!(
            soon(client.request(request))
                .await
                .expect_err("refused")
                .code(),
            ResetCode::Malformed
        );
    }
}

#[tokio::test]
async fn a_thousand_requests_at_once_each_get_their_own_answer() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let (client, _) = link({
        let (most, now) = (most.clone(), now.clone());
        move |request| {
            let (most, now) = (most.clone(), now.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Response::new(fixed(request.uri().path().to_owned())))
            }
        }
    });
    let answers = join_all((0..1_000).map(|number| {
        let client = client.clone();
        async move {
            let path = format!("/{number}");
            assert_eq!(text(client.request(get(&path)).await.unwrap()).await, path);
        }
    }));
    soon(answers).await;
    assert!(
        most.load(Ordering::SeqCst) <= 256,
        "no more at once than the peer accepts"
    );
}

#[tokio::test]
async fn a_request_that_has_to_wait_for_its_turn_is_served_when_one_before_it_is_dropped() {
    let (client, _) = link(|request| async move {
        if request.uri().path() == "/wait" {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(fixed("served")))
    });
    let waiting: Vec<_> = (0..256)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.request(get("/wait")).await.map(drop) })
        })
        .collect();
    while client.is_ready() {
        tokio::task::yield_now().await;
    }
    let late = tokio::spawn({
        let client = client.clone();
        async move { text(client.request(get("/")).await.unwrap()).await }
    });
    tokio::task::yield_now().await;
    waiting[0].abort();
    assert_eq!(soon(late).await.unwrap(), "served");
}

#[tokio::test]
async fn a_service_that_fails_or_panics_resets_its_exchange_and_no_other() {
    let (client, _) = link(|request| async move {
        match request.uri().path() {
            "/fails" => Err(Error::new(ResetCode::Unreachable, "no")),
            "/panics" => panic!("on purpose"),
            _ => Ok(Response::new(fixed("fine"))),
        }
    });
    let error = soon(client.request(get("/fails")))
        .await
        .expect_err("a reset");
    assert_eq!(
        (error.code(), error.retry()),
        (ResetCode::Unreachable, Retry::Always)
    );
    let error = soon(client.request(get("/panics")))
        .await
        .expect_err("a reset");
    assert_eq!(
        (error.code(), error.retry()),
        (ResetCode::Internal, Retry::Never)
    );
    assert_eq!(
        text(soon(client.request(get("/"))).await.unwrap()).await,
        "fine"
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_fails_its_exchange_alone() {
    let (client, _) = link(|request| async move {
        let mut response = Response::new(fixed("fine"));
        if request.uri().path() == "/large" {
            response
                .headers_mut()
                .insert("x", HeaderValue::from_bytes(&[b'x'; 65_000]).unwrap());
            response
                .headers_mut()
                .insert("y", HeaderValue::from_bytes(&[b'y'; 65_000]).unwrap());
        }
        Ok(response)
    });
    let error = soon(client.request(get("/large")))
        .await
        .expect_err("a reset");
    assert_eq!(error.code(), ResetCode::TooLarge);
    let large = Request::get("/")
        .header("x", "x".repeat(65_536))
        .body(fixed(""))
        .unwrap();
    assert_eq!(
        soon(client.request(large))
            .await
            .expect_err("refused")
            .code(),
        ResetCode::TooLarge
    );
    assert_eq!(
        text(soon(client.request(get("/"))).await.unwrap()).await,
        "fine"
    );
}

#[tokio::test]
async fn dropping_the_future_of_a_request_drops_the_service_at_its_work() {
    let (started, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    struct OnDrop(Arc<Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (client, _) = link({
        let (started, stopped) = (started.clone(), stopped.clone());
        move |_| {
            let (started, guard) = (started.clone(), OnDrop(stopped.clone()));
            async move {
                let _guard = guard;
                started.notify_one();
                std::future::pending().await
            }
        }
    });
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.request(get("/")).await.map(drop) }
    });
    soon(started.notified()).await;
    asking.abort();
    soon(stopped.notified()).await;
}
