//! What an application does about what happens. Each handler has a queue and a task of its own: one that is slow, fails or panics harms only itself.

use std::any::Any;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::counts::Counts;
use super::message::{HostChange, Incoming, Left, Presence, Verdict};

/// Happenings that wait for one handler.
const QUEUE: usize = 1_000;
/// Octets of data that wait for one handler.
const OCTETS: usize = 4 * 1024 * 1024;

/// Something that a handler may want to hear of.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Joined(Presence),
    Left(Presence, Left),
    Host(HostChange),
    Message(Incoming),
}

impl Happening {
    fn room(&self) -> &str {
        match self {
            Self::Joined(who) | Self::Left(who, _) => &who.room,
            Self::Host(change) => &change.room,
            Self::Message(incoming) => &incoming.room,
        }
    }

    fn octets(&self) -> usize {
        match self {
            Self::Message(incoming) => incoming.data.len(),
            Self::Joined(who) | Self::Left(who, _) => {
                who.metadata.as_ref().map_or(0, |json| json.raw().len())
            }
            Self::Host(_) => 0,
        }
    }
}

/// What a handler is for.
#[derive(Clone, Debug)]
pub(crate) enum Wants {
    /// Messages that are this event.
    Event(Arc<str>),
    /// All messages.
    Messages,
    Joined,
    Left,
    Host,
    /// Everything in one part of so many of all rooms, so that the order in a room stays.
    Part(u64, u64),
}

/// By what name [`Hub::on`](super::Hub::on) has messages without an event, as in the browser.
pub(crate) const PLAIN: &str = "message";

impl Wants {
    fn takes(&self, happening: &Happening) -> bool {
        match (self, happening) {
            (Self::Event(wanted), Happening::Message(incoming)) => {
                incoming.event.as_deref().unwrap_or(PLAIN) == &**wanted
            }
            (Self::Messages, Happening::Message(_))
            | (Self::Joined, Happening::Joined(_))
            | (Self::Left, Happening::Left(..))
            | (Self::Host, Happening::Host(_)) => true,
            // The service was asked about this one, and so knows of it.
            (Self::Part(..), Happening::Message(incoming)) if incoming.asked => false,
            (Self::Part(part, of), happening) => {
                let mut hasher = DefaultHasher::new();
                happening.room().hash(&mut hasher);
                hasher.finish() % of == *part
            }
            _ => false,
        }
    }
}

/// All of a hub's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handlers(Vec<Handler>);

impl Handlers {
    pub(crate) fn add(&mut self, handler: Handler) {
        self.0.push(handler);
    }

    /// Whether anybody would hear of a message; to make what they are told costs something.
    pub(crate) fn want_messages(&self) -> bool {
        let wants = |handler: &Handler| {
            matches!(
                handler.wants,
                Wants::Event(_) | Wants::Messages | Wants::Part(..)
            )
        };
        self.0.iter().any(wants)
    }

    /// Puts it into the queues of those who want it. What has no place there is dropped, and counted.
    pub(crate) fn tell(&self, happening: &Happening, counts: &Counts) {
        for handler in &self.0 {
            if handler.wants.takes(happening) && !handler.offer(happening) {
                Counts::add(&counts.unhandled);
            }
        }
    }
}

/// A handler, as those who tell it know it. Its task ends when it is dropped and everything is handled.
#[derive(Clone)]
pub(crate) struct Handler {
    wants: Wants,
    queue: mpsc::Sender<Happening>,
    waiting: Arc<AtomicUsize>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wants.fmt(f)
    }
}

/// A handler before its task is started.
pub(crate) struct Draft {
    wants: Wants,
    handle: Box<dyn Fn(Happening) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wants.fmt(f)
    }
}

impl Draft {
    pub(crate) fn new<R: Future<Output = ()> + Send + 'static>(
        wants: Wants,
        handle: impl Fn(Happening) -> Option<R> + Send + Sync + 'static,
    ) -> Self {
        Self {
            wants,
            handle: Box::new(move |happening| {
                match handle(happening) {
                    Some(handled) => handled.boxed(),
                    // Its filter lets nothing else come.
                    None => async {}.boxed(),
                }
            }),
        }
    }

    /// Starts its task, which is cut off by `cut`.
    pub(crate) fn start(
        self,
        tasks: &TaskTracker,
        cut: CancellationToken,
        counts: Arc<Counts>,
    ) -> Handler {
        let (queue, mut happenings) = mpsc::channel::<Happening>(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (wants, handle) = (self.wants, self.handle);
        let handler = Handler {
            wants: wants.clone(),
            queue,
            waiting: waiting.clone(),
        };
        let work = async move {
            while let Some(happening) = happenings.recv().await {
                let octets = happening.octets();
                // Called within the future: a handler may panic before it gives one back.
                let handled = AssertUnwindSafe(async { handle(happening).await });
                if let Err(panic) = handled.catch_unwind().await {
                    Counts::add(&counts.panicked);
                    complain(&wants, &*panic);
                }
                waiting.fetch_sub(octets, Ordering::Relaxed);
            }
        };
        tasks.spawn(async move { cut.run_until_cancelled(work).await });
        handler
    }
}

impl Handler {
    fn offer(&self, happening: &Happening) -> bool {
        let octets = happening.octets();
        let before = self.waiting.fetch_add(octets, Ordering::Relaxed);
        let fits = before + octets <= OCTETS && self.queue.try_send(happening.clone()).is_ok();
        if !fits {
            self.waiting.fetch_sub(octets, Ordering::Relaxed);
        }
        fits
    }
}

/// Says of a message whether it may be relayed.
#[derive(Clone)]
pub(crate) struct Moderator(Arc<dyn Fn(Incoming) -> BoxFuture<'static, Answer> + Send + Sync>);

/// None where the moderator has no answer.
type Answer = Option<Verdict>;

impl fmt::Debug for Moderator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moderator")
    }
}

impl Moderator {
    pub(crate) fn new<R: Future<Output = Answer> + Send + 'static>(
        ask: impl Fn(Incoming) -> R + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |incoming| ask(incoming).boxed()))
    }

    /// None where it has no answer, or panics.
    pub(crate) async fn ask(&self, incoming: Incoming, counts: &Counts) -> Answer {
        let asked = AssertUnwindSafe(async { (self.0)(incoming).await });
        match asked.catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => {
                Counts::add(&counts.panicked);
                complain(&"moderator", &*panic);
                None
            }
        }
    }
}

fn complain(handler: &dyn fmt::Debug, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(
        ?handler,
        panic = text.unwrap_or_default(),
        "a handler of rooms panicked"
    );
}
