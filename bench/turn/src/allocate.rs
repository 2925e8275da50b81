//! What it costs to come and go, and to be there.

use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::client::Goal;
use crate::server::{self, Clock, Spent};
use crate::volley::Sockets;

#[derive(Deserialize)]
pub struct Load {
    server: SocketAddrV4,
    pid: i32,
    secret: String,
    allocations: usize,
    /// Before, not counted.
    warm: usize,
}

#[derive(Serialize)]
pub struct Figures {
    allocations: usize,
    #[serde(flatten)]
    spent: Spent,
}

pub fn run(load: Load) -> Outcome<Figures> {
    let sockets = Sockets::open(load.server)?;
    let secret = load.secret.parse()?;
    sockets.bring(0..load.warm, Goal::Nothing, &secret)?;
    let clock = Clock::start(load.pid)?;
    sockets.bring(
        load.warm..load.warm + load.allocations,
        Goal::Nothing,
        &secret,
    )?;
    Ok(Figures {
        allocations: load.allocations,
        spent: clock.stop()?,
    })
}

#[derive(Serialize)]
pub struct Held {
    resident_before: u64,
    resident_after: u64,
    octets_per_allocation: f64,
}

pub fn idle(load: Load) -> Outcome<Held> {
    let sockets = Sockets::open(load.server)?;
    let secret = load.secret.parse()?;
    let clients = sockets.bring(0..load.warm, Goal::Channel, &secret)?;
    sockets.try_out(&clients)?;
    let resident_before = server::resident(load.pid)?;
    let clients = sockets.bring(
        load.warm..load.warm + load.allocations,
        Goal::Channel,
        &secret,
    )?;
    sockets.try_out(&clients)?;
    thread::sleep(Duration::from_secs(1));
    let resident_after = server::resident(load.pid)?;
    Ok(Held {
        resident_before,
        resident_after,
        octets_per_allocation: (resident_after as f64 - resident_before as f64)
            / load.allocations as f64,
    })
}
