//! The messages of one connection, between its user's pipes and its SCTP stream; and what happens when one side is slower.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::identity::gate::HTTP_LABEL;
use str0m::RtcError;
use str0m::channel::Channel as Stream;

use crate::channel::{Pipe, SEND_QUEUE, cost};
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

pub(super) struct Flow {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    /// Taken from `outgoing`, and accounted for there until SCTP has them.
    waiting: VecDeque<Message>,
    /// Not processed while the reader lags.
    held: VecDeque<Held>,
    stalled_since: Option<Instant>,
}

/// A datagram, with where it came from and went.
pub(super) type Held = (SocketAddr, SocketAddr, Vec<u8>);

/// How far writing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Something went to SCTP: it has packets to send.
    Some,
    Nothing,
    /// There is nothing to write, and all that was written is acknowledged.
    Everything,
}

impl Flow {
    /// `changed` is called when the driver should call [`refill`](Self::refill) and look at the rest.
    pub(super) fn new(changed: impl Fn() + Clone + Send + Sync + 'static) -> Self {
        Self {
            outgoing: Arc::new(Pipe::with_signal(SEND_QUEUE, changed.clone())),
            incoming: Arc::new(Pipe::with_signal(RECEIVE_QUEUE, changed)),
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            stalled_since: None,
        }
    }

    /// The user's end. `limit` is the largest message that the peer takes.
    pub(super) fn channel(&self, label: String, limit: usize) -> Channel {
        if label == HTTP_LABEL {
            self.incoming.set_capacity(HTTP_RECEIVE_QUEUE);
        }
        Channel::new(label, self.outgoing.clone(), self.incoming.clone(), limit)
    }

    /// Takes what the user sent.
    pub(super) fn refill(&mut self) {
        self.outgoing.take(&mut self.waiting);
    }

    /// Hands waiting messages to SCTP while it has room.
    pub(super) fn write(&mut self, stream: &mut Stream<'_>) -> Result<Written, RtcError> {
        let mut written = Written::Nothing;
        while let Some(message) = self.waiting.front() {
            let binary = matches!(message, Message::Binary(_));
            if stream.buffered_amount() >= SCTP_QUEUE
                || !stream.write(binary, message.as_bytes())?
            {
                return Ok(written);
            }
            written = Written::Some;
            self.outgoing.release(cost(message));
            self.waiting.pop_front();
        }
        if written == Written::Nothing && stream.buffered_amount() == 0 {
            written = Written::Everything;
        }
        Ok(written)
    }

    /// Gives a message to the reader.
    pub(super) fn deliver(&mut self, message: Message, now: Instant) {
        if self.incoming.push(message) {
            self.stalled_since.get_or_insert(now);
        }
    }

    /// Whether this datagram is to be [held](Self::hold), as one with messages for a reader that lags.
    pub(super) fn is_stalled(&self, datagram: &[u8]) -> bool {
        let stalled = self.stalled_since.is_some();
        stalled && (datagram.len() > SHORT || self.incoming.is_overfull())
    }

    pub(super) fn hold(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        if self.held.len() < HELD {
            self.held
                .push_back((source, destination, datagram.to_vec()));
        }
    }

    /// The next held datagram, once the reader has caught up.
    pub(super) fn resume(&mut self) -> Option<Held> {
        if self.stalled_since.is_some() && self.incoming.is_drained() {
            self.stalled_since = None;
        }
        if self.stalled_since.is_some() {
            return None;
        }
        self.held.pop_front()
    }

    /// When the reader's patience with itself ends.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        self.stalled_since.map(|since| since + SLOW_READER)
    }

    /// Whether the user closed the channel.
    pub(super) fn is_closed(&self) -> bool {
        self.outgoing.is_closed()
    }

    /// Ends the user's end: nothing more can be sent, what came can still be read.
    pub(super) fn close(&self) {
        self.outgoing.close();
        self.incoming.close();
    }
}
