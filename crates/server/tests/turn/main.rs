//! STUN and TURN over real sockets: what the shell around the machine promises.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod counts;
mod datagrams;
mod life;
mod streams;
