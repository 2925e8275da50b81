//! One visitor's connection, from its beginning to its end.

use std::time::{Duration, Instant};

use peerage_peer::{About, Connection, http::serve_with, proxy::Proxy};
use peerage_proto::identity::gate::HTTP_LABEL;
use tokio::time::{interval, timeout};
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

    /// Answers the visitor's requests until it goes, or `closing` says that all must.
    pub(super) async fn serve(self, proxy: Proxy, closing: CancellationToken) {
        let Self {
            number,
            connection,
            announcer,
        } = self;
        let about = connection.about().clone();
        if about.label() != HTTP_LABEL {
            tracing::debug!(label = about.label(), "a channel that nothing here answers");
            return;
        }
        let begun = Instant::now();
        let features = proxy.features();
        let closing = closing.cancelled_owned();
        let serving = serve_with(connection.into_channel(), proxy, features, closing);
        let mut serving = std::pin::pin!(serving);
        let early = tokio::select! {
            reason = &mut serving => Some(reason),
            () = measured(&about) => None,
        };
        announcer.connected(number, &about);
        let reason = match early {
            Some(reason) => reason,
            None => serving.await,
        };
        tracing::debug!(number, %reason, "link ended");
        let reason = timeout(CLOSED, about.closed())
            .await
            .unwrap_or(peerage_peer::CloseReason::Local);
        announcer.disconnected(number, &about, &reason, begun.elapsed());
    }
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
