//! Connections from their offer to their end, by room and id: where candidates go, and whom a `leave` means.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_proto::wire::forwarded::Household;
use peerage_proto::wire::room::{Name, RoomName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Candidates of one peer that wait for its offer, or for its connection's task.
pub(super) const CANDIDATES: usize = 32;
/// Octets of one candidate: more than any has.
const CANDIDATE: usize = 1024;
/// Octets of all candidates that wait for an offer.
const WAITING: usize = 64 * 1024;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A room and an id in it.
pub(super) type Key = (RoomName, Name);

#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// Of each key, in the order of their offers: a later one may come to nothing.
    all: HashMap<Key, Vec<Attempt>>,
    early: Early,
    numbers: u64,
}

#[derive(Debug)]
struct Attempt {
    number: u64,
    household: Option<Household>,
    candidates: mpsc::Sender<String>,
    left: CancellationToken,
    /// Who came by the native protocol says goodbye there, where nobody else can.
    native: bool,
}

/// What the task of a connection holds of its entry.
#[derive(Debug)]
pub(super) struct Entry {
    attempts: Arc<Attempts>,
    key: Key,
    number: u64,
    /// The peer's, also those that came before the offer.
    pub(super) candidates: mpsc::Receiver<String>,
    /// Somebody said that the peer is gone.
    pub(super) left: CancellationToken,
}

/// Who says something of a peer. Anybody can: it counts from where the peer's offer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Speaker {
    /// The application: it knows.
    Trusted,
    /// Somebody from there.
    From(Option<Household>),
}

impl Attempts {
    pub(super) fn begin(
        self: &Arc<Self>,
        key: Key,
        household: Option<Household>,
        now: Instant,
    ) -> Entry {
        let mut table = self.lock();
        table.numbers += 1;
        let number = table.numbers;
        let (sender, candidates) = mpsc::channel(CANDIDATES);
        for speaker in [Speaker::Trusted, Speaker::From(household)] {
            for candidate in table.early.take(&(key.clone(), speaker), now) {
                // As many as there is place for.
                let _ = sender.try_send(candidate);
            }
        }
        let left = CancellationToken::new();
        table.all.entry(key.clone()).or_default().push(Attempt {
            number,
            household,
            candidates: sender,
            left: left.clone(),
            native: false,
        });
        drop(table);
        Entry {
            attempts: self.clone(),
            key,
            number,
            candidates,
            left,
        }
    }

    /// Whether there was a place for it.
    pub(super) fn candidate(
        &self,
        key: &Key,
        candidate: String,
        speaker: Speaker,
        now: Instant,
    ) -> bool {
        if candidate.len() > CANDIDATE {
            return false;
        }
        let mut table = self.lock();
        let newest = table.of(key).rfind(|attempt| attempt.hears(speaker));
        match newest {
            Some(attempt) => attempt.candidates.try_send(candidate).is_ok(),
            // For whoever comes from there, under the same name: or for nobody.
            None => table.early.keep(&(key.clone(), speaker), candidate, now),
        }
    }

    pub(super) fn leave(&self, key: &Key, speaker: Speaker) {
        // Somebody of whom nothing is known may be anybody.
        if speaker == Speaker::From(None) {
            return;
        }
        for attempt in self.lock().of(key) {
            let is_native = attempt.native && speaker != Speaker::Trusted;
            if attempt.hears(speaker) && !is_native {
                attempt.left.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No panic happens while it is held; a poisoned table would be as true as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn of(&self, key: &Key) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.all.get(key).into_iter().flatten()
    }
}

impl Attempt {
    fn hears(&self, speaker: Speaker) -> bool {
        match speaker {
            Speaker::Trusted => true,
            Speaker::From(household) => self.household == household,
        }
    }
}

impl Entry {
    pub(super) fn is_native(&self) {
        let mut table = self.attempts.lock();
        let own = table.all.get_mut(&self.key).into_iter().flatten();
        for attempt in own.filter(|it| it.number == self.number) {
            attempt.native = true;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.attempts.lock();
        if let Some(all) = table.all.get_mut(&self.key) {
            all.retain(|attempt| attempt.number != self.number);
            if all.is_empty() {
                table.all.remove(&self.key);
            }
        }
    }
}

/// Candidates that came before their offer.
#[derive(Debug, Default)]
struct Early {
    all: HashMap<Told, Vec<String>>,
    /// Each with the time of its first candidate, in order.
    since: VecDeque<(Instant, Told)>,
    octets: usize,
}

/// Of whom, and by whom.
type Told = (Key, Speaker);

impl Early {
    fn keep(&mut self, key: &Told, candidate: String, now: Instant) -> bool {
        self.expire(now);
        let known = self.all.get(key);
        // What is kept of a key costs its own octets, too.
        let octets = candidate.len() + known.map_or(octets_of(key), |_| 0);
        let is_full = known.is_some_and(|kept| kept.len() >= CANDIDATES);
        if is_full || self.octets + octets > WAITING {
            return false;
        }
        self.octets += octets;
        if known.is_none() {
            self.since.push_back((now, key.clone()));
        }
        self.all.entry(key.clone()).or_default().push(candidate);
        true
    }

    fn take(&mut self, key: &Told, now: Instant) -> Vec<String> {
        self.expire(now);
        let kept = self.remove(key);
        self.since.retain(|(_, other)| other != key);
        kept
    }

    fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.since.front()
            && now.duration_since(*since) >= PATIENCE
            && let Some((_, key)) = self.since.pop_front()
        {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Told) -> Vec<String> {
        let kept = self.all.remove(key).unwrap_or_default();
        if !kept.is_empty() {
            let octets: usize = kept.iter().map(String::len).sum();
            self.octets -= octets + octets_of(key);
        }
        kept
    }
}

fn octets_of(((room, id), _): &Told) -> usize {
    room.as_str().len() + id.as_str().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(room: &str, id: &str) -> Key {
        (room.parse().unwrap(), id.parse().unwrap())
    }

    fn attempts() -> Arc<Attempts> {
        Arc::default()
    }

    const TRUSTED: Speaker = Speaker::Trusted;

    fn home(text: &str) -> Option<Household> {
        Some(Household::of(text.parse().unwrap()))
    }

    fn candidates(entry: &mut Entry) -> Vec<String> {
        std::iter::from_fn(|| entry.candidates.try_recv().ok()).collect()
    }

    #[test]
    fn candidates_before_the_offer_wait_for_it_and_no_longer_than_30_seconds() {
        let (attempts, start) = (attempts(), Instant::now());
        assert!(attempts.candidate(&key("r", "ann"), "one".into(), TRUSTED, start));
        assert!(attempts.candidate(&key("r", "ben"), "two".into(), TRUSTED, start));
        let mut ann = attempts.begin(key("r", "ann"), None, start);
        assert!(attempts.candidate(&key("r", "ann"), "three".into(), TRUSTED, start));
        assert_eq!(candidates(&mut ann), ["one", "three"]);
        let mut ben = attempts.begin(key("r", "ben"), None, start + PATIENCE);
        assert_eq!(candidates(&mut ben), [""; 0]);
        assert_eq!(attempts.lock().early.octets, 0);
    }

    #[test]
    fn candidates_of_one_peer_are_32_and_those_of_all_are_64_kib() {
        let (attempts, now) = (attempts(), Instant::now());
        let kept =
            (0..40).filter(|_| attempts.candidate(&key("r", "ann"), "x".into(), TRUSTED, now));
        assert_eq!(kept.count(), CANDIDATES);
        assert!(!attempts.candidate(&key("r", "ben"), "x".repeat(CANDIDATE + 1), TRUSTED, now));
        let kept = (0..1_000).filter(|index| {
            let id = format!("ben{index}");
            attempts.candidate(&key("r", &id), "x".repeat(CANDIDATE), TRUSTED, now)
        });
        assert_eq!(kept.count(), 63);
        let later = now + PATIENCE;
        assert!(attempts.candidate(&key("r", "carol"), "x".into(), TRUSTED, later));
        assert_eq!(attempts.lock().early.octets, "rcarolx".len());
    }

    #[test]
    fn a_leave_over_http_counts_from_where_the_offer_came_and_for_no_native_member() {
        let (attempts, now) = (attempts(), Instant::now());
        let entry = attempts.begin(key("r", "ann"), home("192.0.2.1"), now);
        attempts.leave(&key("r", "ann"), Speaker::From(home("192.0.2.2")));
        attempts.leave(&key("r", "ann"), Speaker::From(None));
        assert!(!entry.left.is_cancelled());
        entry.is_native();
        attempts.leave(&key("r", "ann"), Speaker::From(home("192.0.2.1")));
        assert!(!entry.left.is_cancelled());
        attempts.leave(&key("r", "ann"), Speaker::Trusted);
        assert!(entry.left.is_cancelled());
        let entry = attempts.begin(key("r", "ann"), home("192.0.2.1"), now);
        attempts.leave(&key("r", "ann"), Speaker::From(home("192.0.2.1")));
        assert!(entry.left.is_cancelled());
    }

    #[test]
    fn a_candidate_counts_from_where_the_offer_comes() {
        let (attempts, now) = (attempts(), Instant::now());
        let ann = key("r", "ann");
        let [near, far] = ["192.0.2.1", "192.0.2.2"].map(home);
        for (speaker, text) in [
            (Speaker::From(far), "planted"),
            (Speaker::From(near), "early"),
            (TRUSTED, "told"),
        ] {
            attempts.candidate(&ann, text.into(), speaker, now);
        }
        let mut entry = attempts.begin(ann.clone(), near, now);
        for (speaker, text) in [
            (Speaker::From(far), "planted"),
            (Speaker::From(near), "late"),
        ] {
            attempts.candidate(&ann, text.into(), speaker, now);
        }
        assert_eq!(candidates(&mut entry), ["told", "early", "late"]);
    }

    #[test]
    fn an_older_attempt_takes_nothing_of_a_newer_one_with_it() {
        let (attempts, now) = (attempts(), Instant::now());
        let old = attempts.begin(key("r", "ann"), None, now);
        let mut new = attempts.begin(key("r", "ann"), None, now);
        drop(old);
        attempts.candidate(&key("r", "ann"), "x".into(), TRUSTED, now);
        assert_eq!(candidates(&mut new), ["x"]);
        drop(new);
        assert!(attempts.lock().all.is_empty());
    }

    #[test]
    fn an_offer_that_comes_to_nothing_takes_nothing_of_the_one_before_with_it() {
        let (attempts, now) = (attempts(), Instant::now());
        let mut old = attempts.begin(key("r", "ann"), home("192.0.2.1"), now);
        drop(attempts.begin(key("r", "ann"), home("192.0.2.2"), now));
        attempts.candidate(
            &key("r", "ann"),
            "x".into(),
            Speaker::From(home("192.0.2.1")),
            now,
        );
        assert_eq!(candidates(&mut old), ["x"]);
        attempts.leave(&key("r", "ann"), TRUSTED);
        assert!(old.left.is_cancelled());
    }

    #[test]
    fn a_leave_by_somebody_of_unknown_address_counts_for_nobody() {
        let (attempts, now) = (attempts(), Instant::now());
        let entry = attempts.begin(key("r", "ann"), None, now);
        attempts.leave(&key("r", "ann"), Speaker::From(None));
        assert!(!entry.left.is_cancelled());
    }
}
