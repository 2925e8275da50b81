//! Octets in several pieces.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Octets in several pieces, so that what is large is neither copied to be written nor whole in memory twice to be read.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    len: usize,
    /// What the first piece had when it became the first.
    first: usize,
}

impl Rope {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece, without a copy.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        if self.pieces.is_empty() {
            self.first = piece.len();
        }
        self.pieces.push_back(piece);
    }

    /// Octets in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes off the first `octets`, without a copy; all of it if it has fewer.
    pub fn split_to(&mut self, octets: usize) -> Self {
        let mut taken = Self::new();
        let mut left = octets.min(self.len);
        while left > 0
            && let Some(front) = self.pieces.front_mut()
        {
            let piece = front.split_to(left.min(front.len()));
            left -= piece.len();
            self.took(piece.len());
            taken.push(piece);
        }
        taken
    }

    /// All of it in one piece: a copy only if there are several, of which each goes as soon as it is copied.
    pub fn into_bytes(mut self) -> Bytes {
        match self.pieces.len() {
            0 | 1 => self.pieces.pop_front().unwrap_or_default(),
            _ => Bytes::from(self.take_vec(self.len)),
        }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// The next `octets`, of which there must be so many, to be kept for long: a small part of a large piece is copied, or it would hold all
    /// of the piece in memory.
    pub(crate) fn take_bytes(&mut self, octets: usize) -> Bytes {
        let first = self.first;
        match self.pieces.front_mut() {
            Some(front) if front.len() >= octets && octets * 2 >= first => {
                let bytes = front.split_to(octets);
                self.took(octets);
                bytes
            }
            _ => Bytes::from(self.take_vec(octets)),
        }
    }

    /// The next `octets`, of which there must be so many; copied, unless they are all that is left of one piece, which nobody else has.
    pub(crate) fn take_vec(&mut self, octets: usize) -> Vec<u8> {
        if self.pieces.len() == 1 && self.len == octets {
            return std::mem::take(self).into_bytes().into();
        }
        let mut vec = Vec::with_capacity(octets);
        while vec.len() < octets
            && let Some(front) = self.pieces.front()
        {
            let part = front.len().min(octets - vec.len());
            vec.extend_from_slice(&front[..part]);
            self.advance(part);
        }
        vec
    }

    /// Fills `into` with the next octets and leaves them where they are. False if there are fewer.
    pub(crate) fn peek(&self, into: &mut [u8]) -> bool {
        let mut filled = 0;
        for piece in &self.pieces {
            let part = piece.len().min(into.len() - filled);
            into[filled..filled + part].copy_from_slice(&piece[..part]);
            filled += part;
            if filled == into.len() {
                return true;
            }
        }
        filled == into.len()
    }

    /// The first piece lost so many octets.
    fn took(&mut self, octets: usize) {
        self.len -= octets;
        if self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
            self.first = self.pieces.front().map_or(0, Bytes::len);
        }
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        let mut rope = Self::new();
        rope.push(bytes);
        rope
    }
}

impl From<Vec<u8>> for Rope {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Self::new();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

impl IntoIterator for Rope {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, octets: usize) {
        assert!(octets <= self.len, "no more than there is");
        let mut left = octets;
        while left > 0
            && let Some(front) = self.pieces.front_mut()
        {
            let part = left.min(front.len());
            front.advance(part);
            left -= part;
            self.took(part);
        }
    }
}

/// Equal octets, however they are cut.
impl PartialEq for Rope {
    fn eq(&self, other: &Self) -> bool {
        let octets = |rope: &Self| rope.pieces.clone().into_iter().flatten();
        self.len == other.len && octets(self).eq(octets(other))
    }
}

impl Eq for Rope {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(pieces: &[&'static str]) -> Rope {
        pieces
            .iter()
            .map(|piece| Bytes::from_static(piece.as_bytes()))
            .collect()
    }

    #[test]
    fn a_rope_is_the_same_however_it_is_cut() {
        let mut cut = rope(&["he", "", "llo wor", "ld"]);
        assert_eq!(cut, rope(&["hello world"]));
        assert_eq!(cut.len(), 11);
        let head = cut.split_to(5);
        assert_eq!(head.into_bytes(), "hello");
        assert_eq!(cut.clone().into_bytes(), " world");
        assert_eq!(cut.split_to(99).len(), 6);
        assert!(cut.is_empty());
    }

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![1; 5000]);
        let rope = Rope::from(piece.clone());
        assert_eq!(rope.into_bytes().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn a_small_part_holds_no_large_piece() {
        let piece = Bytes::from(vec![1; 5000]);
        let mut rope = Rope::from(piece.clone());
        let small = rope.take_bytes(10);
        assert!(!piece.as_ptr_range().contains(&small.as_ptr()));
        let large = rope.take_bytes(4000);
        assert!(piece.as_ptr_range().contains(&large.as_ptr()));
        let rest = rope.take_bytes(990);
        assert!(!piece.as_ptr_range().contains(&rest.as_ptr()));
    }
}
