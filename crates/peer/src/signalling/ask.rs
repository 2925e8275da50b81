//! Questions to the server by HTTP: `GET {path}{key}/…`.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use tokio::time::timeout;
use url::Url;

use super::dial::dial;
use super::{Registration, SignallingError};
use crate::net::{self, Roots};

/// For connection, question and answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks for `what` below the server's key, with the id and the token where `proven`; the status, and a body of at most `limit` octets.
pub(super) async fn ask(
    registration: &Registration,
    roots: &Roots,
    what: &str,
    proven: bool,
    limit: usize,
) -> Result<(StatusCode, Bytes), SignallingError> {
    timeout(ANSWER, get(registration, roots, what, proven, limit))
        .await
        .unwrap_or_else(|_| Err(SignallingError::Protocol("it does not answer".into())))
}

async fn get(
    registration: &Registration,
    roots: &Roots,
    what: &str,
    proven: bool,
    limit: usize,
) -> Result<(StatusCode, Bytes), SignallingError> {
    let url = question(registration, what, proven)?;
    let stream = dial(&registration.server, roots).await?;
    let mut request = net::request(&url);
    if proven {
        let bearer = format!("Bearer {}", registration.token.expose());
        request = request.header(header::AUTHORIZATION, bearer);
    }
    let request = request
        .body(Bytes::new())
        .map_err(|_| SignallingError::Url(registration.server.to_string()))?;
    let answer = net::exchange(stream, request, limit)
        .await
        .map_err(SignallingError::Lost)?;
    Ok((answer.status(), answer.into_body()))
}

fn question(registration: &Registration, what: &str, proven: bool) -> Result<Url, SignallingError> {
    let mut url = registration.server.clone();
    url.path_segments_mut()
        .map_err(|()| SignallingError::Url(registration.server.to_string()))?
        .pop_if_empty()
        .push(&registration.key)
        .push(what);
    url.set_fragment(None);
    url.set_query(None);
    if proven {
        url.query_pairs_mut()
            .append_pair("id", registration.id.as_str());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use peerage_proto::wire::id::{PeerId, Token};

    use super::*;

    #[test]
    fn the_question_is_asked_below_the_servers_path_and_without_the_token() {
        let registration = Registration {
            server: Url::parse("https://example.org:8443/app/?x#y").expect("a URL"),
            key: "peer js".into(),
            id: PeerId::parse("a b&c").expect("an id"),
            token: Token::parse("secret").expect("a token"),
            signing_key: None,
        };
        let asked = |what, proven| {
            question(&registration, what, proven)
                .expect("fine")
                .to_string()
        };
        assert_eq!(
            asked("ice", true),
            "https://example.org:8443/app/peer%20js/ice?id=a+b%26c"
        );
        assert_eq!(
            asked("peers", false),
            "https://example.org:8443/app/peer%20js/peers"
        );
    }
}
