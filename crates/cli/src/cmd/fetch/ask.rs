//! The request: from arguments to method, path, fields and body.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use peerage_proto::wire::link_url::Link;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::Fetch;
use crate::exit::{Exit, Failure};

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Octets read from a file at once.
const CHUNK: usize = 64 * 1024;

/// What a path cannot hold as it is. Escapes that are there already stay.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// A header field of the command line.
#[derive(Debug, Clone)]
pub(crate) struct Field(HeaderName, HeaderValue);

pub(super) fn parse_field(text: &str) -> Result<Field, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a field is a name, a colon and a value, such as 'accept: text/html'")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| "this is no name of a field")?;
    if name == http::header::HOST {
        return Err("the host is the device owner's choice, it cannot be named here".to_owned());
    }
    let value = HeaderValue::try_from(value.trim())
        .map_err(|_| "the value has characters that no field may have")?;
    Ok(Field(name, value))
}

impl Fetch {
    pub(super) async fn request(&self, link: &Link) -> Result<Request<Body>, Failure> {
        let usage = |text: &str| Failure::new(Exit::Usage, text);
        let method = match (&self.method, &self.data) {
            (Some(method), _) => {
                Method::try_from(method.as_str()).map_err(|_| usage("this is no HTTP method"))?
            }
            (None, Some(_)) => Method::POST,
            (None, None) if self.head => Method::HEAD,
            (None, None) => Method::GET,
        };
        let is_address = |path: &str| path.starts_with("http://") || path.starts_with("https://");
        if self.path.as_deref().is_some_and(is_address) {
            return Err(usage(
                "PATH is what to get from the device, such as /status: a link reaches no other address",
            ));
        }
        let path = origin_form(self.path.as_deref().unwrap_or(&link.path));
        let (length, body) = match &self.data {
            Some(data) => read(data).await?,
            None => (
                None,
                Empty::new().map_err(|never| match never {}).boxed_unsync(),
            ),
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| usage("this is no path that HTTP can carry"))?;
        let fields = request.headers_mut();
        if let Some(length) = length {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        for Field(name, value) in &self.fields {
            fields.append(name, value.clone());
        }
        if self.data.is_some() && !fields.contains_key(CONTENT_TYPE) {
            // As curl has it, so that its examples work here.
            fields.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
        }
        Ok(request)
    }
}

/// What is sent for `--data`, and its length where that is known.
async fn read(data: &str) -> Result<(Option<u64>, Body), Failure> {
    let Some(name) = data.strip_prefix('@') else {
        let body = Full::from(data.to_owned())
            .map_err(|never| match never {})
            .boxed_unsync();
        return Ok((None, body));
    };
    if name == "-" {
        return Ok((None, stream(tokio::io::stdin())));
    }
    let refuse = |error| Failure::new(Exit::Usage, format_args!("cannot read {name}: {error}"));
    let file = tokio::fs::File::open(name).await.map_err(refuse)?;
    let meta = file.metadata().await.map_err(refuse)?;
    let length = meta.is_file().then_some(meta.len());
    Ok((length, stream(file)))
}

fn stream(source: impl AsyncRead + Send + 'static) -> Body {
    let octets = ReaderStream::with_capacity(source, CHUNK);
    let frames = futures_util::StreamExt::map(octets, |octets| octets.map(Frame::data));
    StreamBody::new(frames).boxed_unsync()
}

/// The path as it goes over the link: from `/` on, without a fragment, escaped where HTTP asks for it.
fn origin_form(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let path = utf8_percent_encode(path, ENCODED).to_string();
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_fit_for_http_and_changed_no_further() {
        assert_eq!(origin_form("/a?b=c&d=%20#e"), "/a?b=c&d=%20");
        assert_eq!(origin_form("a b/ü"), "/a%20b/%C3%BC");
        assert_eq!(origin_form(""), "/");
        assert_eq!(
            origin_form("/../%2e%2e/x"),
            "/../%2e%2e/x",
            "what climbs is refused by the device, not hidden here"
        );
    }

    #[test]
    fn a_field_needs_a_name_and_never_names_the_host() {
        assert!(parse_field("accept: text/html").is_ok());
        assert!(parse_field("x-empty:").is_ok());
        for wrong in ["accept", ": x", "a b: c", "host: evil.example", "x: a\nb"] {
            assert!(parse_field(wrong).is_err(), "{wrong}");
        }
    }
}
