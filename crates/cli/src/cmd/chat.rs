//! `peerage chat`: lines to a peer, and lines from it.

mod room;
mod screen;

use std::time::Duration;

use clap::Args;
use peerage_peer::{
    CloseReason, ConnectOptions, Connection, ConnectionState, Limits, Peer, Refusal, Serialization,
};
use peerage_proto::wire::{file, id::PeerId};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use self::screen::Screen;
use crate::{
    call::{self, Callee, Meeting},
    exit::{Exit, Failure},
    lines, signals,
};

/// How long last words may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// Octets of one message that is shown.
const MESSAGE_MAX: usize = 1024 * 1024;

/// Talk to a page or a terminal, line by line.
///
/// With an ID that peer is called: a page with PeerJS, or another `peerage chat`. Without one, this side waits, and
/// prints the id that others call; it talks to one at a time. With --room it talks to everybody in a room of a
/// `peerage serve`, pages among them. Ctrl-D, the end of a pipe, or Ctrl-C ends it. Nothing proves who the others are:
/// that is the server's word.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Whom to call; without it, wait to be called
    #[arg(value_name = "ID")]
    peer: Option<PeerId>,
    /// The id to wait under [default: a random one]
    #[arg(long, value_name = "ID", conflicts_with = "peer")]
    id: Option<PeerId>,
    /// Talk to everybody in this room of the server
    #[arg(long, value_name = "NAME", conflicts_with_all = ["peer", "id"])]
    room: Option<String>,
    /// How the one who is called may call you; who waits says nothing of itself but its id. In a room: the name that
    /// others see, and nobody else may have [default: a random one]
    #[arg(long, value_name = "NAME", env = "PEERAGE_NAME")]
    name: Option<String>,
    /// How lines travel, to a page that calls it so; who waits goes by what the caller says
    #[arg(
        long,
        default_value = "binary",
        value_parser = ["binary", "json", "raw", "MsgPack"],
        requires = "peer"
    )]
    serialization: String,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    meeting: Meeting,
}

/// How a talk came to its end.
enum End {
    /// The connection is over.
    Closed(CloseReason),
    /// There is nothing more to say.
    NothingToSay,
    /// The process is told to end.
    Told,
}

impl Chat {
    /// Talks until one side has enough.
    pub(crate) async fn run(self, quiet: bool) -> Result<(), Failure> {
        let mut told = Box::pin(signals::end()?);
        if let Some(room) = &self.room {
            let talk = room::Talk {
                meeting: &self.meeting,
                room,
                name: self.name.as_deref(),
                json: self.json,
                quiet,
            };
            return talk.run(&mut lines::of_stdin(), &mut told).await;
        }
        let server = self.meeting.server.as_str();
        let screen = Screen::new(self.json, quiet);
        let mut builder = self.meeting.builder(server)?.limits(Limits {
            message: MESSAGE_MAX,
            ..Limits::default()
        });
        if self.peer.is_none() {
            builder =
                builder
                    .allow_unverified(true)
                    .max_connections(1)
                    .approve(|offer| async move {
                        match &*offer.label {
                            file::LABEL => Err(Refusal),
                            _ => Ok(()),
                        }
                    });
        }
        if let Some(id) = &self.id {
            builder = builder.id(id.clone());
        }
        let peer = builder
            .open()
            .await
            .map_err(|error| call::no_peer(error, server))?;
        let mut words = lines::of_stdin();
        let done = match &self.peer {
            Some(to) => self.call(&peer, to, &mut words, &screen, &mut told).await,
            None => wait(&peer, server, &mut words, &screen, &mut told).await,
        };
        peer.destroy().await;
        done
    }

    async fn call(
        &self,
        peer: &Peer,
        to: &PeerId,
        words: &mut mpsc::Receiver<String>,
        screen: &Screen,
        told: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), Failure> {
        let options = ConnectOptions {
            serialization: Serialization::from_name(&self.serialization),
            ..ConnectOptions::default()
        };
        let about = self.name.as_ref().map(|name| json!({ "name": name }));
        let options = match &about {
            Some(about) => options
                .with_metadata(about)
                .map_err(|error| Failure::new(Exit::Usage, error))?,
            None => options,
        };
        let connection = tokio::select! {
            connection = peer.connect(to, options) => connection,
            () = &mut *told => return Ok(()),
        };
        let server = self.meeting.server.as_str();
        let callee = Callee {
            name: "the peer",
            command: "peerage chat",
            denied: "the peer does not want to talk, or is none to chat with",
        };
        let connection = connection.map_err(|error| callee.no_call(error, server))?;
        let who = screen::id(&connection);
        match talk(&connection, &who, words, screen, told).await {
            End::Closed(reason @ (CloseReason::Local | CloseReason::Remote)) => {
                tracing::debug!(%reason, "over");
                Ok(())
            }
            End::Closed(reason) => Err(Failure::new(Exit::Broken, reason)),
            End::NothingToSay | End::Told => Ok(()),
        }
    }
}

/// Talks to one after the other.
async fn wait(
    peer: &Peer,
    server: &str,
    words: &mut mpsc::Receiver<String>,
    screen: &Screen,
    told: &mut (impl Future<Output = ()> + Unpin),
) -> Result<(), Failure> {
    screen.ready(peer.id(), server)?;
    loop {
        let connection = tokio::select! {
            connection = peer.incoming() => connection,
            () = &mut *told => return Ok(()),
        };
        let Some(connection) = connection else {
            return Ok(());
        };
        let who = screen::name(&connection);
        match talk(&connection, &who, words, screen, told).await {
            End::Closed(_) => {}
            End::NothingToSay | End::Told => return Ok(()),
        }
    }
}

/// Lines out and lines in, each at its own pace.
async fn talk(
    connection: &Connection,
    who: &str,
    words: &mut mpsc::Receiver<String>,
    screen: &Screen,
    told: &mut (impl Future<Output = ()> + Unpin),
) -> End {
    screen.connected(who, connection);
    let speaking = async {
        while let Some(line) = words.recv().await {
            if line.is_empty() {
                // An empty message cannot travel on a raw connection, and says nothing on any.
                continue;
            }
            if let Err(error) = connection.send(line).await {
                if connection.close_reason().is_none() {
                    screen.not_sent(&error);
                    continue;
                }
                return std::future::pending().await;
            }
        }
    };
    let hearing = async {
        while let Some(received) = connection.recv().await {
            match received {
                Ok(value) => screen.said(who, value),
                Err(error) => screen.lost(who, &error),
            }
        }
    };
    let end = {
        let mut hearing = std::pin::pin!(hearing);
        let end = tokio::select! {
            () = &mut hearing => None,
            () = speaking => Some(End::NothingToSay),
            () = watch(connection, who, screen) => None,
            () = &mut *told => Some(End::Told),
        };
        if end.is_some() {
            connection.close();
            // What the peer said before it heard of the end is shown still.
            let _ = timeout(GOODBYE, hearing).await;
        }
        end
    };
    let reason = timeout(GOODBYE, connection.closed())
        .await
        .unwrap_or(CloseReason::Local);
    screen.disconnected(who, &reason);
    end.unwrap_or(End::Closed(reason))
}

/// Tells how the connection does, and which way its packets take.
async fn watch(connection: &Connection, who: &str, screen: &Screen) {
    let mut states = connection.states();
    let mut routes = connection.routes();
    let mut before = ConnectionState::Open;
    loop {
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() {
                    break;
                }
                let now = states.borrow_and_update().clone();
                if before == ConnectionState::Renewing {
                    routes = connection.routes();
                }
                screen.state(who, &before, &now, connection.route());
                before = now;
            }
            Ok(()) = routes.changed() => {
                let route = *routes.borrow_and_update();
                screen.route(who, route);
            }
        }
    }
    std::future::pending().await
}
