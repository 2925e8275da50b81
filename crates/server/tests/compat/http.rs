//! Recorded HTTP exchanges, asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::common::{Answer, ask_with_body};
use crate::compare::Observed;

/// Fields of an answer, lower case.
pub(crate) type Fields = BTreeMap<String, String>;

/// Kinds of exchanges for which the document has rules.
pub(crate) const EVERY_ANSWER: &str = "every answer";
pub(crate) const ERROR_PAGE: &str = "error pages";

/// What the recordings have in place of a body.
pub(crate) const FRESH_ID: &str = "<uuid v4>";
pub(crate) const HTML_ERROR: &str = "<html error page>";

/// An answer as lines: the first has status, type and body, the others the fields that the recordings of this file tell of.
pub(crate) fn lines(status: u16, fields: &Fields, body: &str, told: &BTreeSet<String>) -> Observed {
    let content_type = fields.get("content-type").map_or("", String::as_str);
    let first = format!("{status} {content_type} {body}");
    let mut lines = vec![first.split_whitespace().collect::<Vec<_>>().join(" ")];
    for name in told {
        let Some(value) = fields.get(name) else {
            continue;
        };
        match name.as_str() {
            // The first line has it.
            "content-type" => {}
            // Of an answer that has its body it says nothing new.
            "content-length" if !body.is_empty() => {}
            "etag" => lines.push("etag: (present)".to_owned()),
            "vary" => lines.extend(
                value
                    .split(", ")
                    .map(|part| format!("vary: {}", canonical(part))),
            ),
            _ => lines.push(format!("{name}: {value}")),
        }
    }
    lines[1..].sort();
    lines.dedup();
    Observed::from([(String::new(), lines)])
}

/// Asks, and checks what holds for every answer.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &Fields,
    body: &str,
) -> (Answer, Fields) {
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    let answer = ask_with_body(address, method, path, &headers, body).await;
    let length = answer.header("content-length");
    if method != "HEAD" && !length.is_empty() {
        assert_eq!(length, answer.body.len().to_string(), "{method} {path}");
    }
    let fields = answer
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (answer, fields)
}

/// A fresh id is never the same twice.
pub(crate) fn without_chance(body: &str) -> String {
    let is_uuid = body.len() == 36
        && body.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            14 => c == '4',
            19 => "89ab".contains(c),
            _ => c.is_ascii_hexdigit(),
        });
    if is_uuid { FRESH_ID } else { body }.to_owned()
}

/// Field names in `Vary` are compared without regard to case (RFC 9110 section 12.5.5).
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase()
        })
    };
    name.trim()
        .split('-')
        .map(word)
        .collect::<Vec<_>>()
        .join("-")
}
