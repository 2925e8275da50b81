//! By TCP and TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerage_proto::wire::stun::{Builder, Class, Method, TransactionId};
use peerage_proto::wire::turn::Channel;
use peerage_server::testing::TestServer;
use peerage_server::{Config, TlsFiles, TurnConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, hear, peer, serve, tcp_of, turn, udp_of, with};
use crate::common::soon;
use crate::life::{free_port, until};

#[tokio::test]
async fn frames_of_any_length_go_to_a_peer_and_back() {
    let server = serve(turn("127.0.0.1")).await;
    round_trips(Client::tcp(tcp_of(&server)).await).await;
}

async fn round_trips(mut client: Client) {
    let (peer, address) = peer("127.0.0.1").await;
    let relayed = client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    for length in [0, 1, 2, 3, 4, 5, 1001, 1500, 60_001] {
        let data = vec![length as u8; length];
        client.send(Channel::FIRST, &data).await;
        assert_eq!(hear(&peer).await, (data.clone(), relayed), "{length}");
        peer.send_to(&data, relayed).await.unwrap();
        assert_eq!(client.received().await, (Channel::FIRST, data), "{length}");
    }
}

#[tokio::test]
async fn frames_come_whole_however_they_are_cut_and_joined() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::tcp(tcp_of(&server)).await;
    client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    let datagrams: Vec<Vec<u8>> = (0..30_usize).map(|at| vec![at as u8; at * at]).collect();
    let stream: Vec<u8> = datagrams
        .iter()
        .flat_map(|data| client.frame(Channel::FIRST, data))
        .collect();
    for piece in [1, 7, 1000, stream.len()] {
        // One octet at a time is enough for the first frames.
        let (slow, fast) = stream.split_at(if piece == 1 { 300 } else { 0 });
        for octets in slow.chunks(piece).chain(fast.chunks(piece.max(1000))) {
            client.write(octets).await;
        }
        for datagram in &datagrams {
            assert_eq!(hear(&peer).await.0, *datagram);
        }
    }
}

#[tokio::test]
async fn tls_of_both_versions_is_served_with_the_servers_certificate() {
    let made = rcgen::generate_simple_self_signed(["turn.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = Config {
        tls: Some(TlsFiles {
            cert: cert.clone(),
            key,
        }),
        ..with(TurnConfig {
            tls_listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..turn("127.0.0.1")
        })
    };
    let server = TestServer::with(config).await.unwrap();
    let at = server.state().turn().unwrap().tls[0];
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&cert).unwrap())
        .unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for protocol in [None, Some("stun.turn")] {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = protocol.iter().map(|it| it.as_bytes().to_vec()).collect();
            let stream = TcpStream::connect(at).await.unwrap();
            let name = ServerName::try_from("turn.example").unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            let stream = soon("the handshake", connector.connect(name, stream))
                .await
                .unwrap();
            round_trips(Client::stream(stream)).await;
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_frees_what_it_had() {
    let mut config = turn("127.0.0.1");
    let port = free_port();
    config.relay_ports = port..=port;
    let server = serve(config).await;
    let mut first = Client::tcp(tcp_of(&server)).await;
    let relayed = first.allocate().await;
    let mut second = Client::udp(udp_of(&server)).await;
    assert_eq!(second.try_allocate().await, Err(508));
    until(|| server.state().turn_stats().unwrap().relay.allocations == [0, 1, 0]).await;
    drop(first);
    until(|| server.state().turn_stats().unwrap().relay.allocations == [0; 3]).await;
    assert_eq!(second.allocate().await, relayed);
}

#[tokio::test]
async fn garbage_ends_a_connection() {
    let server = serve(turn("127.0.0.1")).await;
    let hello = Builder::new(Class::Request, Method::BINDING, TransactionId([1; 12])).finish();
    let channel_data = [0x40, 0, 0, 4, 1, 2, 3, 4];
    for (before, junk) in [
        (&[][..], &b"GET / HTTP/1.1\r\n"[..]),
        (&hello, &[0x16, 3, 1, 2]),
        (&[], &[0x16, 3, 1, 2]),
        (&[], &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43]),
        (&hello, &[0xff; 10]),
        (&hello, &[0x80]),
        // Nobody has a channel before an allocation.
        (&[], &channel_data),
    ] {
        let mut stream = TcpStream::connect(tcp_of(&server)).await.unwrap();
        stream.write_all(before).await.unwrap();
        if !before.is_empty() {
            let mut answer = [0; 32];
            soon("an answer", stream.read_exact(&mut answer))
                .await
                .unwrap();
        }
        stream.write_all(junk).await.unwrap();
        let mut rest = Vec::new();
        // Reset, where it had not read all.
        let _ = soon("the end", stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty());
    }
    until(|| server.state().turn_stats().unwrap().connections == [0, 0]).await;
}

#[tokio::test]
async fn who_does_not_read_loses_its_own_data_and_nobody_elses() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut slow = Client::tcp(tcp_of(&server)).await;
    let to_slow = slow.allocate().await;
    slow.bind(Channel::FIRST, address).await.unwrap();
    let mut fast = Client::tcp(tcp_of(&server)).await.named("bob");
    let to_fast = fast.allocate().await;
    fast.bind(Channel::FIRST, address).await.unwrap();
    let unread = || server.state().turn_stats().unwrap().unread;
    let mut rounds = 0;
    while unread() < 100 {
        rounds += 1;
        assert!(rounds < 5_000, "nothing is ever dropped");
        for _ in 0..16 {
            peer.send_to(&[1; 1200], to_slow).await.unwrap();
        }
        peer.send_to(&[2; 1200], to_fast).await.unwrap();
        assert_eq!(fast.received().await.1, [2; 1200]);
    }
    // What did come is whole.
    for _ in 0..50 {
        assert_eq!(slow.received().await.1, [1; 1200]);
    }
}

#[tokio::test]
async fn who_asks_without_reading_is_closed() {
    let server = serve(turn("127.0.0.1")).await;
    let mut stream = TcpStream::connect(tcp_of(&server)).await.unwrap();
    let hello = Builder::new(Class::Request, Method::BINDING, TransactionId([1; 12])).finish();
    let many = hello.repeat(1000);
    // Until the server closes, its kernel's buffers and ours being full.
    let flood = async { while stream.write_all(&many).await.is_ok() {} };
    soon("the end", flood).await;
    until(|| server.state().turn_stats().unwrap().connections == [0, 0]).await;
}

#[tokio::test]
async fn who_has_no_allocation_cannot_have_the_server_keep_long_frames() {
    let server = serve(turn("127.0.0.1")).await;
    let header = |length: u16| {
        let mut octets = Builder::new(Class::Request, Method::BINDING, TransactionId([1; 12]));
        octets = octets.put(0x8022, &[]);
        let mut octets = octets.finish();
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    };
    let mut stranger = TcpStream::connect(tcp_of(&server)).await.unwrap();
    stranger.write_all(&header(65_532)).await.unwrap();
    let mut rest = Vec::new();
    // Reset, where it had not read all.
    let _ = soon("the end", stranger.read_to_end(&mut rest)).await;
    until(|| server.state().turn_stats().unwrap().connections == [0, 0]).await;
    // Who has one is told apart, however the frame is cut.
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::tcp(tcp_of(&server)).await;
    client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    let frame = client.frame(Channel::FIRST, &[7; 50_000]);
    for piece in frame.chunks(9_000) {
        client.write(piece).await;
    }
    assert_eq!(hear(&peer).await.0, vec![7; 50_000]);
}

#[tokio::test]
async fn a_flood_by_tcp_leaves_the_others_their_turn() {
    let server = serve(turn("127.0.0.1")).await;
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    let relayed = client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    let flood: Vec<_> = (0..4)
        .map(|_| tokio::spawn(flood(tcp_of(&server))))
        .collect();
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    let mut rounds = 0;
    while tokio::time::Instant::now() < until {
        client.send(Channel::FIRST, b"there").await;
        assert_eq!(hear(&peer).await, (b"there".to_vec(), relayed));
        rounds += 1;
    }
    assert!(rounds > 50, "{rounds} round trips in a second");
    flood.into_iter().for_each(|task| task.abort());
}

/// Channel data that belongs to nobody, as fast as the server reads it.
async fn flood(at: SocketAddr) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let hello = Builder::new(Class::Request, Method::BINDING, TransactionId([1; 12])).finish();
    stream.write_all(&hello).await.unwrap();
    let many = [0x40, 0, 0, 4, 1, 2, 3, 4].repeat(4096);
    while stream.write_all(&many).await.is_ok() {}
}

#[tokio::test]
async fn one_address_has_as_many_connections_as_it_may() {
    let config = Config {
        connections_per_address: Some(2),
        ..with(turn("127.0.0.1"))
    };
    let server = TestServer::with(config).await.unwrap();
    let mut first = Client::tcp(tcp_of(&server)).await;
    let mut second = Client::tcp(tcp_of(&server)).await;
    first.reflexive().await;
    second.reflexive().await;
    Client::tcp(tcp_of(&server)).await.ended().await;
    drop(first);
    until(|| server.state().turn_stats().unwrap().connections == [1, 0]).await;
    Client::tcp(tcp_of(&server)).await.reflexive().await;
}
