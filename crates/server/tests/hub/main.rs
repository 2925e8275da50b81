//! Rooms with real members: data channels over loopback, signalling as clients do it.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "by a panic a test fails")]

#[path = "../common/mod.rs"]
mod common;

mod attackers;
mod library;
mod life;
mod members;
mod signalling;
mod webhook;
