//! The device's side of access: which offers are let in, by which link, and what ends when a link does.
//!
//! Feed offers with [`Gate::verify_offer`], tell of ended connections with [`Gate::closed`], drain [`Gate::poll_event`] to `None` after every
//! call, and call [`Gate::handle_timeout`] at [`Gate::poll_timeout`]. Time is wall-clock time, which may jump: nothing is forgotten because of it.
//! `docs/protocol/identity.md` sections 5 to 7 are the rules; the steps there are numbered as the comments here.

mod freshness;
mod refusals;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use rand_core::CryptoRng;

use super::{
    Code, DeviceId, Evidence, Fingerprint, Kid, Nonce, PublicKey, Reply, Secret, SigningKey,
    StatementHash, Time,
};
use crate::wire::{
    id::{ConnectionId, PeerId},
    sdp::{DataDescription, SdpError},
    signal::{AnswerPayload, ConnectionType, OfferPayload},
    statement::{Answer, KeyBytes, Offer, Refusal, Statement},
};

pub use freshness::StaleReason;
pub use state::{Grant, LinkRecord, MAX_GRANTS, MAX_LINKS, State, Terms};

use freshness::Freshness;
use refusals::Refusals;

/// The channel label that only verified callers reach.
pub const HTTP_LABEL: &str = "peerage-http";

/// What an owner may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which stock clients, which bring no statement, are let in; never to [`HTTP_LABEL`]. Default: none.
    pub unverified: Unverified,
    /// Most connections at once; further proven callers get `busy`. Default 256.
    pub connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unverified: Unverified::Refused,
            connections: 256,
        }
    }
}

/// Which callers without a statement are let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unverified {
    /// None.
    #[default]
    Refused,
    /// Those who ask for a channel with this label, and no more than so many at once: the rest is kept for proven callers.
    Label {
        /// The label.
        label: String,
        /// Most connections.
        connections: usize,
    },
    /// All.
    Any,
}

/// A device's access machine.
#[derive(Debug)]
pub struct Gate {
    key: SigningKey,
    device: DeviceId,
    config: Config,
    state: State,
    freshness: Freshness,
    /// For who has proven nothing.
    refusals: Refusals,
    /// For proven callers, apart: a flood of the others must not keep them from their second try.
    proven_refusals: Refusals,
    live: BTreeMap<ConnectionKey, Caller>,
    events: VecDeque<Event>,
}

/// Names a connection: its id is unique for one caller only.
pub type ConnectionKey = (PeerId, ConnectionId);

/// An OFFER frame.
#[derive(Debug, Clone, Copy)]
pub struct IncomingOffer<'a> {
    /// Who sent it, as the server says.
    pub src: &'a PeerId,
    /// Its payload.
    pub payload: &'a OfferPayload,
}

/// An offer was let in.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Who calls.
    pub caller: Caller,
    /// The caller's description; its fingerprint is the stated one.
    pub description: DataDescription,
    /// The offer's statement and its hash; nothing for an unverified caller. [`Gate::answer`] replies to it.
    offer: Option<(Offer, StatementHash)>,
}

/// Who is behind a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Who holds this key.
    Verified(PublicKey),
    /// Who the server says it is.
    Unverified,
}

/// An offer was not let in.
#[derive(Debug, thiserror::Error)]
#[error("offer refused: {reason}")]
pub struct Refused {
    /// Why, for the owner's log.
    pub reason: Reason,
    /// What to send back, if anything: more is not owed, and more must not be sent.
    pub reply: Option<AnswerPayload>,
}

/// Why an offer is refused. Callers are told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It carries no statement, and unverified callers are not let in.
    #[error("it carries no statement")]
    Unverified,
    /// The `peerage` member or the statement in it breaks the protocol.
    #[error("its statement is malformed")]
    Malformed,
    /// The statement says something else than the frame, or is meant for another device.
    #[error("its statement differs from the frame in `{0}`")]
    Mismatch(&'static str),
    /// No live link has this name.
    #[error("no live link is called {0}")]
    UnknownLink(Kid),
    /// The MAC is wrong: somebody knows the name of a link, but not its secret.
    #[error("wrong proof of link {0}")]
    WrongMac(Kid),
    /// No grant lives for the caller's key, and it brought no proof of a link.
    #[error("unknown key")]
    UnknownKey,
    /// The key is none, or the signature not the key's.
    #[error("false signature")]
    Signature,
    /// Proven, but not fresh.
    #[error("proven, but {0}")]
    Stale(StaleReason),
    /// The description cannot be used.
    #[error("{0}")]
    Description(#[from] SdpError),
    /// The description's fingerprint is not the stated one: somebody on the way changed it.
    #[error("the description was altered on its way: its fingerprint is not the stated one")]
    Fingerprint,
    /// The link has been used by as many keys as it allows, or remembers [`MAX_GRANTS`].
    #[error("link {0} takes no further keys")]
    LinkFull(Kid),
    /// [`Config::connections`] live already.
    #[error("no room for another connection")]
    Busy,
}

/// What the shell must do or tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// [`Gate::state`] changed: store it.
    Changed,
    /// The connection lives by no grant any more: end it at once.
    End(ConnectionKey),
    /// A proven caller with a new key was turned away because this link takes no further keys: tell the owner.
    LinkFull(Kid),
}

/// A link cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// [`MAX_LINKS`] live links.
    #[error("a device has at most {MAX_LINKS} links: revoke one first")]
    Full,
    /// The secret is another link's.
    #[error("this secret is a link's already")]
    Exists,
}

/// What a proven offer says, before its freshness and description are looked at.
struct Proven {
    offer: Offer,
    hash: StatementHash,
    key: PublicKey,
}

impl Gate {
    /// The gate of the device that has this key. Statements older than `now` count as stale: what was accepted before a restart is not known.
    pub fn new(key: SigningKey, state: State, config: Config, now: Time) -> Self {
        Self {
            device: key.device_id(),
            key,
            config,
            state,
            freshness: Freshness::new(now),
            refusals: Refusals::default(),
            proven_refusals: Refusals::default(),
            live: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// The device's id.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// What must survive a restart. Holds secrets: store it where only the owner reads.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes a link. Where there is no room, expired ones are dropped.
    ///
    /// # Errors
    /// There are [`MAX_LINKS`] live ones, or one has this secret.
    pub fn add_link(&mut self, secret: Secret, terms: Terms, now: Time) -> Result<Kid, LinkError> {
        let kid = self.state.add(secret, terms, now)?;
        self.events.push_back(Event::Changed);
        Ok(kid)
    }

    /// Ends a link with all its grants, and the connections that lived by them alone. Whether there was one.
    pub fn revoke(&mut self, kid: Kid, now: Time) -> bool {
        let revoked = self.state.remove(kid);
        if revoked {
            self.events.push_back(Event::Changed);
            self.end_ungranted(now);
        }
        revoked
    }

    /// The links by which a key may come in now: its rights are their union.
    pub fn grants_of(&self, key: &PublicKey, now: Time) -> Vec<Kid> {
        self.state
            .live_links(now)
            .filter(|link| link.remembers(key))
            .map(LinkRecord::kid)
            .collect()
    }

    /// The connection ended. To be called once for each name that was granted, when its last connection is over: not for one that another replaced.
    pub fn closed(&mut self, src: &PeerId, connection: &ConnectionId) {
        self.live.remove(&(src.clone(), connection.clone()));
    }

    /// Connections that count as live.
    #[cfg(test)]
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// Decides on an offer. A granted one counts as live from now on, in place of an earlier one of the same name, which the shell must end.
    ///
    /// # Errors
    /// The offer is refused; `reply` is all that may be sent.
    pub fn verify_offer<R: CryptoRng + ?Sized>(
        &mut self,
        incoming: &IncomingOffer<'_>,
        now: Time,
        rng: &mut R,
    ) -> Result<Granted, Refused> {
        let Some(member) = &incoming.payload.peerage else {
            return self.unverified(incoming, now);
        };
        let evidence = Evidence::parse(member.get());
        let proven = match evidence
            .map_err(|_| Reason::Malformed)
            .and_then(|e| self.prove(incoming, &e, now))
        {
            Ok(proven) => proven,
            Err(reason) => {
                let reply = self
                    .refusals
                    .allow(incoming.src, &incoming.payload.connection_id, now);
                return Err(refused(incoming, reason, reply));
            }
        };
        match self.admit(incoming, &proven, now) {
            Ok(description) => {
                let Proven { offer, hash, key } = proven;
                let caller = Caller::Verified(key);
                self.live.insert(connection_key(incoming), caller.clone());
                Ok(Granted {
                    caller,
                    description,
                    offer: Some((offer, hash)),
                })
            }
            Err(reason) => {
                let reply =
                    self.proven_refusals
                        .allow(incoming.src, &incoming.payload.connection_id, now);
                match reason {
                    Reason::Stale(_) if reply => {
                        Err(self.challenge(incoming, &proven, reason, now, rng))
                    }
                    _ => Err(refused(incoming, reason, reply)),
                }
            }
        }
    }

    /// What the ANSWER to a granted offer carries as `peerage`: the device's statement about `local`, the certificate of this connection. Nothing
    /// for an unverified caller.
    pub fn answer<R: CryptoRng + ?Sized>(
        &self,
        granted: &Granted,
        local: Fingerprint,
        now: Time,
        rng: &mut R,
    ) -> Option<Evidence> {
        let (offer, hash) = granted.offer.as_ref()?;
        let answer = Statement::Answer(Answer {
            key: *self.key.public_key().as_bytes(),
            fingerprint: local,
            from: self.device.as_peer_id().clone(),
            to: offer.from.clone(),
            connection: offer.connection.clone(),
            label: offer.label.clone(),
            kid: offer.kid,
            time: now,
            nonce: Nonce::generate(rng),
            reply: *hash,
        });
        Some(self.sign(&answer))
    }

    /// What the shell must do; to be drained to `None` after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called: the next time a link expires that live connections may hang by.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        if self.live.is_empty() {
            return None;
        }
        self.state
            .live_links(now)
            .filter_map(|link| link.terms().expires)
            .min()
    }

    /// Ends what lived by links that have expired.
    pub fn handle_timeout(&mut self, now: Time) {
        self.end_ungranted(now);
    }

    /// Steps 1 to 5: whoever passes knows a secret or holds a remembered key.
    fn prove(
        &self,
        incoming: &IncomingOffer<'_>,
        evidence: &Evidence,
        now: Time,
    ) -> Result<Proven, Reason> {
        let Ok(Statement::Offer(offer)) = Statement::parse(&evidence.statement) else {
            return Err(Reason::Malformed);
        };
        self.matches(incoming, &offer)?;
        match (&evidence.mac, offer.kid) {
            (Some(mac), Some(kid)) => {
                self.check_link(kid, &offer.key, &evidence.statement, mac, now)?
            }
            (None, None) if self.is_remembered(&offer.key, now) => {}
            (None, None) => return Err(Reason::UnknownKey),
            _ => return Err(Reason::Malformed),
        }
        let key = PublicKey::parse(&offer.key).map_err(|_| Reason::Signature)?;
        key.verify(&evidence.statement, &evidence.signature)
            .map_err(|_| Reason::Signature)?;
        Ok(Proven {
            offer,
            hash: StatementHash::of(&evidence.statement),
            key,
        })
    }

    /// Step 2.
    fn matches(&self, incoming: &IncomingOffer<'_>, offer: &Offer) -> Result<(), Reason> {
        let payload = incoming.payload;
        if payload.connection_type != ConnectionType::Data {
            return Err(Reason::Mismatch("type"));
        }
        if offer.to != *self.device.as_peer_id() {
            return Err(Reason::Mismatch("to"));
        }
        if offer.from != *incoming.src {
            return Err(Reason::Mismatch("from"));
        }
        if offer.connection != payload.connection_id {
            return Err(Reason::Mismatch("connection"));
        }
        if payload.label.as_deref() != Some(offer.label.as_str()) {
            return Err(Reason::Mismatch("label"));
        }
        Ok(())
    }

    /// Step 3. A link that is used up still proves the keys it remembers.
    fn check_link(
        &self,
        kid: Kid,
        key: &KeyBytes,
        statement: &[u8],
        mac: &[u8; 32],
        now: Time,
    ) -> Result<(), Reason> {
        let link = self
            .state
            .live_links(now)
            .find(|link| link.kid() == kid)
            .ok_or(Reason::UnknownLink(kid))?;
        if !link.secret().mac_key(&self.device).verify(statement, mac) {
            return Err(Reason::WrongMac(kid));
        }
        if link.is_used_up() && !link.remembers_bytes(key) {
            return Err(Reason::UnknownLink(kid));
        }
        Ok(())
    }

    /// Step 4.
    fn is_remembered(&self, key: &KeyBytes, now: Time) -> bool {
        self.state
            .live_links(now)
            .any(|link| link.remembers_bytes(key))
    }

    /// Steps 6 and 7, and whether there is room.
    fn admit(
        &mut self,
        incoming: &IncomingOffer<'_>,
        proven: &Proven,
        now: Time,
    ) -> Result<DataDescription, Reason> {
        self.freshness
            .accept(&proven.offer, proven.hash, now)
            .map_err(Reason::Stale)?;
        let description = DataDescription::parse(offer_sdp(incoming.payload)?)?;
        if description.fingerprint() != proven.offer.fingerprint {
            return Err(Reason::Fingerprint);
        }
        let known = self.live.contains_key(&connection_key(incoming));
        if !known && self.live.len() >= self.config.connections {
            return Err(Reason::Busy);
        }
        if let Some(kid) = proven.offer.kid {
            match self.state.remember(kid, &proven.key, now) {
                Ok(true) => self.events.push_back(Event::Changed),
                Ok(false) => {}
                Err(state::NoRoom) => {
                    self.events.push_back(Event::LinkFull(kid));
                    return Err(Reason::LinkFull(kid));
                }
            }
        }
        Ok(description)
    }

    /// Asks a proven caller to try again with a nonce of ours in place of the time.
    fn challenge<R: CryptoRng + ?Sized>(
        &mut self,
        incoming: &IncomingOffer<'_>,
        proven: &Proven,
        reason: Reason,
        now: Time,
        rng: &mut R,
    ) -> Refused {
        let nonce = Nonce::generate(rng);
        self.freshness
            .remember_challenge(nonce, proven.offer.key, now);
        let refusal = Statement::Refusal(Refusal {
            key: *self.key.public_key().as_bytes(),
            from: self.device.as_peer_id().clone(),
            to: proven.offer.from.clone(),
            connection: proven.offer.connection.clone(),
            code: Code::Stale.as_str().to_owned(),
            time: now,
            nonce,
            reply: proven.hash,
        });
        let reply = Reply::Refusal {
            code: Code::Stale,
            evidence: Some(self.sign(&refusal)),
        };
        Refused {
            reason,
            reply: Some(reply_payload(incoming, &reply)),
        }
    }

    fn sign(&self, statement: &Statement) -> Evidence {
        let statement = statement.emit();
        let signature = self.key.sign(&statement);
        Evidence {
            statement,
            signature,
            mac: None,
        }
    }

    fn unverified(&mut self, incoming: &IncomingOffer<'_>, now: Time) -> Result<Granted, Refused> {
        match self.admit_unverified(incoming) {
            Ok(description) => {
                self.live
                    .insert(connection_key(incoming), Caller::Unverified);
                Ok(Granted {
                    caller: Caller::Unverified,
                    description,
                    offer: None,
                })
            }
            Err(reason) => {
                let reply = self
                    .refusals
                    .allow(incoming.src, &incoming.payload.connection_id, now);
                Err(refused(incoming, reason, reply))
            }
        }
    }

    fn admit_unverified(&self, incoming: &IncomingOffer<'_>) -> Result<DataDescription, Reason> {
        let label = incoming.payload.label.as_deref();
        let room = match &self.config.unverified {
            _ if label == Some(HTTP_LABEL) => return Err(Reason::Unverified),
            Unverified::Label {
                label: allowed,
                connections,
            } if label == Some(allowed) => self.unverified_live() < *connections,
            Unverified::Any => true,
            Unverified::Refused | Unverified::Label { .. } => return Err(Reason::Unverified),
        };
        if incoming.payload.connection_type != ConnectionType::Data {
            return Err(Reason::Mismatch("type"));
        }
        let description = DataDescription::parse_stock(offer_sdp(incoming.payload)?)?;
        // An unproven offer must not push out a proven connection of the same name.
        if self.live.contains_key(&connection_key(incoming))
            || self.live.len() >= self.config.connections
            || !room
        {
            return Err(Reason::Busy);
        }
        Ok(description)
    }

    fn unverified_live(&self) -> usize {
        let unverified = |caller: &&Caller| **caller == Caller::Unverified;
        self.live.values().filter(unverified).count()
    }

    /// Ends the connections of verified callers who have no live grant left.
    fn end_ungranted(&mut self, now: Time) {
        let ended = |caller: &Caller| match caller {
            Caller::Verified(key) => !self.is_remembered(key.as_bytes(), now),
            Caller::Unverified => false,
        };
        let ended: Vec<_> = self
            .live
            .iter()
            .filter(|(_, caller)| ended(caller))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ended {
            self.live.remove(&key);
            self.events.push_back(Event::End(key));
        }
    }
}

impl Reason {
    /// What the caller is told. Unknown link and wrong MAC look alike, and so do unknown key and false signature.
    pub fn code(self) -> Code {
        match self {
            Self::Malformed | Self::Mismatch(_) => Code::Malformed,
            Self::Description(
                SdpError::Hash
                | SdpError::Contradiction("fingerprint")
                | SdpError::Missing("fingerprint"),
            ) => Code::Denied,
            Self::Description(_) => Code::Malformed,
            Self::Stale(_) => Code::Stale,
            Self::Busy => Code::Busy,
            Self::Unverified
            | Self::UnknownLink(_)
            | Self::WrongMac(_)
            | Self::UnknownKey
            | Self::Signature
            | Self::Fingerprint
            | Self::LinkFull(_) => Code::Denied,
        }
    }
}

fn offer_sdp(payload: &OfferPayload) -> Result<&str, Reason> {
    if payload.sdp.kind != "offer" {
        return Err(Reason::Mismatch("sdp"));
    }
    Ok(&payload.sdp.sdp)
}

fn refused(incoming: &IncomingOffer<'_>, reason: Reason, reply: bool) -> Refused {
    let answer = reply.then(|| {
        reply_payload(
            incoming,
            &Reply::Refusal {
                code: reason.code(),
                evidence: None,
            },
        )
    });
    Refused {
        reason,
        reply: answer,
    }
}

fn reply_payload(incoming: &IncomingOffer<'_>, reply: &Reply) -> AnswerPayload {
    AnswerPayload {
        sdp: None,
        connection_type: incoming.payload.connection_type,
        connection_id: incoming.payload.connection_id.clone(),
        peerage: Some(reply.emit()),
    }
}

fn connection_key(incoming: &IncomingOffer<'_>) -> ConnectionKey {
    (incoming.src.clone(), incoming.payload.connection_id.clone())
}
