//! Who means harm, or does it.

use std::time::Duration;

use peerage_peer::direct::ChannelInit;
use peerage_proto::wire::room::FromHub;
use peerage_server::hub::{Admin, Hub, HubLimits, SignalingError};
use peerage_server::testing::TestServer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{ask, ask_with_body, soon};
use crate::members::{Table, eventually, offer, old_channel};
use crate::signalling::{TOKEN, post, with_rooms};

#[tokio::test]
async fn nobody_speaks_under_anothers_name_in_the_room_or_to_handlers() {
    let (mouth, mut ear) = tokio::sync::mpsc::unbounded_channel();
    let hub = Hub::builder().tap(move |said| {
        let mouth = mouth.clone();
        async move { mouth.send(said.from).unwrap() }
    });
    let table = Table::with(hub).await;
    let mallory = table.old("r", "mallory").await;
    let mut ben = table.old("r", "ben").await;
    let system = |action: &str, who: &str, payload: Value| json!({ "type": "SYSTEM", "action": action, "payload": payload, "peer_id": who, "target": null, "timestamp": 1 });
    for forged in [
        json!({ "peer_id": "ann", "message": "it was ann" }),
        json!({ "peer_id": "server", "message": "trust me" }),
        system("PEER_LEAVE", "ben", json!({})),
        system(
            "PEER_JOIN",
            "ghost",
            json!({ "userAgent": "x", "timestamp": 1 }),
        ),
        system("EVENT", "server", json!({ "event": "x", "data": 1 })),
        system("HOST_CHANGE", "mallory", json!("mallory")),
        system(
            "ROOM_STATE",
            "mallory",
            json!({ "peers": [{ "id": "ghost" }], "hostId": "ghost" }),
        ),
    ] {
        mallory.say(&forged).await;
    }
    mallory.chat("as myself").await;
    loop {
        let next = ben.any().await;
        if next["message"] == "as myself" {
            break;
        }
        assert!(
            next["action"] == "HOST_CHANGE" && next["payload"] == "mallory",
            "{next}"
        );
    }
    assert_eq!(&*soon("a tap", ear.recv()).await.unwrap(), "mallory");
    assert!(ear.try_recv().is_err());
    assert_eq!(table.hub.room_peers("r").len(), 2);
    assert_eq!(table.hub.stats().forged, 7);
}

#[tokio::test]
async fn who_floods_is_dropped_and_others_lose_nothing() {
    let table = Table::limited(HubLimits {
        message_rate: 5,
        message_burst: 20,
        ..HubLimits::default()
    })
    .await;
    let mut mallory = table.old("r", "mallory").await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    for _ in 0..40 {
        // It may be cut off in the middle.
        let text = json!({ "peer_id": "mallory", "message": "x" }).to_string();
        if mallory
            .channel
            .send(peerage_peer::Message::Text(text.into()))
            .await
            .is_err()
        {
            break;
        }
    }
    mallory.is_cut_off().await;
    assert_eq!(ben.until("PEER_LEAVE").await["peer_id"], "mallory");
    ann.chat("still here").await;
    assert_eq!(ben.hear().await["message"], "still here");
}

#[tokio::test]
async fn a_member_that_takes_nothing_is_dropped_and_delays_nobody() {
    let table = Table::limited(HubLimits {
        send_queue: 256 * 1024,
        message_rate: 10_000,
        message_burst: 10_000,
        ..HubLimits::default()
    })
    .await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    // Its own queue fills, then its network's, then the hub's. (One whose channel may lose messages loses them instead.)
    let reliable = ChannelInit::reliable("chat");
    let (_link, slow) = table.connect("r", "slow", &reliable).await.unwrap();
    let text = json!({ "peer_id": "slow", "message": "here" }).to_string();
    slow.send(peerage_peer::Message::Text(text.into()))
        .await
        .unwrap();
    assert_eq!(ben.hear().await["message"], "here");
    let text = "x".repeat(32 * 1024);
    let mut longest = Duration::ZERO;
    let mut sent = 0;
    while table.hub.stats().slow == 0 {
        let began = std::time::Instant::now();
        ann.chat(text.clone()).await;
        assert_eq!(
            ben.hear().await["message"].as_str().map(str::len),
            Some(text.len())
        );
        longest = longest.max(began.elapsed());
        sent += 1;
        assert!(sent < 1_000, "it was never dropped");
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert_eq!(ben.until("PEER_LEAVE").await["peer_id"], "slow");
    drop(slow);
}

#[tokio::test]
async fn who_says_much_is_read_later_and_others_are_heard_meanwhile() {
    let table = Table::new().await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    let reliable = ChannelInit::reliable("chat");
    let (_link, mallory) = table.connect("r", "mallory", &reliable).await.unwrap();
    ben.until("PEER_JOIN").await;
    let began = std::time::Instant::now();
    let text = json!({ "peer_id": "mallory", "message": "x".repeat(32 * 1024) }).to_string();
    let flood = async {
        for _ in 0..96 {
            let text = peerage_peer::Message::Text(text.as_str().into());
            soon("sending", mallory.send(text)).await.unwrap();
        }
    };
    let hears = async {
        let (mut heard, mut before) = (0, None);
        while heard < 96 {
            match ben.hear().await["peer_id"].as_str() {
                Some("mallory") => heard += 1,
                _ => before = Some(heard),
            }
            // All that may come at once did.
            if heard == 32 && before.is_none() {
                ann.chat("as ever").await;
            }
        }
        before
    };
    let ((), before) = tokio::join!(flood, hears);
    assert!(before.is_some_and(|heard| heard < 80), "{before:?}");
    // Two mebibytes more than at once, less the last message.
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_900), "{took:?}");
}

#[tokio::test]
async fn what_waits_for_all_members_is_bounded_and_those_that_take_theirs_do_not_notice() {
    let table = Table::limited(HubLimits {
        buffered: 128 * 1024,
        octet_rate: 64 * 1024 * 1024,
        ..HubLimits::default()
    })
    .await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    let mut slow = Vec::new();
    for name in ["slow1", "slow2"] {
        let reliable = ChannelInit::reliable("chat");
        let (link, channel) = table.connect("r", name, &reliable).await.unwrap();
        slow.push((link, channel));
        ben.until("PEER_JOIN").await;
    }
    let text = "x".repeat(32 * 1024);
    let mut sent = 0;
    while table.hub.stats().slow < 2 {
        ann.chat(text.clone()).await;
        assert_eq!(
            ben.hear().await["message"].as_str().map(str::len),
            Some(text.len())
        );
        sent += 1;
        // Their own mebibyte, what is on the way, and the hub's 128 KiB; of 2 MiB for each nothing is left.
        assert!(sent < 64, "they are never dropped");
    }
    // All of it came back.
    for _ in 0..8 {
        ann.chat(text.clone()).await;
        ben.hear().await;
    }
    assert_eq!(table.hub.stats().slow, 2);
}

#[tokio::test]
async fn offers_that_never_open_are_so_many_and_no_more_and_their_places_come_back() {
    let table = Table::limited(HubLimits {
        half_open: 2,
        ..HubLimits::default()
    })
    .await;
    let signaling = table.hub.signaling();
    let try_offer = async |name: &str| {
        let (link, sdp) = table.engine.offer(&[old_channel()]).await.unwrap();
        signaling.offer("r", name, &offer(sdp)).await.map(|_| link)
    };
    let _one = try_offer("one").await.unwrap();
    let _two = try_offer("two").await.unwrap();
    assert_eq!(table.hub.stats().half_open, 2);
    assert_eq!(try_offer("three").await.unwrap_err(), SignalingError::Full);
    // Nobody is there for it, and no room.
    assert!(table.hub.rooms_info().is_empty());
    signaling.leave("r", "one").await.unwrap();
    eventually("a place", || table.hub.stats().half_open == 1).await;
    let _ann = table.old("r", "ann").await;
    assert_eq!(table.hub.stats().half_open, 1);
    let stats = table.hub.stats();
    assert_eq!((stats.never_opened, stats.refused), (1, 1));
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_members_and_others_are_not_touched() {
    let table = Table::limited(HubLimits {
        half_open_per_address: 2,
        members_per_address: Some(3),
        ..HubLimits::default()
    })
    .await;
    let offer_from = async |address: &str, name: &str| {
        let (link, sdp) = table.engine.offer(&[old_channel()]).await.unwrap();
        let signaling = table.hub.signaling().of(address.parse().unwrap());
        signaling.offer("r", name, &offer(sdp)).await.map(|_| link)
    };
    let mut kept = Vec::new();
    for name in ["one", "two"] {
        kept.push(offer_from("192.0.2.1", name).await.unwrap());
    }
    for name in ["three", "four", "five"] {
        let refused = offer_from("192.0.2.1", name).await.unwrap_err();
        assert_eq!(refused.status(), 429, "{refused}");
    }
    kept.push(offer_from("192.0.2.2", "seven").await.unwrap());
    kept.push(offer_from("2001:db8::1", "eight").await.unwrap());
    kept.push(offer_from("2001:db8::2", "nine").await.unwrap());
    assert_eq!(
        offer_from("2001:db8::3", "ten").await.unwrap_err().status(),
        429
    );
}

#[tokio::test]
async fn one_address_has_so_many_offers_and_others_are_not_touched() {
    let table = Table::limited(HubLimits {
        offer_burst: 5,
        offer_rate: 1,
        ..HubLimits::default()
    })
    .await;
    let (_link, sdp) = table.engine.offer(&[old_channel()]).await.unwrap();
    let offer_from = async |address: &str| {
        let signaling = table.hub.signaling().of(address.parse().unwrap());
        signaling.offer("r", "ann", &offer(sdp.clone())).await
    };
    // However slow the machine is, more come than the ration gives anew meanwhile.
    let mut refused = None;
    for _ in 0..100 {
        refused = refused.or(offer_from("192.0.2.1").await.err());
    }
    let refused = refused.unwrap();
    assert!(matches!(refused, SignalingError::TooMany(wait) if wait <= Duration::from_secs(1)));
    offer_from("192.0.2.2").await.unwrap();
}

#[tokio::test]
async fn rooms_and_members_are_so_many_and_no_more() {
    let table = Table::limited(HubLimits {
        rooms: 2,
        room_members: 2,
        ..HubLimits::default()
    })
    .await;
    let _ann = table.old("r", "ann").await;
    let ben = table.old("r", "ben").await;
    let refused = table.connect("r", "carol", &old_channel()).await;
    assert_eq!(refused.unwrap_err(), SignalingError::RoomFull);
    // Who is there already may come anew.
    let _again = table.old("r", "ben").await;
    let _carol = table.old("s", "carol").await;
    let refused = table.connect("t", "dave", &old_channel()).await;
    assert_eq!(refused.unwrap_err(), SignalingError::Full);
    drop((_carol, ben));
    eventually("a place", || table.hub.rooms_info().len() == 1).await;
    let _dave = table.old("t", "dave").await;
}

#[tokio::test]
async fn candidates_of_nobody_are_dropped_and_counted_beyond_their_place() {
    let table = Table::new().await;
    let signaling = table.hub.signaling();
    let candidate = json!({ "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host" });
    for _ in 0..50 {
        signaling
            .candidate("r", "nobody", &candidate)
            .await
            .unwrap();
    }
    assert_eq!(table.hub.stats().candidates, 50 - 32);
    let large = json!({ "candidate": "x".repeat(5_000) });
    signaling.candidate("r", "other", &large).await.unwrap();
    assert_eq!(table.hub.stats().candidates, 50 - 32 + 1);
}

#[tokio::test]
async fn a_body_is_64_kib_at_most_and_need_not_be_read_to_know() {
    let server = TestServer::with(with_rooms()).await.unwrap();
    let large = json!({ "room": "r", "peer_id": "x".repeat(70_000) });
    for path in ["/offer", "/candidate", "/leave"] {
        let answer = post(&server, path, &large).await;
        assert_eq!(answer.status, 413, "{path}");
        assert!(
            answer.body.contains("larger than 64 KiB"),
            "{}",
            answer.body
        );
    }
    // One that never ends is answered before its end.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /leave HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let mut answer = [0; 12];
    let answered = async {
        for _ in 0..8 {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        stream.read_exact(&mut answer).await
    };
    soon("an answer", answered).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_leave_over_http_ends_no_native_member() {
    let server = TestServer::with(with_rooms()).await.unwrap();
    let hub = server.state().hub().unwrap().clone();
    let table = Table {
        hub,
        engine: crate::members::engine(),
    };
    let mut ann = table.native("r", "ann", 1).await;
    let ben = table.old("r", "ben").await;
    let body = json!({ "room": "r", "peer_id": "ann" });
    assert_eq!(post(&server, "/leave", &body).await.status, 200);
    ben.chat("still there?").await;
    ann.until(|frame| matches!(frame, FromHub::Message(_)))
        .await;
    // Nor one whose offer came otherwise than this.
    let body = json!({ "room": "r", "peer_id": "ben" });
    assert_eq!(post(&server, "/leave", &body).await.status, 200);
    ben.chat("and I?").await;
    ann.until(|frame| matches!(frame, FromHub::Message(_)))
        .await;
    assert_eq!(table.hub.room_peers("r").len(), 2);
    // The application knows what it says.
    table.hub.signaling().leave("r", "ben").await.unwrap();
    eventually("an end", || table.hub.room_peers("r").len() == 1).await;
}

async fn guarded(admin: Admin) -> TestServer {
    let mut config = with_rooms();
    config.hub.as_mut().unwrap().admin = admin;
    TestServer::with(config).await.unwrap()
}

#[tokio::test]
async fn a_token_cannot_be_guessed_or_left_out() {
    let server = guarded(Admin::Token(TOKEN.parse().unwrap())).await;
    let get =
        async |headers: &[(&str, &str)]| ask(server.address(), "GET", "/rooms", headers).await;
    let bare = get(&[]).await;
    assert_eq!(
        (bare.status, bare.header("www-authenticate")),
        (401, "Bearer")
    );
    assert!(!bare.body.contains(TOKEN));
    let right = format!("Bearer {TOKEN}");
    for wrong in [
        TOKEN,
        "Bearer ",
        "Basic x",
        &right[..right.len() - 1],
        &format!("{right}0"),
    ] {
        assert_eq!(
            get(&[("authorization", wrong)]).await.status,
            401,
            "{wrong}"
        );
    }
    assert_eq!(get(&[("authorization", &right)]).await.status, 200);
    let mut last = 0;
    for guess in 0..40 {
        last = get(&[("authorization", &format!("Bearer {guess:032}"))])
            .await
            .status;
    }
    assert_eq!(last, 429);
    // Who guessed too often does not learn that it is right now.
    let refused = get(&[("authorization", &right)]).await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn no_web_page_of_another_origin_drives_open_routes() {
    let server = guarded(Admin::Open).await;
    let port = server.address().port();
    let own = format!("localhost:{port}");
    let body = r#"{"room":"r","message":"x"}"#;
    let say = async |headers: &[(&str, &str)]| {
        ask_with_body(server.address(), "POST", "/broadcast", headers, body)
            .await
            .status
    };
    assert_eq!(say(&[("host", &own)]).await, 200);
    let origin = format!("http://{own}");
    assert_eq!(say(&[("host", &own), ("origin", &origin)]).await, 200);
    for headers in [
        [("host", own.as_str()), ("origin", "https://evil.example")],
        [("host", own.as_str()), ("origin", "null")],
        [("host", own.as_str()), ("sec-fetch-site", "cross-site")],
        // A name of its own that it led to this machine.
        [("host", "evil.example"), ("origin", "http://evil.example")],
        [("host", "evil.example"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(say(&headers).await, 403, "{headers:?}");
        let read = ask(server.address(), "GET", "/rooms", &headers).await;
        assert_eq!(read.status, 403, "{headers:?}");
    }
}
