//! What an application may do about what happens in rooms.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage_server::hub::{Data, Hub, Left, Otherwise, Verdict};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::common::soon;
use crate::members::{Table, eventually};

/// A handler's voice.
fn ear<T>() -> (mpsc::UnboundedSender<T>, Heard<T>) {
    let (mouth, ear) = mpsc::unbounded_channel();
    (mouth, Heard(ear))
}

struct Heard<T>(mpsc::UnboundedReceiver<T>);

impl<T> Heard<T> {
    async fn next(&mut self) -> T {
        soon("a handler", self.0.recv()).await.unwrap()
    }
}

#[tokio::test]
async fn handlers_hear_their_event_and_a_tap_everything_from_who_really_said_it() {
    let (draws, mut drawn) = ear();
    let (plain, mut chatted) = ear();
    let (all, mut tapped) = ear();
    let hub = Hub::builder()
        .on("draw", move |said| {
            let draws = draws.clone();
            async move {
                draws
                    .send((said.from.clone(), said.json::<Value>().unwrap()))
                    .unwrap()
            }
        })
        .on("message", move |said| {
            let plain = plain.clone();
            async move { plain.send((said.from.clone(), said.text())).unwrap() }
        })
        .tap(move |said| {
            let all = all.clone();
            async move { all.send((said.room, said.event, said.data)).unwrap() }
        });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    ann.emit("draw", json!({ "x": 1 })).await;
    ann.emit("clear", json!({})).await;
    ann.chat("hi").await;
    ann.bytes(&[0, 255]).await;
    assert_eq!(drawn.next().await, ("ann".into(), json!({ "x": 1 })));
    assert_eq!(chatted.next().await, ("ann".into(), Some("hi".to_owned())));
    assert_eq!(chatted.next().await, ("ann".into(), None));
    let mut said = Vec::new();
    for _ in 0..4 {
        let (room, event, data) = tapped.next().await;
        assert_eq!(&*room, "r");
        said.push(match data {
            Data::Json(json) => format!("{:?} {}", event.as_deref(), json.raw()),
            Data::Bytes(bytes) => format!("{:?} {bytes:?}", event.as_deref()),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        said,
        [
            r#"Some("draw") {"x":1}"#,
            r#"Some("clear") {}"#,
            r#"None "hi""#,
            r#"None b"\0\xff""#
        ]
    );
    assert_eq!(ben.hear().await["payload"]["event"], "draw");
}

#[tokio::test]
async fn a_handler_that_panics_fails_or_never_ends_harms_only_itself() {
    let (all, mut tapped) = ear();
    let hub = Hub::builder()
        .tap(|_| async { panic!("a tap") })
        .on("message", |_| -> std::future::Ready<()> {
            panic!("before its future")
        })
        .tap(|_| std::future::pending::<()>())
        .on_joined(|_| async { panic!("joined") })
        .tap(move |said| {
            let all = all.clone();
            async move { all.send(said.text()).unwrap() }
        });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    for word in ["one", "two", "three"] {
        ann.chat(word).await;
        assert_eq!(ben.hear().await["message"], word);
        assert_eq!(tapped.next().await.as_deref(), Some(word));
    }
    // Those that panicked are asked again each time.
    eventually("panics", || table.hub.stats().panicked == 3 + 3 + 2).await;
}

#[tokio::test]
async fn what_a_slow_handler_has_no_place_for_is_dropped_and_counted_and_nobody_waits() {
    let hub = Hub::builder().on("x", |_| std::future::pending::<()>());
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    // Of 4 MiB; each message is near the largest.
    let large = "x".repeat(60_000);
    for _ in 0..80 {
        ann.emit("x", large.clone()).await;
        assert_eq!(ben.hear().await["payload"]["event"], "x");
    }
    let dropped = table.hub.stats().unhandled;
    assert_eq!(dropped, 80 - (4 * 1024 * 1024) / 60_002);
}

#[tokio::test]
async fn handlers_may_be_added_while_it_runs_and_may_speak_in_rooms() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let rooms = table.hub.broadcaster();
    table.hub.on("roll", move |said| {
        let rooms = rooms.clone();
        async move {
            rooms.emit(&said.room, "rolled", 4);
        }
    });
    ann.emit("roll", Value::Null).await;
    let rolled = ann.hear().await;
    assert_eq!(
        (&rolled["peer_id"], &rolled["payload"]),
        (&json!("server"), &json!({ "event": "rolled", "data": 4 }))
    );
}

#[tokio::test]
async fn joined_left_and_host_are_told_once_each_and_in_order() {
    let (all, mut told) = ear();
    let [joined, left, host] = [all.clone(), all.clone(), all];
    let hub = Hub::builder()
        .on_joined(move |who| {
            let joined = joined.clone();
            async move {
                joined
                    .send(format!("joined {} {}", who.room, who.name))
                    .unwrap()
            }
        })
        .on_left(move |who, why| {
            let left = left.clone();
            async move { left.send(format!("left {} {why:?}", who.name)).unwrap() }
        })
        .on_host(move |change| {
            let host = host.clone();
            async move {
                host.send(format!("host {:?}", change.host.as_deref()))
                    .unwrap()
            }
        });
    let table = Table::with(hub).await;
    // Each kind of handler has a queue of its own: of each the order is the room's.
    let mut of = async |count: usize| {
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(told.next().await);
        }
        lines.sort();
        lines
    };
    let ann = table.old("r", "ann").await;
    assert_eq!(of(2).await, ["host Some(\"ann\")", "joined r ann"]);
    let ben = table.old("r", "ben").await;
    assert_eq!(of(1).await, ["joined r ben"]);
    ann.leave().await;
    assert_eq!(of(2).await, ["host Some(\"ben\")", "left ann Left"]);
    assert!(table.hub.kick("r", "ben"));
    assert_eq!(of(2).await, ["host None", "left ben Kicked"]);
    drop((ann, ben));
    let carol = table.old("r", "carol").await;
    assert_eq!(of(2).await, ["host Some(\"carol\")", "joined r carol"]);
    drop(carol);
    assert_eq!(of(2).await, ["host None", "left carol Left"]);
}

#[tokio::test]
async fn a_moderator_relays_drops_and_replaces_and_handlers_hear_what_is_relayed() {
    let (all, mut tapped) = ear();
    let hub = Hub::builder()
        .moderate(|said| async move {
            match said.text().as_deref() {
                Some("spam") => Verdict::Drop,
                Some("damn") => Verdict::Replace(json!("d***")),
                _ => Verdict::Relay,
            }
        })
        .tap(move |said| {
            let all = all.clone();
            async move { all.send(said.text().unwrap()).unwrap() }
        });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    for word in ["hi", "spam", "damn", "bye"] {
        ann.chat(word).await;
    }
    for word in ["hi", "d***", "bye"] {
        let heard = ben.hear().await;
        assert_eq!(
            (&heard["peer_id"], &heard["message"]),
            (&json!("ann"), &json!(word))
        );
        assert_eq!(tapped.next().await, word);
    }
    assert_eq!(table.hub.stats().withheld, 1);
}

#[tokio::test]
async fn verdicts_are_waited_for_in_order_by_their_sender_alone() {
    let (all, mut tapped) = ear();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let hub = Hub::builder().moderate({
        let gate = gate.clone();
        move |said| {
            let gate = gate.clone();
            async move {
                if said.text().as_deref() == Some("slow") {
                    gate.acquire().await.unwrap().forget();
                }
                Verdict::Relay
            }
        }
    });
    let hub = hub
        .moderation(Duration::from_secs(30), Otherwise::Drop)
        .tap(move |said| {
            let all = all.clone();
            async move { all.send(said.text().unwrap()).unwrap() }
        });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let ben = table.old("r", "ben").await;
    let mut carol = table.old("r", "carol").await;
    ann.chat("slow").await;
    ann.chat("behind it").await;
    ben.chat("past it").await;
    assert_eq!(carol.hear().await["message"], "past it");
    gate.add_permits(1);
    assert_eq!(carol.hear().await["message"], "slow");
    assert_eq!(carol.hear().await["message"], "behind it");
    // Handlers hear them in the same order.
    for word in ["past it", "slow", "behind it"] {
        assert_eq!(tapped.next().await, word);
    }
}

#[tokio::test]
async fn a_moderator_that_panics_or_takes_too_long_gives_way_to_the_policy() {
    for (otherwise, arrives) in [(Otherwise::Relay, true), (Otherwise::Drop, false)] {
        let hub = Hub::builder().moderate(|said| async move {
            match said.text().as_deref() {
                Some("panic") => panic!("a moderator"),
                Some("hang") => std::future::pending().await,
                _ => Verdict::Relay,
            }
        });
        let table = Table::with(hub.moderation(Duration::from_millis(50), otherwise)).await;
        let ann = table.old("r", "ann").await;
        let mut ben = table.old("r", "ben").await;
        for word in ["panic", "hang", "end"] {
            ann.chat(word).await;
        }
        let expected: &[_] = if arrives {
            &["panic", "hang", "end"]
        } else {
            &["end"]
        };
        for word in expected {
            assert_eq!(ben.hear().await["message"], *word, "{otherwise:?}");
        }
        let stats = table.hub.stats();
        assert_eq!((stats.unmoderated, stats.panicked), (2, 1));
    }
}

#[tokio::test]
async fn what_a_moderator_replaced_is_relayed_so_though_the_next_one_fails() {
    let hub = Hub::builder()
        .moderate(|_| async { Verdict::Replace(json!("clean")) })
        .moderate(|_| async { panic!("the second") });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    ann.chat("dirty").await;
    assert_eq!(ben.hear().await["message"], "clean");
}

#[tokio::test]
async fn the_server_speaks_to_a_room_to_one_member_or_to_all_but_one() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let mut ben = table.native("r", "ben", 1).await;
    let mut carol = table.old("r", "carol").await;
    let rooms = table.hub.broadcaster();
    assert_eq!(rooms.room("r", "all"), 3);
    assert_eq!(rooms.to("r", "carol", json!([1])), 1);
    assert_eq!(rooms.all_but("r", "ann", 7), 2);
    assert_eq!(rooms.emit("r", "ping", json!({})), 3);
    assert_eq!(rooms.room("nowhere", "x") + rooms.to("r", "nobody", "x"), 0);
    assert_eq!(rooms.emit("r", "joined", "forged"), 0);
    assert_eq!(
        ann.hear().await,
        json!({ "peer_id": "server", "message": "all" })
    );
    assert_eq!(ann.hear().await["payload"]["event"], "ping");
    for message in [json!("all"), json!([1]), json!(7)] {
        assert_eq!(carol.hear().await["message"], message);
    }
    let mut said = Vec::new();
    for _ in 0..3 {
        let frame = ben
            .until(|frame| matches!(frame, peerage_proto::wire::room::FromHub::Message(_)))
            .await;
        said.push(format!("{frame:?}"));
    }
    assert!(
        said[0].contains("all") && said[1].contains('7') && said[2].contains("ping"),
        "{said:?}"
    );
}

#[tokio::test]
async fn rooms_are_told_of_in_the_form_of_peerpyrtc_and_only_while_somebody_is_there() {
    let table = Table::new().await;
    assert!(table.hub.rooms_info().is_empty());
    let ann = table.old("r", "ann").await;
    let _ben = table.old("r", "ben").await;
    let info = serde_json::to_value(table.hub.rooms_info()).unwrap();
    assert_eq!(
        (&info["r"]["peer_count"], &info["r"]["host_id"]),
        (&json!(2), &json!("ann"))
    );
    let first = &info["r"]["peers"][0];
    assert_eq!(
        (&first["id"], &first["isHost"], &first["userAgent"]),
        (&json!("ann"), &json!(true), &json!("test"))
    );
    assert!(
        first["joinTime"].as_u64() > Some(1_700_000_000_000),
        "{first}"
    );
    assert!(
        first["lastSeen"].as_u64() >= first["joinTime"].as_u64(),
        "{first}"
    );
    let peers = table.hub.signaling().get_room_peers("r").await;
    assert_eq!(peers.len(), 2);
    assert!(table.hub.room_peers("nowhere").is_empty());
    ann.leave().await;
    drop(_ben);
    eventually("an empty hub", || table.hub.rooms_info().is_empty()).await;
    let stats = table.hub.stats();
    assert_eq!((stats.rooms, stats.members, stats.joined), (0, 0, 2));
}

#[tokio::test]
async fn who_is_kicked_is_gone_for_all_and_does_not_come_back_at_once() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    assert!(table.hub.kick("r", "ben"));
    assert!(!table.hub.kick("r", "nobody") && !table.hub.kick("nowhere", "ben"));
    ben.is_cut_off().await;
    assert_eq!(ann.until("PEER_LEAVE").await["peer_id"], "ben");
    assert_eq!(table.hub.room_peers("r").len(), 1);
    let mut again = table.silent("r", "ben").await;
    again.is_cut_off().await;
    assert_eq!(table.hub.room_peers("r").len(), 1);
}

#[tokio::test]
async fn close_ends_members_and_lets_handlers_finish_what_they_were_told() {
    let handled = Arc::new(Mutex::new(0));
    let (gone, mut left) = ear();
    let hub = Hub::builder()
        .tap({
            let handled = handled.clone();
            move |_| {
                let handled = handled.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    *handled.lock().unwrap() += 1;
                }
            }
        })
        .on_left(move |who, why| {
            let gone = gone.clone();
            async move { gone.send((who.name, why)).unwrap() }
        });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    let mut ben = table.old("r", "ben").await;
    for count in 0..10 {
        ann.chat(count).await;
        ben.hear().await;
    }
    soon("closing", table.hub.close()).await;
    assert_eq!(*handled.lock().unwrap(), 10);
    for name in ["ann", "ben"] {
        assert_eq!(left.next().await, (name.into(), Left::Kicked));
    }
    ben.is_cut_off().await;
    assert_eq!(table.hub.broadcaster().room("r", "x"), 0);
    let (_link, sdp) = table
        .engine
        .offer(&[crate::members::old_channel()])
        .await
        .unwrap();
    let refused = table
        .hub
        .signaling()
        .offer("r", "carol", &crate::members::offer(sdp))
        .await;
    assert_eq!(refused.unwrap_err().status(), 503);
    drop(ann);
}

#[tokio::test]
async fn a_hub_ends_with_its_last_handle_whatever_its_handlers_hold() {
    let table = Table::new().await;
    let mut ann = table.old("r", "ann").await;
    let rooms = table.hub.broadcaster();
    table.hub.tap({
        let rooms = rooms.clone();
        move |_| {
            let _rooms = rooms.clone();
            async {}
        }
    });
    let Table {
        hub,
        engine: _engine,
    } = table;
    drop(hub);
    ann.is_cut_off().await;
    let reached = || rooms.room("r", "x") == 0;
    eventually("an end", reached).await;
}

#[tokio::test]
async fn left_says_why() {
    let (all, mut told) = ear();
    let hub = Hub::builder().on_left(move |who, why| {
        let all = all.clone();
        async move { all.send((who.name, why)).unwrap() }
    });
    let table = Table::with(hub).await;
    let ann = table.old("r", "ann").await;
    // Larger than a member's message may be.
    ann.text(&"x".repeat(70_000)).await;
    assert_eq!(told.next().await, ("ann".into(), Left::Protocol));
    let ben = table.old("r", "ben").await;
    drop(ben);
    assert_eq!(told.next().await, ("ben".into(), Left::Left));
}
