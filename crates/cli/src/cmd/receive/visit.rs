//! One sender's connection, from its beginning to its end.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use peerage_peer::{Connection, Value};
use peerage_proto::{
    file::{Beginning, Config, Decision, Offer, Receiver, Wish},
    wire::file::Reason,
};
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    announce::{Announcer, Arrived, who},
    folder::{Folder, Unfinished, Writer, is_plain},
    question::Questions,
};
use crate::output::{self, harmless};

/// Written to the disk at once.
const BUFFER: usize = 256 * 1024;
/// How long last words may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What holds for all who come.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) folder: Folder,
    /// Where somebody is asked before a file is taken.
    pub(super) questions: Option<Arc<Questions>>,
    pub(super) max_size: Option<u64>,
    pub(super) announcer: Announcer,
}

pub(super) struct Visit {
    connection: Connection,
    terms: Terms,
    writer: Writer,
    machine: Receiver,
    current: Option<Current>,
    deciding: Option<Deciding>,
    /// Files that arrived.
    arrived: u64,
}

/// The file under way.
struct Current {
    offer: Offer,
    begun: Instant,
    /// What might be its beginning.
    there: Vec<Unfinished>,
    writing: Option<Writing>,
}

struct Writing {
    unfinished: Unfinished,
    file: BufWriter<tokio::fs::File>,
    from: u64,
    at: u64,
    bar: ProgressBar,
}

type Found = Vec<(Unfinished, Beginning)>;
type Deciding = Pin<Box<dyn Future<Output = Result<Found, Reason>> + Send>>;

impl Visit {
    pub(super) fn new(connection: Connection, terms: Terms) -> Self {
        let who = match connection.key() {
            Some(key) => key.device_id().to_string(),
            None => format!("unproven {}", connection.peer()),
        };
        Self {
            connection,
            terms,
            writer: Writer {
                who,
                release: CancellationToken::new(),
            },
            machine: Receiver::new(Config::default(), Instant::now()),
            current: None,
            deciding: None,
            arrived: 0,
        }
    }

    /// Takes the sender's files until it goes, or `closing` says that all must. Returns how many arrived.
    pub(super) async fn serve(mut self, closing: CancellationToken) -> u64 {
        self.terms.announcer.came(&self.connection);
        let release = self.writer.release.clone();
        let why = loop {
            if self.perform().await.is_none() {
                break "the connection was closed";
            }
            let late = self.machine.poll_timeout();
            tokio::select! {
                biased;
                () = closing.cancelled() => break "ended here",
                () = release.cancelled() => break "its sender came back on another connection",
                received = self.connection.recv() => match received {
                    Some(Ok(value)) => self.machine.handle_value(value, Instant::now()),
                    // What cannot be read makes no sense here either.
                    Some(Err(_)) => self.machine.handle_value(Value::Null, Instant::now()),
                    None => break "the connection broke",
                },
                decided = decided(&mut self.deciding) => self.decided(decided),
                () = async {
                    match late {
                        Some(at) => sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                } => self.machine.handle_timeout(Instant::now()),
            }
        };
        self.give_up(why, false).await;
        self.connection.close();
        let _ = timeout(GOODBYE, self.connection.closed()).await;
        self.terms.announcer.left(&self.connection);
        self.arrived
    }

    /// Does what the machine asks for; `None` where the connection is to be closed.
    async fn perform(&mut self) -> Option<()> {
        while let Some(wish) = self.machine.poll_output() {
            match wish {
                Wish::Say(value) => self.connection.send(value).await.ok()?,
                Wish::Decide(offer) => self.decide(offer),
                Wish::Begin { behind } => {
                    if let Err(error) = self.begin(behind) {
                        self.cannot_write(&error);
                    }
                }
                Wish::Write(octets) => {
                    let Some(writing) = self.writing() else {
                        continue;
                    };
                    let written = writing.file.write_all(&octets).await;
                    writing.at += octets.len() as u64;
                    writing.bar.set_position(writing.at);
                    if let Err(error) = written {
                        self.cannot_write(&error);
                    }
                }
                Wish::Keep(digest) => match self.keep(digest).await {
                    Ok(name) => self.machine.handle_kept(&name, Instant::now()),
                    Err(error) => self.cannot_write(&error),
                },
                Wish::GiveUp(reason) => {
                    self.give_up(&reason.to_string(), reason == Reason::Digest)
                        .await;
                }
                Wish::Close => return None,
            }
        }
        Some(())
    }

    fn decide(&mut self, offer: Offer) {
        let Terms {
            folder,
            questions,
            max_size,
            ..
        } = self.terms.clone();
        let writer = self.writer.clone();
        let who = who(&self.connection);
        let asked = offer.clone();
        self.current = Some(Current {
            offer,
            begun: Instant::now(),
            there: Vec::new(),
            writing: None,
        });
        self.deciding = Some(Box::pin(async move {
            let Offer { name, size } = asked;
            if !is_plain(&name) {
                return Err(Reason::Name);
            }
            if max_size.is_some_and(|most| size > most) {
                return Err(Reason::Declined);
            }
            if let Some(questions) = questions {
                let size = output::octets(size);
                let question = format!(
                    "{who} offers {} ({size}). Take it?",
                    harmless(name.as_str())
                );
                if !questions.ask(&question).await {
                    return Err(Reason::Declined);
                }
            }
            folder
                .unfinished(&name, size, &writer)
                .await
                .map_err(|error| {
                    output::warn(format_args!("{}: {error}", folder.path().display()));
                    Reason::Storage
                })
        }));
    }

    fn decided(&mut self, decided: Result<Found, Reason>) {
        self.deciding = None;
        let Some(current) = &mut self.current else {
            return;
        };
        let decision = match decided {
            Ok(found) => {
                let (there, beginnings) = found.into_iter().unzip();
                current.there = there;
                Decision::Take(beginnings)
            }
            Err(reason) => {
                let name = current.offer.name.as_str();
                self.terms.announcer.refused(&self.connection, name, reason);
                self.current = None;
                Decision::Refuse(reason)
            }
        };
        self.machine.handle_decision(decision, Instant::now());
    }

    fn begin(&mut self, behind: Option<usize>) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let mut there = std::mem::take(&mut current.there);
        let unfinished = match behind {
            Some(index) if index < there.len() => there.swap_remove(index),
            _ => self
                .terms
                .folder
                .create(&current.offer.name, &self.writer)?,
        };
        let from = unfinished.file.metadata()?.len();
        let file = tokio::fs::File::from_std(unfinished.file.try_clone()?);
        let bar = bar(&current.offer, self.terms.announcer.quiet);
        bar.set_position(from);
        current.writing = Some(Writing {
            unfinished,
            file: BufWriter::with_capacity(BUFFER, file),
            from,
            at: from,
            bar,
        });
        Ok(())
    }

    async fn keep(&mut self, digest: peerage_proto::wire::file::Digest) -> io::Result<String> {
        let Some(writing) = self.writing() else {
            return Err(io::Error::other("nothing is being written"));
        };
        writing.file.flush().await?;
        let Some(Current {
            offer,
            begun,
            writing: Some(writing),
            ..
        }) = self.current.take()
        else {
            return Err(io::Error::other("nothing is being written"));
        };
        writing.bar.finish_and_clear();
        let (folder, name) = (self.terms.folder.clone(), offer.name.clone());
        let unfinished = writing.unfinished;
        let kept = tokio::task::spawn_blocking(move || folder.keep(&unfinished, &name));
        let path = kept.await.map_err(io::Error::other)??;
        self.arrived += 1;
        self.terms.announcer.arrived(
            &self.connection,
            &Arrived {
                path: &path,
                size: offer.size,
                came: writing.at - writing.from,
                digest,
                took: begun.elapsed(),
            },
        );
        let name = path.file_name().unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }

    /// What came of a file that is not complete stays, unless it is `wrong`, or nothing.
    async fn give_up(&mut self, why: &str, wrong: bool) {
        self.deciding = None;
        let Some(current) = self.current.take() else {
            return;
        };
        let mut kept = 0;
        if let Some(mut writing) = current.writing {
            writing.bar.finish_and_clear();
            let _ = writing.file.flush().await;
            kept = match wrong {
                true => 0,
                false => writing.unfinished.file.metadata().map_or(0, |it| it.len()),
            };
            if kept == 0 {
                let _ = std::fs::remove_file(&writing.unfinished.path);
            }
        }
        let name = current.offer.name.as_str();
        self.terms
            .announcer
            .given_up(&self.connection, name, why, kept);
    }

    fn cannot_write(&mut self, error: &io::Error) {
        output::warn(format_args!(
            "{}: {error}",
            self.terms.folder.path().display()
        ));
        self.machine.handle_failure(Reason::Storage, Instant::now());
    }

    fn writing(&mut self) -> Option<&mut Writing> {
        self.current.as_mut()?.writing.as_mut()
    }
}

async fn decided(deciding: &mut Option<Deciding>) -> Result<Found, Reason> {
    match deciding {
        Some(deciding) => deciding.await,
        None => std::future::pending().await,
    }
}

fn bar(offer: &Offer, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(offer.size);
    let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(offer.name.to_string());
    bar
}
