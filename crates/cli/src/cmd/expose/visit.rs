//! One visitor's connection, from its beginning to its end.

use std::time::{Duration, Instant};

use peerage_peer::{
    About, Connection, Route, Serialization,
    http::serve_with,
    proxy::{Proxy, serve_legacy},
};
use peerage_proto::{identity::gate::HTTP_LABEL, wire::legacy::LABEL};
use tokio::{
    sync::watch,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::announce::Announcer;

/// How long a line waits for the first measured round trip.
const MEASURED: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long a closed channel may take to be closed at the other side, too.
const CLOSED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Visit {
    number: u64,
    connection: Connection,
    announcer: Announcer,
}

impl Visit {
    pub(super) fn new(number: u64, connection: Connection, announcer: Announcer) -> Self {
        Self {
            number,
            connection,
            announcer,
        }
    }

    /// Answers the visitor's requests until it goes, or `closing` says that all must. `old_clients`: on their framing too.
    pub(super) async fn serve(self, proxy: Proxy, old_clients: bool, closing: CancellationToken) {
        let Self {
            number,
            connection,
            announcer,
        } = self;
        let about = connection.about().clone();
        let served = match about.label() {
            HTTP_LABEL => about.is_verified(),
            LABEL => old_clients && *about.serialization() == Serialization::Raw,
            _ => false,
        };
        if !served {
            tracing::debug!(label = about.label(), "a channel that nothing here answers");
            return;
        }
        let proxy = match about.key() {
            Some(key) => proxy.for_caller(key),
            None => proxy,
        };
        let begun = Instant::now();
        let (channel, closing) = (connection.into_channel(), closing.cancelled_owned());
        let serving = async {
            match about.label() {
                HTTP_LABEL => {
                    let reason =
                        serve_with(channel, proxy.clone(), proxy.features(), closing).await;
                    tracing::debug!(number, %reason, "link ended");
                }
                // Reached only where the gate lets such callers in.
                _ => serve_legacy(channel, proxy, closing).await,
            }
        };
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            () = &mut serving => true,
            () = measured(&about) => false,
        };
        let mut routes = about.routes();
        routes.mark_unchanged();
        announcer.connected(number, &about);
        if !ended {
            tokio::select! {
                () = serving => {}
                () = rerouted(routes, |route| announcer.rerouted(number, route)) => {}
            }
        }
        let reason = timeout(CLOSED, about.closed())
            .await
            .unwrap_or(peerage_peer::CloseReason::Local);
        announcer.disconnected(number, &about, &reason, begun.elapsed());
    }
}

/// Tells every change of a connection's way.
async fn rerouted(mut routes: watch::Receiver<Route>, tell: impl Fn(Route)) {
    while routes.changed().await.is_ok() {
        let route = *routes.borrow_and_update();
        tell(route);
    }
    std::future::pending().await
}

/// Waits until the round trip is known, for a short while.
async fn measured(about: &About) {
    let mut looks = interval(LOOK);
    let known = async {
        while about.stats().round_trip.is_none() {
            looks.tick().await;
        }
    };
    let _ = timeout(MEASURED, known).await;
}
