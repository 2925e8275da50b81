//! Links and grants of this device, in the state folder.

use peerage_peer::Access;
use peerage_proto::identity::{Secret, gate};
use serde::{Deserialize, Serialize};

use crate::{
    exit::{Exit, Failure},
    keys::random,
    state::State,
};

/// Of the device that exposes something.
pub(crate) const EXPOSED: &str = "access.json";
/// Of the device that receives files: a link to send something here opens nothing else.
pub(crate) const RECEIVES: &str = "receive-access.json";

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    access: gate::State,
}

/// What the device remembers; nothing at first.
pub(crate) fn load(state: &State, file: &str) -> Result<gate::State, Failure> {
    let Some(text) = state.read(file)? else {
        return Ok(gate::State::default());
    };
    let damaged = |what: String| {
        let path = state.path(file);
        Failure::new(
            Exit::State,
            format_args!(
                "{} {what}; restore it from a copy, or move it away: links that were given out then stop working",
                path.display()
            ),
        )
    };
    let stored: Stored =
        serde_json::from_str(&text).map_err(|error| damaged(format!("cannot be read: {error}")))?;
    if stored.version != VERSION {
        return Err(damaged(format!(
            "is of version {}, made by another release of peerage",
            stored.version
        )));
    }
    Ok(stored.access)
}

/// Writes down what the device remembers.
pub(crate) fn store(access: &Access, state: &State, file: &str) -> Result<(), Failure> {
    let stored = Stored {
        version: VERSION,
        access: access.state(),
    };
    let text = serde_json::to_string_pretty(&stored).map_err(|error| Failure {
        exit: Exit::Other,
        error: error.into(),
    })?;
    state.write(file, &text)
}

/// The secret of the oldest link that is good for anybody, made if there is none: the same state gives the same link.
pub(crate) fn first_link(access: &Access, state: &State, file: &str) -> Result<Secret, Failure> {
    let open = |state: &gate::State| {
        state
            .links()
            .find(|link| link.terms() == gate::Terms::default())
            .map(|link| link.secret().clone())
    };
    if let Some(secret) = open(&access.state()) {
        return Ok(secret);
    }
    let secret = Secret::generate(&mut random());
    access
        .add_link(secret.clone(), gate::Terms::default())
        .map_err(|error| Failure {
            exit: Exit::State,
            error: error.into(),
        })?;
    // Before anybody sees it: a link that a crash could forget is worse than none.
    store(access, state, file)?;
    Ok(secret)
}
