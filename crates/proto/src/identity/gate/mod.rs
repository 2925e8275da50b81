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
    statement::{Answer, DescriptionHash, KeyBytes, Offer, Refusal, Statement},
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
    live: BTreeMap<ConnectionKey, Live>,
    events: VecDeque<Event>,
}

/// A connection that was let in.
#[derive(Debug)]
struct Live {
    caller: Caller,
    /// Of the caller's certificate: it stays for as long as the connection.
    fingerprint: Fingerprint,
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
    /// The offer's generation: `None` of who cannot restart ICE, 0 of who can, more in a restart of a connection that is live.
    pub generation: Option<u32>,
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
    /// The description of a restart is not the stated one: somebody on the way changed it.
    #[error("the description was altered on its way")]
    Altered,
    /// The link has been used by as many keys as it allows, or remembers [`MAX_GRANTS`].
    #[error("link {0} takes no further keys")]
    LinkFull(Kid),
    /// [`Config::connections`] live already, or one of this name is another caller's.
    #[error("no room for another connection")]
    Busy,
    /// It restarts a connection that this caller does not have here.
    #[error("it restarts a connection that is not there")]
    Gone,
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
    /// One whose [`Granted::generation`] is 1 or more is a restart (`docs/protocol/restart.md`): it is the live connection's of this name, and changes
    /// nothing here; nor does one that is refused.
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
                let reply = self.refusals.allow(incoming, now);
                return Err(refused(incoming, reason, reply));
            }
        };
        let decision = match proven.offer.restart {
            None => self.admit(incoming, &proven, now),
            Some(_) => self.resume(incoming, &proven, now),
        };
        match decision {
            Ok(description) => {
                let Proven { offer, hash, key } = proven;
                let caller = Caller::Verified(key);
                self.live.insert(
                    connection_key(incoming),
                    Live {
                        caller: caller.clone(),
                        fingerprint: description.fingerprint(),
                    },
                );
                Ok(Granted {
                    caller,
                    description,
                    generation: incoming.payload.generation,
                    offer: Some((offer, hash)),
                })
            }
            Err(reason) => {
                let reply = self.proven_refusals.allow(incoming, now);
                match reason {
                    Reason::Stale(_) | Reason::Gone if reply => {
                        Err(self.signed_refusal(incoming, &proven, reason, now, rng))
                    }
                    _ => Err(refused(incoming, reason, reply)),
                }
            }
        }
    }

    /// What the ANSWER to a granted offer carries as `peerage`: the device's statement about `local`, the certificate of this connection. Nothing
    /// for an unverified caller. Restarts have [`answer_restart`](Self::answer_restart).
    pub fn answer<R: CryptoRng + ?Sized>(
        &self,
        granted: &Granted,
        local: Fingerprint,
        now: Time,
        rng: &mut R,
    ) -> Option<Evidence> {
        self.answer_with(granted, local, None, now, rng)
    }

    /// What the ANSWER to a granted restart carries as `peerage`: the device's statement about the engine's description. Nothing for an
    /// unverified caller.
    ///
    /// # Errors
    /// The description cannot be used.
    pub fn answer_restart<R: CryptoRng + ?Sized>(
        &self,
        granted: &Granted,
        sdp: &str,
        now: Time,
        rng: &mut R,
    ) -> Result<Option<Evidence>, SdpError> {
        let local = DataDescription::parse(sdp)?;
        let description = DescriptionHash::of(&local.to_text());
        Ok(self.answer_with(granted, local.fingerprint(), Some(description), now, rng))
    }

    fn answer_with<R: CryptoRng + ?Sized>(
        &self,
        granted: &Granted,
        local: Fingerprint,
        description: Option<DescriptionHash>,
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
            description,
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
        let generation = offer.restart.map_or(0, |restart| restart.generation);
        if payload.generation.unwrap_or(0) != generation {
            return Err(Reason::Mismatch("generation"));
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
        let room = match self.live.get(&connection_key(incoming)) {
            Some(live) => live.caller.is(&proven.key),
            None => self.live.len() < self.config.connections,
        };
        if !room {
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

    /// A restart comes from who has the connection, with the certificate that it has, and as it was said.
    fn resume(
        &mut self,
        incoming: &IncomingOffer<'_>,
        proven: &Proven,
        now: Time,
    ) -> Result<DataDescription, Reason> {
        let fingerprint = self
            .live
            .get(&connection_key(incoming))
            .filter(|live| live.caller.is(&proven.key))
            .map(|live| live.fingerprint)
            .ok_or(Reason::Gone)?;
        self.freshness
            .accept(&proven.offer, proven.hash, now)
            .map_err(Reason::Stale)?;
        let sdp = offer_sdp(incoming.payload)?;
        let description = DataDescription::parse(sdp)?;
        if description.fingerprint() != fingerprint || proven.offer.fingerprint != fingerprint {
            return Err(Reason::Fingerprint);
        }
        let stated = proven.offer.restart.map(|restart| restart.description);
        if stated != Some(DescriptionHash::of(sdp)) {
            return Err(Reason::Altered);
        }
        Ok(description)
    }

    /// Asks a proven caller to try again with a nonce of ours in place of the time, or tells it that its connection is gone.
    fn signed_refusal<R: CryptoRng + ?Sized>(
        &mut self,
        incoming: &IncomingOffer<'_>,
        proven: &Proven,
        reason: Reason,
        now: Time,
        rng: &mut R,
    ) -> Refused {
        let nonce = Nonce::generate(rng);
        let code = reason.code();
        if code == Code::Stale {
            self.freshness
                .remember_challenge(nonce, proven.offer.key, now);
        }
        let refusal = Statement::Refusal(Refusal {
            key: *self.key.public_key().as_bytes(),
            from: self.device.as_peer_id().clone(),
            to: proven.offer.from.clone(),
            connection: proven.offer.connection.clone(),
            code: code.as_str().to_owned(),
            time: now,
            nonce,
            reply: proven.hash,
        });
        let reply = Reply::Refusal {
            code,
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
        let decision = match incoming.payload.generation {
            None | Some(0) => self.admit_unverified(incoming),
            Some(_) => self.resume_unverified(incoming),
        };
        match decision {
            Ok(description) => {
                self.live.insert(
                    connection_key(incoming),
                    Live {
                        caller: Caller::Unverified,
                        fingerprint: description.fingerprint(),
                    },
                );
                Ok(Granted {
                    caller: Caller::Unverified,
                    description,
                    generation: incoming.payload.generation,
                    offer: None,
                })
            }
            Err(reason) => {
                let reply = self.refusals.allow(incoming, now);
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

    /// The server's word that it is the same caller is what such a connection has always had; the certificate is not for it to change.
    fn resume_unverified(&self, incoming: &IncomingOffer<'_>) -> Result<DataDescription, Reason> {
        let live = match self.live.get(&connection_key(incoming)) {
            Some(live) if live.caller == Caller::Unverified => live,
            _ if self.config.unverified == Unverified::Refused => return Err(Reason::Unverified),
            _ => return Err(Reason::Gone),
        };
        if incoming.payload.connection_type != ConnectionType::Data {
            return Err(Reason::Mismatch("type"));
        }
        let description = DataDescription::parse_stock(offer_sdp(incoming.payload)?)?;
        if description.fingerprint() != live.fingerprint {
            return Err(Reason::Fingerprint);
        }
        Ok(description)
    }

    fn unverified_live(&self) -> usize {
        let unverified = |live: &&Live| live.caller == Caller::Unverified;
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
            .filter(|(_, live)| ended(&live.caller))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ended {
            self.live.remove(&key);
            self.events.push_back(Event::End(key));
        }
    }
}

impl Caller {
    fn is(&self, key: &PublicKey) -> bool {
        matches!(self, Self::Verified(known) if known == key)
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
            Self::Gone => Code::Gone,
            Self::Unverified
            | Self::UnknownLink(_)
            | Self::WrongMac(_)
            | Self::UnknownKey
            | Self::Signature
            | Self::Fingerprint
            | Self::Altered
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
        // Says which of several restarts is refused; a first offer's refusal is as it has always been.
        generation: incoming
            .payload
            .generation
            .filter(|&generation| generation > 0),
        peerage: Some(reply.emit()),
    }
}

fn connection_key(incoming: &IncomingOffer<'_>) -> ConnectionKey {
    (incoming.src.clone(), incoming.payload.connection_id.clone())
}
