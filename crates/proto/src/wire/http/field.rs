//! Header and trailer fields, and the rules that make smuggling impossible.

use bytes::{BufMut, Bytes, BytesMut};

use super::HeadError;
use super::reader::Reader;

/// Fields of one head at most.
pub const FIELDS_MAX: usize = 128;
/// Octets of a field's name at most.
pub const NAME_MAX: usize = 256;

/// One header or trailer field.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Lower-case token.
    pub name: Box<str>,
    /// Octets 09, 20 to 7e, 80 to ff, with no white space at either end.
    pub value: Bytes,
}

/// Values may be secrets (cookies, tokens): only their length is shown.
impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ({} octets)", self.name, self.value.len())
    }
}

/// Fields in the order in which they were sent; a name may come several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

/// Which head the fields stand in: some are allowed in one and not in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Interim,
    Trailers,
}

/// Hop by hop (RFC 9110 section 7.6.1), or decided by the owner: these never travel.
const NEVER: [&str; 11] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a trailer could change after the head was acted upon (RFC 9110 section 6.5.1).
const NEVER_IN_TRAILERS: [&str; 7] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "set-cookie",
];

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a field as it is; [`super::Head::emit`] checks it.
    pub fn push(&mut self, name: impl Into<Box<str>>, value: impl Into<Bytes>) {
        self.0.push(Field {
            name: name.into(),
            value: value.into(),
        });
    }

    /// The first value under this (lower-case) name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|field| &*field.name == name)
            .map(|field| &field.value)
    }

    /// Whether fields of this name may travel at all (section 4): senders leave the others out.
    pub fn travels(name: &str) -> bool {
        !NEVER.contains(&name)
    }

    /// Whether fields of this name may travel as trailers.
    pub fn travels_in_trailers(name: &str) -> bool {
        Self::travels(name) && !NEVER_IN_TRAILERS.contains(&name)
    }

    /// The body's length as `content-length` states it; the value was checked when the head was parsed or emitted.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.get("content-length")?)
            .ok()?
            .parse()
            .ok()
    }

    pub(super) fn parse(reader: &mut Reader, place: Place) -> Result<Self, HeadError> {
        let count = usize::from(reader.u16().ok_or(HeadError::Truncated)?);
        if count > FIELDS_MAX {
            return Err(HeadError::TooLarge);
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.text().ok_or(HeadError::Truncated)?;
            let value = reader.text().ok_or(HeadError::Truncated)?;
            let name = std::str::from_utf8(&name)
                .map_err(|_| HeadError::Name)?
                .into();
            fields.push(Field { name, value });
        }
        let fields = Self(fields);
        fields.check(place)?;
        Ok(fields)
    }

    pub(super) fn emit(&self, place: Place, into: &mut BytesMut) -> Result<(), HeadError> {
        if self.0.len() > FIELDS_MAX {
            return Err(HeadError::TooLarge);
        }
        self.check(place)?;
        into.put_u16(self.0.len() as u16);
        for Field { name, value } in &self.0 {
            into.put_u16(name.len() as u16);
            into.put_slice(name.as_bytes());
            into.put_u16(u16::try_from(value.len()).map_err(|_| HeadError::TooLarge)?);
            into.put_slice(value);
        }
        Ok(())
    }

    fn check(&self, place: Place) -> Result<(), HeadError> {
        let mut lengths = 0;
        for Field { name, value } in &self.0 {
            if !is_name(name) {
                return Err(HeadError::Name);
            }
            if !is_value(value) {
                return Err(HeadError::Value);
            }
            if !Self::travels(name)
                || (place == Place::Trailers && NEVER_IN_TRAILERS.contains(&&**name))
            {
                return Err(HeadError::Forbidden);
            }
            if &**name == "content-length" {
                lengths += 1;
                let digits =
                    (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
                if place == Place::Interim || lengths > 1 || !digits {
                    return Err(HeadError::ContentLength);
                }
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|octet| is_token(octet) && !octet.is_ascii_uppercase())
}

fn is_value(value: &[u8]) -> bool {
    let white = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    !white(value.first())
        && !white(value.last())
        && value
            .iter()
            .all(|octet| matches!(octet, b'\t' | 0x20..=0x7e | 0x80..))
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(octet: u8) -> bool {
    matches!(
        octet,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || octet.is_ascii_alphanumeric()
}
