//! A request for a WebSocket, and how a service accepts it.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, Response, StatusCode};

use super::WebSocket;

type Run = Box<dyn FnOnce(WebSocket) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Marks a request that asks for a WebSocket: it came as `GET`, without a body.
///
/// ```
/// # use http::{Request, Response, StatusCode};
/// # use peerage_peer::http::{Body, Received, Upgrade};
/// fn answer(request: &Request<Body>) -> Response<()> {
///     let Some(upgrade) = Upgrade::of(request) else {
///         return Response::new(());
///     };
///     upgrade.accept(|mut socket| async move {
///         while let Ok(Received::Message(message)) = socket.recv().await {
///             if socket.send(message).await.is_err() {
///                 break;
///             }
///         }
///     })
/// }
/// ```
///
/// An answer that does not come from [`Upgrade::accept`] is an ordinary response, which its requester gets as refusal.
#[derive(Debug, Clone)]
pub struct Upgrade(());

impl Upgrade {
    /// Of a request that asks for a WebSocket.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    pub(super) fn mark<B>(request: &mut Request<B>) {
        request.extensions_mut().insert(Self(()));
    }

    /// The response (101) that accepts. `run` gets the socket when that is on its way, as a part of the exchange: it runs until it returns or the
    /// link closes. A subprotocol goes into the response's fields.
    pub fn accept<F, R>(self, run: F) -> Response<()>
    where
        F: FnOnce(WebSocket) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let run: Run = Box::new(move |socket| Box::pin(run(socket)));
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
            .extensions_mut()
            .insert(Accepted(Arc::new(Mutex::new(Some(run)))));
        response
    }
}

/// What runs on an accepted socket; in the extensions of the response, which have to be `Clone`.
#[derive(Clone)]
pub(super) struct Accepted(Arc<Mutex<Option<Run>>>);

impl Accepted {
    pub(super) fn take(&self) -> Option<Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}
