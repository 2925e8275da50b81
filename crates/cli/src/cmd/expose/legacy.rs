//! Old clients (peerfetch, the UI of Ambianic): whether they are let in, under which id, and what the files of the old proxy say.

use std::path::PathBuf;

use clap::Args;
use peerage_peer::Builder;
use peerage_proto::{
    identity::DeviceId,
    wire::{
        id::{PeerId, Token},
        legacy::LABEL,
    },
};
use rand_core::Rng as _;

use crate::{
    exit::{Exit, Failure},
    keys, output,
    peerjs_files::{self, OldConfig},
    state::State,
};

/// Most old clients at once; the other places are kept for callers who have a link.
const CONNECTIONS: usize = 32;

/// By which the server knows this device again under its old id.
const TOKEN: &str = "peerjs.token";

#[derive(Debug, Args)]
#[command(next_help_heading = "Old clients (peerfetch, peerjs-python)")]
pub(super) struct Legacy {
    /// Let in old PeerJS clients, which prove nothing: WHOEVER KNOWS OR GUESSES THE ID CAN USE THE TARGET
    #[arg(long, env = "PEERAGE_ALLOW_LEGACY")]
    allow_legacy: bool,
    /// File with the id that old clients know this device by (`.peerjsrc`): it is reached under that as well
    #[arg(long, value_name = "FILE", env = "PEERJS_PEERID_FILE")]
    peerjsrc: Option<PathBuf>,
    /// File with the old proxy's settings (`peerjs-config.yaml`): defaults for --server and the log level
    #[arg(long, value_name = "FILE", env = "PEERJS_CONFIG_FILE")]
    peerjs_config: Option<PathBuf>,
}

impl Legacy {
    pub(super) fn is_allowed(&self) -> bool {
        self.allow_legacy
    }

    pub(super) fn config(&self) -> Result<Option<OldConfig>, Failure> {
        self.peerjs_config
            .as_deref()
            .map(peerjs_files::config)
            .transpose()
    }

    /// The old id, where a file names one that is not this device's own anyway.
    pub(super) fn id(&self, own: &DeviceId) -> Result<Option<PeerId>, Failure> {
        let Some(path) = &self.peerjsrc else {
            return Ok(None);
        };
        if !self.allow_legacy {
            return Err(Failure::new(
                Exit::Usage,
                format_args!(
                    "the id in {} is for old clients (--peerjsrc, PEERJS_PEERID_FILE): let them in with --allow-legacy, \
                     or leave it out",
                    path.display()
                ),
            ));
        }
        let id = peerjs_files::peer_id(path)?.filter(|id| id != own.as_peer_id());
        match id {
            Some(id) if DeviceId::parse(id.as_str()).is_ok() => Err(Failure::new(
                Exit::Usage,
                format_args!(
                    "{}: `peerId` is {id}, which is the id of another device's key",
                    path.display()
                ),
            )),
            id => Ok(id),
        }
    }

    /// Lets old clients in, if they are allowed.
    pub(super) fn admit(&self, builder: Builder) -> Builder {
        if self.allow_legacy {
            builder.allow_unverified_label(LABEL, CONNECTIONS)
        } else {
            builder
        }
    }

    /// Says loudly what was opened.
    pub(super) fn warn(&self, target: &str, ids: &[&PeerId]) {
        if !self.allow_legacy {
            return;
        }
        let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
        output::warn(format_args!(
            "--allow-legacy: old clients prove nothing. WHOEVER KNOWS OR GUESSES THE ID {} CAN USE {target}, without the \
             link, and the server can read along. Leave it out once no old client is left.",
            ids.join(" OR ")
        ));
    }
}

/// The token for the old id: the same after a restart, or the server would hold the id for the connection before.
pub(super) fn token(state: &State) -> Result<Token, Failure> {
    if state.read(TOKEN)?.is_none() {
        let drawn =
            u128::from(keys::random().next_u64()) << 64 | u128::from(keys::random().next_u64());
        state.create(TOKEN, &format!("{drawn:032x}\n"))?;
    }
    let text = state.read(TOKEN)?.unwrap_or_default();
    Token::parse(text.trim()).map_err(|error| {
        Failure::new(
            Exit::State,
            format_args!(
                "{} cannot be used: {error}; remove it, a new one is made then",
                state.path(TOKEN).display()
            ),
        )
    })
}
