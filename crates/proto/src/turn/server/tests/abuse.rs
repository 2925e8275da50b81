//! What strangers and users may not do to others.

use super::super::allocation::MAX_PEERS;
use super::super::ports::MAX_RESERVED;
use super::super::replies::{BURST, RATE};
use super::super::*;
use super::world::{ALICE, BOB, PEER, World, address, config, tcp, udp};

#[test]
fn answers_to_forged_addresses_are_bounded_in_octets() {
    let mut world = World::new(config());
    let mut sent = 0;
    for _ in 0..10_000 {
        let request = world.allocate_request().finish();
        sent += world.send(udp(ALICE), &request).concat().len();
    }
    assert!(sent <= BURST as usize, "{sent}");
    for _ in 0..10 {
        world.pass(1);
        for _ in 0..1_000 {
            let request = world.request(Method::BINDING).finish();
            sent += world.send(udp(ALICE), &request).concat().len();
        }
    }
    assert!(sent <= (BURST + 10 * RATE) as usize, "{sent}");
    assert!(world.server.stats().withheld > 0);
    // Others are answered.
    let request = world.request(Method::BINDING).finish();
    assert_eq!(world.send(udp(BOB), &request).len(), 1);
    // And so is who has a connection: its address is proven.
    for _ in 0..1_000 {
        let request = world.request(Method::BINDING).finish();
        assert_eq!(world.send(tcp(ALICE), &request).len(), 1);
    }
}

#[test]
fn who_has_credentials_is_served_while_his_address_is_flooded() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let relay = world.allocate(&alice);
    for _ in 0..10_000 {
        let request = world.allocate_request().finish();
        world.send(udp("20.0.0.1:6000"), &request);
    }
    assert_eq!(world.permit(&alice, &[PEER]), None);
    assert_eq!(world.refresh(&alice, None), None);
    assert!(world.hear(relay, PEER, b"x").is_some());
}

#[test]
fn an_answer_to_a_stranger_is_short() {
    // Two and a half times what asks for it, where a realm of usual length is named.
    let mut world = World::new(config());
    let request = world.allocate_request().finish();
    let replies = world.send(udp(ALICE), &request);
    assert!(replies[0].len() <= 84, "{}", replies[0].len());
    let request = world.request(Method::BINDING).finish();
    let replies = world.send(udp(ALICE), &request);
    assert_eq!(replies[0].len(), 32);
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut world = World::new(config());
    for number in 0..1_000 {
        let request = world.allocate_request().finish();
        world.send(udp(&format!("20.0.{}.1:{number}", number % 250)), &request);
    }
    let server = &world.server;
    assert!(server.slots.is_empty() && server.clients.is_empty() && server.users.is_empty());
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn an_allocation_knows_so_many_peers_and_room_comes_back_with_time() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    for number in 0..MAX_PEERS {
        let peer = format!("30.1.{}.{}:1", number / 250, number % 250);
        let channel = 0x4000 + number as u16;
        assert_eq!(world.bind(&alice, channel, &peer), None, "{number}");
    }
    assert_eq!(world.permit(&alice, &[PEER]), Some(508));
    assert_eq!(world.bind(&alice, 0x4fff, PEER), Some(508));
    // One that is known already is renewed.
    assert_eq!(world.permit(&alice, &["30.1.0.0:9"]), None);
    world.pass(300);
    assert_eq!(world.permit(&alice, &[PEER]), None);
    assert_eq!(world.bind(&alice, 0x4fff, PEER), Some(508));
    world.refresh(&alice, None);
    world.pass(300);
    assert_eq!(world.bind(&alice, 0x4fff, PEER), None);
}

#[test]
fn one_request_names_no_more_peers_than_an_allocation_may_know_the_same_one_again_included() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    assert_eq!(world.permit(&alice, &[PEER; MAX_PEERS]), None);
    assert_eq!(world.permit(&alice, &[PEER; MAX_PEERS + 1]), Some(508));
}

#[test]
fn a_socket_that_opens_too_late_is_closed() {
    let mut world = World::new(config());
    let alice = world.client(tcp(ALICE), "alice");
    let request = world.allocate_request();
    let octets = World::signed(&alice, request).finish();
    world
        .server
        .handle_client(alice.at, &octets, world.now, world.time);
    let Some(Output::Open { relay, address }) = world.server.poll_output() else {
        panic!("no socket asked for");
    };
    world.server.handle_closed(alice.at);
    world.sockets.insert(relay, address);
    world.server.handle_opened(relay, Ok(()), world.now);
    world.drain();
    assert!(world.sockets.is_empty());
    assert_eq!(world.server.stats().allocations, [0; 3]);
}

#[test]
fn a_relay_s_name_is_never_another_s() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    let old = *world.sockets.keys().next().unwrap();
    world.refresh(&alice, Some(0));
    let bob = world.client(udp(BOB), "bob");
    world.allocate(&bob);
    world.permit(&bob, &[PEER]);
    assert_ne!(*world.sockets.keys().next().unwrap(), old);
    let heard = world
        .server
        .handle_peer(old, address(PEER), b"x", world.now);
    assert_eq!(heard, None);
}

#[test]
fn garbage_is_counted_and_nothing_else() {
    let mut world = World::new(config());
    for octets in [
        &b""[..],
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x40, 0, 0xff, 0xff],
        &[0xff; 100],
        &[0; 20],
    ] {
        assert_eq!(world.send(udp(ALICE), octets).len(), 0);
    }
    // Methods and classes that are none of ours.
    for class in [Class::Indication, Class::Success, Class::Error] {
        let id = world.id();
        let octets = stun::Builder::new(class, Method::ALLOCATE, id).finish();
        assert_eq!(world.send(udp(ALICE), &octets).len(), 0);
    }
    assert!(world.server.stats().malformed >= 6);
}

#[test]
fn who_wants_a_pair_of_ports_and_cannot_have_it_gets_none() {
    let mut config = config();
    config.ports = 61_000..=61_999;
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let pair = |world: &mut World, code| {
        let request = world.allocate_request().put(attribute::EVEN_PORT, &[0x80]);
        assert_eq!(world.code(&alice, request), code);
    };
    for _ in 0..MAX_RESERVED {
        pair(&mut world, None);
        assert_eq!(world.refresh(&alice, Some(0)), None);
    }
    pair(&mut world, Some(508));
    world.allocate(&alice);
    assert_eq!(world.refresh(&alice, Some(0)), None);
    world.pass(30);
    pair(&mut world, None);
}
