//! What the server counts, for Prometheus: `GET /metrics` on a listener of its own, because it is the owner's affair.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use peerage_proto::turn::server::Traffic;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::address::Place;
use crate::server::{ACCEPT_PAUSE, Http};
use crate::state::State;
use crate::turn::TurnStats;

/// Connections at a time: a few collectors, and their owner.
const CONNECTIONS: usize = 16;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `closing`, then cuts what is left.
pub(crate) async fn serve(
    listener: &TcpListener,
    state: State,
    places: Arc<Semaphore>,
    closing: &CancellationToken,
) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Counts {
        state: state.clone(),
        places,
    }));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry));
    let http = Http::new(&state, router);
    let few = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(permit) = few.clone().try_acquire_owned() {
                    let place = Place::new(permit, None);
                    let connection = http
                        .clone()
                        .connection(stream, None, place, closing.clone());
                    connections.spawn(connection);
                }
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection for metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn metrics(Shared(registry): Shared<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(std::fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Asks when it is asked.
#[derive(Debug)]
struct Counts {
    state: State,
    /// Of all connections.
    places: Arc<Semaphore>,
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let free = self.places.available_permits();
        let connections = self.state.config().connections.saturating_sub(free);
        Metric::gauge("peerage_server_connections", "TCP connections")
            .one(&mut encoder, connections as u64)?;
        Metric::counter(
            "peerage_server_misses",
            "Requests on device origins that no page of ours makes",
        )
        .one(&mut encoder, self.state.misses())?;
        if let Some(stats) = self.state.turn_stats() {
            turn(&stats, &mut encoder)?;
        }
        #[cfg(feature = "hub")]
        if let Some(hub) = self.state.hub() {
            rooms(&hub.stats(), &mut encoder)?;
        }
        Ok(())
    }
}

#[cfg(feature = "hub")]
fn rooms(stats: &crate::hub::HubStats, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    Metric::gauge("peerage_rooms", "Rooms").one(encoder, stats.rooms as u64)?;
    Metric::gauge("peerage_rooms_members", "Members of rooms")
        .one(encoder, stats.members as u64)?;
    Metric::gauge(
        "peerage_rooms_half_open",
        "Connections of members that are being made",
    )
    .one(encoder, stats.half_open as u64)?;
    Metric::counter("peerage_rooms_offers", "Offers of members").by(
        encoder,
        "result",
        [("answered", stats.offers), ("refused", stats.refused)],
    )?;
    Metric::counter("peerage_rooms_joined", "Members that joined").one(encoder, stats.joined)?;
    Metric::counter(
        "peerage_rooms_messages",
        "Messages of rooms: in from members, out to them, one for each of them",
    )
    .by(
        encoder,
        "direction",
        [("in", stats.received), ("out", stats.sent)],
    )?;
    Metric::counter("peerage_rooms_dropped", "What went no further").by(
        encoder,
        "cause",
        [
            ("moderated", stats.withheld),
            ("handler_full", stats.unhandled),
            ("webhook_failed", stats.untold),
            ("candidates", stats.candidates),
            ("never_opened", stats.never_opened),
            ("slow_member", stats.slow),
            ("forged", stats.forged),
            ("unaddressed", stats.unaddressed),
            ("rate", stats.rate),
        ],
    )?;
    Metric::counter(
        "peerage_rooms_failed",
        "Moderators that failed or took too long, after which a message takes the way that is set for it; handlers and moderators that panicked",
    )
    .by(
        encoder,
        "of",
        [("moderator", stats.unmoderated), ("panic", stats.panicked)],
    )
}

fn turn(stats: &TurnStats, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    const TRANSPORTS: [&str; 3] = ["udp", "tcp", "tls"];
    let relay = &stats.relay;
    let by_transport = TRANSPORTS
        .into_iter()
        .zip(relay.allocations.map(|count| count as u64));
    Metric::gauge("peerage_turn_allocations", "Live allocations").by(
        encoder,
        "transport",
        by_transport,
    )?;
    Metric::counter("peerage_turn_allocated", "Allocations made").by(
        encoder,
        "transport",
        TRANSPORTS.into_iter().zip(relay.allocated),
    )?;
    let connections = stats.connections.map(|count| count as u64);
    Metric::gauge("peerage_turn_connections", "Connections of clients of TURN").by(
        encoder,
        "transport",
        TRANSPORTS[1..].iter().copied().zip(connections),
    )?;
    Metric::counter(
        "peerage_turn_connected",
        "Connections of clients of TURN so far",
    )
    .by(
        encoder,
        "transport",
        TRANSPORTS[1..].iter().copied().zip(stats.connected),
    )?;
    Metric::counter("peerage_turn_bindings", "STUN requests answered")
        .one(encoder, relay.bindings)?;
    let refused = relay.refused.iter();
    Metric::counter("peerage_turn_refused", "Requests refused").by(
        encoder,
        "code",
        refused.map(|(refusal, count)| (refusal.code().to_string(), *count)),
    )?;
    let ways = |of: fn(&Traffic) -> u64| [("up", of(&relay.up)), ("down", of(&relay.down))];
    Metric::counter(
        "peerage_turn_relayed_packets",
        "Datagrams relayed: up from clients, down to them",
    )
    .by(encoder, "direction", ways(|traffic| traffic.datagrams))?;
    Metric::counter("peerage_turn_relayed_bytes", "The same in octets of data").by(
        encoder,
        "direction",
        ways(|traffic| traffic.octets),
    )?;
    Metric::counter(
        "peerage_turn_dropped",
        "Datagrams and frames that went no further",
    )
    .by(
        encoder,
        "cause",
        [
            ("malformed", relay.malformed),
            ("withheld", relay.withheld),
            ("no_allocation", relay.homeless),
            ("no_permission", relay.unpermitted),
            ("forbidden", relay.forbidden),
            ("bandwidth", relay.excess),
            ("system_full", stats.full),
            ("unsendable", stats.unsendable),
            ("slow_client", stats.unread),
        ],
    )
}

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

impl Metric {
    const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = MetricType::Gauge;
        Self { name, help, kind }
    }

    /// The name without the `_total` that counters get.
    const fn counter(name: &'static str, help: &'static str) -> Self {
        let kind = MetricType::Counter;
        Self { name, help, kind }
    }

    fn one(self, encoder: &mut DescriptorEncoder<'_>, value: u64) -> std::fmt::Result {
        let kind = self.kind;
        let encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        put(kind, encoder, value)
    }

    fn by(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        label: &'static str,
        values: impl IntoIterator<Item = (impl AsRef<str>, u64)>,
    ) -> std::fmt::Result {
        let kind = self.kind;
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (of, value) in values {
            let labels = [(label, of.as_ref())];
            put(kind, encoder.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

fn put(kind: MetricType, encoder: MetricEncoder<'_>, value: u64) -> std::fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}
