//! The STUN and TURN servers that the signalling server tells who is registered: `GET {path}{key}/ice?id=`.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use peerage_proto::wire::ice_servers::{IceServers, MAX_ANSWER};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use super::dial::dial;
use super::{Registration, SignallingError};
use crate::net::Roots;

/// For connection, question and answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks. `None` when the server does not know the question: an older one, or a stock PeerJS server.
pub(crate) async fn ice_servers(
    registration: &Registration,
    roots: &Roots,
) -> Result<Option<IceServers>, SignallingError> {
    timeout(ANSWER, ask(registration, roots))
        .await
        .unwrap_or_else(|_| Err(SignallingError::Protocol("it does not answer".into())))
}

async fn ask(
    registration: &Registration,
    roots: &Roots,
) -> Result<Option<IceServers>, SignallingError> {
    let url = question(registration)?;
    let stream = dial(&registration.server, roots).await?;
    let lost = |error: hyper::Error| SignallingError::Lost(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(
            header::HOST,
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        )
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", registration.token.expose()),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|_| SignallingError::Url(registration.server.to_string()))?;
    let answer = sender.send_request(request).await.map_err(lost)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        status => return Err(SignallingError::Protocol(format!("it answers {status}"))),
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| SignallingError::Lost(error.to_string()))?;
    IceServers::parse(&body.to_bytes())
        .map(Some)
        .map_err(|error| SignallingError::Protocol(error.to_string()))
}

fn question(registration: &Registration) -> Result<Url, SignallingError> {
    let mut url = registration.server.clone();
    url.path_segments_mut()
        .map_err(|()| SignallingError::Url(registration.server.to_string()))?
        .pop_if_empty()
        .push(&registration.key)
        .push("ice");
    url.set_fragment(None);
    url.query_pairs_mut()
        .clear()
        .append_pair("id", registration.id.as_str());
    Ok(url)
}

#[cfg(test)]
mod tests {
    use peerage_proto::wire::id::{PeerId, Token};

    use super::*;

    #[test]
    fn the_question_is_asked_below_the_servers_path_and_without_the_token() {
        let url = question(&Registration {
            server: Url::parse("https://example.org:8443/app/?x#y").expect("a URL"),
            key: "peer js".into(),
            id: PeerId::parse("a b&c").expect("an id"),
            token: Token::parse("secret").expect("a token"),
            signing_key: None,
        })
        .expect("fine");
        assert_eq!(
            url.as_str(),
            "https://example.org:8443/app/peer%20js/ice?id=a+b%26c"
        );
    }
}
