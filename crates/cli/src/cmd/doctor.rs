//! `peerage doctor`: what can be reached from here, and what to do about the rest.

mod mend;
mod report;

use std::path::PathBuf;

use clap::Args;
use peerage_peer::doctor::{Device, Doctor as Examination};
use peerage_proto::wire::link_url::Link;
use url::Url;

use self::report::Report;
use crate::{
    call::{Paths, ServerTrust},
    exit::{Exit, Failure},
    keys,
    state::State,
};

/// Where `peerage serve` listens unless it is told otherwise.
const DEFAULT: &str = "http://localhost:9000";

/// Find out what can be reached from here, step by step, and what to do about what cannot.
///
/// Looks at the server (name, TCP, TLS, clock, signalling), at the STUN and TURN servers that it tells of, at the NAT in
/// between, opens a data channel between two peers of its own, and, given a link, calls the link's device. Ends with 14
/// if something does not work.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// What `peerage expose` printed, or the address of a server [default: http://localhost:9000]
    // Parsed later: clap would repeat a wrong link in its complaint, with the secret.
    #[arg(value_name = "LINK | SERVER", env = "PEERAGE_SERVER")]
    target: Option<String>,
    /// The server's PeerJS key
    #[arg(
        long,
        value_name = "KEY",
        env = "PEERAGE_KEY",
        default_value = "peerjs"
    )]
    key: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: ServerTrust,
    #[command(flatten)]
    paths: Paths,
}

/// What is examined.
#[derive(Debug)]
enum Target {
    Server(Url),
    Link(Box<Link>),
}

impl Doctor {
    /// Examines, and tells as it goes.
    pub(crate) async fn run(self, state: Option<PathBuf>, quiet: bool) -> Result<(), Failure> {
        let target = Target::parse(self.target.as_deref().unwrap_or(DEFAULT))
            .map_err(|complaint| Failure::new(Exit::Usage, complaint))?;
        let server = target.server()?;
        let mut examination = Examination::new(server.clone())
            .key(self.key)
            .ice_servers(self.paths.ice_servers()?)
            .relay_only(self.paths.relay_only());
        for certificate in self.trust.certificates()? {
            examination = examination.trust(certificate);
        }
        let mut with_secret = false;
        let mut id = None;
        if let Target::Link(link) = target {
            let identity = keys::load_or_make(&State::at(state)?, keys::CALLER)?;
            with_secret = link.secret.is_some();
            id = Some(link.device.to_string());
            let proof = link.secret.map(|secret| secret.proof(&link.device));
            examination = examination.device(Device {
                id: link.device,
                proof,
                identity,
            });
        }
        let case = mend::Case {
            server,
            with_secret,
        };
        let mut report = Report::begin(case, id, self.json, quiet)?;
        examination
            .examine(&mut |progress| report.hear(progress))
            .await;
        report.end()
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        match Link::parse(text) {
            Ok(link) => return Ok(Self::Link(Box::new(link))),
            // A server's address has no such part, and a link's secret is in it.
            Err(error) if text.contains('#') => return Err(error.to_string()),
            Err(_) => {}
        }
        let is_server = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        };
        match Url::parse(text) {
            Ok(url) if is_server(&url) => Ok(Self::Server(url)),
            _ => Err(
                "give a whole link, or the address of a server: http(s)://HOST[:PORT]".to_owned(),
            ),
        }
    }

    fn server(&self) -> Result<Url, Failure> {
        match self {
            Self::Server(url) => Ok(url.clone()),
            Self::Link(link) => {
                Url::parse(&link.server_url()).map_err(|error| Failure::new(Exit::Usage, error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_a_server_and_neither_are_told_apart_and_nothing_is_repeated() {
        let device = "a".repeat(52);
        let secret = "b".repeat(26);
        for link in [
            format!("https://{device}.example.org/#1.{secret}"),
            format!("http://{device}.localhost:9000/"),
        ] {
            let target = Target::parse(&link).expect(&link);
            assert!(matches!(&target, Target::Link(_)), "{target:?}");
        }
        for server in [
            "http://localhost:9000",
            "https://example.org/app/",
            "http://192.0.2.1",
        ] {
            let target = Target::parse(server).expect(server);
            assert!(matches!(&target, Target::Server(_)), "{target:?}");
        }
        for wrong in [
            format!("https://{device}.example.org/#1.{}", &secret[1..]),
            format!("https://example.org/#1.{secret}"),
            "example.org".to_owned(),
            "ws://example.org".to_owned(),
            "https://user:hush@example.org".to_owned(),
        ] {
            let said = Target::parse(&wrong).expect_err(&wrong);
            assert!(!said.contains("bbbb") && !said.contains("hush"), "{said}");
        }
    }
}
