//! The WebRTC engine: ICE, DTLS and SCTP for many connections on one thread. Only this folder names the stack beneath.
//!
//! [`Engine::offer`] and [`Engine::answer`] make connections; everything a connection does afterwards comes out of its
//! [`EngineConn::event`]. Nothing here speaks to a server: descriptions and candidates are the caller's to carry.
//!
//! Threads: one driver per engine owns all sockets and connections. It never blocks and never waits for a user: commands come
//! through a bounded queue, messages through bounded [`Pipe`](crate::channel::Pipe)s.

mod bell;
mod certificate;
mod conn;
mod consent;
mod demux;
mod driver;
mod flow;
mod gather;
mod interfaces;
mod leg;
mod mdns;
mod meter;
mod outside;
mod paths;
mod port;
mod record;
mod sdp;
mod servers;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use peerage_proto::wire::ice_servers::IceServer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use flow::Queues;
pub use interfaces::Addresses;
pub(crate) use meter::Meter;

use crate::connection::CloseReason;
use crate::net::Roots;
use crate::totals::Totals;
use crate::{Channel, Tried};

use bell::Bell;

/// Commands that wait for the driver; it takes all of them in every turn.
const COMMANDS: usize = 256;
/// Events of a connection that wait for its owner: a candidate per interface, four of STUN and TURN servers, and four more in its life.
const EVENTS: usize = 256;
/// As consent expires (RFC 7675 section 5.1).
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(30);
/// `.local` names of one peer that are looked up at a time.
const LOOKUPS: usize = 8;

/// What an engine is made of.
#[derive(Debug, Clone)]
pub(crate) struct EngineConfig {
    /// UDP port for incoming connections, 0 for any. Outgoing ones use ports of their own, see [`Engine::offer`].
    pub(crate) port: u16,
    /// What peers are told.
    pub(crate) addresses: Addresses,
    /// Reach peers through TURN servers only, as browsers' `iceTransportPolicy: 'relay'`.
    pub(crate) relay_only: bool,
    /// How long what servers gave is kept after a port's last connection, for the next one. Default 60 s.
    pub(crate) relay_linger: Duration,
    /// Without a word of the peer for this long the way to it is [silent](Path::Silent). Default 3 s.
    pub(crate) silent_after: Duration,
    /// Without a word of the peer for this long a connection is over. Default 30 s.
    pub(crate) lost_after: Duration,
    /// How long a connection may take until its first channel is open. Default 60 s.
    pub(crate) connect: Duration,
    /// Answered connections that may be waiting for that at a time; one more is [`EngineError::Busy`]. Default: any number.
    pub(crate) half_open: usize,
    /// What connections may hold.
    pub(crate) queues: Queues,
    /// Whom TURN servers over TLS are trusted by.
    pub(crate) roots: Roots,
    /// Where all connections' octets are counted too.
    pub(crate) totals: Arc<Totals>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            port: 0,
            addresses: Addresses::default(),
            relay_only: false,
            relay_linger: Duration::from_secs(60),
            silent_after: consent::SILENCE,
            lost_after: LOST_AFTER,
            connect: conn::CONNECT,
            half_open: usize::MAX,
            queues: Queues::default(),
            roots: Roots::default(),
            totals: Arc::default(),
        }
    }
}

/// A handle of the engine's thread, which ends with the last handle and connection.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    remote: Arc<Remote>,
    port: u16,
}

/// One connection: at first a promise of one, then its channels.
///
/// Dropping it ends the connection at once; the channel's own end delivers first what was sent.
#[derive(Debug)]
pub(crate) struct EngineConn {
    id: ConnId,
    engine: Arc<Remote>,
    events: mpsc::Receiver<Event>,
    facts: ConnFacts,
    lookups: JoinSet<()>,
}

/// What remains readable of a connection, also after its end.
#[derive(Debug, Clone)]
pub(crate) struct ConnFacts {
    pub(crate) meter: Arc<Meter>,
    pub(crate) closed: watch::Receiver<Option<CloseReason>>,
    /// Set before `closed` is.
    tried: Arc<OnceLock<Tried>>,
}

/// What happens to a connection. After its end there are no more; the reason is in [`ConnFacts::closed`].
#[derive(Debug)]
pub(crate) enum Event {
    /// A candidate of ours for the peer (`candidate:…`).
    Candidate(String),
    /// The handshake is done: SHA-256 of the certificate that the peer proved to have. Comes before `Open`.
    Certificate([u8; 32]),
    /// A data channel is open.
    Open(Channel),
    /// The way to the peer changed. Comes while the channel is open.
    Path(Path),
}

/// What became of the way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// On the way in use, nothing that only the peer can have sent has come for [`EngineConfig::silent_after`]. After
    /// [`EngineConfig::lost_after`] the connection ends.
    Silent,
    /// Addresses of this machine came or went.
    Changed,
    /// The peer is heard again after a silence, by this way or a new one.
    Back,
}

/// A new connection and its description.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) conn: EngineConn,
    /// Offer or answer, without candidates: those come as events.
    pub(crate) sdp: String,
    /// SHA-256 of the certificate in it.
    pub(crate) fingerprint: [u8; 32],
}

/// Why the engine could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("cannot open a UDP port: {0}")]
    Bind(#[source] std::io::Error),
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    #[error("the peer's description is not usable: {0}")]
    Description(String),
    #[error("the connection cannot start anew: {0}")]
    Restart(&'static str),
    #[error("the label is too long: {0} octets, at most {MAX_LABEL}")]
    Label(usize),
    #[error("too many connections to one peer")]
    Slots,
    #[error("too many connections are being made")]
    Busy,
    #[error("the engine has stopped")]
    Stopped,
}

/// Octets of a channel label; PeerJS labels are ids, and a DCEP message must fit one packet.
pub(crate) const MAX_LABEL: usize = 512;

/// A channel that an offer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInit {
    /// Its label, at most 512 octets.
    pub label: String,
    /// Whether messages arrive in the order they were sent in.
    pub ordered: bool,
    /// How often a message that got lost is sent again; `None`: until it arrives.
    pub max_retransmits: Option<u16>,
}

impl ChannelInit {
    /// A channel that delivers everything, in order.
    pub fn reliable(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ordered: true,
            max_retransmits: None,
        }
    }

    /// A channel whose messages are sent once, and arrive in any order or not at all.
    pub fn fast(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ordered: false,
            max_retransmits: Some(0),
        }
    }
}

/// Names a connection inside the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct ConnId(u64);

/// The users' side of the driver.
#[derive(Debug)]
struct Remote {
    /// Emptied on drop, so that the driver finds the queue closed when the bell rings.
    commands: Option<mpsc::Sender<Command>>,
    bell: Arc<Bell>,
    /// Closed when the thread has ended.
    running: watch::Receiver<()>,
}

/// What users ask of the driver.
#[derive(Debug)]
enum Command {
    Offer {
        channels: Vec<ChannelInit>,
        slot: usize,
        reply: Reply,
    },
    Answer {
        offer: String,
        reply: Reply,
    },
    SetRemote {
        conn: ConnId,
        answer: String,
        reply: Answer<()>,
    },
    Restart {
        conn: ConnId,
        reply: Answer<String>,
    },
    AnswerRestart {
        conn: ConnId,
        offer: String,
        reply: Answer<String>,
    },
    AddCandidate {
        conn: ConnId,
        candidate: String,
    },
    SetIceServers(Vec<IceServer>),
    Refresh,
    Stop,
}

type Answer<T> = oneshot::Sender<Result<T, EngineError>>;
type Reply = Answer<Made>;

/// What the driver hands back for an offer or answer.
#[derive(Debug)]
struct Made {
    id: ConnId,
    sdp: String,
    fingerprint: [u8; 32],
    events: mpsc::Receiver<Event>,
    facts: ConnFacts,
}

impl Engine {
    /// Binds the port and starts the thread.
    pub(crate) fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let driver::Started {
            bell,
            running,
            port,
        } = driver::start(config, inbox)?;
        let remote = Arc::new(Remote {
            commands: Some(commands),
            bell,
            running,
        });
        Ok(Self { remote, port })
    }

    /// The port of incoming connections.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes a connection with one channel and its offer.
    ///
    /// Two connections between the same two ports could not be told apart. So answers use the engine's own port and offers another one: the
    /// first connection to a peer takes slot 0, one beside it slot 1, and so on; connections to different peers share slots.
    pub(crate) async fn offer(
        &self,
        label: &str,
        ordered: bool,
        slot: usize,
    ) -> Result<Described, EngineError> {
        let label = label.to_owned();
        let channel = ChannelInit {
            label,
            ordered,
            max_retransmits: None,
        };
        self.offer_channels(vec![channel], slot).await
    }

    /// The same with several channels, each of which opens with an event of its own.
    pub(crate) async fn offer_channels(
        &self,
        channels: Vec<ChannelInit>,
        slot: usize,
    ) -> Result<Described, EngineError> {
        if let Some(long) = channels.iter().find(|it| it.label.len() > MAX_LABEL) {
            return Err(EngineError::Label(long.label.len()));
        }
        self.make(|reply| Command::Offer {
            channels,
            slot,
            reply,
        })
        .await
    }

    /// Makes the answering end for an offer. Takes the offer's first channels, as many as [`Queues`] says.
    pub(crate) async fn answer(&self, offer: &str) -> Result<Described, EngineError> {
        let offer = offer.to_owned();
        self.make(|reply| Command::Answer { offer, reply }).await
    }

    /// Looks at the network interfaces again: new addresses become candidates of all connections, lost ones are withdrawn.
    pub(crate) async fn refresh_interfaces(&self) -> Result<(), EngineError> {
        self.remote.send(Command::Refresh).await
    }

    /// The STUN and TURN servers to use from now on, by connections that live too. Nothing is asked of them before a connection begins.
    pub(crate) async fn set_ice_servers(&self, servers: Vec<IceServer>) -> Result<(), EngineError> {
        self.remote.send(Command::SetIceServers(servers)).await
    }

    /// Ends the thread, and resolves when every peer was told.
    pub(crate) async fn stop(&self) {
        let mut running = self.remote.running.clone();
        // One that has stopped already takes no commands.
        let _ = self.remote.send(Command::Stop).await;
        while running.changed().await.is_ok() {}
    }

    async fn make(&self, command: impl FnOnce(Reply) -> Command) -> Result<Described, EngineError> {
        let (reply, made) = oneshot::channel();
        self.remote.send(command(reply)).await?;
        let Made {
            id,
            sdp,
            fingerprint,
            events,
            facts,
        } = made.await.map_err(|_| EngineError::Stopped)??;
        let conn = EngineConn {
            id,
            engine: self.remote.clone(),
            events,
            facts,
            lookups: JoinSet::new(),
        };
        Ok(Described {
            conn,
            sdp,
            fingerprint,
        })
    }
}

impl EngineConn {
    /// Applies the answer. A first one that cannot be used ends the connection; a [restart](Self::restart)'s is refused with [`EngineError::Restart`], and the
    /// restart goes on waiting.
    pub(crate) async fn set_remote(&self, answer: &str) -> Result<(), EngineError> {
        let (conn, answer) = (self.id, answer.to_owned());
        self.ask(|reply| Command::SetRemote {
            conn,
            answer,
            reply,
        })
        .await
    }

    /// Begins to look for a way to the peer anew (RFC 8445 section 9): returns the offer, for [`answer_restart`](Self::answer_restart) on the other side and
    /// then [`set_remote`](Self::set_remote) on this. All candidates come again as events. What is there goes on carrying data until something better is
    /// found, and an answer that never comes changes nothing. A second call takes the place of one that has no answer yet.
    ///
    /// # Errors
    /// The channel is not open, or not any more.
    pub(crate) async fn restart(&self) -> Result<String, EngineError> {
        let conn = self.id;
        self.ask(|reply| Command::Restart { conn, reply }).await
    }

    /// Answers the other side's [`restart`](Self::restart); returns the answer. All candidates come again as events.
    ///
    /// # Errors
    /// The channel is not open; the offer names another certificate than that of the handshake, is none, or no new one; or an offer of this side's waits
    /// for its answer. The connection then goes on as it was.
    pub(crate) async fn answer_restart(&self, offer: &str) -> Result<String, EngineError> {
        let (conn, offer) = (self.id, offer.to_owned());
        self.ask(|reply| Command::AnswerRestart { conn, offer, reply })
            .await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.engine.send(command(reply)).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Adds a candidate of the peer's. Unusable ones are ignored, `.local` names looked up on the side.
    pub(crate) async fn add_candidate(&mut self, candidate: &str) -> Result<(), EngineError> {
        while self.lookups.try_join_next().is_some() {}
        let candidate = candidate.strip_prefix("a=").unwrap_or(candidate).to_owned();
        let command = |candidate| Command::AddCandidate {
            conn: self.id,
            candidate,
        };
        let name = sdp::hidden_name(&candidate).filter(|name| mdns::is_hidden_name(name));
        let Some(name) = name.filter(|_| self.lookups.len() < LOOKUPS) else {
            return self.engine.send(command(candidate)).await;
        };
        let (engine, conn, name) = (self.engine.clone(), self.id, name.to_owned());
        self.lookups.spawn(async move {
            let candidate = match mdns::resolve(&name).await {
                Some(address) => candidate.replacen(&name, &address.to_string(), 1),
                // Told as it is, to be remembered.
                None => candidate,
            };
            // The engine has stopped: then there is nobody to tell.
            let _ = engine.send(Command::AddCandidate { conn, candidate }).await;
        });
        Ok(())
    }

    /// What happens next; `None` after the end. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Ends the connection at once, for this reason: what is queued is not delivered any more.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.engine.bell.end(self.id, reason);
    }

    /// An event that is there already.
    pub(crate) fn try_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// As [`add_candidate`](Self::add_candidate), but names are not looked up: where a stranger chooses them.
    pub(crate) async fn add_plain_candidate(&self, candidate: &str) -> Result<(), EngineError> {
        let candidate = candidate.strip_prefix("a=").unwrap_or(candidate).to_owned();
        let conn = self.id;
        self.engine
            .send(Command::AddCandidate { conn, candidate })
            .await
    }

    /// What remains readable after the end.
    pub(crate) fn facts(&self) -> &ConnFacts {
        &self.facts
    }
}

impl ConnFacts {
    /// What was tried to reach the peer; known once the connection is over.
    pub(crate) fn tried(&self) -> Option<&Tried> {
        self.tried.get()
    }
}

impl Drop for EngineConn {
    fn drop(&mut self) {
        self.end(CloseReason::Local);
    }
}

impl Remote {
    async fn send(&self, command: Command) -> Result<(), EngineError> {
        let commands = self.commands.as_ref().ok_or(EngineError::Stopped)?;
        commands
            .send(command)
            .await
            .map_err(|_| EngineError::Stopped)?;
        self.bell.ring();
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.commands = None;
        self.bell.ring();
    }
}

impl Made {
    /// The two ends of a new connection's news.
    fn reports(
        totals: Arc<Totals>,
        servers: record::Outcomes,
    ) -> (Reports, mpsc::Receiver<Event>, ConnFacts) {
        let (events, inbox) = mpsc::channel(EVENTS);
        let (closed, closed_seen) = watch::channel(None);
        let meter = Arc::new(Meter::new(totals));
        let tried = Arc::new(OnceLock::new());
        let facts = ConnFacts {
            meter: meter.clone(),
            closed: closed_seen,
            tried: tried.clone(),
        };
        (
            Reports {
                events,
                meter,
                closed,
                tried,
                servers,
            },
            inbox,
            facts,
        )
    }
}

/// The driver's side of a connection's news.
#[derive(Debug)]
struct Reports {
    events: mpsc::Sender<Event>,
    meter: Arc<Meter>,
    closed: watch::Sender<Option<CloseReason>>,
    tried: Arc<OnceLock<Tried>>,
    servers: record::Outcomes,
}

impl Reports {
    /// An owner that does not read its events loses the later ones; only candidates can be that many.
    fn event(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}
