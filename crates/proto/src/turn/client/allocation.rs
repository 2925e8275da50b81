//! The allocation's own life: asked for with and without signature, kept, given back.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use super::transaction::{Family, Purpose, Signature, Transaction};
use super::{AGAIN, Client, Error, Output};
use crate::turn::credentials::{Credentials, Key};
use crate::wire::stun::{self, Message};
use crate::wire::turn::attribute;

/// Longest realm and nonce, in octets (RFC 8489 sections 14.9, 14.10).
const MAX_TEXT: usize = 763;
/// Octets of a server's reason that are kept.
const MAX_REASON: usize = 128;
/// An allocation's life where the server does not say (RFC 8656 section 3.2).
const LIFETIME: Duration = Duration::from_secs(600);
/// Before its end, the allocation is asked for again; earlier where it lives for less than twice that.
const MARGIN: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    None,
    Asking,
    Allocated {
        relays: Vec<SocketAddr>,
        expires: Instant,
        /// When to ask again; none while an answer is waited for.
        refresh: Option<Instant>,
    },
    Deleting,
}

/// Who we are to the server, and what it wants said with it.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    challenge: Option<Challenge>,
}

#[derive(Debug)]
struct Challenge {
    realm: String,
    nonce: Vec<u8>,
    key: Key,
}

impl Auth {
    pub(super) const fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenge: None,
        }
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        Some(self.challenge.as_ref()?.key.as_bytes())
    }

    pub(super) fn signature(&self) -> Option<Signature<'_>> {
        let challenge = self.challenge.as_ref()?;
        Some(Signature {
            username: &self.credentials.username,
            realm: &challenge.realm,
            nonce: &challenge.nonce,
            key: challenge.key.as_bytes(),
        })
    }

    /// Takes the server's nonce, and its realm where there is one or none is known. Whether both are known now.
    fn challenged(&mut self, message: &Message<'_>) -> bool {
        let fits = |value: &&[u8]| !value.is_empty() && value.len() <= MAX_TEXT;
        let Some(nonce) = message.attribute(stun::attribute::NONCE).filter(fits) else {
            return false;
        };
        let realm = message
            .text(stun::attribute::REALM)
            .filter(|realm| !realm.is_empty() && realm.len() <= MAX_TEXT);
        match (&mut self.challenge, realm) {
            (Some(challenge), None) => challenge.nonce = nonce.to_vec(),
            (challenge, Some(realm)) => {
                *challenge = Some(Challenge {
                    realm: realm.to_owned(),
                    nonce: nonce.to_vec(),
                    key: self.credentials.key(realm),
                });
            }
            (None, None) => return false,
        }
        true
    }
}

impl<R: CryptoRng> Client<R> {
    pub(super) fn refused(
        &mut self,
        transaction: Transaction,
        message: &Message<'_>,
        (code, reason): (u16, &str),
        now: Instant,
    ) {
        let Transaction {
            purpose,
            signed,
            stale,
            ..
        } = transaction;
        let can_answer = match code {
            401 => !signed,
            438 => signed && !stale,
            _ => false,
        };
        if can_answer {
            let challenged = self
                .auth
                .as_mut()
                .is_some_and(|auth| auth.challenged(message));
            return if challenged {
                self.request_again(purpose, code == 438, now);
            } else {
                self.failed(purpose, Error::Malformed, now);
            };
        }
        match (code, &purpose) {
            (401, _) if signed => self.failed(purpose, Error::WrongCredentials, now),
            (
                440,
                Purpose::Allocate {
                    family: Family::Both,
                    cleared,
                },
            ) => {
                let purpose = Purpose::Allocate {
                    family: Family::V6,
                    cleared: *cleared,
                };
                self.request(purpose, now);
            }
            // An allocation of an earlier life on the same port: if it is ours, it can be given back.
            (437, Purpose::Allocate { cleared: false, .. }) if signed => {
                self.request(Purpose::Refresh { delete: true }, now);
            }
            _ => {
                let end = reason.floor_char_boundary(MAX_REASON);
                let reason = reason[..end].to_owned();
                self.failed(purpose, Error::Refused { code, reason }, now);
            }
        }
    }

    pub(super) fn allocated(&mut self, message: &Message<'_>, now: Instant) {
        let relays: Vec<_> = message
            .xor_addresses(attribute::XOR_RELAYED_ADDRESS)
            .flatten()
            .take(2)
            .collect();
        if relays.is_empty() {
            return self.failed(Purpose::ALLOCATE, Error::Malformed, now);
        }
        if self.phase != Phase::Asking {
            return;
        }
        self.phase = Phase::Allocated {
            relays: relays.clone(),
            expires: now,
            refresh: None,
        };
        self.lives(message, now);
        if let Some(address) = message.xor_address(stun::attribute::XOR_MAPPED_ADDRESS)
            && self.mapping.wanted
        {
            self.mapped(address);
        }
        self.outputs.push_back(Output::Allocated(relays));
        self.ask_for_permissions(now);
    }

    pub(super) fn refreshed(&mut self, delete: bool, message: &Message<'_>, now: Instant) {
        if delete {
            self.deleted(Error::Silent, now);
        } else {
            self.lives(message, now);
        }
    }

    /// The allocation is given back, or the server will see to it. If that was to make room for another one, that is asked for now.
    pub(super) fn deleted(&mut self, error: Error, now: Instant) {
        match self.phase {
            Phase::Deleting => self.phase = Phase::None,
            Phase::Asking if error == Error::Silent || error.code() == Some(437) => {
                let purpose = Purpose::Allocate {
                    family: Family::Both,
                    cleared: true,
                };
                self.request(purpose, now);
            }
            Phase::Asking => {
                self.forget_allocation();
                self.outputs.push_back(Output::Failed(error));
            }
            Phase::None | Phase::Allocated { .. } => {}
        }
    }

    fn lives(&mut self, message: &Message<'_>, now: Instant) {
        if let Phase::Allocated {
            expires, refresh, ..
        } = &mut self.phase
        {
            let life = message
                .number(attribute::LIFETIME)
                .map_or(LIFETIME, |life| Duration::from_secs(life.into()));
            *expires = now + life;
            *refresh = Some(now + life - MARGIN.min(life / 2));
        }
    }

    /// A refresh was not answered: tried again until the end.
    pub(super) fn refresh_later(&mut self, now: Instant) {
        if let Phase::Allocated { refresh, .. } = &mut self.phase {
            *refresh = Some(now + AGAIN);
        }
    }

    pub(super) fn keep_allocation(&mut self, now: Instant) {
        let Phase::Allocated {
            expires, refresh, ..
        } = &mut self.phase
        else {
            return;
        };
        if now >= *expires {
            self.forget_allocation();
            return self.outputs.push_back(Output::Failed(Error::Silent));
        }
        if refresh.is_some_and(|refresh| now >= refresh) {
            *refresh = None;
            self.request(Purpose::Refresh { delete: false }, now);
        }
        self.ask_for_permissions(now);
        for (peer, channel) in self.peers.channels_due(now) {
            self.request(Purpose::Bind(peer, channel), now);
        }
    }

    /// New ones one by one, so that a peer which is refused takes no other along; those to be kept all at once.
    pub(super) fn ask_for_permissions(&mut self, now: Instant) {
        let Phase::Allocated { relays, .. } = &self.phase else {
            return;
        };
        let serves = |ip: IpAddr| relays.iter().any(|relay| relay.is_ipv4() == ip.is_ipv4());
        let (new, kept) = self.peers.permissions_due(serves, now);
        for ip in new {
            self.request(Purpose::Permit(vec![ip]), now);
        }
        if !kept.is_empty() {
            self.request(Purpose::Permit(kept), now);
        }
    }

    pub(super) fn serves(&self, ip: IpAddr) -> bool {
        match &self.phase {
            Phase::Allocated { relays, .. } => {
                relays.iter().any(|relay| relay.is_ipv4() == ip.is_ipv4())
            }
            _ => false,
        }
    }

    pub(super) fn allocation_due(&self) -> Option<Instant> {
        let Phase::Allocated {
            expires, refresh, ..
        } = &self.phase
        else {
            return None;
        };
        [Some(*expires), *refresh, self.peers.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// As if there had never been one; peers that are wanted stay so.
    pub(super) fn forget_allocation(&mut self) {
        self.phase = Phase::None;
        self.peers.forget_server();
        self.transactions
            .retain(|transaction| transaction.purpose == Purpose::Binding);
    }
}
