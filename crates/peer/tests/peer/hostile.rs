//! A peer that was let in and means ill: what it sends costs bounded memory, and disturbs no other connection.

use std::time::Duration;

use bytes::Bytes;
use peerage_peer::{
    Channel, ConnectOptions, Connection, Limits, Message, Peer, RecvError, Serialization, Value,
};
use peerage_proto::wire::chunk::Chunk;

use super::relay::Relay;
use super::{soon, speak, stock_peer, text};

/// A victim, its connection with a hostile peer, and one with a friend.
struct Victim {
    _relay: Relay,
    _peers: [Peer; 3],
    hostile: Channel,
    here: Connection,
    friend: (Connection, Connection),
}

impl Victim {
    async fn new(serialization: Serialization) -> Self {
        let relay = Relay::start().await;
        let builder = Peer::builder()
            .server(relay.url())
            .allow_unverified(true)
            .limits(Limits {
                message: 1024 * 1024,
                ..Limits::default()
            });
        let victim = soon(builder.open()).await.unwrap();
        let (mallory, alice) = (
            stock_peer(&relay, "mallory").await,
            stock_peer(&relay, "alice").await,
        );
        let options = ConnectOptions {
            serialization,
            ..ConnectOptions::default()
        };
        let hostile = soon(mallory.connect(victim.id(), options)).await.unwrap();
        let here = soon(victim.incoming()).await.unwrap();
        let friend = soon(alice.connect(victim.id(), ConnectOptions::default()))
            .await
            .unwrap();
        let friend = (friend, soon(victim.incoming()).await.unwrap());
        Self {
            _relay: relay,
            _peers: [victim, mallory, alice],
            hostile: hostile.into_channel(),
            here,
            friend,
        }
    }

    async fn send(&self, message: Vec<u8>) {
        soon(self.hostile.send(Message::Binary(message.into())))
            .await
            .unwrap();
    }

    async fn next(&self) -> Result<Value, RecvError> {
        soon(self.here.recv()).await.unwrap()
    }

    /// The connection still works, and so does the friend's.
    async fn goes_on(&mut self) {
        self.send(b"\xb3end".to_vec()).await;
        loop {
            match self.next().await {
                Ok(value) => {
                    assert_eq!(value, text("end"));
                    break;
                }
                Err(RecvError::Malformed(_) | RecvError::Dropped(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let (there, here) = &mut self.friend;
        speak(there, here).await;
    }
}

fn slice(id: u64, index: u32, total: u32, octets: usize) -> Vec<u8> {
    let data = Bytes::from(vec![0; octets]);
    let chunk = Chunk {
        id,
        index,
        total,
        data,
    };
    chunk.emit()
}

#[tokio::test]
async fn malformed_values_are_told_and_the_connection_goes_on() {
    let mut victim = Victim::new(Serialization::Binary).await;
    let deep = vec![0x91; 10_000];
    for bad in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdb\xff\xff\xff\xff",
        b"\xc4",
        b"\x92\x01",
        b"\x01\x01",
        b"\xb1\xff",
        b"\x81\xba__peerData\x01",
        &deep,
    ] {
        victim.send(bad.to_vec()).await;
        assert!(matches!(victim.next().await, Err(RecvError::Malformed(_))));
    }
    victim
        .hostile
        .send(Message::Text("text".into()))
        .await
        .unwrap();
    assert!(matches!(victim.next().await, Err(RecvError::Malformed(_))));
    victim.goes_on().await;
}

#[tokio::test]
async fn slices_without_end_are_given_up_and_absurd_totals_cost_nothing() {
    let mut victim = Victim::new(Serialization::Binary).await;
    // 80 times a mebibyte is allowed; what is beyond is dropped as it comes.
    let here = victim.here.clone();
    let reading = tokio::spawn(async move {
        let mut dropped = 0;
        loop {
            match here.recv().await {
                Some(Err(RecvError::Dropped(_))) => dropped += 1,
                Some(Ok(value)) if value == text("last") => return dropped,
                other => panic!("{other:?}"),
            }
        }
    });
    for index in 0..100 {
        victim.send(slice(1, index, u32::MAX, 16_300)).await;
    }
    for id in 2..300 {
        victim.send(slice(id, u32::MAX - 1, u32::MAX, 16_300)).await;
    }
    for id in 300..1_300 {
        victim.send(slice(id, 0, 2, 1)).await;
    }
    for _ in 0..100 {
        victim.send(slice(5_000, 0, 2, 100)).await;
    }
    victim.send(b"\xb4last".to_vec()).await;
    let dropped = soon(reading).await.unwrap();
    assert!(dropped > 1_000, "{dropped}");
    victim.goes_on().await;
}

#[tokio::test]
async fn a_messagepack_stream_that_makes_no_sense_closes_its_connection_and_no_other() {
    let mut victim = Victim::new(Serialization::MsgPack).await;
    victim.send(b"\xc1".to_vec()).await;
    assert!(matches!(victim.next().await, Err(RecvError::Malformed(_))));
    assert_eq!(soon(victim.here.recv()).await, None);
    soon(victim.here.closed()).await;
    let (there, here) = &mut victim.friend;
    speak(there, here).await;
}

#[tokio::test]
async fn a_peer_that_never_reads_stops_its_own_sender_alone() {
    let mut victim = Victim::new(Serialization::Binary).await;
    let piece = vec![7_u8; 16_000];
    let stuck = soon(async {
        for _ in 0..2_000 {
            if tokio::time::timeout(Duration::from_secs(1), victim.here.send(piece.clone()))
                .await
                .is_err()
            {
                return true;
            }
        }
        false
    })
    .await;
    assert!(stuck, "32 MB went to nobody");
    let (there, here) = &mut victim.friend;
    speak(there, here).await;
    let (sent, value) = tokio::join!(there.send(vec![1_u8; 2_000_000]), async {
        here.recv().await
    });
    sent.unwrap();
    assert!(
        matches!(value, Some(Err(RecvError::Dropped(_)))),
        "above the limit"
    );
}
