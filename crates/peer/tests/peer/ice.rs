//! STUN and TURN servers as the signalling server tells of them. What they then do is held to its promises in the engine's own tests.

use std::time::{Duration, Instant};

use peerage_peer::{ConnectOptions, Peer, Route, ServerState};
use peerage_proto::wire::id::{PeerId, Token};
use peerage_proto::wire::stun::{Message, Method};
use tokio::net::UdpSocket;

use super::relay::Relay;
use super::{Device, caller, soon, speak, stock_peer};

/// A socket that would be a TURN server, and the answer that names it.
async fn turn() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let json = format!(
        r#"{{"iceServers":[{{"urls":["turn:{}"],"username":"1:a","credential":"c"}}],"ttl":86400}}"#,
        socket.local_addr().unwrap()
    );
    (socket, json)
}

/// Waits until the question was asked so often.
async fn asked(relay: &Relay, times: usize) {
    soon(async {
        while relay.asked().len() < times {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until an allocation is asked for.
async fn asked_for_a_relay(turn: &UdpSocket) {
    soon(async {
        let mut buffer = [0; 2048];
        loop {
            let (length, _) = turn.recv_from(&mut buffer).await.unwrap();
            if Message::parse(&buffer[..length]).unwrap().method() == Method::ALLOCATE {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn servers_are_asked_for_with_the_token_and_used_once_a_connection_begins() {
    let relay = Relay::start().await;
    let (turn, json) = turn().await;
    relay.tell_ice(Some(&json));
    let device = Device::with(&relay, |builder| {
        builder.token(Token::parse("opensesame").unwrap())
    })
    .await;
    asked(&relay, 1).await;
    let head = relay.asked()[0].to_ascii_lowercase();
    let line = format!("get /peerjs/ice?id={} http/1.1", device.peer_id());
    assert_eq!(head.lines().next(), Some(&*line));
    assert!(head.contains("authorization: bearer opensesame\r\n"));
    let friend = caller(&relay).await;
    let mut there = soon(friend.connect(device.peer_id(), device.with_link()))
        .await
        .unwrap();
    let mut here = soon(device.peer.incoming()).await.unwrap();
    asked_for_a_relay(&turn).await;
    speak(&mut there, &mut here).await;
    assert_eq!(there.route(), Route::Direct);
    let stats = friend.stats();
    assert_eq!(
        (stats.direct.opened, stats.relayed.opened, stats.failed),
        (1, 0, 0)
    );
    assert!(stats.direct.sent > 0 && stats.direct.slowest > Duration::ZERO);
}

#[tokio::test]
async fn a_device_that_waits_asks_no_turn_server_and_an_unproven_caller_makes_it_ask_none() {
    let relay = Relay::start().await;
    let (turn, json) = turn().await;
    let stranger = caller(&relay).await;
    asked(&relay, 1).await;
    relay.tell_ice(Some(&json));
    let device = Device::start(&relay).await;
    asked(&relay, 2).await;
    let refused = soon(stranger.connect(device.peer_id(), ConnectOptions::default())).await;
    assert!(refused.is_err());
    assert_eq!(stranger.stats().failed, 1);
    assert!(
        turn.try_recv_from(&mut [0; 2048]).is_err(),
        "the stranger was told of none, and the device asks none for it"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_question_delays_the_first_connection_by_2_seconds_at_most()
 {
    let relay = Relay::start().await;
    relay.tell_ice(None);
    let (alice, bob) = (
        stock_peer(&relay, "alice").await,
        stock_peer(&relay, "bob").await,
    );
    let begun = Instant::now();
    let mut there = soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4));
    let mut here = soon(bob.incoming()).await.unwrap();
    speak(&mut there, &mut here).await;
    let begun = Instant::now();
    soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "no other one waits"
    );
}

#[tokio::test]
async fn the_owners_servers_need_no_word_of_the_signalling_server() {
    let relay = Relay::start().await;
    let (turn, json) = turn().await;
    let servers = peerage_proto::wire::ice_servers::IceServers::parse(json.as_bytes()).unwrap();
    let bob = stock_peer(&relay, "bob").await;
    let alice = Peer::builder()
        .server(relay.url())
        .id(PeerId::parse("alice").unwrap())
        .ice_servers(servers.servers);
    let alice = soon(alice.open()).await.unwrap();
    soon(alice.connect(bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    asked_for_a_relay(&turn).await;
}

#[tokio::test]
async fn a_server_that_was_lost_and_found_is_asked_again() {
    let relay = Relay::start().await;
    let alice = stock_peer(&relay, "alice").await;
    asked(&relay, 1).await;
    let mut server = alice.server();
    relay.cut();
    soon(server.wait_for(|state| matches!(state, ServerState::Down(_))))
        .await
        .unwrap();
    asked(&relay, 2).await;
}
