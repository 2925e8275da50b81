//! One run: two ends, two directions of a channel, one clock.

use std::time::{Duration, Instant};

use super::channel::Channel;
use super::end::{Broken, End};
use super::errand::Errand;
use super::tap::Tap;
use super::{Bug, Failure, Promise, Report};
use crate::http::{CloseReason, Role};
use crate::sim::Rng;

/// New budgets for readers and writers that have one.
const TICK: Duration = Duration::from_millis(20);
/// By then everything has ended: the slowest errand needs some ten seconds, a silent link is given up after thirty.
const LIMIT: Duration = Duration::from_secs(150);

/// How the link ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// All errands end, both sides stay.
    Lasts,
    /// The channel dies and both sides are told.
    Breaks(Duration),
    /// The channel dies and nobody is told.
    FallsSilent(Duration),
    /// One of the sides drains: the caller or not.
    Drains(Duration, bool),
}

struct World {
    now: Instant,
    start: Instant,
    errands: Vec<Errand>,
    waiting: Vec<usize>,
    ends: [End; 2],
    /// From the end of the same index to the other.
    channels: [Channel; 2],
    /// Of the DATA that goes in that direction.
    books: [Tap; 2],
    fate: Fate,
    next_tick: Instant,
    bug: Option<Bug>,
    messages: u64,
}

/// Runs a seed to its end, with a bug planted or without; `start` is any instant.
///
/// # Errors
/// The first broken promise.
pub fn run(seed: u64, bug: Option<Bug>, start: Instant) -> Result<Report, Failure> {
    let mut world = World::new(seed, bug, start);
    world.run().map_err(|(promise, detail)| Failure {
        seed,
        at: world.now - start,
        promise,
        detail,
    })
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, start: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.pick(1..60) as usize;
        let errands: Vec<_> = (0..count)
            .map(|number| Errand::new(number, &mut rng))
            .collect();
        let when = Duration::from_millis(rng.size(6_000));
        let fate = match rng.pick(0..8) {
            0 => Fate::Breaks(when),
            1 => Fate::FallsSilent(when),
            2 => Fate::Drains(when, rng.one_in(2)),
            _ => Fate::Lasts,
        };
        Self {
            now: start,
            start,
            waiting: (0..errands.len()).collect(),
            errands,
            ends: [
                End::new(Role::Caller, bug, start),
                End::new(Role::Callee, bug, start),
            ],
            channels: [Channel::new(&mut rng, start), Channel::new(&mut rng, start)],
            books: [Tap::default(), Tap::default()],
            fate,
            next_tick: start,
            bug,
            messages: 0,
        }
    }

    fn run(&mut self) -> Result<Report, Broken> {
        loop {
            self.meet_fate();
            self.begin_errands()?;
            self.deliver()?;
            for side in 0..2 {
                self.ends[side].session.handle_timeout(self.now);
                // What comes in here goes in the other's direction.
                self.ends[side].work(&mut self.books[1 - side], self.now)?;
                self.pump(side)?;
            }
            if self.is_over() {
                break;
            }
            self.advance()?;
        }
        self.ends.iter().try_for_each(End::released)?;
        let mut report = Report {
            messages: self.messages,
            ..Report::default()
        };
        self.ends.iter().for_each(|end| report += end.report);
        Ok(report)
    }

    fn meet_fate(&mut self) {
        let age = self.now - self.start;
        match self.fate {
            Fate::Breaks(at) if age >= at => {
                self.cut();
                self.ends
                    .iter_mut()
                    .for_each(|end| end.session.close(CloseReason::Lost));
            }
            Fate::FallsSilent(at) if age >= at => {
                self.cut();
                // A side without exchanges has no reason to notice.
                for end in self.ends.iter_mut().filter(|end| end.session.live() == 0) {
                    end.session.close(CloseReason::Lost);
                }
            }
            Fate::Drains(at, caller) if age >= at => {
                let side = usize::from(!caller);
                if !self.ends[side].draining {
                    self.ends[side].drain();
                }
                // The one that drained closes the channel when all that it sent has arrived.
                if self.ends[side].closed.is_some() && self.channels[side].next_arrival().is_none()
                {
                    self.ends[1 - side].lost = true;
                    self.ends[1 - side].session.close(CloseReason::Lost);
                }
            }
            _ => {}
        }
    }

    fn cut(&mut self) {
        self.channels.iter_mut().for_each(Channel::die);
        self.ends.iter_mut().for_each(|end| end.lost = true);
    }

    fn begin_errands(&mut self) -> Result<(), Broken> {
        let live: usize = self
            .ends
            .iter()
            .map(|end| end.session.live())
            .max()
            .unwrap_or(0);
        let there_and_back: Duration = self
            .channels
            .iter()
            .map(|way| way.latency() + way.airtime(live * 16_384))
            .sum();
        for number in std::mem::take(&mut self.waiting) {
            let errand = &self.errands[number];
            let end = &mut self.ends[usize::from(!errand.by_caller)];
            // Others may begin meanwhile, so twice the time; and a tick or two.
            end.patience = there_and_back * 4 + TICK * 5 + Duration::from_millis(500);
            if self.now - self.start < errand.at || !end.open(errand, self.now)? {
                self.waiting.push(number);
            }
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Broken> {
        for from in 0..2 {
            let to = 1 - from;
            if self.bug == Some(Bug::BlockBehindReaders) && self.ends[to].has_idle_reader(self.now)
            {
                continue;
            }
            while let Some(message) = self.channels[from].receive(self.now) {
                self.books[to].heard(&message);
                let message = self
                    .bug
                    .map_or(message.clone(), |bug| bug.on_arrival(message));
                if !message.is_empty() {
                    self.ends[to].session.handle_message(message, self.now);
                }
                self.hear(to)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, side: usize) -> Result<(), Broken> {
        while let Some(event) = self.ends[side].session.poll_event() {
            self.ends[side].handle(event, &self.errands, &mut self.books[1 - side], self.now)?;
        }
        Ok(())
    }

    /// As the shell does: send while there is room, then tell.
    fn pump(&mut self, side: usize) -> Result<(), Broken> {
        while self.channels[side].has_room() {
            let Some(message) = self.ends[side].session.poll_transmit() else {
                break;
            };
            let message = self
                .bug
                .map_or(message.clone(), |bug| bug.on_sending(message));
            self.messages += 1;
            self.books[side].sent(&message)?;
            self.books[1 - side].granted(&message)?;
            self.channels[side].send(message, self.now);
        }
        self.hear(side)
    }

    fn is_over(&self) -> bool {
        let idle = |end: &End| end.jobs.is_empty();
        let quiet = |channel: &Channel| channel.next_arrival().is_none();
        let settled = match self.fate {
            Fate::Lasts => true,
            _ => self.ends.iter().all(|end| end.closed.is_some()),
        };
        self.waiting.is_empty()
            && settled
            && self.ends.iter().all(idle)
            && self.channels.iter().all(quiet)
    }

    fn advance(&mut self) -> Result<(), Broken> {
        if self.now - self.start > LIMIT {
            let left: Vec<_> = self
                .ends
                .iter()
                .map(|end| end.jobs.keys().map(ToString::to_string).collect::<Vec<_>>())
                .collect();
            return Err((
                Promise::End,
                format!("live for ever: {left:?}, not begun: {:?}", self.waiting),
            ));
        }
        let now = self.now;
        let arrivals = self.channels.iter().filter_map(Channel::next_arrival);
        // One that is due and was not taken is held back by a bug.
        let arrival = arrivals.filter(|arrival| *arrival > now).min();
        self.now = arrival.map_or(self.next_tick, |arrival| arrival.min(self.next_tick));
        if self.now >= self.next_tick {
            self.next_tick = self.now + TICK;
            self.ends.iter_mut().for_each(End::tick);
        }
        Ok(())
    }
}
