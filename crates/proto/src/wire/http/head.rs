//! Head blocks: requests, responses, interim responses and trailers.

use bytes::{BufMut, Bytes, BytesMut};

use super::field::{Fields, Place, is_token};
use super::reader::Reader;
use super::{DATA_MAX, ResetCode};

/// Octets of a head block at most.
pub const HEAD_MAX: usize = 65_536;
/// HEAD frames of a block at most.
pub const HEAD_FRAMES_MAX: usize = 8;
/// Octets of a method at most.
pub const METHOD_MAX: usize = 32;
/// Octets of a TCP stream's name at most.
pub const STREAM_NAME_MAX: usize = 128;

const _: () = assert!(
    HEAD_MAX <= HEAD_FRAMES_MAX * DATA_MAX,
    "a whole block fits into its frames"
);

/// What begins an exchange.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// Kind 0: an HTTP request.
    Http {
        /// A token, case-sensitive; neither `CONNECT` nor `TRACE`.
        method: Box<str>,
        /// Origin-form: `/…`, with or without a query.
        path: Box<str>,
        /// Header fields.
        fields: Fields,
    },
    /// Kind 1: a WebSocket.
    WebSocket {
        /// Origin-form.
        path: Box<str>,
        /// Header fields; subprotocols in `sec-websocket-protocol`.
        fields: Fields,
    },
    /// Kind 2: a TCP stream that the owner configured under this name.
    Tcp {
        /// Never a host and port.
        name: Box<str>,
    },
}

/// Paths and queries may hold secrets: they are not shown.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http { method, fields, .. } => f
                .debug_struct("Http")
                .field("method", method)
                .field("fields", fields)
                .finish_non_exhaustive(),
            Self::WebSocket { fields, .. } => f
                .debug_struct("WebSocket")
                .field("fields", fields)
                .finish_non_exhaustive(),
            Self::Tcp { name } => f.debug_struct("Tcp").field("name", name).finish(),
        }
    }
}

/// A whole head block.
///
/// ```text
/// +------+----------------+--------------+--------+-------------+------------+--------------
/// | kind | method (kind 0) | path (0, 1) | name (2) | status (16, 17) | count u16 | name, value ...
/// +------+----------------+--------------+--------+-------------+------------+--------------
/// ```
/// Every text is `u16 BE length ‖ octets`; kind 2 has no fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Kinds 0 to 2.
    Request(Request),
    /// Kind 16.
    Response {
        /// 200 to 599, or 101 for an accepted WebSocket.
        status: u16,
        /// Header fields.
        fields: Fields,
    },
    /// Kind 17: any number (of up to eight) before the response.
    Interim {
        /// 102 to 199: 100 and 101 stay on each hop.
        status: u16,
        /// Header fields.
        fields: Fields,
    },
    /// Kind 18: after the body.
    Trailers(Fields),
}

/// Which rule of section 4 a head breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The block ends too early.
    #[error("the head block ends too early")]
    Truncated,
    /// The block goes on after its end.
    #[error("octets are left over after the head block")]
    LeftOver,
    /// No such kind of head.
    #[error("unknown kind of head")]
    Kind,
    /// No token of 1 to 32 octets, or one of those that do not exist here.
    #[error("a method that is not allowed")]
    Method,
    /// Not in origin-form, or an octet that does not belong there.
    #[error("a path that is not allowed")]
    Path,
    /// A stream's name that is empty, too long or not of visible ASCII.
    #[error("a stream name that is not allowed")]
    Stream,
    /// Out of the range of its kind.
    #[error("a status that is not allowed")]
    Status,
    /// No lower-case token of 1 to 256 octets.
    #[error("a field name that is not allowed")]
    Name,
    /// A control character, or white space at an end.
    #[error("a field value that is not allowed")]
    Value,
    /// A field that never travels, or not in trailers.
    #[error("a field that may not be sent here")]
    Forbidden,
    /// Twice, not a number, or where there is no body.
    #[error("a content-length that is not allowed")]
    ContentLength,
    /// More than 65,536 octets or 128 fields.
    #[error("the head is too large")]
    TooLarge,
}

impl HeadError {
    /// The name in vectors and in other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::LeftOver => "left-over",
            Self::Kind => "kind",
            Self::Method => "method",
            Self::Path => "path",
            Self::Stream => "stream",
            Self::Status => "status",
            Self::Name => "name",
            Self::Value => "value",
            Self::Forbidden => "forbidden",
            Self::ContentLength => "content-length",
            Self::TooLarge => "too-large",
        }
    }

    /// What the exchange is reset with.
    pub fn code(self) -> ResetCode {
        match self {
            Self::TooLarge => ResetCode::TooLarge,
            _ => ResetCode::Malformed,
        }
    }
}

impl Head {
    /// Reads a whole block. Fields are slices of it.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn parse(block: Bytes) -> Result<Self, HeadError> {
        if block.len() > HEAD_MAX {
            return Err(HeadError::TooLarge);
        }
        let mut reader = Reader(block);
        let head = match reader.u8().ok_or(HeadError::Truncated)? {
            0 => {
                let method = text(&mut reader, HeadError::Method)?;
                let path = text(&mut reader, HeadError::Path)?;
                Self::Request(Request::Http {
                    method,
                    path,
                    fields: Fields::parse(&mut reader, Place::Head)?,
                })
            }
            1 => {
                let path = text(&mut reader, HeadError::Path)?;
                Self::Request(Request::WebSocket {
                    path,
                    fields: Fields::parse(&mut reader, Place::Head)?,
                })
            }
            2 => Self::Request(Request::Tcp {
                name: text(&mut reader, HeadError::Stream)?,
            }),
            16 => Self::Response {
                status: reader.u16().ok_or(HeadError::Truncated)?,
                fields: Fields::parse(&mut reader, Place::Head)?,
            },
            17 => Self::Interim {
                status: reader.u16().ok_or(HeadError::Truncated)?,
                fields: Fields::parse(&mut reader, Place::Interim)?,
            },
            18 => Self::Trailers(Fields::parse(&mut reader, Place::Trailers)?),
            _ => return Err(HeadError::Kind),
        };
        head.check()?;
        if reader.is_empty() {
            Ok(head)
        } else {
            Err(HeadError::LeftOver)
        }
    }

    /// Writes the block, after the same checks as [`Head::parse`].
    ///
    /// # Errors
    /// The rule that is broken; nothing can be sent then.
    pub fn emit(&self) -> Result<Bytes, HeadError> {
        self.check()?;
        let mut into = BytesMut::with_capacity(256);
        match self {
            Self::Request(Request::Http {
                method,
                path,
                fields,
            }) => {
                into.put_u8(0);
                put_text(&mut into, method)?;
                put_text(&mut into, path)?;
                fields.emit(Place::Head, &mut into)?;
            }
            Self::Request(Request::WebSocket { path, fields }) => {
                into.put_u8(1);
                put_text(&mut into, path)?;
                fields.emit(Place::Head, &mut into)?;
            }
            Self::Request(Request::Tcp { name }) => {
                into.put_u8(2);
                put_text(&mut into, name)?;
            }
            Self::Response { status, fields } => {
                into.put_u8(16);
                into.put_u16(*status);
                fields.emit(Place::Head, &mut into)?;
            }
            Self::Interim { status, fields } => {
                into.put_u8(17);
                into.put_u16(*status);
                fields.emit(Place::Interim, &mut into)?;
            }
            Self::Trailers(fields) => {
                into.put_u8(18);
                fields.emit(Place::Trailers, &mut into)?;
            }
        }
        if into.len() > HEAD_MAX {
            Err(HeadError::TooLarge)
        } else {
            Ok(into.freeze())
        }
    }

    /// The rules for everything but the fields, which check themselves.
    fn check(&self) -> Result<(), HeadError> {
        let (holds, error) = match self {
            Self::Request(Request::Http { method, path, .. }) => {
                if !is_method(method) {
                    return Err(HeadError::Method);
                }
                (is_path(path), HeadError::Path)
            }
            Self::Request(Request::WebSocket { path, .. }) => (is_path(path), HeadError::Path),
            Self::Request(Request::Tcp { name }) => (
                (1..=STREAM_NAME_MAX).contains(&name.len())
                    && name.bytes().all(|octet| octet.is_ascii_graphic()),
                HeadError::Stream,
            ),
            Self::Response { status, .. } => (matches!(status, 101 | 200..=599), HeadError::Status),
            Self::Interim { status, .. } => (matches!(status, 102..=199), HeadError::Status),
            Self::Trailers(_) => return Ok(()),
        };
        if holds { Ok(()) } else { Err(error) }
    }
}

fn text(reader: &mut Reader, error: HeadError) -> Result<Box<str>, HeadError> {
    let octets = reader.text().ok_or(HeadError::Truncated)?;
    Ok(std::str::from_utf8(&octets).map_err(|_| error)?.into())
}

fn put_text(into: &mut BytesMut, text: &str) -> Result<(), HeadError> {
    into.put_u16(u16::try_from(text.len()).map_err(|_| HeadError::TooLarge)?);
    into.put_slice(text.as_bytes());
    Ok(())
}

fn is_method(method: &str) -> bool {
    (1..=METHOD_MAX).contains(&method.len())
        && method.bytes().all(is_token)
        && !matches!(method, "CONNECT" | "TRACE")
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(pairs: &[(&str, &'static str)]) -> Fields {
        let mut fields = Fields::new();
        pairs
            .iter()
            .for_each(|(name, value)| fields.push(*name, value.as_bytes()));
        fields
    }

    #[test]
    fn what_parse_refuses_emit_refuses() {
        for bad in [
            Head::Request(Request::Http {
                method: "TRACE".into(),
                path: "/".into(),
                fields: fields(&[]),
            }),
            Head::Request(Request::Http {
                method: "GET".into(),
                path: "*".into(),
                fields: fields(&[]),
            }),
            Head::Request(Request::WebSocket {
                path: "ws://x/".into(),
                fields: fields(&[]),
            }),
            Head::Request(Request::Tcp { name: "a b".into() }),
            Head::Response {
                status: 199,
                fields: fields(&[]),
            },
            Head::Response {
                status: 200,
                fields: fields(&[("transfer-encoding", "chunked")]),
            },
            Head::Response {
                status: 200,
                fields: fields(&[("content-length", "1"), ("content-length", "2")]),
            },
            Head::Interim {
                status: 103,
                fields: fields(&[("content-length", "1")]),
            },
            Head::Trailers(fields(&[("set-cookie", "a=b")])),
            Head::Trailers(Fields(vec![
                super::super::Field {
                    name: "a".into(),
                    value: Bytes::new()
                };
                129
            ])),
        ] {
            assert!(bad.emit().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_head_of_just_the_largest_size_passes() {
        let value = "x".repeat(HEAD_MAX - 16);
        let mut fields = Fields::new();
        fields.push("a", value.into_bytes());
        let request = Request::Http {
            method: "GET".into(),
            path: "/".into(),
            fields,
        };
        let block = Head::Request(request).emit().expect("fits");
        assert_eq!(block.len(), HEAD_MAX);
        assert!(Head::parse(block).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_what_passes_is_emitted_as_it_came(kind in prop_oneof![0u8..4, 15u8..20], rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let block: Bytes = std::iter::once(kind).chain(rest).collect();
            if let Ok(head) = Head::parse(block.clone()) {
                prop_assert_eq!(head.emit(), Ok(block));
            }
        }

        #[test]
        fn damage_to_a_good_head_never_panics(at in 0usize..60, by in 1u8..) {
            let fields = fields(&[("content-length", "5"), ("accept", "*/*")]);
            let good = Head::Request(Request::Http { method: "POST".into(), path: "/a?b".into(), fields });
            let mut block = BytesMut::from(&good.emit().expect("good")[..]);
            let at = at % block.len();
            block[at] ^= by;
            let block = block.freeze();
            if let Ok(head) = Head::parse(block.clone()) {
                prop_assert_eq!(head.emit(), Ok(block));
            }
        }
    }
}
