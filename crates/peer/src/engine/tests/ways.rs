//! Ways to the peer that fall silent, come back, and are looked for anew; in virtual time.

use std::net::SocketAddr;

use super::world::{ADDRESSES, World, clear, numbered, random, secs};
use crate::connection::CloseReason;
use crate::engine::{Path, sdp};

/// Where ends move to.
const ELSEWHERE: [([u8; 4], u16); 2] = [([10, 0, 1, 1], 1), ([10, 0, 1, 2], 2)];

/// An end's old address is gone, and another one there.
fn move_end(world: &mut World, end: usize) {
    let old = SocketAddr::from(ADDRESSES[end]);
    world.blocked = Box::new(move |source, destination| source == old || destination == old);
    world.act(end, |conn, _| conn.remove_address(old));
    world.add_address(end, ELSEWHERE[end]);
}

fn offer(world: &mut World, end: usize) -> String {
    let mut offer = None;
    world.act(end, |conn, _| offer = Some(conn.restart()));
    offer.expect("called").expect("offered")
}

fn answer(world: &mut World, end: usize, offer: &str) -> Result<String, String> {
    let mut answer = None;
    world.act(end, |conn, now| {
        answer = Some(conn.answer_restart(offer, now));
        conn.handle_timeout(now);
    });
    answer.expect("called").map_err(|error| error.to_string())
}

fn apply(world: &mut World, end: usize, answer: &str) -> Result<(), String> {
    let mut applied = None;
    world.act(end, |conn, now| {
        applied = Some(conn.set_remote(answer, now));
        conn.handle_timeout(now);
    });
    applied.expect("called").map_err(|error| error.to_string())
}

/// A whole restart, by a perfect server.
fn restart(world: &mut World) {
    let offer = offer(world, 0);
    let told = world.ends[0].told.split_off(0);
    let answer = answer(world, 1, &offer).expect("answered");
    apply(world, 0, &answer).expect("applied");
    for (end, candidates) in [(1, told), (0, world.ends[1].told.clone())] {
        for candidate in candidates {
            world.tell(end, &candidate);
        }
    }
}

/// Whether both ends get a message through, in this time.
fn talk(world: &mut World, seconds: u64) -> bool {
    let sent = world.send(0, numbered(1, 100)) && world.send(1, numbered(2, 100));
    let mut missing = [numbered(2, 100), numbered(1, 100)].map(Some);
    sent && world.run(secs(seconds), |world| {
        for (end, missing) in missing.iter_mut().enumerate() {
            if missing.is_some() && world.received(end) == *missing {
                *missing = None;
            }
        }
        missing.iter().all(Option::is_none)
    })
}

fn paths(world: &World, end: usize) -> Vec<Path> {
    world.ends[end]
        .paths
        .iter()
        .map(|(path, _)| *path)
        .collect()
}

#[test]
fn silence_is_told_after_3_seconds_and_its_end_when_the_peer_is_heard_again() {
    let mut world = World::connected(clear);
    world.run(secs(60), |_| false);
    let cut = world.now;
    world.blocked = Box::new(|_, _| true);
    world.run(secs(10), |_| false);
    world.blocked = Box::new(|_, _| false);
    let back = world.now;
    world.run(secs(10), |_| false);
    for end in [0, 1] {
        let [(Path::Silent, silent), (Path::Back, heard)] = world.ends[end].paths[..] else {
            panic!("{:?}", world.ends[end].paths);
        };
        let silent = silent - cut;
        assert!(
            silent > secs(1) && silent <= secs(3),
            "{silent:?} after the cut; it was heard last before that"
        );
        assert!(heard - back <= secs(1), "{:?}", heard - back);
    }
}

#[test]
fn an_idle_connection_is_not_silent_and_costs_few_datagrams() {
    let mut world = World::connected(clear);
    world.run(secs(10), |_| false);
    let sent = world.ends[0].facts.meter.stats().sent;
    world.run(secs(600), |_| false);
    for end in [0, 1] {
        assert_eq!(paths(&world, end), []);
        assert_eq!(world.reason(end), None);
    }
    let octets = world.ends[0].facts.meter.stats().sent - sent;
    assert!(octets / 600 < 200, "{} octets a second", octets / 600);
}

#[test]
fn every_tenth_datagram_may_be_lost_without_a_silence() {
    let mut silences = 0;
    for seed in 0..5 {
        let mut chance = random(seed);
        let mut world = World::connected(move |datagram| match chance() % 10 {
            0 => vec![],
            _ => clear(datagram),
        });
        world.run(secs(120), |_| false);
        silences += paths(&world, 0).len();
        assert_eq!(world.reason(0), None);
    }
    // Three checks in a row must get lost, there or back: once in 150 times, and one in 3 s makes 200 here.
    assert!(silences <= 8, "{silences}");
}

#[test]
fn nothing_that_anybody_can_forge_or_has_recorded_keeps_a_dead_peer_alive() {
    use std::{cell::RefCell, rc::Rc};
    let tape = Rc::new(RefCell::new(Vec::new()));
    let recorder = tape.clone();
    let mut world = World::connected(move |datagram| {
        recorder.borrow_mut().push(datagram.to_vec());
        clear(datagram)
    });
    // Some of everything: checks, answers and messages, the last ones too.
    for number in 0..20 {
        world.send(1, numbered(number, 100));
        world.run(secs(1), |_| false);
        while world.received(0).is_some() {}
    }
    world.blocked = Box::new(|_, _| true);
    let died = world.now;
    let [ours, theirs] = ADDRESSES.map(SocketAddr::from);
    let mut chance = random(7);
    let recorded = tape.borrow().clone();
    let mut flood = recorded.iter().cycle();
    while world.reason(0).is_none() && world.now < died + secs(60) {
        let until = world.now + secs(1) / 10;
        world.run(until - world.now, |_| false);
        for datagram in flood.by_ref().take(20) {
            let mut garbled = datagram.clone();
            let at = chance() as usize % garbled.len();
            garbled[at] ^= 1 << (chance() % 8);
            // An answer to the very check that waits for one, if that could be guessed; but not signed.
            for datagram in [datagram, &garbled] {
                world.act(0, |conn, now| conn.receive(theirs, ours, datagram, now));
            }
        }
    }
    assert_eq!(world.reason(0), Some(CloseReason::Lost));
    let lasted = world.now - died;
    assert!(lasted > secs(27) && lasted < secs(32), "{lasted:?}");
}

#[test]
fn an_answer_that_is_not_signed_by_the_peer_is_no_sign_of_life() {
    let mut world = World::connected(clear);
    let mut chance = random(3);
    // Every answer comes, with its signature broken: whoever is in between can see the check, and not the password.
    world.weather = Box::new(move |datagram| {
        let mut datagram = datagram.to_vec();
        if datagram.first() == Some(&1) {
            let at = datagram.len() - 9 - chance() as usize % 20;
            datagram[at] ^= 1;
            // The checksum is anybody's to make.
            datagram.truncate(datagram.len() - 8);
            let length = u16::try_from(datagram.len() - 20).expect("short");
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
        }
        vec![datagram]
    });
    // Both hear nothing; who has heard the last a moment earlier tells the other.
    let ended = |world: &mut World| (0..2).any(|end| world.reason(end).is_some());
    assert!(world.run(secs(31), ended));
    let reasons = [world.reason(0), world.reason(1)];
    assert!(reasons.contains(&Some(CloseReason::Lost)), "{reasons:?}");
}

#[test]
fn a_restart_finds_the_peer_at_another_address_within_a_second_and_nothing_is_lost_or_doubled() {
    for moving in [0, 1] {
        let mut world = World::connected(clear);
        let (mut sent, mut received) = ([0; 2], [0; 2]);
        let mut stream = move |world: &mut World| {
            for end in [0, 1] {
                while sent[end] < 2000 && world.send(end, numbered(sent[end], 1000)) {
                    sent[end] += 1;
                }
                while let Some(message) = world.received(1 - end) {
                    assert_eq!(message, numbered(received[end], 1000));
                    received[end] += 1;
                }
            }
            received
        };
        world.run(secs(10), |world| {
            stream(world).iter().all(|received| *received > 100)
        });
        move_end(&mut world, moving);
        let before = stream(&mut world);
        assert!(before.iter().all(|received| *received < 1900), "mid-way");
        let moved = world.now;
        restart(&mut world);
        assert!(
            world.run(secs(20), |world| stream(world) == [2000, 2000]),
            "end {moving} moved: {:?} {:?}",
            world.reason(0),
            world.reason(1)
        );
        let took = world.now - moved;
        assert!(took < secs(4), "{took:?}: one retransmission of SCTP");
        world.run(secs(60), |_| false);
        assert_eq!((world.reason(0), world.reason(1)), (None, None));
    }
}

#[test]
fn a_move_of_either_end_is_survived_without_a_server() {
    for moving in [0, 1] {
        let mut world = World::connected(clear);
        world.run(secs(10), |_| false);
        move_end(&mut world, moving);
        let moved = world.now;
        assert!(talk(&mut world, 20), "end {moving} moved");
        let took = world.now - moved;
        // SCTP sends again after 1, 3 and 7 s; the stack alone would find out after 15.
        assert!(took < secs(8), "end {moving} moved: {took:?}");
        world.run(secs(60), |_| false);
        assert!(talk(&mut world, 1), "and it lasts");
    }
}

#[test]
fn both_ends_may_move_at_once() {
    let mut world = World::connected(clear);
    move_end(&mut world, 0);
    move_end(&mut world, 1);
    world.blocked = Box::new(|source, destination| {
        let old = ADDRESSES.map(SocketAddr::from);
        old.contains(&source) || old.contains(&destination)
    });
    restart(&mut world);
    assert!(talk(&mut world, 5));
}

#[test]
fn a_restart_without_an_answer_changes_nothing_and_a_second_one_works() {
    let mut world = World::connected(clear);
    let first = offer(&mut world, 0);
    world.run(secs(120), |_| false);
    assert_eq!((world.reason(0), world.reason(1)), (None, None));
    assert_eq!((paths(&world, 0), paths(&world, 1)), (vec![], vec![]));
    assert!(talk(&mut world, 1));
    world.ends[0].told.clear();
    move_end(&mut world, 1);
    world.ends[1].told.clear();
    restart(&mut world);
    assert!(talk(&mut world, 5));
    // The first offer comes late, and its answer is for nobody: the second generation goes on.
    answer(&mut world, 1, &first).expect("one like another, to the engine");
    world.run(secs(120), |_| false);
    assert!(talk(&mut world, 1));
    assert_eq!((world.reason(0), world.reason(1)), (None, None));
}

#[test]
fn an_answer_that_gets_lost_leaves_both_ends_connected_however_long_it_takes() {
    let mut world = World::connected(clear);
    let begun = offer(&mut world, 0);
    let _lost = answer(&mut world, 1, &begun).expect("answered");
    world.run(secs(300), |_| false);
    for end in [0, 1] {
        assert_eq!(world.reason(end), None);
        assert_eq!(paths(&world, end), [], "the old way goes on");
    }
    assert!(talk(&mut world, 1));
    // Twice in a row: the way in use is then two generations old for one side.
    let begun = offer(&mut world, 0);
    let _lost = answer(&mut world, 1, &begun).expect("answered");
    world.run(secs(300), |_| false);
    assert!(talk(&mut world, 1));
    assert_eq!((paths(&world, 0), paths(&world, 1)), (vec![], vec![]));
    // And the next one finds a new way.
    world.ends[0].told.clear();
    world.ends[1].told.clear();
    move_end(&mut world, 1);
    restart(&mut world);
    assert!(talk(&mut world, 5));
}

#[test]
fn a_restart_over_a_way_that_is_cut_waits_for_it_to_come_back() {
    let mut world = World::connected(clear);
    world.blocked = Box::new(|_, _| true);
    world.send(0, numbered(5, 100));
    world.run(secs(4), |_| false);
    restart(&mut world);
    world.run(secs(16), |_| false);
    assert_eq!((world.reason(0), world.reason(1)), (None, None));
    world.blocked = Box::new(|_, _| false);
    let back = world.now;
    assert!(
        world.run(secs(20), |world| paths(world, 0).contains(&Path::Back)
            && paths(world, 1).contains(&Path::Back))
    );
    assert!(world.now - back <= secs(2), "{:?}", world.now - back);
    assert!(world.run(secs(20), |world| world.received(1)
        == Some(numbered(5, 100))));
}

#[test]
fn a_restart_by_another_certificate_is_refused_and_the_connection_goes_on() {
    let mut world = World::connected(clear);
    let mut stranger = World::connected(clear);
    let foreign = offer(&mut stranger, 0);
    let refused = answer(&mut world, 1, &foreign).expect_err("refused");
    assert!(refused.contains("certificate"), "{refused}");
    let mine = offer(&mut world, 0);
    // Both certificates, in either order.
    let line = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("a=fingerprint"));
        line.expect("there").to_owned()
    };
    let (ours, theirs) = (line(&mine), line(&foreign));
    for both in [format!("{ours}\r\n{theirs}"), format!("{theirs}\r\n{ours}")] {
        answer(&mut world, 1, &mine.replace(&ours, &both)).expect_err("refused");
    }
    // An answer by a stranger leaves the offer open for the right one.
    let their_answer = answer(&mut stranger, 1, &foreign).expect("answered");
    apply(&mut world, 0, &their_answer).expect_err("refused");
    assert!(talk(&mut world, 1));
    let right = answer(&mut world, 1, &mine).expect("answered");
    apply(&mut world, 0, &right).expect("applied");
    world.run(secs(60), |_| false);
    assert_eq!((world.reason(0), world.reason(1)), (None, None));
}

#[test]
fn whatever_a_restart_s_description_says_the_channel_goes_on() {
    let mut chance = random(11);
    let mut world = World::connected(clear);
    let mut taken = 0;
    for round in 0..400 {
        let original = match round % 2 {
            0 => offer(&mut world, 0),
            _ => answer_text(&mut world),
        };
        let mut octets = original.into_bytes();
        for _ in 0..=chance() % 4 {
            let at = chance() as usize % octets.len();
            match chance() % 4 {
                0 => octets.truncate(at.max(1)),
                1 => octets[at] = chance() as u8,
                2 => drop(octets.drain(at..(at + 20).min(octets.len()))),
                _ => {
                    let piece = octets[at..(at + 40).min(octets.len())].to_vec();
                    let to = chance() as usize % octets.len();
                    octets.splice(to..to, piece);
                }
            }
            if octets.is_empty() {
                break;
            }
        }
        let text = String::from_utf8_lossy(&octets).into_owned();
        taken += usize::from(match round % 2 {
            0 => answer(&mut world, 1, &text).is_ok(),
            _ => apply(&mut world, 0, &text).is_ok(),
        });
        if round % 20 == 0 {
            assert!(talk(&mut world, 2), "round {round}");
        }
    }
    assert!(taken > 0, "some are harmless");
    assert!(talk(&mut world, 2));
    world.run(secs(120), |_| false);
    assert_eq!((world.reason(0), world.reason(1)), (None, None));
}

#[test]
fn a_description_that_the_stack_would_take_by_half_is_refused_as_a_whole() {
    let mut world = World::connected(clear);
    let media = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel";
    for broken in [
        // Each comes after the names of the generation.
        |text: &str| format!("{text}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"),
        |text: &str| text.replace("m=application 9", "m=application 0"),
        |text: &str| text.replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 1"),
        |text: &str| text.replace("m=application", "m=audio"),
    ] {
        let mine = offer(&mut world, 0);
        assert!(mine.contains(media));
        let theirs = answer(&mut world, 1, &broken(&mine));
        if let Ok(theirs) = theirs {
            // Nothing of what is broken reached the stack.
            apply(&mut world, 0, &theirs).expect("applied");
        }
        world.run(secs(60), |_| false);
        for end in [0, 1] {
            assert_eq!((world.reason(end), paths(&world, end)), (None, vec![]));
        }
        assert!(talk(&mut world, 1));
    }
}

/// An answer to an offer that is still open.
fn answer_text(world: &mut World) -> String {
    let offer = offer(world, 0);
    answer(world, 1, &offer).expect("answered")
}

#[test]
fn only_what_can_restart_does() {
    let mut world = World::connected(clear);
    offer(&mut world, 0);
    let back = offer(&mut world, 1);
    let refused = answer(&mut world, 0, &back).expect_err("refused");
    assert!(refused.contains("own offer"), "{refused}");
    let mut known = None;
    world.act(1, |conn, _| known = Some(conn.restart()));
    assert!(
        known.expect("called").is_ok(),
        "a later one takes its place"
    );
    let first = World::new(clear);
    drop(first);
    let mut young = World::new(clear);
    let mut early = None;
    young.act(0, |conn, _| early = Some(conn.restart()));
    let early = early.expect("called").expect_err("not open");
    assert!(early.to_string().contains("not open"), "{early}");
    assert!(talk(&mut world, 1));
}

#[test]
fn candidates_that_come_before_the_answer_of_their_generation_are_kept_for_it() {
    let mut world = World::connected(clear);
    move_end(&mut world, 1);
    world.ends[1].told.clear();
    let mine = offer(&mut world, 0);
    let theirs = answer(&mut world, 1, &mine).expect("answered");
    for candidate in world.ends[1].told.clone() {
        assert_eq!(
            sdp::candidate_ufrag(&candidate),
            sdp::attribute(&theirs, "ice-ufrag")
        );
        world.tell(0, &candidate);
    }
    apply(&mut world, 0, &theirs).expect("applied");
    // The other side knows no candidate of this one: only what was kept leads to it.
    assert!(talk(&mut world, 5));
}

#[test]
fn an_address_that_comes_while_an_offer_waits_is_told_in_both_generations() {
    let mut world = World::connected(clear);
    let mine = offer(&mut world, 0);
    world.ends[0].told.clear();
    world.add_address(0, ELSEWHERE[0]);
    let ufrags: Vec<_> = world.ends[0]
        .told
        .iter()
        .map(|line| sdp::candidate_ufrag(line))
        .collect();
    assert_eq!(ufrags.len(), 2);
    assert!(ufrags.contains(&sdp::attribute(&mine, "ice-ufrag")));
}

#[test]
fn who_finds_no_way_knows_what_was_tried() {
    let mut world = World::new(|_| vec![]);
    world.tell(
        0,
        "candidate:1 1 udp 1 0b9c1c5e-6f6b-4d0a-9d4e-2a2f1f0e9a77.local 5000 typ host",
    );
    assert!(world.run(secs(61), |world| world.reason(0).is_some()));
    let tried = world.ends[0].facts.tried().expect("known").to_string();
    let lines: Vec<_> = tried.lines().collect();
    assert_eq!(lines[0], "our addresses: 10.0.0.1:1 (own)");
    assert_eq!(
        lines[1],
        "their addresses: 10.0.0.2:2 (own), 0b9c1c5e-6f6b-4d0a-9d4e-2a2f1f0e9a77.local:5000 (hidden, not found)"
    );
    let checks = lines.last().expect("checks");
    assert!(checks.ends_with(" sent, 0 answered"), "{checks}");
    assert!(!checks.contains(" 0 sent"), "{checks}");
    let mut world = World::connected(clear);
    world.blocked = Box::new(|_, _| true);
    assert!(world.run(secs(31), |world| world.reason(0).is_some()));
    let tried = world.ends[0].facts.tried().expect("known");
    assert!(tried.answered > 0);
    assert!(tried.remote.iter().any(|candidate| candidate.answered));
}
