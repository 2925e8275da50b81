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

/// Multiplication spreads what differs in low bits, as neighbouring ports and sockets do, into high ones (Fibonacci hashing).
fn place_of(way: Way) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let ip = match way.destination.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    let destination = ip.rotate_left(16) ^ u64::from(way.destination.port());
    let mixed = destination.wrapping_mul(GOLDEN);
    let mixed = (mixed ^ mixed >> 32).wrapping_add(way.socket as u64);
    (mixed.wrapping_mul(GOLDEN) >> (64 - PLACES.ilog2())) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> Way {
        Way {
            socket: 0,
            source: None,
            destination: ([192, 0, 2, 1], port).into(),
        }
    }

    /// How many of these leave together, by length.
    fn together(lengths: &[usize], segments: usize) -> usize {
        let mut batch = Batch::new();
        for (count, length) in lengths.iter().enumerate() {
            if count > 0 && !batch.takes(way(1), *length, segments) {
                return count;
            }
            batch.push(way(1), *length, [&vec![0; *length], &[], &[]]);
        }
        lengths.len()
    }

    #[test]
    fn datagrams_of_one_size_leave_together_and_a_shorter_one_is_the_last() {
        assert_eq!(together(&[1000; 40], 64), 40);
        assert_eq!(together(&[1000, 1000, 999, 999], 64), 3);
        assert_eq!(together(&[1000, 1001], 64), 1);
        assert_eq!(together(&[0, 0], 64), 1);
        assert_eq!(together(&[1000, 0], 64), 1);
    }

    #[test]
    fn what_a_network_might_refuse_leaves_alone() {
        assert_eq!(together(&[1232; 2], 64), 2);
        assert_eq!(together(&[1233; 2], 64), 1);
    }

    #[test]
    fn no_more_leave_together_than_the_system_and_an_ip_packet_take() {
        assert_eq!(together(&[10; 100], 64), 64);
        assert_eq!(together(&[10; 100], 1), 1);
        assert_eq!(together(&[1200; 64], 64), 50);
    }

    #[test]
    fn ways_that_differ_in_anything_are_kept_apart() {
        let mut batch = Batch::new();
        batch.push(way(1), 10, [&[0; 10], &[], &[]]);
        assert!(batch.takes(way(1), 10, 64));
        let others = [
            way(2),
            Way {
                socket: 1,
                ..way(1)
            },
            Way {
                source: Some([192, 0, 2, 9].into()),
                ..way(1)
            },
        ];
        for other in others {
            assert!(!batch.takes(other, 10, 64), "{other:?}");
        }
    }

    #[test]
    fn neighbours_get_places_of_their_own() {
        let ports = (0..32).map(|port| way(61_000 + port));
        let sockets = (0..32).map(|socket| Way { socket, ..way(9) });
        let hosts = (0..32).map(|host| Way {
            destination: ([192, 0, 2, host], 9).into(),
            ..way(9)
        });
        let ways: [Vec<Way>; 3] = [ports.collect(), sockets.collect(), hosts.collect()];
        for ways in ways {
            let places: std::collections::BTreeSet<_> =
                ways.iter().copied().map(place_of).collect();
            assert!(places.len() >= 20, "{} places for {ways:?}", places.len());
        }
    }
}
