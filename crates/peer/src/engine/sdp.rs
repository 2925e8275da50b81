//! The little that is done to descriptions beside the stack's own reading of them.

/// The one media section of our descriptions. Stock peers and their candidates name it so.
pub(super) const MID: &str = "0";

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

/// Octets of a message that the peer takes: `a=max-message-size` (RFC 8841 6), 64 KiB when it does not say, any size for 0.
pub(super) fn max_message_size(sdp: &str) -> usize {
    match attribute(sdp, "max-message-size").map(|size| size.trim().parse::<u64>()) {
        Some(Ok(0)) => usize::MAX,
        Some(Ok(size)) => usize::try_from(size).unwrap_or(usize::MAX),
        _ => 65_536,
    }
}

/// The address in a candidate: `candidate:<foundation> <component> <transport> <priority> <address> <port> …` (RFC 8839 5.1).
pub(super) fn candidate_address(candidate: &str) -> Option<&str> {
    candidate.split_ascii_whitespace().nth(4)
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
    fn the_peers_message_limit_follows_rfc_8841() {
        assert_eq!(max_message_size("a=max-message-size:262144\r\n"), 262_144);
        assert_eq!(max_message_size("a=max-message-size:0\r\n"), usize::MAX);
        assert_eq!(max_message_size("a=mid:0\r\n"), 65_536);
    }
}
