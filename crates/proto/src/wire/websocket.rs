//! WebSocket frames (RFC 6455 section 5), as a server reads and writes them.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| length      | 126: 16 bits, 127: 64 bits    |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! | masking key (clients alone)   | payload …                     |
//! +-------------------------------+-------------------------------+
//! ```
//!
//! A message is read where it lies: the payload is unmasked in place, and nothing is kept between two messages that came whole. An idle socket so costs no
//! buffer, and many messages cost one read: what libraries for one socket at a time do not offer, and what a server with many of them lives by.

use std::fmt;

/// Longest payload of a control frame (section 5.5).
const MAX_CONTROL: usize = 125;

/// Most that a header takes up, of a client's frame.
pub const MAX_HEADER: usize = 14;

/// What a client says.
#[derive(PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// Mostly an answer.
    Pong,
    /// The last frame, with its code if there is one (section 5.5.1).
    Close(Option<u16>),
}

/// Without the contents.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(&text.len()).finish(),
            Self::Binary(octets) => f.debug_tuple("Binary").field(&octets.len()).finish(),
            Self::Ping(octets) => f.debug_tuple("Ping").field(&octets.len()).finish(),
            Self::Pong => f.write_str("Pong"),
            Self::Close(code) => f.debug_tuple("Close").field(code).finish(),
        }
    }
}

/// What a client may not do. The connection is to be closed with [`Violation::code`] (section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A frame that the protocol does not have: unmasked, reserved bits or opcodes, a control frame in pieces or too long, a length not written in the
    /// shortest form, pieces out of order, a close code that is not for the wire.
    #[error("not a frame of RFC 6455")]
    Protocol,
    /// Text, or a close reason, that is no UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A message longer than the limit.
    #[error("message too long")]
    TooLong,
}

impl Violation {
    /// The close code for it.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Utf8 => 1007,
            Self::TooLong => 1009,
        }
    }
}

/// What stands at the front of the octets.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Not enough for a frame: there must be as many octets as this, at least, before it is worth trying again.
    Need(usize),
    /// A frame of this many octets, and the message that it completes, if it does.
    Frame(usize, Option<Message<'a>>),
}

/// Reads the frames of one client, in order.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// A message in pieces.
    partial: Option<Box<Partial>>,
}

struct Partial {
    is_text: bool,
    octets: Vec<u8>,
    /// The message has been handed out, and is in the way of the next.
    done: bool,
}

/// Without the contents.
impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partial")
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Octets of the header.
    size: usize,
    /// Octets of the payload.
    length: usize,
}

impl Decoder {
    /// For messages of up to `limit` octets.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            partial: None,
        }
    }

    /// Octets held of a message that is coming in pieces.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.partial {
            Some(partial) if !partial.done => partial.octets.len(),
            _ => 0,
        }
    }

    /// Whether the next frame is to continue a message.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.done)
    }

    /// Takes the frame at the front of `octets`, unmasking it there: what was taken must not be given again.
    ///
    /// # Errors
    /// The client broke the protocol; what it sends after that means nothing.
    pub fn step<'a>(&'a mut self, octets: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        if self.partial.as_ref().is_some_and(|partial| partial.done) {
            self.partial = None;
        }
        let header = match read_header(octets)? {
            Ok(header) => header,
            Err(need) => return Ok(Step::Need(need)),
        };
        self.check(&header)?;
        let size = header.size + header.length;
        let Some(payload) = octets.get_mut(header.size..size) else {
            return Ok(Step::Need(size));
        };
        unmask(payload, header.mask);
        let message = match header.opcode {
            CLOSE => Some(Message::Close(close_code(payload)?)),
            PING => Some(Message::Ping(payload)),
            PONG => Some(Message::Pong),
            TEXT if header.fin => Some(Message::Text(text(payload)?)),
            BINARY if header.fin => Some(Message::Binary(payload)),
            _ => self.piece(&header, payload)?,
        };
        Ok(Step::Frame(size, message))
    }

    /// What the header alone forbids, before any of the payload is waited for.
    fn check(&self, header: &Header) -> Result<(), Violation> {
        match header.opcode {
            CLOSE | PING | PONG if header.fin && header.length <= MAX_CONTROL => return Ok(()),
            TEXT | BINARY if self.partial.is_none() => {}
            CONTINUATION if self.partial.is_some() => {}
            _ => return Err(Violation::Protocol),
        }
        if header.length > self.limit - self.held().min(self.limit) {
            return Err(Violation::TooLong);
        }
        Ok(())
    }

    fn piece(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Message<'_>>, Violation> {
        let partial = self.partial.get_or_insert_with(|| {
            Box::new(Partial {
                is_text: header.opcode == TEXT,
                octets: Vec::new(),
                done: false,
            })
        });
        partial.octets.extend_from_slice(payload);
        if !header.fin {
            return Ok(None);
        }
        partial.done = true;
        Ok(Some(if partial.is_text {
            Message::Text(text(&partial.octets)?)
        } else {
            Message::Binary(&partial.octets)
        }))
    }
}

/// The header, or how many octets it takes to know more.
fn read_header(octets: &[u8]) -> Result<Result<Header, usize>, Violation> {
    let &[first, second, ref rest @ ..] = octets else {
        return Ok(Err(2));
    };
    let masked = second & 0x80 != 0;
    if first & 0x70 != 0 || !masked {
        return Err(Violation::Protocol);
    }
    let short = usize::from(second & 0x7f);
    let (wide, rest, length) = match (short, rest) {
        (126, &[a, b, ref rest @ ..]) => (2, rest, u16::from_be_bytes([a, b]).into()),
        (127, &[a, b, c, d, e, f, g, h, ref rest @ ..]) => {
            (8, rest, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        (126, _) => return Ok(Err(4)),
        (127, _) => return Ok(Err(10)),
        (short, rest) => (0, rest, short as u64),
    };
    let is_shortest = match wide {
        2 => length > 125,
        8 => length > u64::from(u16::MAX) && length >> 63 == 0,
        _ => true,
    };
    if !is_shortest {
        return Err(Violation::Protocol);
    }
    let size = 2 + wide + 4;
    let &[a, b, c, d, ..] = rest else {
        return Ok(Err(size));
    };
    Ok(Ok(Header {
        fin: first & 0x80 != 0,
        opcode: first & 0x0f,
        mask: [a, b, c, d],
        size,
        length: usize::try_from(length).map_err(|_| Violation::TooLong)?,
    }))
}

/// Section 5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *octet ^= key;
    }
}

fn text(octets: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(octets).map_err(|_| Violation::Utf8)
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match *payload {
        [] => return Ok(None),
        [high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
        _ => return Err(Violation::Protocol),
    };
    // Section 7.4: those that are reserved, or stand for what happened without a frame, are never sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    text(reason)?;
    Ok(Some(code))
}

/// Appends a text message.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    push(out, TEXT, text.as_bytes());
}

/// Octets that [`push_text`] appends for a text of this length.
#[must_use]
pub const fn text_size(length: usize) -> usize {
    length
        + match length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        }
}

/// Appends a ping without payload.
pub fn push_ping(out: &mut Vec<u8>) {
    push(out, PING, &[]);
}

/// Appends the answer to a ping, whose payload this is.
pub fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push(out, PONG, payload);
}

/// Appends a close frame; a reason of more than 123 octets is left out.
pub fn push_close(out: &mut Vec<u8>, code: Option<(u16, &str)>) {
    let mut payload = Vec::new();
    if let Some((code, reason)) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        if reason.len() <= MAX_CONTROL - 2 {
            payload.extend_from_slice(reason.as_bytes());
        }
    }
    push(out, CLOSE, &payload);
}

fn push(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.reserve(text_size(payload.len()));
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut out = Vec::new();
        push(&mut out, 0, payload);
        out[0] = first;
        out[1] |= 0x80;
        let at = out.len() - payload.len();
        unmask(&mut out[at..], mask);
        out.splice(at..at, mask);
        out
    }

    /// Everything that the octets hold, message by message, or what was wrong.
    fn read(octets: &[u8]) -> Result<Vec<String>, Violation> {
        let mut decoder = Decoder::new(LIMIT);
        let mut octets = octets.to_vec();
        let (mut at, mut messages) = (0, Vec::new());
        loop {
            match decoder.step(&mut octets[at..])? {
                Step::Need(need) => {
                    assert!(need > octets.len() - at);
                    return Ok(messages);
                }
                Step::Frame(size, message) => {
                    messages.extend(message.map(|message| match message {
                        Message::Text(text) => format!("text {text}"),
                        Message::Binary(octets) => format!("binary {octets:?}"),
                        Message::Ping(octets) => format!("ping {octets:?}"),
                        Message::Pong => "pong".to_owned(),
                        Message::Close(code) => format!("close {code:?}"),
                    }));
                    at += size;
                }
            }
        }
    }

    #[test]
    fn messages_of_all_kinds_and_lengths_are_read() {
        let octets = [
            frame(0x81, b"hello"),
            frame(0x82, &[1, 2]),
            frame(0x89, b"x"),
            frame(0x8a, b""),
            frame(0x88, &[0x03, 0xe8, b'b']),
        ];
        assert_eq!(
            read(&octets.concat()).unwrap(),
            [
                "text hello",
                "binary [1, 2]",
                "ping [120]",
                "pong",
                "close Some(1000)"
            ]
        );
        for length in [0, 1, 7, 8, 125, 126, 0xffff, 0x1_0000, LIMIT] {
            let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!(
                read(&frame(0x81, text.as_bytes())).unwrap(),
                [format!("text {text}")]
            );
        }
    }

    #[test]
    fn a_message_in_pieces_is_put_together_and_control_frames_may_come_between() {
        let octets = [
            frame(0x01, "é".as_bytes().split_at(1).0),
            frame(0x89, b""),
            frame(0x00, "é".as_bytes().split_at(1).1),
            frame(0x80, b"!"),
            frame(0x82, b"x"),
        ];
        assert_eq!(
            read(&octets.concat()).unwrap(),
            ["ping []", "text é!", "binary [120]"]
        );
    }

    #[test]
    fn what_the_protocol_forbids_is_named() {
        let mut unmasked = Vec::new();
        push_text(&mut unmasked, "x");
        let long_form = [0x81, 0xfe, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5].to_vec();
        for (octets, violation) in [
            (unmasked, Violation::Protocol),
            (frame(0xc1, b"x"), Violation::Protocol),
            (frame(0x83, b"x"), Violation::Protocol),
            (frame(0x8b, b""), Violation::Protocol),
            (frame(0x09, b""), Violation::Protocol),
            (frame(0x89, &[0; 126]), Violation::Protocol),
            (frame(0x80, b"x"), Violation::Protocol),
            (
                [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
                Violation::Protocol,
            ),
            (long_form, Violation::Protocol),
            (frame(0x88, &[3]), Violation::Protocol),
            (frame(0x88, &[0x03, 0xed]), Violation::Protocol),
            (frame(0x88, &[0x03, 0xe8, 0xff]), Violation::Utf8),
            (frame(0x81, &[0xff]), Violation::Utf8),
            (
                [frame(0x01, &[0xc3]), frame(0x80, b"x")].concat(),
                Violation::Utf8,
            ),
            (frame(0x82, &vec![0; LIMIT + 1]), Violation::TooLong),
            (
                [frame(0x02, &vec![0; LIMIT]), frame(0x80, b"x")].concat(),
                Violation::TooLong,
            ),
        ] {
            let start = octets[..octets.len().min(20)].to_vec();
            assert_eq!(read(&octets), Err(violation), "{start:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_its_header() {
        let octets = frame(0x82, &vec![0; LIMIT + 1]);
        assert_eq!(read(&octets[..MAX_HEADER]), Err(Violation::TooLong));
    }

    #[test]
    fn it_does_not_matter_where_the_octets_were_cut() {
        let whole = [
            frame(0x81, &[b'x'; 300]),
            frame(0x89, b"yy"),
            frame(0x81, b"z"),
        ]
        .concat();
        for cut in 0..whole.len() {
            let mut decoder = Decoder::new(LIMIT);
            let mut octets = whole[..cut].to_vec();
            let (mut at, mut seen) = (0, 0);
            for rest in [&whole[cut..], &[]] {
                while let Step::Frame(size, message) = decoder.step(&mut octets[at..]).unwrap() {
                    seen += usize::from(message.is_some());
                    at += size;
                }
                octets.extend_from_slice(rest);
            }
            assert_eq!((seen, at), (3, whole.len()), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_written_has_the_announced_size_and_a_header_of_the_shortest_form() {
        for length in [0, 125, 126, 0xffff, 0x1_0000] {
            let mut out = Vec::new();
            push_text(&mut out, &"x".repeat(length));
            assert_eq!(out.len(), text_size(length));
        }
        let mut out = Vec::new();
        push_ping(&mut out);
        push_pong(&mut out, b"ab");
        push_close(&mut out, None);
        push_close(&mut out, Some((1001, "bye")));
        assert_eq!(
            out,
            [
                0x89, 0, 0x8a, 2, b'a', b'b', 0x88, 0, 0x88, 5, 0x03, 0xe9, b'b', b'y', b'e'
            ]
        );
    }

    #[test]
    fn debug_output_shows_no_contents() {
        let mut octets = frame(0x81, b"hidden");
        let mut decoder = Decoder::new(LIMIT);
        assert!(!format!("{:?}", decoder.step(&mut octets)).contains("hidden"));
    }
}
