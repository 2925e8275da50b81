//! What is true, whoever says otherwise: who has which secret, who came in by which link, who stated what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Broken, Promise};
use crate::identity::gate::Terms;
use crate::identity::{
    Evidence, Kid, LinkProof, Reply, Secret, SigningKey, StatementHash, Time, gate::ConnectionKey,
};
use crate::wire::id::PeerId;
use crate::wire::signal::{AnswerPayload, OfferPayload};
use crate::wire::statement::Offer;

pub(super) struct Book {
    pub(super) callers: Vec<Caller>,
    pub(super) links: Vec<LinkTruth>,
    pub(super) made: BTreeMap<StatementHash, Made>,
    /// In which of the device's lives each statement was let in.
    granted: BTreeMap<StatementHash, u32>,
    life: u32,
    pub(super) started: Time,
    /// Refusals of this life, by connection and generation, apart for the proven.
    refusals: BTreeMap<(ConnectionKey, u32, bool), u32>,
    unproven: u64,
    since: Instant,
    /// When something last happened that an honest caller may stumble over.
    pub(super) disturbed: Option<Instant>,
}

pub(super) struct Caller {
    pub(super) key: SigningKey,
    pub(super) id: PeerId,
    /// Milliseconds by which its clock is off.
    pub(super) skew: i64,
    /// The link whose secret it was given.
    pub(super) holds: Option<usize>,
    /// What it brings: of the link that it holds, or a wrong one.
    pub(super) proof: Option<LinkProof>,
    pub(super) calls: u32,
    pub(super) was_in: bool,
}

pub(super) struct LinkTruth {
    pub(super) secret: Secret,
    pub(super) kid: Kid,
    pub(super) terms: Terms,
    pub(super) revoked: bool,
    /// Callers who came in by it.
    pub(super) grants: BTreeSet<usize>,
}

/// A statement as its caller made it.
pub(super) struct Made {
    pub(super) caller: usize,
    pub(super) offer: Offer,
    pub(super) evidence: Evidence,
}

#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) caller: usize,
    pub(super) began: Instant,
    /// The device should let it in.
    pub(super) entitled: bool,
}

impl Book {
    pub(super) fn new(
        callers: Vec<Caller>,
        links: Vec<LinkTruth>,
        started: Time,
        now: Instant,
    ) -> Self {
        Self {
            callers,
            links,
            made: BTreeMap::new(),
            granted: BTreeMap::new(),
            life: 0,
            started,
            refusals: BTreeMap::new(),
            unproven: 0,
            since: now,
            disturbed: None,
        }
    }

    pub(super) fn restarted(&mut self, started: Time, now: Instant) {
        self.life += 1;
        self.started = started;
        self.refusals.clear();
        self.clock_jumped(now);
    }

    pub(super) fn clock_jumped(&mut self, now: Instant) {
        (self.unproven, self.since, self.disturbed) = (0, now, Some(now));
    }

    /// Whether this caller may in, by a link's secret or by its key.
    pub(super) fn is_entitled(&self, caller: usize, kid: Option<Kid>, wall: Time) -> bool {
        let Some(kid) = kid else {
            return self.has_grant(caller, wall);
        };
        let held = self.callers[caller].holds.map(|index| &self.links[index]);
        held.is_some_and(|link| {
            let room = link
                .terms
                .uses
                .is_none_or(|uses| link.grants.len() < uses as usize);
            link.kid == kid && link.is_live(wall) && (room || link.grants.contains(&caller))
        })
    }

    pub(super) fn has_grant(&self, caller: usize, wall: Time) -> bool {
        self.links
            .iter()
            .any(|link| link.is_live(wall) && link.grants.contains(&caller))
    }

    /// The statement of an offer that proves its caller: not a byte of it is another's, and the caller may in.
    pub(super) fn proven(
        &self,
        src: &PeerId,
        payload: &OfferPayload,
        wall: Time,
    ) -> Option<StatementHash> {
        let evidence = Evidence::parse(payload.peerage.as_ref()?.get()).ok()?;
        let hash = StatementHash::of(&evidence.statement);
        let made = self.made.get(&hash)?;
        let is_true = evidence == made.evidence
            && *src == made.offer.from
            && payload.connection_id == made.offer.connection
            && payload.generation.unwrap_or(0) == made.offer.restart.map_or(0, |it| it.generation)
            && payload.label.as_deref() == Some(made.offer.label.as_str())
            && self.is_entitled(made.caller, made.offer.kid, wall);
        is_true.then_some(hash)
    }

    /// The device let an offer in.
    pub(super) fn granted(&mut self, proven: Option<StatementHash>) -> Result<usize, Broken> {
        let (hash, made) = proven
            .and_then(|hash| Some((hash, self.made.get(&hash)?)))
            .ok_or((Promise::Grant, "an unproven offer was let in".to_owned()))?;
        if let Some(life) = self.granted.insert(hash, self.life)
            // A device whose clock was behind when it started cannot know what it let in before.
            && (life == self.life || made.offer.reply.is_some() || made.offer.time < self.started)
        {
            let detail = format!("an offer of caller {} was let in twice", made.caller);
            return Err((Promise::Once, detail));
        }
        if let Some(kid) = made.offer.kid {
            let link = self.links.iter_mut().find(|link| link.kid == kid);
            link.map(|link| link.grants.insert(made.caller));
        }
        Ok(made.caller)
    }

    /// The device answers an offer that it did not let in.
    pub(super) fn refused(
        &mut self,
        name: ConnectionKey,
        generation: u32,
        proven: bool,
        reply: &AnswerPayload,
        now: Instant,
    ) -> Result<(), Broken> {
        let broken = |what: &str| Err((Promise::Quiet, format!("{name:?}: {what}")));
        if reply.sdp.is_some() {
            return broken("a refused offer got a description");
        }
        let member = reply.peerage.as_ref().map(|member| member.get());
        let signed = matches!(
            member.map(Reply::parse),
            Some(Ok(Reply::Refusal {
                evidence: Some(_),
                ..
            }))
        );
        if signed && !proven {
            return broken("an unproven offer got a signature");
        }
        let count = self
            .refusals
            .entry((name.clone(), generation, proven))
            .or_default();
        *count += 1;
        if *count > 1 {
            return broken("refused twice");
        }
        self.unproven += u64::from(!proven);
        let allowed = 51 + (now - self.since).as_millis() as u64 / 100;
        if self.unproven > allowed {
            return broken("too many refusals");
        }
        Ok(())
    }

    /// Whether a visit that ended outside should not have.
    pub(super) fn should_be_in(&self, visit: Visit, wall: Time) -> bool {
        let held = self.callers[visit.caller]
            .holds
            .map(|index| self.links[index].kid);
        let still =
            self.has_grant(visit.caller, wall) || self.is_entitled(visit.caller, held, wall);
        let calm = self.disturbed.is_none_or(|at| at < visit.began);
        visit.entitled && still && calm
    }
}

impl LinkTruth {
    fn is_live(&self, wall: Time) -> bool {
        !self.revoked && self.terms.expires.is_none_or(|expires| wall < expires)
    }
}

/// Wall-clock time that is off by so many milliseconds.
pub(super) fn wall(elapsed: Duration, skew: i64) -> Time {
    Time((crate::identity::fixture::NOW.0 + elapsed.as_millis() as u64).saturating_add_signed(skew))
}
