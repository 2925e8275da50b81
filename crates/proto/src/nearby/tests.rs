//! Each test is a promise; the list of names is the specification.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const HOME: &str = "203.0.113.7";
const CAFE: &str = "198.51.100.9";
const HOME_V6: &str = "2001:db8:0:1::5";

fn secret(seed: u64) -> Secret {
    Secret::generate(&mut StdRng::seed_from_u64(seed))
}

fn rooms() -> Rooms {
    Rooms::new(secret(1), 3)
}

fn at(address: &str) -> Household {
    Household::of(address.parse().unwrap())
}

fn name(rooms: &Rooms, address: &str) -> String {
    rooms.room_of(at(address)).to_string()
}

/// Asks for the room, then joins it, as old clients do.
fn join(rooms: &mut Rooms, id: &str, address: &str) -> Result<Vec<String>, Refused> {
    let room = name(rooms, address);
    rooms
        .join(&id.parse().unwrap(), &room, at(address))
        .map(texts)
}

fn members(rooms: &Rooms, address: &str) -> Vec<String> {
    texts(rooms.members(&name(rooms, address), at(address)).unwrap())
}

fn texts(ids: Vec<PeerId>) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn who_shares_an_address_sees_each_other_in_order_of_joining() {
    let mut rooms = rooms();
    assert!(members(&rooms, HOME).is_empty());
    assert_eq!(join(&mut rooms, "edge", HOME).unwrap(), ["edge"]);
    assert_eq!(join(&mut rooms, "ui", HOME).unwrap(), ["edge", "ui"]);
    assert_eq!(members(&rooms, HOME), ["edge", "ui"]);
}

#[test]
fn joining_again_changes_nothing() {
    let mut rooms = rooms();
    for _ in 0..3 {
        assert_eq!(join(&mut rooms, "edge", HOME).unwrap(), ["edge"]);
    }
}

#[test]
fn who_is_elsewhere_sees_nothing_even_with_the_rooms_name() {
    let mut rooms = rooms();
    join(&mut rooms, "edge", HOME).unwrap();
    let home = name(&rooms, HOME);
    let spy = "spy".parse().unwrap();
    assert_eq!(rooms.join(&spy, &home, at(CAFE)), Err(Refused::Elsewhere));
    assert_eq!(rooms.members(&home, at(CAFE)), Err(Refused::Elsewhere));
    assert_eq!(members(&rooms, HOME), ["edge"]);
}

#[test]
fn a_name_that_the_server_did_not_make_is_no_room() {
    let mut rooms = rooms();
    let home = name(&rooms, HOME);
    let id = "edge".parse().unwrap();
    for room in [
        "",
        "anything",
        &home[1..],
        &home.to_uppercase(),
        &format!("{home}0"),
    ] {
        assert_eq!(
            rooms.join(&id, room, at(HOME)),
            Err(Refused::Elsewhere),
            "{room}"
        );
        assert_eq!(
            rooms.members(room, at(HOME)),
            Err(Refused::Elsewhere),
            "{room}"
        );
        assert!(!rooms.leave(&id, room), "{room}");
    }
}

#[test]
fn leaving_says_whether_one_was_in_and_an_empty_room_is_gone() {
    let mut rooms = rooms();
    join(&mut rooms, "edge", HOME).unwrap();
    let (home, edge) = (name(&rooms, HOME), "edge".parse().unwrap());
    assert!(rooms.leave(&edge, &home));
    assert!(!rooms.leave(&edge, &home));
    assert!(rooms.rooms.is_empty() && rooms.memberships.is_empty());
}

#[test]
fn who_leaves_takes_nobody_else_out() {
    let mut rooms = rooms();
    join(&mut rooms, "edge", HOME).unwrap();
    let home = name(&rooms, HOME);
    assert!(!rooms.leave(&"ui".parse().unwrap(), &home));
    assert_eq!(members(&rooms, HOME), ["edge"]);
}

#[test]
fn a_membership_ends_with_the_registration_so_a_new_owner_of_the_id_is_in_no_room() {
    let mut rooms = rooms();
    join(&mut rooms, "edge", HOME).unwrap();
    join(&mut rooms, "edge", HOME_V6).unwrap();
    join(&mut rooms, "ui", HOME).unwrap();
    rooms.freed(&"edge".parse().unwrap());
    assert_eq!(members(&rooms, HOME), ["ui"]);
    assert!(members(&rooms, HOME_V6).is_empty());
}

#[test]
fn a_room_takes_its_limit_and_one_more_is_refused_until_one_leaves() {
    let mut rooms = rooms();
    for id in ["a", "b", "c"] {
        join(&mut rooms, id, HOME).unwrap();
    }
    assert_eq!(join(&mut rooms, "d", HOME), Err(Refused::Full));
    assert_eq!(join(&mut rooms, "a", HOME).unwrap(), ["a", "b", "c"]);
    rooms.freed(&"b".parse().unwrap());
    assert_eq!(join(&mut rooms, "d", HOME).unwrap(), ["a", "c", "d"]);
}

#[test]
fn a_full_room_elsewhere_ends_no_membership() {
    let mut rooms = rooms();
    for id in ["a", "b", "c"] {
        join(&mut rooms, id, CAFE).unwrap();
    }
    join(&mut rooms, "d", HOME).unwrap();
    assert_eq!(join(&mut rooms, "d", CAFE), Err(Refused::Full));
    assert_eq!(members(&rooms, HOME), ["d"]);
}

#[test]
fn who_moves_is_no_longer_where_it_was_but_stays_in_the_room_of_the_other_family() {
    let mut rooms = rooms();
    join(&mut rooms, "phone", HOME).unwrap();
    join(&mut rooms, "phone", HOME_V6).unwrap();
    join(&mut rooms, "phone", CAFE).unwrap();
    assert!(members(&rooms, HOME).is_empty());
    assert_eq!(members(&rooms, CAFE), ["phone"]);
    assert_eq!(members(&rooms, HOME_V6), ["phone"]);
}

#[test]
fn two_addresses_of_an_ipv6_64_and_a_mapped_address_are_one_household() {
    let rooms = rooms();
    assert_eq!(name(&rooms, HOME_V6), name(&rooms, "2001:db8:0:1:ffff::1"));
    assert_ne!(name(&rooms, HOME_V6), name(&rooms, "2001:db8:0:2::5"));
    assert_eq!(name(&rooms, HOME), name(&rooms, "::ffff:203.0.113.7"));
    assert_ne!(name(&rooms, HOME), name(&rooms, CAFE));
}

#[test]
fn a_rooms_name_is_the_hmac_of_the_address_under_the_secret_and_stays_with_it() {
    // Python: hmac.new(b"abcdefghijklmnopqrstuvwxyz", b"203.0.113.7", "sha1").hexdigest()
    let secret: Secret = "abcdefghijklmnopqrstuvwxyz".parse().unwrap();
    let name = |secret: &Secret, address| {
        Rooms::new(secret.clone(), 1)
            .room_of(at(address))
            .to_string()
    };
    assert_eq!(
        name(&secret, HOME),
        "f000eb4c1665c517f02415f0fd196cace0b9bc87"
    );
    assert_eq!(
        name(&secret, HOME_V6),
        "e9f59b3333fd548bea6a495831ce0c6396a84c60"
    );
    assert_ne!(name(&secret, HOME), name(&self::secret(2), HOME));
}

#[test]
fn debug_output_shows_no_secret_and_no_member() {
    let mut rooms = rooms();
    join(&mut rooms, "edge", HOME).unwrap();
    let shown = format!("{rooms:?} {:?}", secret(1));
    assert!(
        !shown.contains("edge") && !shown.contains(secret(1).expose()),
        "{shown}"
    );
}
