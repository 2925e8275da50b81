//! One port's gatherer beside a TURN server, turned by hand: what comes of things that happen within one turn of the driver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::super::gather::{Action, Found, Gatherer, Policy};
use super::super::outside::{LegId, News, Outside};
use super::super::port::Receiver;
use super::super::servers::Servers;
use super::super::*;
use super::turn_server::TurnServer;

const SOON: Duration = Duration::from_secs(10);
const BELL: Token = Token(usize::MAX);

struct Bench {
    gatherer: Gatherer,
    poll: Poll,
    outside: Outside,
    news: mpsc::Receiver<News>,
    receiver: Receiver,
}

impl Bench {
    fn new(server: &TurnServer) -> Self {
        let poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), BELL).expect("a waker");
        let (outside, news) = Outside::new(Arc::new(Bell::new(waker)), Roots::default());
        let registry = poll.registry().try_clone().expect("a registry");
        let policy = Policy {
            relay_only: true,
            linger: SOON,
        };
        let servers = Arc::new(Servers::new(&server.over_udp("ann")));
        Self {
            gatherer: Gatherer::new(0, registry, servers, policy),
            poll,
            outside,
            news,
            receiver: Receiver::new(),
        }
    }

    /// One turn: reads, does `then`, and only then lets the gatherer do what is due. Returns what it wants done.
    fn turn(&mut self, then: impl FnOnce(&mut Gatherer)) -> Vec<Action> {
        let mut events = Events::with_capacity(16);
        self.poll
            .poll(&mut events, Some(Duration::from_millis(20)))
            .expect("polled");
        for id in events
            .iter()
            .filter_map(|event| LegId::of_token(event.token()))
        {
            if let Some(socket) = self.gatherer.leg(id).and_then(|leg| leg.socket()) {
                socket.set_readable();
            }
        }
        while let Ok(news) = self.news.try_recv() {
            if let News::Resolved { round, found, .. } = news {
                self.gatherer.resolved(round, found, Instant::now());
            }
        }
        let now = Instant::now();
        for leg in self.gatherer.readable() {
            self.gatherer.receive(leg, &mut self.receiver);
            for (source, _, datagram) in self.receiver.datagrams() {
                let _ = self.gatherer.received(leg, source, datagram, now);
            }
        }
        then(&mut self.gatherer);
        self.gatherer.handle_timeout(&mut self.outside, now);
        self.gatherer.flush();
        std::iter::from_fn(|| self.gatherer.poll_output()).collect()
    }

    /// Turns until the gatherer says something of a relay.
    fn relay(&mut self, mut then: impl FnMut(&mut Gatherer)) -> Action {
        let until = Instant::now() + SOON;
        while Instant::now() < until {
            let mut actions = self.turn(&mut then).into_iter();
            let of_relay = |action: &Action| {
                matches!(
                    action,
                    Action::Found(Found::Relayed { .. }) | Action::Lost(Found::Relayed { .. })
                )
            };
            if let Some(action) = actions.find(of_relay) {
                return action;
            }
        }
        panic!("nothing of a relay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_gone_is_told_although_data_is_sent_through_it_in_the_same_turn() {
    let server = TurnServer::start().await;
    let mut bench = Bench::new(&server);
    bench
        .gatherer
        .join(ConnId(1), &mut bench.outside, Instant::now());
    let Action::Found(Found::Relayed { address, .. }) = bench.relay(|_| {}) else {
        panic!("lost before it was found");
    };
    server.restart();
    // The next connection asks whether it is there still.
    bench
        .gatherer
        .join(ConnId(2), &mut bench.outside, Instant::now());
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let told = bench.relay(|gatherer| {
        gatherer.send(address, peer, b"data", true, Instant::now());
    });
    assert!(matches!(told, Action::Lost(Found::Relayed { address: lost, .. }) if lost == address));
    let again = bench.relay(|_| {});
    assert!(matches!(again, Action::Found(Found::Relayed { .. })));
}
