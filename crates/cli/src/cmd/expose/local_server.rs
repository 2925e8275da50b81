//! The server in the same process, for who just wants to see their app.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use peerage_server::{BindError, Config, Server};
use tokio::{sync::oneshot, task::JoinHandle};
use url::Url;

use crate::{
    cmd::serve::{refused, signalling},
    exit::{Exit, Failure},
};

const FIRST_PORT: u16 = 9000;
/// Ports that are tried when none was asked for.
const TRIES: u16 = 10;
/// How long the end may take; the command's own is counted beside it.
const DRAIN: Duration = Duration::from_millis(500);

/// A server on loopback. Ends with its owner.
#[derive(Debug)]
pub(super) struct LocalServer {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl LocalServer {
    /// Listens on the port asked for, or on the first free one.
    pub(super) async fn start(asked: Option<u16>) -> Result<Self, Failure> {
        let server = match asked {
            Some(port) => bind(port).await.map_err(refused)?,
            None => first_free().await?,
        };
        let port = server.local_addr().port();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Ok(Self { port, stop, task })
    }

    pub(super) fn url(&self) -> Result<Url, Failure> {
        Url::parse(&format!("http://localhost:{}", self.port)).map_err(|error| Failure {
            exit: Exit::Other,
            error: error.into(),
        })
    }

    /// Ends the server; what is open gets half a second.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // A server that failed has ended as well.
        let _ = self.task.await;
    }
}

async fn first_free() -> Result<Server, Failure> {
    for port in FIRST_PORT..FIRST_PORT + TRIES {
        match bind(port).await {
            Err(BindError::InUse { .. }) => {}
            other => return other.map_err(refused),
        }
    }
    Err(Failure::new(
        Exit::Port,
        format_args!(
            "the ports {FIRST_PORT} to {} are all in use: name a free one with --port, or a running `peerage serve` \
             with --server",
            FIRST_PORT + TRIES - 1
        ),
    ))
}

async fn bind(port: u16) -> Result<Server, BindError> {
    let config = Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        drain: DRAIN,
        signal: signalling(),
        // Who is on this machine needs no relay to it.
        turn: None,
        ..Config::default()
    };
    Server::bind(config).await
}
