//! Octets as a list of things to do.

use std::sync::LazyLock;
use std::time::Instant;

/// Where virtual time begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn epoch() -> Instant {
    *EPOCH
}

/// Takes numbers and octets from the front; zeros and less when it runs out.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A counted run of octets, of at most 255.
    pub(crate) fn octets(&mut self) -> &'a [u8] {
        let length = self.u8();
        self.take(length.into())
    }

    /// A counted run of octets, of at most 65,535.
    pub(crate) fn long(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.take(length.into())
    }

    pub(crate) fn text(&mut self) -> &'a str {
        str::from_utf8(self.long()).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
