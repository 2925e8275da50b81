//! Slices of messages, beside a model that counts everything anew each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_proto::chunks::{Assembler, ChunkError, Config, DropReason, Output};
use peerage_proto::wire::chunk::Chunk;

use crate::script::{Script, epoch};

const OVERHEAD: usize = 128;
const SECOND: Duration = Duration::from_secs(1);

/// Slices of any messages in any order, and time: what comes out, what is held, and when it is to be woken, are as in the model.
pub fn chunks(octets: &[u8]) {
    let mut script = Script(octets);
    let stream_from = script.u8();
    let config = Config {
        message: 600,
        together: 2000,
        unfinished: 4,
        expire: 60 * SECOND,
        stream_from: (stream_from > 0).then_some(stream_from.into()),
    };
    let mut now = epoch();
    let mut assembler = Assembler::new(config);
    let mut model = Model::new(config);
    while !script.is_empty() {
        let (result, expected) = match script.u8() {
            250.. => {
                now += u32::from(script.u8()) * SECOND;
                assembler.handle_timeout(now);
                (Ok(()), model.time(now))
            }
            id => {
                let (index, total) = (script.u8(), script.u8());
                let cost = usize::from(script.u8()) * 4;
                let chunk = Chunk {
                    id: id.into(),
                    index: index.into(),
                    // Of some messages much is announced.
                    total: u32::from(total) << (total % 3 * 8),
                    data: Bytes::copy_from_slice(script.octets()),
                };
                let (refused, expected) = model.slice(&chunk, cost, now);
                let result = assembler.handle_chunk(chunk, cost, now);
                assert_eq!(result, refused);
                (result, expected)
            }
        };
        let outputs: Vec<_> = std::iter::from_fn(|| assembler.poll_output()).collect();
        assert_eq!(outputs, expected, "{result:?}");
        assert_eq!(assembler.held(), model.held());
        assert!(assembler.held() <= config.together);
        assert_eq!(assembler.poll_timeout(), model.timeout());
        assert_eq!(assembler.is_idle(), model.messages.is_empty());
    }
}

struct Model {
    config: Config,
    messages: BTreeMap<u64, Message>,
    /// No script has as many messages as are remembered.
    over: BTreeSet<u64>,
}

struct Message {
    total: u32,
    /// Data and cost of all that came.
    slices: BTreeMap<u32, (Bytes, usize)>,
    expires: Instant,
    /// Length, whether it is text, octets of the head; once it is known to be a stream.
    stream: Option<(u64, bool, usize)>,
    /// Known to be none: what is in order is joined, and costs its octets alone.
    whole: bool,
    /// Slices handed out.
    given: u32,
}

impl Message {
    fn in_order(&self) -> u32 {
        (0..)
            .find(|index| !self.slices.contains_key(index))
            .unwrap_or(0)
    }

    /// Octets of the first so many slices.
    fn prefix(&self, slices: u32) -> Vec<u8> {
        (0..slices)
            .flat_map(|index| self.slices[&index].0.to_vec())
            .collect()
    }

    fn is_complete(&self) -> bool {
        self.slices.len() == self.total as usize
    }

    fn cost(&self) -> usize {
        let joined = if self.whole { self.in_order() } else { 0 };
        let kept = self.slices.range(self.given..);
        kept.map(|(index, (data, cost))| match *index < joined {
            true => data.len(),
            false => *cost,
        })
        .sum()
    }
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            messages: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    fn held(&self) -> usize {
        self.messages.values().map(Message::cost).sum()
    }

    fn timeout(&self) -> Option<Instant> {
        self.messages.values().map(|message| message.expires).min()
    }

    fn time(&mut self, now: Instant) -> Vec<Output> {
        let due: Vec<_> = self
            .messages
            .iter()
            .filter(|(_, message)| message.expires <= now)
            .map(|(id, _)| *id)
            .collect();
        due.into_iter()
            .map(|id| self.lose(id, DropReason::Expired))
            .collect()
    }

    fn lose(&mut self, id: u64, reason: DropReason) -> Output {
        self.messages.remove(&id);
        self.over.insert(id);
        Output::Dropped { id, reason }
    }

    fn slice(
        &mut self,
        chunk: &Chunk,
        cost: usize,
        now: Instant,
    ) -> (Result<(), ChunkError>, Vec<Output>) {
        let Chunk {
            id,
            index,
            total,
            ref data,
        } = *chunk;
        if index >= total {
            return (Err(ChunkError::Index { id, index, total }), Vec::new());
        }
        if self.over.contains(&id) {
            return (Ok(()), Vec::new());
        }
        if !self.messages.contains_key(&id) {
            if self.messages.len() == self.config.unfinished {
                return (Ok(()), vec![self.lose(id, DropReason::TooMany)]);
            }
            self.messages.insert(
                id,
                Message {
                    total,
                    slices: BTreeMap::new(),
                    expires: now,
                    stream: None,
                    whole: self.config.stream_from.is_none(),
                    given: 0,
                },
            );
        }
        let message = self.messages.get_mut(&id).expect("just made");
        if message.total != total {
            let refused = ChunkError::Total {
                id,
                total: message.total,
                says: total,
            };
            return (Err(refused), Vec::new());
        }
        if message.slices.contains_key(&index) {
            return (Ok(()), Vec::new());
        }
        let kept = if data.len() * 2 >= cost {
            cost.max(data.len())
        } else {
            data.len()
        };
        message
            .slices
            .insert(index, (data.clone(), kept + OVERHEAD));
        message.expires = now + self.config.expire;
        (Ok(()), self.consequences(id))
    }

    fn consequences(&mut self, id: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        let stream_from = self.config.stream_from;
        let message = self.messages.get_mut(&id).expect("it has a slice");
        let in_order = message.in_order();
        if message.stream.is_none()
            && let Some(from) = stream_from
        {
            let begins = message.prefix(in_order);
            let head = match begins.first() {
                Some(0xd8 | 0xda) => 3,
                Some(0xd9 | 0xdb) => 5,
                Some(_) => {
                    message.whole = true;
                    usize::MAX
                }
                None => usize::MAX,
            };
            message.whole |= message.is_complete();
            if begins.len() >= head {
                message.whole = false;
                let length = begins[1..head]
                    .iter()
                    .fold(0, |sum, octet| sum << 8 | u64::from(*octet));
                let text = begins[0] < 0xda;
                if length >= from as u64 {
                    message.stream = Some((length, text, head));
                    outputs.push(Output::Begin { id, length, text });
                } else {
                    message.whole = true;
                }
            }
        }
        if let Some((length, _, head)) = message.stream {
            let end = head as u64 + length;
            while message.given < in_order {
                let before = message.prefix(message.given).len();
                let data = message.slices[&message.given].0.clone();
                message.given += 1;
                if (before + data.len()) as u64 > end {
                    outputs.push(self.lose(id, DropReason::Length));
                    return outputs;
                }
                let bytes = data.slice(head.saturating_sub(before).min(data.len())..);
                if !bytes.is_empty() {
                    outputs.push(Output::Data { id, bytes });
                }
            }
            if message.given == message.total && (message.prefix(message.given).len() as u64) < end
            {
                outputs.push(self.lose(id, DropReason::Length));
                return outputs;
            }
        }
        let message = &self.messages[&id];
        let octets: usize = message.slices.values().map(|(data, _)| data.len()).sum();
        let (streams, complete) = (message.stream.is_some(), message.is_complete());
        if !streams && octets > self.config.message {
            outputs.push(self.lose(id, DropReason::TooLong));
        } else if self.held() > self.config.together {
            outputs.push(self.lose(id, DropReason::TooMuch));
        } else if complete {
            let whole = message
                .slices
                .values()
                .map(|(data, _)| data.clone())
                .collect();
            outputs.push(if streams {
                Output::End { id }
            } else {
                Output::Message(whole)
            });
            self.messages.remove(&id);
            self.over.insert(id);
        }
        outputs
    }
}
