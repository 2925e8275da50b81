//! BinaryPack: how PeerJS packs values by default. One value is one message.
//!
//! ```text
//! 00-7f  integer      80-8f  map      90-9f  array    a0-af  octets    b0-bf  text    c0  null    c1  undefined    c2 c3  false, true
//! ca cb  float        cc-cf  unsigned 8-64            d0-d3  signed 8-64              d4-d7  undefined
//! d8 d9  text 16, 32  da db  octets 16, 32            dc dd  array 16, 32             de df  map 16, 32               e0-ff  integer
//! ```
//!
//! Written is what the stock client writes, but for what its own reader gets wrong: whole numbers below -2^31 go as floats where those hold
//! them, and dates as ISO 8601.

use std::borrow::Cow;

use bytes::Bytes;

use super::chunk::PEER_DATA;
pub use super::pack::{DecodeError, EncodeError, Limits};
use super::pack::{
    Decoder, Emit, Format, Head, Kind, Writer, integer_of, text_of, write, write_text,
};
use super::rope::Rope;
use crate::value::{Date, Value};

/// Packs a value. By value, large texts and octets are moved into the rope; by reference, texts are copied.
///
/// # Errors
/// NaN, for which there is no form; a map with `__peerData`, which is the protocol's; what is too deep or too long.
pub fn encode<'a>(value: impl Into<Cow<'a, Value>>) -> Result<Rope, EncodeError> {
    let value = value.into();
    if value.get(PEER_DATA).is_some() {
        return Err(EncodeError::Reserved);
    }
    let mut writer = Writer::default();
    write::<BinaryPack>(&mut writer, value, 0)?;
    Ok(writer.finish())
}

/// Unpacks a message.
///
/// # Errors
/// It is not one value within the limits. What no stock client sends is refused, also where it would guess.
pub fn decode(message: impl Into<Rope>, limits: &Limits) -> Result<Value, DecodeError> {
    Decoder::whole::<BinaryPack>(message.into(), limits)
}

/// What stands before octets that are a value of their own, and are sent as they are read.
///
/// # Errors
/// 2^32 octets or more.
pub fn bytes_head(len: u64) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    BinaryPack::bytes_head(&mut writer, len)?;
    Ok(writer.into_tail())
}

pub(super) struct BinaryPack;

impl Format for BinaryPack {
    fn head(first: u8) -> Option<Head> {
        Some(match first {
            0xa0..=0xaf => Head::new(Kind::Bytes, 0, first & 0x0f),
            0xb0..=0xbf => Head::new(Kind::Text, 0, first & 0x0f),
            // Undefined.
            0xc1 | 0xd4..=0xd7 => Head::new(Kind::Null, 0, 0),
            0xd8 | 0xd9 => Head::new(Kind::Text, 2 << (first - 0xd8), 0),
            0xda | 0xdb => Head::new(Kind::Bytes, 2 << (first - 0xda), 0),
            _ => return None,
        })
    }

    fn key(value: &Value) -> Option<String> {
        text_of(value)
    }

    fn extension(_kind: i8, _data: Bytes) -> Result<Value, DecodeError> {
        // No head is one.
        Err(DecodeError::Unassigned(0xc7))
    }
}

impl Emit for BinaryPack {
    fn integer(writer: &mut Writer, integer: i64) {
        if writer.integer(integer).is_some() {
            return;
        }
        let float = integer as f64;
        if integer < 0 && float as i128 == i128::from(integer) {
            // The stock reader rounds d3 below -2^31 to a multiple of 2048; floats it reads well.
            writer.float(float);
        } else {
            writer.wide(0xd3, integer as u64);
        }
    }

    fn float(writer: &mut Writer, float: f64) -> Result<(), EncodeError> {
        match integer_of(float) {
            _ if float.is_nan() => return Err(EncodeError::NotANumber),
            Some(Value::Integer(integer)) => Self::integer(writer, integer),
            Some(Value::Unsigned(integer)) => writer.wide(0xcf, integer),
            _ => writer.float(float),
        }
        Ok(())
    }

    fn text_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError> {
        writer.length(len, (0xb0, 16), [None, Some(0xd8), Some(0xd9)])
    }

    fn bytes_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError> {
        writer.length(len, (0xa0, 16), [None, Some(0xda), Some(0xdb)])
    }

    fn date(writer: &mut Writer, date: Date) -> Result<(), EncodeError> {
        write_text::<Self>(writer, &date.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(value: Value) -> Vec<u8> {
        let rope = encode(value).unwrap();
        rope.into_bytes().to_vec()
    }

    fn unpacked(octets: &[u8]) -> Result<Value, DecodeError> {
        decode(octets.to_vec(), &Limits::default())
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let value = Value::from([
            ("hello", Value::from("world")),
            ("n", 1.5.into()),
            ("big", (-3_000_000_000_i64).into()),
            ("bytes", Value::from(b"123")),
            ("list", [1, -1, 300, 70_000].into_iter().collect()),
            ("none", Value::Null),
        ]);
        assert_eq!(unpacked(&packed(value.clone())), Ok(value.clone()));
        assert_eq!(encode(&value), encode(value));
    }

    #[test]
    fn octets_and_text_are_moved_not_copied() {
        let (text, bytes) = ("x".repeat(10_000), Bytes::from(vec![7; 10_000]));
        let (at, bytes_at) = (text.as_ptr(), bytes.as_ptr());
        let value: Value = [Value::from(text), Value::from(bytes)]
            .into_iter()
            .collect();
        let rope = encode(value).unwrap();
        let pieces: Vec<_> = rope.pieces().map(|piece| piece.as_ptr()).collect();
        assert!(pieces.contains(&at) && pieces.contains(&bytes_at));
    }
}
