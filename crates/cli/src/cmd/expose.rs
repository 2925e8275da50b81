//! `peerage expose`: makes a web app or a folder of this device reachable by a link.

mod announce;
mod legacy;
mod local_server;
mod metrics;
mod reach;
mod visit;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use peerage_peer::{
    Builder, OpenError, Peer, ServerState, SignallingError,
    proxy::{NamedCertificates, Proxy, Settings, Target},
};
use peerage_proto::{identity::gate, wire::id::PeerId};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use self::{
    announce::Announcer, legacy::Legacy, local_server::LocalServer, reach::Reach, visit::Visit,
};
use crate::{
    access,
    call::{self, Paths, ServerTrust},
    cookies,
    exit::{Exit, Failure},
    keys, output,
    place::Place,
    signals,
    state::State,
};

/// How long exchanges that run may take to finish once the person ends the command.
const DRAIN: Duration = Duration::from_secs(1);
/// How long it may take to tell everybody.
const GOODBYE: Duration = Duration::from_secs(1);

/// Make a web app or a folder of this device reachable by a link.
///
/// TARGET is one address or one folder, and nothing else becomes reachable. Whoever has the link can use it until
/// the command ends; run with the same state again, it prints the same link. Without --server the link is for
/// browsers on this machine, and a server for it runs in this process.
#[derive(Debug, Args)]
pub(crate) struct Expose {
    /// http://HOST:PORT[/PATH], https://HOST:PORT[/PATH], or a folder
    target: String,
    /// The `peerage serve` to be reached through, such as `https://example.org`
    /// [default: one in this process, for this machine only]
    #[arg(long, value_name = "URL", env = "PEERAGE_SERVER")]
    server: Option<Url>,
    /// Port of the server in this process; 0 takes any free one [default: 9000, or the next that is free]
    #[arg(
        long,
        value_name = "PORT",
        env = "PEERAGE_PORT",
        conflicts_with = "server"
    )]
    port: Option<u16>,
    /// Accept this certificate (PEM) of an https target, or those it signed, although no public authority did
    #[arg(long, value_name = "FILE", env = "PEERAGE_TARGET_CERT")]
    target_cert: Option<PathBuf>,
    /// Seconds that the target may take to begin its answer
    #[arg(long, value_name = "SECONDS", env = "PEERAGE_TARGET_TIMEOUT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    target_timeout: u64,
    /// Be reachable over loopback addresses too; always so when the server is on this machine
    #[arg(long, env = "PEERAGE_ALLOW_LOOPBACK")]
    allow_loopback: bool,
    /// UDP port for connections, for who forwards one [default: any]
    #[arg(
        long,
        value_name = "PORT",
        env = "PEERAGE_UDP_PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    udp_port: u16,
    /// Tell Prometheus what was counted, at http://ADDR:PORT/metrics; best a loopback address, such as 127.0.0.1:9100
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_METRICS")]
    metrics: Option<SocketAddr>,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: ServerTrust,
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    legacy: Legacy,
}

impl Expose {
    /// Reads what an old proxy's settings file says, where one is named; the command line goes before it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn settle(&mut self) -> Result<Option<LevelFilter>, Failure> {
        let Some(old) = self.legacy.config()? else {
            return Ok(None);
        };
        if self.server.is_none() && self.port.is_none() {
            self.server = old.server;
        }
        Ok(old.log_level)
    }

    /// Exposes until the process is told to end.
    pub(crate) async fn run(self, state: State) -> Result<(), Failure> {
        // Listened for from the start: a signal in between must not be lost.
        let end = signals::end()?;
        let target = self.target()?;
        let _lock = state.lock("expose")?;
        let key = keys::load_or_make(&state, keys::DEVICE)?;
        let remembered = access::load(&state, access::EXPOSED)?;
        let old_id = self.legacy.id(&key.device_id())?;

        let local = match &self.server {
            Some(_) => None,
            None => Some(LocalServer::start(self.port).await?),
        };
        let server = match (&self.server, &local) {
            (Some(server), _) => server.clone(),
            (None, Some(local)) => local.url()?,
            (None, None) => return Err(Failure::new(Exit::Other, "no server")),
        };
        let place = Place::of(&server)?;
        let mut link = place.link(key.device_id(), None);
        let origin = Url::parse(&link.origin()).map_err(|error| Failure {
            exit: Exit::Other,
            error: error.into(),
        })?;
        let settings = Settings {
            head_timeout: Duration::from_secs(self.target_timeout),
            cookies: cookies::load(&state),
            ..Settings::default()
        };
        let metrics = match self.metrics {
            Some(address) => Some(metrics::listen(address).await?),
            None => None,
        };
        let named = target.to_string();
        let probed = target.clone();
        let proxy = Proxy::new(target, &origin, &settings)
            .map_err(|error| Failure::new(Exit::Usage, error))?;

        let peer = self.peer(key, remembered, &server).await?;
        let alias = match old_id {
            Some(id) => Some(self.alias(id, &server, &state).await?),
            None => None,
        };
        let reach = Reach {
            peer,
            alias,
            old_clients: self.legacy.is_allowed(),
        };
        link.secret = Some(access::first_link(
            reach.peer.access(),
            &state,
            access::EXPOSED,
        )?);
        let announcer = Announcer::new(self.json);
        announcer.ready(&link, &named, &server, &reach.old_ids())?;
        self.legacy.warn(&named, &reach.old_ids());
        warn_if_down(probed);

        let written = CancellationToken::new();
        let keeping = proxy.cookies().map(|cookies| {
            let keeping = cookies::keep(cookies.clone(), state.clone(), written.clone());
            tokio::spawn(keeping)
        });
        let counting = metrics.map(|listener| {
            let counters = reach.peers().map(Peer::counters).collect();
            AbortOnDropHandle::new(tokio::spawn(metrics::serve(listener, counters)))
        });
        run(&reach, &proxy, &state, &announcer, end).await;
        drop(counting);
        let _ = timeout(GOODBYE, reach.close()).await;
        written.cancel();
        if let Some(keeping) = keeping {
            let _ = timeout(GOODBYE, keeping).await;
        }
        if let Some(local) = local {
            local.stop().await;
        }
        Ok(())
    }

    fn target(&self) -> Result<Target, Failure> {
        let named = match &self.target_cert {
            Some(path) => NamedCertificates::read(path).map_err(|error| {
                Failure::new(Exit::Usage, format_args!("{}: {error}", path.display()))
            })?,
            None => NamedCertificates::default(),
        };
        Target::parse(&self.target, named).map_err(|error| Failure::new(Exit::Usage, error))
    }

    async fn peer(
        &self,
        key: peerage_proto::identity::SigningKey,
        remembered: gate::State,
        server: &Url,
    ) -> Result<Peer, Failure> {
        let builder = Peer::builder()
            .device(key, remembered)
            .udp_port(self.udp_port);
        let builder = self.equip(self.legacy.admit(builder), server)?;
        builder
            .open()
            .await
            .map_err(|error| call::no_peer(error, server.as_str()))
    }

    /// A peer beside the device's, for the id by which old clients know it.
    async fn alias(&self, id: PeerId, server: &Url, state: &State) -> Result<Peer, Failure> {
        let builder = Peer::builder().id(id).token(legacy::token(state)?);
        let builder = self.equip(self.legacy.admit(builder), server)?;
        builder.open().await.map_err(|error| match error {
            OpenError::Signalling(error @ SignallingError::IdTaken(_)) => Failure::new(
                Exit::State,
                format_args!(
                    "{error}: does the old proxy still run? End it, or leave --peerjsrc out"
                ),
            ),
            error => call::no_peer(error, server.as_str()),
        })
    }

    fn equip(&self, builder: Builder, server: &Url) -> Result<Builder, Failure> {
        let mut builder = builder.server(server.as_str());
        if self.allow_loopback {
            builder = builder.loopback(true);
        }
        self.paths.apply(self.trust.apply(builder)?)
    }
}

/// Lets visitors in until the end.
async fn run(
    reach: &Reach,
    proxy: &Proxy,
    state: &State,
    announcer: &Announcer,
    end: impl Future<Output = ()>,
) {
    let closing = CancellationToken::new();
    let mut visits = JoinSet::new();
    let mut changes = reach.peer.access().changes();
    let mut standing = reach.peer.server();
    let mut end = std::pin::pin!(end);
    let mut alias_lost = std::pin::pin!(reach.alias_lost());
    let (mut count, mut up) = (0, true);
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Ok(()) = changes.changed() => {
                if let Err(failure) = access::store(reach.peer.access(), state, access::EXPOSED) {
                    // Who came in stays in; after a restart they need the whole link again.
                    output::warn(failure);
                }
            }
            Ok(()) = standing.changed() => {
                let now = standing.borrow_and_update().clone();
                // One line when it goes and one when it is back, however many attempts lie between.
                if std::mem::replace(&mut up, now == ServerState::Open) != up {
                    announcer.server(&now);
                }
            }
            error = &mut alias_lost => {
                output::warn(format_args!("the id in --peerjsrc: {error}; trying again"));
                alias_lost.set(reach.alias_lost());
            }
            Some(connection) = reach.incoming() => {
                count += 1;
                let visit = Visit::new(count, connection, announcer.clone());
                visits.spawn(visit.serve(proxy.clone(), reach.old_clients, closing.clone()));
            }
            Some(_) = visits.join_next() => {}
        }
    }
    closing.cancel();
    // What is not done by then is cut off as the peer goes.
    let _ = timeout(DRAIN, async { while visits.join_next().await.is_some() {} }).await;
}

/// Tells of a target that does not answer now; it may later.
fn warn_if_down(target: Target) {
    tokio::task::spawn_blocking(move || {
        if let Target::Folder(path) = &target
            && !path.join("index.html").is_file()
        {
            output::warn(format_args!(
                "{target} has no index.html: nothing is shown at its top, and visitors must know the paths of its files"
            ));
        }
        if let Err(error) = target.probe() {
            output::warn(format_args!(
                "{target} does not answer yet ({error}): visitors see an error page until it does"
            ));
        }
    });
}
