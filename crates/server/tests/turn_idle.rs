//! What STUN and TURN cost when there is nothing to do. Alone in its process: it looks at the process's threads.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, TurnConfig};

/// Of all threads of STUN and TURN here.
fn processor_time() -> Duration {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: fs::DirEntry| {
        let read = |name| fs::read_to_string(thread.path().join(name)).ok();
        (read("comm")?.trim() == "peerage-turn").then_some(())?;
        let nanoseconds = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    };
    let times: Vec<_> = threads.flatten().filter_map(of).collect();
    assert!(!times.is_empty(), "no such thread");
    times.into_iter().sum()
}

#[tokio::test]
async fn an_idle_relay_uses_no_processor_also_after_errors() {
    let server = TestServer::with(Config {
        turn: Some(TurnConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            ..TurnConfig::default()
        }),
        ..config()
    })
    .await
    .unwrap();
    let places = server.state().turn().unwrap();
    // Each is answered, and the answers by ICMP: nobody is there any more.
    for _ in 0..50 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        socket.send_to(&binding, places.udp[0]).unwrap();
    }
    let _quiet = tokio::net::TcpStream::connect(places.tcp[0]).await.unwrap();
    // What is going on comes to its end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = processor_time();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = processor_time() - before;
    assert!(used < Duration::from_millis(5), "{used:?} of a second");
}
