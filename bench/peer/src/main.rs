//! The native parts of the peer bench; `bench/peer.mjs` starts and reads them.
//!
//! - `bench-peer callee STACK MEETING` and `bench-peer caller STACK MEETING ADDRESS` are the two ends. They take orders as JSON on stdin, one a line, and
//!   answer each with a line ([`order`]). MEETING is the signalling server's URL, or a folder for the rivals' socket; ADDRESS is what the callee's first line says.
//! - `bench-peer path DELAY_MS LOSS PORT` is a network of two places with delay and loss between them ([`path`]).

mod order;
mod ours;
mod path;
#[cfg(feature = "libdatachannel")]
mod rival;

use std::error::Error;

use peerage_peer::Serialization;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["callee", "peerage" | "peerage-binary", server] => run(ours::callee(server, false)),
        ["callee", "peerage-device", server] => run(ours::callee(server, true)),
        ["caller", "peerage" | "peerage-device", server, address] => run(ours::caller(server, address, Serialization::Raw)),
        ["caller", "peerage-binary", server, address] => run(ours::caller(server, address, Serialization::Binary)),
        #[cfg(feature = "libdatachannel")]
        ["callee", "libdatachannel", folder] => rival::callee(folder),
        #[cfg(feature = "libdatachannel")]
        ["caller", "libdatachannel", _, address] => rival::caller(address),
        ["path", delay, loss, port] => path::run(delay.parse()?, loss.parse()?, port.parse()?),
        _ => Err("usage: bench-peer callee STACK MEETING | caller STACK MEETING ADDRESS | path DELAY_MS LOSS PORT".into()),
    }
}

fn run(end: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(end)
}
