//! Credentials, allocations, their times and quotas.

use std::time::Duration;

use super::super::*;
use super::world::{ALICE, BOB, PEER, PEER6, START, World, address, config, tcp, udp};
use crate::wire::stun::attribute as stun_attribute;

#[test]
fn a_binding_request_is_answered_with_the_address_it_came_from() {
    let mut world = World::new(config());
    for from in ["20.0.0.1:5000", "[2a00::1]:5000"] {
        let request = world.request(Method::BINDING).fingerprint();
        let reply = world.ask(udp(from), request);
        let reply = Message::parse(&reply).unwrap();
        assert_eq!(reply.class(), Class::Success);
        assert!(reply.has_fingerprint());
        let mapped = reply.xor_address(stun_attribute::XOR_MAPPED_ADDRESS);
        assert_eq!(mapped, Some(address(from)));
    }
}

#[test]
fn what_a_request_wants_understood_and_is_not_is_named() {
    let mut world = World::new(config());
    let request = world.request(Method::BINDING).put(0x0003, &[0; 4]);
    let reply = world.ask(udp(ALICE), request);
    let reply = Message::parse(&reply).unwrap();
    assert_eq!(reply.error().unwrap().0, 420);
    let unknown = reply.attribute(stun_attribute::UNKNOWN_ATTRIBUTES);
    assert_eq!(unknown, Some(&[0, 3][..]));
    let alice = world.client(udp(ALICE), "alice");
    let request = world.allocate_request().put(0x7777, b"");
    assert_eq!(world.code(&alice, request), Some(420));
}

#[test]
fn an_allocation_has_a_port_of_the_range_and_names_both_addresses() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world.allocate_request();
    let (code, reply) = world.ask_signed(&alice, request);
    assert_eq!(code, None);
    let reply = Message::parse(&reply).unwrap();
    let relayed = reply.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap();
    assert_eq!(relayed.ip(), address("5.5.5.5:0").ip());
    assert!((61_000..=61_099).contains(&relayed.port()));
    let mapped = reply.xor_address(stun_attribute::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Some(address(ALICE)));
    assert_eq!(reply.number(attribute::LIFETIME), Some(600));
    assert_eq!(world.sockets.values().collect::<Vec<_>>(), [&relayed]);
    assert_eq!(world.server.stats().allocations, [1, 0, 0]);
}

#[test]
fn behind_a_translator_the_external_address_is_named_and_the_inner_one_bound() {
    let mut config = config();
    config.relay_v4 = Some(Relay {
        bind: "10.0.0.5".parse().unwrap(),
        external: "5.5.5.5".parse().unwrap(),
    });
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let relayed = world.allocate(&alice);
    assert_eq!(relayed.ip().to_string(), "5.5.5.5");
    let bound = world.sockets.values().next().unwrap();
    assert_eq!(bound.ip().to_string(), "10.0.0.5");
    assert_eq!(bound.port(), relayed.port());
}

#[test]
fn a_lost_answer_is_said_again_and_another_request_is_refused() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world.allocate_request();
    let request = World::signed(&alice, request);
    let first = world.ask(alice.at, request.clone());
    assert_eq!(world.ask(alice.at, request), first);
    assert_eq!((world.opens, world.sockets.len()), (1, 1));
    let another = world.allocate_request();
    assert_eq!(world.code(&alice, another), Some(437));
}

#[test]
fn a_request_without_valid_credentials_is_refused_as_the_standard_says() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    // Another password.
    let mut wrong = world.client(udp(ALICE), "alice");
    wrong.credentials.password.push('x');
    let request = world.allocate_request();
    assert_eq!(world.code(&wrong, request), Some(401));
    // A name that nobody minted.
    let mut unknown = world.client(udp(ALICE), "alice");
    unknown.credentials.username = "alice".into();
    unknown.credentials.password = world.server.config.secret.password("alice");
    let request = world.allocate_request();
    assert_eq!(world.code(&unknown, request), Some(401));
    // A nonce of another address, and one that is nobody's.
    let request = world.allocate_request();
    let octets = World::signed(&alice, request).finish();
    let replies = world.send(udp(BOB), &octets);
    let reply = Message::parse(&replies[0]).unwrap();
    assert_eq!(reply.error().unwrap().0, 438);
    let mut forged = world.client(udp(ALICE), "alice");
    forged.nonce = "A".repeat(16);
    let request = world.allocate_request();
    assert_eq!(world.code(&forged, request), Some(438));
    // Something is missing.
    let request = world.allocate_request().sign(alice.key().as_bytes());
    let reply = world.ask(alice.at, request);
    let reply = Message::parse(&reply).unwrap();
    assert_eq!(reply.error().unwrap().0, 400);
    assert_eq!(world.sockets.len(), 0);
}

#[test]
fn refusals_of_strangers_are_unsigned_and_tell_all_apart_from_nothing() {
    // Wrong password, unknown and expired user look alike: only the code, the realm and a nonce.
    let mut world = World::new(config());
    let mut shapes = Vec::new();
    for (name, password) in [
        ("1795300999:alice", "wrong"),
        ("alice", "wrong"),
        ("1:alice", "wrong"),
    ] {
        let mut client = world.client(udp(ALICE), "alice");
        client.credentials.username = name.into();
        client.credentials.password = password.into();
        let request = world.allocate_request();
        let (code, reply) = world.ask_signed(&client, request);
        let reply = Message::parse(&reply).unwrap();
        assert!(!reply.has_integrity());
        let kinds: Vec<_> = reply.attributes().map(|attribute| attribute.kind).collect();
        shapes.push((code, kinds));
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0], shapes[2]);
}

#[test]
fn a_nonce_is_good_for_an_hour_and_then_exchanged() {
    let mut world = World::new(config());
    let mut alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    for _ in 0..5 {
        world.pass(599);
        assert_eq!(world.refresh(&alice, Some(3600)), None);
    }
    world.pass(700);
    assert_eq!(world.refresh(&alice, None), Some(438));
    world.renew(&mut alice);
    assert_eq!(world.refresh(&alice, None), None);
}

#[test]
fn expired_credentials_are_refused_with_every_request_and_the_allocation_ends_soon() {
    let mut world = World::new(config());
    let expires = START.after(Duration::from_secs(300));
    let alice = world.client_until(udp(ALICE), "alice", expires);
    let request = world.allocate_request().number(attribute::LIFETIME, 3600);
    let (_, reply) = world.ask_signed(&alice, request);
    let reply = Message::parse(&reply).unwrap();
    assert_eq!(reply.number(attribute::LIFETIME), Some(600));
    assert_eq!(world.permit(&alice, &[PEER]), None);
    world.pass(299);
    assert_eq!(world.refresh(&alice, Some(3600)), None);
    world.pass(1);
    assert_eq!(world.refresh(&alice, None), Some(401));
    assert_eq!(world.permit(&alice, &[PEER]), Some(401));
    assert_eq!(world.bind(&alice, 0x4000, PEER), Some(401));
    let request = world.allocate_request();
    assert_eq!(world.code(&alice, request), Some(401));
    world.pass(598);
    assert_eq!(world.sockets.len(), 1);
    world.pass(1);
    assert_eq!(world.sockets.len(), 0);
}

#[test]
fn another_user_cannot_touch_an_allocation() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    let mallory = world.client(udp(ALICE), "mallory");
    assert_eq!(world.refresh(&mallory, Some(0)), Some(441));
    assert_eq!(world.permit(&mallory, &[PEER]), Some(441));
    assert_eq!(world.bind(&mallory, 0x4000, PEER), Some(441));
    let request = world.allocate_request();
    assert_eq!(world.code(&mallory, request), Some(437));
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn an_allocation_lives_as_long_as_it_is_refreshed() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    world.pass(599);
    assert_eq!(world.refresh(&alice, None), None);
    world.pass(599);
    assert_eq!(world.sockets.len(), 1);
    world.pass(1);
    assert_eq!(world.sockets.len(), 0);
    assert_eq!(world.refresh(&alice, None), Some(437));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_refresh_of_zero_ends_it_at_once() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    assert_eq!(world.refresh(&alice, Some(0)), None);
    assert_eq!(world.sockets.len(), 0);
    assert_eq!(world.server.stats().allocations, [0; 3]);
    world.allocate(&alice);
}

#[test]
fn lifetimes_are_between_ten_minutes_and_an_hour() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    world.allocate(&alice);
    for (asked, granted) in [(1, 600), (700, 700), (3_600, 3_600), (u32::MAX, 3_600)] {
        let request = world
            .request(Method::REFRESH)
            .number(attribute::LIFETIME, asked);
        let (_, reply) = world.ask_signed(&alice, request);
        let reply = Message::parse(&reply).unwrap();
        assert_eq!(reply.number(attribute::LIFETIME), Some(granted), "{asked}");
    }
}

#[test]
fn an_allocation_ends_with_its_connection() {
    let mut world = World::new(config());
    let alice = world.client(tcp(ALICE), "alice");
    world.allocate(&alice);
    assert_eq!(world.server.stats().allocations, [0, 1, 0]);
    world.server.handle_closed(alice.at);
    world.drain();
    assert_eq!(world.sockets.len(), 0);
    assert_eq!(world.server.stats().allocations, [0; 3]);
}

#[test]
fn a_user_has_so_many_allocations_under_all_expiries_of_the_name_and_gets_them_back() {
    let mut world = World::new(config());
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let expires = START.after(Duration::from_secs(3600 + number));
            let at = udp(&format!("20.0.1.{number}:5000"));
            world.client_until(at, "alice", expires)
        })
        .collect();
    for client in &clients[..3] {
        world.allocate(client);
    }
    let request = world.allocate_request();
    let (code, reply) = world.ask_signed(&clients[3], request);
    assert_eq!(code, Some(486));
    assert!(
        Message::parse(&reply)
            .unwrap()
            .is_signed_with(clients[3].key().as_bytes())
    );
    // Others are not concerned.
    let bob = world.client(udp(BOB), "bob");
    world.allocate(&bob);
    assert_eq!(world.refresh(&clients[0], Some(0)), None);
    world.allocate(&clients[3]);
}

#[test]
fn an_address_and_the_server_have_quotas_too() {
    let mut config = config();
    config.address_quota = Some(2);
    config.total_quota = 6;
    let mut world = World::new(config);
    let mut results = Vec::new();
    for (index, from) in [
        "20.0.0.1:1",
        "20.0.0.1:2",
        "20.0.0.1:3",
        "[2a00:0:0:1::1]:1",
        "[2a00:0:0:1::2]:1",
        "[2a00:0:0:1::3]:1",
        "20.0.0.2:1",
        // As many as are free.
        "20.0.0.2:2",
        "20.0.0.3:1",
        "20.0.0.4:1",
    ]
    .into_iter()
    .enumerate()
    {
        let client = world.client(udp(from), &format!("user{index}"));
        let request = world.allocate_request();
        results.push(world.code(&client, request));
    }
    let full = Some(486);
    let expected = [None, None, full, None, None, full, None, full, None, full];
    assert_eq!(results, expected);
}

#[test]
fn one_address_takes_half_of_all_under_however_many_names_and_leaves_the_rest_to_others() {
    let mut world = World::new(config());
    for number in 0..60 {
        let client = world.client(
            udp(&format!("20.0.0.1:{}", 5000 + number)),
            &format!("u{number}"),
        );
        let request = world.allocate_request();
        let expected = (number >= 25).then_some(486);
        assert_eq!(world.code(&client, request), expected, "{number}");
    }
    let bob = world.client(udp(BOB), "bob");
    world.allocate(&bob);
}

#[test]
fn a_port_of_somebody_else_s_is_passed_over_and_a_full_range_refused() {
    let mut config = config();
    config.ports = 61_000..=61_009;
    let mut world = World::new(config);
    world.taken = (61_000..=61_007).collect();
    let alice = world.client(udp(ALICE), "alice");
    let bob = world.client(udp(BOB), "bob");
    // By chance it may take more tries than there are.
    let mut at = 0;
    let relayed = loop {
        let request = world.allocate_request();
        let (code, reply) = world.ask_signed(&alice, request);
        if code.is_none() {
            let reply = Message::parse(&reply).unwrap();
            break reply.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap();
        }
        assert_eq!(code, Some(508));
        at += 1;
        assert!(at < 20);
    };
    assert!([61_008, 61_009].contains(&relayed.port()));
    world.taken = (61_000..=61_009).collect();
    let request = world.allocate_request();
    assert_eq!(world.code(&bob, request), Some(508));
    // Nothing is lost by it.
    world.taken.clear();
    world.allocate(&bob);
    assert_eq!(world.server.stats().allocations, [2, 0, 0]);
}

#[test]
fn when_all_ports_are_out_one_that_comes_back_is_given_again() {
    let mut config = config();
    config.ports = 61_000..=61_001;
    let mut world = World::new(config);
    let clients: Vec<_> = (0..3)
        .map(|number| world.client(udp(&format!("20.0.0.{number}:1")), &format!("u{number}")))
        .collect();
    let first = world.allocate(&clients[0]);
    world.allocate(&clients[1]);
    let request = world.allocate_request();
    assert_eq!(world.code(&clients[2], request), Some(508));
    world.refresh(&clients[0], Some(0));
    assert_eq!(world.allocate(&clients[2]), first);
}

#[test]
fn only_udp_is_relayed_and_only_in_families_that_are_there() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world.request(Method::ALLOCATE);
    assert_eq!(world.code(&alice, request), Some(400));
    let request = world
        .request(Method::ALLOCATE)
        .put(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    assert_eq!(world.code(&alice, request), Some(442));
    let request = world
        .allocate_request()
        .put(attribute::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]);
    assert_eq!(world.code(&alice, request), Some(440));
    let request = world
        .allocate_request()
        .put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    let (_, reply) = world.ask_signed(&alice, request);
    let relayed = Message::parse(&reply)
        .unwrap()
        .xor_address(attribute::XOR_RELAYED_ADDRESS);
    assert!(relayed.unwrap().is_ipv6());
    assert_eq!(world.permit(&alice, &[PEER]), Some(443));
    assert_eq!(world.permit(&alice, &[PEER6]), None);
    let mut config = config();
    config.relay_v6 = None;
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let request = world
        .allocate_request()
        .put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    assert_eq!(world.code(&alice, request), Some(440));
}

#[test]
fn both_families_may_be_asked_for_and_one_of_them_given_back() {
    for additional in [
        attribute::ADDITIONAL_ADDRESS_FAMILY,
        attribute::ADDITIONAL_ADDRESS_FAMILY_OF_COTURN,
    ] {
        ask_for_both_families(additional);
    }
}

fn ask_for_both_families(additional: u16) {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world.allocate_request().put(additional, &[2, 0, 0, 0]);
    let (code, reply) = world.ask_signed(&alice, request);
    assert_eq!(code, None);
    let reply = Message::parse(&reply).unwrap();
    let relayed: Vec<_> = reply
        .xor_addresses(attribute::XOR_RELAYED_ADDRESS)
        .flatten()
        .collect();
    assert_eq!(relayed.len(), 2);
    assert_eq!(world.permit(&alice, &[PEER, PEER6]), None);
    let request = world
        .request(Method::REFRESH)
        .number(attribute::LIFETIME, 0)
        .put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    assert_eq!(world.code(&alice, request), None);
    assert_eq!(world.sockets.values().collect::<Vec<_>>(), [&relayed[0]]);
    assert_eq!(world.permit(&alice, &[PEER6]), Some(443));
    assert_eq!(world.refresh(&alice, Some(0)), None);
    assert_eq!(world.sockets.len(), 0);
}

#[test]
fn where_the_second_family_cannot_be_had_the_first_is_given_with_the_reason() {
    let mut config = config();
    config.relay_v6 = None;
    let mut world = World::new(config);
    let alice = world.client(udp(ALICE), "alice");
    let request = world
        .allocate_request()
        .put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    let (code, reply) = world.ask_signed(&alice, request);
    assert_eq!(code, None);
    let reply = Message::parse(&reply).unwrap();
    let reason = reply.attribute(attribute::ADDRESS_ERROR_CODE);
    assert_eq!(reason, Some(&[2, 0, 4, 40][..]));
    let relayed = reply.xor_addresses(attribute::XOR_RELAYED_ADDRESS).count();
    assert_eq!(relayed, 1);
}

#[test]
fn a_port_that_is_kept_in_ipv6_is_given_in_ipv6() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world
        .allocate_request()
        .put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
        .put(attribute::EVEN_PORT, &[0x80]);
    let (_, reply) = world.ask_signed(&alice, request);
    let reply = Message::parse(&reply).unwrap();
    let even = reply.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap();
    assert!(even.is_ipv6());
    let token = reply.attribute(attribute::RESERVATION_TOKEN).unwrap();
    let next = world.client(udp("20.0.0.1:5001"), "alice");
    let request = world
        .allocate_request()
        .put(attribute::RESERVATION_TOKEN, token);
    let (code, answer) = world.ask_signed(&next, request);
    assert_eq!(code, None);
    let relayed = Message::parse(&answer)
        .unwrap()
        .xor_address(attribute::XOR_RELAYED_ADDRESS);
    let one_up = std::net::SocketAddr::new(even.ip(), even.port() + 1);
    assert_eq!(relayed, Some(one_up));
}

#[test]
fn an_even_port_and_the_one_after_it_can_be_had_by_token_for_half_a_minute() {
    let mut world = World::new(config());
    let alice = world.client(udp(ALICE), "alice");
    let request = world.allocate_request().put(attribute::EVEN_PORT, &[0x80]);
    let (code, reply) = world.ask_signed(&alice, request);
    assert_eq!(code, None);
    let reply = Message::parse(&reply).unwrap();
    let even = reply.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap();
    assert_eq!(even.port() % 2, 0);
    let token = reply.attribute(attribute::RESERVATION_TOKEN).unwrap();
    let next = world.client(udp("20.0.0.1:5001"), "alice");
    let request = world
        .allocate_request()
        .put(attribute::RESERVATION_TOKEN, token);
    let (code, answer) = world.ask_signed(&next, request);
    assert_eq!(code, None);
    let relayed = Message::parse(&answer)
        .unwrap()
        .xor_address(attribute::XOR_RELAYED_ADDRESS);
    assert_eq!(relayed.unwrap().port(), even.port() + 1);
    // Once.
    let third = world.client(udp("20.0.0.1:5002"), "alice");
    let request = world
        .allocate_request()
        .put(attribute::RESERVATION_TOKEN, token);
    assert_eq!(world.code(&third, request), Some(508));
    let request = world
        .allocate_request()
        .put(attribute::RESERVATION_TOKEN, token)
        .put(attribute::EVEN_PORT, &[0]);
    assert_eq!(world.code(&third, request), Some(400));
}
