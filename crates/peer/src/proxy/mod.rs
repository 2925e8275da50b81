//! What a device exposes, and nothing else: requests of a link become requests to one fixed target.
//!
//! The owner names the target once. Scheme, host, port and base path are fixed by that; nothing in a request changes
//! them. Refused here, whatever the target would have made of it: paths that climb above the target's root under any
//! reading of them, CONNECT and TRACE, and requests that another site's page caused, except links that somebody
//! followed. Answered here, and never passed on: paths of the device's own. Cookies of a web app are kept here for
//! callers that ask for it, apart for each.

mod answer;
mod body;
mod cookies;
mod folder;
mod legacy;
mod own;
mod path;
mod site;
mod socket;
mod target;
mod tls;
mod upstream;

use std::{convert::Infallible, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use peerage_proto::{identity::PublicKey, jar};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::{
    answer::refusal, cookies::CallersCookies, folder::Folder, site::Sites, upstream::Upstream,
};
pub use self::{
    body::Body,
    cookies::Cookies,
    legacy::serve_legacy,
    target::{HttpTarget, Target, TargetError},
    tls::{CertificateError, NamedCertificates},
};
use crate::http::{Features, ResetCode, Upgrade};

/// Passes requests to one target. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Inner>, Option<CallersCookies>);

#[derive(Debug)]
struct Inner {
    sites: Sites,
    places: Arc<Semaphore>,
    /// A web app has a jar; files set no cookies.
    cookies: Option<Cookies>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Http(Box<Upstream>),
    Folder(Folder),
}

/// How a [`Proxy`] behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a target may take until its answer begins, not counting the time that a request body flows.
    /// Default 60 s, as reverse proxies have it.
    pub head_timeout: Duration,
    /// Requests that are answered at once, over all links; one beyond gets 503 (`busy`). A WebSocket is one for as long as
    /// it lives. Each holds a descriptor: default
    /// 512, half of what Linux allows a process unless told otherwise.
    pub requests: usize,
    /// The cookies of a web app's callers, as they were remembered. Default none.
    pub cookies: jar::State,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(60),
            requests: 512,
            cookies: jar::State::default(),
        }
    }
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The folder cannot be opened.
    #[error("cannot open the folder: {0}")]
    Folder(#[from] io::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the target: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Proxy {
    /// A proxy for a target. `origin` is the device's own in browsers: requests that carry another one are another
    /// site's.
    ///
    /// # Errors
    /// The folder cannot be opened, or TLS cannot be set up. A web app that is down is no error.
    pub fn new(target: Target, origin: &Url, settings: &Settings) -> Result<Self, ProxyError> {
        let (sites, cookies, kind) = match target {
            Target::Http(target) => (
                Sites::new(origin, Some((target.origin(), target.base.clone()))),
                Some(Cookies::new(
                    target.cookie_site(origin),
                    settings.cookies.clone(),
                )),
                Kind::Http(Box::new(
                    Upstream::new(target, settings.head_timeout)
                        .map_err(|e| ProxyError::Tls(e.into()))?,
                )),
            ),
            Target::Folder(path) => (
                Sites::new(origin, None),
                None,
                Kind::Folder(Folder::open(&path)?),
            ),
        };
        let places = Arc::new(Semaphore::new(settings.requests));
        let inner = Inner {
            sites,
            places,
            cookies,
            kind,
        };
        Ok(Self(Arc::new(inner), None))
    }

    /// The same for one connection of a caller, who is known by this key: with its cookies. Its session counts as going
    /// on for as long as this, or a clone of it, lives.
    #[must_use]
    pub fn for_caller(&self, key: &PublicKey) -> Self {
        let cookies = self.0.cookies.clone();
        let callers = cookies.map(|cookies| CallersCookies::new(cookies, key));
        Self(self.0.clone(), callers)
    }

    /// The cookies of all callers, if the target is one that sets any.
    pub fn cookies(&self) -> Option<&Cookies> {
        self.0.cookies.as_ref()
    }

    /// Answers one request. Never fails: what goes wrong becomes an answer with the field `peerage-error`.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(response) = self.refuse(&request) {
            return response;
        }
        let Ok(place) = self.0.places.clone().try_acquire_owned() else {
            return refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                ResetCode::Busy,
                "The device answers as many requests as it can: try again.",
            );
        };
        if path::may_be_own(request.uri().path()) {
            let mut response = own::answer(request, self.1.as_ref()).await;
            response.body_mut().keep(place);
            return response;
        }
        let exchange = cookies::before(self.1.as_ref(), &mut request);
        let mut response = self.pass_on(request, place).await;
        exchange.after(response.headers_mut());
        response
    }

    async fn pass_on<B>(&self, request: Request<B>, place: OwnedSemaphorePermit) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if Upgrade::of(&request).is_some() {
            return self.open_socket(request.into_parts().0, place).await;
        }
        let mut response = match &self.0.kind {
            Kind::Http(upstream) => upstream.forward(request, &self.0.sites).await,
            Kind::Folder(folder) => folder.answer(&request.into_parts().0).await,
        };
        response.body_mut().keep(place);
        response
    }

    /// What a service of this proxy answers: WebSockets where the target is a web app.
    pub fn features(&self) -> Features {
        Features {
            websocket: matches!(self.0.kind, Kind::Http(_)),
        }
    }

    async fn open_socket(&self, mut parts: Parts, place: OwnedSemaphorePermit) -> Response<Body> {
        let (Kind::Http(upstream), Some(upgrade)) = (&self.0.kind, parts.extensions.remove())
        else {
            return refusal(
                StatusCode::BAD_REQUEST,
                ResetCode::Unsupported,
                "A folder has no WebSockets.",
            );
        };
        let upgrade: Upgrade = upgrade;
        match upstream.open_socket(parts, &self.0.sites).await {
            Ok((fields, target)) => {
                let mut response =
                    upgrade.accept(move |socket| socket::relay(socket, target, place));
                *response.headers_mut() = fields;
                response.map(|()| Body::empty())
            }
            Err(mut refusal) => {
                refusal.body_mut().keep(place);
                *refusal
            }
        }
    }

    /// The rules that hold for every kind of target.
    fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let refuse = |status, code, text: &str| Some(refusal(status, code, text));
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                ResetCode::Refused,
                "This method is not forwarded.",
            );
        }
        let uri = request.uri();
        if uri.scheme().is_some() || uri.authority().is_some() || !uri.path().starts_with('/') {
            return refuse(
                StatusCode::BAD_REQUEST,
                ResetCode::Malformed,
                "A request names a path only: where it goes is the owner's choice.",
            );
        }
        if path::climbs(uri.path()) || path::has_controls(uri.path()) {
            return refuse(
                StatusCode::BAD_REQUEST,
                ResetCode::Refused,
                "This path leads out of what the owner exposed.",
            );
        }
        let forged = if Upgrade::of(request).is_some() {
            self.0.sites.is_forged_socket(request.headers())
        } else {
            self.0.sites.is_forged(request.method(), request.headers())
        };
        if forged {
            return refuse(
                StatusCode::FORBIDDEN,
                ResetCode::Refused,
                "Another site's page caused this request: it was not forwarded.",
            );
        }
        None
    }
}

impl<B> hyper::service::Service<Request<B>> for Proxy
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move { Ok(proxy.answer(request).await) })
    }
}
