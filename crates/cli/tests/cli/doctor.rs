//! `peerage doctor`: one thing is broken at a time, and it says which.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
};

use serde_json::Value;

use crate::run::{Place, Running, code, free_port, run, stderr, stdout};

/// What was found, as a script reads it.
struct Examined {
    code: i32,
    all: Value,
    text: String,
}

impl Examined {
    fn steps(&self, name: &str) -> Vec<&Value> {
        let steps = self.all["steps"].as_array().unwrap().iter();
        steps.filter(|step| step["name"] == name).collect()
    }

    /// The only step of this name.
    fn step(&self, name: &str) -> &Value {
        let steps = self.steps(name);
        assert_eq!(steps.len(), 1, "{name} in {:#}", self.all);
        steps[0]
    }

    fn status(&self, name: &str) -> &str {
        self.step(name)["status"].as_str().unwrap()
    }

    /// The statuses of all steps, without those that are fine.
    fn troubles(&self) -> Vec<(&str, &str)> {
        let steps = self.all["steps"].as_array().unwrap().iter();
        let named = steps.map(|step| (step["name"].as_str(), step["status"].as_str()));
        let named = named.map(|(name, status)| (name.unwrap(), status.unwrap()));
        named.filter(|(_, status)| *status != "ok").collect()
    }

    /// That the step failed with this among its words, and this in what to do.
    fn failed(&self, name: &str, detail: &str, mend: &str) {
        let step = self.step(name);
        assert_eq!(step["status"], "failed", "{:#}", self.all);
        let says = |member: &str, part: &str| {
            let text = step[member].as_str().unwrap();
            assert!(text.contains(part), "no {part:?} in {text:?}");
        };
        says("detail", detail);
        says("mend", mend);
        assert_eq!((self.code, &self.all["status"]), (14, &"failed".into()));
    }
}

fn examine(args: &[&str]) -> Examined {
    let output = run(&[&["doctor", "--json"], args].concat());
    let text = format!("{}{}", stdout(&output), stderr(&output));
    let all = serde_json::from_str(stdout(&output));
    Examined {
        code: code(&output),
        all: all.unwrap_or_else(|error| panic!("{error}: {text}")),
        text,
    }
}

/// A server on this machine, and its address.
fn serve(args: &[&str]) -> (Running, String) {
    let port = free_port().to_string();
    let mut server = Running::start(&[&["serve", "--port", &port], args].concat());
    server.line("STUN/TURN");
    (server, format!("http://localhost:{port}"))
}

/// A server whose relays may meet on loopback; also where its TURN is, and its authority.
struct Relaying {
    _server: Running,
    url: String,
    turn: u16,
    ca: String,
}

fn relaying(place: &Place) -> Relaying {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(place.path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (place.text("cert.pem"), place.text("key.pem"));
    let (port, turn) = (free_port().to_string(), free_port());
    let (plain, tls) = (format!("127.0.0.1:{turn}"), "127.0.0.1:0");
    let state = place.text("server");
    let mut args = vec!["serve", "--port", &port, "--state", &state];
    args.extend(["--tls-cert", &cert, "--tls-key", &key]);
    args.extend(["--turn-listen", &plain, "--turn-tls-listen", tls]);
    args.extend(["--turn-relay-address", "127.0.0.1"]);
    args.extend(["--turn-allow-peer", "127.0.0.0/8"]);
    let mut server = Running::start(&args);
    server.line("STUN/TURN");
    Relaying {
        _server: server,
        url: format!("https://localhost:{port}"),
        turn,
        ca: cert,
    }
}

/// Answers every request with this head.
fn web_server(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = stream.get_mut().write_all(head.as_bytes());
        }
    });
    url
}

#[test]
fn where_nothing_is_wrong_every_step_is_measured_and_every_transport_carries() {
    let place = Place::new();
    let server = relaying(&place);
    let found = examine(&["--server-ca", &server.ca, &server.url]);
    assert_eq!(found.code, 0, "{}", found.text);
    // The other loopback address, at which this TURN server does not listen.
    assert_eq!(found.troubles(), [("stun", "skipped")], "{:#}", found.all);
    assert_eq!(found.all["server"], format!("{}/", server.url));
    for over in ["UDP", "TCP", "TLS"] {
        let ends = |step: &&&Value| step["subject"].as_str().unwrap().ends_with(over);
        let turns = found.steps("turn");
        let turn = turns.iter().find(ends).unwrap();
        let detail = turn["detail"].as_str().unwrap();
        assert!(detail.contains("relay at 127.0.0.1") && detail.contains("there and back"));
    }
    let detail = |name| found.step(name)["detail"].as_str().unwrap();
    assert!(detail("channel").contains(": direct, "));
    assert!(detail("relayed_channel").contains(": relayed, "));
    assert!(detail("tls").starts_with("TLS 1.3"));
    for step in found.all["steps"].as_array().unwrap() {
        assert!(step["millis"].is_f64(), "{step}");
        assert_eq!(step["mend"], Value::Null, "{step}");
    }
}

#[test]
fn no_credential_and_no_secret_is_in_what_it_says_or_logs() {
    let place = Place::new();
    let server = relaying(&place);
    let device = place.expose(
        &place.text("site"),
        "device",
        &["--server", &server.url, "--server-ca", &server.ca],
    );
    let own = format!(
        "{{\"urls\":\"turn:127.0.0.1:{}\",\"username\":\"someone-1\",\"credential\":\"hush-2\"}}",
        server.turn
    );
    let state = place.text("caller");
    let args = ["-vv", "--state", &state, "--server-ca", &server.ca];
    let found = examine(&[&args[..], &["--ice-server", &own, &device.link]].concat());
    assert_eq!(found.code, 14, "{}", found.text);
    for secret in [device.secret(), "hush-2", "someone-1"] {
        assert!(!found.text.contains(secret), "{secret} in {}", found.text);
    }
}

#[test]
fn a_server_that_is_down_is_the_only_failure_and_ice_servers_are_asked_all_the_same() {
    let place = Place::new();
    let server = relaying(&place);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let stun = format!("stun:127.0.0.1:{}", server.turn);
    let found = examine(&["--ice-server", &stun, &nobody]);
    found.failed("connection", "refused", "--host");
    let failed = |(_, status): &&(&str, &str)| *status == "failed";
    assert_eq!(found.troubles().iter().filter(failed).count(), 1);
    for name in [
        "clock",
        "signalling",
        "ice_servers",
        "channel",
        "relayed_channel",
    ] {
        assert_eq!(found.status(name), "skipped");
    }
    assert_eq!(found.status("stun"), "ok");
    assert_eq!(found.status("nat"), "ok");
}

#[test]
fn a_name_that_does_not_exist_is_told_from_a_server_that_is_down() {
    let found = examine(&["https://no-such-host.invalid"]);
    found.failed("name", "", "spelt");
    assert_eq!(found.status("connection"), "skipped");
}

#[test]
fn a_certificate_for_another_name_is_told_from_one_of_an_unknown_authority() {
    let place = Place::new();
    let own = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
    fs::write(place.path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (place.text("cert.pem"), place.text("key.pem"));
    let (_server, url) = serve(&["--no-turn", "--tls-cert", &cert, "--tls-key", &key]);
    let url = url.replace("http:", "https:");
    let found = examine(&["--server-ca", &cert, &url]);
    found.failed("tls", "other.example", "one for localhost and *.localhost");
    assert_eq!(found.status("connection"), "ok");
    assert_eq!(found.status("signalling"), "skipped");
    examine(&[&url]).failed("tls", "", "--server-ca");
}

#[test]
fn https_at_a_port_of_plain_http_is_found_out() {
    let (_server, url) = serve(&["--no-turn"]);
    let found = examine(&[&url.replace("http:", "https:")]);
    found.failed("tls", "does not speak TLS", "http://");
}

#[test]
fn a_web_server_that_is_no_peerjs_server_is_found_out() {
    let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let url = web_server(head);
    let found = examine(&[&url]);
    found.failed("signalling", "404", "peerage serve");
    assert_eq!(found.status("clock"), "warning");
    assert_eq!(found.status("channel"), "skipped");
}

#[test]
fn a_server_with_another_key_asks_for_it() {
    let (_server, url) = serve(&["--no-turn", "--key", "other"]);
    examine(&[&url]).failed("signalling", "", "--key");
    assert_eq!(examine(&["--key", "other", &url]).code, 0);
}

#[test]
fn a_server_without_turn_is_a_warning_and_the_direct_way_still_tried() {
    let (_server, url) = serve(&["--no-turn"]);
    let found = examine(&[&url]);
    assert_eq!((found.code, found.status("ice_servers")), (0, "warning"));
    assert!(
        found.step("ice_servers")["mend"]
            .as_str()
            .unwrap()
            .contains("--no-turn")
    );
    for name in ["stun", "turn", "relayed_channel"] {
        assert_eq!(found.status(name), "skipped");
    }
    assert_eq!(found.status("channel"), "ok");
}

#[test]
fn wrong_turn_credentials_are_told_from_a_server_that_is_silent_or_absent() {
    let place = Place::new();
    let server = relaying(&place);
    let (_signalling, url) = serve(&["--no-turn"]);
    let at = |port: u16, way: &str| {
        format!(
            "{{\"urls\":\"turn:127.0.0.1:{port}?transport={way}\",\"username\":\"u\",\"credential\":\"c\"}}"
        )
    };
    let turn = |port, way| examine(&["--ice-server", &at(port, way), &url]);
    for way in ["udp", "tcp"] {
        let found = turn(server.turn, way);
        found.failed("turn", "does not accept the credentials", "--turn-secret");
        assert_eq!(found.status("relayed_channel"), "skipped");
    }
    let closed = turn(free_port(), "udp");
    closed.failed("turn", "nobody listens", "UDP");
    assert_eq!(closed.status("stun"), "failed");
    let closed = turn(free_port(), "tcp");
    closed.failed("turn", "refused", "open TCP port");
    // Takes what comes and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = turn(silent.local_addr().unwrap().port(), "udp");
    silent.failed("turn", "does not answer", "a firewall drops UDP");
}

#[test]
fn a_relay_that_lends_a_port_and_carries_nothing_is_no_relay() {
    let (_server, url) = serve(&["--turn-listen", "127.0.0.1:0"]);
    let found = examine(&[&url]);
    for turn in found.steps("turn") {
        assert_eq!(turn["status"], "warning");
        assert!(
            turn["mend"].as_str().unwrap().contains("--turn-allow-peer"),
            "{turn}"
        );
    }
    assert_eq!(found.status("relayed_channel"), "skipped");
}

#[test]
fn a_clock_that_is_far_from_the_servers_is_a_failure() {
    let head = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2015 00:00:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let found = examine(&[&web_server(head)]);
    found.failed("clock", "days ahead of the server's", "5 minutes");
}

#[test]
fn a_device_that_is_there_lets_its_link_in_and_refuses_another_one() {
    let place = Place::new();
    let mut device = place.site();
    let state = place.text("caller");
    let ask = |link: &str| examine(&["--state", &state, link]);
    let stranger = ask(device.address());
    stranger.failed("device", "refused", "use the whole link");
    let wrong = format!("{}#1.{}", device.address(), "a".repeat(26));
    ask(&wrong).failed("device", "refused", "was revoked, has expired");
    let found = ask(&device.link);
    assert_eq!(found.status("device"), "ok");
    assert!(
        found.step("device")["detail"]
            .as_str()
            .unwrap()
            .starts_with("let in, direct")
    );
    assert_eq!(found.code, 0, "{}", found.text);
    device.process.line("+ 1");
    // The device knows this machine from now on, as after a visit.
    assert_eq!(ask(device.address()).status("device"), "ok");
}

#[test]
fn a_device_that_is_not_there_is_told_from_its_server() {
    let place = Place::new();
    let device = place.site();
    let other = place.expose(&place.text("site"), "other", &[]);
    let (id, _) = other.link.split_once(".localhost").unwrap();
    let (_, server) = device.link.split_once(".localhost").unwrap();
    let state = place.text("caller");
    let found = examine(&["--state", &state, &format!("{id}.localhost{server}")]);
    found.failed("device", "not there", "peerage expose");
    assert_eq!(found.status("channel"), "ok");
    assert_eq!(
        found.all["conclusion"],
        "The device cannot be reached from here."
    );
}

#[test]
fn people_read_a_line_a_step_what_to_do_beneath_and_a_last_line_that_sums_up() {
    let (_server, url) = serve(&["--no-turn"]);
    let output = run(&["doctor", &url]);
    assert_eq!(
        (code(&output), stderr(&output)),
        (0, ""),
        "{}",
        stdout(&output)
    );
    let text = stdout(&output);
    assert!(!text.contains('\x1b'), "colours are for terminals");
    assert!(
        text.starts_with(&format!("Examining {url}/\n\n  ok   name ")),
        "{text}"
    );
    assert!(text.contains("\n  warn ICE servers"), "{text}");
    assert!(
        text.contains("\n                       run `peerage serve` without --no-turn"),
        "{text}"
    );
    let last = text.lines().last().unwrap();
    assert!(last.contains("all works, with 1 warning"), "{last}");

    let output = run(&["doctor", &format!("http://localhost:{}", free_port())]);
    assert_eq!(code(&output), 14);
    assert!(stdout(&output).contains("\n  FAIL connection "));
    assert!(stderr(&output).starts_with("peerage: something does not work: connection;"));
}

#[test]
fn what_is_neither_link_nor_server_is_a_usage_error() {
    let place = Place::new();
    let device = place.site();
    let cut = &device.link[..device.link.len() - 1];
    for wrong in [cut, "example.org", "ftp://example.org"] {
        let output = run(&["doctor", wrong]);
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{wrong}");
        assert!(!stderr(&output).contains(&device.secret()[..20]));
    }
}
