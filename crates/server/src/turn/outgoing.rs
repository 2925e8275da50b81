//! What is to be sent once a batch has been read: datagrams of one size that go the same way leave together (GSO), single ones that leave by the same socket in one
//! call of the system (sendmmsg).
//!
//! Who sends here never waits: a datagram that the kernel has no room for is dropped, as a router would.

use std::io;
use std::net::{IpAddr, SocketAddr};

use slab::Slab;

use super::many::Many;
use super::socket::Socket;

/// Ways that are kept apart at a time. Two that fall on the same place cost a system call more, and keep their order.
const PLACES: usize = 64;
/// Longest datagram that leaves together with others: what every IPv6 network must take (RFC 8200 section 5). A longer one that a network refuses would
/// take its neighbours with it, and make quinn-udp give up sending together.
const SEGMENT: usize = 1280 - 40 - 8;
/// Octets that leave together: an IP packet's length, less its headers.
const BATCH: usize = 60_000;
/// Datagrams that wait at most.
const WAITING: usize = 512;

/// By which socket, from where, to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The key of the socket.
    pub(super) socket: usize,
    /// Our address, where the socket has several.
    pub(super) source: Option<IpAddr>,
    pub(super) destination: SocketAddr,
}

/// Datagrams that were not sent. Only ever grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    /// The kernel had no room.
    pub(super) full: u64,
    /// The system refused: no way there, too long for the network.
    pub(super) refused: u64,
}

/// What waits to be sent.
pub(super) struct Outgoing {
    places: Vec<Batch>,
    /// Places that hold something, each once.
    used: Vec<usize>,
    waiting: usize,
    many: Many,
    lost: Lost,
}

/// Datagrams that go the same way, all of one size; the last may be shorter.
pub(super) struct Batch {
    pub(super) way: Way,
    segment: usize,
    count: usize,
    pub(super) octets: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| Batch::new()).collect(),
            used: Vec::with_capacity(PLACES),
            waiting: 0,
            many: Many::new(),
            lost: Lost::default(),
        }
    }

    pub(super) const fn lost(&self) -> Lost {
        self.lost
    }

    /// Puts a datagram, which is given in parts, with those that wait.
    pub(super) fn push(&mut self, sockets: &Slab<impl AsRef<Socket>>, way: Way, parts: [&[u8]; 3]) {
        if self.waiting >= WAITING {
            self.flush(sockets);
        }
        let Some(socket) = sockets.get(way.socket) else {
            return;
        };
        let length = parts.iter().map(|part| part.len()).sum();
        let place = place_of(way);
        let batch = &mut self.places[place];
        if batch.count == 0 {
            self.used.push(place);
        } else if !batch.takes(way, length, socket.as_ref().max_segments()) {
            if let Some(socket) = sockets.get(batch.way.socket) {
                batch.send(socket.as_ref(), &mut self.lost);
            }
            batch.clear();
        }
        batch.push(way, length, parts);
        self.waiting += 1;
    }

    /// Sends all that waits.
    pub(super) fn flush(&mut self, sockets: &Slab<impl AsRef<Socket>>) {
        let (places, many, lost) = (&mut self.places, &mut self.many, &mut self.lost);
        // A socket's single datagrams leave together.
        self.used.sort_unstable_by_key(|place| {
            let batch = &places[*place];
            (batch.count > 1, batch.way.socket, batch.way.source)
        });
        let alike = |a: &usize, b: &usize| {
            let (a, b) = (&places[*a], &places[*b]);
            let single = a.count == 1 && b.count == 1;
            single && (a.way.socket, a.way.source) == (b.way.socket, b.way.source)
        };
        for group in self.used.chunk_by(alike) {
            let batches = group.iter().map(|place| &places[*place]);
            let Some(socket) = group
                .first()
                .and_then(|place| sockets.get(places[*place].way.socket))
            else {
                continue;
            };
            match group {
                [place] => places[*place].send(socket.as_ref(), lost),
                _ => many.send(socket.as_ref(), batches, lost),
            }
        }
        for place in self.used.drain(..) {
            places[place].clear();
        }
        self.waiting = 0;
    }
}

/// Multiplication spreads what differs in low bits, and the high ones are taken (Fibonacci hashing).
fn place_of(way: Way) -> usize {
    let ip = match way.destination.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    let mixed = ip ^ u64::from(way.destination.port()) << 32 ^ (way.socket as u64) << 48;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.ilog2())) as usize
}

impl Batch {
    fn new() -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        Self {
            way: Way {
                socket: 0,
                source: None,
                destination: nowhere,
            },
            segment: 0,
            count: 0,
            octets: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.count = 0;
    }

    fn takes(&self, way: Way, length: usize, segments: usize) -> bool {
        self.way == way
            && self.count < segments
            && self.segment <= SEGMENT
            && (1..=self.segment).contains(&length)
            // A shorter one was the last.
            && self.octets.len() == self.count * self.segment
            && self.octets.len() + length <= BATCH
    }

    fn push(&mut self, way: Way, length: usize, parts: [&[u8]; 3]) {
        if self.count == 0 {
            (self.way, self.segment) = (way, length);
        }
        for part in parts {
            self.octets.extend_from_slice(part);
        }
        self.count += 1;
    }

    fn send(&self, socket: &Socket, lost: &mut Lost) {
        let Way {
            source,
            destination,
            ..
        } = self.way;
        let segment = (self.count > 1).then_some(self.segment);
        let Err(error) = socket.send(source, destination, segment, &self.octets) else {
            return;
        };
        if segment.is_none() || error.kind() == io::ErrorKind::WouldBlock {
            return lost.count(&error, self.count, destination);
        }
        // Sending together was refused, and is off from now on.
        for datagram in self.octets.chunks(self.segment) {
            if let Err(error) = socket.send(source, destination, None, datagram) {
                lost.count(&error, 1, destination);
            }
        }
    }
}

impl Lost {
    pub(super) fn count(&mut self, error: &io::Error, datagrams: usize, destination: SocketAddr) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.full += datagrams as u64;
        } else {
            tracing::trace!(target: "wire", %error, %destination, "datagram lost");
            self.refused += datagrams as u64;
        }
    }
}
