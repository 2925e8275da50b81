//! A server for tests: any free port on this machine, short times, gone when dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{BindError, Config, Server, State, TurnPlaces};

/// A server that runs.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    state: State,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

/// Waits a tenth of what a real server does; limits are the real ones. Without STUN and TURN, whose default ports are the machine's.
#[must_use]
pub fn config() -> Config {
    let mut config = Config {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        drain: Duration::from_millis(1_500),
        turn: None,
        ..Config::default()
    };
    config.signal.expire_after = Duration::from_millis(500);
    config
}

impl TestServer {
    /// Starts a server with [`config`].
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn start() -> Result<Self, BindError> {
        Self::with(config()).await
    }

    /// Starts a server with a configuration of your own.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn with(config: Config) -> Result<Self, BindError> {
        Ok(Self::run(Server::bind(config).await?))
    }

    /// Starts a server that answers no STUN and TURN, and tells clients that they are answered at these places.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn with_turn_at(places: TurnPlaces, config: Config) -> Result<Self, BindError> {
        let server = Server::without_turn(config).await?;
        server.state().answers_turn_at(places);
        Ok(Self::run(server))
    }

    fn run(server: Server) -> Self {
        let (address, metrics, state, closing) = (
            server.local_addr(),
            server.metrics_addr(),
            server.state().clone(),
            CancellationToken::new(),
        );
        let task = tokio::spawn(server.run(closing.clone().cancelled_owned()));
        Self {
            address,
            metrics,
            state,
            closing,
            task,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells what it counts.
    #[must_use]
    pub const fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// `http://localhost:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// What its connections share.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// As a signal would: returns when the server has closed everything.
    pub async fn stop(mut self) {
        self.closing.cancel();
        // A server that panicked has stopped as well; its test will say so.
        let _ = (&mut self.task).await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
