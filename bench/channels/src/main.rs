//! One multiplexed channel against a pool of channels: how long do exchanges take beside a large download?
//!
//! Virtual time: two WebRTC stacks joined by a simulated path, so figures do not depend on how busy the machine is (the CPU column does).
//! Every response is sent in messages of 16 KiB, in turn, one message for each exchange that still has something to send. In a pool an
//! exchange lives on the channel with the fewest live exchanges, channels are opened before and never closed.

mod pair;
mod path;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pair::Pair;
use path::Conditions;

const MESSAGE: usize = 16 * 1024;
const HEADER: usize = 8;

/// The exchanges asked for beside the download.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    count: usize,
    bytes: usize,
    every: Duration,
}

const LOADS: [Load; 2] = [
    Load { name: "50 at once, 100 kB each", count: 50, bytes: 100_000, every: Duration::ZERO },
    Load { name: "200 of 2 kB, one every 20 ms", count: 200, bytes: 2_000, every: Duration::from_millis(20) },
];

/// The large download that runs all the time, and when the exchanges begin beside it.
const DOWNLOAD: usize = 1 << 30;
const LEAD: Duration = Duration::from_secs(1);
const SEEDS: u64 = 5;

fn main() {
    str0m::crypto::from_feature_flags().install_process_default();
    println!("| load | loss | send buffer KiB | channels | median ms | p95 ms | worst ms | all done s | download MB/s meanwhile | CPU ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for load in LOADS {
        for loss in [0.0, 0.01, 0.03] {
            for channels in [1, 4, 8, 16] {
                row(load, loss, 128, channels);
            }
            // Whether the length of the queue in front of the path matters more than the number of channels does.
            for buffer in [1024, 512, 64, 32] {
                row(load, loss, buffer, 1);
            }
        }
    }
}

fn row(load: Load, loss: f64, buffer: usize, channels: usize) {
    let conditions =
        Conditions { delay: Duration::from_millis(20), rate: 12.5e6, queue: Duration::from_millis(50), loss };
    let runs: Vec<Run> = (1..=SEEDS).map(|seed| run(load, channels, buffer * 1024, conditions, seed)).collect();
    let mut times: Vec<f64> = runs.iter().flat_map(|r| r.times.iter().map(|t| t.as_secs_f64() * 1e3)).collect();
    times.sort_by(f64::total_cmp);
    let mid = |f: fn(&Run) -> f64| median(runs.iter().map(f).collect());
    println!(
        "| {} | {} % | {buffer} | {channels} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} |",
        load.name,
        loss * 100.0,
        times[times.len() / 2],
        times[times.len() * 95 / 100],
        times[times.len() - 1],
        mid(|r| r.all.as_secs_f64()),
        mid(|r| r.download),
        mid(|r| r.cpu.as_secs_f64() * 1e3),
    );
}

struct Run {
    times: Vec<Duration>,
    all: Duration,
    download: f64,
    cpu: Duration,
}

/// A response being sent.
struct Sending {
    exchange: usize,
    channel: usize,
    left: usize,
}

fn run(load: Load, channels: usize, buffer: usize, conditions: Conditions, seed: u64) -> Run {
    let mut pair = Pair::connect(channels, buffer, conditions, seed);
    let start = pair.now + LEAD;
    let mut asked_at: Vec<Instant> = Vec::new();
    let mut done_at: Vec<Option<Instant>> = vec![None; load.count];
    let mut got = vec![0usize; load.count];
    let mut live = vec![0usize; channels];
    live[0] = 1;
    let mut turn = VecDeque::from([Sending { exchange: usize::MAX, channel: 0, left: DOWNLOAD }]);
    let (mut download, mut cpu_before) = (0usize, None);
    let limit = start + Duration::from_secs(600);

    while done_at.iter().any(Option::is_none) {
        assert!(pair.now < limit, "the exchanges did not end");
        while asked_at.len() < load.count && pair.now >= start + load.every * u32::try_from(asked_at.len()).expect("few") {
            cpu_before.get_or_insert_with(cpu);
            let exchange = asked_at.len();
            let channel = (0..channels).min_by_key(|c| live[*c]).expect("a channel");
            live[channel] += 1;
            asked_at.push(pair.now);
            let request = [&exchange.to_be_bytes()[..], &[0; 400]].concat();
            assert!(pair.send(false, channel, &request), "requests fit the buffer");
        }
        fill(&mut pair, &mut turn);
        for arrival in pair.step() {
            let exchange = usize::from_be_bytes(arrival.data[..8].try_into().expect("a header"));
            if arrival.at_sender {
                turn.push_back(Sending { exchange, channel: arrival.channel, left: load.bytes });
            } else if exchange == usize::MAX {
                download += if pair.now >= start { arrival.data.len() - HEADER } else { 0 };
            } else {
                got[exchange] += arrival.data.len() - HEADER;
                if got[exchange] == load.bytes {
                    done_at[exchange] = Some(pair.now);
                    live[arrival.channel] -= 1;
                }
            }
        }
    }
    let all = pair.now - start;
    let times = asked_at.iter().zip(&done_at).map(|(a, d)| d.expect("all are done") - *a).collect();
    Run { times, all, download: download as f64 / 1e6 / all.as_secs_f64(), cpu: cpu() - cpu_before.unwrap_or_default() }
}

/// Sends in turn, a message an exchange, until the stack's buffer is full.
fn fill(pair: &mut Pair, turn: &mut VecDeque<Sending>) {
    while let Some(sending) = turn.front_mut() {
        let body = sending.left.min(MESSAGE - HEADER);
        let mut message = vec![0x5a; HEADER + body];
        message[..HEADER].copy_from_slice(&sending.exchange.to_be_bytes());
        if !pair.send(true, sending.channel, &message) {
            return;
        }
        sending.left -= body;
        let again = sending.left > 0;
        if let Some(sending) = turn.pop_front().filter(|_| again) {
            turn.push_back(sending);
        }
    }
}

/// CPU time of this thread (Linux; elsewhere zero).
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
