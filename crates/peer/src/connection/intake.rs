//! The receiving side of a connection: messages become values.
//!
//! No task of its own: whoever waits for a value or for a piece of a stream reads the channel for all, one at a time.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_proto::chunks::{self, Assembler};
use peerage_proto::value::Value;
use peerage_proto::wire::rope::Rope;
use peerage_proto::wire::{chunk, msgpack};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

use super::error::{RecvError, StreamError};
use super::outlet::Outlet;
use super::serializer::{Codec, Decoder};
use super::{Limits, Shared};
use crate::{Channel, Message};

/// Octets of values and of streams' pieces that wait for their readers before nothing is read for anybody any more.
const QUEUE: usize = 4 * 1024 * 1024;
/// What each of them costs beside its octets.
const COST: usize = 64;
/// Readers that take nothing for this long while that is so end the connection.
const SLOW_READER: Duration = Duration::from_secs(30);

pub(super) struct Intake {
    pub(super) limits: Limits,
    /// Held by who reads for all.
    source: tokio::sync::Mutex<Source>,
    queues: Mutex<Queues>,
    /// What all that waits costs, also in streams that have ended.
    waiting: Arc<AtomicUsize>,
    /// A value came, or the end.
    arrived: Notify,
    /// A queue was emptied.
    drained: Notify,
}

/// What came, and was not taken yet.
#[derive(Default)]
struct Queues {
    /// Each with what it costs.
    values: VecDeque<(Result<Next, RecvError>, usize)>,
    ended: bool,
    /// Streams that go on, by the number of their message.
    streams: HashMap<u64, Arc<Part>>,
}

/// What [`Intake::next`] gives.
pub(super) enum Next {
    Value(Value),
    Stream(Arc<Part>),
}

/// A stream's pieces.
pub(super) struct Part {
    pub(super) length: u64,
    pub(super) text: bool,
    pieces: Mutex<Pieces>,
    arrived: Notify,
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Pieces {
    queue: VecDeque<Bytes>,
    end: Option<Result<(), StreamError>>,
    /// Nobody reads it any more.
    abandoned: bool,
}

/// Where messages come from, and what is known of values that are not complete.
struct Source {
    channel: Arc<Channel>,
    generation: u32,
    decoding: Decoding,
    codec: Codec,
    limits: Limits,
}

enum Decoding {
    Raw,
    Json,
    Binary(Box<Assembler>),
    MsgPack(msgpack::Stream),
    Custom(Box<dyn Decoder>),
    /// Nobody can tell any more what a message is part of.
    Broken,
}

impl Decoding {
    fn new(codec: &Codec, limits: &Limits) -> Self {
        match codec {
            Codec::Raw => Self::Raw,
            Codec::Json => Self::Json,
            Codec::Binary => Self::Binary(Box::new(Assembler::new(chunks::Config {
                message: limits.message,
                together: limits.message,
                stream_from: limits.stream_from,
                ..chunks::Config::default()
            }))),
            Codec::MsgPack => Self::MsgPack(msgpack::Stream::new(decode_limits(limits))),
            Codec::Custom(serializer) => Self::Custom(serializer.decoder()),
        }
    }
}

fn decode_limits(limits: &Limits) -> msgpack::Limits {
    msgpack::Limits {
        octets: limits.message,
        ..msgpack::Limits::default()
    }
}

impl Intake {
    pub(super) fn new(channel: Arc<Channel>, codec: &Codec, limits: Limits) -> Self {
        Self {
            limits,
            source: tokio::sync::Mutex::new(Source {
                channel,
                generation: 0,
                decoding: Decoding::new(codec, &limits),
                codec: codec.clone(),
                limits,
            }),
            queues: Mutex::default(),
            waiting: Arc::default(),
            arrived: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// The next value or stream.
    pub(super) async fn next(shared: &Shared) -> Option<Result<Next, RecvError>> {
        let intake = &shared.intake;
        let take = || {
            let mut queues = intake.queues();
            match queues.values.pop_front() {
                Some((next, cost)) => {
                    intake.waiting.fetch_sub(cost, Ordering::Relaxed);
                    Some(Some(next))
                }
                None if queues.ended => Some(None),
                None => None,
            }
        };
        let next = intake.wait(&shared.outlet, &intake.arrived, take).await;
        intake.drained.notify_waiters();
        next
    }

    /// The next piece of a stream.
    pub(super) async fn piece(shared: &Shared, part: &Part) -> Option<Result<Bytes, StreamError>> {
        let intake = &shared.intake;
        let take = || {
            let mut pieces = part.pieces();
            match pieces.queue.pop_front() {
                Some(piece) => {
                    part.waiting
                        .fetch_sub(piece.len() + COST, Ordering::Relaxed);
                    Some(Some(Ok(piece)))
                }
                None => pieces
                    .end
                    .as_mut()
                    .map(|end| std::mem::replace(end, Ok(())).err().map(Err)),
            }
        };
        let piece = intake.wait(&shared.outlet, &part.arrived, take).await;
        intake.drained.notify_waiters();
        piece
    }

    /// Nobody reads this stream any more.
    pub(super) fn abandon(&self, part: &Part) {
        part.abandon();
        self.drained.notify_waiters();
    }

    /// Waits until `take` gives something, and reads the channel meanwhile if nobody else does. Cancel-safe: what is read is in the queues.
    async fn wait<T>(
        &self,
        outlet: &Outlet,
        arrived: &Notify,
        mut take: impl FnMut() -> Option<T>,
    ) -> T {
        loop {
            let mut notified = pin!(arrived.notified());
            // Registered before looking: a word in between would be lost otherwise.
            notified.as_mut().enable();
            if let Some(taken) = take() {
                return taken;
            }
            tokio::select! {
                () = notified => {}
                mut source = self.source.lock() => {
                    // It may have come while the other read.
                    if let Some(taken) = take() {
                        return taken;
                    }
                    self.read(&mut source, outlet).await;
                }
            }
        }
    }

    /// Reads one message, once there is room for what comes of it. Cancel-safe.
    async fn read(&self, source: &mut Source, outlet: &Outlet) {
        let room = async {
            loop {
                let mut drained = pin!(self.drained.notified());
                drained.as_mut().enable();
                if self.waiting.load(Ordering::Relaxed) < QUEUE {
                    return;
                }
                drained.await;
            }
        };
        if timeout(SLOW_READER, room).await.is_err() {
            tracing::debug!("received values were not taken for 30 s");
            outlet.close();
        }
        let deadline = match &source.decoding {
            Decoding::Binary(assembler) => assembler.poll_timeout(),
            _ => None,
        };
        let message = tokio::select! {
            message = source.channel.receive() => message,
            () = at(deadline) => {
                if let Decoding::Binary(assembler) = &mut source.decoding {
                    assembler.handle_timeout(Instant::now());
                    self.assembled(assembler, &source.limits, outlet);
                }
                return;
            }
        };
        match message {
            Some(message) => self.message(source, message, outlet),
            None => match outlet.after(source.generation).await {
                Some(current) => {
                    source.channel = current.channel;
                    source.generation = current.generation;
                    source.decoding = Decoding::new(&source.codec, &source.limits);
                    self.break_streams();
                    self.error(RecvError::Renewed);
                }
                None => {
                    self.break_streams();
                    self.queues().ended = true;
                    self.arrived.notify_waiters();
                }
            },
        }
    }

    fn message(&self, source: &mut Source, message: Message, outlet: &Outlet) {
        let malformed = |error: &dyn std::fmt::Display| RecvError::Malformed(error.to_string());
        let octets = message.len();
        match &mut source.decoding {
            Decoding::Raw => self.value(
                match message {
                    Message::Text(text) => Value::Text(text.into()),
                    Message::Binary(bytes) => Value::Bytes(bytes),
                },
                octets,
            ),
            Decoding::Json => {
                outlet.answer_json_as_text(matches!(message, Message::Text(_)));
                match Value::from_json(message.as_bytes()) {
                    Ok(value) => self.value_or_close(value, octets, outlet),
                    Err(error) => self.error(malformed(&error)),
                }
            }
            Decoding::Binary(assembler) => {
                let Message::Binary(bytes) = message else {
                    return self.error(malformed(&"text where BinaryPack is wanted"));
                };
                let cost = bytes.len();
                match chunk::parse(bytes, &decode_limits(&source.limits)) {
                    Ok(chunk::Incoming::Value(value)) => self.value(value, octets),
                    Ok(chunk::Incoming::Close) => outlet.close(),
                    Ok(chunk::Incoming::Chunk(chunk)) => {
                        if let Err(error) = assembler.handle_chunk(chunk, cost, Instant::now()) {
                            tracing::debug!(%error, "a slice was dropped");
                        }
                        self.assembled(assembler, &source.limits, outlet);
                    }
                    Err(error) => self.error(malformed(&error)),
                }
            }
            Decoding::MsgPack(stream) => {
                let Message::Binary(bytes) = message else {
                    return self.error(malformed(&"text where MessagePack is wanted"));
                };
                stream.handle_message(bytes);
                loop {
                    match stream.poll_value() {
                        Ok(Some(value)) => self.value_or_close(value, octets, outlet),
                        Ok(None) => break,
                        Err(error) => {
                            source.decoding = Decoding::Broken;
                            outlet.close();
                            return self.error(malformed(&error));
                        }
                    }
                }
            }
            Decoding::Broken => {}
            Decoding::Custom(decoder) => match decoder.decode(message) {
                Ok(values) => values
                    .into_iter()
                    .for_each(|value| self.value(value, octets)),
                Err(error) => self.error(malformed(&error)),
            },
        }
    }

    /// What came of a slice.
    fn assembled(&self, assembler: &mut Assembler, limits: &Limits, outlet: &Outlet) {
        while let Some(output) = assembler.poll_output() {
            match output {
                chunks::Output::Message(rope) => self.packed(rope, limits, outlet),
                chunks::Output::Begin { id, length, text } => {
                    let part = Arc::new(Part {
                        length,
                        text,
                        pieces: Mutex::default(),
                        arrived: Notify::new(),
                        waiting: self.waiting.clone(),
                    });
                    self.queues().streams.insert(id, part.clone());
                    self.push(Ok(Next::Stream(part)), 0);
                }
                chunks::Output::Data { id, bytes } => {
                    let part = self.queues().streams.get(&id).cloned();
                    if let Some(part) = part {
                        part.push(bytes);
                    }
                }
                chunks::Output::End { id } => {
                    self.end_stream(id, Ok(()));
                }
                chunks::Output::Dropped { id, reason } => {
                    let reason = reason.to_string();
                    if !self.end_stream(id, Err(StreamError::Dropped(reason.clone()))) {
                        self.error(RecvError::Dropped(reason));
                    }
                }
            }
        }
    }

    fn packed(&self, rope: Rope, limits: &Limits, outlet: &Outlet) {
        let octets = rope.len();
        match chunk::parse(rope, &decode_limits(limits)) {
            Ok(chunk::Incoming::Value(value)) => self.value(value, octets),
            Ok(chunk::Incoming::Close) => outlet.close(),
            Ok(chunk::Incoming::Chunk(_)) => {
                self.error(RecvError::Malformed("a slice of slices".into()));
            }
            Err(error) => self.error(RecvError::Malformed(error.to_string())),
        }
    }

    /// A value, or the word of a PeerJS that everything was said.
    fn value_or_close(&self, value: Value, octets: usize, outlet: &Outlet) {
        if msgpack::is_close(&value) {
            outlet.close();
        } else {
            self.value(value, octets);
        }
    }

    fn value(&self, value: Value, octets: usize) {
        self.push(Ok(Next::Value(value)), octets);
    }

    fn error(&self, error: RecvError) {
        self.push(Err(error), 0);
    }

    fn push(&self, next: Result<Next, RecvError>, octets: usize) {
        let cost = octets + COST;
        self.waiting.fetch_add(cost, Ordering::Relaxed);
        self.queues().values.push_back((next, cost));
        self.arrived.notify_one();
    }

    /// Ends a stream; whether there was one.
    fn end_stream(&self, id: u64, end: Result<(), StreamError>) -> bool {
        match self.queues().streams.remove(&id) {
            Some(part) => {
                part.end(end);
                true
            }
            None => false,
        }
    }

    fn break_streams(&self) {
        let streams = std::mem::take(&mut self.queues().streams);
        for part in streams.into_values() {
            part.end(Err(StreamError::Closed));
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing under the lock can leave it half-done, so a poisoned one is as good as any.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn push(&self, piece: Bytes) {
        let mut pieces = self.pieces();
        if pieces.abandoned || piece.is_empty() {
            return;
        }
        self.waiting
            .fetch_add(piece.len() + COST, Ordering::Relaxed);
        pieces.queue.push_back(piece);
        drop(pieces);
        self.arrived.notify_one();
    }

    /// Nobody reads it any more.
    fn abandon(&self) {
        let mut pieces = self.pieces();
        pieces.abandoned = true;
        for piece in pieces.queue.drain(..) {
            self.waiting
                .fetch_sub(piece.len() + COST, Ordering::Relaxed);
        }
    }

    fn end(&self, end: Result<(), StreamError>) {
        self.pieces().end = Some(end);
        self.arrived.notify_one();
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
