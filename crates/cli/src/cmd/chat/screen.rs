//! What is shown of a chat: words on stdout, what happens to the connection on stderr.

use std::io::{self, Write as _};

use peerage_peer::{CloseReason, Connection, ConnectionState, RecvError, Route, SendError, Value};
use peerage_proto::wire::id::PeerId;
use serde_json::json;

use crate::output::{self, harmless, route};

/// Characters of a name.
const NAME_MAX: usize = 40;

#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    quiet: bool,
}

/// How one who was called is called.
pub(super) fn id(connection: &Connection) -> String {
    printable(connection.peer().as_str())
}

/// How one who called is called: as it says, else by its id.
pub(super) fn name(connection: &Connection) -> String {
    let metadata = connection.metadata();
    let said = metadata.and_then(|json| serde_json::from_str::<serde_json::Value>(json.get()).ok());
    let said = said.as_ref().and_then(|said| said.get("name")?.as_str());
    match said.map(str::trim) {
        Some(said) if !said.is_empty() => printable(said),
        _ => id(connection),
    }
}

/// A name of somebody else's, fit for a terminal.
pub(super) fn printable(name: &str) -> String {
    let name: String = name.chars().take(NAME_MAX).collect();
    harmless(&name.replace('\n', " "))
}

impl Screen {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Others can call from now on.
    pub(super) fn ready(&self, id: &PeerId, server: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let event = json!({ "event": "ready", "id": id.as_str(), "server": server });
            return output::json(&mut out, &event);
        }
        writeln!(out, "Id    {id}")?;
        writeln!(out, "Call  peerage chat {id} --server {server}")?;
        writeln!(out)?;
        out.flush()
    }

    pub(super) fn connected(&self, who: &str, connection: &Connection) {
        let route = route(connection.route());
        let peer = connection.peer().as_str();
        self.tell(
            || json!({ "event": "connected", "peer": peer, "name": who, "route": route }),
            || format!("{who} is here, {route}"),
        );
    }

    /// Somebody said something.
    pub(super) fn said(&self, who: &str, value: Value) {
        let json = match &value {
            Value::Bytes(bytes) => json!({ "octets": bytes.len() }),
            value => serde_json::Value::try_from(value.clone()).unwrap_or_default(),
        };
        let mut out = io::stdout().lock();
        // Who stopped reading stdout did not ask for the end of the talk.
        let _ = if self.json {
            let event = json!({ "event": "message", "from": who, "value": json });
            output::json(&mut out, &event)
        } else {
            let text = match &value {
                Value::Text(text) => harmless(text),
                Value::Bytes(bytes) => format!("[{} octets]", bytes.len()),
                _ if json.is_null() && !value.is_null() => {
                    "[something with bytes in it]".to_owned()
                }
                _ => harmless(&json.to_string()),
            };
            writeln!(out, "{who}: {text}").and_then(|()| out.flush())
        };
    }

    pub(super) fn lost(&self, who: &str, error: &RecvError) {
        let detail = error.to_string();
        self.tell(
            || json!({ "event": "lost", "peer": who, "detail": detail }),
            || format!("{who}: {}", harmless(&detail)),
        );
    }

    pub(super) fn not_sent(&self, error: &SendError) {
        let detail = error.to_string();
        self.tell(
            || json!({ "event": "not-sent", "detail": detail }),
            || format!("not sent: {detail}"),
        );
    }

    pub(super) fn state(
        &self,
        who: &str,
        before: &ConnectionState,
        now: &ConnectionState,
        route_now: Route,
    ) {
        let (name, text) = match (before, now) {
            (_, ConnectionState::Silent) => {
                ("silent", format!("nothing heard from {who}; waiting"))
            }
            (_, ConnectionState::Restarting) => (
                "restarting",
                format!("looking for another path to {who}; nothing is lost"),
            ),
            (_, ConnectionState::Renewing) => (
                "renewing",
                format!("the connection to {who} is lost: calling again"),
            ),
            (ConnectionState::Renewing, ConnectionState::Open) => (
                "renewed",
                format!(
                    "connected to {who} anew, {}; what was said meanwhile may be lost",
                    route(route_now)
                ),
            ),
            (ConnectionState::Restarting, ConnectionState::Open) => (
                "restarted",
                format!(
                    "there is a path to {who} again, {}; nothing was lost",
                    route(route_now)
                ),
            ),
            (ConnectionState::Silent, ConnectionState::Open) => {
                ("heard", format!("{who} is heard again"))
            }
            _ => return,
        };
        self.tell(
            || json!({ "event": "state", "peer": who, "state": name, "route": route(route_now) }),
            || text.clone(),
        );
    }

    /// Packets take another way now.
    pub(super) fn route(&self, who: &str, to: Route) {
        let to = route(to);
        self.tell(
            || json!({ "event": "route", "peer": who, "route": to }),
            || format!("{who} is {to} now"),
        );
    }

    pub(super) fn disconnected(&self, who: &str, reason: &CloseReason) {
        let reason = reason.to_string();
        self.tell(
            || json!({ "event": "disconnected", "peer": who, "reason": reason }),
            || format!("{who} is gone: {}", harmless(&reason)),
        );
    }

    fn tell(&self, event: impl FnOnce() -> serde_json::Value, text: impl FnOnce() -> String) {
        if self.json {
            let _ = output::json(&mut io::stdout().lock(), &event());
        } else {
            output::notice(self.quiet, text());
        }
    }
}
