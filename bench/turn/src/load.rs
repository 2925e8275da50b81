//! Packets through a server, one way at a time.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::client::{Client, DATA, FRAMED, Goal};
use crate::net;
use crate::server::{Clock, Spent};
use crate::volley::{Counter, Datagram, Sockets, Volley, data, framed};

#[derive(Deserialize)]
pub struct Load {
    server: SocketAddrV4,
    pid: i32,
    secret: String,
    allocations: usize,
    /// Packets a second of the fixed rate.
    rate: u32,
    seconds: f64,
    warm_seconds: f64,
}

/// One direction, order and rate.
#[derive(Serialize)]
pub struct Figures {
    direction: &'static str,
    order: &'static str,
    rate: &'static str,
    sent: u64,
    arrived: u64,
    /// Of those that arrived, how many the generator had no room for.
    unread: u64,
    odd: u64,
    #[serde(flatten)]
    spent: Spent,
}

/// Packets of one allocation that follow each other, and packets that are sent at a time at the fixed rate.
const BURST: usize = 8;
/// Messages at a time under saturation.
const AT_ONCE: usize = 64;
/// After so long without a packet none is on its way.
const SILENCE: Duration = Duration::from_millis(50);

pub fn run(load: Load) -> Outcome<Vec<Figures>> {
    let sockets = Sockets::open(load.server)?;
    let clients = sockets.bring(0..load.allocations, Goal::Channel, &load.secret.parse()?)?;
    sockets.try_out(&clients)?;
    let mut found = Vec::new();
    for direction in ["up", "down"] {
        for order in ["mixed", "bursts"] {
            let mut volley = volley(&sockets, &clients, direction, order)?;
            let of_message = if order == "bursts" { BURST } else { 1 };
            for rate in ["fixed", "saturation"] {
                let every =
                    (rate == "fixed").then(|| Duration::from_secs(1) * BURST as u32 / load.rate);
                let mut go = |seconds| {
                    one(
                        &sockets,
                        &mut volley,
                        direction,
                        of_message,
                        every,
                        seconds,
                        load.pid,
                    )
                };
                go(load.warm_seconds)?;
                let figures = go(load.seconds)?;
                found.push(Figures {
                    direction,
                    order,
                    rate,
                    ..figures
                });
            }
        }
    }
    Ok(found)
}

/// A message of each client, or of each client's peer.
fn volley(sockets: &Sockets, clients: &[Client], direction: &str, order: &str) -> Outcome<Volley> {
    let count = if order == "bursts" { BURST } else { 1 };
    let mut datagrams = Vec::new();
    // Of few clients there are more messages, or no more could be sent by one call.
    for client in clients
        .iter()
        .cycle()
        .take(clients.len().max(AT_ONCE).next_multiple_of(clients.len()))
    {
        let relay = client.relay.ok_or("no relay")?;
        let (from, to, one) = match direction {
            "up" => (client.ip, sockets.server, framed(client, 0x55)),
            _ => (*client.peer.ip(), relay, data(client, 0xaa)),
        };
        let segment = (count > 1).then_some(one.len() as u16);
        datagrams.push(Datagram::new(from, to, one.repeat(count), segment));
    }
    Ok(Volley::new(datagrams))
}

fn one(
    sockets: &Sockets,
    volley: &mut Volley,
    direction: &str,
    of_message: usize,
    every: Option<Duration>,
    seconds: f64,
    pid: i32,
) -> Outcome<Figures> {
    let (from, to, mut counter) = match direction {
        "up" => (&sockets.clients, &sockets.peers, Counter::new(DATA)),
        _ => (&sockets.peers, &sockets.clients, Counter::new(FRAMED)),
    };
    let (mut sent, mut arrived) = (0, 0);
    let unread = net::dropped(to)?;
    let clock = Clock::start(pid)?;
    let end = Duration::from_secs_f64(seconds);
    let mut due = Duration::ZERO;
    loop {
        let now = clock.since();
        if now >= end {
            break;
        }
        match every {
            Some(every) if now >= due => {
                sent += volley.send(from, BURST / of_message)? * of_message;
                due += every;
            }
            Some(_) => {}
            None => sent += volley.send(from, AT_ONCE / of_message)? * of_message,
        }
        // At most as many as were sent, about: or a queue that is never empty would stop the sending.
        for _ in 0..2 {
            let read = counter.count(to)?;
            arrived += read;
            if read < 64 {
                break;
            }
        }
    }
    // What waits in the server's queues is relayed too, and takes its time.
    let (mut heard, mut last) = (Instant::now(), end);
    while heard.elapsed() < SILENCE {
        let read = counter.count(to)?;
        if read > 0 {
            arrived += read;
            (heard, last) = (Instant::now(), clock.since());
        }
    }
    let seconds = last.as_secs_f64();
    let spent = clock.stop()?;
    let unread = net::dropped(to)? - unread;
    Ok(Figures {
        direction: "",
        order: "",
        rate: "",
        sent: sent as u64,
        arrived: arrived + unread,
        unread,
        odd: counter.odd,
        spent: Spent { seconds, ..spent },
    })
}
