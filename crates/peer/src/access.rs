//! Who may reach this device: its links and grants, to be changed while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_proto::identity::gate::{
    Event, Gate, Granted, IncomingOffer, LinkError, Refused, State, Terms,
};
use peerage_proto::identity::{Evidence, Fingerprint, Kid, PublicKey, Secret, Time};
use peerage_proto::wire::id::{ConnectionId, PeerId};
use peerage_proto::wire::sdp::SdpError;
use tokio::sync::{mpsc, watch};

use crate::{clock, random};

/// A handle of the device's access rules. Changes take effect at once, on connections that live too.
#[derive(Debug, Clone)]
pub struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gate: Mutex<Gate>,
    changes: watch::Sender<u64>,
    /// Connections to end, for the peer's dispatcher; bounded by the gate's connections.
    revoked: mpsc::Sender<(PeerId, ConnectionId)>,
}

impl Access {
    /// `connections` is the gate's limit: so many can be revoked at once.
    pub(crate) fn new(
        gate: Gate,
        connections: usize,
    ) -> (Self, mpsc::Receiver<(PeerId, ConnectionId)>) {
        let (revoked, to_end) = mpsc::channel(connections.max(1));
        let shared = Shared {
            gate: Mutex::new(gate),
            changes: watch::Sender::new(0),
            revoked,
        };
        (Self(Arc::new(shared)), to_end)
    }

    /// Makes a link with this secret.
    ///
    /// # Errors
    /// The device has as many links as it can, or one with this secret.
    pub fn add_link(&self, secret: Secret, terms: Terms) -> Result<Kid, LinkError> {
        self.with(|gate, now| gate.add_link(secret, terms, now))
    }

    /// Revokes a link: its grants end, and with them every connection that lives by no other. Whether there was such a link.
    pub fn revoke(&self, kid: Kid) -> bool {
        self.with(|gate, now| gate.revoke(kid, now))
    }

    /// The links by which a key may come in now.
    pub fn grants_of(&self, key: &PublicKey) -> Vec<Kid> {
        self.with(|gate, now| gate.grants_of(key, now))
    }

    /// Links and grants as they are now, to be stored. Holds secrets.
    pub fn state(&self) -> State {
        self.with(|gate, _| gate.state().clone())
    }

    /// Changes whenever [`state`](Self::state) does: it is to be stored then.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    pub(crate) fn verify_offer(&self, incoming: &IncomingOffer<'_>) -> Result<Granted, Refused> {
        self.with(|gate, now| gate.verify_offer(incoming, now, &mut random::os()))
    }

    pub(crate) fn answer(&self, granted: &Granted, local: Fingerprint) -> Option<Evidence> {
        self.with(|gate, now| gate.answer(granted, local, now, &mut random::os()))
    }

    pub(crate) fn answer_restart(
        &self,
        granted: &Granted,
        sdp: &str,
    ) -> Result<Option<Evidence>, SdpError> {
        self.with(|gate, now| gate.answer_restart(granted, sdp, now, &mut random::os()))
    }

    pub(crate) fn closed(&self, src: &PeerId, connection: &ConnectionId) {
        self.with(|gate, _| gate.closed(src, connection));
    }

    /// When a link that connections may hang by expires next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.with(|gate, now| gate.poll_timeout(now))
    }

    pub(crate) fn handle_timeout(&self) {
        self.with(Gate::handle_timeout);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Gate, Time) -> T) -> T {
        let mut gate = self.gate();
        let outcome = act(&mut gate, clock::wall());
        while let Some(event) = gate.poll_event() {
            match event {
                Event::Changed => self.0.changes.send_modify(|version| *version += 1),
                // Room is for all that live. If the dispatcher is gone, so are they.
                Event::End(connection) => drop(self.0.revoked.try_send(connection)),
                Event::LinkFull(kid) => {
                    tracing::warn!(%kid, "a link takes no further keys: a caller was turned away");
                }
            }
        }
        outcome
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // A gate that panicked in the middle is still the stricter choice than none.
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
