//! Does a request path stay inside what the owner exposed, whoever decodes it, and however?
//!
//! Servers differ in what they decode: `%2e%2e`, `..%2f`, `%252e`, `..\`, `..;x`, overlong UTF-8. The question here is
//! not what a path means but whether it climbs above its root under *any* of these readings; and whether it leads to
//! what is the device's own.

/// How often an escape may hide another one (`%25252e`) before the path is refused for it.
const ROUNDS: usize = 4;

/// Whether a path (origin-form, without its query) may lead above the root under some reading of it.
///
/// A raw segment goes down by one at most, and only if no reading finds `..` in it; it goes up by as many `..` as the
/// most generous reading finds. `a/../b` is fine, `a%2fb/../../c` is not.
pub(super) fn climbs(path: &str) -> bool {
    let mut depth: usize = 0;
    for segment in path.split('/') {
        let Some(decoded) = decode_all(segment.as_bytes()) else {
            return true;
        };
        let ups = parts(&decoded).filter(|part| is_parent(part)).count();
        if ups > 0 {
            match depth.checked_sub(ups) {
                Some(left) => depth = left,
                None => return true,
            }
        } else if goes_down(&decoded) {
            depth += 1;
        }
    }
    false
}

/// The first segment of the paths that are the device's own.
const OWN: &[u8] = b"__peerage";

/// Whether a path (that does not climb) may lead to `/__peerage` or below it under some reading of it: the device
/// answers it, and does not pass it on.
pub(super) fn may_be_own(path: &str) -> bool {
    // Counts as `climbs` does, so the depth is the least of all readings.
    let mut depth: usize = 0;
    for segment in path.split('/') {
        let Some(decoded) = decode_all(segment.as_bytes()) else {
            return true;
        };
        let ups = parts(&decoded).filter(|part| is_parent(part)).count();
        depth = depth.saturating_sub(ups);
        let mut names = parts(&decoded)
            .map(without_parameters)
            .filter(|name| !matches!(*name, b"" | b"." | b".."));
        let found = match (depth, ups) {
            (0, 0) => names.next().is_some_and(is_own),
            (0, _) => names.any(is_own),
            _ => false,
        };
        if found {
            return true;
        }
        if ups == 0 && goes_down(&decoded) {
            depth += 1;
        }
    }
    false
}

/// Servers on some file systems know no case, and drop dots and spaces at the end.
fn is_own(name: &[u8]) -> bool {
    let kept = name.iter().rposition(|octet| !matches!(octet, b'.' | b' '));
    kept.is_some_and(|last| name[..=last].eq_ignore_ascii_case(OWN))
}

/// Whether a path holds octets that no honest path has: encoded control characters.
pub(super) fn has_controls(path: &str) -> bool {
    decode_all(path.as_bytes()).is_none_or(|octets| octets.iter().any(|&o| o < 0x20 || o == 0x7f))
}

fn parts(segment: &[u8]) -> impl Iterator<Item = &[u8]> {
    segment.split(|&octet| octet == b'/' || octet == b'\\')
}

/// `..`, also with the path parameters that some servers cut off (`..;jsessionid=1`).
fn is_parent(part: &[u8]) -> bool {
    without_parameters(part) == b".."
}

/// Whether a segment leads to something below under every reading: a name before any parameters.
fn goes_down(segment: &[u8]) -> bool {
    parts(without_parameters(segment)).any(|part| !matches!(part, b"" | b"."))
}

fn without_parameters(part: &[u8]) -> &[u8] {
    part.split(|&octet| octet == b';')
        .next()
        .unwrap_or_default()
}

/// Undoes escapes until nothing changes; `None` when they nest deeper than any honest path.
fn decode_all(octets: &[u8]) -> Option<Vec<u8>> {
    let mut octets = octets.to_vec();
    for _ in 0..ROUNDS {
        let decoded = decode_once(&octets);
        if decoded == octets {
            return Some(octets);
        }
        octets = decoded;
    }
    None
}

/// Undoes one layer: `%2e`, `%u002e` and overlong UTF-8 of one ASCII octet (`c0 ae`).
fn decode_once(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&first, tail)) = rest.split_first() {
        let (octet, after) = match rest {
            [b'%', b'u' | b'U', b'0', b'0', high, low, after @ ..] => (hex(*high, *low), after),
            [b'%', high, low, after @ ..] => (hex(*high, *low), after),
            [lead @ (0xc0 | 0xc1), next @ 0x80..=0xbf, after @ ..] => {
                (Some((lead & 1) << 6 | (next & 0x3f)), after)
            }
            _ => (None, tail),
        };
        match octet {
            Some(octet) => (out.push(octet), rest = after),
            None => (out.push(first), rest = tail),
        };
    }
    out
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_ordinary_apps_stay_inside() {
        for path in [
            "/",
            "/index.html",
            "/a/../b",
            "/a/b/../../c",
            "/.hidden",
            "/...",
            "/..a",
            "/a..b/..c",
            "/100%25",
            "/caf%c3%a9",
            "/%e9t%e9",
            "/a%2fb",
            "/%",
            "/%zz",
            "/a;v=1/../b",
            "//",
        ] {
            assert!(!climbs(path), "{path} stays inside");
            assert!(!has_controls(path), "{path} has no controls");
        }
    }

    #[test]
    fn parent_segments_in_every_encoding_are_seen_to_climb() {
        for path in [
            "/..",
            "/../x",
            "/%2e%2e/x",
            "/.%2E/x",
            "/%2e./x",
            "/..%2fx",
            "/..%2Fetc%2fpasswd",
            "/..\\x",
            "/..%5cx",
            "/%2e%2e%5cx",
            "/a/..%2f..%2fx",
            "/a/..\\..\\x",
            "/%252e%252e/x",
            "/%25252e%25252e/x",
            "/..%252fx",
            "/..;/x",
            "/..;a=b/x",
            "/%2e%2e%3b/x",
            "/%c0%ae%c0%ae/x",
            "/..%c0%afx",
            "/..%c1%9cx",
            "/%u002e%u002e/x",
            "/./../x",
            "//../x",
            "/%2e/../x",
            "/a%2fb/../../x",
            "/a%5cb/../../x",
            "/a/../../x",
            "/%2f;../..",
            "/;%2fa/..",
        ] {
            assert!(climbs(path), "{path} climbs");
        }
    }

    #[test]
    fn escapes_nested_beyond_reason_count_as_climbing() {
        assert!(climbs("/%25252525252e"));
    }

    #[test]
    fn encoded_controls_are_seen() {
        for path in ["/a%00.txt", "/a%0d%0aset-cookie:x", "/%250a", "/%7f"] {
            assert!(has_controls(path), "{path}");
        }
    }

    /// Whether a server that decodes `rounds` times, and takes these octets for separators and parameters, climbs.
    fn climbs_at(path: &str, rounds: usize, separators: &[u8], parameters: bool) -> bool {
        let octets = (0..rounds).fold(path.as_bytes().to_vec(), |octets, _| decode_once(&octets));
        let mut depth = 0;
        for part in octets.split(|octet| separators.contains(octet)) {
            let name = if parameters {
                without_parameters(part)
            } else {
                part
            };
            depth += match name {
                b"" | b"." => 0,
                b".." => -1,
                _ => 1,
            };
            if depth < 0 {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_path_that_passes_climbs_at_no_server_however_it_decodes() {
        const TOKENS: [&str; 10] = ["..", ".", "/", "%2e", "%2f", "\\", "%5c", ";", "a", "%25"];
        let mut passed = 0;
        for number in 0..TOKENS.len().pow(5) {
            let tokens =
                (0..5).map(|place| TOKENS[number / TOKENS.len().pow(place) % TOKENS.len()]);
            let path: String = std::iter::once("/").chain(tokens).collect();
            if climbs(&path) {
                continue;
            }
            passed += 1;
            for rounds in 0..3 {
                for separators in [&b"/"[..], b"/\\"] {
                    for parameters in [false, true] {
                        let escaped = climbs_at(&path, rounds, separators, parameters);
                        assert!(!escaped, "{path} at {rounds} {separators:?} {parameters}");
                    }
                }
            }
        }
        assert!(passed > 10_000, "the test would prove nothing");
    }
}
