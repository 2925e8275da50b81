//! What can be reached from here, step by step: for who cannot connect and wants to know why.
//!
//! ```no_run
//! use peerage_peer::doctor::{Doctor, Progress};
//!
//! # async fn examine() -> Result<(), Box<dyn std::error::Error>> {
//! let doctor = Doctor::new("https://example.org".parse()?);
//! let mut tell = |progress| {
//!     if let Progress::Done(step) = progress {
//!         println!("{} {}: {}", step.finding.status().name(), step.probe.name(), step.finding);
//!     }
//! };
//! doctor.examine(&mut tell).await;
//! # Ok(())
//! # }
//! ```
//!
//! Later steps are taken although earlier ones failed, where they still make sense; what is skipped says why. Each step has a deadline of its own, all
//! together take at most a minute. What is sent anywhere is what connecting would send: requests to the signalling server, to STUN and TURN servers, octets of
//! no meaning from one relay to another one, and a call to the device. Nothing that is found shows a password, a token or a link's secret.

mod channel;
mod finding;
mod ice;
mod mapping;
mod relay;
mod server;

use std::time::{Duration, Instant};

use peerage_proto::identity::{LinkProof, SigningKey};
use peerage_proto::wire::ice_servers::IceServer;
use peerage_proto::wire::id::{DeviceId, PeerId, Token};
use peerage_proto::wire::signal::Frame;
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

pub use finding::{CLOCK_LIMIT, ClockDifference, Finding, Nat, NoWay, Skipped, Status, TlsProblem};

use crate::net::{Roots, Stream};
use crate::random;
use crate::signalling::{Registration, Signalling, SignallingError, ice_servers};
use channel::Setup;
use ice::Target;

/// For all steps together.
const WHOLE: Duration = Duration::from_secs(55);
/// For a step that has no deadline of its own beneath.
const STEP: Duration = Duration::from_secs(8);
/// For two peers of our own to meet.
const LOOP_BACK: Duration = Duration::from_secs(15);
/// For a device to be called.
const CALL: Duration = Duration::from_secs(20);

/// An examination to be made.
#[derive(Debug)]
pub struct Doctor {
    server: Url,
    key: String,
    ice_servers: Vec<IceServer>,
    relay_only: bool,
    roots: Roots,
    device: Option<Device>,
}

/// A device to be called.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What proves that we were given a link to it.
    pub proof: Option<LinkProof>,
    /// The key by which it knows us, or will.
    pub identity: SigningKey,
}

/// What a step looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// The addresses behind the server's name.
    Name,
    /// TCP to them.
    Connection,
    /// TLS, where the server's URL is `https`.
    Tls,
    /// The server's clock against ours.
    Clock,
    /// The WebSocket, and the server's OPEN.
    Signalling,
    /// The STUN and TURN servers that the server tells of.
    IceServers,
    /// Where one of them sees us.
    Stun,
    /// What is in between.
    Nat,
    /// A relay, and whether it carries.
    Turn,
    /// A data channel between two peers of this process, introduced by the server.
    Channel,
    /// The same by relays alone.
    RelayedChannel,
    /// The device of a link.
    Device,
}

impl Probe {
    /// Its name for machines: `name`, `connection`, `tls`, `clock`, `signalling`, `ice_servers`, `stun`, `nat`, `turn`, `channel`, `relayed_channel`, `device`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::Signalling => "signalling",
            Self::IceServers => "ice_servers",
            Self::Stun => "stun",
            Self::Nat => "nat",
            Self::Turn => "turn",
            Self::Channel => "channel",
            Self::RelayedChannel => "relayed_channel",
            Self::Device => "device",
        }
    }
}

/// A step that was taken.
#[derive(Debug)]
pub struct Step {
    /// What was looked at.
    pub probe: Probe,
    /// Where: a host, a server by a transport, a device. Without any secret.
    pub subject: String,
    /// How long it took.
    pub took: Duration,
    /// What was found.
    pub finding: Finding,
}

/// How an examination goes.
#[derive(Debug)]
pub enum Progress {
    /// This is looked at now.
    Begun(Probe),
    /// This was found.
    Done(Step),
}

impl Doctor {
    /// Of a signalling server (`http(s)://host[:port][/path/]`), and of what it tells of.
    #[must_use]
    pub fn new(server: Url) -> Self {
        Self {
            server,
            key: "peerjs".into(),
            ice_servers: Vec::new(),
            relay_only: false,
            roots: Roots::default(),
            device: None,
        }
    }

    /// The server's PeerJS key. Default `peerjs`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// STUN and TURN servers to look at beside those that the server tells of, and before them.
    #[must_use]
    pub fn ice_servers(mut self, servers: Vec<IceServer>) -> Self {
        self.ice_servers = servers;
        self
    }

    /// Makes connections by relays alone. Default no.
    #[must_use]
    pub fn relay_only(mut self, relay_only: bool) -> Self {
        self.relay_only = relay_only;
        self
    }

    /// Trusts this authority for the certificates of the server and of TURN servers, beside the system's.
    #[must_use]
    pub fn trust(mut self, authority: CertificateDer<'static>) -> Self {
        self.roots.extra.push(authority);
        self
    }

    /// Calls this device too, as the last step. It sees a visitor, who leaves at once.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Takes all steps, and tells `watch` as they begin and end. Takes a minute at most, and a few seconds where what fails is told at once. Dropping the
    /// future ends it.
    pub async fn examine(self, watch: &mut (dyn FnMut(Progress) + Send)) {
        let mut notes = Notes {
            watch,
            deadline: Instant::now() + WHOLE,
        };
        let registration = self.reach(&mut notes).await;
        let told = self
            .ask_for_servers(registration.as_ref(), &mut notes)
            .await;
        let relays = ice::look_at(&told, &self.roots, &mut notes).await;
        self.connect(registration.is_some(), relays, &mut notes)
            .await;
    }

    /// The server itself, layer by layer.
    async fn reach(&self, notes: &mut Notes<'_>) -> Option<Registered> {
        let (host, port) = (self.server.host(), self.server.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else {
            let finding = Finding::NotResolved("the server's URL has no host".into());
            notes.note(Probe::Name, self.server.to_string(), finding);
            return None;
        };
        let name = host.to_string();
        let place = format!("{name}:{port}");
        let found = notes.step(
            Probe::Name,
            name.clone(),
            STEP,
            server::resolve(&host, port),
        );
        let addresses = found.await.unwrap_or_default();
        let stream = if addresses.is_empty() {
            notes.skip(Probe::Connection, &place, Skipped::NoServer);
            None
        } else {
            let found = server::connect(&addresses);
            notes
                .step(Probe::Connection, place.clone(), STEP, found)
                .await
                .flatten()
        };
        let is_reached = stream.is_some();
        let stream: Option<Box<dyn Stream>> = match (self.server.scheme(), stream) {
            ("https", Some(stream)) => {
                let found = server::secure(stream, &host, &self.roots);
                notes
                    .step(Probe::Tls, place.clone(), STEP, found)
                    .await
                    .flatten()
            }
            ("https", None) => {
                notes.skip(Probe::Tls, &place, Skipped::NoServer);
                None
            }
            (_, stream) => {
                notes.skip(Probe::Tls, &place, Skipped::PlainHttp);
                stream.map(|stream| Box::new(stream) as _)
            }
        };
        let is_usable = is_reached && stream.is_some();
        match stream {
            Some(stream) => {
                let found = async { (server::clock(stream, &self.server).await, ()) };
                notes.step(Probe::Clock, place.clone(), STEP, found).await;
            }
            None => notes.skip(Probe::Clock, &place, Skipped::NoServer),
        }
        if !is_usable {
            notes.skip(Probe::Signalling, &place, Skipped::NoServer);
            return None;
        }
        let found = async {
            match self.register().await {
                Ok(registered) => (Finding::Registered, Some(registered)),
                Err(error) => (Finding::NotRegistered(error), None),
            }
        };
        notes
            .step(Probe::Signalling, place, STEP, found)
            .await
            .flatten()
    }

    async fn register(&self) -> Result<Registered, SignallingError> {
        let bad = || SignallingError::Url(self.server.to_string());
        let registration = Registration {
            server: self.server.clone(),
            key: self.key.clone(),
            id: PeerId::parse(&random::name()).map_err(|_| bad())?,
            token: Token::parse(&random::name()).map_err(|_| bad())?,
            signing_key: None,
        };
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (signalling, inbox) =
            Signalling::start(registration.clone(), self.roots.clone(), &tasks, stop);
        signalling.opened().await?;
        Ok(Registered {
            registration,
            _connection: (signalling, inbox, guard),
        })
    }

    /// Those that were given, and those that the server tells of; each URL once.
    async fn ask_for_servers(
        &self,
        registered: Option<&Registered>,
        notes: &mut Notes<'_>,
    ) -> Vec<Target> {
        let mut servers = self.ice_servers.clone();
        let given = servers.iter().map(|server| server.urls.len()).sum();
        let place = self.server[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        match registered {
            None => notes.skip(Probe::IceServers, &place, Skipped::NotRegistered),
            Some(registered) => {
                let found = async {
                    let asked = ice_servers(&registered.registration, &self.roots).await;
                    match asked {
                        Ok(None) => (Finding::IceServersUnknown(given), Vec::new()),
                        Ok(Some(told)) if told.servers.is_empty() => {
                            (Finding::NoIceServers(given), Vec::new())
                        }
                        Ok(Some(told)) => {
                            let urls = told.servers.iter().flat_map(|server| &server.urls);
                            let finding = Finding::IceServers {
                                told: urls.cloned().collect(),
                                lifetime: told.ttl,
                                given,
                            };
                            (finding, told.servers)
                        }
                        Err(error) => (Finding::NoIceAnswer(error), Vec::new()),
                    }
                };
                let told = notes.step(Probe::IceServers, place, STEP, found).await;
                servers.extend(told.unwrap_or_default());
            }
        }
        let mut targets: Vec<Target> = Vec::new();
        for server in servers {
            for url in server.urls {
                if !targets.iter().any(|known| known.url == url) {
                    let credentials = server.credentials.clone();
                    targets.push(Target { url, credentials });
                }
            }
        }
        targets
    }

    /// Data channels.
    async fn connect(self, is_registered: bool, any_relay: bool, notes: &mut Notes<'_>) {
        let place = self.server[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let relay_only = self.relay_only;
        let setup = Setup {
            server: self.server,
            key: self.key,
            roots: self.roots,
            ice_servers: self.ice_servers,
        };
        let found = async |relay_only| (setup.loop_back(relay_only).await, ());
        let why_not = [
            (relay_only, Skipped::RelayOnly),
            (!is_registered, Skipped::NotRegistered),
        ];
        match why_not.iter().find(|(holds, _)| *holds) {
            Some((_, why)) => notes.skip(Probe::Channel, &place, *why),
            None => {
                notes
                    .step(Probe::Channel, place.clone(), LOOP_BACK, found(false))
                    .await;
            }
        }
        let why_not = [
            (!is_registered, Skipped::NotRegistered),
            (!any_relay, Skipped::NoRelay),
        ];
        match why_not.iter().find(|(holds, _)| *holds) {
            Some((_, why)) => notes.skip(Probe::RelayedChannel, &place, *why),
            None => {
                notes
                    .step(Probe::RelayedChannel, place, LOOP_BACK, found(true))
                    .await;
            }
        }
        let Some(device) = self.device else {
            return;
        };
        let id = device.id.to_string();
        if !is_registered {
            return notes.skip(Probe::Device, &id, Skipped::NotRegistered);
        }
        let found = async { (setup.call(device, relay_only).await, ()) };
        notes.step(Probe::Device, id, CALL, found).await;
    }
}

/// A peer of the server, for as long as this lives.
struct Registered {
    registration: Registration,
    _connection: (Signalling, mpsc::Receiver<Frame>, DropGuard),
}

/// Who is told of what is found, and how long that may take.
struct Notes<'a> {
    watch: &'a mut (dyn FnMut(Progress) + Send),
    deadline: Instant,
}

impl Notes<'_> {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Takes a step; `None` if it is not done in time.
    async fn step<T>(
        &mut self,
        probe: Probe,
        subject: String,
        within: Duration,
        work: impl Future<Output = (Finding, T)>,
    ) -> Option<T> {
        self.begin(probe);
        let (begun, within) = (Instant::now(), within.min(self.left()));
        let (finding, value) = match timeout(within, work).await {
            Ok((finding, value)) => (finding, Some(value)),
            Err(_) => (Finding::Late(within), None),
        };
        self.end(probe, subject, begun.elapsed(), finding);
        value
    }

    fn skip(&mut self, probe: Probe, subject: &str, why: Skipped) {
        self.note(probe, subject.into(), Finding::Skipped(why));
    }

    fn note(&mut self, probe: Probe, subject: String, finding: Finding) {
        self.end(probe, subject, Duration::ZERO, finding);
    }

    fn begin(&mut self, probe: Probe) {
        (self.watch)(Progress::Begun(probe));
    }

    fn end(&mut self, probe: Probe, subject: String, took: Duration, finding: Finding) {
        self.push(Step {
            probe,
            subject,
            took,
            finding,
        });
    }

    fn push(&mut self, step: Step) {
        (self.watch)(Progress::Done(step));
    }
}
