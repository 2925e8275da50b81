//! The shards of a signalling server and their clients: sockets that delay and break, takeovers, thieves, floods, garbage, clock jumps, restarts; and what
//! one shard says to another delayed, in a share of the runs lost, in another out of order.
//!
//! What must hold whatever happens is a [`Promise`]. A book written from the rules, not from the router, says what each input must lead to. That
//! a broken promise would be noticed is proven by [`Bug`]s planted around the routers, never in them.

mod book;
mod bug;
mod client;
mod crowd;
mod verdict;
mod world;

use book::Book;
use bug::Bug;
use world::run;

/// What every run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// A message goes only to the socket that holds the id it is for, under the id of its true sender.
    Stranger,
    /// An id never has two owners, and while it is held no other token gets it; the shell hears of each coming and going, and of nothing else.
    Owner,
    /// `OPEN` comes first, before what waited; a socket gets it once, or else one refusal; after its close it gets nothing.
    First,
    /// Every message is delivered, or expires, or is refused at once: one of them, once. Where matters between shards are lost: at most once.
    Once,
    /// What is relayed is the frame that was sent, its payload to the octet.
    Intact,
    /// What one sender says to one receiver arrives in its order.
    Order,
    /// A sender is told that a peer did not come when its time is over, counted from the first message that waits: not before, and no later than the
    /// server's clock is.
    Wait,
    /// No limit is exceeded, none refuses too early, and the totals are the sum of the shards.
    Room,
    /// When all clients have gone and time has passed nothing is left: no id, no message, no subscription, no deadline.
    Release,
    /// A subscriber is answered, told of each change, and when things are quiet the last it heard is true.
    Presence,
    /// An id that did not opt in is never said to be there, and neither a takeover nor a hold is told.
    Discretion,
    /// Who says anything every half of the time is never closed as silent; who says nothing is, in time.
    Alive,
    /// Who may have an id gets it: an honest client is back after a lost socket or a restart of the server, unless somebody else holds its id.
    Return,
}

/// A broken promise, and by what.
type Broken = (Promise, String);

/// A broken promise, and how to see it again.
type Failure = super::Failure<Promise>;

/// What a run did: a simulation in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Report {
    /// Messages that went to their receiver at once, and after they had waited.
    relayed: u64,
    waited: u64,
    /// Messages that waited in vain, and those for which there was no room.
    expired: u64,
    overflowed: u64,
    /// Messages between shards that were lost.
    lost: u64,
    /// Sockets let in, those among them that took their id over from another one, and from an absent holder.
    opened: u64,
    taken_over: u64,
    returned: u64,
    /// Sockets refused: the id was another's, its key's proof was missing, there was no room.
    id_taken: u64,
    unproven: u64,
    full: u64,
    /// Sockets closed because they were silent.
    silent: u64,
    /// What subscribers were told, refusals among it.
    told: u64,
    unsubscribed: u64,
    restarts: u64,
    sleeps: u64,
}

impl Report {
    const fn counts(&self) -> [u64; 16] {
        [
            self.relayed,
            self.waited,
            self.expired,
            self.overflowed,
            self.lost,
            self.opened,
            self.taken_over,
            self.returned,
            self.id_taken,
            self.unproven,
            self.full,
            self.silent,
            self.told,
            self.unsubscribed,
            self.restarts,
            self.sleeps,
        ]
    }
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.relayed += other.relayed;
        self.waited += other.waited;
        self.expired += other.expired;
        self.overflowed += other.overflowed;
        self.lost += other.lost;
        self.opened += other.opened;
        self.taken_over += other.taken_over;
        self.returned += other.returned;
        self.id_taken += other.id_taken;
        self.unproven += other.unproven;
        self.full += other.full;
        self.silent += other.silent;
        self.told += other.told;
        self.unsubscribed += other.unsubscribed;
        self.restarts += other.restarts;
        self.sleeps += other.sleeps;
    }
}

#[test]
fn every_promise_holds_whatever_clients_do() {
    let seeds = super::seeds(300);
    let count = seeds.end - seeds.start;
    let mut total = Report::default();
    for seed in seeds {
        match run(seed, None, super::epoch()) {
            Ok(report) => total += report,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(
        count == 1 || total.counts().iter().all(|&least| least * 8 > count),
        "too little happened: {total:?}"
    );
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..5 {
        let again = || run(seed, None, super::epoch());
        assert_eq!(again(), again());
    }
}

#[test]
fn every_planted_bug_is_noticed_as_what_it_is() {
    for (bug, promise) in Bug::ALL {
        let mut noticed = (0..60).filter_map(|seed| run(seed, Some(bug), super::epoch()).err());
        let rightly = noticed.find(|failure| failure.promise == promise);
        assert!(rightly.is_some(), "{bug:?} must break {promise:?}");
    }
}
