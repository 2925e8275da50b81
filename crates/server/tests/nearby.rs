//! Rooms by address and calls over HTTP, as ambianic-pnp's clients use them. What rooms promise is tested in `peerage-proto`; these are the shell's promises.

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::{Answer, Client, ask, ask_with_body, soon};
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, Cors, NearbyConfig};

const HOME: &str = "203.0.113.7";
const CAFE: &str = "198.51.100.9";

/// Tests reach the server as its believed proxy, so that they can be anybody.
async fn behind_a_proxy(mut config: Config) -> TestServer {
    config.proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    TestServer::with(config).await.expect("it starts")
}

/// A request of one client from one address.
async fn call(server: &TestServer, method: &str, path: &str, from: &str) -> Answer {
    let headers = [("x-forwarded-for", from), ("content-length", "0")];
    ask(server.address(), method, path, &headers).await
}

async fn room_id(server: &TestServer, id: &str, from: &str) -> String {
    let answer = call(server, "GET", &format!("/peerjs/{id}/t/room/id?ts=1"), from).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let room = answer.body.strip_prefix("{\"roomId\":\"");
    room.and_then(|room| room.strip_suffix("\"}"))
        .expect("a room's id")
        .to_owned()
}

/// Asks for the room, then joins it, as old clients do.
async fn join(server: &TestServer, id: &str, from: &str) -> Answer {
    let room = room_id(server, id, from).await;
    call(
        server,
        "POST",
        &format!("/peerjs/{id}/t/room/{room}/join"),
        from,
    )
    .await
}

async fn members(server: &TestServer, id: &str, from: &str) -> String {
    let room = room_id(server, id, from).await;
    call(
        server,
        "GET",
        &format!("/peerjs/{id}/t/room/{room}/members"),
        from,
    )
    .await
    .body
}

async fn send(server: &TestServer, path: &str, body: &str) -> Answer {
    ask_with_body(server.address(), "POST", path, &[], body).await
}

#[tokio::test]
async fn a_device_and_a_page_at_one_address_find_each_other_and_who_leaves_is_gone() {
    let server = behind_a_proxy(config()).await;
    let _sockets = (
        Client::open(&server, "edge").await,
        Client::open(&server, "ui").await,
    );
    assert_eq!(members(&server, "ui", HOME).await, "[]");
    assert_eq!(
        join(&server, "edge", HOME).await.body,
        r#"{"clientsIds":["edge"]}"#
    );
    assert_eq!(
        join(&server, "ui", HOME).await.body,
        r#"{"clientsIds":["edge","ui"]}"#
    );
    assert_eq!(members(&server, "ui", HOME).await, r#"["edge","ui"]"#);
    let room = room_id(&server, "ui", HOME).await;
    for was_in in ["true", "false"] {
        let left = call(
            &server,
            "POST",
            &format!("/peerjs/ui/t/room/{room}/leave"),
            HOME,
        )
        .await;
        assert_eq!(left.body, format!("{{\"wasInRoom\":{was_in}}}"));
    }
    assert_eq!(members(&server, "edge", HOME).await, r#"["edge"]"#);
}

#[tokio::test]
async fn who_is_elsewhere_is_refused_even_with_the_rooms_name() {
    let server = behind_a_proxy(config()).await;
    let _sockets = (
        Client::open(&server, "edge").await,
        Client::open(&server, "spy").await,
    );
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    let home = room_id(&server, "edge", HOME).await;
    for (method, what) in [("POST", "join"), ("GET", "members")] {
        for room in [home.as_str(), "anything"] {
            let path = format!("/peerjs/spy/t/room/{room}/{what}");
            let refused = call(&server, method, &path, CAFE).await;
            assert_eq!(
                (refused.status, refused.body.as_str()),
                (403, "Not the room of your address"),
                "{path}"
            );
        }
    }
    assert_eq!(members(&server, "edge", HOME).await, r#"["edge"]"#);
}

#[tokio::test]
async fn from_a_stranger_forwarding_headers_count_for_nothing() {
    let server = TestServer::start().await.unwrap();
    let _edge = Client::open(&server, "edge").await;
    let own = ask(server.address(), "GET", "/peerjs/edge/t/room/id", &[])
        .await
        .body;
    for header in [
        "x-forwarded-for",
        "x-client-ip",
        "x-real-ip",
        "cf-connecting-ip",
        "forwarded",
    ] {
        for value in [HOME, "for=203.0.113.7"] {
            let forged = ask(
                server.address(),
                "GET",
                "/peerjs/edge/t/room/id",
                &[(header, value)],
            )
            .await;
            assert_eq!(forged.body, own, "{header}: {value}");
        }
    }
}

#[tokio::test]
async fn through_a_believed_proxy_the_one_named_header_counts_and_no_other() {
    let server = behind_a_proxy(Config {
        proxy_header: "X-Real-IP".parse().unwrap(),
        ..config()
    })
    .await;
    let _edge = Client::open(&server, "edge").await;
    let get = async |headers: &[(&str, &str)]| {
        ask(server.address(), "GET", "/peerjs/edge/t/room/id", headers)
            .await
            .body
    };
    let own = get(&[]).await;
    assert_eq!(get(&[("x-forwarded-for", HOME)]).await, own);
    let real = get(&[("x-real-ip", HOME)]).await;
    assert_ne!(real, own);
    assert_eq!(
        get(&[
            ("x-real-ip", HOME),
            ("x-client-ip", CAFE),
            ("x-forwarded-for", CAFE)
        ])
        .await,
        real
    );
}

#[tokio::test]
async fn a_membership_ends_with_the_socket_and_survives_a_takeover_with_the_token() {
    let server = behind_a_proxy(config()).await;
    let _ui = Client::open(&server, "ui").await;
    let first = Client::open(&server, "edge").await;
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    let second = Client::open(&server, "edge").await;
    drop(first);
    assert_eq!(members(&server, "ui", HOME).await, r#"["edge"]"#);
    drop(second);
    let gone = async {
        while members(&server, "ui", HOME).await != "[]" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the end of a membership", gone).await;
    let _stranger = Client::open(&server, "edge").await;
    assert_eq!(
        members(&server, "ui", HOME).await,
        "[]",
        "the next owner of the id did not join"
    );
}

#[tokio::test]
async fn a_client_that_says_it_leaves_is_in_no_room_any_more() {
    let server = behind_a_proxy(config()).await;
    let (_ui, mut edge) = (
        Client::open(&server, "ui").await,
        Client::open(&server, "edge").await,
    );
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    edge.send(r#"{"type":"LEAVE"}"#).await;
    // The ping comes after that, and so does its answer.
    edge.ping().await;
    assert_eq!(members(&server, "ui", HOME).await, "[]");
    let call = send(&server, "/peerjs/edge/t/offer", "{}").await;
    assert_eq!((call.status, call.body.as_str()), (401, "Unauthorized"));
}

#[tokio::test]
async fn a_client_may_say_so_over_http_as_well() {
    let server = behind_a_proxy(config()).await;
    let (_ui, _edge) = (
        Client::open(&server, "ui").await,
        Client::open(&server, "edge").await,
    );
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    for (status, text) in [(200, "OK"), (401, "Unauthorized")] {
        let left = send(&server, "/peerjs/edge/t/leave", r#"{"type":"LEAVE"}"#).await;
        assert_eq!((left.status, left.body.as_str()), (status, text));
    }
    assert_eq!(members(&server, "ui", HOME).await, "[]");
}

#[tokio::test]
async fn who_is_refused_changes_nothing_for_the_one_it_claims_to_be() {
    let server = behind_a_proxy(config()).await;
    let _edge = Client::open(&server, "edge").await;
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    let room = room_id(&server, "edge", HOME).await;
    for what in [&format!("room/{room}/leave"), "leave", "offer"] {
        let path = format!("/peerjs/edge/guessed/{what}");
        assert_eq!(call(&server, "POST", &path, HOME).await.status, 401);
    }
    assert_eq!(members(&server, "edge", HOME).await, r#"["edge"]"#);
}

#[tokio::test]
async fn a_full_room_refuses_with_a_text_that_says_so() {
    let server = behind_a_proxy(Config {
        nearby: NearbyConfig {
            members: 1,
            ..NearbyConfig::default()
        },
        ..config()
    })
    .await;
    let _sockets = (
        Client::open(&server, "edge").await,
        Client::open(&server, "ui").await,
    );
    assert_eq!(join(&server, "edge", HOME).await.status, 200);
    let refused = join(&server, "ui", HOME).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (403, "Room is full")
    );
    assert_eq!(join(&server, "ui", CAFE).await.status, 200);
}

#[tokio::test]
async fn who_does_not_know_key_id_and_token_is_refused_in_ambianic_pnps_words() {
    let server = TestServer::start().await.unwrap();
    let _edge = Client::open(&server, "edge").await;
    for (path, content_type, text) in [
        (
            "/peerjs/edge/bad",
            "text/html; charset=utf-8",
            "Invalid token provided",
        ),
        (
            "/peerjs/nobody/t",
            "text/plain; charset=utf-8",
            "Unauthorized",
        ),
        (
            "/nokey/edge/t",
            "text/html; charset=utf-8",
            "Invalid key provided",
        ),
    ] {
        for (method, what) in [
            ("GET", "room/id"),
            ("POST", "room/x/join"),
            ("GET", "room/x/members"),
            ("POST", "room/x/leave"),
            ("POST", "offer"),
            ("POST", "leave"),
        ] {
            let refused = ask_with_body(
                server.address(),
                method,
                &format!("{path}/{what}"),
                &[],
                "{}",
            )
            .await;
            assert_eq!(
                (
                    refused.status,
                    refused.header("content-type"),
                    refused.body.as_str()
                ),
                (401, content_type, text),
                "{method} {path}/{what}"
            );
        }
    }
}

#[tokio::test]
async fn other_methods_and_other_paths_are_not_found() {
    let server = TestServer::start().await.unwrap();
    let _edge = Client::open(&server, "edge").await;
    for (method, what) in [
        ("GET", "room/x/join"),
        ("POST", "room/id"),
        ("POST", "room/x/members"),
        ("GET", "offer"),
        ("PUT", "offer"),
        ("POST", "other"),
        ("GET", "room"),
    ] {
        let answer = ask_with_body(
            server.address(),
            method,
            &format!("/peerjs/edge/t/{what}"),
            &[],
            "",
        )
        .await;
        assert_eq!(answer.status, 404, "{method} {what}");
    }
}

#[tokio::test]
async fn calls_may_be_read_by_all_pages_or_by_those_that_are_named() {
    let any = TestServer::start().await.unwrap();
    let some = TestServer::with(Config {
        cors: Cors::Origins(vec!["https://app.example".into()]),
        ..config()
    })
    .await
    .unwrap();
    for (server, origin, allowed) in [
        (&any, None, "*"),
        (&any, Some("https://app.example"), "https://app.example"),
        (&some, None, ""),
        (&some, Some("https://app.example"), "https://app.example"),
        (&some, Some("https://other.example"), ""),
    ] {
        let _edge = Client::open(server, "edge").await;
        let headers: Vec<_> = origin
            .map(|origin| ("origin", origin))
            .into_iter()
            .collect();
        for path in ["/peerjs/edge/t/room/id", "/peerjs/edge/bad/room/id"] {
            let answer = ask(server.address(), "GET", path, &headers).await;
            assert_eq!(
                answer.header("access-control-allow-origin"),
                allowed,
                "{origin:?} {path}"
            );
            assert!(answer.header("vary").contains("Origin"));
        }
    }
}

#[tokio::test]
async fn a_frame_in_a_call_is_relayed_as_one_on_the_socket_and_its_own_type_counts() {
    let server = TestServer::start().await.unwrap();
    let (mut edge, mut ui) = (
        Client::open(&server, "edge").await,
        Client::open(&server, "ui").await,
    );
    for (path, body, relayed) in [
        (
            "offer",
            r#"{"type":"OFFER","dst":"edge","payload":{"x":1}}"#,
            r#"{"type":"OFFER","src":"ui","dst":"edge","payload":{"x":1}}"#,
        ),
        (
            "answer",
            r#"{"type":"CANDIDATE","src":"forged","dst":"edge","payload":[ 1 ],"more":2}"#,
            r#"{"type":"CANDIDATE","src":"ui","dst":"edge","payload":[ 1 ]}"#,
        ),
        (
            "leave",
            r#"{"type":"LEAVE","dst":"edge"}"#,
            r#"{"type":"LEAVE","src":"ui","dst":"edge"}"#,
        ),
    ] {
        let answer = send(&server, &format!("/peerjs/ui/t/{path}"), body).await;
        assert_eq!(
            (
                answer.status,
                answer.header("content-type"),
                answer.body.as_str()
            ),
            (200, "text/plain; charset=utf-8", "OK")
        );
        assert_eq!(edge.receive().await, relayed);
    }
    // To somebody absent: it waits, and expires back to the socket.
    assert_eq!(
        send(
            &server,
            "/peerjs/ui/t/offer",
            r#"{"type":"OFFER","dst":"ghost"}"#
        )
        .await
        .body,
        "OK"
    );
    assert_eq!(
        ui.receive().await,
        r#"{"type":"EXPIRE","src":"ghost","dst":"ui"}"#
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_bad_request_and_an_unknown_type_is_ignored() {
    let server = TestServer::start().await.unwrap();
    let _ui = Client::open(&server, "ui").await;
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("5", 400),
        ("{}", 200),
        (r#"{"type":"CHAT"}"#, 200),
        (r#"{"type":"OFFER"}"#, 200),
    ] {
        assert_eq!(
            send(&server, "/peerjs/ui/t/offer", body).await.status,
            status,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_body_of_2_mib_is_taken_and_one_octet_more_is_not() {
    let server = TestServer::start().await.unwrap();
    let (mut edge, _ui) = (
        Client::open(&server, "edge").await,
        Client::open(&server, "ui").await,
    );
    let body = |octets: usize| {
        let empty = r#"{"type":"OFFER","dst":"edge","payload":""}"#;
        empty.replace("\"\"", &format!("\"{}\"", "x".repeat(octets - empty.len())))
    };
    const MAX: usize = 2 * 1024 * 1024;
    assert_eq!(
        send(&server, "/peerjs/ui/t/offer", &body(MAX)).await.status,
        200
    );
    assert!(edge.receive().await.len() > MAX);
    assert_eq!(
        send(&server, "/peerjs/ui/t/offer", &body(MAX + 1))
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn calls_beyond_the_rate_of_a_socket_are_refused_for_a_while_and_nobody_elses_are() {
    let server = TestServer::with(Config {
        message_rate: 1,
        message_burst: 2,
        ..config()
    })
    .await
    .unwrap();
    let _sockets = (
        Client::open(&server, "edge").await,
        Client::open(&server, "ui").await,
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(server.address(), "GET", "/peerjs/ui/t/room/id", &[]).await);
    }
    assert_eq!(
        statuses
            .iter()
            .map(|answer| answer.status)
            .collect::<Vec<_>>(),
        [200, 200, 200, 429]
    );
    assert!(
        statuses[3]
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|seconds| seconds >= 1)
    );
    assert_eq!(send(&server, "/peerjs/ui/t/offer", "{}").await.status, 429);
    assert_eq!(
        send(&server, "/peerjs/edge/t/offer", "{}").await.status,
        200
    );
}

#[tokio::test]
async fn a_client_that_sends_ping_frames_alone_stays_in_its_room() {
    let mut config = config();
    config.signal.alive_for = Duration::from_millis(600);
    let server = behind_a_proxy(config).await;
    let mut silent = Client::open(&server, "silent").await;
    let mut python = Client::open(&server, "python").await;
    for id in ["silent", "python"] {
        assert_eq!(join(&server, id, HOME).await.status, 200);
    }
    python.send(r#"{"ping":"once"}"#).await;
    let pinging = async {
        // Three lives of a silent client.
        for _ in 0..12 {
            python.ping().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    soon("pinging", pinging).await;
    assert_eq!(silent.closed().await, 1005);
    assert_eq!(members(&server, "python", HOME).await, r#"["python"]"#);
}

#[tokio::test]
async fn in_a_foreign_application_the_address_is_that_of_its_connect_info_or_unknown() {
    let state = peerage_server::State::new(config()).unwrap();
    for known in [true, false] {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = peerage_server::router(state.clone());
        let task = tokio::spawn(async move {
            if known {
                axum::serve(
                    listener,
                    app.into_make_service_with_connect_info::<SocketAddr>(),
                )
                .await
            } else {
                axum::serve(listener, app.into_make_service()).await
            }
        });
        let (mut socket, _) = soon(
            "connecting",
            tokio_tungstenite::connect_async(format!(
                "ws://{address}/peerjs?key=peerjs&id=edge{known}&token=t"
            )),
        )
        .await
        .unwrap();
        use futures_util::StreamExt;
        soon("OPEN", socket.next()).await.unwrap().unwrap();
        let answer = ask(
            address,
            "GET",
            &format!("/peerjs/edge{known}/t/room/id"),
            &[],
        )
        .await;
        assert_eq!(
            answer.status,
            if known { 200 } else { 503 },
            "{}",
            answer.body
        );
        task.abort();
    }
}

mod connections_per_address {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    fn limited() -> Config {
        Config {
            connections_per_address: Some(2),
            ..config()
        }
    }

    /// A connection from one of this machine's addresses, and whether the server keeps it.
    async fn connect(server: &TestServer, from: Ipv4Addr) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().expect("this machine");
        socket
            .bind((IpAddr::V4(from), 0).into())
            .expect("this machine");
        let mut stream = soon("connecting", socket.connect(server.address()))
            .await
            .expect("this machine");
        let asked = async {
            stream
                .write_all(b"GET /peerjs/id HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await?;
            let mut octets = [0; 12];
            stream.read_exact(&mut octets).await.map(|_| octets)
        };
        let answer = soon("an answer or an end", asked).await.ok()?;
        assert_eq!(&answer, b"HTTP/1.1 200");
        Some(stream)
    }

    async fn until_there_is_room<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
        soon("a place", async {
            loop {
                if let Some(got) = attempt().await {
                    break got;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    // All of 127.0.0.0/8 is one household: this machine. So the border is met by whichever of its addresses.
    #[tokio::test]
    async fn as_many_as_allowed_are_taken_one_more_is_closed_and_a_closed_one_gives_its_place_back()
    {
        let server = TestServer::with(limited()).await.unwrap();
        let here = Ipv4Addr::LOCALHOST;
        let first = connect(&server, here).await.expect("the first");
        let _second = connect(&server, Ipv4Addr::new(127, 0, 0, 2))
            .await
            .expect("the second");
        assert!(connect(&server, here).await.is_none(), "one too many");
        assert!(
            connect(&server, here).await.is_none(),
            "a refused one takes no place"
        );
        drop(first);
        until_there_is_room(async || connect(&server, here).await).await;
    }

    #[tokio::test]
    async fn a_websocket_holds_its_place_until_it_ends() {
        let server = TestServer::with(limited()).await.unwrap();
        let (first, _second) = (
            Client::open(&server, "a").await,
            Client::open(&server, "b").await,
        );
        assert!(connect(&server, Ipv4Addr::LOCALHOST).await.is_none());
        drop(first);
        until_there_is_room(async || connect(&server, Ipv4Addr::LOCALHOST).await).await;
    }

    /// A WebSocket through a believed proxy; none where it is refused with 429.
    async fn dial(server: &TestServer, id: &str, from: &str) -> Option<Client> {
        use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};
        let url = format!(
            "ws://{}/peerjs?key=peerjs&id={id}&token=t",
            server.address()
        );
        let mut request = url.into_client_request().expect("well formed");
        request
            .headers_mut()
            .insert("x-forwarded-for", from.parse().expect("well formed"));
        match soon("connecting", tokio_tungstenite::connect_async(request)).await {
            Ok((socket, _)) => Some(Client(socket)),
            Err(Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), 429);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn behind_a_believed_proxy_each_client_is_counted_and_not_the_proxy() {
        let server = behind_a_proxy(limited()).await;
        let first = dial(&server, "a", HOME).await.expect("the first");
        let _second = dial(&server, "b", HOME).await.expect("the second");
        assert!(dial(&server, "c", HOME).await.is_none(), "one too many");
        assert_eq!(call(&server, "GET", "/peerjs/id", HOME).await.status, 429);
        let _others = (
            dial(&server, "d", CAFE).await.expect("another"),
            dial(&server, "e", CAFE).await.expect("another"),
        );
        drop(first);
        until_there_is_room(async || dial(&server, "f", HOME).await).await;
    }

    #[tokio::test]
    async fn an_ipv6_64_is_one_client_and_the_next_64_another() {
        let server = behind_a_proxy(limited()).await;
        let _held = (
            dial(&server, "a", "2001:db8::1").await.expect("the first"),
            dial(&server, "b", "2001:db8::ffff:1")
                .await
                .expect("the second"),
        );
        assert!(dial(&server, "c", "2001:db8::2").await.is_none());
        assert!(dial(&server, "d", "2001:db8:0:1::1").await.is_some());
    }

    #[tokio::test]
    async fn a_proxys_connection_that_waits_for_its_next_request_is_nobodys() {
        let server = behind_a_proxy(Config {
            connections_per_address: Some(1),
            ..config()
        })
        .await;
        let mut pool = Vec::new();
        for _ in 0..3 {
            let mut stream = soon("connecting", TcpStream::connect(server.address()))
                .await
                .unwrap();
            for from in [HOME, CAFE, HOME] {
                let request = format!(
                    "GET /peerjs/id HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {from}\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut octets = vec![0; 4096];
                let length = soon("an answer", stream.read(&mut octets)).await.unwrap();
                assert!(
                    octets[..length].starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&octets[..length])
                );
            }
            pool.push(stream);
        }
    }
}

#[tokio::test]
async fn answers_count_as_held_until_they_are_written_and_what_is_too_much_is_refused() {
    // What an answer holds beyond 16 KiB counts; each of these ids is 3,070 octets of JSON.
    let limit = 7 * 1024;
    let server = behind_a_proxy(Config {
        buffered: limit,
        discovery: true,
        ..config()
    })
    .await;
    let id = |number: usize| format!("{number}{}", "%01".repeat(511));
    let mut sockets = Vec::new();
    for number in 0..7 {
        sockets.push(Client::open(&server, &id(number)).await);
        assert_eq!(join(&server, &id(number), HOME).await.status, 200);
    }
    let peers = async || call(&server, "GET", "/peerjs/peers", HOME).await;
    for _ in 0..3 {
        let answer = members(&server, &id(0), HOME).await;
        assert!(answer.len() > 16 * 1024 + limit / 2, "given back");
        assert_eq!(peers().await.body, answer);
    }
    sockets.push(Client::open(&server, &id(7)).await);
    assert_eq!(join(&server, &id(7), HOME).await.status, 503);
    assert_eq!(peers().await.status, 503);
    drop(sockets.pop());
    let gone = async {
        while peers().await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of a registration", gone).await;
    assert!(!members(&server, &id(0), HOME).await.is_empty());
}
