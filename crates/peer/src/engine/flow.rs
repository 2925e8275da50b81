//! The messages of one connection, between its user's pipes and its SCTP streams; and what happens when one side is slower.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::identity::gate::HTTP_LABEL;
use str0m::channel::{Channel as Stream, ChannelId};
use str0m::{Rtc, RtcError};

use crate::channel::{Pipe, SEND_QUEUE, Signal, cost};
use crate::{Channel, Message};

/// Octets that SCTP holds until they are acknowledged. More costs speed: it looks at all of them for every packet.
pub(super) const SCTP_QUEUE: usize = 128 * 1024;
/// Octets of received messages that wait for their reader before the sender is stalled: it gets no acknowledgements then. Up to twice as much may
/// come of messages in short datagrams.
const RECEIVE_QUEUE: usize = 4 * 1024 * 1024;
/// Datagrams up to this length are processed even for a reader that lags: acknowledgements (RFC 9260 3.3.4) with up to 50 gaps, of what the reader itself
/// may be waiting to have sent before it reads on.
const SHORT: usize = 256;
/// The same for HTTP, whose credit stays below: it is never stalled.
const HTTP_RECEIVE_QUEUE: usize = 64 * 1024 * 1024;
/// Datagrams held back for a reader that lags; more are dropped and sent again.
const HELD: usize = 512;
/// A reader that leaves its queue full for this long ends its connection.
const SLOW_READER: Duration = Duration::from_secs(30);

/// Octets that a peer takes in [`Queues::untaken_after`], if it takes anything to speak of.
const LEAST_TAKEN: usize = 256 * 1024;

/// What the channels of an engine's connections may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queues {
    /// Channels of one connection; the peer's further ones are closed.
    pub(crate) channels: usize,
    /// Octets that wait for the engine's thread in each.
    pub(crate) send: usize,
    /// Octets that wait for their reader in each.
    pub(crate) receive: usize,
    /// While messages wait that SCTP has no room for, the peer must take 256 KiB of their channel in any such time; none: it has all the time.
    pub(crate) untaken_after: Option<Duration>,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            channels: 1,
            send: SEND_QUEUE,
            receive: RECEIVE_QUEUE,
            untaken_after: None,
        }
    }
}

/// The channels of one connection.
pub(super) struct Flows {
    all: Vec<Flow>,
    queues: Queues,
    /// Given when the driver should call [`refill`](Self::refill) and look at the rest.
    signal: Signal,
    /// Not processed while a reader lags.
    held: VecDeque<Held>,
    stalled_since: Option<Instant>,
}

/// One channel.
struct Flow {
    id: ChannelId,
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    /// Taken from `outgoing`, and accounted for there until SCTP has them.
    waiting: VecDeque<Message>,
    reliable: bool,
    /// Octets that the peer had not acknowledged when it was last looked.
    unacknowledged: usize,
    behind: Option<Behind>,
}

/// What the peer took while messages waited.
struct Behind {
    since: Instant,
    taken: usize,
}

/// A datagram, with where it came from and went.
pub(super) type Held = (SocketAddr, SocketAddr, Vec<u8>);

/// How far writing came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Something went to SCTP: it has packets to send.
    pub(super) some: bool,
    /// The peer has acknowledged something.
    pub(super) heard: bool,
    /// There is nothing to write, and all that was written is acknowledged.
    pub(super) everything: bool,
}

impl Flows {
    pub(super) fn new(queues: Queues, signal: Signal) -> Self {
        Self {
            all: Vec::with_capacity(1),
            queues,
            signal,
            held: VecDeque::new(),
            stalled_since: None,
        }
    }

    /// Whether there can be one more.
    pub(super) fn has_room(&self) -> bool {
        self.all.len() < self.queues.channels
    }

    pub(super) fn has(&self, id: ChannelId) -> bool {
        self.all.iter().any(|flow| flow.id == id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ChannelId> {
        self.all.iter().map(|flow| flow.id)
    }

    pub(super) fn add(&mut self, id: ChannelId) {
        let pipe = |capacity| Arc::new(Pipe::with_signal(capacity, self.signal.clone()));
        self.all.push(Flow {
            id,
            outgoing: pipe(self.queues.send),
            incoming: pipe(self.queues.receive),
            waiting: VecDeque::new(),
            reliable: true,
            unacknowledged: 0,
            behind: None,
        });
    }

    /// The user's end. `limit` is the largest message that the peer takes.
    pub(super) fn channel(
        &mut self,
        id: ChannelId,
        label: String,
        reliable: bool,
        limit: usize,
    ) -> Option<Channel> {
        let flow = self.all.iter_mut().find(|flow| flow.id == id)?;
        flow.reliable = reliable;
        if label == HTTP_LABEL {
            flow.incoming.set_capacity(HTTP_RECEIVE_QUEUE);
        }
        let (outgoing, incoming) = (flow.outgoing.clone(), flow.incoming.clone());
        Some(Channel::new(label, reliable, outgoing, incoming, limit))
    }

    /// The peer has closed one. True if others are left.
    pub(super) fn remove(&mut self, id: ChannelId) -> bool {
        if self.all.len() > 1
            && let Some(at) = self.all.iter().position(|flow| flow.id == id)
        {
            self.all.remove(at).close();
            return true;
        }
        false
    }

    /// Takes what the user sent.
    pub(super) fn refill(&mut self) {
        for flow in &mut self.all {
            flow.outgoing.take(&mut flow.waiting);
        }
    }

    /// Hands waiting messages to SCTP while it has room.
    pub(super) fn write(&mut self, rtc: &mut Rtc, now: Instant) -> Result<Written, RtcError> {
        let mut all = Written {
            everything: true,
            ..Written::default()
        };
        for flow in &mut self.all {
            let Some(mut stream) = rtc.channel(flow.id) else {
                continue;
            };
            let written = flow.write(&mut stream, now)?;
            all.some |= written.some;
            all.heard |= written.heard;
            all.everything &= written.everything;
        }
        Ok(all)
    }

    /// Gives a message to its reader. One that lags does not get what its channel may lose.
    pub(super) fn deliver(&mut self, id: ChannelId, message: Message, now: Instant) {
        let Some(flow) = self.all.iter().find(|flow| flow.id == id) else {
            return;
        };
        if !flow.reliable && flow.incoming.is_full() {
            return;
        }
        if flow.incoming.push(message) && flow.reliable {
            self.stalled_since.get_or_insert(now);
        }
    }

    /// Whether this datagram is to be [held](Self::hold), as one with messages for a reader that lags.
    pub(super) fn is_stalled(&self, datagram: &[u8]) -> bool {
        let is_overfull = |flow: &Flow| flow.incoming.is_overfull();
        self.stalled_since.is_some() && (datagram.len() > SHORT || self.all.iter().any(is_overfull))
    }

    pub(super) fn hold(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        if self.held.len() < HELD {
            self.held
                .push_back((source, destination, datagram.to_vec()));
        }
    }

    /// The next held datagram, once the readers have caught up.
    pub(super) fn resume(&mut self) -> Option<Held> {
        if self.stalled_since.is_some() && self.all.iter().all(|flow| flow.incoming.is_drained()) {
            self.stalled_since = None;
        }
        if self.stalled_since.is_some() {
            return None;
        }
        self.held.pop_front()
    }

    /// When the readers' patience with themselves ends.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        self.stalled_since.map(|since| since + SLOW_READER)
    }

    /// When the patience with a peer ends that takes too little.
    pub(super) fn untaken_at(&self) -> Option<Instant> {
        let after = self.queues.untaken_after?;
        let behind = self.all.iter().filter_map(|flow| flow.behind.as_ref());
        Some(behind.map(|it| it.since).min()? + after)
    }

    /// Whether the user closed all channels.
    pub(super) fn are_closed(&self) -> bool {
        self.all.iter().all(Flow::is_closed) && !self.all.is_empty()
    }

    /// Takes out a channel that its user has closed and whose last message is acknowledged, while others are left.
    pub(super) fn take_closed(&mut self) -> Option<ChannelId> {
        if self.all.len() < 2 {
            return None;
        }
        // Once closed nothing is added; what was just before may not have been taken yet.
        let is_over = |flow: &Flow| flow.is_closed() && flow.is_empty() && flow.unacknowledged == 0;
        let at = self.all.iter().position(is_over)?;
        Some(self.all.remove(at).id)
    }

    /// Ends the user's ends: nothing more can be sent, what came can still be read.
    pub(super) fn close(&self) {
        self.all.iter().for_each(Flow::close);
    }
}

impl Flow {
    fn write(&mut self, stream: &mut Stream<'_>, now: Instant) -> Result<Written, RtcError> {
        // What is less than it was has been acknowledged.
        let taken = self.unacknowledged.saturating_sub(stream.buffered_amount());
        let mut written = Written {
            heard: taken > 0,
            ..Written::default()
        };
        let mut gone = 0;
        while let Some(message) = self.waiting.front() {
            let binary = matches!(message, Message::Binary(_));
            if stream.buffered_amount() >= SCTP_QUEUE
                || !stream.write(binary, message.as_bytes())?
            {
                break;
            }
            written.some = true;
            gone += cost(message);
            self.waiting.pop_front();
        }
        if written.some {
            self.outgoing.release(gone);
        }
        self.unacknowledged = stream.buffered_amount();
        self.count_taken(taken, now);
        written.everything = self.is_empty() && !written.some && self.unacknowledged == 0;
        Ok(written)
    }

    fn count_taken(&mut self, taken: usize, now: Instant) {
        if self.waiting.is_empty() {
            self.behind = None;
            return;
        }
        let begun = Behind {
            since: now,
            taken: 0,
        };
        let behind = self.behind.get_or_insert(begun);
        behind.taken += taken;
        if behind.taken >= LEAST_TAKEN {
            *behind = Behind {
                since: now,
                taken: 0,
            };
        }
    }

    /// Whether SCTP has all that was sent.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.outgoing.octets() == 0
    }

    fn is_closed(&self) -> bool {
        self.outgoing.is_closed()
    }

    fn close(&self) {
        self.outgoing.close();
        self.incoming.close();
    }
}
