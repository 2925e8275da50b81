//! What holds whatever clients do and in whatever order, beside a model that is as simple as can be.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 3;
const ADDRESSES: [&str; 4] = [
    "203.0.113.7",
    "198.51.100.9",
    "2001:db8::1",
    "2001:db8:1::1",
];

#[derive(Clone, Debug)]
enum Step {
    Join { id: u8, room: u8, from: u8 },
    Leave { id: u8, room: u8 },
    Freed { id: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (id, address) = (0..6u8, 0..4u8);
    prop_oneof![
        4 => (id.clone(), address.clone()).prop_map(|(id, at)| Step::Join { id, room: at, from: at }),
        1 => (id.clone(), address.clone(), address.clone()).prop_map(|(id, room, from)| Step::Join { id, room, from }),
        1 => (id.clone(), address).prop_map(|(id, room)| Step::Leave { id, room }),
        1 => id.prop_map(|id| Step::Freed { id }),
    ]
}

fn household(address: u8) -> Household {
    Household::of(ADDRESSES[usize::from(address)].parse().unwrap())
}

fn peer(id: u8) -> PeerId {
    format!("p{id}").parse().unwrap()
}

proptest! {
    #[test]
    fn a_room_holds_exactly_those_who_joined_it_from_its_address_and_are_still_there(steps in prop::collection::vec(step(), 0..80)) {
        let mut rooms = Rooms::new("abcdefghijklmnopqrstuvwxyz".parse().unwrap(), LIMIT);
        // (room, id)
        let mut model = BTreeSet::<(u8, u8)>::new();
        for step in steps {
            match step {
                Step::Join { id, room, from } => {
                    let joined = rooms.join(&peer(id), &rooms.room_of(household(room)).to_string(), household(from));
                    let others = model.iter().filter(|(at, other)| *at == room && *other != id).count();
                    let expected = match () {
                        () if room != from => Err(Refused::Elsewhere),
                        () if !model.contains(&(room, id)) && others == LIMIT => Err(Refused::Full),
                        () => {
                            model.retain(|(at, other)| *other != id || household(*at).is_ipv6() != household(room).is_ipv6());
                            model.insert((room, id));
                            Ok(())
                        }
                    };
                    prop_assert_eq!(joined.map(|members| assert!(members.contains(&peer(id)))), expected);
                }
                Step::Leave { id, room } => {
                    let left = rooms.leave(&peer(id), &rooms.room_of(household(room)).to_string());
                    prop_assert_eq!(left, model.remove(&(room, id)));
                }
                Step::Freed { id } => {
                    rooms.freed(&peer(id));
                    model.retain(|(_, other)| *other != id);
                }
            }
            for room in 0..4 {
                let members = rooms.members(&rooms.room_of(household(room)).to_string(), household(room)).unwrap();
                let expected: BTreeSet<_> = model.iter().filter(|(at, _)| *at == room).map(|(_, id)| peer(*id)).collect();
                prop_assert_eq!(members.len(), expected.len());
                prop_assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
        for id in 0..6 {
            rooms.freed(&peer(id));
        }
        prop_assert!(rooms.rooms.is_empty() && rooms.memberships.is_empty(), "something is left behind");
    }
}
