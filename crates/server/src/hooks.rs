//! What an application that runs this server may say to what its clients do.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Extensions, HeaderMap, StatusCode};
use peerage_proto::wire::id::{PeerId, Token};
use peerage_proto::wire::signal::{FrameRef, Kind};
use tokio::time::timeout;
use tracing::{debug, error};

/// An application's word in the signalling: who may connect, what is relayed, who is gone. Every method has a default that changes nothing.
///
/// All three run in the task of the one socket that they are about, and never under a lock: a hook that is slow holds up that socket, one that panics ends
/// it (`connect`: 500; else close code 1011), and no other notices. They must not block the thread, though: that is shared, as with any async code.
///
/// For each socket that [`connect`](Hooks::connect) allowed, [`disconnect`](Hooks::disconnect) is called exactly once, whatever became of it: the server may
/// still refuse it (the id is taken, the server is full), the client may be gone before the answer.
///
/// ```
/// use peerage_server::{Admission, Hooks, Visitor};
///
/// struct Staff;
///
/// impl Hooks for Staff {
///     async fn connect(&self, visitor: &Visitor<'_>) -> Admission {
///         if visitor.headers.contains_key("x-staff") {
///             Admission::Allow
///         } else {
///             Admission::error("staff only")
///         }
///     }
/// }
/// ```
pub trait Hooks: Send + Sync + 'static {
    /// A client asks for a WebSocket, with this server's key and an id and a token that have the right form. Nothing else was decided yet: ids that belong
    /// to a key, ids that are taken, and the number of ids are the server's own affair, afterwards.
    ///
    /// Takes at most [`Config::handshake`](crate::Config::handshake); then the client is refused with 503.
    fn connect(&self, visitor: &Visitor<'_>) -> impl Future<Output = Admission> + Send {
        let _ = visitor;
        async { Admission::Allow }
    }

    /// A client sends a message to another id: `OFFER`, `ANSWER`, `CANDIDATE`, `LEAVE` or `EXPIRE`; or it asks by `SUBSCRIBE` whether that id is
    /// there. Whether it is is not known yet. Called in the order in which the socket's messages came, before each is relayed.
    fn message(&self, message: &Message<'_>) -> Passage {
        let _ = message;
        Passage::Relay
    }

    /// A socket that was allowed is no more, and holds no id. Another one may hold the same id by now: [`SocketId`] tells them apart.
    fn disconnect(&self, socket: SocketId, id: &str) {
        let _ = (socket, id);
    }
}

/// One socket's number; not used again within a [`State`](crate::State)'s life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// Who asks to connect.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Visitor<'a> {
    /// The socket's number from here on.
    pub socket: SocketId,
    /// The id asked for, 1 to 512 octets of any text.
    pub id: &'a str,
    /// The client's own word by which a later socket of it gets the id back, 1 to 512 octets. Whoever reads it can do so too.
    pub token: &'a str,
    /// The request's headers: cookies, `Origin`, `Authorization`, …
    pub headers: &'a HeaderMap,
    /// What layers of the application put into the request, such as the user that is logged in.
    pub extensions: &'a Extensions,
    /// Where the connection comes from, as far as known: [`Server`](crate::Server) knows it, an application of its own says it by `axum`'s `ConnectInfo`.
    pub address: Option<IpAddr>,
}

/// Without what lets the reader pass for the client.
impl fmt::Debug for Visitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("socket", &self.socket)
            .field("id", &self.id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Whether a client may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As far as the application is concerned.
    Allow,
    /// The WebSocket opens, hears `{"type":"ERROR","payload":{"msg":TEXT}}` and is closed. A PeerJS client then reports `server-error` with this text.
    Error(String),
    /// The request is answered with this status, and no WebSocket opens. A browser's script sees no more than that it failed. What is no error (below 400)
    /// counts as 403.
    Status(StatusCode),
}

impl Admission {
    /// A refusal in words.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It takes its way.
    Relay,
    /// It is forgotten. Nobody is told.
    Drop,
}

/// A message on its way to another peer.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Message<'a> {
    /// By which socket it came.
    pub socket: SocketId,
    /// That socket's id.
    pub src: &'a str,
    /// Whom it is for, 1 to 512 octets.
    pub dst: &'a str,
    /// What it is for.
    pub kind: Kind,
    /// JSON text as it was sent, up to 2 MiB. It holds network addresses, and may hold proofs: nothing for a log.
    pub payload: Option<&'a str>,
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("socket", &self.socket)
            .field("src", &self.src)
            .field("dst", &self.dst)
            .field("kind", &self.kind)
            .field("payload", &self.payload.map(str::len))
            .finish()
    }
}

/// The hooks of one server.
#[derive(Clone)]
pub(crate) struct Hooked(Arc<dyn AnyHooks>, Arc<AtomicU64>);

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

/// [`Hooks`] as an object.
trait AnyHooks: Send + Sync {
    fn connect<'a>(
        &'a self,
        visitor: &'a Visitor<'_>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>>;
    fn message(&self, message: &Message<'_>) -> Passage;
    fn disconnect(&self, socket: SocketId, id: &str);
}

impl<H: Hooks> AnyHooks for H {
    fn connect<'a>(
        &'a self,
        visitor: &'a Visitor<'_>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        Box::pin(Hooks::connect(self, visitor))
    }

    fn message(&self, message: &Message<'_>) -> Passage {
        Hooks::message(self, message)
    }

    fn disconnect(&self, socket: SocketId, id: &str) {
        Hooks::disconnect(self, socket, id);
    }
}

/// What a client's request says, for [`Hooked::admit`].
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    pub(crate) token: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) address: Option<IpAddr>,
}

impl Hooked {
    pub(crate) fn new(hooks: impl Hooks) -> Self {
        Self(Arc::new(hooks), Arc::default())
    }

    /// Asks whether a client may connect. To be held as long as its socket lives; an `Err` is never [`Admission::Allow`].
    ///
    /// None for what the router refuses by itself.
    pub(crate) async fn admit(
        &self,
        request: Request<'_>,
        limit: Duration,
    ) -> Result<Option<Visit>, Admission> {
        let Request {
            id,
            token,
            headers,
            extensions,
            address,
        } = request;
        if PeerId::parse(id).is_err() || Token::parse(token).is_err() {
            return Ok(None);
        }
        let socket = SocketId(self.1.fetch_add(1, Ordering::Relaxed));
        let visitor = Visitor {
            socket,
            id,
            token,
            headers,
            extensions,
            address,
        };
        // Called within the future: a hook may panic before it gives one back.
        let asked = AssertUnwindSafe(async { self.0.connect(&visitor).await }).catch_unwind();
        match timeout(limit, asked).await {
            Ok(Ok(Admission::Allow)) => Ok(Some(Visit {
                hooks: self.0.clone(),
                socket,
                id: id.into(),
            })),
            Ok(Ok(Admission::Status(status)))
                if !status.is_client_error() && !status.is_server_error() =>
            {
                Err(Admission::Status(StatusCode::FORBIDDEN))
            }
            Ok(Ok(refused)) => Err(refused),
            Ok(Err(panic)) => {
                complain("connect", &*panic);
                Err(Admission::Status(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Err(_) => {
                debug!("the hook `connect` took too long");
                Err(Admission::Status(StatusCode::SERVICE_UNAVAILABLE))
            }
        }
    }
}

/// A socket that the hooks allowed, as long as it lives. They are told of its end when this is dropped: after its id was freed.
pub(crate) struct Visit {
    hooks: Arc<dyn AnyHooks>,
    socket: SocketId,
    id: Box<str>,
}

/// A hook panicked: its socket is to be closed with 1011.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl Visit {
    /// To be asked for each frame, before the router gets it and under no lock. What is dropped still counts as a sign of life.
    pub(crate) fn frame(&self, frame: &FrameRef<'_>) -> Result<Passage, Panicked> {
        let (
            Kind::Offer
            | Kind::Answer
            | Kind::Candidate
            | Kind::Leave
            | Kind::Expire
            | Kind::Subscribe,
            Some(dst),
        ) = (frame.kind, &frame.dst)
        else {
            return Ok(Passage::Relay);
        };
        let message = Message {
            socket: self.socket,
            src: &self.id,
            dst,
            kind: frame.kind,
            payload: frame.payload.map(|payload| payload.get()),
        };
        catch_unwind(AssertUnwindSafe(|| self.hooks.message(&message))).map_err(|panic| {
            complain("message", &*panic);
            Panicked
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.hooks.disconnect(self.socket, &self.id);
        }));
        if let Err(panic) = told {
            complain("disconnect", &*panic);
        }
    }
}

fn complain(hook: &str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(hook, panic = text.unwrap_or_default(), "a hook panicked");
}
