//! What a device exposes, and nothing else: the attacks, and the ordinary life of a proxy.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod attacks;
mod folder;
mod https;
mod over_a_link;
mod target;
mod trouble;
mod web_app;
mod websockets;
