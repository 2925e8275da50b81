//! How the files write values, and how the table does.

use bytes::Bytes;
use peerage_proto::value::{Date, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// Above, an entry's octets are told by their hash.
const SHORT: usize = 600;

/// A value as the files write them. What is `undefined` there is null here.
pub(crate) fn value(json: &Json) -> Value {
    let of = |name: &str| json[name].as_str().unwrap();
    let count = || json["count"].as_u64().unwrap() as usize;
    match of("type") {
        "null" | "undefined" => Value::Null,
        "bool" => json["v"].as_bool().unwrap().into(),
        "number" => Value::Float(number(of("v"))),
        "string" => of("v").into(),
        "string_repeat" => of("unit").repeat(count()).into(),
        "string_utf16" => {
            let units = json["units"].as_array().unwrap().iter();
            let units = units.map(|unit| u16::from_str_radix(unit.as_str().unwrap(), 16).unwrap());
            String::from_utf16_lossy(&units.collect::<Vec<_>>()).into()
        }
        "bin" => unhex(of("hex")).into(),
        "bin_repeat" => vec![json["byte"].as_u64().unwrap() as u8; count()].into(),
        "bin_mod" => {
            let modulo = json["mod"].as_u64().unwrap() as usize;
            (0..count())
                .map(|at| (at % modulo) as u8)
                .collect::<Vec<_>>()
                .into()
        }
        "int32_le_view" => {
            let numbers = json["v"].as_array().unwrap().iter();
            let numbers = numbers.map(|number| number.as_i64().unwrap() as i32);
            numbers
                .flat_map(i32::to_le_bytes)
                .collect::<Vec<_>>()
                .into()
        }
        "array" => json["v"].as_array().unwrap().iter().map(value).collect(),
        "array_repeat" => Value::Array(vec![value(&json["item"]); count()]),
        "map" => {
            let members = json["v"].as_array().unwrap().iter();
            let members =
                members.map(|pair| (pair[0].as_str().unwrap().to_owned(), value(&pair[1])));
            Value::Map(members.collect())
        }
        "map_k_index" => Value::Map(
            (0..count())
                .map(|at| (format!("k{at}"), at.into()))
                .collect(),
        ),
        "date" => Value::Date(Date::from_millis(json["ms"].as_i64().unwrap())),
        other => panic!("the notation {other}"),
    }
}

/// JavaScript's text of a number, or a power.
pub(crate) fn number(text: &str) -> f64 {
    match text {
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        "2^64+4096" => 2_f64.powi(64) + 4096.0,
        "-2^63-2048" => -2_f64.powi(63) - 2048.0,
        text => match text.split_once('^') {
            Some(("2", power)) => 2_f64.powi(power.parse().unwrap()),
            _ => text.parse().unwrap(),
        },
    }
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

/// Octets as the files write them.
pub(crate) fn octets(octets: &[u8]) -> String {
    if octets.len() <= SHORT {
        hex(octets)
    } else {
        format!("{} octets, sha256 {}", octets.len(), sha256(octets))
    }
}

/// A value as the table writes it: repeated members by their last.
pub(crate) fn show(value: &Value) -> String {
    let shown = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("octets {}", octets(bytes)),
        Value::Date(date) => format!("Date {date}"),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(show).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Map(members) => {
            let members = members.iter().enumerate().filter(|(at, (name, _))| {
                !members[at + 1..]
                    .iter()
                    .take(64)
                    .any(|(other, _)| other == name)
            });
            let members = members.map(|(_, (name, value))| format!("{name:?}: {}", show(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        number => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (_, _, Some(float)) if float == 0.0 && float.is_sign_negative() => "-0".to_owned(),
            (Some(integer), _, _) => integer.to_string(),
            (_, Some(integer), _) => integer.to_string(),
            (_, _, Some(float)) => format!("{float:e}"),
            _ => panic!("{number:?}"),
        },
    };
    if shown.len() <= SHORT {
        shown
    } else {
        format!(
            "{} octets of text, sha256 {}",
            shown.len(),
            sha256(shown.as_bytes())
        )
    }
}

pub(crate) fn packs(packed: &[u8]) -> String {
    format!("packs {}", octets(packed))
}

pub(crate) fn reads(value: &Value) -> String {
    format!("reads {}", show(value))
}

pub(crate) fn bytes(hex: &str) -> Bytes {
    unhex(hex).into()
}
