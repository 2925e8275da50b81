//! Restarts between two ends, one step at a time. What the rules of `docs/protocol/restart.md` promise, test by test.

use super::pair::{
    CALLEE, CALLER, Pair, answer_of, both, offer_frame, payload, request, stock_device,
};
use super::*;
use crate::identity::gate::IncomingOffer;
use crate::link::restart::{PACE, RETRY, SLOWEST};

#[test]
fn a_caller_that_loses_its_path_restarts_and_both_ends_know() {
    both(|mut pair| {
        pair.feed(CALLER, Input::PathLost);
        assert_eq!(pair.generations(), [1]);
        let ours = pair.describe();
        let offer = pair.take(CALLER, Kind::Offer);
        assert_eq!(payload(&offer).generation, Some(1));
        assert!(payload(&offer).sdp.sdp.contains(&ours));
        pair.deliver(CALLER, &offer);
        let [Output::AnswerRestart { sdp, .. }] = &pair.done[CALLEE][..] else {
            panic!("{:?}", pair.done[CALLEE])
        };
        assert!(sdp.contains(&ours));
        assert_eq!(pair.restarts(), [0, 0]);
        let theirs = pair.answer();
        let answer = pair.take(CALLEE, Kind::Answer);
        assert_eq!(answer_of(&answer).generation, Some(1));
        assert_eq!(pair.restarts(), [0, 1]);
        pair.deliver(CALLEE, &answer);
        assert_eq!(pair.restarts(), [1, 1]);
        let applied = pair.done[CALLER].iter().find_map(|output| match output {
            Output::ApplyRemote { sdp } => Some(sdp.contains(&theirs)),
            _ => None,
        });
        assert_eq!(applied, Some(true));
        assert!(pair.ends.iter().all(Link::can_restart));
    });
}

#[test]
fn a_callee_that_loses_its_path_asks_and_the_caller_alone_offers() {
    both(|mut pair| {
        pair.feed(CALLEE, Input::PathLost);
        let asks = pair.take(CALLEE, Kind::Answer);
        let (asked, said) = (answer_of(&asks), request(1));
        assert_eq!(asked.to_raw().get(), said.to_raw().get());
        pair.deliver(CALLEE, &asks);
        assert_eq!(pair.generations(), [1]);
        pair.finish();
        assert_eq!(pair.restarts(), [1, 1]);
    });
}

#[test]
fn nobody_is_offered_a_restart_who_did_not_say_that_it_can() {
    let cannot = Config {
        restart: false,
        ..Config::default()
    };
    for (caller, callee) in [(cannot, Config::default()), (Config::default(), cannot)] {
        let mut pair = Pair::calling(stock_device(), "chat", caller);
        let text = sdp(pair.visitor.fingerprint, "actpass");
        pair.feed(
            CALLER,
            Input::LocalOffer {
                sdp: text,
                sent: None,
            },
        );
        let offer = pair.wire[CALLER].remove(0);
        assert_eq!(payload(&offer).generation, caller.restart.then_some(0));
        pair.accept(&offer, callee);
        assert_eq!(answer_of(&pair.wire[CALLEE][0]).generation, None);
        pair.shake_hands();
        for end in [CALLER, CALLEE] {
            assert!(!pair.ends[end].can_restart());
            pair.feed(end, Input::PathLost);
            pair.feed(end, Input::PathChanged);
        }
        pair.feed(CALLER, pair.request(1));
        pair.advance(Duration::from_secs(60));
        assert!(pair.wire.iter().all(Vec::is_empty) && pair.done.iter().all(Vec::is_empty));
    }
}

#[test]
fn a_restart_that_is_not_answered_within_3_seconds_is_tried_again_as_the_next_generation() {
    both(|mut pair| {
        let first = pair.offer();
        pair.deliver(CALLER, &first);
        pair.answer();
        let late = pair.take(CALLEE, Kind::Answer);
        pair.advance(RETRY - Duration::from_millis(1));
        assert_eq!(pair.generations(), [1]);
        pair.advance(Duration::from_millis(1));
        assert_eq!(pair.generations(), [1, 2]);
        pair.describe();
        pair.deliver(CALLEE, &late);
        assert_eq!(pair.restarts(), [0, 1], "the answer to an older one");
        pair.deliver_all();
        pair.answer();
        pair.deliver_all();
        assert_eq!(pair.restarts(), [1, 2]);
    });
}

#[test]
fn a_request_at_or_below_the_pending_or_reached_generation_is_ignored() {
    both(|mut pair| {
        // Both lose the path at once: one restart.
        pair.feed(CALLEE, Input::PathLost);
        let asks = pair.take(CALLEE, Kind::Answer);
        let offer = pair.offer();
        pair.deliver(CALLEE, &asks);
        pair.deliver(CALLER, &offer);
        pair.answer();
        pair.deliver_all();
        for end in [CALLER, CALLEE] {
            pair.feed(end, Input::PathBack);
        }
        pair.deliver(CALLEE, &asks);
        pair.feed(CALLER, pair.request(0));
        pair.advance(SLOWEST * 2);
        assert_eq!((pair.generations(), pair.restarts()), (vec![1], [1, 1]));
        pair.feed(CALLER, pair.request(2));
        assert_eq!(pair.generations(), [1, 2]);
    });
}

#[test]
fn requests_lead_to_one_restart_at_most_in_3_seconds() {
    both(|mut pair| {
        for generation in 1..=1000 {
            pair.feed(CALLER, pair.request(generation));
        }
        pair.finish();
        for generation in 2..=1000 {
            pair.feed(CALLER, pair.request(generation));
        }
        pair.advance(RETRY - Duration::from_millis(1));
        assert_eq!(pair.generations(), [1]);
    });
}

#[test]
fn a_generation_far_ahead_of_the_last_is_ignored() {
    both(|mut pair| {
        pair.feed(CALLER, pair.request(MAX_AHEAD + 1));
        pair.feed(CALLER, pair.request(u32::MAX));
        pair.advance(SLOWEST);
        assert!(pair.generations().is_empty());
    });
    let mut pair = Pair::stock();
    let offer = pair.offer();
    for generation in [u32::MAX, MAX_AHEAD + 1] {
        let mut far = payload(&offer);
        far.generation = Some(generation);
        pair.deliver(CALLER, &offer_frame(&far));
    }
    assert!(pair.done[CALLEE].is_empty());
    pair.deliver(CALLER, &offer);
    pair.answer();
    pair.deliver_all();
    assert_eq!(pair.restarts(), [1, 1]);
}

#[test]
fn a_verified_caller_tells_no_candidate_of_a_restart_before_its_answer_is_verified() {
    let mut pair = Pair::verified();
    pair.feed(CALLER, Input::PathLost);
    pair.feed(CALLER, Input::LocalCandidate(OURS.into()));
    let (sdp, _) = pair.described(pair.visitor.fingerprint, "actpass");
    pair.describe_as(format!("{sdp}a={OURS}\r\n"), NOW);
    pair.feed(CALLER, Input::LocalCandidate(OURS.into()));
    let offer = pair.take(CALLER, Kind::Offer);
    assert!(!payload(&offer).sdp.sdp.contains("192.0.2.1"));
    assert!(pair.wire[CALLER].is_empty());
    pair.deliver(CALLER, &offer);
    pair.answer();
    let answer = pair.take(CALLEE, Kind::Answer);
    let unsigned = AnswerPayload {
        peerage: None,
        ..answer_of(&answer)
    };
    pair.feed(CALLER, Input::Received(Signal::Answer(unsigned)));
    assert!(pair.wire[CALLER].is_empty());
    pair.deliver(CALLEE, &answer);
    assert_eq!(pair.wire[CALLER].len(), 2);
    pair.feed(CALLER, Input::LocalCandidate(OURS.into()));
    assert_eq!(pair.wire[CALLER].len(), 3);
}

#[test]
fn candidates_of_a_generation_are_told_apart_by_their_ufrag() {
    both(|mut pair| {
        let offer = pair.offer();
        // The old path goes on: what comes for it is for it.
        pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("hrFr"))));
        assert_eq!(pair.added(CALLEE), 1);
        // Of the new one, before the offer that they belong to.
        pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("gen1x"))));
        pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("gen9x"))));
        pair.deliver(CALLER, &offer);
        assert_eq!(pair.added(CALLEE), 1, "not before the engine has answered");
        pair.feed(CALLEE, Input::LocalCandidate(OURS.into()));
        assert!(pair.wire[CALLEE].is_empty());
        let ufrag = pair.answer();
        assert_eq!(pair.added(CALLEE), 2);
        let told = pair.take(CALLEE, Kind::Candidate);
        let told = CandidatePayload::parse(told.payload.as_ref().unwrap()).unwrap();
        assert_eq!(told.candidate.username_fragment, Some(ufrag));
        pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("hrFr"))));
        assert_eq!(pair.added(CALLEE), 2, "the old generation is over");
    });
}

#[test]
fn a_flood_of_false_candidates_keeps_no_later_generation_out() {
    both(|mut pair| {
        let flood = |pair: &mut Pair| {
            for index in 0..1000 {
                let ufrag = format!("fls{index}");
                pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some(&ufrag))));
                pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("hrFr"))));
            }
        };
        flood(&mut pair);
        let offer = pair.offer();
        pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("gen1x"))));
        pair.deliver(CALLER, &offer);
        pair.answer();
        assert_eq!(pair.added(CALLEE), MAX_CANDIDATES + 1);
        for _ in 0..1000 {
            pair.feed(CALLEE, Input::Received(candidate(THEIRS, Some("gen1x"))));
        }
        assert_eq!(pair.added(CALLEE), MAX_CANDIDATES * 2);
    });
}

#[test]
fn the_certificate_stays_the_first_handshakes_or_the_restart_is_refused() {
    let evil = Fingerprint::new([0xee; 32]);
    // In the caller's engine: nothing is offered.
    let mut pair = Pair::stock();
    pair.feed(CALLER, Input::PathLost);
    let (other, _) = pair.described(evil, "actpass");
    pair.feed(
        CALLER,
        Input::LocalRestart {
            sdp: other,
            sent: None,
        },
    );
    assert!(pair.wire[CALLER].is_empty());
    both(|mut pair| {
        // In the offer.
        let offer = pair.offer();
        let mut swapped = payload(&offer);
        swapped.sdp.sdp = sdp(evil, "actpass").replace("hrFr", "gen1x");
        pair.deliver(CALLER, &offer_frame(&swapped));
        assert!(pair.done[CALLEE].is_empty());
        pair.wire[CALLEE].clear();
        // In the answer.
        pair.advance(RETRY);
        pair.describe();
        pair.deliver_all();
        pair.answer();
        let answer = pair.take(CALLEE, Kind::Answer);
        let mut swapped = answer_of(&answer);
        swapped.sdp = Some(Description::answer(sdp(evil, "active")));
        pair.feed(CALLER, Input::Received(Signal::Answer(swapped)));
        assert_eq!(
            (pair.disbelieved(), pair.restarts()),
            (vec![FalseAnswer::Fingerprint], [0, 1])
        );
        pair.deliver(CALLEE, &answer);
        assert_eq!(pair.restarts(), [1, 1]);
        assert_eq!((pair.ends_of(CALLER), pair.ends_of(CALLEE)), (None, None));
    });
}

#[test]
fn not_even_a_gate_makes_a_link_take_another_certificate() {
    both(|mut pair| {
        let offer = pair.offer();
        let mut granted = pair.gate(&offer).unwrap();
        let other = sdp(Fingerprint::new([0xee; 32]), "actpass");
        granted.description = DataDescription::parse(&other).unwrap();
        pair.feed(CALLEE, Input::RestartOffered(granted));
        assert!(pair.done[CALLEE].is_empty());
    });
}

#[test]
fn candidates_of_ours_are_told_with_their_own_generation_or_not_at_all() {
    let mut pair = Pair::verified();
    pair.offer();
    // For an offer that nobody answers.
    pair.feed(CALLER, Input::LocalCandidate(OURS.into()));
    pair.advance(RETRY);
    pair.finish();
    assert_eq!(pair.restarts(), [1, 1]);
    assert_eq!(pair.added(CALLEE), 0);
    let of = |ufrag: &str| Input::LocalCandidate(format!("{OURS} ufrag {ufrag}"));
    pair.feed(CALLER, of("gen1x"));
    assert!(pair.wire[CALLER].is_empty());
    pair.feed(CALLER, of("gen2x"));
    pair.deliver_all();
    assert_eq!(pair.added(CALLEE), 1);
}

#[test]
fn a_device_whose_key_signs_another_certificate_is_not_restarted_with_it() {
    let mut pair = Pair::verified();
    let offer = pair.offer();
    pair.deliver(CALLER, &offer);
    let (other, _) = pair.described(Fingerprint::new([0xee; 32]), "active");
    pair.answer_as(other.clone());
    assert!(pair.wire[CALLEE].is_empty(), "nor does its own end say so");
    let granted = pair.gate(&offer);
    assert!(granted.is_none(), "once");
    pair.advance(RETRY);
    pair.describe();
    let offer = pair.take(CALLER, Kind::Offer);
    let granted = pair.gate(&offer).unwrap();
    let wall = pair.wall();
    let evidence = pair
        .device
        .gate
        .answer_restart(&granted, &other, wall, &mut pair.device.rng)
        .unwrap()
        .unwrap();
    let answer = AnswerPayload {
        sdp: Some(Description::answer(
            DataDescription::parse(&other).unwrap().to_text(),
        )),
        peerage: Some(Reply::Answer(evidence).emit()),
        ..request(2)
    };
    pair.feed(CALLER, Input::Received(Signal::Answer(answer)));
    assert_eq!(
        (pair.disbelieved(), pair.restarts()),
        (vec![FalseAnswer::Fingerprint], [0, 0])
    );
}

#[test]
fn a_server_that_changes_a_verified_restart_in_any_way_is_noticed_and_ends_nothing() {
    type Change = fn(&mut OfferPayload);
    let change: [(&str, Change); 7] = [
        ("generation", |offer| offer.generation = Some(2)),
        ("none", |offer| offer.generation = None),
        ("zero", |offer| offer.generation = Some(0)),
        ("ufrag", |offer| {
            offer.sdp.sdp = offer.sdp.sdp.replace("gen1x", "evil")
        }),
        ("password", |offer| {
            offer.sdp.sdp = offer.sdp.sdp.replace("8dTjC", "evil5")
        }),
        ("candidate", |offer| {
            offer.sdp.sdp.push_str(&format!("a={THEIRS}\r\n"))
        }),
        ("statement", |offer| offer.peerage = None),
    ];
    for (what, change) in change {
        let mut pair = Pair::verified();
        let offer = pair.offer();
        let mut changed = payload(&offer);
        change(&mut changed);
        pair.deliver(CALLER, &offer_frame(&changed));
        assert!(pair.done[CALLEE].is_empty(), "{what}");
        let refusals = std::mem::take(&mut pair.wire[CALLEE]);
        for refusal in &refusals {
            pair.deliver(CALLEE, refusal);
        }
        pair.advance(RETRY);
        pair.finish();
        assert_eq!(pair.restarts(), [1, 1], "{what}");
    }

    let mut pair = Pair::verified();
    let offer = pair.offer();
    pair.deliver(CALLER, &offer);
    let ufrag = pair.answer();
    let answer = pair.take(CALLEE, Kind::Answer);
    let mut changed = answer_of(&answer);
    let sdp = &mut changed.sdp.as_mut().unwrap().sdp;
    *sdp = sdp.replace(&ufrag, "evil");
    pair.feed(CALLER, Input::Received(Signal::Answer(changed)));
    assert_eq!(pair.disbelieved(), [FalseAnswer::Altered]);
    pair.deliver(CALLEE, &answer);
    assert_eq!(pair.restarts(), [1, 1]);
}

#[test]
fn what_was_restarted_before_is_nothing_new() {
    both(|mut pair| {
        let offer = pair.offer();
        pair.deliver(CALLER, &offer);
        pair.answer();
        let answer = pair.take(CALLEE, Kind::Answer);
        pair.deliver(CALLEE, &answer);
        let done = [pair.done[CALLER].len(), pair.done[CALLEE].len()];
        for _ in 0..3 {
            pair.deliver(CALLER, &offer);
            pair.deliver(CALLEE, &answer);
        }
        assert_eq!(done, [pair.done[CALLER].len(), pair.done[CALLEE].len()]);
        pair.deliver_all();
        assert_eq!((pair.ends_of(CALLER), pair.ends_of(CALLEE)), (None, None));
    });
}

#[test]
fn the_newest_offer_waits_while_the_engine_answers_an_older_one() {
    both(|mut pair| {
        let first = pair.offer();
        let mut later = Vec::new();
        for _ in 0..2 {
            pair.advance(RETRY);
            pair.describe();
            later.push(pair.take(CALLER, Kind::Offer));
        }
        pair.deliver(CALLER, &first);
        // The network turned them round.
        pair.deliver(CALLER, &later[1]);
        pair.deliver(CALLER, &later[0]);
        assert_eq!(pair.done[CALLEE].len(), 1);
        pair.answer();
        pair.advance(PACE);
        pair.answer();
        pair.deliver_all();
        assert_eq!(pair.restarts(), [1, 2]);
        let refusal = Input::LocalAnswer {
            sdp: sdp(DEVICE_CERTIFICATE, "active"),
            evidence: None,
        };
        pair.feed(CALLEE, refusal);
        assert_eq!(pair.restarts(), [1, 2], "nothing is left to answer");
    });
}

#[test]
fn a_callee_takes_no_more_than_one_restart_a_second_whoever_hurries_and_the_newest_of_them() {
    both(|mut pair| {
        let mut offers = vec![pair.offer()];
        for _ in 0..5 {
            pair.advance(RETRY);
            pair.describe();
            offers.push(pair.take(CALLER, Kind::Offer));
        }
        let taken = |pair: &Pair| {
            let asked = pair.done[CALLEE].iter().filter_map(|output| match output {
                Output::AnswerRestart { granted, .. } => granted.generation,
                _ => None,
            });
            asked.collect::<Vec<_>>()
        };
        for offer in &offers {
            pair.deliver(CALLER, offer);
            if pair.restarts()[CALLEE] == 0 {
                pair.answer();
            }
        }
        assert_eq!(taken(&pair), [1]);
        pair.advance(PACE - Duration::from_millis(1));
        assert_eq!(taken(&pair), [1]);
        pair.advance(Duration::from_millis(1));
        assert_eq!(taken(&pair), [1, 6]);
        pair.answer();
        pair.deliver_all();
        assert_eq!(pair.restarts(), [1, 2]);
    });
}

#[test]
fn an_engine_that_could_not_restart_is_asked_again() {
    both(|mut pair| {
        pair.feed(CALLER, Input::PathChanged);
        pair.advance(RETRY);
        assert_eq!(pair.generations(), [1, 2]);
        let nonsense = Input::LocalRestart {
            sdp: String::new(),
            sent: None,
        };
        pair.feed(CALLER, nonsense);
        pair.advance(RETRY);
        assert_eq!(pair.generations(), [1, 2, 3]);
        pair.describe();
        pair.deliver_all();
        assert_eq!(pair.done[CALLEE].len(), 1);
        // Nor could the callee's.
        pair.advance(RETRY);
        pair.describe();
        pair.deliver_all();
        assert_eq!(pair.done[CALLEE].len(), 2);
        pair.answer();
        pair.deliver_all();
        assert_eq!(pair.restarts(), [1, 1]);
    });
}

#[test]
fn restarts_go_on_until_the_peer_is_heard_and_grow_rare() {
    both(|mut pair| {
        pair.feed(CALLER, Input::PathLost);
        for _ in 0..30 {
            pair.feed(CALLER, Input::PathLost);
            pair.describe();
            pair.advance(Duration::from_secs(1));
        }
        assert_eq!(pair.generations().len(), 11, "the first, and one every 3 s");
        for _ in 0..60 {
            pair.describe();
            pair.advance(Duration::from_secs(60));
        }
        assert!(pair.generations().len() < 80);
        pair.wire[CALLER].clear();
        pair.describe();
        pair.deliver_all();
        pair.answer();
        pair.deliver_all();
        assert_eq!(pair.restarts(), [1, 1]);
        let count = pair.generations().len();
        pair.advance(SLOWEST);
        assert_eq!(pair.generations().len(), count + 1, "still not heard");
        pair.finish();
        pair.feed(CALLER, Input::PathBack);
        pair.advance(SLOWEST * 2);
        assert_eq!(pair.generations().len(), count + 1);
    });
}

#[test]
fn a_path_that_is_lost_is_restarted_in_time_however_often_addresses_changed_before() {
    both(|mut pair| {
        pair.feed(CALLER, Input::PathChanged);
        for _ in 0..30 {
            pair.describe();
            pair.advance(SLOWEST);
        }
        let count = pair.generations().len();
        pair.describe();
        pair.feed(CALLER, Input::PathLost);
        for seconds in 0..15 {
            assert!(pair.generations().len() >= count + seconds / 3);
            pair.advance(Duration::from_secs(1));
            pair.describe();
        }
    });
}

#[test]
fn a_callee_asks_again_until_the_caller_offers() {
    both(|mut pair| {
        pair.feed(CALLEE, Input::PathChanged);
        pair.take(CALLEE, Kind::Answer);
        pair.feed(CALLEE, Input::PathChanged);
        pair.advance(RETRY);
        let asks = pair.take(CALLEE, Kind::Answer);
        pair.deliver(CALLEE, &asks);
        pair.finish();
        pair.advance(SLOWEST * 2);
        assert_eq!((pair.generations(), pair.restarts()), (vec![1], [1, 1]));
        assert!(pair.wire[CALLEE].is_empty());
    });
}

#[test]
fn a_caller_with_a_wrong_clock_restarts_at_its_second_try() {
    let mut pair = Pair::verified();
    pair.feed(CALLER, Input::PathLost);
    let (sdp, _) = pair.described(pair.visitor.fingerprint, "actpass");
    pair.describe_as(sdp, Time(0));
    pair.deliver_all();
    let asked = pair.asked();
    assert!(matches!(asked[..], [(1, None), (2, Some(_))]), "{asked:?}");
    let (sdp, _) = pair.described(pair.visitor.fingerprint, "actpass");
    pair.describe_as(sdp, Time(0));
    pair.deliver_all();
    pair.answer();
    pair.deliver_all();
    assert_eq!(pair.restarts(), [1, 1]);
}

#[test]
fn a_device_that_does_not_have_the_connection_says_so_under_its_key_and_the_link_ends() {
    let mut pair = Pair::verified();
    let (src, name) = (
        pair.visitor.id.clone(),
        ConnectionId::parse("dc_1").unwrap(),
    );
    pair.device.gate.closed(&src, &name);
    let offer = pair.offer();
    assert!(pair.gate(&offer).is_none());
    let refusal = pair.take(CALLEE, Kind::Answer);
    let reply = answer_of(&refusal);
    let Ok(Reply::Refusal {
        code: Code::Gone,
        evidence: Some(_),
    }) = Reply::parse(reply.peerage.as_ref().unwrap().get())
    else {
        panic!("{reply:?}")
    };
    // Without the signature it is the server's word.
    let unsigned = AnswerPayload {
        peerage: Some(
            Reply::Refusal {
                code: Code::Gone,
                evidence: None,
            }
            .emit(),
        ),
        ..reply
    };
    pair.feed(CALLER, Input::Received(Signal::Answer(unsigned)));
    assert_eq!(pair.ends_of(CALLER), None);
    pair.deliver(CALLEE, &refusal);
    let gone = CloseReason::Refused(Code::Gone);
    assert_eq!(pair.ends_of(CALLER), Some(gone));

    let mut pair = Pair::stock();
    pair.device.gate.closed(&src, &name);
    let offer = pair.offer();
    assert!(pair.gate(&offer).is_none());
    pair.deliver_all();
    assert_eq!(pair.ends_of(CALLER), Some(gone));
}

#[test]
fn refusals_by_the_servers_word_end_no_link() {
    both(|mut pair| {
        pair.offer();
        for code in [Code::Denied, Code::Malformed, Code::Busy, Code::Stale] {
            let refusal = Reply::Refusal {
                code,
                evidence: None,
            };
            let refusal = AnswerPayload {
                peerage: Some(refusal.emit()),
                ..request(1)
            };
            pair.feed(CALLER, Input::Received(Signal::Answer(refusal)));
        }
        pair.feed(CALLER, Input::Received(Signal::Expire));
        assert_eq!(pair.ends_of(CALLER), None);
        pair.advance(RETRY);
        assert_eq!(pair.generations(), [1, 2]);
        pair.finish();
        assert_eq!(pair.restarts(), [1, 1]);
    });
}

#[test]
fn nothing_restarts_before_the_channel_is_open_or_after_the_end() {
    let mut table = Table::calling();
    for input in [Input::PathLost, Input::PathChanged] {
        table.feed(input);
    }
    let answer = table.honest_answer();
    table.answer(AnswerPayload {
        generation: Some(0),
        ..answer
    });
    for input in [Input::PathLost, Input::PathChanged] {
        table.feed(input);
    }
    table.feed(Input::Received(Signal::Answer(request(1))));
    assert!(
        !table
            .done
            .iter()
            .any(|output| matches!(output, Output::Restart { .. }))
    );
    let mut pair = Pair::verified();
    let offer = pair.offer();
    let granted = pair.gate(&offer).unwrap();
    for end in [CALLER, CALLEE] {
        pair.feed(end, Input::EngineClosed);
        assert!(!pair.ends[end].can_restart());
    }
    let done = pair.done[CALLEE].len();
    pair.feed(CALLEE, Input::RestartOffered(granted));
    pair.feed(CALLEE, Input::PathLost);
    pair.advance(SLOWEST);
    assert_eq!(pair.done[CALLEE].len(), done);
    assert!(pair.wire[CALLEE].is_empty());
}

#[test]
fn a_restart_counts_no_connection_and_a_refused_one_changes_none() {
    let mut pair = Pair::verified();
    for _ in 0..5 {
        pair.feed(CALLER, Input::PathChanged);
        pair.finish();
        pair.advance(SLOWEST);
    }
    assert_eq!((pair.device.gate.live(), pair.restarts()), (1, [5, 5]));

    // Another key, let in by the same link, under the same id and connection: the server's doing.
    let mut thief = Visitor::new(2);
    let secret = crate::identity::fixture::secret(7);
    let proof = thief.proof(&pair.device, &secret);
    let (_, visit) = thief.call(&pair.device, Some(&proof), pair.wall());
    let wall = pair.wall();
    pair.device.receive(&thief.id, &visit, wall).unwrap();
    thief.id = pair.visitor.id.clone();
    let text = sdp(pair.visitor.fingerprint, "actpass");
    let (first, _) = Visitor::call(
        &mut {
            let mut same = Visitor::new(2);
            same.id = pair.visitor.id.clone();
            same.fingerprint = pair.visitor.fingerprint;
            same
        },
        &pair.device,
        None,
        wall,
    );
    let forged = first
        .restart(&thief.key, 9, None, &text, wall, &mut pair.device.rng)
        .unwrap();
    let payload = OfferPayload {
        sdp: Description::offer(DataDescription::parse(&text).unwrap().to_text()),
        generation: Some(9),
        peerage: Some(forged.evidence().emit()),
        ..visit
    };
    let incoming = IncomingOffer {
        src: &pair.visitor.id,
        payload: &payload,
    };
    let refused = pair
        .device
        .gate
        .verify_offer(&incoming, wall, &mut pair.device.rng)
        .unwrap_err();
    assert_eq!(refused.reason, crate::identity::gate::Reason::Gone);
    assert_eq!(pair.device.gate.live(), 2);
    pair.feed(CALLER, Input::PathChanged);
    pair.finish();
    assert_eq!(pair.restarts(), [6, 6]);
}
