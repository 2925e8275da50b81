//! The sending side of a connection: values become messages of whatever channel it has now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use peerage_proto::chunks::{Slices, Splitter};
use peerage_proto::value::Value;
use peerage_proto::wire::chunk::SLICE;
use peerage_proto::wire::rope::Rope;
use peerage_proto::wire::{binarypack, msgpack};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Mutex, watch};

use super::error::TrySendError;
use super::serializer::Codec;
use crate::{Channel, Message, SendError};

#[derive(Debug)]
pub(super) struct Outlet {
    current: watch::Sender<Current>,
    /// Whether somebody makes the connection anew when it is lost.
    kept: bool,
    splitter: std::sync::Mutex<Splitter>,
    /// Held for a whole value, where values cannot be interleaved.
    turn: Mutex<()>,
    /// Whether the peer's last JSON came as text, as clients before 1.5 send it: it is answered in kind.
    text_json: AtomicBool,
    closing: AtomicBool,
}

/// The channel that messages go to.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) channel: Arc<Channel>,
    /// Grows with each channel.
    pub(super) generation: u32,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Usable, or found closed by its next user.
    Up,
    /// Closed; another one is on the way.
    Renewing,
    /// Closed, and no other will come.
    Down,
}

/// A value on its way.
enum Encoded {
    /// Whole messages.
    Messages(Vec<Message>),
    /// To be sent in slices.
    Sliced(Rope),
    /// To be sent without another value in between.
    Stream(Rope),
}

impl Outlet {
    pub(super) fn new(channel: Arc<Channel>, kept: bool) -> Self {
        Self {
            current: watch::Sender::new(Current {
                channel,
                generation: 0,
                phase: Phase::Up,
            }),
            kept,
            splitter: std::sync::Mutex::default(),
            turn: Mutex::default(),
            text_json: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    pub(super) async fn send(&self, codec: &Codec, value: Value) -> Result<(), SendError> {
        let encoded = self.encode(codec, value)?;
        loop {
            let current = self.up().await?;
            match self.transmit(&current.channel, &encoded).await {
                Err(SendError::Closed) if self.renewed(current.generation).await => {}
                sent => return sent,
            }
        }
    }

    pub(super) fn try_send(&self, codec: &Codec, value: Value) -> Result<(), TrySendError> {
        let messages = match self.encode(codec, value)? {
            Encoded::Messages(messages) => messages,
            Encoded::Stream(rope) if rope.len() <= msgpack::MESSAGE_MAX => {
                vec![Message::Binary(rope.into_bytes())]
            }
            Encoded::Sliced(rope) | Encoded::Stream(rope) => {
                return Err(TrySendError::Refused(SendError::TooLarge {
                    size: rope.len(),
                    limit: SLICE,
                }));
            }
        };
        // A value of the stream that is being sent must end first.
        let _turn = match codec {
            Codec::MsgPack => Some(self.turn.try_lock().map_err(|_| TrySendError::Full)?),
            _ => None,
        };
        let current = self.current.borrow().clone();
        match current.phase {
            Phase::Up => match current.channel.sender().try_send_all(messages) {
                // Lost, and its keeper does not know yet.
                Err(TrySendError::Refused(SendError::Closed))
                    if self.kept && !self.is_closing() =>
                {
                    Err(TrySendError::Full)
                }
                sent => sent,
            },
            Phase::Renewing => Err(TrySendError::Full),
            Phase::Down => Err(TrySendError::Refused(SendError::Closed)),
        }
    }

    pub(super) async fn send_stream(
        &self,
        codec: &Codec,
        length: u64,
        mut reader: impl AsyncRead + Unpin + Send,
    ) -> Result<(), SendError> {
        let head = match codec {
            Codec::Binary => binarypack::bytes_head(length),
            Codec::MsgPack => msgpack::bytes_head(length),
            Codec::Json | Codec::Raw | Codec::Custom(_) => return Err(SendError::NoStreams),
        };
        let head = head.map_err(|error| SendError::Encode(error.to_string()))?;
        let packed = head.len() as u64 + length;
        let current = self.up().await?;
        let lost = |error| match error {
            SendError::Closed if self.kept => SendError::Interrupted,
            error => error,
        };
        let mut piece = head;
        if let Codec::MsgPack = codec {
            let _turn = self.turn.lock().await;
            let mut left = packed;
            while left > 0 {
                fill(
                    &mut reader,
                    &mut piece,
                    left.min(msgpack::MESSAGE_MAX as u64),
                )
                .await?;
                left -= piece.len() as u64;
                let message = Message::Binary(std::mem::take(&mut piece).into());
                current.channel.send(message).await.map_err(lost)?;
            }
            return Ok(());
        }
        let Some(slices) = self.split(packed) else {
            fill(&mut reader, &mut piece, packed).await?;
            let message = Message::Binary(piece.into());
            return current.channel.send(message).await.map_err(lost);
        };
        for slice in slices {
            fill(&mut reader, &mut piece, slice.len() as u64).await?;
            let message = Message::Binary(slice.emit(piece.as_slice()).into());
            current.channel.send(message).await.map_err(lost)?;
            piece.clear();
        }
        Ok(())
    }

    fn encode(&self, codec: &Codec, value: Value) -> Result<Encoded, SendError> {
        Ok(match codec {
            Codec::Raw => Encoded::Messages(vec![match value {
                Value::Text(text) => Message::Text(text.into()),
                Value::Bytes(bytes) => Message::Binary(bytes),
                _ => return Err(SendError::NotRaw),
            }]),
            Codec::Json => {
                let json = value.to_json().map_err(|_| SendError::NotJson)?;
                Encoded::Messages(vec![if self.text_json.load(Ordering::Relaxed) {
                    Message::Text(json.into())
                } else {
                    Message::Binary(json.into())
                }])
            }
            Codec::Binary => {
                let rope = binarypack::encode(value)
                    .map_err(|error| SendError::Encode(error.to_string()))?;
                match rope.len() {
                    0..=SLICE => Encoded::Messages(vec![Message::Binary(rope.into_bytes())]),
                    _ => Encoded::Sliced(rope),
                }
            }
            Codec::MsgPack => Encoded::Stream(
                msgpack::encode(value).map_err(|error| SendError::Encode(error.to_string()))?,
            ),
            Codec::Custom(serializer) => Encoded::Messages(
                serializer
                    .encode(&value)
                    .map_err(|error| SendError::Encode(error.to_string()))?,
            ),
        })
    }

    async fn transmit(&self, channel: &Channel, encoded: &Encoded) -> Result<(), SendError> {
        match encoded {
            Encoded::Messages(messages) => {
                for message in messages {
                    channel.send(message.clone()).await?;
                }
            }
            Encoded::Stream(rope) => {
                let _turn = self.turn.lock().await;
                let mut rope = rope.clone();
                let mut whole = Whole::new(channel);
                while !rope.is_empty() {
                    let piece = rope.split_to(rope.len().min(msgpack::MESSAGE_MAX));
                    whole.send(Message::Binary(piece.into_bytes())).await?;
                }
                whole.end();
            }
            Encoded::Sliced(rope) => {
                let mut rope = rope.clone();
                for slice in self.split(rope.len() as u64).into_iter().flatten() {
                    let data = rope.split_to(slice.len());
                    channel
                        .send(Message::Binary(slice.emit(data).into()))
                        .await?;
                }
            }
        }
        Ok(())
    }

    fn split(&self, packed: u64) -> Option<Slices> {
        self.splitter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .split(packed)
    }

    pub(super) fn answer_json_as_text(&self, text: bool) {
        self.text_json.store(text, Ordering::Relaxed);
    }

    /// The channel, once it is usable.
    async fn up(&self) -> Result<Current, SendError> {
        let mut current = self.current.subscribe();
        match current
            .wait_for(|current| current.phase != Phase::Renewing)
            .await
        {
            Ok(current) if current.phase == Phase::Up => Ok(current.clone()),
            _ => Err(SendError::Closed),
        }
    }

    /// Waits for the channel after this one; false when there will be none.
    async fn renewed(&self, generation: u32) -> bool {
        self.after(generation).await.is_some()
    }

    /// The channel after this one, once it is there.
    pub(super) async fn after(&self, generation: u32) -> Option<Current> {
        if !self.kept || self.is_closing() {
            return None;
        }
        let mut current = self.current.subscribe();
        let next = current
            .wait_for(|current| {
                current.phase == Phase::Down
                    || (current.phase == Phase::Up && current.generation > generation)
            })
            .await
            .ok()?;
        (next.phase == Phase::Up).then(|| next.clone())
    }

    pub(super) fn renewing(&self) {
        self.current.send_modify(|current| {
            if current.phase == Phase::Up {
                current.phase = Phase::Renewing;
            }
        });
    }

    pub(super) fn renew(&self, channel: Arc<Channel>) {
        self.current.send_modify(|current| {
            *current = Current {
                channel: channel.clone(),
                generation: current.generation + 1,
                phase: Phase::Up,
            };
        });
        // Whoever closed before may have closed the one before.
        if self.is_closing() {
            channel.close();
            self.give_up();
        }
    }

    pub(super) fn give_up(&self) {
        self.current
            .send_modify(|current| current.phase = Phase::Down);
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.current.borrow().channel.close();
        self.give_up();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The channel as it is now.
    pub(super) fn channel(&self) -> Channel {
        self.current.borrow().channel.share()
    }
}

/// A value in a stream of values, which goes whole or ends the channel: its reader could not tell any more where the next one begins.
struct Whole<'a> {
    channel: &'a Channel,
    begun: bool,
}

impl<'a> Whole<'a> {
    fn new(channel: &'a Channel) -> Self {
        Self {
            channel,
            begun: false,
        }
    }

    async fn send(&mut self, piece: Message) -> Result<(), SendError> {
        self.channel.send(piece).await?;
        self.begun = true;
        Ok(())
    }

    fn end(mut self) {
        self.begun = false;
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if self.begun {
            self.channel.close();
        }
    }
}

/// Reads until `piece` has `length` octets.
async fn fill(
    reader: &mut (impl AsyncRead + Unpin + Send),
    piece: &mut Vec<u8>,
    length: u64,
) -> Result<(), SendError> {
    let begun = piece.len();
    piece.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
    reader
        .read_exact(&mut piece[begun..])
        .await
        .map_err(|error| SendError::Source(error.kind()))?;
    Ok(())
}
