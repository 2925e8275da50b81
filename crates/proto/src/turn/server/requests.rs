//! What clients ask, one method each; and whether they may.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allocation::{Allocation, Allowance, Known, Leg, MAX_PEERS, Opening};
use super::replies::Replies;
use super::{FiveTuple, OpenError, Output, Refusal, RelayId, Server};
use crate::turn::credentials::{Key, Username};
use crate::turn::peers::{self, Verdict};
use crate::wire::forwarded::Household;
use crate::wire::statement::Time;
use crate::wire::stun::{self, Builder, Class, Message, Method, TransactionId};
use crate::wire::turn::{self, Channel, attribute};

/// Life of an allocation whose client names none (RFC 8656 section 7.2), and the shortest.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The longest.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Ports that are tried before an allocation is refused: others use the range too.
const PORT_TRIES: u32 = 16;

/// What an attribute of another protocol on the same port would be: those of ICE and of STUN's older uses are asked about, and answered with 420.
const KNOWN: [u16; 15] = [
    stun::attribute::MAPPED_ADDRESS,
    stun::attribute::USERNAME,
    stun::attribute::MESSAGE_INTEGRITY,
    stun::attribute::ERROR_CODE,
    stun::attribute::UNKNOWN_ATTRIBUTES,
    stun::attribute::REALM,
    stun::attribute::NONCE,
    attribute::CHANNEL_NUMBER,
    attribute::LIFETIME,
    attribute::XOR_PEER_ADDRESS,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::EVEN_PORT,
    attribute::REQUESTED_TRANSPORT,
    attribute::DONT_FRAGMENT,
    attribute::RESERVATION_TOKEN,
];

/// Who asks, as was proven.
struct User<'a> {
    username: &'a str,
    parsed: Username<'a>,
    key: Key,
}

/// What an Allocate asks for.
struct Wish {
    /// IPv4, then IPv6.
    families: [bool; 2],
    even: bool,
    pair: bool,
    token: Option<u64>,
    /// IPv6 is only wished for beside IPv4.
    is_second_optional: bool,
}

impl Server {
    pub(super) fn handle_request(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        now: Instant,
        time: Time,
    ) {
        match message.method() {
            Method::BINDING => return self.bind(from, message, now),
            Method::ALLOCATE
            | Method::REFRESH
            | Method::CREATE_PERMISSION
            | Method::CHANNEL_BIND => {}
            _ => {
                self.stats.malformed += 1;
                return;
            }
        }
        let user = match self.authenticate(from, message, time) {
            Ok(user) => user,
            Err(refusal) => return self.challenge(from, message, refusal, now, time),
        };
        let unknown: Vec<u8> = message.unknown(&KNOWN).flat_map(u16::to_be_bytes).collect();
        if !unknown.is_empty() {
            *self
                .stats
                .refused
                .entry(Refusal::UnknownAttribute)
                .or_default() += 1;
            let reply = refusal(message, Refusal::UnknownAttribute)
                .put(stun::attribute::UNKNOWN_ATTRIBUTES, &unknown);
            return self.reply(from, message, reply.sign(user.key.as_bytes()));
        }
        let answer = match message.method() {
            Method::ALLOCATE => self.allocate(from, message, &user, now, time),
            Method::REFRESH => self.refresh(from, message, &user, now, time).map(Some),
            Method::CREATE_PERMISSION => self.permit(from, message, &user, now).map(Some),
            _ => self.bind_channel(from, message, &user, now).map(Some),
        };
        match answer {
            Ok(Some(answer)) => self.reply(from, message, answer.sign(user.key.as_bytes())),
            // Later, or said already.
            Ok(None) => {}
            Err(refused) => {
                *self.stats.refused.entry(refused).or_default() += 1;
                let reply = refusal(message, refused).sign(user.key.as_bytes());
                self.reply(from, message, reply);
            }
        }
    }

    /// RFC 8489 section 6.3.1.
    fn bind(&mut self, from: FiveTuple, message: &Message<'_>, now: Instant) {
        let unknown: Vec<u8> = message.unknown(&KNOWN).flat_map(u16::to_be_bytes).collect();
        let reply = if unknown.is_empty() {
            success(message).xor_address(stun::attribute::XOR_MAPPED_ADDRESS, from.remote)
        } else {
            refusal(message, Refusal::UnknownAttribute)
                .put(stun::attribute::UNKNOWN_ATTRIBUTES, &unknown)
        };
        if self.reply_unproven(from, message, reply, now) {
            self.stats.bindings += 1;
        }
    }

    /// RFC 8489 section 9.2.4. The signature comes last, so that a stranger learns no more than that it is wrong.
    fn authenticate<'a>(
        &self,
        from: FiveTuple,
        message: &Message<'a>,
        time: Time,
    ) -> Result<User<'a>, Refusal> {
        if !message.has_integrity() {
            return Err(Refusal::Unauthorized);
        }
        let username = message.text(stun::attribute::USERNAME);
        let realm = message.attribute(stun::attribute::REALM);
        let nonce = message.attribute(stun::attribute::NONCE);
        let (Some(username), Some(_), Some(nonce)) = (username, realm, nonce) else {
            return Err(Refusal::BadRequest);
        };
        if !self.chance.is_fresh(nonce, from.remote.ip(), time) {
            return Err(Refusal::StaleNonce);
        }
        let parsed = Username::parse(username).ok_or(Refusal::Unauthorized)?;
        if parsed.expires <= time {
            return Err(Refusal::Unauthorized);
        }
        let key = match self.of_client(from) {
            Some(allocation) if *allocation.username == *username => allocation.key.clone(),
            _ => Key::new(
                username,
                &self.config.realm,
                &self.config.secret.password(username),
            ),
        };
        if !message.is_signed_with(key.as_bytes()) {
            return Err(Refusal::Unauthorized);
        }
        Ok(User {
            username,
            parsed,
            key,
        })
    }

    /// Refuses who has not proven anything: unsigned, and not too often.
    fn challenge(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        refused: Refusal,
        now: Instant,
        time: Time,
    ) {
        let mut reply = refusal(message, refused);
        if matches!(refused, Refusal::Unauthorized | Refusal::StaleNonce) {
            let nonce = self.chance.nonce(from.remote.ip(), time);
            reply = reply
                .put(stun::attribute::REALM, self.config.realm.as_bytes())
                .put(stun::attribute::NONCE, nonce.as_bytes());
        }
        if self.reply_unproven(from, message, reply, now) {
            *self.stats.refused.entry(refused).or_default() += 1;
        }
    }

    /// RFC 8656 section 7.2.
    fn allocate(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User<'_>,
        now: Instant,
        time: Time,
    ) -> Result<Option<Builder>, Refusal> {
        if let Some(allocation) = self.of_client(from) {
            let (made_by, answer) = &allocation.made_by;
            if *made_by != message.transaction_id() || *allocation.username != *user.username {
                return Err(Refusal::AllocationMismatch);
            }
            // The answer was lost; while it is still in the making it comes by itself.
            if !answer.is_empty() {
                let octets = answer.clone();
                self.outputs.push_back(Output::Reply { to: from, octets });
            }
            return Ok(None);
        }
        let mut wish = Wish::read(message)?;
        if let Some(token) = wish.token {
            // Its family is not said again (RFC 8656 section 7.2).
            wish.families = [0, 1].map(|family| self.ports[family].has(token, now));
            if wish.families == [false; 2] {
                return Err(Refusal::Capacity);
            }
        }
        for (index, relay) in [self.config.relay_v4, self.config.relay_v6]
            .iter()
            .enumerate()
        {
            if wish.families[index] && relay.is_none() {
                if index == 0 || !wish.is_second_optional {
                    return Err(Refusal::AddressFamily);
                }
                wish.families[index] = false;
            }
        }
        let is_second_missing = wish.is_second_optional && !wish.families[1];
        let household = Household::of(from.remote.ip());
        let of = |count: Option<&usize>| count.copied().unwrap_or_default();
        let held = of(self.households.get(&household));
        // Nobody takes the last one from who has none: what an address has is less than what is free.
        let free = self.config.total_quota.saturating_sub(self.clients.len());
        let is_full = of(self.users.get(user.parsed.name)) >= self.config.user_quota
            || (self.config.address_quota).is_some_and(|quota| held >= quota)
            || held >= free;
        if is_full {
            return Err(Refusal::Quota);
        }
        if wish.pair
            && (0..2).any(|family| wish.families[family] && !self.ports[family].may_reserve(now))
        {
            return Err(Refusal::Capacity);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(super::Slot::default());
            self.slots.len() - 1
        });
        let generation = self.slots[index].generation;
        let mut legs = [None; 2];
        for family in (0..2).filter(|family| wish.families[*family]) {
            let chance = self.chance.draw();
            let port = match wish.token {
                Some(token) => self.ports[family].redeem(token, now),
                None => self.ports[family].take(chance, wish.even, wish.pair, now),
            };
            legs[family] = port.map(|port| self.leg(index, family, generation, port));
        }
        let is_complete = (0..2).all(|family| legs[family].is_some() == wish.families[family]);
        if !is_complete {
            for leg in legs.into_iter().flatten() {
                self.close(leg);
            }
            self.free.push(index);
            return Err(Refusal::Capacity);
        }
        let opening = Opening {
            lifetime: granted(message, user, time),
            even: wish.even,
            pair: wish.pair,
            tries: PORT_TRIES,
            fingerprint: message.has_fingerprint(),
            without_second: is_second_missing.then(|| Refusal::AddressFamily.code()),
        };
        let name: Arc<str> = user.parsed.name.into();
        let rate = self.config.bandwidth;
        let expires = now + LIFETIME;
        self.slots[index].allocation = Some(Box::new(Allocation {
            client: from,
            username: user.username.into(),
            key: user.key.clone(),
            expires,
            legs,
            opening: Some(Box::new(opening)),
            made_by: (message.transaction_id(), Vec::new()),
            peers: Known::default(),
            up: Allowance::new(rate, now),
            down: Allowance::new(rate, now),
            name: name.clone(),
        }));
        self.clients.insert(from, index);
        self.deadlines.insert((expires, index));
        *self.users.entry(name).or_default() += 1;
        *self.households.entry(household).or_default() += 1;
        for leg in legs.into_iter().flatten() {
            self.open(leg);
        }
        Ok(None)
    }

    fn leg(&self, index: usize, family: usize, generation: u32, port: u16) -> Leg {
        let relay = [self.config.relay_v4, self.config.relay_v6][family];
        let external = relay.map_or(from_family(family), |relay| relay.external);
        Leg {
            relay: RelayId::new(index, family == 1, generation),
            port,
            external: SocketAddr::new(external, port),
            is_open: false,
        }
    }

    fn open(&mut self, leg: Leg) {
        let family = leg.relay.family();
        let relay = [self.config.relay_v4, self.config.relay_v6][family];
        let bind = relay.map_or(from_family(family), |relay| relay.bind);
        self.outputs.push_back(Output::Open {
            relay: leg.relay,
            address: SocketAddr::new(bind, leg.port),
        });
    }

    pub(super) fn socket_opened(
        &mut self,
        relay: RelayId,
        outcome: Result<(), OpenError>,
        now: Instant,
    ) {
        let (index, family) = (relay.slot(), relay.family());
        let Some(leg) = self.owner(relay).map(|(_, leg)| leg) else {
            // It ended meanwhile; nobody else would close the socket.
            if outcome.is_ok() {
                self.outputs.push_back(Output::Close { relay });
            }
            return;
        };
        let Some(allocation) = self.slots[index].allocation.as_deref_mut() else {
            return;
        };
        let Some(opening) = allocation.opening.as_deref_mut() else {
            return;
        };
        match outcome {
            Ok(()) => {
                if let Some(leg) = &mut allocation.legs[family] {
                    leg.is_open = true;
                }
                self.externals.insert(leg.external, relay);
                if allocation.legs.iter().flatten().all(|leg| leg.is_open) {
                    self.finish(index, now);
                }
            }
            Err(OpenError::Taken) if opening.tries > 0 => {
                opening.tries -= 1;
                let (even, pair) = (opening.even, opening.pair);
                // Freed after another one was taken, or it might be the same again.
                let another = self.ports[family].take(self.chance.draw(), even, pair, now);
                self.ports[family].free(leg.port);
                let Some(port) = another else {
                    return self.give_up(index, family, now);
                };
                let leg = self.leg(index, family, self.slots[index].generation, port);
                if let Some(allocation) = self.slots[index].allocation.as_deref_mut() {
                    allocation.legs[family] = Some(leg);
                }
                self.open(leg);
            }
            Err(_) => self.give_up(index, family, now),
        }
    }

    /// A socket cannot be had: the allocation does without its second one, or is refused.
    fn give_up(&mut self, index: usize, family: usize, now: Instant) {
        let Some(allocation) = self.slots[index].allocation.as_deref_mut() else {
            return;
        };
        let is_optional = family == 1 && allocation.legs[0].is_some();
        if is_optional && let Some(opening) = allocation.opening.as_deref_mut() {
            opening.without_second = Some(Refusal::Capacity.code());
            let leg = allocation.legs[1].take();
            let is_complete = allocation.legs.iter().flatten().all(|leg| leg.is_open);
            if let Some(leg) = leg {
                self.close(leg);
            }
            if is_complete {
                self.finish(index, now);
            }
            return;
        }
        let (to, key) = (allocation.client, allocation.key.clone());
        let (id, _) = allocation.made_by;
        self.remove(index);
        *self.stats.refused.entry(Refusal::Capacity).or_default() += 1;
        let reply = refusal_to(Method::ALLOCATE, id, Refusal::Capacity).sign(key.as_bytes());
        let octets = reply.finish();
        self.outputs.push_back(Output::Reply { to, octets });
    }

    /// All sockets are open: says so.
    fn finish(&mut self, index: usize, now: Instant) {
        let Some(allocation) = self.slots[index].allocation.as_deref_mut() else {
            return;
        };
        let Some(opening) = allocation.opening.take() else {
            return;
        };
        let (to, id) = (allocation.client, allocation.made_by.0);
        let mut reply = Builder::new(Class::Success, Method::ALLOCATE, id);
        for leg in allocation.legs.iter().flatten() {
            reply = reply.xor_address(attribute::XOR_RELAYED_ADDRESS, leg.external);
        }
        if let Some(code) = opening.without_second {
            let value = [2, 0, (code / 100) as u8, (code % 100) as u8];
            reply = reply.put(attribute::ADDRESS_ERROR_CODE, &value);
        }
        reply = reply
            .number(attribute::LIFETIME, opening.lifetime.as_secs() as u32)
            .xor_address(stun::attribute::XOR_MAPPED_ADDRESS, to.remote);
        if opening.pair
            && let Some(leg) = allocation.legs.iter().flatten().next()
        {
            let (token, family) = (self.chance.draw(), leg.relay.family());
            if self.ports[family].reserve_after(leg.port, token, now) {
                reply = reply.put(attribute::RESERVATION_TOKEN, &token.to_be_bytes());
            }
        }
        reply = reply.sign(allocation.key.as_bytes());
        if opening.fingerprint {
            reply = reply.fingerprint();
        }
        let octets = reply.finish();
        allocation.made_by.1.clone_from(&octets);
        let old = std::mem::replace(&mut allocation.expires, now + opening.lifetime);
        let expires = allocation.expires;
        self.deadlines.remove(&(old, index));
        self.deadlines.insert((expires, index));
        self.stats.allocations[to.transport as usize] += 1;
        self.stats.allocated[to.transport as usize] += 1;
        self.outputs.push_back(Output::Reply { to, octets });
    }

    /// RFC 8656 section 8.2.
    fn refresh(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User<'_>,
        now: Instant,
        time: Time,
    ) -> Result<Builder, Refusal> {
        let index = self.live(from, user)?;
        let lifetime = match message.number(attribute::LIFETIME) {
            Some(0) => Duration::ZERO,
            _ => granted(message, user, time),
        };
        let family = match message.attribute(attribute::REQUESTED_ADDRESS_FAMILY) {
            None => None,
            Some(value) => Some(read_family(value)?),
        };
        let allocation = self.at(index)?;
        if family.is_some_and(|family| allocation.legs[family].is_none()) {
            return Err(Refusal::PeerFamily);
        }
        let answer = success(message).number(attribute::LIFETIME, lifetime.as_secs() as u32);
        match family {
            Some(family) if lifetime.is_zero() && allocation.legs[1 - family].is_some() => {
                if let Some(leg) = allocation.legs[family].take() {
                    self.close(leg);
                }
            }
            _ if lifetime.is_zero() => self.remove(index),
            _ => {
                let old = std::mem::replace(&mut allocation.expires, now + lifetime);
                let expires = allocation.expires;
                self.deadlines.remove(&(old, index));
                self.deadlines.insert((expires, index));
            }
        }
        Ok(answer)
    }

    /// RFC 8656 section 10.2.
    fn permit(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User<'_>,
        now: Instant,
    ) -> Result<Builder, Refusal> {
        let index = self.live(from, user)?;
        // One more than there may be at a time is enough to see that they are too many: a message of the greatest length could name thousands, to be looked at
        // each beside all others.
        let peers = message.xor_addresses(attribute::XOR_PEER_ADDRESS);
        let peers: Option<Vec<_>> = peers.take(MAX_PEERS + 1).collect();
        if peers.as_ref().is_some_and(|peers| peers.len() > MAX_PEERS) {
            return Err(Refusal::Capacity);
        }
        let peers = peers.filter(|peers| !peers.is_empty());
        let peers = peers.ok_or(Refusal::BadRequest)?;
        self.admit(index, &peers, now)?;
        Ok(success(message))
    }

    /// RFC 8656 section 12.2.
    fn bind_channel(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User<'_>,
        now: Instant,
    ) -> Result<Builder, Refusal> {
        let index = self.live(from, user)?;
        let channel = message
            .attribute(attribute::CHANNEL_NUMBER)
            .and_then(Channel::from_value)
            .ok_or(Refusal::BadRequest)?;
        let peer = message
            .xor_address(attribute::XOR_PEER_ADDRESS)
            .filter(|peer| peer.port() != 0)
            .ok_or(Refusal::BadRequest)?;
        let allocation = self.at(index)?;
        match allocation.peers.may_bind(channel, peer, now) {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::Capacity),
            Err(_) => return Err(Refusal::BadRequest),
        }
        self.admit(index, &[peer], now)?;
        self.at(index)?.peers.bind(channel, peer, now);
        Ok(success(message))
    }

    /// Permits all of these peers, or none.
    fn admit(&mut self, index: usize, peers: &[SocketAddr], now: Instant) -> Result<(), Refusal> {
        let allocation = self.at(index)?;
        if peers
            .iter()
            .any(|peer| allocation.legs[usize::from(peer.is_ipv6())].is_none())
        {
            return Err(Refusal::PeerFamily);
        }
        let mut ips = Vec::with_capacity(peers.len());
        let mut relays_only = Vec::with_capacity(peers.len());
        for peer in peers {
            if !ips.contains(&peer.ip()) {
                relays_only.push(self.judge(peer.ip())?);
                ips.push(peer.ip());
            }
        }
        let allocation = self.at(index)?;
        if !allocation.peers.has_room_for(&ips, now) {
            return Err(Refusal::Capacity);
        }
        for (ip, relays_only) in ips.into_iter().zip(relays_only) {
            allocation.peers.permit(ip, relays_only, now);
        }
        Ok(())
    }

    /// Whether an address may be spoken with; and, of our own ones, whether only at the ports of live relays.
    fn judge(&self, ip: IpAddr) -> Result<bool, Refusal> {
        let is_relay = self.is_external(ip);
        let is_own = is_relay
            || [Some(ip), peers::inner(ip).map(IpAddr::from)]
                .iter()
                .flatten()
                .any(|ip| self.config.own.contains(ip));
        match self.config.peers.judge(ip) {
            Verdict::Allowed => Ok(false),
            Verdict::Public if !is_own => Ok(false),
            Verdict::Public | Verdict::Special if is_relay && !ip.is_loopback() => Ok(true),
            _ => Err(Refusal::Forbidden),
        }
    }

    /// The allocation of a client, which must be this user's.
    fn live(&self, from: FiveTuple, user: &User<'_>) -> Result<usize, Refusal> {
        let index = *self.clients.get(&from).ok_or(Refusal::AllocationMismatch)?;
        match self.slots[index].allocation.as_deref() {
            Some(allocation) if allocation.opening.is_some() => Err(Refusal::AllocationMismatch),
            Some(allocation) if *allocation.username != *user.username => {
                Err(Refusal::WrongCredentials)
            }
            Some(_) => Ok(index),
            None => Err(Refusal::AllocationMismatch),
        }
    }

    /// The allocation that [`Server::live`] found.
    fn at(&mut self, index: usize) -> Result<&mut Allocation, Refusal> {
        let allocation = self.slots[index].allocation.as_deref_mut();
        allocation.ok_or(Refusal::AllocationMismatch)
    }

    fn of_client(&self, from: FiveTuple) -> Option<&Allocation> {
        self.slots[*self.clients.get(&from)?].allocation.as_deref()
    }

    fn reply(&mut self, to: FiveTuple, message: &Message<'_>, reply: Builder) {
        let octets = finished(message, reply);
        self.outputs.push_back(Output::Reply { to, octets });
    }

    /// To an address that may be forged, unless the transport has proven it: false if nothing is said.
    fn reply_unproven(
        &mut self,
        to: FiveTuple,
        message: &Message<'_>,
        reply: Builder,
        now: Instant,
    ) -> bool {
        let octets = finished(message, reply);
        if !to.transport.is_stream() {
            let chance = &mut self.chance;
            let replies = self
                .replies
                .get_or_insert_with(|| Replies::new(chance.draw(), now));
            if !replies.admit(to.remote.ip(), octets.len(), now) {
                self.stats.withheld += 1;
                return false;
            }
        }
        self.outputs.push_back(Output::Reply { to, octets });
        true
    }
}

impl Wish {
    fn read(message: &Message<'_>) -> Result<Self, Refusal> {
        let transport = message
            .attribute(attribute::REQUESTED_TRANSPORT)
            .and_then(|value| <[u8; 4]>::try_from(value).ok())
            .ok_or(Refusal::BadRequest)?;
        if transport[0] != turn::UDP {
            return Err(Refusal::UnsupportedTransport);
        }
        let requested = message.attribute(attribute::REQUESTED_ADDRESS_FAMILY);
        let additional = message
            .attribute(attribute::ADDITIONAL_ADDRESS_FAMILY)
            .or_else(|| message.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY_OF_COTURN));
        let even = message.attribute(attribute::EVEN_PORT);
        let token = message.attribute(attribute::RESERVATION_TOKEN);
        let pair = match even {
            None => false,
            Some([flags, ..]) => flags & 0x80 != 0,
            Some([]) => return Err(Refusal::BadRequest),
        };
        let exclude_each_other = (token.is_some() && (even.is_some() || requested.is_some()))
            || (additional.is_some() && (requested.is_some() || token.is_some() || pair));
        if exclude_each_other {
            return Err(Refusal::BadRequest);
        }
        let token = match token.map(<[u8; 8]>::try_from) {
            None => None,
            Some(Ok(octets)) => Some(u64::from_be_bytes(octets)),
            Some(Err(_)) => return Err(Refusal::BadRequest),
        };
        let mut families = [true, false];
        if let Some(value) = requested {
            let family = read_family(value)?;
            families = [family == 0, family == 1];
        }
        if let Some(value) = additional {
            // IPv4 is there without being asked for (RFC 8656 section 7.2).
            if read_family(value)? != 1 {
                return Err(Refusal::BadRequest);
            }
            families[1] = true;
        }
        Ok(Self {
            families,
            even: even.is_some(),
            pair,
            token,
            is_second_optional: additional.is_some(),
        })
    }
}

/// 0 for IPv4, 1 for IPv6 (RFC 8656 section 18.6).
fn read_family(value: &[u8]) -> Result<usize, Refusal> {
    match value {
        [1, _, _, _] => Ok(0),
        [2, _, _, _] => Ok(1),
        [_, _, _, _] => Err(Refusal::AddressFamily),
        _ => Err(Refusal::BadRequest),
    }
}

const fn from_family(family: usize) -> IpAddr {
    if family == 0 {
        IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
    }
}

/// The life that is granted: no longer than the credentials' by more than the shortest.
fn granted(message: &Message<'_>, user: &User<'_>, time: Time) -> Duration {
    let asked = message
        .number(attribute::LIFETIME)
        .map_or(LIFETIME, |seconds| Duration::from_secs(seconds.into()));
    let good_for = user.parsed.expires.since(time);
    asked.min(good_for).clamp(LIFETIME, MAX_LIFETIME)
}

fn success(message: &Message<'_>) -> Builder {
    Builder::new(Class::Success, message.method(), message.transaction_id())
}

fn refusal(message: &Message<'_>, refusal: Refusal) -> Builder {
    refusal_to(message.method(), message.transaction_id(), refusal)
}

fn refusal_to(method: Method, id: TransactionId, refusal: Refusal) -> Builder {
    Builder::new(Class::Error, method, id).error(refusal.code(), refusal.reason())
}

/// With a FINGERPRINT if the request had one.
fn finished(message: &Message<'_>, reply: Builder) -> Vec<u8> {
    if message.has_fingerprint() {
        reply.fingerprint().finish()
    } else {
        reply.finish()
    }
}
