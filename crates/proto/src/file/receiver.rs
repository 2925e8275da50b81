//! The end that gets files.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Beginning, Config};
use crate::value::Value;
use crate::wire::file::{COMPARE_MAX, Digest, FileName, Message, Reason};

/// A file that somebody would like to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// How it is called.
    pub name: FileName,
    /// In octets.
    pub size: u64,
}

/// What is to be done with an offered file.
#[derive(Debug)]
pub enum Decision {
    /// Take it. These beginnings of files of its name are there; at most the first [`COMPARE_MAX`] count.
    Take(Vec<Beginning>),
    /// Do not.
    Refuse(Reason),
}

/// What the shell is to do.
#[derive(Debug, PartialEq)]
pub enum Wish {
    /// Say this.
    Say(Value),
    /// Decide: [`Receiver::handle_decision`].
    Decide(Offer),
    /// Be ready to write, behind the beginning with this index, or into a new file.
    Begin {
        /// Index of the beginning in the decision.
        behind: Option<usize>,
    },
    /// Write these octets at the end.
    Write(bytes::Bytes),
    /// The file is complete: make it last, under its name or a numbered one, then [`Receiver::handle_kept`].
    Keep(Digest),
    /// The file under way is given up. What is written stays for another try, but where the reason is [`Reason::Digest`].
    GiveUp(Reason),
    /// Close the connection, once what was said is delivered.
    Close,
}

/// Takes the files of one connection, one after the other.
#[derive(Debug)]
pub struct Receiver {
    config: Config,
    /// Number of the next file, at least.
    next: u64,
    /// Of the file under way, or the last one.
    file: u64,
    stage: Stage,
    until: Option<Instant>,
    wishes: VecDeque<Wish>,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Deciding(Offer),
    Comparing { size: u64, ours: Vec<Beginning> },
    Taking { size: u64, taken: Beginning },
    Keeping(Digest),
    Closed,
}

impl Receiver {
    /// For a connection that has just opened.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            next: 0,
            file: 0,
            stage: Stage::Idle,
            until: Some(now + config.machine),
            wishes: VecDeque::new(),
        }
    }

    /// The peer said something.
    pub fn handle_value(&mut self, value: Value, now: Instant) {
        match Message::parse(value) {
            Ok(message) => self.handle_message(message, now),
            Err(_) => self.misuse(),
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Data(octets) => self.data(octets, now),
            Message::Offer { file, name, size } => {
                if !self.begins(file) {
                    return;
                }
                match FileName::parse(&name) {
                    Ok(name) => {
                        let offer = Offer { name, size };
                        self.stage = Stage::Deciding(offer.clone());
                        self.until = Some(now + self.config.person);
                        self.wishes.push_back(Wish::Decide(offer));
                    }
                    Err(_) => self.refuse(Reason::Name, now),
                }
            }
            Message::OfferOfOtherVersion { file } => {
                if self.begins(file) {
                    self.refuse(Reason::Version, now);
                }
            }
            Message::Prefixes { file, digests } if file == self.file => self.compare(&digests, now),
            Message::End { file, digest } if file == self.file => self.end(digest, now),
            Message::Stop { file, reason } if file == self.file => {
                if self.is_under_way() {
                    self.idle(now);
                    self.wishes.push_back(Wish::GiveUp(reason));
                }
            }
            // Of a file that was stopped from here meanwhile.
            Message::Prefixes { .. } | Message::End { .. } | Message::Stop { .. } => {}
            Message::Compare { .. } | Message::Accept { .. } | Message::Done { .. } => {
                self.misuse();
            }
        }
    }

    /// The offered file is taken, or not.
    pub fn handle_decision(&mut self, decision: Decision, now: Instant) {
        // Withdrawn meanwhile.
        let Stage::Deciding(offer) = &self.stage else {
            return;
        };
        let size = offer.size;
        match decision {
            Decision::Refuse(reason) => self.refuse(reason, now),
            Decision::Take(mut ours) => {
                ours.truncate(COMPARE_MAX);
                let lengths: Vec<u64> = ours.iter().map(Beginning::length).collect();
                if lengths.iter().all(|&length| length == 0 || length > size) {
                    self.accept(size, None, Beginning::default(), now);
                    return;
                }
                self.stage = Stage::Comparing { size, ours };
                self.until = Some(now + self.config.disk);
                self.say(Message::Compare {
                    file: self.file,
                    lengths,
                });
            }
        }
    }

    /// The shell did what [`Wish::Keep`] asked for; the file is called `name` now.
    pub fn handle_kept(&mut self, name: &str, now: Instant) {
        let Stage::Keeping(digest) = self.stage else {
            return;
        };
        self.idle(now);
        self.say(Message::Done {
            file: self.file,
            digest,
            name: name.to_owned(),
        });
    }

    /// The shell cannot do what it was asked for, or does not want to any more.
    pub fn handle_failure(&mut self, reason: Reason, now: Instant) {
        if self.is_under_way() {
            self.stop(reason, now);
        }
    }

    /// A time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        if self.is_under_way() {
            self.stop(Reason::Timeout, now);
        }
        self.close();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// Whether an offer may come now, and is a new one.
    fn begins(&mut self, file: u64) -> bool {
        if !matches!(self.stage, Stage::Idle) || file < self.next {
            self.misuse();
            return false;
        }
        self.file = file;
        self.next = file + 1;
        true
    }

    fn data(&mut self, octets: bytes::Bytes, now: Instant) {
        match &mut self.stage {
            Stage::Taking { size, taken } => {
                if octets.len() as u64 > *size - taken.length() {
                    return self.stop(Reason::Size, now);
                }
                taken.push(&octets);
                self.until = Some(now + self.config.machine);
                self.wishes.push_back(Wish::Write(octets));
            }
            // Sent before the peer heard that the file was stopped.
            Stage::Idle | Stage::Closed => {}
            Stage::Deciding(_) | Stage::Comparing { .. } | Stage::Keeping(_) => self.misuse(),
        }
    }

    fn compare(&mut self, theirs: &[Digest], now: Instant) {
        let Stage::Comparing { size, ours } = &mut self.stage else {
            return self.misuse_unless_over();
        };
        if theirs.len() != ours.len() {
            return self.misuse();
        }
        let size = *size;
        let mut best = None;
        for (index, (mine, digest)) in ours.iter().zip(theirs).enumerate() {
            let fits = (1..=size).contains(&mine.length()) && mine.digest() == *digest;
            if fits && best.is_none_or(|best: usize| ours[best].length() < mine.length()) {
                best = Some(index);
            }
        }
        let taken = best.map_or_else(Beginning::default, |best| ours.swap_remove(best));
        self.accept(size, best, taken, now);
    }

    fn accept(&mut self, size: u64, behind: Option<usize>, taken: Beginning, now: Instant) {
        let from = taken.length();
        self.stage = Stage::Taking { size, taken };
        // The sender may have to read and hash what is there already.
        self.until = Some(now + self.config.disk);
        self.wishes.push_back(Wish::Begin { behind });
        self.say(Message::Accept {
            file: self.file,
            from,
        });
    }

    fn end(&mut self, theirs: Digest, now: Instant) {
        let Stage::Taking { size, taken } = &self.stage else {
            return self.misuse_unless_over();
        };
        if taken.length() != *size {
            return self.stop(Reason::Size, now);
        }
        let digest = taken.digest();
        if digest != theirs {
            return self.stop(Reason::Digest, now);
        }
        self.stage = Stage::Keeping(digest);
        self.until = None;
        self.wishes.push_back(Wish::Keep(digest));
    }

    /// Says no to a file that nothing was begun of.
    fn refuse(&mut self, reason: Reason, now: Instant) {
        self.idle(now);
        self.say(Message::Stop {
            file: self.file,
            reason,
        });
    }

    fn stop(&mut self, reason: Reason, now: Instant) {
        self.refuse(reason, now);
        self.wishes.push_back(Wish::GiveUp(reason));
    }

    /// The peer makes no sense: nothing it says can be relied on.
    fn misuse(&mut self) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        self.say(Message::Stop {
            file: self.file,
            reason: Reason::Protocol,
        });
        if self.is_under_way() {
            self.wishes.push_back(Wish::GiveUp(Reason::Protocol));
        }
        self.close();
    }

    /// What comes late belongs to a file that was stopped from here.
    fn misuse_unless_over(&mut self) {
        if self.is_under_way() {
            self.misuse();
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.until = None;
        self.wishes.push_back(Wish::Close);
    }

    fn idle(&mut self, now: Instant) {
        self.stage = Stage::Idle;
        self.until = Some(now + self.config.machine);
    }

    fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Closed)
    }

    fn say(&mut self, message: Message) {
        self.wishes.push_back(Wish::Say(message.into()));
    }
}
