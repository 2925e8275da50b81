//! The peers of an allocation: permissions by address, channels by address and port, and what waits for a permission.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{AGAIN, MAX_PEERS, MAX_WAITING};
use crate::wire::turn::Channel;

/// Before the end of a permission's 5 minutes (RFC 8656 section 9).
const KEEP_PERMISSION: Duration = Duration::from_secs(4 * 60);
/// Permissions that are due within this time are asked for together.
const TOGETHER: Duration = Duration::from_secs(30);
/// Before the end of a channel's 10 minutes (section 12), with room for a few lost requests.
const KEEP_CHANNEL: Duration = Duration::from_secs(8 * 60);
/// For which a channel's number is not given to another peer (section 12.3): its life, and 5 minutes more.
const RESERVED: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Default)]
pub(super) struct Peers {
    permissions: BTreeMap<IpAddr, Permission>,
    channels: BTreeMap<SocketAddr, Bound>,
    numbers: BTreeMap<Channel, SocketAddr>,
    next: u16,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Debug)]
struct Permission {
    /// How often it is wanted.
    wanted: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked for at this time; `None`: at once.
    Unasked(Option<Instant>),
    Asked,
    /// There, and to be asked for again then.
    Granted(Instant),
    /// There, and being asked for again.
    Kept,
    Refused,
}

#[derive(Debug)]
struct Bound {
    channel: Channel,
    /// Whether the server knows it.
    usable: bool,
    /// When to ask again; none while an answer is waited for.
    again: Option<Instant>,
    /// Until when the server may know it.
    reserved: Instant,
}

impl Peers {
    /// False where there are too many.
    pub(super) fn permit(&mut self, ip: IpAddr) -> bool {
        if let Some(permission) = self.permissions.get_mut(&ip) {
            permission.wanted += 1;
            return true;
        }
        if self.permissions.len() >= MAX_PEERS {
            return false;
        }
        self.permissions.insert(
            ip,
            Permission {
                wanted: 1,
                state: State::Unasked(None),
            },
        );
        true
    }

    pub(super) fn forget(&mut self, ip: IpAddr) {
        let Some(permission) = self.permissions.get_mut(&ip) else {
            return;
        };
        permission.wanted = permission.wanted.saturating_sub(1);
        if permission.wanted == 0 {
            self.permissions.remove(&ip);
            self.waiting.retain(|(peer, _)| peer.ip() != ip);
        }
    }

    pub(super) fn is_known(&self, ip: IpAddr) -> bool {
        self.permissions.contains_key(&ip)
    }

    /// Whether data can go to a peer now. If only the permission is missing yet, it waits here.
    pub(super) fn may_send(&mut self, peer: SocketAddr, data: &[u8]) -> bool {
        match self.permissions.get(&peer.ip()).map(|known| known.state) {
            Some(State::Granted(_) | State::Kept) => true,
            Some(State::Unasked(_) | State::Asked) => {
                if self.waiting.len() < MAX_WAITING {
                    self.waiting.push_back((peer, data.to_vec()));
                }
                false
            }
            Some(State::Refused) | None => false,
        }
    }

    /// What to ask for now: what never was, and what is about to end. They count as asked for.
    pub(super) fn permissions_due(
        &mut self,
        serves: impl Fn(IpAddr) -> bool,
        now: Instant,
    ) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let any_due = self
            .permissions
            .values()
            .any(|permission| matches!(permission.state, State::Granted(again) if again <= now));
        let (mut new, mut kept) = (Vec::new(), Vec::new());
        for (ip, permission) in &mut self.permissions {
            match permission.state {
                State::Unasked(at) if at.is_none_or(|at| at <= now) && serves(*ip) => {
                    permission.state = State::Asked;
                    new.push(*ip);
                }
                State::Granted(again) if any_due && again <= now + TOGETHER => {
                    permission.state = State::Kept;
                    kept.push(*ip);
                }
                _ => {}
            }
        }
        (new, kept)
    }

    /// Returns what waited for it.
    pub(super) fn permitted(&mut self, ip: IpAddr, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        if let Some(permission) = self.permissions.get_mut(&ip) {
            permission.state = State::Granted(now + KEEP_PERMISSION);
        }
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(peer, _)| peer.ip() == ip);
        self.waiting = waiting;
        Vec::from(ready)
    }

    pub(super) fn refused(&mut self, ip: IpAddr) {
        if let Some(permission) = self.permissions.get_mut(&ip) {
            permission.state = State::Refused;
        }
        self.waiting.retain(|(peer, _)| peer.ip() != ip);
    }

    /// For want of an answer: what was there may still be.
    pub(super) fn ask_again(&mut self, ips: &[IpAddr], at: Instant) {
        for ip in ips {
            if let Some(permission) = self.permissions.get_mut(ip) {
                permission.state = match permission.state {
                    State::Kept => State::Granted(at),
                    _ => State::Unasked(Some(at)),
                };
            }
        }
    }

    /// The number to ask for, if this is to be asked for now.
    pub(super) fn bind(&mut self, peer: SocketAddr, now: Instant) -> Option<Channel> {
        if !self.is_known(peer.ip()) {
            return None;
        }
        if let Some(bound) = self.channels.get_mut(&peer) {
            if bound.usable || bound.again.is_none_or(|again| now < again) {
                return None;
            }
            bound.again = None;
            bound.reserved = now + RESERVED;
            return Some(bound.channel);
        }
        self.forget_channels(now);
        if self.channels.len() >= MAX_PEERS {
            return None;
        }
        let channel = self.free_number()?;
        self.numbers.insert(channel, peer);
        let bound = Bound {
            channel,
            usable: false,
            again: None,
            reserved: now + RESERVED,
        };
        self.channels.insert(peer, bound);
        Some(channel)
    }

    pub(super) fn bound(&mut self, peer: SocketAddr, now: Instant) {
        if let Some(bound) = self.channels.get_mut(&peer) {
            bound.usable = true;
            bound.again = Some(now + KEEP_CHANNEL);
            bound.reserved = now + RESERVED;
        }
    }

    /// The server does not answer, or refuses: indications do as well.
    pub(super) fn unbound(&mut self, peer: SocketAddr, now: Instant) {
        if let Some(bound) = self.channels.get_mut(&peer) {
            bound.usable = false;
            bound.again = Some(now + AGAIN);
        }
    }

    pub(super) fn channel_of(&self, peer: SocketAddr) -> Option<Channel> {
        let bound = self.channels.get(&peer)?;
        bound.usable.then_some(bound.channel)
    }

    pub(super) fn of_channel(&self, channel: Channel) -> Option<SocketAddr> {
        let peer = self.numbers.get(&channel)?;
        self.is_known(peer.ip()).then_some(*peer)
    }

    /// Channels to ask for again now; those of peers that are forgotten are left to end.
    pub(super) fn channels_due(&mut self, now: Instant) -> Vec<(SocketAddr, Channel)> {
        let mut due = Vec::new();
        let permissions = &self.permissions;
        for (peer, bound) in &mut self.channels {
            if !bound.usable || bound.again.is_none_or(|again| now < again) {
                continue;
            }
            if permissions.contains_key(&peer.ip()) {
                bound.again = None;
                due.push((*peer, bound.channel));
            } else {
                bound.usable = false;
            }
        }
        due
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let permissions =
            self.permissions
                .values()
                .filter_map(|permission| match permission.state {
                    State::Unasked(at) => at,
                    State::Granted(again) => Some(again),
                    State::Asked | State::Kept | State::Refused => None,
                });
        let channels = self.channels.values().filter(|bound| bound.usable);
        permissions
            .chain(channels.filter_map(|bound| bound.again))
            .min()
    }

    /// The allocation is gone, and with it all that the server knew.
    pub(super) fn forget_server(&mut self) {
        for permission in self.permissions.values_mut() {
            permission.state = State::Unasked(None);
        }
        self.channels.clear();
        self.numbers.clear();
        self.waiting.clear();
    }

    fn forget_channels(&mut self, now: Instant) {
        let numbers = &mut self.numbers;
        self.channels.retain(|_, bound| {
            let keep = bound.usable || now < bound.reserved;
            if !keep {
                numbers.remove(&bound.channel);
            }
            keep
        });
    }

    fn free_number(&mut self) -> Option<Channel> {
        const NUMBERS: u16 = 0x1000;
        for _ in 0..=MAX_PEERS {
            let channel = Channel::new(Channel::FIRST.number() + self.next % NUMBERS)?;
            self.next = (self.next + 1) % NUMBERS;
            if !self.numbers.contains_key(&channel) {
                return Some(channel);
            }
        }
        None
    }
}
