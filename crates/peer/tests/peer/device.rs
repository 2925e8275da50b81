//! Reaching a device: by a link, by a remembered key, and not otherwise.

use peerage_peer::{CloseReason, ConnectError, ConnectOptions, Peer, Route, SendError, Value};
use peerage_proto::identity::{Code, Secret, SigningKey};
use peerage_proto::wire::signal::Kind;

use super::relay::Relay;
use super::{Device, caller, rng, soon, speak, text};

#[tokio::test]
async fn a_caller_with_a_link_reaches_the_device_and_is_known_the_next_time() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let key = SigningKey::generate(&mut rng());
    let builder = Peer::builder().server(relay.url()).identity(key.clone());
    let caller = soon(builder.open()).await.unwrap();

    let mut there = soon(caller.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
    assert!(there.is_verified() && here.is_verified());
    assert_eq!(there.peer(), device.peer_id());
    assert_eq!(here.peer(), caller.id());
    assert_eq!(here.label(), "peerage-http");
    assert_eq!(
        (there.route(), here.route()),
        (Route::Direct, Route::Direct)
    );
    assert_eq!(here.key(), Some(key.public_key()));
    let grants = device.peer.access().grants_of(key.public_key());
    assert_eq!(grants, [device.proof.kid]);
    drop((there, here));

    let without_link = ConnectOptions {
        proof: None,
        ..device.with_link()
    };
    let mut there = soon(caller.connect(device.peer_id(), without_link))
        .await
        .unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
}

#[tokio::test]
async fn a_stranger_gets_one_refusal_and_no_description_and_no_candidate() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    let wrong = Secret::generate(&mut rng()).proof(&device.id);
    for proof in [None, Some(wrong)] {
        let options = ConnectOptions {
            proof,
            ..device.with_link()
        };
        let refused = soon(caller.connect(device.peer_id(), options)).await;
        assert!(
            matches!(refused, Err(ConnectError::Refused(Code::Denied))),
            "{refused:?}"
        );
    }
    assert_eq!(
        relay.sent_by(device.peer_id()),
        [Kind::Answer, Kind::Answer]
    );
    for frame in relay.sent() {
        let payload = frame.payload.unwrap();
        let is_answer = frame.kind == Kind::Answer;
        assert!(!is_answer || !payload.get().contains("sdp"), "{payload}");
    }
}

#[tokio::test]
async fn a_caller_tells_its_addresses_to_nobody_but_the_proven_device() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    soon(caller.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    let sent = relay.sent();
    let answer = sent.iter().position(|f| f.kind == Kind::Answer).unwrap();
    let candidate = sent
        .iter()
        .position(|f| f.kind == Kind::Candidate && f.src.as_ref() == Some(caller.id()))
        .unwrap();
    assert!(answer < candidate);
    for frame in &sent {
        let payload = frame.payload.as_ref().unwrap().get();
        assert!(!payload.contains("a=candidate"), "{payload}");
    }
}

#[tokio::test]
async fn revoking_a_link_ends_its_connections_at_once() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    let there = soon(caller.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    let here = soon(device.peer.incoming()).await.unwrap();
    let about = here.about().clone();
    assert!(device.peer.access().revoke(device.proof.kid));
    assert_eq!(soon(about.closed()).await, CloseReason::Revoked);
    assert_eq!(here.send(text("late")).await, Err(SendError::Closed));
    assert_eq!(soon(there.recv()).await, None);
    assert_eq!(soon(there.closed()).await, CloseReason::Remote);
    let again = soon(caller.connect(device.peer_id(), device.with_link())).await;
    assert!(matches!(again, Err(ConnectError::Refused(Code::Denied))));
}

#[tokio::test]
async fn a_device_without_room_says_that_it_is_busy_and_has_room_again_later() {
    let relay = Relay::start().await;
    let device = Device::with(&relay, |builder| builder.max_connections(1)).await;
    let caller = caller(&relay).await;
    let there = soon(caller.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    let here = soon(device.peer.incoming()).await.unwrap();
    let busy = soon(caller.connect(device.peer_id(), device.with_link())).await;
    assert!(
        matches!(busy, Err(ConnectError::Refused(Code::Busy))),
        "{busy:?}"
    );
    drop(there);
    assert_eq!(soon(here.recv()).await, None);
    assert_eq!(soon(here.closed()).await, CloseReason::Remote);
    let again = soon(async {
        loop {
            // The gate hears of the end a moment after the connection's owner.
            match caller.connect(device.peer_id(), device.with_link()).await {
                Err(ConnectError::Refused(Code::Busy)) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    });
    again.await.unwrap();
}

#[tokio::test]
async fn changes_of_the_access_rules_are_told_so_that_they_can_be_stored() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    let mut changes = device.peer.access().changes();
    changes.mark_unchanged();
    soon(caller.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    soon(changes.changed()).await.unwrap();
    let stored = serde_json::to_string(&device.peer.access().state()).unwrap();
    assert!(stored.contains("grants"));
}

#[tokio::test]
async fn large_messages_and_many_connections_work_over_verified_links() {
    let relay = Relay::start().await;
    let device = Device::start(&relay).await;
    let caller = caller(&relay).await;
    let mut pairs = Vec::new();
    for _ in 0..20 {
        let there = soon(caller.connect(device.peer_id(), device.with_link()))
            .await
            .unwrap();
        let here = soon(device.peer.incoming()).await.unwrap();
        assert_eq!(there.connection_id(), here.connection_id());
        pairs.push((there, here));
    }
    let large = Value::from(vec![7_u8; peerage_peer::MAX_MESSAGE]);
    for (there, here) in &mut pairs {
        there.send(large.clone()).await.unwrap();
        assert_eq!(soon(here.recv()).await, Some(Ok(large.clone())));
    }
}
