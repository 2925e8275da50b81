//! What PeerJS clients do: connections by the server's word, raw and JSON.

use std::time::Duration;

use peerage_peer::{
    CloseReason, ConnectError, ConnectOptions, Connection, Message, Peer, RecvError, SendError,
    Serialization, Value,
};
use peerage_proto::identity::Code;
use peerage_proto::link;
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::{Kind, OfferPayload};
use serde_json::json;
use serde_json::value::RawValue;

use super::relay::Relay;
use super::{caller, soon, speak, stock_peer, text};

fn id(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

/// A connection from Alice to Bob, both ends.
async fn pair(alice: &Peer, bob: &Peer, options: ConnectOptions) -> (Connection, Connection) {
    let there = soon(alice.connect(bob.id(), options)).await.unwrap();
    (there, soon(bob.incoming()).await.unwrap())
}

async fn heard(connection: &Connection) -> Value {
    soon(connection.recv()).await.unwrap().unwrap()
}

fn spoken(serialization: Serialization) -> ConnectOptions {
    ConnectOptions {
        serialization,
        ..ConnectOptions::default()
    }
}

#[tokio::test]
async fn text_and_bytes_pass_unchanged_on_a_raw_connection() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let options = ConnectOptions {
        ordered: false,
        ..spoken(Serialization::Raw)
    }
    .with_metadata(&json!({"room": 7}))
    .unwrap();
    let (mut there, mut here) = pair(&alice, &bob, options).await;
    speak(&mut there, &mut here).await;
    there.send(vec![0_u8, 255]).await.unwrap();
    assert_eq!(heard(&here).await, Value::from(vec![0_u8, 255]));
    assert_eq!(there.send(7).await, Err(SendError::NotRaw));
    assert_eq!(there.send("").await, Err(SendError::Empty));
    assert_eq!(here.metadata().map(RawValue::get), Some(r#"{"room":7}"#));
    assert_eq!(here.label(), there.connection_id().as_str());
    assert_eq!(here.serialization(), &Serialization::Raw);
    assert!(!here.is_verified() && !there.is_verified());
    assert_eq!(here.key(), None);
}

#[tokio::test]
async fn json_values_pass_as_peerjs_sends_them_and_in_kind() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let (there, here) = pair(&alice, &bob, spoken(Serialization::Json)).await;
    assert_eq!(here.serialization(), &Serialization::Json);
    let mut there = there.into_channel();
    let binary = |json: &str| Message::Binary(json.to_owned().into());

    let value = json!({"a": [1, "ü", null]});
    here.send_as(&value).await.unwrap();
    assert_eq!(
        soon(there.recv()).await,
        Some(binary(r#"{"a":[1,"ü",null]}"#))
    );
    // A client before 1.5 sends text, and is answered in text.
    there.send(Message::Text("[1]".into())).await.unwrap();
    assert_eq!(soon(here.recv_as::<Vec<u8>>()).await, Some(Ok(vec![1])));
    here.send_as(&[2]).await.unwrap();
    assert_eq!(soon(there.recv()).await, Some(Message::Text("[2]".into())));

    there.send(binary("{")).await.unwrap();
    assert!(matches!(
        soon(here.recv()).await,
        Some(Err(RecvError::Malformed(_)))
    ));
    assert_eq!(here.send(vec![1_u8]).await, Err(SendError::NotJson));
    there.send(binary("null")).await.unwrap();
    assert_eq!(heard(&here).await, Value::Null);

    // Members keep their order, as in JavaScript.
    let ordered = r#"{"z":1,"a":{"y":[],"b":0.5}}"#;
    there.send(binary(ordered)).await.unwrap();
    let value = heard(&here).await;
    here.send(value).await.unwrap();
    assert_eq!(soon(there.recv()).await, Some(binary(ordered)));
}

#[tokio::test]
async fn stock_clients_are_refused_unless_the_owner_lets_them_in() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let strict = caller(&relay).await;
    let refused = soon(alice.connect(strict.id(), ConnectOptions::default())).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Denied))),
        "{refused:?}"
    );
    assert_eq!(relay.sent_by(strict.id()), [Kind::Answer]);
}

#[tokio::test]
async fn stock_clients_never_reach_the_http_label() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let options = ConnectOptions {
        label: Some("peerage-http".into()),
        ..ConnectOptions::default()
    };
    let refused = soon(alice.connect(bob.id(), options)).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Denied))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn stock_clients_that_may_use_one_label_reach_no_other_and_no_more_places() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let builder = Peer::builder()
        .server(relay.url())
        .allow_unverified_label("http-proxy", 1);
    let bob = soon(builder.open()).await.unwrap();
    let labelled = |label: &str| ConnectOptions {
        label: Some(label.into()),
        ..ConnectOptions::default()
    };
    for label in ["chat", "peerage-http"] {
        let refused = soon(alice.connect(bob.id(), labelled(label))).await;
        assert!(
            matches!(refused, Err(ConnectError::Refused(Code::Denied))),
            "{label}: {refused:?}"
        );
    }
    assert_eq!(relay.sent_by(bob.id()), [Kind::Answer, Kind::Answer]);
    let mut there = soon(alice.connect(bob.id(), labelled("http-proxy")))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
    let refused = soon(alice.connect(bob.id(), labelled("http-proxy"))).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Busy))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_channel_whose_label_differs_from_the_offer_is_closed_before_anybody_sees_it() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    relay.tamper(|mut frame| {
        if frame.kind == Kind::Offer {
            let mut offer = OfferPayload::parse(frame.payload.as_ref().unwrap()).unwrap();
            offer.label = Some("harmless".into());
            frame.payload = Some(offer.to_raw());
        }
        vec![frame]
    });
    let options = ConnectOptions {
        label: Some("peerage-http".into()),
        ..ConnectOptions::default()
    };
    if let Ok(there) = soon(alice.connect(bob.id(), options)).await {
        assert_eq!(soon(there.closed()).await, CloseReason::Remote);
    }
    relay.tamper(|frame| vec![frame]);
    let _honest = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let first = soon(bob.incoming()).await.unwrap();
    assert_ne!(first.label(), "harmless");
}

#[tokio::test]
async fn a_serialization_that_is_not_spoken_is_refused_and_not_left_waiting() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    relay.tamper(|mut frame| {
        if frame.kind == Kind::Offer {
            let mut offer = OfferPayload::parse(frame.payload.as_ref().unwrap()).unwrap();
            offer.serialization = Some("hieroglyphs".into());
            frame.payload = Some(offer.to_raw());
        }
        vec![frame]
    });
    let refused = soon(alice.connect(bob.id(), ConnectOptions::default())).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Malformed))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_absent_peer_a_silent_one_and_an_unreachable_one_are_told_apart() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let hurried = || ConnectOptions {
        timing: link::Config {
            answer_within: Duration::from_secs(1),
            connect_within: Duration::from_secs(2),
            ..link::Config::default()
        },
        ..ConnectOptions::default()
    };
    let absent = soon(alice.connect(&id("nobody"), hurried())).await;
    assert!(
        matches!(absent, Err(ConnectError::PeerUnavailable)),
        "{absent:?}"
    );

    let bob = stock_peer(&relay, "bob").await;
    relay.tamper(|frame| {
        if frame.kind == Kind::Answer {
            vec![]
        } else {
            vec![frame]
        }
    });
    let silent = soon(alice.connect(bob.id(), hurried())).await;
    assert!(matches!(silent, Err(ConnectError::NoAnswer)), "{silent:?}");

    relay.tamper(|frame| {
        if frame.kind == Kind::Candidate {
            vec![]
        } else {
            vec![frame]
        }
    });
    let unreachable = soon(alice.connect(bob.id(), hurried())).await;
    assert!(
        matches!(unreachable, Err(ConnectError::NoRoute(_))),
        "{unreachable:?}"
    );
}

#[tokio::test]
async fn closing_is_noticed_by_both_and_dropping_a_peer_ends_its_connections() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let here = soon(bob.incoming()).await.unwrap();
    there.send(text("last words")).await.unwrap();
    let about = there.about().clone();
    drop(there);
    assert_eq!(soon(here.recv()).await, Some(Ok(text("last words"))));
    assert_eq!(soon(here.recv()).await, None);
    assert_eq!(soon(here.closed()).await, CloseReason::Remote);
    assert_eq!(soon(about.closed()).await, CloseReason::Local);

    let there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let here = soon(bob.incoming()).await.unwrap();
    drop(alice);
    assert_eq!(soon(there.closed()).await, CloseReason::Local);
    assert_eq!(soon(here.closed()).await, CloseReason::Remote);
}

#[tokio::test]
async fn peers_that_call_each_other_at_once_get_two_connections() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let (a, b) = tokio::join!(
        soon(alice.connect(bob.id(), ConnectOptions::default())),
        soon(bob.connect(alice.id(), ConnectOptions::default())),
    );
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    let (mut at_bob, mut at_alice) = (
        soon(bob.incoming()).await.unwrap(),
        soon(alice.incoming()).await.unwrap(),
    );
    speak(&mut a, &mut at_bob).await;
    speak(&mut b, &mut at_alice).await;
}

#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_nothing_behind() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    relay.tamper(|frame| {
        if frame.kind == Kind::Answer {
            vec![]
        } else {
            vec![frame]
        }
    });
    {
        let bob = bob.id().clone();
        let attempt = alice.connect(&bob, ConnectOptions::default());
        assert!(
            tokio::time::timeout(Duration::from_millis(200), attempt)
                .await
                .is_err()
        );
    }
    relay.tamper(|frame| vec![frame]);
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
}
