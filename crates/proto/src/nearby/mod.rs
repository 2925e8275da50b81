//! Who is behind the same router: ambianic-pnp's rooms, one for each [`Household`].
//!
//! A device and the page that looks for it share an address on the internet. The server makes a room's name of it; both join the room and see each other's
//! ids. Nothing here waits or has a time: each method is one thing that happened, and its answer.
//!
//! Differences from ambianic-pnp 1.0, on purpose:
//!
//! - A room can be joined and listed from its own address alone. There a room is whatever name a client gives, and who was once in a house could for ever
//!   list what is in it.
//! - A membership ends with the registration of its id, at once, not at the next sweep.
//! - A room takes [`Config::members`]: behind a carrier's NAT it is not a household that shares an address.
//! - Addresses of one IPv6 /64 are one household.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::wire::forwarded::Household;
use crate::wire::id::{self, IdError, PeerId};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// Limits of [`Rooms`], and what rooms are named by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ids in one room. Default 256: more than a household has, and a list that an old client can still show. One more is refused.
    pub members: usize,
    /// Makes the rooms' names. Default none: one that is drawn at the start, so that a restart gives every room a new name.
    pub secret: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            members: 256,
            secret: None,
        }
    }
}

/// What rooms' names are made with: who knows it can tell the address from the name. `Debug` shows dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(id::Secret);

impl Secret {
    /// Draws one from a generator that must be cryptographically secure.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(id::Secret::generate(rng))
    }

    /// The text itself: for the server's state only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for Secret {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

/// The name of a room: 40 hexadecimal digits, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId([u8; 20]);

impl RoomId {
    /// Takes what [`fmt::Display`] writes, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 40] = text.as_bytes().try_into().ok()?;
        let mut octets = [0; 20];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        Some(Self(octets))
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a client is not let in, or not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The room is not that of the client's address, or is no room's name at all.
    #[error("Not the room of your address")]
    Elsewhere,
    /// The room has as many members as it takes.
    #[error("Room is full")]
    Full,
}

/// All rooms of one server, and who is in them. Only ids that are registered may be let in; [`Rooms::freed`] must follow the end of each registration.
///
/// Memory is bounded by the ids: each is in one room of an IPv4 address and in one of an IPv6 network at most, and a room without members is gone.
pub struct Rooms {
    secret: Secret,
    limit: usize,
    /// In order of joining.
    rooms: BTreeMap<RoomId, Vec<PeerId>>,
    memberships: BTreeMap<PeerId, Memberships>,
}

/// By family of the address: of a client with both, requests come now by one and now by the other.
#[derive(Default)]
struct Memberships {
    ipv4: Option<RoomId>,
    ipv6: Option<RoomId>,
}

impl Rooms {
    /// Empty ones.
    #[must_use]
    pub fn new(secret: Secret, members: usize) -> Self {
        Self {
            secret,
            limit: members,
            rooms: BTreeMap::new(),
            memberships: BTreeMap::new(),
        }
    }

    /// The room of a household. HMAC-SHA1 as in ambianic-pnp, so that a name looks as old clients know it: of the secret and the household's text.
    #[must_use]
    pub fn room_of(&self, household: Household) -> RoomId {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(household.to_string().as_bytes());
        RoomId(mac.finalize().into_bytes().into())
    }

    /// Lets a client into the room of its own household, and says who is in it now, in order of joining and with itself. Joining again changes nothing; joining the
    /// room of another address of the same family ends the former membership: it has moved.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn join(
        &mut self,
        id: &PeerId,
        room: &str,
        from: Household,
    ) -> Result<Vec<PeerId>, Refused> {
        let room = self.own(room, from)?;
        let members = self.rooms.get(&room).map_or(&[][..], Vec::as_slice);
        if members.contains(id) {
            return Ok(members.to_vec());
        }
        if members.len() >= self.limit {
            return Err(Refused::Full);
        }
        let memberships = self.memberships.entry(id.clone()).or_default();
        let former = memberships.of(from).replace(room);
        if let Some(former) = former {
            self.remove(former, id);
        }
        let members = self.rooms.entry(room).or_default();
        members.push(id.clone());
        Ok(members.clone())
    }

    /// Who is in the room of a client's own household, in order of joining.
    ///
    /// # Errors
    /// [`Refused::Elsewhere`].
    pub fn members(&self, room: &str, from: Household) -> Result<Vec<PeerId>, Refused> {
        let room = self.own(room, from)?;
        Ok(self.rooms.get(&room).cloned().unwrap_or_default())
    }

    /// Takes a client out of a room, from wherever it asks; whether it was in it.
    pub fn leave(&mut self, id: &PeerId, room: &str) -> bool {
        let (Some(room), Some(memberships)) = (RoomId::parse(room), self.memberships.get_mut(id))
        else {
            return false;
        };
        let was_in = memberships.forget(room);
        if memberships.is_empty() {
            self.memberships.remove(id);
        }
        if was_in {
            self.remove(room, id);
        }
        was_in
    }

    /// The id is registered no longer: whoever registers it next is somebody else.
    pub fn freed(&mut self, id: &PeerId) {
        let Some(Memberships { ipv4, ipv6 }) = self.memberships.remove(id) else {
            return;
        };
        for room in [ipv4, ipv6].into_iter().flatten() {
            self.remove(room, id);
        }
    }

    fn own(&self, room: &str, from: Household) -> Result<RoomId, Refused> {
        RoomId::parse(room)
            .filter(|room| *room == self.room_of(from))
            .ok_or(Refused::Elsewhere)
    }

    fn remove(&mut self, room: RoomId, id: &PeerId) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.retain(|member| member != id);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

impl Memberships {
    fn of(&mut self, household: Household) -> &mut Option<RoomId> {
        if household.is_ipv6() {
            &mut self.ipv6
        } else {
            &mut self.ipv4
        }
    }

    fn forget(&mut self, room: RoomId) -> bool {
        [&mut self.ipv4, &mut self.ipv6]
            .into_iter()
            .any(|held| held.take_if(|held| *held == room).is_some())
    }

    const fn is_empty(&self) -> bool {
        self.ipv4.is_none() && self.ipv6.is_none()
    }
}

/// Without who is in them: which ids belong together is what rooms keep from strangers.
impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms")
            .field("rooms", &self.rooms.len())
            .field("members", &self.memberships.len())
            .finish_non_exhaustive()
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
