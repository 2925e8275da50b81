//! One connection of a [`Direct`](super::Direct).

use peerage_proto::wire::sdp::{DataDescription, Fingerprint, Setup};

use super::{DirectError, Slot};
use crate::engine::{EngineConn, Event, Path};
use crate::{Channel, CloseReason, Stats};

/// One connection: at first a promise of one, then its channels.
///
/// Dropping it ends the connection at once, and what is queued is lost. To have it delivered, drop or close the channels and wait for the end:
/// [`event`](Self::event) until `None`.
#[derive(Debug)]
pub struct Link {
    conn: EngineConn,
    /// Of the peer's description.
    fingerprint: Option<Fingerprint>,
    /// Kept until the end.
    _slot: Option<Slot>,
}

/// What happens to a [`Link`].
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// One more candidate of this machine for the peer (`candidate:…`): its addresses changed. Who has no way to tell it may leave it.
    Candidate(String),
    /// A channel is open: one event for each.
    Open(Channel),
    /// Nothing has come from the peer for [`DirectConfig::silent_after`](super::DirectConfig::silent_after), though it was asked.
    Silent,
    /// It is heard again.
    Back,
}

impl Link {
    pub(super) fn new(
        conn: EngineConn,
        slot: Option<Slot>,
        fingerprint: Option<Fingerprint>,
    ) -> Self {
        Self {
            conn,
            fingerprint,
            _slot: slot,
        }
    }

    /// Applies the answer to an [offer](super::Direct::offer).
    ///
    /// # Errors
    /// The text is no answer of data channels: the link waits for another. Or it cannot be used, which ends the link; or it is over.
    pub async fn accept(&mut self, answer: &str) -> Result<(), DirectError> {
        let answer = DataDescription::parse_stock(answer)?;
        if self.fingerprint.is_some() || self.closed().is_some() {
            return Err(DirectError::Over);
        }
        if answer.setup() != Setup::Passive {
            // Our offers take the active role.
            let why = "the answer takes the offer's role of the DTLS client";
            return Err(DirectError::Unusable(why.into()));
        }
        self.fingerprint = Some(answer.fingerprint());
        self.conn.set_remote(&answer.to_text()).await?;
        if let Some(CloseReason::Failed(why)) = self.closed() {
            return Err(DirectError::Unusable(why));
        }
        self.add_candidates(&answer).await
    }

    pub(super) async fn add_candidates(
        &self,
        description: &DataDescription,
    ) -> Result<(), DirectError> {
        for candidate in description.candidates() {
            let candidate = candidate.to_string();
            self.conn.add_plain_candidate(&candidate).await?;
        }
        Ok(())
    }

    /// Adds a candidate of the peer's (`candidate:…`, or as an attribute of a description). One that is malformed, by TCP, a `.local` name, or beyond the 64th is
    /// ignored.
    ///
    /// # Errors
    /// The engine has stopped.
    pub async fn add_candidate(&mut self, candidate: &str) -> Result<(), DirectError> {
        Ok(self.conn.add_plain_candidate(candidate).await?)
    }

    /// What happens next; `None` after the end, whose reason [`closed`](Self::closed) tells. Cancel-safe.
    pub async fn event(&mut self) -> Option<LinkEvent> {
        let mut closed = self.conn.facts().closed.clone();
        loop {
            let event = tokio::select! {
                biased;
                event = self.conn.event() => event?,
                _ = closed.wait_for(Option::is_some) => self.conn.try_event()?,
            };
            match event {
                Event::Candidate(candidate) => return Some(LinkEvent::Candidate(candidate)),
                Event::Certificate(certificate) => {
                    if self.fingerprint != Some(Fingerprint::new(certificate)) {
                        self.conn.end(CloseReason::WrongCertificate);
                    }
                }
                Event::Open(channel) => return Some(LinkEvent::Open(channel)),
                Event::Path(Path::Silent) => return Some(LinkEvent::Silent),
                Event::Path(Path::Back) => return Some(LinkEvent::Back),
                Event::Path(Path::Changed) => {}
            }
        }
    }

    /// Ends the link at once: what is queued is not delivered any more.
    pub fn end(&self) {
        self.conn.end(CloseReason::Local);
    }

    /// Why it is over, if it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.conn.facts().closed.borrow().clone()
    }

    /// Round trip and octets so far.
    pub fn stats(&self) -> Stats {
        self.conn.facts().meter.stats()
    }
}
