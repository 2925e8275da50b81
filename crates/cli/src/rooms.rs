//! What the names of a server's rooms are made with, in the state folder: so that a restart does not part those who are in one.

use std::path::PathBuf;

use peerage_server::NearbySecret;

use crate::{
    exit::{Exit, Failure},
    keys, output,
    state::State,
};

/// The file's name.
const SECRET: &str = "rooms.secret";

/// The secret of the state folder, made if there is none yet. None where there is no folder and none was asked for: a server can do without.
pub(crate) fn secret(asked: Option<PathBuf>) -> Result<Option<NearbySecret>, Failure> {
    let asked_for = asked.is_some();
    match State::at(asked).and_then(|state| load_or_make(&state)) {
        Ok(secret) => Ok(Some(secret)),
        Err(failure) if asked_for => Err(failure),
        Err(failure) => {
            output::warn(format_args!(
                "{failure}. Until then the rooms of those who share an address get new names at each start"
            ));
            Ok(None)
        }
    }
}

fn load_or_make(state: &State) -> Result<NearbySecret, Failure> {
    if let Some(secret) = load(state)? {
        return Ok(secret);
    }
    let secret = NearbySecret::generate(&mut keys::random());
    if state.create(SECRET, &format!("{}\n", secret.expose()))? {
        return Ok(secret);
    }
    // Another process was faster; both then have the same one.
    load(state)?.ok_or_else(|| damaged(state))
}

fn load(state: &State) -> Result<Option<NearbySecret>, Failure> {
    let Some(text) = state.read(SECRET)? else {
        return Ok(None);
    };
    text.trim_end()
        .parse()
        .map(Some)
        .map_err(|_| damaged(state))
}

fn damaged(state: &State) -> Failure {
    Failure::new(
        Exit::State,
        format_args!(
            "{} holds no secret: restore the file from a copy, or delete it to begin with new names for rooms",
            state.path(SECRET).display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_stays_and_a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = || secret(Some(dir.path().to_owned()));
        let first = at().expect("made").expect("asked for");
        assert_eq!(at().expect("read"), Some(first));
        std::fs::write(dir.path().join(SECRET), "x").expect("written");
        let failure = at().expect_err("damaged");
        assert!(failure.to_string().contains(SECRET), "{failure}");
    }
}
