//! A hub for tests: the real machine of one room behind signalling as simple as can be. The network to it can be blocked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use peerage_peer::direct::{Addresses, Direct, DirectConfig, Link, LinkEvent};
use peerage_peer::{Channel, ChannelSender, CloseReason, Message};
use peerage_proto::room::{Closed, Config, ConnKey, Kind, Output, Payload, Room, Way};
use peerage_proto::wire::room::{Epoch, FAST_LABEL, LABEL, Name, Token};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::way::Forwarder;

/// Ends with its handle.
pub(crate) struct Hub {
    pub(crate) url: String,
    address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinSet<()>,
}

struct Inner {
    direct: Direct,
    way: Forwarder,
    state: Mutex<State>,
    due: Notify,
    begun: (std::time::Instant, Duration),
}

struct State {
    room: Room,
    conns: HashMap<ConnKey, Ways>,
    next: u64,
    /// What offers are answered with instead, if anything.
    refusal: Option<(StatusCode, String)>,
    /// Offers that came.
    offers: usize,
    /// Goodbyes beside a connection, of members that are known.
    goodbyes: usize,
}

struct Ways {
    name: Name,
    main: ChannelSender,
    fast: Option<ChannelSender>,
    end: Arc<Notify>,
}

impl Hub {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn with(config: Config, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let direct = Direct::open(DirectConfig {
            addresses: Addresses::Loopback,
            silent_after: Duration::from_millis(500),
            lost_after: Duration::from_millis(1_500),
            ..DirectConfig::default()
        })
        .unwrap();
        let way = Forwarder::to(direct.port()).await;
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&(since.as_nanos() as u64).to_be_bytes());
        let inner = Arc::new(Inner {
            direct,
            way,
            state: Mutex::new(State {
                room: Room::new(config, Epoch(epoch)),
                conns: HashMap::new(),
                next: 0,
                refusal: None,
                offers: 0,
                goodbyes: 0,
            }),
            due: Notify::new(),
            begun: (std::time::Instant::now(), since),
        });
        let mut task = JoinSet::new();
        task.spawn(listen(listener, inner.clone()));
        task.spawn(keep_time(inner.clone()));
        Self {
            url: format!("http://{address}"),
            address,
            inner,
            task,
        }
    }

    /// Another hub at the same place, which knows nothing of this one.
    pub(crate) async fn replaced(mut self) -> Self {
        let address = self.address;
        self.inner.direct.stop().await;
        self.task.shutdown().await;
        Self::with(Config::default(), address).await
    }

    /// Nothing passes between members and hub, though signalling goes on.
    pub(crate) fn block(&self, blocked: bool) {
        self.inner.way.block(blocked);
    }

    pub(crate) fn refuse(&self, refusal: Option<(StatusCode, &str)>) {
        let refusal = refusal.map(|(status, body)| (status, body.to_owned()));
        self.inner.state().refusal = refusal;
    }

    pub(crate) fn offers(&self) -> usize {
        self.inner.state().offers
    }

    pub(crate) fn goodbyes(&self) -> usize {
        self.inner.state().goodbyes
    }

    /// Names of those who are there.
    pub(crate) fn members(&self) -> Vec<String> {
        let state = self.inner.state();
        state.room.members().map(|it| it.name.to_string()).collect()
    }

    /// Does something with the room.
    pub(crate) fn act(&self, action: impl FnOnce(&mut Room, Duration)) {
        self.inner.act(action);
    }

    /// Ends all connections without a word of the room's.
    pub(crate) fn cut(&self) {
        self.cut_off(|_| true);
    }

    /// Ends some.
    pub(crate) fn cut_off(&self, whose: impl Fn(&str) -> bool) {
        for ways in self.inner.state().conns.values() {
            if whose(ways.name.as_str()) {
                ways.end.notify_one();
            }
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> Duration {
        self.begun.1 + self.begun.0.elapsed()
    }

    fn act(&self, action: impl FnOnce(&mut Room, Duration)) {
        let mut state = self.state();
        let state = &mut *state;
        action(&mut state.room, self.now());
        while let Some(output) = state.room.poll_output() {
            match output {
                Output::Send { to, payload, way } => {
                    let message = match payload {
                        Payload::Text(text) => Message::Text(text),
                        Payload::Bytes(bytes) => Message::Binary(bytes),
                    };
                    for ways in to.iter().filter_map(|conn| state.conns.get(&conn)) {
                        let sender = match (way, &ways.fast) {
                            (Way::Fast, Some(fast)) => fast,
                            _ => &ways.main,
                        };
                        // A test's member that is gone is noticed elsewhere.
                        let _ = sender.try_send(message.clone());
                    }
                }
                Output::Close { conn, .. } => {
                    if let Some(ways) = state.conns.remove(&conn) {
                        ways.main.close();
                        ways.fast.iter().for_each(ChannelSender::close);
                    }
                }
                Output::Told(_) => {}
            }
        }
        self.due.notify_one();
    }
}

async fn keep_time(inner: Arc<Inner>) {
    loop {
        let due = inner.state().room.poll_timeout();
        let wait = due.map(|due| due.saturating_sub(inner.now()));
        tokio::select! {
            () = inner.due.notified() => {}
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {
                inner.act(|room, now| room.handle_timeout(now));
            }
        }
    }
}

async fn listen(listener: TcpListener, inner: Arc<Inner>) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let inner = inner.clone();
        let members = Arc::new(Mutex::new(JoinSet::new()));
        tasks.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let (inner, members) = (inner.clone(), members.clone());
                async move { Ok::<_, Infallible>(answer(request, inner, &members).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(served);
            // The members that came by this connection live on.
            let members = std::mem::take(&mut *members.lock().unwrap());
            members.join_all().await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    inner: Arc<Inner>,
    members: &Mutex<JoinSet<()>>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let reply = |status, body: String| {
        let mut reply = Response::new(Full::new(Bytes::from(body)));
        *reply.status_mut() = status;
        reply
    };
    let name = Name::parse(asked["peer_id"].as_str().unwrap()).unwrap();
    if path == "/leave"
        && let Some(token) = asked["token"].as_str()
    {
        let octets = u128::from_str_radix(token, 16).unwrap().to_be_bytes();
        assert_eq!(token.len(), 32);
        let mut is_known = false;
        inner.act(|room, now| is_known = room.handle_goodbye(&name, &Token::new(octets), now));
        inner.state().goodbyes += usize::from(is_known);
    }
    if path != "/offer" {
        return reply(StatusCode::OK, "{\"status\":\"ok\"}".into());
    }
    let refusal = {
        let mut state = inner.state();
        state.offers += 1;
        state.refusal.clone()
    };
    if let Some((status, body)) = refusal {
        return reply(status, body);
    }
    let offer = crate::way::without_candidates(asked["offer"]["sdp"].as_str().unwrap());
    let (link, sdp) = inner.direct.answer(&offer).await.unwrap();
    let sdp = inner.way.led(&sdp);
    members.lock().unwrap().spawn(member(inner, link, name));
    let answer = serde_json::json!({ "answer": { "sdp": sdp, "type": "answer" } });
    reply(StatusCode::OK, answer.to_string())
}

async fn member(inner: Arc<Inner>, mut link: Link, name: Name) {
    let mut channels: Vec<Channel> = Vec::new();
    let is_main = |channel: &Channel| channel.label() == LABEL;
    while !channels.iter().any(is_main) {
        match link.event().await {
            Some(LinkEvent::Open(channel)) => channels.push(channel),
            Some(_) => {}
            None => return,
        }
    }
    let at = channels.iter().position(is_main).unwrap();
    let (main, mut messages) = channels.remove(at).split();
    let end = Arc::new(Notify::new());
    let key = {
        let mut state = inner.state();
        state.next += 1;
        let key = ConnKey(state.next);
        let ways = Ways {
            name: name.clone(),
            main,
            fast: None,
            end: end.clone(),
        };
        state.conns.insert(key, ways);
        key
    };
    inner.act(|room, now| room.handle_opened(key, name, Kind::Native, now));
    let mut quick = None;
    let add_fast = |channel: Channel, quick: &mut Option<_>| {
        if channel.label() == FAST_LABEL
            && let Some(ways) = inner.state().conns.get_mut(&key)
        {
            let (fast, messages) = channel.split();
            ways.fast = Some(fast);
            *quick = Some(messages);
        }
    };
    if let Some(fast) = channels.pop() {
        add_fast(fast, &mut quick);
    }
    let payload = |message| match message {
        Message::Text(text) => Payload::Text(text),
        Message::Binary(bytes) => Payload::Bytes(bytes),
    };
    loop {
        let (message, way) = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => (message, Way::Reliable),
                None => break,
            },
            Some(message) = async {
                match &mut quick {
                    Some(messages) => messages.recv().await,
                    None => std::future::pending().await,
                }
            } => (message, Way::Fast),
            event = link.event() => match event {
                Some(LinkEvent::Open(channel)) => {
                    add_fast(channel, &mut quick);
                    continue;
                }
                Some(_) => continue,
                None => break,
            },
            () = end.notified() => break,
        };
        let message = payload(message);
        inner.act(|room, now| room.handle_message(key, message, way, now));
    }
    let why = match link.closed() {
        Some(CloseReason::Lost) => Closed::Lost,
        _ => Closed::Ended,
    };
    let known = inner.state().conns.remove(&key).is_some();
    if known {
        inner.act(|room, now| room.handle_closed(key, why, now));
    } else {
        // What the room said last is delivered.
        while link.event().await.is_some() {}
    }
}
