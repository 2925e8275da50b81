//! A web app behind a fixed address, reached over HTTP/1.1.

use std::{
    error::Error as _,
    io,
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
    HeaderMap, HeaderName, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, EXPECT, FORWARDED, HOST, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Body, HttpTarget,
    answer::{WithinTarget, refusal},
    site::Sites,
};
use crate::http::ResetCode;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the target may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Below the 5 s after which common app servers close theirs, so that a request
/// rarely meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Most octets of an answer held between socket and reader; also the largest head, as on the link.
const READ_BUFFER: usize = 64 * 1024;
/// The kernel's receive buffer of a connection to the target: without a bound it would read ahead by megabytes.
const SOCKET_BUFFER: usize = 256 * 1024;

/// Fields that concern one connection only (RFC 9110 7.6.1), and those by which a client could name another host or path
/// to an app that believes proxies. All of `x-forwarded-*` are dropped as well.
const NEVER_FORWARDED: [HeaderName; 18] = [
    CONNECTION,
    EXPECT,
    FORWARDED,
    HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-rewrite-url"),
];
const FORWARDED_PREFIX: &str = "x-forwarded-";

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
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = self.target.uri(path) else {
            return refusal(
                StatusCode::BAD_REQUEST,
                ResetCode::Malformed,
                "This path cannot be sent to the app.",
            );
        };
        let asked = uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        parts.uri = uri;
        parts.version = Version::HTTP_11;
        strip(&mut parts.headers);
        sites.translate(&mut parts.headers);
        let progress = Arc::new(Progress::default());
        let body = RequestBody {
            inner: body.map_err(Into::into).boxed_unsync(),
            progress: progress.clone(),
        };

        match self
            .head_in_time(Request::from_parts(parts, body), &progress)
            .await
        {
            Ok(response) => accept(response, sites, &asked),
            Err(failure) => failure.into_response(),
        }
    }

    /// Waits for the head of the answer. The time runs only while the target is to move: not while a body is flowing
    /// to it, and not while the client keeps it waiting.
    async fn head_in_time(
        &self,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let mut response = self.client.request(request);
        let mut seen = 0;
        loop {
            if let Ok(done) = tokio::time::timeout(self.head_timeout, &mut response).await {
                return done.map_err(Failure::Client);
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

/// Removes what must not cross, and what `Connection` names.
fn strip(fields: &mut HeaderMap) {
    let mut unwanted: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let forwarded = |name: &&HeaderName| name.as_str().starts_with(FORWARDED_PREFIX);
    unwanted.extend(fields.keys().filter(forwarded).cloned());
    for name in unwanted.iter().chain(&NEVER_FORWARDED) {
        fields.remove(name);
    }
}

enum Failure {
    Client(hyper_util::client::legacy::Error),
    Timeout,
    Switched,
}

impl Failure {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Timeout => refusal(
                StatusCode::GATEWAY_TIMEOUT,
                ResetCode::Timeout,
                "The device is connected, but the app on it did not answer in time.",
            ),
            Self::Switched => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but the app on it changed to a protocol that nobody asked for.",
            ),
            Self::Client(error) if error.is_connect() => {
                let cause = root(&error);
                tracing::debug!(%error, cause, "target unreachable");
                let text = format!(
                    "The device is connected, but the app on it cannot be reached: {cause}."
                );
                refusal(StatusCode::BAD_GATEWAY, ResetCode::Unreachable, text)
            }
            Self::Client(error) => {
                tracing::debug!(%error, cause = root(&error), "target broke off");
                let text = format!(
                    "The device is connected, but the app on it broke off: {}.",
                    root(&error)
                );
                refusal(StatusCode::BAD_GATEWAY, ResetCode::Broken, text)
            }
        }
    }
}

/// The innermost reason in plain words, without addresses of the device's own network.
fn root(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause = error.source();
    let mut text = "no answer".to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    return "connection refused. Is it running?".to_owned();
                }
                io::ErrorKind::TimedOut => return "no answer. Is it running?".to_owned(),
                _ => {}
            }
            if let Some(reason) = distrust(error) {
                return format!(
                    "its certificate is not trusted ({reason}); the owner can name it with --target-cert"
                );
            }
        }
        cause = error.source();
    }
    text
}

/// What is wrong with a certificate; IO errors carry it, and one another.
fn distrust(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    match inner.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(reason)) => Some(reason.to_string()),
        _ => distrust(inner.downcast_ref()?),
    }
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
