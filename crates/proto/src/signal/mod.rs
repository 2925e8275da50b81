//! Who is online at a PeerJS server, what waits for whom, what expires, who is told of whom.
//!
//! Feed one input, drain [`Router::poll_output`] to `None`, re-arm at [`Router::poll_timeout`]. Never blocks; no input can panic it. The shell owns the
//! sockets: it hands over what they say and does what the outputs ask for, in their order.
//!
//! A router is one shard. Each id belongs to one of them, whichever the shell's hash names, and with it the sockets that hold it, what waits for it and
//! who watches it. What concerns another id leaves as [`Output::Route`], and goes as [`Input::Routed`] to that id's shard, which may be the same one. What
//! one shard says to another arrives in order, or else some of it is as if it had been sent later, or lost: no order of arrival breaks a router.
//!
//! Where this differs from peerjs-server 1.0 it does so on purpose: `docs/compat.md` holds the table.

mod presence;
mod registration;
mod timers;
mod waiting;

#[cfg(test)]
pub(crate) mod census;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::wire::id::{PeerId, Token, is_key_shaped};
use crate::wire::signal::{self, FrameRef, Kind, Presence, Refused};

use presence::{Watch, Watchers};
use registration::owns;
pub use registration::{Hello, fresh_id};
use timers::{TimerKey, Timers};
use waiting::{Full, Waiting};

/// Limits and times of a [`Router`].
#[derive(Clone, Debug)]
pub struct Config {
    /// What clients must name as `key`. Default `peerjs`, as the stock server. A name, not a secret: it is in every page.
    pub key: String,
    /// How long a message waits for an absent peer before its sender gets `EXPIRE`. Default 5 s, as the stock server; longer mostly hides mistyped ids.
    pub expire_after: Duration,
    /// Silence after which a socket is closed and its id freed; whatever it sends counts, pings too. Default 90 s, as the stock server's library:
    /// browsers let a hidden page's timers run once a minute.
    pub alive_for: Duration,
    /// Longest time for which an id stays its holder's after a socket broke off. Default 60 s. Clients ask for it ([`Hello::hold`]); stock clients do not,
    /// and theirs are free at once: they come back with another token.
    pub hold_at_most: Duration,
    /// Ids that are kept in this way at a time. Default 10,000, a tenth of all: they cost no connection. One more is free at once.
    pub held: usize,
    /// Ids held at a time. Default 100,000, some 2 kB each; the stock server's 5,000 had to make up for its missing other limits.
    pub peers: usize,
    /// Messages that wait for one absent id. Default 64: an offer with all its candidates for several callers. One more is dropped, and its sender
    /// told at once with `EXPIRE`, unless it is a candidate.
    pub waiting_messages: usize,
    /// Octets that wait for one absent id. Default 4 MiB: two messages of the largest size. Overflow as above.
    pub waiting_octets: usize,
    /// Octets of one sender that wait in one shard. Default 8 MiB. Overflow as above.
    pub sender_waiting_octets: usize,
    /// Octets that wait for all absent ids together, 256 more counted for each message. Default 64 MiB. Overflow as above.
    pub all_waiting_octets: usize,
    /// Ids that one socket may watch. Default 256. One more is refused.
    pub watched: usize,
    /// Sockets that may watch one id. Default 1,024. One more is refused.
    pub watchers: usize,
    /// Subscriptions of all sockets together. Default 200,000, some 300 octets each with ids of the usual length. One more is refused.
    pub all_watched: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: "peerjs".to_owned(),
            expire_after: Duration::from_secs(5),
            alive_for: Duration::from_secs(90),
            hold_at_most: Duration::from_secs(60),
            held: 10_000,
            peers: 100_000,
            waiting_messages: 64,
            waiting_octets: 4 * 1024 * 1024,
            sender_waiting_octets: 8 * 1024 * 1024,
            all_waiting_octets: 64 * 1024 * 1024,
            watched: 256,
            watchers: 1_024,
            all_watched: 200_000,
        }
    }
}

/// What all shards of one server count together.
#[derive(Debug, Default)]
pub struct Totals {
    peers: AtomicUsize,
    held: AtomicUsize,
    watches: AtomicUsize,
    waiting: AtomicUsize,
    registrations: AtomicU64,
}

/// Adds to a total unless that would exceed the limit.
fn reserve(total: &AtomicUsize, amount: usize, limit: usize) -> bool {
    total
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(amount).filter(|sum| *sum <= limit)
        })
        .is_ok()
}

/// The shell's name for one socket; never used again within a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket opened, and this is what its URL said.
    Opened(ConnId, Hello<'a>),
    /// A text or binary message came, and was a frame.
    Received(ConnId, FrameRef<'a>),
    /// A ping or pong came, or a message that is no frame: another's mistake, or a later version's, is no reason to cut a socket.
    Beat(ConnId),
    /// The socket is gone.
    Closed(ConnId, Departure),
    /// Another shard's, or this one's, [`Output::Route`].
    Routed(Routed),
    /// A frame of another peer's that was to be sent, for whose reader too much waits already.
    Undelivered(FrameRef<'a>),
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// With a close frame: its client meant it.
    Clean,
    /// Without one.
    Lost,
}

/// What the shell is to do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Send this text message.
    Send(ConnId, Cow<'static, str>),
    /// Close the socket after what was sent before. The id is free already; what the socket still says counts for nothing.
    Close(ConnId, CloseReason),
    /// Hand this to the shard of [`Routed::to`].
    Route(Routed),
    /// The id is held, and was not before.
    Came(PeerId),
    /// The id is free again.
    Went(PeerId),
}

/// Something for the holder of an id, or about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Routed {
    pub(crate) to: PeerId,
    pub(crate) matter: Matter,
}

impl Routed {
    /// The id whose shard this is for.
    #[must_use]
    pub const fn to(&self) -> &PeerId {
        &self.to
    }
}

/// What it is about: a secret between shards, which the simulation shares.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Matter {
    /// A frame from `src`, as it is to be sent.
    Frame {
        src: PeerId,
        kind: Kind,
        text: String,
    },
    /// `missing` did not come in time.
    Expired { missing: PeerId },
    /// A socket wants to be told of the id.
    Watch { watcher: Watcher },
    /// It does no longer.
    Unwatch { watcher: Watcher },
    /// For one socket of the id: what it asked to be told of.
    Told {
        watcher: ConnId,
        /// The subscription's, as far as the shard of `of` knows.
        number: u64,
        of: PeerId,
        /// Orders what this shard tells.
        serial: u64,
        presence: Presence,
    },
}

/// A socket that watches, and under which id it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watcher {
    pub(crate) id: PeerId,
    pub(crate) conn: ConnId,
    /// Which subscription: a later one of the same socket has a higher number.
    pub(crate) number: u64,
}

/// Without the text: payloads hold addresses and proofs.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(conn, text) => f
                .debug_tuple("Send")
                .field(conn)
                .field(&text.len())
                .finish(),
            Self::Close(conn, reason) => f.debug_tuple("Close").field(conn).field(reason).finish(),
            Self::Route(routed) => f.debug_tuple("Route").field(routed).finish(),
            Self::Came(id) => f.debug_tuple("Came").field(id).finish(),
            Self::Went(id) => f.debug_tuple("Went").field(id).finish(),
        }
    }
}

/// Without the text.
impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Routed");
        debug.field("to", &self.to);
        match &self.matter {
            Matter::Frame { src, kind, text } => debug
                .field("src", src)
                .field("kind", kind)
                .field("octets", &text.len()),
            Matter::Expired { missing } => debug.field("expired", missing),
            Matter::Watch { watcher } => debug.field("watch", watcher),
            Matter::Unwatch { watcher } => debug.field("unwatch", watcher),
            Matter::Told { of, presence, .. } => debug.field("of", of).field("presence", presence),
        }
        .finish()
    }
}

/// Why the router ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It was not let in; the frame before says why.
    Refused(Refused),
    /// Another socket with the same token, or with the key's proof, took the id over.
    Replaced,
    /// Nothing came from it for [`Config::alive_for`].
    Silent,
}

/// Why someone may not act for an id without its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unauthorized {
    /// Nobody is connected under the id.
    UnknownId,
    /// Its token is another.
    WrongToken,
}

/// The signalling server's machine: one shard of its ids.
///
/// Cost of every input: O(log n) in the sockets, plus what is delivered.
#[derive(Debug)]
pub struct Router {
    config: Config,
    totals: Arc<Totals>,
    // Hashed, not ordered: ids are strangers' choice, and nothing is ever done in these maps' order.
    conns: HashMap<ConnId, Conn>,
    holders: HashMap<PeerId, Holder>,
    waiting: Waiting,
    watchers: Watchers,
    /// Numbers subscriptions and what subscribers are told.
    serial: u64,
    timers: Timers<Timer>,
    outputs: VecDeque<Output>,
}

/// Who has an id.
#[derive(Debug)]
enum Holder {
    Conn(ConnId),
    /// Whoever comes back with the token, for as long as the timer runs.
    Absent(Box<Absent>),
}

#[derive(Debug)]
struct Absent {
    token: Token,
    registered: u64,
    visible: bool,
    timer: TimerKey,
}

/// A socket that was let in.
#[derive(Debug)]
struct Conn {
    id: PeerId,
    token: Token,
    /// Order of registration; none after a `LEAVE` without `dst`, when the socket has no id any more.
    registered: Option<u64>,
    hold: Duration,
    visible: bool,
    /// The ids that it watches.
    watches: Vec<Watch>,
    seen: Instant,
    alive: TimerKey,
}

#[derive(Debug)]
enum Timer {
    Alive(ConnId),
    Expire(Box<Pair>),
    Release(PeerId),
}

#[derive(Debug)]
struct Pair {
    src: PeerId,
    dst: PeerId,
}

impl Router {
    /// A shard without clients, of the server whose totals these are.
    #[must_use]
    pub fn new(config: Config, totals: Arc<Totals>) -> Self {
        Self {
            waiting: Waiting::new(&config, totals.clone()),
            watchers: Watchers::new(config.watchers),
            serial: 0,
            config,
            totals,
            conns: HashMap::new(),
            holders: HashMap::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Opened(conn, hello) => self.opened(conn, &hello, now),
            Input::Received(conn, frame) => self.received(conn, &frame, now),
            Input::Beat(conn) => {
                self.seen(conn, now);
            }
            Input::Closed(conn, departure) => self.closed(conn, departure, now),
            Input::Routed(Routed { to, matter }) => self.routed(to, matter, now),
            Input::Undelivered(frame) => self.undelivered(&frame),
        }
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Alive(conn) => self.check_alive(conn, now),
                Timer::Expire(pair) => {
                    let Pair { src, dst } = *pair;
                    self.waiting.expire(&dst, &src);
                    self.route(src, Matter::Expired { missing: dst });
                }
                Timer::Release(id) => {
                    if let Some(Holder::Absent(absent)) = self.holders.remove(&id) {
                        self.totals.held.fetch_sub(1, Ordering::Relaxed);
                        self.freed(id, absent.visible);
                    }
                }
            }
        }
    }

    /// What is to be done next, if anything.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Router::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the id is anybody's.
    #[must_use]
    pub fn is_held(&self, id: &str) -> bool {
        self.holders.contains_key(id)
    }

    /// The socket of an id, for who names its token.
    ///
    /// # Errors
    /// See [`Unauthorized`].
    pub fn authorize(&self, id: &str, token: &str) -> Result<ConnId, Unauthorized> {
        let Some(Holder::Conn(conn)) = self.holders.get(id) else {
            return Err(Unauthorized::UnknownId);
        };
        let token = Token::parse(token).map_err(|_| Unauthorized::WrongToken)?;
        match self.conns.get(conn) {
            Some(held) if held.token == token => Ok(*conn),
            _ => Err(Unauthorized::WrongToken),
        }
    }

    /// The ids held now, each with a number that orders the registrations at all shards.
    pub fn peers(&self) -> impl Iterator<Item = (u64, &PeerId)> {
        self.holders.iter().filter_map(|(id, holder)| match holder {
            Holder::Conn(conn) => Some((self.conns.get(conn)?.registered?, id)),
            Holder::Absent(absent) => Some((absent.registered, id)),
        })
    }

    fn opened(&mut self, conn: ConnId, hello: &Hello<'_>, now: Instant) {
        let (id, token) = match self.admit(hello) {
            Ok(admitted) => admitted,
            Err(refused) => {
                self.send(conn, Cow::Borrowed(refused.as_str()));
                self.outputs
                    .push_back(Output::Close(conn, CloseReason::Refused(refused)));
                return;
            }
        };
        let visible = match self.holders.remove(&id) {
            Some(Holder::Conn(old)) => {
                let visible = self.forget(old).is_some_and(|old| old.visible);
                self.outputs
                    .push_back(Output::Close(old, CloseReason::Replaced));
                visible
            }
            Some(Holder::Absent(absent)) => {
                self.totals.held.fetch_sub(1, Ordering::Relaxed);
                self.timers.cancel(absent.timer);
                absent.visible
            }
            None => {
                self.outputs.push_back(Output::Came(id.clone()));
                false
            }
        };
        let alive = self
            .timers
            .arm(now + self.config.alive_for, Timer::Alive(conn));
        self.holders.insert(id.clone(), Holder::Conn(conn));
        self.send(conn, Cow::Borrowed(signal::OPEN));
        if let Some(mailbox) = self.waiting.take(&id) {
            for timer in mailbox.timers {
                self.timers.cancel(timer);
            }
            for text in mailbox.texts {
                self.send(conn, Cow::Owned(text));
            }
        }
        if visible != hello.visible {
            self.tell_watchers(&id, hello.visible);
        }
        self.conns.insert(
            conn,
            Conn {
                id,
                token,
                registered: Some(self.totals.registrations.fetch_add(1, Ordering::Relaxed)),
                hold: hello.hold.min(self.config.hold_at_most),
                visible: hello.visible,
                watches: Vec::new(),
                seen: now,
                alive,
            },
        );
    }

    /// Who a new socket may be, in the order of peerjs-server's checks. An id that was free is counted as held from here on.
    fn admit(&self, hello: &Hello<'_>) -> Result<(PeerId, Token), Refused> {
        if hello.key.is_empty() {
            return Err(Refused::MissingParameter);
        }
        let id = PeerId::parse(hello.id).map_err(|_| Refused::MissingParameter)?;
        let token = Token::parse(hello.token).map_err(|_| Refused::MissingParameter)?;
        if hello.key != self.config.key {
            return Err(Refused::WrongKey);
        }
        let holder = self.holders.get(&id);
        if is_key_shaped(hello.id) {
            // The proof counts for more than the token: a restarted device has a new one, and its own dead socket in its way.
            if !owns(hello, &id, &token) {
                return Err(Refused::ProofRequired);
            }
        } else if holder.is_some_and(|holder| self.token_of(holder) != Some(&token)) {
            return Err(Refused::IdTaken);
        }
        if holder.is_none() && !reserve(&self.totals.peers, 1, self.config.peers) {
            return Err(Refused::Full);
        }
        Ok((id, token))
    }

    fn token_of<'a>(&'a self, holder: &'a Holder) -> Option<&'a Token> {
        match holder {
            Holder::Conn(conn) => self.conns.get(conn).map(|conn| &conn.token),
            Holder::Absent(absent) => Some(&absent.token),
        }
    }

    fn received(&mut self, conn: ConnId, frame: &FrameRef<'_>, now: Instant) {
        let Some(sender) = self.seen(conn, now) else {
            return;
        };
        if sender.registered.is_none() {
            return;
        }
        let src = sender.id.clone();
        match (frame.kind, frame.dst.as_deref()) {
            (
                Kind::Offer | Kind::Answer | Kind::Candidate | Kind::Leave | Kind::Expire,
                Some(dst),
            ) => {
                let Ok(dst) = PeerId::parse(dst) else { return };
                let text = frame.relayed_from(src.as_str());
                let kind = frame.kind;
                self.route(dst, Matter::Frame { src, kind, text });
            }
            (Kind::Leave, None) => {
                sender.registered = None;
                let visible = sender.visible;
                self.unwatch_all(conn);
                self.holders.remove(&src);
                self.freed(src, visible);
            }
            (Kind::Subscribe, Some(dst)) => self.subscribe(conn, src, dst),
            (Kind::Unsubscribe, Some(dst)) => self.unsubscribe(conn, src, dst),
            _ => {}
        }
    }

    fn routed(&mut self, to: PeerId, matter: Matter, now: Instant) {
        match matter {
            Matter::Frame { src, kind, text } => self.deliver(to, src, kind, text, now),
            Matter::Expired { missing } => {
                if let Some(&Holder::Conn(holder)) = self.holders.get(&to) {
                    let text = signal::expire(missing.as_str(), to.as_str());
                    self.send(holder, Cow::Owned(text));
                }
            }
            Matter::Watch { watcher } => self.watch(to, watcher),
            Matter::Unwatch { watcher } => self.watchers.remove(&to, &watcher),
            Matter::Told {
                watcher: conn,
                number,
                of,
                serial,
                presence,
            } => {
                let watcher = Watcher {
                    id: to,
                    conn,
                    number,
                };
                self.told(watcher, of, serial, presence);
            }
        }
    }

    /// To the holder, or into its mailbox.
    fn deliver(&mut self, dst: PeerId, src: PeerId, kind: Kind, text: String, now: Instant) {
        if let Some(&Holder::Conn(holder)) = self.holders.get(&dst) {
            return self.send(holder, Cow::Owned(text));
        }
        if !matches!(kind, Kind::Offer | Kind::Answer | Kind::Candidate) {
            return;
        }
        let timers = &mut self.timers;
        let pushed = self.waiting.push(&dst, &src, text, || {
            let (src, dst) = (src.clone(), dst.clone());
            let pair = Box::new(Pair { src, dst });
            timers.arm(now + self.config.expire_after, Timer::Expire(pair))
        });
        if let Err(Full) = pushed
            && kind != Kind::Candidate
        {
            self.route(src, Matter::Expired { missing: dst });
        }
    }

    /// As if there were nobody: it is the sender's to try again, and no fault of who reads.
    fn undelivered(&mut self, frame: &FrameRef<'_>) {
        let id = |id: &Option<Cow<'_, str>>| PeerId::parse(id.as_deref()?).ok();
        if matches!(frame.kind, Kind::Offer | Kind::Answer)
            && let (Some(src), Some(missing)) = (id(&frame.src), id(&frame.dst))
        {
            self.route(src, Matter::Expired { missing });
        }
    }

    fn closed(&mut self, id: ConnId, departure: Departure, now: Instant) {
        let Some(conn) = self.forget(id) else { return };
        // After a LEAVE the id may belong to another socket by now.
        let Some(registered) = conn.registered else {
            return;
        };
        if departure == Departure::Lost
            && !conn.hold.is_zero()
            && reserve(&self.totals.held, 1, self.config.held)
        {
            let release = Timer::Release(conn.id.clone());
            let timer = self.timers.arm(now + conn.hold, release);
            let absent = Absent {
                token: conn.token,
                registered,
                visible: conn.visible,
                timer,
            };
            self.holders
                .insert(conn.id, Holder::Absent(Box::new(absent)));
        } else {
            self.holders.remove(&conn.id);
            self.freed(conn.id, conn.visible);
        }
    }

    /// The timer is not moved at every message but looks, when it fires, whether there was one: one entry a socket and period.
    fn check_alive(&mut self, id: ConnId, now: Instant) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let due = conn.seen + self.config.alive_for;
        if due > now {
            conn.alive = self.timers.arm(due, Timer::Alive(id));
        } else {
            self.outputs
                .push_back(Output::Close(id, CloseReason::Silent));
            self.closed(id, Departure::Lost, now);
        }
    }

    /// A socket counts no more. Who has its id now is for the caller to say.
    fn forget(&mut self, id: ConnId) -> Option<Conn> {
        self.unwatch_all(id);
        let conn = self.conns.remove(&id)?;
        self.timers.cancel(conn.alive);
        Some(conn)
    }

    /// Nobody holds the id any more.
    fn freed(&mut self, id: PeerId, visible: bool) {
        self.totals.peers.fetch_sub(1, Ordering::Relaxed);
        if visible {
            self.tell_watchers(&id, false);
        }
        self.outputs.push_back(Output::Went(id));
    }

    fn seen(&mut self, conn: ConnId, now: Instant) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(&conn)?;
        conn.seen = now;
        Some(conn)
    }

    fn send(&mut self, conn: ConnId, text: Cow<'static, str>) {
        self.outputs.push_back(Output::Send(conn, text));
    }

    fn route(&mut self, to: PeerId, matter: Matter) {
        self.outputs.push_back(Output::Route(Routed { to, matter }));
    }
}

/// A shard that ends takes what it held out of the totals.
impl Drop for Router {
    fn drop(&mut self) {
        let absent = |holder: &&Holder| matches!(holder, Holder::Absent(_));
        let held = self.holders.values().filter(absent).count();
        let watches = self.conns.values().map(|conn| conn.watches.len()).sum();
        let Totals {
            peers,
            held: all_held,
            watches: all_watches,
            ..
        } = &*self.totals;
        peers.fetch_sub(self.holders.len(), Ordering::Relaxed);
        all_held.fetch_sub(held, Ordering::Relaxed);
        all_watches.fetch_sub(watches, Ordering::Relaxed);
    }
}
