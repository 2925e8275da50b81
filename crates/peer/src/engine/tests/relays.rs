//! Engines with a TURN server between them, over loopback.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::super::*;
use super::turn_server::{TurnServer, credentials};
use crate::{Message, Route};

const SOON: Duration = Duration::from_secs(10);

struct End {
    engine: Engine,
    totals: Arc<Totals>,
}

/// One end of a connection that opens.
struct Side {
    conn: EngineConn,
    channel: Option<Channel>,
    /// Candidates of ours that were told.
    told: Vec<String>,
}

impl End {
    async fn new(server: &TurnServer, relay_only: bool, linger: Duration) -> Self {
        let totals = Arc::new(Totals::default());
        let engine = Engine::new(EngineConfig {
            addresses: Addresses::AllAndLoopback,
            relay_only,
            relay_linger: linger,
            roots: Roots {
                extra: vec![server.authority.clone()],
            },
            totals: totals.clone(),
            ..EngineConfig::default()
        })
        .expect("loopback is there");
        let servers = server.over_udp("ann");
        engine.set_ice_servers(servers).await.expect("it runs");
        Self { engine, totals }
    }

    async fn relay_only(server: &TurnServer) -> Self {
        Self::new(server, true, Duration::from_secs(60)).await
    }

    async fn any(server: &TurnServer) -> Self {
        Self::new(server, false, Duration::from_secs(60)).await
    }
}

impl Side {
    fn new(described: Described) -> (Self, String) {
        let side = Self {
            conn: described.conn,
            channel: None,
            told: Vec::new(),
        };
        (side, described.sdp)
    }

    /// Takes the next event; a candidate that may be told is returned.
    fn on(&mut self, event: Event, may_tell: impl Fn(&str) -> bool) -> Option<String> {
        match event {
            Event::Candidate(candidate) => {
                self.told.push(candidate.clone());
                return may_tell(&candidate).then_some(candidate);
            }
            Event::Certificate(_) | Event::Path(_) => {}
            Event::Open(channel) => self.channel = Some(channel),
        }
        None
    }

    fn channel(&mut self) -> &mut Channel {
        self.channel.as_mut().expect("open")
    }

    fn route(&self) -> Route {
        self.conn.facts().meter.route()
    }
}

/// An offer and its answer, before any candidate.
async fn begin(a: &End, b: &End) -> (Side, Side) {
    let (side_a, offer) = Side::new(a.engine.offer("x", true, 0).await.expect("offer"));
    let (side_b, answer) = Side::new(b.engine.answer(&offer).await.expect("answer"));
    side_a.conn.set_remote(&answer).await.expect("applied");
    (side_a, side_b)
}

/// Carries candidates until both channels are open; those that `may_tell` says no to are kept back.
async fn open(a: &mut Side, b: &mut Side, may_tell: impl Fn(&str) -> bool + Copy) {
    timeout(SOON, async {
        while a.channel.is_none() || b.channel.is_none() {
            tokio::select! {
                event = a.conn.event() => if let Some(candidate) = a.on(event.expect("alive"), may_tell) { b.conn.add_candidate(&candidate).await.expect("added") },
                event = b.conn.event() => if let Some(candidate) = b.on(event.expect("alive"), may_tell) { a.conn.add_candidate(&candidate).await.expect("added") },
            }
        }
    })
    .await
    .expect("opens soon");
}

async fn connect(a: &End, b: &End) -> (Side, Side) {
    let (mut side_a, mut side_b) = begin(a, b).await;
    open(&mut side_a, &mut side_b, |_| true).await;
    (side_a, side_b)
}

async fn echo(a: &mut Side, b: &mut Side) {
    for (from, to) in [(&mut *a, &mut *b)] {
        let large = Message::Binary(vec![7; 50_000].into());
        from.channel().send(large.clone()).await.expect("open");
        let got = timeout(SOON, to.channel().recv()).await.expect("soon");
        assert_eq!(got, Some(large.clone()));
        to.channel().send(large.clone()).await.expect("open");
        let got = timeout(SOON, from.channel().recv()).await.expect("soon");
        assert_eq!(got, Some(large));
    }
}

/// Waits for something of the server's to be so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    timeout(SOON, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_that_may_only_be_relayed_meet_and_both_know_it() {
    let server = TurnServer::start().await;
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    let begun = Instant::now();
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    echo(&mut side_a, &mut side_b).await;
    for (side, end) in [(&side_a, &a), (&side_b, &b)] {
        assert_eq!(side.route(), Route::Relayed);
        assert!(side.told.iter().all(|line| line.contains("typ relay")));
        let stats = end.totals.stats();
        assert!(stats.relayed.sent > 50_000 && stats.relayed.received > 50_000);
        assert_eq!((stats.direct.sent, stats.direct.received), (0, 0));
    }
    assert_eq!(server.allocations(), [2, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_is_enough_and_both_ends_say_relayed() {
    let server = TurnServer::start().await;
    for (a_only, b_only) in [(true, false), (false, true)] {
        let linger = Duration::from_secs(60);
        let (a, b) = (
            End::new(&server, a_only, linger).await,
            End::new(&server, b_only, linger).await,
        );
        let (mut side_a, mut side_b) = connect(&a, &b).await;
        echo(&mut side_a, &mut side_b).await;
        assert_eq!(side_a.route(), Route::Relayed);
        assert_eq!(side_b.route(), Route::Relayed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_path_goes_before_a_relay_that_is_there_too() {
    let server = TurnServer::start().await;
    let (a, b) = (End::any(&server).await, End::any(&server).await);
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    echo(&mut side_a, &mut side_b).await;
    // And stays, once the relays take part.
    tokio::time::sleep(2 * paths::HEAD_START).await;
    echo(&mut side_a, &mut side_b).await;
    for (side, end) in [(&side_a, &a), (&side_b, &b)] {
        assert_eq!(side.route(), Route::Direct);
        assert!(
            !side
                .conn
                .facts()
                .meter
                .routes()
                .has_changed()
                .expect("alive")
        );
        // Checks of the relay are the only thing that goes there.
        assert!(end.totals.stats().relayed.sent < 10_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_path_that_is_found_later_takes_over_and_the_change_is_told() {
    let server = TurnServer::start().await;
    let (a, b) = (End::any(&server).await, End::any(&server).await);
    let (mut side_a, mut side_b) = begin(&a, &b).await;
    open(&mut side_a, &mut side_b, |line| line.contains("typ relay")).await;
    echo(&mut side_a, &mut side_b).await;
    assert_eq!(side_a.route(), Route::Relayed);
    let mut routes = side_a.conn.facts().meter.routes();
    for line in side_a.told.clone() {
        side_b.conn.add_candidate(&line).await.expect("added");
    }
    for line in side_b.told.clone() {
        side_a.conn.add_candidate(&line).await.expect("added");
    }
    let told = timeout(SOON, async {
        while *routes.borrow_and_update() == Route::Relayed {
            // Messages show the way they take.
            side_a
                .channel
                .as_mut()
                .expect("open")
                .send(Message::Text("?".into()))
                .await
                .expect("open");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    told.await.expect("direct soon");
    assert_eq!(side_a.route(), Route::Direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_is_blocked_tcp_carries_the_relay_and_connects_within_5_seconds() {
    let server = TurnServer::start().await;
    server.be_deaf();
    let mut servers = server.ice_servers("ann");
    servers[0].urls.truncate(2);
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    for end in [&a, &b] {
        let servers = servers.clone();
        end.engine.set_ice_servers(servers).await.expect("it runs");
    }
    let begun = Instant::now();
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    echo(&mut side_a, &mut side_b).await;
    assert_eq!(server.allocations(), [0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_tls_gets_through_it_carries_the_relay_and_connects_within_5_seconds() {
    let server = TurnServer::start().await;
    server.be_deaf();
    // Takes connections and says nothing, as some proxies do.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let mut servers = server.ice_servers("ann");
    servers[0].urls[1].port = mute.local_addr().expect("bound").port();
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    for end in [&a, &b] {
        let servers = servers.clone();
        end.engine.set_ice_servers(servers).await.expect("it runs");
    }
    let begun = Instant::now();
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    echo(&mut side_a, &mut side_b).await;
    assert_eq!(server.allocations(), [0, 0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_connections_holds_no_allocation_and_connections_share_one() {
    let server = TurnServer::start().await;
    let linger = Duration::from_millis(300);
    let (a, b) = (
        End::new(&server, true, linger).await,
        End::new(&server, true, linger).await,
    );
    assert_eq!(server.stats().bindings, 0);
    assert_eq!(server.allocations(), [0; 3]);
    let (first_a, first_b) = connect(&a, &b).await;
    let c = End::new(&server, true, linger).await;
    let (second_a, second_b) = connect(&c, &b).await;
    assert_eq!(server.allocations(), [3, 0, 0], "one for each of the three");
    drop((first_a, first_b, second_a, second_b));
    until("allocations are given back", || {
        server.allocations() == [0; 3]
    })
    .await;
    // And made again for the next.
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    echo(&mut side_a, &mut side_b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_ends_gives_its_allocation_back_at_once() {
    let server = TurnServer::start().await;
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    let sides = connect(&a, &b).await;
    assert_eq!(server.allocations(), [2, 0, 0]);
    drop(sides);
    timeout(SOON, async {
        tokio::join!(a.engine.stop(), b.engine.stop())
    })
    .await
    .expect("ends");
    until("given back", || server.allocations() == [0; 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_credentials_bring_a_new_relay_and_live_connections_stay_open() {
    let server = TurnServer::start().await;
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    let before = side_a.told.len();
    let servers = server.over_udp("ann later");
    a.engine.set_ice_servers(servers).await.expect("it runs");
    timeout(SOON, async {
        while side_a.told.len() == before {
            let event = side_a.conn.event().await.expect("alive");
            if let Some(line) = side_a.on(event, |_| true) {
                side_b.conn.add_candidate(&line).await.expect("added");
            }
        }
    })
    .await
    .expect("another relay is told");
    assert_eq!(server.allocations(), [3, 0, 0]);
    echo(&mut side_a, &mut side_b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_the_allocation_is_asked_for_another_with_the_next_connection() {
    let server = TurnServer::start().await;
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    let first = connect(&a, &b).await;
    server.restart();
    let c = End::relay_only(&server).await;
    let (mut side_c, mut side_b) = connect(&c, &b).await;
    echo(&mut side_c, &mut side_b).await;
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_cost_nothing_but_the_relay() {
    let server = TurnServer::start().await;
    let (a, b) = (End::any(&server).await, End::any(&server).await);
    let mut servers = server.ice_servers("ann");
    servers[0].credentials = Some(credentials("ann", Duration::ZERO));
    a.engine.set_ice_servers(servers).await.expect("it runs");
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    echo(&mut side_a, &mut side_b).await;
    until("it was refused", || !server.stats().refused.is_empty()).await;
    assert!(side_a.told.iter().all(|line| line.contains("typ host")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_tells_of_the_relays_again_and_they_go_on_carrying() {
    let server = TurnServer::start().await;
    let (a, b) = (
        End::relay_only(&server).await,
        End::relay_only(&server).await,
    );
    let (mut side_a, mut side_b) = connect(&a, &b).await;
    let offer = side_a.conn.restart().await.expect("offered");
    let answer = side_b.conn.answer_restart(&offer).await.expect("answered");
    side_a.conn.set_remote(&answer).await.expect("applied");
    let is_new = |line: &String, of: &str| {
        line.contains("typ relay") && sdp::candidate_ufrag(line) == sdp::attribute(of, "ice-ufrag")
    };
    timeout(SOON, async {
        while !side_a.told.iter().any(|line| is_new(line, &offer))
            || !side_b.told.iter().any(|line| is_new(line, &answer))
        {
            tokio::select! {
                event = side_a.conn.event() => if let Some(candidate) = side_a.on(event.expect("alive"), |_| true) { side_b.conn.add_candidate(&candidate).await.expect("added") },
                event = side_b.conn.event() => if let Some(candidate) = side_b.on(event.expect("alive"), |_| true) { side_a.conn.add_candidate(&candidate).await.expect("added") },
            }
        }
    })
    .await
    .expect("told again");
    echo(&mut side_a, &mut side_b).await;
    assert_eq!(
        (side_a.route(), side_b.route()),
        (Route::Relayed, Route::Relayed)
    );
    assert_eq!(server.allocations()[0], 2, "the same ones");
}
