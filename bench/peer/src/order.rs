//! What an end is told to do, and the figures it gives back. `end.py` is the same in Python.

use std::io::{BufRead as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Outcome;

/// A message that begins with this is sent back by the callee; all others are counted.
pub const ECHO: u8 = b'p';

/// To the caller: all but `Watch`. To the callee: `Watch` and `Cpu`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Order {
    /// Opens so many connections one after the other, and keeps them.
    Open { count: usize },
    /// The same, but closes each before the next; some may fail.
    SetUp { count: usize },
    /// Sends on the last connection from now until the window ends.
    Send { size: usize, window: Window },
    /// Sends, and waits for the answer, until the window ends.
    Ping { size: usize, window: Window },
    /// Closes what is open.
    Close,
    /// Tells what arrives within the window.
    Watch { window: Window },
    /// Tells the processor time alone.
    Cpu,
}

/// Seconds since 1970.
#[derive(Deserialize, Clone, Copy)]
pub struct Window {
    pub from: f64,
    pub until: f64,
}

impl Window {
    pub fn is_over(self) -> bool {
        now() >= self.until
    }

    pub fn has_begun(self) -> bool {
        now() >= self.from
    }

    /// What `read` counts up by, and processor time in seconds, within the window.
    pub fn watch<const N: usize>(self, read: impl Fn() -> [u64; N] + Send + 'static) -> JoinHandle<([u64; N], f64)> {
        thread::spawn(move || {
            let at = |time: f64| {
                thread::sleep(Duration::from_secs_f64((time - now()).max(0.0)));
                (read(), cpu())
            };
            let ((before, cpu_before), (after, cpu_after)) = (at(self.from), at(self.until));
            (std::array::from_fn(|n| after[n] - before[n]), cpu_after - cpu_before)
        })
    }
}

/// What a callee has received.
#[derive(Default)]
pub struct Seen {
    messages: AtomicU64,
    octets: AtomicU64,
}

impl Seen {
    pub const fn new() -> Self {
        Self { messages: AtomicU64::new(0), octets: AtomicU64::new(0) }
    }

    pub fn count(&self, octets: usize) {
        self.messages.fetch_add(1, Relaxed);
        self.octets.fetch_add(octets as u64, Relaxed);
    }

    pub fn watch(&'static self, window: Window) -> Outcome<Value> {
        let watch = window.watch(|| [self.messages.load(Relaxed), self.octets.load(Relaxed)]);
        let ([messages, octets], cpu) = watch.join().map_err(|_| "the watch failed")?;
        Ok(json!({ "messages": messages, "octets": octets, "cpu": cpu }))
    }
}

/// One stack's calling end.
pub trait Caller {
    type Conn;
    /// Resolves when the channel is open.
    async fn open(&mut self) -> Outcome<Self::Conn>;
    async fn close(&mut self, conn: Self::Conn) -> Outcome<()>;
    async fn send(&mut self, conn: &mut Self::Conn, size: usize, window: Window) -> Outcome<()>;
    /// Times of all there-and-back within the window.
    async fn ping(&mut self, conn: &mut Self::Conn, size: usize, window: Window) -> Outcome<Vec<Duration>>;
}

pub async fn call(mut caller: impl Caller) -> Outcome<()> {
    let mut open = Vec::new();
    for line in std::io::stdin().lock().lines() {
        answer(match serde_json::from_str(&line?)? {
            Order::Open { count } => {
                let mut took = Vec::new();
                for _ in 0..count {
                    let begun = Instant::now();
                    open.push(caller.open().await?);
                    took.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                json!({ "ms": took })
            }
            Order::SetUp { count } => {
                let (mut took, mut failed) = (Vec::new(), 0);
                for _ in 0..count {
                    let begun = Instant::now();
                    match caller.open().await {
                        Ok(conn) => {
                            took.push(begun.elapsed().as_secs_f64() * 1e3);
                            caller.close(conn).await?;
                        }
                        Err(error) => {
                            eprintln!("a connection failed: {error}");
                            failed += 1;
                        }
                    }
                }
                json!({ "ms": took, "failed": failed })
            }
            Order::Send { size, window } => {
                let watch = window.watch(|| []);
                caller.send(open.last_mut().ok_or("nothing is open")?, size, window).await?;
                json!({ "cpu": watch.join().map_err(|_| "the watch failed")?.1 })
            }
            Order::Ping { size, window } => {
                let watch = window.watch(|| []);
                let mut times = caller.ping(open.last_mut().ok_or("nothing is open")?, size, window).await?;
                times.sort();
                let at = |share: f64| times.get((times.len() as f64 * share) as usize).map(|time| time.as_secs_f64() * 1e6);
                json!({ "count": times.len(), "median": at(0.5), "p99": at(0.99), "cpu": watch.join().map_err(|_| "the watch failed")?.1 })
            }
            Order::Close => {
                for conn in open.drain(..) {
                    caller.close(conn).await?;
                }
                json!({})
            }
            Order::Cpu => json!({ "cpu": cpu() }),
            Order::Watch { .. } => return Err("nothing arrives at a caller".into()),
        })?;
    }
    Ok(())
}

/// Serves a callee's orders, on the calling thread.
pub fn serve(seen: &'static Seen) -> Outcome<()> {
    for line in std::io::stdin().lock().lines() {
        answer(match serde_json::from_str(&line?)? {
            Order::Watch { window } => seen.watch(window)?,
            Order::Cpu => json!({ "cpu": cpu() }),
            _ => return Err("a callee only watches".into()),
        })?;
    }
    Ok(())
}

pub fn answer(value: Value) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// Processor time of all threads so far, user and system, in seconds.
fn cpu() -> f64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(f64::NAN, |time| Duration::from(time).as_secs_f64())
}
