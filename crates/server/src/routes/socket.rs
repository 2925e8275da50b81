//! The WebSocket: `GET /peerjs?key=K&id=ID&token=T[&proof=P]`.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request, State as Shared};
use axum::response::Response;
use http::request::Parts;

use super::not_found;
use crate::server::Arrival;
use crate::socket::{Parameters, accept};
use crate::state::State;

pub(super) async fn get(Shared(state): Shared<State>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match open(&state, &mut parts).await {
        Some(response) => response,
        None => not_found(parts.headers).await,
    }
}

/// Accepts the request as a WebSocket, if it is one.
pub(super) async fn open(state: &State, parts: &mut Parts) -> Option<Response> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .ok()?;
    Some(accept(upgrade, state.clone(), parameters(state, parts)))
}

fn parameters(state: &State, parts: &Parts) -> Parameters {
    let arrival = parts.extensions.get::<Arrival>();
    let mut parameters = Parameters {
        hosts: hosts(state, arrival),
        place: arrival.map(|arrival| arrival.place.clone()),
        ..Parameters::default()
    };
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
        return parameters;
    };
    for (name, value) in pairs {
        // Of a repeated parameter the last counts, as with peerjs-server.
        match name.as_str() {
            "key" => parameters.key = value,
            "id" => parameters.id = value,
            "token" => parameters.token = value,
            "proof" => parameters.proof = value,
            _ => {}
        }
    }
    parameters
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
