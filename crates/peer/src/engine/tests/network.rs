//! Connections over a network that loses, repeats and garbles.

use super::world::{ADDRESSES, World, clear, numbered, random, secs};
use crate::Route;
use crate::connection::CloseReason;

#[test]
fn everything_arrives_in_order_over_a_network_that_loses_and_repeats() {
    for seed in 0..4 {
        let mut chance = random(seed);
        let mut world = World::connected(move |datagram| match chance() % 20 {
            0 => vec![],
            1 => vec![datagram.to_vec(); 2],
            _ => clear(datagram),
        });
        let (mut sent, mut received) = (0, 0);
        let all = world.run(secs(120), |world| {
            while sent < 300 && world.send(0, numbered(sent, 3000)) {
                sent += 1;
            }
            while let Some(message) = world.received(1) {
                assert_eq!(message, numbered(received, 3000));
                received += 1;
            }
            received == 300
        });
        assert!(all, "seed {seed}: {received} of {sent}");
    }
}

#[test]
fn garbled_datagrams_from_the_peers_own_address_neither_panic_nor_end_the_connection() {
    for seed in 0..8 {
        let mut chance = random(seed);
        let mut world = World::connected(clear);
        world.weather = Box::new(move |datagram| {
            let mut garbled = datagram.to_vec();
            match chance() % 4 {
                0 => garbled.truncate(chance() as usize % (datagram.len() + 1)),
                1 => garbled = (0..chance() % 1500).map(|_| chance() as u8).collect(),
                _ => {
                    for _ in 0..=chance() % 8 {
                        let at = chance() as usize % garbled.len();
                        garbled[at] = chance() as u8;
                    }
                }
            }
            vec![garbled, datagram.to_vec()]
        });
        let (mut sent, mut received) = (0, 0);
        let all = world.run(secs(60), |world| {
            // One at a time, so that there is much to garble.
            if sent == received && world.send(0, numbered(sent, 500)) {
                sent += 1;
            }
            while let Some(message) = world.received(1) {
                assert_eq!(message, numbered(received, 500));
                received += 1;
            }
            received == 40
        });
        assert!(
            all,
            "seed {seed}: {:?} {:?}",
            world.reason(0),
            world.reason(1)
        );
    }
}

#[test]
fn garbled_handshakes_do_not_panic() {
    for seed in 0..20 {
        let mut chance = random(seed);
        let mut world = World::new(move |datagram| {
            let mut garbled = datagram.to_vec();
            if chance().is_multiple_of(3) {
                let at = chance() as usize % garbled.len();
                garbled[at] ^= 1 << (chance() % 8);
            }
            vec![garbled]
        });
        // Open or failed with a reason: both are fine.
        let settled = world.run(secs(90), |world| {
            (0..2).all(|end| world.ends[end].channel.is_some() || world.reason(end).is_some())
        });
        assert!(settled, "seed {seed}");
    }
}

#[test]
fn a_peer_that_falls_silent_is_lost_after_30_seconds_and_not_before() {
    let mut world = World::connected(clear);
    world.weather = Box::new(|_| vec![]);
    assert!(!world.run(secs(27), |world| world.reason(0).is_some()));
    assert!(world.run(secs(4), |world| world.reason(0).is_some()
        && world.reason(1).is_some()));
    assert_eq!(world.reason(0), Some(CloseReason::Lost));
    assert_eq!(world.reason(1), Some(CloseReason::Lost));
}

#[test]
fn a_gap_of_20_seconds_is_survived() {
    let mut world = World::connected(clear);
    world.weather = Box::new(|_| vec![]);
    assert!(world.send(0, numbered(7, 100)));
    assert!(!world.run(secs(20), |world| world.reason(0).is_some()));
    world.weather = Box::new(clear);
    assert!(world.run(secs(20), |world| world.received(1)
        == Some(numbered(7, 100))));
}

#[test]
fn peers_without_a_path_end_with_no_route() {
    let mut world = World::new(|_| vec![]);
    assert!(world.run(secs(61), |world| {
        (0..2).all(|end| world.reason(end).is_some())
    }));
    assert_eq!(world.reason(0), Some(CloseReason::NoRoute));
    assert_eq!(world.reason(1), Some(CloseReason::NoRoute));
}

#[test]
fn a_reader_that_takes_nothing_for_30_seconds_ends_its_connection_as_slow() {
    let mut world = World::connected(clear);
    let mut sent = 0u32;
    let fill = |world: &mut World| {
        while world.send(0, numbered(0, 60_000)) {
            sent += 1;
        }
        false
    };
    world.run(secs(20), fill);
    assert_eq!(world.reason(1), None, "it may still catch up");
    assert!(world.run(secs(20), |world| world.reason(0).is_some()
        && world.reason(1).is_some()));
    assert_eq!(world.reason(1), Some(CloseReason::SlowReader));
    assert_eq!(world.reason(0), Some(CloseReason::Remote));
    assert!(
        (60..100).contains(&sent),
        "bounded: {sent} messages of 60 kB"
    );
}

#[test]
fn a_reader_that_catches_up_in_time_loses_nothing() {
    let mut world = World::connected(clear);
    let mut sent = 0;
    world.run(secs(20), |world| {
        while world.send(0, numbered(sent, 60_000)) {
            sent += 1;
        }
        false
    });
    let mut received = 0;
    let all = world.run(secs(60), |world| {
        while let Some(message) = world.received(1) {
            assert_eq!(message, numbered(received, 60_000));
            received += 1;
        }
        received == sent
    });
    assert!(all, "{received} of {sent}: {:?}", world.reason(1));
}

#[test]
fn a_relay_that_is_seen_before_it_is_told_does_not_go_before_a_direct_path() {
    let mut world = World::strangers(clear);
    // Stands for a relay of a peer that gives its checks the high priority of the standard, as browsers do.
    let relay = world.add_address(1, ([10, 0, 0, 9], 9));
    let caller = world.add_address(0, ADDRESSES[0]);
    world.tell(1, &caller);
    assert!(world.run(secs(5), |world| world.ends[0].channel.is_some()));
    let as_told = |line: &str, kind: &str, preference: u32| {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words[3] = (preference << 24 | 0xfffe << 8 | 0xff).to_string();
        words[7] = kind.to_owned();
        words.join(" ") + " raddr 0.0.0.0 rport 0"
    };
    world.tell(
        0,
        &as_told(
            &relay[..relay.find(" ufrag").unwrap_or(relay.len())],
            "relay",
            2,
        ),
    );
    assert_eq!(world.ends[0].facts.meter.route(), Route::Relayed);
    let direct = world.add_address(1, ADDRESSES[1]);
    world.tell(
        0,
        &as_told(
            &direct[..direct.find(" ufrag").unwrap_or(direct.len())],
            "srflx",
            100,
        ),
    );
    let is_direct = world.run(secs(10), |world| {
        world.send(0, numbered(0, 10));
        let _ = world.received(1);
        world.ends[0].facts.meter.route() == Route::Direct
    });
    assert!(is_direct);
}
