//! What connections cost in memory: idle ones, and those that are gone. Each test has a process of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Others want more of it.
#[path = "peer/relay.rs"]
mod relay;

use std::future::Future;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use futures_util::future::{join_all, try_join_all};
use peerage_peer::{ConnectOptions, Connection, Peer, Value};
use tikv_jemalloc_ctl::{epoch, stats};

use relay::Relay;

/// As the command's. It can tell how much is allocated, to the octet.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Nothing here takes longer, however busy the machine is.
const SOON: Duration = Duration::from_secs(60);

/// Says that a process runs one test alone.
const ALONE: &str = "PEERAGE_MEMORY_TEST_ALONE";

/// Peers that call, peers that are called, and connections between each two: 1,024.
const CALLING: usize = 16;
const CALLED: usize = 8;
const EACH: usize = 8;
/// What an end of an idle connection may take of the process's resident memory, in octets. The aim is 60,000: `bench/README.md` says where it goes.
const IDLE: usize = 90_000;

/// Callers whose connections open and close, one after the other at each.
const CALLERS: usize = 4;
/// What a connection that is gone may leave behind, in octets, on average. Of a thousand that is as much as four live ones take: tables grow by as much when
/// some more happen to say goodbye at the same time.
const LEFT: usize = 256;
/// Above the longest goodbye.
const QUIET: Duration = Duration::from_secs(6);

/// 1,024 connections, on each of which something was said each way. Both ends are in this process and count: the growth of its resident memory is divided by
/// 2,048.
#[test]
fn an_end_of_an_idle_connection_takes_less_than_90_kb_with_2048_in_a_process() {
    alone(
        "an_end_of_an_idle_connection_takes_less_than_90_kb_with_2048_in_a_process",
        async {
            let relay = Relay::start().await;
            let callers = peers(&relay, CALLING).await;
            let callees = peers(&relay, CALLED).await;
            // The first of each peer pays for what all of them use.
            for (caller, callee) in callers.iter().zip(callees.iter().cycle()) {
                let first = caller.connect(callee.id(), ConnectOptions::default());
                soon(first).await.unwrap().close();
                soon(soon(callee.incoming()).await.unwrap().closed()).await;
            }
            relay.forget();
            let before = resident();
            let each = callers.iter().map(async |caller| {
                let mut ends = Vec::new();
                for callee in callees.iter().cycle().take(CALLED * EACH) {
                    let end = caller.connect(callee.id(), ConnectOptions::default());
                    let end = end.await.unwrap();
                    greet(&end).await;
                    ends.push(end);
                }
                ends
            });
            let answers = callees.iter().map(async |callee| {
                let mut ends = Vec::new();
                for _ in 0..CALLING * EACH {
                    let end = callee.incoming().await.unwrap();
                    assert_eq!(end.recv().await, Some(Ok(Value::from("there"))));
                    end.send("and back").await.unwrap();
                    ends.push(end);
                }
                ends
            });
            let (there, here) =
                soon(async { tokio::join!(join_all(each), join_all(answers)) }).await;
            relay.forget();
            let ends: Vec<_> = there.into_iter().chain(here).flatten().collect();
            assert_eq!(ends.len(), 2 * CALLING * CALLED * EACH);
            let each = resident().saturating_sub(before) / ends.len();
            eprintln!("an idle end takes {each} octets");
            assert!(each < IDLE, "{each} octets");
            assert!(ends.iter().all(|end| end.close_reason().is_none()));
        },
    );
}

#[test]
fn a_thousand_connections_opened_and_closed_leave_nothing_behind() {
    alone(
        "a_thousand_connections_opened_and_closed_leave_nothing_behind",
        async {
            let each = left_behind(1_000, |_| ()).await;
            eprintln!("{each} octets are left of a connection");
            assert!(each < LEFT, "{each} octets are left of each");
        },
    );
}

#[test]
fn a_small_leak_would_show() {
    alone("a_small_leak_would_show", async {
        let leak = |_: &Connection| std::mem::forget(vec![0_u8; 4 * LEFT]);
        assert!(left_behind(400, leak).await >= LEFT);
    });
}

/// Opens and closes connections, says something each way on them, and does `with` the calling end; what stays allocated of each, on average, beside what
/// the first ones left.
async fn left_behind(connections: usize, with: impl Fn(&Connection)) -> usize {
    let relay = Relay::start().await;
    let callers = peers(&relay, CALLERS).await;
    let callee = peers(&relay, 1).await.remove(0);
    let open_and_close = async |times: usize, with: &dyn Fn(&Connection)| {
        let calls = callers.iter().map(async |caller| {
            for _ in 0..times / CALLERS {
                let end = caller.connect(callee.id(), ConnectOptions::default()).await;
                let end = end.unwrap();
                greet(&end).await;
                with(&end);
                end.close();
                end.closed().await;
            }
        });
        let answers = async {
            for _ in 0..times {
                let end = callee.incoming().await.unwrap();
                tokio::spawn(async move { answer(&end).await });
            }
        };
        soon(async { tokio::join!(join_all(calls), answers) }).await;
        relay.forget();
    };
    open_and_close(connections, &|_| ()).await;
    let before = allocated().await;
    open_and_close(connections, &with).await;
    allocated().await.saturating_sub(before) / connections
}

async fn peers(relay: &Relay, count: usize) -> Vec<Peer> {
    let peers = (0..count).map(|_| {
        Peer::builder()
            .server(relay.url())
            .allow_unverified(true)
            .open()
    });
    soon(try_join_all(peers)).await.unwrap()
}

async fn greet(end: &Connection) {
    end.send("there").await.unwrap();
    assert_eq!(end.recv().await, Some(Ok(Value::from("and back"))));
}

/// And stays until the caller closes.
async fn answer(end: &Connection) {
    assert_eq!(end.recv().await, Some(Ok(Value::from("there"))));
    end.send("and back").await.unwrap();
    end.closed().await;
}

/// Octets of the process's memory that are in the machine's.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() * 1024
}

/// Octets that the process has allocated and not freed, once that has become no less for a while: what ends takes a moment for its goodbyes.
async fn allocated() -> usize {
    let mut least = usize::MAX;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        epoch::advance().unwrap();
        let now = stats::allocated::read().unwrap();
        if now < least {
            (least, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    least
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("soon")
}

/// Runs a test in a process that has nothing else to do.
fn alone(name: &str, test: impl Future<Output = ()>) {
    if env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(test);
    }
    let status = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .status();
    assert!(status.unwrap().success());
}
