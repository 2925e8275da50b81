//! What the clients of the bench say, as PeerJS 1.5 says it, encoded before the clock runs.

use std::fmt::Write;

use serde::Deserialize;

pub const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;

/// Octets of the JSON texts as sent; the servers that set `src` send some more.
const OFFER: usize = 2_000;
const CANDIDATE: usize = 300;

/// Candidates that follow an offer in a mix.
const CANDIDATES: usize = 8;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Offer,
    Candidate,
    /// One offer, then eight candidates.
    Mix,
}

/// The frames of one client in the order in which it sends them, over and over.
pub struct Frames {
    offer: Vec<u8>,
    candidate: Vec<u8>,
    kind: Kind,
}

impl Frames {
    /// For what goes to `dst`.
    pub fn new(kind: Kind, dst: &str) -> Self {
        Self {
            offer: frame(&offer(dst)),
            candidate: frame(&candidate(dst)),
            kind,
        }
    }

    /// Whether what a client received came out of such a frame: type, payload and destination are whole.
    pub fn are_in(kind: Kind, dst: &str, received: &[u8]) -> bool {
        let texts: &[String] = match kind {
            Kind::Offer => &[offer(dst)],
            Kind::Candidate => &[candidate(dst)],
            Kind::Mix => &[offer(dst), candidate(dst)],
        };
        let received: serde_json::Value = serde_json::from_slice(received).unwrap_or_default();
        texts.iter().any(|text| {
            let sent: serde_json::Value = serde_json::from_str(text).expect("JSON");
            ["type", "payload", "dst"]
                .iter()
                .all(|member| sent[member] == received[member])
        })
    }

    pub fn nth(&self, n: usize) -> &[u8] {
        match self.kind {
            Kind::Offer => &self.offer,
            Kind::Mix if n.is_multiple_of(1 + CANDIDATES) => &self.offer,
            Kind::Candidate | Kind::Mix => &self.candidate,
        }
    }
}

/// The id of client `n`: two that follow each other are a pair.
pub fn id(n: usize) -> String {
    let side = if n.is_multiple_of(2) { 'a' } else { 'b' };
    format!("{side}{:07}-6b2e-4f0a-9d41-3c5e8a7f0b12", n / 2)
}

/// Whom client `n` talks with.
pub fn partner(n: usize) -> usize {
    n ^ 1
}

/// A client's frame: final, text, masked (RFC 6455 section 5.2). The mask is fixed: nobody here needs it to be a secret.
pub fn frame(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend(
                u16::try_from(long)
                    .expect("no text here is longer")
                    .to_be_bytes(),
            );
        }
    }
    frame.extend(MASK);
    frame.extend(
        text.bytes()
            .zip(MASK.into_iter().cycle())
            .map(|(octet, mask)| octet ^ mask),
    );
    frame
}

/// An offer with sound, picture and a data channel, as a browser makes it, cut to size.
fn offer(dst: &str) -> String {
    let mut sdp = String::from(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS 7f1c\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Xq2c\r\na=ice-pwd:5QhnNfYcQ0mHqkMDqXx1Fz7u\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 4B:9D:CE:11:54:0A:B8:6C:36:21:5C:0F:77:D1:E0:58:AA:3B:92:40:6D:8E:F3:15:C9:27:BD:60:0C:94:7A:E2\r\na=setup:actpass\r\na=mid:0\r\n\
        a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
    );
    let open = |sdp: &str| {
        format!(
            r#"{{"type":"OFFER","payload":{{"sdp":{{"type":"offer","sdp":{}}},"type":"media","connectionId":"mc_0zkqq4w4bmzc","metadata":null}},"dst":"{dst}"}}"#,
            serde_json::to_string(sdp).expect("a string")
        )
    };
    for payload in 96.. {
        let mut longer = sdp.clone();
        let _ = write!(
            longer,
            "a=rtpmap:{payload} VP8/90000\r\na=rtcp-fb:{payload} goog-remb\r\na=rtcp-fb:{payload} nack pli\r\n"
        );
        if open(&longer).len() + "a=x\r\n".len() > OFFER {
            break;
        }
        sdp = longer;
    }
    // `\r\n` takes four octets in JSON.
    let missing = OFFER - open(&sdp).len();
    if missing >= 8 {
        let _ = write!(sdp, "a=x:{}\r\n", "x".repeat(missing - 8));
    }
    open(&sdp)
}

fn candidate(dst: &str) -> String {
    let open = |host: &str| {
        format!(
            r#"{{"type":"CANDIDATE","payload":{{"candidate":{{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx{host}","sdpMLineIndex":0,"sdpMid":"0"}},"type":"media","connectionId":"mc_0zkqq4w4bmzc"}},"dst":"{dst}"}}"#
        )
    };
    let missing = CANDIDATE.saturating_sub(open("").len());
    let rest = " raddr 0.0.0.0 rport 0 generation 0 ufrag Xq2c network-cost 999";
    open(
        &rest
            .chars()
            .chain(std::iter::repeat('0'))
            .take(missing)
            .collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_json_of_the_size_they_claim() {
        for (text, octets) in [(offer(&id(17)), OFFER), (candidate(&id(17)), CANDIDATE)] {
            assert_eq!(text.len(), octets, "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["dst"], id(17));
        }
    }
}
