//! One client's connection by TCP or TLS: reads whole frames for the thread and writes what it gives back.
//!
//! Polled by hand, because there are many and most are idle: then one holds no buffer.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use peerage_proto::wire::turn::{NotAFrame, frame_length};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::debug;

use super::bell::{Bell, Call};
use super::stream::{Closed, Stream};

/// Octets read at a time, into a buffer that all connections of a thread share.
const READ: usize = 16 * 1024;
/// Longest frame of who has no allocation: a request with the longest name, realm, nonce and SOFTWARE that there may be (RFC 8489 section 14) is shorter.
const STRANGER: usize = 4 * 1024;
/// How long a goodbye may take.
const CLOSING: Duration = Duration::from_secs(1);

/// What a STUN message begins with: two zeros, and the magic cookie (RFC 8489 section 5). Bits that count, and their values.
const FIRST: [(u8, u8); 8] = [
    (0xc0, 0),
    (0, 0),
    (0, 0),
    (0x03, 0),
    (0xff, 0x21),
    (0xff, 0x12),
    (0xff, 0xa4),
    (0xff, 0x42),
];

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Silence of who has no allocation.
    pub(super) idle: Duration,
    /// The rest of a frame, and anything at all of what waits to be written.
    pub(super) stall: Duration,
}

/// One connection.
pub(super) struct Connection<IO> {
    io: IO,
    shared: Shared,
    patience: Patience,
    /// What came and was not handed over yet.
    inbox: Vec<u8>,
    /// Octets of whole frames at its front.
    whole: usize,
    is_first: bool,
    /// When the last whole frame came, or the thread was last asked about the silence since.
    heard: Instant,
    /// When the frame began that is not whole.
    begun: Option<Instant>,
    /// What is being written, and from where on.
    writing: Vec<u8>,
    at: usize,
    is_flushed: bool,
    /// Since when the network has taken nothing.
    since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// Tells the thread of the end, however it comes.
struct Shared {
    stream: Arc<Stream>,
    bell: Arc<Bell>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bell.call(Call::Ended(self.stream.clone()));
    }
}

/// Why it ended.
#[derive(Debug)]
enum End {
    /// The client or the network did.
    Gone,
    /// What came is neither STUN nor ChannelData.
    Garbage,
    /// A frame did not become whole in time.
    Stalled,
    /// What was to be written was not taken.
    Slow,
    /// The thread did.
    Ours,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    pub(super) fn new(io: IO, stream: Stream, bell: Arc<Bell>, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            io,
            shared: Shared {
                stream: Arc::new(stream),
                bell,
            },
            patience,
            inbox: Vec::new(),
            whole: 0,
            is_first: true,
            heard: now,
            begun: None,
            writing: Vec::new(),
            at: 0,
            is_flushed: true,
            since: None,
            timer: Box::pin(sleep_until((now + patience.idle).into())),
        }
    }

    /// Until it is closed, by whom ever.
    pub(super) async fn run(mut self) {
        let end = poll_fn(|context| self.poll(context)).await;
        let tuple = self.shared.stream.tuple;
        debug!(client = %tuple.remote, ?end, "a connection for TURN ended");
        drop(self.shared);
        if matches!(end, End::Ours) {
            let _ = timeout(CLOSING, self.io.shutdown()).await;
        }
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
            if self.at == self.writing.len() {
                self.writing.clear();
                self.at = 0;
                match self.shared.stream.poll_take(context, &mut self.writing) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(Closed)) => return Err(End::Ours),
                    Poll::Pending => {
                        self.writing = Vec::new();
                        return self.flush(context);
                    }
                }
            }
            let rest = &self.writing[self.at..];
            match Pin::new(&mut self.io).poll_write(context, rest) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Gone),
                Poll::Ready(Ok(octets)) => {
                    self.at += octets;
                    self.is_flushed = false;
                    self.since = None;
                }
                Poll::Pending => {
                    self.since.get_or_insert_with(Instant::now);
                    return match self.shared.stream.poll_cut(context) {
                        Poll::Ready(()) => Err(End::Slow),
                        Poll::Pending => Ok(()),
                    };
                }
            }
        }
    }

    /// For what has a buffer of its own, such as TLS.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        if !self.is_flushed {
            match Pin::new(&mut self.io).poll_flush(context) {
                Poll::Ready(Ok(())) => {
                    self.is_flushed = true;
                    self.since = None;
                }
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Pending => {
                    self.since.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(())
    }

    /// As much as comes, and as the thread takes: beyond that TCP holds the sender back.
    fn read(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        loop {
            if self.whole > 0 {
                if self.shared.stream.poll_ready(context).is_pending() {
                    return Ok(());
                }
                let rest = self.inbox.split_off(self.whole);
                let frames = mem::replace(&mut self.inbox, rest);
                self.whole = 0;
                self.shared.stream.hand_over(frames);
                let call = Call::Spoke(self.shared.stream.clone());
                self.shared.bell.call(call);
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let read = Pin::new(&mut self.io).poll_read(context, &mut buffer);
                ready!(read).map_err(|_| End::Gone)?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Err(End::Gone));
                }
                self.inbox.extend_from_slice(buffer.filled());
                Poll::Ready(Ok(()))
            });
            match read {
                Poll::Ready(read) => read?,
                Poll::Pending => return Ok(()),
            }
            self.find_frames().map_err(|NotAFrame| End::Garbage)?;
        }
    }

    fn find_frames(&mut self) -> Result<(), NotAFrame> {
        if self.is_first {
            // Nobody has a channel yet, and other protocols are told at once.
            let mut head = self.inbox.iter().take(FIRST.len()).zip(FIRST);
            if !head.all(|(octet, (mask, value))| octet & mask == value) {
                return Err(NotAFrame);
            }
            self.is_first = self.inbox.len() < FIRST.len();
        }
        let before = self.whole;
        let mut next;
        loop {
            next = frame_length(&self.inbox[self.whole..])?;
            match next {
                Some(length) if self.inbox.len() - self.whole >= length => self.whole += length,
                _ => break,
            }
        }
        // Only what is waited for costs memory; and what is whole may be the Allocate.
        if next.is_some_and(|length| length > STRANGER)
            && self.whole == 0
            && !self.shared.stream.is_known()
        {
            return Err(NotAFrame);
        }
        if self.whole > before {
            self.heard = Instant::now();
            self.begun = None;
        }
        if self.inbox.len() > self.whole {
            self.begun.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Whether there is something to be done again; an error when something took too long.
    fn is_due(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let due = self.due().into();
        // Moved only when it would come too late: most deadlines are moved on long before they are due.
        if self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        let is_past =
            |since: Option<Instant>| since.is_some_and(|at| at + self.patience.stall <= now);
        if is_past(self.begun) {
            return Err(End::Stalled);
        }
        if is_past(self.since) {
            return Err(End::Slow);
        }
        if self.heard + self.patience.idle <= now {
            self.heard = now;
            self.shared
                .bell
                .call(Call::Quiet(self.shared.stream.clone()));
        }
        let due = self.due().into();
        self.timer.as_mut().reset(due);
        Ok(true)
    }

    fn due(&self) -> Instant {
        let quiet = self.heard + self.patience.idle;
        let stalls = [self.begun, self.since].into_iter().flatten();
        let stalls = stalls.map(|since| since + self.patience.stall);
        stalls.fold(quiet, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll as Sockets, Token};
    use peerage_proto::turn::server::{FiveTuple, Transport};
    use tokio::io::duplex;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);
    const ENOUGH: Duration = Duration::from_secs(10);

    fn stream() -> Stream {
        Stream::new(FiveTuple {
            transport: Transport::Tcp,
            local: "192.0.2.1:3478".parse().unwrap(),
            remote: "192.0.2.7:5000".parse().unwrap(),
        })
    }

    fn bell() -> (Sockets, Arc<Bell>) {
        let sockets = Sockets::new().unwrap();
        let waker = mio::Waker::new(sockets.registry(), Token(0)).unwrap();
        (sockets, Arc::new(Bell::new(waker)))
    }

    #[tokio::test]
    async fn the_thread_is_asked_about_who_is_silent() {
        let ((_sockets, bell), (io, _client)) = (bell(), duplex(64));
        let patience = Patience {
            idle: SHORT,
            stall: LONG,
        };
        let connection = Connection::new(io, stream(), bell.clone(), patience);
        let mut running = tokio::spawn(connection.run());
        let asked = async {
            while !matches!(bell.answer(), Some(Call::Quiet(_))) {
                tokio::task::yield_now().await;
            }
        };
        timeout(ENOUGH, asked).await.expect("it is asked");
        // Whether it stays is the thread's to say.
        assert!(!running.is_finished());
        running.abort();
        let _ = (&mut running).await;
    }

    #[tokio::test]
    async fn who_does_not_finish_a_frame_or_takes_nothing_is_let_go() {
        let patience = Patience {
            idle: LONG,
            stall: SHORT,
        };
        let ((_sockets, bell), (io, mut client)) = (bell(), duplex(64));
        client.write_all(&[0, 1, 0]).await.unwrap();
        let connection = Connection::new(io, stream(), bell.clone(), patience);
        let ended = timeout(ENOUGH, connection.run()).await;
        ended.expect("half a frame ends it");
        let (io, _client) = duplex(64);
        let stream = stream();
        stream.answer(&[7; 1000], true).unwrap();
        let connection = Connection::new(io, stream, bell, patience);
        let ended = timeout(ENOUGH, connection.run()).await;
        ended.expect("a full pipe ends it");
    }
}
