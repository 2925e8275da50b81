//! The shell of the router: one machine under one lock, a queue for each socket, one task for its deadlines.
//!
//! Nothing awaits while the lock is held: performing an output is pushing to a bounded queue.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use getrandom::SysRng;
use peerage_proto::signal::{self, ConnId, Hello, Input, NotYours, Output, Router};
use peerage_proto::wire::id::{PeerId, Token};
use rand_core::UnwrapErr;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::debug;

use crate::outbox::{Ending, Outbox, Overflow};

/// Without the system's randomness no id may be given out: a panic in the one request that asks for it.
type SystemRng = UnwrapErr<SysRng>;

pub(crate) struct Switchboard {
    core: Mutex<Core>,
    /// The earliest deadline moved forward.
    rearm: Notify,
    send_queue: usize,
    /// Told of each id that is held no longer.
    freed: Option<Freed>,
}

type Freed = Box<dyn Fn(&PeerId) + Send + Sync>;

#[derive(Debug)]
struct Core {
    router: Router<SystemRng>,
    outboxes: HashMap<ConnId, Arc<Outbox>>,
    opened: u64,
}

impl Switchboard {
    pub(crate) fn new(config: signal::Config, send_queue: usize) -> Self {
        let router = Router::new(config, UnwrapErr(SysRng));
        let core = Core {
            router,
            outboxes: HashMap::new(),
            opened: 0,
        };
        Self {
            core: Mutex::new(core),
            rearm: Notify::new(),
            send_queue,
            freed: None,
        }
    }

    /// Whom to tell of each id that is held no longer. It must not call back.
    pub(crate) fn on_freed(&mut self, told: impl Fn(&PeerId) + Send + Sync + 'static) {
        self.freed = Some(Box::new(told));
    }

    /// The socket that holds an id, for whoever knows its token.
    pub(crate) fn check(&self, id: &PeerId, token: &Token) -> Result<ConnId, NotYours> {
        self.with(|core, _| core.router.check(id, token))
    }

    /// Lets a socket in, or not: its queue then says why, and ends.
    pub(crate) fn open(&self, hello: Hello<'_>) -> (ConnId, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(self.send_queue));
        let conn = self.with(|core, now| {
            core.opened += 1;
            let conn = ConnId(core.opened);
            core.outboxes.insert(conn, outbox.clone());
            core.router.handle_input(Input::Opened(conn, hello), now);
            conn
        });
        (conn, outbox)
    }

    pub(crate) fn received(&self, conn: ConnId, text: &[u8]) {
        self.with(|core, now| core.router.handle_input(Input::Received(conn, text), now));
    }

    pub(crate) fn beat(&self, conn: ConnId) {
        self.with(|core, now| core.router.handle_input(Input::Beat(conn), now));
    }

    pub(crate) fn closed(&self, conn: ConnId) {
        self.with(|core, now| {
            core.outboxes.remove(&conn);
            core.router.handle_input(Input::Closed(conn), now);
        });
    }

    pub(crate) fn fresh_id(&self) -> String {
        self.with(|core, _| core.router.fresh_id())
    }

    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.with(|core, _| core.router.peers())
    }

    /// Ends every socket, in the same way.
    pub(crate) fn end_all(&self, ending: Ending) {
        self.with(|core, _| core.outboxes.values().for_each(|outbox| outbox.end(ending)));
    }

    /// Keeps the router's time. Never returns; owned by who runs the server.
    pub(crate) async fn keep_time(&self) {
        loop {
            let due = self.with(|core, _| core.router.poll_timeout());
            let deadline = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = deadline => self.with(|core, now| core.router.handle_timeout(now)),
                () = self.rearm.notified() => {}
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Core, Instant) -> T) -> T {
        // The machine does not panic; if it did, its maps would still be maps, and the other clients not to blame.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let due = core.router.poll_timeout();
        let now = Instant::now();
        let result = act(&mut core, now);
        core.perform_outputs(now);
        // Under the lock: before the id can be somebody else's.
        while let Some(id) = core.router.poll_freed() {
            if let Some(told) = &self.freed {
                told(&id);
            }
        }
        if let Some(next) = core.router.poll_timeout()
            && due.is_none_or(|due| next < due)
        {
            self.rearm.notify_one();
        }
        result
    }
}

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard").finish_non_exhaustive()
    }
}

impl Core {
    fn perform_outputs(&mut self, now: Instant) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Send(conn, text) => {
                    let Some(outbox) = self.outboxes.get(&conn) else {
                        continue;
                    };
                    let text = match text {
                        std::borrow::Cow::Borrowed(text) => Utf8Bytes::from_static(text),
                        std::borrow::Cow::Owned(text) => text.into(),
                    };
                    if let Err(Overflow) = outbox.push(text) {
                        debug!(conn = conn.0, "closing a slow reader");
                        outbox.end(Ending::Slow);
                        self.outboxes.remove(&conn);
                        self.router.handle_input(Input::Closed(conn), now);
                    }
                }
                Output::Close(conn, reason) => {
                    if let Some(outbox) = self.outboxes.remove(&conn) {
                        outbox.end(Ending::Router(reason));
                    }
                }
            }
        }
    }
}
