//! The parts of the TURN bench; `bench/turn.mjs` starts and reads them.
//!
//! - `bench-turn relay ADDRESS:PORT one|mmsg|gso` is a bare relay: the limit of what is to be had with sockets.
//! - `bench-turn relay-load JSON`, `allocate JSON`, `idle JSON` and `tcp JSON` load a running server, and print the figures as JSON.

mod allocate;
mod client;
mod load;
mod net;
mod relay;
// What a server's process costs is measured as for signalling.
#[path = "../../signal/src/server.rs"]
mod server;
mod tcp;
mod volley;

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["relay", address, way] => relay::run(address.parse()?, way.parse()?),
        ["relay-load", load] => report(load::run, load),
        ["allocate", load] => report(allocate::run, load),
        ["idle", load] => report(allocate::idle, load),
        ["tcp", load] => report(tcp::run, load),
        _ => Err("usage: bench-turn relay ADDRESS:PORT one|mmsg|gso | relay-load JSON | allocate JSON | idle JSON | tcp JSON".into()),
    }
}

fn report<L: DeserializeOwned, F: Serialize>(run: fn(L) -> Outcome<F>, load: &str) -> Outcome<()> {
    println!(
        "{}",
        serde_json::to_string(&run(serde_json::from_str(load)?)?)?
    );
    Ok(())
}
