//! Writes and checks `vectors/sdp.json`: descriptions and candidates, as others write them, good and bad.

#![allow(clippy::unwrap_used)]

mod vectors;

use peerage_proto::wire::{
    candidate::Candidate,
    sdp::{DataDescription, Fingerprint, MAX_LINES, MAX_SDP, Setup},
};
use serde_json::{Value, json};

/// Recorded from Chromium 156.
const CHROMIUM_OFFER: &str = "v=0\r\no=- 2157023314015382834 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:hrFr\r\na=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\na=fingerprint:sha-256 BF:16:A6:80:AF:52:A9:CA:0D:13:0A:1C:E9:7A:80:58:B4:2B:7F:BF:97:C2:72:53:C8:10:BE:57:63:11:68:AD\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

/// Recorded from Chromium 156.
const CHROMIUM_ANSWER: &str = "v=0\r\no=- 2006309582850098783 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:Og8G\r\na=ice-pwd:tfGdGckHbjLborAi3OVljSXO\r\na=ice-options:trickle\r\na=fingerprint:sha-256 95:06:32:BB:A5:74:3C:0D:02:61:A6:A4:61:4D:1B:86:8B:47:6C:FC:32:8D:0A:0D:C9:87:B5:F4:96:4F:7C:31\r\na=setup:active\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

/// Head of a recorded media call of Chromium 156, which has three sections.
const CHROMIUM_CALL: &str = "v=0\r\no=- 6066986360228646152 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS 7fa7f969-ddc7-48bc-80a2-d7ddbb5dc27e\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:V3a2\r\na=ice-pwd:MMqY9D/UioREp89XcN7/WibS\r\na=ice-options:trickle\r\na=fingerprint:sha-256 E8:61:74:A9:FB:B5:DB:64:C0:3C:19:68:22:A4:CB:90:54:88:0A:D0:DA:72:BD:AB:11:28:03:DD:A0:8E:7F:5D\r\na=setup:actpass\r\na=mid:0\r\n";

/// Composed after what Firefox writes: fingerprint at session level, direction, a large message size.
const FIREFOX_OFFER: &str = "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 5120384837254271852 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 BF:16:A6:80:AF:52:A9:CA:0D:13:0A:1C:E9:7A:80:58:B4:2B:7F:BF:97:C2:72:53:C8:10:BE:57:63:11:68:AD\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=ice-pwd:0b8c4f4a4a3b4a5c8d7e6f5a4b3c2d1e\r\na=ice-ufrag:6d1c2b3a\r\na=mid:0\r\na=setup:actpass\r\na=sctp-port:5000\r\na=max-message-size:1073741823\r\n";

/// Composed after what aiortc writes: candidates inside, no trickle, three hashes.
const AIORTC_OFFER: &str = "v=0\r\no=- 3973234223 3973234223 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic:WMS *\r\nm=application 43867 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.7\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:65536\r\na=candidate:53b3e3d1 1 udp 2130706431 192.0.2.7 43867 typ host\r\na=candidate:8f2d2b5c 1 udp 1694498815 198.51.100.9 43867 typ srflx raddr 192.0.2.7 rport 43867\r\na=end-of-candidates\r\na=ice-ufrag:Zk1p\r\na=ice-pwd:VQd3mXw8nXvJ2bq6mB1cZr\r\na=fingerprint:sha-256 BF:16:A6:80:AF:52:A9:CA:0D:13:0A:1C:E9:7A:80:58:B4:2B:7F:BF:97:C2:72:53:C8:10:BE:57:63:11:68:AD\r\na=fingerprint:sha-384 00:11\r\na=fingerprint:sha-512 00:11\r\na=setup:actpass\r\n";

#[test]
fn the_file_is_current_and_every_case_in_it_holds() {
    let current = json!({
        "about": "Descriptions of data connections and candidates. Written by crates/proto/tests/sdp_vectors.rs; replayed in every language.",
        "notation": {
            "strict": "how a description is read whose sender brings a statement: one distinct fingerprint, SHA-256",
            "stock": "how any other is read: the same, but fingerprints by other hashes beside the SHA-256 are skipped",
            "emitted": "the description written from scratch, with `emitFingerprint` and `emitSetup`; other languages write the same text",
            "error": "what the Rust implementation says; others need only refuse",
        },
        "good": good(),
        "bad": bad(),
        "candidates": candidates(),
        "badCandidates": bad_candidates(),
    });
    vectors::assert_current("sdp.json", &current);
}

fn good() -> Value {
    let lite = CHROMIUM_OFFER.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n");
    let both_levels = {
        let line = CHROMIUM_OFFER
            .lines()
            .find(|line| line.starts_with("a=fingerprint"))
            .unwrap();
        CHROMIUM_OFFER.replace("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"))
    };
    [
        ("offer of Chromium 156", CHROMIUM_OFFER.to_owned(), true),
        ("answer of Chromium 156", CHROMIUM_ANSWER.to_owned(), true),
        ("offer as Firefox writes it", FIREFOX_OFFER.to_owned(), true),
        ("offer as aiortc writes it", AIORTC_OFFER.to_owned(), false),
        ("line ends of LF alone", CHROMIUM_OFFER.replace("\r\n", "\n"), true),
        ("no line end at the end", CHROMIUM_OFFER.trim_end().to_owned(), true),
        ("ice-lite", lite, true),
        ("the same fingerprint at both levels", both_levels, true),
        ("fingerprint in lower case", CHROMIUM_OFFER.replace("BF:16:A6", "bf:16:a6").replace("sha-256", "SHA-256"), true),
        ("no max-message-size", CHROMIUM_OFFER.replace("a=max-message-size:262144\r\n", ""), true),
        ("any message size", CHROMIUM_OFFER.replace("size:262144", "size:0"), true),
        ("a section with another name", CHROMIUM_OFFER.replace("a=mid:0", "a=mid:data-1"), true),
        ("malformed candidates are skipped", format!("{CHROMIUM_OFFER}a=candidate:nonsense\r\n"), true),
    ]
    .into_iter()
    .map(|(name, sdp, strict)| {
        assert_eq!(DataDescription::parse(&sdp).is_ok(), strict, "{name}: {:?}", DataDescription::parse(&sdp));
        let description = DataDescription::parse_stock(&sdp).unwrap();
        let fingerprint = Fingerprint::new([0xab; 32]);
        let emitted = description.emit(fingerprint, Setup::Active);
        let read = DataDescription::parse(&emitted).unwrap();
        assert_eq!((read.fingerprint(), read.setup(), read.ice_pwd()), (fingerprint, Setup::Active, description.ice_pwd()));
        json!({
            "name": name,
            "sdp": sdp,
            "strict": strict,
            "stock": true,
            "fields": {
                "iceUfrag": description.ice_ufrag(),
                "icePwd": description.ice_pwd(),
                "iceLite": description.ice_lite(),
                "trickle": description.trickle(),
                "setup": description.setup().to_string(),
                "mid": description.mid(),
                "sctpPort": description.sctp_port(),
                "maxMessageSize": description.max_message_size(),
                "fingerprint": description.fingerprint().to_string(),
                "candidates": description.candidates().iter().map(ToString::to_string).collect::<Vec<_>>(),
            },
            "emitFingerprint": fingerprint.to_string(),
            "emitSetup": "active",
            "emitted": emitted,
        })
    })
    .collect()
}

fn bad() -> Value {
    let evil = format!("a=fingerprint:sha-256 {}\r\n", Fingerprint::new([0xee; 32]));
    let honest = CHROMIUM_OFFER
        .lines()
        .find(|line| line.starts_with("a=fingerprint"))
        .map(|line| format!("{line}\r\n"))
        .unwrap();
    let sha1 =
        "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\r\n";
    let replace = |from: &str, to: &str| {
        assert!(CHROMIUM_OFFER.contains(from), "{from}");
        CHROMIUM_OFFER.replace(from, to)
    };
    let section = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let many_lines = format!("{CHROMIUM_OFFER}{}", "a=x:1\r\n".repeat(MAX_LINES));
    [
        // name, text, also refused of a stock peer
        ("a second fingerprint after the first", replace(&honest, &format!("{honest}{evil}")), true),
        ("a second fingerprint before the first", replace(&honest, &format!("{evil}{honest}")), true),
        ("session level against media level", replace("t=0 0\r\n", &format!("t=0 0\r\n{evil}")), true),
        ("a second fingerprint in another case", replace(&honest, &format!("{honest}{}", evil.replace("sha-256", "SHA-256"))), true),
        ("another hash beside", replace(&honest, &format!("{honest}{sha1}")), false),
        ("another hash instead", replace(&honest, sha1), true),
        ("no fingerprint", replace(&honest, ""), true),
        ("a fingerprint of 31 octets", replace("BF:16:", "BF:"), true),
        ("a fingerprint of 33 octets", replace("BF:16:", "BF:16:16:"), true),
        ("a fingerprint without colons", replace("BF:16:A6", "BF16A6"), true),
        ("a fingerprint without hash", replace("sha-256 ", ""), true),
        ("empty", String::new(), true),
        ("something else", "hello".to_owned(), true),
        ("does not begin with v=0", format!("s=-\r\n{CHROMIUM_OFFER}"), true),
        ("begins twice", format!("v=0\r\n{CHROMIUM_OFFER}"), true),
        ("no section", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(), true),
        ("two data sections", format!("{CHROMIUM_OFFER}{section}"), true),
        ("an audio section", CHROMIUM_CALL.to_owned(), true),
        ("an audio section behind", format!("{CHROMIUM_OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), true),
        ("a refused section", replace("m=application 9 ", "m=application 0 "), true),
        ("plain SCTP", replace("UDP/DTLS/SCTP", "SCTP"), true),
        ("a carriage return inside a line", replace("a=mid:0", "a=mid:0\ra=fingerprint:sha-256 00"), true),
        ("a zero octet", replace("a=mid:0", "a=mid:0\0"), true),
        ("an empty line", replace("a=mid:0\r\n", "a=mid:0\r\n\r\n"), true),
        ("a line without =", replace("a=mid:0\r\n", "a=mid:0\r\nnonsense\r\n"), true),
        ("no user fragment", replace("a=ice-ufrag:hrFr\r\n", ""), true),
        ("a short user fragment", replace("a=ice-ufrag:hrFr", "a=ice-ufrag:hrF"), true),
        ("a user fragment with a space", replace("a=ice-ufrag:hrFr", "a=ice-ufrag:hr Fr"), true),
        ("two user fragments", replace("a=ice-ufrag:hrFr\r\n", "a=ice-ufrag:hrFr\r\na=ice-ufrag:else\r\n"), true),
        ("a short password", replace("8dTjCsK9bsEODckLB3kRIAS6", "8dTjCsK9bsEODckLB3kRI"), true),
        ("no set-up role", replace("a=setup:actpass\r\n", ""), true),
        ("an unknown set-up role", replace("a=setup:actpass", "a=setup:holdconn"), true),
        ("no name", replace("a=mid:0\r\n", ""), true),
        ("a name with other characters", replace("a=mid:0", "a=mid:0;a"), true),
        ("a long name", replace("a=mid:0", "a=mid:0123456789abcdefg"), true),
        ("no SCTP port", replace("a=sctp-port:5000\r\n", ""), true),
        ("SCTP port 0", replace("a=sctp-port:5000", "a=sctp-port:0"), true),
        ("SCTP port 65536", replace("a=sctp-port:5000", "a=sctp-port:65536"), true),
        ("a negative message size", replace("size:262144", "size:-1"), true),
        ("too many lines", many_lines, true),
        ("too long", format!("{CHROMIUM_OFFER}a=x:{}\r\n", "x".repeat(MAX_SDP)), true),
    ]
    .into_iter()
    .map(|(name, sdp, stock_too)| {
        let error = DataDescription::parse(&sdp).expect_err(name);
        assert_eq!(DataDescription::parse_stock(&sdp).is_err(), stock_too, "{name}");
        json!({ "name": name, "sdp": sdp, "strict": false, "stock": !stock_too, "error": error.to_string() })
    })
    .collect()
}

fn candidates() -> Value {
    [
        "candidate:2714696733 1 udp 2122194687 192.0.2.2 33855 typ host generation 0 ufrag hrFr network-id 1",
        "candidate:1789410813 1 udp 2122265343 2001:db8::2 47979 typ host generation 0 ufrag hrFr network-id 2",
        "a=candidate:1 1 UDP 1685987071 198.51.100.7 5000 typ srflx raddr 0.0.0.0 rport 0 generation 0",
        "candidate:0 1 UDP 2122252543 d2b5c6a0-0000-4000-8000-1234567890ab.local 40715 typ host",
        "candidate:9 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active generation 0",
        "candidate:3 1 udp 41885439 203.0.113.5 60000 typ relay raddr 198.51.100.7 rport 5000",
    ]
    .iter()
    .map(|line| json!({ "line": line, "written": Candidate::parse(line).unwrap().to_string() }))
    .collect()
}

fn bad_candidates() -> Value {
    [
        ("", "empty: marks the end of candidates"),
        (
            "candidate:1 2 udp 1 192.0.2.2 1 typ host",
            "another component",
        ),
        (
            "candidate:1 1 udp 1 192.0.2.2 65536 typ host",
            "port too large",
        ),
        (
            "candidate:1 1 udp 1 example.org 1 typ host",
            "a name outside .local",
        ),
        (
            "candidate:1 1 udp 1 a.b.local 1 typ host",
            "more than one label before .local",
        ),
        ("candidate:1 1 udp 1 fe80::1%eth0 1 typ host", "a zone"),
        (
            "candidate:1 1 tcp 1 192.0.2.2 1 typ host",
            "TCP without its role",
        ),
        ("candidate:1 1 udp 1 192.0.2.2 1 typ other", "unknown type"),
        (
            "candidate:1 1 udp 1 192.0.2.2 1 typ host generation",
            "an extension without value",
        ),
        (
            "candidate:1 1 udp 1 192.0.2.2 1 typ host\r\na=fingerprint:sha-256 00",
            "a second line",
        ),
    ]
    .iter()
    .map(|(line, why)| {
        let error = Candidate::parse(line).expect_err(why);
        json!({ "line": line, "why": why, "error": error.to_string() })
    })
    .collect()
}

#[test]
fn what_is_emitted_has_nothing_of_the_text_that_was_read_but_the_checked_values() {
    let noisy = CHROMIUM_OFFER
        .replace("s=-", "s=evil")
        .replace("c=IN IP4 0.0.0.0", "c=IN IP4 203.0.113.66")
        + "a=candidate:1 1 udp 1 203.0.113.66 1 typ host\r\na=x-evil:1\r\n";
    let description = DataDescription::parse(&noisy).unwrap();
    let emitted = description.emit(description.fingerprint(), description.setup());
    assert!(
        !emitted.contains("evil") && !emitted.contains("203.0.113.66"),
        "{emitted}"
    );
    assert_eq!(description.candidates().len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_none_smuggles_a_second_fingerprint(at in 0usize..700, noise in ".{0,40}", text in ".{0,200}") {
        let _ = DataDescription::parse(&text);
        let mut damaged = CHROMIUM_OFFER.to_owned();
        if damaged.is_char_boundary(at) && at <= damaged.len() {
            damaged.insert_str(at, &noise);
        }
        if let Ok(description) = DataDescription::parse(&damaged) {
            let emitted = description.emit(description.fingerprint(), description.setup());
            proptest::prop_assert_eq!(emitted.matches("a=fingerprint:").count(), 1);
            let read = DataDescription::parse(&emitted).unwrap();
            proptest::prop_assert_eq!(read.ice_ufrag(), description.ice_ufrag());
        }
    }
}
