//! HTTP over a channel (`docs/protocol/http.md`): frames, the hello, head blocks and reset codes.
//!
//! Everything here checks in both directions: what [`Head::emit`] refuses, [`Head::parse`] refuses too, so neither end can be used to smuggle a
//! request past the other.

mod code;
mod field;
mod frame;
mod head;
mod hello;
mod reader;

pub use code::{ResetCode, Retry};
pub use field::{FIELDS_MAX, Field, Fields, NAME_MAX};
pub use frame::{DATA_MAX, Frame, Frames, HEADER, MESSAGE_MAX, Violation};
pub use head::{HEAD_FRAMES_MAX, HEAD_MAX, Head, HeadError, METHOD_MAX, Request, STREAM_NAME_MAX};
pub use hello::Hello;
