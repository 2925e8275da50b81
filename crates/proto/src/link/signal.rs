//! What comes through the server for one connection.

use crate::wire::{
    id::ConnectionId,
    signal::{AnswerPayload, CandidatePayload, ConnectionType, Frame, Kind},
};

/// A frame for an existing link, its payload read.
#[derive(Debug, Clone)]
pub enum Signal {
    /// The callee's description, or its refusal.
    Answer(AnswerPayload),
    /// A candidate of the peer's.
    Candidate(CandidatePayload),
    /// The peer did not come in time for the offer.
    Expire,
    /// The peer left the server.
    Leave,
}

impl Signal {
    /// Reads a frame, with the connection that it names. One that names none (EXPIRE, LEAVE) is for every link to its sender. `None`: the
    /// frame is for no data connection, or malformed.
    pub fn parse(frame: &Frame) -> Option<(Option<ConnectionId>, Self)> {
        match frame.kind {
            Kind::Answer => {
                let answer = AnswerPayload::parse(frame.payload.as_deref()?).ok()?;
                is_data(answer.connection_type)?;
                Some((Some(answer.connection_id.clone()), Self::Answer(answer)))
            }
            Kind::Candidate => {
                let candidate = CandidatePayload::parse(frame.payload.as_deref()?).ok()?;
                is_data(candidate.connection_type)?;
                Some((
                    Some(candidate.connection_id.clone()),
                    Self::Candidate(candidate),
                ))
            }
            Kind::Expire => Some((None, Self::Expire)),
            Kind::Leave => Some((None, Self::Leave)),
            _ => None,
        }
    }
}

fn is_data(kind: ConnectionType) -> Option<()> {
    (kind == ConnectionType::Data).then_some(())
}
