//! Every setting of the server, one row each: its names, its unit, its place in the configuration. Options, variables, keys of a file and `--help` are made
//! of these rows.

mod kinds;
mod table;

use std::path::PathBuf;

use peerage_server::hub::{Admin, HubConfig};
use peerage_server::{Config, NamesConfig, TlsFiles, TurnConfig, TurnSecret};

pub(super) use self::{
    kinds::{Kind, one_or_all},
    table::SETTINGS,
};
use super::signalling;

/// One setting.
pub(super) struct Setting {
    /// The long option and the key in a file. Each `-` may be written `_`.
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// What peerjs-server calls it, where that is another name.
    pub(super) alias: Option<&'static str>,
    /// Variables that peerjs-server reads; ours goes before them.
    pub(super) variables: &'static [&'static str],
    /// Its place in [`Config`], as [`ConfigError`](peerage_server::ConfigError) names it.
    pub(super) field: &'static str,
    /// What stands for its value in `--help`.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) heading: &'static str,
    pub(super) kind: Kind,
}

/// A configuration that is being put together.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) usernames: bool,
    pub(super) names: NamesConfig,
    pub(super) serves_turn: bool,
    pub(super) turn: TurnConfig,
    pub(super) turn_secret: Option<GivenSecret>,
    pub(super) serves_rooms: bool,
    pub(super) hub: HubConfig,
    pub(super) rooms_admin_open: bool,
    pub(super) rooms_admin_token: Option<PathBuf>,
    pub(super) rooms_webhook_secret: Option<PathBuf>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
}

/// The secret that the owner names, and says last.
#[derive(Clone, Debug)]
pub(super) enum GivenSecret {
    Text(TurnSecret),
    File(PathBuf),
}

/// One half of what TLS needs was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HalfOfTls {
    pub(super) given: &'static str,
    pub(super) missing: &'static str,
}

impl Draft {
    /// The defaults of the command.
    pub(super) fn new() -> Self {
        Self {
            config: Config {
                signal: signalling(),
                ..Config::default()
            },
            usernames: true,
            names: NamesConfig::default(),
            serves_turn: true,
            turn: TurnConfig::default(),
            turn_secret: None,
            serves_rooms: true,
            hub: HubConfig::default(),
            rooms_admin_open: false,
            rooms_admin_token: None,
            rooms_webhook_secret: None,
            tls_cert: None,
            tls_key: None,
        }
    }

    pub(super) fn finish(self) -> Result<Config, HalfOfTls> {
        let half = |given, missing| Err(HalfOfTls { given, missing });
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) => return half("--tls-cert", "--tls-key"),
            (None, Some(_)) => return half("--tls-key", "--tls-cert"),
        };
        let names = self.usernames.then_some(self.names);
        let turn = self.serves_turn.then_some(self.turn);
        let admin = match self.rooms_admin_open {
            true => Admin::Open,
            false => Admin::Nobody,
        };
        let hub = self.serves_rooms.then_some(HubConfig { admin, ..self.hub });
        Ok(Config {
            tls,
            names,
            turn,
            hub,
            ..self.config
        })
    }
}
