//! The receiving direction of an exchange: order, lengths, credit, and what waits for its reader.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::session::{GROWTH_MAX, WINDOW};
use super::{End, Incoming};
use crate::wire::http::{HEAD_FRAMES_MAX, HEAD_MAX, ResetCode};

/// What the FIN of a WebSocket message costs beside its octets.
pub(super) const FIN_COST: u32 = 16;
/// Small pieces are joined up to this size, so that a body of single octets does not cost an allocation for each.
const JOIN_MAX: usize = 4_096;
/// Octets of a WebSocket close at most (RFC 6455 section 5.5).
pub(super) const CLOSE_MAX: usize = 125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The request, or the response, has not come.
    Head,
    Body,
    Ended,
}

/// What is wrong with something that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// More than was granted: the link closes.
    Flow,
    /// The exchange is reset.
    Reset(ResetCode),
}

const MALFORMED: Fault = Fault::Reset(ResetCode::Malformed);

#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) phase: Phase,
    /// The direction carries WebSocket messages.
    pub(super) messages: bool,
    /// What `content-length` promised and has not come yet.
    pub(super) body: Option<u64>,
    pub(super) interims: u32,
    in_message: bool,
    block: Option<Block>,

    /// What the peer may still send.
    credit: u32,
    window: u32,
    /// Read, and not granted again yet.
    due: u32,
    /// Read since the window last grew.
    run: u32,
    /// Granted, with the CREDIT not sent yet.
    grant: u32,

    pieces: VecDeque<Piece>,
    end: Option<End>,
    /// The reader has seen the end, or does not want to.
    end_read: bool,
    discarded: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    fin: bool,
    text: bool,
}

/// A head block that came in part.
#[derive(Debug, Default)]
struct Block {
    octets: BytesMut,
    frames: usize,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Head,
            messages: false,
            body: None,
            interims: 0,
            in_message: false,
            block: None,
            credit: WINDOW,
            window: WINDOW,
            due: 0,
            run: 0,
            grant: 0,
            pieces: VecDeque::new(),
            end: None,
            end_read: false,
            discarded: false,
        }
    }

    /// What this direction took from the link's growth pool.
    pub(super) fn grown(&self) -> u32 {
        self.window - WINDOW
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Ended && self.end_read
    }

    pub(super) fn is_discarded(&self) -> bool {
        self.discarded
    }

    /// Octets of an unfinished head block.
    pub(super) fn block_held(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.octets.len())
    }

    /// Takes a part of a head block; the whole block when it is complete. `room` is what unfinished blocks of the link may still take.
    pub(super) fn head(
        &mut self,
        part: Bytes,
        more: bool,
        room: usize,
    ) -> Result<Option<Bytes>, Fault> {
        if self.phase == Phase::Ended {
            return Err(MALFORMED);
        }
        if self.block.is_none() && !more {
            return Ok(Some(part));
        }
        let block = self.block.get_or_insert_default();
        block.frames += 1;
        if block.frames > HEAD_FRAMES_MAX
            || block.octets.len() + part.len() > HEAD_MAX
            || part.len() > room
        {
            return Err(Fault::Reset(ResetCode::TooLarge));
        }
        block.octets.extend_from_slice(&part);
        Ok(if more {
            None
        } else {
            self.block.take().map(|block| block.octets.freeze())
        })
    }

    /// Takes a DATA frame. `true`: there is something to read after there was nothing.
    pub(super) fn data(
        &mut self,
        bytes: Bytes,
        end: bool,
        fin: bool,
        text: bool,
    ) -> Result<bool, Fault> {
        let fin = fin && self.messages && !end;
        if bytes.is_empty() && !end && !fin {
            return Ok(false);
        }
        let cost = cost(bytes.len(), fin);
        self.credit = self.credit.checked_sub(cost).ok_or(Fault::Flow)?;
        if self.phase != Phase::Body || self.block.is_some() {
            return Err(MALFORMED);
        }
        if let Some(body) = &mut self.body {
            *body = body.checked_sub(bytes.len() as u64).ok_or(MALFORMED)?;
        }
        if end && self.messages {
            if self.in_message || bytes.len() == 1 || bytes.len() > CLOSE_MAX {
                return Err(MALFORMED);
            }
            return self.end(End::Close(bytes));
        }
        let mut readable = false;
        if !bytes.is_empty() || fin {
            self.in_message = self.messages && !fin;
            readable = self.put(Piece {
                bytes,
                fin,
                text: text && self.messages,
            });
        }
        if end {
            readable |= self.end(End::Plain)?;
        }
        Ok(readable)
    }

    /// The direction ends. `true`: there is something to read after there was nothing.
    pub(super) fn end(&mut self, end: End) -> Result<bool, Fault> {
        if self.body.is_some_and(|body| body > 0) {
            return Err(MALFORMED);
        }
        self.phase = Phase::Ended;
        self.end_read = self.discarded;
        self.grant = 0;
        let readable = self.pieces.is_empty() && !self.discarded;
        self.end = Some(end);
        Ok(readable)
    }

    /// The head was all: there is nothing to read.
    pub(super) fn end_with_head(&mut self) -> Result<(), Fault> {
        self.end(End::Plain)?;
        self.end = None;
        self.end_read = true;
        Ok(())
    }

    fn put(&mut self, piece: Piece) -> bool {
        if self.discarded {
            return false;
        }
        let was_empty = self.pieces.is_empty();
        if let Some(last) = self
            .pieces
            .back_mut()
            .filter(|last| !last.fin && last.bytes.len() + piece.bytes.len() <= JOIN_MAX)
        {
            let mut joined = std::mem::take(&mut last.bytes)
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            joined.extend_from_slice(&piece.bytes);
            *last = Piece {
                bytes: joined.freeze(),
                ..piece
            };
        } else {
            self.pieces.push_back(piece);
        }
        was_empty
    }

    /// Takes at most `max` octets, and what they cost.
    pub(super) fn read(&mut self, max: usize) -> Option<(Incoming, u32)> {
        let Some(front) = self.pieces.front_mut() else {
            let end = self.end.take()?;
            self.end_read = true;
            return Some((Incoming::End(end), 0));
        };
        let text = front.text;
        if front.bytes.len() > max {
            let bytes = front.bytes.split_to(max);
            let cost = cost(bytes.len(), false);
            return Some((
                Incoming::Data {
                    bytes,
                    fin: false,
                    text,
                },
                cost,
            ));
        }
        let Piece { bytes, fin, text } = self.pieces.pop_front()?;
        let cost = cost(bytes.len(), fin);
        Some((Incoming::Data { bytes, fin, text }, cost))
    }

    /// The reader took what cost `cost`: grants more by the rule of section 5. `true`: a CREDIT is to be sent, and was not before.
    pub(super) fn taken(&mut self, cost: u32, pool: &mut u32) -> bool {
        if self.phase == Phase::Ended || self.discarded {
            return false;
        }
        self.due += cost;
        self.run += cost;
        if self.run >= self.window && self.window < GROWTH_MAX && *pool >= self.window {
            *pool -= self.window;
            self.due += self.window;
            self.window *= 2;
            self.run = 0;
        }
        if self.due < self.window / 4 {
            return false;
        }
        let first = self.grant == 0;
        self.grant += std::mem::take(&mut self.due);
        first
    }

    /// The CREDIT to be sent now, if it still is.
    pub(super) fn take_grant(&mut self) -> Option<u32> {
        let grant = std::mem::take(&mut self.grant);
        self.credit += grant;
        (grant > 0).then_some(grant)
    }

    /// Nobody reads any more: what is here and what comes is thrown away, and nothing is granted.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
        self.end_read = true;
        self.pieces = VecDeque::new();
        self.end = None;
        self.grant = 0;
    }
}

fn cost(octets: usize, fin: bool) -> u32 {
    octets as u32 + if fin { FIN_COST } else { 0 }
}
