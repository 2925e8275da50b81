//! What arrives from the peer.

use std::time::Instant;

use bytes::Bytes;

use super::exchange::{Exchange, Kind};
use super::inbound::{Fault, Phase};
use super::session::{Control, HEADS, Role, Session, WINDOW};
use super::{CloseReason, Event, ExchangeId};
use crate::wire::http::{Frame, Frames, Head, HeadError, Hello, Request, ResetCode, Violation};

/// Control frames that may wait for a peer which causes them faster than it takes them.
const CONTROL_MAX: usize = 4_096;

type Handled = Result<(), Violation>;

impl Session {
    /// A channel message arrived. A violation shows as `Event::Closed`.
    pub fn handle_message(&mut self, message: Bytes, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        self.liveness.heard(now);
        if let Err(violation) = self.handle_frames(message, now) {
            self.close(CloseReason::Violation(violation));
        }
    }

    fn handle_frames(&mut self, message: Bytes, now: Instant) -> Handled {
        for frame in Frames::new(message)? {
            self.handle_frame(frame?, now)?;
        }
        if self.control.len() > CONTROL_MAX {
            return Err(Violation::Protocol(
                "the peer causes frames and does not take them",
            ));
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant) -> Handled {
        match (frame, self.peer.is_some()) {
            (Frame::Hello(hello), false) => self.handle_hello(hello),
            (Frame::Hello(_), true) => return Err(Violation::Hello("a second one")),
            (_, false) => return Err(Violation::Hello("a frame before it")),
            (
                Frame::Head {
                    id,
                    end,
                    more,
                    block,
                },
                _,
            ) => return self.handle_head(id, end, more, block, now),
            (
                Frame::Data {
                    id,
                    end,
                    fin,
                    text,
                    bytes,
                },
                _,
            ) => return self.handle_data(id, end, fin, text, bytes),
            (Frame::Credit { id, octets }, _) => return self.handle_credit(id, octets),
            (Frame::Reset { id, code }, _) => return self.handle_reset(id, code),
            (Frame::Drain { highest }, _) => return self.handle_drain(highest),
            (Frame::Ping(octets), _) => {
                if self.pong.replace(octets).is_none() {
                    self.control.push_back(Control::Pong);
                }
            }
            (Frame::Pong(_), _) => {}
        }
        Ok(())
    }

    fn handle_hello(&mut self, hello: Hello) {
        self.peer = Some(hello);
        self.events.push_back(Event::Hello(hello));
        if hello.window > WINDOW {
            let ids: Vec<_> = self.exchanges.keys().copied().collect();
            for id in ids {
                // Nothing was granted yet, so this cannot exceed the limit.
                let _ = self
                    .exchanges
                    .get_mut(&id)
                    .and_then(|exchange| exchange.outbound.grant(hello.window - WINDOW));
                self.line_up(id);
            }
        }
    }

    fn handle_head(
        &mut self,
        id: u32,
        end: bool,
        more: bool,
        part: Bytes,
        now: Instant,
    ) -> Handled {
        if !self.is_ours(id) && id > self.highest_theirs {
            self.highest_theirs = id;
            if self.draining.is_some() {
                return Ok(());
            }
            if self.theirs >= self.config.exchanges {
                self.control.push_back(Control::Reset(id, ResetCode::Busy));
                return Ok(());
            }
            let credit = self.peer.unwrap_or_default().window;
            self.insert(id, Exchange::new(false, Kind::Http, credit), now);
        }
        let room = HEADS - self.blocks;
        let Some(exchange) = self.find(id)? else {
            return Ok(());
        };
        let held = exchange.inbound.block_held();
        let block = exchange.inbound.head(part, more, room);
        let holds = exchange.inbound.block_held();
        self.blocks = self.blocks - held + holds;
        match block {
            Ok(None) => Ok(()),
            Ok(Some(block)) => self.handle_block(id, block, end),
            Err(fault) => self.fail(id, fault),
        }
    }

    fn handle_block(&mut self, id: u32, block: Bytes, end: bool) -> Handled {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Ok(());
        };
        let kind = block.first().copied();
        let head = match Head::parse(block) {
            Ok(head) => head,
            // A kind of request that a later version may know.
            Err(HeadError::Kind)
                if !exchange.ours
                    && exchange.inbound.phase == Phase::Head
                    && kind.is_some_and(|kind| kind < 16) =>
            {
                return self.fail(id, Fault::Reset(ResetCode::Unsupported));
            }
            Err(error) => return self.fail(id, Fault::Reset(error.code())),
        };
        let name = ExchangeId(id);
        let (websocket, tcp) = (self.config.websocket, self.config.tcp);
        let event = match (exchange.ours, exchange.inbound.phase, head) {
            (false, Phase::Head, Head::Request(request)) => match &request {
                Request::WebSocket { .. } if !websocket => {
                    Err(Fault::Reset(ResetCode::Unsupported))
                }
                Request::Tcp { .. } if !tcp => Err(Fault::Reset(ResetCode::Unsupported)),
                _ => exchange.requested(&request, end).map(|()| {
                    Some(Event::Opened {
                        id: name,
                        request,
                        end,
                    })
                }),
            },
            (true, Phase::Head, Head::Interim { status, fields }) => {
                exchange.informed(end).map(|()| {
                    Some(Event::Interim {
                        id: name,
                        status,
                        fields,
                    })
                })
            }
            (true, Phase::Head, Head::Response { status, fields }) => {
                exchange.responded(status, &fields, end).map(|()| {
                    Some(Event::Response {
                        id: name,
                        status,
                        fields,
                        end,
                    })
                })
            }
            (_, Phase::Body, Head::Trailers(fields)) => exchange
                .trailed(fields, end)
                .map(|readable| readable.then_some(Event::Readable { id: name })),
            _ => Err(Fault::Reset(ResetCode::Malformed)),
        };
        match event {
            Ok(event) => {
                self.events.extend(event);
                self.settle(id);
                Ok(())
            }
            Err(fault) => self.fail(id, fault),
        }
    }

    fn handle_data(&mut self, id: u32, end: bool, fin: bool, text: bool, bytes: Bytes) -> Handled {
        let Some(exchange) = self.find(id)? else {
            return Ok(());
        };
        match exchange.inbound.data(bytes, end, fin, text) {
            Ok(readable) => {
                if readable {
                    self.events
                        .push_back(Event::Readable { id: ExchangeId(id) });
                }
                self.settle(id);
                Ok(())
            }
            Err(fault) => self.fail(id, fault),
        }
    }

    fn handle_credit(&mut self, id: u32, octets: u32) -> Handled {
        let Some(exchange) = self.find(id)? else {
            return Ok(());
        };
        if !exchange.outbound.is_done() {
            exchange
                .outbound
                .grant(octets)
                .ok_or(Violation::Flow("more than 2^31 - 1 granted"))?;
        }
        self.line_up(id);
        Ok(())
    }

    fn handle_reset(&mut self, id: u32, code: ResetCode) -> Handled {
        let Some(exchange) = self.find(id)? else {
            return Ok(());
        };
        if code == ResetCode::None && exchange.ours && exchange.inbound.phase == Phase::Ended {
            exchange.outbound.stop();
            self.events.push_back(Event::Stopped { id: ExchangeId(id) });
            self.settle(id);
            return Ok(());
        }
        self.forget(id, code, true);
        Ok(())
    }

    fn handle_drain(&mut self, highest: u32) -> Handled {
        if self.peer_draining {
            return Err(Violation::Protocol("a second DRAIN"));
        }
        if highest != 0 && !self.is_ours(highest) || highest > self.highest_ours {
            return Err(Violation::Protocol("DRAIN with an id that was never begun"));
        }
        self.peer_draining = true;
        let refused: Vec<_> = self
            .exchanges
            .range(highest + 1..)
            .filter(|(_, exchange)| exchange.ours)
            .map(|(id, _)| *id)
            .collect();
        for id in refused {
            self.forget(id, ResetCode::Busy, true);
        }
        self.events.push_back(Event::Draining);
        Ok(())
    }

    /// The exchange of a frame; `None` if it has ended, and the frame was under way.
    fn find(&mut self, id: u32) -> Result<Option<&mut Exchange>, Violation> {
        let highest = if self.is_ours(id) {
            self.highest_ours
        } else {
            self.highest_theirs
        };
        if id > highest {
            return Err(Violation::Protocol(
                "a frame of an exchange that was never begun",
            ));
        }
        Ok(self.exchanges.get_mut(&id).map(|exchange| &mut **exchange))
    }

    pub(super) fn is_ours(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.role == Role::Caller)
    }

    /// The peer broke a rule on this exchange, or on the link.
    fn fail(&mut self, id: u32, fault: Fault) -> Handled {
        match fault {
            Fault::Flow => Err(Violation::Flow("more than was granted")),
            Fault::Reset(code) => {
                self.control.push_back(Control::Reset(id, code));
                self.forget(id, code, false);
                Ok(())
            }
        }
    }

    fn forget(&mut self, id: u32, code: ResetCode, by_peer: bool) {
        if self.remove(id).is_some_and(|exchange| exchange.announced) {
            self.events.push_back(Event::Reset {
                id: ExchangeId(id),
                code,
                by_peer,
            });
        }
    }
}
