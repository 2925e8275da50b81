//! Values on a connection: every serialization, large ones, several at once.

use std::time::Duration;

use bytes::Bytes;
use peerage_peer::{
    ConnectOptions, Connection, Decoder, Incoming, Limits, Message, Peer, RecvError, SendError,
    Serialization, Serializer, SerializerError, StreamError, TrySendError, Value,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::relay::Relay;
use super::{soon, text};

const MIB: usize = 1024 * 1024;

/// Two peers and a connection between them; `limits` are those of both.
struct Pair {
    _relay: Relay,
    _peers: [Peer; 2],
    there: Connection,
    here: Connection,
}

impl Pair {
    async fn new(serialization: Serialization) -> Self {
        Self::with(serialization, Limits::default()).await
    }

    async fn with(serialization: Serialization, limits: Limits) -> Self {
        let relay = Relay::start().await;
        let builder = || {
            Peer::builder()
                .server(relay.url())
                .allow_unverified(true)
                .serializer(Loud)
                .limits(limits)
        };
        let (a, b) = (
            soon(builder().open()).await.unwrap(),
            soon(builder().open()).await.unwrap(),
        );
        let options = ConnectOptions {
            serialization,
            ordered: false,
            ..ConnectOptions::default()
        };
        let there = soon(a.connect(b.id(), options)).await.unwrap();
        let here = soon(b.incoming()).await.unwrap();
        Self {
            _relay: relay,
            _peers: [a, b],
            there,
            here,
        }
    }
}

async fn heard(connection: &Connection) -> Value {
    soon(connection.recv()).await.unwrap().unwrap()
}

/// Octets that show where each came from.
fn pattern(octets: usize) -> Bytes {
    (0..octets).map(|n| (n % 251) as u8).collect()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    value: f64,
    tags: Vec<String>,
}

#[tokio::test]
async fn every_serialization_of_peerjs_carries_values_both_ways() {
    for serialization in [
        Serialization::Binary,
        Serialization::Json,
        Serialization::MsgPack,
    ] {
        let Pair { there, here, .. } = &Pair::new(serialization.clone()).await;
        let reading = Reading {
            sensor: "roof ☀".into(),
            value: -12.5,
            tags: vec!["a".into(), String::new()],
        };
        there.send_as(&reading).await.unwrap();
        assert_eq!(
            soon(here.recv_as::<Reading>()).await.unwrap().unwrap(),
            reading
        );
        for value in [
            Value::Null,
            true.into(),
            Value::from(-3_000_000_000_i64),
            text(""),
            Value::Array(vec![1.into(), Value::Null]),
        ] {
            here.send(value.clone()).await.unwrap();
            assert_eq!(heard(there).await, value, "{serialization:?}");
        }
        there.send("not a reading").await.unwrap();
        assert!(matches!(
            soon(here.recv_as::<Reading>()).await,
            Some(Err(RecvError::Type(_)))
        ));
        if serialization != Serialization::Json {
            let (sent, value) = tokio::join!(there.send(pattern(9 * MIB)), heard(here));
            sent.unwrap();
            assert_eq!(value, Value::Bytes(pattern(9 * MIB)));
        }
    }
}

#[tokio::test]
async fn a_large_value_keeps_no_small_one_waiting() {
    let Pair { there, here, .. } = &Pair::new(Serialization::Binary).await;
    let large = tokio::spawn({
        let there = there.clone();
        async move { there.send(pattern(40 * MIB)).await }
    });
    // It is under way when its slices have filled what this side may hold.
    soon(async {
        while there.try_send("probe") != Err(TrySendError::Full) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let until_small = async {
        loop {
            let value = heard(here).await;
            assert_ne!(
                value.as_bytes().map(Bytes::len),
                Some(40 * MIB),
                "it was overtaken by the large one"
            );
            if value == text("small") {
                break;
            }
        }
    };
    let (sent, ()) = tokio::join!(there.send("small"), until_small);
    sent.unwrap();
    assert!(!large.is_finished());
    assert_eq!(heard(here).await, Value::Bytes(pattern(40 * MIB)));
    soon(large).await.unwrap().unwrap();
}

#[tokio::test]
async fn sending_waits_for_a_reader_that_is_behind_and_try_send_refuses() {
    let Pair { there, here, .. } = &Pair::new(Serialization::Binary).await;
    let piece = pattern(16_000);
    let mut sent = 0;
    let full = soon(async {
        loop {
            match tokio::time::timeout(Duration::from_secs(1), there.send(piece.clone())).await {
                Ok(done) => done.unwrap(),
                // A sender that waits lets the queue run half empty first; who does not wait may fill it up.
                Err(_) => match there.try_send(piece.clone()) {
                    Ok(()) => {}
                    refused => return refused,
                },
            }
            sent += 1;
        }
    })
    .await;
    assert_eq!(full, Err(TrySendError::Full));
    assert!(sent * piece.len() < 8 * MIB, "{sent} were taken");
    for _ in 0..sent {
        assert_eq!(heard(here).await, Value::Bytes(piece.clone()));
    }
    assert_eq!(
        there.try_send(pattern(16_300)),
        Err(TrySendError::Refused(SendError::TooLarge {
            size: 16_303,
            limit: 16_300
        }))
    );
    soon(there.send("again")).await.unwrap();
    assert_eq!(heard(here).await, text("again"));
}

#[tokio::test]
async fn who_answers_each_message_before_reading_the_next_is_never_stuck() {
    let Pair { there, here, .. } = &Pair::new(Serialization::Raw).await;
    let piece = pattern(16_000);
    let mut sent = 0;
    // Until the reader's queue is full, and its peer gets no acknowledgements any more.
    while let Ok(done) =
        tokio::time::timeout(Duration::from_secs(1), there.send(piece.clone())).await
    {
        done.unwrap();
        sent += 1;
    }
    let answering = async {
        for _ in 0..sent {
            here.send(heard(here).await).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..sent {
            assert_eq!(heard(there).await, Value::Bytes(piece.clone()));
        }
    };
    soon(async { tokio::join!(answering, receiving) }).await;
}

fn begun(next: Option<Result<Incoming, RecvError>>) -> peerage_peer::ByteStream {
    match next {
        Some(Ok(Incoming::Stream(stream))) => stream,
        other => panic!("{other:?}"),
    }
}

const STREAMED: Limits = Limits {
    message: 256 * MIB,
    stream_from: Some(MIB),
};

#[tokio::test]
async fn streams_go_from_a_reader_to_a_reader() {
    let Pair { there, here, .. } = &Pair::with(Serialization::Binary, STREAMED).await;
    let (sender, length) = (there.clone(), 300 * MIB as u64);
    let sending = tokio::spawn(async move {
        let source = tokio::io::repeat(7).take(length);
        sender.send_stream(length, source).await
    });
    let stream = begun(soon(here.next()).await);
    assert_eq!((stream.length(), stream.is_text()), (length, false));
    let (mut reader, mut read, mut buffer) = (Box::pin(stream.into_reader()), 0, vec![0; 65_536]);
    loop {
        let count = soon(reader.read(&mut buffer)).await.unwrap();
        if count == 0 {
            break;
        }
        assert!(buffer[..count].iter().all(|octet| *octet == 7));
        read += count as u64;
    }
    assert_eq!(read, length);
    soon(sending).await.unwrap().unwrap();
    // Below the threshold a value is a value; and one above is, to who asks for values.
    there.send(pattern(MIB / 2)).await.unwrap();
    assert_eq!(heard(here).await, Value::Bytes(pattern(MIB / 2)));
    there.send("x".repeat(2 * MIB)).await.unwrap();
    assert_eq!(heard(here).await, text(&"x".repeat(2 * MIB)));
}

#[tokio::test]
async fn a_stream_that_is_dropped_or_breaks_off_holds_nobody_up() {
    let Pair { there, here, .. } = &Pair::with(Serialization::Binary, STREAMED).await;
    let sending = tokio::spawn({
        let there = there.clone();
        async move {
            there.send(pattern(20 * MIB)).await?;
            there.send("after").await
        }
    });
    drop(begun(soon(here.next()).await));
    assert_eq!(heard(here).await, text("after"));
    soon(sending).await.unwrap().unwrap();

    let source = tokio::io::repeat(7).take(2 * MIB as u64);
    assert_eq!(
        there.send_stream(4 * MIB as u64, source).await,
        Err(SendError::Source(std::io::ErrorKind::UnexpectedEof))
    );
    let mut stream = begun(soon(here.next()).await);
    there.close();
    let mut last = None;
    while let Some(piece) = soon(stream.next()).await {
        last = Some(piece);
    }
    assert_eq!(last, Some(Err(StreamError::Closed)));
    assert_eq!(soon(here.recv()).await, None);
}

#[tokio::test]
async fn the_word_of_peerjs_that_everything_was_said_closes() {
    for serialization in [Serialization::Binary, Serialization::Json] {
        let Pair { there, here, .. } = Pair::new(serialization.clone()).await;
        let mut there = there.into_channel();
        let marker: &[u8] = match serialization {
            Serialization::Json => br#"{"__peerData":{"type":"close"}}"#,
            _ => b"\x81\xba__peerData\x81\xb4type\xb5close",
        };
        there
            .send(Message::Binary(Bytes::copy_from_slice(marker)))
            .await
            .unwrap();
        assert_eq!(soon(here.recv()).await, None);
        soon(here.closed()).await;
        assert_eq!(soon(there.recv()).await, None);
    }
}

/// Text in capitals.
struct Loud;

impl Serializer for Loud {
    fn name(&self) -> &str {
        "loud"
    }

    fn encode(&self, value: &Value) -> Result<Vec<Message>, SerializerError> {
        let text = value.as_str().ok_or("text alone is loud")?;
        Ok(vec![Message::Text(text.to_uppercase().into())])
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(Self)
    }
}

impl Decoder for Loud {
    fn decode(&mut self, message: Message) -> Result<Vec<Value>, SerializerError> {
        match message {
            Message::Text(text) => Ok(vec![String::from(text).into()]),
            Message::Binary(_) => Err("bytes are silent".into()),
        }
    }
}

#[tokio::test]
async fn an_applications_own_serialization_is_spoken_by_both() {
    let loud = Serialization::Custom("loud".into());
    let pair = Pair::new(loud.clone()).await;
    let (there, here) = (pair.there.clone(), pair.here.clone());
    assert_eq!(here.serialization(), &loud);
    there.send("hello").await.unwrap();
    assert_eq!(heard(&here).await, text("HELLO"));
    assert_eq!(
        there.send(1).await,
        Err(SendError::Encode("text alone is loud".into()))
    );
    let there = there.into_channel();
    there
        .send(Message::Binary(Bytes::from_static(b"?")))
        .await
        .unwrap();
    assert_eq!(
        soon(here.recv()).await,
        Some(Err(RecvError::Malformed("bytes are silent".into())))
    );
}
