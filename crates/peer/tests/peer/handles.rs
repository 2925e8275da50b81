//! A peer's life: opening, leaving the server and coming back, who is asked before a call is answered.

use std::time::Duration;

use futures_util::StreamExt;
use peerage_peer::{
    ConnectError, ConnectOptions, ListPeersError, Peer, Refusal, Serialization, ServerState,
    SignallingError,
};
use peerage_proto::identity::Code;
use peerage_proto::link;
use peerage_proto::wire::signal::{Frame, Kind};

use super::relay::Relay;
use super::{soon, speak, stock_peer, text};

#[tokio::test]
async fn a_call_before_the_server_is_reached_waits_for_it() {
    let relay = Relay::start().await;
    let bob = stock_peer(&relay, "bob").await;
    relay.refuse(2);
    let alice = Peer::builder().server(relay.url()).start().unwrap();
    assert_eq!(
        *alice.server().borrow(),
        ServerState::Down(SignallingError::Connecting)
    );
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
}

#[tokio::test]
async fn who_disconnects_keeps_its_connections_and_comes_back_under_its_id() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    alice.disconnect();
    soon(async {
        while relay.has(alice.id()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    speak(&mut there, &mut here).await;
    let refused = soon(alice.connect(bob.id(), ConnectOptions::default())).await;
    assert!(
        matches!(
            refused,
            Err(ConnectError::Signalling(SignallingError::Disconnected))
        ),
        "{refused:?}"
    );
    assert_eq!(refused.unwrap_err().peerjs_type(), "disconnected");

    soon(alice.reconnect()).await.unwrap();
    assert!(relay.has(alice.id()));
    soon(bob.connect(alice.id(), ConnectOptions::default()))
        .await
        .unwrap();
    soon(alice.reconnect()).await.unwrap();
}

#[tokio::test]
async fn a_destroyed_peer_is_of_no_use_and_says_so() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let again = alice.clone();
    soon(alice.destroy()).await;
    assert!(soon(again.incoming()).await.is_none());
    let refused = soon(again.connect(bob.id(), ConnectOptions::default())).await;
    assert!(refused.is_err());
    assert_eq!(soon(again.reconnect()).await, Err(SignallingError::Stopped));
    soon(again.destroy()).await;
}

#[tokio::test]
async fn the_servers_peers_are_listed_where_it_allows_that() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    relay.tell_peers(Some(r#"["alice","b o b",""]"#));
    let listed = soon(alice.list_peers()).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|id| id.as_str()).collect();
    assert_eq!(listed, ["alice", "b o b"]);
    relay.tell_peers(None);
    assert_eq!(
        soon(alice.list_peers()).await,
        Err(ListPeersError::NotAllowed)
    );
}

#[tokio::test]
async fn the_application_decides_before_anything_is_told() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let builder = Peer::builder()
        .server(relay.url())
        .allow_unverified(true)
        .approve(|offer| async move {
            let friend = offer.metadata.as_deref().map(|json| json.get()) == Some(r#""friend""#);
            let asked = (
                offer.peer.as_str(),
                offer.serialization.as_str(),
                offer.ordered,
            );
            (friend && asked == ("alice", "json", true))
                .then_some(())
                .ok_or(Refusal)
        });
    let bob = soon(builder.open()).await.unwrap();
    let options = |metadata: &str| {
        ConnectOptions {
            serialization: Serialization::Json,
            ..ConnectOptions::default()
        }
        .with_metadata(metadata)
        .unwrap()
    };
    let refused = soon(alice.connect(bob.id(), options("stranger"))).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Denied))),
        "{refused:?}"
    );
    assert_eq!(relay.sent_by(bob.id()), [Kind::Answer]);
    let there = soon(alice.connect(bob.id(), options("friend")))
        .await
        .unwrap();
    let here = soon(bob.connections().boxed().next()).await.unwrap();
    there.send("hello").await.unwrap();
    assert_eq!(soon(here.recv()).await, Some(Ok(text("hello"))));
}

#[tokio::test]
async fn a_caller_that_leaves_or_a_decision_that_panics_costs_nothing() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let builder = Peer::builder()
        .server(relay.url())
        .allow_unverified(true)
        .max_connections(1)
        .approve(move |offer| {
            let asked = asked.clone();
            async move {
                let panics = offer.label == "panics";
                asked.send(()).unwrap();
                assert!(!panics, "on purpose");
                match offer.label.as_str() {
                    "for ever" => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        });
    let bob = soon(builder.open()).await.unwrap();
    let labelled = |label: &str| ConnectOptions {
        label: Some(label.into()),
        ..ConnectOptions::default()
    };
    let refused = soon(alice.connect(bob.id(), labelled("panics"))).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Denied))),
        "{refused:?}"
    );
    soon(questions.recv()).await.unwrap();
    {
        let mut attempt = std::pin::pin!(alice.connect(bob.id(), labelled("for ever")));
        tokio::select! {
            outcome = &mut attempt => panic!("{outcome:?}"),
            question = questions.recv() => question.unwrap(),
        }
    }
    relay.deliver(Frame {
        src: Some(alice.id().clone()),
        ..Frame::to(bob.id().clone(), Kind::Leave, None)
    });
    // There is one place, and it is free.
    let begun = std::time::Instant::now();
    soon(async { while alice.connect(bob.id(), labelled("welcome")).await.is_err() {} }).await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "not by the end of its time"
    );
}

#[tokio::test]
async fn nobody_calls_itself() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let own = soon(alice.connect(alice.id(), ConnectOptions::default())).await;
    assert!(matches!(own, Err(ConnectError::Invalid(_))), "{own:?}");
    assert!(relay.sent_by(alice.id()).is_empty());
}

#[tokio::test]
async fn an_application_that_does_not_decide_is_not_waited_for_for_ever() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let builder = Peer::builder()
        .server(relay.url())
        .allow_unverified(true)
        .timing(link::Config {
            answer_within: Duration::from_millis(300),
            ..link::Config::default()
        })
        .approve(|_| std::future::pending());
    let bob = soon(builder.open()).await.unwrap();
    let refused = soon(alice.connect(bob.id(), ConnectOptions::default())).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(Code::Denied))),
        "{refused:?}"
    );
}
