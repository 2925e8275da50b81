//! From the start of a server to the first socket that it has opened, and what it then holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Outcome;
use crate::server::{cpu, resident};
use crate::socket::Socket;

#[derive(Serialize)]
pub struct Figures {
    ms: f64,
    cpu_ms: f64,
    resident: u64,
}

const PATIENCE: Duration = Duration::from_secs(10);

/// What it holds is looked at after so long a rest.
const REST: Duration = Duration::from_secs(1);

pub fn run(port: u16, command: &[&str]) -> Outcome<Figures> {
    let (program, args) = command.split_first().ok_or("no command")?;
    let begun = Instant::now();
    let child = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .spawn()?;
    let mut server = Running(child);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = loop {
        match Socket::open(address, 0) {
            Ok(socket) => break socket,
            Err(error) if begun.elapsed() > PATIENCE || server.0.try_wait()?.is_some() => {
                return Err(error);
            }
            Err(_) => sleep(Duration::from_micros(200)),
        }
    };
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let pid = i32::try_from(server.0.id())?;
    let cpu_ms = cpu(pid)?.as_secs_f64() * 1e3;
    drop(socket);
    sleep(REST);
    Ok(Figures {
        ms,
        cpu_ms,
        resident: resident(pid)?,
    })
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
