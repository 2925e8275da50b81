//! The task of one member: from the answer to its offer to the end of its connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_peer::direct::{Link, LinkEvent};
use peerage_peer::{Channel, ChannelReceiver, CloseReason, Message};
use peerage_proto::room::{Closed, Kind, Payload, Way};
use peerage_proto::wire::room::{FAST_LABEL, LABEL, Name, RoomName};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use super::attempts::Entry;
use super::counts::Counts;
use super::rooms::Seat;
use super::{OPEN, Shared};
use crate::address::Seat as Place;
use crate::websocket::Pace;

/// For what waits for a member that is put out: it learns why, if it takes anything.
const LINGER: Duration = Duration::from_secs(2);

const A_MOMENT: Duration = Duration::from_millis(100);

/// Somebody whose offer was answered.
pub(super) struct Member {
    pub(super) hub: Arc<Shared>,
    pub(super) room: RoomName,
    pub(super) name: Name,
    pub(super) link: Link,
    pub(super) entry: Entry,
    pub(super) pass: Pass,
}

/// Its places among those on their way, and among members.
pub(super) struct Pass {
    pub(super) half_open: OwnedSemaphorePermit,
    pub(super) half_open_from: Option<Place>,
    pub(super) _member: OwnedSemaphorePermit,
    pub(super) _member_from: Option<Place>,
}

/// Its channels, as far as they are open.
struct Channels {
    kind: Kind,
    main: Channel,
    fast: Option<Channel>,
}

impl Member {
    pub(super) async fn run(mut self) {
        let hub = self.hub.clone();
        // Who is not in when the hub ends does not come in.
        let opened = hub.closing.run_until_cancelled(self.opened());
        let Ok(Some(Some(channels))) = timeout(OPEN, opened).await else {
            debug!("a connection never opened");
            return Counts::add(&self.hub.counts.never_opened);
        };
        // It is on its way no longer.
        let Pass {
            half_open,
            half_open_from,
            _member,
            _member_from,
        } = self.pass;
        drop((half_open, half_open_from));
        if channels.kind == Kind::Native {
            self.entry.is_native();
        }
        let (sender, receiver) = channels.main.split();
        let fast = channels.fast.map(Channel::split);
        let (fast_sender, fast_receiver) = fast.unzip();
        let seat = Seat::new(sender, fast_sender);
        let ended = seat.ended.clone();
        let Some((room, conn)) =
            self.hub
                .rooms
                .join(&self.hub, &self.room, &self.name, channels.kind, seat)
        else {
            return;
        };
        let mut attendance = Attendance {
            link: self.link,
            entry: self.entry,
            receiver,
            fast: fast_receiver,
            pace: Pace::new(
                u32::MAX,
                u32::MAX,
                self.hub.limits.octet_rate,
                Instant::now(),
            ),
            paused: None,
        };
        let why = loop {
            match attendance.next(&ended).await {
                Next::Message(message, way) => {
                    Counts::add(&self.hub.counts.received);
                    let payload = match message {
                        Message::Text(text) => Payload::Text(text),
                        Message::Binary(bytes) => Payload::Bytes(bytes),
                    };
                    room.feed(&self.hub, |machine, now| {
                        machine.handle_message(conn, payload, way, now);
                    });
                }
                Next::Fast(sender) => room.add_fast(conn, sender),
                Next::Suspected(is) => room.feed(&self.hub, |machine, _| {
                    machine.handle_suspected(conn, is);
                }),
                Next::Over(why) => break why,
            }
        };
        room.leave(&self.hub, conn, why);
        // Its channels close when nobody has them any more; what waits in them is delivered first.
        let Attendance {
            mut link,
            entry,
            receiver,
            fast,
            ..
        } = attendance;
        drop((receiver, fast, entry));
        let _ = timeout(LINGER, async { while link.event().await.is_some() {} }).await;
    }

    /// Waits for the channel that makes a member.
    async fn opened(&mut self) -> Option<Channels> {
        let mut fast = None;
        loop {
            tokio::select! {
                event = self.link.event() => match event? {
                    LinkEvent::Open(channel) if channel.label() == FAST_LABEL => fast = Some(channel),
                    LinkEvent::Open(main) => {
                        let kind = if main.label() == LABEL { Kind::Native } else { Kind::Legacy };
                        return Some(Channels { kind, main, fast });
                    }
                    _ => {}
                },
                Some(candidate) = self.entry.candidates.recv() => {
                    self.link.add_candidate(&candidate).await.ok()?;
                }
                () = self.entry.left.cancelled() => return None,
            }
        }
    }
}

/// What a member is listened to by.
struct Attendance {
    link: Link,
    entry: Entry,
    receiver: ChannelReceiver,
    fast: Option<ChannelReceiver>,
    pace: Pace,
    /// It said so much that nothing is read before.
    paused: Option<Instant>,
}

enum Next {
    Message(Message, Way),
    Fast(peerage_peer::ChannelSender),
    Suspected(bool),
    Over(Closed),
}

impl Attendance {
    async fn next(&mut self, ended: &tokio_util::sync::CancellationToken) -> Next {
        loop {
            tokio::select! {
                message = self.receiver.recv(), if self.paused.is_none() => return match message {
                    Some(message) => self.heard(message, Way::Reliable),
                    None => Next::Over(self.over().await),
                },
                message = receive(&mut self.fast), if self.paused.is_none() => match message {
                    Some(message) => return self.heard(message, Way::Fast),
                    None => self.fast = None,
                },
                () = until(self.paused) => self.paused = None,
                event = self.link.event() => match event {
                    None => return Next::Over(self.over().await),
                    Some(LinkEvent::Silent) => return Next::Suspected(true),
                    Some(LinkEvent::Back) => return Next::Suspected(false),
                    Some(LinkEvent::Open(channel)) if channel.label() == FAST_LABEL && self.fast.is_none() => {
                        let (sender, receiver) = channel.split();
                        self.fast = Some(receiver);
                        return Next::Fast(sender);
                    }
                    // A channel that is for nothing is closed; candidates have no way to the member.
                    Some(_) => {}
                },
                Some(candidate) = self.entry.candidates.recv() => {
                    // An engine that has stopped ends the link as well.
                    let _ = self.link.add_candidate(&candidate).await;
                }
                () = self.entry.left.cancelled() => return Next::Over(Closed::Left),
                () = ended.cancelled() => return Next::Over(Closed::Left),
            }
        }
    }

    fn heard(&mut self, message: Message, way: Way) -> Next {
        self.paused = self.pace.spend(message.len(), Instant::now());
        Next::Message(message, way)
    }

    /// Why, as far as the connection knows, which may end a moment after its channel.
    async fn over(&mut self) -> Closed {
        let _ = timeout(A_MOMENT, async {
            while self.link.event().await.is_some() {}
        })
        .await;
        match self.link.closed() {
            None | Some(CloseReason::Remote) => Closed::Ended,
            Some(CloseReason::SlowPeer) => Closed::Slow,
            Some(_) => Closed::Lost,
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn receive(fast: &mut Option<ChannelReceiver>) -> Option<Message> {
    match fast {
        Some(fast) => fast.recv().await,
        None => std::future::pending().await,
    }
}
