//! What BinaryPack and MessagePack have in common: numbers, arrays, maps, limits. They differ in the type bytes of text and octets.

use std::borrow::Cow;
use std::mem;

use bytes::{Buf, BufMut, Bytes};

use super::rope::Rope;
use crate::value::{Value, whole};

/// Arrays and maps within each other at most, whatever [`Limits`] say: what has a value in hand walks it by recursion.
pub const DEPTH_MAX: usize = 500;
/// From so many octets on, a text or octets are a piece of their own in what was written.
const SHARE: usize = 4096;
/// An array's length is a claim: room for more than this is made only as items come.
const CLAIM: usize = 64;

/// What a message may cost its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and maps within each other. Default 64, at most [`DEPTH_MAX`].
    pub depth: usize,
    /// Octets of one message, or of one value of a stream. Default 256 MiB.
    pub octets: usize,
    /// Values in one message, maps' keys counted as well: of one octet each they become some forty in memory. Default 1,000,000.
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            octets: 256 << 20,
            items: 1_000_000,
        }
    }
}

/// Why a value is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// BinaryPack's readers take NaN for a number.
    #[error("NaN has no form in BinaryPack: send null, or use MessagePack")]
    NotANumber,
    /// The other side would take it for a part of a large message, or for the end of the connection.
    #[error(
        "a map with a member `__peerData` is the protocol's own: rename the member, or put the map into another"
    )]
    Reserved,
    /// Arrays or maps within each other.
    #[error("more than {DEPTH_MAX} arrays or maps within each other")]
    TooDeep,
    /// The formats count with 32 bits.
    #[error("a text, octets, an array or a map of 2^32 or more: send it in parts")]
    TooLong,
}

/// Why octets are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Ends within a value, or names a length beyond its end.
    #[error("the message ends within a value")]
    Truncated,
    /// More follows the value.
    #[error("{0} octets follow the value")]
    Trailing(usize),
    /// A type byte without a meaning.
    #[error("no value begins with {0:#04x}")]
    Unassigned(u8),
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A map's key that is no text and has none.
    #[error("a map's key that is neither text nor a number")]
    Key,
    /// A timestamp of a wrong length, or with a second or more of nanoseconds.
    #[error("a timestamp that is none")]
    Date,
    /// More octets than [`Limits::octets`].
    #[error("more than the {0} octets that a message may have")]
    TooLong(usize),
    /// More than [`Limits::depth`].
    #[error("more than {0} arrays or maps within each other")]
    TooDeep(usize),
    /// More than [`Limits::items`].
    #[error("more than the {0} values that a message may have")]
    TooMany(usize),
    /// A map with `__peerData` that is no slice of a message.
    #[error("a slice of a message that is none: {0}")]
    Slice(&'static str),
}

/// What the type byte of a value says, for both formats or one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Octets of the number or length that follows.
    pub(super) width: usize,
    /// The number or length that the type byte has in itself, where the width is 0.
    pub(super) inline: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Unsigned,
    Signed,
    Float,
    Text,
    Bytes,
    Array,
    Map,
    /// MessagePack's: its type follows the length.
    Extension,
}

impl Head {
    pub(super) fn new(kind: Kind, width: usize, inline: u8) -> Self {
        Self {
            kind,
            width,
            inline,
        }
    }
}

/// One of the two formats.
pub(super) trait Format {
    /// What the type byte says, if only this format says it.
    fn head(first: u8) -> Option<Head>;
    /// A value that is no text as the key of a map.
    fn key(value: &Value) -> Option<String>;
    /// What an extension means.
    fn extension(kind: i8, data: Bytes) -> Result<Value, DecodeError>;
}

fn head<F: Format>(first: u8) -> Result<Head, DecodeError> {
    Ok(match first {
        0x00..=0x7f => Head::new(Kind::Unsigned, 0, first),
        0x80..=0x8f => Head::new(Kind::Map, 0, first & 0x0f),
        0x90..=0x9f => Head::new(Kind::Array, 0, first & 0x0f),
        0xc0 => Head::new(Kind::Null, 0, 0),
        0xc2 | 0xc3 => Head::new(Kind::Bool(first == 0xc3), 0, 0),
        0xca => Head::new(Kind::Float, 4, 0),
        0xcb => Head::new(Kind::Float, 8, 0),
        0xcc..=0xcf => Head::new(Kind::Unsigned, 1 << (first - 0xcc), 0),
        0xd0..=0xd3 => Head::new(Kind::Signed, 1 << (first - 0xd0), 0),
        0xdc | 0xdd => Head::new(Kind::Array, 2 << (first - 0xdc), 0),
        0xde | 0xdf => Head::new(Kind::Map, 2 << (first - 0xde), 0),
        0xe0..=0xff => Head::new(Kind::Signed, 0, first),
        _ => return F::head(first).ok_or(DecodeError::Unassigned(first)),
    })
}

/// Reads one value after another, as far as their octets are there. It remembers what it began: nothing is read twice, and nothing by recursion.
#[derive(Debug)]
pub(super) struct Decoder {
    limits: Limits,
    /// The input is all that there is.
    whole: bool,
    /// Arrays and maps that are begun, the innermost last.
    open: Vec<Open>,
    /// Text, octets or an extension whose octets are awaited.
    leaf: Option<Leaf>,
    /// Values of this message that are begun, and those that its arrays and maps have announced.
    items: usize,
    owed: usize,
    /// Octets of this message that are taken.
    octets: usize,
}

#[derive(Debug)]
enum Open {
    Array {
        items: Vec<Value>,
        left: usize,
    },
    Map {
        members: Vec<(String, Value)>,
        key: Option<String>,
        left: usize,
    },
}

#[derive(Debug, Clone, Copy)]
struct Leaf {
    kind: Kind,
    extension: i8,
    len: usize,
}

#[derive(Debug)]
pub(super) enum Step {
    Value(Value),
    /// Nothing happens until the input has so many octets.
    Need(usize),
}

impl Decoder {
    pub(super) fn new(limits: Limits, whole: bool) -> Self {
        let depth = limits.depth.min(DEPTH_MAX);
        Self {
            limits: Limits { depth, ..limits },
            whole,
            open: Vec::new(),
            leaf: None,
            items: 0,
            owed: 1,
            octets: 0,
        }
    }

    /// Values that there is room for in what is begun.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        let room = self.open.iter().map(|open| match open {
            Open::Array { items, .. } => items.capacity(),
            Open::Map { members, .. } => members.capacity(),
        });
        room.sum()
    }

    /// One value, and nothing after it.
    pub(super) fn whole<F: Format>(mut input: Rope, limits: &Limits) -> Result<Value, DecodeError> {
        if input.len() > limits.octets {
            return Err(DecodeError::TooLong(limits.octets));
        }
        match Self::new(*limits, true).step::<F>(&mut input)? {
            Step::Need(_) => Err(DecodeError::Truncated),
            Step::Value(_) if !input.is_empty() => Err(DecodeError::Trailing(input.len())),
            Step::Value(value) => Ok(value),
        }
    }

    /// Reads on. After an error there is nothing more to be read.
    pub(super) fn step<F: Format>(&mut self, input: &mut Rope) -> Result<Step, DecodeError> {
        loop {
            let value = match self.leaf {
                Some(leaf) if input.len() < leaf.len => return Ok(Step::Need(leaf.len)),
                Some(leaf) => {
                    self.leaf = None;
                    read_leaf::<F>(leaf, input)?
                }
                None => {
                    let mut first = [0];
                    if !input.peek(&mut first) {
                        return Ok(Step::Need(1));
                    }
                    let head = head::<F>(first[0])?;
                    let size = 1 + head.width + usize::from(head.kind == Kind::Extension);
                    if input.len() < size {
                        return Ok(Step::Need(size));
                    }
                    match self.begin(head, size, input)? {
                        Some(value) => value,
                        None => continue,
                    }
                }
            };
            if let Some(value) = self.put::<F>(value)? {
                *self = Self::new(self.limits, self.whole);
                return Ok(Step::Value(value));
            }
        }
    }

    /// Takes the head of a value; gives it, if that is all of it.
    fn begin(
        &mut self,
        head: Head,
        size: usize,
        input: &mut Rope,
    ) -> Result<Option<Value>, DecodeError> {
        let mut octets = [0; 10];
        let octets = &mut octets[..size];
        input.peek(octets);
        input.advance(size);
        self.octets += size;
        self.owed -= 1;
        self.items += 1;
        let number = &octets[1..=head.width];
        let unsigned = match head.width {
            0 => u64::from(head.inline),
            _ => number
                .iter()
                .fold(0, |sum, octet| sum << 8 | u64::from(*octet)),
        };
        let len = usize::try_from(unsigned).unwrap_or(usize::MAX);
        let value = match head.kind {
            Kind::Null => Value::Null,
            Kind::Bool(bool) => Value::Bool(bool),
            Kind::Unsigned => Value::from(unsigned),
            Kind::Signed => {
                let unused = 64 - 8 * head.width.max(1) as u32;
                Value::Integer((unsigned << unused) as i64 >> unused)
            }
            Kind::Float if head.width == 4 => {
                Value::number(f64::from(f32::from_bits(unsigned as u32)))
            }
            Kind::Float => Value::number(f64::from_bits(unsigned)),
            Kind::Text | Kind::Bytes | Kind::Extension => {
                self.claim(len, 0, input)?;
                let extension = if head.kind == Kind::Extension {
                    octets[size - 1] as i8
                } else {
                    0
                };
                self.octets += len;
                self.leaf = Some(Leaf {
                    kind: head.kind,
                    extension,
                    len,
                });
                return Ok(None);
            }
            Kind::Array => {
                self.open(len, input)?;
                if len == 0 {
                    return Ok(Some(Value::Array(Vec::new())));
                }
                self.open.push(Open::Array {
                    items: Vec::with_capacity(len.min(CLAIM)),
                    left: len,
                });
                return Ok(None);
            }
            Kind::Map => {
                self.open(len.saturating_mul(2), input)?;
                if len == 0 {
                    return Ok(Some(Value::Map(Vec::new())));
                }
                self.open.push(Open::Map {
                    members: Vec::with_capacity(len.min(CLAIM)),
                    key: None,
                    left: len,
                });
                return Ok(None);
            }
        };
        self.claim(0, 0, input)?;
        Ok(Some(value))
    }

    fn open(&mut self, values: usize, input: &Rope) -> Result<(), DecodeError> {
        if self.open.len() >= self.limits.depth {
            return Err(DecodeError::TooDeep(self.limits.depth));
        }
        self.claim(0, values, input)
    }

    /// A head announces octets, or values of an octet each at least: refuses at once what cannot be or may not be.
    fn claim(&mut self, octets: usize, values: usize, input: &Rope) -> Result<(), DecodeError> {
        self.owed = self.owed.saturating_add(values);
        let still = self.owed.saturating_add(octets);
        if self.whole && still > input.len() {
            return Err(DecodeError::Truncated);
        }
        if self.octets.saturating_add(still) > self.limits.octets {
            return Err(DecodeError::TooLong(self.limits.octets));
        }
        if self.items.saturating_add(self.owed) > self.limits.items {
            return Err(DecodeError::TooMany(self.limits.items));
        }
        Ok(())
    }

    /// Puts a value where it belongs; gives it back if it is the message.
    fn put<F: Format>(&mut self, mut value: Value) -> Result<Option<Value>, DecodeError> {
        loop {
            let left = match self.open.last_mut() {
                None => return Ok(Some(value)),
                Some(Open::Array { items, left }) => {
                    items.push(value);
                    left
                }
                Some(Open::Map { members, key, left }) => match key.take() {
                    Some(key) => {
                        members.push((key, value));
                        left
                    }
                    None => {
                        *key = Some(match value {
                            Value::Text(text) => text,
                            value => F::key(&value).ok_or(DecodeError::Key)?,
                        });
                        return Ok(None);
                    }
                },
            };
            *left -= 1;
            if *left > 0 {
                return Ok(None);
            }
            value = match self.open.pop() {
                Some(Open::Array { items, .. }) => Value::Array(items),
                Some(Open::Map { members, .. }) => Value::Map(members),
                None => return Ok(None),
            };
        }
    }
}

fn read_leaf<F: Format>(leaf: Leaf, input: &mut Rope) -> Result<Value, DecodeError> {
    match leaf.kind {
        Kind::Text => String::from_utf8(input.take_vec(leaf.len))
            .map(Value::Text)
            .map_err(|_| DecodeError::Utf8),
        Kind::Extension => F::extension(leaf.extension, input.take_bytes(leaf.len)),
        _ => Ok(Value::Bytes(input.take_bytes(leaf.len))),
    }
}

/// A number, `null` or a truth value as JavaScript makes text of it.
pub(super) fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Unsigned(integer) => integer.to_string(),
        Value::Float(float) => match float.abs() {
            0.0 => "0".to_owned(),
            size if size.is_infinite() => if *float > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }
            .to_owned(),
            size if size >= 1e21 => format!("{float:e}").replace('e', "e+"),
            size if size < 1e-6 => format!("{float:e}"),
            _ => float.to_string(),
        },
        _ => return None,
    })
}

/// What was written: short things one after the other, long ones as pieces of their own.
#[derive(Debug, Default)]
pub(super) struct Writer {
    rope: Rope,
    tail: Vec<u8>,
}

impl Writer {
    pub(super) fn finish(mut self) -> Rope {
        self.flush();
        self.rope
    }

    pub(super) fn with_capacity(octets: usize) -> Self {
        Self {
            rope: Rope::new(),
            tail: Vec::with_capacity(octets),
        }
    }

    /// What was written, of which nothing was long.
    pub(super) fn into_tail(self) -> Vec<u8> {
        self.tail
    }

    fn flush(&mut self) {
        self.rope.push(Bytes::from(mem::take(&mut self.tail)));
    }

    pub(super) fn buf(&mut self, octets: impl Buf) {
        self.tail.put(octets);
    }

    /// A number that counts.
    pub(super) fn unsigned(&mut self, number: u64) {
        match i64::try_from(number) {
            Ok(integer) if self.integer(integer).is_some() => {}
            Ok(_) => self.wide(0xd3, number),
            Err(_) => self.wide(0xcf, number),
        }
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.tail.put_slice(octets);
    }

    /// The octets of a leaf.
    pub(super) fn leaf(&mut self, leaf: Bytes) {
        if leaf.len() < SHARE {
            self.octets(&leaf);
        } else {
            self.flush();
            self.rope.push(leaf);
        }
    }

    /// An integer of up to 32 bits and a sign, as both formats write it; `None` leaves wider ones to the format.
    pub(super) fn integer(&mut self, integer: i64) -> Option<()> {
        let tail = &mut self.tail;
        match integer {
            -32..=127 => tail.put_i8(integer as i8),
            128..=0xff => tail.put_slice(&[0xcc, integer as u8]),
            -0x80..=-33 => tail.put_slice(&[0xd0, integer as u8]),
            0x100..=0xffff => {
                tail.put_u8(0xcd);
                tail.put_u16(integer as u16);
            }
            -0x8000..=-0x81 => {
                tail.put_u8(0xd1);
                tail.put_i16(integer as i16);
            }
            0x1_0000..=0xffff_ffff => {
                tail.put_u8(0xce);
                tail.put_u32(integer as u32);
            }
            -0x8000_0000..=-0x8001 => {
                tail.put_u8(0xd2);
                tail.put_i32(integer as i32);
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn wide(&mut self, kind: u8, bits: u64) {
        self.tail.put_u8(kind);
        self.tail.put_u64(bits);
    }

    pub(super) fn float(&mut self, float: f64) {
        self.wide(0xcb, float.to_bits());
    }

    /// A length behind the first type byte whose width holds it; `short` is the type byte that has it in itself, up to a limit.
    pub(super) fn length(
        &mut self,
        len: u64,
        (short, below): (u8, u64),
        wider: [Option<u8>; 3],
    ) -> Result<(), EncodeError> {
        let tail = &mut self.tail;
        match (len, wider) {
            (len, _) if len < below => tail.put_u8(short | len as u8),
            (0..=0xff, [Some(kind), _, _]) => tail.put_slice(&[kind, len as u8]),
            (0..=0xffff, [_, Some(kind), _]) => {
                tail.put_u8(kind);
                tail.put_u16(len as u16);
            }
            (0..=0xffff_ffff, [_, _, Some(kind)]) => {
                tail.put_u8(kind);
                tail.put_u32(len as u32);
            }
            _ => return Err(EncodeError::TooLong),
        }
        Ok(())
    }

    pub(super) fn array(&mut self, len: usize) -> Result<(), EncodeError> {
        self.length(len as u64, (0x90, 16), [None, Some(0xdc), Some(0xdd)])
    }

    pub(super) fn map(&mut self, len: usize) -> Result<(), EncodeError> {
        self.length(len as u64, (0x80, 16), [None, Some(0xde), Some(0xdf)])
    }
}

/// One of the two formats, to be written.
pub(super) trait Emit {
    fn integer(writer: &mut Writer, integer: i64);
    fn float(writer: &mut Writer, float: f64) -> Result<(), EncodeError>;
    fn text_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError>;
    fn bytes_head(writer: &mut Writer, len: u64) -> Result<(), EncodeError>;
    fn date(writer: &mut Writer, date: crate::value::Date) -> Result<(), EncodeError>;
}

/// Writes a value. Octets are shared with it; texts are moved out of one that is owned, and copied otherwise.
pub(super) fn write<E: Emit>(
    writer: &mut Writer,
    value: Cow<'_, Value>,
    depth: usize,
) -> Result<(), EncodeError> {
    let inner = match depth {
        DEPTH_MAX => Err(EncodeError::TooDeep),
        depth => Ok(depth + 1),
    };
    match value {
        Cow::Owned(Value::Text(text)) => {
            E::text_head(writer, text.len() as u64)?;
            writer.leaf(Bytes::from(text));
        }
        Cow::Owned(Value::Array(items)) => {
            let inner = inner?;
            writer.array(items.len())?;
            for item in items {
                write::<E>(writer, Cow::Owned(item), inner)?;
            }
        }
        Cow::Owned(Value::Map(members)) => {
            let inner = inner?;
            writer.map(members.len())?;
            for (key, value) in members {
                write_text::<E>(writer, &key)?;
                write::<E>(writer, Cow::Owned(value), inner)?;
            }
        }
        Cow::Borrowed(Value::Array(items)) => {
            let inner = inner?;
            writer.array(items.len())?;
            for item in items {
                write::<E>(writer, Cow::Borrowed(item), inner)?;
            }
        }
        Cow::Borrowed(Value::Map(members)) => {
            let inner = inner?;
            writer.map(members.len())?;
            for (key, value) in members {
                write_text::<E>(writer, key)?;
                write::<E>(writer, Cow::Borrowed(value), inner)?;
            }
        }
        value => match &*value {
            Value::Null => writer.octets(&[0xc0]),
            Value::Bool(bool) => writer.octets(&[0xc2 | u8::from(*bool)]),
            Value::Integer(integer) => E::integer(writer, *integer),
            Value::Unsigned(integer) => match i64::try_from(*integer) {
                Ok(integer) => E::integer(writer, integer),
                Err(_) => writer.wide(0xcf, *integer),
            },
            Value::Float(float) => E::float(writer, *float)?,
            Value::Text(text) => write_text::<E>(writer, text)?,
            Value::Bytes(bytes) => {
                E::bytes_head(writer, bytes.len() as u64)?;
                writer.leaf(bytes.clone());
            }
            Value::Date(date) => E::date(writer, *date)?,
            Value::Array(_) | Value::Map(_) => {}
        },
    }
    Ok(())
}

pub(super) fn write_text<E: Emit>(writer: &mut Writer, text: &str) -> Result<(), EncodeError> {
    E::text_head(writer, text.len() as u64)?;
    if text.len() < SHARE {
        writer.octets(text.as_bytes());
    } else {
        writer.leaf(Bytes::copy_from_slice(text.as_bytes()));
    }
    Ok(())
}

/// The integer that both formats write in a whole float's place.
pub(super) fn integer_of(float: f64) -> Option<Value> {
    whole(float).map(|_| match Value::number(float) {
        Value::Float(_) => Value::Integer(0),
        integer => integer,
    })
}

#[cfg(test)]
mod tests;
