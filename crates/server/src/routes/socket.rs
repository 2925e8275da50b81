//! The WebSocket: `GET /peerjs?key=K&id=ID&token=T[&proof=P]`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequestParts, Query, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use peerage_proto::wire::signal::{Frame, Kind};
use serde::Serialize;
use tokio::time::timeout;

use super::not_found;
use crate::hooks::{self, Admission};
use crate::server::Arrival;
use crate::socket::{Parameters, accept};
use crate::state::State;

/// How long a refused client may take to hear it.
const CLOSING: Duration = Duration::from_secs(1);
/// What it may still send, in octets.
const REFUSED: usize = 64 * 1024;

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
    let parameters = parameters(state, parts);
    Some(match admit(state, parts, parameters).await {
        Ok(parameters) => accept(upgrade, state.clone(), parameters),
        Err(Admission::Error(text)) => refuse(upgrade, state, parts, text),
        Err(Admission::Status(status)) => status.into_response(),
        Err(Admission::Allow) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    })
}

/// Asks the application, if it has a word in it.
async fn admit(
    state: &State,
    parts: &Parts,
    mut parameters: Parameters,
) -> Result<Parameters, Admission> {
    let config = state.config();
    let Some(hooks) = state.hooks() else {
        return Ok(parameters);
    };
    // Another key gets the server's own answer, whatever the application thinks of it.
    if parameters.key == config.signal.key {
        let request = hooks::Request {
            id: &parameters.id,
            token: &parameters.token,
            headers: &parts.headers,
            extensions: &parts.extensions,
            address: address(parts),
        };
        parameters.visit = hooks.admit(request, config.handshake).await?;
    }
    Ok(parameters)
}

/// Where the connection comes from.
fn address(parts: &Parts) -> Option<IpAddr> {
    let arrival = parts.extensions.get::<Arrival>();
    let told = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    arrival
        .map(|arrival| arrival.remote)
        .or_else(|| told.map(|ConnectInfo(address)| address.ip().to_canonical()))
}

/// Lets a client in only to tell it why not.
fn refuse(upgrade: WebSocketUpgrade, state: &State, parts: &Parts, text: String) -> Response {
    let place = parts
        .extensions
        .get::<Arrival>()
        .map(|arrival| arrival.place.clone());
    let state = state.clone();
    upgrade
        .max_message_size(REFUSED)
        .on_upgrade(move |mut socket| {
            state.own(async move {
                let _place = place;
                let talk = async {
                    let text = Utf8Bytes::from(refused(&text));
                    socket.send(Message::Text(text)).await?;
                    socket.send(Message::Close(None)).await?;
                    while socket.recv().await.transpose()?.is_some() {}
                    Ok::<_, axum::Error>(())
                };
                // Whoever does not read or close in time is cut.
                let _ = timeout(CLOSING, talk).await;
            })
        })
}

/// As peerjs-server writes it.
fn refused(text: &str) -> String {
    #[derive(Serialize)]
    struct Reason<'a> {
        msg: &'a str,
    }
    let reason = serde_json::value::to_raw_value(&Reason { msg: text }).ok();
    let frame = Frame {
        kind: Kind::Error,
        src: None,
        dst: None,
        payload: reason,
    };
    frame.to_text()
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
