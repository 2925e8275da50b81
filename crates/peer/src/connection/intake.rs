//! The receiving side of a connection: messages become values.
//!
//! No task of its own: whoever waits for a value or for a piece of a stream reads the channel for all, one at a time.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use peerage_proto::chunks::{self, Assembler};
use peerage_proto::value::Value;
use peerage_proto::wire::rope::Rope;
use peerage_proto::wire::{chunk, msgpack};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::error::{RecvError, StreamError};
use super::outlet::Outlet;
use super::serializer::{Codec, Decoder};
use super::{Limits, Shared};
use crate::{Channel, Message};

/// Octets of a stream's pieces that wait for its reader before nothing is read for anybody any more.
const STREAM_QUEUE: usize = 1024 * 1024;
/// Values that wait while a stream is read and nobody asks for them; the same then.
const VALUES: usize = 256;

pub(super) struct Intake {
    pub(super) limits: Limits,
    /// Held by who reads for all.
    source: tokio::sync::Mutex<Source>,
    queues: Mutex<Queues>,
    /// A value came, or the end.
    arrived: Notify,
    /// A queue was emptied.
    drained: Notify,
}

/// What came, and was not taken yet.
#[derive(Default)]
struct Queues {
    values: VecDeque<Result<Next, RecvError>>,
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
}

#[derive(Default)]
struct Pieces {
    queue: VecDeque<Bytes>,
    octets: usize,
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
                Some(next) => Some(Some(next)),
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
                    pieces.octets -= piece.len();
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
        let mut pieces = part.pieces();
        pieces.abandoned = true;
        pieces.queue.clear();
        pieces.octets = 0;
        drop(pieces);
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
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            if !self.queues().is_full() {
                break;
            }
            drained.await;
        }
        let timeout = match &source.decoding {
            Decoding::Binary(assembler) => assembler.poll_timeout(),
            _ => None,
        };
        let message = tokio::select! {
            message = source.channel.receive() => message,
            () = at(timeout) => {
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
                    self.push(Err(RecvError::Renewed));
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
        let malformed =
            |error: &dyn std::fmt::Display| Err(RecvError::Malformed(error.to_string()));
        match &mut source.decoding {
            Decoding::Raw => self.value(match message {
                Message::Text(text) => Value::Text(text),
                Message::Binary(bytes) => Value::Bytes(bytes),
            }),
            Decoding::Json => {
                outlet.answer_json_as_text(matches!(message, Message::Text(_)));
                match serde_json::from_slice::<serde_json::Value>(message.as_bytes()) {
                    Ok(json) => self.value_or_close(json.into(), outlet),
                    Err(error) => self.push(malformed(&error)),
                }
            }
            Decoding::Binary(assembler) => {
                let Message::Binary(bytes) = message else {
                    return self.push(malformed(&"text where BinaryPack is wanted"));
                };
                let cost = bytes.len();
                match chunk::parse(bytes, &decode_limits(&source.limits)) {
                    Ok(chunk::Incoming::Value(value)) => self.value(value),
                    Ok(chunk::Incoming::Close) => outlet.close(),
                    Ok(chunk::Incoming::Chunk(chunk)) => {
                        if let Err(error) = assembler.handle_chunk(chunk, cost, Instant::now()) {
                            tracing::debug!(%error, "a slice was dropped");
                        }
                        self.assembled(assembler, &source.limits, outlet);
                    }
                    Err(error) => self.push(malformed(&error)),
                }
            }
            Decoding::MsgPack(stream) => {
                let Message::Binary(bytes) = message else {
                    return self.push(malformed(&"text where MessagePack is wanted"));
                };
                stream.handle_message(bytes);
                loop {
                    match stream.poll_value() {
                        Ok(Some(value)) => self.value_or_close(value, outlet),
                        Ok(None) => break,
                        Err(error) => {
                            self.push(malformed(&error));
                            outlet.close();
                            break;
                        }
                    }
                }
            }
            Decoding::Custom(decoder) => match decoder.decode(message) {
                Ok(values) => values.into_iter().for_each(|value| self.value(value)),
                Err(error) => self.push(malformed(&error)),
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
                    });
                    self.queues().streams.insert(id, part.clone());
                    self.push(Ok(Next::Stream(part)));
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
                        self.push(Err(RecvError::Dropped(reason)));
                    }
                }
            }
        }
    }

    fn packed(&self, rope: Rope, limits: &Limits, outlet: &Outlet) {
        match chunk::parse(rope, &decode_limits(limits)) {
            Ok(chunk::Incoming::Value(value)) => self.value(value),
            Ok(chunk::Incoming::Close) => outlet.close(),
            Ok(chunk::Incoming::Chunk(_)) => {
                self.push(Err(RecvError::Malformed("a slice of slices".into())));
            }
            Err(error) => self.push(Err(RecvError::Malformed(error.to_string()))),
        }
    }

    /// A value, or the word of a PeerJS that everything was said.
    fn value_or_close(&self, value: Value, outlet: &Outlet) {
        if msgpack::is_close(&value) {
            outlet.close();
        } else {
            self.value(value);
        }
    }

    fn value(&self, value: Value) {
        self.push(Ok(Next::Value(value)));
    }

    fn push(&self, next: Result<Next, RecvError>) {
        self.queues().values.push_back(next);
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

impl Queues {
    fn is_full(&self) -> bool {
        self.values.len() >= VALUES
            || self
                .streams
                .values()
                .any(|part| part.pieces().octets >= STREAM_QUEUE)
    }
}

impl Part {
    fn push(&self, piece: Bytes) {
        let mut pieces = self.pieces();
        if pieces.abandoned || piece.is_empty() {
            return;
        }
        pieces.octets += piece.len();
        pieces.queue.push_back(piece);
        drop(pieces);
        self.arrived.notify_one();
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
