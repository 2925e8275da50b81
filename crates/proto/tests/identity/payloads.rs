//! Whole payloads as device, caller and server judge them.

use super::statements::fields_of;
use super::{
    CALLER, NOW, SECRET, answer_to, caller, caller_certificate, connection, device,
    device_certificate, hex, nonce, offer, proof, refusal_of, register, rng, secret, thief,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use peerage_proto::{
    identity::{
        Code, Evidence, Fingerprint, Kid, Reply, SigningKey, Time,
        caller::{Call, SentOffer, Verdict},
        gate::{Config, Gate, IncomingOffer, State, Terms},
        registration,
    },
    wire::{
        id::{ConnectionId, PeerId, Token},
        sdp::DataDescription,
        signal::{AnswerPayload, ConnectionType, Description, OfferPayload},
        statement::{Answer, Offer, Refusal, Register, Statement},
    },
};
use serde_json::{Value, json};

fn offer_payload(evidence: Option<&Evidence>) -> OfferPayload {
    OfferPayload {
        sdp: Description::offer(sdp(caller_certificate(), "actpass", "hrFr")),
        connection_type: ConnectionType::Data,
        connection_id: connection(),
        metadata: None,
        label: Some("peerage-http".into()),
        reliable: Some(true),
        serialization: Some("raw".into()),
        generation: None,
        peerage: evidence.map(Evidence::emit),
    }
}

/// Offers to the device, which has one link, with the vectors' secret, made at `NOW`, and has not seen the caller.
pub(super) fn offers() -> Value {
    let honest = signed(&Statement::Offer(offer()), &caller(), true);
    let say = |change: &dyn Fn(&mut Offer)| {
        let mut offer = offer();
        change(&mut offer);
        signed(&Statement::Offer(offer), &caller(), true)
    };
    let evil = Fingerprint::of_certificate(b"the server's certificate");
    let mut swapped = offer_payload(Some(&honest));
    swapped.sdp = Description::offer(sdp(evil, "actpass", "hrFr"));
    let mut second_line = offer_payload(Some(&honest));
    second_line
        .sdp
        .sdp
        .push_str(&format!("a=fingerprint:sha-256 {evil}\r\n"));
    let mut relabelled = offer_payload(Some(&honest));
    relabelled.label = Some("chat".into());
    let mut wrong_mac = honest.clone();
    wrong_mac.mac = Some([0; 32]);
    let no_mac = signed(
        &Statement::Offer(Offer {
            kid: None,
            ..offer()
        }),
        &caller(),
        false,
    );
    let stolen = Evidence {
        signature: thief().sign(&honest.statement),
        ..honest.clone()
    };
    let answer = signed(&Statement::Answer(answer_to(&offer())), &device(), false);
    let cases = [
        ("a first visit", CALLER, offer_payload(Some(&honest)), None),
        (
            "no statement",
            CALLER,
            offer_payload(None),
            Some(Code::Denied),
        ),
        (
            "no proof, unknown key",
            CALLER,
            offer_payload(Some(&no_mac)),
            Some(Code::Denied),
        ),
        (
            "wrong MAC",
            CALLER,
            offer_payload(Some(&wrong_mac)),
            Some(Code::Denied),
        ),
        (
            "unknown kid",
            CALLER,
            offer_payload(Some(&say(&|o| o.kid = Some(Kid::new([0; 8]))))),
            Some(Code::Denied),
        ),
        (
            "MAC without kid",
            CALLER,
            offer_payload(Some(&say(&|o| o.kid = None))),
            Some(Code::Malformed),
        ),
        (
            "somebody else's signature",
            CALLER,
            offer_payload(Some(&stolen)),
            Some(Code::Denied),
        ),
        (
            "another src",
            "mallory",
            offer_payload(Some(&honest)),
            Some(Code::Malformed),
        ),
        (
            "another device",
            CALLER,
            offer_payload(Some(&say(&|o| o.to = thief().device_id().into()))),
            Some(Code::Malformed),
        ),
        ("another label", CALLER, relabelled, Some(Code::Malformed)),
        (
            "an answer's statement",
            CALLER,
            offer_payload(Some(&answer)),
            Some(Code::Malformed),
        ),
        (
            "fingerprint swapped in the SDP",
            CALLER,
            swapped,
            Some(Code::Denied),
        ),
        (
            "second fingerprint in the SDP",
            CALLER,
            second_line,
            Some(Code::Denied),
        ),
        (
            "5 minutes and 1 ms old",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 - 300_001)))),
            Some(Code::Stale),
        ),
        (
            "5 minutes and 1 ms early",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 + 300_001)))),
            Some(Code::Stale),
        ),
        (
            "5 minutes old",
            CALLER,
            offer_payload(Some(&say(&|o| o.time = Time(NOW.0 - 300_000)))),
            None,
        ),
        (
            "a nonce that was not given out",
            CALLER,
            offer_payload(Some(&say(&|o| o.reply = Some(nonce(9))))),
            Some(Code::Stale),
        ),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(name, src, payload, code)| {
            let mut gate = Gate::new(device(), State::default(), Config::default(), Time(NOW.0 - 3_600_000));
            gate.add_link(secret(), Terms::default(), NOW).unwrap();
            let incoming = IncomingOffer { src: &PeerId::parse(src).unwrap(), payload: &payload };
            let expect = match gate.verify_offer(&incoming, NOW, &mut rng()) {
                Ok(_) => {
                    assert_eq!(code, None, "{name}");
                    json!({ "granted": true })
                }
                Err(refused) => {
                    let reply = refused.reply.unwrap();
                    let Reply::Refusal { code: given, .. } = Reply::parse(reply.peerage.as_ref().unwrap().get()).unwrap() else {
                        panic!("{name}: not a refusal");
                    };
                    assert_eq!(Some(given), code, "{name}");
                    json!({ "granted": false, "code": given.as_str(), "reason": refused.reason.to_string(), "answerPayload": reply })
                }
            };
            json!({ "name": name, "src": src, "payload": payload, "expect": expect })
        })
        .collect();
    json!({
        "about": "OFFER payloads as the device judges them: it has one link, with this secret, has seen nobody, and its clock says `now`",
        "secret": SECRET, "device": device().device_id(), "now": NOW, "cases": cases,
    })
}

/// Answers to the caller, who sent the first statement of the file.
pub(super) fn answers() -> Value {
    let call = Call {
        device: device().device_id(),
        from: PeerId::parse(CALLER).unwrap(),
        connection: connection(),
        label: "peerage-http".into(),
        fingerprint: caller_certificate(),
        retry: None,
    };
    let sent = SentOffer::new(&caller(), call, Some(&proof()), NOW, &mut rng()).unwrap();
    let stated = sent.statement().clone();
    let payload = |reply: &Reply, fingerprint: Fingerprint| AnswerPayload {
        sdp: matches!(reply, Reply::Answer(_))
            .then(|| Description::answer(sdp(fingerprint, "passive", "Og8G"))),
        connection_type: ConnectionType::Data,
        connection_id: connection(),
        generation: None,
        peerage: Some(reply.emit()),
    };
    let say = |change: &dyn Fn(&mut Answer)| {
        let mut answer = answer_to(&stated);
        change(&mut answer);
        let evidence = signed(&Statement::Answer(answer), &device(), false);
        payload(&Reply::Answer(evidence), device_certificate())
    };
    let honest = say(&|_| {});
    let (device_id, evil) = (
        device().device_id().to_string(),
        Fingerprint::of_certificate(b"the server's certificate"),
    );
    let by_thief = |key: &SigningKey| {
        let answer = Answer {
            key: *key.public_key().as_bytes(),
            ..answer_to(&stated)
        };
        payload(
            &Reply::Answer(signed(&Statement::Answer(answer), &thief(), false)),
            device_certificate(),
        )
    };
    let refuse = |code, evidence| payload(&Reply::Refusal { code, evidence }, device_certificate());
    let challenge = signed(&Statement::Refusal(refusal_of(&stated)), &device(), false);
    let other_code = Refusal {
        code: Code::Denied.as_str().into(),
        ..refusal_of(&stated)
    };
    let other_code = signed(&Statement::Refusal(other_code), &device(), false);
    let false_challenge = signed(&Statement::Refusal(refusal_of(&stated)), &thief(), false);
    let with_sdp = |change: &dyn Fn(String) -> String| {
        let mut payload = honest.clone();
        payload.sdp = payload.sdp.map(|sdp| Description::answer(change(sdp.sdp)));
        payload
    };
    let line = |fingerprint: Fingerprint| format!("a=fingerprint:sha-256 {fingerprint}\r\n");
    let mut stock = honest.clone();
    stock.peerage = None;
    let mut offer_kind = honest.clone();
    offer_kind.sdp.as_mut().unwrap().kind = "offer".into();
    let earlier = Offer {
        nonce: nonce(0x77),
        ..stated.clone()
    };
    let cases = [
        (
            "the device's answer",
            device_id.as_str(),
            honest.clone(),
            "accepted",
        ),
        ("from another id", "mallory", honest.clone(), "false"),
        ("no statement", &device_id, stock, "false"),
        (
            "another key, its own signature",
            &device_id,
            by_thief(&thief()),
            "false",
        ),
        (
            "the device's key, another signature",
            &device_id,
            by_thief(&device()),
            "false",
        ),
        (
            "an answer to an earlier offer",
            &device_id,
            say(&|a| a.reply = answer_to(&earlier).reply),
            "false",
        ),
        (
            "to another caller",
            &device_id,
            say(&|a| a.to = PeerId::parse("mallory").unwrap()),
            "false",
        ),
        (
            "in another's name",
            &device_id,
            say(&|a| a.from = PeerId::parse("mallory").unwrap()),
            "false",
        ),
        (
            "for another connection",
            &device_id,
            say(&|a| a.connection = ConnectionId::parse("dc_other").unwrap()),
            "false",
        ),
        (
            "for another label",
            &device_id,
            say(&|a| a.label = "chat".into()),
            "false",
        ),
        (
            "without the kid",
            &device_id,
            say(&|a| a.kid = None),
            "false",
        ),
        (
            "fingerprint swapped on all lines",
            &device_id,
            with_sdp(&|sdp| sdp.replace(&line(device_certificate()), &line(evil))),
            "false",
        ),
        (
            "second fingerprint",
            &device_id,
            with_sdp(&|sdp| sdp + &line(evil)),
            "false",
        ),
        (
            "another hash beside",
            &device_id,
            with_sdp(&|sdp| {
                sdp + "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\r\n"
            }),
            "false",
        ),
        (
            "session against media level",
            &device_id,
            with_sdp(&|sdp| sdp.replace("t=0 0\r\n", &format!("t=0 0\r\n{}", line(evil)))),
            "false",
        ),
        (
            "another fingerprint stated than written",
            &device_id,
            say(&|a| a.fingerprint = evil),
            "false",
        ),
        (
            "set-up role left open",
            &device_id,
            with_sdp(&|sdp| sdp.replace("a=setup:passive", "a=setup:actpass")),
            "false",
        ),
        (
            "a description of type offer",
            &device_id,
            offer_kind,
            "false",
        ),
        ("denied", &device_id, refuse(Code::Denied, None), "refused"),
        ("busy", &device_id, refuse(Code::Busy, None), "refused"),
        (
            "malformed",
            &device_id,
            refuse(Code::Malformed, None),
            "refused",
        ),
        (
            "denied, from another id",
            "mallory",
            refuse(Code::Denied, None),
            "false",
        ),
        (
            "stale, signed",
            &device_id,
            refuse(Code::Stale, Some(challenge)),
            "tryAgain",
        ),
        (
            "stale, unsigned",
            &device_id,
            refuse(Code::Stale, None),
            "false",
        ),
        (
            "stale, but another code is signed",
            &device_id,
            refuse(Code::Stale, Some(other_code)),
            "false",
        ),
        (
            "stale, signed by somebody else",
            &device_id,
            refuse(Code::Stale, Some(false_challenge)),
            "false",
        ),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(name, src, payload, outcome)| {
            let expect = match sent.verify(&PeerId::parse(src).unwrap(), &payload) {
                Ok(Verdict::Accepted(description)) => {
                    assert_eq!(outcome, "accepted", "{name}");
                    let sdp = description.emit(description.fingerprint(), description.setup());
                    assert_eq!(
                        DataDescription::parse(&sdp).map(|d| d.fingerprint()),
                        Ok(device_certificate())
                    );
                    json!({ "outcome": outcome, "remoteSdp": sdp })
                }
                Ok(Verdict::Refused(code)) => {
                    assert_eq!(outcome, "refused", "{name}");
                    json!({ "outcome": outcome, "code": code.as_str() })
                }
                Ok(Verdict::TryAgain(nonce)) => {
                    assert_eq!(outcome, "tryAgain", "{name}");
                    json!({ "outcome": outcome, "nonceHex": hex(nonce.0) })
                }
                Err(error) => {
                    assert_eq!(outcome, "false", "{name}: {error}");
                    json!({ "outcome": outcome, "error": error.to_string() })
                }
            };
            json!({ "name": name, "src": src, "payload": payload, "expect": expect })
        })
        .collect();
    let (_, fields) = fields_of(&Statement::Offer(stated));
    json!({
        "about": "ANSWER payloads as the caller judges them, who sent the statement `sent`. `false` is ignored: the caller waits on; the others end the wait",
        "device": device().device_id(),
        "sent": { "fields": fields, "statementBase64": STANDARD.encode(&sent.evidence().statement), "offerPayload": offer_payload(Some(sent.evidence())) },
        "cases": cases,
    })
}

pub(super) fn registrations() -> Value {
    let token = Token::parse("4nnba2z6mav").unwrap();
    let id = PeerId::from(device().device_id());
    let honest = registration::prove(&device(), "example.org", &token, NOW);
    let url = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let claim = |key: &SigningKey, signer: &SigningKey| {
        let statement = Statement::Register(Register {
            key: *key.public_key().as_bytes(),
            ..register()
        })
        .emit();
        format!("{}.{}", url(&statement), url(&signer.sign(&statement)))
    };
    let cases: Vec<_> = [
        ("the key's owner", honest.clone(), id.clone(), token.clone(), NOW, true),
        ("5 minutes later", honest.clone(), id.clone(), token.clone(), Time(NOW.0 + 300_000), true),
        ("5 minutes and 1 ms later", honest.clone(), id.clone(), token.clone(), Time(NOW.0 + 300_001), false),
        ("5 minutes and 1 ms early", honest.clone(), id.clone(), token.clone(), Time(NOW.0 - 300_001), false),
        ("for another token", honest.clone(), id.clone(), Token::parse("other").unwrap(), NOW, false),
        ("for another id", honest.clone(), thief().device_id().into(), token.clone(), NOW, false),
        ("for another server", registration::prove(&device(), "example.net", &token, NOW), id.clone(), token.clone(), NOW, false),
        ("another key, which claims the id", claim(&thief(), &thief()), id.clone(), token.clone(), NOW, false),
        ("another key's signature", claim(&device(), &thief()), id.clone(), token.clone(), NOW, false),
        ("no signature", honest.split('.').next().unwrap().to_owned(), id.clone(), token.clone(), NOW, false),
        ("empty", String::new(), id.clone(), token.clone(), NOW, false),
    ]
    .into_iter()
    .map(|(name, proof, id, token, now, good)| {
        let result = registration::verify(&proof, &id, &token, |host| host == "example.org", now);
        assert_eq!(result.is_ok(), good, "{name}: {result:?}");
        let error = result.err().map(|error| error.to_string());
        json!({ "name": name, "proof": proof, "id": id, "token": token.expose(), "now": now, "good": good, "error": error })
    })
    .collect();
    json!({ "about": "the `proof` parameter of a socket that asks for a key-shaped id, at the server example.org", "host": "example.org", "cases": cases })
}

fn signed(statement: &Statement, key: &SigningKey, mac: bool) -> Evidence {
    let statement = statement.emit();
    let signature = key.sign(&statement);
    let mac = mac.then(|| proof().mac_key.mac(&statement));
    Evidence {
        statement,
        signature,
        mac,
    }
}

fn sdp(fingerprint: Fingerprint, setup: &str, ufrag: &str) -> String {
    format!(
        "v=0\r\no=- 2157023314015382834 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\n\
         a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
}
