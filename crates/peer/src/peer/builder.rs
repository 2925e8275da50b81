//! What a peer is made of.

use std::sync::Arc;
use std::time::Duration;

use peerage_proto::identity::SigningKey;
use peerage_proto::identity::gate::{self, Gate, Unverified};
use peerage_proto::link;
use peerage_proto::wire::ice_servers::IceServer;
use peerage_proto::wire::id::{PeerId, Token};
use rustls_pki_types::CertificateDer;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::dispatch::Dispatcher;
use super::ice::IceTask;
use super::offer::{Approve, Offer, Refusal};
use super::registry::Registry;
use super::{Handle, Inner, OpenError, Peer};
use crate::access::Access;
use crate::connection::{Limits, Serializer, Serializers};
use crate::engine::{Addresses, Engine, EngineConfig, LOST_AFTER};
use crate::net::{self, Roots};
use crate::signalling::{Registration, Signalling, SignallingError};
use crate::totals::Totals;
use crate::{clock, random};

/// Nobody who is there is silent for so long: checks go out every 3 s or sooner.
const LEAST_SILENCE: Duration = Duration::from_secs(5);

/// Describes a [`Peer`]. Only [`server`](Self::server) must be given.
#[derive(Debug, Default)]
pub struct Builder {
    server: String,
    key: Option<String>,
    id: Option<PeerId>,
    token: Option<Token>,
    identity: Option<Identity>,
    gate: gate::Config,
    port: u16,
    loopback: Option<bool>,
    roots: Roots,
    timing: link::Config,
    ice_servers: Vec<IceServer>,
    relay_only: bool,
    lost_after: Option<Duration>,
    approve: Option<Approve>,
    serializers: Serializers,
    limits: Limits,
}

#[derive(Debug)]
enum Identity {
    Caller(SigningKey),
    Device(SigningKey, gate::State),
}

impl Builder {
    /// The signalling server: `http(s)://host[:port][/path/]`.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = url.into();
        self
    }

    /// The server's PeerJS key. Default `peerjs`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The id to be reached by. Default: a random one; a device's is its key's, whatever is given here.
    #[must_use]
    pub fn id(mut self, id: PeerId) -> Self {
        self.id = Some(id);
        self
    }

    /// What proves at the server that the id is this peer's, for as long as the server knows it. Default: a new one. A peer that keeps its token is
    /// not locked out by its own earlier connection.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The key by which devices know this peer. Default: one that lives as long as the peer.
    #[must_use]
    pub fn identity(mut self, key: SigningKey) -> Self {
        self.identity = Some(Identity::Caller(key));
        self
    }

    /// Makes the peer a device: its id is that of `key`, and it is reached by the links and grants in `state`. See [`Peer::access`].
    #[must_use]
    pub fn device(mut self, key: SigningKey, state: gate::State) -> Self {
        self.identity = Some(Identity::Device(key, state));
        self
    }

    /// Lets stock PeerJS clients in, which prove nothing; never to the label `peerage-http`. Default no.
    #[must_use]
    pub fn allow_unverified(mut self, allow: bool) -> Self {
        self.gate.unverified = if allow {
            Unverified::Any
        } else {
            Unverified::Refused
        };
        self
    }

    /// Lets stock PeerJS clients in to channels with this label alone (never `peerage-http`), and at most so many at once.
    #[must_use]
    pub fn allow_unverified_label(mut self, label: impl Into<String>, connections: usize) -> Self {
        self.gate.unverified = Unverified::Label {
            label: label.into(),
            connections,
        };
        self
    }

    /// Most incoming connections at once; callers beyond are told `busy`. Default 256.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.gate.connections = connections;
        self
    }

    /// UDP port for incoming connections, for those who forward one. Default 0: any.
    #[must_use]
    pub fn udp_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Whether to be reached by peers on this machine over loopback addresses. Default: when the server is on this machine too.
    #[must_use]
    pub fn loopback(mut self, loopback: bool) -> Self {
        self.loopback = Some(loopback);
        self
    }

    /// STUN and TURN servers to use beside those that the signalling server tells of, and before them. Default none. None is asked before a connection begins.
    #[must_use]
    pub fn ice_servers(mut self, servers: Vec<IceServer>) -> Self {
        self.ice_servers = servers;
        self
    }

    /// Reaches peers through TURN servers only, as browsers' `iceTransportPolicy: 'relay'`: for tests, and for who does not want peers to see this machine's
    /// addresses. Default no: a relay is used only where no direct path is found.
    #[must_use]
    pub fn relay_only(mut self, relay_only: bool) -> Self {
        self.relay_only = relay_only;
        self
    }

    /// How long nothing may be heard from a peer before a connection ends, or is made anew ([`ConnectOptions::renew`](crate::ConnectOptions::renew)). Default and
    /// at most 30 s, as consent expires (RFC 7675 section 5.1); at least 5 s, which two checks may take.
    #[must_use]
    pub fn lost_after(mut self, silence: Duration) -> Self {
        self.lost_after = Some(silence.clamp(LEAST_SILENCE, LOST_AFTER));
        self
    }

    /// Trusts this authority for the certificates of the server and of TURN servers, beside the system's.
    #[must_use]
    pub fn trust(mut self, authority: CertificateDer<'static>) -> Self {
        self.roots.extra.push(authority);
        self
    }

    /// How long incoming connections may take to open.
    #[must_use]
    pub fn timing(mut self, timing: link::Config) -> Self {
        self.timing = timing;
        self
    }

    /// Asks this before a call is answered, and before any address of this machine is told: who it is, and what it is about. Asked for calls that the peer's own
    /// rules let in, a use of a link counted and the caller's key remembered. The caller waits meanwhile: what is not decided in 12 s (four fifths of
    /// [`timing`](Self::timing)'s `answer_within`) is refused, and so is what panics. Default: all those are answered.
    ///
    /// ```no_run
    /// # use peerage_peer::{Peer, Refusal};
    /// let builder = Peer::builder().approve(|offer| async move {
    ///     if offer.label == "chat" { Ok(()) } else { Err(Refusal) }
    /// });
    /// ```
    #[must_use]
    pub fn approve<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(Offer) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.approve = Some(Approve::new(decide));
        self
    }

    /// Speaks one more serialization, in both directions.
    #[must_use]
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.serializers.add(Arc::new(serializer));
        self
    }

    /// What connections take from their peers.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the UDP port and registers at the server: some 20 s at worst.
    ///
    /// # Errors
    /// The server cannot be reached or refuses; or the machine gives no port.
    pub async fn open(self) -> Result<Peer, OpenError> {
        let peer = self.start()?;
        peer.0.inner.signalling.opened().await?;
        Ok(peer)
    }

    /// Opens the UDP port, and begins to register at the server: [`Peer::server`] tells when it is there. Calls wait for that, 10 s each. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// The server's URL is none, or the machine gives no port.
    pub fn start(self) -> Result<Peer, OpenError> {
        let bad = || SignallingError::Url(self.server.clone());
        let server = Url::parse(&self.server).map_err(|_| bad())?;
        let (key, state, device) = match self.identity {
            Some(Identity::Device(key, state)) => (key, state, true),
            Some(Identity::Caller(key)) => (key, gate::State::default(), false),
            None => (
                SigningKey::generate(&mut random::os()),
                gate::State::default(),
                false,
            ),
        };
        let id = match self.id {
            _ if device => key.device_id().into(),
            Some(id) => id,
            None => PeerId::parse(&random::name()).map_err(|_| bad())?,
        };
        let totals = Arc::new(Totals::default());
        let engine = Engine::new(EngineConfig {
            port: self.port,
            addresses: match self
                .loopback
                .unwrap_or_else(|| net::is_this_machine(&server))
            {
                true => Addresses::AllAndLoopback,
                false => Addresses::All,
            },
            relay_only: self.relay_only,
            lost_after: self.lost_after.unwrap_or(LOST_AFTER),
            roots: self.roots.clone(),
            totals: totals.clone(),
            ..EngineConfig::default()
        })?;
        let registration = Registration {
            server,
            key: self.key.unwrap_or_else(|| "peerjs".into()),
            id: id.clone(),
            token: match self.token {
                Some(token) => token,
                None => Token::parse(&random::name()).map_err(|_| bad())?,
            },
            signing_key: device.then(|| Arc::new(key.clone())),
        };
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let (signalling, inbox) = Signalling::start(
            registration.clone(),
            self.roots.clone(),
            &tasks,
            stop.clone(),
        );
        let (ready, ice_ready) = watch::channel(false);
        let ice = IceTask {
            engine: engine.clone(),
            registration: registration.clone(),
            roots: self.roots.clone(),
            given: self.ice_servers,
            server: signalling.state(),
            ready,
            stop: stop.clone(),
        };
        let (connections, now) = (self.gate.connections, clock::wall());
        let (access, revoked) =
            Access::new(Gate::new(key.clone(), state, self.gate, now), connections);
        let (incoming, taken) = mpsc::channel(connections.max(1));
        let inner = Arc::new(Inner {
            id,
            key,
            engine,
            registration,
            roots: self.roots,
            signalling,
            access,
            approve: self.approve,
            serializers: self.serializers,
            limits: self.limits,
            registry: Registry::default(),
            timing: self.timing,
            ice_ready,
            totals,
            tasks,
            stop,
        });
        inner.tasks.spawn(ice.run());
        let dispatcher = Dispatcher {
            inner: inner.clone(),
            inbox,
            revoked,
            incoming,
        };
        inner.tasks.spawn(dispatcher.run());
        Ok(Peer(Arc::new(Handle {
            inner,
            incoming: Mutex::new(taken),
        })))
    }
}
