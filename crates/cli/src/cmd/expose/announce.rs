//! What the person, or a script, reads on stdout while something is exposed.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use peerage_peer::{About, CloseReason, Route, ServerState};
use peerage_proto::wire::{id::PeerId, link_url::Link};
use qrcode::{QrCode, render::unicode::Dense1x2};
use serde_json::json;
use url::Url;

use crate::output::{self, route};

/// Tells what happens. The link's secret is told once, in the link, and never again.
#[derive(Debug, Clone)]
pub(super) struct Announcer {
    json: bool,
}

impl Announcer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The device can be reached from now on.
    pub(super) fn ready(
        &self,
        link: &Link,
        target: &str,
        server: &Url,
        old_ids: &[&PeerId],
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return output::json(
                &mut out,
                &json!({
                    "event": "ready",
                    "device": link.device.as_str(),
                    "target": target,
                    "server": server.as_str(),
                    "link": link.to_string(),
                    "legacy_ids": old_ids,
                }),
            );
        }
        writeln!(out, "Device  {}", link.device)?;
        writeln!(out, "Target  {target}")?;
        writeln!(out, "Link    {link}")?;
        for id in old_ids {
            writeln!(out, "Old id  {id}")?;
        }
        writeln!(out)?;
        if works_elsewhere(link) {
            if let Some(code) = qr(&link.to_string(), io::stdout().is_terminal()) {
                writeln!(out, "{code}")?;
            }
        } else {
            writeln!(
                out,
                "The link works in browsers on this machine. For one that works everywhere, run `peerage serve` under a \
                 name with a certificate, and expose with --server https://NAME."
            )?;
        }
        writeln!(
            out,
            "Whoever has the link can use the target. Ctrl-C ends it."
        )?;
        writeln!(out)?;
        out.flush()
    }

    /// Somebody came.
    pub(super) fn connected(&self, number: u64, about: &About) {
        let route = route(about.route());
        let round_trip = about.stats().round_trip;
        if self.json {
            return self.tell(&json!({
                "event": "connected",
                "connection": number,
                "caller": caller(about),
                "route": route,
                "round_trip_ms": round_trip.map(|time| time.as_secs_f64() * 1_000.0),
            }));
        }
        let round_trip = round_trip.map_or_else(String::new, |time| {
            format!(", {}", output::round_trip(time))
        });
        self.say(&format!(
            "+ {number}  connected, {route}{round_trip}  (caller {})",
            short(&caller(about))
        ));
    }

    /// A connection's packets take another way now.
    pub(super) fn rerouted(&self, number: u64, to: Route) {
        if self.json {
            return self.tell(&json!({
                "event": "route",
                "connection": number,
                "route": route(to),
            }));
        }
        self.say(&format!("~ {number}  now {}", route(to)));
    }

    /// Somebody left.
    pub(super) fn disconnected(
        &self,
        number: u64,
        about: &About,
        reason: &CloseReason,
        after: Duration,
    ) {
        let stats = about.stats();
        if self.json {
            return self.tell(&json!({
                "event": "disconnected",
                "connection": number,
                "seconds": after.as_secs_f64(),
                "sent": stats.sent,
                "received": stats.received,
                "reason": reason.to_string(),
            }));
        }
        self.say(&format!(
            "- {number}  {reason} after {}, {} sent, {} received",
            output::span(after),
            output::octets(stats.sent),
            output::octets(stats.received)
        ));
    }

    /// The server came or went. Connections that live go on without it.
    pub(super) fn server(&self, state: &ServerState) {
        let (up, text) = match state {
            ServerState::Open => (true, "the server is back".to_owned()),
            ServerState::Down(error) => (
                false,
                format!("{error}; visitors who are here stay, new ones have to wait, trying again"),
            ),
        };
        if self.json {
            return self.tell(&json!({ "event": "server", "up": up, "detail": text }));
        }
        self.say(&format!("! {text}"));
    }

    // Who stopped reading stdout did not ask for the end of the device: failures to write are ignored from here on.

    fn tell(&self, event: &serde_json::Value) {
        let _ = output::json(&mut io::stdout().lock(), event);
    }

    fn say(&self, line: &str) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// Whether another machine can open the link: names below `localhost` are each machine's own.
fn works_elsewhere(link: &Link) -> bool {
    let local = link.domain == "localhost" || link.domain.ends_with(".localhost");
    link.secure && !local
}

/// A caller's key, in the form of an id; old clients have none.
fn caller(about: &About) -> String {
    about
        .key()
        .map_or_else(|| "unproven".to_owned(), |key| key.device_id().to_string())
}

/// Enough of it for a person to tell callers apart.
fn short(caller: &str) -> &str {
    caller.get(..8).unwrap_or(caller)
}

/// The code for a phone's camera: dark on light, whatever colours the terminal has.
fn qr(text: &str, terminal: bool) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let drawn = code.render::<Dense1x2>().quiet_zone(true).build();
    if !terminal {
        return Some(drawn);
    }
    let lines: Vec<String> = drawn
        .lines()
        .map(|line| format!("\x1b[30;107m{line}\x1b[0m"))
        .collect();
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_only_for_links_that_a_phone_can_open() {
        let device = "a".repeat(52);
        let works = |server: &str| {
            let (scheme, rest) = server.split_once("://").expect("a server");
            works_elsewhere(&Link::parse(&format!("{scheme}://{device}.{rest}/")).expect("a link"))
        };
        assert!(works("https://example.org"));
        assert!(works("https://example.org:8443"));
        assert!(!works("http://localhost:9000"));
        assert!(!works("https://dev.localhost:9000"));
    }

    #[test]
    fn a_code_holds_a_whole_link() {
        let link = format!(
            "https://{}.example.org/#1.{}",
            "a".repeat(52),
            "b".repeat(26)
        );
        let code = qr(&link, false).expect("a code");
        assert!(code.lines().count() > 20);
        assert!(qr(&link, true).expect("a code").starts_with("\x1b[30;107m"));
    }
}
