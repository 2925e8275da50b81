//! Keeps the engine told of STUN and TURN servers: the owner's, and those of the signalling server with credentials that do not last.

use std::time::Duration;

use peerage_proto::wire::ice_servers::IceServer;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::net::Roots;
use crate::random;
use crate::signalling::{Registration, State, ice_servers};

/// Who begins a connection waits for the first answer no longer than this.
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// After an attempt that failed; with up to as much again by chance.
const AGAIN: Duration = Duration::from_secs(30);
/// Bounds for the time between two questions, whatever the server says.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Asks as long as the peer lives.
pub(super) struct IceTask {
    pub(super) engine: Engine,
    pub(super) registration: Registration,
    pub(super) roots: Roots,
    /// The owner's, which are tried first.
    pub(super) given: Vec<IceServer>,
    pub(super) server: watch::Receiver<State>,
    /// Set once the first answer is there, or has taken too long.
    pub(super) ready: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
}

impl IceTask {
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_asking() => {}
        }
    }

    async fn keep_asking(&mut self) {
        // The owner's can be used at once, whatever the server says.
        if self
            .engine
            .set_ice_servers(self.given.clone())
            .await
            .is_err()
        {
            return;
        }
        loop {
            // It answers nobody who is not registered.
            let open = self.server.wait_for(|state| *state == State::Open);
            if open.await.is_err() {
                return;
            }
            let Some(wait) = self.ask().await else {
                return;
            };
            self.ready.send_replace(true);
            // A server that was lost and found may be another one, or have another secret.
            tokio::select! {
                () = sleep(wait + random::share(wait / 10)) => {}
                found = found_again(&mut self.server) => if !found {
                    return;
                }
            }
        }
    }

    /// Asks once, tells the engine, and says when to ask again; `None` when the engine has stopped.
    async fn ask(&mut self) -> Option<Duration> {
        let question = ice_servers(&self.registration, &self.roots);
        let answer = {
            let mut question = std::pin::pin!(question);
            match timeout(WAIT, &mut question).await {
                Ok(answer) => answer,
                Err(_) => {
                    // Connections go on without, and get what comes later.
                    self.ready.send_replace(true);
                    question.await
                }
            }
        };
        let told = match answer {
            Ok(told) => told,
            // What is known stays: it may be good for hours yet.
            Err(error) => {
                tracing::debug!(%error, "no word on STUN and TURN servers");
                return Some(AGAIN + random::share(AGAIN));
            }
        };
        let mut servers = self.given.clone();
        let mut next = LONGEST;
        if let Some(told) = told {
            tracing::debug!(servers = told.servers.len(), "STUN and TURN servers");
            servers.extend(told.servers);
            // Half of their life is left then, for what goes wrong.
            next = (told.ttl / 2).clamp(SHORTEST, LONGEST);
        }
        self.engine.set_ice_servers(servers).await.ok()?;
        Some(next)
    }
}

/// Resolves when the server was lost and is there again; false when the client has stopped.
async fn found_again(server: &mut watch::Receiver<State>) -> bool {
    let down = |state: &State| *state != State::Open;
    server.wait_for(down).await.is_ok() && server.wait_for(|state| !down(state)).await.is_ok()
}
