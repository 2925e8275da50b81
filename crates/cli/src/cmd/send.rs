//! `peerage send`: files to one who receives.

mod source;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use peerage_peer::{CloseReason, ConnectOptions, Connection, Limits, Peer, Serialization, Value};
use peerage_proto::{
    file::{Config, Sender, Task},
    wire::{
        file::{Digest, LABEL, PIECE_MAX, Reason},
        id::{PeerId, Secret, is_key_shaped},
        link_url::Link,
    },
};
use serde_json::json;
use tokio::time::{sleep, sleep_until, timeout};

use self::source::Source;
use crate::{
    call::{self, Callee, Meeting},
    exit::{Exit, Failure},
    keys, output, signals,
    state::State,
};

/// Octets of a file in one message: the most that travels in one piece, with room for its head.
const PIECE: usize = 16_000;
/// Between two attempts to connect again.
const PAUSE: Duration = Duration::from_secs(2);
/// How long last words may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// Send files to one who runs `peerage receive`.
///
/// What was sent before a connection broke is not sent again, neither by the same command, which calls again for a
/// while, nor by the same command started anew. Ends with 0 when every file is at the receiver, with the same SHA-256.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// What to send
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// To whom: the link that `peerage receive` printed, or an id at the server
    // Parsed later: clap would repeat a wrong one in its complaint, with the secret.
    #[arg(long, value_name = "LINK|ID")]
    to: String,
    /// What the file is to be called there
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Seconds to go on calling for after a connection broke
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    retry: u64,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    meeting: Meeting,
}

/// Who is to get the files.
struct Receiver {
    id: PeerId,
    secret: Option<Secret>,
    server: String,
}

/// How the transfer of one file came to its end.
enum Outcome {
    Delivered {
        digest: Digest,
        name: String,
    },
    GivenUp(Reason),
    /// The connection is no more.
    Lost,
}

/// What `send` tells.
struct Teller {
    json: bool,
    quiet: bool,
}

impl Send {
    /// Sends until all is there.
    pub(crate) async fn run(self, state: State, quiet: bool) -> Result<(), Failure> {
        let end = signals::end()?;
        let receiver = self.receiver()?;
        let mut sources = Vec::new();
        if self.name.is_some() && self.files.len() > 1 {
            return Err(Failure::new(
                Exit::Usage,
                "--as names one file, not several",
            ));
        }
        for path in &self.files {
            sources.push(Source::open(path, self.name.as_deref())?);
        }
        let key = keys::load_or_make(&state, keys::CALLER)?;
        let builder = self.meeting.builder(&receiver.server)?.identity(key);
        let peer = builder.limits(Limits {
            message: PIECE_MAX,
            ..Limits::default()
        });
        let peer = peer
            .open()
            .await
            .map_err(|error| call::no_peer(error, &receiver.server))?;
        let teller = Teller {
            json: self.json,
            quiet,
        };
        let done = tokio::select! {
            done = self.deliver(&peer, &receiver, sources, &teller) => done,
            () = end => Err(Failure::new(
                Exit::Broken,
                "ended before everything was sent; the same command goes on from there",
            )),
        };
        peer.destroy().await;
        done
    }

    fn receiver(&self) -> Result<Receiver, Failure> {
        let usage = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format_args!("--to: {error}"))
        };
        if self.to.contains("://") {
            let link = Link::parse(&self.to).map_err(|error| usage(&error))?;
            return Ok(Receiver {
                id: link.device.as_peer_id().clone(),
                server: link.server_url(),
                secret: link.secret,
            });
        }
        let (id, secret) = match self.to.split_once("#1.") {
            Some((id, secret)) if is_key_shaped(id) => (
                id,
                Some(Secret::parse(secret).map_err(|error| usage(&error))?),
            ),
            Some(_) => return Err(usage(&"only a device's id is followed by a secret")),
            None => (&*self.to, None),
        };
        Ok(Receiver {
            id: PeerId::parse(id).map_err(|error| usage(&error))?,
            secret,
            server: self.meeting.server.to_string(),
        })
    }

    async fn deliver(
        &self,
        peer: &Peer,
        receiver: &Receiver,
        sources: Vec<Source>,
        teller: &Teller,
    ) -> Result<(), Failure> {
        let mut link = receiver.connect(peer).await?;
        teller.connected(&link.0);
        let mut failed = None;
        for mut source in sources {
            let (bar, begun) = (teller.bar(&source), Instant::now());
            let mut progress = Instant::now();
            let outcome = loop {
                let (connection, machine) = &mut link;
                let before = source.sent;
                let outcome = transfer(connection, machine, &mut source, &bar).await;
                if !matches!(outcome, Outcome::Lost) {
                    break outcome;
                }
                if source.sent > before {
                    progress = Instant::now();
                }
                connection.close();
                let reason = timeout(GOODBYE, connection.closed()).await;
                teller.broken(&bar, reason.unwrap_or(CloseReason::Local));
                let until = progress + Duration::from_secs(self.retry);
                link = receiver.connect_again(peer, until).await?;
            };
            bar.finish_and_clear();
            match outcome {
                Outcome::Delivered { digest, name } => {
                    teller.delivered(&source, digest, &name, begun.elapsed())?;
                }
                Outcome::GivenUp(reason) => {
                    let failure = given_up(&source, reason);
                    output::complain(&failure);
                    failed.get_or_insert(failure.exit);
                }
                Outcome::Lost => {}
            }
        }
        link.0.close();
        let _ = timeout(GOODBYE, link.0.closed()).await;
        match failed {
            None => Ok(()),
            Some(exit) => Err(Failure::new(exit, "not everything was sent")),
        }
    }
}

impl Receiver {
    async fn connect(&self, peer: &Peer) -> Result<(Connection, Sender), Failure> {
        let connection = self.call(peer).await.map_err(|error| {
            let callee = Callee {
                name: "the receiver",
                command: "peerage receive",
                denied: match (&self.secret, is_key_shaped(self.id.as_str())) {
                    (Some(_), _) => call::denied(true),
                    (None, true) => call::denied(false),
                    (None, false) => {
                        "this peer takes no files: is `peerage receive --anyone` running there?"
                    }
                },
            };
            callee.no_call(error, &self.server)
        })?;
        Ok((connection, Sender::new(Config::default())))
    }

    /// Calls until somebody answers, or it is too late.
    async fn connect_again(
        &self,
        peer: &Peer,
        until: Instant,
    ) -> Result<(Connection, Sender), Failure> {
        loop {
            sleep(PAUSE).await;
            if Instant::now() >= until {
                return Err(Failure::new(
                    Exit::Broken,
                    "the connection broke, and nobody answers any more; the same command goes on from there",
                ));
            }
            match self.connect(peer).await {
                Ok(connected) => return Ok(connected),
                Err(failure) => tracing::info!(%failure, "calling again"),
            }
        }
    }

    async fn call(&self, peer: &Peer) -> Result<Connection, peerage_peer::ConnectError> {
        let device = peerage_proto::wire::id::DeviceId::parse(self.id.as_str()).ok();
        let proof = self.secret.as_ref().zip(device.as_ref());
        let options = ConnectOptions {
            label: Some(LABEL.to_owned()),
            serialization: Serialization::Binary,
            proof: proof.map(|(secret, device)| secret.proof(device)),
            // A new connection is a new beginning: see `deliver`.
            renew: None,
            ..ConnectOptions::default()
        };
        peer.connect(&self.id, options).await
    }
}

/// One file over one connection.
async fn transfer(
    connection: &Connection,
    machine: &mut Sender,
    source: &mut Source,
    bar: &ProgressBar,
) -> Outcome {
    machine.handle_file(&source.name, source.size, Instant::now());
    loop {
        while let Some(task) = machine.poll_output() {
            match task {
                Task::Say(value) => {
                    if connection.send(value).await.is_err() {
                        return Outcome::Lost;
                    }
                }
                Task::Hash(lengths) => match source.beginnings(lengths).await {
                    Ok(beginnings) => machine.handle_hashed(beginnings, Instant::now()),
                    Err(error) => source.cannot_read(&error, machine),
                },
                Task::Read { from } => {
                    bar.set_position(from);
                    if let Err(error) = source.seek(from).await {
                        source.cannot_read(&error, machine);
                    }
                }
                Task::Delivered { digest, name } => return Outcome::Delivered { digest, name },
                Task::GiveUp(reason) => return Outcome::GivenUp(reason),
                Task::Close => return Outcome::Lost,
            }
        }
        let wanted = machine.wants_octets();
        if wanted > 0 {
            // Between two pieces: the receiver may have had enough.
            if let Some(received) = connection.recv().now_or_never() {
                if heard(machine, received).is_none() {
                    return Outcome::Lost;
                }
                continue;
            }
            match source.read(wanted.min(PIECE as u64) as usize).await {
                Ok(octets) => {
                    bar.inc(octets.len() as u64);
                    machine.handle_read(octets, Instant::now());
                }
                Err(error) => source.cannot_read(&error, machine),
            }
            continue;
        }
        let late = machine.poll_timeout();
        tokio::select! {
            received = connection.recv() => {
                if heard(machine, received).is_none() {
                    return Outcome::Lost;
                }
            }
            () = async {
                match late {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            } => machine.handle_timeout(Instant::now()),
        }
    }
}

/// Passes on what came; `None` where nothing can come any more.
fn heard(
    machine: &mut Sender,
    received: Option<Result<Value, peerage_peer::RecvError>>,
) -> Option<()> {
    match received? {
        Ok(value) => machine.handle_value(value, Instant::now()),
        // What cannot be read makes no sense here either.
        Err(_) => machine.handle_value(Value::Null, Instant::now()),
    }
    Some(())
}

/// What the end of a transfer means for the person.
fn given_up(source: &Source, reason: Reason) -> Failure {
    let (exit, advice) = match reason {
        Reason::Declined => (Exit::Refused, ""),
        Reason::Name => (Exit::Refused, "; give it another one with --as NAME"),
        Reason::Busy => (Exit::Refused, "; try again later"),
        Reason::Version => (Exit::Refused, ""),
        Reason::Size | Reason::Source => (
            Exit::Other,
            "; it changed, or cannot be read any more: send it again when nothing writes to it",
        ),
        Reason::Storage => (Exit::Broken, "; is there room on the disk there?"),
        Reason::Digest => (Exit::Broken, "; nothing is kept of it there: send it again"),
        Reason::Timeout => (Exit::Broken, "; the same command goes on from there"),
        Reason::Protocol => (Exit::Broken, "; update peerage on both sides"),
    };
    let path = source.path.display();
    Failure::new(exit, format_args!("{path}: {reason}{advice}"))
}

impl Teller {
    fn connected(&self, connection: &Connection) {
        output::tell_route(connection);
        let who = output::harmless(connection.peer().as_str());
        let route = output::route(connection.route());
        let proven = match connection.is_verified() {
            true => "",
            false => "; that it is the right one is the server's word alone",
        };
        output::notice(
            self.quiet,
            format_args!("connected to {who}, {route}{proven}"),
        );
    }

    fn bar(&self, source: &Source) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(source.size);
        let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(source.name.to_string());
        bar
    }

    fn broken(&self, bar: &ProgressBar, reason: CloseReason) {
        let reason = output::harmless(&reason.to_string());
        bar.suspend(|| output::notice(self.quiet, format_args!("{reason}; calling again")));
    }

    fn delivered(
        &self,
        source: &Source,
        digest: Digest,
        name: &str,
        took: Duration,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return output::json(
                &mut out,
                &json!({
                    "event": "sent",
                    "file": source.path.display().to_string(),
                    "name": name,
                    "size": source.size,
                    "sent": source.sent,
                    "sha256": digest.to_string(),
                    "seconds": took.as_secs_f64(),
                }),
            );
        }
        let path = source.path.display();
        let renamed = match name == source.name.as_str() {
            true => String::new(),
            false => format!("  as {}", output::harmless(name)),
        };
        writeln!(
            out,
            "{digest}  {path}  {}{renamed}",
            output::octets(source.size)
        )?;
        out.flush()
    }
}
