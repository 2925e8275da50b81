//! Links whose descriptions the test carries, between two engines over loopback.
#![allow(clippy::unwrap_used)]

#[path = "../common/way.rs"]
mod way;

use std::time::Duration;

use peerage_peer::direct::{
    Addresses, ChannelInit, Direct, DirectConfig, DirectError, Link, LinkEvent,
};
use peerage_peer::{Batch, Channel, CloseReason, MAX_MESSAGE, Message, SendError, TrySendError};
use tokio::time::{Instant, timeout};

use way::Forwarder;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

fn config() -> DirectConfig {
    DirectConfig {
        addresses: Addresses::Loopback,
        ..DirectConfig::default()
    }
}

fn direct() -> Direct {
    Direct::open(config()).unwrap()
}

/// A link, and what has opened.
struct End {
    link: Link,
    channels: Vec<Channel>,
}

impl End {
    async fn opened(mut link: Link, count: usize) -> Self {
        let mut channels = Vec::new();
        while channels.len() < count {
            match soon(link.event()).await {
                Some(LinkEvent::Open(channel)) => channels.push(channel),
                Some(_) => {}
                None => panic!("closed: {:?}", link.closed()),
            }
        }
        Self { link, channels }
    }

    fn channel(&mut self, label: &str) -> &mut Channel {
        let mut all = self.channels.iter_mut();
        all.find(|channel| channel.label() == label).expect(label)
    }

    async fn closed(&mut self) -> CloseReason {
        while soon(self.link.event()).await.is_some() {}
        self.link.closed().expect("over")
    }
}

async fn join(member: &Direct, hub: &Direct, channels: &[ChannelInit]) -> [End; 2] {
    let (mut there, offer) = soon(member.offer(channels)).await.unwrap();
    let (here, answer) = soon(hub.answer(&offer)).await.unwrap();
    soon(there.accept(&answer)).await.unwrap();
    [
        End::opened(there, channels.len()).await,
        End::opened(here, channels.len()).await,
    ]
}

fn both() -> [ChannelInit; 2] {
    [ChannelInit::reliable("main"), ChannelInit::fast("fast")]
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

#[tokio::test]
async fn both_descriptions_are_complete_so_that_a_request_and_its_response_make_a_link() {
    let (member, hub) = (direct(), direct());
    let (mut there, offer) = soon(member.offer(&both())).await.unwrap();
    let (_here, answer) = soon(hub.answer(&offer)).await.unwrap();
    for description in [&offer, &answer] {
        assert!(description.ends_with("a=end-of-candidates\r\n"));
        assert_eq!(description.matches("m=").count(), 1);
        assert!(description.contains("a=candidate:"));
    }
    let port = format!(" 127.0.0.1 {} typ host", hub.port());
    assert!(answer.contains(&port), "{answer}");
    soon(there.accept(&answer)).await.unwrap();
    let again = soon(there.accept(&answer)).await;
    assert!(matches!(again, Err(DirectError::Over)));
    End::opened(there, 2).await;
}

#[tokio::test]
async fn a_reliable_and_a_fast_channel_carry_both_ways_apart() {
    let (member, hub) = (direct(), direct());
    let mut ends = join(&member, &hub, &both()).await;
    for (from, to) in [(0, 1), (1, 0)] {
        for label in ["main", "fast"] {
            let message = text(&format!("{label} from {from}"));
            let sender = ends[from].channel(label);
            assert_eq!(sender.is_reliable(), label == "main");
            soon(sender.send(message.clone())).await.unwrap();
            assert_eq!(soon(ends[to].channel(label).recv()).await, Some(message));
        }
    }
    let large = Message::Binary(vec![7; MAX_MESSAGE].into());
    let main = ends[0].channel("main");
    soon(main.send(large.clone())).await.unwrap();
    assert_eq!(soon(ends[1].channel("main").recv()).await, Some(large));
}

#[tokio::test]
async fn closing_one_channel_delivers_what_was_sent_and_leaves_the_other() {
    let (member, hub) = (direct(), direct());
    let [mut there, mut here] = join(&member, &hub, &both()).await;
    let gone = there.channels.swap_remove(1);
    let label = gone.label().to_owned();
    soon(gone.send(text("last"))).await.unwrap();
    drop(gone);
    let at = here.channels.iter().position(|it| it.label() == label);
    let mut end = here.channels.swap_remove(at.unwrap());
    assert_eq!(soon(end.recv()).await, Some(text("last")));
    assert_eq!(soon(end.recv()).await, None);
    soon(there.channels[0].send(text("still here")))
        .await
        .unwrap();
    let received = soon(here.channels[0].recv()).await;
    assert_eq!(received, Some(text("still here")));
    assert_eq!((there.link.closed(), here.link.closed()), (None, None));
    there.channels.clear();
    assert_eq!(here.closed().await, CloseReason::Remote);
    assert_eq!(there.closed().await, CloseReason::Local);
}

#[tokio::test]
async fn what_was_sent_before_the_last_channel_is_dropped_still_arrives() {
    let (member, hub) = (direct(), direct());
    let [mut there, mut here] = join(&member, &hub, &[ChannelInit::reliable("x")]).await;
    for number in 0..500 {
        let message = text(&number.to_string());
        soon(there.channels[0].send(message)).await.unwrap();
    }
    there.channels.clear();
    for number in 0..500 {
        let message = soon(here.channels[0].recv()).await;
        assert_eq!(message, Some(text(&number.to_string())));
    }
    assert_eq!(here.closed().await, CloseReason::Remote);
    assert_eq!(there.closed().await, CloseReason::Local);
}

#[tokio::test]
async fn dropping_a_link_ends_it_at_both_ends() {
    let (member, hub) = (direct(), direct());
    let [there, mut here] = join(&member, &hub, &both()).await;
    drop(there.link);
    assert_eq!(here.closed().await, CloseReason::Remote);
    assert_eq!(soon(here.channels[0].recv()).await, None);
}

#[tokio::test]
async fn stopping_tells_every_peer_and_refuses_what_comes_later() {
    let (member, hub) = (direct(), direct());
    let [_there, mut here] = join(&member, &hub, &both()).await;
    soon(member.stop()).await;
    assert_eq!(here.closed().await, CloseReason::Remote);
    let offered = soon(member.offer(&both())).await;
    assert!(matches!(offered, Err(DirectError::Stopped)));
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_told_of_and_then_lost_and_one_that_comes_back_is_kept() {
    let (silent, lost) = (Duration::from_millis(600), Duration::from_secs(2));
    let hub = Direct::open(DirectConfig {
        silent_after: silent,
        lost_after: lost,
        ..config()
    })
    .unwrap();
    let member = direct();
    let (mut there, offer) = soon(member.offer(&both())).await.unwrap();
    let (here, answer) = soon(hub.answer(&way::without_candidates(&offer)))
        .await
        .unwrap();
    let way = Forwarder::to(hub.port()).await;
    soon(there.accept(&way.led(&answer))).await.unwrap();
    let _there = End::opened(there, 2).await;
    let mut here = End::opened(here, 2).await;

    way.block(true);
    assert!(matches!(
        soon(here.link.event()).await,
        Some(LinkEvent::Silent)
    ));
    way.block(false);
    assert!(matches!(
        soon(here.link.event()).await,
        Some(LinkEvent::Back)
    ));

    way.block(true);
    let began = Instant::now();
    assert!(matches!(
        soon(here.link.event()).await,
        Some(LinkEvent::Silent)
    ));
    let noticed = began.elapsed();
    assert_eq!(here.closed().await, CloseReason::Lost);
    let ended = began.elapsed();
    assert!(noticed <= silent * 3, "{noticed:?}");
    assert!(ended > noticed && ended <= lost * 3, "{ended:?}");
}

#[tokio::test]
async fn a_link_that_nobody_comes_for_ends_without_a_route() {
    let hub = Direct::open(DirectConfig {
        open_within: Duration::from_millis(300),
        ..config()
    })
    .unwrap();
    let (_there, offer) = soon(direct().offer(&both())).await.unwrap();
    let (mut here, _) = soon(hub.answer(&offer)).await.unwrap();
    while soon(here.event()).await.is_some() {}
    assert_eq!(here.closed(), Some(CloseReason::NoRoute));
}

#[tokio::test]
async fn more_half_open_answers_than_allowed_are_refused_until_one_is_gone() {
    let hub = Direct::open(DirectConfig {
        half_open: 2,
        ..config()
    })
    .unwrap();
    let member = direct();
    let (mut there, offer) = soon(member.offer(&both())).await.unwrap();
    let (here, answer) = soon(hub.answer(&offer)).await.unwrap();
    let (_second, _) = soon(hub.answer(&offer)).await.unwrap();
    let third = soon(hub.answer(&offer)).await;
    assert!(matches!(third, Err(DirectError::Busy)));
    soon(there.accept(&answer)).await.unwrap();
    let _open = (End::opened(there, 2).await, End::opened(here, 2).await);
    assert!(
        soon(hub.answer(&offer)).await.is_ok(),
        "open is not half-open"
    );
}

#[tokio::test]
async fn nonsense_and_offers_without_a_data_channel_are_refused_with_a_reason() {
    let hub = direct();
    let (_link, offer) = soon(direct().offer(&both())).await.unwrap();
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let (_link, others) = soon(direct().offer(&both())).await.unwrap();
    let print = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("a=fingerprint"));
        line.unwrap().to_owned()
    };
    for refused in [
        String::new(),
        "v=0\r\n".into(),
        "\u{0}".repeat(100),
        "x".repeat(100_000),
        offer.replace(data, audio),
        offer.replace(data, &format!("{audio}{data}")),
        offer.replace("a=ice-pwd:", "a=ice-pwd:x y"),
        offer.replace("a=sctp-port:5000\r\n", ""),
        offer.replace(&print(&offer), "a=x"),
        format!("{offer}{}\r\n", print(&others)),
    ] {
        let answered = soon(hub.answer(&refused)).await;
        assert!(
            matches!(answered, Err(DirectError::Description(_))),
            "{refused}"
        );
    }
    assert!(soon(hub.answer(&offer)).await.is_ok());
}

#[tokio::test]
async fn a_peer_with_another_certificate_than_its_descriptions_is_not_let_in() {
    let (member, hub) = (direct(), direct());
    let (mut there, offer) = soon(member.offer(&both())).await.unwrap();
    let (_, others) = soon(direct().offer(&both())).await.unwrap();
    let print = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("a=fingerprint"));
        line.unwrap().to_owned()
    };
    let forged = offer.replace(&print(&offer), &print(&others));
    let (mut here, answer) = soon(hub.answer(&forged)).await.unwrap();
    soon(there.accept(&answer)).await.unwrap();
    while let Some(event) = soon(here.event()).await {
        assert!(!matches!(event, LinkEvent::Open(_)));
    }
    assert_eq!(here.closed(), Some(CloseReason::WrongCertificate));
}

#[tokio::test]
async fn channels_beyond_the_limit_are_closed_and_offers_have_some_but_not_many() {
    let hub = Direct::open(DirectConfig {
        channels: 2,
        ..config()
    })
    .unwrap();
    let member = direct();
    let three = ["a", "b", "c"].map(ChannelInit::reliable);
    let (mut there, offer) = soon(member.offer(&three)).await.unwrap();
    let (here, answer) = soon(hub.answer(&offer)).await.unwrap();
    soon(there.accept(&answer)).await.unwrap();
    let mut there = End::opened(there, 3).await;
    let _here = End::opened(here, 2).await;
    let closed = there.channels.iter_mut().map(|channel| channel.recv());
    let ((), at, _) = futures_util::future::select_all(closed.map(|end| {
        Box::pin(async {
            assert_eq!(soon(end).await, None);
        })
    }))
    .await;
    assert_eq!(there.channels[at].label(), "c");
    assert_eq!(there.link.closed(), None);

    let none = soon(member.offer(&[])).await;
    assert!(matches!(none, Err(DirectError::Channels)));
    let many: Vec<_> = (0..17).map(|n| ChannelInit::fast(n.to_string())).collect();
    let many = soon(member.offer(&many)).await;
    assert!(matches!(many, Err(DirectError::Channels)));
    let long = soon(member.offer(&[ChannelInit::fast("x".repeat(513))])).await;
    assert!(matches!(long, Err(DirectError::Label(513))));
}

#[tokio::test]
async fn a_member_that_takes_nothing_fills_its_own_queue_alone() {
    let hub = Direct::open(DirectConfig {
        queue: 100_000,
        ..config()
    })
    .unwrap();
    let member = direct();
    // One that reads nothing: its own queue is full at some time, and then so is the hub's for it.
    let idle = Direct::open(DirectConfig {
        receive_queue: 10_000,
        ..config()
    })
    .unwrap();
    let x = [ChannelInit::reliable("x")];
    let [_slow, to_slow] = join(&idle, &hub, &x).await;
    let [mut quick, to_quick] = join(&member, &hub, &x).await;
    let senders = [to_slow, to_quick].map(|mut end| {
        let channel = end.channels.remove(0);
        (end.link, channel.split().0)
    });
    let message = Message::Binary(vec![1; 10_000].into());
    let mut batch = Batch::default();
    let mut refused = 0;
    for _ in 0..1_000 {
        match batch.try_send(&senders[0].1, message.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        batch.try_send(&senders[1].1, message.clone()).unwrap();
        batch.flush();
        assert_eq!(soon(quick.channels[0].recv()).await, Some(message.clone()));
    }
    assert!(refused > 900, "{refused}");
    senders[1].1.close();
    let closed = senders[1].1.try_send(message);
    assert_eq!(closed, Err(SendError::Closed.into()));
}

#[tokio::test]
async fn many_links_share_the_port_of_answers_and_offers_have_ports_of_their_own() {
    let (member, hub) = (direct(), direct());
    let mut links = Vec::new();
    for number in 0..20 {
        let label = number.to_string();
        let [there, here] = join(&member, &hub, &[ChannelInit::reliable(&*label)]).await;
        links.push((label, there, here));
    }
    for (label, there, here) in &mut links {
        let message = text(label);
        soon(here.channel(label).send(message.clone()))
            .await
            .unwrap();
        assert_eq!(soon(there.channel(label).recv()).await, Some(message));
    }
}
