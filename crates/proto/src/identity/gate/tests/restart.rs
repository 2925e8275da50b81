//! Restarts of connections that the gate let in: `docs/protocol/restart.md` sections 4 and 5.

use super::*;
use crate::identity::caller::SentOffer;
use crate::wire::signal::Description;

/// A visitor who is in, and what it said.
struct Visit {
    device: Device,
    visitor: Visitor,
    secret: Secret,
    sent: SentOffer,
    offer: OfferPayload,
}

impl Visit {
    fn new() -> Self {
        let (mut device, mut visitor) = (Device::new(), Visitor::new(1));
        let secret = device.link(7, Terms::default());
        let proof = visitor.proof(&device, &secret);
        let (sent, offer) = visitor.call(&device, Some(&proof), NOW);
        device.receive(&visitor.id, &offer, NOW).unwrap();
        device.events();
        Self {
            device,
            visitor,
            secret,
            sent,
            offer,
        }
    }

    fn restart(&mut self, generation: u32, now: Time) -> OfferPayload {
        self.restart_by(
            &self.sent.clone(),
            &self.visitor.key.clone(),
            generation,
            now,
        )
    }

    fn restart_by(
        &mut self,
        first: &SentOffer,
        key: &SigningKey,
        generation: u32,
        now: Time,
    ) -> OfferPayload {
        let text = sdp(first.statement().fingerprint, "actpass").replace("hrFr", "anew");
        let sent = first.restart(key, generation, None, &text, now, &mut self.device.rng);
        let sent = sent.unwrap();
        OfferPayload {
            sdp: Description::offer(DataDescription::parse(&text).unwrap().to_text()),
            generation: Some(generation),
            connection_id: sent.statement().connection.clone(),
            peerage: Some(sent.evidence().emit()),
            ..self.offer.clone()
        }
    }

    fn receive(&mut self, offer: &OfferPayload, now: Time) -> Result<Granted, Refused> {
        self.device.receive(&self.visitor.id, offer, now)
    }
}

#[test]
fn who_is_in_may_restart_and_counts_once() {
    let mut visit = Visit::new();
    for generation in 1..4 {
        let offer = visit.restart(generation, NOW);
        let granted = visit.receive(&offer, NOW).unwrap();
        assert_eq!(granted.generation, Some(generation));
        let key = visit.visitor.key.public_key().clone();
        assert_eq!(granted.caller, Caller::Verified(key));
        assert_eq!(granted.description.ice_ufrag(), "anew");
    }
    assert_eq!(
        (visit.device.gate.live(), visit.device.events().len()),
        (1, 0)
    );
}

#[test]
fn a_restart_of_what_is_not_there_is_gone_and_said_so_under_the_key() {
    let mut visit = Visit::new();
    let name = visit.offer.connection_id.clone();
    let offer = visit.restart(1, NOW);
    visit.device.gate.closed(&visit.visitor.id, &name);
    let refused = visit.receive(&offer, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Gone);
    let reply = refused.reply.unwrap();
    assert_eq!((reply.generation, reply.sdp.is_some()), (Some(1), false));
    let member = Reply::parse(reply.peerage.unwrap().get()).unwrap();
    let Reply::Refusal {
        code: Code::Gone,
        evidence: Some(evidence),
    } = member
    else {
        panic!("{member:?}")
    };
    let Ok(Statement::Refusal(refusal)) = Statement::parse(&evidence.statement) else {
        panic!("no refusal")
    };
    assert_eq!(refusal.code, "gone");
    let signature = &evidence.signature;
    let key = key(100);
    assert!(
        key.public_key()
            .verify(&evidence.statement, signature)
            .is_ok()
    );
    assert_eq!(visit.device.gate.live(), 0, "it lets nobody in");
}

#[test]
fn nobody_restarts_or_takes_over_anothers_connection() {
    let mut visit = Visit::new();
    let mut thief = Visitor::new(2);
    let proof = thief.proof(&visit.device, &visit.secret);
    let (_, own) = thief.call(&visit.device, Some(&proof), NOW);
    visit.device.receive(&thief.id, &own, NOW).unwrap();
    // The server says that it has the visitor's id, and it names the visitor's connection.
    let mut same = Visitor::new(2);
    same.id = visit.visitor.id.clone();
    let (first, again) = same.call(&visit.device, None, NOW);
    assert_eq!(again.connection_id, visit.offer.connection_id);
    let refused = visit.receive(&again, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Busy);
    let offer = visit.restart_by(&first, &same.key, 1, NOW);
    let refused = visit.receive(&offer, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Gone);

    let offer = visit.restart(1, NOW);
    assert!(
        visit.receive(&offer, NOW).is_ok(),
        "it is the visitor's still"
    );
    assert_eq!(visit.device.gate.live(), 2);
}

#[test]
fn a_restart_keeps_its_certificate_even_if_its_statement_names_another() {
    let mut visit = Visit::new();
    let mut other = Visitor::new(1);
    other.fingerprint = Fingerprint::new([0xaa; 32]);
    let (first, _) = other.call(&visit.device, None, NOW);
    let offer = visit.restart_by(&first, &other.key, 1, NOW);
    assert_eq!(denied(visit.receive(&offer, NOW)), Reason::Fingerprint);
}

#[test]
fn a_restart_is_let_in_as_it_was_said_and_no_other_way() {
    type Change = fn(&mut OfferPayload);
    let change: [(&str, Change, Reason); 5] = [
        (
            "another generation",
            |offer| offer.generation = Some(2),
            Reason::Mismatch("generation"),
        ),
        (
            "no generation",
            |offer| offer.generation = None,
            Reason::Mismatch("generation"),
        ),
        (
            "another description",
            |offer| offer.sdp.sdp = offer.sdp.sdp.replace("anew", "evil"),
            Reason::Altered,
        ),
        (
            "no statement",
            |offer| offer.peerage = None,
            Reason::Unverified,
        ),
        (
            "another label",
            |offer| offer.label = None,
            Reason::Mismatch("label"),
        ),
    ];
    for (what, change, reason) in change {
        let mut visit = Visit::new();
        let mut offer = visit.restart(1, NOW);
        change(&mut offer);
        let refused = visit.receive(&offer, NOW).unwrap_err();
        assert_eq!(refused.reason, reason, "{what}");
        assert_eq!(visit.device.gate.live(), 1, "{what}");
        let next = visit.restart(2, NOW);
        assert!(visit.receive(&next, NOW).is_ok(), "{what}");
    }
    let mut visit = Visit::new();
    let (_, mut first) = visit.visitor.call(&visit.device, None, NOW);
    first.generation = Some(1);
    let refused = visit.receive(&first, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Mismatch("generation"));
}

#[test]
fn a_restart_is_let_in_once_and_while_the_key_may_be_here() {
    let mut visit = Visit::new();
    let offer = visit.restart(1, NOW);
    visit.receive(&offer, NOW).unwrap();
    let refused = visit.receive(&offer, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Stale(StaleReason::Repeated));
    let late = visit.restart(2, Time(0));
    let refused = visit.receive(&late, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Stale(StaleReason::Old));
    assert!(
        nonce(refused) != Nonce([0; 16]),
        "each generation is answered"
    );
    visit.device.gate.revoke(visit.secret.kid(), NOW);
    let offer = visit.restart(3, NOW);
    assert_eq!(denied(visit.receive(&offer, NOW)), Reason::UnknownKey);
}

#[test]
fn a_stock_restart_is_for_a_stock_connection_that_is_there() {
    let config = Config {
        unverified: Unverified::Label {
            label: "chat".into(),
            connections: 1,
        },
        ..Config::default()
    };
    let mut device = Device::with(State::default(), config, NOW);
    let mut visitor = Visitor::new(1);
    let (_, mut offer) = visitor.call(&device, None, NOW);
    offer.peerage = None;
    offer.label = Some("chat".into());
    let restart = |generation: u32, fingerprint| OfferPayload {
        generation: Some(generation),
        sdp: Description::offer(sdp(fingerprint, "actpass")),
        ..offer.clone()
    };
    let mut receive = |offer: &OfferPayload| device.receive(&visitor.id, offer, NOW);
    let refused = receive(&restart(1, visitor.fingerprint)).unwrap_err();
    assert_eq!(refused.reason, Reason::Gone);
    let reply = refused.reply.unwrap().peerage.unwrap();
    let gone = Reply::Refusal {
        code: Code::Gone,
        evidence: None,
    };
    assert_eq!(Reply::parse(reply.get()), Ok(gone));

    receive(&offer).unwrap();
    let granted = receive(&restart(2, visitor.fingerprint)).unwrap();
    assert_eq!(
        (granted.caller, granted.generation),
        (Caller::Unverified, Some(2))
    );
    let other = receive(&restart(3, Fingerprint::new([0xaa; 32]))).unwrap_err();
    assert_eq!(other.reason, Reason::Fingerprint);
    assert!(receive(&restart(4, visitor.fingerprint)).is_ok());
    assert_eq!(device.gate.live(), 1);
}

#[test]
fn a_stock_restart_is_not_for_a_verified_connection() {
    let mut visit = Visit::new();
    visit.device.gate.config.unverified = Unverified::Any;
    let offer = OfferPayload {
        generation: Some(1),
        peerage: None,
        label: Some("chat".into()),
        ..visit.offer.clone()
    };
    let refused = visit.receive(&offer, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Gone);
    let offer = visit.restart(1, NOW);
    assert!(visit.receive(&offer, NOW).is_ok());
}
