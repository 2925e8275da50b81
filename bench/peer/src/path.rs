//! A network of two places with delay and loss between them: each is a network namespace with one interface, whose packets this process carries over.
//!
//! Prints where the two are, as `nsenter --net=` takes it; they are gone when the process is.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use serde_json::json;

use crate::Outcome;
use crate::order::answer;

const ADDRESSES: [&str; 2] = ["10.79.0.1", "10.79.0.2"];
const MTU: usize = 1500;
/// Packets on the way in one direction: more are dropped, and told.
const QUEUE: usize = 20_000;

/// What each place is given to talk over: its interface, and what called its server's port.
struct Place {
    namespace: String,
    interface: File,
}

/// `port`: of the server on this process's loopback, which both places find at the same one of theirs, without delay.
pub fn run(delay_ms: u64, loss: f64, port: u16) -> Outcome<()> {
    let (calls, called) = channel();
    let there = place(ADDRESSES[0], port, calls.clone())?;
    let back = place(ADDRESSES[1], port, calls)?;
    let delay = Duration::from_millis(delay_ms);
    let overflow = Arc::new(AtomicU64::new(0));
    for (seed, from, to) in [(1, &there, &back), (2, &back, &there)] {
        let lane = Arc::new(Lane::default());
        let (from, to) = (from.interface.try_clone()?, to.interface.try_clone()?);
        let (entry, overflow) = (lane.clone(), overflow.clone());
        thread::spawn(move || take_in(from, &entry, delay, loss, seed, &overflow));
        thread::spawn(move || hand_out(to, &lane));
    }
    thread::spawn(move || forward(&called, port));
    answer(json!({ "caller": there.namespace, "callee": back.namespace }))?;
    // Until the bench is done, or asks.
    for _ in std::io::stdin().lines() {
        answer(json!({ "overflow": overflow.load(Relaxed) }))?;
    }
    Ok(())
}

/// Makes a namespace, by a thread that lives in it from then on and takes calls for the server.
fn place(address: &'static str, port: u16, calls: Sender<TcpStream>) -> Outcome<Place> {
    let (made, place) = channel();
    thread::spawn(move || {
        let (place, listener) = match enter(address, port) {
            Ok(entered) => entered,
            Err(error) => return drop(made.send(Err(error))),
        };
        let _ = made.send(Ok(place));
        for call in listener.incoming().flatten() {
            if calls.send(call).is_err() {
                return;
            }
        }
    });
    place.recv()?
}

fn enter(address: &str, port: u16) -> Outcome<(Place, TcpListener)> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let interface = tun()?;
    // IPv6 is off at the interface, so that all stacks find one and the same address.
    let commands = format!(
        "echo 1 > /proc/sys/net/ipv6/conf/path/disable_ipv6; ip link set lo up && ip address add {address}/24 dev path && ip link set path mtu {MTU} txqueuelen {QUEUE} up"
    );
    if !Command::new("sh").args(["-c", &commands]).status()?.success() {
        return Err("the interface cannot be set up".into());
    }
    let namespace = format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid());
    Ok((Place { namespace, interface }, TcpListener::bind(("127.0.0.1", port))?))
}

/// An interface `path` whose packets are read and written as a file's.
fn tun() -> Outcome<File> {
    nix::ioctl_write_int!(tun_set_interface, b'T', 202);
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"path") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // The request is only read.
    unsafe { tun_set_interface(file.as_raw_fd(), &raw const request as libc::c_ulong) }?;
    Ok(file)
}

/// One direction's packets, in order, with the time when each is due.
#[derive(Default)]
struct Lane {
    packets: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    more: Condvar,
}

fn take_in(mut from: File, lane: &Lane, delay: Duration, loss: f64, seed: u64, overflow: &AtomicU64) {
    let mut chance = Chance(seed);
    let mut buffer = [0; MTU];
    while let Ok(length) = from.read(&mut buffer) {
        if chance.next() < loss {
            continue;
        }
        let mut packets = lane.packets.lock().unwrap_or_else(PoisonError::into_inner);
        if packets.len() >= QUEUE {
            overflow.fetch_add(1, Relaxed);
            continue;
        }
        packets.push_back((Instant::now() + delay, buffer[..length].to_vec()));
        lane.more.notify_one();
    }
}

fn hand_out(mut to: File, lane: &Lane) {
    loop {
        let mut packets = lane.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let due = loop {
            match packets.front() {
                Some((due, _)) => break *due,
                None => packets = lane.more.wait(packets).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let now = Instant::now();
        if due > now {
            drop(packets);
            thread::sleep(due - now);
            continue;
        }
        if let Some((_, packet)) = packets.pop_front() {
            drop(packets);
            // An interface that is down takes none: the network may lose them.
            let _ = to.write(&packet);
        }
    }
}

/// SplitMix64: the same sequence for the same seed.
struct Chance(u64);

impl Chance {
    /// At least 0, below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Joins calls to the server, which is in this thread's namespace.
fn forward(calls: &Receiver<TcpStream>, port: u16) {
    while let Ok(call) = calls.recv() {
        thread::spawn(move || -> std::io::Result<()> {
            let server = TcpStream::connect(("127.0.0.1", port))?;
            call.set_nodelay(true)?;
            server.set_nodelay(true)?;
            for (mut from, mut to) in [(call.try_clone()?, server.try_clone()?), (server, call)] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    to.shutdown(std::net::Shutdown::Write)
                });
            }
            Ok(())
        });
    }
}
