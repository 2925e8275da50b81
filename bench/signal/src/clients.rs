//! All clients of a load on one thread: one `epoll`, one buffer, each socket read once a turn.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Outcome;
use crate::socket::Socket;

/// As much as is read of one socket a turn.
const READ: usize = 256 * 1024;

/// Sockets that are looked at a turn.
const EVENTS: usize = 1_024;

pub struct Clients {
    pub sockets: Vec<Socket>,
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

/// What happened in one turn.
#[derive(Default)]
pub struct Turn {
    /// Who received how many messages.
    pub arrived: Vec<(usize, u32)>,
    /// Whose socket takes more again.
    pub writable: Vec<usize>,
}

impl Clients {
    /// Opens `count` of them, one after the other.
    pub fn open(server: SocketAddr, count: usize) -> Outcome<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let sockets: Vec<Socket> = (0..count)
            .map(|n| Socket::open(server, n).map_err(|error| format!("client {n}: {error}").into()))
            .collect::<Outcome<_>>()?;
        for (n, socket) in sockets.iter().enumerate() {
            epoll::add(
                &epoll,
                &socket.stream,
                EventData::new_u64(n as u64),
                EventFlags::IN,
            )?;
        }
        Ok(Self {
            sockets,
            epoll,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ],
        })
    }

    /// Waits for something to happen, at most `timeout`.
    pub fn turn(&mut self, timeout: Duration, turn: &mut Turn) -> Outcome<()> {
        turn.arrived.clear();
        turn.writable.clear();
        self.events.clear();
        let timeout = Timespec::try_from(timeout)?;
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        )?;
        for event in &self.events {
            let n = usize::try_from(event.data.u64())?;
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                turn.writable.push(n);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                let count = self.sockets[n]
                    .receive(&mut self.buffer)
                    .map_err(|error| format!("client {n}: {error}"))?;
                if count > 0 {
                    turn.arrived.push((n, count));
                }
            }
        }
        Ok(())
    }

    /// Whether client `n` wants to know when its socket takes more.
    pub fn watch_writable(&self, n: usize, watch: bool) -> Outcome<()> {
        let flags = if watch {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        Ok(epoll::modify(
            &self.epoll,
            &self.sockets[n].stream,
            EventData::new_u64(n as u64),
            flags,
        )?)
    }
}
