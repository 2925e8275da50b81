//! `peerage serve`: the server that brings peers together.

mod settings;
mod sources;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use peerage_server::{BindError, Config, Server, SignalConfig};

use self::sources::{Options, Settled};
use crate::{
    exit::{Exit, Failure},
    output, rooms, signals,
};

/// Run the server that brings peers together: PeerJS signalling, and one web origin per device.
///
/// Without --host it is open to this machine only. For other machines it needs a domain whose wildcard
/// (`*.NAME`) leads here, and a certificate for both: browsers run a device's page on https alone.
///
/// Every setting can be given as an option, as a variable, or in the file of --config; they count in this order.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// File with settings (TOML): the long names below, as `port = 443` or `cors = ["https://app.example"]`
    #[arg(long, value_name = "FILE", env = "PEERAGE_CONFIG")]
    config: Option<PathBuf>,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

impl Serve {
    /// Serves until the process is told to end. Of the state folder it needs the rooms' secret.
    pub(crate) async fn run(self, state: Option<PathBuf>) -> Result<(), Failure> {
        // Listened for from the start: a signal in between must not be lost.
        let end = signals::end()?;
        allow_open_files();
        let variable = |name: &str| std::env::var_os(name);
        let settled = Settled::new(&self.options, variable, self.config.as_deref())?;
        let mut config = settled.config.clone();
        config.nearby.secret = rooms::secret(state)?;
        let server = Server::bind(config).await.map_err(|error| match error {
            BindError::Config(error) => settled.explain(&error),
            error => refused(error),
        })?;
        self.announce(&settled.config, server.local_addr())?;
        server.run(end).await;
        Ok(())
    }

    fn announce(&self, config: &Config, address: SocketAddr) -> io::Result<()> {
        let is_behind = config.tls.is_none() && !config.proxies.is_empty();
        // A proxy has the name and the certificate, and the port that goes with https.
        let (scheme, port) = match config.tls {
            None if is_behind && config.domain.is_some() => ("https", 443),
            None => ("http", address.port()),
            Some(_) => ("https", address.port()),
        };
        let host = config.domain.as_deref().unwrap_or("localhost");
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
                    "event": "listening", "url": url, "address": address,
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
        // Devices name no other key.
        if config.signal.key == SignalConfig::default().key {
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
        if config.tls.is_none() && !is_behind && !address.ip().is_loopback() {
            output::warn(
                "without a certificate, browsers open links on this machine only: \
                 give --domain, --tls-cert and --tls-key, or put a proxy with TLS in front",
            );
        }
        Ok(())
    }
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
