//! What all commands share on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{cmd, exit};

/// Connect web apps and devices directly, with one command.
#[derive(Debug, Parser)]
#[command(name = "peerage", version, propagate_version = true, after_help = exit::TABLE)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Folder with keys, links and grants. Losing it is losing the device's identity
    /// [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "PEERAGE_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Say more on stderr: -v what happens, -vv how, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say nothing but errors on stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Expose(cmd::expose::Expose),
    Serve(cmd::serve::Serve),
    Fetch(cmd::fetch::Fetch),
    Send(cmd::send::Send),
    Receive(cmd::receive::Receive),
    Chat(cmd::chat::Chat),
    Doctor(cmd::doctor::Doctor),
    Ports(cmd::ports::Ports),
}
