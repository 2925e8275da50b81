//! What goes to the peer, and in which order (section 8 of the protocol).

use bytes::{Bytes, BytesMut};

use super::outbound::Turn;
use super::session::{Control, Session};
use super::{CloseReason, Event, ExchangeId};
use crate::wire::http::{DATA_MAX, Frame, MESSAGE_MAX};

/// Octets of control frames in a message at most: so much less than the whole that a part of a head still fits.
const CONTROL_SHARE: usize = 8_160;
/// The longest control frame: a hello with all its items.
const CONTROL_FRAME_MAX: usize = 64;

const _: () = assert!(
    MESSAGE_MAX - CONTROL_SHARE - (MESSAGE_MAX - DATA_MAX) >= 8_192,
    "room for a part of a head"
);

impl Session {
    /// The next message for the channel, at most 16,384 octets. Call it only while the channel has room: what is not asked for stays in queues
    /// that are bounded. Events may follow (`Writable`, `Ended`, `Closed`).
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.closed.is_some() {
            return None;
        }
        let mut message = BytesMut::new();
        self.put_control(&mut message);
        self.put_turns(&mut message);
        if message.is_empty() {
            if self.draining.is_some() && self.exchanges.is_empty() {
                self.close(CloseReason::Drained);
            }
            return None;
        }
        Some(message.freeze())
    }

    fn put_control(&mut self, message: &mut BytesMut) {
        while message.len() + CONTROL_FRAME_MAX <= CONTROL_SHARE {
            let Some(control) = self.control.pop_front() else {
                return;
            };
            let frame = match control {
                Control::Hello(hello) => Some(Frame::Hello(hello)),
                Control::Credit(id) => {
                    let granted = self
                        .exchanges
                        .get_mut(&id)
                        .and_then(|exchange| exchange.inbound.take_grant());
                    granted.map(|octets| Frame::Credit { id, octets })
                }
                Control::Reset(id, code) => Some(Frame::Reset { id, code }),
                Control::Drain(highest) => Some(Frame::Drain { highest }),
                Control::Ping => Some(Frame::Ping(self.pings.to_be_bytes())),
                Control::Pong => self.pong.take().map(Frame::Pong),
            };
            if let Some(frame) = frame {
                frame.emit(message);
            }
        }
    }

    fn put_turns(&mut self, message: &mut BytesMut) {
        while let Some(&id) = self.ready.front() {
            let Some(exchange) = self.exchanges.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            let out = &mut exchange.outbound;
            let turn = out.turn(id, MESSAGE_MAX - message.len());
            if matches!(turn, Turn::NoRoom) {
                return;
            }
            self.ready.pop_front();
            if out.is_ready() {
                self.ready.push_back(id);
            } else {
                out.in_line = false;
            }
            if exchange.ours && out.begun {
                self.highest_ours = self.highest_ours.max(id);
            }
            if out.take_writable() {
                self.events
                    .push_back(Event::Writable { id: ExchangeId(id) });
            }
            if let Turn::Frame(frame) = turn {
                frame.emit(message);
            }
            self.settle(id);
        }
    }
}
