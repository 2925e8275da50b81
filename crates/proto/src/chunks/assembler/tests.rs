use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::chunks::Splitter;

#[expect(
    clippy::disallowed_methods,
    reason = "where virtual time begins says nothing"
)]
fn start() -> Instant {
    Instant::now()
}

/// Cuts a packed value as the other side does.
fn slices(splitter: &mut Splitter, packed: &Bytes) -> Vec<Chunk> {
    let slices = splitter.split(packed.len() as u64).unwrap();
    slices
        .map(|slice| Chunk {
            id: slice.id,
            index: slice.index,
            total: slice.total,
            data: packed.slice(slice.range.start as usize..slice.range.end as usize),
        })
        .collect()
}

fn packed(len: usize) -> Bytes {
    let mut octets = vec![0xdb];
    octets.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    octets.extend((0..len).map(|at| (at % 251) as u8));
    octets.into()
}

fn drain(assembler: &mut Assembler) -> Vec<Output> {
    std::iter::from_fn(|| assembler.poll_output()).collect()
}

#[test]
fn slices_in_any_order_become_the_message() {
    let now = start();
    let message = packed(70_000);
    let mut chunks = slices(&mut Splitter::new(), &message);
    let mut assembler = Assembler::new(Config::default());
    for turn in 0..chunks.len() {
        chunks.rotate_left(1);
        let mut assembler_of_turn = Assembler::new(Config::default());
        for chunk in chunks.iter().cloned() {
            let cost = chunk.data.len() + 31;
            assembler_of_turn.handle_chunk(chunk, cost, now).unwrap();
        }
        let whole = Output::Message(Rope::from(message.clone()));
        assert_eq!(drain(&mut assembler_of_turn), [whole], "turned by {turn}");
        assert_eq!(assembler_of_turn.held(), 0);
        assembler = assembler_of_turn;
    }
    assert!(assembler.is_idle() && assembler.poll_timeout().is_none());
}

#[test]
fn a_stream_is_handed_out_in_order() {
    let now = start();
    let message = packed(70_000);
    let mut chunks = slices(&mut Splitter::new(), &message);
    chunks.swap(1, 3);
    let mut assembler = Assembler::new(Config {
        stream_from: Some(70_000),
        message: 20_000,
        ..Config::default()
    });
    let mut outputs = Vec::new();
    for chunk in chunks {
        assembler.handle_chunk(chunk, 0, now).unwrap();
        outputs.extend(drain(&mut assembler));
    }
    let begin = Output::Begin {
        id: 1,
        length: 70_000,
        text: false,
    };
    assert_eq!(outputs.first(), Some(&begin));
    assert_eq!(outputs.last(), Some(&Output::End { id: 1 }));
    let data = outputs.into_iter().filter_map(|output| match output {
        Output::Data { bytes, .. } => Some(bytes),
        _ => None,
    });
    assert_eq!(data.collect::<Rope>(), Rope::from(message.slice(5..)));
    assert_eq!(assembler.held(), 0);
}

/// A slice as the channel's message brought it: its data is a part of that, and the message is alive as long as any part of it.
struct Arrived {
    chunk: Chunk,
    cost: usize,
}

/// Octets of messages that are alive.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn octets(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A message of `size` octets, of which the first `data` are the slice.
    fn message(&self, chunk: (u64, u32, u32), data: usize, size: usize) -> Arrived {
        let (id, index, total) = chunk;
        self.0.fetch_add(size, Ordering::Relaxed);
        let message = Bytes::from_owner(Message(vec![0; size], self.clone()));
        Arrived {
            chunk: Chunk {
                id,
                index,
                total,
                data: message.slice(..data),
            },
            cost: size,
        }
    }
}

struct Message(Vec<u8>, Alive);

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.1.0.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

fn small() -> Config {
    Config {
        message: 100_000,
        together: 200_000,
        unfinished: 4,
        ..Config::default()
    }
}

fn chunk(id: u64, index: u32, total: u32, data: &[u8]) -> Chunk {
    Chunk {
        id,
        index,
        total,
        data: Bytes::copy_from_slice(data),
    }
}

fn dropped(id: u64, reason: DropReason) -> Output {
    Output::Dropped { id, reason }
}

#[test]
fn a_slice_that_comes_twice_counts_once() {
    let now = start();
    let mut assembler = Assembler::new(small());
    for _ in 0..3 {
        assembler
            .handle_chunk(chunk(1, 0, 2, b"a"), 9, now)
            .unwrap();
    }
    let held = assembler.held();
    assembler
        .handle_chunk(chunk(1, 0, 2, b"X"), 9, now)
        .unwrap();
    assert_eq!(assembler.held(), held);
    assert_eq!(drain(&mut assembler), []);
    assembler
        .handle_chunk(chunk(1, 1, 2, b"b"), 9, now)
        .unwrap();
    let whole = Output::Message(Rope::from(Bytes::from_static(b"ab")));
    assert_eq!(drain(&mut assembler), [whole]);
    // Also when all of it is there.
    assembler
        .handle_chunk(chunk(1, 0, 2, b"a"), 9, now)
        .unwrap();
    assert!(assembler.is_idle());
}

#[test]
fn a_slice_beyond_its_total_is_refused_and_changes_nothing() {
    let now = start();
    let mut assembler = Assembler::new(small());
    for (index, total) in [(0, 0), (2, 2), (u32::MAX, 1)] {
        let refused = assembler.handle_chunk(chunk(1, index, total, b"a"), 9, now);
        let id = 1;
        assert_eq!(refused, Err(ChunkError::Index { id, index, total }));
    }
    assert!(assembler.is_idle() && drain(&mut assembler).is_empty());
}

#[test]
fn a_message_has_one_total() {
    let now = start();
    let mut assembler = Assembler::new(small());
    assembler
        .handle_chunk(chunk(1, 0, 2, b"a"), 9, now)
        .unwrap();
    let (id, total, says) = (1, 2, 3);
    let refused = assembler.handle_chunk(chunk(1, 1, says, b"b"), 9, now);
    assert_eq!(refused, Err(ChunkError::Total { id, total, says }));
    assembler
        .handle_chunk(chunk(1, 1, 2, b"b"), 9, now)
        .unwrap();
    assert_eq!(drain(&mut assembler).len(), 1);
}

#[test]
fn what_a_message_announces_costs_nothing() {
    let mut assembler = Assembler::new(small());
    let last = chunk(1, u32::MAX - 1, u32::MAX, b"a");
    assembler.handle_chunk(last, 9, start()).unwrap();
    assert_eq!(assembler.held(), 1 + OVERHEAD);
}

#[test]
fn a_small_slice_keeps_no_large_message() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = Assembler::new(small());
    // Out of order, so that they wait.
    for index in 1..=500 {
        let arrived = alive.message((1, index, 1000), 1, 100_000);
        assembler
            .handle_chunk(arrived.chunk, arrived.cost, now)
            .unwrap();
    }
    assert_eq!(alive.octets(), 0);
    assert_eq!(assembler.held(), 500 * (1 + OVERHEAD));
    // A large one is not copied, and its message is what it costs.
    let arrived = alive.message((2, 1, 3), 50_000, 60_000);
    assembler
        .handle_chunk(arrived.chunk, arrived.cost, now)
        .unwrap();
    assert_eq!(alive.octets(), 60_000);
    assert_eq!(assembler.held(), 500 * (1 + OVERHEAD) + 60_000 + OVERHEAD);
}

#[test]
fn a_large_value_is_in_memory_once_while_it_is_put_together_and_read() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = Assembler::new(Config::default());
    let (slice, total) = (16_300, 1000);
    for index in 0..total {
        let mut arrived = alive.message((1, index, total), slice, slice + 31);
        if index == 0 {
            // The head of bytes in bytes of this length.
            let length = u32::try_from(slice * total as usize - 5).unwrap();
            let mut data = vec![0xdb];
            data.extend_from_slice(&length.to_be_bytes());
            data.resize(slice, 0);
            arrived.chunk.data = data.into();
        }
        let cost = arrived.cost;
        assembler.handle_chunk(arrived.chunk, cost, now).unwrap();
        assert_eq!(alive.octets(), 0, "what came is joined, not kept beside it");
    }
    let Some(Output::Message(rope)) = assembler.poll_output() else {
        panic!("it is whole");
    };
    let whole = rope.clone().into_bytes();
    let value = crate::wire::binarypack::decode(rope, &Default::default()).unwrap();
    let bytes = value.as_bytes().unwrap();
    assert_eq!(bytes.len(), whole.len() - 5);
    assert_eq!(bytes.as_ptr(), whole[5..].as_ptr(), "shared, not copied");
}

#[test]
fn slices_without_end_hold_no_more_than_a_message_may() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = Assembler::new(small());
    let mut outputs = Vec::new();
    for index in 0..10_000 {
        let arrived = alive.message((1, index, u32::MAX), 900, 1000);
        assembler
            .handle_chunk(arrived.chunk, arrived.cost, now)
            .unwrap();
        assert!(alive.octets() <= 112_000 && assembler.held() <= 130_000);
        outputs.extend(drain(&mut assembler));
    }
    // It is said once, and its slices begin no message anew.
    assert_eq!(outputs, [dropped(1, DropReason::TooLong)]);
    assert_eq!((assembler.held(), alive.octets()), (0, 0));
}

#[test]
fn empty_slices_without_end_are_counted() {
    let now = start();
    let mut assembler = Assembler::new(small());
    // In order they join a message that they add nothing to.
    for index in 0..10_000 {
        let empty = chunk(1, index, u32::MAX, b"");
        assembler.handle_chunk(empty, 0, now).unwrap();
        assert_eq!(assembler.held(), 0);
    }
    for index in 1..10_000 {
        let empty = chunk(2, index, u32::MAX, b"");
        assembler.handle_chunk(empty, 0, now).unwrap();
        assert!(assembler.held() <= 200_000);
    }
    assert_eq!(drain(&mut assembler), [dropped(2, DropReason::TooMuch)]);
}

#[test]
fn messages_without_end_are_no_more_than_may_be_unfinished() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = Assembler::new(small());
    let mut refused = 0;
    for id in 0..10_000 {
        let arrived = alive.message((id, 0, 2), 900, 1000);
        assembler
            .handle_chunk(arrived.chunk, arrived.cost, now)
            .unwrap();
        assert!(alive.octets() <= 4000 && assembler.over.len() <= REMEMBERED);
        refused += drain(&mut assembler).len();
    }
    assert_eq!(refused, 9996);
    // Those that were there first lose nothing by it.
    let rest = alive.message((0, 1, 2), 900, 1000);
    assembler.handle_chunk(rest.chunk, rest.cost, now).unwrap();
    assert!(matches!(drain(&mut assembler)[..], [Output::Message(_)]));
}

#[test]
fn messages_together_hold_no_more_than_they_may() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = Assembler::new(small());
    let mut outputs = Vec::new();
    for index in 0..85 {
        for id in 0..4 {
            let arrived = alive.message((id, index, 85), 1000, 1000);
            assembler
                .handle_chunk(arrived.chunk, arrived.cost, now)
                .unwrap();
            assert!(alive.octets() <= 201_000 && assembler.held() <= 200_000);
            outputs.extend(drain(&mut assembler));
        }
    }
    // Two went, and made room for the two others.
    let whole = outputs
        .iter()
        .filter(|output| matches!(output, Output::Message(_)));
    assert_eq!(whole.count(), 2);
    assert_eq!(outputs.len(), 4);
    drop(outputs);
    assert_eq!((assembler.held(), alive.octets()), (0, 0));
}

#[test]
fn a_message_that_never_ends_is_given_up_in_time() {
    let now = start();
    let second = Duration::from_secs(1);
    let mut assembler = Assembler::new(small());
    assert_eq!(assembler.poll_timeout(), None);
    assembler
        .handle_chunk(chunk(1, 0, 9, b"a"), 9, now)
        .unwrap();
    assembler
        .handle_chunk(chunk(2, 0, 9, b"a"), 9, now + second)
        .unwrap();
    // A new slice is a sign of life, one that came before is none.
    assembler
        .handle_chunk(chunk(1, 1, 9, b"b"), 9, now + 30 * second)
        .unwrap();
    assembler
        .handle_chunk(chunk(2, 0, 9, b"a"), 9, now + 30 * second)
        .unwrap();
    assert_eq!(assembler.poll_timeout(), Some(now + 61 * second));
    assembler.handle_timeout(now + 60 * second);
    assert_eq!(drain(&mut assembler), []);
    assembler.handle_timeout(now + 61 * second);
    assert_eq!(drain(&mut assembler), [dropped(2, DropReason::Expired)]);
    assert_eq!(assembler.poll_timeout(), Some(now + 90 * second));
    assembler.handle_timeout(now + 90 * second);
    assert_eq!(drain(&mut assembler), [dropped(1, DropReason::Expired)]);
    // Its rest is too late, and begins nothing.
    assembler
        .handle_chunk(chunk(2, 1, 9, b"b"), 9, now + 91 * second)
        .unwrap();
    assert!(assembler.is_idle() && assembler.held() == 0);
    assert_eq!(assembler.poll_timeout(), None);
}

fn streaming(from: usize) -> Assembler {
    Assembler::new(Config {
        stream_from: Some(from),
        ..small()
    })
}

fn begin(id: u64, length: u64, text: bool) -> Output {
    Output::Begin { id, length, text }
}

fn data(id: u64, bytes: &'static [u8]) -> Output {
    let bytes = Bytes::from_static(bytes);
    Output::Data { id, bytes }
}

#[test]
fn a_stream_may_be_longer_than_a_message_and_holds_nothing() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = streaming(1000);
    let mut octets = 0;
    let mut head = chunk(1, 0, 10_001, b"\xdb\x00\x98\x96\x80");
    for index in 1..=10_001 {
        assembler.handle_chunk(head, 5, now).unwrap();
        for output in drain(&mut assembler) {
            match output {
                Output::Data { bytes, .. } => octets += bytes.len(),
                Output::Begin { length, .. } => assert_eq!(length, 10_000_000),
                Output::End { .. } => assert_eq!(octets, 10_000_000),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((assembler.held(), alive.octets()), (0, 0));
        head = alive.message((1, index, 10_001), 1000, 1000).chunk;
    }
    assert_eq!(octets, 10_000_000);
    assert!(assembler.is_idle());
}

#[test]
fn a_stream_begins_however_small_its_first_slices_are() {
    let now = start();
    let mut assembler = streaming(4);
    let slices: [&[u8]; 6] = [b"", b"\xd8", b"\x00", b"\x05h", b"ell", b"o"];
    let mut outputs = Vec::new();
    for (index, slice) in (0..).zip(slices) {
        assembler
            .handle_chunk(chunk(7, index, 6, slice), 0, now)
            .unwrap();
        outputs.extend(drain(&mut assembler));
    }
    let end = Output::End { id: 7 };
    let expected = [
        begin(7, 5, true),
        data(7, b"h"),
        data(7, b"ell"),
        data(7, b"o"),
        end,
    ];
    assert_eq!(outputs, expected);
}

#[test]
fn what_comes_early_of_a_stream_waits_as_far_as_it_may() {
    let (now, alive) = (start(), Alive::default());
    let mut assembler = streaming(1000);
    for index in (1..=150).rev() {
        let arrived = alive.message((1, index, 200), 500, 500);
        assembler
            .handle_chunk(arrived.chunk, arrived.cost, now)
            .unwrap();
    }
    assert!(alive.octets() == 75_000 && drain(&mut assembler).is_empty());
    let head = chunk(1, 0, 200, b"\xdb\x00\x02\x00\x00");
    assembler.handle_chunk(head, 5, now).unwrap();
    assert_eq!(drain(&mut assembler).len(), 1 + 150);
    assert_eq!((assembler.held(), alive.octets()), (0, 0));
    // One is missing, and too much comes after it.
    let mut outputs = Vec::new();
    for index in 152..=199 {
        let arrived = alive.message((1, index, 200), 9000, 9000);
        assembler
            .handle_chunk(arrived.chunk, arrived.cost, now)
            .unwrap();
        assert!(alive.octets() <= 209_000 && assembler.held() <= 200_000);
        outputs.extend(drain(&mut assembler));
    }
    assert_eq!(outputs, [dropped(1, DropReason::TooMuch)]);
}

#[test]
fn a_stream_is_as_long_as_it_said_or_is_dropped() {
    let now = start();
    let mut assembler = streaming(2);
    let head = b"\xda\x00\x03";
    for (id, rest) in [(1, &b"ab"[..]), (2, b"abcd")] {
        assembler
            .handle_chunk(chunk(id, 0, 2, head), 0, now)
            .unwrap();
        assert_eq!(drain(&mut assembler), [begin(id, 3, false)]);
        assembler
            .handle_chunk(chunk(id, 1, 2, rest), 0, now)
            .unwrap();
        let last = drain(&mut assembler).pop();
        assert_eq!(last, Some(dropped(id, DropReason::Length)));
    }
    assert!(assembler.is_idle() && assembler.held() == 0);
}

#[test]
fn a_stream_that_stops_is_given_up_in_time() {
    let now = start();
    let mut assembler = streaming(2);
    let head = chunk(1, 0, 2, b"\xda\x00\x03a");
    assembler.handle_chunk(head, 0, now).unwrap();
    assert_eq!(drain(&mut assembler), [begin(1, 3, false), data(1, b"a")]);
    assembler.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(drain(&mut assembler), [dropped(1, DropReason::Expired)]);
}

#[test]
fn what_is_short_or_no_text_and_no_octets_is_no_stream() {
    let now = start();
    let mut assembler = streaming(4);
    for (id, first) in [
        (1, &b"\xda\x00\x03a"[..]),
        (2, b"\x92"),
        (3, b"\xdd\x00\x00\x00"),
        (4, b"\xda"),
        (5, b""),
    ] {
        assembler
            .handle_chunk(chunk(id, 0, 2, first), 0, now)
            .unwrap();
        assembler
            .handle_chunk(chunk(id, 1, 2, b""), 0, now)
            .unwrap();
        assert!(matches!(drain(&mut assembler)[..], [Output::Message(_)]));
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Value;
    use crate::wire::binarypack::{Limits, decode, encode};

    proptest! {
        #[test]
        fn messages_come_out_whole_whatever_the_order(
            lengths in prop::collection::vec(16_301_usize..100_000, 1..5),
            seed in any::<u64>(),
            stream_from in prop::option::of(20_000_usize..80_000),
        ) {
            let now = start();
            let mut splitter = Splitter::new();
            let values: Vec<Value> = lengths
                .iter()
                .map(|length| Value::from(vec![*length as u8; *length]))
                .collect();
            let mut chunks: Vec<_> = values
                .iter()
                .flat_map(|value| slices(&mut splitter, &encode(value).unwrap().into_bytes()))
                .collect();
            // Each slice twice, in an order that the seed makes.
            chunks.extend(chunks.clone());
            let mix = |chunk: &Chunk| (chunk.id * 131 + u64::from(chunk.index)).wrapping_mul(seed | 1);
            chunks.sort_by_key(mix);
            let mut assembler = Assembler::new(Config { stream_from, ..Config::default() });
            let mut read = BTreeMap::new();
            let mut streams: BTreeMap<u64, Rope> = BTreeMap::new();
            for chunk in chunks {
                let (id, cost) = (chunk.id, chunk.data.len());
                assembler.handle_chunk(chunk, cost, now).unwrap();
                for output in drain(&mut assembler) {
                    match output {
                        Output::Message(rope) => {
                            read.insert(id, decode(rope, &Limits::default()).unwrap());
                        }
                        Output::Begin { id, .. } => {
                            streams.insert(id, Rope::new());
                        }
                        Output::Data { id, bytes } => {
                            streams.get_mut(&id).unwrap().push(bytes);
                        }
                        Output::End { id } => {
                            let whole = streams.remove(&id).unwrap().into_bytes();
                            read.insert(id, Value::from(whole));
                        }
                        Output::Dropped { reason, .. } => panic!("{reason}"),
                    }
                }
            }
            prop_assert_eq!(read.into_values().collect::<Vec<_>>(), values);
            prop_assert!(assembler.is_idle());
            prop_assert_eq!(assembler.held(), 0);
        }
    }
}
