//! The parts of the signalling bench; `bench/signal.mjs` starts and reads them.
//!
//! - `bench-signal relay PORT [READ_BUFFER]` is a bare WebSocket relay: the limit of what is to be had with these libraries.
//! - `bench-signal saturate JSON`, `latency JSON` and `idle JSON` load a running server, and print the figures as JSON.
//! - `bench-signal start PORT COMMAND...` starts a server, and says how long it took to open its first socket, and what it holds then.

mod clients;
mod frames;
mod idle;
mod latency;
mod relay;
mod saturate;
mod server;
mod socket;
mod start;

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["relay", port] => relay::run(port.parse()?, WebSocketConfig::default()),
        ["relay", port, buffer] => relay::run(port.parse()?, WebSocketConfig::default().read_buffer_size(buffer.parse()?)),
        ["saturate", load] => report(saturate::run, load),
        ["latency", load] => report(latency::run, load),
        ["idle", load] => report(idle::run, load),
        ["start", port, ref command @ ..] => print(&start::run(port.parse()?, command)?),
        _ => Err("usage: bench-signal relay PORT [READ_BUFFER] | saturate JSON | latency JSON | idle JSON | start PORT COMMAND...".into()),
    }
}

fn report<L: DeserializeOwned, F: Serialize>(run: fn(L) -> Outcome<F>, load: &str) -> Outcome<()> {
    print(&run(serde_json::from_str(load)?)?)
}

fn print(figures: &impl Serialize) -> Outcome<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}
