//! What was recorded from the servers that this one replaces, replayed over sockets, and held against `docs/compat.md`: the one place that may say that
//! something differs. An entry without a row, a row without an entry and a difference that is none all fail here, with a sentence.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod http;
mod peerjs_server;
mod pnp_discovery;
mod replay;
#[cfg(feature = "hub")]
mod rooms;
mod table;
mod tests;
mod username_signaling;

/// What messages call the document.
const PAGE: &str = "docs/compat.md";
