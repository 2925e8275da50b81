//! What is true and what must follow, by the rules: who holds which id, what waits for whom since when, who watches whom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Broken, Promise, Report};
use crate::signal::{CloseReason, Config, ConnId, Departure, Matter, Output, Routed, Watcher};
use crate::wire::id::PeerId;
use crate::wire::signal::{self, Kind, Presence, Refused};

/// Counted for each waiting message beside its text, as the documentation of the limits says.
const OVERHEAD: usize = 256;

/// Who asks to be let in, as the client knows it to be.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) token: String,
    pub(super) proof: String,
    /// The id is the hash of a key, and the proof is that key's, for this token.
    pub(super) key_shaped: bool,
    pub(super) proven: bool,
    pub(super) hold: Duration,
    pub(super) visible: bool,
}

/// What a client says, as it means it.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Message {
        kind: Kind,
        dst: PeerId,
        payload: Option<String>,
    },
    LeaveAll,
    Subscribe(PeerId),
    Unsubscribe(PeerId),
    /// Heartbeats, garbage, frames that clients may not send: signs of life.
    Nothing,
}

pub(super) struct Book {
    pub(super) config: Config,
    /// What one shard says to another may overtake, so that order proves nothing.
    pub(super) jumbled: bool,
    shards: u64,
    pub(super) holders: BTreeMap<PeerId, Holder>,
    pub(super) sockets: BTreeMap<ConnId, Socket>,
    waiting: BTreeMap<PeerId, Vec<u64>>,
    /// When a sender is to be told that a peer did not come.
    deadlines: BTreeMap<(PeerId, PeerId), Instant>,
    pub(super) messages: Vec<Message>,
    /// The last message that each receiver had of each sender.
    pub(super) last: BTreeMap<(PeerId, PeerId), usize>,
    watchers: BTreeMap<PeerId, Vec<Watcher>>,
    /// What the routers have yet to do about the last input, and what is broken if they do not.
    pub(super) due: Vec<(Output, Promise)>,
    /// The id that has just been taken over or held, of which nothing may be told.
    pub(super) unchanged: Option<PeerId>,
    pub(super) report: Report,
}

pub(super) struct Holder {
    token: String,
    /// Nobody, until then.
    owner: Result<ConnId, Instant>,
    pub(super) visible: bool,
}

pub(super) struct Socket {
    pub(super) id: Option<PeerId>,
    pub(super) refused: Option<Refused>,
    /// Has been let in, and has not gone.
    live: bool,
    /// Holds its id.
    holds: bool,
    pub(super) opened: bool,
    pub(super) closed: bool,
    hold: Duration,
    seen: Instant,
    pub(super) watches: BTreeMap<PeerId, Watch>,
}

/// A subscription.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch {
    /// What a newer one has a higher one of.
    pub(super) number: u64,
    heard: u64,
    /// The last that was told.
    word: Option<Presence>,
}

pub(super) struct Message {
    pub(super) src: PeerId,
    pub(super) dst: PeerId,
    pub(super) text: String,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    OnItsWay,
    Waiting,
    Delivered,
    Expired,
    /// No room, or of a kind that does not wait.
    Dropped,
    /// By the network between the shards, or by a restart.
    Lost,
}

impl Book {
    pub(super) fn new(config: Config, shards: u64, jumbled: bool) -> Self {
        Self {
            config,
            jumbled,
            shards,
            holders: BTreeMap::new(),
            sockets: BTreeMap::new(),
            waiting: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            messages: Vec::new(),
            last: BTreeMap::new(),
            watchers: BTreeMap::new(),
            due: Vec::new(),
            unchanged: None,
            report: Report::default(),
        }
    }

    /// Which shard has an id.
    pub(super) fn shard_of(&self, id: &str) -> usize {
        let hash = id
            .bytes()
            .fold(7_u64, |hash, byte| hash * 31 % 65_537 + u64::from(byte));
        (hash % self.shards) as usize
    }

    pub(super) fn opened(&mut self, conn: ConnId, ask: &Ask, now: Instant) {
        let verdict = self.admit(ask);
        let socket = Socket {
            id: verdict.as_ref().ok().cloned(),
            refused: verdict.as_ref().err().copied(),
            live: verdict.is_ok(),
            holds: verdict.is_ok(),
            opened: false,
            closed: false,
            hold: ask.hold.min(self.config.hold_at_most),
            seen: now,
            watches: BTreeMap::new(),
        };
        let id = match verdict {
            Ok(id) => id,
            Err(refused) => {
                match refused {
                    Refused::IdTaken => self.report.id_taken += 1,
                    Refused::ProofRequired => self.report.unproven += 1,
                    Refused::Full => self.report.full += 1,
                    _ => {}
                }
                let promise = if refused == Refused::Full {
                    Promise::Room
                } else {
                    Promise::First
                };
                self.send(conn, refused.as_str(), promise);
                let close = Output::Close(conn, CloseReason::Refused(refused));
                self.due.push((close, promise));
                self.sockets.insert(conn, socket);
                return;
            }
        };
        self.report.opened += 1;
        let holder = Holder {
            token: ask.token.clone(),
            owner: Ok(conn),
            visible: ask.visible,
        };
        let was_visible = match self.holders.insert(id.clone(), holder) {
            Some(Holder { owner, visible, .. }) => {
                if let Ok(old) = owner {
                    self.report.taken_over += 1;
                    let close = Output::Close(old, CloseReason::Replaced);
                    self.due.push((close, Promise::Owner));
                    self.over(old);
                } else {
                    self.report.returned += 1;
                }
                if visible == ask.visible {
                    self.unchanged = Some(id.clone());
                }
                visible
            }
            None => {
                self.due.push((Output::Came(id.clone()), Promise::Owner));
                false
            }
        };
        if was_visible != ask.visible {
            self.tell_watchers(&id);
        }
        self.sockets.insert(conn, socket);
        self.send(conn, signal::OPEN, Promise::Return);
        self.deadlines.retain(|(dst, _), _| *dst != id);
        for uid in self.waiting.remove(&id).unwrap_or_default() {
            let text = self.messages[uid as usize].text.clone();
            self.send(conn, &text, Promise::Once);
        }
    }

    /// The order of peerjs-server's checks, and the proof where the id is a key's.
    fn admit(&self, ask: &Ask) -> Result<PeerId, Refused> {
        let fits = |text: &str| (1..=512).contains(&text.len());
        if ask.key.is_empty() || !fits(&ask.id) || !fits(&ask.token) {
            return Err(Refused::MissingParameter);
        }
        if ask.key != "peerjs" {
            return Err(Refused::WrongKey);
        }
        let id = PeerId::parse(&ask.id).map_err(|_| Refused::MissingParameter)?;
        let holder = self.holders.get(&id);
        if ask.key_shaped {
            if !ask.proven {
                return Err(Refused::ProofRequired);
            }
        } else if holder.is_some_and(|holder| holder.token != ask.token) {
            return Err(Refused::IdTaken);
        }
        if holder.is_none() && self.holders.len() >= self.config.peers {
            return Err(Refused::Full);
        }
        Ok(id)
    }

    pub(super) fn said(&mut self, conn: ConnId, said: &Said, now: Instant) {
        let Some(socket) = self.sockets.get_mut(&conn).filter(|socket| socket.live) else {
            return;
        };
        socket.seen = now;
        let Some(id) = socket.id.clone().filter(|_| socket.holds) else {
            return;
        };
        match said {
            Said::Message { kind, dst, payload } => {
                let text = relayed(*kind, &id, dst, payload.as_deref());
                let matter = Matter::Frame {
                    src: id.clone(),
                    kind: *kind,
                    text: text.clone(),
                };
                self.route(dst, matter, Promise::Once);
                self.messages.push(Message {
                    src: id,
                    dst: dst.clone(),
                    text,
                    fate: Fate::OnItsWay,
                });
            }
            Said::LeaveAll => {
                socket.holds = false;
                self.unwatch_all(conn);
                self.free(&id);
            }
            Said::Subscribe(of) => {
                let room = socket.watches.len() < self.config.watched;
                if room || socket.watches.contains_key(of) {
                    socket.watches.entry(of.clone()).or_default().heard = 0;
                    let watcher = watcher(id, conn);
                    self.route(of, Matter::Watch { watcher }, Promise::Presence);
                } else {
                    let text = signal::presence(of.as_str(), id.as_str(), Presence::Refused);
                    self.report.unsubscribed += 1;
                    self.send(conn, &text, Promise::Room);
                }
            }
            Said::Unsubscribe(of) => {
                if socket.watches.remove(of).is_some() {
                    let watcher = watcher(id, conn);
                    self.route(of, Matter::Unwatch { watcher }, Promise::Release);
                }
            }
            Said::Nothing => {}
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, departure: Departure, now: Instant) {
        let Some(socket) = self.sockets.get(&conn).filter(|socket| socket.live) else {
            return;
        };
        let (holds, hold) = (socket.holds, socket.hold);
        let id = socket.id.clone();
        self.over(conn);
        let Some(id) = id.filter(|_| holds) else {
            return;
        };
        if departure == Departure::Lost && hold > Duration::ZERO {
            if let Some(holder) = self.holders.get_mut(&id) {
                holder.owner = Err(now + hold);
            }
            self.unchanged = Some(id);
        } else {
            self.free(&id);
        }
    }

    /// What one shard said has reached another; `uid` names a message.
    pub(super) fn arrived(&mut self, routed: &Routed, uid: Option<u64>, now: Instant) {
        let Routed { to, matter } = routed;
        match matter {
            Matter::Frame { src, kind, text } => {
                let Some(uid) = uid else { return };
                if let Some(conn) = self.socket_of(to) {
                    return self.send(conn, text, Promise::Once);
                }
                let waits = matches!(kind, Kind::Offer | Kind::Answer | Kind::Candidate);
                if waits && self.has_room(to, src, text.len()) {
                    self.messages[uid as usize].fate = Fate::Waiting;
                    self.waiting.entry(to.clone()).or_default().push(uid);
                    let pair = (to.clone(), src.clone());
                    let deadline = now + self.config.expire_after;
                    self.deadlines.entry(pair).or_insert(deadline);
                    return;
                }
                self.messages[uid as usize].fate = Fate::Dropped;
                self.report.overflowed += u64::from(waits);
                if waits && *kind != Kind::Candidate {
                    let missing = to.clone();
                    self.route(src, Matter::Expired { missing }, Promise::Room);
                }
            }
            Matter::Expired { missing } => {
                if let Some(conn) = self.socket_of(to) {
                    let text = format!(
                        r#"{{"type":"EXPIRE","src":{},"dst":{}}}"#,
                        json(missing),
                        json(to)
                    );
                    self.send(conn, &text, Promise::Wait);
                }
            }
            Matter::Watch { watcher } => {
                let limit = self.config.watchers;
                let watchers = self.watchers.entry(to.clone()).or_default();
                let room = watchers.len() < limit;
                let known = watchers.iter_mut().find(|known| known.conn == watcher.conn);
                match known {
                    Some(known) => known.number = known.number.max(watcher.number),
                    None if room => watchers.push(watcher.clone()),
                    None => return self.tell(to, watcher, Presence::Refused, Promise::Room),
                }
                self.tell(to, watcher, self.presence_of(to), Promise::Presence);
            }
            Matter::Unwatch { watcher } => {
                if let Some(watchers) = self.watchers.get_mut(to) {
                    watchers.retain(|known| {
                        known.conn != watcher.conn || known.number > watcher.number
                    });
                }
            }
            Matter::Told {
                watcher: conn,
                number,
                of,
                serial,
                presence,
            } => {
                let is_refused = *presence == Presence::Refused;
                let socket = self.sockets.get_mut(conn);
                let watches = socket.map(|socket| &mut socket.watches);
                let Some(watches) = watches.filter(|watches| watches.contains_key(of)) else {
                    if !is_refused {
                        let watcher = watcher(to.clone(), *conn);
                        self.route(of, Matter::Unwatch { watcher }, Promise::Release);
                    }
                    return;
                };
                let watch = watches.entry(of.clone()).or_default();
                // Overtaken by a newer word, or meant for an older subscription.
                if *serial < watch.heard || is_refused && *number != watch.number {
                    return;
                }
                (watch.heard, watch.word) = (*serial, Some(*presence));
                if is_refused {
                    watches.remove(of);
                    self.report.unsubscribed += 1;
                }
                self.report.told += 1;
                let text = signal::presence(of.as_str(), to.as_str(), *presence);
                self.send(*conn, &text, Promise::Presence);
            }
        }
    }

    /// A shard was told the time.
    pub(super) fn time_passed(&mut self, shard: usize, now: Instant) {
        let here = |id: &PeerId| self.shard_of(id.as_str()) == shard;
        let over: Vec<_> = self
            .deadlines
            .iter()
            .filter(|((dst, _), at)| **at <= now && here(dst))
            .map(|(pair, _)| pair.clone())
            .collect();
        let free: Vec<_> = self
            .holders
            .iter()
            .filter(|(id, holder)| holder.owner.is_err_and(|until| until <= now) && here(id))
            .map(|(id, _)| id.clone())
            .collect();
        let silent: Vec<_> = self
            .sockets
            .iter()
            .filter(|(_, socket)| {
                socket.live
                    && socket.seen + self.config.alive_for <= now
                    && socket.id.as_ref().is_some_and(here)
            })
            .map(|(conn, _)| *conn)
            .collect();
        for (dst, src) in over {
            let messages = &mut self.messages;
            if let Some(waiting) = self.waiting.get_mut(&dst) {
                waiting.retain(|uid| {
                    let message = &mut messages[*uid as usize];
                    if message.src == src {
                        message.fate = Fate::Expired;
                        self.report.expired += 1;
                    }
                    message.src != src
                });
            }
            self.waiting.retain(|_, uids| !uids.is_empty());
            self.deadlines.remove(&(dst.clone(), src.clone()));
            self.route(&src, Matter::Expired { missing: dst }, Promise::Wait);
        }
        for id in free {
            self.free(&id);
        }
        for conn in silent {
            self.report.silent += 1;
            let close = Output::Close(conn, CloseReason::Silent);
            self.due.push((close, Promise::Alive));
            self.closed(conn, Departure::Lost, now);
        }
    }

    /// What should have happened by then.
    pub(super) fn overdue(&self, by: Instant) -> Result<(), Broken> {
        if let Some(((dst, src), _)) = self.deadlines.iter().find(|(_, at)| **at < by) {
            return Err((Promise::Wait, format!("{src} still waits for {dst}")));
        }
        let is_late = |socket: &&Socket| socket.live && socket.seen + self.config.alive_for < by;
        if let Some(socket) = self.sockets.values().find(is_late) {
            let detail = format!("a silent socket of {:?} is still open", socket.id);
            return Err((Promise::Alive, detail));
        }
        for (id, holder) in &self.holders {
            if holder.owner.is_err_and(|until| until < by) {
                return Err((Promise::Wait, format!("{id} is held for too long")));
            }
        }
        Ok(())
    }

    /// All of the server's state is gone, and what was on its way between its shards.
    pub(super) fn restarted(&mut self) {
        self.report.restarts += 1;
        self.holders.clear();
        self.waiting.clear();
        self.deadlines.clear();
        self.watchers.clear();
        for socket in self.sockets.values_mut() {
            socket.live = false;
            socket.closed = true;
            socket.watches.clear();
        }
        for message in &mut self.messages {
            if matches!(message.fate, Fate::OnItsWay | Fate::Waiting) {
                message.fate = Fate::Lost;
            }
        }
    }

    /// Whether nobody but who knows this token holds the id, and there is room for it.
    pub(super) fn is_free_for(&self, id: &str, token: &str) -> bool {
        match PeerId::parse(id).ok().and_then(|id| self.holders.get(&id)) {
            Some(holder) => holder.token == token,
            None => self.holders.len() < self.config.peers,
        }
    }

    /// The socket, and the token, of an id.
    pub(super) fn owner(&self, id: &PeerId) -> Option<(ConnId, &str)> {
        let holder = self.holders.get(id)?;
        Some((holder.owner.ok()?, &holder.token))
    }

    /// Messages and octets that wait for each id.
    pub(super) fn waiting(&self) -> BTreeMap<PeerId, (usize, usize)> {
        let count = |uids: &Vec<u64>| {
            let octets = uids
                .iter()
                .map(|uid| self.messages[*uid as usize].text.len());
            (uids.len(), octets.sum())
        };
        let each = self.waiting.iter();
        each.map(|(id, uids)| (id.clone(), count(uids))).collect()
    }

    /// Now that nothing is on its way: is what each subscriber heard last true?
    pub(super) fn is_quietly_true(&self) -> Result<(), Broken> {
        for socket in self.sockets.values().filter(|socket| socket.live) {
            for (of, Watch { word, .. }) in &socket.watches {
                let truth = self.presence_of(of);
                if *word != Some(truth) {
                    let detail = format!("{:?} heard {word:?} of {of}: {truth:?}", socket.id);
                    return Err((Promise::Presence, detail));
                }
            }
        }
        Ok(())
    }

    pub(super) fn presence_of(&self, id: &PeerId) -> Presence {
        if self.holders.get(id).is_some_and(|holder| holder.visible) {
            Presence::Online
        } else {
            Presence::Offline
        }
    }

    fn has_room(&self, dst: &PeerId, src: &PeerId, octets: usize) -> bool {
        let shard = self.shard_of(dst.as_str());
        let (mut messages, mut for_dst, mut of_src, mut all) = (1, octets, 0, 0);
        for (receiver, uids) in &self.waiting {
            for uid in uids {
                let message = &self.messages[*uid as usize];
                let cost = message.text.len() + OVERHEAD;
                all += cost;
                if receiver == dst {
                    messages += 1;
                    for_dst += message.text.len();
                }
                if message.src == *src && self.shard_of(receiver.as_str()) == shard {
                    of_src += cost;
                }
            }
        }
        let cost = octets + OVERHEAD;
        messages <= self.config.waiting_messages
            && for_dst <= self.config.waiting_octets
            && of_src + cost <= self.config.sender_waiting_octets
            && all + cost <= self.config.all_waiting_octets
    }

    /// What all waiting messages cost together.
    pub(super) fn cost(&self) -> usize {
        let uids = self.waiting.values().flatten();
        uids.map(|uid| self.messages[*uid as usize].text.len() + OVERHEAD)
            .sum()
    }

    fn socket_of(&self, id: &PeerId) -> Option<ConnId> {
        self.holders.get(id)?.owner.ok()
    }

    fn over(&mut self, conn: ConnId) {
        self.unwatch_all(conn);
        if let Some(socket) = self.sockets.get_mut(&conn) {
            socket.live = false;
        }
    }

    fn unwatch_all(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let watches = std::mem::take(&mut socket.watches);
        let Some(id) = socket.id.clone() else { return };
        for of in watches.keys() {
            let id = id.clone();
            let watcher = watcher(id, conn);
            self.route(of, Matter::Unwatch { watcher }, Promise::Release);
        }
    }

    fn free(&mut self, id: &PeerId) {
        let holder = self.holders.remove(id);
        self.due.push((Output::Went(id.clone()), Promise::Owner));
        if holder.is_some_and(|holder| holder.visible) {
            self.tell_watchers(id);
        }
    }

    fn tell_watchers(&mut self, of: &PeerId) {
        let presence = self.presence_of(of);
        for watcher in self.watchers.get(of).cloned().unwrap_or_default() {
            self.tell(of, &watcher, presence, Promise::Presence);
        }
    }

    fn tell(&mut self, of: &PeerId, watcher: &Watcher, presence: Presence, promise: Promise) {
        let matter = Matter::Told {
            watcher: watcher.conn,
            number: 0,
            of: of.clone(),
            serial: 0,
            presence,
        };
        self.route(&watcher.id, matter, promise);
    }

    fn route(&mut self, to: &PeerId, matter: Matter, promise: Promise) {
        let to = to.clone();
        self.due
            .push((Output::Route(Routed { to, matter }), promise));
    }

    fn send(&mut self, conn: ConnId, text: &str, promise: Promise) {
        self.due
            .push((Output::Send(conn, text.to_owned().into()), promise));
    }
}

/// Whatever number its subscription gets.
const fn watcher(id: PeerId, conn: ConnId) -> Watcher {
    Watcher {
        id,
        conn,
        number: 0,
    }
}

/// The frame that a receiver is to get.
fn relayed(kind: Kind, src: &PeerId, dst: &PeerId, payload: Option<&str>) -> String {
    let payload = payload.map_or(String::new(), |payload| format!(r#","payload":{payload}"#));
    let (src, dst) = (json(src), json(dst));
    format!(r#"{{"type":"{kind}","src":{src},"dst":{dst}{payload}}}"#)
}

fn json(id: &PeerId) -> String {
    serde_json::Value::from(id.as_str()).to_string()
}
