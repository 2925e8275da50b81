use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use getrandom::SysRng;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use peerage_proto::turn::credentials::Secret;
use rand_core::UnwrapErr;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::address::{Place, Seats};
use crate::config::{Config, ConfigError};
use crate::directory::Directory;
use crate::hooks::{Hooked, Hooks};
use crate::nearby::Nearby;
use crate::switchboard::{Opened, Switchboard};
use crate::turn::{SharedStats, TurnPlaces, TurnStats, lock_stats};
use crate::websocket::{Budget, Connection, Ending, Service};

/// What all connections of one server share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    hooks: Option<Hooked>,
    switchboard: Switchboard,
    directory: Directory,
    misses: AtomicU64,
    sockets: TaskTracker,
    budget: Arc<Budget>,
    seats: Arc<Seats>,
    nearby: Arc<Nearby>,
    /// Of our own TURN server: the one that was given, or drawn. None where it is off.
    turn_secret: Option<Secret>,
    turn: OnceLock<TurnPlaces>,
    turn_stats: OnceLock<SharedStats>,
    #[cfg(feature = "hub")]
    hub: OnceLock<crate::hub::Hub>,
}

impl State {
    /// A server's state without a listener, for [`router`](crate::router). [`State::run`] must run beside it.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::build(config, None)
    }

    /// The same with an application's word in what happens. There is no talk by name then ([`Config::names`]): hooks would not hear of it.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn with_hooks(config: Config, hooks: impl Hooks) -> Result<Self, ConfigError> {
        let config = Config {
            names: None,
            ..config
        };
        Self::build(config, Some(Hooked::new(hooks)))
    }

    fn build(config: Config, hooks: Option<Hooked>) -> Result<Self, ConfigError> {
        config.check()?;
        let budget = Budget::new(config.buffered);
        let nearby = Arc::new(Nearby::new(&config.nearby));
        let switchboard =
            Switchboard::new(&config.signal, config.send_queue, budget.clone(), &nearby);
        let directory = Directory::new(
            config.names.clone().unwrap_or_default(),
            config.send_queue,
            budget.clone(),
        );
        // Without the system's randomness there is no server: a panic at its start.
        let draw = || Secret::generate(&mut UnwrapErr(SysRng));
        let turn = config.turn.as_ref();
        let turn_secret = turn.map(|turn| turn.secret.clone().unwrap_or_else(draw));
        Ok(Self(Arc::new(Shared {
            seats: Seats::new(config.connections_per_address),
            nearby,
            config,
            hooks,
            switchboard,
            directory,
            misses: AtomicU64::new(0),
            sockets: TaskTracker::new(),
            budget,
            turn_secret,
            turn: OnceLock::new(),
            turn_stats: OnceLock::new(),
            #[cfg(feature = "hub")]
            hub: OnceLock::new(),
        })))
    }

    /// Keeps time (expiry, liveness) until `shutdown`, then closes all WebSockets: returns when none is left, after [`Config::drain`] at the latest.
    /// Dropping the future cuts them all at once.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let cut = Cut(&self.0);
        tokio::select! {
            () = self.0.switchboard.keep_time() => {}
            () = self.0.directory.keep_time() => {}
            () = shutdown => {}
        }
        self.0.sockets.close();
        self.0.end_all(Ending::Shutdown);
        let _ = timeout(self.0.config.drain, self.0.sockets.wait()).await;
        drop(cut);
        self.0.sockets.wait().await;
    }

    /// Requests on device origins that no page of ours makes: each is one that a device's app let slip past its service worker.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Ordering::Relaxed)
    }

    /// Where STUN and TURN are answered. None where nobody serves them: they are off, or [`router`](crate::router) is mounted in an application.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnPlaces> {
        self.0.turn.get()
    }

    /// Tells where STUN and TURN are answered, before anybody asks. What is told later does not count.
    pub(crate) fn answers_turn_at(&self, places: TurnPlaces) {
        let _ = self.0.turn.set(places);
    }

    /// What has happened to STUN and TURN so far. None where nobody serves them.
    #[must_use]
    pub fn turn_stats(&self) -> Option<TurnStats> {
        Some(lock_stats(self.0.turn_stats.get()?).clone())
    }

    /// Tells where it is counted.
    pub(crate) fn counts_turn_in(&self, stats: SharedStats) {
        let _ = self.0.turn_stats.set(stats);
    }

    /// Rooms. None where they are off, or [`router`](crate::router) is mounted in an application.
    #[cfg(feature = "hub")]
    #[must_use]
    pub fn hub(&self) -> Option<&crate::hub::Hub> {
        self.0.hub.get()
    }

    /// Tells where they are, before anybody asks.
    #[cfg(feature = "hub")]
    pub(crate) fn has_rooms_in(&self, hub: crate::hub::Hub) {
        let _ = self.0.hub.set(hub);
    }

    /// With what credentials of our TURN server are made and checked.
    pub(crate) fn turn_secret(&self) -> Option<&Secret> {
        self.0.turn_secret.as_ref()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn hooks(&self) -> Option<&Hooked> {
        self.0.hooks.as_ref()
    }

    pub(crate) fn switchboard(&self) -> &Switchboard {
        &self.0.switchboard
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn seats(&self) -> &Arc<Seats> {
        &self.0.seats
    }

    pub(crate) fn nearby(&self) -> &Nearby {
        &self.0.nearby
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.budget
    }

    pub(crate) fn missed(&self) {
        self.0.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a WebSocket from its upgrade on; [`State::run`] waits for it, and can cut it. `open` is called when the handshake is done, for who is to take
    /// what the socket says.
    pub(crate) fn spawn_socket<S: Service + 'static>(
        &self,
        upgrade: OnUpgrade,
        max_message: usize,
        place: Option<Place>,
        open: impl FnOnce() -> (Opened, S) + Send + 'static,
    ) {
        let state = self.clone();
        self.0.sockets.spawn(async move {
            let connection = {
                let io = match timeout(state.config().handshake, upgrade).await {
                    Ok(Ok(upgraded)) => TokioIo::new(upgraded),
                    Ok(Err(error)) => return debug!(%error, "a handshake was broken off"),
                    Err(_) => return debug!("a handshake took too long"),
                };
                let (opened, service) = open();
                if state.0.sockets.is_closed() {
                    opened.1.end(Ending::Shutdown);
                }
                let budget = state.0.budget.clone();
                Connection::new(io, service, opened, state.config(), max_message, budget)
            };
            connection.run().await;
            drop(place);
        });
    }
}

impl Shared {
    fn end_all(&self, ending: Ending) {
        self.switchboard.end_all(ending);
        self.directory.end_all(ending);
    }
}

/// Ends all sockets at once when it goes.
struct Cut<'a>(&'a Shared);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.end_all(Ending::Cut);
    }
}
