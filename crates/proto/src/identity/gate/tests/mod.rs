#![allow(clippy::unwrap_used)]

mod restart;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{freshness::MAX_SEEN, *};
use crate::identity::fixture::{Device, MINUTE, NOW, Visitor, at, key, sdp, secret};

/// The refusal's code, after checking that it says nothing else: no SDP, and evidence only where a second try is offered.
fn code(refused: Refused) -> Option<Code> {
    let answer = refused.reply?;
    assert!(answer.sdp.is_none(), "a refusal carries no SDP");
    match Reply::parse(answer.peerage.unwrap().get()).unwrap() {
        Reply::Refusal { code, evidence } => {
            assert_eq!(evidence.is_some(), code == Code::Stale);
            Some(code)
        }
        Reply::Answer(_) => panic!("a refusal is no answer"),
    }
}

fn denied(result: Result<Granted, Refused>) -> Reason {
    let refused = result.unwrap_err();
    let reason = refused.reason;
    assert_eq!(code(refused), Some(Code::Denied), "{reason}");
    reason
}

fn nonce(refused: Refused) -> Nonce {
    let answer = refused.reply.expect("a proven caller is told");
    let Reply::Refusal {
        evidence: Some(evidence),
        ..
    } = Reply::parse(answer.peerage.unwrap().get()).unwrap()
    else {
        panic!("not a signed refusal");
    };
    let Statement::Refusal(refusal) = Statement::parse(&evidence.statement).unwrap() else {
        panic!("not a refusal")
    };
    refusal.nonce
}

fn until(time: Time) -> Terms {
    Terms {
        expires: Some(time),
        uses: None,
    }
}

fn times(uses: u32) -> Terms {
    Terms {
        expires: None,
        uses: Some(uses),
    }
}

#[test]
fn a_first_visit_is_let_in_by_the_secret_and_later_ones_by_the_key_alone() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);

    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    let granted = device.receive(&visitor.id, &offer, NOW).unwrap();
    assert_eq!(
        granted.caller,
        Caller::Verified(visitor.key.public_key().clone())
    );
    assert_eq!(granted.description.fingerprint(), visitor.fingerprint);
    assert_eq!(device.events(), [Event::Changed]);

    let (_, offer) = visitor.call(&device, None, at(5));
    assert!(device.receive(&visitor.id, &offer, at(5)).is_ok());
    assert_eq!(device.events(), [], "nothing new to store");
    assert_eq!(
        device.gate.grants_of(visitor.key.public_key(), NOW),
        [secret.kid()]
    );
}

#[test]
fn a_missing_wrong_or_foreign_secret_is_denied_and_told_nothing_more() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let right = device.link(7, Terms::default());

    let (_, none) = visitor.call(&device, None, NOW);
    assert_eq!(
        denied(device.receive(&visitor.id, &none, NOW)),
        Reason::UnknownKey
    );

    let wrong = visitor.proof(&device, &secret(8));
    let (_, offer) = visitor.call(&device, Some(&wrong), NOW);
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::UnknownLink(wrong.kid)
    );

    // The name of a link is no secret: it must not help.
    let guessed = crate::identity::LinkProof {
        kid: right.kid(),
        mac_key: wrong.mac_key,
    };
    let (_, offer) = visitor.call(&device, Some(&guessed), NOW);
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::WrongMac(right.kid())
    );

    // The same secret, proven to another device.
    let elsewhere = right.proof(&key(5).device_id());
    let (_, offer) = visitor.call(&device, Some(&elsewhere), NOW);
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::WrongMac(right.kid())
    );
    assert_eq!(device.events(), []);
}

#[test]
fn an_offer_without_a_statement_is_denied() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let (_, mut offer) = visitor.call(&device, None, NOW);
    offer.peerage = None;
    for (connection, label) in [("dc_a", "peerage-http"), ("dc_b", "chat")] {
        offer.connection_id = ConnectionId::parse(connection).unwrap();
        offer.label = Some(label.into());
        assert_eq!(
            denied(device.receive(&visitor.id, &offer, NOW)),
            Reason::Unverified
        );
    }
}

#[test]
fn a_server_that_swaps_the_fingerprint_in_any_way_is_noticed() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let evil = Fingerprint::new([0xee; 32]);
    let honest = format!("a=fingerprint:sha-256 {}\r\n", visitor.fingerprint);
    let swapped = format!("a=fingerprint:sha-256 {evil}\r\n");
    let sha1 =
        "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\r\n";
    let text = sdp(visitor.fingerprint, "actpass");
    let attacks = [
        ("all lines", text.replace(&honest, &swapped)),
        (
            "a second line after",
            text.replace(&honest, &format!("{honest}{swapped}")),
        ),
        (
            "a second line before",
            text.replace(&honest, &format!("{swapped}{honest}")),
        ),
        (
            "another hash beside",
            text.replace(&honest, &format!("{sha1}{honest}")),
        ),
        ("another hash instead", text.replace(&honest, sha1)),
        (
            "session against media level",
            text.replace("t=0 0\r\n", &format!("t=0 0\r\n{swapped}")),
        ),
        (
            "session level alone",
            text.replace(&honest, "")
                .replace("t=0 0\r\n", &format!("t=0 0\r\n{swapped}")),
        ),
        (
            "upper case attribute beside",
            text.replace(
                &honest,
                &format!("{honest}a=fingerprint:SHA-256 {evil}\r\n"),
            ),
        ),
        ("none", text.replace(&honest, "")),
    ];
    for (attack, sdp) in attacks {
        let (_, mut offer) = visitor.call(&device, Some(&proof), NOW);
        offer.sdp.sdp = sdp;
        let reason = denied(device.receive(&visitor.id, &offer, NOW));
        assert!(
            matches!(reason, Reason::Fingerprint | Reason::Description(_)),
            "{attack}: {reason}"
        );
        assert_eq!(device.events(), [], "{attack}: no grant is made");
    }
}

#[test]
fn a_key_swapped_beside_an_honest_mac_is_noticed() {
    let (mut device, mut visitor, thief) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (sent, mut offer) = visitor.call(&device, Some(&proof), NOW);

    // The thief's key in the statement, the honest MAC, the thief's signature.
    let mut statement = sent.statement().clone();
    statement.key = *thief.key.public_key().as_bytes();
    let statement = Statement::Offer(statement).emit();
    let signature = thief.key.sign(&statement);
    offer.peerage = Some(
        Evidence {
            statement,
            signature,
            mac: sent.evidence().mac,
        }
        .emit(),
    );
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::WrongMac(secret.kid())
    );

    // The honest statement and MAC, the thief's signature.
    let (sent, mut offer) = visitor.call(&device, Some(&proof), NOW);
    let signature = thief.key.sign(&sent.evidence().statement);
    offer.peerage = Some(
        Evidence {
            signature,
            ..sent.evidence().clone()
        }
        .emit(),
    );
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::Signature
    );
}

#[test]
fn a_remembered_key_cannot_be_borrowed_without_its_signature() {
    let (mut device, mut visitor, thief) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();

    let (sent, mut offer) = visitor.call(&device, None, NOW);
    let signature = thief.key.sign(&sent.evidence().statement);
    offer.peerage = Some(
        Evidence {
            signature,
            ..sent.evidence().clone()
        }
        .emit(),
    );
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::Signature
    );
}

#[test]
fn a_point_off_the_curve_is_denied_even_with_an_honest_mac() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let offer = visitor.forge(&device, Some(&proof), NOW, |offer| offer.key[64] ^= 1);
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::Signature
    );
}

#[test]
fn a_statement_that_differs_from_its_frame_is_malformed() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let other = PeerId::parse("other").unwrap();
    let mut check = |offer: OfferPayload, src: &PeerId, field| {
        let refused = device.receive(src, &offer, NOW).unwrap_err();
        assert_eq!(refused.reason, Reason::Mismatch(field));
        assert_eq!(code(refused), Some(Code::Malformed));
    };
    let device = Device::new();
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    check(offer, &other, "from");
    let offer = visitor.forge(&device, Some(&proof), NOW, |offer| offer.to = other.clone());
    check(offer, &visitor.id, "to");
    let (_, mut offer) = visitor.call(&device, Some(&proof), NOW);
    offer.connection_id = ConnectionId::parse("dc_else").unwrap();
    check(offer, &visitor.id, "connection");
    let (_, mut offer) = visitor.call(&device, Some(&proof), NOW);
    offer.label = Some("else".into());
    check(offer, &visitor.id, "label");
    let (_, mut offer) = visitor.call(&device, Some(&proof), NOW);
    offer.connection_type = ConnectionType::Media;
    check(offer, &visitor.id, "type");
}

#[test]
fn a_mac_without_a_kid_and_a_kid_without_a_mac_are_malformed() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let offer = visitor.forge(&device, Some(&proof), NOW, |offer| offer.kid = None);
    assert_eq!(
        device.receive(&visitor.id, &offer, NOW).unwrap_err().reason,
        Reason::Malformed
    );
    let offer = visitor.forge(&device, None, NOW, |offer| offer.kid = Some(secret.kid()));
    assert_eq!(
        device.receive(&visitor.id, &offer, NOW).unwrap_err().reason,
        Reason::Malformed
    );
}

#[test]
fn an_answer_or_garbage_in_place_of_an_offer_is_malformed() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    for (index, member) in [
        "{}",
        "null",
        "7",
        r#"{"statement":"AAAA","signature":"AAAA"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let (_, mut offer) = visitor.call(&device, None, NOW);
        offer.peerage = Some(RawValue::from_string(member.to_owned()).unwrap());
        let refused = device
            .receive(&visitor.id, &offer, at(index as u64))
            .unwrap_err();
        assert_eq!(code(refused), Some(Code::Malformed), "{member}");
    }
}

#[test]
fn an_unproven_offer_gets_at_most_one_refusal_for_its_connection_id() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let (_, offer) = visitor.call(&device, None, NOW);
    assert_eq!(
        code(device.receive(&visitor.id, &offer, NOW).unwrap_err()),
        Some(Code::Denied)
    );
    for second in 1..100 {
        let refused = device
            .receive(&visitor.id, &offer, at(second * 1000))
            .unwrap_err();
        assert!(refused.reply.is_none(), "after {second} s");
    }
}

#[test]
fn a_flood_of_unproven_offers_is_answered_at_a_bounded_rate_and_keeps_nobody_out() {
    let (mut device, mut visitor, mut guest) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let secret = device.link(7, Terms::default());
    let mut answered = 0;
    for call in 0..2000 {
        let (_, offer) = visitor.call(&device, None, NOW);
        answered += u32::from(
            device
                .receive(&visitor.id, &offer, at(call))
                .unwrap_err()
                .reply
                .is_some(),
        );
    }
    assert!((50..=70).contains(&answered), "{answered} refusals in 2 s");

    // A stale but proven caller is still told how to come in.
    let proof = guest.proof(&device, &secret);
    let (_, offer) = guest.call(&device, Some(&proof), at(30 * MINUTE));
    assert_eq!(
        code(device.receive(&guest.id, &offer, at(2000)).unwrap_err()),
        Some(Code::Stale)
    );
}

#[test]
fn refusals_go_on_after_the_clock_was_set_back() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    for _ in 0..60 {
        let (_, offer) = visitor.call(&device, None, NOW);
        let _ = device.receive(&visitor.id, &offer, at(60 * MINUTE));
    }
    let (_, offer) = visitor.call(&device, None, NOW);
    assert!(
        device
            .receive(&visitor.id, &offer, NOW)
            .unwrap_err()
            .reply
            .is_some()
    );
}

#[test]
fn a_replayed_offer_is_stale_and_gets_nothing_that_lets_the_replayer_in() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();
    for later in [1, 4 * MINUTE, 6 * MINUTE, 11 * MINUTE] {
        let reason = device
            .receive(&visitor.id, &offer, at(later))
            .unwrap_err()
            .reason;
        let expected = if later <= 5 * MINUTE {
            StaleReason::Repeated
        } else {
            StaleReason::Old
        };
        assert_eq!(reason, Reason::Stale(expected));
    }
}

#[test]
fn a_caller_whose_clock_is_wrong_comes_in_with_the_devices_nonce() {
    for (wrong, why) in [
        (Time(0), StaleReason::Old),
        (at(24 * 60 * MINUTE), StaleReason::Early),
    ] {
        let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
        let secret = device.link(7, Terms::default());
        let proof = visitor.proof(&device, &secret);
        let (_, offer) = visitor.call(&device, Some(&proof), wrong);
        let refused = device.receive(&visitor.id, &offer, NOW).unwrap_err();
        assert_eq!(refused.reason, Reason::Stale(why));
        let nonce = nonce(refused);

        let (_, second) = visitor.call_with(&device, Some(&proof), wrong, Some(nonce));
        assert!(device.receive(&visitor.id, &second, at(100)).is_ok());
        // The nonce is spent, whoever brings it.
        let reason = device
            .receive(&visitor.id, &second, at(200))
            .unwrap_err()
            .reason;
        assert_eq!(reason, Reason::Stale(StaleReason::Nonce));
    }
}

#[test]
fn a_nonce_is_good_for_a_minute_and_for_the_key_that_was_asked() {
    let (mut device, mut visitor, mut other) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let mut challenge = |device: &mut Device| {
        let (_, offer) = visitor.call(device, Some(&proof), Time(0));
        nonce(device.receive(&visitor.id, &offer, NOW).unwrap_err())
    };
    let (first, second) = (challenge(&mut device), challenge(&mut device));

    let (_, offer) = other.call_with(&device, Some(&proof), NOW, Some(first));
    assert_eq!(
        device.receive(&other.id, &offer, NOW).unwrap_err().reason,
        Reason::Stale(StaleReason::Nonce)
    );
    let (_, late) = visitor.call_with(&device, Some(&proof), NOW, Some(second));
    assert_eq!(
        device
            .receive(&visitor.id, &late, at(MINUTE + 1))
            .unwrap_err()
            .reason,
        Reason::Stale(StaleReason::Nonce)
    );
    let (_, good) = visitor.call_with(&device, Some(&proof), NOW, Some(first));
    assert!(device.receive(&visitor.id, &good, at(MINUTE)).is_ok());
}

#[test]
fn what_was_accepted_before_a_restart_is_not_accepted_after_it() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();

    let mut restarted = Device::with(device.gate.state().clone(), Config::default(), at(10));
    assert_eq!(
        restarted
            .receive(&visitor.id, &offer, at(20))
            .unwrap_err()
            .reason,
        Reason::Stale(StaleReason::Old)
    );
    let (_, fresh) = visitor.call(&restarted, None, at(30));
    assert!(restarted.receive(&visitor.id, &fresh, at(30)).is_ok());
}

#[test]
fn a_clock_that_jumps_there_and_back_lets_nothing_in_twice() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, first) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &first, NOW).unwrap();
    let (_, ahead) = visitor.call(&device, None, at(20 * MINUTE));
    device
        .receive(&visitor.id, &ahead, at(20 * MINUTE))
        .unwrap();
    assert_eq!(
        device
            .receive(&visitor.id, &first, at(1))
            .unwrap_err()
            .reason,
        Reason::Stale(StaleReason::Repeated)
    );
}

#[test]
fn when_the_memory_of_statements_is_full_callers_come_in_by_nonce() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, first) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &first, NOW).unwrap();
    let mut offer = match Statement::parse(
        &Evidence::parse(first.peerage.unwrap().get())
            .unwrap()
            .statement,
    )
    .unwrap()
    {
        Statement::Offer(offer) => offer,
        _ => unreachable!(),
    };
    for index in 1..MAX_SEEN {
        offer.nonce = Nonce((index as u128).to_be_bytes());
        let hash = StatementHash::of(&Statement::Offer(offer.clone()).emit());
        device.gate.freshness.accept(&offer, hash, NOW).unwrap();
    }
    let (_, one_more) = visitor.call(&device, Some(&proof), at(1));
    let refused = device.receive(&visitor.id, &one_more, at(1)).unwrap_err();
    assert_eq!(refused.reason, Reason::Stale(StaleReason::Full));
    let (_, again) = visitor.call_with(&device, Some(&proof), at(2), Some(nonce(refused)));
    assert!(device.receive(&visitor.id, &again, at(2)).is_ok());
    let (_, later) = visitor.call(&device, Some(&proof), at(11 * MINUTE));
    assert!(
        device.receive(&visitor.id, &later, at(11 * MINUTE)).is_ok(),
        "statements are forgotten after 10 minutes"
    );
}

#[test]
fn an_expired_link_lets_nobody_in_and_ends_who_came_by_it() {
    let (mut device, mut visitor, mut other) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let secret = device.link(7, until(at(MINUTE)));
    let proof = visitor.proof(&device, &secret);
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();
    device.events();

    assert_eq!(device.gate.poll_timeout(NOW), Some(at(MINUTE)));
    device.gate.handle_timeout(at(MINUTE - 1));
    assert_eq!(device.events(), []);
    device.gate.handle_timeout(at(MINUTE));
    assert_eq!(
        device.events(),
        [Event::End((visitor.id.clone(), offer.connection_id))]
    );
    assert_eq!(device.gate.poll_timeout(at(MINUTE)), None);

    let (_, again) = visitor.call(&device, None, at(MINUTE));
    assert_eq!(
        denied(device.receive(&visitor.id, &again, at(MINUTE))),
        Reason::UnknownKey
    );
    let (_, late) = other.call(&device, Some(&proof), at(MINUTE));
    assert_eq!(
        denied(device.receive(&other.id, &late, at(MINUTE))),
        Reason::UnknownLink(secret.kid())
    );
}

#[test]
fn a_link_with_two_uses_takes_two_keys_and_keeps_them() {
    let mut device = Device::new();
    let secret = device.link(7, times(2));
    let mut visitors = [Visitor::new(1), Visitor::new(2), Visitor::new(3)];
    let proof = visitors[0].proof(&device, &secret);
    for visitor in &mut visitors[..2] {
        for _ in 0..3 {
            let (_, offer) = visitor.call(&device, Some(&proof), NOW);
            assert!(
                device.receive(&visitor.id, &offer, NOW).is_ok(),
                "the same key again is no new use"
            );
        }
    }
    let (_, third) = visitors[2].call(&device, Some(&proof), NOW);
    assert_eq!(
        denied(device.receive(&visitors[2].id, &third, NOW)),
        Reason::UnknownLink(secret.kid())
    );
    let (_, first) = visitors[0].call(&device, None, NOW);
    assert!(device.receive(&visitors[0].id, &first, NOW).is_ok());
}

#[test]
fn revoking_a_link_ends_at_once_what_lived_by_it_alone() {
    let (mut device, mut one, mut both) = (Device::new(), Visitor::new(1), Visitor::new(2));
    let (first, second) = (
        device.link(7, Terms::default()),
        device.link(8, Terms::default()),
    );
    let (by_first, by_second) = (one.proof(&device, &first), one.proof(&device, &second));
    let (_, call) = one.call(&device, Some(&by_first), NOW);
    device.receive(&one.id, &call, NOW).unwrap();
    for proof in [&by_first, &by_second] {
        let (_, call) = both.call(&device, Some(proof), NOW);
        device.receive(&both.id, &call, NOW).unwrap();
    }
    assert_eq!(
        device.gate.grants_of(both.key.public_key(), NOW),
        [first.kid(), second.kid()]
    );
    device.events();

    assert!(device.gate.revoke(first.kid(), NOW));
    assert_eq!(
        device.events(),
        [
            Event::Changed,
            Event::End((one.id.clone(), call.connection_id))
        ]
    );
    let (_, again) = one.call(&device, Some(&by_first), NOW);
    assert_eq!(
        denied(device.receive(&one.id, &again, NOW)),
        Reason::UnknownLink(first.kid())
    );
    let (_, again) = both.call(&device, None, NOW);
    assert!(device.receive(&both.id, &again, NOW).is_ok());

    assert!(device.gate.revoke(second.kid(), NOW));
    assert_eq!(
        device.events().len(),
        4,
        "three connections of the other visitor"
    );
    assert!(
        !device.gate.revoke(second.kid(), NOW),
        "there is nothing left to revoke"
    );
}

#[test]
fn a_closed_connection_makes_room_and_is_not_ended_again() {
    let config = Config {
        connections: 1,
        ..Config::default()
    };
    let (mut device, mut visitor) = (Device::with(State::default(), config, NOW), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, first) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &first, NOW).unwrap();
    let (_, second) = visitor.call(&device, None, NOW);
    let refused = device.receive(&visitor.id, &second, NOW).unwrap_err();
    assert_eq!(code(refused), Some(Code::Busy));

    device.gate.closed(&visitor.id, &first.connection_id);
    let (_, third) = visitor.call(&device, None, NOW);
    assert!(device.receive(&visitor.id, &third, NOW).is_ok());
    device.gate.closed(&visitor.id, &third.connection_id);
    device.events();
    device.gate.revoke(secret.kid(), NOW);
    assert_eq!(device.events(), [Event::Changed]);
}

#[test]
fn stock_callers_come_in_where_the_owner_says_so_but_never_to_http() {
    let config = Config {
        unverified: Unverified::Any,
        ..Config::default()
    };
    let (mut device, mut visitor) = (Device::with(State::default(), config, NOW), Visitor::new(1));
    let (_, mut offer) = visitor.call(&device, None, NOW);
    offer.peerage = None;
    assert_eq!(
        denied(device.receive(&visitor.id, &offer, NOW)),
        Reason::Unverified
    );
    offer.label = Some("chat".into());
    let mut media = offer.clone();
    media.connection_type = ConnectionType::Media;
    media.connection_id = ConnectionId::parse("mc_1").unwrap();
    let refused = device.receive(&visitor.id, &media, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Mismatch("type"));
    let granted = device.receive(&visitor.id, &offer, NOW).unwrap();
    assert_eq!(granted.caller, Caller::Unverified);
    assert_eq!(
        device
            .gate
            .answer(&granted, visitor.fingerprint, NOW, &mut device.rng),
        None
    );
}

#[test]
fn stock_callers_that_may_use_one_label_get_no_other_and_leave_room_for_proven_ones() {
    let with = |label: &str| Config {
        unverified: Unverified::Label {
            label: label.into(),
            connections: 2,
        },
        ..Config::default()
    };
    let (mut device, mut visitor) = (
        Device::with(State::default(), with("http-proxy"), NOW),
        Visitor::new(1),
    );
    let mut call = |device: &mut Device, label: Option<&str>| {
        let (_, mut offer) = visitor.call(device, None, NOW);
        offer.peerage = None;
        offer.label = label.map(Into::into);
        device.receive(&visitor.id, &offer, NOW)
    };
    for label in [
        None,
        Some(""),
        Some("chat"),
        Some("HTTP-PROXY"),
        Some(HTTP_LABEL),
    ] {
        let refused = call(&mut device, label).unwrap_err();
        assert_eq!(refused.reason, Reason::Unverified, "{label:?}");
    }
    for _ in 0..2 {
        assert_eq!(
            call(&mut device, Some("http-proxy")).unwrap().caller,
            Caller::Unverified
        );
    }
    let refused = call(&mut device, Some("http-proxy")).unwrap_err();
    assert_eq!(refused.reason, Reason::Busy);

    let mut open = Device::with(State::default(), with(HTTP_LABEL), NOW);
    let refused = call(&mut open, Some(HTTP_LABEL)).unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::Unverified,
        "not even if it is named"
    );
}

#[test]
fn an_unproven_offer_cannot_push_out_a_proven_connection() {
    let config = Config {
        unverified: Unverified::Any,
        ..Config::default()
    };
    let (mut device, mut visitor) = (Device::with(State::default(), config, NOW), Visitor::new(1));
    let secret = device.link(7, Terms::default());
    let proof = visitor.proof(&device, &secret);
    let (_, mut offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();
    offer.peerage = None;
    offer.label = Some("chat".into());
    assert_eq!(
        device.receive(&visitor.id, &offer, NOW).unwrap_err().reason,
        Reason::Busy
    );
}

#[test]
fn links_survive_a_restart_and_print_no_secret() {
    let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
    let secret = device.link(
        7,
        Terms {
            expires: Some(at(MINUTE)),
            uses: Some(3),
        },
    );
    let proof = visitor.proof(&device, &secret);
    let (_, offer) = visitor.call(&device, Some(&proof), NOW);
    device.receive(&visitor.id, &offer, NOW).unwrap();

    let stored = serde_json::to_string(device.gate.state()).unwrap();
    let state: State = serde_json::from_str(&stored).unwrap();
    assert!(!format!("{:?}", device.gate).contains(secret.expose()));
    let link = state.links().next().unwrap();
    assert_eq!(
        (link.secret(), link.grants().len(), link.made()),
        (&secret, 1, NOW)
    );
    assert_eq!(
        link.terms(),
        Terms {
            expires: Some(at(MINUTE)),
            uses: Some(3)
        }
    );
    let mut restarted = Device::with(state, Config::default(), at(1));
    let (_, offer) = visitor.call(&restarted, None, at(2));
    assert!(restarted.receive(&visitor.id, &offer, at(2)).is_ok());
}

#[test]
fn links_and_keys_are_bounded() {
    let (mut device, visitor) = (Device::new(), Visitor::new(1));
    device.link(1000, until(at(MINUTE)));
    let kids: BTreeSet<_> = (1..MAX_LINKS as u64)
        .map(|seed| device.link(seed, Terms::default()).kid())
        .collect();
    assert_eq!(kids.len(), MAX_LINKS - 1);
    assert_eq!(
        device.gate.add_link(secret(2000), Terms::default(), NOW),
        Err(LinkError::Full)
    );
    assert_eq!(
        device.gate.add_link(secret(1), Terms::default(), NOW),
        Err(LinkError::Exists)
    );
    assert!(
        device
            .gate
            .add_link(secret(2000), Terms::default(), at(MINUTE))
            .is_ok(),
        "an expired link makes room"
    );

    let kid = secret(1).kid();
    for index in 0..MAX_GRANTS as u64 {
        assert!(matches!(
            device
                .gate
                .state
                .remember(kid, key(5000 + index).public_key(), NOW),
            Ok(true)
        ));
    }
    let mut late = visitor;
    let proof = late.proof(&device, &secret(1));
    device.events();
    let (_, offer) = late.call(&device, Some(&proof), NOW);
    assert_eq!(
        denied(device.receive(&late.id, &offer, NOW)),
        Reason::LinkFull(kid)
    );
    assert_eq!(device.events(), [Event::LinkFull(kid)]);
}

proptest! {
    #[test]
    fn no_damage_to_an_honest_offer_panics_or_lets_anybody_in(at in 0usize..2000, byte in any::<u8>()) {
        let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
        let secret = device.link(7, Terms::default());
        let proof = visitor.proof(&device, &secret);
        let (sent, mut offer) = visitor.call(&device, Some(&proof), NOW);
        let mut evidence = sent.evidence().clone();
        let length = evidence.statement.len();
        match at % (length + 96) {
            index if index < length => evidence.statement[index] ^= byte,
            index if index < length + 64 => evidence.signature[index - length] ^= byte,
            index => evidence.mac.as_mut().unwrap()[index - length - 64] ^= byte,
        }
        offer.peerage = Some(evidence.emit());
        let granted = device.receive(&visitor.id, &offer, NOW).is_ok();
        prop_assert_eq!(granted, byte == 0);
    }
}
