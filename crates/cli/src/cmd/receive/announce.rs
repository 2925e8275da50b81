//! What the person, or a script, reads while files are received.

use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use peerage_peer::{Connection, Peer, ServerState};
use peerage_proto::wire::file::{Digest, Reason};
use serde_json::json;
use url::Url;

use crate::output::{self, harmless};

#[derive(Debug, Clone)]
pub(super) struct Announcer {
    json: bool,
    pub(super) quiet: bool,
}

/// A file that arrived.
pub(super) struct Arrived<'a> {
    pub(super) path: &'a Path,
    pub(super) size: u64,
    /// Octets of it that came this time.
    pub(super) came: u64,
    pub(super) digest: Digest,
    pub(super) took: Duration,
}

impl Announcer {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Others can send from now on. `to`: what they name, and whether they have to name the server too.
    pub(super) fn ready(
        &self,
        peer: &Peer,
        (to, name_server): &(String, bool),
        server: &Url,
        into: &Path,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return output::json(
                &mut out,
                &json!({
                    "event": "ready",
                    "id": peer.id().as_str(),
                    "to": to,
                    "server": server.as_str(),
                    "into": into.display().to_string(),
                }),
            );
        }
        let server = match name_server {
            true => format!(" --server {server}"),
            false => String::new(),
        };
        writeln!(out, "Into  {}", into.display())?;
        writeln!(out, "Send  peerage send FILE --to '{to}'{server}")?;
        writeln!(out)?;
        out.flush()
    }

    pub(super) fn came(&self, connection: &Connection) {
        output::tell_route(connection);
        let route = output::route(connection.route());
        self.say(format_args!("{} is here, {route}", who(connection)));
    }

    pub(super) fn left(&self, connection: &Connection) {
        self.say(format_args!("{} is gone", who(connection)));
    }

    pub(super) fn arrived(&self, connection: &Connection, file: &Arrived<'_>) {
        let Arrived {
            path,
            size,
            came,
            digest,
            took,
        } = file;
        let mut out = io::stdout().lock();
        let _ = if self.json {
            output::json(
                &mut out,
                &json!({
                    "event": "received",
                    "file": path.display().to_string(),
                    "size": size,
                    "came": came,
                    "sha256": digest.to_string(),
                    "seconds": took.as_secs_f64(),
                    "from": connection.peer().as_str(),
                    "verified": connection.is_verified(),
                }),
            )
        } else {
            let size = output::octets(*size);
            writeln!(out, "{digest}  {}  {size}", path.display()).and_then(|()| out.flush())
        };
    }

    /// A file did not arrive; `kept` octets of it wait for another try.
    pub(super) fn given_up(&self, connection: &Connection, name: &str, why: &str, kept: u64) {
        if self.json {
            let event = json!({
                "event": "broken",
                "name": name,
                "reason": why,
                "kept": kept,
                "from": connection.peer().as_str(),
            });
            let _ = output::json(&mut io::stdout().lock(), &event);
            return;
        }
        let kept = match kept {
            0 => String::new(),
            kept => format!("; {} are kept, and not sent again", output::octets(kept)),
        };
        self.say(format_args!("{name}: {why}{kept}"));
    }

    pub(super) fn refused(&self, connection: &Connection, name: &str, reason: Reason) {
        self.say(format_args!("{name} of {}: {reason}", who(connection)));
    }

    pub(super) fn server(&self, state: &ServerState) {
        match state {
            ServerState::Open => self.say("the server is back"),
            ServerState::Down(error) => {
                self.say(format_args!(
                    "{}; trying again",
                    harmless(&error.to_string())
                ));
            }
        }
    }

    fn say(&self, message: impl std::fmt::Display) {
        output::notice(self.quiet, message);
    }
}

/// How the other one is called: by its id, which is the server's word, or by its key.
pub(super) fn who(connection: &Connection) -> String {
    match connection.key() {
        Some(key) => key.device_id().as_str().chars().take(8).collect(),
        None => harmless(connection.peer().as_str()),
    }
}
