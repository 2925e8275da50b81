//! What a session tells its shell.

use std::fmt;

use bytes::Bytes;

use super::CloseReason;
use crate::wire::http::{Fields, Hello, Request, ResetCode};

/// Names an exchange on its link: odd if the caller began it, even if the callee did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub(super) u32);

impl ExchangeId {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened on the link. After `Ended` or `Reset` an exchange's id is never heard of again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer's hello: features and limits are known now.
    Hello(Hello),
    /// The peer began an exchange.
    Opened {
        /// The new exchange.
        id: ExchangeId,
        /// What it asks for.
        request: Request,
        /// There is no body: nothing to read.
        end: bool,
    },
    /// An interim response (1xx) to an exchange of ours.
    Interim {
        /// An exchange of ours.
        id: ExchangeId,
        /// 102 to 199.
        status: u16,
        /// Its fields.
        fields: Fields,
    },
    /// The response to an exchange of ours.
    Response {
        /// An exchange of ours.
        id: ExchangeId,
        /// 200 to 599, or 101.
        status: u16,
        /// Its fields.
        fields: Fields,
        /// There is no body: nothing to read.
        end: bool,
    },
    /// [`super::Session::read`] has something after it had nothing.
    Readable {
        /// The exchange.
        id: ExchangeId,
    },
    /// [`super::Session::write`] takes octets again after it had refused some.
    Writable {
        /// The exchange.
        id: ExchangeId,
    },
    /// The peer does not need the rest of what we send; what it sent is complete and remains to be read.
    Stopped {
        /// An exchange of ours.
        id: ExchangeId,
    },
    /// Both directions ended well and everything was read.
    Ended {
        /// The exchange.
        id: ExchangeId,
    },
    /// The exchange broke off. Nothing of it is left to be read.
    Reset {
        /// The exchange.
        id: ExchangeId,
        /// Why.
        code: ResetCode,
        /// The peer said so; else this side found a fault, or the link closed.
        by_peer: bool,
    },
    /// The peer drains: new requests need another link.
    Draining,
    /// The session is over: close the channel. The last event.
    Closed(CloseReason),
}

/// What [`super::Session::read`] takes from an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Octets of a body, stream or WebSocket message; empty only for the end of an empty message.
    Data {
        /// The octets.
        bytes: Bytes,
        /// Last part of a WebSocket message.
        fin: bool,
        /// That message is text.
        text: bool,
    },
    /// The last that is read of an exchange.
    End(End),
}

/// How a direction of an exchange ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    /// Nothing follows.
    #[default]
    Plain,
    /// Trailers follow the body.
    Trailers(Fields),
    /// A WebSocket closes: empty, or `u16 BE close code ‖ reason` in 2 to 125 octets (RFC 6455 section 5.5.1).
    Close(Bytes),
}
