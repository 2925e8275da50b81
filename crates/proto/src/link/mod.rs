//! One PeerJS data connection between two peers, from the offer to the open channel: who sends what when, what is believed, and how it fails.
//!
//! Feed one [`Input`], drain [`Link::poll_output`] to `None`, re-arm at [`Link::poll_timeout`]. Nothing hangs: every link ends in
//! [`Output::Opened`] or [`Output::Closed`] within [`Config::connect_within`]. After `Closed` every input is ignored.
//!
//! A *verified* link is one with a device: the caller believes no answer but one that the device's key signed, sends no candidate before that, and
//! the certificate of the handshake must be the stated one on either side. A *stock* link is what PeerJS clients have: it believes the server.
//!
//! An open link whose path is lost, or whose addresses changed, restarts ICE where both ends can ([`Link::can_restart`]): `restart` has that part.

mod candidates;
mod restart;
mod signal;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

pub use self::candidates::MAX_CANDIDATES;
use self::candidates::{Ours, Theirs};
use self::restart::{Change, Restarts};
pub use self::restart::{MAX_AHEAD, RETRY, SLOWEST};
pub use self::signal::Signal;
use crate::{
    identity::{
        Code, Evidence, Fingerprint, Nonce, Reply,
        caller::{FalseAnswer, SentOffer, Verdict},
        gate::{Caller, Granted},
    },
    wire::{
        candidate::Candidate,
        id::{ConnectionId, PeerId},
        sdp::{DataDescription, SdpError},
        signal::{
            AnswerPayload, Candidate as CandidateText, CandidatePayload, ConnectionType,
            Description, Frame, Kind, OfferPayload,
        },
    },
};

/// How long a link may take, and whether it may restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// From the call to a believable answer. Default 15 s: a stock server queues for 5 s, a device answers in one round trip.
    pub answer_within: Duration,
    /// From the call or the offer to the open channel. Default 30 s: what ICE and DTLS take at worst.
    pub connect_within: Duration,
    /// Whether our engine can restart ICE: the peer is told so. Default yes.
    pub restart: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(15),
            connect_within: Duration::from_secs(30),
            restart: true,
        }
    }
}

/// What a caller's OFFER says beside its description.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// The connection's name, unique among the caller's.
    pub connection: ConnectionId,
    /// Label of the data channel; stock clients use the connection's name where the application gives none.
    pub label: String,
    /// `raw`, `json`, … : how the application's values travel.
    pub serialization: String,
    /// Whether the channel is ordered.
    pub reliable: bool,
    /// What the application says about the connection.
    pub metadata: Option<Box<RawValue>>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The caller's engine made its description. `sent` is the statement about it, whose presence makes the link a verified one.
    LocalOffer {
        /// SDP; candidates in it are not sent.
        sdp: String,
        /// Made with the description's fingerprint, for this link's connection and label.
        sent: Option<Box<SentOffer>>,
    },
    /// The callee's engine made its description, after [`Output::ApplyRemote`] or [`Output::AnswerRestart`].
    LocalAnswer {
        /// SDP; candidates in it are not sent.
        sdp: String,
        /// The device's statement about it, to a verified caller.
        evidence: Option<Evidence>,
    },
    /// Nothing is heard from the peer, until [`PathBack`](Self::PathBack). May come often.
    PathLost,
    /// Our addresses changed: the path may be a poor one now, or soon none. May come often.
    PathChanged,
    /// The peer is heard again.
    PathBack,
    /// The caller's engine made its description of a restart, after [`Output::Restart`]. On a verified link `sent` is the statement about it
    /// ([`SentOffer::restart`]); without it nothing is offered.
    LocalRestart {
        /// SDP; candidates in it are not sent.
        sdp: String,
        /// Made for the generation and with the nonce of the output.
        sent: Option<Box<SentOffer>>,
    },
    /// The callee's gate let an offer of this link in whose [`Granted::generation`] is 1 or more.
    RestartOffered(Box<Granted>),
    /// The engine found a candidate (`candidate:…`).
    LocalCandidate(String),
    /// The peer, or the server on its behalf, sent something for this connection.
    Received(Signal),
    /// The handshake is done, with a certificate of this hash.
    RemoteCertificate(Fingerprint),
    /// The data channel is open.
    ChannelOpened,
    /// The engine gave up, or the channel closed.
    EngineClosed,
}

/// What must be done.
#[derive(Debug)]
pub enum Output {
    /// Send this to the server.
    Send(Frame),
    /// Give this description to the engine: the peer's, written from scratch with the fingerprint that is believed.
    ApplyRemote {
        /// SDP without candidates.
        sdp: String,
    },
    /// Give this candidate of the peer's to the engine; always after [`ApplyRemote`](Self::ApplyRemote) or the answer to
    /// [`AnswerRestart`](Self::AnswerRestart), and of the same generation.
    AddCandidate(Candidate),
    /// The channel may be used: it is open, and its peer is who was called or let in.
    Opened,
    /// To a caller: have the engine make the description of a restart, and give it back as [`Input::LocalRestart`]. One that was made before and is
    /// not answered yet is void. An engine that cannot is asked again after [`RETRY`].
    Restart {
        /// Which one.
        generation: u32,
        /// What the statement about it is to reply to: the device wants this in place of the time.
        retry: Option<Nonce>,
    },
    /// To a callee: have the engine answer this description of a restart, and give the answer back as [`Input::LocalAnswer`], with what the gate
    /// says to `granted`. Where the engine cannot, a later offer follows.
    AnswerRestart {
        /// SDP without candidates.
        sdp: String,
        /// What let it in.
        granted: Box<Granted>,
    },
    /// Both descriptions of a new generation are applied.
    Restarted,
    /// An answer was not believed; the link goes on waiting. For the log.
    Disbelieved(FalseAnswer),
    /// The link is over: end the engine's connection.
    Closed(CloseReason),
}

/// Why a link is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Nobody has the called id.
    #[error("the peer is not there")]
    PeerUnavailable,
    /// The peer said no; [`Code::Gone`] to a restart, of a link that was open.
    #[error("refused: {0}")]
    Refused(Code),
    /// The device asks for a second try: another link, whose statement has this nonce in place of the time.
    #[error("the offer was not fresh: try again with the device's nonce")]
    TryAgain(Nonce),
    /// No answer came.
    #[error("no answer")]
    NoAnswer,
    /// Answers came, but none from the called device.
    #[error("no answer from the called device: {0}")]
    WrongDevice(FalseAnswer),
    /// A description cannot be used.
    #[error("{0}")]
    Description(SdpError),
    /// The channel did not open in time.
    #[error("no route to the peer")]
    NoRoute,
    /// The handshake's certificate is not the stated one: somebody sits in between.
    #[error("the certificate of the handshake is not the stated one")]
    WrongCertificate,
    /// The peer left the server.
    #[error("the peer left")]
    PeerLeft,
    /// The engine gave up, or the channel closed.
    #[error("the connection was closed")]
    Engine,
}

/// The machine.
#[derive(Debug)]
pub struct Link {
    remote: PeerId,
    connection: ConnectionId,
    role: Role,
    phase: Phase,
    /// The peer is who it says, by a key.
    verified: bool,
    answer_by: Instant,
    connect_by: Instant,
    local: Option<DataDescription>,
    /// The peer's description, once it is believed.
    description: Option<DataDescription>,
    ours: Ours,
    theirs: Theirs,
    /// `None`: one of the two cannot restart, or that is not known yet.
    restarts: Option<Restarts>,
    config: Config,
    /// The last answer that was not believed.
    disbelieved: Option<FalseAnswer>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Role {
    Caller {
        options: CallOptions,
        sent: Option<Box<SentOffer>>,
    },
    Callee,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The engine has not made our description.
    Describing,
    /// Caller: the offer is sent.
    Calling,
    /// Both descriptions are applied.
    Connecting {
        certified: bool,
        opened: bool,
    },
    Open,
    Closed,
}

impl Link {
    /// The caller's end. Give it [`Input::LocalOffer`] as soon as the engine has one; the time runs already.
    pub fn call(remote: PeerId, options: CallOptions, config: Config, now: Instant) -> Self {
        let connection = options.connection.clone();
        Self::new(
            remote,
            connection,
            Role::Caller {
                options,
                sent: None,
            },
            config,
            now,
        )
    }

    /// The callee's end, for an offer that the gate let in. Give it [`Input::LocalAnswer`] when the engine has taken [`Output::ApplyRemote`].
    pub fn accept(
        remote: PeerId,
        connection: ConnectionId,
        granted: &Granted,
        config: Config,
        now: Instant,
    ) -> Self {
        let mut link = Self::new(remote, connection, Role::Callee, config, now);
        link.verified = matches!(granted.caller, Caller::Verified(_));
        link.both_can_restart(granted.generation);
        let sdp = link.believe(granted.description.clone());
        link.outputs.push_back(Output::ApplyRemote { sdp });
        link
    }

    /// The other peer.
    pub fn remote(&self) -> &PeerId {
        &self.remote
    }

    /// The connection's name.
    pub fn connection(&self) -> &ConnectionId {
        &self.connection
    }

    /// Whether the peer is known by its key, not only by the server's word.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        match input {
            Input::LocalOffer { sdp, sent } => self.local_offer(&sdp, sent),
            Input::LocalAnswer { sdp, evidence } => match self.phase {
                Phase::Describing => self.local_answer(&sdp, evidence),
                _ => self.answer_restart(&sdp, evidence, now),
            },
            Input::LocalCandidate(line) => self.local_candidate(&line),
            Input::PathLost => self.path(Change::Lost, now),
            Input::PathChanged => self.path(Change::Moved, now),
            Input::PathBack => self.path(Change::Back, now),
            Input::LocalRestart { sdp, sent } => self.local_restart(&sdp, sent, now),
            Input::RestartOffered(granted) => self.restart_offered(granted, now),
            Input::Received(signal) => self.received(signal, now),
            Input::RemoteCertificate(certificate) => self.remote_certificate(certificate),
            Input::ChannelOpened => {
                if let Phase::Connecting { opened, .. } = &mut self.phase {
                    *opened = true;
                    self.open_when_ready();
                }
            }
            Input::EngineClosed => self.close(CloseReason::Engine),
        }
    }

    /// What must be done next; to be drained to `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Describing | Phase::Calling if self.description.is_none() => {
                Some(self.answer_by.min(self.connect_by))
            }
            Phase::Describing | Phase::Calling | Phase::Connecting { .. } => Some(self.connect_by),
            Phase::Open => self.restarts.as_ref().and_then(Restarts::poll_timeout),
            Phase::Closed => None,
        }
    }

    /// Ends the link where its time is over; tries a restart again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.phase == Phase::Open {
            self.next_taken(now);
            return self.next_restart(now);
        }
        self.close(match (&self.description, self.disbelieved) {
            (Some(_), _) => CloseReason::NoRoute,
            (None, Some(answer)) => CloseReason::WrongDevice(answer),
            (None, None) => CloseReason::NoAnswer,
        });
    }

    fn new(
        remote: PeerId,
        connection: ConnectionId,
        role: Role,
        config: Config,
        now: Instant,
    ) -> Self {
        Self {
            remote,
            connection,
            role,
            phase: Phase::Describing,
            verified: false,
            answer_by: now + config.answer_within,
            connect_by: now + config.connect_within,
            local: None,
            description: None,
            ours: Ours::default(),
            theirs: Theirs::default(),
            restarts: None,
            config,
            disbelieved: None,
            outputs: VecDeque::new(),
        }
    }

    fn local_offer(&mut self, sdp: &str, sent: Option<Box<SentOffer>>) {
        let (
            Role::Caller {
                options,
                sent: slot,
            },
            Phase::Describing,
        ) = (&mut self.role, self.phase)
        else {
            return;
        };
        let description = match DataDescription::parse(sdp) {
            Ok(description) => description,
            Err(error) => return self.close(CloseReason::Description(error)),
        };
        let stated = sent.as_ref().map_or(description.fingerprint(), |sent| {
            sent.statement().fingerprint
        });
        let payload = OfferPayload {
            sdp: Description::offer(description.emit(stated, description.setup())),
            connection_type: ConnectionType::Data,
            connection_id: options.connection.clone(),
            metadata: options.metadata.clone(),
            label: Some(options.label.clone()),
            reliable: Some(options.reliable),
            serialization: Some(options.serialization.clone()),
            generation: self.config.restart.then_some(0),
            peerage: sent.as_ref().map(|sent| sent.evidence().emit()),
        };
        self.verified = sent.is_some();
        *slot = sent;
        self.local = Some(description);
        self.phase = Phase::Calling;
        self.send(Kind::Offer, payload.to_raw());
        if !self.verified {
            self.release_ours();
        }
    }

    fn local_answer(&mut self, sdp: &str, evidence: Option<Evidence>) {
        if !matches!((&self.role, self.phase), (Role::Callee, Phase::Describing)) {
            return;
        }
        let description = match DataDescription::parse(sdp) {
            Ok(description) => description,
            Err(error) => return self.close(CloseReason::Description(error)),
        };
        let payload = AnswerPayload {
            sdp: Some(Description::answer(
                description.emit(description.fingerprint(), description.setup()),
            )),
            connection_type: ConnectionType::Data,
            connection_id: self.connection.clone(),
            generation: self.restarts.is_some().then_some(0),
            peerage: evidence.map(|evidence| Reply::Answer(evidence).emit()),
        };
        self.local = Some(description);
        self.send(Kind::Answer, payload.to_raw());
        self.connecting();
    }

    fn local_candidate(&mut self, line: &str) {
        let Ok(candidate) = Candidate::parse(line) else {
            return;
        };
        let Some(candidate) = self.candidate_of_restart(candidate) else {
            return;
        };
        self.ours.push(candidate);
        // A verified caller tells its addresses to nobody but who has proven to be the called device.
        let may_send = match self.phase {
            Phase::Describing => false,
            Phase::Calling => !self.verified,
            Phase::Connecting { .. } | Phase::Open | Phase::Closed => true,
        };
        if may_send {
            self.release_ours();
        }
    }

    fn received(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Answer(answer) if self.phase == Phase::Calling => self.judge(&answer),
            // An offer is answered once; what comes later changes nothing, but for restarts.
            Signal::Answer(answer) => self.restart_answered(&answer, now),
            Signal::Candidate(payload) => self.remote_candidate(&payload),
            Signal::Expire if self.phase == Phase::Calling => {
                self.close(CloseReason::PeerUnavailable)
            }
            Signal::Expire => {}
            // Who is known by its key closes the channel itself: the server's word cannot cut a verified link that stands.
            Signal::Leave if self.verified && self.phase == Phase::Open => {}
            Signal::Leave => self.close(CloseReason::PeerLeft),
        }
    }

    fn judge(&mut self, answer: &AnswerPayload) {
        let verdict = match &self.role {
            Role::Caller {
                sent: Some(sent), ..
            } => sent.verify(&self.remote, answer),
            _ => match stock_verdict(answer) {
                Ok(verdict) => Ok(verdict),
                Err(reason) => return self.close(reason),
            },
        };
        match verdict {
            Ok(Verdict::Accepted(description)) => {
                self.both_can_restart(answer.generation);
                let sdp = self.believe(description);
                self.outputs.push_back(Output::ApplyRemote { sdp });
                self.connecting();
            }
            Ok(Verdict::Refused(code)) => self.close(CloseReason::Refused(code)),
            Ok(Verdict::TryAgain(nonce)) => self.close(CloseReason::TryAgain(nonce)),
            Err(answer) => {
                self.disbelieved = Some(answer);
                self.outputs.push_back(Output::Disbelieved(answer));
            }
        }
    }

    /// Returns the description as the engine gets it.
    fn believe(&mut self, description: DataDescription) -> String {
        let sdp = description.to_text();
        self.theirs.describe(&description);
        self.description = Some(description);
        sdp
    }

    fn connecting(&mut self) {
        self.phase = Phase::Connecting {
            certified: false,
            opened: false,
        };
        self.release_ours();
        self.release_theirs();
    }

    fn remote_candidate(&mut self, payload: &CandidatePayload) {
        // Empty text marks the end of candidates; the rest of what does not parse is of no use either.
        let Ok(mut candidate) = Candidate::parse(&payload.candidate.candidate) else {
            return;
        };
        if candidate.ufrag.is_none() {
            candidate
                .ufrag
                .clone_from(&payload.candidate.username_fragment);
        }
        self.theirs.push(candidate);
        if matches!(self.phase, Phase::Connecting { .. } | Phase::Open) {
            self.release_theirs();
        }
    }

    fn release_theirs(&mut self) {
        while let Some(candidate) = self.theirs.next() {
            self.outputs.push_back(Output::AddCandidate(candidate));
        }
    }

    fn release_ours(&mut self) {
        if let Some(local) = &self.local {
            let of = name_of(local);
            let candidates = self.ours.take();
            self.tell(candidates, &of);
        }
    }

    fn tell(&mut self, candidates: Vec<Candidate>, (mid, ufrag): &(String, String)) {
        for candidate in candidates {
            let payload = CandidatePayload {
                candidate: CandidateText {
                    candidate: candidate.to_string(),
                    sdp_mid: Some(mid.clone()),
                    sdp_m_line_index: Some(0),
                    username_fragment: Some(ufrag.clone()),
                },
                connection_type: ConnectionType::Data,
                connection_id: self.connection.clone(),
            };
            self.send(Kind::Candidate, payload.to_raw());
        }
    }

    fn remote_certificate(&mut self, certificate: Fingerprint) {
        if self.description.as_ref().map(DataDescription::fingerprint) != Some(certificate) {
            return self.close(CloseReason::WrongCertificate);
        }
        if let Phase::Connecting { certified, .. } = &mut self.phase {
            *certified = true;
            self.open_when_ready();
        }
    }

    fn open_when_ready(&mut self) {
        if self.phase
            == (Phase::Connecting {
                certified: true,
                opened: true,
            })
        {
            self.phase = Phase::Open;
            self.outputs.push_back(Output::Opened);
        }
    }

    fn send(&mut self, kind: Kind, payload: Box<RawValue>) {
        self.outputs.push_back(Output::Send(Frame::to(
            self.remote.clone(),
            kind,
            Some(payload),
        )));
    }

    fn close(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.ours = Ours::default();
        self.theirs = Theirs::default();
        self.restarts = None;
        self.outputs.push_back(Output::Closed(reason));
    }
}

/// What the candidates of a description are told with.
fn name_of(description: &DataDescription) -> (String, String) {
    let (mid, ufrag) = (description.mid(), description.ice_ufrag());
    (mid.to_owned(), ufrag.to_owned())
}

/// What an answer says to a caller who believes the server: a device may refuse it, any other answer is taken.
fn stock_verdict(answer: &AnswerPayload) -> Result<Verdict, CloseReason> {
    match &answer.sdp {
        Some(sdp) => DataDescription::parse_stock(&sdp.sdp)
            .map(Verdict::Accepted)
            .map_err(CloseReason::Description),
        None => {
            let reply = answer
                .peerage
                .as_ref()
                .and_then(|member| Reply::parse(member.get()).ok());
            let code = match reply {
                Some(Reply::Refusal { code, .. }) => code,
                _ => Code::Malformed,
            };
            Ok(Verdict::Refused(code))
        }
    }
}
