//! HTTP exchanges recorded from peerjs-server 1.0.2 (`vectors/peerjs-server.json`), asked again of this server.
//!
//! [`DIFFERENCES`] names every exchange that is answered otherwise, and why.

mod common;

use std::collections::HashMap;

use common::ask;
use peerage_server::testing::{TestServer, config};
use peerage_server::{Config, Cors};
use serde::Deserialize;

/// Exchange, what is answered instead, and why.
const DIFFERENCES: &[(&str, Different, &str)] = &[
    (
        "new id, any key is accepted on the HTTP side",
        Different::Status(401),
        "the key is checked everywhere, or it is no key",
    ),
    (
        "old XHR fallback path (removed in 1.0)",
        Different::Status(401),
        "ambianic-pnp's clients have it still; this one's id is not registered",
    ),
    (
        "peers with discovery on, two clients registered, server key mykey, path /myapp",
        Different::NotYet,
        "option `path`",
    ),
    (
        "peers with another key in the path",
        Different::NotYet,
        "option `path`",
    ),
    ("banner under path", Different::NotYet, "option `path`"),
    (
        "banner under path with slash",
        Different::NotYet,
        "option `path`",
    ),
    (
        "root when path is /myapp",
        Different::NotYet,
        "option `path`",
    ),
    (
        "path option without leading slash (\"app\")",
        Different::NotYet,
        "option `path`",
    ),
    (
        "path option without leading slash (\"app\"), id",
        Different::NotYet,
        "option `path`",
    ),
];

enum Different {
    Status(u16),
    NotYet,
}

#[derive(Deserialize)]
struct Vectors {
    http: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    desc: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

#[tokio::test]
async fn recorded_exchanges_come_out_the_same_but_for_the_table() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../vectors/peerjs-server.json")).unwrap();
    let open = TestServer::start().await.unwrap();
    let origins = ["https://a.example", "https://b.example"]
        .map(str::to_owned)
        .to_vec();
    let listed = TestServer::with(Config {
        cors: Cors::Origins(origins),
        ..config()
    })
    .await
    .unwrap();
    for (desc, ..) in DIFFERENCES {
        assert!(
            vectors.http.iter().any(|exchange| exchange.desc == *desc),
            "{desc} is no recorded exchange"
        );
    }
    for Exchange {
        desc,
        request,
        response,
    } in &vectors.http
    {
        let different = DIFFERENCES
            .iter()
            .find(|(name, ..)| name == desc)
            .map(|(_, different, _)| different);
        if matches!(different, Some(Different::NotYet)) {
            continue;
        }
        let server = if desc.starts_with("cors option") {
            &listed
        } else {
            &open
        };
        let headers: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = ask(server.address(), &request.method, &request.path, &headers).await;
        if let Some(Different::Status(status)) = different {
            assert_eq!(answer.status, *status, "{desc}");
            continue;
        }
        assert_eq!(answer.status, response.status, "{desc}");
        for name in [
            "access-control-allow-origin",
            "access-control-allow-methods",
            "access-control-allow-headers",
        ] {
            assert_eq!(
                answer.header(name),
                response.headers.get(name).map_or("", String::as_str),
                "{desc}: {name}"
            );
        }
        for part in response
            .headers
            .get("vary")
            .into_iter()
            .flat_map(|vary| vary.split(", "))
        {
            assert!(
                answer.header("vary").split(", ").any(|ours| ours == part),
                "{desc}: vary {part}"
            );
        }
        match response.body.as_str() {
            "<uuid v4>" => assert_eq!(
                (answer.body.len(), &answer.body[14..15]),
                (36, "4"),
                "{desc}"
            ),
            // Bodies of errors are for people, and ours are text.
            "<html error page>" => {
                assert_eq!(answer.header("x-content-type-options"), "nosniff", "{desc}")
            }
            body => {
                assert_eq!(answer.body, body, "{desc}");
                let content_type = response
                    .headers
                    .get("content-type")
                    .map_or("", String::as_str);
                assert_eq!(answer.header("content-type"), content_type, "{desc}");
            }
        }
    }
}

#[tokio::test]
async fn a_browser_that_comes_by_gets_a_page() {
    let server = TestServer::start().await.unwrap();
    let page = ask(
        server.address(),
        "GET",
        "/",
        &[("accept", "text/html,*/*;q=0.8")],
    )
    .await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.body.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn ids_are_listed_only_where_the_owner_allows_it() {
    let server = TestServer::with(Config {
        discovery: true,
        ..config()
    })
    .await
    .unwrap();
    let _one = common::Client::open(&server, "one").await;
    let _two = common::Client::open(&server, "two").await;
    let peers = ask(server.address(), "GET", "/peerjs/peers", &[]).await;
    assert_eq!(
        (peers.status, peers.body.as_str()),
        (200, r#"["one","two"]"#)
    );
    assert_eq!(
        ask(server.address(), "GET", "/other/peers", &[])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    let server = TestServer::start().await.unwrap();
    let long = "x".repeat(200_000);
    assert_eq!(
        ask(server.address(), "GET", "/", &[("x-long", &long)])
            .await
            .status,
        431
    );
    let names: Vec<String> = (0..130).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(ask(server.address(), "GET", "/", &many).await.status, 431);
}
