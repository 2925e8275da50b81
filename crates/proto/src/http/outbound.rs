//! The sending direction of an exchange: what waits for its turn and for credit.

use std::collections::VecDeque;

use bytes::Bytes;

use super::inbound::{CLOSE_MAX, FIN_COST, Phase};
use super::{End, SendError};
use crate::wire::http::{Frame, HEADER, Head};

/// Octets that one exchange may have waiting to be sent, beside its heads.
pub const SEND_QUEUE: usize = 65_536;
/// What a queued write counts beside its octets, so that tiny ones are bounded as well.
const WRITE_COST: usize = 32;
/// A DATA frame is cut to fit a message only if this much of it fits.
const DATA_CUT_MIN: usize = 1_024;
/// Likewise for HEAD: a whole block then never needs more than eight frames.
const HEAD_CUT_MIN: usize = 8_192;

/// What is written: octets of a body or stream, or a WebSocket message or part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A body or TCP stream.
    Stream,
    /// A WebSocket message.
    Message {
        /// It is text, not binary.
        text: bool,
        /// With these octets the message is complete.
        fin: bool,
    },
}

#[derive(Debug)]
enum Queued {
    Head {
        block: Bytes,
        end: bool,
    },
    Data {
        bytes: Bytes,
        fin: bool,
        text: bool,
        end: bool,
    },
    Close(Bytes),
}

#[derive(Debug)]
pub(super) struct Outbound {
    /// `Ended`: END is queued. See `is_done` for sent.
    pub(super) phase: Phase,
    /// The direction carries WebSocket messages.
    pub(super) messages: bool,
    /// What `content-length` promised and was not written yet.
    pub(super) body: Option<u64>,
    /// A HEAD frame was sent: the peer knows of the exchange.
    pub(super) begun: bool,
    /// The exchange stands in the line of those that are ready.
    pub(super) in_line: bool,
    credit: u32,
    queue: VecDeque<Queued>,
    queued: usize,
    in_message: bool,
    /// A write was cut short: its writer waits for `Writable`.
    refused: bool,
}

/// What an exchange gives when it is its turn.
#[derive(Debug)]
pub(super) enum Turn {
    Frame(Frame),
    /// What it has does not fit into this message.
    NoRoom,
    /// It has nothing, or no credit.
    Nothing,
}

impl Outbound {
    pub(super) fn new(credit: u32) -> Self {
        Self {
            phase: Phase::Head,
            messages: false,
            body: None,
            begun: false,
            in_line: false,
            credit,
            queue: VecDeque::new(),
            queued: 0,
            in_message: false,
            refused: false,
        }
    }

    /// Everything up to END was sent.
    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Ended && self.queue.is_empty()
    }

    pub(super) fn grant(&mut self, octets: u32) -> Option<()> {
        self.credit = self
            .credit
            .checked_add(octets)
            .filter(|credit| *credit <= i32::MAX as u32)?;
        Some(())
    }

    /// The peer wants nothing more.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Ended;
        self.queue = VecDeque::new();
    }

    pub(super) fn room(&self) -> usize {
        if self.phase == Phase::Body {
            SEND_QUEUE.saturating_sub(self.queued)
        } else {
            0
        }
    }

    pub(super) fn head(&mut self, head: &Head, end: bool) -> Result<(), SendError> {
        self.queue.push_back(Queued::Head {
            block: head.emit()?,
            end,
        });
        Ok(())
    }

    /// Takes from `bytes` what there is room for. `true`: all of it, with the end of the message if this was one.
    pub(super) fn write(&mut self, bytes: &mut Bytes, framing: Framing) -> Result<bool, SendError> {
        self.writable()?;
        let (text, fin) = match framing {
            Framing::Stream => (false, false),
            Framing::Message { text, fin } => (text, fin),
        };
        if self.messages != matches!(framing, Framing::Message { .. }) {
            return Err(SendError::Order(
                "messages on WebSockets only, and nothing else there",
            ));
        }
        if bytes.is_empty() && !fin {
            return Ok(true);
        }
        if self.body.is_some_and(|body| (bytes.len() as u64) > body) {
            return Err(SendError::ContentLength);
        }
        let room = self.room();
        if room == 0 {
            self.refused = true;
            return Ok(false);
        }
        let taken = bytes.split_to(bytes.len().min(room));
        let all = bytes.is_empty();
        self.refused = !all;
        if let Some(body) = &mut self.body {
            *body -= taken.len() as u64;
        }
        self.in_message = self.messages && !(fin && all);
        self.queued += taken.len() + WRITE_COST;
        self.queue.push_back(Queued::Data {
            bytes: taken,
            fin: fin && all,
            text,
            end: false,
        });
        Ok(all)
    }

    pub(super) fn finish(&mut self, end: End) -> Result<(), SendError> {
        self.writable()?;
        if self.body.is_some_and(|body| body > 0) {
            return Err(SendError::ContentLength);
        }
        if self.in_message {
            return Err(SendError::Order("the message is not complete"));
        }
        match end {
            End::Plain => {
                self.queued += WRITE_COST;
                let bytes = Bytes::new();
                self.queue.push_back(Queued::Data {
                    bytes,
                    fin: false,
                    text: false,
                    end: true,
                });
            }
            End::Trailers(_) if self.messages => {
                return Err(SendError::Order("a WebSocket has no trailers"));
            }
            End::Trailers(fields) => self.head(&Head::Trailers(fields), true)?,
            End::Close(payload)
                if self.messages && payload.len() != 1 && payload.len() <= CLOSE_MAX =>
            {
                self.queue.push_back(Queued::Close(payload))
            }
            End::Close(_) => {
                return Err(SendError::Order(
                    "a close of 0 or 2 to 125 octets, on WebSockets only",
                ));
            }
        }
        self.phase = Phase::Ended;
        Ok(())
    }

    fn writable(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Head => Err(SendError::Order("the response head comes first")),
            Phase::Body => Ok(()),
            Phase::Ended => Err(SendError::Gone),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.queue.front().is_some_and(|front| match front {
            Queued::Head { .. } => true,
            Queued::Data {
                bytes, fin: true, ..
            } if bytes.is_empty() => self.credit >= FIN_COST,
            Queued::Data { bytes, .. } => bytes.is_empty() || self.credit > 0,
            Queued::Close(payload) => self.credit as usize >= payload.len(),
        })
    }

    /// The next frame, of at most `room` octets with its header.
    pub(super) fn turn(&mut self, id: u32, room: usize) -> Turn {
        if !self.is_ready() {
            return Turn::Nothing;
        }
        let Some(payload) = room.checked_sub(HEADER) else {
            return Turn::NoRoom;
        };
        let Some(front) = self.queue.front_mut() else {
            return Turn::Nothing;
        };
        let (frame, done) = match front {
            Queued::Head { block, end } => {
                if block.len() > payload && payload < HEAD_CUT_MIN {
                    return Turn::NoRoom;
                }
                let part = block.split_to(block.len().min(payload));
                let more = !block.is_empty();
                self.begun = true;
                (
                    Frame::Head {
                        id,
                        end: *end && !more,
                        more,
                        block: part,
                    },
                    !more,
                )
            }
            Queued::Data {
                bytes,
                fin,
                text,
                end,
            } => {
                let credited = bytes.len().min(self.credit as usize);
                if credited > payload && payload < DATA_CUT_MIN {
                    return Turn::NoRoom;
                }
                let part = bytes.split_to(credited.min(payload));
                self.credit -= part.len() as u32;
                self.queued -= part.len();
                let fin_now = *fin && bytes.is_empty() && self.credit >= FIN_COST;
                if fin_now {
                    self.credit -= FIN_COST;
                }
                let done = bytes.is_empty() && (!*fin || fin_now);
                if done {
                    self.queued -= WRITE_COST;
                }
                (
                    Frame::Data {
                        id,
                        end: *end && done,
                        fin: fin_now,
                        text: *text,
                        bytes: part,
                    },
                    done,
                )
            }
            Queued::Close(close) => {
                if close.len() > payload {
                    return Turn::NoRoom;
                }
                self.credit -= close.len() as u32;
                (
                    Frame::Data {
                        id,
                        end: true,
                        fin: false,
                        text: false,
                        bytes: std::mem::take(close),
                    },
                    true,
                )
            }
        };
        if done {
            self.queue.pop_front();
        }
        Turn::Frame(frame)
    }

    /// Whether a writer that was refused has room again: told once, when half of the queue is free.
    pub(super) fn take_writable(&mut self) -> bool {
        self.refused && self.room() >= SEND_QUEUE / 2 && std::mem::take(&mut self.refused)
    }
}
