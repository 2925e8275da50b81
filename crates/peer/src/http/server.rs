//! Requests of a peer, and who answers them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::service::Service;
use peerage_proto::{
    http::{CloseReason, Role},
    wire::http::Request as WireRequest,
};
use tokio::task::JoinSet;

use super::{
    Body, Error, ResetCode,
    body::Reader,
    client::length,
    driver,
    error::BoxError,
    head,
    link::{Begun, Shared},
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
    let shared = Arc::new(Shared::new(Role::Callee));
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
    let body = |headers: &HeaderMap| {
        if end {
            return Body::empty();
        }
        shared.hold(id);
        Body::new(Reader::new(shared.clone(), id, None), length(headers))
    };
    let WireRequest::Http {
        method,
        path,
        fields,
    } = request
    else {
        return writer.reset(ResetCode::Unsupported);
    };
    let Some(request) = head::incoming(&method, &path, fields) else {
        return writer.reset(ResetCode::Malformed);
    };
    let body = body(request.headers());
    let answered = writer
        .unless_over(service.call(request.map(|()| body)))
        .await;
    let response = match answered.map(|answer| answer.map_err(Into::into)) {
        // Reset by the requester, or the link closed: there is nobody to answer.
        None => return writer.reset(ResetCode::None),
        Some(Ok(response)) => response,
        Some(Err(error)) => return writer.reset(Error::code_of(&error)),
    };
    let (mut parts, body) = response.into_parts();
    let end = body.is_end_stream() || *method == *"HEAD";
    if !end {
        head::measure(&mut parts.headers, &body);
    }
    match writer.respond(parts.status.as_u16(), &parts.headers, end) {
        Ok(()) if end => {}
        Ok(()) => writer.send(body).await,
        Err(error) => {
            tracing::debug!(%id, %error, "response cannot be sent");
            writer.reset(match error.code() {
                ResetCode::TooLarge => ResetCode::TooLarge,
                _ => ResetCode::Broken,
            });
        }
    }
}
