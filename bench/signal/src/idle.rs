//! Many clients that only stay: a `HEARTBEAT` every five seconds each, spread evenly, as PeerJS sends them. Afterwards everyone gets a message by the server:
//! who was given up, or was not heard, does not.

use std::io::Write;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::clients::{Clients, Turn};
use crate::frames::{Frames, HEARTBEAT, Kind, frame, id, partner};
use crate::server::{Clock, Spent, cpu, resident};
use crate::socket::Outbound;

#[derive(Deserialize)]
pub struct Load {
    server: SocketAddr,
    pid: i32,
    sockets: usize,
    /// Before the clock runs, after all are open; at least two beats of everyone.
    settle_seconds: f64,
    seconds: f64,
}

#[derive(Serialize)]
pub struct Figures {
    /// Octets by which the server grew for each socket.
    octets_per_socket: f64,
    /// Microseconds of processor time a second for each socket.
    cpu_us_per_socket_second: f64,
    #[serde(flatten)]
    spent: Spent,
    /// Milliseconds of processor time that opening one took.
    open_cpu_ms: f64,
    /// Sockets that were no longer reached in the end.
    lost: usize,
    resident_before: u64,
    resident_after: u64,
}

const BEAT: Duration = Duration::from_secs(5);

/// For the messages at the end to arrive.
const GRACE: Duration = Duration::from_secs(10);

pub fn run(load: Load) -> Outcome<Figures> {
    sleep(Duration::from_secs(1));
    let resident_before = resident(load.pid)?;
    let cpu_closed = cpu(load.pid)?;
    let mut clients = Clients::open(load.server, load.sockets)?;
    let cpu_open = cpu(load.pid)?;

    let mut hearts = Hearts {
        begun: Instant::now(),
        beat: frame(HEARTBEAT),
        beats: 0,
    };
    let settled = hearts.begun + Duration::from_secs_f64(load.settle_seconds);
    hearts.until(settled, &mut clients)?;
    let clock = Clock::start(load.pid)?;
    hearts.until(
        settled + Duration::from_secs_f64(load.seconds),
        &mut clients,
    )?;
    let spent = clock.stop()?;
    let resident_after = resident(load.pid)?;

    let sockets = load.sockets as f64;
    Ok(Figures {
        octets_per_socket: (resident_after as f64 - resident_before as f64) / sockets,
        cpu_us_per_socket_second: spent.cpu_seconds * 1e6 / sockets / spent.seconds,
        spent,
        open_cpu_ms: (cpu_open - cpu_closed).as_secs_f64() * 1e3 / sockets,
        lost: load.sockets - reached(&mut clients)?,
        resident_before,
        resident_after,
    })
}

struct Hearts {
    begun: Instant,
    beat: Vec<u8>,
    beats: u32,
}

impl Hearts {
    /// Lets each heart beat whose turn it is. That nothing comes back, a close least of all, is looked at too.
    fn until(&mut self, end: Instant, clients: &mut Clients) -> Outcome<()> {
        let count = u32::try_from(clients.sockets.len())?;
        let mut turn = Turn::default();
        loop {
            let due = self.begun + BEAT.mul_f64(f64::from(self.beats) / f64::from(count));
            if due.min(Instant::now()) >= end {
                return Ok(());
            }
            clients.turn(due.saturating_duration_since(Instant::now()), &mut turn)?;
            if !turn.arrived.is_empty() {
                return Err("a message that nobody sent".into());
            }
            if Instant::now() >= due {
                let socket = &mut clients.sockets[(self.beats % count) as usize];
                socket.stream.write_all(&self.beat)?;
                self.beats += 1;
            }
        }
    }
}

/// To how many a message from their partner comes.
fn reached(clients: &mut Clients) -> Outcome<usize> {
    let count = clients.sockets.len();
    let mut turn = Turn::default();
    let mut reached = 0;
    let end = Instant::now() + GRACE;
    let mut next = 0;
    while reached < count && Instant::now() < end {
        // Some at a time, so that the answer does not hang on a full buffer.
        for n in (next..count).take(200) {
            let mut message = Outbound::new(Frames::new(Kind::Candidate, &id(partner(n))), 0);
            message.add(1);
            message.send(&clients.sockets[n].stream)?;
            next += 1;
        }
        clients.turn(Duration::from_millis(10), &mut turn)?;
        reached += turn.arrived.len();
    }
    Ok(reached)
}
