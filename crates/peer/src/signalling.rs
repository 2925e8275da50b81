//! The PeerJS signalling client: one WebSocket to the server, kept up.
//!
//! Once it was open it comes back by itself, under the same id and token. What is sent meanwhile waits, in a bounded queue.

mod dial;
mod ice;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use peerage_proto::identity::SigningKey;
use peerage_proto::wire::id::{PeerId, Token};
use peerage_proto::wire::signal::Frame;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::net::Roots;
use crate::random;
pub(crate) use ice::ice_servers;
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

/// A handle of the client's task, which ends with it.
#[derive(Debug)]
pub(crate) struct Signalling {
    outbox: mpsc::Sender<Frame>,
    state: watch::Receiver<State>,
    _task: DropGuard,
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
    /// The client has stopped.
    #[error("the signalling client has stopped")]
    Stopped,
}

impl Signalling {
    /// Connects and registers. From then on the client keeps the registration; what comes for the id goes to the receiver.
    ///
    /// # Errors
    /// The first attempt failed. Waits at most some 20 s.
    pub(crate) async fn connect(
        registration: Registration,
        roots: Roots,
        tasks: &TaskTracker,
    ) -> Result<(Self, mpsc::Receiver<Frame>), SignallingError> {
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let (incoming, inbox) = mpsc::channel(INBOX);
        let (state, mut seen) = watch::channel(State::Down(SignallingError::Stopped));
        let mut client = Client {
            registration,
            roots,
            outgoing,
            incoming,
            state,
        };
        let socket = client.open().await?;
        seen.mark_unchanged();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        tasks.spawn(client.run(socket, stop));
        Ok((
            Self {
                outbox,
                state: seen,
                _task: guard,
            },
            inbox,
        ))
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
    outgoing: mpsc::Receiver<Frame>,
    incoming: mpsc::Sender<Frame>,
    state: watch::Sender<State>,
}

impl Client {
    async fn open(&mut self) -> Result<socket::Socket, SignallingError> {
        let socket = socket::Socket::open(&self.registration, &self.roots).await?;
        self.state.send_replace(State::Open);
        Ok(socket)
    }

    /// Ends when the handle is gone: a socket in use is closed properly, so that the server frees the id at once.
    async fn run(mut self, first: socket::Socket, stop: CancellationToken) {
        let mut socket = first;
        loop {
            let error = match socket.serve(&mut self.outgoing, &self.incoming).await {
                Ended::Stopped => return,
                Ended::Lost(error) => error,
            };
            tracing::info!(%error, "trying to come back");
            self.state.send_replace(State::Down(error));
            socket = tokio::select! {
                () = stop.cancelled() => return,
                socket = self.come_back() => socket,
            };
            tracing::info!("registered again");
        }
    }

    async fn come_back(&mut self) -> socket::Socket {
        let mut wait = BACKOFF;
        loop {
            tokio::time::sleep(wait + random::share(wait)).await;
            wait = (wait * 2).min(MAX_BACKOFF);
            match self.open().await {
                Ok(socket) => return socket,
                Err(error) => {
                    tracing::debug!(%error, "still down");
                    self.state.send_replace(State::Down(error));
                }
            }
        }
    }
}
