//! What a socket does not take: more than its reader does, messages above the limits, and what is no WebSocket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::Request;
use hyper::service::service_fn;
use peerage_peer::{
    Channel, Message,
    http::{
        Body, Client, Error, MAX_SOCKET_MESSAGE, Received, ResetCode, Upgrade, WebSocket,
        serve_with,
    },
};
use peerage_proto::wire::http::{Fields, Frame, Frames, Head, Hello, Request as WireRequest};
use tokio::sync::mpsc;

use super::{SOCKETS, close, echo, noise, opened, sockets};
use crate::service::{fixed, soon};

#[tokio::test]
async fn who_does_not_receive_is_sent_a_window_and_a_queue_and_no_more() {
    let sent = Arc::new(AtomicUsize::new(0));
    let client = sockets({
        let sent = sent.clone();
        move |mut socket| {
            let sent = sent.clone();
            async move {
                while socket.send(Message::Binary(noise(10_000))).await.is_ok() {
                    sent.fetch_add(10_000, Ordering::SeqCst);
                }
            }
        }
    });
    let mut socket = opened(&client).await;
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    assert!(before <= 2 * 65_536, "{before} octets were sent to nobody");
    for _ in 0..100 {
        let received = soon(socket.recv()).await.unwrap();
        assert_eq!(received, Received::Message(Message::Binary(noise(10_000))));
    }
}

/// Where a message is too much: at the service, its caller reads why; at the caller, the service hears the code.
#[tokio::test]
async fn a_message_above_the_limit_closes_the_socket_as_too_large() {
    let (ended, mut ends) = mpsc::channel(1);
    let client = sockets(move |mut socket| {
        let ended = ended.clone();
        async move {
            let received = socket.recv().await.map(|_| ());
            ended.send(received).await.unwrap();
        }
    });
    let (mut sender, mut receiver) = opened(&client).await.split();
    let long = Message::Binary(Bytes::from(vec![0; MAX_SOCKET_MESSAGE + (1 << 20)]));
    let (sent, received) = soon(futures_util::future::join(
        sender.send(long.clone()),
        receiver.recv(),
    ))
    .await;
    assert!(sent.is_err());
    assert_eq!(
        received.unwrap(),
        Received::Close(close(1009, "a message above 16 MiB"))
    );
    let refused = soon(ends.recv()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), ResetCode::TooLarge);

    let (ended, mut ends) = mpsc::channel(1);
    let client = sockets(move |mut socket| {
        let (ended, long) = (ended.clone(), long.clone());
        async move { ended.send(socket.send(long).await).await.unwrap() }
    });
    let mut socket = opened(&client).await;
    assert_eq!(
        soon(socket.recv()).await.unwrap_err().code(),
        ResetCode::TooLarge
    );
    let heard = soon(ends.recv()).await.unwrap().unwrap_err();
    assert_eq!(heard.code(), ResetCode::TooLarge);
}

#[tokio::test]
async fn unfinished_messages_of_a_link_have_a_limit_together_and_give_their_room_back() {
    let client = sockets(|mut socket| async move {
        if let Ok(Received::Message(message)) = socket.recv().await {
            let octets = Message::Text(message.len().to_string().into());
            // Its requester may be gone.
            let _ = socket.send(octets).await;
            let _ = socket.close(None).await;
        }
    });
    const OCTETS: usize = 15 << 20;
    let ask = |client: Client| async move {
        let (mut sender, mut receiver) = opened(&client).await.split();
        let message = Message::Binary(Bytes::from_static(&[0; OCTETS]));
        let (_, received) = futures_util::future::join(sender.send(message), receiver.recv()).await;
        received.unwrap()
    };
    // They take turns, so five grow together to 75 MiB before one is complete.
    let asked = join_all((0..5).map(|_| ask(client.clone())));
    let answers = tokio::time::timeout(Duration::from_secs(60), asked)
        .await
        .unwrap();
    let whole = Received::Message(Message::Text(OCTETS.to_string().into()));
    let refused = Received::Close(close(1009, "too many large messages at once"));
    assert!(answers.contains(&refused), "{answers:?}");
    let others = answers.iter().filter(|answer| **answer != refused);
    assert!(others.clone().count() > 0 && others.clone().all(|answer| *answer == whole));
    for _ in 0..5 {
        assert_eq!(soon(ask(client.clone())).await, whole);
    }
}

/// Speaks frames instead of messages, to say what no sender of ours says.
struct Bare {
    channel: Channel,
}

impl Bare {
    /// Opens a WebSocket as exchange 1, at a service that runs `run`.
    async fn open<F, R>(run: F) -> Self
    where
        F: Fn(WebSocket) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (caller, callee) = Channel::pair("peerage-http");
        let service = service_fn(move |request: Request<Body>| {
            let run = run.clone();
            async move {
                Ok::<_, Error>(
                    Upgrade::of(&request)
                        .unwrap()
                        .accept(run)
                        .map(|()| fixed("")),
                )
            }
        });
        tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
        let mut bare = Self { channel: caller };
        let request = Head::Request(WireRequest::WebSocket {
            path: "/".into(),
            fields: Fields::new(),
        });
        bare.send([
            Frame::Hello(Hello::default()),
            Frame::Head {
                id: 1,
                end: false,
                more: false,
                block: request.emit().unwrap(),
            },
        ])
        .await;
        bare
    }

    async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut message = BytesMut::new();
        frames
            .into_iter()
            .for_each(|frame| frame.emit(&mut message));
        let message = Message::Binary(message.freeze());
        soon(self.channel.send(message)).await.unwrap();
    }

    /// The next frame that is a DATA or a RESET.
    async fn next(&mut self) -> Frame {
        loop {
            let Some(Message::Binary(message)) = soon(self.channel.recv()).await else {
                panic!("the link closed");
            };
            let frames = Frames::new(message).unwrap();
            for frame in frames {
                let frame = frame.unwrap();
                if matches!(frame, Frame::Data { .. } | Frame::Reset { .. }) {
                    return frame;
                }
            }
        }
    }
}

fn data(bytes: &'static [u8], end: bool, fin: bool, text: bool) -> Frame {
    Frame::Data {
        id: 1,
        end,
        fin,
        text,
        bytes: Bytes::from_static(bytes),
    }
}

#[tokio::test]
async fn text_that_is_no_utf8_closes_the_socket_and_is_never_handed_over() {
    let (ended, mut ends) = mpsc::channel(1);
    let mut bare = Bare::open(move |mut socket| {
        let ended = ended.clone();
        async move { ended.send(socket.recv().await).await.unwrap() }
    })
    .await;
    // Cut within a letter, which is fine, and then broken off within another.
    bare.send([
        data(b"gr\xc3", false, false, true),
        data(b"\xbc\xc3", false, true, true),
    ])
    .await;
    let refused = soon(ends.recv()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), ResetCode::Malformed);
    match bare.next().await {
        Frame::Data { end, bytes, .. } => {
            assert!(end);
            assert_eq!(bytes[..2], 1007_u16.to_be_bytes());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_close_that_no_websocket_sends_is_malformed() {
    for payload in [&b"\x03\xee"[..], b"\x00\x00", b"\x03\xe8\xff"] {
        let mut bare = Bare::open(echo).await;
        bare.send([data(payload, true, false, false)]).await;
        let reset = bare.next().await;
        assert!(
            matches!(
                reset,
                Frame::Reset {
                    code: ResetCode::Malformed,
                    ..
                }
            ),
            "{reset:?}"
        );
    }
}

#[tokio::test]
async fn a_message_in_many_small_pieces_arrives_as_one() {
    let mut bare = Bare::open(echo).await;
    let pieces = (0..200).map(|n| data(b"piece ", false, n == 199, true));
    bare.send(pieces).await;
    match bare.next().await {
        Frame::Data {
            fin, text, bytes, ..
        } => {
            assert!(fin && text);
            assert_eq!(bytes, "piece ".repeat(200));
        }
        other => panic!("{other:?}"),
    }
}
