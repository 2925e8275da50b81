//! `GET /KEY/ice?id=ID`: STUN and TURN servers, with credentials made for who is connected under the id. `docs/protocol/ice.md`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{RawPathParams, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use peerage_proto::turn::credentials::Secret;
use peerage_proto::turn::server::Transport;
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::socket_query::SocketQuery;
use serde::Serialize;
use tracing::debug;

use super::key_of;
use super::socket::wall_time;
use crate::address;
use crate::config::IceServer;
use crate::host::{UrlHost, server_of};
use crate::rations::TooOften;
use crate::server::Arrival;
use crate::state::State;
use crate::turn::TurnConfig;

pub(super) async fn get(
    Shared(state): Shared<State>,
    params: RawPathParams,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let names_key = key_of(&params) == state.config().signal.key;
    answer(&state, &parts, names_key)
}

/// Answers who names the token of the id's socket. `is_known` is false for who named something else wrong.
pub(super) fn answer(state: &State, parts: &Parts, is_known: bool) -> Response {
    let mut response = match admit(state, parts, is_known) {
        Ok(id) => {
            let response = tell(state, parts, &id);
            // Its registration may have ended meanwhile, before something was kept for it: nothing awaits from there to here.
            if !state.switchboard().is_held(id.as_str()) {
                state.nearby().forget(&id);
            }
            response
        }
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

enum Refused {
    /// In whatever: who asks learns nothing of ids and tokens.
    Unauthorized,
    TooOften(Duration),
}

impl From<TooOften> for Refused {
    fn from(TooOften(wait): TooOften) -> Self {
        Self::TooOften(wait)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                let challenge = [(WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, challenge, "Unauthorized").into_response()
            }
            Self::TooOften(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let headers = [
                    (RETRY_AFTER, HeaderValue::from(seconds)),
                    (
                        ACCESS_CONTROL_EXPOSE_HEADERS,
                        HeaderValue::from_static("Retry-After"),
                    ),
                ];
                (StatusCode::TOO_MANY_REQUESTS, headers, "Too many requests").into_response()
            }
        }
    }
}

/// Whose credentials may be made. Addresses are counted first, so that nobody can try tokens; ids last, so that nobody can use up another's ration.
fn admit(state: &State, parts: &Parts, is_known: bool) -> Result<PeerId, Refused> {
    let (rations, now) = (state.nearby().rations(), Instant::now());
    let address = address::of_client(state.config(), parts);
    if let Some(address) = address {
        rations.ask(address, now).inspect_err(|_| {
            debug!(client = %address, "asks too often for ICE servers");
        })?;
    }
    let query = SocketQuery::parse(parts.uri.query().unwrap_or_default());
    let token = bearer(&parts.headers).unwrap_or_default();
    let live = state.switchboard().authorize(&query.id, token);
    if !is_known || live.is_err() {
        return Err(Refused::Unauthorized);
    }
    let id = PeerId::parse(&query.id).map_err(|_| Refused::Unauthorized)?;
    rations.take(&id, now).inspect_err(|_| {
        debug!(id = id.as_str(), "asks too often for ICE servers");
    })?;
    Ok(id)
}

/// RFC 6750 section 2.1. In the query it would be in logs.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = str::from_utf8(headers.get(AUTHORIZATION)?.as_bytes()).ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim_start_matches(' '))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ice_servers: Vec<IceServer>,
    ttl: u64,
}

fn tell(state: &State, parts: &Parts, id: &PeerId) -> Response {
    let config = state.config();
    let mut ice_servers = own(state, parts, id);
    ice_servers.extend(
        config
            .ice_servers
            .iter()
            .map(|server| match &config.ice_secret {
                Some(ours) if server.needs_credentials() => {
                    mint(server.urls.clone(), &ours.secret, ours.lifetime, id)
                }
                _ => server.clone(),
            }),
    );
    let turn = config.turn.as_ref().map(|turn| turn.lifetime);
    let others = config.ice_secret.as_ref().map(|ours| ours.lifetime);
    let lifetime = turn.into_iter().chain(others).min();
    let answer = Answer {
        ice_servers,
        ttl: lifetime
            .unwrap_or_else(|| TurnConfig::default().lifetime)
            .as_secs(),
    };
    match serde_json::to_string(&answer) {
        Ok(text) => super::json(state, text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What this server answers itself, under the name by which the client is to find it.
fn own(state: &State, parts: &Parts, id: &PeerId) -> Vec<IceServer> {
    let (config, Some(places)) = (state.config(), state.turn()) else {
        return Vec::new();
    };
    let (Some(turn), Some(secret)) = (&config.turn, state.turn_secret()) else {
        return Vec::new();
    };
    let Some(host) = host(state, turn, parts) else {
        return Vec::new();
    };
    // Where a proxy brings clients to a server on loopback, they do not come to TURN by it. Who named a place or a host knows better.
    let is_default = turn.listen.is_empty() && turn.tls_listen.is_empty() && turn.host.is_none();
    let ports = |transport, here: &[SocketAddr]| {
        let mut ports = Vec::new();
        for place in here {
            let is_near = is_default && place.ip().is_loopback() && !host.is_loopback();
            let is_ours = !places.is_shared(transport, place.port());
            if is_ours && !is_near && !ports.contains(&place.port()) {
                ports.push(place.port());
            }
        }
        ports
    };
    let udp = ports(Transport::Udp, &places.udp);
    let tcp = ports(Transport::Tcp, &places.tcp);
    let tls = ports(Transport::Tls, &places.tls);
    let stun: Vec<_> = udp
        .iter()
        .map(|port| format!("stun:{host}:{port}"))
        .collect();
    let relays = |scheme: &'static str, ports: Vec<u16>, transport: &'static str| {
        let host = &host;
        let url = move |port| format!("{scheme}:{host}:{port}?transport={transport}");
        ports.into_iter().map(url)
    };
    let relays: Vec<_> = relays("turn", udp, "udp")
        .chain(relays("turn", tcp, "tcp"))
        .chain(relays("turns", tls, "tcp"))
        .collect();
    let stun = (!stun.is_empty()).then_some(IceServer {
        urls: stun,
        username: None,
        credential: None,
    });
    let can_relay = places.relays() && !relays.is_empty();
    let relays = can_relay.then(|| mint(relays, secret, turn.lifetime, id));
    stun.into_iter().chain(relays).collect()
}

/// Under what name the client finds us: the one that was configured, else the one by which it came, if it is one, else the address at which it arrived.
fn host(state: &State, turn: &TurnConfig, parts: &Parts) -> Option<UrlHost> {
    let domain = state.config().domain.as_deref();
    let arrival = || {
        let arrival = parts.extensions.get::<Arrival>()?;
        UrlHost::of(arrival.local)
    };
    match turn.host.as_deref().or(domain) {
        Some(named) => UrlHost::parse(named),
        None => server_of(&parts.uri, &parts.headers, domain).or_else(arrival),
    }
}

fn mint(urls: Vec<String>, secret: &Secret, lifetime: Duration, id: &PeerId) -> IceServer {
    let made = secret.mint(Some(id.as_str()), wall_time().after(lifetime));
    IceServer {
        urls,
        username: Some(made.username),
        credential: Some(made.password),
    }
}
