//! How links end, and what becomes of what runs on them.

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use peerage_peer::{
    Channel, Message,
    http::{Body, Client, CloseReason, Error, ResetCode, Retry, serve, serve_until},
};
use tokio::sync::oneshot;

use crate::service::{fed, fixed, get, link, once, soon, text};

#[tokio::test]
async fn a_link_ends_with_the_last_who_needs_it() {
    let (client, served) = link(|_| async { Ok(Response::new(fixed("still here"))) });
    let response = soon(client.request(get("/"))).await.unwrap();
    drop(client);
    assert_eq!(
        text(response).await,
        "still here",
        "the body keeps its link open"
    );
    assert_eq!(soon(served).await.unwrap(), CloseReason::Lost);
}

#[tokio::test]
async fn when_the_link_closes_every_exchange_is_gone_and_new_ones_are_refused() {
    let (caller, callee) = Channel::pair("peerage-http");
    let client = Client::new(caller);
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.request(get("/")).await.map(drop) }
    });
    tokio::task::yield_now().await;
    drop(callee);
    let error = soon(asking).await.unwrap().expect_err("gone");
    assert_eq!(
        (error.code(), error.retry()),
        (ResetCode::Gone, Retry::Safe)
    );
    assert_eq!(
        soon(client.request(get("/")))
            .await
            .expect_err("closed")
            .code(),
        ResetCode::Gone
    );
}

#[tokio::test]
async fn when_the_link_closes_a_body_under_way_fails_and_does_not_end() {
    let (feed, body) = fed();
    let (client, served) = link(once(body));
    let mut body = soon(client.request(get("/"))).await.unwrap().into_body();
    feed.send(Ok(Bytes::from("half"))).await.unwrap();
    assert_eq!(
        soon(body.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "half"
    );
    served.abort();
    assert_eq!(
        soon(body.frame())
            .await
            .unwrap()
            .expect_err("cut off")
            .code(),
        ResetCode::Gone
    );
}

#[tokio::test]
async fn garbage_from_the_peer_closes_the_channel() {
    for message in [
        Message::Text("hello".into()),
        Message::Binary(Bytes::from_static(b"\xff\xff\xff")),
        Message::Binary(Bytes::from(vec![0; 20_000])),
    ] {
        let (mut caller, callee) = Channel::pair("peerage-http");
        let served = tokio::spawn(serve(
            callee,
            service_fn(|_: http::Request<Body>| async { Ok::<_, Error>(Response::new(fixed(""))) }),
        ));
        caller.send(message).await.unwrap();
        assert!(matches!(
            soon(served).await.unwrap(),
            CloseReason::Violation(_)
        ));
        while soon(caller.recv()).await.is_some() {}

        let (peer, channel) = Channel::pair("peerage-http");
        let client = Client::new(channel);
        peer.send(Message::Binary(Bytes::from_static(b"\0")))
            .await
            .unwrap();
        assert_eq!(
            soon(client.request(get("/")))
                .await
                .expect_err("closed")
                .code(),
            ResetCode::Gone
        );
    }
}

#[tokio::test]
async fn a_service_that_shuts_down_finishes_what_runs_and_begins_nothing() {
    let (shutdown, told) = oneshot::channel::<()>();
    let (feed, body) = fed();
    let (caller, callee) = Channel::pair("peerage-http");
    let served = tokio::spawn(serve_until(callee, service_fn(once(body)), async move {
        drop(told.await)
    }));
    let client = Client::new(caller);
    let running = soon(client.request(get("/"))).await.unwrap();
    drop(shutdown);
    let refused = loop {
        tokio::task::yield_now().await;
        if !client.is_ready() {
            break soon(client.request(get("/"))).await.expect_err("draining");
        }
    };
    assert_eq!(
        (refused.code(), refused.retry()),
        (ResetCode::Busy, Retry::Always)
    );
    feed.send(Ok(Bytes::from("to the end"))).await.unwrap();
    drop(feed);
    assert_eq!(text(running).await, "to the end");
    assert_eq!(soon(served).await.unwrap(), CloseReason::Drained);
}
