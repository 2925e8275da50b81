use super::*;

fn unacked(ack: u64, from: Option<u64>, reason: UnackedReason) -> FromHub {
    FromHub::Unacked {
        ack,
        from: from.map(number),
        reason,
    }
}

fn answer(to: u64, ack: u64) -> FromMember {
    FromMember::Ack(Answer {
        to: number(to),
        ack,
        body: Body::Json(Json::NULL),
    })
}

fn three() -> Stage {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.native(3, "carol");
    stage.old(4, "old");
    stage.forget();
    stage
}

#[test]
fn a_question_to_all_says_whose_answers_there_will_be_and_passes_each_on_once() {
    let mut stage = three();
    stage.frame(1, emit(To::Others, Some(5), chat("?")));
    assert_eq!(
        stage.frames(1),
        [FromHub::Asked {
            ack: 5,
            members: vec![number(2), number(3)]
        }]
    );
    assert!(matches!(&stage.frames(2)[..], [FromHub::Message(it)] if it.ack == Some(5)));
    stage.frame(2, answer(1, 5));
    stage.frame(2, answer(1, 5));
    // What nobody asked, and what another was asked.
    stage.frame(3, answer(1, 6));
    stage.frame(3, answer(2, 5));
    let frames = stage.frames(1);
    assert!(
        matches!(&frames[..], [FromHub::Ack(it)] if it.from == Some(number(2)) && it.ack == 5),
        "{frames:?}"
    );
}

#[test]
fn a_question_to_nobody_is_answered_at_once() {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.forget();
    stage.frame(1, emit(To::Others, Some(5), chat("?")));
    let members = vec![];
    assert_eq!(stage.frames(1), [FromHub::Asked { ack: 5, members }]);
    stage.frame(1, emit(To::Hub, Some(6), chat("?")));
    let frames = stage.frames(1);
    assert!(matches!(&frames[..], [FromHub::Ack(it)] if it.from.is_none() && it.ack == 6));
    assert!(matches!(&stage.told[..], [Told::Message(it)] if it.to == Addressed::Hub));
}

#[test]
fn who_cannot_answer_is_named_with_the_reason() {
    let mut stage = three();
    let to = To::Members([4, 2, 1, 9].map(number).into());
    stage.frame(1, emit(to, Some(5), chat("?")));
    let unknown = |from| unacked(5, Some(from), UnackedReason::Unknown);
    assert_eq!(
        stage.frames(1),
        [
            unknown(1),
            unknown(9),
            unacked(5, Some(4), UnackedReason::Mute)
        ]
    );
    stage.frame(2, FromMember::Leave);
    let frames = stage.frames(1);
    assert!(frames.contains(&unacked(5, Some(2), UnackedReason::Left)));
}

#[test]
fn answers_are_waited_for_so_long_and_of_so_many_messages() {
    let mut stage = three();
    let bob = || To::Members([2].map(number).into());
    stage.frame(1, emit(bob(), Some(0), chat("?")));
    stage.wait(Duration::from_secs(59));
    assert_eq!(stage.frames(1), []);
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.frames(1), [unacked(0, Some(2), UnackedReason::Late)]);
    for ack in 1..=256 {
        stage.frame(1, emit(bob(), Some(ack), chat("?")));
    }
    stage.frames(1);
    stage.forget();
    stage.frame(1, emit(bob(), Some(257), chat("?")));
    let frames = stage.frames(2);
    assert!(
        matches!(&frames[..], [FromHub::Message(it)] if it.ack.is_none()),
        "it is delivered all the same"
    );
    assert!(
        stage
            .frames(1)
            .contains(&unacked(257, None, UnackedReason::Late))
    );
    // A number that is in use cannot be told apart.
    stage.frame(1, emit(bob(), Some(7), chat("?")));
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Protocol))]);
}

#[test]
fn answers_to_who_is_away_wait_for_it() {
    let mut stage = three();
    stage.frame(
        1,
        emit(To::Members([2].map(number).into()), Some(5), chat("?")),
    );
    stage.closes(1, Closed::Ended);
    stage.frame(2, answer(1, 5));
    stage.hello(5, "alice", 1, EPOCH, 5);
    let frames = stage.frames(5);
    assert!(
        matches!(&frames[..], [FromHub::Welcome(_), FromHub::Ack(it)] if it.ack == 5),
        "{frames:?}"
    );
}

#[test]
fn who_comes_back_without_a_past_answers_nothing_that_was_asked_before() {
    let mut stage = three();
    stage.frame(
        1,
        emit(To::Members([2].map(number).into()), Some(5), chat("?")),
    );
    stage.hello(5, "bob", 2, Epoch::default(), 0);
    assert_eq!(stage.frames(1), [unacked(5, Some(2), UnackedReason::Left)]);
}

#[test]
fn a_room_waits_for_so_many_answers_and_one_member_takes_no_more_than_a_quarter() {
    let mut stage = Stage::new(|config| config.answers = 16);
    for conn in 1..=5 {
        stage.native(conn, &format!("m{conn}"));
    }
    stage.forget();
    let late = |ack| unacked(ack, None, UnackedReason::Late);
    stage.frame(1, emit(To::Others, Some(1), chat("?")));
    stage.frame(1, emit(To::Others, Some(2), chat("?")));
    let frames = stage.frames(1);
    assert!(matches!(&frames[0], FromHub::Asked { ack: 1, .. }));
    assert_eq!(frames[1..], [late(2)]);
    // It is said all the same, as what wants no answer.
    let frames = stage.frames(5);
    assert!(
        matches!(&frames[..], [FromHub::Message(one), FromHub::Message(two)] if one.ack == Some(1) && two.ack.is_none()),
        "{frames:?}"
    );
    for asker in 2..=4 {
        stage.frame(asker, emit(To::Others, Some(1), chat("?")));
    }
    stage.forget();
    stage.frame(5, emit(To::Others, Some(1), chat("?")));
    assert_eq!(stage.frames(5), [late(1)]);
    // Every answer makes place for another.
    stage.frame(2, answer(1, 1));
    stage.forget();
    let to = To::Members([number(1)].into());
    stage.frame(5, emit(to, Some(2), chat("?")));
    assert!(!stage.frames(5).contains(&late(2)));
    stage.frame(3, FromMember::Leave);
    stage.forget();
    stage.wait(Duration::from_secs(60));
    stage.forget();
    for ack in [10, 11] {
        let to = To::Members([number(1), number(2)].into());
        stage.frame(5, emit(to, Some(ack), chat("?")));
    }
    assert_eq!(stage.frames(5), []);
}
