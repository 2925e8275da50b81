//! Messages for ids that nobody holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::timers::TimerKey;
use super::{Config, Totals, reserve};
use crate::wire::id::PeerId;

/// Counted for each message beside its text: what its entries cost, so that many tiny ones are no way around the limit.
pub(super) const OVERHEAD: usize = 256;

/// All mailboxes.
#[derive(Debug)]
pub(super) struct Waiting {
    mailboxes: HashMap<PeerId, Mailbox>,
    /// What each sender has waiting in this shard.
    senders: HashMap<PeerId, usize>,
    totals: Arc<Totals>,
    message_limit: usize,
    octet_limit: usize,
    sender_limit: usize,
    total_limit: usize,
}

/// What waits for one id.
#[derive(Debug, Default)]
struct Mailbox {
    messages: Vec<Message>,
    /// Who is waiting to hear of it, with the timer that tells them: one for all messages of a sender, from its first.
    senders: Vec<(PeerId, TimerKey)>,
    octets: usize,
}

struct Message {
    src: PeerId,
    text: String,
}

/// What a peer gets that came in time.
#[derive(Debug)]
pub(super) struct Delivery {
    /// In order of arrival.
    pub(super) texts: Vec<String>,
    /// No longer needed.
    pub(super) timers: Vec<TimerKey>,
}

/// There is no room for the message.
#[derive(Debug)]
pub(super) struct Full;

impl Waiting {
    pub(super) fn new(config: &Config, totals: Arc<Totals>) -> Self {
        Self {
            mailboxes: HashMap::new(),
            senders: HashMap::new(),
            totals,
            message_limit: config.waiting_messages,
            octet_limit: config.waiting_octets,
            sender_limit: config.sender_waiting_octets,
            total_limit: config.all_waiting_octets,
        }
    }

    /// Keeps a message; `arm` is called for the first of a sender.
    pub(super) fn push(
        &mut self,
        dst: &PeerId,
        src: &PeerId,
        text: String,
        arm: impl FnOnce() -> TimerKey,
    ) -> Result<(), Full> {
        let (messages, octets) = self
            .mailboxes
            .get(dst)
            .map_or((0, 0), |mailbox| (mailbox.messages.len(), mailbox.octets));
        let sent = self.senders.get(src).copied().unwrap_or(0);
        let cost = text.len() + OVERHEAD;
        if messages >= self.message_limit
            || octets + text.len() > self.octet_limit
            || sent + cost > self.sender_limit
            || !reserve(&self.totals.waiting, cost, self.total_limit)
        {
            return Err(Full);
        }
        self.senders.insert(src.clone(), sent + cost);
        let mailbox = self.mailboxes.entry(dst.clone()).or_default();
        if !mailbox.senders.iter().any(|(sender, _)| sender == src) {
            mailbox.senders.push((src.clone(), arm()));
        }
        mailbox.octets += text.len();
        mailbox.messages.push(Message {
            src: src.clone(),
            text,
        });
        Ok(())
    }

    /// Hands everything to who has come.
    pub(super) fn take(&mut self, dst: &PeerId) -> Option<Delivery> {
        let mailbox = self.mailboxes.remove(dst)?;
        for message in &mailbox.messages {
            self.release(message);
        }
        Some(Delivery {
            texts: mailbox
                .messages
                .into_iter()
                .map(|message| message.text)
                .collect(),
            timers: mailbox
                .senders
                .into_iter()
                .map(|(_, timer)| timer)
                .collect(),
        })
    }

    /// Drops what `src` left for `dst`.
    pub(super) fn expire(&mut self, dst: &PeerId, src: &PeerId) {
        let Some(mailbox) = self.mailboxes.get_mut(dst) else {
            return;
        };
        mailbox.senders.retain(|(sender, _)| sender != src);
        let messages = std::mem::take(&mut mailbox.messages);
        let (dropped, kept): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|message| message.src == *src);
        mailbox.octets -= dropped
            .iter()
            .map(|message| message.text.len())
            .sum::<usize>();
        let is_empty = kept.is_empty();
        mailbox.messages = kept;
        if is_empty {
            self.mailboxes.remove(dst);
        }
        for message in &dropped {
            self.release(message);
        }
    }

    fn release(&mut self, message: &Message) {
        let cost = message.text.len() + OVERHEAD;
        self.totals.waiting.fetch_sub(cost, Ordering::Relaxed);
        if let Some(octets) = self.senders.get_mut(&message.src) {
            *octets -= cost;
            if *octets == 0 {
                self.senders.remove(&message.src);
            }
        }
    }

    /// Messages and octets that wait for each id.
    #[cfg(test)]
    pub(super) fn by_receiver(&self) -> impl Iterator<Item = (&PeerId, usize, usize)> {
        let counts = |mailbox: &Mailbox| {
            let octets = mailbox.messages.iter().map(|message| message.text.len());
            (mailbox.messages.len(), octets.sum())
        };
        self.mailboxes.iter().map(move |(id, mailbox)| {
            let (messages, octets) = counts(mailbox);
            (id, messages, octets)
        })
    }

    /// Octets of each sender.
    #[cfg(test)]
    pub(super) const fn by_sender(&self) -> &HashMap<PeerId, usize> {
        &self.senders
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.mailboxes.is_empty() && self.senders.is_empty()
    }
}

/// A shard that ends takes what it held out of the totals.
impl Drop for Waiting {
    fn drop(&mut self) {
        let held = self.senders.values().sum();
        self.totals.waiting.fetch_sub(held, Ordering::Relaxed);
    }
}

/// Without the text: payloads hold addresses and proofs.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("src", &self.src)
            .field("octets", &self.text.len())
            .finish()
    }
}
