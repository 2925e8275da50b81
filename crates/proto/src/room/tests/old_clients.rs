use super::*;

fn duo() -> Stage {
    let mut stage = Stage::usual();
    stage.old(1, "alice");
    stage.old(2, "bob");
    stage.native(3, "carol");
    stage.forget();
    stage
}

#[test]
fn a_newcomer_gets_one_state_and_the_host_and_others_get_its_words() {
    let mut stage = Stage::usual();
    stage.old(1, "alice");
    assert_eq!(
        stage.short(1),
        ["ROOM_STATE server", "HOST_CHANGE \"alice\""]
    );
    stage.old(2, "bob");
    let texts = stage.texts(2);
    let state: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
    assert_eq!(state["target"], "bob");
    assert_eq!(state["payload"]["hostId"], "alice");
    let peers = state["payload"]["peers"].as_array().unwrap();
    let peers: Vec<_> = peers
        .iter()
        .map(|it| (it["id"].as_str(), it["isHost"].as_bool(), &it["userAgent"]))
        .collect();
    assert_eq!(
        peers,
        [
            (Some("alice"), Some(true), &"alice's".into()),
            (Some("bob"), Some(false), &"bob's".into())
        ]
    );
    assert_eq!(texts.len(), 2);
    assert_eq!(
        stage.texts(1),
        [
            r#"{"type":"SYSTEM","action":"PEER_JOIN","payload":{"userAgent":"bob's","timestamp":1},"peer_id":"bob","target":null,"timestamp":1}"#
        ],
        "as it came"
    );
}

#[test]
fn any_message_survives_octet_for_octet() {
    let mut stage = duo();
    for text in [
        r#"{"peer_id":"alice","message":"hi"}"#,
        r#"{"type":"SYSTEM","action":"EVENT","payload":{"event":"move","data":{"x":5}},"peer_id":"alice","target":null,"timestamp":1795204885203}"#,
        r#"{"type":"SYSTEM","action":"BROADCAST","payload":{"event":"start"},"peer_id":"alice"}"#,
        r#"{"event":"chat-list-update","items":[1]}"#,
        r#" { "foo" : 1 } "#,
        "plain text",
        "[1,2]",
        "5",
        "null",
        "",
        r#"{"broken"#,
        r#"{"peer_id":"alice","message":NaN}"#,
    ] {
        stage.text(1, text);
        assert_eq!(stage.texts(2), [text]);
        assert_eq!(stage.frames(3).len(), 1, "{text}");
    }
    let octets = Payload::Bytes(Bytes::from_static(&[0, 255]));
    stage.says(1, octets.clone(), Way::Reliable);
    assert_eq!(stage.heard[&2], [(Way::Reliable, octets)]);
    assert_eq!(
        stage.names(),
        ["alice", "bob", "carol"],
        "nobody is cut off"
    );
}

#[test]
fn native_members_get_what_old_clients_mean() {
    let mut stage = duo();
    let mut native = |text: &str| {
        stage.text(1, text);
        match &stage.frames(3)[..] {
            [FromHub::Message(message)] => message.said.clone(),
            frames => panic!("{frames:?}"),
        }
    };
    let json = |text: &str| Said::Chat(Body::Json(Json::parse(text.into()).unwrap()));
    assert_eq!(
        native(r#"{"peer_id":"alice","message":{"obj":1}}"#),
        json(r#"{"obj":1}"#)
    );
    assert_eq!(
        native(
            r#"{"type":"SYSTEM","action":"BROADCAST","payload":{"event":"start","data":[1]},"peer_id":"alice"}"#
        ),
        event("start", "[1]")
    );
    assert_eq!(native("[1,2]"), json("[1,2]"));
    assert_eq!(native("plain"), json("\"plain\""));
    assert_eq!(native("{\"event\":\"x\"}"), json("{\"event\":\"x\"}"));
}

#[test]
fn old_clients_get_what_native_members_mean() {
    let mut stage = duo();
    stage.chat(3, "hi \"there\"");
    let draw = event("draw", r#"{"x":1}"#);
    stage.frame(3, emit(To::Others, None, draw));
    let octets = Said::Chat(Body::Bytes(Bytes::from_static(&[1, 2])));
    stage.frame(3, emit(To::Others, None, octets));
    let metadata = Json::parse("7".into()).unwrap();
    stage.frame(3, FromMember::Metadata(metadata));
    stage.frame(3, FromMember::Leave);
    assert_eq!(
        stage.texts(1),
        [
            r#"{"peer_id":"carol","message":"hi \"there\""}"#.to_owned(),
            r#"{"type":"SYSTEM","action":"EVENT","payload":{"event":"draw","data":{"x":1}},"peer_id":"carol","target":null,"timestamp":1795204884000}"#.to_owned(),
            r#"b"\x01\x02""#.to_owned(),
            r#"{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"carol","target":null,"timestamp":1795204884000}"#.to_owned(),
        ]
    );
    stage.native(4, "dave");
    assert_eq!(stage.short(1), ["PEER_JOIN dave"]);
}

#[test]
fn what_is_forged_or_the_hubs_to_say_is_dropped_and_counted() {
    let mut stage = duo();
    for forged in [
        r#"{"peer_id":"bob","message":"forged sender"}"#,
        r#"{"peer_id":"server","message":"forged server"}"#,
        r#"{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"bob"}"#,
        r#"{"peer_id":"carol","event":"x"}"#,
        r#"{"type":"SYSTEM","action":"HOST_CHANGE","payload":"alice","peer_id":"alice"}"#,
        r#"{"type":"SYSTEM","action":"ROOM_STATE","payload":{"peers":[]},"peer_id":"alice"}"#,
        r#"{"type":"SYSTEM","action":"EVENT","payload":{"event":"x"},"peer_id":"alice","target":"nobody"}"#,
    ] {
        stage.text(1, forged);
        assert!(stage.heard.is_empty(), "{forged}");
    }
    let dropped = stage.room.dropped();
    assert_eq!(
        (
            dropped.forged,
            dropped.host_changes,
            dropped.room_states,
            dropped.unaddressed
        ),
        (4, 1, 1, 1)
    );
    assert_eq!(stage.names(), ["alice", "bob", "carol"]);
}

#[test]
fn events_that_are_the_rooms_own_reach_no_native_member() {
    let mut stage = duo();
    let joined = r#"{"type":"SYSTEM","action":"EVENT","payload":{"event":"joined","data":{}},"peer_id":"alice"}"#;
    stage.text(1, joined);
    assert_eq!(stage.texts(2), [joined]);
    assert_eq!(stage.frames(3), []);
    stage.native(4, "dave");
    stage.forget();
    stage.frame(4, emit(To::Others, None, event("host", "{}")));
    assert_eq!(stage.frames(3), []);
    assert_eq!(stage.room.dropped().reserved, 2);
}

#[test]
fn a_target_is_the_only_receiver() {
    let mut stage = duo();
    let to = |name: &str| {
        format!(
            r#"{{"type":"SYSTEM","action":"EVENT","payload":{{"event":"x"}},"peer_id":"alice","target":"{name}"}}"#
        )
    };
    stage.text(1, &to("bob"));
    assert_eq!(stage.texts(2).len(), 1);
    stage.text(1, &to("carol"));
    assert_eq!(stage.frames(3).len(), 1);
    stage.text(1, &to("alice"));
    assert!(stage.heard.is_empty());
}

#[test]
fn a_client_that_does_not_introduce_itself_has_joined_with_its_first_words_or_soon() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.open(2, "bob", Kind::Legacy);
    stage.open(3, "carol", Kind::Legacy);
    stage.forget();
    stage.text(2, "hi");
    let frames = stage.frames(1);
    assert!(
        matches!(&frames[..], [FromHub::Joined { .. }, FromHub::Message(_)]),
        "{frames:?}"
    );
    assert_eq!(
        stage.short(2),
        ["ROOM_STATE server", "HOST_CHANGE \"alice\""]
    );
    stage.wait(Duration::from_millis(499));
    assert_eq!(stage.names(), ["alice", "bob"]);
    stage.wait(Duration::from_millis(1));
    assert_eq!(stage.names(), ["alice", "bob", "carol"]);
    // What it says of itself afterwards is still worth knowing.
    stage.forget();
    stage.wait(Duration::from_secs(1));
    stage.text(
        3,
        r#"{"type":"SYSTEM","action":"PEER_JOIN","payload":{"userAgent":"x"},"peer_id":"carol"}"#,
    );
    assert!(matches!(&stage.frames(1)[..], [FromHub::Metadata { .. }]));
    assert_eq!(
        stage.short(3),
        ["ROOM_STATE server", "HOST_CHANGE \"alice\""]
    );
    assert_eq!(stage.short(2), [""; 0]);
}

#[test]
fn who_vanishes_is_gone_for_everybody_and_the_host_moves_once() {
    let mut stage = duo();
    stage.closes(1, Closed::Lost);
    assert_eq!(stage.short(2), ["PEER_LEAVE alice", "HOST_CHANGE \"bob\""]);
    let frames = stage.frames(3);
    assert!(matches!(
        &frames[..],
        [FromHub::Left { .. }, FromHub::Host { .. }]
    ));
    assert!(matches!(
        &stage.told[..],
        [
            Told::Left {
                reason: LeftReason::Lost,
                ..
            },
            Told::Host(Some(_))
        ]
    ));
    // One that says goodbye says it itself.
    let leave = r#"{"type":"SYSTEM","action":"PEER_LEAVE","payload":{},"peer_id":"bob","x":1}"#;
    stage.old(4, "dave");
    stage.forget();
    stage.text(2, leave);
    assert_eq!(stage.texts(4)[0], leave);
    assert_eq!(stage.closed, [(2, Closing::Left)]);
}

#[test]
fn the_same_name_once_more_keeps_the_new_connection_and_nobody_notices() {
    let mut stage = duo();
    stage.open(4, "alice", Kind::Legacy);
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Replaced))]);
    let join = r#"{"type":"SYSTEM","action":"PEER_JOIN","payload":{"userAgent":"alice's","timestamp":1},"peer_id":"alice"}"#;
    stage.text(4, join);
    stage.closes(1, Closed::Lost);
    assert_eq!(
        stage.short(4),
        ["ROOM_STATE server", "HOST_CHANGE \"alice\""]
    );
    assert!(stage.heard.is_empty(), "{:?}", stage.heard);
    stage.text(4, "me");
    assert_eq!(stage.texts(2), ["me"]);
    stage.closes(4, Closed::Ended);
    assert_eq!(stage.names(), ["bob", "carol"]);
}

#[test]
fn two_that_come_at_once_under_one_name_are_one_member() {
    let mut stage = Stage::usual();
    stage.open(1, "alice", Kind::Legacy);
    stage.open(2, "alice", Kind::Legacy);
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.names(), ["alice"]);
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Replaced))]);
}

#[test]
fn a_state_of_the_largest_room_fits_in_a_message_with_the_newcomer_and_the_host_in_it() {
    let mut stage = Stage::usual();
    for at in 1..1_000 {
        stage.native(at, &format!("{}{at}", "\"".repeat(508)));
        stage.forget();
    }
    stage.open(1_000, "alice", Kind::Legacy);
    let long = "é".repeat(1_000);
    let join = format!(
        r#"{{"type":"SYSTEM","action":"PEER_JOIN","payload":{{"userAgent":"{long}"}},"peer_id":"alice"}}"#
    );
    stage.text(1_000, &join);
    let texts = stage.texts(1_000);
    assert!(texts[0].len() < 256 * 1024, "{}", texts[0].len());
    let state: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
    let peers = state["payload"]["peers"].as_array().unwrap();
    let of = |id: &str| peers.iter().find(|it| it["id"] == id);
    assert_eq!(of("alice").unwrap()["userAgent"], "é".repeat(128));
    let host = state["payload"]["hostId"].as_str().unwrap();
    assert!(of(host).is_some());
    assert!((100..1_000).contains(&peers.len()), "{}", peers.len());
}

#[test]
fn what_a_native_member_says_of_itself_is_its_metadata_whatever_is_in_it() {
    let mut stage = duo();
    stage.open(4, "dave", Kind::Native);
    let metadata = r#"{"userAgent":"mine","timestamp":3}"#;
    let hello = Hello {
        token: Token::new([4; 16]),
        metadata: Json::parse(metadata.into()).unwrap(),
        epoch: Epoch::default(),
        last: 0,
    };
    stage.frame(4, FromMember::Hello(hello));
    let join: serde_json::Value = serde_json::from_str(&stage.texts(1)[0]).unwrap();
    assert_eq!(join["payload"]["userAgent"], "peerage");
    assert_eq!(join["payload"]["metadata"]["userAgent"], "mine");
}
