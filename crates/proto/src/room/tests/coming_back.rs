use super::*;

fn resumed(frames: &[FromHub]) -> Resumed {
    match &frames[0] {
        FromHub::Welcome(welcome) => welcome.resumed,
        frame => panic!("{frame:?}"),
    }
}

#[test]
fn the_name_belongs_to_its_token() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.hello(2, "alice", 99, Epoch::default(), 0);
    assert_eq!(stage.frames(2), [FromHub::Refused(RefusedCode::NameTaken)]);
    stage.open(3, "alice", Kind::Legacy);
    stage.old(4, "bob");
    stage.native(5, "bob");
    assert_eq!(stage.frames(5), [FromHub::Refused(RefusedCode::NameTaken)]);
    let taken = refused(RefusedCode::NameTaken);
    assert_eq!(stage.closed, [(2, taken), (3, taken), (5, taken)]);
    // Gone, but held.
    stage.closes(1, Closed::Lost);
    stage.hello(6, "alice", 99, Epoch::default(), 0);
    assert_eq!(stage.frames(6), [FromHub::Refused(RefusedCode::NameTaken)]);
    stage.wait(Duration::from_secs(60));
    stage.hello(7, "alice", 99, Epoch::default(), 0);
    assert_eq!(resumed(&stage.frames(7)), Resumed::New);
}

#[test]
fn another_connection_with_the_token_takes_the_place_and_nobody_notices() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    stage.hello(3, "alice", 1, Epoch::default(), 0);
    assert_eq!(stage.frames(1), [FromHub::Refused(RefusedCode::Replaced)]);
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Replaced))]);
    let frames = stage.frames(3);
    assert!(matches!(&frames[..], [FromHub::Welcome(it)] if it.you == number(1) && it.total == 2));
    // The old one's end changes nothing, nor does what it still says.
    stage.closes(1, Closed::Ended);
    stage.chat(1, "ghost");
    stage.wait(Duration::from_secs(30));
    assert!(stage.heard.is_empty(), "{:?}", stage.heard);
    assert_eq!(
        (stage.names(), stage.host()),
        (vec!["alice".into(), "bob".into()], Some("alice"))
    );
    stage.chat(3, "me");
    assert_eq!(said(&stage.frames(2)), ["me"]);
}

#[test]
fn who_is_back_before_it_was_missed_has_never_been_away_and_gets_all() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.chat(2, "before");
    let last = 5;
    stage.closes(1, Closed::Ended);
    stage.forget();
    stage.chat(2, "one");
    stage.frame(
        2,
        emit(To::Members([1].map(number).into()), None, chat("two")),
    );
    stage.wait(Duration::from_secs(9));
    assert!(stage.room.members().any(|view| view.is_suspected));
    stage.hello(3, "alice", 1, EPOCH, last - 1);
    let frames = stage.frames(3);
    assert_eq!(resumed(&frames), Resumed::Whole);
    assert_eq!(said(&frames), ["one", "two"]);
    stage.wait(Duration::from_secs(60));
    assert!(stage.heard.is_empty(), "{:?}", stage.heard);
    assert_eq!((stage.told.len(), stage.host()), (0, Some("alice")));
}

#[test]
fn who_does_not_come_back_has_left_after_ten_seconds_and_its_name_is_free_after_sixty() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    stage.closes(1, Closed::Ended);
    stage.wait(Duration::from_millis(9_999));
    assert!(stage.heard.is_empty());
    stage.wait(Duration::from_millis(1));
    let frames = stage.frames(2);
    assert!(
        matches!(&frames[..], [FromHub::Left { reason: LeftReason::Lost, .. }, FromHub::Host { member, .. }] if *member == Some(number(2)))
    );
    assert_eq!(stage.names(), ["bob"]);
    stage.wait(Duration::from_millis(49_999));
    stage.native(3, "alice");
    assert_eq!(stage.frames(3), [FromHub::Refused(RefusedCode::NameTaken)]);
    stage.wait(Duration::from_millis(1));
    stage.native(4, "alice");
    assert_eq!(resumed(&stage.frames(4)), Resumed::New);
}

#[test]
fn who_is_lost_is_told_of_at_once_and_comes_back_under_its_number_without_its_office() {
    let mut stage = Stage::usual();
    for (conn, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
        stage.native(conn, name);
    }
    stage.forget();
    stage.closes(1, Closed::Lost);
    let frames = stage.frames(2);
    assert!(matches!(
        &frames[..],
        [
            FromHub::Left {
                reason: LeftReason::Lost,
                ..
            },
            FromHub::Host { .. }
        ]
    ));
    stage.chat(2, "while away");
    stage.frames(2);
    stage.wait(Duration::from_secs(20));
    stage.hello(4, "alice", 1, EPOCH, 4);
    let frames = stage.frames(4);
    assert_eq!(resumed(&frames), Resumed::Whole);
    assert_eq!(said(&frames), ["while away"]);
    assert!(
        frames
            .iter()
            .any(|it| matches!(it, FromHub::Host { member, .. } if *member == Some(number(2))))
    );
    assert!(
        matches!(&stage.frames(2)[..], [FromHub::Joined { member, .. }] if member.number == number(1))
    );
    assert_eq!(stage.host(), Some("bob"));
    assert_eq!(stage.names(), ["bob", "carol", "alice"]);
}

#[test]
fn what_is_no_longer_kept_is_said_to_be_missed() {
    for change in [
        (|config: &mut Config| config.kept_messages = 2) as fn(&mut Config),
        |config| config.kept_octets = 200,
        |config| config.kept_for = Duration::from_secs(1),
    ] {
        let mut stage = Stage::new(change);
        stage.native(1, "alice");
        stage.native(2, "bob");
        stage.closes(1, Closed::Ended);
        for text in ["a", "b", "c"] {
            stage.chat(2, text);
        }
        stage.wait(Duration::from_secs(2));
        stage.hello(3, "alice", 1, EPOCH, 3);
        let frames = stage.frames(3);
        assert_eq!(resumed(&frames), Resumed::Missed);
        assert!(matches!(&frames[0], FromHub::Welcome(it) if it.total == 2 && it.you == number(1)));
        assert_eq!(said(&frames), [""; 0]);
        // From here on all is there again.
        stage.chat(2, "d");
        assert_eq!(said(&stage.frames(3)), ["d"]);
    }
}

#[test]
fn another_epoch_or_a_place_that_is_gone_is_missed() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.closes(1, Closed::Lost);
    stage.hello(3, "alice", 1, Epoch([8; 8]), 4);
    assert_eq!(resumed(&stage.frames(3)), Resumed::Missed);
    stage.closes(3, Closed::Lost);
    stage.wait(Duration::from_secs(61));
    stage.hello(4, "alice", 1, EPOCH, 4);
    let frames = stage.frames(4);
    assert!(
        matches!(&frames[0], FromHub::Welcome(it) if it.resumed == Resumed::Missed && it.you == number(3))
    );
}

#[test]
fn nobody_gets_what_was_said_before_it_came() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.chat(1, "secret");
    stage.native(3, "mallory");
    stage.closes(3, Closed::Ended);
    stage.hello(4, "mallory", 3, EPOCH, 2);
    let frames = stage.frames(4);
    assert_eq!(resumed(&frames), Resumed::Missed);
    assert_eq!(said(&frames), [""; 0]);
    // Nor what has not been said yet.
    stage.closes(4, Closed::Ended);
    stage.hello(5, "mallory", 3, EPOCH, 1_000);
    assert_eq!(resumed(&stage.frames(5)), Resumed::Missed);
}

#[test]
fn what_everybody_has_is_forgotten() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    for _ in 0..10 {
        stage.chat(2, "x");
    }
    let seq = stage.room.seq;
    stage.frame(1, FromMember::Got(seq));
    stage.frame(2, FromMember::Got(u64::MAX >> 11));
    stage.wait(Duration::from_secs(2));
    assert_eq!(stage.room.window.due(&Config::default()), None);
    // And is not missed by who has it.
    stage.hello(3, "alice", 1, EPOCH, seq);
    assert_eq!(resumed(&stage.frames(3)), Resumed::Whole);
}

#[test]
fn goodbye_frees_the_name_at_once() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    stage.frame(1, FromMember::Leave);
    assert_eq!(stage.closed, [(1, Closing::Left)]);
    assert!(
        matches!(&stage.frames(2)[0], FromHub::Left { reason, .. } if *reason == LeftReason::Left)
    );
    stage.old(3, "alice");
    assert_eq!(stage.names(), ["bob", "alice"]);
    // The same by signalling.
    stage.closes(2, Closed::Left);
    stage.closes(3, Closed::Left);
    assert!(stage.room.is_over());
}

#[test]
fn who_is_slow_is_told_of_and_may_come_back() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.forget();
    stage.closes(1, Closed::Slow);
    assert!(
        matches!(&stage.frames(2)[0], FromHub::Left { reason, .. } if *reason == LeftReason::Slow)
    );
    stage.hello(3, "alice", 1, EPOCH, 3);
    assert_eq!(resumed(&stage.frames(3)), Resumed::Whole);
}

#[test]
fn who_proves_its_token_says_goodbye_without_its_connection_and_nobody_else_does() {
    for is_connected in [true, false] {
        let mut stage = Stage::usual();
        stage.native(1, "ann");
        if !is_connected {
            let now = stage.now;
            stage.room.handle_closed(ConnKey(1), Closed::Ended, now);
        }
        stage.drain();
        stage.told.clear();
        let ann = Name::parse("ann").unwrap();
        let goodbye = |stage: &mut Stage, name: &Name, token: u8| {
            let token = Token::new([token; 16]);
            let done = stage.room.handle_goodbye(name, &token, stage.now);
            stage.drain();
            done
        };
        assert!(!goodbye(&mut stage, &ann, 2));
        assert!(!goodbye(&mut stage, &Name::parse("bob").unwrap(), 1));
        assert!(stage.told.is_empty() && stage.closed.is_empty());

        assert!(goodbye(&mut stage, &ann, 1));
        let closed = [(1, Closing::Left)];
        assert_eq!(stage.closed, closed[..usize::from(is_connected)]);
        assert!(stage.told.iter().any(|told| matches!(
            told,
            Told::Left { name, reason: LeftReason::Left, .. } if *name == ann
        )));
        assert!(stage.room.is_over());
        assert!(!goodbye(&mut stage, &ann, 1));
    }
}
