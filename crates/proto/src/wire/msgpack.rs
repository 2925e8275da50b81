//! MessagePack, as PeerJS's optional serializer `MsgPack` has it: values one after another in a stream that is cut into messages anywhere.
//!
//! Written is what `@msgpack/msgpack` 2.8 writes; its extension -1 is a [`Date`], others are the map of `type` and `data` that they are there.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

pub use super::pack::{DecodeError, EncodeError, Limits};
use super::pack::{Decoder, Emit, Format, Head, Kind, Step, Writer, integer_of, text_of, write};
use super::rope::Rope;
use crate::value::{Date, Value};

/// Octets of one channel message at most, when a stock client sends.
pub const MESSAGE_MAX: usize = 32_768;
/// Messages shorter than this are put together while they wait: each alone would cost more than its octets.
const SMALL: usize = 4096;
/// The largest that a number may be, or its negative, to be written as an integer where it is a float.
const SAFE: u64 = (1 << 53) - 1;

/// Packs a value. By value, large texts and octets are moved into the rope; by reference, texts are copied.
///
/// # Errors
/// It is too deep or too long, or [says that its sender closes](is_close).
pub fn encode<'a>(value: impl Into<Cow<'a, Value>>) -> Result<Rope, EncodeError> {
    let value = value.into();
    if is_close(&value) {
        return Err(EncodeError::Reserved);
    }
    let mut writer = Writer::default();
    write::<MessagePack>(&mut writer, value, 0)?;
    Ok(writer.finish())
}

/// Unpacks a message that is one value.
///
/// # Errors
/// It is not one value within the limits.
pub fn decode(message: impl Into<Rope>, limits: &Limits) -> Result<Value, DecodeError> {
    Decoder::whole::<MessagePack>(message.into(), limits)
}

/// What stands before octets that are a value of their own, and are sent as they are read.
///
/// # Errors
/// 2^32 octets or more.
pub fn bytes_head(len: u64) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    MessagePack::bytes_head(&mut writer, len)?;
    Ok(writer.into_tail())
}

/// The word that its sender closes, as a message.
pub const CLOSE: &[u8] = b"\x81\xaa__peerData\x81\xa4type\xa5close";

/// Whether a value is the word that its sender closes (`close({flush: true})`).
pub fn is_close(value: &Value) -> bool {
    super::chunk::is_close(value)
}

/// Reads a stream of values: messages in, values out. What a message brings is looked at once, however the values are cut.
#[derive(Debug)]
pub struct Stream {
    decoder: Decoder,
    input: Rope,
    /// The last of the input, as long as it comes in small messages.
    tail: BytesMut,
    /// Octets without which nothing can be read on.
    need: usize,
    broken: Option<DecodeError>,
}

impl Stream {
    /// An empty stream. The limits are for each value in it.
    pub fn new(limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(limits, false),
            input: Rope::new(),
            tail: BytesMut::new(),
            need: 1,
            broken: None,
        }
    }

    /// Takes the next message. [`poll_value`](Self::poll_value) is to be called until it gives `None`, so that no more than one value is held.
    pub fn handle_message(&mut self, message: Bytes) {
        if self.broken.is_some() {
            return;
        }
        if message.len() >= SMALL {
            self.flush();
            self.input.push(message);
            return;
        }
        self.tail.extend_from_slice(&message);
        if self.tail.len() >= MESSAGE_MAX {
            self.flush();
        }
    }

    /// The next value, if all of it is there.
    ///
    /// # Errors
    /// What comes is no stream of values within the limits. Where the next would begin is then unknown: the error stays, and what comes is dropped.
    pub fn poll_value(&mut self) -> Result<Option<Value>, DecodeError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        if self.input.len() + self.tail.len() < self.need {
            return Ok(None);
        }
        self.flush();
        match self.decoder.step::<MessagePack>(&mut self.input) {
            Ok(Step::Value(value)) => {
                self.need = 1;
                Ok(Some(value))
            }
            Ok(Step::Need(octets)) => {
                self.need = octets;
                Ok(None)
            }
            Err(error) => {
                *self = Self {
                    broken: Some(error),
                    ..Self::new(Limits::default())
                };
                Err(error)
            }
        }
    }

    fn flush(&mut self) {
        self.input.push(self.tail.split().freeze());
    }
}

pub(super) struct MessagePack;

impl Format for MessagePack {
    fn head(first: u8) -> Option<Head> {
        Some(match first {
            0xa0..=0xbf => Head::new(Kind::Text, 0, first & 0x1f),
            0xc4..=0xc6 => Head::new(Kind::Bytes, 1 << (first - 0xc4), 0),
            0xc7..=0xc9 => Head::new(Kind::Extension, 1 << (first - 0xc7), 0),
            0xd4..=0xd8 => Head::new(Kind::Extension, 0, 1 << (first - 0xd4)),
            0xd9..=0xdb => Head::new(Kind::Text, 1 << (first - 0xd9), 0),
            _ => return None,
        })
    }

    fn key(value: &Value) -> Option<String> {
        match value {
            Value::Integer(_) | Value::Unsigned(_) | Value::Float(_) => text_of(value),
            _ => None,
        }
    }

    fn extension(kind: i8, data: Bytes) -> Result<Value, DecodeError> {
        if kind == -1 {
            return timestamp(&data).map(Value::Date).ok_or(DecodeError::Date);
        }
        Ok(Value::from([
            ("type", Value::from(kind)),
            ("data", Value::Bytes(data)),
        ]))
    }
}

fn timestamp(data: &[u8]) -> Option<Date> {
    let (seconds, nanos) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let bits = u64::from_be_bytes(data.try_into().ok()?);
            ((bits & 0x3_ffff_ffff) as i64, (bits >> 34) as u32)
        }
        12 => {
            let (nanos, seconds) = data.split_at(4);
            (
                i64::from_be_bytes(seconds.try_into().ok()?),
                u32::from_be_bytes(nanos.try_into().ok()?),
            )
        }
        _ => return None,
    };
    Date::new(seconds, nanos)
}

impl Emit for MessagePack {
    fn integer(writer: &mut Writer, integer: i64) {
        if writer.integer(integer).is_none() {
            let kind = if integer < 0 { 0xd3 } else { 0xcf };
            writer.wide(kind, integer as u64);
        }
    }

    fn float(writer: &mut Writer, float: f64) -> Result<(), EncodeError> {
        match integer_of(float) {
            Some(Value::Integer(integer)) if integer.unsigned_abs() <= SAFE => {
                Self::integer(writer, integer);
            }
            // All NaNs are one, as in JavaScript.
            _ if float.is_nan() => writer.float(f64::NAN),
            _ => writer.float(float),
        }
        Ok(())
    }

    fn text_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError> {
        writer.length(len, (0xa0, 32), [Some(0xd9), Some(0xda), Some(0xdb)])
    }

    fn bytes_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError> {
        writer.length(len, (0, 0), [Some(0xc4), Some(0xc5), Some(0xc6)])
    }

    fn date(writer: &mut Writer, date: Date) -> Result<(), EncodeError> {
        const TIMESTAMP: u8 = 0xff;
        let (seconds, nanos) = (date.seconds(), date.nanos());
        match u64::try_from(seconds) {
            Ok(seconds) if nanos == 0 && seconds <= u64::from(u32::MAX) => {
                writer.octets(&[0xd6, TIMESTAMP]);
                writer.octets(&(seconds as u32).to_be_bytes());
            }
            Ok(seconds) if seconds <= 0x3_ffff_ffff => {
                writer.octets(&[0xd7, TIMESTAMP]);
                writer.octets(&(u64::from(nanos) << 34 | seconds).to_be_bytes());
            }
            _ => {
                writer.octets(&[0xc7, 12, TIMESTAMP]);
                writer.octets(&nanos.to_be_bytes());
                writer.octets(&seconds.to_be_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_of_a_stream_however_it_is_cut() {
        let values = [
            Value::from([("hello", Value::from("world")), ("n", 1.5.into())]),
            Value::from("text"),
            Value::Null,
            Value::from(vec![7_u8; 70_000]),
            Value::Date(Date::from_millis(1_706_749_261_001)),
        ];
        let mut octets = Vec::new();
        for value in &values {
            octets.extend_from_slice(&encode(value).unwrap().into_bytes());
        }
        for cut in [1, 7, 4095, 4096, 32_768, octets.len()] {
            let mut stream = Stream::new(Limits::default());
            let mut read = Vec::new();
            for message in octets.chunks(cut) {
                stream.handle_message(Bytes::copy_from_slice(message));
                while let Some(value) = stream.poll_value().unwrap() {
                    read.push(value);
                }
            }
            assert_eq!(read, values);
        }
    }

    #[test]
    fn what_came_is_read_once() {
        let large = Value::from(vec![7_u8; 3_000_000]);
        let many: Value = (0..300_000).map(|at| Value::from([("a", at)])).collect();
        for value in [large, many] {
            let mut packed = encode(&value).unwrap();
            let length = packed.len();
            let mut stream = Stream::new(Limits::default());
            while !packed.is_empty() {
                stream.handle_message(packed.split_to(MESSAGE_MAX).into_bytes());
                let read = stream.poll_value().unwrap();
                assert_eq!(read.is_some(), packed.is_empty());
                // What is left is either shorter than a head or a name, or awaits the octets that a head has announced.
                let left = stream.input.len() + stream.tail.len();
                assert!(left < 10 || stream.need > 2_900_000 && stream.need < length);
                assert!(left < stream.need);
            }
        }
    }

    #[test]
    fn small_messages_are_put_together_while_they_wait() {
        let mut stream = Stream::new(Limits::default());
        stream.handle_message(Bytes::from_static(b"\xc6\x00\x10\x00\x00"));
        for _ in 0..1 << 20 {
            assert_eq!(stream.poll_value(), Ok(None));
            stream.handle_message(Bytes::from_static(b"x"));
        }
        assert!(stream.input.pieces().count() <= 33);
        let read = stream.poll_value().unwrap();
        assert_eq!(read, Some(vec![b'x'; 1 << 20].into()));
    }

    #[test]
    fn a_stream_holds_no_more_than_a_value_may_have() {
        let limits = Limits {
            depth: 4,
            octets: 1000,
            items: 100,
        };
        let refusal = |message: &'static [u8]| {
            let mut stream = Stream::new(limits);
            stream.handle_message(Bytes::from_static(message));
            let refusal = stream.poll_value();
            // It stays, and what comes is not kept.
            stream.handle_message(Bytes::from(vec![0; 10_000]));
            stream.handle_message(Bytes::from_static(b"\x01"));
            assert_eq!(stream.poll_value(), refusal);
            assert!(stream.input.is_empty() && stream.tail.is_empty());
            refusal.unwrap_err()
        };
        assert_eq!(refusal(b"\xc6\xff\xff\xff\xff"), DecodeError::TooLong(1000));
        assert_eq!(refusal(b"\xc5\x03\xe6"), DecodeError::TooLong(1000));
        assert_eq!(refusal(b"\xdc\x00\x64"), DecodeError::TooMany(100));
        assert_eq!(refusal(b"\xde\x00\x32"), DecodeError::TooMany(100));
        assert_eq!(refusal(b"\x91\x91\x91\x91\x91"), DecodeError::TooDeep(4));
        assert_eq!(refusal(b"\xdd\xff\xff\xff\xff"), DecodeError::TooLong(1000));
        // The limits are for each value, not for all of them.
        let mut stream = Stream::new(limits);
        for _ in 0..1000 {
            stream.handle_message(Bytes::from_static(b"\x93\x01\x02\x03"));
            assert!(stream.poll_value().unwrap().is_some());
        }
    }

    #[test]
    fn an_announced_length_costs_nothing_until_it_comes() {
        let mut stream = Stream::new(Limits::default());
        // Each of 63 arrays says that it has a thousand.
        let mut message = [0xdc, 0x03, 0xe8].repeat(63);
        message.push(0x01);
        stream.handle_message(message.into());
        assert_eq!(stream.poll_value(), Ok(None));
        assert!(stream.decoder.room() <= 64 * 64);
    }

    #[test]
    fn a_stream_goes_on_after_null() {
        let mut stream = Stream::new(Limits::default());
        stream.handle_message(Bytes::from_static(b"\xc0\x01"));
        assert_eq!(stream.poll_value(), Ok(Some(Value::Null)));
        assert_eq!(stream.poll_value(), Ok(Some(Value::Integer(1))));
        assert_eq!(stream.poll_value(), Ok(None));
    }

    #[test]
    fn a_timestamp_is_read_in_its_three_forms_and_no_other() {
        let read = |octets: &[u8]| decode(octets.to_vec(), &Limits::default());
        let date = |seconds, nanos| Ok(Value::Date(Date::new(seconds, nanos).unwrap()));
        assert_eq!(read(b"\xd6\xff\xff\xff\xff\xff"), date(u32::MAX.into(), 0));
        assert_eq!(
            read(b"\xd7\xff\xee\x6b\x27\xff\xff\xff\xff\xff"),
            date((1 << 34) - 1, 999_999_999)
        );
        assert_eq!(
            read(b"\xc7\x0c\xff\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff"),
            date(-1, 1)
        );
        for wrong in [
            &b"\xc7\x03\xff\x00\x00\x00"[..],
            b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(read(wrong), Err(DecodeError::Date));
        }
    }

    #[test]
    fn another_extension_is_its_type_and_its_octets() {
        let read = decode(b"\xd5\x07ab".to_vec(), &Limits::default()).unwrap();
        assert_eq!(read.get("type"), Some(&Value::Integer(7)));
        assert_eq!(read.get("data"), Some(&Value::from(b"ab")));
    }

    #[test]
    fn an_application_cannot_say_that_it_closes_by_accident() {
        let word = decode(CLOSE.to_vec(), &Limits::default()).unwrap();
        assert!(is_close(&word));
        assert_eq!(encode(&word), Err(EncodeError::Reserved));
    }
}
