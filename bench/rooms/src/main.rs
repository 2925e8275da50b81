//! The native parts of the bench of rooms; `bench/rooms.mjs` starts and reads them.
//!
//! - `bench-rooms hub` is the library's hub with its routes, its limits raised ([`hub`]).
//! - `bench-rooms bare` hands every message to all others of its room, on the same engine, and does nothing else ([`bare`]).
//! - `bench-rooms members SERVER PID KIND` are members of any server of rooms. They take orders as JSON on stdin, one a line, and answer each with a line ([`members`]).
//!
//! A server prints `listening on PORT`.

mod bare;
mod http;
mod hub;
mod members;
// What a server's process costs is measured as for signalling.
#[path = "../../signal/src/server.rs"]
mod server;

use std::error::Error;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hub"] => run(hub::serve()),
        ["bare"] => run(bare::serve()),
        ["members", server, pid, kind] => {
            run(members::run(server.parse()?, pid.parse()?, kind.parse()?))
        }
        _ => Err("usage: bench-rooms hub | bare | members SERVER PID old|native".into()),
    }
}

fn run(work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Serves these routes on a free port of loopback.
async fn listen(routes: axum::Router) -> Outcome<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?.port());
    let routes = routes.into_make_service_with_connect_info::<std::net::SocketAddr>();
    Ok(axum::serve(listener, routes).await?)
}
