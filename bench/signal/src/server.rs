//! The server under load, seen from outside: its processor time and its memory.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use serde::Serialize;

use crate::Outcome;

/// Processor time over a while.
#[derive(Serialize)]
pub struct Spent {
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// Of this process: what is left of the machine is the server's.
    pub own_cpu_seconds: f64,
    /// Of everybody else: a figure that was measured beside others' work is worth less.
    pub others_cpu_seconds: f64,
}

/// The beginning of such a while.
pub struct Clock {
    pid: i32,
    begun: Instant,
    cpu: Duration,
    own: Duration,
    machine: f64,
}

impl Clock {
    pub fn start(pid: i32) -> Outcome<Self> {
        Ok(Self {
            pid,
            cpu: cpu(pid)?,
            own: cpu(own())?,
            machine: machine()?,
            begun: Instant::now(),
        })
    }

    pub fn since(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn stop(&self) -> Outcome<Spent> {
        let cpu_seconds = (cpu(self.pid)? - self.cpu).as_secs_f64();
        let own_cpu_seconds = (cpu(own())? - self.own).as_secs_f64();
        let others_cpu_seconds =
            (machine()? - self.machine - cpu_seconds - own_cpu_seconds).max(0.0);
        Ok(Spent {
            seconds: self.since().as_secs_f64(),
            cpu_seconds,
            own_cpu_seconds,
            others_cpu_seconds,
        })
    }
}

fn own() -> i32 {
    Pid::this().as_raw()
}

/// Seconds that all cores were busy.
fn machine() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .ok_or("/proc/stat")?
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    Ok([0, 1, 2, 5, 6, 7]
        .into_iter()
        .map(|n| ticks.get(n).copied().unwrap_or_default())
        .sum::<f64>()
        / 100.0)
}

/// What all threads have used so far, in user and system mode: the same as `utime + stime` of `/proc/PID/stat`, in nanoseconds instead of 10 ms.
pub fn cpu(pid: i32) -> Outcome<Duration> {
    Ok(clock_getcpuclockid(Pid::from_raw(pid))?.now()?.into())
}

/// Resident octets.
pub fn resident(pid: i32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path)?;
    let kib = rollup.lines().find_map(|line| {
        line.strip_prefix("Rss:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    Ok(kib.ok_or(path)? * 1024)
}
