//! Messages of this member's that wait for answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::room::{Body, MemberNumber, Name, UnackedReason};

use super::{AckId, Answers};

/// By number, and when it was asked by name. Neither is there for the hub.
type Asked = (Option<MemberNumber>, Option<Name>);

#[derive(Debug, Default)]
pub(super) struct Asks {
    asks: BTreeMap<AckId, Ask>,
}

#[derive(Debug)]
struct Ask {
    /// Those that have not answered; none as long as the hub has not said who they are.
    waiting: Option<Vec<Asked>>,
    answers: Vec<(Option<Name>, Body)>,
    missing: Vec<(Option<Name>, UnackedReason)>,
    until: Duration,
}

impl Asks {
    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn add(&mut self, id: AckId, waiting: Option<Vec<Asked>>, until: Duration) {
        let ask = Ask {
            waiting,
            answers: Vec::new(),
            missing: Vec::new(),
            until,
        };
        self.asks.insert(id, ask);
    }

    /// The hub says who is to answer.
    pub(super) fn asked(&mut self, id: AckId, members: Vec<Asked>) -> Option<Answers> {
        let ask = self.asks.get_mut(&id)?;
        ask.waiting.get_or_insert(members);
        self.if_done(id)
    }

    pub(super) fn answered(
        &mut self,
        id: AckId,
        from: Option<MemberNumber>,
        body: Body,
    ) -> Option<Answers> {
        let ask = self.asks.get_mut(&id)?;
        let (_, name) = ask.take(from)?;
        ask.answers.push((name, body));
        self.if_done(id)
    }

    pub(super) fn unanswered(
        &mut self,
        id: AckId,
        from: Option<MemberNumber>,
        reason: UnackedReason,
    ) -> Option<Answers> {
        let ask = self.asks.get_mut(&id)?;
        match from {
            Some(_) => {
                let (_, name) = ask.take(from)?;
                ask.missing.push((name, reason));
                self.if_done(id)
            }
            None => self.end_one(id, reason),
        }
    }

    pub(super) fn expire(&mut self, now: Duration) -> Vec<Answers> {
        let due = self.asks.iter().filter(|(_, ask)| ask.until <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        due.into_iter()
            .filter_map(|id| self.end_one(id, UnackedReason::Late))
            .collect()
    }

    /// The room is another: nobody answers what was asked before, but what is still to be asked.
    pub(super) fn begin_anew(&mut self, lost: &[u64]) -> Vec<Answers> {
        let begun = |(id, ask): (&AckId, &Ask)| {
            (ask.waiting.is_some() || lost.contains(&id.0)).then_some(*id)
        };
        let begun: Vec<_> = self.asks.iter().filter_map(begun).collect();
        begun
            .into_iter()
            .filter_map(|id| self.end_one(id, UnackedReason::Left))
            .collect()
    }

    pub(super) fn end(&mut self) -> Vec<Answers> {
        let all: Vec<_> = self.asks.keys().copied().collect();
        all.into_iter()
            .filter_map(|id| self.end_one(id, UnackedReason::Left))
            .collect()
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.asks.values().map(|ask| ask.until).min()
    }

    fn if_done(&mut self, id: AckId) -> Option<Answers> {
        let ask = self.asks.get(&id)?;
        if ask.waiting.as_ref()?.is_empty() {
            return self.end_one(id, UnackedReason::Late);
        }
        None
    }

    fn end_one(&mut self, id: AckId, reason: UnackedReason) -> Option<Answers> {
        let ask = self.asks.remove(&id)?;
        let mut missing = ask.missing;
        match ask.waiting {
            Some(waiting) => missing.extend(waiting.into_iter().map(|(_, name)| (name, reason))),
            None => missing.push((None, reason)),
        }
        Some(Answers {
            id,
            answers: ask.answers,
            missing,
        })
    }
}

impl Ask {
    fn take(&mut self, from: Option<MemberNumber>) -> Option<Asked> {
        let waiting = self.waiting.as_mut()?;
        let at = waiting.iter().position(|(number, _)| *number == from)?;
        Some(waiting.swap_remove(at))
    }
}
