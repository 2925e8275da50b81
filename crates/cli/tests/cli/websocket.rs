//! A WebSocket all the way: the command, a real connection, an app behind it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use peerage_peer::{
    ConnectOptions, Message, Peer,
    http::{Client, Close, Received},
};
use peerage_proto::{
    identity::{SigningKey, gate::HTTP_LABEL},
    wire::link_url::Link,
};
use rand_core::UnwrapErr;
use tokio::{net::TcpListener, time::timeout};

use crate::run::Place;

const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

#[tokio::test]
async fn a_websocket_of_the_exposed_app_works_through_the_link() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                // The command looks whether the target is there; that is no handshake.
                let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    let place = Place::new();
    let exposing = tokio::task::spawn_blocking(move || place.expose(&target, "device", &[]));
    let exposed = soon(exposing).await.unwrap();

    let link = Link::parse(&exposed.link).unwrap();
    let key = SigningKey::generate(&mut UnwrapErr(getrandom::SysRng));
    let builder = Peer::builder().server(&*link.server_url()).identity(key);
    let peer = soon(builder.open()).await.unwrap();
    let options = ConnectOptions {
        label: Some(HTTP_LABEL.to_owned()),
        proof: link
            .secret
            .as_ref()
            .map(|secret| secret.proof(&link.device)),
        ..ConnectOptions::default()
    };
    let connection = soon(peer.connect(link.device.as_peer_id(), options))
        .await
        .unwrap();
    let client = Client::new(connection.into_channel());
    let request = http::Request::get("/live").body(()).unwrap();
    let (socket, response) = soon(client.open_websocket(request)).await.unwrap();
    assert_eq!(response.status(), 101);
    let (mut sender, mut receiver) = socket.split();
    for message in [
        Message::Text("hello".into()),
        Message::Binary(vec![7; 3 << 20].into()),
    ] {
        let both = futures_util::future::join(sender.send(message.clone()), receiver.recv());
        let (sent, received) = soon(both).await;
        sent.unwrap();
        assert!(received.unwrap() == Received::Message(message));
    }
    let bye = Close::new(4000, "bye").unwrap();
    soon(sender.close(Some(bye.clone()))).await.unwrap();
    assert_eq!(
        soon(receiver.recv()).await.unwrap(),
        Received::Close(Some(bye))
    );
    soon(peer.destroy()).await;
}
