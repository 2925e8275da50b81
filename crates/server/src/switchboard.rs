//! The shell of the router: its shards, each under a lock of its own, a queue for each socket, one task for each shard's deadlines.
//!
//! Nothing awaits while a lock is held, and no two shards' at a time: performing an output is pushing to a bounded queue, and what one shard says to
//! another is carried over between the two.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use futures_util::future::join_all;
use getrandom::SysRng;
use peerage_proto::signal::{
    self, CloseReason, ConnId, Departure, Hello, Input, Output, Routed, Router, Totals,
    Unauthorized, fresh_id,
};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::FrameRef;
use rand_core::UnwrapErr;
use tracing::{debug, info};

use crate::alarm::Alarm;
use crate::nearby::Nearby;
use crate::websocket::{Budget, Ending, Outbox};

/// For each core of the machine: so that two threads hardly ever want the same one.
const SHARDS_PER_CORE: usize = 8;

#[derive(Debug)]
pub(crate) struct Switchboard {
    shards: Box<[Shard]>,
    /// Secret, so that nobody can choose ids of one shard.
    hasher: RandomState,
    opened: AtomicU64,
    send_queue: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Shard {
    core: Mutex<Core>,
    alarm: Alarm,
}

#[derive(Debug)]
struct Core {
    router: Router,
    outboxes: HashMap<ConnId, Arc<Outbox>>,
    /// The socket that opens at this moment.
    fresh: Option<ConnId>,
    /// What is kept of ids while they are held.
    nearby: Arc<Nearby>,
}

/// A socket that has been let in or refused; in either case its queue says the rest.
pub(crate) type Opened = (ConnId, Arc<Outbox>);

impl Switchboard {
    pub(crate) fn new(
        config: &signal::Config,
        send_queue: usize,
        budget: Arc<Budget>,
        nearby: &Arc<Nearby>,
    ) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let totals = Arc::<Totals>::default();
        let shard = |_| Shard {
            core: Mutex::new(Core {
                router: Router::new(config.clone(), totals.clone()),
                outboxes: HashMap::new(),
                fresh: None,
                nearby: nearby.clone(),
            }),
            alarm: Alarm::default(),
        };
        Self {
            shards: (0..cores * SHARDS_PER_CORE).map(shard).collect(),
            hasher: RandomState::new(),
            opened: AtomicU64::new(0),
            send_queue,
            budget,
        }
    }

    /// Lets a socket in, or not: its queue then says why, and ends.
    pub(crate) fn open(&self, hello: Hello<'_>) -> Opened {
        let outbox = Arc::new(Outbox::new(self.send_queue, self.budget.clone()));
        let conn = ConnId(self.opened.fetch_add(1, Ordering::Relaxed));
        self.act(self.shard_of(hello.id), |core, now| {
            core.outboxes.insert(conn, outbox.clone());
            core.fresh = Some(conn);
            core.router.handle_input(Input::Opened(conn, hello), now);
        });
        (conn, outbox)
    }

    /// A socket that is told something and closed, and no router knows of it.
    pub(crate) fn refuse(&self, text: &str) -> Opened {
        let outbox = Arc::new(Outbox::new(self.send_queue, self.budget.clone()));
        let _ = outbox.push(text);
        outbox.end(Ending::Refused);
        (ConnId(self.opened.fetch_add(1, Ordering::Relaxed)), outbox)
    }

    /// A message of the socket that was opened for `id`.
    pub(crate) fn received(&self, id: &str, conn: ConnId, frame: FrameRef<'_>) {
        self.act(self.shard_of(id), |core, now| {
            core.router.handle_input(Input::Received(conn, frame), now);
        });
    }

    pub(crate) fn beat(&self, id: &str, conn: ConnId) {
        self.act(self.shard_of(id), |core, now| {
            core.router.handle_input(Input::Beat(conn), now);
        });
    }

    pub(crate) fn closed(&self, id: &str, conn: ConnId, departure: Departure) {
        self.act(self.shard_of(id), |core, now| {
            core.outboxes.remove(&conn);
            core.router
                .handle_input(Input::Closed(conn, departure), now);
        });
    }

    /// The socket of an id, for who names its token.
    pub(crate) fn authorize(&self, id: &str, token: &str) -> Result<ConnId, Unauthorized> {
        self.act(self.shard_of(id), |core, _| {
            core.router.authorize(id, token)
        })
    }

    pub(crate) fn is_held(&self, id: &str) -> bool {
        self.act(self.shard_of(id), |core, _| core.router.is_held(id))
    }

    /// An id that nobody holds. Without the system's randomness none may be given out: a panic in the one request that asks for it.
    pub(crate) fn fresh_id(&self) -> String {
        loop {
            let id = fresh_id(&mut UnwrapErr(SysRng));
            if !self.is_held(&id) {
                return id;
            }
        }
    }

    /// All ids, in the order of their registration.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        let mut held: Vec<(u64, PeerId)> = Vec::new();
        for shard in &self.shards {
            self.act(shard, |core, _| {
                held.extend(core.router.peers().map(|(order, id)| (order, id.clone())));
            });
        }
        held.sort_unstable();
        held.into_iter().map(|(_, id)| id).collect()
    }

    /// Ends every socket, in the same way.
    pub(crate) fn end_all(&self, ending: Ending) {
        for shard in &self.shards {
            self.act(shard, |core, _| {
                core.outboxes.values().for_each(|outbox| outbox.end(ending));
            });
        }
    }

    /// Keeps the routers' time. Never returns; owned by who runs the server.
    pub(crate) async fn keep_time(&self) {
        join_all(self.shards.iter().map(|shard| {
            shard.alarm.keep(
                || self.act(shard, |core, _| core.router.poll_timeout()),
                || self.act(shard, |core, now| core.router.handle_timeout(now)),
            )
        }))
        .await;
    }

    fn shard_of(&self, id: &str) -> &Shard {
        let hash = self.hasher.hash_one(id);
        // A remainder of a hash is smaller than the number of shards, which is a usize and not zero.
        &self.shards[(hash % self.shards.len() as u64) as usize]
    }

    /// Does something with a shard, and then all that follows from it.
    fn act<T>(&self, shard: &Shard, act: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let now = Instant::now();
        let mut routed = Matters::default();
        let result = shard.with(now, &mut routed, |core| act(core, now));
        while let Some(matter) = routed.pop() {
            let shard = self.shard_of(matter.to().as_str());
            shard.with(now, &mut routed, |core| {
                core.router.handle_input(Input::Routed(matter), now);
            });
        }
        result
    }
}

/// What is to be carried over, in order. Mostly it is one thing, which needs no memory of its own.
#[derive(Default)]
struct Matters {
    first: Option<Routed>,
    rest: VecDeque<Routed>,
}

impl Matters {
    fn push(&mut self, matter: Routed) {
        match self.first {
            None => self.first = Some(matter),
            Some(_) => self.rest.push_back(matter),
        }
    }

    fn pop(&mut self) -> Option<Routed> {
        let next = self.first.take();
        self.first = self.rest.pop_front();
        next
    }
}

impl Shard {
    fn with<T>(&self, now: Instant, routed: &mut Matters, act: impl FnOnce(&mut Core) -> T) -> T {
        // The machine does not panic; if it did, its maps would still be maps, and the other clients not to blame.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let due = core.router.poll_timeout();
        let result = act(&mut core);
        core.perform_outputs(now, routed);
        self.alarm.moved(due, core.router.poll_timeout());
        result
    }
}

impl Core {
    fn perform_outputs(&mut self, now: Instant, routed: &mut Matters) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Send(conn, text) => self.send(conn, &text, now),
                Output::Close(conn, reason) => {
                    if let CloseReason::Refused(why) = reason {
                        info!(conn = conn.0, ?why, "client refused");
                    }
                    if let Some(outbox) = self.outboxes.remove(&conn) {
                        outbox.end(match reason {
                            CloseReason::Refused(_) => Ending::Refused,
                            CloseReason::Replaced => Ending::Replaced,
                            CloseReason::Silent => Ending::Silent,
                        });
                    }
                }
                Output::Route(matter) => routed.push(matter),
                // Under the lock: before the id can be somebody else's.
                Output::Went(id) => {
                    self.nearby.forget(&id);
                    info!(id = id.as_str(), "client disconnected");
                }
                // Ids are strangers' text: a field is written escaped.
                Output::Came(id) => info!(id = id.as_str(), "client connected"),
            }
        }
        self.fresh = None;
    }

    /// Into the socket's queue. What another peer sent and has no room there is that peer's affair: a reader is not cut because others write to it.
    fn send(&mut self, conn: ConnId, text: &str, now: Instant) {
        let Some(outbox) = self.outboxes.get(&conn) else {
            return;
        };
        let pushed = if self.fresh == Some(conn) {
            outbox.push_welcome(text)
        } else {
            outbox.push(text)
        };
        if pushed.is_ok() {
            return;
        }
        let frame = FrameRef::from_text(text);
        let relayed = frame.ok().filter(|frame| frame.is_relayed());
        if let Some(frame) = relayed {
            debug!(conn = conn.0, "a reader's queue is full");
            self.router.handle_input(Input::Undelivered(frame), now);
        } else if outbox.push_own(text).is_err() {
            debug!(conn = conn.0, "closing a slow reader");
            outbox.end(Ending::Slow);
            self.outboxes.remove(&conn);
            let lost = Input::Closed(conn, Departure::Lost);
            self.router.handle_input(lost, now);
        }
    }
}
