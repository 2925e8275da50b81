//! Whose datagram it is: many connections share a port.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::ConnId;

/// Remote addresses that one connection may occupy: a peer has a few, more are somebody playing.
const MAX_ADDRESSES: usize = 64;
/// Checks to addresses of others that may be answered still; beyond, all are forgotten, and made again by who needs them.
const MAX_CONTESTED: usize = 256;

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
    /// Checks to addresses that another connection has: who is answered from there has them from then on. The other one has ended without our knowing: its
    /// goodbye was lost.
    contested: HashMap<[u8; 12], (ConnId, (Way, SocketAddr))>,
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

    pub(super) fn find(&mut self, way: Way, source: SocketAddr, datagram: &[u8]) -> Option<ConnId> {
        if let Some(transaction) = transaction(datagram, SUCCESS)
            && let Some((conn, key)) = self.contested.get(transaction).copied()
            && key == (way, source)
        {
            self.contested.remove(transaction);
            self.own(conn, key);
            return Some(conn);
        }
        match binding_ufrag(datagram) {
            Some(ufrag) => self.by_ufrag.get(ufrag),
            None => self.by_address.get(&(way, source)),
        }
        .copied()
    }

    /// Notes that a connection sends to `remote`, so that what comes back finds it.
    ///
    /// The nominated pair's address is its own; one that is only being checked leaves an earlier owner alone until the check is answered.
    pub(super) fn learn(
        &mut self,
        conn: ConnId,
        way: Way,
        remote: SocketAddr,
        datagram: &[u8],
        nominated: bool,
    ) {
        let key = (way, remote);
        match self.by_address.get(&key) {
            Some(owner) if *owner == conn => return,
            Some(_) if !nominated => {
                if let Some(transaction) = transaction(datagram, REQUEST) {
                    if self.contested.len() >= MAX_CONTESTED {
                        self.contested.clear();
                    }
                    self.contested.insert(*transaction, (conn, key));
                }
                return;
            }
            _ => {}
        }
        self.own(conn, key);
    }

    fn own(&mut self, conn: ConnId, key: (Way, SocketAddr)) {
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
        self.contested.retain(|_, (sender, _)| *sender != conn);
        for key in self.addresses.remove(&conn).unwrap_or_default() {
            if self.by_address.get(&key) == Some(&conn) {
                self.by_address.remove(&key);
            }
        }
    }
}

/// STUN Binding (RFC 8489 5): type of a request, and of an answer that grants it.
const REQUEST: [u8; 2] = [0, 1];
const SUCCESS: [u8; 2] = [1, 1];

/// The transaction of a STUN message of this type. Only who has seen the request knows it for the answer.
fn transaction(datagram: &[u8], kind: [u8; 2]) -> Option<&[u8; 12]> {
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    let is_one = datagram.get(..2)? == kind && datagram.get(4..8)? == MAGIC_COOKIE;
    datagram.get(8..)?.first_chunk().filter(|_| is_one)
}

/// The receiver's user fragment in a STUN Binding request: USERNAME up to its colon (RFC 8489 14.3, RFC 8445 7.2.2).
fn binding_ufrag(datagram: &[u8]) -> Option<&str> {
    const USERNAME: u16 = 6;
    transaction(datagram, REQUEST)?;
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
            demux.learn(conn, way, address(port), &[22], true);
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
        demux.learn(a, HERE, peer, &[22], false);
        demux.learn(b, HERE, peer, &[22], false);
        assert_eq!(
            demux.find(HERE, peer, &[22, 1, 2]),
            Some(a),
            "a check does not take an address over"
        );
        demux.learn(b, HERE, peer, &[22], true);
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
        demux.learn(a, relay, peer, &[22], true);
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
    fn an_address_passes_to_the_connection_whose_check_is_answered_from_it() {
        let (peer, stranger) = (
            SocketAddr::from(([10, 0, 0, 1], 1)),
            SocketAddr::from(([10, 0, 0, 2], 2)),
        );
        let (gone, fresh) = (ConnId(1), ConnId(2));
        const HERE: Way = Way::Direct(0);
        let mut demux = Demux::default();
        demux.learn(gone, HERE, peer, &[22], true);
        let check = check("cccc:bbbb");
        demux.learn(fresh, HERE, peer, &check, false);
        let answer = [&SUCCESS, &check[2..20]].concat();
        let refusal = [&[1, 17], &check[2..20]].concat();
        assert_eq!(demux.find(HERE, stranger, &answer), None);
        assert_eq!(demux.find(Way::Direct(1), peer, &answer), None);
        assert_eq!(demux.find(HERE, peer, &refusal), Some(gone));
        assert_eq!(demux.find(HERE, peer, &[22]), Some(gone));
        assert_eq!(demux.find(HERE, peer, &answer), Some(fresh));
        assert_eq!(demux.find(HERE, peer, &[22]), Some(fresh));
        demux.learn(gone, HERE, peer, &check, false);
        demux.remove(gone, &[]);
        assert!(demux.contested.is_empty());
        assert_eq!(demux.find(HERE, peer, &[22]), Some(fresh));
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
