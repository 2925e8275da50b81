//! `peerage fetch`: curl over a link.

mod answer;
mod ask;

use std::path::PathBuf;

use clap::Args;
use peerage_peer::http::{Client, ResetCode};
use peerage_proto::wire::link_url::Link;

use crate::{
    call::{self, Paths, ServerTrust},
    exit::{Exit, Failure},
    state::State,
};

/// Get something through a link, as curl does from an address.
///
/// The first visit needs the whole link. This machine then has a key that the device remembers, and later visits
/// work with the link's address alone, also after the secret was taken out of it.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// What `peerage expose` printed
    // Parsed later: clap would repeat a wrong one in its complaint, with the secret.
    link: String,
    /// What to get; without it, what the link names
    path: Option<String>,
    /// Method [default: GET, with --data POST]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// Add a header field, such as 'accept: text/html'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = ask::parse_field)]
    fields: Vec<ask::Field>,
    /// Send this text; @FILE sends a file, @- what comes on stdin
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// Ask for the head alone: the same as -X HEAD -i
    #[arg(short = 'I', long, conflicts_with_all = ["method", "data"])]
    head: bool,
    /// Write the body to a file instead of stdout; an error's body goes to stderr
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print status and header fields before the body
    #[arg(short, long)]
    include: bool,
    #[command(flatten)]
    trust: ServerTrust,
    #[command(flatten)]
    paths: Paths,
}

impl Fetch {
    /// Asks, and passes the answer on while it comes.
    pub(crate) async fn run(self, state: State, quiet: bool) -> Result<(), Failure> {
        let link = Link::parse(&self.link).map_err(|error| Failure::new(Exit::Usage, error))?;
        let request = self.request(&link).await?;
        let (peer, channel) = call::device(&link, &state, &self.trust, &self.paths).await?;
        let client = Client::new(channel);
        let done = match client.request(request).await {
            Ok(response) => self.pass_on(response, quiet).await,
            Err(error) => Err(broke_off(error)),
        };
        drop(client);
        peer.destroy().await;
        done
    }
}

/// What an exchange that failed means for the person.
fn broke_off(error: peerage_peer::http::Error) -> Failure {
    let exit = match error.code() {
        ResetCode::Refused => Exit::Refused,
        ResetCode::Unreachable | ResetCode::Timeout => Exit::TargetDown,
        ResetCode::Malformed => Exit::Usage,
        _ => Exit::Broken,
    };
    let advice = match error.code() {
        ResetCode::Gone => "; the connection is gone: try again",
        ResetCode::Busy => "; the device is busy or about to end: try again later",
        _ => "",
    };
    Failure::new(exit, format_args!("{}{advice}", error.detail()))
}
