use bytes::Bytes;
use peerage_proto::value::{Date, Value};
use peerage_proto::wire::msgpack::{self, Limits, MESSAGE_MAX, Stream, decode, encode};
use serde_json::Value as Json;

use crate::notation::{bytes, number, packs, reads, unhex};
use crate::{Entry, judge, list, text, vectors};

#[test]
fn values_are_packed_and_unpacked_as_by_msgpack_but_for_what_the_table_says() {
    let vectors = vectors("msgpack.json");
    let entries: Vec<_> = list(&vectors, "values").iter().map(entry).collect();
    assert_eq!(entries.len(), 36);
    judge("msgpack.json", entries);
}

fn entry(entry: &Json) -> Entry {
    let name = text(entry, "value");
    let given = value(name);
    let here = match encode(&given) {
        Ok(rope) => packs(&rope.into_bytes()),
        Err(_) if name == "close marker" => packs(msgpack::CLOSE),
        Err(_) => "refuses".to_owned(),
    };
    let octets = bytes(text(entry, "hex"));
    let read = decode(octets.clone(), &Limits::default());
    Entry {
        name: name.to_owned(),
        recorded: vec![packs(&octets), reads(&arrives(&entry["decodes_to"]))],
        here: vec![
            here,
            read.map_or("refuses".to_owned(), |value| reads(&value)),
        ],
    }
}

/// The file's words for values.
fn value(name: &str) -> Value {
    match name {
        "null" | "undefined" => Value::Null,
        "true" => true.into(),
        "NaN" => f64::NAN.into(),
        "31 x a" => "a".repeat(31).into(),
        "32 x a" => "a".repeat(32).into(),
        "Uint8Array [1,2,3]" => [1, 2, 3].into(),
        "Int32Array [1,-2]" => unhex("01000000feffffff").into(),
        "ArrayBuffer of 2 bytes" => [0, 0].into(),
        "{\"a\":1,\"u\":undefined}" => [("a", Value::from(1)), ("u", Value::Null)].into(),
        "Date 2024-02-01T01:01:01.001Z" => Value::Date(Date::from_millis(1_706_749_261_001)),
        "Date 2024-02-01T01:01:01Z" => Value::Date(Date::from_millis(1_706_749_261_000)),
        "Map object" => Value::Map(Vec::new()),
        "close marker" => [("__peerData", Value::from([("type", "close")]))].into(),
        name if name.starts_with(['"', '[']) => serde_json::from_str::<Json>(name).unwrap().into(),
        name => Value::Float(number(name)),
    }
}

fn arrives(json: &Json) -> Value {
    if let Some(number) = json.as_f64() {
        return Value::Float(number);
    }
    match json.as_str() {
        Some("NaN") => f64::NAN.into(),
        Some("Infinity") => f64::INFINITY.into(),
        Some(text) => match text.split_once(' ') {
            Some(("Uint8Array", hex)) => unhex(hex).into(),
            Some(("Date", date)) => Value::Date(date.parse().unwrap()),
            _ => text.into(),
        },
        None => json.clone().into(),
    }
}

#[test]
fn a_recorded_stream_is_cut_and_read_as_it_was() {
    let vectors = vectors("msgpack.json");
    let octets: Vec<u8> = (0..70_000).map(|at| (at % 251) as u8).collect();
    let values = [
        Value::from([
            ("hello", Value::from("world")),
            ("n", 1.5.into()),
            ("b", [1, 2, 3].into()),
            ("u", Value::Null),
        ]),
        "text".into(),
        Value::from(vec![0; 70_000]),
    ];
    let mut sent = Vec::new();
    for value in &values {
        let mut packed = encode(value).unwrap();
        while !packed.is_empty() {
            sent.push(packed.split_to(MESSAGE_MAX).into_bytes());
        }
    }
    let recorded = list(&vectors["stream"], "messages");
    assert_eq!(sent.len(), recorded.len());
    for (sent, recorded) in sent.iter().zip(recorded) {
        assert_eq!(recorded["bytes"], sent.len());
        if let Some(hex) = recorded["hex"].as_str() {
            assert_eq!(*sent, bytes(hex));
        }
    }
    // Of the last value the recording tells the lengths, and how it begins: its octets are made up.
    assert_eq!(
        sent[2][..4],
        unhex(text(&recorded[2], "prefix_hex"))[..4],
        "the same head"
    );
    let mut stream = Stream::new(Limits::default());
    let mut read = Vec::new();
    let head = Bytes::from(unhex("c600011170"));
    let last = [head, octets.clone().into()];
    for message in sent[..2].iter().chain(&last) {
        stream.handle_message(message.clone());
        while let Some(value) = stream.poll_value().unwrap() {
            read.push(value);
        }
    }
    assert_eq!(read[..2], values[..2]);
    assert_eq!(read[2..], [Value::from(octets)]);
}
