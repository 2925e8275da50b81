use super::*;

fn three() -> Stage {
    let mut stage = Stage::usual();
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.old(3, "old");
    stage.forget();
    stage
}

impl Stage {
    fn send(&mut self, to: SendTo<'_>, said: Said) -> usize {
        let reached = self.room.handle_send(to, said, self.now);
        self.drain();
        reached
    }
}

#[test]
fn the_server_speaks_to_all_to_one_and_to_all_but_one() {
    let mut stage = three();
    let alice = name("alice");
    assert_eq!(stage.send(SendTo::All, chat("all")), 3);
    assert_eq!(stage.send(SendTo::One(&alice), chat("one")), 1);
    assert_eq!(stage.send(SendTo::AllBut(&alice), chat("but")), 2);
    assert_eq!(stage.send(SendTo::One(&name("nobody")), chat("none")), 0);
    assert_eq!(stage.send(SendTo::All, event("joined", "1")), 3);
    let frames = stage.frames(1);
    assert_eq!(said(&frames), ["all", "one"]);
    assert!(matches!(&frames[0], FromHub::Message(it) if it.from.is_none()));
    assert_eq!(said(&stage.frames(2)), ["all", "but"]);
    let texts = stage.texts(3);
    assert_eq!(texts[0], r#"{"peer_id":"server","message":"all"}"#);
    assert!(texts[2].contains(r#""event":"joined""#));
}

#[test]
fn what_the_server_says_is_kept_for_who_is_away() {
    let mut stage = three();
    stage.closes(1, Closed::Ended);
    assert_eq!(stage.send(SendTo::One(&name("alice")), chat("one")), 1);
    stage.hello(4, "alice", 1, EPOCH, 4);
    assert_eq!(said(&stage.frames(4)), ["one"]);
}

#[test]
fn who_is_put_out_is_told_and_does_not_come_back_for_a_while() {
    let mut stage = three();
    assert!(!stage.room.handle_kick(&name("nobody"), stage.now));
    assert!(stage.room.handle_kick(&name("alice"), stage.now));
    assert!(stage.room.handle_kick(&name("old"), stage.now));
    stage.drain();
    let kicked = refused(RefusedCode::Kicked);
    assert_eq!(stage.closed, [(1, kicked), (3, kicked)]);
    assert_eq!(stage.frames(1), [FromHub::Refused(RefusedCode::Kicked)]);
    let frames = stage.frames(2);
    assert!(matches!(&frames[0], FromHub::Left { reason, .. } if *reason == LeftReason::Kicked));
    assert_eq!(stage.names(), ["bob"]);
    stage.native(4, "alice");
    stage.open(5, "old", Kind::Legacy);
    assert_eq!(stage.closed[2..], [(4, kicked), (5, kicked)]);
    stage.wait(Duration::from_secs(60));
    stage.native(6, "alice");
    assert_eq!(stage.names(), ["bob", "alice"]);
}

#[test]
fn a_room_whose_last_member_was_put_out_is_over_once_the_name_may_come_again() {
    let mut stage = Stage::usual();
    stage.old(1, "alice");
    stage.room.handle_kick(&name("alice"), stage.now);
    stage.drain();
    stage.wait(Duration::from_secs(59));
    assert!(!stage.room.is_over());
    stage.wait(Duration::from_secs(1));
    assert!(stage.room.is_over());
}

#[test]
fn a_room_that_ends_tells_all_and_takes_nobody() {
    let mut stage = three();
    stage.room.handle_shutdown(stage.now);
    stage.drain();
    let closed = refused(RefusedCode::Closed);
    assert_eq!(stage.closed, [(1, closed), (2, closed), (3, closed)]);
    assert_eq!(stage.frames(2), [FromHub::Refused(RefusedCode::Closed)]);
    assert!(stage.room.is_over());
    assert_eq!(stage.room.poll_timeout(), None);
    stage.native(4, "dave");
    assert_eq!(stage.closed[3], (4, closed));
}

#[test]
fn an_empty_room_is_over_once_nothing_is_held() {
    let mut stage = three();
    for conn in 1..=3 {
        stage.closes(conn, Closed::Lost);
    }
    assert_eq!((stage.host(), stage.room.len()), (None, 0));
    assert!(!stage.room.is_over());
    stage.wait(Duration::from_secs(60));
    assert!(stage.room.is_over());
    assert_eq!(stage.room.poll_timeout(), None);
    let hosts: Vec<_> = stage
        .told
        .iter()
        .filter_map(|told| match told {
            Told::Host(host) => Some(host.as_ref().map(Name::as_str)),
            _ => None,
        })
        .collect();
    assert_eq!(hosts, [Some("bob"), Some("old"), None]);
}
