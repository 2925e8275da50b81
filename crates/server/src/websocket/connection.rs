//! One WebSocket from its handshake on: reads at its pace, writes what its queue holds, closes with a reason.
//!
//! Polled by hand, because there are many and most are idle: then one holds no buffer and no timer, and is two wakers waiting.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use peerage_proto::signal::{ConnId, Departure};
use peerage_proto::wire::websocket::{Decoder, Message, Step, push_close};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::debug;

use super::budget::{Budget, Share};
use super::outbox::{Ending, Outbox, Overflow};
use super::pace::Pace;
use crate::config::Config;

/// How long a closing socket may take to read the rest and to close in turn.
const CLOSING: Duration = Duration::from_secs(1);

/// Octets read at a time, into a buffer that all sockets of a thread share.
const READ: usize = 64 * 1024;

/// Octets that give a second more than [`Config::stall`]: slow networks are slow evenly, and who means harm is to pay for the time.
const PER_SECOND: usize = 32 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Who takes what a socket says.
pub(crate) trait Service: Send + Sized {
    /// A text message, or a binary one that is UTF-8.
    ///
    /// # Errors
    /// The socket is to be closed.
    fn received(&self, conn: ConnId, text: &str) -> Result<(), Ending>;
    /// A binary message that is not UTF-8.
    fn unreadable(&self, conn: ConnId) {
        self.beat(conn);
    }
    /// Any other sign of life.
    fn beat(&self, conn: ConnId);
    /// The socket is gone.
    fn closed(self, conn: ConnId, departure: Departure);
}

/// One socket.
pub(crate) struct Connection<IO, S> {
    io: IO,
    service: S,
    conn: ConnId,
    outbox: Arc<Outbox>,
    stall: Duration,
    decoder: Decoder,
    pace: Pace,
    /// What came and has not been taken: the beginning of a frame, or what comes faster than the pace.
    inbox: Vec<u8>,
    /// How long the inbox must be before there is a frame in it.
    need: usize,
    share: Share,
    /// When the message that is not whole began.
    begun: Option<Instant>,
    /// Until when not to read.
    resume: Option<Instant>,
    /// What is being written, and from where on.
    writing: Vec<u8>,
    at: usize,
    /// Since when it has had to wait.
    since: Option<Instant>,
    /// Since when there has always been something that had to wait, and how many octets were written from then on.
    behind: Option<Instant>,
    written: usize,
    is_flushed: bool,
    /// Fires at the next deadline or before it.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How it ended.
#[derive(Debug)]
enum End {
    /// The client said goodbye, with this code.
    Goodbye(Option<u16>),
    /// The network did.
    Broken,
    /// We do.
    Ours(Ending),
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Service> Connection<IO, S> {
    /// A socket whose handshake is done.
    pub(crate) fn new(
        io: IO,
        service: S,
        (conn, outbox): (ConnId, Arc<Outbox>),
        config: &Config,
        max_message: usize,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            io,
            service,
            conn,
            outbox,
            stall: config.stall,
            decoder: Decoder::new(max_message),
            pace: Pace::new(
                config.message_rate,
                config.message_burst,
                config.octet_rate,
                Instant::now(),
            ),
            inbox: Vec::new(),
            need: 0,
            share: Share::new(budget),
            begun: None,
            resume: None,
            writing: Vec::new(),
            at: 0,
            since: None,
            behind: None,
            written: 0,
            is_flushed: true,
            timer: None,
        }
    }

    /// Until it is closed, by whom ever.
    pub(crate) async fn run(mut self) {
        let end = poll_fn(|context| self.poll(context)).await;
        debug!(conn = self.conn.0, ?end, "socket closed");
        let departure = match end {
            End::Goodbye(_) => Departure::Clean,
            End::Broken | End::Ours(_) => Departure::Lost,
        };
        self.service.closed(self.conn, departure);
        let code = match end {
            End::Goodbye(code) => code.map(|code| (code, "")),
            End::Broken | End::Ours(Ending::Cut) => return,
            End::Ours(ending) => ending.code(),
        };
        // What is half written must be whole before another frame.
        let mut rest = self.writing;
        rest.drain(..self.at);
        push_close(&mut rest, code);
        // Apart: what an idle socket's task holds is as large as the largest of what it may ever do.
        Box::pin(close(self.io, rest)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            let done = self.write(context).and_then(|()| self.read(context));
            match done.and_then(|()| self.is_due(context)) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// As much as there is and the network takes.
    fn write(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        loop {
            if self.at < self.writing.len() {
                if let Poll::Ready(ending) = self.outbox.poll_urgent(context) {
                    return Err(End::Ours(ending));
                }
            } else {
                self.since = None;
                self.at = 0;
                match self.outbox.poll_next(context) {
                    Poll::Ready(Ok(chunk)) => self.writing = chunk,
                    Poll::Ready(Err(ending)) => {
                        self.writing = Vec::new();
                        return Err(End::Ours(ending));
                    }
                    Poll::Pending => {
                        self.writing = Vec::new();
                        self.behind = None;
                        self.written = 0;
                        return self.flush(context);
                    }
                }
            }
            let rest = &self.writing[self.at..];
            match Pin::new(&mut self.io).poll_write(context, rest) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Broken),
                Poll::Ready(Ok(octets)) => {
                    self.at += octets;
                    self.written += octets;
                    self.is_flushed = false;
                    self.outbox.written(octets);
                }
                Poll::Pending => {
                    let now = Instant::now();
                    self.since.get_or_insert(now);
                    self.behind.get_or_insert(now);
                    return Ok(());
                }
            }
        }
    }

    /// For what has a buffer of its own, such as TLS.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        if !self.is_flushed {
            match Pin::new(&mut self.io).poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(_)) => return Err(End::Broken),
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// As much as comes, and as the pace allows.
    fn read(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        if let Some(resume) = self.resume {
            let now = Instant::now();
            if now < resume {
                return Ok(());
            }
            self.resume = None;
            self.need = 0;
            let mut held = mem::take(&mut self.inbox);
            self.feed(&mut held, now)?;
        }
        while self.resume.is_none() {
            let fed = BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let read = Pin::new(&mut self.io).poll_read(context, &mut buffer);
                ready!(read).map_err(|_| End::Broken)?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Err(End::Broken));
                }
                Poll::Ready(self.feed(buffer.filled_mut(), Instant::now()))
            });
            match fed {
                Poll::Ready(fed) => fed?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Takes what came: what is no whole frame yet, or too fast, stays in the inbox.
    fn feed(&mut self, mut octets: &mut [u8], now: Instant) -> Result<(), End> {
        while !self.inbox.is_empty() && self.resume.is_none() {
            let missing = self.need.saturating_sub(self.inbox.len());
            let (more, rest) = octets.split_at_mut(missing.min(octets.len()));
            self.inbox.extend_from_slice(more);
            octets = rest;
            if self.inbox.len() < self.need {
                break;
            }
            let mut begun = mem::take(&mut self.inbox);
            let taken = self.take_frames(&mut begun, now)?;
            begun.drain(..taken);
            self.inbox = begun;
        }
        if self.inbox.is_empty() && self.resume.is_none() {
            let taken = self.take_frames(octets, now)?;
            octets = &mut octets[taken..];
        }
        self.inbox.extend_from_slice(octets);
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
        if !self.share.resize(self.inbox.len() + self.decoder.held()) {
            return Err(End::Ours(Ending::Full));
        }
        if self.resume.is_none() && (!self.inbox.is_empty() || self.decoder.is_within_message()) {
            self.begun.get_or_insert(now);
        }
        Ok(())
    }

    /// Takes frames from the front until there is no whole one, or too many came; returns how many octets they were.
    fn take_frames(&mut self, octets: &mut [u8], now: Instant) -> Result<usize, End> {
        let mut taken = 0;
        while self.resume.is_none() {
            let is_within = self.decoder.is_within_message();
            let step = self.decoder.step(&mut octets[taken..]);
            let step = step.map_err(|violation| End::Ours(Ending::Violation(violation)))?;
            let (size, message) = match step {
                Step::Need(need) => {
                    self.need = need;
                    break;
                }
                Step::Frame(size, message) => (size, message),
            };
            taken += size;
            self.resume = self.pace.spend(size, now);
            let Some(message) = message else { continue };
            // A ping in the midst of a message does not make that whole.
            if !(is_within && matches!(message, Message::Ping(_) | Message::Pong)) {
                self.begun = None;
            }
            match message {
                Message::Text(text) => {
                    let taken = self.service.received(self.conn, text);
                    taken.map_err(End::Ours)?;
                }
                Message::Binary(octets) => match std::str::from_utf8(octets) {
                    Ok(text) => {
                        let taken = self.service.received(self.conn, text);
                        taken.map_err(End::Ours)?;
                    }
                    Err(_) => self.service.unreadable(self.conn),
                },
                Message::Ping(payload) => {
                    let answered = self.outbox.push_pong(payload);
                    answered.map_err(|Overflow| End::Ours(Ending::Slow))?;
                    self.service.beat(self.conn);
                }
                Message::Pong => self.service.beat(self.conn),
                Message::Close(code) => return Err(End::Goodbye(code)),
            }
        }
        Ok(taken)
    }

    /// Whether there is something to be done again; an error when something took too long.
    fn is_due(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let late = |since: Option<Instant>, octets: usize| {
            let more = Duration::from_secs((octets / PER_SECOND) as u64);
            since.map(|since| since + self.stall + more)
        };
        let held = self.inbox.len() + self.decoder.held();
        let read_by = late(self.begun, held);
        let written_by = late(self.since, self.writing.len());
        let caught_up_by = late(self.behind, self.written);
        let deadlines = [self.resume, read_by, written_by, caught_up_by];
        let Some(due) = deadlines.into_iter().flatten().min() else {
            return Ok(false);
        };
        // Moved only when it would come too late: messages come in pieces all the time, and are whole long before.
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(due.into())));
        if timer.deadline() > due.into() {
            timer.as_mut().reset(due.into());
        }
        if timer.as_mut().poll(context).is_pending() {
            return Ok(false);
        }
        self.timer = None;
        let now = Instant::now();
        let is_past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_past(read_by) {
            return Err(End::Ours(Ending::Stalled));
        }
        if is_past(written_by) || is_past(caught_up_by) {
            return Err(End::Ours(Ending::Slow));
        }
        Ok(true)
    }
}

/// Says the rest, and lets the client close in turn: what it still sends counts for nothing. Whoever does not close in time is cut.
async fn close<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO, rest: Vec<u8>) {
    let closing = async {
        io.write_all(&rest).await?;
        io.shutdown().await?;
        // Whoever closes while something is under way to it takes from the other what it has not read: the reason.
        let mut ignored = [0; 1024];
        while io.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(CLOSING, closing).await;
}
