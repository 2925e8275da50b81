//! The server as a part of another application, over real sockets: mounted below a path, with hooks.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;
#[path = "../examples/login.rs"]
#[allow(
    dead_code,
    missing_debug_implementations,
    unreachable_pub,
    reason = "an example, driven here"
)]
mod login;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::get;
use common::{Answer, Client, ask, ask_with_body, soon};
use http::StatusCode;
use peerage_server::testing::config;
use peerage_server::{
    Admission, Config, Hooks, Kind, Message, Passage, SocketId, State, Visitor, device_origins,
    router,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OPEN: &str = r#"{"type":"OPEN"}"#;

/// An application that runs as long as its test.
struct App {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl App {
    async fn start(app: Router, state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                () = state.run(std::future::pending()) => {}
            }
        });
        Self { address, task }
    }

    /// Signalling below `/signal`, with hooks.
    async fn hooked(config: Config, hooks: impl Hooks) -> Self {
        let state = State::with_hooks(config, hooks).unwrap();
        Self::start(Router::new().nest("/signal", router(state.clone())), state).await
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.address, "GET", path, &[]).await
    }

    async fn try_dial(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = soon("connecting", connect_async(request)).await?;
        Ok(Client(socket))
    }

    /// The first frame that a socket with this id hears.
    async fn visit(&self, id: &str, headers: &[(&'static str, &str)]) -> (Client, String) {
        let path = format!("/signal/peerjs?key=peerjs&id={id}&token=t");
        let mut client = self.try_dial(&path, headers).await.unwrap();
        let first = client.receive().await;
        (client, first)
    }

    async fn open(&self, id: &str) -> Client {
        let (client, first) = self.visit(id, &[]).await;
        assert_eq!(first, OPEN);
        client
    }

    /// The status that a socket is refused with.
    async fn refusal(&self, path: &str, headers: &[(&'static str, &str)]) -> u16 {
        match self.try_dial(path, headers).await {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {:?}", other.map(|client| client.0)),
        }
    }

    async fn log_in(&self, user: &str, password: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let form = format!("user={user}&password={password}");
        let request = format!(
            "POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            form.len()
        );
        let mut answer = String::new();
        let exchange = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_string(&mut answer).await
        };
        soon("logging in", exchange).await.unwrap();
        let cookie = answer
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.map_or(String::new(), |cookie| {
            cookie.split(';').next().unwrap().to_owned()
        })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn example() -> App {
    let (app, state) = login::app(config()).unwrap();
    App::start(app, state).await
}

fn to(dst: &str) -> String {
    format!(r#"{{"type":"OFFER","payload":{{"n":1}},"dst":"{dst}"}}"#)
}

fn from(src: &str, dst: &str) -> String {
    format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":{{"n":1}}}}"#)
}

#[tokio::test]
async fn the_example_lets_in_who_is_logged_in_and_under_ids_of_their_own() {
    let app = example().await;
    assert_eq!(app.log_in("alice", "guess").await, "");
    let alice = app.log_in("alice", "wonderland").await;
    let path = "/signal/peerjs?key=peerjs&id=alice&token=t";
    assert_eq!(app.refusal(path, &[]).await, 401);
    assert_eq!(app.refusal(path, &[("cookie", "session=0")]).await, 401);
    for id in ["alice", "alice-phone"] {
        let (_, first) = app.visit(id, &[("cookie", &alice)]).await;
        assert_eq!(first, OPEN, "{id}");
    }
    let (mut refused, first) = app.visit("bob", &[("cookie", &alice)]).await;
    assert_eq!(
        first,
        r#"{"type":"ERROR","payload":{"msg":"This id belongs to another user"}}"#
    );
    assert_eq!(refused.closed().await, 1005);
    // It never held the id.
    let bob = app.log_in("bob", "builder").await;
    assert_eq!(app.visit("bob", &[("cookie", &bob)]).await.1, OPEN);
}

#[tokio::test]
async fn the_example_drops_messages_to_private_ids_and_sees_who_is_gone() {
    let app = example().await;
    let (alice, bob) = (
        app.log_in("alice", "wonderland").await,
        app.log_in("bob", "builder").await,
    );
    let (mut alice, _) = app.visit("alice", &[("cookie", &alice)]).await;
    let (mut phone, _) = app.visit("bob", &[("cookie", &bob)]).await;
    let (mut private, _) = app.visit("bob-private", &[("cookie", &bob)]).await;
    alice.send(&to("bob-private")).await;
    alice.send(&to("bob")).await;
    // Both messages of alice were looked at by now.
    assert_eq!(phone.receive().await, from("alice", "bob"));
    phone.send(&to("bob-private")).await;
    assert_eq!(private.receive().await, from("bob", "bob-private"));
    assert_eq!(
        app.get("/online").await.body,
        r#"["alice","bob","bob-private"]"#
    );
    phone.0.close(None).await.unwrap();
    drop(private);
    let gone = async { while app.get("/online").await.body != r#"["alice"]"# {} };
    soon("being seen to be gone", gone).await;
}

#[tokio::test]
async fn clients_find_everything_below_the_path_it_is_mounted_at() {
    let own = || {
        Router::new()
            .route("/", get(async || "own"))
            // The application's own patterns do not go before what is mounted.
            .route("/{one}/{two}", get(async || "own"))
    };
    for banners in [&["/signal"][..], &["/signal", "/signal/"]] {
        let state = State::new(config()).unwrap();
        let mounted = router(state.clone());
        let app = match banners.len() {
            1 => own().nest("/signal", mounted),
            _ => own().nest_service("/signal", mounted),
        };
        let app = App::start(app, state).await;
        for path in banners {
            let banner = app.get(path).await.body;
            assert!(banner.starts_with(r#"{"name":"PeerJS Server""#), "{path}");
        }
        assert_eq!(app.get("/signal/peerjs/id").await.body.len(), 36);
        assert_eq!(app.get("/signal/other/id").await.status, 401);
        assert_eq!(app.get("/signal/x").await.status, 404);
        assert_eq!(app.get("/").await.body, "own");
        assert_eq!(app.get("/other/x").await.body, "own");
        let _client = app.open("alice").await;
        assert_eq!(app.refusal("/signal/x", &[]).await, 400);
        let origin = [("origin", "https://a.example")];
        let preflight = ask(app.address, "OPTIONS", "/signal/peerjs/id", &origin).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), origin[0].1);
    }
}

#[tokio::test]
async fn a_path_of_its_own_comes_after_the_one_it_is_mounted_at_and_parameters_disturb_nothing() {
    let config = Config {
        path: "/myapp".into(),
        ..config()
    };
    let state = State::new(config).unwrap();
    let app = App::start(
        Router::new().nest("/{key}/{tenant}", router(state.clone())),
        state,
    )
    .await;
    assert_eq!(app.get("/a/b/myapp/").await.status, 200);
    assert_eq!(app.get("/a/b/myapp/peerjs/id").await.body.len(), 36);
    assert_eq!(app.get("/peerjs/b/myapp/other/id").await.status, 401);
    assert_eq!(app.get("/a/b/peerjs/id").await.status, 404);
    let mut client = app
        .try_dial("/a/b/myapp/peerjs?key=peerjs&id=x&token=t", &[])
        .await
        .unwrap();
    assert_eq!(client.receive().await, OPEN);
}

#[tokio::test]
async fn devices_have_whole_origins_where_the_application_lets_them() {
    let state = State::new(config()).unwrap();
    let own = Router::new()
        .route("/", get(async || "own"))
        .nest("/signal", router(state.clone()));
    let with = own
        .clone()
        .layer(from_fn_with_state(state.clone(), device_origins));
    let (with, without) = (
        App::start(with, state.clone()).await,
        App::start(own, state).await,
    );
    let host = format!("{ID}.localhost");
    let page = async |app: &App, path| ask(app.address, "GET", path, &[("host", &host)]).await;
    assert_eq!(page(&with, "/__peerage/worker.js").await.status, 200);
    assert!(page(&with, "/").await.body.contains("/__peerage/shell.js"));
    assert_eq!(with.get("/").await.body, "own");
    let socket = "/__peerage/peerjs?key=peerjs&id=page&token=t";
    let mut client = with.try_dial(socket, &[("host", &host)]).await.unwrap();
    assert_eq!(client.receive().await, OPEN);
    // A page is not at a path of the origin that it is not at home in.
    for app in [&with, &without] {
        for path in [
            "/signal",
            "/signal/",
            "/signal/__peerage/worker.js",
            "/signal/peerjs/id",
        ] {
            assert_eq!(page(app, path).await.status, 404, "{path}");
        }
    }
    assert_eq!(page(&without, "/").await.body, "own");
}

/// What hooks were told, and what they do about it.
struct Watch {
    told: mpsc::UnboundedSender<String>,
    seen: Mutex<Vec<(String, SocketId)>>,
}

#[derive(Clone)]
struct User(&'static str);

impl Watch {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (told, hears) = mpsc::unbounded_channel();
        (
            Self {
                told,
                seen: Mutex::default(),
            },
            hears,
        )
    }

    fn tell(&self, text: String) {
        let _ = self.told.send(text);
    }
}

impl Hooks for Watch {
    async fn connect(&self, visitor: &Visitor<'_>) -> Admission {
        let user = visitor
            .extensions
            .get::<User>()
            .map_or("nobody", |user| user.0);
        let agent = visitor
            .headers
            .get("user-agent")
            .map_or("", |agent| agent.to_str().unwrap());
        let is_local = visitor.address.is_some_and(|address| address.is_loopback());
        self.tell(format!(
            "connect {} {} {user} {agent} {is_local}",
            visitor.id, visitor.token
        ));
        self.seen
            .lock()
            .unwrap()
            .push((visitor.id.to_owned(), visitor.socket));
        match visitor.id {
            "panics-first" => panic!("as asked"),
            "waits" => std::future::pending().await,
            "teapot" => Admission::Status(StatusCode::IM_A_TEAPOT),
            "ok" => Admission::Status(StatusCode::OK),
            "quoted" => Admission::error("not \"you\"\n"),
            _ => Admission::Allow,
        }
    }

    fn message(&self, message: &Message<'_>) -> Passage {
        let Message {
            src,
            dst,
            kind,
            payload,
            ..
        } = message;
        self.tell(format!("{src} {dst} {kind} {}", payload.unwrap_or("-")));
        assert!(!(*src == "panics" && *kind == Kind::Offer), "as asked");
        if *kind == Kind::Candidate {
            Passage::Drop
        } else {
            Passage::Relay
        }
    }

    fn disconnect(&self, socket: SocketId, id: &str) {
        assert!(self.seen.lock().unwrap().contains(&(id.to_owned(), socket)));
        self.tell(format!("disconnect {id}"));
        assert_ne!(id, "panics-last", "as asked");
    }
}

async fn told(hears: &mut mpsc::UnboundedReceiver<String>) -> String {
    soon("a hook", hears.recv()).await.unwrap()
}

#[tokio::test]
async fn hooks_hear_who_comes_what_they_say_and_when_they_go() {
    let (watch, mut hears) = Watch::new();
    let state = State::with_hooks(config(), watch).unwrap();
    let log_in = from_fn(async |mut request: Request, next: Next| {
        request.extensions_mut().insert(User("carol"));
        next.run(request).await
    });
    let app = Router::new()
        .nest("/signal", router(state.clone()))
        .layer(log_in);
    let app = App::start(app, state).await;
    let (mut alice, first) = app.visit("alice", &[("user-agent", "stock")]).await;
    assert_eq!(first, OPEN);
    assert_eq!(told(&mut hears).await, "connect alice t carol stock true");
    for text in [
        r#"{"type":"HEARTBEAT"}"#,
        "garbage",
        r#"{"type":"OFFER","payload":{"n": 1},"dst":"bob","src":"forged"}"#,
        r#"{"type":"SUBSCRIBE","dst":"bob"}"#,
        r#"{"type":"LEAVE","dst":"bob"}"#,
        r#"{"type":"LEAVE"}"#,
    ] {
        alice.send(text).await;
    }
    assert_eq!(told(&mut hears).await, r#"alice bob OFFER {"n": 1}"#);
    assert_eq!(told(&mut hears).await, "alice bob SUBSCRIBE -");
    assert_eq!(told(&mut hears).await, "alice bob LEAVE -");
    alice.0.close(None).await.unwrap();
    assert_eq!(told(&mut hears).await, "disconnect alice");
}

#[tokio::test]
async fn every_socket_that_was_allowed_is_seen_to_go_once_whatever_became_of_it() {
    let (watch, mut hears) = Watch::new();
    let app = App::hooked(config(), watch).await;
    let holder = app.open("alice").await;
    assert!(told(&mut hears).await.starts_with("connect alice"));
    let path = "/signal/peerjs?key=peerjs&id=alice&token=other";
    let mut late = app.try_dial(path, &[]).await.unwrap();
    assert!(late.receive().await.contains("ID-TAKEN"));
    assert!(told(&mut hears).await.starts_with("connect alice other"));
    assert_eq!(late.closed().await, 1005);
    assert_eq!(told(&mut hears).await, "disconnect alice");
    drop(holder);
    assert_eq!(told(&mut hears).await, "disconnect alice");
    // What the server refuses by itself is nobody's visit.
    for query in [
        "key=wrong&id=a&token=t",
        "key=peerjs&id=&token=t",
        "key=peerjs&id=a",
    ] {
        let mut client = app
            .try_dial(&format!("/signal/peerjs?{query}"), &[])
            .await
            .unwrap();
        assert!(client.receive().await.contains("ERROR"), "{query}");
    }
    drop(app);
    assert_eq!(soon("the end", hears.recv()).await, None);
}

#[tokio::test]
async fn an_application_refuses_in_words_or_by_status() {
    let (watch, _hears) = Watch::new();
    let app = App::hooked(config(), watch).await;
    let path = |id| format!("/signal/peerjs?key=peerjs&id={id}&token=t");
    assert_eq!(app.refusal(&path("teapot"), &[]).await, 418);
    assert_eq!(app.refusal(&path("ok"), &[]).await, 403);
    let (mut client, first) = app.visit("quoted", &[]).await;
    assert_eq!(
        first,
        r#"{"type":"ERROR","payload":{"msg":"not \"you\"\n"}}"#
    );
    assert_eq!(client.closed().await, 1005);
}

#[tokio::test]
async fn a_hook_that_panics_or_never_ends_harms_its_own_socket_alone() {
    let (watch, mut hears) = Watch::new();
    let config = Config {
        handshake: Duration::from_millis(200),
        ..config()
    };
    let app = App::hooked(config, watch).await;
    let (mut alice, mut bob) = (app.open("alice").await, app.open("bob").await);
    let mut well = async || {
        alice.send(&to("bob")).await;
        assert_eq!(bob.receive().await, from("alice", "bob"));
    };
    let path = |id| format!("/signal/peerjs?key=peerjs&id={id}&token=t");
    assert_eq!(app.refusal(&path("panics-first"), &[]).await, 500);
    well().await;
    assert_eq!(app.refusal(&path("waits"), &[]).await, 503);
    well().await;
    let mut panics = app.open("panics").await;
    panics.send(&to("bob")).await;
    assert_eq!(panics.closed().await, 1011);
    well().await;
    // Its id is free again.
    let _panics = app.open("panics").await;
    drop(app.open("panics-last").await);
    while told(&mut hears).await != "disconnect panics-last" {}
    well().await;
    let _again = app.open("panics-last").await;
}

#[tokio::test]
async fn what_a_hook_drops_is_not_relayed_and_its_sender_goes_on() {
    let (watch, _hears) = Watch::new();
    let app = App::hooked(config(), watch).await;
    let (mut alice, mut bob) = (app.open("alice").await, app.open("bob").await);
    alice.send(r#"{"type":"CANDIDATE","dst":"bob"}"#).await;
    alice.send(&to("bob")).await;
    assert_eq!(bob.receive().await, from("alice", "bob"));
}

#[tokio::test]
async fn no_message_goes_past_a_hook_by_way_of_http() {
    let (watch, _hears) = Watch::new();
    let app = App::hooked(config(), watch).await;
    let (_alice, _bob) = (app.open("alice").await, app.open("bob").await);
    let path = "/signal/peerjs/alice/t/offer";
    let refused = ask_with_body(app.address, "POST", path, &[], &to("bob")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
}
