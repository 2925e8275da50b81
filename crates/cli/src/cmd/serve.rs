//! `peerage serve`: the server that brings peers together.

mod settings;
mod sources;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use peerage_server::hub::{Hub, HubError};
use peerage_server::{
    BindError, Config, Server, SignalConfig, TurnError, TurnPlaces, TurnTransport,
};

pub(super) use self::sources::Asked;
use crate::{
    exit::{Exit, Failure},
    output,
    secrets::{self, Secrets},
    signals,
};

/// Run the server that brings peers together: PeerJS signalling, STUN and TURN, rooms, and one web origin per device.
///
/// Without --host it is open to this machine only. For other machines it needs a domain whose wildcard
/// (`*.NAME`) leads here, and a certificate for both: browsers run a device's page on https alone.
///
/// Every setting can be given as an option, as a variable, or in the file of --config; they count in this order.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: Asked,
}

impl Serve {
    /// Serves until the process is told to end. Of the state folder it needs the secrets of rooms and of TURN.
    pub(crate) async fn run(self, state: Option<PathBuf>) -> Result<(), Failure> {
        // Listened for from the start: a signal in between must not be lost.
        let end = signals::end()?;
        allow_open_files();
        let settled = self.asked.settle()?;
        let mut config = settled.with_secret()?;
        let own = config.turn.as_mut().filter(|turn| turn.secret.is_none());
        let secrets = Secrets::of(state.clone(), own.is_some())?;
        config.nearby.secret = secrets.rooms;
        if let Some(turn) = own {
            turn.secret = secrets.turn;
        }
        if let Some(hub) = &mut config.hub
            && hub.webhook.is_some()
            && hub.webhook_secret.is_none()
        {
            hub.webhook_secret = Some(secrets::of_webhook(state)?);
        }
        let server = Server::bind(config).await.map_err(|error| match error {
            BindError::Config(error) => settled.explain(&error),
            error => refused(error),
        })?;
        let (turn, hub) = (server.state().turn(), server.state().hub());
        self.announce(&settled.config, server.local_addr(), turn, hub)?;
        server.run(end).await;
        Ok(())
    }

    fn announce(
        &self,
        config: &Config,
        address: SocketAddr,
        turn: Option<&TurnPlaces>,
        hub: Option<&Hub>,
    ) -> io::Result<()> {
        if let Some(turn) = turn {
            warn_of_missed(turn);
        }
        let is_behind = config.tls.is_none() && !config.proxies.is_empty();
        // A proxy has the name and the certificate, and the port that goes with https.
        let (scheme, port) = match config.tls {
            None if is_behind && config.domain.is_some() => ("https", 443),
            None => ("http", address.port()),
            Some(_) => ("https", address.port()),
        };
        // By its own name it is reached from everywhere that it listens; without one, `localhost` leads to it unless it listens elsewhere.
        let ip = address.ip();
        let is_elsewhere = !ip.is_loopback() && !ip.is_unspecified();
        let host = match (&config.domain, ip) {
            (Some(domain), _) => domain.clone(),
            (None, IpAddr::V6(ip)) if is_elsewhere => format!("[{ip}]"),
            (None, ip) if is_elsewhere => ip.to_string(),
            (None, _) => "localhost".to_owned(),
        };
        let path = config.path.trim_matches('/');
        let mut url = match (scheme, port) {
            ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
            _ => format!("{scheme}://{host}:{port}"),
        };
        if !path.is_empty() {
            url += &format!("/{path}");
        }
        let mut out = io::stdout().lock();
        if self.json {
            return output::json(
                &mut out,
                &serde_json::json!({
                    "event": "listening", "url": url, "address": address, "turn": turn.filter(|_| config.turn.is_some()).map(|turn| serde_json::json!({
                        "udp": turn.udp, "tcp": turn.tcp, "tls": turn.tls,
                    })),
                    "rooms": hub.map(|hub| serde_json::json!({ "udp": hub.port() })),
                }),
            );
        }
        let reach = if is_behind {
            ", for a proxy in front"
        } else if address.ip().is_loopback() {
            ", for this machine only"
        } else {
            ""
        };
        writeln!(out, "Listening on {address}{reach}.")?;
        // Devices name no other key, and their pages need a name.
        if config.signal.key == SignalConfig::default().key
            && (config.domain.is_some() || !is_elsewhere)
        {
            writeln!(out, "  devices   peerage expose TARGET --server {url}")?;
        }
        let mut options = format!(
            "host: '{host}', port: {port}, secure: {}",
            scheme == "https"
        );
        if !path.is_empty() {
            options += &format!(", path: '/{path}'");
        }
        if config.signal.key != SignalConfig::default().key {
            options += &format!(", key: '{}'", config.signal.key);
        }
        writeln!(out, "  PeerJS    new Peer(id, {{ {options} }})")?;
        writeln!(out, "  STUN/TURN {}", turn_line(config, turn))?;
        let rooms = rooms_line(config, address, hub);
        writeln!(out, "  rooms     {rooms}")?;
        if hub.is_some() {
            let key = &config.signal.key;
            writeln!(
                out,
                "            in pages by {url}/{key}/rooms.js, in terminals by peerage chat --room NAME --server {url}"
            )?;
        }
        if config.tls.is_none() && !is_behind && !address.ip().is_loopback() {
            output::warn(
                "without a certificate, browsers open links on this machine only: \
                 give --domain, --tls-cert and --tls-key, or put a proxy with TLS in front",
            );
        }
        Ok(())
    }
}

/// Where the members of rooms come to.
fn rooms_line(config: &Config, address: SocketAddr, hub: Option<&Hub>) -> String {
    let (Some(settings), Some(hub)) = (&config.hub, hub) else {
        return "off, as asked for".to_owned();
    };
    let mut line = format!("UDP port {}", hub.port());
    let named = &settings.addresses;
    if !named.is_empty() {
        let named: Vec<_> = named.iter().map(IpAddr::to_string).collect();
        line += &format!(" of {}", named.join(" and "));
    } else if address.ip().is_loopback() {
        line += ", for this machine only, unless --rooms-address names another address";
    }
    line
}

/// Where STUN and TURN are, or why they are not.
fn turn_line(config: &Config, places: Option<&TurnPlaces>) -> String {
    let Some(turn) = &config.turn else {
        return "off, as asked for".to_owned();
    };
    let Some(places) = places.filter(|places| !places.is_empty()) else {
        return "off: no port for it could be had".to_owned();
    };
    let mut parts = Vec::new();
    let mut all: Vec<&SocketAddr> = Vec::new();
    for (name, places) in [
        ("UDP", &places.udp),
        ("TCP", &places.tcp),
        ("TLS", &places.tls),
    ] {
        if !places.is_empty() {
            let places: Vec<_> = places.iter().map(SocketAddr::to_string).collect();
            parts.push(format!("{name} {}", places.join(" ")));
        }
        all.extend(places);
    }
    let mut line = parts.join(", ");
    if places.relays() {
        let (first, last) = (turn.relay_ports.start(), turn.relay_ports.end());
        line += &format!("; relays at UDP {first}-{last}");
    } else {
        line += "; STUN only";
    }
    if all.iter().all(|place| place.ip().is_loopback()) {
        line += "; for this machine only, unless --turn-listen names another address";
    }
    line
}

/// Says what of STUN and TURN stays off although nobody asked for that.
fn warn_of_missed(turn: &TurnPlaces) {
    let mut taken = Vec::new();
    for missed in &turn.missed {
        if let TurnError::InUse { transport, address } = missed {
            let name = match transport {
                TurnTransport::Udp => "UDP",
                TurnTransport::Tcp => "TCP",
                TurnTransport::Tls => "TLS",
            };
            taken.push(format!("{name} {address}"));
        } else {
            let (text, remedy) = turn_trouble(missed);
            output::warn(format_args!("{text}: that part stays off; {remedy}"));
        }
    }
    // Another server on the machine has all of them.
    if !taken.is_empty() {
        output::warn(format_args!(
            "in use: {}. STUN and TURN stay off there; name other places with --turn-listen and --turn-tls-listen, or do without (--no-turn)",
            taken.join(", ")
        ));
    }
}

/// What is wrong with a part of STUN and TURN, and what the person can do.
fn turn_trouble(error: &TurnError) -> (String, &'static str) {
    let text = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let remedy = match error {
        TurnError::InUse {
            transport: TurnTransport::Tls,
            ..
        } => "name another place with --turn-tls-listen, or end what listens there",
        TurnError::InUse { .. } => {
            "name another place with --turn-listen, or end what listens there"
        }
        TurnError::Listen { .. } => {
            "name an address of this machine and a port that this user may have with --turn-listen or --turn-tls-listen"
        }
        TurnError::Relay { .. } | TurnError::NoRelay => {
            "name an address of this machine with --turn-relay-address, and what the internet calls it with --turn-external-address"
        }
        _ => "do without (--no-turn)",
    };
    (text, remedy)
}

/// Each client is an open file: as many as the system lets this process have, where shells and service managers begin with a thousand or so.
fn allow_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Without it the server takes fewer clients, and says so when they come.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// The stock command's `--alive_timeout`, which is shorter than its library's default.
pub(super) fn signalling() -> SignalConfig {
    SignalConfig {
        alive_for: Duration::from_secs(60),
        ..SignalConfig::default()
    }
}

/// What the person can do about a server that cannot be.
pub(super) fn refused(error: BindError) -> Failure {
    match &error {
        BindError::InUse { address } => Failure::new(
            Exit::Port,
            format_args!(
                "port {} is in use: name another one with --port, or end what listens there",
                address.port()
            ),
        ),
        BindError::Listen { address, source }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Failure::new(
                Exit::Port,
                format_args!(
                    "this user may not listen on port {}: name one from 1024 up with --port, or allow it \
                 (Linux: setcap cap_net_bind_service=+ep on the program)",
                    address.port()
                ),
            )
        }
        BindError::Metrics { address, source } => Failure::new(
            Exit::Port,
            format_args!(
                "cannot listen on {address} for --metrics ({source}): name another place, or end what listens there"
            ),
        ),
        BindError::Hub(HubError::Port { port, source }) => Failure::new(
            Exit::Port,
            format_args!(
                "cannot open UDP port {port} for rooms ({source}): name another one with --rooms-port, or do without (--no-rooms)"
            ),
        ),
        BindError::Turn(error) => {
            let (text, remedy) = turn_trouble(error);
            Failure::new(Exit::Port, format_args!("{text}: {remedy}"))
        }
        BindError::Listen { .. } => Failure {
            exit: Exit::Port,
            error: error.into(),
        },
        BindError::Config(_) | BindError::Tls(_) => Failure {
            exit: Exit::Usage,
            error: error.into(),
        },
        _ => Failure {
            exit: Exit::Other,
            error: error.into(),
        },
    }
}
