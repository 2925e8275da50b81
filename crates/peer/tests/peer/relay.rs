//! A PeerJS server for tests: relays frames between sockets, and does to them what a hostile one would.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::{Frame, Kind, Refused, expire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// What becomes of a frame on its way: what is delivered in its place.
pub(super) type Tamper = Box<dyn FnMut(Frame) -> Vec<Frame> + Send>;

pub(super) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

struct Shared {
    tables: Mutex<Tables>,
}

struct Tables {
    sockets: HashMap<String, mpsc::UnboundedSender<Message>>,
    sent: Vec<Frame>,
    tamper: Tamper,
    /// Of frozen sockets: kept, so that they do not end.
    frozen: Vec<mpsc::UnboundedSender<Message>>,
    /// Grows when sockets freeze.
    epoch: u32,
    /// Sockets to turn away from now on.
    refusals: usize,
    /// What is answered to who asks for STUN and TURN servers; nothing at all if `None`.
    ice: Option<String>,
    /// What is answered to who asks who is there.
    peers: String,
    /// Heads of such questions.
    asked: Vec<String>,
}

impl Relay {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let tables = Tables {
            sockets: HashMap::new(),
            sent: Vec::new(),
            tamper: Box::new(|frame| vec![frame]),
            frozen: Vec::new(),
            epoch: 0,
            refusals: 0,
            ice: Some(NOT_FOUND.into()),
            peers: NOT_FOUND.into(),
            asked: Vec::new(),
        };
        let shared = Arc::new(Shared {
            tables: Mutex::new(tables),
        });
        let accepting = shared.clone();
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, accepting.clone()));
            }
        });
        Self {
            address,
            shared,
            listener,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on frames pass through this.
    pub(super) fn tamper(&self, tamper: impl FnMut(Frame) -> Vec<Frame> + Send + 'static) {
        self.shared.tables().tamper = Box::new(tamper);
    }

    /// What clients sent, in order, but heartbeats; with the true sender.
    pub(super) fn sent(&self) -> Vec<Frame> {
        self.shared.tables().sent.clone()
    }

    /// Forgets what clients sent: for who counts memory.
    #[allow(dead_code)]
    pub(super) fn forget(&self) {
        self.shared.tables().sent = Vec::new();
    }

    /// Kinds of what `id` sent.
    pub(super) fn sent_by(&self, id: &PeerId) -> Vec<Kind> {
        let sent = self.sent();
        sent.iter()
            .filter(|frame| frame.src.as_ref() == Some(id))
            .map(|frame| frame.kind)
            .collect()
    }

    /// Answers this to who asks for STUN and TURN servers; `None`: nothing.
    pub(super) fn tell_ice(&self, json: Option<&str>) {
        self.shared.tables().ice = json.map(ok);
    }

    /// Answers this to who asks who is there; `None`: that this is not told.
    pub(super) fn tell_peers(&self, json: Option<&str>) {
        self.shared.tables().peers = json.map_or_else(|| UNAUTHORIZED.into(), ok);
    }

    /// The heads of such questions, so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.tables().asked.clone()
    }

    /// Cuts all sockets.
    pub(super) fn cut(&self) {
        self.shared.tables().sockets.clear();
    }

    /// Sockets that are there now say nothing any more, and hear nothing; their ids can be had by others.
    pub(super) fn freeze(&self) {
        let mut tables = self.shared.tables();
        let sockets = std::mem::take(&mut tables.sockets);
        tables.frozen.extend(sockets.into_values());
        tables.epoch += 1;
    }

    /// Is full for the next sockets.
    pub(super) fn refuse(&self, sockets: usize) {
        self.shared.tables().refusals = sockets;
    }

    /// Whether this id is registered.
    pub(super) fn has(&self, id: &PeerId) -> bool {
        self.shared.tables().sockets.contains_key(id.as_str())
    }

    /// Delivers a frame as if a client had sent it.
    pub(super) fn deliver(&self, frame: Frame) {
        deliver(&mut self.shared.tables(), frame);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

impl Shared {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no test panics in here")
    }
}

fn ok(json: &str) -> String {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{json}")
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 12\r\n\r\nUnauthorized";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Answers a question for STUN and TURN servers, or for peers, if this is one.
async fn answer_question(stream: &mut TcpStream, shared: &Shared) -> bool {
    const ICE: &[u8] = b"GET /peerjs/ice?";
    const PEERS: &[u8] = b"GET /peerjs/peer";
    let mut start = [0; ICE.len()];
    // Clients write their head at once.
    let peers = match stream.peek(&mut start).await {
        Ok(length) if length == start.len() && start == ICE => false,
        Ok(length) if length == start.len() && start == PEERS => true,
        _ => return false,
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return true,
        }
    }
    let answer = {
        let mut tables = shared.tables();
        if peers {
            Some(tables.peers.clone())
        } else {
            let head = String::from_utf8_lossy(&head).into_owned();
            tables.asked.push(head);
            tables.ice.clone()
        }
    };
    match answer {
        Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
        None => drop(stream.read_u8().await),
    }
    true
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    if answer_question(&mut stream, &shared).await {
        return;
    }
    let mut id = String::new();
    #[allow(clippy::result_large_err)] // the library's signature
    let read_id = |request: &Request, response: Response| {
        let query = url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
        id = query
            .filter(|(name, _)| name == "id")
            .map(|(_, id)| id.into_owned())
            .next()
            .unwrap_or_default();
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, read_id).await else {
        return;
    };
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    let full = {
        let mut tables = shared.tables();
        let full = tables.refusals > 0;
        tables.refusals = tables.refusals.saturating_sub(1);
        full
    };
    if full {
        let _ = socket.send(Message::text(Refused::Full.as_str())).await;
        return;
    }
    let taken = shared.tables().sockets.contains_key(&id);
    if taken {
        let _ = socket.send(Message::text(Refused::IdTaken.as_str())).await;
        return;
    }
    shared.tables().sockets.insert(id.clone(), sender.clone());
    let _ = sender.send(Message::text(r#"{"type":"OPEN"}"#));
    drop(sender);
    let epoch = shared.tables().epoch;
    loop {
        if shared.tables().epoch != epoch {
            return std::future::pending().await;
        }
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(message) => if socket.send(message).await.is_err() { break },
                None => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => received(&shared, &id, text.as_str()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break,
            },
        }
    }
    shared.tables().sockets.remove(&id);
}

fn received(shared: &Shared, src: &str, text: &str) {
    let Ok(mut frame) = Frame::parse(text.as_bytes()) else {
        return;
    };
    if frame.kind == Kind::Heartbeat {
        return;
    }
    frame.src = PeerId::parse(src).ok();
    let mut tables = shared.tables();
    tables.sent.push(frame.clone());
    for frame in (tables.tamper)(frame) {
        deliver(&mut tables, frame);
    }
}

fn deliver(tables: &mut Tables, frame: Frame) {
    let (Some(src), Some(dst)) = (frame.src.clone(), frame.dst.clone()) else {
        return;
    };
    match tables.sockets.get(dst.as_str()) {
        Some(socket) => drop(socket.send(Message::text(frame.to_text()))),
        None if frame.kind == Kind::Offer => {
            if let Some(socket) = tables.sockets.get(src.as_str()) {
                let _ = socket.send(Message::text(expire(dst.as_str(), src.as_str())));
            }
        }
        None => {}
    }
}
