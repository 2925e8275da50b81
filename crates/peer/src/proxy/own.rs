//! Paths of the device's own: at and below `/__peerage`. Nothing of them ever reaches the target.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use peerage_proto::wire::cookie::{Changes, Listing};

use super::{
    Body,
    answer::{plain, refusal},
    cookies::{CallersCookies, wants_jar},
};
use crate::http::ResetCode;

const COOKIES: &str = "/__peerage/cookies";
/// Most octets of a request's body.
const MAX_BODY: usize = 64 * 1024;
/// How long a body of this size may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers a request for a path of the device's own.
pub(super) async fn answer<B>(
    request: Request<B>,
    caller: Option<&CallersCookies>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (COOKIES, Some(caller)) = (request.uri().path(), caller) else {
        return plain(StatusCode::NOT_FOUND, "The device has nothing here.");
    };
    if !wants_jar(request.headers()) {
        return malformed("The field `peerage-cookies: jar` is missing.");
    }
    match *request.method() {
        Method::GET => json(&caller.list()),
        Method::POST => match changes(request.into_body()).await {
            Ok(changes) => json(&caller.script(&changes)),
            Err(response) => response,
        },
        _ => {
            let mut response = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "Cookies are read and changed here.",
            );
            let methods = HeaderValue::from_static("GET, POST");
            response.headers_mut().insert(ALLOW, methods);
            response
        }
    }
}

async fn changes<B>(body: B) -> Result<Changes, Response<Body>>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let body = std::pin::pin!(Limited::new(body, MAX_BODY).collect());
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                ResetCode::TooLarge,
                "Too many changes at once.",
            ));
        }
        Ok(Err(_)) => return Err(malformed("The body broke off.")),
        Err(_) => {
            return Err(refusal(
                StatusCode::REQUEST_TIMEOUT,
                ResetCode::Timeout,
                "The body did not come.",
            ));
        }
    };
    Changes::parse(&body).map_err(|error| malformed(&format!("The body is {error}.")))
}

fn malformed(text: &str) -> Response<Body> {
    refusal(StatusCode::BAD_REQUEST, ResetCode::Malformed, text)
}

fn json(listing: &Listing) -> Response<Body> {
    // Texts and numbers have no reason to fail.
    let text = serde_json::to_string(listing).unwrap_or_default();
    let mut response = Response::new(Body::text(text));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
