//! One end of the link with its users: requesters, responders, readers, writers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::errand::{Body, Errand, Kind, close, message, message_octets, message_part};
use super::tap::Tap;
use super::{Bug, Promise, Report};
use crate::http::{
    CloseReason, Config, End as Ending, Event, ExchangeId, Framing, Incoming, OpenError, Role,
    SendError, Session,
};
use crate::wire::http::{Fields, ResetCode};

pub(super) type Broken = (Promise, String);

/// Octets that a reader takes at once.
const READ: usize = 30_000;

pub(super) struct End {
    pub(super) session: Session,
    pub(super) jobs: BTreeMap<ExchangeId, Job>,
    pub(super) closed: Option<CloseReason>,
    pub(super) report: Report,
    /// The peer drains, or this side does: resets `busy` are no fault.
    pub(super) draining: bool,
    /// The link died: exchanges are gone.
    pub(super) lost: bool,
    bug: Option<Bug>,
    /// How long a probe may take now.
    pub(super) patience: Duration,
    /// Exchanges without a reader: said so, or silently under a bug.
    unread: Vec<ExchangeId>,
}

/// What one end does for an exchange.
pub(super) struct Job {
    errand: Errand,
    ours: bool,
    began: Instant,
    responded: bool,
    out: Direction,
    inc: Direction,
    pub(super) deadline: Option<Instant>,
}

#[derive(Default)]
struct Direction {
    octets: u64,
    /// Number of the WebSocket message, and octets of it that are behind us.
    message: u64,
    within: u64,
    budget: usize,
    awake: bool,
    ended: bool,
}

impl End {
    pub(super) fn new(role: Role, bug: Option<Bug>, now: Instant) -> Self {
        let config = Config {
            websocket: true,
            tcp: true,
            ..Config::default()
        };
        Self {
            session: Session::new(role, config, now),
            jobs: BTreeMap::new(),
            closed: None,
            report: Report::default(),
            draining: false,
            lost: false,
            bug,
            patience: Duration::ZERO,
            unread: Vec::new(),
        }
    }

    /// Begins an errand. `false`: not now.
    pub(super) fn open(&mut self, errand: &Errand, now: Instant) -> Result<bool, Broken> {
        match self.session.open(errand.request(), !errand.has_body(), now) {
            Ok(id) => {
                let mut job = Job::new(errand, true, now);
                job.responded = true;
                job.out.ended = !errand.has_body();
                job.deadline = errand.probe.then(|| now + self.patience);
                self.jobs.insert(id, job);
                Ok(true)
            }
            // Its peer's hello is under way, or others have to end first.
            Err(OpenError::Unsupported | OpenError::Busy) => Ok(false),
            Err(OpenError::Draining | OpenError::Closed) => {
                self.report.reset += 1;
                Ok(true)
            }
            Err(error) => Err((
                Promise::Peace,
                format!("errand {} cannot begin: {error}", errand.number),
            )),
        }
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.session.drain();
    }

    /// New budgets.
    pub(super) fn tick(&mut self) {
        for job in self.jobs.values_mut() {
            let (up, down) = (&job.errand.up, &job.errand.down);
            (job.out.budget, job.inc.budget) = if job.ours {
                (up.writer.octets, down.reader.octets)
            } else {
                (down.writer.octets, up.reader.octets)
            };
        }
    }

    /// Whether somebody has something unread and does not read it.
    pub(super) fn has_idle_reader(&self, now: Instant) -> bool {
        self.jobs.values().any(|job| {
            let reader = if job.ours {
                job.errand.down.reader
            } else {
                job.errand.up.reader
            };
            job.inc.awake && now < job.began + reader.idle
        })
    }

    pub(super) fn handle(
        &mut self,
        event: Event,
        errands: &[Errand],
        books: &mut Tap,
        now: Instant,
    ) -> Result<(), Broken> {
        match event {
            Event::Opened { id, request, end } => {
                let errand = Errand::asked(&request).and_then(|number| errands.get(number));
                let errand = errand.ok_or((Promise::Order, "a request for nothing".to_owned()))?;
                let mut job = Job::new(errand, false, now);
                job.inc.ended = end;
                self.jobs.insert(id, job);
            }
            Event::Response {
                id, status, end, ..
            } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.inc.ended |= end;
                    if status != job.errand.status() {
                        return Err((Promise::Order, format!("exchange {id}: status {status}")));
                    }
                }
            }
            Event::Readable { id } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.inc.awake = true;
                }
            }
            Event::Writable { id } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.out.awake = true;
                }
            }
            Event::Stopped { id } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    if !job.errand.early {
                        return Err((Promise::Peace, format!("exchange {id}: stopped by nobody")));
                    }
                    job.out.ended = true;
                }
            }
            Event::Ended { id } => {
                books.over(id.number());
                if let Some(job) = self.jobs.remove(&id) {
                    job.ended_well(now).map_err(|(promise, detail)| {
                        (promise, format!("exchange {id}: {detail}"))
                    })?;
                    self.report.ended += 1;
                    self.report.probes += u64::from(job.errand.probe && job.ours);
                    self.report.sockets += u64::from(job.errand.kind == Kind::WebSocket);
                }
            }
            Event::Reset { id, code, .. } => {
                books.over(id.number());
                self.report.reset += 1;
                if let Some(job) = self.jobs.remove(&id) {
                    let errand = &job.errand;
                    let meant = match code {
                        ResetCode::Cancelled => errand.cancelled.is_some(),
                        ResetCode::Broken => errand.broken.is_some(),
                        ResetCode::Busy => self.session.is_draining(),
                        ResetCode::Gone => self.lost,
                        _ => false,
                    };
                    if !meant {
                        return Err((Promise::Peace, format!("exchange {id} was reset, {code}")));
                    }
                }
            }
            Event::Draining => self.draining = true,
            Event::Closed(reason) => {
                self.closed = Some(reason);
                if matches!(reason, CloseReason::Violation(_))
                    || !self.lost && reason != CloseReason::Drained
                {
                    return Err((Promise::Peace, format!("closed: {reason}")));
                }
            }
            Event::Hello(_) | Event::Interim { .. } => {}
        }
        Ok(())
    }

    /// Everybody does what they can.
    pub(super) fn work(&mut self, books: &mut Tap, now: Instant) -> Result<(), Broken> {
        if self.closed.is_some() {
            return Ok(());
        }
        let ids: Vec<_> = self.jobs.keys().copied().collect();
        for id in ids {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            if !self.lost && job.deadline.is_some_and(|deadline| now > deadline) {
                return Err((
                    Promise::Independence,
                    format!("exchange {id} takes more than {:?}", now - job.began),
                ));
            }
            let age = now - job.began;
            let gives_up = if job.ours {
                job.errand.cancelled
            } else {
                job.errand.broken
            };
            if gives_up.is_some_and(|after| age >= after) {
                let code = if job.ours {
                    ResetCode::Cancelled
                } else {
                    ResetCode::Broken
                };
                self.session.reset(id, code);
                self.jobs.remove(&id);
                self.report.reset += 1;
                books.over(id.number());
                continue;
            }
            if !job.ours && !job.responded {
                self.respond(id)?;
            }
            let done = self.write(id, age).and_then(|()| self.read(id, age, books));
            done.map_err(|(promise, detail)| (promise, format!("exchange {id}: {detail}")))?;
        }
        Ok(())
    }

    fn respond(&mut self, id: ExchangeId) -> Result<(), Broken> {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(());
        };
        job.responded = true;
        let errand = &job.errand;
        let end = errand.kind == Kind::Head || errand.early;
        let fields = if errand.early {
            Fields::new()
        } else {
            errand.down.fields()
        };
        let hints = errand.number % 3 == 0;
        job.out.ended = end;
        let status = errand.status();
        let early = errand.early;
        let sent = if hints {
            self.session.inform(id, 103, Fields::new())
        } else {
            Ok(())
        };
        sent.and_then(|()| self.session.respond(id, status, fields, end))
            .map_err(|error| (Promise::Peace, format!("cannot respond: {error}")))?;
        if early {
            self.leave(id);
        }
        Ok(())
    }

    /// The reader goes away.
    fn leave(&mut self, id: ExchangeId) {
        self.unread.push(id);
        if self.bug == Some(Bug::ForgetReaders) {
            self.jobs.remove(&id);
        } else {
            self.session.discard(id);
        }
    }

    fn write(&mut self, id: ExchangeId, age: Duration) -> Result<(), Broken> {
        let Some(job) = self
            .jobs
            .get_mut(&id)
            .filter(|job| job.responded && !job.out.ended)
        else {
            return Ok(());
        };
        let body = if job.ours {
            &job.errand.up
        } else {
            &job.errand.down
        };
        let out = &mut job.out;
        let messages = job.errand.kind == Kind::WebSocket;
        while out.awake && out.budget > 0 && age >= body.writer.idle && out.octets < body.octets {
            let (mut bytes, framing, whole) = if messages {
                let whole = message_octets(out.message, body.octets - out.octets + out.within);
                let (part, fin) = message_part(out.message, whole - out.within);
                let bytes = body.piece(out.octets, part as usize);
                (bytes, message(out.message, fin), fin)
            } else {
                (body.piece(out.octets, out.budget), Framing::Stream, false)
            };
            let before = bytes.len();
            let all = match self.session.write(id, &mut bytes, framing) {
                Ok(all) => all,
                // Reset, and the event is not read yet.
                Err(SendError::Gone) => return Ok(()),
                Err(error) => return Err((Promise::Peace, format!("cannot write: {error}"))),
            };
            let taken = before - bytes.len();
            out.octets += taken as u64;
            out.within += taken as u64;
            out.budget = out.budget.saturating_sub(taken.max(1));
            out.awake = all;
            if whole && all {
                out.message += 1;
                out.within = 0;
            }
        }
        if out.octets == body.octets && out.awake {
            out.ended = true;
            let ending = match job.errand.kind {
                Kind::WebSocket => Ending::Close(close(body)),
                Kind::Tcp => Ending::Plain,
                _ if body.trailers => Ending::Trailers(Fields::new()),
                _ => Ending::Plain,
            };
            match self.session.finish(id, ending) {
                Ok(()) | Err(SendError::Gone) => {}
                Err(error) => return Err((Promise::Peace, format!("cannot end: {error}"))),
            }
        }
        Ok(())
    }

    fn read(&mut self, id: ExchangeId, age: Duration, books: &mut Tap) -> Result<(), Broken> {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Ok(());
        };
        let body = if job.ours {
            job.errand.down
        } else {
            job.errand.up
        };
        if job.errand.early && !job.ours {
            return Ok(());
        }
        let messages = job.errand.kind == Kind::WebSocket;
        let inc = &mut job.inc;
        while inc.awake && inc.budget > 0 && age >= body.reader.idle {
            let Ok(read) = self.session.read(id, READ.min(inc.budget)) else {
                return Ok(());
            };
            match read {
                None => inc.awake = false,
                Some(Incoming::Data { bytes, fin, text }) => {
                    books.taken(id.number(), bytes.len() as u64 + if fin { 16 } else { 0 });
                    self.report.octets += bytes.len() as u64;
                    if !job.errand.early && !body.has(inc.octets, &bytes) {
                        return Err((Promise::Order, format!("wrong octets at {}", inc.octets)));
                    }
                    inc.octets += bytes.len() as u64;
                    inc.within += bytes.len() as u64;
                    inc.budget = inc.budget.saturating_sub(bytes.len().max(1));
                    if fin {
                        let expected =
                            message_octets(inc.message, body.octets - inc.octets + inc.within);
                        let framing = Framing::Message { text, fin };
                        if !messages
                            || inc.within != expected
                            || framing != message(inc.message, true)
                        {
                            return Err((
                                Promise::Order,
                                format!("message {} has {} octets", inc.message, inc.within),
                            ));
                        }
                        inc.message += 1;
                        inc.within = 0;
                    }
                }
                Some(Incoming::End(end)) => {
                    inc.ended = true;
                    inc.awake = false;
                    if messages && (inc.within > 0 || end != Ending::Close(close(&body))) {
                        return Err((
                            Promise::Order,
                            format!("closed by {end:?}, {} octets into a message", inc.within),
                        ));
                    }
                    if !job.errand.early && inc.octets != body.octets {
                        return Err((
                            Promise::Order,
                            format!("ended after {} of {}", inc.octets, body.octets),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is left when all is over.
    pub(super) fn released(&self) -> Result<(), Broken> {
        let fresh = (crate::http::GROWTH, 0, 0);
        if self.session.live() > 0 || self.session.holdings() != fresh && self.closed.is_none() {
            let (live, holdings) = (self.session.live(), self.session.holdings());
            return Err((
                Promise::Release,
                format!(
                    "{live} exchanges, holdings {holdings:?}, unread {:?}",
                    self.unread
                ),
            ));
        }
        Ok(())
    }
}

impl Job {
    fn new(errand: &Errand, ours: bool, now: Instant) -> Self {
        let (out, inc) = (
            Direction {
                awake: true,
                ..Direction::default()
            },
            Direction::default(),
        );
        let mut job = Self {
            errand: errand.clone(),
            ours,
            began: now,
            responded: false,
            out,
            inc,
            deadline: None,
        };
        let (writer, reader): (&Body, &Body) = if ours {
            (&errand.up, &errand.down)
        } else {
            (&errand.down, &errand.up)
        };
        (job.out.budget, job.inc.budget) = (writer.writer.octets, reader.reader.octets);
        job
    }

    fn ended_well(&self, now: Instant) -> Result<(), Broken> {
        if self.deadline.is_some_and(|deadline| now > deadline) {
            return Err((
                Promise::Independence,
                format!("took {:?}", now - self.began),
            ));
        }
        let read = self.inc.ended || self.errand.early;
        if read && self.out.ended {
            Ok(())
        } else {
            Err((Promise::Order, "ended before its end".to_owned()))
        }
    }
}
