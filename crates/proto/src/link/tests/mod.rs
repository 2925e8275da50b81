#![allow(clippy::unwrap_used)]

mod pair;
mod restart;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{
    identity::{
        Nonce, Secret, SigningKey,
        fixture::{DEVICE_CERTIFICATE, Device, NOW, Visitor, answer_payload, at, key, sdp},
        gate::Terms,
    },
    wire::statement::{Statement, Time},
};

const OURS: &str = "candidate:1 1 udp 2122194687 192.0.2.1 40000 typ host";
const THEIRS: &str = "candidate:2 1 udp 2122194687 192.0.2.2 40001 typ host";

/// A caller's link to a device, in virtual time, with what it did.
struct Table {
    start: Instant,
    now: Instant,
    link: Link,
    device: Device,
    visitor: Visitor,
    secret: Secret,
    done: Vec<Output>,
}

impl Table {
    /// The offer of a verified link is sent.
    fn calling() -> Self {
        let mut device = Device::new();
        let secret = device.link(7, Terms::default());
        let mut table = Self::with(device, Visitor::new(1), secret);
        table.describe(NOW, None);
        table
    }

    /// The call of a stock client is sent.
    fn stock() -> Self {
        let mut device = Device::new();
        let secret = device.link(7, Terms::default());
        let mut table = Self::with(device, Visitor::new(1), secret);
        let sdp = sdp(table.visitor.fingerprint, "actpass");
        table.feed(Input::LocalOffer { sdp, sent: None });
        table
    }

    fn with(device: Device, visitor: Visitor, secret: Secret) -> Self {
        let start = any_instant();
        let remote = device.gate.device().clone().into();
        let link = Link::call(
            remote,
            options(visitor.next_connection()),
            Config::default(),
            start,
        );
        Self {
            start,
            now: start,
            link,
            device,
            visitor,
            secret,
            done: Vec::new(),
        }
    }

    fn describe(&mut self, now: Time, retry: Option<Nonce>) {
        let proof = self.visitor.proof(&self.device, &self.secret);
        let (sent, _) = self
            .visitor
            .call_with(&self.device, Some(&proof), now, retry);
        let sdp = sdp(self.visitor.fingerprint, "actpass");
        self.feed(Input::LocalOffer {
            sdp,
            sent: Some(Box::new(sent)),
        });
    }

    fn feed(&mut self, input: Input) {
        self.link.handle_input(input, self.now);
        self.done
            .extend(std::iter::from_fn(|| self.link.poll_output()));
    }

    fn advance(&mut self, seconds: u64) {
        self.now = self.start + Duration::from_secs(seconds);
        self.link.handle_timeout(self.now);
        self.done
            .extend(std::iter::from_fn(|| self.link.poll_output()));
    }

    fn offer(&self) -> OfferPayload {
        let frame = self.sent(Kind::Offer).next().unwrap();
        OfferPayload::parse(frame.payload.as_ref().unwrap()).unwrap()
    }

    /// What the device says to the offer.
    fn honest_answer(&mut self) -> AnswerPayload {
        let offer = self.offer();
        let granted = self.device.receive(&self.visitor.id, &offer, NOW).unwrap();
        self.device.answer(&granted, &offer.connection_id, NOW)
    }

    fn answer(&mut self, answer: AnswerPayload) {
        self.feed(Input::Received(Signal::Answer(answer)));
    }

    fn sent(&self, kind: Kind) -> impl Iterator<Item = &Frame> {
        self.done.iter().filter_map(move |output| match output {
            Output::Send(frame) if frame.kind == kind => Some(frame),
            _ => None,
        })
    }

    fn applied(&self) -> Vec<&str> {
        let mut applied = Vec::new();
        for output in &self.done {
            if let Output::ApplyRemote { sdp } = output {
                applied.push(sdp.as_str());
            }
        }
        applied
    }

    fn added(&self) -> usize {
        self.done
            .iter()
            .filter(|output| matches!(output, Output::AddCandidate(_)))
            .count()
    }

    fn disbelieved(&self) -> usize {
        self.done
            .iter()
            .filter(|output| matches!(output, Output::Disbelieved(_)))
            .count()
    }

    fn is_open(&self) -> bool {
        self.done
            .iter()
            .any(|output| matches!(output, Output::Opened))
    }

    fn closed(&self) -> Option<CloseReason> {
        self.done.iter().find_map(|output| {
            if let Output::Closed(reason) = output {
                Some(*reason)
            } else {
                None
            }
        })
    }

    fn handshake(&mut self, certificate: Fingerprint) {
        self.feed(Input::RemoteCertificate(certificate));
        self.feed(Input::ChannelOpened);
    }
}

/// Instants have no fixed origin; any one will do, for nothing here waits.
#[allow(clippy::disallowed_methods)]
fn any_instant() -> Instant {
    Instant::now()
}

fn options(connection: ConnectionId) -> CallOptions {
    CallOptions {
        connection,
        label: "peerage-http".into(),
        serialization: "raw".into(),
        reliable: true,
        metadata: None,
    }
}

fn candidate(line: &str, ufrag: Option<&str>) -> Signal {
    Signal::Candidate(CandidatePayload {
        candidate: CandidateText {
            candidate: line.into(),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: ufrag.map(Into::into),
        },
        connection_type: ConnectionType::Data,
        connection_id: ConnectionId::parse("dc_1").unwrap(),
    })
}

/// What `change` makes of an honest answer, signed by `signer`.
fn forged(
    honest: &AnswerPayload,
    signer: &SigningKey,
    change: impl FnOnce(&mut crate::wire::statement::Answer),
) -> AnswerPayload {
    let Reply::Answer(evidence) = Reply::parse(honest.peerage.as_ref().unwrap().get()).unwrap()
    else {
        unreachable!()
    };
    let Statement::Answer(mut answer) = Statement::parse(&evidence.statement).unwrap() else {
        unreachable!()
    };
    change(&mut answer);
    let fingerprint = answer.fingerprint;
    let statement = Statement::Answer(answer).emit();
    let signature = signer.sign(&statement);
    answer_payload(
        &honest.connection_id,
        fingerprint,
        Evidence {
            statement,
            signature,
            mac: None,
        },
    )
}

#[test]
fn a_called_device_that_proves_itself_opens_the_channel() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    assert_eq!(table.applied().len(), 1);
    table.handshake(DEVICE_CERTIFICATE);
    assert!(table.is_open() && table.link.is_verified());
    assert_eq!(table.link.poll_timeout(), None);
    assert_eq!(table.closed(), None);
}

#[test]
fn the_callers_addresses_are_for_nobody_but_the_verified_device() {
    let mut table = Table::with(
        Device::new(),
        Visitor::new(1),
        Secret::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
    );
    table.secret = table.device.link(7, Terms::default());
    table.feed(Input::LocalCandidate(OURS.into()));
    let proof = table.visitor.proof(&table.device, &table.secret);
    let (sent, _) = table.visitor.call(&table.device, Some(&proof), NOW);
    let sdp = format!("{}a={OURS}\r\n", sdp(table.visitor.fingerprint, "actpass"));
    table.feed(Input::LocalOffer {
        sdp,
        sent: Some(Box::new(sent)),
    });
    table.feed(Input::LocalCandidate(OURS.into()));
    assert!(
        !table.offer().sdp.sdp.contains("192.0.2.1"),
        "no candidate in the offer"
    );

    let stock = AnswerPayload {
        peerage: None,
        ..table.honest_answer()
    };
    table.answer(stock);
    assert_eq!(
        table.sent(Kind::Candidate).count(),
        0,
        "none to who has not proven anything"
    );

    let mut table = Table::calling();
    table.feed(Input::LocalCandidate(OURS.into()));
    let answer = table.honest_answer();
    table.answer(answer);
    table.feed(Input::LocalCandidate(OURS.into()));
    assert_eq!(
        table.sent(Kind::Candidate).count(),
        2,
        "the one held back, and the later one"
    );
}

#[test]
fn the_applied_description_is_written_anew_with_the_stated_fingerprint() {
    let mut table = Table::calling();
    let mut answer = table.honest_answer();
    answer
        .sdp
        .as_mut()
        .unwrap()
        .sdp
        .push_str("a=x-evil:1\r\na=identity:AAAA\r\n");
    table.answer(answer);
    let applied = table.applied()[0];
    assert!(applied.contains(&format!("a=fingerprint:sha-256 {DEVICE_CERTIFICATE}\r\n")));
    assert!(
        !applied.contains("evil") && !applied.contains("identity") && !applied.contains("extmap")
    );
}

#[test]
fn false_answers_do_not_end_the_attempt() {
    let mut table = Table::calling();
    let thief = key(66);
    let evil = Fingerprint::new([0xee; 32]);
    let honest = table.honest_answer();
    let mut swapped = honest.clone();
    swapped.sdp.as_mut().unwrap().sdp = sdp(evil, "active");
    let false_answers = [
        swapped,
        AnswerPayload {
            peerage: None,
            ..honest.clone()
        },
        AnswerPayload {
            sdp: None,
            ..honest.clone()
        },
        AnswerPayload {
            connection_id: ConnectionId::parse("dc_2").unwrap(),
            ..honest.clone()
        },
        AnswerPayload {
            connection_type: ConnectionType::Media,
            ..honest.clone()
        },
        forged(&honest, &thief, |answer| {
            answer.key = *thief.public_key().as_bytes()
        }),
        forged(&honest, &thief, |_| {}),
        forged(&honest, &key(100), |answer| answer.reply.0[0] ^= 1),
        forged(&honest, &key(100), |answer| {
            answer.to = PeerId::parse("another").unwrap()
        }),
    ];

    let count = false_answers.len();
    for answer in false_answers {
        table.answer(answer);
    }
    assert_eq!(
        (table.disbelieved(), table.applied().len(), table.closed()),
        (count, 0, None)
    );
    table.answer(honest);
    table.handshake(DEVICE_CERTIFICATE);
    assert!(table.is_open());
}

#[test]
fn an_answer_to_an_earlier_offer_is_not_taken_for_this_one() {
    let mut earlier = Table::calling();
    let old = earlier.honest_answer();
    let mut table = Table::with(earlier.device, earlier.visitor, earlier.secret);
    table.describe(at(1), None);
    let connection = table.offer().connection_id;
    table.answer(AnswerPayload {
        connection_id: connection.clone(),
        ..old.clone()
    });
    // The same by a server that has the device's key hold the connection's name, and nothing else.
    table.answer(forged(
        &AnswerPayload {
            connection_id: connection.clone(),
            ..old
        },
        &key(100),
        |answer| answer.connection = connection.clone(),
    ));
    table.advance(15);
    assert_eq!(
        (table.disbelieved(), table.closed()),
        (2, Some(CloseReason::WrongDevice(FalseAnswer::Replayed)))
    );
}

#[test]
fn who_answers_under_the_devices_id_without_its_key_is_named_as_the_reason() {
    let mut table = Table::calling();
    let thief = key(66);
    let honest = table.honest_answer();
    let answer = forged(&honest, &thief, |answer| {
        answer.key = *thief.public_key().as_bytes()
    });
    table.answer(answer);
    table.advance(14);
    assert_eq!(table.closed(), None);
    table.advance(15);
    assert_eq!(
        table.closed(),
        Some(CloseReason::WrongDevice(FalseAnswer::WrongKey))
    );
}

#[test]
fn no_answer_within_15_seconds_ends_the_call() {
    let mut table = Table::calling();
    assert_eq!(
        table.link.poll_timeout(),
        Some(table.start + Duration::from_secs(15))
    );
    table.advance(15);
    assert_eq!(table.closed(), Some(CloseReason::NoAnswer));
    assert_eq!(table.link.poll_timeout(), None);
}

#[test]
fn an_engine_that_never_describes_ends_in_time() {
    let mut device = Device::new();
    let secret = device.link(7, Terms::default());
    let mut table = Table::with(device, Visitor::new(1), secret);
    table.advance(15);
    assert_eq!(table.closed(), Some(CloseReason::NoAnswer));
}

#[test]
fn an_answered_call_that_does_not_connect_within_30_seconds_has_no_route() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    assert_eq!(
        table.link.poll_timeout(),
        Some(table.start + Duration::from_secs(30))
    );
    table.advance(29);
    assert_eq!(table.closed(), None);
    table.advance(30);
    assert_eq!(table.closed(), Some(CloseReason::NoRoute));
}

#[test]
fn expire_means_that_the_peer_is_not_there() {
    let mut table = Table::calling();
    table.feed(Input::Received(Signal::Expire));
    assert_eq!(table.closed(), Some(CloseReason::PeerUnavailable));
}

#[test]
fn a_late_expire_changes_nothing() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    table.feed(Input::Received(Signal::Expire));
    assert_eq!(table.closed(), None);
}

#[test]
fn a_refusal_ends_the_call_with_its_code() {
    let mut table = Table::calling();
    let refusal = Reply::Refusal {
        code: Code::Denied,
        evidence: None,
    };
    let answer = AnswerPayload {
        sdp: None,
        peerage: Some(refusal.emit()),
        ..table.honest_answer()
    };
    table.answer(answer);
    assert_eq!(table.closed(), Some(CloseReason::Refused(Code::Denied)));
}

#[test]
fn a_caller_with_a_wrong_clock_is_in_at_the_second_try() {
    let mut device = Device::new();
    let secret = device.link(7, Terms::default());
    let mut table = Table::with(device, Visitor::new(1), secret);
    table.describe(Time(0), None);
    let refused = table
        .device
        .receive(&table.visitor.id, &table.offer(), NOW)
        .unwrap_err();
    table.answer(refused.reply.unwrap());
    let Some(CloseReason::TryAgain(nonce)) = table.closed() else {
        panic!("no second try: {:?}", table.closed())
    };

    let mut second = Table::with(table.device, table.visitor, table.secret);
    second.describe(Time(0), Some(nonce));
    let answer = second.honest_answer();
    second.answer(answer);
    second.handshake(DEVICE_CERTIFICATE);
    assert!(second.is_open());
}

#[test]
fn a_stale_second_try_is_the_last() {
    let mut device = Device::new();
    let secret = device.link(7, Terms::default());
    let mut table = Table::with(device, Visitor::new(1), secret);
    table.describe(NOW, Some(Nonce([1; 16])));
    let refused = table
        .device
        .receive(&table.visitor.id, &table.offer(), NOW)
        .unwrap_err();
    table.answer(refused.reply.unwrap());
    assert_eq!(table.closed(), Some(CloseReason::Refused(Code::Stale)));
}

#[test]
fn another_certificate_in_the_handshake_closes_the_link_before_anything_is_said() {
    for stock in [false, true] {
        let mut table = if stock {
            Table::stock()
        } else {
            Table::calling()
        };
        let answer = if stock {
            stock_answer()
        } else {
            table.honest_answer()
        };
        table.answer(answer);
        table.handshake(Fingerprint::new([0xee; 32]));
        assert_eq!(
            (table.is_open(), table.closed()),
            (false, Some(CloseReason::WrongCertificate))
        );
    }
}

#[test]
fn a_channel_is_not_open_before_its_certificate_was_compared() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    table.feed(Input::ChannelOpened);
    assert!(!table.is_open());
    table.feed(Input::RemoteCertificate(DEVICE_CERTIFICATE));
    assert!(table.is_open());
}

#[test]
fn candidates_wait_for_the_answer_and_are_bounded() {
    let mut table = Table::calling();
    for _ in 0..100 {
        table.feed(Input::Received(candidate(THEIRS, Some("hrFr"))));
    }
    assert_eq!(table.added(), 0);
    let answer = table.honest_answer();
    table.answer(answer);
    assert_eq!(table.added(), MAX_CANDIDATES);
    let apply = table
        .done
        .iter()
        .position(|output| matches!(output, Output::ApplyRemote { .. }));
    let first = table
        .done
        .iter()
        .position(|output| matches!(output, Output::AddCandidate(_)));
    assert!(apply < first);
    table.feed(Input::Received(candidate(THEIRS, Some("hrFr"))));
    assert_eq!(table.added(), MAX_CANDIDATES);
}

#[test]
fn candidates_of_another_generation_and_malformed_ones_are_dropped() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    for (line, ufrag) in [
        (THEIRS, Some("else")),
        ("", None),
        ("candidate:nonsense", None),
        (THEIRS, Some("hr\r\nFr")),
    ] {
        table.feed(Input::Received(candidate(line, ufrag)));
    }
    assert_eq!(table.added(), 0);
    table.feed(Input::Received(candidate(THEIRS, None)));
    assert_eq!(table.added(), 1);
}

#[test]
fn the_server_cannot_cut_a_verified_link_that_stands() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.answer(answer);
    table.handshake(DEVICE_CERTIFICATE);
    table.feed(Input::Received(Signal::Leave));
    table.feed(Input::Received(Signal::Expire));
    assert_eq!(table.closed(), None);
    table.feed(Input::EngineClosed);
    assert_eq!(table.closed(), Some(CloseReason::Engine));
}

#[test]
fn a_peer_that_leaves_ends_a_call_and_a_stock_link() {
    let mut table = Table::calling();
    table.feed(Input::Received(Signal::Leave));
    assert_eq!(table.closed(), Some(CloseReason::PeerLeft));

    let mut table = Table::stock();
    table.answer(stock_answer());
    table.handshake(DEVICE_CERTIFICATE);
    table.feed(Input::Received(Signal::Leave));
    assert_eq!(
        (table.is_open(), table.closed()),
        (true, Some(CloseReason::PeerLeft))
    );
}

#[test]
fn a_stock_call_trickles_at_once_and_believes_the_server() {
    let mut table = Table::stock();
    table.feed(Input::LocalCandidate(OURS.into()));
    assert_eq!(table.sent(Kind::Candidate).count(), 1);
    assert!(table.offer().peerage.is_none());
    table.answer(stock_answer());
    table.handshake(DEVICE_CERTIFICATE);
    assert!(table.is_open() && !table.link.is_verified());
}

#[test]
fn a_stock_call_takes_the_three_fingerprints_of_aiortc_but_not_two_of_one_kind() {
    let three = |second: &str| {
        let mut answer = stock_answer();
        let sdp = &mut answer.sdp.as_mut().unwrap().sdp;
        sdp.push_str(&format!("a=fingerprint:{second}\r\n"));
        answer
    };
    let mut table = Table::stock();
    table.answer(three("sha-384 00:11"));
    assert_eq!(table.applied().len(), 1);
    assert!(!table.applied()[0].contains("sha-384"));
    let mut table = Table::stock();
    table.answer(three(&format!("sha-256 {}", Fingerprint::new([1; 32]))));
    assert_eq!(
        table.closed(),
        Some(CloseReason::Description(SdpError::Contradiction(
            "fingerprint"
        )))
    );
}

#[test]
fn a_device_can_refuse_a_stock_call() {
    let mut table = Table::stock();
    let refused = table
        .device
        .receive(&table.visitor.id, &table.offer(), NOW)
        .unwrap_err();
    table.answer(refused.reply.unwrap());
    assert_eq!(table.closed(), Some(CloseReason::Refused(Code::Denied)));
}

#[test]
fn a_device_answers_and_connects_to_whom_it_let_in() {
    let mut table = Table::calling();
    let offer = table.offer();
    let granted = table
        .device
        .receive(&table.visitor.id, &offer, NOW)
        .unwrap();
    let mut callee = Link::accept(
        table.visitor.id.clone(),
        offer.connection_id,
        &granted,
        Config::default(),
        table.start,
    );
    let outputs =
        |callee: &mut Link| std::iter::from_fn(|| callee.poll_output()).collect::<Vec<_>>();
    assert!(matches!(
        &outputs(&mut callee)[..],
        [Output::ApplyRemote { .. }]
    ));
    callee.handle_input(Input::LocalCandidate(OURS.into()), table.now);
    callee.handle_input(Input::Received(candidate(THEIRS, None)), table.now);
    assert!(outputs(&mut callee).is_empty(), "nothing before the answer");

    let evidence =
        table
            .device
            .gate
            .answer(&granted, DEVICE_CERTIFICATE, NOW, &mut table.device.rng);
    callee.handle_input(
        Input::LocalAnswer {
            sdp: sdp(DEVICE_CERTIFICATE, "passive"),
            evidence,
        },
        table.now,
    );
    let done = outputs(&mut callee);
    let [
        Output::Send(answer),
        Output::Send(candidate),
        Output::AddCandidate(_),
    ] = &done[..]
    else {
        panic!("{done:?}")
    };
    assert_eq!(
        (answer.kind, candidate.kind),
        (Kind::Answer, Kind::Candidate)
    );

    let Some((_, signal)) = Signal::parse(answer) else {
        panic!("the answer reads back")
    };
    table.feed(Input::Received(signal));
    table.handshake(DEVICE_CERTIFICATE);
    callee.handle_input(
        Input::RemoteCertificate(table.visitor.fingerprint),
        table.now,
    );
    callee.handle_input(Input::ChannelOpened, table.now);
    assert!(table.is_open() && matches!(&outputs(&mut callee)[..], [Output::Opened]));
}

#[test]
fn a_callee_that_is_not_reached_ends_in_30_seconds() {
    let mut table = Table::calling();
    let offer = table.offer();
    let granted = table
        .device
        .receive(&table.visitor.id, &offer, NOW)
        .unwrap();
    let mut callee = Link::accept(
        table.visitor.id.clone(),
        offer.connection_id,
        &granted,
        Config::default(),
        table.start,
    );
    assert_eq!(
        callee.poll_timeout(),
        Some(table.start + Duration::from_secs(30))
    );
    callee.handle_timeout(table.start + Duration::from_secs(30));
    assert!(matches!(
        callee.poll_output(),
        Some(Output::ApplyRemote { .. })
    ));
    assert!(matches!(
        callee.poll_output(),
        Some(Output::Closed(CloseReason::NoRoute))
    ));
}

#[test]
fn nothing_happens_after_the_end() {
    let mut table = Table::calling();
    let answer = table.honest_answer();
    table.feed(Input::EngineClosed);
    let before = table.done.len();
    table.answer(answer);
    table.feed(Input::LocalCandidate(OURS.into()));
    table.handshake(DEVICE_CERTIFICATE);
    table.advance(60);
    assert_eq!(table.done.len(), before);
}

fn stock_answer() -> AnswerPayload {
    AnswerPayload {
        sdp: Some(Description::answer(sdp(DEVICE_CERTIFICATE, "active"))),
        connection_type: ConnectionType::Data,
        connection_id: ConnectionId::parse("dc_1").unwrap(),
        generation: None,
        peerage: None,
    }
}

fn any_input() -> impl Strategy<Value = u8> {
    0u8..12
}

proptest! {
    #[test]
    fn no_order_of_inputs_panics_opens_unproven_or_ends_twice(steps in proptest::collection::vec((any_input(), ".{0,40}"), 0..40)) {
        let mut table = Table::calling();
        let honest = table.honest_answer();
        let mut answered = false;
        let mut certified = false;
        for (index, (step, noise)) in steps.into_iter().enumerate() {
            match step {
                0 => { table.answer(honest.clone()); answered = true; }
                1 => table.answer(stock_answer()),
                2 => { let mut garbled = honest.clone(); garbled.sdp = Some(Description::answer(noise)); table.answer(garbled); }
                3 => table.feed(Input::Received(candidate(THEIRS, None))),
                4 => table.feed(Input::Received(candidate(&noise, Some(&noise)))),
                5 => table.feed(Input::LocalCandidate(if index % 2 == 0 { OURS.into() } else { noise })),
                6 => { table.feed(Input::RemoteCertificate(DEVICE_CERTIFICATE)); certified |= answered; }
                7 => table.feed(Input::ChannelOpened),
                8 => table.feed(Input::LocalOffer { sdp: noise, sent: None }),
                9 => table.feed(Input::LocalAnswer { sdp: noise, evidence: None }),
                10 => table.advance(index as u64),
                _ => table.feed(Input::Received(Signal::Expire)),
            }
            prop_assert!(!table.is_open() || (answered && certified));
            prop_assert!(answered || table.sent(Kind::Candidate).count() == 0);
            prop_assert!(answered || table.applied().is_empty());
        }
        prop_assert!(table.done.iter().filter(|output| matches!(output, Output::Closed(_))).count() <= 1);
        table.advance(60);
        prop_assert!(table.is_open() || table.closed().is_some());
    }
}
