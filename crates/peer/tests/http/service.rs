//! A link in memory with a service at its end.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::service::service_fn;
use peerage_peer::{
    Channel,
    http::{Body, Client, CloseReason, Error, serve},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, Error>;

/// A client of a service, over a channel in memory; and the end of the service.
pub(crate) fn link<F, R>(answer: F) -> (Client, JoinHandle<CloseReason>)
where
    F: Fn(Request<Body>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<AnyBody>, Error>> + Send + 'static,
{
    let (caller, callee) = Channel::pair("peerage-http");
    let served = tokio::spawn(serve(callee, service_fn(answer)));
    (Client::new(caller), served)
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

pub(crate) fn fixed(octets: impl Into<Bytes>) -> AnyBody {
    Full::new(octets.into()).map_err(never).boxed_unsync()
}

pub(crate) fn never(never: Infallible) -> Error {
    match never {}
}

/// A body that is fed by hand.
pub(crate) fn fed() -> (mpsc::Sender<Result<Bytes, Error>>, AnyBody) {
    let (feed, mut fed) = mpsc::channel(1);
    let frames =
        futures_util::stream::poll_fn(move |cx| fed.poll_recv(cx).map(|octets| octets.map(frame)));
    (feed, http_body_util::StreamBody::new(frames).boxed_unsync())
}

fn frame(octets: Result<Bytes, Error>) -> Result<http_body::Frame<Bytes>, Error> {
    octets.map(http_body::Frame::data)
}

pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let octets = soon(response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    String::from_utf8(octets.to_vec()).unwrap()
}

/// What a future gives; it must not take long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

/// Answers the first request with this body, and later ones with none.
pub(crate) fn once(
    body: AnyBody,
) -> impl Fn(Request<Body>) -> std::future::Ready<Result<Response<AnyBody>, Error>>
+ Clone
+ Send
+ 'static {
    let body = Arc::new(Mutex::new(Some(body)));
    move |_| {
        let body = body.lock().unwrap().take();
        std::future::ready(Ok(Response::new(body.unwrap_or_else(|| fixed("")))))
    }
}
