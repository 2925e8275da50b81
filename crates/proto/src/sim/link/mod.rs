//! A device, its callers, and between them a signalling server that lies: replays, swaps, forgeries, losses; wrong clocks, restarts, revocations.
//! Paths that open are cut and lost again, and restarted over that server, or over one that is lossy and no worse.
//!
//! What must hold whatever happens is a [`Promise`]. That a broken promise would be noticed is proven by [`Bug`]s planted around the machines,
//! never in them. The engines are made up; whoever controls the network may shake hands with either of them, under its own certificate.

mod book;
mod bug;
mod half;
mod path;
mod server;
mod shell;
mod world;

use bug::Bug;
use world::run;

/// What every run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// What is applied and what opens is the true peer's: its certificate, for this very offer.
    Identity,
    /// Who is let in, and who stays, has a live grant.
    Grant,
    /// A caller tells no address before the device has proven itself, for each description anew.
    Silence,
    /// An unproven offer gets at most one refusal, at a limited rate; never a description, a candidate or a signature.
    Quiet,
    /// Every connection opens or closes by its deadline.
    End,
    /// The gate counts what lives, and nothing in the end.
    Release,
    /// No offer is let in twice, no description applied twice; candidates are bounded.
    Once,
    /// The server cannot cut what is open.
    Standing,
    /// No end is led back to an older description of the other's.
    Forward,
    /// Whoever was connected, and could be again, is: over a server that delivers, and however wrong its clock is.
    Return,
    /// Restarts are offered and asked for at a bounded rate.
    Bounded,
    /// Over an honest server every caller who may gets in, at its second try at the latest, however wrong its clock is.
    Welcome,
}

/// A broken promise, and by what.
type Broken = (Promise, String);

/// A broken promise, and how to see it again.
type Failure = super::Failure<Promise>;

/// What a run did: a simulation in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Report {
    /// Callers' connections that opened, over a server that lies and over one that does not.
    opened: u64,
    opened_honest: u64,
    /// Second tries that opened.
    second: u64,
    /// Calls that ended outside.
    failed: u64,
    /// Answers that were not believed.
    disbelieved: u64,
    /// Handshakes under another certificate that were noticed.
    exposed: u64,
    /// Offers that the device refused.
    refused: u64,
    /// Connections that ended with their grant.
    revoked: u64,
    /// Descriptions of restarts that a caller's engine got, over each kind of server.
    restarted: u64,
    restarted_lossy: u64,
    /// Paths that were lost and came back by a restart, and such as did not in time.
    back: u64,
    silent: u64,
    /// Connections whose caller heard that they are gone.
    gone: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.opened_honest += other.opened_honest;
        self.second += other.second;
        self.failed += other.failed;
        self.disbelieved += other.disbelieved;
        self.exposed += other.exposed;
        self.refused += other.refused;
        self.revoked += other.revoked;
        self.restarted += other.restarted;
        self.restarted_lossy += other.restarted_lossy;
        self.back += other.back;
        self.silent += other.silent;
        self.gone += other.gone;
    }
}

#[test]
fn every_promise_holds_whatever_the_server_does() {
    let seeds = super::seeds(200);
    let count = seeds.end - seeds.start;
    let mut total = Report::default();
    for seed in seeds {
        match run(seed, None, super::epoch()) {
            Ok(report) => total += report,
            Err(failure) => panic!("{failure}"),
        }
    }
    let least = [
        total.opened,
        total.opened_honest,
        total.second,
        total.failed,
        total.disbelieved * 8,
        total.exposed * 4,
        total.refused,
        total.revoked * 4,
        total.restarted,
        total.restarted_lossy * 8,
        total.back,
        total.silent * 8,
        total.gone * 50,
    ];
    assert!(
        count == 1 || least.iter().all(|&least| least > count),
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
    let mut missed = Vec::new();
    for (bug, promise) in [
        (Bug::BelieveAnyAnswer, Promise::Identity),
        (Bug::ApplyUnread, Promise::Identity),
        (Bug::CompareNothing, Promise::Identity),
        (Bug::BelieveAnyMac, Promise::Grant),
        (Bug::ForgetRevocation, Promise::Grant),
        (Bug::IgnoreEnd, Promise::Grant),
        (Bug::TrickleAtOnce, Promise::Silence),
        (Bug::CandidatesInOffer, Promise::Silence),
        (Bug::RefuseAlways, Promise::Quiet),
        (Bug::DescribeRefused, Promise::Quiet),
        (Bug::LoseTimeouts, Promise::End),
        (Bug::ForgetClosed, Promise::Release),
        (Bug::ForgetSeen, Promise::Once),
        (Bug::BelieveLeave, Promise::Standing),
        (Bug::NoSecondTry, Promise::Welcome),
        (Bug::BelieveAnyRestart, Promise::Identity),
        (Bug::TrickleRestart, Promise::Silence),
        (Bug::BelieveGone, Promise::Standing),
        (Bug::RestartAsFirst, Promise::Standing),
        (Bug::RestartAgain, Promise::Forward),
        (Bug::ForgetPath, Promise::Return),
        (Bug::ForgetNonce, Promise::Return),
        (Bug::RestartAtOnce, Promise::Bounded),
    ] {
        let mut noticed = (0..100).filter_map(|seed| run(seed, Some(bug), super::epoch()).err());
        let rightly = noticed.find(|failure| failure.promise == promise);
        if rightly.is_none() {
            missed.push((bug, promise));
        }
    }
    assert!(missed.is_empty(), "nothing was noticed of {missed:?}");
}
