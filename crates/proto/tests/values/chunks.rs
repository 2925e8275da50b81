use bytes::Buf;
use peerage_proto::chunks::{Assembler, Config, Output, Splitter};
use peerage_proto::wire::binarypack::{Limits, encode};
use peerage_proto::wire::chunk::{self, Incoming};
use serde_json::Value as Json;

use crate::notation::{hex, sha256, value};
use crate::{Entry, judge, list, text, vectors};

#[test]
fn messages_are_cut_as_by_the_stock_client() {
    let vectors = vectors("binarypack-chunks.json");
    let mut splitter = Splitter::new();
    let entries = list(&vectors, "cases").iter();
    let entries: Vec<_> = entries.map(|case| cut(case, &mut splitter)).collect();
    assert_eq!(entries.len(), 8);
    judge("binarypack-chunks.json", entries);
}

fn cut(case: &Json, splitter: &mut Splitter) -> Entry {
    let given = value(&case["value"]);
    let packed = encode(&given).unwrap();
    let mut here = vec![format!(
        "packs {} octets, sha256 {}",
        packed.len(),
        sha256(&packed.clone().into_bytes())
    )];
    let mut recorded = vec![format!(
        "packs {} octets, sha256 {}",
        case["packed_length"],
        text(case, "packed_sha256")
    )];
    // The recording skips from the 5th message to the 128th.
    let first = case["chunks"][0]["peerData"].as_u64();
    let mut slices = splitter.split(packed.len() as u64);
    while slices
        .as_ref()
        .is_some_and(|slices| Some(slices.id()) < first)
    {
        slices = splitter.split(packed.len() as u64);
    }
    let listed: Vec<_> = case["chunks"].as_array().into_iter().flatten().collect();
    recorded.extend(listed.iter().map(|chunk| {
        let parts = ["header_hex", "trailer_hex", "sha256"].map(|part| text(chunk, part));
        format!("slice {}: {}", chunk["n"], parts.join(" "))
    }));
    let mut assembler = Assembler::new(Config::default());
    let mut rest = packed;
    for slice in slices.into_iter().flatten() {
        let data = rest.split_to(slice.len());
        let message = slice.emit(data.clone());
        if listed.iter().any(|chunk| chunk["n"] == slice.index) {
            let head = message.len() - data.remaining() - trailer(slice.total);
            here.push(format!(
                "slice {}: {} {} {}",
                slice.index,
                hex(&message[..head]),
                hex(&message[head + slice.len()..]),
                sha256(&message)
            ));
        }
        let cost = message.len();
        let Ok(Incoming::Chunk(chunk)) = chunk::parse(message, &Limits::default()) else {
            panic!("a slice");
        };
        assembler.handle_chunk(chunk, cost, start()).unwrap();
    }
    if let Some(Output::Message(message)) = assembler.poll_output() {
        let read = chunk::parse(message, &Limits::default());
        assert_eq!(read, Ok(Incoming::Value(given)));
    } else {
        assert_eq!(case["chunked"], false);
    }
    Entry {
        name: text(case, "name").to_owned(),
        recorded,
        here,
    }
}

/// Octets behind the data: the member's name and the number.
fn trailer(total: u32) -> usize {
    let number = match total {
        0..=127 => 1,
        128..=255 => 2,
        _ => 3,
    };
    6 + number
}

#[expect(
    clippy::disallowed_methods,
    reason = "where virtual time begins says nothing"
)]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}
