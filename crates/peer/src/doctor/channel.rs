//! Data channels: between two peers of this process, and to a link's device.

use std::time::{Duration, Instant};

use peerage_proto::identity::gate::{HTTP_LABEL, State, Terms};
use peerage_proto::identity::{LinkProof, Secret, SigningKey};
use peerage_proto::link;
use peerage_proto::wire::ice_servers::IceServer;
use url::Url;

use super::Device;
use super::finding::Finding;
use crate::net::Roots;
use crate::peer::Builder;
use crate::{ConnectOptions, Connection, Peer, Route, Serialization, random};

/// Label of the channel between our own two peers.
const LABEL: &str = "peerage-doctor";
/// For our own two peers, who are there and answer at once.
const OWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));
/// For a link's device.
const DEVICE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(15));

/// For one call, of which nothing is left when it ends.
fn options(
    label: &str,
    proof: Option<LinkProof>,
    (answer_within, connect_within): (Duration, Duration),
) -> ConnectOptions {
    ConnectOptions {
        label: Some(label.into()),
        serialization: Serialization::Raw,
        proof,
        timing: link::Config {
            answer_within,
            connect_within,
            ..link::Config::default()
        },
        renew: None,
        ..ConnectOptions::default()
    }
}

/// What peers are made with here.
pub(super) struct Setup {
    pub(super) server: Url,
    pub(super) key: String,
    pub(super) roots: Roots,
    pub(super) ice_servers: Vec<IceServer>,
}

impl Setup {
    fn peer(&self, relay_only: bool) -> Builder {
        let mut builder = Peer::builder()
            .server(self.server.as_str())
            .key(&*self.key)
            .ice_servers(self.ice_servers.clone())
            .relay_only(relay_only);
        for authority in &self.roots.extra {
            builder = builder.trust(authority.clone());
        }
        builder
    }

    /// Calls a device of our own through the server, and has it send back what it gets.
    pub(super) async fn loop_back(&self, relay_only: bool) -> Finding {
        let key = SigningKey::generate(&mut random::os());
        let secret = Secret::generate(&mut random::os());
        let (id, proof) = (key.device_id(), secret.proof(&key.device_id()));
        let own = |builder: Builder| builder.loopback(true);
        let made = tokio::try_join!(
            own(self.peer(relay_only).device(key, State::default())).open(),
            own(self.peer(relay_only)).open(),
        );
        let (device, caller) = match made {
            Ok(peers) => peers,
            Err(error) => return Finding::NoPeer(error),
        };
        // One link, for one caller: there is room.
        let _ = device.access().add_link(secret, Terms::default());
        let options = options(LABEL, Some(proof), OWN);
        let asked = async {
            let begun = Instant::now();
            match caller.connect(id.as_peer_id(), options).await {
                Ok(connection) => {
                    let opened = begun.elapsed();
                    match there_and_back(connection).await {
                        Some((route, round_trip)) => Finding::Echoed {
                            route,
                            opened,
                            round_trip,
                        },
                        None => Finding::NotEchoed,
                    }
                }
                Err(error) => Finding::NotConnected(error),
            }
        };
        let found = tokio::select! {
            found = asked => found,
            // Goes on for as long as it is needed.
            () = echo(&device) => Finding::NotEchoed,
        };
        tokio::join!(caller.destroy(), device.destroy());
        found
    }

    /// Calls a link's device, as `peerage fetch` does, and hangs up.
    pub(super) async fn call(&self, device: Device, relay_only: bool) -> Finding {
        let builder = self.peer(relay_only).identity(device.identity);
        let peer = match builder.open().await {
            Ok(peer) => peer,
            Err(error) => return Finding::NoPeer(error),
        };
        let options = options(HTTP_LABEL, device.proof, DEVICE);
        let found = match peer.connect(device.id.as_peer_id(), options).await {
            Ok(connection) => Finding::Admitted {
                route: connection.route(),
                round_trip: connection.stats().round_trip,
            },
            Err(error) => Finding::NotConnected(error),
        };
        peer.destroy().await;
        found
    }
}

async fn there_and_back(connection: Connection) -> Option<(Route, Duration)> {
    let mut round_trip = Duration::ZERO;
    // The first wakes everything up, and is not measured.
    for _ in 0..2 {
        let word = random::name();
        let sent = Instant::now();
        connection.send(&*word).await.ok()?;
        while connection.recv().await?.ok()?.as_str() != Some(&*word) {}
        round_trip = sent.elapsed();
    }
    Some((connection.route(), round_trip))
}

async fn echo(device: &Peer) {
    while let Some(connection) = device.incoming().await {
        while let Some(Ok(value)) = connection.recv().await {
            if connection.send(value).await.is_err() {
                break;
            }
        }
    }
}
