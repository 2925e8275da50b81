//! A web app behind a fixed address, reached over HTTP/1.1.

mod failure;
mod fields;
mod handshake;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Version,
    header::{LOCATION, SET_COOKIE},
    request::Parts,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use peerage_proto::wire::http::FIELDS_MAX;

use self::{
    failure::{Failure, is_closed},
    fields::{has_two_lengths, restate_length, strip},
};
use super::{
    Body, HttpTarget,
    answer::{WithinTarget, refusal},
    site::Sites,
};
use crate::http::{Informer, ResetCode};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the target may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Below the 5 s after which common app servers close theirs, so that a request
/// rarely meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Most octets of an answer held between socket and reader; also the largest head, as on the link.
const READ_BUFFER: usize = 64 * 1024;
/// Most fields of an answer: as many as a head has on the link, and some that concern this connection and stay here.
const MOST_FIELDS: usize = FIELDS_MAX + 16;
/// The kernel's buffers of a connection to the target: without a bound it would read ahead by megabytes, and take as much
/// of a caller before a target that does not read is noticed.
const SOCKET_BUFFER: usize = 256 * 1024;
/// After this long without an octet the kernel asks whether the target's host is still there, and gives a connection up
/// that nobody vouches for: a WebSocket may be idle for days, and no pings of ours should show up at the app.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// A pool of connections to one web app.
#[derive(Debug)]
pub(super) struct Upstream {
    target: HttpTarget,
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
    head_timeout: Duration,
}

impl Upstream {
    pub(super) fn new(target: HttpTarget, head_timeout: Duration) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_recv_buffer_size(Some(SOCKET_BUFFER));
        tcp.set_send_buffer_size(Some(SOCKET_BUFFER));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        let tls = HttpsConnectorBuilder::new().with_tls_config(target.named.client_config()?);
        let tls = if target.is_tls() {
            tls.https_only()
        } else {
            tls.https_or_http()
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(READ_BUFFER)
            .http1_max_headers(MOST_FIELDS)
            .build(tls.enable_http1().wrap_connector(tcp));
        Ok(Self {
            target,
            client,
            head_timeout,
        })
    }

    /// Passes a request on and its answer back; failures are answers too.
    pub(super) async fn forward<B>(&self, request: Request<B>, sites: &Sites) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let informer = Informer::of(&request);
        let (mut parts, body) = request.into_parts();
        let asked = match self.aim(&mut parts, sites) {
            Ok(asked) => asked,
            Err(refusal) => return *refusal,
        };
        let progress = Arc::new(Progress::default());
        let body = RequestBody {
            inner: body.map_err(Into::into).boxed_unsync(),
            progress: progress.clone(),
        };

        restate_length(&mut parts.headers, &body);
        let mut request = Request::from_parts(parts, body);
        if let Some(informer) = informer {
            pass_interims(&mut request, informer);
        }
        match self.ask(request, &progress).await {
            Ok(response) => accept(response, sites, &asked),
            Err(failure) => failure.into_response(),
        }
    }

    /// Makes a request of the device's one of the target's; returns its path there.
    fn aim(&self, parts: &mut Parts, sites: &Sites) -> Result<String, Box<Response<Body>>> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = self.target.uri(path).map_err(|_| {
            Box::new(refusal(
                StatusCode::BAD_REQUEST,
                ResetCode::Malformed,
                "This path cannot be sent to the app.",
            ))
        })?;
        parts.version = Version::HTTP_11;
        strip(&mut parts.headers);
        sites.translate(&mut parts.headers);
        let asked = parts.uri.path_and_query();
        Ok(asked.map_or_else(String::new, ToString::to_string))
    }

    /// Sends a request, and once more if the connection ended without an answer: a target closes connections that it has
    /// kept for a while, and may do so just as a request is under way. Only for what is safe and has no body
    /// (RFC 9110 section 9.2.2); anything else may have had its effect.
    async fn ask(
        &self,
        request: Request<RequestBody>,
        progress: &Arc<Progress>,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let (parts, body) = request.into_parts();
        let again = (parts.method.is_safe() && body.is_end_stream()).then(|| parts.clone());
        let first = self.head_in_time(Request::from_parts(parts, body), progress);
        match (first.await, again) {
            (Err(Failure::Client(error)), Some(parts)) if is_closed(&error) => {
                tracing::debug!(%error, "target closed a connection as it was used: asking again");
                let request = Request::from_parts(parts, RequestBody::empty(progress));
                self.head_in_time(request, progress).await
            }
            (asked, _) => asked,
        }
    }

    /// Waits for the head of the answer. The time runs only while the target is to move: not while a body is flowing
    /// to it, and not while the client keeps it waiting.
    async fn head_in_time(
        &self,
        mut request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let connection = capture_connection(&mut request);
        let mut response = self.client.request(request);
        let mut seen = 0;
        loop {
            if let Ok(done) = tokio::time::timeout(self.head_timeout, &mut response).await {
                let response = done.map_err(Failure::Client)?;
                if has_two_lengths(response.headers()) {
                    if let Some(connection) = &*connection.connection_metadata() {
                        connection.poison();
                    }
                    return Err(Failure::TwoLengths);
                }
                return Ok(response);
            }
            let frames = progress.frames.load(Ordering::Relaxed);
            if frames == seen && !progress.waits_for_client.load(Ordering::Relaxed) {
                return Err(Failure::Timeout);
            }
            seen = frames;
        }
    }
}

/// Turns the target's answer into one for the link.
fn accept(response: Response<hyper::body::Incoming>, sites: &Sites, asked: &str) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Failure::Switched.into_response();
    }
    let mut response = response.map(Body::app);
    strip(response.headers_mut());
    if let Some(location) = response
        .headers()
        .get(LOCATION)
        .and_then(|value| sites.location(value, asked))
    {
        response.headers_mut().insert(LOCATION, location);
        response.extensions_mut().insert(WithinTarget);
    }
    response
}

/// Passes the target's interim responses on, as many as the link takes; 100 and 101 stay on this hop.
fn pass_interims(request: &mut Request<RequestBody>, informer: Informer) {
    hyper::ext::on_informational(request, move |interim| {
        let mut fields = interim.headers().clone();
        strip(&mut fields);
        // Cookies are taken from the answer, and from nowhere else.
        fields.remove(SET_COOKIE);
        if let Err(error) = informer.send(interim.status(), &fields) {
            tracing::debug!(%error, "interim response not passed on");
        }
    });
}

/// How far a request body got, for the clock of the answer.
#[derive(Debug, Default)]
struct Progress {
    frames: AtomicU64,
    waits_for_client: AtomicBool,
}

struct RequestBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    progress: Arc<Progress>,
}

impl RequestBody {
    fn empty(progress: &Arc<Progress>) -> Self {
        let inner = Empty::new().map_err(|never: Infallible| match never {});
        Self {
            inner: inner.boxed_unsync(),
            progress: progress.clone(),
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.progress
            .waits_for_client
            .store(polled.is_pending(), Ordering::Relaxed);
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
