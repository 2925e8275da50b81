//! Two HTTP sessions over a channel that delays, and sometimes dies: uploads, downloads, sockets, slow readers, cancels, drains.
//!
//! What must hold whatever happens is a [`Promise`]. That a broken promise would be noticed is proven by [`Bug`]s planted on the wire or in the
//! readers, never in the session itself.

mod bug;
mod channel;
mod end;
mod errand;
mod tap;
mod world;

pub use bug::Bug;
pub use world::run;

/// What every run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Octets arrive once, in order, and all of them where an exchange ends well; WebSocket messages whole and of their kind, and the close, as it was
    /// sent, last.
    Order,
    /// Nobody sends more than was granted.
    Credit,
    /// What a link may hold stays within 64 MiB, an exchange within 1 MiB.
    Window,
    /// A quick exchange is done in the time that the channel needs, however many others stand still.
    Independence,
    /// After its exchanges a session holds nothing.
    Release,
    /// Every exchange comes to an end that both sides hear of.
    End,
    /// Two sessions never call each other's messages wrong, and nothing is reset that nobody reset.
    Peace,
}

/// A broken promise, and how to see it again.
pub type Failure = super::Failure<Promise>;

/// What a run did: a simulation in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Exchanges that ended well.
    pub ended: u64,
    /// Exchanges that were reset, refused or lost.
    pub reset: u64,
    /// Octets that readers took.
    pub octets: u64,
    /// Quick exchanges that were timed.
    pub probes: u64,
    /// WebSockets that ended well, and had been closed by each side.
    pub sockets: u64,
    /// Channel messages.
    pub messages: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.ended += other.ended;
        self.reset += other.reset;
        self.octets += other.octets;
        self.probes += other.probes;
        self.sockets += other.sockets;
        self.messages += other.messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{epoch, seeds};

    #[test]
    fn every_promise_holds_whatever_the_seed() {
        let mut total = Report::default();
        let seeds = seeds(300);
        let alone = seeds.end - seeds.start == 1;
        for seed in seeds {
            match run(seed, None, epoch()) {
                Ok(report) => total += report,
                Err(failure) => panic!("{failure}"),
            }
        }
        assert!(
            alone
                || total.ended > 1_000
                    && total.reset > 500
                    && total.probes > 500
                    && total.sockets > 500,
            "too little happened: {total:?}"
        );
    }

    #[test]
    fn a_seed_always_gives_the_same_run() {
        for seed in 0..5 {
            assert_eq!(run(seed, None, epoch()), run(seed, None, epoch()));
        }
    }

    #[test]
    fn every_planted_bug_is_noticed_as_what_it_is() {
        for (bug, promise) in [
            (Bug::RepeatData, Promise::Order),
            (Bug::LoseData, Promise::Order),
            (Bug::SwapData, Promise::Order),
            (Bug::LoseFin, Promise::Order),
            (Bug::FlipText, Promise::Order),
            (Bug::LoseClose, Promise::Order),
            (Bug::SpendUngranted, Promise::Credit),
            (Bug::GrantTooMuch, Promise::Window),
            (Bug::LoseCredit, Promise::End),
            (Bug::LoseEnd, Promise::End),
            (Bug::LoseReset, Promise::End),
            (Bug::BlockBehindReaders, Promise::Independence),
            (Bug::ForgetReaders, Promise::Release),
            (Bug::BreakHeads, Promise::Peace),
        ] {
            let noticed: Vec<_> = (0..60)
                .filter_map(|seed| run(seed, Some(bug), epoch()).err())
                .collect();
            let rightly = noticed
                .iter()
                .filter(|failure| failure.promise == promise)
                .count();
            assert!(
                rightly > 0,
                "{bug:?} must break {promise:?}, but: {noticed:#?}"
            );
        }
    }
}
