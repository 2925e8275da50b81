//! The username protocol over real sockets, and its page. The machine's own promises are tested in `peerage-proto`; these are the shell's.

mod common;

use std::time::Duration;

use common::{Client, ask, soon};
use futures_util::{SinkExt, StreamExt};
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, IceServer, NamesConfig, SignalConfig};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

async fn join(server: &TestServer, name: &str) -> Client {
    let mut client = Client::dial(server, "/").await;
    log_in(&mut client, name).await;
    client
}

/// A login has no answer: what is sent to oneself comes after it.
async fn log_in(client: &mut Client, name: &str) {
    client
        .send(&format!(r#"{{"action":"login","data":"{name}"}}"#))
        .await;
    client
        .send(&format!(
            r#"{{"from":"{name}","to":"{name}","action":"echo"}}"#
        ))
        .await;
    assert_eq!(
        client.receive().await,
        format!(r#"{{"from":"{name}","to":"{name}","action":"echo"}}"#)
    );
}

async fn code(client: &mut Client) -> String {
    let text = client.receive().await;
    let value: Value = serde_json::from_str(&text).expect("what is sent is JSON");
    assert_eq!(value["action"], "error", "{text}");
    value["data"]["code"]
        .as_str()
        .expect("an error has a code")
        .to_owned()
}

#[tokio::test]
async fn two_clients_exchange_offer_answer_and_candidates_by_name() {
    let server = TestServer::start().await.unwrap();
    let (mut anna, mut ben) = (join(&server, "anna").await, join(&server, "ben").await);
    let offer =
        r#"{"from":"anna","to":"ben","action":"offer","data":{"type":"offer","sdp":"v=0\r\n"}}"#;
    anna.send(offer).await;
    assert_eq!(ben.receive().await, offer);
    let answer =
        r#"{"from":"ben","to":"anna","action":"answer","data":{"type":"answer","sdp":"v=0\r\n"}}"#;
    ben.0.send(Message::binary(answer)).await.unwrap();
    assert_eq!(anna.receive().await, answer);
    anna.send(r#"{"from":"forged","to":"ben","action":"candidate","data":{}}"#)
        .await;
    assert_eq!(
        ben.receive().await,
        r#"{"from":"anna","to":"ben","action":"candidate","data":{}}"#
    );
}

#[tokio::test]
async fn faults_are_answered_and_cost_nobody_a_connection() {
    let server = TestServer::start().await.unwrap();
    let mut anna = join(&server, "anna").await;
    let mut x = Client::dial(&server, "/?whatever=1").await;
    for (text, expected) in [
        (r#"{"to":"anna"}"#, "malformed"),
        (r#"{"action":"offer","data":1}"#, "malformed"),
        (r#"{"action":"login"}"#, "malformed"),
        ("{oops", "malformed"),
        ("5", "malformed"),
        (
            r#"{"action":"offer","to":"anna","data":1}"#,
            "not-logged-in",
        ),
        (r#"{"action":"login","data":"anna"}"#, "name-taken"),
    ] {
        x.send(text).await;
        assert_eq!(code(&mut x).await, expected, "{text}");
    }
    x.0.send(Message::binary(vec![0xff, 0xfe])).await.unwrap();
    assert_eq!(code(&mut x).await, "malformed");
    log_in(&mut x, "x").await;
    x.send(r#"{"action":"x","to":"nobody"}"#).await;
    assert_eq!(code(&mut x).await, "unknown-receiver");
    x.send(r#"{"action":"x","to":"anna"}"#).await;
    assert_eq!(
        anna.receive().await,
        r#"{"action":"x","to":"anna","from":"x"}"#
    );
}

#[tokio::test]
async fn a_message_above_1_mib_closes_its_sender_alone() {
    let server = TestServer::start().await.unwrap();
    let (mut anna, mut big) = (join(&server, "anna").await, join(&server, "big").await);
    let sized = |octets: usize| {
        let head = r#"{"from":"big","to":"anna","action":"x","data":""#;
        format!("{head}{}\"}}", "x".repeat(octets - head.len() - 2))
    };
    let largest = sized(1024 * 1024);
    big.send(&largest).await;
    assert!(anna.receive().await == largest);
    let _ = soon("sending", big.0.send(Message::text(sized(1024 * 1024 + 1)))).await;
    assert_eq!(big.closed().await, 1009);
    log_in(&mut anna, "anna").await;
    join(&server, "big").await;
}

#[tokio::test]
async fn a_name_is_free_when_its_client_has_gone_without_a_word() {
    let server = TestServer::start().await.unwrap();
    let mut anna = join(&server, "anna").await;
    drop(join(&server, "ben").await);
    // The server hears of it in its own time; till then messages are his, and only the echo comes back.
    let echo = r#"{"from":"anna","to":"anna","action":"echo"}"#;
    let gone = async {
        loop {
            anna.send(r#"{"action":"x","to":"ben"}"#).await;
            anna.send(echo).await;
            let heard = anna.receive().await;
            if heard != echo {
                assert!(heard.contains("unknown-receiver"), "{heard}");
                break;
            }
        }
    };
    soon("the end of ben", gone).await;
    join(&server, "ben").await;
}

#[tokio::test]
async fn who_never_reads_is_closed_and_its_senders_go_on() {
    let server = TestServer::with(Config {
        send_queue: 512 * 1024,
        octet_rate: 1024 * 1024 * 1024,
        ..config()
    })
    .await
    .unwrap();
    let mut anna = join(&server, "anna").await;
    let victim = join(&server, "victim").await;
    let echo = r#"{"from":"anna","to":"anna","action":"echo"}"#;
    let filler = "x".repeat(256 * 1024);
    // The system's buffers take some megabytes before the queue does.
    let flood = async {
        loop {
            let text = format!(r#"{{"action":"x","to":"victim","data":"{filler}","from":"anna"}}"#);
            anna.send(&text).await;
            anna.send(echo).await;
            let heard = anna.receive().await;
            if heard != echo {
                assert!(heard.contains("unknown-receiver"), "{heard}");
                break;
            }
        }
    };
    soon("the end of who does not read", flood).await;
    join(&server, "victim").await;
    drop(victim);
}

fn impatient() -> Config {
    Config {
        names: Some(NamesConfig {
            ping_after: Duration::from_millis(250),
            alive_for: Duration::from_millis(1_500),
            ..NamesConfig::default()
        }),
        ..config()
    }
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_is_silent_is_closed() {
    let server = TestServer::with(impatient()).await.unwrap();
    let mut anna = join(&server, "anna").await;
    // A client that does not read does not answer either.
    let mut silent = join(&server, "silent").await;
    let mut pings = 0;
    while pings < 8 {
        match soon("a ping", anna.0.next()).await {
            Some(Ok(Message::Ping(_))) => {
                pings += 1;
                // What is read is answered with the next write.
                anna.0.flush().await.unwrap();
            }
            other => panic!("no ping but {other:?}"),
        }
    }
    // 8 pings are longer than silence may last.
    assert_eq!(silent.closed().await, 1005);
    join(&server, "silent").await;
    log_in(&mut anna, "anna").await;
}

#[tokio::test]
async fn the_end_of_the_server_is_said_to_those_who_talk_by_name() {
    let server = TestServer::start().await.unwrap();
    let mut anna = join(&server, "anna").await;
    let (code, ()) = tokio::join!(anna.closed(), soon("the end", server.stop()));
    assert_eq!(code, 1001);
}

#[tokio::test]
async fn the_page_runs_its_own_scripts_only_and_makes_no_markup_of_texts() {
    let server = TestServer::start().await.unwrap();
    let page = ask(server.address(), "GET", "/username", &[]).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    // What it names is here, and nothing comes from elsewhere.
    let names: Vec<&str> = ["href=\"", "src=\""]
        .iter()
        .flat_map(|label| page.body.split(label).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let file = ask(server.address(), "GET", &format!("/{name}"), &[]).await;
        assert_eq!(
            (file.status, file.header("x-content-type-options")),
            (200, "nosniff"),
            "{name}"
        );
    }
    let slash = ask(server.address(), "GET", "/username/", &[]).await;
    assert_eq!(
        (slash.status, slash.header("location")),
        (308, "../username")
    );
}

#[tokio::test]
async fn the_page_is_told_the_ice_servers_that_are_set_and_of_none_else() {
    let ask_for = async |server: &TestServer| {
        let answer = ask(server.address(), "GET", "/username/config.json", &[]).await;
        serde_json::from_str::<Value>(&answer.body).unwrap()["iceServers"].clone()
    };
    let server = TestServer::start().await.unwrap();
    assert_eq!(ask_for(&server).await, serde_json::json!([]));
    let server = TestServer::with(Config {
        ice_servers: vec![IceServer {
            urls: vec!["stun:stun.example".into()],
            username: None,
            credential: None,
        }],
        ..config()
    })
    .await
    .unwrap();
    assert_eq!(
        ask_for(&server).await,
        serde_json::json!([{ "urls": ["stun:stun.example"] }])
    );
}

#[tokio::test]
async fn a_key_may_be_called_as_the_page_is() {
    let server = TestServer::with(Config {
        signal: SignalConfig {
            key: "username".into(),
            ..config().signal
        },
        ..config()
    })
    .await
    .unwrap();
    let id = ask(server.address(), "GET", "/username/id", &[]).await;
    assert_eq!((id.status, id.body.len()), (200, 36));
}

#[tokio::test]
async fn below_a_path_everything_is_below_it() {
    let server = TestServer::with(Config {
        path: "/myapp".into(),
        ..config()
    })
    .await
    .unwrap();
    for path in ["/myapp", "/myapp/"] {
        let mut anna = Client::dial(&server, path).await;
        log_in(&mut anna, path).await;
    }
    for (path, status) in [
        ("/myapp/username", 200),
        ("/myapp/username/page.js", 200),
        ("/myapp/username/config.json", 200),
        ("/username", 404),
        ("/username/config.json", 404),
    ] {
        let answer = ask(server.address(), "GET", path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
    }
    let outside = soon("an answer", Client::try_dial(&server, "localhost", "/")).await;
    assert!(outside.is_err());
}

#[tokio::test]
async fn turned_off_there_is_neither_socket_nor_page() {
    let server = TestServer::with(Config {
        names: None,
        ..config()
    })
    .await
    .unwrap();
    let socket = soon("an answer", Client::try_dial(&server, "localhost", "/")).await;
    assert!(socket.is_err());
    for path in ["/username", "/username/page.js", "/username/config.json"] {
        let answer = ask(server.address(), "GET", path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}
