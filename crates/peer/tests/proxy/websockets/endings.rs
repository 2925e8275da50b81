//! How sockets end, and what holds them up, on either of the two hops.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use peerage_peer::{
    Channel, Message,
    http::{Client, Received, ResetCode, WebSocketError, WebSocketSender, serve_with},
};
use tokio::{net::TcpSocket, sync::mpsc, time::timeout};
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};

use super::{SocketApp, asked, by_hand, close, echo, noise, opened, soon, through};
use crate::target::proxy;

/// How a socket breaks off at once: before its head has gone out, or after.
async fn broken(client: &Client) -> ResetCode {
    let first = match soon(client.open_websocket(asked("/live", &[]))).await {
        Ok((mut socket, _)) => soon(socket.recv()).await,
        Err(WebSocketError::Failed(error)) => Err(error),
        Err(refused) => panic!("{refused}"),
    };
    first.expect_err("a reset").code()
}

fn frame(code: u16, reason: &'static str) -> Option<CloseFrame> {
    Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    })
}

#[tokio::test]
async fn what_no_websocket_sends_breaks_the_exchange_off() {
    let answer = "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n";
    for (octets, code) in [
        (&b"\x81\x02\xc3\x28"[..], ResetCode::Broken),
        (b"\xc1\x01x", ResetCode::Broken),
        (b"\x80\x01x", ResetCode::Broken),
        (b"\x81\x81\0\0\0\0x", ResetCode::Broken),
        (b"\x83\x01x", ResetCode::Broken),
        (b"\x82\x7f\0\0\0\0\x7f\xff\xff\xff", ResetCode::TooLarge),
    ] {
        let client = through(proxy(&by_hand(answer, octets).await));
        assert_eq!(broken(&client).await, code, "{octets:?}");
    }
}

#[tokio::test]
async fn closes_pass_through_both_ways_with_code_and_reason_or_without() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move {
            match socket.next().await {
                Some(Ok(tungstenite::Message::Text(word))) => {
                    let close = match word.as_str() {
                        "coded" => frame(4001, "grüße"),
                        _ => None,
                    };
                    socket.close(close).await.unwrap();
                    let answer = socket.next().await.unwrap().unwrap();
                    heard.send(answer).await.unwrap();
                }
                Some(Ok(close)) => heard.send(close).await.unwrap(),
                other => panic!("{other:?}"),
            }
            while socket.next().await.is_some() {}
        }
    })
    .await;
    let client = app.client();
    for (mine, theirs) in [
        (close(4000, "bye"), frame(4000, "bye")),
        (close(1000, ""), frame(1000, "")),
        (None, None),
    ] {
        let socket = opened(&client).await;
        assert_eq!(soon(socket.close(mine.clone())).await.unwrap(), mine);
        let heard = soon(hears.recv()).await.unwrap();
        assert_eq!(heard, tungstenite::Message::Close(theirs));
    }
    for (word, mine, theirs) in [
        ("coded", close(4001, "grüße"), frame(4001, "grüße")),
        ("plain", None, None),
    ] {
        let mut socket = opened(&client).await;
        soon(socket.send(Message::Text(word.into()))).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Received::Close(mine));
        let heard = soon(hears.recv()).await.unwrap();
        assert_eq!(heard, tungstenite::Message::Close(theirs));
    }
}

#[tokio::test]
async fn an_app_that_dies_breaks_the_socket_off_and_no_other() {
    let app = SocketApp::running(|mut socket| async move {
        if socket.next().await.unwrap().unwrap().to_text().unwrap() == "die" {
            return;
        }
        while socket.next().await.is_some() {}
    })
    .await;
    let client = app.client();
    let (mut first, mut second) = (opened(&client).await, opened(&client).await);
    soon(second.send(Message::Text("live".into())))
        .await
        .unwrap();
    soon(first.send(Message::Text("die".into()))).await.unwrap();
    let error = soon(first.recv()).await.unwrap_err();
    assert_eq!(error.code(), ResetCode::Broken);
    assert_eq!(soon(second.close(None)).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_a_going_away_for_the_app_and_a_lost_link_a_lost_connection() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move {
            let last = socket.next().await.unwrap();
            heard.send(last.ok()).await.unwrap();
        }
    })
    .await;
    let client = app.client();
    drop(opened(&client).await);
    let away = soon(hears.recv()).await.unwrap();
    assert_eq!(away, Some(tungstenite::Message::Close(frame(1001, ""))));

    let (caller, callee) = Channel::pair("peerage-http");
    let proxy = proxy(&app.url());
    let features = proxy.features();
    let served = tokio::spawn(serve_with(callee, proxy, features, std::future::pending()));
    let _socket = opened(&Client::new(caller)).await;
    served.abort();
    assert_eq!(soon(hears.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_noticed_while_the_app_does_not_read() {
    let (gone, mut is_gone) = mpsc::channel(1);
    let app = SocketApp::running(move |socket| {
        let gone = gone.clone();
        async move {
            let socket = socket.into_inner();
            // Nothing is read: the connection's end shows as an error of a write.
            while socket.try_write(b"\x89\x00").map_or_else(
                |error| error.kind() == std::io::ErrorKind::WouldBlock,
                |_| true,
            ) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let client = app.client();
    let (mut sender, receiver) = opened(&client).await.split();
    let stuck = timeout(Duration::from_millis(500), async {
        while sender.send(Message::Binary(noise(1 << 20))).await.is_ok() {}
    });
    assert!(stuck.await.is_err(), "it would have read");
    drop((sender, receiver));
    soon(is_gone.recv()).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_does_not_receive_stops_the_app() {
    let (stalled, mut seen) = mpsc::channel(1);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let app = SocketApp::on(socket.listen(8).unwrap(), move |mut socket| {
        let stalled = stalled.clone();
        async move {
            let mut taken = 0;
            // Nothing taken for a second: it stalls.
            loop {
                let piece = socket.send(noise(16 * 1024).into());
                match timeout(Duration::from_secs(1), piece).await {
                    Ok(sent) => sent.unwrap(),
                    Err(_) => break,
                }
                taken += 16 * 1024;
            }
            stalled.send(taken).await.unwrap();
            socket.flush().await.unwrap();
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    let mut socket = opened(&app.client()).await;
    let taken = soon(seen.recv()).await.unwrap();
    // The window and the queue before it (64 KiB each), and what the two kernel buffers hold.
    assert!(taken < 1_500_000, "{taken} octets were taken from the app");
    let mut received = 0;
    while let Received::Message(message) = soon(socket.recv()).await.unwrap() {
        received += message.len();
    }
    assert!(received >= taken, "{received} of {taken} arrived");
}

#[tokio::test]
async fn an_app_that_does_not_read_stops_the_caller() {
    let (go_on, turns) = mpsc::channel::<()>(1);
    let turns = Arc::new(tokio::sync::Mutex::new(turns));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let app = SocketApp::on(socket.listen(8).unwrap(), move |socket| {
        let turns = turns.clone();
        async move {
            turns.lock().await.recv().await;
            echo(socket).await;
        }
    });
    let (mut sender, mut receiver) = opened(&app.client()).await.split();
    let mut sent: usize = 0;
    let send = async |sender: &mut WebSocketSender| {
        sender
            .send(Message::Binary(noise(16 * 1024)))
            .await
            .unwrap();
    };
    while timeout(Duration::from_secs(1), send(&mut sender))
        .await
        .is_ok()
    {
        sent += 1;
    }
    assert!(
        sent * 16 * 1024 < 2_000_000,
        "{sent} messages were taken for nobody"
    );
    go_on.send(()).await.unwrap();
    for _ in 0..sent {
        let received = soon(receiver.recv()).await.unwrap();
        assert!(received == Received::Message(Message::Binary(noise(16 * 1024))));
    }
}

#[tokio::test]
async fn a_message_of_the_app_above_the_limit_breaks_the_socket_off() {
    let app = SocketApp::running(|mut socket| async move {
        // The connection may end before all of it was taken.
        let _ = socket.send(vec![0; (16 << 20) + 1].into()).await;
        while socket.next().await.is_some_and(|heard| heard.is_ok()) {}
    })
    .await;
    assert_eq!(broken(&app.client()).await, ResetCode::TooLarge);
}

#[tokio::test]
async fn a_caller_whose_message_is_too_large_reads_1009_and_the_app_hears_it_too() {
    let (heard, mut hears) = mpsc::channel(8);
    let app = SocketApp::running(move |mut socket| {
        let heard = heard.clone();
        async move { heard.send(socket.next().await).await.unwrap() }
    })
    .await;
    let (mut sender, mut receiver) = opened(&app.client()).await.split();
    let large = Message::Binary(Bytes::from(vec![0; 17 << 20]));
    let (_, received) = soon(futures_util::future::join(
        sender.send(large),
        receiver.recv(),
    ))
    .await;
    assert!(matches!(received.unwrap(), Received::Close(Some(close)) if close.code() == 1009));
    let heard = soon(hears.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(heard, tungstenite::Message::Close(frame(1009, "")));
}
