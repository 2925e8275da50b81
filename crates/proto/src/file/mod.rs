//! Files from one peer to another over a connection: who says what, when, and what is written (`docs/protocol/file.md`).
//!
//! Each end is a machine: feed it values and what its shell did, drain `poll_output` to `None`, re-arm at `poll_timeout`.

mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::wire::file::Digest;
pub use receiver::{Decision, Offer, Receiver, Wish};
pub use sender::{Sender, Task};

/// How long the machines wait.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// For the other side's machine. Default 60 s; a machine that hashes gigabytes says nothing meanwhile, so see [`disk`](Self::disk).
    pub machine: Duration,
    /// For a person who decides. Default 10 min.
    pub person: Duration,
    /// For hashing what is there, and for a disk to take what was written. Default 10 min.
    pub disk: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            machine: Duration::from_secs(60),
            person: Duration::from_secs(600),
            disk: Duration::from_secs(600),
        }
    }
}

/// The beginning of a file: so many octets, and their hash, to go on from.
#[derive(Clone, Default)]
pub struct Beginning {
    length: u64,
    hasher: Sha256,
}

impl Beginning {
    /// With these octets behind it.
    pub fn push(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        self.hasher.update(octets);
    }

    /// Octets so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 so far.
    pub fn digest(&self) -> Digest {
        <[u8; 32]>::from(self.hasher.clone().finalize()).into()
    }
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginning")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
