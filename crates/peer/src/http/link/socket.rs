//! What the halves of a WebSocket do to their exchange.

use std::task::{Context, Poll};

use bytes::Bytes;
use peerage_proto::http::{End, ExchangeId, Framing, SendError};

use super::{Over, Shared, State, forgotten, wait};
use crate::http::{Error, ResetCode};

/// Octets of unfinished WebSocket messages that a link holds for their readers.
const MESSAGES_MAX: usize = 64 << 20;

impl Shared {
    /// Whether an exchange broke off; else whoever watches it is woken when it does.
    pub(in crate::http) fn poll_broken(&self, id: ExchangeId, cx: &Context<'_>) -> Poll<Error> {
        match self.lock().slots.get_mut(&id) {
            Some(slot) => match &slot.over {
                Some(Over::Failed(error)) => Poll::Ready(error.clone()),
                _ => wait(&mut slot.watcher, cx),
            },
            None => Poll::Ready(forgotten()),
        }
    }

    /// Writes of a WebSocket message what there is room for. `true`: all of it.
    pub(in crate::http) fn write_message(
        &self,
        id: ExchangeId,
        bytes: &mut Bytes,
        text: bool,
    ) -> Result<bool, Error> {
        let mut state = self.lock();
        let written = state
            .session
            .write(id, bytes, Framing::Message { text, fin: true });
        let written = written.map_err(|error| state.send_error(id, error));
        drop(state);
        self.transmit.notify_one();
        written
    }

    /// Ends this side's direction; nothing, if it has ended.
    pub(in crate::http) fn finish(&self, id: ExchangeId, end: End) -> Result<(), Error> {
        let mut state = self.lock();
        if state.session.is_live(id) && state.session.is_finished(id) {
            return Ok(());
        }
        let finished = state.session.finish(id, end);
        let finished = finished.map_err(|error| state.send_error(id, error));
        drop(state);
        self.transmit.notify_one();
        finished
    }

    /// Keeps how the peer closed a WebSocket, so that this side can answer it.
    pub(in crate::http) fn peer_closed(&self, id: ExchangeId, close: Bytes) {
        if let Some(slot) = self.lock().slots.get_mut(&id) {
            slot.close = Some(close);
        }
    }

    /// The sender of a WebSocket goes away: a close of the peer's is answered, anything else breaks off.
    pub(in crate::http) fn abandon(&self, id: ExchangeId, code: ResetCode) {
        let mut state = self.lock();
        let close = state.slots.get_mut(&id).and_then(|slot| slot.close.take());
        if state.session.is_finished(id) {
            return;
        }
        let answered =
            close.is_some_and(|close| state.session.finish(id, End::Close(close)).is_ok());
        drop(state);
        if answered {
            self.transmit.notify_one();
        } else {
            self.reset(id, code);
        }
    }

    /// This side cannot take what the peer sends on a WebSocket. One who serves may close it with words, and its requester reads them; a requester
    /// can only break it off.
    pub(in crate::http) fn refuse(&self, id: ExchangeId, code: ResetCode, close: Bytes) {
        let mut state = self.lock();
        if state.serves && state.session.finish(id, End::Close(close)).is_ok() {
            state.session.discard(id);
            self.dispatch(&mut state);
            drop(state);
            self.transmit.notify_one();
        } else {
            drop(state);
            self.reset(id, code);
        }
    }

    /// Makes room for a part of a WebSocket message. `false`: the link holds too much of others.
    pub(in crate::http) fn reserve(&self, octets: usize) -> bool {
        let mut state = self.lock();
        let fits = state.messages + octets <= MESSAGES_MAX;
        if fits {
            state.messages += octets;
        }
        fits
    }

    /// Gives that room back.
    pub(in crate::http) fn unreserve(&self, octets: usize) {
        self.lock().messages -= octets;
    }
}

impl State {
    /// Why nothing more can be written: how the exchange ended says more than that it did.
    fn send_error(&self, id: ExchangeId, error: SendError) -> Error {
        match (
            error,
            self.slots.get(&id).and_then(|slot| slot.over.as_ref()),
        ) {
            (SendError::Gone, Some(Over::Failed(error))) => error.clone(),
            (error, _) => error.into(),
        }
    }
}
