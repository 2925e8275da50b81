//! The keys in the state folder: this device's, and this caller's.

use getrandom::SysRng;
use peerage_proto::identity::SigningKey;
use rand_core::UnwrapErr;

use crate::{
    exit::{Exit, Failure},
    state::State,
};

/// By which others know this device: its id is made of it.
pub(crate) const DEVICE: &str = "device.key";
/// By which others know this device when it receives files: another device than the one that exposes something.
pub(crate) const RECEIVER: &str = "receive.key";
/// By which devices know this machine when it fetches, or sends files.
pub(crate) const CALLER: &str = "caller.key";

/// The key in this file, made if there is none yet.
pub(crate) fn load_or_make(state: &State, name: &str) -> Result<SigningKey, Failure> {
    if let Some(key) = load(state, name)? {
        return Ok(key);
    }
    let key = SigningKey::generate(&mut random());
    let pem = key.to_pem().map_err(|error| Failure {
        exit: Exit::Other,
        error: error.into(),
    })?;
    if state.create(name, &pem)? {
        return Ok(key);
    }
    // Another process was faster; both then have the same key.
    load(state, name)?.ok_or_else(|| damaged(state, name, "it vanished while it was read"))
}

/// The operating system's randomness; a system without any has no way to go on.
pub(crate) fn random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn load(state: &State, name: &str) -> Result<Option<SigningKey>, Failure> {
    let Some(pem) = state.read(name)? else {
        return Ok(None);
    };
    SigningKey::from_pem(&pem)
        .map(Some)
        .map_err(|error| damaged(state, name, &error.to_string()))
}

fn damaged(state: &State, name: &str, error: &str) -> Failure {
    let path = state.path(name);
    Failure::new(
        Exit::State,
        format_args!(
            "the key in {} cannot be used: {error}; restore the file from a copy, or move it away to begin with a new \
             identity (links made with the old one then stop working)",
            path.display()
        ),
    )
}
