//! Values and JSON.

use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use super::{Value, ValueError};

impl Value {
    /// The value as JSON text, members in their order. A [`Date`](super::Date) becomes text, as in JavaScript.
    ///
    /// # Errors
    /// There are octets in it, or a number that JSON does not have.
    pub fn to_json(&self) -> Result<String, ValueError> {
        // What serde_json says of an error is text alone.
        self.check_json()?;
        serde_json::to_string(&Json(self)).map_err(|error| ValueError::Type(error.to_string()))
    }

    /// Reads JSON text. Of members with one name the last counts.
    ///
    /// # Errors
    /// It is no JSON, or nested more than 127 times.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    fn check_json(&self) -> Result<(), ValueError> {
        match self {
            Self::Bytes(_) => Err(ValueError::Bytes),
            Self::Float(float) if !float.is_finite() => Err(ValueError::Number(float.to_string())),
            Self::Array(items) => items.iter().try_for_each(Self::check_json),
            Self::Map(members) => members.iter().try_for_each(|(_, value)| value.check_json()),
            _ => Ok(()),
        }
    }
}

/// A value as it stands in JSON text.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Integer(integer) => serializer.serialize_i64(*integer),
            Value::Unsigned(integer) => serializer.serialize_u64(*integer),
            Value::Float(float) => serializer.serialize_f64(*float),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(_) => Err(S::Error::custom(ValueError::Bytes)),
            Value::Date(date) => serializer.collect_str(date),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Json)),
            Value::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Json(value))?;
                }
                map.end()
            }
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Bool(bool),
            serde_json::Value::Number(number) => {
                if let Some(integer) = number.as_i64() {
                    Self::Integer(integer)
                } else if let Some(integer) = number.as_u64() {
                    Self::Unsigned(integer)
                } else {
                    // Without arbitrary precision there is nothing else.
                    Self::Float(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => items.into_iter().collect(),
            serde_json::Value::Object(members) => Self::Map(
                members
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
        }
    }
}

impl TryFrom<Value> for serde_json::Value {
    type Error = ValueError;

    /// A [`Date`](super::Date) becomes text, as in JavaScript.
    fn try_from(value: Value) -> Result<Self, ValueError> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(bool),
            Value::Integer(integer) => integer.into(),
            Value::Unsigned(integer) => integer.into(),
            Value::Float(float) => match serde_json::Number::from_f64(float) {
                Some(number) => Self::Number(number),
                None => return Err(ValueError::Number(float.to_string())),
            },
            Value::Text(text) => Self::String(text),
            Value::Bytes(_) => return Err(ValueError::Bytes),
            Value::Date(date) => Self::String(date.to_string()),
            Value::Array(items) => Self::Array(
                items
                    .into_iter()
                    .map(Self::try_from)
                    .collect::<Result<_, _>>()?,
            ),
            Value::Map(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(key, value)| Ok((key, Self::try_from(value)?)))
                    .collect::<Result<_, ValueError>>()?,
            ),
        })
    }
}
