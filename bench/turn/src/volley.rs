//! All clients behind one socket, all peers behind another one: each with an address of 10.0.0.0/8, given by word beside every datagram. All of that
//! network must be this machine's, as `bench/turn.mjs` sees to.

use std::collections::VecDeque;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use peerage_proto::turn::credentials::Secret;
use peerage_proto::wire::stun::Message;
use peerage_proto::wire::turn::Channel;

use crate::Outcome;
use crate::client::{Client, DATA, FRAMED, Goal, Step};
use crate::net;

/// Clients that are on their way at a time.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_millis(250);
const TRIES: usize = 20;

pub struct Sockets {
    pub clients: UdpSocket,
    pub peers: UdpSocket,
    pub server: SocketAddrV4,
}

impl Sockets {
    pub fn open(server: SocketAddrV4) -> Outcome<Self> {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Ok(Self {
            clients: net::socket(any)?,
            peers: net::socket(any)?,
            server,
        })
    }

    pub fn peer_port(&self) -> Outcome<u16> {
        Ok(self.peers.local_addr()?.port())
    }

    /// So many clients that have what they want.
    pub fn bring(
        &self,
        numbers: std::ops::Range<usize>,
        goal: Goal,
        secret: &Secret,
    ) -> Outcome<Vec<Client>> {
        let first = numbers.start;
        let peer_port = self.peer_port()?;
        let mut clients: Vec<Client> = numbers
            .map(|number| Client::new(number, goal, secret, peer_port))
            .collect();
        let mut waiting: VecDeque<usize> = (0..clients.len()).collect();
        // Who was asked for last, when, and how often.
        let mut asking: VecDeque<(usize, Step, Instant, usize)> = VecDeque::new();
        let mut octets = [0; 2048];
        let mut done = 0;
        while done < clients.len() {
            while asking.len() < AT_ONCE
                && let Some(index) = waiting.pop_front()
            {
                self.ask(&clients[index])?;
                asking.push_back((index, clients[index].step, Instant::now(), 1));
            }
            while let Some((length, ..)) = net::read_one(&self.clients, &mut octets)? {
                let message = Message::parse(&octets[..length])?;
                let index = Client::number_of(&message).wrapping_sub(first);
                let Some(client) = clients.get_mut(index) else {
                    continue;
                };
                let before = client.step;
                client.answered(&message)?;
                if client.step == before {
                    continue;
                }
                asking.retain(|(asked, ..)| *asked != index);
                if client.step == Step::Done {
                    done += 1;
                } else {
                    self.ask(client)?;
                    asking.push_back((index, client.step, Instant::now(), 1));
                }
            }
            for (index, step, at, tries) in &mut asking {
                if at.elapsed() > PATIENCE {
                    if *tries == TRIES {
                        return Err(format!("client {index} had no answer at {step:?}").into());
                    }
                    self.ask(&clients[*index])?;
                    (*at, *tries) = (Instant::now(), *tries + 1);
                }
            }
        }
        Ok(clients)
    }

    fn ask(&self, client: &Client) -> Outcome<()> {
        let request = client.request();
        Volley::new(vec![Datagram::new(client.ip, self.server, request, None)])
            .send(&self.clients, 1)?;
        Ok(())
    }

    /// Sends a packet each way for every client, and looks whether it came, as what, and from where.
    pub fn try_out(&self, clients: &[Client]) -> Outcome<()> {
        for socket in [&self.clients, &self.peers] {
            net::set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
        for client in clients {
            let relay = client.relay.ok_or("no relay")?;
            let (up, down) = (framed(client, 0x55), data(client, 0xaa));
            Volley::new(vec![Datagram::new(
                client.ip,
                self.server,
                up.clone(),
                None,
            )])
            .send(&self.clients, 1)?;
            let (got, from, to) = wait_for(&self.peers)?;
            if got != up[4..] || from != relay || to != *client.peer.ip() {
                return Err(format!(
                    "client {}: {} octets of {from} came to {to}",
                    client.number,
                    got.len()
                )
                .into());
            }
            Volley::new(vec![Datagram::new(
                *client.peer.ip(),
                relay,
                down.clone(),
                None,
            )])
            .send(&self.peers, 1)?;
            let (got, from, to) = wait_for(&self.clients)?;
            if got[4..] != down
                || got[..4] != Channel::FIRST.header(DATA as u16)
                || from != self.server
                || to != client.ip
            {
                return Err(format!(
                    "client {}'s peer: {} octets of {from} came to {to}",
                    client.number,
                    got.len()
                )
                .into());
            }
        }
        for socket in [&self.clients, &self.peers] {
            net::set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 0)?;
        }
        Ok(())
    }
}

fn wait_for(socket: &UdpSocket) -> Outcome<(Vec<u8>, SocketAddrV4, Ipv4Addr)> {
    let mut octets = [0; 2048];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        if let Some((length, from, to)) = net::read_one(socket, &mut octets)? {
            return Ok((octets[..length].to_vec(), from, to));
        }
    }
    Err("a packet did not arrive".into())
}

/// Data that is the client's alone.
pub fn data(client: &Client, way: u8) -> Vec<u8> {
    let mut data = vec![way; DATA];
    data[..8].copy_from_slice(&client.number.to_be_bytes());
    data
}

pub fn framed(client: &Client, way: u8) -> Vec<u8> {
    let mut octets = Channel::FIRST.header(DATA as u16).to_vec();
    octets.extend(data(client, way));
    debug_assert_eq!(octets.len(), FRAMED);
    octets
}

/// One message of a volley; with segments it is as many datagrams.
pub struct Datagram {
    from: Ipv4Addr,
    to: SocketAddrV4,
    octets: Vec<u8>,
    segment: Option<u16>,
}

impl Datagram {
    pub fn new(from: Ipv4Addr, to: SocketAddrV4, octets: Vec<u8>, segment: Option<u16>) -> Self {
        Self {
            from,
            to,
            octets,
            segment,
        }
    }
}

/// Messages that are sent in turn, again and again; everything about them is written once.
pub struct Volley {
    messages: Vec<libc::mmsghdr>,
    /// What the headers point at: boxed, so that it stays where it is.
    _held: Vec<Box<Held>>,
    next: usize,
}

struct Held {
    to: libc::sockaddr_in,
    part: libc::iovec,
    control: net::Control,
    _octets: Vec<u8>,
}

impl Volley {
    pub fn new(datagrams: Vec<Datagram>) -> Self {
        let mut held: Vec<Box<Held>> = Vec::new();
        let mut messages = Vec::new();
        for Datagram {
            from,
            to,
            mut octets,
            segment,
        } in datagrams
        {
            let (control, control_length) = net::Control::new(Some(from), segment);
            let part = libc::iovec {
                iov_base: octets.as_mut_ptr().cast(),
                iov_len: octets.len(),
            };
            held.push(Box::new(Held {
                to: net::to_raw(to),
                part,
                control,
                _octets: octets,
            }));
            if let Some(held) = held.last_mut() {
                let mut message = net::no_message();
                message.msg_hdr.msg_name = (&raw mut held.to).cast();
                message.msg_hdr.msg_namelen = mem::size_of_val(&held.to) as u32;
                message.msg_hdr.msg_iov = &raw mut held.part;
                message.msg_hdr.msg_iovlen = 1;
                message.msg_hdr.msg_control = (&raw mut held.control).cast();
                message.msg_hdr.msg_controllen = control_length;
                messages.push(message);
            }
        }
        Self {
            messages,
            _held: held,
            next: 0,
        }
    }

    /// The next messages in turn: how many the socket took, up to `count`.
    pub fn send(&mut self, socket: &UdpSocket, count: usize) -> Outcome<usize> {
        let mut sent = 0;
        while sent < count {
            let end = (self.next + count - sent).min(self.messages.len());
            let taken = net::send_batch(socket.as_raw_fd(), &mut self.messages[self.next..end])?;
            if taken == 0 {
                break;
            }
            sent += taken;
            self.next = (self.next + taken) % self.messages.len();
        }
        Ok(sent)
    }
}

/// Counts what comes, by its length; the data is not copied.
pub struct Counter {
    messages: Vec<libc::mmsghdr>,
    _parts: Vec<libc::iovec>,
    _heads: Vec<[u8; 16]>,
    length: u32,
    /// Of another length.
    pub odd: u64,
}

impl Counter {
    const AT_ONCE: usize = 64;

    pub fn new(length: usize) -> Self {
        let mut heads = vec![[0; 16]; Self::AT_ONCE];
        let mut parts: Vec<libc::iovec> = heads
            .iter_mut()
            .map(|head| libc::iovec {
                iov_base: head.as_mut_ptr().cast(),
                iov_len: head.len(),
            })
            .collect();
        let messages = parts
            .iter_mut()
            .map(|part| {
                let mut message = net::no_message();
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        Self {
            messages,
            _parts: parts,
            _heads: heads,
            length: length as u32,
            odd: 0,
        }
    }

    /// What is there, up to one batch.
    pub fn count(&mut self, socket: &UdpSocket) -> Outcome<u64> {
        let read = net::read_batch(socket.as_raw_fd(), &mut self.messages, libc::MSG_TRUNC)?;
        let odd = self.messages[..read]
            .iter()
            .filter(|message| message.msg_len != self.length)
            .count() as u64;
        self.odd += odd;
        Ok(read as u64 - odd)
    }
}
