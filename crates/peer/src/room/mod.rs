//! Rooms: everybody in one hears what anybody says. The hub, which `peerage serve` runs, passes messages on and keeps the list of who is there; pages join with
//! the npm package's `joinRoom`, and clients of PeerPyRTC are members too. The protocol: `docs/protocol/rooms.md`.
//!
//! ```no_run
//! use peerage_peer::room::{Happening, Room};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut room = Room::join("http://localhost:9000", "lobby").id("ada").open().await?;
//! room.send("hello").await?;
//! room.emit("draw", &[1, 2]).await?;
//! room.to(["bob"]).emit("whisper", "psst").await?;
//! while let Some(happening) = room.next().await {
//!     match happening {
//!         Happening::Message { from, data, .. } => println!("{from}: {data:?}"),
//!         Happening::Joined(member) => println!("{} is here", member.name),
//!         _ => {}
//!     }
//! }
//! println!("over: {:?}", room.end());
//! # Ok(())
//! # }
//! ```
//!
//! A connection that breaks is made anew by itself, under the same name; what was said meanwhile comes then, in order and once, as long as the hub still has it:
//! 1,000 messages or 1 MiB, for a minute. Otherwise [`Happening::Missed`] is told first.

mod attempt;
mod error;
mod happening;
mod server;
mod shared;
mod task;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_proto::wire::room::{
    Body, EVENT_MAX, Event, METADATA_MAX, RESERVED_EVENTS, Said, Token,
};
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::direct::{Addresses, Direct, DirectConfig};
use crate::net::{self, Roots};
use crate::random;

use server::Server;
use shared::{Shared, To};

pub use error::{AckError, EmitError, RoomError};
pub use happening::{Ack, Answers, Data, Happening, RoomMember, RoomState, Sender};
pub use peerage_proto::wire::room::{
    Json, LeftReason, Name, NameError, RefusedCode, RoomName, UnackedReason,
};

/// For one attempt to connect, unless something else is wanted.
const ATTEMPT: Duration = Duration::from_secs(15);
/// For an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What a room is joined with. Begun by [`Room::join`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Join {
    server: String,
    room: String,
    id: Option<String>,
    token: Option<[u8; 16]>,
    metadata: Option<Result<String, String>>,
    unreliable: bool,
    reconnect: bool,
    timeout: Duration,
    roots: Roots,
    loopback: Option<bool>,
    direct: Option<Direct>,
}

/// A member's place in a room. Dropping it leaves the room, as [`Room::leave`] does, but nobody waits for that.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

/// Something to be said to some, or by another way. Made by [`Room::to`] and [`Room::fast`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Emit<'a> {
    shared: &'a Arc<Shared>,
    to: To,
    fast: bool,
    timeout: Duration,
}

impl Join {
    /// The name that others see. Default: a random one. One that somebody else has is refused with [`RefusedCode::NameTaken`].
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What proves that a name is ours, so that a program that starts again gets its place back at once and not after a minute: random octets, which it has
    /// kept. Default: new ones.
    pub fn token(mut self, token: [u8; 16]) -> Self {
        self.token = Some(token);
        self
    }

    /// What others are told of this member: anything that can be written as JSON, of at most 16 KiB. Default `{}`.
    pub fn metadata(mut self, metadata: &(impl Serialize + ?Sized)) -> Self {
        self.metadata = Some(serde_json::to_string(metadata).map_err(|error| error.to_string()));
        self
    }

    /// Opens a second channel, for what may be lost and is never late: [`Room::fast`]. Default no.
    pub fn unreliable(mut self, unreliable: bool) -> Self {
        self.unreliable = unreliable;
        self
    }

    /// Whether a connection that broke is made anew. Default yes; otherwise the room ends with it.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// How long one attempt to connect may take, the first and those after a loss. Default 15 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts this authority for a server with TLS, beside the system's.
    pub fn trust(mut self, authority: CertificateDer<'static>) -> Self {
        self.roots.extra.push(authority);
        self
    }

    /// Whether to be reached over this machine's loopback addresses. Default: when the server is on this machine.
    pub fn loopback(mut self, loopback: bool) -> Self {
        self.loopback = Some(loopback);
        self
    }

    /// The engine to use, for a program that is in many rooms: one thread for all of them. Default: one of its own.
    pub fn direct(mut self, direct: Direct) -> Self {
        self.direct = Some(direct);
        self
    }

    /// Joins. Returns when the hub has said who is there.
    ///
    /// # Errors
    /// What was given cannot be, the server is not reached or refuses, or no connection comes about in time.
    pub async fn open(self) -> Result<Room, RoomError> {
        let url = Server::url(&self.server)?;
        let named = |name: &str, error| RoomError::Name {
            name: name.to_owned(),
            error,
        };
        let room = RoomName::parse(&self.room).map_err(|error| named(&self.room, error))?;
        let id = self.id.unwrap_or_else(random::name);
        let name = Name::parse(&id).map_err(|error| named(&id, error))?;
        let metadata = self.metadata.unwrap_or_else(|| Ok("{}".into()));
        let metadata = metadata
            .and_then(metadata_of)
            .map_err(RoomError::Metadata)?;
        let direct = match self.direct {
            Some(direct) => direct,
            None => {
                let loopback = self.loopback.unwrap_or_else(|| net::is_this_machine(&url));
                Direct::open(DirectConfig {
                    addresses: match loopback {
                        true => Addresses::AllAndLoopback,
                        false => Addresses::All,
                    },
                    ..DirectConfig::default()
                })
                .map_err(|error| RoomError::Engine(error.to_string()))?
            }
        };
        let token = Token::new(self.token.unwrap_or_else(random::token));
        let server = Server {
            url,
            roots: self.roots,
            room,
            name,
            token: token.clone(),
        };
        let shared = Arc::new(Shared::new(server.name.clone(), token, metadata));
        let ways = task::Ways {
            server,
            direct,
            unreliable: self.unreliable,
            reconnect: self.reconnect,
            timeout: self.timeout,
        };
        let task = task::join(&shared, ways).await?;
        Ok(Room {
            shared,
            task: Some(task.detach()),
        })
    }
}

impl Room {
    /// Joins a room of a hub: `http://localhost:9000`, for one that `peerage serve` runs on this machine. The server's path, if its URL has one, is where the
    /// hub's own paths begin.
    pub fn join(server: impl Into<String>, room: impl Into<String>) -> Join {
        Join {
            server: server.into(),
            room: room.into(),
            id: None,
            token: None,
            metadata: None,
            unreliable: false,
            reconnect: true,
            timeout: ATTEMPT,
            roots: Roots::default(),
            loopback: None,
            direct: None,
        }
    }

    /// What happens next, in the room's order; `None` after the end, whose reason [`end`](Self::end) tells. Cancel-safe.
    ///
    /// What is not taken waits, up to 1,024 happenings; then the hub is not heard any more, and puts a member out that takes nothing (`slow`).
    pub async fn next(&mut self) -> Option<Happening> {
        self.shared.next().await
    }

    /// Says something to everybody else, under an event's name; waits while much waits to be sent. On return it has a place in the queue, which a loss of the
    /// connection leaves alone; what was on its way just then may be lost.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn emit(
        &self,
        event: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.all().emit(event, value).await
    }

    /// Says something to everybody else, without an event's name: a chat message for clients of PeerPyRTC.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn send(&self, value: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.all().send(value).await
    }

    /// Asks everybody else, and waits until all who are there have answered or left, 10 s at most; who did not is in [`Answers::missing`].
    ///
    /// # Errors
    /// See [`AckError`].
    pub async fn emit_with_ack(
        &self,
        event: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Answers, AckError> {
        self.all().emit_with_ack(event, value).await
    }

    /// To everybody else; for octets, for instance: `room.all().emit_bytes(…)`.
    pub fn all(&self) -> Emit<'_> {
        Emit {
            shared: &self.shared,
            to: To::Others,
            fast: false,
            timeout: ANSWER,
        }
    }

    /// To these members alone.
    pub fn to<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> Emit<'_> {
        let names = names.into_iter().map(|name| name.as_ref().to_owned());
        Emit {
            to: To::Members(names.collect()),
            ..self.all()
        }
    }

    /// To the hub's own handlers alone.
    pub fn to_server(&self) -> Emit<'_> {
        Emit {
            to: To::Hub,
            ..self.all()
        }
    }

    /// To everybody else, lost rather than late.
    pub fn fast(&self) -> Emit<'_> {
        self.all().fast()
    }

    /// Replaces what others are told of this member.
    ///
    /// # Errors
    /// It is not JSON, or above 16 KiB, or the room is over.
    pub async fn set_metadata(
        &self,
        metadata: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        let Body::Json(json) = Data::of(metadata)? else {
            return Err(EmitError::Json("it is none".into()));
        };
        self.shared.set_metadata(&json).await
    }

    /// This member's name.
    pub fn id(&self) -> &Name {
        self.shared.name()
    }

    /// Those who are here, in the order in which they came; this one included.
    pub fn members(&self) -> Vec<RoomMember> {
        self.shared.members()
    }

    /// Who the hub made host: the one that is here longest.
    pub fn host(&self) -> Option<Name> {
        self.shared.host()
    }

    /// Whether that is this one.
    pub fn is_host(&self) -> bool {
        self.host().as_ref() == Some(self.id())
    }

    /// How the room does.
    pub fn state(&self) -> RoomState {
        self.shared.state()
    }

    /// Why it is over, if it is: [`RoomError::Over`] after [`leave`](Self::leave).
    pub fn end(&self) -> Option<RoomError> {
        self.shared.end()
    }

    /// Waits until the hub was sent everything that was said. Ends with the room.
    ///
    /// # Errors
    /// The room is over.
    pub async fn drain(&self) -> Result<(), EmitError> {
        self.shared.drained().await
    }

    /// Leaves: what was said before goes out, for up to 10 s, then others are told at once. Ends within 15 s, whatever the network does; mostly at once.
    pub async fn leave(mut self) {
        self.shared.leave();
        if let Some(task) = self.task.take() {
            // Bounded by the task itself; it does not panic.
            let _ = task.await;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Emit<'_> {
    /// Lost rather than late: by the [second channel](Join::unreliable) where both ends have one, else as everything. What there is no room or no connection for is
    /// dropped.
    pub fn fast(mut self) -> Self {
        self.fast = true;
        self
    }

    /// How long answers are waited for. Default 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Says a value under an event's name.
    ///
    /// # Errors
    /// As [`Room::emit`].
    pub async fn emit(
        self,
        event: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        let said = Said::Event(event_of(event)?, Data::of(value)?);
        self.say(said).await
    }

    /// Says octets under an event's name.
    ///
    /// # Errors
    /// As [`Room::emit`].
    pub async fn emit_bytes(self, event: &str, bytes: impl Into<Bytes>) -> Result<(), EmitError> {
        let said = Said::Event(event_of(event)?, Body::Bytes(bytes.into()));
        self.say(said).await
    }

    /// Says a value without an event's name.
    ///
    /// # Errors
    /// As [`Room::emit`].
    pub async fn send(self, value: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        let said = Said::Chat(Data::of(value)?);
        self.say(said).await
    }

    /// Says octets without an event's name.
    ///
    /// # Errors
    /// As [`Room::emit`].
    pub async fn send_bytes(self, bytes: impl Into<Bytes>) -> Result<(), EmitError> {
        self.say(Said::Chat(Body::Bytes(bytes.into()))).await
    }

    /// Asks, and waits until all who are asked have answered or left; who did not is in [`Answers::missing`].
    ///
    /// # Errors
    /// It could not be said; not all have answered in time; or it was for one member, and that one does not answer.
    pub async fn emit_with_ack(
        self,
        event: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Answers, AckError> {
        let said = Said::Event(event_of(event)?, Data::of(value)?);
        self.shared.ask(&self.to, &said, self.timeout).await
    }

    async fn say(self, said: Said) -> Result<(), EmitError> {
        self.shared.say(&self.to, &said, self.fast).await
    }
}

fn event_of(event: &str) -> Result<Event, EmitError> {
    let is_free = event.len() <= EVENT_MAX && !RESERVED_EVENTS.contains(&event);
    let parsed = is_free.then(|| Event::parse(event.into())).flatten();
    parsed.ok_or_else(|| EmitError::EventName(event.chars().take(EVENT_MAX).collect()))
}

fn metadata_of(json: String) -> Result<Json, String> {
    if json.len() > METADATA_MAX {
        return Err(format!("{} octets, at most {METADATA_MAX}", json.len()));
    }
    Json::parse(json.into()).ok_or_else(|| "it is no JSON".into())
}
