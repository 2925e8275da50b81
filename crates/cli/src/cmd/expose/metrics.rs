//! What is counted while something is exposed, for Prometheus: `GET /metrics` on a listener of its own.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CONTENT_TYPE};
use peerage_peer::{Counters, PeerStats, RouteStats};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::net::TcpListener;

use crate::exit::{Exit, Failure};

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens, so that a port which is taken is told at the start.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            Exit::Port,
            format_args!("cannot listen on {address} for --metrics: {error}"),
        )
    })
}

/// Answers collectors for ever.
pub(super) async fn serve(listener: TcpListener, peers: Vec<Counters>) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Counts(peers)));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(%error, "metrics are not told any more");
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Asks when it is asked.
#[derive(Debug)]
struct Counts(Vec<Counters>);

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats: Vec<_> = self.0.iter().map(Counters::stats).collect();
        let encoder = &mut encoder;
        let sum =
            |of: fn(&RouteStats) -> u64| by_route(&stats, |routes| routes.map(of).sum::<u64>());
        Metric::counter(
            "peerage_connections_opened",
            "Connections, by their way when they opened",
        )
        .by_route(encoder, sum(|route| route.opened))?;
        let failed = stats.iter().map(|stats| stats.failed).sum();
        Metric::counter(
            "peerage_connections_failed",
            "Connections that were begun and never opened",
        )
        .one(encoder, failed)?;
        Metric::counter(
            "peerage_sent_bytes",
            "Octets of UDP payload sent to peers, without what TURN adds",
        )
        .by_route(encoder, sum(|route| route.sent))?;
        Metric::counter("peerage_received_bytes", "The same received")
            .by_route(encoder, sum(|route| route.received))?;
        let slowest = by_route(&stats, |routes| {
            routes.map(|route| route.slowest).max().unwrap_or_default()
        });
        Metric::gauge(
            "peerage_slowest_opening_seconds",
            "The longest that a connection took to open",
        )
        .by_route(
            encoder,
            slowest.map(|(way, time)| (way, time.as_secs_f64())),
        )?;
        times(&stats, encoder)
    }
}

/// How long connections took to open.
fn times(stats: &[PeerStats], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut descriptor = encoder.encode_descriptor(
        "peerage_opening_seconds",
        "Time from a call, or its answer, to the open connection",
        None,
        MetricType::Histogram,
    )?;
    let histograms = by_route(stats, |routes| {
        let (mut sum, mut count, mut within) = (Duration::ZERO, 0, Vec::new());
        for route in routes {
            sum += route.opening_time;
            count += route.opened;
            within.resize(route.within.len(), (Duration::ZERO, 0));
            for (all, (end, more)) in within.iter_mut().zip(&route.within) {
                *all = (*end, all.1 + more);
            }
        }
        (sum, count, within)
    });
    for (way, (sum, count, within)) in histograms {
        // The encoder adds the classes up itself.
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = within
            .into_iter()
            .map(|(end, up_to)| {
                (
                    end.as_secs_f64(),
                    up_to - std::mem::replace(&mut below, up_to),
                )
            })
            .collect();
        buckets.push((f64::INFINITY, count - below));
        descriptor
            .encode_family(&[("route", way)])?
            .encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)?;
    }
    Ok(())
}

/// The same for either way, over all peers.
fn by_route<T>(
    stats: &[PeerStats],
    value: impl Fn(&mut dyn Iterator<Item = &RouteStats>) -> T,
) -> [(&'static str, T); 2] {
    [
        (
            "direct",
            value(&mut stats.iter().map(|stats| &stats.direct)),
        ),
        (
            "relayed",
            value(&mut stats.iter().map(|stats| &stats.relayed)),
        ),
    ]
}

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

impl Metric {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        let kind = MetricType::Counter;
        Self { name, help, kind }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = MetricType::Gauge;
        Self { name, help, kind }
    }

    fn one(self, encoder: &mut DescriptorEncoder<'_>, value: u64) -> fmt::Result {
        let metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        ConstCounter::new(value).encode(metric)
    }

    fn by_route<T: Value>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        values: [(&'static str, T); 2],
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        for (way, value) in values {
            value.encode(metric.encode_family(&[("route", way)])?)?;
        }
        Ok(())
    }
}

/// What a metric may hold.
trait Value {
    fn encode(self, encoder: MetricEncoder<'_>) -> fmt::Result;
}

impl Value for u64 {
    fn encode(self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstCounter::new(self).encode(encoder)
    }
}

impl Value for f64 {
    fn encode(self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstGauge::new(self).encode(encoder)
    }
}
