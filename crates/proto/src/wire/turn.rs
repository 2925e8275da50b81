//! What TURN adds to STUN (RFC 8656): its attributes, ChannelData, and how both are told apart on a stream.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! | channel, 0x4000 to 0x7FFF     | length of the data            |
//! +-------------------------------+-------------------------------+
//! | data … (on a stream filled up to 4 octets)                    |
//! +---------------------------------------------------------------+
//! ```

use super::stun;

/// Types of attributes (RFC 8656 section 18).
pub mod attribute {
    /// CHANNEL-NUMBER.
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    /// LIFETIME, in seconds.
    pub const LIFETIME: u16 = 0x000d;
    /// XOR-PEER-ADDRESS.
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    /// DATA.
    pub const DATA: u16 = 0x0013;
    /// XOR-RELAYED-ADDRESS.
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    /// REQUESTED-ADDRESS-FAMILY.
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    /// EVEN-PORT.
    pub const EVEN_PORT: u16 = 0x0018;
    /// REQUESTED-TRANSPORT.
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    /// DONT-FRAGMENT.
    pub const DONT_FRAGMENT: u16 = 0x001a;
    /// RESERVATION-TOKEN.
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    /// ADDITIONAL-ADDRESS-FAMILY.
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    /// The same by coturn 4.6 and earlier, as a draft numbered it.
    pub const ADDITIONAL_ADDRESS_FAMILY_OF_COTURN: u16 = 0x8032;
    /// ADDRESS-ERROR-CODE.
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
}

/// The protocol number of UDP, as REQUESTED-TRANSPORT names it.
pub const UDP: u8 = 17;

/// Octets before the data.
pub const CHANNEL_HEADER: usize = 4;

/// Longest frame on a stream: a message or channel data of the greatest length that the field can say, filled up.
pub const MAX_FRAME: usize = stun::HEADER + 65_536;

/// The number of a channel: 0x4000 to 0x7FFF, as in RFC 5766 section 11. RFC 8656 section 12 has them end with 0x4FFF; clients of its predecessor choose among all, and
/// nothing else that comes to a server begins so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(u16);

impl Channel {
    /// The first one.
    pub const FIRST: Self = Self(0x4000);

    /// None outside of the range.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x7fff => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The value of CHANNEL-NUMBER.
    #[must_use]
    pub const fn value(self) -> [u8; 4] {
        let [high, low] = self.0.to_be_bytes();
        [high, low, 0, 0]
    }

    /// Reads that value.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        let [high, low, _, _] = *<&[u8; 4]>::try_from(value).ok()?;
        Self::new(u16::from_be_bytes([high, low]))
    }

    /// What stands before so many octets of data on this channel.
    #[must_use]
    pub const fn header(self, length: u16) -> [u8; CHANNEL_HEADER] {
        let ([a, b], [c, d]) = (self.0.to_be_bytes(), length.to_be_bytes());
        [a, b, c, d]
    }
}

/// Reads ChannelData (section 12.4). What comes after the data is taken for its filling (section 12.5), in datagrams too: some clients send it.
#[must_use]
pub fn channel_data(octets: &[u8]) -> Option<(Channel, &[u8])> {
    let ([a, b, c, d], rest) = octets.split_first_chunk::<CHANNEL_HEADER>()?;
    let channel = Channel::new(u16::from_be_bytes([*a, *b]))?;
    let data = rest.get(..usize::from(u16::from_be_bytes([*c, *d])))?;
    Some((channel, data))
}

/// Neither a message nor channel data: where the next one would begin cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither STUN nor ChannelData")]
pub struct NotAFrame;

/// How many octets the frame at the front of a stream has, with what fills it up; none when there are fewer than four octets yet, which tell it.
///
/// # Errors
/// The stream cannot be read any further.
pub fn frame_length(octets: &[u8]) -> Result<Option<usize>, NotAFrame> {
    let Some([first, _, high, low]) = octets.first_chunk::<4>() else {
        return match octets.first() {
            Some(first) if *first & 0xc0 > 0x40 => Err(NotAFrame),
            _ => Ok(None),
        };
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    match first & 0xc0 {
        0x00 if length % 4 == 0 => Ok(Some(stun::HEADER + length)),
        0x40 => Ok(Some((CHANNEL_HEADER + length).next_multiple_of(4))),
        _ => Err(NotAFrame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_those_of_the_standard_and_of_its_predecessor() {
        for number in [0x4000, 0x4abc, 0x4fff, 0x5000, 0x7fff] {
            let channel = Channel::new(number).unwrap();
            assert_eq!(Channel::from_value(&channel.value()), Some(channel));
        }
        for number in [0, 0x3fff, 0x8000, 0xffff] {
            assert_eq!(Channel::new(number), None, "{number:x}");
        }
    }

    #[test]
    fn channel_data_is_read_with_and_without_filling_and_never_beyond_its_end() {
        let mut octets = Channel::FIRST.header(5).to_vec();
        octets.extend(b"hello");
        assert_eq!(channel_data(&octets), Some((Channel::FIRST, &b"hello"[..])));
        octets.extend([0; 3]);
        assert_eq!(channel_data(&octets), Some((Channel::FIRST, &b"hello"[..])));
        for end in 0..9 {
            assert_eq!(channel_data(&octets[..end]), None, "{end}");
        }
    }

    #[test]
    fn frames_on_a_stream_end_at_multiples_of_four() {
        assert_eq!(frame_length(&[0x40, 0, 0, 101]), Ok(Some(108)));
        assert_eq!(frame_length(&[0x40, 0, 0, 0]), Ok(Some(4)));
        assert_eq!(frame_length(&[0, 1, 0, 8, 0x21]), Ok(Some(28)));
        assert_eq!(frame_length(&[0x4f, 0xff, 0xff, 0xff]), Ok(Some(65_540)));
        for short in [&[][..], &[0], &[0x40, 0, 0]] {
            assert_eq!(frame_length(short), Ok(None));
        }
    }

    #[test]
    fn what_is_neither_ends_the_stream_at_once() {
        for junk in [&[0x16, 3, 1, 1][..], &[0x80], &[0xff; 4], &[0, 1, 0, 7]] {
            assert_eq!(frame_length(junk), Err(NotAFrame), "{junk:?}");
        }
    }
}
