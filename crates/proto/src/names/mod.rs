//! Who is logged in by name at the username protocol's server, and who may speak for whom. See `docs/protocol/username.md`.
//!
//! Feed one input, drain [`Names::poll_output`] to `None`, re-arm at [`Names::poll_timeout`]. Never blocks; no input can panic it. Whoever is at fault is
//! told so and stays: only silence ends a socket.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

pub use crate::signal::ConnId;
use crate::wire::username::{Fault, Message, MessageError, Name, Relay};

/// Limits and times of [`Names`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Names held at a time. Default 100,000, as the ids of the signalling server. One more is refused with `full`.
    pub names: usize,
    /// Names that one socket may hold. Default 16: the old page takes another one at each press of its button. One more is refused with `too-many-names`.
    pub names_per_socket: usize,
    /// Silence after which a socket is pinged, and again as long as it lasts. Default 20 s, as the library of the server that this replaces. At least 1 ms.
    pub ping_after: Duration,
    /// Silence after which a socket is closed and its names are free; whatever it sends counts, pongs too. Default 60 s.
    pub alive_for: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            names: 100_000,
            names_per_socket: 16,
            ping_after: Duration::from_secs(20),
            alive_for: Duration::from_secs(60),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket opened.
    Opened(ConnId),
    /// A message came, or what was none. Read by the shell: it may be long, and need not keep others waiting.
    Received(ConnId, Result<Message<'a>, MessageError>),
    /// A ping or pong came.
    Beat(ConnId),
    /// The socket is gone.
    Closed(ConnId),
}

/// What the shell is to do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Send this text message.
    Send(ConnId, String),
    /// Send a WebSocket ping.
    Ping(ConnId),
    /// Close the socket after what was sent before. Its names are free already; what it still says counts for nothing.
    Close(ConnId, CloseReason),
}

/// Without the text: it holds addresses.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(conn, text) => f
                .debug_tuple("Send")
                .field(conn)
                .field(&text.len())
                .finish(),
            Self::Ping(conn) => f.debug_tuple("Ping").field(conn).finish(),
            Self::Close(conn, reason) => f.debug_tuple("Close").field(conn).field(reason).finish(),
        }
    }
}

/// Why a socket is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Nothing came from it for [`Config::alive_for`].
    Silent,
}

/// The machine of the username protocol: one realm of names.
///
/// Cost of every input: O(log n) in the sockets, plus what is delivered.
#[derive(Debug)]
pub struct Names {
    config: Config,
    // Hashed, not ordered: names are strangers' choice, and nothing is ever done in these maps' order.
    conns: HashMap<ConnId, Conn>,
    holders: HashMap<Name, ConnId>,
    /// When to look at each socket again.
    due: BTreeSet<(Instant, ConnId)>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Conn {
    /// In the order of their logins.
    names: Vec<Name>,
    seen: Instant,
    due: Instant,
}

impl Names {
    /// A realm without clients.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            conns: HashMap::new(),
            holders: HashMap::new(),
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Opened(conn) => self.opened(conn, now),
            Input::Received(conn, message) => self.received(conn, message, now),
            Input::Beat(conn) => self.seen(conn, now),
            Input::Closed(conn) => self.forget(conn),
        }
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, conn)) = self.due.first()
            && due <= now
        {
            self.due.remove(&(due, conn));
            self.check_alive(conn, now);
        }
    }

    /// What is to be done next, if anything.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Names::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many names are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.holders.len()
    }

    fn opened(&mut self, id: ConnId, now: Instant) {
        let due = now + self.config.ping_after.min(self.config.alive_for);
        self.due.insert((due, id));
        let conn = Conn {
            names: Vec::new(),
            seen: now,
            due,
        };
        self.conns.insert(id, conn);
    }

    fn received(&mut self, conn: ConnId, message: Result<Message<'_>, MessageError>, now: Instant) {
        self.seen(conn, now);
        match message {
            _ if !self.conns.contains_key(&conn) => {}
            Ok(Message::Login(name)) => self.log_in(conn, name),
            Ok(Message::Relay(relay)) => self.relay(conn, &relay),
            Err(_) => self.fault(conn, Fault::Malformed),
        }
    }

    fn log_in(&mut self, id: ConnId, name: Name) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        match self.holders.get(&name) {
            // Clients repeat their login to stay.
            Some(&holder) if holder == id => {}
            Some(_) => self.fault(id, Fault::NameTaken(&name)),
            None if conn.names.len() >= self.config.names_per_socket => {
                self.fault(id, Fault::TooManyNames);
            }
            None if self.holders.len() >= self.config.names => self.fault(id, Fault::Full),
            None => {
                conn.names.push(name.clone());
                self.holders.insert(name, id);
            }
        }
    }

    fn relay(&mut self, id: ConnId, relay: &Relay<'_>) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Some(sender) = conn.speaks_as(relay.claimed.as_ref()) else {
            return self.fault(id, Fault::NotLoggedIn);
        };
        match self.holders.get(&relay.to) {
            Some(&holder) => {
                let text = relay.sent_by(sender);
                self.outputs.push_back(Output::Send(holder, text));
            }
            None => self.fault(id, Fault::UnknownReceiver(&relay.to)),
        }
    }

    fn fault(&mut self, conn: ConnId, fault: Fault<'_>) {
        self.outputs.push_back(Output::Send(conn, fault.to_text()));
    }

    fn seen(&mut self, conn: ConnId, now: Instant) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.seen = now;
        }
    }

    /// The deadline is not moved at every message but looks, when it comes, whether there was one: one entry a socket.
    fn check_alive(&mut self, id: ConnId, now: Instant) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let dead = conn.seen + self.config.alive_for;
        if dead <= now {
            self.forget(id);
            self.outputs
                .push_back(Output::Close(id, CloseReason::Silent));
            return;
        }
        let quiet = conn.seen + self.config.ping_after;
        let next = if quiet <= now {
            self.outputs.push_back(Output::Ping(id));
            now + self.config.ping_after
        } else {
            quiet
        };
        conn.due = next.min(dead);
        self.due.insert((conn.due, id));
    }

    fn forget(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        self.due.remove(&(conn.due, id));
        for name in conn.names {
            self.holders.remove(&name);
        }
    }
}

impl Conn {
    /// Under which of its names it sends: the one that it claims if that is its own, else the first.
    fn speaks_as(&self, claimed: Option<&Name>) -> Option<&Name> {
        claimed
            .and_then(|claimed| self.names.iter().find(|name| *name == claimed))
            .or(self.names.first())
    }
}
