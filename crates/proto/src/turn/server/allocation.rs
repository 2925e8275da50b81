//! One client's relayed addresses, and whom they speak with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FiveTuple, RelayId};
use crate::turn::credentials::Key;
use crate::wire::stun::TransactionId;
use crate::wire::turn::Channel;

/// Life of a permission (RFC 8656 section 9).
pub(super) const PERMISSION: Duration = Duration::from_secs(5 * 60);
/// Life of a channel (section 12).
pub(super) const CHANNEL: Duration = Duration::from_secs(10 * 60);
/// Addresses, and again channels, of one allocation: a peer with many connections has a few for each. One more is refused with 508.
pub(super) const MAX_PEERS: usize = 512;

pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) username: Box<str>,
    pub(super) key: Key,
    pub(super) expires: Instant,
    /// IPv4, then IPv6.
    pub(super) legs: [Option<Leg>; 2],
    /// While sockets are being opened.
    pub(super) opening: Option<Box<Opening>>,
    /// The request that made it and its answer, which may have been lost.
    pub(super) made_by: (TransactionId, Vec<u8>),
    pub(super) peers: Known,
    /// What may still go up and down.
    pub(super) up: Allowance,
    pub(super) down: Allowance,
    /// Whose quotas it counts in.
    pub(super) name: Arc<str>,
}

/// One relayed address.
#[derive(Clone, Copy)]
pub(super) struct Leg {
    pub(super) relay: RelayId,
    pub(super) port: u16,
    /// As peers see it.
    pub(super) external: SocketAddr,
    pub(super) is_open: bool,
}

/// What is needed to answer once all sockets are open.
pub(super) struct Opening {
    pub(super) lifetime: Duration,
    pub(super) even: bool,
    pub(super) pair: bool,
    pub(super) tries: u32,
    /// The request came with a FINGERPRINT.
    pub(super) fingerprint: bool,
    /// The second address, which was wished for only, could not be had: with the code of why.
    pub(super) without_second: Option<u16>,
}

/// Permissions and channels. What has expired is as if it were not there, and is removed when room is needed.
#[derive(Default)]
pub(super) struct Known {
    permissions: BTreeMap<IpAddr, Permission>,
    channels: BTreeMap<Channel, (SocketAddr, Instant)>,
    numbers: BTreeMap<SocketAddr, Channel>,
}

#[derive(Clone, Copy)]
pub(super) struct Permission {
    pub(super) expires: Instant,
    /// For one of our own addresses: for live relays' ports there, and nothing else.
    pub(super) relays_only: bool,
}

/// The number is bound to another peer, or the peer to another number (section 12.2).
pub(super) struct Bound;

impl Known {
    pub(super) fn permission(&self, ip: IpAddr, now: Instant) -> Option<Permission> {
        let permission = self.permissions.get(&ip)?;
        (permission.expires > now).then_some(*permission)
    }

    /// The peer of a channel.
    pub(super) fn peer(&self, channel: Channel, now: Instant) -> Option<SocketAddr> {
        let (peer, expires) = self.channels.get(&channel)?;
        (*expires > now).then_some(*peer)
    }

    /// The channel of a peer.
    pub(super) fn channel(&self, peer: SocketAddr, now: Instant) -> Option<Channel> {
        let channel = *self.numbers.get(&peer)?;
        self.peer(channel, now).map(|_| channel)
    }

    /// Whether so many more addresses find room.
    pub(super) fn has_room_for(&mut self, ips: &[IpAddr], now: Instant) -> bool {
        if self.permissions.len() + ips.len() > MAX_PEERS {
            self.permissions
                .retain(|_, permission| permission.expires > now);
        }
        let new = ips
            .iter()
            .filter(|ip| !self.permissions.contains_key(ip))
            .count();
        self.permissions.len() + new <= MAX_PEERS
    }

    pub(super) fn permit(&mut self, ip: IpAddr, relays_only: bool, now: Instant) {
        let permission = Permission {
            expires: now + PERMISSION,
            relays_only,
        };
        self.permissions.insert(ip, permission);
    }

    /// Whether the two may be bound to each other.
    pub(super) fn may_bind(
        &mut self,
        channel: Channel,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<bool, Bound> {
        let is_other = |bound: Option<SocketAddr>| bound.is_some_and(|bound| bound != peer);
        if is_other(self.peer(channel, now))
            || self
                .channel(peer, now)
                .is_some_and(|bound| bound != channel)
        {
            return Err(Bound);
        }
        if self.channels.len() >= MAX_PEERS {
            self.channels.retain(|_, (_, expires)| *expires > now);
            let channels = &self.channels;
            self.numbers
                .retain(|_, channel| channels.contains_key(channel));
        }
        Ok(self.channels.len() < MAX_PEERS || self.channels.contains_key(&channel))
    }

    pub(super) fn bind(&mut self, channel: Channel, peer: SocketAddr, now: Instant) {
        // What has expired makes way, in both directions.
        if let Some((old, _)) = self.channels.insert(channel, (peer, now + CHANNEL))
            && old != peer
        {
            self.numbers.remove(&old);
        }
        if let Some(old) = self.numbers.insert(peer, channel)
            && old != channel
        {
            self.channels.remove(&old);
        }
    }
}

/// Octets that may go at once, whatever the rate: a datagram of the greatest length.
const LEAST_BURST: u32 = 64 * 1024;

/// Octets a second in the long run, and as many at once.
pub(super) struct Allowance {
    left: u32,
    at: Instant,
}

impl Allowance {
    pub(super) fn new(rate: Option<u32>, now: Instant) -> Self {
        Self {
            left: rate.unwrap_or_default().max(LEAST_BURST),
            at: now,
        }
    }

    /// Takes octets, if there are as many.
    pub(super) fn take(&mut self, octets: usize, rate: Option<u32>, now: Instant) -> bool {
        let Some(rate) = rate else {
            return true;
        };
        let passed = now.saturating_duration_since(self.at).as_nanos();
        // For each datagram: divided in 64 bits where they hold it, which is four seconds.
        let earned = match u32::try_from(passed) {
            Ok(passed) => (u64::from(passed) * u64::from(rate) / 1_000_000_000).into(),
            Err(_) => passed * u128::from(rate) / 1_000_000_000,
        };
        // What is less than an octet is kept for the next time.
        if earned > 0 {
            let most = u128::from(rate.max(LEAST_BURST));
            self.left = (u128::from(self.left) + earned).min(most) as u32;
            self.at = now;
        }
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let is_left = self.left >= octets;
        if is_left {
            self.left -= octets;
        }
        is_left
    }
}
