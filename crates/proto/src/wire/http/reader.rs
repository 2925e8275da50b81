//! A cursor over bytes that gives slices of them without copying.

use bytes::{Buf, Bytes};

/// Reads big-endian numbers and counted texts; `None` when too little is left.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.0.try_get_u16().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32().ok()
    }

    /// `u16 BE length ‖ octets`.
    pub(super) fn text(&mut self) -> Option<Bytes> {
        let length = usize::from(self.u16()?);
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
