//! By UDP.

use peerage_proto::wire::turn::Channel;

use crate::client::{Client, hear, peer, serve, turn, udp_of};

#[tokio::test]
async fn a_client_learns_its_own_address() {
    let server = serve(turn("127.0.0.1")).await;
    let mut client = Client::udp(udp_of(&server)).await;
    assert_eq!(client.reflexive().await, client.local_addr());
}

#[tokio::test]
async fn data_goes_to_a_peer_and_back_by_indications() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    let relayed = client.allocate().await;
    client.permit(address).await.unwrap();
    client.indicate(address, b"there").await;
    assert_eq!(hear(&peer).await, (b"there".to_vec(), relayed));
    peer.send_to(b"and back", relayed).await.unwrap();
    assert_eq!(client.indicated().await, (address, b"and back".to_vec()));
}

#[tokio::test]
async fn data_goes_to_a_peer_and_back_by_a_channel_whatever_its_length() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    let relayed = client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    for length in [0, 1, 3, 4, 1000, 1228, 1229, 1500, 9000, 60_000] {
        let data = vec![length as u8; length];
        client.send(Channel::FIRST, &data).await;
        assert_eq!(hear(&peer).await, (data.clone(), relayed), "{length}");
        peer.send_to(&data, relayed).await.unwrap();
        let (channel, back) = client.received().await;
        assert_eq!((channel, back), (Channel::FIRST, data), "{length}");
    }
}

#[tokio::test]
async fn what_is_sent_in_a_row_arrives_in_its_order_and_pieces() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    let relayed = client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    // Of one size, shorter ones in between, and longer ones.
    let data: Vec<Vec<u8>> = (0..64_usize)
        .map(|at| vec![at as u8; if at % 7 == 3 { 10 + at } else { 500 + at / 16 }])
        .collect();
    for datagram in &data {
        client.send(Channel::FIRST, datagram).await;
    }
    for datagram in &data {
        assert_eq!(hear(&peer).await, (datagram.clone(), relayed));
    }
    for datagram in &data {
        peer.send_to(datagram, relayed).await.unwrap();
    }
    for datagram in &data {
        assert_eq!(client.received().await.1, *datagram);
    }
}

#[tokio::test]
async fn many_clients_at_once_each_get_their_own_data() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut clients = Vec::new();
    for number in 0..40 {
        let mut client = Client::udp(udp_of(&server))
            .await
            .named(&number.to_string());
        let relayed = client.allocate().await;
        client.bind(Channel::FIRST, address).await.unwrap();
        clients.push((client, relayed));
    }
    for round in 0..3_u8 {
        for (_, relayed) in &clients {
            let data = format!("{round} {relayed}");
            peer.send_to(data.as_bytes(), relayed).await.unwrap();
        }
        for (client, relayed) in &mut clients {
            let data = format!("{round} {relayed}").into_bytes();
            assert_eq!(client.received().await.1, data);
        }
    }
}

#[tokio::test]
async fn ipv6_is_relayed_as_ipv4_is() {
    let server = serve(turn("::1")).await;
    let (peer, address) = peer("::1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    assert_eq!(client.reflexive().await, client.local_addr());
    assert_eq!(client.try_allocate().await, Err(440));
    let relayed = client.try_allocate_in(2).await.unwrap();
    client.bind(Channel::FIRST, address).await.unwrap();
    client.send(Channel::FIRST, b"there").await;
    assert_eq!(hear(&peer).await, (b"there".to_vec(), relayed));
    peer.send_to(b"and back", relayed).await.unwrap();
    assert_eq!(client.received().await.1, b"and back");
}

#[tokio::test]
async fn answers_and_data_leave_from_the_address_that_the_client_used() {
    for (wildcard, used, family) in [("0.0.0.0", "127.0.0.7", 1), ("::", "::1", 2)] {
        let mut config = turn(wildcard);
        config.relay_addresses = vec![
            if family == 1 { "127.0.0.1" } else { "::1" }
                .parse()
                .unwrap(),
        ];
        let server = serve(config).await;
        let (peer, address) = peer(if family == 1 { "127.0.0.1" } else { "::1" }).await;
        let mut at = udp_of(&server);
        at.set_ip(used.parse().unwrap());
        let mut client = Client::udp(at).await;
        let relayed = client.try_allocate_in(family).await.unwrap();
        client.bind(Channel::FIRST, address).await.unwrap();
        // One alone, and several that leave together.
        for count in [1, 5] {
            for _ in 0..count {
                peer.send_to(b"data", relayed).await.unwrap();
            }
            for _ in 0..count {
                assert_eq!(client.received().await.1, b"data");
            }
        }
    }
}

#[tokio::test]
async fn two_clients_meet_relay_to_relay() {
    let mut config = turn("0.0.0.0");
    // Not one that the owner has to allow: relays of a loopback address are nobody's peers.
    config.relay_addresses = vec!["127.0.0.1".parse().unwrap()];
    config.external_addresses = vec!["192.0.2.77".parse().unwrap()];
    config.allow_peers = Vec::new();
    let server = serve(config).await;
    let mut at = udp_of(&server);
    at.set_ip("127.0.0.1".parse().unwrap());
    let (mut ann, mut bob) = (Client::udp(at).await, Client::udp(at).await.named("bob"));
    let (of_ann, of_bob) = (ann.allocate().await, bob.allocate().await);
    assert_eq!(of_ann.ip().to_string(), "192.0.2.77");
    ann.bind(Channel::FIRST, of_bob).await.unwrap();
    bob.permit(of_ann).await.unwrap();
    ann.send(Channel::FIRST, b"hello").await;
    assert_eq!(bob.indicated().await, (of_ann, b"hello".to_vec()));
    bob.indicate(of_ann, b"hello yourself").await;
    assert_eq!(ann.received().await.1, b"hello yourself");
}

#[tokio::test]
async fn a_peer_that_is_not_there_hurts_no_other() {
    let server = serve(turn("127.0.0.1")).await;
    let (gone, nowhere) = peer("127.0.0.1").await;
    drop(gone);
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    let relayed = client.allocate().await;
    client.permit(address).await.unwrap();
    // Each is answered by ICMP: port unreachable.
    for _ in 0..20 {
        client.indicate(nowhere, b"anybody?").await;
    }
    client.indicate(address, b"you").await;
    assert_eq!(hear(&peer).await, (b"you".to_vec(), relayed));
    peer.send_to(b"me", relayed).await.unwrap();
    assert_eq!(client.indicated().await.1, b"me");
}

#[tokio::test]
async fn a_client_that_is_not_there_hurts_no_other() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut gone = Client::udp(udp_of(&server)).await;
    let nowhere = gone.allocate().await;
    gone.permit(address).await.unwrap();
    drop(gone);
    let mut client = Client::udp(udp_of(&server)).await.named("bob");
    let relayed = client.allocate().await;
    client.permit(address).await.unwrap();
    for _ in 0..20 {
        peer.send_to(b"anybody?", nowhere).await.unwrap();
        peer.send_to(b"you", relayed).await.unwrap();
        assert_eq!(client.indicated().await.1, b"you");
    }
}

#[tokio::test]
async fn what_is_no_message_is_not_answered_and_counted() {
    let server = serve(turn("127.0.0.1")).await;
    let mut client = Client::udp(udp_of(&server)).await;
    for junk in [&b""[..], b"x", &[0; 20], &[0x40, 0, 0, 9], &[0xff; 1500]] {
        client.write(junk).await;
    }
    // The next answer is that of the next request.
    assert_eq!(client.reflexive().await, client.local_addr());
    crate::life::until(|| server.state().turn_stats().unwrap().relay.malformed >= 4).await;
}
