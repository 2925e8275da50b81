//! The other side of a connection puts slices together, at a price that it knows.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::chunk::{Chunk, SLICE};
use crate::wire::rope::Rope;

/// What one slice costs beside its octets: its place in the list, and an allocation.
const OVERHEAD: usize = 128;
/// So many messages are remembered as over: slices of theirs that come late begin nothing.
const REMEMBERED: usize = 256;

/// What a sender may have its receiver keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Octets of one message that is put together. Default 256 MiB. What is [streamed](Self::stream_from) may be longer.
    pub message: usize,
    /// Octets that all unfinished messages hold in memory together. Default 256 MiB.
    pub together: usize,
    /// Messages that are unfinished at once. Default 64.
    pub unfinished: usize,
    /// How long after its last new slice a message is given up. Default 60 s.
    pub expire: Duration,
    /// A text, or octets, of so many octets or more is handed out as it comes. Default `None`: never.
    pub stream_from: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message: 256 << 20,
            together: 256 << 20,
            unfinished: 64,
            expire: Duration::from_secs(60),
            stream_from: None,
        }
    }
}

/// Why a slice is refused. Nothing else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It says that it is one of fewer.
    #[error("slice {index} of {total} of message {id}")]
    Index {
        /// The message.
        id: u64,
        /// Where the slice would be.
        index: u32,
        /// How many there are.
        total: u32,
    },
    /// Another slice said otherwise.
    #[error("message {id} has {total} slices, and another of it says {says}")]
    Total {
        /// The message.
        id: u64,
        /// As its first slice said.
        total: u32,
        /// As this one says.
        says: u32,
    },
}

/// Why a message is given up. Its slices that still come are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// [`Config::expire`].
    #[error("the rest of it did not come in time")]
    Expired,
    /// [`Config::message`].
    #[error("it is longer than a message may be")]
    TooLong,
    /// [`Config::together`].
    #[error("the unfinished messages are longer than they may be together")]
    TooMuch,
    /// [`Config::unfinished`].
    #[error("too many messages are unfinished")]
    TooMany,
    /// A stream that ends before or after its end.
    #[error("it is not as long as it said")]
    Length,
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A message is whole: [`wire::chunk::parse`](crate::wire::chunk::parse) reads it.
    Message(Rope),
    /// A value begins that is handed out as it comes. It ends with [`End`](Self::End) or [`Dropped`](Self::Dropped).
    Begin {
        /// Names it until then.
        id: u64,
        /// Octets in all.
        length: u64,
        /// Text, which may be cut within a character and is not checked; else octets.
        text: bool,
    },
    /// The next octets of a value that began.
    Data {
        /// Which.
        id: u64,
        /// At least one octet.
        bytes: Bytes,
    },
    /// All octets of the value were handed out.
    End {
        /// Which.
        id: u64,
    },
    /// A message that had begun to come is given up. Said once.
    Dropped {
        /// Which.
        id: u64,
        /// Why.
        reason: DropReason,
    },
}

/// The machine. Feed it slices, drain [`poll_output`](Self::poll_output) to `None`, call [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
///
/// Slices may come in any order, and those of several messages in turn. What a message costs is what came of it: what it announces costs nothing.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    unfinished: BTreeMap<u64, Unfinished>,
    /// What they cost together.
    held: usize,
    over: VecDeque<u64>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Unfinished {
    total: u32,
    /// What came in order, in one piece: a large value in it is never in memory twice. Of a stream nothing.
    begun: BytesMut,
    /// Slices in `begun`, or handed out.
    next: u32,
    /// The others by index; none below `next`.
    slices: BTreeMap<u32, Held>,
    /// Octets of both, and what those cost.
    octets: usize,
    cost: usize,
    expires: Instant,
    form: Form,
}

#[derive(Debug)]
struct Held {
    data: Bytes,
    cost: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not enough of its beginning is there.
    Unknown,
    Whole,
    /// Handed out as it comes.
    Stream {
        length: u64,
        text: bool,
        /// Octets of the head that are still to be left out.
        head: usize,
        /// Octets that were not handed out yet.
        left: u64,
    },
}

/// Room for all of a message is made when this part of it, one in so many octets, has come.
const BELIEVED: usize = 4;

/// Slices in which a value's head is looked for, each time that one comes: its five octets lie in the first, unless somebody sends empty ones.
const LOOKED_AT: usize = 64;

/// A stream has another length than it said.
struct WrongLength;

impl Unfinished {
    fn streams(&self) -> bool {
        matches!(self.form, Form::Stream { .. })
    }

    fn is_complete(&self) -> bool {
        u64::from(self.next) + self.slices.len() as u64 == u64::from(self.total)
    }

    /// What its beginning says.
    fn form(&self, stream_from: Option<usize>) -> Form {
        let Some(stream_from) = stream_from else {
            return Form::Whole;
        };
        let in_order = (0..)
            .zip(&self.slices)
            .take(LOOKED_AT)
            .take_while(|(at, (index, _))| at == *index);
        let begins: Vec<u8> = in_order
            .flat_map(|(_, (_, held))| held.data.iter().copied())
            .take(5)
            .collect();
        let (length, text, head) = match *begins {
            [kind @ (0xd8 | 0xda), a, b, ..] => (u32::from_be_bytes([0, 0, a, b]), kind == 0xd8, 3),
            [kind @ (0xd9 | 0xdb), a, b, c, d] => {
                (u32::from_be_bytes([a, b, c, d]), kind == 0xd9, 5)
            }
            [] | [0xd8..=0xdb, ..] if !self.is_complete() => return Form::Unknown,
            _ => return Form::Whole,
        };
        if (length as usize) < stream_from {
            return Form::Whole;
        }
        Form::Stream {
            length: u64::from(length),
            text,
            head,
            left: u64::from(length),
        }
    }

    /// Joins what is next and there to what came before; `limit` octets are most that a message may have.
    fn join(&mut self, limit: usize) {
        if self.form != Form::Whole {
            return;
        }
        while let Some(Held { data, cost }) = self.slices.remove(&self.next) {
            self.next += 1;
            self.cost = self.cost - cost + data.len();
            let free = self.begun.capacity() - self.begun.len();
            if free < data.len() {
                // The whole of it as soon as a fair part has come: growing by steps would copy it time and again.
                let whole = (self.total as usize).saturating_mul(SLICE).min(limit);
                let claim = match self.begun.len().saturating_mul(BELIEVED) >= whole {
                    true => whole.saturating_sub(self.begun.len()),
                    false => 0,
                };
                self.begun.reserve(claim.max(data.len()));
            }
            self.begun.extend_from_slice(&data);
        }
    }

    /// Of a stream, what is next and there.
    fn hand_out(&mut self, id: u64, outputs: &mut VecDeque<Output>) -> Result<(), WrongLength> {
        let Form::Stream { head, left, .. } = &mut self.form else {
            return Ok(());
        };
        while let Some(Held { mut data, cost }) = self.slices.remove(&self.next) {
            self.next += 1;
            self.cost -= cost;
            self.octets -= data.len();
            let skipped = data.len().min(*head);
            data.advance(skipped);
            *head -= skipped;
            *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
            if !data.is_empty() {
                outputs.push_back(Output::Data { id, bytes: data });
            }
        }
        if self.next == self.total && *left > 0 {
            return Err(WrongLength);
        }
        Ok(())
    }
}

impl Assembler {
    /// For a new connection.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            unfinished: BTreeMap::new(),
            held: 0,
            over: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a slice. `cost` are the octets of the channel's message that it came in: its data may hold all of that in memory, and is copied
    /// if that is much more than there is of it.
    ///
    /// # Errors
    /// The slice contradicts itself or others.
    pub fn handle_chunk(
        &mut self,
        chunk: Chunk,
        cost: usize,
        now: Instant,
    ) -> Result<(), ChunkError> {
        let Chunk {
            id,
            index,
            total,
            data,
        } = chunk;
        if index >= total {
            return Err(ChunkError::Index { id, index, total });
        }
        if !self.unfinished.contains_key(&id) {
            if self.over.contains(&id) {
                return Ok(());
            }
            if self.unfinished.len() >= self.config.unfinished {
                self.drop_message(id, DropReason::TooMany);
                return Ok(());
            }
        }
        let expires = now + self.config.expire;
        let message = self.unfinished.entry(id).or_insert_with(|| Unfinished {
            total,
            begun: BytesMut::new(),
            next: 0,
            slices: BTreeMap::new(),
            octets: 0,
            cost: 0,
            expires,
            form: Form::Unknown,
        });
        if message.total != total {
            return Err(ChunkError::Total {
                id,
                total: message.total,
                says: total,
            });
        }
        if index < message.next || message.slices.contains_key(&index) {
            return Ok(());
        }
        let (data, cost) = keep(data, cost);
        message.expires = expires;
        message.octets += data.len();
        message.cost += cost;
        self.held += cost;
        message.slices.insert(index, Held { data, cost });
        self.advance(id);
        Ok(())
    }

    /// What the shell must do; to be drained to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.unfinished
            .values()
            .map(|message| message.expires)
            .min()
    }

    /// Gives up what waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self
            .unfinished
            .iter()
            .filter(|(_, message)| message.expires <= now)
            .map(|(id, _)| *id)
            .collect::<Vec<_>>();
        for id in due {
            self.drop_message(id, DropReason::Expired);
        }
    }

    /// Octets of memory that unfinished messages hold.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether nothing is unfinished: a connection that closes now loses nothing.
    pub fn is_idle(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Does what the newest slice of a message allows.
    fn advance(&mut self, id: u64) {
        let Some(message) = self.unfinished.get_mut(&id) else {
            return;
        };
        if message.form == Form::Unknown {
            message.form = message.form(self.config.stream_from);
            if let Form::Stream { length, text, .. } = message.form {
                self.outputs.push_back(Output::Begin { id, length, text });
            }
        }
        let before = message.cost;
        message.join(self.config.message);
        let handed_out = message.hand_out(id, &mut self.outputs);
        self.held -= before - message.cost;
        let (streams, complete) = (message.streams(), message.is_complete());
        if handed_out.is_err() {
            self.drop_message(id, DropReason::Length);
        } else if !streams && message.octets > self.config.message {
            self.drop_message(id, DropReason::TooLong);
        } else if self.held > self.config.together {
            self.drop_message(id, DropReason::TooMuch);
        } else if complete && let Some(message) = self.finish(id) {
            self.outputs.push_back(match message.form {
                Form::Stream { .. } => Output::End { id },
                _ => Output::Message(message.begun.freeze().into()),
            });
        }
    }

    fn drop_message(&mut self, id: u64, reason: DropReason) {
        self.finish(id);
        self.outputs.push_back(Output::Dropped { id, reason });
    }

    fn finish(&mut self, id: u64) -> Option<Unfinished> {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(id);
        let message = self.unfinished.remove(&id)?;
        self.held -= message.cost;
        Some(message)
    }
}

/// Keeps data as the part of its message that it is, or copies it out of it; and what it costs then.
fn keep(data: Bytes, message: usize) -> (Bytes, usize) {
    if data.len() * 2 >= message {
        let cost = message.max(data.len());
        (data, cost + OVERHEAD)
    } else {
        let cost = data.len();
        (Bytes::copy_from_slice(&data), cost + OVERHEAD)
    }
}

#[cfg(test)]
mod tests;
