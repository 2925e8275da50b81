//! How long a message takes at a fixed rate, from the call that sends it to its partner's call that read it. The rate does not wait for answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;
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
    /// Messages a second, of all clients.
    rate: f64,
    warm_seconds: f64,
    seconds: f64,
}

#[derive(Serialize)]
pub struct Figures {
    messages: usize,
    #[serde(flatten)]
    spent: Spent,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
    /// How late the messages were sent: what the generator itself adds to nobody's figures, but to the evenness of the load.
    late_p50_us: f64,
    late_p99_us: f64,
}

/// Coprime to the number of clients: whose turn it is jumps about.
const STRIDE: usize = 7_919;

/// For the last messages to arrive.
const GRACE: Duration = Duration::from_secs(5);

pub fn run(load: Load) -> Outcome<Figures> {
    let count = load.pairs * 2;
    let mut clients = Clients::open(load.server, count)?;
    let mut outbound: Vec<Outbound> = (0..count)
        .map(|n| Outbound::new(Frames::new(load.kind, &id(partner(n))), n))
        .collect();
    // Messages of one client to another keep their order: the time of each that is on the way is enough.
    let mut on_the_way: Vec<VecDeque<Instant>> = vec![VecDeque::new(); count];
    let mut turn = Turn::default();
    let (mut took, mut late) = (Vec::new(), Vec::new());

    set_current_timer_slack(std::num::NonZero::new(1))?;
    let begun = Instant::now();
    let counts = begun + Duration::from_secs_f64(load.warm_seconds);
    let ends = counts + Duration::from_secs_f64(load.seconds);
    let due = |n: usize| begun + Duration::from_secs_f64(n as f64 / load.rate);
    let mut clock: Option<Clock> = None;
    let mut spent = None;
    let mut sent = 0;
    loop {
        let now = Instant::now();
        match clock {
            None if now >= counts => clock = Some(Clock::start(load.pid)?),
            Some(ref clock) if now >= ends && spent.is_none() => spent = Some(clock.stop()?),
            _ => {}
        }
        if spent.is_some() {
            if on_the_way.iter().all(VecDeque::is_empty) {
                break;
            }
            if now > ends + GRACE {
                return Err(format!(
                    "{} messages did not arrive",
                    on_the_way.iter().map(VecDeque::len).sum::<usize>()
                )
                .into());
            }
        }
        while spent.is_none() && due(sent) <= now {
            let n = sent * STRIDE % count;
            outbound[n].add(1);
            let at = Instant::now();
            on_the_way[n].push_back(at);
            if at >= counts {
                late.push(at - due(sent));
            }
            // What does not go out at once goes with the next: the buffers hold many messages.
            outbound[n].send(&clients.sockets[n].stream)?;
            sent += 1;
        }
        let wait = if spent.is_none() {
            due(sent).saturating_duration_since(Instant::now())
        } else {
            Duration::from_millis(10)
        };
        clients.turn(wait, &mut turn)?;
        let now = Instant::now();
        for &(n, arrived) in &turn.arrived {
            for _ in 0..arrived {
                let at = on_the_way[partner(n)]
                    .pop_front()
                    .ok_or_else(|| format!("client {n} received more than was sent"))?;
                if at >= counts {
                    took.push(now - at);
                }
            }
        }
    }
    Ok(Figures {
        messages: took.len(),
        spent: spent.ok_or("nothing was measured")?,
        p50_us: quantile(&mut took, 0.5),
        p90_us: quantile(&mut took, 0.9),
        p99_us: quantile(&mut took, 0.99),
        max_us: quantile(&mut took, 1.0),
        late_p50_us: quantile(&mut late, 0.5),
        late_p99_us: quantile(&mut late, 0.99),
    })
}

fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let at = (times.len().saturating_sub(1) as f64 * part).round() as usize;
    times
        .get(at)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
