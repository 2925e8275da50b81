//! The WebSocket: `GET /peerjs?key=K&id=ID&token=T[&proof=P][&hold=SECONDS][&presence=1]`.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use peerage_proto::signal::{ConnId, Departure, Hello};
use peerage_proto::wire::signal::{Frame, Kind, MAX_FRAME};
use peerage_proto::wire::socket_query::SocketQuery;
use peerage_proto::wire::statement::Time;
use serde::Serialize;

use super::not_found;
use crate::hooks::{self, Admission, Panicked, Passage, Visit};
use crate::server::Arrival;
use crate::state::State;
use crate::websocket::{self, Ending, Outbox, Service};

pub(super) async fn get(Shared(state): Shared<State>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match open(&state, &mut parts).await {
        Some(response) => response,
        None => not_found(parts.headers).await,
    }
}

/// Accepts the request as a WebSocket, if it asks for one.
pub(super) async fn open(state: &State, parts: &mut Parts) -> Option<Response> {
    if !websocket::is_upgrade(&parts.headers) {
        return None;
    }
    let (response, upgrade) = match websocket::upgrade(parts) {
        Ok(accepted) => accepted,
        Err(refusal) => return Some(refusal),
    };
    let arrival = parts.extensions.get::<Arrival>();
    let hosts = hosts(state, arrival);
    let place = arrival.map(|arrival| arrival.place.clone());
    let visit = match admit(state, parts).await {
        Ok(visit) => visit,
        Err(Admission::Status(status)) => return Some(status.into_response()),
        Err(Admission::Error(text)) => {
            let peer = Peer::new(state, "");
            state.spawn_socket(upgrade, MAX_FRAME, place, move || {
                let error = error(&text).to_text();
                (peer.state.switchboard().decline(&peer.id, &error), peer)
            });
            return Some(response);
        }
        Err(Admission::Allow) => return Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let owner = state.clone();
    state.spawn_socket(upgrade, MAX_FRAME, place, move || {
        let SocketQuery {
            key,
            id,
            token,
            proof,
            hold,
            visible,
        } = SocketQuery::parse(&query);
        let opened = owner.switchboard().open(Hello {
            key: &key,
            id: &id,
            token: &token,
            proof: &proof,
            hold,
            visible,
            hosts: &hosts.iter().map(String::as_str).collect::<Vec<_>>(),
            at: wall_time(),
        });
        let mut peer = Peer::new(&owner, &id);
        peer.hooked = visit.map(|visit| {
            let outbox = opened.1.clone();
            Box::new((RefCell::new(Some(visit)), outbox))
        });
        (opened, peer)
    });
    Some(response)
}

/// Asks the application, if it has a word in it.
async fn admit(state: &State, parts: &Parts) -> Result<Option<Visit>, Admission> {
    let config = state.config();
    let Some(hooks) = state.hooks() else {
        return Ok(None);
    };
    let SocketQuery { key, id, token, .. } =
        SocketQuery::parse(parts.uri.query().unwrap_or_default());
    // Another key gets the server's own answer, whatever the application thinks of it.
    if key != config.signal.key {
        return Ok(None);
    }
    let request = hooks::Request {
        id: &id,
        token: &token,
        headers: &parts.headers,
        extensions: &parts.extensions,
        address: address(parts),
    };
    hooks.admit(request, config.handshake).await
}

/// Where the connection comes from.
fn address(parts: &Parts) -> Option<IpAddr> {
    let arrival = parts.extensions.get::<Arrival>();
    let told = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    arrival
        .map(|arrival| arrival.remote)
        .or_else(|| told.map(|ConnectInfo(address)| address.ip().to_canonical()))
}

/// As peerjs-server says it.
fn error(text: &str) -> Frame {
    #[derive(Serialize)]
    struct Reason<'a> {
        msg: &'a str,
    }
    Frame {
        kind: Kind::Error,
        src: None,
        dst: None,
        payload: serde_json::value::to_raw_value(&Reason { msg: text }).ok(),
    }
}

/// A PeerJS client's socket, for the id that its URL named.
struct Peer {
    state: State,
    id: Box<str>,
    /// Where an application has a word in it: what it allowed, until the id is free again, and the socket's queue.
    hooked: Option<Box<(RefCell<Option<Visit>>, Arc<Outbox>)>>,
}

impl Peer {
    fn new(state: &State, id: &str) -> Self {
        Self {
            state: state.clone(),
            id: id.into(),
            hooked: None,
        }
    }

    /// What the application says of a message.
    fn passage(&self, text: &str) -> Passage {
        let Some((visit, outbox)) = self.hooked.as_deref() else {
            return Passage::Relay;
        };
        let visit = visit.borrow();
        match visit.as_ref().map(|visit| visit.message(text)) {
            None => Passage::Relay,
            Some(Ok(passage)) => passage,
            Some(Err(Panicked)) => {
                outbox.end(Ending::Hook);
                Passage::Drop
            }
        }
    }
}

impl Service for Peer {
    fn received(&self, conn: ConnId, text: &str) {
        match self.passage(text) {
            Passage::Relay => self.state.switchboard().received(&self.id, conn, text),
            Passage::Drop => self.beat(conn),
        }
    }

    fn beat(&self, conn: ConnId) {
        self.state.switchboard().beat(&self.id, conn);
    }

    fn closed(&self, conn: ConnId, departure: Departure) {
        self.state.switchboard().closed(&self.id, conn, departure);
        if let Some((visit, _)) = self.hooked.as_deref() {
            visit.take();
        }
    }
}

fn wall_time() -> Time {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// By which names this server may be meant in a proof. What the request's own `Host` says is no evidence: another server could pass a proof on.
fn hosts(state: &State, arrival: Option<&Arrival>) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned()];
    hosts.extend(state.config().domain.clone());
    if let Some(Arrival { local, .. }) = arrival {
        hosts.push(local.to_string());
        if local.is_ipv6() {
            // As URLs write it (RFC 3986 section 3.2.2).
            hosts.push(format!("[{local}]"));
        }
    }
    hosts
}
