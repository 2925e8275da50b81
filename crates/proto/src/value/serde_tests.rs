use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct All {
    unit: (),
    none: Option<u8>,
    some: Option<u8>,
    truth: bool,
    small: i8,
    large: u64,
    least: i64,
    float: f64,
    single: f32,
    char: char,
    text: String,
    #[serde(with = "octets")]
    octets: Vec<u8>,
    numbers: Vec<u8>,
    tuple: (u8, String),
    address: IpAddr,
    by_number: BTreeMap<i16, bool>,
    by_char: BTreeMap<char, ()>,
    by_kind: BTreeMap<Kind, u8>,
    kinds: Vec<Kind>,
    date: Date,
    value: Value,
    newtype: Newtype,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Newtype(u32);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(u8, u8),
    Struct { a: u8 },
}

/// As serde_bytes.
mod octets {
    use std::fmt;

    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(octets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Octets;

        impl Visitor<'_> for Octets {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets")
            }

            fn visit_byte_buf<E>(self, octets: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(octets)
            }
        }

        from.deserialize_byte_buf(Octets)
    }
}

fn all() -> All {
    All {
        unit: (),
        none: None,
        some: Some(1),
        truth: true,
        small: -1,
        large: u64::MAX,
        least: i64::MIN,
        float: 2.0,
        single: 0.1,
        char: 'ä',
        text: "text".to_owned(),
        octets: vec![1, 2, 3],
        numbers: vec![4, 5],
        tuple: (6, "seven".to_owned()),
        address: IpAddr::from([127, 0, 0, 1]),
        by_number: [(-1, true), (2, false)].into(),
        by_char: [('x', ())].into(),
        by_kind: [(Kind::Unit, 1)].into(),
        kinds: vec![
            Kind::Unit,
            Kind::Newtype(1),
            Kind::Tuple(2, 3),
            Kind::Struct { a: 4 },
        ],
        date: Date::from_millis(1_706_749_261_001),
        value: Value::from([
            ("at", Value::Date(Date::from_millis(1))),
            ("octets", Value::from(b"xyz")),
        ]),
        newtype: Newtype(9),
        rest: [("extra".to_owned(), Value::from(b"more"))].into(),
    }
}

#[test]
fn what_was_serialized_is_deserialized() {
    let value = Value::from_serialize(&all()).unwrap();
    assert_eq!(value.deserialize::<All>(), Ok(all()));
}

#[test]
fn what_was_serialized_crosses_both_formats() {
    use crate::wire::{binarypack, msgpack};

    let value = Value::from_serialize(&all()).unwrap();
    let limits = binarypack::Limits::default();
    let packed = msgpack::encode(&value).unwrap();
    let read = msgpack::decode(packed, &limits).unwrap();
    assert_eq!(read.deserialize::<All>(), Ok(all()));
    let packed = binarypack::encode(&value).unwrap();
    let read = binarypack::decode(packed, &limits).unwrap();
    // A moment is text there: who asks for one gets it.
    let read = read.deserialize::<All>().unwrap();
    assert_eq!(read.date, all().date);
    assert_eq!(
        read.value.get("at"),
        Some(&Value::from("1970-01-01T00:00:00.001Z"))
    );
}

#[test]
fn octets_stay_octets_and_moments_moments() {
    let value = Value::from_serialize(&all()).unwrap();
    assert_eq!(value.get("octets"), Some(&Value::from(&[1, 2, 3])));
    assert_eq!(value.get("numbers"), Some(&[4, 5].into_iter().collect()));
    assert_eq!(value.get("date").and_then(Value::as_date), Some(all().date));
    assert_eq!(Value::from_serialize(&value).as_ref(), Ok(&value));
    assert_eq!(value.clone().deserialize::<Value>(), Ok(value));
}

#[test]
fn all_else_is_as_in_json() {
    #[derive(Serialize)]
    struct Message {
        kinds: Vec<Kind>,
        tuple: (u8, Option<u8>),
        by_number: BTreeMap<i16, bool>,
        date: Date,
    }

    let all = all();
    let message = Message {
        kinds: all.kinds,
        tuple: (1, None),
        by_number: all.by_number,
        date: all.date,
    };
    let json = serde_json::to_value(&message).unwrap();
    let value = Value::from_serialize(&message).unwrap();
    assert_eq!(serde_json::Value::try_from(value.clone()), Ok(json.clone()));
    assert_eq!(serde_json::to_value(value).unwrap(), json);
    assert_eq!(
        serde_json::from_value::<Value>(json.clone()).unwrap(),
        Value::from(json)
    );
}

#[test]
fn octets_are_read_as_numbers_where_those_are_asked_for() {
    let octets = Value::from(b"\x01\x02");
    assert_eq!(octets.clone().deserialize::<Vec<u8>>(), Ok(vec![1, 2]));
    assert_eq!(octets.deserialize::<[u16; 2]>(), Ok([1, 2]));
}

#[test]
fn a_whole_float_is_an_integer_to_who_asks_for_one() {
    assert_eq!(Value::Float(2.0).deserialize::<u8>(), Ok(2));
    assert_eq!(Value::Integer(2).deserialize::<f64>(), Ok(2.0));
    assert!(Value::Float(2.5).deserialize::<u8>().is_err());
    assert!(Value::Integer(256).deserialize::<u8>().is_err());
}

#[test]
fn a_wrong_type_is_said_in_words() {
    let error = Value::from("x").deserialize::<Vec<u8>>().unwrap_err();
    let said = "invalid type: string \"x\", expected a sequence";
    assert_eq!(error.to_string(), said);
    let pair = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(Value::from_serialize(&pair), Err(ValueError::Key));
    let huge = Value::from_serialize(&u128::MAX);
    assert!(matches!(huge, Err(ValueError::Number(_))));
    assert!(Value::Null.deserialize::<Kind>().is_err());
    assert!(Value::from("Nothing").deserialize::<Kind>().is_err());
}

/// A map with one member, under any key.
struct Keyed<K>(K);

impl<K: Serialize> Serialize for Keyed<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(&self.0, true)])
    }
}

struct Octets;

impl Serialize for Octets {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(b"k")
    }
}

#[test]
fn what_has_one_text_may_be_a_key_and_nothing_else() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct New(i16);
    #[derive(Serialize)]
    struct Pair(i16, i16);
    #[derive(Serialize)]
    struct Named {
        a: u8,
    }
    #[derive(Serialize)]
    enum Kind {
        Unit,
        New(u8),
        Pair(u8, u8),
        Named { a: u8 },
    }
    fn key<K: Serialize>(key: K) -> Result<Value, ValueError> {
        Value::from_serialize(&Keyed(key))
    }
    let of = |text: &str| Ok(Value::from([(text, Value::Bool(true))]));
    assert_eq!(key("k"), of("k"));
    assert_eq!(key('k'), of("k"));
    assert_eq!(key(Some("k")), of("k"));
    assert_eq!(key(New(-7)), of("-7"));
    assert_eq!(key(Kind::Unit), of("Unit"));
    let refused = [
        key(Octets),
        key(None::<u8>),
        key(()),
        key(Unit),
        key(Pair(1, 2)),
        key(Named { a: 1 }),
        key(Kind::New(1)),
        key(Kind::Pair(1, 2)),
        key(Kind::Named { a: 1 }),
        key([1].as_slice()),
        key((1, 2)),
        key(Keyed(1)),
    ];
    for refused in refused {
        assert_eq!(refused, Err(ValueError::Key));
    }
    // As values they are what they are.
    assert_eq!(Value::from_serialize(&Unit), Ok(Value::Null));
    let pair = Value::from_serialize(&Pair(1, 2));
    assert_eq!(pair, Ok(Value::Array(vec![1.into(), 2.into()])));
}
