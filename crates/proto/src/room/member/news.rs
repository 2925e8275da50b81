//! What the hub says, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::room::Way;
use crate::wire::room::{
    Entry, FromHub, FromMember, LeftReason, MemberNumber, Members, Message, Name, Resumed, Welcome,
};

use super::{AckId, Answers, Member, Output, Question, State, Told};

impl Member {
    pub(super) fn handle_frame(&mut self, frame: FromHub, now: Duration) {
        match (&mut self.state, frame) {
            (_, FromHub::Ping(octets)) => {
                self.send(FromMember::Pong(octets).emit(), Way::Reliable);
            }
            (_, FromHub::Refused(code)) => {
                self.tell(Told::Refused(code));
                self.outputs.push_back(Output::Close);
                if code.may_return() {
                    self.handle_closed();
                } else {
                    self.over();
                }
            }
            (State::Coming(welcome @ None), FromHub::Welcome(it)) => {
                *welcome = Some(Box::new(it));
                self.enter_if_complete(now);
            }
            (State::Coming(Some(welcome)), FromHub::Members(Members(more))) => {
                welcome.members.extend(more);
                self.enter_if_complete(now);
            }
            (State::In, frame) => self.handle_news(frame, now),
            _ => self.give_up(),
        }
    }

    fn handle_news(&mut self, frame: FromHub, now: Duration) {
        let seq = match &frame {
            FromHub::Joined { seq, .. }
            | FromHub::Left { seq, .. }
            | FromHub::Host { seq, .. }
            | FromHub::Metadata { seq, .. } => *seq,
            FromHub::Message(message) => message.seq,
            _ => 0,
        };
        if seq != 0 {
            if seq <= self.last {
                return;
            }
            self.last = seq;
            self.got_at.get_or_insert(now + self.config.got_within);
        }
        match frame {
            FromHub::Joined { member, .. } => {
                self.members.insert(member.number, member.clone());
                self.tell(Told::Joined(member));
            }
            FromHub::Left { member, .. } if Some(member) == self.you => self.give_up(),
            FromHub::Left { member, reason, .. } => {
                if let Some(entry) = self.members.remove(&member) {
                    self.tell(Told::Left(entry, reason));
                }
            }
            FromHub::Host { member, .. } => {
                self.host = member;
                self.tell(Told::Host(self.host().cloned()));
            }
            FromHub::Metadata {
                member, metadata, ..
            } => {
                if let Some(entry) = self.members.get_mut(&member) {
                    entry.metadata = metadata;
                    let entry = entry.clone();
                    self.tell(Told::Metadata(entry));
                }
            }
            FromHub::Message(message) => self.message(message),
            FromHub::Asked { ack, members } => {
                let asked = members.into_iter().map(|number| {
                    let name = self.members.get(&number).map(|entry| entry.name.clone());
                    (Some(number), name)
                });
                let done = self.asks.asked(AckId(ack), asked.collect());
                self.tell_answers(done);
            }
            FromHub::Ack(answered) => {
                let done = self
                    .asks
                    .answered(AckId(answered.ack), answered.from, answered.body);
                self.tell_answers(done);
            }
            FromHub::Unacked { ack, from, reason } => {
                let done = self.asks.unanswered(AckId(ack), from, reason);
                self.tell_answers(done);
            }
            FromHub::Heard(count) => {
                if !self.outbox.heard(count) {
                    return self.give_up();
                }
                self.flush(now);
            }
            FromHub::Welcome(_) | FromHub::Members(_) => self.give_up(),
            FromHub::Ping(_) | FromHub::Refused(_) => {}
        }
    }

    /// Nothing of who is not a member, and nothing under a name that is the room's own.
    pub(super) fn message(&mut self, message: Message) {
        let from = match message.from {
            Some(number) => match self.members.get(&number) {
                Some(entry) => Some(entry.name.clone()),
                None => return,
            },
            None => None,
        };
        if from.is_some() && message.said.event().is_some_and(|it| it.is_reserved()) {
            return;
        }
        let question = match (message.from, message.ack) {
            (Some(from), Some(ack)) => Some(Question {
                from,
                ack,
                life: self.life,
            }),
            _ => None,
        };
        self.tell(Told::Message {
            from,
            said: message.said,
            fast: message.seq == 0,
            question,
        });
    }

    fn enter_if_complete(&mut self, now: Duration) {
        let State::Coming(welcome) = &mut self.state else {
            return;
        };
        let is_complete = |it: &mut Box<Welcome>| it.members.len() as u64 >= it.total;
        let Some(welcome) = welcome.take_if(is_complete) else {
            return;
        };
        let lists_me = |it: &Entry| it.number == welcome.you;
        if welcome.resumed != Resumed::Whole && !welcome.members.iter().any(lists_me) {
            return self.give_up();
        }
        self.state = State::In;
        self.welcome_until = None;
        self.enter(*welcome);
        self.flush(now);
    }

    fn enter(&mut self, welcome: Welcome) {
        let is_same = self.you == Some(welcome.you) && self.epoch == welcome.epoch;
        if is_same && welcome.resumed != Resumed::New {
            if !self.outbox.heard(welcome.heard) {
                return self.give_up();
            }
        } else {
            let is_first = self.you.is_none();
            let lost = self.outbox.begin_anew(is_first, welcome.heard);
            if !is_first {
                self.life += 1;
                for answers in self.asks.begin_anew(&lost) {
                    self.tell(Told::Answers(answers));
                }
            }
        }
        if welcome.resumed == Resumed::Whole {
            if !is_same || welcome.seq != self.last {
                return self.give_up();
            }
            return self.tell(Told::Entered(Resumed::Whole));
        }
        let had_past = self.you.is_some();
        (self.epoch, self.you) = (welcome.epoch, Some(welcome.you));
        (self.last, self.got) = (welcome.seq, welcome.seq);
        self.tell(Told::Entered(welcome.resumed));
        let members = welcome.members.into_iter().map(|it| (it.number, it));
        let before = std::mem::replace(&mut self.members, members.collect());
        // The hub's list is of before it heard what this member says of itself now.
        if let Some(own) = self.members.get_mut(&welcome.you) {
            own.metadata = self.config.metadata.clone();
        }
        let host_before = std::mem::replace(&mut self.host, welcome.host);
        if had_past {
            self.tell_difference(before, host_before);
        }
    }

    /// What has changed while nothing was heard. Members are compared by name: a number says nothing in another epoch.
    fn tell_difference(
        &mut self,
        before: BTreeMap<MemberNumber, Entry>,
        host: Option<MemberNumber>,
    ) {
        let name_of = |members: &BTreeMap<_, Entry>, number: Option<MemberNumber>| {
            Some(members.get(&number?)?.name.clone())
        };
        let (host_before, host_now) = (name_of(&before, host), name_of(&self.members, self.host));
        let mut former: BTreeMap<Name, Entry> = before
            .into_values()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        let mut news = Vec::new();
        for entry in self.members.values() {
            match former.remove(&entry.name) {
                None => news.push(Told::Joined(entry.clone())),
                Some(it) if it.metadata != entry.metadata => {
                    news.push(Told::Metadata(entry.clone()));
                }
                Some(_) => {}
            }
        }
        let left = former
            .into_values()
            .map(|entry| Told::Left(entry, LeftReason::Lost));
        for told in left.chain(news) {
            self.tell(told);
        }
        if host_before != host_now {
            self.tell(Told::Host(self.host().cloned()));
        }
    }

    pub(super) fn tell_answers(&mut self, answers: Option<Answers>) {
        if let Some(answers) = answers {
            self.tell(Told::Answers(answers));
        }
    }
}
