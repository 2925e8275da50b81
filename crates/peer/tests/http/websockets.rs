//! WebSockets on a link: whole messages both ways, and how they end.

mod limits;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use hyper::service::service_fn;
use peerage_peer::{
    Channel, Message,
    http::{
        Body, Client, Close, Error, Features, Received, ResetCode, Upgrade, WebSocket,
        WebSocketError, serve_with,
    },
};
use tokio::sync::{Notify, mpsc};

use crate::service::{fixed, get, link, soon, text};

const SOCKETS: Features = Features { websocket: true };

/// A client of a service that accepts every WebSocket and answers everything else with `plain`.
fn sockets<F, R>(run: F) -> Client
where
    F: Fn(WebSocket) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (caller, callee) = Channel::pair("peerage-http");
    let service = service_fn(move |request: Request<Body>| {
        let run = run.clone();
        async move {
            Ok::<_, Error>(match Upgrade::of(&request) {
                Some(upgrade) => upgrade.accept(run).map(|()| fixed("")),
                None => Response::new(fixed("plain")),
            })
        }
    });
    tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
    Client::new(caller)
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Received::Message(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

fn open(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

async fn opened(client: &Client) -> WebSocket {
    soon(client.open_websocket(open("/live"))).await.unwrap().0
}

fn close(code: u16, reason: &str) -> Option<Close> {
    Some(Close::new(code, reason).unwrap())
}

fn noise(octets: usize) -> Bytes {
    (0..octets).map(|n| (n * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn messages_come_back_whole_in_order_and_of_their_kind() {
    let client = sockets(echo);
    let (mut sender, mut receiver) = opened(&client).await.split();
    let messages = [
        Message::Text("hello".into()),
        Message::Binary(noise(10)),
        Message::Text(String::new().into()),
        Message::Binary(Bytes::new()),
        Message::Text("grüße ".repeat(20_000).into()),
        Message::Binary(noise(5 << 20)),
        Message::Text("end".into()),
    ];
    let send = async {
        for message in &messages {
            sender.send(message.clone()).await.unwrap();
        }
    };
    let receive = async {
        for message in &messages {
            let received = receiver.recv().await.unwrap();
            assert!(
                received == Received::Message(message.clone()),
                "of {}",
                message.len()
            );
        }
    };
    soon(futures_util::future::join(send, receive)).await;
}

#[tokio::test]
async fn requests_go_on_beside_sockets() {
    let client = sockets(echo);
    let mut socket = opened(&client).await;
    assert_eq!(
        text(soon(client.request(get("/"))).await.unwrap()).await,
        "plain"
    );
    soon(socket.send(Message::Text("still".into())))
        .await
        .unwrap();
    assert_eq!(
        soon(socket.recv()).await.unwrap(),
        Received::Message(Message::Text("still".into()))
    );
}

#[tokio::test]
async fn a_hundred_sockets_at_once_each_hear_their_own() {
    let client = sockets(echo);
    let all = join_all((0..100).map(|number| {
        let client = client.clone();
        async move {
            let mut socket = opened(&client).await;
            for turn in 0..10 {
                let message = Message::Text(format!("{number} {turn}").into());
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Received::Message(message));
            }
            assert_eq!(socket.close(None).await.unwrap(), None);
        }
    }));
    soon(all).await;
}

#[tokio::test]
async fn a_subprotocol_is_chosen_from_those_offered_and_fields_of_a_hop_stay_there() {
    let (caller, callee) = Channel::pair("peerage-http");
    let service = service_fn(|request: Request<Body>| async move {
        assert_eq!(request.headers()["sec-websocket-protocol"], "a, b");
        for gone in ["key", "version", "extensions", "accept"] {
            let name = format!("sec-websocket-{gone}");
            assert_eq!(request.headers().get(name), None);
        }
        let chosen = request.uri().path()[1..].to_owned();
        let mut response = Upgrade::of(&request).unwrap().accept(echo);
        response
            .headers_mut()
            .insert("sec-websocket-protocol", chosen.parse().unwrap());
        Ok::<_, Error>(response.map(|()| fixed("")))
    });
    tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
    let client = Client::new(caller);
    let asked = |path| {
        Request::get(path)
            .header("sec-websocket-protocol", "a, b")
            .header("sec-websocket-key", "x")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-extensions", "permessage-deflate")
            .body(())
            .unwrap()
    };
    let (_socket, response) = soon(client.open_websocket(asked("/b"))).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "b");
    let other = soon(client.open_websocket(asked("/c"))).await;
    assert!(
        matches!(&other, Err(WebSocketError::Failed(error)) if error.code() == ResetCode::Malformed),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_close_of_either_side_arrives_with_its_code_and_reason_after_all_messages() {
    let (heard, mut hears) = mpsc::channel(8);
    let client = sockets(move |mut socket| {
        let heard = heard.clone();
        async move {
            loop {
                let received = socket.recv().await.unwrap();
                let ends = matches!(received, Received::Close(_));
                heard.send(received).await.unwrap();
                if ends {
                    return;
                }
            }
        }
    });
    for bye in [close(4000, "grüße"), close(1000, ""), None] {
        let mut socket = opened(&client).await;
        soon(socket.send(Message::Text("last".into())))
            .await
            .unwrap();
        // Dropped after the close, the other end answers with the same.
        assert_eq!(soon(socket.close(bye.clone())).await.unwrap(), bye);
        assert_eq!(
            soon(hears.recv()).await.unwrap(),
            Received::Message(Message::Text("last".into()))
        );
        assert_eq!(soon(hears.recv()).await.unwrap(), Received::Close(bye));
    }
    for bye in [close(1001, "away"), None] {
        let client = sockets({
            let bye = bye.clone();
            move |mut socket| {
                let bye = bye.clone();
                async move {
                    socket.send(Message::Binary(noise(3))).await.unwrap();
                    assert_eq!(socket.close(bye.clone()).await.unwrap(), close(3001, "too"));
                }
            }
        });
        let mut socket = opened(&client).await;
        assert_eq!(
            soon(socket.recv()).await.unwrap(),
            Received::Message(Message::Binary(noise(3)))
        );
        assert_eq!(
            soon(socket.recv()).await.unwrap(),
            Received::Close(bye.clone())
        );
        assert_eq!(soon(socket.close(close(3001, "too"))).await.unwrap(), bye);
    }
}

#[tokio::test]
async fn nothing_follows_a_close() {
    let client = sockets(echo);
    let (mut sender, mut receiver) = opened(&client).await.split();
    soon(sender.close(None)).await.unwrap();
    let after = soon(sender.send(Message::Text("more".into()))).await;
    assert_eq!(after.unwrap_err().code(), ResetCode::Gone);
    soon(sender.close(close(1000, "")))
        .await
        .expect("a second close is none");
    assert_eq!(soon(receiver.recv()).await.unwrap(), Received::Close(None));
    assert_eq!(
        soon(receiver.recv()).await.unwrap_err().code(),
        ResetCode::Gone
    );
}

#[tokio::test]
async fn a_dropped_socket_breaks_its_exchange_off_at_the_other_end_and_no_other() {
    let (ended, mut ends) = mpsc::channel(8);
    let client = sockets(move |mut socket| {
        let ended = ended.clone();
        async move {
            let heard = match socket.recv().await {
                Ok(Received::Message(Message::Text(word))) if word == "one" => socket.recv().await,
                heard => heard,
            };
            ended.send(heard).await.unwrap();
        }
    });
    let (mut first, mut second) = (opened(&client).await, opened(&client).await);
    soon(first.send(Message::Text("one".into()))).await.unwrap();
    soon(second.send(Message::Text("one".into())))
        .await
        .unwrap();
    drop(first);
    let broken = soon(ends.recv()).await.unwrap();
    assert_eq!(broken.unwrap_err().code(), ResetCode::Cancelled);
    soon(second.send(Message::Text("two".into())))
        .await
        .unwrap();
    let whole = soon(ends.recv()).await.unwrap();
    assert_eq!(
        whole.unwrap(),
        Received::Message(Message::Text("two".into()))
    );
    // The service let go without a close.
    assert_eq!(
        soon(second.recv()).await.unwrap_err().code(),
        ResetCode::Broken
    );
}

#[tokio::test]
async fn a_link_that_closes_ends_its_sockets_as_gone() {
    let (caller, callee) = Channel::pair("peerage-http");
    let ended = Arc::new(Notify::new());
    struct OnDrop(Arc<Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let service = service_fn({
        let ended = ended.clone();
        move |request: Request<Body>| {
            let guard = OnDrop(ended.clone());
            async move {
                let run = |socket| async move {
                    let _guard = guard;
                    echo(socket).await;
                };
                Ok::<_, Error>(
                    Upgrade::of(&request)
                        .unwrap()
                        .accept(run)
                        .map(|()| fixed("")),
                )
            }
        }
    });
    let served = tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
    let mut socket = opened(&Client::new(caller)).await;
    served.abort();
    assert_eq!(
        soon(socket.recv()).await.unwrap_err().code(),
        ResetCode::Gone
    );
    soon(ended.notified()).await;
}

#[tokio::test]
async fn an_ordinary_answer_is_a_refusal_with_its_status_fields_and_body() {
    let (caller, callee) = Channel::pair("peerage-http");
    let service = service_fn(|request: Request<Body>| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        let response = Response::builder()
            .status(status)
            .header("x-why", "because");
        Ok::<_, Error>(response.body(fixed("no".repeat(50_000))).unwrap())
    });
    tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
    let client = Client::new(caller);
    for status in [200, 302, 401, 404, 503] {
        match soon(client.open_websocket(open(&format!("/{status}")))).await {
            Err(WebSocketError::Refused(response)) => {
                assert_eq!(response.status(), status);
                assert_eq!(response.headers()["x-why"], "because");
                assert_eq!(text(*response).await.len(), 100_000);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_service_without_sockets_is_never_asked_for_one() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (client, _) = link({
        let asked = asked.clone();
        move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Ok(Response::new(fixed("plain"))) }
        }
    });
    let refused = soon(client.open_websocket(open("/"))).await.unwrap_err();
    assert!(
        matches!(&refused, WebSocketError::Failed(error) if error.code() == ResetCode::Unsupported),
        "{refused}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_101_that_accepts_nothing_is_a_fault_of_the_service() {
    let (caller, callee) = Channel::pair("peerage-http");
    let service = service_fn(|_: Request<Body>| async {
        let mut response = Response::new(fixed(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok::<_, Error>(response)
    });
    tokio::spawn(serve_with(callee, service, SOCKETS, std::future::pending()));
    let client = Client::new(caller);
    let refused = soon(client.open_websocket(open("/"))).await.unwrap_err();
    assert!(
        matches!(&refused, WebSocketError::Failed(error) if error.code() == ResetCode::Internal)
    );
    let refused = soon(client.request(get("/"))).await.unwrap_err();
    assert_eq!(refused.code(), ResetCode::Internal);
}

#[tokio::test]
async fn a_send_that_is_dropped_half_way_is_finished_by_the_next_and_cuts_no_message() {
    let go_on = Arc::new(Notify::new());
    let client = sockets({
        let go_on = go_on.clone();
        move |socket| {
            let go_on = go_on.clone();
            async move {
                go_on.notified().await;
                echo(socket).await;
            }
        }
    });
    let mut socket = opened(&client).await;
    let long = Message::Binary(noise(500_000));
    {
        let mut sending = Box::pin(socket.send(long.clone()));
        assert!(futures_util::poll!(&mut sending).is_pending());
    }
    go_on.notify_one();
    soon(async {
        let (mut sender, mut receiver) = socket.split();
        let next = Message::Text("next".into());
        let (sent, first) =
            futures_util::future::join(sender.send(next.clone()), receiver.recv()).await;
        sent.unwrap();
        assert!(first.unwrap() == Received::Message(long));
        assert_eq!(receiver.recv().await.unwrap(), Received::Message(next));
    })
    .await;
}
