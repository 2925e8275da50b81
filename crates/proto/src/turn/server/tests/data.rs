//! Permissions, channels, and what is carried.

use super::super::*;
use super::world::{ALICE, BOB, Heard, PEER, PEER6, Said, World, address, config, tcp, udp};

#[test]
fn data_goes_both_ways_once_there_is_a_permission() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    assert_eq!(world.say(alice.at, PEER, b"early"), None);
    assert_eq!(world.hear(relay, PEER, b"early"), None);
    assert_eq!(world.permit(&alice, &[PEER]), None);
    let said = world.say(alice.at, PEER, b"hello");
    assert_eq!(
        said,
        Some(Said::ToPeer(relay, address(PEER), b"hello".into()))
    );
    let heard = world.hear(relay, PEER, b"hi");
    assert_eq!(heard, Some(Heard::Indication(address(PEER), b"hi".into())));
    // By address, whatever the port (RFC 8656 section 9).
    assert!(world.hear(relay, "30.0.0.1:9", b"hi").is_some());
    assert_eq!(world.hear(relay, "30.0.0.2:7000", b"hi"), None);
    let stats = world.server.stats();
    assert_eq!((stats.up.octets, stats.down.octets), (5, 4));
    assert_eq!(stats.unpermitted, 3);
}

#[test]
fn a_permission_lasts_five_minutes_and_is_renewed_by_asking_again() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    world.permit(&alice, &[PEER]);
    world.pass(299);
    assert!(world.hear(relay, PEER, b"x").is_some());
    world.permit(&alice, &[PEER]);
    world.pass(299);
    assert!(world.say(alice.at, PEER, b"x").is_some());
    world.pass(1);
    assert!(world.say(alice.at, PEER, b"x").is_none());
    assert!(world.hear(relay, PEER, b"x").is_none());
}

#[test]
fn a_channel_is_a_permission_and_a_short_form_both_ways() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    assert_eq!(world.say_on(alice.at, 0x4001, b"early"), None);
    assert_eq!(world.bind(&alice, 0x4001, PEER), None);
    let said = world.say_on(alice.at, 0x4001, b"hello");
    assert_eq!(
        said,
        Some(Said::ToPeer(relay, address(PEER), b"hello".into()))
    );
    let heard = world.hear(relay, PEER, b"hello");
    assert_eq!(heard, Some(Heard::Channel(0x4001, b"hello".into(), 0)));
    // Another port of the same peer has no channel.
    let heard = world.hear(relay, "30.0.0.1:9", b"x");
    assert!(matches!(heard, Some(Heard::Indication(..))));
}

#[test]
fn on_a_stream_channel_data_is_filled_up_to_four_octets() {
    let mut world = World::new(config());
    let alice = world.client(tcp(ALICE), "alice");
    let relay = world.allocate(&alice);
    world.bind(&alice, 0x4000, PEER);
    for (length, filling) in [(0, 0), (1, 3), (2, 2), (3, 1), (4, 0), (101, 3)] {
        let data = vec![7; length];
        let heard = world.hear(relay, PEER, &data);
        assert_eq!(heard, Some(Heard::Channel(0x4000, data, filling)));
    }
}

#[test]
fn a_channel_lasts_ten_minutes_and_its_permission_five() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    world.bind(&alice, 0x4000, PEER);
    world.pass(300);
    assert!(world.say_on(alice.at, 0x4000, b"x").is_none());
    world.permit(&alice, &[PEER]);
    assert!(world.say_on(alice.at, 0x4000, b"x").is_some());
    world.pass(299);
    assert_eq!(world.refresh(&alice, None), None);
    world.permit(&alice, &[PEER]);
    world.pass(1);
    assert!(world.say_on(alice.at, 0x4000, b"x").is_none());
    let heard = world.hear(relay, PEER, b"x");
    assert!(matches!(heard, Some(Heard::Indication(..))));
    // The number is free for another.
    assert_eq!(world.bind(&alice, 0x4000, "30.0.0.2:1"), None);
    let heard = world.hear(relay, PEER, b"x");
    assert!(matches!(heard, Some(Heard::Indication(..))));
}

#[test]
fn a_channel_and_a_peer_are_bound_to_each_other_alone() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    assert_eq!(world.bind(&alice, 0x4000, PEER), None);
    assert_eq!(world.bind(&alice, 0x4000, PEER), None);
    assert_eq!(world.bind(&alice, 0x4000, "30.0.0.2:1"), Some(400));
    assert_eq!(world.bind(&alice, 0x4001, PEER), Some(400));
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(world.bind(&alice, number, "30.0.0.3:1"), Some(400));
    }
    assert_eq!(world.bind(&alice, 0x4002, "30.0.0.3:0"), Some(400));
}

#[test]
fn forbidden_peers_are_refused_for_permission_and_channel_in_every_notation() {
    let mut config = config();
    config.peers.deny = vec!["30.0.1.0/24".parse().unwrap()];
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let request = world
        .allocate_request()
        .put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    world.code(&alice, request);
    for peer in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "30.0.1.9:80",
        // Our own, on which no relay is.
        "5.5.5.6:80",
        "[::1]:80",
        "[fe80::1]:80",
        "[fd00::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:30.0.0.1]:80",
        "[64:ff9b::10.0.0.1]:80",
        "[64:ff9b::30.0.1.9]:80",
        "[64:ff9b::5.5.5.6]:80",
        "[2002:7f00:1::]:80",
    ] {
        assert_eq!(world.permit(&alice, &[peer]), Some(403), "{peer}");
        assert_eq!(world.permit(&alice, &[PEER, peer]), Some(403), "{peer}");
        assert_eq!(world.bind(&alice, 0x4000, peer), Some(403), "{peer}");
        assert_eq!(world.say(alice.at, peer, b"x"), None, "{peer}");
    }
    // One forbidden address among others: none is permitted.
    assert_eq!(world.say(alice.at, PEER, b"x"), None);
}

#[test]
fn what_the_owner_allows_is_relayed_to_our_own_addresses_included() {
    let mut config = config();
    config.peers.allow = vec![
        "127.0.0.0/8".parse().unwrap(),
        "5.5.5.6/32".parse().unwrap(),
    ];
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    for peer in ["127.0.0.1:9", "5.5.5.6:9"] {
        assert_eq!(world.permit(&alice, &[peer]), None, "{peer}");
        let said = world.say(alice.at, peer, b"x");
        assert_eq!(said, Some(Said::ToPeer(relay, address(peer), b"x".into())));
        assert!(world.hear(relay, peer, b"x").is_some());
    }
}

#[test]
fn two_clients_meet_relay_to_relay_without_a_socket_in_between() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(tcp(BOB), "bob");
    let (a, b) = (world.allocate(&alice), world.allocate(&bob));
    assert_eq!(world.permit(&alice, &[&b.to_string()]), None);
    // Until he wants to hear of it, nothing comes to him.
    assert_eq!(world.say(alice.at, &b.to_string(), b"hello"), None);
    assert_eq!(world.bind(&bob, 0x4007, &a.to_string()), None);
    let said = world.say(alice.at, &b.to_string(), b"hello");
    let heard = Heard::Channel(0x4007, b"hello".into(), 3);
    assert_eq!(said, Some(Said::ToClient(bob.at, heard)));
    let said = world.say_on(bob.at, 0x4007, b"hi");
    let heard = Heard::Indication(b, b"hi".into());
    assert_eq!(said, Some(Said::ToClient(alice.at, heard)));
}

#[test]
fn of_our_relay_address_only_live_relays_are_reached_and_heard() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(udp(BOB), "bob");
    let (a, b) = (world.allocate(&alice), world.allocate(&bob));
    assert_eq!(world.permit(&alice, &["5.5.5.5:1"]), None);
    assert_eq!(world.permit(&bob, &["5.5.5.5:1"]), None);
    // The signalling server, the resolver, a relay that never was.
    for peer in ["5.5.5.5:9000", "5.5.5.5:53", "5.5.5.5:3478"] {
        assert_eq!(world.say(alice.at, peer, b"x"), None, "{peer}");
        assert_eq!(world.hear(a, peer, b"x"), None, "{peer}");
    }
    assert!(world.say(alice.at, &b.to_string(), b"x").is_some());
    assert_eq!(world.refresh(&bob, Some(0)), None);
    assert_eq!(world.say(alice.at, &b.to_string(), b"x"), None);
    assert!(world.server.stats().forbidden > 0);
}

#[test]
fn behind_a_translator_relays_meet_by_their_external_addresses() {
    let mut config = config();
    config.relay_v4 = Some(Relay {
        bind: "10.0.0.5".parse().unwrap(),
        external: "5.5.5.5".parse().unwrap(),
    });
    config.own = vec!["10.0.0.5".parse().unwrap()];
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(udp(BOB), "bob");
    let (a, b) = (world.allocate(&alice), world.allocate(&bob));
    assert_eq!(world.permit(&alice, &[&b.to_string()]), None);
    assert_eq!(world.permit(&bob, &[&a.to_string()]), None);
    assert!(world.say(alice.at, &b.to_string(), b"x").is_some());
    assert_eq!(world.permit(&alice, &["10.0.0.5:61000"]), Some(403));
}

#[test]
fn relays_at_loopback_are_no_peers_unless_allowed() {
    let mut config = config();
    let ip = "127.0.0.1".parse().unwrap();
    config.relay_v4 = Some(Relay {
        bind: ip,
        external: ip,
    });
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(udp(BOB), "bob");
    world.allocate(&alice);
    let b = world.allocate(&bob);
    assert_eq!(world.permit(&alice, &[&b.to_string()]), Some(403));
}

#[test]
fn a_private_relay_address_still_lets_relays_meet() {
    let mut config = config();
    let ip = "192.168.1.5".parse().unwrap();
    config.relay_v4 = Some(Relay {
        bind: ip,
        external: ip,
    });
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(udp(BOB), "bob");
    let (a, b) = (world.allocate(&alice), world.allocate(&bob));
    assert_eq!(world.permit(&alice, &[&b.to_string()]), None);
    assert_eq!(world.permit(&bob, &[&a.to_string()]), None);
    assert!(world.say(alice.at, &b.to_string(), b"x").is_some());
    assert_eq!(world.say(alice.at, "192.168.1.5:22", b"x"), None);
    assert_eq!(world.permit(&alice, &["192.168.1.6:22"]), Some(403));
}

#[test]
fn more_than_the_bandwidth_is_dropped_and_it_comes_back_with_time() {
    let mut config = config();
    config.bandwidth = Some(100_000);
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    world.permit(&alice, &[PEER]);
    let data = vec![0; 1_000];
    let through = |world: &mut World| {
        (0..300)
            .filter(|_| world.say(alice.at, PEER, &data).is_some())
            .count()
    };
    assert_eq!(through(&mut world), 100);
    // The other way has its own.
    let down = (0..300)
        .filter(|_| world.hear(relay, PEER, &data).is_some())
        .count();
    assert_eq!(down, 100);
    world.pass(1);
    assert_eq!(through(&mut world), 100);
    assert_eq!(world.server.stats().excess, 600);
}

#[test]
fn data_of_the_greatest_length_is_carried_where_its_form_can_say_it() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    world.permit(&alice, &[PEER]);
    assert!(world.hear(relay, PEER, &vec![0; 65_507]).is_some());
    assert_eq!(world.hear(relay, PEER, &vec![0; 65_535]), None);
    world.bind(&alice, 0x4000, PEER);
    assert!(world.hear(relay, PEER, &vec![0; 65_535]).is_some());
}

#[test]
fn data_by_way_of_the_other_family_is_nobody_s() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    assert_eq!(world.permit(&alice, &[PEER6]), Some(443));
    assert_eq!(world.say(alice.at, PEER6, b"x"), None);
}
