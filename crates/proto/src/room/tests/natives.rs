use super::*;

#[test]
fn a_newcomer_is_told_who_is_there_and_others_are_told_of_it() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.old(2, "bob");
    stage.native(3, "carol");
    let frames = stage.frames(3);
    let [FromHub::Welcome(welcome)] = &frames[..] else {
        panic!("{frames:?}");
    };
    let names: Vec<_> = welcome.members.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    assert_eq!((welcome.you, welcome.host), (number(3), Some(number(1))));
    assert_eq!((welcome.total, welcome.resumed), (3, Resumed::New));
    assert_eq!(
        welcome.members[1].metadata.as_str(),
        r#"{"userAgent":"bob's","timestamp":1}"#
    );
    let frames = stage.frames(1);
    assert!(
        matches!(
            &frames[1..],
            [FromHub::Joined { seq: 3, member: bob }, FromHub::Joined { seq: 4, member: carol }]
                if bob.name == name("bob") && carol.name == name("carol")
        ),
        "{frames:?}"
    );
    let joined = stage.told.iter();
    let joined = joined.filter(|told| matches!(told, Told::Joined { .. }));
    assert_eq!(joined.count(), 3);
}

#[test]
fn a_message_goes_to_everybody_else_in_one_order_written_once() {
    let mut stage = Stage::usual();
    for conn in 1..=4 {
        stage.native(conn, &format!("m{conn}"));
    }
    stage.forget();
    stage.chat(1, "a");
    stage.chat(2, "b");
    let all: Vec<_> = (1..=4).map(|conn| stage.heard[&conn].clone()).collect();
    assert_eq!((all[0].len(), all[1].len()), (1, 1), "nobody hears itself");
    assert_eq!(all[2], all[3]);
    let pointers: Vec<_> = [&all[2][0], &all[3][0]]
        .iter()
        .map(|(_, payload)| match payload {
            Payload::Bytes(bytes) => bytes.as_ptr(),
            Payload::Text(text) => text.as_ptr(),
        })
        .collect();
    assert_eq!(pointers[0], pointers[1], "the same octets, not a copy");
    assert_eq!(said(&stage.frames(3)), ["a", "b"]);
}

#[test]
fn one_output_serves_a_room_of_any_size() {
    let mut stage = Stage::usual();
    for conn in 1..=200 {
        stage.native(conn, &format!("m{conn}"));
    }
    let hi = Payload::Bytes(emit(To::Others, None, chat("hi")).emit());
    stage
        .room
        .handle_message(ConnKey(7), hi, Way::Reliable, stage.now);
    let Some(Output::Send { to, .. }) = stage.room.poll_output() else {
        panic!("something is sent");
    };
    assert_eq!(to.iter().count(), 199);
    assert!(to.iter().all(|conn| conn != ConnKey(7)));
    assert_eq!(stage.room.poll_output(), None);
}

#[test]
fn a_message_to_some_goes_to_these_alone() {
    let mut stage = Stage::usual();
    for conn in 1..=4 {
        stage.native(conn, &format!("m{conn}"));
    }
    stage.old(5, "old");
    stage.forget();
    // Twice the same, itself, and one that is nobody.
    let to = To::Members([4, 2, 4, 1, 99].map(number).into());
    stage.frame(1, emit(to, None, chat("psst")));
    assert_eq!(said(&stage.frames(2)), ["psst"]);
    assert_eq!(said(&stage.frames(4)), ["psst"]);
    let to = To::Members([5].map(number).into());
    stage.frame(1, emit(to, None, chat("psst")));
    assert_eq!(stage.texts(5), [r#"{"peer_id":"m1","message":"psst"}"#]);
    assert!(stage.heard.is_empty(), "{:?}", stage.heard);
}

#[test]
fn what_is_fast_goes_by_the_fast_channel_without_a_place_in_the_order() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    let fast = FromMember::Emit(Emit {
        to: To::Others,
        ack: None,
        fast: true,
        said: chat("x"),
    });
    stage.says(1, Payload::Bytes(fast.emit()), Way::Fast);
    // Who has no such channel says it by the other.
    stage.says(1, Payload::Bytes(fast.emit()), Way::Reliable);
    let ways: Vec<_> = stage.heard[&2].iter().map(|(way, _)| *way).collect();
    assert_eq!(ways, [Way::Fast, Way::Fast]);
    let frames = stage.frames(2);
    assert!(matches!(&frames[0], FromHub::Message(it) if it.seq == 0));
    // Nothing but messages comes by it.
    stage.says(1, Payload::Bytes(FromMember::Leave.emit()), Way::Fast);
    assert_eq!(stage.names(), ["alice", "bob"]);
}

#[test]
fn what_a_member_says_of_itself_is_told_to_all_others() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.old(3, "old");
    stage.forget();
    let metadata = Json::parse(r#"{"colour":"red"}"#.into()).unwrap();
    stage.frame(1, FromMember::Metadata(metadata.clone()));
    stage.frame(1, FromMember::Metadata(metadata.clone()));
    assert!(
        matches!(&stage.frames(2)[..], [FromHub::Metadata { member, metadata: it, .. }] if *it == metadata && *member == number(1))
    );
    assert!(stage.heard.is_empty());
    assert_eq!(stage.told.len(), 1);
}

#[test]
fn who_does_not_say_hello_is_let_go() {
    let mut stage = Stage::usual();
    stage.open(1, "alice", Kind::Native);
    stage.wait(Duration::from_secs(9));
    assert_eq!(stage.closed, []);
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Protocol))]);
    assert!(stage.room.is_over());
}

#[test]
fn what_breaks_the_protocol_ends_its_connection_and_is_told() {
    let hello = Hello {
        token: Token::new([9; 16]),
        metadata: Json::NULL,
        epoch: Epoch::default(),
        last: 0,
    };
    let large = emit(To::Others, None, chat(&"x".repeat(64 * 1024)));
    for wrong in [
        Payload::Text("hi".into()),
        Payload::Bytes(Bytes::new()),
        Payload::Bytes(Bytes::from_static(&[5, 5])),
        Payload::Bytes(FromMember::Hello(hello).emit()),
        Payload::Bytes(large.emit()),
    ] {
        let mut stage = Stage::usual();
        stage.native(1, "alice");
        stage.native(2, "bob");
        stage.forget();
        stage.says(1, wrong, Way::Reliable);
        let protocol = RefusedCode::Protocol;
        assert_eq!(stage.closed, [(1, refused(protocol))]);
        assert_eq!(stage.frames(1), [FromHub::Refused(protocol)]);
        let left = LeftReason::Protocol;
        assert!(
            matches!(&stage.frames(2)[..], [FromHub::Left { reason, .. }, FromHub::Host { .. }] if *reason == left)
        );
        stage.chat(1, "still there?");
        assert!(stage.heard.is_empty());
    }
    let mut stage = Stage::usual();
    stage.open(1, "alice", Kind::Native);
    let newer = Bytes::from_static(&[1, 2, 3]);
    stage.says(1, Payload::Bytes(newer), Way::Reliable);
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Version))]);
}

#[test]
fn types_of_a_later_version_are_read_past() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.forget();
    stage.says(
        1,
        Payload::Bytes(Bytes::from_static(&[99, 1])),
        Way::Reliable,
    );
    assert_eq!((stage.closed.len(), stage.heard.len()), (0, 0));
}

#[test]
fn who_says_too_much_is_let_go_and_what_is_fast_is_dropped_before() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    let fast = FromMember::Emit(Emit {
        to: To::Others,
        ack: None,
        fast: true,
        said: chat("x"),
    });
    for _ in 0..600 {
        stage.says(1, Payload::Bytes(fast.emit()), Way::Fast);
    }
    assert_eq!(stage.frames(2).len(), 500);
    assert_eq!(stage.room.dropped().rate, 100);
    // 200 a second.
    stage.wait(Duration::from_millis(100));
    for _ in 0..20 {
        stage.chat(1, "x");
    }
    assert_eq!((stage.frames(2).len(), stage.closed.len()), (20, 0));
    stage.chat(1, "x");
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Rate))]);
    assert!(
        matches!(&stage.frames(2)[0], FromHub::Left { reason, .. } if *reason == LeftReason::Rate)
    );
}

#[test]
fn a_room_takes_its_limits_and_no_more() {
    let mut stage = Stage::new(|config| config.members = 3);
    stage.native(1, "alice");
    stage.old(2, "bob");
    stage.native(3, "carol");
    stage.native(4, "dave");
    assert_eq!(stage.frames(4), [FromHub::Refused(RefusedCode::Full)]);
    stage.open(5, "erin", Kind::Legacy);
    let full = refused(RefusedCode::Full);
    assert_eq!(stage.closed, [(4, full), (5, full)]);
    // A place that is only held is given up for who is there.
    stage.closes(3, Closed::Lost);
    stage.native(6, "frank");
    assert_eq!(stage.names(), ["alice", "bob", "frank"]);

    let mut stage = Stage::new(|config| config.metadata = 16);
    stage.native(1, "alice");
    let metadata = Json::parse("123456789012345678".into()).unwrap();
    stage.frame(1, FromMember::Metadata(metadata));
    assert_eq!(stage.closed, [(1, full)]);
}

#[test]
fn who_says_little_of_itself_finds_room_however_much_others_say() {
    let mut stage = Stage::usual();
    let much = Json::string(&"x".repeat(16_000));
    // Places that are only held, and members that are there.
    for conn in 1..=140 {
        stage.native(conn, &format!("mallory{conn}"));
        stage.frame(conn, FromMember::Metadata(much.clone()));
        if conn % 2 == 0 {
            stage.closes(conn, Closed::Lost);
        }
    }
    assert!(!stage.closed.is_empty(), "there is an end of room");
    stage.forget();
    stage.native(200, "alice");
    let little = Json::string(&"x".repeat(500));
    stage.frame(200, FromMember::Metadata(little));
    stage.old(201, "old");
    let names = stage.names();
    assert!(names.contains(&"alice".into()) && names.contains(&"old".into()));
    assert_eq!(stage.closed, []);
}

#[test]
fn metadata_of_places_that_are_only_held_gives_way_to_that_of_who_is_there() {
    let mut stage = Stage::usual();
    let much = Json::string(&"x".repeat(16_000));
    for conn in 1..=60 {
        stage.native(conn, &format!("mallory{conn}"));
        stage.frame(conn, FromMember::Metadata(much.clone()));
        stage.closes(conn, Closed::Lost);
    }
    stage.forget();
    for conn in 101..=130 {
        stage.native(conn, &format!("m{conn}"));
        stage.frame(conn, FromMember::Metadata(much.clone()));
    }
    assert_eq!(stage.closed, []);
    assert_eq!(stage.names().len(), 30);
}

#[test]
fn a_long_list_of_members_comes_in_parts() {
    let mut stage = Stage::usual();
    let metadata = Json::string(&"x".repeat(16_000));
    for conn in 1..=10 {
        stage.native(conn, &format!("m{conn}"));
        stage.frame(conn, FromMember::Metadata(metadata.clone()));
    }
    stage.forget();
    stage.native(11, "last");
    assert!(stage.heard[&11].iter().all(|(_, it)| it.len() < 64 * 1024));
    let frames = stage.frames(11);
    let FromHub::Welcome(welcome) = &frames[0] else {
        panic!("{:?}", frames[0]);
    };
    let parts = frames[1..].iter().map(|frame| match frame {
        FromHub::Members(Members(more)) => more.len(),
        frame => panic!("{frame:?}"),
    });
    assert!(parts.len() > 2);
    assert_eq!(welcome.members.len() + parts.sum::<usize>(), 11);
    assert_eq!(welcome.total, 11);
}

#[test]
fn a_member_is_told_how_many_of_its_frames_have_come() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.forget();
    for _ in 0..40 {
        stage.chat(1, "x");
    }
    stage.frame(1, FromMember::Got(1));
    assert_eq!(stage.frames(1), [FromHub::Heard(32)]);
    stage.hello(2, "alice", 1, EPOCH, 2);
    assert!(matches!(&stage.frames(2)[0], FromHub::Welcome(it) if it.heard == 40));
}
