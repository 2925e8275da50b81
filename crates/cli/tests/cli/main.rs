//! The command as its users run it: the real binary, real sockets, a browser aside.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod chat_room;
mod cookies;
mod doctor;
mod expose;
mod fetch;
mod legacy;
mod relay;
mod run;
mod serve;
mod turn;
mod websocket;
