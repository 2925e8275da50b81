//! Values from what serde can serialize, and values serialized: as serde_json does it, but that octets stay octets, and moments moments.

use std::fmt::Display;

use bytes::Bytes;
use serde::ser::{
    Error, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct,
    SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
    Serializer,
};

use super::{Date, Value, ValueError};

/// How a [`Date`] says to the serializer and deserializer here that it is one; to all others it is text.
pub(super) const DATE: &str = "$peerage::Date";

impl Value {
    /// What serde_json would make of it, but that octets (`serde_bytes`) stay octets and a [`Date`] a date. A `Vec<u8>` by itself is an array of
    /// numbers, as serde has it.
    ///
    /// # Errors
    /// A map whose keys have no text, a number of more than 64 bits, or what the type itself says.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        value.serialize(ToValue)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Unsigned(integer) => serializer.serialize_u64(*integer),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Date(date) => date.serialize(serializer),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Map(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (key, value)))
            }
        }
    }
}

/// As the text of `Display`, but for [`Value::from_serialize`].
impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DATE, &self.to_string())
    }
}

impl Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Type(message.to_string())
    }
}

struct ToValue;

impl Serializer for ToValue {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    fn serialize_bool(self, bool: bool) -> Result<Value, ValueError> {
        Ok(bool.into())
    }

    fn serialize_i8(self, integer: i8) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_i16(self, integer: i16) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_i32(self, integer: i32) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_i64(self, integer: i64) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_i128(self, integer: i128) -> Result<Value, ValueError> {
        match i64::try_from(integer) {
            Ok(integer) => Ok(integer.into()),
            Err(_) => u64::try_from(integer)
                .map(Value::from)
                .map_err(|_| ValueError::Number(integer.to_string())),
        }
    }

    fn serialize_u8(self, integer: u8) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_u16(self, integer: u16) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_u32(self, integer: u32) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_u64(self, integer: u64) -> Result<Value, ValueError> {
        Ok(integer.into())
    }

    fn serialize_u128(self, integer: u128) -> Result<Value, ValueError> {
        u64::try_from(integer)
            .map(Value::from)
            .map_err(|_| ValueError::Number(integer.to_string()))
    }

    fn serialize_f32(self, float: f32) -> Result<Value, ValueError> {
        Ok(float.into())
    }

    fn serialize_f64(self, float: f64) -> Result<Value, ValueError> {
        Ok(float.into())
    }

    fn serialize_char(self, char: char) -> Result<Value, ValueError> {
        Ok(char.into())
    }

    fn serialize_str(self, text: &str) -> Result<Value, ValueError> {
        Ok(text.into())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        let value = value.serialize(self)?;
        if name == DATE
            && let Some(date) = value.as_str().and_then(|text| text.parse().ok())
        {
            return Ok(Value::Date(date));
        }
        Ok(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        Ok(named(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, ValueError> {
        Ok(Items {
            variant: None,
            items: Vec::with_capacity(len.unwrap_or(0)),
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, ValueError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items, ValueError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items, ValueError> {
        Ok(Items {
            variant: Some(variant),
            items: Vec::with_capacity(len),
        })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Members, ValueError> {
        Ok(Members {
            variant: None,
            members: Vec::with_capacity(len.unwrap_or(0)),
            key: None,
        })
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Members, ValueError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Members, ValueError> {
        Ok(Members {
            variant: Some(variant),
            members: Vec::with_capacity(len),
            key: None,
        })
    }
}

/// What stands for a variant of an enum that has something in it.
fn named(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::from([(variant, value)]),
        None => value,
    }
}

struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl Items {
    fn add<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
        self.items.push(item.serialize(ToValue)?);
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
        Ok(named(self.variant, Value::Array(self.items)))
    }
}

macro_rules! items {
    ($($of:ident $add:ident;)*) => {$(
        impl $of for Items {
            type Ok = Value;
            type Error = ValueError;

            fn $add<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
                self.add(item)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}

items! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

struct Members {
    variant: Option<&'static str>,
    members: Vec<(String, Value)>,
    key: Option<String>,
}

impl Members {
    fn add<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), ValueError> {
        self.members
            .push((key.to_owned(), value.serialize(ToValue)?));
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
        Ok(named(self.variant, Value::Map(self.members)))
    }
}

impl SerializeMap for Members {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Some(key.serialize(ToKey)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = self.key.take().unwrap_or_default();
        self.add(&key, value)
    }

    fn end(self) -> Result<Value, ValueError> {
        self.finish()
    }
}

macro_rules! members {
    ($($of:ident;)*) => {$(
        impl $of for Members {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), ValueError> {
                self.add(key, value)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}

members! {
    SerializeStruct;
    SerializeStructVariant;
}

/// A map's key: text, or what has one form as text.
struct ToKey;

macro_rules! keys {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method(self, key: $type) -> Result<String, ValueError> {
            Ok(key.to_string())
        }
    )*};
}

impl Serializer for ToKey {
    type Ok = String;
    type Error = ValueError;
    type SerializeSeq = Impossible<String, ValueError>;
    type SerializeTuple = Impossible<String, ValueError>;
    type SerializeTupleStruct = Impossible<String, ValueError>;
    type SerializeTupleVariant = Impossible<String, ValueError>;
    type SerializeMap = Impossible<String, ValueError>;
    type SerializeStruct = Impossible<String, ValueError>;
    type SerializeStructVariant = Impossible<String, ValueError>;

    keys! {
        serialize_bool: bool;
        serialize_i8: i8;
        serialize_i16: i16;
        serialize_i32: i32;
        serialize_i64: i64;
        serialize_i128: i128;
        serialize_u8: u8;
        serialize_u16: u16;
        serialize_u32: u32;
        serialize_u64: u64;
        serialize_u128: u128;
        serialize_f32: f32;
        serialize_f64: f64;
        serialize_char: char;
        serialize_str: &str;
    }

    fn serialize_bytes(self, _key: &[u8]) -> Result<String, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_none(self) -> Result<String, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<String, ValueError> {
        key.serialize(self)
    }

    fn serialize_unit(self) -> Result<String, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<String, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<String, ValueError> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        key: &T,
    ) -> Result<String, ValueError> {
        key.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _key: &T,
    ) -> Result<String, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStruct, ValueError> {
        Err(ValueError::Key)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, ValueError> {
        Err(ValueError::Key)
    }
}
