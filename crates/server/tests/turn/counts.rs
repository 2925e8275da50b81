//! What is told to Prometheus.

use peerage_proto::wire::turn::Channel;
use peerage_server::Config;
use peerage_server::testing::{TestServer, config};

use crate::client::{Client, hear, peer, tcp_of, turn, udp_of, with};
use crate::common::ask;

/// The value of a sample, by its name and labels as they are written.
async fn value(server: &TestServer, sample: &str) -> u64 {
    let at = server.metrics().expect("it is served");
    let page = ask(at, "GET", "/metrics", &[]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(page.body.ends_with("# EOF\n"));
    let line = page.body.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == sample).then(|| value.parse().expect("a number"))
    });
    line.unwrap_or_else(|| panic!("no {sample} in:\n{}", page.body))
}

async fn becomes(server: &TestServer, sample: &str, wanted: u64) {
    let waiting = async {
        while value(server, sample).await != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    crate::common::soon(sample, waiting).await;
}

#[tokio::test]
async fn what_happens_is_counted_by_kind() {
    let server = TestServer::with(Config {
        metrics: Some("127.0.0.1:0".parse().unwrap()),
        ..with(turn("127.0.0.1"))
    })
    .await
    .unwrap();
    let (peer, address) = peer("127.0.0.1").await;
    let mut client = Client::udp(udp_of(&server)).await;
    client.reflexive().await;
    let relayed = client.allocate().await;
    client.bind(Channel::FIRST, address).await.unwrap();
    assert_eq!(client.permit("10.0.0.1:9".parse().unwrap()).await, Err(403));
    client.send(Channel::FIRST, b"there").await;
    hear(&peer).await;
    peer.send_to(b"back", relayed).await.unwrap();
    client.received().await;
    // Nobody's.
    client.indicate("192.0.2.9:9".parse().unwrap(), b"x").await;
    let mut other = Client::tcp(tcp_of(&server)).await;
    other.allocate().await;
    for (sample, wanted) in [
        ("peerage_turn_dropped_total{cause=\"no_permission\"}", 1),
        ("peerage_turn_allocations{transport=\"udp\"}", 1),
        ("peerage_turn_allocations{transport=\"tcp\"}", 1),
        ("peerage_turn_allocations{transport=\"tls\"}", 0),
        ("peerage_turn_allocated_total{transport=\"udp\"}", 1),
        ("peerage_turn_connections{transport=\"tcp\"}", 1),
        ("peerage_turn_bindings_total", 1),
        ("peerage_turn_refused_total{code=\"401\"}", 2),
        ("peerage_turn_refused_total{code=\"403\"}", 1),
        ("peerage_turn_relayed_packets_total{direction=\"up\"}", 1),
        ("peerage_turn_relayed_bytes_total{direction=\"up\"}", 5),
        ("peerage_turn_relayed_bytes_total{direction=\"down\"}", 4),
        ("peerage_server_misses_total", 0),
        ("peerage_server_connections", 1),
    ] {
        becomes(&server, sample, wanted).await;
    }
    drop(other);
    for sample in [
        "peerage_turn_allocations{transport=\"tcp\"}",
        "peerage_turn_connections{transport=\"tcp\"}",
        "peerage_server_connections",
    ] {
        becomes(&server, sample, 0).await;
    }
}

#[tokio::test]
async fn nothing_is_told_unless_it_is_asked_for_and_nothing_else_is_there() {
    let server = TestServer::with(config()).await.unwrap();
    assert_eq!(server.metrics(), None);
    let page = ask(server.address(), "GET", "/metrics", &[]).await;
    assert_eq!(page.status, 404);
    let server = TestServer::with(Config {
        metrics: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    })
    .await
    .unwrap();
    let at = server.metrics().unwrap();
    assert_eq!(ask(at, "GET", "/peerjs/id", &[]).await.status, 404);
    assert_eq!(value(&server, "peerage_server_misses_total").await, 0);
    server.stop().await;
    assert!(std::net::TcpStream::connect(at).is_err());
}
