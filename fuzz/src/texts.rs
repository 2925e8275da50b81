//! Everything that is written down and read again: what passes says the same when it was written once more.

use peerage_proto::wire::candidate::Candidate;
use peerage_proto::wire::evidence::{Evidence, Reply};
use peerage_proto::wire::id::{ConnectionId, DeviceId, PeerId, Secret, Token};
use peerage_proto::wire::link_url::Link;
use peerage_proto::wire::sdp::{DataDescription, Setup};
use peerage_proto::wire::statement::Statement;

/// A statement's bytes.
pub fn statement(octets: &[u8]) {
    if let Ok(statement) = Statement::parse(octets) {
        assert_eq!(statement.emit(), octets);
    }
}

/// The `peerage` member of an OFFER or ANSWER.
pub fn evidence(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    if let Ok(evidence) = Evidence::parse(text) {
        assert!(Evidence::parse(evidence.emit().get()) == Ok(evidence));
    }
    if let Ok(reply) = Reply::parse(text) {
        assert!(Reply::parse(reply.emit().get()) == Ok(reply));
    }
}

/// A session description.
pub fn sdp(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    let _ = DataDescription::parse_stock(text);
    if let Ok(description) = DataDescription::parse(text) {
        let written = description.emit(description.fingerprint(), Setup::Active);
        let again = DataDescription::parse(&written).expect("what is written is strict");
        assert_eq!(again.emit(again.fingerprint(), Setup::Active), written);
    }
}

/// A candidate line.
pub fn candidate(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    if let Ok(candidate) = Candidate::parse(text) {
        assert_eq!(Candidate::parse(&candidate.to_string()), Ok(candidate));
    }
}

/// A link.
pub fn link_url(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    if let Ok(link) = Link::parse(text) {
        assert!(Link::parse(&link.to_string()) == Ok(link));
    }
}

/// Ids, tokens, secrets.
pub fn ids(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    let _ = (
        PeerId::parse(text),
        Token::parse(text),
        ConnectionId::parse(text),
        Secret::parse(text),
    );
    if let Ok(device) = DeviceId::parse(text) {
        assert_eq!(device.to_string(), text);
    }
    if let Some(decoded) = peerage_proto::wire::base32::decode(text) {
        assert_eq!(peerage_proto::wire::base32::encode(&decoded), text);
    }
}
