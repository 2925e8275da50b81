//! What an application sends and receives, whatever the serialization.

mod date;
mod de;
mod json;
mod ser;

use std::borrow::Cow;

use bytes::Bytes;

pub use date::{Date, DateError};

/// A value, as JavaScript has them: what every serialization of a data connection can carry, and some of them not quite.
///
/// Numbers are equal when they are the same number: JavaScript has one type for them, so `2.0` is written as `2` and arrives as
/// [`Integer`](Self::Integer). Whoever reads one calls [`as_i64`](Self::as_i64) or [`as_f64`](Self::as_f64) and need not care.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `null`, and `undefined`, which no serialization keeps apart.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. Browsers hold those within ±2^53; beyond, theirs is the nearest that they can hold.
    Integer(i64),
    /// A whole number above `i64::MAX`; smaller ones are [`Integer`](Self::Integer).
    Unsigned(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Octets: an `ArrayBuffer` or `Uint8Array`. A clone shares them.
    Bytes(Bytes),
    /// A moment. MessagePack has them; BinaryPack and JSON carry the text of [`Date`]'s `Display`, and text it arrives as.
    Date(Date),
    /// Values in order.
    Array(Vec<Value>),
    /// Members in the order they were written in. Of two with one name the last counts ([`get`](Self::get)).
    Map(Vec<(String, Value)>),
}

/// Why a value is not what it was asked to become.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// JSON has no octets.
    #[error("octets have no form in JSON: send them as binary, or as text in base64")]
    Bytes,
    /// JSON has neither infinity nor NaN; no value has an integer of more than 64 bits.
    #[error("no form for the number {0}")]
    Number(String),
    /// The key of a map is neither text nor a number, `bool` or unit variant.
    #[error("a map's key that is no text")]
    Key,
    /// A type says that it is something else.
    #[error("{0}")]
    Type(String),
}

impl Value {
    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The number, if it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Unsigned(integer) => i64::try_from(*integer).ok(),
            Self::Float(float) => whole(*float).and_then(|whole| i64::try_from(whole).ok()),
            _ => None,
        }
    }

    /// The number, if it is whole, not negative, and fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(integer) => u64::try_from(*integer).ok(),
            Self::Unsigned(integer) => Some(*integer),
            Self::Float(float) => whole(*float).and_then(|whole| u64::try_from(whole).ok()),
            _ => None,
        }
    }

    /// The number; beyond ±2^53 the nearest that there is.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(integer) => Some(*integer as f64),
            Self::Unsigned(integer) => Some(*integer as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The octets, if it is octets.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The moment, if it is one.
    pub fn as_date(&self) -> Option<Date> {
        match self {
            Self::Date(date) => Some(*date),
            _ => None,
        }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if it is a map.
    pub fn as_map(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The member of a map; of several with the name the last. Looks at all of them: who asks often builds a map of their own.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let members = self.as_map()?.iter().rev();
        let found = members.into_iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }

    /// The item of an array.
    pub fn get_index(&self, index: usize) -> Option<&Self> {
        self.as_array()?.get(index)
    }

    /// A float in the one form that a number has: whole ones are integers, but for `-0.0`.
    pub(crate) fn number(float: f64) -> Self {
        match whole(float) {
            Some(0) if float.is_sign_negative() => Self::Float(float),
            Some(whole) => match i64::try_from(whole) {
                Ok(integer) => Self::Integer(integer),
                Err(_) => u64::try_from(whole).map_or(Self::Float(float), Self::Unsigned),
            },
            None => Self::Float(float),
        }
    }
}

/// The whole number that a float is, if it is one from -2^63 up to 2^64.
pub(crate) fn whole(float: f64) -> Option<i128> {
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    const END: f64 = 18_446_744_073_709_551_616.0;
    ((LEAST..END).contains(&float) && float.fract() == 0.0).then_some(float as i128)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            _ => matches!((self.integer(), other.integer()), (Some(a), Some(b)) if a == b),
        }
    }
}

impl Value {
    fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(integer) => Some(i128::from(*integer)),
            Self::Unsigned(integer) => Some(i128::from(*integer)),
            Self::Float(float) => whole(*float),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($type:ty: $name:ident => $value:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($name: $type) -> Self {
                $value
            }
        }
    )*};
}

from! {
    (): _unit => Self::Null;
    bool: bool => Self::Bool(bool);
    i8: integer => Self::Integer(i64::from(integer));
    i16: integer => Self::Integer(i64::from(integer));
    i32: integer => Self::Integer(i64::from(integer));
    i64: integer => Self::Integer(integer);
    u8: integer => Self::Integer(i64::from(integer));
    u16: integer => Self::Integer(i64::from(integer));
    u32: integer => Self::Integer(i64::from(integer));
    u64: integer => i64::try_from(integer).map_or(Self::Unsigned(integer), Self::Integer);
    isize: integer => Self::Integer(integer as i64);
    usize: integer => Self::from(integer as u64);
    f32: float => Self::Float(f64::from(float));
    f64: float => Self::Float(float);
    &str: text => Self::Text(text.to_owned());
    String: text => Self::Text(text);
    char: char => Self::Text(char.to_string());
    Bytes: bytes => Self::Bytes(bytes);
    Vec<u8>: bytes => Self::Bytes(Bytes::from(bytes));
    &[u8]: bytes => Self::Bytes(Bytes::copy_from_slice(bytes));
    Date: date => Self::Date(date);
    Vec<Value>: items => Self::Array(items);
    Vec<(String, Value)>: members => Self::Map(members);
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(&bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Value {
    fn from(members: [(K, V); N]) -> Self {
        let members = members.map(|(key, value)| (key.into(), value.into()));
        Self::Map(members.into())
    }
}

/// For what takes a value or a reference to one.
impl From<Value> for Cow<'_, Value> {
    fn from(value: Value) -> Self {
        Self::Owned(value)
    }
}

/// For what takes a value or a reference to one.
impl<'a> From<&'a Value> for Cow<'a, Value> {
    fn from(value: &'a Value) -> Self {
        Self::Borrowed(value)
    }
}

#[cfg(test)]
mod serde_tests;
#[cfg(test)]
mod tests;
