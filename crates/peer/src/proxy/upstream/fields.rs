//! Fields between the link and the target: what must not cross, and the length that is stated.

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderValue, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

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
/// By which a client could name another host, and what is between caller and device and never the target's to say.
const PREFIXES: [&str; 2] = ["x-forwarded-", "peerage-"];

/// Removes what must not cross, and what `Connection` names.
pub(super) fn strip(fields: &mut HeaderMap) {
    let mut unwanted: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let forwarded = |name: &&HeaderName| PREFIXES.iter().any(|p| name.as_str().starts_with(p));
    unwanted.extend(fields.keys().filter(forwarded).cloned());
    for name in unwanted.iter().chain(&NEVER_FORWARDED) {
        fields.remove(name);
    }
}

/// Two answers to where an answer ends: RFC 9112 section 6.3 has it that this "ought to be handled as an error".
pub(super) fn has_two_lengths(fields: &HeaderMap) -> bool {
    fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH)
}

/// Makes the stated length what the body says, or drops it where neither tells. hyper would send whatever stands there, and a target that
/// waits for octets which do not come would take them from the next request on the connection.
pub(super) fn restate_length(fields: &mut HeaderMap, body: &impl http_body::Body) {
    let mut stated = fields.get_all(CONTENT_LENGTH).iter();
    let stated = match (stated.next(), stated.next()) {
        (Some(length), None) => length.to_str().ok().and_then(digits),
        _ => None,
    };
    fields.remove(CONTENT_LENGTH);
    let ended = body.is_end_stream().then_some(0);
    let measured = ended.or_else(|| body.size_hint().exact());
    match (stated, measured) {
        (Some(stated), measured) => {
            let length = measured.unwrap_or(stated);
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // Of these hyper would drop the body, if it is that of a GET.
        (None, None) => {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        (None, Some(_)) => {}
    }
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    all.then(|| text.parse().ok())?
}
