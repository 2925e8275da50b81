//! What happens by chance.

use std::collections::VecDeque;
use std::time::Duration;

use super::guest::{Guest, Speaks, Word};
use super::world::{Pipe, World};
use super::{Broken, Promise};
use crate::room::member::Target;
use crate::room::{Closed, ConnKey, Payload, SendTo, Way};
use crate::wire::room::{Body, Event, Json, Name, Said, Token, legacy};

/// Guests at a time.
const GUESTS: usize = 7;

impl World {
    pub(super) fn act(&mut self) -> Result<(), Broken> {
        let guests: Vec<_> = self.guests.keys().copied().collect();
        let any = match guests.len() {
            0 => None,
            count => Some(guests[self.rng.pick(0..count as u64) as usize]),
        };
        let Some(uid) = any.filter(|_| guests.len() > 2 || !self.rng.one_in(3)) else {
            self.come();
            return Ok(());
        };
        match self.rng.pick(0..60) {
            0..=3 if guests.len() < GUESTS => self.come(),
            4 => self.leave(uid)?,
            5 => {
                self.report.vanished += 1;
                self.vanish(uid);
            }
            6..=8 => {
                let chance = self.rng.pick(0..4);
                let back = match chance {
                    0 => self.rng.pick(12_000..50_000),
                    _ => self.rng.pick(0..8_000),
                };
                self.break_off(uid, Duration::from_millis(back));
            }
            9 | 10 => self.reload(uid, true),
            11 | 12 => {
                let pause = Duration::from_millis(self.rng.pick(500..9_000));
                if let Some(guest) = self.guests.get_mut(&uid) {
                    guest.paused_until = self.now + pause;
                }
            }
            13 => self.steal(uid),
            14 if self.rng.one_in(4) => {
                if let Some(name) = self.called.get(&uid).cloned() {
                    self.hub.kick(&name, self.now);
                    self.perform()?;
                }
            }
            15 => {
                let said = Said::Chat(Body::Json(Json::string("from the server")));
                let name = self.called.get(&uid).cloned();
                let to = match (&name, self.rng.pick(0..3)) {
                    (Some(name), 0) => SendTo::One(name),
                    (Some(name), 1) => SendTo::AllBut(name),
                    _ => SendTo::All,
                };
                self.hub.send(to, said, self.now);
                self.perform()?;
            }
            16..=20 => self.lie(uid),
            28 if self.rng.one_in(3) => self.say_goodbye(uid)?,
            21..=26 => self.ask(uid)?,
            27..=29 => {
                if let Some(guest) = self.guests.get_mut(&uid)
                    && let Speaks::Native(member) = &mut guest.speaks
                {
                    let metadata = Json::string(&format!("{}", self.rng.pick(0..9)));
                    if member.handle_metadata(metadata.clone(), self.now).is_ok() {
                        guest.metadata = metadata;
                    }
                }
                self.serve(uid)?;
            }
            _ => {
                let most = if self.rng.one_in(30) { 150 } else { 12 };
                for _ in 0..self.rng.size(most).max(1) {
                    let is_targeted = self.rng.one_in(4);
                    self.say(uid, is_targeted)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn come(&mut self) {
        let name = Name::parse(&format!("n{}", self.rng.pick(0..12))).unwrap();
        let is_native = !self.rng.one_in(3);
        // Somebody else's would be a theft.
        if self.called_now(&name) {
            return;
        }
        let token = self.rng.pick(0..250) as u8;
        self.add(name, token, is_native);
    }

    pub(super) fn steal(&mut self, uid: u64) {
        let Some(guest) = self.guests.get(&uid) else {
            return;
        };
        let (name, token) = (guest.name.clone(), guest.token.wrapping_add(1));
        let is_native = guest.is_native() || self.rng.one_in(2);
        self.add(name, token, is_native);
    }

    pub(super) fn called_now(&self, name: &Name) -> bool {
        self.guests.values().any(|it| it.name == *name)
    }

    pub(super) fn add(&mut self, name: Name, token: u8, is_native: bool) {
        self.last_guest += 1;
        let uid = self.last_guest;
        self.called.insert(uid, name.clone());
        self.guests.insert(uid, Guest::new(name, token, is_native));
        self.connect(uid);
    }

    pub(super) fn connect(&mut self, uid: u64) {
        self.last_conn += 1;
        let conn = ConnKey(self.last_conn);
        let Some(guest) = self.guests.get_mut(&uid) else {
            return;
        };
        guest.conn = Some(conn);
        guest.returns_at = None;
        let pipe = Pipe {
            guest: uid,
            up: VecDeque::new(),
            down: VecDeque::new(),
            is_dead: false,
            is_closed: false,
            hub_notices: None,
            guest_notices: None,
        };
        self.pipes.insert(conn, pipe);
        let (name, kind) = (guest.name.clone(), guest.kind());
        match &mut guest.speaks {
            Speaks::Native(member) => member.handle_opened(self.now),
            Speaks::Old(_) => {
                let join = legacy::join(name.as_str(), &Json::NULL, 1);
                self.up(conn, Payload::Text(join), Way::Reliable);
            }
        }
        self.hub.opened(conn, name, kind, self.now);
        let _ = self.perform();
        let _ = self.serve(uid);
    }

    pub(super) fn leave(&mut self, uid: u64) -> Result<(), Broken> {
        let Some(guest) = self.guests.get_mut(&uid) else {
            return Ok(());
        };
        let conn = guest.conn;
        match &mut guest.speaks {
            Speaks::Native(member) => {
                member.handle_leave(self.now);
                self.serve(uid)?;
            }
            Speaks::Old(_) => {
                let text = legacy::leave(guest.name.as_str(), 1);
                if let Some(conn) = conn {
                    self.up(conn, Payload::Text(text), Way::Reliable);
                }
            }
        }
        self.guests.remove(&uid);
        // What it said is still on its way; then it closes.
        if let Some(conn) = conn {
            let after = self.now + Duration::from_secs(1);
            if let Some(pipe) = self.pipes.get_mut(&conn) {
                pipe.hub_notices.get_or_insert((after, Closed::Ended));
            }
        }
        Ok(())
    }

    /// A page that goes says so beside its connection, which it may not have just now. Whoever knows no token says nothing by that.
    pub(super) fn say_goodbye(&mut self, uid: u64) -> Result<(), Broken> {
        let Some(guest) = self.guests.get(&uid).filter(|guest| guest.is_native()) else {
            return Ok(());
        };
        let (name, token) = (guest.name.clone(), Token::new([guest.token; 16]));
        let (is_in, conn) = (guest.is_in(), guest.conn);
        if self.hub.goodbye(&name, &Token::new([255; 16]), self.now) {
            return Err((
                Promise::Owner,
                format!("{name} is gone by a stranger's word"),
            ));
        }
        self.guests.remove(&uid);
        if let Some(pipe) = conn.and_then(|conn| self.pipes.get_mut(&conn)) {
            let after = self.now + Duration::from_secs(10);
            pipe.hub_notices.get_or_insert((after, Closed::Lost));
        }
        if self.hub.goodbye(&name, &token, self.now) {
            self.report.goodbyes += u64::from(is_in);
        }
        self.perform()
    }

    /// Without a word: the engine notices by itself.
    pub(super) fn vanish(&mut self, uid: u64) {
        if let Some(guest) = self.guests.remove(&uid)
            && let Some(pipe) = guest.conn.and_then(|conn| self.pipes.get_mut(&conn))
        {
            pipe.is_dead = true;
            let after = self.now + Duration::from_secs(10);
            pipe.hub_notices.get_or_insert((after, Closed::Lost));
        }
    }

    pub(super) fn break_off(&mut self, uid: u64, back: Duration) {
        let notices = [10_000, 10_000].map(|most| self.rng.pick(0..most));
        let is_lost = self.rng.one_in(2);
        let Some(guest) = self.guests.get_mut(&uid) else {
            return;
        };
        let Some(pipe) = guest.conn.and_then(|conn| self.pipes.get_mut(&conn)) else {
            return;
        };
        self.report.broken += 1;
        pipe.is_dead = true;
        let (hub, own) = (notices[0], notices[1]);
        let hub = match is_lost {
            true => (self.now + Duration::from_secs(10), Closed::Lost),
            false => (self.now + Duration::from_millis(hub), Closed::Ended),
        };
        pipe.hub_notices.get_or_insert(hub);
        let at = self.now + Duration::from_millis(own);
        pipe.guest_notices.get_or_insert(at);
        guest.returns_at = Some(at + back);
    }

    /// The page is loaded anew, and keeps its name and its token. Or it is closed.
    pub(super) fn reload(&mut self, uid: u64, is_back: bool) {
        let Some(guest) = self.guests.remove(&uid) else {
            return;
        };
        self.report.reloads += 1;
        // What the former page said may still be on its way.
        let is_cut = self.rng.one_in(2);
        if let Some(pipe) = guest.conn.and_then(|conn| self.pipes.get_mut(&conn)) {
            pipe.is_dead |= is_cut;
            let after = self.now + Duration::from_millis(self.rng.pick(0..9_000));
            pipe.hub_notices.get_or_insert((after, Closed::Ended));
        }
        if is_back {
            let is_native = guest.is_native();
            self.add(guest.name, guest.token, is_native);
        }
    }

    pub(super) fn word(&mut self, uid: u64, to: Option<&Name>, is_fast: bool) -> Option<Word> {
        let guest = self.guests.get_mut(&uid)?;
        guest.said += 1;
        let spoken = (to.is_none() && !is_fast).then(|| {
            guest.spoken += 1;
            guest.spoken
        });
        Some(Word {
            sender: uid,
            number: guest.said,
            spoken,
            is_fast,
            to: to.map(|to| vec![to.to_string()]),
        })
    }

    /// Says something to everybody, or to somebody that it sees.
    pub(super) fn say(&mut self, uid: u64, is_targeted: bool) -> Result<(), Broken> {
        let Some(guest) = self.guests.get(&uid).filter(|guest| guest.is_in()) else {
            return Ok(());
        };
        let (own, is_native) = (guest.name.clone(), guest.is_native());
        let others: Vec<_> = guest
            .names()
            .into_iter()
            .filter(|it| *it != *own.as_str())
            .collect();
        let to = match others.len() {
            0 => None,
            count if is_targeted => {
                Name::parse(&others[self.rng.pick(0..count as u64) as usize]).ok()
            }
            _ => None,
        };
        let is_fast = is_native && !self.is_quiet && self.rng.one_in(8);
        let Some(word) = self.word(uid, to.as_ref(), is_fast) else {
            return Ok(());
        };
        self.report.said += 1;
        let json = Json::from(&word.json());
        let event = Event::parse("word".into()).unwrap();
        let Some(guest) = self.guests.get_mut(&uid) else {
            return Ok(());
        };
        match &mut guest.speaks {
            Speaks::Native(member) => {
                let names = to.map(|to| [to]);
                let target = names
                    .as_ref()
                    .map_or(Target::Others, |it| Target::Members(it));
                let said = match word.number % 2 {
                    0 => Said::Chat(Body::Json(json)),
                    _ => Said::Event(event, Body::Json(json)),
                };
                if member.handle_emit(target, said, is_fast, self.now).is_err() {
                    guest.said -= 1;
                    guest.spoken -= u64::from(word.spoken.is_some());
                }
            }
            Speaks::Old(_) => {
                let text = match &to {
                    None if word.number % 2 == 0 => legacy::chat(own.as_str(), &json),
                    _ => {
                        let text = legacy::event(own.as_str(), &event, &json, 1).to_string();
                        match &to {
                            Some(to) => text
                                .replace("\"target\":null", &format!("\"target\":\"{to}\""))
                                .into(),
                            None => text.into(),
                        }
                    }
                };
                if let Some(conn) = guest.conn {
                    self.up(conn, Payload::Text(text), Way::Reliable);
                }
            }
        }
        self.serve(uid)
    }

    pub(super) fn ask(&mut self, uid: u64) -> Result<(), Broken> {
        let is_to_one = self.rng.one_in(2);
        let within = Duration::from_millis(self.rng.pick(50..20_000));
        let Some(guest) = self.guests.get_mut(&uid) else {
            return Ok(());
        };
        let Speaks::Native(member) = &mut guest.speaks else {
            return Ok(());
        };
        let me = guest.name.clone();
        let other = member
            .members()
            .map(|it| it.name.clone())
            .find(|it| *it != me);
        let names = other.filter(|_| is_to_one).map(|it| [it]);
        let target = names
            .as_ref()
            .map_or(Target::Others, |it| Target::Members(it));
        let said = Said::Chat(Body::Json(Json::string("who?")));
        if let Ok(id) = member.handle_ask(target, said, within, self.now) {
            guest.asks.insert(id, self.now + within);
            self.report.asked += 1;
        }
        self.serve(uid)
    }

    /// An old client says what it may not.
    pub(super) fn lie(&mut self, uid: u64) {
        let Some(guest) = self.guests.get(&uid).filter(|it| !it.is_native()) else {
            return;
        };
        let Some(conn) = guest.conn else {
            return;
        };
        let victims: Vec<_> = guest
            .names()
            .into_iter()
            .filter(|it| *it != *guest.name.as_str())
            .collect();
        let Some(victim) = victims.first() else {
            return;
        };
        let forged = Word {
            sender: uid,
            number: u64::MAX >> 12,
            spoken: None,
            is_fast: true,
            to: None,
        };
        let json = forged.json();
        let own = guest.name.clone();
        let text = match self.rng.pick(0..5) {
            0 => format!(r#"{{"peer_id":"{victim}","message":{json},"x":"forged"}}"#),
            1 => format!(
                r#"{{"peer_id":"{own}","message":{json},"peer_\u0069d":"{victim}","x":"forged"}}"#
            ),
            2 => format!(
                r#"{{"type":"SYSTEM","action":"PEER_LEAVE","payload":{{}},"peer_id":"{victim}"}}"#
            ),
            3 => format!(
                r#"{{"type":"SYSTEM","action":"HOST_CHANGE","payload":"{own}","peer_id":"{own}"}}"#
            ),
            _ => format!(
                r#"{{"type":"SYSTEM","action":"ROOM_STATE","payload":{{"peers":[],"hostId":"{own}"}},"peer_id":"{own}"}}"#
            ),
        };
        self.report.forged += 1;
        self.up(conn, Payload::Text(text.into()), Way::Reliable);
    }
}
