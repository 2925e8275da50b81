//! Whose datagram it is: many connections share a port.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::ConnId;

/// Remote addresses that one connection may occupy: a peer has a few, more are somebody playing.
const MAX_ADDRESSES: usize = 64;

/// The index of a port in the driver's list.
pub(super) type PortIndex = usize;

/// By which of our addresses a datagram comes and goes: the same peer may be there by several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// A port of ours.
    Direct(PortIndex),
    /// An address at a TURN server that stands for us.
    Relay(SocketAddr),
}

/// Finds the connection of a datagram: connectivity checks by the user fragment in them (RFC 8445 7.3), all else by the address it came from.
#[derive(Debug, Default)]
pub(super) struct Demux {
    by_ufrag: HashMap<String, ConnId>,
    by_address: HashMap<(Way, SocketAddr), ConnId>,
    /// The keys of each connection, to forget them with it.
    addresses: HashMap<ConnId, Vec<(Way, SocketAddr)>>,
}

impl Demux {
    /// The connection has other user fragments.
    pub(super) fn rename(&mut self, conn: ConnId, old: &[String], new: &[String]) {
        for ufrag in old {
            self.by_ufrag.remove(ufrag);
        }
        for ufrag in new {
            self.by_ufrag.insert(ufrag.clone(), conn);
        }
    }

    pub(super) fn find(&self, way: Way, source: SocketAddr, datagram: &[u8]) -> Option<ConnId> {
        match binding_ufrag(datagram) {
            Some(ufrag) => self.by_ufrag.get(ufrag),
            None => self.by_address.get(&(way, source)),
        }
        .copied()
    }

    /// Notes that a connection sends to `remote`, so that what comes back finds it.
    ///
    /// The nominated pair's address is its own; one that is only being checked leaves an earlier owner alone.
    pub(super) fn learn(&mut self, conn: ConnId, way: Way, remote: SocketAddr, nominated: bool) {
        let key = (way, remote);
        match self.by_address.get(&key) {
            Some(owner) if *owner == conn || !nominated => return,
            _ => {}
        }
        let addresses = self.addresses.entry(conn).or_default();
        if !addresses.contains(&key) {
            if addresses.len() >= MAX_ADDRESSES {
                // The oldest goes: who moved is elsewhere by now. One that is in use is noted again with the next datagram.
                let oldest = addresses.remove(0);
                if self.by_address.get(&oldest) == Some(&conn) {
                    self.by_address.remove(&oldest);
                }
            }
            addresses.push(key);
        }
        self.by_address.insert(key, conn);
    }

    pub(super) fn remove(&mut self, conn: ConnId, ufrags: &[String]) {
        self.rename(conn, ufrags, &[]);
        for key in self.addresses.remove(&conn).unwrap_or_default() {
            if self.by_address.get(&key) == Some(&conn) {
                self.by_address.remove(&key);
            }
        }
    }
}

/// The receiver's user fragment in a STUN Binding request: USERNAME up to its colon (RFC 8489 14.3, RFC 8445 7.2.2).
fn binding_ufrag(datagram: &[u8]) -> Option<&str> {
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 6;
    if datagram.get(..2)? != BINDING_REQUEST || datagram.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let mut attributes = datagram.get(20..)?;
    loop {
        let (header, rest) = attributes.split_first_chunk::<4>()?;
        let [t0, t1, l0, l1] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([t0, t1]) == USERNAME {
            let username = std::str::from_utf8(rest.get(..length)?).ok()?;
            return username.split_once(':').map(|(ufrag, _)| ufrag);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_moves_for_ever_is_found_where_it_was_last() {
        let mut demux = Demux::default();
        let (conn, way) = (ConnId(1), Way::Direct(0));
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for port in 1..=1_000 {
            demux.learn(conn, way, address(port), true);
            assert_eq!(demux.find(way, address(port), &[22]), Some(conn));
        }
        assert_eq!(demux.find(way, address(1), &[22]), None);
        assert_eq!(demux.by_address.len(), MAX_ADDRESSES);
    }

    fn check(username: &str) -> Vec<u8> {
        let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend([7; 12]);
        datagram.extend([0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
        datagram.extend([0, 6, 0, username.len() as u8]);
        datagram.extend(username.as_bytes());
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram
    }

    #[test]
    fn a_check_finds_its_connection_by_user_fragment_and_the_rest_by_address() {
        let (peer, stranger) = (
            SocketAddr::from(([10, 0, 0, 1], 1)),
            SocketAddr::from(([10, 0, 0, 2], 2)),
        );
        let (a, b) = (ConnId(1), ConnId(2));
        const HERE: Way = Way::Direct(0);
        let mut demux = Demux::default();
        demux.rename(a, &[], &["aaaa".into()]);
        demux.rename(b, &[], &["bbbb".into()]);
        assert_eq!(demux.find(HERE, stranger, &check("bbbb:x")), Some(b));
        assert_eq!(demux.find(HERE, peer, &[22, 1, 2]), None);
        demux.learn(a, HERE, peer, false);
        demux.learn(b, HERE, peer, false);
        assert_eq!(
            demux.find(HERE, peer, &[22, 1, 2]),
            Some(a),
            "a check does not take an address over"
        );
        demux.learn(b, HERE, peer, true);
        assert_eq!(
            demux.find(HERE, peer, &[22, 1, 2]),
            Some(b),
            "nomination does"
        );
        assert_eq!(
            demux.find(Way::Direct(1), peer, &[22, 1, 2]),
            None,
            "ports are apart"
        );
        let relay = Way::Relay(SocketAddr::from(([192, 0, 2, 1], 61_000)));
        demux.learn(a, relay, peer, true);
        assert_eq!(
            demux.find(relay, peer, &[22, 1, 2]),
            Some(a),
            "so are relays"
        );
        assert_eq!(demux.find(HERE, peer, &[22, 1, 2]), Some(b));
        demux.remove(a, &["aaaa".into()]);
        assert_eq!(demux.find(HERE, peer, &[22, 1, 2]), Some(b));
        demux.remove(b, &["bbbb".into()]);
        assert_eq!(demux.find(HERE, peer, &[22, 1, 2]), None);
        assert!(
            demux.by_address.is_empty() && demux.by_ufrag.is_empty() && demux.addresses.is_empty()
        );
    }

    #[test]
    fn a_truncated_check_is_nobodys() {
        let whole = check("aaaa:bbbb");
        assert_eq!(binding_ufrag(&whole), Some("aaaa"));
        for end in 0..whole.len() - 3 {
            assert_eq!(binding_ufrag(&whole[..end]), None, "{end}");
        }
    }
}
