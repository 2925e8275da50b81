//! What a client may do to the server with a WebSocket of its own making: frames by hand, over plain TCP.

mod common;

use std::time::Duration;

use common::{Client, soon};
use peerage_server::Config;
use peerage_server::testing::{TestServer, config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// FIN is not set.
const TEXT_BEGUN: u8 = 0x01;
const CONTINUED: u8 = 0x00;

const HEARTBEAT: &[u8] = br#"{"type":"HEARTBEAT"}"#;
const MAX: usize = 2 * 1024 * 1024;

/// A socket whose owner says what he likes.
struct Raw(TcpStream);

impl Raw {
    /// Opened and registered.
    async fn open(server: &TestServer, query: &str) -> Self {
        let mut raw = Self::handshake(server, query, &[]).await;
        assert_eq!(raw.frame().await, (TEXT, br#"{"type":"OPEN"}"#.to_vec()));
        raw
    }

    /// The upgrade, with octets that follow in the same write.
    async fn handshake(server: &TestServer, query: &str, more: &[u8]) -> Self {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("the server listens");
        let head = format!(
            "GET /peerjs?key=peerjs&{query} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream
            .write_all(&[head.as_bytes(), more].concat())
            .await
            .expect("the server reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let octet = soon("an answer", stream.read_u8()).await;
            answer.push(octet.expect("an answer has an end"));
        }
        let answer = String::from_utf8(answer).expect("an answer is text");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Self(stream)
    }

    async fn send(&mut self, octets: &[u8]) {
        soon("sending", self.0.write_all(octets))
            .await
            .expect("the server reads");
    }

    /// The next frame of the server, short or long.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let first = self.0.read_u8().await?;
            let length = match self.0.read_u8().await? {
                126 => usize::from(self.0.read_u16().await?),
                127 => usize::try_from(self.0.read_u64().await?).expect("a length"),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await?;
            std::io::Result::Ok((first, payload))
        };
        soon("a frame", read)
            .await
            .expect("the socket is open and a frame comes")
    }

    /// The code of the server's close frame, which comes after nothing but texts; then the end.
    async fn closed(&mut self) -> u16 {
        loop {
            match self.frame().await {
                (CLOSE, payload) => {
                    let mut rest = Vec::new();
                    let end = soon("the end", self.0.read_to_end(&mut rest)).await;
                    assert!(end.is_err() || rest.is_empty(), "nothing follows a close");
                    return payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code));
                }
                (first, _) => assert_eq!(first, TEXT),
            }
        }
    }

    /// Without a goodbye.
    async fn cut(mut self) {
        let mut rest = Vec::new();
        let _ = soon("the end", self.0.read_to_end(&mut rest)).await;
    }
}

fn header(first: u8, length: usize, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut octets = vec![first];
    match length {
        0..=125 => octets.push(mask_bit | length as u8),
        126..=0xffff => {
            octets.push(mask_bit | 126);
            octets.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            octets.push(mask_bit | 127);
            octets.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if masked {
        // A mask of zeros is one, and leaves the payload as it is.
        octets.extend_from_slice(&[0; 4]);
    }
    octets
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [header(first, payload.len(), true), payload.to_vec()].concat()
}

fn offer(dst: &str, size: usize) -> Vec<u8> {
    let frame = |filler: usize| {
        let filler = "x".repeat(filler);
        format!(r#"{{"type":"OFFER","dst":"{dst}","payload":"{filler}"}}"#)
    };
    frame(size - frame(0).len()).into_bytes()
}

/// Not long, but longer than a busy machine needs for what is to happen before.
fn quick() -> Config {
    Config {
        stall: Duration::from_millis(300),
        ..config()
    }
}

/// Who did nothing wrong is served as before.
async fn still_serves(server: &TestServer, witness: &mut Client) {
    witness
        .send(r#"{"type":"OFFER","dst":"witness","payload":1}"#)
        .await;
    let expected = r#"{"type":"OFFER","src":"witness","dst":"witness","payload":1}"#;
    assert_eq!(witness.receive().await, expected);
    let newcomer = Client::open(server, "newcomer").await;
    drop(newcomer);
}

#[tokio::test]
async fn a_violation_of_the_protocol_closes_that_socket_alone_with_the_code_for_it() {
    let server = TestServer::start().await.unwrap();
    let mut witness = Client::open(&server, "witness").await;
    for (octets, code) in [
        ([header(TEXT, 1, false), b"x".to_vec()].concat(), 1002),
        (frame(0xc1, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x09, b""), 1002),
        (frame(PING, &[0; 126]), 1002),
        ([frame(TEXT_BEGUN, b"x"), frame(TEXT, b"x")].concat(), 1002),
        (frame(CLOSE, &[1]), 1002),
        (frame(TEXT, &[0xc3, 0x28]), 1007),
        (
            [frame(TEXT_BEGUN, &[0xc3]), frame(0x80, b"(")].concat(),
            1007,
        ),
        (header(TEXT, MAX + 1, true), 1009),
        (header(0x82, usize::MAX >> 1, true), 1009),
    ] {
        let mut raw = Raw::open(&server, "id=raw&token=t").await;
        raw.send(&octets).await;
        assert_eq!(
            raw.closed().await,
            code,
            "{:?}",
            &octets[..octets.len().min(16)]
        );
        still_serves(&server, &mut witness).await;
    }
}

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_in_one_piece_or_many_and_no_longer() {
    let server = TestServer::start().await.unwrap();
    let mut bob = Client::open(&server, "bob").await;
    let whole = offer("bob", MAX);
    let mut raw = Raw::open(&server, "id=raw&token=t").await;
    raw.send(&frame(TEXT, &whole)).await;
    let (first, rest) = whole.split_at(1_000_000);
    raw.send(
        &[
            frame(TEXT_BEGUN, first),
            frame(PING, b"between"),
            frame(0x80, rest),
        ]
        .concat(),
    )
    .await;
    for _ in 0..2 {
        let received = bob.receive().await;
        assert_eq!(received.len(), MAX + r#""src":"raw","#.len());
    }
    assert_eq!(raw.frame().await, (PONG, b"between".to_vec()));
    raw.send(
        &[
            frame(TEXT_BEGUN, first),
            frame(0x80, &[rest, b" "].concat()),
        ]
        .concat(),
    )
    .await;
    assert_eq!(raw.closed().await, 1009);
}

#[tokio::test]
async fn it_does_not_matter_how_the_network_cuts_what_is_sent() {
    let server = TestServer::start().await.unwrap();
    // In one piece with the handshake, and then octet by octet.
    let hello = frame(TEXT, &offer("raw", 200));
    let mut raw = Raw::handshake(&server, "id=raw&token=t", &hello).await;
    assert_eq!(raw.frame().await, (TEXT, br#"{"type":"OPEN"}"#.to_vec()));
    let (_, echo) = raw.frame().await;
    assert_eq!(echo.len(), 200 + r#""src":"raw","#.len());
    for octet in [frame(PING, b"1"), frame(TEXT, &offer("raw", 200))].concat() {
        raw.send(&[octet]).await;
    }
    assert_eq!(raw.frame().await, (PONG, b"1".to_vec()));
    assert_eq!(raw.frame().await, (TEXT, echo));
}

#[tokio::test]
async fn a_goodbye_is_answered_with_its_code() {
    let server = TestServer::start().await.unwrap();
    for (payload, code) in [
        (&b"\x03\xe8done"[..], 1000),
        (b"\x0f\xa0", 4000),
        (b"", 1005),
    ] {
        let mut raw = Raw::open(&server, "id=raw&token=t").await;
        raw.send(&frame(CLOSE, payload)).await;
        assert_eq!(raw.closed().await, code);
    }
}

#[tokio::test]
async fn who_begins_a_message_has_to_go_on_with_it() {
    let server = TestServer::with(quick()).await.unwrap();
    let mut witness = Client::open(&server, "witness").await;
    let half = frame(TEXT, HEARTBEAT);
    for begun in [
        half[..1].to_vec(),
        half[..5].to_vec(),
        half[..20].to_vec(),
        frame(TEXT_BEGUN, b"{"),
        // What comes in between does not help.
        [frame(TEXT_BEGUN, b"{"), frame(CONTINUED, b"")].concat(),
    ] {
        let mut raw = Raw::open(&server, "id=raw&token=t").await;
        raw.send(&begun).await;
        assert_eq!(raw.closed().await, 1008, "{begun:?}");
    }
    still_serves(&server, &mut witness).await;
}

#[tokio::test]
async fn an_idle_socket_is_no_slow_one() {
    let server = TestServer::with(quick()).await.unwrap();
    let mut idle = Raw::open(&server, "id=idle&token=t").await;
    // Its message was in pieces, and then whole.
    let heartbeat = frame(TEXT, HEARTBEAT);
    idle.send(&heartbeat[..5]).await;
    idle.send(&heartbeat[5..]).await;
    // Longer than one that began a message at the same time is borne.
    let mut slow = Raw::open(&server, "id=slow&token=t").await;
    for _ in 0..2 {
        slow.send(&heartbeat[..5]).await;
        assert_eq!(slow.closed().await, 1008);
        slow = Raw::open(&server, "id=slow&token=t").await;
    }
    idle.send(&frame(PING, b"here")).await;
    assert_eq!(idle.frame().await, (PONG, b"here".to_vec()));
}

#[tokio::test]
async fn who_takes_nothing_is_closed_though_less_waits_than_may() {
    let server = TestServer::with(Config {
        send_queue: 1 << 30,
        octet_rate: 1 << 30,
        buffered: 1 << 30,
        ..quick()
    })
    .await
    .unwrap();
    let mut witness = Client::open(&server, "witness").await;
    let deaf = Raw::open(&server, "id=deaf&token=t").await;
    let mut flooder = Raw::open(&server, "id=flooder&token=t").await;
    // More than the system's buffers take, of both ends.
    let flood = frame(TEXT, &offer("deaf", 64 * 1024));
    for _ in 0..1_024 {
        flooder.send(&flood).await;
    }
    // Gone is it when its id is free.
    let freed = async {
        while Client::try_dial(
            &server,
            "localhost",
            "/peerjs?key=peerjs&id=deaf&token=other",
        )
        .await
        .unwrap()
        .receive()
        .await
            != r#"{"type":"OPEN"}"#
        {}
    };
    soon("the deaf socket's end", freed).await;
    deaf.cut().await;
    still_serves(&server, &mut witness).await;
}

#[tokio::test]
async fn what_all_sockets_hold_together_is_bounded_and_who_holds_little_does_not_pay() {
    let server = TestServer::with(Config {
        buffered: 1024 * 1024,
        stall: Duration::from_secs(600),
        ..config()
    })
    .await
    .unwrap();
    let mut witness = Client::open(&server, "witness").await;
    let mut held = Vec::new();
    // Each begins a message and leaves it at that. All that is counted is taken by the first.
    for n in 0..3 {
        let mut raw = Raw::open(&server, &format!("id=raw{n}&token=t")).await;
        raw.send(&header(TEXT, MAX, true)).await;
        raw.send(&vec![b'x'; 600 * 1024]).await;
        held.push(raw);
        still_serves(&server, &mut witness).await;
    }
    let [mut first, mut second, mut third] = held.try_into().ok().unwrap();
    assert_eq!(second.closed().await, 1013);
    // Those octets are free again: this one lasts.
    third.send(&vec![b'x'; MAX - 600 * 1024]).await;
    assert_eq!(third.closed().await, 1013);
    first.send(&vec![b'x'; 300 * 1024]).await;
    drop(first);
    // What it held is given back, as soon as it is missed.
    let given_back = async {
        loop {
            let mut again = Raw::open(&server, "id=again&token=t").await;
            again.send(&frame(TEXT, &offer("again", 450 * 1024))).await;
            if again.frame().await.0 == TEXT {
                break;
            }
        }
    };
    soon("room for a large message", given_back).await;
}

#[tokio::test]
async fn an_id_is_kept_for_who_asked_for_it_and_broke_off() {
    let server = TestServer::start().await.unwrap();
    let held = Raw::open(&server, "id=held&token=t&hold=60").await;
    drop(held);
    let stock = Raw::open(&server, "id=stock&token=t").await;
    drop(stock);
    let again = async {
        loop {
            let path = "/peerjs?key=peerjs&id=stock&token=other";
            let mut other = Client::dial(&server, path).await;
            if other.receive().await == r#"{"type":"OPEN"}"# {
                break;
            }
        }
    };
    soon("a stock client's id to be free", again).await;
    let mut thief = Client::dial(&server, "/peerjs?key=peerjs&id=held&token=other").await;
    assert!(thief.receive().await.contains("ID-TAKEN"));
    Raw::open(&server, "id=held&token=t&hold=60").await;
}

#[tokio::test]
async fn who_opted_in_is_told_of_to_who_subscribed() {
    let server = TestServer::start().await.unwrap();
    let mut bob = Client::open(&server, "bob").await;
    let told = |online| {
        format!(
            r#"{{"type":"PRESENCE","src":"alice","dst":"bob","payload":{{"online":{online}}}}}"#
        )
    };
    bob.send(r#"{"type":"SUBSCRIBE","dst":"alice"}"#).await;
    assert_eq!(bob.receive().await, told(false));
    let mut alice = Raw::open(&server, "id=alice&token=t&presence=1").await;
    assert_eq!(bob.receive().await, told(true));
    alice.send(&frame(CLOSE, b"")).await;
    assert_eq!(bob.receive().await, told(false));
}
