//! `peerage expose` and `peerage fetch` through the TURN server of `peerage serve`, without a line of configuration on their side.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::run::{Place, Running, code, free_port, stderr, stdout};

/// A server whose relay serves this machine; and where it is.
fn serve(place: &Place) -> (Running, String) {
    let (port, turn_port) = (free_port().to_string(), free_port());
    let (state, listen) = (place.text("server"), format!("127.0.0.1:{turn_port}"));
    let mut server = Running::start(&[
        "serve",
        "--port",
        &port,
        "--state",
        &state,
        "--turn-listen",
        &listen,
        "--turn-relay-address",
        "127.0.0.1",
        "--turn-allow-peer",
        "127.0.0.0/8",
    ]);
    server.line("devices");
    (server, format!("http://localhost:{port}"))
}

fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The number behind a name and its labels.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn peers_that_only_a_relay_joins_are_joined_within_5_seconds_and_it_is_said_and_counted() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut exposed = place.expose(
        &place.text("site"),
        "device",
        &["--server", &url, "--metrics", &address, "--relay-only"],
    );
    let before = metrics(port);
    assert!(before.contains("200 OK") && before.contains("application/openmetrics-text"));
    assert_eq!(
        value(
            &before,
            "peerage_connections_opened_total{route=\"relayed\"}"
        ),
        0.0
    );
    let begun = Instant::now();
    let output = place.fetch(&["-v", "--relay-only", &exposed.link]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((code(&output), stdout(&output)), (0, "<h1>home</h1>\n"));
    assert!(stderr(&output).contains("relayed"), "{}", stderr(&output));
    assert!(exposed.process.line("+ 1").contains("connected, relayed"));
    let after = metrics(port);
    let opened = |route| format!("peerage_connections_opened_total{{route=\"{route}\"}}");
    assert_eq!(value(&after, &opened("relayed")), 1.0);
    assert_eq!(value(&after, &opened("direct")), 0.0);
    assert!(value(&after, "peerage_sent_bytes_total{route=\"relayed\"}") > 1000.0);
    assert_eq!(
        value(&after, "peerage_sent_bytes_total{route=\"direct\"}"),
        0.0
    );
    assert_eq!(value(&after, "peerage_connections_failed_total"), 0.0);
    assert_eq!(
        value(&after, "peerage_opening_seconds_count{route=\"relayed\"}"),
        1.0
    );
    let bucket = "peerage_opening_seconds_bucket{le=\"+Inf\",route=\"relayed\"}";
    assert_eq!(value(&after, bucket), 1.0);
}

#[test]
fn where_a_direct_path_is_there_it_is_taken_and_said() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let mut exposed = place.expose(&place.text("site"), "device", &["--server", &url]);
    let output = place.fetch(&["-v", &exposed.link]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("direct"), "{}", stderr(&output));
    assert!(exposed.process.line("+ 1").contains("connected, direct"));
}

#[test]
fn a_wrong_ice_server_is_a_usage_error_that_does_not_show_its_password() {
    let place = Place::new();
    let link = format!(
        "http://{}.localhost:1/#1.{}",
        "a".repeat(52),
        "a".repeat(26)
    );
    let wrong = [
        "http://a",
        "turn:",
        "turn:without.credentials",
        "{\"urls\":\"turn:a:x\",\"credential\":\"hush\"}",
    ];
    for server in wrong {
        let output = place.fetch(&["--ice-server", server, &link]);
        assert_eq!(code(&output), 2, "{server}");
        let said = stderr(&output);
        assert!(
            said.contains("--ice-server") && !said.contains("hush"),
            "{said}"
        );
    }
}
