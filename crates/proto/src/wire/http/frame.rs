//! Frames, one or more of them in each channel message.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Hello, ResetCode};

/// Octets of a channel message at most. Without SCTP interleaving a larger one would block every other stream.
pub const MESSAGE_MAX: usize = 16_384;
/// Octets before the payload of a frame.
pub const HEADER: usize = 8;
/// Octets of payload in one frame at most: a frame does not leave its message.
pub const DATA_MAX: usize = MESSAGE_MAX - HEADER;
/// Octets of a RESET's text at most.
const RESET_TEXT_MAX: usize = 256;

const END: u8 = 0x01;
const MORE: u8 = 0x02;
const FIN: u8 = 0x02;
const TEXT: u8 = 0x04;

/// One frame.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |     type      |     flags     |        length (u16 BE)        |
/// +---------------+---------------+-------------------------------+
/// |                     exchange id (u32 BE)                      |
/// +---------------------------------------------------------------+
/// |                     payload (length octets)                 ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// 0: what the sender accepts; its first frame, and never again.
    Hello(Hello),
    /// 1: a head block, or a part of it.
    Head {
        /// Exchange, never 0.
        id: u32,
        /// Nothing follows in this direction. Counts on the last frame of a block.
        end: bool,
        /// The block goes on in the next HEAD of this exchange.
        more: bool,
        /// This part of the block.
        block: Bytes,
    },
    /// 2: octets of a body, message or stream.
    Data {
        /// Exchange, never 0.
        id: u32,
        /// Nothing follows in this direction.
        end: bool,
        /// Last part of a WebSocket message.
        fin: bool,
        /// That message is text.
        text: bool,
        /// At most [`DATA_MAX`] octets.
        bytes: Bytes,
    },
    /// 3: so much more may be sent.
    Credit {
        /// Exchange, never 0.
        id: u32,
        /// Octets on top of those granted before.
        octets: u32,
    },
    /// 4: the exchange is over.
    Reset {
        /// Exchange, never 0.
        id: u32,
        /// Why.
        code: ResetCode,
    },
    /// 5: the sender begins nothing more, and serves nothing above this id.
    Drain {
        /// Highest id of the receiver's exchanges that was or will be served; 0 for none.
        highest: u32,
    },
    /// 6: asks for a [`Frame::Pong`].
    Ping([u8; 8]),
    /// 7: the octets of a [`Frame::Ping`].
    Pong([u8; 8]),
}

/// A break of the protocol after which the link is closed; nothing more is said in-band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message or frame that this version of the protocol does not allow here.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// More was sent, or granted, than the rules of credit allow.
    #[error("flow control violation: {0}")]
    Flow(&'static str),
    /// The hello is missing, repeated or wrong.
    #[error("wrong hello: {0}")]
    Hello(&'static str),
}

impl Violation {
    /// The name in vectors and in other languages, without the detail.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::Flow(_) => "flow",
            Self::Hello(_) => "hello",
        }
    }
}

impl Frame {
    /// Appends the frame. The caller keeps within [`MESSAGE_MAX`]; payloads longer than [`DATA_MAX`] are a fault of the caller.
    pub fn emit(&self, into: &mut BytesMut) {
        match self {
            Self::Hello(hello) => {
                let mut payload = BytesMut::new();
                hello.emit(&mut payload);
                header(into, 0, 0, payload.len(), 0);
                into.put(payload);
            }
            Self::Head {
                id,
                end,
                more,
                block,
            } => {
                header(
                    into,
                    1,
                    flag(*end, END) | flag(*more, MORE),
                    block.len(),
                    *id,
                );
                into.put_slice(block);
            }
            Self::Data {
                id,
                end,
                fin,
                text,
                bytes,
            } => {
                header(
                    into,
                    2,
                    flag(*end, END) | flag(*fin, FIN) | flag(*text, TEXT),
                    bytes.len(),
                    *id,
                );
                into.put_slice(bytes);
            }
            Self::Credit { id, octets } => {
                header(into, 3, 0, 4, *id);
                into.put_u32(*octets);
            }
            Self::Reset { id, code } => {
                header(into, 4, 0, 2, *id);
                into.put_u16(code.number());
            }
            Self::Drain { highest } => {
                header(into, 5, 0, 4, 0);
                into.put_u32(*highest);
            }
            Self::Ping(octets) => {
                header(into, 6, 0, 8, 0);
                into.put_slice(octets);
            }
            Self::Pong(octets) => {
                header(into, 7, 0, 8, 0);
                into.put_slice(octets);
            }
        }
    }
}

fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}

fn header(into: &mut BytesMut, kind: u8, flags: u8, length: usize, id: u32) {
    debug_assert!(length <= DATA_MAX, "a frame fits into a message");
    into.reserve(HEADER + length);
    into.put_u8(kind);
    into.put_u8(flags);
    into.put_u16(length as u16);
    into.put_u32(id);
}

/// The frames of one channel message, those of unknown types left out. After an error there is nothing more.
#[derive(Debug)]
pub struct Frames {
    rest: Bytes,
    message: usize,
}

impl Frames {
    /// Begins to read a message.
    ///
    /// # Errors
    /// The message is empty or larger than [`MESSAGE_MAX`].
    pub fn new(message: Bytes) -> Result<Self, Violation> {
        match message.len() {
            0 => Err(Violation::Protocol("an empty message")),
            length if length > MESSAGE_MAX => {
                Err(Violation::Protocol("a message of more than 16,384 octets"))
            }
            length => Ok(Self {
                rest: message,
                message: length,
            }),
        }
    }

    fn read(&mut self) -> Result<Option<Frame>, Violation> {
        while !self.rest.is_empty() {
            if self.rest.len() < HEADER {
                return Err(Violation::Protocol("half a frame header"));
            }
            let kind = self.rest.get_u8();
            let flags = self.rest.get_u8();
            let length = usize::from(self.rest.get_u16());
            let id = self.rest.get_u32();
            if length > self.rest.len() {
                return Err(Violation::Protocol("a frame longer than its message"));
            }
            let payload = self.rest.split_to(length);
            if let Some(frame) = parse(kind, flags, id, payload, self.message)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.rest.clear();
        }
        read.transpose()
    }
}

fn parse(
    kind: u8,
    flags: u8,
    id: u32,
    payload: Bytes,
    message: usize,
) -> Result<Option<Frame>, Violation> {
    match (kind, id) {
        (1..=4, 0) => return Err(Violation::Protocol("exchange 0 in a frame of an exchange")),
        (0 | 5..=7, 1..) => return Err(Violation::Protocol("an exchange in a frame of the link")),
        _ => {}
    }
    let length = Violation::Protocol("a frame of a wrong length");
    Ok(Some(match kind {
        0 => Frame::Hello(Hello::parse(payload)?),
        1 => Frame::Head {
            id,
            end: flags & END != 0,
            more: flags & MORE != 0,
            block: retain(payload, message),
        },
        2 => Frame::Data {
            id,
            end: flags & END != 0,
            fin: flags & FIN != 0,
            text: flags & TEXT != 0,
            bytes: retain(payload, message),
        },
        3 => Frame::Credit {
            id,
            octets: u32::from_be_bytes(exactly(&payload).ok_or(length)?),
        },
        4 if (2..=2 + RESET_TEXT_MAX).contains(&payload.len()) => Frame::Reset {
            id,
            code: ResetCode::from_number(u16::from_be_bytes([payload[0], payload[1]])),
        },
        4 => return Err(length),
        5 => Frame::Drain {
            highest: u32::from_be_bytes(exactly(&payload).ok_or(length)?),
        },
        6 => Frame::Ping(exactly(&payload).ok_or(length)?),
        7 => Frame::Pong(exactly(&payload).ok_or(length)?),
        _ => return Ok(None),
    }))
}

fn exactly<const N: usize>(payload: &[u8]) -> Option<[u8; N]> {
    payload.try_into().ok()
}

/// Keeps a large payload as a slice of its message, and copies a small one out of it: a slice keeps the whole message in memory, and a peer
/// could make one octet of credit hold 16 KiB.
fn retain(payload: Bytes, message: usize) -> Bytes {
    if payload.len() * 2 >= message {
        payload
    } else {
        Bytes::copy_from_slice(&payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &[u8]) -> Result<Vec<Frame>, Violation> {
        Frames::new(Bytes::copy_from_slice(message))?.collect()
    }

    fn emit(frames: &[Frame]) -> Bytes {
        let mut into = BytesMut::new();
        frames.iter().for_each(|frame| frame.emit(&mut into));
        into.freeze()
    }

    fn every_frame() -> Vec<Frame> {
        vec![
            Frame::Hello(Hello {
                websocket: true,
                ..Hello::default()
            }),
            Frame::Head {
                id: 1,
                end: true,
                more: false,
                block: Bytes::from_static(b"block"),
            },
            Frame::Head {
                id: 1,
                end: false,
                more: true,
                block: Bytes::new(),
            },
            Frame::Data {
                id: 3,
                end: true,
                fin: false,
                text: false,
                bytes: Bytes::from_static(b"x"),
            },
            Frame::Data {
                id: 3,
                end: false,
                fin: true,
                text: true,
                bytes: Bytes::new(),
            },
            Frame::Credit {
                id: 4,
                octets: u32::MAX,
            },
            Frame::Reset {
                id: 5,
                code: ResetCode::Busy,
            },
            Frame::Drain { highest: 0 },
            Frame::Ping(*b"12345678"),
            Frame::Pong(*b"abcdefgh"),
        ]
    }

    #[test]
    fn every_frame_survives_the_wire_in_one_message() {
        assert_eq!(read(&emit(&every_frame())), Ok(every_frame()));
    }

    #[test]
    fn unknown_types_and_flags_are_ignored() {
        let mut message = vec![99, 0xff, 0, 3, 0, 0, 0, 0, 1, 2, 3];
        message.extend([2, 0xf8, 0, 1, 0, 0, 0, 7, b'x']);
        assert_eq!(
            read(&message),
            Ok(vec![Frame::Data {
                id: 7,
                end: false,
                fin: false,
                text: false,
                bytes: Bytes::from_static(b"x")
            }])
        );
    }

    #[test]
    fn frames_do_not_leave_their_message() {
        assert!(read(&[]).is_err());
        assert!(read(&[2, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(read(&[2, 0, 0, 2, 0, 0, 0, 1, b'x']).is_err());
        assert!(read(&vec![0; MESSAGE_MAX + 1]).is_err());
    }

    #[test]
    fn a_wrong_exchange_or_length_is_a_violation() {
        for message in [
            &[2u8, 0, 0, 0, 0, 0, 0, 0][..],
            &[6, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8],
            &[3, 0, 0, 3, 0, 0, 0, 1, 1, 2, 3],
            &[4, 0, 0, 1, 0, 0, 0, 1, 1],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[7, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        ] {
            assert!(
                matches!(read(message), Err(Violation::Protocol(_))),
                "{message:?}"
            );
        }
    }

    #[test]
    fn a_small_payload_does_not_hold_its_message_in_memory() {
        let tiny = Frame::Data {
            id: 1,
            end: false,
            fin: false,
            text: false,
            bytes: Bytes::from_static(b"x"),
        };
        let large = Frame::Data {
            id: 3,
            end: false,
            fin: false,
            text: false,
            bytes: Bytes::from(vec![0; 16_000]),
        };
        let message = emit(&[tiny, large]);
        let range = message.as_ptr_range();
        let frames: Vec<_> = Frames::new(message.clone())
            .expect("not empty")
            .map(|frame| frame.expect("well-formed"))
            .collect();
        let slices = |frame: &Frame| matches!(frame, Frame::Data { bytes, .. } if range.contains(&bytes.as_ptr()));
        assert_eq!(frames.iter().map(slices).collect::<Vec<_>>(), [false, true]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&message);
        }

        #[test]
        fn garbage_behind_plausible_headers_never_panics(kind in 0u8..9, flags: u8, id in 0u32..3, payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut message = vec![kind, flags, 0, payload.len() as u8];
            message.extend(id.to_be_bytes());
            message.extend(payload);
            if let Ok(frames) = read(&message) {
                prop_assert_eq!(read(&emit(&frames)).unwrap_or_default(), if frames.is_empty() { vec![] } else { frames });
            }
        }
    }
}
