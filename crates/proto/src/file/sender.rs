//! The end that has files.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Beginning, Config};
use crate::value::Value;
use crate::wire::file::{Digest, FileName, Message, Reason};

/// What the shell is to do.
#[derive(Debug, PartialEq)]
pub enum Task {
    /// Say this.
    Say(Value),
    /// Hash the file's beginnings of these lengths: [`Sender::handle_hashed`].
    Hash(Vec<u64>),
    /// Go on reading after this many octets, and pass them to [`Sender::handle_read`] while [`Sender::wants_octets`].
    Read {
        /// In octets.
        from: u64,
    },
    /// The file is at the receiver.
    Delivered {
        /// Of what was sent, and of what is written there.
        digest: Digest,
        /// How it is called there.
        name: String,
    },
    /// The file's transfer is over.
    GiveUp(Reason),
    /// Close the connection, once what was said is delivered.
    Close,
}

/// Gives the files of one connection, one after the other.
#[derive(Debug)]
pub struct Sender {
    config: Config,
    next: u64,
    size: u64,
    stage: Stage,
    until: Option<Instant>,
    tasks: VecDeque<Task>,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// The offer is out; hashes of beginnings that were asked for.
    Offered(Vec<Beginning>),
    Hashing,
    Sending(Beginning),
    Ended(Digest),
    Closed,
}

impl Sender {
    /// For a connection that has just opened.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            next: 0,
            size: 0,
            stage: Stage::Idle,
            until: None,
            tasks: VecDeque::new(),
        }
    }

    /// There is a file to send. One at a time: ignored while another is under way.
    pub fn handle_file(&mut self, name: &FileName, size: u64, now: Instant) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        self.next += 1;
        self.size = size;
        self.stage = Stage::Offered(Vec::new());
        self.until = Some(now + self.config.person);
        self.say(Message::Offer {
            file: self.file(),
            name: name.as_str().to_owned(),
            size,
        });
    }

    /// The peer said something.
    pub fn handle_value(&mut self, value: Value, now: Instant) {
        let Ok(message) = Message::parse(value) else {
            return self.misuse();
        };
        let current = self.file();
        match message {
            // Of a file that was given up here meanwhile.
            Message::Compare { file, .. }
            | Message::Accept { file, .. }
            | Message::Done { file, .. }
            | Message::Stop { file, .. }
                if file < current || (file == current && !self.is_under_way()) => {}
            Message::Compare { file, lengths } if file == current => self.compare(lengths, now),
            Message::Accept { file, from } if file == current => self.accept(from, now),
            Message::Done { file, digest, name } if file == current => self.done(digest, name),
            Message::Stop { file, reason } if file == current => {
                self.idle();
                self.tasks.push_back(Task::GiveUp(reason));
            }
            _ => self.misuse(),
        }
    }

    /// These are the beginnings that [`Task::Hash`] asked for, in that order; shorter ones where the file is shorter.
    pub fn handle_hashed(&mut self, beginnings: Vec<Beginning>, now: Instant) {
        if !matches!(self.stage, Stage::Hashing) {
            return;
        }
        self.say(Message::Prefixes {
            file: self.file(),
            digests: beginnings.iter().map(Beginning::digest).collect(),
        });
        self.stage = Stage::Offered(beginnings);
        self.until = Some(now + self.config.machine);
    }

    /// The next octets of the file.
    pub fn handle_read(&mut self, octets: Bytes, now: Instant) {
        let Stage::Sending(sent) = &mut self.stage else {
            return;
        };
        if octets.len() as u64 > self.size - sent.length() {
            return self.handle_failure(now);
        }
        sent.push(&octets);
        self.tasks
            .push_back(Task::Say(Message::Data(octets).into()));
        self.end_if_sent(now);
    }

    /// The file cannot be read, is shorter than it was, or is not to be sent any more.
    pub fn handle_failure(&mut self, _: Instant) {
        if self.is_under_way() {
            self.stop(Reason::Source);
        }
    }

    /// A time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            self.stop(Reason::Timeout);
            self.close();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// How many octets may be read: none unless the receiver waits for them.
    pub fn wants_octets(&self) -> u64 {
        match &self.stage {
            Stage::Sending(sent) => self.size - sent.length(),
            _ => 0,
        }
    }

    fn compare(&mut self, lengths: Vec<u64>, now: Instant) {
        match &self.stage {
            // Once: nobody is to have this side hash without end.
            Stage::Offered(hashed) if hashed.is_empty() && !lengths.is_empty() => {
                self.stage = Stage::Hashing;
                self.until = Some(now + self.config.disk);
                self.tasks.push_back(Task::Hash(lengths));
            }
            _ => self.misuse(),
        }
    }

    fn accept(&mut self, from: u64, now: Instant) {
        let Stage::Offered(hashed) = &mut self.stage else {
            return self.misuse();
        };
        let begun = match from {
            0 => Some(Beginning::default()),
            _ => hashed
                .iter()
                .position(|it| it.length() == from)
                .map(|index| hashed.swap_remove(index)),
        };
        let Some(begun) = begun else {
            return self.misuse();
        };
        self.stage = Stage::Sending(begun);
        self.until = None;
        self.tasks.push_back(Task::Read { from });
        self.end_if_sent(now);
    }

    fn end_if_sent(&mut self, now: Instant) {
        let Stage::Sending(sent) = &self.stage else {
            return;
        };
        if sent.length() < self.size {
            return;
        }
        let digest = sent.digest();
        self.stage = Stage::Ended(digest);
        self.until = Some(now + self.config.disk);
        self.say(Message::End {
            file: self.file(),
            digest,
        });
    }

    fn done(&mut self, theirs: Digest, name: String) {
        match self.stage {
            Stage::Ended(digest) if digest == theirs => {
                self.idle();
                self.tasks.push_back(Task::Delivered { digest, name });
            }
            Stage::Ended(_) => self.stop(Reason::Digest),
            _ => self.misuse(),
        }
    }

    fn stop(&mut self, reason: Reason) {
        self.idle();
        self.say(Message::Stop {
            file: self.file(),
            reason,
        });
        self.tasks.push_back(Task::GiveUp(reason));
    }

    fn misuse(&mut self) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        if self.is_under_way() {
            self.stop(Reason::Protocol);
        }
        self.close();
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.until = None;
        self.tasks.push_back(Task::Close);
    }

    fn idle(&mut self) {
        self.stage = Stage::Idle;
        self.until = None;
    }

    fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Closed)
    }

    /// Number of the file under way, or of the last one.
    fn file(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    fn say(&mut self, message: Message) {
        self.tasks.push_back(Task::Say(message.into()));
    }
}
