//! Telling the engine's thread of many channels' messages at once.

use std::fmt;
use std::sync::Arc;

use super::{ChannelSender, Message, TrySendError};
use crate::SendError;

/// The thread beyond the pipes of many connections.
pub(crate) trait Far: Send + Sync {
    /// Pipes of these connections changed.
    fn changed(&self, conns: &[u64]);
}

/// By which a pipe says that it changed.
#[derive(Clone)]
pub(crate) struct Signal {
    far: Arc<dyn Far>,
    conn: u64,
}

/// Messages for several channels, of which the engine's thread is told together: it is woken once for all of them.
///
/// A message is in its channel's queue once [`try_send`](Self::try_send) returned; its thread may begin with it then, and does at the latest after
/// [`flush`](Self::flush), which dropping the batch does too. A batch is reused without cost.
///
/// ```
/// # use peerage_peer::{Batch, Channel, Message};
/// # let (a, _b) = Channel::pair("x");
/// # let members = [a.split().0];
/// let message = Message::Text("to all of you".into());
/// let mut batch = Batch::default();
/// for member in &members {
///     if let Err(error) = batch.try_send(member, message.clone()) {
///         eprintln!("{}: {error}", member.label());
///     }
/// }
/// batch.flush();
/// ```
#[derive(Default)]
pub struct Batch {
    far: Option<Arc<dyn Far>>,
    conns: Vec<u64>,
}

impl Signal {
    pub(crate) fn new(far: Arc<dyn Far>, conn: u64) -> Self {
        Self { far, conn }
    }

    pub(super) fn give(&self) {
        self.far.changed(&[self.conn]);
    }
}

impl Batch {
    /// As [`ChannelSender::try_send`], but for when the engine's thread is told.
    ///
    /// # Errors
    /// As there.
    pub fn try_send(
        &mut self,
        sender: &ChannelSender,
        message: Message,
    ) -> Result<(), TrySendError> {
        sender.check(&message)?;
        match sender.outgoing().try_send_in(self, message) {
            Some(true) => Ok(()),
            Some(false) => Err(TrySendError::Full),
            None => Err(SendError::Closed.into()),
        }
    }

    /// Tells the engine's thread of what was sent since the last time.
    pub fn flush(&mut self) {
        if let Some(far) = &self.far
            && !self.conns.is_empty()
        {
            far.changed(&self.conns);
            self.conns.clear();
        }
    }

    pub(super) fn add(&mut self, signal: &Signal) {
        let is_other = |far: &Arc<dyn Far>| !Arc::ptr_eq(far, &signal.far);
        if self.far.as_ref().is_none_or(is_other) {
            self.flush();
            self.far = Some(signal.far.clone());
        }
        self.conns.push(signal.conn);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::channel::{Channel, Pipe};

    #[derive(Default)]
    struct Calls(Mutex<Vec<Vec<u64>>>);

    impl Far for Calls {
        fn changed(&self, conns: &[u64]) {
            self.0.lock().expect("whole").push(conns.to_vec());
        }
    }

    impl Calls {
        fn take(&self) -> Vec<Vec<u64>> {
            std::mem::take(&mut *self.0.lock().expect("whole"))
        }
    }

    fn sender(far: &Arc<Calls>, conn: u64) -> ChannelSender {
        let out = Pipe::with_signal(1_000, Signal::new(far.clone(), conn));
        let back = Arc::new(Pipe::new(1_000));
        Channel::new("x".into(), true, Arc::new(out), back, 100)
            .split()
            .0
    }

    #[test]
    fn the_far_thread_is_told_of_a_batch_once_and_at_its_end_at_the_latest() {
        let far = Arc::<Calls>::default();
        let members: Vec<_> = (0..3).map(|conn| sender(&far, conn)).collect();
        let message = Message::Text("x".into());
        let mut batch = Batch::default();
        for member in &members {
            batch.try_send(member, message.clone()).expect("room");
            batch.try_send(member, message.clone()).expect("room");
        }
        assert_eq!(far.take(), Vec::<Vec<u64>>::new());
        batch.flush();
        batch.flush();
        assert_eq!(far.take(), [[0, 1, 2]]);
        drop(members);
        far.take();
        let other = Arc::<Calls>::default();
        let [one, two] = [sender(&far, 8), sender(&other, 9)];
        batch.try_send(&one, message.clone()).expect("room");
        batch.try_send(&two, message).expect("room");
        assert_eq!((far.take(), other.take()), (vec![vec![8]], vec![]));
        drop(batch);
        assert_eq!(other.take(), [[9]]);
    }

    #[test]
    fn what_has_no_room_is_refused_and_the_others_get_theirs() {
        let far = Arc::<Calls>::default();
        let [slow, quick, gone] = [1, 2, 3].map(|conn| sender(&far, conn));
        gone.close();
        let message = Message::Binary(vec![0; 100].into());
        let mut batch = Batch::default();
        while batch.try_send(&slow, message.clone()).is_ok() {}
        assert_eq!(
            batch.try_send(&slow, message.clone()),
            Err(TrySendError::Full)
        );
        assert_eq!(batch.try_send(&quick, message.clone()), Ok(()));
        let closed = Err(SendError::Closed.into());
        assert_eq!(batch.try_send(&gone, message), closed);
        let large = Message::Binary(vec![0; 101].into());
        let refused = batch.try_send(&quick, large);
        assert!(matches!(
            refused,
            Err(TrySendError::Refused(SendError::TooLarge { .. }))
        ));
    }
}
