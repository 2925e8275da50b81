//! How often something may be asked for: credentials by each id for itself, and more by each address for all who come from it.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_proto::wire::forwarded::Household;
use peerage_proto::wire::id::PeerId;

/// Answers to one id: ten at once, which is a page that is loaded anew again and again, and one each ten seconds.
const OF_ID: Ration = Ration {
    burst: 10,
    every: Duration::from_secs(10),
};
/// Questions from one household, whatever the answer: an office that comes to work, and no search for tokens.
const OF_HOUSEHOLD: Ration = Ration {
    burst: 120,
    every: Duration::from_millis(500),
};
/// Households that are remembered, some 2 MB. Beyond that the one that is nearest to its whole ration is forgotten.
const HOUSEHOLDS: usize = 16_384;

/// Who asked how much. [`Rations::forget`] must follow the end of an id's registration.
#[derive(Debug)]
pub(crate) struct Rations {
    ids: Mutex<HashMap<PeerId, Whole>>,
    households: PerHousehold,
}

impl Default for Rations {
    fn default() -> Self {
        Self {
            ids: Mutex::default(),
            households: PerHousehold::new(OF_HOUSEHOLD),
        }
    }
}

/// Too often; the next question may come after this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) Duration);

impl Rations {
    /// Counts an answer to an id, if it may have one.
    pub(crate) fn take(&self, id: &PeerId, now: Instant) -> Result<(), TooOften> {
        let mut ids = lock(&self.ids);
        let whole = OF_ID.take(ids.get(id).copied(), now)?;
        ids.insert(id.clone(), whole);
        Ok(())
    }

    /// Counts a question from an address, if there may be one.
    pub(crate) fn ask(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        self.households.take(address, now)
    }

    /// The id is held no longer.
    pub(crate) fn forget(&self, id: &PeerId) {
        lock(&self.ids).remove(id);
    }
}

/// A ration for each household.
#[derive(Debug)]
pub(crate) struct PerHousehold {
    ration: Ration,
    households: Mutex<Households>,
}

impl PerHousehold {
    pub(crate) fn new(ration: Ration) -> Self {
        Self {
            ration,
            households: Mutex::default(),
        }
    }

    /// Whether there may be one.
    #[cfg(feature = "hub")]
    pub(crate) fn may(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        let households = lock(&self.households);
        let before = households.all.get(&Household::of(address)).copied();
        self.ration.take(before, now).map(drop)
    }

    /// Counts one, if there may be one.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        lock(&self.households).take(&self.ration, Household::of(address), now)
    }
}

/// So many at once, and one more each so often: the generic cell rate algorithm, whose state is a point in time.
#[derive(Debug)]
pub(crate) struct Ration {
    pub(crate) burst: u32,
    pub(crate) every: Duration,
}

/// When somebody has the whole ration again, if nothing is taken meanwhile.
type Whole = Instant;

impl Ration {
    /// Who is not known has the whole ration.
    fn take(&self, whole: Option<Whole>, now: Instant) -> Result<Whole, TooOften> {
        let whole = whole.map_or(now, |whole| whole.max(now));
        let missing = whole - now;
        let most = self.every * (self.burst - 1);
        if missing > most {
            return Err(TooOften(missing - most));
        }
        Ok(whole + self.every)
    }
}

#[derive(Debug, Default)]
struct Households {
    all: HashMap<Household, Whole>,
    /// The same, by time.
    by_time: BTreeSet<(Whole, Household)>,
}

impl Households {
    fn take(
        &mut self,
        ration: &Ration,
        household: Household,
        now: Instant,
    ) -> Result<(), TooOften> {
        let before = self.all.get(&household).copied();
        let whole = ration.take(before, now)?;
        if let Some(before) = before {
            self.by_time.remove(&(before, household));
        }
        self.all.insert(household, whole);
        self.by_time.insert((whole, household));
        while let Some((first, other)) = self.by_time.first().copied()
            && (first <= now || self.all.len() > HOUSEHOLDS)
        {
            self.by_time.pop_first();
            self.all.remove(&other);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic happens while it is held; a poisoned count would be as true as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn id(text: &str) -> PeerId {
        PeerId::parse(text).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_id_has_ten_answers_at_once_and_one_each_ten_seconds_and_others_are_not_touched() {
        let (rations, start) = (Rations::default(), Instant::now());
        let ann = id("ann");
        for _ in 0..10 {
            assert_eq!(rations.take(&ann, start), Ok(()));
        }
        assert_eq!(rations.take(&ann, start), Err(TooOften(10 * SECOND)));
        assert_eq!(rations.take(&id("ben"), start), Ok(()));
        let later = start + 7 * SECOND;
        assert_eq!(rations.take(&ann, later), Err(TooOften(3 * SECOND)));
        let later = start + 10 * SECOND;
        assert_eq!(rations.take(&ann, later), Ok(()));
        assert_eq!(rations.take(&ann, later), Err(TooOften(10 * SECOND)));
        let much_later = start + 1_000 * SECOND;
        let taken = (0..20).filter(|_| rations.take(&ann, much_later).is_ok());
        assert_eq!(taken.count(), 10);
    }

    #[test]
    fn a_freed_id_is_forgotten() {
        let (rations, now) = (Rations::default(), Instant::now());
        rations.take(&id("ann"), now).unwrap();
        rations.forget(&id("ann"));
        assert!(lock(&rations.ids).is_empty());
    }

    #[test]
    fn a_household_has_120_questions_at_once_and_two_a_second_and_an_ipv6_64_is_one() {
        let (rations, start) = (Rations::default(), Instant::now());
        let mut at = start;
        let address =
            |low: u64| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(low)));
        for host in 0..120 {
            assert_eq!(rations.ask(address(host), at), Ok(()));
        }
        assert_eq!(rations.ask(address(500), at), Err(TooOften(SECOND / 2)));
        let other = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(rations.ask(other, at), Ok(()));
        at += SECOND;
        assert_eq!(rations.ask(address(1), at), Ok(()));
        assert_eq!(rations.ask(address(2), at), Ok(()));
        assert_eq!(rations.ask(address(3), at), Err(TooOften(SECOND / 2)));
    }

    #[test]
    fn households_are_forgotten_when_they_have_their_ration_again_and_are_never_too_many() {
        let (rations, start) = (Rations::default(), Instant::now());
        let address = |index: u32| IpAddr::V4(Ipv4Addr::from_bits(index));
        let greedy = Ipv4Addr::new(192, 0, 2, 1).into();
        for _ in 0..120 {
            rations.ask(greedy, start).unwrap();
        }
        let count = || {
            let households = lock(&rations.households.households);
            assert_eq!(households.all.len(), households.by_time.len());
            households.all.len()
        };
        for index in 0..3 * HOUSEHOLDS as u32 {
            rations.ask(address(index), start).unwrap();
        }
        assert_eq!(count(), HOUSEHOLDS);
        // Who asked most is remembered longest.
        assert!(rations.ask(greedy, start).is_err());
        rations.ask(address(0), start + 100 * SECOND).unwrap();
        assert_eq!(count(), 1);
    }
}
