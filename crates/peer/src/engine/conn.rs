//! One connection: a WebRTC session with data channels.
//!
//! Every method that changes the session is followed by [`Conn::drive`], which drains it: datagrams go to the sink, news to the owner,
//! messages to the pipe.

mod restart;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_proto::wire::ice_url::Transport;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event as RtcEvent, IceCreds, Input, Output, Rtc, RtcError};

use super::consent::{Consent, Generation, Received, Sign, Way};

use super::demux::PortIndex;
use super::flow::{Flows, SCTP_QUEUE};
use super::paths::{HEAD_START, Relays};
use super::record::Record;
use super::{ChannelInit, EngineError, Event, MAX_LABEL, Path, Reports, sdp};
use crate::connection::CloseReason;
use crate::{ByteString, MAX_MESSAGE, Message, TriedKind};

use restart::{Early, Pending};

/// From the description to the open channel. Above any caller's own deadline.
pub(super) const CONNECT: Duration = Duration::from_secs(60);
/// A closed channel's last messages may take this long to be acknowledged.
const LINGER: Duration = Duration::from_secs(5);
/// And the shutdown after it.
const SHUTDOWN: Duration = Duration::from_secs(1);
/// Candidates of the peer's: some interfaces, each with a reflexive and a relayed one.
const REMOTE_CANDIDATES: usize = 64;
/// How soon a way that the stack chose is known, where nothing is sent.
const STATS_INTERVAL: Duration = Duration::from_secs(2);

pub(super) struct Conn {
    rtc: Rtc,
    port: PortIndex,
    /// The name of the session's media section.
    mid: String,
    pending: Option<Pending>,
    consent: Consent,
    early: Early,
    /// Whether [`Consent::our_ufrags`] are others than when [`renamed`](Self::renamed) was last asked.
    renamed: bool,
    phase: Phase,
    flows: Flows,
    peer_limit: usize,
    /// The peer's candidates that it told of, in this generation.
    theirs: Vec<Candidate>,
    relays: Relays,
    relay_only: bool,
    /// Without a word of the peer for this long the connection is over.
    lost_after: Duration,
    /// Between which addresses messages go.
    nominated: Option<Way>,
    /// Where the last datagram for the stack came by.
    arrived: Option<Way>,
    /// Where the peer was last heard that is not the way in use.
    elsewhere: Option<(Way, Instant)>,
    record: Record,
    reports: Reports,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until the first channel opens.
    Connecting {
        until: Instant,
    },
    Open,
    /// The user closed all channels: what was sent before is still delivered.
    Flushing {
        until: Instant,
    },
    /// The session says goodbye.
    Leaving {
        until: Instant,
    },
    Gone,
}

/// Where a connection's datagrams go.
pub(super) trait Sink {
    /// Sends a datagram from an address of ours, or from one at a server that stands for us; `nominated` when it went to the peer's chosen address and not to
    /// one that is only being checked.
    fn send(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
        nominated: bool,
    );
}

/// What all connections of an engine are made with.
pub(super) struct Ingredients {
    pub(super) crypto: Arc<CryptoProvider>,
    pub(super) certificate: DtlsCert,
    /// Whether nothing may go but through servers.
    pub(super) relay_only: bool,
    /// As in [`EngineConfig`](super::EngineConfig).
    pub(super) silent_after: Duration,
    pub(super) lost_after: Duration,
    pub(super) connect: Duration,
}

impl Conn {
    /// A connection that offers; with the offer.
    pub(super) fn offer(
        channels: Vec<ChannelInit>,
        port: PortIndex,
        ingredients: Ingredients,
        mut flows: Flows,
        reports: Reports,
        now: Instant,
    ) -> Result<(Self, String), EngineError> {
        let mut rtc = session(&ingredients, now);
        let mut changes = rtc.sdp_api();
        for init in channels {
            flows.add(changes.add_channel_with_config(ChannelConfig {
                label: init.label,
                ordered: init.ordered,
                reliability: match init.max_retransmits {
                    Some(retransmits) => Reliability::MaxRetransmits { retransmits },
                    None => Reliability::Reliable,
                },
                ..ChannelConfig::default()
            }));
        }
        // A first channel always needs negotiation.
        let (offer, pending) = changes
            .apply()
            .ok_or_else(|| EngineError::Description("nothing to offer".into()))?;
        let offer = offer.to_sdp_string();
        let mid = sdp::attribute(&offer, "mid").unwrap_or(sdp::MID).to_owned();
        let text = sdp::outgoing(&offer, &mid);
        let mut conn = Self::new(rtc, port, mid, &ingredients, flows, reports, now);
        conn.pending = Some(Pending::First(pending));
        Ok((conn, text))
    }

    /// A connection that answers; with the answer.
    pub(super) fn answer(
        offer: &str,
        port: PortIndex,
        ingredients: Ingredients,
        flows: Flows,
        reports: Reports,
        now: Instant,
    ) -> Result<(Self, String), EngineError> {
        let parsed = SdpOffer::from_sdp_string(offer)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        let mut rtc = session(&ingredients, now);
        let answer = rtc
            .sdp_api()
            .accept_offer(parsed)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        let mid = sdp::attribute(offer, "mid").unwrap_or(sdp::MID).to_owned();
        let mut conn = Self::new(rtc, port, mid, &ingredients, flows, reports, now);
        conn.described(offer);
        Ok((conn, answer.to_sdp_string()))
    }

    fn new(
        rtc: Rtc,
        port: PortIndex,
        mid: String,
        ingredients: &Ingredients,
        flows: Flows,
        reports: Reports,
        now: Instant,
    ) -> Self {
        Self {
            rtc,
            port,
            mid,
            pending: None,
            consent: Consent::new(ingredients.silent_after),
            early: Early::default(),
            renamed: false,
            phase: Phase::Connecting {
                until: now + ingredients.connect,
            },
            flows,
            peer_limit: MAX_MESSAGE,
            theirs: Vec::new(),
            relays: Relays::default(),
            relay_only: ingredients.relay_only,
            lost_after: ingredients.lost_after,
            nominated: None,
            arrived: None,
            elsewhere: None,
            record: Record::default(),
            reports,
        }
    }

    /// What the peer's first description says beside what the stack reads.
    fn described(&mut self, description: &str) {
        self.peer_limit = sdp::max_message_size(description).min(MAX_MESSAGE);
        let theirs = sdp::ice_credentials(description);
        self.begin_generation(theirs);
    }

    fn begin_generation(&mut self, theirs: IceCreds) {
        let ours = self.rtc.direct_api().local_ice_credentials();
        self.consent.begin(Generation { ours, theirs });
        self.renamed = true;
    }

    pub(super) fn port(&self) -> PortIndex {
        self.port
    }

    /// Whether no channel is open yet.
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    pub(super) fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// SHA-256 of our certificate.
    pub(super) fn fingerprint(&mut self) -> Option<[u8; 32]> {
        self.rtc
            .direct_api()
            .local_dtls_fingerprint()
            .bytes
            .as_slice()
            .try_into()
            .ok()
    }

    /// SHA-256 of the certificate that the peer proved to have; `None` before the handshake.
    fn certificate(&mut self) -> Option<[u8; 32]> {
        let api = self.rtc.direct_api();
        let print = api.remote_dtls_fingerprint()?;
        let is_sha256 = print.hash_func.eq_ignore_ascii_case("sha-256");
        is_sha256
            .then(|| print.bytes.as_slice().try_into().ok())
            .flatten()
    }

    /// Adds one of our addresses and tells the peer.
    pub(super) fn add_address(&mut self, address: SocketAddr) {
        if !self.relay_only {
            self.record.add_local(TriedKind::Host, address);
            self.add_local(Candidate::host(address, "udp").ok());
        }
    }

    /// Adds what a server sees of one of our addresses, and tells the peer.
    pub(super) fn add_reflexive(&mut self, address: SocketAddr, base: SocketAddr) {
        if !self.relay_only {
            self.record.add_local(TriedKind::Reflexive, address);
            self.add_local(Candidate::server_reflexive(address, base, "udp").ok());
        }
    }

    fn add_local(&mut self, candidate: Option<Candidate>) {
        let added = candidate.and_then(|candidate| {
            self.rtc
                .add_local_candidate(candidate)
                .map(Candidate::to_sdp_string)
        });
        if let Some(candidate) = added {
            self.tell_candidate(candidate);
        }
    }

    /// A server sees something else now.
    pub(super) fn remove_reflexive(&mut self, address: SocketAddr, base: SocketAddr) {
        if let Ok(candidate) = Candidate::server_reflexive(address, base, "udp") {
            self.rtc.direct_api().invalidate_candidate(&candidate);
        }
    }

    /// Tells the peer of an address at a server that stands for us, and tries it a little later than our own.
    pub(super) fn add_relayed(&mut self, address: SocketAddr, transport: Transport, now: Instant) {
        let ufrag = self.ufrag();
        if let Some(line) = self.relays.add_ours(address, transport, &ufrag) {
            self.record.add_local(TriedKind::Relayed, address);
            self.tell_candidate(line);
            self.try_relays(now);
        }
    }

    /// It does not stand for us any more.
    pub(super) fn remove_relayed(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.relays.remove_ours(address) {
            self.rtc.direct_api().invalidate_candidate(&candidate);
        }
    }

    fn try_relays(&mut self, now: Instant) {
        for candidate in self.relays.due(now) {
            self.rtc.add_local_candidate(candidate);
        }
    }

    /// One of our addresses is gone.
    pub(super) fn remove_address(&mut self, address: SocketAddr) {
        if let Ok(candidate) = Candidate::host(address, "udp") {
            self.rtc.direct_api().invalidate_candidate(&candidate);
        }
    }

    /// The machine's addresses are others now.
    pub(super) fn addresses_changed(&self) {
        if matches!(self.phase, Phase::Open) {
            self.reports.event(Event::Path(Path::Changed));
        }
    }

    /// Applies an answer. A first one that cannot be used ends the connection, a restart's is refused.
    pub(super) fn set_remote(&mut self, answer: &str, now: Instant) -> Result<(), EngineError> {
        let pending = match self.pending.take() {
            Some(Pending::First(pending)) => pending,
            Some(Pending::Restart(restart)) => return self.apply_restart(restart, answer, now),
            None => return Ok(()),
        };
        let applied = SdpAnswer::from_sdp_string(&sdp::incoming(answer, &self.mid))
            .map_err(|error| error.to_string())
            .and_then(|parsed| {
                self.rtc
                    .sdp_api()
                    .accept_answer(pending, parsed)
                    .map_err(|error| error.to_string())
            });
        match applied {
            Ok(()) => self.described(answer),
            Err(error) => self.end(CloseReason::Failed(error), now),
        }
        Ok(())
    }

    /// Adds a candidate of the peer's; returns its address if it is used.
    pub(super) fn add_candidate(&mut self, candidate: &str, now: Instant) -> Option<SocketAddr> {
        if self.theirs.len() >= REMOTE_CANDIDATES || self.is_early(candidate) {
            return None;
        }
        if let Some(place) = sdp::hidden_place(candidate) {
            self.record.add_hidden(place);
            return None;
        }
        let candidate = Candidate::from_sdp_string(candidate)
            .inspect_err(|error| tracing::debug!(%error, "candidate ignored"))
            .ok()
            .filter(|candidate| candidate.proto() == Protocol::Udp)?;
        self.theirs.push(candidate.clone());
        self.record.add_remote(&candidate);
        let address = candidate.addr();
        let head_start = match self.relay_only {
            true => Duration::ZERO,
            false => HEAD_START,
        };
        let is_new_relay = self.relays.add_theirs(&candidate, head_start, now);
        self.rtc.add_remote_candidate(candidate.clone());
        if is_new_relay {
            // Checks that came before this word of it made the stack take it for a reflexive address, and the stack would keep the priority of one, above that
            // of direct paths. Taken back and added anew, it has its own.
            self.rtc.direct_api().invalidate_candidate(&candidate);
            self.rtc.add_remote_candidate(candidate);
            self.tell_route();
        }
        Some(address)
    }

    fn tell_route(&self) {
        if let Some((source, destination)) = self.nominated {
            self.reports
                .meter
                .set_relayed(self.relays.is_relayed(source, destination));
        }
    }

    /// A datagram from the network.
    pub(super) fn receive(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        let relayed = self.relays.is_relayed(destination, source);
        self.reports.meter.count_received(datagram.len(), relayed);
        match self.consent.received((destination, source), datagram, now) {
            Received::Other => {}
            Received::Taken => return,
            Received::Answer { way, after, own } => {
                self.record.check_answered(way.0, way.1);
                self.reports.meter.hear(now);
                if self.nominated == Some(way) {
                    self.reports.meter.set_round_trip(after);
                }
                self.hear_by(way, now);
                if own {
                    return;
                }
            }
        }
        // Connectivity checks go on while the reader lags, or the peer would take the path for lost.
        if is_dtls(datagram) && self.flows.is_stalled(datagram) {
            return self.flows.hold(source, destination, datagram);
        }
        self.input(source, destination, datagram, now);
        if datagram.starts_with(&[0, 1]) {
            // The stack looks at its next timer, up to 3 s away, at what the peer chose by a check.
            self.handle_timeout(now);
        }
    }

    /// Something came through DTLS.
    fn hear(&mut self, now: Instant) {
        self.reports.meter.hear(now);
        if let Some(way) = self.arrived {
            self.hear_by(way, now);
        }
    }

    fn hear_by(&mut self, way: Way, now: Instant) {
        if self.nominated == Some(way) {
            let sign = self.consent.hear(now);
            self.tell_sign(sign);
        } else {
            self.elsewhere = Some((way, now));
        }
    }

    /// The way in use gives no answers. Where another does, the peer has moved, or a middlebox forgot us: the stack would keep to the silent one for up to
    /// 22 s, if that has the higher priority. The end at which the two differ is taken back and added anew, so that its ways have to prove themselves.
    fn doubt_way(&mut self) {
        let (Some(way), Some((other, at)), Some(heard)) =
            (self.nominated, self.elsewhere, self.consent.heard())
        else {
            return;
        };
        if at <= heard || self.relays.is_ours(way.0) {
            return;
        }
        if other.1 == way.1 {
            if let Ok(candidate) = Candidate::host(way.0, "udp")
                && self.rtc.direct_api().invalidate_candidate(&candidate)
            {
                self.rtc.add_local_candidate(candidate);
            }
            return;
        }
        let told = self.theirs.iter().filter(|it| it.addr() == way.1).cloned();
        for candidate in told.chain(unannounced(way.1)).collect::<Vec<_>>() {
            if self.rtc.direct_api().invalidate_candidate(&candidate) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
    }

    fn tell_sign(&self, sign: Option<Sign>) {
        let path = match sign {
            Some(Sign::Silent) => Path::Silent,
            Some(Sign::Back) => Path::Back,
            Some(Sign::Doubtful) | None => return,
        };
        tracing::debug!(?path, "the way to the peer");
        self.reports.event(Event::Path(path));
    }

    /// Asks the peer for a sign of life when it is time, and notices its silence.
    fn watch(&mut self, sink: &mut impl Sink, now: Instant) {
        let is_open = self.phase == Phase::Open;
        let (out, sign) = self.consent.poll(self.nominated.filter(|_| is_open), now);
        let sign = sign.filter(|_| is_open);
        if matches!(sign, Some(Sign::Doubtful | Sign::Silent)) {
            self.doubt_way();
        }
        self.tell_sign(sign);
        for (way, datagram) in out {
            self.record.check_sent();
            self.transmit(sink, way, &datagram);
        }
    }

    fn transmit(&self, sink: &mut impl Sink, way: Way, datagram: &[u8]) {
        let relayed = self.relays.is_relayed(way.0, way.1);
        self.reports.meter.count_sent(datagram.len(), relayed);
        sink.send(way.0, way.1, datagram, is_dtls(datagram));
    }

    /// Messages go by this way from now on.
    fn nominate(&mut self, way: Way, now: Instant) {
        if self.nominated == Some(way) {
            return;
        }
        self.nominated = Some(way);
        let sign = self.consent.moved(now);
        self.tell_sign(sign);
        self.tell_route();
    }

    fn input(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        self.arrived = Some((destination, source));
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, datagram) else {
            return;
        };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            // A record that makes no sense is dropped (RFC 6347 4.1.2.7): anybody can send one. While the handshake runs it may be the peer's refusal.
            if matches!(self.phase, Phase::Connecting { .. }) {
                self.fail(error, now);
            } else {
                tracing::debug!(%error, "datagram dropped");
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.try_relays(now);
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fail(error, now);
        }
        match self.phase {
            Phase::Connecting { until } if now >= until => self.end(CloseReason::NoRoute, now),
            Phase::Open if now >= self.reports.meter.heard() + self.lost_after => {
                self.end(CloseReason::Lost, now)
            }
            Phase::Flushing { until } if now >= until => self.end(CloseReason::Local, now),
            Phase::Leaving { until } if now >= until => self.phase = Phase::Gone,
            _ => {}
        }
        if self.flows.slow_at().is_some_and(|slow| now >= slow) {
            self.end(CloseReason::SlowReader, now);
        }
        if self
            .flows
            .untaken_at()
            .is_some_and(|untaken| now >= untaken)
        {
            self.end(CloseReason::SlowPeer, now);
        }
    }

    /// The user sent, read or closed.
    pub(super) fn pipes_changed(&mut self, sink: &mut impl Sink, now: Instant) {
        self.flows.refill();
        while let Some((source, destination, datagram)) = self.flows.resume() {
            self.input(source, destination, &datagram, now);
            // The stack drops records that it has not been asked about.
            self.drive(sink, now);
        }
        if self.flows.are_closed() {
            match self.phase {
                Phase::Open => {
                    self.phase = Phase::Flushing {
                        until: now + LINGER,
                    }
                }
                Phase::Connecting { .. } => self.end(CloseReason::Local, now),
                _ => {}
            }
        }
    }

    /// Drains the session. Returns when to call [`handle_timeout`](Self::handle_timeout), or `None` when the connection is over.
    pub(super) fn drive(&mut self, sink: &mut impl Sink, now: Instant) -> Option<Instant> {
        self.watch(sink, now);
        let wanted = loop {
            if self.phase == Phase::Gone {
                return None;
            }
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    let way = (transmit.source, transmit.destination);
                    if is_dtls(&transmit.contents) {
                        self.nominate(way, now);
                    } else if self.consent.sent(way, &transmit.contents, now) {
                        self.record.check_sent();
                    }
                    self.transmit(sink, way, &transmit.contents);
                }
                Ok(Output::Event(event)) => self.handle_event(event, now),
                Ok(Output::Timeout(at)) => {
                    if !self.write(now) {
                        break at;
                    }
                }
                Err(error) => self.fail(error, now),
            }
        };
        if !self.rtc.is_alive() {
            self.end(CloseReason::Remote, now);
            self.phase = Phase::Gone;
            return None;
        }
        let own = match self.phase {
            Phase::Connecting { until } | Phase::Flushing { until } | Phase::Leaving { until } => {
                until
            }
            Phase::Open => self.reports.meter.heard() + self.lost_after,
            Phase::Gone => return None,
        };
        let watch = self.consent.poll_timeout();
        let watch = watch.filter(|_| self.phase == Phase::Open);
        let slow = [self.flows.slow_at(), self.flows.untaken_at()];
        let slow = slow.into_iter().flatten().min();
        let slow = slow.filter(|_| !matches!(self.phase, Phase::Leaving { .. }));
        let others = [slow, self.relays.due_at(), watch];
        Some(
            [Some(wanted), Some(own)]
                .into_iter()
                .chain(others)
                .flatten()
                .min()
                .unwrap_or(own),
        )
    }

    /// Hands waiting messages to SCTP while it has room; whether there is something to poll for.
    fn write(&mut self, now: Instant) -> bool {
        if !matches!(self.phase, Phase::Open | Phase::Flushing { .. }) {
            return false;
        }
        let written = match self.flows.write(&mut self.rtc, now) {
            Ok(written) => written,
            Err(error) => {
                self.fail(error, now);
                return true;
            }
        };
        if written.heard {
            self.hear(now);
        }
        if written.everything && matches!(self.phase, Phase::Flushing { .. }) {
            self.end(CloseReason::Local, now);
            return true;
        }
        let mut some = written.some;
        while let Some(closed) = self.flows.take_closed() {
            self.rtc.direct_api().close_data_channel(closed);
            some = true;
        }
        some
    }

    fn handle_event(&mut self, event: RtcEvent, now: Instant) {
        match event {
            RtcEvent::Connected => match self.certificate() {
                Some(certificate) => self.reports.event(Event::Certificate(certificate)),
                None => self.end(CloseReason::WrongCertificate, now),
            },
            RtcEvent::ChannelOpen(id, label) => self.channel_opened(id, label, now),
            RtcEvent::ChannelData(data) => self.channel_data(data, now),
            RtcEvent::ChannelClose(id) => self.channel_closed(id, now),
            RtcEvent::Closed => self.end(CloseReason::Remote, now),
            RtcEvent::IceConnectionStateChange(state) if state.is_connected() => {
                self.consent.found();
            }
            // The only word of the stack about a way that nothing was sent by yet.
            RtcEvent::PeerStats(stats) if self.nominated.is_some() => {
                if let Some(pair) = stats.selected_candidate_pair {
                    self.nominate((pair.local.addr, pair.remote.addr), now);
                }
            }
            _ => {}
        }
    }

    fn channel_opened(&mut self, id: ChannelId, label: String, now: Instant) {
        let is_first = matches!(self.phase, Phase::Connecting { .. });
        let is_wanted = self.flows.has(id) || self.flows.has_room();
        if !(is_first || self.phase == Phase::Open) || !is_wanted || label.len() > MAX_LABEL {
            self.rtc.direct_api().close_data_channel(id);
            return;
        }
        if !self.flows.has(id) {
            self.flows.add(id);
        }
        if is_first {
            self.phase = Phase::Open;
            self.reports.meter.hear(now);
            self.consent.watch(now);
        }
        let reliability = |config: &ChannelConfig| config.reliability;
        let stream = self.rtc.channel(id);
        let reliability = stream.and_then(|stream| stream.config().map(reliability));
        let is_reliable = reliability.is_none_or(|it| it == Reliability::Reliable);
        let limit = self.peer_limit;
        if let Some(channel) = self.flows.channel(id, label, is_reliable, limit) {
            self.reports.event(Event::Open(channel));
        }
    }

    /// The peer closed it. With the last one the connection ends.
    fn channel_closed(&mut self, id: ChannelId, now: Instant) {
        if self.flows.has(id) && !self.flows.remove(id) {
            self.end(CloseReason::Remote, now);
        }
    }

    fn channel_data(&mut self, ChannelData { id, binary, data }: ChannelData, now: Instant) {
        self.hear(now);
        if !self.flows.has(id) {
            return;
        }
        let message = if binary {
            Message::Binary(data.into())
        } else {
            match ByteString::try_from(data) {
                Ok(text) => Message::Text(text),
                Err(_) => {
                    return self.end(
                        CloseReason::Failed("a text message is not UTF-8".into()),
                        now,
                    );
                }
            }
        };
        self.flows.deliver(id, message, now);
    }

    fn fail(&mut self, error: RtcError, now: Instant) {
        let reason = match error {
            // The only thing about the description that comes up after it was applied.
            RtcError::RemoteSdp(_) => CloseReason::WrongCertificate,
            // The handshake gives up where no pair of addresses ever carried it.
            _ if self.nominated.is_none() => CloseReason::NoRoute,
            error => CloseReason::Failed(error.to_string()),
        };
        self.end(reason, now);
        self.phase = Phase::Gone;
    }

    /// Ends the connection: the first reason stands, the session says goodbye if it can.
    pub(super) fn end(&mut self, reason: CloseReason, now: Instant) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Gone) {
            return;
        }
        let connected = self.nominated.is_some();
        self.phase = if connected && self.rtc.is_alive() {
            Phase::Leaving {
                until: now + SHUTDOWN,
            }
        } else {
            Phase::Gone
        };
        if connected {
            for id in self.flows.ids().collect::<Vec<_>>() {
                self.rtc.direct_api().close_data_channel(id);
            }
            if self.rtc.close().is_err() {
                self.phase = Phase::Gone;
            }
        }
        self.report_end(reason);
    }

    /// Tells the owner; also the way out when the session itself cannot be touched any more.
    pub(super) fn report_end(&self, reason: CloseReason) {
        self.flows.close();
        let tried = || self.record.tried(self.reports.servers.all());
        self.reports.tried.get_or_init(tried);
        self.reports.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                tracing::debug!(%reason, "connection ended");
                *closed = Some(reason);
            }
            first
        });
    }
}

fn session(ingredients: &Ingredients, now: Instant) -> Rtc {
    Rtc::builder()
        .set_crypto_provider(ingredients.crypto.clone())
        .set_dtls_cert(ingredients.certificate.clone())
        .clear_codecs()
        // A message is handed over whole: there must be room for the largest beside what is queued.
        .set_sctp_max_buffered_amount(SCTP_QUEUE + MAX_MESSAGE)
        .set_sctp_max_message_size(MAX_MESSAGE as u32)
        .set_stats_interval(Some(STATS_INTERVAL))
        .build(now)
}

/// A candidate of the peer's that it never told of: the stack learnt it from a check.
fn unannounced(address: SocketAddr) -> Option<Candidate> {
    let (ip, port) = (address.ip(), address.port());
    Candidate::from_sdp_string(&format!("candidate:prflx 1 udp 1 {ip} {port} typ prflx")).ok()
}

/// RFC 7983: what is neither STUN nor media.
fn is_dtls(datagram: &[u8]) -> bool {
    datagram
        .first()
        .is_some_and(|first| (20..=63).contains(first))
}
