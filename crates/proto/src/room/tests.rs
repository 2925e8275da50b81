use std::time::Duration;

use crate::wire::room::*;

use super::*;

const START: Duration = Duration::from_secs(1_795_204_884);

#[test]
fn who_comes_first_is_host_and_the_next_is_when_it_goes() {
    let mut room = Room::new(Config::default(), Epoch([1; 8]));
    for (at, name) in (1..).zip(["alice", "bob", "carol"]) {
        let name = Name::parse(name).unwrap();
        room.handle_opened(ConnKey(at), name, Kind::Legacy, START);
        let hi = Payload::Text("hi".into());
        room.handle_message(ConnKey(at), hi, Way::Reliable, START);
        assert_eq!(room.host().map(Name::as_str), Some("alice"));
    }
    room.handle_closed(ConnKey(1), Closed::Lost, START);
    assert_eq!(room.host().map(Name::as_str), Some("bob"));
}

#[test]
fn who_proves_its_token_says_goodbye_without_its_connection_and_nobody_else_does() {
    for is_connected in [true, false] {
        let mut room = Room::new(Config::default(), Epoch([1; 8]));
        let ann = Name::parse("ann").unwrap();
        room.handle_opened(ConnKey(1), ann.clone(), Kind::Native, START);
        let hello = FromMember::Hello(Hello {
            token: Token::new([7; 16]),
            metadata: Json::NULL,
            epoch: Epoch::default(),
            last: 0,
        });
        room.handle_message(
            ConnKey(1),
            Payload::Bytes(hello.emit()),
            Way::Reliable,
            START,
        );
        if !is_connected {
            room.handle_closed(ConnKey(1), Closed::Ended, START);
        }
        while room.poll_output().is_some() {}
        assert!(!room.handle_goodbye(&ann, &Token::new([8; 16]), START));
        let bob = Name::parse("bob").unwrap();
        assert!(!room.handle_goodbye(&bob, &Token::new([7; 16]), START));
        assert_eq!((room.len(), room.poll_output()), (1, None));

        assert!(room.handle_goodbye(&ann, &Token::new([7; 16]), START));
        let outputs: Vec<_> = std::iter::from_fn(|| room.poll_output()).collect();
        let closes = outputs.contains(&Output::Close {
            conn: ConnKey(1),
            why: Closing::Left,
        });
        assert_eq!(closes, is_connected);
        assert!(outputs.iter().any(|output| matches!(
            output,
            Output::Told(Told::Left { name, reason: LeftReason::Left, .. }) if *name == ann
        )));
        assert!(room.is_over());
        assert!(!room.handle_goodbye(&ann, &Token::new([7; 16]), START));
    }
}
