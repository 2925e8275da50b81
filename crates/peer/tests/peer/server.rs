//! The server comes and goes.

use peerage_peer::{CloseReason, ConnectOptions, OpenError, Peer, ServerState, SignallingError};
use peerage_proto::wire::id::PeerId;

use super::relay::Relay;
use super::{soon, speak, stock_peer};

#[tokio::test]
async fn a_lost_server_is_found_again_and_connections_live_on_meanwhile() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let mut here = soon(bob.incoming()).await.unwrap();
    let mut servers = [alice.server(), bob.server()];
    relay.cut();
    for server in &mut servers {
        soon(server.wait_for(|state| matches!(state, ServerState::Down(_))))
            .await
            .unwrap();
    }
    speak(&mut there, &mut here).await;
    // Waits for the server by itself, under the same id.
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default())).await;
    if there.is_err() {
        // Bob was not back yet.
        soon(servers[1].wait_for(|state| *state == ServerState::Open))
            .await
            .unwrap();
        there = soon(alice.connect(bob.id(), ConnectOptions::default())).await;
    }
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there.unwrap(), &mut here).await;
}

#[tokio::test]
async fn a_dropped_peer_gives_its_id_back_at_once() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let id = alice.id().clone();
    assert!(relay.has(&id));
    drop(alice);
    soon(async {
        while relay.has(&id) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stock_peer(&relay, "alice").await;
}

#[tokio::test]
async fn servers_that_are_not_there_refuse_or_are_something_else_are_told_apart() {
    let build = |url: String| soon(Peer::builder().server(url).open());
    let unreachable = build("http://127.0.0.1:9".into()).await;
    assert!(matches!(
        unreachable,
        Err(OpenError::Signalling(SignallingError::Unreachable(_)))
    ));
    let not_a_url = build("localhost".into()).await;
    assert!(matches!(
        not_a_url,
        Err(OpenError::Signalling(SignallingError::Url(_)))
    ));

    let relay = Relay::start().await;
    let _alice = stock_peer(&relay, "alice").await;
    let builder = Peer::builder()
        .server(relay.url())
        .id(PeerId::parse("alice").unwrap());
    let taken = soon(builder.open()).await;
    assert!(
        matches!(&taken, Err(OpenError::Signalling(SignallingError::IdTaken(id))) if id.as_str() == "alice")
    );
    let tls = build(relay.url().replace("http:", "https:")).await;
    assert!(
        matches!(tls, Err(OpenError::Signalling(SignallingError::Tls(_)))),
        "{tls:?}"
    );
}

#[tokio::test]
async fn a_peer_that_closes_has_told_everybody() {
    let relay = Relay::start().await;
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let here = soon(bob.incoming()).await.unwrap();
    let id = alice.id().clone();
    soon(alice.destroy()).await;
    assert_eq!(there.close_reason(), Some(CloseReason::Local));
    assert_eq!(soon(here.closed()).await, CloseReason::Remote);
    soon(async {
        while relay.has(&id) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_full_for_a_while_is_asked_again() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let mut server = alice.server();
    relay.refuse(2);
    relay.cut();
    let refused =
        |state: &ServerState| matches!(state, ServerState::Down(SignallingError::Refused(_)));
    soon(server.wait_for(refused)).await.unwrap();
    soon(server.wait_for(|state| *state == ServerState::Open))
        .await
        .unwrap();

    relay.refuse(1);
    let first = soon(Peer::builder().server(relay.url()).open()).await;
    assert!(matches!(
        first,
        Err(OpenError::Signalling(SignallingError::Refused(_)))
    ));
}

#[tokio::test]
async fn a_server_that_has_fallen_silent_is_noticed_soon_after_the_network_changed() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    let mut server = alice.server();
    relay.freeze();
    alice.refresh_network().await;
    soon(server.wait_for(|state| matches!(state, ServerState::Down(SignallingError::Lost(_)))))
        .await
        .unwrap();
    // It is another socket's that hears again.
    soon(server.wait_for(|state| *state == ServerState::Open))
        .await
        .unwrap();
    alice.refresh_network().await;
    let again = tokio::time::timeout(
        std::time::Duration::from_secs(4),
        server.wait_for(|state| *state != ServerState::Open),
    );
    assert!(again.await.is_err(), "a server that answers is kept");
}
