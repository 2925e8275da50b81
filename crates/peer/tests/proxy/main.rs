//! What a device exposes, and nothing else: the attacks, and the ordinary life of a proxy.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod attacks;
mod cookies;
mod folder;
mod https;
mod legacy;
mod over_a_link;
mod own_paths;
mod target;
mod trouble;
mod web_app;
mod websockets;
