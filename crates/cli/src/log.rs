//! Logs, on stderr alone: stdout belongs to what a command was asked for.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::args::Global;

/// Whose words `-v` and `-vv` ask for; the libraries beneath speak up at `-vvv`.
const OURS: [&str; 4] = ["peerage", "peerage_peer", "peerage_proto", "peerage_server"];

/// Starts logging. `PEERAGE_LOG` (`peerage_peer=debug,…`) goes before `-v` and `-q`, and these before `default`.
pub(crate) fn start(global: &Global, default: Option<LevelFilter>) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => default.unwrap_or(LevelFilter::WARN),
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let chosen = std::env::var("PEERAGE_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let libraries = if global.verbose > 2 {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    // These show what WebSockets carry, and ICE's passwords.
    let usual = || {
        let ours = OURS.map(|name| format!("{name}={level},")).concat();
        format!("{ours}{libraries},tungstenite=warn,tokio_tungstenite=warn,is=warn")
    };
    let filter = EnvFilter::builder().parse_lossy(chosen.unwrap_or_else(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
