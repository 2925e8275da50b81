use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use getrandom::SysRng;
use peerage_proto::nearby::{Rooms, Secret};
use peerage_proto::wire::id::PeerId;
use rand_core::UnwrapErr;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::Seats;
use crate::callers::Callers;
use crate::config::{Config, ConfigError};
use crate::outbox::Ending;
use crate::switchboard::Switchboard;

/// Octets of all bodies that are being read at a time: 32 MiB, some thousands of calls as they are and 16 of the largest. One that does not fit is refused.
const BODIES: usize = 32 * 1024 * 1024;

/// What all connections of one server share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    switchboard: Switchboard,
    misses: AtomicU64,
    sockets: TaskTracker,
    cut: CancellationToken,
    seats: Arc<Seats>,
    nearby: Arc<Nearby>,
}

/// What is kept of an id only while it is registered, beside the router.
#[derive(Debug)]
struct Nearby {
    rooms: Mutex<Rooms>,
    callers: Callers,
    /// Octets of calls' bodies.
    bodies: Arc<Semaphore>,
}

impl State {
    /// A server's state without a listener, for [`router`](crate::router). [`State::run`] must run beside it.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let secret = config.nearby.secret.clone();
        let secret = secret.unwrap_or_else(|| Secret::generate(&mut UnwrapErr(SysRng)));
        let nearby = Arc::new(Nearby {
            rooms: Mutex::new(Rooms::new(secret, config.nearby.members)),
            callers: Callers::default(),
            bodies: Arc::new(Semaphore::new(BODIES)),
        });
        let mut switchboard = Switchboard::new(config.signal.clone(), config.send_queue);
        let told = nearby.clone();
        switchboard.on_freed(move |id| told.freed(id));
        Ok(Self(Arc::new(Shared {
            seats: Seats::new(config.connections_per_address),
            nearby,
            config,
            switchboard,
            misses: AtomicU64::new(0),
            sockets: TaskTracker::new(),
            cut: CancellationToken::new(),
        })))
    }

    /// Keeps time (expiry, liveness) until `shutdown`, then closes all WebSockets: returns when none is left, after [`Config::drain`] at the latest.
    /// Dropping the future cuts them all at once.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let _cut = self.0.cut.clone().drop_guard();
        tokio::select! {
            () = self.0.switchboard.keep_time() => {}
            () = shutdown => {}
        }
        self.0.sockets.close();
        self.0.switchboard.end_all(Ending::Shutdown);
        if tokio::time::timeout(self.0.config.drain, self.0.sockets.wait())
            .await
            .is_err()
        {
            self.0.cut.cancel();
            self.0.sockets.wait().await;
        }
    }

    /// Requests on device origins that no page of ours makes: each is one that a device's app let slip past its service worker.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Ordering::Relaxed)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn switchboard(&self) -> &Switchboard {
        &self.0.switchboard
    }

    pub(crate) fn seats(&self) -> &Arc<Seats> {
        &self.0.seats
    }

    pub(crate) fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.nearby.rooms()
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.nearby.callers
    }

    pub(crate) fn bodies(&self) -> &Arc<Semaphore> {
        &self.0.nearby.bodies
    }

    /// Forgets what belonged to an id: it is held no longer.
    pub(crate) fn freed(&self, id: &PeerId) {
        self.0.nearby.freed(id);
    }

    pub(crate) fn missed(&self) {
        self.0.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the end has begun: no socket is let in any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.0.sockets.is_closed()
    }

    /// Makes a socket's task one that [`State::run`] waits for, and can cut: axum spawns it, this owns it.
    pub(crate) fn own<F: Future<Output = ()>>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        let cut = self.0.cut.clone();
        self.0.sockets.track_future(async move {
            tokio::select! {
                () = task => {}
                () = cut.cancelled() => {}
            }
        })
    }
}

impl Nearby {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // No panic happens while it is held; if one did, rooms would still be rooms.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn freed(&self, id: &PeerId) {
        self.rooms().freed(id);
        self.callers.forget(id);
    }
}
