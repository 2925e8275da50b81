//! Who is online at a PeerJS server, what waits for whom, what expires.
//!
//! Feed one input, drain [`Router::poll_output`] to `None`, re-arm at [`Router::poll_timeout`]. Never blocks; no input can panic it. The shell owns the
//! sockets: it hands over what they say and does what the outputs ask for, in their order.
//!
//! Where this differs from peerjs-server 1.0 it does so on purpose: `tests/peerjs_server.rs` holds the table.

mod registration;
mod timers;
mod waiting;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use rand_core::Rng;

use crate::wire::id::{PeerId, Token, is_key_shaped};
use crate::wire::signal::{self, FrameRef, Kind, Refused};

pub use registration::Hello;
use registration::owns;
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
    /// Ids held at a time. Default 100,000, some 2 kB each; the stock server's 5,000 had to make up for its missing other limits.
    pub peers: usize,
    /// Messages that wait for one absent id. Default 64: an offer with all its candidates for several callers. One more is dropped, and its sender
    /// told at once with `EXPIRE`, unless it is a candidate.
    pub waiting_messages: usize,
    /// Octets that wait for one absent id. Default 4 MiB: two messages of the largest size. Overflow as above.
    pub waiting_octets: usize,
    /// Octets that wait for all absent ids together, 256 more counted for each message. Default 64 MiB. Overflow as above.
    pub all_waiting_octets: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: "peerjs".to_owned(),
            expire_after: Duration::from_secs(5),
            alive_for: Duration::from_secs(90),
            peers: 100_000,
            waiting_messages: 64,
            waiting_octets: 4 * 1024 * 1024,
            all_waiting_octets: 64 * 1024 * 1024,
        }
    }
}

/// The shell's name for one socket; never used again within a [`Router`]'s life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket opened, and this is what its URL said.
    Opened(ConnId, Hello<'a>),
    /// A text or binary message came.
    Received(ConnId, &'a [u8]),
    /// A ping or pong came.
    Beat(ConnId),
    /// The socket is gone.
    Closed(ConnId),
}

/// What the shell is to do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Send this text message.
    Send(ConnId, Cow<'static, str>),
    /// Close the socket after what was sent before. The id is free already; what the socket still says counts for nothing.
    Close(ConnId, CloseReason),
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
        }
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

/// Why somebody may not speak for an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotYours {
    /// No socket holds the id.
    Unknown,
    /// The one that does has another token.
    WrongToken,
}

/// The signalling server's machine: one realm of ids.
///
/// Cost of every input: O(log n) in the sockets, plus what is delivered.
#[derive(Debug)]
pub struct Router<R> {
    config: Config,
    rng: R,
    // Hashed, not ordered: ids are strangers' choice, and nothing is ever done in these maps' order.
    conns: HashMap<ConnId, Conn>,
    holders: HashMap<PeerId, ConnId>,
    waiting: Waiting,
    timers: Timers<Timer>,
    registrations: u64,
    outputs: VecDeque<Output>,
    freed: VecDeque<PeerId>,
}

/// A socket that was let in.
#[derive(Debug)]
struct Conn {
    id: PeerId,
    token: Token,
    /// Order of registration; none after a `LEAVE` without `dst`, when the socket has no id any more.
    registered: Option<u64>,
    seen: Instant,
    alive: TimerKey,
}

#[derive(Debug)]
enum Timer {
    Alive(ConnId),
    Expire { src: PeerId, dst: PeerId },
}

impl<R: Rng> Router<R> {
    /// A router without clients. The generator makes [`Router::fresh_id`]s: it must not be predictable.
    pub fn new(config: Config, rng: R) -> Self {
        Self {
            waiting: Waiting::new(
                config.waiting_messages,
                config.waiting_octets,
                config.all_waiting_octets,
            ),
            config,
            rng,
            conns: HashMap::new(),
            holders: HashMap::new(),
            timers: Timers::default(),
            registrations: 0,
            outputs: VecDeque::new(),
            freed: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Opened(conn, hello) => self.opened(conn, &hello, now),
            Input::Received(conn, text) => self.received(conn, text, now),
            Input::Beat(conn) => self.seen(conn, now),
            Input::Closed(conn) => {
                let freed = self.forget(conn);
                self.freed.extend(freed);
            }
        }
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Alive(conn) => self.check_alive(conn, now),
                Timer::Expire { src, dst } => {
                    self.waiting.expire(&dst, &src);
                    self.send_expire(&dst, &src);
                }
            }
        }
    }

    /// What is to be done next, if anything.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next id that is held no longer, if any. An id that another socket took over is held all the time.
    pub fn poll_freed(&mut self) -> Option<PeerId> {
        self.freed.pop_front()
    }

    /// The socket that holds an id, for whoever knows its token.
    ///
    /// # Errors
    /// Nobody holds it, or under another token.
    pub fn check(&self, id: &PeerId, token: &Token) -> Result<ConnId, NotYours> {
        let &conn = self.holders.get(id).ok_or(NotYours::Unknown)?;
        match self.conns.get(&conn) {
            Some(holder) if holder.token == *token => Ok(conn),
            _ => Err(NotYours::WrongToken),
        }
    }

    /// When [`Router::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A new id that nobody holds: UUID version 4 (RFC 9562 section 5.4). It is not reserved.
    pub fn fresh_id(&mut self) -> String {
        loop {
            let id = registration::uuid_v4(&mut self.rng);
            if !self.holders.contains_key(id.as_str()) {
                return id;
            }
        }
    }

    /// The ids held now, in the order of their registration.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        let mut held: Vec<_> = self
            .conns
            .values()
            .filter_map(|conn| Some((conn.registered?, &conn.id)))
            .collect();
        held.sort_unstable();
        held.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn opened(&mut self, conn: ConnId, hello: &Hello<'_>, now: Instant) {
        let admitted = self.admit(hello);
        let (id, token) = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => {
                self.outputs
                    .push_back(Output::Send(conn, Cow::Borrowed(refused.as_str())));
                self.outputs
                    .push_back(Output::Close(conn, CloseReason::Refused(refused)));
                return;
            }
        };
        if let Some(&old) = self.holders.get(&id) {
            self.forget(old);
            self.outputs
                .push_back(Output::Close(old, CloseReason::Replaced));
        }
        self.registrations += 1;
        let alive = self
            .timers
            .arm(now + self.config.alive_for, Timer::Alive(conn));
        self.holders.insert(id.clone(), conn);
        self.send(conn, Cow::Borrowed(signal::OPEN));
        if let Some(mailbox) = self.waiting.take(&id) {
            for timer in mailbox.timers {
                self.timers.cancel(timer);
            }
            for text in mailbox.texts {
                self.send(conn, Cow::Owned(text));
            }
        }
        self.conns.insert(
            conn,
            Conn {
                id,
                token,
                registered: Some(self.registrations),
                seen: now,
                alive,
            },
        );
    }

    /// Who a new socket may be, in the order of peerjs-server's checks.
    fn admit(&self, hello: &Hello<'_>) -> Result<(PeerId, Token), Refused> {
        if hello.key.is_empty() {
            return Err(Refused::MissingParameter);
        }
        let id = PeerId::parse(hello.id).map_err(|_| Refused::MissingParameter)?;
        let token = Token::parse(hello.token).map_err(|_| Refused::MissingParameter)?;
        if hello.key != self.config.key {
            return Err(Refused::WrongKey);
        }
        let holder = self
            .holders
            .get(&id)
            .and_then(|holder| self.conns.get(holder));
        if is_key_shaped(hello.id) {
            // The proof counts for more than the token: a restarted device has a new one, and its own dead socket in its way.
            if !owns(hello, &id, &token) {
                return Err(Refused::ProofRequired);
            }
        } else if holder.is_some_and(|holder| holder.token != token) {
            return Err(Refused::IdTaken);
        }
        if holder.is_none() && self.holders.len() >= self.config.peers {
            return Err(Refused::Full);
        }
        Ok((id, token))
    }

    fn received(&mut self, conn: ConnId, text: &[u8], now: Instant) {
        self.seen(conn, now);
        let Some(Conn {
            id: src,
            registered: Some(_),
            ..
        }) = self.conns.get(&conn)
        else {
            return;
        };
        let src = src.clone();
        // What cannot be read is ignored: another's mistake, or a later version's frame, is no reason to cut a connection.
        let Ok(frame) = FrameRef::parse(text) else {
            return;
        };
        match (frame.kind, &frame.dst) {
            (
                Kind::Offer | Kind::Answer | Kind::Candidate | Kind::Leave | Kind::Expire,
                Some(dst),
            ) => {
                self.relay(&src, dst, &frame, now);
            }
            (Kind::Leave, None) => {
                self.holders.remove(&src);
                self.freed.push_back(src);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.registered = None;
                }
            }
            _ => {}
        }
    }

    fn relay(&mut self, src: &PeerId, dst: &str, frame: &FrameRef<'_>, now: Instant) {
        let text = frame.relayed_from(src.as_str());
        if let Some(&holder) = self.holders.get(dst) {
            return self.send(holder, Cow::Owned(text));
        }
        if !matches!(frame.kind, Kind::Offer | Kind::Answer | Kind::Candidate) {
            return;
        }
        let Ok(dst) = PeerId::parse(dst) else { return };
        let timers = &mut self.timers;
        let pushed = self.waiting.push(&dst, src, text, || {
            timers.arm(
                now + self.config.expire_after,
                Timer::Expire {
                    src: src.clone(),
                    dst: dst.clone(),
                },
            )
        });
        if let Err(Full) = pushed
            && frame.kind != Kind::Candidate
        {
            self.send_expire(&dst, src);
        }
    }

    fn send_expire(&mut self, missing: &PeerId, sender: &PeerId) {
        if let Some(&holder) = self.holders.get(sender) {
            self.send(
                holder,
                Cow::Owned(signal::expire(missing.as_str(), sender.as_str())),
            );
        }
    }

    fn send(&mut self, conn: ConnId, text: Cow<'static, str>) {
        self.outputs.push_back(Output::Send(conn, text));
    }

    fn seen(&mut self, conn: ConnId, now: Instant) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.seen = now;
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
            let freed = self.forget(id);
            self.freed.extend(freed);
            self.outputs
                .push_back(Output::Close(id, CloseReason::Silent));
        }
    }

    /// Returns the id that is held no longer, if the socket held one.
    fn forget(&mut self, id: ConnId) -> Option<PeerId> {
        let conn = self.conns.remove(&id)?;
        self.timers.cancel(conn.alive);
        // After a LEAVE the id may belong to another socket by now.
        conn.registered?;
        self.holders.remove(&conn.id);
        Some(conn.id)
    }
}
