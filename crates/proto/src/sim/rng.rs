//! Chance from a seed.

use std::ops::Range;

/// SplitMix64: small, fast, and good enough to choose what happens next.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers for ever.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, which is not empty.
    pub fn pick(&mut self, range: Range<u64>) -> u64 {
        range.start + self.any() % (range.end - range.start).max(1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.pick(0..n) == 0
    }

    /// A number up to `max`, small ones as likely as large ones.
    pub fn size(&mut self, max: u64) -> u64 {
        let bits = u64::from(64 - max.leading_zeros());
        let shift = self.pick(0..bits.max(1));
        self.pick(0..max + 1) >> shift
    }
}
