//! Reads along on the wire and keeps its own books of credit, from nothing but the frames.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Promise;
use crate::http::{GROWTH, GROWTH_MAX, WINDOW};
use crate::wire::http::{Frame, Frames};

/// The books of one direction of DATA, by exchange.
#[derive(Debug, Default)]
pub(super) struct Tap {
    lines: BTreeMap<u32, Line>,
}

#[derive(Debug)]
struct Line {
    sent: u64,
    /// What the receiver said may be sent, and what of it the sender has heard.
    granted: u64,
    heard: u64,
    taken: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            sent: 0,
            granted: WINDOW.into(),
            heard: WINDOW.into(),
            taken: 0,
        }
    }
}

type Broken = (Promise, String);

impl Tap {
    /// The sender of this direction sends a message.
    pub(super) fn sent(&mut self, message: &Bytes) -> Result<(), Broken> {
        for frame in frames(message) {
            if let Frame::Data { id, fin, bytes, .. } = frame {
                let line = self.lines.entry(id).or_default();
                line.sent += bytes.len() as u64 + if fin { 16 } else { 0 };
                if line.sent > line.heard {
                    return Err((
                        Promise::Credit,
                        format!("exchange {id}: {} sent, {} granted", line.sent, line.heard),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The receiver of this direction sends a message.
    pub(super) fn granted(&mut self, message: &Bytes) -> Result<(), Broken> {
        let mut any = false;
        for frame in frames(message) {
            if let Frame::Credit { id, octets } = frame {
                any = true;
                let line = self.lines.entry(id).or_default();
                line.granted += u64::from(octets);
                let open = line.granted - line.taken;
                if open > GROWTH_MAX.into() {
                    return Err((
                        Promise::Window,
                        format!("exchange {id}: a window of {open}"),
                    ));
                }
            }
        }
        let grown: u64 = if any {
            self.lines
                .values()
                .map(|line| (line.granted - line.taken).saturating_sub(WINDOW.into()))
                .sum()
        } else {
            0
        };
        if grown > GROWTH.into() {
            Err((
                Promise::Window,
                format!("windows grown by {grown} together"),
            ))
        } else {
            Ok(())
        }
    }

    /// The sender of this direction hears of grants.
    pub(super) fn heard(&mut self, message: &Bytes) {
        for frame in frames(message) {
            if let Frame::Credit { id, octets } = frame {
                self.lines.entry(id).or_default().heard += u64::from(octets);
            }
        }
    }

    /// The receiver's reader took octets.
    pub(super) fn taken(&mut self, id: u32, cost: u64) {
        self.lines.entry(id).or_default().taken += cost;
    }

    /// The receiver holds nothing of this exchange any more.
    pub(super) fn over(&mut self, id: u32) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.taken = line.granted;
        }
    }
}

fn frames(message: &Bytes) -> impl Iterator<Item = Frame> {
    Frames::new(message.clone()).into_iter().flatten().flatten()
}
