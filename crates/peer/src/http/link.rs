//! The machine of a link behind its lock, and who waits for what.

mod socket;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use peerage_proto::{
    http::{CloseReason, Config, Event, ExchangeId, Incoming, Role, Session},
    wire::http::{Fields, Request},
};
use tokio::sync::Notify;

use super::{Error, Features, ResetCode};

/// A body on its way out, driven by the link's task.
pub(super) type Pump = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One end of a link, shared by its task and all who have an exchange on it.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There may be something to transmit, or the session closed.
    pub(super) transmit: Notify,
    /// The session's timeout may be earlier than it was.
    pub(super) armed: Notify,
    /// `State::begun` or `State::pumps` grew.
    pub(super) work: Notify,
    /// An exchange may be begun again, or never.
    opening: Notify,
}

pub(super) struct State {
    pub(super) session: Session,
    slots: HashMap<ExchangeId, Slot>,
    /// Exchanges of the peer's that nobody serves yet; as many as the session lets the peer begin.
    pub(super) begun: VecDeque<Begun>,
    /// Bodies that the link's task is to take over; as many as exchanges that this side may begin.
    pub(super) pumps: Vec<Pump>,
    /// Octets of WebSocket messages that are being put together.
    messages: usize,
    serves: bool,
}

/// An exchange that the peer began.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) id: ExchangeId,
    pub(super) request: Request,
    pub(super) end: bool,
}

/// The head of a response that arrived.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) end: bool,
}

/// What a requester hears before the body.
#[derive(Debug)]
pub(super) enum Answer {
    Interim { status: u16, fields: Fields },
    Response(ResponseHead),
}

/// Who holds an exchange, and what it has for them.
#[derive(Debug, Default)]
struct Slot {
    /// The response to an exchange of ours, until it is taken.
    response: Option<ResponseHead>,
    /// Interim responses to it, at most eight, where somebody wants them.
    interims: Option<VecDeque<(u16, Fields)>>,
    over: Option<Over>,
    /// What had arrived when the link closed.
    rescued: VecDeque<Incoming>,
    /// How the peer closed a WebSocket, once that was read.
    close: Option<Bytes>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
    /// Reader and writer, where they live.
    holders: u8,
}

/// How an exchange ended.
#[derive(Debug, Clone)]
enum Over {
    Well,
    /// What is written now is not needed; what arrived can be read.
    Stopped,
    Failed(Error),
}

impl Shared {
    pub(super) fn new(role: Role, features: Features) -> Self {
        let config = Config {
            websocket: features.websocket,
            ..Config::default()
        };
        let session = Session::new(role, config, Instant::now());
        let serves = role == Role::Callee;
        Self {
            state: Mutex::new(State {
                session,
                slots: HashMap::new(),
                begun: VecDeque::new(),
                pumps: Vec::new(),
                messages: 0,
                serves,
            }),
            transmit: Notify::new(),
            armed: Notify::new(),
            work: Notify::new(),
            opening: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic beneath the lock is a fault of the machine; the link then fails by its own checks.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message arrived.
    pub(super) fn received(&self, message: Bytes) {
        let mut state = self.lock();
        state.session.handle_message(message, Instant::now());
        self.dispatch(&mut state);
        drop(state);
        self.transmit.notify_one();
    }

    /// The next message to send, if there is one.
    pub(super) fn next_message(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let message = state.session.poll_transmit();
        self.dispatch(&mut state);
        message
    }

    /// Time has passed.
    pub(super) fn timed_out(&self) {
        let mut state = self.lock();
        state.session.handle_timeout(Instant::now());
        self.dispatch(&mut state);
        drop(state);
        self.transmit.notify_one();
    }

    /// Ends the session, and every exchange with it. What arrived before can still be read: a peer may close as soon as
    /// it has sent the last of its answers.
    pub(super) fn close(&self, reason: CloseReason) {
        let mut state = self.lock();
        state.rescue();
        state.session.close(reason);
        self.dispatch(&mut state);
        drop(state);
        self.transmit.notify_one();
    }

    /// Waits until the peer has said what it answers, or the link closed.
    pub(super) async fn hello(&self) {
        loop {
            let mut opening = std::pin::pin!(self.opening.notified());
            {
                let state = self.lock();
                if state.session.peer().is_some() || state.session.closed().is_some() {
                    return;
                }
                opening.as_mut().enable();
            }
            opening.await;
        }
    }

    /// Begins an exchange as soon as the peer allows one more; `informed`: somebody wants its interim responses.
    pub(super) async fn open(
        &self,
        request: Request,
        end: bool,
        informed: bool,
    ) -> Result<ExchangeId, Error> {
        loop {
            let mut opening = std::pin::pin!(self.opening.notified());
            {
                let mut state = self.lock();
                let may_wait = state.session.closed().is_none() && !state.session.is_draining();
                if state.session.openings() > 0 || !may_wait {
                    let id = state.session.open(request, end, Instant::now())?;
                    state.slots.insert(
                        id,
                        Slot {
                            holders: 1,
                            interims: informed.then(VecDeque::new),
                            ..Slot::default()
                        },
                    );
                    if state.session.live() == 1 {
                        self.armed.notify_one();
                    }
                    return Ok(id);
                }
                // Beneath the lock, so that no exchange can end unseen in between.
                opening.as_mut().enable();
            }
            opening.await;
        }
    }

    /// Hands a body to the link's task.
    pub(super) fn take_over(&self, pump: Pump) {
        self.lock().pumps.push(pump);
        self.work.notify_one();
    }

    /// One more holder of an exchange that is held already.
    pub(super) fn hold(&self, id: ExchangeId) {
        if let Some(slot) = self.lock().slots.get_mut(&id) {
            slot.holders += 1;
        }
    }

    /// A holder lets go; `discard`: it was the reader, and nobody reads any more.
    pub(super) fn release(&self, id: ExchangeId, discard: bool) {
        let mut state = self.lock();
        if discard {
            state.session.discard(id);
            self.dispatch(&mut state);
            state.notice_end(id, ResetCode::Cancelled);
            self.opening.notify_one();
        }
        if let Some(slot) = state.slots.get_mut(&id) {
            slot.holders -= 1;
            if slot.holders == 0 {
                state.slots.remove(&id);
            }
        }
        drop(state);
        self.transmit.notify_one();
    }

    /// Breaks an exchange off.
    pub(super) fn reset(&self, id: ExchangeId, code: ResetCode) {
        let mut state = self.lock();
        state.session.reset(id, code);
        state.notice_end(id, code);
        drop(state);
        self.opening.notify_one();
        self.transmit.notify_one();
    }

    /// The next head of the response to an exchange of ours.
    pub(super) fn poll_answer(
        &self,
        id: ExchangeId,
        cx: &Context<'_>,
    ) -> Poll<Result<Answer, Error>> {
        let mut state = self.lock();
        let Some(slot) = state.slots.get_mut(&id) else {
            return Poll::Ready(Err(forgotten()));
        };
        if let Some((status, fields)) = slot.interims.as_mut().and_then(VecDeque::pop_front) {
            return Poll::Ready(Ok(Answer::Interim { status, fields }));
        }
        if let Some(response) = slot.response.take() {
            return Poll::Ready(Ok(Answer::Response(response)));
        }
        match &slot.over {
            Some(Over::Failed(error)) => Poll::Ready(Err(error.clone())),
            Some(Over::Well) => Poll::Ready(Err(forgotten())),
            None | Some(Over::Stopped) => wait(&mut slot.reader, cx),
        }
    }

    /// The next that arrived on an exchange.
    pub(super) fn poll_read(
        &self,
        id: ExchangeId,
        cx: &Context<'_>,
    ) -> Poll<Result<Incoming, Error>> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(rescued) = state
            .slots
            .get_mut(&id)
            .and_then(|slot| slot.rescued.pop_front())
        {
            return Poll::Ready(Ok(rescued));
        }
        let read = state.session.read(id, usize::MAX);
        let result = match read {
            Ok(Some(incoming)) => {
                // A CREDIT may be due, or this was the last of the exchange.
                self.dispatch(state);
                self.transmit.notify_one();
                Ok(incoming)
            }
            Ok(None) => match state.slots.get_mut(&id) {
                Some(slot) => return wait(&mut slot.reader, cx),
                None => Err(forgotten()),
            },
            Err(_) => Err(
                match state.slots.get(&id).and_then(|slot| slot.over.as_ref()) {
                    Some(Over::Failed(error)) => error.clone(),
                    _ => forgotten(),
                },
            ),
        };
        Poll::Ready(result)
    }

    /// Whether nothing more needs to be written on an exchange; else the writer is woken when that changes.
    pub(super) fn poll_over(&self, id: ExchangeId, cx: &Context<'_>) -> Poll<()> {
        match self.lock().slots.get_mut(&id) {
            Some(slot) if slot.over.is_none() => wait(&mut slot.writer, cx),
            _ => Poll::Ready(()),
        }
    }

    /// Hands events to those who wait for them.
    fn dispatch(&self, state: &mut State) {
        while let Some(event) = state.session.poll_event() {
            match event {
                Event::Hello(_) | Event::Draining => self.opening.notify_waiters(),
                Event::Opened { id, request, end } => self.begin(state, id, request, end),
                Event::Interim { id, status, fields } => state.change(id, |slot| {
                    slot.interims.as_mut()?.push_back((status, fields));
                    slot.reader.take()
                }),
                Event::Response {
                    id,
                    status,
                    fields,
                    end,
                } => state.change(id, |slot| {
                    slot.response = Some(ResponseHead {
                        status,
                        fields,
                        end,
                    });
                    slot.reader.take()
                }),
                Event::Readable { id } => state.change(id, |slot| slot.reader.take()),
                Event::Writable { id } => state.change(id, |slot| slot.writer.take()),
                Event::Stopped { id } => state.change(id, |slot| {
                    slot.over.get_or_insert(Over::Stopped);
                    slot.writer.take()
                }),
                Event::Ended { id } => {
                    state.finish(id, Over::Well);
                    self.opening.notify_one();
                }
                Event::Reset { id, code, by_peer } => {
                    let error = state.reset_error(code, by_peer);
                    state.finish(id, Over::Failed(error));
                    self.opening.notify_one();
                }
                Event::Closed(reason) => {
                    tracing::debug!(%reason, "link closed");
                    self.opening.notify_waiters();
                    self.work.notify_one();
                }
            }
        }
    }

    fn begin(&self, state: &mut State, id: ExchangeId, request: Request, end: bool) {
        if !state.serves {
            state.session.reset(id, ResetCode::Unsupported);
            return;
        }
        // The writer's hold; the reader takes its own.
        state.slots.insert(
            id,
            Slot {
                holders: 1,
                ..Slot::default()
            },
        );
        state.begun.push_back(Begun { id, request, end });
        if state.session.live() == 1 {
            self.armed.notify_one();
        }
        self.work.notify_one();
    }
}

impl State {
    /// Changes a slot and wakes whom it says.
    fn change(&mut self, id: ExchangeId, change: impl FnOnce(&mut Slot) -> Option<Waker>) {
        if let Some(waker) = self.slots.get_mut(&id).and_then(change) {
            waker.wake();
        }
    }

    fn finish(&mut self, id: ExchangeId, over: Over) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.over = Some(over);
        let wakers = [&mut slot.reader, &mut slot.writer, &mut slot.watcher];
        for waker in wakers.into_iter().filter_map(Option::take) {
            waker.wake();
        }
    }

    /// After a command that may have ended an exchange without an event: tells its other holder.
    fn notice_end(&mut self, id: ExchangeId, code: ResetCode) {
        if !self.session.is_live(id) && self.slots.get(&id).is_some_and(|slot| slot.over.is_none())
        {
            self.finish(
                id,
                Over::Failed(Error::new(code, "this side broke the exchange off")),
            );
        }
    }

    /// Takes what waits for readers out of the session, which forgets it when it closes.
    fn rescue(&mut self) {
        for (id, slot) in &mut self.slots {
            while let Ok(Some(incoming)) = self.session.read(*id, usize::MAX) {
                slot.rescued.push_back(incoming);
            }
        }
    }

    fn reset_error(&self, code: ResetCode, by_peer: bool) -> Error {
        match (by_peer, self.session.closed()) {
            (true, _) => Error::new(code, "the other side broke the exchange off"),
            (false, Some(reason)) => Error::new(code, reason.to_string()),
            (false, None) => Error::new(code, "the other side broke the rules of HTTP"),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("exchanges", &self.slots.len())
            .finish_non_exhaustive()
    }
}

fn wait<T>(place: &mut Option<Waker>, cx: &Context<'_>) -> Poll<T> {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
    Poll::Pending
}

/// Reached only after an end that was delivered already.
fn forgotten() -> Error {
    Error::new(ResetCode::Gone, "the exchange is over")
}
