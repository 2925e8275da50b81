//! Whatever clients do in whatever order: what was given comes back, and counts are what is there.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::world::{World, config, tcp, udp};

#[derive(Clone, Debug)]
enum Step {
    Allocate(u8, bool, bool),
    Refresh(u8, u32),
    Permit(u8, u8),
    Bind(u8, u16, u8),
    Close(u8),
    Take(u16),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8u8, any::<bool>(), any::<bool>()).prop_map(|(who, dual, even)| Step::Allocate(who, dual, even)),
        2 => (0..8u8, prop_oneof![Just(0), 1..4000u32]).prop_map(|(who, life)| Step::Refresh(who, life)),
        1 => (0..8u8, any::<u8>()).prop_map(|(who, peer)| Step::Permit(who, peer)),
        1 => (0..8u8, 0x4000..0x4004u16, any::<u8>()).prop_map(|(who, channel, peer)| Step::Bind(who, channel, peer)),
        1 => (0..8u8).prop_map(Step::Close),
        1 => (61_000..61_012u16).prop_map(Step::Take),
        1 => (0..900u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ports_quotas_and_counts_agree_with_the_sockets_that_are_open(steps in prop::collection::vec(step(), 0..80)) {
        let mut config = config();
        config.ports = 61_000..=61_011;
        config.total_quota = 6;
        let mut world = World::new(config);
        let mut clients: Vec<_> = (0..8u8)
            .map(|who| {
                let remote = format!("20.0.0.{who}:5000");
                let at = if who % 2 == 0 { udp(&remote) } else { tcp(&remote) };
                world.client(at, &format!("user{}", who / 4))
            })
            .collect();
        for step in steps {
            let of = |who: u8| usize::from(who);
            match step {
                Step::Allocate(who, dual, even) => {
                    let mut request = world.allocate_request();
                    if dual {
                        request = request.put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
                    } else if even {
                        request = request.put(attribute::EVEN_PORT, &[0x80]);
                    }
                    world.code(&clients[of(who)], request);
                }
                Step::Refresh(who, life) => drop(world.refresh(&clients[of(who)], Some(life))),
                Step::Permit(who, peer) => drop(world.permit(&clients[of(who)], &[&format!("30.0.0.{peer}:1")])),
                Step::Bind(who, channel, peer) => {
                    world.bind(&clients[of(who)], channel, &format!("30.0.0.{peer}:1"));
                }
                Step::Close(who) => {
                    let at = clients[of(who)].at;
                    world.server.handle_closed(at);
                    world.drain();
                }
                Step::Take(port) => match world.taken.iter().position(|taken| *taken == port) {
                    Some(at) => drop(world.taken.swap_remove(at)),
                    None => world.taken.push(port),
                },
                Step::Pass(seconds) => {
                    world.pass(seconds.into());
                    for client in &mut clients {
                        world.renew(client);
                    }
                }
            }
            let server = &world.server;
            let live: Vec<_> = server.slots.iter().filter_map(|slot| slot.allocation.as_deref()).collect();
            let sockets: BTreeSet<_> = world.sockets.keys().copied().collect();
            let legs: BTreeSet<_> = live.iter().flat_map(|one| one.legs.iter().flatten()).map(|leg| leg.relay).collect();
            prop_assert_eq!(&sockets, &legs);
            prop_assert_eq!(server.externals.len(), legs.len());
            prop_assert_eq!(server.clients.len(), live.len());
            prop_assert_eq!(server.deadlines.len(), live.len());
            prop_assert_eq!(server.users.values().sum::<usize>(), live.len());
            prop_assert_eq!(server.households.values().sum::<usize>(), live.len());
            prop_assert_eq!(server.stats.allocations.iter().sum::<usize>(), live.len());
            prop_assert!(server.users.values().all(|count| *count <= 3));
            prop_assert!(live.len() <= 6);
        }
        // All is over: every port can be had again.
        world.pass(4_000);
        prop_assert!(world.sockets.is_empty());
        world.taken.clear();
        for ports in &mut world.server.ports {
            for _ in 0..12 {
                prop_assert!(ports.take(0, false, false, world.now).is_some());
            }
        }
    }
}
