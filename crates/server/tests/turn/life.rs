//! From bind to end, and what is refused.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use peerage_proto::wire::turn::Channel;
use peerage_server::testing::TestServer;
use peerage_server::{BindError, Config, Server, TurnConfig, TurnError, TurnTransport};

use crate::client::{Client, peer, serve, tcp_of, turn, udp_of, with};
use crate::common::{ask, soon};

/// Waits for what comes by itself.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("what is waited for", waiting).await;
}

/// One that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_port_is_free_again_once_its_client_gives_it_back() {
    let port = free_port();
    let server = serve(TurnConfig {
        relay_ports: port..=port,
        ..turn("127.0.0.1")
    })
    .await;
    let mut client = Client::udp(udp_of(&server)).await;
    for _ in 0..5 {
        let relayed = client.allocate().await;
        assert_eq!(relayed.port(), port);
        assert!(UdpSocket::bind(relayed).is_err(), "nobody has the port");
        client.refresh(0).await.unwrap();
        // The answer comes with the socket closed or about to be.
        until(|| UdpSocket::bind(relayed).is_ok()).await;
    }
}

#[tokio::test]
async fn a_port_that_another_program_has_is_passed_over() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let server = serve(TurnConfig {
        relay_ports: port - 1..=port + 1,
        ..turn("127.0.0.1")
    })
    .await;
    let mut client = Client::udp(udp_of(&server)).await;
    assert_ne!(client.allocate().await.port(), port);
}

#[tokio::test]
async fn a_user_has_as_many_allocations_as_it_may() {
    let server = serve(TurnConfig {
        user_quota: 1,
        ..turn("127.0.0.1")
    })
    .await;
    let mut first = Client::udp(udp_of(&server)).await;
    first.allocate().await;
    let mut second = Client::tcp(tcp_of(&server)).await;
    assert_eq!(second.try_allocate().await, Err(486));
    Client::udp(udp_of(&server))
        .await
        .named("bob")
        .allocate()
        .await;
    first.refresh(0).await.unwrap();
    second.allocate().await;
}

#[tokio::test]
async fn nobody_is_relayed_to_what_is_not_public() {
    let server = serve(TurnConfig {
        allow_peers: Vec::new(),
        ..turn("127.0.0.1")
    })
    .await;
    let mut client = Client::udp(udp_of(&server)).await;
    client.allocate().await;
    let (_peer, here) = peer("127.0.0.1").await;
    let mut addresses: Vec<SocketAddr> = ["10.0.0.1:9", "169.254.169.254:80", "100.64.0.1:9"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    // And to this machine by none of its addresses.
    addresses.push(here);
    addresses.push(server.address());
    let interfaces = if_addrs::get_if_addrs().unwrap();
    addresses.extend(
        interfaces
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(std::net::IpAddr::is_ipv4)
            .map(|ip| SocketAddr::new(ip, 22)),
    );
    for address in addresses {
        assert_eq!(client.permit(address).await, Err(403), "{address}");
        let bound = client.bind(Channel::FIRST, address).await;
        assert_eq!(bound, Err(403), "{address}");
    }
}

#[tokio::test]
async fn a_default_port_that_is_taken_leaves_that_part_off_and_all_else_on() {
    // Whoever has it.
    let _taken = UdpSocket::bind("127.0.0.1:3478");
    let server = TestServer::with(with(TurnConfig::default())).await.unwrap();
    let places = server.state().turn().unwrap();
    let missed = places.missed.iter().any(|missed| {
        matches!(missed, TurnError::InUse { transport: TurnTransport::Udp, address } if address.port() == 3478 && address.is_ipv4())
    });
    assert!(missed, "{places:?}");
    assert!(places.udp.iter().all(|address| !address.is_ipv4()));
    let page = ask(server.address(), "GET", "/peerjs/id", &[]).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_named_place_must_be_free() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, transport) in [
        (udp.local_addr().unwrap(), TurnTransport::Udp),
        (tcp.local_addr().unwrap(), TurnTransport::Tcp),
    ] {
        let config = with(TurnConfig {
            listen: vec![address],
            ..turn("127.0.0.1")
        });
        let Err(BindError::Turn(TurnError::InUse {
            transport: told,
            address: at,
        })) = Server::bind(config).await
        else {
            panic!("{address} was had twice");
        };
        assert_eq!((told, at), (transport, address));
    }
}

#[tokio::test]
async fn an_address_that_is_not_this_machines_cannot_be_named() {
    let elsewhere = "192.0.2.1".parse().unwrap();
    let config = with(TurnConfig {
        relay_addresses: vec![elsewhere],
        ..turn("127.0.0.1")
    });
    let refused = Server::bind(config).await;
    assert!(
        matches!(refused, Err(BindError::Turn(TurnError::Relay { address, .. })) if address == elsewhere)
    );
    let config = with(turn("192.0.2.1"));
    let refused = Server::bind(config).await;
    assert!(matches!(
        refused,
        Err(BindError::Turn(TurnError::Listen { .. }))
    ));
}

/// All that a server has open.
async fn busy(config: Config) -> (TestServer, Client, [SocketAddr; 3]) {
    let server = TestServer::with(config).await.unwrap();
    let mut client = Client::tcp(tcp_of(&server)).await;
    let relayed = client.allocate().await;
    let places = [udp_of(&server), tcp_of(&server), relayed];
    (server, client, places)
}

fn is_free([udp, tcp, relayed]: [SocketAddr; 3]) -> bool {
    [udp, relayed].iter().all(|at| UdpSocket::bind(at).is_ok())
        && std::net::TcpStream::connect(tcp).is_err()
}

#[tokio::test]
async fn the_servers_end_ends_all_of_it() {
    let (server, mut client, places) = busy(with(turn("127.0.0.1"))).await;
    assert!(!is_free(places));
    soon("the end", server.stop()).await;
    assert!(is_free(places), "something is still open");
    client.ended().await;
}

#[tokio::test]
async fn dropping_the_server_ends_all_of_it() {
    let (server, mut client, places) = busy(with(turn("127.0.0.1"))).await;
    drop(server);
    until(|| is_free(places)).await;
    client.ended().await;
}

#[tokio::test]
async fn a_server_that_never_ran_leaves_nothing_open() {
    let server = Server::bind(with(turn("127.0.0.1"))).await.unwrap();
    let places = server.state().turn().unwrap();
    let (udp, tcp) = (places.udp[0], places.tcp[0]);
    drop(server);
    assert!(is_free([udp, tcp, SocketAddr::new(udp.ip(), free_port())]));
}
