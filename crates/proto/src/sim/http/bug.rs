//! Faults planted around the sessions, to prove that the simulation notices.

use bytes::{Bytes, BytesMut};

use crate::wire::http::{Frame, Frames, MESSAGE_MAX};

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A piece of a body arrives twice.
    RepeatData,
    /// A piece of a body is lost.
    LoseData,
    /// Two pieces change places.
    SwapData,
    /// The end of a WebSocket message is lost: it grows together with the next.
    LoseFin,
    /// WebSocket messages change their kind.
    FlipText,
    /// A WebSocket's close loses its code.
    LoseClose,
    /// A sender believes in credit that nobody granted.
    SpendUngranted,
    /// A receiver grants many times what was read.
    GrantTooMuch,
    /// Grants are lost.
    LoseCredit,
    /// Ends are lost.
    LoseEnd,
    /// Resets are lost.
    LoseReset,
    /// Heads are damaged.
    BreakHeads,
    /// Nothing is taken from the channel while some reader stands still.
    BlockBehindReaders,
    /// A reader goes away and does not say so.
    ForgetReaders,
}

impl Bug {
    /// What a session with this bug would have sent, as everybody sees it.
    pub(super) fn on_sending(self, message: Bytes) -> Bytes {
        match self {
            Self::GrantTooMuch => rewrite(message, |frame, out| {
                out.push(match frame {
                    Frame::Credit { id, octets } => Frame::Credit {
                        id,
                        octets: octets.saturating_mul(40),
                    },
                    other => other,
                });
            }),
            _ => message,
        }
    }

    /// What arrives of it.
    pub(super) fn on_arrival(self, message: Bytes) -> Bytes {
        rewrite(message, |frame, out| match (self, frame) {
            (
                Self::RepeatData,
                Frame::Data {
                    id,
                    end,
                    fin,
                    text,
                    bytes,
                },
            ) if bytes.len() > 1 && bytes.len() < 4_000 => {
                let half = Frame::Data {
                    id,
                    end: false,
                    fin: false,
                    text,
                    bytes: bytes.slice(1..),
                };
                out.extend([
                    half,
                    Frame::Data {
                        id,
                        end,
                        fin,
                        text,
                        bytes,
                    },
                ]);
            }
            (
                Self::LoseData,
                Frame::Data {
                    end: false,
                    fin: false,
                    ..
                },
            ) => {}
            (Self::SwapData, frame @ Frame::Data { end: false, .. })
                if matches!(out.last(), Some(Frame::Data { end: false, .. })) =>
            {
                out.insert(out.len() - 1, frame);
            }
            (
                Self::SwapData,
                Frame::Data {
                    id,
                    end,
                    fin,
                    text,
                    bytes,
                },
            ) if bytes.len() > 2 => {
                let (first, second) = (bytes.slice(..1), bytes.slice(1..));
                out.push(Frame::Data {
                    id,
                    end: false,
                    fin: false,
                    text,
                    bytes: second,
                });
                out.push(Frame::Data {
                    id,
                    end,
                    fin,
                    text,
                    bytes: first,
                });
            }
            (
                Self::LoseFin,
                Frame::Data {
                    id,
                    end,
                    fin: true,
                    text,
                    bytes,
                },
            ) if bytes.len() % 2 == 1 => out.push(Frame::Data {
                id,
                end,
                fin: false,
                text,
                bytes,
            }),
            (
                Self::FlipText,
                Frame::Data {
                    id,
                    end,
                    fin,
                    text,
                    bytes,
                },
            ) => out.push(Frame::Data {
                id,
                end,
                fin,
                text: !text,
                bytes,
            }),
            (
                Self::LoseClose,
                Frame::Data {
                    id,
                    end: true,
                    fin,
                    text,
                    bytes,
                },
            ) if bytes.starts_with(b"\x03\xe8") || bytes.starts_with(b"\x0f\xa0") => {
                out.push(Frame::Data {
                    id,
                    end: true,
                    fin,
                    text,
                    bytes: Bytes::new(),
                });
            }
            (Self::SpendUngranted, Frame::Credit { id, octets }) => out.push(Frame::Credit {
                id,
                octets: octets * 2,
            }),
            (Self::LoseCredit, Frame::Credit { .. }) | (Self::LoseReset, Frame::Reset { .. }) => {}
            (
                Self::LoseEnd,
                Frame::Data {
                    id,
                    end: true,
                    bytes,
                    ..
                },
            ) => {
                out.push(Frame::Data {
                    id,
                    end: false,
                    fin: false,
                    text: false,
                    bytes,
                });
            }
            (
                Self::BreakHeads,
                Frame::Head {
                    id,
                    end,
                    more,
                    block,
                },
            ) => {
                let mut broken = BytesMut::from(&block[..]);
                if let Some(last) = broken.last_mut() {
                    *last ^= 0x80;
                }
                out.push(Frame::Head {
                    id,
                    end,
                    more,
                    block: broken.freeze(),
                });
            }
            (_, frame) => out.push(frame),
        })
    }
}

fn rewrite(message: Bytes, mut change: impl FnMut(Frame, &mut Vec<Frame>)) -> Bytes {
    let Ok(read) = Frames::new(message.clone()) else {
        return message;
    };
    let mut frames = Vec::new();
    for frame in read.flatten() {
        change(frame, &mut frames);
    }
    let mut made = BytesMut::new();
    for frame in frames {
        frame.emit(&mut made);
    }
    if made.len() > MESSAGE_MAX {
        message
    } else {
        made.freeze()
    }
}
