//! Interim responses (102 to 199), such as 103 Early Hints.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode};
use peerage_proto::{http::ExchangeId, wire::http::Fields};

use super::{Error, ResetCode, head, link::Shared};

/// Calls `callback` with each interim response to a request, before its response; without it they are dropped.
pub fn on_interim<B>(
    request: &mut Request<B>,
    callback: impl Fn(Response<()>) + Send + Sync + 'static,
) {
    request
        .extensions_mut()
        .insert(OnInterim(Arc::new(callback)));
}

#[derive(Clone)]
pub(super) struct OnInterim(Arc<dyn Fn(Response<()>) + Send + Sync>);

impl OnInterim {
    pub(super) fn call(&self, status: u16, fields: Fields) {
        let (Ok(status), Some(fields)) =
            (StatusCode::from_u16(status), head::incoming_fields(fields))
        else {
            return;
        };
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        (self.0)(response);
    }
}

/// Sends interim responses to one request of a peer, for the service that answers it.
#[derive(Debug, Clone)]
pub struct Informer {
    shared: Arc<Shared>,
    id: ExchangeId,
}

impl Informer {
    pub(super) fn new(shared: Arc<Shared>, id: ExchangeId) -> Self {
        Self { shared, id }
    }

    /// The informer of a request that came over a link.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Sends one with a status from 102 to 199. An exchange takes eight of them.
    ///
    /// # Errors
    /// It was the ninth, the response was sent, or the exchange is over; the response itself is not harmed by any of these.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) -> Result<(), Error> {
        if !(102..=199).contains(&status.as_u16()) {
            return Err(Error::new(
                ResetCode::Internal,
                "an interim status is 102 to 199",
            ));
        }
        let mut fields = head::outgoing_fields(fields);
        fields.0.retain(|field| &*field.name != "content-length");
        let mut state = self.shared.lock();
        state.session.inform(self.id, status.as_u16(), fields)?;
        drop(state);
        self.shared.transmit.notify_one();
        Ok(())
    }
}
