//! The way to a server and to a device, and what the person can do when there is none.

use std::path::PathBuf;

use clap::Args;
use peerage_peer::{
    Builder, Channel, ConnectError, ConnectOptions, OpenError, Peer, Serialization, SignallingError,
};
use peerage_proto::{
    identity::{Code, gate::HTTP_LABEL},
    wire::{ice_servers::IceServer, ice_url::Service, link_url::Link},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use url::Url;

use crate::{
    exit::{Exit, Failure},
    keys, output,
    state::State,
};

/// Whom to trust on the way to a server.
#[derive(Debug, Args)]
pub(crate) struct ServerTrust {
    /// Trust this authority's certificate (PEM) for the server, beside those of the system
    #[arg(long, value_name = "FILE", env = "PEERAGE_SERVER_CA")]
    server_ca: Option<PathBuf>,
}

impl ServerTrust {
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder, Failure> {
        let certificates = self.certificates()?.into_iter();
        Ok(certificates.fold(builder, Builder::trust))
    }

    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Failure> {
        let Some(path) = &self.server_ca else {
            return Ok(Vec::new());
        };
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Usage,
                format_args!("cannot read certificates from {}: {error}", path.display()),
            )
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))?;
        certificates
            .map(|certificate| certificate.map_err(|error| refuse(&error)))
            .collect()
    }
}

/// By which ways peers are reached.
#[derive(Debug, Args)]
pub(crate) struct Paths {
    /// A STUN or TURN server to use beside those of the server: stun:HOST:PORT, turn:HOST:PORT, turns:HOST:PORT,
    /// or {"urls":"turn:HOST","username":"…","credential":"…"}; may be repeated
    // Parsed later: clap would repeat a wrong one in its complaint, with the password.
    #[arg(
        long = "ice-server",
        value_name = "URL",
        env = "PEERAGE_ICE_SERVER",
        hide_env_values = true
    )]
    ice_servers: Vec<String>,
    /// Reach peers through TURN servers only, never directly: to try one out, or not to show this machine's addresses
    #[arg(long, env = "PEERAGE_RELAY_ONLY")]
    relay_only: bool,
}

impl Paths {
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder, Failure> {
        let servers = self.ice_servers()?;
        Ok(builder.ice_servers(servers).relay_only(self.relay_only))
    }

    pub(crate) const fn relay_only(&self) -> bool {
        self.relay_only
    }

    pub(crate) fn ice_servers(&self) -> Result<Vec<IceServer>, Failure> {
        let servers: Result<Vec<IceServer>, _> =
            self.ice_servers.iter().map(|text| text.parse()).collect();
        let servers = servers
            .map_err(|error| Failure::new(Exit::Usage, format_args!("--ice-server: {error}")))?;
        let is_turn = |server: &IceServer| {
            let mut urls = server.urls.iter();
            urls.any(|url| url.service == Service::Turn)
        };
        if servers
            .iter()
            .any(|server| is_turn(server) && server.credentials.is_none())
        {
            return Err(Failure::new(
                Exit::Usage,
                "--ice-server: a TURN server needs credentials: \
                 {\"urls\":\"turn:HOST\",\"username\":\"…\",\"credential\":\"…\"}",
            ));
        }
        Ok(servers)
    }
}

/// At which server peers meet, and how they reach each other.
#[derive(Debug, Args)]
pub(crate) struct Meeting {
    /// The server by which the peers find each other
    #[arg(
        long,
        value_name = "URL",
        env = "PEERAGE_SERVER",
        default_value = "http://localhost:9000"
    )]
    pub(crate) server: Url,
    /// Be reachable over loopback addresses too; always so when the server is on this machine
    #[arg(long, env = "PEERAGE_ALLOW_LOOPBACK")]
    pub(crate) allow_loopback: bool,
    #[command(flatten)]
    pub(crate) trust: ServerTrust,
    #[command(flatten)]
    pub(crate) paths: Paths,
}

impl Meeting {
    /// A peer that meets others at `server`.
    pub(crate) fn builder(&self, server: &str) -> Result<Builder, Failure> {
        let mut builder = Peer::builder().server(server);
        if self.allow_loopback {
            builder = builder.loopback(true);
        }
        self.paths.apply(self.trust.apply(builder)?)
    }
}

/// Calls the device of a link, on the channel for HTTP. The peer carries the channel; closing it tells the device.
pub(crate) async fn device(
    link: &Link,
    state: &State,
    trust: &ServerTrust,
    paths: &Paths,
) -> Result<(Peer, Channel), Failure> {
    let key = keys::load_or_make(state, keys::CALLER)?;
    let server = link.server_url();
    let builder = Peer::builder().server(&*server).identity(key);
    let built = paths.apply(trust.apply(builder)?)?.open().await;
    let peer = built.map_err(|error| no_peer(error, &server))?;
    let proof = link
        .secret
        .as_ref()
        .map(|secret| secret.proof(&link.device));
    let options = ConnectOptions {
        label: Some(HTTP_LABEL.to_owned()),
        serialization: Serialization::Raw,
        proof,
        renew: None,
        ..ConnectOptions::default()
    };
    match peer.connect(link.device.as_peer_id(), options).await {
        Ok(connection) => {
            output::tell_route(&connection);
            Ok((peer, connection.into_channel()))
        }
        Err(error) => {
            peer.destroy().await;
            let callee = Callee::device(link.secret.is_some());
            Err(callee.no_call(error, &server))
        }
    }
}

/// Why there is no peer, and what to do.
pub(crate) fn no_peer(error: OpenError, server: &str) -> Failure {
    match error {
        OpenError::Signalling(error) => no_server(&error, server),
        error => Failure {
            exit: Exit::Other,
            error: error.into(),
        },
    }
}

/// Why the server cannot be used, and what to do.
pub(crate) fn no_server(error: &SignallingError, server: &str) -> Failure {
    let (exit, advice) = server_advice(error, server);
    match advice {
        Some(advice) => Failure::new(exit, format_args!("{error}; {advice}")),
        None => Failure::new(exit, error),
    }
}

/// What to do about a server that cannot be used.
pub(crate) fn server_advice(error: &SignallingError, server: &str) -> (Exit, Option<String>) {
    let (exit, advice) = match error {
        SignallingError::Url(_) => return (Exit::Usage, None),
        SignallingError::Unreachable(_) | SignallingError::Lost(_) => {
            (Exit::ServerUnreachable, format!("is it running, and is {server} its address?"))
        }
        SignallingError::Tls(_) => (
            Exit::ServerUnreachable,
            "if its certificate is by an authority of your own, name that with --server-ca FILE".to_owned(),
        ),
        SignallingError::Protocol(_) => {
            (Exit::ServerUnreachable, format!("is {server} the address of a `peerage serve`?"))
        }
        SignallingError::IdTaken(_) => (
            Exit::State,
            "does this device run elsewhere with a copy of the same state? End that, or name another folder with \
             --state DIR"
                .to_owned(),
        ),
        _ => return (Exit::ServerUnreachable, None),
    };
    (exit, Some(advice))
}

/// Whom a call was for, in the words of the command that called.
#[derive(Debug)]
pub(crate) struct Callee {
    /// `the device`.
    pub(crate) name: &'static str,
    /// What has to run there.
    pub(crate) command: &'static str,
    /// What a refusal means.
    pub(crate) denied: &'static str,
}

impl Callee {
    /// A device that is called by its link.
    pub(crate) const fn device(with_secret: bool) -> Self {
        Self {
            name: "the device",
            command: "peerage expose",
            denied: denied(with_secret),
        }
    }

    /// Why there is no connection, and what to do.
    pub(crate) fn no_call(&self, error: ConnectError, server: &str) -> Failure {
        if let ConnectError::Signalling(error) = &error {
            return no_server(error, server);
        }
        match self.advice(&error) {
            Some((exit, advice)) => Failure::new(exit, format_args!("{advice} ({error})")),
            None => Failure {
                exit: Exit::Other,
                error: error.into(),
            },
        }
    }

    /// What a call that failed means, and what to do.
    pub(crate) fn advice(&self, error: &ConnectError) -> Option<(Exit, String)> {
        let Self { name, command, .. } = self;
        Some(match error {
            ConnectError::PeerUnavailable => (
                Exit::DeviceAbsent,
                format!("{name} is not connected to the server: is `{command}` running there?"),
            ),
            ConnectError::NoAnswer => (
                Exit::DeviceAbsent,
                format!("{name} does not answer: it may have just left, try again in a minute"),
            ),
            ConnectError::Refused(Code::Denied) => (Exit::Refused, self.denied.to_owned()),
            ConnectError::Refused(Code::Stale) => (
                Exit::Refused,
                format!(
                    "{name} took the call for an old one: set the clocks of both machines, then try again"
                ),
            ),
            ConnectError::Refused(Code::Busy) => (
                Exit::Refused,
                format!("{name} has no room for another connection: try again later"),
            ),
            ConnectError::Refused(_) => (
                Exit::Refused,
                format!("{name} did not understand the call: update peerage on both sides"),
            ),
            ConnectError::WrongDevice(_) | ConnectError::WrongCertificate => (
                Exit::WrongDevice,
                format!(
                    "somebody else answers under {name}'s id: nothing was sent. Do not trust this server, or the \
                     network on the way to it"
                ),
            ),
            ConnectError::NoRoute(_) => (
                Exit::NoRoute,
                format!(
                    "{name} and the server were reached, but no network path leads to {name}: a firewall drops UDP, or \
                     both sides are behind strict NATs, and no TURN server helped; -v says what became of the servers"
                ),
            ),
            ConnectError::Closed(_) => (
                Exit::Broken,
                "the connection broke off while it was made: try again".to_owned(),
            ),
            _ => return None,
        })
    }
}

/// What it means that a device refuses.
pub(crate) const fn denied(with_secret: bool) -> &'static str {
    if with_secret {
        "the device refused the link: it was revoked, has expired, or is not copied exactly; ask for a new one"
    } else {
        "the device does not know this machine, and the link has no secret: use the whole link, with its #1. part"
    }
}
