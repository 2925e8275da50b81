//! The framing of old clients (peerjs-python's `http_proxy`, peerfetch), on a channel with the label `http-proxy`.
//!
//! ```text
//! client -> proxy   text    {"url": "http://localhost:8778/api/status?", "method": "GET"}
//! proxy  -> client  text    {"status": 202}                                   at once, and every second: still working
//!                   text    {"status": 200, "content-type": "text/plain", "content-length": 5}
//!                   binary  the whole body, unless the status is 204
//! ```
//!
//! There are no ids: answers are told apart by their order alone. The proxy's texts have the spaces that Python's `json.dumps` writes.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The label of the channel.
pub const LABEL: &str = "http-proxy";
/// Octets of the largest body: it travels as one message, and a browser takes none that is larger.
pub const MAX_BODY: usize = 262_144;
/// Octets of the longest `content-type` that is passed on.
pub const MAX_CONTENT_TYPE: usize = 1_024;
/// Says that the request is being worked on.
pub const KEEP_ALIVE: &str = r#"{"status": 202}"#;
/// The header of the answer to a ping, and its body: a text, unlike any other.
pub const PONG: [&str; 2] = [r#"{"status": 200}"#, "pong"];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether the proxy is there.
    Ping,
    /// Something of the target.
    Request(Request),
}

/// A request for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Path and query, origin-form and escaped. Whether it climbs above the target's root is not looked at here.
    pub path: String,
    /// The body, and of which type it is. [`Method::Get`] has none.
    pub body: Option<Body>,
}

/// The methods of the old clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// PUT
    Put,
    /// POST
    Post,
}

/// What goes to the target with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The member `json`, character by character as the client wrote it.
    Json(String),
    /// The member `data`.
    Text(String),
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The status.
    pub status: u16,
    /// The field `content-type`; none is written as the text `None`.
    pub content_type: Option<&'a str>,
    /// Octets of the body.
    pub content_length: usize,
}

/// A message that is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No JSON object with members of the right types, or one of them twice.
    #[error("a request is one text message: a JSON object with the texts url and method")]
    Malformed,
    /// Another method.
    #[error("the method is not GET, PUT or POST")]
    Method,
    /// The address has no path that could be asked for.
    #[error("url is not a web address: it begins with http://, https:// or /")]
    Url,
    /// Two bodies.
    #[error("json and data exclude one another")]
    Bodies,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    json: Option<&'a RawValue>,
    #[serde(default)]
    data: Option<String>,
}

impl Ask {
    /// Reads a text message. Members that are not known here are skipped.
    ///
    /// # Errors
    /// See [`AskError`]; its texts are meant for the client.
    pub fn parse(text: &str) -> Result<Self, AskError> {
        let members: Members<'_> = serde_json::from_str(text).map_err(|_| AskError::Malformed)?;
        if members.url.starts_with("ping") {
            return Ok(Self::Ping);
        }
        let method = match members.method.as_deref() {
            None | Some("GET") => Method::Get,
            Some("PUT") => Method::Put,
            Some("POST") => Method::Post,
            Some(_) => return Err(AskError::Method),
        };
        let path = path(&members.url).ok_or(AskError::Url)?;
        // A null is what clients write for nothing; it counts as no member.
        let body = match (members.json, members.data) {
            _ if method == Method::Get => None,
            (Some(_), Some(_)) => return Err(AskError::Bodies),
            (Some(json), None) => Some(Body::Json(json.get().to_owned())),
            (None, Some(data)) => Some(Body::Text(data)),
            (None, None) => None,
        };
        Ok(Self::Request(Request { method, path, body }))
    }
}

impl Method {
    /// The name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
        }
    }
}

impl Body {
    /// The field `content-type` that goes with it.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// The octets.
    pub fn into_text(self) -> String {
        match self {
            Self::Json(text) | Self::Text(text) => text,
        }
    }
}

impl Header<'_> {
    /// Writes the text message. A `content-type` longer than [`MAX_CONTENT_TYPE`] counts as none.
    pub fn emit(&self) -> String {
        let content_type = self
            .content_type
            .filter(|text| text.len() <= MAX_CONTENT_TYPE);
        format!(
            r#"{{"status": {}, "content-type": {}, "content-length": {}}}"#,
            self.status,
            quoted(content_type.unwrap_or("None")),
            self.content_length
        )
    }
}

/// Path and query of an address, whoever it names: where a request goes is the owner's choice. The empty query that clients append to every
/// address is dropped, as the old proxies' HTTP client did.
fn path(url: &str) -> Option<String> {
    /// What an HTTP request line cannot carry; what is escaped already stays as it is.
    const UNSAFE: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    let rest = if url.starts_with('/') {
        url
    } else {
        let (scheme, rest) = url.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        // Browsers end the host at a backslash as well.
        rest.find(['/', '\\', '?', '#'])
            .map_or("", |end| &rest[end..])
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut written = utf8_percent_encode(path, UNSAFE).to_string();
    if !written.starts_with('/') {
        written.insert(0, '/');
    }
    if !query.is_empty() {
        let _ = write!(written, "?{}", utf8_percent_encode(query, UNSAFE));
    }
    Some(written)
}

/// A text as `json.dumps` writes it: ASCII alone.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match Ask::parse(text) {
            Ok(Ask::Request(request)) => request,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn path_of(url: &str) -> String {
        request(&serde_json::json!({ "url": url }).to_string()).path
    }

    #[test]
    fn of_an_address_nothing_but_path_and_query_is_used() {
        for url in [
            "http://localhost:8778/api/x?",
            "https://evil.example/api/x",
            "HTTP://user:password@evil.example:1/api/x?#fragment",
            "http://127.0.0.1:8778@evil.example/api/x",
            "http://[::1]:1/api/x#?y",
            "http:///api/x",
            "/api/x",
        ] {
            assert_eq!(path_of(url), "/api/x", "{url}");
        }
        assert_eq!(path_of("http://localhost"), "/");
        assert_eq!(path_of("http://localhost?a=b"), "/?a=b");
        assert_eq!(path_of("http://localhost/a?b=c?d"), "/a?b=c?d");
        assert_eq!(path_of("//evil.example/x"), "//evil.example/x");
    }

    #[test]
    fn climbing_stays_visible_for_the_proxys_rules() {
        assert_eq!(path_of("http://h/a/../../b"), "/a/../../b");
        assert_eq!(path_of("http://h/%2e%2e/b"), "/%2e%2e/b");
        assert_eq!(path_of("http://h\\..\\b"), "/%5C..%5Cb");
    }

    #[test]
    fn what_a_request_line_cannot_carry_is_escaped() {
        assert_eq!(
            path_of("http://h/My Döor?a= \r\n"),
            "/My%20D%C3%B6or?a=%20%0D%0A"
        );
        assert_eq!(path_of("http://h/a%20b"), "/a%20b");
    }

    #[test]
    fn what_names_no_path_is_refused() {
        for url in [
            "",
            "api/x",
            "ftp://h/x",
            "file:///etc/passwd",
            "http:/x",
            "javascript:1",
            "x://h/y",
        ] {
            let text = serde_json::json!({ "url": url }).to_string();
            assert_eq!(Ask::parse(&text), Err(AskError::Url), "{url}");
        }
    }

    #[test]
    fn members_decide_method_and_body_and_unknown_ones_are_skipped() {
        assert_eq!(
            request(
                r#"{"url":"/x","headers":{"a":1},"method":"POST","json":{"b" : [1.0]},"data":null}"#
            ),
            Request {
                method: Method::Post,
                path: "/x".into(),
                body: Some(Body::Json(r#"{"b" : [1.0]}"#.into()))
            }
        );
        assert_eq!(
            request(r#"{"url":"/x","data":"raw","method":"PUT"}"#).body,
            Some(Body::Text("raw".into()))
        );
        assert_eq!(request(r#"{"url":"/x","json":{}}"#).body, None);
        let refused = |text| Ask::parse(text).unwrap_err();
        assert_eq!(
            refused(r#"{"url":"/x","method":"DELETE"}"#),
            AskError::Method
        );
        assert_eq!(
            refused(r#"{"url":"/x","method":"POST","json":1,"data":"x"}"#),
            AskError::Bodies
        );
        for text in [
            "this is not json",
            "",
            "[]",
            "{}",
            r#"{"url":1}"#,
            r#"{"url":"/","method":1}"#,
        ] {
            assert_eq!(refused(text), AskError::Malformed, "{text}");
        }
        assert_eq!(refused(&"[".repeat(200_000)), AskError::Malformed);
    }

    #[test]
    fn any_url_that_begins_with_ping_is_a_ping() {
        assert_eq!(
            Ask::parse(r#"{"url":"ping?","method":"GET"}"#),
            Ok(Ask::Ping)
        );
        assert_eq!(Ask::parse(r#"{"url":"ping"}"#), Ok(Ask::Ping));
    }

    #[test]
    fn headers_are_written_as_python_writes_them() {
        let header = |content_type| {
            Header {
                status: 200,
                content_type,
                content_length: 5,
            }
            .emit()
        };
        assert_eq!(
            header(Some("text/plain")),
            r#"{"status": 200, "content-type": "text/plain", "content-length": 5}"#
        );
        assert_eq!(
            header(None),
            r#"{"status": 200, "content-type": "None", "content-length": 5}"#
        );
        assert_eq!(
            header(Some("a\"\\\u{7f}é😀")),
            r#"{"status": 200, "content-type": "a\"\\\u007f\u00e9\ud83d\ude00", "content-length": 5}"#
        );
        assert_eq!(
            header(Some(&"x".repeat(MAX_CONTENT_TYPE + 1))),
            header(None)
        );
    }
}
