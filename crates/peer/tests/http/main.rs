//! HTTP over a channel: what a client and a service may rely on.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod bodies;
mod endings;
mod exchanges;
mod interim;
mod service;
mod websockets;
