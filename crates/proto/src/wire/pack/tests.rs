//! What both formats promise.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::value::Date;
use crate::wire::{binarypack, msgpack};

fn limits(depth: usize, octets: usize, items: usize) -> Limits {
    Limits {
        depth,
        octets,
        items,
    }
}

/// Both formats' answer, where it is one.
fn both(octets: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let read = binarypack::decode(octets.to_vec(), limits);
    assert_eq!(read, msgpack::decode(octets.to_vec(), limits));
    read
}

fn read(octets: &[u8]) -> Result<Value, DecodeError> {
    both(octets, &Limits::default())
}

#[test]
fn a_message_is_one_value_and_nothing_else() {
    for cut in [
        &b""[..],
        b"\xcc",
        b"\xcd\x01",
        b"\x92\x01",
        b"\xdc\x00",
        b"\x81\x01",
        b"\xcb\x00",
    ] {
        assert_eq!(read(cut), Err(DecodeError::Truncated), "{cut:x?}");
    }
    assert_eq!(read(b"\x01\x02\x03"), Err(DecodeError::Trailing(2)));
    assert_eq!(
        binarypack::decode(vec![0xc4], &Limits::default()),
        Err(DecodeError::Unassigned(0xc4))
    );
    assert_eq!(
        msgpack::decode(vec![0xc1], &Limits::default()),
        Err(DecodeError::Unassigned(0xc1))
    );
}

#[test]
fn text_is_utf8() {
    for text in [
        &b"\x80"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xc3",
    ] {
        let of = |first: u8| [&[first | text.len() as u8], text].concat();
        let binarypack = binarypack::decode(of(0xb0), &Limits::default());
        let msgpack = msgpack::decode(of(0xa0), &Limits::default());
        assert_eq!(
            (binarypack, msgpack),
            (Err(DecodeError::Utf8), Err(DecodeError::Utf8))
        );
    }
}

#[test]
fn nesting_has_an_end_both_ways() {
    let nested = |depth: usize| [vec![0x91; depth - 1], vec![0x90]].concat();
    assert!(read(&nested(64)).is_ok());
    assert_eq!(read(&nested(65)), Err(DecodeError::TooDeep(64)));
    assert_eq!(read(&vec![0x91; 1_000_000]), Err(DecodeError::TooDeep(64)));
    let maps = [0x81, 0x01].repeat(1_000_000);
    assert_eq!(read(&maps), Err(DecodeError::TooDeep(64)));
    // However much is allowed.
    let all = limits(usize::MAX, usize::MAX, usize::MAX);
    assert!(both(&nested(DEPTH_MAX), &all).is_ok());
    let beyond = both(&nested(DEPTH_MAX + 1), &all);
    assert_eq!(beyond, Err(DecodeError::TooDeep(DEPTH_MAX)));
    let value = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let map = |depth| (0..depth).fold(Value::Null, |inner, _| Value::from([("", inner)]));
    for encode in [
        |value: Value| binarypack::encode(value),
        |value| msgpack::encode(value),
    ] {
        assert!(encode(value(DEPTH_MAX)).is_ok() && encode(map(DEPTH_MAX)).is_ok());
        assert_eq!(encode(value(DEPTH_MAX + 1)), Err(EncodeError::TooDeep));
        assert_eq!(encode(map(DEPTH_MAX + 1)), Err(EncodeError::TooDeep));
    }
    let kept = value(DEPTH_MAX + 1);
    assert_eq!(binarypack::encode(&kept), Err(EncodeError::TooDeep));
}

#[test]
fn a_length_is_believed_when_its_octets_are_there() {
    for claim in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdf\xff\xff\xff\xff",
        b"\xdc\xff\xff\x00",
        // The outer one is owed two more when the inner one claims all that there is.
        b"\x93\x92\x00\x00",
        b"\x92\x81\x00\x00",
    ] {
        assert_eq!(read(claim), Err(DecodeError::Truncated), "{claim:x?}");
    }
    let octets = binarypack::decode(b"\xdb\xff\xff\xff\xff".to_vec(), &Limits::default());
    let text = msgpack::decode(b"\xdb\xff\xff\xff\xff".to_vec(), &Limits::default());
    assert_eq!(octets, Err(DecodeError::Truncated));
    assert_eq!(text, Err(DecodeError::Truncated));
}

#[test]
fn a_message_has_no_more_values_than_it_may() {
    let array = |items: u16| {
        let [high, low] = items.to_be_bytes();
        [vec![0xdc, high, low], vec![0; usize::from(items)]].concat()
    };
    assert!(both(&array(99), &limits(64, 1000, 100)).is_ok());
    let beyond = both(&array(100), &limits(64, 1000, 100));
    assert_eq!(beyond, Err(DecodeError::TooMany(100)));
    // Keys and what is in arrays within count as well, and each announcement is refused at once.
    let map = b"\x82\x01\x01\x02\x02";
    assert!(both(map, &limits(64, 1000, 5)).is_ok());
    assert_eq!(
        both(map, &limits(64, 1000, 4)),
        Err(DecodeError::TooMany(4))
    );
    let nested = b"\x92\x92\x00\x00\x92\x00\x00";
    assert!(both(nested, &limits(64, 1000, 7)).is_ok());
    assert_eq!(
        both(nested, &limits(64, 1000, 6)),
        Err(DecodeError::TooMany(6))
    );
}

#[test]
fn a_message_has_no_more_octets_than_it_may() {
    let message = b"\x93\x01\x02\x03";
    assert!(both(message, &limits(64, 4, 100)).is_ok());
    assert_eq!(
        both(message, &limits(64, 3, 100)),
        Err(DecodeError::TooLong(3))
    );
}

#[test]
fn a_key_is_text_or_has_one() {
    let key = |octets: &[u8]| {
        let map = [&[0x81], octets, &[0x01]].concat();
        let name = |value: Value| match value {
            Value::Map(members) => members.into_iter().next().unwrap().0,
            other => panic!("{other:?}"),
        };
        let binarypack = binarypack::decode(map.clone(), &Limits::default()).map(name);
        let msgpack = msgpack::decode(map, &Limits::default()).map(name);
        (binarypack, msgpack)
    };
    let same = |text: &str| (Ok(text.to_owned()), Ok(text.to_owned()));
    assert_eq!(key(b"\x05"), same("5"));
    assert_eq!(key(b"\xff"), same("-1"));
    assert_eq!(
        key(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        same("18446744073709551615")
    );
    for (float, text) in [
        (0.5, "0.5"),
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (0.000_001, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (f64::NAN, "NaN"),
    ] {
        let octets = [&[0xcb], &float.to_be_bytes()[..]].concat();
        assert_eq!(key(&octets), same(text));
    }
    // One reads more than the other, as their models do.
    let none = Err(DecodeError::Key);
    assert_eq!(key(b"\xc0"), (Ok("null".to_owned()), none.clone()));
    assert_eq!(key(b"\xc3"), (Ok("true".to_owned()), none.clone()));
    assert_eq!(key(b"\x90"), (none.clone(), none.clone()));
    assert_eq!(key(b"\x80"), (none.clone(), none));
}

#[test]
fn nan_is_refused_where_it_would_arrive_as_a_number() {
    let inner = Value::from([("x", f64::NAN)]);
    assert_eq!(binarypack::encode(&inner), Err(EncodeError::NotANumber));
    assert!(msgpack::encode(&inner).is_ok());
}

#[test]
fn small_octets_do_not_keep_a_large_message() {
    let message = [b"\x92\xa3abc\xdb\x00\x00\x4e\x20", &[7_u8; 20_000][..]].concat();
    let message = Bytes::from(message);
    let read = binarypack::decode(message.clone(), &Limits::default()).unwrap();
    let is_part = |value: Option<&Value>| {
        let at = value.and_then(Value::as_bytes).unwrap().as_ptr();
        message.as_ptr_range().contains(&at)
    };
    assert!(!is_part(read.get_index(0)) && is_part(read.get_index(1)));
}

/// Values of every kind, numbers near every border.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let borders = prop::sample::select(vec![
        0_i128,
        32,
        127,
        128,
        255,
        256,
        32_767,
        32_768,
        65_535,
        65_536,
        1 << 31,
        1 << 32,
        1 << 53,
        1 << 63,
        1 << 64,
    ]);
    let near = (borders, -2..=2_i128, any::<bool>()).prop_map(|(border, by, negative)| {
        let integer = if negative { -border } else { border } + by;
        i64::try_from(integer)
            .map(Value::from)
            .or_else(|_| u64::try_from(integer).map(Value::from))
            .unwrap_or(Value::Float(integer as f64))
    });
    let bits = any::<u64>().prop_filter_map("NaN", |bits| {
        let float = f64::from_bits(bits);
        (!float.is_nan()).then_some(Value::Float(float))
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        near,
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(Value::from),
        bits,
        ".{0,40}".prop_map(Value::Text),
        (4090_usize..4100).prop_map(|length| Value::from("x".repeat(length))),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
        (4090_usize..4100).prop_map(|length| Value::from(vec![7; length])),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((".{0,20}", inner), 0..20).prop_map(Value::Map),
        ]
    })
}

fn any_date() -> impl Strategy<Value = Value> {
    let seconds = prop_oneof![any::<i64>(), 0..=i64::from(u32::MAX), 0..1_i64 << 35];
    let nanos = prop_oneof![Just(0), 0..1_000_000_000_u32];
    (seconds, nanos).prop_map(|(seconds, nanos)| Value::Date(Date::new(seconds, nanos).unwrap()))
}

fn cut(octets: &Bytes, piece: usize) -> Rope {
    octets.chunks(piece).map(Bytes::copy_from_slice).collect()
}

proptest! {
    #[test]
    fn binarypack_reads_what_it_wrote(value in any_value(), piece in 1_usize..5000) {
        let written = binarypack::encode(&value);
        prop_assert_eq!(&written, &binarypack::encode(value.clone()));
        let octets = written.unwrap().into_bytes();
        let read = binarypack::decode(cut(&octets, piece), &Limits::default());
        prop_assert_eq!(read, Ok(value));
    }

    #[test]
    fn msgpack_reads_what_it_wrote(value in prop_oneof![any_value(), any_date()], piece in 1_usize..5000) {
        let written = msgpack::encode(&value);
        prop_assert_eq!(&written, &msgpack::encode(value.clone()));
        let octets = written.unwrap().into_bytes();
        let read = msgpack::decode(cut(&octets, piece), &Limits::default());
        prop_assert_eq!(read, Ok(value));
    }

    #[test]
    fn a_date_survives_its_text(value in any_date()) {
        let date = value.as_date().unwrap();
        prop_assert_eq!(date.to_string().parse(), Ok(date));
    }

    #[test]
    fn a_whole_number_is_written_in_one_way(integer in any::<i32>()) {
        let (integer, float) = (Value::from(integer), Value::from(f64::from(integer)));
        prop_assert_eq!(binarypack::encode(&integer), binarypack::encode(&float));
        prop_assert_eq!(msgpack::encode(&integer), msgpack::encode(&float));
    }

    #[test]
    fn no_octets_make_a_value_that_cannot_be_written_again(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        let limits = Limits::default();
        if let Ok(value) = binarypack::decode(octets.clone(), &limits)
            && let Ok(again) = binarypack::encode(&value)
        {
            prop_assert_eq!(binarypack::decode(again, &limits), Ok(value));
        }
        if let Ok(value) = msgpack::decode(octets, &limits) {
            let again = msgpack::decode(msgpack::encode(&value).unwrap(), &limits).unwrap();
            prop_assert_eq!(msgpack::encode(&again), msgpack::encode(&value));
        }
    }
}
