//! The first frame of each side: version, limits, features.

use bytes::{BufMut, Bytes, BytesMut};

use super::Violation;
use super::reader::Reader;

/// What the sender of a HELLO accepts.
///
/// ```text
/// +---------+---------------------------+---------------------------+
/// | version | key (u16 BE) value (u32 BE) | key (u16 BE) value ...
/// +---------+---------------------------+---------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Highest version that the sender speaks; 1 today.
    pub version: u8,
    /// Live exchanges begun by the other side. Default 256, at most 512.
    pub exchanges: u32,
    /// First credit of each exchange, octets. Default 65,536, at most 1 MiB.
    pub window: u32,
    /// Octets of one head block. Default 65,536, at most what eight frames hold (131,008).
    pub head: u32,
    /// Answers exchanges of kind WebSocket.
    pub websocket: bool,
    /// Answers exchanges of kind TCP.
    pub tcp: bool,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: 1,
            exchanges: EXCHANGES.default,
            window: WINDOW.default,
            head: HEAD.default,
            websocket: false,
            tcp: false,
        }
    }
}

/// A limit of the hello: its key, what holds without it, and what anything larger is read as.
struct Limit {
    key: u16,
    default: u32,
    max: u32,
}

const EXCHANGES: Limit = Limit {
    key: 1,
    default: 256,
    max: 512,
};
const WINDOW: Limit = Limit {
    key: 2,
    default: 65_536,
    max: 1 << 20,
};
const HEAD: Limit = Limit {
    key: 3,
    default: 65_536,
    max: 131_008,
};
const WEBSOCKET: u16 = 16;
const TCP: u16 = 17;

impl Limit {
    fn read(&self, value: u32) -> Result<u32, Violation> {
        if value < self.default {
            return Err(Violation::Hello("a limit below its default"));
        }
        Ok(value.min(self.max))
    }
}

impl Hello {
    /// Reads the payload of a HELLO.
    ///
    /// # Errors
    /// `Violation::Hello`: version 0, half an item, a repeated key, a limit below its default.
    pub fn parse(payload: Bytes) -> Result<Self, Violation> {
        let mut reader = Reader(payload);
        let version = reader.u8().ok_or(Violation::Hello("empty"))?;
        if version == 0 {
            return Err(Violation::Hello("version 0"));
        }
        let mut hello = Self {
            version,
            ..Self::default()
        };
        let mut seen = std::collections::BTreeSet::new();
        while !reader.is_empty() {
            let (Some(key), Some(value)) = (reader.u16(), reader.u32()) else {
                return Err(Violation::Hello("half an item"));
            };
            if !seen.insert(key) {
                return Err(Violation::Hello("a key twice"));
            }
            match key {
                1 => hello.exchanges = EXCHANGES.read(value)?,
                2 => hello.window = WINDOW.read(value)?,
                3 => hello.head = HEAD.read(value)?,
                WEBSOCKET => hello.websocket = value != 0,
                TCP => hello.tcp = value != 0,
                _ => {}
            }
        }
        Ok(hello)
    }

    /// Writes the payload: the version, then what differs from the default in ascending order of keys.
    pub fn emit(&self, into: &mut BytesMut) {
        into.put_u8(self.version);
        for (limit, value) in [
            (EXCHANGES, self.exchanges),
            (WINDOW, self.window),
            (HEAD, self.head),
        ] {
            if value != limit.default {
                into.put_u16(limit.key);
                into.put_u32(value);
            }
        }
        for (key, _) in [(WEBSOCKET, self.websocket), (TCP, self.tcp)]
            .into_iter()
            .filter(|(_, on)| *on)
        {
            into.put_u16(key);
            into.put_u32(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(octets: &[u8]) -> Result<Hello, Violation> {
        Hello::parse(Bytes::copy_from_slice(octets))
    }

    #[test]
    fn a_bare_version_means_the_defaults() {
        assert_eq!(parse(&[1]), Ok(Hello::default()));
    }

    #[test]
    fn what_was_emitted_is_read_again() {
        let hello = Hello {
            exchanges: 300,
            window: 1 << 20,
            head: 70_000,
            websocket: true,
            tcp: true,
            version: 2,
        };
        let mut octets = BytesMut::new();
        hello.emit(&mut octets);
        assert_eq!(Hello::parse(octets.freeze()), Ok(hello));
    }

    #[test]
    fn limits_can_be_raised_only_and_only_so_far() {
        assert!(parse(&[1, 0, 1, 0, 0, 0, 255]).is_err());
        assert_eq!(
            parse(&[1, 0, 1, 0xff, 0xff, 0xff, 0xff]).map(|hello| hello.exchanges),
            Ok(512)
        );
    }

    #[test]
    fn unknown_keys_are_ignored_and_repeated_ones_are_not() {
        assert_eq!(parse(&[1, 9, 9, 1, 2, 3, 4]), Ok(Hello::default()));
        assert!(parse(&[1, 9, 9, 1, 2, 3, 4, 9, 9, 1, 2, 3, 4]).is_err());
        assert!(parse(&[1, 0, 16, 0]).is_err());
        assert!(parse(&[0]).is_err());
        assert!(parse(&[]).is_err());
    }
}
