//! What the routers do, held against what must follow: whatever is too much, missing or different breaks a promise, and which one is said here.

use std::sync::Arc;

use super::book::{Book, Fate};
use super::{Broken, Promise};
use crate::signal::census::Census;
use crate::signal::{CloseReason, ConnId, Matter, Output, Routed, Router, Totals};
use crate::wire::id::PeerId;
use crate::wire::signal::{Frame, Kind, OPEN, Presence, Refused};

impl Book {
    /// A router does something. Which message it is, where one goes from shard to shard.
    pub(super) fn done(&mut self, output: &Output) -> Result<Option<u64>, Broken> {
        let plain = match output {
            Output::Route(routed) => Some(Output::Route(unnumbered(routed))),
            _ => None,
        };
        let place = match output {
            // To one socket all goes in order.
            Output::Send(conn, _) => self
                .due
                .iter()
                .position(|(due, _)| matches!(due, Output::Send(to, _) if to == conn))
                .filter(|place| self.due[*place].0 == *output),
            _ => {
                let output = plain.as_ref().unwrap_or(output);
                self.due.iter().position(|(due, _)| due == output)
            }
        };
        let Some(place) = place else {
            return Err(self.blame(output));
        };
        self.due.remove(place);
        match output {
            Output::Send(conn, text) => self.sent(*conn, text)?,
            Output::Close(conn, _) => {
                let left =
                    |(due, _): &(Output, Promise)| matches!(due, Output::Send(to, _) if to == conn);
                if self.due.iter().any(left) {
                    let detail = format!("{conn:?} is closed before it was told why");
                    return Err((Promise::First, detail));
                }
                if let Some(socket) = self.sockets.get_mut(conn) {
                    socket.closed = true;
                }
            }
            Output::Route(Routed { to, matter }) => match matter {
                Matter::Frame { text, .. } => {
                    let uid = self.messages.iter().rposition(|message| {
                        message.fate == Fate::OnItsWay && message.text == *text
                    });
                    return Ok(uid.map(|uid| uid as u64));
                }
                Matter::Watch { watcher } => {
                    let socket = self.sockets.get_mut(&watcher.conn);
                    if let Some(watch) = socket.and_then(|socket| socket.watches.get_mut(to)) {
                        watch.number = watcher.number;
                    }
                }
                Matter::Told { of, .. } if self.unchanged.as_ref() == Some(of) => {
                    let detail = format!("{to} is told that {of} is still there");
                    return Err((Promise::Discretion, detail));
                }
                _ => {}
            },
            Output::Came(_) | Output::Went(_) => {}
        }
        Ok(None)
    }

    /// The routers have no more to do.
    pub(super) fn settled(&mut self) -> Result<(), Broken> {
        self.unchanged = None;
        match self.due.first() {
            Some((due, promise)) => Err((*promise, format!("missing: {}", show(due)))),
            None => Ok(()),
        }
    }

    fn sent(&mut self, conn: ConnId, text: &str) -> Result<(), Broken> {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return Err((Promise::First, format!("{conn:?} is not known")));
        };
        if text == OPEN {
            socket.opened = true;
            return Ok(());
        }
        if socket.closed || !socket.opened && socket.refused.is_none() {
            return Err((Promise::First, format!("{conn:?} is not open: {text}")));
        }
        let going = |fate| matches!(fate, Fate::OnItsWay | Fate::Waiting);
        let found = self
            .messages
            .iter()
            .position(|message| message.text == text && going(message.fate));
        let Some(uid) = found else { return Ok(()) };
        let message = &mut self.messages[uid];
        if message.fate == Fate::Waiting {
            self.report.waited += 1;
        } else {
            self.report.relayed += 1;
        }
        message.fate = Fate::Delivered;
        let pair = (message.src.clone(), message.dst.clone());
        let before = self.last.insert(pair, uid);
        if before.is_some_and(|before| before > uid) && !self.jumbled {
            return Err((
                Promise::Order,
                format!("a later message came before {text}"),
            ));
        }
        Ok(())
    }

    /// Which promise an output breaks that should not be.
    fn blame(&self, output: &Output) -> Broken {
        let promise = match output {
            Output::Send(conn, text) => self.blame_send(*conn, text),
            Output::Close(_, CloseReason::Silent) => Promise::Alive,
            Output::Close(_, CloseReason::Refused(_)) => Promise::Return,
            Output::Came(_) if self.is_due_for(Promise::Room) => Promise::Room,
            Output::Close(_, CloseReason::Replaced) | Output::Came(_) | Output::Went(_) => {
                Promise::Owner
            }
            Output::Route(routed) => self.blame_route(routed),
        };
        (promise, format!("not to be: {}", show(output)))
    }

    /// Whether this promise asks for something else.
    fn is_due_for(&self, promise: Promise) -> bool {
        self.due.iter().any(|(_, due)| *due == promise)
    }

    fn blame_send(&self, conn: ConnId, text: &str) -> Promise {
        let Some(socket) = self.sockets.get(&conn).filter(|socket| !socket.closed) else {
            return Promise::First;
        };
        let Ok(frame) = Frame::parse(text.as_bytes()) else {
            return Promise::Intact;
        };
        let due_here = |(due, _): &(Output, Promise)| matches!(due, Output::Send(to, due) if *to == conn && due == text);
        match frame.kind {
            Kind::Open => match socket.refused {
                Some(Refused::Full) => Promise::Room,
                Some(Refused::IdTaken | Refused::ProofRequired) => Promise::Owner,
                _ => Promise::First,
            },
            Kind::Error | Kind::IdTaken if socket.refused.is_none() && !socket.opened => {
                Promise::Return
            }
            Kind::Error | Kind::IdTaken => Promise::First,
            _ if !socket.opened => Promise::First,
            _ if frame.dst.is_none() || frame.dst != socket.id => Promise::Stranger,
            Kind::Presence => Promise::Presence,
            _ if self.due.iter().any(due_here) => Promise::Order,
            Kind::Expire if frame.payload.is_none() => Promise::Once,
            _ => self.blame_message(&frame, text),
        }
    }

    fn blame_route(&self, Routed { to, matter }: &Routed) -> Promise {
        match matter {
            Matter::Frame { src, text, .. } => match Frame::parse(text.as_bytes()) {
                Ok(frame) if frame.src.as_ref() != Some(src) || frame.dst.as_ref() != Some(to) => {
                    Promise::Stranger
                }
                Ok(frame) => self.blame_message(&frame, text),
                Err(_) => Promise::Intact,
            },
            Matter::Expired { missing } => {
                let waits = self.waiting_since(missing, to);
                if waits { Promise::Wait } else { Promise::Once }
            }
            Matter::Told { .. } | Matter::Watch { .. } if self.is_due_for(Promise::Room) => {
                Promise::Room
            }
            Matter::Told { of, presence, .. } => {
                let online = *presence == Presence::Online;
                if online && self.presence_of(of) != Presence::Online
                    || self.unchanged.as_ref() == Some(of)
                {
                    Promise::Discretion
                } else {
                    Promise::Presence
                }
            }
            Matter::Watch { .. } | Matter::Unwatch { .. } => Promise::Presence,
        }
    }

    /// A frame that is not the one to be sent: a repeated one, or a changed one.
    fn blame_message(&self, frame: &Frame, text: &str) -> Promise {
        let is_known = self.messages.iter().any(|message| message.text == text);
        if is_known {
            return Promise::Once;
        }
        let number = number_of(text);
        let meant = self
            .messages
            .iter()
            .find(|message| number.is_some() && number_of(&message.text) == number);
        match meant {
            Some(message) if Some(&message.src) == frame.src.as_ref() => Promise::Intact,
            // Under another's id, or from a socket that has none any more.
            _ => Promise::Stranger,
        }
    }

    fn waiting_since(&self, dst: &PeerId, src: &PeerId) -> bool {
        self.messages.iter().any(|message| {
            message.fate == Fate::Waiting && message.dst == *dst && message.src == *src
        })
    }

    /// Counts what the shards hold.
    pub(super) fn audit<'a>(
        &self,
        shards: impl Iterator<Item = &'a Router>,
        totals: &Arc<Totals>,
    ) -> Result<(), Broken> {
        let mut census = Census::default();
        let mut held = 0;
        for (shard, router) in shards.enumerate() {
            router.count(&mut census);
            for (_, id) in router.peers() {
                held += 1;
                if !self.holders.contains_key(id) || self.shard_of(id.as_str()) != shard {
                    return Err((Promise::Owner, format!("nobody should hold {id}")));
                }
                if let Some((conn, token)) = self.owner(id)
                    && router.authorize(id.as_str(), token) != Ok(conn)
                {
                    return Err((Promise::Owner, format!("{id} is not {conn:?}'s")));
                }
            }
        }
        let (peers, octets) = totals.read();
        let limits = &self.config;
        let room = |what: &str| {
            Err((
                Promise::Room,
                format!("{what}: {peers} ids, {octets} octets, {census:?}"),
            ))
        };
        if peers != held
            || octets
                != census
                    .senders
                    .iter()
                    .map(|(_, octets)| octets)
                    .sum::<usize>()
        {
            return room("the totals are not the sum of the shards");
        }
        if peers > limits.peers
            || octets > limits.all_waiting_octets
            || census.waiting.values().any(|(messages, octets)| {
                *messages > limits.waiting_messages || *octets > limits.waiting_octets
            })
            || census
                .senders
                .iter()
                .any(|(_, octets)| *octets > limits.sender_waiting_octets)
            || census
                .watchers
                .values()
                .any(|count| *count > limits.watchers)
            || census.watches.values().any(|count| *count > limits.watched)
        {
            return room("more than may be");
        }
        if held != self.holders.len() {
            return Err((
                Promise::Owner,
                format!("{held} of {} ids are held", self.holders.len()),
            ));
        }
        if census.waiting != self.waiting() || octets != self.cost() {
            return room("something else waits than should");
        }
        Ok(())
    }
}

/// Without the numbers that a router gives to what it says.
fn unnumbered(routed: &Routed) -> Routed {
    let mut routed = routed.clone();
    match &mut routed.matter {
        Matter::Watch { watcher } | Matter::Unwatch { watcher } => watcher.number = 0,
        Matter::Told { number, serial, .. } => (*number, *serial) = (0, 0),
        Matter::Frame { .. } | Matter::Expired { .. } => {}
    }
    routed
}

/// Messages carry their number.
fn number_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("number ")?;
    rest.split('!').next()
}

fn show(output: &Output) -> String {
    match output {
        Output::Send(ConnId(conn), text) => format!("{conn} <- {text}"),
        Output::Route(routed) => match &routed.matter {
            Matter::Frame { text, .. } => format!("to {}: {text}", routed.to),
            _ => format!("{routed:?}"),
        },
        other => format!("{other:?}"),
    }
}
