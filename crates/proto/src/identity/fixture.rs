//! A device and its visitors, for tests here and in `link`.

#![allow(clippy::unwrap_used)]

use rand::{SeedableRng, rngs::StdRng};

use super::{
    Evidence, Fingerprint, LinkProof, Nonce, Secret, SigningKey, Time,
    caller::{Call, SentOffer},
    gate::{Config, Event, Gate, Granted, IncomingOffer, Refused, State, Terms},
};
use crate::wire::{
    id::{ConnectionId, PeerId},
    signal::{AnswerPayload, ConnectionType, Description, OfferPayload},
};

pub(crate) const NOW: Time = Time(1_800_000_000_000);
pub(crate) const MINUTE: u64 = 60_000;

/// The certificate that a device of this fixture uses.
pub(crate) const DEVICE_CERTIFICATE: Fingerprint = Fingerprint::new([0xd0; 32]);

pub(crate) fn at(milliseconds: u64) -> Time {
    Time(NOW.0 + milliseconds)
}

pub(crate) fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&mut StdRng::seed_from_u64(seed))
}

pub(crate) fn secret(seed: u64) -> Secret {
    Secret::generate(&mut StdRng::seed_from_u64(seed))
}

/// A description as Chromium writes it.
pub(crate) fn sdp(fingerprint: Fingerprint, setup: &str) -> String {
    format!(
        "v=0\r\no=- 2157023314015382834 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:hrFr\r\n\
         a=ice-pwd:8dTjCsK9bsEODckLB3kRIAS6\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\n\
         a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
}

pub(crate) struct Device {
    pub(crate) gate: Gate,
    pub(crate) rng: StdRng,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self::with(
            State::default(),
            Config::default(),
            Time(NOW.0 - 60 * MINUTE),
        )
    }

    pub(crate) fn with(state: State, config: Config, started: Time) -> Self {
        Self {
            gate: Gate::new(key(100), state, config, started),
            rng: StdRng::seed_from_u64(200),
        }
    }

    /// Makes a link and gives away its secret.
    pub(crate) fn link(&mut self, seed: u64, terms: Terms) -> Secret {
        self.gate.add_link(secret(seed), terms, NOW).unwrap();
        self.events();
        secret(seed)
    }

    pub(crate) fn receive(
        &mut self,
        src: &PeerId,
        payload: &OfferPayload,
        now: Time,
    ) -> Result<Granted, Refused> {
        self.gate
            .verify_offer(&IncomingOffer { src, payload }, now, &mut self.rng)
    }

    /// The ANSWER that follows a grant.
    pub(crate) fn answer(
        &mut self,
        granted: &Granted,
        connection: &ConnectionId,
        now: Time,
    ) -> AnswerPayload {
        let evidence = self
            .gate
            .answer(granted, DEVICE_CERTIFICATE, now, &mut self.rng)
            .unwrap();
        answer_payload(connection, DEVICE_CERTIFICATE, evidence)
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.gate.poll_event()).collect()
    }
}

pub(crate) fn answer_payload(
    connection: &ConnectionId,
    fingerprint: Fingerprint,
    evidence: Evidence,
) -> AnswerPayload {
    AnswerPayload {
        sdp: Some(Description::answer(sdp(fingerprint, "active"))),
        connection_type: ConnectionType::Data,
        connection_id: connection.clone(),
        generation: None,
        peerage: Some(super::Reply::Answer(evidence).emit()),
    }
}

pub(crate) struct Visitor {
    pub(crate) key: SigningKey,
    pub(crate) id: PeerId,
    pub(crate) fingerprint: Fingerprint,
    rng: StdRng,
    calls: u32,
}

impl Visitor {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            key: key(seed),
            id: PeerId::parse(&format!("visitor-{seed}")).unwrap(),
            fingerprint: Fingerprint::new([seed as u8; 32]),
            rng: StdRng::seed_from_u64(seed),
            calls: 0,
        }
    }

    /// What the next call will be named.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId::parse(&format!("dc_{}", self.calls + 1)).unwrap()
    }

    pub(crate) fn proof(&self, device: &Device, secret: &Secret) -> LinkProof {
        secret.proof(device.gate.device())
    }

    /// Calls a device, each time under a new connection id.
    pub(crate) fn call(
        &mut self,
        device: &Device,
        proof: Option<&LinkProof>,
        now: Time,
    ) -> (SentOffer, OfferPayload) {
        self.call_with(device, proof, now, None)
    }

    pub(crate) fn call_with(
        &mut self,
        device: &Device,
        proof: Option<&LinkProof>,
        now: Time,
        retry: Option<Nonce>,
    ) -> (SentOffer, OfferPayload) {
        let connection = self.next_connection();
        self.calls += 1;
        let call = Call {
            device: device.gate.device().clone(),
            from: self.id.clone(),
            connection,
            label: "peerage-http".into(),
            fingerprint: self.fingerprint,
            retry,
        };
        let sent = SentOffer::new(&self.key, call, proof, now, &mut self.rng).unwrap();
        let payload = OfferPayload {
            sdp: Description::offer(sdp(self.fingerprint, "actpass")),
            connection_type: ConnectionType::Data,
            connection_id: sent.statement().connection.clone(),
            metadata: None,
            label: Some("peerage-http".into()),
            reliable: Some(true),
            serialization: Some("raw".into()),
            generation: None,
            peerage: Some(sent.evidence().emit()),
        };
        (sent, payload)
    }

    /// An offer whose statement was changed by `change` and signed and proven again.
    pub(crate) fn forge(
        &mut self,
        device: &Device,
        proof: Option<&LinkProof>,
        now: Time,
        change: impl FnOnce(&mut crate::wire::statement::Offer),
    ) -> OfferPayload {
        let (sent, mut payload) = self.call(device, proof, now);
        let mut offer = sent.statement().clone();
        change(&mut offer);
        let statement = crate::wire::statement::Statement::Offer(offer).emit();
        let signature = self.key.sign(&statement);
        let mac = proof.map(|proof| proof.mac_key.mac(&statement));
        payload.peerage = Some(
            Evidence {
                statement,
                signature,
                mac,
            }
            .emit(),
        );
        payload
    }
}
