use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerage_proto::wire::forwarded::is_among;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::address::Place;
use crate::config::{Config, ConfigError};
use crate::metrics;
use crate::routes::router;
use crate::state::State;
use crate::tls::{self, TlsError};
use crate::turn::{Turn, TurnError};

/// Octets of a request's head: 64 KiB. Looked at as the buffer grows: one that comes in a single piece may be somewhat longer.
const HEAD: usize = 64 * 1024;
/// Fields of a request's head.
const FIELDS: usize = 128;
/// Pause after an accept that failed for want of something (out of descriptors, mostly): trying again at once would only burn the processor.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time between two complaints about that.
const ACCEPT_COMPLAINT: Duration = Duration::from_secs(60);
/// Tries to find a port that is free at both loopback addresses, where any port will do.
const BIND_TRIES: usize = 16;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    /// The other family's loopback address.
    beside: Option<TcpListener>,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    state: State,
    places: Arc<Semaphore>,
    turn: Option<Turn>,
    metrics: Option<TcpListener>,
}

impl Server {
    /// Checks the configuration and starts to listen; connections wait until [`Server::run`].
    ///
    /// Where [`Config::listen`] is reached by way of `localhost`, the server listens at both loopback addresses: browsers try `::1` and `127.0.0.1`, and
    /// who held the other one would get what is meant for the devices here. A system without one of the families does without it.
    ///
    /// # Errors
    /// See [`BindError`]; a port that is taken at either address is [`BindError::InUse`].
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let mut server = Self::without_turn(config).await?;
        let tls = server.tls.as_ref().map(tls::for_any_protocol);
        let (turn, places) = Turn::bind(&server.state, tls)?;
        if let Some(turn) = &turn {
            server.state.counts_turn_in(turn.stats().clone());
        }
        server.state.answers_turn_at(places);
        server.turn = turn;
        #[cfg(feature = "hub")]
        if let Some(hub) = crate::hub::serve(server.state.config(), server.address).await? {
            server.state.has_rooms_in(hub);
        }
        Ok(server)
    }

    /// The same, but for STUN and TURN.
    pub(crate) async fn without_turn(config: Config) -> Result<Self, BindError> {
        let wanted = config.listen;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let state = State::new(config)?;
        let (listener, beside) = listen(wanted).await?;
        let metrics = match state.config().metrics {
            None => None,
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|source| BindError::Metrics { address, source })?,
            ),
        };
        let address = listener.local_addr().map_err(|source| BindError::Listen {
            address: wanted,
            source,
        })?;
        Ok(Self {
            listener,
            beside,
            address,
            tls,
            places: Arc::new(Semaphore::new(state.config().connections)),
            state,
            turn: None,
            metrics,
        })
    }

    /// Where it listens; the port is the true one where 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells what it counts ([`Config::metrics`]).
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// What its connections share, for asking while it runs.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Serves until `shutdown`, then lets connections finish: returns after [`Config::drain`] at the latest, a moment more for what has to be cut.
    /// Dropping the future cuts everything at once.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let closing = CancellationToken::new();
        let shutdown = async {
            shutdown.await;
            info!("closing");
            closing.cancel();
        };
        let turn = self.turn.take();
        let turn = async {
            if let Some(turn) = turn {
                turn.run(|from| self.place(from), &closing).await;
            }
        };
        let metrics = async {
            if let Some(listener) = &self.metrics {
                let places = self.places.clone();
                metrics::serve(listener, self.state.clone(), places, &closing).await;
            }
        };
        let rooms = async {
            #[cfg(feature = "hub")]
            if let Some(hub) = self.state.hub() {
                closing.cancelled().await;
                hub.close_within(self.state.config().drain).await;
            }
        };
        let sockets = self.state.run(shutdown);
        tokio::join!(sockets, self.accept(&closing), turn, metrics, rooms);
    }

    async fn accept(&self, closing: &CancellationToken) {
        let http = Http::new(&self.state, router(self.state.clone()));
        let mut connections = JoinSet::new();
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                accepted = accept_beside(self.beside.as_ref()) => accepted,
                Some(_) = connections.join_next() => continue,
                () = closing.cancelled() => break,
            };
            match accepted {
                Ok((stream, from)) => match self.place(from) {
                    Some(place) => {
                        let connection = http.clone().connection(
                            stream,
                            self.tls.clone(),
                            place,
                            closing.clone(),
                        );
                        connections.spawn(connection);
                    }
                    None => debug!(%from, "no place for another connection"),
                },
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= ACCEPT_COMPLAINT) {
                        complained = Some(Instant::now());
                        warn!(%error, "cannot accept a connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(self.state.config().drain, all).await;
        connections.shutdown().await;
    }

    /// None when all are taken, or all that one address may have.
    fn place(&self, from: SocketAddr) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let seat = if is_among(from.ip().to_canonical(), &self.state.config().proxies) {
            // Whom a proxy brings is told by each request.
            None
        } else {
            self.state.seats().take(from.ip()).ok()?
        };
        Some(Place::new(permit, seat))
    }
}

async fn accept_beside(beside: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match beside {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, Option<TcpListener>), BindError> {
    let mut tries = if wanted.port() == 0 { BIND_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = listen_at(wanted).await?;
        let port = listener.local_addr().map_or(wanted.port(), |at| at.port());
        let Some(other) = other_loopback(wanted.ip()) else {
            return Ok((listener, None));
        };
        match listen_at(SocketAddr::new(other, port)).await {
            Ok(beside) => return Ok((listener, Some(beside))),
            Err(BindError::InUse { .. }) if tries > 0 => {}
            Err(error @ BindError::InUse { .. }) => return Err(error),
            Err(error) => {
                debug!(%error, "one address family only");
                return Ok((listener, None));
            }
        }
    }
}

async fn listen_at(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Listen { address, source },
        })
}

/// What `localhost` also means to a client, if this address is reached by it. (`::` takes both families where the system lets it.)
fn other_loopback(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED) => Some(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Ipv4Addr::LOCALHOST.into()),
        _ => None,
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a server cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process listens there.
    #[error("{address} is in use: take another port, or end what listens there")]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The system refuses for another reason: an address that is not ours, a port that needs rights.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nobody can be told what is counted at the place that was named for it.
    #[error("cannot listen on {address}, for metrics")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A setting that cannot be.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// STUN and TURN were asked for by name and cannot be served.
    #[error("STUN and TURN cannot be served")]
    Turn(#[from] TurnError),
    /// TLS was asked for and cannot be served.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// Rooms were asked for and cannot be served.
    #[cfg(feature = "hub")]
    #[error("rooms cannot be served")]
    Hub(#[from] crate::hub::HubError),
}

/// Where a request's connection arrived, for its handlers.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// Our address as the client used it.
    pub(crate) local: IpAddr,
    /// The other end of the connection: the client, or a proxy in front.
    pub(crate) remote: IpAddr,
    /// To be held by what outlives the request.
    pub(crate) place: Place,
}

#[derive(Clone)]
pub(crate) struct Http {
    builder: http1::Builder,
    service: TowerToHyperService<Router>,
    handshake: Duration,
    lifetime: Duration,
}

impl Http {
    pub(crate) fn new(state: &State, router: Router) -> Self {
        let Config {
            handshake,
            http_lifetime,
            ..
        } = *state.config();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(handshake)
            .max_headers(FIELDS)
            .max_buf_size(HEAD);
        Self {
            builder,
            service: TowerToHyperService::new(router),
            handshake,
            lifetime: http_lifetime,
        }
    }

    pub(crate) async fn connection(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        place: Place,
        closing: CancellationToken,
    ) {
        // Frames are small and each is wanted at once; a socket without the option still works.
        let _ = stream.set_nodelay(true);
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return;
        };
        let arrival = Arrival {
            local: local.ip().to_canonical(),
            remote: remote.ip().to_canonical(),
            place,
        };
        match tls {
            None => self.serve(stream, arrival, closing).await,
            Some(tls) => match timeout(self.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream, arrival, closing).await,
                Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            },
        }
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        arrival: Arrival,
        closing: CancellationToken,
    ) {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(arrival.clone());
            self.service.call(request)
        });
        let mut connection = pin!(
            self.builder
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        tokio::select! {
            // What a client breaks off, or never finishes, is its own affair.
            _ = connection.as_mut() => return,
            () = closing.cancelled() => {}
            () = sleep(self.lifetime) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(
            self.handshake,
            poll_fn(|context| connection.as_mut().poll(context)),
        )
        .await;
    }
}
