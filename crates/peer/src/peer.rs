//! The native peer: reachable under an id at a PeerJS server, calls others and is called.

mod builder;
mod dispatch;
mod error;
mod ice;
mod registry;
mod task;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::identity::caller::{Call, SentOffer};
use peerage_proto::identity::{DeviceId, Fingerprint, LinkProof, Nonce, SigningKey};
use peerage_proto::link::{self, CallOptions, Input, Link};
use peerage_proto::wire::id::{ConnectionId, PeerId};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::connection::{Connection, Serialization};
use crate::engine::{Described, Engine};
use crate::signalling::{Signalling, SignallingError, State};
use crate::totals::{Counters, PeerStats, Totals};
use crate::{clock, random};
pub use builder::Builder;
pub use error::{BuildError, ConnectError};
use registry::Registry;
use task::{CallError, LinkTask, Side, Terms};

/// How long a call waits for the connection to the server to come back.
const SERVER: Duration = Duration::from_secs(10);

/// For the last words to everybody when a peer closes.
const GOODBYE: Duration = Duration::from_secs(2);

/// A peer. Dropping it, or [`close`](Self::close), ends its connections at once: where something is to be delivered still, close those first, and
/// wait for [`About::closed`](crate::About::closed).
pub struct Peer {
    inner: Arc<Inner>,
    incoming: Mutex<mpsc::Receiver<Connection>>,
}

/// What the peer's tasks share.
struct Inner {
    id: PeerId,
    key: SigningKey,
    engine: Engine,
    signalling: Signalling,
    access: Access,
    registry: Registry,
    timing: link::Config,
    /// Whether the server's word on STUN and TURN servers is there, or has taken too long.
    ice_ready: watch::Receiver<bool>,
    totals: Arc<Totals>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Label of the data channel, 1 to 512 octets. Default: the connection's name, as PeerJS does.
    pub label: Option<String>,
    /// How values travel. Default raw.
    pub serialization: Serialization,
    /// Whether messages arrive in the order they were sent in. Default yes (PeerJS: no). All are delivered either way.
    pub ordered: bool,
    /// What to tell the other application about the connection.
    pub metadata: Option<Box<RawValue>>,
    /// What proves, to a device that does not know our key yet, that we were given a link to it.
    pub proof: Option<LinkProof>,
    /// How long it may take.
    pub timing: link::Config,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            label: None,
            serialization: Serialization::default(),
            ordered: true,
            metadata: None,
            proof: None,
            timing: link::Config::default(),
        }
    }
}

impl Peer {
    /// Describes a peer to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The id that this peer is reached by.
    pub fn id(&self) -> &PeerId {
        &self.inner.id
    }

    /// Who may reach this peer, and by which links.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// The connection to the server, and every change of it. The peer comes back by itself; connections that live go on without.
    pub fn server(&self) -> watch::Receiver<State> {
        self.inner.signalling.state()
    }

    /// What this peer's connections have come to so far.
    pub fn stats(&self) -> PeerStats {
        self.inner.totals.stats()
    }

    /// The same, to be asked beside the peer and after it.
    pub fn counters(&self) -> Counters {
        Counters(self.inner.totals.clone())
    }

    /// Connects to a peer.
    ///
    /// A device's id is its key's: a connection to one is always verified, and nobody can answer in its place. Any other peer is who the server says it is.
    /// Takes at most [`ConnectOptions::timing`], and 10 s for the server to come back. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// There is no connection, for the reason given.
    pub async fn connect(
        &self,
        to: &PeerId,
        options: ConnectOptions,
    ) -> Result<Connection, ConnectError> {
        self.wait_for_server().await?;
        self.inner.wait_for_ice().await;
        let mut nonce = None;
        loop {
            match self.call(to, &options, nonce).await {
                Ok(connection) => return Ok(connection),
                // Once: the machine takes a second such answer for a refusal.
                Err(CallError::TryAgain(fresh)) => nonce = Some(fresh),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
    }

    /// The next connection that somebody made to this peer; on a device, of somebody who may. `None` when the peer can have no more. Cancel-safe.
    ///
    /// Connections wait here, as many as the peer takes at all: one beyond is ended.
    pub async fn incoming(&self) -> Option<Connection> {
        self.incoming.lock().await.recv().await
    }

    /// Looks at the network interfaces again: to be called when the system says that they changed.
    pub async fn refresh_network(&self) {
        // An engine that has stopped has no use for it.
        let _ = self.inner.engine.refresh_interfaces().await;
    }

    /// Ends all connections, tells the peers and the server, and waits until that has left the machine: at most 2 s.
    ///
    /// Dropping does the same without waiting, so that a process that ends right after may leave its peers to find out.
    pub async fn close(self) {
        let (tasks, engine) = (self.inner.tasks.clone(), self.inner.engine.ended());
        tasks.close();
        drop(self);
        let gone = async {
            tasks.wait().await;
            engine.await;
        };
        if timeout(GOODBYE, gone).await.is_err() {
            tracing::debug!("not everybody could be told of the end");
        }
    }

    async fn wait_for_server(&self) -> Result<(), SignallingError> {
        let mut state = self.inner.signalling.state();
        let open = timeout(SERVER, state.wait_for(|state| *state == State::Open));
        if open.await.is_ok_and(|open| open.is_ok()) {
            return Ok(());
        }
        match &*state.borrow() {
            State::Open => Ok(()),
            State::Down(error) => Err(error.clone()),
        }
    }

    async fn call(
        &self,
        to: &PeerId,
        options: &ConnectOptions,
        retry: Option<Nonce>,
    ) -> Result<Connection, CallError> {
        let failed = |error: ConnectError| CallError::Failed(error);
        let name = ConnectionId::parse(&format!("dc_{}", random::name()))
            .map_err(|error| failed(ConnectError::Invalid(error.to_string())))?;
        let label = options.label.clone().unwrap_or_else(|| name.to_string());
        let call = CallOptions {
            connection: name.clone(),
            label: label.clone(),
            serialization: options.serialization.name().to_owned(),
            reliable: options.ordered,
            metadata: options.metadata.clone(),
        };
        let begun = Instant::now();
        let config = link::Config {
            restart: false,
            ..options.timing
        };
        let mut link = Link::call(to.clone(), call, config, begun);

        let inner = &self.inner;
        let slot = SlotGuard::take(inner, to);
        let Described {
            conn,
            sdp,
            fingerprint,
        } = inner
            .engine
            .offer(&label, options.ordered, slot.slot)
            .await
            .map_err(|error| failed(error.into()))?;
        let sent = match DeviceId::parse(to.as_str()) {
            Ok(device) => {
                let call = Call {
                    device,
                    from: inner.id.clone(),
                    connection: name.clone(),
                    label: label.clone(),
                    fingerprint: Fingerprint::new(fingerprint),
                    retry,
                };
                let sent = SentOffer::new(
                    &inner.key,
                    call,
                    options.proof.as_ref(),
                    clock::wall(),
                    &mut random::os(),
                );
                Some(Box::new(sent.map_err(|error| {
                    failed(ConnectError::Invalid(error.to_string()))
                })?))
            }
            Err(_) => None,
        };
        link.handle_input(Input::LocalOffer { sdp, sent }, Instant::now());

        let (waiting, connection) = oneshot::channel();
        let task = LinkTask {
            inner: inner.clone(),
            link,
            conn: Some(conn),
            registered: inner.registry.insert(to, &name),
            terms: Terms {
                label,
                serialization: options.serialization,
                metadata: options.metadata.clone(),
            },
            side: Side::Caller {
                slot: slot.keep(),
                waiting: Some(waiting),
            },
            closed: watch::Sender::new(None),
            begun,
            opened: false,
        };
        inner.tasks.spawn(task.run());
        connection
            .await
            .unwrap_or(Err(CallError::Failed(ConnectError::Stopped)))
    }
}

impl Inner {
    /// Addresses are gathered from the beginning: what is to be used must be known by then. Resolves at once but in the first moments of a peer.
    async fn wait_for_ice(&self) {
        let mut ready = self.ice_ready.clone();
        let _ = timeout(ice::WAIT, ready.wait_for(|ready| *ready)).await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

/// A taken slot, given back unless a task keeps it.
struct SlotGuard<'a> {
    inner: &'a Inner,
    peer: &'a PeerId,
    slot: usize,
    kept: bool,
}

impl<'a> SlotGuard<'a> {
    fn take(inner: &'a Inner, peer: &'a PeerId) -> Self {
        Self {
            inner,
            peer,
            slot: inner.registry.take_slot(peer),
            kept: false,
        }
    }

    fn keep(mut self) -> usize {
        self.kept = true;
        self.slot
    }
}

impl Drop for SlotGuard<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.inner.registry.free_slot(self.peer, self.slot);
        }
    }
}
