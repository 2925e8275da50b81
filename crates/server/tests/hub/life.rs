//! Who is there, who is host, and how members go.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peerage_peer::Message;
use peerage_peer::direct::Link;
use peerage_proto::wire::room::{Body, Emit, FromHub, Json, Said, To};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::members::{Old, Table, eventually, offer, old_channel, opened};

#[tokio::test]
async fn any_payload_arrives_as_it_was_sent() {
    let table = Table::new().await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    let texts = [
        "[1,2]",
        "5",
        "\"x\"",
        "null",
        "{",
        "no JSON \u{e4}",
        "{\"event\":\"e\"}",
        "1.0e3",
    ];
    for text in texts {
        ann.text(text).await;
    }
    ann.bytes(&[0, 159, 146, 150]).await;
    ann.chat("still here").await;
    let mut heard = Vec::new();
    while heard.len() < texts.len() {
        match ben.next().await {
            Some(Message::Text(text)) if !text.contains("SYSTEM") => heard.push(text.to_string()),
            Some(Message::Text(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, texts);
    assert_eq!(ben.hear().await, json!({ "octets": [0, 159, 146, 150] }));
    assert_eq!(ben.hear().await["message"], "still here");
}

#[tokio::test]
async fn old_and_native_members_hear_each_other() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let mut ben = table.native("r", "ben", 1).await;
    assert_eq!(ann.until("PEER_JOIN").await["peer_id"], "ben");
    ann.chat(json!({ "a": [1] })).await;
    let FromHub::Message(heard) = ben
        .until(|frame| matches!(frame, FromHub::Message(_)))
        .await
    else {
        unreachable!()
    };
    let Said::Chat(Body::Json(json)) = &heard.said else {
        panic!("{heard:?}")
    };
    assert_eq!(json.as_str(), r#"{"a":[1]}"#);
    let emit = |said| Emit {
        to: To::Others,
        ack: None,
        fast: false,
        said,
    };
    let word = Json::parse("\"hi\"".into()).unwrap();
    ben.emit(emit(Said::Chat(Body::Json(word)))).await;
    assert_eq!(
        ann.hear().await,
        json!({ "peer_id": "ben", "message": "hi" })
    );
}

#[tokio::test]
async fn the_first_is_host_all_are_told_and_the_next_one_follows() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    assert_eq!(ann.until("HOST_CHANGE").await["payload"], "ann");
    let mut ben = table.silent("r", "ben").await;
    let join = json!({ "type": "SYSTEM", "action": "PEER_JOIN", "payload": { "userAgent": "x", "timestamp": 1 }, "peer_id": "ben", "target": null, "timestamp": 1 });
    ben.say(&join).await;
    let state = ben.until("ROOM_STATE").await;
    assert_eq!(
        (&state["payload"]["hostId"], &state["target"]),
        (&json!("ann"), &json!("ben"))
    );
    assert_eq!(ben.until("HOST_CHANGE").await["payload"], "ann");
    let mut carol = table.old("r", "carol").await;
    assert_eq!(carol.until("HOST_CHANGE").await["payload"], "ann");
    // Nobody else can say who is.
    let forged = json!({ "type": "SYSTEM", "action": "HOST_CHANGE", "payload": "carol", "peer_id": "carol", "target": null, "timestamp": 1 });
    carol.say(&forged).await;
    ann.leave().await;
    for old in [&mut ben, &mut carol] {
        assert_eq!(old.until("PEER_LEAVE").await["peer_id"], "ann");
        assert_eq!(old.until("HOST_CHANGE").await["payload"], "ben");
    }
    ann.is_cut_off().await;
    let info = table.hub.room_info("r").unwrap();
    assert_eq!((info.host_id.as_deref(), info.peer_count), (Some("ben"), 2));
}

#[tokio::test]
async fn a_reload_with_the_same_id_keeps_the_new_connection_and_nobody_is_said_to_have_left() {
    let table = Table::new().await;
    let mut before = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    let mut after = table.old("r", "ann").await;
    before.is_cut_off().await;
    ben.chat("to the new one").await;
    assert_eq!(after.hear().await["message"], "to the new one");
    after.chat("from the new one").await;
    // Nothing in between.
    loop {
        let next = ben.any().await;
        if next["message"] == "from the new one" {
            break;
        }
        assert!(next["action"] != "PEER_LEAVE", "{next}");
    }
    let info = table.hub.room_info("r").unwrap();
    assert_eq!((info.host_id.as_deref(), info.peer_count), (Some("ann"), 2));
}

#[tokio::test]
async fn an_old_client_cannot_take_the_name_of_a_native_member() {
    let table = Table::new().await;
    let mut ann = table.native("r", "ann", 1).await;
    let ben = table.old("r", "ben").await;
    let mut forged = table.silent("r", "ann").await;
    forged.is_cut_off().await;
    ben.chat("to the true one").await;
    ann.until(|frame| matches!(frame, FromHub::Message(_)))
        .await;
    assert_eq!(table.hub.room_peers("r").len(), 2);
}

#[tokio::test]
async fn a_channel_that_closes_without_goodbye_is_the_end_of_an_old_member_at_once() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let ben = table.old("r", "ben").await;
    assert_eq!(ann.until("PEER_JOIN").await["peer_id"], "ben");
    let began = Instant::now();
    drop(ben);
    assert_eq!(ann.until("PEER_LEAVE").await["peer_id"], "ben");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// Datagrams between a member and the hub, until it is cut.
struct Wire {
    cut: Arc<AtomicBool>,
    port: u16,
    task: JoinHandle<()>,
}

impl Wire {
    async fn to(hub: u16) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        far.connect((Ipv4Addr::LOCALHOST, hub)).await.unwrap();
        let port = near.local_addr().unwrap().port();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        let task = tokio::spawn(async move {
            let (mut there, mut back) = ([0; 2048], [0; 2048]);
            let mut member: Option<SocketAddr> = None;
            loop {
                tokio::select! {
                    Ok((octets, from)) = near.recv_from(&mut there) => {
                        member = Some(from);
                        if !is_cut.load(Ordering::Relaxed) {
                            let _ = far.send(&there[..octets]).await;
                        }
                    }
                    Ok(octets) = far.recv(&mut back) => {
                        if let Some(member) = member.filter(|_| !is_cut.load(Ordering::Relaxed)) {
                            let _ = near.send_to(&back[..octets], member).await;
                        }
                    }
                }
            }
        });
        Self { cut, port, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An old client that knows the hub by the wire's place alone, and that the hub does not know otherwise.
async fn by_wire(table: &Table, wire: &Wire, room: &str, name: &str) -> Old {
    let (mut link, sdp): (Link, String) = table.engine.offer(&[old_channel()]).await.unwrap();
    let bare: String = sdp
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate:"))
        .collect();
    let answer = table.hub.signaling().offer(room, name, &offer(bare)).await;
    let (from, to) = (
        format!(" {} typ host", table.hub.port()),
        format!(" {} typ host", wire.port),
    );
    let answer: String = answer
        .unwrap()
        .sdp
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate:") || line.contains("127.0.0.1"))
        .map(|line| line.replace(&from, &to))
        .collect();
    assert!(answer.contains(&to), "{answer}");
    link.accept(&answer).await.unwrap();
    let channel = opened(&mut link).await;
    let mut old = Old {
        name: name.to_owned(),
        link,
        channel,
    };
    old.join().await;
    old
}

#[tokio::test]
async fn who_vanishes_is_suspected_after_5_seconds_and_gone_for_all_after_10_and_the_host_moves_once()
 {
    let table = Table::new().await;
    let wire = Wire::to(table.hub.port()).await;
    let _ann = by_wire(&table, &wire, "r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    let mut carol = table.old("r", "carol").await;
    let began = Instant::now();
    wire.cut.store(true, Ordering::Relaxed);
    let seen = || {
        let peers = table.hub.room_peers("r");
        let ann = peers.iter().find(|peer| &*peer.id == "ann").cloned();
        ann.map(|ann| ann.is_suspected)
    };
    eventually("a suspicion", || seen() == Some(true)).await;
    let suspected = began.elapsed();
    for old in [&mut ben, &mut carol] {
        let leave = loop {
            match tokio::time::timeout(Duration::from_secs(15), old.any()).await {
                Ok(any) if any["action"] == "PEER_LEAVE" => break any,
                Ok(_) => {}
                Err(_) => panic!("a ghost"),
            }
        };
        assert_eq!(leave["peer_id"], "ann");
        assert_eq!(old.until("HOST_CHANGE").await["payload"], "ben");
    }
    let gone = began.elapsed();
    assert!((3..8).contains(&suspected.as_secs()), "{suspected:?}");
    assert!((8..13).contains(&gone.as_secs()), "{gone:?}");
    // Once.
    ben.chat("done").await;
    let next = carol.any().await;
    assert_eq!(next["message"], "done", "{next}");
}

#[tokio::test]
async fn who_is_silent_for_4_seconds_stays_and_misses_nothing() {
    let table = Table::new().await;
    let wire = Wire::to(table.hub.port()).await;
    let mut ann = by_wire(&table, &wire, "r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    wire.cut.store(true, Ordering::Relaxed);
    ben.chat("while it sleeps").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    wire.cut.store(false, Ordering::Relaxed);
    ann.until("PEER_JOIN").await;
    ann.chat("here again").await;
    loop {
        let next = ben.any().await;
        assert!(
            next["action"] != "PEER_LEAVE" && next["payload"] != "ben",
            "{next}"
        );
        if next["message"] == "here again" {
            break;
        }
    }
    assert_eq!(
        table.hub.room_info("r").unwrap().host_id.as_deref(),
        Some("ann")
    );
}
