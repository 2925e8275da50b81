//! How fast each registered id may call over HTTP: as fast as its WebSocket may talk, counted apart. Here nobody can be held back by not being read, so
//! what comes too fast is refused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_proto::wire::id::PeerId;

use crate::config::Config;
use crate::websocket::Pace;

/// One entry for each id that called. [`Callers::forget`] must follow the end of its registration.
#[derive(Debug, Default)]
pub(crate) struct Callers(Mutex<HashMap<PeerId, Caller>>);

#[derive(Debug)]
struct Caller {
    pace: Pace,
    resume: Option<Instant>,
}

/// Too fast; calls are taken again after this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooFast(pub(crate) Duration);

impl Callers {
    /// Whether an id may call now.
    pub(crate) fn check(&self, id: &PeerId, now: Instant) -> Result<(), TooFast> {
        let resume = self.lock().get(id).and_then(|caller| caller.resume);
        match resume.filter(|resume| *resume > now) {
            Some(resume) => Err(TooFast(resume - now)),
            None => Ok(()),
        }
    }

    /// Counts a call with a body of this many octets.
    pub(crate) fn spend(&self, id: &PeerId, octets: usize, config: &Config, now: Instant) {
        let mut callers = self.lock();
        let caller = callers.entry(id.clone()).or_insert_with(|| Caller {
            pace: Pace::new(
                config.message_rate,
                config.message_burst,
                config.octet_rate,
                now,
            ),
            resume: None,
        });
        caller.resume = caller.pace.spend(octets, now);
    }

    /// The id is held no longer.
    pub(crate) fn forget(&self, id: &PeerId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Caller>> {
        // No panic happens while it is held; a poisoned map would be as whole as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_calls_are_refused_until_the_rate_allows_them_and_others_are_not_touched()
     {
        let config = Config {
            message_rate: 200,
            message_burst: 3,
            ..Config::default()
        };
        let [fast, other] = ["fast", "other"].map(|id| PeerId::parse(id).unwrap());
        let (callers, start) = (Callers::default(), Instant::now());
        for _ in 0..4 {
            assert_eq!(callers.check(&fast, start), Ok(()));
            callers.spend(&fast, 1, &config, start);
        }
        let wait = Duration::from_millis(5);
        assert_eq!(callers.check(&fast, start), Err(TooFast(wait)));
        assert_eq!(callers.check(&other, start), Ok(()));
        assert_eq!(callers.check(&fast, start + wait), Ok(()));
    }

    #[test]
    fn a_freed_id_is_forgotten() {
        let id = PeerId::parse("id").unwrap();
        let callers = Callers::default();
        callers.spend(&id, 1, &Config::default(), Instant::now());
        callers.forget(&id);
        assert!(callers.lock().is_empty());
    }
}
