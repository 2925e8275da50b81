//! Bodies stream both ways, with backpressure.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use peerage_peer::http::{Error, ResetCode};
use tokio::sync::Notify;

use crate::service::{AnyBody, fed, fixed, get, link, once, soon, text};

const CHUNK: usize = 10_000;

/// A body of `chunks` chunks that counts how many were asked for.
fn counted(chunks: usize, taken: Arc<AtomicUsize>) -> AnyBody {
    let chunks = stream::iter(0..chunks).map(move |number| {
        taken.fetch_add(1, Ordering::SeqCst);
        Ok(Frame::data(Bytes::from(vec![number as u8; CHUNK])))
    });
    StreamBody::new(chunks).boxed_unsync()
}

async fn settled(count: &AtomicUsize) -> usize {
    // Everything here runs on one thread: when nothing moves for a thousand turns, nothing will.
    let mut before = usize::MAX;
    while before != count.load(Ordering::SeqCst) {
        before = count.load(Ordering::SeqCst);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    before
}

#[tokio::test]
async fn a_paused_reader_lets_no_more_be_read_than_a_window_and_a_queue() {
    let taken = Arc::new(AtomicUsize::new(0));
    let (client, _) = link({
        let taken = taken.clone();
        move |_| {
            let body = counted(1_000, taken.clone());
            async move { Ok(Response::new(body)) }
        }
    });
    let response = soon(client.request(get("/"))).await.unwrap();
    let held = settled(&taken).await * CHUNK;
    assert!(
        held <= 2 * 65_536 + 2 * CHUNK,
        "{held} octets were read for nobody"
    );

    let mut body = response.into_body();
    let mut total = 0;
    while let Some(frame) = soon(body.frame()).await {
        total += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(total, 1_000 * CHUNK);
}

#[tokio::test]
async fn a_paused_service_lets_no_more_be_uploaded_than_a_window_and_a_queue() {
    let (taken, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (client, _) = link({
        let go_on = go_on.clone();
        move |request| {
            let go_on = go_on.clone();
            async move {
                go_on.notified().await;
                let octets = request.into_body().collect().await?.to_bytes().len();
                Ok(Response::new(fixed(octets.to_string())))
            }
        }
    });
    let body = counted(100, taken.clone());
    let asking =
        tokio::spawn(async move { client.request(Request::post("/").body(body).unwrap()).await });
    let held = settled(&taken).await * CHUNK;
    assert!(
        held <= 2 * 65_536 + 2 * CHUNK,
        "{held} octets were taken for nobody"
    );
    go_on.notify_one();
    assert_eq!(text(soon(asking).await.unwrap().unwrap()).await, "1000000");
}

#[tokio::test]
async fn a_stalled_download_holds_up_no_other_request() {
    let (client, _) = link(|request| async move {
        Ok(Response::new(match request.uri().path() {
            "/large" => counted(1_000, Arc::default()),
            _ => fixed("quick"),
        }))
    });
    let stalled = soon(client.request(get("/large"))).await.unwrap();
    for _ in 0..100 {
        assert_eq!(
            text(soon(client.request(get("/"))).await.unwrap()).await,
            "quick"
        );
    }
    drop(stalled);
}

#[tokio::test]
async fn both_directions_of_an_exchange_stream_at_once() {
    let (client, _) =
        link(|request| async move { Ok(Response::new(request.into_body().boxed_unsync())) });
    let (feed, body) = fed();
    let response = soon(client.request(Request::post("/").body(body).unwrap()))
        .await
        .unwrap();
    let mut echo = response.into_body();
    for word in ["one", "two", "three"] {
        feed.send(Ok(Bytes::from(word))).await.unwrap();
        assert_eq!(
            soon(echo.frame())
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap(),
            word
        );
    }
    drop(feed);
    assert!(soon(echo.frame()).await.is_none());
}

#[tokio::test]
async fn trailers_cross_without_those_that_would_change_the_head() {
    let (client, _) = link(|request| async move {
        let collected = request.into_body().collect().await?;
        assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
        assert_eq!(collected.trailers().unwrap().get("content-length"), None);
        Ok(Response::new(
            StreamBody::new(stream::iter([Ok(Frame::trailers(trailers()))])).boxed_unsync(),
        ))
    });
    fn trailers() -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        trailers.insert("content-length", HeaderValue::from_static("1"));
        trailers
    }
    let frames = [
        Ok::<_, Error>(Frame::data(Bytes::from("body"))),
        Ok(Frame::trailers(trailers())),
    ];
    let request = Request::post("/")
        .body(StreamBody::new(stream::iter(frames)))
        .unwrap();
    let response = soon(client.request(request)).await.unwrap();
    let collected = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn a_body_that_fails_resets_with_its_code() {
    let (feed, body) = fed();
    let (client, _) = link(once(body));
    let response = soon(client.request(get("/"))).await.unwrap();
    feed.send(Err(Error::new(ResetCode::Timeout, "no more")))
        .await
        .unwrap();
    let error = soon(response.into_body().collect())
        .await
        .expect_err("a reset");
    assert_eq!(error.code(), ResetCode::Timeout);
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_promised_is_an_error_and_never_passed_on() {
    let (client, _) = link(|request| async move {
        let promised = &request.uri().path()[1..];
        let body =
            StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from("12345")))])).boxed_unsync();
        Ok(Response::builder()
            .header("content-length", promised)
            .body(body)
            .unwrap())
    });
    for promised in ["/4", "/6"] {
        // The head may have gone out by then, or not.
        let answer = async {
            client
                .request(get(promised))
                .await?
                .into_body()
                .collect()
                .await
        };
        let error = soon(answer).await.expect_err(promised);
        assert_eq!(error.code(), ResetCode::Broken);
    }
}

#[tokio::test]
async fn dropping_a_response_stops_the_body_behind_it() {
    let (feed, body) = fed();
    let (client, _) = link(once(body));
    let response = soon(client.request(get("/"))).await.unwrap();
    drop(response);
    soon(feed.closed()).await;
}

#[tokio::test]
async fn a_response_may_end_before_its_request_and_stops_the_upload() {
    let (client, _) = link(|_| async { Ok(Response::new(fixed("enough"))) });
    let (feed, body) = fed();
    let response = soon(client.request(Request::post("/").body(body).unwrap()))
        .await
        .unwrap();
    assert_eq!(text(response).await, "enough");
    soon(feed.closed()).await;
}

#[tokio::test]
async fn a_body_ends_with_its_last_octet_where_that_is_known() {
    let (client, _) = link(|request| async move {
        let end = request.body().is_end_stream();
        Ok(Response::new(fixed(end.to_string())))
    });
    assert_eq!(
        text(soon(client.request(get("/"))).await.unwrap()).await,
        "true"
    );
    let response = soon(client.request(get("/"))).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(4));
}
