//! PeerJS conversations over real sockets. The router's own promises are tested in `peerage-proto`; these are the shell's.

mod common;

use std::time::{Duration, Instant};

use common::{Client, PATIENCE, soon};
use futures_util::SinkExt;
use peerage_proto::identity::SigningKey;
use peerage_proto::identity::registration::prove;
use peerage_proto::wire::id::Token;
use peerage_proto::wire::signal::MAX_FRAME;
use peerage_proto::wire::statement::Time;
use peerage_server::testing::{TestServer, config};
use peerage_server::{BindError, Config, Server};
use tokio_tungstenite::tungstenite::{self, Message};

fn now() -> Time {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is past 1970");
    Time(since_epoch.as_millis() as u64)
}

fn register(key: &SigningKey, token: &str, host: &str) -> String {
    let proof = prove(key, host, &Token::parse(token).expect("a token"), now());
    format!(
        "/peerjs?key=peerjs&id={}&token={token}&proof={proof}",
        key.device_id()
    )
}

#[tokio::test]
async fn two_stock_clients_exchange_offer_answer_and_candidates() {
    let server = TestServer::start().await.unwrap();
    let (mut alice, mut bob) = (
        Client::open(&server, "alice").await,
        Client::open(&server, "bob").await,
    );
    alice.send(r#"{"type":"OFFER","payload":{"sdp":{"type":"offer","sdp":"v=0"},"connectionId":"dc_x"},"dst":"bob","src":"forged","extra":1}"#).await;
    assert_eq!(
        bob.receive().await,
        r#"{"type":"OFFER","src":"alice","dst":"bob","payload":{"sdp":{"type":"offer","sdp":"v=0"},"connectionId":"dc_x"}}"#
    );
    bob.send(r#"{"type":"ANSWER","payload":{"n": 1},"dst":"alice"}"#)
        .await;
    assert_eq!(
        alice.receive().await,
        r#"{"type":"ANSWER","src":"bob","dst":"alice","payload":{"n": 1}}"#
    );
    bob.0
        .send(Message::binary(
            r#"{"type":"CANDIDATE","payload":2,"dst":"alice"}"#,
        ))
        .await
        .unwrap();
    assert_eq!(
        alice.receive().await,
        r#"{"type":"CANDIDATE","src":"bob","dst":"alice","payload":2}"#
    );
}

#[tokio::test]
async fn a_late_callee_gets_what_waited_and_an_absent_one_expires() {
    let server = TestServer::start().await.unwrap();
    let mut alice = Client::open(&server, "alice").await;
    alice
        .send(r#"{"type":"OFFER","dst":"late","payload":1}"#)
        .await;
    alice
        .send(r#"{"type":"OFFER","dst":"ghost","payload":2}"#)
        .await;
    let mut late = Client::open(&server, "late").await;
    assert_eq!(
        late.receive().await,
        r#"{"type":"OFFER","src":"alice","dst":"late","payload":1}"#
    );
    assert_eq!(
        alice.receive().await,
        r#"{"type":"EXPIRE","src":"ghost","dst":"alice"}"#
    );
}

#[tokio::test]
async fn refusals_come_as_frames_and_the_socket_closes_without_a_code() {
    let server = TestServer::start().await.unwrap();
    let _holder = Client::open(&server, "held").await;
    for (path, frame) in [
        (
            "/peerjs",
            r#"{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}"#,
        ),
        (
            "/peerjs?key=bad&id=x&token=t",
            r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#,
        ),
        (
            "/peerjs?key=peerjs&id=held&token=other",
            r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#,
        ),
        (
            "/peerjs?key=peerjs&id=free&id=held&token=other",
            r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#,
        ),
    ] {
        let mut client = Client::dial(&server, path).await;
        assert_eq!(client.receive().await, frame, "{path}");
        assert_eq!(client.closed().await, 1005, "{path}");
    }
}

#[tokio::test]
async fn a_second_socket_with_the_token_takes_over_and_the_first_is_told() {
    let server = TestServer::start().await.unwrap();
    let mut first = Client::open(&server, "alice").await;
    let mut second = Client::open(&server, "alice").await;
    assert_eq!(first.closed().await, 4001);
    let mut bob = Client::open(&server, "bob").await;
    bob.send(r#"{"type":"OFFER","dst":"alice","payload":1}"#)
        .await;
    assert_eq!(
        second.receive().await,
        r#"{"type":"OFFER","src":"bob","dst":"alice","payload":1}"#
    );
}

#[tokio::test]
async fn a_dropped_socket_frees_its_id() {
    let server = TestServer::start().await.unwrap();
    let mut bob = Client::open(&server, "bob").await;
    drop(Client::open(&server, "alice").await);
    // Sent until it expires instead of arriving: then the id is free.
    loop {
        bob.send(r#"{"type":"OFFER","dst":"alice"}"#).await;
        if bob.receive().await.contains("EXPIRE") {
            break;
        }
    }
    let path = "/peerjs?key=peerjs&id=alice&token=other";
    assert_eq!(
        Client::dial(&server, path).await.receive().await,
        r#"{"type":"OPEN"}"#
    );
}

#[tokio::test]
async fn squatting_a_key_shaped_id_is_refused_and_its_owner_gets_it() {
    let server = TestServer::start().await.unwrap();
    let (owner, thief) = (
        SigningKey::from_bytes(&[7; 32]).unwrap(),
        SigningKey::from_bytes(&[8; 32]).unwrap(),
    );
    let id = owner.device_id();
    let forged =
        register(&thief, "t", "localhost").replace(thief.device_id().as_str(), id.as_str());
    let elsewhere = register(&owner, "t", "other.example");
    for path in [
        format!("/peerjs?key=peerjs&id={id}&token=t"),
        forged,
        elsewhere,
    ] {
        let mut squatter = Client::dial(&server, &path).await;
        assert_eq!(
            squatter.receive().await,
            r#"{"type":"ERROR","payload":{"msg":"This id belongs to a key: proof required"}}"#
        );
        squatter.closed().await;
    }
    let mut device = Client::dial(&server, &register(&owner, "t", "localhost")).await;
    assert_eq!(device.receive().await, r#"{"type":"OPEN"}"#);
}

#[tokio::test]
async fn the_owner_of_a_key_evicts_whoever_holds_its_id() {
    let server = TestServer::start().await.unwrap();
    let owner = SigningKey::from_bytes(&[7; 32]).unwrap();
    let mut half_dead = Client::dial(&server, &register(&owner, "before", "127.0.0.1")).await;
    assert_eq!(half_dead.receive().await, r#"{"type":"OPEN"}"#);
    let mut restarted = Client::dial(&server, &register(&owner, "after", "localhost")).await;
    assert_eq!(restarted.receive().await, r#"{"type":"OPEN"}"#);
    assert_eq!(half_dead.closed().await, 4001);
}

#[tokio::test]
async fn a_proof_may_name_the_servers_domain_but_not_whatever_host_the_request_names() {
    let server = TestServer::with(Config {
        domain: Some("devices.example".into()),
        ..config()
    })
    .await
    .unwrap();
    let owner = SigningKey::from_bytes(&[7; 32]).unwrap();
    let path = register(&owner, "t", "relay.example");
    let mut relayed = Client::try_dial(&server, "relay.example", &path)
        .await
        .unwrap();
    assert!(relayed.receive().await.contains("proof required"));
    let mut device = Client::dial(&server, &register(&owner, "t", "devices.example")).await;
    assert_eq!(device.receive().await, r#"{"type":"OPEN"}"#);
}

#[tokio::test]
async fn garbage_does_not_disturb_its_sender() {
    let server = TestServer::start().await.unwrap();
    let (mut alice, mut bob) = (
        Client::open(&server, "alice").await,
        Client::open(&server, "bob").await,
    );
    for garbage in [
        "{not json",
        "5",
        "null",
        "",
        r#"{"type":"CHAT","dst":"bob"}"#,
        r#"{"type":"OFFER"}"#,
    ] {
        alice.send(garbage).await;
    }
    alice
        .0
        .send(Message::binary(vec![0xff; 100]))
        .await
        .unwrap();
    alice
        .send(r#"{"type":"OFFER","dst":"bob","payload":"still here"}"#)
        .await;
    assert_eq!(
        bob.receive().await,
        r#"{"type":"OFFER","src":"alice","dst":"bob","payload":"still here"}"#
    );
}

#[tokio::test]
async fn a_message_too_long_closes_that_socket_alone() {
    let server = TestServer::start().await.unwrap();
    let (mut alice, mut bob) = (
        Client::open(&server, "alice").await,
        Client::open(&server, "bob").await,
    );
    let filler = "x".repeat(2 * 1024 * 1024);
    let _ = alice
        .0
        .send(Message::text(format!(
            r#"{{"type":"OFFER","dst":"bob","payload":"{filler}"}}"#
        )))
        .await;
    assert_eq!(alice.closed().await, 1009);
    bob.send(r#"{"type":"OFFER","dst":"bob"}"#).await;
    assert_eq!(
        bob.receive().await,
        r#"{"type":"OFFER","src":"bob","dst":"bob"}"#
    );
}

#[tokio::test]
async fn the_largest_message_passes() {
    let server = TestServer::start().await.unwrap();
    let (mut alice, mut bob) = (
        Client::open(&server, "alice").await,
        Client::open(&server, "bob").await,
    );
    let filler = "x".repeat(2 * 1024 * 1024 - 100);
    alice
        .send(&format!(
            r#"{{"type":"OFFER","dst":"bob","payload":"{filler}"}}"#
        ))
        .await;
    assert!(bob.receive().await.contains(&filler));
}

#[tokio::test]
async fn who_never_reads_is_closed_and_its_senders_go_on() {
    let server = TestServer::with(Config {
        send_queue: 1024 * 1024,
        octet_rate: 1 << 30,
        stall: Duration::from_millis(100),
        ..config()
    })
    .await
    .unwrap();
    let mut deaf = Client::open(&server, "deaf").await;
    let mut alice = Client::open(&server, "alice").await;
    let offer = format!(
        r#"{{"type":"OFFER","dst":"deaf","payload":"{}"}}"#,
        "x".repeat(20 * 1024)
    );
    // More than the queue and the system's buffers hold together, and not read.
    let flood = async {
        for _ in 0..1_000 {
            alice.send(&offer).await;
        }
    };
    soon("the flood", flood).await;
    alice.send(r#"{"type":"OFFER","dst":"alice"}"#).await;
    loop {
        let text = alice.receive().await;
        if text == r#"{"type":"OFFER","src":"alice","dst":"alice"}"# {
            break;
        }
    }
    let freed = async {
        let path = "/peerjs?key=peerjs&id=deaf&token=other";
        while Client::dial(&server, path).await.receive().await != r#"{"type":"OPEN"}"# {}
    };
    soon("the end of who does not read", freed).await;
    assert!([1006, 1013].contains(&deaf.closed().await));
}

#[tokio::test]
async fn who_reads_is_not_cut_by_those_who_write_more_than_it_reads() {
    flooded(64 * 1024, 400, 256 * 1024).await;
    // As long as they come: longer than that when the sender's id is in them.
    flooded(MAX_FRAME, 16, 3 * 1024 * 1024).await;
}

/// So many offers of this size, to one who reads only then, and for whom so much may wait.
async fn flooded(size: usize, sent: usize, send_queue: usize) {
    let server = TestServer::with(Config {
        send_queue,
        octet_rate: 1 << 30,
        ..config()
    })
    .await
    .expect("the server starts");
    let mut bob = Client::open(&server, "bob").await;
    let mut mallory = Client::open(&server, "mallory").await;
    let offer = |n: usize, filler: usize| {
        let filler = "x".repeat(filler);
        format!(r#"{{"type":"OFFER","dst":"bob","payload":"{n} {filler}"}}"#)
    };
    for n in 0..sent {
        mallory.send(&offer(n, size - offer(n, 0).len())).await;
    }
    // What is sent to oneself comes after the answers to what was sent before.
    mallory.send(r#"{"type":"OFFER","dst":"mallory"}"#).await;
    let mut expired = 0;
    while mallory.receive().await == r#"{"type":"EXPIRE","src":"bob","dst":"mallory"}"# {
        expired += 1;
    }
    assert!(expired > 0, "all of it found room: nothing is shown");
    let mut last = None;
    for _ in 0..sent - expired {
        let text = bob.receive().await;
        let number = text
            .split_once(r#""payload":""#)
            .and_then(|(_, payload)| payload.split_once(' '))
            .map(|(number, _)| number.parse());
        let n: usize = number.expect("a payload").expect("its number");
        assert!(last < Some(n), "what is delivered is in order, and once");
        last = Some(n);
    }
    mallory.send(r#"{"type":"LEAVE","dst":"bob"}"#).await;
    assert_eq!(
        bob.receive().await,
        r#"{"type":"LEAVE","src":"mallory","dst":"bob"}"#
    );
}

#[tokio::test]
async fn who_finds_more_waiting_than_a_send_queue_holds_is_not_locked_out_by_it() {
    let server = TestServer::with(Config {
        send_queue: 1024 * 1024,
        ..config()
    })
    .await
    .unwrap();
    let mut mallory = Client::open(&server, "mallory").await;
    let filler = "x".repeat(700 * 1024);
    for n in 0..3 {
        mallory
            .send(&format!(
                r#"{{"type":"OFFER","dst":"victim","payload":"{n}{filler}"}}"#
            ))
            .await;
    }
    // What is sent to oneself comes after what was done before.
    mallory.send(r#"{"type":"OFFER","dst":"mallory"}"#).await;
    mallory.receive().await;
    let mut victim = Client::open(&server, "victim").await;
    for n in 0..3 {
        assert!(victim.receive().await.contains(&format!(r#""{n}xxx"#)));
    }
}

#[tokio::test]
async fn who_talks_too_fast_is_read_later_not_cut() {
    let server = TestServer::with(Config {
        message_rate: 100,
        message_burst: 10,
        ..config()
    })
    .await
    .unwrap();
    let (mut alice, mut bob) = (
        Client::open(&server, "alice").await,
        Client::open(&server, "bob").await,
    );
    let started = Instant::now();
    for n in 0..60 {
        alice
            .send(&format!(r#"{{"type":"OFFER","dst":"bob","payload":{n}}}"#))
            .await;
    }
    for n in 0..60 {
        assert_eq!(
            bob.receive().await,
            format!(r#"{{"type":"OFFER","src":"alice","dst":"bob","payload":{n}}}"#)
        );
    }
    // 50 beyond the burst, at 100 a second; never sooner, however slow the machine.
    assert!(
        started.elapsed() > Duration::from_millis(400),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_silent_socket_is_closed_and_one_that_pings_is_not() {
    let mut config = config();
    config.signal.alive_for = Duration::from_millis(600);
    let server = TestServer::with(config).await.unwrap();
    let (mut silent, mut pinging) = (
        Client::open(&server, "silent").await,
        Client::open(&server, "pinging").await,
    );
    let closed = async {
        let closed = silent.closed();
        tokio::pin!(closed);
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                code = &mut closed => break code,
                _ = beat.tick() => pinging.0.send(Message::Ping(Vec::new().into())).await.unwrap(),
            }
        }
    };
    assert_eq!(soon("the silent one's end", closed).await, 1005);
    pinging.send(r#"{"type":"OFFER","dst":"pinging"}"#).await;
    let echo = async {
        loop {
            use futures_util::StreamExt;
            if let Message::Text(text) = pinging.0.next().await.unwrap().unwrap() {
                break text;
            }
        }
    };
    assert_eq!(
        soon("an echo", echo).await,
        r#"{"type":"OFFER","src":"pinging","dst":"pinging"}"#
    );
}

#[tokio::test]
async fn a_handshake_on_another_path_gets_400() {
    let server = TestServer::start().await.unwrap();
    for path in [
        "/other?key=peerjs&id=x&token=t",
        "/peerjs/?key=peerjs&id=x&token=t",
        "/__peerage/peerjs?key=peerjs&id=x&token=t",
    ] {
        match soon("an answer", Client::try_dial(&server, "localhost", path)).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400, "{path}"),
            other => panic!("{path}: no refusal but {:?}", other.map(|client| client.0)),
        }
    }
}

#[tokio::test]
async fn the_server_goes_down_in_time_with_clients_connected_even_deaf_ones() {
    let server = TestServer::start().await.unwrap();
    let mut polite = Client::open(&server, "polite").await;
    let _deaf = Client::open(&server, "deaf").await;
    let _unfinished = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    let started = Instant::now();
    let (code, ()) = tokio::join!(polite.closed(), server.stop());
    assert_eq!(code, 1001);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_no_socket_behind() {
    let server = TestServer::start().await.unwrap();
    let mut alice = Client::open(&server, "alice").await;
    drop(server);
    assert_eq!(alice.closed().await, 1006);
}

#[tokio::test]
async fn a_port_in_use_is_told_apart_from_other_failures() {
    let first = TestServer::start().await.unwrap();
    let taken = Config {
        listen: first.address(),
        ..Config::default()
    };
    assert!(
        matches!(Server::bind(taken).await, Err(BindError::InUse { address }) if address == first.address())
    );
    let foreign = Config {
        listen: ([192, 0, 2, 1], 0).into(),
        ..Config::default()
    };
    assert!(matches!(
        Server::bind(foreign).await,
        Err(BindError::Listen { .. })
    ));
    let wrong = Config {
        domain: Some("https://x".into()),
        ..config()
    };
    assert!(
        matches!(Server::bind(wrong).await, Err(BindError::Config(error)) if error.key == "domain")
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once_and_a_websocket_keeps_its_place() {
    let server = TestServer::with(Config {
        connections: 1,
        ..config()
    })
    .await
    .unwrap();
    let first = Client::open(&server, "first").await;
    let refused = soon(
        "the second's end",
        Client::try_dial(&server, "localhost", "/peerjs?key=peerjs&id=x&token=t"),
    )
    .await;
    assert!(refused.is_err());
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while Client::try_dial(&server, "localhost", "/peerjs?key=peerjs&id=x&token=t")
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "the place was never given back");
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_dropped() {
    let server = TestServer::with(Config {
        handshake: Duration::from_millis(200),
        ..config()
    })
    .await
    .unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon("the end", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
