//! The native parts of the link bench; `bench/link.mjs` starts and reads them.
//!
//! - `bench-link target` is a plain web server: `/bytes?n=OCTETS`.
//! - `bench-link source SERVER` is a peer that sends as many octets as it is asked for over a bare data channel.
//! - `bench-link measure TARGET LINK SERVER SOURCE` measures what each line on its stdin asks for, and prints the figures as JSON.

mod measure;
mod source;
mod target;

use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["target"] => target::run().await,
        ["source", server] => source::run(server).await,
        ["measure", target, link, server, source] => measure::run(target, link, server, source).await,
        _ => Err("usage: bench-link target | source SERVER | measure TARGET LINK SERVER SOURCE".into()),
    }
}
