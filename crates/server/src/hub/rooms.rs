//! The rooms: each a machine behind a lock that is never held over a wait, the channels of its members, and a task that keeps its time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use getrandom::SysRng;
use peerage_peer::{Batch, ChannelSender, Message, TrySendError};
use peerage_proto::room::{
    Addressed, Closed, Config, ConnKey, Dropped, Kind, Output, Payload, Room as Machine, SendTo,
    Tap, Ticket, Told, Unjudged, Verdict as Judged, Way,
};
use peerage_proto::wire::room::{
    Body, Epoch, Event, Json as Text, LeftReason, Name, RoomName, Said,
};
use rand_core::{Rng, UnwrapErr};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::broadcaster::{Ear, Speech};
use super::builder::Moderation;
use super::config::LARGEST_MESSAGE;
use super::counts::Counts;
use super::handlers::Happening;
use super::info::{PeerInfo, RoomInfo};
use super::message::{Audience, Data, HostChange, Incoming, Json, Left, Presence, Verdict};
use super::{HubLimits, Otherwise, Shared, SignalingError};
use crate::alarm::Alarm;
use crate::websocket::{Budget, Share};

/// Longer than a verdict waits for moderators: it is the hub's to say what becomes of a message then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a message costs beside its octets.
const MESSAGE_COST: usize = 64;
/// Octets that may wait for a member when all that may wait for all members does.
const LITTLE: usize = 16 * 1024;

/// All rooms of a hub.
#[derive(Debug)]
pub(super) struct Rooms {
    all: Mutex<HashMap<RoomName, Arc<Room>>>,
    limit: usize,
    config: Config,
    clock: Clock,
    conns: AtomicU64,
    /// What waits for members.
    budget: Arc<Budget>,
    /// In rooms that are over.
    dropped: Mutex<Dropped>,
}

/// Time since 1970 that never goes backwards.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: Instant,
    at: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    fn now(&self) -> Duration {
        self.at + self.began.elapsed()
    }

    /// None for what is too far to be waited for.
    fn instant(&self, time: Duration) -> Option<Instant> {
        self.began.checked_add(time.saturating_sub(self.at))
    }
}

impl Rooms {
    pub(super) fn new(limits: &HubLimits, moderation: Option<Moderation>) -> Self {
        let mut config = Config {
            members: limits.room_members,
            message: limits.message,
            rate: limits.message_rate,
            burst: limits.message_burst,
            tap: Tap::Tell,
            ..Config::default()
        };
        if let Some(Moderation { timeout, otherwise }) = moderation {
            config.tap = Tap::Moderate;
            config.verdict_within = timeout.saturating_add(PATIENCE);
            config.unjudged = match otherwise {
                Otherwise::Relay => Unjudged::Relay,
                Otherwise::Drop => Unjudged::Drop,
            };
        }
        Self {
            all: Mutex::default(),
            limit: limits.rooms,
            config,
            clock: Clock::start(),
            conns: AtomicU64::new(0),
            budget: Budget::new(limits.buffered),
            dropped: Mutex::default(),
        }
    }

    /// Whether one more could come in, as far as can be said before it does.
    pub(super) fn admit(&self, room: &RoomName, name: &Name) -> Result<(), SignalingError> {
        // The rooms are not held up by one that is busy.
        let (room, rooms) = {
            let all = self.lock();
            (all.get(room).cloned(), all.len())
        };
        let Some(room) = room else {
            return if rooms < self.limit {
                Ok(())
            } else {
                Err(SignalingError::Full)
            };
        };
        let inner = room.lock();
        let mut count = 0;
        for member in inner.machine.members() {
            if member.name == name {
                return Ok(());
            }
            count += 1;
        }
        if count < self.config.members {
            Ok(())
        } else {
            Err(SignalingError::RoomFull)
        }
    }

    /// Brings a connection into its room, which begins with it if it has to. None where there are too many, or the hub ends.
    pub(super) fn join(
        &self,
        hub: &Arc<Shared>,
        name: &RoomName,
        member: &Name,
        kind: Kind,
        seat: Seat,
    ) -> Option<(Arc<Room>, ConnKey)> {
        let conn = ConnKey(self.conns.fetch_add(1, Ordering::Relaxed));
        let mut seat = Some(seat);
        loop {
            let room = self.room(hub, name)?;
            let mut inner = room.lock();
            if inner.over {
                // It ended a moment ago, and is about to be forgotten.
                drop(inner);
                self.forget(&room);
                continue;
            }
            inner.seats.insert(conn, seat.take()?);
            let now = self.clock.now();
            inner.machine.handle_opened(conn, member.clone(), kind, now);
            room.finish(hub, inner);
            return Some((room, conn));
        }
    }

    fn room(&self, hub: &Arc<Shared>, name: &RoomName) -> Option<Arc<Room>> {
        let mut all = self.lock();
        if hub.closing.is_cancelled() {
            return None;
        }
        let count = all.len();
        match all.entry(name.clone()) {
            Entry::Occupied(entry) => Some(entry.get().clone()),
            Entry::Vacant(_) if count >= self.limit => None,
            Entry::Vacant(entry) => {
                let mut epoch = [0; 8];
                // Without the system's randomness there is no server.
                UnwrapErr(SysRng).fill_bytes(&mut epoch);
                let room = Arc::new(Room {
                    name: name.clone(),
                    shared: name.shared(),
                    inner: Mutex::new(Inner {
                        machine: Machine::new(self.config.clone(), Epoch(epoch)),
                        seats: HashMap::new(),
                        batch: Batch::default(),
                        slow: Vec::new(),
                        order: Order::default(),
                        due: None,
                        over: false,
                    }),
                    alarm: Alarm::default(),
                    ended: CancellationToken::new(),
                });
                let (keeper, of) = (room.clone(), hub.clone());
                let cut = hub.cut.clone();
                let keeping = async move { cut.run_until_cancelled(keeper.keep_time(&of)).await };
                hub.tasks.spawn(keeping);
                Some(entry.insert(room).clone())
            }
        }
    }

    /// A room that is over; another of that name may be there by now.
    fn forget(&self, room: &Arc<Room>) {
        let mut all = self.lock();
        if all
            .get(&room.name)
            .is_some_and(|other| Arc::ptr_eq(other, room))
        {
            all.remove(&room.name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.lock().get(name).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Room>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn info(&self, name: &str) -> Option<RoomInfo> {
        let room = self.get(name)?;
        Some(room.info(&self.clock)).filter(|info| info.peer_count > 0)
    }

    pub(super) fn infos(&self) -> BTreeMap<Arc<str>, RoomInfo> {
        let infos = self.all().into_iter().map(|room| {
            let info = room.info(&self.clock);
            (room.shared.clone(), info)
        });
        infos.filter(|(_, info)| info.peer_count > 0).collect()
    }

    /// How many there are, and their members.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let members = self.all().into_iter().map(|room| {
            let inner = room.lock();
            inner.machine.members().count()
        });
        members
            .filter(|count| *count > 0)
            .fold((0, 0), |(rooms, members), count| {
                (rooms + 1, members + count)
            })
    }

    /// What was not passed on so far.
    pub(super) fn dropped(&self) -> Dropped {
        loop {
            let before = *self.lock_dropped();
            let mut sum = before;
            for room in self.all() {
                let inner = room.lock();
                // One that is over is in the sum already.
                if !inner.over {
                    add(&mut sum, &inner.machine.dropped());
                }
            }
            // One that ended meanwhile would be missing, or counted twice.
            if *self.lock_dropped() == before {
                return sum;
            }
        }
    }

    fn lock_dropped(&self) -> MutexGuard<'_, Dropped> {
        // As below.
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Room>>> {
        // No panic happens while it is held; a poisoned map would be as whole as any.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    name: RoomName,
    shared: Arc<str>,
    inner: Mutex<Inner>,
    alarm: Alarm,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    machine: Machine,
    seats: HashMap<ConnKey, Seat>,
    /// What the members' engine is told at once.
    batch: Batch,
    /// Connections that had no place for a message.
    slow: Vec<ConnKey>,
    order: Order,
    /// When the alarm was last set to ring.
    due: Option<Duration>,
    /// Nobody is there, nobody can come back, and it takes no one any more.
    over: bool,
}

/// In which order things happened, for who hears of them in another.
#[derive(Debug, Default)]
struct Order {
    last: u64,
    /// Messages that wait for their verdict: their places, and whether the webhook was asked about them.
    waiting: HashMap<Ticket, (u64, bool)>,
}

impl Order {
    /// The next place: microseconds since 1970, but that no two are the same; so it goes on when the room, or the server, begins anew.
    fn next(&mut self, now: Duration) -> u64 {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last = now.max(self.last.saturating_add(1));
        self.last
    }
}

/// Where a member is spoken to.
#[derive(Debug)]
pub(super) struct Seat {
    reliable: ChannelSender,
    fast: Option<ChannelSender>,
    /// The room has closed the connection.
    pub(super) ended: CancellationToken,
}

impl Seat {
    pub(super) fn new(reliable: ChannelSender, fast: Option<ChannelSender>) -> Self {
        Self {
            reliable,
            fast,
            ended: CancellationToken::new(),
        }
    }
}

impl Room {
    /// Hands something to the machine, and does what comes of it.
    pub(super) fn feed<T>(
        self: &Arc<Self>,
        hub: &Arc<Shared>,
        act: impl FnOnce(&mut Machine, Duration) -> T,
    ) -> T {
        let mut inner = self.lock();
        let done = act(&mut inner.machine, hub.rooms.clock.now());
        self.finish(hub, inner);
        done
    }

    /// The connection has a channel more, for what may be lost.
    pub(super) fn add_fast(&self, conn: ConnKey, sender: ChannelSender) {
        if let Some(seat) = self.lock().seats.get_mut(&conn) {
            seat.fast = Some(sender);
        }
    }

    /// The connection is over, or is to be.
    pub(super) fn leave(self: &Arc<Self>, hub: &Arc<Shared>, conn: ConnKey, why: Closed) {
        let mut inner = self.lock();
        // One that the room closed is none of its any more.
        if inner.seats.remove(&conn).is_some() {
            inner
                .machine
                .handle_closed(conn, why, hub.rooms.clock.now());
        }
        self.finish(hub, inner);
    }

    /// The server's own word; to how many it went.
    pub(super) fn say(
        self: &Arc<Self>,
        hub: &Arc<Shared>,
        to: Ear<'_>,
        speech: &Speech<'_>,
    ) -> usize {
        let said = match speech {
            Speech::Message(json) => Some(Said::Chat(Body::Json(json.text().clone()))),
            Speech::Bytes(bytes) => Some(Said::Chat(Body::Bytes(bytes.clone()))),
            Speech::Event(event, json) => Event::parse((*event).into())
                .filter(|event| !event.is_reserved())
                .map(|event| Said::Event(event, Body::Json(json.text().clone()))),
        };
        let name = match to {
            Ear::All => None,
            Ear::One(name) | Ear::AllBut(name) => Name::parse(name).ok(),
        };
        let to = match (to, &name) {
            (Ear::All, _) | (Ear::AllBut(_), None) => SendTo::All,
            (Ear::One(_), Some(name)) => SendTo::One(name),
            (Ear::AllBut(_), Some(name)) => SendTo::AllBut(name),
            (Ear::One(_), None) => return 0,
        };
        match said.filter(|said| said.body().octets().len() <= LARGEST_MESSAGE) {
            Some(said) => self.feed(hub, |machine, now| machine.handle_send(to, said, now)),
            None => 0,
        }
    }

    /// Does what the machine asks for, in its order, and never waits.
    fn finish(self: &Arc<Self>, hub: &Arc<Shared>, mut inner: MutexGuard<'_, Inner>) {
        let Inner {
            machine,
            seats,
            batch,
            slow,
            order,
            due,
            over,
        } = &mut *inner;
        let mut sent = 0;
        loop {
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send { to, payload, way } => {
                        let (message, most) = weighed(&hub.rooms.budget, payload);
                        for conn in to.iter() {
                            let seat = seats.get(&conn);
                            match seat.map(|seat| seat.send(batch, &message, way, most)) {
                                Some(Ok(())) => sent += 1,
                                Some(Err(TrySendError::Full)) if way == Way::Reliable => {
                                    slow.push(conn);
                                }
                                // What is fast may be lost; an end is seen by the member's task.
                                _ => {}
                            }
                        }
                    }
                    Output::Close { conn, why } => {
                        debug!(?why, "a room closes a connection");
                        if let Some(seat) = seats.remove(&conn) {
                            seat.ended.cancel();
                        }
                    }
                    Output::Told(told) => self.tell(hub, told, order),
                }
            }
            let Some(conn) = slow.pop() else {
                break;
            };
            if let Some(seat) = seats.remove(&conn) {
                Counts::add(&hub.counts.slow);
                seat.ended.cancel();
                machine.handle_closed(conn, Closed::Slow, hub.rooms.clock.now());
            }
        }
        batch.flush();
        hub.counts.sent.fetch_add(sent, Ordering::Relaxed);
        let before = std::mem::replace(due, machine.poll_timeout());
        self.alarm.moved(before, *due);
        let ends = !*over && machine.is_over();
        *over |= ends;
        if ends {
            add(&mut hub.rooms.lock_dropped(), &machine.dropped());
        }
        drop(inner);
        if ends {
            self.ended.cancel();
            hub.rooms.forget(self);
        }
    }

    async fn keep_time(self: Arc<Self>, hub: &Arc<Shared>) {
        let clock = &hub.rooms.clock;
        let due = || {
            let due = self.lock().machine.poll_timeout();
            due.and_then(|due| clock.instant(due))
        };
        let ring = || self.feed(hub, |machine, now| machine.handle_timeout(now));
        tokio::select! {
            _ = self.alarm.keep(due, ring) => {}
            () = self.ended.cancelled() => {}
        }
    }

    fn info(&self, clock: &Clock) -> RoomInfo {
        let inner = self.lock();
        let now = clock.now();
        let peers: Vec<_> = inner
            .machine
            .members()
            .map(|member| {
                let metadata =
                    Some(Json::new(member.metadata.clone())).filter(|json| json.raw() != "null");
                let agent = metadata.as_ref().and_then(user_agent);
                let seen = if member.is_suspected {
                    member.seen
                } else {
                    now
                };
                PeerInfo {
                    id: member.name.shared(),
                    is_host: member.is_host,
                    join_time: member.joined.as_millis() as u64,
                    last_seen: seen.as_millis() as u64,
                    is_suspected: member.is_suspected,
                    user_agent: agent,
                    metadata: metadata.filter(|_| member.kind == Kind::Native),
                }
            })
            .collect();
        RoomInfo {
            peer_count: peers.len(),
            host_id: inner.machine.host().map(Name::shared),
            peers,
        }
    }

    /// Tells handlers, by their queues.
    fn tell(self: &Arc<Self>, hub: &Arc<Shared>, told: Told, order: &mut Order) {
        let handlers = hub.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let now = hub.rooms.clock.now();
        let happening = match told {
            Told::Message(said) => {
                let place = order.next(now);
                match said.ticket {
                    Some(ticket) => {
                        order.waiting.insert(ticket, (place, false));
                        let incoming = self.incoming(said, place);
                        return self.clone().ask(hub.clone(), incoming, ticket);
                    }
                    None if handlers.want_messages() => {
                        Happening::Message(self.incoming(said, place))
                    }
                    None => return,
                }
            }
            Told::Relayed(said) => {
                let waited = said.ticket.and_then(|it| order.waiting.remove(&it));
                let Some((place, asked)) = waited.filter(|_| handlers.want_messages()) else {
                    return;
                };
                Happening::Message(Incoming {
                    asked,
                    ..self.incoming(said, place)
                })
            }
            Told::Joined {
                name,
                metadata,
                joined,
                ..
            } => {
                Counts::add(&hub.counts.joined);
                Happening::Joined(self.presence(&name, metadata, joined, order.next(now)))
            }
            Told::Left {
                name,
                reason,
                metadata,
                joined,
            } => {
                let why = match reason {
                    LeftReason::Left | LeftReason::Replaced => Left::Left,
                    LeftReason::Lost => Left::Lost,
                    LeftReason::Kicked => Left::Kicked,
                    LeftReason::Slow => Left::Slow,
                    LeftReason::Protocol => Left::Protocol,
                    LeftReason::Rate => Left::Rate,
                };
                Happening::Left(self.presence(&name, metadata, joined, order.next(now)), why)
            }
            Told::Host(host) => Happening::Host(HostChange {
                room: self.shared.clone(),
                host: host.as_ref().map(Name::shared),
                order: order.next(now),
            }),
            Told::Metadata { .. } => return,
        };
        handlers.tell(&happening, &hub.counts);
    }

    /// Asks the moderators in a task of its own. The machine relays, and has handlers told, in the order in which the member spoke.
    fn ask(self: Arc<Self>, hub: Arc<Shared>, incoming: Incoming, ticket: Ticket) {
        let cut = hub.cut.clone();
        hub.tasks.clone().spawn(async move {
            let asking = self.judge(&hub, incoming, ticket);
            cut.run_until_cancelled(asking).await
        });
    }

    async fn judge(self: &Arc<Self>, hub: &Arc<Shared>, mut incoming: Incoming, ticket: Ticket) {
        // What was made of the message so far; what comes of it if the rest fails.
        let mut replaced = None;
        let asking = async {
            for moderator in &hub.moderators {
                match moderator.ask(incoming.clone(), &hub.counts).await? {
                    Verdict::Relay => {}
                    Verdict::Drop => return Some(false),
                    Verdict::Replace(value) => {
                        let json = Json::from(value);
                        if json.raw().len() > LARGEST_MESSAGE {
                            // No channel carries it: as good as no answer.
                            return None;
                        }
                        replaced = Some(Body::Json(json.text().clone()));
                        incoming.data = Data::Json(json);
                    }
                }
            }
            incoming.asked = hub.asks_webhook;
            Some(true)
        };
        let answer = timeout(hub.moderation.timeout, asking).await.ok().flatten();
        let is_relayed = answer.unwrap_or_else(|| {
            Counts::add(&hub.counts.unmoderated);
            hub.moderation.otherwise == Otherwise::Relay
        });
        let verdict = match (is_relayed, replaced) {
            (true, None) => Judged::Relay,
            (true, Some(body)) => Judged::Replace(body),
            (false, _) => Judged::Drop,
        };
        let mut inner = self.lock();
        if answer == Some(false) {
            Counts::add(&hub.counts.withheld);
        }
        if !is_relayed || !inner.machine.awaits(ticket) {
            inner.order.waiting.remove(&ticket);
        } else if let Some((_, asked)) = inner.order.waiting.get_mut(&ticket) {
            *asked = incoming.asked;
        }
        let now = hub.rooms.clock.now();
        inner.machine.handle_verdict(ticket, verdict, now);
        self.finish(hub, inner);
    }

    fn incoming(&self, said: peerage_proto::room::Incoming, order: u64) -> Incoming {
        Incoming {
            room: self.shared.clone(),
            from: said.from.shared(),
            to: match said.to {
                Addressed::Others => Audience::All,
                Addressed::Hub => Audience::Server,
                Addressed::Members(names) => {
                    Audience::Members(names.iter().map(Name::shared).collect())
                }
            },
            event: said.said.event().map(|event| event.as_str().into()),
            data: match said.said.body() {
                Body::Json(json) => Data::Json(Json::new(json.clone())),
                Body::Bytes(bytes) => Data::Bytes(bytes.clone()),
            },
            order,
            asked: false,
        }
    }

    fn presence(&self, name: &Name, metadata: Text, joined: Duration, order: u64) -> Presence {
        Presence {
            room: self.shared.clone(),
            name: name.shared(),
            metadata: Some(Json::new(metadata)).filter(|json| json.raw() != "null"),
            joined_at: UNIX_EPOCH + joined,
            order,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic happens while it is held: the machine has none.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// If no more than `most` octets wait already.
    fn send(
        &self,
        batch: &mut Batch,
        message: &Message,
        way: Way,
        most: usize,
    ) -> Result<(), TrySendError> {
        let channel = match (way, &self.fast) {
            (Way::Fast, Some(fast)) => fast,
            _ => &self.reliable,
        };
        if most < usize::MAX && channel.queued() > most {
            return Err(TrySendError::Full);
        }
        batch.try_send(channel, message.clone())
    }
}

/// A message's octets, and its share of what may wait for all members: given back when the last one has taken it.
struct Weighed {
    octets: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

/// The message, and how much may wait for who still gets it: when there is no share left those that take what they get still do.
fn weighed(budget: &Arc<Budget>, payload: Payload) -> (Message, usize) {
    let Some(share) = Share::take(budget, payload.len() + MESSAGE_COST) else {
        return match payload {
            Payload::Text(text) => (Message::Text(text), LITTLE),
            Payload::Bytes(bytes) => (Message::Binary(bytes), LITTLE),
        };
    };
    let owned = |octets| {
        Bytes::from_owner(Weighed {
            octets,
            _share: share,
        })
    };
    let message = match payload {
        Payload::Bytes(bytes) => Message::Binary(owned(bytes)),
        Payload::Text(text) => match ByteString::try_from(owned(text.into_bytes())) {
            Ok(text) => Message::Text(text),
            // It was a text before.
            Err(_) => Message::Text(ByteString::new()),
        },
    };
    (message, usize::MAX)
}

fn add(sum: &mut Dropped, more: &Dropped) {
    sum.forged += more.forged;
    sum.host_changes += more.host_changes;
    sum.room_states += more.room_states;
    sum.unaddressed += more.unaddressed;
    sum.reserved += more.reserved;
    sum.rate += more.rate;
}

fn user_agent(metadata: &Json) -> Option<String> {
    let value = metadata.value();
    value.get("userAgent")?.as_str().map(str::to_owned)
}
