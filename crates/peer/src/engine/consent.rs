//! Whether the peer is still there, and by which way (RFC 7675).
//!
//! What counts is what only the peer can have sent, and only now: an answer to a check of ours, signed with the password of its description, once; and what
//! came through DTLS. The peer's own checks do not count: whoever recorded one can send it again.
//!
//! The stack checks a way every 3 s, too seldom to notice a silence of 3 s. So checks of this module's own go between, on the way in use. They also keep that
//! way alive in a generation that the stack has forgotten: it drops all of an earlier one with a restart, but the peer may not have heard of that yet, or
//! never will.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_proto::wire::stun::{Builder, Class, Message, Method, TransactionId, attribute};
use str0m::ice::IceCreds;

use crate::random;

/// Without a sign of the peer for this long the way is silent, unless something else is wanted.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// After this part of it the peer is asked for a sign, until there is one; thrice before the silence is told of.
const ASK_AFTER: u32 = 2;
const ASK_EVERY: u32 = 6;
/// The same once it was.
const ASK_LATER: Duration = Duration::from_secs(1);
/// So many without an answer make a way doubtful.
const DOUBTFUL: u32 = 2;
/// Checks whose answers are waited for: of the stack there are 20 in a second at most.
const MAX_ASKED: usize = 32;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Replies that wait to be sent; they are in every turn.
const MAX_REPLIES: usize = 16;

/// PRIORITY, USE-CANDIDATE, ICE-CONTROLLED and ICE-CONTROLLING of RFC 8445 section 16.1.
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

/// Two addresses: ours, or one that stands for us, and the peer's.
pub(super) type Way = (SocketAddr, SocketAddr);

/// The two sides' names and passwords for checks. Without `Debug`: they are secrets.
pub(super) struct Generation {
    pub(super) ours: IceCreds,
    pub(super) theirs: IceCreds,
}

pub(super) struct Consent {
    silence: Duration,
    current: Option<Generation>,
    /// The last one that worked, while the current one does not yet; the peer may be in it for longer.
    earlier: Option<Generation>,
    works: bool,
    /// What the stack wrote into its last check about itself: the same goes into ours.
    role: Option<(u16, [u8; 8])>,
    priority: u32,
    asked: VecDeque<Asked>,
    /// When the peer was last heard on the way in use.
    heard: Option<Instant>,
    ask_at: Option<Instant>,
    /// Checks of ours on that way since then.
    unanswered: u32,
    is_silent: bool,
    replies: Vec<(Way, Vec<u8>)>,
}

struct Asked {
    id: TransactionId,
    at: Instant,
    way: Way,
    /// In which generation.
    earlier: bool,
    /// Whether the stack does not know of it.
    own: bool,
}

/// What a datagram turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The stack's.
    Other,
    /// Dealt with here.
    Taken,
    /// The peer answered a check on this way, after this time. `own`: the stack does not know of it.
    Answer {
        way: Way,
        after: Duration,
        own: bool,
    },
}

/// What became of the way in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Two checks in a row have no answer yet. Told once, before it is silent.
    Doubtful,
    Silent,
    Back,
}

impl Consent {
    /// Without a sign of the peer for `silence` the way is silent.
    pub(super) fn new(silence: Duration) -> Self {
        Self {
            silence,
            current: None,
            earlier: None,
            works: false,
            role: None,
            priority: 0,
            asked: VecDeque::new(),
            heard: None,
            ask_at: None,
            unanswered: 0,
            is_silent: false,
            replies: Vec::new(),
        }
    }

    /// Both descriptions of a generation are there.
    pub(super) fn begin(&mut self, generation: Generation) {
        let old = self.current.replace(generation);
        if std::mem::take(&mut self.works) {
            self.earlier = old;
        }
        // Of the stack's, which forgot them.
        self.asked.clear();
    }

    /// The stack has found a way in the current generation.
    pub(super) fn found(&mut self) {
        self.works = true;
    }

    /// The peer's user fragment; `None` before its description.
    pub(super) fn their_ufrag(&self) -> Option<&str> {
        Some(&self.current.as_ref()?.theirs.ufrag)
    }

    /// The user fragments that checks for us may name.
    pub(super) fn our_ufrags(&self) -> Vec<String> {
        let both = self.current.iter().chain(&self.earlier);
        both.map(|generation| generation.ours.ufrag.clone())
            .collect()
    }

    /// The channel is open: from now on silence is noticed.
    pub(super) fn watch(&mut self, now: Instant) {
        self.asked.shrink_to(MAX_ASKED / 4);
        self.hear(now);
    }

    /// The peer was heard on the way in use. Tells when that ends a silence.
    pub(super) fn hear(&mut self, now: Instant) -> Option<Sign> {
        self.heard = Some(now);
        self.ask_at = Some(now + self.silence / ASK_AFTER);
        self.unanswered = 0;
        std::mem::take(&mut self.is_silent).then_some(Sign::Back)
    }

    /// When the peer was last heard on the way in use.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Another way is in use, which was found to work.
    pub(super) fn moved(&mut self, now: Instant) -> Option<Sign> {
        self.heard.and_then(|_| self.hear(now))
    }

    /// Notes a datagram of the stack's, if it is a check. True for one.
    pub(super) fn sent(&mut self, way: Way, datagram: &[u8], now: Instant) -> bool {
        if datagram.first().is_none_or(|first| *first > 1) {
            return false;
        }
        let Ok(message) = Message::parse(datagram) else {
            return false;
        };
        if message.class() != Class::Request {
            return false;
        }
        for role in [ICE_CONTROLLED, ICE_CONTROLLING] {
            if let Some(breaker) = message.attribute(role).and_then(|it| it.try_into().ok()) {
                self.role = Some((role, breaker));
            }
        }
        self.priority = message.number(PRIORITY).unwrap_or(self.priority);
        self.ask(Asked {
            id: message.transaction_id(),
            at: now,
            way,
            earlier: false,
            own: false,
        });
        true
    }

    fn ask(&mut self, asked: Asked) {
        let now = asked.at;
        let is_late = |asked: &Asked| now.saturating_duration_since(asked.at) > PATIENCE;
        while self.asked.len() >= MAX_ASKED || self.asked.front().is_some_and(is_late) {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
    }

    /// Looks at a datagram that came between these two addresses.
    pub(super) fn received(&mut self, way: Way, datagram: &[u8], now: Instant) -> Received {
        if datagram.first().is_none_or(|first| *first > 1) {
            return Received::Other;
        }
        let Ok(message) = Message::parse(datagram) else {
            return Received::Other;
        };
        match message.class() {
            Class::Success | Class::Error => self.answered(&message, now),
            Class::Request => self.reply(way, &message),
            Class::Indication => Received::Other,
        }
    }

    fn answered(&mut self, message: &Message<'_>, now: Instant) -> Received {
        let id = message.transaction_id();
        let Some(at) = self.asked.iter().position(|asked| asked.id == id) else {
            return Received::Other;
        };
        let generation = match self.asked[at].earlier {
            true => &self.earlier,
            false => &self.current,
        };
        let is_signed = generation
            .as_ref()
            .is_some_and(|it| message.is_signed_with(it.theirs.pass.as_bytes()));
        if !is_signed {
            return Received::Other;
        }
        let Some(asked) = self.asked.remove(at) else {
            return Received::Other;
        };
        Received::Answer {
            way: asked.way,
            after: now.saturating_duration_since(asked.at),
            own: asked.own,
        }
    }

    /// Answers a check in the earlier generation: the peer may not know yet that there is another.
    fn reply(&mut self, way: Way, message: &Message<'_>) -> Received {
        let Some(earlier) = &self.earlier else {
            return Received::Other;
        };
        let name = format!("{}:{}", earlier.ours.ufrag, earlier.theirs.ufrag);
        if message.attribute(attribute::USERNAME) != Some(name.as_bytes()) {
            return Received::Other;
        }
        let key = earlier.ours.pass.as_bytes();
        if message.is_signed_with(key) && self.replies.len() < MAX_REPLIES {
            let reply = Builder::new(Class::Success, Method::BINDING, message.transaction_id())
                .xor_address(attribute::XOR_MAPPED_ADDRESS, way.1)
                .sign(key)
                .fingerprint()
                .finish();
            self.replies.push((way, reply));
        }
        Received::Taken
    }

    /// What is to be sent now, and how it is with the way in use.
    pub(super) fn poll(
        &mut self,
        way: Option<Way>,
        now: Instant,
    ) -> (Vec<(Way, Vec<u8>)>, Option<Sign>) {
        let mut out = std::mem::take(&mut self.replies);
        let Some(heard) = self.heard else {
            return (out, None);
        };
        let mut sign = None;
        if !self.is_silent && now >= heard + self.silence {
            self.is_silent = true;
            sign = Some(Sign::Silent);
        }
        if let Some(way) = way
            && self.ask_at.is_some_and(|at| now >= at)
        {
            let again = match self.is_silent {
                true => ASK_LATER,
                false => self.silence / ASK_EVERY,
            };
            self.ask_at = Some(now + again);
            if self.unanswered == DOUBTFUL {
                sign = sign.or(Some(Sign::Doubtful));
            }
            self.unanswered = self.unanswered.saturating_add(1);
            out.extend(self.check(way, now).map(|check| (way, check)));
        }
        (out, sign)
    }

    /// A check in the generation whose way this is.
    fn check(&mut self, way: Way, now: Instant) -> Option<Vec<u8>> {
        let earlier = !self.works && self.earlier.is_some();
        let generation = match earlier {
            true => &self.earlier,
            false => &self.current,
        };
        let Generation { ours, theirs } = generation.as_ref()?;
        let (role, breaker) = self.role?;
        let id = TransactionId::generate(&mut random::os());
        let mut check = Builder::new(Class::Request, Method::BINDING, id)
            .put(
                attribute::USERNAME,
                format!("{}:{}", theirs.ufrag, ours.ufrag).as_bytes(),
            )
            .number(PRIORITY, self.priority)
            .put(role, &breaker);
        if role == ICE_CONTROLLING && !earlier {
            // It is the way that we chose.
            check = check.put(USE_CANDIDATE, &[]);
        }
        let check = check.sign(theirs.pass.as_bytes()).fingerprint().finish();
        self.ask(Asked {
            id,
            at: now,
            way,
            earlier,
            own: true,
        });
        Some(check)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let silence = self.heard.filter(|_| !self.is_silent);
        let silence = silence.map(|heard| heard + self.silence);
        let ask = self.ask_at.filter(|_| self.heard.is_some());
        [silence, ask].into_iter().flatten().min()
    }
}
