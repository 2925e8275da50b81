//! The task of one connection: carries between the link machine, the engine and the server, from the offer to the end.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peerage_proto::identity::caller::SentOffer;
use peerage_proto::identity::gate::{Caller, Granted};
use peerage_proto::identity::{Code, Fingerprint, Nonce, PublicKey};
use peerage_proto::link::{self, Input, Link, Output, Signal};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::Inner;
use super::error::ConnectError;
use super::offer::Offer;
use super::registry::{Notice, Registered};
use crate::connection::{
    CloseReason, Codec, Connection, ConnectionState, Facts, Opened, Serialization, Setup, Stage,
};
use crate::engine::{EngineConn, EngineError, Event, Path};
use crate::signalling::{SignallingError, State};
use crate::{Channel, Tried, clock, engine, random};

/// For the server to take a frame: the socket is down that long, or stuck.
const SEND: Duration = Duration::from_secs(15);

pub(super) struct LinkTask {
    pub(super) inner: Arc<Inner>,
    pub(super) link: Link,
    pub(super) conn: Option<EngineConn>,
    pub(super) registered: Registered,
    pub(super) terms: Terms,
    pub(super) side: Side,
    pub(super) state: watch::Sender<ConnectionState>,
    /// Whether nothing is heard from the peer.
    pub(super) silent: bool,
    pub(super) begun: Instant,
    pub(super) opened: bool,
}

/// What the offer said.
pub(super) struct Terms {
    pub(super) label: String,
    pub(super) serialization: Serialization,
    pub(super) metadata: Option<Box<RawValue>>,
}

/// Whose connection it is, and who waits for it.
pub(super) enum Side {
    Caller {
        slot: usize,
        /// What was stated to a device: restarts state the same anew.
        stated: Option<Box<SentOffer>>,
        /// `None` once it was told.
        waiting: Option<oneshot::Sender<Result<Opened, CallError>>>,
    },
    Callee {
        granted: Box<Granted>,
        codec: Codec,
        /// What the application is to decide on, until it has.
        offer: Option<Box<Offer>>,
        incoming: mpsc::Sender<Connection>,
    },
}

/// Why a call gave no connection.
pub(super) enum CallError {
    /// The device wants to be called once more, with this nonce.
    TryAgain(Nonce),
    Failed(ConnectError),
}

/// Why the task ends.
enum End {
    /// The machine says so.
    Link(link::CloseReason),
    /// The engine cannot.
    Engine(EngineError),
    /// The server does not take what must be sent.
    Signalling(SignallingError),
    /// The caller does not wait any more, or the peer was dropped.
    Stopped,
    /// Another connection has this one's name.
    Replaced,
    Revoked,
    /// The application said no, or nothing.
    Refused,
    /// The application does not take incoming connections.
    NotTaken,
    /// The channel is not the one that the gate let in.
    WrongLabel,
}

impl LinkTask {
    pub(super) async fn run(mut self) {
        let end = self.drive().await;
        let is_over = matches!(
            end,
            End::Stopped | End::Link(link::CloseReason::TryAgain(_))
        );
        if !self.opened && !is_over {
            self.inner.totals.failed();
        }
        let engine = self
            .conn
            .as_ref()
            .and_then(|conn| conn.facts().closed.borrow().clone());
        let facts = self.conn.as_ref().map(|conn| conn.facts().clone());
        let reason = match &end {
            End::Link(link::CloseReason::Engine) => engine.clone().unwrap_or(CloseReason::Local),
            End::Link(link::CloseReason::WrongCertificate) => CloseReason::WrongCertificate,
            End::Link(link::CloseReason::NoRoute) => CloseReason::NoRoute,
            End::Link(link::CloseReason::PeerLeft) | End::Replaced => CloseReason::Remote,
            End::Link(reason) => CloseReason::Failed(reason.to_string()),
            End::Engine(error) => CloseReason::Failed(error.to_string()),
            End::Signalling(error) => CloseReason::Failed(error.to_string()),
            End::Stopped => CloseReason::Local,
            End::Revoked => CloseReason::Revoked,
            End::Refused => CloseReason::Local,
            End::WrongLabel => {
                CloseReason::Failed("the channel's label is not the offered one".into())
            }
            End::NotTaken => CloseReason::Failed("nobody takes incoming connections".into()),
        };
        tracing::debug!(peer = %self.link.remote(), connection = %self.link.connection(), %reason, "connection over");
        if let Some(conn) = self.conn.take() {
            conn.end(reason.clone());
            // Who is told that it ended finds the channel closed. The engine answers at once, or is gone.
            let _ = conn.facts().closed.clone().wait_for(Option::is_some).await;
        }
        self.state.send_replace(ConnectionState::Closed(reason));
        let (peer, connection) = (self.link.remote(), self.link.connection());
        if let End::Refused = end {
            self.inner.refuse(peer, connection, Code::Denied);
        }
        let current = self
            .inner
            .registry
            .remove(peer, connection, self.registered.generation);
        match self.side {
            Side::Caller { slot, waiting, .. } => {
                self.inner.registry.free_slot(peer, slot);
                if let Some(waiting) = waiting {
                    let tried = facts
                        .and_then(|facts| facts.tried().cloned())
                        .unwrap_or_default();
                    // Nobody waits: nobody needs to know.
                    let _ = waiting.send(Err(call_error(end, engine, tried, &self.inner)));
                }
            }
            // The gate counts connections by name: a later one of this name is still there.
            Side::Callee { .. } if current => self.inner.access.closed(peer, connection),
            Side::Callee { .. } => {}
        }
    }

    async fn drive(&mut self) -> End {
        let mut channel = None;
        loop {
            while let Some(output) = self.link.poll_output() {
                if let Err(end) = self.perform(output, &mut channel).await {
                    return end;
                }
            }
            let deadline = self.link.poll_timeout();
            let step = tokio::select! {
                () = self.inner.stop.cancelled() => return End::Stopped,
                () = given_up(&mut self.side) => return End::Stopped,
                event = next_event(&mut self.conn) => Step::Engine(event),
                notice = self.registered.notices.recv() => Step::Notice(notice),
                () = at(deadline) => Step::Timeout,
            };
            let now = Instant::now();
            match step {
                Step::Engine(None) => self.link.handle_input(Input::EngineClosed, now),
                Step::Engine(Some(Event::Candidate(candidate))) => {
                    self.link
                        .handle_input(Input::LocalCandidate(candidate), now);
                }
                Step::Engine(Some(Event::Certificate(certificate))) => {
                    let certificate = Fingerprint::new(certificate);
                    self.link
                        .handle_input(Input::RemoteCertificate(certificate), now);
                }
                Step::Engine(Some(Event::Open(opened))) => {
                    channel = Some(opened);
                    self.link.handle_input(Input::ChannelOpened, now);
                }
                Step::Engine(Some(Event::Path(path))) => self.path(path, now),
                Step::Notice(Some(Notice::Restart(granted))) => {
                    self.link.handle_input(Input::RestartOffered(granted), now);
                }
                Step::Notice(Some(Notice::Signal(signal))) => {
                    self.link.handle_input(Input::Received(*signal), now);
                }
                Step::Notice(Some(Notice::Revoked)) => return End::Revoked,
                Step::Notice(None) => return End::Replaced,
                Step::Timeout => self.link.handle_timeout(now),
            }
        }
    }

    async fn perform(&mut self, output: Output, channel: &mut Option<Channel>) -> Result<(), End> {
        match output {
            // An open connection needs no server: what is not sent now is tried again by the machine.
            Output::Send(frame) if self.opened => {
                if self.inner.signalling.try_send(frame).is_err() {
                    tracing::debug!(peer = %self.link.remote(), "no room for what a restart needs");
                }
                Ok(())
            }
            Output::Send(frame) => {
                let sent = timeout(SEND, self.inner.signalling.send(frame)).await;
                sent.unwrap_or_else(|_| {
                    Err(SignallingError::Lost("the server takes nothing".into()))
                })
                .map_err(End::Signalling)
            }
            Output::ApplyRemote { sdp } => match &self.conn {
                Some(conn) => match conn.set_remote(&sdp).await {
                    // Of a restart: what is open goes on as it was, and the machine tries again while nothing is heard.
                    Err(error) if self.opened && !matches!(error, EngineError::Stopped) => {
                        tracing::debug!(peer = %self.link.remote(), %error, "an answer was not applied");
                        Ok(())
                    }
                    applied => applied.map_err(End::Engine),
                },
                None => self.answer(&sdp).await,
            },
            Output::AddCandidate(candidate) => match &mut self.conn {
                Some(conn) => conn
                    .add_candidate(&candidate.to_string())
                    .await
                    .map_err(End::Engine),
                None => Ok(()),
            },
            Output::Opened => self.hand_over(channel.take()),
            Output::Restart { generation, retry } => self.restart(generation, retry).await,
            Output::AnswerRestart { sdp, granted } => self.answer_restart(&sdp, &granted).await,
            Output::Restarted => {
                self.restarted();
                Ok(())
            }
            Output::Disbelieved(answer) => {
                let peer = self.link.remote();
                // On an open link the server can have as many of them told as it likes.
                match self.opened {
                    true => tracing::debug!(%peer, %answer, "an answer was not believed"),
                    false => tracing::warn!(%peer, %answer, "an answer was not believed"),
                }
                Ok(())
            }
            Output::Closed(reason) => Err(End::Link(reason)),
        }
    }

    async fn answer(&mut self, offer: &str) -> Result<(), End> {
        if let Side::Callee { offer: asked, .. } = &mut self.side
            && let Some(asked) = asked.take()
        {
            self.decide(*asked).await?;
        }
        let Side::Callee { granted, .. } = &self.side else {
            return Ok(());
        };
        self.inner.wait_for_ice().await;
        let engine::Described {
            conn,
            sdp,
            fingerprint,
        } = self.inner.engine.answer(offer).await.map_err(End::Engine)?;
        let evidence = self
            .inner
            .access
            .answer(granted, Fingerprint::new(fingerprint));
        self.conn = Some(conn);
        self.link
            .handle_input(Input::LocalAnswer { sdp, evidence }, Instant::now());
        Ok(())
    }

    /// Asks the application, and hears meanwhile whether the caller is still there.
    async fn decide(&mut self, asked: Offer) -> Result<(), End> {
        let Some(approve) = self.inner.approve.clone() else {
            return Ok(());
        };
        // Apart from this task: a panic in it refuses this call.
        let mut asking = JoinSet::new();
        asking.spawn(async move { approve.ask(asked).await });
        // The caller waits as long as we would: a refusal must be with it by then.
        let within = self.inner.timing.answer_within * 4 / 5;
        let mut decided = pin!(timeout(within, asking.join_next()));
        loop {
            let notice = tokio::select! {
                decided = &mut decided => return match decided {
                    Ok(Some(Ok(Ok(())))) => Ok(()),
                    _ => Err(End::Refused),
                },
                () = self.inner.stop.cancelled() => return Err(End::Stopped),
                notice = self.registered.notices.recv() => notice,
            };
            match notice {
                Some(Notice::Signal(signal)) => match *signal {
                    Signal::Leave => return Err(End::Link(link::CloseReason::PeerLeft)),
                    signal => self
                        .link
                        .handle_input(Input::Received(signal), Instant::now()),
                },
                Some(Notice::Restart(_)) => {}
                Some(Notice::Revoked) => return Err(End::Revoked),
                None => return Err(End::Replaced),
            }
        }
    }

    /// The way to the peer changed.
    fn path(&mut self, path: Path, now: Instant) {
        tracing::debug!(peer = %self.link.remote(), ?path, "the way to the peer");
        self.link.handle_input(
            match path {
                Path::Silent => Input::PathLost,
                Path::Changed => Input::PathChanged,
                Path::Back => Input::PathBack,
            },
            now,
        );
        match path {
            Path::Changed => self.inner.signalling.doubt(),
            Path::Silent | Path::Back => {
                self.silent = path == Path::Silent;
                self.tell_path();
            }
        }
    }

    /// What the engine cannot do now it can when the machine asks again.
    async fn restart(&mut self, generation: u32, retry: Option<Nonce>) -> Result<(), End> {
        let (Some(conn), Side::Caller { stated, .. }) = (&self.conn, &self.side) else {
            return Ok(());
        };
        let sdp = match conn.restart().await {
            Ok(sdp) => sdp,
            Err(EngineError::Stopped) => return Err(End::Engine(EngineError::Stopped)),
            Err(error) => {
                tracing::debug!(peer = %self.link.remote(), %error, "no restart");
                return Ok(());
            }
        };
        let stated = stated.as_ref().map(|stated| {
            stated.restart(
                &self.inner.key,
                generation,
                retry,
                &sdp,
                clock::wall(),
                &mut random::os(),
            )
        });
        let sent = match stated.transpose() {
            Ok(sent) => sent.map(Box::new),
            Err(error) => return Err(End::Link(link::CloseReason::Description(error))),
        };
        self.tell(ConnectionState::Restarting);
        self.link
            .handle_input(Input::LocalRestart { sdp, sent }, Instant::now());
        Ok(())
    }

    async fn answer_restart(&mut self, offer: &str, granted: &Granted) -> Result<(), End> {
        let Some(conn) = &self.conn else {
            return Ok(());
        };
        let sdp = match conn.answer_restart(offer).await {
            Ok(sdp) => sdp,
            Err(EngineError::Stopped) => return Err(End::Engine(EngineError::Stopped)),
            // Its caller tries again.
            Err(error) => {
                tracing::debug!(peer = %self.link.remote(), %error, "a restart was not answered");
                return Ok(());
            }
        };
        let evidence = match self.inner.access.answer_restart(granted, &sdp) {
            Ok(evidence) => evidence,
            Err(error) => return Err(End::Link(link::CloseReason::Description(error))),
        };
        self.tell(ConnectionState::Restarting);
        self.link
            .handle_input(Input::LocalAnswer { sdp, evidence }, Instant::now());
        Ok(())
    }

    fn restarted(&self) {
        if let Some(conn) = &self.conn {
            conn.facts().meter.count_restart();
        }
        self.tell_path();
    }

    fn tell_path(&self) {
        self.tell(match self.silent {
            true => ConnectionState::Silent,
            false => ConnectionState::Open,
        });
    }

    fn tell(&self, state: ConnectionState) {
        self.state.send_if_modified(|told| {
            let news = *told != state;
            *told = state;
            news
        });
    }

    /// Gives the open channel to who waits for it.
    fn hand_over(&mut self, channel: Option<Channel>) -> Result<(), End> {
        let (Some(channel), Some(conn)) = (channel, &self.conn) else {
            return Err(End::Link(link::CloseReason::Engine));
        };
        // The label decides what the connection may reach, so it is the offer's that counts.
        if channel.label() != self.terms.label {
            return Err(End::WrongLabel);
        }
        let meter = conn.facts().meter.clone();
        self.inner
            .totals
            .opened(meter.route(), self.begun.elapsed());
        self.opened = true;
        let stage = Stage {
            connection: self.link.connection().clone(),
            meter,
            renewals: 0,
        };
        let facts = Facts {
            peer: self.link.remote().clone(),
            label: std::mem::take(&mut self.terms.label),
            metadata: self.terms.metadata.take(),
            serialization: self.terms.serialization.clone(),
            key: self.caller_key(),
            verified: self.link.is_verified(),
            stage: Mutex::new(stage),
            state: self.state.subscribe(),
        };
        let opened = Opened { channel, facts };
        match &mut self.side {
            Side::Caller { waiting, .. } => match waiting.take() {
                Some(waiting) => waiting.send(Ok(opened)).map_err(|_| End::Stopped),
                None => Ok(()),
            },
            Side::Callee {
                incoming, codec, ..
            } => {
                let setup = Setup {
                    codec: codec.clone(),
                    limits: self.inner.limits,
                };
                incoming
                    .try_send(Connection::new(opened, setup))
                    .map_err(|_| End::NotTaken)
            }
        }
    }

    fn caller_key(&self) -> Option<PublicKey> {
        match &self.side {
            Side::Callee { granted, .. } => match &granted.caller {
                Caller::Verified(key) => Some(key.clone()),
                Caller::Unverified => None,
            },
            Side::Caller { .. } => None,
        }
    }
}

enum Step {
    Engine(Option<Event>),
    Notice(Option<Notice>),
    Timeout,
}

fn call_error(end: End, engine: Option<CloseReason>, tried: Tried, inner: &Inner) -> CallError {
    CallError::Failed(match end {
        End::Link(link::CloseReason::TryAgain(nonce)) => return CallError::TryAgain(nonce),
        End::Link(reason @ (link::CloseReason::NoAnswer | link::CloseReason::PeerUnavailable)) => {
            match &*inner.signalling.state().borrow() {
                State::Open => ConnectError::of_link(reason, engine, tried),
                State::Down(error) => ConnectError::Signalling(error.clone()),
            }
        }
        End::Link(reason) => ConnectError::of_link(reason, engine, tried),
        End::Engine(error) => error.into(),
        End::Signalling(error) => ConnectError::Signalling(error),
        End::Revoked => ConnectError::Closed(CloseReason::Revoked),
        End::Stopped | End::Replaced | End::NotTaken | End::WrongLabel | End::Refused => {
            ConnectError::Stopped
        }
    })
}

/// The engine's next event; never, while there is no connection in it.
async fn next_event(conn: &mut Option<EngineConn>) -> Option<Event> {
    match conn {
        Some(conn) => conn.event().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the application does not wait for its call any more.
async fn given_up(side: &mut Side) {
    match side {
        Side::Caller {
            waiting: Some(waiting),
            ..
        } => waiting.closed().await,
        _ => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
