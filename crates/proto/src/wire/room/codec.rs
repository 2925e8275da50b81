//! Integers, texts and octets of a frame.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::{FrameError, INTEGER_MAX, Json, METADATA_MAX, MemberNumber};

/// Takes what a frame holds from its front. Texts and octets share the frame's memory.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn u8(&mut self) -> Result<u8, FrameError> {
        if self.0.is_empty() {
            return Err(FrameError::Length);
        }
        Ok(self.0.get_u8())
    }

    /// RFC 9000, section 16, in the shortest form.
    pub(super) fn integer(&mut self) -> Result<u64, FrameError> {
        let first = *self.0.first().ok_or(FrameError::Length)?;
        let length = 1_usize << (first >> 6);
        let octets = self.octets(length)?;
        let mut value = u64::from(first & 0x3f);
        for octet in &octets[1..] {
            value = value << 8 | u64::from(*octet);
        }
        if value > INTEGER_MAX || integer_length(value) != length {
            return Err(FrameError::Integer);
        }
        Ok(value)
    }

    pub(super) fn member(&mut self) -> Result<MemberNumber, FrameError> {
        MemberNumber::new(self.integer()?).ok_or(FrameError::Value)
    }

    /// 0 stands for nobody.
    pub(super) fn member_or_none(&mut self) -> Result<Option<MemberNumber>, FrameError> {
        self.integer().map(MemberNumber::new)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let octets = self.octets(N)?;
        octets[..].try_into().map_err(|_| FrameError::Length)
    }

    pub(super) fn text(&mut self, most: usize) -> Result<ByteString, FrameError> {
        let length = usize::try_from(self.integer()?).map_err(|_| FrameError::Length)?;
        if length > self.0.len() {
            return Err(FrameError::Length);
        }
        if length > most {
            return Err(FrameError::TooLong);
        }
        text(self.octets(length)?)
    }

    pub(super) fn metadata(&mut self) -> Result<Json, FrameError> {
        Json::parse(self.text(METADATA_MAX)?).ok_or(FrameError::Json)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), FrameError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Length)
        }
    }

    fn octets(&mut self, length: usize) -> Result<Bytes, FrameError> {
        if length > self.0.len() {
            return Err(FrameError::Length);
        }
        Ok(self.0.split_to(length))
    }
}

pub(super) fn text(octets: Bytes) -> Result<ByteString, FrameError> {
    ByteString::try_from(octets).map_err(|_| FrameError::Text)
}

/// Octets of an integer of at most [`INTEGER_MAX`].
const fn integer_length(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// A frame under way. Integers above [`INTEGER_MAX`] are written as that one: no counter of ours comes near.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: u8, octets: usize) -> Self {
        let mut frame = Vec::with_capacity(octets);
        frame.push(kind);
        Self(frame)
    }

    pub(super) fn u8(&mut self, octet: u8) {
        self.0.push(octet);
    }

    pub(super) fn integer(&mut self, value: u64) {
        let value = value.min(INTEGER_MAX);
        let length = integer_length(value);
        let mark = (length.trailing_zeros() as u8) << 6;
        let octets = value.to_be_bytes();
        let begin = self.0.len();
        self.0.extend_from_slice(&octets[8 - length..]);
        self.0[begin] |= mark;
    }

    pub(super) fn member(&mut self, member: MemberNumber) {
        self.integer(member.get());
    }

    pub(super) fn member_or_none(&mut self, member: Option<MemberNumber>) {
        self.integer(member.map_or(0, MemberNumber::get));
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.integer(text.len() as u64);
        self.octets(text.as_bytes());
    }

    pub(super) fn end(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form_each() {
        for value in [
            0,
            1,
            63,
            64,
            16_383,
            16_384,
            (1 << 30) - 1,
            1 << 30,
            INTEGER_MAX,
        ] {
            let mut writer = Writer::new(0, 9);
            writer.integer(value);
            let frame = writer.end().slice(1..);
            assert_eq!(frame.len(), integer_length(value));
            let mut reader = Reader(frame);
            assert_eq!(reader.integer(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        let integer = |octets: &'static [u8]| Reader(Bytes::from_static(octets)).integer();
        // 37 in two octets, of RFC 9000, appendix A.1.
        assert_eq!(integer(&[0x40, 0x25]), Err(FrameError::Integer));
        assert_eq!(integer(&[0x25]), Ok(37));
        assert_eq!(integer(&[0x7b, 0xbd]), Ok(15_293));
        assert_eq!(integer(&[0x9d, 0x7f, 0x3e, 0x7d]), Ok(494_878_333));
        assert_eq!(integer(&[0xff; 8]), Err(FrameError::Integer));
        assert_eq!(integer(&[0x7b]), Err(FrameError::Length));
        assert_eq!(integer(&[]), Err(FrameError::Length));
    }
}
