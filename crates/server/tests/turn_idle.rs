//! What STUN and TURN cost when there is nothing to do. Alone in its process: it looks at the process's threads.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, TurnConfig};

/// Processor time, and how often it went to sleep, of the thread of STUN and TURN.
fn activity() -> (Duration, u64) {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let thread = fs::read_dir("/proc/self/task")
        .expect("Linux tells of threads")
        .flatten()
        .map(|thread| thread.path())
        .find(|path| read(path.join("comm")).trim() == "peerage-turn")
        .expect("there is such a thread");
    let times = read(thread.join("schedstat"));
    let nanoseconds = times.split(' ').next().and_then(|it| it.parse().ok());
    let status = read(thread.join("status"));
    let sleeps = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .and_then(|count| count.trim().parse().ok());
    (
        Duration::from_nanos(nanoseconds.expect("a number")),
        sleeps.expect("a number"),
    )
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
    let (before, slept) = activity();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (after, sleeps) = activity();
    let used = after - before;
    assert!(used < Duration::from_millis(5), "{used:?} of a second");
    assert!(sleeps - slept <= 2, "woken {} times", sleeps - slept);
}
