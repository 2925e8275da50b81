//! The proxy's side of one old client's connection ([`wire::legacy`](crate::wire::legacy)): one request at a time, in order, each of them answered.
//!
//! Feed one input, drain [`Session::poll_output`] to `None`, call [`Session::handle_timeout`] at [`Session::poll_timeout`].
//!
//! Answers are told apart by their order alone, so one that never comes makes the client wait for ever: it never sends anything again. Hence
//! every request is answered, also those that are wrong, too many, too large in their answer, or too slow.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::wire::legacy::{Ask, AskError, Header, KEEP_ALIVE, MAX_BODY, PONG, Request};

/// How often a client is told that its request is still worked on.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How long a request may take from its arrival on: the clients wait for 20 s, and never recover from having waited in vain.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(18);
/// How long a client may ask for nothing. The old ones ping every second.
pub const IDLE: Duration = Duration::from_secs(300);
/// Requests that wait for their turn.
pub const MAX_WAITING: usize = 16;
/// Octets of the messages that they came in.
pub const MAX_WAITING_OCTETS: usize = 512 * 1024;
/// Requests beyond, which are answered by an error when it is their turn. One more ends the connection.
pub const MAX_REFUSED: u32 = 1_024;

/// The machine.
#[derive(Debug)]
pub struct Session {
    max_body: usize,
    running: Option<Running>,
    waiting: VecDeque<Waiting>,
    waiting_octets: usize,
    /// Came after all that wait, and found no room.
    refused: u32,
    idle_since: Instant,
    outputs: VecDeque<Output>,
    over: bool,
}

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary,
}

/// What the target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The field `content-type`.
    pub content_type: Option<String>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It has more octets than [`Session::max_body`]; how many, where that is known.
    TooLarge(Option<u64>),
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this text.
    Text(String),
    /// Send these octets, of which there is at least one.
    Binary(Bytes),
    /// Ask the target, and give its answer to [`Session::handle_answer`]. One request runs at a time.
    Ask(Request),
    /// Drop the request that runs: it was answered in the target's place.
    Cancel,
    /// Close the connection; nothing comes after.
    Close,
}

#[derive(Debug)]
struct Running {
    keep_alive: Instant,
    answer_by: Instant,
}

#[derive(Debug)]
struct Waiting {
    ask: Result<Ask, AskError>,
    octets: usize,
    answer_by: Instant,
}

impl Session {
    /// For a client that takes messages of `max_message` octets.
    pub fn new(max_message: usize, now: Instant) -> Self {
        Self {
            max_body: max_message.min(MAX_BODY),
            running: None,
            waiting: VecDeque::new(),
            waiting_octets: 0,
            refused: 0,
            idle_since: now,
            outputs: VecDeque::new(),
            over: false,
        }
    }

    /// Octets of the largest body that the client takes.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Whether a request runs or waits.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty() || self.refused > 0
    }

    /// Takes a message of the client.
    pub fn handle_message(&mut self, message: Received<'_>, now: Instant) {
        if self.over {
            return;
        }
        let (ask, octets) = match message {
            Received::Text(text) => (Ask::parse(text), text.len()),
            Received::Binary => (Err(AskError::Malformed), 0),
        };
        let room =
            self.waiting.len() < MAX_WAITING && self.waiting_octets + octets <= MAX_WAITING_OCTETS;
        // Once one was refused so are those behind it, or their answers would overtake.
        if self.refused > 0 || !room {
            if self.refused == MAX_REFUSED {
                return self.close();
            }
            self.refused += 1;
            return;
        }
        self.waiting_octets += octets;
        self.waiting.push_back(Waiting {
            ask,
            octets,
            answer_by: now + ANSWER_WITHIN,
        });
        self.advance(now);
    }

    /// Takes the answer to the request that runs.
    pub fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if self.over || self.running.take().is_none() {
            return;
        }
        let Answer {
            status,
            content_type,
            body,
        } = answer;
        match body {
            Body::Whole(body) if body.len() <= self.max_body => {
                self.answer(status, content_type.as_deref(), body);
            }
            Body::Whole(body) => self.too_large(Some(body.len() as u64)),
            Body::TooLarge(octets) => self.too_large(octets),
        }
        self.advance(now);
    }

    /// What the shell must do; to be drained to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && !self.over && self.running.is_none() && self.refused > 0 {
            // Made one by one: they may be many.
            self.refused -= 1;
            self.fail(
                503,
                "too many requests at once: wait for an answer before you ask again",
            );
        }
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        Some(match &self.running {
            Some(running) => running.keep_alive.min(running.answer_by),
            None => self.idle_since + IDLE,
        })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let Some(running) = &mut self.running else {
            return self.close();
        };
        if now < running.answer_by {
            running.keep_alive = now + KEEP_ALIVE_EVERY;
            self.outputs.push_back(Output::Text(KEEP_ALIVE.to_owned()));
            return;
        }
        self.running = None;
        self.outputs.push_back(Output::Cancel);
        self.fail(
            504,
            &format!("the app did not answer in {} s", ANSWER_WITHIN.as_secs()),
        );
        self.advance(now);
    }

    /// Takes up what waits, until something runs.
    fn advance(&mut self, now: Instant) {
        while self.running.is_none()
            && let Some(Waiting {
                ask,
                octets,
                answer_by,
            }) = self.waiting.pop_front()
        {
            self.waiting_octets -= octets;
            match ask {
                Ok(Ask::Ping) => self
                    .outputs
                    .extend(PONG.map(|text| Output::Text(text.to_owned()))),
                Ok(Ask::Request(_)) if now >= answer_by => {
                    self.fail(504, "the requests before this one took too long");
                }
                Ok(Ask::Request(request)) => {
                    self.outputs.push_back(Output::Text(KEEP_ALIVE.to_owned()));
                    self.outputs.push_back(Output::Ask(request));
                    self.running = Some(Running {
                        keep_alive: now + KEEP_ALIVE_EVERY,
                        answer_by,
                    });
                }
                Err(error) => {
                    let status = if error == AskError::Method { 405 } else { 400 };
                    self.fail(status, &error.to_string());
                }
            }
        }
        self.idle_since = now;
    }

    fn answer(&mut self, status: u16, content_type: Option<&str>, body: Bytes) {
        let status = match status {
            // Clients take it for a keep-alive, whoever it is from, and wait on.
            202 => 200,
            // An empty message would have to follow, and those get lost beneath (RFC 8831 6.6): this says as much without one.
            200..300 if body.is_empty() => 204,
            status => status,
        };
        if status != 204 && body.is_empty() {
            return self.fail(status, "the app answered without a body");
        }
        let header = Header {
            status,
            content_type,
            content_length: if status == 204 { 0 } else { body.len() },
        };
        self.outputs.push_back(Output::Text(header.emit()));
        if status != 204 {
            self.outputs.push_back(Output::Binary(body));
        }
    }

    fn too_large(&mut self, octets: Option<u64>) {
        let limit = self.max_body;
        let text = match octets {
            Some(octets) => {
                format!("the answer has {octets} octets: clients of this kind take {limit} at most")
            }
            None => {
                format!(
                    "the answer has more than the {limit} octets that clients of this kind take"
                )
            }
        };
        self.fail(502, &text);
    }

    /// An answer of the proxy's own.
    fn fail(&mut self, status: u16, text: &str) {
        let body = Bytes::from(format!("{text}\n"));
        self.answer(status, Some("text/plain; charset=utf-8"), body);
    }

    fn close(&mut self) {
        self.over = true;
        self.running = None;
        self.waiting.clear();
        self.refused = 0;
        self.outputs.push_back(Output::Close);
    }
}
