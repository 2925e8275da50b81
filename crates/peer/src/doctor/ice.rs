//! STUN and TURN servers: all that are known, side by side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use peerage_proto::turn::credentials::Credentials;
use peerage_proto::wire::ice_url::{IceUrl, Service, Transport};
use tokio::time::timeout;

use super::finding::{self, Finding, NoWay, Skipped};
use super::mapping::Port;
use super::{Notes, Probe, Step, relay};
use crate::net::{self, Roots};

/// For a relay, to which there may be several ways.
const RELAY: Duration = Duration::from_secs(12);
/// STUN servers, and TURN URLs, that are looked at.
const MAX_EACH: usize = 8;
/// TURN URLs at a time: each takes two allocations, and servers let one user have a few.
const AT_ONCE: usize = 3;

/// STUN and TURN. Whether any relay works.
pub(super) async fn look_at(targets: &[Target], roots: &Roots, notes: &mut Notes<'_>) -> bool {
    let mut relays = targets.iter().filter(|target| target.is_relay());
    let looked_at: Vec<_> = relays.by_ref().take(MAX_EACH).collect();
    let more: Vec<_> = relays.map(Target::name).collect();
    let deadline = notes.deadline;
    let meetings = stream::iter(&looked_at).map(|target| async move {
        let begun = Instant::now();
        let within = RELAY.min(deadline.saturating_duration_since(begun));
        let met = timeout(within, target.meet(roots)).await;
        Step {
            probe: Probe::Turn,
            subject: target.name(),
            took: begun.elapsed(),
            finding: met.unwrap_or(Finding::Late(within)),
        }
    });
    let meetings = meetings.buffered(AT_ONCE).collect::<Vec<_>>();
    notes.begin(Probe::Stun);
    let (ports, meetings) = tokio::join!(look_at_mappings(targets, notes), meetings);
    let begun = Instant::now();
    notes.begin(Probe::Nat);
    let nat = nat_of(&ports, targets).await;
    let finding = nat.unwrap_or(Finding::Skipped(Skipped::NoMapping));
    notes.end(Probe::Nat, String::new(), begun.elapsed(), finding);
    if meetings.is_empty() {
        notes.skip(Probe::Turn, "", Skipped::NoIceServer);
    }
    let works = |step: &Step| matches!(step.finding, Finding::Relayed { .. });
    let any = meetings.iter().any(works);
    for step in meetings {
        notes.push(step);
    }
    for name in more {
        notes.skip(Probe::Turn, &name, Skipped::TooMany);
    }
    any
}

/// A STUN or TURN server's URL.
pub(super) struct Target {
    pub(super) url: IceUrl,
    pub(super) credentials: Option<Credentials>,
}

impl Target {
    fn is_relay(&self) -> bool {
        self.url.service == Service::Turn
    }

    fn name(&self) -> String {
        let IceUrl {
            host,
            port,
            transport,
            ..
        } = &self.url;
        format!("{host}:{port} over {}", finding::transport(*transport))
    }

    async fn meet(&self, roots: &Roots) -> Finding {
        if self.url.transport == Transport::Dtls {
            return Finding::Skipped(Skipped::NotSpoken);
        }
        match &self.credentials {
            Some(credentials) => relay::meet(&self.url, credentials, roots).await,
            None => Finding::NoWay(NoWay::NoCredentials),
        }
    }
}

/// Asks every server that answers over UDP, of each family from one port.
async fn look_at_mappings(targets: &[Target], notes: &mut Notes<'_>) -> Vec<Port> {
    let mut places = Vec::new();
    for IceUrl {
        host,
        port,
        transport,
        ..
    } in targets.iter().map(|target| &target.url)
    {
        if *transport == Transport::Udp && !places.contains(&(host, *port)) {
            places.push((host, *port));
        }
    }
    if places.is_empty() {
        notes.skip(Probe::Stun, "", Skipped::NoIceServer);
        return Vec::new();
    }
    let more = places.split_off(places.len().min(MAX_EACH));
    let lookups = places.iter().map(|(host, port)| async move {
        let begun = Instant::now();
        let found = net::addresses(&net::host(host), *port).await;
        (format!("{host}:{port}"), found, begun.elapsed())
    });
    let mut servers: Vec<(String, SocketAddr)> = Vec::new();
    for (name, found, took) in join_all(lookups).await {
        match found {
            Ok(addresses) => {
                for v4 in [true, false] {
                    let of_family = addresses.iter().find(|at| at.is_ipv4() == v4);
                    servers.extend(of_family.map(|at| (name.clone(), *at)));
                }
            }
            Err(error) => {
                let finding = Finding::NotResolved(error.to_string());
                notes.end(Probe::Stun, name, took, finding);
            }
        }
    }
    let family = |v4: bool| {
        let addresses = servers.iter().map(|(_, at)| *at);
        let of_family: Vec<_> = addresses.filter(|at| at.is_ipv4() == v4).collect();
        async move { Port::ask(&of_family).await.ok() }
    };
    let (v4, v6) = tokio::join!(family(true), family(false));
    let ports: Vec<Port> = v4.into_iter().chain(v6).collect();
    let said = |at: &SocketAddr| {
        let mut answers = ports.iter().flat_map(|port| &port.answers);
        answers.any(|answer| answer.server == *at && answer.said.is_ok())
    };
    let heard: Vec<&str> = servers
        .iter()
        .filter(|(_, at)| said(at))
        .map(|(name, _)| &**name)
        .collect();
    let mut findings = Vec::new();
    for (name, at) in &servers {
        let subject = format!("{name}, {}", if at.is_ipv4() { "IPv4" } else { "IPv6" });
        let asked = ports.iter().find_map(|port| {
            let answer = port.answers.iter().find(|answer| answer.server == *at)?;
            Some((port, answer))
        });
        let Some((port, answer)) = asked else {
            // No port of that family was to be had.
            findings.push((subject, Duration::ZERO, Finding::Skipped(Skipped::NoFamily)));
            continue;
        };
        let other_family = heard.contains(&&**name);
        let finding = match &answer.said {
            Ok(address) => Finding::Mapped {
                address: *address,
                local: port.local(*at).await.unwrap_or(*address),
            },
            Err(unheard) if unheard.is_no_family() => Finding::Skipped(Skipped::NoFamily),
            Err(_) if other_family && at.ip().is_loopback() => {
                Finding::Skipped(Skipped::OtherFamily)
            }
            Err(unheard) => unheard.finding(other_family),
        };
        findings.push((subject, answer.took, finding));
    }
    for (subject, took, finding) in findings {
        notes.end(Probe::Stun, subject, took, finding);
    }
    for (host, port) in more {
        notes.skip(Probe::Stun, &format!("{host}:{port}"), Skipped::TooMany);
    }
    ports
}

/// What stands between, by the first port that anybody answered.
async fn nat_of(ports: &[Port], targets: &[Target]) -> Option<Finding> {
    let heard = |port: &&Port| port.answers.iter().any(|answer| answer.said.is_ok());
    let port = ports.iter().find(heard)?;
    let mut relays = Vec::new();
    for target in targets.iter().filter(|target| target.is_relay()) {
        let Some(credentials) = &target.credentials else {
            continue;
        };
        if target.url.transport != Transport::Udp || !relays.is_empty() {
            continue;
        }
        let found = net::addresses(&net::host(&target.url.host), target.url.port).await;
        for address in found.unwrap_or_default() {
            relays.push((address, credentials.clone()));
        }
    }
    port.nat(&relays).await.map(Finding::Nat)
}
