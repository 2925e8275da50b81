//! Makes a lost connection anew under its old handle.

use std::sync::{Arc, Weak};
use std::time::Duration;

use peerage_proto::wire::id::PeerId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::{ConnectError, ConnectOptions, Inner};
use crate::connection::{
    CloseReason, Connection, ConnectionState, Opened, Setup, Shared as Handle,
};
use crate::random;

/// Between two attempts; with up to as much again by chance, so that both ends of a network that came back do not call at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The task beside a connection that this side began.
pub(super) struct Keeper {
    inner: Weak<Inner>,
    to: PeerId,
    options: ConnectOptions,
    within: Duration,
    handle: Weak<Handle>,
    /// Of the connection as it is now.
    now: watch::Receiver<ConnectionState>,
    /// What the application sees.
    seen: watch::Sender<ConnectionState>,
}

impl Keeper {
    /// The connection, with its keeper.
    pub(super) fn keep(
        inner: &Arc<Inner>,
        to: &PeerId,
        options: ConnectOptions,
        within: Duration,
        mut opened: Opened,
        setup: Setup,
    ) -> Connection {
        let seen = watch::Sender::new(ConnectionState::Open);
        let now = std::mem::replace(&mut opened.facts.state, seen.subscribe());
        let connection = Connection::kept(opened, setup);
        let keeper = Self {
            inner: Arc::downgrade(inner),
            to: to.clone(),
            options,
            within,
            handle: connection.downgrade(),
            now,
            seen,
        };
        inner.tasks.spawn(keeper.run());
        connection
    }

    async fn run(mut self) {
        loop {
            let reason = self.watch().await;
            let lost = matches!(reason, CloseReason::Lost | CloseReason::NoRoute);
            if lost && self.renew().await {
                continue;
            }
            let mut reason = reason;
            if let Some(handle) = self.handle.upgrade() {
                handle.give_up();
                if lost && handle.is_closing() {
                    reason = CloseReason::Local;
                }
            }
            self.seen.send_replace(ConnectionState::Closed(reason));
            return;
        }
    }

    /// Passes on what the connection says, until its end.
    async fn watch(&mut self) -> CloseReason {
        loop {
            let state = self.now.borrow_and_update().clone();
            match state {
                ConnectionState::Closed(reason) => return reason,
                state => self
                    .seen
                    .send_if_modified(|seen| std::mem::replace(seen, state.clone()) != state),
            };
            if self.now.changed().await.is_err() {
                return CloseReason::Local;
            }
        }
    }

    /// Calls until it is answered, the time is over, or nobody needs it any more.
    async fn renew(&mut self) -> bool {
        let until = Instant::now() + self.within;
        match self.handle.upgrade() {
            Some(handle) => handle.renewing(),
            None => return false,
        }
        self.seen.send_replace(ConnectionState::Renewing);
        tracing::debug!(peer = %self.to, "the connection is lost: calling again");
        loop {
            let Some(inner) = self.inner.upgrade() else {
                return false;
            };
            let attempt = tokio::select! {
                () = inner.stop.cancelled() => return false,
                () = unwanted(&self.handle) => return false,
                attempt = timeout_at(until, inner.open(&self.to, &self.options)) => attempt,
            };
            match attempt {
                Ok(Ok(opened)) => return self.adopt(opened),
                // Nobody is asked again who said no, or is somebody else.
                Ok(Err(
                    error @ (ConnectError::Refused(_)
                    | ConnectError::WrongDevice(_)
                    | ConnectError::WrongCertificate
                    | ConnectError::Invalid(_)
                    | ConnectError::Stopped),
                )) => {
                    tracing::debug!(peer = %self.to, %error, "not called again");
                    return false;
                }
                Ok(Err(error)) => tracing::debug!(peer = %self.to, %error, "not yet"),
                Err(_) => return false,
            }
            let stop = inner.stop.clone();
            drop(inner);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = unwanted(&self.handle) => return false,
                () = sleep(PAUSE + random::share(PAUSE)) => {}
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    fn adopt(&mut self, mut opened: Opened) -> bool {
        let Some(handle) = self.handle.upgrade() else {
            return false;
        };
        self.now = std::mem::replace(&mut opened.facts.state, self.seen.subscribe());
        handle.renew(opened);
        self.seen.send_replace(ConnectionState::Open);
        true
    }
}

/// Resolves when no handle is left, or the application closed the connection.
async fn unwanted(handle: &Weak<Handle>) {
    loop {
        match handle.upgrade() {
            Some(handle) if !handle.is_closing() => {}
            _ => return,
        }
        sleep(PAUSE).await;
    }
}
