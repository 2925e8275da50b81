//! Clients that come by TCP; their peers are spoken with by UDP as ever.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};

use peerage_proto::wire::stun::Message;
use peerage_proto::wire::turn;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::client::{Client, DATA, FRAMED, Goal, Step};
use crate::net;
use crate::server::{Clock, Spent};
use crate::volley::{Counter, Datagram, Sockets, Volley, data, framed};

#[derive(Deserialize)]
pub struct Load {
    server: SocketAddrV4,
    pid: i32,
    secret: String,
    allocations: usize,
    rate: u32,
    seconds: f64,
    warm_seconds: f64,
}

#[derive(Serialize)]
pub struct Figures {
    direction: &'static str,
    rate: &'static str,
    sent: f64,
    arrived: f64,
    #[serde(flatten)]
    spent: Spent,
}

const BURST: usize = 8;
const SILENCE: Duration = Duration::from_millis(50);

/// A client with its connection, and how much of the octets that it sends again and again has gone.
struct Connected {
    client: Client,
    stream: TcpStream,
    octets: Vec<u8>,
    gone: usize,
}

pub fn run(load: Load) -> Outcome<Vec<Figures>> {
    let sockets = Sockets::open(load.server)?;
    let mut connected = Vec::new();
    for number in 0..load.allocations {
        let client = Client::new(
            number,
            Goal::Channel,
            &load.secret.parse()?,
            sockets.peer_port()?,
        );
        connected.push(connect(client, load.server)?);
    }
    let mut found = Vec::new();
    for direction in ["up", "down"] {
        for rate in ["fixed", "saturation"] {
            let every =
                (rate == "fixed").then(|| Duration::from_secs(1) * BURST as u32 / load.rate);
            let mut go = |seconds| match direction {
                "up" => up(&sockets, &mut connected, every, seconds, load.pid),
                _ => down(&sockets, &connected, every, seconds, load.pid),
            };
            go(load.warm_seconds)?;
            let (sent, arrived, spent) = go(load.seconds)?;
            found.push(Figures {
                direction,
                rate,
                sent,
                arrived,
                spent: Spent {
                    seconds: load.seconds,
                    ..spent
                },
            });
        }
    }
    Ok(found)
}

fn connect(mut client: Client, server: SocketAddrV4) -> Outcome<Connected> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    while client.step != Step::Done {
        stream.write_all(&client.request())?;
        let mut octets = vec![0; 4];
        stream.read_exact(&mut octets)?;
        let length = turn::frame_length(&octets)?.ok_or("no length")?;
        octets.resize(length, 0);
        stream.read_exact(&mut octets[4..])?;
        client.answered(&Message::parse(&octets)?)?;
    }
    stream.set_nonblocking(true)?;
    let octets = framed(&client, 0x55).repeat(BURST);
    Ok(Connected {
        client,
        stream,
        octets,
        gone: 0,
    })
}

impl Connected {
    /// Sends the rest of the octets that are on their way, or all of them: how many went.
    fn send(&mut self) -> Outcome<usize> {
        let sent = net::unless_blocked(self.stream.write(&self.octets[self.gone..]))?.unwrap_or(0);
        self.gone = (self.gone + sent) % self.octets.len();
        Ok(sent)
    }

    /// How many octets came; they are not copied.
    fn count(&self) -> Outcome<usize> {
        // SAFETY: with this flag TCP throws away what it would have copied (tcp(7)).
        let read = unsafe {
            libc::recv(
                self.stream.as_raw_fd(),
                ptr::null_mut(),
                1 << 20,
                libc::MSG_TRUNC | libc::MSG_DONTWAIT,
            )
        };
        match usize::try_from(read) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(read) => Ok(read),
            Err(_) => Ok(net::unless_blocked(Err(io::Error::last_os_error()))?.unwrap_or(0)),
        }
    }
}

/// Sent, arrived.
type Found = (f64, f64, Spent);

fn up(
    sockets: &Sockets,
    connected: &mut [Connected],
    every: Option<Duration>,
    seconds: f64,
    pid: i32,
) -> Outcome<Found> {
    let mut counter = Counter::new(DATA);
    let (mut octets, mut arrived, mut next) = (0, 0, 0);
    let unread = net::dropped(&sockets.peers)?;
    let clock = Clock::start(pid)?;
    let mut due = Duration::ZERO;
    while clock.since().as_secs_f64() < seconds {
        let is_due = every.is_none_or(|every| {
            let is_due = clock.since() >= due;
            due += if is_due { every } else { Duration::ZERO };
            is_due
        });
        if is_due {
            next = (next + 1) % connected.len();
            octets += connected[next].send()?;
        }
        arrived += counter.count(&sockets.peers)?;
    }
    // What is left of the last frames.
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        for one in connected.iter_mut().filter(|one| one.gone > 0) {
            octets += one.send()?;
        }
        let read = counter.count(&sockets.peers)?;
        if read > 0 {
            arrived += read;
            heard = Instant::now();
        }
    }
    let spent = clock.stop()?;
    let unread = net::dropped(&sockets.peers)? - unread;
    Ok((
        octets as f64 / FRAMED as f64,
        (arrived + unread) as f64,
        spent,
    ))
}

fn down(
    sockets: &Sockets,
    connected: &[Connected],
    every: Option<Duration>,
    seconds: f64,
    pid: i32,
) -> Outcome<Found> {
    let mut datagrams = Vec::new();
    for one in connected.iter().map(|one| &one.client) {
        let relay = one.relay.ok_or("no relay")?;
        datagrams.push(Datagram::new(
            *one.peer.ip(),
            relay,
            data(one, 0xaa).repeat(BURST),
            Some(DATA as u16),
        ));
    }
    let mut volley = Volley::new(datagrams);
    let (mut sent, mut octets) = (0, 0);
    let clock = Clock::start(pid)?;
    let mut due = Duration::ZERO;
    while clock.since().as_secs_f64() < seconds {
        let is_due = every.is_none_or(|every| {
            let is_due = clock.since() >= due;
            due += if is_due { every } else { Duration::ZERO };
            is_due
        });
        if is_due {
            sent += volley.send(&sockets.peers, if every.is_some() { 1 } else { 8 })? * BURST;
        }
        for one in connected {
            octets += one.count()?;
        }
    }
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        for one in connected {
            let read = one.count()?;
            if read > 0 {
                octets += read;
                heard = Instant::now();
            }
        }
    }
    Ok((sent as f64, octets as f64 / FRAMED as f64, clock.stop()?))
}
