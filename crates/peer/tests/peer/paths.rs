//! Paths that are lost in the middle of a connection.

use std::time::Duration;

use peerage_peer::{
    Builder, CloseReason, ConnectOptions, Connection, ConnectionState, Peer, RecvError, SendError,
};
use peerage_proto::link;

use super::relay::Relay;
use super::wire::Wire;
use super::{soon, speak, text};

/// As short as a peer allows.
const LOST_AFTER: Duration = Duration::from_secs(5);

async fn peer(relay: &Relay, adjust: impl FnOnce(Builder) -> Builder) -> Peer {
    let builder = Peer::builder()
        .server(relay.url())
        .allow_unverified(true)
        .lost_after(LOST_AFTER);
    soon(adjust(builder).open()).await.unwrap()
}

/// As PeerJS: says nothing of restarts.
fn without_restart(builder: Builder) -> Builder {
    builder.timing(link::Config {
        restart: false,
        ..link::Config::default()
    })
}

async fn becomes(connection: &Connection, wanted: ConnectionState) {
    let mut states = connection.states();
    soon(states.wait_for(|state| *state == wanted))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_path_is_replaced_under_the_same_channel_and_nothing_is_missing() {
    let relay = Relay::start().await;
    let wire = Wire::between(&relay);
    let builder = |builder: Builder| builder.lost_after(Duration::from_secs(30));
    let (alice, bob) = (peer(&relay, builder).await, peer(&relay, builder).await);
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
    let name = there.connection_id();
    wire.cut();
    there.send("sent into the void").await.unwrap();
    becomes(&there, ConnectionState::Silent).await;
    becomes(&there, ConnectionState::Open).await;
    assert_eq!(
        soon(here.recv()).await,
        Some(Ok(text("sent into the void")))
    );
    speak(&mut there, &mut here).await;
    assert!(there.stats().restarts > 0 && here.stats().restarts > 0);
    assert_eq!((there.connection_id(), there.stats().renewals), (name, 0));
}

#[tokio::test]
async fn who_cannot_restart_is_called_anew_under_the_old_handle_and_that_is_told() {
    let relay = Relay::start().await;
    let wire = Wire::between(&relay);
    let (alice, bob) = (
        peer(&relay, |builder| builder).await,
        peer(&relay, without_restart).await,
    );
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
    let name = there.connection_id();
    let waiting = tokio::spawn({
        let there = there.clone();
        async move { (there.recv().await, there.recv().await) }
    });
    wire.cut();
    becomes(&there, ConnectionState::Renewing).await;
    // Waits for the new one.
    soon(there.send("from the old handle")).await.unwrap();
    assert_eq!(soon(here.closed()).await, CloseReason::Lost);
    let here = soon(bob.incoming()).await.unwrap();
    assert_eq!(
        soon(here.recv()).await,
        Some(Ok(text("from the old handle")))
    );
    here.send("to the old handle").await.unwrap();
    assert_eq!(
        soon(waiting).await.unwrap(),
        (
            Some(Err(RecvError::Renewed)),
            Some(Ok(text("to the old handle")))
        )
    );
    becomes(&there, ConnectionState::Open).await;
    let stats = there.stats();
    assert_eq!((stats.restarts, stats.renewals), (0, 1));
    assert_ne!(there.connection_id(), name);
    assert_eq!(there.connection_id(), here.connection_id());
    there.close();
    assert_eq!(soon(there.closed()).await, CloseReason::Local);
    assert_eq!(soon(here.closed()).await, CloseReason::Remote);
}

#[tokio::test]
async fn a_connection_that_is_not_to_be_renewed_ends_as_lost() {
    let relay = Relay::start().await;
    let wire = Wire::between(&relay);
    let (alice, bob) = (
        peer(&relay, |builder| builder).await,
        peer(&relay, without_restart).await,
    );
    let options = ConnectOptions {
        renew: None,
        ..ConnectOptions::default()
    };
    let there = soon(alice.connect(bob.id(), options)).await.unwrap();
    let here = soon(bob.incoming()).await.unwrap();
    wire.cut();
    assert_eq!(soon(there.recv()).await, None);
    assert_eq!(soon(there.closed()).await, CloseReason::Lost);
    assert_eq!(there.send("late").await, Err(SendError::Closed));
    assert_eq!(soon(here.closed()).await, CloseReason::Lost);
}

#[tokio::test]
async fn a_handle_that_is_dropped_or_closed_while_it_is_renewed_calls_nobody() {
    let relay = Relay::start().await;
    let wire = Wire::between(&relay);
    let (alice, bob) = (
        peer(&relay, |builder| builder).await,
        peer(&relay, without_restart).await,
    );
    let there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    soon(bob.incoming()).await.unwrap();
    relay.tamper(|_| vec![]);
    wire.cut();
    becomes(&there, ConnectionState::Renewing).await;
    there.close();
    assert_eq!(soon(there.recv()).await, None);
    assert_eq!(soon(there.closed()).await, CloseReason::Local);
}
