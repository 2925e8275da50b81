//! What a device remembers across restarts: its links, and the keys that came in by them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::LinkError;
use crate::{
    identity::{Kid, PublicKey, Secret, Time},
    wire::statement::KeyBytes,
};

/// Most links of a device.
pub const MAX_LINKS: usize = 64;

/// Most keys that a link remembers.
pub const MAX_GRANTS: usize = 1024;

/// Links and grants. Serialises with the secrets, for a file that only the owner reads; `Debug` shows dots in their place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    links: Vec<LinkRecord>,
}

/// One link that the device gave out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRecord {
    #[serde(with = "secret_text")]
    secret: Secret,
    made: Time,
    #[serde(default)]
    terms: Terms,
    #[serde(default)]
    grants: Vec<Grant>,
}

/// How long, and for how many, a link is good. By default: for ever, for everyone who has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// When the link and its grants end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// How many keys may come in by it; those that did stay in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A key that came in by a link, and may come again without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The caller's key.
    #[serde(with = "key_text")]
    pub key: PublicKey,
    /// When it first came.
    pub since: Time,
}

/// The link remembers as many keys as it may.
pub(super) struct NoRoom;

impl State {
    /// All links, the oldest first; expired ones too.
    pub fn links(&self) -> impl Iterator<Item = &LinkRecord> {
        self.links.iter()
    }

    /// Links that are neither expired nor revoked.
    pub fn live_links(&self, now: Time) -> impl Iterator<Item = &LinkRecord> {
        self.links.iter().filter(move |link| link.is_live(now))
    }

    /// Expired links go only where room is needed: a clock that was wrong for a while must not cost them.
    pub(super) fn add(
        &mut self,
        secret: Secret,
        terms: Terms,
        now: Time,
    ) -> Result<Kid, LinkError> {
        let kid = secret.kid();
        if self.links.iter().any(|link| link.kid() == kid) {
            return Err(LinkError::Exists);
        }
        if self.links.len() >= MAX_LINKS {
            self.links.retain(|link| link.is_live(now));
        }
        if self.links.len() >= MAX_LINKS {
            return Err(LinkError::Full);
        }
        self.links.push(LinkRecord {
            secret,
            made: now,
            terms,
            grants: Vec::new(),
        });
        Ok(kid)
    }

    pub(super) fn remove(&mut self, kid: Kid) -> bool {
        let before = self.links.len();
        self.links.retain(|link| link.kid() != kid);
        self.links.len() < before
    }

    /// Whether the key is new to this link.
    pub(super) fn remember(
        &mut self,
        kid: Kid,
        key: &PublicKey,
        now: Time,
    ) -> Result<bool, NoRoom> {
        let link = self
            .links
            .iter_mut()
            .find(|link| link.kid() == kid)
            .ok_or(NoRoom)?;
        if link.remembers(key) {
            return Ok(false);
        }
        if link.is_used_up() || link.grants.len() >= MAX_GRANTS {
            return Err(NoRoom);
        }
        link.grants.push(Grant {
            key: key.clone(),
            since: now,
        });
        Ok(true)
    }
}

impl LinkRecord {
    /// The link's name.
    pub fn kid(&self) -> Kid {
        self.secret.kid()
    }

    /// The link's secret: to print the link again.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// When it was made.
    pub fn made(&self) -> Time {
        self.made
    }

    /// How long, and for how many, it is good.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// The keys that came in by it.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether it has not expired.
    pub fn is_live(&self, now: Time) -> bool {
        self.terms.expires.is_none_or(|expires| now < expires)
    }

    /// Whether no new key may come in by it.
    pub fn is_used_up(&self) -> bool {
        self.terms
            .uses
            .is_some_and(|uses| self.grants.len() >= uses as usize)
    }

    pub(super) fn remembers(&self, key: &PublicKey) -> bool {
        self.remembers_bytes(key.as_bytes())
    }

    pub(super) fn remembers_bytes(&self, key: &KeyBytes) -> bool {
        self.grants.iter().any(|grant| grant.key.as_bytes() == key)
    }
}

mod secret_text {
    use super::{Deserialize, Deserializer, Secret, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        Secret::parse(&text).map_err(de::Error::custom)
    }
}

mod key_text {
    use super::{Deserialize, Deserializer, Engine, PublicKey, STANDARD, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        key: &PublicKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(key.as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PublicKey, D::Error> {
        let bytes = STANDARD
            .decode(String::deserialize(deserializer)?)
            .map_err(|_| de::Error::custom("not base64"))?;
        PublicKey::parse(&bytes).map_err(de::Error::custom)
    }
}
