//! The shell of the username protocol's machine: one lock, a queue for each socket, one task for its deadlines.
//!
//! Nothing awaits while the lock is held: performing an output is pushing to a bounded queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use peerage_proto::names::{self, CloseReason, ConnId, Input, Names, Output};
use peerage_proto::wire::username::{Message, MessageError};
use tracing::debug;

use crate::alarm::Alarm;
use crate::switchboard::Opened;
use crate::websocket::{Budget, Ending, Outbox, Overflow};

/// Who is logged in by name.
#[derive(Debug)]
pub(crate) struct Directory {
    core: Mutex<Core>,
    alarm: Alarm,
    send_queue: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Core {
    names: Names,
    outboxes: HashMap<ConnId, Arc<Outbox>>,
    opened: u64,
}

impl Directory {
    pub(crate) fn new(config: names::Config, send_queue: usize, budget: Arc<Budget>) -> Self {
        let core = Core {
            names: Names::new(config),
            outboxes: HashMap::new(),
            opened: 0,
        };
        Self {
            core: Mutex::new(core),
            alarm: Alarm::default(),
            send_queue,
            budget,
        }
    }

    pub(crate) fn open(&self) -> Opened {
        let outbox = Arc::new(Outbox::new(self.send_queue, self.budget.clone()));
        self.with(|core, now| {
            let conn = ConnId(core.opened);
            core.opened += 1;
            core.outboxes.insert(conn, outbox.clone());
            core.names.handle_input(Input::Opened(conn), now);
            (conn, outbox)
        })
    }

    pub(crate) fn received(&self, conn: ConnId, message: Result<Message<'_>, MessageError>) {
        self.with(|core, now| {
            core.names.handle_input(Input::Received(conn, message), now);
        });
    }

    pub(crate) fn beat(&self, conn: ConnId) {
        self.with(|core, now| core.names.handle_input(Input::Beat(conn), now));
    }

    pub(crate) fn closed(&self, conn: ConnId) {
        self.with(|core, now| {
            core.outboxes.remove(&conn);
            core.names.handle_input(Input::Closed(conn), now);
        });
    }

    /// Ends every socket, in the same way.
    pub(crate) fn end_all(&self, ending: Ending) {
        self.with(|core, _| core.outboxes.values().for_each(|outbox| outbox.end(ending)));
    }

    /// Keeps the machine's time. Never returns; owned by who runs the server.
    pub(crate) async fn keep_time(&self) {
        self.alarm
            .keep(
                || self.with(|core, _| core.names.poll_timeout()),
                || self.with(|core, now| core.names.handle_timeout(now)),
            )
            .await;
    }

    fn with<T>(&self, act: impl FnOnce(&mut Core, Instant) -> T) -> T {
        // The machine does not panic; if it did, its maps would still be maps, and the other clients not to blame.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let due = core.names.poll_timeout();
        let now = Instant::now();
        let result = act(&mut core, now);
        core.perform_outputs(now);
        self.alarm.moved(due, core.names.poll_timeout());
        result
    }
}

impl Core {
    fn perform_outputs(&mut self, now: Instant) {
        while let Some(output) = self.names.poll_output() {
            let pushed = match &output {
                Output::Send(conn, text) => self.outbox(*conn, |outbox| outbox.push(text)),
                Output::Ping(conn) => self.outbox(*conn, Outbox::push_ping),
                Output::Close(conn, CloseReason::Silent) => {
                    if let Some(outbox) = self.outboxes.remove(conn) {
                        outbox.end(Ending::Silent);
                    }
                    Ok(())
                }
            };
            if let Err(conn) = pushed {
                debug!(conn = conn.0, "closing a slow reader");
                if let Some(outbox) = self.outboxes.remove(&conn) {
                    outbox.end(Ending::Slow);
                }
                self.names.handle_input(Input::Closed(conn), now);
            }
        }
    }

    /// Pushes to a socket's queue, if it has one still; the error names the socket whose queue is full.
    fn outbox(
        &self,
        conn: ConnId,
        push: impl FnOnce(&Outbox) -> Result<(), Overflow>,
    ) -> Result<(), ConnId> {
        let Some(outbox) = self.outboxes.get(&conn) else {
            return Ok(());
        };
        push(outbox).map_err(|Overflow| conn)
    }
}
