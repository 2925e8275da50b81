//! What a member says to the hub.

use std::sync::Arc;

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::{
    Body, Epoch, FrameError, Json, MemberNumber, Said, TARGETS_MAX, Token, VERSION, flags,
};

const HELLO: u8 = 1;
const EMIT: u8 = 2;
const ACK: u8 = 3;
const METADATA: u8 = 4;
const LEAVE: u8 = 5;
const PONG: u8 = 6;
const GOT: u8 = 7;

/// As the count of receivers: the hub alone.
const HUB: u64 = 65_535;

/// A frame from a member to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromMember {
    /// The first frame of a connection.
    Hello(Hello),
    /// A message to others.
    Emit(Emit),
    /// The answer to a message that wanted one.
    Ack(Answer),
    /// This is what I say of myself from now on.
    Metadata(Json),
    /// Goodbye.
    Leave,
    /// The answer to a PING: its octets.
    Pong([u8; 8]),
    /// The application has everything up to this sequence number.
    Got(u64),
}

/// Who comes, and where it left off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Proves the name, which signalling has told.
    pub token: Token,
    /// What the member says of itself.
    pub metadata: Json,
    /// Of the room that the member was in; zeros when it comes for the first time.
    pub epoch: Epoch,
    /// The last sequence number that it has seen there.
    pub last: u64,
}

/// A message on its way to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// Who is to get it.
    pub to: To,
    /// The sender's number for the answers that it wants.
    pub ack: Option<u64>,
    /// It may be lost: goes by the fast channel where there is one. Never with `ack`.
    pub fast: bool,
    /// What.
    pub said: Said,
}

/// Receivers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Everybody else.
    Others,
    /// The hub alone: its handlers hear it, no member does.
    Hub,
    /// These: 1 to [`TARGETS_MAX`].
    Members(Arc<[MemberNumber]>),
}

/// An answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who sent the message.
    pub to: MemberNumber,
    /// Its number for the answers.
    pub ack: u64,
    /// The answer.
    pub body: Body,
}

impl FromMember {
    /// Reads a message of the channel. None: a type that this version does not know, to be ignored.
    ///
    /// # Errors
    /// It is no frame, or has more than `most` octets.
    pub fn parse(message: Bytes, most: usize) -> Result<Option<Self>, FrameError> {
        if message.len() > most {
            return Err(FrameError::TooLong);
        }
        let mut reader = Reader(message);
        let frame = match reader.u8()? {
            HELLO => {
                if reader.u8()? != VERSION {
                    return Err(FrameError::Version);
                }
                Self::Hello(Hello {
                    token: Token::new(reader.array()?),
                    metadata: reader.metadata()?,
                    epoch: Epoch(reader.array()?),
                    last: reader.integer()?,
                })
            }
            EMIT => {
                let flags = reader.u8()?;
                if !flags::are_known(flags) {
                    return Err(FrameError::Flags);
                }
                let to = match reader.integer()? {
                    0 => To::Others,
                    HUB => To::Hub,
                    count if count > TARGETS_MAX as u64 => return Err(FrameError::TooLong),
                    count => To::Members(
                        (0..count)
                            .map(|_| reader.member())
                            .collect::<Result<_, _>>()?,
                    ),
                };
                let wants_ack = flags & flags::ACK != 0;
                Self::Emit(Emit {
                    to,
                    ack: wants_ack.then(|| reader.integer()).transpose()?,
                    fast: flags & flags::FAST != 0,
                    said: Said::read(&mut reader, flags)?,
                })
            }
            ACK => {
                let (to, ack, flags) = (reader.member()?, reader.integer()?, reader.u8()?);
                if flags & !flags::BYTES != 0 {
                    return Err(FrameError::Flags);
                }
                let body = Body::parse(reader.rest(), flags)?;
                Self::Ack(Answer { to, ack, body })
            }
            METADATA => Self::Metadata(reader.metadata()?),
            LEAVE => Self::Leave,
            PONG => Self::Pong(reader.array()?),
            GOT => Self::Got(reader.integer()?),
            _ => return Ok(None),
        };
        reader.end()?;
        Ok(Some(frame))
    }

    /// Writes the frame. Its texts were parsed; of receivers the first [`TARGETS_MAX`] are named.
    #[must_use]
    pub fn emit(&self) -> Bytes {
        match self {
            Self::Hello(hello) => {
                let mut frame = Writer::new(HELLO, 64 + hello.metadata.as_str().len());
                frame.u8(VERSION);
                frame.octets(hello.token.expose());
                frame.text(hello.metadata.as_str());
                frame.octets(&hello.epoch.0);
                frame.integer(hello.last);
                frame.end()
            }
            Self::Emit(emit) => {
                let named = match &emit.to {
                    To::Members(members) => &members[..members.len().min(TARGETS_MAX)],
                    _ => &[],
                };
                let mut frame = Writer::new(EMIT, 24 + 8 * named.len() + emit.said.octets());
                let ack = if emit.ack.is_some() { flags::ACK } else { 0 };
                let fast = if emit.fast { flags::FAST } else { 0 };
                frame.u8(emit.said.flags() | ack | fast);
                frame.integer(match &emit.to {
                    To::Hub => HUB,
                    _ => named.len() as u64,
                });
                for member in named {
                    frame.member(*member);
                }
                if let Some(ack) = emit.ack {
                    frame.integer(ack);
                }
                emit.said.write(&mut frame);
                frame.end()
            }
            Self::Ack(Answer { to, ack, body }) => {
                let mut frame = Writer::new(ACK, 18 + body.octets().len());
                frame.member(*to);
                frame.integer(*ack);
                frame.u8(body.flag());
                frame.octets(body.octets());
                frame.end()
            }
            Self::Metadata(json) => {
                let mut frame = Writer::new(METADATA, 9 + json.as_str().len());
                frame.text(json.as_str());
                frame.end()
            }
            Self::Leave => Writer::new(LEAVE, 1).end(),
            Self::Pong(octets) => {
                let mut frame = Writer::new(PONG, 9);
                frame.octets(octets);
                frame.end()
            }
            Self::Got(seq) => {
                let mut frame = Writer::new(GOT, 9);
                frame.integer(*seq);
                frame.end()
            }
        }
    }
}
