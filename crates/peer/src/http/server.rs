//! Requests of a peer, and who answers them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::service::Service;
use peerage_proto::{
    http::{CloseReason, Role},
    wire::http::Request as WireRequest,
};
use tokio::task::JoinSet;

use super::{
    Body, Error, Informer, ResetCode, Upgrade, WebSocket,
    body::Reader,
    client::length,
    driver,
    error::BoxError,
    head,
    link::{Begun, Shared},
    upgrade::Accepted,
    writer::Writer,
};
use crate::Channel;

/// Answers the requests of a channel that the peer made, each in a task of its own, until the link closes.
///
/// Everything that runs for the link ends with this future. A request that its sender cancels is dropped in the middle
/// of its work; a service that panics resets its exchange and no other.
pub async fn serve<S, B>(channel: Channel, service: S) -> CloseReason
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_until(channel, service, std::future::pending()).await
}

/// What a service answers beside plain requests; the peer is told, and asks for nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// WebSockets: the service looks for [`Upgrade`](super::Upgrade) in requests.
    pub websocket: bool,
}

/// As [`serve`]; after `shutdown` nothing new is served, and the link closes when what runs has ended.
pub async fn serve_until<S, B>(
    channel: Channel,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> CloseReason
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_with(channel, service, Features::default(), shutdown).await
}

/// As [`serve_until`], for a service that answers more than plain requests.
pub async fn serve_with<S, B>(
    channel: Channel,
    service: S,
    features: Features,
    shutdown: impl Future<Output = ()>,
) -> CloseReason
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let shared = Arc::new(Shared::new(Role::Callee, features));
    let exchanges = shared.clone();
    let begin = move |tasks: &mut JoinSet<()>, begun| {
        tasks.spawn(answer(exchanges.clone(), begun, service.clone()));
    };
    driver::drive(&shared, channel, begin, shutdown).await
}

async fn answer<S, B>(shared: Arc<Shared>, begun: Begun, service: S)
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let Begun { id, request, end } = begun;
    let mut writer = Writer::new(shared.clone(), id, ResetCode::Internal);
    let (method, path, fields, websocket) = match request {
        WireRequest::Http {
            method,
            path,
            fields,
        } => (method, path, fields, false),
        WireRequest::WebSocket { path, fields } if !end => ("GET".into(), path, fields, true),
        WireRequest::WebSocket { .. } => return writer.reset(ResetCode::Malformed),
        WireRequest::Tcp { .. } => return writer.reset(ResetCode::Unsupported),
    };
    let Some(request) = head::incoming(&method, &path, fields) else {
        return writer.reset(ResetCode::Malformed);
    };
    let reader = (!end).then(|| {
        shared.hold(id);
        Reader::new(shared.clone(), id, None)
    });
    let (mut body, mut socket) = (Body::empty(), None);
    match reader {
        Some(reader) if websocket => socket = Some(reader),
        Some(reader) => body = Body::new(reader, length(request.headers())),
        None => {}
    }
    let mut request = request.map(|()| body);
    let informer = Informer::new(shared.clone(), id);
    request.extensions_mut().insert(informer);
    if websocket {
        Upgrade::mark(&mut request);
    }
    let answered = writer.unless_over(service.call(request)).await;
    let response = match answered.map(|answer| answer.map_err(Into::into)) {
        // Reset by the requester, or the link closed: there is nobody to answer.
        None => return writer.reset(ResetCode::None),
        Some(Ok(response)) => response,
        Some(Err(error)) => return writer.reset(Error::code_of(&error)),
    };
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let accepted = parts.extensions.get().and_then(Accepted::take);
        return match (socket, accepted) {
            (Some(reader), Some(run)) => match writer.respond(101, &parts.headers, false) {
                Ok(()) => {
                    shared.transmit.notify_one();
                    run(WebSocket::new(writer.into_sender(), reader)).await;
                }
                Err(error) => unsendable(writer, &error),
            },
            _ => writer.reset(ResetCode::Internal),
        };
    }
    let end = body.is_end_stream() || *method == *"HEAD";
    if !end {
        head::measure(&mut parts.headers, &body);
    }
    match writer.respond(parts.status.as_u16(), &parts.headers, end) {
        Ok(()) if end => {}
        Ok(()) => writer.send(body).await,
        Err(error) => unsendable(writer, &error),
    }
}

fn unsendable(writer: Writer, error: &Error) {
    tracing::debug!(%error, "response cannot be sent");
    writer.reset(match error.code() {
        ResetCode::TooLarge => ResetCode::TooLarge,
        _ => ResetCode::Broken,
    });
}
