//! The native peer: reachable under an id at a PeerJS server, calls others and is called.

mod builder;
mod dispatch;
mod error;
mod ice;
mod keeper;
mod offer;
mod registry;
mod task;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use peerage_proto::identity::caller::{Call, SentOffer};
use peerage_proto::identity::{DeviceId, Fingerprint, LinkProof, Nonce, SigningKey};
use peerage_proto::link::{self, CallOptions, Input, Link};
use peerage_proto::wire::id::{ConnectionId, PeerId};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::connection::{
    Codec, Connection, ConnectionState, Limits, Opened, Serialization, Serializers, Setup,
};
use crate::engine::{Described, Engine};
use crate::net::Roots;
use crate::signalling::{
    ListPeersError, Registration, Signalling, SignallingError, State, list_peers,
};
use crate::totals::{Counters, PeerStats, Totals};
use crate::{clock, random};
pub use builder::Builder;
pub use error::{ConnectError, OpenError};
use keeper::Keeper;
use offer::Approve;
pub use offer::{Offer, Refusal};
use registry::Registry;
use task::{CallError, LinkTask, Side, Terms};

/// How long a call waits for the connection to the server to come back.
const SERVER: Duration = Duration::from_secs(10);

/// For how long a lost connection is made anew, unless the application says otherwise.
const RENEW: Duration = Duration::from_secs(60);

/// For the last words to everybody when a peer closes.
const GOODBYE: Duration = Duration::from_secs(2);

/// A peer; clones are the same one. With the last of them, or by [`destroy`](Self::destroy), its connections end at once: where something is to be
/// delivered still, close those first, and wait for [`About::closed`](crate::About::closed).
#[derive(Clone)]
pub struct Peer(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    incoming: Mutex<mpsc::Receiver<Connection>>,
}

/// What the peer's tasks share.
struct Inner {
    id: PeerId,
    key: SigningKey,
    engine: Engine,
    registration: Registration,
    roots: Roots,
    signalling: Signalling,
    access: Access,
    approve: Option<Approve>,
    serializers: Serializers,
    limits: Limits,
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
    /// How values travel. Default binary, as PeerJS.
    pub serialization: Serialization,
    /// Whether messages arrive in the order they were sent in. Default yes (PeerJS: no). All are delivered either way.
    pub ordered: bool,
    /// What to tell the other application about the connection; see [`with_metadata`](Self::with_metadata).
    pub metadata: Option<Box<RawValue>>,
    /// What proves, to a device that does not know our key yet, that we were given a link to it.
    pub proof: Option<LinkProof>,
    /// How long it may take.
    pub timing: link::Config,
    /// For how long a new connection is tried for when the path is lost and the other side cannot restart it. The handle stays the same; what was under way
    /// is lost, which [`Connection::recv`] tells. A device proves again who it is; any other peer is whoever has its id by then. Default 60 s; `None`: the
    /// connection ends.
    pub renew: Option<Duration>,
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
            renew: Some(RENEW),
        }
    }
}

impl ConnectOptions {
    /// With this said to the other application about the connection.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn with_metadata<T: Serialize + ?Sized>(
        mut self,
        about: &T,
    ) -> Result<Self, serde_json::Error> {
        self.metadata = Some(serde_json::value::to_raw_value(about)?);
        Ok(self)
    }
}

impl Peer {
    /// Describes a peer to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The id that this peer is reached by.
    pub fn id(&self) -> &PeerId {
        &self.0.inner.id
    }

    /// Who may reach this peer, and by which links.
    pub fn access(&self) -> &Access {
        &self.0.inner.access
    }

    /// The connection to the server, and every change of it. The peer comes back by itself; connections that live go on without.
    pub fn server(&self) -> watch::Receiver<State> {
        self.0.inner.signalling.state()
    }

    /// What this peer's connections have come to so far.
    pub fn stats(&self) -> PeerStats {
        self.0.inner.totals.stats()
    }

    /// The same, to be asked beside the peer and after it.
    pub fn counters(&self) -> Counters {
        Counters(self.0.inner.totals.clone())
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
        let inner = &self.0.inner;
        if *to == inner.id {
            return Err(ConnectError::Invalid("this peer has that id itself".into()));
        }
        let codec = inner.codec(&options.serialization)?;
        let options = ConnectOptions {
            // A stream of bytes that is cut anywhere makes no sense in another order.
            ordered: options.ordered || codec.needs_order(),
            ..options
        };
        let opened = inner.open(to, &options).await?;
        let setup = Setup {
            codec,
            limits: inner.limits,
        };
        match options.renew {
            Some(within) => Ok(Keeper::keep(inner, to, options, within, opened, setup)),
            None => Ok(Connection::new(opened, setup)),
        }
    }

    /// The next connection that somebody made to this peer; on a device, of somebody who may. `None` when the peer can have no more. Cancel-safe.
    ///
    /// Connections wait here, as many as the peer takes at all: one beyond is ended.
    pub async fn incoming(&self) -> Option<Connection> {
        let mut incoming = self.0.incoming.lock().await;
        tokio::select! {
            connection = incoming.recv() => connection,
            () = self.0.inner.stop.cancelled() => None,
        }
    }

    /// [`incoming`](Self::incoming) as a stream, which is a handle of the peer too.
    pub fn connections(&self) -> impl Stream<Item = Connection> + Send + use<> {
        stream::unfold(self.clone(), |peer| async move {
            Some((peer.incoming().await?, peer))
        })
    }

    /// The ids that are registered at the server, where its owner allows the question.
    ///
    /// # Errors
    /// The server does not say, or cannot be asked. Takes at most some 10 s.
    pub async fn list_peers(&self) -> Result<Vec<PeerId>, ListPeersError> {
        list_peers(&self.0.inner.registration, &self.0.inner.roots).await
    }

    /// Leaves the server: nobody can call this peer, and it can call nobody. Connections that live go on.
    pub fn disconnect(&self) {
        self.0.inner.signalling.disconnect();
    }

    /// Comes back after [`disconnect`](Self::disconnect), under the same id and token; at once, if there is a connection.
    ///
    /// # Errors
    /// The first attempt failed; the peer goes on trying. After [`destroy`](Self::destroy): [`SignallingError::Stopped`].
    pub async fn reconnect(&self) -> Result<(), SignallingError> {
        let signalling = &self.0.inner.signalling;
        signalling.reconnect();
        signalling.opened().await
    }

    /// Looks at the network interfaces and at the connection to the server again: to be called when the system says that the network changed, or after a sleep. A
    /// peer with connections looks at its interfaces by itself, every second.
    pub async fn refresh_network(&self) {
        // An engine that has stopped has no use for it.
        let _ = self.0.inner.engine.refresh_interfaces().await;
        self.0.inner.signalling.doubt();
    }

    /// Ends all connections, tells the peers and the server, and waits until that has left the machine: at most 2 s. The peer is of no use afterwards.
    ///
    /// Dropping the last handle does the same without waiting, so that a process that ends right after may leave its peers to find out.
    pub async fn destroy(&self) {
        let inner = &self.0.inner;
        inner.stop.cancel();
        inner.tasks.close();
        let gone = async {
            inner.tasks.wait().await;
            inner.engine.stop().await;
        };
        if timeout(GOODBYE, gone).await.is_err() {
            tracing::debug!("not everybody could be told of the end");
        }
    }
}

impl Inner {
    /// The serialization of a connection; an error for one that nobody registered.
    fn codec(&self, serialization: &Serialization) -> Result<Codec, ConnectError> {
        self.serializers
            .codec(serialization.name())
            .ok_or_else(|| ConnectError::UnknownSerialization(serialization.name().to_owned()))
    }

    /// Calls, and a second time where the device asks for it.
    async fn open(
        self: &Arc<Self>,
        to: &PeerId,
        options: &ConnectOptions,
    ) -> Result<Opened, ConnectError> {
        self.wait_for_server().await?;
        self.wait_for_ice().await;
        let mut nonce = None;
        loop {
            match self.call(to, options, nonce).await {
                Ok(opened) => return Ok(opened),
                // Once: the machine takes a second such answer for a refusal.
                Err(CallError::TryAgain(fresh)) => nonce = Some(fresh),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
    }

    async fn wait_for_server(&self) -> Result<(), SignallingError> {
        let mut state = self.signalling.state();
        let settled = state.wait_for(|state| {
            matches!(
                state,
                State::Open | State::Down(SignallingError::Disconnected | SignallingError::Stopped)
            )
        });
        match timeout(SERVER, settled).await {
            Ok(Ok(state)) if *state == State::Open => return Ok(()),
            _ => {}
        }
        match &*state.borrow() {
            State::Open => Ok(()),
            State::Down(error) => Err(error.clone()),
        }
    }

    async fn call(
        self: &Arc<Self>,
        to: &PeerId,
        options: &ConnectOptions,
        retry: Option<Nonce>,
    ) -> Result<Opened, CallError> {
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
        let mut link = Link::call(to.clone(), call, options.timing, begun);

        let slot = SlotGuard::take(self, to);
        let Described {
            conn,
            sdp,
            fingerprint,
        } = self
            .engine
            .offer(&label, options.ordered, slot.slot)
            .await
            .map_err(|error| failed(error.into()))?;
        let sent = match DeviceId::parse(to.as_str()) {
            Ok(device) => {
                let call = Call {
                    device,
                    from: self.id.clone(),
                    connection: name.clone(),
                    label: label.clone(),
                    fingerprint: Fingerprint::new(fingerprint),
                    retry,
                };
                let sent = SentOffer::new(
                    &self.key,
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
        let stated = sent.clone();
        link.handle_input(Input::LocalOffer { sdp, sent }, begun);

        let (waiting, opened) = oneshot::channel();
        let task = LinkTask {
            inner: self.clone(),
            link,
            conn: Some(conn),
            registered: self.registry.insert(to, &name),
            terms: Terms {
                label,
                serialization: options.serialization.clone(),
                metadata: options.metadata.clone(),
            },
            side: Side::Caller {
                slot: slot.keep(),
                stated,
                waiting: Some(waiting),
            },
            state: watch::Sender::new(ConnectionState::Open),
            silent: false,
            begun,
            opened: false,
        };
        self.tasks.spawn(task.run());
        opened
            .await
            .unwrap_or(Err(CallError::Failed(ConnectError::Stopped)))
    }

    /// Addresses are gathered from the beginning: what is to be used must be known by then. Resolves at once but in the first moments of a peer.
    async fn wait_for_ice(&self) {
        let mut ready = self.ice_ready.clone();
        let _ = timeout(ice::WAIT, ready.wait_for(|ready| *ready)).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", self.id())
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
