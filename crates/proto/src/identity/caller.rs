//! The caller's side: makes the statement of an offer, and tells a true answer from a false one.

use rand_core::CryptoRng;

use super::{
    Code, DeviceId, Evidence, Fingerprint, LinkProof, Nonce, PublicKey, Reply, SigningKey,
    StatementHash, Time,
};
use crate::wire::{
    id::{ConnectionId, PeerId},
    sdp::{DataDescription, SdpError, Setup},
    signal::{AnswerPayload, ConnectionType},
    statement::{DescriptionHash, MAX_TEXT, Offer, Restart, Statement},
};

/// What an offer is about.
#[derive(Debug, Clone)]
pub struct Call {
    /// The device that is called.
    pub device: DeviceId,
    /// The caller's id at the server.
    pub from: PeerId,
    /// The connection; a second try has another.
    pub connection: ConnectionId,
    /// Label of the data channel.
    pub label: String,
    /// Hash of the caller's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// On a second try: the nonce that the device asked for.
    pub retry: Option<Nonce>,
}

/// An offer's statement cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the label of a verified connection has 1 to {MAX_TEXT} bytes, not {0}")]
pub struct LabelError(usize);

/// An offer that was made, and what is known of its answer.
#[derive(Debug, Clone)]
pub struct SentOffer {
    offer: Offer,
    device: DeviceId,
    hash: StatementHash,
    evidence: Evidence,
}

/// What a device says to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It accepts: its description, with the stated fingerprint.
    Accepted(DataDescription),
    /// It refuses. Only `stale` is signed, and `gone` where a restart is refused: any other code may be the server's, which could as well have
    /// dropped the offer.
    Refused(Code),
    /// It knows the caller, but not that the offer is new: one more try with this nonce and another connection id.
    TryAgain(Nonce),
}

/// An answer that does not come from the called device, or not to this offer. It does not end the attempt: the true one may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FalseAnswer {
    /// From another id.
    #[error("the answer is from another id")]
    Sender,
    /// It carries no statement, or a malformed one.
    #[error("the answer carries no statement")]
    Unsigned,
    /// Its key belongs to another id: somebody else answers under the called one.
    #[error("somebody else answers under this id")]
    WrongKey,
    /// Its statement is for something else.
    #[error("the answer's statement is for another `{0}`")]
    Mismatch(&'static str),
    /// It answers another offer, an earlier one perhaps.
    #[error("the answer is for another offer")]
    Replayed,
    /// Its signature is false.
    #[error("the answer's signature is false")]
    Signature,
    /// Its description cannot be used.
    #[error("{0}")]
    Description(#[from] SdpError),
    /// Its description's fingerprint is not the stated one, or a restart's not the connection's.
    #[error("the answer was altered on its way: its fingerprint is not the stated one")]
    Fingerprint,
    /// Its description, a restart's, is not the stated one.
    #[error("the answer was altered on its way: its description is not the stated one")]
    Altered,
}

impl SentOffer {
    /// Makes and signs the statement of an offer; `proof` is the link's on a first visit, and left out on later ones.
    ///
    /// # Errors
    /// The label is empty or longer than a statement can carry.
    pub fn new<R: CryptoRng + ?Sized>(
        key: &SigningKey,
        call: Call,
        proof: Option<&LinkProof>,
        now: Time,
        rng: &mut R,
    ) -> Result<Self, LabelError> {
        if !(1..=MAX_TEXT).contains(&call.label.len()) {
            return Err(LabelError(call.label.len()));
        }
        let offer = Offer {
            key: *key.public_key().as_bytes(),
            fingerprint: call.fingerprint,
            from: call.from,
            to: call.device.as_peer_id().clone(),
            connection: call.connection,
            label: call.label,
            kid: proof.map(|proof| proof.kid),
            time: now,
            nonce: Nonce::generate(rng),
            reply: call.retry,
            restart: None,
        };
        Ok(Self::sign(key, offer, call.device, proof))
    }

    /// Makes and signs the statement of a restart of this offer's connection, about the engine's description of it. `retry` is the nonce of a
    /// device that found the restart before this one not fresh. No proof comes along: the device remembers the key.
    ///
    /// # Errors
    /// The description cannot be used, or has another certificate than the first one.
    pub fn restart<R: CryptoRng + ?Sized>(
        &self,
        key: &SigningKey,
        generation: u32,
        retry: Option<Nonce>,
        sdp: &str,
        now: Time,
        rng: &mut R,
    ) -> Result<Self, SdpError> {
        let description = DataDescription::parse(sdp)?;
        if description.fingerprint() != self.offer.fingerprint {
            return Err(SdpError::Contradiction("fingerprint"));
        }
        let offer = Offer {
            kid: None,
            time: now,
            nonce: Nonce::generate(rng),
            reply: retry,
            restart: Some(Restart {
                generation,
                description: DescriptionHash::of(&description.to_text()),
            }),
            ..self.offer.clone()
        };
        Ok(Self::sign(key, offer, self.device.clone(), None))
    }

    fn sign(key: &SigningKey, offer: Offer, device: DeviceId, proof: Option<&LinkProof>) -> Self {
        let statement = Statement::Offer(offer.clone()).emit();
        let hash = StatementHash::of(&statement);
        let signature = key.sign(&statement);
        let mac = proof.map(|proof| proof.mac_key.mac(&statement));
        Self {
            offer,
            device,
            hash,
            evidence: Evidence {
                statement,
                signature,
                mac,
            },
        }
    }

    /// What the OFFER carries as `peerage`.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// What was stated.
    pub fn statement(&self) -> &Offer {
        &self.offer
    }

    /// Judges an ANSWER that came from `src`, as the server says.
    ///
    /// # Errors
    /// It is false: nothing of it may be used, and the true one is to be waited for.
    pub fn verify(&self, src: &PeerId, answer: &AnswerPayload) -> Result<Verdict, FalseAnswer> {
        if src != self.device.as_peer_id() {
            return Err(FalseAnswer::Sender);
        }
        if answer.connection_id != self.offer.connection {
            return Err(FalseAnswer::Mismatch("connection"));
        }
        if answer.connection_type != ConnectionType::Data {
            return Err(FalseAnswer::Mismatch("type"));
        }
        let member = answer.peerage.as_ref().ok_or(FalseAnswer::Unsigned)?;
        match Reply::parse(member.get()).map_err(|_| FalseAnswer::Unsigned)? {
            Reply::Answer(evidence) => self.accepted(&evidence, answer),
            Reply::Refusal {
                code: Code::Stale,
                evidence,
            } => {
                let evidence = evidence.ok_or(FalseAnswer::Unsigned)?;
                let nonce = self.refused(Code::Stale, &evidence)?;
                // A second try is the last one.
                Ok(if self.offer.reply.is_some() {
                    Verdict::Refused(Code::Stale)
                } else {
                    Verdict::TryAgain(nonce)
                })
            }
            // It would end a connection that stands.
            Reply::Refusal {
                code: Code::Gone,
                evidence,
            } if self.offer.restart.is_some() => {
                self.refused(Code::Gone, &evidence.ok_or(FalseAnswer::Unsigned)?)?;
                Ok(Verdict::Refused(Code::Gone))
            }
            Reply::Refusal { code, .. } => Ok(Verdict::Refused(code)),
        }
    }

    fn accepted(
        &self,
        evidence: &Evidence,
        payload: &AnswerPayload,
    ) -> Result<Verdict, FalseAnswer> {
        let Ok(Statement::Answer(answer)) = Statement::parse(&evidence.statement) else {
            return Err(FalseAnswer::Unsigned);
        };
        let key = self.device_key(&answer.key)?;
        self.is_about_this_call(&answer.from, &answer.to, &answer.connection)?;
        if answer.label != self.offer.label {
            return Err(FalseAnswer::Mismatch("label"));
        }
        if answer.kid != self.offer.kid {
            return Err(FalseAnswer::Mismatch("kid"));
        }
        self.signed_reply(&key, answer.reply, evidence)?;
        let sdp = payload
            .sdp
            .as_ref()
            .filter(|sdp| sdp.kind == "answer")
            .ok_or(FalseAnswer::Mismatch("sdp"))?;
        let description = DataDescription::parse(&sdp.sdp)?;
        if description.fingerprint() != answer.fingerprint {
            return Err(FalseAnswer::Fingerprint);
        }
        let stated = self.offer.restart.map(|_| DescriptionHash::of(&sdp.sdp));
        if answer.description != stated {
            return Err(FalseAnswer::Altered);
        }
        if description.setup() == Setup::ActPass {
            return Err(FalseAnswer::Description(SdpError::Value("setup")));
        }
        Ok(Verdict::Accepted(description))
    }

    /// The nonce of a signed refusal of this offer.
    fn refused(&self, code: Code, evidence: &Evidence) -> Result<Nonce, FalseAnswer> {
        let Ok(Statement::Refusal(refusal)) = Statement::parse(&evidence.statement) else {
            return Err(FalseAnswer::Unsigned);
        };
        let key = self.device_key(&refusal.key)?;
        self.is_about_this_call(&refusal.from, &refusal.to, &refusal.connection)?;
        if refusal.code != code.as_str() {
            return Err(FalseAnswer::Mismatch("code"));
        }
        self.signed_reply(&key, refusal.reply, evidence)?;
        Ok(refusal.nonce)
    }

    fn device_key(&self, bytes: &[u8]) -> Result<PublicKey, FalseAnswer> {
        let key = PublicKey::parse(bytes).map_err(|_| FalseAnswer::WrongKey)?;
        if key.device_id() == self.device {
            Ok(key)
        } else {
            Err(FalseAnswer::WrongKey)
        }
    }

    fn is_about_this_call(
        &self,
        from: &PeerId,
        to: &PeerId,
        connection: &ConnectionId,
    ) -> Result<(), FalseAnswer> {
        if *from != self.offer.to {
            return Err(FalseAnswer::Mismatch("from"));
        }
        if *to != self.offer.from {
            return Err(FalseAnswer::Mismatch("to"));
        }
        if *connection != self.offer.connection {
            return Err(FalseAnswer::Mismatch("connection"));
        }
        Ok(())
    }

    fn signed_reply(
        &self,
        key: &PublicKey,
        reply: StatementHash,
        evidence: &Evidence,
    ) -> Result<(), FalseAnswer> {
        if reply != self.hash {
            return Err(FalseAnswer::Replayed);
        }
        key.verify(&evidence.statement, &evidence.signature)
            .map_err(|_| FalseAnswer::Signature)
    }
}
