//! `peerage ports`: what a firewall has to let through to a server.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use clap::Args;
use peerage_server::{Config, State};
use serde::Serialize;

use super::serve::Asked;
use crate::{exit::Failure, output};

/// List what to open in a firewall for a server with these settings.
///
/// The settings are those of `peerage serve`, from the same places. Nothing is listened on.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: Asked,
}

impl Ports {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settled = self.asked.settle()?;
        let mut config = settled.config.clone();
        // Those of others have no port here, and may want a secret that is the server's to read.
        config.ice_servers.clear();
        // For its look at the settings.
        State::new(config.clone()).map_err(|error| settled.explain(&error))?;
        let rows = rows(&config);
        let mut out = io::stdout().lock();
        if self.json {
            output::json(&mut out, &serde_json::json!({ "ports": rows }))?;
        } else {
            out.write_all(table(&config, &rows).as_bytes())?;
        }
        Ok(())
    }
}

/// Something that is listened on.
#[derive(Serialize)]
struct Row {
    /// The first and the last; 0: any that is free.
    from: u16,
    to: u16,
    protocol: &'static str,
    #[serde(rename = "for")]
    purpose: &'static str,
    /// Whether what it is for fails without it everywhere, or for some networks.
    needed: bool,
    /// Whether other machines come to it at all.
    open: bool,
    addresses: Vec<IpAddr>,
}

fn rows(config: &Config) -> Vec<Row> {
    let row = |places: &[SocketAddr], protocol, purpose, needed| {
        let mut ports: Vec<u16> = places.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        let places = places.to_vec();
        ports.into_iter().map(move |port| {
            let here = places.iter().filter(|place| place.port() == port);
            let addresses: Vec<_> = here.map(SocketAddr::ip).collect();
            Row {
                from: port,
                to: port,
                protocol,
                purpose,
                needed,
                open: addresses.iter().any(|address| !address.is_loopback()),
                addresses,
            }
        })
    };
    let signalling = match (&config.tls, config.proxies.is_empty()) {
        (Some(_), _) => "signalling and pages (https, wss)",
        (None, true) => "signalling and pages (http, ws)",
        (None, false) => "signalling and pages, from the proxy in front alone",
    };
    let (plain, tls) = (config.turn_listen(), config.turn_tls_listen());
    let mut rows: Vec<Row> = row(&[config.listen], "tcp", signalling, true).collect();
    rows.extend(row(&plain, "udp", "STUN and TURN", true));
    rows.extend(row(&plain, "tcp", "TURN from networks without UDP", false));
    rows.extend(row(
        &tls,
        "tcp",
        "TURN over TLS, from networks that let nothing else through",
        false,
    ));
    if let Some(turn) = &config.turn {
        let is_open = plain
            .iter()
            .chain(&tls)
            .any(|place| !place.ip().is_loopback());
        rows.push(relays(&turn.relay_ports, &turn.relay_addresses, is_open));
    }
    if let Some(hub) = &config.hub {
        let port = hub.port.unwrap_or(config.listen.port());
        let addresses = match hub.addresses.is_empty() {
            true => vec![config.listen.ip()],
            false => hub.addresses.clone(),
        };
        let places: Vec<_> = addresses.into_iter().map(|ip| (ip, port).into()).collect();
        rows.extend(row(&places, "udp", "members of rooms", true));
    }
    rows
}

fn relays(ports: &RangeInclusive<u16>, addresses: &[IpAddr], is_open: bool) -> Row {
    Row {
        from: *ports.start(),
        to: *ports.end(),
        protocol: "udp",
        purpose: "relayed connections",
        needed: true,
        open: is_open,
        addresses: addresses.to_vec(),
    }
}

fn table(config: &Config, rows: &[Row]) -> String {
    let open: Vec<_> = rows.iter().filter(|row| row.open).collect();
    let mut text = String::new();
    if !open.is_empty() {
        text += &line("port", "protocol", "needed", "for");
    }
    for row in &open {
        let port = match (row.from, row.to) {
            (0, _) => "any".to_owned(),
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}-{to}"),
        };
        let needed = if row.needed { "yes" } else { "better" };
        text += &line(&port, &row.protocol.to_uppercase(), needed, row.purpose);
    }
    if !rows[0].open {
        let listen = config.listen;
        let others = if config.proxies.is_empty() {
            "--host names another address"
        } else {
            "the proxy in front of it has the port to be opened, mostly 443/TCP"
        };
        text +=
            &format!("Signalling and pages are at {listen}, for this machine only: {others}.\n");
    } else if config.tls.is_none() && !config.proxies.is_empty() {
        text += "The proxy in front has a port to be opened as well, mostly 443/TCP.\n";
    }
    match &config.turn {
        None => text += "STUN and TURN are off.\n",
        Some(_)
            if !config
                .turn_listen()
                .iter()
                .chain(&config.turn_tls_listen())
                .any(|place| !place.ip().is_loopback()) =>
        {
            text +=
                "STUN and TURN are for this machine only: --turn-listen names another address.\n";
        }
        Some(_) => {}
    }
    match &config.hub {
        None => text += "Rooms are off.\n",
        Some(_) if !rows.last().is_some_and(|row| row.open) => {
            text += "Rooms are for this machine only: --rooms-address names another address.\n";
        }
        Some(_) => {}
    }
    text
}

fn line(port: &str, protocol: &str, needed: &str, purpose: &str) -> String {
    format!("{port:<12} {protocol:<9} {needed:<7} {purpose}\n")
}
