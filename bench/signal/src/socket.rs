//! A client's WebSocket that costs next to nothing: frames go out as they were encoded before, and of what comes in only the frame headers are read.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Outcome;
use crate::frames::{Frames, id};

/// How long a hand-shake may take before it counts as refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Frames that are handed to the system in one call.
const AT_ONCE: usize = 64;

pub struct Socket {
    pub stream: TcpStream,
    pub inbound: Inbound,
}

impl Socket {
    /// Opens client `n`, and waits for the server's `OPEN`.
    pub fn open(server: SocketAddr, n: usize) -> Outcome<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /peerjs?key=peerjs&id={}&token=t{n}&version=1.5.5 HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            id(n)
        );
        stream.write_all(request.as_bytes())?;
        let mut inbound = Inbound::default();
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        let head = loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err("closed during the hand-shake".into());
            }
            answer.extend(&buffer[..count]);
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        let mut opened = inbound.take(&answer[head..])?;
        while opened == 0 {
            let count = stream.read(&mut buffer)?;
            opened = inbound.take(&buffer[..count])?;
        }
        if inbound.first != br#"{"type":"OPEN"}"# {
            return Err(format!(
                "instead of OPEN came {}",
                String::from_utf8_lossy(&inbound.first)
            )
            .into());
        }
        inbound = Inbound::default();
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbound })
    }

    /// Reads once; how many messages that completed.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Outcome<u32> {
        match self.stream.read(buffer) {
            Ok(0) => Err("closed by the server".into()),
            Ok(count) => self.inbound.take(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Counts messages by their frame headers.
#[derive(Default)]
pub struct Inbound {
    header: Vec<u8>,
    /// Octets of the present frame's payload that are still to come.
    skip: usize,
    /// Text of the first message.
    pub first: Vec<u8>,
    counted: u64,
}

impl Inbound {
    fn take(&mut self, mut octets: &[u8]) -> Outcome<u32> {
        let mut complete = 0;
        while !octets.is_empty() {
            if self.skip == 0 {
                let Some(length) = self.length(&mut octets)? else {
                    break;
                };
                self.skip = length;
            }
            let part = self.skip.min(octets.len());
            if self.counted == 0 {
                self.first.extend(&octets[..part]);
            }
            self.skip -= part;
            octets = &octets[part..];
            if self.skip == 0 {
                self.counted += 1;
                complete += 1;
            }
        }
        Ok(complete)
    }

    /// The payload's length, once the frame's header is complete. Takes it off `octets`.
    fn length(&mut self, octets: &mut &[u8]) -> Outcome<Option<usize>> {
        loop {
            let size = match self.header[..] {
                [_, second, ..] => match second & 0x7f {
                    126 => 4,
                    127 => 10,
                    _ => 2,
                },
                _ => 2,
            };
            if self.header.len() < size {
                let Some((first, rest)) = octets.split_first() else {
                    return Ok(None);
                };
                self.header.push(*first);
                *octets = rest;
                continue;
            }
            let length = match self.header[..] {
                [0x81 | 0x82, 127, ref eight @ ..] => eight
                    .iter()
                    .fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
                [0x81 | 0x82, 126, a, b] => usize::from(a) << 8 | usize::from(b),
                [0x81 | 0x82, short] if short > 0 => usize::from(short),
                _ => {
                    return Err(
                        format!("a frame that no server here sends: {:02x?}", self.header).into(),
                    );
                }
            };
            self.header.clear();
            return Ok(Some(length));
        }
    }
}

/// What one client has to send, and how far it is.
pub struct Outbound {
    frames: Frames,
    /// The next frame, and how much of it is gone.
    next: usize,
    offset: usize,
    due: usize,
}

impl Outbound {
    /// Starts with the `first`th frame.
    pub fn new(frames: Frames, first: usize) -> Self {
        Self {
            frames,
            next: first,
            offset: 0,
            due: 0,
        }
    }

    pub fn add(&mut self, count: usize) {
        self.due += count;
    }

    /// Sends what is due. False when the system takes no more for now.
    pub fn send(&mut self, mut stream: &TcpStream) -> Outcome<bool> {
        while self.due > 0 {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            let count = self.due.min(AT_ONCE);
            for (n, slice) in slices[..count].iter_mut().enumerate() {
                let frame = self.frames.nth(self.next + n);
                *slice = IoSlice::new(if n == 0 { &frame[self.offset..] } else { frame });
            }
            let mut sent = match stream.write_vectored(&slices[..count]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            while sent > 0 {
                let left = self.frames.nth(self.next).len() - self.offset;
                if sent < left {
                    self.offset += sent;
                    break;
                }
                sent -= left;
                self.offset = 0;
                self.next += 1;
                self.due -= 1;
            }
        }
        Ok(true)
    }
}
