//! The `peerage` command.

mod access;
mod args;
mod call;
mod cmd;
mod cookies;
mod exit;
mod keys;
mod lines;
mod log;
mod output;
mod peerjs_files;
mod place;
mod secrets;
mod signals;
mod state;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Cli, Command},
    exit::Failure,
    state::State,
};

/// Gives back to the system what a flood of messages took: the C library's allocator keeps it, some 50 MB after one of 64 MiB.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.code()
        }
    }
}

fn run(mut cli: Cli) -> Result<(), Failure> {
    let log_level = match &mut cli.command {
        Some(Command::Expose(expose)) => expose.settle()?,
        _ => None,
    };
    log::start(&cli.global, log_level);
    let Some(command) = cli.command else {
        return cmd::first_steps();
    };
    let state = || State::at(cli.global.state.clone());
    let runtime = tokio::runtime::Runtime::new()?;
    let result = match command {
        Command::Expose(expose) => runtime.block_on(expose.run(state()?)),
        Command::Serve(serve) => runtime.block_on(serve.run(cli.global.state.clone())),
        Command::Ports(ports) => ports.run(),
        Command::Doctor(doctor) => {
            runtime.block_on(doctor.run(cli.global.state.clone(), cli.global.quiet))
        }
        Command::Fetch(fetch) => runtime.block_on(fetch.run(state()?, cli.global.quiet)),
        Command::Send(send) => runtime.block_on(send.run(state()?, cli.global.quiet)),
        Command::Receive(receive) => runtime.block_on(receive.run(state, cli.global.quiet)),
        Command::Chat(chat) => runtime.block_on(chat.run(cli.global.quiet)),
    };
    // Blocking work (a slow disk, a name look-up) must not hold up the end.
    runtime.shutdown_background();
    result
}
