//! What the driver's thread has done for it elsewhere, since it may not wait: names looked up, and connections to TURN servers over TCP and TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::Token;
use peerage_proto::wire::ice_url::{Host, IceUrl, Transport};
use peerage_proto::wire::turn::frame_length;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bell::Bell;
use super::demux::PortIndex;
use crate::net::{self, Roots, Stream};

/// News that wait for the driver; it takes all of them in every turn. A connection that has more is not read meanwhile.
const NEWS: usize = 256;
/// Frames that wait for a connection to take them; more are dropped, as UDP would.
const OUTGOING: usize = 256;
/// Frames written at once.
const TOGETHER: usize = 32;
/// For a connection to be made: name, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(7);
/// For a server to take what is written at once.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Read at once.
const READ: usize = 16 * 1024;

/// Names a client at a server within an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LegId(usize);

impl LegId {
    /// Legs of one port that can be told apart.
    const LEGS: usize = 1 << 20;

    pub(super) fn new(port: PortIndex, serial: usize) -> Self {
        Self(port * Self::LEGS + serial % Self::LEGS)
    }

    pub(super) fn port(self) -> PortIndex {
        self.0 / Self::LEGS
    }

    /// The token by which its socket is known to the poll: above those of ports.
    pub(super) fn token(self) -> Token {
        Token(Self::LEGS + self.0)
    }

    /// Whose token it is, if a leg's.
    pub(super) fn of_token(token: Token) -> Option<Self> {
        token.0.checked_sub(Self::LEGS).map(Self)
    }
}

/// What became of what was asked for.
#[derive(Debug)]
pub(super) enum News {
    /// The addresses of the servers in a round of a port's search, in their order.
    Resolved {
        port: PortIndex,
        round: u64,
        found: Vec<Vec<SocketAddr>>,
    },
    Connected {
        leg: LegId,
        outgoing: mpsc::Sender<Vec<u8>>,
    },
    Frame {
        leg: LegId,
        octets: Vec<u8>,
    },
    /// No connection, or not any more.
    Closed {
        leg: LegId,
        error: io::Error,
    },
}

/// Has things done. What runs ends with it.
pub(super) struct Outside {
    /// `None` outside of a runtime: then nothing is done.
    runtime: Option<Handle>,
    tasks: JoinSet<()>,
    teller: Teller,
    roots: Arc<Roots>,
}

#[derive(Clone)]
struct Teller {
    news: mpsc::Sender<News>,
    bell: Arc<Bell>,
}

impl Outside {
    pub(super) fn new(bell: Arc<Bell>, roots: Roots) -> (Self, mpsc::Receiver<News>) {
        let (news, inbox) = mpsc::channel(NEWS);
        let outside = Self {
            runtime: Handle::try_current().ok(),
            tasks: JoinSet::new(),
            teller: Teller { news, bell },
            roots: Arc::new(roots),
        };
        (outside, inbox)
    }

    /// Looks the servers' names up, all at once; a name that is not found has no addresses.
    pub(super) fn resolve(&mut self, port: PortIndex, round: u64, servers: Vec<(Host, u16)>) {
        let teller = self.teller.clone();
        self.spawn(async move {
            let lookups = servers.iter().map(|(host, port)| async move {
                match net::addresses(&net::host(host), *port).await {
                    Ok(addresses) => addresses,
                    Err(error) => {
                        tracing::debug!(%host, %error, "a server's name is not found");
                        Vec::new()
                    }
                }
            });
            let found = futures_util::future::join_all(lookups).await;
            teller.tell(News::Resolved { port, round, found }).await;
        });
    }

    /// Connects to a server over TCP or TLS, and carries frames from then on.
    pub(super) fn connect(&mut self, leg: LegId, server: IceUrl) {
        let (teller, roots) = (self.teller.clone(), self.roots.clone());
        self.spawn(async move {
            if let Err(error) = carry(leg, &server, &roots, &teller).await {
                teller.tell(News::Closed { leg, error }).await;
            }
        });
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        if let Some(runtime) = &self.runtime {
            self.tasks.spawn_on(task, runtime);
        }
    }
}

impl Teller {
    /// Whether somebody still listens.
    async fn tell(&self, news: News) -> bool {
        let told = self.news.send(news).await.is_ok();
        self.bell.ring();
        told
    }
}

async fn carry(leg: LegId, server: &IceUrl, roots: &Roots, teller: &Teller) -> io::Result<()> {
    let made = timeout(CONNECT, open(server, roots)).await;
    let stream = made.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (outgoing, frames) = mpsc::channel(OUTGOING);
    if !teller.tell(News::Connected { leg, outgoing }).await {
        return Ok(());
    }
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        read = read(leg, reader, teller) => read,
        // The driver has dropped its end: the connection goes, and with it the allocation.
        written = write(writer, frames) => written,
    }
}

async fn open(server: &IceUrl, roots: &Roots) -> io::Result<Box<dyn Stream>> {
    let host = net::host(&server.host);
    let stream = net::connect(&host, server.port).await?;
    Ok(match server.transport {
        Transport::Tls => Box::new(net::secure(stream, &host, roots).await?),
        _ => Box::new(stream),
    })
}

async fn read(leg: LegId, mut reader: impl AsyncRead + Unpin, teller: &Teller) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ);
    loop {
        let mut at = 0;
        while let Some(length) = frame_length(&buffer[at..]).map_err(io::Error::other)? {
            let Some(frame) = buffer.get(at..at + length) else {
                break;
            };
            let octets = frame.to_vec();
            at += length;
            if !teller.tell(News::Frame { leg, octets }).await {
                return Ok(());
            }
        }
        buffer.drain(..at);
        // One that is not whole yet is waited for; its length is bounded by its form.
        buffer.reserve(READ);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while frames.recv_many(&mut batch, TOGETHER).await > 0 {
        within(writer.write_all(&batch.concat())).await?;
        within(writer.flush()).await?;
        batch.clear();
    }
    within(writer.shutdown()).await
}

/// A server that takes nothing must not keep the connection for ever.
async fn within(written: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(TAKEN_WITHIN, written)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
