//! The hub's signalling: `POST offer`, `candidate` and `leave`, below the server's URL.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use peerage_proto::wire::room::{Name, RoomName, Token};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use super::RoomError;
use crate::net::{self, DialError, Roots};

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
    /// Proves a goodbye.
    pub(super) token: Token,
}

#[derive(Default, Serialize)]
struct Asked<'a> {
    room: &'a str,
    peer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Description<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
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
        let asked = Asked {
            offer: Some(offer),
            ..Asked::default()
        };
        let answer = self.ask("offer", asked).await?;
        let (status, body) = (answer.status(), answer.body());
        if status == StatusCode::OK {
            let answered: Answered = serde_json::from_slice(body)
                .map_err(|_| RoomError::Unreachable("what answers is no hub of rooms".into()))?;
            return Ok(answered.answer.sdp);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RoomError::Busy(retry_after(answer.headers())));
        }
        let error = match serde_json::from_slice::<Refused>(body) {
            Ok(refused) => refused.error,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
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
        let asked = Asked {
            candidate: Some(candidate),
            ..Asked::default()
        };
        self.aside("candidate", asked).await;
    }

    /// Says goodbye where the channel cannot.
    pub(super) async fn leave(&self) {
        let octets = self.token.expose().iter();
        let asked = Asked {
            token: Some(octets.map(|octet| format!("{octet:02x}")).collect()),
            ..Asked::default()
        };
        self.aside("leave", asked).await;
    }

    async fn aside(&self, what: &str, asked: Asked<'_>) {
        match timeout(ASIDE, self.ask(what, asked)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, what, "not told to the server"),
            Err(_) => tracing::debug!(what, "not told to the server in time"),
        }
    }

    async fn ask<'a>(
        &'a self,
        what: &str,
        mut asked: Asked<'a>,
    ) -> Result<Response<Bytes>, RoomError> {
        let unreachable = |error: &dyn ToString| RoomError::Unreachable(error.to_string());
        (asked.room, asked.peer_id) = (self.room.as_str(), self.name.as_str());
        let asked = serde_json::to_vec(&asked).map_err(|error| unreachable(&error))?;
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(what);
        }
        let request = net::request(&url)
            .method(Method::POST)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(asked))
            .map_err(|error| unreachable(&error))?;
        let stream = net::dial(&url, &self.roots).await;
        let stream = stream.map_err(|error| match error {
            DialError::Url => RoomError::Url(self.url.to_string()),
            DialError::Unreachable(error) => unreachable(&error),
            DialError::Tls(error) => RoomError::Tls(error.to_string()),
        })?;
        net::exchange(stream, request, MAX_ANSWER)
            .await
            .map_err(RoomError::Unreachable)
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3).
fn retry_after(head: &HeaderMap) -> Option<Duration> {
    let seconds = head.get(header::RETRY_AFTER)?.to_str().ok()?;
    let pause = Duration::from_secs(seconds.parse().ok()?);
    Some(pause.min(MAX_PAUSE))
}
