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
    NotText,
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
    let agreed = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let mut rest = ours[agreed..].iter();
    let is_control = |said: &&Said| matches!(said, Said::Ping(_) | Said::Pong | Said::Close(_));
    match (rest.clone().next(), theirs.get(agreed)) {
        // One looks at a header before it has all of the frame, the other after.
        (None, None | Some(Said::Wrong)) => {}
        // Ours refuses more: lengths that are not in their shortest form, close codes that are never sent.
        (Some(Said::Wrong), _) => {}
        // Theirs names a code that it does not know by the one for it.
        (Some(Said::Close(_)), Some(Said::Close(Some(1002)))) => {}
        // Theirs looks at the text of a message before it is whole.
        (_, Some(Said::NotText)) => {
            let told = rest.find(|said| !is_control(said));
            assert!(
                matches!(told, None | Some(Said::Wrong)),
                "{ours:?} and {theirs:?}"
            );
        }
        _ => panic!("{ours:?} and {theirs:?}"),
    }
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
            Err(Error::Utf8(_)) => Said::NotText,
            Err(Error::Protocol(_) | Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                Said::Wrong
            }
            Err(_) => return said,
        });
        if let Some(Said::Close(_) | Said::NotText | Said::Wrong) = said.last() {
            return said;
        }
    }
}
