//! The hub's signalling: `POST offer`, `candidate` and `leave`, below the server's URL.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use peerage_proto::wire::room::{Name, RoomName};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Position, Url};

use super::RoomError;
use crate::net::{self, Roots, Stream};

/// For a word that nobody waits for long: a goodbye, a candidate.
const ASIDE: Duration = Duration::from_secs(2);
/// Most octets of an answer.
const MAX_ANSWER: usize = 64 * 1024;
/// Characters of a refusal that are passed on.
const MAX_WORDS: usize = 300;
/// Longest pause that a busy server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Where the hub is, and what we are called there.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) url: Url,
    pub(super) roots: Roots,
    pub(super) room: RoomName,
    pub(super) name: Name,
}

#[derive(Serialize)]
struct Asked<'a> {
    room: &'a str,
    peer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Description<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<Candidate<'a>>,
}

#[derive(Serialize)]
struct Description<'a> {
    sdp: &'a str,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    candidate: &'a str,
    sdp_mid: &'static str,
    sdp_m_line_index: u8,
}

#[derive(Deserialize)]
struct Answered {
    answer: Answer,
}

#[derive(Deserialize)]
struct Answer {
    sdp: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Server {
    /// Reads the URL of a server; its path, if any, is where the hub's own paths begin.
    pub(super) fn url(text: &str) -> Result<Url, RoomError> {
        let bad = || RoomError::Url(text.to_owned());
        let mut url = Url::parse(text).map_err(|_| bad())?;
        let is_fine = ["http", "https"].contains(&url.scheme())
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_fine {
            return Err(bad());
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }

    /// Brings the offer; the answer's description. Waits as long as its caller.
    pub(super) async fn offer(&self, sdp: &str) -> Result<String, RoomError> {
        let offer = Description {
            sdp,
            r#type: "offer",
        };
        let (status, head, body) = self.ask("offer", Some(offer), None).await?;
        if status == StatusCode::OK {
            let answered: Answered = serde_json::from_slice(&body)
                .map_err(|_| RoomError::Unreachable("what answers is no hub of rooms".into()))?;
            return Ok(answered.answer.sdp);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RoomError::Busy(retry_after(&head)));
        }
        let error = match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => refused.error,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        Err(RoomError::Refused {
            status: status.as_u16(),
            error: error.chars().take(MAX_WORDS).collect(),
        })
    }

    /// Tells of one more candidate; whether it arrives decides nothing.
    pub(super) async fn candidate(&self, line: &str) {
        let candidate = Candidate {
            candidate: line,
            sdp_mid: "0",
            sdp_m_line_index: 0,
        };
        self.aside("candidate", Some(candidate)).await;
    }

    /// Says goodbye where the channel cannot.
    pub(super) async fn leave(&self) {
        self.aside("leave", None).await;
    }

    async fn aside(&self, what: &str, candidate: Option<Candidate<'_>>) {
        match timeout(ASIDE, self.ask(what, None, candidate)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, what, "not told to the server"),
            Err(_) => tracing::debug!(what, "not told to the server in time"),
        }
    }

    async fn ask(
        &self,
        what: &str,
        offer: Option<Description<'_>>,
        candidate: Option<Candidate<'_>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), RoomError> {
        let unreachable = |error: String| RoomError::Unreachable(error);
        let asked = Asked {
            room: self.room.as_str(),
            peer_id: self.name.as_str(),
            offer,
            candidate,
        };
        let asked = serde_json::to_vec(&asked).map_err(|error| unreachable(error.to_string()))?;
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(what);
        }
        let stream = self.dial().await?;
        let lost = |error: hyper::Error| unreachable(error.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(lost)?;
        // Ends with this function.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::post(&url[Position::BeforePath..])
            .header(
                header::HOST,
                &url[Position::BeforeHost..Position::AfterPort],
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(asked)))
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        Ok((head.status, head.headers, body.to_bytes()))
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, RoomError> {
        let bad = || RoomError::Url(self.url.to_string());
        let host = self.url.host().ok_or_else(bad)?;
        let port = self.url.port_or_known_default().ok_or_else(bad)?;
        let unreachable = |error: io::Error| RoomError::Unreachable(error.to_string());
        let stream = net::connect(&host, port).await.map_err(unreachable)?;
        if self.url.scheme() == "http" {
            return Ok(Box::new(stream));
        }
        match net::secure(stream, &host, &self.roots).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(RoomError::Tls(error.to_string())),
        }
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3).
fn retry_after(head: &HeaderMap) -> Option<Duration> {
    let seconds = head.get(header::RETRY_AFTER)?.to_str().ok()?;
    let pause = Duration::from_secs(seconds.parse().ok()?);
    Some(pause.min(MAX_PAUSE))
}
