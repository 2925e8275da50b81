//! The scenes, played by native peers: once with Alice as the stock client's values had it, once with her recorded messages put in.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use peerage_peer::{
    Builder, CloseReason, ConnectError, ConnectOptions, Connection, Message, Peer, SendError,
    Serialization, ServerState, Value,
};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::signal::{Frame, Kind, OfferPayload};
use serde_json::Value as Json;

use crate::recorded::{self, Scene, connection, members, recorded_message, whole};
use crate::relay::Relay;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("soon")
}

fn id(id: &str) -> PeerId {
    PeerId::parse(id).unwrap()
}

fn builder(relay: &Relay, name: &str) -> Builder {
    let builder = Peer::builder().server(relay.url());
    builder.id(id(name)).allow_unverified(true)
}

/// A server, and peers of the recording's names.
struct Stage {
    relay: Relay,
    alice: Peer,
    bob: Peer,
    lines: Vec<String>,
}

impl Stage {
    async fn new() -> Self {
        let relay = Relay::start().await;
        let alice = soon(builder(&relay, "alice").open()).await.unwrap();
        let bob = soon(builder(&relay, "bob").open()).await.unwrap();
        Self {
            relay,
            alice,
            bob,
            lines: vec!["alice peer open".into(), "bob peer open".into()],
        }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Connections as recorded, Alice's ends and Bob's.
    async fn connect(&mut self, offers: &[Json]) -> Vec<(Connection, Connection)> {
        let mut pairs = Vec::new();
        for offer in offers {
            let there = soon(self.alice.connect(self.bob.id(), options(offer)))
                .await
                .unwrap();
            self.say("alice conn open");
            let here = soon(self.bob.incoming()).await.unwrap();
            self.came(&here);
            pairs.push((there, here));
        }
        pairs
    }

    fn came(&mut self, here: &Connection) {
        let metadata = here.metadata();
        let metadata = metadata.map(|json| serde_json::from_str::<Json>(json.get()).unwrap());
        let serialization = match here.serialization() {
            Serialization::Binary => "binary",
            Serialization::Json => "json",
            Serialization::Raw => "raw",
            Serialization::MsgPack => "MsgPack",
            other => panic!("{other:?}"),
        };
        let label = Some(here.label()).filter(|label| *label != here.connection_id().as_str());
        self.say(connection("bob", label, serialization, metadata.as_ref()));
        self.say("bob conn open");
    }

    async fn ends(&mut self, alice: &Connection, bob: &Connection) {
        for (who, connection) in [("alice", alice), ("bob", bob)] {
            let reason = soon(connection.closed()).await;
            assert!(matches!(reason, CloseReason::Local | CloseReason::Remote));
            self.say(format!("{who} conn close"));
        }
    }

    /// With the members of all frames that were sent.
    fn done(mut self) -> Vec<String> {
        let mut frames = BTreeSet::new();
        for frame in self.relay.sent() {
            let who = frame.src.as_ref().unwrap().to_string();
            let frame: Json = serde_json::from_str(&frame.to_text()).unwrap();
            frames.extend(members(&who, &frame));
        }
        self.lines.extend(frames);
        self.lines
    }
}

fn options(offer: &Json) -> ConnectOptions {
    let label = Some(&offer["label"]).filter(|label| **label != offer["connectionId"]);
    let options = ConnectOptions {
        label: label.and_then(Json::as_str).map(str::to_owned),
        serialization: match offer["serialization"].as_str().unwrap() {
            "binary" => Serialization::Binary,
            "json" => Serialization::Json,
            "raw" => Serialization::Raw,
            "MsgPack" => Serialization::MsgPack,
            other => panic!("{other}"),
        },
        ordered: offer["reliable"].as_bool().unwrap(),
        ..ConnectOptions::default()
    };
    match offer.get("metadata") {
        Some(metadata) => options.with_metadata(metadata).unwrap(),
        None => options,
    }
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::from(members)
}

fn slice(id: u32, index: u32, total: u32, data: &[u8]) -> Value {
    map([
        ("__peerData", id.into()),
        ("n", index.into()),
        ("total", total.into()),
        ("data", data.to_vec().into()),
    ])
}

/// What the page told its library to send.
fn values(scene: &str) -> Option<Vec<Value>> {
    let bytes = |octets: &[u8]| Value::from(octets.to_vec());
    Some(match scene {
        "binary default" => vec![
            map([("hello", "world".into()), ("n", 1.into())]),
            "text".into(),
            bytes(&[1, 2, 3]),
            Value::Array(vec![
                1.into(),
                (-1).into(),
                1.5.into(),
                Value::Null,
                true.into(),
            ]),
            42.into(),
        ],
        "binary null and undefined" => vec![Value::Null, Value::Null, "after".into()],
        "binary chunked" => vec![
            vec![7_u8; 40_000].into(),
            map([("s", "x".repeat(20_000).into()), ("b", bytes(&[9, 9]))]),
        ],
        "json" => vec![
            map([
                ("a", Value::Array(vec![1.into(), 2.into(), Value::Null])),
                ("s", "é".into()),
            ]),
            "plain".into(),
            5.into(),
            "x".repeat(16_300).into(),
        ],
        "raw" => vec!["text".into(), bytes(&[1, 2, 3]), "x".repeat(50_000).into()],
        "binary-utf8" => vec!["x".into()],
        "MsgPack" => vec![
            map([
                ("hello", "world".into()),
                ("n", 1.5.into()),
                ("b", bytes(&[1, 2, 3])),
                ("u", Value::Null),
            ]),
            "text".into(),
            vec![1_u8; 70_000].into(),
        ],
        "close" | "close flush" => vec!["bye".into()],
        "send before open" | "raw close flush" => vec![],
        "MsgPack null" => vec!["before".into(), Value::Null, "after".into()],
        "json null" => vec![Value::Null, "after".into()],
        "json channel receives a text frame" => vec!["after".into()],
        "blob order" => vec![
            "after the blob".into(),
            bytes(&[1]),
            map([("b", bytes(&[2]))]),
        ],
        "message while JSON root is a chunk marker" => {
            vec![map([("__peerData", map([("type", "close".into())]))])]
        }
        "undelivered chunk" => vec![
            slice(9, 0, 1, &[0xb1, b'a']),
            slice(10, 0, 2, &[0xb1]),
            slice(10, 1, 2, b"b"),
        ],
        _ => return None,
    })
}

pub(crate) async fn play(scene: &Scene) -> Vec<String> {
    if let Some(values) = values(&scene.name) {
        return talk(scene, values).await;
    }
    let offers = scene.offers();
    match scene.name.as_str() {
        _ if scene.is_media() => vec![],
        "auto id" => auto_id().await,
        "none" => unknown_here().await,
        "MsgPack unknown at the callee" => unknown_there(&offers).await,
        "peer unavailable" => absent().await,
        "id taken" => taken().await,
        "invalid id" => invalid_ids().await,
        "disconnect and reconnect" => disconnect(&offers).await,
        "destroy" | "two connections then destroy" => destroy(&offers).await,
        "listAllPeers" => list().await,
        "wrong key" => wrong_key().await,
        "simultaneous connections" => {
            let mut stage = Stage::new().await;
            stage.connect(&offers).await;
            stage.done()
        }
        "LEAVE with two connections" => leave(&offers).await,
        "connect before open" => early(true).await,
        "connect before open, id from server" => early(false).await,
        "connect to self" => oneself(&offers).await,
        "server lost" => server_lost(&offers).await,
        other => panic!("a scene that nobody plays: {other}"),
    }
}

/// Alice sends, Bob reads.
async fn talk(scene: &Scene, values: Vec<Value>) -> Vec<String> {
    let offers = scene.offers();
    // As she writes: what is on the channel.
    let mut stage = Stage::new().await;
    let (alice, bob) = stage.connect(&offers).await.remove(0);
    let mut bob = bob.into_channel();
    let mut written = Vec::new();
    for value in values {
        match alice.send(value).await {
            Ok(()) => {}
            Err(SendError::Encode(_)) => stage.say("alice conn error not sent"),
            Err(error) => panic!("{error}"),
        }
    }
    alice.close();
    while let Some(message) = soon(bob.recv()).await {
        stage.say(format!("alice writes {}", recorded::message(&message)));
        written.push(message);
    }
    let mut lines = stage.done();

    // As she wrote in the browser: what Bob makes of it.
    let mut stage = Stage::new().await;
    let (alice, bob) = stage.connect(&offers).await.remove(0);
    stage.lines.clear();
    let about = alice.about().clone();
    let mut alice = alice.into_channel();
    for sent in scene.written() {
        let wanted = recorded_message(sent);
        // Of a long message the recording has the beginning: the rest is as above.
        let same = || {
            let mut same = written.iter();
            same.find(|message| recorded::message(message) == wanted)
        };
        let message = whole(sent).or_else(|| same().cloned());
        let message = message.unwrap_or_else(|| panic!("{} has {wanted}", scene.name));
        if !message.is_empty() {
            soon(alice.send(message)).await.unwrap();
        }
    }
    if scene.name == "raw close flush" {
        let message = Message::Text("[object Object]".into());
        soon(alice.send(message)).await.unwrap();
    }
    if scene.name == "binary default" {
        assert_eq!(
            soon(bob.recv()).await.unwrap().unwrap().get("n"),
            Some(&1.into())
        );
        stage.say("bob reads {\"hello: text world\", \"n: 1\"}");
        bob.send("got 42").await.unwrap();
        let Some(message) = soon(alice.recv()).await else {
            panic!("an answer");
        };
        stage.say(format!("bob writes {}", recorded::message(&message)));
        // And Alice reads what was written to her.
        let (there, here) = stage.connect(&offers).await.remove(0);
        stage.lines.truncate(2);
        here.into_channel().send(message).await.unwrap();
        let read = soon(there.recv()).await.unwrap().unwrap();
        stage.say(format!("alice reads {}", recorded::value(&read)));
    }
    let closes = scene.has_closed() && scene.name != "close";
    if !closes {
        alice.close();
    }
    while let Some(read) = soon(bob.recv()).await {
        match read {
            Ok(read) => stage.say(format!("bob reads {}", recorded::value(&read))),
            Err(_) => stage.say("bob conn error not read"),
        }
    }
    if scene.has_closed() {
        if closes {
            assert_eq!(soon(alice.recv()).await, None);
        }
        soon(bob.closed()).await;
        soon(about.closed()).await;
        stage.say("bob conn close");
        stage.say("alice conn close");
    }
    lines.extend(stage.lines);
    lines
}

async fn auto_id() -> Vec<String> {
    let relay = Relay::start().await;
    soon(Peer::builder().server(relay.url()).open())
        .await
        .unwrap();
    vec!["alice peer open".into()]
}

async fn unknown_here() -> Vec<String> {
    let mut stage = Stage::new().await;
    let options = ConnectOptions {
        serialization: Serialization::Custom("none".into()),
        ..ConnectOptions::default()
    };
    let refused = soon(stage.alice.connect(&id("bob"), options)).await;
    if let Err(ConnectError::UnknownSerialization(_)) = refused {
        stage.say("alice exception");
    }
    stage.done()
}

async fn unknown_there(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    stage.relay.tamper(|mut frame| {
        if frame.kind == Kind::Offer {
            let mut offer = OfferPayload::parse(frame.payload.as_ref().unwrap()).unwrap();
            offer.serialization = Some("hieroglyphs".into());
            frame.payload = Some(offer.to_raw());
        }
        vec![frame]
    });
    let refused = soon(stage.alice.connect(&id("bob"), options(&offers[0]))).await;
    stage.say(format!("alice conn error: {}", refused.unwrap_err()));
    stage.done()
}

async fn absent() -> Vec<String> {
    let mut stage = Stage::new().await;
    let refused = soon(stage.alice.connect(
        &id("nobody"),
        ConnectOptions {
            ordered: false,
            ..ConnectOptions::default()
        },
    ))
    .await;
    stage.say(format!(
        "alice peer error {}",
        refused.unwrap_err().peerjs_type()
    ));
    stage.lines.retain(|line| line != "bob peer open");
    stage.done()
}

async fn taken() -> Vec<String> {
    let mut stage = Stage::new().await;
    let refused = soon(builder(&stage.relay, "alice").open()).await;
    let error = refused.err().unwrap().peerjs_type();
    stage.say(format!("alice peer error {error}"));
    stage.lines.retain(|line| line != "bob peer open");
    stage.done()
}

async fn invalid_ids() -> Vec<String> {
    let relay = Relay::start().await;
    let mut lines = Vec::new();
    for name in ["-x", "a--b", "x_", "café", "a.b"] {
        match name.parse::<PeerId>() {
            Ok(_) => {
                soon(builder(&relay, name).open()).await.unwrap();
                lines.push("alice peer open".into());
            }
            Err(_) => lines.push("alice peer error invalid-id".into()),
        }
    }
    for name in ["alice", "a b"] {
        soon(builder(&relay, name).open()).await.unwrap();
        lines.push("alice peer open".into());
    }
    lines
}

async fn disconnect(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    let (there, here) = stage.connect(offers).await.remove(0);
    let mut server = stage.alice.server();
    stage.alice.disconnect();
    soon(server.wait_for(|state| matches!(state, ServerState::Down(_))))
        .await
        .unwrap();
    stage.say("alice peer disconnected");
    let refused = soon(stage.alice.connect(&id("bob"), options(&offers[0]))).await;
    let error = refused.unwrap_err().peerjs_type();
    stage.say(format!("alice peer error {error}"));
    let text = "still works over the data channel";
    there.send(text).await.unwrap();
    let read = soon(here.recv()).await.unwrap().unwrap();
    stage.say(format!("bob reads {}", recorded::value(&read)));
    there.send(text).await.unwrap();
    let message = soon(here.into_channel().recv()).await.unwrap();
    stage.say(format!("alice writes {}", recorded::message(&message)));
    soon(stage.alice.reconnect()).await.unwrap();
    assert!(stage.relay.has(&id("alice")));
    stage.say("alice peer open");
    stage.done()
}

async fn destroy(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    let pairs = stage.connect(offers).await;
    soon(stage.alice.destroy()).await;
    stage.say("alice peer disconnected");
    stage.say("alice peer close");
    for (there, here) in &pairs {
        stage.ends(there, here).await;
    }
    if offers.len() == 1 && soon(stage.alice.reconnect()).await.is_err() {
        stage.say("alice exception");
    }
    stage.done()
}

async fn list() -> Vec<String> {
    let mut stage = Stage::new().await;
    stage.relay.tell_peers(Some(r#"["alice","bob"]"#));
    let peers = soon(stage.alice.list_peers()).await.unwrap();
    stage.say("alice asks the server");
    let peers: Vec<_> = peers.iter().map(PeerId::as_str).collect();
    stage.say(format!("alice list {}", Json::from(peers)));
    stage.done()
}

/// A server that has another key.
async fn wrong_key() -> Vec<String> {
    use futures_util::SinkExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let frame = r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#;
        let _ = socket.send(frame.into()).await;
        let _ = socket.close(None).await;
    });
    let peer = Peer::builder().server(format!("http://{address}")).open();
    let error = soon(peer).await.err().unwrap();
    assert!(
        error.to_string().contains("Invalid key provided"),
        "{error}"
    );
    soon(server).await.unwrap();
    vec![format!("alice peer error {}", error.peerjs_type())]
}

async fn leave(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    let pairs = stage.connect(offers).await;
    stage.relay.deliver(Frame {
        src: Some(id("alice")),
        ..Frame::to(id("bob"), Kind::Leave, None)
    });
    for (there, here) in &pairs {
        stage.ends(there, here).await;
    }
    stage.done()
}

/// A call at once, before there is a server: Alice's second peer in the recording.
async fn early(named: bool) -> Vec<String> {
    let mut stage = Stage::new().await;
    let builder = Peer::builder().server(stage.relay.url());
    let builder = if named {
        builder.id(id("early"))
    } else {
        builder
    };
    let peer = builder.start().unwrap();
    soon(peer.connect(stage.bob.id(), ConnectOptions::default()))
        .await
        .unwrap();
    let here = soon(stage.bob.incoming()).await.unwrap();
    stage.came(&here);
    stage.say("alice peer open");
    stage.say("alice conn open");
    let own = peer.id().to_string();
    let lines = stage.done().into_iter();
    lines.map(|line| line.replace(&own, "alice")).collect()
}

async fn oneself(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    let met = soon(stage.alice.connect(&id("alice"), options(&offers[0]))).await;
    match met {
        Ok(_) => stage.say("alice conn open"),
        Err(error) => stage.say(format!("alice conn error: {error}")),
    }
    stage.lines.retain(|line| line != "bob peer open");
    stage.done()
}

async fn server_lost(offers: &[Json]) -> Vec<String> {
    let mut stage = Stage::new().await;
    let (there, here) = stage.connect(offers).await.remove(0);
    let mut servers = [stage.alice.server(), stage.bob.server()];
    stage.relay.cut();
    for (who, server) in ["alice", "bob"].into_iter().zip(&mut servers) {
        let down = soon(server.wait_for(|state| matches!(state, ServerState::Down(_))));
        let down = down.await.unwrap().clone();
        let ServerState::Down(error) = down else {
            panic!("it is down");
        };
        stage.say(format!("{who} peer error {}", error.peerjs_type()));
        stage.say(format!("{who} peer disconnected"));
    }
    there.send("there").await.unwrap();
    assert_eq!(soon(here.recv()).await, Some(Ok("there".into())));
    for (who, server) in ["alice", "bob"].into_iter().zip(&mut servers) {
        soon(server.wait_for(|state| *state == ServerState::Open))
            .await
            .unwrap();
        stage.say(format!("{who} peer open"));
    }
    stage.done()
}
