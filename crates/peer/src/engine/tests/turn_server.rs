//! A TURN server on loopback for tests: the real machine, with sockets that are as simple as can be.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peerage_proto::turn::credentials::{Credentials, Secret};
use peerage_proto::turn::peers::Peers;
use peerage_proto::turn::server::{
    Config, FiveTuple, Forward, OpenError, Output, Relay, RelayId, Server, Stats, Transport,
};
use peerage_proto::wire::ice_servers::IceServer;
use peerage_proto::wire::statement::Time;
use peerage_proto::wire::turn::frame_length;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::net::Stream;

/// Ends with its handle.
pub(super) struct TurnServer {
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
    pub(super) tls: SocketAddr,
    /// Whom to trust for TLS.
    pub(super) authority: CertificateDer<'static>,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    server: Mutex<Server>,
    /// Answers nothing over UDP.
    deaf: AtomicBool,
}

enum Come {
    Client(FiveTuple, Vec<u8>),
    Opened(FiveTuple, mpsc::Sender<Vec<u8>>),
    Closed(FiveTuple),
    Peer(RelayId, SocketAddr, Vec<u8>),
}

impl TurnServer {
    pub(super) async fn start() -> Self {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let udp = UdpSocket::bind(bind).await.expect("loopback");
        let tcp = TcpListener::bind(bind).await.expect("loopback");
        let tls = TcpListener::bind(bind).await.expect("loopback");
        let (acceptor, authority) = certificate();
        let shared = Arc::new(Shared {
            server: Mutex::new(machine()),
            deaf: AtomicBool::new(false),
        });
        let mut server = Self {
            udp: udp.local_addr().expect("bound"),
            tcp: tcp.local_addr().expect("bound"),
            tls: tls.local_addr().expect("bound"),
            authority,
            shared: shared.clone(),
            _task: JoinSet::new(),
        };
        let (come, inbox) = mpsc::channel(1024);
        server._task.spawn(listen(tcp, None, come.clone()));
        server
            ._task
            .spawn(listen(tls, Some(acceptor), come.clone()));
        server._task.spawn(serve(shared, udp, come, inbox));
        server
    }

    /// No answers over UDP from now on.
    pub(super) fn be_deaf(&self) {
        self.shared.deaf.store(true, Ordering::SeqCst);
    }

    /// Forgets all allocations, as a new process would.
    pub(super) fn restart(&self) {
        *self.shared.server.lock().expect("not poisoned") = machine();
    }

    pub(super) fn stats(&self) -> Stats {
        self.shared
            .server
            .lock()
            .expect("not poisoned")
            .stats()
            .clone()
    }

    /// Live allocations by UDP, TCP and TLS.
    pub(super) fn allocations(&self) -> [usize; 3] {
        self.stats().allocations
    }

    /// What a signalling server would tell of it.
    pub(super) fn ice_servers(&self, name: &str) -> Vec<IceServer> {
        let urls = [
            format!("turn:{}?transport=udp", self.udp),
            format!("turn:{}?transport=tcp", self.tcp),
            format!("turns:{}?transport=tcp", self.tls),
        ];
        let credentials = credentials(name, Duration::from_secs(3600));
        vec![IceServer {
            urls: urls.iter().map(|url| url.parse().expect(url)).collect(),
            credentials: Some(credentials),
        }]
    }

    /// The same without its streams: those are tried as well where the first answer takes long.
    pub(super) fn over_udp(&self, name: &str) -> Vec<IceServer> {
        let mut servers = self.ice_servers(name);
        servers[0].urls.truncate(1);
        servers
    }
}

pub(super) fn credentials(name: &str, lasting: Duration) -> Credentials {
    secret().mint(Some(name), clock::wall().after(lasting))
}

fn secret() -> Secret {
    "north".parse().expect("a secret")
}

fn machine() -> Server {
    let relay = Relay {
        bind: Ipv4Addr::LOCALHOST.into(),
        external: Ipv4Addr::LOCALHOST.into(),
    };
    let config = Config {
        realm: "example.org".into(),
        secret: secret(),
        relay_v4: Some(relay),
        relay_v6: None,
        own: Vec::new(),
        ports: 42_000..=43_999,
        user_quota: 10,
        address_quota: None,
        total_quota: 100,
        bandwidth: None,
        peers: Peers {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            deny: Vec::new(),
        },
    };
    Server::new(config, &mut crate::random::os())
}

fn certificate() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let certificate = made.cert.der().clone();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("fine")
    .with_no_client_auth()
    .with_single_cert(vec![certificate.clone()], key)
    .expect("fine");
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

async fn serve(
    shared: Arc<Shared>,
    udp: UdpSocket,
    come: mpsc::Sender<Come>,
    mut inbox: mpsc::Receiver<Come>,
) {
    let local = udp.local_addr().expect("bound");
    let mut streams = HashMap::new();
    let mut relays: HashMap<RelayId, Arc<UdpSocket>> = HashMap::new();
    let mut readers = HashMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let happened = tokio::select! {
            Ok((length, remote)) = udp.recv_from(&mut buffer) => {
                if shared.deaf.load(Ordering::SeqCst) {
                    continue;
                }
                let from = FiveTuple { transport: Transport::Udp, local, remote };
                Come::Client(from, buffer[..length].to_vec())
            }
            Some(come) = inbox.recv() => come,
        };
        let now = Instant::now();
        // What is to be sent is gathered under the lock and sent after it.
        let (mut to_clients, mut to_peers) = (Vec::new(), Vec::new());
        {
            let mut server = shared.server.lock().expect("not poisoned");
            server.handle_timeout(now);
            match &happened {
                Come::Client(from, octets) => {
                    match server.handle_client(*from, octets, now, wall()) {
                        Some(Forward::Peer { relay, to, data }) => {
                            to_peers.push((relay, to, data.to_vec()));
                        }
                        Some(Forward::Client(data)) => {
                            let frame = [data.head(), data.data(), data.filling()].concat();
                            to_clients.push((data.to, frame));
                        }
                        None => {}
                    }
                }
                Come::Opened(from, sender) => drop(streams.insert(*from, sender.clone())),
                Come::Closed(from) => {
                    streams.remove(from);
                    server.handle_closed(*from);
                }
                Come::Peer(relay, from, data) => {
                    if let Some(data) = server.handle_peer(*relay, *from, data, now) {
                        let frame = [data.head(), data.data(), data.filling()].concat();
                        to_clients.push((data.to, frame));
                    }
                }
            }
            while let Some(output) = server.poll_output() {
                match output {
                    Output::Reply { to, octets } => to_clients.push((to, octets)),
                    Output::Open { relay, address } => {
                        let opened = open(relay, address, &come);
                        let outcome = match opened {
                            Ok((socket, reader)) => {
                                relays.insert(relay, socket);
                                readers.insert(relay, reader);
                                Ok(())
                            }
                            Err(_) => Err(OpenError::Taken),
                        };
                        server.handle_opened(relay, outcome, now);
                    }
                    Output::Close { relay } => {
                        relays.remove(&relay);
                        readers.remove(&relay);
                    }
                }
            }
        }
        for (to, octets) in to_clients {
            match streams.get(&to) {
                Some(stream) => drop(stream.try_send(octets)),
                None => drop(udp.send_to(&octets, to.remote).await),
            }
        }
        for (relay, to, data) in to_peers {
            if let Some(socket) = relays.get(&relay) {
                let _ = socket.send_to(&data, to).await;
            }
        }
    }
}

/// A relay's socket, and what reads it.
fn open(
    relay: RelayId,
    address: SocketAddr,
    come: &mpsc::Sender<Come>,
) -> io::Result<(Arc<UdpSocket>, JoinSet<()>)> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UdpSocket::from_std(socket)?);
    let (reader, come) = (socket.clone(), come.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = reader.recv_from(&mut buffer).await {
            let datagram = buffer[..length].to_vec();
            if come.send(Come::Peer(relay, from, datagram)).await.is_err() {
                return;
            }
        }
    });
    Ok((socket, tasks))
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, come: mpsc::Sender<Come>) {
    let mut clients = JoinSet::new();
    while let Ok((stream, remote)) = listener.accept().await {
        let from = FiveTuple {
            transport: match tls {
                Some(_) => Transport::Tls,
                None => Transport::Tcp,
            },
            local: listener.local_addr().expect("bound"),
            remote,
        };
        let (tls, come) = (tls.clone(), come.clone());
        clients.spawn(async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            let _ = client(stream, from, &come).await;
            let _ = come.send(Come::Closed(from)).await;
        });
    }
}

async fn client(
    stream: Box<dyn Stream>,
    from: FiveTuple,
    come: &mpsc::Sender<Come>,
) -> io::Result<()> {
    let (outgoing, mut frames) = mpsc::channel::<Vec<u8>>(256);
    let _ = come.send(Come::Opened(from, outgoing)).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        while let Some(frame) = frames.recv().await {
            writer.write_all(&frame).await?;
            writer.flush().await?;
        }
        io::Result::Ok(())
    };
    let read = async {
        loop {
            let mut head = [0; 4];
            reader.read_exact(&mut head).await?;
            let length = frame_length(&head)
                .map_err(io::Error::other)?
                .expect("four octets tell it");
            let mut frame = head.to_vec();
            frame.resize(length, 0);
            reader.read_exact(&mut frame[4..]).await?;
            let _ = come.send(Come::Client(from, frame)).await;
        }
    };
    tokio::select! {
        done = write => done,
        done = read => done,
    }
}

fn wall() -> Time {
    clock::wall()
}
