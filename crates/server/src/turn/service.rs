//! All of it together: bound at the server's start, run and ended with it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use peerage_proto::turn::peers::Peers;
use peerage_proto::turn::server::{self as machine, FiveTuple, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::addresses::Addresses;
use super::bell::Bell;
use super::connection::{Connection, Patience};
use super::listen::Listening;
use super::stats::{Counted, Shared};
use super::stream::Stream;
use super::thread::Thread;
use super::{TurnError, TurnPlaces};
use crate::address::Place;
use crate::state::State;

/// How long a connection without an allocation may say nothing.
const IDLE: Duration = Duration::from_secs(30);
/// Pause after an accept that failed, and time between two complaints about that: as for the server's other connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ACCEPT_COMPLAINT: Duration = Duration::from_secs(60);

/// STUN and TURN, bound.
pub(crate) struct Turn {
    thread: Thread,
    streams: Vec<(Transport, TcpListener)>,
    tls: Option<TlsAcceptor>,
    handshake: Duration,
    patience: Patience,
}

impl Turn {
    /// Opens the sockets; none where STUN and TURN are off, or nothing of their default could be had. Who asks waits until [`Turn::run`].
    ///
    /// # Errors
    /// Something that was named cannot be had.
    pub(crate) fn bind(
        state: &State,
        tls: Option<TlsAcceptor>,
    ) -> Result<(Option<Self>, TurnPlaces), TurnError> {
        let config = state.config();
        let (Some(turn), Some(secret)) = (&config.turn, state.turn_secret()) else {
            return Ok((None, TurnPlaces::default()));
        };
        let Listening {
            datagrams,
            streams,
            mut places,
        } = Listening::bind(config)?;
        if places.is_empty() {
            return Ok((None, places));
        }
        let listen: Vec<SocketAddr> = [&places.udp, &places.tcp, &places.tls]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let addresses = Addresses::find(turn, &listen)?;
        if addresses.v4.is_none() && addresses.v6.is_none() {
            places.missed.push(TurnError::NoRelay);
        }
        let machine = machine::Config {
            realm: config.turn_realm().to_owned(),
            secret: secret.clone(),
            relay_v4: addresses.v4,
            relay_v6: addresses.v6,
            own: addresses.own(&listen),
            ports: turn.relay_ports.clone(),
            user_quota: turn.user_quota,
            address_quota: turn.address_quota,
            total_quota: turn.total_quota,
            bandwidth: turn.bandwidth,
            peers: Peers {
                allow: turn.allow_peers.clone(),
                deny: turn.deny_peers.clone(),
            },
        };
        let thread = Thread::new(machine, datagrams).map_err(TurnError::Start)?;
        let bound = Self {
            thread,
            streams,
            tls,
            handshake: config.handshake,
            patience: Patience {
                idle: IDLE,
                stall: config.stall,
            },
        };
        Ok((Some(bound), places))
    }

    /// What it counts, for who asks while it runs.
    pub(crate) const fn stats(&self) -> &Shared {
        self.thread.stats()
    }

    /// Serves until `closing`, then ends at once: whoever is relayed has lost its signalling as well. `place` gives a new connection its place, if there is
    /// one left.
    pub(crate) async fn run(
        mut self,
        place: impl Fn(SocketAddr) -> Option<Place>,
        closing: &CancellationToken,
    ) {
        let mut connections = JoinSet::new();
        let mut complained: Option<Instant> = None;
        let mut next = 0;
        self.thread.start();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.streams, &mut next) => accepted,
                Some(_) = connections.join_next() => continue,
                () = self.thread.ended() => {
                    error!("STUN and TURN ended by a fault of this program");
                    break;
                }
                () = closing.cancelled() => break,
            };
            match accepted {
                Ok((transport, stream, from)) => match place(from) {
                    Some(place) => {
                        let tls = self.tls.clone().filter(|_| transport == Transport::Tls);
                        let arrival = Arrival {
                            transport,
                            bell: self.thread.bell().clone(),
                            counted: Counted::new(self.stats(), transport),
                            handshake: self.handshake,
                            patience: self.patience,
                            place,
                        };
                        connections.spawn(arrival.serve(stream, tls));
                    }
                    None => debug!(%from, "no place for another connection"),
                },
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= ACCEPT_COMPLAINT) {
                        complained = Some(Instant::now());
                        warn!(%error, "cannot accept a connection for TURN");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.shutdown().await;
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

/// From each listener in turn, so that none keeps the others waiting.
async fn accept(
    listeners: &[(Transport, TcpListener)],
    next: &mut usize,
) -> io::Result<(Transport, TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for offset in 0..listeners.len() {
            let index = (*next + offset) % listeners.len();
            let (transport, listener) = &listeners[index];
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *next = index + 1;
                return Poll::Ready(accepted.map(|(stream, from)| (*transport, stream, from)));
            }
        }
        Poll::Pending
    })
    .await
}

/// What a connection brings with it.
struct Arrival {
    transport: Transport,
    bell: Arc<Bell>,
    counted: Counted,
    handshake: Duration,
    patience: Patience,
    place: Place,
}

impl Arrival {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Frames are small and each is wanted at once; a socket without the option still works.
        let _ = stream.set_nodelay(true);
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return;
        };
        let tuple = FiveTuple {
            transport: self.transport,
            local,
            remote,
        };
        let (bell, patience) = (self.bell, self.patience);
        match tls {
            None => {
                let connection = Connection::new(stream, Stream::new(tuple), bell, patience);
                connection.run().await;
            }
            Some(tls) => match timeout(self.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = Connection::new(stream, Stream::new(tuple), bell, patience);
                    connection.run().await;
                }
                Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            },
        }
        drop((self.counted, self.place));
    }
}
