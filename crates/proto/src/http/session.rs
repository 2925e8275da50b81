//! One end of a link: its exchanges, and the commands upon them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::exchange::{Exchange, Kind};
use super::inbound::Phase;
use super::liveness::{Due, Liveness};
use super::{CloseReason, End, Event, ExchangeId, Framing, Gone, Incoming, OpenError, SendError};
use crate::wire::http::{Fields, Hello, Request, ResetCode};

/// First credit of each direction of each exchange.
pub const WINDOW: u32 = 65_536;
/// The window of an exchange grows up to this.
pub const GROWTH_MAX: u32 = 1 << 20;
/// What all windows of a link grow by together, at most.
pub const GROWTH: u32 = 32 << 20;
/// Exchanges of both sides together: each may have a window of 64 KiB that nobody reads.
pub const EXCHANGES: u32 = 512;
/// Octets of unfinished head blocks on a link.
pub const HEADS: usize = 4 << 20;

const _: () = assert!(
    EXCHANGES * WINDOW + GROWTH == 64 << 20,
    "what a link can hold"
);

/// Who made the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This side: its exchanges have odd ids.
    Caller,
    /// The peer: this side's exchanges have even ids.
    Callee,
}

/// What a session offers its peer.
#[derive(Debug, Clone)]
pub struct Config {
    /// Live exchanges that the peer may have begun: 256 to 448, default 256. This side then begins at most 512 less that.
    pub exchanges: u32,
    /// Whether WebSocket exchanges are answered. Default no: RESET `unsupported`.
    pub websocket: bool,
    /// Whether TCP exchanges are answered. Default no: RESET `unsupported`.
    pub tcp: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            exchanges: 256,
            websocket: false,
            tcp: false,
        }
    }
}

/// A frame that is not of an exchange's own line; it goes before those.
#[derive(Debug)]
pub(super) enum Control {
    Hello(Hello),
    Credit(u32),
    Reset(u32, ResetCode),
    Drain(u32),
    Ping,
    Pong,
}

/// The machine of one end of a link. See the module's documentation for how it is driven.
#[derive(Debug)]
pub struct Session {
    pub(super) role: Role,
    pub(super) config: Config,
    /// What the peer's hello said.
    pub(super) peer: Option<Hello>,
    /// Boxed: nodes of the tree stay small, and moving one is cheap.
    pub(super) exchanges: BTreeMap<u32, Box<Exchange>>,
    pub(super) ours: u32,
    pub(super) theirs: u32,
    /// The next id for an exchange of ours; `None` when they ran out.
    pub(super) next_id: Option<u32>,
    /// Highest id of ours that the peer has heard of.
    pub(super) highest_ours: u32,
    /// Highest id that the peer has begun.
    pub(super) highest_theirs: u32,
    /// What windows may still grow by.
    pub(super) pool: u32,
    /// Octets of unfinished head blocks.
    pub(super) blocks: usize,
    pub(super) control: VecDeque<Control>,
    pub(super) ready: VecDeque<u32>,
    pub(super) events: VecDeque<Event>,
    pub(super) liveness: Liveness,
    pub(super) pings: u64,
    pub(super) pong: Option<[u8; 8]>,
    /// This side drains: nothing of the peer's above this id is served.
    pub(super) draining: Option<u32>,
    pub(super) peer_draining: bool,
    pub(super) closed: Option<CloseReason>,
}

impl Session {
    /// A session on a channel that has just opened. Its hello is the first message of `poll_transmit`.
    pub fn new(role: Role, config: Config, now: Instant) -> Self {
        let exchanges = config.exchanges.clamp(256, 448);
        let config = Config {
            exchanges,
            ..config
        };
        let hello = Hello {
            exchanges,
            websocket: config.websocket,
            tcp: config.tcp,
            ..Hello::default()
        };
        Self {
            role,
            config,
            peer: None,
            exchanges: BTreeMap::new(),
            ours: 0,
            theirs: 0,
            next_id: Some(match role {
                Role::Caller => 1,
                Role::Callee => 2,
            }),
            highest_ours: 0,
            highest_theirs: 0,
            pool: GROWTH,
            blocks: 0,
            control: VecDeque::from([Control::Hello(hello)]),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            liveness: Liveness::new(now),
            pings: 0,
            pong: None,
            draining: None,
            peer_draining: false,
            closed: None,
        }
    }

    /// The next thing to tell. Drain it to `None` after every input, command and `poll_transmit`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` is due; changes with every input and command.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.closed.is_none() && !self.exchanges.is_empty()).then(|| self.liveness.deadline())
    }

    /// Time has passed. Early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none() {
            return;
        }
        match self.liveness.expire(now) {
            Some(Due::Ping) => {
                self.pings += 1;
                self.control.push_back(Control::Ping);
            }
            Some(Due::Close) => self.close(CloseReason::Silent),
            None => {}
        }
    }

    /// Ends the session: every exchange is `gone`, then comes `Event::Closed`. For a channel that closed (`CloseReason::Lost`), or that carried
    /// what is no message of this protocol, such as text. Only the first reason counts.
    pub fn close(&mut self, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        for (id, exchange) in std::mem::take(&mut self.exchanges) {
            if exchange.announced {
                self.events.push_back(Event::Reset {
                    id: ExchangeId(id),
                    code: ResetCode::Gone,
                    by_peer: false,
                });
            }
        }
        self.control = VecDeque::new();
        self.ready = VecDeque::new();
        self.events.push_back(Event::Closed(reason));
    }

    /// Why the session is closed, if it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// The peer's hello, once it has come.
    pub fn peer(&self) -> Option<&Hello> {
        self.peer.as_ref()
    }

    /// How many exchanges are live, of both sides.
    pub fn live(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether an exchange is live: begun, and not over.
    pub fn is_live(&self, id: ExchangeId) -> bool {
        self.exchanges.contains_key(&id.0)
    }

    /// What a session without exchanges must have given back: unused growth, octets of unfinished heads, places in the line.
    #[cfg(any(test, feature = "sim"))]
    pub fn holdings(&self) -> (u32, usize, usize) {
        (self.pool, self.blocks, self.ready.len())
    }

    /// How many exchanges may be begun now.
    pub fn openings(&self) -> u32 {
        if self.closed.is_some() || self.is_draining() || self.next_id.is_none() {
            return 0;
        }
        let peer = self.peer.unwrap_or_default().exchanges;
        peer.min(EXCHANGES - self.config.exchanges)
            .saturating_sub(self.ours)
    }

    /// Whether one of the sides begins nothing more.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some() || self.peer_draining
    }

    /// Begins an exchange; `end`: there is no body. It may begin before the peer's hello has come.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was sent then.
    pub fn open(
        &mut self,
        request: Request,
        end: bool,
        now: Instant,
    ) -> Result<ExchangeId, OpenError> {
        if self.closed.is_some() {
            return Err(OpenError::Closed);
        }
        let Some(id) = self.next_id.filter(|_| !self.is_draining()) else {
            return Err(OpenError::Draining);
        };
        let peer = self.peer.unwrap_or_default();
        match Kind::of(&request) {
            Kind::WebSocket if !peer.websocket => return Err(OpenError::Unsupported),
            Kind::Tcp if !peer.tcp => return Err(OpenError::Unsupported),
            _ => {}
        }
        if self.openings() == 0 {
            return Err(OpenError::Busy);
        }
        let exchange = Exchange::begin(request, end, peer.window).map_err(|error| match error {
            SendError::Head(error) => OpenError::Head(error),
            _ => OpenError::ContentLength,
        })?;
        self.insert(id, exchange, now);
        self.next_id = id.checked_add(2);
        if self.next_id.is_none() {
            self.drain();
        }
        self.line_up(id);
        Ok(ExchangeId(id))
    }

    /// Sends an interim response (102 to 199), at most eight of them.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    pub fn inform(&mut self, id: ExchangeId, status: u16, fields: Fields) -> Result<(), SendError> {
        self.exchange(id)?.inform(status, fields)?;
        self.line_up(id.0);
        Ok(())
    }

    /// Responds to an exchange of the peer's; `end`: there is no body. Answers to HEAD, 204 and 304 end in any case.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    pub fn respond(
        &mut self,
        id: ExchangeId,
        status: u16,
        fields: Fields,
        end: bool,
    ) -> Result<(), SendError> {
        self.exchange(id)?.respond(status, fields, end)?;
        self.line_up(id.0);
        Ok(())
    }

    /// Queues octets to be sent: takes from `bytes` what there is room for, without copying. `false`: some are left, or the end of the message is;
    /// call again with the rest at `Event::Writable`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was taken then.
    pub fn write(
        &mut self,
        id: ExchangeId,
        bytes: &mut Bytes,
        framing: Framing,
    ) -> Result<bool, SendError> {
        let all = self.exchange(id)?.outbound.write(bytes, framing)?;
        self.line_up(id.0);
        Ok(all)
    }

    /// Octets that `write` takes now: up to [`super::SEND_QUEUE`], 0 where nothing can be written.
    pub fn writable(&self, id: ExchangeId) -> usize {
        self.exchanges
            .get(&id.0)
            .map_or(0, |exchange| exchange.outbound.room())
    }

    /// Ends this side's direction.
    ///
    /// # Errors
    /// See [`SendError`]; the direction is open still, except where it is `Gone`.
    pub fn finish(&mut self, id: ExchangeId, end: End) -> Result<(), SendError> {
        self.exchange(id)?.finish(end)?;
        self.line_up(id.0);
        Ok(())
    }

    /// Whether this side's direction has ended, or the whole exchange: nothing can be written.
    pub fn is_finished(&self, id: ExchangeId) -> bool {
        self.exchanges
            .get(&id.0)
            .is_none_or(|exchange| exchange.outbound.phase == Phase::Ended)
    }

    /// Takes the next piece, of at most `max` octets, and so lets the peer send more. `None`: nothing has come; wait for `Event::Readable`.
    ///
    /// # Errors
    /// The exchange is over.
    pub fn read(&mut self, id: ExchangeId, max: usize) -> Result<Option<Incoming>, Gone> {
        let exchange = self
            .exchanges
            .get_mut(&id.0)
            .filter(|exchange| !exchange.inbound.is_discarded())
            .ok_or(Gone)?;
        let Some((incoming, cost)) = exchange.inbound.read(max.max(1)) else {
            return if exchange.inbound.is_done() {
                Err(Gone)
            } else {
                Ok(None)
            };
        };
        if exchange.inbound.taken(cost, &mut self.pool) {
            self.control.push_back(Control::Credit(id.0));
        }
        self.settle(id.0);
        Ok(Some(incoming))
    }

    /// Nobody reads this exchange any more. On an exchange of ours this is a reset `cancelled`; on one of the peer's, the rest of its request is
    /// thrown away, and when the response has ended first the peer is told so.
    pub fn discard(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&id.0) else {
            return;
        };
        if exchange.ours && exchange.inbound.phase != Phase::Ended {
            return self.reset(id, ResetCode::Cancelled);
        }
        exchange.inbound.discard();
        self.settle(id.0);
    }

    /// Breaks an exchange off at once; what was queued for it is freed. Unknown ids are ignored, and no event follows.
    pub fn reset(&mut self, id: ExchangeId, code: ResetCode) {
        if self
            .remove(id.0)
            .is_some_and(|exchange| !exchange.ours || exchange.outbound.begun)
        {
            self.control.push_back(Control::Reset(id.0, code));
        }
    }

    /// Begins nothing more, serves nothing more than what is live, and closes (`CloseReason::Drained`) when that is over.
    pub fn drain(&mut self) {
        if self.closed.is_none() && self.draining.is_none() {
            self.draining = Some(self.highest_theirs);
            self.control.push_back(Control::Drain(self.highest_theirs));
        }
    }

    fn exchange(&mut self, id: ExchangeId) -> Result<&mut Exchange, Gone> {
        self.exchanges
            .get_mut(&id.0)
            .map(|exchange| &mut **exchange)
            .ok_or(Gone)
    }

    pub(super) fn insert(&mut self, id: u32, exchange: Exchange, now: Instant) {
        if self.exchanges.is_empty() {
            self.liveness.heard(now);
        }
        *(if exchange.ours {
            &mut self.ours
        } else {
            &mut self.theirs
        }) += 1;
        self.exchanges.insert(id, Box::new(exchange));
    }

    /// Frees all that an exchange holds.
    pub(super) fn remove(&mut self, id: u32) -> Option<Box<Exchange>> {
        let exchange = self.exchanges.remove(&id)?;
        *(if exchange.ours {
            &mut self.ours
        } else {
            &mut self.theirs
        }) -= 1;
        self.pool += exchange.inbound.grown();
        self.blocks -= exchange.inbound.block_held();
        if exchange.outbound.in_line {
            self.ready.retain(|ready| *ready != id);
        }
        Some(exchange)
    }

    /// Lets an exchange take its turn, if it has something to send.
    pub(super) fn line_up(&mut self, id: u32) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            let out = &mut exchange.outbound;
            if !out.in_line && out.is_ready() {
                out.in_line = true;
                self.ready.push_back(id);
            }
        }
    }

    /// Lets go of an exchange that is over.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(exchange) = self
            .exchanges
            .get(&id)
            .filter(|exchange| exchange.outbound.is_done())
        else {
            return;
        };
        let unwanted = exchange.inbound.is_discarded() && exchange.inbound.phase != Phase::Ended;
        if !unwanted && !exchange.inbound.is_done() {
            return;
        }
        self.remove(id);
        if unwanted {
            self.control.push_back(Control::Reset(id, ResetCode::None));
        }
        self.events.push_back(Event::Ended { id: ExchangeId(id) });
    }
}
