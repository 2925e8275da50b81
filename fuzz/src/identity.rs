//! A device's gate and a caller's judgement, before an attacker who has seen honest traffic and may change any bit of it.

use std::sync::LazyLock;

use peerage_proto::identity::caller::{Call, SentOffer, Verdict};
use peerage_proto::identity::gate::{Config, Gate, IncomingOffer, State, Terms};
use peerage_proto::identity::{Evidence, Fingerprint, Reply, Secret, SigningKey, Time};
use peerage_proto::wire::id::{ConnectionId, PeerId};
use peerage_proto::wire::signal::{AnswerPayload, ConnectionType, Description, OfferPayload};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;

use crate::script::Script;

pub(crate) const NOW: Time = Time(1_800_000_000_000);
pub(crate) const CALLER_CERTIFICATE: Fingerprint = Fingerprint::new([0xca; 32]);
pub(crate) const DEVICE_CERTIFICATE: Fingerprint = Fingerprint::new([0xd0; 32]);

/// One honest call: what the attacker saw.
pub(crate) struct Honest {
    pub(crate) device: SigningKey,
    pub(crate) secret: Secret,
    /// The caller's.
    pub(crate) key: SigningKey,
    pub(crate) caller: PeerId,
    pub(crate) sent: SentOffer,
    pub(crate) offer: OfferPayload,
    pub(crate) answer: AnswerPayload,
}

pub(crate) static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(1);
    let device = SigningKey::generate(&mut rng);
    let secret = Secret::generate(&mut rng);
    let caller = PeerId::parse("caller").expect("a peer id");
    let call = Call {
        device: device.device_id(),
        from: caller.clone(),
        connection: ConnectionId::parse("dc_1").expect("a connection id"),
        label: "peerage-http".into(),
        fingerprint: CALLER_CERTIFICATE,
        retry: None,
    };
    let proof = secret.proof(&device.device_id());
    let key = SigningKey::generate(&mut rng);
    let sent = SentOffer::new(&key, call, Some(&proof), NOW, &mut rng).expect("an offer");
    let offer = OfferPayload {
        sdp: Description::offer(sdp(CALLER_CERTIFICATE, "actpass")),
        connection_type: ConnectionType::Data,
        connection_id: sent.statement().connection.clone(),
        metadata: None,
        label: Some("peerage-http".into()),
        reliable: Some(true),
        serialization: Some("raw".into()),
        generation: None,
        peerage: Some(sent.evidence().emit()),
    };
    let mut gate = gate(&device, &secret);
    let granted = gate
        .verify_offer(
            &IncomingOffer {
                src: &caller,
                payload: &offer,
            },
            NOW,
            &mut rng,
        )
        .expect("an honest offer is let in");
    let evidence = gate
        .answer(&granted, DEVICE_CERTIFICATE, NOW, &mut rng)
        .expect("a verified caller is answered under the key");
    let answer = AnswerPayload {
        sdp: Some(Description::answer(sdp(DEVICE_CERTIFICATE, "active"))),
        connection_type: ConnectionType::Data,
        connection_id: offer.connection_id.clone(),
        generation: None,
        peerage: Some(Reply::Answer(evidence).emit()),
    };
    Honest {
        device,
        secret,
        key,
        caller,
        sent,
        offer,
        answer,
    }
});

pub(crate) fn gate(device: &SigningKey, secret: &Secret) -> Gate {
    let mut gate = Gate::new(
        device.clone(),
        State::default(),
        Config::default(),
        Time(NOW.0 - 3_600_000),
    );
    gate.add_link(secret.clone(), Terms::default(), NOW)
        .expect("room for a link");
    gate
}

pub(crate) fn sdp(fingerprint: Fingerprint, setup: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:hrFr\r\na=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
}

/// What an attacker makes of honest evidence: bits of the statement, the signature and the MAC changed, the MAC left out.
fn tampered(script: &mut Script<'_>, honest: &Evidence) -> Evidence {
    let mut evidence = honest.clone();
    for _ in 0..script.u8() % 4 {
        let (part, at, by) = (script.u8(), usize::from(script.u16()), script.u8());
        match (part % 4, &mut evidence.mac) {
            (0 | 1, _) => {
                let at = at % evidence.statement.len();
                evidence.statement[at] ^= by;
            }
            (2, _) => evidence.signature[at % 64] ^= by,
            (_, Some(mac)) => mac[at % 32] ^= by,
            _ => {}
        }
    }
    if script.u8() == 255 {
        evidence.mac = None;
    }
    evidence
}

/// An offer, changed anywhere. One whose evidence is not the honest one is refused without a description; one that is let in has the stated fingerprint.
pub fn gate_offer(octets: &[u8]) {
    let honest = &*HONEST;
    let mut script = Script(octets);
    let mut payload = honest.offer.clone();
    let mut evidence = Some(honest.sent.evidence().clone());
    match script.u8() % 4 {
        0 => evidence = Some(tampered(&mut script, honest.sent.evidence())),
        1 => payload.sdp.sdp = script.text().to_owned(),
        2 => {
            let at = usize::from(script.u16()) % payload.sdp.sdp.len();
            payload.sdp.sdp.insert_str(at, script.text());
        }
        _ => {
            let Ok(raw) =
                serde_json::from_str::<Box<RawValue>>(str::from_utf8(script.0).unwrap_or_default())
            else {
                return;
            };
            let Ok(read) = OfferPayload::parse(&raw) else {
                return;
            };
            payload = read;
            evidence = None;
        }
    }
    if let Some(evidence) = &evidence {
        payload.peerage = Some(evidence.emit());
    }
    let mut gate = gate(&honest.device, &honest.secret);
    let incoming = IncomingOffer {
        src: &honest.caller,
        payload: &payload,
    };
    match gate.verify_offer(&incoming, NOW, &mut StdRng::seed_from_u64(2)) {
        Ok(granted) => {
            assert!(
                evidence.is_none_or(|evidence| evidence == *honest.sent.evidence()),
                "only what the caller signed is let in"
            );
            assert_eq!(granted.description.fingerprint(), CALLER_CERTIFICATE);
        }
        Err(refused) => assert!(
            refused.reply.is_none_or(|reply| reply.sdp.is_none()),
            "a refusal says nothing of where the device is"
        ),
    }
}

/// An answer, changed anywhere. Only the device's own words are believed.
pub fn caller_answer(octets: &[u8]) {
    let honest = &*HONEST;
    let mut script = Script(octets);
    let answer = false_answer(&mut script);
    let Some(answer) = answer else { return };
    let device = honest.device.device_id();
    if let Ok(Verdict::Accepted(description)) = honest.sent.verify(device.as_peer_id(), &answer) {
        assert_eq!(description.fingerprint(), DEVICE_CERTIFICATE);
    }
}

/// An answer that the device did not give, or the honest one with another description.
pub(crate) fn false_answer(script: &mut Script<'_>) -> Option<AnswerPayload> {
    let mut answer = HONEST.answer.clone();
    match script.u8() % 4 {
        0 => {
            let Ok(Reply::Answer(honest)) = Reply::parse(answer.peerage.as_ref()?.get()) else {
                return None;
            };
            answer.peerage = Some(Reply::Answer(tampered(script, &honest)).emit());
        }
        1 => answer.sdp = Some(Description::answer(script.text().to_owned())),
        2 => {
            let sdp = answer.sdp.as_mut()?;
            let at = usize::from(script.u16()) % sdp.sdp.len();
            sdp.sdp.insert_str(at, script.text());
        }
        _ => {
            let raw: Box<RawValue> = serde_json::from_str(script.text()).ok()?;
            answer = AnswerPayload::parse(&raw).ok()?;
        }
    }
    Some(answer)
}
