//! Messages of a `binary` connection: values, slices of values that are too large for one message, and the word that the sender closes.
//!
//! A slice is a map of BinaryPack with four members:
//!
//! ```text
//! 84  ba "__peerData" id  b1 "n" index  b4 "data" octets  b5 "total" slices
//! ```

use bytes::{Buf, Bytes};

use super::binarypack::{self, BinaryPack, DecodeError, Limits};
use super::pack::{Emit, Writer};
use super::rope::Rope;
use crate::value::Value;

/// Octets of a slice, but for the last of a message. What has no more goes as it is.
pub const SLICE: usize = 16_300;
/// The member that makes a map one of the protocol's.
pub(super) const PEER_DATA: &str = "__peerData";
/// The word that the sender closes, as a message.
pub const CLOSE: &[u8] = b"\x81\xba__peerData\x81\xb4type\xb5close";

/// A slice of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Which message, among those of this sender on this connection. Stock clients count from 1.
    pub id: u64,
    /// Which slice, from 0.
    pub index: u32,
    /// How many slices.
    pub total: u32,
    /// The slice.
    pub data: Bytes,
}

impl Chunk {
    /// Writes the message.
    pub fn emit(&self) -> Vec<u8> {
        emit(self.id, self.index, self.total, self.data.clone())
    }
}

/// Writes the message of a slice, whose octets may lie in several pieces. Nobody reads 2^32 octets of them or more: they are cut off.
pub fn emit(id: u64, index: u32, total: u32, data: impl Buf) -> Vec<u8> {
    let len = u32::try_from(data.remaining()).unwrap_or(u32::MAX);
    let mut writer = Writer::with_capacity(len as usize + 64);
    writer.octets(b"\x84\xba__peerData");
    writer.unsigned(id);
    writer.octets(b"\xb1n");
    writer.unsigned(u64::from(index));
    writer.octets(b"\xb4data");
    // A length of 32 bits is none that fails.
    let _ = BinaryPack::bytes_head(&mut writer, u64::from(len));
    writer.buf(data.take(len as usize));
    writer.octets(b"\xb5total");
    writer.unsigned(u64::from(total));
    writer.into_tail()
}

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A value for the application.
    Value(Value),
    /// A slice of one.
    Chunk(Chunk),
    /// The sender closes.
    Close,
}

/// Reads a message: one of the channel's, or one that was put together from slices, which should be no slice again.
///
/// As for the stock client, a map with a `__peerData` that is true in JavaScript is never the application's.
///
/// # Errors
/// As [`binarypack::decode`]; and a slice without its members, or with others than numbers and octets in them.
pub fn parse(message: impl Into<Rope>, limits: &Limits) -> Result<Incoming, DecodeError> {
    let value = binarypack::decode(message, limits)?;
    if !value.get(PEER_DATA).is_some_and(is_true) {
        return Ok(Incoming::Value(value));
    }
    if is_close(&value) {
        return Ok(Incoming::Close);
    }
    let number = |name| value.get(name).and_then(Value::as_u64);
    let small = |name| number(name).and_then(|number| u32::try_from(number).ok());
    let id = number(PEER_DATA).ok_or(DecodeError::Slice("`__peerData` is no whole number"))?;
    let index = small("n").ok_or(DecodeError::Slice("`n` is no whole number of 32 bits"))?;
    let total =
        small("total").ok_or(DecodeError::Slice("`total` is no whole number of 32 bits"))?;
    let data = value.get("data").and_then(Value::as_bytes);
    let data = data.ok_or(DecodeError::Slice("`data` are no octets"))?;
    Ok(Incoming::Chunk(Chunk {
        id,
        index,
        total,
        data: data.clone(),
    }))
}

pub(super) fn is_close(value: &Value) -> bool {
    let word = value.get(PEER_DATA).and_then(|inner| inner.get("type"));
    word.and_then(Value::as_str) == Some("close")
}

/// JavaScript's truth.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Integer(integer) => *integer != 0,
        Value::Float(float) => *float != 0.0 && !float.is_nan(),
        Value::Text(text) => !text.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Result<Incoming, DecodeError> {
        parse(octets.to_vec(), &Limits::default())
    }

    #[test]
    fn a_slice_survives_the_wire() {
        for (id, index, total, len) in [
            (1, 0, 2, 16_300),
            (128, 255, 307, 15),
            (u64::MAX, u32::MAX, u32::MAX, 0),
        ] {
            let chunk = Chunk {
                id,
                index,
                total,
                data: vec![1; len].into(),
            };
            assert_eq!(read(&chunk.emit()), Ok(Incoming::Chunk(chunk)));
        }
    }

    #[test]
    fn the_word_that_closes_is_heard() {
        assert_eq!(read(CLOSE), Ok(Incoming::Close));
    }

    #[test]
    fn null_as_a_whole_message_is_a_value() {
        for octet in [0xc0, 0xc1] {
            assert_eq!(read(&[octet]), Ok(Incoming::Value(Value::Null)));
        }
    }

    #[test]
    fn what_is_false_in_javascript_makes_no_slice() {
        let message = b"\x81\xba__peerData\x00";
        let value = Value::from([("__peerData", 0)]);
        assert_eq!(read(message), Ok(Incoming::Value(value)));
    }

    #[test]
    fn a_slice_that_is_none_is_refused() {
        for message in [
            &b"\x81\xba__peerData\xb1x"[..],
            b"\x81\xba__peerData\x01",
            b"\x84\xba__peerData\x01\xb1n\xff\xb4data\xa0\xb5total\x01",
            b"\x84\xba__peerData\x01\xb1n\x00\xb4data\xb0\xb5total\x01",
        ] {
            assert!(matches!(read(message), Err(DecodeError::Slice(_))));
        }
    }

    #[test]
    fn an_applications_map_is_never_sent_as_a_slice() {
        let value = Value::from([("__peerData", 1)]);
        let reserved = Err(binarypack::EncodeError::Reserved);
        assert_eq!(binarypack::encode(value.clone()), reserved);
        assert!(binarypack::encode(Value::from([("inner", value)])).is_ok());
    }
}
