//! Candidates that wait for their description, ours and the peer's: a bounded number of each.

use std::collections::VecDeque;

use crate::wire::{candidate::Candidate, sdp::DataDescription};

/// Most candidates taken from the peer, and most of ours told, for one generation of a connection; further ones are dropped. Browsers find about ten.
pub const MAX_CANDIDATES: usize = 64;

/// Ours, of one generation, until they may be told.
#[derive(Debug)]
pub(super) struct Ours {
    waiting: Vec<Candidate>,
    room: usize,
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            room: MAX_CANDIDATES,
        }
    }
}

impl Ours {
    pub(super) fn push(&mut self, candidate: Candidate) {
        if self.room > 0 {
            self.room -= 1;
            self.waiting.push(candidate);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.waiting)
    }
}

/// The peer's, until the description that they belong to is applied.
#[derive(Debug, Default)]
pub(super) struct Theirs {
    /// Of the description that is believed.
    ufrag: Option<String>,
    /// How many of that generation may still be given out.
    room: usize,
    ready: VecDeque<Candidate>,
    /// Of no known generation: a later one's, perhaps. The oldest go first, so that a flood of false ones keeps nobody out for good.
    early: VecDeque<Candidate>,
}

impl Theirs {
    /// A new generation begins. Those that stand in a description are hints like those that come alone.
    pub(super) fn describe(&mut self, description: &DataDescription) {
        self.ufrag = Some(description.ice_ufrag().to_owned());
        self.room = MAX_CANDIDATES;
        self.ready.clear();
        for candidate in std::mem::take(&mut self.early) {
            self.push(candidate);
        }
        for candidate in description.candidates() {
            self.push(candidate.clone());
        }
    }

    pub(super) fn push(&mut self, candidate: Candidate) {
        let is_current = match (&self.ufrag, &candidate.ufrag) {
            (Some(_), None) => true,
            (Some(current), Some(ufrag)) => current == ufrag,
            (None, _) => false,
        };
        if is_current {
            if self.room > 0 {
                self.room -= 1;
                self.ready.push_back(candidate);
            }
            return;
        }
        if self.early.len() >= MAX_CANDIDATES {
            self.early.pop_front();
        }
        self.early.push_back(candidate);
    }

    /// The next for the engine, once the description is applied.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        self.ready.pop_front()
    }
}
