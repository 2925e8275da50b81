//! The WebSocket: `GET /peerjs?key=K&id=ID&token=T[&proof=P][&hold=SECONDS][&presence=1]`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::request::Parts;
use peerage_proto::signal::{ConnId, Departure, Hello};
use peerage_proto::wire::signal::MAX_FRAME;
use peerage_proto::wire::socket_query::SocketQuery;
use peerage_proto::wire::statement::Time;

use super::not_found;
use crate::server::Arrival;
use crate::state::State;
use crate::websocket::{self, Service};

pub(super) async fn get(Shared(state): Shared<State>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match open(&state, &mut parts) {
        Some(response) => response,
        None => not_found(parts.headers).await,
    }
}

/// Accepts the request as a WebSocket, if it asks for one.
pub(super) fn open(state: &State, parts: &mut Parts) -> Option<Response> {
    if !websocket::is_upgrade(&parts.headers) {
        return None;
    }
    let (response, upgrade) = match websocket::upgrade(parts) {
        Ok(accepted) => accepted,
        Err(refusal) => return Some(refusal),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let arrival = parts.extensions.get::<Arrival>();
    let hosts = hosts(state, arrival);
    let place = arrival.map(|arrival| arrival.place.clone());
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
        let id = id.as_ref().into();
        (opened, Peer { state: owner, id })
    });
    Some(response)
}

/// A PeerJS client's socket, for the id that its URL named.
struct Peer {
    state: State,
    id: Box<str>,
}

impl Service for Peer {
    fn received(&self, conn: ConnId, text: &str) {
        self.state.switchboard().received(&self.id, conn, text);
    }

    fn beat(&self, conn: ConnId) {
        self.state.switchboard().beat(&self.id, conn);
    }

    fn closed(&self, conn: ConnId, departure: Departure) {
        self.state.switchboard().closed(&self.id, conn, departure);
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
