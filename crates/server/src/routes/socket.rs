//! The WebSocket: `GET /peerjs?key=K&id=ID&token=T[&proof=P][&hold=SECONDS][&presence=1]`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use peerage_proto::signal::{ConnId, Departure, Hello};
use peerage_proto::wire::signal::{FrameRef, MAX_FRAME, refusal};
use peerage_proto::wire::socket_query::SocketQuery;
use peerage_proto::wire::statement::Time;

use super::not_found;
use crate::address::{self, Place};
use crate::hooks::{self, Admission, Panicked, Passage, Visit};
use crate::server::Arrival;
use crate::state::State;
use crate::websocket::{self, Ending, Service};

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
        Err(refusal) => return Some(refusal.into_response()),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let admitted = admit(state, parts, &SocketQuery::parse(&query)).await;
    let arrival = parts.extensions.get::<Arrival>();
    let hosts = hosts(state, arrival);
    let place = arrival.map(|arrival| arrival.place.clone());
    match admitted {
        Ok(visit) => register(state, upgrade, place, query, hosts, visit),
        Err(Admission::Error(text)) => refuse(state, upgrade, place, &text),
        Err(Admission::Status(status)) => return Some(status.into_response()),
        Err(Admission::Allow) => return Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
    Some(response)
}

/// Asks the application, if it has a word in it.
async fn admit(
    state: &State,
    parts: &Parts,
    query: &SocketQuery<'_>,
) -> Result<Option<Visit>, Admission> {
    let config = state.config();
    // Another key gets the server's own answer, whatever the application thinks of it.
    let Some(hooks) = state.hooks().filter(|_| query.key == config.signal.key) else {
        return Ok(None);
    };
    let request = hooks::Request {
        id: &query.id,
        token: &query.token,
        headers: &parts.headers,
        extensions: &parts.extensions,
        address: address::of_client(config, parts),
    };
    hooks.admit(request, config.handshake).await
}

fn register(
    state: &State,
    upgrade: OnUpgrade,
    place: Option<Place>,
    query: String,
    hosts: Vec<String>,
    visit: Option<Visit>,
) {
    let owner = state.clone();
    state.spawn_socket(upgrade, MAX_FRAME, place, move || {
        let query = SocketQuery::parse(&query);
        let opened = owner.switchboard().open(Hello {
            key: &query.key,
            id: &query.id,
            token: &query.token,
            proof: &query.proof,
            hold: query.hold,
            visible: query.visible,
            hosts: &hosts.iter().map(String::as_str).collect::<Vec<_>>(),
            at: wall_time(),
        });
        let peer = Peer {
            state: owner,
            id: query.id.as_ref().into(),
            visit: visit.map(Box::new),
        };
        (opened, peer)
    });
}

/// Lets a client in only to tell it why not.
fn refuse(state: &State, upgrade: OnUpgrade, place: Option<Place>, text: &str) {
    let opened = state.switchboard().refuse(&refusal(text));
    state.spawn_socket(upgrade, MAX_REFUSED, place, move || (opened, Nobody));
}

/// Longest message of who was not let in. Nobody listens, but cutting him off would cost him the reason.
const MAX_REFUSED: usize = 64 * 1024;

/// A PeerJS client's socket, for the id that its URL named.
struct Peer {
    state: State,
    id: Box<str>,
    /// What the application allowed. It hears of the end when this is dropped: after the id was freed.
    visit: Option<Box<Visit>>,
}

impl Service for Peer {
    fn received(&self, conn: ConnId, text: &str) -> Result<(), Ending> {
        let switchboard = self.state.switchboard();
        // What cannot be read is ignored, as peerjs-server's clients expect.
        let Ok(frame) = FrameRef::from_text(text) else {
            switchboard.beat(&self.id, conn);
            return Ok(());
        };
        let passage = match &self.visit {
            Some(visit) => visit.frame(&frame),
            None => Ok(Passage::Relay),
        };
        match passage {
            Ok(Passage::Relay) => switchboard.received(&self.id, conn, frame),
            Ok(Passage::Drop) => switchboard.beat(&self.id, conn),
            Err(Panicked) => return Err(Ending::Hook),
        }
        Ok(())
    }

    fn beat(&self, conn: ConnId) {
        self.state.switchboard().beat(&self.id, conn);
    }

    fn closed(self, conn: ConnId, departure: Departure) {
        self.state.switchboard().closed(&self.id, conn, departure);
    }
}

/// Who was not let in.
struct Nobody;

impl Service for Nobody {
    fn received(&self, _: ConnId, _: &str) -> Result<(), Ending> {
        Ok(())
    }

    fn beat(&self, _: ConnId) {}

    fn closed(self, _: ConnId, _: Departure) {}
}

pub(super) fn wall_time() -> Time {
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
