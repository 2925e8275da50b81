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
