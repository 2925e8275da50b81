//! A relay with nothing but sockets: the limit. It takes every allocation, with one channel each, and knows no credentials, permissions, lifetimes or quotas.

use std::collections::HashMap;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::str::FromStr;

use peerage_proto::wire::stun::{self, Builder, Class, Message, Method};
use peerage_proto::wire::turn::{self, Channel, attribute};

use crate::Outcome;
use crate::net;

/// How packets go in and out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One call for each, in and out.
    One,
    /// Up to 64 by one call.
    Many,
    /// The same, and what belongs together as one message, in and out.
    Together,
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "one" => Ok(Self::One),
            "mmsg" => Ok(Self::Many),
            "gso" => Ok(Self::Together),
            _ => Err(format!("{text} is no way")),
        }
    }
}

pub fn run(address: SocketAddrV4, way: Way) -> Outcome<()> {
    let clients = open(address, way)?;
    // SAFETY: the descriptor is new, and nobody else's.
    let epoll = unsafe { OwnedFd::from_raw_fd(net::check(libc::epoll_create1(0))? as RawFd) };
    watch(&epoll, clients.as_raw_fd(), CLIENTS)?;
    let relay = Relay {
        ip: *address.ip(),
        clients,
        epoll,
        flows: Vec::new(),
        by_client: HashMap::new(),
    };
    match way {
        Way::One => relay.one_by_one(),
        Way::Many => relay.batched(Batch::new(64, 2048), false),
        // The longest message, and a little: rooms that begin on the same place of a page fall on the same places of a cache.
        Way::Together => relay.batched(Batch::new(64, 65_536 + 1088), true),
    }
}

/// The token of the clients' socket; a relay's is the number of its flow.
const CLIENTS: u64 = u64::MAX;
/// Packets of one socket before it is the next one's turn.
const IN_TURN: usize = 64;

struct Relay {
    ip: Ipv4Addr,
    clients: UdpSocket,
    epoll: OwnedFd,
    flows: Vec<Option<Flow>>,
    by_client: HashMap<SocketAddrV4, usize>,
}

struct Flow {
    socket: UdpSocket,
    client: SocketAddrV4,
    peer: SocketAddrV4,
}

fn open(address: SocketAddrV4, way: Way) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // As coturn does: what comes in some milliseconds of somebody else's work is not lost.
    net::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 1 << 20)?;
    if way == Way::Together {
        net::set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    Ok(socket)
}

fn watch(epoll: &OwnedFd, socket: RawFd, token: u64) -> Outcome<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: token,
    };
    // SAFETY: the event outlives the call.
    net::check(unsafe {
        libc::epoll_ctl(
            epoll.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            socket,
            &raw mut event,
        )
    })?;
    Ok(())
}

impl Relay {
    /// Tokens of the sockets that have something.
    fn ready(&self, events: &mut [libc::epoll_event; 64]) -> Outcome<usize> {
        // SAFETY: there is room for as many events as it says.
        let ready = net::check(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                -1,
            )
        });
        match ready {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            ready => Ok(ready?),
        }
    }

    fn one_by_one(mut self) -> Outcome<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let mut octets = [0; 2048];
        loop {
            let ready = self.ready(&mut events)?;
            for event in &events[..ready] {
                let token = event.u64;
                for _ in 0..IN_TURN {
                    let is_more = match token {
                        CLIENTS => self.one_of_clients(&mut octets)?,
                        flow => self.one_of_peers(flow as usize, &mut octets)?,
                    };
                    if !is_more {
                        break;
                    }
                }
            }
        }
    }

    fn one_of_clients(&mut self, octets: &mut [u8]) -> Outcome<bool> {
        let Some((length, SocketAddr::V4(from))) =
            net::unless_blocked(self.clients.recv_from(octets))?
        else {
            return Ok(false);
        };
        let octets = &octets[..length];
        match (turn::channel_data(octets), self.flow_of(from)) {
            (Some((Channel::FIRST, data)), Some(flow)) => {
                net::unless_blocked(flow.socket.send_to(data, flow.peer))?;
            }
            (Some(_), _) => {}
            (None, _) => self.answer(from, octets, Way::One)?,
        }
        Ok(true)
    }

    fn one_of_peers(&mut self, flow: usize, octets: &mut [u8]) -> Outcome<bool> {
        let Some(Some(flow)) = self.flows.get(flow) else {
            return Ok(false);
        };
        let (head, data) = octets.split_at_mut(turn::CHANNEL_HEADER);
        let Some((length, from)) = net::unless_blocked(flow.socket.recv_from(data))? else {
            return Ok(false);
        };
        if from == SocketAddr::V4(flow.peer) {
            head.copy_from_slice(&Channel::FIRST.header(length as u16));
            net::unless_blocked(
                self.clients
                    .send_to(&octets[..turn::CHANNEL_HEADER + length], flow.client),
            )?;
        }
        Ok(true)
    }

    fn flow_of(&self, client: SocketAddrV4) -> Option<&Flow> {
        self.flows[*self.by_client.get(&client)?].as_ref()
    }

    fn answer(&mut self, from: SocketAddrV4, octets: &[u8], way: Way) -> Outcome<()> {
        let message = Message::parse(octets)?;
        let mut reply = Builder::new(Class::Success, message.method(), message.transaction_id());
        match message.method() {
            Method::ALLOCATE => {
                if !self.by_client.contains_key(&from) {
                    let socket = open(SocketAddrV4::new(self.ip, 0), way)?;
                    watch(&self.epoll, socket.as_raw_fd(), self.flows.len() as u64)?;
                    self.by_client.insert(from, self.flows.len());
                    let peer = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
                    self.flows.push(Some(Flow {
                        socket,
                        client: from,
                        peer,
                    }));
                }
                let flow = self.flow_of(from).ok_or("no flow")?;
                reply = reply
                    .xor_address(attribute::XOR_RELAYED_ADDRESS, flow.socket.local_addr()?)
                    .number(attribute::LIFETIME, 600)
                    .xor_address(stun::attribute::XOR_MAPPED_ADDRESS, from.into());
            }
            Method::CHANNEL_BIND => {
                let peer = message.xor_address(attribute::XOR_PEER_ADDRESS);
                let (Some(SocketAddr::V4(peer)), Some(index)) = (peer, self.by_client.get(&from))
                else {
                    return Ok(());
                };
                if let Some(flow) = &mut self.flows[*index] {
                    flow.peer = peer;
                }
            }
            _ => {
                if let Some(index) = self.by_client.remove(&from) {
                    self.flows[index] = None;
                }
            }
        }
        net::unless_blocked(self.clients.send_to(&reply.finish(), from))?;
        Ok(())
    }

    fn batched(mut self, mut batch: Batch, together: bool) -> Outcome<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let mut outgoing = Outgoing::new(together);
        loop {
            let ready = self.ready(&mut events)?;
            for event in &events[..ready] {
                match event.u64 {
                    CLIENTS => {
                        // What has been read for clients is still in the batch.
                        outgoing.send()?;
                        batch.clear();
                        self.many_of_clients(&mut batch, &mut outgoing)?;
                        batch.clear();
                    }
                    flow => {
                        let Some(Some(flow)) = self.flows.get(flow as usize) else {
                            continue;
                        };
                        for (from, datagrams) in batch.read(flow.socket.as_raw_fd())? {
                            for data in datagrams.filter(|_| from == flow.peer) {
                                let head = Some(Channel::FIRST.header(data.len() as u16));
                                outgoing.push(self.clients.as_raw_fd(), flow.client, head, data);
                            }
                        }
                        if batch.is_full() {
                            outgoing.send()?;
                            batch.clear();
                        }
                    }
                }
            }
            outgoing.send()?;
            batch.clear();
        }
    }

    fn many_of_clients(&mut self, batch: &mut Batch, outgoing: &mut Outgoing) -> Outcome<()> {
        let way = if outgoing.together {
            Way::Together
        } else {
            Way::Many
        };
        let mut others = Vec::new();
        for (from, datagrams) in batch.read(self.clients.as_raw_fd())? {
            let flow = self.flow_of(from);
            for octets in datagrams {
                match (turn::channel_data(octets), flow) {
                    (Some((Channel::FIRST, data)), Some(flow)) => {
                        outgoing.push(flow.socket.as_raw_fd(), flow.peer, None, data);
                    }
                    (Some(_), _) => {}
                    (None, _) => others.push((from, octets)),
                }
            }
        }
        // What leaves by one socket leaves by one call; the order within a flow stays.
        outgoing.sort();
        outgoing.send()?;
        for (from, octets) in others {
            self.answer(from, octets, way)?;
        }
        Ok(())
    }
}

/// Room for messages, and those that have been read.
struct Batch {
    room: usize,
    octets: Vec<u8>,
    from: Vec<libc::sockaddr_in>,
    controls: Vec<net::Control>,
    parts: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    used: usize,
}

impl Batch {
    fn new(count: usize, room: usize) -> Self {
        let nobody = net::to_raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut batch = Self {
            room,
            octets: vec![0; count * room],
            from: vec![nobody; count],
            controls: vec![net::Control::EMPTY; count],
            parts: Vec::new(),
            messages: vec![net::no_message(); count],
            used: 0,
        };
        for octets in batch.octets.chunks_exact_mut(room) {
            batch.parts.push(libc::iovec {
                iov_base: octets.as_mut_ptr().cast(),
                iov_len: room,
            });
        }
        for (index, message) in batch.messages.iter_mut().enumerate() {
            message.msg_hdr.msg_name = (&raw mut batch.from[index]).cast();
            message.msg_hdr.msg_iov = &raw mut batch.parts[index];
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = (&raw mut batch.controls[index]).cast();
        }
        batch
    }

    fn clear(&mut self) {
        self.used = 0;
    }

    fn is_full(&self) -> bool {
        self.used == self.messages.len()
    }

    /// Reads into the room that is left: of each message where it came from, and its datagrams. Good until the batch is cleared.
    fn read<'a>(
        &mut self,
        socket: RawFd,
    ) -> Outcome<impl Iterator<Item = (SocketAddrV4, std::slice::Chunks<'a, u8>)> + use<'a>> {
        let first = self.used;
        for message in &mut self.messages[first..] {
            message.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
            message.msg_hdr.msg_controllen = mem::size_of::<net::Control>();
        }
        let read = net::read_batch(socket, &mut self.messages[first..], 0)?;
        self.used += read;
        let told: Vec<_> = (first..self.used)
            .map(|index| {
                let message = &self.messages[index];
                let length = message.msg_len as usize;
                let segment = net::said::<u16>(&message.msg_hdr, libc::SOL_UDP, libc::UDP_GRO);
                // SAFETY: so many octets are there; nothing writes into them before the batch is cleared.
                let octets: &'a [u8] = unsafe {
                    std::slice::from_raw_parts(self.octets.as_ptr().add(index * self.room), length)
                };
                (
                    net::from_raw(&self.from[index]),
                    octets.chunks(segment.map_or(length, usize::from).max(1)),
                )
            })
            .collect();
        Ok(told.into_iter())
    }
}

/// Datagrams that are to be sent, from where they were read.
struct Outgoing {
    together: bool,
    datagrams: Vec<Datagram>,
    parts: Vec<libc::iovec>,
    to: Vec<libc::sockaddr_in>,
    controls: Vec<net::Control>,
    messages: Vec<libc::mmsghdr>,
    sockets: Vec<RawFd>,
}

struct Datagram {
    socket: RawFd,
    to: SocketAddrV4,
    head: Option<[u8; turn::CHANNEL_HEADER]>,
    data: *const u8,
    length: usize,
}

/// The most that the kernel takes as one message (`UDP_MAX_SEGMENTS`, and what an IP packet holds).
const MAX_SEGMENTS: usize = 64;
const MAX_OCTETS: usize = 65_000;

impl Outgoing {
    fn new(together: bool) -> Self {
        Self {
            together,
            datagrams: Vec::new(),
            parts: Vec::new(),
            to: Vec::new(),
            controls: Vec::new(),
            messages: Vec::new(),
            sockets: Vec::new(),
        }
    }

    fn push(
        &mut self,
        socket: RawFd,
        to: SocketAddrV4,
        head: Option<[u8; turn::CHANNEL_HEADER]>,
        data: &[u8],
    ) {
        self.datagrams.push(Datagram {
            socket,
            to,
            head,
            data: data.as_ptr(),
            length: data.len(),
        });
    }

    fn sort(&mut self) {
        self.datagrams.sort_by_key(|datagram| datagram.socket);
    }

    fn send(&mut self) -> Outcome<()> {
        if self.datagrams.is_empty() {
            return Ok(());
        }
        let count = self.datagrams.len();
        // Nothing of this may grow while headers point at it.
        self.parts.reserve(2 * count);
        self.to.reserve(count);
        self.controls.reserve(count);
        let is_same = |a: &Datagram, b: &Datagram| {
            self.together && a.socket == b.socket && a.to == b.to && a.length == b.length
        };
        for group in self.datagrams.chunk_by(is_same) {
            let length = group[0].length + group[0].head.map_or(0, |head| head.len());
            for group in group.chunks((MAX_OCTETS / length.max(1)).clamp(1, MAX_SEGMENTS)) {
                let first = self.parts.len();
                for datagram in group {
                    if let Some(head) = &datagram.head {
                        self.parts.push(libc::iovec {
                            iov_base: ptr::from_ref(head).cast_mut().cast(),
                            iov_len: head.len(),
                        });
                    }
                    self.parts.push(libc::iovec {
                        iov_base: datagram.data.cast_mut().cast(),
                        iov_len: datagram.length,
                    });
                }
                let mut message = net::no_message();
                self.to.push(net::to_raw(group[0].to));
                message.msg_hdr.msg_name = self
                    .to
                    .last_mut()
                    .map_or(ptr::null_mut(), |to| ptr::from_mut(to).cast());
                message.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
                message.msg_hdr.msg_iov = &raw mut self.parts[first];
                message.msg_hdr.msg_iovlen = self.parts.len() - first;
                if group.len() > 1 {
                    let (control, control_length) = net::Control::new(None, Some(length as u16));
                    self.controls.push(control);
                    message.msg_hdr.msg_control = self
                        .controls
                        .last_mut()
                        .map_or(ptr::null_mut(), |control| ptr::from_mut(control).cast());
                    message.msg_hdr.msg_controllen = control_length;
                }
                self.messages.push(message);
                self.sockets.push(group[0].socket);
            }
        }
        let mut first = 0;
        for sockets in self.sockets.chunk_by(|a, b| a == b) {
            let end = first + sockets.len();
            while first < end {
                let sent = net::send_batch(sockets[0], &mut self.messages[first..end])?;
                if sent == 0 {
                    // No room: what a relay cannot send, it drops.
                    break;
                }
                first += sent;
            }
            first = end;
        }
        self.datagrams.clear();
        self.parts.clear();
        self.to.clear();
        self.controls.clear();
        self.messages.clear();
        self.sockets.clear();
        Ok(())
    }
}
