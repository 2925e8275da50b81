//! The product's peer, by its public interface.

use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_peer::{Builder, ConnectOptions, Connection, Peer, Serialization};
use peerage_proto::identity::gate::{State, Terms};
use peerage_proto::identity::{Secret, SigningKey};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::link_url::Link;
use rand_core::UnwrapErr;
use serde_json::json;

use crate::Outcome;
use crate::order::{Caller, ECHO, Seen, Window, answer, call, serve};

static SEEN: Seen = Seen::new();

/// As the rivals: no loopback addresses.
fn builder(server: &str) -> Builder {
    Peer::builder().server(server).loopback(false)
}

/// Called by its id as stock PeerJS peers are; or a device, by a link that proves who answers.
pub async fn callee(server: &str, is_device: bool) -> Outcome<()> {
    let mut rng = UnwrapErr(getrandom::SysRng);
    let peer = if is_device {
        let key = SigningKey::generate(&mut rng);
        let (device, secret) = (key.device_id(), Secret::generate(&mut rng));
        let peer = builder(server).device(key, State::default()).open().await?;
        peer.access().add_link(secret.clone(), Terms::default())?;
        let link = Link { secure: false, device, domain: "localhost".into(), port: None, secret: Some(secret), path: "/".into() };
        answer(json!({ "address": link.to_string() }))?;
        peer
    } else {
        let peer = builder(server).allow_unverified(true).open().await?;
        answer(json!({ "address": peer.id().as_str() }))?;
        peer
    };
    tokio::spawn(async move {
        while let Some(connection) = peer.incoming().await {
            tokio::spawn(receive(connection));
        }
    });
    tokio::task::spawn_blocking(|| serve(&SEEN)).await?
}

async fn receive(connection: Connection) {
    while let Some(Ok(value)) = connection.recv().await {
        let octets = value.as_bytes().map_or(&[][..], |octets| octets);
        if octets.first() != Some(&ECHO) {
            SEEN.count(octets.len());
        } else if connection.send(value).await.is_err() {
            return;
        }
    }
}

pub async fn caller(server: &str, address: &str, serialization: Serialization) -> Outcome<()> {
    let (to, proof) = match Link::parse(address) {
        Ok(link) => (link.device.clone().into(), link.secret.as_ref().map(|secret| secret.proof(&link.device))),
        Err(_) => (PeerId::parse(address)?, None),
    };
    let peer = builder(server).open().await?;
    // A device takes callers with a link at this label.
    let label = proof.as_ref().map(|_| "peerage-http".to_owned());
    call(Ours { peer, to, options: ConnectOptions { label, proof, serialization, ..ConnectOptions::default() } }).await
}

struct Ours {
    peer: Peer,
    to: PeerId,
    options: ConnectOptions,
}

impl Caller for Ours {
    type Conn = Connection;

    async fn open(&mut self) -> Outcome<Connection> {
        Ok(self.peer.connect(&self.to, self.options.clone()).await?)
    }

    async fn close(&mut self, connection: Connection) -> Outcome<()> {
        let about = connection.about().clone();
        drop(connection);
        about.closed().await;
        Ok(())
    }

    async fn send(&mut self, connection: &mut Connection, size: usize, window: Window) -> Outcome<()> {
        let message = Bytes::from(vec![b'x'; size]);
        while !window.is_over() {
            connection.send(message.clone()).await?;
        }
        Ok(())
    }

    async fn ping(&mut self, connection: &mut Connection, size: usize, window: Window) -> Outcome<Vec<Duration>> {
        let message = Bytes::from(vec![ECHO; size]);
        let mut times = Vec::new();
        while !window.is_over() {
            let begun = Instant::now();
            connection.send(message.clone()).await?;
            connection.recv().await.ok_or("the connection ended")??;
            if window.has_begun() {
                times.push(begun.elapsed());
            }
        }
        Ok(times)
    }
}
