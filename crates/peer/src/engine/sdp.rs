//! The little that is done to descriptions beside the stack's own reading of them.

use str0m::IceCreds;

/// The one media section of our descriptions. Stock peers and their candidates name it so.
pub(super) const MID: &str = "0";

/// Places of words in a candidate: `candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type> …` (RFC 8839 5.1).
const ADDRESS: usize = 4;
const TYPE: usize = 7;

/// Our description as it travels: one section named [`MID`], and in an offer the active role.
///
/// The stack starts SCTP only as DTLS client, and others only as DTLS client or controlling agent: with the usual `actpass`, answered by `passive`
/// or `active`, some pairs would wait for each other for ever.
pub(super) fn outgoing(sdp: &str, mid: &str) -> String {
    with_mid(sdp, mid, MID).replace("a=setup:actpass", "a=setup:active")
}

/// The peer's answer for the stack, which named the section itself.
pub(super) fn incoming(sdp: &str, mid: &str) -> String {
    match attribute(sdp, "mid") {
        Some(theirs) => with_mid(sdp, theirs, mid),
        None => sdp.to_owned(),
    }
}

fn with_mid(sdp: &str, from: &str, to: &str) -> String {
    let (mid, group) = (format!("a=mid:{from}"), format!("a=group:BUNDLE {from}"));
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        match line {
            _ if line == mid => out.extend(["a=mid:", to]),
            _ if line == group => out.extend(["a=group:BUNDLE ", to]),
            _ => out.push_str(line),
        }
        out.push_str("\r\n");
    }
    out
}

/// The value of the first attribute of this name.
pub(super) fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| {
        line.strip_prefix("a=")?
            .strip_prefix(name)?
            .strip_prefix(':')
    })
}

/// Name and password for checks: `a=ice-ufrag`, `a=ice-pwd` (RFC 8839 5.4).
pub(super) fn ice_credentials(sdp: &str) -> IceCreds {
    let read = |name| attribute(sdp, name).unwrap_or_default().to_owned();
    IceCreds {
        ufrag: read("ice-ufrag"),
        pass: read("ice-pwd"),
    }
}

/// Octets of a message that the peer takes: `a=max-message-size` (RFC 8841 6), 64 KiB when it does not say, any size for 0.
pub(super) fn max_message_size(sdp: &str) -> usize {
    match attribute(sdp, "max-message-size").map(|size| size.trim().parse::<u64>()) {
        Some(Ok(0)) => usize::MAX,
        Some(Ok(size)) => usize::try_from(size).unwrap_or(usize::MAX),
        _ => 65_536,
    }
}

/// A description without its candidates, and these, as `candidate:…`.
pub(super) fn without_candidates(sdp: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(sdp.len());
    let mut candidates = Vec::new();
    for line in sdp.lines() {
        match line.strip_prefix("a=") {
            Some(candidate) if candidate.starts_with("candidate:") => {
                candidates.push(candidate.to_owned());
            }
            _ => out.extend([line, "\r\n"]),
        }
    }
    (out, candidates)
}

/// The generation that a candidate belongs to, where it says so.
pub(super) fn candidate_ufrag(candidate: &str) -> Option<&str> {
    let mut words = candidate.split_ascii_whitespace().skip(TYPE + 1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if name == "ufrag" {
            return Some(value);
        }
    }
    None
}

/// The same candidate in another generation.
pub(super) fn with_ufrag(candidate: &str, ufrag: &str) -> String {
    let line = match candidate_ufrag(candidate) {
        Some(old) => candidate.replacen(&format!(" ufrag {old}"), "", 1),
        None => candidate.to_owned(),
    };
    format!("{line} ufrag {ufrag}")
}

/// How a candidate was learnt: `host`, `srflx`, `prflx` or `relay`.
pub(super) fn candidate_kind(candidate: &str) -> &str {
    let mut words = candidate.split_ascii_whitespace();
    words.nth(TYPE).unwrap_or_default()
}

/// The name under `.local` that a candidate hides its address behind.
pub(super) fn hidden_name(candidate: &str) -> Option<&str> {
    candidate_address(candidate).filter(|address| address.ends_with(".local"))
}

/// The same with the port.
pub(super) fn hidden_place(candidate: &str) -> Option<String> {
    let name = hidden_name(candidate)?;
    let port = candidate.split_ascii_whitespace().nth(ADDRESS + 1)?;
    Some(format!("{name}:{port}"))
}

fn candidate_address(candidate: &str) -> Option<&str> {
    candidate.split_ascii_whitespace().nth(ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_named_as_stock_peers_name_it_and_back() {
        let ours = "v=0\r\na=group:BUNDLE xyz\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:xyz\r\na=setup:actpass\r\n";
        let sent = outgoing(ours, "xyz");
        assert_eq!(attribute(&sent, "mid"), Some("0"));
        assert!(sent.contains("BUNDLE 0\r\n") && sent.contains("a=setup:active\r\n"));
        let back = incoming(&sent, "xyz");
        assert_eq!(attribute(&back, "mid"), Some("xyz"));
        assert!(back.contains("BUNDLE xyz\r\n"));
    }

    #[test]
    fn a_candidate_is_told_again_in_another_generation() {
        let line = "candidate:1 1 udp 5 10.0.0.1 7 typ srflx raddr 0.0.0.0 rport 0";
        assert_eq!(candidate_ufrag(line), None);
        assert_eq!(with_ufrag(line, "next"), format!("{line} ufrag next"));
        let old = format!("{line} ufrag old network-cost 5");
        assert_eq!(candidate_ufrag(&old), Some("old"));
        let next = with_ufrag(&old, "next");
        assert_eq!(next, format!("{line} network-cost 5 ufrag next"));
        assert_eq!(candidate_kind(&next), "srflx");
        let (rest, candidates) = without_candidates(&format!("a=mid:0\r\na={old}\r\na=x\r\n"));
        assert_eq!(
            (rest.as_str(), candidates),
            ("a=mid:0\r\na=x\r\n", vec![old])
        );
    }

    #[test]
    fn the_peers_message_limit_follows_rfc_8841() {
        assert_eq!(max_message_size("a=max-message-size:262144\r\n"), 262_144);
        assert_eq!(max_message_size("a=max-message-size:0\r\n"), usize::MAX);
        assert_eq!(max_message_size("a=mid:0\r\n"), 65_536);
    }
}
