//! Frames of WebSockets, beside another implementation.

use std::io::{self, Cursor, Read, Write};

use peerage_proto::wire::websocket::{Decoder, Message, Step, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, WebSocket, error::CapacityError};

use crate::script::Script;

const LIMIT: usize = 4_096;

/// What a client said, as either implementation tells it.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Wrong,
}

/// A client's octets, cut anywhere: read as another implementation reads them, and the same however they were cut.
pub fn websocket(octets: &[u8]) {
    let mut script = Script(octets);
    let cut = script.u8();
    let octets = script.0;
    let ours = read(octets, octets.len());
    assert_eq!(ours, read(octets, usize::from(cut).max(1)));
    let theirs = read_by_tungstenite(octets);
    // One may look at a header before the other; up to there they agree.
    let agreed = ours.len().min(theirs.len());
    let differ = |at: usize| ours[at] != theirs[at] && !is_stricter(&ours[at]);
    if let Some(at) = (0..agreed).find(|&at| ours[at] != theirs[at]) {
        assert!(!differ(at), "{ours:?} and {theirs:?} at {at}");
        return;
    }
    let rest = ours[agreed..].iter().chain(&theirs[agreed..]);
    for said in rest {
        assert_eq!(*said, Said::Wrong, "{ours:?} and {theirs:?}");
    }
}

/// Ours refuses lengths that are not in their shortest form, and close codes that are never sent.
fn is_stricter(said: &Said) -> bool {
    *said == Said::Wrong
}

fn read(octets: &[u8], piece: usize) -> Vec<Said> {
    let mut decoder = Decoder::new(LIMIT);
    let (mut said, mut held) = (Vec::new(), Vec::new());
    for piece in octets.chunks(piece.max(1)) {
        held.extend_from_slice(piece);
        let mut taken = 0;
        loop {
            match decoder.step(&mut held[taken..]) {
                Ok(Step::Need(need)) => {
                    assert!(need > held.len() - taken);
                    break;
                }
                Ok(Step::Frame(size, message)) => {
                    assert!(size > 0);
                    taken += size;
                    let Some(message) = message else { continue };
                    said.push(match message {
                        Message::Text(text) => Said::Text(text.to_owned()),
                        Message::Binary(octets) => Said::Binary(octets.to_owned()),
                        Message::Ping(octets) => Said::Ping(octets.to_owned()),
                        Message::Pong => Said::Pong,
                        Message::Close(code) => Said::Close(code),
                    });
                    if let Some(Said::Close(_)) = said.last() {
                        return said;
                    }
                }
                Err(Violation::Protocol | Violation::Utf8 | Violation::TooLong) => {
                    said.push(Said::Wrong);
                    return said;
                }
            }
        }
        held.drain(..taken);
        assert!(decoder.held() <= LIMIT);
    }
    said
}

/// Reads from a slice; what is written goes nowhere.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_by_tungstenite(octets: &[u8]) -> Vec<Said> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LIMIT))
        .max_frame_size(Some(LIMIT));
    let wire = Wire(Cursor::new(octets));
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        use tungstenite::Message as Theirs;
        said.push(match socket.read() {
            Ok(Theirs::Text(text)) => Said::Text(text.as_str().to_owned()),
            Ok(Theirs::Binary(octets)) => Said::Binary(octets.to_vec()),
            Ok(Theirs::Ping(octets)) => Said::Ping(octets.to_vec()),
            Ok(Theirs::Pong(_)) => Said::Pong,
            Ok(Theirs::Close(frame)) => Said::Close(frame.map(|frame| frame.code.into())),
            Ok(Theirs::Frame(_)) => continue,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return said,
            Err(
                Error::Protocol(_)
                | Error::Utf8(_)
                | Error::Capacity(CapacityError::MessageTooLong { .. }),
            ) => Said::Wrong,
            Err(_) => return said,
        });
        if let Some(Said::Close(_) | Said::Wrong) = said.last() {
            return said;
        }
    }
}
