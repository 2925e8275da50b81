//! A web app behind a fixed address, reached over HTTP/1.1.

use std::{
    convert::Infallible,
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
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderValue, LOCATION,
        SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
        TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::upgrade::Upgraded;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};

use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::{
    Body, HttpTarget,
    answer::{WithinTarget, refusal},
    site::Sites,
};
use crate::http::{HOP_OF_WEBSOCKET, Informer, ResetCode, is_offered};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the target may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Below the 5 s after which common app servers close theirs, so that a request
/// rarely meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Most octets of an answer held between socket and reader; also the largest head, as on the link.
const READ_BUFFER: usize = 64 * 1024;
/// The kernel's buffers of a connection to the target: without a bound it would read ahead by megabytes, and take as much
/// of a caller before a target that does not read is noticed.
const SOCKET_BUFFER: usize = 256 * 1024;
/// After this long without an octet the kernel asks whether the target's host is still there, and gives a connection up
/// that nobody vouches for: a WebSocket may be idle for days, and no pings of ours should show up at the app.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

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

    /// Opens a WebSocket at the target: the head of its response (101) and the connection. An answer that opens none is
    /// the error.
    pub(super) async fn open_socket(
        &self,
        mut parts: Parts,
        sites: &Sites,
    ) -> Result<(HeaderMap, Upgraded), Box<Response<Body>>> {
        let asked = self.aim(&mut parts, sites)?;
        let key = generate_key();
        let fields = &mut parts.headers;
        for name in HOP_OF_WEBSOCKET.iter().chain(&[CONTENT_LENGTH]) {
            fields.remove(name);
        }
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::try_from(&key) {
            fields.insert(SEC_WEBSOCKET_KEY, key);
        }
        let offered = fields.clone();
        let progress = Arc::default();
        let body = RequestBody::empty(&progress);
        let request = Request::from_parts(parts, body);
        let mut response = match self.ask(request, &progress).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => response,
            Ok(response) => return Err(Box::new(accept(response, sites, &asked))),
            Err(failure) => return Err(Box::new(failure.into_response())),
        };
        let upgraded = hyper::upgrade::on(&mut response);
        let mut fields = std::mem::take(response.headers_mut());
        if !is_websocket(&fields, &key) || !is_offered(&offered, &fields) {
            return Err(Box::new(Failure::Handshake.into_response()));
        }
        let upgraded = upgraded.await.map_err(|error| {
            tracing::debug!(%error, "target broke off as it changed to WebSocket");
            Box::new(Failure::Handshake.into_response())
        })?;
        strip(&mut fields);
        for name in &HOP_OF_WEBSOCKET {
            fields.remove(name);
        }
        Ok((fields, upgraded))
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

/// Two answers to where an answer ends: RFC 9112 section 6.3 has it that this "ought to be handled as an error".
fn has_two_lengths(fields: &HeaderMap) -> bool {
    fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH)
}

/// Makes the stated length what the body says, or drops it. hyper would send whatever stands there, and a target that
/// waits for octets which do not come would take them from the next request on the connection.
fn restate_length(fields: &mut HeaderMap, body: &impl http_body::Body) {
    let mut stated = fields.get_all(CONTENT_LENGTH).iter();
    let stated = match (stated.next(), stated.next()) {
        (Some(length), None) => length.to_str().ok().and_then(digits),
        _ => None,
    };
    fields.remove(CONTENT_LENGTH);
    let ended = body.is_end_stream().then_some(0);
    let measured = ended.or_else(|| body.size_hint().exact());
    if let Some(length) = stated.map(|stated| measured.unwrap_or(stated)) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

/// Passes the target's interim responses on, as many as the link takes; 100 and 101 stay on this hop.
fn pass_interims(request: &mut Request<RequestBody>, informer: Informer) {
    hyper::ext::on_informational(request, move |interim| {
        let mut fields = interim.headers().clone();
        strip(&mut fields);
        if interim.status().as_u16() > 101
            && let Err(error) = informer.send(interim.status(), &fields)
        {
            tracing::debug!(%error, "interim response not passed on");
        }
    });
}

/// Whether the target really changed to WebSocket (RFC 6455 section 4.1), without an extension that nobody asked for.
fn is_websocket(fields: &HeaderMap, key: &str) -> bool {
    let names = |name: HeaderName, expected: &str| {
        let values = fields.get_all(name).into_iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|token| token.trim().eq_ignore_ascii_case(expected))
    };
    let accept = fields.get(SEC_WEBSOCKET_ACCEPT);
    names(UPGRADE, "websocket")
        && names(CONNECTION, "upgrade")
        && accept.is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()))
        && !fields.contains_key(SEC_WEBSOCKET_EXTENSIONS)
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
    Handshake,
    TwoLengths,
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
            Self::Handshake => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but what the app on it opened is no WebSocket that was asked for.",
            ),
            Self::TwoLengths => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but the app on it stated two lengths for one answer.",
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

/// Whether a connection ended, in good order or not, before the head of an answer was complete.
fn is_closed(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
            return matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            );
        }
        cause = error.source();
    }
    false
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
