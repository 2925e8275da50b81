//! What is kept of ids beside the router, for as long as they are held.

use std::sync::{Mutex, MutexGuard, PoisonError};

use getrandom::SysRng;
use peerage_proto::nearby::{Config, Rooms, Secret};
use peerage_proto::wire::id::PeerId;
use rand_core::UnwrapErr;

use crate::callers::Callers;
use crate::rations::Rations;

/// Rooms, how fast ids call, and how often they ask for credentials. Its locks may be taken under those of the router's shards, never the other way.
#[derive(Debug)]
pub(crate) struct Nearby {
    rooms: Mutex<Rooms>,
    callers: Callers,
    rations: Rations,
}

impl Nearby {
    pub(crate) fn new(config: &Config) -> Self {
        let secret = config.secret.clone();
        // Without the system's randomness there is no server: a panic at its start.
        let secret = secret.unwrap_or_else(|| Secret::generate(&mut UnwrapErr(SysRng)));
        Self {
            rooms: Mutex::new(Rooms::new(secret, config.members)),
            callers: Callers::default(),
            rations: Rations::default(),
        }
    }

    pub(crate) fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // No panic happens while it is held; if one did, rooms would still be rooms.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.callers
    }

    pub(crate) fn rations(&self) -> &Rations {
        &self.rations
    }

    /// The id is held no longer.
    pub(crate) fn forget(&self, id: &PeerId) {
        self.rooms().freed(id);
        self.callers.forget(id);
        self.rations.forget(id);
    }
}
