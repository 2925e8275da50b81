//! `peerage receive`: files from one who sends.

mod announce;
mod folder;
mod question;
mod visit;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use peerage_peer::{Builder, Limits, Offer, Peer, Refusal, ServerState};
use peerage_proto::wire::{
    file::{LABEL, PIECE_MAX},
    id::PeerId,
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{announce::Announcer, folder::Folder, question::Questions, visit::Visit};
use crate::{
    access,
    call::{self, Meeting},
    exit::{Exit, Failure},
    keys, output,
    place::Place,
    signals,
    state::{Lock, State},
};

/// Senders at a time; further ones are told `busy`.
const SENDERS: usize = 16;
/// How long it may take to tell everybody of the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Receive files.
///
/// Prints what the other side has to type. Whoever has that link can send files here, and nobody else; it is the same
/// one every time, and opens nothing that `peerage expose` shows. Files are written into one folder, never over others,
/// and what was received before a connection broke is not sent again. Runs until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// The folder to write into
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
    /// Take files from whoever knows the id, after asking: pages with PeerJS among them. Nothing proves who they are
    #[arg(long)]
    anyone: bool,
    /// With --anyone: the id to be reached by [default: a random one]
    #[arg(long, value_name = "ID", requires = "anyone")]
    id: Option<PeerId>,
    /// With --anyone: take all files without asking; who knows the id can then fill the disk
    #[arg(long, requires = "anyone")]
    yes: bool,
    /// Take no file with more octets than this
    #[arg(long, value_name = "OCTETS")]
    max_size: Option<u64>,
    /// End once the first sender that sent a file has left
    #[arg(long)]
    once: bool,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    meeting: Meeting,
}

impl Receive {
    /// Receives until the process is told to end.
    pub(crate) async fn run(
        self,
        state: impl Fn() -> Result<State, Failure>,
        quiet: bool,
    ) -> Result<(), Failure> {
        let end = signals::end()?;
        let folder = Folder::open(&self.into)?;
        let announcer = Announcer::new(self.json, quiet);
        let questions = match self.anyone && !self.yes {
            false => None,
            true if io::stdin().is_terminal() => Some(Questions::new()),
            true => {
                return Err(Failure::new(
                    Exit::Usage,
                    "there is no terminal to ask on: say --yes to take every file, or leave --anyone out",
                ));
            }
        };
        let server = &self.meeting.server;
        let builder = self.meeting.builder(server.as_str())?.limits(Limits {
            message: PIECE_MAX + 1024,
            ..Limits::default()
        });
        let builder = builder
            .max_connections(SENDERS)
            .approve(|offer| async move { sends_files(&offer) });
        let device = match self.anyone {
            true => None,
            false => Some(Device::load(state()?)?),
        };
        let builder = match (&device, &self.id) {
            (Some(device), _) => device.equip(builder)?,
            (None, Some(id)) => builder
                .allow_unverified_label(LABEL, SENDERS)
                .id(id.clone()),
            (None, None) => builder.allow_unverified_label(LABEL, SENDERS),
        };
        let peer = builder
            .open()
            .await
            .map_err(|error| call::no_peer(error, server.as_str()))?;
        let to = match &device {
            Some(device) => device.link(&peer, &self.meeting)?,
            None => (peer.id().to_string(), true),
        };
        announcer.ready(&peer, &to, server, folder.path())?;
        let receiving = Receiving {
            peer: &peer,
            device: device.as_ref(),
            once: self.once,
            visit: visit::Terms {
                folder,
                questions: questions.map(Arc::new),
                max_size: self.max_size,
                announcer,
            },
        };
        receiving.run(end).await;
        let _ = timeout(GOODBYE, peer.destroy()).await;
        Ok(())
    }
}

/// Who receives by a link: a device of its own in the state folder.
struct Device {
    state: State,
    _lock: Lock,
}

impl Device {
    fn load(state: State) -> Result<Self, Failure> {
        let lock = state.lock("receive")?;
        Ok(Self { state, _lock: lock })
    }

    fn equip(&self, builder: Builder) -> Result<Builder, Failure> {
        let key = keys::load_or_make(&self.state, keys::RECEIVER)?;
        let remembered = access::load(&self.state, access::RECEIVES)?;
        Ok(builder.device(key, remembered))
    }

    /// What follows `--to`, and whether the server has to be named beside it: where no link can be made for its address.
    fn link(&self, peer: &Peer, meeting: &Meeting) -> Result<(String, bool), Failure> {
        let secret = access::first_link(peer.access(), &self.state, access::RECEIVES)?;
        let id = peer.id().as_str();
        let spelled = format!("{id}#1.{}", secret.expose());
        let server = &meeting.server;
        let Ok(place) = Place::of(server) else {
            return Ok((spelled, true));
        };
        let device = id
            .parse()
            .map_err(|error| Failure::new(Exit::Other, error))?;
        Ok(match server.path() {
            "/" => (place.link(device, Some(secret)).to_string(), false),
            // A link names no path of a server.
            _ => (spelled, true),
        })
    }

    fn remember(&self, peer: &Peer) {
        if let Err(failure) = access::store(peer.access(), &self.state, access::RECEIVES) {
            // Who came in stays in; after a restart they need the whole link again.
            output::warn(failure);
        }
    }
}

/// Whether somebody wants to send files, in the one way that is spoken here.
fn sends_files(offer: &Offer) -> Result<(), Refusal> {
    let binary = matches!(&*offer.serialization, "binary" | "binary-utf8");
    match offer.label == LABEL && binary && offer.ordered {
        true => Ok(()),
        false => Err(Refusal),
    }
}

/// What runs until the end.
struct Receiving<'a> {
    peer: &'a Peer,
    device: Option<&'a Device>,
    once: bool,
    visit: visit::Terms,
}

impl Receiving<'_> {
    async fn run(self, end: impl Future<Output = ()>) {
        let closing = CancellationToken::new();
        let mut visits = JoinSet::new();
        let mut changes = self.peer.access().changes();
        let mut standing = self.peer.server();
        let mut up = true;
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                Ok(()) = changes.changed() => {
                    if let Some(device) = self.device {
                        device.remember(self.peer);
                    }
                }
                Ok(()) = standing.changed() => {
                    let now = standing.borrow_and_update().clone();
                    if std::mem::replace(&mut up, now == ServerState::Open) != up {
                        self.visit.announcer.server(&now);
                    }
                }
                connection = self.peer.incoming() => match connection {
                    Some(connection) => {
                        let visit = Visit::new(connection, self.visit.clone());
                        visits.spawn(visit.serve(closing.clone()));
                    }
                    None => break,
                },
                Some(visit) = visits.join_next() => {
                    if self.once && visit.is_ok_and(|files| files > 0) {
                        break;
                    }
                }
            }
        }
        closing.cancel();
        let last = async { while visits.join_next().await.is_some() {} };
        let _ = timeout(GOODBYE, last).await;
    }
}
