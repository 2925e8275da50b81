//! One request on its way.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Carrier, Config};
use crate::wire::stun::{self, Builder, Class, Method, TransactionId};
use crate::wire::turn::{Channel, UDP, attribute};

/// The first wait for an answer; each further one is twice as long. RFC 8489 section 6.2.1 has 500 ms, for links that are slower than those of today.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// REQUESTED-ADDRESS-FAMILY's word for IPv6.
const IPV6: [u8; 4] = [2, 0, 0, 0];

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) purpose: Purpose,
    pub(super) octets: Vec<u8>,
    pub(super) signed: bool,
    /// Whether this is the second try, after a nonce that was too old.
    pub(super) stale: bool,
    wait: Duration,
    next: Instant,
    until: Instant,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Binding,
    Allocate {
        /// Of which families.
        family: Family,
        /// Whether an old allocation of this pair of addresses was given back for it.
        cleared: bool,
    },
    Refresh {
        delete: bool,
    },
    Permit(Vec<IpAddr>),
    Bind(SocketAddr, Channel),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4, and IPv6 if the server has it.
    Both,
    V6,
}

/// What is to be done about a request that is not answered.
pub(super) enum Unanswered {
    Wait,
    Again(Vec<u8>),
    Lost,
}

/// What signs a request.
pub(super) struct Signature<'a> {
    pub(super) username: &'a str,
    pub(super) realm: &'a str,
    pub(super) nonce: &'a [u8],
    pub(super) key: &'a [u8],
}

impl Purpose {
    pub(super) const ALLOCATE: Self = Self::Allocate {
        family: Family::Both,
        cleared: false,
    };

    pub(super) fn method(&self) -> Method {
        match self {
            Self::Binding => Method::BINDING,
            Self::Allocate { .. } => Method::ALLOCATE,
            Self::Refresh { .. } => Method::REFRESH,
            Self::Permit(_) => Method::CREATE_PERMISSION,
            Self::Bind(..) => Method::CHANNEL_BIND,
        }
    }

    fn attributes(&self, message: Builder) -> Builder {
        match self {
            Self::Binding | Self::Refresh { delete: false } => message,
            Self::Refresh { delete: true } => message.number(attribute::LIFETIME, 0),
            Self::Allocate { family, .. } => {
                let message = message.put(attribute::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
                match family {
                    Family::Both => message.put(attribute::ADDITIONAL_ADDRESS_FAMILY, &IPV6),
                    Family::V6 => message.put(attribute::REQUESTED_ADDRESS_FAMILY, &IPV6),
                }
            }
            Self::Permit(ips) => ips.iter().fold(message, |message, ip| {
                message.xor_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(*ip, 0))
            }),
            Self::Bind(peer, channel) => message
                .put(attribute::CHANNEL_NUMBER, &channel.value())
                .xor_address(attribute::XOR_PEER_ADDRESS, *peer),
        }
    }
}

impl Transaction {
    pub(super) fn new(
        purpose: Purpose,
        id: TransactionId,
        signature: Option<Signature<'_>>,
        stale: bool,
        config: &Config,
        now: Instant,
    ) -> Self {
        let mut message = purpose.attributes(Builder::new(Class::Request, purpose.method(), id));
        let signed = signature.is_some();
        if let Some(signature) = signature {
            message = message
                .put(stun::attribute::USERNAME, signature.username.as_bytes())
                .put(stun::attribute::REALM, signature.realm.as_bytes())
                .put(stun::attribute::NONCE, signature.nonce)
                .sign(signature.key);
        }
        let until = now + config.answer_within;
        Self {
            id,
            purpose,
            octets: message.fingerprint().finish(),
            signed,
            stale,
            wait: FIRST_WAIT,
            next: match config.carrier {
                Carrier::Datagrams => (now + FIRST_WAIT).min(until),
                Carrier::Stream => until,
            },
            until,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.next
    }

    pub(super) fn handle_timeout(&mut self, config: &Config, now: Instant) -> Unanswered {
        if now >= self.until {
            return Unanswered::Lost;
        }
        if now < self.next || config.carrier == Carrier::Stream {
            return Unanswered::Wait;
        }
        self.wait *= 2;
        self.next = (now + self.wait).min(self.until);
        Unanswered::Again(self.octets.clone())
    }
}
