//! The secrets of a server, in the state folder: so that a restart parts nobody who is in a room, and ends no credentials.

use std::{path::PathBuf, str::FromStr};

use peerage_server::hub::Secret as RoomsSecret;
use peerage_server::{NearbySecret, TurnSecret};

use crate::{
    exit::{Exit, Failure},
    keys, output,
    state::State,
};

/// What the names of rooms are made with.
const ROOMS: Kept<NearbySecret> = Kept {
    file: "rooms.secret",
    make: || NearbySecret::generate(&mut keys::random()),
    expose: NearbySecret::expose,
    anew: "new names for rooms",
};
/// What TURN credentials are made with.
const TURN: Kept<TurnSecret> = Kept {
    file: "turn.secret",
    make: || TurnSecret::generate(&mut keys::random()),
    expose: TurnSecret::expose,
    anew: "new TURN credentials",
};

/// What requests to the webhook of rooms are signed with.
const WEBHOOK: Kept<RoomsSecret> = Kept {
    file: "webhook.secret",
    make: || RoomsSecret::generate(&mut keys::random()),
    expose: RoomsSecret::expose,
    anew: "a new one, which the webhook's service must then know",
};

/// None where there is no folder and none was asked for: a server can do without.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) rooms: Option<NearbySecret>,
    pub(crate) turn: Option<TurnSecret>,
}

/// The secret that a webhook's requests are signed with, made if it is not there yet. There is no doing without.
pub(crate) fn of_webhook(asked: Option<PathBuf>) -> Result<RoomsSecret, Failure> {
    WEBHOOK.load_or_make(&State::at(asked)?)
}

impl Secrets {
    /// Those of the state folder, made if they are not there yet; of TURN only if it is wanted.
    pub(crate) fn of(asked: Option<PathBuf>, wants_turn: bool) -> Result<Self, Failure> {
        let asked_for = asked.is_some();
        let load = |state: State| {
            let turn = wants_turn.then(|| TURN.load_or_make(&state));
            Ok(Self {
                rooms: Some(ROOMS.load_or_make(&state)?),
                turn: turn.transpose()?,
            })
        };
        match State::at(asked).and_then(load) {
            Err(failure) if !asked_for => {
                let credentials = if wants_turn {
                    ", and TURN credentials end with it"
                } else {
                    ""
                };
                output::warn(format_args!(
                    "{failure}. Until then the rooms of those who share an address get new names at each start{credentials}"
                ));
                Ok(Self::default())
            }
            other => other,
        }
    }
}

/// A secret that has a file of its own.
struct Kept<S> {
    file: &'static str,
    make: fn() -> S,
    expose: fn(&S) -> &str,
    /// What another secret means.
    anew: &'static str,
}

impl<S: FromStr> Kept<S> {
    fn load_or_make(&self, state: &State) -> Result<S, Failure> {
        if let Some(secret) = self.load(state)? {
            return Ok(secret);
        }
        let secret = (self.make)();
        if state.create(self.file, &format!("{}\n", (self.expose)(&secret)))? {
            return Ok(secret);
        }
        // Another process was faster; both then have the same one.
        self.load(state)?.ok_or_else(|| self.damaged(state))
    }

    fn load(&self, state: &State) -> Result<Option<S>, Failure> {
        let Some(text) = state.read(self.file)? else {
            return Ok(None);
        };
        text.trim_end()
            .parse()
            .map(Some)
            .map_err(|_| self.damaged(state))
    }

    fn damaged(&self, state: &State) -> Failure {
        let (path, anew) = (state.path(self.file), self.anew);
        Failure::new(
            Exit::State,
            format_args!(
                "{} holds no secret: restore the file from a copy, or delete it to begin with {anew}",
                path.display()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_and_a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = || Secrets::of(Some(dir.path().to_owned()), true);
        let first = at().expect("made");
        assert!(first.rooms.is_some() && first.turn.is_some());
        let again = at().expect("read");
        assert_eq!((again.rooms, again.turn), (first.rooms, first.turn));
        for file in [ROOMS.file, TURN.file] {
            let text = std::fs::read(dir.path().join(file)).expect("a file");
            std::fs::write(dir.path().join(file), "\n").expect("written");
            let failure = at().expect_err("damaged");
            assert!(failure.to_string().contains(file), "{failure}");
            std::fs::write(dir.path().join(file), text).expect("written");
        }
    }

    #[test]
    fn a_webhooks_secret_is_made_once_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = || of_webhook(Some(dir.path().to_owned()));
        let first = at().expect("made");
        assert_eq!(at().expect("read"), first);
        std::fs::write(dir.path().join(WEBHOOK.file), "short").expect("written");
        assert!(at().is_err());
    }

    #[test]
    fn no_secret_is_made_that_is_not_wanted() {
        let dir = tempfile::tempdir().expect("a folder");
        let secrets = Secrets::of(Some(dir.path().to_owned()), false).expect("made");
        assert_eq!(secrets.turn, None);
        assert!(!dir.path().join(TURN.file).exists());
    }
}
