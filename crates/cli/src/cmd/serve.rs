//! `peerage serve`: the server that brings peers together.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use peerage_server::{BindError, Config, Server, SignalConfig, TlsFiles};

use crate::{
    exit::{Exit, Failure},
    output, rooms, signals,
};

/// Run the server that brings peers together: PeerJS signalling, and one web origin per device.
///
/// Without --host it is open to this machine only. For other machines it needs a domain whose wildcard
/// (`*.NAME`) leads here, and a certificate for both: browsers run a device's page on https alone.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; 0.0.0.0 or :: for all
    #[arg(long, value_name = "ADDRESS", env = "PEERAGE_HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(
        long,
        value_name = "PORT",
        env = "PEERAGE_PORT",
        default_value_t = 9000
    )]
    port: u16,
    /// Name under which this server is reached; devices are at *.NAME
    #[arg(long, value_name = "NAME", env = "PEERAGE_DOMAIN")]
    domain: Option<String>,
    /// Certificate chain for NAME and *.NAME, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERAGE_TLS_CERT",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERAGE_TLS_KEY",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Silence after which a client is dropped, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    alive_timeout: u64,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until the process is told to end. Of the state folder it needs the rooms' secret.
    pub(crate) async fn run(self, state: Option<PathBuf>) -> Result<(), Failure> {
        // Listened for from the start: a signal in between must not be lost.
        let end = signals::end()?;
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let mut config = Config {
            listen: SocketAddr::new(self.host, self.port),
            domain: self.domain.clone(),
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
            signal: signalling(),
            ..Config::default()
        };
        config.nearby.secret = rooms::secret(state)?;
        config.signal.alive_for = Duration::from_millis(self.alive_timeout);
        let server = Server::bind(config).await.map_err(refused)?;
        self.announce(server.local_addr())?;
        server.run(end).await;
        Ok(())
    }

    fn announce(&self, address: SocketAddr) -> io::Result<()> {
        let scheme = if self.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        let host = self.domain.as_deref().unwrap_or("localhost");
        let url = match (scheme, address.port()) {
            ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
            (_, port) => format!("{scheme}://{host}:{port}"),
        };
        let mut out = io::stdout().lock();
        if self.json {
            return output::json(
                &mut out,
                &serde_json::json!({
                    "event": "listening", "url": url, "address": address,
                }),
            );
        }
        let reach = if address.ip().is_loopback() {
            ", for this machine only"
        } else {
            ""
        };
        writeln!(out, "Listening on {address}{reach}.")?;
        writeln!(out, "  devices   peerage expose TARGET --server {url}")?;
        writeln!(
            out,
            "  PeerJS    new Peer(id, {{ host: '{host}', port: {}, secure: {} }})",
            address.port(),
            scheme == "https"
        )?;
        if scheme == "http" && !address.ip().is_loopback() {
            output::warn(
                "without a certificate, browsers open links on this machine only: \
                 give --domain, --tls-cert and --tls-key, or put a proxy with TLS in front",
            );
        }
        Ok(())
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
