use peerage_proto::value::Value;
use peerage_proto::wire::binarypack::{Limits, decode, encode};
use peerage_proto::wire::chunk::CLOSE;
use serde_json::Value as Json;

use crate::notation::{bytes, number, packs, reads, value};
use crate::{Entry, judge, list, text, vectors};

#[test]
fn values_are_packed_and_unpacked_as_by_the_stock_client_but_for_what_the_table_says() {
    let vectors = vectors("binarypack.json");
    let mut entries = Vec::new();
    entries.extend(list(&vectors, "encode").iter().map(packed));
    entries.extend(list(&vectors, "encode_edge").iter().map(edge));
    entries.extend(list(&vectors, "decode").iter().map(unpacked));
    assert_eq!(entries.len(), 206);
    judge("binarypack.json", entries);
}

fn packed(entry: &Json) -> Entry {
    let given = value(&entry["value"]);
    let here = encode(&given).map(|rope| rope.into_bytes());
    // However a number is held, it is the same number.
    let held_otherwise = given.as_i64().map(Value::from);
    for other in [Some(given.clone()), held_otherwise].into_iter().flatten() {
        assert_eq!(encode(other).map(|rope| rope.into_bytes()), here);
    }
    let recorded_octets = match entry["hex"].as_str() {
        Some(hex) => Some(bytes(hex)),
        None => here.clone().ok(),
    };
    let recorded_packs = match entry["hex"].as_str() {
        Some(hex) => packs(&bytes(hex)),
        None => format!(
            "packs {} octets, sha256 {}",
            entry["length"],
            text(entry, "sha256")
        ),
    };
    let arrives = match entry.get("decodes_to") {
        Some(arrives) => value(arrives),
        None => given.clone(),
    };
    if let Ok(here) = &here {
        let read = decode(here.clone(), &Limits::default()).unwrap();
        match given {
            Value::Date(date) => assert_eq!(read, date.to_string().into()),
            _ => assert_eq!(read, given),
        }
    }
    Entry {
        name: format!("packs {}", text(entry, "name")),
        recorded: vec![recorded_packs, reads(&arrives)],
        here: [
            match here {
                Ok(octets) => packs(&octets),
                // An application cannot say it; the connection does.
                Err(_) if text(entry, "name") == "close marker" => packs(CLOSE),
                Err(_) => "refuses".to_owned(),
            },
            read(recorded_octets.unwrap_or_default()),
        ]
        .into(),
    }
}

/// What the stock packer refuses, mostly.
fn edge(entry: &Json) -> Entry {
    let name = text(entry, "value");
    let packed = |value: Value| match encode(value) {
        Ok(rope) => packs(&rope.into_bytes()),
        Err(_) => "refuses".to_owned(),
    };
    let here = match name {
        "BigInt 1n" => packed(Value::from_serialize(&1_i128).unwrap()),
        // There are no such values; a struct is what a class is.
        "Symbol"
        | "function"
        | "Map object"
        | "Set object"
        | "RegExp"
        | "null-prototype object"
        | "DataView"
        | "instance of a function constructor" => "refuses".to_owned(),
        "instance of a class written with the class keyword, {x:1}" => {
            packed(Value::from([("x", 1)]))
        }
        name => packed(Value::Float(number(name))),
    };
    let recorded = match text(entry, "result") {
        "throws" => "refuses".to_owned(),
        _ => packs(&bytes(text(entry, "hex"))),
    };
    Entry {
        name: format!("packs {name}"),
        recorded: vec![recorded],
        here: vec![here],
    }
}

fn unpacked(entry: &Json) -> Entry {
    let recorded = match entry.get("decodes_to") {
        Some(arrives) => reads(&value(arrives)),
        None => "refuses".to_owned(),
    };
    Entry {
        name: format!("reads {}", text(entry, "name")),
        recorded: vec![recorded],
        here: vec![read(bytes(text(entry, "hex")))],
    }
}

fn read(octets: bytes::Bytes) -> String {
    match decode(octets, &Limits::default()) {
        Ok(value) => reads(&value),
        Err(_) => "refuses".to_owned(),
    }
}
