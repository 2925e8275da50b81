//! One WebSocket to the server, from its handshake to its end.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peerage_proto::identity::registration;
use peerage_proto::wire::signal::{Frame, Kind, MAX_RELAYED};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::dial::dial;
use super::{Outgoing, Registration, SignallingError};
use crate::clock;
use crate::net::{Roots, Stream};

/// As PeerJS; servers drop clients after 60 to 90 s without.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A server answers each heartbeat's ping; one that does not for this long is gone, whatever TCP says.
const SILENCE: Duration = Duration::from_secs(20);
/// The same for a server that is asked for a sign of life. A network that is slower than this has other troubles.
const ANSWER: Duration = Duration::from_secs(3);
/// From the request to the server's OPEN.
const OPEN: Duration = Duration::from_secs(10);
/// For the kernel to take a frame.
const SEND: Duration = Duration::from_secs(10);
/// A socket's usual frame is an SDP; the default of 128 KiB would be held per peer.
const READ_BUFFER: usize = 8 * 1024;

pub(super) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
}

/// Why a socket is no more.
pub(super) enum Ended {
    /// It is not wanted any more.
    Left,
    Lost(SignallingError),
}

impl Socket {
    /// Connects, registers, and waits for the server's OPEN.
    pub(super) async fn open(
        registration: &Registration,
        roots: &Roots,
    ) -> Result<Self, SignallingError> {
        let url = request_url(registration)?;
        let stream = dial(&registration.server, roots).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_RELAYED))
            .max_frame_size(Some(MAX_RELAYED));
        let opened = timeout(OPEN, async {
            // The URL holds the token: it is in no error text.
            let (stream, _) = client_async_with_config(url.as_str(), stream, Some(config))
                .await
                .map_err(|error| match error {
                    tungstenite::Error::Io(error) => SignallingError::Lost(error.to_string()),
                    tungstenite::Error::Http(response) => {
                        SignallingError::Protocol(format!("it answers {}", response.status()))
                    }
                    error => SignallingError::Protocol(error.to_string()),
                })?;
            let mut socket = Self { stream };
            socket.registered(registration).await?;
            Ok(socket)
        });
        opened
            .await
            .unwrap_or_else(|_| Err(SignallingError::Protocol("it does not answer".into())))
    }

    async fn registered(&mut self, registration: &Registration) -> Result<(), SignallingError> {
        loop {
            let Some(frame) = self.next().await? else {
                continue;
            };
            let said = || frame.message().unwrap_or_else(|| "no reason given".into());
            return Err(match frame.kind {
                Kind::Open => return Ok(()),
                Kind::IdTaken => SignallingError::IdTaken(registration.id.clone()),
                Kind::Error => SignallingError::Refused(said()),
                Kind::InvalidKey => SignallingError::Refused("invalid key".into()),
                _ => continue,
            });
        }
    }

    /// The next message; `None` for one that is no frame, which is ignored as PeerJS does.
    async fn next(&mut self) -> Result<Option<Frame>, SignallingError> {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Ok(Frame::parse(text.as_bytes()).ok()),
            Some(Ok(Message::Binary(bytes))) => Ok(Frame::parse(&bytes).ok()),
            Some(Ok(Message::Close(_))) | None => {
                Err(SignallingError::Lost("the server closed the socket".into()))
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(SignallingError::Lost(error.to_string())),
        }
    }

    /// Carries frames both ways until the socket ends, or `leave` says that it shall.
    pub(super) async fn serve(
        mut self,
        outgoing: &mut Outgoing,
        incoming: &mpsc::Sender<Frame>,
        doubt: &Notify,
        mut leave: Pin<&mut impl Future<Output = ()>>,
    ) -> Ended {
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        // When a sign of life that was asked for must be there.
        let mut answer_by: Option<Instant> = None;
        loop {
            if let Err(error) = self.send_queued(outgoing).await {
                return Ended::Lost(error);
            }
            let done = tokio::select! {
                () = leave.as_mut() => return self.leave(outgoing).await,
                frame = outgoing.queue.recv() => match frame {
                    Some(frame) => {
                        outgoing.unsent = Some(frame);
                        Ok(())
                    }
                    None => return self.leave(outgoing).await,
                },
                () = doubt.notified() => {
                    answer_by.get_or_insert_with(|| Instant::now() + ANSWER);
                    self.send(Message::Ping(Default::default())).await
                }
                () = at(answer_by) => {
                    Err(SignallingError::Lost("the server does not answer from here".into()))
                }
                frame = self.next() => {
                    heard = Instant::now();
                    answer_by = None;
                    match frame {
                        Ok(None) => Ok(()),
                        Ok(Some(frame)) => match frame.kind {
                            Kind::Error => Err(SignallingError::Lost(frame.message().unwrap_or_default())),
                            _ => {
                                if incoming.send(frame).await.is_err() {
                                    return self.leave(outgoing).await;
                                }
                                Ok(())
                            }
                        },
                        Err(error) => Err(error),
                    }
                },
                _ = heartbeat.tick() => {
                    if heard.elapsed() >= SILENCE {
                        Err(SignallingError::Lost("the server does not answer".into()))
                    } else {
                        match self.send(Message::text(Frame::heartbeat().to_text())).await {
                            Ok(()) => self.send(Message::Ping(Default::default())).await,
                            lost => lost,
                        }
                    }
                }
            };
            if let Err(error) = done {
                return Ended::Lost(error);
            }
        }
    }

    /// Sends what was taken from the queue; it stays there while it has not left.
    async fn send_queued(&mut self, outgoing: &mut Outgoing) -> Result<(), SignallingError> {
        if let Some(frame) = &outgoing.unsent {
            self.send(Message::text(frame.to_text())).await?;
            outgoing.unsent = None;
        }
        Ok(())
    }

    /// Sends what was said before, and closes: the id is free at once, not after the server's time-out.
    async fn leave(mut self, outgoing: &mut Outgoing) -> Ended {
        let goodbye = async {
            loop {
                self.send_queued(outgoing).await?;
                match outgoing.queue.try_recv() {
                    Ok(frame) => outgoing.unsent = Some(frame),
                    Err(_) => break,
                }
            }
            self.stream
                .close(None)
                .await
                .map_err(|error| SignallingError::Lost(error.to_string()))
        };
        if !matches!(timeout(SEND, goodbye).await, Ok(Ok(()))) {
            tracing::debug!("the server was not told of the end");
        }
        Ended::Left
    }

    async fn send(&mut self, message: Message) -> Result<(), SignallingError> {
        match timeout(SEND, self.stream.send(message)).await {
            Ok(sent) => sent.map_err(|error| SignallingError::Lost(error.to_string())),
            Err(_) => Err(SignallingError::Lost("the server takes nothing".into())),
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Seconds for which servers of Peerage are to keep the id when the socket breaks off: longer than a change of network takes. Others do not know the word.
const HOLD: &str = "30";

/// `{ws|wss}://host[:port]{path}peerjs?key=…&id=…&token=…&hold=…[&proof=…]`.
fn request_url(registration: &Registration) -> Result<Url, SignallingError> {
    let Registration {
        server,
        key,
        id,
        token,
        signing_key,
    } = registration;
    let bad = || SignallingError::Url(server.to_string());
    let mut url = server.clone();
    let scheme = match server.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return Err(bad()),
    };
    url.set_scheme(scheme).map_err(|()| bad())?;
    url.path_segments_mut()
        .map_err(|()| bad())?
        .pop_if_empty()
        .push("peerjs");
    url.set_fragment(None);
    {
        let mut query = url.query_pairs_mut();
        query
            .clear()
            .append_pair("key", key)
            .append_pair("id", id.as_str())
            .append_pair("token", token.expose())
            .append_pair("hold", HOLD);
        if let Some(signing_key) = signing_key
            .as_ref()
            .filter(|key| key.device_id().as_peer_id() == id)
        {
            let host = server.host_str().ok_or_else(bad)?;
            query.append_pair(
                "proof",
                &registration::prove(signing_key, host, token, clock::wall()),
            );
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use peerage_proto::identity::SigningKey;
    use peerage_proto::wire::id::{PeerId, Token};

    use super::*;
    use crate::random;

    fn registration(server: &str) -> Registration {
        Registration {
            server: Url::parse(server).expect("a URL"),
            key: "peerjs".into(),
            id: PeerId::parse("a b&c").expect("an id"),
            token: Token::parse("t").expect("a token"),
            signing_key: None,
        }
    }

    #[test]
    fn the_request_is_the_one_that_stock_servers_know() {
        for (server, url) in [
            (
                "http://localhost:9000",
                "ws://localhost:9000/peerjs?key=peerjs&id=a+b%26c&token=t&hold=30",
            ),
            (
                "https://example.org/app/",
                "wss://example.org/app/peerjs?key=peerjs&id=a+b%26c&token=t&hold=30",
            ),
            (
                "https://example.org/app?x#y",
                "wss://example.org/app/peerjs?key=peerjs&id=a+b%26c&token=t&hold=30",
            ),
        ] {
            assert_eq!(
                request_url(&registration(server)).expect("fine").as_str(),
                url
            );
        }
        assert_eq!(
            request_url(&registration("ftp://example.org/")),
            Err(SignallingError::Url("ftp://example.org/".into()))
        );
    }

    #[test]
    fn a_keys_own_id_is_asked_for_with_a_proof_and_others_are_not() {
        let key = Arc::new(SigningKey::generate(&mut random::os()));
        let mut registration = registration("http://localhost:9000");
        registration.signing_key = Some(key.clone());
        assert!(
            !request_url(&registration)
                .expect("fine")
                .as_str()
                .contains("proof")
        );
        registration.id = key.device_id().into();
        let url = request_url(&registration).expect("fine");
        let proof = url
            .query_pairs()
            .find_map(|(name, value)| (name == "proof").then(|| value.into_owned()))
            .expect("there");
        assert_eq!(
            peerage_proto::identity::registration::verify(
                &proof,
                &registration.id,
                &registration.token,
                |host| host == "localhost",
                clock::wall()
            ),
            Ok(())
        );
    }
}
