//! As much as the server takes: every client has a number of messages on the way to its partner, and sends another one for each that arrives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::clients::{Clients, Turn};
use crate::frames::{Frames, Kind, id, partner};
use crate::server::{Clock, Spent};
use crate::socket::Outbound;

#[derive(Deserialize)]
pub struct Load {
    server: SocketAddr,
    pid: i32,
    pairs: usize,
    kind: Kind,
    /// Messages of a client on the way.
    window: usize,
    warm_seconds: f64,
    seconds: f64,
}

#[derive(Serialize)]
pub struct Figures {
    messages: u64,
    #[serde(flatten)]
    spent: Spent,
    /// What the clients received, from the one that received least to the one that received most.
    least: u64,
    most: u64,
}

/// A server from which nothing comes for so long is stuck.
const STUCK: Duration = Duration::from_secs(5);

pub fn run(load: Load) -> Outcome<Figures> {
    let count = load.pairs * 2;
    let mut clients = Clients::open(load.server, count)?;
    // In a mix not everyone is at the same place.
    let mut outbound: Vec<Outbound> = (0..count)
        .map(|n| Outbound::new(Frames::new(load.kind, &id(partner(n))), n))
        .collect();
    let mut blocked = vec![false; count];
    let mut received = vec![0_u64; count];
    let mut turn = Turn::default();

    for n in 0..count {
        outbound[n].add(load.window);
        send(&clients, &mut outbound, &mut blocked, n)?;
    }
    let warm = Instant::now() + Duration::from_secs_f64(load.warm_seconds);
    let mut last = Instant::now();
    let mut measured: Option<(Clock, Vec<u64>)> = None;
    loop {
        clients.turn(Duration::from_millis(100), &mut turn)?;
        for &n in &turn.writable {
            send(&clients, &mut outbound, &mut blocked, n)?;
        }
        for &(n, arrived) in &turn.arrived {
            received[n] += u64::from(arrived);
            outbound[partner(n)].add(arrived as usize);
            if !blocked[partner(n)] {
                send(&clients, &mut outbound, &mut blocked, partner(n))?;
            }
        }
        let now = Instant::now();
        if !turn.arrived.is_empty() {
            last = now;
        } else if now - last > STUCK {
            return Err("the server is stuck".into());
        }
        match measured {
            None if now >= warm => measured = Some((Clock::start(load.pid)?, received.clone())),
            Some((ref clock, ref before)) if clock.since().as_secs_f64() >= load.seconds => {
                let spent = clock.stop()?;
                check(&clients, load.kind)?;
                let each = || {
                    received
                        .iter()
                        .zip(before)
                        .map(|(after, before)| after - before)
                };
                return Ok(Figures {
                    messages: each().sum(),
                    spent,
                    least: each().min().unwrap_or_default(),
                    most: each().max().unwrap_or_default(),
                });
            }
            _ => {}
        }
    }
}

/// A server that sends something else would be measured for nothing.
fn check(clients: &Clients, kind: Kind) -> Outcome<()> {
    for (n, socket) in clients.sockets.iter().enumerate() {
        if !Frames::are_in(kind, &id(n), &socket.inbound.first) {
            return Err(format!(
                "client {n} received {}",
                String::from_utf8_lossy(&socket.inbound.first)
            )
            .into());
        }
    }
    Ok(())
}

fn send(
    clients: &Clients,
    outbound: &mut [Outbound],
    blocked: &mut [bool],
    n: usize,
) -> Outcome<()> {
    let waits = !outbound[n].send(&clients.sockets[n].stream)?;
    if waits != blocked[n] {
        blocked[n] = waits;
        clients.watch_writable(n, waits)?;
    }
    Ok(())
}
