//! Rooms: members that all connect to this server, which relays what they say, decides who is host, and knows who said what. With the cargo feature `hub`.
//!
//! Members are Peerage's own clients, and PeerPyRTC's without a change. [`routes`] lets them in by an [`axum`] application; any other framework calls
//! [`SignalingManager`]'s three functions.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use peerage_server::hub::{Hub, Verdict};
//!
//! let hub = Hub::builder()
//!     .tap(|message| async move { println!("{} in {}: {:?}", message.from, message.room, message.data) })
//!     .moderate(|message| async move {
//!         match message.text() {
//!             Some(text) if text.contains("spam") => Verdict::Drop,
//!             _ => Verdict::Relay,
//!         }
//!     })
//!     .open()
//!     .await?;
//! hub.on("roll", {
//!     let rooms = hub.broadcaster();
//!     move |message| {
//!         let rooms = rooms.clone();
//!         async move {
//!             rooms.emit(&message.room, "rolled", 4);
//!         }
//!     }
//! });
//! let app = axum::Router::new().merge(peerage_server::hub::routes(&hub));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//! // Who asks must be known: limits by address, and whose `leave` counts, go by it.
//! let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is refused: everything has a limit ([`HubLimits`]), and nobody speaks under another's name. A member that takes what is for it too slowly is dropped, and
//! holds up nobody; so is a handler's queue that is full, for what comes next.

mod admin;
mod attempts;
mod broadcaster;
mod builder;
mod config;
mod counts;
mod handlers;
mod info;
mod member;
mod message;
mod rooms;
mod routes;
mod secret;
mod signaling;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use peerage_peer::direct::Addresses;
use peerage_peer::direct::{Direct, DirectConfig, DirectError};
use peerage_proto::wire::forwarded::Household;
use peerage_proto::wire::room::{Name, RoomName, Token};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub use admin::admin_routes;
pub(crate) use admin::bare_admin_routes;
pub use broadcaster::Broadcaster;
pub use builder::HubBuilder;
pub use config::{Admin, HubConfig, HubLimits, NotAWebhook, Otherwise, Webhook, WebhookUrl};
pub use counts::HubStats;
pub use info::{PeerInfo, RoomInfo};
pub use message::{Audience, Data, HostChange, Incoming, Json, Left, Presence, Verdict};
pub(crate) use routes::bare_routes;
pub use routes::routes;
pub use secret::{NotASecret, Secret};
pub use signaling::{Description, SignalingError, SignalingManager};

use crate::address::Seats;
use crate::config::{ConfigError, Cors};
use crate::rations::{PerHousehold, Ration, TooOften};
use crate::websocket::Budget;
use attempts::{Attempts, Speaker};
use broadcaster::{Ear, Speech};
use builder::{Doors, Moderation};
use counts::Counts;
use handlers::{Draft, Handlers, Moderator};
use member::{Member, Pass};
use rooms::Rooms;

/// How long the end may take: members first get what waits for them, and handlers handle what they were told.
const DRAIN: Duration = Duration::from_secs(2);
/// For an answer to an offer.
const ANSWER: Duration = Duration::from_secs(10);
/// For a connection to open.
const OPEN: Duration = Duration::from_secs(30);
/// Silence after which a member is suspected to be gone, and after which it is.
const SILENT: Duration = Duration::from_secs(5);
const LOST: Duration = Duration::from_secs(10);
/// Octets of a member's messages that wait to be read.
const RECEIVE_QUEUE: usize = 256 * 1024;
/// Octets of requests' bodies at a time, beside 16 KiB for each.
const BODIES: usize = 16 * 1024 * 1024;

/// Rooms, their members, and who is told of them. Cheap to clone; it ends with the last clone, or with [`Hub::close`].
#[derive(Clone)]
pub struct Hub(Arc<Owner>);

struct Owner(Arc<Shared>);

/// Its tasks hold what is shared, and must not keep it alive.
impl Drop for Owner {
    fn drop(&mut self) {
        self.0.closing.cancel();
        self.0.cut.cancel();
    }
}

/// What the tasks of a hub share.
pub(crate) struct Shared {
    limits: HubLimits,
    doors: Doors,
    direct: Direct,
    rooms: Rooms,
    attempts: Arc<Attempts>,
    handlers: RwLock<Handlers>,
    moderators: Vec<Moderator>,
    moderation: Moderation,
    /// The last of the moderators is the webhook.
    asks_webhook: bool,
    counts: Arc<Counts>,
    half_open: Arc<Semaphore>,
    half_open_from: Arc<Seats>,
    members: Arc<Semaphore>,
    members_from: Arc<Seats>,
    offers: PerHousehold,
    bodies: Arc<Budget>,
    tasks: TaskTracker,
    handling: TaskTracker,
    /// No new members.
    closing: CancellationToken,
    /// No tasks.
    cut: CancellationToken,
}

impl Hub {
    /// A hub that is not open yet.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    async fn open(builder: HubBuilder) -> Result<Self, HubError> {
        let HubBuilder {
            port,
            addresses,
            limits,
            doors,
            handlers,
            mut moderators,
            moderation,
            webhook,
        } = builder;
        limits.check()?;
        config::check_moderation(moderation.timeout)?;
        let counts = Arc::<Counts>::default();
        let mut drafts = handlers;
        let asks_webhook = webhook.as_ref().is_some_and(|webhook| webhook.moderate);
        if let Some(webhook) = webhook {
            let service = webhook::Service::new(webhook, counts.clone())?;
            drafts.extend(service.handlers());
            moderators.extend(service.moderator());
        }
        let direct = Direct::open(DirectConfig {
            port,
            addresses,
            silent_after: SILENT,
            lost_after: LOST,
            open_within: OPEN,
            half_open: limits.half_open,
            queue: limits.send_queue,
            // Who says more than it may is read later: this much waits then.
            receive_queue: RECEIVE_QUEUE.max(limits.message),
            ..DirectConfig::default()
        })
        .map_err(|error| match error {
            DirectError::Bind(source) => HubError::Port { port, source },
            other => HubError::Engine(other.to_string()),
        })?;
        let shared = Shared {
            rooms: Rooms::new(&limits, (!moderators.is_empty()).then_some(moderation)),
            half_open: Arc::new(Semaphore::new(limits.half_open.min(Semaphore::MAX_PERMITS))),
            half_open_from: Seats::new(Some(limits.half_open_per_address)),
            members: Arc::new(Semaphore::new(limits.members.min(Semaphore::MAX_PERMITS))),
            members_from: Seats::new(limits.members_per_address),
            offers: PerHousehold::new(Ration {
                burst: limits.offer_burst,
                every: Duration::from_secs(1) / limits.offer_rate,
            }),
            limits,
            doors,
            direct,
            attempts: Arc::default(),
            handlers: RwLock::default(),
            moderators,
            moderation,
            asks_webhook,
            counts,
            bodies: Budget::new(BODIES),
            tasks: TaskTracker::new(),
            handling: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let hub = Self(Arc::new(Owner(Arc::new(shared))));
        for draft in drafts {
            hub.add(draft);
        }
        Ok(hub)
    }

    /// Calls this for each message that is this event, once it is relayed; for `message` those without an event. One after the other, in the order in which a room
    /// hears them: while one is handled, up to 1,000 (and 4 MiB) wait, and more are dropped and counted ([`HubStats::unhandled`]). A panic is logged and costs the
    /// one message. It must not block its thread, as any async code.
    pub fn on<F, R>(&self, event: &str, handler: F)
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.add(builder::on(event, handler));
    }

    /// Calls this for every message that is relayed, as [`Hub::on`].
    pub fn tap<F, R>(&self, handler: F)
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.add(builder::tap(handler));
    }

    /// Calls this for each member that joined, as [`Hub::on`].
    pub fn on_joined<F, R>(&self, handler: F)
    where
        F: Fn(Presence) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.add(builder::on_joined(handler));
    }

    /// Calls this for each member that is no more, whatever became of it, as [`Hub::on`].
    pub fn on_left<F, R>(&self, handler: F)
    where
        F: Fn(Presence, Left) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.add(builder::on_left(handler));
    }

    /// Calls this whenever a room has another host, as [`Hub::on`].
    pub fn on_host<F, R>(&self, handler: F)
    where
        F: Fn(HostChange) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.add(builder::on_host(handler));
    }

    fn add(&self, draft: Draft) {
        let hub = self.shared();
        let handler = draft.start(&hub.handling, hub.cut.clone(), hub.counts.clone());
        let mut handlers = hub.handlers.write().unwrap_or_else(PoisonError::into_inner);
        if !hub.closing.is_cancelled() {
            handlers.add(handler);
        }
    }

    /// How members come, for web frameworks of all kinds.
    #[must_use]
    pub fn signaling(&self) -> SignalingManager {
        SignalingManager::new(self.clone())
    }

    /// The server's own voice.
    #[must_use]
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster(Arc::downgrade(&self.0.0))
    }

    /// All rooms by name; serialized it is what PeerPyRTC's `GET /rooms` gives.
    #[must_use]
    pub fn rooms_info(&self) -> BTreeMap<Arc<str>, RoomInfo> {
        self.shared().rooms.infos()
    }

    /// One room; none where nobody is.
    #[must_use]
    pub fn room_info(&self, room: &str) -> Option<RoomInfo> {
        self.shared().rooms.info(room)
    }

    /// The members of a room, in the order in which they joined; none of a room that is not there.
    #[must_use]
    pub fn room_peers(&self, room: &str) -> Vec<PeerInfo> {
        self.room_info(room)
            .map(|info| info.peers)
            .unwrap_or_default()
    }

    /// Ends a member's connection; all are told that it left. False where there is none of that name. For a minute nobody comes into that room under the name;
    /// whom it must never see again is for the application to refuse, where it lets members in.
    pub fn kick(&self, room: &str, name: &str) -> bool {
        let Ok(name) = Name::parse(name) else {
            return false;
        };
        let hub = self.shared();
        let Some(room) = hub.rooms.get(room) else {
            return false;
        };
        room.feed(hub, |machine, now| machine.handle_kick(&name, now))
    }

    /// The UDP port of all members.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared().direct.port()
    }

    /// What there is, and what happened so far.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let hub = self.shared();
        let half_open = hub.limits.half_open - hub.half_open.available_permits();
        let (sizes, dropped) = (hub.rooms.sizes(), hub.rooms.dropped());
        hub.counts.stats(sizes, half_open, dropped)
    }

    /// Ends it: nobody comes any more, members are told and dropped, and handlers have 2 s for what they were told. Nothing is left of it afterwards.
    pub async fn close(&self) {
        self.close_within(DRAIN).await;
    }

    pub(crate) async fn close_within(&self, patience: Duration) {
        let hub = self.shared();
        hub.closing.cancel();
        for room in hub.rooms.all() {
            room.feed(hub, |machine, now| machine.handle_shutdown(now));
        }
        hub.tasks.close();
        hub.handling.close();
        let ending = async {
            hub.tasks.wait().await;
            // Their tasks end when nobody can tell them anything any more, and everything is handled.
            *hub.handlers.write().unwrap_or_else(PoisonError::into_inner) = Handlers::default();
            hub.handling.wait().await;
        };
        let _ = timeout(patience.min(DRAIN), ending).await;
        hub.cut.cancel();
        hub.tasks.wait().await;
        hub.handling.wait().await;
        hub.direct.stop().await;
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    fn cors(&self) -> &Cors {
        &self.shared().doors.cors
    }

    fn doors(&self) -> &Doors {
        &self.shared().doors
    }

    fn bodies(&self) -> Arc<Budget> {
        self.shared().bodies.clone()
    }

    async fn offer(
        &self,
        room: &str,
        peer_id: &str,
        offer: &Description,
        address: Option<IpAddr>,
    ) -> Result<Description, SignalingError> {
        let hub = self.shared();
        let answered = hub.clone().offer(room, peer_id, offer, address).await;
        Counts::add(match &answered {
            Ok(_) => &hub.counts.offers,
            Err(_) => &hub.counts.refused,
        });
        answered
    }

    fn candidate(
        &self,
        room: &str,
        peer_id: &str,
        candidate: &Value,
        speaker: Speaker,
    ) -> Result<(), SignalingError> {
        let hub = self.shared();
        let key = names(room, peer_id)?;
        let text = match candidate {
            Value::Object(members) => members.get("candidate").and_then(Value::as_str),
            Value::String(text) => Some(&**text),
            _ => None,
        };
        // An empty one says that there are no more.
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        if !hub
            .attempts
            .candidate(&key, text.to_owned(), speaker, Instant::now())
        {
            Counts::add(&hub.counts.candidates);
        }
        Ok(())
    }

    fn leave(&self, room: &str, peer_id: &str, speaker: Speaker) -> Result<(), SignalingError> {
        self.shared()
            .attempts
            .leave(&names(room, peer_id)?, speaker);
        Ok(())
    }

    fn goodbye(&self, room: &str, peer_id: &str, token: &str) -> Result<(), SignalingError> {
        let (_, name) = names(room, peer_id)?;
        let hub = self.shared();
        if let (Some(token), Some(room)) = (token_of(token), hub.rooms.get(room)) {
            room.feed(hub, |machine, now| {
                machine.handle_goodbye(&name, &token, now)
            });
        }
        Ok(())
    }
}

/// 32 hexadecimal digits.
fn token_of(text: &str) -> Option<Token> {
    let mut octets = [0; 16];
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    if text.len() != 2 * octets.len() {
        return None;
    }
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = u8::try_from(digit(2 * at)? * 16 + digit(2 * at + 1)?).ok()?;
    }
    Some(Token::new(octets))
}

/// The rooms of a server that listens there.
pub(crate) async fn serve(
    server: &crate::Config,
    listen: SocketAddr,
) -> Result<Option<Hub>, HubError> {
    let Some(config) = &server.hub else {
        return Ok(None);
    };
    let builder = || {
        let builder = Hub::builder()
            .addresses(addresses(listen.ip(), &config.addresses))
            .limits(config.limits.clone())
            .cors(server.cors.clone())
            .proxies(server.proxies.clone(), server.proxy_header.clone())
            .moderation(config.moderation_timeout, config.moderation_otherwise);
        match config.webhook() {
            Some(webhook) => builder.webhook(webhook),
            None => builder,
        }
    };
    let wanted = config.port.unwrap_or(listen.port());
    match builder().port(wanted).open().await {
        // Nobody asked for this one.
        Err(HubError::Port { source, .. }) if config.port.is_none() => {
            // Members of elsewhere may find it closed.
            if listen.ip().is_loopback() {
                debug!(port = wanted, error = %source, "rooms take another UDP port");
            } else {
                warn!(port = wanted, error = %source, "rooms take another UDP port: see `peerage ports`, or choose one by --rooms-port");
            }
            builder().port(0).open().await.map(Some)
        }
        opened => opened.map(Some),
    }
}

/// Where members are told to come.
fn addresses(listen: IpAddr, named: &[IpAddr]) -> Addresses {
    if named.is_empty() {
        return match listen {
            ip if ip.is_loopback() => Addresses::Loopback,
            ip if ip.is_unspecified() => Addresses::AllAndLoopback,
            ip => Addresses::Only(vec![ip]),
        };
    }
    let own: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .iter()
        .map(if_addrs::Interface::ip)
        .collect();
    let is_own = |address: &IpAddr| address.is_loopback() || own.contains(address);
    if named.iter().all(is_own) {
        Addresses::Only(named.to_vec())
    } else {
        Addresses::Mapped(named.to_vec())
    }
}

fn names(room: &str, peer_id: &str) -> Result<(RoomName, Name), SignalingError> {
    let room = RoomName::parse(room).map_err(|_| SignalingError::RoomName)?;
    let name = Name::parse(peer_id).map_err(|_| SignalingError::PeerId)?;
    Ok((room, name))
}

impl Shared {
    async fn offer(
        self: Arc<Self>,
        room: &str,
        peer_id: &str,
        offer: &Description,
        address: Option<IpAddr>,
    ) -> Result<Description, SignalingError> {
        let (room, name) = names(room, peer_id)?;
        if offer.kind != "offer" {
            return Err(SignalingError::Offer("its type is another".to_owned()));
        }
        if self.closing.is_cancelled() {
            return Err(SignalingError::Closed);
        }
        let pass = self.admit(address)?;
        self.rooms.admit(&room, &name)?;
        let household = address.map(Household::of);
        let key = (room.clone(), name.clone());
        let entry = self.attempts.begin(key, household, Instant::now());
        let answered = timeout(ANSWER, self.direct.answer(&offer.sdp)).await;
        let (link, sdp) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(DirectError::Description(error))) => {
                return Err(SignalingError::Offer(error.to_string()));
            }
            Ok(Err(DirectError::Unusable(why))) => return Err(SignalingError::Offer(why)),
            Ok(Err(DirectError::Busy)) | Err(_) => return Err(SignalingError::Full),
            Ok(Err(_)) => return Err(SignalingError::Closed),
        };
        let member = Member {
            hub: self.clone(),
            room,
            name,
            link,
            entry,
            pass,
        };
        let cut = self.cut.clone();
        self.tasks
            .spawn(async move { cut.run_until_cancelled(member.run()).await });
        Ok(Description {
            kind: "answer".to_owned(),
            sdp,
        })
    }

    /// A place for one more who is on the way, and for the member that it becomes.
    fn admit(&self, address: Option<IpAddr>) -> Result<Pass, SignalingError> {
        let Some(address) = address else {
            return Ok(Pass {
                half_open: self.take(&self.half_open)?,
                half_open_from: None,
                _member: self.take(&self.members)?,
                _member_from: None,
            });
        };
        let taken = self.offers.take(address, Instant::now());
        taken.map_err(|TooOften(wait)| SignalingError::TooMany(wait))?;
        let many = |_| SignalingError::TooMany(Duration::from_secs(5));
        Ok(Pass {
            half_open_from: self.half_open_from.take(address).map_err(many)?,
            half_open: self.take(&self.half_open)?,
            _member_from: self.members_from.take(address).map_err(many)?,
            _member: self.take(&self.members)?,
        })
    }

    fn take(&self, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, SignalingError> {
        let place = places.clone().try_acquire_owned();
        place.map_err(|_| SignalingError::Full)
    }

    fn say(self: &Arc<Self>, room: &str, to: Ear<'_>, speech: &Speech<'_>) -> usize {
        match self.rooms.get(room) {
            Some(room) => room.say(self, to, speech),
            None => 0,
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Why a hub cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The UDP port is not to be had.
    #[error("cannot open UDP port {port} for rooms")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// A setting that cannot be.
    #[error("the configuration of rooms cannot be used")]
    Config(#[from] ConfigError),
    /// The engine does not start.
    #[error("the engine of rooms does not start: {0}")]
    Engine(String),
    /// The webhook cannot be called.
    #[error("the webhook cannot be used: {0}")]
    Webhook(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_to_where_the_server_listens_unless_it_is_said_where() {
        let of = |listen: &str, named: &[&str]| {
            let named: Vec<_> = named.iter().map(|ip| ip.parse().unwrap()).collect();
            addresses(listen.parse().unwrap(), &named)
        };
        for loopback in ["127.0.0.1", "::1"] {
            assert!(matches!(of(loopback, &[]), Addresses::Loopback));
        }
        for all in ["0.0.0.0", "::"] {
            assert!(matches!(of(all, &[]), Addresses::AllAndLoopback));
        }
        assert!(matches!(of("192.0.2.1", &[]), Addresses::Only(_)));
        assert!(matches!(of("::", &["127.0.0.1"]), Addresses::Only(_)));
        // Not this machine's: of a NAT in front.
        for listen in ["127.0.0.1", "::"] {
            assert!(matches!(of(listen, &["192.0.2.1"]), Addresses::Mapped(_)));
        }
    }
}

/// The page's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/rooms.md")]
struct Page;
