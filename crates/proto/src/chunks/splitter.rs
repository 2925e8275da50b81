//! One side of a connection cuts what it sends.

use std::ops::Range;

use bytes::Buf;

use crate::wire::chunk::{self, SLICE};

/// Numbers the messages of one side of a connection, and says where they are cut.
#[derive(Debug, Default)]
pub struct Splitter {
    last: u64,
}

impl Splitter {
    /// For a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slices of a message of so many octets, in order; `None` if it goes as it is, in one message of the channel.
    ///
    /// 2^32 slices would be 70 TB, which no format can announce: there are no more.
    pub fn split(&mut self, packed_len: u64) -> Option<Slices> {
        if packed_len <= SLICE as u64 {
            return None;
        }
        self.last += 1;
        let total = packed_len.div_ceil(SLICE as u64);
        Some(Slices {
            id: self.last,
            next: 0,
            total: u32::try_from(total).unwrap_or(u32::MAX),
            len: packed_len,
        })
    }
}

/// The slices of one message, in order.
#[derive(Debug, Clone)]
pub struct Slices {
    id: u64,
    next: u32,
    total: u32,
    len: u64,
}

impl Slices {
    /// Which message it is, on this side of the connection.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// Where a slice lies in its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Which message.
    pub id: u64,
    /// Which slice of it, from 0.
    pub index: u32,
    /// How many slices it has.
    pub total: u32,
    /// Its octets within the message.
    pub range: Range<u64>,
}

impl Slice {
    /// Octets of the slice.
    pub fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// Never: a slice has an octet at least.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The message for the channel. `data` are the slice's octets, in one piece or several.
    pub fn emit(&self, data: impl Buf) -> Vec<u8> {
        debug_assert_eq!(data.remaining(), self.len(), "the octets of the range");
        chunk::emit(self.id, self.index, self.total, data)
    }
}

impl Iterator for Slices {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        let index = self.next;
        if index == self.total {
            return None;
        }
        self.next += 1;
        let start = u64::from(index) * SLICE as u64;
        Some(Slice {
            id: self.id,
            index,
            total: self.total,
            range: start..self.len.min(start + SLICE as u64),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.total - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Slices {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_goes_as_it_is() {
        let mut splitter = Splitter::new();
        assert!(splitter.split(16_300).is_none());
        let slices: Vec<_> = splitter.split(16_301).unwrap().collect();
        let ranges: Vec<_> = slices.iter().map(|slice| slice.range.clone()).collect();
        assert_eq!(ranges, [0..16_300, 16_300..16_301]);
        assert!(
            slices
                .iter()
                .all(|slice| (slice.id, slice.total) == (1, 2) && !slice.is_empty())
        );
        assert!(splitter.split(0).is_none());
        let next = splitter.split(32_600).unwrap();
        assert_eq!((next.id(), next.len()), (2, 2));
    }
}
