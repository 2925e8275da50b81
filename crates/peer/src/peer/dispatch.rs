//! What the server brings, and what the gate decides, to the connections that it is for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::identity::gate::{Caller, Granted, IncomingOffer};
use peerage_proto::identity::{Code, Reply};
use peerage_proto::link::{Link, Signal};
use peerage_proto::wire::id::{ConnectionId, PeerId};
use peerage_proto::wire::signal::{AnswerPayload, ConnectionType, Frame, Kind, OfferPayload};
use tokio::sync::{mpsc, watch};

use super::Inner;
use super::offer::Offer;
use super::registry::Notice;
use super::task::{LinkTask, Side, Terms};
use crate::clock;
use crate::connection::{Codec, Connection, ConnectionState, Serialization};
use crate::signalling::State;

/// The wall clock may jump: an expiry is looked for at least this often while there is one.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Dispatcher {
    pub(super) inner: Arc<Inner>,
    pub(super) inbox: mpsc::Receiver<Frame>,
    pub(super) revoked: mpsc::Receiver<(PeerId, ConnectionId)>,
    pub(super) incoming: mpsc::Sender<Connection>,
}

impl Dispatcher {
    /// Never waits for a connection or for the server: whoever is slow loses its own signals alone.
    pub(super) async fn run(mut self) {
        let inner = self.inner.clone();
        let mut server = inner.signalling.state();
        loop {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                frame = self.inbox.recv() => match frame {
                    Some(frame) => self.frame(frame),
                    // The client has stopped. Connections that live need no server.
                    None => return inner.stop.cancelled().await,
                },
                Some((peer, connection)) = self.revoked.recv() => {
                    inner.registry.notify(&peer, Some(&connection), || Notice::Revoked);
                }
                () = expiry(&inner) => inner.access.handle_timeout(),
                () = back(&mut server) => {
                    // The server was lost and found: the network changed, perhaps.
                    if inner.engine.refresh_interfaces().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn frame(&self, frame: Frame) {
        let Some(src) = frame.src.clone() else { return };
        if frame.kind == Kind::Offer {
            match frame.payload.as_deref().map(OfferPayload::parse) {
                Some(Ok(payload)) => self.offer(&src, &payload),
                _ => tracing::debug!(%src, "a malformed offer"),
            }
        } else if let Some((connection, signal)) = Signal::parse(&frame) {
            self.inner.registry.notify(&src, connection.as_ref(), || {
                Notice::Signal(Box::new(signal.clone()))
            });
        }
    }

    fn offer(&self, src: &PeerId, payload: &OfferPayload) {
        let granted = match self
            .inner
            .access
            .verify_offer(&IncomingOffer { src, payload })
        {
            Ok(granted) => granted,
            Err(refused) => {
                tracing::info!(%src, reason = %refused.reason, "an offer was refused");
                if let Some(reply) = refused.reply {
                    self.inner.reply(src, &reply);
                }
                return;
            }
        };
        if granted.generation.is_some_and(|generation| generation > 0) {
            return self
                .inner
                .registry
                .notify(src, Some(&payload.connection_id), || {
                    Notice::Restart(Box::new(granted.clone()))
                });
        }
        let name = payload.serialization.as_deref().unwrap_or("binary");
        let Some(codec) = self.inner.serializers.codec(name) else {
            tracing::info!(%src, serialization = name, "an offer names a serialization that is not spoken here");
            self.inner.access.closed(src, &payload.connection_id);
            // Said aloud: the caller would wait for nothing.
            return self
                .inner
                .refuse(src, &payload.connection_id, Code::Malformed);
        };
        self.accept(src, payload, granted, codec);
    }

    fn accept(&self, src: &PeerId, payload: &OfferPayload, granted: Granted, codec: Codec) {
        let connection = &payload.connection_id;
        let link = Link::accept(
            src.clone(),
            connection.clone(),
            &granted,
            self.inner.timing,
            Instant::now(),
        );
        let name = payload.serialization.as_deref().unwrap_or("binary");
        let terms = Terms {
            label: payload
                .label
                .clone()
                .unwrap_or_else(|| connection.to_string()),
            serialization: Serialization::from_name(name),
            metadata: payload.metadata.clone(),
        };
        let offer = self.inner.approve.is_some().then(|| {
            Box::new(Offer {
                peer: src.clone(),
                key: match &granted.caller {
                    Caller::Verified(key) => Some(key.clone()),
                    Caller::Unverified => None,
                },
                label: terms.label.clone(),
                serialization: name.to_owned(),
                ordered: payload.reliable.unwrap_or(false),
                metadata: payload.metadata.clone(),
            })
        });
        let task = LinkTask {
            inner: self.inner.clone(),
            link,
            conn: None,
            registered: self.inner.registry.insert(src, connection),
            terms,
            side: Side::Callee {
                granted: Box::new(granted),
                codec,
                offer,
                incoming: self.incoming.clone(),
            },
            state: watch::Sender::new(ConnectionState::Open),
            silent: false,
            begun: Instant::now(),
            opened: false,
        };
        self.inner.tasks.spawn(task.run());
    }
}

impl Inner {
    /// Tells a caller that it is not let in; a flood of such words is dropped.
    pub(super) fn refuse(&self, to: &PeerId, connection: &ConnectionId, code: Code) {
        let refusal = Reply::Refusal {
            code,
            evidence: None,
        };
        self.reply(
            to,
            &AnswerPayload {
                sdp: None,
                connection_type: ConnectionType::Data,
                connection_id: connection.clone(),
                generation: None,
                peerage: Some(refusal.emit()),
            },
        );
    }

    fn reply(&self, to: &PeerId, answer: &AnswerPayload) {
        let frame = Frame::to(to.clone(), Kind::Answer, Some(answer.to_raw()));
        if self.signalling.try_send(frame).is_err() {
            tracing::debug!("no room for a refusal");
        }
    }
}

/// Resolves when a link's time may be over.
async fn expiry(inner: &Inner) {
    match inner.access.poll_timeout() {
        Some(at) => tokio::time::sleep(at.since(clock::wall()).min(MAX_WAIT)).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the server is reached again.
async fn back(server: &mut watch::Receiver<State>) {
    loop {
        if server.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *server.borrow_and_update() == State::Open {
            return;
        }
    }
}
