//! The PeerJS signalling client: one WebSocket to the server, kept up.
//!
//! It comes back by itself, under the same id and token, until it is told not to. What is sent meanwhile waits, in a bounded queue.

mod ask;
mod dial;
mod ice;
mod peers;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use peerage_proto::identity::SigningKey;
use peerage_proto::wire::id::{PeerId, Token};
use peerage_proto::wire::signal::Frame;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::net::Roots;
use crate::random;
pub(crate) use ice::ice_servers;
pub use peers::ListPeersError;
pub(crate) use peers::list_peers;
use socket::Ended;

/// Frames that wait for the socket to open; a frame beyond makes its sender wait.
const OUTBOX: usize = 256;
/// Frames that wait for the peer to take them; the socket is not read meanwhile.
const INBOX: usize = 256;
/// Wait before the first attempt to come back; doubled for each further one, with up to as much again by chance, so that the clients of a
/// restarted server do not come all at once.
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest of these waits, before chance: a device is out of reach for no longer than this after its server has come back.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Who registers where.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    /// `http(s)://host[:port][/path/]` of the server.
    pub(crate) server: Url,
    /// The server's PeerJS key.
    pub(crate) key: String,
    /// The id to hold.
    pub(crate) id: PeerId,
    /// What proves at the server, for as long as it knows us, that the id is ours.
    pub(crate) token: Token,
    /// What proves it for ever, if the id is this key's.
    pub(crate) signing_key: Option<Arc<SigningKey>>,
}

/// A handle of the client's task.
#[derive(Debug)]
pub(crate) struct Signalling {
    outbox: mpsc::Sender<Frame>,
    state: watch::Receiver<State>,
    /// Whether there is to be a connection.
    wanted: watch::Sender<bool>,
    /// Rung when it may be dead without anybody having said so.
    doubt: Arc<Notify>,
}

/// Where the connection to the server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Registered: frames flow.
    Open,
    /// Not connected, for the reason given; trying again, also after a refusal: a server that is full, or has another clock, is so for a while.
    Down(SignallingError),
}

/// Why the server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignallingError {
    /// The URL of the server is not one.
    #[error("`{0}` is not the URL of a signalling server: give http(s)://host[:port]")]
    Url(String),
    /// The server's name has no address, or none of its addresses answered.
    #[error("cannot reach the signalling server: {0}")]
    Unreachable(String),
    /// The TLS handshake failed: an unknown certificate, most likely.
    #[error("no secure connection to the signalling server: {0}")]
    Tls(String),
    /// What answered is no PeerJS server.
    #[error("no PeerJS server answers there: {0}")]
    Protocol(String),
    /// Another client holds this id.
    #[error("the id `{0}` is taken")]
    IdTaken(PeerId),
    /// The server refused, in its own words.
    #[error("the signalling server refused: {0}")]
    Refused(String),
    /// The connection to the server broke.
    #[error("lost the signalling server: {0}")]
    Lost(String),
    /// The first attempt is under way.
    #[error("not connected to the signalling server yet")]
    Connecting,
    /// [`Peer::disconnect`](crate::Peer::disconnect) ended the connection; [`Peer::reconnect`](crate::Peer::reconnect) makes another.
    #[error("disconnected from the signalling server")]
    Disconnected,
    /// The client has stopped.
    #[error("the signalling client has stopped")]
    Stopped,
}

impl SignallingError {
    /// The `type` of the error by which PeerJS tells the same.
    pub fn peerjs_type(&self) -> &'static str {
        match self {
            Self::IdTaken(_) => "unavailable-id",
            Self::Refused(_) | Self::Protocol(_) => "server-error",
            Self::Connecting | Self::Disconnected | Self::Stopped => "disconnected",
            Self::Url(_) | Self::Unreachable(_) | Self::Tls(_) | Self::Lost(_) => "network",
        }
    }
}

impl Signalling {
    /// Begins to connect, and keeps the registration until `stop`; what comes for the id goes to the receiver.
    pub(crate) fn start(
        registration: Registration,
        roots: Roots,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Frame>) {
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let (incoming, inbox) = mpsc::channel(INBOX);
        let (state, seen) = watch::channel(State::Down(SignallingError::Connecting));
        let (wanted, wanted_seen) = watch::channel(true);
        let doubt = Arc::new(Notify::new());
        let client = Client {
            registration,
            roots,
            outgoing: Outgoing {
                queue,
                unsent: None,
            },
            incoming,
            state,
            wanted: wanted_seen,
            doubt: doubt.clone(),
        };
        tasks.spawn(async move {
            let mut client = client;
            client.run(&stop).await;
            client
                .state
                .send_replace(State::Down(SignallingError::Stopped));
        });
        let handle = Self {
            outbox,
            state: seen,
            wanted,
            doubt,
        };
        (handle, inbox)
    }

    /// Queues a frame for the server. Waits while the queue is full.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), SignallingError> {
        self.outbox.send(frame).await.map_err(|_| self.problem())
    }

    /// Queues a frame if there is room at once.
    pub(crate) fn try_send(&self, frame: Frame) -> Result<(), SignallingError> {
        self.outbox.try_send(frame).map_err(|_| self.problem())
    }

    /// Where the client stands, and every change of it.
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Ends the connection, and makes none until [`reconnect`](Self::reconnect).
    pub(crate) fn disconnect(&self) {
        self.wanted.send_replace(false);
    }

    /// Asks the server for a sign of life now: this machine's addresses changed, and a socket of an old one is told of nothing.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Makes one again, if there is none.
    pub(crate) fn reconnect(&self) {
        self.wanted.send_replace(true);
    }

    /// The outcome of the attempt that runs: at once when there is a connection, and after some 20 s at worst.
    pub(crate) async fn opened(&self) -> Result<(), SignallingError> {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|state| {
                !matches!(
                    state,
                    State::Down(SignallingError::Connecting | SignallingError::Disconnected)
                )
            })
            .await;
        match settled.as_deref() {
            Ok(State::Open) => Ok(()),
            Ok(State::Down(error)) => Err(error.clone()),
            Err(_) => Err(SignallingError::Stopped),
        }
    }

    /// What is wrong, when something is.
    fn problem(&self) -> SignallingError {
        match &*self.state.borrow() {
            State::Open => SignallingError::Stopped,
            State::Down(error) => error.clone(),
        }
    }
}

/// The task's own.
struct Client {
    registration: Registration,
    roots: Roots,
    outgoing: Outgoing,
    incoming: mpsc::Sender<Frame>,
    state: watch::Sender<State>,
    wanted: watch::Receiver<bool>,
    doubt: Arc<Notify>,
}

/// What is to be sent; a frame that a socket took along when it broke is the next one's first.
struct Outgoing {
    queue: mpsc::Receiver<Frame>,
    unsent: Option<Frame>,
}

impl Client {
    /// A socket in use is closed properly at the end, so that the server frees the id at once.
    async fn run(&mut self, stop: &CancellationToken) {
        let mut wait = BACKOFF;
        loop {
            let mut wanted = self.wanted.clone();
            let leave = async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = wanted.wait_for(|wanted| !wanted) => {}
                }
            };
            let mut leave = std::pin::pin!(leave);
            let opened = tokio::select! {
                () = &mut leave => None,
                opened = socket::Socket::open(&self.registration, &self.roots) => Some(opened),
            };
            let error = match opened {
                Some(Ok(socket)) => {
                    wait = BACKOFF;
                    self.state.send_replace(State::Open);
                    tracing::debug!("registered");
                    match socket
                        .serve(
                            &mut self.outgoing,
                            &self.incoming,
                            &self.doubt,
                            leave.as_mut(),
                        )
                        .await
                    {
                        Ended::Left => None,
                        Ended::Lost(error) => {
                            tracing::info!(%error, "trying to come back");
                            Some(error)
                        }
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "no connection to the server");
                    Some(error)
                }
                None => None,
            };
            // Nobody is there to take what the server brings: the engine has ended.
            if stop.is_cancelled() || self.incoming.is_closed() {
                return;
            }
            match error {
                Some(error) => {
                    self.state.send_replace(State::Down(error));
                    tokio::select! {
                        () = leave => {}
                        () = tokio::time::sleep(wait + random::share(wait)) => {}
                    }
                    wait = (wait * 2).min(MAX_BACKOFF);
                }
                None => wait = BACKOFF,
            }
            if !*self.wanted.borrow_and_update() {
                self.state
                    .send_replace(State::Down(SignallingError::Disconnected));
                let again = async {
                    let _ = self.wanted.wait_for(|wanted| *wanted).await;
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = again => {}
                }
                self.state
                    .send_replace(State::Down(SignallingError::Connecting));
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }
}
