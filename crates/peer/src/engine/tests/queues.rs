//! Messages that wait for a peer, and channels that close behind them; in virtual time.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::FutureExt;

use super::world::{World, numbered, secs};
use crate::connection::CloseReason;
use crate::engine::conn::Sink;
use crate::engine::flow::Queues;
use crate::{Channel, Message};

/// For what the peer must take.
const AFTER: u64 = 10;

fn impatient() -> World {
    World::connected_with(Queues {
        untaken_after: Some(secs(AFTER)),
        ..Queues::default()
    })
}

fn fill(world: &mut World) {
    while world.send(0, numbered(0, 60_000)) {}
}

/// A network that carries so many large datagrams in a second, to readers that take everything. Whether the sender has lost its patience in that time.
fn gives_up(datagrams: u32, seconds: u64) -> bool {
    let mut world = impatient();
    let left = Rc::new(Cell::new(0_u32));
    let budget = left.clone();
    world.weather = Box::new(move |datagram| {
        if datagram.len() < 500 {
            return vec![datagram.to_vec()];
        }
        let Some(less) = budget.get().checked_sub(1) else {
            return vec![];
        };
        budget.set(less);
        vec![datagram.to_vec()]
    });
    for _ in 0..seconds {
        left.set(datagrams);
        let over = world.run(secs(1), |world| {
            fill(world);
            while world.received(1).is_some() {}
            world.reason(0).is_some()
        });
        if over {
            assert_eq!(world.reason(0), Some(CloseReason::SlowPeer));
            return true;
        }
    }
    false
}

#[test]
fn a_peer_that_takes_nothing_while_messages_wait_is_let_go_as_slow() {
    let mut world = impatient();
    let begun = world.now;
    assert!(world.run(secs(60), |world| {
        fill(world);
        world.reason(0).is_some()
    }));
    assert_eq!(world.reason(0), Some(CloseReason::SlowPeer));
    let lasted = world.now - begun;
    assert!(
        lasted >= secs(AFTER) && lasted < secs(2 * AFTER),
        "{lasted:?}"
    );
    assert!(!world.send(0, numbered(0, 100)), "nothing waits any more");
    assert!(world.run(secs(5), |world| world.reason(1).is_some()));
}

#[test]
fn a_peer_that_takes_a_little_is_slow_and_one_that_takes_more_is_not() {
    assert!(gives_up(5, 40));
    assert!(!gives_up(60, 60));
}

#[test]
fn a_peer_that_owes_nothing_has_all_the_time() {
    let mut world = impatient();
    // As much as SCTP has room for.
    assert!(world.send(0, numbered(0, 60_000)));
    assert!(world.send(0, numbered(1, 60_000)));
    world.weather = Box::new(|datagram| match datagram.len() {
        0..200 => vec![datagram.to_vec()],
        _ => vec![],
    });
    assert!(!world.run(secs(20), |world| world.reason(0).is_some()));
    world.weather = Box::new(super::world::clear);
    assert!(world.run(secs(60), |world| world.received(1).is_some()));
    // And whoever has caught up has it anew.
    assert!(!world.run(secs(60), |world| {
        let _ = world.received(1);
        world.reason(0).is_some()
    }));
}

#[test]
fn what_is_sent_just_before_its_channel_closes_is_delivered() {
    let mut world = World::connected_with(Queues {
        channels: 2,
        ..Queues::default()
    });
    let last = world.ends[0].others.pop().expect("open");
    assert!(matches!(
        last.send(numbered(7, 100)).now_or_never(),
        Some(Ok(()))
    ));
    drop(last);
    // The engine writes before it is told.
    world.act(0, |_, _| {});
    assert!(world.run(secs(5), |world| {
        let there = &mut world.ends[1];
        let all = there.channel.iter_mut().chain(&mut there.others);
        all.filter_map(|it| it.recv().now_or_never().flatten())
            .any(|it| it == numbered(7, 100))
    }));
    assert_eq!(world.reason(0), None, "the other channel lives on");
}

/// Sends a last message and closes, in the middle of what the engine does.
struct Interrupting {
    last: Option<(Channel, Message)>,
    sent: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Sink for Interrupting {
    fn send(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8], _: bool) {
        self.sent.push((source, destination, datagram.to_vec()));
        if let Some((channel, message)) = self.last.take() {
            let sent = channel.send(message).now_or_never();
            assert!(matches!(sent, Some(Ok(()))));
        }
    }
}

#[test]
fn what_is_sent_just_before_the_last_channel_closes_is_delivered() {
    let mut world = World::connected_with(Queues::default());
    // A reader that lags, so that datagrams are held back.
    world.run(secs(5), |world| {
        while world.send(1, numbered(0, 60_000)) {}
        false
    });
    let mut channel = world.ends[0].channel.take().expect("open");
    while channel.recv().now_or_never().flatten().is_some() {}
    let mut sink = Interrupting {
        last: Some((channel, numbered(7, 100))),
        sent: Vec::new(),
    };
    let now = world.now;
    let here = &mut world.ends[0];
    here.conn.pipes_changed(&mut sink, now);
    here.due = here.conn.drive(&mut sink, now);
    assert!(sink.last.is_none(), "in the middle");
    world.network.extend(
        sink.sent
            .into_iter()
            .map(|(source, destination, datagram)| (1, source, destination, datagram)),
    );
    assert!(world.run(secs(5), |world| {
        std::iter::from_fn(|| world.received(1)).any(|it| it == numbered(7, 100))
    }));
}
