//! The same for services in any language: what happens is POSTed to them, signed; and they may have their word in what is relayed.

use std::error::Error;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::counts::Counts;
use super::handlers::{Draft, Happening, Moderator, Wants};
use super::message::{Audience, Data, HostChange, Incoming, Left, Presence, Verdict};
use super::{HubError, Webhook};

/// Header with the time and the signature.
const SIGNATURE: &str = "peerage-signature";
/// Queues, by rooms: a room's happenings stay in order, and others need not wait for them.
const LANES: u64 = 4;
/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between the three tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Octets of an answer: a message in place of another.
const ANSWER: usize = 512 * 1024;

/// The service, and the connections to it.
#[derive(Clone)]
pub(super) struct Service(Arc<Inner>);

struct Inner {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    webhook: Webhook,
    counts: Arc<Counts>,
    /// What is wrong with it has been said: who speaks in a room must not fill the log.
    has_failed: AtomicBool,
}

/// What a request says.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    event: &'static str,
    /// Milliseconds since 1970.
    time: u64,
    /// Grows with everything that happens in a room.
    order: u64,
    room: &'a str,
    peer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a [Arc<str>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    moderate: bool,
}

impl Service {
    pub(super) fn new(webhook: Webhook, counts: Arc<Counts>) -> Result<Self, HubError> {
        let mut roots = RootCertStore::empty();
        if webhook.url.uri().scheme_str() == Some("https") {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HubError::Webhook(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(PATIENCE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self(Arc::new(Inner {
            client,
            webhook,
            counts,
            has_failed: AtomicBool::new(false),
        })))
    }

    /// What tells it of everything.
    pub(super) fn handlers(&self) -> impl Iterator<Item = Draft> {
        (0..LANES).map(|lane| {
            let service = self.clone();
            Draft::new(Wants::Part(lane, LANES), move |happening| {
                let service = service.clone();
                Some(async move { service.tell(&happening).await })
            })
        })
    }

    /// What asks it about messages.
    pub(super) fn moderator(&self) -> Option<Moderator> {
        let service = self.clone();
        let asks = self.0.webhook.moderate;
        asks.then(|| {
            Moderator::new(move |incoming| {
                let service = service.clone();
                async move { service.ask(&incoming).await }
            })
        })
    }

    async fn tell(&self, happening: &Happening) {
        let body = told(happening, false);
        let mut pauses = PAUSES.into_iter();
        loop {
            let failed = match timeout(PATIENCE, self.post(&body)).await {
                Ok(Ok((status, _))) if status.is_success() => return,
                // It was understood, and is not wanted.
                Ok(Ok((status, _))) if !is_passing(status) => {
                    self.refused(status);
                    break;
                }
                Ok(Ok((status, _))) => status.to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => {
                    self.failed(&failed, "the webhook cannot be told");
                    break;
                }
            }
        }
        Counts::add(&self.0.counts.untold);
    }

    /// Once: who spoke waits for it.
    async fn ask(&self, incoming: &Incoming) -> Option<Verdict> {
        let body = told(&Happening::Message(incoming.clone()), true);
        let (status, answer) = self
            .post(&body)
            .await
            .inspect_err(|error| debug!(%error, "the webhook cannot be asked"))
            .ok()?;
        if !status.is_success() {
            if is_passing(status) {
                debug!(%status, "the webhook does not answer");
            } else {
                self.refused(status);
            }
            return None;
        }
        verdict(&answer)
            .inspect_err(|error| debug!(%error, "the webhook's answer has another form"))
            .ok()
    }

    fn refused(&self, status: StatusCode) {
        self.failed(
            &status,
            "the webhook refuses a request; does it have the same secret, and is this its path?",
        );
    }

    /// Warns the first time, and of nothing that comes later: whoever speaks in a room may have it fail now and then.
    fn failed(&self, error: &dyn Display, what: &str) {
        if self.0.has_failed.swap(true, Ordering::Relaxed) {
            debug!(%error, "{what}");
        } else {
            warn!(%error, "{what}. Further failures are only counted");
        }
    }

    async fn post(
        &self,
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
        let Inner {
            client, webhook, ..
        } = &*self.0;
        let signature = sign(webhook.secret.expose(), now().as_secs(), body);
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = webhook.url.uri().clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("peerage/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(SIGNATURE, HeaderValue::from_str(&signature)?);
        let response = client.request(request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER).collect().await?;
        Ok((status, answer.to_bytes()))
    }
}

/// Whether another try may go better.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// `t=<seconds>,v1=<HMAC-SHA-256 of "<seconds>.<body>", hex>`
fn sign(secret: &str, seconds: u64, body: &[u8]) -> String {
    // Any length is a key of this MAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let mut signature = format!("t={seconds},v1=");
    for octet in mac.finalize().into_bytes() {
        // Strings take everything.
        let _ = write!(signature, "{octet:02x}");
    }
    signature
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn told(happening: &Happening, moderate: bool) -> Bytes {
    let mut told = Told {
        id: String::new(),
        event: "",
        time: now().as_millis() as u64,
        order: 0,
        room: "",
        peer_id: None,
        to: None,
        name: None,
        message: None,
        bytes: None,
        metadata: None,
        reason: None,
        moderate,
    };
    match happening {
        Happening::Joined(who) => about(&mut told, "joined", who),
        Happening::Left(who, why) => {
            about(&mut told, "left", who);
            told.reason = Some(match why {
                Left::Left => "left",
                Left::Lost => "lost",
                Left::Kicked => "kicked",
                Left::Slow => "slow",
                Left::Protocol => "protocol",
                Left::Rate => "rate",
            });
        }
        Happening::Host(HostChange { room, host, order }) => {
            (told.event, told.room, told.peer_id) = ("host", room, host.as_deref());
            told.order = *order;
        }
        Happening::Message(incoming) => {
            (told.event, told.room) = ("message", &incoming.room);
            told.order = incoming.order;
            told.peer_id = Some(&*incoming.from);
            told.name = incoming.event.as_deref();
            told.to = match &incoming.to {
                Audience::All => None,
                Audience::Members(names) => Some(names),
                Audience::Server => Some(&[]),
            };
            match &incoming.data {
                Data::Json(json) => told.message = serde_json::from_str(json.raw()).ok(),
                Data::Bytes(bytes) => told.bytes = Some(STANDARD.encode(bytes)),
            }
        }
    }
    told.id = id(told.room, told.order);
    // Texts, numbers and what is JSON already: nothing that has no form.
    serde_json::to_vec(&told).unwrap_or_default().into()
}

/// The same whenever the service hears of the same: asked, told again, or told after all.
fn id(room: &str, order: u64) -> String {
    let digest = Sha256::new()
        .chain_update(order.to_be_bytes())
        .chain_update(room)
        .finalize();
    let mut id = String::new();
    for octet in &digest[..16] {
        // As above.
        let _ = write!(id, "{octet:02x}");
    }
    id
}

fn about<'a>(told: &mut Told<'a>, event: &'static str, who: &'a Presence) {
    (told.event, told.room, told.order) = (event, &who.room, who.order);
    told.peer_id = Some(&*who.name);
    let metadata = who.metadata.as_ref();
    told.metadata = metadata.and_then(|json| serde_json::from_str(json.raw()).ok());
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    action: Action,
    message: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Relay,
    Drop,
    Replace,
}

/// An answer that says nothing has nothing against it.
fn verdict(answer: &[u8]) -> Result<Verdict, serde_json::Error> {
    if answer.trim_ascii().is_empty() {
        return Ok(Verdict::Relay);
    }
    let answer: Answer = serde_json::from_slice(answer)?;
    Ok(match answer.action {
        Action::Relay => Verdict::Relay,
        Action::Drop => Verdict::Drop,
        Action::Replace => Verdict::Replace(answer.message.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::message::Json;
    use super::*;

    #[test]
    fn signatures_are_those_of_other_implementations() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(
            sign("0123456789abcdef", 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
        );
    }

    #[test]
    fn an_answer_relays_drops_or_replaces_and_saying_nothing_relays() {
        for (answer, expected) in [
            ("", Verdict::Relay),
            ("{}", Verdict::Relay),
            (r#"{"action":"relay"}"#, Verdict::Relay),
            (r#"{"action":"drop"}"#, Verdict::Drop),
            (
                r#"{"action":"replace","message":[1]}"#,
                Verdict::Replace(json!([1])),
            ),
        ] {
            assert_eq!(verdict(answer.as_bytes()).unwrap(), expected, "{answer}");
        }
        for answer in ["ok", "[]", r#"{"action":"ban"}"#] {
            assert!(verdict(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_request_tells_a_message_as_it_was_written_and_bytes_as_base64() {
        let said = |data| {
            let incoming = Incoming {
                room: "r".into(),
                from: "ann".into(),
                to: Audience::Members(vec!["ben".into()]),
                event: Some("draw".into()),
                data,
                order: 1,
                asked: false,
            };
            let body = told(&Happening::Message(incoming), true);
            String::from_utf8(body.to_vec()).unwrap()
        };
        let text = peerage_proto::wire::room::Json::parse("[1.0, 2]".into()).unwrap();
        let json = said(Data::Json(Json::new(text)));
        let end = r#""room":"r","peer_id":"ann","to":["ben"],"name":"draw","message":[1.0, 2],"moderate":true}"#;
        assert!(json.ends_with(end), "{json}");
        let bytes = said(Data::Bytes(Bytes::from_static(&[0, 255])));
        assert!(bytes.contains(r#""bytes":"AP8=""#), "{bytes}");
    }
}
