//! Messages for ids that nobody holds.

use std::collections::HashMap;

use super::timers::TimerKey;
use crate::wire::id::PeerId;

/// Counted for each message beside its text: what its entries cost, so that many tiny ones are no way around the limit.
const OVERHEAD: usize = 256;

/// All mailboxes.
#[derive(Debug)]
pub(super) struct Waiting {
    mailboxes: HashMap<PeerId, Mailbox>,
    octets: usize,
    message_limit: usize,
    octet_limit: usize,
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
    pub(super) fn new(message_limit: usize, octet_limit: usize, total_limit: usize) -> Self {
        Self {
            mailboxes: HashMap::new(),
            octets: 0,
            message_limit,
            octet_limit,
            total_limit,
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
        if messages >= self.message_limit
            || octets + text.len() > self.octet_limit
            || self.octets + text.len() + OVERHEAD > self.total_limit
        {
            return Err(Full);
        }
        let mailbox = self.mailboxes.entry(dst.clone()).or_default();
        if !mailbox.senders.iter().any(|(sender, _)| sender == src) {
            mailbox.senders.push((src.clone(), arm()));
        }
        mailbox.octets += text.len();
        self.octets += text.len() + OVERHEAD;
        mailbox.messages.push(Message {
            src: src.clone(),
            text,
        });
        Ok(())
    }

    /// Hands everything to who has come.
    pub(super) fn take(&mut self, dst: &PeerId) -> Option<Delivery> {
        let mailbox = self.mailboxes.remove(dst)?;
        self.octets -= mailbox.octets + mailbox.messages.len() * OVERHEAD;
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
        let (octets, all) = (&mut mailbox.octets, &mut self.octets);
        mailbox.messages.retain(|message| {
            let keep = message.src != *src;
            if !keep {
                *octets -= message.text.len();
                *all -= message.text.len() + OVERHEAD;
            }
            keep
        });
        if mailbox.messages.is_empty() {
            self.mailboxes.remove(dst);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.mailboxes.is_empty() && self.octets == 0
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
