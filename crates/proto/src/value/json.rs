//! Values and JSON.

use super::{Value, ValueError};

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
