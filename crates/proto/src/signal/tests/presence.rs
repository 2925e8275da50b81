//! Who is told when ids come and go.

use super::*;

fn told(of: &str, online: bool) -> String {
    format!(r#"{{"type":"PRESENCE","src":"{of}","dst":"bob","payload":{{"online":{online}}}}}"#)
}

#[test]
fn a_subscriber_is_told_what_is_and_then_each_change() {
    let mut t = Table::new();
    let bob = t.open("bob");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.expect(&[send(bob, &told("alice", false))]);
    let alice = t.open_with("alice", "token");
    t.expect(&[send(alice, signal::OPEN)]);
    t.close(alice);
    t.expect(&[]);
    let alice = t.hello(Hello {
        visible: true,
        ..HELLO
    });
    t.expect(&[send(alice, signal::OPEN), send(bob, &told("alice", true))]);
    t.close(alice);
    t.expect(&[send(bob, &told("alice", false))]);
    t.open_visible("carol");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"carol"}"#);
    t.expect(&[send(bob, &told("carol", true))]);
}

#[test]
fn an_id_that_did_not_opt_in_looks_as_if_it_were_not_there() {
    let mut t = Table::new();
    let bob = t.open("bob");
    t.open("alice");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.expect(&[send(bob, &told("alice", false))]);
}

#[test]
fn neither_a_takeover_nor_a_hold_is_a_coming_or_a_going() {
    let mut t = Table::new();
    let bob = t.open("bob");
    let hello = Hello {
        visible: true,
        hold: secs(30),
        ..HELLO
    };
    let first = t.hello(hello);
    t.expect(&[send(first, signal::OPEN)]);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.expect(&[send(bob, &told("alice", true))]);
    let second = t.hello(hello);
    t.expect(&[
        Output::Close(first, CloseReason::Replaced),
        send(second, signal::OPEN),
    ]);
    t.lose(second);
    t.expect(&[]);
    let third = t.hello(hello);
    t.expect(&[send(third, signal::OPEN)]);
    t.lose(third);
    t.advance(secs(30));
    t.expect(&[send(bob, &told("alice", false))]);
}

#[test]
fn a_subscription_ends_when_it_is_taken_back_and_with_its_socket() {
    let mut t = Table::new();
    let bob = t.open("bob");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"carol"}"#);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"carol"}"#);
    t.outputs();
    t.receive(bob, r#"{"type":"UNSUBSCRIBE","dst":"alice"}"#);
    t.outputs();
    t.open_visible("alice");
    t.close(bob);
    t.outputs();
    t.open_visible("carol");
    assert!(t.is_idle());
}

#[test]
fn a_subscription_that_arrives_after_its_socket_has_gone_is_taken_back() {
    let mut t = Table::new();
    let bob = t.open("bob");
    let frame = FrameRef::parse(br#"{"type":"SUBSCRIBE","dst":"alice"}"#).unwrap();
    t.router.handle_input(Input::Received(bob, frame), t.now);
    let Some(Output::Route(late)) = t.router.poll_output() else {
        panic!("a subscription is routed to the shard of the watched id")
    };
    t.close(bob);
    t.outputs();
    t.input(Input::Routed(late));
    t.expect(&[]);
    assert!(t.is_idle());
}

#[test]
fn what_is_told_of_an_id_does_not_replace_what_was_told_later() {
    let mut t = Table::new();
    let bob = t.open("bob");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.expect(&[send(bob, &told("alice", false))]);
    let visible = Hello {
        visible: true,
        ..HELLO
    };
    let alice = ConnId(7);
    let coming = t.routed(Input::Opened(alice, visible));
    let going = t.routed(Input::Closed(alice, Departure::Clean));
    t.input(Input::Routed(going));
    t.expect(&[send(bob, &told("alice", false))]);
    t.input(Input::Routed(coming));
    t.expect(&[]);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.expect(&[send(bob, &told("alice", false))]);
}

#[test]
fn the_end_of_a_subscription_does_not_end_the_next_one_that_overtook_it() {
    let mut t = Table::new();
    let bob = t.open("bob");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    let frame = FrameRef::parse(br#"{"type":"UNSUBSCRIBE","dst":"alice"}"#).unwrap();
    let end = t.routed(Input::Received(bob, frame));
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    t.input(Input::Routed(end));
    t.outputs();
    let alice = t.hello(Hello {
        visible: true,
        ..HELLO
    });
    t.expect(&[send(alice, signal::OPEN), send(bob, &told("alice", true))]);
    t.close(bob);
    t.close(alice);
    t.outputs();
    assert!(t.is_idle());
}

#[test]
fn subscriptions_of_a_socket_and_of_an_id_are_bounded_and_the_refusal_is_told() {
    let mut t = Table::with(Config {
        watched: 2,
        watchers: 1,
        ..Config::default()
    });
    let (bob, carol) = (t.open("bob"), t.open("carol"));
    for dst in ["a", "b"] {
        t.receive(bob, &format!(r#"{{"type":"SUBSCRIBE","dst":"{dst}"}}"#));
    }
    t.outputs();
    let refusal = |of: &str, to: &str| signal::presence(of, to, Presence::Refused);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"c"}"#);
    t.expect(&[send(bob, &refusal("c", "bob"))]);
    t.receive(carol, r#"{"type":"SUBSCRIBE","dst":"a"}"#);
    t.expect(&[send(carol, &refusal("a", "carol"))]);
    t.close(bob);
    t.outputs();
    t.receive(carol, r#"{"type":"SUBSCRIBE","dst":"a"}"#);
    t.expect(&[send(
        carol,
        &signal::presence("a", "carol", Presence::Offline),
    )]);
}

#[test]
fn subscriptions_of_all_are_bounded_and_those_that_end_make_room() {
    let mut t = Table::with(Config {
        all_watched: 2,
        ..Config::default()
    });
    let (bob, carol) = (t.open("bob"), t.open("carol"));
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"a"}"#);
    t.receive(carol, r#"{"type":"SUBSCRIBE","dst":"a"}"#);
    t.outputs();
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"b"}"#);
    let refusal = signal::presence("b", "bob", Presence::Refused);
    t.expect(&[send(bob, &refusal)]);
    t.receive(bob, r#"{"type":"UNSUBSCRIBE","dst":"a"}"#);
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"b"}"#);
    t.expect(&[send(bob, &signal::presence("b", "bob", Presence::Offline))]);
    t.close(carol);
    t.close(bob);
    t.outputs();
    assert!(t.is_idle());
}

#[test]
fn a_subscription_that_is_refused_leaves_nothing_behind_even_where_none_is_allowed() {
    let mut t = Table::with(Config {
        watchers: 0,
        ..Config::default()
    });
    let bob = t.open("bob");
    t.receive(bob, r#"{"type":"SUBSCRIBE","dst":"alice"}"#);
    let refusal = signal::presence("alice", "bob", Presence::Refused);
    t.expect(&[send(bob, &refusal)]);
    assert!(t.is_idle());
}

#[test]
fn a_client_cannot_tell_others_who_is_there() {
    let mut t = Table::new();
    let (mallory, bob) = (t.open("mallory"), t.open("bob"));
    t.receive(
        mallory,
        r#"{"type":"PRESENCE","dst":"bob","src":"alice","payload":{"online":true}}"#,
    );
    t.receive(bob, r#"{"type":"UNSUBSCRIBE","dst":"alice"}"#);
    t.expect(&[]);
}
