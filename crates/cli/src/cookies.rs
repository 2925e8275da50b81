//! The cookies of this device's callers, in the state folder.

use std::time::Duration;

use peerage_peer::proxy::Cookies;
use peerage_proto::jar;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{exit::Failure, output, state::State};

const FILE: &str = "cookies.json";
/// The least time between two times of writing.
const PAUSE: Duration = Duration::from_secs(1);

/// What the device remembers; nothing at first. Cookies are no reason not to start: callers log in again.
pub(crate) fn load(state: &State) -> jar::State {
    let path = state.path(FILE);
    let text = match state.read(FILE) {
        Ok(Some(text)) => text,
        Ok(None) => return jar::State::default(),
        Err(failure) => {
            output::warn(failure);
            return jar::State::default();
        }
    };
    jar::State::parse(&text).unwrap_or_else(|error| {
        output::warn(format_args!(
            "{} {error}: visitors have to log in again",
            path.display()
        ));
        jar::State::default()
    })
}

/// Writes down what changes, at once, but not more often than once a second, and what is left at the end.
pub(crate) async fn keep(cookies: Cookies, state: State, end: CancellationToken) {
    let mut changes = cookies.changes();
    let mut written = true;
    loop {
        let ended = tokio::select! {
            biased;
            () = end.cancelled() => true,
            changed = changes.changed() => changed.is_err(),
        };
        if ended && !changes.has_changed().unwrap_or(false) {
            return;
        }
        changes.mark_unchanged();
        let outcome = store(&cookies, &state).await;
        if let Err(failure) = &outcome
            && written
        {
            output::warn(failure);
        }
        written = outcome.is_ok();
        if ended {
            return;
        }
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

async fn store(cookies: &Cookies, state: &State) -> Result<(), Failure> {
    let (cookies, state) = (cookies.clone(), state.clone());
    let stored = spawn_blocking(move || state.write(FILE, &cookies.state().emit())).await;
    stored.unwrap_or_else(|error| Err(Failure::new(crate::exit::Exit::Other, error)))
}
