//! Ids that are kept after a broken connection.

use super::*;

#[test]
fn an_id_is_held_for_its_token_after_a_lost_socket_that_asked_for_it() {
    let mut t = Table::new();
    let alice = t.open_held("alice", "token", secs(30));
    t.outputs();
    t.lose(alice);
    let thief = t.open_with("alice", "other");
    t.expect(&refused(thief, Refused::IdTaken));
    t.advance(secs(29));
    let back = t.open_held("alice", "token", secs(30));
    assert_eq!(t.all_outputs(), [send(back, signal::OPEN)], "it never went");
    t.lose(back);
    t.advance(secs(30));
    assert_eq!(
        t.all_outputs(),
        [Output::Went(PeerId::parse("alice").unwrap())]
    );
    t.open_with("alice", "other");
    assert_eq!(t.held(), ["alice"]);
}

#[test]
fn a_clean_close_frees_the_id_at_once_whatever_was_asked_for() {
    let mut t = Table::new();
    let alice = t.open_held("alice", "token", secs(30));
    t.outputs();
    t.close(alice);
    let other = t.open_with("alice", "other");
    t.expect(&[send(other, signal::OPEN)]);
    assert!(t.router.poll_timeout() > Some(t.now + secs(31)));
}

#[test]
fn a_hold_lasts_no_longer_than_the_server_allows() {
    let mut t = Table::with(Config {
        hold_at_most: secs(10),
        ..Config::default()
    });
    let alice = t.open_held("alice", "token", secs(1_000_000));
    t.outputs();
    t.lose(alice);
    t.advance(secs(10));
    t.open_with("alice", "other");
    assert_eq!(t.held(), ["alice"]);
}

#[test]
fn what_is_sent_to_a_held_id_waits_for_its_holder_as_for_any_absent_peer() {
    let mut t = Table::new();
    let bob = t.open("bob");
    let alice = t.open_held("alice", "token", secs(30));
    t.outputs();
    t.lose(alice);
    t.receive(bob, &offer("alice", "1"));
    let back = t.open_with("alice", "token");
    t.expect(&[
        send(back, signal::OPEN),
        send(back, &relayed("OFFER", "bob", "alice", "1")),
    ]);
}

#[test]
fn ids_kept_for_who_broke_off_are_bounded_and_one_more_is_free_at_once() {
    let mut t = Table::with(Config {
        held: 1,
        ..Config::default()
    });
    let conns = ["alice", "bob"].map(|id| t.open_held(id, "token", secs(30)));
    t.outputs();
    for conn in conns {
        t.lose(conn);
    }
    assert_eq!(t.held(), ["alice"]);
    let back = t.open_held("alice", "token", secs(30));
    t.expect(&[send(back, signal::OPEN)]);
    let bob = t.open_held("bob", "other", secs(30));
    t.lose(bob);
    assert_eq!(t.held(), ["alice", "bob"], "there is room again");
    t.outputs();
    t.lose(back);
    assert_eq!(t.held(), ["bob"]);
    t.advance(secs(30));
    assert_eq!(t.totals.held.load(Ordering::Relaxed), 0);
}

#[test]
fn a_held_id_counts_among_the_ids() {
    let mut t = Table::with(Config {
        peers: 1,
        ..Config::default()
    });
    let alice = t.open_held("alice", "token", secs(30));
    t.outputs();
    t.lose(alice);
    let bob = t.open_with("bob", "token");
    t.expect(&refused(bob, Refused::Full));
    t.advance(secs(30));
    t.open("bob");
}
