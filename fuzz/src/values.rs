//! Values of data connections: BinaryPack, and MessagePack beside another implementation.

use bytes::Bytes;
use peerage_proto::value::{Date, Value};
use peerage_proto::wire::msgpack::Stream;
use peerage_proto::wire::pack::{DecodeError, EncodeError, Limits};
use peerage_proto::wire::rope::Rope;
use peerage_proto::wire::{binarypack, chunk, msgpack};

use crate::script::Script;

const LIMITS: Limits = Limits {
    depth: 64,
    octets: 65_536,
    items: 10_000,
};

/// A message of a `binary` connection: read the same however it lies in memory; what was read, written and read again is the same.
pub fn binarypack(octets: &[u8]) {
    let mut script = Script(octets);
    let piece = usize::from(script.u8()).max(1);
    let message = Bytes::copy_from_slice(script.0);
    let read = binarypack::decode(message.clone(), &LIMITS);
    let pieces: Rope = message.chunks(piece).map(Bytes::copy_from_slice).collect();
    assert_eq!(show(&read), show(&binarypack::decode(pieces, &LIMITS)));
    let parsed = chunk::parse(message, &LIMITS);
    let Ok(value) = read else {
        assert!(parsed.is_err());
        return;
    };
    match binarypack::encode(&value) {
        Ok(again) => {
            assert_eq!(again, binarypack::encode(value.clone()).expect("the same"));
            let again = binarypack::decode(again, &LIMITS);
            assert_eq!(written(&again), written(&Ok::<_, DecodeError>(value)));
        }
        Err(EncodeError::NotANumber | EncodeError::Reserved) => {}
        Err(error) => panic!("{error}"),
    }
    if let Ok(chunk::Incoming::Chunk(slice)) = parsed {
        let again = chunk::parse(slice.emit(), &LIMITS);
        let kept = matches!(&again, Ok(chunk::Incoming::Chunk(again)) if *again == slice);
        // `0` is false in JavaScript, and its map an application's.
        assert!(kept || slice.id == 0, "{slice:?} and {again:?}");
    }
}

/// A stream of values, cut anywhere: read as another implementation reads them, or refused; the same however it was cut.
pub fn msgpack(octets: &[u8]) {
    let mut script = Script(octets);
    let piece = usize::from(script.u8()).max(1);
    let octets = script.0;
    let ours = stream(octets, octets.len().max(1));
    assert_eq!(show(&ours), show(&stream(octets, piece)));
    let mut rest = octets;
    for value in &ours.0 {
        let before = rest;
        let theirs = rmpv::decode::read_value(&mut rest).expect("what is read here is one");
        assert!(same(value, &theirs), "{value:?} and {theirs:?}");
        let message = Bytes::copy_from_slice(&before[..before.len() - rest.len()]);
        let alone = msgpack::decode(message, &LIMITS);
        assert_eq!(show(&alone), show(&Ok::<_, DecodeError>(value.clone())));
        match msgpack::encode(value) {
            Ok(again) => {
                let again = msgpack::decode(again, &LIMITS);
                assert_eq!(
                    written(&again),
                    written(&Ok::<_, DecodeError>(value.clone()))
                );
            }
            Err(EncodeError::Reserved) => assert!(msgpack::is_close(value)),
            Err(error) => panic!("{error}"),
        }
    }
    match ours.1 {
        // They have no limits, and other keys.
        Some(
            DecodeError::TooDeep(_)
            | DecodeError::TooLong(_)
            | DecodeError::TooMany(_)
            | DecodeError::Key
            | DecodeError::Date
            | DecodeError::Utf8,
        ) => {}
        Some(DecodeError::Unassigned(0xc1)) | None => {
            // Theirs takes c1 for nil.
            if ours.1.is_none() {
                assert!(rmpv::decode::read_value(&mut rest).is_err());
            }
        }
        Some(error) => panic!("{error} in a stream"),
    }
}

fn stream(octets: &[u8], piece: usize) -> (Vec<Value>, Option<DecodeError>) {
    let mut stream = Stream::new(LIMITS);
    let mut read = Vec::new();
    for message in octets.chunks(piece) {
        stream.handle_message(Bytes::copy_from_slice(message));
        loop {
            match stream.poll_value() {
                Ok(Some(value)) => read.push(value),
                Ok(None) => break,
                Err(error) => return (read, Some(error)),
            }
        }
    }
    (read, None)
}

/// As [`show`], but for the sign of 0, which is not written.
fn written<T: std::fmt::Debug>(read: &T) -> String {
    show(read).replace("Float(-0.0)", "Integer(0)")
}

/// To compare with, as no NaN is another.
fn show<T: std::fmt::Debug>(read: &T) -> String {
    format!("{read:?}")
}

fn same(ours: &Value, theirs: &rmpv::Value) -> bool {
    use rmpv::Value as Theirs;
    match theirs {
        Theirs::Nil => ours.is_null(),
        Theirs::Boolean(bool) => ours.as_bool() == Some(*bool),
        Theirs::Integer(integer) => match integer.as_i64() {
            Some(integer) => *ours == Value::Integer(integer),
            None => integer.as_u64() == ours.as_u64(),
        },
        Theirs::F32(float) => is_number(ours, f64::from(*float)),
        Theirs::F64(float) => is_number(ours, *float),
        Theirs::String(text) => ours.as_str() == text.as_str(),
        Theirs::Binary(octets) => ours.as_bytes().is_some_and(|ours| ours == octets),
        Theirs::Array(items) => ours.as_array().is_some_and(|ours| {
            ours.len() == items.len() && ours.iter().zip(items).all(|(a, b)| same(a, b))
        }),
        Theirs::Map(members) => ours.as_map().is_some_and(|ours| {
            ours.len() == members.len()
                && ours.iter().zip(members).all(|((key, a), (name, b))| {
                    name.as_str().is_none_or(|name| name == key) && same(a, b)
                })
        }),
        Theirs::Ext(-1, octets) => ours.as_date() == date(octets),
        Theirs::Ext(kind, octets) => {
            ours.get("type") == Some(&Value::from(*kind))
                && ours.get("data") == Some(&Value::from(&octets[..]))
        }
    }
}

fn is_number(ours: &Value, float: f64) -> bool {
    ours.as_f64()
        .is_some_and(|ours| ours == float || ours.is_nan() && float.is_nan())
}

fn date(octets: &[u8]) -> Option<Date> {
    let number = |octets: &[u8]| {
        octets
            .iter()
            .fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet))
    };
    match octets.len() {
        4 => Date::new(number(octets) as i64, 0),
        8 => Date::new(
            number(&octets[3..]) as i64 & 0x3_ffff_ffff,
            number(&octets[..4]) as u32 >> 2,
        ),
        12 => Date::new(number(&octets[4..]) as i64, number(&octets[..4]) as u32),
        _ => None,
    }
}
