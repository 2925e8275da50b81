//! `POST /offer`, `/candidate`, `/leave`, and the operator's routes.

use std::net::SocketAddr;

use peerage_server::hub::{Admin, HubConfig, HubLimits, Secret};
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, Cors};
use serde_json::{Value, json};

use crate::common::{Answer, ask, ask_with_body};
use crate::members::{Old, engine, eventually, old_channel, opened};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn with_rooms() -> Config {
    Config {
        hub: Some(HubConfig::default()),
        ..config()
    }
}

async fn server() -> TestServer {
    TestServer::with(with_rooms()).await.unwrap()
}

async fn with_admin(admin: Admin) -> TestServer {
    let mut config = with_rooms();
    config.hub.as_mut().unwrap().admin = admin;
    TestServer::with(config).await.unwrap()
}

fn token() -> Admin {
    Admin::Token(TOKEN.parse::<Secret>().unwrap())
}

pub(crate) async fn post(server: &TestServer, path: &str, body: impl ToString) -> Answer {
    ask_with_body(server.address(), "POST", path, &[], &body.to_string()).await
}

fn said(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_str(&answer.body).unwrap()
}

/// Whoever does as PeerPyRTC's client does: offers without candidates, which come one by one.
async fn join(server: &TestServer, room: &str, name: &str) -> Old {
    let (mut link, sdp) = engine().offer(&[old_channel()]).await.unwrap();
    let (candidates, bare): (Vec<&str>, Vec<&str>) = sdp
        .split_inclusive("\r\n")
        .partition(|line| line.starts_with("a=candidate:"));
    let candidate = |line: &str| json!({ "candidate": line.trim().trim_start_matches("a="), "sdpMid": "0", "sdpMLineIndex": 0 });
    // Some before the offer.
    let (early, late) = candidates.split_at(candidates.len() / 2);
    for line in early {
        let body = json!({ "room": room, "peer_id": name, "candidate": candidate(line) });
        assert_eq!(post(server, "/candidate", body).await.status, 200);
    }
    let offer = json!({ "type": "offer", "sdp": bare.concat() });
    let body = json!({ "room": room, "peer_id": name, "offer": offer });
    let answer = post(server, "/offer", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = said(&answer);
    assert_eq!(answer["answer"]["type"], "answer");
    let sdp = answer["answer"]["sdp"].as_str().unwrap();
    assert!(
        sdp.contains("a=candidate:") && sdp.contains("a=end-of-candidates"),
        "{sdp}"
    );
    for line in late {
        let body = json!({ "room": room, "peer_id": name, "candidate": candidate(line) });
        assert_eq!(
            said(&post(server, "/candidate", body).await),
            json!({ "status": "ok" })
        );
    }
    link.accept(sdp).await.unwrap();
    let channel = opened(&mut link).await;
    let mut old = Old {
        name: name.to_owned(),
        link,
        channel,
    };
    old.join().await;
    old
}

#[tokio::test]
async fn clients_of_peerpyrtc_meet_by_its_three_routes() {
    let server = server().await;
    let ann = join(&server, "r", "ann").await;
    let mut ben = join(&server, "r", "ben").await;
    ann.chat("hi").await;
    assert_eq!(
        ben.hear().await,
        json!({ "peer_id": "ann", "message": "hi" })
    );
    let left = post(&server, "/leave", json!({ "room": "r", "peer_id": "ann" })).await;
    assert_eq!(said(&left), json!({ "status": "ok" }));
    assert_eq!(ben.until("PEER_LEAVE").await["peer_id"], "ann");
    let hub = server.state().hub().unwrap();
    assert_eq!(hub.room_peers("r").len(), 1);
}

#[tokio::test]
async fn on_loopback_members_are_told_loopback_addresses_alone() {
    let server = server().await;
    let (_link, sdp) = engine().offer(&[old_channel()]).await.unwrap();
    let body = json!({ "room": "r", "peer_id": "ann", "offer": { "type": "offer", "sdp": sdp } });
    let answer = said(&post(&server, "/offer", body).await);
    let sdp = answer["answer"]["sdp"].as_str().unwrap();
    for line in sdp.lines().filter(|line| line.starts_with("a=candidate:")) {
        let address: std::net::IpAddr = line.split(' ').nth(4).unwrap().parse().unwrap();
        assert!(address.is_loopback(), "{line}");
    }
}

#[tokio::test]
async fn missing_or_wrong_fields_and_nonsense_are_400_and_leaving_what_is_unknown_is_200() {
    let server = server().await;
    let sdp = json!({ "type": "offer", "sdp": "bad" });
    let long = "x".repeat(600);
    for (path, body, error) in [
        ("/offer", "", "No JSON data received"),
        ("/offer", "{}", "No JSON data received"),
        ("/candidate", "{}", "No JSON data received"),
        ("/leave", "null", "No JSON data received"),
        ("/offer", "{", "The body is not JSON"),
        ("/offer", "x", "The body is not JSON"),
        ("/leave", "[1]", "The body is not a JSON object"),
        (
            "/offer",
            r#"{"room":"x"}"#,
            "Missing required fields: room, peer_id, offer",
        ),
        (
            "/offer",
            r#"{"room":"","peer_id":"p","offer":{"sdp":"v"}}"#,
            "Missing required fields: room, peer_id, offer",
        ),
        (
            "/candidate",
            r#"{"room":"x","peer_id":"p"}"#,
            "Missing required fields",
        ),
        ("/leave", r#"{"room":"x"}"#, "Missing required fields"),
        (
            "/leave",
            r#"{"room":5,"peer_id":"p"}"#,
            "room must be a text",
        ),
        (
            "/leave",
            r#"{"room":"a\u0000b","peer_id":"p"}"#,
            "room must be a text",
        ),
        (
            "/leave",
            r#"{"room":"x","peer_id":["p"]}"#,
            "peer_id must be a text",
        ),
        (
            "/candidate",
            r#"{"room":"x","peer_id":"server","candidate":{"candidate":"c"}}"#,
            "peer_id must be a text",
        ),
        (
            "/leave",
            &json!({ "room": long, "peer_id": "p" }).to_string(),
            "room must be a text",
        ),
        (
            "/leave",
            &json!({ "room": "x", "peer_id": long }).to_string(),
            "peer_id must be a text",
        ),
        (
            "/offer",
            &json!({ "room": "x", "peer_id": "p", "offer": sdp }).to_string(),
            "offer must be a session description",
        ),
        (
            "/offer",
            r#"{"room":"x","peer_id":"p","offer":{"sdp":"v=0"}}"#,
            "offer must be a session description",
        ),
        (
            "/offer",
            r#"{"room":"x","peer_id":"p","offer":{"sdp":"v=0","type":"answer"}}"#,
            "offer must be a session description",
        ),
        (
            "/offer",
            r#"{"room":"x","peer_id":"p","offer":"v=0"}"#,
            "offer must be a session description",
        ),
    ] {
        let answer = post(&server, path, body).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        let text = said(&answer)["error"].as_str().unwrap().to_owned();
        assert!(text.starts_with(error), "{path} {body}: {text}");
    }
    for body in [
        json!({ "room": "nowhere", "peer_id": "p" }),
        json!({ "room": "\u{1f600}", "peer_id": "unknowing" }),
    ] {
        assert_eq!(
            said(&post(&server, "/leave", body).await),
            json!({ "status": "ok" })
        );
    }
    let hub = server.state().hub().unwrap();
    // Nothing of all that is kept.
    assert!(hub.rooms_info().is_empty());
    assert_eq!(hub.stats().half_open, 0);
}

#[tokio::test]
async fn a_candidate_is_taken_from_whoever_may_offer_later() {
    let server = server().await;
    for candidate in [
        json!({ "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0" }),
        json!({ "candidate": "" , "sdpMid": "0" }),
        json!({ "candidate": "nonsense" }),
        json!("candidate:1 1 udp 1 192.0.2.1 9 typ host"),
    ] {
        let body = json!({ "room": "x", "peer_id": "p", "candidate": candidate });
        assert_eq!(
            said(&post(&server, "/candidate", body).await),
            json!({ "status": "ok" })
        );
    }
}

#[tokio::test]
async fn pages_of_the_origins_that_may_are_let_in_and_others_cannot_read() {
    let origins = Cors::Origins(vec!["https://app.example".to_owned()]);
    let mut config = with_rooms();
    config.cors = origins;
    let server = TestServer::with(config).await.unwrap();
    for (origin, allowed) in [
        ("https://app.example", "https://app.example"),
        ("https://other.example", ""),
    ] {
        let headers = [
            ("origin", origin),
            ("access-control-request-headers", "content-type"),
        ];
        let preflight = ask(server.address(), "OPTIONS", "/offer", &headers).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), allowed);
        let answer = ask_with_body(server.address(), "POST", "/leave", &headers[..1], "{}").await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_not_found_and_neither_is_anything_without_rooms() {
    let server = server().await;
    for (method, path) in [
        ("GET", "/offer"),
        ("PUT", "/leave"),
        ("POST", "/rooms"),
        ("GET", "/broadcast"),
        ("POST", "/zzz"),
    ] {
        assert_eq!(
            ask(server.address(), method, path, &[]).await.status,
            404,
            "{path}"
        );
    }
    let bare = TestServer::start().await.unwrap();
    assert!(bare.state().hub().is_none());
    for path in ["/offer", "/candidate", "/leave"] {
        assert_eq!(post(&bare, path, "{}").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_operators_routes_are_closed_unless_they_are_opened() {
    let server = server().await;
    for (method, path) in [
        ("GET", "/rooms"),
        ("GET", "/room-status/r"),
        ("POST", "/broadcast"),
    ] {
        let answer = ask(server.address(), method, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            said(&answer)["error"]
                .as_str()
                .unwrap()
                .contains("--rooms-admin-token-file")
        );
    }
}

#[tokio::test]
async fn with_the_token_the_operator_sees_rooms_and_speaks_in_them() {
    let server = with_admin(token()).await;
    let mut ann = join(&server, "a room", "ann").await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let get = async |path: &str| ask(server.address(), "GET", path, &headers).await;
    let rooms = get("/rooms").await;
    assert_eq!(rooms.header("cache-control"), "no-store");
    assert_eq!(said(&rooms)["a room"]["peer_count"], 1);
    let status = said(&get("/room-status/a%20room").await);
    assert_eq!(
        (&status["count"], &status["host_id"]),
        (&json!(1), &json!("ann"))
    );
    let unknown = said(&get("/room-status/unknown").await);
    assert_eq!(unknown, json!({ "count": 0, "host_id": null, "peers": [] }));
    let say = async |body: Value| {
        ask_with_body(
            server.address(),
            "POST",
            "/broadcast",
            &headers,
            &body.to_string(),
        )
        .await
    };
    let reached = say(json!({ "room": "a room", "message": { "x": 1 } })).await;
    assert_eq!(said(&reached), json!({ "status": "ok", "reached": 1 }));
    assert_eq!(
        ann.hear().await,
        json!({ "peer_id": "server", "message": { "x": 1 } })
    );
    let nobody = say(json!({ "room": "nowhere", "message": 1 })).await;
    assert_eq!(said(&nobody)["reached"], 0);
    assert_eq!(say(json!({ "room": "a room" })).await.status, 400);
}

#[tokio::test]
async fn metrics_tell_of_rooms() {
    let mut config = with_rooms();
    config.metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = TestServer::with(config).await.unwrap();
    let ann = join(&server, "r", "ann").await;
    let mut ben = join(&server, "r", "ben").await;
    ann.chat("hi").await;
    ben.hear().await;
    let metrics = ask(server.metrics().unwrap(), "GET", "/metrics", &[])
        .await
        .body;
    for line in [
        "peerage_rooms 1",
        "peerage_rooms_members 2",
        "peerage_rooms_half_open 0",
        "peerage_rooms_joined_total 2",
        "peerage_rooms_offers_total{result=\"answered\"} 2",
        "peerage_rooms_dropped_total{cause=\"slow_member\"} 0",
    ] {
        assert!(
            metrics.lines().any(|told| told == line),
            "{line} is not in\n{metrics}"
        );
    }
    assert!(
        metrics.contains("peerage_rooms_messages_total{direction=\"in\"} 3"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_udp_port_that_is_taken_is_no_obstacle_unless_it_was_named() {
    // Whoever is first has it: the test's own socket.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut config = with_rooms();
    config.hub.as_mut().unwrap().port = Some(port);
    let refused = TestServer::with(config).await.unwrap_err();
    assert!(
        matches!(refused, peerage_server::BindError::Hub(peerage_server::hub::HubError::Port { port: named, .. }) if named == port),
        "{refused:?}"
    );
    let mut config = with_rooms();
    config.listen.set_port(port);
    let server = TestServer::with(config).await.unwrap();
    let hub = server.state().hub().unwrap();
    assert_ne!(hub.port(), port);
    drop(taken);
    let _ann = join(&server, "r", "ann").await;
}

#[tokio::test]
async fn rooms_end_with_the_server() {
    let server = server().await;
    let mut ann = join(&server, "r", "ann").await;
    server.stop().await;
    ann.is_cut_off().await;
}

#[tokio::test]
async fn a_full_server_says_when_to_come_again() {
    let mut config = with_rooms();
    config.hub.as_mut().unwrap().limits = HubLimits {
        members: 1,
        ..HubLimits::default()
    };
    let server = TestServer::with(config).await.unwrap();
    let ann = join(&server, "r", "ann").await;
    let (_link, sdp) = engine().offer(&[old_channel()]).await.unwrap();
    let body = json!({ "room": "r", "peer_id": "ben", "offer": { "type": "offer", "sdp": sdp } });
    let refused = post(&server, "/offer", &body).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "6"));
    assert_eq!(said(&refused)["error"], "the server is full");
    drop(ann);
    let hub = server.state().hub().unwrap();
    eventually("a place", || hub.rooms_info().is_empty()).await;
    let _ben = join(&server, "r", "ben").await;
}
