//! What the hub says to a member.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{Reader, Writer, text};
use super::{
    Body, Epoch, FROM_HUB_MAX, FrameError, Json, MemberNumber, NAME_MAX, Name, Said, VERSION, flags,
};

const WELCOME: u8 = 129;
const JOINED: u8 = 130;
const LEFT: u8 = 131;
const HOST: u8 = 132;
const METADATA: u8 = 133;
const MESSAGE: u8 = 134;
const ACK: u8 = 135;
const UNACKED: u8 = 136;
const PING: u8 = 137;
const REFUSED: u8 = 138;
const MEMBERS: u8 = 139;
const ASKED: u8 = 140;
const HEARD: u8 = 141;

/// A frame from the hub to a member. Where it has a `seq`, that is its place in the room's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromHub {
    /// The answer to HELLO: you are in.
    Welcome(Welcome),
    /// More of the list that WELCOME began.
    Members(Members),
    /// A member came.
    Joined {
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        member: Entry,
    },
    /// A member is gone.
    Left {
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        member: MemberNumber,
        /// How.
        reason: LeftReason,
    },
    /// The host is another.
    Host {
        /// Its place in the room's order.
        seq: u64,
        /// Who; nobody in a room that only a server speaks in.
        member: Option<MemberNumber>,
    },
    /// A member says something else of itself.
    Metadata {
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        member: MemberNumber,
        /// What.
        metadata: Json,
    },
    /// A message.
    Message(Message),
    /// An answer to a message of this member's.
    Ack(Answered),
    /// There will be no answer.
    Unacked {
        /// The number of the message.
        ack: u64,
        /// From whom; none: from anybody.
        from: Option<MemberNumber>,
        /// Why.
        reason: UnackedReason,
    },
    /// Of these the answers to a message to everybody are awaited.
    Asked {
        /// The number of the message.
        ack: u64,
        /// Who got it and can answer.
        members: Vec<MemberNumber>,
    },
    /// So many of this member's counted frames have come: they need not be kept.
    Heard(u64),
    /// To be answered with a PONG of the same octets.
    Ping([u8; 8]),
    /// The hub closes the channel.
    Refused(RefusedCode),
}

/// What a member that comes in learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Of this room, to be named when the member comes back.
    pub epoch: Epoch,
    /// The member's own number.
    pub you: MemberNumber,
    /// The last place in the room's order that what follows tells.
    pub seq: u64,
    /// What became of what was missed.
    pub resumed: Resumed,
    /// How many counted frames (EMIT that is not fast, ACK, METADATA) have come from the member under this number.
    pub heard: u64,
    /// The host; none when resumed, as what changed follows.
    pub host: Option<MemberNumber>,
    /// Members in all, this one included; none when resumed.
    pub total: u64,
    /// The first of them, in the order of their joining. The others follow in MEMBERS, before anything else.
    pub members: Vec<Entry>,
}

/// A part of the list of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(pub Vec<Entry>);

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Stands for it in frames.
    pub number: MemberNumber,
    /// Its name.
    pub name: Name,
    /// What it says of itself.
    pub metadata: Json,
    /// When it joined, by the hub's clock, in milliseconds since 1970.
    pub joined: u64,
}

/// A message of a member's, or of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the room's order; 0: it is fast and has none.
    pub seq: u64,
    /// Who sent it; none: the server.
    pub from: Option<MemberNumber>,
    /// The sender's number for answers, if it wants one.
    pub ack: Option<u64>,
    /// What.
    pub said: Said,
}

/// An answer to a message of this member's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The number of the message.
    pub ack: u64,
    /// Who answers; none: the hub.
    pub from: Option<MemberNumber>,
    /// The answer.
    pub body: Body,
}

/// What became of what a member missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// The member came for the first time: there is nothing to miss.
    New,
    /// All of it follows.
    Whole,
    /// Some of it is gone; the list of members is complete.
    Missed,
}

/// How a member left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftReason {
    /// It said so.
    Left,
    /// It was not heard of any more.
    Lost,
    /// The server put it out.
    Kicked,
    /// It did not take what was sent to it.
    Slow,
    /// Another connection took its name.
    Replaced,
    /// It broke the protocol.
    Protocol,
    /// It said too much.
    Rate,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnackedReason {
    /// There is no such member.
    Unknown,
    /// It left, or what it was asked got lost with its connection.
    Left,
    /// The server did not let the message pass.
    Dropped,
    /// It got the message, but is an old client, which cannot answer.
    Mute,
    /// The hub waits no longer.
    Late,
}

/// Why the hub closes a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedCode {
    /// It speaks another version. Do not come back.
    Version,
    /// The name is another's. Do not come back under it.
    NameTaken,
    /// The room takes no more members, or no more metadata. Come back later.
    Full,
    /// The server put this member out. Do not come back.
    Kicked,
    /// It did not take what was sent to it. Come back.
    Slow,
    /// It broke the protocol. Do not come back.
    Protocol,
    /// The room or the server ends. Come back later.
    Closed,
    /// It said too much. Come back later.
    Rate,
    /// Another connection with the same token took the name. Do not come back.
    Replaced,
}

impl FromHub {
    /// Reads a message of the channel. None: a type that this version does not know, to be ignored.
    ///
    /// # Errors
    /// It is no frame.
    pub fn parse(message: Bytes) -> Result<Option<Self>, FrameError> {
        if message.len() > FROM_HUB_MAX {
            return Err(FrameError::TooLong);
        }
        let mut reader = Reader(message);
        let frame = match reader.u8()? {
            WELCOME => {
                if reader.u8()? != VERSION {
                    return Err(FrameError::Version);
                }
                Self::Welcome(Welcome {
                    epoch: Epoch(reader.array()?),
                    you: reader.member()?,
                    seq: reader.integer()?,
                    resumed: match reader.u8()? {
                        0 => Resumed::New,
                        1 => Resumed::Whole,
                        2 => Resumed::Missed,
                        _ => return Err(FrameError::Value),
                    },
                    heard: reader.integer()?,
                    host: reader.member_or_none()?,
                    total: reader.integer()?,
                    members: entries(&mut reader)?,
                })
            }
            MEMBERS => Self::Members(Members(entries(&mut reader)?)),
            JOINED => Self::Joined {
                seq: reader.integer()?,
                member: Entry::read(&mut reader)?,
            },
            LEFT => Self::Left {
                seq: reader.integer()?,
                member: reader.member()?,
                reason: LeftReason::of(reader.u8()?),
            },
            HOST => Self::Host {
                seq: reader.integer()?,
                member: reader.member_or_none()?,
            },
            METADATA => Self::Metadata {
                seq: reader.integer()?,
                member: reader.member()?,
                metadata: reader.metadata()?,
            },
            MESSAGE => {
                let (seq, from) = (reader.integer()?, reader.member_or_none()?);
                let flags = reader.u8()?;
                let fast = flags & flags::FAST != 0;
                if !flags::are_known(flags) || fast != (seq == 0) {
                    return Err(FrameError::Flags);
                }
                let wants_ack = flags & flags::ACK != 0;
                Self::Message(Message {
                    seq,
                    from,
                    ack: wants_ack.then(|| reader.integer()).transpose()?,
                    said: Said::read(&mut reader, flags)?,
                })
            }
            ACK => {
                let (ack, from, flags) =
                    (reader.integer()?, reader.member_or_none()?, reader.u8()?);
                if flags & !flags::BYTES != 0 {
                    return Err(FrameError::Flags);
                }
                let body = Body::parse(reader.rest(), flags)?;
                Self::Ack(Answered { ack, from, body })
            }
            UNACKED => Self::Unacked {
                ack: reader.integer()?,
                from: reader.member_or_none()?,
                reason: UnackedReason::of(reader.u8()?),
            },
            ASKED => {
                let (ack, count) = (reader.integer()?, reader.integer()?);
                let members = (0..count).map(|_| reader.member());
                Self::Asked {
                    ack,
                    members: members.collect::<Result<_, _>>()?,
                }
            }
            HEARD => Self::Heard(reader.integer()?),
            PING => Self::Ping(reader.array()?),
            REFUSED => Self::Refused(RefusedCode::of(&text(reader.rest())?)),
            _ => return Ok(None),
        };
        reader.end()?;
        Ok(Some(frame))
    }

    /// Writes the frame.
    #[must_use]
    pub fn emit(&self) -> Bytes {
        match self {
            Self::Welcome(welcome) => {
                let mut frame = Writer::new(WELCOME, 56 + octets(&welcome.members));
                frame.u8(VERSION);
                frame.octets(&welcome.epoch.0);
                frame.member(welcome.you);
                frame.integer(welcome.seq);
                frame.u8(match welcome.resumed {
                    Resumed::New => 0,
                    Resumed::Whole => 1,
                    Resumed::Missed => 2,
                });
                frame.integer(welcome.heard);
                frame.member_or_none(welcome.host);
                frame.integer(welcome.total);
                write_entries(&mut frame, &welcome.members);
                frame.end()
            }
            Self::Members(Members(members)) => {
                let mut frame = Writer::new(MEMBERS, 9 + octets(members));
                write_entries(&mut frame, members);
                frame.end()
            }
            Self::Joined { seq, member } => {
                let mut frame = Writer::new(JOINED, 9 + member.octets());
                frame.integer(*seq);
                member.write(&mut frame);
                frame.end()
            }
            Self::Left {
                seq,
                member,
                reason,
            } => {
                let mut frame = Writer::new(LEFT, 18);
                frame.integer(*seq);
                frame.member(*member);
                frame.u8(reason.number());
                frame.end()
            }
            Self::Host { seq, member } => {
                let mut frame = Writer::new(HOST, 17);
                frame.integer(*seq);
                frame.member_or_none(*member);
                frame.end()
            }
            Self::Metadata {
                seq,
                member,
                metadata,
            } => {
                let mut frame = Writer::new(METADATA, 25 + metadata.as_str().len());
                frame.integer(*seq);
                frame.member(*member);
                frame.text(metadata.as_str());
                frame.end()
            }
            Self::Message(message) => message.emit(),
            Self::Ack(Answered { ack, from, body }) => {
                let mut frame = Writer::new(ACK, 18 + body.octets().len());
                frame.integer(*ack);
                frame.member_or_none(*from);
                frame.u8(body.flag());
                frame.octets(body.octets());
                frame.end()
            }
            Self::Unacked { ack, from, reason } => {
                let mut frame = Writer::new(UNACKED, 18);
                frame.integer(*ack);
                frame.member_or_none(*from);
                frame.u8(reason.number());
                frame.end()
            }
            Self::Asked { ack, members } => {
                let mut frame = Writer::new(ASKED, 17 + 8 * members.len());
                frame.integer(*ack);
                frame.integer(members.len() as u64);
                for member in members {
                    frame.member(*member);
                }
                frame.end()
            }
            Self::Heard(count) => {
                let mut frame = Writer::new(HEARD, 9);
                frame.integer(*count);
                frame.end()
            }
            Self::Ping(octets) => {
                let mut frame = Writer::new(PING, 9);
                frame.octets(octets);
                frame.end()
            }
            Self::Refused(code) => {
                let mut frame = Writer::new(REFUSED, 16);
                frame.octets(code.name().as_bytes());
                frame.end()
            }
        }
    }
}

impl Message {
    /// Writes the frame.
    #[must_use]
    pub fn emit(&self) -> Bytes {
        Self::write(self.seq, self.from, self.ack, &self.said)
    }

    /// Writes the frame of a message that nobody has put together.
    #[must_use]
    pub fn write(seq: u64, from: Option<MemberNumber>, ack: Option<u64>, said: &Said) -> Bytes {
        let mut frame = Writer::new(MESSAGE, 36 + said.octets());
        frame.integer(seq);
        frame.member_or_none(from);
        // What is fast wants no answer.
        let ack = ack.filter(|_| seq != 0);
        let more = match ack {
            Some(_) => flags::ACK,
            None if seq == 0 => flags::FAST,
            None => 0,
        };
        frame.u8(said.flags() | more);
        if let Some(ack) = ack {
            frame.integer(ack);
        }
        said.write(&mut frame);
        frame.end()
    }
}

impl Entry {
    /// Octets that it takes at most.
    #[must_use]
    pub fn octets(&self) -> usize {
        24 + self.name.as_str().len() + self.metadata.as_str().len()
    }

    fn read(reader: &mut Reader) -> Result<Self, FrameError> {
        Ok(Self {
            number: reader.member()?,
            name: Name::parse(&reader.text(NAME_MAX)?).map_err(|_| FrameError::Name)?,
            metadata: reader.metadata()?,
            joined: reader.integer()?,
        })
    }

    fn write(&self, frame: &mut Writer) {
        frame.member(self.number);
        frame.text(self.name.as_str());
        frame.text(self.metadata.as_str());
        frame.integer(self.joined);
    }
}

fn octets(entries: &[Entry]) -> usize {
    entries.iter().map(Entry::octets).sum()
}

fn entries(reader: &mut Reader) -> Result<Vec<Entry>, FrameError> {
    let count = reader.integer()?;
    (0..count).map(|_| Entry::read(reader)).collect()
}

fn write_entries(frame: &mut Writer, entries: &[Entry]) {
    frame.integer(entries.len() as u64);
    for entry in entries {
        entry.write(frame);
    }
}

impl LeftReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Left,
        Self::Lost,
        Self::Kicked,
        Self::Slow,
        Self::Replaced,
        Self::Protocol,
        Self::Rate,
    ];

    /// On the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Lost => 2,
            Self::Kicked => 3,
            Self::Slow => 4,
            Self::Replaced => 5,
            Self::Protocol => 6,
            Self::Rate => 7,
        }
    }

    /// In logs and for applications.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Kicked => "kicked",
            Self::Slow => "slow",
            Self::Replaced => "replaced",
            Self::Protocol => "protocol",
            Self::Rate => "rate",
        }
    }

    /// A later version's reasons are read as [`Self::Lost`].
    fn of(number: u8) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.number() == number).unwrap_or(Self::Lost)
    }
}

impl UnackedReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Left,
        Self::Dropped,
        Self::Mute,
        Self::Late,
    ];

    /// On the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::Left => 2,
            Self::Dropped => 3,
            Self::Mute => 4,
            Self::Late => 5,
        }
    }

    /// For applications.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Left => "left",
            Self::Dropped => "dropped",
            Self::Mute => "mute",
            Self::Late => "late",
        }
    }

    /// A later version's reasons are read as [`Self::Left`].
    fn of(number: u8) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.number() == number).unwrap_or(Self::Left)
    }
}

impl RefusedCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Version,
        Self::NameTaken,
        Self::Full,
        Self::Kicked,
        Self::Slow,
        Self::Protocol,
        Self::Closed,
        Self::Rate,
        Self::Replaced,
    ];

    /// On the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::NameTaken => "name-taken",
            Self::Full => "full",
            Self::Kicked => "kicked",
            Self::Slow => "slow",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Rate => "rate",
            Self::Replaced => "replaced",
        }
    }

    /// Whether a client should come back by itself.
    #[must_use]
    pub const fn may_return(self) -> bool {
        match self {
            Self::Full | Self::Slow | Self::Closed | Self::Rate => true,
            Self::Version | Self::NameTaken | Self::Kicked | Self::Protocol | Self::Replaced => {
                false
            }
        }
    }

    /// A later version's codes are read as [`Self::Closed`].
    fn of(name: &ByteString) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name() == &**name).unwrap_or(Self::Closed)
    }
}
