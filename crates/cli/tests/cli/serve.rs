//! `peerage serve`

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::run::{Place, Running, code, free_port, run, stderr, stdout, taken_port};

/// A server on any free port, and its address.
fn serve() -> (Running, String) {
    let mut server = Running::start(&["serve", "--port", "0"]);
    let line = server.line("devices");
    let url = line.split_whitespace().last().unwrap().to_owned();
    (server, url)
}

/// A server told so, and where it listens.
pub(crate) fn told(variables: &[(&str, &str)], args: &[&str]) -> (Running, SocketAddr) {
    let mut server = Running::start_with(variables, &[&["serve"], args].concat());
    let line = server.line("Listening on ");
    let address = line.split_whitespace().nth(2).unwrap();
    let address = address.trim_end_matches([',', '.']).parse().unwrap();
    (server, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// What a request is answered with, head and all.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A socket that opened, and the first frame on it.
pub(crate) fn dial(
    address: SocketAddr,
    path: &str,
    key: &str,
    id: &str,
) -> (WebSocket<TcpStream>, String) {
    let url = format!("ws://{address}{path}peerjs?key={key}&id={id}&token=t");
    let (mut socket, _) = tungstenite::client(url, connect(address)).unwrap();
    let Message::Text(first) = socket.read().unwrap() else {
        panic!("no text");
    };
    (socket, first.to_string())
}

pub(crate) const OPEN: &str = r#"{"type":"OPEN"}"#;

#[test]
fn a_device_is_reached_through_a_server_of_its_own_process() {
    let place = Place::new();
    let (_server, url) = serve();
    let device = place.expose(&place.text("site"), "device", &["--server", &url]);
    assert!(device.link.contains(url.strip_prefix("http://").unwrap()));
    assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
}

#[test]
fn it_listens_on_this_machine_alone_unless_told_otherwise() {
    let mut server = Running::start(&["serve", "--port", "0"]);
    assert!(server.line("Listening").contains("127.0.0.1"));
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_so() {
    let (_taken, port) = taken_port();
    let output = run(&["serve", "--port", &port.to_string()]);
    assert_eq!(code(&output), 13);
    assert!(stderr(&output).contains(&port.to_string()));
}

#[test]
fn settings_that_cannot_be_are_usage_errors() {
    for args in [
        &["--tls-cert", "x"][..],
        &["--domain", "https://x"],
        &["--tls-cert", "/no/such", "--tls-key", "/no/such"],
        &["--sslkey", "x"],
        &["--path", "/a b"],
        &["--path", "/../x"],
        &["--path", "/x?y"],
        &["--key", "a/b"],
        &["--port", "70000"],
        &["--config", "/no/such"],
    ] {
        let output = run(&[&["serve", "--port", "0"], args].concat());
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn the_room_of_an_address_keeps_its_name_when_the_server_is_started_again() {
    let place = Place::new();
    let names = ["state", "state", "other"].map(|state| {
        let args = ["--port", "0", "--state", &place.text(state)];
        let (_server, address) = told(&[], &args);
        let (_socket, first) = dial(address, "/", "peerjs", "ui");
        assert_eq!(first, OPEN);
        let answer = get(address, "/peerjs/ui/t/room/id", "");
        let (_, name) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            name.starts_with(r#"{"roomId":""#) && name.len() == 53,
            "{name}"
        );
        name.to_owned()
    });
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

#[cfg(unix)]
#[test]
fn the_rooms_secret_is_its_owners_alone_and_a_damaged_one_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let state = place.text("state");
    Running::start(&["serve", "--port", "0", "--state", &state]).line("devices");
    let file = place.path("state").join("rooms.secret");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::write(&file, "x").unwrap();
    let refused = run(&["serve", "--port", "0", "--state", &state]);
    assert_eq!(code(&refused), 3, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("rooms.secret"));
}

#[test]
fn verbose_says_who_comes_and_goes_and_why_one_is_refused() {
    let mut server = Running::start(&["serve", "--port", "0", "-v"]);
    let line = server.line("Listening on ");
    let address = line.split_whitespace().nth(2).unwrap();
    let address = address.trim_end_matches([',', '.']).parse().unwrap();
    let (socket, first) = dial(address, "/", "peerjs", "ann%0a%1b");
    assert_eq!(first, OPEN);
    let came = server.warning("client connected");
    assert!(came.contains(r#"id="ann\n\u{1b}""#), "{came}");
    drop(socket);
    assert!(server.warning("client disconnected").contains("ann"));
    let (_socket, _) = dial(address, "/", "wrong", "bob");
    assert!(server.warning("client refused").contains("WrongKey"));
}

#[test]
fn a_token_is_in_no_log() {
    let mut server = Running::start(&["serve", "--port", "0", "-vvv"]);
    let line = server.line("Listening on ");
    let address = line.split_whitespace().nth(2).unwrap();
    let address = address.trim_end_matches([',', '.']).parse().unwrap();
    let url = format!("ws://{address}/peerjs?key=peerjs&id=ann&token=sesame-8271");
    let (mut socket, _) = tungstenite::client(url, connect(address)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text(OPEN));
    get(address, "/peerjs/ann/sesame-8271/room/id", "");
    get(address, "/peerjs/ann/sesame-8271/nothing", "");
    server.interrupt();
    assert!(server.end().success());
    let log = server.complaint();
    assert!(log.contains(r#"client connected id="ann""#), "{log}");
    assert!(!log.contains("sesame"), "{log}");
}

#[test]
fn behind_a_proxy_it_names_the_address_that_the_proxy_has() {
    let args = ["serve", "--port", "0", "--domain", "x.example", "--proxied"];
    let mut server = Running::start(&args);
    assert!(server.line("Listening on ").contains("for a proxy"));
    assert!(
        server
            .line("devices")
            .contains("--server https://x.example\n")
    );
    assert!(
        server
            .line("PeerJS")
            .contains("host: 'x.example', port: 443, secure: true")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn it_may_open_as_many_files_as_the_system_allows() {
    let limited = "ulimit -Sn 64; exec \"$0\" serve --port 0";
    let mut child = std::process::Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_peerage")])
        .env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut { stdout }, &mut line).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut numbers = files.unwrap().split_whitespace().skip(3);
    let (soft, hard) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(soft == hard && hard != "64", "{limits}");
}

#[test]
fn ctrl_c_ends_it_cleanly() {
    let (mut server, _) = serve();
    server.interrupt();
    assert!(server.end().success());
}

#[test]
fn with_a_domain_and_a_certificate_links_are_https_and_callers_check_it() {
    let place = Place::new();
    let names = ["dev.localhost", "*.dev.localhost"]
        .map(str::to_owned)
        .to_vec();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(place.path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (place.text("cert.pem"), place.text("key.pem"));
    let args = [
        "--domain",
        "dev.localhost",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let mut server = Running::start(&[&["serve", "--port", "0"], &args[..]].concat());
    let line = server.line("devices");
    let url = line.split_whitespace().last().unwrap();
    assert!(url.starts_with("https://dev.localhost:"), "{url}");

    let refused = run(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("x"),
        "--server",
        url,
    ]);
    assert_eq!(code(&refused), 7);
    assert!(
        stderr(&refused).contains("--server-ca"),
        "{}",
        stderr(&refused)
    );

    let device = place.expose(
        &place.text("site"),
        "device",
        &["--server", url, "--server-ca", &cert],
    );
    assert!(device.link.contains(".dev.localhost:"), "{}", device.link);
    assert_eq!(code(&place.fetch(&[&device.link])), 7);
    assert_eq!(
        stdout(&place.fetch(&[&device.link, "--server-ca", &cert])),
        "<h1>home</h1>\n"
    );
}

#[test]
fn a_device_survives_its_server_and_comes_back_to_it() {
    let place = Place::new();
    let port = free_port().to_string();
    let start = || {
        let mut server = Running::start(&["serve", "--port", &port]);
        server.line("Listening");
        server
    };
    let server = start();
    let url = format!("http://localhost:{port}");
    let mut device = place.expose(&place.text("site"), "device", &["--server", &url]);
    drop(server);
    device.process.line("! ");
    let _server = start();
    device.process.line("! the server is back");
    assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
}

#[test]
fn the_command_line_of_peerjs_servers_pages_works_as_it_stands() {
    let args = "--port 0 --path /myapp --key mykey --allow_discovery";
    let args: Vec<_> = args.split(' ').collect();
    let (mut server, address) = told(&[], &args);
    let line = server.line("new Peer(");
    assert!(line.contains("path: '/myapp', key: 'mykey'"), "{line}");
    assert!(get(address, "/myapp", "").contains(r#"{"name":"PeerJS Server""#));
    assert!(get(address, "/", "").starts_with("HTTP/1.1 404 "));
    let (_alice, first) = dial(address, "/myapp/", "mykey", "alice");
    assert_eq!(first, OPEN);
    assert!(get(address, "/myapp/mykey/peers", "").ends_with(r#"["alice"]"#));
    let (_, refused) = dial(address, "/myapp/", "peerjs", "bob");
    assert!(refused.contains("Invalid key provided"), "{refused}");
}

#[test]
fn ids_are_not_listed_unless_that_is_allowed() {
    let (_server, address) = told(&[], &["--port", "0"]);
    assert!(get(address, "/peerjs/peers", "").starts_with("HTTP/1.1 401 "));
    let (_server, address) = told(&[], &["--port", "0", "--allow-discovery", "false"]);
    assert!(get(address, "/peerjs/peers", "").starts_with("HTTP/1.1 401 "));
}

#[test]
fn options_may_be_spelled_with_underscores_or_dashes() {
    for limit in [
        &["--concurrent_limit", "1"][..],
        &["--concurrent-limit=1"],
        &["-c", "1"],
    ] {
        let (_server, address) = told(&[], &[&["-p", "0"], limit].concat());
        let (_alice, first) = dial(address, "/", "peerjs", "alice");
        assert_eq!(first, OPEN);
        let (_, refused) = dial(address, "/", "peerjs", "bob");
        assert!(refused.contains("concurrent user limit"), "{refused}");
    }
}

#[test]
fn the_variables_of_peerjs_server_are_read_after_our_own_and_after_options() {
    let (theirs, ours, option) = (free_port(), free_port(), free_port());
    let [theirs_text, ours_text, option_text] = [theirs, ours, option].map(|port| port.to_string());
    let port = ("PORT", theirs_text.as_str());
    let path = ("PEERSERVER_PATH", "/theirs");
    let (server, address) = told(&[port, path], &[]);
    assert_eq!(address.port(), theirs);
    assert!(get(address, "/theirs", "").starts_with("HTTP/1.1 200 "));
    drop(server);
    let ours_too = [
        port,
        path,
        ("PEERAGE_PORT", &ours_text),
        ("PEERAGE_PATH", "/ours"),
    ];
    let (server, address) = told(&ours_too, &[]);
    assert_eq!(address.port(), ours);
    assert!(get(address, "/ours", "").starts_with("HTTP/1.1 200 "));
    drop(server);
    let (_server, address) = told(&ours_too, &["-p", &option_text, "--path", "/"]);
    assert_eq!(address.port(), option);
    assert!(get(address, "/", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_file_holds_settings_that_variables_and_options_go_before() {
    let place = Place::new();
    let text =
        "# of this machine\nport = 0\npath = '/file'\nkey = 'file'\nallow_discovery = true\n";
    fs::write(place.path("peerage.toml"), text).unwrap();
    let config = place.text("peerage.toml");
    let (server, address) = told(
        &[("PEERAGE_KEY", "variable")],
        &["--config", &config, "--path", "option"],
    );
    assert_eq!(dial(address, "/option/", "variable", "alice").1, OPEN);
    assert!(get(address, "/option/variable/peers", "").starts_with("HTTP/1.1 200 "));
    drop(server);
    let (_server, address) = told(&[("PEERAGE_CONFIG", &config)], &[]);
    assert_eq!(dial(address, "/file/", "file", "alice").1, OPEN);
}

#[test]
fn what_is_wrong_in_a_file_is_told_by_file_key_value_and_expectation() {
    let place = Place::new();
    let config = place.text("peerage.toml");
    for (text, parts) in [
        ("port = 'x'", &["port is `x`", "0 to 65535"][..]),
        ("message-rate = 0", &["message-rate is `0`", "1 to "]),
        ("path = '/a b'", &["path is `/a b`", "such as /myapp"]),
        (
            "domain = 'https://x'",
            &["domain is `https://x`", "a DNS name"],
        ),
        ("prot = 1", &["prot is unknown", "--help"]),
        ("port = 0\nport =", &["line 2"]),
    ] {
        fs::write(&config, text).unwrap();
        let output = run(&["serve", "--port", "0", "--config", &config]);
        assert_eq!(code(&output), 2, "{text}");
        let complaint = stderr(&output);
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        for part in parts.iter().chain([&&*config]) {
            assert!(complaint.contains(part), "{complaint:?} lacks {part:?}");
        }
    }
}

#[test]
fn pages_of_other_origins_than_those_listed_may_not_read_answers() {
    let origins = ["--cors", "https://a.example", "https://b.example/"];
    let (_server, address) = told(&[], &[&["--port", "0"], &origins[..]].concat());
    let allowed = |origin: &str| {
        let answer = get(address, "/peerjs/id", &format!("origin: {origin}\r\n"));
        answer.contains(&format!("access-control-allow-origin: {origin}\r\n"))
    };
    assert!(allowed("https://a.example") && allowed("https://b.example"));
    assert!(!allowed("https://c.example"));
}

#[test]
fn certificates_may_be_named_as_peerjs_server_has_them() {
    let place = Place::new();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(place.path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (place.text("cert.pem"), place.text("key.pem"));
    let args = ["--port", "0", "--sslkey", &key, "--sslcert", &cert];
    let (mut server, _) = told(&[], &args);
    let line = server.line("new Peer(");
    assert!(line.contains("secure: true"), "{line}");
}

#[test]
fn it_ends_within_three_seconds_of_sigterm_with_clients_connected() {
    let (mut server, address) = told(&[], &["--port", "0"]);
    // One that answers, one that never reads or closes, one in the middle of its head.
    let (mut alice, _) = dial(address, "/", "peerjs", "alice");
    let (_deaf, _) = dial(address, "/", "peerjs", "deaf");
    let mut half = connect(address);
    half.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
    let told_at = Instant::now();
    server.terminate();
    assert!(
        matches!(alice.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1001)
    );
    assert!(server.end().success());
    let took = told_at.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
