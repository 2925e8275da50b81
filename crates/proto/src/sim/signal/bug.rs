//! Faults planted around the routers, to prove that the simulation notices.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};

use super::Promise;
use super::client::{key_of, proof};
use crate::signal::{
    CloseReason, Config, ConnId, Departure, Hello, Input, Matter, Output, Routed, Router, Totals,
    Watcher,
};
use crate::wire::id::PeerId;
use crate::wire::signal::{Frame, Kind, OPEN, Presence};

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// What is for one socket goes to another.
    WrongSocket,
    /// The sender is who it claims to be.
    BelieveSource,
    /// Any token is the right one.
    BelieveAnyToken,
    /// Any key's proof is the right one.
    BelieveAnyProof,
    /// No id is held for an absent holder.
    ForgetHolds,
    /// A close after a LEAVE frees the id of whoever has it now, as at peerjs-server.
    FreeTwice,
    /// The old socket is not closed at a takeover.
    KeepReplaced,
    /// A socket that is refused is not told why.
    RefuseMutely,
    /// `OPEN` comes after the first message.
    OpenLate,
    /// `OPEN` comes twice.
    OpenTwice,
    /// A replaced socket gets what its successor gets.
    SendAfterClose,
    /// A message between shards arrives twice.
    RepeatMatter,
    /// A message between shards is lost.
    LoseMatter,
    /// What is delivered from the queue expires, too.
    ExpireDelivered,
    /// White space in payloads is lost.
    TidyPayload,
    /// Two messages change places.
    SwapMessages,
    /// Who waited in vain is not told.
    LoseExpiry,
    /// Waiting ends too early.
    HastyTimer,
    /// No deadline is kept.
    LoseTimeouts,
    /// Deadlines are kept a second late.
    SlowTimer,
    /// A limit is not kept.
    NoLimit(Limit),
    /// Less may wait than the limits say.
    MeanLimits,
    /// Each shard counts for itself.
    CountAlone,
    /// Subscriptions to ids that never come are not taken back.
    ForgetUnwatch,
    /// A server that ended still counts.
    ForgetDropped,
    /// Some changes are not told.
    LoseTold,
    /// What subscribers are told is lost between shards.
    LoseToldBetween,
    /// Messages are lost between shards.
    LoseFramesBetween,
    /// What one shard says to another overtakes.
    Overtake,
    /// An older word counts that comes later.
    BelieveLate,
    /// The end of a subscription ends the next one, too.
    EndNext,
    /// Who did not opt in is told of, too.
    TellHidden,
    /// A takeover is told as a coming.
    TellTakeover,
    /// A hold is told as a going.
    TellHold,
    /// Heartbeats and pings do not count.
    IgnoreLife,
    /// Nobody is ever silent.
    NeverSilent,
    /// A client that comes back has another token.
    ForgetToken,
    /// An honest client gives up.
    NoSecondTry,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Ids,
    Messages,
    Octets,
    OctetsOfSender,
    OctetsOfAll,
    Watched,
    Watchers,
}

impl Bug {
    pub(super) const ALL: [(Self, Promise); 44] = [
        (Self::WrongSocket, Promise::Stranger),
        (Self::BelieveSource, Promise::Stranger),
        (Self::BelieveAnyToken, Promise::Owner),
        (Self::BelieveAnyProof, Promise::Owner),
        (Self::ForgetHolds, Promise::Owner),
        (Self::FreeTwice, Promise::Owner),
        (Self::KeepReplaced, Promise::Owner),
        (Self::RefuseMutely, Promise::First),
        (Self::OpenLate, Promise::First),
        (Self::OpenTwice, Promise::First),
        (Self::SendAfterClose, Promise::First),
        (Self::RepeatMatter, Promise::Once),
        (Self::LoseMatter, Promise::Once),
        (Self::LoseFramesBetween, Promise::Once),
        (Self::ExpireDelivered, Promise::Once),
        (Self::TidyPayload, Promise::Intact),
        (Self::SwapMessages, Promise::Order),
        (Self::Overtake, Promise::Order),
        (Self::LoseExpiry, Promise::Wait),
        (Self::HastyTimer, Promise::Wait),
        (Self::LoseTimeouts, Promise::Wait),
        (Self::SlowTimer, Promise::Wait),
        (Self::NoLimit(Limit::Ids), Promise::Room),
        (Self::NoLimit(Limit::Messages), Promise::Room),
        (Self::NoLimit(Limit::Octets), Promise::Room),
        (Self::NoLimit(Limit::OctetsOfSender), Promise::Room),
        (Self::NoLimit(Limit::OctetsOfAll), Promise::Room),
        (Self::NoLimit(Limit::Watched), Promise::Room),
        (Self::NoLimit(Limit::Watchers), Promise::Room),
        (Self::MeanLimits, Promise::Room),
        (Self::CountAlone, Promise::Room),
        (Self::ForgetUnwatch, Promise::Release),
        (Self::ForgetDropped, Promise::Release),
        (Self::LoseTold, Promise::Presence),
        (Self::LoseToldBetween, Promise::Presence),
        (Self::BelieveLate, Promise::Presence),
        (Self::EndNext, Promise::Presence),
        (Self::TellHidden, Promise::Discretion),
        (Self::TellTakeover, Promise::Discretion),
        (Self::TellHold, Promise::Discretion),
        (Self::IgnoreLife, Promise::Alive),
        (Self::NeverSilent, Promise::Alive),
        (Self::ForgetToken, Promise::Return),
        (Self::NoSecondTry, Promise::Return),
    ];

    fn limits(self, config: &Config) -> Config {
        let mut config = config.clone();
        let far = usize::MAX / 2;
        match self {
            Self::NoLimit(limit) => match limit {
                Limit::Ids => config.peers = far,
                Limit::Messages => config.waiting_messages = far,
                Limit::Octets => config.waiting_octets = far,
                Limit::OctetsOfSender => config.sender_waiting_octets = far,
                Limit::OctetsOfAll => config.all_waiting_octets = far,
                Limit::Watched => config.watched = far,
                Limit::Watchers => config.watchers = far,
            },
            Self::MeanLimits => config.waiting_messages /= 2,
            _ => {}
        }
        config
    }
}

/// A router, and what is wrong with it.
pub(super) struct Shard {
    pub(super) router: Router,
    bug: Option<Bug>,
    outputs: VecDeque<Output>,
    /// The tokens that the holders of ids came with.
    tokens: BTreeMap<String, String>,
    /// Who is in under which id: the sockets in order.
    sockets: Vec<(ConnId, String)>,
    /// The last that gave up its place, and to whom.
    replaced: Option<(ConnId, String)>,
    left: Vec<(ConnId, String)>,
    watchers: Vec<(PeerId, Watcher)>,
    count: u64,
}

impl Shard {
    pub(super) fn new(config: &Config, totals: &Arc<Totals>, bug: Option<Bug>) -> Self {
        let config = bug.map_or_else(|| config.clone(), |bug| bug.limits(config));
        let totals = match bug {
            Some(Bug::CountAlone) => Arc::default(),
            _ => totals.clone(),
        };
        Self {
            router: Router::new(config, totals),
            bug,
            outputs: VecDeque::new(),
            tokens: BTreeMap::new(),
            sockets: Vec::new(),
            replaced: None,
            left: Vec::new(),
            watchers: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let Some(bug) = self.bug else {
            self.router.handle_input(input, now);
            return self.drain();
        };
        match (bug, input) {
            (_, Input::Opened(conn, hello)) => self.open(bug, conn, hello, now),
            (Bug::BelieveSource, Input::Received(conn, frame)) => {
                let claim = frame.src.clone();
                self.router.handle_input(Input::Received(conn, frame), now);
                if let Some(claim) = claim {
                    self.drain_with(|output| forge(output, &claim));
                }
            }
            (Bug::FreeTwice, Input::Received(conn, frame)) => {
                if frame.kind == Kind::Leave && frame.dst.is_none() {
                    let known = self.sockets.iter().find(|(known, _)| *known == conn);
                    self.left.extend(known.cloned());
                }
                self.router.handle_input(Input::Received(conn, frame), now);
            }
            (Bug::FreeTwice, Input::Closed(conn, departure)) => {
                let left = self.left.iter().find(|(left, _)| *left == conn);
                let conn = left.and_then(|(_, id)| self.holder_of(id)).unwrap_or(conn);
                self.router
                    .handle_input(Input::Closed(conn, departure), now);
            }
            (Bug::ForgetHolds, Input::Closed(conn, _)) => {
                let clean = Input::Closed(conn, Departure::Clean);
                self.router.handle_input(clean, now);
            }
            (Bug::TellHold, Input::Closed(conn, departure)) => {
                let closed = Input::Closed(conn, departure);
                self.router.handle_input(closed, now);
                let known = self.sockets.iter().find(|(known, _)| *known == conn);
                if let Some((_, id)) = known.cloned()
                    && self.router.is_held(&id)
                {
                    self.tell(&id, Presence::Offline);
                }
            }
            (Bug::IgnoreLife, Input::Beat(_)) => {}
            (Bug::IgnoreLife, Input::Received(_, frame)) if frame.kind == Kind::Heartbeat => {}
            (_, Input::Routed(routed)) => self.arrive(bug, routed, now),
            (_, input) => self.router.handle_input(input, now),
        }
        self.drain();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.bug {
            Some(Bug::NeverSilent) => {
                for (conn, _) in &self.sockets {
                    self.router.handle_input(Input::Beat(*conn), now);
                }
                self.router.handle_timeout(now);
            }
            Some(Bug::HastyTimer) => self.router.handle_timeout(now + Duration::from_secs(1)),
            Some(Bug::SlowTimer) => self.router.handle_timeout(now - Duration::from_secs(1)),
            _ => self.router.handle_timeout(now),
        }
        self.drain();
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.router.poll_timeout();
        due.filter(|_| self.bug != Some(Bug::LoseTimeouts))
    }

    /// Whether the network between the shards loses this.
    pub(super) fn loses(bug: Option<Bug>, routed: &Routed) -> bool {
        match (bug, &routed.matter) {
            (Some(Bug::LoseToldBetween), Matter::Told { of, .. }) => {
                of.as_str().starts_with("peer")
            }
            (Some(Bug::LoseFramesBetween), Matter::Frame { .. }) => true,
            _ => false,
        }
    }

    /// The server ends.
    pub(super) fn end(self) {
        if self.bug == Some(Bug::ForgetDropped) {
            std::mem::forget(self.router);
        }
    }

    fn open(&mut self, bug: Bug, conn: ConnId, hello: Hello<'_>, now: Instant) {
        self.replaced = self
            .holder_of(hello.id)
            .map(|old| (old, hello.id.to_owned()));
        let known = self.tokens.get(hello.id).cloned();
        let (mut token, mut proven) = (hello.token.to_owned(), hello.proof.to_owned());
        match (bug, known, key_of(hello.id)) {
            (Bug::BelieveAnyToken, Some(known), None) => token = known,
            (Bug::ForgetToken, Some(_), None) => token.push('\''),
            (Bug::BelieveAnyProof, _, Some(key)) => proven = proof(key, &token),
            _ => {}
        }
        let hello = Hello {
            token: &token,
            proof: &proven,
            visible: hello.visible || bug == Bug::TellHidden,
            ..hello
        };
        let held = self.router.is_held(hello.id);
        self.router.handle_input(Input::Opened(conn, hello), now);
        let is_in = self.router.authorize(hello.id, &token) == Ok(conn);
        if is_in {
            self.sockets.push((conn, hello.id.to_owned()));
            self.tokens.insert(hello.id.to_owned(), token.clone());
        }
        if is_in && held && bug == Bug::TellTakeover && hello.visible {
            self.tell(hello.id, Presence::Online);
        }
    }

    /// Tells all who have ever watched.
    fn tell(&mut self, id: &str, presence: Presence) {
        for (of, watcher) in &self.watchers {
            if *of == *id {
                let matter = Matter::Told {
                    watcher: watcher.conn,
                    number: watcher.number,
                    of: of.clone(),
                    serial: u64::MAX,
                    presence,
                };
                let to = watcher.id.clone();
                self.outputs.push_back(Output::Route(Routed { to, matter }));
            }
        }
    }

    fn arrive(&mut self, bug: Bug, mut routed: Routed, now: Instant) {
        self.count += 1;
        let sometimes = self.count.is_multiple_of(8);
        if let Matter::Watch { watcher } = &routed.matter {
            self.watchers.push((routed.to.clone(), watcher.clone()));
        }
        match (bug, &mut routed.matter) {
            (Bug::BelieveLate, Matter::Told { serial, .. }) => *serial = u64::MAX,
            (Bug::EndNext, Matter::Unwatch { watcher }) => watcher.number = u64::MAX,
            (Bug::RepeatMatter, Matter::Frame { .. }) if sometimes => {
                self.router.handle_input(Input::Routed(routed.clone()), now);
            }
            (Bug::LoseMatter, Matter::Frame { .. }) if sometimes => return,
            (Bug::LoseExpiry, Matter::Expired { .. }) => return,
            // Of those whom nobody hears of again.
            (Bug::ForgetUnwatch, Matter::Unwatch { .. })
                if !self.tokens.contains_key(routed.to.as_str()) =>
            {
                return;
            }
            (Bug::LoseTold, Matter::Told { .. }) if sometimes => return,
            _ => {}
        }
        self.router.handle_input(Input::Routed(routed), now);
    }

    fn drain(&mut self) {
        self.drain_with(|_| {});
    }

    /// Takes what the router did, as the bug has it.
    fn drain_with(&mut self, mut change: impl FnMut(&mut Output)) {
        let begin = self.outputs.len();
        while let Some(mut output) = self.router.poll_output() {
            change(&mut output);
            self.take(output);
        }
        let is_open = |output: &Output| matches!(output, Output::Send(_, text) if text == OPEN);
        let sends = |output: &Output| match output {
            Output::Send(conn, _) => Some(*conn),
            _ => None,
        };
        for at in begin + 1..self.outputs.len() {
            let (one, two) = (&self.outputs[at - 1], &self.outputs[at]);
            let together = sends(one).is_some() && sends(one) == sends(two);
            if together
                && match self.bug {
                    Some(Bug::OpenLate) => is_open(one),
                    Some(Bug::SwapMessages) => !is_open(one),
                    _ => false,
                }
            {
                self.outputs.swap(at - 1, at);
                break;
            }
        }
    }

    fn take(&mut self, output: Output) {
        let mut more = None;
        match (self.bug, &output) {
            (Some(Bug::KeepReplaced), Output::Close(_, CloseReason::Replaced)) => return,
            (Some(Bug::RefuseMutely), Output::Send(_, text))
                if text.contains("ERROR") || text.contains("ID-TAKEN") =>
            {
                return;
            }
            (Some(Bug::OpenTwice), Output::Send(conn, text)) if text == OPEN => {
                more = Some(Output::Send(*conn, OPEN.into()));
            }
            (Some(Bug::WrongSocket), Output::Send(conn, text)) if is_relayed(text) => {
                let mut others = self.sockets.iter().rev();
                if let Some((other, _)) = others.find(|(other, _)| other != conn) {
                    return self.outputs.push_back(Output::Send(*other, text.clone()));
                }
            }
            (Some(Bug::SendAfterClose), Output::Send(_, text)) if is_relayed(text) => {
                if let Some((old, _)) = &self.replaced {
                    more = Some(Output::Send(*old, text.clone()));
                }
            }
            (Some(Bug::ExpireDelivered), Output::Send(_, text)) if is_relayed(text) => {
                if let Ok(Frame {
                    src: Some(src),
                    dst: Some(dst),
                    kind: Kind::Offer,
                    ..
                }) = Frame::parse(text.as_bytes())
                    && self.replaced.is_none()
                {
                    let missing = dst;
                    let matter = Matter::Expired { missing };
                    more = Some(Output::Route(Routed { to: src, matter }));
                }
            }
            (Some(Bug::TidyPayload), Output::Send(conn, text)) if is_relayed(text) => {
                let tidy = tidied(text).unwrap_or_else(|| text.to_string());
                return self.outputs.push_back(Output::Send(*conn, tidy.into()));
            }
            _ => {}
        }
        self.outputs.push_back(output);
        self.outputs.extend(more);
    }

    fn holder_of(&self, id: &str) -> Option<ConnId> {
        let token = self.tokens.get(id)?;
        self.router.authorize(id, token).ok()
    }
}

fn is_relayed(text: &str) -> bool {
    text.contains("number ")
}

fn forge(output: &mut Output, claim: &str) {
    if let Output::Route(Routed { matter, .. }) = output
        && let Matter::Frame { text, .. } = matter
        && let Ok(mut frame) = Frame::parse(text.as_bytes())
    {
        frame.src = PeerId::parse(claim).ok();
        *text = frame.to_text();
    }
}

fn tidied(text: &str) -> Option<String> {
    let mut frame = Frame::parse(text.as_bytes()).ok()?;
    let payload = frame.payload.as_deref().map(RawValue::get)?;
    let tidy = payload.replace("  ", " ");
    frame.payload = Some(to_raw_value(&serde_json::from_str::<&RawValue>(&tidy).ok()?).ok()?);
    Some(frame.to_text())
}
