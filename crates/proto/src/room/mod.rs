//! One room: who is in it, who is host, who says what to whom ([`Room`], the hub's machine), and one member's view of it ([`Member`]).
//!
//! Feed one input, drain [`Room::poll_output`] to `None`, re-arm at [`Room::poll_timeout`]. Never blocks; no input can panic it. The shell owns the connections: it
//! hands over what they say and does what the outputs ask for, in their order.
//!
//! Two kinds of members share a room: those of `docs/protocol/rooms.md`, and PeerPyRTC's clients. Each message is written once for each kind, however many get it,
//! and [`Output::Send`] names its receivers by a list that is shared: what the machine does for a message does not grow with the room.
//!
//! `now` is time since 1970, as members are told when others joined; it must never go backwards, so a shell reads the wall clock once and adds what a monotonic one says.

mod acks;
mod machine;
pub mod member;
mod native;
mod old;
mod presence;
mod relay;
mod seat;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::wire::room::{Body, Json, LeftReason, MemberNumber, Name, RefusedCode, Said};

pub use machine::Room;
pub use member::Member;

/// Limits and times of a [`Room`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Members at a time, those among them whose place is held. Default 1,000. One more takes the place that was held longest, or is refused `full`.
    pub members: usize,
    /// Most octets of a member's message. Default 64 KiB. A longer one is the end of its sender's connection, `protocol`.
    pub message: usize,
    /// Messages a second of one member, in the long run. Default 200. Above it, and [`Config::burst`], what is fast is dropped, and anything else is the end of the
    /// connection, `rate`.
    pub rate: u32,
    /// Messages of one member at once. Default 500.
    pub burst: u32,
    /// Octets of all members' metadata. Default 1 MiB: a newcomer gets all of it. Half of it is divided evenly among [`Config::members`], and nobody takes its part
    /// from another; the other half is for who has more. Above, a newcomer or a change takes what those have whose place is only held, or is refused `full`.
    pub metadata: usize,
    /// Messages that are kept for who comes back. Default 1,000. The oldest goes.
    pub kept_messages: usize,
    /// Octets of these, 64 more counted for each. Default 1 MiB. The oldest go. What waits for one connection in the shell must be allowed more, with the list of
    /// members on top: who comes back gets all of it at once, and would be too slow again.
    pub kept_octets: usize,
    /// Their age. Default 60 s.
    pub kept_for: Duration,
    /// How long a native member's place is held for its token after its connection is gone. Default 60 s.
    pub hold: Duration,
    /// After what time of it others are told that it left. Default 10 s. Those that were silent before they were lost are told of at once.
    pub away: Duration,
    /// How long a native member may take to say HELLO. Default 10 s.
    pub hello_within: Duration,
    /// How long an old client may take to say `PEER_JOIN`; then it has joined without. Default 500 ms.
    pub join_within: Duration,
    /// Messages of one member that wait for answers. Default 256. One more is delivered, and its sender told that nobody is waited for.
    pub acks: usize,
    /// Answers that these wait for in the room; one member's may wait for a quarter. Default 65,536. Overflow as above.
    pub answers: usize,
    /// How long answers are waited for. Default 60 s.
    pub ack_within: Duration,
    /// What the shell wants to know of messages. Default nothing.
    pub tap: Tap,
    /// Messages of one member that wait for verdicts. Default 64. One more is the end of its connection, `rate`; a fast one is dropped.
    pub pending_messages: usize,
    /// Octets of these. Default 256 KiB. Overflow as above.
    pub pending_octets: usize,
    /// How long a verdict is waited for. Default 5 s.
    pub verdict_within: Duration,
    /// What becomes of a message without verdict. Default [`Unjudged::Relay`].
    pub unjudged: Unjudged,
    /// How long who was put out may not come back under its name. Default 60 s.
    pub barred_for: Duration,
    /// Names that are barred at a time. Default 1,000. The oldest may come again.
    pub barred: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            members: 1_000,
            message: 64 * 1024,
            rate: 200,
            burst: 500,
            metadata: 1024 * 1024,
            kept_messages: 1_000,
            kept_octets: 1024 * 1024,
            kept_for: Duration::from_secs(60),
            hold: Duration::from_secs(60),
            away: Duration::from_secs(10),
            hello_within: Duration::from_secs(10),
            join_within: Duration::from_millis(500),
            acks: 256,
            answers: 65_536,
            ack_within: Duration::from_secs(60),
            tap: Tap::Nothing,
            pending_messages: 64,
            pending_octets: 256 * 1024,
            verdict_within: Duration::from_secs(5),
            unjudged: Unjudged::Relay,
            barred_for: Duration::from_secs(60),
            barred: 1_000,
        }
    }
}

/// What a shell wants to know of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// Nothing but what is for the hub alone.
    Nothing,
    /// Each, as it is relayed.
    Tell,
    /// Each, before: it is relayed by [`Room::handle_verdict`].
    Moderate,
}

/// What becomes of a message for which no verdict comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unjudged {
    /// It is relayed.
    Relay,
    /// It is dropped.
    Drop,
}

/// The shell's name for one connection; never used again within a room's life. A shell may well put its own index into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey(pub u64);

/// What a member speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `docs/protocol/rooms.md`: its channel is called `peerage-room`.
    Native,
    /// PeerPyRTC's JSON, or anything: its channel is called otherwise.
    Legacy,
}

/// A channel of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The one that every member has.
    Reliable,
    /// The one that may lose and reorder. Where a connection has none the shell takes the other; where it is full, nothing.
    Fast,
}

/// A message of a channel. Cloning it is free.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text message.
    Text(ByteString),
    /// A binary message.
    Bytes(Bytes),
}

impl Payload {
    /// Octets.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Without any octet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Without what it says.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({})", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// Its client said goodbye elsewhere than in the channel.
    Left,
    /// The other side closed it.
    Ended,
    /// Nothing was heard of it for too long.
    Lost,
    /// It did not take what was sent to it.
    Slow,
}

/// Names a message that waits for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is relayed as it came.
    Relay,
    /// It is not; who wanted answers is told.
    Drop,
    /// It is relayed with this instead of what it carried.
    Replace(Body),
}

/// To whom the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendTo<'a> {
    /// Everybody.
    All,
    /// One member.
    One(&'a Name),
    /// Everybody but this one.
    AllBut(&'a Name),
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this message to these connections.
    Send {
        /// Them.
        to: Recipients,
        /// The message.
        payload: Payload,
        /// By which of their channels.
        way: Way,
    },
    /// Close the connection after what was sent before. What it still says counts for nothing, nor need its end be reported.
    Close {
        /// It.
        conn: ConnKey,
        /// Why.
        why: Closing,
    },
    /// This happened.
    Told(Told),
}

/// Why a room closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closing {
    /// Its member said goodbye.
    Left,
    /// It was put out, or not let in. A native member has been told.
    Refused(RefusedCode),
}

/// Receivers of a message.
#[derive(Clone)]
pub struct Recipients {
    conns: Conns,
    except: Option<ConnKey>,
}

#[derive(Clone)]
enum Conns {
    One(ConnKey),
    Shared(Arc<Vec<ConnKey>>),
}

impl Recipients {
    /// Each once.
    pub fn iter(&self) -> impl Iterator<Item = ConnKey> + '_ {
        let conns = match &self.conns {
            Conns::One(conn) => std::slice::from_ref(conn),
            Conns::Shared(conns) => conns.as_slice(),
        };
        let except = self.except;
        conns.iter().copied().filter(move |it| Some(*it) != except)
    }

    pub(crate) fn one(conn: ConnKey) -> Self {
        Self {
            conns: Conns::One(conn),
            except: None,
        }
    }
}

impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Recipients {}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|it| it.0)).finish()
    }
}

/// What happened in a room, for handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A member came.
    Joined {
        /// Its name.
        name: Name,
        /// What it speaks.
        kind: Kind,
        /// What it says of itself.
        metadata: Json,
        /// When.
        joined: Duration,
    },
    /// A member is gone.
    Left {
        /// Its name.
        name: Name,
        /// How.
        reason: LeftReason,
        /// What it said of itself.
        metadata: Json,
        /// When it came.
        joined: Duration,
    },
    /// The host is another; none when the room is empty.
    Host(Option<Name>),
    /// A member says something else of itself.
    Metadata {
        /// Its name.
        name: Name,
        /// What.
        metadata: Json,
    },
    /// A member said something. With [`Tap::Moderate`] it waits for its verdict.
    Message(Incoming),
    /// With [`Tap::Moderate`]: a message is relayed, as it was judged. Those of one sender come in their order, whenever they were judged.
    Relayed(Incoming),
}

/// A message of a member's, for handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Who: the connection's own name, whatever the message says.
    pub from: Name,
    /// To whom.
    pub to: Addressed,
    /// What. What an old client said that is no event and no chat message is one here: its JSON, its text as a JSON string, its octets.
    pub said: Said,
    /// Whether it may be lost on its way.
    pub fast: bool,
    /// With [`Tap::Moderate`]: the name under which it is, or was, judged.
    pub ticket: Option<Ticket>,
}

/// To whom a member speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressed {
    /// Everybody else.
    Others,
    /// The hub.
    Hub,
    /// These, as far as they are there.
    Members(Vec<Name>),
}

/// What is known of a member.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Stands for it in frames.
    pub number: MemberNumber,
    /// What it speaks.
    pub kind: Kind,
    /// What it says of itself.
    pub metadata: &'a Json,
    /// When it joined.
    pub joined: Duration,
    /// When it said something the last time.
    pub seen: Duration,
    /// Whether it is the host.
    pub is_host: bool,
    /// Whether nothing is heard of it just now.
    pub is_suspected: bool,
}

/// What a room did not pass on, since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Messages that name another as their sender.
    pub forged: u64,
    /// `HOST_CHANGE` of old clients.
    pub host_changes: u64,
    /// `ROOM_STATE` of old clients.
    pub room_states: u64,
    /// Messages of old clients to a target that is not there.
    pub unaddressed: u64,
    /// Events to native members under a name that is the room's own.
    pub reserved: u64,
    /// Fast messages above the rate.
    pub rate: u64,
    /// Messages that were judged so.
    pub judged: u64,
    /// Messages that were not judged in time.
    pub unjudged: u64,
}
