//! How rooms fail.

use std::time::Duration;

use peerage_proto::wire::room::{NameError, RefusedCode};

use super::Answers;
use crate::CloseReason;

/// A room could not be joined, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The URL of the server is not one.
    #[error("`{0}` is not the URL of a server: give http(s)://host[:port]")]
    Url(String),
    /// The room's or the member's name cannot be one.
    #[error("`{name}` cannot be a name: {error}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// The metadata cannot be written as JSON, or has more than 16 KiB.
    #[error("the metadata cannot be used: {0}")]
    Metadata(String),
    /// The server's name has no address, none of its addresses answered, or what answered is no hub.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The TLS handshake failed: an unknown certificate, most likely.
    #[error("no secure connection to the server: {0}")]
    Tls(String),
    /// The server refuses the request, or has no rooms.
    #[error("the server refused ({status}): {error}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its own words.
        error: String,
    },
    /// The hub has no place for another connection now.
    #[error("the server has no place for another member now")]
    Busy(Option<Duration>),
    /// Server and member agreed to talk, and no path between them was found.
    #[error("no network path leads to the server's rooms: a firewall drops UDP, most likely")]
    NoRoute,
    /// It took too long.
    #[error("the room did not answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection to the room broke: {0}")]
    Lost(CloseReason),
    /// The hub has put this member out, or does not let it in.
    #[error("{}", refused(*.0))]
    Hub(RefusedCode),
    /// The engine failed, or what the hub said is no answer to it.
    #[error("no connection can be made: {0}")]
    Engine(String),
    /// The application has left.
    #[error("the room was left")]
    Over,
}

/// Something could not be said in a room. Nobody heard it, the room goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The room is over.
    #[error("the room is over")]
    Closed,
    /// The event's name is the room's own, or has not 1 to 256 octets.
    #[error("`{0}` cannot be an event's name")]
    EventName(String),
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Json(String),
    /// It is longer than a message may be, 64 KiB with all that goes with it; metadata 16 KiB.
    #[error("a message has at most 64 KiB")]
    TooLarge,
    /// Nothing that waited to be sent went out for half a minute, and there is no room for more.
    #[error("too much waits to be sent")]
    Overflow,
    /// It is for more than 1,024 members, or for none.
    #[error("a message is for 1 to 1,024 members, or for all")]
    Receivers,
    /// None of its receivers is there.
    #[error("`{0}` is not in the room")]
    NoSuchMember(String),
}

/// There is no answer, or not every one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// It could not be said.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Not all have answered in time.
    #[error("not every member has answered in time")]
    Timeout {
        /// What was answered by then.
        answers: Answers,
    },
    /// The one who was asked is not there.
    #[error("there is no such member")]
    NoSuchMember,
    /// The one who was asked has left, or lost the question with its connection.
    #[error("the member has left")]
    Left,
    /// The server's moderation did not let the question pass.
    #[error("the server did not let it pass")]
    Dropped,
    /// The one who was asked is an old client, which cannot answer.
    #[error("the member cannot answer")]
    Mute,
    /// The room has ended.
    #[error("the room is over")]
    Closed,
}

fn refused(code: RefusedCode) -> &'static str {
    match code {
        RefusedCode::Version => "the server speaks another version of the rooms' protocol",
        RefusedCode::NameTaken => "the name is somebody else's in this room",
        RefusedCode::Full => "the room is full",
        RefusedCode::Kicked => "the server has put this member out",
        RefusedCode::Slow => "this member did not take what was sent to it",
        RefusedCode::Protocol => "the server did not understand this member",
        RefusedCode::Closed => "the server has closed the room",
        RefusedCode::Rate => "this member said too much at once",
        RefusedCode::Replaced => "this member joined from elsewhere",
    }
}
