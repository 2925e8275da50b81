//! `localhost` is two addresses: nobody else may answer at the other one.

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use common::{ask, soon};
use peerage_server::testing::{TestServer, config};
use peerage_server::{BindError, Config, Server};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn at(ip: IpAddr) -> Config {
    Config {
        listen: SocketAddr::new(ip, 0),
        ..config()
    }
}

/// Nothing to prove where there is no IPv6.
fn has_both_families() -> bool {
    TcpListener::bind((V6, 0)).is_ok()
}

#[tokio::test]
async fn a_server_on_loopback_answers_at_both_loopback_addresses_and_no_one_else_can() {
    if !has_both_families() {
        return;
    }
    for (asked, others) in [
        (V4, [V6, V4]),
        (V6, [V4, V6]),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), [V6, V4]),
    ] {
        let server = TestServer::with(at(asked)).await.unwrap();
        let port = server.address().port();
        for ip in others {
            let address = SocketAddr::new(ip, port);
            let banner = ask(address, "GET", "/", &[]).await;
            assert!(
                banner.body.contains("PeerJS Server"),
                "{asked} also at {ip}"
            );
            let squatter = TcpListener::bind(address);
            assert_eq!(
                squatter.unwrap_err().kind(),
                ErrorKind::AddrInUse,
                "{asked} also at {ip}"
            );
        }
        soon("the end", server.stop()).await;
    }
}

#[tokio::test]
async fn a_port_that_another_holds_at_the_other_loopback_address_is_in_use() {
    if !has_both_families() {
        return;
    }
    for (squatted, asked) in [(V6, V4), (V4, V6)] {
        // Until one is found that is free at the other address.
        let refused = async {
            loop {
                let squatter = TcpListener::bind((squatted, 0)).unwrap();
                let taken = squatter.local_addr().unwrap();
                let config = Config {
                    listen: SocketAddr::new(asked, taken.port()),
                    ..config()
                };
                match Server::bind(config).await {
                    Err(BindError::InUse { address }) if address == taken => break,
                    Err(BindError::InUse { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        soon("a port that is taken at one address alone", refused).await;
    }
}
