//! Faults planted around the machines, to prove that the simulation notices.

use super::book::Caller;
use crate::identity::gate::State;
use crate::identity::{Evidence, Reply, SigningKey};
use crate::wire::signal::{AnswerPayload, Frame, Kind, OfferPayload};
use crate::wire::statement::{DescriptionHash, Statement};

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A caller does not check who signed an answer.
    BelieveAnyAnswer,
    /// The engine gets an answer before the machine has judged it.
    ApplyUnread,
    /// The certificate that is compared is the one of the description.
    CompareNothing,
    /// The device does not check the proof of a link.
    BelieveAnyMac,
    /// Revoked links live on.
    ForgetRevocation,
    /// Connections outlive their grants.
    IgnoreEnd,
    /// Candidates leave as they are found.
    TrickleAtOnce,
    /// The offer is sent as the engine wrote it.
    CandidatesInOffer,
    /// Every refused offer is told so.
    RefuseAlways,
    /// A refusal comes with the device's description.
    DescribeRefused,
    /// A link's time does not end.
    LoseTimeouts,
    /// The gate is not told of the end of a connection.
    ForgetClosed,
    /// The device forgets what it has seen.
    ForgetSeen,
    /// The server's word ends connections.
    BelieveLeave,
    /// Nobody tries a second time.
    NoSecondTry,
    /// The device does not check what a restart's statement says of its description.
    BelieveAnyRestart,
    /// Candidates of a restart leave as they are found.
    TrickleRestart,
    /// The server's word that a connection is gone ends it.
    BelieveGone,
    /// The device takes a restart without its generation for a first offer.
    RestartAsFirst,
    /// The device takes a restart again, as if it were the next.
    RestartAgain,
    /// The machine is not told that its path is lost.
    ForgetPath,
    /// Restarts bring the time again, whatever the device asked for.
    ForgetNonce,
    /// Lost paths are restarted without a pause.
    RestartAtOnce,
}

impl Bug {
    /// What arrives at the caller or the device, as if a check were not there.
    pub(super) fn on_arrival(
        self,
        frame: &mut Frame,
        device: &SigningKey,
        state: &State,
        callers: &[Caller],
    ) {
        match (self, frame.kind) {
            (Self::BelieveAnyAnswer, Kind::Answer) => sign_again(frame, device),
            (Self::BelieveAnyMac, Kind::Offer) => prove_again(frame, device, state),
            (Self::BelieveAnyRestart, Kind::Offer) => state_again(frame, callers, true),
            (Self::RestartAsFirst, Kind::Offer) => state_again(frame, callers, false),
            _ => None,
        };
    }
}

fn sign_again(frame: &mut Frame, device: &SigningKey) -> Option<()> {
    let mut answer = AnswerPayload::parse(frame.payload.as_deref()?).ok()?;
    let Ok(Reply::Answer(mut evidence)) = Reply::parse(answer.peerage.as_ref()?.get()) else {
        return None;
    };
    if let Ok(Statement::Answer(mut statement)) = Statement::parse(&evidence.statement) {
        statement.key = *device.public_key().as_bytes();
        evidence.statement = Statement::Answer(statement).emit();
    }
    evidence.signature = device.sign(&evidence.statement);
    answer.peerage = Some(Reply::Answer(evidence).emit());
    frame.payload = Some(answer.to_raw());
    Some(())
}

fn prove_again(frame: &mut Frame, device: &SigningKey, state: &State) -> Option<()> {
    let mut offer = OfferPayload::parse(frame.payload.as_deref()?).ok()?;
    let mut evidence = Evidence::parse(offer.peerage.as_ref()?.get()).ok()?;
    let Ok(Statement::Offer(statement)) = Statement::parse(&evidence.statement) else {
        return None;
    };
    let link = state
        .links()
        .find(|link| Some(link.kid()) == statement.kid)?;
    let key = link.secret().mac_key(&device.device_id());
    evidence.mac = Some(key.mac(&evidence.statement));
    offer.peerage = Some(evidence.emit());
    frame.payload = Some(offer.to_raw());
    Some(())
}

/// Says of a restart what its frame says: its description, or that it is none.
fn state_again(frame: &mut Frame, callers: &[Caller], restart: bool) -> Option<()> {
    let mut payload = OfferPayload::parse(frame.payload.as_deref()?).ok()?;
    let mut evidence = Evidence::parse(payload.peerage.as_ref()?.get()).ok()?;
    let Ok(Statement::Offer(mut statement)) = Statement::parse(&evidence.statement) else {
        return None;
    };
    let stated = statement.restart.as_mut()?;
    if restart {
        stated.description = DescriptionHash::of(&payload.sdp.sdp);
    } else if payload.generation.is_none() {
        statement.restart = None;
    }
    let is_maker = |caller: &&Caller| *caller.key.public_key().as_bytes() == statement.key;
    let maker = callers.iter().find(is_maker)?;
    evidence.statement = Statement::Offer(statement.clone()).emit();
    evidence.signature = maker.key.sign(&evidence.statement);
    payload.peerage = Some(evidence.emit());
    frame.payload = Some(payload.to_raw());
    Some(())
}
