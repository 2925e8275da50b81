//! A server that lies. It can deny; it cannot read, alter or impersonate.

use std::time::Duration;

use peerage_peer::{ConnectError, ConnectOptions, Connection, Peer, ServerState};
use peerage_proto::identity::caller::FalseAnswer;
use peerage_proto::identity::gate::{State, Terms};
use peerage_proto::identity::{Code, Secret, SigningKey};
use peerage_proto::link;
use peerage_proto::wire::id::{MAX_ID, PeerId};
use peerage_proto::wire::signal::{AnswerPayload, Frame, Kind, MAX_FRAME, OfferPayload};
use serde_json::value::RawValue;

use super::relay::Relay;
use super::{Device, caller, rng, soon, speak, stock_peer};

/// Shorter than usual, for attempts that must fail by waiting.
fn hurried(options: ConnectOptions) -> ConnectOptions {
    let timing = link::Config {
        answer_within: Duration::from_secs(2),
        connect_within: Duration::from_secs(4),
        ..link::Config::default()
    };
    ConnectOptions { timing, ..options }
}

/// The payload with the first digits of its fingerprint changed.
fn other_fingerprint(payload: &RawValue) -> Box<RawValue> {
    let (before, after) = payload.get().split_once("sha-256 ").unwrap();
    let digit = if after.starts_with("00") { "11" } else { "00" };
    RawValue::from_string(format!("{before}sha-256 {digit}{}", &after[2..])).unwrap()
}

fn altered(mut frame: Frame, alter: impl FnOnce(&RawValue) -> Box<RawValue>) -> Frame {
    frame.payload = frame.payload.as_deref().map(alter);
    frame
}

async fn attempt(caller: &Peer, device: &Device) -> Result<Connection, ConnectError> {
    soon(caller.connect(device.peer_id(), hurried(device.with_link()))).await
}

#[tokio::test]
async fn a_swapped_fingerprint_in_the_answer_is_not_believed() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    relay.tamper(|frame| {
        vec![match frame.kind {
            Kind::Answer => altered(frame, other_fingerprint),
            _ => frame,
        }]
    });
    let error = attempt(&caller, &device).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongDevice(FalseAnswer::Fingerprint)),
        "{error:?}"
    );
    assert_eq!(relay.sent_by(caller.id()), [Kind::Offer]);
}

#[tokio::test]
async fn a_swapped_fingerprint_in_the_offer_is_refused() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    relay.tamper(|frame| {
        vec![match frame.kind {
            Kind::Offer => altered(frame, other_fingerprint),
            _ => frame,
        }]
    });
    let error = attempt(&caller, &device).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Refused(Code::Denied)),
        "{error:?}"
    );
    assert_eq!(relay.sent_by(device.peer_id()), [Kind::Answer]);
}

#[tokio::test]
async fn another_device_in_the_middle_is_found_out_by_both() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    // The middle has a device of its own, and knows even the link's secret.
    let key = SigningKey::generate(&mut rng());
    let builder = Peer::builder()
        .server(relay.url())
        .device(key, State::default())
        .allow_unverified(true);
    let middle = soon(builder.open()).await.unwrap();
    let secret = Secret::generate(&mut rng());
    middle.access().add_link(secret, Terms::default()).unwrap();
    let caller = caller(&relay).await;
    let (device_id, middle_id) = (device.peer_id().clone(), middle.id().clone());
    relay.tamper(move |mut frame| {
        // Offers for the device go to the middle, stripped of what it cannot pass; its answers come back in the device's name.
        if frame.dst.as_ref() == Some(&device_id) {
            frame.dst = Some(middle_id.clone());
            if frame.kind == Kind::Offer {
                let mut offer = OfferPayload::parse(frame.payload.as_ref().unwrap()).unwrap();
                offer.peerage = None;
                offer.label = Some("x".into());
                frame.payload = Some(offer.to_raw());
            }
        } else if frame.src.as_ref() == Some(&middle_id) {
            frame.src = Some(device_id.clone());
        }
        vec![frame]
    });
    let error = attempt(&caller, &device).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongDevice(FalseAnswer::Unsigned)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_false_answer_does_not_end_the_attempt_and_the_true_one_opens() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    relay.tamper(|frame| match frame.kind {
        Kind::Answer => {
            let stripped = altered(frame.clone(), |payload| {
                let mut answer = AnswerPayload::parse(payload).unwrap();
                answer.peerage = None;
                answer.to_raw()
            });
            vec![altered(frame.clone(), other_fingerprint), stripped, frame]
        }
        _ => vec![frame],
    });
    let mut there = attempt(&caller, &device).await.unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
}

#[tokio::test]
async fn a_repeated_offer_is_answered_with_a_description_at_most_once() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    relay.tamper(|frame| match frame.kind {
        Kind::Offer => vec![frame.clone(), frame.clone(), frame],
        _ => vec![frame],
    });
    // It may end in a refusal: to deny is in a server's power.
    let _ = attempt(&caller, &device).await;
    let mut described = Vec::new();
    for frame in relay.sent().iter().filter(|f| f.kind == Kind::Answer) {
        let answer = AnswerPayload::parse(frame.payload.as_ref().unwrap()).unwrap();
        if answer.sdp.is_some() {
            assert!(!described.contains(&answer.connection_id));
            described.push(answer.connection_id);
        }
    }
    assert!(!described.is_empty());
}

#[tokio::test]
async fn the_server_cannot_cut_a_verified_connection_that_stands() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    let mut there = attempt(&caller, &device).await.unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    let (a, b) = (caller.id().clone(), device.peer_id().clone());
    for kind in [Kind::Leave, Kind::Expire] {
        for (src, dst) in [(&a, &b), (&b, &a)] {
            let mut frame = Frame::to(dst.clone(), kind, None);
            frame.src = Some(src.clone());
            relay.deliver(frame);
        }
    }
    // Frames keep their order: who has an answer has seen what was delivered before.
    let bob = stock_peer(&relay, "bob").await;
    for peer in [&caller, &device.peer] {
        soon(peer.connect(bob.id(), ConnectOptions::default()))
            .await
            .unwrap();
    }
    speak(&mut there, &mut here).await;
}

#[tokio::test]
async fn candidates_that_lead_nowhere_do_not_keep_the_true_ones_from_opening() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    relay.tamper(|frame| match frame.kind {
        Kind::Candidate => {
            let false_one = altered(frame.clone(), |payload| {
                let text = payload.get().replace("127.0.0.1", "192.0.2.1");
                RawValue::from_string(text).unwrap()
            });
            let garbage = altered(frame.clone(), |payload| {
                let text = payload.get().replace("candidate:", "candidate:\u{0007}");
                RawValue::from_string(text.replace('\u{0007}', " ")).unwrap()
            });
            vec![false_one, garbage, frame]
        }
        _ => vec![frame],
    });
    let mut there = attempt(&caller, &device).await.unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
}

#[tokio::test]
async fn the_longest_frame_that_anyone_may_send_does_not_cut_who_gets_it_from_the_server() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let mut server = alice.server();
    server.mark_unchanged();
    let mut frame = Frame::to(alice.id().clone(), Kind::Offer, None);
    let filler = "x".repeat(MAX_FRAME - frame.to_text().len() - r#","payload":"""#.len());
    frame.payload = Some(RawValue::from_string(format!("\"{filler}\"")).unwrap());
    assert_eq!(frame.to_text().len(), MAX_FRAME);
    // As the server relays it.
    frame.src = Some(PeerId::parse(&"\u{1}".repeat(MAX_ID)).unwrap());
    relay.deliver(frame);
    // Frames keep their order: who has an answer has seen what was delivered before.
    let bob = stock_peer(&relay, "bob").await;
    soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    assert!(!server.has_changed().unwrap());
    assert_eq!(*server.borrow(), ServerState::Open);
}
