//! A client of TURN by hand, over real sockets. Every wait is bounded.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_proto::turn::credentials::{Credentials, Key, Secret};
use peerage_proto::wire::statement::Time;
use peerage_proto::wire::stun::{self, Builder, Class, Message, Method, TransactionId};
use peerage_proto::wire::turn::{self, Channel, attribute, frame_length};
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, TurnConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::common::soon;

pub(crate) const SECRET: &str = "north by northwest";

/// STUN and TURN at one address, with this machine allowed as peer.
pub(crate) fn turn(listen: &str) -> TurnConfig {
    TurnConfig {
        listen: vec![SocketAddr::new(listen.parse().unwrap(), 0)],
        secret: Some(SECRET.parse().unwrap()),
        allow_peers: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..TurnConfig::default()
    }
}

pub(crate) fn with(turn: TurnConfig) -> Config {
    Config {
        turn: Some(turn),
        ..config()
    }
}

pub(crate) async fn serve(turn: TurnConfig) -> TestServer {
    TestServer::with(with(turn)).await.expect("it starts")
}

/// Where it answers by UDP.
pub(crate) fn udp_of(server: &TestServer) -> SocketAddr {
    server.state().turn().expect("it is served").udp[0]
}

/// Where it answers by TCP.
pub(crate) fn tcp_of(server: &TestServer) -> SocketAddr {
    server.state().turn().expect("it is served").tcp[0]
}

/// A socket that is spoken with.
pub(crate) async fn peer(ip: &str) -> (UdpSocket, SocketAddr) {
    let ip: IpAddr = ip.parse().unwrap();
    let socket = UdpSocket::bind((ip, 0)).await.expect("a socket");
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(crate) async fn hear(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = soon("a datagram", peer.recv_from(&mut buffer))
        .await
        .expect("the socket lasts");
    buffer.truncate(length);
    (buffer, from)
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

enum Io {
    Datagrams(UdpSocket),
    Stream(Pin<Box<dyn Duplex>>, Vec<u8>),
}

pub(crate) struct Client {
    io: Io,
    credentials: Credentials,
    key: Option<(Key, String, String)>,
    drawn: u64,
}

/// What was refused, and why.
pub(crate) type Refused = u16;

pub(crate) fn now() -> Time {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(passed.as_millis() as u64)
}

impl Client {
    pub(crate) async fn udp(server: SocketAddr) -> Self {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => "::1".parse().unwrap(),
        };
        let socket = UdpSocket::bind((any, 0)).await.expect("a socket");
        // Only what comes from that very address arrives.
        socket.connect(server).await.expect("a way there");
        Self::new(Io::Datagrams(socket))
    }

    pub(crate) async fn tcp(server: SocketAddr) -> Self {
        let stream = soon("connecting", TcpStream::connect(server))
            .await
            .expect("the server listens");
        stream.set_nodelay(true).unwrap();
        Self::stream(stream)
    }

    pub(crate) fn stream(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self::new(Io::Stream(Box::pin(stream), Vec::new()))
    }

    fn new(io: Io) -> Self {
        let secret: Secret = SECRET.parse().unwrap();
        Self {
            io,
            credentials: secret.mint(Some("ann"), now().after(Duration::from_secs(3600))),
            key: None,
            drawn: u64::from(std::process::id()) << 32,
        }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        let secret: Secret = SECRET.parse().unwrap();
        self.credentials = secret.mint(Some(name), now().after(Duration::from_secs(3600)));
        self
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        match &self.io {
            Io::Datagrams(socket) => socket.local_addr().unwrap(),
            Io::Stream(..) => panic!("not a datagram socket"),
        }
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        match &mut self.io {
            Io::Datagrams(socket) => {
                socket.send(octets).await.expect("it is sent");
            }
            Io::Stream(stream, _) => soon("writing", stream.write_all(octets))
                .await
                .expect("the connection lasts"),
        }
    }

    /// The next datagram, or the next frame with what fills it up; none when the connection has ended.
    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        match &mut self.io {
            Io::Datagrams(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = soon("a datagram", socket.recv(&mut buffer)).await;
                buffer.truncate(length.expect("the socket lasts"));
                Some(buffer)
            }
            Io::Stream(stream, held) => loop {
                let length = frame_length(held).expect("frames");
                if let Some(length) = length.filter(|length| *length <= held.len()) {
                    let rest = held.split_off(length);
                    return Some(std::mem::replace(held, rest));
                }
                let mut buffer = [0; 4096];
                match soon("a frame", stream.read(&mut buffer)).await {
                    Ok(0) | Err(_) => return None,
                    Ok(length) => held.extend_from_slice(&buffer[..length]),
                }
            },
        }
    }

    fn id(&mut self) -> TransactionId {
        self.drawn += 1;
        let mut id = [7; 12];
        id[..8].copy_from_slice(&self.drawn.to_be_bytes());
        TransactionId(id)
    }

    /// Asks, with credentials once the server has named its realm.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        fill: impl Fn(Builder) -> Builder,
    ) -> Result<Vec<u8>, Refused> {
        loop {
            let id = self.id();
            let mut request = fill(Builder::new(Class::Request, method, id));
            if let Some((key, realm, nonce)) = &self.key {
                request = request
                    .put(
                        stun::attribute::USERNAME,
                        self.credentials.username.as_bytes(),
                    )
                    .put(stun::attribute::REALM, realm.as_bytes())
                    .put(stun::attribute::NONCE, nonce.as_bytes())
                    .sign(key.as_bytes());
            }
            self.write(&request.finish()).await;
            let answer = loop {
                let octets = self.read().await.expect("the connection lasts");
                if Message::parse(&octets).is_ok_and(|message| message.transaction_id() == id) {
                    break octets;
                }
            };
            let message = Message::parse(&answer).unwrap();
            match message.error() {
                None => return Ok(answer),
                Some((401, _)) if self.key.is_none() => {
                    let realm = message.text(stun::attribute::REALM).unwrap().to_owned();
                    let nonce = message.text(stun::attribute::NONCE).unwrap().to_owned();
                    self.key = Some((self.credentials.key(&realm), realm, nonce));
                }
                Some((code, _)) => return Err(code),
            }
        }
    }

    /// The address that the server sees.
    pub(crate) async fn reflexive(&mut self) -> SocketAddr {
        let answer = self.ask(Method::BINDING, |it| it).await.expect("an answer");
        let message = Message::parse(&answer).unwrap();
        message
            .xor_address(stun::attribute::XOR_MAPPED_ADDRESS)
            .expect("an address")
    }

    pub(crate) async fn try_allocate(&mut self) -> Result<SocketAddr, Refused> {
        self.try_allocate_in(1).await
    }

    /// In a family, as numbers on the wire: 1 or 2.
    pub(crate) async fn try_allocate_in(&mut self, family: u8) -> Result<SocketAddr, Refused> {
        let answer = self
            .ask(Method::ALLOCATE, |it| {
                it.put(attribute::REQUESTED_TRANSPORT, &[turn::UDP, 0, 0, 0])
                    .put(attribute::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
            })
            .await?;
        let message = Message::parse(&answer).unwrap();
        Ok(message
            .xor_address(attribute::XOR_RELAYED_ADDRESS)
            .expect("an address"))
    }

    pub(crate) async fn allocate(&mut self) -> SocketAddr {
        self.try_allocate().await.expect("an allocation")
    }

    pub(crate) async fn permit(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(Method::CREATE_PERMISSION, |it| {
            it.xor_address(attribute::XOR_PEER_ADDRESS, peer)
        })
        .await
        .map(drop)
    }

    pub(crate) async fn bind(&mut self, channel: Channel, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(Method::CHANNEL_BIND, |it| {
            it.put(attribute::CHANNEL_NUMBER, &channel.value())
                .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        })
        .await
        .map(drop)
    }

    /// Keeps the allocation for so many seconds.
    pub(crate) async fn refresh(&mut self, seconds: u32) -> Result<(), Refused> {
        self.ask(Method::REFRESH, |it| {
            it.number(attribute::LIFETIME, seconds)
        })
        .await
        .map(drop)
    }

    pub(crate) async fn indicate(&mut self, peer: SocketAddr, data: &[u8]) {
        let id = self.id();
        let indication = Builder::new(Class::Indication, Method::SEND, id)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .put(attribute::DATA, data);
        self.write(&indication.finish()).await;
    }

    pub(crate) async fn send(&mut self, channel: Channel, data: &[u8]) {
        let frame = self.frame(channel, data);
        self.write(&frame).await;
    }

    /// Channel data, filled up on a stream.
    pub(crate) fn frame(&self, channel: Channel, data: &[u8]) -> Vec<u8> {
        let mut frame = channel.header(data.len() as u16).to_vec();
        frame.extend_from_slice(data);
        if matches!(self.io, Io::Stream(..)) {
            frame.resize(frame.len().next_multiple_of(4), 0);
        }
        frame
    }

    /// The next data of a peer by an indication.
    pub(crate) async fn indicated(&mut self) -> (SocketAddr, Vec<u8>) {
        let octets = self.read().await.expect("the connection lasts");
        let message = Message::parse(&octets).expect("a message");
        assert_eq!(
            (message.class(), message.method()),
            (Class::Indication, Method::DATA)
        );
        let peer = message.xor_address(attribute::XOR_PEER_ADDRESS).unwrap();
        (peer, message.attribute(attribute::DATA).unwrap().to_vec())
    }

    /// The next data of a peer by a channel.
    pub(crate) async fn received(&mut self) -> (Channel, Vec<u8>) {
        let octets = self.read().await.expect("the connection lasts");
        let (channel, data) = turn::channel_data(&octets).expect("channel data");
        (channel, data.to_vec())
    }

    /// The server ends the connection.
    pub(crate) async fn ended(&mut self) {
        while self.read().await.is_some() {}
    }
}
