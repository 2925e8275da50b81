//! Peers that meet through a PeerJS server: what they do for one another, and what a hostile server cannot do.
#![allow(clippy::unwrap_used)]

mod attacks;
mod device;
mod handles;
mod hostile;
mod ice;
mod paths;
mod relay;
mod server;
mod stock;
mod values;
mod wire;

use std::future::Future;
use std::time::Duration;

use peerage_peer::{ConnectOptions, Connection, Peer, Serialization, Value};
use peerage_proto::identity::gate::{State, Terms};
use peerage_proto::identity::{DeviceId, LinkProof, Secret, SigningKey};
use peerage_proto::wire::id::PeerId;
use rand_core::UnwrapErr;

use relay::Relay;

/// Nothing here takes longer, however busy the machine is.
const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("soon")
}

fn text(text: &str) -> Value {
    text.into()
}

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// A peer that stock clients may call.
async fn stock_peer(relay: &Relay, id: &str) -> Peer {
    let builder = Peer::builder()
        .server(relay.url())
        .id(PeerId::parse(id).unwrap())
        .allow_unverified(true);
    soon(builder.open()).await.unwrap()
}

/// A device with one link.
struct Device {
    peer: Peer,
    id: DeviceId,
    proof: LinkProof,
}

impl Device {
    async fn start(relay: &Relay) -> Self {
        Self::with(relay, |builder| builder).await
    }

    async fn with(
        relay: &Relay,
        adjust: impl FnOnce(peerage_peer::Builder) -> peerage_peer::Builder,
    ) -> Self {
        let key = SigningKey::generate(&mut rng());
        let id = key.device_id();
        let builder = Peer::builder()
            .server(relay.url())
            .device(key, State::default());
        let peer = soon(adjust(builder).open()).await.unwrap();
        let secret = Secret::generate(&mut rng());
        let proof = secret.proof(&id);
        peer.access().add_link(secret, Terms::default()).unwrap();
        Self { peer, id, proof }
    }

    fn peer_id(&self) -> &PeerId {
        self.id.as_peer_id()
    }

    fn with_link(&self) -> ConnectOptions {
        ConnectOptions {
            label: Some("peerage-http".into()),
            serialization: Serialization::Raw,
            proof: Some(self.proof.clone()),
            ..ConnectOptions::default()
        }
    }
}

async fn caller(relay: &Relay) -> Peer {
    soon(Peer::builder().server(relay.url()).open())
        .await
        .unwrap()
}

/// Says something each way.
async fn speak(a: &mut Connection, b: &mut Connection) {
    a.send(text("there")).await.unwrap();
    assert_eq!(soon(b.recv()).await, Some(Ok(text("there"))));
    b.send(text("and back")).await.unwrap();
    assert_eq!(soon(a.recv()).await, Some(Ok(text("and back"))));
}
