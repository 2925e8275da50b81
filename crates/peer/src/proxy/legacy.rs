//! Old clients, on the framing that they know: the shell of [`peerage_proto::legacy`].

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, LOCATION},
};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use peerage_proto::{
    legacy::{Answer, Body as Whole, Output, Received, Session},
    wire::legacy::{Method as Asked, Request as Ask},
};
use tokio::time::{sleep_until, timeout};

use super::{Body, Proxy, answer::WithinTarget};
use crate::{Channel, ChannelSender, Message, http::Error};

/// Redirects followed for one request, as the old proxies' HTTP client did.
const MAX_REDIRECTS: usize = 10;
/// How long a client may leave an answer unread: its connection would hold a place that others could have.
const TAKE: Duration = Duration::from_secs(30);

/// Answers an old client's requests (label `http-proxy`) until it goes, has asked for nothing for 5 minutes, or `shutdown` comes and what it asked for
/// is answered.
///
/// The client may have proven nothing: that its requests reach one target alone, and which of them, is [`Proxy::answer`]'s to decide, as for everybody.
pub async fn serve_legacy(channel: Channel, proxy: Proxy, shutdown: impl Future<Output = ()>) {
    let (sender, mut receiver) = channel.split();
    let mut session = Session::new(sender.max_message(), Instant::now());
    let mut shutdown = std::pin::pin!(shutdown);
    let (mut asking, mut draining) = (None, false);
    loop {
        while let Some(output) = session.poll_output() {
            let message = match output {
                Output::Text(text) => Message::Text(text.into()),
                Output::Binary(octets) => Message::Binary(octets),
                Output::Ask(request) => {
                    let answer = ask(proxy.clone(), request, session.max_body());
                    asking = Some(Box::pin(answer));
                    continue;
                }
                Output::Cancel => {
                    asking = None;
                    continue;
                }
                Output::Close => return,
            };
            if !is_taken(&sender, message).await {
                return;
            }
        }
        if draining && !session.is_busy() {
            return;
        }
        tokio::select! {
            biased;
            () = &mut shutdown, if !draining => draining = true,
            answer = answered(&mut asking) => {
                asking = None;
                session.handle_answer(answer, Instant::now());
            }
            () = at(session.poll_timeout()) => session.handle_timeout(Instant::now()),
            message = receiver.recv(), if !draining => match message {
                Some(Message::Text(text)) => {
                    session.handle_message(Received::Text(&text), Instant::now());
                }
                Some(Message::Binary(_)) => {
                    session.handle_message(Received::Binary, Instant::now());
                }
                None => return,
            },
        }
    }
}

async fn is_taken(sender: &ChannelSender, message: Message) -> bool {
    match timeout(TAKE, sender.send(message)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "an old client's answer cannot be sent");
            false
        }
        Err(_) => {
            tracing::debug!("an old client does not take its answer");
            false
        }
    }
}

/// Asks the target, and follows where it leads within itself.
async fn ask(proxy: Proxy, request: Ask, limit: usize) -> Answer {
    let (mut method, mut path) = (request.method, request.path);
    let mut content = request
        .body
        .map(|body| (body.content_type(), Bytes::from(body.into_text())));
    for _ in 0..=MAX_REDIRECTS {
        let Some(request) = to_target(method, &path, content.clone()) else {
            return own(400, "this address cannot be sent to the app");
        };
        let response = proxy.answer(request).await;
        let status = response.status();
        let Some(location) = redirect(&response) else {
            return whole(response, limit).await;
        };
        if response.extensions().get::<WithinTarget>().is_none() {
            return own(
                502,
                "the app redirects to a place that its owner did not expose",
            );
        }
        path = location;
        // What browsers, and the old proxies' HTTP client, make of it.
        let becomes_get = status == StatusCode::SEE_OTHER
            || (method == Asked::Post
                && matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND));
        if becomes_get {
            (method, content) = (Asked::Get, None);
        }
    }
    own(502, "the app redirects without end")
}

fn to_target(
    method: Asked,
    path: &str,
    content: Option<(&'static str, Bytes)>,
) -> Option<Request<Full<Bytes>>> {
    let method = match method {
        Asked::Get => Method::GET,
        Asked::Put => Method::PUT,
        Asked::Post => Method::POST,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, "*/*");
    let mut body = Bytes::new();
    if let Some((content_type, octets)) = content {
        request = request.header(CONTENT_TYPE, content_type);
        body = octets;
    }
    request.body(Full::new(body)).ok()
}

/// Where a response leads to, without the fragment.
fn redirect(response: &Response<Body>) -> Option<String> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| follows)?;
    let location = String::from_utf8_lossy(location.as_bytes());
    Some(location.split('#').next().unwrap_or_default().to_owned())
}

/// The whole answer, or that it is too large.
async fn whole(response: Response<Body>, limit: usize) -> Answer {
    let (parts, body) = response.into_parts();
    let body = match read(body, limit).await {
        Ok(body) => body,
        Err(error) => return own(502, error.detail()),
    };
    Answer {
        status: parts.status.as_u16(),
        content_type: text(&parts.headers),
        body,
    }
}

async fn read(mut body: Body, limit: usize) -> Result<Whole, Error> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|octets| octets > limit as u64) {
        return Ok(Whole::TooLarge(announced));
    }
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if octets.len() + data.len() > limit {
            return Ok(Whole::TooLarge(None));
        }
        octets.extend_from_slice(&data);
    }
    Ok(Whole::Whole(octets.into()))
}

fn text(fields: &HeaderMap) -> Option<String> {
    let value = fields.get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn own(status: u16, text: &str) -> Answer {
    Answer {
        status,
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        body: Whole::Whole(format!("{text}\n").into()),
    }
}

/// The answer of the request that runs; never, while none does.
async fn answered<F: Future>(asking: &mut Option<Pin<Box<F>>>) -> F::Output {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
