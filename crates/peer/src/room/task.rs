//! The task of a room: connects, carries frames both ways, and comes back after a loss.

use std::sync::Arc;
use std::time::Duration;

use peerage_proto::room::Way;
use peerage_proto::wire::room::FAST_LABEL;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::RoomError;
use super::attempt::{Connected, connect};
use super::server::Server;
use super::shared::Shared;
use crate::direct::{Direct, LinkEvent};
use crate::{
    ChannelReceiver, ChannelSender, CloseReason, Message, SendError, TrySendError, random,
};

/// Before the first attempt to come back, at most: the members of a hub that ends do not all come at once.
const AT_ONCE: Duration = Duration::from_millis(250);
/// Before the second; doubled for each further one.
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest of these.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// For what was said before the goodbye, while the hub takes it.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// For the goodbye itself.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a room is reached.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) server: Server,
    pub(super) direct: Direct,
    pub(super) unreliable: bool,
    pub(super) reconnect: bool,
    /// For one attempt.
    pub(super) timeout: Duration,
}

struct Task {
    shared: Arc<Shared>,
    ways: Ways,
    /// Waits for the first entry.
    first: Option<oneshot::Sender<Result<(), RoomError>>>,
    /// When a goodbye is said whatever still waits.
    leave_until: Option<Instant>,
}

/// Begins the task; returns when the hub has let us in.
pub(super) async fn join(
    shared: &Arc<Shared>,
    ways: Ways,
) -> Result<AbortOnDropHandle<()>, RoomError> {
    let (first, entered) = oneshot::channel();
    let task = Task {
        shared: shared.clone(),
        ways,
        first: Some(first),
        leave_until: None,
    };
    let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
    entered.await.unwrap_or(Err(RoomError::Over))?;
    Ok(task)
}

impl Task {
    async fn run(mut self) {
        let mut failures = 0;
        let end = loop {
            let error = self.visit(&mut failures).await;
            if self.shared.look().is_leaving {
                break RoomError::Over;
            }
            if let Some(first) = self.first.take() {
                let _ = first.send(Err(error.clone()));
                break error;
            }
            if !self.ways.reconnect || is_final(&error) {
                break error;
            }
            self.shared.lost();
            if failures > 0 {
                self.shared.failed(error.clone());
            }
            if !self.pause(failures, &error).await {
                break RoomError::Over;
            }
            failures += 1;
        };
        self.shared.over(end);
    }

    /// Waits before the next attempt; `false` when the application leaves meanwhile.
    async fn pause(&self, failures: u32, error: &RoomError) -> bool {
        let wait = match failures {
            0 => random::share(AT_ONCE),
            _ => {
                let longest = BACKOFF * 2_u32.saturating_pow((failures - 1).min(8));
                let longest = longest.min(MAX_BACKOFF);
                longest / 2 + random::share(longest / 2)
            }
        };
        let asked = match error {
            RoomError::Busy(pause) => pause.unwrap_or(BACKOFF),
            RoomError::Hub(_) => BACKOFF + random::share(BACKOFF),
            _ => Duration::ZERO,
        };
        let mut over = std::pin::pin!(sleep(wait.max(asked)));
        loop {
            tokio::select! {
                () = &mut over => return true,
                () = self.shared.worked() => {
                    let standing = self.shared.look();
                    if standing.is_leaving {
                        self.ways.server.leave().await;
                        return false;
                    }
                }
                // Answers are not waited for longer than was said.
                () = at(self.shared.look().due) => {}
            }
        }
    }

    /// One connection, from the attempt to its end; why it ended.
    async fn visit(&mut self, failures: &mut u32) -> RoomError {
        let deadline = Instant::now() + self.ways.timeout;
        let connected = {
            let mut connected = std::pin::pin!(timeout_at(deadline, connect(&self.ways)));
            loop {
                tokio::select! {
                    connected = &mut connected => break connected,
                    () = self.shared.worked() => {
                        if self.shared.look().is_leaving {
                            self.ways.server.leave().await;
                            return RoomError::Over;
                        }
                    }
                    () = at(self.shared.look().due) => {}
                }
            }
        };
        let connected = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return error,
            Err(_) => return RoomError::Timeout,
        };
        self.shared.opened();
        let error = self.carry(connected, deadline, failures).await;
        match self.shared.closed() {
            Some(code) => RoomError::Hub(code),
            None => error,
        }
    }

    async fn carry(
        &mut self,
        connected: Connected,
        deadline: Instant,
        failures: &mut u32,
    ) -> RoomError {
        let Connected {
            mut link,
            main,
            fast,
        } = connected;
        let (sender, mut receiver) = main.split();
        let (mut fast_sender, mut fast_receiver) = fast.map(crate::Channel::split).unzip();
        // Candidates that are told to the server; end with the connection.
        let mut telling = JoinSet::new();
        let mut was_in = false;
        // Whether the goodbye's time is over, and whether the channel has it.
        let (mut is_late, mut is_said) = (false, false);
        let error = loop {
            let standing = self.shared.look();
            if standing.is_in && !was_in {
                was_in = true;
                *failures = 0;
                if let Some(first) = self.first.take() {
                    let _ = first.send(Ok(()));
                }
            }
            if standing.is_leaving {
                let until = *self
                    .leave_until
                    .get_or_insert_with(|| Instant::now() + LAST_WORDS);
                is_late = Instant::now() >= until;
                if standing.is_drained || !standing.is_in || is_late {
                    self.shared.say_goodbye();
                }
            }
            while let Some(frame) = self.shared.fast_frame() {
                // What has no room is lost rather than late.
                let channel = fast_sender.as_ref().unwrap_or(&sender);
                let _ = channel.try_send(Message::Binary(frame));
            }
            let frame = loop {
                let Some(frame) = self.shared.frame() else {
                    break None;
                };
                let message = Message::Binary(frame);
                match sender.try_send(message.clone()) {
                    Err(TrySendError::Full) => break Some(message),
                    // A closed channel is noticed below.
                    _ => self.shared.frame_sent(),
                }
            };
            let standing = self.shared.look();
            if standing.is_closing && (frame.is_none() || is_late) {
                is_said = frame.is_none();
                break RoomError::Lost(CloseReason::Local);
            }
            let leave_until = self.leave_until.filter(|_| standing.is_leaving);
            tokio::select! {
                biased;
                event = link.event() => match event {
                    Some(LinkEvent::Open(channel)) if channel.label() == FAST_LABEL => {
                        let (sender, receiver) = channel.split();
                        (fast_sender, fast_receiver) = (Some(sender), Some(receiver));
                    }
                    Some(LinkEvent::Candidate(line)) => {
                        let server = self.ways.server.clone();
                        // Those that are done.
                        while telling.try_join_next().is_some() {}
                        telling.spawn(async move { server.candidate(&line).await });
                    }
                    Some(_) => {}
                    None => {
                        // What came before the end counts.
                        while let Some(message) = now(&mut receiver) {
                            self.heard(message, Way::Reliable);
                        }
                        break RoomError::Lost(link.closed().unwrap_or(CloseReason::Remote));
                    }
                },
                sent = send(&sender, &frame) => match sent {
                    Ok(()) => self.shared.frame_sent(),
                    Err(_) => break RoomError::Lost(CloseReason::Remote),
                },
                message = receiver.recv(), if standing.may_hear => match message {
                    Some(message) => self.heard(message, Way::Reliable),
                    None => break RoomError::Lost(link.closed().unwrap_or(CloseReason::Remote)),
                },
                message = hear(&mut fast_receiver), if standing.may_hear => match message {
                    Some(message) => self.heard(message, Way::Fast),
                    None => (fast_sender, fast_receiver) = (None, None),
                },
                () = self.shared.worked() => {}
                () = at(standing.due) => {}
                () = sleep_until(deadline), if !was_in => break RoomError::Timeout,
                () = sleep_until(leave_until.unwrap_or(deadline)), if leave_until.is_some() => {}
            }
        };
        // What was said last, a goodbye perhaps, is delivered before the end.
        drop((sender, receiver, fast_sender, fast_receiver));
        let ended = async { while link.event().await.is_some() {} };
        let standing = self.shared.look();
        if standing.is_closing && is_said {
            is_said = timeout(GOODBYE, ended).await.is_ok();
        }
        if standing.is_leaving && !is_said {
            self.ways.server.leave().await;
        }
        error
    }

    fn heard(&self, message: Message, way: Way) {
        // Texts are not of this protocol.
        if let Message::Binary(octets) = message {
            self.shared.heard(octets, way);
        }
    }
}

async fn send(sender: &ChannelSender, frame: &Option<Message>) -> Result<(), SendError> {
    match frame {
        Some(frame) => sender.send(frame.clone()).await,
        None => std::future::pending().await,
    }
}

async fn hear(receiver: &mut Option<ChannelReceiver>) -> Option<Message> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// A message that is there already.
fn now(receiver: &mut ChannelReceiver) -> Option<Message> {
    use futures_util::FutureExt as _;
    receiver.recv().now_or_never().flatten()
}

async fn at(due: Option<std::time::Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether there is no coming back.
fn is_final(error: &RoomError) -> bool {
    match error {
        RoomError::Url(_) | RoomError::Name { .. } | RoomError::Metadata(_) | RoomError::Over => {
            true
        }
        RoomError::Refused { status, .. } => (400..500).contains(status) && *status != 408,
        RoomError::Hub(code) => !code.may_return(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use peerage_proto::wire::room::RefusedCode;

    use super::*;

    #[test]
    fn what_waiting_may_mend_is_waited_for() {
        let refused = |status| RoomError::Refused {
            status,
            error: String::new(),
        };
        for error in [
            RoomError::Hub(RefusedCode::Full),
            RoomError::Hub(RefusedCode::Closed),
            RoomError::Busy(None),
            RoomError::NoRoute,
            RoomError::Unreachable("x".into()),
            refused(502),
        ] {
            assert!(!is_final(&error), "{error}");
        }
        for error in [
            RoomError::Hub(RefusedCode::Kicked),
            refused(404),
            RoomError::Over,
        ] {
            assert!(is_final(&error), "{error}");
        }
    }
}
