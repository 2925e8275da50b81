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
