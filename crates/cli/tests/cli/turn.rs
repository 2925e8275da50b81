//! STUN and TURN of `peerage serve`, and `peerage ports`

use std::{
    fs,
    net::{TcpListener, UdpSocket},
};

use serde_json::Value;

use crate::{
    run::{Place, Running, code, run, stderr, stdout, taken_port},
    serve::{OPEN, dial, get, told},
};

/// What `ports` says, without the spaces that make columns.
fn ports(args: &[&str]) -> Vec<String> {
    let output = run(&[&["ports"], args].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = stdout(&output).lines();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(words).collect()
}

#[test]
fn ports_lists_what_a_server_with_these_settings_needs_open() {
    let tls = ["--tls-cert", "no-such", "--tls-key", "no-such"];
    let public = ["--host", "::", "--port", "443", "--domain", "x.example"];
    assert_eq!(
        ports(&[&public[..], &tls].concat()),
        [
            "port protocol needed for",
            "443 TCP yes signalling and pages (https, wss)",
            "3478 UDP yes STUN and TURN",
            "3478 TCP better TURN from networks without UDP",
            "5349 TCP better TURN over TLS, from networks that let nothing else through",
            "61000-62999 UDP yes relayed connections",
            "443 UDP yes members of rooms",
        ]
    );
    let own = [
        "--turn-listen",
        "192.0.2.1:3479",
        "--turn-relay-ports",
        "50000-50999",
    ];
    let lines = ports(&[&public[..], &own].concat());
    assert!(
        lines.contains(&"3479 UDP yes STUN and TURN".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"50000-50999 UDP yes relayed connections".to_owned()),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("TLS")), "{lines:?}");
}

#[test]
fn ports_says_what_is_for_this_machine_only_and_what_is_off() {
    let lines = ports(&[]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("127.0.0.1:9000, for this machine only: --host"));
    assert!(lines[1].contains("for this machine only: --turn-listen"));
    assert!(lines[2].contains("for this machine only: --rooms-address"));
    let proxied = ports(&["--proxied", "--no-turn", "--no-rooms"]);
    assert!(proxied[0].contains("the proxy in front"), "{proxied:?}");
    assert_eq!(proxied[1..], ["STUN and TURN are off.", "Rooms are off."]);
    let open = ["--rooms-address", "192.0.2.1", "--rooms-port", "7"];
    let lines = ports(&open);
    assert_eq!(lines[1], "7 UDP yes members of rooms", "{lines:?}");
}

#[test]
fn ports_reads_settings_where_serve_does() {
    let place = Place::new();
    let text = "host = '192.0.2.1'\nport = 1\nturn-secret-file = 'not-readable-by-me'\n";
    fs::write(place.path("peerage.toml"), text).unwrap();
    let file = place.text("peerage.toml");
    let variables = [("PEERAGE_CONFIG", file.as_str()), ("PEERAGE_PORT", "2")];
    let mut child =
        Running::start_with(&variables, &["ports", "--json", "--no-turn", "--no-rooms"]);
    assert!(child.end().success());
    let told: Value = serde_json::from_str(&child.rest()).unwrap();
    let row = &told["ports"][0];
    assert_eq!(
        (
            &row["from"],
            &row["to"],
            &row["protocol"],
            &row["addresses"]
        ),
        (
            &2.into(),
            &2.into(),
            &"tcp".into(),
            &vec!["192.0.2.1"].into()
        )
    );
    assert_eq!((&row["needed"], &row["open"]), (&true.into(), &true.into()));
    assert_eq!(told["ports"].as_array().unwrap().len(), 1);

    for wrong in [
        &["--port", "x"][..],
        &["--path", "/a b"],
        &["--turn-tls-listen", "[::]:1"],
    ] {
        let output = run(&[&["ports"], wrong].concat());
        assert_eq!(code(&output), 2, "{wrong:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(wrong[0]), "{}", stderr(&output));
    }
}

/// A server for which credentials of another TURN server are made, and what a client is told.
fn told_to_a_client(variables: &[(&str, &str)], args: &[&str]) -> (Running, Value) {
    let own = [
        "--port",
        "0",
        "--no-turn",
        "--ice-server",
        "turn:coturn.example",
    ];
    let (server, address) = told(variables, &[&own, args].concat());
    let (_socket, first) = dial(address, "/", "peerjs", "ann");
    assert_eq!(first, OPEN);
    let answer = get(address, "/peerjs/ice?id=ann", "authorization: Bearer t\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    (server, serde_json::from_str(body).unwrap())
}

#[test]
fn credentials_for_another_turn_server_are_made_with_the_secret_it_shares() {
    let place = Place::new();
    fs::write(place.path("secret"), "north\n").unwrap();
    let file = place.text("secret");
    let told = [
        told_to_a_client(&[], &["--turn-secret-file", &file]).1,
        told_to_a_client(&[("PEERAGE_TURN_SECRET", "north")], &[]).1,
    ];
    for told in told {
        let server = &told["iceServers"][0];
        let username = server["username"].as_str().unwrap();
        assert!(username.ends_with(":ann"), "{username}");
        let secret: peerage_server::TurnSecret = "north".parse().unwrap();
        assert_eq!(server["credential"], secret.password(username).as_str());
        assert_eq!(told["iceServers"].as_array().unwrap().len(), 1);
    }
    let refused = run(&[
        "serve",
        "--port",
        "0",
        "--ice-server",
        "turn:coturn.example",
    ]);
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains("--turn-secret-file"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn secret_and_credentials_are_in_no_log() {
    let variables = [("PEERAGE_TURN_SECRET", "sesame-8271")];
    let (mut server, told) = told_to_a_client(&variables, &["-vvv"]);
    server.interrupt();
    assert!(server.end().success());
    let log = server.complaint();
    assert!(log.contains("client connected"), "{log}");
    let credential = told["iceServers"][0]["credential"].as_str().unwrap();
    assert!(
        !log.contains("sesame") && !log.contains(credential),
        "{log}"
    );
}

#[test]
fn that_turn_is_off_is_said() {
    let mut server = Running::start(&["serve", "--port", "0", "--no-turn"]);
    assert!(server.line("STUN/TURN").contains("off, as asked for"));
    let mut server = Running::start(&["serve", "--port", "0", "--no-turn", "--json"]);
    let event: Value = serde_json::from_str(&server.line("listening")).unwrap();
    assert_eq!(event["turn"], Value::Null);
}

#[test]
fn a_client_is_told_of_the_servers_own_turn_where_it_really_is() {
    let named = [
        "--turn-listen",
        "127.0.0.1:0",
        "--turn-host",
        "relay.example",
    ];
    let (mut server, address) = told(&[], &[&["--port", "0"], &named[..]].concat());
    let line = server.line("STUN/TURN");
    let port = |name: &str| {
        let place = line.split(name).nth(1).unwrap();
        let port = place.split([':', ',', ';']).nth(1).unwrap();
        port.parse::<u16>().unwrap()
    };
    let (udp, tcp) = (port("UDP"), port("TCP"));
    assert!(line.contains("; relays at UDP 61000-62999"), "{line}");
    let (_socket, _) = dial(address, "/", "peerjs", "ann");
    let answer = get(address, "/peerjs/ice?id=ann", "authorization: Bearer t\r\n");
    for url in [
        format!("\"stun:relay.example:{udp}\""),
        format!("\"turn:relay.example:{udp}?transport=udp\""),
        format!("\"turn:relay.example:{tcp}?transport=tcp\""),
    ] {
        assert!(answer.contains(&url), "{answer} lacks {url}");
    }
}

#[test]
fn a_named_turn_port_that_is_taken_is_an_error_that_says_what_to_do() {
    let (_taken, port) = taken_port();
    let place = format!("127.0.0.1:{port}");
    let output = run(&["serve", "--port", "0", "--turn-listen", &place]);
    assert_eq!(code(&output), 13, "{}", stderr(&output));
    let complaint = stderr(&output);
    assert!(
        complaint.contains(&place) && complaint.contains("--turn-listen"),
        "{complaint}"
    );
    let elsewhere = ["--turn-listen", "192.0.2.1:0"];
    let output = run(&[&["serve", "--port", "0"], &elsewhere[..]].concat());
    assert_eq!(code(&output), 13, "{}", stderr(&output));
    let relay = [
        "--turn-listen",
        "127.0.0.1:0",
        "--turn-relay-address",
        "192.0.2.1",
    ];
    let output = run(&[&["serve", "--port", "0"], &relay[..]].concat());
    assert_eq!(code(&output), 13, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--turn-relay-address"),
        "{}",
        stderr(&output)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_default_turn_port_that_is_taken_is_a_warning_and_the_rest_goes_on() {
    // An address that no other test's server has by default.
    let host = "127.0.0.7";
    let _tcp = TcpListener::bind((host, 3478)).unwrap();
    let mut server = Running::start(&["serve", "--port", "0", "--host", host]);
    server.line("Listening on ");
    let line = server.line("STUN/TURN");
    assert!(
        line.contains("UDP 127.0.0.7:3478") && !line.contains("TCP"),
        "{line}"
    );
    let warning = server.warning("in use: TCP 127.0.0.7:3478");
    assert!(
        warning.contains("--turn-listen") && warning.contains("--no-turn"),
        "{warning}"
    );
    drop(server);

    let _udp = UdpSocket::bind((host, 3478)).unwrap();
    let mut server = Running::start(&["serve", "--port", "0", "--host", host]);
    assert!(server.line("STUN/TURN").contains("off: "));
    server.warning("in use: UDP 127.0.0.7:3478, TCP 127.0.0.7:3478");
}

#[cfg(unix)]
#[test]
fn the_turn_secret_is_made_once_its_owners_alone_and_a_damaged_one_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let state = place.text("state");
    let file = place.path("state").join("turn.secret");
    let start = |more: &[&str]| {
        let args = ["serve", "--port", "0", "--state", &state];
        Running::start(&[&args, more].concat()).line("STUN/TURN");
    };
    start(&["--no-turn"]);
    start(&["--turn-secret", "x"]);
    assert!(!file.exists(), "nobody wants it");
    start(&[]);
    let first = fs::read(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    start(&[]);
    assert_eq!(fs::read(&file).unwrap(), first);
    fs::write(&file, "").unwrap();
    let refused = run(&["serve", "--port", "0", "--state", &state]);
    assert_eq!(code(&refused), 3, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("turn.secret"));
}
