//! Keeps a machine's time: the one task of a shell that waits for deadlines.

use std::convert::Infallible;
use std::future::pending;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::sleep_until;

#[derive(Debug, Default)]
pub(crate) struct Alarm(Notify);

impl Alarm {
    /// Calls `ring` when the time has come that `due` names, again and again. Never returns; owned by who runs the server.
    pub(crate) async fn keep(
        &self,
        due: impl Fn() -> Option<Instant>,
        ring: impl Fn(),
    ) -> Infallible {
        loop {
            let deadline = due();
            let passed = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = passed => ring(),
                () = self.0.notified() => {}
            }
        }
    }

    /// The next deadline may be another one now: an earlier one is not to be slept over.
    pub(crate) fn moved<T: Ord>(&self, before: Option<T>, now: Option<T>) {
        if let Some(now) = now
            && before.is_none_or(|before| now < before)
        {
            self.0.notify_one();
        }
    }
}
