//! ICE servers with credentials, for who is connected.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Client, ask, soon};
use peerage_server::testing::{TestServer, config};
use peerage_server::{
    Config, Cors, IceSecret, IceServer, State, TurnConfig, TurnError, TurnPlaces, TurnSecret,
    TurnTransport, router,
};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::net::TcpListener;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SECRET: &str = "north wind";
const BEARER: (&str, &str) = ("authorization", "Bearer t");
const DAY: u64 = 24 * 60 * 60;

fn secret() -> TurnSecret {
    SECRET.parse().expect("a secret")
}

fn place(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A server that says it has STUN and TURN, where only the signalling is real.
async fn serve_with(config: Config, turn: TurnConfig) -> TestServer {
    let places = TurnPlaces {
        udp: vec![place("0.0.0.0:3478"), place("[::]:3478")],
        tcp: vec![place("0.0.0.0:3478"), place("[::]:3478")],
        tls: vec![place("0.0.0.0:5349")],
        missed: vec![],
    };
    let turn = Some(turn);
    let config = Config { turn, ..config };
    TestServer::with_turn_at(places, config)
        .await
        .expect("it starts")
}

async fn serve() -> TestServer {
    let turn = TurnConfig {
        secret: Some(secret()),
        ..TurnConfig::default()
    };
    serve_with(config(), turn).await
}

async fn get(server: &TestServer, id: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/peerjs/ice?id={id}");
    ask(server.address(), "GET", &path, headers).await
}

fn body(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// RFC 2104 by its definition, so that it is not the server's own.
fn hmac_sha1(key: &[u8], text: &str) -> String {
    assert!(key.len() <= 64);
    let pad = |with: u8| {
        let mut block = [with; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(at, octet)| *at ^= octet);
        block
    };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha1::new().chain_update(pad(0x5c));
    STANDARD.encode(outer.chain_update(inner.finalize()).finalize())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock").as_secs()
}

/// Whether an entry has credentials for an id, good for so long from now.
fn assert_minted(entry: &Value, secret: &str, id: &str, seconds: u64) {
    let username = entry["username"].as_str().expect("a text");
    let (expiry, name) = username.split_once(':').expect("a name");
    let expiry: u64 = expiry.parse().expect("a number");
    assert_eq!(name, id);
    assert!(
        expiry <= now() + seconds && expiry + 30 > now() + seconds,
        "{expiry}"
    );
    let password = hmac_sha1(secret.as_bytes(), username);
    assert_eq!(entry["credential"], password.as_str());
}

#[tokio::test]
async fn who_is_connected_gets_what_is_served_with_credentials_that_verify() {
    let server = serve().await;
    let _ann = Client::open(&server, "ann").await;
    let answer = get(&server, "ann", &[BEARER]).await;
    assert_eq!(
        (
            answer.header("cache-control"),
            answer.header("content-type")
        ),
        ("no-store", "application/json; charset=utf-8")
    );
    let told = body(&answer);
    assert_eq!(told["ttl"], DAY);
    assert_eq!(
        told["iceServers"][0],
        json!({"urls": ["stun:localhost:3478"]})
    );
    let turn = &told["iceServers"][1];
    let urls = [
        "turn:localhost:3478?transport=udp",
        "turn:localhost:3478?transport=tcp",
        "turns:localhost:5349?transport=tcp",
    ];
    assert_eq!(turn["urls"], json!(urls));
    assert_minted(turn, SECRET, "ann", DAY);
    assert_eq!(told["iceServers"].as_array().unwrap().len(), 2);
    // A scheme has no case (RFC 9110 section 11.1).
    let lower = get(&server, "ann", &[("authorization", "bearer t")]).await;
    assert_eq!(lower.status, 200);
}

#[tokio::test]
async fn only_what_is_served_is_told() {
    let turn = || TurnConfig {
        secret: Some(secret()),
        ..TurnConfig::default()
    };
    let told = async |places: TurnPlaces, host: &str| {
        let config = Config {
            turn: Some(turn()),
            ..config()
        };
        let server = TestServer::with_turn_at(places, config).await.unwrap();
        let _ann = Client::open(&server, "ann").await;
        let told = body(&get(&server, "ann", &[BEARER, ("host", host)]).await);
        let servers = told["iceServers"].as_array().unwrap().clone();
        let urls = servers
            .iter()
            .flat_map(|server| server["urls"].as_array().unwrap());
        urls.map(|url| url.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(TurnPlaces::default(), "localhost").await, [""; 0]);
    let tcp = TurnPlaces {
        tcp: vec![place("0.0.0.0:3478"), place("0.0.0.0:443")],
        ..TurnPlaces::default()
    };
    assert_eq!(
        told(tcp, "localhost").await,
        [
            "turn:localhost:3478?transport=tcp",
            "turn:localhost:443?transport=tcp"
        ]
    );
    let without_relay = TurnPlaces {
        udp: vec![place("0.0.0.0:3478")],
        missed: vec![TurnError::NoRelay],
        ..TurnPlaces::default()
    };
    assert_eq!(
        told(without_relay, "localhost").await,
        ["stun:localhost:3478"]
    );
    // `localhost` is both addresses, and one of them would be another program's.
    let taken = TurnPlaces {
        udp: vec![place("[::1]:3478")],
        tcp: vec![place("127.0.0.1:3478"), place("[::1]:3478")],
        missed: vec![TurnError::InUse {
            transport: TurnTransport::Udp,
            address: place("127.0.0.1:3478"),
        }],
        ..TurnPlaces::default()
    };
    let urls = ["turn:localhost:3478?transport=tcp"];
    assert_eq!(told(taken, "localhost").await, urls);
    // A proxy brings clients to the signalling of this machine; nobody brings them to its TURN.
    let near = || TurnPlaces {
        udp: vec![place("127.0.0.1:3478"), place("[::1]:3478")],
        ..TurnPlaces::default()
    };
    assert_eq!(told(near(), "peers.example").await, [""; 0]);
    for here in ["localhost", "x.localhost", "127.0.0.1", "[::1]"] {
        let urls = [
            format!("stun:{here}:3478"),
            format!("turn:{here}:3478?transport=udp"),
        ];
        assert_eq!(told(near(), here).await, urls);
    }
}

#[tokio::test]
async fn in_an_application_that_serves_no_turn_none_is_told() {
    let state = State::new(Config {
        turn: Some(TurnConfig::default()),
        ..config()
    })
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(listener, app).into_future() => served.unwrap(),
            () = state.run(std::future::pending()) => {}
        }
    });
    let url = format!("ws://{address}/peerjs?key=peerjs&id=ann&token=t");
    let (_ann, _) = soon("connecting", tokio_tungstenite::connect_async(url))
        .await
        .unwrap();
    // The socket is let in after its handshake.
    let answer = async {
        loop {
            let answer = ask(address, "GET", "/peerjs/ice?id=ann", &[BEARER]).await;
            if answer.status == 200 {
                break answer;
            }
        }
    };
    let answer = soon("an answer", answer).await;
    assert_eq!(answer.body, r#"{"iceServers":[],"ttl":86400}"#);
    serving.abort();
}

#[tokio::test]
async fn anybody_else_is_refused_alike() {
    let server = serve().await;
    let _ann = Client::open(&server, "ann").await;
    let _ben = Client::dial(&server, "/peerjs?key=peerjs&id=ben&token=bens").await;
    let left = Client::open(&server, "left").await;
    drop(left);
    soon("the end of a socket", async {
        // Who has gone is refused with a text of its own where ids are no secret.
        let call = "/peerjs/left/t/room/id";
        while ask(server.address(), "GET", call, &[]).await.status != 401 {}
    })
    .await;
    let mut answers = HashMap::new();
    for (what, path, headers) in [
        ("no token", "/peerjs/ice?id=ann", &[][..]),
        (
            "an empty token",
            "/peerjs/ice?id=ann",
            &[("authorization", "Bearer ")],
        ),
        (
            "a wrong token",
            "/peerjs/ice?id=ann",
            &[("authorization", "Bearer x")],
        ),
        (
            "a longer token",
            "/peerjs/ice?id=ann",
            &[("authorization", "Bearer tt")],
        ),
        (
            "another's token",
            "/peerjs/ice?id=ann",
            &[("authorization", "Bearer bens")],
        ),
        (
            "another scheme",
            "/peerjs/ice?id=ann",
            &[("authorization", "Basic t")],
        ),
        ("no scheme", "/peerjs/ice?id=ann", &[("authorization", "t")]),
        ("a token in the query", "/peerjs/ice?id=ann&token=t", &[]),
        ("an unknown id", "/peerjs/ice?id=eve", &[BEARER]),
        ("an id that went", "/peerjs/ice?id=left", &[BEARER]),
        ("no id", "/peerjs/ice", &[BEARER]),
        ("an empty id", "/peerjs/ice?id=", &[BEARER]),
        ("another key", "/other/ice?id=ann", &[BEARER]),
    ] {
        let mut answer = ask(server.address(), "GET", path, headers).await;
        assert_eq!(answer.status, 401, "{what}");
        answer.headers.remove("date");
        let mut headers: Vec<_> = answer.headers.into_iter().collect();
        headers.sort();
        answers.insert((headers, answer.body), what);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(get(&server, "ann", &[BEARER]).await.status, 200);
}

#[tokio::test]
async fn an_id_that_is_held_for_who_broke_off_gets_nothing_until_it_is_back() {
    let server = serve().await;
    let path = "/peerjs?key=peerjs&id=ann&token=t&hold=60";
    let mut ann = Client::dial(&server, path).await;
    assert_eq!(ann.receive().await, r#"{"type":"OPEN"}"#);
    assert_eq!(get(&server, "ann", &[BEARER]).await.status, 200);
    // Without a close frame.
    drop(ann);
    soon("the end of a socket", async {
        while ask(server.address(), "GET", "/peerjs/ann/t/room/id", &[])
            .await
            .status
            != 401
        {}
    })
    .await;
    let mut other = Client::dial(&server, "/peerjs?key=peerjs&id=ann&token=x").await;
    assert!(other.receive().await.contains("ID-TAKEN"));
    assert_eq!(get(&server, "ann", &[BEARER]).await.status, 401);
    let mut back = Client::dial(&server, path).await;
    assert_eq!(back.receive().await, r#"{"type":"OPEN"}"#);
    assert_eq!(get(&server, "ann", &[BEARER]).await.status, 200);
}

#[tokio::test]
async fn an_id_that_asks_too_often_waits_and_nobody_else_can_use_up_its_ration() {
    let server = serve().await;
    let ann = Client::open(&server, "ann").await;
    let _ben = Client::open(&server, "ben").await;
    for _ in 0..20 {
        let wrong = [("authorization", "Bearer x")];
        assert_eq!(get(&server, "ann", &wrong).await.status, 401);
    }
    for _ in 0..10 {
        assert_eq!(get(&server, "ann", &[BEARER]).await.status, 200);
    }
    let refused = get(&server, "ann", &[BEARER]).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    // Who does not know the token does not learn that either.
    let wrong = [("authorization", "Bearer x")];
    assert_eq!(get(&server, "ann", &wrong).await.status, 401);
    assert_eq!(get(&server, "ben", &[BEARER]).await.status, 200);
    // Who comes next under the id is somebody else.
    drop(ann);
    soon("the end of a socket", async {
        while ask(server.address(), "GET", "/peerjs/ann/t/room/id", &[])
            .await
            .status
            != 401
        {}
    })
    .await;
    let _next = Client::open(&server, "ann").await;
    assert_eq!(get(&server, "ann", &[BEARER]).await.status, 200);
}

#[tokio::test]
async fn an_address_that_asks_too_often_waits_whatever_it_asks_and_another_does_not() {
    let config = Config {
        proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..config()
    };
    let server = serve_with(config, TurnConfig::default()).await;
    let _ann = Client::open(&server, "ann").await;
    let from = async |address: &str, token: &str| {
        let headers = [("x-forwarded-for", address), ("authorization", token)];
        get(&server, "ann", &headers).await
    };
    let mut refusals = 0;
    let refused = loop {
        // All of one IPv6 /64.
        let address = format!("2001:db8::{refusals:x}");
        let answer = from(&address, "Bearer x").await;
        if answer.status != 401 {
            break answer;
        }
        refusals += 1;
        assert!(refusals < 600, "no end");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert!(refusals >= 120, "{refusals}");
    assert_eq!(from("2001:db8::ffff", "Bearer t").await.status, 429);
    assert_eq!(from("2001:db8:0:1::1", "Bearer t").await.status, 200);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_send_their_token() {
    let config = Config {
        cors: Cors::Origins(vec!["https://a.example".to_owned()]),
        ..config()
    };
    let server = serve_with(config, TurnConfig::default()).await;
    let _ann = Client::open(&server, "ann").await;
    let device = format!("{ID}.localhost");
    for (host, path) in [
        ("localhost", "/peerjs/ice?id=ann"),
        (device.as_str(), "/__peerage/ice?id=ann"),
    ] {
        let preflight = [
            ("host", host),
            ("origin", "https://a.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let may = ask(server.address(), "OPTIONS", path, &preflight).await;
        assert_eq!(
            (
                may.status,
                may.header("access-control-allow-origin"),
                may.header("access-control-allow-headers")
            ),
            (204, "https://a.example", "authorization"),
            "{path}"
        );
        assert!(may.header("access-control-allow-methods").contains("GET"));
        let asked = async |origin: &str, token: &str| {
            let headers = [("host", host), ("origin", origin), ("authorization", token)];
            let answer = ask(server.address(), "GET", path, &headers).await;
            let allowed = answer.header("access-control-allow-origin").to_owned();
            (answer.status, allowed)
        };
        let own = "https://a.example".to_owned();
        assert_eq!(
            asked("https://a.example", "Bearer t").await,
            (200, own.clone())
        );
        // The page is to see why it is refused.
        assert_eq!(asked("https://a.example", "Bearer x").await, (401, own));
        assert_eq!(asked("https://b.example", "Bearer t").await.1, "");
    }
}

#[tokio::test]
async fn a_devices_page_asks_on_its_own_origin_and_is_told_of_the_whole_server() {
    let server = serve().await;
    let host = format!("{ID}.localhost:9000");
    let on_origin = async |method: &str, path: &str| {
        let headers = [BEARER, ("host", &host), ("content-length", "0")];
        ask(server.address(), method, path, &headers).await
    };
    let path = "/__peerage/ice?id=page";
    assert_eq!(on_origin("GET", path).await.status, 401);
    let _page = Client::open(&server, "page").await;
    let answer = on_origin("GET", path).await;
    let told = body(&answer);
    assert_eq!(
        told["iceServers"][0]["urls"],
        json!(["stun:localhost:3478"])
    );
    assert_minted(&told["iceServers"][1], SECRET, "page", DAY);
    assert_eq!(
        (
            answer.header("cache-control"),
            answer.header("x-content-type-options")
        ),
        ("no-store", "nosniff")
    );
    assert_eq!(server.state().misses(), 0);
    assert_eq!(on_origin("POST", path).await.status, 404);
    assert_eq!(on_origin("GET", "/peerjs/ice?id=page").await.status, 404);
}

#[tokio::test]
async fn clients_are_told_the_configured_host_or_the_one_they_came_by_and_no_junk() {
    let stun = async |turn_host: Option<&str>, domain: Option<&str>, hosts: &[&str]| {
        let turn = TurnConfig {
            host: turn_host.map(str::to_owned),
            ..TurnConfig::default()
        };
        let config = Config {
            domain: domain.map(str::to_owned),
            ..config()
        };
        let server = serve_with(config, turn).await;
        let _ann = Client::open(&server, "ann").await;
        let mut told = Vec::new();
        for host in hosts {
            let answer = get(&server, "ann", &[BEARER, ("host", host)]).await;
            let url = body(&answer)["iceServers"][0]["urls"][0].take();
            told.push(url.as_str().unwrap().to_owned());
        }
        told
    };
    assert_eq!(
        stun(
            Some("Relay.example"),
            Some("peers.example"),
            &["other.example"]
        )
        .await,
        ["stun:relay.example:3478"]
    );
    assert_eq!(
        stun(Some("2001:db8::1"), None, &["other.example"]).await,
        ["stun:[2001:db8::1]:3478"]
    );
    assert_eq!(
        stun(None, Some("peers.example"), &["other.example"]).await,
        ["stun:peers.example:3478"]
    );
    assert_eq!(
        stun(
            None,
            None,
            &["other.example:9000", "192.0.2.1", "[2001:db8::1]:9000"]
        )
        .await,
        [
            "stun:other.example:3478",
            "stun:192.0.2.1:3478",
            "stun:[2001:db8::1]:3478"
        ]
    );
    let junk = [
        "evil.example?x=",
        "a\"b",
        "a b",
        "user@evil.example",
        "evil_.example",
        "1.2",
        "[::",
        "0.0.0.0",
    ];
    // Where the connection arrived.
    assert_eq!(stun(None, None, &junk).await, ["stun:127.0.0.1:3478"; 8]);
}

#[tokio::test]
async fn turn_servers_of_others_get_credentials_of_the_secret_they_share() {
    let server = |urls: &[&str], credentials: Option<&str>| IceServer {
        urls: urls.iter().copied().map(str::to_owned).collect(),
        username: credentials.map(str::to_owned),
        credential: credentials.map(str::to_owned),
    };
    let fixed = server(&["turn:fixed.example"], Some("own"));
    let stun = server(&["stun:stun.example"], None);
    let shared = server(&["turn:coturn.example:3478", "turns:coturn.example"], None);
    let told = Config {
        ice_servers: vec![stun, shared.clone(), fixed],
        ice_secret: Some(IceSecret {
            secret: "south".parse().unwrap(),
            lifetime: Duration::from_secs(600),
        }),
        ..config()
    };
    let running = TestServer::with(told).await.unwrap();
    let _ann = Client::open(&running, "ann").await;
    let told = body(&get(&running, "ann", &[BEARER]).await);
    assert_eq!(told["ttl"], 600);
    let servers = told["iceServers"].as_array().unwrap();
    assert_eq!(servers[0], json!({"urls": ["stun:stun.example"]}));
    assert_eq!(
        servers[1]["urls"],
        json!(["turn:coturn.example:3478", "turns:coturn.example"])
    );
    assert_minted(&servers[1], "south", "ann", 600);
    assert_eq!(
        servers[2],
        json!({"urls": ["turn:fixed.example"], "username": "own", "credential": "own"})
    );
    // Whom nobody vouches for is told the others: a browser refuses all if one of them has no credentials.
    let device = format!("{ID}.localhost");
    for (host, path) in [
        (device.as_str(), "/__peerage/config.json"),
        ("localhost", "/username/config.json"),
    ] {
        let settings = ask(running.address(), "GET", path, &[("host", host)]).await;
        let servers = &body(&settings)["iceServers"];
        assert_eq!(servers.as_array().unwrap().len(), 2, "{path}");
        assert!(!settings.body.contains("coturn"), "{path}");
    }

    let half = IceServer {
        username: Some("u".to_owned()),
        ..shared.clone()
    };
    for (ice_servers, has_secret) in [
        (vec![shared], false),
        (vec![half.clone()], false),
        (vec![half], true),
    ] {
        let config = Config {
            ice_servers,
            ice_secret: has_secret.then(|| IceSecret {
                secret: secret(),
                lifetime: Duration::from_secs(1),
            }),
            ..config()
        };
        assert_eq!(State::new(config).unwrap_err().key, "ice_servers");
    }
}

#[tokio::test]
async fn a_secret_that_nobody_gave_is_drawn_and_not_twice_the_same() {
    let mut passwords = Vec::new();
    for _ in 0..2 {
        let server = serve_with(config(), TurnConfig::default()).await;
        let _ann = Client::open(&server, "ann").await;
        let mut told = body(&get(&server, "ann", &[BEARER]).await);
        let entry = told["iceServers"][1].take();
        let username = entry["username"].as_str().unwrap().to_owned();
        assert_ne!(entry["credential"], hmac_sha1(b"", &username).as_str());
        passwords.push(entry["credential"].as_str().unwrap().to_owned());
    }
    assert_ne!(passwords[0], passwords[1]);
}

#[tokio::test]
async fn a_page_of_any_site_gets_the_scripts_that_ask_for_stock_clients_and_join_rooms() {
    let server = serve().await;
    for (path, defines) in [
        ("/peerjs/ice.js", "useIceServers"),
        ("/peerjs/rooms.js", "joinRoom"),
        ("/peerjs/peerpyrtc.js", "WebRTCConnection"),
    ] {
        let answer = ask(server.address(), "GET", path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(defines), "{path}");
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        let tag = answer.header("etag").to_owned();
        let known = [("if-none-match", tag.as_str())];
        let answer = ask(server.address(), "GET", path, &known).await;
        assert_eq!(answer.status, 304, "{path}");
    }
}
