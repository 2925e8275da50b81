//! A server seen from outside: its processor time and its memory.

use std::fs;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::Outcome;

/// What all threads have used so far, in user and system mode.
pub fn cpu(pid: i32) -> Outcome<Duration> {
    Ok(clock_getcpuclockid(Pid::from_raw(pid))?.now()?.into())
}

/// Seconds that all cores of the machine were busy.
pub fn machine() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .ok_or("/proc/stat")?
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // user, nice, system, (idle, iowait,) irq, softirq
    Ok([0, 1, 2, 5, 6]
        .into_iter()
        .map(|n| ticks.get(n).copied().unwrap_or_default())
        .sum::<f64>()
        / 100.0)
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
