//! Two engines in one process, over loopback.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::super::*;
use crate::{MAX_MESSAGE, Message};

pub(super) const SOON: Duration = Duration::from_secs(10);

/// One end of a test's connection.
pub(super) struct Side {
    pub(super) conn: EngineConn,
    pub(super) channel: Channel,
    certificate: [u8; 32],
}

pub(super) fn engine() -> Engine {
    Engine::new(EngineConfig {
        port: 0,
        addresses: Addresses::AllAndLoopback,
        ..EngineConfig::default()
    })
    .expect("loopback is there")
}

/// Connects `a`'s offer with `b`'s answer, candidates trickling both ways.
pub(super) async fn connect(a: &Engine, b: &Engine, label: &str, slot: usize) -> (Side, Side) {
    let offer = a.offer(label, true, slot).await.expect("offer");
    let answer = b.answer(&offer.sdp).await.expect("answer");
    offer.conn.set_remote(&answer.sdp).await.expect("applied");
    let (mut a, mut b) = (Pending::new(offer), Pending::new(answer));
    timeout(SOON, async {
        while a.channel.is_none() || b.channel.is_none() {
            tokio::select! {
                event = a.conn.event() => if let Some(candidate) = a.on(event.expect("alive")) { b.conn.add_candidate(&candidate).await.expect("added") },
                event = b.conn.event() => if let Some(candidate) = b.on(event.expect("alive")) { a.conn.add_candidate(&candidate).await.expect("added") },
            }
        }
    })
    .await
    .expect("opens soon");
    (a.side(), b.side())
}

struct Pending {
    conn: EngineConn,
    channel: Option<Channel>,
    certificate: Option<[u8; 32]>,
}

impl Pending {
    fn new(described: Described) -> Self {
        assert!(
            !described.sdp.contains("a=candidate"),
            "candidates come as events only"
        );
        Self {
            conn: described.conn,
            channel: None,
            certificate: None,
        }
    }

    fn on(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Candidate(candidate) => return Some(candidate),
            Event::Certificate(certificate) => self.certificate = Some(certificate),
            Event::Open(channel) => {
                assert!(
                    self.certificate.is_some(),
                    "the certificate is known before the channel is handed out"
                );
                self.channel = Some(channel);
            }
            Event::Path(_) => {}
        }
        None
    }

    fn side(self) -> Side {
        Side {
            conn: self.conn,
            channel: self.channel.expect("open"),
            certificate: self.certificate.expect("known"),
        }
    }
}

pub(super) async fn reason(facts: &ConnFacts) -> CloseReason {
    let mut closed = facts.closed.clone();
    timeout(Duration::from_secs(40), async {
        closed
            .wait_for(Option::is_some)
            .await
            .expect("a reason is left")
            .clone()
            .expect("some")
    })
    .await
    .expect("ends")
}

pub(super) fn text(text: &str) -> Message {
    Message::Text(text.into())
}

#[tokio::test]
async fn text_and_bytes_arrive_as_they_were_sent_both_ways() {
    let (a, b) = (engine(), engine());
    let (mut a, mut b) = connect(&a, &b, "chat", 0).await;
    assert_eq!(b.channel.label(), "chat");
    for message in [
        text("hello"),
        text("ü"),
        Message::Binary(Bytes::from_static(&[0, 255, 1])),
    ] {
        a.channel.send(message.clone()).await.expect("open");
        assert_eq!(
            timeout(SOON, b.channel.recv())
                .await
                .unwrap_or_else(|_| panic!("{message:?} is late")),
            Some(message.clone())
        );
        b.channel.send(message.clone()).await.expect("open");
        assert_eq!(
            timeout(SOON, a.channel.recv()).await.expect("soon"),
            Some(message)
        );
    }
}

#[tokio::test]
async fn messages_of_256_kib_arrive_whole_and_in_order() {
    let (a, b) = (engine(), engine());
    let (a, mut b) = connect(&a, &b, "large", 0).await;
    let writer = tokio::spawn(async move {
        for i in 0..20u8 {
            a.channel
                .send(Message::Binary(vec![i; MAX_MESSAGE].into()))
                .await
                .expect("open");
        }
        a
    });
    for i in 0..20u8 {
        let message = timeout(SOON, b.channel.recv())
            .await
            .expect("soon")
            .expect("open");
        assert_eq!(message.len(), MAX_MESSAGE);
        assert!(message.as_bytes().iter().all(|octet| *octet == i));
    }
    drop(writer.await);
}

#[tokio::test]
async fn certificates_are_those_of_the_descriptions() {
    let (a, b) = (engine(), engine());
    let (offer, answer) = (
        a.offer("x", true, 0).await.expect("offer"),
        b.offer("x", true, 0).await.expect("offer"),
    );
    let printed = |described: &Described| {
        let hex: Vec<_> = described
            .fingerprint
            .iter()
            .map(|octet| format!("{octet:02X}"))
            .collect();
        described
            .sdp
            .contains(&format!("a=fingerprint:sha-256 {}", hex.join(":")))
    };
    assert!(printed(&offer) && printed(&answer));
    let (fingerprint_a, fingerprint_b) = (offer.fingerprint, answer.fingerprint);
    assert_ne!(fingerprint_a, fingerprint_b);
    let (side_a, side_b) = connect(&a, &b, "x", 0).await;
    assert_eq!(
        (side_a.certificate, side_b.certificate),
        (fingerprint_b, fingerprint_a)
    );
}

#[tokio::test]
async fn a_certificate_other_than_the_described_one_ends_the_connection_before_any_channel() {
    let (a, b) = (engine(), engine());
    let mut offer = a.offer("x", true, 0).await.expect("offer");
    let mut answer = b.answer(&offer.sdp).await.expect("answer");
    let printed = sdp::attribute(&answer.sdp, "fingerprint")
        .expect("there")
        .to_owned();
    let other = printed.replace(['0', 'A'], "B");
    offer
        .conn
        .set_remote(&answer.sdp.replace(&printed, &other))
        .await
        .expect("taken");
    let exchange = async {
        loop {
            tokio::select! {
                event = offer.conn.event() => match event {
                    Some(Event::Candidate(candidate)) => answer.conn.add_candidate(&candidate).await.expect("added"),
                    Some(event) => panic!("{event:?} from an impostor"),
                    None => break,
                },
                event = answer.conn.event() => match event {
                    Some(Event::Candidate(candidate)) => offer.conn.add_candidate(&candidate).await.expect("added"),
                    Some(Event::Open(_)) => panic!("opened"),
                    _ => {}
                },
            }
        }
    };
    timeout(SOON, exchange).await.expect("ends soon");
    assert_eq!(
        reason(offer.conn.facts()).await,
        CloseReason::WrongCertificate
    );
}

#[tokio::test]
async fn closing_delivers_what_was_sent_and_is_noticed_by_both() {
    let (a, b) = (engine(), engine());
    let (a, mut b) = connect(&a, &b, "x", 0).await;
    for i in 0..100 {
        a.channel
            .send(text(&format!("{i} {}", "x".repeat(5000))))
            .await
            .expect("open");
    }
    let facts = a.conn.facts().clone();
    drop(a.channel);
    for i in 0..100 {
        let message = timeout(SOON, b.channel.recv())
            .await
            .expect("soon")
            .expect("delivered");
        assert!(message.as_bytes().starts_with(i.to_string().as_bytes()));
    }
    assert_eq!(timeout(SOON, b.channel.recv()).await.expect("soon"), None);
    assert_eq!(reason(&facts).await, CloseReason::Local);
    assert_eq!(reason(b.conn.facts()).await, CloseReason::Remote);
    assert_eq!(
        b.channel.send(text("?")).await,
        Err(crate::SendError::Closed)
    );
}

#[tokio::test]
async fn the_end_of_an_engine_ends_its_connections_at_both_sides() {
    let (a, b) = (engine(), engine());
    let (side_a, side_b) = connect(&a, &b, "x", 0).await;
    let facts = side_a.conn.facts().clone();
    drop((a, side_a));
    assert_eq!(reason(side_b.conn.facts()).await, CloseReason::Remote);
    assert_eq!(reason(&facts).await, CloseReason::Local);
}

#[tokio::test]
async fn a_paused_reader_stalls_the_writer_in_bounded_memory_and_loses_nothing() {
    const MESSAGE: usize = 64 * 1024;
    let (a, b) = (engine(), engine());
    let (a, mut b) = connect(&a, &b, "x", 0).await;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writer = tokio::spawn({
        let sent = sent.clone();
        async move {
            for i in 0..300u32 {
                let mut message = vec![0; MESSAGE];
                message[..4].copy_from_slice(&i.to_be_bytes());
                a.channel
                    .send(Message::Binary(message.into()))
                    .await
                    .expect("open");
                sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            a
        }
    });
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(
        (60..100).contains(&before),
        "4 MiB wait for the reader, and what is on its way: {before} messages"
    );
    for i in 0..300u32 {
        let message = timeout(SOON, b.channel.recv())
            .await
            .expect("goes on")
            .expect("open");
        assert_eq!(message.as_bytes()[..4], i.to_be_bytes());
    }
    drop(writer.await);
}

#[tokio::test]
async fn garbage_at_the_socket_disturbs_nobody() {
    let (a, b) = (engine(), engine());
    let (mut a, mut b) = connect(&a, &b, "x", 0).await;
    let port = |described: &str| {
        described
            .split_ascii_whitespace()
            .nth(5)
            .and_then(|port| port.parse::<u16>().ok())
    };
    let probe = engine_candidate(&b).await;
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], port(&probe).expect("a port")));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let mut seed = 1u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    for round in 0..2000usize {
        let mut datagram: Vec<u8> = (0..round % 200).map(|_| random()).collect();
        match (round % 4, datagram.get_mut(..8)) {
            // Looks like a connectivity check, or DTLS.
            (0, Some(head)) => head.copy_from_slice(&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]),
            (1, Some(head)) => head[..3].copy_from_slice(&[22, 254, 253]),
            _ => {}
        }
        socket.send_to(&datagram, target).expect("sent");
    }
    a.channel.send(text("still here")).await.expect("open");
    assert_eq!(
        timeout(SOON, b.channel.recv()).await.expect("soon"),
        Some(text("still here"))
    );
    b.channel.send(text("and back")).await.expect("open");
    assert_eq!(
        timeout(SOON, a.channel.recv()).await.expect("soon"),
        Some(text("and back"))
    );
}

/// A candidate of the engine that a side belongs to.
async fn engine_candidate(side: &Side) -> String {
    let engine = Engine {
        remote: side.conn.engine.clone(),
        port: 0,
    };
    let offer = engine.offer("probe", true, 0).await.expect("offer");
    let mut described = engine.answer(&offer.sdp).await.expect("answer");
    loop {
        match described.conn.event().await.expect("alive") {
            Event::Candidate(candidate) if candidate.contains("127.0.0.1") => return candidate,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_hundred_connections_between_two_engines_do_not_mix() {
    let (a, b) = (engine(), engine());
    let mut sides = Vec::new();
    for i in 0..100 {
        sides.push(connect(&a, &b, &i.to_string(), i).await);
    }
    for (i, (a, b)) in sides.iter_mut().enumerate() {
        assert_eq!(b.channel.label(), i.to_string());
        a.channel.send(text(&i.to_string())).await.expect("open");
        b.channel.send(text(&i.to_string())).await.expect("open");
    }
    for (i, (a, b)) in sides.iter_mut().enumerate() {
        assert_eq!(
            timeout(SOON, a.channel.recv()).await.expect("soon"),
            Some(text(&i.to_string()))
        );
        assert_eq!(
            timeout(SOON, b.channel.recv()).await.expect("soon"),
            Some(text(&i.to_string()))
        );
    }
}

#[tokio::test]
async fn connections_begun_by_both_sides_at_once_do_not_mix() {
    let (a, b) = (engine(), engine());
    let ((mut a1, mut b1), (mut b2, mut a2)) =
        tokio::join!(connect(&a, &b, "there", 0), connect(&b, &a, "back", 0));
    for (from, to, word) in [(&mut a1, &mut b1, "one"), (&mut b2, &mut a2, "two")] {
        from.channel.send(text(word)).await.expect("open");
        assert_eq!(
            timeout(SOON, to.channel.recv()).await.expect("soon"),
            Some(text(word))
        );
    }
}

#[tokio::test]
async fn statistics_tell_route_octets_and_round_trip() {
    let (a, b) = (engine(), engine());
    let (a, mut b) = connect(&a, &b, "x", 0).await;
    a.channel
        .send(text(&"x".repeat(10_000)))
        .await
        .expect("open");
    timeout(SOON, b.channel.recv()).await.expect("soon");
    let meter = &b.conn.facts().meter;
    assert_eq!(meter.route(), crate::Route::Direct);
    assert!(meter.stats().received > 10_000 && meter.stats().sent > 0);
    timeout(SOON, async {
        while meter.stats().round_trip.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("measured within a few seconds");
    assert!(
        meter
            .stats()
            .round_trip
            .is_some_and(|trip| trip < Duration::from_secs(1))
    );
}

#[tokio::test]
async fn an_offer_that_makes_no_sense_is_refused_with_a_reason() {
    let engine = engine();
    for offer in [
        "",
        "v=0",
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
        &"a".repeat(100_000),
    ] {
        assert!(
            matches!(engine.answer(offer).await, Err(EngineError::Description(_))),
            "{}",
            &offer[..offer.len().min(20)]
        );
    }
    assert!(matches!(
        engine.offer(&"x".repeat(MAX_LABEL + 1), true, 0).await,
        Err(EngineError::Label(_))
    ));
}
