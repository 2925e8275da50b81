//! A caller's link, whose server and engine do anything in any order.

use std::time::Duration;

use peerage_proto::identity::Fingerprint;
use peerage_proto::link::{CallOptions, Config, Input, Link, Output, Signal};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::Frame;

use crate::identity::{HONEST, false_answer};
use crate::script::{Script, epoch};

/// A verified or a stock link ends once, says nothing afterwards, and gives the engine no candidate before a description.
pub fn link_inputs(octets: &[u8]) {
    let honest = &*HONEST;
    let mut script = Script(octets);
    let mut now = epoch();
    let verified = script.u8() & 1 == 0;
    let statement = honest.sent.statement();
    let options = CallOptions {
        connection: statement.connection.clone(),
        label: "peerage-http".into(),
        serialization: "raw".into(),
        reliable: true,
        metadata: None,
    };
    let remote: PeerId = statement.to.clone();
    let mut link = Link::call(remote, options, Config::default(), now);
    let (mut applied, mut closed) = (false, false);
    while !script.is_empty() {
        match script.u8() % 10 {
            0 => link.handle_input(
                Input::LocalOffer {
                    sdp: script.text().to_owned(),
                    sent: verified.then(|| Box::new(honest.sent.clone())),
                },
                now,
            ),
            1 => link.handle_input(Input::LocalCandidate(script.text().to_owned()), now),
            2 => {
                if let Some((_, signal)) = Frame::parse(script.long())
                    .ok()
                    .and_then(|frame| Signal::parse(&frame))
                {
                    link.handle_input(Input::Received(signal), now);
                }
            }
            3 | 4 => {
                if let Some(answer) = false_answer(&mut script) {
                    link.handle_input(Input::Received(Signal::Answer(answer)), now);
                }
            }
            5 => link.handle_input(
                Input::RemoteCertificate(Fingerprint::new([script.u8(); 32])),
                now,
            ),
            6 => link.handle_input(Input::ChannelOpened, now),
            7 if script.u8() == 0 => link.handle_input(Input::EngineClosed, now),
            8 => {
                now += Duration::from_secs(script.u8().into());
                link.handle_timeout(now);
            }
            _ => link.handle_input(
                Input::LocalOffer {
                    sdp: OFFER.to_owned(),
                    sent: verified.then(|| Box::new(honest.sent.clone())),
                },
                now,
            ),
        }
        while let Some(output) = link.poll_output() {
            assert!(!closed, "a link that is closed is silent");
            match output {
                Output::ApplyRemote { .. } => {
                    assert!(!applied, "one description");
                    applied = true;
                }
                Output::AddCandidate(_) => {
                    assert!(applied, "candidates come after the description")
                }
                Output::Restart { .. } | Output::AnswerRestart { .. } | Output::Restarted => {}
                Output::Opened => assert!(applied, "a channel needs a description"),
                Output::Closed(_) => closed = true,
                Output::Send(_) | Output::Disbelieved(_) => {}
            }
        }
    }
}

/// What the caller's engine says; its fingerprint is the stated one.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\na=ice-ufrag:hrFr\r\na=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA:CA\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
