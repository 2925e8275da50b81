//! Members of rooms, in front of a hub that is the real machine, over loopback.
#![allow(clippy::unwrap_used)]

mod hub;
#[path = "../common/way.rs"]
mod way;

use std::time::Duration;

use http::StatusCode;
use peerage_peer::room::{
    AckError, Answers, Data, EmitError, Happening, Join, LeftReason, RefusedCode, Room, RoomError,
    RoomState, Sender, UnackedReason,
};
use peerage_proto::room::SendTo;
use peerage_proto::wire::room::{Body, Json, Name, Said};
use serde_json::json;
use tokio::time::timeout;

use hub::Hub;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

fn member(hub: &Hub, name: &str) -> Join {
    Room::join(&hub.url, "lobby").id(name)
}

async fn join(hub: &Hub, name: &str) -> Room {
    soon(member(hub, name).open()).await.unwrap()
}

/// The next that is none of a connection's ups and downs.
async fn next(room: &mut Room) -> Happening {
    loop {
        match soon(room.next()).await {
            Some(Happening::State(_) | Happening::Failed(_)) => {}
            Some(happening) => return happening,
            None => panic!("over: {:?}", room.end()),
        }
    }
}

/// The next thing that is said: from whom, under which event, as JSON.
async fn said(room: &mut Room) -> (String, Option<String>, serde_json::Value) {
    loop {
        match next(room).await {
            Happening::Message { from, data, .. } => {
                return (from.to_string(), None, data.parse().unwrap());
            }
            Happening::Event {
                event, from, data, ..
            } => {
                let event = Some(event.to_string());
                return (from.to_string(), event, data.parse().unwrap());
            }
            _ => {}
        }
    }
}

async fn end(room: &mut Room) -> RoomError {
    while soon(room.next()).await.is_some() {}
    assert_eq!(room.state(), RoomState::Closed);
    room.end().unwrap()
}

async fn until_state(room: &mut Room, state: RoomState) {
    loop {
        match soon(room.next()).await {
            Some(Happening::State(now)) if now == state => return,
            Some(_) => {}
            None => panic!("over: {:?}", room.end()),
        }
    }
}

/// Waits until it knows of these.
async fn knows(room: &mut Room, others: &[&str]) {
    while !others
        .iter()
        .all(|other| names(room).iter().any(|it| it == other))
    {
        next(room).await;
    }
}

fn name(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn names(room: &Room) -> Vec<String> {
    room.members()
        .iter()
        .map(|it| it.name.to_string())
        .collect()
}

#[tokio::test]
async fn everybody_else_hears_what_a_member_says_in_its_order() {
    let hub = Hub::new().await;
    let (mut ann, mut bob, mut cat) = (
        join(&hub, "ann").await,
        join(&hub, "bob").await,
        join(&hub, "cat").await,
    );
    for number in 0..100 {
        ann.send(&number).await.unwrap();
        ann.emit("count", &json!({ "n": number })).await.unwrap();
    }
    for room in [&mut bob, &mut cat] {
        for number in 0..100 {
            assert_eq!(said(room).await, ("ann".into(), None, json!(number)));
            let event = ("ann".into(), Some("count".into()), json!({ "n": number }));
            assert_eq!(said(room).await, event);
        }
    }
    bob.send("end").await.unwrap();
    assert_eq!(said(&mut ann).await, ("bob".into(), None, json!("end")));
    assert_eq!(said(&mut cat).await, ("bob".into(), None, json!("end")));
}

#[tokio::test]
async fn who_is_there_comes_goes_and_is_host_is_told() {
    let hub = Hub::new().await;
    let ann = soon(member(&hub, "ann").metadata(&json!({ "age": 7 })).open());
    let mut ann = ann.await.unwrap();
    assert!(ann.is_host());
    assert_eq!(names(&ann), ["ann"]);
    let mut bob = join(&hub, "bob").await;
    assert_eq!(
        (names(&bob), bob.is_host()),
        (vec!["ann".into(), "bob".into()], false)
    );
    assert_eq!(bob.members()[0].metadata.as_str(), "{\"age\":7}");
    assert!(matches!(next(&mut ann).await, Happening::Joined(it) if it.name == name("bob")));
    ann.set_metadata("new").await.unwrap();
    assert!(matches!(next(&mut ann).await, Happening::Metadata(it) if it.name == name("ann")));
    match next(&mut bob).await {
        Happening::Metadata(ann) => assert_eq!(ann.metadata.as_str(), "\"new\""),
        other => panic!("{other:?}"),
    }
    soon(ann.leave()).await;
    match next(&mut bob).await {
        Happening::Left { member, reason } => {
            assert_eq!((member.name, reason), (name("ann"), LeftReason::Left));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut bob).await, Happening::Host(Some(it)) if it == name("bob")));
    assert!(bob.is_host());
    assert_eq!(names(&bob), ["bob"]);
}

#[tokio::test]
async fn dropping_a_room_leaves_it() {
    let hub = Hub::new().await;
    let mut ann = join(&hub, "ann").await;
    drop(join(&hub, "bob").await);
    assert!(matches!(next(&mut ann).await, Happening::Joined(_)));
    let gone = next(&mut ann).await;
    assert!(
        matches!(
            gone,
            Happening::Left {
                reason: LeftReason::Left,
                ..
            }
        ),
        "{gone:?}"
    );
}

#[tokio::test]
async fn what_is_for_some_reaches_them_alone_and_octets_stay_octets() {
    let hub = Hub::new().await;
    let (mut ann, mut bob, mut cat) = (
        join(&hub, "ann").await,
        join(&hub, "bob").await,
        join(&hub, "cat").await,
    );
    knows(&mut ann, &["bob", "cat"]).await;
    ann.to(["bob"])
        .emit_bytes("raw", vec![0, 255])
        .await
        .unwrap();
    ann.to(["cat", "bob"]).send("both").await.unwrap();
    assert!(matches!(next(&mut bob).await, Happening::Joined(_)));
    match next(&mut bob).await {
        Happening::Event { event, data, .. } => {
            assert_eq!(event, "raw");
            assert_eq!(data.bytes().map(|it| &it[..]), Some(&[0, 255][..]));
            assert_eq!(data.json(), None);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(said(&mut bob).await.2, json!("both"));
    assert_eq!(said(&mut cat).await.2, json!("both"));
}

#[tokio::test]
async fn what_may_be_lost_goes_by_a_channel_of_its_own() {
    let hub = Hub::new().await;
    let ann = member(&hub, "ann").unreliable(true);
    let bob = member(&hub, "bob").unreliable(true);
    let (ann, mut bob) = (
        soon(ann.open()).await.unwrap(),
        soon(bob.open()).await.unwrap(),
    );
    // The second channel may open a moment later, and each may lose: so until it comes.
    let heard = async {
        loop {
            ann.fast().emit("at", &[1, 2]).await.unwrap();
            let heard = timeout(Duration::from_millis(50), said(&mut bob));
            if let Ok(heard) = heard.await {
                return heard;
            }
        }
    };
    assert_eq!(
        soon(heard).await,
        ("ann".into(), Some("at".into()), json!([1, 2]))
    );
}

#[tokio::test]
async fn an_answer_comes_from_each_who_was_asked_or_why_there_is_none() {
    let hub = Hub::new().await;
    let (mut ann, bob, cat) = (
        join(&hub, "ann").await,
        join(&hub, "bob").await,
        join(&hub, "cat").await,
    );
    knows(&mut ann, &["bob", "cat"]).await;
    let (silent, mut silences) = tokio::sync::mpsc::unbounded_channel();
    let answering = |mut room: Room, word: &'static str| {
        let silent = silent.clone();
        async move {
            while let Some(happening) = room.next().await {
                if let Happening::Event {
                    ack: Some(ack),
                    data,
                    ..
                } = happening
                {
                    let asked: String = data.parse().unwrap();
                    if asked == "silence" {
                        silent.send(()).unwrap();
                        continue;
                    }
                    ack.answer(&format!("{word} {asked}")).await.unwrap();
                }
            }
        }
    };
    let bob = tokio::spawn(answering(bob, "bob says"));
    let cat = tokio::spawn(answering(cat, "cat says"));
    let one = soon(ann.to(["bob"]).emit_with_ack("ask", "yes"))
        .await
        .unwrap();
    assert_eq!(texts(&one), ["bob: bob says yes"]);
    let both = soon(ann.emit_with_ack("ask", "no")).await.unwrap();
    let mut both = texts(&both);
    both.sort();
    assert_eq!(both, ["bob: bob says no", "cat: cat says no"]);

    let nobody = soon(ann.to(["dan"]).emit_with_ack("ask", "x")).await;
    assert_eq!(nobody, Err(AckError::NoSuchMember));
    let some = soon(ann.to(["dan", "cat"]).emit_with_ack("ask", "x"))
        .await
        .unwrap();
    assert_eq!(texts(&some), ["cat: cat says x"]);
    let absent = (Sender::Member(name("dan")), UnackedReason::Unknown);
    assert_eq!(some.missing, [absent]);
    // Long enough for the hub's word on who was asked.
    let late = ann.to(["bob"]).timeout(Duration::from_secs(2));
    let late = soon(late.emit_with_ack("ask", "silence")).await;
    match late {
        Err(AckError::Timeout { answers }) => {
            let bob = Sender::Member(name("bob"));
            assert_eq!(answers.missing, [(bob, UnackedReason::Late)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(soon(silences.recv()).await, Some(()));
    let asked = ann.to(["bob"]);
    let (left, ()) = tokio::join!(soon(asked.emit_with_ack("ask", "silence")), async {
        soon(silences.recv()).await;
        bob.abort();
    });
    assert_eq!(left, Err(AckError::Left));
    cat.abort();
}

fn texts(answers: &Answers) -> Vec<String> {
    let text =
        |(from, data): &(Sender, Data)| format!("{from}: {}", data.parse::<String>().unwrap());
    answers.answers.iter().map(text).collect()
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_and_nothing_is_missing_or_twice() {
    let hub = Hub::new().await;
    let (ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    for round in 0..3 {
        ann.send(&[round, 0]).await.unwrap();
        assert_eq!(said(&mut bob).await.2, json!([round, 0]));
        hub.cut();
        // Some of it while nobody has noticed, some while there is no connection.
        for number in 1..200 {
            ann.send(&[round, number]).await.unwrap();
            if number % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        for number in 1..200 {
            assert_eq!(
                said(&mut bob).await,
                ("ann".into(), None, json!([round, number]))
            );
        }
    }
    assert_eq!(names(&bob), ["ann", "bob"]);
    assert_eq!(hub.members(), ["ann", "bob"]);
}

#[tokio::test]
async fn a_network_that_goes_away_and_comes_back_costs_nothing_but_time() {
    let hub = Hub::new().await;
    let (ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    hub.block(true);
    ann.send("through").await.unwrap();
    until_state(&mut bob, RoomState::Reconnecting).await;
    hub.block(false);
    assert_eq!(said(&mut bob).await.2, json!("through"));
    assert_eq!(bob.state(), RoomState::Joined);
}

#[tokio::test]
async fn a_hub_that_forgot_everything_is_joined_again_and_missed_is_told_first() {
    let hub = Hub::new().await;
    let (mut ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    assert!(matches!(next(&mut ann).await, Happening::Joined(_)));
    let hub = hub.replaced().await;
    assert!(matches!(next(&mut ann).await, Happening::Missed));
    assert!(matches!(next(&mut bob).await, Happening::Missed));
    let back = async {
        while hub.members().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(back).await;
    ann.send("again").await.unwrap();
    assert_eq!(said(&mut bob).await.2, json!("again"));
    let mut both = names(&bob);
    both.sort();
    assert_eq!(both, ["ann", "bob"]);
}

#[tokio::test]
async fn without_reconnecting_a_room_ends_with_its_connection() {
    let hub = Hub::new().await;
    let mut ann = soon(member(&hub, "ann").reconnect(false).open())
        .await
        .unwrap();
    hub.cut();
    assert!(matches!(end(&mut ann).await, RoomError::Lost(_)));
    assert_eq!(ann.send("x").await, Err(EmitError::Closed));
    let asked = ann.emit_with_ack("x", "y").await;
    assert_eq!(asked, Err(AckError::Emit(EmitError::Closed)));
}

#[tokio::test]
async fn a_name_is_its_tokens_and_who_has_both_takes_the_place() {
    let hub = Hub::new().await;
    let mut ann = soon(member(&hub, "ann").token([1; 16]).open())
        .await
        .unwrap();
    let other = soon(member(&hub, "ann").token([2; 16]).open()).await;
    assert_eq!(other.unwrap_err(), RoomError::Hub(RefusedCode::NameTaken));
    let again = soon(member(&hub, "ann").token([1; 16]).open())
        .await
        .unwrap();
    assert_eq!(end(&mut ann).await, RoomError::Hub(RefusedCode::Replaced));
    assert_eq!(hub.members(), ["ann"]);
    drop(again);
}

#[tokio::test]
async fn who_is_put_out_is_told_and_does_not_come_back() {
    let hub = Hub::new().await;
    let mut ann = join(&hub, "ann").await;
    hub.act(|room, now| {
        room.handle_kick(&name("ann"), now);
    });
    assert_eq!(end(&mut ann).await, RoomError::Hub(RefusedCode::Kicked));
    assert_eq!(hub.offers(), 1);
}

#[tokio::test]
async fn what_the_server_says_is_the_servers() {
    let hub = Hub::new().await;
    let mut ann = join(&hub, "ann").await;
    let word = Said::Chat(Body::Json(Json::string("welcome")));
    hub.act(|room, now| {
        room.handle_send(SendTo::All, word, now);
    });
    assert_eq!(
        said(&mut ann).await,
        ("server".into(), None, json!("welcome"))
    );
}

#[tokio::test]
async fn a_server_that_refuses_is_quoted_and_one_without_room_is_busy() {
    let hub = Hub::new().await;
    hub.refuse(Some((
        StatusCode::NOT_FOUND,
        "{\"error\":\"no rooms here\"}",
    )));
    let refused = soon(member(&hub, "ann").open()).await.unwrap_err();
    let error = "no rooms here".into();
    assert_eq!(refused, RoomError::Refused { status: 404, error });
    hub.refuse(Some((
        StatusCode::SERVICE_UNAVAILABLE,
        "{\"error\":\"full\"}",
    )));
    let busy = soon(member(&hub, "ann").open()).await.unwrap_err();
    assert_eq!(busy, RoomError::Busy(None));
    for nonsense in [
        "",
        "{}",
        "{\"answer\":{\"sdp\":\"v=0\",\"type\":\"answer\"}}",
    ] {
        hub.refuse(Some((StatusCode::OK, nonsense)));
        let refused = soon(member(&hub, "ann").open()).await.unwrap_err();
        assert!(matches!(refused, RoomError::Unreachable(_)), "{refused}");
    }
}

#[tokio::test]
async fn nobody_there_nonsense_and_silence_are_told_apart() {
    let hub = Hub::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    let silent = Room::join(&nowhere, "x").timeout(Duration::from_millis(200));
    assert_eq!(soon(silent.open()).await.unwrap_err(), RoomError::Timeout);
    drop(listener);
    let nobody = soon(Room::join(&nowhere, "x").open()).await.unwrap_err();
    assert!(matches!(nobody, RoomError::Unreachable(_)), "{nobody}");
    for url in ["", "lobby", "ftp://x", "http://", "http://a:b@localhost"] {
        let error = soon(Room::join(url, "x").open()).await.unwrap_err();
        assert_eq!(error, RoomError::Url(url.into()));
    }
    for (room, id) in [("", "x"), ("x", ""), ("x", "server"), ("x\n", "x")] {
        let error = soon(Room::join(&hub.url, room).id(id).open()).await;
        assert!(
            matches!(error, Err(RoomError::Name { .. })),
            "{room:?} {id:?}"
        );
    }
    let large = member(&hub, "ann").metadata(&"x".repeat(20_000));
    let large = soon(large.open()).await.unwrap_err();
    assert!(matches!(large, RoomError::Metadata(_)), "{large}");
    hub.block(true);
    let blocked = member(&hub, "ann").timeout(Duration::from_millis(500));
    assert_eq!(soon(blocked.open()).await.unwrap_err(), RoomError::Timeout);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_and_the_room_goes_on() {
    let hub = Hub::new().await;
    let (ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    for event in ["", "joined", "message", &"x".repeat(257)] {
        let refused = ann.emit(event, "x").await;
        assert!(matches!(refused, Err(EmitError::EventName(_))), "{event}");
    }
    let large = ann.send(&"x".repeat(70_000)).await;
    assert!(matches!(large, Err(EmitError::TooLarge)));
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(ann.send(&map).await, Err(EmitError::Json(_))));
    let nobody: [&str; 0] = [];
    assert_eq!(ann.to(nobody).send("x").await, Err(EmitError::Receivers));
    let largest = "y".repeat(65_000);
    ann.send(&largest).await.unwrap();
    assert_eq!(said(&mut bob).await.2, json!(largest));
}

#[tokio::test]
async fn what_was_said_before_leaving_arrives() {
    let hub = Hub::new().await;
    let (ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    for number in 0..300 {
        ann.send(&number).await.unwrap();
    }
    soon(ann.leave()).await;
    for number in 0..300 {
        assert_eq!(said(&mut bob).await.2, json!(number));
    }
    assert!(matches!(next(&mut bob).await, Happening::Left { .. }));
}

#[tokio::test]
async fn more_is_said_than_a_second_allows_and_nobody_is_put_out() {
    let hub = Hub::new().await;
    let (ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    // More than the hub takes at once.
    for number in 0..700 {
        ann.send(&number).await.unwrap();
    }
    for number in 0..700 {
        assert_eq!(said(&mut bob).await.2, json!(number));
    }
    assert_eq!(hub.offers(), 2, "nobody had to come back");
}

#[tokio::test]
async fn who_leaves_without_a_connection_is_gone_at_once_all_the_same() {
    let hub = Hub::new().await;
    let (mut ann, mut bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    assert!(matches!(next(&mut ann).await, Happening::Joined(_)));
    hub.refuse(Some((StatusCode::SERVICE_UNAVAILABLE, "")));
    hub.cut_off(|name| name == "bob");
    until_state(&mut bob, RoomState::Reconnecting).await;
    soon(bob.leave()).await;
    match next(&mut ann).await {
        Happening::Left { reason, .. } => assert_eq!(reason, LeftReason::Left),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_cannot_say_goodbye_by_its_connection_says_it_by_another_way() {
    let hub = Hub::new().await;
    let (ann, bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    soon(ann.leave()).await;
    assert_eq!(hub.goodbyes(), 0);
    hub.block(true);
    soon(bob.leave()).await;
    assert_eq!(hub.goodbyes(), 1);
}
