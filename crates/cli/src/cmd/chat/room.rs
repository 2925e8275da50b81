//! `peerage chat --room`: lines to everybody in a room, and lines from them.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use peerage_peer::room::{
    Data, EmitError, Happening, LeftReason, Name, RefusedCode, Room, RoomError, RoomMember,
    RoomState, Sender,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::screen;
use crate::{
    call::Meeting,
    exit::{Exit, Failure},
    output::{self, harmless},
};

/// How long last words may take of who is told to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// In whose room, as whom, and how it is shown.
pub(super) struct Talk<'a> {
    pub(super) meeting: &'a Meeting,
    pub(super) room: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Talk<'_> {
    /// Talks until there is nothing more to say, or the room is over.
    pub(super) async fn run(
        self,
        words: &mut mpsc::Receiver<String>,
        told: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), Failure> {
        let paths = &self.meeting.paths;
        if paths.relay_only() || !paths.ice_servers()?.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "a room is reached without relays: leave --relay-only and --ice-server, and their variables, away",
            ));
        }
        let server = self.meeting.server.as_str();
        let mut room = tokio::select! {
            joined = self.join(server) => joined?,
            () = &mut *told => return Ok(()),
        };
        let screen = Screen::new(&self);
        screen.here(&room)?;
        let is_told = loop {
            tokio::select! {
                happening = room.next() => match happening {
                    Some(happening) => screen.show(&room, happening),
                    None => return ended(room.end(), server),
                },
                line = words.recv() => match line {
                    // An empty line says nothing.
                    Some(line) if line.is_empty() => {}
                    Some(line) => tokio::select! {
                        () = say(&room, &line, &screen) => {}
                        () = &mut *told => break true,
                    },
                    None => break false,
                },
                () = &mut *told => break true,
            }
        };
        // Everything that a pipe brought goes out; a network that takes nothing keeps nobody here for long who asks for the end.
        let mut leaving = std::pin::pin!(room.leave());
        if !is_told {
            tokio::select! {
                () = &mut leaving => return Ok(()),
                () = &mut *told => {}
            }
        }
        let _ = timeout(GOODBYE, leaving).await;
        Ok(())
    }

    async fn join(&self, server: &str) -> Result<Room, Failure> {
        let mut join = Room::join(server, self.room);
        if let Some(name) = self.name {
            join = join.id(name).metadata(&json!({ "name": name }));
        }
        for authority in self.meeting.trust.certificates()? {
            join = join.trust(authority);
        }
        if self.meeting.allow_loopback {
            join = join.loopback(true);
        }
        join.open().await.map_err(|error| failure(error, server))
    }
}

/// Says a line. Waits while much waits to be sent, and meanwhile nothing is shown.
async fn say(room: &Room, line: &str, screen: &Screen) {
    if let Err(error) = room.send(line).await
        && error != EmitError::Closed
    {
        screen.not_sent(&error);
    }
}

fn ended(end: Option<RoomError>, server: &str) -> Result<(), Failure> {
    match end {
        Some(RoomError::Over) | None => Ok(()),
        Some(error) => Err(failure(error, server)),
    }
}

/// Why there is no room, or none any more, and what to do.
fn failure(error: RoomError, server: &str) -> Failure {
    let (exit, advice) = match &error {
        RoomError::Url(_) | RoomError::Name { .. } | RoomError::Metadata(_) => (Exit::Usage, None),
        RoomError::Unreachable(_) => (
            Exit::ServerUnreachable,
            Some(format!("is `peerage serve` running, and is {server} its address?")),
        ),
        RoomError::Tls(_) => (
            Exit::ServerUnreachable,
            Some(
                "if its certificate is by an authority of your own, name that with --server-ca FILE"
                    .to_owned(),
            ),
        ),
        RoomError::Refused { status: 404, .. } => (
            Exit::Refused,
            Some("has the server rooms? `peerage serve` has, without --no-rooms".to_owned()),
        ),
        RoomError::Hub(RefusedCode::NameTaken) => {
            (Exit::Refused, Some("choose another with --name".to_owned()))
        }
        RoomError::Refused { .. } | RoomError::Hub(_) => (Exit::Refused, None),
        RoomError::Busy(_) => (Exit::Refused, Some("try again later".to_owned())),
        RoomError::NoRoute => (Exit::NoRoute, None),
        RoomError::Timeout | RoomError::Lost(_) => (Exit::Broken, Some("try again".to_owned())),
        _ => (Exit::Other, None),
    };
    let words = harmless(&error.to_string());
    match advice {
        Some(advice) => Failure::new(exit, format_args!("{words}; {advice}")),
        None => Failure::new(exit, words),
    }
}

/// Words on stdout, what happens in the room on stderr; all of it as JSON on stdout for machines.
struct Screen {
    json: bool,
    quiet: bool,
    room: String,
    server: String,
}

impl Screen {
    fn new(talk: &Talk<'_>) -> Self {
        Self {
            json: talk.json,
            quiet: talk.quiet,
            room: talk.room.to_owned(),
            server: talk.meeting.server.to_string(),
        }
    }

    /// Who is there, at the beginning.
    fn here(&self, room: &Room) -> io::Result<()> {
        let members = room.members();
        if self.json {
            let list: Vec<_> = members.iter().map(told).collect();
            let event = json!({
                "event": "ready",
                "room": self.room,
                "server": self.server,
                "id": room.id().as_str(),
                "host": room.host().as_ref().map(Name::as_str),
                "members": list,
            });
            return output::json(&mut io::stdout().lock(), &event);
        }
        let others = members.iter().filter(|member| member.name != *room.id());
        let others: Vec<_> = others.map(|member| shown(member, &members)).collect();
        let with = match others.len() {
            0 => "nobody else is here".to_owned(),
            _ => format!("with {}", others.join(", ")),
        };
        let (name, me) = (
            screen::printable(&self.room),
            screen::printable(room.id().as_str()),
        );
        output::notice(self.quiet, format_args!("in room {name} as {me}, {with}"));
        if room.is_host() {
            output::notice(self.quiet, "you are the host");
        }
        Ok(())
    }

    fn show(&self, room: &Room, happening: Happening) {
        match happening {
            Happening::Message { from, data, .. } => self.said(room, None, &from, &data),
            Happening::Event {
                event, from, data, ..
            } => self.said(room, Some(&event), &from, &data),
            Happening::Joined(member) => {
                let who = shown(&member, &room.members());
                self.tell("joined", told(&member), format_args!("{who} is here"));
            }
            Happening::Left { member, reason } => {
                let who = shown(&member, &room.members());
                let (reason, how) = left(reason);
                let mut event = told(&member);
                event["reason"] = reason.into();
                self.tell("left", event, format_args!("{who} {how}"));
            }
            Happening::Metadata(member) => {
                let who = shown(&member, &room.members());
                let id = screen::printable(member.name.as_str());
                self.tell("metadata", told(&member), format_args!("{id} is {who} now"));
            }
            Happening::Host(host) => {
                let id = host.as_ref().map(Name::as_str);
                let words = match &host {
                    Some(host) if host == room.id() => "you are the host".to_owned(),
                    Some(host) => format!("{} is the host", self.who(room, host)),
                    None => "there is no host".to_owned(),
                };
                self.tell("host", json!({ "id": id }), words);
            }
            Happening::State(state) => {
                let (name, words) = match state {
                    RoomState::Joined => ("joined", "back in the room"),
                    RoomState::Reconnecting => (
                        "reconnecting",
                        "the connection is lost: joining again; what you say waits",
                    ),
                    RoomState::Closed => ("closed", "the room is over"),
                };
                self.tell("state", json!({ "state": name }), words);
            }
            Happening::Missed => {
                self.tell(
                    "missed",
                    json!({}),
                    "something was said meanwhile that is lost",
                );
            }
            Happening::Failed(error) => {
                let detail = harmless(&error.to_string());
                tracing::info!(%detail, "not back in the room yet");
                if self.json {
                    self.tell("failed", json!({ "detail": detail }), "");
                }
            }
            _ => {}
        }
    }

    /// Somebody said something.
    fn said(&self, room: &Room, event: Option<&str>, from: &Sender, data: &Data) {
        let who = match from {
            Sender::Server => "the server".to_owned(),
            Sender::Member(name) => self.who(room, name),
        };
        let value = match data.bytes() {
            Some(bytes) => json!({ "octets": bytes.len() }),
            None => data.parse().unwrap_or(Value::Null),
        };
        let mut out = io::stdout().lock();
        // Who stopped reading stdout did not ask for the end of the talk.
        let _ = if self.json {
            let mut object = json!({
                "event": "message",
                "from": from.name().map(Name::as_str),
                "name": who,
                "value": value,
            });
            if let Some(event) = event {
                object["said"] = event.into();
            }
            output::json(&mut out, &object)
        } else {
            let text = match (data.bytes(), &value) {
                (Some(bytes), _) => format!("[{} octets]", bytes.len()),
                (None, Value::String(text)) => harmless(text),
                (None, value) => harmless(&value.to_string()),
            };
            let event = event.map(|event| format!("[{}] ", screen::printable(event)));
            let event = event.unwrap_or_default();
            writeln!(out, "{who}: {event}{text}").and_then(|()| out.flush())
        };
    }

    fn not_sent(&self, error: &EmitError) {
        let detail = harmless(&error.to_string());
        self.tell(
            "not-sent",
            json!({ "detail": detail }),
            format_args!("not sent: {detail}"),
        );
    }

    fn who(&self, room: &Room, name: &Name) -> String {
        let members = room.members();
        match members.iter().find(|member| member.name == *name) {
            Some(member) => shown(member, &members),
            None => screen::printable(name.as_str()),
        }
    }

    fn tell(&self, name: &str, mut event: Value, text: impl std::fmt::Display) {
        if self.json {
            event["event"] = name.into();
            let _ = output::json(&mut io::stdout().lock(), &event);
        } else {
            output::notice(self.quiet, text);
        }
    }
}

/// A member for machines.
fn told(member: &RoomMember) -> Value {
    let metadata = serde_json::from_str::<Value>(member.metadata.as_str());
    json!({ "id": member.name.as_str(), "metadata": metadata.unwrap_or_default() })
}

/// A member for people: as it calls itself, with its id where another calls itself so too.
fn shown(member: &RoomMember, members: &[RoomMember]) -> String {
    let id = screen::printable(member.name.as_str());
    let Some(called) = called(member).filter(|called| *called != id) else {
        return id;
    };
    let is_alike = |other: &RoomMember| {
        other.name != member.name
            && (screen::printable(other.name.as_str()) == called
                || self::called(other).as_ref() == Some(&called))
    };
    match members.iter().any(is_alike) {
        true => format!("{called} ({id})"),
        false => called,
    }
}

fn called(member: &RoomMember) -> Option<String> {
    let metadata = serde_json::from_str::<Value>(member.metadata.as_str()).ok()?;
    let name = metadata.get("name")?.as_str()?.trim();
    (!name.is_empty()).then(|| screen::printable(name))
}

fn left(reason: LeftReason) -> (&'static str, &'static str) {
    match reason {
        LeftReason::Left => ("left", "has left"),
        LeftReason::Lost => ("lost", "is lost: nothing is heard any more"),
        LeftReason::Kicked => ("kicked", "was put out by the server"),
        LeftReason::Slow => ("slow", "was too slow for the room"),
        LeftReason::Replaced => ("replaced", "joined from elsewhere"),
        LeftReason::Protocol => ("protocol", "was not understood by the server"),
        LeftReason::Rate => ("rate", "said too much at once"),
    }
}
