use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError};
use crate::hooks::{Hooked, Hooks};
use crate::outbox::Ending;
use crate::switchboard::Switchboard;

/// What all connections of one server share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    hooks: Option<Hooked>,
    switchboard: Switchboard,
    misses: AtomicU64,
    sockets: TaskTracker,
    cut: CancellationToken,
}

impl State {
    /// A server's state without a listener, for [`router`](crate::router). [`State::run`] must run beside it.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::build(config, None)
    }

    /// The same with an application's word in what happens.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn with_hooks(config: Config, hooks: impl Hooks) -> Result<Self, ConfigError> {
        Self::build(config, Some(Hooked::new(hooks)))
    }

    fn build(config: Config, hooks: Option<Hooked>) -> Result<Self, ConfigError> {
        config.check()?;
        let switchboard = Switchboard::new(config.signal.clone(), config.send_queue);
        Ok(Self(Arc::new(Shared {
            config,
            hooks,
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

    pub(crate) fn hooks(&self) -> Option<&Hooked> {
        self.0.hooks.as_ref()
    }

    pub(crate) fn switchboard(&self) -> &Switchboard {
        &self.0.switchboard
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
