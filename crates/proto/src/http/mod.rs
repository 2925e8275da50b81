//! HTTP over a channel: many exchanges on one ordered, reliable channel (`docs/protocol/http.md`).
//!
//! [`Session`] is one end of a link. It holds the send queues and the receive buffers, all of them bounded, and decides whose turn it is. Its
//! shell moves messages and wakes those who wait:
//!
//! ```text
//! loop {
//!     while channel has room { send(session.poll_transmit()) }        // until None
//!     while let Some(event) = session.poll_event() { wake or begin }  // Closed: close the channel, stop
//!     wait for: a message   -> session.handle_message(message, now)
//!               a command   -> session.open / respond / write / read / reset ..., on behalf of some exchange
//!               the timeout -> session.handle_timeout(now)
//! }
//! ```
//!
//! After every input or command drain both polls to `None` again and re-arm at `poll_timeout`. `poll_transmit` may cause events and the reverse is
//! not true, so transmit first. A channel without room is fine: just do not call `poll_transmit` until it has some.
//!
//! Nothing that a peer sends can panic a session, make it hold more than 64 MiB of bodies, or slow another exchange of the link.

mod error;
mod event;
mod exchange;
mod inbound;
mod liveness;
mod outbound;
mod receive;
mod session;
mod transmit;

pub use error::{CloseReason, Gone, OpenError, SendError};
pub use event::{End, Event, ExchangeId, Incoming};
pub use liveness::{CLOSE_AFTER, PING_AFTER};
pub use outbound::{Framing, SEND_QUEUE};
pub use session::{Config, EXCHANGES, GROWTH, GROWTH_MAX, HEADS, Role, Session, WINDOW};

#[cfg(test)]
mod tests;
